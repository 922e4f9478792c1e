/* SPDX-License-Identifier: MIT */
/*
 * All rooms of one loop: found by (org, name), loaded once however many wait, kept for a while when
 * the last member has gone, and freed when the last journal request has come back. The states are
 * drawn in live.h.
 */
#include "base/assert.h"
#include "base/log.h"
#include "room/live.h"

#include <stdlib.h>
#include <string.h>

#define SCRATCH_BYTES (256u * 1024 * 1024)
#define HELD_JOIN_MS  10000
/* A room is looked at about once a second, if it is not in a hurry. */
#define TICKS_A_VISIT 20
/* A drain: so many members a tick that all have gone after DRAIN_TICKS, and what has to be
 * acknowledged has so long. Clients that come back at once must not come all at the same moment. */
#define DRAIN_TICKS  160
#define DRAIN_LEAST  10
#define DRAIN_ACK_MS 3000
/* Documents that become bytes in one piece of work: each costs an encode. */
#define RESTS_AT_A_TIME 16
/* A question to a document of the same loop and its answer leave in one turn. */
#define MINE_TURNS 4

static void set_default_size(size_t *field, size_t value)
{
    if (!*field)
        *field = value;
}

static void set_default_count(uint32_t *field, uint32_t value)
{
    if (!*field)
        *field = value;
}

static void set_defaults(struct ml_room_limits *limits)
{
    set_default_size(&limits->staged_bytes, 4u << 20);
    set_default_size(&limits->frame_bytes, 512u << 10);
    set_default_size(&limits->presence_state_bytes, 4096);
    set_default_size(&limits->document_bytes, 64u << 20);
    set_default_count(&limits->presence_clients, 2);
    set_default_count(&limits->members, 1000);
    set_default_count(&limits->rooms, 100000);
    set_default_count(&limits->grace_ms, 30000);
    set_default_count(&limits->presence_ms, 30000);
    set_default_count(&limits->rest_ms, 60000);
    set_default_size(&limits->rooms_bytes, (size_t)1 << 30);
}

struct ml_rooms *ml_rooms_new(const struct ml_room_env *env)
{
    struct ml_rooms *rooms = calloc(1, sizeof *rooms);

    if (!rooms)
        return NULL;
    rooms->env = *env;
    set_defaults(&rooms->env.limits);
    ml_hashmap_init(&rooms->by_key);
    ml_list_init(&rooms->all);
    ml_list_init(&rooms->awake);
    ml_list_init(&rooms->empty);
    ml_list_init(&rooms->urgent);
    ml_list_init(&rooms->noisy);
    ml_list_init(&rooms->recent);
    ml_list_init(&rooms->muted);
    ml_list_init(&rooms->observed);
    ml_list_init(&rooms->mine);
    ml_arena_init(&rooms->scratch, SCRATCH_BYTES);
    ml_arena_init(&rooms->presence_scratch, 1u << 20);
    if (!rooms->env.loops)
        rooms->env.loops = 1;
    rooms->shared = env->shared ? env->shared : &rooms->own_shared;
    ml_rooms_others_init(rooms);
    if (!ml_remote_init(rooms)) {
        ml_rooms_others_release(rooms);
        free(rooms);
        return NULL;
    }
    return rooms;
}

void ml_rooms_set_limits(struct ml_rooms *rooms, const struct ml_room_limits *limits)
{
    rooms->env.limits = *limits;
    set_defaults(&rooms->env.limits);
}

bool ml_rooms_is_empty(const struct ml_rooms *rooms)
{
    return rooms->count == 0 && !rooms->keeping_count && ml_remote_is_quiet(rooms) &&
           ml_list_is_empty(&rooms->mine) && !ml_rooms_is_looking(rooms) &&
           ml_auditor_is_idle(rooms->auditor);
}

static void free_all(struct ml_rooms *rooms, bool by_force)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(&rooms->mine)) != NULL) {
        struct ml_parcel *parcel = ML_CONTAINER(node, struct ml_parcel, node);

        parcel->open(parcel, NULL);
    }
    ml_auditor_free(rooms->auditor, by_force);
    ml_remote_release(rooms, by_force);
    ml_rooms_others_release(rooms);
    ml_hashmap_release(&rooms->by_key);
    ml_arena_release(&rooms->scratch);
    ml_arena_release(&rooms->presence_scratch);
    free(rooms);
}

