/* SPDX-License-Identifier: MIT */
/*
 * One WebSocket connection, whatever is spoken on it: frames out, the transport's events, time, the
 * end. What a message means is the dialect's affair (session_*.c), what a seat is seat.c's.
 *
 *      ml_session_new, _attach           ml_session_end             on_closed
 * HEAD -----------------------> (open) ----------------> is_closing -----------> (none)
 * (http.c)                         |   (refused, limits, dead, port->close)  ^
 *                                  +---------- on_closed (socket gone) ------+
 *
 * is_closing   what waited in the outbox and then a close frame are sent; nothing that comes is
 *              looked at; seats are given up before the loop sleeps; the socket is cut after
 *              CLOSE_MS.
 *
 * The room calls a seat's port in the middle of its own work, so a port's function only notes what
 * is to be done; the doing is ml_session_flush_all, once per turn of the loop, before it sleeps.
 * There too several frames for one socket become one write.
 */
#include "net/session.h"
#include "net/greet.h"
#include "net/seat_check.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define CLOSE_MS   5000
#define PARTING_MS 2000
#define SOON_MS    3000 /* before an end that is known: every tick, not once a second */

void ml_session_mark_dirty(struct ml_session *session)
{
    if (!ml_list_is_linked(&session->dirty))
        ml_list_append(&session->net->dirty, &session->dirty);
}

void ml_session_mark_timed(struct ml_session *session)
{
    if (!ml_list_is_linked(&session->timed))
        ml_list_append(&session->net->timed, &session->timed);
}

bool ml_bucket_take(struct ml_bucket *bucket, uint64_t now, double per_second, double burst)
{
    return ml_bucket_pay(bucket, now, per_second, burst, 1);
}

bool ml_bucket_pay(struct ml_bucket *bucket, uint64_t now, double per_second, double burst,
                   double price)
{
    bucket->tokens += (double)(now - bucket->at_ms) * per_second / 1000;
    if (bucket->tokens > burst)
        bucket->tokens = burst;
    bucket->at_ms = now;
    /* What costs more than the bucket holds (an offline week in one Step2) empties it. */
    if (price > burst)
        price = burst;
    if (bucket->tokens < price)
        return false;
    bucket->tokens -= price;
    return true;
}

static struct ml_seat *seat_at(struct ml_list *node)
{
    return ML_CONTAINER(node, struct ml_seat, node);
}

static void release_outbox(struct ml_session *session)
{
    session->net->stats.presence_dropped += session->outbox.dropped;
    session->net->stats.updates_merged += session->outbox.merged;
    ml_outbox_release(&session->outbox);
}

static void free_seats(struct ml_session *session)
{
    ML_LIST_EACH(node, &session->seats)
    ml_seat_free(seat_at(node));
}

/* ---- out ------------------------------------------------------------------------------------- */

static enum ml_err queue(struct ml_session *session, struct ml_blob *frame, enum ml_send as)
{
    struct ml_net *net = session->net;
    enum ml_err err;

    if (ml_outbox_is_empty(&session->outbox))
        session->progress_ms = ml_net_now(net);
    err = ml_outbox_push(&session->outbox, frame, as);
    if (!err)
        ml_session_mark_dirty(session);
    return err;
}

/* The close frame, for the caller; NULL: no memory, the cut after CLOSE_MS tells. */
static struct ml_blob *begin_end(struct ml_session *session, enum ml_close why,
                                 struct ml_slice reason)
{
    if (!reason.len)
        reason = ml_slice_str(ml_close_text(why));
    ml_log(ML_LOG_DEBUG, "session.closing", "code=%u reason=%s", (unsigned)ml_close_code(why),
           ML_LOG_TEXT(reason));
    if ((size_t)why < sizeof session->net->stats.closed / sizeof *session->net->stats.closed)
        session->net->stats.closed[why]++;
    session->is_closing = true;
    session->closing_ms = ml_net_now(session->net);
    session->closed_code = ml_close_code(why);
    (void)snprintf(session->closed_text, sizeof session->closed_text, "%.*s", ML_PRINT(reason));
    if (why == ML_CLOSE_TOO_SLOW) {
        release_outbox(session);
        session->net->stats.closed_slow++;
    }
    ml_session_mark_dirty(session);
    return ml_frame_close(ml_close_code(why), reason);
}

void ml_session_end(struct ml_session *session, enum ml_close why, struct ml_slice reason)
{
    struct ml_blob *frame;

    if (session->is_closing)
        return;
    frame = begin_end(session, why, reason);
    if (frame)
        (void)!queue(session, frame, ML_SEND_SYNC);
    ml_blob_unref(frame);
}

