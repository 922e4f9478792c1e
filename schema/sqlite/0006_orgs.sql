-- SPDX-License-Identifier: MIT
-- Orgs that are shut. A removed one stays as a row, so that nobody brings it back by writing to it.

ALTER TABLE orgs ADD COLUMN suspended_ms INTEGER;  -- NULL: open
ALTER TABLE orgs ADD COLUMN removed_ms   INTEGER;  -- its rows are gone, or on their way; NULL: not removed
