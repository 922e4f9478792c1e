/* SPDX-License-Identifier: MIT */
/*
 * One seat of a session: what the room asks of it (the port), messages that have to wait, rates.
 * States and invariants: session.h. A seat belongs to its session's list from the beginning to the
 * end.
 */
#include "net/seat_check.h"
#include "net/session.h"

#include "base/assert.h"
#include "base/clock.h"

#include <stdlib.h>

#define ASK_BEFORE_MS 60000 /* SEC-WS-05 */
#define THROTTLE_MS   2000
#define SCRATCH_KEEP  (1u << 20)
#define EMPTY_UPDATE  2 /* bytes: the answer of somebody who brings nothing */

/* A message of the client that has to wait. */
struct held {
    struct ml_list node;
    size_t len;
    uint8_t bytes[];
};

static struct ml_seat *seat_of(struct ml_port *port)
{
    return (struct ml_seat *)port;
}

static bool is_over(const struct ml_seat *seat)
{
    return seat->state == ML_SEAT_LEFT || seat->state == ML_SEAT_LOST;
}

static void set_state(struct ml_seat *seat, enum ml_seat_state state)
{
    seat->state = state;
    seat->since_ms = ml_net_now(seat->session->net);
    ml_session_mark_dirty(seat->session);
}

/* ---- the port: what the room asks for ---------------------------------------------------------
 */

static enum ml_err port_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    struct ml_seat *seat = seat_of(port);

    return is_over(seat) ? ML_ECLOSED : ml_session_send(seat->session, frame, as);
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    struct ml_seat *seat = seat_of(port);

    if (!seat->session->is_closing && !is_over(seat))
        seat->session->dialect->acknowledged(seat, message_no);
}

static void port_failed(struct ml_port *port, uint64_t message_no, enum ml_err err)
{
    struct ml_seat *seat = seat_of(port);

    if (!seat->session->is_closing && !is_over(seat))
        seat->session->dialect->failed(seat, message_no, err);
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct ml_seat *seat = seat_of(port);
    struct ml_session *session = seat->session;

    seat->member = member;
    if (seat->state != ML_SEAT_JOINING)
        return;
    set_state(seat, member ? ML_SEAT_OPEN : ML_SEAT_LEFT);
    if (!session->is_closing)
        session->dialect->joined(seat, why);
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    struct ml_seat *seat = seat_of(port);

    if (!seat->session->is_closing && !is_over(seat))
        seat->session->dialect->lost(seat, why, reason);
}

static void port_pause(struct ml_port *port, bool paused)
{
    struct ml_seat *seat = seat_of(port);

    seat->is_paused = paused;
    ml_session_mark_dirty(seat->session);
}

/* As much of it as a close frame takes, ended at a character. */
static void keep_reason(struct ml_seat *seat, struct ml_slice reason)
{
    size_t len = reason.len < sizeof seat->why_not ? reason.len : sizeof seat->why_not - 1;

    while (len && len < reason.len && (reason.ptr[len] & 0xC0) == 0x80)
        len--;
    memcpy(seat->why_not, reason.ptr, len);
    seat->why_not[len] = '\0';
}

static void port_refused(struct ml_port *port, const struct ml_notice *notice)
{
    struct ml_seat *seat = seat_of(port);

    if (seat->state == ML_SEAT_JOINING)
        keep_reason(seat, notice->denial->reason);
    else if (!seat->session->is_closing && !is_over(seat))
        seat->session->dialect->refused(seat, notice);
}

