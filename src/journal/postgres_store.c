/* SPDX-License-Identifier: MIT */
/*
 * The store in PostgreSQL.
 *
 *   BEGIN
 *     next rev of the org                  its row lock: nobody else writes for this org from here
 * on every item: is what it saw still so? -> no: ROLLBACK, nothing was written every item: write
 *   COMMIT
 *
 * Jobs are taken by one node at a time (an advisory lock for the transaction), one after the other,
 * so that two of one key are never taken together. A lease ends by its time alone: another node's
 * jobs are its own until then. What has expired is absent to every statement; a few of those rows
 * are removed with each commit. Statements are asked one by one; plugins write rarely.
 */
#include "journal/postgres.h"
#include "journal/store_item.h"

#include "base/assert.h"

#define SWEEP_ROWS "64"
#define TAKE_LOCK  "7598263478147"

#define PLACE "org = $1::text AND instance = $2::text AND space = $3::text"
#define ALIVE "(expires_ms IS NULL OR expires_ms > $4::bigint)"
#define JOB_ROW                                                                                    \
    "org, id, instance, name, key, args, queued_ms, due_ms, try, leased_until_ms, dead_ms, why"

static const char next_rev_sql[] = "INSERT INTO kv_revs AS r (org, rev) VALUES ($1::text, 1)"
                                   " ON CONFLICT (org) DO UPDATE SET rev = r.rev + 1 RETURNING rev";
static const char get_sql[] = "SELECT key, value, rev, expires_ms FROM kv"
                              " WHERE " PLACE " AND key = $5::bytea AND " ALIVE;
static const char range_sql[] =
    "SELECT count(*), coalesce(max(rev), 0)::bigint FROM kv WHERE " PLACE " AND key >= $5::bytea"
    " AND ($6::bytea IS NULL OR key < $6::bytea) AND ($7::bytea IS NULL OR key > $7::bytea)"
    " AND ($8::bytea IS NULL OR key <= $8::bytea) AND " ALIVE;
static const char scan_sql[] =
    "SELECT key, value, rev FROM kv WHERE " PLACE " AND key >= $5::bytea"
    " AND ($6::bytea IS NULL OR key < $6::bytea) AND ($7::bytea IS NULL OR key > $7::bytea)"
    " AND " ALIVE " ORDER BY key LIMIT $8::bigint";
static const char usage_sql[] =
    "SELECT convert_to((count(*) FILTER (WHERE deleted_ms IS NULL))::text, 'UTF8'),"
    " convert_to(coalesce(sum(record_bytes + snapshot_bytes), 0)::text, 'UTF8'), 0::bigint"
    " FROM documents WHERE org = $1::text";
static const char set_sql[] =
    "INSERT INTO kv (org, instance, space, key, value, rev, expires_ms)"
    " VALUES ($1::text, $2::text, $3::text, $5::bytea, $6::bytea, $7::bigint,"
    " CASE WHEN $4::bigint IS NULL THEN NULL ELSE $8::bigint END)"
    " ON CONFLICT (org, instance, space, key) DO UPDATE SET value = excluded.value,"
    " rev = excluded.rev, expires_ms = excluded.expires_ms";
static const char delete_sql[] =
    "DELETE FROM kv WHERE " PLACE " AND $4::bigint IS NOT NULL AND key = $5::bytea";
static const char sweep_sql[] =
    "DELETE FROM kv WHERE (org, instance, space, key) IN"
    " (SELECT org, instance, space, key FROM kv WHERE expires_ms <= $1::bigint"
    "  LIMIT " SWEEP_ROWS " FOR UPDATE SKIP LOCKED)";
static const char twin_sql[] =
    "SELECT id FROM jobs WHERE org = $1::text AND instance = $2::text AND name = $3::text"
    " AND key = $4::bytea AND dead_ms IS NULL AND leased_until_ms = 0 ORDER BY id LIMIT 1";
static const char push_sql[] =
    "INSERT INTO jobs (org, id, instance, name, key, args, queued_ms, due_ms) VALUES ($1::text,"
    " $2::text, $3::text, $4::text, $5::bytea, $6::bytea, $7::bigint, $8::bigint)";
