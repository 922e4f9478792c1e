/* SPDX-License-Identifier: MIT */
/*
 * Loads and lists, on a connection of their own: they do not wait behind commits, and one read
 * transaction sees one moment.
 *
 *   document row -> newest snapshot that passes its checksum -> records after it
 *
 *     seq   s        s+1      s+2            head
 *         [snapshot][rec 1]--[rec 2]-- … --[rec n]
 *                    previous = checksum of the one before        documents.head_checksum = its
 *
 * The first record that is missing, or does not pass, ends the load with ML_EFORMAT and the good
 * prefix. A snapshot that does not pass is skipped: the older one and more records give the same.
 */
#include "journal/sqlite.h"

#include "base/assert.h"
#include "journal/chain.h"
#include "journal/claims.h"

#include <stdlib.h>

_Static_assert(ML_SQL_READ_COUNT <= ML_SQL_MAX, "room for every statement");

const char *const ml_sqlite_read_sql[ML_SQL_MAX] = {
    [ML_SQL_BEGIN] = "BEGIN",
    [ML_SQL_END] = "COMMIT",
    [ML_SQL_FIND_DOCUMENT] = "SELECT document, epoch, head, head_checksum, deleted_ms IS NOT NULL,"
                             " compacted_seq FROM documents WHERE org = ?1 AND name = ?2",
    [ML_SQL_SNAPSHOTS] = "SELECT " ML_SQL_SNAPSHOT_COLUMNS " FROM snapshots"
                         " WHERE org = ?1 AND document = ?2 AND seq <= ?3 AND epoch = ?4"
                         " ORDER BY seq DESC",
    [ML_SQL_CHECKSUM] =
        "SELECT checksum FROM records WHERE org = ?1 AND document = ?2 AND seq = ?3",
    [ML_SQL_RECORDS] = "SELECT seq, epoch, format, at_ms, author, session, message_no, previous,"
                       " checksum, bytes FROM records"
                       " WHERE org = ?1 AND document = ?2 AND seq > ?3 AND seq <= ?4 ORDER BY seq",
    [ML_SQL_MOMENT] = "SELECT seq FROM records WHERE org = ?1 AND document = ?2 AND at_ms <= ?3"
                      " ORDER BY seq DESC LIMIT 1",
    [ML_SQL_LIST] = "SELECT name, head, snapshot_seq, record_bytes + snapshot_bytes, created_ms,"
                    " updated_ms FROM documents"
                    " WHERE org = ?1 AND name >= ?2 AND deleted_ms IS NULL ORDER BY name",
    [ML_SQL_DESCRIBE] = "SELECT document, epoch, head, snapshot_seq, record_bytes, snapshot_bytes,"
                        " created_ms, updated_ms, deleted_ms"
                        " FROM documents WHERE org = ?1 AND name = ?2",
    [ML_SQL_AUTHORS] = "SELECT coalesce(author, ''), count(*), max(at_ms) FROM records"
                       " WHERE org = ?1 AND document = ?2 AND seq > ?3"
                       " GROUP BY 1 ORDER BY 1",
    [ML_SQL_HISTORY] = "SELECT seq, length(bytes), at_ms, author, session, labels FROM records"
                       " WHERE org = ?1 AND document = ?2 AND seq < ?3 ORDER BY seq DESC",
    [ML_SQL_CLAIMS] = "SELECT client, author FROM authors WHERE org = ?1 AND document = ?2"
                      " ORDER BY author LIMIT ?3",
    [ML_SQL_GATE] = ml_sqlite_gate_sql,
};

struct document_row {
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    uint32_t head_checksum;
    uint64_t compacted_seq;
};

static sqlite3_stmt *keyed(struct ml_sqlite_conn *conn, int which, struct ml_slice org,
                           const uint8_t *document)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, which);

    if (stmt) {
        ml_sqlite_bind_text(stmt, 1, org, false);
        ml_sqlite_bind_blob(stmt, 2, ml_slice_make(document, ML_DOCUMENT_ID_BYTES));
    }
    return stmt;
}

static enum ml_err run_plain(struct ml_sqlite_conn *conn, int which, struct ml_diag *diag)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, which);

    if (!stmt || ml_sqlite_run(stmt) != SQLITE_DONE)
        return ml_sqlite_fail(conn, ML_EIO, "reading", diag);
    return ML_OK;
}

