/* SPDX-License-Identifier: MIT */
/*
 * Who wrote lately: ranges of units, and for each its author and time, by a tag that counts
 * transactions. What is older than that has no author any more.
 *
 *   unit -- ranges, newest first --> tag -- writes[tag % WRITES] --> author, time, seq
 *
 * Time is a hybrid clock (ml_room_clock): the server's, but never back and never the same twice.
 */
#include "room/conflict.h"

#include "room/live.h"

#include <stdlib.h>

#define WRITES     512
#define RANGES     1024
#define PAST_BYTES (256u << 10)

struct range {
    ml_client_id client;
    uint64_t from, to, tag;
};

struct ml_notes {
    struct ml_past *past, *texts;   /* `texts` NULL: nobody has asked for it */
    struct ml_write writes[WRITES]; /* by tag % WRITES */
    struct range ranges[RANGES];    /* a ring */
    size_t first, count;
    uint64_t last_tag;
};

static void notes_free(struct ml_notes *notes)
{
    if (!notes)
        return;
    for (size_t i = 0; i < WRITES; i++)
        ml_who_unref(notes->writes[i].who);
    ml_past_free(notes->past);
    ml_past_free(notes->texts);
    free(notes);
}

struct ml_desk *ml_desk_of(struct ml_room *room)
{
    struct ml_desk *desk;

    if (room->desk)
        return room->desk;
    desk = calloc(1, sizeof *desk);
    if (!desk)
        return NULL;
    desk->room = room;
    desk->notes = calloc(1, sizeof *desk->notes);
    if (desk->notes)
        desk->notes->past = ml_past_new(PAST_BYTES);
    if (!desk->notes || !desk->notes->past) {
        ml_desk_free(desk);
        return NULL;
    }
    room->desk = desk;
    return desk;
}

void ml_desk_free(struct ml_desk *desk)
{
    if (!desk)
        return;
    ml_decided_release(&desk->deciding);
    ml_desk_keep_no_more(desk);
    notes_free(desk->notes);
    free(desk);
}

struct ml_past *ml_notes_past(struct ml_notes *notes)
{
    return notes->past;
}

struct ml_past *ml_notes_texts(struct ml_notes *notes)
{
    if (!notes->texts)
        notes->texts = ml_past_new(PAST_BYTES);
    return notes->texts;
}

struct ml_write *ml_notes_find_tag(struct ml_notes *notes, uint64_t tag)
{
    struct ml_write *write = &notes->writes[tag % WRITES];

    return tag && write->tag == tag ? write : NULL;
}

struct ml_write *ml_notes_find_unit(struct ml_notes *notes, const struct ml_id *id)
{
    for (size_t n = notes->count; n-- > 0;) {
        const struct range *r = &notes->ranges[(notes->first + n) % RANGES];

        if (r->client == id->client && r->from <= id->clock && id->clock < r->to)
            return ml_notes_find_tag(notes, r->tag);
    }
    return NULL;
}

struct ml_write *ml_notes_begin(struct ml_notes *notes, const struct ml_write *as)
{
    struct ml_write *write = &notes->writes[++notes->last_tag % WRITES];

    ml_who_unref(write->who);
    *write = *as;
    write->tag = notes->last_tag;
    ml_who_ref(write->who);
    return write;
}

void ml_desk_note_units(struct ml_room *room, uint64_t tag, struct ml_slice record,
                        struct ml_arena *scratch)
{
    struct ml_notes *notes = room->desk->notes;
    const struct ml_update *update;
    struct ml_author author;
    uint32_t cursor = 0;

    if (!record.len ||
        ml_update_decode(scratch, record, room->rooms->env.limits.engine, NULL, &update))
        return;
    while (ml_update_next_author(update, &cursor, &author)) {
        if (notes->count == RANGES) {
            notes->first = (notes->first + 1) % RANGES;
            notes->count--;
        }
        notes->ranges[(notes->first + notes->count++) % RANGES] =
            (struct range){author.client, author.from, author.to, tag};
    }
}

/** Somebody's record was committed: from now on it has a seq. */
void ml_room_note_seq(struct ml_room *room, uint64_t tag, uint64_t seq)
{
    struct ml_write *write = room->desk ? ml_notes_find_tag(room->desk->notes, tag) : NULL;

    if (write)
        write->seq = seq;
}

/** A moment that is later than all before, and not earlier than the server's clock. */
uint64_t ml_room_clock(struct ml_room *room)
{
    int64_t wall_ms = room->rooms->env.wall_ms(room->rooms->env.arg);
    uint64_t wall_us = wall_ms > 0 ? (uint64_t)wall_ms * 1000 : 0;

    room->clock_us = wall_us > room->clock_us ? wall_us : room->clock_us + 1;
    return room->clock_us;
}

/** What others wrote has a time, too. */
void ml_room_clock_saw(struct ml_room *room, int64_t at_ms)
{
    if (at_ms > 0 && (uint64_t)at_ms * 1000 > room->clock_us)
        room->clock_us = (uint64_t)at_ms * 1000;
}

/* ---- What members have seen ------------------------------------------------------------------ */

#define VECTOR_BYTES_MAX 65536

static bool vector_has(struct ml_slice vector, ml_client_id client, uint64_t clock)
{
    struct ml_reader in = ml_reader_make(vector);
    uint64_t left = 0, id, next;

    if (ml_read_varuint(&in, &left))
        return false;
    while (left-- && !ml_read_varuint(&in, &id) && !ml_read_varuint(&in, &next))
        if (id == client)
            return clock < next;
    return false;
}

/** A Step1 came: what is in it the member has seen; the answer will show it the rest. */
void ml_room_note_sync(struct ml_member *member)
{
    struct ml_room *room = member->room;
    struct ml_slice vector = ml_blob_slice(member->sync_vector);

    if (!ml_room_decides(room))
        return;
    ml_blob_unref(member->seen);
    member->seen = ml_blob_ref(member->sync_vector);
    member->has_answered = false;
    member->seen_us = 0;
    member->synced_us = ml_room_clock(room);
    if (!room->desk || vector.len > VECTOR_BYTES_MAX)
        return;
    for (size_t n = room->desk->notes->count; n-- > 0 && !member->seen_us;) {
        const struct range *r = &room->desk->notes->ranges[(room->desk->notes->first + n) % RANGES];
        const struct ml_write *write = ml_notes_find_tag(room->desk->notes, r->tag);

        if (write && vector_has(vector, r->client, r->to - 1))
            member->seen_us = write->at_us;
    }
}