static const char lock_sql[] = "SELECT pg_advisory_xact_lock(" TAKE_LOCK ")";
static const char due_sql[] =
    "SELECT " JOB_ROW " FROM jobs AS job WHERE dead_ms IS NULL AND due_ms <= $1::bigint"
    " AND leased_until_ms <= $1::bigint AND (key IS NULL OR NOT EXISTS"
    " (SELECT 1 FROM jobs AS other WHERE other.org = job.org AND other.instance = job.instance"
    "  AND other.name = job.name AND other.key = job.key AND other.dead_ms IS NULL"
    "  AND other.leased_until_ms > $1::bigint)) AND NOT EXISTS (SELECT 1 FROM orgs AS o"
    "  WHERE o.org = job.org AND " ML_PG_ON_ITS_WAY ") ORDER BY due_ms LIMIT 1 FOR UPDATE OF job";
static const char lease_sql[] = "UPDATE jobs SET leased_until_ms = $3::bigint, try = try + 1"
                                " WHERE org = $1::text AND id = $2::text";
static const char try_sql[] = "SELECT try FROM jobs WHERE org = $1::text AND id = $2::text"
                              " AND dead_ms IS NULL AND leased_until_ms > 0 FOR UPDATE";
static const char done_sql[] = "DELETE FROM jobs WHERE org = $1::text AND id = $2::text";
static const char retry_sql[] = "UPDATE jobs SET leased_until_ms = 0, due_ms = $3::bigint,"
                                " why = $4::text, try = try - $5::bigint"
                                " WHERE org = $1::text AND id = $2::text";
static const char dead_sql[] = "UPDATE jobs SET leased_until_ms = 0, dead_ms = $3::bigint,"
                               " why = $4::text WHERE org = $1::text AND id = $2::text";
static const char is_dead_sql[] = "SELECT 1 FROM jobs WHERE org = $1::text AND id = $2::text"
                                  " AND dead_ms IS NOT NULL FOR UPDATE";
static const char revive_sql[] = "UPDATE jobs SET dead_ms = NULL, leased_until_ms = 0, try = 0,"
                                 " due_ms = $3::bigint WHERE org = $1::text AND id = $2::text";
static const char list_sql[] =
    "SELECT " JOB_ROW " FROM jobs WHERE org = $1::text AND ($2::text = '' OR instance = $2::text)"
    " AND ($3::bigint = 0 OR dead_ms IS NOT NULL) AND ($4::text = '' OR id = $4::text)"
    " AND id > $5::text ORDER BY id LIMIT $6::bigint";

struct store {
    struct ml_pg *pg;
    struct ml_pg_args args;
    struct ml_diag *diag;
    struct ml_store_write *w;
};

/* ---- Asking ---------------------------------------------------------------------------------- */

/* NULL: it failed, and diag says why. */
static PGresult *ask(struct store *s, const char *sql)
{
    return ml_pg_query(s->pg, sql, &s->args, s->diag);
}

