/* SPDX-License-Identifier: MIT */
/*
 * Commit, then tell. While one append waits in the journal's line, what arrives joins it; once its
 * transaction has begun, what arrives waits in `staged` for the next one. After each commit every
 * member gets one merged frame, and every author its acknowledgement. Nobody is told anything
 * before that.
 *
 * Invariants:
 *  [C1] entries leave `staged` and `sent` in the order in which they came;
 *  [C2] the document holds exactly the records up to `head` plus the entries of `sent`, then
 * `staged`; [C3] a failed append is repeated with the same records and keys until its outcome is
 * known.
 */
#include "room/live.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_RECORDS  256
#define BATCH_BYTES    (1024 * 1024)
#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS   2000
#define HELD_AFTER_MS  2000
/* Between telling everybody and the next commit, for each member: about eight times what it costs.
 */
#define TELL_US       60
#define TELL_LEAST_MS 6  /* less is not worth waiting for */
#define TELL_MOST_MS  30 /* a key is to reach other people within 50 ms */

static void free_staged(struct ml_staged *entry)
{
    ml_list_remove(&entry->node);
    ml_blob_unref(entry->bytes);
    ml_blob_unref(entry->labels);
    free(entry->noted);
    ml_decided_release(&entry->decided);
    free(entry->claims);
    free(entry);
}

/** Nothing of what is staged will be committed (the document was deleted, or memory ran out). */
void ml_room_drop_staged(struct ml_room *room)
{
    ML_LIST_EACH(node, &room->staged)
    free_staged(ML_CONTAINER(node, struct ml_staged, node));
    ML_LIST_EACH(node, &room->sent)
    free_staged(ML_CONTAINER(node, struct ml_staged, node));
    room->staged_bytes = 0;
    ML_LIST_EACH(node, &room->members)
    ML_CONTAINER(node, struct ml_member, node)->staged_count = 0;
}

/** A member has gone: what it wrote stays, nobody is acknowledged for it. */
void ml_room_forget_author(struct ml_room *room, const struct ml_member *member)
{
    struct ml_list *lists[] = {&room->staged, &room->sent};

    for (size_t i = 0; i < 2; i++)
        ML_LIST_EACH(node, lists[i])
        {
            struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);

            if (entry->member == member)
                entry->member = NULL;
        }
}

/* Names that do not live in the entry yet: they are its writer's, or the server's. */
static bool take_claims(struct ml_room *room, const struct ml_member *from, struct ml_staged *entry,
                        bool is_changed)
{
    uint64_t own = room->claiming.own;

    (void)snprintf(entry->user, sizeof entry->user, "%s", from->identity.user);
    return ml_room_take_claiming(room, entry,
                                 from->port->is_own ? ML_SLICE("") : ml_slice_str(entry->user)) &&
           (!is_changed || ml_room_claim_own(room, entry, own));
}

/**
 * Step 9: queue an integrated record (the room takes the reference), or with NULL a mark. What is
 * known already is acknowledged at once if nothing is staged, else together with what is.
 * @param is_changed  the record is not what the author sent
 * What room->labels holds goes with it.
 */
enum ml_err ml_room_stage(struct ml_room *room, struct ml_member *from, uint64_t message_no,
                          struct ml_blob *bytes, bool is_changed)
{
    struct ml_staged *entry;

    from->last_no = message_no;
    if (!bytes)
        ml_room_forget_claiming(room);
    if (!bytes && !ml_room_is_staging(room)) {
        from->port->ack(from->port, message_no);
        return ML_OK;
    }
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return ML_ELIMIT;
    if (bytes && !take_claims(room, from, entry, is_changed)) {
        free(entry->claims);
        free(entry);
        return ML_ELIMIT;
    }
    entry->labels = bytes ? room->labels : NULL;
    if (bytes)
        room->labels = NULL;
    entry->bytes = bytes;
    entry->noted = bytes ? ml_room_take_noted(room) : NULL;
    entry->member = from;
    entry->is_changed = is_changed;
    entry->message_no = message_no;
    entry->at_ms = room->rooms->env.wall_ms(room->rooms->env.arg);
    entry->since_ms = ml_room_now(room);
    entry->staged_ms = ml_room_now(room);
    (void)snprintf(entry->user, sizeof entry->user, "%s", from->identity.user);
    (void)snprintf(entry->session, sizeof entry->session, "%s", from->identity.session);
    ml_room_take_decided(room, entry);
    ml_list_append(&room->staged, &entry->node);
    room->staged_no++;
    from->staged_count++;
    room->staged_bytes += bytes ? bytes->len : 0;
    ml_room_trace(entry->session, message_no, bytes ? "stage" : "stage: nothing new");
    ml_room_commit(room);
    return ML_OK;
}

