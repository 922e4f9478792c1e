/* SPDX-License-Identifier: MIT */
/* Two replicas are edited apart, tell each other what the other one lacks, and show the same. */
#include <moonloom/engine.h>
#include <stdio.h>

int main(void)
{
    static const char *const typed[] = {"[[\"text.insert\",\"notes\",0,\"Hello \"]]",
                                        "[[\"text.insert\",\"notes\",0,\"world\\n\"]]"};
    const struct ml_change *change; /* change->bytes is what others must hear; here they ask */
    struct ml_doc *docs[2];
    struct ml_writer w[4]; /* operations, state vector, what is lacking, text */
    struct ml_arena scratch;
    enum ml_err err = ML_OK;

    ml_arena_init(&scratch, 1 << 20);
    for (int i = 0; i < 4; i++)
        ml_writer_init(&w[i], 1 << 20);
    for (int i = 0; i < 2; i++) { /* client ids are drawn at random in earnest */
        docs[i] = ml_doc_new(&(struct ml_doc_options){.client = (ml_client_id)i + 1});
        ml_writer_reset(&w[0]);
        err = err ? err : ml_any_from_json(ml_slice_str(typed[i]), NULL, &w[0]);
        err = err ? err : ml_doc_run_ops(docs[i], ml_writer_slice(&w[0]), &scratch, NULL, &change);
    }
    for (int i = 0; i < 2; i++, ml_writer_reset(&w[1]), ml_writer_reset(&w[2])) {
        ml_doc_state_vector(docs[i], &w[1]);
        err = err ? err : ml_doc_encode_state(docs[1 - i], ml_writer_slice(&w[1]), &w[2]);
        err = err ? err : ml_doc_apply_bytes(docs[i], ml_writer_slice(&w[2]), NULL);
    }
    for (int i = 0; i < 2; i++)
        err = err ? err : ml_doc_read(docs[i], ml_slice_str("notes"), ML_VIEW_TEXT, &w[3]);
    (void)printf("%.*s%s", ML_PRINT(ml_writer_slice(&w[3])), err ? ml_err_text(err) : "");
    for (int i = 0; i < 4; i++)
        ml_writer_release(&w[i]);
    ml_doc_free(docs[0]);
    ml_doc_free(docs[1]);
    ml_arena_release(&scratch);
    ml_engine_thread_end();
    return err != ML_OK;
}