static enum ml_err run(struct store *s, const char *sql)
{
    PGresult *result = ask(s, sql);

    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

static enum ml_err run_plain(struct store *s, const char *sql)
{
    ml_pg_args_reset(&s->args);
    return run(s, sql);
}

static void bytea_or_null(struct store *s, struct ml_slice bytes)
{
    if (bytes.len)
        ml_pg_bytea(&s->args, bytes);
    else
        ml_pg_null(&s->args);
}

static void placed(struct store *s, struct ml_slice org, struct ml_slice instance,
                   struct ml_slice space, int64_t now_ms)
{
    ml_pg_args_reset(&s->args);
    ml_pg_text(&s->args, org);
    ml_pg_text(&s->args, instance);
    ml_pg_text(&s->args, space);
    ml_pg_int8(&s->args, now_ms);
}

static void of_write(struct store *s)
{
    placed(s, s->w->org, s->w->instance, s->w->space, s->w->now_ms);
}

static void of_job(struct store *s, struct ml_slice org, struct ml_slice id)
{
    ml_pg_args_reset(&s->args);
    ml_pg_text(&s->args, org);
    ml_pg_text(&s->args, id);
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

static void put_prefix(struct store *s, struct ml_slice prefix, struct ml_slice after)
{
    uint8_t room[ML_STORE_KEY_MAX];

    ml_pg_bytea(&s->args, prefix);
    bytea_or_null(s, behind(prefix, room));
    bytea_or_null(s, after);
}

/* ---- Checking -------------------------------------------------------------------------------- */

struct found {
    uint64_t rev; /* 0: absent */
    double number;
    bool is_number;
    int64_t expires_ms;
};

static enum ml_err look_up(struct store *s, struct ml_slice key, struct found *out)
{
    PGresult *result;

    *out = (struct found){.is_number = true};
    of_write(s);
    ml_pg_bytea(&s->args, key);
    result = ask(s, get_sql);
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        out->rev = (uint64_t)ml_pg_number(result, 0, 2);
        out->expires_ms = ml_pg_number(result, 0, 3);
        out->is_number = ml_store_number(ml_pg_bytes(result, 0, 1), &out->number);
    }
    PQclear(result);
    return ML_OK;
}

static enum ml_err check_range(struct store *s, const struct ml_store_item *item,
                               enum ml_err *refused_out)
{
    PGresult *result;

    of_write(s);
    put_prefix(s, item->key, item->value);
    bytea_or_null(s, item->upto);
    result = ask(s, range_sql);
    if (!result)
        return ML_EIO;
    if ((uint64_t)ml_pg_number(result, 0, 0) != item->count ||
        (uint64_t)ml_pg_number(result, 0, 1) != item->rev)
        *refused_out = ML_ECONFLICT;
    PQclear(result);
    return ML_OK;
}

/* One row whose first column is `expected`, or no matter what (expected < 0); otherwise `refusal`.
 */
static enum ml_err check_row(struct store *s, const char *sql, const struct ml_store_item *item,
                             int64_t expected, enum ml_err refusal, enum ml_err *refused_out)
{
    PGresult *result;

    of_job(s, s->w->org, item->key);
    result = ask(s, sql);
    if (!result)
        return ML_EIO;
    if (!PQntuples(result) || (expected >= 0 && ml_pg_number(result, 0, 0) != expected))
        *refused_out = refusal;
    PQclear(result);
    return ML_OK;
}

static enum ml_err check(struct store *s, const struct ml_store_item *item,
                         enum ml_err *refused_out)
{
    struct found found;
    enum ml_err err;

    switch (item->act) {
    case ML_STORE_CHECK:
        err = look_up(s, item->key, &found);
        if (!err && found.rev != item->rev)
            *refused_out = ML_ECONFLICT;
        return err;
    case ML_STORE_INCR:
        err = look_up(s, item->key, &found);
        if (!err && !found.is_number)
            *refused_out = ML_EFORMAT;
        return err;
    case ML_STORE_RANGE:
        return check_range(s, item, refused_out);
    case ML_STORE_DONE:
    case ML_STORE_RETRY:
    case ML_STORE_DEAD:
        return check_row(s, try_sql, item, (int64_t)item->rev, ML_ECONFLICT, refused_out);
    case ML_STORE_REVIVE:
        return check_row(s, is_dead_sql, item, -1, ML_ENOTFOUND, refused_out);
    case ML_STORE_SET:
    case ML_STORE_DELETE:
    case ML_STORE_PUSH:
    case ML_STORE_TAKE:
    case ML_STORE_FREE:
        break;
    }
    return ML_OK;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static enum ml_err next_rev(struct store *s)
{
    PGresult *result;

    ml_pg_args_reset(&s->args);
    ml_pg_text(&s->args, s->w->org);
    result = ask(s, next_rev_sql);
    if (!result)
        return ML_EIO;
    s->w->rev = (uint64_t)ml_pg_number(result, 0, 0);
    PQclear(result);
    return ML_OK;
}

static enum ml_err set(struct store *s, struct ml_slice key, struct ml_slice value,
                       int64_t expires_ms)
{
    of_write(s);
    ml_pg_bytea(&s->args, key);
    ml_pg_bytea(&s->args, value);
    ml_pg_int8(&s->args, (int64_t)s->w->rev);
    if (expires_ms)
        ml_pg_int8(&s->args, expires_ms);
    else
        ml_pg_null(&s->args);
    return run(s, set_sql);
}

static enum ml_err add(struct store *s, struct ml_store_item *item)
{
    struct found found;
    char text[64];
    enum ml_err err = look_up(s, item->key, &found);

