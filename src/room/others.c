/* SPDX-License-Identifier: MIT */
/*
 * The other nodes. What they commit comes over the bus, or is found missing and read from the
 * journal; either way the document ends with every record (REL-30 … REL-33).
 *
 *     heard: first … last                  journal: heads of all rooms, every 10 s (0.5 s without a
 * bus) last <= head     drop                 | first = head+1   take, tell members   |  head is
 * further: read what is missing otherwise        read what is missing <-+
 *
 *  [O1] room->head is the last record up to which the document holds all of them. Records of this
 * room that were committed behind a hole wait in own_first … own_last until the hole is filled.
 *  [O2] While a hole is read nothing is appended (is_moving), so there is one such range.
 *  [O3] Records of others run no Lua here and are told as they are: what they say was decided by
 * the node that committed them. [O4] A room of a document with policies that has something staged
 * takes nothing: its append will say that it came too late, and moved.c takes it from there. [O5]
 * Presence goes over the bus alone; what a node said goes with it.
 */
#include "base/assert.h"
#include "base/log.h"
#include "room/live.h"

#include <stdlib.h>

#define LOOK_MS       10000 /* REL-32 */
#define LOOK_ALONE_MS 500
#define LOOK_AT_ONCE  1000 /* rooms in one question */

static struct ml_bus *bus_of(const struct ml_rooms *rooms)
{
    return rooms->env.bus;
}

static uint64_t now_of(const struct ml_rooms *rooms)
{
    return rooms->env.mono_ms(rooms->env.arg);
}

static bool is_up(const struct ml_room *room)
{
    return (room->state == ML_ROOM_LIVE || room->state == ML_ROOM_HELD) && !room->is_abandoned;
}

/* ---- Following ------------------------------------------------------------------------------- */

static void look_soon(struct ml_rooms *rooms)
{
    uint64_t soon = now_of(rooms) + LOOK_ALONE_MS;

    if (rooms->others.look_at_ms > soon)
        rooms->others.look_at_ms = soon;
}

/** The room is loaded: hear of its document from now on. What came before that is looked for soon.
 */
void ml_room_follow(struct ml_room *room)
{
    struct ml_rooms *rooms = room->rooms;
    const struct ml_news who_is_there = {
        .kind = ML_NEWS_PRESENCE, .org = room->org, .name = room->name};

    if (!bus_of(rooms) || room->is_following)
        return;
    room->is_following = true;
    ml_bus_follow(bus_of(rooms), room->org, room->name);
    ml_bus_tell(bus_of(rooms), &who_is_there);
    look_soon(rooms);
}

void ml_room_unfollow(struct ml_room *room)
{
    ml_room_tell_at_last(room);
    if (room->is_following)
        ml_bus_unfollow(bus_of(room->rooms), room->org, room->name);
    room->is_following = false;
}

/* ---- Telling --------------------------------------------------------------------------------- */

/** Records first … last were committed here; `update` is all of them, .len 0: read them. */
void ml_room_tell_others(struct ml_room *room, uint64_t first, uint64_t last,
                         struct ml_slice update)
{
    const struct ml_news news = {
        .kind = ML_NEWS_RECORDS,
        .org = room->org,
        .name = room->name,
        .epoch = room->epoch,
        .first = first,
        .last = last,
        .bytes = update,
    };

    if (!bus_of(room->rooms))
        return;
    ml_bus_tell(bus_of(room->rooms), &news);
    ml_room_tell_again(room, last);
}

/** Presence of members of this node, as an awareness update. */
void ml_room_tell_presence(struct ml_room *room, struct ml_slice update)
{
    const struct ml_news news = {.kind = ML_NEWS_PRESENCE,
                                 .org = room->org,
                                 .name = room->name,
                                 .epoch = room->epoch,
                                 .bytes = update};

    if (bus_of(room->rooms) && update.len <= ML_BUS_BYTES_MAX)
        ml_bus_tell(bus_of(room->rooms), &news);
}

/** The document was deleted or came back: whoever has it open looks. */
void ml_rooms_tell_deleted(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name)
{
    const struct ml_news news = {.kind = ML_NEWS_DELETED, .org = org, .name = name};

    if (bus_of(rooms))
        ml_bus_tell(bus_of(rooms), &news);
}

/* ---- Taking ---------------------------------------------------------------------------------- */

/* May the document take records of others at this moment? [O4] */
static bool may_take(struct ml_room *room)
{
    return !(ml_room_decides(room) && ml_room_is_staging(room));
}

/* One or more records, the last of which is `last`. */
static enum ml_err take(struct ml_room *room, const struct ml_stored *record, uint64_t last)
{
    struct ml_rooms *rooms = room->rooms;
    enum ml_err err = ml_room_wake(room);

