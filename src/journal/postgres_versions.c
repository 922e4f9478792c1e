/* SPDX-License-Identifier: MIT */
/*
 * Snapshots, versions, publications, compaction and tombstones in PostgreSQL: each one document,
 * alone in its transaction, under the lock of the document's row. Asked seldom, so statement by
 * statement.
 *
 *   BEGIN; the document FOR UPDATE; what it takes; COMMIT
 *
 * The rules are those of sqlite_versions.c and sqlite_write.c.
 */
#include "journal/postgres.h"

#include "base/assert.h"

#include <stdlib.h>

#define NAME_ATTEMPTS 1000

#define KEYED            " WHERE org = $1::text AND document = $2::bytea"
#define SNAPSHOT_COLUMNS "seq, epoch, codec, state_bytes, checksum, state_vector, state"

struct alone {
    struct ml_pg *pg;
    struct ml_pg_args args;
    struct ml_diag *diag;
    struct ml_slice org;
    /* the document's row */
    bool exists, is_deleted;
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    uint64_t epoch, head, snapshot_seq, compacted_seq, published;
};

/* ---- Asking ---------------------------------------------------------------------------------- */

static PGresult *ask(struct alone *a, const char *sql)
{
    return ml_pg_query(a->pg, sql, &a->args, a->diag);
}

static void keyed(struct alone *a)
{
    ml_pg_args_reset(&a->args);
    ml_pg_text(&a->args, a->org);
    ml_pg_bytea(&a->args, ml_slice_make(a->id, sizeof a->id));
}

/* Run the statement whose arguments stand ready. *rows_out: how many it changed. */
static enum ml_err run(struct alone *a, const char *sql, uint64_t *rows_out)
{
    PGresult *result = ask(a, sql);

    if (result && rows_out)
        *rows_out = strtoull(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

static enum ml_err run_plain(struct alone *a, const char *sql)
{
    ml_pg_args_reset(&a->args);
    return run(a, sql, NULL);
}

/* The first column of the first row as a number, `missing` if there is none. */
static enum ml_err number(struct alone *a, const char *sql, uint64_t missing, uint64_t *out)
{
    PGresult *result = ask(a, sql);

    if (!result)
        return ML_EIO;
    *out = PQntuples(result) ? (uint64_t)ml_pg_number(result, 0, 0) : missing;
    PQclear(result);
    return ML_OK;
}

static void text_or_null(struct alone *a, struct ml_slice text)
{
    if (text.len)
        ml_pg_text(&a->args, text);
    else
        ml_pg_null(&a->args);
}

/* ---- The document ---------------------------------------------------------------------------- */

#define FIND                                                                                       \
    "SELECT document, epoch, head, snapshot_seq, compacted_seq, published,"                        \
    " deleted_ms IS NOT NULL FROM documents WHERE org = $1::text AND name = $2::text"

static enum ml_err find(struct alone *a, const char *sql, struct ml_slice name)
{
    PGresult *result;
    struct ml_slice id;

    ml_pg_args_reset(&a->args);
    ml_pg_text(&a->args, a->org);
    ml_pg_text(&a->args, name);
    result = ask(a, sql);
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        id = ml_pg_bytes(result, 0, 0);
        ML_ASSERT(id.len == sizeof a->id); /* the table checks it */
        memcpy(a->id, id.ptr, sizeof a->id);
        a->exists = true;
        a->epoch = (uint64_t)ml_pg_number(result, 0, 1);
        a->head = (uint64_t)ml_pg_number(result, 0, 2);
        a->snapshot_seq = (uint64_t)ml_pg_number(result, 0, 3);
        a->compacted_seq = (uint64_t)ml_pg_number(result, 0, 4);
        a->published = (uint64_t)ml_pg_number(result, 0, 5);
        a->is_deleted = ml_pg_number(result, 0, 6) != 0;
    }
    PQclear(result);
    return ML_OK;
}

static enum ml_err begin(struct alone *a, struct ml_pg *pg, struct ml_slice org,
                         struct ml_slice name, struct ml_diag *diag)
{
    enum ml_err err;

