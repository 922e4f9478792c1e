/* SPDX-License-Identifier: MIT */
/*
 * Loads, lists, facts and history from PostgreSQL, on a connection of their own: they do not wait
 * behind commits, and one repeatable-read transaction sees one moment. What a load checks is
 * chain.h.
 */
#include "journal/postgres.h"

#include "base/assert.h"
#include "journal/chain.h"
#include "journal/claims.h"

#include <stdlib.h>

#define AUTHORS_MAX    1000
#define TEXT_MAX_BYTES (4u << 20)
#define RECORDS_A_TURN 4096

enum {
    SQL_BEGIN,
    SQL_END,
    SQL_ROLLBACK,
    SQL_FIND,
    SQL_MOMENT,
    SQL_SNAPSHOT,
    SQL_CHECKSUM,
    SQL_RECORDS,
    SQL_LIST,
    SQL_DESCRIBE,
    SQL_AUTHORS,
    SQL_HISTORY,
    SQL_HEADS,
    SQL_CLAIMS,
};

const char *const ml_pg_read_sql[ML_PG_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN",
    [SQL_END] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_FIND] = "SELECT document, epoch, head, head_checksum, deleted_ms IS NOT NULL,"
                 " compacted_seq FROM documents WHERE org = $1::text AND name = $2::text",
    [SQL_MOMENT] = "SELECT seq FROM records WHERE org = $1::text AND document = $2::bytea"
                   " AND at_ms <= $3::bigint ORDER BY seq DESC LIMIT 1",
    [SQL_SNAPSHOT] =
        "SELECT seq, epoch, codec, state_bytes, checksum, state_vector, state FROM snapshots"
        " WHERE org = $1::text AND document = $2::bytea AND seq <= $3::bigint AND epoch = "
        "$4::bigint"
        " ORDER BY seq DESC LIMIT 1",
    [SQL_CHECKSUM] = "SELECT checksum FROM records WHERE org = $1::text AND document = $2::bytea"
                     " AND seq = $3::bigint",
    [SQL_RECORDS] = "SELECT seq, epoch, format, at_ms, author, session, message_no, previous,"
                    " checksum, bytes FROM records WHERE org = $1::text AND document = $2::bytea"
                    " AND seq > $3::bigint AND seq <= $4::bigint ORDER BY seq LIMIT $5::bigint",
    [SQL_LIST] =
        "SELECT name, head, snapshot_seq, record_bytes + snapshot_bytes, created_ms,"
        " updated_ms FROM documents WHERE org = $1::text AND name >= $2::text COLLATE \"C\""
        " AND deleted_ms IS NULL ORDER BY name LIMIT $3::bigint",
    [SQL_DESCRIBE] = "SELECT document, epoch, head, snapshot_seq, record_bytes, snapshot_bytes,"
                     " created_ms, updated_ms, deleted_ms"
                     " FROM documents WHERE org = $1::text AND name = $2::text",
    [SQL_AUTHORS] = "SELECT coalesce(author, '') COLLATE \"C\", count(*), max(at_ms) FROM records"
                    " WHERE org = $1::text AND document = $2::bytea AND seq > $3::bigint"
                    " GROUP BY 1 ORDER BY 1 LIMIT $4::bigint",
    [SQL_HISTORY] = "SELECT seq, length(bytes), at_ms, author, session, labels FROM records"
                    " WHERE org = $1::text AND document = $2::bytea AND seq < $3::bigint"
                    " ORDER BY seq DESC LIMIT $4::bigint",
    [SQL_HEADS] =
        "SELECT k.at, d.epoch, d.head, d.deleted_ms IS NOT NULL, d.document IS NOT NULL,"
        " " ML_PG_GATE_CASE
        " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (org, name, at)"
        " LEFT JOIN documents d ON d.org = k.org COLLATE \"C\" AND d.name = k.name COLLATE \"C\""
        " LEFT JOIN orgs o ON o.org = k.org COLLATE \"C\"",
    [SQL_CLAIMS] = "SELECT client, author FROM authors WHERE org = $1::text"
                   " AND document = $2::bytea ORDER BY author LIMIT $3::bigint",
    [ML_PG_SQL_GATE] = ml_pg_gate_sql,
};

