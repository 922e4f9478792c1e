-- SPDX-License-Identifier: MIT
-- Labels of records.
-- oldest: 7
--
-- What plugins wrote on a change (u:label), for people who read the history. Not covered by the checksum.

ALTER TABLE records ADD COLUMN IF NOT EXISTS labels text;  -- a JSON object; NULL: none