    if (!err && ml_room_decides(room))
        err = ml_room_take_record(room, room->doc, record, &rooms->scratch);
    else if (!err)
        err = ml_doc_apply_bytes(room->doc, ml_blob_slice(record->bytes), NULL);
    ml_arena_reset(&rooms->scratch);
    if (err)
        return err;
    room->ops_since += last - room->head;
    if (record->author)
        ml_room_wrote(room, ml_blob_slice(record->author));
    room->bytes_since += record->bytes->len;
    room->state_bytes += record->bytes->len;
    room->changed_at_ms = ml_room_now(room);
    room->head = last;
    rooms->stats.from_others++;
    ml_room_forget_answers(room);
    ml_room_touch(room);
    ml_room_tell_update(room, ml_blob_slice(record->bytes));
    ml_arena_reset(&rooms->scratch);
    return ML_OK;
}

static enum ml_err take_all(struct ml_room *room, const struct ml_load *load)
{
    enum ml_err err = ML_OK;

    for (size_t i = 0; i < load->count && !err; i++) {
        const struct ml_stored *record = &load->records[i];

        if (record->seq <= room->head)
            continue;
        if (record->seq >= room->own_first && record->seq <= room->own_last)
            room->head = record->seq; /* it is in the document, and was told */
        else
            err = take(room, record, record->seq);
    }
    return err;
}

static void on_hole_read(struct ml_load *load)
{
    struct ml_hole *hole = ML_CONTAINER(load, struct ml_hole, load);
    struct ml_room *room = hole->room;
    enum ml_err err = load->err;

    room->hole = NULL;
    room->is_moving = room->is_filling = false;
    if (err == ML_ENOTFOUND && !load->is_compacted)
        ml_room_was_deleted(room);
    else if (err == ML_EDENIED)
        ml_room_was_shut(room);
    else if (err == ML_EFORMAT || err == ML_ENOTFOUND || (!err && load->epoch != room->epoch))
        ml_room_abandon(room); /* history was replaced, or what lies between is not kept */
    else if (err)
        look_soon(room->rooms); /* not at once: the journal is in trouble, and commits go first */
    else if (!may_take(room))
        room->wants_look = true;
    else if (take_all(room, load))
        ml_room_abandon(room);
    else
        room->own_first = room->own_last = 0;
    ml_load_release(load);
    free(hole);
    if (room->is_abandoned)
        ml_room_close_if_idle(room);
    else
        ml_room_settle(room);
}

/** Read what is missing, unless something is under way: then when that is over. */
void ml_room_fill(struct ml_room *room)
{
    room->wants_look = true;
    if (room->is_appending || room->is_moving || !is_up(room) || !may_take(room) ||
        room->rooms->is_draining)
        return;
    room->hole = calloc(1, sizeof *room->hole);
    if (!room->hole)
        return;
    room->wants_look = false;
    room->is_moving = room->is_filling = true;
    room->rooms->stats.holes++;
    room->hole->room = room;
    room->hole->load = (struct ml_load){
        .org = room->org,
        .name = room->name,
        .max_snapshot_seq = 0,
        .after_seq = room->head,
        .done = on_hole_read,
    };
    ml_journal_load(room->rooms->env.journal, &room->hole->load);
}

/** Nothing is under way at this moment: has something been missed meanwhile? */
void ml_room_look_again(struct ml_room *room)
{
    if (room->wants_look)
        ml_room_fill(room);
}

/**
 * An append was answered: its records are first … last, the journal's head is `head`. [O1]
 */
void ml_room_committed(struct ml_room *room, uint64_t first, uint64_t last, uint64_t head)
{
    if (first <= room->head + 1) {
        if (last > room->head)
            room->head = last;
    } else {
        room->own_first = first;
        room->own_last = last;
    }
    if (head > room->head)
        room->wants_look = true;
}

/* ---- Hearing --------------------------------------------------------------------------------- */

static struct ml_room *find(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name)
{
    struct ml_room *room = NULL;
    uint8_t *key = ml_arena_alloc(&rooms->scratch, org.len + 1 + name.len);

    if (key) {
        memcpy(key, org.ptr, org.len);
        key[org.len] = 0;
        memcpy(key + org.len + 1, name.ptr, name.len);
        room = ml_hashmap_get(&rooms->by_key, ml_slice_make(key, org.len + 1 + name.len));
    }
    ml_arena_reset(&rooms->scratch);
    return room;
}

static void hear_records(struct ml_room *room, const struct ml_news *news)
{
    struct ml_stored record = {.seq = news->last};

    if (news->epoch != room->epoch || news->first > room->head + 1 || !news->bytes.len ||
        room->is_appending || room->is_moving || !may_take(room)) {
        if (news->last > room->head)
            ml_room_fill(room); /* the load tells what is the matter */
        return;
    }
    if (news->last <= room->head)
        return;
    record.bytes = ml_blob_new(news->bytes);
    if (!record.bytes || take(room, &record, news->last))
        ml_room_fill(room);
    ml_blob_unref(record.bytes);
}

