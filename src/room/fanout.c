/* SPDX-License-Identifier: MIT */
/*
 * One payload, one frame per dialect, one reference per member. The frame is made when the first
 * member of its dialect is met: a room of a thousand members costs one encode and a thousand
 * counts.
 */
#include "room/live.h"

void ml_room_fan_out(struct ml_room *room, enum ml_frame_kind kind, struct ml_slice payload,
                     enum ml_send as)
{
    struct ml_blob *frames[ML_DIALECT_COUNT] = {0};

    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);
        enum ml_dialect dialect = member->port->dialect;

        if (!member->is_seated || member->is_closing)
            continue;
        if (!frames[dialect])
            frames[dialect] = ml_frame_encode(dialect, kind, payload);
        if (!frames[dialect]) {
            /* No memory for what everybody has to know: who missed it must sync again. */
            ml_member_close(member, ML_CLOSE_TRY_LATER, "out of memory");
            continue;
        }
        /* A full outbox is this member's affair: its port closes itself. */
        (void)!member->port->send(member->port, frames[dialect], as);
        room->rooms->stats.frames_sent++;
    }
    for (int i = 0; i < ML_DIALECT_COUNT; i++)
        ml_blob_unref(frames[i]);
}

enum ml_err ml_member_send(struct ml_member *member, enum ml_frame_kind kind,
                           struct ml_slice payload, enum ml_send as)
{
    struct ml_blob *frame = ml_frame_encode(member->port->dialect, kind, payload);
    enum ml_err err;

    if (!frame)
        return ML_ELIMIT;
    err = member->port->send(member->port, frame, as);
    ml_blob_unref(frame);
    member->room->rooms->stats.frames_sent++;
    return err;
}

void ml_member_close(struct ml_member *member, enum ml_close why, const char *reason)
{
    if (member->is_closing)
        return;
    member->is_closing = true;
    member->port->close(member->port, why, ml_slice_str(reason));
}

/* One part of a split state: all but the last are ordinary updates, the last one ends the sync. */
static enum ml_err send_part(void *to, struct ml_slice part, bool last)
{
    struct ml_member *member = to;

    return ml_member_send(member, last ? ML_FRAME_STEP2 : ML_FRAME_UPDATE, part, ML_SEND_SYNC);
}

/** Answer the Step1 that waits at this member from `doc`, which holds nothing staged. */
enum ml_err ml_member_send_state(struct ml_member *member, struct ml_doc *doc)
{
    struct ml_room *room = member->room;
    struct ml_rooms *rooms = room->rooms;
    const struct ml_engine_limits *limits = rooms->env.limits.engine;
    struct ml_slice vector =
        member->sync_vector ? ml_blob_slice(member->sync_vector) : ml_slice_make(NULL, 0);
    struct ml_writer state;
    enum ml_err err;

    ml_writer_init(&state, rooms->env.limits.document_bytes * 2);
    err = ml_doc_encode_state(doc, vector, &state);
    if (!err)
        err = state.err;
    if (!err && state.len <= rooms->env.limits.frame_bytes)
        err = send_part(member, ml_writer_slice(&state), true);
    else if (!err)
        err = ml_update_split(ml_writer_slice(&state), rooms->env.limits.frame_bytes, limits,
                              &rooms->scratch, send_part, member, NULL);
    ml_writer_release(&state);
    ml_arena_reset(&rooms->scratch);
    ml_blob_unref(member->sync_vector);
    member->sync_vector = NULL;
    if (member->wants_sync)
        room->sync_waiting--;
    member->wants_sync = false;
    return err;
}

/** Our Step1: asks the client for what the room lacks. */
enum ml_err ml_member_send_vector(struct ml_member *member)
{
    struct ml_writer vector;
    enum ml_err err;

    ml_writer_init(&vector, member->room->rooms->env.limits.document_bytes);
    ml_doc_state_vector(member->room->doc, &vector);
    err = vector.err;
    if (!err)
        err = ml_member_send(member, ML_FRAME_STEP1, ml_writer_slice(&vector), ML_SEND_UPDATE);
    ml_writer_release(&vector);
    return err;
}