    ML_ASSERT(pg->conn);
    *a = (struct alone){.pg = pg, .diag = diag, .org = org};
    ml_pg_args_init(&a->args);
    err = run_plain(a, "BEGIN");
    return err ? err : find(a, FIND " FOR UPDATE", name);
}

/* An error ends the connection, and with it what was begun: the outcome is unknown only for COMMIT.
 */
static enum ml_err end(struct alone *a, enum ml_err err)
{
    PGresult *result;

    if (!err) {
        ml_pg_args_reset(&a->args);
        result = ask(a, "COMMIT");
        if (!result || strcmp(PQcmdStatus(result), "COMMIT") != 0)
            err = ML_EIO;
        PQclear(result);
    }
    ml_pg_args_release(&a->args);
    return err;
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

static bool is_good(const struct alone *a, const PGresult *result, int row)
{
    struct ml_snapshot_sum sum = {
        .document = a->id,
        .seq = (uint64_t)ml_pg_number(result, row, 0),
        .epoch = (uint64_t)ml_pg_number(result, row, 1),
        .codec = (uint8_t)ml_pg_number(result, row, 2),
        .state_bytes = (uint64_t)ml_pg_number(result, row, 3),
        .state_vector = ml_pg_bytes(result, row, 5),
        .state = ml_pg_bytes(result, row, 6),
    };

    return ml_snapshot_checksum(&sum) == (uint32_t)ml_pg_number(result, row, 4);
}

/*
 * Walk the snapshots at and below `ceiling` one by one, newest first, to the `nth` that can be
 * read. `sql` takes the key and the ceiling and answers one row. *seq_out 0: there are fewer.
 */
static enum ml_err nth_good(struct alone *a, const char *sql, uint64_t ceiling, uint32_t nth,
                            uint64_t *seq_out)
{
    uint32_t good = 0;

    *seq_out = 0;
    while (ceiling && !*seq_out) {
        PGresult *result;
        uint64_t seq;

        keyed(a);
        ml_pg_int8(&a->args, (int64_t)ceiling);
        result = ask(a, sql);
        if (!result)
            return ML_EIO;
        seq = PQntuples(result) ? (uint64_t)ml_pg_number(result, 0, 0) : 0;
        if (seq && is_good(a, result, 0) && ++good == nth)
            *seq_out = seq;
        PQclear(result);
        ceiling = seq ? seq - 1 : 0;
    }
    return ML_OK;
}

static enum ml_err find_good(struct alone *a, uint64_t seq, bool *good_out)
{
    PGresult *result;

    keyed(a);
    ml_pg_int8(&a->args, (int64_t)seq);
    ml_pg_int8(&a->args, (int64_t)a->epoch);
    result = ask(a, "SELECT " SNAPSHOT_COLUMNS " FROM snapshots" KEYED
                    " AND seq = $3::bigint AND epoch = $4::bigint");
    if (!result)
        return ML_EIO;
    *good_out = PQntuples(result) && is_good(a, result, 0);
    PQclear(result);
    return ML_OK;
}

static enum ml_err insert_snapshot(struct alone *a, const struct ml_snapshot_put *put)
{
    struct ml_snapshot_sum sum = {
        .document = a->id,
        .seq = put->seq,
        .epoch = put->epoch,
        .codec = put->node.codec,
        .state_bytes = put->state->len,
        .state_vector = ml_blob_slice(put->state_vector),
        .state = ml_blob_slice(put->node.packed),
    };

