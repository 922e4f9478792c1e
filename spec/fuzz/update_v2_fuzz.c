/* SPDX-License-Identifier: MIT */
/*
 * V2 from outside: unfolded to V1, folded and unfolded again.
 *
 *  - what convert yields is taken by everything that takes V1;
 *  - V1 -> V2 -> V1 is the same from the second time on;
 *  - a document of it keeps its invariants.
 */
#include "fuzz.h"

static enum ml_err convert(struct ml_slice bytes, enum ml_update_format from, struct ml_writer *out)
{
    struct ml_arena scratch;
    enum ml_err err;

    ml_arena_init(&scratch, FUZZ_MAX);
    ml_writer_init(out, fuzz_limits.update_bytes);
    err = ml_update_convert(bytes, from, &fuzz_limits, &scratch, out, NULL);
    ml_arena_release(&scratch);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_writer v1, v2, once, twice;
    struct ml_doc *doc;
    enum ml_err err;

    err = convert(ml_slice_make(data, size), ML_UPDATE_V2, &v1);
    if (!err) {
        err = convert(ml_writer_slice(&v1), ML_UPDATE_V1, &v2);
        ML_ASSERT(!err || err == ML_ELIMIT);
        if (!err) {
            err = convert(ml_writer_slice(&v2), ML_UPDATE_V2, &once);
            ML_ASSERT(!err || err == ML_ELIMIT);
            if (!err) {
                ml_writer_release(&v2);
                err = convert(ml_writer_slice(&once), ML_UPDATE_V1, &v2);
                ML_ASSERT(!err);
                err = convert(ml_writer_slice(&v2), ML_UPDATE_V2, &twice);
                ML_ASSERT(!err);
                ML_ASSERT(ml_slice_equal(ml_writer_slice(&once), ml_writer_slice(&twice)));
                ml_writer_release(&twice);
            }
            ml_writer_release(&once);
        }
        ml_writer_release(&v2);
        doc = fuzz_doc(false);
        (void)fuzz_apply(doc, ml_writer_slice(&v1), false);
        fuzz_check(doc);
        fuzz_read(doc);
        ml_doc_free(doc);
    }
    ml_writer_release(&v1);
    return 0;
}
