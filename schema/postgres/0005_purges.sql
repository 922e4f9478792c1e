-- SPDX-License-Identifier: MIT
-- What caches have to forget, until every purge plugin has said that it is done. Written in the transaction that
-- publishes, hides or deletes. The same table as schema/sqlite, and a lease: one node at a time brings a purge
-- to its plugins.
--
--   SELECT org, name, reason, try FROM purges ORDER BY due_ms;

CREATE TABLE IF NOT EXISTS purges (
    org             text     COLLATE "C" NOT NULL,
    id              bigint   NOT NULL,            -- random: it stays the same when an org moves
    name            text     COLLATE "C" NOT NULL,  -- of the document
    reason          text     NOT NULL,            -- published, deleted, made_private, manual
    urgent          smallint NOT NULL,            -- 1: not collected, and answered no-store until it is done
    files           text     NOT NULL,            -- versions that were public, '12-0123456789abcdef 13-…'
    at_ms           bigint   NOT NULL,
    due_ms          bigint   NOT NULL,
    try             bigint   NOT NULL DEFAULT 0,
    leased_until_ms bigint   NOT NULL DEFAULT 0,  -- a node is at it, and nobody else before that time
    PRIMARY KEY (org, id)
);
CREATE INDEX IF NOT EXISTS purges_id ON purges (id);
CREATE INDEX IF NOT EXISTS purges_document ON purges (org, name);
CREATE INDEX IF NOT EXISTS purges_due ON purges (due_ms);

ALTER TABLE purges ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_org ON purges USING (org = current_setting('moonloom.org', true));
