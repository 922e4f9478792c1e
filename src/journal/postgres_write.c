/* SPDX-License-Identifier: MIT */
/*
 * What is written to PostgreSQL: many appends, one transaction, two round trips.
 *
 *   BEGIN
 *   find the documents FOR UPDATE  ─┐ from here on nobody else gives numbers in them
 *   find keys that are stored      ─┘ first answer: decide here, document by document
 *   orgs and documents that are new ─┐
 *   records                          │
 *   heads                            │
 *   COMMIT                          ─┘ second answer: only now anything was true
 *
 * Every statement takes arrays: a batch of 256 records is one INSERT. Rows are locked in the order
 * of their keys, so that two nodes do not wait for each other; where they do all the same (new
 * documents of one name), or where somebody made a document meanwhile, everything is rolled back
 * and begun again.
 *
 * A statement that fails because of what stands in a document (a record where the head says there
 * is none) fails the batch: then each append is tried alone, and the culprit is told. Every other
 * error is the database's: the outcome is unknown for all.
 */
#include "journal/postgres.h"

#include "base/assert.h"
#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>

#define ATTEMPTS 8

enum {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_FIND,
    SQL_REPEATS,
    SQL_ORGS,
    SQL_DOCUMENTS,
    SQL_RECORDS,
    SQL_HEADS,
    SQL_KEPT_SNAPSHOTS,
    SQL_PUT_SNAPSHOT,
    SQL_DROP_SNAPSHOTS,
    SQL_MOVE_SNAPSHOT,
    SQL_SET_DELETED,
};

const char *const ml_pg_write_sql[ML_PG_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FIND] =
        "SELECT k.at, d.document, d.epoch, d.head, d.head_checksum, d.snapshot_seq,"
        " d.deleted_ms IS NOT NULL"
        " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (org, name, at)"
        " JOIN documents d ON d.org = k.org COLLATE \"C\" AND d.name = k.name COLLATE \"C\""
        " ORDER BY d.org, d.document FOR UPDATE OF d",
    [SQL_REPEATS] =
        "SELECT k.at, r.seq FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])"
        " WITH ORDINALITY AS k (org, name, session, message_no, at)"
        " JOIN documents d ON d.org = k.org COLLATE \"C\" AND d.name = k.name COLLATE \"C\""
        " JOIN records r ON r.org = d.org AND r.document = d.document"
        " AND r.session = k.session COLLATE \"C\" AND r.message_no = k.message_no",
    [SQL_ORGS] = "INSERT INTO orgs (org, created_ms) SELECT * FROM unnest($1::text[], $2::bigint[])"
                 " ON CONFLICT (org) DO NOTHING",
    [SQL_DOCUMENTS] = "INSERT INTO documents (org, document, name, created_ms, updated_ms)"
                      " SELECT k.org, k.document, k.name, k.at, k.at"
                      " FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bigint[])"
                      " AS k (org, document, name, at)",
    [SQL_RECORDS] =
        "INSERT INTO records (org, document, seq, epoch, format, at_ms, author, session, "
        "message_no,"
        " previous, checksum, bytes)"
        " SELECT k.org, k.document, k.seq, k.epoch, 1, k.at, k.author, k.session, k.no, k.previous,"
        " k.checksum, k.bytes"
        " FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], "
        "$6::text[],"
        " $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[])"
        " AS k (org, document, seq, epoch, at, author, session, no, previous, checksum, bytes)",
    [SQL_HEADS] =
        "UPDATE documents d SET head = k.head, head_checksum = k.checksum,"
        " record_bytes = d.record_bytes + k.bytes, updated_ms = k.at"
        " FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], "
        "$6::bigint[],"
        " $7::bigint[]) AS k (org, document, old_head, head, checksum, bytes, at)"
        " WHERE d.org = k.org COLLATE \"C\" AND d.document = k.document AND d.head = k.old_head",
    [SQL_KEPT_SNAPSHOTS] =
        "SELECT seq, epoch, codec, state_bytes, checksum, state_vector, state FROM snapshots"
        " WHERE org = $1::text AND document = $2::bytea AND seq <= $3::bigint AND pinned = 0"
        " AND name IS NULL ORDER BY seq DESC LIMIT $4::bigint",
    [SQL_PUT_SNAPSHOT] =
        "INSERT INTO snapshots (org, document, seq, epoch, at_ms, codec, state_bytes, checksum,"
        " state_vector, state) VALUES ($1::text, $2::bytea, $3::bigint, $4::bigint, $5::bigint,"
        " $6::bigint, $7::bigint, $8::bigint, $9::bytea, $10::bytea)"
        " ON CONFLICT (org, document, seq) DO UPDATE SET epoch = excluded.epoch,"
        " at_ms = excluded.at_ms, codec = excluded.codec, state_bytes = excluded.state_bytes,"
        " checksum = excluded.checksum, state_vector = excluded.state_vector, state = "
        "excluded.state",
    [SQL_DROP_SNAPSHOTS] = "DELETE FROM snapshots WHERE org = $1::text AND document = $2::bytea"
                           " AND seq < $3::bigint AND pinned = 0 AND name IS NULL",
    [SQL_MOVE_SNAPSHOT] =
        "UPDATE documents SET snapshot_seq = $3::bigint, snapshot_bytes ="
        " (SELECT coalesce(sum(length(state) + length(state_vector)), 0) FROM snapshots"
        "  WHERE org = $1::text AND document = $2::bytea)"
        " WHERE org = $1::text AND document = $2::bytea AND snapshot_seq <= $3::bigint"
        " AND epoch = $4::bigint",
    [SQL_SET_DELETED] = "UPDATE documents SET deleted_ms = $3::bigint"
                        " WHERE org = $1::text AND document = $2::bytea",
};

