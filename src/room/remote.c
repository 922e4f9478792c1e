/* SPDX-License-Identifier: MIT */
/*
 * A seat in a room of another loop. The session does not notice: it holds a member, has a port, and
 * calls the same functions; a room of this file's loop does not notice either.
 *
 *      the session's loop                                     the room's loop
 *
 *   session -- ml_room_submit --> remote ==== letters ====> agent -- ml_room_submit --> room
 *   session <-- port ------------ remote <=== letters ===== agent <-- port ------------ room
 *
 * A remote is a member without a room; an agent is a port without a client. Letters are gathered
 * while the loop turns and leave together (ml_remote_post_all, from ml_rooms_flush): one lock and
 * one wake-up per turn and loop. A frame that goes to many seats of one loop is one letter.
 *
 * What was sent and not looked at yet is bounded per seat (WINDOW_*): past it the session is
 * paused, as by any room that is full. Presence past it is dropped.
 *
 * Invariants:
 *  [R1] between two loops letters arrive in the order in which they were written;
 *  [R2] numbers (of this loop, never used again) name a seat, not addresses: what was written to a
 *       seat that is gone meanwhile finds nobody;
 *  [R3] of one agent: `ack` for all messages before a refused one leaves before its `failed`.
 */
#include "room/live.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES   (512u << 10)
#define WINDOW_LETTERS 256
#define NOTICE_PATHS   32 /* told of one notice */
#define NOTICE_MAX     (256u << 10)

/* Who a seat is: the loop of the session, and a number of that loop. */
struct seat_id {
    uint64_t number;
    uint64_t loop; /* as wide, so that the key has no padding */
};

enum kind {
    /* to the room */
    JOIN,
    SUBMIT,
    SYNC,
    PRESENCE,
    QUERY,
    MESSAGE,
    CONFIRM,
    RENEW,
    LEAVE,
    DISMISS,
    /* to the session */
    JOINED,
    FRAME,
    ACK,
    RECORDED,
    REFUSED,
    FAILED,
    CLOSE,
    PAUSE,
    LOOKED_AT,
    SAID,
};

/* What a JOIN brings, and a RENEW. */
struct credentials {
    struct ml_identity identity;
    struct ml_grant grant;
    struct ml_blob *rules; /* own reference: of the grant, or NULL */
    bool has_identity, is_hidden, is_own, wants_records, wants_refusals;
    enum ml_dialect dialect;
    size_t org_len, name_len, address_len;
    uint8_t text[]; /* org, name, address; for DISMISS: org, name, reason */
};

struct letter {
    struct ml_parcel parcel; /* first */
    enum kind kind;
    struct seat_id seat;
    struct ml_blob *bytes; /* update, vector, presence, frame, reason, or NULL */
    struct credentials *credentials;
    uint64_t number; /* message_no, seq, bytes looked at */
    uint64_t other;
    enum ml_send as;
    enum ml_close why;
    enum ml_err err;
    bool flag;       /* is_reply, paused, fence */
    uint64_t *seats; /* FRAME: numbers of all that it goes to */
    size_t seat_count, seat_cap;
};

struct remote {
    struct ml_member member; /* first; room is NULL */
    struct ml_rooms *rooms;
    struct seat_id id;
    unsigned home;
    bool is_full;                  /* over the window: the session was paused for that */
    bool is_paused;                /* by the room */
    size_t out_bytes, out_letters; /* written and not looked at */
};

/* A message that came and cannot be handed to the room yet. */
struct waiting {
    struct ml_list node;
    struct letter *letter;
};

/* A refusal that waits for the acknowledgement of what was before it. */
struct failure {
    struct ml_list node;
    uint64_t message_no, after_no; /* its own; the last one before it that was taken */
    enum ml_err err;
};

struct agent {
    struct ml_port port; /* first */
    struct ml_rooms *rooms;
    struct ml_member *member; /* NULL: not yet */
    struct seat_id id;
    struct ml_list waiting;
    struct ml_list failures;
    struct ml_list node; /* rooms->stirred: something of `waiting` may go on */
    uint64_t taken_no, acked_no;
    bool is_paused, is_joined, is_left;
    uint8_t address[];
};

