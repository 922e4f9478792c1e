/* SPDX-License-Identifier: MIT */
/*
 * Versions, publications and compaction in SQL. All of it is asked seldom, so its statements are
 * made when they are needed and dropped again.
 *
 *   documents.versions    the last number that was given; numbers are never given twice
 *   versions              number → name, seq; the snapshot of that seq stays as long as the row
 *   documents.published   the version that the public address leads to
 *
 * Compaction drops a prefix of the records, in the same transaction that notes how far it went, so
 * a crash leaves the one or the other. What stays begins with a record whose `previous` names one
 * that is gone; loads accept that where documents.compacted_seq says so.
 */
#include "journal/sqlite.h"

#include "base/assert.h"

#include <stdlib.h>

#define NAME_ATTEMPTS 1000

static sqlite3_stmt *prepare(struct ml_sqlite_conn *conn, const char *sql)
{
    sqlite3_stmt *stmt;

    return sqlite3_prepare_v2(conn->db, sql, -1, &stmt, NULL) == SQLITE_OK ? stmt : NULL;
}

static void bind_key(sqlite3_stmt *stmt, struct ml_slice org, const uint8_t *id)
{
    ml_sqlite_bind_text(stmt, 1, org, false);
    ml_sqlite_bind_blob(stmt, 2, ml_slice_make(id, ML_DOCUMENT_ID_BYTES));
}

/* `sql` with the key and up to two numbers. Its first column of the first row, or `missing`. */
static int ask(struct ml_sqlite_conn *conn, const char *sql, struct ml_slice org, const uint8_t *id,
               uint64_t a, uint64_t b, uint64_t missing, uint64_t *out)
{
    sqlite3_stmt *stmt = prepare(conn, sql);
    int rc;

    *out = missing;
    if (!stmt)
        return sqlite3_errcode(conn->db);
    bind_key(stmt, org, id);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)a); /* out of range where there is none: no harm */
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)b);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int run(struct ml_sqlite_conn *conn, const char *sql, struct ml_slice org, const uint8_t *id,
               uint64_t a, uint64_t b)
{
    uint64_t nothing;

    return ask(conn, sql, org, id, a, b, 0, &nothing);
}

struct found {
    bool exists, is_deleted;
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    uint64_t epoch, head, snapshot_seq, compacted_seq, published;
};

static int find(struct ml_sqlite_conn *conn, struct ml_slice org, struct ml_slice name,
                struct found *out)
{
    sqlite3_stmt *stmt =
        prepare(conn, "SELECT document, epoch, head, snapshot_seq, compacted_seq, published,"
                      " deleted_ms IS NOT NULL FROM documents WHERE org = ?1 AND name = ?2");
    int rc;

    *out = (struct found){0};
    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_sqlite_bind_text(stmt, 1, org, false);
    ml_sqlite_bind_text(stmt, 2, name, false);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        struct ml_slice id = ml_sqlite_column(stmt, 0);

