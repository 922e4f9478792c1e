/* SPDX-License-Identifier: MIT */
/*
 * What is written, and how much of it fails together.
 *
 *   BEGIN IMMEDIATE                       the only writer from here on
 *     for each append: document row -> repeats -> late? -> records -> head
 *   COMMIT                                synced; only now anything was true
 *
 * An append that may not go in (late, deleted, nothing new) is found out before it writes, so it
 * disturbs nobody. One whose document is damaged (a row stands where the head says there is none, a
 * page does not parse) is found out while it writes: then everything is rolled back and done again
 * without it. Every other error is the database's: the outcome is unknown for all.
 *
 * Invariants of the rows (checked by every load):
 *  [J1] the records of a document are numbered without a gap up to documents.head;
 *  [J2] records.previous is the checksum of the record before, 0 before the first;
 *  [J3] documents.head_checksum is the checksum of record `head`;
 *  [J4] (session, message_no) occurs once in a document.
 */
#include "journal/sqlite.h"

#include "base/assert.h"
#include "base/clock.h"

#include <sys/random.h>

enum {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_FIND_DOCUMENT,
    SQL_INSERT_ORG,
    SQL_INSERT_DOCUMENT,
    SQL_FIND_REPEAT,
    SQL_INSERT_RECORD,
    SQL_MOVE_HEAD,
    SQL_PUT_SNAPSHOT,
    SQL_MOVE_SNAPSHOT,
    SQL_KEPT_SNAPSHOTS,
    SQL_DROP_VERSIONS,
    SQL_DROP_SNAPSHOTS,
    SQL_GOOD_SNAPSHOT,
    SQL_SET_DELETED,
    SQL_CLAIM,
    SQL_CLAIMANT,
};
_Static_assert(SQL_CLAIMANT < ML_SQL_GATE, "room for every statement");

const char *const ml_sqlite_write_sql[ML_SQL_MAX] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_FIND_DOCUMENT] =
        "SELECT document, epoch, head, head_checksum, snapshot_seq, deleted_ms IS NOT NULL,"
        " published FROM documents WHERE org = ?1 AND name = ?2",
    [SQL_INSERT_ORG] = "INSERT OR IGNORE INTO orgs (org, created_ms) VALUES (?1, ?2)",
    [SQL_INSERT_DOCUMENT] = "INSERT INTO documents (org, document, name, created_ms, updated_ms)"
                            " VALUES (?1, ?2, ?3, ?4, ?4)",
    [SQL_FIND_REPEAT] = "SELECT seq FROM records"
                        " WHERE org = ?1 AND document = ?2 AND session = ?3 AND message_no = ?4",
    [SQL_INSERT_RECORD] =
        "INSERT INTO records (org, document, seq, epoch, format, at_ms, author, session,"
        " message_no, previous, checksum, bytes, labels)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [SQL_MOVE_HEAD] = "UPDATE documents SET head = ?3, head_checksum = ?4,"
                      " record_bytes = record_bytes + ?5, updated_ms = ?6"
                      " WHERE org = ?1 AND document = ?2 AND head = ?7",
    [SQL_PUT_SNAPSHOT] =
        "INSERT INTO snapshots (org, document, seq, epoch, at_ms, codec, state_bytes, checksum,"
        " state_vector, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        " ON CONFLICT (org, document, seq) DO UPDATE SET epoch = ?4, at_ms = ?5, codec = ?6,"
        " state_bytes = ?7, checksum = ?8, state_vector = ?9, state = ?10",
    [SQL_MOVE_SNAPSHOT] =
        "UPDATE documents SET snapshot_seq = max(snapshot_seq, ?3), snapshot_bytes ="
        " (SELECT coalesce(sum(length(state) + length(state_vector)), 0) FROM snapshots"
        "  WHERE org = ?1 AND document = ?2)"
        " WHERE org = ?1 AND document = ?2 AND epoch = ?4",
    [SQL_KEPT_SNAPSHOTS] = "SELECT " ML_SQL_SNAPSHOT_COLUMNS " FROM snapshots"
                           " WHERE org = ?1 AND document = ?2 AND seq <= ?3 AND NOT EXISTS"
                           " (SELECT 1 FROM versions AS v WHERE v.org = ?1 AND v.document = ?2"
                           "  AND v.seq = snapshots.seq AND (v.named OR v.pinned))"
                           " ORDER BY seq DESC",
    [SQL_DROP_VERSIONS] = "DELETE FROM versions WHERE org = ?1 AND document = ?2 AND seq < ?3"
                          " AND named = 0 AND pinned = 0 AND hash IS NULL",
    [SQL_DROP_SNAPSHOTS] = "DELETE FROM snapshots WHERE org = ?1 AND document = ?2 AND seq < ?3"
                           " AND NOT EXISTS (SELECT 1 FROM versions AS v WHERE v.org = ?1"
                           "  AND v.document = ?2 AND v.seq = snapshots.seq)",
    [SQL_GOOD_SNAPSHOT] = "SELECT " ML_SQL_SNAPSHOT_COLUMNS " FROM snapshots"
                          " WHERE org = ?1 AND document = ?2 AND seq = ?3 AND epoch = ?4",
    [SQL_SET_DELETED] = "UPDATE documents SET deleted_ms = ?3 WHERE org = ?1 AND document = ?2",
    [SQL_CLAIM] = "INSERT INTO authors (org, document, client, author, first_seen_ms)"
                  " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (org, document, client) DO NOTHING",
    [SQL_CLAIMANT] = "SELECT author FROM authors WHERE org = ?1 AND document = ?2 AND client = ?3",
    [ML_SQL_GATE] = ml_sqlite_gate_sql,
};

