-- SPDX-License-Identifier: MIT
-- What plugins keep: keys and values, and jobs. The same tables as schema/sqlite.
--
--   SELECT instance, convert_from(key, 'UTF8'), convert_from(value, 'UTF8') FROM kv WHERE org = 'default' AND space = 'kv';
--   SELECT instance, name, try, why FROM jobs WHERE org = 'default' AND dead_ms IS NOT NULL;

-- The last rev of an org: every write takes the next one, so an unchanged rev is an unchanged key. Its row
-- lock puts the writes of an org in order.
CREATE TABLE IF NOT EXISTS kv_revs (
    org text   COLLATE "C" PRIMARY KEY,
    rev bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS kv (
    org        text   COLLATE "C" NOT NULL,
    instance   text   COLLATE "C" NOT NULL,  -- plugin, or plugin/label
    space      text   COLLATE "C" NOT NULL,  -- 'kv': the plugin's own; the others are the core's
    key        bytea  NOT NULL,              -- sorts by bytes
    value      bytea  NOT NULL,              -- JSON
    rev        bigint NOT NULL,
    expires_ms bigint,                       -- absent from then on; NULL: never
    PRIMARY KEY (org, instance, space, key)
);
CREATE INDEX IF NOT EXISTS kv_expiry ON kv (expires_ms) WHERE expires_ms IS NOT NULL;

-- Queued (leased_until_ms 0), taken (a lease, and nobody else may have it before that time), or dead.
-- instance '' is the core's own queue.
CREATE TABLE IF NOT EXISTS jobs (
    org             text   COLLATE "C" NOT NULL,
    id              text   COLLATE "C" NOT NULL,  -- sorts by the time it was queued
    instance        text   COLLATE "C" NOT NULL,
    name            text   COLLATE "C" NOT NULL,
    key             bytea,                        -- one queued job per key, one running; NULL: none
    args            bytea  NOT NULL,              -- JSON
    queued_ms       bigint NOT NULL,
    due_ms          bigint NOT NULL,
    try             bigint NOT NULL DEFAULT 0,    -- how often it was taken
    leased_until_ms bigint NOT NULL DEFAULT 0,
    dead_ms         bigint,                       -- given up; stays for a person to look at
    why             text,                         -- of the last failure
    PRIMARY KEY (org, id)
);
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due_ms) WHERE dead_ms IS NULL;
CREATE INDEX IF NOT EXISTS jobs_key ON jobs (org, instance, name, key) WHERE key IS NOT NULL AND dead_ms IS NULL;

ALTER TABLE kv_revs ENABLE ROW LEVEL SECURITY;
ALTER TABLE kv ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_org ON kv_revs USING (org = current_setting('moonloom.org', true));
CREATE POLICY one_org ON kv USING (org = current_setting('moonloom.org', true));
CREATE POLICY one_org ON jobs USING (org = current_setting('moonloom.org', true));