enum ml_err ml_sqlite_reading_failed(struct ml_sqlite_conn *conn, int rc, struct ml_diag *diag)
{
    return ml_sqlite_fail(conn, (rc & 0xff) == SQLITE_CORRUPT ? ML_EFORMAT : ML_EIO, "reading",
                          diag);
}

static enum ml_err find_document(struct ml_sqlite_conn *conn, struct ml_load *load,
                                 struct document_row *row)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, ML_SQL_FIND_DOCUMENT);
    enum ml_err err = ML_OK;
    int rc;

    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &load->diag);
    ml_sqlite_bind_text(stmt, 1, load->org, false);
    ml_sqlite_bind_text(stmt, 2, load->name, false);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        struct ml_slice id = ml_sqlite_column(stmt, 0);
        sqlite3_int64 head = sqlite3_column_int64(stmt, 2);

        load->exists = true;
        load->epoch = (uint64_t)sqlite3_column_int64(stmt, 1);
        load->head = (uint64_t)head;
        row->head_checksum = (uint32_t)sqlite3_column_int64(stmt, 3);
        row->compacted_seq = (uint64_t)sqlite3_column_int64(stmt, 5);
        if (id.len != ML_DOCUMENT_ID_BYTES || head < 0)
            err = ml_diag_set(&load->diag, ML_EFORMAT, 0, "the document's row is damaged");
        else if (sqlite3_column_int(stmt, 4))
            err = ml_diag_set(&load->diag, ML_ENOTFOUND, 0, "the document is deleted");
        else
            memcpy(row->id, id.ptr, ML_DOCUMENT_ID_BYTES);
    } else if (rc != SQLITE_DONE) {
        err = ml_sqlite_reading_failed(conn, rc, &load->diag);
    }
    sqlite3_reset(stmt);
    return err;
}

/* --- snapshots --- */

/* until_seq becomes the last record of that time or before; *none_out: there was none yet. */
static enum ml_err find_moment(struct ml_sqlite_conn *conn, struct ml_load *load,
                               const struct document_row *row, bool *none_out)
{
    sqlite3_stmt *stmt = keyed(conn, ML_SQL_MOMENT, load->org, row->id);
    int rc;

    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &load->diag);
    sqlite3_bind_int64(stmt, 3, load->until_ms);
    rc = sqlite3_step(stmt);
    *none_out = rc == SQLITE_DONE;
    if (rc == SQLITE_ROW)
        load->until_seq = (uint64_t)sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? ML_OK
                                                 : ml_sqlite_reading_failed(conn, rc, &load->diag);
}

static enum ml_err find_snapshot(struct ml_sqlite_conn *conn, struct ml_load *load,
                                 const struct document_row *row)
{
    uint64_t last = ml_chain_last(load);
    uint64_t ceiling = load->max_snapshot_seq < last ? load->max_snapshot_seq : last;
    sqlite3_stmt *stmt;
    int rc;

    if (!ceiling)
        return ML_OK;
    stmt = keyed(conn, ML_SQL_SNAPSHOTS, load->org, row->id);
    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &load->diag);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)ceiling);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)load->epoch);
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW; rc = sqlite3_step(stmt)) {
        struct ml_sqlite_snapshot snapshot = ml_sqlite_snapshot_row(stmt, row->id);

        if (ml_sqlite_snapshot_is_good(&snapshot))
            load->snapshot = ml_snapshot_unpack(&snapshot.sum);
        if (load->snapshot) {
            load->snapshot_seq = snapshot.sum.seq;
            break;
        }
        ml_chain_log_snapshot(load, snapshot.sum.seq);
    }
    sqlite3_reset(stmt);
    /* A damaged page among the snapshots is a damaged snapshot: records alone will do. */
    if (rc == SQLITE_ROW || rc == SQLITE_DONE || (rc & 0xff) == SQLITE_CORRUPT)
        return ML_OK;
    return ml_sqlite_reading_failed(conn, rc, &load->diag);
}

/* --- records --- */

