-- SPDX-License-Identifier: MIT
-- What caches have to forget, until every purge plugin has said that it is done. Written in the transaction that
-- publishes, hides or deletes.
--
--   SELECT org, name, reason, try, why FROM purges ORDER BY due_ms;

CREATE TABLE purges (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    org    TEXT    NOT NULL,
    name   TEXT    NOT NULL,              -- of the document
    reason TEXT    NOT NULL,              -- published, deleted, made_private, manual
    urgent INTEGER NOT NULL,              -- 1: not collected, and answered no-store until it is done
    files  TEXT    NOT NULL,              -- versions that were public, "12-0123456789abcdef 13-…"
    at_ms  INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    try    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX purges_document ON purges (org, name);
CREATE INDEX purges_due ON purges (due_ms);