/* A document of the batch, as it stands after what the batch has decided so far. */
struct document {
    struct ml_slice org, name;
    bool exists, deleted, is_new;
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    uint64_t epoch, old_head, head, snapshot_seq;
    uint32_t checksum; /* of the head */
    uint64_t rows, bytes;
    int64_t created_ms, updated_ms;
};

/* A record of the batch. */
struct row {
    struct ml_record *record;
    struct document *document;
    uint64_t stored; /* seq of its key before this batch, 0: not stored */
    uint32_t previous, checksum;
    bool goes_in;
};

struct batch {
    struct ml_pg *pg;
    struct ml_append **appends;
    size_t count;
    struct document *documents; /* each once */
    size_t document_count;
    size_t *document_of; /* [count] */
    struct row *rows;    /* of all appends, one after the other */
    size_t row_count;
    struct ml_pg_args args;
    char state[6]; /* of the statement that failed */
    bool again;    /* somebody was faster: begin anew */
};

/* ---- Setting up ----------------------------------------------------------------------------- */

static size_t document_index(struct batch *b, const struct ml_append *append)
{
    struct document *d = b->documents;

    for (; d < b->documents + b->document_count; d++)
        if (ml_slice_equal(d->org, append->org) && ml_slice_equal(d->name, append->name))
            break;
    if (d == b->documents + b->document_count) {
        *d = (struct document){.org = append->org, .name = append->name};
        b->document_count++;
    }
    return (size_t)(d - b->documents);
}

static void batch_release(struct batch *b)
{
    ml_pg_args_release(&b->args);
    free(b->documents);
    free(b->document_of);
    free(b->rows);
}

static bool batch_init(struct batch *b, struct ml_pg *pg, struct ml_append **appends, size_t count)
{
    size_t rows = 0, at = 0;

    *b = (struct batch){.pg = pg, .appends = appends, .count = count};
    ml_pg_args_init(&b->args);
    for (size_t i = 0; i < count; i++)
        rows += appends[i]->count;
    b->documents = calloc(count, sizeof *b->documents);
    b->document_of = calloc(count, sizeof *b->document_of);
    b->rows = calloc(rows + 1, sizeof *b->rows);
    if (!b->documents || !b->document_of || !b->rows) {
        batch_release(b);
        return false;
    }
    for (size_t i = 0; i < count; i++)
        b->document_of[i] = document_index(b, appends[i]);
    for (size_t i = 0; i < count; i++)
        for (size_t r = 0; r < appends[i]->count; r++)
            b->rows[at++] = (struct row){.record = &appends[i]->records[r],
                                         .document = &b->documents[b->document_of[i]]};
    b->row_count = at;
    return true;
}

/* ---- The first round trip: what is there ---------------------------------------------------- */

static enum ml_err send_find(struct batch *b, struct ml_diag *diag)
{
    ml_pg_args_reset(&b->args);
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, b->document_count);
    for (size_t i = 0; i < b->document_count; i++)
        ml_pg_item(&b->args, b->documents[i].org);
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, b->document_count);
    for (size_t i = 0; i < b->document_count; i++)
        ml_pg_item(&b->args, b->documents[i].name);
    return ml_pg_send(b->pg, SQL_FIND, &b->args, diag);
}

