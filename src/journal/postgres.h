/* SPDX-License-Identifier: MIT */
/*
 * Private to the PostgreSQL journal. postgres.c is the backing beneath threads.c, postgres_conn.c a
 * connection, the others have the SQL. Everything blocks and belongs to one thread.
 */
#ifndef ML_JOURNAL_POSTGRES_H
#define ML_JOURNAL_POSTGRES_H

#include "base/codec.h"
#include "journal/checksum.h"
#include "journal/pack.h"
#include "journal/threads.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>

#define ML_PG_STATEMENTS 24
#define ML_PG_ARGS       14

/* First half of the advisory locks of orgs (schema/postgres/0007_orgs.sql). */
#define ML_PG_FENCE "7598263"
#define ML_PG_MOVER "7598264"

#define ML_PG_NOW_MS "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

/* What a row `o` of orgs (or none) says, as enum ml_gate. */
#define ML_PG_GATE_CASE                                                                            \
    "CASE WHEN o.moved_to IS NOT NULL OR o.arriving_from IS NOT NULL THEN 4"                       \
    " WHEN o.removed_ms IS NOT NULL THEN 2 WHEN o.held_until_ms IS NOT NULL THEN 3"                \
    " WHEN o.suspended_ms IS NOT NULL THEN 1 ELSE 0 END"

/* What is to be done for a row `o` is done where the org will be. */
#define ML_PG_ON_ITS_WAY                                                                           \
    "(o.moved_to IS NOT NULL OR o.arriving_from IS NOT NULL OR o.held_until_ms IS NOT NULL)"

/* The same in the lists of the writer and of readers. */
enum { ML_PG_SQL_GATE = 20, ML_PG_SQL_FENCE, ML_PG_SQL_FENCE_BATCH };

/* Types of arguments, as PostgreSQL numbers them (pg_type.dat). */
enum {
    ML_PG_BYTEA = 17,
    ML_PG_INT8 = 20,
    ML_PG_TEXT = 25,
    ML_PG_BYTEA_ARRAY = 1001,
    ML_PG_TEXT_ARRAY = 1009,
    ML_PG_INT8_ARRAY = 1016,
};

/** What is known of the database beyond a connection; shared by the threads of one journal. */
struct ml_pg_identity {
    pthread_mutex_t mutex;
    char system[32]; /* system identifier; "": not seen yet */
    int timeline;
    /* the last record that was answered for; seq 0: none */
    char org[64];
    uint8_t document[ML_DOCUMENT_ID_BYTES];
    uint64_t seq;
    uint32_t checksum;
};

/* What a connection is for: a primary's writer or reader, or reading from a standby. */
enum ml_pg_side { ML_PG_WRITER, ML_PG_READER, ML_PG_COPY };

/** One connection, always in pipeline mode. */
struct ml_pg {
    PGconn *conn;                    /* NULL: not open */
    struct ml_pg_identity *identity; /* borrowed; NULL: nothing is remembered */
    bool is_copy;                    /* a streaming standby */
    const char *const *sql;          /* prepared when it was opened; NULL: none of that number */
};

/** Arguments of one statement, in the binary format. */
struct ml_pg_args {
    int count;
    size_t begins[ML_PG_ARGS]; /* in `bytes` */
    int lengths[ML_PG_ARGS];   /* -1: NULL */
    struct ml_writer bytes;
};

/* --- postgres_conn.c --- */

/** Connect, and refuse what cannot be written to; nothing is left open on failure. */
enum ml_err ml_pg_connect(struct ml_pg *pg, const char *url, bool writer,
                          struct ml_diag *diag) ML_MUST_CHECK;
/**
 * The same, and make it ready: the database and its schema are the ones that are expected.
 * @param sql  the statements that the owner uses
 * @retval ML_EIO, ML_EVERSION, ML_EFORMAT; nothing is left open then
 */
enum ml_err ml_pg_open(struct ml_pg *pg, const char *url, enum ml_pg_side side,
                       const char *const *sql, struct ml_pg_identity *identity,
                       struct ml_diag *diag) ML_MUST_CHECK;