    if (err)
        return err;
    item->number_out = found.number + item->number;
    if (item->ttl_ms)
        found.expires_ms = ml_store_expiry(item, s->w->now_ms);
    return set(s, item->key,
               ml_slice_make(text, ml_store_number_text(item->number_out, text, sizeof text)),
               found.expires_ms);
}

static enum ml_err delete_key(struct store *s, struct ml_store_item *item)
{
    struct found found;
    enum ml_err err = look_up(s, item->key, &found);

    item->rev_out = found.rev != 0;
    if (err)
        return err;
    of_write(s);
    ml_pg_bytea(&s->args, item->key);
    return run(s, delete_sql);
}

static void copy_id(const PGresult *result, int row, int column, char *out)
{
    struct ml_slice id = ml_pg_bytes(result, row, column);

    if (id.len > ML_JOB_ID_LEN)
        id.len = ML_JOB_ID_LEN;
    if (id.len)
        memcpy(out, id.ptr, id.len);
    out[id.len] = '\0';
}

/* The id of the queued job of the same name and key; *out stays empty if there is none. */
static enum ml_err find_twin(struct store *s, const struct ml_store_item *item, char *out)
{
    PGresult *result;

    ml_pg_args_reset(&s->args);
    ml_pg_text(&s->args, s->w->org);
    ml_pg_text(&s->args, ml_store_job_instance(s->w, item));
    ml_pg_text(&s->args, item->key);
    ml_pg_bytea(&s->args, item->upto);
    result = ask(s, twin_sql);
    if (!result)
        return ML_EIO;
    if (PQntuples(result))
        copy_id(result, 0, 0, out);
    PQclear(result);
    return ML_OK;
}

static enum ml_err push(struct store *s, struct ml_store_item *item)
{
    enum ml_err err = item->upto.len ? find_twin(s, item, item->id_out) : ML_OK;

