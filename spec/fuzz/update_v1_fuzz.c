/* SPDX-License-Identifier: MIT */
/*
 * V1 updates from outside: the input is a log (flags, then u16 length and bytes, …) applied to one
 * document.
 *
 *  - what is refused changes nothing;
 *  - after every step the invariants hold;
 *  - applying the same once more changes nothing;
 *  - the state loads into a document with the same state vector (the same bytes too, but only if
 * the writers were honest: neighbours that contradict each other make replicas differ).
 *
 * Flags: 1 gc off, 2 every third update is refused by a policy.
 */
#include "fuzz.h"

static void state_of(struct ml_doc *doc, struct ml_writer *out)
{
    enum ml_err err;

    ml_writer_init(out, FUZZ_MAX);
    err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), out);
    ML_ASSERT(!err);
}

static bool same_state_vector(const struct ml_doc *a, const struct ml_doc *b)
{
    struct ml_writer x, y;
    bool same;

    ml_writer_init(&x, FUZZ_MAX);
    ml_writer_init(&y, FUZZ_MAX);
    ml_doc_state_vector(a, &x);
    ml_doc_state_vector(b, &y);
    same = ml_slice_equal(ml_writer_slice(&x), ml_writer_slice(&y));
    ml_writer_release(&x);
    ml_writer_release(&y);
    return same;
}

/* A refusal leaves the state as it was. */
static void apply_checked(struct ml_doc *doc, struct ml_slice bytes, bool undo)
{
    struct ml_writer before, after;

    state_of(doc, &before);
    if (!fuzz_apply(doc, bytes, undo)) {
        state_of(doc, &after);
        ML_ASSERT(ml_slice_equal(ml_writer_slice(&before), ml_writer_slice(&after)));
        ml_writer_release(&after);
    }
    ml_writer_release(&before);
    fuzz_check(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_doc *doc, *again;
    struct ml_writer state;
    struct ml_doc_stats stats;
    const uint8_t *p, *end;
    uint8_t flags;
    unsigned n = 0;

    if (size < 1 || size > fuzz_limits.update_bytes)
        return 0;
    flags = data[0];
    p = data + 1;
    end = data + size;
    doc = fuzz_doc(flags & 1);
    while (end - p >= 2) {
        size_t len = p[0] | (size_t)p[1] << 8;

        p += 2;
        if (len > (size_t)(end - p))
            len = (size_t)(end - p);
        apply_checked(doc, ml_slice_make(p, len), (flags & 2) && ++n % 3 == 0);
        p += len;
    }
    fuzz_read(doc);

    state_of(doc, &state);
    ml_doc_stats(doc, &stats);
    again = fuzz_doc(flags & 1);
    if (fuzz_apply(again, ml_writer_slice(&state), false)) {
        struct ml_doc_stats reloaded;

        fuzz_check(again);
        ml_doc_stats(again, &reloaded);
        /* Pending has ceilings: only what fits is compared. */
        if (reloaded.pending_structs == stats.pending_structs &&
            reloaded.pending_deletes == stats.pending_deletes)
            ML_ASSERT(same_state_vector(doc, again));
        ML_ASSERT(fuzz_apply(again, ml_writer_slice(&state), false));
        fuzz_check(again);
    } else {
        /* Only a ceiling may stand between a document and its own state. */
        ML_ASSERT(state.len > fuzz_limits.update_bytes / 2 || stats.pending_structs > 0);
    }
    ml_doc_free(again);
    ml_writer_release(&state);
    ml_doc_free(doc);
    return 0;
}
