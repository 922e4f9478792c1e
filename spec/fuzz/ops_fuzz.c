/* SPDX-License-Identifier: MIT */
/*
 * Operations from outside, as JSON text or as Any, on a document that holds a little of everything.
 *
 *  - what is refused has changed nothing, and breaks nothing;
 *  - what is done reaches a replica: both end in the same bytes.
 */
#include "fuzz.h"

static const char base_ops[] =
    "[[\"text.insert\",\"t\",0,\"a\xf0\x9f\x98\x80 rich\",{\"b\":true}],"
    "[\"text.embed\",\"t\",3,{\"image\":1}],[\"text.insert\",\"t\",0,\"plain\",{}],"
    "[\"array.push\",\"a\",[1,{\"$new\":\"map\",\"entries\":{\"k\":{\"$new\":\"array\"}}},2]],"
    "[\"map.set\",\"m\",\"k\",{\"$new\":\"text\",\"text\":\"x\"}],"
    "[\"xml.insert\",\"x\",0,[{\"$new\":\"xmlelement\",\"name\":\"p\",\"attrs\":{\"c\":1},"
    "\"children\":[{\"$new\":\"xmltext\",\"text\":\"y\"}]}]],"
    "[\"map.set\",\"m\",\"d\",{\"$new\":\"doc\",\"guid\":\"g\"}]]";

static struct ml_writer state_of(struct ml_doc *doc)
{
    struct ml_writer out;
    enum ml_err err;

    ml_writer_init(&out, FUZZ_MAX);
    err = ml_doc_encode_state(doc, ml_slice_make(NULL, 0), &out);
    ML_ASSERT(!err);
    return out;
}

/* Run the operations; what they emit goes to the replica. False: refused. */
static bool run(struct ml_doc *doc, struct ml_doc *replica, struct ml_slice ops)
{
    const struct ml_change *change;
    struct ml_arena scratch;
    enum ml_err err;

    ml_arena_init(&scratch, FUZZ_MAX);
    err = ml_doc_run_ops(doc, ops, &scratch, NULL, &change);
    ML_ASSERT(!err || err == ML_EFORMAT || err == ML_ELIMIT || err == ML_ENOTFOUND);
    if (!err && change->bytes.len) {
        bool applied = fuzz_apply(replica, change->bytes, false);

        ML_ASSERT(applied);
    }
    ml_arena_release(&scratch);
    return !err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_doc *doc = fuzz_doc(false), *replica = fuzz_doc(false);
    struct ml_writer base, ops, before, after, there;
    bool ok;

    ml_writer_init(&base, FUZZ_MAX);
    ml_writer_init(&ops, FUZZ_MAX);
    ok = !ml_any_from_json(ml_slice_str(base_ops), NULL, &base) &&
         run(doc, replica, ml_writer_slice(&base));
    ML_ASSERT(ok);
    if (ml_any_from_json(ml_slice_make(data, size), NULL, &ops)) {
        ml_writer_reset(&ops);
        ml_write_bytes(&ops, ml_slice_make(data, size));
    }
    before = state_of(doc);
    ok = run(doc, replica, ml_writer_slice(&ops));
    ML_ASSERT(!ml_doc_is_broken(doc));
    fuzz_check(doc);
    fuzz_read(doc);
    after = state_of(doc);
    there = state_of(replica);
    ML_ASSERT(ok || ml_slice_equal(ml_writer_slice(&before), ml_writer_slice(&after)));
    ML_ASSERT(ml_slice_equal(ml_writer_slice(&after), ml_writer_slice(&there)));
    ml_writer_release(&base);
    ml_writer_release(&ops);
    ml_writer_release(&before);
    ml_writer_release(&after);
    ml_writer_release(&there);
    ml_doc_free(doc);
    ml_doc_free(replica);
    return 0;
}
