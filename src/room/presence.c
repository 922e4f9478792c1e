/* SPDX-License-Identifier: MIT */
/*
 * Cursors and names: never journalled, merged by clock. What is news is told to everybody in the
 * room once per turn of the loop (ml_rooms_flush): of ten moves of a cursor in one turn only the
 * last is of interest, and twenty people who move at once make one frame. While a commit of the
 * room is under way, presence waits for it, at most MUTED_MS: who types moves a cursor with every
 * key, and edit and cursor leave in one write. It is also no use to know that somebody stands
 * behind a letter that nobody has yet.
 *
 *   quiet --make_news--> rooms->noisy --mute--> rooms->muted
 *     ^                     |    ^                 |    |
 *     +--------tell---------+    +-----unmute------+    |     (no commit came in time, or it
 * failed)
 *     +-----------------tell, with the commit-----------+
 *
 * Source: y-protocols 1.0.7, awareness.js; the server has no state of its own. Where it differs:
 *  - an entry belongs to the member that sent it; others of another identity cannot change it, and
 *    an "offline" that a third party sends for a live member is ignored;
 *  - every id for which a member ever sent a state leaves with it, so there are no ghosts;
 *  - what a state says of its user is the server's word (stamp.c);
 *  - the clock is compared before anything else is looked at: most awareness traffic of stock
 *    clients is echo;
 *  - the number of entries is bounded; the longest offline one is forgotten first.
 *
 * A plugin may say how often others are told of a cursor: what comes sooner is kept, the newest in
 * place of the others, and its room waits among the muted ones until it is due.
 */
#include "room/live.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 8192
#define MUTED_MS    60
#define CLOCK_MAX   UINT32_MAX /* nobody renews that often; from there it could never be renewed */

static struct ml_presence *find(struct ml_room *room, uint64_t client)
{
    for (size_t i = 0; i < room->presence_count; i++)
        if (room->presence[i].client == client)
            return &room->presence[i];
    return NULL;
}

static struct ml_presence *oldest_offline(struct ml_room *room)
{
    struct ml_presence *oldest = NULL;

    for (size_t i = 0; i < room->presence_count; i++) {
        struct ml_presence *p = &room->presence[i];

        if (!p->json && (!oldest || p->seen_ms < oldest->seen_ms))
            oldest = p;
    }
    return oldest;
}

static struct ml_presence *add(struct ml_room *room, uint64_t client)
{
    struct ml_presence *entry = NULL;

    if (room->presence_count == room->presence_cap && room->presence_cap < ENTRIES_MAX) {
        size_t cap = room->presence_cap ? room->presence_cap * 2 : 8;
        struct ml_presence *bigger = realloc(room->presence, cap * sizeof *bigger);

        if (!bigger)
            return NULL;
        room->presence = bigger;
        room->presence_cap = cap;
    }
    if (room->presence_count < room->presence_cap)
        entry = &room->presence[room->presence_count++];
    else
        entry = oldest_offline(room);
    if (entry)
        *entry = (struct ml_presence){.client = client};
    return entry;
}

static void write_entry(struct ml_writer *out, const struct ml_presence *entry)
{
    struct ml_presence_entry e = {
        .client = entry->client,
        .clock = entry->clock,
        .json = entry->json ? ml_blob_slice(entry->json) : ML_SLICE("null"),
        .offline = !entry->json,
    };

    ml_presence_write(out, &e);
}

/* Begin a list of `count` entries. */
static void begin(struct ml_writer *out, size_t count)
{
    ml_writer_init(out, SIZE_MAX / 4);
    ml_write_varuint(out, count);
}

static uint32_t online_ids(const struct ml_room *room, const struct ml_member *member)
{
    uint32_t n = 0;

    for (size_t i = 0; i < room->presence_count; i++)
        n += room->presence[i].owner == member && room->presence[i].json;
    return n;
}

/* May this member speak for that client id? */
static bool may_change(const struct ml_presence *known, const struct ml_member *from, bool offline)
{
    if (!known || !known->json || !known->owner || known->owner == from)
        return true;
    /* The same person came back on another connection before the old one was seen to be dead. */
    return !offline && strcmp(known->owner->identity.user, from->identity.user) == 0;
}