void ml_rooms_free(struct ml_rooms *rooms)
{
    if (!rooms)
        return;
    ML_ASSERT(ml_rooms_is_empty(rooms));
    free_all(rooms, false);
}

/* ---- A room comes and goes --------------------------------------------------------------------
 */

static struct ml_room *new_room(struct ml_rooms *rooms, struct ml_slice key, size_t org_len)
{
    struct ml_room *room = calloc(1, sizeof *room + key.len);
    uint8_t *own = room ? (uint8_t *)(room + 1) : NULL;

    if (!room)
        return NULL;
    memcpy(own, key.ptr, key.len);
    room->rooms = rooms;
    room->key = ml_slice_make(own, key.len);
    room->org = ml_slice_make(own, org_len);
    room->name = ml_slice_make(own + org_len + 1, key.len - org_len - 1);
    room->state = ML_ROOM_LOADING;
    ml_room_port_init(room);
    ml_list_init(&room->members);
    ml_list_init(&room->errands);
    ml_list_init(&room->staged);
    ml_list_init(&room->sent);
    ml_list_init(&room->questions);
    if (!ml_hashmap_put(&rooms->by_key, room->key, room)) {
        free(room);
        return NULL;
    }
    ml_list_append(&rooms->all, &room->node);
    ml_list_append(&rooms->empty, &room->empty);
    rooms->count++;
    rooms->shared->rooms++;
    return room;
}

/** No member, no request under way. */
void ml_room_free(struct ml_room *room)
{
    ML_ASSERT(ml_list_is_empty(&room->members) && !room->is_appending && !room->is_putting &&
              !room->is_reading && !room->is_moving && !room->question_count);
    ml_room_end_errands(room, ML_ECLOSED);
    ml_room_unfollow(room);
    ml_hashmap_remove(&room->rooms->by_key, room->key);
    ml_list_remove(&room->node);
    ml_list_remove(&room->awake);
    ml_list_remove(&room->empty);
    ml_list_remove(&room->urgent);
    ml_list_remove(&room->noisy);
    room->rooms->count--;
    room->rooms->shared->rooms--;
    room->rooms->memory_bytes -= room->memory_bytes;
    room->rooms->shared->memory_bytes -= room->memory_bytes;
    room->rooms->stats.closed++;
    ml_room_drop_staged(room);
    ml_room_presence_release(room);
    ml_room_observation_free(room);
    ml_room_forget_answers(room);
    ml_desk_free(room->desk);
    ml_doc_free(room->doc);
    ml_blob_unref(room->rest);
    ml_parked_free(room->parked);
    free(room->records);
    free(room->sent_claims);
    ml_room_forget_writers(room);
    ml_room_forget_claiming(room);
    ml_owners_release(&room->claims);
    free(room);
}

/* Nobody needs it and nothing is under way: can it go at this moment? */
static bool may_close(const struct ml_room *room)
{
    if (room->state != ML_ROOM_LIVE && room->state != ML_ROOM_HELD)
        return false;
    if (room->member_count || room->is_appending || room->is_putting || room->is_reading ||
        room->is_moving || room->question_count || (room->errand_count && !room->is_abandoned))
        return false;
    return room->is_abandoned || !ml_room_is_staging(room);
}

/* Who observes is told what is left before it goes. */
static bool is_ready_to_go(struct ml_room *room)
{
    return may_close(room) && ml_room_observe(room, true) && may_close(room);
}

static void close_room(struct ml_room *room)
{
    if (room->is_abandoned)
        ml_room_drop_staged(room);
    ml_room_consider_snapshot(room, true);
    ml_room_tell(room, ML_MOMENT_UNLOADED, NULL);
    room->state = ML_ROOM_CLOSING;
    if (!room->is_putting)
        ml_room_free(room);
}

/** An empty room goes after its grace, with a last snapshot if its policy wants one. */
void ml_room_close_if_idle(struct ml_room *room)
{
    bool at_once = room->rooms->is_draining || room->is_abandoned;

    if (may_close(room) &&
        (at_once || ml_room_now(room) - room->empty_since_ms >= room->grace_ms) &&
        is_ready_to_go(room))
        close_room(room);
}