/** Before pipeline mode: one statement without arguments, text results. NULL: diag says why. */
PGresult *ml_pg_plain(struct ml_pg *pg, const char *sql, struct ml_diag *diag);
enum ml_err ml_pg_plain_run(struct ml_pg *pg, const char *sql, struct ml_diag *diag) ML_MUST_CHECK;
void ml_pg_close(struct ml_pg *pg);

void ml_pg_args_init(struct ml_pg_args *args);
void ml_pg_args_reset(struct ml_pg_args *args);
void ml_pg_args_release(struct ml_pg_args *args);
void ml_pg_text(struct ml_pg_args *args, struct ml_slice text);
void ml_pg_bytea(struct ml_pg_args *args, struct ml_slice bytes);
void ml_pg_int8(struct ml_pg_args *args, int64_t number);
void ml_pg_null(struct ml_pg_args *args);
/** An argument that is an array of `count` elements; then each of them with ml_pg_item…. */
void ml_pg_array(struct ml_pg_args *args, Oid type, size_t count);
void ml_pg_item(struct ml_pg_args *args, struct ml_slice bytes);
void ml_pg_item_null(struct ml_pg_args *args);
void ml_pg_item_int8(struct ml_pg_args *args, int64_t number);

/** Put a statement into the pipeline. `args` NULL: none. */
enum ml_err ml_pg_send(struct ml_pg *pg, int which, const struct ml_pg_args *args,
                       struct ml_diag *diag) ML_MUST_CHECK;
/** End of a batch: everything sent is carried out. */
enum ml_err ml_pg_sync(struct ml_pg *pg, struct ml_diag *diag) ML_MUST_CHECK;
/**
 * The result of the next statement, to be cleared by the caller; NULL: it failed. Then `state_out`
 * (at least 6 bytes) is the SQLSTATE, "" if the connection is gone.
 */
PGresult *ml_pg_result(struct ml_pg *pg, char *state_out, struct ml_diag *diag);
/** Read on to the end of the batch, whatever comes. */
enum ml_err ml_pg_drain(struct ml_pg *pg, struct ml_diag *diag) ML_MUST_CHECK;
/** A statement that is not prepared, alone: its result, to be cleared by the caller; NULL: it
 * failed. */
PGresult *ml_pg_query(struct ml_pg *pg, const char *sql, const struct ml_pg_args *args,
                      struct ml_diag *diag);
/** Send one statement alone, wait, drop what it answers. */
enum ml_err ml_pg_run(struct ml_pg *pg, int which, struct ml_diag *diag) ML_MUST_CHECK;

/* Columns of a row. */
int64_t ml_pg_number(const PGresult *result, int row, int column); /* 0: NULL */
struct ml_slice ml_pg_bytes(const PGresult *result, int row, int column);
static inline bool ml_pg_is_null(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) != 0;
}

/** Is it the document that is at fault, not the database? (SQLSTATE classes 22, 23, 54) */
bool ml_pg_is_fault_of_document(const char *state);

/* --- postgres_identity.c --- */

void ml_pg_identity_init(struct ml_pg_identity *identity);
void ml_pg_identity_release(struct ml_pg_identity *identity);
/** The record was committed and is answered for. From any thread. */
void ml_pg_remember(struct ml_pg_identity *identity, struct ml_slice org, const uint8_t *document,
                    uint64_t seq, uint32_t checksum);
/** Before pipeline mode: is it the same cluster, and not an old copy of it? ML_EIO: no. */
enum ml_err ml_pg_check_identity(struct ml_pg *pg, struct ml_diag *diag) ML_MUST_CHECK;
/** In pipeline mode: is what was answered for still there? ML_EIO: no. */
enum ml_err ml_pg_check_tail(struct ml_pg *pg, struct ml_diag *diag) ML_MUST_CHECK;

/* --- postgres_fence.c --- */

extern const char ml_pg_fence_batch_sql[], ml_pg_fence_sql[], ml_pg_unfence_sql[], ml_pg_gate_sql[];
enum ml_err ml_pg_look_at_gate(struct ml_pg *pg, struct ml_slice org, enum ml_gate *out,
                               struct ml_diag *diag) ML_MUST_CHECK;
