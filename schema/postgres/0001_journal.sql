-- SPDX-License-Identifier: MIT
-- The journal of one shard, readable with plain SQL. The same tables as schema/sqlite.
--
-- Every key begins with the org: an org is moved or cut out by one range, and the tables can be
-- distributed by that column (Citus: create_distributed_table('records', 'org'), and so on). A document
-- is known inside by 128 random bits; its name is looked up within the org and may change. Times are
-- milliseconds since 1970 UTC. Checksums are CRC32C (src/journal/checksum.h has the layouts). Names
-- compare by bytes.
--
--   SELECT name, head, epoch FROM documents WHERE org = 'default' ORDER BY name;
--   SELECT seq, author, at_ms, length(bytes) FROM records JOIN documents USING (org, document)
--     WHERE org = 'default' AND name = 'notes' ORDER BY seq;

CREATE TABLE IF NOT EXISTS orgs (
    org        text   COLLATE "C" PRIMARY KEY,
    created_ms bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS documents (
    org            text   COLLATE "C" NOT NULL REFERENCES orgs (org),
    document       bytea  NOT NULL CHECK (length(document) = 16),
    name           text   COLLATE "C" NOT NULL,
    epoch          bigint NOT NULL DEFAULT 1,  -- changes only when history is replaced
    head           bigint NOT NULL DEFAULT 0,  -- seq of the last record, 0: none
    head_checksum  bigint NOT NULL DEFAULT 0,  -- checksum of that record: a lost tail shows
    snapshot_seq   bigint NOT NULL DEFAULT 0,  -- newest snapshot, 0: none
    record_bytes   bigint NOT NULL DEFAULT 0,  -- sum of records.bytes
    snapshot_bytes bigint NOT NULL DEFAULT 0,  -- sum of snapshots.state as stored
    created_ms     bigint NOT NULL,
    updated_ms     bigint NOT NULL,
    deleted_ms     bigint,                     -- tombstone; NULL: alive
    PRIMARY KEY (org, document),
    UNIQUE (org, name)
) WITH (fillfactor = 70);  -- the head moves with every commit: let it stay on its page

-- A record is in the document if and only if it is here. seq is gapless from 1 (or from the oldest
-- record that retention kept) to documents.head; the document's row lock gives it.
CREATE TABLE IF NOT EXISTS records (
    org        text     COLLATE "C" NOT NULL,
    document   bytea    NOT NULL,
    seq        bigint   NOT NULL CHECK (seq > 0),
    epoch      bigint   NOT NULL,
    format     smallint NOT NULL,               -- layout that the checksum covers
    at_ms      bigint   NOT NULL,               -- server's clock
    author     text,                            -- user; NULL: the server
    session    text     COLLATE "C",            -- idempotency key, first half; NULL: none
    message_no bigint,                          -- second half
    previous   bigint   NOT NULL,               -- checksum of record seq - 1, 0 for the first
    checksum   bigint   NOT NULL,
    bytes      bytea    NOT NULL,               -- Yjs update, V1
    PRIMARY KEY (org, document, seq),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
);
ALTER TABLE records ALTER COLUMN bytes SET STORAGE EXTERNAL;  -- it does not compress

CREATE UNIQUE INDEX IF NOT EXISTS records_once
    ON records (org, document, session, message_no) WHERE session IS NOT NULL;

-- The fold of records 1 … seq.
CREATE TABLE IF NOT EXISTS snapshots (
    org          text     COLLATE "C" NOT NULL,
    document     bytea    NOT NULL,
    seq          bigint   NOT NULL CHECK (seq > 0),
    epoch        bigint   NOT NULL,
    at_ms        bigint   NOT NULL,
    name         text,                          -- a named version stays until it is removed by hand
    labels       text,                          -- JSON
    pinned       smallint NOT NULL DEFAULT 0,   -- 1: never dropped by age
    codec        smallint NOT NULL,             -- of state: 0 as it is, 1 zstd
    state_bytes  bigint   NOT NULL,             -- length of the state when unpacked
    checksum     bigint   NOT NULL,
    state_vector bytea    NOT NULL,
    state        bytea    NOT NULL,
    PRIMARY KEY (org, document, seq),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
);
ALTER TABLE snapshots ALTER COLUMN state SET STORAGE EXTERNAL;

-- Which user stands behind a Yjs client id of a document.
CREATE TABLE IF NOT EXISTS authors (
    org           text   COLLATE "C" NOT NULL,
    document      bytea  NOT NULL,
    client        bigint NOT NULL,
    author        text   NOT NULL,
    first_seen_ms bigint NOT NULL,
    PRIMARY KEY (org, document, client),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
);

-- Whoever reads with a role of their own sees one org: SET moonloom.org = 'acme'. The server owns the
-- tables and is not held to it.
ALTER TABLE orgs ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE records ENABLE ROW LEVEL SECURITY;
ALTER TABLE snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE authors ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_org ON orgs USING (org = current_setting('moonloom.org', true));
CREATE POLICY one_org ON documents USING (org = current_setting('moonloom.org', true));
CREATE POLICY one_org ON records USING (org = current_setting('moonloom.org', true));
CREATE POLICY one_org ON snapshots USING (org = current_setting('moonloom.org', true));
CREATE POLICY one_org ON authors USING (org = current_setting('moonloom.org', true));
