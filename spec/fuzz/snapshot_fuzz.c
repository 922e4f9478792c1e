/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: the first byte chooses the format, the rest is one.
 *
 *  - what is taken is written again in both formats, and means the same;
 *  - a document answers it with a view or with "gone", and is as before; so do views between two.
 */
#include "fuzz.h"

/* "a😀b" and [1, "x"] by client 1, then "b" and a nested text deleted. */
static const uint8_t typed[] = {
    1,    4, 1,    0, 4,   1,    1, 't', 6,   'a', 0xf0, 0x9f, 0x98, 0x80, 'b', 8, 1, 1,   'l', 2,
    0x7d, 1, 0x77, 1, 'x', 0x27, 1, 1,   'm', 1,   'k',  2,    4,    0,    1,   6, 2, 'h', 'i', 0};
static const uint8_t deleted[] = {0, 1, 1, 2, 3, 1, 6, 1};

static struct ml_doc *document(bool keep_deleted)
{
    struct ml_doc *doc = fuzz_doc(keep_deleted);

    ML_ASSERT(fuzz_apply(doc, ml_slice_make(typed, sizeof typed), false));
    ML_ASSERT(fuzz_apply(doc, ml_slice_make(deleted, sizeof deleted), false));
    return doc;
}

static void read_everything(const struct ml_snapshot *s, bool keep_deleted)
{
    static const char *const roots[] = {"t", "l", "m"};
    struct ml_doc *doc = document(keep_deleted);
    struct ml_writer out, now;
    const struct ml_snapshot *here;
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, FUZZ_MAX);
    ml_writer_init(&out, FUZZ_MAX);
    ml_writer_init(&now, FUZZ_MAX);
    for (int i = 0; i < 3; i++) {
        ml_writer_reset(&out);
        err = ml_doc_read_at(doc, s, ml_slice_str(roots[i]), ML_VIEW_JSON, &out, NULL);
        ML_ASSERT(!err || err == ML_ENOTFOUND || err == ML_ELIMIT);
    }
    err = ml_doc_snapshot(doc, ML_UPDATE_V1, &now);
    ML_ASSERT(!err);
    err =
        ml_snapshot_decode(&arena, ml_writer_slice(&now), ML_UPDATE_V1, &fuzz_limits, NULL, &here);
    ML_ASSERT(!err);
    err = ml_doc_read_changes(doc, s, here, ML_SLICE("t"), &out, NULL);
    ML_ASSERT(!err || err == ML_ENOTFOUND);
    err = ml_doc_read_changes(doc, here, s, ML_SLICE("t"), &out, NULL);
    ML_ASSERT(!err || err == ML_ENOTFOUND);
    fuzz_check(doc);
    ml_doc_free(doc);
    ml_writer_release(&out);
    ml_writer_release(&now);
    ml_arena_release(&arena);
}

static void expect_round(struct ml_arena *arena, const struct ml_snapshot *s,
                         enum ml_update_format format)
{
    const struct ml_snapshot *again;
    struct ml_writer one, two;
    enum ml_err err;

    ml_writer_init(&one, FUZZ_MAX);
    ml_writer_init(&two, FUZZ_MAX);
    ml_snapshot_encode(s, format, &one);
    if (one.len <= fuzz_limits.update_bytes) {
        err = ml_snapshot_decode(arena, ml_writer_slice(&one), format, &fuzz_limits, NULL, &again);
        ML_ASSERT(!err);
        ml_snapshot_encode(again, format, &two);
        ML_ASSERT(ml_slice_equal(ml_writer_slice(&one), ml_writer_slice(&two)));
    }
    ml_writer_release(&one);
    ml_writer_release(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ml_snapshot *s;
    struct ml_arena arena;
    enum ml_err err;

    if (!size)
        return 0;
    ml_arena_init(&arena, FUZZ_MAX);
    err = ml_snapshot_decode(&arena, ml_slice_make(data + 1, size - 1),
                             data[0] & 1 ? ML_UPDATE_V2 : ML_UPDATE_V1, &fuzz_limits, NULL, &s);
    if (!err) {
        expect_round(&arena, s, ML_UPDATE_V1);
        expect_round(&arena, s, ML_UPDATE_V2);
        read_everything(s, true);
        read_everything(s, false);
    }
    ml_arena_release(&arena);
    return 0;
}
