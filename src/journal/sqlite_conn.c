/* SPDX-License-Identifier: MIT */
/*
 * How a connection is opened, and what durability needs from SQLite:
 *
 *   journal_mode=WAL, synchronous=FULL   a commit returns after the WAL is synced
 *   wal_autocheckpoint off               the writer checkpoints when it is idle, not in a commit
 *   secure_delete off                    Debian turns it on; the journal has nothing to wipe
 *   defensive, trusted_schema off        a crafted file cannot run functions or break itself
 *
 * The file is told from other databases by its application_id and its schema_version table.
 */
#include "journal/sqlite.h"

#include "base/clock.h"
#include "journal/sqlite_wal.h"
#include "sqlite_schema.h"

#include <stdlib.h>

#define APPLICATION_ID  0x6d6c6a31 /* "mlj1" */
#define BUSY_TIMEOUT_MS 2000

/* Per connection. The reader cannot write whatever it is asked. */
static const char writer_pragmas[] = "PRAGMA synchronous=FULL;"
                                     "PRAGMA foreign_keys=ON;"
                                     "PRAGMA secure_delete=OFF;"
                                     "PRAGMA wal_autocheckpoint=0;"
                                     "PRAGMA journal_size_limit=67108864;"
                                     "PRAGMA cache_size=-8192;"
                                     "PRAGMA temp_store=MEMORY;";
static const char reader_pragmas[] = "PRAGMA query_only=ON;"
                                     "PRAGMA cache_size=-8192;"
                                     "PRAGMA temp_store=MEMORY;";

enum ml_err ml_sqlite_fail(const struct ml_sqlite_conn *conn, enum ml_err err, const char *doing,
                           struct ml_diag *diag)
{
    if (!conn->db)
        return ml_diag_set(diag, err, 0, "%s: no connection", doing);
    return ml_diag_set(diag, err, 0, "%s: %s (%d)", doing, sqlite3_errmsg(conn->db),
                       sqlite3_extended_errcode(conn->db));
}

/* The first column of the first row as a number; `missing` if there is no row. */
static int query_number(sqlite3 *db, const char *sql, sqlite3_int64 missing, sqlite3_int64 *out)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    *out = missing;
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    rc = sqlite3_finalize(stmt);
    return rc;
}

static long migration_version(const struct ml_embedded *migration)
{
    return strtol(migration->name, NULL, 10);
}

static long newest_version(void)
{
    long newest = 0;

    for (const struct ml_embedded *m = ml_sqlite_migrations; m->name; m++)
        newest = migration_version(m);
    return newest;
}

/* Before anything is written: is this file empty, or ours, and not from the future? */
static enum ml_err check_ours(struct ml_sqlite_conn *conn, bool *current_out, struct ml_diag *diag)
{
    sqlite3_int64 tables, ours, application, version = 0;
    int rc;

    rc = query_number(conn->db, "SELECT count(*) FROM sqlite_schema", 0, &tables);
    if (rc == SQLITE_OK)
        rc = query_number(
            conn->db, "SELECT count(*) FROM sqlite_schema WHERE name='schema_version'", 0, &ours);
    if (rc == SQLITE_OK)
        rc = query_number(conn->db, "PRAGMA application_id", 0, &application);
    if (rc == SQLITE_OK && ours)
        rc = query_number(conn->db, "SELECT max(version) FROM schema_version", 0, &version);
    if (rc == SQLITE_NOTADB)
        return ml_diag_set(diag, ML_EFORMAT, 0, "the file is not an SQLite database");
    if (rc != SQLITE_OK)
        return ml_sqlite_fail(conn, ML_EIO, "reading the schema", diag);
    if (tables && !(ours && application == APPLICATION_ID))
        return ml_diag_set(diag, ML_EFORMAT, 0,
                           "the file is an SQLite database of something else, not a journal");
    if (version > newest_version())
        return ml_diag_set(diag, ML_EVERSION, 0,
                           "the journal has schema version %lld, this build knows up to %ld: "
                           "use a newer build",
                           (long long)version, newest_version());
    *current_out = version == newest_version();
    return ML_OK;
}

static int exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int note_version(sqlite3 *db, const struct ml_embedded *migration)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(
        db, "INSERT INTO schema_version (version, name, applied_ms) VALUES (?, ?, ?)", -1, &stmt,
        NULL);

    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_int64(stmt, 1, migration_version(migration));
    sqlite3_bind_text(stmt, 2, migration->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, ml_clock_wall_ms());
    sqlite3_step(stmt);
    return sqlite3_finalize(stmt);
}

/* All that is missing in one transaction: a crash leaves the old schema or the new one. */
static enum ml_err migrate(struct ml_sqlite_conn *conn, struct ml_diag *diag)
{
    sqlite3_int64 version = 0, application = 0;
    char set_application[64];
    int rc;

