/* SPDX-License-Identifier: MIT */
/*
 * What is written to PostgreSQL: many appends, one transaction, two round trips.
 *
 *   BEGIN
 *   lock the orgs, are they open?   ─┐ postgres_fence.c
 *   find the documents FOR UPDATE   │ from here on nobody else gives numbers in them
 *   find keys that are stored      ─┘ first answer: decide here, document by document
 *   orgs and documents that are new ─┐
 *   records                          │
 *   heads                            │
 *   claims                           │
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
    SQL_CLAIMS,
    SQL_TAKEN,
    SQL_TOUCH,
};

#define CLAIMS_K                                                                                   \
    " FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[]) WITH ORDINALITY"              \
    " AS k (org, document, client, author, at)"

const char *const ml_pg_write_sql[ML_PG_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN ISOLATION LEVEL READ COMMITTED", /* each statement sees what is now */
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FIND] =
        "SELECT k.at, d.document, d.epoch, d.head, d.head_checksum,"
        " d.deleted_ms IS NOT NULL"
        " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (org, name, at)"
        " JOIN documents d ON d.org = k.org COLLATE \"C\" AND d.name = k.name COLLATE \"C\""
        " ORDER BY d.org, d.document FOR UPDATE OF d",
    /* Behind LATERAL and LIMIT all four columns are conditions of the index: as a plain join the
     * session may become a filter over all records of the document, while the tables are young. */
    [SQL_REPEATS] =
        "SELECT k.at, r.seq FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])"
        " WITH ORDINALITY AS k (org, name, session, message_no, at)"
        " JOIN documents d ON d.org = k.org COLLATE \"C\" AND d.name = k.name COLLATE \"C\""
        " JOIN LATERAL (SELECT seq FROM records WHERE org = d.org AND document = d.document"
        "  AND session = k.session COLLATE \"C\" AND message_no = k.message_no LIMIT 1) r ON true",
    [SQL_ORGS] = "INSERT INTO orgs (org, created_ms) SELECT * FROM unnest($1::text[], $2::bigint[])"
                 " ON CONFLICT (org) DO NOTHING",
    [SQL_DOCUMENTS] = "INSERT INTO documents (org, document, name, created_ms, updated_ms)"
                      " SELECT k.org, k.document, k.name, k.at, k.at"
                      " FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bigint[])"
                      " AS k (org, document, name, at)",
    [SQL_RECORDS] =
        "INSERT INTO records (org, document, seq, epoch, format, at_ms, author, session, "
        "message_no,"
        " previous, checksum, bytes, labels)"
        " SELECT k.org, k.document, k.seq, k.epoch, 1, k.at, k.author, k.session, k.no, k.previous,"
        " k.checksum, k.bytes, k.labels"
        " FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], "
        "$6::text[],"
        " $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[],"
        " $12::text[])"
        " AS k (org, document, seq, epoch, at, author, session, no, previous, checksum, bytes,"
        " labels)",
    [SQL_HEADS] =
        "UPDATE documents d SET head = k.head, head_checksum = k.checksum,"
        " record_bytes = d.record_bytes + k.bytes, updated_ms = k.at"
        " FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], "
        "$6::bigint[],"
        " $7::bigint[]) AS k (org, document, old_head, head, checksum, bytes, at)"
        " WHERE d.org = k.org COLLATE \"C\" AND d.document = k.document AND d.head = k.old_head",
    [SQL_CLAIMS] = "INSERT INTO authors (org, document, client, author, first_seen_ms)"
                   " SELECT k.org, k.document, k.client, k.author, $5::bigint" CLAIMS_K
                   " WHERE k.author IS NOT NULL ORDER BY 1, 2, 3 ON CONFLICT (org, document, "
                   "client) DO NOTHING",
    [SQL_TAKEN] = "SELECT k.at" CLAIMS_K " JOIN authors a ON a.org = k.org COLLATE \"C\""
                  " AND a.document = k.document AND a.client = k.client"
                  " WHERE a.author IS DISTINCT FROM k.author AND $5::bigint > 0",
    /* Who moves an org looks for documents whose row has changed. */
    [SQL_TOUCH] = "UPDATE documents d SET updated_ms = d.updated_ms"
                  " FROM unnest($1::text[], $2::bytea[]) AS k (org, document)"
                  " WHERE d.org = k.org COLLATE \"C\" AND d.document = k.document",
    [ML_PG_SQL_GATE] = ml_pg_gate_sql,
    [ML_PG_SQL_FENCE] = ml_pg_fence_sql,
    [ML_PG_SQL_FENCE_BATCH] = ml_pg_fence_batch_sql,
};

