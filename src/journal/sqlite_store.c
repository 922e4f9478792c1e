/* SPDX-License-Identifier: MIT */
/*
 * The store in SQLite.
 *
 *   BEGIN IMMEDIATE                        the only writer from here on
 *     every item: is what it saw still so?  -> no: ROLLBACK, nothing was written
 *     every item: write
 *   COMMIT                                 synced; only now anything was true
 *
 * What has expired is absent to every statement; a few of those rows are removed with each commit.
 */
#include "journal/sqlite.h"
#include "journal/store_item.h"

#include "base/assert.h"

#define SWEEP_ROWS 64

enum {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_NEXT_REV,
    SQL_GET,
    SQL_RANGE,
    SQL_SCAN,
    SQL_SET,
    SQL_DELETE,
    SQL_SWEEP,
    SQL_TWIN,
    SQL_PUSH,
    SQL_DUE,
    SQL_LEASE,
    SQL_TRY,
    SQL_DONE,
    SQL_RETRY,
    SQL_DEAD,
    SQL_IS_DEAD,
    SQL_REVIVE,
    SQL_FREE,
    SQL_LIST,
    SQL_USAGE,
    SQL_COUNT
};
_Static_assert(SQL_COUNT <= ML_SQL_STORE_MAX, "room for every statement");

#define PLACE "org = ?1 AND instance = ?2 AND space = ?3"
#define ALIVE "(expires_ms IS NULL OR expires_ms > ?4)"
#define JOB_ROW                                                                                    \
    "org, id, instance, name, key, args, queued_ms, due_ms, try, leased_until_ms,"                 \
    " dead_ms, why"

static const char *const sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_NEXT_REV] = "INSERT INTO kv_revs (org, rev) VALUES (?1, 1)"
                     " ON CONFLICT (org) DO UPDATE SET rev = rev + 1 RETURNING rev",
    [SQL_GET] = "SELECT key, value, rev, expires_ms FROM kv"
                " WHERE " PLACE " AND key = ?5 AND " ALIVE,
    [SQL_RANGE] = "SELECT count(*), coalesce(max(rev), 0) FROM kv"
                  " WHERE " PLACE " AND key >= ?5 AND (?6 IS NULL OR key < ?6)"
                  " AND (?7 IS NULL OR key > ?7) AND (?8 IS NULL OR key <= ?8) AND " ALIVE,
    [SQL_SCAN] = "SELECT key, value, rev FROM kv"
                 " WHERE " PLACE " AND key >= ?5 AND (?6 IS NULL OR key < ?6)"
                 " AND (?7 IS NULL OR key > ?7) AND " ALIVE " ORDER BY key LIMIT ?8",
    [SQL_SET] = "INSERT INTO kv (org, instance, space, key, value, rev, expires_ms)"
                " VALUES (?1, ?2, ?3, ?5, ?6, ?7, ?8)"
                " ON CONFLICT (org, instance, space, key) DO UPDATE"
                " SET value = excluded.value, rev = excluded.rev,"
                " expires_ms = excluded.expires_ms",
    [SQL_DELETE] = "DELETE FROM kv WHERE " PLACE " AND key = ?5",
    [SQL_SWEEP] = "DELETE FROM kv WHERE (org, instance, space, key) IN"
                  " (SELECT org, instance, space, key FROM kv WHERE expires_ms <= ?1 LIMIT ?2)",
    [SQL_TWIN] = "SELECT id FROM jobs WHERE org = ?1 AND instance = ?2 AND name = ?3 AND key = ?4"
                 " AND dead_ms IS NULL AND leased_until_ms = 0 ORDER BY id LIMIT 1",
    [SQL_PUSH] = "INSERT INTO jobs (org, id, instance, name, key, args, queued_ms, due_ms)"
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [SQL_DUE] = "SELECT " JOB_ROW " FROM jobs AS job WHERE dead_ms IS NULL AND due_ms <= ?1"
                " AND leased_until_ms <= ?1 AND (key IS NULL OR NOT EXISTS"
                " (SELECT 1 FROM jobs AS other WHERE other.org = job.org"
                "  AND other.instance = job.instance AND other.name = job.name"
                "  AND other.key = job.key AND other.dead_ms IS NULL"
                "  AND other.leased_until_ms > ?1)) ORDER BY due_ms LIMIT 1",
    [SQL_LEASE] = "UPDATE jobs SET leased_until_ms = ?3, try = try + 1 WHERE org = ?1 AND id = ?2",
    [SQL_TRY] = "SELECT try FROM jobs WHERE org = ?1 AND id = ?2 AND dead_ms IS NULL"
                " AND leased_until_ms > 0",
    [SQL_DONE] = "DELETE FROM jobs WHERE org = ?1 AND id = ?2",
    [SQL_RETRY] = "UPDATE jobs SET leased_until_ms = 0, due_ms = ?3, why = ?4, try = try - ?5"
                  " WHERE org = ?1 AND id = ?2",
    [SQL_DEAD] = "UPDATE jobs SET leased_until_ms = 0, dead_ms = ?3, why = ?4"
                 " WHERE org = ?1 AND id = ?2",
    [SQL_IS_DEAD] = "SELECT 1 FROM jobs WHERE org = ?1 AND id = ?2 AND dead_ms IS NOT NULL",
    [SQL_REVIVE] = "UPDATE jobs SET dead_ms = NULL, leased_until_ms = 0, try = 0, due_ms = ?3"
                   " WHERE org = ?1 AND id = ?2",
    [SQL_FREE] = "UPDATE jobs SET leased_until_ms = 0 WHERE leased_until_ms > 0",
    [SQL_LIST] = "SELECT " JOB_ROW " FROM jobs WHERE org = ?1 AND (?2 = '' OR instance = ?2)"
                 " AND (?3 = 0 OR dead_ms IS NOT NULL) AND (?4 = '' OR id = ?4) AND id > ?5"
                 " ORDER BY id LIMIT ?6",
    [SQL_USAGE] = "SELECT CAST(count(*) FILTER (WHERE deleted_ms IS NULL) AS TEXT),"
                  " CAST(coalesce(sum(record_bytes + snapshot_bytes), 0) AS TEXT), 0"
                  " FROM documents WHERE org = ?1",
};

