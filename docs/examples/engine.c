/* SPDX-License-Identifier: MIT */
/* Two replicas are edited apart, tell each other what the other one lacks, and show the same. */
#include <moonloom/engine.h>
#include <stdio.h>

/* One edit by the document's own client: `text` behind what is there. */
static enum ml_err type(struct ml_doc *doc, const char *text)
{
    const struct ml_change *change; /* change->bytes is what others must hear; here they ask */
    struct ml_arena scratch;
    struct ml_type notes;
    uint32_t end;
    enum ml_err err = ml_doc_begin(doc, NULL);

    if (err)
        return err;
    err = ml_type_root(doc, ml_slice_str("notes"), &notes);
    if (!err)
        err = ml_type_length(doc, notes, &end);
    if (!err)
        err = ml_text_insert(doc, notes, end, ml_slice_str(text), NULL);
    if (err) {
        ml_doc_rollback(doc);
        return err;
    }
    ml_arena_init(&scratch, 1 << 20);
    err = ml_doc_commit(doc, &scratch, &change);
    ml_arena_release(&scratch);
    return err;
}

static enum ml_err bring_up_to_date(struct ml_doc *to, struct ml_doc *from)
{
    struct ml_writer sv, diff;
    enum ml_err err;

    ml_writer_init(&sv, 1 << 20);
    ml_writer_init(&diff, 64 << 20);
    ml_doc_state_vector(to, &sv);
    err = sv.err ? sv.err : ml_doc_encode_state(from, ml_writer_slice(&sv), &diff);
    if (!err)
        err = ml_doc_apply_bytes(to, ml_writer_slice(&diff), NULL);
    ml_writer_release(&diff);
    ml_writer_release(&sv);
    return err;
}

int main(void)
{
    /* Client ids are drawn at random in earnest, one for each replica that writes. */
    struct ml_doc *anna = ml_doc_new(&(struct ml_doc_options){.client = 1});
    struct ml_doc *ben = ml_doc_new(&(struct ml_doc_options){.client = 2});
    struct ml_writer text;
    enum ml_err err = anna && ben ? ML_OK : ML_ELIMIT;

    ml_writer_init(&text, 1 << 20);
    if (!err)
        err = type(anna, "Hello ");
    if (!err)
        err = type(ben, "world\n");
    if (!err)
        err = bring_up_to_date(anna, ben);
    if (!err)
        err = bring_up_to_date(ben, anna);
    if (!err)
        err = ml_doc_read(anna, ml_slice_str("notes"), ML_VIEW_TEXT, &text);
    if (!err)
        err = ml_doc_read(ben, ml_slice_str("notes"), ML_VIEW_TEXT, &text);
    if (err)
        fprintf(stderr, "%s\n", ml_err_text(err));
    else
        printf("%.*s", ML_PRINT(ml_writer_slice(&text)));
    ml_writer_release(&text);
    ml_doc_free(anna);
    ml_doc_free(ben);
    ml_engine_thread_end();
    return err ? 1 : 0;
}
