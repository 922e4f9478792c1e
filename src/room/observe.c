/* SPDX-License-Identifier: MIT */
/*
 * What a room tells plugins of the records it has committed (after_update).
 *
 *   apply --- ml_room_watch, ml_room_watched ---> fresh ---> staged ---> committed: noted
 *                                                                          |
 *       one bit for each instance that wants it; taken when `every` is over or `max` have come
 *                                                                          v
 *                                               ml_script_observe: one batch of all that wait
 *
 *  [O1] An instance is told of a record once, in the order of the journal, and never while it is
 *       still busy with what it was told before: what comes meanwhile makes the next batch bigger.
 *  [O2] A record is kept until nobody waits for it. Over NOTED_BYTES its changes are dropped, over
 *       NOTED_MAX records become one: the batch says so (gap).
 *  [O3] A durable instance keeps what it was told until it has said that it is done; then its
 *       cursor moves on in the journal. After a crash it is told what lies behind the cursor, as
 *       soon as the document is open again (server/sweep.c sees to that). Until it is known where
 *       the cursor stands, and what is missed is here, it is told nothing.
 *  [O4] A room without observers pays one comparison with NULL for each change.
 */
#include "room/live.h"

#include "base/assert.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBSERVERS_MAX   64
#define NOTED_MAX       4096
#define NOTED_BYTES     (1u << 20)
#define EVENT_BYTES     (1u << 20)
#define RETRY_MIN_MS    100
#define RETRY_MAX_MS    60000
#define SPACE           ML_OBSERVER_SPACE
#define CURSOR_AGAIN_MS 1000
#define MISSED_SLICE    1000u /* records read at a time */
#define MISSED_MAX      256u  /* entries of what one instance missed; then the last one grows */

/* A record that somebody waits for. */
struct entry {
    struct ml_list node; /* observation->noted, by seq */
    struct ml_noted *noted;
    uint64_t wanted; /* a bit for each observer */
};

/* One instance's place in a room. Lives on its own, since its answer may come late. */
struct observer {
    struct ml_observation
        *of; /* NULL: the room has gone; it frees itself when nothing is under way */
    size_t number;
    char instance[96];
    struct ml_observing how;
    uint32_t pending;
    uint64_t since_ms; /* the first that waits */
    uint64_t taken_to; /* seq: of the batch that is being told */
    bool is_busy, is_loading, is_writing;
    bool has_cursor; /* durable: it was asked for */
    bool is_ready;   /* durable: it is known, and what was missed is noted */
    bool is_stored;  /* durable: it stands in the store */
    bool is_overdue; /* what waits was missed: at once */
    uint64_t start;  /* head when the cursor was asked for; what comes behind it is noted */
    uint64_t missed_to;
    uint32_t missed_count;
    struct entry *missed; /* the last of what was missed, while it is read */
    uint32_t retry_ms;
    uint64_t retry_at_ms;
    uint64_t cursor, cursor_wanted; /* durable: written, and what it should be */
    struct ml_store_write write;
    struct ml_store_item item;
    char value[24];
    struct ml_store_read read;
    struct ml_load load;
    struct ml_slice org, name; /* own: what is under way may outlive the room */
    uint8_t text[];
};

struct ml_observation {
    struct ml_list node; /* rooms->observed */
    struct ml_room *room;
    struct ml_list noted;
    size_t count, bytes;
    struct observer *observers[OBSERVERS_MAX];
    size_t observer_count;
    struct ml_arena arena; /* events of the change that is being integrated */
    struct ml_listener *listener;
    struct ml_noted *fresh;
    bool wants_changes; /* somebody looks at what became visible */
    bool is_telling;    /* Lua runs, and may write */
    uint32_t depth;     /* of what it is told */
    uint64_t own_id, own_no;
};

/* ---- Coming and going ------------------------------------------------------------------------ */

static void free_entry(struct ml_observation *o, struct entry *entry)
{
    ml_list_remove(&entry->node);
    o->count--;
    o->bytes -= entry->noted->memory_bytes;
    free(entry->noted);
    free(entry);
}

