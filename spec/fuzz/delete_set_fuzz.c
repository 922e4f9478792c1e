/* SPDX-License-Identifier: MIT */
/*
 * Delete sets, alone and in an update: the first byte chooses the format.
 *
 *  - what is taken is written in its normal form, which is its own;
 *  - V1 and V2 say the same;
 *  - as an update without structs it is taken, too (V1), and waits in an empty document.
 */
#include "engine/snapshot.h"

#include "fuzz.h"

static bool read(struct ml_arena *arena, struct ml_slice bytes, enum ml_update_format format,
                 struct ml_delete_set *out)
{
    struct ml_reader in = ml_reader_make(bytes);

    return !ml_delete_set_read(arena, &in, format, out);
}

static void expect_same(const struct ml_delete_set *a, const struct ml_delete_set *b)
{
    ML_ASSERT(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        ML_ASSERT(a->ranges[i].client == b->ranges[i].client &&
                  a->ranges[i].clock == b->ranges[i].clock && a->ranges[i].len == b->ranges[i].len);
}

static void check_update(const struct ml_writer *v1)
{
    struct ml_doc *doc = fuzz_doc(false);
    struct ml_writer update;

    ml_writer_init(&update, FUZZ_MAX);
    ml_write_varuint(&update, 0);
    ml_write_bytes(&update, ml_writer_slice(v1));
    (void)fuzz_apply(doc, ml_writer_slice(&update), false);
    fuzz_check(doc);
    ml_writer_release(&update);
    ml_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_delete_set set, again;
    struct ml_writer out;
    struct ml_arena arena;

    if (!size || size > fuzz_limits.update_bytes)
        return 0;
    ml_arena_init(&arena, FUZZ_MAX);
    ml_writer_init(&out, FUZZ_MAX);
    if (read(&arena, ml_slice_make(data + 1, size - 1), data[0] & 1 ? ML_UPDATE_V2 : ML_UPDATE_V1,
             &set)) {
        ml_delete_set_write(&set, ML_UPDATE_V2, &out);
        ML_ASSERT(read(&arena, ml_writer_slice(&out), ML_UPDATE_V2, &again));
        expect_same(&set, &again);
        ml_writer_reset(&out);
        ml_delete_set_write(&set, ML_UPDATE_V1, &out);
        ML_ASSERT(read(&arena, ml_writer_slice(&out), ML_UPDATE_V1, &again));
        expect_same(&set, &again);
        check_update(&out);
    }
    ml_writer_release(&out);
    ml_arena_release(&arena);
    return 0;
}