static void make_news(struct ml_room *room, struct ml_presence *entry)
{
    entry->is_news = true;
    if (!ml_list_is_linked(&room->noisy))
        ml_list_append(&room->rooms->noisy, &room->noisy);
    else if (room->holds_presence) /* it waits for a cursor that is not due: this one may be */
        ml_room_presence_unmute(room);
}

/* What others see of it; in the letters' scratch until the next one. False: nothing. */
static bool ask_policy(struct ml_member *from, const struct ml_presence_entry *in,
                       struct ml_slice *state, uint32_t *gap_ms)
{
    struct ml_room *room = from->room;
    struct ml_script_moment moment;

    if (!(ml_room_hooks(room) & ML_HOOK_AWARENESS))
        return true;
    moment = ml_room_moment(room, from);
    return ml_script_awareness(ml_room_script(room), &moment, in->client, state,
                               &room->rooms->presence_scratch, gap_ms) &&
           state->len <= room->rooms->env.limits.presence_state_bytes;
}

/* Take one entry if it is news: the clock decides before anything else is looked at. */
static enum ml_err merge(struct ml_member *from, const struct ml_presence_entry *in)
{
    struct ml_room *room = from->room;
    const struct ml_room_limits *limits = &room->rooms->env.limits;
    struct ml_presence *known = find(room, in->client);
    uint64_t clock = known ? known->clock : 0;
    struct ml_blob *json = NULL;
    struct ml_slice state = in->json;
    uint32_t gap_ms = 0;

    if (!(in->clock > clock || (in->clock == clock && in->offline && known && known->json)))
        return ML_OK;
    if (!may_change(known, from, in->offline))
        return ML_OK;
    if (!in->offline) {
        if (!(known && known->json && known->owner == from) &&
            online_ids(room, from) >= limits->presence_clients)
            return ML_ELIMIT;
        if (in->clock > CLOCK_MAX ||
            ml_presence_stamp(&from->identity, in->json, limits->presence_state_bytes,
                              &room->rooms->presence_scratch, &state) ||
            !ask_policy(from, in, &state, &gap_ms))
            return ML_ELIMIT;
        json = ml_blob_new(state);
        if (!json)
            return ML_ELIMIT;
    }
    if (!known)
        known = add(room, in->client);
    if (!known) {
        ml_blob_unref(json);
        return ML_ELIMIT;
    }
    ml_blob_unref(known->json);
    known->json = json;
    known->clock = in->clock;
    known->seen_ms = ml_room_now(room);
    known->owner = from;
    known->node = 0;
    known->gap_ms = gap_ms;
    make_news(room, known);
    return ML_OK;
}

/* ---- From other nodes, and for them ---------------------------------------------------------- */

/* An entry that another node sent. It knows whose it is; a live member of ours is not touched. */
static enum ml_err merge_heard(struct ml_room *room, uint64_t node,
                               const struct ml_presence_entry *in)
{
    struct ml_presence *known = find(room, in->client);
    uint64_t clock = known ? known->clock : 0;
    struct ml_blob *json = NULL;

    if (known && known->owner && known->json)
        return ML_OK;
    if (known && known->json && in->clock == clock && !in->offline) {
        known->seen_ms = ml_room_now(room);
        return ML_OK;
    }
    if (!(in->clock > clock || (in->clock == clock && in->offline && known && known->json)))
        return ML_OK;
    if (!in->offline && in->json.len > room->rooms->env.limits.presence_state_bytes)
        return ML_ELIMIT;
    if (!in->offline) {
        json = ml_blob_new(in->json);
        if (!json)
            return ML_ELIMIT;
    }
    if (!known)
        known = add(room, in->client);
    if (!known) {
        ml_blob_unref(json);
        return ML_ELIMIT;
    }
    ml_blob_unref(known->json);
    known->json = json;
    known->clock = in->clock;
    known->seen_ms = ml_room_now(room);
    known->owner = NULL;
    known->node = node;
    known->gap_ms = 0;
    make_news(room, known);
    return ML_OK;
}

