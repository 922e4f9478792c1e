/* SPDX-License-Identifier: MIT */
/*
 * Collisions become decisions, decisions become operations (docs/plugins/conflicts.md).
 *
 *   update -- ml_doc_apply_asking --> collisions -- conflict hook --> answer
 *                                                                       |  not what stands already
 *   one record  <-- merged with the update -- write of the room's own client
 *
 * A resolution is an ordinary write, placed after both sides, so every replica agrees on it in
 * every order of delivery. It stands in the record of the update that caused it.
 *
 * Who wrote what is desk.c's memory; asking and writing is resolve.c.
 */
#include "room/conflict.h"

#include "room/live.h"

/** Kinds of collisions that a policy of this document decides; 0: the CRDT decides alone. */
unsigned ml_room_decides(struct ml_room *room)
{
    const struct ml_script *script =
        ml_room_hooks(room) & ML_HOOK_CONFLICT ? ml_room_script(room) : NULL;

    return script ? ml_script_conflict_kinds(script) : 0;
}

void ml_decided_release(struct ml_decided *decided)
{
    ml_blob_unref(decided->original);
    ml_blob_unref(decided->seen);
    ml_who_unref(decided->who);
    *decided = (struct ml_decided){0};
}

/* What an update is to this document, apart from its bytes. */
static void begin_decided(struct ml_room *room, struct ml_member *from, bool is_reply)
{
    struct ml_decided *d = &room->desk->deciding;

    ml_decided_release(d);
    (void)ml_member_author(from);
    d->who = ml_who_ref(from->who);
    if (from->seen && !(is_reply && from->has_answered))
        d->seen = ml_blob_ref(from->seen);
    d->was_told = is_reply && !from->is_asked_first;
    d->is_reply = is_reply;
    from->is_asked_first &= !is_reply;
    from->has_answered |= is_reply;
    d->at_us = ml_room_clock(room);
    d->based_on_us = is_reply || from->seen_us > from->synced_us ? from->seen_us : from->synced_us;
}

static enum ml_err apply_decided(struct ml_room *room, const struct ml_update *update,
                                 const struct ml_verdict *verdict, struct ml_slice received,
                                 unsigned kinds, struct ml_arena *scratch,
                                 struct ml_change **change_out, bool *resolved_out)
{
    struct ml_decided *d = &room->desk->deciding;
    const struct ml_write as = {
        .at_us = d->at_us,
        .based_on_us = d->based_on_us,
        .who = d->who,
        .is_offline = d->is_reply,
        .origin = d->is_reply ? "sync" : "client",
    };
    struct ml_collide question =
        ml_desk_question(room, room->doc, ml_notes_begin(room->desk->notes, &as)->tag);
    const struct ml_collision *found;
    const struct ml_change *applied;
    struct ml_slice natural;
    size_t count;
    enum ml_err err;

    question.kinds = kinds;
    question.seen = d->seen ? ml_blob_slice(d->seen) : ml_slice_make(NULL, 0);
    question.was_told = d->was_told;
    question.has_whole_deletes = d->is_reply;
    err = ml_doc_apply_asking(room->doc, update, verdict, &question, scratch, &applied, &found,
                              &count);

    if (err)
        return err;
    d->tag = question.tag;
    d->is_ruled |= applied->client_taken; /* written here, on top of this document */
    *change_out = ml_arena_alloc(scratch, sizeof **change_out);
    if (!*change_out)
        return ML_ELIMIT;
    **change_out = *applied;
    ml_desk_note_units(room, question.tag, applied->bytes, scratch);
    natural = applied->bytes;
    if (count && applied->client_taken)
        ml_doc_set_client(room->doc,
                          room->rooms->env.random(room->rooms->env.arg) & ML_VARUINT_MAX);
    if (count)
        /* What was refused of the bytes as they came must not be recorded with the answer. */
        err = ml_room_resolve(room, question.tag, found, count, verdict ? natural : received,
                              scratch, *change_out);
    *resolved_out = (*change_out)->bytes.ptr != natural.ptr;
    /* Not the change: that may name what is forgotten with this document, should it come to that.
     */
    if (!err && (*resolved_out || !applied->is_received)) {
        d->original = ml_blob_new(received);
        err = d->original ? ML_OK : ML_ELIMIT;
    }
    return err;
}

/**
 * Steps 8 and 8b: integrate an update, and add what the policy decides about its collisions.
 *
 * @param received      the update's bytes as they came
 * @param resolved_out  the change holds resolutions: the author has to be told like everybody, and
 *                      change->bytes are the record also of what waits
 * @retval as ml_doc_apply; after an error in the middle the document is broken
 */