    keyed(a);
    ml_pg_int8(&a->args, (int64_t)sum.seq);
    ml_pg_int8(&a->args, (int64_t)sum.epoch);
    ml_pg_int8(&a->args, put->at_ms);
    ml_pg_int8(&a->args, sum.codec);
    ml_pg_int8(&a->args, (int64_t)sum.state_bytes);
    ml_pg_int8(&a->args, ml_snapshot_checksum(&sum));
    ml_pg_bytea(&a->args, sum.state_vector);
    ml_pg_bytea(&a->args, sum.state);
    return run(
        a,
        "INSERT INTO snapshots (org, document, seq, epoch, at_ms, codec, state_bytes,"
        " checksum, state_vector, state) VALUES ($1::text, $2::bytea, $3::bigint, $4::bigint,"
        " $5::bigint, $6::bigint, $7::bigint, $8::bigint, $9::bytea, $10::bytea)"
        " ON CONFLICT (org, document, seq) DO UPDATE SET epoch = excluded.epoch,"
        " at_ms = excluded.at_ms, codec = excluded.codec, state_bytes = excluded.state_bytes,"
        " checksum = excluded.checksum, state_vector = excluded.state_vector,"
        " state = excluded.state",
        NULL);
}

static enum ml_err drop_old_snapshots(struct alone *a, const struct ml_snapshot_put *put)
{
    static const char kept[] = "SELECT " SNAPSHOT_COLUMNS " FROM snapshots AS s" KEYED
                               " AND seq <= $3::bigint AND NOT EXISTS (SELECT 1 FROM versions AS v"
                               " WHERE v.org = s.org AND v.document = s.document AND v.seq = s.seq"
                               " AND (v.named = 1 OR v.pinned = 1)) ORDER BY seq DESC LIMIT 1";
    uint32_t keep = put->keep < ML_KEEP_MIN ? ML_KEEP_MIN : put->keep;
    uint64_t oldest;
    enum ml_err err;

    if (put->keep == UINT32_MAX)
        return ML_OK;
    err = nth_good(a, kept, put->seq, keep, &oldest); /* damaged ones do not count */
    if (err || !oldest)
        return err;
    keyed(a);
    ml_pg_int8(&a->args, (int64_t)oldest);
    err = run(a,
              "DELETE FROM versions" KEYED " AND seq < $3::bigint AND named = 0 AND pinned = 0"
              " AND hash IS NULL",
              NULL);
    return err ? err
               : run(a,
                     "DELETE FROM snapshots AS s" KEYED " AND seq < $3::bigint AND NOT EXISTS"
                     " (SELECT 1 FROM versions AS v WHERE v.org = s.org"
                     "  AND v.document = s.document AND v.seq = s.seq)",
                     NULL);
}

static enum ml_err move_snapshot(struct alone *a, uint64_t seq)
{
    keyed(a);
    ml_pg_int8(&a->args, (int64_t)seq);
    return run(a,
               "UPDATE documents SET snapshot_seq = greatest(snapshot_seq, $3::bigint),"
               " snapshot_bytes = (SELECT coalesce(sum(length(state) + length(state_vector)), 0)"
               " FROM snapshots" KEYED ")" KEYED,
               NULL);
}

/* ---- A version more -------------------------------------------------------------------------- */

/* The snapshot replaces a damaged one whose automatic version is there already. */
static enum ml_err find_automatic(struct alone *a, struct ml_snapshot_put *put)
{
    PGresult *result;

    keyed(a);
    ml_pg_int8(&a->args, (int64_t)put->seq);
    result =
        ask(a, "SELECT number, name FROM versions" KEYED " AND seq = $3::bigint AND named = 0");
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        struct ml_slice name = ml_pg_bytes(result, 0, 1);
        size_t len = name.len < ML_VERSION_NAME_MAX ? name.len : ML_VERSION_NAME_MAX;

