-- SPDX-License-Identifier: MIT
-- Orgs that are shut, and orgs on their way to another primary.
-- oldest: 6
--
-- Nodes that know only schema 6 do not see what stands here: replace them before an org is suspended, removed or moved.
--
-- Who writes for an org holds a shared advisory lock (7598263, hashtext(org)) and reads this row under it; who shuts
-- the org, or moves it, writes the row and then takes that lock alone once: after that nobody writes who has not
-- seen it. Whoever moves an org holds the lock (7598264, hashtext(org)) on the primary that it leaves.
--
--   SELECT org, leaving_to, moved_to, arriving_from FROM orgs WHERE coalesce(leaving_to, moved_to, arriving_from) IS NOT NULL;

ALTER TABLE orgs ADD COLUMN IF NOT EXISTS suspended_ms  bigint;  -- NULL: open
ALTER TABLE orgs ADD COLUMN IF NOT EXISTS removed_ms    bigint;  -- its rows are gone, or on their way; NULL: not removed
ALTER TABLE orgs ADD COLUMN IF NOT EXISTS leaving_to    text COLLATE "C";  -- primary to which it is copied; NULL: no move
ALTER TABLE orgs ADD COLUMN IF NOT EXISTS held_until_ms bigint;  -- nobody writes until the move is through, or that time has come