static struct remote *remote_of(struct ml_member *member)
{
    ML_ASSERT(!member->room);
    return (struct remote *)(void *)member;
}

static struct agent *agent_of(struct ml_port *port)
{
    return (struct agent *)(void *)port;
}

static struct ml_slice key_of(const struct seat_id *id)
{
    return ml_slice_make((const uint8_t *)id, sizeof *id);
}

/* ---- Letters ----------------------------------------------------------------------------------
 */

static void credentials_free(struct credentials *c)
{
    if (c)
        ml_blob_unref(c->rules);
    free(c);
}

/* False: no memory. */
static bool credentials_take_grant(struct credentials *c, const struct ml_grant *grant)
{
    c->rules = grant->rules.len ? ml_blob_new(grant->rules) : NULL;
    c->grant = *grant;
    c->grant.rules = c->rules ? ml_blob_slice(c->rules) : ml_slice_make("", 0);
    return c->rules || !grant->rules.len;
}

/* Here only the bits of a grant count: the rules are looked at where the document is. */
static struct ml_grant bits_only(const struct ml_grant *grant)
{
    struct ml_grant bits = *grant;

    bits.rules = ml_slice_make("", 0);
    return bits;
}

static void letter_free(struct letter *letter)
{
    ml_blob_unref(letter->bytes);
    credentials_free(letter->credentials);
    free(letter->seats);
    free(letter);
}

static void open_letter(struct ml_parcel *parcel, struct ml_rooms *rooms);

/* NULL: out of memory. The bytes are copied. */
static struct letter *letter_new(enum kind kind, const struct seat_id *seat, struct ml_slice bytes)
{
    struct letter *letter = calloc(1, sizeof *letter);

    if (!letter)
        return NULL;
    letter->parcel.open = open_letter;
    letter->kind = kind;
    letter->seat = *seat;
    if (!bytes.ptr)
        return letter;
    letter->bytes = ml_blob_new(bytes);
    if (letter->bytes)
        return letter;
    free(letter);
    return NULL;
}

static void post(struct ml_rooms *rooms, unsigned loop, struct letter *letter)
{
    ML_ASSERT(loop < rooms->env.loops && loop != rooms->env.loop);
    ml_list_append(&rooms->outgoing[loop].letters, &letter->parcel.node);
    rooms->outgoing[loop].last_frame = letter->kind == FRAME ? letter : NULL;
}

void ml_remote_post_all(struct ml_rooms *rooms)
{
    for (unsigned loop = 0; loop < rooms->env.loops; loop++) {
        struct ml_outgoing *out = rooms->outgoing ? &rooms->outgoing[loop] : NULL;

        if (!out || ml_list_is_empty(&out->letters))
            continue;
        out->last_frame = NULL;
        rooms->env.post(rooms->env.post_arg, loop, &out->letters);
    }
}

static size_t cost_of(const struct letter *letter)
{
    return letter->bytes ? letter->bytes->len : 0;
}

/* ---- The session's side -----------------------------------------------------------------------
 */

static struct remote *find_remote(struct ml_rooms *rooms, uint64_t number)
{
    const struct seat_id id = {number, rooms->env.loop};

    return ml_hashmap_get(&rooms->remotes, key_of(&id));
}

static struct credentials *credentials_new(struct ml_slice org, struct ml_slice name,
                                           struct ml_slice address)
{
    struct credentials *c = calloc(1, sizeof *c + org.len + name.len + address.len);
    const struct ml_slice parts[3] = {org, name, address};
    uint8_t *p = c ? c->text : NULL;

    if (!c)
        return NULL;
    c->org_len = org.len;
    c->name_len = name.len;
    c->address_len = address.len;
    for (int i = 0; i < 3; i++) {
        if (parts[i].len)
            memcpy(p, parts[i].ptr, parts[i].len);
        p += parts[i].len;
    }
    return c;
}

enum ml_err ml_remote_join(struct ml_rooms *rooms, unsigned home, struct ml_slice org,
                           struct ml_slice name, const struct ml_identity *identity,
                           const struct ml_grant *grant, struct ml_port *port,
                           struct ml_member **member_out)
{
    struct credentials *c = credentials_new(org, name, port->address);
    struct remote *remote = calloc(1, sizeof *remote);
    struct letter *letter = NULL;