        put->version = (uint64_t)ml_pg_number(result, 0, 0);
        memcpy(put->name_out, name.ptr, len);
        put->name_out[len] = '\0';
    }
    PQclear(result);
    return ML_OK;
}

static enum ml_err insert_version(struct alone *a, struct ml_snapshot_put *put, unsigned attempt,
                                  uint64_t *rows_out)
{
    ml_version_name_attempt(put->name_out, put->version_name, put->version, put->at_ms, attempt);
    keyed(a);
    ml_pg_int8(&a->args, (int64_t)put->version);
    ml_pg_text(&a->args, ml_slice_str(put->name_out));
    ml_pg_int8(&a->args, (int64_t)put->seq);
    ml_pg_int8(&a->args, (int64_t)put->epoch);
    ml_pg_int8(&a->args, put->at_ms);
    text_or_null(a, put->author);
    text_or_null(a, put->labels);
    ml_pg_int8(&a->args, put->is_named);
    ml_pg_int8(&a->args, put->is_pinned);
    return run(
        a,
        "INSERT INTO versions (org, document, number, name, seq, epoch, at_ms, author, labels,"
        " named, pinned) VALUES ($1::text, $2::bytea, $3::bigint, $4::text, $5::bigint,"
        " $6::bigint, $7::bigint, $8::text, $9::text, $10::bigint, $11::bigint)"
        " ON CONFLICT (org, document, name) DO NOTHING",
        rows_out);
}

static enum ml_err add_version(struct alone *a, struct ml_snapshot_put *put)
{
    enum ml_err err = ML_OK;
    uint64_t rows = 0;

    put->version = 0;
    if (!put->is_named)
        err = find_automatic(a, put);
    if (err || put->version)
        return err;
    keyed(a);
    err = number(a, "UPDATE documents SET versions = versions + 1" KEYED " RETURNING versions", 0,
                 &put->version);
    for (unsigned attempt = 0; !err && !rows && attempt < NAME_ATTEMPTS; attempt++)
        err = insert_version(a, put, attempt, &rows);
    return err || rows ? err : ml_diag_set(a->diag, ML_EIO, 0, "no free name for a version");
}

enum ml_err ml_pg_commit_snapshot(struct ml_pg *pg, struct ml_snapshot_put *put,
                                  struct ml_diag *diag)
{
    struct alone a;
    bool is_there = false;
    enum ml_err err = begin(&a, pg, put->org, put->name, diag);

    ML_ASSERT(put->node.packed);
    put->err = ML_OK;
    if (!err && (!a.exists || a.is_deleted)) {
        ml_request_fail(&put->node, ML_ENOTFOUND, NULL);
        return end(&a, ML_OK);
    }
    if (!err)
        err = find_good(&a, put->seq, &is_there);
    /* Never over a good copy; the cadence goes forward only. */
    if (!err && (put->epoch != a.epoch || put->seq > a.head ||
                 (!put->is_named && (is_there || put->seq < a.snapshot_seq)))) {
        ml_request_fail(&put->node, ML_ECONFLICT,
                        "another epoch, beyond the head, or a newer snapshot is there");
        return end(&a, ML_OK);
    }
    if (!err && !is_there)
        err = insert_snapshot(&a, put);
    if (!err)
        err = add_version(&a, put);
    if (!err && !put->is_named)
        err = drop_old_snapshots(&a, put);
    if (!err)
        err = move_snapshot(&a, put->seq);
    return end(&a, err);
}

/* ---- Changes --------------------------------------------------------------------------------- */

static enum ml_err of_version(struct alone *a, const char *sql, uint64_t third, uint64_t *out)
{
    keyed(a);
    ml_pg_int8(&a->args, (int64_t)third);
    return number(a, sql, 0, out);
}

/* Does a load, or the next older fallback, still need the snapshot of this version? Records that
 * were dropped are only in snapshots. */
static enum ml_err is_relied_on(struct alone *a, uint64_t seq, bool *yes_out)
{
    uint64_t newer = 0, others = 0;
    enum ml_err err =
        of_version(a, "SELECT count(*) FROM snapshots" KEYED " AND seq > $3::bigint", seq, &newer);

    if (!err)
        err = of_version(a, "SELECT count(*) FROM versions" KEYED " AND seq = $3::bigint", seq,
                         &others);
    *yes_out = newer < ML_KEEP_MIN && others == 1 && a->compacted_seq;
    return err;
}

static enum ml_err drop_version(struct alone *a, struct ml_version_change *change, uint64_t seq)
{
    enum ml_err err;

