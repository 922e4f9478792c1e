/* SPDX-License-Identifier: MIT */
/*
 * Purges in PostgreSQL. Many nodes look at the same rows: whoever wants to bring a purge to its
 * plugins takes it first, all rows of the document or none, for a time. A node that dies with it
 * leaves the lease to end.
 */
#include "journal/postgres.h"

#include "base/assert.h"

#include <stdlib.h>
#include <sys/random.h>

static const char push_sql[] =
    "INSERT INTO purges (org, id, name, reason, urgent, files, at_ms, due_ms)"
    " SELECT d.org, $3::bigint, d.name, $4::text, $5::bigint, coalesce((SELECT string_agg(f, ' ')"
    "  FROM (SELECT v.number || '-' || v.hash AS f FROM versions AS v WHERE v.org = d.org"
    "   AND v.document = d.document AND v.hash IS NOT NULL ORDER BY v.number DESC"
    "   LIMIT $8::bigint) AS files), ''), $6::bigint, $7::bigint"
    " FROM documents AS d WHERE d.org = $1::text AND d.name = $2::text";
static const char is_purging_sql[] =
    "SELECT 1 FROM purges WHERE org = $1::text AND name = $2::text AND urgent = 1 LIMIT 1";
static const char list_sql[] =
    "SELECT id, org, name, reason, files, at_ms, greatest(due_ms, leased_until_ms), try"
    " FROM purges AS p WHERE NOT EXISTS (SELECT 1 FROM orgs AS o WHERE o.org = p.org AND"
    " " ML_PG_ON_ITS_WAY ") ORDER BY greatest(due_ms, leased_until_ms), id LIMIT $1::bigint";
static const char done_sql[] = "DELETE FROM purges WHERE id = ANY ($1::bigint[])";
static const char retry_sql[] = "UPDATE purges SET due_ms = $2::bigint, try = try + 1,"
                                " leased_until_ms = 0 WHERE id = ANY ($1::bigint[])";
static const char lock_sql[] = "SELECT id FROM purges WHERE id = ANY ($1::bigint[])"
                               " AND leased_until_ms <= $2::bigint ORDER BY id FOR UPDATE";
static const char take_sql[] =
    "UPDATE purges SET leased_until_ms = $2::bigint WHERE id = ANY ($1::bigint[])";

struct purging {
    struct ml_pg *pg;
    struct ml_pg_args args;
    struct ml_diag *diag;
};

static enum ml_err run(struct purging *p, const char *sql, size_t *rows_out)
{
    PGresult *result = ml_pg_query(p->pg, sql, &p->args, p->diag);

    if (result && rows_out)
        *rows_out = strtoull(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

static enum ml_err run_plain(struct purging *p, const char *sql)
{
    ml_pg_args_reset(&p->args);
    return run(p, sql, NULL);
}

enum ml_err ml_pg_push_purge(struct ml_pg *pg, struct ml_pg_args *args, struct ml_slice org,
                             struct ml_slice name, enum ml_purge_reason reason, int64_t at_ms,
                             bool *pushed_out, struct ml_diag *diag)
{
    struct purging p = {.pg = pg, .diag = diag};
    bool is_urgent = ml_purge_is_urgent(reason);
    uint64_t id = 0;
    size_t rows = 0;
    enum ml_err err;

    if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id)
        return ml_diag_set(diag, ML_EIO, 0, "no random bytes");
    p.args = *args;
    ml_pg_args_reset(&p.args);
    ml_pg_text(&p.args, org);
    ml_pg_text(&p.args, name);
    ml_pg_int8(&p.args, (int64_t)(id >> (64 - ML_PURGE_ID_BITS)));
    ml_pg_text(&p.args, ml_slice_str(ml_purge_reasons[reason]));
    ml_pg_int8(&p.args, is_urgent);
    ml_pg_int8(&p.args, at_ms);
    ml_pg_int8(&p.args, is_urgent ? at_ms : at_ms + ML_PURGE_COLLECT_MS);
    ml_pg_int8(&p.args, ML_PURGE_FILES_MAX);
    err = run(&p, push_sql, &rows);
    *args = p.args; /* its memory may have moved */
    if (pushed_out)
        *pushed_out = rows > 0;
    return err;
}

enum ml_err ml_pg_is_purging(struct ml_pg *pg, struct ml_pg_args *args, struct ml_slice org,
                             struct ml_slice name, bool *out, struct ml_diag *diag)
{
    PGresult *result;