bool ml_member_take_grant(struct ml_member *member, const struct ml_grant *grant)
{
    struct ml_blob *rules = grant->rules.len ? ml_blob_new(grant->rules) : NULL;

    if (grant->rules.len && !rules)
        return false;
    ml_blob_unref(member->rules);
    member->rules = rules;
    member->grant = *grant;
    member->grant.rules = rules ? ml_blob_slice(rules) : ml_slice_make("", 0);
    return true;
}

static void member_free(struct ml_member *member)
{
    ml_blob_unref(member->rules);
    ml_blob_unref(member->sync_vector);
    ml_blob_unref(member->seen);
    ml_early_drop(member);
    ml_who_unref(member->who);
    ml_member_drop_question(member);
    free(member);
}

void ml_rooms_crash(struct ml_rooms *rooms)
{
    ML_LIST_EACH(room_node, &rooms->all)
    {
        struct ml_room *room = ML_CONTAINER(room_node, struct ml_room, node);

        ML_LIST_EACH(node, &room->members)
        {
            struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

            ml_list_remove(node);
            member_free(member);
        }
        if (room->is_putting)
            ml_room_forget_snapshot(room);
        free(room->hole);
        ml_room_drop_questions(room);
        room->is_appending = room->is_putting = room->is_reading = room->is_moving = false;
        ml_room_free(room);
    }
    free_all(rooms, true);
}

/* ---- Loading ----------------------------------------------------------------------------------
 */

static void refuse_seats(struct ml_room *room, enum ml_close why)
{
    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);
        struct ml_port *port = member->port;

        ml_list_remove(node);
        room->member_count--;
        member_free(member);
        port->joined(port, NULL, why);
    }
    ml_room_end_errands(room, why == ML_CLOSE_DELETED ? ML_ENOTFOUND : ML_EBUSY);
    room->state = ML_ROOM_CLOSING;
    ml_room_free(room);
}

/* The seat is ready: say so, then what the room has to say first. */
static void seat(struct ml_member *member)
{
    struct ml_port *port = member->port;
    enum ml_err err;

    member->is_seated = true;
    port->joined(port, member, ML_CLOSE_SHUTDOWN);
    err = ml_dialect_speaks_first(port->dialect) ? ml_member_send_vector(member) : ML_OK;
    if (!err)
        err = ml_room_query_presence(member);
    if (err && err != ML_EBUSY && err != ML_ECLOSED)
        ml_member_close(member, ML_CLOSE_TRY_LATER, "out of memory");
    if (!member->is_closing)
        ml_room_tell(member->room, ML_MOMENT_JOINED, member);
    if (member->room->rooms->is_draining)
        ml_member_close(member, member->room->rooms->drain_why, "the server is restarting");
}

/** A document from what was loaded. On success *doc_out is the caller's. */
enum ml_err ml_room_build(struct ml_room *room, const struct ml_load *load, struct ml_diag *diag,
                          struct ml_doc **doc_out)
{
    const struct ml_room_env *env = &room->rooms->env;
    struct ml_doc_options options = {
        .client = env->random(env->arg) & ML_VARUINT_MAX,
        .limits = env->limits.engine,
    };
    struct ml_doc *doc = ml_doc_new(&options);
    enum ml_err err = doc ? ML_OK : ML_ELIMIT;

    if (!err && load->snapshot)
        err = ml_doc_apply_bytes(doc, ml_blob_slice(load->snapshot), diag);
    for (size_t i = 0; !err && i < load->count; i++)
        err = ml_doc_apply_bytes(doc, ml_blob_slice(load->records[i].bytes), diag);
    if (err)
        ml_doc_free(doc);
    else
        *doc_out = doc;
    return err;
}

static void on_read_back(struct ml_load *load)
{
    struct ml_room *room = ML_CONTAINER(load, struct ml_room, read_back);
    struct ml_doc *doc = NULL;
    enum ml_err err = load->err;

    room->is_reading = false;
    if (!err && room->state == ML_ROOM_HELD)
        err = ml_room_build(room, load, NULL, &doc);
    ml_load_release(load);
    if (!err && doc)
        ML_LIST_EACH(node, &room->members)
        {
            struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

            if (member->wants_sync && !member->is_closing && ml_member_send_state(member, doc))
                ml_member_close(member, ML_CLOSE_TRY_LATER, "the state could not be sent");
        }
    ml_doc_free(doc);
    ml_room_close_if_idle(room);
}

