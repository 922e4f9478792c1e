/* SPDX-License-Identifier: MIT */
/*
 * Private to the SQLite journal. sqlite.c has the file; the others have the SQL. None knows a
 * thread: a connection belongs to whoever holds it.
 */
#ifndef ML_JOURNAL_SQLITE_H
#define ML_JOURNAL_SQLITE_H

#include "base/arena.h"
#include "journal/checksum.h"
#include "journal/journal.h"
#include "journal/pack.h"
#include "journal/threads.h"

#include <sqlite3.h>

#define ML_SQL_MAX       24
#define ML_SQL_GATE      (ML_SQL_MAX - 1) /* the same in both lists */
#define ML_SQL_STORE_MAX 24               /* statements of sqlite_store.c */

/** One connection with its prepared statements, which are made when they are first used. */
struct ml_sqlite_conn {
    sqlite3 *db; /* NULL: not open */
    const char *const *sql;
    sqlite3_stmt *stmts[ML_SQL_MAX];
    sqlite3_stmt *store_stmts[ML_SQL_STORE_MAX];
    unsigned wal_pages; /* in the WAL after the last commit */
};

/* --- sqlite_conn.c --- */

/**
 * Open, set the pragmas that durability depends on, and (writer) bring the schema up to date.
 * @param sql  the statements that the owner of the connection uses, at most ML_SQL_MAX
 * @retval ML_EVERSION, ML_EFORMAT, ML_EIO; nothing is left open then
 */
enum ml_err ml_sqlite_conn_open(struct ml_sqlite_conn *conn, const char *path, bool writer,
                                const char *const *sql, struct ml_diag *diag) ML_MUST_CHECK;
/** Closing a connection that is not open is fine. */
void ml_sqlite_conn_close(struct ml_sqlite_conn *conn);
/**
 * Move what is in the WAL into the file, synced. `truncate`: all of it, and empty the WAL;
 * otherwise what no reader is in the way of.
 */
enum ml_err ml_sqlite_checkpoint(struct ml_sqlite_conn *conn, bool truncate,
                                 struct ml_diag *diag) ML_MUST_CHECK;
/** Statement number `which`, ready for binding; NULL: see sqlite3_errmsg. */
sqlite3_stmt *ml_sqlite_stmt(struct ml_sqlite_conn *conn, int which);
/** Step a statement that gives no rows, and reset it. SQLITE_DONE, or what went wrong. */
int ml_sqlite_run(sqlite3_stmt *stmt);
/** Bind text or bytes that live until the statement is reset; NULL if empty and `or_null`. */
void ml_sqlite_bind_text(sqlite3_stmt *stmt, int at, struct ml_slice text, bool or_null);
void ml_sqlite_bind_blob(sqlite3_stmt *stmt, int at, struct ml_slice bytes);
/** A column as borrowed bytes, until the next step. */
struct ml_slice ml_sqlite_column(sqlite3_stmt *stmt, int at);
/** The error of the connection, for people. */
enum ml_err ml_sqlite_fail(const struct ml_sqlite_conn *conn, enum ml_err err, const char *doing,
                           struct ml_diag *diag);

/** A row of `snapshots` as read. Borrowed from the statement. */
struct ml_sqlite_snapshot {
    struct ml_snapshot_sum sum;
    uint32_t checksum;
};
/** Columns of every statement that reads snapshots, in this order. */
#define ML_SQL_SNAPSHOT_COLUMNS "seq, epoch, codec, state_bytes, checksum, state_vector, state"
struct ml_sqlite_snapshot ml_sqlite_snapshot_row(sqlite3_stmt *stmt, const uint8_t *document);
bool ml_sqlite_snapshot_is_good(const struct ml_sqlite_snapshot *snapshot);

/* --- sqlite_orgs.c --- */

extern const char ml_sqlite_gate_sql[];
/** May the documents of this org be read and written? SQLITE_OK, or what went wrong. */
int ml_sqlite_gate(struct ml_sqlite_conn *conn, struct ml_slice org, enum ml_gate *out);

/* --- sqlite_write.c --- */

extern const char *const ml_sqlite_write_sql[];

/**
 * One transaction for all of them. ML_OK: committed, and each append carries its own result;
 * otherwise the outcome is unknown and the connection must not be used again.
 */
enum ml_err ml_sqlite_commit_appends(struct ml_sqlite_conn *conn, struct ml_append **appends,
                                     size_t count, struct ml_journal_stats *stats,
                                     struct ml_diag *diag) ML_MUST_CHECK;
