/* SPDX-License-Identifier: MIT */
/*
 * A document at rest: its V2 bytes and a few words. Most documents are asked now and then and
 * written never; what asks is answered from the bytes, what writes wakes the document.
 *
 *   ml_doc  --park-->  [ blob of V2 bytes              | delete set ]   shared with who sends it
 *     ^                [ size of the delete set, state vector if it is short ]
 *     |                     |
 *     +-------wake----------+----> state vector, state, difference, merge, contains: from bytes
 *
 * Answers are byte-equal to those of the document. V2 and not V1, because it is half as long; but
 * V2 writes values anew (JSON with spaces, numbers in odd forms), so a document that would not come
 * back byte for byte rests as V1. A state vector of many clients is not kept: the bytes say it
 * again, by one walk.
 */
#include "engine/canonical.h"
#include "engine/item.h"
#include "engine/keep.h"
#include "engine/update.h"

#include "base/blob.h"

#include <stdlib.h>

/* A state vector of up to this many bytes is kept: some twenty clients. */
#define VECTOR_KEEP_BYTES 160

struct ml_parked_doc {
    struct ml_blob *bytes; /* own reference */
    enum ml_update_format format;
    size_t deleted_bytes; /* of the delete set at their end */
    uint32_t vector_len;  /* 0: it is not kept */
    uint8_t vector[];
};

/* What was a document's own is not measured by what peers may send. */
static struct ml_engine_limits own_limits(const struct ml_engine_limits *limits)
{
    struct ml_engine_limits own = ml_limits_resolve(limits);

    own.update_bytes = SIZE_MAX / 2;
    own.any_depth = own.key_bytes = UINT32_MAX;
    return own;
}

/* The state as V1. */
static enum ml_err unfold(const struct ml_parked_doc *parked, struct ml_writer *out)
{
    struct ml_engine_limits own = own_limits(NULL);

    if (parked->format == ML_UPDATE_V2)
        return ml_state_to_v1(ml_blob_slice(parked->bytes), &own, out);
    ml_write_bytes(out, ml_blob_slice(parked->bytes));
    return out->err;
}

/* ---- To rest --------------------------------------------------------------------------------- */

/* V2 bytes that come back as they were, or V1. */
static enum ml_err take_bytes(struct ml_doc *doc, struct ml_parked_doc *p)
{
    struct ml_writer v1, again;
    enum ml_err err;

    ml_writer_init(&v1, SIZE_MAX / 2);
    ml_writer_init(&again, SIZE_MAX / 2);
    p->format = ML_UPDATE_V2;
    err = ml_doc_state_v2(doc, &p->bytes, &p->deleted_bytes);
    if (!err)
        err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &v1);
    if (!err &&
        (unfold(p, &again) || !ml_slice_equal(ml_writer_slice(&v1), ml_writer_slice(&again)))) {
        ml_blob_unref(p->bytes);
        p->format = ML_UPDATE_V1;
        p->deleted_bytes = doc->deleted.len;
        p->bytes = ml_blob_new(ml_writer_slice(&v1));
    }
    ml_writer_release(&again);
    ml_writer_release(&v1);
    return err ? err : p->bytes ? ML_OK : ML_ELIMIT;
}

enum ml_err ml_doc_park(struct ml_doc *doc, struct ml_parked_doc **parked_out)
{
    struct ml_parked_doc taken = {0}, *p = NULL;
    struct ml_writer vector;
    enum ml_err err;

    if (doc->pending.count || doc->pending.deletes.count || doc->is_writing || doc->watches ||
        doc->histories)
        return ML_EBUSY;
    ml_writer_init(&vector, SIZE_MAX / 2);
    ml_doc_state_vector(doc, &vector);
    err = vector.err ? vector.err : take_bytes(doc, &taken);
    if (!err) {
        taken.vector_len = vector.len <= VECTOR_KEEP_BYTES ? (uint32_t)vector.len : 0;
        p = malloc(sizeof *p + taken.vector_len);
    }
    if (p) {
        *p = taken;
        memcpy(p->vector, vector.ptr, p->vector_len);
        *parked_out = p;
    } else {
        ml_blob_unref(taken.bytes);
        err = err ? err : ML_ELIMIT;
    }
    ml_writer_release(&vector);
    return err;
}