/* One question after the other, in one transaction. */
struct reading {
    struct ml_pg *pg;
    struct ml_pg_args args;
    struct ml_diag *diag;
    struct ml_slice org, name;
    uint8_t id[ML_DOCUMENT_ID_BYTES];
    uint32_t head_checksum;
    uint64_t compacted_seq;
};

/* ---- Asking --------------------------------------------------------------------------------- */

/* NULL: ML_EIO, and diag says why. */
static PGresult *ask(struct reading *r, int which)
{
    char state[6];
    PGresult *result = NULL;

    if (ml_pg_send(r->pg, which, &r->args, r->diag) || ml_pg_sync(r->pg, r->diag))
        return NULL;
    result = ml_pg_result(r->pg, state, r->diag);
    if (ml_pg_drain(r->pg, result ? r->diag : NULL)) {
        PQclear(result);
        return NULL;
    }
    return result;
}

static enum ml_err begin(struct reading *r, struct ml_pg *pg, struct ml_slice org,
                         struct ml_slice name, struct ml_diag *diag)
{
    ML_ASSERT(pg->conn);
    *r = (struct reading){.pg = pg, .diag = diag, .org = org, .name = name};
    ml_pg_args_init(&r->args);
    return ml_pg_run(pg, SQL_BEGIN, diag);
}

/* The error that came first is the one that counts. */
static enum ml_err end(struct reading *r, enum ml_err err)
{
    ml_pg_args_release(&r->args);
    if (ml_pg_run(r->pg, err ? SQL_ROLLBACK : SQL_END, err ? NULL : r->diag) && !err)
        return ML_EIO;
    return err;
}

static void by_name(struct reading *r)
{
    ml_pg_args_reset(&r->args);
    ml_pg_text(&r->args, r->org);
    ml_pg_text(&r->args, r->name);
}

static void by_id(struct reading *r)
{
    ml_pg_args_reset(&r->args);
    ml_pg_text(&r->args, r->org);
    ml_pg_bytea(&r->args, ml_slice_make(r->id, sizeof r->id));
}

static enum ml_err take_id(struct reading *r, const PGresult *result)
{
    struct ml_slice id = ml_pg_bytes(result, 0, 0);

    if (id.len != sizeof r->id)
        return ml_diag_set(r->diag, ML_EFORMAT, 0, "the document's row is damaged");
    memcpy(r->id, id.ptr, sizeof r->id);
    return ML_OK;
}

/* ---- Loads ---------------------------------------------------------------------------------- */

static enum ml_err find(struct reading *r, struct ml_load *load)
{
    PGresult *result;
    enum ml_err err = ML_OK;

    by_name(r);
    result = ask(r, SQL_FIND);
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        load->exists = true;
        load->epoch = (uint64_t)ml_pg_number(result, 0, 1);
        load->head = (uint64_t)ml_pg_number(result, 0, 2);
        r->head_checksum = (uint32_t)ml_pg_number(result, 0, 3);
        r->compacted_seq = (uint64_t)ml_pg_number(result, 0, 5);
        err = take_id(r, result);
        if (!err && ml_pg_number(result, 0, 4))
            err = ml_diag_set(r->diag, ML_ENOTFOUND, 0, "the document is deleted");
    }
    PQclear(result);
    return err;
}

/* until_seq becomes the last record of that time or before; *none_out: there was none yet. */
static enum ml_err find_moment(struct reading *r, struct ml_load *load, bool *none_out)
{
    PGresult *result;

    by_id(r);
    ml_pg_int8(&r->args, load->until_ms);
    result = ask(r, SQL_MOMENT);
    if (!result)
        return ML_EIO;
    *none_out = PQntuples(result) == 0;
    if (!*none_out)
        load->until_seq = (uint64_t)ml_pg_number(result, 0, 0);
    PQclear(result);
    return ML_OK;
}