    if (!c || !remote || !credentials_take_grant(c, grant))
        goto fail;
    remote->id = (struct seat_id){rooms->next_remote++, rooms->env.loop};
    remote->rooms = rooms;
    remote->home = home;
    remote->member.port = port;
    remote->member.identity = *identity;
    remote->member.grant = bits_only(grant);
    letter = letter_new(JOIN, &remote->id, ml_slice_make(NULL, 0));
    if (!letter || !ml_hashmap_put(&rooms->remotes, key_of(&remote->id), remote))
        goto fail;
    c->identity = *identity;
    c->dialect = port->dialect;
    c->is_hidden = port->is_hidden;
    c->is_own = port->is_own;
    c->wants_records = port->recorded != NULL;
    c->wants_refusals = port->refused != NULL;
    letter->credentials = c;
    post(rooms, home, letter);
    *member_out = &remote->member;
    return ML_OK;

fail:
    credentials_free(c);
    free(remote);
    free(letter);
    return ML_EBUSY;
}

/* Every letter but presence counts: the room's loop tells when it has looked at it. */
static void write_letter(struct remote *remote, struct letter *letter)
{
    remote->out_bytes += cost_of(letter);
    remote->out_letters++;
    post(remote->rooms, remote->home, letter);
}

static bool is_over_window(const struct remote *remote)
{
    return remote->out_letters >= WINDOW_LETTERS || remote->out_bytes >= WINDOW_BYTES;
}

static enum ml_err pause_session(struct remote *remote)
{
    struct ml_port *port = remote->member.port;

    remote->is_full = true;
    port->pause(port, true);
    return ML_EBUSY;
}

enum ml_err ml_remote_submit(struct ml_member *from, struct ml_slice bytes, uint64_t message_no,
                             bool is_reply, struct ml_arena *scratch)
{
    struct remote *remote = remote_of(from);
    const struct ml_update *update;
    struct letter *letter;
    enum ml_err err;

    if (is_over_window(remote) || remote->is_paused)
        return pause_session(remote);
    /* What can be known here is answered here. */
    err = ml_update_decode(scratch, bytes, remote->rooms->env.limits.engine, NULL, &update);
    if (err)
        return err;
    if (!is_reply && !ml_grant_allows(&from->grant, ML_MAY_WRITE) && !ml_update_is_empty(update))
        return ML_EDENIED;
    letter = letter_new(SUBMIT, &remote->id, bytes);
    if (!letter)
        return pause_session(remote);
    letter->number = message_no;
    letter->flag = is_reply;
    write_letter(remote, letter);
    return ML_OK;
}

static enum ml_err write_simple(struct remote *remote, enum kind kind, struct ml_slice bytes,
                                uint64_t number)
{
    struct letter *letter = letter_new(kind, &remote->id, bytes);

    if (!letter)
        return ML_ELIMIT;
    letter->number = number;
    write_letter(remote, letter);
    return ML_OK;
}

enum ml_err ml_remote_sync(struct ml_member *member, struct ml_slice state_vector)
{
    enum ml_err err = ml_state_vector_check(state_vector, NULL);

    return err ? err : write_simple(remote_of(member), SYNC, state_vector, 0);
}

enum ml_err ml_remote_presence(struct ml_member *from, struct ml_slice update)
{
    struct remote *remote = remote_of(from);
    struct ml_presence_reader reader;
    struct ml_presence_entry entry;
    bool more = true;
    enum ml_err err = ml_presence_begin(update, &reader);

    while (!err && more)
        err = ml_presence_next(&reader, &more, &entry);
    if (err)
        return err;
    if (is_over_window(remote) || !ml_grant_allows(&from->grant, ML_MAY_PRESENCE))
        return ML_OK;
    return write_simple(remote, PRESENCE, update, 0);
}

enum ml_err ml_remote_message(struct ml_member *from, struct ml_slice text)
{
    struct remote *remote = remote_of(from);

    if (is_over_window(remote) || remote->is_paused)
        return pause_session(remote);
    return write_simple(remote, MESSAGE, text, 0);
}

