/* SPDX-License-Identifier: MIT */
/*
 * An org goes from one primary to another while people write.
 *
 *      where it was (a)                          where it goes (b)                    cut off here:
 *   1  leaving_to = b                                                                 } again, or
 *   2                                            a row: arriving_from = a             } --abort
 *   3  documents that changed since the last round, with all that is theirs -->       }
 *      again until a round is short                                                   }
 *   4  held_until_ms = now + HOLD_MS; wait for those who are writing                  } the hold
 * ends 5  the last round, and what plugins keep --> ; count both sides                   } by
 * itself 6  moved_to = b, if the hold is still ours ======================================== it has
 * moved 7                                            arriving_from = NULL                 } whoever
 * asks 8  drop the rows in batches                                                       } again,
 * or not
 *
 * Who writes between 4 and 6 is sent back by the fence (postgres_fence.c) and waits in its node
 * until the row says where to (shards.c). At any moment one database takes writes.
 *
 *  [M1] Whoever changes anything of a document updates its row in `documents`, so the rows whose
 *       transaction is younger than the last round's are all there is to copy.
 *  [M2] The hold is ours as long as held_until_ms is what we wrote: whoever finds it over takes it
 *       away before anybody writes, and step 6 is conditional.
 *  [M3] The mover has a session lock on a: two at once are refused, one that died is not in the
 * way.
 */
#include "journal/postgres_orgs.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HOLD_MS      3000 /* at most; then everybody writes on, and it was in vain */
#define DRAIN_MS     "800ms"
#define BATCH        200 /* documents in one transaction */
#define SHORT_ROUND  50  /* documents; then the rest fits into a hold */
#define ROUNDS_MAX   20
#define HOLDS_MAX    3
#define COLUMNS_MAX  1024
#define NUMBER_CHARS 24

enum { DOCUMENTS, RECORDS, VERSIONS, SNAPSHOTS, AUTHORS, KV, JOBS, PURGES, TABLES };
static const char *const names[TABLES] = {"documents", "records", "versions", "snapshots",
                                          "authors",   "kv",      "jobs",     "purges"};

struct move {
    struct ml_pg a, b;
    const char *from, *to; /* names of primaries */
    const char *org;
    char *quoted; /* as a literal of SQL */
    char columns[TABLES][COLUMNS_MAX];
    char since[NUMBER_CHARS]; /* transactions below this were copied */
    char held[NUMBER_CHARS];  /* what we wrote as held_until_ms */
    const struct ml_org_move *order;
    struct ml_diag *diag;
};

/* ---- Small ----------------------------------------------------------------------------------- */

static enum ml_err change(struct move *m, struct ml_pg *pg, const char *sql, int count,
                          const char *const *values, uint64_t *rows)
{
    return ml_pg_change(pg, sql, count, values, rows, m->diag);
}

static enum ml_err plain(struct move *m, struct ml_pg *pg, const char *sql)
{
    return ml_pg_change(pg, sql, 0, NULL, NULL, m->diag);
}

/* Text of the first column of the first row, "" for none. */
static enum ml_err fetch(struct move *m, struct ml_pg *pg, const char *sql, char *out, size_t size)
{
    const char *values[1] = {m->org};
    PGresult *result = ml_pg_ask(pg, sql, 1, values, m->diag);

    if (!result)
        return ML_EIO;
    (void)snprintf(out, size, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return ML_OK;
}

/* A test has this step be the last: as if the process had been killed behind it. */
static enum ml_err reached(struct move *m, unsigned step)
{
    if (m->order->stop_after != step)
        return ML_OK;
    return ml_diag_set(m->diag, ML_ECLOSED, 0, "stopped after step %u", step);
}

/* ---- Copying --------------------------------------------------------------------------------- */

static enum ml_err copy_failed(struct move *m, const struct ml_pg *pg)
{
    return ml_diag_set(m->diag, ML_EIO, 0, "copying: %s", PQerrorMessage(pg->conn));
}

static bool begins_copy(struct ml_pg *pg, const char *sql, ExecStatusType wanted)
{
    PGresult *result = PQexec(pg->conn, sql);
    bool begins = PQresultStatus(result) == wanted;

    PQclear(result);
    return begins;
}

static bool ends_copy(struct ml_pg *pg)
{
    PGresult *result;
    bool is_fine = true;

    while ((result = PQgetResult(pg->conn)) != NULL) {
        is_fine &= PQresultStatus(result) == PGRES_COMMAND_OK;
        PQclear(result);
    }
    return is_fine;
}

/* What `select` gives on a, into `target` on b, as it is. */
static enum ml_err copy(struct move *m, const char *select, const char *target)
{
    char *out = NULL, *in = NULL, *bytes;
    enum ml_err err = ML_OK;
    int len = 0;