static enum ml_err send_repeats(struct batch *b, struct ml_diag *diag)
{
    ml_pg_args_reset(&b->args);
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, b->row_count);
    for (size_t i = 0; i < b->row_count; i++)
        ml_pg_item(&b->args, b->rows[i].document->org);
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, b->row_count);
    for (size_t i = 0; i < b->row_count; i++)
        ml_pg_item(&b->args, b->rows[i].document->name);
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, b->row_count);
    for (size_t i = 0; i < b->row_count; i++)
        if (b->rows[i].record->session.len)
            ml_pg_item(&b->args, b->rows[i].record->session);
        else
            ml_pg_item_null(&b->args);
    ml_pg_array(&b->args, ML_PG_INT8_ARRAY, b->row_count);
    for (size_t i = 0; i < b->row_count; i++)
        ml_pg_item_int8(&b->args, (int64_t)b->rows[i].record->message_no);
    return ml_pg_send(b->pg, SQL_REPEATS, &b->args, diag);
}

static void forget_documents(struct batch *b)
{
    for (size_t i = 0; i < b->document_count; i++) {
        struct document *d = &b->documents[i];

        *d = (struct document){.org = d->org, .name = d->name};
    }
    for (size_t i = 0; i < b->row_count; i++) {
        b->rows[i].stored = 0;
        b->rows[i].goes_in = false;
        b->rows[i].record->repeated = false;
    }
}

static void take_documents(struct batch *b, const PGresult *result)
{
    for (int i = 0; i < PQntuples(result); i++) {
        struct document *d = &b->documents[ml_pg_number(result, i, 0) - 1];
        struct ml_slice id = ml_pg_bytes(result, i, 1);

        ML_ASSERT(id.len == sizeof d->id);
        memcpy(d->id, id.ptr, sizeof d->id);
        d->exists = true;
        d->epoch = (uint64_t)ml_pg_number(result, i, 2);
        d->head = d->old_head = (uint64_t)ml_pg_number(result, i, 3);
        d->checksum = (uint32_t)ml_pg_number(result, i, 4);
        d->snapshot_seq = (uint64_t)ml_pg_number(result, i, 5);
        d->deleted = ml_pg_number(result, i, 6) != 0;
    }
}

/* The next result of the batch; NULL: it failed, and so will the rest. */
static PGresult *next(struct batch *b, struct ml_diag *diag)
{
    PGresult *result = b->state[0] ? NULL : ml_pg_result(b->pg, b->state, diag);

    if (!result && !b->state[0])
        memcpy(b->state, "08000", 6); /* the connection is gone */
    return result;
}

static bool next_is_done(struct batch *b, struct ml_diag *diag)
{
    PGresult *result = next(b, diag);

    PQclear(result);
    return result != NULL;
}

static enum ml_err look(struct batch *b, bool with_rows, struct ml_diag *diag)
{
    enum ml_err err = ml_pg_send(b->pg, SQL_BEGIN, NULL, diag);
    PGresult *result;

    forget_documents(b);
    if (!err)
        err = send_find(b, diag);
    if (!err && with_rows)
        err = send_repeats(b, diag);
    if (!err)
        err = ml_pg_sync(b->pg, diag);
    if (err)
        return err;
    b->state[0] = '\0';
    (void)next_is_done(b, diag);
    result = next(b, diag);
    if (result)
        take_documents(b, result);
    PQclear(result);
    result = with_rows ? next(b, diag) : NULL;
    for (int i = 0; i < PQntuples(result); i++)
        b->rows[ml_pg_number(result, i, 0) - 1].stored = (uint64_t)ml_pg_number(result, i, 1);
    PQclear(result);
    err = ml_pg_drain(b->pg, b->state[0] ? NULL : diag);
    return b->state[0] ? ML_EIO : err;
}

/* ---- What goes in --------------------------------------------------------------------------- */

/* Its key may also stand in this very batch, before it. */
static void find_in_batch(const struct batch *b, struct row *row)
{
    const struct ml_record *record = row->record;

    if (!record->session.len)
        return;
    for (const struct row *r = b->rows; r < row && !row->stored; r++)
        if (r->goes_in && r->document == row->document &&
            r->record->message_no == record->message_no &&
            ml_slice_equal(r->record->session, record->session))
            row->stored = r->record->seq;
}

static void mark_repeat(const struct batch *b, struct row *row)
{
    find_in_batch(b, row);
    row->record->repeated = row->stored != 0;
    if (row->stored)
        row->record->seq = row->stored;
}

static enum ml_err make_document(struct document *d, const struct ml_append *append)
{
    int64_t at_ms = append->count ? append->records[0].at_ms : ml_clock_wall_ms();