enum ml_err ml_remote_query(struct ml_member *member)
{
    return write_simple(remote_of(member), QUERY, ml_slice_make(NULL, 0), 0);
}

void ml_remote_confirm(struct ml_member *member, uint64_t message_no)
{
    /* Without memory the status is not answered; the next one is. */
    (void)!write_simple(remote_of(member), CONFIRM, ml_slice_make(NULL, 0), message_no);
}

bool ml_remote_renew(struct ml_member *member, const struct ml_identity *identity,
                     const struct ml_grant *grant)
{
    struct remote *remote = remote_of(member);
    const struct ml_slice none = {NULL, 0};
    struct letter *letter = letter_new(RENEW, &remote->id, none);

    if (letter)
        letter->credentials = credentials_new(none, none, none);
    if (!letter || !letter->credentials || !credentials_take_grant(letter->credentials, grant)) {
        if (letter)
            letter_free(letter);
        return false;
    }
    member->grant = bits_only(grant);
    letter->credentials->has_identity = identity != NULL;
    if (identity)
        letter->credentials->identity = *identity;
    write_letter(remote, letter);
    return true;
}

static void forget_remote(struct remote *remote)
{
    (void)ml_hashmap_remove(&remote->rooms->remotes, key_of(&remote->id));
    free(remote);
}

void ml_remote_leave(struct ml_member *member)
{
    struct remote *remote = remote_of(member);

    (void)!write_simple(remote, LEAVE, ml_slice_make(NULL, 0), 0);
    forget_remote(remote);
}

/** Another loop's room is told that the journal changed behind its back. */
void ml_remote_dismiss(struct ml_rooms *rooms, unsigned home, struct ml_slice org,
                       struct ml_slice name, enum ml_close why, const char *reason)
{
    const struct seat_id nobody = {0, rooms->env.loop};
    struct letter *letter = letter_new(DISMISS, &nobody, ml_slice_make(NULL, 0));

    if (letter)
        letter->credentials = credentials_new(org, name, ml_slice_str(reason));
    if (!letter || !letter->credentials) {
        free(letter); /* the room goes on until its next commit finds out */
        return;
    }
    letter->why = why;
    post(rooms, home, letter);
}

/* The window opens: half of it has been looked at. */
static void looked_at(struct remote *remote, size_t bytes)
{
    struct ml_port *port = remote->member.port;

    remote->out_letters--;
    remote->out_bytes -= bytes;
    if (!remote->is_full || remote->is_paused || remote->out_letters > WINDOW_LETTERS / 2 ||
        remote->out_bytes > WINDOW_BYTES / 2)
        return;
    remote->is_full = false;
    port->pause(port, false);
}

static void deliver_frame(struct ml_rooms *rooms, const struct letter *letter)
{
    for (size_t i = 0; i < letter->seat_count; i++) {
        struct remote *remote = find_remote(rooms, letter->seats[i]);

        /* A full outbox is its own affair, as with a local member. */
        if (remote)
            (void)!remote->member.port->send(remote->member.port, letter->bytes, letter->as);
    }
}

/* code, reason, paths: each as varbytes. */
static void open_notice(struct ml_port *port, const struct letter *letter, struct ml_slice bytes)
{
    struct ml_reader in = ml_reader_make(bytes);
    struct ml_denial denial = {.fence = letter->flag};
    struct ml_slice paths[NOTICE_PATHS];
    struct ml_notice notice = {.denial = &denial,
                               .message_no = letter->number,
                               .is_fenced = letter->flag,
                               .is_message = letter->other,
                               .paths = paths};

    if (ml_read_varbytes(&in, &denial.code) || ml_read_varbytes(&in, &denial.reason))
        return;
    while (ml_reader_left(&in) && notice.path_count < NOTICE_PATHS &&
           !ml_read_varbytes(&in, &paths[notice.path_count]))
        notice.path_count++;
    port->refused(port, &notice);
}