static void drop_observer(struct observer *observer)
{
    observer->of = NULL;
    if (!observer->is_busy && !observer->is_loading && !observer->is_writing)
        free(observer);
}

void ml_room_observation_free(struct ml_room *room)
{
    struct ml_observation *o = room->observation;

    if (!o)
        return;
    ML_LIST_EACH(node, &o->noted)
    free_entry(o, ML_CONTAINER(node, struct entry, node));
    for (size_t i = 0; i < o->observer_count; i++)
        drop_observer(o->observers[i]);
    ml_list_remove(&o->node);
    ml_arena_release(&o->arena);
    free(o->fresh);
    free(o);
    room->observation = NULL;
}

static struct ml_observation *observation_of(struct ml_room *room)
{
    struct ml_observation *o = room->observation;

    if (o)
        return o;
    o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->room = room;
    ml_list_init(&o->noted);
    ml_arena_init(&o->arena, EVENT_BYTES);
    room->observation = o;
    return o;
}

static struct ml_script *script_of(struct ml_room *room)
{
    return ml_room_hooks(room) & ML_HOOK_AFTER_UPDATE ? ml_room_script(room) : NULL;
}

static void load_cursor(struct observer *observer);

static struct observer *new_observer(struct ml_observation *o, const struct ml_observing *how)
{
    struct ml_slice org = o->room->org, name = o->room->name;
    struct observer *observer = calloc(1, sizeof *observer + org.len + name.len);

    if (!observer)
        return NULL;
    memcpy(observer->text, org.ptr, org.len);
    memcpy(observer->text + org.len, name.ptr, name.len);
    observer->org = ml_slice_make(observer->text, org.len);
    observer->name = ml_slice_make(observer->text + org.len, name.len);
    observer->of = o;
    observer->how = *how;
    (void)snprintf(observer->instance, sizeof observer->instance, "%.*s", ML_PRINT(how->instance));
    observer->how.instance = ml_slice_str(observer->instance);
    return observer;
}

static struct observer *find_observer(const struct ml_observation *o, struct ml_slice instance)
{
    for (size_t i = 0; i < o->observer_count; i++)
        if (o->observers[i] && ml_slice_equal(ml_slice_str(o->observers[i]->instance), instance))
            return o->observers[i];
    return NULL;
}

/* The instances that there are now, each with its own place; bits follow them. */
static void rearrange(struct ml_observation *o, const struct ml_script *script, size_t count)
{
    struct observer *now[OBSERVERS_MAX] = {0};
    uint64_t moved_from[OBSERVERS_MAX] = {0};

    for (size_t i = 0; i < count; i++) {
        struct ml_observing how;

        (void)ml_script_observer(script, i, o->room->name, &how);
        now[i] = find_observer(o, how.instance);
        if (now[i]) {
            moved_from[i] = UINT64_C(1) << now[i]->number;
            o->observers[now[i]->number] = NULL;
            how.instance = now[i]->how.instance;
            now[i]->how = how;
        } else {
            now[i] = new_observer(o, &how);
        }
    }
    for (size_t i = 0; i < o->observer_count; i++)
        if (o->observers[i])
            drop_observer(o->observers[i]);
    ML_LIST_EACH(node, &o->noted)
    {
        struct entry *entry = ML_CONTAINER(node, struct entry, node);
        uint64_t bits = 0;

        for (size_t i = 0; i < count; i++)
            bits |= entry->wanted & moved_from[i] ? UINT64_C(1) << i : 0;
        entry->wanted = bits;
        if (!bits)
            free_entry(o, entry);
    }
    o->observer_count = 0;
    for (size_t i = 0; i < count && now[i]; i++) {
        now[i]->number = i;
        o->observers[o->observer_count++] = now[i];
    }
    for (size_t i = 0; i < o->observer_count; i++) {
        struct ml_observing how;

        if (ml_script_observer(script, i, o->room->name, &how) && how.durable &&
            !o->observers[i]->has_cursor)
            load_cursor(o->observers[i]);
    }
}