    keyed(a);
    ml_pg_int8(&a->args, (int64_t)change->number);
    err = run(a, "DELETE FROM versions" KEYED " AND number = $3::bigint", NULL);
    if (err)
        return err;
    keyed(a);
    ml_pg_int8(&a->args, (int64_t)seq);
    ml_pg_int8(&a->args, (int64_t)a->snapshot_seq);
    err = run(a,
              "DELETE FROM snapshots" KEYED
              " AND seq = $3::bigint AND seq < $4::bigint AND NOT EXISTS"
              " (SELECT 1 FROM versions AS v WHERE v.org = $1::text AND v.document = $2::bytea"
              "  AND v.seq = $3::bigint)",
              NULL);
    change->changed = !err;
    return err ? err : move_snapshot(a, 0);
}

static enum ml_err delete_version(struct alone *a, struct ml_version_change *change)
{
    uint64_t seq = 0, pinned = 0;
    bool is_needed = false;
    enum ml_err err = of_version(a, "SELECT seq FROM versions" KEYED " AND number = $3::bigint",
                                 change->number, &seq);

    if (!err)
        err = of_version(a, "SELECT pinned FROM versions" KEYED " AND number = $3::bigint",
                         change->number, &pinned);
    if (!err)
        err = is_relied_on(a, seq, &is_needed);
    if (err)
        return err;
    if (!seq) {
        ml_request_fail(&change->node, ML_ENOTFOUND, "no such version");
        return ML_OK;
    }
    if (pinned || is_needed || a->published == change->number) {
        ml_request_fail(&change->node, ML_ECONFLICT, "pinned, published, or needed for loading");
        return ML_OK;
    }
    return drop_version(a, change, seq);
}

static enum ml_err pin_version(struct alone *a, struct ml_version_change *change)
{
    uint64_t rows = 0;
    enum ml_err err;

    keyed(a);
    ml_pg_int8(&a->args, (int64_t)change->number);
    ml_pg_int8(&a->args, change->flag);
    err = run(a, "UPDATE versions SET pinned = $4::bigint" KEYED " AND number = $3::bigint", &rows);
    if (!err && !rows)
        ml_request_fail(&change->node, ML_ENOTFOUND, "no such version");
    change->changed = rows != 0;
    return err;
}

static enum ml_err publish(struct alone *a, struct ml_version_change *change)
{
    uint64_t rows = 0;
    enum ml_err err;

    keyed(a);
    ml_pg_int8(&a->args, (int64_t)change->number);
    ml_pg_text(&a->args, change->hash);
    ml_pg_text(&a->args, change->root);
    err = run(
        a, "UPDATE versions SET hash = $4::text, root = $5::text" KEYED " AND number = $3::bigint",
        &rows);
    if (err)
        return err;
    if (!rows) {
        ml_request_fail(&change->node, ML_ENOTFOUND, "no such version");
        return ML_OK;
    }
    change->changed = true;
    keyed(a);
    ml_pg_int8(&a->args, (int64_t)change->number);
    err = run(a, "UPDATE documents SET published = $3::bigint" KEYED, NULL);
    return err ? err
               : ml_pg_push_purge(a->pg, &a->args, a->org, change->name, ML_PURGE_PUBLISHED,
                                  change->at_ms, NULL, a->diag);
}

static enum ml_err hide(struct alone *a, struct ml_version_change *change)
{
    enum ml_err err;

    change->changed = a->published != 0;
    keyed(a);
    err = run(a, "UPDATE documents SET published = 0" KEYED, NULL);
    if (!err && change->changed)
        err = ml_pg_push_purge(a->pg, &a->args, a->org, change->name, ML_PURGE_MADE_PRIVATE,
                               change->at_ms, NULL, a->diag);
    keyed(a);
    return err ? err
               : run(a,
                     "UPDATE versions SET hash = NULL, root = NULL" KEYED " AND hash IS NOT NULL",
                     NULL);
}

enum ml_err ml_pg_commit_version_change(struct ml_pg *pg, struct ml_version_change *change,
                                        struct ml_diag *diag)
{
    struct alone a;
    enum ml_err err = begin(&a, pg, change->org, change->name, diag);

