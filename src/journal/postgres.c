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
    char *copy_urls[ML_REPLICAS_MAX];
    size_t copy_count;
    struct ml_pg_copies *copies; /* NULL: none */
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
        return ml_pg_open(&p->writer, p->url, ML_PG_WRITER, ml_pg_write_sql, &p->identity, diag);
    return ml_pg_open(&p->reader, p->url, ML_PG_READER, ml_pg_read_sql, &p->identity, diag);
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

static enum ml_err commit_alone(struct ml_pg *pg, struct ml_journal_node *node,
                                struct ml_diag *diag)
{
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

static enum ml_err postgres_commit_alone(struct ml_backing *backing, struct ml_journal_node *node,
                                         struct ml_diag *diag)
{
    struct ml_pg *pg = &postgres_of(backing)->writer;
    struct ml_slice org = ml_request_org(node);
    enum ml_gate gate;
    enum ml_err err;

    if (!ml_org_has_gate(org))
        return commit_alone(pg, node, diag);
    err = ml_pg_enter(pg, org, &gate, diag);
    if (!err && !ml_gate_turns_away(gate, node))
        err = commit_alone(pg, node, diag);
    return err ? err : ml_pg_leave(pg, org, diag); /* an error ends the connection */
}

static enum ml_err read_all(struct ml_pg *pg, struct ml_journal_node *node)
{
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

/* As if it had not been asked. */
static void start_again(struct ml_journal_node *node)
{
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_LOAD:
        ml_load_release(ml_load_of(node));
        ml_load_of(node)->exists = ml_load_of(node)->is_compacted = false;
        break;
    case ML_REQUEST_LIST:
        ml_list_documents_release(ml_list_of(node));
        ml_list_of(node)->more = false;
        break;
    case ML_REQUEST_DESCRIBE:
        ml_describe_release(ml_describe_of(node));
        ml_describe_of(node)->exists = false;
        ml_describe_of(node)->deleted_ms = 0;
        break;
    case ML_REQUEST_HISTORY:
        ml_history_release(ml_history_of(node));
        ml_history_of(node)->exists = ml_history_of(node)->more = false;
        break;
    case ML_REQUEST_VERSIONS:
        ml_versions_release(ml_versions_of(node));
        ml_versions_of(node)->exists = ml_versions_of(node)->more = false;
        ml_versions_of(node)->is_purging = false;
        break;
    case ML_REQUEST_STORE_READ:
        ml_arena_reset(&ml_store_read_of(node)->arena);
        ml_store_read_of(node)->pairs = NULL;
        ml_store_read_of(node)->jobs = NULL;
        ml_store_read_of(node)->count = 0;
        ml_store_read_of(node)->more = false;
        break;
    default:
        break; /* of many orgs */
    }
    ml_request_fail(node, ML_OK, "");
}

/* The org is asked about afterwards: if it was open then, what was read before is what it has. */
static enum ml_err read_with(struct ml_pg *pg, struct ml_journal_node *node)
{
    struct ml_slice org = ml_request_org(node);
    struct ml_diag diag = {0};
    enum ml_gate gate;
    enum ml_err err = read_all(pg, node);

    if (err == ML_EIO || !ml_org_has_gate(org))
        return err;
    if (ml_pg_look_at_gate(pg, org, &gate, &diag)) {
        start_again(node);
        ml_request_fail(node, ML_EIO, diag.text);
        return ML_EIO;
    }
    if (gate == ML_GATE_OPEN || (gate == ML_GATE_HELD && !ml_request_writes(node)))
        return err;
    if (gate != ML_GATE_ELSEWHERE && node->kind == ML_REQUEST_STORE_READ)
        return err;
    start_again(node);
    (void)ml_gate_turns_away(gate, node);
    return ML_OK;
}

static enum ml_err postgres_read(struct ml_backing *backing, struct ml_journal_node *node)
{
    return read_with(&postgres_of(backing)->reader, node);
}

static bool postgres_has_copies(const struct ml_backing *backing)
{
    const struct postgres *p =
        (const struct postgres *)(const void *)((const char *)backing -
                                                offsetof(struct postgres, base));

    return p->copies != NULL;
}

static enum ml_err postgres_read_copy(struct ml_backing *backing, struct ml_journal_node *node)
{
    struct postgres *p = postgres_of(backing);
    struct ml_pg *pg = ml_pg_copy_up_to_date(p->copies);
    enum ml_err err;

    if (!pg)
        return ML_EBUSY;
    err = read_with(pg, node);
    if (err != ML_EIO && err != ML_EFORMAT)
        return ML_OK;
    ml_pg_copy_failed(p->copies, NULL); /* the primary has the last word on what is damaged */
    start_again(node);
    return ML_EBUSY;
}

static void postgres_close_copies(struct ml_backing *backing)
{
    ml_pg_copies_close(postgres_of(backing)->copies);
}

static void postgres_free(struct ml_backing *backing)
{
    struct postgres *p = postgres_of(backing);

    ml_pg_close(&p->writer);
    ml_pg_close(&p->reader);
    ml_pg_copies_free(p->copies);
    for (size_t i = 0; i < p->copy_count; i++)
        free(p->copy_urls[i]);
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
    .has_copies = postgres_has_copies,
    .read_copy = postgres_read_copy,
    .close_copies = postgres_close_copies,
    .free = postgres_free,
};

static enum ml_err open_sides(struct postgres *p, bool may_wait, struct ml_diag *diag)
{
    enum ml_err err = postgres_open(&p->base, ML_SIDE_WRITE, diag);

    if (err == ML_EIO && may_wait)
        return ML_OK; /* both sides are opened when they are needed */
    return err ? err : postgres_open(&p->base, ML_SIDE_READ, diag);
}

static enum ml_err use_copies(struct postgres *p, char *const *copies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        p->copy_urls[i] = strdup(copies[i]);
        if (!p->copy_urls[i])
            return ML_ELIMIT;
        p->copy_count++;
    }
    if (count)
        p->copies = ml_pg_copies_new(p->url, p->copy_urls, count, &p->identity);
    return count && !p->copies ? ML_ELIMIT : ML_OK;
}

static enum ml_err open_journal(const struct ml_shard_address *address, bool may_wait,
                                uv_loop_t *loop, struct ml_diag *diag,
                                struct ml_journal **journal_out)
{
    struct postgres *p = calloc(1, sizeof *p);
    enum ml_err err;

    if (!p)
        return ML_ELIMIT;
    p->base.ops = &postgres_ops;
    ml_pg_identity_init(&p->identity);
    p->url = strdup(address->url);
    err = p->url ? use_copies(p, address->replicas, address->replica_count) : ML_ELIMIT;
    if (!err)
        err = open_sides(p, may_wait, diag);
    if (err) {
        postgres_free(&p->base);
        return err;
    }
    return ml_journal_start_threads(&p->base, loop, diag, journal_out);
}

enum ml_err ml_journal_open_postgres(const char *url, uv_loop_t *loop, struct ml_diag *diag,
                                     struct ml_journal **journal_out)
{
    const struct ml_shard_address address = {.url = (char *)(uintptr_t)url};

    return open_journal(&address, false, loop, diag, journal_out);
}

enum ml_err ml_journal_open_postgres_later(const struct ml_shard_address *address, uv_loop_t *loop,
                                           struct ml_diag *diag, struct ml_journal **journal_out)
{
    return open_journal(address, true, loop, diag, journal_out);
}
