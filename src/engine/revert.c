/* SPDX-License-Identifier: MIT */
/*
 * Back to a version whose bytes were kept, on a document that has collected what it deleted since.
 *
 *   old state --> S, a document of its own        (what was deleted later is alive in it)
 *   what has changed since --> S                  one transaction, on a history
 *   undo                                          S shows the old view again
 *   what the document lacks of S                  the update
 *
 * Source: spec of Yjs 13.6's UndoManager, used on a copy; checked on random documents.
 */
#include "engine/update.h"

#include <stdlib.h>

#define LATER 1 /* the origin of what has changed since */

/* Everything that has happened to `doc` since the state of `copy`, as one transaction. */
static enum ml_err apply_later(struct ml_doc *doc, struct ml_doc *copy, struct ml_diag *diag)
{
    struct ml_writer state_vector, later;
    enum ml_err err;

    ml_writer_init(&state_vector, doc->limits.doc_bytes);
    ml_writer_init(&later, doc->limits.doc_bytes);
    ml_doc_state_vector(copy, &state_vector);
    err = state_vector.err;
    if (!err)
        err = ml_doc_encode_state(doc, ml_writer_slice(&state_vector), &later);
    ml_doc_set_origin(copy, LATER, 1);
    if (!err)
        err = ml_doc_apply_bytes(copy, ml_writer_slice(&later), diag);
    ml_doc_set_origin(copy, 0, 0);
    ml_writer_release(&state_vector);
    ml_writer_release(&later);
    return err;
}

/* All that has happened since, undone in `copy`. */
static enum ml_err go_back(struct ml_doc *doc, struct ml_doc *copy, struct ml_diag *diag)
{
    static const uint64_t origin = LATER;
    const struct ml_history_options options = {
        .origins = &origin, .origin_count = 1, .ranges_max = UINT32_MAX};
    struct ml_history *history = ml_history_new(copy, &options);
    const struct ml_change *change;
    struct ml_arena scratch;
    enum ml_err err;

    if (!history)
        return ML_ELIMIT;
    ml_arena_init(&scratch, doc->limits.doc_bytes);
    err = apply_later(doc, copy, diag);
    if (!err)
        err = ml_history_undo(history, &scratch, &change);
    ml_history_free(history);
    ml_arena_release(&scratch);
    return err == ML_ENOTFOUND ? ML_OK : err; /* nothing has happened since */
}

enum ml_err ml_doc_revert(struct ml_doc *doc, struct ml_slice old_state, ml_client_id client,
                          struct ml_writer *out, struct ml_diag *diag)
{
    struct ml_engine_limits limits = doc->limits;
    const struct ml_doc_options options = {.client = client, .limits = &limits};
    struct ml_writer state_vector;
    struct ml_doc *copy;
    enum ml_err err;

    if (!client || client > ML_VARUINT_MAX || ml_state_of(doc, client))
        return ml_diag_set(diag, ML_ECONFLICT, 0, "the client of a revert has to be a new one");
    limits.update_bytes = limits.doc_bytes;
    copy = ml_doc_new(&options);
    if (!copy)
        return ML_ELIMIT;
    ml_writer_init(&state_vector, doc->limits.doc_bytes);
    err = ml_doc_apply_bytes(copy, old_state, diag);
    if (!err && ml_state_of(copy, client))
        err = ml_diag_set(diag, ML_ECONFLICT, 0, "the client of a revert has to be a new one");
    if (!err)
        err = go_back(doc, copy, diag);
    ml_doc_state_vector(doc, &state_vector);
    if (!err)
        err = state_vector.err;
    if (!err)
        err = ml_doc_encode_state(copy, ml_writer_slice(&state_vector), out);
    ml_writer_release(&state_vector);
    ml_doc_free(copy);
    return err;
}