    change->err = ML_OK;
    change->changed = false;
    if (!err && (!a.exists || (a.is_deleted && change->act != ML_VERSION_HIDE))) {
        ml_request_fail(&change->node, ML_ENOTFOUND, NULL);
        return end(&a, ML_OK);
    }
    if (err)
        return end(&a, err);
    keyed(&a);
    err =
        run(&a, "UPDATE documents SET epoch = epoch" KEYED, NULL); /* whoever moves it sees that */
    if (err)
        return end(&a, err);
    switch (change->act) {
    case ML_VERSION_DELETE:
        return end(&a, delete_version(&a, change));
    case ML_VERSION_KEEP:
        return end(&a, pin_version(&a, change));
    case ML_VERSION_PUBLISH:
        return end(&a, publish(&a, change));
    case ML_VERSION_HIDE:
        break;
    }
    return end(&a, hide(&a, change));
}

/* ---- Compaction ------------------------------------------------------------------------------ */

static enum ml_err drop_records(struct alone *a, struct ml_compact *request, uint64_t upto)
{
    enum ml_err err = of_version(a,
                                 "SELECT coalesce(sum(length(bytes)), 0)::bigint FROM records" KEYED
                                 " AND seq <= $3::bigint",
                                 upto, &request->bytes);

    if (err)
        return err;
    keyed(a);
    ml_pg_int8(&a->args, (int64_t)upto);
    err = run(a, "DELETE FROM records" KEYED " AND seq <= $3::bigint", &request->rows);
    if (err)
        return err;
    ml_pg_int8(&a->args, (int64_t)request->bytes);
    err = run(a,
              "UPDATE documents SET compacted_seq = $3::bigint,"
              " record_bytes = greatest(record_bytes - $4::bigint, 0)" KEYED,
              NULL);
    if (!err)
        request->compacted_seq = upto;
    return err;
}

static enum ml_err compact(struct alone *a, struct ml_compact *request)
{
    static const char newest[] =
        "SELECT " SNAPSHOT_COLUMNS " FROM snapshots" KEYED
        " AND seq <= $3::bigint AND epoch = (SELECT epoch FROM documents" KEYED
        ") ORDER BY seq DESC LIMIT 1";
    uint64_t limit = 0;
    enum ml_err err = nth_good(a, newest, a->head, ML_KEEP_MIN, &limit);

    if (limit > request->upto)
        limit = request->upto;
    if (err || limit <= a->compacted_seq)
        return err;
    return drop_records(a, request, limit);
}

enum ml_err ml_pg_commit_compact(struct ml_pg *pg, struct ml_compact *request, struct ml_diag *diag)
{
    struct alone a;
    enum ml_err err = begin(&a, pg, request->org, request->name, diag);

    request->err = ML_OK;
    request->rows = request->bytes = 0;
    request->compacted_seq = a.compacted_seq;
    if (!err && (!a.exists || a.is_deleted))
        ml_request_fail(&request->node, ML_ENOTFOUND, NULL);
    else if (!err && a.epoch != request->epoch)
        ml_request_fail(&request->node, ML_ECONFLICT, "another epoch");
    else if (!err)
        err = compact(&a, request);
    return end(&a, err);
}

/* ---- Tombstones ------------------------------------------------------------------------------ */

enum ml_err ml_pg_commit_deleted(struct ml_pg *pg, struct ml_set_deleted *request,
                                 struct ml_diag *diag)
{
    struct alone a;
    enum ml_err err = begin(&a, pg, request->org, request->name, diag);