    if (err || item->id_out[0])
        return err;
    ml_job_id(s->w->now_ms, item->id_out);
    of_job(s, s->w->org, ml_slice_str(item->id_out));
    ml_pg_text(&s->args, ml_store_job_instance(s->w, item));
    ml_pg_text(&s->args, item->key);
    bytea_or_null(s, item->upto);
    ml_pg_bytea(&s->args, item->value);
    ml_pg_int8(&s->args, s->w->now_ms);
    ml_pg_int8(&s->args, item->due_ms ? item->due_ms : s->w->now_ms);
    return run(s, push_sql);
}

static enum ml_err end_try(struct store *s, const struct ml_store_item *item)
{
    of_job(s, s->w->org, item->key);
    if (item->act == ML_STORE_DONE)
        return run(s, done_sql);
    ml_pg_int8(&s->args, item->act == ML_STORE_RETRY && item->due_ms ? item->due_ms : s->w->now_ms);
    if (item->value.len)
        ml_pg_text(&s->args, item->value);
    else
        ml_pg_null(&s->args);
    if (item->act == ML_STORE_DEAD)
        return run(s, dead_sql);
    ml_pg_int8(&s->args, item->count ? 1 : 0);
    return run(s, retry_sql);
}

static enum ml_err write_item(struct store *s, struct ml_store_item *item)
{
    switch (item->act) {
    case ML_STORE_SET:
        item->rev_out = s->w->rev;
        return set(s, item->key, item->value, ml_store_expiry(item, s->w->now_ms));
    case ML_STORE_DELETE:
        return delete_key(s, item);
    case ML_STORE_INCR:
        item->rev_out = s->w->rev;
        return add(s, item);
    case ML_STORE_PUSH:
        return push(s, item);
    case ML_STORE_DONE:
    case ML_STORE_RETRY:
    case ML_STORE_DEAD:
        return end_try(s, item);
    case ML_STORE_REVIVE:
        of_job(s, s->w->org, item->key);
        ml_pg_int8(&s->args, s->w->now_ms);
        return run(s, revive_sql);
    case ML_STORE_FREE: /* other nodes hold theirs */
    case ML_STORE_CHECK:
    case ML_STORE_RANGE:
    case ML_STORE_TAKE:
        break;
    }
    return ML_OK;
}

static enum ml_err sweep(struct store *s)
{
    ml_pg_args_reset(&s->args);
    ml_pg_int8(&s->args, s->w->now_ms);
    return run(s, sweep_sql);
}

/* ---- Taking jobs ----------------------------------------------------------------------------- */

static bool read_job(const PGresult *result, int row, struct ml_arena *arena,
                     struct ml_store_job *job)
{
    *job = (struct ml_store_job){
        .org = ml_pg_bytes(result, row, 0),
        .instance = ml_pg_bytes(result, row, 2),
        .name = ml_pg_bytes(result, row, 3),
        .key = ml_pg_bytes(result, row, 4),
        .args = ml_pg_bytes(result, row, 5),
        .queued_ms = ml_pg_number(result, row, 6),
        .due_ms = ml_pg_number(result, row, 7),
        .try = (uint32_t)ml_pg_number(result, row, 8),
        .leased_until_ms = ml_pg_number(result, row, 9),
        .dead_ms = ml_pg_number(result, row, 10),
        .why = ml_pg_bytes(result, row, 11),
    };
    copy_id(result, row, 1, job->id);
    return ml_store_keep_job(arena, job);
}

static enum ml_err take_one(struct store *s, bool *found_out)
{
    struct ml_store_write *w = s->w;
    struct ml_store_job *job = &w->jobs[w->job_count];
    PGresult *result;
    bool kept = true;

    ml_pg_args_reset(&s->args);
    ml_pg_int8(&s->args, w->now_ms);
    result = ask(s, due_sql);
    if (!result)
        return ML_EIO;
    *found_out = PQntuples(result) > 0;
    if (*found_out)
        kept = read_job(result, 0, &w->arena, job);
    PQclear(result);
    if (!*found_out || !kept)
        return kept ? ML_OK : ML_EIO;
    job->leased_until_ms = w->now_ms + (int64_t)w->items[0].ttl_ms;
    job->try++;
    w->job_count++;
    of_job(s, job->org, ml_slice_str(job->id));
    ml_pg_int8(&s->args, job->leased_until_ms);
    return run(s, lease_sql);
}

static enum ml_err take(struct store *s)
{
    struct ml_store_write *w = s->w;
    size_t limit = (size_t)w->items[0].count;
    bool found = true;
    enum ml_err err = run_plain(s, lock_sql);

    w->jobs = ml_arena_array(&w->arena, limit, sizeof *w->jobs);
    if (!w->jobs)
        return ML_EIO;
    while (!err && found && w->job_count < limit)
        err = take_one(s, &found);
    return err;
}

/* ---- The transaction ------------------------------------------------------------------------- */

/* *refused_out: why it must not be. */
static enum ml_err commit_items(struct store *s, enum ml_err *refused_out)
{
    struct ml_store_write *w = s->w;
    enum ml_err err;

    if (w->count == 1 && w->items[0].act == ML_STORE_TAKE)
        return take(s);
    err = next_rev(s);
    for (size_t i = 0; !err && !*refused_out && i < w->count; i++)
        err = check(s, &w->items[i], refused_out);
    if (err || *refused_out)
        return err;
    for (size_t i = 0; !err && i < w->count; i++)
        err = write_item(s, &w->items[i]);
    return err ? err : sweep(s);
}

static enum ml_err commit(struct store *s)
{
    PGresult *result;
    bool committed;

    ml_pg_args_reset(&s->args);
    result = ask(s, "COMMIT");
    committed = result && strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    return committed ? ML_OK : ML_EIO;
}

enum ml_err ml_pg_commit_store(struct ml_pg *pg, struct ml_store_write *w, struct ml_diag *diag)
{
    struct store s = {.pg = pg, .diag = diag, .w = w};
    enum ml_err err, refused = ML_OK;