enum ml_err ml_room_integrate(struct ml_room *room, struct ml_member *from, bool is_reply,
                              const struct ml_update *update, const struct ml_verdict *verdict,
                              struct ml_slice received, struct ml_arena *scratch,
                              const struct ml_change **change_out, bool *resolved_out)
{
    unsigned kinds = ml_room_decides(room);
    struct ml_change *change;
    enum ml_err err;

    *resolved_out = false;
    if (!kinds || !ml_desk_of(room)) {
        if (room->desk)
            ml_decided_release(&room->desk->deciding);
        return ml_doc_apply(room->doc, update, verdict, scratch, change_out);
    }
    begin_decided(room, from, is_reply);
    room->desk->deciding.undo_all = verdict && verdict->undo_all;
    room->desk->deciding.is_ruled = verdict && !verdict->undo_all;
    err = apply_decided(room, update, verdict, received, kinds, scratch, &change, resolved_out);
    if (err)
        ml_decided_release(&room->desk->deciding);
    else
        *change_out = change;
    return err;
}

/**
 * The document is another one now (moved.c): the entry's update goes in again, and what was decided
 * about it is forgotten and asked anew. The entry becomes a mark if there is nothing new in it.
 *
 * @retval ML_EMOVED  it stands on the other document: single edits of it were refused there, or a
 *                    plugin wrote it; who wrote it has to bring it again
 */
enum ml_err ml_room_integrate_again(struct ml_room *room, struct ml_staged *entry,
                                    struct ml_arena *scratch)
{
    struct ml_blob *original = entry->decided.original ? entry->decided.original : entry->bytes;
    struct ml_slice bytes = ml_blob_slice(original);
    const struct ml_update *update;
    struct ml_change *change;
    struct ml_blob *record = NULL;
    struct ml_verdict verdict = {0};
    bool waits, resolved = false;
    enum ml_err err;

    if (!ml_desk_of(room))
        return ML_ELIMIT;
    if (entry->decided.is_ruled || !entry->decided.at_us)
        return ML_EMOVED;
    err = ml_update_decode(scratch, bytes, room->rooms->env.limits.engine, NULL, &update);
    if (err)
        return err;
    ml_decided_release(&room->desk->deciding);
    room->desk->deciding = entry->decided;
    room->desk->deciding.original = NULL;
    entry->decided = (struct ml_decided){0};
    verdict.undo_all = room->desk->deciding.undo_all;
    err = apply_decided(room, update, verdict.undo_all ? &verdict : NULL, bytes,
                        ml_room_decides(room), scratch, &change, &resolved);
    entry->decided = room->desk->deciding;
    room->desk->deciding = (struct ml_decided){0};
    if (!err) {
        waits = change->was_pending || change->pending_dropped;
        if (waits || change->bytes.len)
            record = ml_blob_new(waits && !resolved ? bytes : change->bytes);
        if ((waits || change->bytes.len) && !record)
            err = ML_ELIMIT;
        room->state_bytes += change->bytes.len;
    }
    if (original != entry->bytes)
        ml_blob_unref(original);
    if (err)
        return err;
    if (resolved && !ml_room_claim_own(room, entry, 0))
        return ML_ELIMIT;
    entry->is_changed |= resolved;
    room->staged_bytes += record ? record->len : 0;
    room->staged_bytes -= entry->bytes ? entry->bytes->len : 0;
    ml_blob_unref(entry->bytes);
    entry->bytes = record;
    return ML_OK;
}

/** Another node committed this record: it goes into `doc`, and the desk hears of it. */
enum ml_err ml_room_take_record(struct ml_room *room, struct ml_doc *doc,
                                const struct ml_stored *record, struct ml_arena *scratch)
{
    struct ml_slice bytes = ml_blob_slice(record->bytes);
    struct ml_identity identity = {0};
    struct ml_write as = {.seq = record->seq, .origin = "client"};
    struct ml_collide question;
    const struct ml_update *update;
    const struct ml_change *change;
    const struct ml_collision *found;
    size_t count;
    enum ml_err err;

    err = ml_update_decode(scratch, bytes, room->rooms->env.limits.engine, NULL, &update);
    if (err)
        return err;
    if (!ml_desk_of(room))
        return ML_ELIMIT;
    ml_room_clock_saw(room, record->at_ms);
    as.at_us = record->at_ms > 0 ? (uint64_t)record->at_ms * 1000 : 0;
    if (record->author && record->author->len < sizeof identity.user) {
        memcpy(identity.user, record->author->bytes, record->author->len);
        as.who = ml_who_new(&identity);
    }
    question = ml_desk_question(room, doc, ml_notes_begin(room->desk->notes, &as)->tag);
    ml_who_unref(as.who);
    err = ml_doc_apply_asking(doc, update, NULL, &question, scratch, &change, &found, &count);
    if (!err)
        ml_desk_note_units(room, question.tag, change->bytes, scratch);
    return err;
}

/** The entry is the update that was integrated last. */
void ml_room_take_decided(struct ml_room *room, struct ml_staged *entry)
{
    if (!room->desk)
        return;
    entry->decided = room->desk->deciding;
    room->desk->deciding = (struct ml_decided){0};
    if (entry->decided.at_us)
        entry->at_ms = (int64_t)(entry->decided.at_us / 1000);
}