    if (asprintf(&out, "COPY (%s) TO STDOUT (FORMAT binary)", select) < 0 ||
        asprintf(&in, "COPY %s FROM STDIN (FORMAT binary)", target) < 0) {
        free(out);
        return ML_ELIMIT;
    }
    if (!begins_copy(&m->a, out, PGRES_COPY_OUT))
        err = copy_failed(m, &m->a);
    else if (!begins_copy(&m->b, in, PGRES_COPY_IN))
        err = copy_failed(m, &m->b);
    while (!err && (len = PQgetCopyData(m->a.conn, &bytes, 0)) > 0) {
        if (PQputCopyData(m->b.conn, bytes, len) != 1)
            err = copy_failed(m, &m->b);
        PQfreemem(bytes);
    }
    if (!err && len == -2)
        err = copy_failed(m, &m->a);
    if (!err && (PQputCopyEnd(m->b.conn, NULL) != 1 || !ends_copy(&m->b)))
        err = copy_failed(m, &m->b);
    if (!err && !ends_copy(&m->a))
        err = copy_failed(m, &m->a);
    free(out);
    free(in);
    return err;
}

/* The rows of table `which` that `where` names. */
static enum ml_err copy_rows(struct move *m, int which, const char *into, const char *where)
{
    char *select = NULL, *target = NULL;
    enum ml_err err = ML_ELIMIT;