void ml_room_presence_heard(struct ml_room *room, uint64_t node, struct ml_slice update)
{
    struct ml_presence_reader reader;
    struct ml_presence_entry entry;
    bool more;

    if (ml_presence_begin(update, &reader))
        return;
    while (!ml_presence_next(&reader, &more, &entry) && more)
        if (merge_heard(room, node, &entry) == ML_ELIMIT)
            room->rooms->stats.presence_dropped++;
}

/* Who left is told of at once. */
static bool is_due(const struct ml_presence *p, uint64_t now)
{
    return p->is_news && (!p->gap_ms || !p->json || !p->told_ms || now - p->told_ms >= p->gap_ms);
}

/* What of it is ours, all or only the news. */
static void tell_others(struct ml_room *room, bool only_news)
{
    uint64_t now = ml_room_now(room);
    struct ml_writer out;
    size_t count = 0;

    for (size_t i = 0; i < room->presence_count; i++)
        count += !room->presence[i].node &&
                 (only_news ? is_due(&room->presence[i], now) : room->presence[i].json != NULL);
    if (!count || !room->rooms->env.bus)
        return;
    begin(&out, count);
    for (size_t i = 0; i < room->presence_count; i++) {
        const struct ml_presence *p = &room->presence[i];

        if (!p->node && (only_news ? is_due(p, now) : p->json != NULL))
            write_entry(&out, p);
    }
    if (!out.err)
        ml_room_tell_presence(room, ml_writer_slice(&out));
    ml_writer_release(&out);
}

/** Another node has just opened the document. */
void ml_room_presence_tell_own(struct ml_room *room)
{
    tell_others(room, false);
}

enum ml_err ml_room_presence(struct ml_member *from, struct ml_slice update,
                             struct ml_arena *scratch)
{
    struct ml_room *room = from->room;
    struct ml_presence_reader reader;
    struct ml_presence_entry entry;
    bool more;
    enum ml_err err;

    (void)scratch;
    if (ml_member_is_remote(from))
        return ml_remote_presence(from, update);
    if (!ml_grant_allows(&from->grant, ML_MAY_PRESENCE))
        return ML_OK;
    err = ml_presence_begin(update, &reader);
    while (!err) {
        err = ml_presence_next(&reader, &more, &entry);
        if (err || !more)
            break;
        /* One entry over a limit is dropped; the others of the message are fine. */
        if (merge(from, &entry) == ML_ELIMIT)
            room->rooms->stats.presence_dropped++;
        ml_arena_reset(&room->rooms->presence_scratch);
    }
    return err;
}

/* The member all of the news that is due is about, or NULL. */
static const struct ml_member *only_owner(const struct ml_room *room, uint64_t now)
{
    const struct ml_member *only = NULL;

    for (size_t i = 0; i < room->presence_count; i++) {
        const struct ml_presence *p = &room->presence[i];

        if (!is_due(p, now))
            continue;
        if (!p->owner || (only && only != p->owner))
            return NULL;
        only = p->owner;
    }
    return only;
}

static bool waits_for_commit(const struct ml_room *room)
{
    return room->is_appending && room->state == ML_ROOM_LIVE && !room->is_moving &&
           ml_room_now(room) - room->appended_ms < MUTED_MS;
}

/** Does the news of this room leave with its commit? Then it is out of `noisy`. */
bool ml_room_presence_mute(struct ml_room *room)
{
    if (!waits_for_commit(room))
        return false;
    ml_list_remove(&room->noisy);
    ml_list_append(&room->rooms->muted, &room->noisy);
    return true;
}

/** The news of this room has waited long enough: it leaves with the turn. */
void ml_room_presence_unmute(struct ml_room *room)
{
    if (!ml_list_is_linked(&room->noisy))
        return;
    ml_list_remove(&room->noisy);
    ml_list_append(&room->rooms->noisy, &room->noisy);
}

/** With every tick: commits that take their time. Cost: one look at each room that waits. */
void ml_rooms_unmute(struct ml_rooms *rooms)
{
    ML_LIST_EACH(node, &rooms->muted)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, noisy);

        if (!waits_for_commit(room))
            ml_room_presence_unmute(room);
    }
}