void ml_parked_free(struct ml_parked_doc *parked)
{
    if (!parked)
        return;
    ml_blob_unref(parked->bytes);
    free(parked);
}

struct ml_blob *ml_parked_blob(const struct ml_parked_doc *parked,
                               enum ml_update_format *format_out)
{
    *format_out = parked->format;
    return ml_blob_ref(parked->bytes);
}

size_t ml_parked_memory_bytes(const struct ml_parked_doc *parked)
{
    return sizeof *parked + parked->vector_len + sizeof *parked->bytes + parked->bytes->len;
}

/* ---- Answers ----------------------------------------------------------------------------------
 */

enum ml_err ml_parked_state_vector(const struct ml_parked_doc *parked, struct ml_writer *out)
{
    struct ml_engine_limits own = own_limits(NULL);
    struct ml_writer state;
    enum ml_err err;

    if (parked->vector_len) {
        ml_write_bytes(out, ml_slice_make(parked->vector, parked->vector_len));
        return out->err;
    }
    ml_writer_init(&state, SIZE_MAX / 2);
    err = unfold(parked, &state);
    if (!err)
        err = ml_update_state_vector(ml_writer_slice(&state), &own, out, NULL);
    ml_writer_release(&state);
    return err;
}

enum ml_err ml_parked_encode_state(const struct ml_parked_doc *parked, struct ml_slice state_vector,
                                   struct ml_writer *out)
{
    struct ml_engine_limits own = own_limits(NULL);
    struct ml_writer state;
    enum ml_err err;

    if (!state_vector.len)
        return unfold(parked, out);
    ml_writer_init(&state, SIZE_MAX / 2);
    err = ml_state_vector_check(state_vector, NULL);
    if (!err)
        err = unfold(parked, &state);
    if (!err)
        err = ml_state_diff(ml_writer_slice(&state), state_vector, &own, out);
    ml_writer_release(&state);
    return err;
}

enum ml_err ml_parked_merge(const struct ml_parked_doc *parked, const struct ml_slice *updates,
                            size_t count, const struct ml_engine_limits *limits,
                            struct ml_arena *scratch, struct ml_writer *out, struct ml_diag *diag)
{
    struct ml_engine_limits resolved = ml_limits_resolve(limits);
    struct ml_slice *all = ml_arena_array(scratch, count + 1, sizeof *all);
    struct ml_writer state;
    enum ml_err err;

    if (!all)
        return ML_ELIMIT;
    ml_writer_init(&state, SIZE_MAX / 2);
    err = unfold(parked, &state);
    if (!err) {
        all[0] = ml_writer_slice(&state);
        for (size_t i = 0; i < count; i++)
            all[i + 1] = updates[i];
        if (resolved.update_bytes < state.len)
            resolved.update_bytes = state.len;
        err = ml_updates_merge(all, count + 1, &resolved, scratch, out, diag);
    }
    ml_writer_release(&state);
    return err;
}

/* ---- Is it there? ------------------------------------------------------------------------------
 */

/* The delete set at the end of the bytes, sorted as it stands there. V2 writes gaps and len - 1. */
static enum ml_err read_deleted(const struct ml_parked_doc *parked, struct ml_wire_ranges *ranges)
{
    struct ml_slice bytes = ml_blob_slice(parked->bytes);
    struct ml_reader in = ml_reader_make(
        ml_slice_make(bytes.ptr + bytes.len - parked->deleted_bytes, parked->deleted_bytes));
    uint64_t clients, count, gap, len;
    struct ml_wire_range r;
    enum ml_err err = ml_read_varuint(&in, &clients);