/* False: nobody observes this document. */
static bool settle_observers(struct ml_observation *o, const struct ml_script *script)
{
    size_t count = ml_script_observers(script);
    bool same, any = false;

    if (count > OBSERVERS_MAX)
        count = OBSERVERS_MAX;
    same = count == o->observer_count;
    o->wants_changes = false;
    for (size_t i = 0; i < count; i++) {
        struct ml_observing how;
        bool applies = ml_script_observer(script, i, o->room->name, &how);

        any |= applies;
        o->wants_changes |= applies && how.changes;
        same = same && ml_slice_equal(how.instance, ml_slice_str(o->observers[i]->instance));
    }
    if (same)
        return any;
    rearrange(o, script, count);
    return true;
}

/* ---- A change is integrated ------------------------------------------------------------------ */

/** Something is about to be integrated. */
void ml_room_watch(struct ml_room *room)
{
    struct ml_script *script = script_of(room);
    struct ml_observation *o;

    if (!script)
        return;
    o = observation_of(room);
    if (!o || !settle_observers(o, script) || !o->wants_changes || o->listener ||
        o->bytes > NOTED_BYTES)
        return;
    if (ml_doc_listen(room->doc, &o->arena, &o->listener))
        o->listener = NULL;
}

/** It is, or failed: what became visible goes with the record that is staged next. */
void ml_room_watched(struct ml_room *room, struct ml_slice author, const char *origin)
{
    struct ml_observation *o = room->observation;
    const struct ml_event *events = NULL;
    bool gap;

    if (!o)
        return;
    gap = o->wants_changes; /* somebody would have looked */
    if (o->listener)
        gap = ml_doc_unlisten(room->doc, o->listener, &events) != ML_OK;
    o->listener = NULL;
    free(o->fresh);
    o->fresh = ml_noted_new(room->doc, gap ? NULL : events, author);
    if (o->fresh) {
        o->fresh->origin = origin;
        o->fresh->gap = gap;
    }
    ml_arena_reset(&o->arena);
}

/** For the entry that is staged; the caller's to free. NULL: nobody wants to know. */
struct ml_noted *ml_room_take_noted(struct ml_room *room)
{
    struct ml_noted *noted = room->observation ? room->observation->fresh : NULL;

    if (noted)
        room->observation->fresh = NULL;
    return noted;
}

/* ---- A record is committed ------------------------------------------------------------------- */

static uint64_t who_wants(struct ml_observation *o, const struct ml_script *script,
                          const struct ml_noted *noted)
{
    uint64_t wanted = 0;

    for (size_t i = 0; i < o->observer_count; i++) {
        struct ml_observing how;

        if (ml_script_observer(script, i, o->room->name, &how) &&
            ml_script_observer_wants(script, i, noted))
            wanted |= UINT64_C(1) << i;
    }
    return wanted;
}

static void count_pending(struct ml_observation *o, uint64_t wanted)
{
    uint64_t now = ml_room_now(o->room);

    for (size_t i = 0; i < o->observer_count; i++) {
        struct observer *observer = o->observers[i];

        if (!(wanted & UINT64_C(1) << i))
            continue;
        if (!observer->pending++)
            observer->since_ms = now;
    }
}

/* [O2] It becomes part of the one before. */
static bool join_last(struct ml_observation *o, const struct ml_noted *noted, uint64_t wanted)
{
    struct entry *last;

    if (o->count < NOTED_MAX)
        return false;
    last = ML_CONTAINER(o->noted.prev, struct entry, node);
    last->noted->to_seq = noted->to_seq;
    last->noted->count += noted->count;
    last->noted->bytes += noted->bytes;
    last->noted->gap = true;
    if (noted->depth > last->noted->depth)
        last->noted->depth = noted->depth;
    count_pending(o, wanted & ~last->wanted);
    last->wanted |= wanted;
    return true;
}

static void keep(struct ml_observation *o, struct ml_noted *noted, uint64_t wanted,
                 struct ml_list *before)
{
    struct entry *entry;