/** Outside of a transaction: what this says of the org stays so until ml_pg_leave, or the end of
 * the connection. */
enum ml_err ml_pg_enter(struct ml_pg *pg, struct ml_slice org, enum ml_gate *out,
                        struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_leave(struct ml_pg *pg, struct ml_slice org, struct ml_diag *diag) ML_MUST_CHECK;

/* --- postgres_migrate.c --- */

/** Before pipeline mode: ML_EVERSION if the schema is not one that this build works with. A
 * database with nothing of ours in it is set up. */
enum ml_err ml_pg_check_schema(struct ml_pg *pg, struct ml_diag *diag) ML_MUST_CHECK;

/* --- postgres_write.c --- */

extern const char *const ml_pg_write_sql[ML_PG_STATEMENTS];
enum ml_err ml_pg_commit_appends(struct ml_pg *pg, struct ml_append **appends, size_t count,
                                 struct ml_journal_stats *stats,
                                 struct ml_diag *diag) ML_MUST_CHECK;

/* --- postgres_versions.c --- */

enum ml_err ml_pg_commit_snapshot(struct ml_pg *pg, struct ml_snapshot_put *put,
                                  struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_commit_deleted(struct ml_pg *pg, struct ml_set_deleted *request,
                                 struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_commit_version_change(struct ml_pg *pg, struct ml_version_change *change,
                                        struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_commit_compact(struct ml_pg *pg, struct ml_compact *request,
                                 struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_read_versions(struct ml_pg *pg, struct ml_versions *request) ML_MUST_CHECK;

/* --- postgres_copies.c --- */

struct ml_pg_copies;
/** Standbys of `url`; texts and identity are borrowed. NULL: out of memory. */
struct ml_pg_copies *ml_pg_copies_new(const char *url, char *const *copies, size_t count,
                                      struct ml_pg_identity *identity);
void ml_pg_copies_free(struct ml_pg_copies *copies);
void ml_pg_copies_close(struct ml_pg_copies *copies);
/** A connection to a standby that has everything that was committed when this was called; NULL:
 * there is none at this moment. May wait a little. */
struct ml_pg *ml_pg_copy_up_to_date(struct ml_pg_copies *copies);
/** What was read from it failed. */
void ml_pg_copy_failed(struct ml_pg_copies *copies, const struct ml_diag *diag);

/* --- postgres_purges.c --- */

/** Inside a transaction; *pushed_out (may be NULL): there is such a document. Uses `args`. */
enum ml_err ml_pg_push_purge(struct ml_pg *pg, struct ml_pg_args *args, struct ml_slice org,
                             struct ml_slice name, enum ml_purge_reason reason, int64_t at_ms,
                             bool *pushed_out, struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_is_purging(struct ml_pg *pg, struct ml_pg_args *args, struct ml_slice org,
                             struct ml_slice name, bool *out, struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_commit_purge(struct ml_pg *pg, struct ml_purge_note *note,
                               struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_read_purges(struct ml_pg *pg, struct ml_purges *request) ML_MUST_CHECK;

/* --- postgres_store.c --- */

enum ml_err ml_pg_commit_store(struct ml_pg *pg, struct ml_store_write *write,
                               struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_read_store(struct ml_pg *pg, struct ml_store_read *read) ML_MUST_CHECK;

/* --- postgres_read.c --- */

extern const char *const ml_pg_read_sql[ML_PG_STATEMENTS];
enum ml_err ml_pg_read_load(struct ml_pg *pg, struct ml_load *load) ML_MUST_CHECK;
enum ml_err ml_pg_read_list(struct ml_pg *pg, struct ml_list_documents *list) ML_MUST_CHECK;
enum ml_err ml_pg_read_describe(struct ml_pg *pg, struct ml_describe *request) ML_MUST_CHECK;
enum ml_err ml_pg_read_heads(struct ml_pg *pg, struct ml_heads *request) ML_MUST_CHECK;
enum ml_err ml_pg_read_history(struct ml_pg *pg, struct ml_history *request) ML_MUST_CHECK;

#endif