/** The same for one snapshot, packed by ml_snapshot_pack. */
enum ml_err ml_sqlite_commit_snapshot(struct ml_sqlite_conn *conn, struct ml_snapshot_put *put,
                                      struct ml_diag *diag) ML_MUST_CHECK;
/** The same for a tombstone. */
enum ml_err ml_sqlite_commit_deleted(struct ml_sqlite_conn *conn, struct ml_set_deleted *request,
                                     struct ml_diag *diag) ML_MUST_CHECK;

/* --- sqlite_read.c --- */

/* Statements of a connection that only reads. */
enum ml_sqlite_read_statement {
    ML_SQL_BEGIN,
    ML_SQL_END,
    ML_SQL_FIND_DOCUMENT,
    ML_SQL_SNAPSHOTS,
    ML_SQL_CHECKSUM,
    ML_SQL_MOMENT,
    ML_SQL_RECORDS,
    ML_SQL_LIST,
    ML_SQL_DESCRIBE,
    ML_SQL_AUTHORS,
    ML_SQL_HISTORY,
    ML_SQL_CLAIMS,
    ML_SQL_READ_COUNT
};
extern const char *const ml_sqlite_read_sql[];

/** Both fill in the request's result; ML_EIO: the connection should be opened anew. */
enum ml_err ml_sqlite_read_load(struct ml_sqlite_conn *conn, struct ml_load *load) ML_MUST_CHECK;
enum ml_err ml_sqlite_read_list(struct ml_sqlite_conn *conn,
                                struct ml_list_documents *list) ML_MUST_CHECK;

/** A damaged page belongs to what was asked for; everything else to the connection. */
enum ml_err ml_sqlite_reading_failed(struct ml_sqlite_conn *conn, int rc,
                                     struct ml_diag *diag) ML_MUST_CHECK;

/* --- sqlite_store.c --- */

/** One transaction. ML_OK: committed, or refused with w->err; ML_EIO: outcome unknown. */
enum ml_err ml_sqlite_commit_store(struct ml_sqlite_conn *conn, struct ml_store_write *w,
                                   struct ml_diag *diag) ML_MUST_CHECK;
/** Fills in the request's result; ML_EIO: the connection should be opened anew. */
enum ml_err ml_sqlite_read_store(struct ml_sqlite_conn *conn,
                                 struct ml_store_read *r) ML_MUST_CHECK;

/* --- sqlite_facts.c --- */

/** Fill in the request's result; ML_EIO: the connection should be opened anew. */
enum ml_err ml_sqlite_read_describe(struct ml_sqlite_conn *conn,
                                    struct ml_describe *request) ML_MUST_CHECK;
enum ml_err ml_sqlite_read_heads(struct ml_sqlite_conn *conn,
                                 struct ml_heads *request) ML_MUST_CHECK;
enum ml_err ml_sqlite_read_history(struct ml_sqlite_conn *conn,
                                   struct ml_history *request) ML_MUST_CHECK;

/* --- sqlite_purges.c --- */

/** Inside a transaction. */
int ml_sqlite_push_purge(struct ml_sqlite_conn *conn, struct ml_slice org, struct ml_slice name,
                         enum ml_purge_reason reason, int64_t at_ms);
int ml_sqlite_is_purging(struct ml_sqlite_conn *conn, struct ml_slice org, struct ml_slice name,
                         bool *out);
enum ml_err ml_sqlite_commit_purge(struct ml_sqlite_conn *conn, struct ml_purge_note *note,
                                   struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_sqlite_read_purges(struct ml_sqlite_conn *conn,
                                  struct ml_purges *request) ML_MUST_CHECK;

/* --- sqlite_versions.c --- */

/** Inside the transaction that stores the snapshot: the version it becomes. SQLITE_OK, or what went
 * wrong. */
int ml_sqlite_add_version(struct ml_sqlite_conn *conn, struct ml_snapshot_put *put,
                          const uint8_t *id);
/** As ml_sqlite_commit_deleted. */
enum ml_err ml_sqlite_commit_version_change(struct ml_sqlite_conn *conn,
                                            struct ml_version_change *change,
                                            struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_sqlite_commit_compact(struct ml_sqlite_conn *conn, struct ml_compact *request,
                                     struct ml_diag *diag) ML_MUST_CHECK;
/** As ml_sqlite_read_history. */
enum ml_err ml_sqlite_read_versions(struct ml_sqlite_conn *conn,
                                    struct ml_versions *request) ML_MUST_CHECK;

#endif
