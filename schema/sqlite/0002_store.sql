-- SPDX-License-Identifier: MIT
-- What plugins keep: keys and values, and jobs. Every key begins with the org, so that an org can be moved
-- or cut out by one range.
--
--   SELECT instance, CAST(key AS TEXT), CAST(value AS TEXT) FROM kv WHERE org = 'default' AND space = 'kv';
--   SELECT instance, name, try, why FROM jobs WHERE org = 'default' AND dead_ms IS NOT NULL;

-- The last rev of an org: every write takes the next one, so an unchanged rev is an unchanged key.
CREATE TABLE IF NOT EXISTS kv_revs (
    org TEXT    NOT NULL PRIMARY KEY,
    rev INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS kv (
    org        TEXT    NOT NULL,
    instance   TEXT    NOT NULL,            -- plugin, or plugin/label
    space      TEXT    NOT NULL,            -- 'kv': the plugin's own; the others are the core's
    key        BLOB    NOT NULL,            -- sorts by bytes
    value      BLOB    NOT NULL,            -- JSON
    rev        INTEGER NOT NULL,
    expires_ms INTEGER,                     -- absent from then on; NULL: never
    PRIMARY KEY (org, instance, space, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS kv_expiry ON kv (expires_ms) WHERE expires_ms IS NOT NULL;

-- Queued (leased_until_ms 0), taken (a lease, and nobody else may have it before that time), or dead.
-- instance '' is the core's own queue.
CREATE TABLE IF NOT EXISTS jobs (
    org             TEXT    NOT NULL,
    id              TEXT    NOT NULL,           -- sorts by the time it was queued
    instance        TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    key             BLOB,                       -- one queued job per key, one running; NULL: none
    args            BLOB    NOT NULL,           -- JSON
    queued_ms       INTEGER NOT NULL,
    due_ms          INTEGER NOT NULL,
    try             INTEGER NOT NULL DEFAULT 0, -- how often it was taken
    leased_until_ms INTEGER NOT NULL DEFAULT 0,
    dead_ms         INTEGER,                    -- given up; stays for a person to look at
    why             TEXT,                       -- of the last failure
    PRIMARY KEY (org, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due_ms) WHERE dead_ms IS NULL;
CREATE INDEX IF NOT EXISTS jobs_key ON jobs (org, instance, name, key)
    WHERE key IS NOT NULL AND dead_ms IS NULL;
