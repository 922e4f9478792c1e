/* SPDX-License-Identifier: MIT */
/*
 * One WebSocket connection, one seat.
 *
 *      ml_session_open     on_joined          ml_session_end         on_closed
 * HEAD ---------------> JOINING -----> OPEN ------------------> CLOSING -----> (none)
 * (http.c)                 |  |                ^  (refused, port->close, limits, dead)   ^
 *                          |  +---- on_joined(NULL) --------------+                      |
 *                          +------------------ on_closed (socket gone) ------------------+
 *
 * JOINING   the room loads; frames of the client are held, bounded, nothing is sent.
 * OPEN      `member` may be used. Frames go straight to the room, unless one has to wait
 *           (ML_EBUSY, rate): then it and all after it are held and the socket is not read.
 * CLOSING   what waited in the outbox and then a close frame are sent; nothing that comes is looked
 *           at; the seat is given up before the loop sleeps; the socket is cut after CLOSE_MS.
 *
 * The room calls the port in the middle of its own work, so a port's function only notes what is to
 * be done; the doing is ml_session_flush_all, once per turn of the loop, before it sleeps. There
 * too several frames for one socket become one write.
 *
 * Invariants:
 *  [S1] `held` is not empty => no frame is handed to the room before those in it;
 *  [S2] `member` is NULL in CLOSING once the dirty list has been worked off;
 *  [S3] a y-sweet echo leaves after the ack of the last message that was sent before it.
 */
#include "net/live.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

#define CLOSE_MS         5000
#define ECHOES_MAX       64
#define PRESENCE_SLOTS   4
#define THROTTLE_MS      2000
#define SCRATCH_KEEP     (1u << 20)
#define CONTROL_A_SECOND 20

enum state { JOINING, OPEN, CLOSING };

/* A message of the client that has to wait. */
struct held {
    struct ml_list node;
    size_t len;
    uint8_t bytes[];
};

/* A y-sweet status that waits for what was sent before it. */
struct echo {
    struct ml_list node;
    uint64_t message_no;
    struct ml_blob *frame;
};

/* Presence over the rate: the newest of each client waits. */
struct late_presence {
    uint64_t client;
    struct ml_blob *update; /* NULL: free */
};

struct bucket {
    double tokens;
    uint64_t at_ms;
};

struct ml_session {
    struct ml_port port; /* first: the room hands it back */
    struct ml_net *net;
    struct ml_link *link;     /* NULL: not adopted yet */
    struct ml_member *member; /* NULL: no seat */
    struct ml_address *address;
    struct ml_list node, dirty, timed;
    enum state state;
    bool is_reading; /* what the transport was told last */
    bool is_paused;  /* by the room */
    bool is_pinged;  /* since it was last heard */
    bool may_write;
    uint64_t since_ms;    /* in this state */
    uint64_t heard_ms;    /* anything came */
    uint64_t said_ms;     /* an application frame was queued */
    uint64_t progress_ms; /* the outbox was empty or the socket took something */
    uint64_t expires_ms;  /* of the identity, monotonic; 0: never */
    uint64_t granted_ms;  /* until then; the client comes back and is asked for anew; 0: for ever */
    uint64_t throttled_ms; /* since when the rate has been exceeded; 0: it is not */
    uint64_t message_no;   /* of the last update that the room took */
    uint64_t own_client;   /* awareness id of its first awareness frame: its own */
    uint64_t controls_ms;
    uint32_t controls; /* control frames since controls_ms */
    struct ml_ws_message message;
    struct ml_list held; /* struct held */
    size_t held_bytes, held_count;
    struct ml_list echoes; /* struct echo, oldest first */
    size_t echo_count;
    struct late_presence late[PRESENCE_SLOTS];
    struct bucket presence, updates;
    struct ml_outbox outbox;
};

enum outcome { TAKEN, WAITS };

/* ---- small things ---------------------------------------------------------------------------- */

static struct ml_session *session_of(struct ml_port *port)
{
    return (struct ml_session *)port;
}

static void mark_dirty(struct ml_session *session)
{
    if (!ml_list_is_linked(&session->dirty))
        ml_list_append(&session->net->dirty, &session->dirty);
}

static void mark_timed(struct ml_session *session)
{
    if (!ml_list_is_linked(&session->timed))
        ml_list_append(&session->net->timed, &session->timed);
}