    if (getrandom(d->id, sizeof d->id, 0) != (ssize_t)sizeof d->id)
        return ML_EIO;
    d->exists = d->is_new = true;
    d->epoch = 1;
    d->created_ms = d->updated_ms = at_ms;
    return ML_OK;
}

static void put_in(struct row *row)
{
    struct document *d = row->document;
    struct ml_record *record = row->record;
    struct ml_record_sum sum = {
        .document = d->id,
        .seq = d->head + 1,
        .epoch = d->epoch,
        .at_ms = record->at_ms,
        .message_no = record->message_no,
        .previous = d->checksum,
        .author = record->author,
        .session = record->session,
        .bytes = ml_blob_slice(record->bytes),
    };

    row->goes_in = true;
    row->previous = d->checksum;
    row->checksum = ml_record_checksum(&sum);
    record->seq = d->head = sum.seq;
    d->checksum = row->checksum;
    d->rows++;
    d->bytes += record->bytes->len;
    d->updated_ms = record->at_ms;
}

/* Everything that can refuse an append stands before it changes the document. */
static enum ml_err decide(struct batch *b, struct ml_append *append, struct document *d,
                          struct row *rows)
{
    bool is_repeat = append->count > 0;

    append->err = ML_OK;
    append->head = d->head;
    if (d->deleted) {
        ml_request_fail(&append->node, append->creates ? ML_ECONFLICT : ML_ENOTFOUND,
                        "the document is deleted");
        return ML_OK;
    }
    for (size_t i = 0; i < append->count; i++) {
        mark_repeat(b, &rows[i]);
        is_repeat &= rows[i].record->repeated;
    }
    if (append->creates && d->exists && !ml_append_is_repeat(append)) {
        ml_request_fail(&append->node, ML_ECONFLICT, "the document is there already");
        return ML_OK;
    }
    if (append->expected_head != ML_SEQ_ANY && append->expected_head != d->head &&
        ml_append_is_late(append, d->head)) {
        ml_request_fail(&append->node, ML_EMOVED, NULL);
        return ML_OK;
    }
    if (!d->exists && make_document(d, append))
        return ML_EIO;
    for (size_t i = 0; i < append->count && !is_repeat; i++) {
        mark_repeat(b, &rows[i]);
        if (!rows[i].record->repeated)
            put_in(&rows[i]);
    }
    append->head = d->head;
    return ML_OK;
}

/* ---- The second round trip ------------------------------------------------------------------ */

typedef void put_column(struct ml_pg_args *args, const struct document *d);

static void put_org(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item(args, d->org);
}

static void put_name(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item(args, d->name);
}

static void put_id(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item(args, ml_slice_make(d->id, sizeof d->id));
}

static void put_created(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item_int8(args, d->created_ms);
}

static void put_old_head(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item_int8(args, (int64_t)d->old_head);
}

static void put_head(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item_int8(args, (int64_t)d->head);
}

static void put_checksum(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item_int8(args, d->checksum);
}

static void put_bytes(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item_int8(args, (int64_t)d->bytes);
}

static void put_updated(struct ml_pg_args *args, const struct document *d)
{
    ml_pg_item_int8(args, d->updated_ms);
}

static bool is_new(const struct document *d)
{
    return d->is_new;
}

static bool has_rows(const struct document *d)
{
    return d->rows > 0;
}

/* One column of the documents that `wanted` says. */
static void document_column(struct batch *b, Oid type, bool (*wanted)(const struct document *d),
                            size_t count, put_column *put)
{
    ml_pg_array(&b->args, type, count);
    for (size_t i = 0; i < b->document_count; i++)
        if (wanted(&b->documents[i]))
            put(&b->args, &b->documents[i]);
}

static size_t count_documents(const struct batch *b, bool (*wanted)(const struct document *d))
{
    size_t count = 0;

    for (size_t i = 0; i < b->document_count; i++)
        count += wanted(&b->documents[i]);
    return count;
}

static enum ml_err send_new(struct batch *b, size_t count, struct ml_diag *diag)
{
    enum ml_err err;