        out->exists = true;
        if (id.len == ML_DOCUMENT_ID_BYTES)
            memcpy(out->id, id.ptr, ML_DOCUMENT_ID_BYTES);
        rc = id.len == ML_DOCUMENT_ID_BYTES ? SQLITE_DONE : SQLITE_CORRUPT;
        out->epoch = (uint64_t)sqlite3_column_int64(stmt, 1);
        out->head = (uint64_t)sqlite3_column_int64(stmt, 2);
        out->snapshot_seq = (uint64_t)sqlite3_column_int64(stmt, 3);
        out->compacted_seq = (uint64_t)sqlite3_column_int64(stmt, 4);
        out->published = (uint64_t)sqlite3_column_int64(stmt, 5);
        out->is_deleted = sqlite3_column_int(stmt, 6);
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* ---- a version more -------------------------------------------------------------------------- */

static int insert_version(struct ml_sqlite_conn *conn, struct ml_snapshot_put *put,
                          const uint8_t *id, unsigned attempt)
{
    sqlite3_stmt *stmt = prepare(
        conn, "INSERT OR IGNORE INTO versions (org, document, number, name, seq, epoch, at_ms,"
              " author, labels, named, pinned) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
              " ?11)");
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_version_name_attempt(put->name_out, put->version_name, put->version, put->at_ms, attempt);
    bind_key(stmt, put->org, id);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)put->version);
    ml_sqlite_bind_text(stmt, 4, ml_slice_str(put->name_out), false);
    sqlite3_bind_int64(stmt, 5, (sqlite3_int64)put->seq);
    sqlite3_bind_int64(stmt, 6, (sqlite3_int64)put->epoch);
    sqlite3_bind_int64(stmt, 7, put->at_ms);
    ml_sqlite_bind_text(stmt, 8, put->author, true);
    ml_sqlite_bind_text(stmt, 9, put->labels, true);
    sqlite3_bind_int(stmt, 10, put->is_named);
    sqlite3_bind_int(stmt, 11, put->is_pinned);
    rc = sqlite3_step(stmt);
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The snapshot replaces a damaged one whose automatic version is there already. */
static int find_automatic(struct ml_sqlite_conn *conn, struct ml_snapshot_put *put,
                          const uint8_t *id)
{
    sqlite3_stmt *stmt = prepare(conn, "SELECT number, name FROM versions WHERE org = ?1"
                                       " AND document = ?2 AND seq = ?3 AND named = 0");
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    bind_key(stmt, put->org, id);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)put->seq);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        struct ml_slice name = ml_sqlite_column(stmt, 1);
        size_t len = name.len < ML_VERSION_NAME_MAX ? name.len : ML_VERSION_NAME_MAX;

        put->version = (uint64_t)sqlite3_column_int64(stmt, 0);
        memcpy(put->name_out, name.ptr, len);
        put->name_out[len] = '\0';
        rc = SQLITE_DONE;
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int ml_sqlite_add_version(struct ml_sqlite_conn *conn, struct ml_snapshot_put *put,
                          const uint8_t *id)
{
    int rc = SQLITE_OK;

    put->version = 0;
    if (!put->is_named)
        rc = find_automatic(conn, put, id);
    if (rc != SQLITE_OK || put->version)
        return rc;
    rc = ask(conn,
             "UPDATE documents SET versions = versions + 1 WHERE org = ?1 AND document = ?2"
             " RETURNING versions",
             put->org, id, 0, 0, 0, &put->version);
    for (unsigned attempt = 0; rc == SQLITE_OK && attempt < NAME_ATTEMPTS; attempt++) {
        rc = insert_version(conn, put, id, attempt);
        if (rc == SQLITE_OK && sqlite3_changes(conn->db) == 1)
            return SQLITE_OK;
    }
    return rc == SQLITE_OK ? SQLITE_CONSTRAINT : rc;
}

/* ---- changes --------------------------------------------------------------------------------- */

#define KEYED " WHERE org = ?1 AND document = ?2"
/* Snapshots that no version stands for, but the newest. */
#define DROP_LOOSE                                                                                 \
    "DELETE FROM snapshots" KEYED " AND seq = ?3 AND seq < ?4 AND NOT EXISTS (SELECT 1 FROM"       \
    " versions AS v WHERE v.org = ?1 AND v.document = ?2 AND v.seq = ?3)"
#define COUNT_BYTES                                                                                \
    "UPDATE documents SET snapshot_bytes = (SELECT coalesce(sum(length(state) +"                   \
    " length(state_vector)), 0) FROM snapshots" KEYED ")" KEYED

/* Does a load, or the next older fallback, still need the snapshot of this version? Records that
 * were dropped are only in snapshots. */
static int is_relied_on(struct ml_sqlite_conn *conn, struct ml_slice org, const struct found *found,
                        uint64_t seq, bool *yes_out)
{
    uint64_t newer, others;
    int rc = ask(conn, "SELECT count(*) FROM snapshots" KEYED " AND seq > ?3", org, found->id, seq,
                 0, 0, &newer);

    if (rc == SQLITE_OK)
        rc = ask(conn, "SELECT count(*) FROM versions" KEYED " AND seq = ?3", org, found->id, seq,
                 0, 0, &others);
    *yes_out = newer < ML_KEEP_MIN && others == 1 && found->compacted_seq;
    return rc;
}

