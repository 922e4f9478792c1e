/* SPDX-License-Identifier: MIT */
/* Purges in SQL. Asked seldom: statements are made when they are needed. */
#include "journal/sqlite.h"

#include "base/assert.h"
#include "journal/request.h"

#include <stdlib.h>

static sqlite3_stmt *prepare(struct ml_sqlite_conn *conn, const char *sql)
{
    sqlite3_stmt *stmt;

    return sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL) == SQLITE_OK ? stmt : NULL;
}

static int finish(struct ml_sqlite_conn *conn, sqlite3_stmt *stmt)
{
    int rc = stmt ? sqlite3_step(stmt) : sqlite3_errcode(conn->db);

    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int ml_sqlite_push_purge(struct ml_sqlite_conn *conn, struct ml_slice org, struct ml_slice name,
                         enum ml_purge_reason reason, int64_t at_ms)
{
    /* The files that are public at this moment, the newest first. */
    sqlite3_stmt *stmt = prepare(
        conn, "INSERT INTO purges (org, name, reason, urgent, files, at_ms, due_ms)"
              " SELECT ?1, ?2, ?3, ?4, coalesce((SELECT group_concat(f, ' ') FROM"
              "  (SELECT v.number || '-' || v.hash AS f FROM versions AS v JOIN documents AS d"
              "   ON d.org = v.org AND d.document = v.document"
              "   WHERE d.org = ?1 AND d.name = ?2 AND v.hash IS NOT NULL"
              "   ORDER BY v.number DESC LIMIT ?7)), ''), ?5, ?6");
    bool is_urgent = ml_purge_is_urgent(reason);

    if (stmt) {
        ml_sqlite_bind_text(stmt, 1, org, false);
        ml_sqlite_bind_text(stmt, 2, name, false);
        ml_sqlite_bind_text(stmt, 3, ml_slice_str(ml_purge_reasons[reason]), false);
        sqlite3_bind_int(stmt, 4, is_urgent);
        sqlite3_bind_int64(stmt, 5, at_ms);
        sqlite3_bind_int64(stmt, 6, is_urgent ? at_ms : at_ms + ML_PURGE_COLLECT_MS);
        sqlite3_bind_int(stmt, 7, ML_PURGE_FILES_MAX);
    }
    return finish(conn, stmt);
}

int ml_sqlite_is_purging(struct ml_sqlite_conn *conn, struct ml_slice org, struct ml_slice name,
                         bool *out)
{
    sqlite3_stmt *stmt =
        prepare(conn, "SELECT 1 FROM purges WHERE org = ?1 AND name = ?2 AND urgent LIMIT 1");
    int rc;

    *out = false;
    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_sqlite_bind_text(stmt, 1, org, false);
    ml_sqlite_bind_text(stmt, 2, name, false);
    rc = sqlite3_step(stmt);
    *out = rc == SQLITE_ROW;
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int note_each(struct ml_sqlite_conn *conn, const struct ml_purge_note *note)
{
    sqlite3_stmt *stmt =
        prepare(conn, note->act == ML_PURGE_DONE
                          ? "DELETE FROM purges WHERE id = ?1"
                          : "UPDATE purges SET due_ms = ?2, try = try + 1 WHERE id = ?1");
    int rc = stmt ? SQLITE_DONE : sqlite3_errcode(conn->db);

    for (size_t i = 0; rc == SQLITE_DONE && i < note->count; i++) {
        sqlite3_bind_int64(stmt, 1, (sqlite3_int64)note->ids[i]);
        if (note->act == ML_PURGE_RETRY)
            sqlite3_bind_int64(stmt, 2, note->due_ms);
        rc = sqlite3_step(stmt);
        (void)sqlite3_reset(stmt);
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

enum ml_err ml_sqlite_commit_purge(struct ml_sqlite_conn *conn, struct ml_purge_note *note,
                                   struct ml_diag *diag)
{
    int rc;

    note->err = ML_OK;
    if (note->act == ML_PURGE_TAKE)
        return ML_OK; /* nobody else has the file */
    rc = sqlite3_exec(conn->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = note->act == ML_PURGE_PUSH
                 ? ml_sqlite_push_purge(conn, note->org, note->name, note->reason, note->at_ms)
                 : note_each(conn, note);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(conn->db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return ML_OK;
    (void)ml_sqlite_fail(conn, ML_EIO, "noting a purge", diag);
    if (!sqlite3_get_autocommit(conn->db))
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    return ML_EIO;
}

static enum ml_purge_reason reason_of(struct ml_slice text)
{
    for (int i = 0; i < ML_PURGE_REASONS; i++)
        if (ml_slice_equal(text, ml_slice_str(ml_purge_reasons[i])))
            return (enum ml_purge_reason)i;
    return ML_PURGE_MANUAL;
}

enum ml_err ml_sqlite_read_purges(struct ml_sqlite_conn *conn, struct ml_purges *request)
{
    sqlite3_stmt *stmt = prepare(conn, "SELECT id, org, name, reason, files, at_ms, due_ms, try"
                                       " FROM purges ORDER BY due_ms, id LIMIT ?1");
    struct ml_purge *rows = calloc(request->limit, sizeof *rows);
    struct ml_arena texts;
    enum ml_err err = ML_OK;
    size_t count = 0;
    int rc = SQLITE_DONE;

    ml_arena_init(&texts, 64u << 20);
    if (!stmt || !rows) {
        err = ml_sqlite_fail(conn, rows ? ML_EIO : ML_ELIMIT, "reading", &request->diag);
        goto out;
    }
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)request->limit);
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW && count < request->limit;
         rc = sqlite3_step(stmt))
        rows[count++] = (struct ml_purge){
            .id = (uint64_t)sqlite3_column_int64(stmt, 0),
            .org = ml_arena_copy(&texts, ml_sqlite_column(stmt, 1)),
            .name = ml_arena_copy(&texts, ml_sqlite_column(stmt, 2)),
            .reason = reason_of(ml_sqlite_column(stmt, 3)),
            .files = ml_arena_copy(&texts, ml_sqlite_column(stmt, 4)),
            .at_ms = sqlite3_column_int64(stmt, 5),
            .due_ms = sqlite3_column_int64(stmt, 6),
            .try = (uint32_t)sqlite3_column_int64(stmt, 7),
        };
    err = rc == SQLITE_ROW || rc == SQLITE_DONE
              ? ml_purges_take(request, rows, count)
              : ml_sqlite_reading_failed(conn, rc, &request->diag);
out:
    (void)sqlite3_finalize(stmt);
    ml_arena_release(&texts);
    free(rows);
    return err;
}