    ml_pg_args_reset(&b->args);
    document_column(b, ML_PG_TEXT_ARRAY, is_new, count, put_org);
    document_column(b, ML_PG_INT8_ARRAY, is_new, count, put_created);
    err = ml_pg_send(b->pg, SQL_ORGS, &b->args, diag);
    if (err)
        return err;
    ml_pg_args_reset(&b->args);
    document_column(b, ML_PG_TEXT_ARRAY, is_new, count, put_org);
    document_column(b, ML_PG_BYTEA_ARRAY, is_new, count, put_id);
    document_column(b, ML_PG_TEXT_ARRAY, is_new, count, put_name);
    document_column(b, ML_PG_INT8_ARRAY, is_new, count, put_created);
    return ml_pg_send(b->pg, SQL_DOCUMENTS, &b->args, diag);
}

static void row_texts(struct batch *b, size_t count)
{
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, count);
    for (size_t i = 0; i < b->row_count; i++)
        if (b->rows[i].goes_in && b->rows[i].record->author.len)
            ml_pg_item(&b->args, b->rows[i].record->author);
        else if (b->rows[i].goes_in)
            ml_pg_item_null(&b->args);
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, count);
    for (size_t i = 0; i < b->row_count; i++)
        if (b->rows[i].goes_in && b->rows[i].record->session.len)
            ml_pg_item(&b->args, b->rows[i].record->session);
        else if (b->rows[i].goes_in)
            ml_pg_item_null(&b->args);
    ml_pg_array(&b->args, ML_PG_INT8_ARRAY, count);
    for (size_t i = 0; i < b->row_count; i++)
        if (b->rows[i].goes_in && b->rows[i].record->session.len)
            ml_pg_item_int8(&b->args, (int64_t)b->rows[i].record->message_no);
        else if (b->rows[i].goes_in)
            ml_pg_item_null(&b->args);
}

static enum ml_err send_records(struct batch *b, size_t count, struct ml_diag *diag)
{
    struct ml_pg_args *args = &b->args;

#define COLUMN(type, put)                                                                          \
    ml_pg_array(args, type, count);                                                                \
    for (const struct row *r = b->rows; r < b->rows + b->row_count; r++)                           \
        if (r->goes_in)                                                                            \
    put
    ml_pg_args_reset(args);
    COLUMN(ML_PG_TEXT_ARRAY, put_org(args, r->document));
    COLUMN(ML_PG_BYTEA_ARRAY, put_id(args, r->document));
    COLUMN(ML_PG_INT8_ARRAY, ml_pg_item_int8(args, (int64_t)r->record->seq));
    COLUMN(ML_PG_INT8_ARRAY, ml_pg_item_int8(args, (int64_t)r->document->epoch));
    COLUMN(ML_PG_INT8_ARRAY, ml_pg_item_int8(args, r->record->at_ms));
    row_texts(b, count);
    COLUMN(ML_PG_INT8_ARRAY, ml_pg_item_int8(args, r->previous));
    COLUMN(ML_PG_INT8_ARRAY, ml_pg_item_int8(args, r->checksum));
    COLUMN(ML_PG_BYTEA_ARRAY, ml_pg_item(args, ml_blob_slice(r->record->bytes)));
#undef COLUMN
    return ml_pg_send(b->pg, SQL_RECORDS, args, diag);
}

static enum ml_err send_heads(struct batch *b, size_t count, struct ml_diag *diag)
{
    ml_pg_args_reset(&b->args);
    document_column(b, ML_PG_TEXT_ARRAY, has_rows, count, put_org);
    document_column(b, ML_PG_BYTEA_ARRAY, has_rows, count, put_id);
    document_column(b, ML_PG_INT8_ARRAY, has_rows, count, put_old_head);
    document_column(b, ML_PG_INT8_ARRAY, has_rows, count, put_head);
    document_column(b, ML_PG_INT8_ARRAY, has_rows, count, put_checksum);
    document_column(b, ML_PG_INT8_ARRAY, has_rows, count, put_bytes);
    document_column(b, ML_PG_INT8_ARRAY, has_rows, count, put_updated);
    return ml_pg_send(b->pg, SQL_HEADS, &b->args, diag);
}

/* Did the next statement change so many rows? */
static bool next_changes(struct batch *b, size_t count, struct ml_diag *diag)
{
    PGresult *result = next(b, diag);
    bool all = result && strtoull(PQcmdTuples(result), NULL, 10) == count;

    PQclear(result);
    return all;
}

static bool next_commits(struct batch *b, struct ml_diag *diag)
{
    PGresult *result = next(b, diag);
    bool committed = result && strcmp(PQcmdStatus(result), "COMMIT") == 0;

    PQclear(result);
    return committed;
}

static enum ml_err write_all(struct batch *b, struct ml_diag *diag)
{
    size_t fresh = count_documents(b, is_new), moved = count_documents(b, has_rows), rows = 0;
    enum ml_err err = ML_OK;
    bool committed;