static void session_receives(struct ml_rooms *rooms, struct letter *letter)
{
    struct remote *remote;
    struct ml_port *port;
    struct ml_slice bytes = letter->bytes ? ml_blob_slice(letter->bytes) : ml_slice_make(NULL, 0);

    if (letter->kind == FRAME) {
        deliver_frame(rooms, letter);
        return;
    }
    remote = find_remote(rooms, letter->seat.number);
    if (!remote)
        return;
    port = remote->member.port;
    switch (letter->kind) {
    case JOINED:
        if (letter->flag) {
            port->joined(port, &remote->member, letter->why);
        } else {
            forget_remote(remote);
            port->joined(port, NULL, letter->why);
        }
        break;
    case ACK:
        port->ack(port, letter->number);
        break;
    case RECORDED:
        if (port->recorded)
            port->recorded(port, letter->number, letter->other);
        break;
    case REFUSED:
        if (port->refused)
            open_notice(port, letter, bytes);
        break;
    case FAILED:
        if (port->failed)
            port->failed(port, letter->number, letter->err);
        break;
    case CLOSE:
        port->close(port, letter->why, bytes);
        break;
    case PAUSE:
        remote->is_paused = letter->flag;
        if (letter->flag) {
            (void)pause_session(remote);
        } else if (remote->is_full && !is_over_window(remote)) {
            remote->is_full = false;
            port->pause(port, false);
        }
        break;
    case SAID:
        if (port->said)
            port->said(port, bytes);
        break;
    case LOOKED_AT:
        looked_at(remote, (size_t)letter->number);
        break;
    default:
        break;
    }
}

/* ---- The room's side: the agent is a port -----------------------------------------------------
 */

static void answer(struct agent *agent, struct letter *letter)
{
    if (letter)
        post(agent->rooms, (unsigned)agent->id.loop, letter);
}

static enum ml_err agent_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    struct agent *agent = agent_of(port);
    struct ml_outgoing *out = &agent->rooms->outgoing[agent->id.loop];
    struct letter *letter = out->last_frame;

    if (!letter || letter->bytes != frame || letter->as != as) {
        letter = letter_new(FRAME, &agent->id, ml_slice_make(NULL, 0));
        if (!letter)
            return ML_ELIMIT;
        letter->bytes = ml_blob_ref(frame);
        letter->as = as;
        answer(agent, letter);
    }
    if (letter->seat_count == letter->seat_cap) {
        size_t cap = letter->seat_cap ? letter->seat_cap * 2 : 4;
        uint64_t *bigger = realloc(letter->seats, cap * sizeof *bigger);

        if (!bigger)
            return ML_ELIMIT;
        letter->seats = bigger;
        letter->seat_cap = cap;
    }
    letter->seats[letter->seat_count++] = agent->id.number;
    return ML_OK;
}

static void say_number(struct agent *agent, enum kind kind, uint64_t number, uint64_t other)
{
    struct letter *letter = letter_new(kind, &agent->id, ml_slice_make(NULL, 0));

    if (!letter)
        return;
    letter->number = number;
    letter->other = other;
    answer(agent, letter);
}

static void say_failed(struct agent *agent, uint64_t message_no, enum ml_err err)
{
    struct letter *letter = letter_new(FAILED, &agent->id, ml_slice_make(NULL, 0));

    if (!letter)
        return;
    letter->number = message_no;
    letter->err = err;
    answer(agent, letter);
}

/* Tell that all up to `message_no` is durable, unless that was told. */
static void say_acked(struct agent *agent, uint64_t message_no)
{
    if (message_no <= agent->acked_no)
        return;
    agent->acked_no = message_no;
    say_number(agent, ACK, message_no, 0);
}

/* Keeps [R3]: what was refused between two accepted messages is told between their acks. */
static void agent_ack(struct ml_port *port, uint64_t message_no)
{
    struct agent *agent = agent_of(port);

    ML_LIST_EACH(node, &agent->failures)
    {
        struct failure *failure = ML_CONTAINER(node, struct failure, node);

        if (failure->after_no > message_no)
            break;
        say_acked(agent, failure->after_no);
        say_failed(agent, failure->message_no, failure->err);
        agent->acked_no = failure->message_no;
        ml_list_remove(node);
        free(failure);
    }
    say_acked(agent, message_no);
}

