/* SPDX-License-Identifier: MIT */
/* Two replicas take different edits, tell each other what the other one lacks, and show the same.
 */
#include <moonloom/engine.h>
#include <stdio.h>

/* What two Yjs editors sent when one typed "Hello " and the other "world" into the root "notes". */
#define TYPED(client, text) ML_SLICE("\1\1" client "\0\4\1\5notes\6" text "\0")

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
    struct ml_doc *anna = ml_doc_new(NULL), *ben = ml_doc_new(NULL);
    struct ml_writer text;
    enum ml_err err = anna && ben ? ML_OK : ML_ELIMIT;

    ml_writer_init(&text, 1 << 20);
    if (!err)
        err = ml_doc_apply_bytes(anna, TYPED("\1", "Hello "), NULL);
    if (!err)
        err = ml_doc_apply_bytes(ben, TYPED("\2", "world\n"), NULL);
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