struct document_row {
    bool exists, deleted;
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    uint64_t epoch, head, snapshot_seq, published;
    uint32_t head_checksum;
};

/* What one transaction added; counts only once it is committed. */
struct tally {
    uint64_t rows, bytes;
};

static bool is_fault_of_document(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_CORRUPT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return true;
    default:
        return false;
    }
}

/* Bind the key that every statement but the look-up by name begins with. */
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

static int run_plain(struct ml_sqlite_conn *conn, int which)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, which);
    int rc = stmt ? ml_sqlite_run(stmt) : sqlite3_errcode(conn->db);

    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void roll_back(struct ml_sqlite_conn *conn)
{
    /* Some errors have rolled back already; if this fails the connection is closed anyway. */
    if (!sqlite3_get_autocommit(conn->db))
        (void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
}

static int find_document(struct ml_sqlite_conn *conn, struct ml_slice org, struct ml_slice name,
                         struct document_row *row)
{
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, SQL_FIND_DOCUMENT);
    int rc;

    *row = (struct document_row){0};
    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_sqlite_bind_text(stmt, 1, org, false);
    ml_sqlite_bind_text(stmt, 2, name, false);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        struct ml_slice id = ml_sqlite_column(stmt, 0);
        sqlite3_int64 head = sqlite3_column_int64(stmt, 2);

        rc = SQLITE_OK;
        if (id.len == ML_DOCUMENT_ID_BYTES && head >= 0)
            memcpy(row->id, id.ptr, ML_DOCUMENT_ID_BYTES);
        else
            rc = SQLITE_CORRUPT;
        row->exists = true;
        row->epoch = (uint64_t)sqlite3_column_int64(stmt, 1);
        row->head = (uint64_t)head;
        row->head_checksum = (uint32_t)sqlite3_column_int64(stmt, 3);
        row->snapshot_seq = (uint64_t)sqlite3_column_int64(stmt, 4);
        row->deleted = sqlite3_column_int(stmt, 5);
        row->published = (uint64_t)sqlite3_column_int64(stmt, 6);
    } else if (rc == SQLITE_DONE) {
        rc = SQLITE_OK;
    }
    sqlite3_reset(stmt);
    return rc;
}