static void agent_recorded(struct ml_port *port, uint64_t message_no, uint64_t seq)
{
    say_number(agent_of(port), RECORDED, message_no, seq);
}

static void agent_refused(struct ml_port *port, const struct ml_notice *notice)
{
    struct agent *agent = agent_of(port);
    struct ml_writer text;
    struct letter *letter;

    ml_writer_init(&text, NOTICE_MAX);
    ml_write_varbytes(&text, notice->denial->code);
    ml_write_varbytes(&text, notice->denial->reason);
    for (size_t i = 0; i < notice->path_count; i++)
        ml_write_varbytes(&text, notice->paths[i]);
    letter = text.err ? NULL : letter_new(REFUSED, &agent->id, ml_writer_slice(&text));
    ml_writer_release(&text);
    if (!letter)
        return;
    letter->number = notice->message_no;
    letter->flag = notice->is_fenced;
    letter->other = notice->is_message;
    answer(agent, letter);
}

static void agent_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct agent *agent = agent_of(port);
    struct letter *letter = letter_new(JOINED, &agent->id, ml_slice_make(NULL, 0));

    agent->member = member;
    agent->is_joined = member != NULL;
    agent->is_left = !member; /* the stir frees it */
    if (!ml_list_is_linked(&agent->node))
        ml_list_append(&agent->rooms->stirred, &agent->node);
    if (!letter)
        return; /* the session gives up waiting in the end */
    letter->flag = member != NULL;
    letter->why = why;
    answer(agent, letter);
}

static void agent_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    struct agent *agent = agent_of(port);
    struct letter *letter = letter_new(CLOSE, &agent->id, reason);

    if (!letter)
        return;
    letter->why = why;
    answer(agent, letter);
}

static void agent_said(struct ml_port *port, struct ml_slice text)
{
    struct agent *agent = agent_of(port);

    answer(agent, letter_new(SAID, &agent->id, text));
}

static void agent_pause(struct ml_port *port, bool paused)
{
    struct agent *agent = agent_of(port);
    struct letter *letter = letter_new(PAUSE, &agent->id, ml_slice_make(NULL, 0));

    agent->is_paused = paused;
    if (!paused && !ml_list_is_linked(&agent->node))
        ml_list_append(&agent->rooms->stirred, &agent->node);
    if (!letter)
        return;
    letter->flag = paused;
    answer(agent, letter);
}

static void agent_free(struct agent *agent)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(&agent->waiting)) != NULL) {
        struct waiting *waiting = ML_CONTAINER(node, struct waiting, node);

        letter_free(waiting->letter);
        free(waiting);
    }
    while ((node = ml_list_take_first(&agent->failures)) != NULL)
        free(ML_CONTAINER(node, struct failure, node));
    (void)ml_hashmap_remove(&agent->rooms->agents, key_of(&agent->id));
    ml_list_remove(&agent->node);
    free(agent);
}

static void agent_leave(struct agent *agent)
{
    struct ml_member *member = agent->member;

    agent->member = NULL;
    if (member)
        ml_member_leave(member);
    agent_free(agent);
}

static void refuse_join(struct ml_rooms *rooms, const struct letter *join)
{
    struct letter *letter = letter_new(JOINED, &join->seat, ml_slice_make(NULL, 0));

    if (!letter)
        return;
    letter->why = ML_CLOSE_TRY_LATER;
    post(rooms, (unsigned)join->seat.loop, letter);
}