static enum ml_err start_chain(struct ml_sqlite_conn *conn, struct ml_load *load,
                               const struct document_row *row, struct ml_chain *chain)
{
    sqlite3_stmt *stmt;
    int rc;

    if (!chain->seq) {
        chain->known = true;
        return ML_OK;
    }
    stmt = keyed(conn, ML_SQL_CHECKSUM, load->org, row->id);
    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &load->diag);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)chain->seq);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        chain->known = true;
        chain->checksum = (uint32_t)sqlite3_column_int64(stmt, 0);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? ML_OK
                                                 : ml_sqlite_reading_failed(conn, rc, &load->diag);
}

static enum ml_err take_record(sqlite3_stmt *stmt, struct ml_load *load,
                               const struct document_row *row, struct ml_chain *chain)
{
    struct ml_record_sum sum = {
        .document = row->id,
        .seq = (uint64_t)sqlite3_column_int64(stmt, 0),
        .epoch = (uint64_t)sqlite3_column_int64(stmt, 1),
        .at_ms = sqlite3_column_int64(stmt, 3),
        .author = ml_sqlite_column(stmt, 4),
        .session = ml_sqlite_column(stmt, 5),
        .message_no = (uint64_t)sqlite3_column_int64(stmt, 6),
        .previous = (uint32_t)sqlite3_column_int64(stmt, 7),
        .bytes = ml_sqlite_column(stmt, 9),
    };

    return ml_chain_take(chain, load, &sum, sqlite3_column_int(stmt, 2),
                         (uint32_t)sqlite3_column_int64(stmt, 8));
}

/* Steps through the rows; leaves the reset to the caller. */
static enum ml_err take_records(struct ml_sqlite_conn *conn, sqlite3_stmt *stmt,
                                struct ml_load *load, const struct document_row *row,
                                struct ml_chain *chain)
{
    enum ml_err err = ml_chain_reserve(chain, load);
    int rc = SQLITE_DONE;

    while (!err && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        err = take_record(stmt, load, row, chain);
    if (err)
        return err;
    return rc == SQLITE_DONE ? ML_OK : ml_sqlite_reading_failed(conn, rc, &load->diag);
}

static enum ml_err read_records(struct ml_sqlite_conn *conn, struct ml_load *load,
                                const struct document_row *row)
{
    struct ml_chain chain = {.seq = load->after_seq ? load->after_seq : load->snapshot_seq};
    uint64_t last = ml_chain_last(load);
    sqlite3_stmt *stmt;
    enum ml_err err;

    if (chain.seq > last || (load->until_seq && chain.seq == last))
        return ML_OK; /* asked for what comes after the head, or everything is in the snapshot */
    if (chain.seq < row->compacted_seq && (load->until_seq || load->after_seq)) {
        load->is_compacted = true;
        return ml_diag_set(&load->diag, ML_ENOTFOUND, 0, "record %llu is not kept any more",
                           (unsigned long long)chain.seq + 1);
    }
    err = start_chain(conn, load, row, &chain);
    if (err)
        return err;
    stmt = keyed(conn, ML_SQL_RECORDS, load->org, row->id);
    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &load->diag);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)chain.seq);
    sqlite3_bind_int64(stmt, 4, load->until_seq ? (sqlite3_int64)last : INT64_MAX);
    err = take_records(conn, stmt, load, row, &chain);
    sqlite3_reset(stmt);
    return err ? err : ml_chain_end(&chain, load, row->head_checksum);
}

static enum ml_err read_claims(struct ml_sqlite_conn *conn, struct ml_load *load,
                               const struct document_row *row)
{
    sqlite3_stmt *stmt = keyed(conn, ML_SQL_CLAIMS, load->org, row->id);
    struct ml_claims_writer out;
    enum ml_err err;
    int rc;

    if (!stmt)
        return ml_sqlite_fail(conn, ML_EIO, "reading", &load->diag);
    sqlite3_bind_int64(stmt, 3, ML_CLAIMS_MAX);
    ml_claims_begin(&out);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        ml_claims_put(&out, (uint64_t)sqlite3_column_int64(stmt, 0), ml_sqlite_column(stmt, 1));
    sqlite3_reset(stmt);
    err = ml_claims_end(&out, load);
    return rc == SQLITE_DONE ? err : ml_sqlite_reading_failed(conn, rc, &load->diag);
}

enum ml_err ml_sqlite_read_load(struct ml_sqlite_conn *conn, struct ml_load *load)
{
    struct document_row row = {0};
    bool is_too_early = false;
    enum ml_err err;