/** A record that the server itself has written (the room takes the reference). */
enum ml_err ml_room_stage_own(struct ml_room *room, struct ml_slice author, struct ml_blob *bytes,
                              uint32_t depth)
{
    struct ml_staged *entry = calloc(1, sizeof *entry);
    uint64_t id;

    if (!entry)
        return ML_ELIMIT;
    if (!ml_room_claim_own(room, entry, 0)) {
        free(entry->claims);
        free(entry);
        return ML_ELIMIT;
    }
    entry->bytes = bytes;
    entry->noted = ml_room_take_noted(room);
    entry->depth = depth;
    entry->is_changed = true;
    entry->message_no = ml_room_next_own(room, &id);
    entry->at_ms = room->rooms->env.wall_ms(room->rooms->env.arg);
    entry->since_ms = entry->staged_ms = ml_room_now(room);
    (void)snprintf(entry->user, sizeof entry->user, "%.*s", ML_PRINT(author));
    (void)snprintf(entry->session, sizeof entry->session, "~%016llx", (unsigned long long)id);
    ml_list_append(&room->staged, &entry->node);
    room->staged_no++;
    room->staged_bytes += bytes->len;
    ml_room_commit(room);
    return ML_OK;
}

static void count_ack(struct ml_rooms_stats *stats, uint64_t ms)
{
    unsigned place = 0;

    while (place < ML_TIME_PLACES - 1 && ms >> place)
        place++;
    stats->ack_ms[place]++;
    stats->ack_ms_sum += ms;
}

/* The records stand in the order of the entries that have bytes. */
static void acknowledge_authors(struct ml_room *room)
{
    size_t next = 0;

    ML_LIST_EACH(node, &room->sent)
    {
        struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);
        struct ml_member *member = entry->member;
        uint64_t seq = entry->bytes ? room->records[next++].seq : room->head;

        if (entry->bytes)
            ml_room_note_seq(room, entry->decided.tag, seq);
        if (entry->bytes)
            ml_histogram_add(&room->rooms->stats.commit_took,
                             (ml_room_now(room) - entry->staged_ms) * 1000);
        if (!member)
            continue;
        ML_ASSERT(member->staged_count > 0);
        ml_room_trace(entry->session, entry->message_no, "acknowledge");
        member->staged_count--;
        count_ack(&room->rooms->stats, ml_room_now(room) - entry->since_ms);
        if (!member->is_closing && member->port->recorded)
            member->port->recorded(member->port, entry->message_no, seq);
        if (!member->is_closing)
            member->port->ack(member->port,
                              member->staged_count ? entry->message_no : member->last_no);
    }
}

/* The one member that wrote every record of the commit, or NULL. */
static const struct ml_member *only_author(const struct ml_room *room)
{
    const struct ml_member *only = NULL;

    ML_LIST_EACH(node, &room->sent)
    {
        const struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);

        if (!entry->bytes)
            continue;
        if (!entry->member || entry->is_changed || (only && only != entry->member))
            return NULL;
        only = entry->member;
    }
    return only;
}

struct telling {
    struct ml_room *room;
    const struct ml_member *only_author;
    enum ml_send as;
};

static enum ml_err tell_part(void *to, struct ml_slice part, bool last)
{
    struct telling *t = to;

    (void)last;
    ml_room_fan_out(t->room, ML_FRAME_UPDATE, part, t->as, t->only_author);
    if (t->as == ML_SEND_LARGE)
        t->as = ML_SEND_MORE;
    return ML_OK;
}

/* One payload to everybody; one that is too large for a frame in parts. */
static void tell_update(struct telling *t, struct ml_slice update)
{
    struct ml_rooms *rooms = t->room->rooms;
    bool is_small = update.len <= rooms->env.limits.frame_bytes;

    /* What is large may be more than an outbox holds, for everybody who listens: its frames are
     * shared, and count as answers to a Step1 do. */
    t->as = is_small ? ML_SEND_UPDATE : ML_SEND_LARGE;
    if (is_small || ml_update_split(update, rooms->env.limits.frame_bytes, rooms->env.limits.engine,
                                    &rooms->scratch, tell_part, t, NULL))
        (void)tell_part(t, update, true);
}