static int delete_version(struct ml_sqlite_conn *conn, struct ml_version_change *change,
                          const struct found *found)
{
    uint64_t seq, pinned;
    bool is_needed;
    int rc = ask(conn, "SELECT seq FROM versions" KEYED " AND number = ?3", change->org, found->id,
                 change->number, 0, 0, &seq);

    if (rc == SQLITE_OK)
        rc = ask(conn, "SELECT pinned FROM versions" KEYED " AND number = ?3", change->org,
                 found->id, change->number, 0, 0, &pinned);
    if (rc == SQLITE_OK)
        rc = is_relied_on(conn, change->org, found, seq, &is_needed);
    if (rc != SQLITE_OK)
        return rc;
    if (!seq) {
        ml_request_fail(&change->node, ML_ENOTFOUND, "no such version");
        return SQLITE_OK;
    }
    if (pinned || is_needed || found->published == change->number) {
        ml_request_fail(&change->node, ML_ECONFLICT, "pinned, published, or needed for loading");
        return SQLITE_OK;
    }
    rc = run(conn, "DELETE FROM versions" KEYED " AND number = ?3", change->org, found->id,
             change->number, 0);
    if (rc == SQLITE_OK)
        rc = run(conn, DROP_LOOSE, change->org, found->id, seq, found->snapshot_seq);
    if (rc == SQLITE_OK)
        rc = run(conn, COUNT_BYTES, change->org, found->id, 0, 0);
    change->changed = rc == SQLITE_OK;
    return rc;
}

static int pin_version(struct ml_sqlite_conn *conn, struct ml_version_change *change,
                       const struct found *found)
{
    uint64_t number;
    int rc = ask(conn, "UPDATE versions SET pinned = ?4" KEYED " AND number = ?3 RETURNING number",
                 change->org, found->id, change->number, change->flag, 0, &number);

    if (rc == SQLITE_OK && !number)
        ml_request_fail(&change->node, ML_ENOTFOUND, "no such version");
    change->changed = number != 0;
    return rc;
}

static int publish(struct ml_sqlite_conn *conn, struct ml_version_change *change,
                   const struct found *found)
{
    sqlite3_stmt *stmt =
        prepare(conn, "UPDATE versions SET hash = ?4, root = ?5" KEYED " AND number = ?3");
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    bind_key(stmt, change->org, found->id);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)change->number);
    ml_sqlite_bind_text(stmt, 4, change->hash, false);
    ml_sqlite_bind_text(stmt, 5, change->root, false);
    rc = sqlite3_step(stmt);
    (void)sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE)
        return rc;
    if (sqlite3_changes(conn->db) != 1) {
        ml_request_fail(&change->node, ML_ENOTFOUND, "no such version");
        return SQLITE_OK;
    }
    change->changed = true;
    rc = run(conn, "UPDATE documents SET published = ?3" KEYED, change->org, found->id,
             change->number, 0);
    if (rc != SQLITE_OK)
        return rc;
    return ml_sqlite_push_purge(conn, change->org, change->name, ML_PURGE_PUBLISHED, change->at_ms);
}

static int hide(struct ml_sqlite_conn *conn, struct ml_version_change *change,
                const struct found *found)
{
    int rc = run(conn, "UPDATE documents SET published = 0" KEYED, change->org, found->id, 0, 0);

    change->changed = found->published != 0;
    if (rc == SQLITE_OK && change->changed)
        rc = ml_sqlite_push_purge(conn, change->org, change->name, ML_PURGE_MADE_PRIVATE,
                                  change->at_ms);
    if (rc != SQLITE_OK)
        return rc;
    return run(conn, "UPDATE versions SET hash = NULL, root = NULL" KEYED " AND hash IS NOT NULL",
               change->org, found->id, 0, 0);
}

/* ---- compaction ------------------------------------------------------------------------------ */

/* Seq of the ML_KEEP_MINth newest snapshot that passes its checksum; 0: there are not so many. */
static int compaction_limit(struct ml_sqlite_conn *conn, struct ml_slice org,
                            const struct found *found, uint64_t *out)
{
    sqlite3_stmt *stmt = prepare(conn, "SELECT " ML_SQL_SNAPSHOT_COLUMNS " FROM snapshots" KEYED
                                       " AND epoch = ?3 AND seq <= ?4 ORDER BY seq DESC");
    uint32_t good = 0;
    int rc;

    *out = 0;
    if (!stmt)
        return sqlite3_errcode(conn->db);
    bind_key(stmt, org, found->id);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)found->epoch);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)found->head);
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW && !*out; rc = sqlite3_step(stmt)) {
        struct ml_sqlite_snapshot snapshot = ml_sqlite_snapshot_row(stmt, found->id);

        if (ml_sqlite_snapshot_is_good(&snapshot) && ++good == ML_KEEP_MIN)
            *out = snapshot.sum.seq;
    }
    (void)sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int drop_records(struct ml_sqlite_conn *conn, struct ml_compact *request,
                        const struct found *found, uint64_t upto)
{
    int rc = ask(conn, "SELECT coalesce(sum(length(bytes)), 0) FROM records" KEYED " AND seq <= ?3",
                 request->org, found->id, upto, 0, 0, &request->bytes);

    if (rc == SQLITE_OK)
        rc = run(conn, "DELETE FROM records" KEYED " AND seq <= ?3", request->org, found->id, upto,
                 0);
    if (rc == SQLITE_OK) {
        request->rows = (uint64_t)sqlite3_changes(conn->db);
        rc = run(conn,
                 "UPDATE documents SET compacted_seq = ?3,"
                 " record_bytes = max(record_bytes - ?4, 0)" KEYED,
                 request->org, found->id, upto, request->bytes);
    }
    if (rc == SQLITE_OK)
        request->compacted_seq = upto;
    return rc;
}