static void take_seat(struct ml_rooms *rooms, const struct letter *join)
{
    const struct credentials *c = join->credentials;
    struct ml_slice org = {c->text, c->org_len}, name = {c->text + c->org_len, c->name_len};
    struct agent *agent = calloc(1, sizeof *agent + c->address_len);
    struct ml_member *member = NULL;

    if (!agent) {
        refuse_join(rooms, join);
        return;
    }
    agent->port = (struct ml_port){
        .dialect = c->dialect,
        .send = agent_send,
        .ack = agent_ack,
        .joined = agent_joined,
        .close = agent_close,
        .pause = agent_pause,
        .said = agent_said,
        .address = ml_slice_make(agent->address, c->address_len),
        .recorded = c->wants_records ? agent_recorded : NULL,
        .refused = c->wants_refusals ? agent_refused : NULL,
        .is_hidden = c->is_hidden,
        .is_own = c->is_own,
    };
    if (c->address_len)
        memcpy(agent->address, c->text + c->org_len + c->name_len, c->address_len);
    agent->rooms = rooms;
    agent->id = join->seat;
    ml_list_init(&agent->waiting);
    ml_list_init(&agent->failures);
    if (!ml_hashmap_put(&rooms->agents, key_of(&agent->id), agent)) {
        free(agent);
        refuse_join(rooms, join);
        return;
    }
    if (ml_rooms_join(rooms, org, name, &c->identity, &c->grant, &agent->port, &member)) {
        agent_free(agent);
        refuse_join(rooms, join);
        return;
    }
    if (!agent->is_joined && !agent->is_left)
        agent->member = member;
}

/* ---- The room's side: one message after the other ---------------------------------------------
 */

static void note_failure(struct agent *agent, uint64_t message_no, enum ml_err err)
{
    struct failure *failure;

    if (agent->acked_no >= agent->taken_no) {
        agent->acked_no = message_no;
        say_failed(agent, message_no, err);
        return;
    }
    failure = calloc(1, sizeof *failure);
    if (!failure)
        return;
    failure->message_no = message_no;
    failure->after_no = agent->taken_no;
    failure->err = err;
    ml_list_append(&agent->failures, &failure->node);
}

/* False: it has to wait. */
static bool hand_over(struct agent *agent, const struct letter *letter)
{
    struct ml_slice bytes = letter->bytes ? ml_blob_slice(letter->bytes) : ml_slice_make(NULL, 0);
    struct ml_arena *scratch = &agent->rooms->letters;
    enum ml_err err = ML_OK;

    switch (letter->kind) {
    case SUBMIT:
        err = ml_room_submit(agent->member, bytes, letter->number, letter->flag, scratch);
        if (err == ML_EBUSY)
            return false;
        if (!err)
            agent->taken_no = letter->number;
        else
            note_failure(agent, letter->number, err);
        break;
    case SYNC:
        err = ml_room_sync(agent->member, bytes, scratch);
        if (err && err != ML_ECLOSED && err != ML_EBUSY)
            agent_close(&agent->port, ML_CLOSE_TRY_LATER, ml_slice_make(NULL, 0));
        break;
    case PRESENCE:
        (void)!ml_room_presence(agent->member, bytes, scratch);
        break;
    case MESSAGE:
        if (ml_room_message(agent->member, bytes, scratch) == ML_EBUSY)
            return false;
        break;
    case QUERY:
        (void)!ml_room_query_presence(agent->member);
        break;
    case CONFIRM:
        /* Answered now only if nothing is staged; what was refused is over already. */
        ml_room_confirm(agent->member, letter->number);
        break;
    case RENEW:
        if (!ml_member_renew(agent->member,
                             letter->credentials->has_identity ? &letter->credentials->identity
                                                               : NULL,
                             &letter->credentials->grant))
            agent_close(&agent->port, ML_CLOSE_FORBIDDEN, ml_slice_make(NULL, 0));
        break;
    default:
        break;
    }
    ml_arena_reset(scratch);
    return true;
}

static void say_looked_at(struct agent *agent, const struct letter *letter)
{
    say_number(agent, LOOKED_AT, cost_of(letter), 0);
}

static void go_on(struct agent *agent)
{
    while (agent->is_joined && !agent->is_paused && !ml_list_is_empty(&agent->waiting)) {
        struct waiting *waiting = ML_CONTAINER(agent->waiting.next, struct waiting, node);

        if (!hand_over(agent, waiting->letter))
            return;
        say_looked_at(agent, waiting->letter);
        ml_list_remove(&waiting->node);
        letter_free(waiting->letter);
        free(waiting);
    }
}

/** Agents whose room has room again, or has just given them a seat. */
void ml_remote_stir(struct ml_rooms *rooms)
{
    struct ml_list now, *node;

    ml_list_init(&now);
    ml_list_splice(&now, &rooms->stirred);
    while ((node = ml_list_take_first(&now)) != NULL) {
        struct agent *agent = ML_CONTAINER(node, struct agent, node);

        if (agent->is_left)
            agent_free(agent);
        else
            go_on(agent);
    }
}

