-- SPDX-License-Identifier: MIT
-- Versions: every snapshot has a number and a name; what of them is public; how far the records were compacted.
--
--   SELECT number, v.name, seq, author, pinned FROM versions v JOIN documents d USING (org, document)
--     WHERE org = 'default' AND d.name = 'notes' ORDER BY number;

ALTER TABLE documents ADD COLUMN IF NOT EXISTS versions      bigint NOT NULL DEFAULT 0;  -- last number given
ALTER TABLE documents ADD COLUMN IF NOT EXISTS compacted_seq bigint NOT NULL DEFAULT 0;  -- records up to here were dropped
ALTER TABLE documents ADD COLUMN IF NOT EXISTS published     bigint NOT NULL DEFAULT 0;  -- the public version, 0: private

-- The snapshot of `seq` is kept as long as a version stands for it.
CREATE TABLE IF NOT EXISTS versions (
    org      text     COLLATE "C" NOT NULL,
    document bytea    NOT NULL,
    number   bigint   NOT NULL CHECK (number > 0),
    name     text     COLLATE "C" NOT NULL,
    seq      bigint   NOT NULL,
    epoch    bigint   NOT NULL,
    at_ms    bigint   NOT NULL,
    author   text,                         -- user; NULL: the server
    labels   text,                         -- a JSON object; NULL: none
    named    smallint NOT NULL DEFAULT 0,  -- 1: made by somebody; 0: by the cadence
    pinned   smallint NOT NULL DEFAULT 0,  -- 1: no retention removes it
    hash     text,                         -- published under this; NULL: never
    root     text,                         -- what of it was published
    PRIMARY KEY (org, document, number),
    UNIQUE (org, document, name),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
);
CREATE INDEX IF NOT EXISTS versions_seq ON versions (org, document, seq);

ALTER TABLE versions ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_org ON versions USING (org = current_setting('moonloom.org', true));