    if (!wanted || join_last(o, noted, wanted)) {
        free(noted);
        return;
    }
    entry = calloc(1, sizeof *entry);
    if (!entry) {
        free(noted);
        return;
    }
    entry->noted = noted;
    entry->wanted = wanted;
    ml_list_append(before, &entry->node); /* behind all that stands before `before` */
    o->count++;
    o->bytes += noted->memory_bytes;
    count_pending(o, wanted);
    if (!ml_list_is_linked(&o->node))
        ml_list_append(&o->room->rooms->observed, &o->node);
}

/** @param noted  of the staged entry; taken; may be NULL */
void ml_room_note(struct ml_room *room, struct ml_noted *noted, const struct ml_record *record,
                  uint32_t depth)
{
    struct ml_script *script = script_of(room);
    struct ml_observation *o = script ? observation_of(room) : NULL;

    if (o && !noted) {
        noted = ml_noted_new(NULL, NULL, record->author);
        if (noted)
            noted->gap = o->wants_changes;
    }
    if (!o || !noted || !settle_observers(o, script)) {
        free(noted);
        return;
    }
    noted->from_seq = noted->to_seq = record->seq;
    noted->bytes = record->bytes->len;
    noted->depth = depth;
    keep(o, noted, who_wants(o, script, noted), &o->noted);
}

/* ---- Cursors of durable observers ------------------------------------------------------------ */

static void write_cursor(struct observer *observer);

static void on_cursor_written(struct ml_store_write *write)
{
    struct observer *observer = ML_CONTAINER(write, struct observer, write);

    observer->is_writing = false;
    if (!write->err) {
        observer->cursor = strtoull(observer->value, NULL, 10);
        observer->is_stored = true;
    }
    ml_store_write_release(write);
    if (!observer->of)
        drop_observer(observer);
    else if (!observer->is_stored || observer->cursor < observer->cursor_wanted)
        write_cursor(observer); /* also after a failure: the journal waits before it answers */
    else
        ml_room_serve_errands(observer->of->room);
}

static void write_cursor(struct observer *observer)
{
    struct ml_rooms *rooms = observer->of->room->rooms;

    if (observer->is_writing)
        return;
    observer->is_writing = true;
    (void)snprintf(observer->value, sizeof observer->value, "%" PRIu64, observer->cursor_wanted);
    observer->item = (struct ml_store_item){
        .act = ML_STORE_SET, .key = observer->name, .value = ml_slice_str(observer->value)};
    observer->write = (struct ml_store_write){
        .org = observer->org,
        .instance = ml_slice_str(observer->instance),
        .space = ML_SLICE(SPACE),
        .items = &observer->item,
        .count = 1,
        .now_ms = rooms->env.wall_ms(rooms->env.arg),
        .done = on_cursor_written,
    };
    ml_store_commit(rooms->env.journal, &observer->write);
}

/* The store or the journal did not answer: nothing is told until it has. */
static void ask_again(struct observer *observer)
{
    struct ml_observation *o = observer->of;

    observer->retry_at_ms = ml_room_now(o->room) + CURSOR_AGAIN_MS;
    if (!ml_list_is_linked(&o->node))
        ml_list_append(&o->room->rooms->observed, &o->node);
    ml_room_serve_errands(o->room);
}

/* Records that were missed, behind those that were noted before: nobody knows any more what became
 * visible with them. False: no memory. */
static bool note_missed(struct observer *observer, uint64_t to_seq, uint64_t bytes,
                        struct ml_slice author)
{
    struct ml_observation *o = observer->of;
    struct entry *last = observer->missed;
    uint64_t bit = UINT64_C(1) << observer->number;
    struct ml_list *before = last ? last->node.next : o->noted.next;
    uint64_t from = observer->missed_to + 1;
    struct ml_noted *noted;