    ML_ASSERT(pg->conn);
    w->err = ML_OK;
    ml_pg_args_init(&s.args);
    err = run_plain(&s, "BEGIN");
    if (!err)
        err = commit_items(&s, &refused);
    if (!err && !refused && w->count)
        err = commit(&s);
    else if (!err)
        err = run_plain(&s, "ROLLBACK");
    if (err)
        w->job_count = 0; /* and the connection goes: what it had begun ends with it */
    else if (refused)
        ml_request_fail(&w->node, refused, NULL);
    ml_pg_args_release(&s.args);
    return err;
}

/* ---- Looking --------------------------------------------------------------------------------- */

static enum ml_err read_pairs(const PGresult *result, struct ml_store_read *r)
{
    size_t bytes = 0;

    r->pairs = ml_arena_array(&r->arena, r->limit, sizeof *r->pairs);
    if (!r->pairs)
        return ML_ELIMIT;
    for (int i = 0; i < PQntuples(result); i++) {
        struct ml_store_pair *pair = &r->pairs[r->count];

        if (r->count == r->limit || bytes > ML_STORE_PAGE_BYTES) {
            r->more = true;
            break;
        }
        pair->key = ml_arena_copy(&r->arena, ml_pg_bytes(result, i, 0));
        pair->value = ml_arena_copy(&r->arena, ml_pg_bytes(result, i, 1));
        pair->rev = (uint64_t)ml_pg_number(result, i, 2);
        if (!pair->key.ptr || !pair->value.ptr)
            return ML_ELIMIT;
        bytes += pair->value.len;
        r->count++;
    }
    return ML_OK;
}

static enum ml_err read_jobs(const PGresult *result, struct ml_store_read *r)
{
    r->jobs = ml_arena_array(&r->arena, r->limit, sizeof *r->jobs);
    if (!r->jobs)
        return ML_ELIMIT;
    for (int i = 0; i < PQntuples(result); i++) {
        if (r->count == r->limit) {
            r->more = true;
            break;
        }
        if (!read_job(result, i, &r->arena, &r->jobs[r->count]))
            return ML_ELIMIT;
        r->count++;
    }
    return ML_OK;
}

static PGresult *ask_for_jobs(struct store *s, const struct ml_store_read *r)
{
    ml_pg_args_reset(&s->args);
    ml_pg_text(&s->args, r->org);
    ml_pg_text(&s->args, r->instance);
    ml_pg_int8(&s->args, r->only_dead);
    ml_pg_text(&s->args, r->key);
    ml_pg_text(&s->args, r->after);
    ml_pg_int8(&s->args, (int64_t)r->limit + 1);
    return ask(s, list_sql);
}

enum ml_err ml_pg_read_store(struct ml_pg *pg, struct ml_store_read *r)
{
    struct store s = {.pg = pg, .diag = &r->diag};
    PGresult *result;
    enum ml_err err;

    ML_ASSERT(pg->conn);
    ml_pg_args_init(&s.args);
    placed(&s, r->org, r->instance, r->space, r->now_ms);
    switch (r->look) {
    case ML_STORE_GET:
        ml_pg_bytea(&s.args, r->key);
        result = ask(&s, get_sql);
        break;
    case ML_STORE_SCAN:
        put_prefix(&s, r->key, r->after);
        ml_pg_int8(&s.args, (int64_t)r->limit + 1);
        result = ask(&s, scan_sql);
        break;
    case ML_STORE_USAGE:
        ml_pg_args_reset(&s.args);
        ml_pg_text(&s.args, r->org);
        result = ask(&s, usage_sql);
        break;
    case ML_STORE_JOBS:
    default:
        result = ask_for_jobs(&s, r);
    }
    err = !result                    ? ML_EIO
          : r->look == ML_STORE_JOBS ? read_jobs(result, r)
                                     : read_pairs(result, r);
    PQclear(result);
    if (err)
        r->count = 0;
    ml_pg_args_release(&s.args);
    return err;
}