    if (asprintf(&select, "SELECT %s FROM %s WHERE org = %s AND %s", m->columns[which],
                 names[which], m->quoted, where) >= 0 &&
        asprintf(&target, "%s (%s)", into ? into : names[which], m->columns[which]) >= 0)
        err = copy(m, select, target);
    free(select);
    free(target);
    return err;
}

static enum ml_err run_on_b(struct move *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum ml_err run_on_b(struct move *m, const char *format, ...)
{
    char *sql = NULL;
    enum ml_err err = ML_ELIMIT;
    va_list args;

    va_start(args, format);
    if (vasprintf(&sql, format, args) >= 0)
        err = plain(m, &m->b, sql);
    va_end(args);
    free(sql);
    return err;
}

/* Rows that are few and small: away with those of b, and those of a in their place. */
static enum ml_err replace_rows(struct move *m, int which, const char *where)
{
    enum ml_err err =
        run_on_b(m, "DELETE FROM %s WHERE org = %s AND %s", names[which], m->quoted, where);

    return err ? err : copy_rows(m, which, NULL, where);
}

/* Of the documents in `where`: the records behind the last one that b has. */
static enum ml_err copy_records(struct move *m, const char *where)
{
    char *sql = NULL, *list = NULL, *condition = NULL;
    PGresult *result = NULL;
    enum ml_err err = ML_ELIMIT;

    if (asprintf(&sql,
                 "SELECT string_agg(format('(%%L::bytea, %%s::bigint)', d.document, (SELECT"
                 " coalesce(max(r.seq), 0) FROM records AS r WHERE r.org = d.org AND r.document ="
                 " d.document)), ', ') FROM documents AS d WHERE d.org = %s AND d.%s",
                 m->quoted, where) >= 0)
        result = ml_pg_ask(&m->b, sql, 0, NULL, m->diag);
    if (result && PQntuples(result) && !PQgetisnull(result, 0, 0))
        list = strdup(PQgetvalue(result, 0, 0));
    if (list && asprintf(&condition,
                         "EXISTS (SELECT 1 FROM (VALUES %s) AS k (id, seq) WHERE k.id ="
                         " records.document AND records.seq > k.seq) AND %s",
                         list, where) >= 0)
        err = copy_rows(m, RECORDS, NULL, condition);
    if (!err)
        err = run_on_b(m,
                       "DELETE FROM records AS r USING documents AS d WHERE d.org = %s AND d.%s"
                       " AND r.org = d.org AND r.document = d.document AND r.seq <="
                       " d.compacted_seq",
                       m->quoted, where);
    PQclear(result);
    free(sql);
    free(list);
    free(condition);
    return err;
}

/* They are large, and seldom change: only those that b has not, and those that are other ones. */
static enum ml_err copy_snapshots(struct move *m, const char *where)
{
    char *sql = NULL, *condition = NULL;
    PGresult *result = NULL;
    enum ml_err err = ML_ELIMIT;

    if (asprintf(&sql, "SELECT document, seq, checksum FROM snapshots WHERE org = %s AND %s",
                 m->quoted, where) >= 0)
        err = copy(m, sql, "moved_snapshots (document, seq, checksum)");
    free(sql);
    sql = NULL;
    if (!err)
        err = run_on_b(m,
                       "DELETE FROM snapshots AS s WHERE s.org = %s AND s.%s AND NOT EXISTS"
                       " (SELECT 1 FROM moved_snapshots AS k WHERE k.document = s.document"
                       "  AND k.seq = s.seq AND k.checksum = s.checksum)",
                       m->quoted, where);
    if (!err && asprintf(&sql,
                         "SELECT coalesce(string_agg(format('(%%L::bytea, %%s::bigint)', document,"
                         " seq), ', '), '(NULL::bytea, NULL::bigint)') FROM snapshots"
                         " WHERE org = %s AND %s",
                         m->quoted, where) >= 0)
        result = ml_pg_ask(&m->b, sql, 0, NULL, m->diag);
    if (!err && !result)
        err = ML_EIO;
    if (!err && asprintf(&condition,
                         "%s AND NOT EXISTS (SELECT 1 FROM (VALUES %s) AS k (id, seq)"
                         " WHERE k.id = snapshots.document AND k.seq = snapshots.seq)",
                         where, PQgetvalue(result, 0, 0)) < 0)
        err = ML_ELIMIT;
    if (!err)
        err = copy_rows(m, SNAPSHOTS, NULL, condition);
    PQclear(result);
    free(sql);
    free(condition);
    return err;
}

static enum ml_err copy_documents(struct move *m, const char *where)
{
    char *sql = NULL;
    enum ml_err err = copy_rows(m, DOCUMENTS, "moved_documents", where);

    if (!err && asprintf(&sql,
                         "INSERT INTO documents (%s) SELECT %s FROM moved_documents ON CONFLICT"
                         " (org, document) DO UPDATE SET (%s) = (SELECT %s FROM moved_documents AS"
                         " m WHERE m.document = documents.document)",
                         m->columns[DOCUMENTS], m->columns[DOCUMENTS], m->columns[DOCUMENTS],
                         m->columns[DOCUMENTS]) < 0)
        err = ML_ELIMIT;
    if (!err)
        err = plain(m, &m->b, sql);
    free(sql);
    return err;
}

/* One transaction on each side: a is read as of one moment, b gets it all or not. */
static enum ml_err copy_batch(struct move *m, const char *where)
{
    enum ml_err err = plain(m, &m->a, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");

    if (!err)
        err = plain(m, &m->b, "BEGIN");
    if (!err)
        err = copy_documents(m, where);
    if (!err)
        err = copy_records(m, where);
    if (!err)
        err = replace_rows(m, VERSIONS, where);
    if (!err)
        err = replace_rows(m, AUTHORS, where);
    if (!err)
        err = copy_snapshots(m, where);
    if (!err)
        err = plain(m, &m->b, "COMMIT");
    return err ? err : plain(m, &m->a, "COMMIT");
}

/* The documents changed since the last round [M1]; *count: how many there were. */
static enum ml_err copy_round(struct move *m, size_t *count)
{
    /* A row knows 32 bits of its transaction; the rest is that of now, or one less. */
    static const char changed_sql[] =
        "SELECT quote_literal(document) FROM documents, (SELECT"
        " pg_current_snapshot()::text AS s, pg_snapshot_xmax(pg_current_snapshot())::text::numeric"
        " AS next) AS now WHERE org = $1 AND (CASE WHEN mod(next, 4294967296) >="
        " documents.xmin::text::numeric THEN next - mod(next, 4294967296) ELSE"
        " next - mod(next, 4294967296) - 4294967296 END + documents.xmin::text::numeric)"
        " >= $2::numeric ORDER BY document";
    const char *values[2] = {m->org, m->since};
    char next[NUMBER_CHARS];
    PGresult *result;
    enum ml_err err =
        fetch(m, &m->a, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text WHERE $1 <> ''", next,
              sizeof next);

    if (err)
        return err;
    result = ml_pg_ask(&m->a, changed_sql, 2, values, m->diag);
    if (!result)
        return ML_EIO;
    *count = (size_t)PQntuples(result);
    for (size_t i = 0; i < *count && !err; i += BATCH) {
        char *where = NULL;
        size_t size, end = i + BATCH < *count ? i + BATCH : *count;
        FILE *text = open_memstream(&where, &size);

        if (!text) {
            err = ML_ELIMIT;
            break;
        }
        for (size_t k = i; k < end; k++)
            (void)fprintf(text, "%s%s::bytea", k == i ? "document IN (" : ", ",
                          PQgetvalue(result, (int)k, 0));
        (void)fprintf(text, ")");
        err = fclose(text) ? ML_ELIMIT : copy_batch(m, where);
        free(where);
        if (!err && i == 0)
            err = reached(m, 3);
    }
    PQclear(result);
    if (!err)
        memcpy(m->since, next, sizeof next);
    return err;
}

/* What plugins and accounts keep, and what is to be done: all of it, while nobody writes. */
static enum ml_err copy_store(struct move *m)
{
    static const char revs_sql[] = "SELECT coalesce(max(rev), 0)::text FROM kv_revs WHERE org = $1";
    char here[NUMBER_CHARS];
    const char *values[2] = {m->org, here};
    enum ml_err err = plain(m, &m->b, "BEGIN");

    if (!err)
        err = fetch(m, &m->a, revs_sql, here, sizeof here);
    if (!err)
        err = replace_rows(m, KV, "true");
    if (!err && strcmp(here, "0") != 0)
        err = change(m, &m->b,
                     "INSERT INTO kv_revs (org, rev) VALUES ($1, $2::bigint) ON CONFLICT (org)"
                     " DO UPDATE SET rev = excluded.rev",
                     2, values, NULL);
    if (!err)
        err = replace_rows(m, JOBS, "true");
    if (!err)
        err = replace_rows(m, PURGES, "true");
    return err ? err : plain(m, &m->b, "COMMIT");
}

static enum ml_err compare(struct move *m)
{
    static const char sql[] =
        "SELECT concat_ws(' ', (SELECT concat_ws('/', count(*), sum(head), sum(head_checksum),"
        " sum(compacted_seq), sum(versions), sum(snapshot_bytes)) FROM documents WHERE org = $1),"
        " (SELECT concat_ws('/', count(*), sum(rev)) FROM kv WHERE org = $1),"
        " (SELECT count(*) FROM jobs WHERE org = $1), (SELECT count(*) FROM versions WHERE org ="
        " $1), (SELECT concat_ws('/', count(*), sum(checksum)) FROM snapshots WHERE org = $1))";
    char here[512], there[512];
    enum ml_err err = fetch(m, &m->a, sql, here, sizeof here);

    if (!err)
        err = fetch(m, &m->b, sql, there, sizeof there);
    if (!err && strcmp(here, there) != 0)
        err = ml_diag_set(m->diag, ML_EIO, 0, "the copy is not the same: %s, not %s", there, here);
    return err;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static enum ml_err read_columns(struct move *m)
{
    enum ml_err err = ML_OK;

    for (int i = 0; i < TABLES && !err; i++) {
        const char *values[1] = {names[i]};
        PGresult *result =
            ml_pg_ask(&m->a,
                      "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM"
                      " pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0"
                      " AND NOT attisdropped",
                      1, values, m->diag);

        if (!result)
            return ML_EIO;
        if (PQgetlength(result, 0, 0) >= COLUMNS_MAX)
            err = ML_ELIMIT;
        (void)snprintf(m->columns[i], COLUMNS_MAX, "%s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    if (!err)
        err = plain(m, &m->b,
                    "CREATE TEMP TABLE moved_documents (LIKE documents) ON COMMIT DELETE ROWS");
    if (!err)
        err = plain(m, &m->b,
                    "CREATE TEMP TABLE moved_snapshots (document bytea, seq bigint,"
                    " checksum bigint) ON COMMIT DELETE ROWS");
    return err;
}

static enum ml_err take_lock(struct move *m)
{
    char got[8];
    enum ml_err err = fetch(m, &m->a, "SELECT pg_try_advisory_lock(" ML_PG_MOVER ", hashtext($1))",
                            got, sizeof got);

    if (!err && got[0] != 't')
        err = ml_diag_set(m->diag, ML_EBUSY, 0, "the org is being moved at this moment");
    return err;
}

/* Steps 1 and 2. *has_moved: an earlier move came past step 6. */
static enum ml_err claim(struct move *m, bool *has_moved)
{
    const char *values[2] = {m->org, m->to}, *arriving[2] = {m->org, m->from};
    char state[ML_SHARD_NAME_MAX + 1], moved[ML_SHARD_NAME_MAX + 1], data[8];
    uint64_t rows = 0, gone = 0;
    enum ml_err err = fetch(m, &m->a, "SELECT coalesce(moved_to, '') FROM orgs WHERE org = $1",
                            moved, sizeof moved);

    *has_moved = !err && strcmp(moved, m->to) == 0;
    if (err || *has_moved)
        return err;
    err = change(m, &m->a,
                 "UPDATE orgs SET leaving_to = $2, held_until_ms = NULL WHERE org = $1"
                 " AND coalesce(leaving_to, $2) = $2 AND moved_to IS NULL AND arriving_from IS NULL"
                 " AND removed_ms IS NULL",
                 2, values, &rows);
    if (!err && !rows) {
        err = fetch(m, &m->a, "SELECT coalesce(leaving_to, '') FROM orgs WHERE org = $1", state,
                    sizeof state);
        if (!err)
            err = state[0] ? ml_diag_set(m->diag, ML_EBUSY, 0,
                                         "a move to %s was begun: end that, or --abort", state)
                           : ml_diag_set(m->diag, ML_ENOTFOUND, 0, "there is no such org");
    }
    if (!err)
        err = reached(m, 1);
    /* What is left there of an earlier stay is not what we copy. */
    if (!err)
        err = fetch(m, &m->b, "SELECT moved_to IS NOT NULL FROM orgs WHERE org = $1", data,
                    sizeof data);
    if (!err && data[0] == 't')
        err = ml_pg_drop_rows(&m->b, m->org, true, NULL, NULL, &gone, m->diag);
    if (!err)
        err = change(m, &m->b,
                     "INSERT INTO orgs AS o (org, created_ms, arriving_from) VALUES ($1,"
                     " (extract(epoch FROM now()) * 1000)::bigint, $2) ON CONFLICT (org) DO UPDATE"
                     " SET arriving_from = $2, moved_to = NULL, leaving_to = NULL"
                     " WHERE o.moved_to IS NOT NULL OR o.arriving_from = $2",
                     2, arriving, &rows);
    if (!err && !rows)
        err = ml_diag_set(m->diag, ML_ECONFLICT, 0, "%s has an org of that name", m->to);
    return err ? err : reached(m, 2);
}

static enum ml_err hold(struct move *m)
{
    char ms[16];
    const char *values[2] = {m->org, ms};
    PGresult *result;
    enum ml_err err;

    (void)snprintf(ms, sizeof ms, "%d", HOLD_MS);
    result = ml_pg_ask(&m->a,
                       "UPDATE orgs SET held_until_ms = " ML_PG_NOW_MS " + $2::bigint"
                       " WHERE org = $1 RETURNING held_until_ms",
                       2, values, m->diag);
    if (!result)
        return ML_EIO;
    (void)snprintf(m->held, sizeof m->held, "%s",
                   PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    err = plain(m, &m->a, "SET lock_timeout = '" DRAIN_MS "'");
    if (!err)
        err = ml_pg_drain_writers(&m->a, m->org, m->diag);
    return err ? err : reached(m, 4);
}

static enum ml_err let_go(struct move *m)
{
    const char *values[2] = {m->org, m->held};

    return change(m, &m->a,
                  "UPDATE orgs SET held_until_ms = NULL WHERE org = $1 AND held_until_ms ="
                  " $2::bigint",
                  2, values, NULL);
}

/* Step 6. *late: the hold was over, and somebody may have written. */
static enum ml_err switch_over(struct move *m, bool *late)
{
    const char *values[3] = {m->org, m->to, m->held};
    uint64_t rows = 0;
    enum ml_err err = change(m, &m->a,
                             "UPDATE orgs SET moved_to = $2, leaving_to = NULL, held_until_ms ="
                             " NULL WHERE org = $1 AND held_until_ms = $3::bigint"
                             " AND held_until_ms > " ML_PG_NOW_MS,
                             3, values, &rows);

    *late = !err && !rows;
    return err;
}

/* Steps 4 to 6. */
static enum ml_err try_to_switch(struct move *m, bool *late)
{
    uint64_t began_ms = ml_clock_mono_ms();
    size_t count;
    enum ml_err err = hold(m);

    if (!err)
        err = copy_round(m, &count);
    if (!err)
        err = copy_store(m);
    if (!err)
        err = compare(m);
    if (!err)
        err = reached(m, 5);
    if (!err)
        err = switch_over(m, late);
    m->order->result->held_ms = ml_clock_mono_ms() - began_ms;
    if (err && err != ML_ECLOSED && PQstatus(m->a.conn) == CONNECTION_OK) {
        (void)!plain(m, &m->a, "ROLLBACK");
        (void)!plain(m, &m->b, "ROLLBACK");
        (void)!let_go(m);
    }
    return err;
}

/* Steps 7 and 8. */
static enum ml_err settle(struct move *m)
{
    const char *values[2] = {m->org, m->from};
    uint64_t gone = 0;
    enum ml_err err = reached(m, 6);

    if (!err)
        err = change(m, &m->b,
                     "UPDATE orgs AS o SET arriving_from = NULL, moved_to = NULL WHERE org = $1"
                     " AND arriving_from = $2",
                     2, values, NULL);
    if (!err)
        err = reached(m, 7);
    if (!err)
        err = ml_pg_drop_rows(&m->a, m->org, true, NULL, NULL, &gone, m->diag);
    return err;
}

/* Suspended there as here. */
static enum ml_err copy_state(struct move *m)
{
    char suspended[NUMBER_CHARS], created[NUMBER_CHARS];
    const char *values[3] = {m->org, suspended, created};
    enum ml_err err =
        fetch(m, &m->a, "SELECT coalesce(suspended_ms, 0)::text FROM orgs WHERE org = $1",
              suspended, sizeof suspended);

    if (!err)
        err = fetch(m, &m->a, "SELECT created_ms::text FROM orgs WHERE org = $1", created,
                    sizeof created);
    return err ? err
               : change(m, &m->b,
                        "UPDATE orgs SET suspended_ms = nullif($2::bigint, 0), created_ms ="
                        " $3::bigint WHERE org = $1",
                        3, values, NULL);
}

static enum ml_err run(struct move *m)
{
    bool has_moved = false, late = true;
    size_t count = SIZE_MAX;
    enum ml_err err = take_lock(m);

    if (!err)
        err = claim(m, &has_moved);
    if (err || has_moved)
        return err ? err : settle(m);
    err = read_columns(m);
    for (unsigned i = 0; i < ROUNDS_MAX && !err && count > SHORT_ROUND; i++) {
        err = copy_round(m, &count);
        m->order->result->rounds++;
    }
    if (!err)
        err = copy_state(m);
    for (unsigned i = 0; i < HOLDS_MAX && !err && late; i++)
        err = try_to_switch(m, &late);
    if (!err && late)
        err = ml_diag_set(m->diag, ML_ETIMEDOUT, 0,
                          "what had changed could not be copied in time; nothing has moved");
    return err ? err : settle(m);
}

static enum ml_err undo(struct move *m)
{
    const char *values[2] = {m->org, m->to}, *arriving[2] = {m->org, m->from};
    uint64_t rows = 0, gone = 0;
    enum ml_err err = take_lock(m);

    if (!err)
        err = change(m, &m->a,
                     "UPDATE orgs SET held_until_ms = NULL WHERE org = $1 AND leaving_to = $2"
                     " AND moved_to IS NULL",
                     2, values, &rows);
    if (!err && !rows)
        err = ml_diag_set(m->diag, ML_ENOTFOUND, 0, "no move of it to %s is under way", m->to);
    if (!err)
        err = fetch(m, &m->b, "SELECT 1 FROM orgs WHERE org = $1 AND arriving_from IS NULL",
                    m->held, sizeof m->held);
    if (!err && !m->held[0])
        err = ml_pg_drop_rows(&m->b, m->org, true, NULL, NULL, &gone, m->diag);
    if (!err)
        err = change(m, &m->b, "DELETE FROM orgs WHERE org = $1 AND arriving_from = $2", 2,
                     arriving, NULL);
    return err ? err
               : change(m, &m->a,
                        "UPDATE orgs SET leaving_to = NULL WHERE org = $1 AND leaving_to = $2", 2,
                        values, NULL);
}

/* ---- Who goes where -------------------------------------------------------------------------- */

/* The primary that has it, or had it, and the one that it goes to. */
static enum ml_err find_ends(const struct ml_shard_list *list, const struct ml_org_move *order,
                             const char *org, size_t *from, size_t *to, struct ml_diag *diag)
{
    enum ml_err err = ML_OK;

    *from = *to = SIZE_MAX;
    if (order->to) {
        *to = ml_shard_index(list, ml_slice_str(order->to));
        if (*to == SIZE_MAX)
            return ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no primary %s", order->to);
    }
    for (size_t i = 0; i < list->count && !err; i++) {
        struct ml_pg pg;
        PGresult *result;
        const char *values[2] = {org, order->to ? order->to : ""};

        err = ml_pg_open_primary(&pg, &list->items[i], diag);
        if (err)
            break;
        /* It is here; or it has left for `to`, which may not know yet. */
        result = ml_pg_ask(&pg,
                           "SELECT coalesce(leaving_to, ''), moved_to IS NOT NULL FROM orgs AS o"
                           " WHERE org = $1 AND arriving_from IS NULL AND (moved_to IS NULL OR"
                           " (moved_to = $2 AND EXISTS (SELECT 1 FROM documents AS d"
                           "  WHERE d.org = o.org UNION ALL SELECT 1 FROM kv AS k"
                           "  WHERE k.org = o.org)))",
                           2, values, diag);
        err = result ? ML_OK : ML_EIO;
        if (PQntuples(result) && (*from == SIZE_MAX || PQgetvalue(result, 0, 1)[0] == 't') &&
            !(i == *to && *from != SIZE_MAX)) {
            *from = i;
            if (!order->to)
                *to = ml_shard_index(list, ml_slice_str(PQgetvalue(result, 0, 0)));
        }
        PQclear(result);
        ml_pg_close(&pg);
    }
    if (err)
        return err;
    if (*from == SIZE_MAX)
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no such org");
    if (*to == SIZE_MAX)
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "no move of it is under way");
    if (*from == *to)
        return ml_diag_set(diag, ML_ECONFLICT, 0, "it is on %s", list->items[*to].name);
    return ML_OK;
}

enum ml_err ml_pg_org_move(const struct ml_shard_list *list, const struct ml_org_move *order,
                           struct ml_diag *diag)
{
    struct move *m = calloc(1, sizeof *m);
    char org[ML_PG_ORG_TEXT];
    size_t from, to;
    enum ml_err err = m && ml_pg_org_text(order->org, org) ? ML_OK : ML_ELIMIT;

    if (!err)
        err = find_ends(list, order, org, &from, &to, diag);
    if (!err) {
        *m = (struct move){.from = list->items[from].name,
                           .to = list->items[to].name,
                           .org = org,
                           .since = "0",
                           .order = order,
                           .diag = diag};
        err = ml_pg_open_primary(&m->a, &list->items[from], diag);
    }
    if (!err)
        err = ml_pg_open_primary(&m->b, &list->items[to], diag);
    if (!err) {
        m->quoted = PQescapeLiteral(m->a.conn, org, strlen(org));
        err = !m->quoted ? ML_ELIMIT : order->abort ? undo(m) : run(m);
    }
    if (m) {
        PQfreemem(m->quoted);
        ml_pg_close(&m->a);
        ml_pg_close(&m->b);
    }
    free(m);
    return err;
}