static bool bucket_take(struct bucket *bucket, uint64_t now, double per_second, double burst)
{
    bucket->tokens += (double)(now - bucket->at_ms) * per_second / 1000;
    if (bucket->tokens > burst)
        bucket->tokens = burst;
    bucket->at_ms = now;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}

static void release_held(struct ml_session *session)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(&session->held)) != NULL)
        free(ML_CONTAINER(node, struct held, node));
    session->net->held_bytes -= session->held_bytes;
    session->held_bytes = session->held_count = 0;
}

static void release_echoes(struct ml_session *session)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(&session->echoes)) != NULL) {
        struct echo *echo = ML_CONTAINER(node, struct echo, node);

        ml_blob_unref(echo->frame);
        free(echo);
    }
    session->echo_count = 0;
}

static void release_late(struct ml_session *session)
{
    for (size_t i = 0; i < PRESENCE_SLOTS; i++) {
        ml_blob_unref(session->late[i].update);
        session->late[i].update = NULL;
    }
}

/* Everything that is only of use while the client is listened to. */
static void release_input(struct ml_session *session)
{
    release_held(session);
    release_echoes(session);
    release_late(session);
    ml_ws_message_release(&session->message, &session->net->message_pool);
}

static void release_outbox(struct ml_session *session)
{
    session->net->sync_bytes -= session->outbox.sync_bytes;
    session->net->stats.presence_dropped += session->outbox.dropped;
    ml_outbox_release(&session->outbox);
}

static void session_free(struct ml_session *session)
{
    struct ml_net *net = session->net;

    release_input(session);
    release_outbox(session);
    ml_list_remove(&session->node);
    ml_list_remove(&session->dirty);
    ml_list_remove(&session->timed);
    ml_address_drop(net, session->address, true);
    net->session_count--;
    free(session);
}

/* ---- out ------------------------------------------------------------------------------------- */

static enum ml_err queue(struct ml_session *session, struct ml_blob *frame, enum ml_send as)
{
    struct ml_net *net = session->net;
    size_t sync_before = session->outbox.sync_bytes;
    enum ml_err err;

    if (ml_outbox_is_empty(&session->outbox))
        session->progress_ms = ml_net_now(net);
    err = ml_outbox_push(&session->outbox, frame, as);
    net->sync_bytes += session->outbox.sync_bytes - sync_before;
    if (!err)
        mark_dirty(session);
    return err;
}

/* From now on only the outbox counts. Safe inside a port's function: the room may still be reading
 * the message in hand, so the input is released later, in flush. */
static void end(struct ml_session *session, enum ml_close why, struct ml_slice reason)
{
    struct ml_blob *frame;

    if (session->state == CLOSING)
        return;
    if (!reason.len)
        reason = ml_slice_str(ml_close_text(why));
    ml_log(ML_LOG_DEBUG, "session.closing", "code=%u reason=%s", (unsigned)ml_close_code(why),
           ML_LOG_TEXT(reason));
    session->state = CLOSING;
    session->since_ms = ml_net_now(session->net);
    if (why == ML_CLOSE_TOO_SLOW) {
        release_outbox(session);
        session->net->stats.closed_slow++;
    }
    frame = ml_frame_close(ml_close_code(why), reason);
    if (frame)
        (void)!queue(session, frame, ML_SEND_SYNC); /* else the cut after CLOSE_MS tells */
    ml_blob_unref(frame);
    mark_dirty(session);
}

static void end_text(struct ml_session *session, enum ml_close why)
{
    end(session, why, ml_slice_make(NULL, 0));
}

static enum ml_err send_frame(struct ml_session *session, struct ml_blob *frame, enum ml_send as)
{
    const struct ml_net_limits *limits = &session->net->env.limits;
    enum ml_err err;

    if (session->state == CLOSING)
        return ML_ECLOSED;
    if (as == ML_SEND_SYNC && session->net->sync_bytes + frame->len > limits->sync_pool_bytes) {
        end_text(session, ML_CLOSE_TRY_LATER);
        return ML_EBUSY;
    }
    err = queue(session, frame, as);
    if (err) {
        end_text(session, err == ML_EBUSY ? ML_CLOSE_TOO_SLOW : ML_CLOSE_TRY_LATER);
        return ML_EBUSY;
    }
    session->said_ms = ml_net_now(session->net);
    return ML_OK;
}