void ml_rooms_heard(struct ml_rooms *rooms, const struct ml_news *news)
{
    struct ml_room *room;

    if (news->kind == ML_NEWS_PULSE) {
        ml_rooms_node_heard(rooms, news, now_of(rooms));
        return;
    }
    room = find(rooms, news->org, news->name);
    if (!room || !is_up(room))
        return;
    switch (news->kind) {
    case ML_NEWS_RECORDS:
        hear_records(room, news);
        break;
    case ML_NEWS_PRESENCE:
        if (news->bytes.len)
            ml_room_presence_heard(room, news->node, news->bytes);
        else
            ml_room_presence_tell_own(room);
        break;
    case ML_NEWS_DELETED:
        rooms->others.look_at_ms = 0;
        break;
    case ML_NEWS_PULSE:
    case ML_NEWS_MESSAGE:
        break;
    }
}

void ml_rooms_bus_changed(struct ml_rooms *rooms, bool is_healthy)
{
    rooms->others.is_healthy = is_healthy;
    ml_rooms_nodes_excused(rooms, now_of(rooms));
    rooms->others.look_at_ms = 0; /* anything may have been missed */
}

/* ---- Looking --------------------------------------------------------------------------------- */

static void judge(struct ml_room *room, const struct ml_doc_head *item)
{
    if (item->is_shut)
        ml_room_was_shut(room);
    else if (!item->exists)
        return;
    else if (item->is_deleted)
        ml_room_was_deleted(room);
    else if (item->epoch != room->epoch)
        ml_room_abandon(room);
    else if (item->head > room->head && bus_of(room->rooms))
        ml_room_fill(room);
}

static void on_looked(struct ml_heads *request)
{
    struct ml_others *others = ML_CONTAINER(request, struct ml_others, look);
    struct ml_rooms *rooms = ML_CONTAINER(others, struct ml_rooms, others);

    others->is_looking = false;
    for (size_t i = 0; i < request->count && !request->err; i++) {
        struct ml_room *room = find(rooms, request->items[i].org, request->items[i].name);

        if (room && is_up(room))
            judge(room, &request->items[i]);
    }
    ml_arena_reset(&others->names);
}

/* The next rooms in line; all of them take as many turns as it needs. */
static size_t gather(struct ml_rooms *rooms, struct ml_doc_head *items)
{
    struct ml_others *others = &rooms->others;
    size_t count = 0;

    ML_LIST_EACH(node, &rooms->all)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, node);

        if (count == LOOK_AT_ONCE)
            break;
        if (!is_up(room) || room->looked == others->round)
            continue;
        items[count].org = ml_arena_copy(&others->names, room->org);
        items[count].name = ml_arena_copy(&others->names, room->name);
        if (!items[count].org.ptr || !items[count].name.ptr)
            break;
        room->looked = others->round;
        count++;
    }
    return count;
}

static void look(struct ml_rooms *rooms, uint64_t now)
{
    struct ml_others *others = &rooms->others;
    struct ml_doc_head *items =
        ml_arena_array(&others->names, LOOK_AT_ONCE, sizeof *others->look.items);
    size_t count = items ? gather(rooms, items) : 0;

    if (count < LOOK_AT_ONCE) { /* the round is over */
        others->round++;
        others->looked_ms = now;
        others->look_at_ms = now + LOOK_MS;
    }
    if (!count) {
        ml_arena_reset(&others->names);
        return;
    }
    others->is_looking = true;
    rooms->stats.looks++;
    others->look = (struct ml_heads){.items = items, .count = count, .done = on_looked};
    ml_journal_heads(rooms->env.journal, &others->look);
}

void ml_rooms_tick_others(struct ml_rooms *rooms, uint64_t now)
{
    struct ml_others *others = &rooms->others;

    if (!bus_of(rooms) && !rooms->env.looks_alone)
        return;
    if (bus_of(rooms))
        ml_rooms_tick_again(rooms, now);
    if (rooms->is_draining)
        return;
    if (bus_of(rooms))
        ml_rooms_tick_nodes(rooms, now);
    if (others->is_looking)
        return;
    if (now >= others->look_at_ms || (bus_of(rooms) && now >= others->looked_ms + LOOK_ALONE_MS &&
                                      !ml_rooms_bus_is_sure(rooms, now)))
        look(rooms, now);
}

void ml_rooms_stats_others(const struct ml_rooms *rooms, struct ml_rooms_stats *out)
{
    struct ml_bus_stats stats;

    if (!bus_of(rooms))
        return;
    ml_bus_stats(bus_of(rooms), &stats);
    out->buses = 1;
    out->buses_sick = !stats.is_healthy;
    out->bus_told = stats.told;
    out->bus_heard = stats.heard;
    out->bus_dropped = stats.dropped;
    out->bus_forged = stats.forged;
    out->bus_reconnects = stats.reconnects;
}

bool ml_rooms_is_looking(const struct ml_rooms *rooms)
{
    return rooms->others.is_looking;
}

void ml_rooms_others_init(struct ml_rooms *rooms)
{
    rooms->others.round = 1;
    ml_arena_init(&rooms->others.names, 8u << 20);
}

void ml_rooms_others_release(struct ml_rooms *rooms)
{
    ml_arena_release(&rooms->others.names);
}