/* ---- Statements ------------------------------------------------------------------------------ */

/* Ready for binding; NULL: see the connection's error. */
static sqlite3_stmt *statement(struct ml_sqlite_conn *conn, int which)
{
    if (!conn->store_stmts[which] &&
        sqlite3_prepare_v3(conn->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                           &conn->store_stmts[which], NULL) != SQLITE_OK)
        return NULL;
    return conn->store_stmts[which];
}

/* One whose first parameters are the place, and the time where it asks for what is alive. */
static sqlite3_stmt *placed(struct ml_sqlite_conn *conn, int which, struct ml_slice org,
                            struct ml_slice instance, struct ml_slice space, int64_t now_ms)
{
    sqlite3_stmt *stmt = statement(conn, which);

    if (!stmt)
        return NULL;
    sqlite3_clear_bindings(stmt);
    ml_sqlite_bind_text(stmt, 1, org, false);
    ml_sqlite_bind_text(stmt, 2, instance, false);
    ml_sqlite_bind_text(stmt, 3, space, false);
    if (sqlite3_bind_parameter_count(stmt) >= 4)
        sqlite3_bind_int64(stmt, 4, now_ms);
    return stmt;
}

static sqlite3_stmt *of_write(struct ml_sqlite_conn *conn, int which,
                              const struct ml_store_write *w)
{
    return placed(conn, which, w->org, w->instance, w->space, w->now_ms);
}

/* One about the job `id`. */
static sqlite3_stmt *of_job(struct ml_sqlite_conn *conn, int which, struct ml_slice org,
                            struct ml_slice id)
{
    sqlite3_stmt *stmt = statement(conn, which);

    if (!stmt)
        return NULL;
    sqlite3_clear_bindings(stmt);
    ml_sqlite_bind_text(stmt, 1, org, false);
    ml_sqlite_bind_text(stmt, 2, id, false);
    return stmt;
}

static void bind_blob_or_null(sqlite3_stmt *stmt, int at, struct ml_slice bytes)
{
    if (bytes.len)
        ml_sqlite_bind_blob(stmt, at, bytes);
    else
        sqlite3_bind_null(stmt, at);
}

