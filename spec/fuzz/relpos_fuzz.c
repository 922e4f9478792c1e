/* SPDX-License-Identifier: MIT */
/*
 * Relative positions: the input is read as bytes and as JSON.
 *
 *  - what is taken is written again, as bytes and as JSON, and means the same;
 *  - a document says where it is, or that it is nowhere; where it is, is inside.
 */
#include "fuzz.h"

/* "abc" in t and a text "hi" at m.k by client 1; "b" deleted. */
static const uint8_t typed[] = {1, 3,   1, 0, 4, 1, 1, 't', 3,   'a', 'b', 'c', 0x27, 1, 1, 'm',
                                1, 'k', 2, 4, 0, 1, 3, 2,   'h', 'i', 1,   1,   1,    1, 1};

static void resolve(struct ml_doc *doc, const struct ml_relpos *p)
{
    struct ml_relpos again;
    struct ml_place type;
    uint32_t index, back;
    enum ml_err err = ml_relpos_resolve(doc, p, &index, &type);

    ML_ASSERT(!err || err == ML_ENOTFOUND);
    if (err)
        return;
    ML_ASSERT(index <= 3);
    err = ml_relpos_make(doc, &type, index, p->assoc, &again);
    if (err)
        return;
    err = ml_relpos_resolve(doc, &again, &back, &type);
    ML_ASSERT(!err && back == index);
}

/* Members that bytes do not have are lost on the way; what bytes have stays. */
static void check(struct ml_doc *doc, const struct ml_relpos *p)
{
    struct ml_writer one, two, json;
    struct ml_relpos again;
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, FUZZ_MAX);
    ml_writer_init(&one, FUZZ_MAX);
    ml_writer_init(&two, FUZZ_MAX);
    ml_writer_init(&json, FUZZ_MAX);
    ml_relpos_encode(p, &one);
    err = ml_relpos_decode(ml_writer_slice(&one), &again, NULL);
    ML_ASSERT(!err);
    ml_relpos_encode(&again, &two);
    ML_ASSERT(ml_slice_equal(ml_writer_slice(&one), ml_writer_slice(&two)));
    ml_relpos_to_json(p, &json);
    err = ml_relpos_from_json(&arena, ml_writer_slice(&json), &again, NULL);
    ML_ASSERT(!err);
    ml_writer_reset(&two);
    ml_relpos_encode(&again, &two);
    ML_ASSERT(ml_slice_equal(ml_writer_slice(&one), ml_writer_slice(&two)));
    resolve(doc, p);
    ml_writer_release(&one);
    ml_writer_release(&two);
    ml_writer_release(&json);
    ml_arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_slice input = ml_slice_make(data, size);
    struct ml_doc *doc;
    struct ml_arena arena;
    struct ml_relpos p;

    if (size > 1 << 16)
        return 0;
    ml_arena_init(&arena, FUZZ_MAX);
    doc = fuzz_doc(false);
    ML_ASSERT(fuzz_apply(doc, ml_slice_make(typed, sizeof typed), false));
    if (!ml_relpos_decode(input, &p, NULL))
        check(doc, &p);
    if (!ml_relpos_from_json(&arena, input, &p, NULL))
        check(doc, &p);
    ml_doc_free(doc);
    ml_arena_release(&arena);
    return 0;
}
