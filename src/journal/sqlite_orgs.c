/* SPDX-License-Identifier: MIT */
/*
 * Orgs as a whole in SQLite. A server may have the file open meanwhile: each batch is a transaction
 * of its own, and the server's commits come between them.
 */
#include "journal/sqlite.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

#define BUSY_MS 10000

const char ml_sqlite_gate_sql[] =
    "SELECT CASE WHEN removed_ms IS NOT NULL THEN 2 WHEN suspended_ms IS NOT NULL THEN 1 ELSE 0 END"
    " FROM orgs WHERE org = ?1";

int ml_sqlite_gate(struct ml_sqlite_conn *conn, struct ml_slice org, enum ml_gate *out)
{
    sqlite3_stmt *stmt;
    int rc;

    *out = ML_GATE_OPEN;
    if (!ml_org_has_gate(org))
        return SQLITE_OK;
    stmt = ml_sqlite_stmt(conn, ML_SQL_GATE);
    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_sqlite_bind_text(stmt, 1, org, false);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = (enum ml_gate)sqlite3_column_int(stmt, 0);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- An administrator's connection ----------------------------------------------------------- */

static const char *const no_sql[ML_SQL_MAX] = {[ML_SQL_GATE] = ml_sqlite_gate_sql};

static enum ml_err open_file(struct ml_sqlite_conn *conn, const char *path, struct ml_diag *diag)
{
    enum ml_err err;

    if (access(path, F_OK))
        return ml_diag_set(diag, ML_EIO, 0, "there is no file %s", path);
    err = ml_sqlite_conn_open(conn, path, true, no_sql, diag);
    if (!err)
        sqlite3_busy_timeout(conn->db, BUSY_MS);
    return err;
}

/* A statement with the org as ?1 and a number as ?2. SQLITE_DONE or SQLITE_ROW; rows_out: changed.
 */
static enum ml_err run(struct ml_sqlite_conn *conn, const char *sql, struct ml_slice org,
                       int64_t number, unsigned *rows_out, struct ml_diag *diag)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK) {
        ml_sqlite_bind_text(stmt, 1, org, false);
        if (sqlite3_bind_parameter_count(stmt) > 1)
            sqlite3_bind_int64(stmt, 2, number);
        rc = sqlite3_step(stmt);
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        return ml_sqlite_fail(conn, ML_EIO, "changing an org", diag);
    if (rows_out)
        *rows_out = (unsigned)sqlite3_changes(conn->db);
    return ML_OK;
}

enum ml_err ml_sqlite_orgs_list(const char *path, ml_org_each each, void *arg, struct ml_diag *diag)
{
    static const char sql[] =
        "SELECT o.org, o.created_ms, o.suspended_ms, o.removed_ms, count(d.org),"
        " coalesce(sum(d.record_bytes + d.snapshot_bytes), 0)"
        " FROM orgs AS o LEFT JOIN documents AS d ON d.org = o.org GROUP BY o.org ORDER BY o.org";
    struct ml_sqlite_conn conn = {0};
    sqlite3_stmt *stmt = NULL;
    enum ml_err err = open_file(&conn, path, diag);
    int rc;

    if (err)
        return err;
    rc = sqlite3_prepare_v2(conn.db, sql, -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const struct ml_org_facts facts = {
            .org = ml_sqlite_column(stmt, 0),
            .created_ms = sqlite3_column_int64(stmt, 1),
            .suspended_ms = sqlite3_column_int64(stmt, 2),
            .removed_ms = sqlite3_column_int64(stmt, 3),
            .documents = (uint64_t)sqlite3_column_int64(stmt, 4),
            .bytes = (uint64_t)sqlite3_column_int64(stmt, 5),
        };

        each(arg, &facts);
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        err = ml_sqlite_fail(&conn, ML_EIO, "listing orgs", diag);
    sqlite3_finalize(stmt);
    ml_sqlite_conn_close(&conn);
    return err;
}

enum ml_err ml_sqlite_org_add(const char *path, struct ml_slice org, struct ml_diag *diag)
{
    struct ml_sqlite_conn conn = {0};
    unsigned rows = 0;
    enum ml_err err = open_file(&conn, path, diag);

    if (err)
        return err;
    err = run(&conn,
              "INSERT INTO orgs (org, created_ms) VALUES (?1, ?2) ON CONFLICT (org) DO UPDATE"
              " SET created_ms = ?2, removed_ms = NULL, suspended_ms = NULL WHERE removed_ms IS NOT"
              " NULL AND NOT EXISTS (SELECT 1 FROM documents WHERE org = ?1)",
              org, ml_clock_wall_ms(), &rows, diag);
    if (!err && !rows)
        err = ml_diag_set(diag, ML_ECONFLICT, 0,
                          "there is such an org, or its rows are still"
                          " being removed");
    ml_sqlite_conn_close(&conn);
    return err;
}

enum ml_err ml_sqlite_org_suspend(const char *path, struct ml_slice org, bool is_suspended,
                                  struct ml_diag *diag)
{
    struct ml_sqlite_conn conn = {0};
    unsigned rows = 0;
    enum ml_err err = open_file(&conn, path, diag);