static void send_message(struct ml_session *session, enum ml_frame_kind kind,
                         struct ml_slice payload)
{
    struct ml_blob *frame = ml_frame_encode(session->port.dialect, kind, payload);

    if (!frame) {
        end_text(session, ML_CLOSE_TRY_LATER);
        return;
    }
    (void)!send_frame(session, frame, ML_SEND_UPDATE);
    ml_blob_unref(frame);
}

/* As much as the socket takes. */
static void write_out(struct ml_session *session)
{
    struct ml_net *net = session->net;

    while (!ml_outbox_is_empty(&session->outbox)) {
        size_t count, sync_before = session->outbox.sync_bytes;
        struct ml_slice bytes;

        if (ml_link_is_blocked(session->link)) {
            ml_link_want_writable(session->link);
            return;
        }
        bytes = ml_outbox_gather(&session->outbox, net->join_buffer, ML_JOIN_BUFFER, &count);
        if (bytes.len && !ml_link_write(session->link, bytes)) {
            ml_link_cut(session->link);
            release_outbox(session);
            return;
        }
        ml_outbox_pop(&session->outbox, count);
        net->sync_bytes -= sync_before - session->outbox.sync_bytes;
        net->stats.frames_out += count;
        net->stats.bytes_out += bytes.len;
        net->stats.writes++;
        session->progress_ms = ml_net_now(net);
    }
}

/* ---- the port: what the room asks for ---------------------------------------------------------
 */

static enum ml_err port_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    return send_frame(session_of(port), frame, as);
}

static void port_ack(struct ml_port *port, uint64_t message_no)
{
    struct ml_session *session = session_of(port);

    ML_LIST_EACH(node, &session->echoes)
    {
        struct echo *echo = ML_CONTAINER(node, struct echo, node);

        if (echo->message_no > message_no || session->state == CLOSING)
            return;
        ml_list_remove(&echo->node);
        session->echo_count--;
        (void)!send_frame(session, echo->frame, ML_SEND_UPDATE);
        ml_blob_unref(echo->frame);
        free(echo);
    }
}

static void port_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    struct ml_session *session = session_of(port);

    if (!member) {
        session->member = NULL;
        end_text(session, why);
        return;
    }
    session->member = member;
    if (session->state != JOINING)
        return;
    session->state = OPEN;
    session->since_ms = session->said_ms = ml_net_now(session->net);
    mark_dirty(session);
}

static void port_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    end(session_of(port), why, reason);
}

static void port_pause(struct ml_port *port, bool paused)
{
    struct ml_session *session = session_of(port);

    session->is_paused = paused;
    mark_dirty(session);
}

/* ---- in: one message after the other ----------------------------------------------------------
 */

static void refuse_write(struct ml_session *session)
{
    const struct ml_slice reason = ML_SLICE("permission denied");

    send_message(session, ML_FRAME_DENIED, reason);
    end(session, ML_CLOSE_FORBIDDEN, reason);
}