/* The next older one; *seq_out 0: there is none. Damaged ones leave load->snapshot NULL. */
static enum ml_err try_snapshot(struct reading *r, struct ml_load *load, uint64_t ceiling,
                                uint64_t *seq_out)
{
    PGresult *result;

    by_id(r);
    ml_pg_int8(&r->args, (int64_t)ceiling);
    ml_pg_int8(&r->args, (int64_t)load->epoch);
    result = ask(r, SQL_SNAPSHOT);
    *seq_out = 0;
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        struct ml_snapshot_sum sum = {
            .document = r->id,
            .seq = (uint64_t)ml_pg_number(result, 0, 0),
            .epoch = (uint64_t)ml_pg_number(result, 0, 1),
            .codec = (uint8_t)ml_pg_number(result, 0, 2),
            .state_bytes = (uint64_t)ml_pg_number(result, 0, 3),
            .state_vector = ml_pg_bytes(result, 0, 5),
            .state = ml_pg_bytes(result, 0, 6),
        };

        *seq_out = sum.seq;
        if (ml_snapshot_checksum(&sum) == (uint32_t)ml_pg_number(result, 0, 4) &&
            sum.state_bytes <= ML_LOAD_MAX_BYTES)
            load->snapshot = ml_snapshot_unpack(&sum);
    }
    PQclear(result);
    return ML_OK;
}

static enum ml_err find_snapshot(struct reading *r, struct ml_load *load)
{
    uint64_t last = ml_chain_last(load);
    uint64_t ceiling = load->max_snapshot_seq < last ? load->max_snapshot_seq : last;

    while (ceiling) {
        uint64_t seq;
        enum ml_err err = try_snapshot(r, load, ceiling, &seq);

        if (err || !seq)
            return err;
        if (load->snapshot) {
            load->snapshot_seq = seq;
            return ML_OK;
        }
        ml_chain_log_snapshot(load, seq);
        ceiling = seq - 1;
    }
    return ML_OK;
}

static enum ml_err start_chain(struct reading *r, struct ml_chain *chain)
{
    PGresult *result;

    chain->known = chain->seq == 0;
    if (chain->known)
        return ML_OK;
    by_id(r);
    ml_pg_int8(&r->args, (int64_t)chain->seq);
    result = ask(r, SQL_CHECKSUM);
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        chain->known = true;
        chain->checksum = (uint32_t)ml_pg_number(result, 0, 0);
    }
    PQclear(result);
    return ML_OK;
}

static enum ml_err take_records(struct reading *r, struct ml_load *load, struct ml_chain *chain,
                                const PGresult *result)
{
    enum ml_err err = ML_OK;

    for (int i = 0; i < PQntuples(result) && !err; i++) {
        struct ml_record_sum sum = {
            .document = r->id,
            .seq = (uint64_t)ml_pg_number(result, i, 0),
            .epoch = (uint64_t)ml_pg_number(result, i, 1),
            .at_ms = ml_pg_number(result, i, 3),
            .author = ml_pg_bytes(result, i, 4),
            .session = ml_pg_bytes(result, i, 5),
            .message_no = (uint64_t)ml_pg_number(result, i, 6),
            .previous = (uint32_t)ml_pg_number(result, i, 7),
            .bytes = ml_pg_bytes(result, i, 9),
        };

        err = ml_chain_take(chain, load, &sum, ml_pg_number(result, i, 2),
                            (uint32_t)ml_pg_number(result, i, 8));
    }
    return err;
}

static enum ml_err read_records(struct reading *r, struct ml_load *load)
{
    struct ml_chain chain = {.seq = load->after_seq ? load->after_seq : load->snapshot_seq};
    uint64_t last = ml_chain_last(load);
    enum ml_err err;
    int got;