void ml_session_end_slowly(struct ml_session *session, enum ml_close why)
{
    if (session->is_closing)
        return;
    session->parting = begin_end(session, why, ml_slice_make(NULL, 0));
    session->closing_ms += PARTING_MS;
}

/* The time that ml_session_end_slowly gave is over. */
static void part(struct ml_session *session)
{
    (void)!queue(session, session->parting, ML_SEND_SYNC);
    ml_blob_unref(session->parting);
    session->parting = NULL;
}

enum ml_err ml_session_send(struct ml_session *session, struct ml_blob *frame, enum ml_send as)
{
    enum ml_err err;

    if (session->is_closing)
        return ML_ECLOSED;
    err = queue(session, frame, as);
    if (err) {
        ml_session_end_text(session, err == ML_EBUSY ? ML_CLOSE_TOO_SLOW : ML_CLOSE_TRY_LATER);
        return ML_EBUSY;
    }
    session->said_ms = ml_net_now(session->net);
    return ML_OK;
}

/* As much as the socket takes. */
static void write_out(struct ml_session *session)
{
    struct ml_net *net = session->net;

    while (!ml_outbox_is_empty(&session->outbox)) {
        size_t count;
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
        net->stats.frames_out += count;
        net->stats.bytes_out += bytes.len;
        session->bytes_out += bytes.len;
        net->stats.writes++;
        session->progress_ms = ml_net_now(net);
    }
}

/* ---- the transport's events -------------------------------------------------------------------
 */

static void on_message(struct ml_session *session, struct ml_slice bytes)
{
    session->net->stats.messages_in++;
    session->bytes_in += bytes.len;
    session->dialect->hear(session, bytes);
}

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
    struct ml_ws_limits ws_limits = {
        .dialect = session->dialect->id,
        .message_bytes = limits->message_bytes,
        .reply_bytes = session->may_write ? limits->reply_bytes : limits->message_bytes,
        .fragments = limits->fragments,
    };
    enum ml_ws_result result;
    struct ml_slice bytes;

    session->heard_ms = ml_net_now(net);
    session->is_pinged = false;
    if (session->is_closing)
        return;
    if (session->dialect->limit)
        session->dialect->limit(session, &ws_limits);
    result = ml_ws_message_add(&session->message, piece, &ws_limits, &net->message_pool, &bytes);
    if (result == ML_WS_MORE)
        return;
    if (result != ML_WS_MESSAGE) {
        ml_session_end_text(session, why[result]);
        return;
    }
    if (piece->is_binary)
        on_message(session, bytes);
    else if (session->dialect->hear_text)
        session->dialect->hear_text(session);
    if (!session->is_closing)
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
    if (++session->controls > session->net->env.limits.controls_per_second)
        ml_session_end_text(session, ML_CLOSE_CONTROL_FRAMES);
}

static bool on_close_frame(void *arg)
{
    const struct ml_session *session = arg;

    return session->is_closing && !session->parting && ml_outbox_is_empty(&session->outbox);
}

static void on_closed(void *arg)
{
    struct ml_session *session = arg;

    session->is_closing = true;
    session->link = NULL;
    ml_session_free(session);
}

const struct ml_transport_events ml_session_events = {
    .piece = on_piece,
    .writable = on_writable,
    .pong = on_pong,
    .is_answer = on_close_frame,
    .closed = on_closed,
};

/* ---- life ------------------------------------------------------------------------------------ */

struct ml_session *ml_session_new(struct ml_net *net, const struct ml_session_dialect *dialect)
{
    const struct ml_net_limits *limits = &net->env.limits;
    struct ml_session *session = calloc(1, sizeof *session);
    uint64_t now = ml_net_now(net);

    if (!session)
        return NULL;
    session->net = net;
    session->dialect = dialect;
    session->is_reading = true;
    session->heard_ms = session->said_ms = session->progress_ms = now;
    session->updates = (struct ml_bucket){limits->updates_burst, now};
    session->update_bytes = (struct ml_bucket){(double)limits->update_bytes_burst, now};
    ml_ws_message_init(&session->message);
    ml_list_init(&session->seats);
    ml_outbox_init(&session->outbox, dialect->id, &net->sync_pool, limits->outbox_soft_bytes,
                   limits->outbox_hard_bytes);
    net->session_count++;
    net->shared->sessions++;
    ml_list_append(&net->sessions, &session->node);
    return session;
}

