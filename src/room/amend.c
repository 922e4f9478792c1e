/* SPDX-License-Identifier: MIT */
/*
 * An update that plugins write on top of (u:amend).
 *
 *   document --state--> copy --update, its verdict--> --amendments, one transaction each-->
 *      ^                                                                                  |
 *      +------------------- all of it as one update, by the copy's bytes -----------------+
 *
 * An amendment may fail, and a document cannot take an update back: so the functions run on a copy,
 * and the document gets the result or nothing. Only such updates pay for that: the size of the
 * document each time.
 */
#include "room/live.h"

static enum ml_err make_copy(struct ml_room *room, struct ml_doc **copy_out)
{
    const struct ml_doc_options options = {.client = ml_doc_client(room->doc),
                                           .limits = room->rooms->env.limits.engine};
    struct ml_writer state;
    enum ml_err err;

    *copy_out = ml_doc_new(&options);
    if (!*copy_out)
        return ML_ELIMIT;
    ml_writer_init(&state, SIZE_MAX / 4);
    err = ml_doc_encode_state(room->doc, ml_slice_make(NULL, 0), &state);
    if (!err)
        err = ml_doc_apply_bytes(*copy_out, ml_writer_slice(&state), NULL);
    ml_writer_release(&state);
    return err;
}

static enum ml_err join(struct ml_room *room, const struct ml_slice *parts, size_t count,
                        struct ml_ruling *ruling)
{
    const struct ml_engine_limits *limits = room->rooms->env.limits.engine;
    struct ml_arena *scratch = ruling->update.scratch;
    struct ml_writer all;
    enum ml_err err;

    ml_writer_init(&all, SIZE_MAX / 4);
    err = ml_updates_merge(parts, count, limits, scratch, &all, NULL);
    if (!err) {
        ruling->amended_bytes = ml_arena_copy(scratch, ml_writer_slice(&all));
        err = ruling->amended_bytes.ptr
                  ? ml_update_decode(scratch, ruling->amended_bytes, limits, NULL, &ruling->amended)
                  : ML_ELIMIT;
    }
    ml_writer_release(&all);
    return err;
}

enum ml_err ml_room_amend(struct ml_room *room, struct ml_script *script,
                          const struct ml_scope *scope, struct ml_slice bytes,
                          struct ml_ruling *ruling, struct ml_denial *denial_out)
{
    struct ml_script_update *update = &ruling->update;
    bool judged = ruling->verdict.undo_waiting || ml_script_update_is_judged(update);
    struct ml_slice parts[ML_AMENDMENTS_MAX + 1];
    const struct ml_change *change;
    struct ml_doc *copy;
    size_t more = 0, count = 0;
    enum ml_err err = make_copy(room, &copy);

    if (!err)
        err = ml_doc_apply(copy, update->update, judged ? &ruling->verdict : NULL, update->scratch,
                           &change);
    if (!err) {
        parts[0] = change->was_pending && !judged ? bytes : change->bytes;
        count = parts[0].len > 0;
        err = ml_script_amend(script, scope, update, copy, parts + count, &more, denial_out);
    }
    if (!err && count + more)
        err = join(room, parts, count + more, ruling);
    ml_doc_free(copy);
    return err;
}
