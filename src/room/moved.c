/* SPDX-License-Identifier: MIT */
/*
 * Another node was faster: the append of a room that decides says *moved*.
 *
 *    journal    1 … H | H+1 … H'              records of others
 *    room       1 … H | staged: U, V          decided on H
 *                      \
 *    afterwards 1 … H | H+1 … H' | U, V       the document is built anew at H', U and V go in
 * again, every question is asked again, and so is the append
 *
 *  [M1] What was decided on H is forgotten whole: the document that held it is thrown away, with
 * the client id that wrote it. So nothing is in any record that was not decided on the records
 *       before it.
 *  [M2] Members hear of H+1 … H' before anything of U and V, as if they had come over the bus.
 *  [M3] So a mark, too, goes in again: what it said may have been known only from what is
 *       forgotten.
 *  [M4] An entry that turns out to be in the journal already (an append whose outcome was unknown)
 *       becomes a mark and is acknowledged with the rest.
 */
#include "base/log.h"
#include "room/live.h"

/* Everything up to the new head; what others have written since is noted for the desk. */
static enum ml_err build(struct ml_room *room, const struct ml_load *load, struct ml_doc **doc_out)
{
    struct ml_room_env *env = &room->rooms->env;
    const struct ml_doc_options options = {
        .client = env->random(env->arg) & ML_VARUINT_MAX,
        .limits = env->limits.engine,
    };
    struct ml_doc *doc = ml_doc_new(&options);
    enum ml_err err = doc ? ML_OK : ML_ELIMIT;

    if (!err && load->snapshot)
        err = ml_doc_apply_bytes(doc, ml_blob_slice(load->snapshot), NULL);
    for (size_t i = 0; !err && i < load->count; i++) {
        if (load->records[i].seq <= room->head)
            err = ml_doc_apply_bytes(doc, ml_blob_slice(load->records[i].bytes), NULL);
        else
            err = ml_room_take_record(room, doc, &load->records[i], &room->rooms->scratch);
        ml_arena_reset(&room->rooms->scratch);
    }
    if (err) {
        ml_desk_keep_no_more(room->desk);
        ml_doc_free(doc);
        return err;
    }
    *doc_out = doc;
    return ML_OK;
}

/* [M2] */
static void tell_missing(struct ml_room *room, const struct ml_load *load)
{
    for (size_t i = 0; i < load->count; i++) {
        const struct ml_stored *record = &load->records[i];

        if (record->seq <= room->head)
            continue;
        room->ops_since++;
        if (record->author)
            ml_room_wrote(room, ml_blob_slice(record->author));
        room->bytes_since += record->bytes->len;
        room->state_bytes += record->bytes->len;
        ml_room_tell_update(room, ml_blob_slice(record->bytes));
        ml_arena_reset(&room->rooms->scratch);
    }
}

static enum ml_err decide_again(struct ml_room *room)
{
    enum ml_err err = ML_OK;

    ml_list_splice(&room->sent, &room->staged);
    ml_list_splice(&room->staged, &room->sent);
    room->record_count = 0;
    ML_LIST_EACH(node, &room->staged)
    {
        struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);

        if ((entry->bytes || entry->decided.original) && !err)
            err = ml_room_integrate_again(room, entry, &room->rooms->scratch);
        ml_arena_reset(&room->rooms->scratch);
    }
    return err;
}

static void take(struct ml_room *room, const struct ml_load *load)
{
    struct ml_doc *doc;

    if (build(room, load, &doc)) {
        ml_room_abandon(room);
        return;
    }
    if (!ml_desk_keeps(room->desk, doc))
        ml_desk_keep_no_more(room->desk);
    ml_doc_free(room->doc);
    room->doc = doc;
    ml_room_forget_answers(room);
    ml_room_touch(room);
    tell_missing(room, load);
    room->head = load->head;
    room->desk->must_move = false;
    if (decide_again(room)) {
        ml_room_abandon(room);
        return;
    }
    if (room->state == ML_ROOM_HELD)
        room->state = ML_ROOM_LIVE;
}

static void on_caught_up(struct ml_load *load)
{
    struct ml_room *room = ML_CONTAINER(load, struct ml_desk, catch_up)->room;
    enum ml_err err = load->err;

    room->is_moving = false;
    room->desk->must_move = true;
    if (err == ML_ENOTFOUND && !load->is_compacted)
        ml_room_was_deleted(room);
    else if (err == ML_EDENIED)
        ml_room_was_shut(room);
    else if (err == ML_EFORMAT || err == ML_ENOTFOUND || (!err && load->epoch != room->epoch))
        ml_room_abandon(room); /* history was replaced, or what lies between is not kept */
    else if (err)
        ml_room_hold(room, err, load->diag.text);
    else if (!room->is_abandoned)
        take(room, load);
    ml_load_release(load);
    if (!err && !room->is_abandoned)
        ml_room_settle(room);
    else
        ml_room_close_if_idle(room);
}

/** Read what is missing, then decide and append again. */
void ml_room_catch_up(struct ml_room *room)
{
    room->rooms->stats.moved++;
    room->is_moving = true;
    room->desk->catch_up = (struct ml_load){
        .org = room->org,
        .name = room->name,
        .max_snapshot_seq = room->head,
        .done = on_caught_up,
    };
    ml_journal_load(room->rooms->env.journal, &room->desk->catch_up);
}
