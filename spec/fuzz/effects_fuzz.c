/* SPDX-License-Identifier: MIT */
/*
 * Edits and what a policy makes of them. The input is a log as in update_v1_fuzz.c: flags, then u16
 * length and bytes, …; before each update goes in, its edits are looked at from every side and
 * judged by the update's own bytes.
 *
 *  - looking changes nothing;
 *  - after every step the invariants hold, and what was decided goes into a replica.
 */
#include "fuzz.h"

static void look(struct ml_effects *effects, const struct ml_effect *effect, struct ml_writer *out)
{
    enum ml_err err;
    uint32_t index;
    struct ml_id block;
    bool is_text;

    ML_ASSERT(effect->len > 0 && effect->path.ptr);
    ml_writer_reset(out);
    ml_effect_write_path(effect, true, out);
    err = ml_effect_index(effects, effect, &index);
    ML_ASSERT(!err || err == ML_ENOTFOUND || err == ML_ELIMIT);
    err = ml_effect_value(effects, effect, out);
    ML_ASSERT(!err || err == ML_ENOTFOUND || err == ML_ELIMIT);
    err = ml_effect_before(effects, effect, out, &is_text);
    ML_ASSERT(!err || err == ML_ENOTFOUND || err == ML_ELIMIT);
    err = ml_effect_block_text(effects, effect, out);
    ML_ASSERT(!err || err == ML_ENOTFOUND || err == ML_ELIMIT);
    (void)ml_effect_block(effects, effect, &block);
}

static void judge(struct ml_effects *effects, size_t number, uint8_t how)
{
    enum ml_err err = ML_OK;

    switch (how % 5) {
    case 0:
        ml_effect_undo(effects, number);
        break;
    case 1:
        err = ml_effect_remove(effects, number);
        break;
    case 2:
        err = ml_effect_replace(effects, number, ML_SLICE("m\xc3\xb6\xf0\x9f\x98\x80n"));
        break;
    default:
        break;
    }
    ML_ASSERT(!err || err == ML_EDENIED || err == ML_ELIMIT);
}

/* Into the document; what is recorded goes into the replica. */
static void apply(struct ml_doc *doc, struct ml_doc *replica, const struct ml_update *update,
                  struct ml_effects *effects, struct ml_arena *scratch)
{
    const struct ml_verdict verdict = {.effects = effects, .undo_waiting = true};
    const struct ml_change *change;

    if (ml_doc_apply(doc, update, &verdict, scratch, &change))
        return;
    fuzz_check(doc);
    if (change->client_taken)
        ml_doc_set_client(doc, ml_doc_client(doc) + 1);
    if (change->bytes.len && !ml_doc_apply_bytes(replica, change->bytes, NULL))
        fuzz_check(replica);
}

static void step(struct ml_doc *doc, struct ml_doc *replica, struct ml_slice bytes)
{
    const struct ml_update *update;
    struct ml_effects *effects;
    struct ml_arena scratch;
    struct ml_writer out;
    uint64_t version = ml_doc_version(doc);

    ml_arena_init(&scratch, FUZZ_MAX);
    ml_writer_init(&out, FUZZ_MAX);
    if (!ml_update_decode(&scratch, bytes, &fuzz_limits, NULL, &update) &&
        !ml_update_effects(doc, update, &scratch, &effects)) {
        for (size_t i = 0; i < ml_effects_count(effects); i++) {
            look(effects, ml_effects_at(effects, i), &out);
            judge(effects, i, bytes.ptr[i % bytes.len]);
            look(effects, ml_effects_at(effects, i), &out);
        }
        ML_ASSERT(ml_doc_version(doc) == version);
        apply(doc, replica, update, effects, &scratch);
    }
    ml_writer_release(&out);
    ml_arena_release(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *p = data + 1, *end = data + size;
    struct ml_doc *doc, *replica;

    if (size < 3)
        return 0;
    doc = fuzz_doc(data[0] & 1);
    replica = fuzz_doc(data[0] & 1);
    while (end - p >= 2) {
        size_t len = p[0] | (size_t)p[1] << 8;

        p += 2;
        if (len > (size_t)(end - p))
            len = (size_t)(end - p);
        if (len)
            step(doc, replica, ml_slice_make(p, len));
        p += len;
    }
    ml_doc_free(doc);
    ml_doc_free(replica);
    return 0;
}
