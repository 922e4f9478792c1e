/* SPDX-License-Identifier: MIT */
/*
 * What is known about a document without reading its bytes: its row, who wrote, when. Text of the
 * rows is gathered in a writer while the rows come, and stands behind the table in the end, since
 * both grow and both move.
 */
#include "journal/sqlite.h"

#include "base/assert.h"

#include <stdlib.h>

#define AUTHORS_MAX    1000
#define TEXT_MAX_BYTES (16u << 20)

static sqlite3_stmt *by_name(struct ml_sqlite_conn *conn, int which, struct ml_slice org,
                             struct ml_slice name)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, which);

    if (stmt) {
        ml_sqlite_bind_text(stmt, 1, org, false);
        ml_sqlite_bind_text(stmt, 2, name, false);
    }
    return stmt;
}

static sqlite3_stmt *by_id(struct ml_sqlite_conn *conn, int which, struct ml_slice org,
                           const uint8_t *id)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, which);

    if (stmt) {
        ml_sqlite_bind_text(stmt, 1, org, false);
        ml_sqlite_bind_blob(stmt, 2, ml_slice_make(id, ML_DOCUMENT_ID_BYTES));
    }
    return stmt;
}

/* A table of `count` rows with its text behind it. NULL: out of memory, or too much text. */
static void *join(const void *rows, size_t count, size_t each, const struct ml_writer *text,
                  uint8_t **text_out)
{
    uint8_t *joined = text->err ? NULL : malloc(count * each + text->len + 1);

    if (!joined)
        return NULL;
    if (count)
        memcpy(joined, rows, count * each);
    if (text->len)
        memcpy(joined + count * each, text->ptr, text->len);
    *text_out = joined + count * each;
    return joined;
}

/* Only its length is good after the next step. */
static struct ml_slice keep(struct ml_writer *text, struct ml_slice column)
{
    ml_write_bytes(text, column);
    return column;
}

static void place(struct ml_slice *slice, uint8_t **text)
{
    slice->ptr = *text;
    *text += slice->len;
}

/* Both reads of one request see one moment. */
static enum ml_err plain(struct ml_sqlite_conn *conn, int which, struct ml_diag *diag)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, which);

    if (!stmt || ml_sqlite_run(stmt) != SQLITE_DONE)
        return ml_sqlite_fail(conn, ML_EIO, "reading", diag);
    return ML_OK;
}

/* --- describe --- */

static enum ml_err read_row(struct ml_sqlite_conn *conn, struct ml_describe *request, uint8_t *id)
{
    sqlite3_stmt *stmt = by_name(conn, ML_SQL_DESCRIBE, request->org, request->name);
    enum ml_err err = ML_OK;
    int rc;

    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &request->diag);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        struct ml_slice column = ml_sqlite_column(stmt, 0);

        if (column.len == ML_DOCUMENT_ID_BYTES)
            memcpy(id, column.ptr, ML_DOCUMENT_ID_BYTES);
        else
            err = ml_diag_set(&request->diag, ML_EFORMAT, 0, "the document's row is damaged");
        request->exists = !err;
        request->epoch = (uint64_t)sqlite3_column_int64(stmt, 1);
        request->head = (uint64_t)sqlite3_column_int64(stmt, 2);
        request->snapshot_seq = (uint64_t)sqlite3_column_int64(stmt, 3);
        request->record_bytes = (uint64_t)sqlite3_column_int64(stmt, 4);
        request->snapshot_bytes = (uint64_t)sqlite3_column_int64(stmt, 5);
        request->created_ms = sqlite3_column_int64(stmt, 6);
        request->updated_ms = sqlite3_column_int64(stmt, 7);
        request->deleted_ms = sqlite3_column_int64(stmt, 8);
    } else if (rc != SQLITE_DONE) {
        err = ml_sqlite_reading_failed(conn, rc, &request->diag);
    }
    sqlite3_reset(stmt);
    return err;
}

static enum ml_err read_authors(struct ml_sqlite_conn *conn, struct ml_describe *request,
                                const uint8_t *id)
{
    uint64_t after = request->head > ML_AUTHOR_RECORDS ? request->head - ML_AUTHOR_RECORDS : 0;
    sqlite3_stmt *stmt = by_id(conn, ML_SQL_AUTHORS, request->org, id);
    struct ml_record_author *rows = calloc(AUTHORS_MAX, sizeof *rows);
    struct ml_writer text;
    enum ml_err err = ML_OK;
    uint8_t *names = NULL;
    size_t count = 0;
    int rc = SQLITE_DONE;

    ml_writer_init(&text, TEXT_MAX_BYTES);
    if (!stmt || !rows) {
        err = ml_sqlite_fail(conn, rows ? ML_EIO : ML_ELIMIT, "reading", &request->diag);
        goto out;
    }
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)after);
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW && count < AUTHORS_MAX; rc = sqlite3_step(stmt))
        rows[count++] = (struct ml_record_author){
            .author = keep(&text, ml_sqlite_column(stmt, 0)),
            .records = (uint64_t)sqlite3_column_int64(stmt, 1),
            .last_ms = sqlite3_column_int64(stmt, 2),
        };
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        err = ml_sqlite_reading_failed(conn, rc, &request->diag);
        goto out;
    }
    request->authors = join(rows, count, sizeof *rows, &text, &names);
    if (!request->authors) {
        err = ML_ELIMIT;
        goto out;
    }
    request->author_count = count;
    for (size_t i = 0; i < count; i++)
        place(&request->authors[i].author, &names);
