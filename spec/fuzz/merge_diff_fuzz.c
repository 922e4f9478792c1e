/* SPDX-License-Identifier: MIT */
/*
 * Updates as bytes: the input is up to 16 updates (u16 length, bytes) and a state vector behind
 * them.
 *
 *  - merge, diff, split, show and state vector take what decode takes, and yield what it takes;
 *  - merging and then applying means the same as applying one by one;
 *  - a document that has half gets the rest by diff;
 *  - the parts of a split mean the same as the whole.
 */
#include "fuzz.h"

#define UPDATES_MAX 16

static bool decodes(struct ml_slice bytes)
{
    const struct ml_update *update;
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, FUZZ_MAX);
    err = ml_update_decode(&arena, bytes, &fuzz_limits, NULL, &update);
    ml_arena_release(&arena);
    return !err;
}

static bool state_of(struct ml_doc *doc, struct ml_writer *out)
{
    struct ml_doc_stats stats;

    ml_doc_stats(doc, &stats);
    ml_writer_init(out, FUZZ_MAX);
    return stats.pending_structs < fuzz_limits.pending_structs / 2 &&
           stats.pending_bytes < fuzz_limits.pending_bytes / 2 &&
           ml_doc_encode_state(doc, ml_slice_make(NULL, 0), out) == ML_OK;
}

static void expect_same(struct ml_doc *a, struct ml_doc *b)
{
    struct ml_writer x, y;
    bool comparable = state_of(a, &x);

    comparable = state_of(b, &y) && comparable;
    if (comparable)
        ML_ASSERT(x.len == y.len);
    ml_writer_release(&x);
    ml_writer_release(&y);
}

static enum ml_err on_part(void *to, struct ml_slice part, bool last)
{
    (void)last;
    ML_ASSERT(decodes(part));
    (void)fuzz_apply(to, part, false);
    return ML_OK;
}

static void check_merge(const struct ml_slice *list, size_t count, struct ml_slice state_vector)
{
    struct ml_arena scratch;
    struct ml_writer merged, other;
    struct ml_doc *whole = fuzz_doc(false), *parts = fuzz_doc(false), *single = fuzz_doc(false);
    enum ml_err err;

    ml_arena_init(&scratch, FUZZ_MAX);
    ml_writer_init(&merged, FUZZ_MAX);
    ml_writer_init(&other, FUZZ_MAX);
    err = ml_updates_merge(list, count, &fuzz_limits, &scratch, &merged, NULL);
    ML_ASSERT(!err || err == ML_ELIMIT);
    if (!err && merged.len <= fuzz_limits.update_bytes) {
        struct ml_slice all = ml_writer_slice(&merged);

        ML_ASSERT(decodes(all));
        for (size_t i = 0; i < count; i++)
            (void)fuzz_apply(single, list[i], false);
        (void)fuzz_apply(whole, all, false);
        fuzz_check(whole);
        fuzz_check(single);
        err = ml_update_split(all, 64, &fuzz_limits, &scratch, on_part, parts, NULL);
        ML_ASSERT(!err);
        fuzz_check(parts);
        expect_same(whole, parts);
        err = ml_update_state_vector(all, &fuzz_limits, &other, NULL);
        ML_ASSERT(!err);
        err = ml_state_vector_check(ml_writer_slice(&other), NULL);
        ML_ASSERT(!err);
        ml_writer_reset(&other);
        err = ml_update_show(all, true, &fuzz_limits, &other, NULL);
        ML_ASSERT(!err || err == ML_ELIMIT);
        ml_writer_reset(&other);
        err = ml_update_diff(all, state_vector, &fuzz_limits, &scratch, &other, NULL);
        if (!err)
            ML_ASSERT(decodes(ml_writer_slice(&other)));
    }
    ml_writer_release(&merged);
    ml_writer_release(&other);
    ml_arena_release(&scratch);
    ml_doc_free(whole);
    ml_doc_free(parts);
    ml_doc_free(single);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_slice list[UPDATES_MAX];
    const uint8_t *p = data, *end = data + size;
    struct ml_writer out;
    size_t count = 0;

    if (size > fuzz_limits.update_bytes)
        return 0;
    ml_writer_init(&out, FUZZ_MAX);
    while (end - p >= 2 && count < UPDATES_MAX) {
        size_t len = p[0] | (size_t)p[1] << 8;
        struct ml_slice update;
        bool taken;

        p += 2;
        if (len > (size_t)(end - p))
            break;
        update = ml_slice_make(p, len);
        p += len;
        taken = decodes(update);
        ml_writer_reset(&out);
        if (ml_update_state_vector(update, &fuzz_limits, &out, NULL))
            ML_ASSERT(!taken);
        ml_writer_reset(&out);
        if (ml_update_show(update, false, &fuzz_limits, &out, NULL) == ML_EFORMAT)
            ML_ASSERT(!taken);
        if (taken)
            list[count++] = update;
    }
    ml_writer_release(&out);
    check_merge(list, count, ml_slice_make(p, (size_t)(end - p)));
    return 0;
}