    if (!last ||
        (observer->missed_count < MISSED_MAX && !ml_slice_equal(last->noted->author, author))) {
        noted = ml_noted_new(NULL, NULL, author);
        last = noted ? calloc(1, sizeof *last) : NULL;
        if (!last) {
            free(noted);
            return false;
        }
        noted->from_seq = from;
        noted->gap = true;
        last->noted = noted;
        last->wanted = bit;
        ml_list_append(before, &last->node);
        o->count++;
        o->bytes += noted->memory_bytes;
        observer->missed = last;
        observer->missed_count++;
        count_pending(o, bit);
        if (!ml_list_is_linked(&o->node))
            ml_list_append(&o->room->rooms->observed, &o->node);
    }
    last->noted->to_seq = observer->missed_to = to_seq;
    last->noted->count += (uint32_t)(to_seq + 1 - from);
    last->noted->bytes += bytes;
    observer->is_overdue = true;
    return true;
}

static void load_missed(struct observer *observer);

static void on_missed_loaded(struct ml_load *load)
{
    struct observer *observer = ML_CONTAINER(load, struct observer, load);
    struct ml_observation *o = observer->of;
    uint64_t up_to = load->until_seq;
    enum ml_err err = load->err;
    bool ok = true;

    observer->is_loading = false;
    if (!o) {
        ml_load_release(load);
        drop_observer(observer);
        return;
    }
    for (size_t i = 0; ok && !err && i < load->count; i++)
        if (load->records[i].seq > observer->missed_to)
            ok = note_missed(observer, load->records[i].seq, load->records[i].bytes->len,
                             load->records[i].author ? ml_blob_slice(load->records[i].author)
                                                     : ml_slice_make("", 0));
    ml_load_release(load);
    if (err == ML_EIO || err == ML_EBUSY || err == ML_ECLOSED)
        ok = false;
    else if (ok && observer->missed_to < up_to) /* they are not kept any more, or are damaged */
        ok = note_missed(observer, up_to, 0, ml_slice_make("", 0));
    if (!ok)
        ask_again(observer);
    else if (observer->missed_to < observer->start)
        load_missed(observer);
    else
        observer->is_ready = true;
}

static void load_missed(struct observer *observer)
{
    uint64_t after = observer->missed_to, left = observer->start - after;

    observer->is_loading = true;
    observer->load = (struct ml_load){
        .org = observer->org,
        .name = observer->name,
        .max_snapshot_seq = after ? ML_SEQ_ANY : 0,
        .after_seq = after,
        .until_seq = after + (left < MISSED_SLICE ? left : MISSED_SLICE),
        .done = on_missed_loaded,
    };
    ml_journal_load(observer->of->room->rooms->env.journal, &observer->load);
}

static void on_cursor_read(struct ml_store_read *read)
{
    struct observer *observer = ML_CONTAINER(read, struct observer, read);
    struct ml_observation *o = observer->of;
    bool is_known = read->count > 0;
    enum ml_err err = read->err;
    char text[24];

    if (!err && is_known) {
        (void)snprintf(text, sizeof text, "%.*s", ML_PRINT(read->pairs[0].value));
        observer->cursor = observer->cursor_wanted = strtoull(text, NULL, 10);
        observer->is_stored = true;
    }
    ml_store_read_release(read);
    observer->is_loading = false;
    if (!o) {
        drop_observer(observer);
        return;
    }
    if (err) {
        ask_again(observer);
        return;
    }
    ml_rooms_note_org(o->room->rooms, observer->org);
    observer->retry_at_ms = 0;
    if (observer->missed_to < observer->cursor)
        observer->missed_to = observer->cursor;
    if (!is_known) { /* told from now on */
        observer->is_ready = true;
        observer->cursor_wanted = observer->start;
        write_cursor(observer);
    } else if (observer->missed_to < observer->start) {
        load_missed(observer);
    } else {
        observer->is_ready = true;
        ml_room_serve_errands(o->room);
    }
}