/* A document of the batch, as it stands after what the batch has decided so far. */
struct document {
    struct ml_slice org, name;
    bool exists, deleted, is_new;
    enum ml_gate gate; /* of its org */
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    uint64_t epoch, old_head, head;
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

/* A claim of the batch. */
struct put_claim {
    struct ml_claim *claim;
    const struct document *document;
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
    struct put_claim *claims; /* of all appends that go in */
    size_t claim_count;
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
    free(b->claims);
}

static bool batch_init(struct batch *b, struct ml_pg *pg, struct ml_append **appends, size_t count)
{
    size_t rows = 0, claims = 0, at = 0;

    *b = (struct batch){.pg = pg, .appends = appends, .count = count};
    ml_pg_args_init(&b->args);
    for (size_t i = 0; i < count; i++)
        rows += appends[i]->count, claims += appends[i]->claim_count;
    b->documents = calloc(count, sizeof *b->documents);
    b->document_of = calloc(count, sizeof *b->document_of);
    b->rows = calloc(rows + 1, sizeof *b->rows);
    b->claims = calloc(claims + 1, sizeof *b->claims);
    if (!b->documents || !b->document_of || !b->rows || !b->claims) {
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

static enum ml_err send_orgs(struct batch *b, int which, struct ml_diag *diag)
{
    ml_pg_args_reset(&b->args);
    ml_pg_array(&b->args, ML_PG_TEXT_ARRAY, b->document_count);
    for (size_t i = 0; i < b->document_count; i++)
        ml_pg_item(&b->args, b->documents[i].org);
    return ml_pg_send(b->pg, which, &b->args, diag);
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
    b->claim_count = 0;
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
        d->deleted = ml_pg_number(result, i, 5) != 0;
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

static enum ml_err look(struct batch *b, struct ml_diag *diag)
{
    enum ml_err err = ml_pg_send(b->pg, SQL_BEGIN, NULL, diag);
    PGresult *result;

    forget_documents(b);
    if (!err)
        err = send_orgs(b, ML_PG_SQL_FENCE_BATCH, diag);
    if (!err)
        err = send_orgs(b, ML_PG_SQL_GATE, diag);
    if (!err)
        err = send_find(b, diag);
    if (!err)
        err = send_repeats(b, diag);
    if (!err)
        err = ml_pg_sync(b->pg, diag);
    if (err)
        return err;
    b->state[0] = '\0';
    (void)next_is_done(b, diag);
    (void)next_is_done(b, diag);
    result = next(b, diag);
    for (int i = 0; i < PQntuples(result); i++)
        b->documents[ml_pg_number(result, i, 0) - 1].gate =
            (enum ml_gate)ml_pg_number(result, i, 1);
    PQclear(result);
    result = next(b, diag);
    if (result)
        take_documents(b, result);
    PQclear(result);
    result = next(b, diag);
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
    if (ml_gate_turns_away(d->gate, &append->node))
        return ML_OK;
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
    for (size_t i = 0; i < append->claim_count; i++) {
        append->claims[i].is_taken = false;
        b->claims[b->claim_count++] = (struct put_claim){&append->claims[i], d};
    }
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

static void put_labels(struct ml_pg_args *args, const struct ml_record *record)
{
    if (record->labels.len)
        ml_pg_item(args, record->labels);
    else
        ml_pg_item_null(args);
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
    COLUMN(ML_PG_TEXT_ARRAY, put_labels(args, r->record));
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

static void put_claimant(struct ml_pg_args *args, const struct ml_claim *claim)
{
    if (claim->only_look)
        ml_pg_item_null(args);
    else
        ml_pg_item(args, claim->user);
}

/* The claims, and then which of them are others'. */
static enum ml_err send_claims(struct batch *b, struct ml_diag *diag)
{
    struct ml_pg_args *args = &b->args;
    enum ml_err err;

#define COLUMN(type, put)                                                                          \
    ml_pg_array(args, type, b->claim_count);                                                       \
    for (const struct put_claim *c = b->claims; c < b->claims + b->claim_count; c++)               \
    put
    ml_pg_args_reset(args);
    COLUMN(ML_PG_TEXT_ARRAY, put_org(args, c->document));
    COLUMN(ML_PG_BYTEA_ARRAY, put_id(args, c->document));
    err = ml_pg_send(b->pg, SQL_TOUCH, args, diag);
    COLUMN(ML_PG_INT8_ARRAY, ml_pg_item_int8(args, (int64_t)c->claim->client));
    COLUMN(ML_PG_TEXT_ARRAY, put_claimant(args, c->claim));
#undef COLUMN
    ml_pg_int8(args, ml_clock_wall_ms());
    if (!err)
        err = ml_pg_send(b->pg, SQL_CLAIMS, args, diag);
    return err ? err : ml_pg_send(b->pg, SQL_TAKEN, args, diag);
}

static void take_claims(struct batch *b, struct ml_diag *diag)
{
    PGresult *result;

    (void)next_is_done(b, diag);
    (void)next_is_done(b, diag);
    result = next(b, diag);
    for (int i = 0; i < PQntuples(result); i++)
        b->claims[ml_pg_number(result, i, 0) - 1].claim->is_taken = true;
    PQclear(result);
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
    if (!err && b->claim_count)
        err = send_claims(b, diag);
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
    if (b->claim_count)
        take_claims(b, diag);
    committed = next_commits(b, diag);
    err = ml_pg_drain(b->pg, b->state[0] ? NULL : diag);
    return !err && committed && !b->state[0] ? ML_OK : ML_EIO;
}

/* ---- A batch -------------------------------------------------------------------------------- */

static enum ml_err try_once(struct batch *b, struct ml_diag *diag)
{
    enum ml_err err = look(b, diag);
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
            const struct document *d = &b.documents[i];

            stats->rows += d->rows;
            stats->bytes += d->bytes;
            if (d->rows)
                ml_pg_remember(pg->identity, d->org, d->id, d->head, d->checksum);
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
