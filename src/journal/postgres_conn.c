/* SPDX-License-Identifier: MIT */
/*
 * A connection to PostgreSQL.
 *
 * What it is told apart by when it opens:
 *   a standby           refused: what it holds may be behind, and nothing can be written
 *   another encoding    refused: names are UTF-8
 *   another database    refused: postgres_identity.c
 *   another schema      refused, unless there is none at all (postgres_migrate.c)
 *   fsync, full_page_writes or synchronous_commit off: a warning in the log; the operator's choice
 *
 * The connection is in pipeline mode for life: statements go out together, one round trip answers
 * them. Arguments and results are binary: eight bytes are a number, bytes are bytes.
 */
#include "journal/postgres.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define ARGS_MAX_BYTES ((size_t)1 << 30)

static enum ml_err fail(const struct ml_pg *pg, enum ml_err err, const char *doing,
                        struct ml_diag *diag)
{
    const char *text = pg->conn ? PQerrorMessage(pg->conn) : "no connection";
    int len = (int)strcspn(text, "\n");

    return ml_diag_set(diag, err, 0, "PostgreSQL, %s: %.*s", doing, len, text);
}

/* ---- Opening -------------------------------------------------------------------------------- */

PGresult *ml_pg_plain(struct ml_pg *pg, const char *sql, struct ml_diag *diag)
{
    PGresult *result = PQexec(pg->conn, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    (void)fail(pg, ML_EIO, "setting up", diag);
    PQclear(result);
    return NULL;
}

enum ml_err ml_pg_plain_run(struct ml_pg *pg, const char *sql, struct ml_diag *diag)
{
    PGresult *result = ml_pg_plain(pg, sql, diag);

    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

static enum ml_err check_server(struct ml_pg *pg, bool writer, struct ml_diag *diag)
{
    static const char sql[] = "SELECT pg_is_in_recovery(), current_setting('server_encoding'),"
                              " current_setting('fsync') AS fsync, "
                              "current_setting('full_page_writes') AS full_page_writes,"
                              " current_setting('synchronous_commit') AS synchronous_commit";
    PGresult *result = ml_pg_plain(pg, sql, diag);
    enum ml_err err = ML_OK;

    if (!result)
        return ML_EIO;
    if (pg->is_copy != (PQgetvalue(result, 0, 0)[0] == 't'))
        err = pg->is_copy
                  ? ml_diag_set(diag, ML_EIO, 0, "this PostgreSQL server is no standby (any more)")
                  : ml_diag_set(diag, ML_EIO, 0,
                                "this PostgreSQL server is a standby: "
                                "name the primary");
    else if (strcmp(PQgetvalue(result, 0, 1), "UTF8") != 0)
        err = ml_diag_set(diag, ML_EFORMAT, 0, "the database must have the encoding UTF8, not %s",
                          PQgetvalue(result, 0, 1));
    for (int i = 2; i < 5 && !err && writer; i++)
        if (strcmp(PQgetvalue(result, 0, i), "off") == 0)
            ml_log(ML_LOG_WARN, "journal.not_durable", "setting=%s value=off", PQfname(result, i));
    PQclear(result);
    return err;
}

static enum ml_err prepare(struct ml_pg *pg, int which, struct ml_diag *diag)
{
    char name[16];
    PGresult *result;
    enum ml_err err = ML_OK;

    snprintf(name, sizeof name, "s%d", which);
    result = PQprepare(pg->conn, name, pg->sql[which], 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        err = fail(pg, ML_EIO, "preparing", diag);
    PQclear(result);
    return err;
}

static void on_notice(void *arg, const PGresult *result)
{
    (void)arg; /* "relation exists already, skipping" and the like */
    (void)result;
}

enum ml_err ml_pg_connect(struct ml_pg *pg, const char *url, bool writer, struct ml_diag *diag)
{
    /* What stands in the address comes last and wins. */
    static const char *const words[] = {
        "connect_timeout",  "keepalives_idle",  "keepalives_interval",
        "keepalives_count", "tcp_user_timeout", "fallback_application_name",
        "client_encoding",  "dbname",           NULL};
    const char *values[] = {"5", "20", "5", "3", "30000", "moonloom", "UTF8", url, NULL};
    enum ml_err err;

    pg->conn = PQconnectdbParams(words, values, 1);
    if (!pg->conn)
        return ML_ELIMIT;
    if (PQstatus(pg->conn) != CONNECTION_OK)
        err = fail(pg, ML_EIO, "connecting", diag);
    else
        err = check_server(pg, writer, diag);
    PQsetNoticeReceiver(pg->conn, on_notice, NULL);
    if (err)
        ml_pg_close(pg);
    return err;
}

enum ml_err ml_pg_open(struct ml_pg *pg, const char *url, enum ml_pg_side side,
                       const char *const *sql, struct ml_pg_identity *identity,
                       struct ml_diag *diag)
{
    static const char settings[] = "SET lock_timeout = '10s'; SET statement_timeout = '60s';"
                                   "SET idle_in_transaction_session_timeout = '60s'";
    static const char reading[] = "SET default_transaction_read_only = on;"
                                  "SET default_transaction_isolation = 'repeatable read'";
    /* Arrays of unknown length are joined with large tables: always by the index of the large one.
     */
    static const char writing[] =
        "SET enable_hashjoin = off; SET enable_mergejoin = off;"
        "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan;"
        "SET jit = off";
    bool writer = side == ML_PG_WRITER;
    enum ml_err err;

    *pg = (struct ml_pg){.sql = sql, .identity = identity, .is_copy = side == ML_PG_COPY};
    err = ml_pg_connect(pg, url, writer, diag);
    if (err)
        return err;
    err = ml_pg_check_identity(pg, diag);
    if (!err && !pg->is_copy)
        err = ml_pg_check_schema(pg, diag);
    if (!err)
        err = ml_pg_plain_run(pg, settings, diag);
    if (!err)
        err = ml_pg_plain_run(pg, writer ? writing : reading, diag);
    for (int i = 0; i < ML_PG_STATEMENTS && !err; i++)
        err = sql[i] ? prepare(pg, i, diag) : ML_OK;
    if (!err && !PQenterPipelineMode(pg->conn))
        err = fail(pg, ML_EIO, "entering pipeline mode", diag);
    if (!err && !pg->is_copy)
        err = ml_pg_check_tail(pg, diag);
    if (err)
        ml_pg_close(pg);
    return err;
}

void ml_pg_close(struct ml_pg *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
}

/* ---- Arguments ------------------------------------------------------------------------------ */

void ml_pg_args_init(struct ml_pg_args *args)
{
    args->count = 0;
    ml_writer_init(&args->bytes, ARGS_MAX_BYTES);
}

void ml_pg_args_reset(struct ml_pg_args *args)
{
    args->count = 0;
    ml_writer_reset(&args->bytes);
}

void ml_pg_args_release(struct ml_pg_args *args)
{
    ml_writer_release(&args->bytes);
}

static void put_int(struct ml_writer *w, uint64_t number, unsigned bytes)
{
    for (unsigned shift = 8 * bytes; shift; shift -= 8)
        ml_write_u8(w, (uint8_t)(number >> (shift - 8)));
}

static void begin(struct ml_pg_args *args, int length)
{
    ML_ASSERT(args->count < ML_PG_ARGS);
    args->begins[args->count] = args->bytes.len;
    args->lengths[args->count++] = length;
}

void ml_pg_text(struct ml_pg_args *args, struct ml_slice text)
{
    begin(args, (int)text.len);
    ml_write_bytes(&args->bytes, text);
}

void ml_pg_bytea(struct ml_pg_args *args, struct ml_slice bytes)
{
    begin(args, (int)bytes.len);
    ml_write_bytes(&args->bytes, bytes);
}

void ml_pg_int8(struct ml_pg_args *args, int64_t number)
{
    begin(args, 8);
    put_int(&args->bytes, (uint64_t)number, 8);
}

void ml_pg_null(struct ml_pg_args *args)
{
    begin(args, -1);
}

void ml_pg_array(struct ml_pg_args *args, Oid type, size_t count)
{
    Oid element = type == ML_PG_INT8_ARRAY   ? ML_PG_INT8
                  : type == ML_PG_TEXT_ARRAY ? ML_PG_TEXT
                                             : ML_PG_BYTEA;
    struct ml_writer *w = &args->bytes;

    begin(args, 0);
    put_int(w, count ? 1 : 0, 4); /* dimensions */
    put_int(w, 1, 4);             /* there may be NULLs */
    put_int(w, element, 4);
    if (count) {
        put_int(w, count, 4);
        put_int(w, 1, 4); /* the first index */
    }
    args->lengths[args->count - 1] = (int)(w->len - args->begins[args->count - 1]);
}

static void grow_array(struct ml_pg_args *args, size_t by)
{
    args->lengths[args->count - 1] += (int)by;
}

void ml_pg_item(struct ml_pg_args *args, struct ml_slice bytes)
{
    put_int(&args->bytes, bytes.len, 4);
    ml_write_bytes(&args->bytes, bytes);
    grow_array(args, 4 + bytes.len);
}

void ml_pg_item_null(struct ml_pg_args *args)
{
    put_int(&args->bytes, UINT32_MAX, 4);
    grow_array(args, 4);
}

void ml_pg_item_int8(struct ml_pg_args *args, int64_t number)
{
    put_int(&args->bytes, 8, 4);
    put_int(&args->bytes, (uint64_t)number, 8);
    grow_array(args, 12);
}

/* ---- Sending, and what comes back ----------------------------------------------------------- */

/* Where the values stand, now that they do not move any more. False: they did not all fit. */
static bool point_at(const struct ml_pg_args *args, const char **values, int *formats)
{
    for (int i = 0; i < args->count; i++) {
        values[i] = args->lengths[i] < 0 ? NULL
                    : args->lengths[i]   ? (const char *)args->bytes.ptr + args->begins[i]
                                         : "";
        formats[i] = 1;
    }
    return !args->bytes.err;
}

enum ml_err ml_pg_send(struct ml_pg *pg, int which, const struct ml_pg_args *args,
                       struct ml_diag *diag)
{
    const char *values[ML_PG_ARGS];
    int formats[ML_PG_ARGS];
    char name[16];

    ML_ASSERT(which >= 0 && which < ML_PG_STATEMENTS && pg->sql[which]);
    if (args && !point_at(args, values, formats))
        return ml_diag_set(diag, ML_ELIMIT, 0, "too much for one statement");
    snprintf(name, sizeof name, "s%d", which);
    if (!PQsendQueryPrepared(pg->conn, name, args ? args->count : 0, values,
                             args ? args->lengths : NULL, formats, 1))
        return fail(pg, ML_EIO, "sending", diag);
    return ML_OK;
}

enum ml_err ml_pg_sync(struct ml_pg *pg, struct ml_diag *diag)
{
    return PQpipelineSync(pg->conn) ? ML_OK : fail(pg, ML_EIO, "sending", diag);
}

PGresult *ml_pg_result(struct ml_pg *pg, char *state_out, struct ml_diag *diag)
{
    PGresult *result = PQgetResult(pg->conn);
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    PGresult *end;

    state_out[0] = '\0';
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        end = PQgetResult(pg->conn);
        ML_ASSERT(!end); /* one statement has one result */
        return result;
    }
    if (state)
        snprintf(state_out, 6, "%s", state);
    (void)fail(pg, ML_EIO, "carrying out a statement", diag);
    PQclear(result);
    return NULL;
}

enum ml_err ml_pg_drain(struct ml_pg *pg, struct ml_diag *diag)
{
    unsigned ends = 0;

    for (;;) {
        PGresult *result = PQgetResult(pg->conn);
        ExecStatusType status = PQresultStatus(result);

        PQclear(result);
        if (status == PGRES_PIPELINE_SYNC)
            return ML_OK;
        /* Between two results comes one end; more of them, and nothing is to come. */
        ends = result ? 0 : ends + 1;
        if (PQstatus(pg->conn) != CONNECTION_OK || ends > 2)
            return fail(pg, ML_EIO, "reading the end of a batch", diag);
    }
}

enum ml_err ml_pg_run(struct ml_pg *pg, int which, struct ml_diag *diag)
{
    char state[6];
    PGresult *result;
    enum ml_err err = ml_pg_send(pg, which, NULL, diag);

    if (!err)
        err = ml_pg_sync(pg, diag);
    if (err)
        return err;
    result = ml_pg_result(pg, state, diag);
    err = ml_pg_drain(pg, diag);
    if (!result)
        err = ML_EIO;
    PQclear(result);
    return err;
}

PGresult *ml_pg_query(struct ml_pg *pg, const char *sql, const struct ml_pg_args *args,
                      struct ml_diag *diag)
{
    const char *values[ML_PG_ARGS];
    int formats[ML_PG_ARGS];
    PGresult *result;
    char state[6];

    if (!point_at(args, values, formats)) {
        (void)ml_diag_set(diag, ML_ELIMIT, 0, "too much for one statement");
        return NULL;
    }
    if (!PQsendQueryParams(pg->conn, sql, args->count, NULL, values, args->lengths, formats, 1)) {
        (void)fail(pg, ML_EIO, "sending", diag);
        return NULL;
    }
    if (ml_pg_sync(pg, diag))
        return NULL;
    result = ml_pg_result(pg, state, diag);
    if (ml_pg_drain(pg, result ? diag : NULL)) {
        PQclear(result);
        return NULL;
    }
    return result;
}

int64_t ml_pg_number(const PGresult *result, int row, int column)
{
    const uint8_t *bytes = (const uint8_t *)PQgetvalue(result, row, column);
    int len = PQgetlength(result, row, column);
    uint64_t number = 0;

    if (PQgetisnull(result, row, column))
        return 0;
    if (len == 1)
        return bytes[0];
    for (int i = 0; i < len && i < 8; i++)
        number = number << 8 | bytes[i];
    if (len == 4)
        return (int32_t)number;
    return len == 2 ? (int16_t)number : (int64_t)number;
}

struct ml_slice ml_pg_bytes(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return (struct ml_slice){0};
    return ml_slice_make(PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column));
}

bool ml_pg_is_fault_of_document(const char *state)
{
    return strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
           strncmp(state, "54", 2) == 0;
}