/* True: the letter is kept. */
static bool agent_receives(struct agent *agent, struct letter *letter)
{
    struct waiting *waiting;

    if (agent->is_left)
        return false;
    if (letter->kind == LEAVE) {
        agent_leave(agent);
        return false;
    }
    /* New rights hold for what waits, too (SEC-WS-06). */
    if (letter->kind == RENEW && agent->member) {
        (void)hand_over(agent, letter);
        say_looked_at(agent, letter);
        return false;
    }
    if (agent->is_joined && !agent->is_paused && ml_list_is_empty(&agent->waiting) &&
        hand_over(agent, letter)) {
        say_looked_at(agent, letter);
        return false;
    }
    waiting = calloc(1, sizeof *waiting);
    if (!waiting) {
        agent_close(&agent->port, ML_CLOSE_TRY_LATER, ml_slice_make(NULL, 0));
        return false;
    }
    waiting->letter = letter;
    ml_list_append(&agent->waiting, &waiting->node);
    return true;
}

static void open_letter(struct ml_parcel *parcel, struct ml_rooms *rooms)
{
    struct letter *letter = (struct letter *)(void *)parcel;
    struct agent *agent;

    if (rooms && letter->kind >= JOINED) {
        session_receives(rooms, letter);
    } else if (rooms && letter->kind == JOIN) {
        take_seat(rooms, letter);
    } else if (rooms && letter->kind == DISMISS) {
        const struct credentials *c = letter->credentials;
        char reason[128];

        (void)snprintf(reason, sizeof reason, "%.*s", (int)c->address_len,
                       (const char *)c->text + c->org_len + c->name_len);
        (void)ml_rooms_dismiss(rooms, ml_slice_make(c->text, c->org_len),
                               ml_slice_make(c->text + c->org_len, c->name_len), letter->why,
                               reason);
    } else if (rooms) {
        agent = ml_hashmap_get(&rooms->agents, key_of(&letter->seat));
        if (agent && agent_receives(agent, letter))
            return;
    }
    letter_free(letter);
}

/* ---- The beginning and the end ----------------------------------------------------------------
 */

bool ml_remote_init(struct ml_rooms *rooms)
{
    ml_hashmap_init(&rooms->remotes);
    ml_hashmap_init(&rooms->agents);
    ml_list_init(&rooms->stirred);
    ml_arena_init(&rooms->letters, 256u << 20);
    if (rooms->env.loops < 2)
        return true;
    rooms->outgoing = calloc(rooms->env.loops, sizeof *rooms->outgoing);
    for (unsigned i = 0; rooms->outgoing && i < rooms->env.loops; i++)
        ml_list_init(&rooms->outgoing[i].letters);
    return rooms->outgoing != NULL;
}

/** No seat of another loop is left, and nobody here has one elsewhere. */
bool ml_remote_is_quiet(const struct ml_rooms *rooms)
{
    return !rooms->remotes.count && !rooms->agents.count;
}

/** @param by_force  a simulated end of the process: what is left is dropped */
void ml_remote_release(struct ml_rooms *rooms, bool by_force)
{
    struct ml_list *node;
    size_t cursor = 0;
    void *value;

    ML_ASSERT(by_force || ml_remote_is_quiet(rooms));
    while (cursor = 0, ml_hashmap_next(&rooms->agents, &cursor, &value))
        agent_free(value);
    while (cursor = 0, ml_hashmap_next(&rooms->remotes, &cursor, &value))
        forget_remote(value);
    for (unsigned i = 0; rooms->outgoing && i < rooms->env.loops; i++)
        while ((node = ml_list_take_first(&rooms->outgoing[i].letters)) != NULL) {
            struct ml_parcel *parcel = ML_CONTAINER(node, struct ml_parcel, node);

            parcel->open(parcel, NULL);
        }
    free(rooms->outgoing);
    ml_hashmap_release(&rooms->remotes);
    ml_hashmap_release(&rooms->agents);
    ml_arena_release(&rooms->letters);
}