/* The first key behind all that begin with `prefix`; .len 0: there is none. `room`: KEY_MAX. */
static struct ml_slice behind(struct ml_slice prefix, uint8_t *room)
{
    size_t len = prefix.len;

    while (len && prefix.ptr[len - 1] == 0xff)
        len--;
    if (!len)
        return ml_slice_make(NULL, 0);
    memcpy(room, prefix.ptr, len);
    room[len - 1]++;
    return ml_slice_make(room, len);
}

static void bind_prefix(sqlite3_stmt *stmt, struct ml_slice prefix, struct ml_slice after,
                        uint8_t *room)
{
    ml_sqlite_bind_blob(stmt, 5, prefix);
    bind_blob_or_null(stmt, 6, behind(prefix, room));
    bind_blob_or_null(stmt, 7, after);
}

static int run(struct ml_sqlite_conn *conn, sqlite3_stmt *stmt)
{
    int rc = stmt ? ml_sqlite_run(stmt) : sqlite3_errcode(conn->db);

    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int run_plain(struct ml_sqlite_conn *conn, int which)
{
    return run(conn, statement(conn, which));
}

/* Is there a row? Then the statement stays open: reset it. */
static int step(struct ml_sqlite_conn *conn, sqlite3_stmt *stmt, bool *row_out)
{
    int rc = stmt ? sqlite3_step(stmt) : sqlite3_errcode(conn->db);

    *row_out = rc == SQLITE_ROW;
    if (stmt && rc != SQLITE_ROW)
        sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- Checking -------------------------------------------------------------------------------- */

/* The rev of a key, 0 if it is absent; its number, if it is one. */
static int look_up(struct ml_sqlite_conn *conn, const struct ml_store_write *w, struct ml_slice key,
                   uint64_t *rev_out, double *number_out, bool *is_number_out, int64_t *expires_out)
{
    sqlite3_stmt *stmt = of_write(conn, SQL_GET, w);
    bool row;
    int rc;

    *rev_out = 0;
    *number_out = 0;
    *is_number_out = true;
    *expires_out = 0;
    if (stmt)
        ml_sqlite_bind_blob(stmt, 5, key);
    rc = step(conn, stmt, &row);
    if (rc != SQLITE_OK)
        return rc;
    if (row) {
        *rev_out = (uint64_t)sqlite3_column_int64(stmt, 2);
        *expires_out = sqlite3_column_int64(stmt, 3);
        *is_number_out = ml_store_number(ml_sqlite_column(stmt, 1), number_out);
    }
    sqlite3_reset(stmt);
    return SQLITE_OK;
}

static int check_range(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                       const struct ml_store_item *item, enum ml_err *err_out)
{
    sqlite3_stmt *stmt = of_write(conn, SQL_RANGE, w);
    uint8_t room[ML_STORE_KEY_MAX];
    bool row;
    int rc;

    if (stmt) {
        bind_prefix(stmt, item->key, item->value, room);
        bind_blob_or_null(stmt, 8, item->upto);
    }
    rc = step(conn, stmt, &row);
    if (rc != SQLITE_OK)
        return rc;
    if (!row || (uint64_t)sqlite3_column_int64(stmt, 0) != item->count ||
        (uint64_t)sqlite3_column_int64(stmt, 1) != item->rev)
        *err_out = ML_ECONFLICT;
    sqlite3_reset(stmt);
    return SQLITE_OK;
}

static int check_try(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                     const struct ml_store_item *item, enum ml_err *err_out)
{
    sqlite3_stmt *stmt = of_job(conn, SQL_TRY, w->org, item->key);
    bool row;
    int rc = step(conn, stmt, &row);

    if (rc != SQLITE_OK)
        return rc;
    if (!row || (uint64_t)sqlite3_column_int64(stmt, 0) != item->rev)
        *err_out = ML_ECONFLICT;
    sqlite3_reset(stmt);
    return SQLITE_OK;
}

static int check(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                 const struct ml_store_item *item, enum ml_err *err_out)
{
    uint64_t rev;
    double number;
    int64_t expires_ms;
    bool is_number, row;
    sqlite3_stmt *stmt;
    int rc = SQLITE_OK;

    switch (item->act) {
    case ML_STORE_CHECK:
        rc = look_up(conn, w, item->key, &rev, &number, &is_number, &expires_ms);
        if (rc == SQLITE_OK && rev != item->rev)
            *err_out = ML_ECONFLICT;
        return rc;
    case ML_STORE_INCR:
        rc = look_up(conn, w, item->key, &rev, &number, &is_number, &expires_ms);
        if (rc == SQLITE_OK && !is_number)
            *err_out = ML_EFORMAT;
        return rc;
    case ML_STORE_RANGE:
        return check_range(conn, w, item, err_out);
    case ML_STORE_DONE:
    case ML_STORE_RETRY:
    case ML_STORE_DEAD:
        return check_try(conn, w, item, err_out);
    case ML_STORE_REVIVE:
        stmt = of_job(conn, SQL_IS_DEAD, w->org, item->key);
        rc = step(conn, stmt, &row);
        if (rc == SQLITE_OK)
            sqlite3_reset(stmt);
        if (rc == SQLITE_OK && !row)
            *err_out = ML_ENOTFOUND;
        return rc;
    case ML_STORE_SET:
    case ML_STORE_DELETE:
    case ML_STORE_PUSH:
    case ML_STORE_TAKE:
    case ML_STORE_FREE:
        break;
    }
    return SQLITE_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int next_rev(struct ml_sqlite_conn *conn, struct ml_store_write *w)
{
    sqlite3_stmt *stmt = statement(conn, SQL_NEXT_REV);
    bool row;
    int rc;

    if (stmt)
        ml_sqlite_bind_text(stmt, 1, w->org, false);
    rc = step(conn, stmt, &row);
    if (rc != SQLITE_OK)
        return rc;
    w->rev = row ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    rc = sqlite3_step(stmt); /* to its end, so that it counts */
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int set(struct ml_sqlite_conn *conn, const struct ml_store_write *w, struct ml_slice key,
               struct ml_slice value, int64_t expires_ms)
{
    sqlite3_stmt *stmt = of_write(conn, SQL_SET, w);

    if (stmt) {
        ml_sqlite_bind_blob(stmt, 5, key);
        ml_sqlite_bind_blob(stmt, 6, value);
        sqlite3_bind_int64(stmt, 7, (sqlite3_int64)w->rev);
        if (expires_ms)
            sqlite3_bind_int64(stmt, 8, expires_ms);
    }
    return run(conn, stmt);
}

static int add(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
               struct ml_store_item *item)
{
    uint64_t rev;
    double number;
    int64_t expires_ms;
    bool is_number;
    char text[64];
    int rc = look_up(conn, w, item->key, &rev, &number, &is_number, &expires_ms);

    if (rc != SQLITE_OK)
        return rc;
    item->number_out = number + item->number;
    if (item->ttl_ms)
        expires_ms = ml_store_expiry(item, w->now_ms);
    return set(conn, w, item->key,
               ml_slice_make(text, ml_store_number_text(item->number_out, text, sizeof text)),
               expires_ms);
}

static int delete_key(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                      struct ml_store_item *item)
{
    uint64_t rev;
    double number;
    int64_t expires_ms;
    bool is_number;
    sqlite3_stmt *stmt;
    int rc = look_up(conn, w, item->key, &rev, &number, &is_number, &expires_ms);

    item->rev_out = rev != 0;
    if (rc != SQLITE_OK)
        return rc;
    stmt = of_write(conn, SQL_DELETE, w);
    if (stmt)
        ml_sqlite_bind_blob(stmt, 5, item->key);
    return run(conn, stmt);
}

/* The id of the queued job of the same name and key; *out stays empty if there is none. */
static int find_twin(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                     const struct ml_store_item *item, char *out)
{
    sqlite3_stmt *stmt = statement(conn, SQL_TWIN);
    struct ml_slice id;
    bool row;
    int rc;

    if (stmt) {
        ml_sqlite_bind_text(stmt, 1, w->org, false);
        ml_sqlite_bind_text(stmt, 2, ml_store_job_instance(w, item), false);
        ml_sqlite_bind_text(stmt, 3, item->key, false);
        ml_sqlite_bind_blob(stmt, 4, item->upto);
    }
    rc = step(conn, stmt, &row);
    if (rc != SQLITE_OK)
        return rc;
    if (row) {
        id = ml_sqlite_column(stmt, 0);
        if (id.len <= ML_JOB_ID_LEN) {
            memcpy(out, id.ptr, id.len);
            out[id.len] = '\0';
        }
    }
    sqlite3_reset(stmt);
    return SQLITE_OK;
}

static int push(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                struct ml_store_item *item)
{
    sqlite3_stmt *stmt;
    int rc = item->upto.len ? find_twin(conn, w, item, item->id_out) : SQLITE_OK;

    if (rc != SQLITE_OK || item->id_out[0])
        return rc;
    ml_job_id(w->now_ms, item->id_out);
    stmt = of_job(conn, SQL_PUSH, w->org, ml_slice_str(item->id_out));
    if (stmt) {
        ml_sqlite_bind_text(stmt, 3, ml_store_job_instance(w, item), false);
        ml_sqlite_bind_text(stmt, 4, item->key, false);
        bind_blob_or_null(stmt, 5, item->upto);
        ml_sqlite_bind_blob(stmt, 6, item->value);
        sqlite3_bind_int64(stmt, 7, w->now_ms);
        sqlite3_bind_int64(stmt, 8, item->due_ms ? item->due_ms : w->now_ms);
    }
    return run(conn, stmt);
}

static int end_try(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                   const struct ml_store_item *item)
{
    int which = item->act == ML_STORE_DONE    ? SQL_DONE
                : item->act == ML_STORE_RETRY ? SQL_RETRY
                                              : SQL_DEAD;
    sqlite3_stmt *stmt = of_job(conn, which, w->org, item->key);

    if (stmt && which != SQL_DONE) {
        sqlite3_bind_int64(stmt, 3, which == SQL_RETRY && item->due_ms ? item->due_ms : w->now_ms);
        ml_sqlite_bind_text(stmt, 4, item->value, true);
    }
    if (stmt && which == SQL_RETRY)
        sqlite3_bind_int(stmt, 5, item->count ? 1 : 0);
    return run(conn, stmt);
}

static int write_item(struct ml_sqlite_conn *conn, const struct ml_store_write *w,
                      struct ml_store_item *item)
{
    sqlite3_stmt *stmt;

    switch (item->act) {
    case ML_STORE_SET:
        item->rev_out = w->rev;
        return set(conn, w, item->key, item->value, ml_store_expiry(item, w->now_ms));
    case ML_STORE_DELETE:
        return delete_key(conn, w, item);
    case ML_STORE_INCR:
        item->rev_out = w->rev;
        return add(conn, w, item);
    case ML_STORE_PUSH:
        return push(conn, w, item);
    case ML_STORE_DONE:
    case ML_STORE_RETRY:
    case ML_STORE_DEAD:
        return end_try(conn, w, item);
    case ML_STORE_REVIVE:
        stmt = of_job(conn, SQL_REVIVE, w->org, item->key);
        if (stmt)
            sqlite3_bind_int64(stmt, 3, w->now_ms);
        return run(conn, stmt);
    case ML_STORE_FREE:
        return run_plain(conn, SQL_FREE);
    case ML_STORE_CHECK:
    case ML_STORE_RANGE:
    case ML_STORE_TAKE:
        break;
    }
    return SQLITE_OK;
}

static int sweep(struct ml_sqlite_conn *conn, int64_t now_ms)
{
    sqlite3_stmt *stmt = statement(conn, SQL_SWEEP);

    if (stmt) {
        sqlite3_bind_int64(stmt, 1, now_ms);
        sqlite3_bind_int(stmt, 2, SWEEP_ROWS);
    }
    return run(conn, stmt);
}

/* ---- Taking jobs ----------------------------------------------------------------------------- */

/* False: no room. */
static bool read_job(sqlite3_stmt *stmt, struct ml_arena *arena, struct ml_store_job *job)
{
    struct ml_slice id = ml_sqlite_column(stmt, 1);

    *job = (struct ml_store_job){
        .org = ml_sqlite_column(stmt, 0),
        .instance = ml_sqlite_column(stmt, 2),
        .name = ml_sqlite_column(stmt, 3),
        .key = ml_sqlite_column(stmt, 4),
        .args = ml_sqlite_column(stmt, 5),
        .queued_ms = sqlite3_column_int64(stmt, 6),
        .due_ms = sqlite3_column_int64(stmt, 7),
        .try = (uint32_t)sqlite3_column_int64(stmt, 8),
        .leased_until_ms = sqlite3_column_int64(stmt, 9),
        .dead_ms = sqlite3_column_int64(stmt, 10),
        .why = ml_sqlite_column(stmt, 11),
    };
    if (id.len > ML_JOB_ID_LEN)
        id.len = ML_JOB_ID_LEN;
    if (id.len)
        memcpy(job->id, id.ptr, id.len);
    return ml_store_keep_job(arena, job);
}

static int take_one(struct ml_sqlite_conn *conn, struct ml_store_write *w, bool *found_out)
{
    struct ml_store_job *job = &w->jobs[w->job_count];
    sqlite3_stmt *stmt = statement(conn, SQL_DUE);
    int rc;

    if (stmt)
        sqlite3_bind_int64(stmt, 1, w->now_ms);
    rc = step(conn, stmt, found_out);
    if (rc != SQLITE_OK || !*found_out)
        return rc;
    if (!read_job(stmt, &w->arena, job)) {
        sqlite3_reset(stmt);
        return SQLITE_NOMEM;
    }
    sqlite3_reset(stmt);
    job->leased_until_ms = w->now_ms + (int64_t)w->items[0].ttl_ms;
    job->try++;
    w->job_count++;
    stmt = of_job(conn, SQL_LEASE, job->org, ml_slice_str(job->id));
    if (stmt)
        sqlite3_bind_int64(stmt, 3, job->leased_until_ms);
    return run(conn, stmt);
}

/* One after the other, so that two of one key are not taken together. */
static int take(struct ml_sqlite_conn *conn, struct ml_store_write *w)
{
    size_t limit = (size_t)w->items[0].count;
    bool found = true;
    int rc = SQLITE_OK;

    w->jobs = ml_arena_array(&w->arena, limit, sizeof *w->jobs);
    if (!w->jobs)
        return SQLITE_NOMEM;
    while (rc == SQLITE_OK && found && w->job_count < limit)
        rc = take_one(conn, w, &found);
    return rc;
}

/* ---- The transaction ------------------------------------------------------------------------- */

/* *err_out: why it must not be. */
static int commit_items(struct ml_sqlite_conn *conn, struct ml_store_write *w, enum ml_err *err_out)
{
    int rc = SQLITE_OK;

    if (w->count == 1 && w->items[0].act == ML_STORE_TAKE)
        return take(conn, w);
    for (size_t i = 0; rc == SQLITE_OK && !*err_out && i < w->count; i++)
        rc = check(conn, w, &w->items[i], err_out);
    if (rc != SQLITE_OK || *err_out)
        return rc;
    rc = next_rev(conn, w);
    for (size_t i = 0; rc == SQLITE_OK && i < w->count; i++)
        rc = write_item(conn, w, &w->items[i]);
    return rc == SQLITE_OK ? sweep(conn, w->now_ms) : rc;
}

enum ml_err ml_sqlite_commit_store(struct ml_sqlite_conn *conn, struct ml_store_write *w,
                                   struct ml_diag *diag)
{
    enum ml_err err = ML_OK;
    int rc;

    ML_ASSERT(conn->db);
    w->err = ML_OK;
    rc = run_plain(conn, SQL_BEGIN);
    if (rc == SQLITE_OK)
        rc = commit_items(conn, w, &err);
    if (rc == SQLITE_OK)
        rc = run_plain(conn, err || !w->count ? SQL_ROLLBACK : SQL_COMMIT);
    if (rc == SQLITE_OK) {
        if (err)
            ml_request_fail(&w->node, err, NULL);
        return ML_OK;
    }
    (void)ml_sqlite_fail(conn, ML_EIO, "writing to the store", diag);
    if (!sqlite3_get_autocommit(conn->db))
        (void)run_plain(conn, SQL_ROLLBACK);
    w->job_count = 0;
    return ML_EIO;
}

/* ---- Looking --------------------------------------------------------------------------------- */

static int read_pairs(struct ml_sqlite_conn *conn, sqlite3_stmt *stmt, struct ml_store_read *r)
{
    size_t bytes = 0;
    bool row = true;
    int rc = SQLITE_OK;

    r->pairs = ml_arena_array(&r->arena, r->limit, sizeof *r->pairs);
    if (!r->pairs)
        return SQLITE_NOMEM;
    while (rc == SQLITE_OK && row) {
        struct ml_store_pair *pair = &r->pairs[r->count];

        rc = step(conn, stmt, &row);
        if (rc != SQLITE_OK || !row)
            break;
        if (r->count == r->limit || bytes > ML_STORE_PAGE_BYTES) {
            r->more = true;
            break;
        }
        pair->key = ml_arena_copy(&r->arena, ml_sqlite_column(stmt, 0));
        pair->value = ml_arena_copy(&r->arena, ml_sqlite_column(stmt, 1));
        pair->rev = (uint64_t)sqlite3_column_int64(stmt, 2);
        if (!pair->key.ptr || !pair->value.ptr)
            rc = SQLITE_NOMEM;
        bytes += pair->value.len;
        r->count++;
    }
    if (stmt)
        sqlite3_reset(stmt);
    return rc;
}

static int read_jobs(struct ml_sqlite_conn *conn, struct ml_store_read *r)
{
    sqlite3_stmt *stmt = statement(conn, SQL_LIST);
    bool row = true;
    int rc = SQLITE_OK;

    r->jobs = ml_arena_array(&r->arena, r->limit, sizeof *r->jobs);
    if (!r->jobs)
        return SQLITE_NOMEM;
    if (stmt) {
        ml_sqlite_bind_text(stmt, 1, r->org, false);
        ml_sqlite_bind_text(stmt, 2, r->instance, false);
        sqlite3_bind_int(stmt, 3, r->only_dead);
        ml_sqlite_bind_text(stmt, 4, r->key, false);
        ml_sqlite_bind_text(stmt, 5, r->after, false);
        sqlite3_bind_int64(stmt, 6, (sqlite3_int64)r->limit + 1);
    }
    while (rc == SQLITE_OK && row) {
        rc = step(conn, stmt, &row);
        if (rc != SQLITE_OK || !row)
            break;
        if (r->count == r->limit) {
            r->more = true;
            break;
        }
        if (!read_job(stmt, &r->arena, &r->jobs[r->count]))
            rc = SQLITE_NOMEM;
        r->count++;
    }
    if (stmt)
        sqlite3_reset(stmt);
    return rc;
}

enum ml_err ml_sqlite_read_store(struct ml_sqlite_conn *conn, struct ml_store_read *r)
{
    uint8_t room[ML_STORE_KEY_MAX];
    sqlite3_stmt *stmt;
    int rc;

    switch (r->look) {
    case ML_STORE_GET:
        stmt = placed(conn, SQL_GET, r->org, r->instance, r->space, r->now_ms);
        if (stmt)
            ml_sqlite_bind_blob(stmt, 5, r->key);
        rc = read_pairs(conn, stmt, r);
        break;
    case ML_STORE_SCAN:
        stmt = placed(conn, SQL_SCAN, r->org, r->instance, r->space, r->now_ms);
        if (stmt) {
            bind_prefix(stmt, r->key, r->after, room);
            sqlite3_bind_int64(stmt, 8, (sqlite3_int64)r->limit + 1);
        }
        rc = read_pairs(conn, stmt, r);
        break;
    case ML_STORE_USAGE:
        stmt = statement(conn, SQL_USAGE);
        if (stmt)
            ml_sqlite_bind_text(stmt, 1, r->org, false);
        rc = read_pairs(conn, stmt, r);
        break;
    case ML_STORE_JOBS:
    default:
        rc = read_jobs(conn, r);
    }
    if (rc == SQLITE_OK)
        return ML_OK;
    r->count = 0;
    return ml_sqlite_reading_failed(conn, rc, &r->diag);
}