    if (chain.seq > last || (load->until_seq && chain.seq == last))
        return ML_OK; /* asked for what comes after the head, or everything is in the snapshot */
    if (chain.seq < r->compacted_seq && (load->until_seq || load->after_seq)) {
        load->is_compacted = true;
        return ml_diag_set(&load->diag, ML_ENOTFOUND, 0, "record %llu is not kept any more",
                           (unsigned long long)chain.seq + 1);
    }
    err = start_chain(r, &chain);
    if (!err)
        err = ml_chain_reserve(&chain, load);
    do {
        PGresult *result;

        if (err)
            return err;
        by_id(r);
        ml_pg_int8(&r->args, (int64_t)chain.seq);
        ml_pg_int8(&r->args, load->until_seq ? (int64_t)last : INT64_MAX);
        ml_pg_int8(&r->args, RECORDS_A_TURN);
        result = ask(r, SQL_RECORDS);
        if (!result)
            return ML_EIO;
        got = PQntuples(result);
        err = take_records(r, load, &chain, result);
        PQclear(result);
    } while (!err && got == RECORDS_A_TURN);
    return err ? err : ml_chain_end(&chain, load, r->head_checksum);
}

static enum ml_err read_claims(struct reading *r, struct ml_load *load)
{
    struct ml_claims_writer out;
    PGresult *result;

    by_id(r);
    ml_pg_int8(&r->args, ML_CLAIMS_MAX);
    result = ask(r, SQL_CLAIMS);
    if (!result)
        return ML_EIO;
    ml_claims_begin(&out);
    for (int i = 0; i < PQntuples(result); i++)
        ml_claims_put(&out, (uint64_t)ml_pg_number(result, i, 0), ml_pg_bytes(result, i, 1));
    PQclear(result);
    return ml_claims_end(&out, load);
}

enum ml_err ml_pg_read_load(struct ml_pg *pg, struct ml_load *load)
{
    struct reading r;
    bool is_too_early = false;
    enum ml_err err = begin(&r, pg, load->org, load->name, &load->diag);

    if (!err)
        err = find(&r, load);
    if (!err && load->exists && load->until_ms)
        err = find_moment(&r, load, &is_too_early);
    if (!err && is_too_early && r.compacted_seq) {
        load->is_compacted = true;
        err = ml_diag_set(&load->diag, ML_ENOTFOUND, 0, "that time is not kept any more");
    }
    if (!err && load->exists && !is_too_early && !load->after_seq)
        err = find_snapshot(&r, load);
    if (!err && load->exists && load->wants_claims)
        err = read_claims(&r, load);
    if (!err && load->exists && !is_too_early)
        err = read_records(&r, load);
    err = end(&r, err);
    if (err && err != ML_EFORMAT)
        ml_load_release(load);
    return err;
}

/* ---- Tables of rows with text behind them --------------------------------------------------- */

/* A table of `count` rows of `each` bytes, zeroed, with room for `text` bytes behind it. */
static void *table(size_t count, size_t each, size_t text, uint8_t **text_out)
{
    uint8_t *rows = text > TEXT_MAX_BYTES ? NULL : calloc(1, count * each + text + 1);

    if (rows)
        *text_out = rows + count * each;
    return rows;
}

static size_t text_bytes(const PGresult *result, int rows, int column)
{
    size_t sum = 0;

    for (int i = 0; i < rows; i++)
        sum += ml_pg_bytes(result, i, column).len;
    return sum;
}

static struct ml_slice place(uint8_t **text, struct ml_slice bytes)
{
    struct ml_slice copy = ml_slice_make(*text, bytes.len);

    if (bytes.len)
        memcpy(*text, bytes.ptr, bytes.len);
    *text += bytes.len;
    return copy;
}

static bool has_prefix(struct ml_slice name, struct ml_slice prefix)
{
    return name.len >= prefix.len && ml_slice_equal(ml_slice_make(name.ptr, prefix.len), prefix);
}

static enum ml_err take_page(struct ml_list_documents *list, const PGresult *result)
{
    int rows = PQntuples(result);
    uint8_t *text;