/* Inside the transaction. */
static int compact(struct ml_sqlite_conn *conn, struct ml_compact *request)
{
    struct found found;
    uint64_t limit;
    int rc;

    request->err = ML_OK;
    request->rows = request->bytes = 0;
    rc = find(conn, request->org, request->name, &found);
    if (rc != SQLITE_OK)
        return rc;
    request->compacted_seq = found.compacted_seq;
    if (!found.exists || found.is_deleted) {
        ml_request_fail(&request->node, ML_ENOTFOUND, NULL);
        return SQLITE_OK;
    }
    if (found.epoch != request->epoch) {
        ml_request_fail(&request->node, ML_ECONFLICT, "another epoch");
        return SQLITE_OK;
    }
    rc = compaction_limit(conn, request->org, &found, &limit);
    if (rc != SQLITE_OK)
        return rc;
    if (limit > request->upto)
        limit = request->upto;
    if (limit <= found.compacted_seq)
        return SQLITE_OK;
    return drop_records(conn, request, &found, limit);
}

/* ---- one transaction ------------------------------------------------------------------------- */

static int change_version(struct ml_sqlite_conn *conn, struct ml_version_change *change)
{
    struct found found;
    int rc;

    change->err = ML_OK;
    change->changed = false;
    rc = find(conn, change->org, change->name, &found);
    if (rc != SQLITE_OK)
        return rc;
    if (!found.exists || (found.is_deleted && change->act != ML_VERSION_HIDE)) {
        ml_request_fail(&change->node, ML_ENOTFOUND, NULL);
        return SQLITE_OK;
    }
    switch (change->act) {
    case ML_VERSION_DELETE:
        return delete_version(conn, change, &found);
    case ML_VERSION_KEEP:
        return pin_version(conn, change, &found);
    case ML_VERSION_PUBLISH:
        return publish(conn, change, &found);
    case ML_VERSION_HIDE:
        break;
    }
    return hide(conn, change, &found);
}

static enum ml_err finish(struct ml_sqlite_conn *conn, int rc, const char *doing,
                          struct ml_diag *diag)
{
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(conn->db, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return ML_OK;
    (void)ml_sqlite_fail(conn, ML_EIO, doing, diag);
    if (!sqlite3_get_autocommit(conn->db))
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
    return ML_EIO;
}

enum ml_err ml_sqlite_commit_version_change(struct ml_sqlite_conn *conn,
                                            struct ml_version_change *change, struct ml_diag *diag)
{
    int rc = sqlite3_exec(conn->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = change_version(conn, change);
    return finish(conn, rc, "changing a version", diag);
}

enum ml_err ml_sqlite_commit_compact(struct ml_sqlite_conn *conn, struct ml_compact *request,
                                     struct ml_diag *diag)
{
    int rc = sqlite3_exec(conn->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = compact(conn, request);
    return finish(conn, rc, "compacting", diag);
}

/* ---- the list -------------------------------------------------------------------------------- */

static struct ml_slice keep(struct ml_arena *arena, struct ml_slice text, bool *is_full)
{
    struct ml_slice copy = ml_arena_copy(arena, text);