    for (size_t i = 0; i < b->row_count; i++)
        rows += b->rows[i].goes_in;
    if (fresh)
        err = send_new(b, fresh, diag);
    if (!err && rows)
        err = send_records(b, rows, diag);
    if (!err && rows)
        err = send_heads(b, moved, diag);
    if (!err)
        err = ml_pg_send(b->pg, SQL_COMMIT, NULL, diag);
    if (!err)
        err = ml_pg_sync(b->pg, diag);
    if (err)
        return err;
    b->state[0] = '\0';
    if (fresh) {
        (void)next_is_done(b, diag);
        if (!next_is_done(b, diag)) /* one of them was made by somebody else meanwhile */
            b->again = strcmp(b->state, "23505") == 0;
    }
    if (rows) {
        (void)next_changes(b, rows, diag);
        if (!next_changes(b, moved, diag) && !b->state[0])
            memcpy(b->state, "23000", 6); /* under the lock the head did not stand where it stood */
    }
    committed = next_commits(b, diag);
    err = ml_pg_drain(b->pg, b->state[0] ? NULL : diag);
    return !err && committed && !b->state[0] ? ML_OK : ML_EIO;
}

/* ---- A batch -------------------------------------------------------------------------------- */

static enum ml_err try_once(struct batch *b, struct ml_diag *diag)
{
    enum ml_err err = look(b, true, diag);
    size_t at = 0;

    for (size_t i = 0; i < b->count && !err; i++) {
        err = decide(b, b->appends[i], &b->documents[b->document_of[i]], &b->rows[at]);
        at += b->appends[i]->count;
    }
    return err ? err : write_all(b, diag);
}

static bool is_worth_another_try(const struct batch *b)
{
    return b->again || strcmp(b->state, "40001") == 0 || strcmp(b->state, "40P01") == 0;
}

/* ML_EIO with b->state of a document's fault: not committed, and not the database's fault. */
static enum ml_err try_batch(struct batch *b, struct ml_diag *diag)
{
    enum ml_err err = ML_EIO;

    for (int attempt = 0; attempt < ATTEMPTS && err; attempt++) {
        b->again = false;
        b->state[0] = '\0';
        err = try_once(b, diag);
        if (!err)
            break;
        if (PQstatus(b->pg->conn) != CONNECTION_OK || ml_pg_run(b->pg, SQL_ROLLBACK, NULL))
            return err;
        if (!is_worth_another_try(b))
            break;
    }
    return err;
}

static enum ml_err commit(struct ml_pg *pg, struct ml_append **appends, size_t count,
                          struct ml_journal_stats *stats, struct ml_diag *diag)
{
    struct batch b;
    enum ml_err err;
    bool is_documents;

    if (!batch_init(&b, pg, appends, count))
        return ml_diag_set(diag, ML_EIO, 0, "out of memory");
    err = try_batch(&b, diag);
    is_documents =
        err && PQstatus(pg->conn) == CONNECTION_OK && ml_pg_is_fault_of_document(b.state);
    if (!err) {
        stats->commits++;
        for (size_t i = 0; i < b.document_count; i++) {
            stats->rows += b.documents[i].rows;
            stats->bytes += b.documents[i].bytes;
        }
    }
    batch_release(&b);
    if (!is_documents)
        return err;
    if (count == 1) {
        ml_request_fail(&appends[0]->node, ML_EFORMAT, diag ? diag->text : NULL);
        return ML_OK;
    }
    for (size_t i = 0; i < count; i++) {
        err = commit(pg, &appends[i], 1, stats, diag); /* one deep: a batch of one */
        if (err)
            return err;
    }
    return ML_OK;
}

enum ml_err ml_pg_commit_appends(struct ml_pg *pg, struct ml_append **appends, size_t count,
                                 struct ml_journal_stats *stats, struct ml_diag *diag)
{
    ML_ASSERT(pg->conn);
    return count ? commit(pg, appends, count, stats, diag) : ML_OK;
}

/* ---- One document, alone: snapshots and tombstones ------------------------------------------ */

static void keyed(struct batch *b, const struct document *d)
{
    ml_pg_args_reset(&b->args);
    ml_pg_text(&b->args, d->org);
    ml_pg_bytea(&b->args, ml_slice_make(d->id, sizeof d->id));
}