static int insert_document(struct ml_sqlite_conn *conn, const struct ml_append *append,
                           struct document_row *row)
{
    int64_t at_ms = append->count ? append->records[0].at_ms : ml_clock_wall_ms();
    sqlite3_stmt *stmt = ml_sqlite_stmt(conn, SQL_INSERT_ORG);
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_sqlite_bind_text(stmt, 1, append->org, false);
    sqlite3_bind_int64(stmt, 2, at_ms);
    rc = ml_sqlite_run(stmt);
    if (rc != SQLITE_DONE)
        return rc;

    if (getrandom(row->id, sizeof row->id, 0) != (ssize_t)sizeof row->id)
        return SQLITE_IOERR;
    row->exists = true;
    row->epoch = 1;
    stmt = keyed(conn, SQL_INSERT_DOCUMENT, append->org, row->id);
    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_sqlite_bind_text(stmt, 3, append->name, false);
    sqlite3_bind_int64(stmt, 4, at_ms);
    rc = ml_sqlite_run(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Is the key of this record stored? Then seq and repeated say so. */
static int find_repeat(struct ml_sqlite_conn *conn, const struct ml_append *append,
                       const struct document_row *row, struct ml_record *record)
{
    sqlite3_stmt *stmt;
    int rc;

    record->repeated = false;
    if (!record->session.len)
        return SQLITE_OK;
    stmt = keyed(conn, SQL_FIND_REPEAT, append->org, row->id);
    if (!stmt)
        return sqlite3_errcode(conn->db);
    ml_sqlite_bind_text(stmt, 3, record->session, false);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)record->message_no);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        record->repeated = true;
        record->seq = (uint64_t)sqlite3_column_int64(stmt, 0);
        rc = SQLITE_DONE;
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Behind row->head, which moves. */
static int insert_record(struct ml_sqlite_conn *conn, const struct ml_append *append,
                         struct document_row *row, struct ml_record *record)
{
    struct ml_record_sum sum = {
        .document = row->id,
        .seq = row->head + 1,
        .epoch = row->epoch,
        .at_ms = record->at_ms,
        .message_no = record->message_no,
        .previous = row->head_checksum,
        .author = record->author,
        .session = record->session,
        .bytes = ml_blob_slice(record->bytes),
    };
    uint32_t checksum = ml_record_checksum(&sum);
    sqlite3_stmt *stmt = keyed(conn, SQL_INSERT_RECORD, append->org, row->id);
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)sum.seq);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)sum.epoch);
    sqlite3_bind_int(stmt, 5, ML_RECORD_FORMAT);
    sqlite3_bind_int64(stmt, 6, record->at_ms);
    ml_sqlite_bind_text(stmt, 7, record->author, true);
    ml_sqlite_bind_text(stmt, 8, record->session, true);
    if (record->session.len)
        sqlite3_bind_int64(stmt, 9, (sqlite3_int64)record->message_no);
    else
        sqlite3_bind_null(stmt, 9);
    sqlite3_bind_int64(stmt, 10, sum.previous);
    sqlite3_bind_int64(stmt, 11, checksum);
    ml_sqlite_bind_blob(stmt, 12, sum.bytes);
    ml_sqlite_bind_text(stmt, 13, record->labels, true);
    rc = ml_sqlite_run(stmt);
    if (rc != SQLITE_DONE)
        return rc;
    record->seq = row->head = sum.seq;
    row->head_checksum = checksum;
    return SQLITE_OK;
}

/* `row` has the new head; the table must still have the one before. */
static int move_head(struct ml_sqlite_conn *conn, const struct ml_append *append,
                     const struct document_row *row, const struct tally *added)
{
    sqlite3_stmt *stmt = keyed(conn, SQL_MOVE_HEAD, append->org, row->id);
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)row->head);
    sqlite3_bind_int64(stmt, 4, row->head_checksum);
    sqlite3_bind_int64(stmt, 5, (sqlite3_int64)added->bytes);
    sqlite3_bind_int64(stmt, 6, append->records[append->count - 1].at_ms);
    sqlite3_bind_int64(stmt, 7, (sqlite3_int64)(row->head - added->rows));
    rc = ml_sqlite_run(stmt);
    if (rc != SQLITE_DONE)
        return rc;
    return sqlite3_changes(conn->db) == 1 ? SQLITE_OK : SQLITE_CORRUPT;
}

