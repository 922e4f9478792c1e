-- SPDX-License-Identifier: MIT
-- Versions: every snapshot has a number and a name; what of them is public; how far the records were compacted.
--
--   SELECT number, name, seq, author, pinned FROM versions
--     WHERE (org, document) = (SELECT org, document FROM documents
--                              WHERE org = 'default' AND name = 'notes') ORDER BY number;

ALTER TABLE documents ADD COLUMN versions INTEGER NOT NULL DEFAULT 0;       -- last number given
ALTER TABLE documents ADD COLUMN compacted_seq INTEGER NOT NULL DEFAULT 0;  -- records up to here were dropped
ALTER TABLE documents ADD COLUMN published INTEGER NOT NULL DEFAULT 0;      -- number of the public version, 0: private

-- The snapshot of `seq` is kept as long as a version stands for it.
CREATE TABLE versions (
    org      TEXT    NOT NULL,
    document BLOB    NOT NULL,
    number   INTEGER NOT NULL CHECK (number > 0),
    name     TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    author   TEXT,                        -- user; NULL: the server
    labels   TEXT,                        -- a JSON object; NULL: none
    named    INTEGER NOT NULL DEFAULT 0,  -- 1: made by somebody; 0: by the cadence
    pinned   INTEGER NOT NULL DEFAULT 0,  -- 1: no retention removes it
    hash     TEXT,                        -- published under this; NULL: never
    root     TEXT,                        -- what of it was published
    PRIMARY KEY (org, document, number),
    UNIQUE (org, document, name),
    FOREIGN KEY (org, document) REFERENCES documents (org, document)
) STRICT, WITHOUT ROWID;
CREATE INDEX versions_seq ON versions (org, document, seq);

INSERT INTO versions (org, document, number, name, seq, epoch, at_ms, labels, named, pinned)
    SELECT org, document, n, printf('%06d-', n) || strftime('%Y%m%dT%H%M%SZ', at_ms / 1000, 'unixepoch'), seq, epoch,
           at_ms, labels, name IS NOT NULL, pinned
    FROM (SELECT *, row_number() OVER (PARTITION BY org, document ORDER BY seq) AS n FROM snapshots);
UPDATE documents SET versions = (SELECT count(*) FROM versions AS v
    WHERE v.org = documents.org AND v.document = documents.document);