/**
 * A held room's document is ahead of the journal by what is staged; who joins meanwhile reads what
 * the journal has. If that cannot be read either, joiners wait, and are sent away in the end
 * (tick).
 */
void ml_room_read_back(struct ml_room *room)
{
    if (room->is_reading)
        return;
    room->is_reading = true;
    room->read_back = (struct ml_load){
        .org = room->org,
        .name = room->name,
        .max_snapshot_seq = ML_SEQ_ANY,
        .done = on_read_back,
    };
    ml_journal_load(room->rooms->env.journal, &room->read_back);
}

/* Ask the journal; snapshots above `max_snapshot_seq` have turned out to be unreadable. */
static void start_load(struct ml_room *room, uint64_t max_snapshot_seq,
                       void (*done)(struct ml_load *))
{
    room->load = (struct ml_load){
        .org = room->org,
        .name = room->name,
        .max_snapshot_seq = max_snapshot_seq,
        .wants_claims = true,
        .done = done,
    };
    ml_journal_load(room->rooms->env.journal, &room->load);
}

static void open_room(struct ml_room *room, const struct ml_load *load)
{
    struct ml_rooms *rooms = room->rooms;
    struct ml_script *script = ml_room_script(room);

    room->state = ML_ROOM_LIVE;
    rooms->stats.loads++;
    ml_room_touch(room);
    ml_room_weigh(room);
    room->epoch = load->exists ? load->epoch : 1;
    room->head = load->head;
    room->is_read_only = load->err == ML_EFORMAT;
    room->empty_since_ms = room->snapshot_at_ms = room->changed_at_ms = ml_room_now(room);
    room->policy = rooms->env.snapshot;
    room->ops_since = load->count;
    for (size_t i = 0; i < load->count; i++) {
        room->bytes_since += load->records[i].bytes->len;
        ml_room_clock_saw(room, load->records[i].at_ms);
        if (load->records[i].author)
            ml_room_wrote(room, ml_blob_slice(load->records[i].author));
    }
    room->grace_ms = rooms->env.limits.grace_ms;
    ml_room_observe_from_start(room);
    ml_room_tell(room, ML_MOMENT_LOADED, NULL);
    if (script) {
        ml_script_snapshot_policy(script, room->org, room->name, &rooms->scratch, &room->policy);
        ml_arena_reset(&rooms->scratch);
    }
    ml_log(ML_LOG_INFO, "room.loaded", "org=%.*s doc=%s head=%llu snapshot=%llu records=%zu%s",
           ML_PRINT(room->org), ML_LOG_TEXT(room->name), (unsigned long long)load->head,
           (unsigned long long)load->snapshot_seq, load->count,
           room->is_read_only ? " quarantined=1" : "");
    ml_room_follow(room);
}

/* ---- A document that was never there ----------------------------------------------------------
 */

struct opening {
    struct ml_birth birth; /* first */
    struct ml_room *room;
};

static void on_loaded(struct ml_load *load);

static void seat_all(struct ml_room *room)
{
    ML_LIST_EACH(node, &room->members)
    seat(ML_CONTAINER(node, struct ml_member, node));
    ml_room_close_if_idle(room);
}

static void tell_why(struct ml_room *room, const struct ml_denial *denial)
{
    static const struct ml_denial unknown = {
        .code = {(const uint8_t *)"no_document", 11},
        .reason = {(const uint8_t *)"There is no such document.", 26}};
    const struct ml_notice notice = {.denial = denial->code.len ? denial : &unknown,
                                     .is_fenced = true};

    ML_LIST_EACH(node, &room->members)
    {
        struct ml_port *port = ML_CONTAINER(node, struct ml_member, node)->port;

        if (port->refused)
            port->refused(port, &notice);
    }
}

/* Who makes it: the first who may write. */
static const struct ml_member *maker(const struct ml_room *room)
{
    ML_LIST_EACH(node, &room->members)
    {
        const struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

        if (ml_grant_allows(&member->grant, ML_MAY_WRITE))
            return member;
    }
    return NULL;
}

static void give_birth(struct ml_room *room);