/** What others have committed. */
void ml_room_tell_update(struct ml_room *room, struct ml_slice update)
{
    struct telling t = {.room = room};

    tell_update(&t, update);
}

/* One frame for all records of the commit; a single record goes out as it is. */
static void fan_out_records(struct ml_room *room, uint64_t first, uint64_t last)
{
    struct telling t = {.room = room, .only_author = only_author(room)};
    struct ml_rooms *rooms = room->rooms;
    struct ml_slice *parts;
    struct ml_writer merged;
    enum ml_err err;

    if (room->record_count == 1) {
        tell_update(&t, ml_blob_slice(room->records[0].bytes));
        ml_room_tell_others(room, first, last, ml_blob_slice(room->records[0].bytes));
        ml_arena_reset(&rooms->scratch);
        return;
    }
    ml_writer_init(&merged, SIZE_MAX / 4);
    parts = ml_arena_array(&rooms->scratch, room->record_count, sizeof *parts);
    err = parts ? ML_OK : ML_ELIMIT;
    for (size_t i = 0; parts && i < room->record_count; i++)
        parts[i] = ml_blob_slice(room->records[i].bytes);
    if (!err)
        err = ml_updates_merge(parts, room->record_count, rooms->env.limits.engine, &rooms->scratch,
                               &merged, NULL);
    ml_room_tell_others(room, first, last,
                        err || merged.err ? (struct ml_slice){0} : ml_writer_slice(&merged));
    if (!err && !merged.err)
        tell_update(&t, ml_writer_slice(&merged));
    else
        for (size_t i = 0; i < room->record_count; i++)
            tell_update(&t, ml_blob_slice(room->records[i].bytes));
    ml_writer_release(&merged);
    ml_arena_reset(&rooms->scratch);
}

/* What every record brought goes to who observes; when they are told is observe.c's business. */
static void tell_plugins(struct ml_room *room)
{
    size_t next = 0;

    ML_LIST_EACH(node, &room->sent)
    {
        struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);

        if (!entry->bytes)
            continue;
        ml_room_note(room, entry->noted, &room->records[next++], entry->depth);
        entry->noted = NULL;
    }
}

/* Steps 10 to 13. Nobody was told anything before this line. */
static void tell_everybody(struct ml_room *room)
{
    uint64_t first = UINT64_MAX, last = 0, bytes = 0;

    for (size_t i = 0; i < room->record_count; i++) {
        bytes += room->records[i].bytes->len;
        ml_room_wrote(room, room->records[i].author);
        first = room->records[i].seq < first ? room->records[i].seq : first;
        last = room->records[i].seq > last ? room->records[i].seq : last;
    }
    room->ops_since += room->record_count;
    room->bytes_since += bytes;
    room->changed_at_ms = ml_room_now(room);
    if (room->record_count) {
        ml_room_committed(room, first, last, room->append.head);
        for (size_t i = 0; i < room->record_count; i++)
            ml_room_trace((const char *)room->records[i].session.ptr, room->records[i].message_no,
                          "committed");
        room->rooms->stats.commits++;
        room->told_ms = ml_room_now(room);
        fan_out_records(room, first, last);
    }
    ml_room_presence_tell(room);
    acknowledge_authors(room);
    if (room->record_count)
        tell_plugins(room);
    ML_LIST_EACH(node, &room->sent)
    {
        struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);

        room->staged_bytes -= entry->bytes ? entry->bytes->len : 0;
        room->settled_no++;
        free_staged(entry);
    }
    room->record_count = 0;
    ml_room_serve_errands(room);
}

/* Who waited for a moment without staged work gets its turn; who was paused may go on. */
static void serve_waiting(struct ml_room *room)
{
    if (!ml_room_is_staging(room)) {
        ML_LIST_EACH(node, &room->members)
        {
            struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

            if (member->wants_sync && !member->is_closing && ml_member_send_state(member, NULL))
                ml_member_close(member, ML_CLOSE_TRY_LATER, "the state could not be sent");
        }
        if (room->snapshot_due)
            ml_room_take_snapshot(room);
    }
    if (room->staged_bytes > room->rooms->env.limits.staged_bytes / 2 || room->rooms->is_draining)
        return;
    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

        if (member->is_paused && !member->retry_at_ms && !member->is_closing) {
            member->is_paused = false;
            member->port->pause(member->port, false);
        }
    }
}