/* Why a message was not taken. */
static enum outcome refuse(struct ml_session *session, enum ml_err err)
{
    switch (err) {
    case ML_OK:
        return TAKEN;
    case ML_EBUSY:
        return WAITS;
    case ML_EDENIED:
        refuse_write(session);
        return TAKEN;
    case ML_EFORMAT:
    case ML_EVERSION:
        end_text(session, ML_CLOSE_MALFORMED);
        return TAKEN;
    case ML_ELIMIT:
        end_text(session, ML_CLOSE_DOCUMENT_TOO_LARGE);
        return TAKEN;
    default:
        end_text(session, ML_CLOSE_INTERNAL);
        return TAKEN;
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

/* Over the rate a message waits; somebody who never stays under it is sent away (SEC-LM-12). */
static bool within_rate(struct ml_session *session)
{
    const struct ml_net_limits *limits = &session->net->env.limits;
    uint64_t now = ml_net_now(session->net);

    if (!limits->updates_per_second)
        return true;
    if (bucket_take(&session->updates, now, limits->updates_per_second, limits->updates_burst)) {
        if (session->updates.tokens > limits->updates_burst / 4.0)
            session->throttled_ms = 0;
        return true;
    }
    if (!session->throttled_ms)
        session->throttled_ms = now;
    else if (now - session->throttled_ms > THROTTLE_MS)
        end_text(session, ML_CLOSE_RATE);
    mark_timed(session);
    return false;
}

static enum outcome take_update(struct ml_session *session, const struct ml_frame *frame)
{
    uint64_t message_no = session->message_no + 1;
    enum ml_err err;

    if (!within_rate(session))
        return session->state == CLOSING ? TAKEN : WAITS;
    err = ml_room_submit(session->member, frame->payload, message_no, frame->kind == ML_FRAME_STEP2,
                         &session->net->scratch);
    reset_scratch(session->net);
    if (err != ML_EBUSY)
        session->message_no = message_no;
    return refuse(session, err);
}

static enum outcome take_step1(struct ml_session *session, const struct ml_frame *frame)
{
    enum ml_err err;

    if (!within_rate(session))
        return session->state == CLOSING ? TAKEN : WAITS;
    err = ml_room_sync(session->member, frame->payload, &session->net->scratch);
    reset_scratch(session->net);
    if (err == ML_ELIMIT) {
        end_text(session, ML_CLOSE_TRY_LATER);
        return TAKEN;
    }
    /* ML_EBUSY: our own outbox said no, and the session is closing already. */
    return err == ML_EBUSY || err == ML_ECLOSED ? TAKEN : refuse(session, err);
}

static void deliver_presence(struct ml_session *session, struct ml_slice update)
{
    enum ml_err err = ml_room_presence(session->member, update, &session->net->scratch);

    reset_scratch(session->net);
    /* Too large, not allowed, not now: a cursor is not worth a connection. */
    if (err == ML_EFORMAT)
        end_text(session, ML_CLOSE_MALFORMED);
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
static void keep_presence(struct ml_session *session, struct ml_slice update)
{
    uint64_t client = client_of(update);
    struct late_presence *place = NULL;

    if (client == session->own_client) {
        place = &session->late[0];
    } else {
        for (size_t i = 1; i < PRESENCE_SLOTS; i++)
            if (!session->late[i].update || session->late[i].client == client)
                place = &session->late[i];
    }
    if (!place)
        return;
    ml_blob_unref(place->update);
    place->client = client;
    place->update = ml_blob_new(update);
    mark_timed(session);
}

static enum outcome take_presence(struct ml_session *session, const struct ml_frame *frame)
{
    double rate = session->net->env.limits.presence_per_second;

    if (!session->own_client)
        session->own_client = client_of(frame->payload);
    if (bucket_take(&session->presence, ml_net_now(session->net), rate, rate))
        deliver_presence(session, frame->payload);
    else
        keep_presence(session, frame->payload);
    return TAKEN;
}

static enum outcome take_query(struct ml_session *session, const struct ml_frame *frame)
{
    enum ml_err err = ml_room_query_presence(session->member);

    (void)frame;
    if (err && err != ML_EBUSY && err != ML_ECLOSED)
        end_text(session, ML_CLOSE_TRY_LATER);
    return TAKEN;
}

/* The same bytes go back when everything that was sent before them is durable. */
static enum outcome take_status(struct ml_session *session, const struct ml_frame *frame)
{
    struct ml_blob *blob =
        ml_frame_encode(session->port.dialect, ML_FRAME_SYNC_STATUS, frame->payload);
    struct echo *echo;

    if (!blob)
        return refuse(session, ML_ELIMIT);
    if (session->echo_count == ECHOES_MAX) {
        /* Status is cumulative: the newest speaks for the one before it. */
        echo = ML_CONTAINER(session->echoes.prev, struct echo, node);
        ml_blob_unref(echo->frame);
    } else {
        echo = calloc(1, sizeof *echo);
        if (!echo) {
            ml_blob_unref(blob);
            return refuse(session, ML_ELIMIT);
        }
        ml_list_append(&session->echoes, &echo->node);
        session->echo_count++;
    }
    echo->frame = blob;
    echo->message_no = session->message_no;
    ml_room_confirm(session->member, session->message_no);
    return TAKEN;
}

static enum outcome ignore(struct ml_session *session, const struct ml_frame *frame)
{
    (void)session;
    (void)frame;
    return TAKEN;
}

static enum outcome (*const takers[])(struct ml_session *session, const struct ml_frame *frame) = {
    [ML_FRAME_STEP1] = take_step1,
    [ML_FRAME_STEP2] = take_update,
    [ML_FRAME_UPDATE] = take_update,
    [ML_FRAME_AWARENESS] = take_presence,
    [ML_FRAME_QUERY_AWARENESS] = take_query,
    [ML_FRAME_DENIED] = ignore, /* the server's word, from a client nobody's */
    [ML_FRAME_SYNC_STATUS] = take_status,
    [ML_FRAME_UNKNOWN] = ignore,
};

/* *rest_out: what has to wait, beginning with the message that the room did not take. */
static enum outcome take_messages(struct ml_session *session, struct ml_slice bytes,
                                  struct ml_slice *rest_out)
{
    struct ml_reader r = ml_reader_make(bytes);

    while (ml_reader_left(&r) && session->state == OPEN) {
        const uint8_t *start = r.pos;
        struct ml_frame frame;

        if (ml_frame_decode(session->port.dialect, &r, &frame)) {
            end_text(session, ML_CLOSE_MALFORMED);
            return TAKEN;
        }
        if (takers[frame.kind](session, &frame) == WAITS) {
            *rest_out = ml_slice_make(start, (size_t)(r.end - start));
            return WAITS;
        }
    }
    return TAKEN;
}

static struct held *held_new(struct ml_session *session, struct ml_slice bytes)
{
    struct held *held = malloc(sizeof *held + bytes.len);

    if (!held)
        return NULL;
    held->node = (struct ml_list){0};
    held->len = bytes.len;
    memcpy(held->bytes, bytes.ptr, bytes.len);
    session->held_bytes += bytes.len;
    session->held_count++;
    session->net->held_bytes += bytes.len;
    return held;
}

static void hold(struct ml_session *session, struct ml_slice bytes, bool at_front)
{
    struct held *held = held_new(session, bytes);

    if (!held) {
        end_text(session, ML_CLOSE_TRY_LATER);
        return;
    }
    /* Behind the head of the ring is its front, behind the last node its end. */
    ml_list_append(at_front ? session->held.next : &session->held, &held->node);
    mark_dirty(session);
}

/* SEC-WS-05: no edit is taken with an identity or a grant that is over. */
static void end_expired(struct ml_session *session, uint64_t now)
{
    if (session->expires_ms && now >= session->expires_ms)
        end_text(session, ML_CLOSE_UNAUTHENTICATED);
    else if (session->granted_ms && now >= session->granted_ms)
        end_text(session, ML_CLOSE_TRY_LATER);
}

static void on_message(struct ml_session *session, struct ml_slice bytes)
{
    struct ml_slice rest;

    session->net->stats.messages_in++;
    end_expired(session, ml_net_now(session->net));
    if (session->state == CLOSING)
        return;
    if (session->state == JOINING || session->is_paused || session->held_count) {
        if (bytes.len)
            hold(session, bytes, false);
        return;
    }
    if (take_messages(session, bytes, &rest) == WAITS)
        hold(session, rest, true);
}

/* What was held, as far as the room takes it. */
static void take_held(struct ml_session *session)
{
    while (session->state == OPEN && !session->is_paused && session->held_count) {
        struct held *held = ML_CONTAINER(ml_list_take_first(&session->held), struct held, node);
        struct ml_slice rest;
        enum outcome outcome;

        session->held_bytes -= held->len;
        session->held_count--;
        session->net->held_bytes -= held->len;
        outcome = take_messages(session, ml_slice_make(held->bytes, held->len), &rest);
        if (outcome == WAITS && session->state == OPEN)
            hold(session, rest, true);
        free(held);
        if (outcome == WAITS)
            return;
    }
}

static bool wants_reading(const struct ml_session *session)
{
    switch (session->state) {
    case JOINING:
        return session->held_bytes <= ML_HELD_BYTES && session->held_count <= ML_HELD_MESSAGES &&
               session->net->held_bytes <= ML_HELD_POOL;
    case OPEN:
        return !session->is_paused && !session->held_count;
    case CLOSING:
        return true;
    }
    return true;
}

/* ---- the transport's events -------------------------------------------------------------------
 */

static void on_piece(void *arg, const struct ml_ws_piece *piece)
{
    static const enum ml_close why[] = {
        [ML_WS_TOO_BIG] = ML_CLOSE_TOO_BIG,
        [ML_WS_POOL_FULL] = ML_CLOSE_TRY_LATER,
        [ML_WS_FRAGMENTED] = ML_CLOSE_FRAGMENTS,
    };
    struct ml_session *session = arg;
    struct ml_net *net = session->net;
    const struct ml_net_limits *limits = &net->env.limits;
    const struct ml_ws_limits ws_limits = {
        .message_bytes = limits->message_bytes,
        .reply_bytes = session->may_write ? limits->reply_bytes : limits->message_bytes,
        .fragments = limits->fragments,
    };
    enum ml_ws_result result;
    struct ml_slice bytes;

    session->heard_ms = ml_net_now(net);
    session->is_pinged = false;
    if (session->state == CLOSING)
        return;
    result = ml_ws_message_add(&session->message, piece, &ws_limits, &net->message_pool, &bytes);
    if (result == ML_WS_MORE)
        return;
    if (result != ML_WS_MESSAGE) {
        end_text(session, why[result]);
        return;
    }
    /* Text has no meaning in any dialect yet. */
    if (piece->is_binary)
        on_message(session, bytes);
    if (session->state != CLOSING)
        ml_ws_message_done(&session->message, &net->message_pool);
}

static void on_writable(void *arg)
{
    write_out(arg);
}

static void on_pong(void *arg)
{
    struct ml_session *session = arg;
    uint64_t now = ml_net_now(session->net);

    session->heard_ms = now;
    session->is_pinged = false;
    if (now - session->controls_ms >= 1000) {
        session->controls_ms = now;
        session->controls = 0;
    }
    if (++session->controls > CONTROL_A_SECOND)
        end_text(session, ML_CLOSE_CONTROL_FRAMES);
}

static void on_closed(void *arg)
{
    struct ml_session *session = arg;
    struct ml_member *member = session->member;

    session->state = CLOSING;
    session->member = NULL;
    session->link = NULL;
    if (member)
        ml_member_leave(member);
    session_free(session);
}

const struct ml_transport_events ml_session_events = {
    .piece = on_piece,
    .writable = on_writable,
    .pong = on_pong,
    .closed = on_closed,
};

/* ---- life ------------------------------------------------------------------------------------ */

static uint64_t expiry_of(const struct ml_net *net, const struct ml_identity *identity)
{
    int64_t left = identity->expires_at_ms - ml_clock_wall_ms();

    if (!identity->expires_at_ms)
        return 0;
    return ml_net_now(net) + (left > 0 ? (uint64_t)left : 0);
}

enum ml_err ml_session_open(struct ml_net *net, const struct ml_session_open *open,
                            struct ml_session **session_out)
{
    const struct ml_net_limits *limits = &net->env.limits;
    struct ml_session *session = calloc(1, sizeof *session);
    uint64_t now = ml_net_now(net);
    struct ml_member *member = NULL;
    enum ml_err err;

    if (!session)
        return ML_ELIMIT;
    session->port = (struct ml_port){
        .dialect = ML_DIALECT_YWEBSOCKET,
        .send = port_send,
        .ack = port_ack,
        .joined = port_joined,
        .close = port_close,
        .pause = port_pause,
    };
    session->net = net;
    session->address = open->address;
    session->state = JOINING;
    session->is_reading = true;
    session->may_write = ml_grant_allows(open->grant, ML_MAY_WRITE);
    session->since_ms = session->heard_ms = session->said_ms = session->progress_ms = now;
    session->expires_ms = expiry_of(net, open->identity);
    session->granted_ms = open->grant->until_ms > 0 ? (uint64_t)open->grant->until_ms : 0;
    session->presence = (struct bucket){limits->presence_per_second, now};
    session->updates = (struct bucket){limits->updates_burst, now};
    ml_ws_message_init(&session->message);
    ml_list_init(&session->held);
    ml_list_init(&session->echoes);
    ml_outbox_init(&session->outbox, limits->outbox_soft_bytes, limits->outbox_hard_bytes);
    net->session_count++;
    ml_list_append(&net->sessions, &session->node);
    err = ml_rooms_join(net->env.rooms, open->org, open->name, open->identity, open->grant,
                        &session->port, &member);
    if (err) {
        session->address = NULL; /* still the caller's */
        session_free(session);
        return err;
    }
    /* The room may have answered already, with a seat or without. */
    if (session->state == JOINING)
        session->member = member;
    *session_out = session;
    return ML_OK;
}

void ml_session_attach(struct ml_session *session, struct ml_link *link)
{
    if (!link) {
        on_closed(session);
        return;
    }
    session->link = link;
    mark_dirty(session);
}

static void flush(struct ml_session *session)
{
    bool reads;

    take_held(session);
    if (session->state == CLOSING) {
        struct ml_member *member = session->member;

        session->member = NULL;
        release_input(session);
        if (member)
            ml_member_leave(member);
    }
    if (!session->link)
        return;
    reads = wants_reading(session);
    if (reads != session->is_reading) {
        session->is_reading = reads;
        session->heard_ms = ml_net_now(session->net);
        ml_link_read(session->link, reads);
    }
    write_out(session);
}

void ml_session_flush_all(struct ml_net *net)
{
    struct ml_list now;

    /* What becomes dirty meanwhile belongs to this turn too, as long as it is finite: a session
     * that was flushed goes to the end. */
    ml_list_init(&now);
    for (int rounds = 0; rounds < 4 && !ml_list_is_empty(&net->dirty); rounds++) {
        struct ml_list *node;

        ml_list_splice(&now, &net->dirty);
        while ((node = ml_list_take_first(&now)) != NULL)
            flush(ML_CONTAINER(node, struct ml_session, dirty));
    }
}

/* About once a second for every session. */
static void visit(struct ml_session *session, uint64_t now)
{
    struct ml_net *net = session->net;
    const struct ml_net_limits *limits = &net->env.limits;

    if (!session->link)
        return;
    if (session->state == CLOSING) {
        if (now - session->since_ms > CLOSE_MS)
            ml_link_cut(session->link);
        return;
    }
    end_expired(session, now);
    if (session->state == JOINING && now - session->since_ms > limits->auth_ms)
        end_text(session, ML_CLOSE_TRY_LATER);
    else if (!ml_outbox_is_empty(&session->outbox) &&
             now - session->progress_ms > limits->outbox_ms)
        end_text(session, ML_CLOSE_TOO_SLOW);
    if (session->state != CLOSING && session->is_reading &&
        now - session->heard_ms > limits->dead_ms) {
        ml_log(ML_LOG_DEBUG, "session.dead", "silent_ms=%llu",
               (unsigned long long)(now - session->heard_ms));
        end_text(session, ML_CLOSE_TRY_LATER);
        ml_link_cut(session->link);
        return;
    }
    if (session->state != OPEN)
        return;
    if (now - session->said_ms >= limits->keepalive_ms)
        (void)!send_frame(session, net->keepalive, ML_SEND_PRESENCE);
    if (now - session->heard_ms >= limits->ping_ms && !session->is_pinged) {
        session->is_pinged = true;
        (void)!queue(session, net->ping, ML_SEND_SYNC);
    }
}

/* What waited for its rate. */
static void visit_timed(struct ml_session *session, uint64_t now)
{
    double rate = session->net->env.limits.presence_per_second;
    bool waits = false;

    for (size_t i = 0; i < PRESENCE_SLOTS && session->state == OPEN; i++) {
        struct ml_blob *update = session->late[i].update;

        if (!update)
            continue;
        if (!bucket_take(&session->presence, now, rate, rate)) {
            waits = true;
            break;
        }
        session->late[i].update = NULL;
        deliver_presence(session, ml_blob_slice(update));
        ml_blob_unref(update);
    }
    if (session->held_count)
        mark_dirty(session);
    if (waits)
        mark_timed(session);
}

void ml_session_tick(struct ml_net *net)
{
    size_t count = net->session_count / (1000 / ML_TICK_MS) + 1;
    uint64_t now = ml_net_now(net);
    struct ml_list timed, *node;

    ml_list_init(&timed);
    ml_list_splice(&timed, &net->timed);
    while ((node = ml_list_take_first(&timed)) != NULL)
        visit_timed(ML_CONTAINER(node, struct ml_session, timed), now);
    for (size_t i = 0; i < count && !ml_list_is_empty(&net->sessions); i++) {
        node = ml_list_take_first(&net->sessions);
        ml_list_append(&net->sessions, node);
        visit(ML_CONTAINER(node, struct ml_session, node), now);
    }
}

void ml_session_close_all(struct ml_net *net, enum ml_close why)
{
    ML_LIST_EACH(node, &net->sessions)
    {
        end_text(ML_CONTAINER(node, struct ml_session, node), why);
    }
}