static void on_born(struct ml_birth *birth, const struct ml_birth_result *result)
{
    struct ml_room *room = ((struct opening *)(void *)birth)->room;
    enum ml_err err = result->err;

    free(birth);
    if (room->is_abandoned) {
        refuse_seats(room, ML_CLOSE_TRY_LATER);
    } else if (!result->is_asked || !err || err == ML_ECONFLICT) {
        room->is_born = true;
        start_load(room, ML_SEQ_ANY, on_loaded);
    } else if (err == ML_EDENIED && !result->denial->code.len && maker(room)) {
        give_birth(room); /* who may make it came while a reader was asked for */
    } else if (err == ML_EDENIED) {
        tell_why(room, result->denial);
        refuse_seats(room, ML_CLOSE_FORBIDDEN);
    } else {
        ml_log(ML_LOG_WARN, "document.not_made", "org=%.*s doc=%s err=%s", ML_PRINT(room->org),
               ML_LOG_TEXT(room->name), ml_err_name(err));
        refuse_seats(room, ML_CLOSE_TRY_LATER);
    }
}

/* Who has left meanwhile wants nothing made. */
static bool is_about_to_be_asked(struct ml_room *room)
{
    return !room->is_born && room->member_count &&
           ml_rooms_birth_is_asked(room->rooms, room->org, room->name);
}

/* Plugins are asked; then it is loaded again. */
static void give_birth(struct ml_room *room)
{
    const struct ml_member *by = maker(room);
    struct opening *opening = calloc(1, sizeof *opening);

    if (!opening) {
        refuse_seats(room, ML_CLOSE_TRY_LATER);
        return;
    }
    opening->room = room;
    opening->birth = (struct ml_birth){.org = room->org,
                                       .name = room->name,
                                       .identity = by ? &by->identity : NULL,
                                       .may_create = by != NULL,
                                       .done = on_born};
    ml_rooms_birth(room->rooms, &opening->birth);
}

/*
 * REL-26: a snapshot that does not decode leads to the next older one, in the end to the first
 * record. A failed load never leads to a store: the room goes without having written anything.
 */
static void on_loaded(struct ml_load *load)
{
    struct ml_room *room = ML_CONTAINER(load, struct ml_room, load);
    enum ml_close refuse = ML_CLOSE_INTERNAL;
    struct ml_diag diag = {0};
    enum ml_err err = load->err;
    bool exists;

    if (!err && !load->exists && !room->is_abandoned && is_about_to_be_asked(room)) {
        ml_load_release(load);
        give_birth(room);
        return;
    }
    if (!err || err == ML_EFORMAT) {
        /* What is damaged is built, as far as it goes; the rest of us is happy with bytes. */
        enum ml_err built = err ? ml_room_build(room, load, &diag, &room->doc)
                                : ml_room_take_bytes(room, load, &diag);

        if (built && load->snapshot) {
            uint64_t below = load->snapshot_seq - 1;

            ml_log(ML_LOG_ERROR, "snapshot.unreadable", "org=%.*s doc=%s seq=%llu why=%s",
                   ML_PRINT(room->org), ML_LOG_TEXT(room->name),
                   (unsigned long long)load->snapshot_seq, ML_LOG_TEXT(ml_slice_str(diag.text)));
            ml_load_release(load);
            start_load(room, below, on_loaded);
            return;
        }
        if (!built && room->is_abandoned) { /* dismissed meanwhile: what was read may be old */
            ml_load_release(load);
            refuse_seats(room, ML_CLOSE_TRY_LATER);
            return;
        }
        if (!built && !ml_room_load_claims(room, load))
            built = ML_ELIMIT;
        if (!built) {
            if (err)
                ml_log(ML_LOG_ERROR, "journal.corrupt", "org=%.*s doc=%s why=%s",
                       ML_PRINT(room->org), ML_LOG_TEXT(room->name),
                       ML_LOG_TEXT(ml_slice_str(load->diag.text)));
            exists = load->exists;
            open_room(room, load);
            ml_load_release(load);
            ml_room_start_errands(room, exists || room->member_count);
            seat_all(room);
            return;
        }
        err = built;
    } else {
        (void)ml_diag_set(&diag, err, 0, "%s", load->diag.text);
    }
    if (err == ML_ENOTFOUND)
        refuse = ML_CLOSE_DELETED;
    else if (err == ML_EDENIED)
        refuse = ML_CLOSE_FORBIDDEN;
    else if (err == ML_EIO || err == ML_EBUSY)
        refuse = ML_CLOSE_TRY_LATER;
    ml_log(ML_LOG_ERROR, "room.unreadable", "org=%.*s doc=%s err=%s why=%s", ML_PRINT(room->org),
           ML_LOG_TEXT(room->name), ml_err_name(err), ML_LOG_TEXT(ml_slice_str(diag.text)));
    ml_load_release(load);
    refuse_seats(room, refuse);
}