static void load_cursor(struct observer *observer)
{
    struct ml_room *room = observer->of->room;

    if (observer->is_loading || observer->is_writing)
        return;
    if (!observer->has_cursor)
        observer->start = room->head;
    observer->is_loading = observer->has_cursor = true;
    observer->read = (struct ml_store_read){
        .look = ML_STORE_GET,
        .org = observer->org,
        .instance = ml_slice_str(observer->instance),
        .space = ML_SLICE(SPACE),
        .key = observer->name,
        .limit = 1,
        .now_ms = room->rooms->env.wall_ms(room->rooms->env.arg),
        .done = on_cursor_read,
    };
    ml_store_look(room->rooms->env.journal, &observer->read);
}

/** What observers missed before the document was opened: are they told? (server/sweep.c) */
enum ml_owing ml_room_owing(const struct ml_room *room)
{
    const struct ml_observation *o = room->observation;
    enum ml_owing owing = ML_OWES_NOTHING;

    for (size_t i = 0; o && i < o->observer_count; i++) {
        const struct observer *observer = o->observers[i];

        if (!observer->how.durable || !observer->has_cursor ||
            (observer->is_ready && observer->cursor >= observer->start))
            continue;
        if (observer->retry_at_ms)
            return ML_OWES_IN_VAIN;
        owing = ML_OWES;
    }
    return owing;
}

/** The room is open: durable observers are told what they missed. */
void ml_room_observe_from_start(struct ml_room *room)
{
    struct ml_script *script = script_of(room);
    struct ml_observation *o;
    bool durable = false;

    for (size_t i = 0; script && i < ml_script_observers(script); i++) {
        struct ml_observing how;

        durable |= ml_script_observer(script, i, room->name, &how) && how.durable;
    }
    o = durable ? observation_of(room) : NULL;
    if (o)
        (void)settle_observers(o, script);
}

/* ---- Told ------------------------------------------------------------------------------------ */

static void take(struct observer *observer, uint64_t up_to)
{
    struct ml_observation *o = observer->of;
    uint64_t bit = UINT64_C(1) << observer->number;

    ML_LIST_EACH(node, &o->noted)
    {
        struct entry *entry = ML_CONTAINER(node, struct entry, node);

        if (!(entry->wanted & bit) || entry->noted->to_seq > up_to)
            continue;
        entry->wanted &= ~bit;
        observer->pending -= observer->pending > 0;
        if (!entry->wanted)
            free_entry(o, entry);
    }
    observer->since_ms = ml_room_now(o->room);
    observer->is_overdue = false;
    observer->missed = NULL;
}

static void on_told(void *arg, bool ok)
{
    struct observer *observer = arg;

    observer->is_busy = false;
    if (!observer->of) {
        drop_observer(observer);
        return;
    }
    if (!observer->how.durable)
        return;
    if (!ok) {
        observer->retry_ms = observer->retry_ms ? observer->retry_ms * 2 : RETRY_MIN_MS;
        if (observer->retry_ms > RETRY_MAX_MS)
            observer->retry_ms = RETRY_MAX_MS;
        observer->retry_at_ms = ml_room_now(observer->of->room) + observer->retry_ms;
        ml_room_serve_errands(observer->of->room);
        return;
    }
    observer->retry_ms = 0;
    observer->retry_at_ms = 0;
    observer->cursor_wanted = observer->taken_to;
    take(observer, observer->taken_to);
    write_cursor(observer);
}

static void add_author(struct ml_script_batch *batch, struct ml_slice *authors,
                       struct ml_slice author)
{
    for (size_t i = 0; i < batch->author_count; i++)
        if (ml_slice_equal(authors[i], author))
            return;
    if (batch->author_count < OBSERVERS_MAX)
        authors[batch->author_count++] = author;
}

/* The batch of all that waits; *noted_out is on the heap. */
static bool collect(const struct observer *observer, struct ml_script_batch *batch,
                    struct ml_slice *authors, const struct ml_noted ***noted_out, uint32_t *depth)
{
    struct ml_observation *o = observer->of;
    uint64_t bit = UINT64_C(1) << observer->number;
    const struct ml_noted **list = calloc(o->count + 1, sizeof(struct ml_noted *));