    ml_pg_args_reset(args);
    ml_pg_text(args, org);
    ml_pg_text(args, name);
    result = ml_pg_query(pg, is_purging_sql, args, diag);
    if (!result)
        return ML_EIO;
    *out = PQntuples(result) > 0;
    PQclear(result);
    return ML_OK;
}

static void by_ids(struct purging *p, const struct ml_purge_note *note)
{
    ml_pg_args_reset(&p->args);
    ml_pg_array(&p->args, ML_PG_INT8_ARRAY, note->count);
    for (size_t i = 0; i < note->count; i++)
        ml_pg_item_int8(&p->args,
                        (int64_t)(note->ids[i] & (((uint64_t)1 << ML_PURGE_ID_BITS) - 1)));
}

/* All of them or none: a row that is gone or leased means that somebody else is at it. */
static enum ml_err take(struct purging *p, struct ml_purge_note *note)
{
    PGresult *result;
    size_t free_rows;

    by_ids(p, note);
    ml_pg_int8(&p->args, note->at_ms);
    result = ml_pg_query(p->pg, lock_sql, &p->args, p->diag);
    if (!result)
        return ML_EIO;
    free_rows = (size_t)PQntuples(result);
    PQclear(result);
    if (free_rows != note->count) {
        ml_request_fail(&note->node, ML_ECONFLICT, "another node is at it");
        return ML_OK;
    }
    by_ids(p, note);
    ml_pg_int8(&p->args, note->due_ms);
    return run(p, take_sql, NULL);
}

static enum ml_err write_note(struct purging *p, struct ml_purge_note *note)
{
    bool pushed = true;
    enum ml_err err;

    switch (note->act) {
    case ML_PURGE_PUSH:
        err = ml_pg_push_purge(p->pg, &p->args, note->org, note->name, note->reason, note->at_ms,
                               &pushed, p->diag);
        if (!err && !pushed)
            ml_request_fail(&note->node, ML_ENOTFOUND, NULL);
        return err;
    case ML_PURGE_TAKE:
        return take(p, note);
    case ML_PURGE_RETRY:
        by_ids(p, note);
        ml_pg_int8(&p->args, note->due_ms);
        return run(p, retry_sql, NULL);
    case ML_PURGE_DONE:
        break;
    }
    by_ids(p, note);
    return run(p, done_sql, NULL);
}

enum ml_err ml_pg_commit_purge(struct ml_pg *pg, struct ml_purge_note *note, struct ml_diag *diag)
{
    struct purging p = {.pg = pg, .diag = diag};
    PGresult *result;
    enum ml_err err;

    ML_ASSERT(pg->conn);
    note->err = ML_OK;
    ml_pg_args_init(&p.args);
    err = run_plain(&p, "BEGIN");
    if (!err)
        err = write_note(&p, note);
    if (!err) {
        ml_pg_args_reset(&p.args);
        result = ml_pg_query(pg, "COMMIT", &p.args, diag);
        if (!result || strcmp(PQcmdStatus(result), "COMMIT") != 0)
            err = ML_EIO;
        PQclear(result);
    }
    ml_pg_args_release(&p.args);
    return err;
}

static enum ml_purge_reason reason_of(struct ml_slice text)
{
    for (int i = 0; i < ML_PURGE_REASONS; i++)
        if (ml_slice_equal(text, ml_slice_str(ml_purge_reasons[i])))
            return (enum ml_purge_reason)i;
    return ML_PURGE_MANUAL;
}

enum ml_err ml_pg_read_purges(struct ml_pg *pg, struct ml_purges *request)
{
    struct purging p = {.pg = pg, .diag = &request->diag};
    struct ml_purge *rows = calloc(request->limit, sizeof *rows);
    PGresult *result;
    enum ml_err err;
    int count;

    ML_ASSERT(pg->conn);
    if (!rows)
        return ML_ELIMIT;
    ml_pg_args_init(&p.args);
    ml_pg_int8(&p.args, (int64_t)request->limit);
    result = ml_pg_query(pg, list_sql, &p.args, p.diag);
    count = result ? PQntuples(result) : 0;
    for (int i = 0; i < count; i++)
        rows[i] = (struct ml_purge){
            .id = (uint64_t)ml_pg_number(result, i, 0),
            .org = ml_pg_bytes(result, i, 1),
            .name = ml_pg_bytes(result, i, 2),
            .reason = reason_of(ml_pg_bytes(result, i, 3)),
            .files = ml_pg_bytes(result, i, 4),
            .at_ms = ml_pg_number(result, i, 5),
            .due_ms = ml_pg_number(result, i, 6),
            .try = (uint32_t)ml_pg_number(result, i, 7),
        };
    err = result ? ml_purges_take(request, rows, (size_t)count) : ML_EIO;
    PQclear(result);
    ml_pg_args_release(&p.args);
    free(rows);
    return err;
}