/* Late, so far as is known: repeats are looked up only if the heads differ. */
static int check_late(struct ml_sqlite_conn *conn, const struct ml_append *append,
                      const struct document_row *row, bool *late_out)
{
    *late_out = false;
    if (append->expected_head == ML_SEQ_ANY || append->expected_head == row->head)
        return SQLITE_OK;
    for (size_t i = 0; row->exists && i < append->count; i++) {
        int rc = find_repeat(conn, append, row, &append->records[i]);

        if (rc != SQLITE_OK)
            return rc;
    }
    *late_out = ml_append_is_late(append, row->head);
    return SQLITE_OK;
}

/* Is the document that should be new there already, made by somebody else? */
static int check_creates(struct ml_sqlite_conn *conn, const struct ml_append *append,
                         const struct document_row *row, bool *is_there_out)
{
    *is_there_out = append->creates && row->exists;
    for (size_t i = 0; *is_there_out && i < append->count; i++) {
        int rc = find_repeat(conn, append, row, &append->records[i]);

        if (rc != SQLITE_OK)
            return rc;
        *is_there_out = !append->records[i].repeated;
    }
    return SQLITE_OK;
}

/* A record that is new, as nearly all are, costs no look-up: its key's index says if it is not. */
static int write_record(struct ml_sqlite_conn *conn, const struct ml_append *append,
                        struct document_row *row, struct ml_record *record, struct tally *added)
{
    int rc = insert_record(conn, append, row, record);

    record->repeated = false;
    if (rc == SQLITE_OK) {
        added->rows++;
        added->bytes += record->bytes->len;
    } else if ((rc & 0xff) == SQLITE_CONSTRAINT) {
        int found = find_repeat(conn, append, row, record);

        if (found != SQLITE_OK || record->repeated)
            return found;
    }
    return rc;
}

/* Whose it is, if it is another's. */
static int look_at_claim(struct ml_sqlite_conn *conn, const struct ml_append *append,
                         const struct document_row *row, struct ml_claim *claim)
{
    sqlite3_stmt *stmt = keyed(conn, SQL_CLAIMANT, append->org, row->id);
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)claim->client);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        claim->is_taken =
            claim->only_look || !ml_slice_equal(ml_sqlite_column(stmt, 0), claim->user);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The first who claims a client id has it. */
static int write_claim(struct ml_sqlite_conn *conn, const struct ml_append *append,
                       const struct document_row *row, struct ml_claim *claim)
{
    sqlite3_stmt *stmt;
    int rc;

    claim->is_taken = false;
    if (claim->only_look)
        return look_at_claim(conn, append, row, claim);
    stmt = keyed(conn, SQL_CLAIM, append->org, row->id);
    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)claim->client);
    ml_sqlite_bind_text(stmt, 4, claim->user, false);
    sqlite3_bind_int64(stmt, 5, ml_clock_wall_ms());
    rc = ml_sqlite_run(stmt);
    if (rc != SQLITE_DONE)
        return rc;
    return sqlite3_changes(conn->db) ? SQLITE_OK : look_at_claim(conn, append, row, claim);
}