/* ---- Members ----------------------------------------------------------------------------------
 */

/*
 * Memory is short: answers that are kept for others go, then the documents that were not written in
 * for the longest time become bytes, then empty rooms go before their grace is over. A bounded
 * piece of work at a time.
 */
static void give_way(struct ml_rooms *rooms)
{
    size_t ceiling = rooms->env.limits.rooms_bytes;
    int rests_left = RESTS_AT_A_TIME;

    ML_LIST_EACH(node, &rooms->awake)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, awake);

        if (rooms->shared->memory_bytes <= ceiling || rests_left-- == 0)
            break;
        ml_room_forget_answers(room);
        ml_room_rest(room);
        ml_room_weigh(room);
    }
    ML_LIST_EACH(node, &rooms->empty)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, empty);

        if (rooms->shared->memory_bytes <= ceiling)
            break;
        if (is_ready_to_go(room)) {
            rooms->stats.evicted++;
            close_room(room);
        }
    }
}

/* Hashing is keyed anew in every process: who knows a name does not know its loop. */
unsigned ml_document_loop(struct ml_slice org, struct ml_slice name, unsigned loops)
{
    uint64_t hash;

    if (loops < 2)
        return 0;
    hash = ml_hash_bytes(org) * 31 + ml_hash_bytes(name);
    return (unsigned)((hash >> 32) % loops);
}

/** NULL: too many. The names are valid. */
struct ml_room *ml_rooms_find_or_load(struct ml_rooms *rooms, struct ml_slice org,
                                      struct ml_slice name)
{
    uint8_t bytes[64 + 1 + 512];
    struct ml_slice key = {bytes, org.len + 1 + name.len};
    struct ml_room *room;

    ML_ASSERT(org.len <= 64 && name.len <= 512);
    memcpy(bytes, org.ptr, org.len);
    bytes[org.len] = 0;
    memcpy(bytes + org.len + 1, name.ptr, name.len);
    room = ml_hashmap_get(&rooms->by_key, key);
    if (room)
        return room;
    if (rooms->shared->memory_bytes > rooms->env.limits.rooms_bytes)
        give_way(rooms);
    if (rooms->shared->rooms >= rooms->env.limits.rooms ||
        rooms->shared->memory_bytes > rooms->env.limits.rooms_bytes)
        return NULL;
    room = new_room(rooms, key, org.len);
    if (room)
        start_load(room, ML_SEQ_ANY, on_loaded);
    return room;
}

enum ml_err ml_rooms_join(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                          const struct ml_identity *identity, const struct ml_grant *grant,
                          struct ml_port *port, struct ml_member **member_out)
{
    unsigned home = ml_document_loop(org, name, rooms->env.loops);
    struct ml_member *member;
    struct ml_room *room;

    if (home != rooms->env.loop && !rooms->is_draining)
        return ml_remote_join(rooms, home, org, name, identity, grant, port, member_out);
    room = rooms->is_draining ? NULL : ml_rooms_find_or_load(rooms, org, name);
    /* An abandoned room is gone in a moment: the client comes again. */
    if (!room || room->is_abandoned || room->member_count >= rooms->env.limits.members) {
        rooms->stats.joins_refused++;
        return ML_EBUSY;
    }
    member = calloc(1, sizeof *member);
    if (!member)
        return ML_EBUSY;
    member->room = room;
    member->port = port;
    member->identity = *identity;
    if (!ml_member_take_grant(member, grant)) {
        free(member);
        return ML_EBUSY;
    }
    ml_list_append(&room->members, &member->node);
    room->member_count++;
    ml_list_remove(&room->empty);
    *member_out = member;
    if (room->state == ML_ROOM_CLOSING)
        room->state = ML_ROOM_LIVE; /* only its last snapshot is on the way */
    if (room->state != ML_ROOM_LOADING)
        seat(member);
    return ML_OK;
}