    for (; !err && clients; clients--) {
        err = ml_read_varuint(&in, &r.client);
        if (!err)
            err = ml_read_varuint(&in, &count);
        r.clock = r.len = 0;
        for (; !err && count; count--) {
            err = ml_read_varuint(&in, &gap);
            if (!err)
                err = ml_read_varuint(&in, &len);
            if (err)
                break;
            r.clock = parked->format == ML_UPDATE_V2 ? r.clock + r.len + gap : gap;
            r.len = parked->format == ML_UPDATE_V2 ? len + 1 : len;
            err = ml_wire_ranges_add(ranges, &r, false);
        }
    }
    return err;
}

/* Ranges stand by client descending, then clock ascending, and do not touch. */
static bool holds(const struct ml_wire_ranges *ranges, const struct ml_wire_range *wanted)
{
    size_t lo = 0, hi = ranges->count;

    while (lo < hi) { /* the last that begins at or before it */
        size_t mid = lo + (hi - lo) / 2;
        const struct ml_wire_range *r = &ranges->item[mid];

        if (r->client > wanted->client ||
            (r->client == wanted->client && r->clock <= wanted->clock))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo && ranges->item[lo - 1].client == wanted->client &&
           wanted->clock + wanted->len <= ranges->item[lo - 1].clock + ranges->item[lo - 1].len;
}

static enum ml_err holds_deletes(const struct ml_parked_doc *parked, const struct ml_update *update,
                                 bool *contains_out)
{
    struct ml_wire_ranges ranges = {0};
    enum ml_err err = read_deleted(parked, &ranges);
    struct ml_wire_reader r;

    ml_update_reread_ranges(update, &r);
    while (!err && *contains_out) {
        struct ml_wire_range wanted;
        bool more;

        err = ml_wire_next_range(&r, &wanted, &more);
        if (err || !more)
            break;
        *contains_out = holds(&ranges, &wanted);
    }
    ml_wire_ranges_release(&ranges);
    return err;
}

static enum ml_err holds_structs(const struct ml_parked_doc *parked, const struct ml_update *update,
                                 bool *contains_out)
{
    struct ml_writer vector;
    enum ml_err err;

    ml_writer_init(&vector, SIZE_MAX / 2);
    err = ml_parked_state_vector(parked, &vector);
    for (uint32_t i = 0; !err && *contains_out && i < update->section_count; i++) {
        const struct ml_section *s = &update->sections[i];
        struct ml_reader in = ml_reader_make(ml_writer_slice(&vector));
        struct ml_id entry;
        uint64_t left, state = 0;
        bool more = true;

        err = ml_state_vector_open(&in, &left);
        while (!err && more) {
            err = ml_state_vector_next(&in, &left, &entry, &more);
            if (!err && more && entry.client == s->client)
                state = entry.clock;
        }
        *contains_out = s->end_clock <= state || s->end_clock == s->first_clock;
    }
    ml_writer_release(&vector);
    return err;
}

enum ml_err ml_parked_contains(const struct ml_parked_doc *parked, const struct ml_update *update,
                               bool *contains_out)
{
    enum ml_err err = ML_OK;

    *contains_out = true;
    if (update->section_count)
        err = holds_structs(parked, update, contains_out);
    if (!err && *contains_out && update->facts.delete_ranges)
        err = holds_deletes(parked, update, contains_out);
    return err;
}

/* ---- Awake -------------------------------------------------------------------------------------
 */

enum ml_err ml_parked_wake(const struct ml_parked_doc *parked, const struct ml_doc_options *options,
                           struct ml_doc **doc_out)
{
    struct ml_doc *doc = ml_doc_new(options);
    struct ml_writer state;
    enum ml_err err;

    if (!doc)
        return ML_ELIMIT;
    ml_writer_init(&state, SIZE_MAX / 2);
    err = unfold(parked, &state);
    if (!err)
        err = ml_doc_load(doc, ml_writer_slice(&state));
    ml_writer_release(&state);
    if (err) {
        ml_doc_free(doc);
        return err;
    }
    *doc_out = doc;
    return ML_OK;
}