static void port_said(struct ml_port *port, struct ml_slice text)
{
    struct ml_seat *seat = seat_of(port);

    if (!seat->session->is_closing && !is_over(seat))
        (void)seat->session->dialect->told(seat, text);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct ml_seat *ml_seat_new(struct ml_session *session, struct ml_slice address)
{
    struct ml_seat *seat = calloc(1, sizeof *seat + address.len);
    uint64_t now = ml_net_now(session->net);

    if (!seat)
        return NULL;
    seat->port = (struct ml_port){
        .dialect = session->dialect->id,
        .send = port_send,
        .ack = port_ack,
        .joined = port_joined,
        .close = port_close,
        .pause = port_pause,
        .failed = port_failed,
        .said = port_said,
        .refused = session->dialect->refused ? port_refused : NULL,
        .address = {seat->address, address.len},
    };
    if (address.len)
        memcpy(seat->address, address.ptr, address.len);
    seat->session = session;
    seat->since_ms = now;
    seat->presence = (struct ml_bucket){session->net->env.limits.presence_per_second, now};
    ml_list_init(&seat->held);
    ml_list_init(&seat->echoes);
    ml_list_append(&session->seats, &seat->node);
    session->seat_count++;
    return seat;
}

static uint64_t expiry_of(const struct ml_net *net, const struct ml_identity *identity)
{
    int64_t left = identity->expires_at_ms - ml_clock_wall_ms();

    if (!identity->expires_at_ms)
        return 0;
    return ml_net_now(net) + (left > 0 ? (uint64_t)left : 0);
}

bool ml_seat_ends_before(const struct ml_seat *seat, uint64_t then)
{
    return seat->state == ML_SEAT_OPEN && ((seat->expires_ms && seat->expires_ms < then) ||
                                           (seat->granted_ms && seat->granted_ms < then));
}

/* 0: never, or it is over. */
static uint64_t some_time_before(uint64_t until, uint64_t now)
{
    if (until <= now)
        return 0;
    return until - now > 2 * ASK_BEFORE_MS ? until - ASK_BEFORE_MS : now + (until - now) / 2;
}

void ml_seat_set_expiry(struct ml_seat *seat, const struct ml_identity *identity,
                        const struct ml_grant *grant)
{
    uint64_t now = ml_net_now(seat->session->net);

    seat->expires_ms = expiry_of(seat->session->net, identity);
    seat->granted_ms = grant->until_ms > 0 ? (uint64_t)grant->until_ms : 0;
    seat->is_asked = false;
    seat->ask_ms = some_time_before(seat->expires_ms, now);
    seat->recheck_ms = some_time_before(seat->granted_ms, now);
}

static bool take_place(struct ml_seat *seat, struct ml_slice org, struct ml_slice name)
{
    seat->place = malloc(org.len + name.len);
    if (!seat->place)
        return false;
    memcpy(seat->place, org.ptr, org.len);
    memcpy(seat->place + org.len, name.ptr, name.len);
    seat->org = ml_slice_make(seat->place, org.len);
    seat->name = ml_slice_make(seat->place + org.len, name.len);
    return true;
}

enum ml_err ml_seat_join(struct ml_seat *seat, struct ml_slice org, struct ml_slice name,
                         const struct ml_identity *identity, const struct ml_grant *grant)
{
    struct ml_session *session = seat->session;
    struct ml_member *member = NULL;
    enum ml_err err;

    ML_ASSERT(seat->state == ML_SEAT_PENDING);
    if (!take_place(seat, org, name))
        return ML_ELIMIT;
    seat->taken_at_ms = ml_clock_wall_ms();
    set_state(seat, ML_SEAT_JOINING);
    seat->may_write = ml_grant_allows(grant, ML_MAY_WRITE);
    session->may_write |= seat->may_write;
    ml_seat_set_expiry(seat, identity, grant);
    err = ml_rooms_join(session->net->env.rooms, org, name, identity, grant, &seat->port, &member);
    /* The room may have answered already, with a seat or without. */
    if (!err && seat->state == ML_SEAT_JOINING)
        seat->member = member;
    return err;
}

void ml_seat_leave(struct ml_seat *seat)
{
    if (seat->state != ML_SEAT_LEFT)
        set_state(seat, ML_SEAT_LEFT);
}

void ml_seat_lose(struct ml_seat *seat)
{
    if (!is_over(seat))
        set_state(seat, ML_SEAT_LOST);
}

static struct held *take_first_held(struct ml_seat *seat)
{
    struct ml_list *node = ml_list_take_first(&seat->held);
    struct held *held;

    if (!node)
        return NULL;
    held = ML_CONTAINER(node, struct held, node);
    seat->held_count--;
    seat->held_bytes -= held->len;
    seat->session->held_count--;
    seat->session->held_bytes -= held->len;
    seat->session->net->held_bytes -= held->len;
    return held;
}

void ml_seat_release_input(struct ml_seat *seat)
{
    struct held *held;

    while ((held = take_first_held(seat)) != NULL)
        free(held);
    for (size_t i = 0; i < ML_PRESENCE_SLOTS; i++) {
        ml_blob_unref(seat->late[i].update);
        seat->late[i].update = NULL;
    }
    seat->session->dialect->release(seat);
}

static void leave_room(struct ml_seat *seat)
{
    struct ml_member *member = seat->member;

    seat->member = NULL;
    if (member)
        ml_member_leave(member);
}

void ml_seat_free(struct ml_seat *seat)
{
    seat->state = ML_SEAT_LEFT;
    ml_seat_end_check(seat);
    ml_seat_release_input(seat);
    leave_room(seat);
    ml_list_remove(&seat->node);
    seat->session->seat_count--;
    free(seat->place);
    free(seat->own);
    free(seat);
}

void ml_seat_give_up(struct ml_seat *seat)
{
    if (seat->state == ML_SEAT_LEFT) {
        ml_seat_free(seat);
    } else if (seat->state == ML_SEAT_LOST && seat->member) {
        ml_seat_release_input(seat);
        leave_room(seat);
    }
}

/* ---- one message after the other --------------------------------------------------------------
 */

static void hold(struct ml_seat *seat, struct ml_slice bytes, bool at_front)
{
    struct held *held = malloc(sizeof *held + bytes.len);

    if (!held) {
        ml_session_end_text(seat->session, ML_CLOSE_TRY_LATER);
        return;
    }
    held->node = (struct ml_list){0};
    held->len = bytes.len;
    memcpy(held->bytes, bytes.ptr, bytes.len);
    seat->held_count++;
    seat->held_bytes += bytes.len;
    seat->session->held_count++;
    seat->session->held_bytes += bytes.len;
    seat->session->net->held_bytes += bytes.len;
    /* Behind the head of the ring is its front, behind the last node its end. */
    ml_list_append(at_front ? seat->held.next : &seat->held, &held->node);
    ml_session_mark_dirty(seat->session);
}

static bool takes_messages(const struct ml_seat *seat)
{
    const struct ml_session *session = seat->session;

    return seat->state == ML_SEAT_OPEN && !seat->is_paused && !ml_seat_is_uncertain(seat) &&
           !session->is_closing &&
           (!session->slow_until_ms || session->slow_until_ms <= ml_net_now(session->net));
}

void ml_seat_hear(struct ml_seat *seat, struct ml_slice bytes)
{
    struct ml_slice rest;

    if (is_over(seat))
        return;
    if (!takes_messages(seat) || seat->held_count)
        hold(seat, bytes, false);
    else if (seat->session->dialect->take(seat, bytes, &rest) == ML_WAITS)
        hold(seat, rest, true);
}

void ml_seat_take_held(struct ml_seat *seat)
{
    while (takes_messages(seat) && seat->held_count) {
        struct held *held = take_first_held(seat);
        struct ml_slice rest;
        enum ml_outcome outcome;

        outcome = seat->session->dialect->take(seat, ml_slice_make(held->bytes, held->len), &rest);
        if (outcome == ML_WAITS)
            hold(seat, rest, true);
        free(held);
        if (outcome == ML_WAITS)
            return;
    }
}

/* The room is done with the message. */
static void reset_scratch(struct ml_net *net)
{
    if (net->scratch.used_bytes > SCRATCH_KEEP)
        ml_arena_release(&net->scratch);
    else
        ml_arena_reset(&net->scratch);
}

/* One more update of so many bytes: is that within both rates? What is refused costs nothing. */
static bool pay(struct ml_session *session, size_t bytes, uint64_t now)
{
    const struct ml_net_limits *limits = &session->net->env.limits;

    if (limits->update_bytes_per_second &&
        !ml_bucket_pay(&session->update_bytes, now, (double)limits->update_bytes_per_second,
                       (double)limits->update_bytes_burst, (double)bytes))
        return false;
    if (!limits->updates_per_second ||
        ml_bucket_take(&session->updates, now, limits->updates_per_second, limits->updates_burst))
        return true;
    session->update_bytes.tokens += (double)bytes; /* at most full again at the next look */
    return false;
}

/* Both buckets are a quarter full again: whoever was slowed down has learnt. */
static bool has_recovered(const struct ml_session *session)
{
    const struct ml_net_limits *limits = &session->net->env.limits;

    return session->updates.tokens >= limits->updates_burst / 4.0 &&
           session->update_bytes.tokens >= (double)limits->update_bytes_burst / 4;
}

static void note_limit(struct ml_seat *seat)
{
    const struct ml_audit_event event = {
        .kind = "limit.reached",
        .org = seat->org,
        .actor = seat->member ? ml_slice_str(ml_member_identity(seat->member)->user)
                              : ml_slice_make(NULL, 0),
        .subject = seat->name,
        .result = "denied",
    };

    ml_audit_sampled(seat->session->net->env.rooms, &event);
}

static void send_away(struct ml_seat *seat)
{
    note_limit(seat);
    ml_session_end_text(seat->session, ML_CLOSE_RATE);
}

/* Over the rate a message waits; somebody who never stays under it is sent away (SEC-LM-12). */
static bool within_rate(struct ml_seat *seat, size_t bytes)
{
    struct ml_session *session = seat->session;
    uint64_t now = ml_net_now(session->net);

    if (seat->is_rated)
        return true;
    if (pay(session, bytes, now)) {
        seat->is_rated = true;
        if (has_recovered(session))
            session->throttled_ms = 0;
        return true;
    }
    if (!session->throttled_ms)
        session->throttled_ms = now;
    else if (now - session->throttled_ms > THROTTLE_MS)
        send_away(seat);
    ml_session_mark_timed(session);
    return false;
}

/* What a limit of a plugin says about an update. With ML_OK it goes to the room, which undoes it if
 * it is refused: what a client has is never more than what everybody has. */
static enum ml_err limit_update(struct ml_seat *seat, size_t bytes, bool is_reply,
                                struct ml_denial *denial)
{
    struct ml_session *session = seat->session;

    if (seat->is_paid || bytes <= EMPTY_UPDATE)
        return ML_OK;
    switch (ml_limit_update(session, bytes, denial)) {
    case ML_PASSES:
        seat->is_paid = true;
        return ML_OK;
    case ML_HAS_TO_WAIT:
        return ML_EBUSY;
    case ML_IS_REFUSED:
        /* What was written while somebody was away is not undone for coming at once; a room on
         * another loop cannot be told why. */
        if (!is_reply && ml_member_refuse(seat->member, denial))
            return ML_OK;
        ml_limit_wait(session);
        return ML_EBUSY;
    case ML_IS_TOO_BIG:
        return ML_ELIMIT;
    case ML_IS_OVER:
        break;
    }
    note_limit(seat);
    return ML_ECLOSED;
}

enum ml_err ml_seat_submit(struct ml_seat *seat, struct ml_slice update, bool is_reply)
{
    struct ml_session *session = seat->session;
    uint64_t message_no = seat->message_no + 1;
    struct ml_denial denial; /* until the scratch is reset */
    enum ml_err err;

    err = ml_seat_admit(seat, is_reply ? "sync" : "update", update.len);
    if (err)
        return err;
    if (!within_rate(seat, update.len))
        return session->is_closing ? ML_ECLOSED : ML_EBUSY;
    err = limit_update(seat, update.len, is_reply, &denial);
    if (!err) {
        err = ml_room_submit(seat->member, update, message_no, is_reply, &session->net->scratch);
        (void)ml_member_refuse(seat->member, NULL);
    }
    reset_scratch(session->net);
    seat->is_admitted = seat->is_rated = err == ML_EBUSY;
    seat->is_paid = seat->is_paid && err == ML_EBUSY;
    if (!err)
        seat->message_no = message_no;
    return err;
}

enum ml_err ml_seat_sync(struct ml_seat *seat, struct ml_slice state_vector)
{
    struct ml_session *session = seat->session;
    enum ml_err err;

    err = ml_seat_admit(seat, "sync", state_vector.len);
    if (err)
        return err;
    if (!within_rate(seat, state_vector.len))
        return session->is_closing ? ML_ECLOSED : ML_EBUSY;
    seat->is_admitted = seat->is_rated = false;
    err = ml_room_sync(seat->member, state_vector, &session->net->scratch);
    reset_scratch(session->net);
    /* Our own outbox said no, and the session is closing already. */
    return err == ML_EBUSY ? ML_ECLOSED : err;
}

static enum ml_err deliver_presence(struct ml_seat *seat, struct ml_slice update)
{
    enum ml_err err = ml_room_presence(seat->member, update, &seat->session->net->scratch);

    reset_scratch(seat->session->net);
    /* Too large, not allowed, not now: a cursor is not worth a connection. */
    return err == ML_EFORMAT ? ML_EFORMAT : ML_OK;
}

/* The client that an awareness update begins with; 0 if it has no entry or is broken. */
static uint64_t client_of(struct ml_slice update)
{
    struct ml_presence_reader reader;
    struct ml_presence_entry entry;
    bool more = false;

    if (ml_presence_begin(update, &reader) || ml_presence_next(&reader, &more, &entry) || !more)
        return 0;
    return entry.client;
}

/*
 * Over the rate the newest of each client waits. y-websocket clients send everybody's awareness
 * back to us, so the places are kept by client, and the first one for the client's own cursor.
 */
static void keep_presence(struct ml_seat *seat, struct ml_slice update)
{
    uint64_t client = client_of(update);
    size_t place = 0;

    if (client != seat->own_client) {
        for (size_t i = 1; i < ML_PRESENCE_SLOTS; i++)
            if (!seat->late[i].update || seat->late[i].client == client)
                place = i;
        if (!place)
            return;
    }
    ml_blob_unref(seat->late[place].update);
    seat->late[place].client = client;
    seat->late[place].update = ml_blob_new(update);
    ml_session_mark_timed(seat->session);
}

enum ml_err ml_seat_presence(struct ml_seat *seat, struct ml_slice update)
{
    const struct ml_net *net = seat->session->net;
    double rate = net->env.limits.presence_per_second;

    if (!seat->own_client)
        seat->own_client = client_of(update);
    switch (ml_seat_admit(seat, "awareness", update.len)) {
    case ML_OK:
        seat->is_admitted = false;
        break;
    case ML_EBUSY:
        return ML_EBUSY;
    default:
        return ML_OK;
    }
    if (ml_bucket_take(&seat->presence, ml_net_now(net), rate, rate) &&
        ml_limit_presence(seat->session))
        return deliver_presence(seat, update);
    keep_presence(seat, update);
    return ML_OK;
}

/* ML_EDENIED: its sender was told that it is not told to others. */
static enum ml_err limit_message(struct ml_seat *seat)
{
    struct ml_denial denial;
    const struct ml_notice notice = {.denial = &denial, .is_message = true};

    if (seat->is_paid)
        return ML_OK;
    switch (ml_limit_message(seat->session, &denial)) {
    case ML_PASSES:
        seat->is_paid = true;
        return ML_OK;
    case ML_HAS_TO_WAIT:
        return ML_EBUSY;
    case ML_IS_OVER:
        note_limit(seat);
        return ML_ECLOSED;
    default:
        if (seat->session->dialect->refused)
            seat->session->dialect->refused(seat, &notice);
        return ML_EDENIED;
    }
}

enum ml_err ml_seat_message(struct ml_seat *seat, struct ml_slice text)
{
    struct ml_session *session = seat->session;
    enum ml_err err = ml_seat_admit(seat, "message", text.len);

    if (err)
        return err == ML_EDENIED ? ML_OK : err;
    if (!within_rate(seat, text.len))
        return session->is_closing ? ML_ECLOSED : ML_EBUSY;
    err = limit_message(seat);
    if (!err)
        err = ml_room_message(seat->member, text, &session->net->scratch);
    reset_scratch(session->net);
    seat->is_admitted = seat->is_rated = err == ML_EBUSY;
    seat->is_paid = seat->is_paid && err == ML_EBUSY;
    return err == ML_EDENIED ? ML_OK : err;
}

bool ml_seat_take_late(struct ml_seat *seat, uint64_t now)
{
    double rate = seat->session->net->env.limits.presence_per_second;

    for (size_t i = 0; i < ML_PRESENCE_SLOTS; i++) {
        struct ml_blob *update = seat->late[i].update;
        enum ml_err err;

        if (seat->state != ML_SEAT_OPEN || seat->session->is_closing)
            return true;
        if (!update)
            continue;
        if (!ml_bucket_take(&seat->presence, now, rate, rate) || !ml_limit_presence(seat->session))
            return false;
        seat->late[i].update = NULL;
        err = deliver_presence(seat, ml_blob_slice(update));
        ml_blob_unref(update);
        if (err)
            seat->session->dialect->broken(seat);
    }
    return true;
}

enum ml_err ml_seat_query_presence(struct ml_seat *seat)
{
    enum ml_err err = ml_room_query_presence(seat->member);

    return err == ML_EBUSY ? ML_ECLOSED : err;
}