/* What is known of the same person now; the connection is the same. */
static void take_identity(struct ml_member *member, const struct ml_identity *identity)
{
    char session[sizeof identity->session];

    memcpy(session, member->identity.session, sizeof session);
    member->identity = *identity;
    memcpy(member->identity.session, session, sizeof session);
    ml_who_unref(member->who);
    member->who = NULL;
}

bool ml_member_renew(struct ml_member *member, const struct ml_identity *identity,
                     const struct ml_grant *grant)
{
    if (identity && strcmp(identity->user, member->identity.user) != 0)
        return false;
    if (ml_member_is_remote(member) ? !ml_remote_renew(member, identity, grant)
                                    : !ml_member_take_grant(member, grant))
        return false;
    if (identity)
        take_identity(member, identity);
    return true;
}

const struct ml_identity *ml_member_identity(const struct ml_member *member)
{
    return &member->identity;
}

const struct ml_grant *ml_member_grant(const struct ml_member *member)
{
    return &member->grant;
}

void ml_member_leave(struct ml_member *member)
{
    struct ml_room *room = member->room;
    struct ml_rooms *rooms;

    if (!room) {
        ml_remote_leave(member);
        return;
    }
    rooms = room->rooms;
    if (member->early_count) {
        (void)!ml_early_take(member, &rooms->scratch);
        ml_arena_reset(&rooms->scratch);
    }
    if (member->is_seated)
        ml_room_tell(room, ML_MOMENT_LEFT, member);
    ml_list_remove(&member->node);
    room->member_count--;
    if (member->wants_sync)
        room->sync_waiting--;
    ml_room_forget_author(room, member);
    ml_room_presence_leave(room, member);
    member_free(member);
    if (!room->member_count) {
        room->empty_since_ms = ml_room_now(room);
        room->grace_ms = ml_room_grace(room);
        ml_list_append(&rooms->empty, &room->empty);
    }
    ml_room_close_if_idle(room);
}

/* ---- Time and the end -------------------------------------------------------------------------
 */

/* True: a plugin holds somebody's message. */
static bool tick_members(struct ml_room *room, uint64_t now)
{
    bool is_stuck = room->state == ML_ROOM_HELD && now - room->held_since_ms > HELD_JOIN_MS;
    bool is_holding = false;

    ML_LIST_EACH(node, &room->members)
    {
        struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

        if (member->wants_sync && is_stuck)
            ml_member_close(member, ML_CLOSE_TRY_LATER, "the journal cannot be written");
        if (member->retry_at_ms && now >= member->retry_at_ms && !member->is_closing) {
            member->retry_at_ms = 0;
            member->is_paused = false;
            member->port->pause(member->port, false);
        }
        is_holding |= member->retry_at_ms != 0;
        is_holding |= ml_early_tick(member, now);
    }
    return is_holding;
}

/* Held rooms look at the clock at every tick; most have nothing to do with it. */
static void tick_urgent(struct ml_rooms *rooms, uint64_t now)
{
    ML_LIST_EACH(node, &rooms->urgent)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, urgent);
        bool is_holding = tick_members(room, now);

        ml_room_retry(room);
        if (!is_holding && room->state != ML_ROOM_HELD)
            ml_list_remove(&room->urgent);
    }
}

/* About once a second for every room. */
static void visit(struct ml_room *room, uint64_t now)
{
    const struct ml_room_limits *limits = &room->rooms->env.limits;

    ml_room_presence_expire(room);
    ml_room_serve_errands(room); /* plugins change: nobody may be left who had to be told */
    ml_room_drop_old_answers(room, now);
    ml_room_consider_snapshot(room, false);
    if (room->doc && now - room->changed_at_ms >= limits->rest_ms)
        ml_room_rest(room);
    ml_room_close_if_idle(room);
}

/*
 * Some of the members that are left. Who has work under way is not listened to any more and goes
 * when it is acknowledged; if that takes too long it comes back to another process with it.
 */
static void drain_some(struct ml_rooms *rooms, uint64_t now)
{
    bool is_late = now - rooms->drain_since_ms > DRAIN_ACK_MS;
    uint32_t left = rooms->drain_at_a_time;

    ML_LIST_EACH(room_node, &rooms->all)
    {
        struct ml_room *room = ML_CONTAINER(room_node, struct ml_room, node);

        ML_LIST_EACH(node, &room->members)
        {
            struct ml_member *member = ML_CONTAINER(node, struct ml_member, node);

            if (!member->is_seated || member->is_closing || !left)
                continue;
            left--;
            if (!member->staged_count || is_late) {
                ml_member_close(member, rooms->drain_why, "the server is restarting");
            } else if (!member->is_paused) {
                member->is_paused = true;
                member->port->pause(member->port, true);
            }
        }
        ml_room_close_if_idle(room);
    }
}

