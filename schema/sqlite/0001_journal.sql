-- SPDX-License-Identifier: MIT
-- The journal of one shard, readable with plain SQL.
--
-- Every key begins with the org, so that an org can be moved or cut out by one range. A document is
-- known inside by 128 random bits; its name is looked up within the org and may change. Times are
-- milliseconds since 1970 UTC. Checksums are CRC32C (src/journal/checksum.h has the layouts).
--
--   SELECT name, head, epoch FROM documents WHERE org = 'default' ORDER BY name;
--   SELECT seq, author, at_ms, length(bytes) FROM records
--     WHERE (org, document) = (SELECT org, document FROM documents
--                              WHERE org = 'default' AND name = 'notes') ORDER BY seq;

CREATE TABLE IF NOT EXISTS orgs (
    org        TEXT    NOT NULL PRIMARY KEY,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS documents (
    org            TEXT    NOT NULL REFERENCES orgs (org),
    document       BLOB    NOT NULL CHECK (length(document) = 16),
    name           TEXT    NOT NULL,
    epoch          INTEGER NOT NULL DEFAULT 1,  -- changes only when history is replaced
    head           INTEGER NOT NULL DEFAULT 0,  -- seq of the last record, 0: none
    head_checksum  INTEGER NOT NULL DEFAULT 0,  -- checksum of that record: a lost tail shows
    snapshot_seq   INTEGER NOT NULL DEFAULT 0,  -- newest snapshot, 0: none
    record_bytes   INTEGER NOT NULL DEFAULT 0,  -- sum of records.bytes
    snapshot_bytes INTEGER NOT NULL DEFAULT 0,  -- sum of snapshots.state as stored
    created_ms     INTEGER NOT NULL,
    updated_ms     INTEGER NOT NULL,
    deleted_ms     INTEGER,                     -- tombstone; NULL: alive
    PRIMARY KEY (org, document),
    UNIQUE (org, name)
) STRICT, WITHOUT ROWID;

-- A record is in the document if and only if it is here. seq is gapless from 1 (or from the oldest
-- record that retention kept) to documents.head.
CREATE TABLE IF NOT EXISTS records (
    org        TEXT    NOT NULL,
    document   BLOB    NOT NULL,
    seq        INTEGER NOT NULL CHECK (seq > 0),
    epoch      INTEGER NOT NULL,
    format     INTEGER NOT NULL,                -- layout that the checksum covers
    at_ms      INTEGER NOT NULL,                -- server's clock
    author     TEXT,                            -- user; NULL: the server
    session    TEXT,                            -- idempotency key, first half; NULL: none
    message_no INTEGER,                         -- second half
    previous   INTEGER NOT NULL,                -- checksum of record seq - 1, 0 for the first
    checksum   INTEGER NOT NULL,
    bytes      BLOB    NOT NULL,                -- Yjs update, V1
    PRIMARY KEY (org, document, seq),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX IF NOT EXISTS records_once
    ON records (org, document, session, message_no) WHERE session IS NOT NULL;

-- The fold of records 1 … seq. Not WITHOUT ROWID: the rows are large.
CREATE TABLE IF NOT EXISTS snapshots (
    org          TEXT    NOT NULL,
    document     BLOB    NOT NULL,
    seq          INTEGER NOT NULL CHECK (seq > 0),
    epoch        INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL,
    name         TEXT,                          -- a named version stays until it is removed by hand
    labels       TEXT,                          -- JSON
    pinned       INTEGER NOT NULL DEFAULT 0,    -- 1: never dropped by age
    codec        INTEGER NOT NULL,              -- of state: 0 as it is, 1 zstd
    state_bytes  INTEGER NOT NULL,              -- length of the state when unpacked
    checksum     INTEGER NOT NULL,
    state_vector BLOB    NOT NULL,
    state        BLOB    NOT NULL,
    PRIMARY KEY (org, document, seq),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
) STRICT;

-- Which user stands behind a Yjs client id of a document.
CREATE TABLE IF NOT EXISTS authors (
    org           TEXT    NOT NULL,
    document      BLOB    NOT NULL,
    client        INTEGER NOT NULL,
    author        TEXT    NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    PRIMARY KEY (org, document, client),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
) STRICT, WITHOUT ROWID;