    request->err = ML_OK;
    request->changed = !err && a.exists && request->deleted != a.is_deleted;
    if (!err && !a.exists)
        ml_request_fail(&request->node, ML_ENOTFOUND, NULL);
    if (request->changed) {
        keyed(&a);
        if (request->deleted)
            ml_pg_int8(&a.args, request->at_ms);
        else
            ml_pg_null(&a.args);
        err = run(&a, "UPDATE documents SET deleted_ms = $3::bigint" KEYED, NULL);
        if (!err && request->deleted && a.published)
            err = ml_pg_push_purge(pg, &a.args, a.org, request->name, ML_PURGE_DELETED,
                                   request->at_ms, NULL, diag);
    }
    return end(&a, err);
}

/* ---- The list -------------------------------------------------------------------------------- */

static enum ml_err list(struct alone *a, struct ml_versions *request)
{
    static const char sql[] =
        "SELECT v.number, v.name, v.seq, v.epoch, v.at_ms, v.author, v.labels, v.named, v.pinned,"
        " v.hash, v.root, coalesce(length(s.state) + length(s.state_vector), 0)"
        " FROM versions AS v LEFT JOIN snapshots AS s ON s.org = v.org AND s.document = v.document"
        " AND s.seq = v.seq WHERE v.org = $1::text AND v.document = $2::bytea"
        " AND v.number < $3::bigint AND ($4::text IS NULL OR v.name = $4::text"
        " OR v.number = $5::bigint) ORDER BY v.number DESC LIMIT $6::bigint";
    struct ml_version *rows = calloc(request->limit, sizeof *rows);
    uint64_t before = request->before_number;
    PGresult *result;
    enum ml_err err;
    size_t count;

    if (!rows)
        return ML_ELIMIT;
    keyed(a);
    ml_pg_int8(&a->args, before > INT64_MAX ? INT64_MAX : (int64_t)before);
    text_or_null(a, request->only);
    ml_pg_int8(&a->args, (int64_t)ml_version_number(request->only));
    ml_pg_int8(&a->args, (int64_t)request->limit + 1);
    result = ask(a, sql);
    count = (size_t)PQntuples(result);
    request->more = count > request->limit;
    if (request->more)
        count = request->limit;
    for (int i = 0; i < (int)count; i++)
        rows[i] = (struct ml_version){
            .number = (uint64_t)ml_pg_number(result, i, 0),
            .name = ml_pg_bytes(result, i, 1),
            .seq = (uint64_t)ml_pg_number(result, i, 2),
            .epoch = (uint64_t)ml_pg_number(result, i, 3),
            .at_ms = ml_pg_number(result, i, 4),
            .author = ml_pg_bytes(result, i, 5),
            .labels = ml_pg_bytes(result, i, 6),
            .is_named = ml_pg_number(result, i, 7) != 0,
            .is_pinned = ml_pg_number(result, i, 8) != 0,
            .hash = ml_pg_bytes(result, i, 9),
            .root = ml_pg_bytes(result, i, 10),
            .bytes = (uint64_t)ml_pg_number(result, i, 11),
        };
    err = result ? ml_versions_take(request, rows, count) : ML_EIO;
    PQclear(result);
    free(rows);
    return err;
}

enum ml_err ml_pg_read_versions(struct ml_pg *pg, struct ml_versions *request)
{
    struct alone a = {.pg = pg, .diag = &request->diag, .org = request->org};
    enum ml_err err;

    ML_ASSERT(pg->conn);
    ml_pg_args_init(&a.args);
    err = run_plain(&a, "BEGIN");
    if (!err)
        err = find(&a, FIND, request->name);
    if (!err)
        err = ml_pg_is_purging(pg, &a.args, a.org, request->name, &request->is_purging,
                               &request->diag);
    if (!err && a.is_deleted)
        err = ml_diag_set(&request->diag, ML_ENOTFOUND, 0, "the document is deleted");
    if (!err) {
        request->exists = a.exists;
        request->head = a.head;
        request->epoch = a.epoch;
        request->compacted_seq = a.compacted_seq;
        request->published = a.published;
    }
    if (!err && a.exists && (a.published || !request->is_published_only))
        err = list(&a, request);
    if (run_plain(&a, err ? "ROLLBACK" : "COMMIT") && !err)
        err = ML_EIO;
    ml_pg_args_release(&a.args);
    if (err)
        ml_versions_release(request);
    return err;
}