/** The outcome is unknown, or nothing was written or read: it is tried again. */
void ml_room_hold(struct ml_room *room, enum ml_err err, const char *why)
{
    uint64_t now = ml_room_now(room);

    if (room->state != ML_ROOM_HELD) {
        room->state = ML_ROOM_HELD;
        room->held_since_ms = now;
        ml_room_hurry(room);
        room->retry_ms = RETRY_FIRST_MS;
        ml_log(ML_LOG_WARN, "room.held", "org=%.*s doc=%s err=%s why=%s", ML_PRINT(room->org),
               ML_LOG_TEXT(room->name), ml_err_name(err), ML_LOG_TEXT(ml_slice_str(why)));
    } else {
        room->retry_ms = room->retry_ms * 2 < RETRY_MAX_MS ? room->retry_ms * 2 : RETRY_MAX_MS;
    }
    room->retry_at_ms = now + room->retry_ms;
    if (room->sync_waiting)
        ml_room_read_back(room);
}

static void close_everybody(struct ml_room *room, enum ml_close why, const char *reason)
{
    ML_LIST_EACH(node, &room->members)
    ml_member_close(ML_CONTAINER(node, struct ml_member, node), why, reason);
}

/** The document in memory is ahead of what will ever be recorded: everybody has to start again. */
void ml_room_abandon(struct ml_room *room)
{
    room->is_abandoned = true;
    close_everybody(room, ML_CLOSE_TRY_LATER, "the document is loaded again");
}

/** A tombstone stands where the document was. */
void ml_room_was_deleted(struct ml_room *room)
{
    ml_room_drop_staged(room);
    room->is_abandoned = true;
    close_everybody(room, ML_CLOSE_DELETED, "the document was deleted");
}

/** Its org was suspended. What was not acknowledged stays with its writers. */
void ml_room_was_shut(struct ml_room *room)
{
    ml_room_drop_staged(room);
    room->is_abandoned = true;
    close_everybody(room, ML_CLOSE_FORBIDDEN, "the org is suspended");
}

static void on_committed(struct ml_append *append)
{
    struct ml_room *room = ML_CONTAINER(append, struct ml_room, append);

    room->is_appending = false;
    ml_room_presence_unmute(room);
    if (append->err == ML_OK)
        ml_room_settle_claims(room, append);
    switch (append->err) {
    case ML_OK:
        if (room->state == ML_ROOM_HELD)
            ml_log(ML_LOG_INFO, "room.recovered", "org=%.*s doc=%s ms=%llu", ML_PRINT(room->org),
                   ML_LOG_TEXT(room->name),
                   (unsigned long long)(ml_room_now(room) - room->held_since_ms));
        room->state = ML_ROOM_LIVE;
        tell_everybody(room);
        ml_room_settle(room);
        return;
    case ML_ENOTFOUND:
        ml_room_was_deleted(room);
        return;
    case ML_EDENIED:
        ml_room_was_shut(room);
        return;
    case ML_EMOVED:
        ml_room_catch_up(room);
        return;
    default:
        ml_room_hold(room, append->err, append->diag.text);
    }
}

/*
 * When the next commit of a room may begin. What it costs is telling everybody, so a room of many
 * people is told of several edits at once: the loop has others to serve. Five hundred wait 30 ms.
 */
static uint64_t next_commit_ms(const struct ml_room *room)
{
    uint64_t gap_ms = (uint64_t)room->member_count * TELL_US / 1000;

    if (gap_ms < TELL_LEAST_MS || !room->told_ms)
        return 0;
    return room->told_ms + (gap_ms < TELL_MOST_MS ? gap_ms : TELL_MOST_MS);
}

static void send_again(struct ml_room *room)
{
    size_t claim_count;

    free(room->sent_claims);
    if (!ml_room_gather_claims(room, &room->sent_claims, &claim_count)) {
        ml_room_hold(room, ML_ELIMIT, "out of memory");
        return;
    }
    room->is_appending = true;
    room->appended_ms = ml_room_now(room);
    room->append = (struct ml_append){
        .org = room->org,
        .name = room->name,
        .records = room->records,
        .count = room->record_count,
        .claims = room->sent_claims,
        .claim_count = claim_count,
        .not_before_ms = next_commit_ms(room),
        .expected_head = room->desk && ml_room_decides(room) ? room->head : ML_SEQ_ANY,
        .done = on_committed,
    };
    ml_journal_append(room->rooms->env.journal, &room->append);
}