/* The `nth` snapshot at or below put->seq that can be read, newest first; 0: there are fewer. */
static enum ml_err nth_good_snapshot(struct batch *b, const struct ml_snapshot_put *put,
                                     uint32_t nth, uint64_t *seq_out, struct ml_diag *diag)
{
    const struct document *d = &b->documents[0];
    PGresult *result;
    uint32_t good = 0;
    enum ml_err err;

    *seq_out = 0;
    keyed(b, d);
    ml_pg_int8(&b->args, (int64_t)put->seq);
    ml_pg_int8(&b->args, (int64_t)nth + 8); /* a few damaged ones among them */
    err = ml_pg_send(b->pg, SQL_KEPT_SNAPSHOTS, &b->args, diag);
    if (!err)
        err = ml_pg_sync(b->pg, diag);
    if (err)
        return err;
    b->state[0] = '\0';
    result = next(b, diag);
    for (int i = 0; i < PQntuples(result) && good < nth; i++) {
        struct ml_snapshot_sum sum = {
            .document = d->id,
            .seq = (uint64_t)ml_pg_number(result, i, 0),
            .epoch = (uint64_t)ml_pg_number(result, i, 1),
            .codec = (uint8_t)ml_pg_number(result, i, 2),
            .state_bytes = (uint64_t)ml_pg_number(result, i, 3),
            .state_vector = ml_pg_bytes(result, i, 5),
            .state = ml_pg_bytes(result, i, 6),
        };

        if (ml_snapshot_checksum(&sum) == (uint32_t)ml_pg_number(result, i, 4) && ++good == nth)
            *seq_out = sum.seq;
    }
    PQclear(result);
    err = ml_pg_drain(b->pg, b->state[0] ? NULL : diag);
    return b->state[0] ? ML_EIO : err;
}

static enum ml_err send_snapshot(struct batch *b, const struct ml_snapshot_put *put,
                                 struct ml_diag *diag)
{
    const struct document *d = &b->documents[0];
    struct ml_snapshot_sum sum = {
        .document = d->id,
        .seq = put->seq,
        .epoch = put->epoch,
        .codec = put->node.codec,
        .state_bytes = put->state->len,
        .state_vector = ml_blob_slice(put->state_vector),
        .state = ml_blob_slice(put->node.packed),
    };

    keyed(b, d);
    ml_pg_int8(&b->args, (int64_t)sum.seq);
    ml_pg_int8(&b->args, (int64_t)sum.epoch);
    ml_pg_int8(&b->args, put->at_ms);
    ml_pg_int8(&b->args, sum.codec);
    ml_pg_int8(&b->args, (int64_t)sum.state_bytes);
    ml_pg_int8(&b->args, ml_snapshot_checksum(&sum));
    ml_pg_bytea(&b->args, sum.state_vector);
    ml_pg_bytea(&b->args, sum.state);
    return ml_pg_send(b->pg, SQL_PUT_SNAPSHOT, &b->args, diag);
}

static enum ml_err send_move(struct batch *b, const struct ml_snapshot_put *put,
                             uint64_t drop_below, struct ml_diag *diag)
{
    enum ml_err err = ML_OK;

    if (drop_below) {
        keyed(b, &b->documents[0]);
        ml_pg_int8(&b->args, (int64_t)drop_below);
        err = ml_pg_send(b->pg, SQL_DROP_SNAPSHOTS, &b->args, diag);
    }
    if (!err) {
        keyed(b, &b->documents[0]);
        ml_pg_int8(&b->args, (int64_t)put->seq);
        ml_pg_int8(&b->args, (int64_t)put->epoch);
        err = ml_pg_send(b->pg, SQL_MOVE_SNAPSHOT, &b->args, diag);
    }
    return err;
}

/* Send COMMIT after `before` statements, the last of which must change one row. */
static enum ml_err finish(struct batch *b, unsigned before, struct ml_diag *diag)
{
    enum ml_err err = ml_pg_send(b->pg, SQL_COMMIT, NULL, diag);
    bool committed;

    if (!err)
        err = ml_pg_sync(b->pg, diag);
    if (err)
        return err;
    b->state[0] = '\0';
    for (unsigned i = 1; i < before; i++)
        (void)next_is_done(b, diag);
    if (before && !next_changes(b, 1, diag) && !b->state[0])
        memcpy(b->state, "23000", 6);
    committed = next_commits(b, diag);
    err = ml_pg_drain(b->pg, b->state[0] ? NULL : diag);
    return !err && committed && !b->state[0] ? ML_OK : ML_EIO;
}