    list->items = table((size_t)rows, sizeof *list->items, text_bytes(result, rows, 0), &text);
    if (!list->items)
        return ML_ELIMIT;
    for (int i = 0; i < rows; i++) {
        struct ml_slice name = ml_pg_bytes(result, i, 0);

        if (list->after.len && ml_slice_compare(name, list->after) <= 0)
            continue; /* only `after` itself: the statement began there */
        if (!has_prefix(name, list->prefix))
            break;
        if (list->count == list->limit) {
            list->more = true;
            break;
        }
        list->items[list->count++] = (struct ml_listed){
            .name = place(&text, name),
            .head = (uint64_t)ml_pg_number(result, i, 1),
            .snapshot_seq = (uint64_t)ml_pg_number(result, i, 2),
            .bytes = (uint64_t)ml_pg_number(result, i, 3),
            .created_ms = ml_pg_number(result, i, 4),
            .updated_ms = ml_pg_number(result, i, 5),
        };
    }
    return ML_OK;
}

enum ml_err ml_pg_read_list(struct ml_pg *pg, struct ml_list_documents *list)
{
    bool from_after = ml_slice_compare(list->after, list->prefix) > 0;
    PGresult *result;
    struct reading r;
    enum ml_err err = begin(&r, pg, list->org, list->prefix, &list->diag);

    if (!err) {
        ml_pg_args_reset(&r.args);
        ml_pg_text(&r.args, list->org);
        ml_pg_text(&r.args, from_after ? list->after : list->prefix);
        ml_pg_int8(&r.args, (int64_t)list->limit + 2);
        result = ask(&r, SQL_LIST);
        err = result ? take_page(list, result) : ML_EIO;
        PQclear(result);
    }
    return end(&r, err);
}

/* ---- Facts ---------------------------------------------------------------------------------- */

static enum ml_err read_row(struct reading *r, struct ml_describe *request)
{
    PGresult *result;
    enum ml_err err = ML_OK;

    by_name(r);
    result = ask(r, SQL_DESCRIBE);
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        err = take_id(r, result);
        request->exists = !err;
        request->epoch = (uint64_t)ml_pg_number(result, 0, 1);
        request->head = (uint64_t)ml_pg_number(result, 0, 2);
        request->snapshot_seq = (uint64_t)ml_pg_number(result, 0, 3);
        request->record_bytes = (uint64_t)ml_pg_number(result, 0, 4);
        request->snapshot_bytes = (uint64_t)ml_pg_number(result, 0, 5);
        request->created_ms = ml_pg_number(result, 0, 6);
        request->updated_ms = ml_pg_number(result, 0, 7);
        request->deleted_ms = ml_pg_number(result, 0, 8);
    }
    PQclear(result);
    return err;
}

static enum ml_err read_authors(struct reading *r, struct ml_describe *request)
{
    uint64_t after = request->head > ML_AUTHOR_RECORDS ? request->head - ML_AUTHOR_RECORDS : 0;
    PGresult *result;
    uint8_t *text;
    int rows;

    by_id(r);
    ml_pg_int8(&r->args, (int64_t)after);
    ml_pg_int8(&r->args, AUTHORS_MAX);
    result = ask(r, SQL_AUTHORS);
    if (!result)
        return ML_EIO;
    rows = PQntuples(result);
    request->authors =
        table((size_t)rows, sizeof *request->authors, text_bytes(result, rows, 0), &text);
    for (int i = 0; i < rows && request->authors; i++)
        request->authors[request->author_count++] = (struct ml_record_author){
            .author = place(&text, ml_pg_bytes(result, i, 0)),
            .records = (uint64_t)ml_pg_number(result, i, 1),
            .last_ms = ml_pg_number(result, i, 2),
        };
    PQclear(result);
    return request->authors ? ML_OK : ML_ELIMIT;
}

enum ml_err ml_pg_read_describe(struct ml_pg *pg, struct ml_describe *request)
{
    struct reading r;
    enum ml_err err = begin(&r, pg, request->org, request->name, &request->diag);

    if (!err)
        err = read_row(&r, request);
    if (!err && request->exists)
        err = read_authors(&r, request);
    err = end(&r, err);
    if (err)
        ml_describe_release(request);
    return err;
}

/* ---- History -------------------------------------------------------------------------------- */

static enum ml_err find_for_history(struct reading *r, struct ml_history *request)
{
    PGresult *result;
    enum ml_err err = ML_OK;