void ml_rooms_tick(struct ml_rooms *rooms)
{
    uint64_t now = rooms->env.mono_ms(rooms->env.arg);
    uint32_t count = rooms->count / TICKS_A_VISIT + 1;

    tick_urgent(rooms, now);
    ml_rooms_observe(rooms);
    if (rooms->is_draining)
        drain_some(rooms, now);
    ml_rooms_unmute(rooms);
    for (uint32_t i = 0; i < count && !ml_list_is_empty(&rooms->all); i++) {
        struct ml_list *node = ml_list_take_first(&rooms->all);

        ml_list_append(&rooms->all, node);
        visit(ML_CONTAINER(node, struct ml_room, node), now);
    }
    ml_rooms_tick_others(rooms, now);
    if (rooms->shared->memory_bytes > rooms->env.limits.rooms_bytes)
        give_way(rooms);
    (void)ml_rooms_flush(rooms);
}

/** A parcel on its way; it is opened there. */
void ml_rooms_post(struct ml_rooms *rooms, unsigned loop, struct ml_parcel *parcel)
{
    if (loop == rooms->env.loop || !rooms->outgoing) {
        ml_list_append(&rooms->mine, &parcel->node);
        return;
    }
    ml_list_append(&rooms->outgoing[loop].letters, &parcel->node);
    rooms->outgoing[loop].last_frame = NULL;
}

/* What they bring about may be more; that waits for the next turn. */
static void open_mine(struct ml_rooms *rooms)
{
    struct ml_list *node, now;

    ml_list_init(&now);
    while ((node = ml_list_take_first(&rooms->mine)) != NULL)
        ml_list_append(&now, node);
    while ((node = ml_list_take_first(&now)) != NULL) {
        struct ml_parcel *parcel = ML_CONTAINER(node, struct ml_parcel, node);

        parcel->open(parcel, rooms);
    }
}

bool ml_rooms_flush(struct ml_rooms *rooms)
{
    bool is_any = !ml_list_is_empty(&rooms->noisy) || !ml_list_is_empty(&rooms->stirred) ||
                  !ml_list_is_empty(&rooms->mine);

    for (int turn = 0; turn < MINE_TURNS && !ml_list_is_empty(&rooms->mine); turn++)
        open_mine(rooms);

    ml_remote_stir(rooms);
    ML_LIST_EACH(node, &rooms->noisy)
    {
        struct ml_room *room = ML_CONTAINER(node, struct ml_room, noisy);

        if (!ml_room_presence_mute(room))
            ml_room_presence_tell(room);
    }
    ml_remote_post_all(rooms);
    return is_any;
}

void ml_rooms_drain(struct ml_rooms *rooms, enum ml_close why)
{
    struct ml_rooms_stats stats;

    ml_rooms_stats(rooms, &stats);
    ml_rooms_say_farewell(rooms);
    rooms->is_draining = true;
    rooms->drain_why = why;
    rooms->drain_since_ms = rooms->env.mono_ms(rooms->env.arg);
    rooms->drain_at_a_time = (uint32_t)(stats.members / DRAIN_TICKS) + DRAIN_LEAST;
    drain_some(rooms, rooms->drain_since_ms);
}

void ml_rooms_stats(const struct ml_rooms *rooms, struct ml_rooms_stats *out)
{
    *out = rooms->stats;
    ml_rooms_stats_others(rooms, out);
    out->rooms = rooms->count;
    out->memory_bytes = rooms->memory_bytes;
    out->members = out->held_rooms = out->staged_bytes = out->resting_rooms = 0;
    ML_LIST_EACH(node, &rooms->all)
    {
        const struct ml_room *room = ML_CONTAINER(node, struct ml_room, node);

        out->members += room->member_count;
        out->held_rooms += room->state == ML_ROOM_HELD;
        out->resting_rooms += room->rest || room->parked;
        out->staged_bytes += room->staged_bytes;
    }
}