/** Tell everybody what is news, in one frame. */
void ml_room_presence_tell(struct ml_room *room)
{
    uint64_t now = ml_room_now(room);
    const struct ml_member *only;
    struct ml_writer out;
    size_t count = 0, later = 0;

    if (!ml_list_is_linked(&room->noisy))
        return;
    ml_list_remove(&room->noisy);
    for (size_t i = 0; i < room->presence_count; i++) {
        bool due = is_due(&room->presence[i], now);

        count += due;
        later += room->presence[i].is_news && !due;
    }
    room->holds_presence = later > 0;
    if (later)
        ml_list_append(&room->rooms->muted, &room->noisy);
    if (!count)
        return;
    only = only_owner(room, now);
    tell_others(room, true);
    begin(&out, count);
    for (size_t i = 0; i < room->presence_count; i++) {
        struct ml_presence *p = &room->presence[i];

        if (!is_due(p, now))
            continue;
        write_entry(&out, p);
        p->is_news = false;
        p->told_ms = now;
    }
    /* Without memory for a frame cursors stand still; the next renewal moves them. */
    if (!out.err)
        ml_room_fan_out(room, ML_FRAME_AWARENESS, ml_writer_slice(&out), ML_SEND_PRESENCE, only);
    ml_writer_release(&out);
}

enum ml_err ml_room_query_presence(struct ml_member *member)
{
    struct ml_room *room = member->room;
    struct ml_writer out;
    size_t count = 0;
    enum ml_err err;

    if (ml_member_is_remote(member))
        return ml_remote_query(member);
    for (size_t i = 0; i < room->presence_count; i++)
        count += room->presence[i].json != NULL;
    if (!count)
        return ML_OK;
    begin(&out, count);
    for (size_t i = 0; i < room->presence_count; i++)
        if (room->presence[i].json)
            write_entry(&out, &room->presence[i]);
    err = out.err;
    if (!err)
        err = ml_member_send(member, ML_FRAME_AWARENESS, ml_writer_slice(&out), ML_SEND_PRESENCE);
    ml_writer_release(&out);
    return err;
}

/* Everybody online for whom `gone` holds goes offline: same clock, null. */
static void take_offline(struct ml_room *room,
                         bool (*gone)(const struct ml_presence *, const void *), const void *arg)
{
    for (size_t i = 0; i < room->presence_count; i++) {
        struct ml_presence *p = &room->presence[i];

        if (!p->json || !gone(p, arg))
            continue;
        ml_blob_unref(p->json);
        p->json = NULL;
        p->owner = NULL;
        make_news(room, p);
    }
}

static bool belongs_to(const struct ml_presence *entry, const void *member)
{
    return entry->owner == member;
}

static bool not_seen_since(const struct ml_presence *entry, const void *since_ms)
{
    return entry->seen_ms < *(const uint64_t *)since_ms;
}

/** A member goes: so do its cursors. */
void ml_room_presence_leave(struct ml_room *room, struct ml_member *member)
{
    take_offline(room, belongs_to, member);
    for (size_t i = 0; i < room->presence_count; i++)
        if (room->presence[i].owner == member)
            room->presence[i].owner = NULL;
}

static bool came_from(const struct ml_presence *entry, const void *node)
{
    return entry->node == *(const uint64_t *)node;
}

/** A node is gone, and so are those who were there. */
void ml_room_presence_of_node_gone(struct ml_room *room, uint64_t node)
{
    take_offline(room, came_from, &node);
}

/** Cursors that were not renewed go. Cost: one pass over the entries. */
void ml_room_presence_expire(struct ml_room *room)
{
    uint64_t now = ml_room_now(room), life = room->rooms->env.limits.presence_ms;
    uint64_t since = now > life ? now - life : 0;

    if (room->presence_count)
        take_offline(room, not_seen_since, &since);
}

void ml_room_presence_release(struct ml_room *room)
{
    for (size_t i = 0; i < room->presence_count; i++)
        ml_blob_unref(room->presence[i].json);
    free(room->presence);
}
