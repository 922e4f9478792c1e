/* SPDX-License-Identifier: MIT */
/*
 * The keystroke, steps 5 to 9: grant, decode, policy (policy.c), integrate, stage. What happens
 * after the commit is commit.c.
 *
 * A member whose message meets ML_EBUSY keeps it and is paused; it is asked for again (port->pause)
 * when the room has room. There are three reasons: too much is staged; somebody's Step1 or a due
 * snapshot waits for a moment in which nothing is staged (a barrier of one commit); a plugin holds.
 */
#include "room/live.h"

enum ml_err ml_member_wait(struct ml_member *member)
{
    if (!member->is_paused)
        member->port->pause(member->port, true);
    member->is_paused = true;
    return ML_EBUSY;
}

/* Does somebody wait for a moment in which nothing is staged? */
static bool has_barrier(const struct ml_room *room)
{
    return ml_room_is_staging(room) && (room->sync_waiting || room->snapshot_due);
}

/* Half of a large message may stand out; one that finds nothing staged goes in at any size. */
static bool is_full_of_staged(const struct ml_room *room, size_t len)
{
    return room->staged_bytes &&
           room->staged_bytes + len > room->rooms->env.limits.staged_bytes + len / 2;
}

/* NULL: plugins wrote none, or there is no memory: a change goes before what is said of it. */
static struct ml_blob *labels_of(const struct ml_script_update *update, bool is_relayed)
{
    struct ml_writer out;
    struct ml_blob *labels = NULL;
    size_t start;

    if (!update->label_count && !is_relayed)
        return NULL;
    ml_writer_init(&out, ML_RECORD_LABELS_MAX);
    if (is_relayed)
        ml_write_bytes(&out, ML_SLICE("{\"author.relayed\":true"));
    start = out.len;
    if (update->label_count)
        ml_script_update_print_labels(update, &out);
    else
        ml_write_u8(&out, '}');
    if (is_relayed && update->label_count && !out.err)
        out.ptr[start] = ','; /* one object */
    if (!out.err)
        labels = ml_blob_new(ml_writer_slice(&out));
    ml_writer_release(&out);
    return labels;
}

enum ml_err ml_room_take(struct ml_member *from, struct ml_slice bytes, uint64_t message_no,
                         bool is_reply, struct ml_arena *scratch)
{
    const struct ml_room_env *env;
    struct ml_room *room;
    struct ml_ruling ruling;
    const struct ml_update *update;
    const struct ml_change *change;
    struct ml_blob *record;
    bool waits, plain, as_sent, resolved, is_whole;
    enum ml_err err;

    room = from->room;
    env = &room->rooms->env;
    if ((room->is_moving && !room->is_filling) || has_barrier(room) ||
        is_full_of_staged(room, bytes.len))
        return ml_member_wait(from);

    ml_room_trace(from->identity.session, message_no, "room");
    err = ml_update_decode(scratch, bytes, env->limits.engine, NULL, &update);
    if (err)
        return err;
    ml_room_trace(from->identity.session, message_no, "decode");
    if (ml_update_is_empty(update))
        return ml_room_stage(room, from, message_no, NULL, false);
    err = ml_room_wake(room);
    if (err == ML_EFORMAT)
        ml_room_abandon(room); /* what is stored cannot be integrated */
    if (err)
        return err == ML_EFORMAT ? ML_ECLOSED : err;

    if (!ml_grant_allows(&from->grant, ML_MAY_WRITE) || room->is_read_only) {
        /* A reader's Step2 that brings nothing is no write. */
        if (!is_reply || !ml_doc_contains(room->doc, update))
            return ML_EDENIED;
        return ml_room_stage(room, from, message_no, NULL, false);
    }

    /* What only deletes is welcome at any size. */
    if (ml_update_facts(update)->structs && ml_room_is_full(room, bytes.len) &&
        !ml_doc_contains(room->doc, update))
        return ML_ELIMIT;

    err = ml_room_judge(from, update, message_no, scratch);
    if (err)
        return err;
    err = ml_room_decide(from, update, bytes, message_no, is_reply, scratch, &ruling);
    if (err)
        return err;
    as_sent = plain = ml_ruling_is_plain(&ruling);
    if (ruling.amended && !ruling.verdict.undo_all) {
        update = ruling.amended;
        bytes = ruling.amended_bytes;
        plain = true;
        as_sent = false;
    }

    ml_room_trace(from->identity.session, message_no, plain ? "policy" : "policy: undo");
    room->claiming.own = ml_doc_client(room->doc);
    ml_room_watch(room);
    err = ml_room_integrate(room, from, is_reply, update, plain ? NULL : &ruling.verdict, bytes,
                            scratch, &change, &resolved);
    ml_room_watched(room, ml_slice_str(from->identity.user), is_reply ? "sync" : "client");
    if (err) {
        /* Refused whole, unless the heap gave out in the middle: then the journal has the truth. */
        if (ml_doc_is_broken(room->doc))
            ml_room_abandon(room);
        return err;
    }

    /* The update is part of the document now: it can be committed or held, not refused. */
    room->rooms->stats.updates++;
    room->state_bytes += change->bytes.len;
    ml_room_forget_answers(room);
    ml_room_touch(room);
    if (change->client_taken && !resolved)
        ml_doc_set_client(room->doc, env->random(env->arg) & ML_VARUINT_MAX);
    ml_room_trace(from->identity.session, message_no, "apply");
    waits = change->was_pending || change->pending_dropped;
    if (!change->bytes.len && !waits)
        return ml_room_stage(room, from, message_no, NULL, false);

    /* What waits for others is not in the change, but must survive with it: record what came, but
     * never what was refused. */
    is_whole = waits && plain && !resolved;
    room->labels =
        !ruling.verdict.undo_all ? labels_of(&ruling.update, room->claiming.is_relayed) : NULL;
    record = is_whole || change->bytes.len ? ml_blob_new(is_whole ? bytes : change->bytes) : NULL;
    err = !record && (is_whole || change->bytes.len)
              ? ML_ELIMIT
              : ml_room_stage(room, from, message_no, record, !as_sent || resolved);
    ml_blob_unref(room->labels); /* if it was not staged */
    room->labels = NULL;
    if (err) {
        /* Integrated but not recorded: this room may not go on telling others about it. */
        ml_blob_unref(record);
        ml_room_abandon(room);
        return err;
    }
    if (waits && ml_member_send_vector(from))
        ml_member_close(from, ML_CLOSE_TRY_LATER, "out of memory");
    return ML_OK;
}