    rc = exec(conn->db, "BEGIN IMMEDIATE;"
                        "CREATE TABLE IF NOT EXISTS schema_version ("
                        " version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
                        " applied_ms INTEGER NOT NULL) STRICT");
    if (rc == SQLITE_OK)
        rc = query_number(conn->db, "SELECT max(version) FROM schema_version", 0, &version);
    if (rc == SQLITE_OK)
        rc = query_number(conn->db, "PRAGMA application_id", 0, &application);
    if (rc == SQLITE_OK && application != APPLICATION_ID) {
        sqlite3_snprintf(sizeof set_application, set_application, "PRAGMA application_id=%d",
                         APPLICATION_ID);
        rc = exec(conn->db, set_application);
    }
    for (const struct ml_embedded *m = ml_sqlite_migrations; rc == SQLITE_OK && m->name; m++) {
        if (migration_version(m) <= version)
            continue;
        rc = exec(conn->db, (const char *)m->bytes);
        if (rc == SQLITE_OK)
            rc = note_version(conn->db, m);
    }
    if (rc == SQLITE_OK)
        rc = exec(conn->db, "COMMIT");
    if (rc != SQLITE_OK)
        return ml_sqlite_fail(conn, ML_EIO, "bringing the schema up to date", diag);
    return ML_OK;
}

static enum ml_err use_wal(struct ml_sqlite_conn *conn, struct ml_diag *diag)
{
    sqlite3_stmt *stmt;
    bool is_wal;

    if (sqlite3_prepare_v2(conn->db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL) != SQLITE_OK)
        return ml_sqlite_fail(conn, ML_EIO, "journal_mode", diag);
    is_wal = sqlite3_step(stmt) == SQLITE_ROW &&
             ml_slice_equal(ml_sqlite_column(stmt, 0), ML_SLICE("wal"));
    if (sqlite3_finalize(stmt) != SQLITE_OK)
        return ml_sqlite_fail(conn, ML_EIO, "journal_mode", diag);
    if (!is_wal)
        return ml_diag_set(diag, ML_EIO, 0, "this file system cannot hold a write-ahead log");
    return ML_OK;
}

/* Called by SQLite after each commit, on the thread that committed. */
static int on_wal_commit(void *arg, sqlite3 *db, const char *schema, int pages)
{
    struct ml_sqlite_conn *conn = arg;

    (void)db;
    (void)schema;
    conn->wal_pages = (unsigned)pages;
    return SQLITE_OK;
}

static bool harden(sqlite3 *db)
{
    static const struct {
        int what, value;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
    };

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (sqlite3_db_config(db, settings[i].what, settings[i].value, NULL) != SQLITE_OK)
            return false;
    return true;
}

enum ml_err ml_sqlite_conn_open(struct ml_sqlite_conn *conn, const char *path, bool writer,
                                const char *const *sql, struct ml_diag *diag)
{
    bool is_current = true;
    enum ml_err err;

    *conn = (struct ml_sqlite_conn){.sql = sql};
    if (sqlite3_open_v2(path, &conn->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                        writer ? ml_sqlite_wal_vfs() : NULL) != SQLITE_OK) {
        err = ml_sqlite_fail(conn, ML_EIO, "opening", diag);
        goto fail;
    }
    sqlite3_extended_result_codes(conn->db, 0);
    sqlite3_busy_timeout(conn->db, BUSY_TIMEOUT_MS);
    if (!harden(conn->db)) {
        err = ml_sqlite_fail(conn, ML_EIO, "hardening", diag);
        goto fail;
    }
    err = writer ? check_ours(conn, &is_current, diag) : ML_OK;
    if (err)
        goto fail;
    if (exec(conn->db, writer ? writer_pragmas : reader_pragmas) != SQLITE_OK) {
        err = ml_sqlite_fail(conn, ML_EIO, "pragmas", diag);
        goto fail;
    }
    if (writer) {
        err = use_wal(conn, diag);
        if (err)
            goto fail;
        sqlite3_wal_hook(conn->db, on_wal_commit, conn);
        err = is_current ? ML_OK : migrate(conn, diag);
        if (err)
            goto fail;
    }
    return ML_OK;

fail:
    ml_sqlite_conn_close(conn);
    return err;
}

enum ml_err ml_sqlite_migrate(const char *path, bool only_look, struct ml_migration *out,
                              struct ml_diag *diag)
{
    static const char *const none[ML_SQL_MAX] = {0};
    struct ml_sqlite_conn conn = {0};
    sqlite3_int64 version = 0;
    bool is_current;
    enum ml_err err = ML_OK;