/* Inside the transaction. SQLITE_OK: append->err and head are decided. */
static int write_append(struct ml_sqlite_conn *conn, struct ml_append *append, struct tally *tally)
{
    struct tally added = {0};
    struct document_row row;
    enum ml_gate gate;
    bool late, is_there;
    int rc;

    append->err = ML_OK;
    rc = find_document(conn, append->org, append->name, &row);
    if (rc == SQLITE_OK)
        rc = ml_sqlite_gate(conn, append->org, &gate);
    if (rc != SQLITE_OK)
        return rc;
    append->head = row.head;
    if (ml_gate_turns_away(gate, &append->node))
        return SQLITE_OK;
    if (row.deleted) {
        ml_request_fail(&append->node, append->creates ? ML_ECONFLICT : ML_ENOTFOUND,
                        "the document is deleted");
        return SQLITE_OK;
    }
    rc = check_creates(conn, append, &row, &is_there);
    if (rc != SQLITE_OK)
        return rc;
    if (is_there) {
        ml_request_fail(&append->node, ML_ECONFLICT, "the document is there already");
        return SQLITE_OK;
    }
    rc = check_late(conn, append, &row, &late);
    if (rc != SQLITE_OK)
        return rc;
    if (late) {
        ml_request_fail(&append->node, ML_EMOVED, NULL);
        return SQLITE_OK;
    }
    if (!row.exists)
        rc = insert_document(conn, append, &row);
    for (size_t i = 0; rc == SQLITE_OK && i < append->count; i++)
        rc = write_record(conn, append, &row, &append->records[i], &added);
    if (rc == SQLITE_OK && added.rows)
        rc = move_head(conn, append, &row, &added);
    for (size_t i = 0; rc == SQLITE_OK && i < append->claim_count; i++)
        rc = write_claim(conn, append, &row, &append->claims[i]);
    append->head = row.head;
    tally->rows += added.rows;
    tally->bytes += added.bytes;
    return rc;
}

/* @param culprit_out  index of the append whose document is damaged; `count`: none */
static enum ml_err try_appends(struct ml_sqlite_conn *conn, struct ml_append **appends,
                               size_t count, struct tally *tally, size_t *culprit_out,
                               struct ml_diag *diag)
{
    size_t i;
    int rc;

    *tally = (struct tally){0};
    *culprit_out = count;
    rc = run_plain(conn, SQL_BEGIN);
    for (i = 0; rc == SQLITE_OK && i < count; i++) {
        rc = write_append(conn, appends[i], tally);
        if (is_fault_of_document(rc))
            *culprit_out = i;
    }
    if (rc == SQLITE_OK)
        rc = run_plain(conn, SQL_COMMIT);
    if (rc == SQLITE_OK)
        return ML_OK;
    (void)ml_sqlite_fail(conn, ML_EIO, "writing", diag);
    roll_back(conn);
    return ML_EIO;
}

enum ml_err ml_sqlite_commit_appends(struct ml_sqlite_conn *conn, struct ml_append **appends,
                                     size_t count, struct ml_journal_stats *stats,
                                     struct ml_diag *diag)
{
    struct tally tally;
    size_t culprit;

    ML_ASSERT(conn->db);
    while (count) {
        enum ml_err err = try_appends(conn, appends, count, &tally, &culprit, diag);

        if (!err) {
            stats->commits++;
            stats->rows += tally.rows;
            stats->bytes += tally.bytes;
            return ML_OK;
        }
        if (culprit == count)
            return err;
        ml_request_fail(&appends[culprit]->node, ML_EFORMAT, diag ? diag->text : NULL);
        count--;
        memmove(appends + culprit, appends + culprit + 1,
                (count - culprit) * sizeof(struct ml_append *));
    }
    return ML_OK;
}

/* --- snapshots --- */

