/* SPDX-License-Identifier: MIT */
/*
 * Orgs as a whole in PostgreSQL, on one primary or several. Connections of an administrator: not in
 * pipeline mode, text in, text out.
 */
#include "journal/postgres_orgs.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

PGresult *ml_pg_ask(struct ml_pg *pg, const char *sql, int count, const char *const *values,
                    struct ml_diag *diag)
{
    PGresult *result = PQexecParams(pg->conn, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    (void)ml_diag_set(diag, ML_EIO, 0, "PostgreSQL: %s", PQerrorMessage(pg->conn));
    PQclear(result);
    return NULL;
}

enum ml_err ml_pg_change(struct ml_pg *pg, const char *sql, int count, const char *const *values,
                         uint64_t *rows_out, struct ml_diag *diag)
{
    PGresult *result = ml_pg_ask(pg, sql, count, values, diag);

    if (!result)
        return ML_EIO;
    if (rows_out)
        *rows_out = strtoull(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return ML_OK;
}

enum ml_err ml_pg_open_primary(struct ml_pg *pg, const struct ml_shard_address *address,
                               struct ml_diag *diag)
{
    struct ml_diag why = {0};
    PGresult *result;
    enum ml_err err;

    *pg = (struct ml_pg){0};
    err = ml_pg_connect(pg, address->url, false, &why);
    if (!err)
        err = ml_pg_check_schema(pg, &why);
    if (!err)
        err = ml_pg_plain_run(pg, "SET lock_timeout = '10s'", &why);
    if (!err && address->name[0]) {
        result = ml_pg_ask(pg, "SELECT name FROM shard_name", 0, NULL, &why);
        if (!result)
            err = ML_EIO;
        else if (PQntuples(result) && strcmp(PQgetvalue(result, 0, 0), address->name) != 0)
            err = ml_diag_set(&why, ML_EFORMAT, 0, "it calls itself %s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    if (!err)
        return ML_OK;
    ml_pg_close(pg);
    if (address->name[0])
        return ml_diag_set(diag, err, 0, "primary %s: %s", address->name, why.text);
    return ml_diag_set(diag, err, 0, "%s", why.text);
}

enum ml_err ml_pg_drain_writers(struct ml_pg *pg, const char *org, struct ml_diag *diag)
{
    enum ml_err err = ml_pg_change(pg, "SELECT pg_advisory_lock(" ML_PG_FENCE ", hashtext($1))", 1,
                                   &org, NULL, diag);

    if (err)
        return err;
    return ml_pg_change(pg, "SELECT pg_advisory_unlock(" ML_PG_FENCE ", hashtext($1))", 1, &org,
                        NULL, diag);
}

/* ---- Which primary --------------------------------------------------------------------------- */

bool ml_pg_org_text(struct ml_slice org, char out[ML_PG_ORG_TEXT])
{
    if (org.len >= ML_PG_ORG_TEXT)
        return false;
    memcpy(out, org.ptr, org.len);
    out[org.len] = '\0';
    return true;
}

static size_t take_wanted(void *arg, struct ml_slice org)
{
    (void)org;
    return *(const size_t *)arg;
}

/* `wanted` NULL: it is only looked for. ML_ENOTFOUND: it is nowhere. */
static enum ml_err find_org(const struct ml_shard_list *list, struct ml_slice org, size_t *wanted,
                            unsigned *which_out, struct ml_diag *diag)
{
    struct ml_shard_finder *finder;
    enum ml_err err;

    *which_out = 0;
    if (!list->items[0].name[0])
        return ML_OK;
    finder = ml_shard_finder_new(list);
    if (!finder)
        return ML_ELIMIT;
    err = ml_shard_find(finder, org, wanted ? take_wanted : NULL, wanted, which_out, diag);
    ml_shard_finder_free(finder);
    if (err == ML_ENOTFOUND)
        (void)ml_diag_set(diag, err, 0, "there is no such org");
    return err;
}

static enum ml_err open_home(const struct ml_shard_list *list, struct ml_slice org,
                             struct ml_pg *pg, struct ml_diag *diag)
{
    unsigned which;
    enum ml_err err = find_org(list, org, NULL, &which, diag);

    return err ? err : ml_pg_open_primary(pg, &list->items[which], diag);
}

/* ---- Listing --------------------------------------------------------------------------------- */

static struct ml_slice text_of(const PGresult *result, int row, int column)
{
    return ml_slice_make(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
}

static int64_t number_of(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static enum ml_err list_one(const struct ml_shard_address *address, ml_org_each each, void *arg,
                            struct ml_diag *diag)
{
    static const char sql[] =
        "SELECT o.org, o.created_ms, o.suspended_ms, o.removed_ms, coalesce(o.leaving_to, ''),"
        " coalesce(d.count, 0), coalesce(d.bytes, 0) FROM orgs AS o LEFT JOIN (SELECT org,"
        "  count(*), sum(record_bytes + snapshot_bytes) AS bytes FROM documents GROUP BY org) AS d"
        " ON d.org = o.org WHERE o.moved_to IS NULL AND o.arriving_from IS NULL ORDER BY o.org";
    struct ml_pg pg;
    PGresult *result;
    enum ml_err err = ml_pg_open_primary(&pg, address, diag);

    if (err)
        return err;
    result = ml_pg_ask(&pg, sql, 0, NULL, diag);
    for (int i = 0; i < PQntuples(result); i++) {
        const struct ml_org_facts facts = {
            .org = text_of(result, i, 0),
            .primary = ml_slice_str(address->name),
            .created_ms = number_of(result, i, 1),
            .suspended_ms = number_of(result, i, 2),
            .removed_ms = number_of(result, i, 3),
            .moving_to = text_of(result, i, 4),
            .documents = (uint64_t)number_of(result, i, 5),
            .bytes = (uint64_t)number_of(result, i, 6),
        };

        each(arg, &facts);
    }
    err = result ? ML_OK : ML_EIO;
    PQclear(result);
    ml_pg_close(&pg);
    return err;
}

enum ml_err ml_pg_orgs_list(const struct ml_shard_list *list, ml_org_each each, void *arg,
                            struct ml_diag *diag)
{
    enum ml_err first = ML_OK;

    for (size_t i = 0; i < list->count; i++) {
        enum ml_err err = list_one(&list->items[i], each, arg, first ? NULL : diag);

        first = first ? first : err;
    }
    return first;
}

/* ---- Adding, suspending ---------------------------------------------------------------------- */

static enum ml_err insert(struct ml_pg *pg, const char *org, uint64_t *rows, struct ml_diag *diag)
{
    char now[24];
    const char *values[2] = {org, now};

    (void)snprintf(now, sizeof now, "%lld", (long long)ml_clock_wall_ms());
    return ml_pg_change(pg,
                        "INSERT INTO orgs AS o (org, created_ms) VALUES ($1, $2) ON CONFLICT (org)"
                        " DO UPDATE SET created_ms = excluded.created_ms, removed_ms = NULL,"
                        " suspended_ms = NULL WHERE o.removed_ms IS NOT NULL AND o.moved_to IS NULL"
                        " AND NOT EXISTS (SELECT 1 FROM documents AS d WHERE d.org = o.org)",
                        2, values, rows, diag);
}

enum ml_err ml_pg_org_add(const struct ml_shard_list *list, struct ml_slice org,
                          const char *primary, struct ml_diag *diag)
{
    size_t wanted = primary ? ml_shard_index(list, ml_slice_str(primary)) : SIZE_MAX;
    char text[ML_PG_ORG_TEXT];
    bool is_placed = false; /* by this call */
    unsigned which;
    uint64_t rows = 0;
    struct ml_pg pg;
    enum ml_err err;

    if (!ml_pg_org_text(org, text))
        return ML_ELIMIT;
    if (primary && wanted == SIZE_MAX)
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no primary %s", primary);
    err = find_org(list, org, NULL, &which, diag);
    if (err == ML_ENOTFOUND) {
        is_placed = true;
        err = find_org(list, org, &wanted, &which, diag);
    }
    if (!err)
        err = ml_pg_open_primary(&pg, &list->items[which], diag);
    if (err)
        return err;
    err = insert(&pg, text, &rows, diag);
    ml_pg_close(&pg);
    if (err)
        return err;
    if (!rows && !is_placed)
        return ml_diag_set(diag, ML_ECONFLICT, 0,
                           "there is such an org, or its rows are still being removed");
    if (primary && which != wanted)
        return ml_diag_set(diag, ML_ECONFLICT, 0, "the org is on %s: moonloom org move",
                           list->items[which].name);
    return ML_OK;
}

enum ml_err ml_pg_org_suspend(const struct ml_shard_list *list, struct ml_slice org,
                              bool is_suspended, struct ml_diag *diag)
{
    char text[ML_PG_ORG_TEXT], now[24];
    const char *values[2] = {text, now};
    uint64_t rows = 0;
    struct ml_pg pg;
    enum ml_err err;

    if (!ml_pg_org_text(org, text))
        return ML_ELIMIT;
    err = open_home(list, org, &pg, diag);
    if (err)
        return err;
    (void)snprintf(now, sizeof now, "%lld", (long long)ml_clock_wall_ms());
    err = ml_pg_change(&pg,
                       is_suspended
                           ? "UPDATE orgs SET suspended_ms = coalesce(suspended_ms, $2) WHERE org ="
                             " $1 AND removed_ms IS NULL AND moved_to IS NULL"
                           : "UPDATE orgs SET suspended_ms = NULL WHERE org = $1 AND removed_ms IS"
                             " NULL AND moved_to IS NULL AND $2 <> ''",
                       2, values, &rows, diag);
    if (!err && rows && is_suspended)
        err = ml_pg_drain_writers(&pg, text, diag);
    ml_pg_close(&pg);
    if (!err && !rows)
        err = ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no such org");
    return err;
}

/* ---- Removing -------------------------------------------------------------------------------- */

/* What was public is noted for the caches once, in the statement that forgets it. */
static const char hide_sql[] =
    "WITH gone AS (UPDATE documents SET published = 0 WHERE org = $1 AND ctid = ANY (ARRAY("
    "  SELECT ctid FROM documents WHERE org = $1 AND published > 0 LIMIT $2::bigint))"
    "  RETURNING org, document, name)"
    " INSERT INTO purges (org, id, name, reason, urgent, files, at_ms, due_ms)"
    " SELECT g.org, ('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 16))::bit(64)"
    "  ::bigint & ((1::bigint << $4::int) - 1), g.name, $5, 1, coalesce((SELECT string_agg(f, ' ')"
    "   FROM (SELECT v.number || '-' || v.hash AS f FROM versions AS v WHERE v.org = g.org"
    "    AND v.document = g.document AND v.hash IS NOT NULL ORDER BY v.number DESC"
    "    LIMIT $6::bigint) AS files), ''), $3::bigint, $3::bigint FROM gone AS g";

/* In an order that references allow. */
static const char *const tables[] = {"records",   "versions", "snapshots", "authors",
                                     "documents", "kv",       "jobs",      "kv_revs"};

enum ml_err ml_pg_drop_rows(struct ml_pg *pg, const char *org, bool with_purges,
                            ml_org_progress progress, void *arg, uint64_t *gone,
                            struct ml_diag *diag)
{
    char sql[256], batch[24];
    const char *values[2] = {org, batch};
    enum ml_err err = ML_OK;

    (void)snprintf(batch, sizeof batch, "%u", ML_ORG_BATCH);
    for (size_t i = 0; i < sizeof tables / sizeof *tables + with_purges && !err; i++) {
        const char *table = i < sizeof tables / sizeof *tables ? tables[i] : "purges";
        uint64_t rows = 1;

        (void)snprintf(sql, sizeof sql,
                       "DELETE FROM %s WHERE org = $1 AND ctid = ANY (ARRAY(SELECT ctid FROM %s"
                       " WHERE org = $1 LIMIT $2::bigint))",
                       table, table);
        while (rows && !err) {
            err = ml_pg_change(pg, sql, 2, values, &rows, diag);
            *gone += err ? 0 : rows;
            if (!err && rows && progress)
                progress(arg, *gone);
        }
    }
    return err;
}

static enum ml_err hide_published(struct ml_pg *pg, const char *org, struct ml_diag *diag)
{
    char batch[24], now[24], bits[24], files[24];
    const char *values[6] = {org, batch, now, bits, ml_purge_reasons[ML_PURGE_DELETED], files};
    uint64_t rows = 1;
    enum ml_err err = ML_OK;

    (void)snprintf(batch, sizeof batch, "%u", ML_ORG_BATCH);
    (void)snprintf(now, sizeof now, "%lld", (long long)ml_clock_wall_ms());
    (void)snprintf(bits, sizeof bits, "%u", (unsigned)ML_PURGE_ID_BITS);
    (void)snprintf(files, sizeof files, "%u", (unsigned)ML_PURGE_FILES_MAX);
    while (rows && !err)
        err = ml_pg_change(pg, hide_sql, 6, values, &rows, diag);
    return err;
}

/* *was_open: it is this call that shut it. */
static enum ml_err shut(struct ml_pg *pg, const char *org, bool *was_open, struct ml_diag *diag)
{
    char now[24];
    const char *values[2] = {org, now};
    uint64_t rows = 0;
    PGresult *result;
    enum ml_err err;

    (void)snprintf(now, sizeof now, "%lld", (long long)ml_clock_wall_ms());
    err = ml_pg_change(pg,
                       "UPDATE orgs SET removed_ms = $2 WHERE org = $1 AND removed_ms IS NULL"
                       " AND moved_to IS NULL AND leaving_to IS NULL AND arriving_from IS NULL",
                       2, values, &rows, diag);
    *was_open = rows > 0;
    if (err || rows)
        return err;
    result = ml_pg_ask(pg,
                       "SELECT removed_ms IS NOT NULL, coalesce(leaving_to, '') FROM orgs"
                       " WHERE org = $1 AND moved_to IS NULL AND arriving_from IS NULL",
                       1, values, diag);
    if (!result)
        return ML_EIO;
    if (!PQntuples(result))
        err = ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no such org");
    else if (PQgetvalue(result, 0, 0)[0] != 't')
        err = ml_diag_set(diag, ML_EBUSY, 0,
                          "it is being moved to %s: let that end, or moonloom org move --abort",
                          PQgetvalue(result, 0, 1));
    PQclear(result);
    return err;
}

enum ml_err ml_pg_org_remove(const struct ml_shard_list *list, struct ml_slice org,
                             ml_org_progress progress, void *arg, struct ml_diag *diag)
{
    char text[ML_PG_ORG_TEXT];
    bool was_open = false;
    uint64_t gone = 0;
    struct ml_pg pg;
    enum ml_err err;

    if (!ml_pg_org_text(org, text))
        return ML_ELIMIT;
    err = open_home(list, org, &pg, diag);
    if (err)
        return err;
    err = shut(&pg, text, &was_open, diag);
    if (!err)
        err = ml_pg_drain_writers(&pg, text, diag);
    if (!err)
        err = hide_published(&pg, text, diag);
    if (!err)
        err = ml_pg_drop_rows(&pg, text, false, progress, arg, &gone, diag);
    if (!err && !was_open && !gone)
        err = ml_diag_set(diag, ML_ENOTFOUND, 0, "the org was removed");
    ml_pg_close(&pg);
    return err;
}