    *is_full = *is_full || (text.len && !copy.ptr);
    return copy;
}

static struct ml_version read_version(sqlite3_stmt *stmt, struct ml_arena *arena, bool *is_full)
{
    return (struct ml_version){
        .number = (uint64_t)sqlite3_column_int64(stmt, 0),
        .name = keep(arena, ml_sqlite_column(stmt, 1), is_full),
        .seq = (uint64_t)sqlite3_column_int64(stmt, 2),
        .epoch = (uint64_t)sqlite3_column_int64(stmt, 3),
        .at_ms = sqlite3_column_int64(stmt, 4),
        .author = keep(arena, ml_sqlite_column(stmt, 5), is_full),
        .labels = keep(arena, ml_sqlite_column(stmt, 6), is_full),
        .is_named = sqlite3_column_int(stmt, 7),
        .is_pinned = sqlite3_column_int(stmt, 8),
        .hash = keep(arena, ml_sqlite_column(stmt, 9), is_full),
        .root = keep(arena, ml_sqlite_column(stmt, 10), is_full),
        .bytes = (uint64_t)sqlite3_column_int64(stmt, 11),
    };
}

static enum ml_err list(struct ml_sqlite_conn *conn, struct ml_versions *request, const uint8_t *id)
{
    sqlite3_stmt *stmt = prepare(
        conn,
        "SELECT v.number, v.name, v.seq, v.epoch, v.at_ms, v.author, v.labels, v.named, v.pinned,"
        " v.hash, v.root, coalesce(length(s.state) + length(s.state_vector), 0)"
        " FROM versions AS v LEFT JOIN snapshots AS s ON s.org = v.org AND s.document = v.document"
        " AND s.seq = v.seq WHERE v.org = ?1 AND v.document = ?2 AND v.number < ?3"
        " AND (?4 IS NULL OR v.name = ?4 OR v.number = ?5) AND (?6 = 0 OR v.number = ?6)"
        " ORDER BY v.number DESC");
    uint64_t number = ml_version_number(request->only);
    bool is_public = request->is_published_only && !request->only.len;
    struct ml_version *rows = calloc(request->limit, sizeof *rows);
    struct ml_arena texts;
    enum ml_err err = ML_OK;
    bool is_full = false;
    size_t count = 0;
    int rc = SQLITE_DONE;

    ml_arena_init(&texts, 64u << 20);
    if (!stmt || !rows) {
        err = ml_sqlite_fail(conn, rows ? ML_EIO : ML_ELIMIT, "reading", &request->diag);
        goto out;
    }
    bind_key(stmt, request->org, id);
    sqlite3_bind_int64(stmt, 3,
                       request->before_number > INT64_MAX ? INT64_MAX
                                                          : (sqlite3_int64)request->before_number);
    ml_sqlite_bind_text(stmt, 4, request->only, true);
    sqlite3_bind_int64(stmt, 5, (sqlite3_int64)number);
    sqlite3_bind_int64(stmt, 6, is_public ? (sqlite3_int64)request->published : 0);
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW && count < request->limit;
         rc = sqlite3_step(stmt))
        rows[count++] = read_version(stmt, &texts, &is_full);
    request->more = rc == SQLITE_ROW;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        err = ml_sqlite_reading_failed(conn, rc, &request->diag);
    else
        err = is_full ? ML_ELIMIT : ml_versions_take(request, rows, count);
out:
    (void)sqlite3_finalize(stmt);
    ml_arena_release(&texts);
    free(rows);
    return err;
}

enum ml_err ml_sqlite_read_versions(struct ml_sqlite_conn *conn, struct ml_versions *request)
{
    struct found found;
    enum ml_err err = ML_OK;
    int rc = sqlite3_exec(conn->db, "BEGIN", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = find(conn, request->org, request->name, &found);
    if (rc == SQLITE_OK)
        rc = ml_sqlite_is_purging(conn, request->org, request->name, &request->is_purging);
    if (rc != SQLITE_OK)
        err = ml_sqlite_reading_failed(conn, rc, &request->diag);
    if (!err && found.is_deleted)
        err = ml_diag_set(&request->diag, ML_ENOTFOUND, 0, "the document is deleted");
    if (!err) {
        request->exists = found.exists;
        request->head = found.head;
        request->epoch = found.epoch;
        request->compacted_seq = found.compacted_seq;
        request->published = found.published;
    }
    if (!err && found.exists && (found.published || !request->is_published_only))
        err = list(conn, request, found.id);
    if (sqlite3_exec(conn->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK && !err)
        err = ml_sqlite_fail(conn, ML_EIO, "reading", &request->diag);
    if (err)
        ml_versions_release(request);
    return err;
}
