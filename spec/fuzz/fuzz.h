/* SPDX-License-Identifier: MIT */
/* What the targets of the engine share. A property that does not hold ends the program. */
#ifndef ML_SPEC_FUZZ_H
#define ML_SPEC_FUZZ_H

#include "base/assert.h"
#include "engine/engine.h"

#define FUZZ_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Small ceilings, so that they are met. */
static const struct ml_engine_limits fuzz_limits = {
    .update_bytes = 1 << 20,
    .doc_bytes = 32 << 20,
    .pending_bytes = 1 << 16,
    .pending_structs = 500,
    .update_structs = 20000,
};

static inline struct ml_doc *fuzz_doc(bool keep_deleted)
{
    const struct ml_doc_options options = {
        .client = 77, .keep_deleted = keep_deleted, .limits = &fuzz_limits};
    struct ml_doc *doc = ml_doc_new(&options);

    ML_ASSERT(doc);
    return doc;
}

static inline void fuzz_check(const struct ml_doc *doc)
{
    struct ml_diag diag = {0};

    if (ml_doc_check(doc, &diag))
        ml_panic(__FILE__, __LINE__, diag.text);
}

/** Every view of every root. */
static inline void fuzz_read(const struct ml_doc *doc)
{
    struct ml_slice root;
    uint32_t cursor = 0;

    while (ml_doc_next_root(doc, &cursor, &root)) {
        for (int view = ML_VIEW_TEXT; view <= ML_VIEW_XML; view++) {
            struct ml_writer out;
            enum ml_err err;

            ml_writer_init(&out, FUZZ_MAX);
            err = ml_doc_read(doc, root, (enum ml_view)view, &out);
            ML_ASSERT(!err || err == ML_ELIMIT);
            ml_writer_release(&out);
        }
    }
}

/** Decode and apply. False: refused. */
static inline bool fuzz_apply(struct ml_doc *doc, struct ml_slice bytes, bool undo)
{
    const struct ml_verdict verdict = {.undo_all = true};
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_arena scratch;
    enum ml_err err;

    ml_arena_init(&scratch, FUZZ_MAX);
    err = ml_update_decode(&scratch, bytes, &fuzz_limits, NULL, &update);
    if (!err)
        err = ml_doc_apply(doc, update, undo ? &verdict : NULL, &scratch, &change);
    ml_arena_release(&scratch);
    return !err;
}

#endif
