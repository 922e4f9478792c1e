-- SPDX-License-Identifier: MIT
-- What plugins wrote on a change (u:label), for people who read the history. Not covered by the checksum.

ALTER TABLE records ADD COLUMN labels TEXT;  -- a JSON object; NULL: none