    *noted_out = list;
    *depth = 0;
    if (!list)
        return false;
    *batch = (struct ml_script_batch){.org = o->room->org,
                                      .document = o->room->name,
                                      .doc = o->room->doc,
                                      .port = &o->room->port,
                                      .authors = authors,
                                      .noted = list};
    ML_LIST_EACH(node, &o->noted)
    {
        const struct entry *entry = ML_CONTAINER(node, struct entry, node);
        const struct ml_noted *noted = entry->noted;

        if (!(entry->wanted & bit))
            continue;
        if (!batch->noted_count)
            batch->from_seq = noted->from_seq;
        list[batch->noted_count++] = noted;
        batch->to_seq = noted->to_seq;
        batch->count += noted->count;
        batch->bytes += noted->bytes;
        batch->gap |= noted->gap;
        if (noted->depth > *depth)
            *depth = noted->depth;
        add_author(batch, authors, noted->author);
    }
    return batch->noted_count > 0;
}

static void tell(struct observer *observer, struct ml_script *script)
{
    struct ml_observation *o = observer->of;
    struct ml_slice authors[OBSERVERS_MAX];
    struct ml_script_batch batch;
    const struct ml_noted **noted = NULL;

    if (!ml_room_wake(o->room) && collect(observer, &batch, authors, &noted, &o->depth)) {
        observer->is_busy = true;
        observer->taken_to = batch.to_seq;
        o->is_telling = true;
        if (!ml_script_observe(script, observer->number, &batch, on_told, observer)) {
            observer->is_busy = false;
            if (observer->how.durable)
                observer->retry_at_ms = ml_room_now(o->room) + RETRY_MIN_MS;
        }
        o->is_telling = false;
        if (!observer->how.durable) /* a failure is skipped */
            take(observer, batch.to_seq);
    } else if (observer->how.durable) { /* no memory */
        observer->retry_at_ms = ml_room_now(o->room) + CURSOR_AGAIN_MS;
    }
    free((void *)(uintptr_t)noted);
}

static bool is_due(const struct observer *observer, uint64_t now)
{
    return observer->is_overdue || now - observer->since_ms >= observer->how.every_ms ||
           observer->pending >= observer->how.max;
}

/* What a durable one has not been told stands in the journal; who is busy while the process ends
 * is left alone. */
static bool is_done_with(const struct observer *observer, bool is_last)
{
    bool goes_on = observer->is_busy || observer->is_loading;

    if (!is_last)
        return !goes_on && !observer->pending && (!observer->has_cursor || observer->is_ready);
    return (!goes_on || observer->of->room->rooms->is_draining) &&
           (!observer->pending || observer->how.durable);
}

/* The room goes: what its filter did not let through is not owed to it. Where nodes share a store,
 * what another node wrote may be that one's to tell. */
static void pass_unwanted(struct observer *observer)
{
    struct ml_room *room = observer->of->room;

    if (!observer->how.durable || observer->pending || observer->is_busy ||
        observer->cursor_wanted >= room->head ||
        (room->rooms->env.bus && !ml_bus_is_local(room->rooms->env.bus)))
        return;
    observer->cursor_wanted = room->head;
    write_cursor(observer);
}

/**
 * Tell those whose time has come; with `all` everybody who is not busy.
 * False: somebody still waits, or is busy.
 */
bool ml_room_observe(struct ml_room *room, bool all)
{
    struct ml_observation *o = room->observation;
    struct ml_script *script;
    uint64_t now;
    bool is_quiet = true;

    if (!o || o->is_telling)
        return !o;
    script = script_of(room);
    if (!script || room->is_abandoned) {
        ml_room_observation_free(room);
        return true;
    }
    (void)settle_observers(o, script);
    now = ml_room_now(room);
    for (size_t i = 0; i < o->observer_count; i++) {
        struct observer *observer = o->observers[i];

        if (observer->how.durable && !observer->is_ready) {
            if ((observer->has_cursor || observer->pending) && !all && now >= observer->retry_at_ms)
                load_cursor(observer);
        } else if (observer->pending && !observer->is_busy && !observer->is_loading &&
                   now >= observer->retry_at_ms && (all || is_due(observer, now))) {
            tell(observer, script);
        } else if (all) {
            pass_unwanted(observer);
        }
        is_quiet &= is_done_with(observer, all);
    }
    if (is_quiet)
        ml_list_remove(&o->node);
    return is_quiet;
}