/* The newest may be put again only if the stored one is damaged: never over a good copy. */
static enum ml_err check_conflict(struct batch *b, const struct ml_snapshot_put *put,
                                  bool *conflict_out, struct ml_diag *diag)
{
    const struct document *d = &b->documents[0];
    uint64_t good_seq = 0;
    enum ml_err err = ML_OK;

    *conflict_out = put->epoch != d->epoch || put->seq > d->head || put->seq < d->snapshot_seq;
    if (!*conflict_out) {
        err = nth_good_snapshot(b, put, 1, &good_seq, diag);
        *conflict_out = good_seq == put->seq;
    }
    return err;
}

static enum ml_err write_snapshot(struct batch *b, struct ml_snapshot_put *put,
                                  struct ml_diag *diag)
{
    uint32_t keep = put->keep < ML_KEEP_MIN ? ML_KEEP_MIN : put->keep;
    const struct document *d = &b->documents[0];
    uint64_t oldest = 0;
    bool conflict = false;
    enum ml_err err = look(b, false, diag);

    put->err = ML_OK;
    if (!err && (!d->exists || d->deleted))
        ml_request_fail(&put->node, ML_ENOTFOUND, NULL);
    else if (!err)
        err = check_conflict(b, put, &conflict, diag);
    if (err)
        return err;
    if (conflict)
        ml_request_fail(&put->node, ML_ECONFLICT,
                        "another epoch, beyond the head, or a newer snapshot is there");
    if (put->err)
        return finish(b, 0, diag);
    /* With the new one, `keep` good ones stay: the old ones that can be read up to keep - 1. */
    err = nth_good_snapshot(b, put, keep - 1, &oldest, diag);
    if (!err)
        err = send_snapshot(b, put, diag);
    if (!err)
        err = send_move(b, put, oldest, diag);
    return err ? err : finish(b, oldest ? 3 : 2, diag);
}

/* One request by itself, in `b`. A fault of the document ends as ML_EFORMAT of the request. */
static enum ml_err alone_init(struct batch *b, struct ml_pg *pg, struct ml_slice org,
                              struct ml_slice name)
{
    *b = (struct batch){.pg = pg, .document_count = 1};
    ml_pg_args_init(&b->args);
    b->documents = calloc(1, sizeof *b->documents);
    if (!b->documents)
        return ML_ELIMIT;
    b->documents[0].org = org;
    b->documents[0].name = name;
    return ML_OK;
}

static enum ml_err alone_end(struct batch *b, enum ml_err err, struct ml_journal_node *node,
                             struct ml_diag *diag)
{
    struct ml_pg *pg = b->pg;
    bool is_documents = err && ml_pg_is_fault_of_document(b->state);

    batch_release(b);
    if (err && (PQstatus(pg->conn) != CONNECTION_OK || ml_pg_run(pg, SQL_ROLLBACK, NULL)))
        return ML_EIO;
    if (!is_documents)
        return err;
    ml_request_fail(node, ML_EFORMAT, diag ? diag->text : NULL);
    return ML_OK;
}

enum ml_err ml_pg_commit_snapshot(struct ml_pg *pg, struct ml_snapshot_put *put,
                                  struct ml_diag *diag)
{
    struct batch b;

    ML_ASSERT(pg->conn && put->node.packed);
    if (alone_init(&b, pg, put->org, put->name))
        return ml_diag_set(diag, ML_EIO, 0, "out of memory");
    return alone_end(&b, write_snapshot(&b, put, diag), &put->node, diag);
}

static enum ml_err write_deleted(struct batch *b, struct ml_set_deleted *request,
                                 struct ml_diag *diag)
{
    const struct document *d = &b->documents[0];
    enum ml_err err = look(b, false, diag);

    request->err = ML_OK;
    if (err)
        return err;
    if (!d->exists)
        ml_request_fail(&request->node, ML_ENOTFOUND, NULL);
    request->changed = d->exists && request->deleted != d->deleted;
    if (!request->changed)
        return finish(b, 0, diag);
    keyed(b, d);
    if (request->deleted)
        ml_pg_int8(&b->args, request->at_ms);
    else
        ml_pg_null(&b->args);
    err = ml_pg_send(b->pg, SQL_SET_DELETED, &b->args, diag);
    return err ? err : finish(b, 1, diag);
}

enum ml_err ml_pg_commit_deleted(struct ml_pg *pg, struct ml_set_deleted *request,
                                 struct ml_diag *diag)
{
    struct batch b;

    ML_ASSERT(pg->conn);
    if (alone_init(&b, pg, request->org, request->name))
        return ml_diag_set(diag, ML_EIO, 0, "out of memory");
    return alone_end(&b, write_deleted(&b, request, diag), &request->node, diag);
}