/** Try the failed append again, if its time has come. */
void ml_room_retry(struct ml_room *room)
{
    if (room->state != ML_ROOM_HELD || room->is_appending || room->is_moving ||
        ml_room_now(room) < room->retry_at_ms)
        return;
    if (room->desk && room->desk->must_move)
        ml_room_catch_up(room);
    else
        send_again(room);
}

/* The records of the next append, or of the one that waits in the journal's line. */
struct filling {
    struct ml_record *records;
    size_t count, cap, bytes;
    size_t entries; /* of `staged` that go with them */
};

/* A longer array; `filling` keeps the old one if there is no memory. The journal's thread may be
 * writing the seqs of the old one at this moment: then it will not take the new one. */
static bool lengthen(struct filling *f)
{
    size_t cap = f->cap ? BATCH_RECORDS : 16;
    struct ml_record *records = malloc(cap * sizeof *records);

    if (!records)
        return false;
    for (size_t i = 0; i < f->count; i++) {
        const struct ml_record *old = &f->records[i];

        records[i] = (struct ml_record){.bytes = old->bytes,
                                        .author = old->author,
                                        .session = old->session,
                                        .message_no = old->message_no,
                                        .labels = old->labels,
                                        .at_ms = old->at_ms};
    }
    f->records = records;
    f->cap = cap;
    return true;
}

/* As much of what is staged as goes into one append. The room's array is read by the journal as far
 * as it was filled before: what is behind that may be written, but it is not freed here. */
static void fill(const struct ml_room *room, struct filling *f)
{
    ML_LIST_EACH(node, &room->staged)
    {
        struct ml_staged *entry = ML_CONTAINER(node, struct ml_staged, node);
        struct ml_record *before = f->records;

        if (entry->claim_count && room->is_appending)
            return; /* claims do not grow: with the next append */
        if (entry->bytes) {
            if (f->count == BATCH_RECORDS ||
                (f->count && f->bytes + entry->bytes->len > BATCH_BYTES))
                return;
            if (f->count == f->cap) {
                if (!lengthen(f))
                    return;
                if (before != room->records)
                    free(before);
            }
            f->records[f->count++] = (struct ml_record){
                .bytes = entry->bytes,
                .author = ml_slice_str(entry->user),
                .session = ml_slice_str(entry->session),
                .message_no = entry->message_no,
                .labels = entry->labels ? ml_blob_slice(entry->labels) : ml_slice_make(NULL, 0),
                .at_ms = entry->at_ms,
            };
            f->bytes += entry->bytes->len;
        }
        f->entries++;
    }
}

/* What was filled is the room's batch now. */
static void take_filling(struct ml_room *room, const struct filling *f)
{
    if (f->records != room->records)
        free(room->records);
    room->records = f->records;
    room->record_count = f->count;
    room->record_cap = f->cap;
    room->record_bytes = f->bytes;
    for (size_t i = 0; i < f->entries; i++)
        ml_list_append(&room->sent, ml_list_take_first(&room->staged));
}

/* The append that is under way may not have begun: then what is staged goes with it. */
static void grow(struct ml_room *room)
{
    struct filling f = {room->records, room->record_count, room->record_cap, room->record_bytes, 0};

    fill(room, &f);
    if (f.count > room->record_count && ml_journal_grow(&room->append, f.records, f.count))
        take_filling(room, &f);
    else if (f.records != room->records)
        free(f.records);
}

/** Append what is staged. With an append that is under way already its end will. */
void ml_room_commit(struct ml_room *room)
{
    struct filling f = {room->records, 0, room->record_cap, 0, 0};

    if (room->is_moving || room->state != ML_ROOM_LIVE || ml_list_is_empty(&room->staged))
        return;
    if (room->is_appending) {
        grow(room);
        return;
    }
    ML_ASSERT(ml_list_is_empty(&room->sent));
    fill(room, &f);
    take_filling(room, &f);
    if (room->record_count)
        send_again(room);
    else if (!ml_list_is_empty(&room->sent))
        tell_everybody(room);
}

/** After anything that moved: commit what waits, serve who waited, take the snapshot that is due.
 */
void ml_room_settle(struct ml_room *room)
{
    ml_room_look_again(room);
    ml_room_commit(room);
    ml_room_consider_snapshot(room, false);
    serve_waiting(room);
    (void)ml_room_observe(room, false);
    ml_room_weigh(room);
    ml_room_close_if_idle(room);
}