    out->before = out->needed = newest_version();
    if (access(path, F_OK))
        return ML_OK; /* whoever opens it makes it as it should be */
    if (sqlite3_open_v2(path, &conn.db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        err = ml_sqlite_fail(&conn, ML_EIO, "opening", diag);
    if (!err)
        err = check_ours(&conn, &is_current, diag);
    if (!err)
        (void)query_number(conn.db, "SELECT max(version) FROM schema_version", 0, &version);
    out->before = (long)version;
    ml_sqlite_conn_close(&conn);
    if (err || only_look || version == out->needed)
        return err;
    err = ml_sqlite_conn_open(&conn, path, true, none, diag);
    ml_sqlite_conn_close(&conn);
    return err;
}

void ml_sqlite_conn_close(struct ml_sqlite_conn *conn)
{
    for (size_t i = 0; i < ML_SQL_MAX; i++) {
        sqlite3_finalize(conn->stmts[i]);
        conn->stmts[i] = NULL;
    }
    for (size_t i = 0; i < ML_SQL_STORE_MAX; i++) {
        sqlite3_finalize(conn->store_stmts[i]);
        conn->store_stmts[i] = NULL;
    }
    /* Rolls back what is open. Every statement is finalized, so this cannot be refused. */
    sqlite3_close(conn->db);
    conn->db = NULL;
}

/*
 * SQLite does not sync the WAL after it has emptied it, since an old WAL that comes back after a
 * power cut only repeats what the file has. That is not so after a failed sync: what comes back may
 * lack the last frames, which the file got from the kernel's memory, and repeating it would undo
 * them.
 */
static int sync_wal(sqlite3 *db)
{
    sqlite3_file *wal = NULL;
    int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);

    if (rc != SQLITE_OK || !wal || !wal->pMethods)
        return rc;
    return wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
}

enum ml_err ml_sqlite_checkpoint(struct ml_sqlite_conn *conn, bool truncate, struct ml_diag *diag)
{
    int rc = sqlite3_wal_checkpoint_v2(
        conn->db, NULL, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, NULL,
        NULL);

    if (rc == SQLITE_OK && truncate)
        rc = sync_wal(conn->db);
    if (rc != SQLITE_OK)
        return ml_sqlite_fail(conn, ML_EIO, "checkpoint", diag);
    conn->wal_pages = 0;
    return ML_OK;
}

sqlite3_stmt *ml_sqlite_stmt(struct ml_sqlite_conn *conn, int which)
{
    if (!conn->stmts[which] &&
        sqlite3_prepare_v3(conn->db, conn->sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                           &conn->stmts[which], NULL) != SQLITE_OK)
        return NULL;
    return conn->stmts[which];
}

int ml_sqlite_run(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    sqlite3_reset(stmt);
    return rc;
}

void ml_sqlite_bind_text(sqlite3_stmt *stmt, int at, struct ml_slice text, bool or_null)
{
    if (!text.len && or_null)
        sqlite3_bind_null(stmt, at);
    else
        sqlite3_bind_text64(stmt, at, text.len ? (const char *)text.ptr : "", text.len,
                            SQLITE_STATIC, SQLITE_UTF8);
}

void ml_sqlite_bind_blob(sqlite3_stmt *stmt, int at, struct ml_slice bytes)
{
    if (bytes.len)
        sqlite3_bind_blob64(stmt, at, bytes.ptr, bytes.len, SQLITE_STATIC);
    else
        sqlite3_bind_zeroblob(stmt, at, 0);
}

struct ml_slice ml_sqlite_column(sqlite3_stmt *stmt, int at)
{
    const void *ptr = sqlite3_column_blob(stmt, at);
    int len = sqlite3_column_bytes(stmt, at);

    return ml_slice_make(ptr, ptr ? (size_t)len : 0);
}

struct ml_sqlite_snapshot ml_sqlite_snapshot_row(sqlite3_stmt *stmt, const uint8_t *document)
{
    return (struct ml_sqlite_snapshot){
        .sum =
            {
                .document = document,
                .seq = (uint64_t)sqlite3_column_int64(stmt, 0),
                .epoch = (uint64_t)sqlite3_column_int64(stmt, 1),
                .codec = (uint8_t)sqlite3_column_int(stmt, 2),
                .state_bytes = (uint64_t)sqlite3_column_int64(stmt, 3),
                .state_vector = ml_sqlite_column(stmt, 5),
                .state = ml_sqlite_column(stmt, 6),
            },
        .checksum = (uint32_t)sqlite3_column_int64(stmt, 4),
    };
}

bool ml_sqlite_snapshot_is_good(const struct ml_sqlite_snapshot *snapshot)
{
    return snapshot->sum.state_bytes <= ML_LOAD_MAX_BYTES &&
           ml_snapshot_checksum(&snapshot->sum) == snapshot->checksum;
}