    by_name(r);
    result = ask(r, SQL_FIND);
    if (!result)
        return ML_EIO;
    if (PQntuples(result)) {
        request->exists = true;
        err = take_id(r, result);
        if (!err && ml_pg_number(result, 0, 4))
            err = ml_diag_set(r->diag, ML_ENOTFOUND, 0, "the document is deleted");
    }
    PQclear(result);
    return err;
}

static enum ml_err read_items(struct reading *r, struct ml_history *request)
{
    uint64_t before = request->before_seq;
    PGresult *result;
    uint8_t *text;
    int rows;

    by_id(r);
    ml_pg_int8(&r->args, before > INT64_MAX ? INT64_MAX : (int64_t)before);
    ml_pg_int8(&r->args, (int64_t)request->limit + 1);
    result = ask(r, SQL_HISTORY);
    if (!result)
        return ML_EIO;
    rows = PQntuples(result);
    request->more = (size_t)rows > request->limit;
    if (request->more)
        rows = (int)request->limit;
    request->items = table((size_t)rows, sizeof *request->items,
                           text_bytes(result, rows, 3) + text_bytes(result, rows, 4) +
                               text_bytes(result, rows, 5),
                           &text);
    for (int i = 0; i < rows && request->items; i++) {
        struct ml_history_item *item = &request->items[request->count++];

        item->seq = (uint64_t)ml_pg_number(result, i, 0);
        item->bytes = (uint64_t)ml_pg_number(result, i, 1);
        item->at_ms = ml_pg_number(result, i, 2);
        item->author = place(&text, ml_pg_bytes(result, i, 3));
        item->session = place(&text, ml_pg_bytes(result, i, 4));
        item->labels = place(&text, ml_pg_bytes(result, i, 5));
    }
    PQclear(result);
    return request->items ? ML_OK : ML_ELIMIT;
}

enum ml_err ml_pg_read_history(struct ml_pg *pg, struct ml_history *request)
{
    struct reading r;
    enum ml_err err = begin(&r, pg, request->org, request->name, &request->diag);

    if (!err)
        err = find_for_history(&r, request);
    if (!err && request->exists)
        err = read_items(&r, request);
    err = end(&r, err);
    if (err)
        ml_history_release(request);
    return err;
}

/* ---- Heads ---------------------------------------------------------------------------------- */

static void take_heads(struct ml_heads *request, const PGresult *result)
{
    for (int i = 0; i < PQntuples(result); i++) {
        struct ml_doc_head *item = &request->items[ml_pg_number(result, i, 0) - 1];
        enum ml_gate gate = (enum ml_gate)ml_pg_number(result, i, 5);

        if (gate == ML_GATE_ELSEWHERE && ml_gate_turns_away(gate, &request->node))
            return; /* the request has its error */
        item->epoch = (uint64_t)ml_pg_number(result, i, 1);
        item->head = (uint64_t)ml_pg_number(result, i, 2);
        item->is_deleted = gate == ML_GATE_REMOVED || ml_pg_number(result, i, 3) != 0;
        item->exists = gate == ML_GATE_REMOVED || ml_pg_number(result, i, 4) != 0;
        item->is_shut = gate == ML_GATE_SUSPENDED;
    }
}

/* One statement sees one moment by itself. */
enum ml_err ml_pg_read_heads(struct ml_pg *pg, struct ml_heads *request)
{
    struct reading r = {.pg = pg, .diag = &request->diag};
    PGresult *result;

    ML_ASSERT(pg->conn);
    ml_pg_args_init(&r.args);
    ml_pg_array(&r.args, ML_PG_TEXT_ARRAY, request->count);
    for (size_t i = 0; i < request->count; i++)
        ml_pg_item(&r.args, request->items[i].org);
    ml_pg_array(&r.args, ML_PG_TEXT_ARRAY, request->count);
    for (size_t i = 0; i < request->count; i++)
        ml_pg_item(&r.args, request->items[i].name);
    result = ask(&r, SQL_HEADS);
    ml_pg_args_release(&r.args);
    if (!result)
        return ML_EIO;
    request->err = ML_OK;
    take_heads(request, result);
    PQclear(result);
    return request->err;
}