    if (err)
        return err;
    err = run(&conn,
              is_suspended ? "UPDATE orgs SET suspended_ms = coalesce(suspended_ms, ?2)"
                             " WHERE org = ?1 AND removed_ms IS NULL"
                           : "UPDATE orgs SET suspended_ms = NULL WHERE org = ?1 AND removed_ms IS"
                             " NULL",
              org, ml_clock_wall_ms(), &rows, diag);
    if (!err && !rows)
        err = ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no such org");
    ml_sqlite_conn_close(&conn);
    return err;
}

/* ---- Removing -------------------------------------------------------------------------------- */

/* What was public is noted for the caches once, in the transaction that forgets it. */
static enum ml_err hide_published(struct ml_sqlite_conn *conn, struct ml_slice org,
                                  struct ml_diag *diag)
{
    unsigned rows = 1;
    enum ml_err err = ML_OK;

    while (!err && rows) {
        sqlite3_stmt *stmt = NULL;
        struct ml_slice name = {0};
        int rc = sqlite3_exec(conn->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

        rows = 0;
        if (rc == SQLITE_OK)
            rc = sqlite3_prepare_v2(conn->db,
                                    "UPDATE documents SET published = 0 WHERE (org, document) ="
                                    " (SELECT org, document FROM documents WHERE org = ?1"
                                    "  AND published > 0 LIMIT 1) RETURNING name",
                                    -1, &stmt, NULL);
        if (rc == SQLITE_OK) {
            ml_sqlite_bind_text(stmt, 1, org, false);
            rc = sqlite3_step(stmt);
        }
        if (rc == SQLITE_ROW) {
            rows = 1;
            name = ml_sqlite_column(stmt, 0);
            rc = ml_sqlite_push_purge(conn, org, name, ML_PURGE_DELETED, ml_clock_wall_ms());
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_OK;
        }
        sqlite3_finalize(stmt);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(conn->db, "COMMIT", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            err = ml_sqlite_fail(conn, ML_EIO, "noting what was published", diag);
    }
    return err;
}

/* In an order that references allow; by key, as these tables have no rowid. */
static const char *const drops[] = {
    "DELETE FROM records WHERE (org, document, seq) IN"
    " (SELECT org, document, seq FROM records WHERE org = ?1 LIMIT ?2)",
    "DELETE FROM versions WHERE (org, document, number) IN"
    " (SELECT org, document, number FROM versions WHERE org = ?1 LIMIT ?2)",
    "DELETE FROM snapshots WHERE rowid IN (SELECT rowid FROM snapshots WHERE org = ?1 LIMIT ?2)",
    "DELETE FROM authors WHERE (org, document, client) IN"
    " (SELECT org, document, client FROM authors WHERE org = ?1 LIMIT ?2)",
    "DELETE FROM documents WHERE (org, document) IN"
    " (SELECT org, document FROM documents WHERE org = ?1 LIMIT ?2)",
    "DELETE FROM kv WHERE (org, instance, space, key) IN"
    " (SELECT org, instance, space, key FROM kv WHERE org = ?1 LIMIT ?2)",
    "DELETE FROM jobs WHERE (org, id) IN (SELECT org, id FROM jobs WHERE org = ?1 LIMIT ?2)",
    "DELETE FROM kv_revs WHERE org = ?1",
};

static enum ml_err drop_rows(struct ml_sqlite_conn *conn, struct ml_slice org,
                             ml_org_progress progress, void *arg, uint64_t *gone,
                             struct ml_diag *diag)
{
    enum ml_err err = hide_published(conn, org, diag);

    for (size_t i = 0; i < sizeof drops / sizeof *drops && !err; i++) {
        unsigned rows = 1;

        while (rows && !err) {
            err = run(conn, drops[i], org, ML_ORG_BATCH, &rows, diag);
            *gone += err ? 0 : rows;
            if (!err && rows)
                progress(arg, *gone);
        }
    }
    return err;
}

enum ml_err ml_sqlite_org_remove(const char *path, struct ml_slice org, ml_org_progress progress,
                                 void *arg, struct ml_diag *diag)
{
    struct ml_sqlite_conn conn = {0};
    enum ml_gate gate = ML_GATE_OPEN;
    unsigned rows = 0;
    uint64_t gone = 0;
    enum ml_err err = open_file(&conn, path, diag);

    if (err)
        return err;
    err = run(&conn, "UPDATE orgs SET removed_ms = ?2 WHERE org = ?1 AND removed_ms IS NULL", org,
              ml_clock_wall_ms(), &rows, diag);
    if (!err && !rows && ml_sqlite_gate(&conn, org, &gate) != SQLITE_OK)
        err = ml_sqlite_fail(&conn, ML_EIO, "looking at the org", diag);
    if (!err && (rows || gate == ML_GATE_REMOVED))
        err = drop_rows(&conn, org, progress, arg, &gone, diag);
    if (!err && !rows && !gone)
        err = ml_diag_set(diag, ML_ENOTFOUND, 0,
                          gate == ML_GATE_REMOVED ? "the org was removed" : "there is no such org");
    ml_sqlite_conn_close(&conn);
    return err;
}
