/* SPDX-License-Identifier: MIT */
/*
 * One payload, one frame per dialect, one reference per member. The frame is made when the first
 * member of its dialect is met: a room of a thousand members costs one encode and a thousand
 * counts. Only a member whose address is more than the document's name has frames of its own.
 */
#include "room/live.h"

static bool has_own_frames(const struct ml_room *room, const struct ml_port *port)
{
    return port->address.len > room->name.len;
}

/* A reference for the caller; NULL: out of memory. */
static struct ml_blob *frame_for(const struct ml_room *room, const struct ml_port *port,
                                 enum ml_frame_kind kind, struct ml_slice payload,
                                 struct ml_blob **shared)
{
    if (has_own_frames(room, port))
        return ml_frame_encode(port->dialect, port->address, kind, payload);
    if (!shared[port->dialect])
        shared[port->dialect] = ml_frame_encode(port->dialect, port->address, kind, payload);
    return shared[port->dialect] ? ml_blob_ref(shared[port->dialect]) : NULL;
}

/** @param only_author  wrote all of it; NULL: several did, or nobody */
void ml_room_fan_out(struct ml_room *room, enum ml_frame_kind kind, struct ml_slice payload,
                     enum ml_send as, const struct ml_member *only_author)
{
    struct ml_blob *frames[ML_DIALECT_COUNT] = {0};

    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);
        struct ml_blob *frame;

        if (!member->is_seated || member->is_closing ||
            (member == only_author && !ml_dialect_echoes(member->port->dialect)))
            continue;
        /* The answer to its first Step1 is about to bring it. Told of it before, its own answer
         * could not tell any more what it knew deleted by itself. */
        if (kind == ML_FRAME_UPDATE && member->wants_sync && !member->was_told)
            continue;
        frame = frame_for(room, member->port, kind, payload, frames);
        if (!frame) {
            /* No memory for what everybody has to know: who missed it must sync again. */
            ml_member_close(member, ML_CLOSE_TRY_LATER, "out of memory");
            continue;
        }
        member->was_told |= kind == ML_FRAME_UPDATE;
        /* A full outbox is this member's affair: its port closes itself. */
        (void)!member->port->send(member->port, frame, as);
        ml_blob_unref(frame);
        room->rooms->stats.frames_sent++;
    }
    for (int i = 0; i < ML_DIALECT_COUNT; i++)
        ml_blob_unref(frames[i]);
}

enum ml_err ml_member_send(struct ml_member *member, enum ml_frame_kind kind,
                           struct ml_slice payload, enum ml_send as)
{
    struct ml_blob *frame =
        ml_frame_encode(member->port->dialect, member->port->address, kind, payload);
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

/* One answer on its way out: to a member, and into `answer` if it is worth keeping. */
struct answering {
    struct ml_member *member;
    struct ml_answer *answer; /* NULL: not kept */
};

/* One part of a split state: all but the last are ordinary updates, the last one ends the sync. */
static enum ml_err send_part(void *to, struct ml_slice part, bool last)
{
    struct answering *a = to;
    struct ml_port *port = a->member->port;
    struct ml_blob *frame = ml_frame_encode(port->dialect, port->address,
                                            last ? ML_FRAME_STEP2 : ML_FRAME_UPDATE, part);
    enum ml_err err;

    if (!frame)
        return ML_ELIMIT;
    if (a->answer && !ml_answer_push(a->answer, frame)) {
        ml_answer_drop(a->answer);
        a->answer = NULL;
    }
    err = port->send(port, frame, ML_SEND_SYNC);
    ml_blob_unref(frame);
    a->member->room->rooms->stats.frames_sent++;
    return err;
}

static enum ml_err send_again(struct ml_member *member, struct ml_answer *answer)
{
    struct ml_port *port = member->port;
    enum ml_err err = ML_OK;

    answer->used_ms = ml_room_now(member->room);
    for (size_t i = 0; i < answer->count && !err; i++) {
        err = port->send(port, answer->frames[i], ML_SEND_SYNC);
        member->room->rooms->stats.frames_sent++;
    }
    member->room->rooms->stats.answers_shared++;
    return err;
}

static enum ml_err send_parts(struct answering *a, const struct ml_writer *state)
{
    struct ml_rooms *rooms = a->member->room->rooms;
    size_t part_bytes = rooms->env.limits.frame_bytes;
    enum ml_err err;

    if (state->len <= part_bytes)
        return send_part(a, ml_writer_slice(state), true);
    err = ml_update_split(ml_writer_slice(state), part_bytes, rooms->env.limits.engine,
                          &rooms->scratch, send_part, a, NULL);
    ml_arena_reset(&rooms->scratch);
    return err;
}

/* From `doc`, or (NULL) from what the room has; that is worth keeping for others. */
static enum ml_err send_state(struct ml_member *member, struct ml_slice vector, struct ml_doc *doc)
{
    struct ml_room *room = member->room;
    struct answering a = {.member = member};
    bool is_shared = !doc && !has_own_frames(room, member->port);
    struct ml_writer state;
    enum ml_err err;

    if (is_shared) {
        a.answer = ml_room_find_answer(room, member->port->dialect, vector);
        if (a.answer)
            return send_again(member, a.answer);
    }
    ml_writer_init(&state, room->rooms->env.limits.document_bytes * 2);
    err =
        doc ? ml_doc_encode_state(doc, vector, &state) : ml_room_write_state(room, vector, &state);
    if (!err)
        err = state.err;
    if (!err && is_shared) {
        a.answer = ml_room_add_answer(room, member->port->dialect, vector);
        if (a.answer)
            a.answer->used_ms = ml_room_now(room);
    }
    if (!err)
        err = send_parts(&a, &state);
    if (err && a.answer)
        ml_answer_drop(a.answer); /* not whole */
    ml_writer_release(&state);
    return err;
}

/**
 * Answer the Step1 that waits at this member.
 * @param doc  holds nothing staged; NULL: neither does the room, and it answers from what it has
 */
enum ml_err ml_member_send_state(struct ml_member *member, struct ml_doc *doc)
{
    struct ml_slice vector =
        member->sync_vector ? ml_blob_slice(member->sync_vector) : ml_slice_make(NULL, 0);
    enum ml_err err = ML_OK;

    if (!ml_dialect_speaks_first(member->port->dialect))
        err = ml_member_send_vector(member);
    member->was_told = true;
    if (!err)
        err = send_state(member, vector, doc);
    ml_blob_unref(member->sync_vector);
    member->sync_vector = NULL;
    if (member->wants_sync)
        member->room->sync_waiting--;
    member->wants_sync = false;
    return err;
}

/** Our Step1: asks the client for what the room lacks. */
enum ml_err ml_member_send_vector(struct ml_member *member)
{
    struct ml_slice vector;
    enum ml_err err = ml_room_state_vector(member->room, &vector);

    member->is_asked_first = !member->was_told;
    member->owes_answer = !err;
    return err ? err : ml_member_send(member, ML_FRAME_STEP1, vector, ML_SEND_UPDATE);
}