/* Does an answer bring less than what came before it [E2]? */
static bool brings_nothing(struct ml_member *from, struct ml_slice bytes, struct ml_arena *scratch)
{
    const struct ml_update *update;

    return ml_update_decode(scratch, bytes, from->room->rooms->env.limits.engine, NULL, &update) ||
           ml_update_is_empty(update) ||
           (from->room->doc && ml_doc_contains(from->room->doc, update));
}

enum ml_err ml_room_submit(struct ml_member *from, struct ml_slice bytes, uint64_t message_no,
                           bool is_reply, struct ml_arena *scratch)
{
    enum ml_err err = ML_OK;

    if (ml_member_is_remote(from))
        return ml_remote_submit(from, bytes, message_no, is_reply, scratch);
    if (ml_early_waits(from, is_reply) && ml_early_keep(from, bytes, message_no))
        return ML_OK;
    if (from->early_count && (!is_reply || brings_nothing(from, bytes, scratch)))
        err = ml_early_take(from, scratch);
    if (!err)
        err = ml_room_take(from, bytes, message_no, is_reply, scratch);
    if (err == ML_EBUSY || !is_reply)
        return err;
    from->owes_answer = false;
    /* What cannot go in now goes in before the next message, or at a tick. */
    if (from->early_count && !err)
        (void)!ml_early_take(from, scratch);
    return err;
}

void ml_room_confirm(struct ml_member *member, uint64_t message_no)
{
    if (ml_member_is_remote(member))
        ml_remote_confirm(member, message_no);
    else if (!member->staged_count)
        member->port->ack(member->port, message_no);
}

enum ml_err ml_room_sync(struct ml_member *member, struct ml_slice state_vector,
                         struct ml_arena *scratch)
{
    enum ml_err err;

    (void)scratch;
    if (ml_member_is_remote(member))
        return ml_remote_sync(member, state_vector);
    err = ml_state_vector_check(state_vector, NULL);
    if (err)
        return err;
    ml_blob_unref(member->sync_vector);
    member->sync_vector = ml_blob_new(state_vector);
    if (!member->sync_vector)
        return ML_ELIMIT;
    ml_room_note_sync(member);
    if (!member->wants_sync)
        member->room->sync_waiting++;
    member->wants_sync = true;
    if (!ml_room_is_staging(member->room))
        return ml_member_send_state(member, NULL);
    if (member->room->state == ML_ROOM_HELD)
        ml_room_read_back(member->room);
    return ML_OK;
}