/** Every tick. */
void ml_rooms_observe(struct ml_rooms *rooms)
{
    ML_LIST_EACH(node, &rooms->observed)
    (void)ml_room_observe(ML_CONTAINER(node, struct ml_observation, node)->room, false);
}

/** May a hook that runs at this moment write? *depth_out: how deep its record would be. */
bool ml_room_is_telling(const struct ml_room *room, uint32_t *depth_out)
{
    const struct ml_observation *o = room->observation;

    if (!o || !o->is_telling)
        return false;
    *depth_out = o->depth + 1;
    return true;
}

/** From here to the end hooks may write into it. False: out of memory. */
bool ml_room_begin_telling(struct ml_room *room)
{
    struct ml_observation *o = observation_of(room);

    if (!o)
        return false;
    o->is_telling = true;
    o->depth = 0;
    return true;
}

void ml_room_end_telling(struct ml_room *room)
{
    room->observation->is_telling = false;
}

/** Key of the next record that the server itself writes: number and (random) half before it. */
uint64_t ml_room_next_own(struct ml_room *room, uint64_t *id_out)
{
    struct ml_observation *o = room->observation;

    while (!o->own_id)
        o->own_id = room->rooms->env.random(room->rooms->env.arg);
    *id_out = o->own_id;
    return ++o->own_no;
}

/* ---- Moments --------------------------------------------------------------------------------- */

/** Somebody came or went, the document is here or gone. `member` may be NULL. */
void ml_room_tell(struct ml_room *room, enum ml_moment what, const struct ml_member *member)
{
    static const unsigned hooks[] = {
        [ML_MOMENT_JOINED] = ML_HOOK_JOINED,
        [ML_MOMENT_LEFT] = ML_HOOK_LEFT,
        [ML_MOMENT_LOADED] = ML_HOOK_DOCUMENT_LOADED,
        [ML_MOMENT_UNLOADED] = ML_HOOK_DOCUMENT_UNLOADED,
    };
    struct ml_script *script = ml_room_script(room);
    bool loaded = what == ML_MOMENT_LOADED;
    struct ml_script_moment moment;
    struct ml_observation *o;

    if (!script || !(ml_script_hooks(script) & hooks[what]) || room->is_abandoned)
        return;
    if (member && member->port->is_hidden)
        return;
    if ((loaded || what == ML_MOMENT_JOINED) && ml_room_wake(room))
        return;
    moment = ml_room_moment(room, member);
    o = loaded ? observation_of(room) : NULL;
    if (o) {
        o->is_telling = true;
        o->depth = 0;
    }
    ml_script_tell(script, what, &moment);
    if (o)
        o->is_telling = false;
}

struct ml_script_moment ml_room_moment(struct ml_room *room, const struct ml_member *member)
{
    struct ml_script_moment moment = {
        .org = room->org, .document = room->name, .doc = room->doc, .port = &room->port};

    if (member) {
        moment.user = ml_slice_str(member->identity.user);
        moment.name = ml_slice_str(member->identity.name);
        moment.session = ml_slice_str(member->identity.session);
    }
    return moment;
}

/** How long it stays when nobody is there; at least the limit's grace. */
uint64_t ml_room_grace(struct ml_room *room)
{
    struct ml_script *script = ml_room_script(room);
    uint64_t grace = room->rooms->env.limits.grace_ms, wanted = 0;
    struct ml_script_moment moment;

    if (script && ml_script_hooks(script) & ML_HOOK_KEEP_DOCUMENT && !ml_room_wake(room)) {
        moment = ml_room_moment(room, NULL);
        wanted = ml_script_keep_document(script, &moment);
    }
    return wanted > grace ? wanted : grace;
}