    ML_ASSERT(conn->db);
    err = run_plain(conn, ML_SQL_BEGIN, &load->diag);
    if (err)
        return err;
    err = find_document(conn, load, &row);
    if (!err && load->exists && load->until_ms)
        err = find_moment(conn, load, &row, &is_too_early);
    if (!err && is_too_early && row.compacted_seq) {
        load->is_compacted = true;
        err = ml_diag_set(&load->diag, ML_ENOTFOUND, 0, "that time is not kept any more");
    }
    if (!err && load->exists && !is_too_early && !load->after_seq)
        err = find_snapshot(conn, load, &row);
    if (!err && load->exists && load->wants_claims)
        err = read_claims(conn, load, &row);
    if (!err && load->exists && !is_too_early)
        err = read_records(conn, load, &row);
    /* The error that came first is the one that counts. */
    if (run_plain(conn, ML_SQL_END, err ? NULL : &load->diag) && !err)
        err = ML_EIO;
    if (err && err != ML_EFORMAT)
        ml_load_release(load);
    return err;
}

/* --- lists --- */

static bool has_prefix(struct ml_slice name, struct ml_slice prefix)
{
    return name.len >= prefix.len && ml_slice_equal(ml_slice_make(name.ptr, prefix.len), prefix);
}

/* Items and names grow apart and are joined at the end, since realloc moves them. */
struct page {
    struct ml_listed *items;
    struct ml_writer names;
};

static enum ml_err take_names(struct ml_sqlite_conn *conn, sqlite3_stmt *stmt,
                              struct ml_list_documents *list, struct page *page)
{
    int rc;

    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW; rc = sqlite3_step(stmt)) {
        struct ml_slice name = ml_sqlite_column(stmt, 0);

        if (list->after.len && ml_slice_compare(name, list->after) <= 0)
            continue; /* only `after` itself: the statement began there */
        if (!has_prefix(name, list->prefix))
            return ML_OK;
        if (list->count == list->limit) {
            list->more = true;
            return ML_OK;
        }
        page->items[list->count++] = (struct ml_listed){
            .name = name, /* only its length is good after the next step */
            .head = (uint64_t)sqlite3_column_int64(stmt, 1),
            .snapshot_seq = (uint64_t)sqlite3_column_int64(stmt, 2),
            .bytes = (uint64_t)sqlite3_column_int64(stmt, 3),
            .created_ms = sqlite3_column_int64(stmt, 4),
            .updated_ms = sqlite3_column_int64(stmt, 5),
        };
        ml_write_bytes(&page->names, name);
    }
    return rc == SQLITE_DONE ? ML_OK : ml_sqlite_reading_failed(conn, rc, &list->diag);
}

static enum ml_err join_page(struct ml_list_documents *list, const struct page *page)
{
    size_t items_bytes = list->count * sizeof *list->items;
    uint8_t *text;

    if (page->names.err)
        return page->names.err;
    list->items = malloc(items_bytes + page->names.len + 1);
    if (!list->items)
        return ML_ELIMIT;
    text = (uint8_t *)list->items + items_bytes;
    if (list->count)
        memcpy(list->items, page->items, items_bytes);
    if (page->names.len)
        memcpy(text, page->names.ptr, page->names.len);
    for (size_t i = 0; i < list->count; i++) {
        list->items[i].name.ptr = text;
        text += list->items[i].name.len;
    }
    return ML_OK;
}

enum ml_err ml_sqlite_read_list(struct ml_sqlite_conn *conn, struct ml_list_documents *list)
{
    bool from_after = ml_slice_compare(list->after, list->prefix) > 0;
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, ML_SQL_LIST);
    struct page page = {.items = calloc(list->limit, sizeof *page.items)};
    enum ml_err err;

    ml_writer_init(&page.names, list->limit * 4096);
    if (!stmt) {
        err = ml_sqlite_fail(conn, ML_EIO, "reading", &list->diag);
    } else if (!page.items) {
        err = ML_ELIMIT;
    } else {
        ml_sqlite_bind_text(stmt, 1, list->org, false);
        ml_sqlite_bind_text(stmt, 2, from_after ? list->after : list->prefix, false);
        err = take_names(conn, stmt, list, &page);
        sqlite3_reset(stmt);
    }
    if (!err)
        err = join_page(list, &page);
    if (err)
        list->count = 0;
    ml_writer_release(&page.names);
    free(page.items);
    return err;
}