out:
    ml_writer_release(&text);
    free(rows);
    return err;
}

enum ml_err ml_sqlite_read_describe(struct ml_sqlite_conn *conn, struct ml_describe *request)
{
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    enum ml_err err;

    ML_ASSERT(conn->db);
    err = plain(conn, ML_SQL_BEGIN, &request->diag);
    if (err)
        return err;
    err = read_row(conn, request, id);
    if (!err && request->exists)
        err = read_authors(conn, request, id);
    if (plain(conn, ML_SQL_END, err ? NULL : &request->diag) && !err)
        err = ML_EIO;
    if (err)
        ml_describe_release(request);
    return err;
}

/* --- history --- */

static enum ml_err find_for_history(struct ml_sqlite_conn *conn, struct ml_history *request,
                                    uint8_t *id)
{
    sqlite3_stmt *stmt = by_name(conn, ML_SQL_FIND_DOCUMENT, request->org, request->name);
    enum ml_err err = ML_OK;
    int rc;

    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &request->diag);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        struct ml_slice column = ml_sqlite_column(stmt, 0);

        request->exists = true;
        if (column.len != ML_DOCUMENT_ID_BYTES)
            err = ml_diag_set(&request->diag, ML_EFORMAT, 0, "the document's row is damaged");
        else if (sqlite3_column_int(stmt, 4))
            err = ml_diag_set(&request->diag, ML_ENOTFOUND, 0, "the document is deleted");
        else
            memcpy(id, column.ptr, ML_DOCUMENT_ID_BYTES);
    } else if (rc != SQLITE_DONE) {
        err = ml_sqlite_reading_failed(conn, rc, &request->diag);
    }
    sqlite3_reset(stmt);
    return err;
}

static enum ml_err read_items(struct ml_sqlite_conn *conn, struct ml_history *request,
                              const uint8_t *id)
{
    sqlite3_stmt *stmt = by_id(conn, ML_SQL_HISTORY, request->org, id);
    struct ml_history_item *rows = calloc(request->limit, sizeof *rows);
    struct ml_writer text;
    enum ml_err err = ML_OK;
    uint8_t *names = NULL;
    size_t count = 0;
    int rc = SQLITE_DONE;

    ml_writer_init(&text, TEXT_MAX_BYTES);
    if (!stmt || !rows) {
        err = ml_sqlite_fail(conn, rows ? ML_EIO : ML_ELIMIT, "reading", &request->diag);
        goto out;
    }
    sqlite3_bind_int64(
        stmt, 3, request->before_seq > INT64_MAX ? INT64_MAX : (sqlite3_int64)request->before_seq);
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW && count < request->limit;
         rc = sqlite3_step(stmt)) {
        struct ml_history_item *item = &rows[count++];

        item->seq = (uint64_t)sqlite3_column_int64(stmt, 0);
        item->bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
        item->at_ms = sqlite3_column_int64(stmt, 2);
        item->author = keep(&text, ml_sqlite_column(stmt, 3));
        item->session = keep(&text, ml_sqlite_column(stmt, 4));
        item->labels = keep(&text, ml_sqlite_column(stmt, 5));
    }
    request->more = rc == SQLITE_ROW;
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        err = ml_sqlite_reading_failed(conn, rc, &request->diag);
        goto out;
    }
    request->items = join(rows, count, sizeof *rows, &text, &names);
    if (!request->items) {
        err = ML_ELIMIT;
        goto out;
    }
    request->count = count;
    for (size_t i = 0; i < count; i++) {
        place(&request->items[i].author, &names);
        place(&request->items[i].session, &names);
        place(&request->items[i].labels, &names);
    }
out:
    ml_writer_release(&text);
    free(rows);
    return err;
}

enum ml_err ml_sqlite_read_history(struct ml_sqlite_conn *conn, struct ml_history *request)
{
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    enum ml_err err;

    ML_ASSERT(conn->db);
    err = plain(conn, ML_SQL_BEGIN, &request->diag);
    if (err)
        return err;
    err = find_for_history(conn, request, id);
    if (!err && request->exists)
        err = read_items(conn, request, id);
    if (plain(conn, ML_SQL_END, err ? NULL : &request->diag) && !err)
        err = ML_EIO;
    if (err)
        ml_history_release(request);
    return err;
}

/* --- heads --- */

enum ml_err ml_sqlite_read_heads(struct ml_sqlite_conn *conn, struct ml_heads *request)
{
    for (size_t i = 0; i < request->count; i++) {
        struct ml_doc_head *item = &request->items[i];
        sqlite3_stmt *stmt = by_name(conn, ML_SQL_FIND_DOCUMENT, item->org, item->name);
        enum ml_gate gate;
        int rc;

        if (!stmt)
            return ml_sqlite_fail(conn, ML_EIO, "reading", &request->diag);
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW) {
            item->exists = true;
            item->epoch = (uint64_t)sqlite3_column_int64(stmt, 1);
            item->head = (uint64_t)sqlite3_column_int64(stmt, 2);
            item->is_deleted = sqlite3_column_int(stmt, 4);
        }
        sqlite3_reset(stmt);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return ml_sqlite_reading_failed(conn, rc, &request->diag);
        rc = ml_sqlite_gate(conn, item->org, &gate);
        if (rc != SQLITE_OK)
            return ml_sqlite_reading_failed(conn, rc, &request->diag);
        item->is_shut = gate == ML_GATE_SUSPENDED;
        if (gate == ML_GATE_REMOVED)
            item->exists = item->is_deleted = true;
    }
    return ML_OK;
}