/* Walk the snapshots at and below put->seq, newest first, as long as `good` is wanted. */
static int nth_good_snapshot(struct ml_sqlite_conn *conn, const struct ml_snapshot_put *put,
                             const struct document_row *row, uint32_t wanted, uint64_t *seq_out)
{
    sqlite3_stmt *stmt = keyed(conn, SQL_KEPT_SNAPSHOTS, put->org, row->id);
    uint32_t good = 0;
    int rc;

    *seq_out = 0;
    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)put->seq);
    for (rc = sqlite3_step(stmt); rc == SQLITE_ROW && good < wanted; rc = sqlite3_step(stmt)) {
        struct ml_sqlite_snapshot snapshot = ml_sqlite_snapshot_row(stmt, row->id);

        if (ml_sqlite_snapshot_is_good(&snapshot) && ++good == wanted)
            *seq_out = snapshot.sum.seq;
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int drop_old_snapshots(struct ml_sqlite_conn *conn, const struct ml_snapshot_put *put,
                              const struct document_row *row)
{
    uint32_t keep = put->keep < ML_KEEP_MIN ? ML_KEEP_MIN : put->keep;
    sqlite3_stmt *stmt;
    uint64_t oldest;
    int rc;

    if (put->keep == UINT32_MAX)
        return SQLITE_OK;
    /* Damaged ones do not count: what stays can be read. */
    rc = nth_good_snapshot(conn, put, row, keep, &oldest);
    if (rc != SQLITE_OK || !oldest)
        return rc;
    rc = SQLITE_DONE;
    for (int which = SQL_DROP_VERSIONS; rc == SQLITE_DONE && which <= SQL_DROP_SNAPSHOTS; which++) {
        stmt = keyed(conn, which, put->org, row->id);
        if (!stmt)
            return sqlite3_errcode(conn->db);
        sqlite3_bind_int64(stmt, 3, (sqlite3_int64)oldest);
        rc = ml_sqlite_run(stmt);
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int insert_snapshot(struct ml_sqlite_conn *conn, const struct ml_snapshot_put *put,
                           const struct document_row *row)
{
    struct ml_snapshot_sum sum = {
        .document = row->id,
        .seq = put->seq,
        .epoch = put->epoch,
        .codec = put->node.codec,
        .state_bytes = put->state->len,
        .state_vector = ml_blob_slice(put->state_vector),
        .state = ml_blob_slice(put->node.packed),
    };
    sqlite3_stmt *stmt = keyed(conn, SQL_PUT_SNAPSHOT, put->org, row->id);
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)sum.seq);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)sum.epoch);
    sqlite3_bind_int64(stmt, 5, put->at_ms);
    sqlite3_bind_int(stmt, 6, sum.codec);
    sqlite3_bind_int64(stmt, 7, (sqlite3_int64)sum.state_bytes);
    sqlite3_bind_int64(stmt, 8, ml_snapshot_checksum(&sum));
    ml_sqlite_bind_blob(stmt, 9, sum.state_vector);
    ml_sqlite_bind_blob(stmt, 10, sum.state);
    rc = ml_sqlite_run(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int move_snapshot(struct ml_sqlite_conn *conn, const struct ml_snapshot_put *put,
                         const struct document_row *row)
{
    sqlite3_stmt *stmt = keyed(conn, SQL_MOVE_SNAPSHOT, put->org, row->id);
    int rc;

    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)put->seq);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)put->epoch);
    rc = ml_sqlite_run(stmt);
    if (rc != SQLITE_DONE)
        return rc;
    return sqlite3_changes(conn->db) == 1 ? SQLITE_OK : SQLITE_CORRUPT;
}

/* Is there a snapshot of this very seq that can be read? */
static int find_good(struct ml_sqlite_conn *conn, const struct ml_snapshot_put *put,
                     const struct document_row *row, bool *good_out)
{
    sqlite3_stmt *stmt = keyed(conn, SQL_GOOD_SNAPSHOT, put->org, row->id);
    int rc;

    *good_out = false;
    if (!stmt)
        return sqlite3_errcode(conn->db);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)put->seq);
    sqlite3_bind_int64(stmt, 4, (sqlite3_int64)put->epoch);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        struct ml_sqlite_snapshot snapshot = ml_sqlite_snapshot_row(stmt, row->id);

        *good_out = ml_sqlite_snapshot_is_good(&snapshot);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Inside the transaction. SQLITE_OK: put->err is decided. */
