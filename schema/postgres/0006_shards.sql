-- SPDX-License-Identifier: MIT
-- Several primaries: which org lives where.
-- oldest: 5
--
-- An org lives on the primary whose row in `orgs` says neither "moved" nor "arriving". `placements` is read on the
-- first primary (by name) alone: it decides where an org begins when two nodes ask at the same time.

ALTER TABLE orgs ADD COLUMN IF NOT EXISTS moved_to      text COLLATE "C";  -- primary that has it now; NULL: this one
ALTER TABLE orgs ADD COLUMN IF NOT EXISTS arriving_from text COLLATE "C";  -- primary that still has it; NULL: no move

CREATE TABLE IF NOT EXISTS placements (
    org       text   COLLATE "C" PRIMARY KEY,
    shard     text   COLLATE "C" NOT NULL,
    placed_ms bigint NOT NULL
);

-- What the database is called in the configuration: a swapped address is noticed.
CREATE TABLE IF NOT EXISTS shard_name (
    one  smallint PRIMARY KEY CHECK (one = 1),
    name text     COLLATE "C" NOT NULL
);

ALTER TABLE placements ENABLE ROW LEVEL SECURITY;
ALTER TABLE shard_name ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_org ON placements USING (org = current_setting('moonloom.org', true));
CREATE POLICY one_org ON shard_name USING (false);
