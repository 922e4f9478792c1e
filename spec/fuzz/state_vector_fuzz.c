/* SPDX-License-Identifier: MIT */
/*
 * State vectors: what the check takes, everybody who reads one takes, and nobody else; what a
 * document sends for it is an update.
 */
#include "fuzz.h"

/* "abc" in t by client 1, "x" behind it by client 2. */
static const uint8_t typed[] = {2, 1, 2, 0, 0x84, 1, 2,   1,   'x', 1, 1,
                                0, 4, 1, 1, 't',  3, 'a', 'b', 'c', 0};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_slice vector = ml_slice_make(data, size), update = ml_slice_make(typed, sizeof typed);
    const struct ml_update *decoded;
    struct ml_doc *doc;
    struct ml_writer out;
    struct ml_arena arena;
    enum ml_err checked, err;

    if (!size || size > fuzz_limits.update_bytes)
        return 0;
    ml_arena_init(&arena, FUZZ_MAX);
    ml_writer_init(&out, FUZZ_MAX);
    doc = fuzz_doc(false);
    ML_ASSERT(fuzz_apply(doc, update, false));
    checked = ml_state_vector_check(vector, NULL);
    err = ml_doc_encode_state(doc, vector, &out);
    ML_ASSERT(!checked || checked == ML_EFORMAT);
    ML_ASSERT(checked || !err);
    if (!err) {
        err = ml_update_decode(&arena, ml_writer_slice(&out), &fuzz_limits, NULL, &decoded);
        ML_ASSERT(!err);
        ML_ASSERT(ml_doc_contains(doc, decoded));
    }
    ml_writer_reset(&out);
    err = ml_update_diff(update, vector, &fuzz_limits, &arena, &out, NULL);
    ML_ASSERT(checked || !err);
    if (!err) {
        err = ml_update_decode(&arena, ml_writer_slice(&out), &fuzz_limits, NULL, &decoded);
        ML_ASSERT(!err);
    }
    ml_doc_free(doc);
    ml_writer_release(&out);
    ml_arena_release(&arena);
    return 0;
}