void ml_session_free(struct ml_session *session)
{
    struct ml_net *net = session->net;

    free_seats(session);
    ml_greet_end(session);
    ml_limit_end(session);
    if (session->dialect->release_session)
        session->dialect->release_session(session);
    ml_ws_message_release(&session->message, &net->message_pool);
    release_outbox(session);
    ml_blob_unref(session->parting);
    ml_list_remove(&session->node);
    ml_list_remove(&session->dirty);
    ml_list_remove(&session->timed);
    ml_address_drop(net->shared, session->address, true);
    net->session_count--;
    net->shared->sessions--;
    free(session);
}

void ml_session_attach(struct ml_session *session, struct ml_link *link)
{
    if (!link) {
        on_closed(session);
        return;
    }
    session->link = link;
    ml_session_mark_dirty(session);
}

static void flush(struct ml_session *session)
{
    bool reads;

    ML_LIST_EACH(node, &session->seats)
    {
        struct ml_seat *seat = seat_at(node);

        ml_seat_settle(seat);
        ml_seat_take_held(seat);
        ml_seat_give_up(seat);
    }
    if (session->is_closing) {
        free_seats(session);
        ml_ws_message_release(&session->message, &session->net->message_pool);
    }
    if (!session->link)
        return;
    reads = session->is_closing ? !session->parting
                                : session->slow_until_ms <= ml_net_now(session->net) &&
                                      session->dialect->wants_reading(session);
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
    net->checks_from_ns = 0;
    for (int rounds = 0; rounds < 4 && !ml_list_is_empty(&net->dirty); rounds++) {
        struct ml_list *node;

        ml_list_splice(&now, &net->dirty);
        while ((node = ml_list_take_first(&now)) != NULL)
            flush(ML_CONTAINER(node, struct ml_session, dirty));
    }
}

static bool ends_soon(const struct ml_session *session, uint64_t now)
{
    ML_LIST_EACH(node, &session->seats)
    {
        if (ml_seat_ends_before(seat_at(node), now + SOON_MS))
            return true;
    }
    return false;
}

/* About once a second for every session. */
static void visit(struct ml_session *session, uint64_t now)
{
    struct ml_net *net = session->net;
    const struct ml_net_limits *limits = &net->env.limits;

    if (!session->link)
        return;
    if (session->is_closing) {
        if (session->parting && now >= session->closing_ms)
            part(session);
        if (now > session->closing_ms + CLOSE_MS)
            ml_link_cut(session->link);
        return;
    }
    ML_LIST_EACH(node, &session->seats)
    {
        if (!session->is_closing)
            ml_seat_visit(seat_at(node), now);
    }
    if (!session->is_closing)
        session->dialect->expire(session, now);
    if (!session->is_closing && ends_soon(session, now))
        ml_session_mark_timed(session);
    if (!ml_outbox_is_empty(&session->outbox) && now - session->progress_ms > limits->outbox_ms)
        ml_session_end_text(session, ML_CLOSE_TOO_SLOW);
    if (session->is_closing)
        return;
    if (session->is_reading && now - session->heard_ms > limits->dead_ms) {
        ml_log(ML_LOG_DEBUG, "session.dead", "silent_ms=%llu",
               (unsigned long long)(now - session->heard_ms));
        ml_session_end_text(session, ML_CLOSE_TRY_LATER);
        ml_link_cut(session->link);
        return;
    }
    if (now - session->said_ms >= limits->keepalive_ms)
        session->dialect->keep_alive(session);
    if (now - session->heard_ms >= limits->ping_ms && !session->is_pinged) {
        session->is_pinged = true;
        (void)!queue(session, net->ping, ML_SEND_SYNC);
    }
}

/* What waited for its rate. */
static void visit_timed(struct ml_session *session, uint64_t now)
{
    ML_LIST_EACH(node, &session->seats)
    {
        if (!ml_seat_take_late(seat_at(node), now))
            ml_session_mark_timed(session);
        if (seat_at(node)->is_doubted)
            ml_session_mark_dirty(session);
    }
    if (session->link && !session->is_closing && ends_soon(session, now)) {
        ml_session_mark_timed(session);
        session->dialect->expire(session, now);
    }
    if (session->slow_until_ms > now)
        ml_session_mark_timed(session);
    else if (session->held_count || session->slow_until_ms)
        ml_session_mark_dirty(session);
    if (session->slow_until_ms <= now)
        session->slow_until_ms = 0;
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
        ml_session_end_text(ML_CONTAINER(node, struct ml_session, node), why);
    }
}
