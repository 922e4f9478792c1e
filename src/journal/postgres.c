/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL beneath the threads of threads.c: two connections to one primary.
 *
 * Nothing of ours is locked or cached between two transactions, so any number of nodes may stand
 * over one database: the row lock of a document is the only serializer (REL-20). A connection that
 * was lost during a COMMIT leaves the outcome unknown; the retry with the same keys finds out which
 * (REL-14).
 */
#include "journal/postgres.h"
#include "journal/shards.h"

#include <stdlib.h>

struct postgres {
    struct ml_backing base;
    char *url;
    struct ml_pg_identity identity;
    struct ml_pg writer, reader;
};

static struct postgres *postgres_of(struct ml_backing *backing)
{
    return ML_CONTAINER(backing, struct postgres, base);
}

static bool postgres_is_open(const struct ml_backing *backing, enum ml_side side)
{
    const struct postgres *p =
        (const struct postgres *)(const void *)((const char *)backing -
                                                offsetof(struct postgres, base));

    return side == ML_SIDE_WRITE ? p->writer.conn != NULL : p->reader.conn != NULL;
}

static enum ml_err postgres_open(struct ml_backing *backing, enum ml_side side,
                                 struct ml_diag *diag)
{
    struct postgres *p = postgres_of(backing);

    if (side == ML_SIDE_WRITE)
        return ml_pg_open(&p->writer, p->url, true, ml_pg_write_sql, &p->identity, diag);
    return ml_pg_open(&p->reader, p->url, false, ml_pg_read_sql, &p->identity, diag);
}

static void postgres_close(struct ml_backing *backing, enum ml_side side)
{
    struct postgres *p = postgres_of(backing);

    ml_pg_close(side == ML_SIDE_WRITE ? &p->writer : &p->reader);
}

static enum ml_err postgres_commit_appends(struct ml_backing *backing, struct ml_append **appends,
                                           size_t count, struct ml_journal_stats *stats,
                                           struct ml_diag *diag)
{
    return ml_pg_commit_appends(&postgres_of(backing)->writer, appends, count, stats, diag);
}

static enum ml_err postgres_commit_alone(struct ml_backing *backing, struct ml_journal_node *node,
                                         struct ml_diag *diag)
{
    struct ml_pg *pg = &postgres_of(backing)->writer;

    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_SNAPSHOT:
        return ml_pg_commit_snapshot(pg, ml_snapshot_of(node), diag);
    case ML_REQUEST_STORE_WRITE:
        return ml_pg_commit_store(pg, ml_store_write_of(node), diag);
    case ML_REQUEST_CHANGE_VERSION:
        return ml_pg_commit_version_change(pg, ml_version_change_of(node), diag);
    case ML_REQUEST_COMPACT:
        return ml_pg_commit_compact(pg, ml_compact_of(node), diag);
    case ML_REQUEST_NOTE_PURGE:
        return ml_pg_commit_purge(pg, ml_purge_note_of(node), diag);
    default:
        return ml_pg_commit_deleted(pg, ml_set_deleted_of(node), diag);
    }
}

static enum ml_err postgres_read(struct ml_backing *backing, struct ml_journal_node *node)
{
    struct ml_pg *pg = &postgres_of(backing)->reader;

    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_LOAD:
        return ml_load_of(node)->err = ml_pg_read_load(pg, ml_load_of(node));
    case ML_REQUEST_LIST:
        return ml_list_of(node)->err = ml_pg_read_list(pg, ml_list_of(node));
    case ML_REQUEST_DESCRIBE:
        return ml_describe_of(node)->err = ml_pg_read_describe(pg, ml_describe_of(node));
    case ML_REQUEST_HISTORY:
        return ml_history_of(node)->err = ml_pg_read_history(pg, ml_history_of(node));
    case ML_REQUEST_HEADS:
        return ml_heads_of(node)->err = ml_pg_read_heads(pg, ml_heads_of(node));
    case ML_REQUEST_STORE_READ:
        return ml_store_read_of(node)->err = ml_pg_read_store(pg, ml_store_read_of(node));
    case ML_REQUEST_VERSIONS:
        return ml_versions_of(node)->err = ml_pg_read_versions(pg, ml_versions_of(node));
    case ML_REQUEST_PURGES:
        return ml_purges_of(node)->err = ml_pg_read_purges(pg, ml_purges_of(node));
    case ML_REQUEST_APPEND:
    case ML_REQUEST_SNAPSHOT:
    case ML_REQUEST_SET_DELETED:
    case ML_REQUEST_CHANGE_VERSION:
    case ML_REQUEST_COMPACT:
    case ML_REQUEST_NOTE_PURGE:
    case ML_REQUEST_STORE_WRITE:
        break; /* the writer's */
    }
    return ML_OK;
}

static void postgres_free(struct ml_backing *backing)
{
    struct postgres *p = postgres_of(backing);

    ml_pg_close(&p->writer);
    ml_pg_close(&p->reader);
    ml_pg_identity_release(&p->identity);
    free(p->url);
    free(p);
}

static const struct ml_backing_ops postgres_ops = {
    .open = postgres_open,
    .close = postgres_close,
    .is_open = postgres_is_open,
    .commit_appends = postgres_commit_appends,
    .commit_alone = postgres_commit_alone,
    .read = postgres_read,
    .free = postgres_free,
};

static enum ml_err open_sides(struct postgres *p, bool may_wait, struct ml_diag *diag)
{
    enum ml_err err = postgres_open(&p->base, ML_SIDE_WRITE, diag);

    if (err == ML_EIO && may_wait)
        return ML_OK; /* both sides are opened when they are needed */
    return err ? err : postgres_open(&p->base, ML_SIDE_READ, diag);
}

static enum ml_err open_journal(const char *url, bool may_wait, uv_loop_t *loop,
                                struct ml_diag *diag, struct ml_journal **journal_out)
{
    struct postgres *p = calloc(1, sizeof *p);
    enum ml_err err;

    if (!p)
        return ML_ELIMIT;
    p->base.ops = &postgres_ops;
    ml_pg_identity_init(&p->identity);
    p->url = strdup(url);
    err = p->url ? open_sides(p, may_wait, diag) : ML_ELIMIT;
    if (err) {
        postgres_free(&p->base);
        return err;
    }
    return ml_journal_start_threads(&p->base, loop, diag, journal_out);
}

enum ml_err ml_journal_open_postgres(const char *url, uv_loop_t *loop, struct ml_diag *diag,
                                     struct ml_journal **journal_out)
{
    return open_journal(url, false, loop, diag, journal_out);
}

enum ml_err ml_journal_open_postgres_later(const char *url, uv_loop_t *loop, struct ml_diag *diag,
                                           struct ml_journal **journal_out)
{
    return open_journal(url, true, loop, diag, journal_out);
}