static int write_snapshot(struct ml_sqlite_conn *conn, struct ml_snapshot_put *put)
{
    struct document_row row;
    bool is_there;
    int rc;

    put->err = ML_OK;
    rc = find_document(conn, put->org, put->name, &row);
    if (rc != SQLITE_OK)
        return rc;
    if (!row.exists || row.deleted) {
        ml_request_fail(&put->node, ML_ENOTFOUND, NULL);
        return SQLITE_OK;
    }
    rc = find_good(conn, put, &row, &is_there);
    if (rc != SQLITE_OK)
        return rc;
    /* Never over a good copy; the cadence goes forward only. */
    if (put->epoch != row.epoch || put->seq > row.head ||
        (!put->is_named && (is_there || put->seq < row.snapshot_seq))) {
        ml_request_fail(&put->node, ML_ECONFLICT,
                        "another epoch, beyond the head, or a newer snapshot is there");
        return SQLITE_OK;
    }
    if (!is_there)
        rc = insert_snapshot(conn, put, &row);
    if (rc == SQLITE_OK)
        rc = ml_sqlite_add_version(conn, put, row.id);
    if (rc == SQLITE_OK && !put->is_named)
        rc = drop_old_snapshots(conn, put, &row);
    if (rc == SQLITE_OK)
        rc = move_snapshot(conn, put, &row);
    return rc;
}

enum ml_err ml_sqlite_commit_snapshot(struct ml_sqlite_conn *conn, struct ml_snapshot_put *put,
                                      struct ml_diag *diag)
{
    int rc;

    ML_ASSERT(conn->db && put->node.packed);
    rc = run_plain(conn, SQL_BEGIN);
    if (rc == SQLITE_OK)
        rc = write_snapshot(conn, put);
    if (rc == SQLITE_OK)
        rc = run_plain(conn, SQL_COMMIT);
    if (rc == SQLITE_OK)
        return ML_OK;
    (void)ml_sqlite_fail(conn, ML_EIO, "writing a snapshot", diag);
    roll_back(conn);
    if (!is_fault_of_document(rc))
        return ML_EIO;
    ml_request_fail(&put->node, ML_EFORMAT, diag ? diag->text : NULL);
    return ML_OK;
}

/* --- tombstones --- */

/* Inside the transaction. SQLITE_OK: request->err is decided. */
static int write_deleted(struct ml_sqlite_conn *conn, struct ml_set_deleted *request)
{
    struct document_row row;
    sqlite3_stmt *stmt;
    int rc;

    request->err = ML_OK;
    rc = find_document(conn, request->org, request->name, &row);
    if (rc != SQLITE_OK)
        return rc;
    if (!row.exists) {
        ml_request_fail(&request->node, ML_ENOTFOUND, NULL);
        return SQLITE_OK;
    }
    request->changed = request->deleted != row.deleted;
    if (!request->changed)
        return SQLITE_OK;
    stmt = keyed(conn, SQL_SET_DELETED, request->org, row.id);
    if (!stmt)
        return sqlite3_errcode(conn->db);
    if (request->deleted)
        sqlite3_bind_int64(stmt, 3, request->at_ms);
    else
        sqlite3_bind_null(stmt, 3);
    rc = ml_sqlite_run(stmt);
    if (rc == SQLITE_DONE && request->deleted && row.published)
        return ml_sqlite_push_purge(conn, request->org, request->name, ML_PURGE_DELETED,
                                    request->at_ms);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

enum ml_err ml_sqlite_commit_deleted(struct ml_sqlite_conn *conn, struct ml_set_deleted *request,
                                     struct ml_diag *diag)
{
    int rc;

    ML_ASSERT(conn->db);
    rc = run_plain(conn, SQL_BEGIN);
    if (rc == SQLITE_OK)
        rc = write_deleted(conn, request);
    if (rc == SQLITE_OK)
        rc = run_plain(conn, SQL_COMMIT);
    if (rc == SQLITE_OK)
        return ML_OK;
    (void)ml_sqlite_fail(conn, ML_EIO, "deleting", diag);
    roll_back(conn);
    if (!is_fault_of_document(rc))
        return ML_EIO;
    ml_request_fail(&request->node, ML_EFORMAT, diag ? diag->text : NULL);
    return ML_OK;
}
