/* SPDX-License-Identifier: MIT */
/*
 * y-websocket: one socket, one seat, taken before the upgrade is answered; what the seat loses, the
 * connection loses. y-sweet's clients speak the same and ask, with a status, whether all they sent
 * before it is safe.
 *
 * Invariant:
 *  [S3] a y-sweet echo leaves after the ack of the last message that was sent before it.
 */
#include "net/greet.h"
#include "net/seat_check.h"
#include "net/session.h"

#include <stdlib.h>

#define ECHOES_MAX 64

/* A y-sweet status that waits for what was sent before it. */
struct echo {
    struct ml_list node;
    uint64_t message_no;
    struct ml_blob *frame;
};

static struct ml_seat *seat_of(const struct ml_session *session)
{
    return ML_CONTAINER(session->seats.next, struct ml_seat, node);
}

static void send_message(struct ml_session *session, enum ml_frame_kind kind,
                         struct ml_slice payload)
{
    struct ml_blob *frame =
        ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0), kind, payload);

    if (!frame) {
        ml_session_end_text(session, ML_CLOSE_TRY_LATER);
        return;
    }
    (void)!ml_session_send(session, frame, ML_SEND_UPDATE);
    ml_blob_unref(frame);
}

/* ---- one message after the other --------------------------------------------------------------
 */

static void refuse_write(struct ml_session *session)
{
    const struct ml_slice reason = ML_SLICE("permission denied");

    send_message(session, ML_FRAME_DENIED, reason);
    ml_session_end(session, ML_CLOSE_FORBIDDEN, reason);
}

/* Why a message was not taken. */
static enum ml_outcome refuse(struct ml_session *session, enum ml_err err)
{
    switch (err) {
    case ML_OK:
    case ML_ECLOSED:
        return ML_TAKEN;
    case ML_EBUSY:
        return ML_WAITS;
    case ML_EDENIED:
        refuse_write(session);
        return ML_TAKEN;
    case ML_EFORMAT:
    case ML_EVERSION:
        ml_session_end_text(session, ML_CLOSE_MALFORMED);
        return ML_TAKEN;
    case ML_ELIMIT:
        ml_session_end_text(session, ML_CLOSE_DOCUMENT_TOO_LARGE);
        return ML_TAKEN;
    default:
        ml_session_end_text(session, ML_CLOSE_INTERNAL);
        return ML_TAKEN;
    }
}

static enum ml_outcome take_update(struct ml_seat *seat, const struct ml_frame *frame)
{
    return refuse(seat->session,
                  ml_seat_submit(seat, frame->payload, frame->kind == ML_FRAME_STEP2));
}

static enum ml_outcome take_step1(struct ml_seat *seat, const struct ml_frame *frame)
{
    enum ml_err err = ml_seat_sync(seat, frame->payload);

    if (err == ML_EDENIED)
        return ML_TAKEN;
    if (err == ML_ELIMIT) {
        ml_session_end_text(seat->session, ML_CLOSE_TRY_LATER);
        return ML_TAKEN;
    }
    return refuse(seat->session, err);
}

static enum ml_outcome take_presence(struct ml_seat *seat, const struct ml_frame *frame)
{
    return refuse(seat->session, ml_seat_presence(seat, frame->payload));
}

static enum ml_outcome take_query(struct ml_seat *seat, const struct ml_frame *frame)
{
    enum ml_err err = ml_seat_query_presence(seat);

    (void)frame;
    if (err && err != ML_ECLOSED)
        ml_session_end_text(seat->session, ML_CLOSE_TRY_LATER);
    return ML_TAKEN;
}

/* The same bytes go back when everything that was sent before them is durable. */
static enum ml_outcome take_status(struct ml_seat *seat, const struct ml_frame *frame)
{
    struct ml_blob *blob = ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0),
                                           ML_FRAME_SYNC_STATUS, frame->payload);
    struct echo *echo;

    if (!blob)
        return refuse(seat->session, ML_ELIMIT);
    if (seat->echo_count == ECHOES_MAX) {
        /* Status is cumulative: the newest speaks for the one before it. */
        echo = ML_CONTAINER(seat->echoes.prev, struct echo, node);
        ml_blob_unref(echo->frame);
    } else {
        echo = calloc(1, sizeof *echo);
        if (!echo) {
            ml_blob_unref(blob);
            return refuse(seat->session, ML_ELIMIT);
        }
        ml_list_append(&seat->echoes, &echo->node);
        seat->echo_count++;
    }
    echo->frame = blob;
    echo->message_no = seat->message_no;
    ml_room_confirm(seat->member, seat->message_no);
    return ML_TAKEN;
}

static enum ml_outcome take_stateless(struct ml_seat *seat, const struct ml_frame *frame)
{
    if (!seat->session->hears_notices) {
        seat->session->hears_notices = true;
        ml_seat_hear_of_bus(seat);
    }
    return frame->payload.len ? refuse(seat->session, ml_seat_message(seat, frame->payload))
                              : ML_TAKEN;
}

/*
 * A new credential, which no stock client sends: `02 00 varString`. The request that the session
 * came of is over, so it is looked at by itself, with the address.
 */
static enum ml_outcome take_token(struct ml_seat *seat, const struct ml_frame *frame)
{
    struct ml_writer path;

    ml_writer_init(&path, 1024);
    ml_write_bytes(&path, ML_SLICE("/sync/"));
    ml_write_bytes(&path, seat->org);
    ml_write_u8(&path, '/');
    ml_write_bytes(&path, seat->name);
    if (path.err)
        ml_session_end_text(seat->session, ML_CLOSE_TRY_LATER);
    else
        ml_seat_renew(seat, ml_writer_slice(&path), frame->payload);
    ml_writer_release(&path);
    return ML_TAKEN;
}

static void say_scope(struct ml_session *session, const struct ml_seat *seat)
{
    send_message(session, ML_FRAME_AUTHENTICATED,
                 seat->may_write ? ML_SLICE("read-write") : ML_SLICE("readonly"));
}

static bool told(struct ml_seat *seat, struct ml_slice text)
{
    if (!seat->session->hears_notices)
        return false;
    send_message(seat->session, ML_FRAME_STATELESS, text);
    return !seat->session->is_closing;
}

/* Stock clients understand only "no", and go on reading. */
static void regranted(struct ml_seat *seat)
{
    if (!seat->may_write)
        send_message(seat->session, ML_FRAME_DENIED, ML_SLICE("read-only from now on"));
    if (!seat->session->is_closing)
        say_scope(seat->session, seat);
}

static enum ml_outcome ignore(struct ml_seat *seat, const struct ml_frame *frame)
{
    (void)seat;
    (void)frame;
    return ML_TAKEN;
}

static enum ml_outcome (*const takers[])(struct ml_seat *seat, const struct ml_frame *frame) = {
    [ML_FRAME_STEP1] = take_step1,
    [ML_FRAME_STEP2] = take_update,
    [ML_FRAME_UPDATE] = take_update,
    [ML_FRAME_AWARENESS] = take_presence,
    [ML_FRAME_QUERY_AWARENESS] = take_query,
    [ML_FRAME_DENIED] = take_token, /* from a client; see proto/ywebsocket.c */
    [ML_FRAME_SYNC_STATUS] = take_status,
    [ML_FRAME_TOKEN] = ignore,
    [ML_FRAME_TOKEN_REQUEST] = ignore,
    [ML_FRAME_AUTHENTICATED] = ignore, /* the server's word, from a client nobody's */
    [ML_FRAME_STATELESS] = take_stateless,
    [ML_FRAME_UNKNOWN] = ignore, /* and what lies between is never decoded in this dialect */
};

/* Several messages may be joined. *rest_out begins with the one that the room did not take. */
static enum ml_outcome take(struct ml_seat *seat, struct ml_slice bytes, struct ml_slice *rest_out)
{
    struct ml_reader r = ml_reader_make(bytes);

    while (ml_reader_left(&r) && !seat->session->is_closing) {
        const uint8_t *start = r.pos;
        struct ml_frame frame;

        if (ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame)) {
            ml_session_end_text(seat->session, ML_CLOSE_MALFORMED);
            return ML_TAKEN;
        }
        if (takers[frame.kind](seat, &frame) == ML_WAITS) {
            *rest_out = ml_slice_make(start, (size_t)(r.end - start));
            return ML_WAITS;
        }
    }
    return ML_TAKEN;
}

/* ---- what the room says -----------------------------------------------------------------------
 */

static void joined(struct ml_seat *seat, enum ml_close why)
{
    if (seat->state == ML_SEAT_LEFT)
        ml_session_end(seat->session, why,
                       ml_slice_str(seat->why_not[0] ? seat->why_not : ml_close_text(why)));
    else
        seat->session->said_ms = seat->since_ms;
    if (seat->state == ML_SEAT_OPEN && !seat->may_write)
        say_scope(seat->session, seat);
}

static void acknowledged(struct ml_seat *seat, uint64_t message_no)
{
    ML_LIST_EACH(node, &seat->echoes)
    {
        struct echo *echo = ML_CONTAINER(node, struct echo, node);

        if (echo->message_no > message_no || seat->session->is_closing)
            return;
        ml_list_remove(&echo->node);
        seat->echo_count--;
        (void)!ml_session_send(seat->session, echo->frame, ML_SEND_UPDATE);
        ml_blob_unref(echo->frame);
        free(echo);
    }
}

/* A stock client would complain about a message that it does not know. */
static void refused(struct ml_seat *seat, const struct ml_notice *notice)
{
    struct ml_writer text;

    if (!seat->session->hears_notices)
        return;
    if (!ml_notice_write(notice, &text))
        send_message(seat->session, ML_FRAME_STATELESS, ml_writer_slice(&text));
    ml_writer_release(&text);
}

static void failed(struct ml_seat *seat, uint64_t message_no, enum ml_err err)
{
    (void)message_no;
    (void)refuse(seat->session, err);
}

static void lost(struct ml_seat *seat, enum ml_close why, struct ml_slice reason)
{
    ml_session_end(seat->session, why, reason);
}

/* ---- time -------------------------------------------------------------------------------------
 */

static bool wants_reading(const struct ml_session *session)
{
    const struct ml_net_limits *limits = &session->net->env.limits;
    const struct ml_seat *seat = seat_of(session);

    if (seat->state == ML_SEAT_JOINING)
        return session->held_bytes <= limits->held_bytes &&
               session->held_count <= limits->held_messages &&
               session->net->held_bytes <= limits->held_pool_bytes;
    return !seat->is_paused && !seat->held_count;
}

static void keep_alive(struct ml_session *session)
{
    if (seat_of(session)->state == ML_SEAT_OPEN)
        (void)!ml_session_send(session, session->net->keepalive, ML_SEND_PRESENCE);
}

/* SEC-WS-05: no edit is taken with an identity or a grant that is over. */
static void expire(struct ml_session *session, uint64_t now)
{
    struct ml_seat *seat = seat_of(session);

    if (seat->state == ML_SEAT_OPEN && seat->ask_ms && now >= seat->ask_ms && !seat->is_asked) {
        seat->is_asked = true;
        send_message(session, ML_FRAME_TOKEN_REQUEST, ml_slice_make(NULL, 0));
    }
    if (seat->expires_ms && now >= seat->expires_ms)
        ml_session_end_text(session, ML_CLOSE_UNAUTHENTICATED);
    else if (seat->granted_ms && now >= seat->granted_ms)
        ml_session_end_text(session, ML_CLOSE_TRY_LATER);
    else if (seat->state == ML_SEAT_JOINING &&
             now - seat->since_ms > session->net->env.limits.auth_ms)
        ml_session_end_text(session, ML_CLOSE_TRY_LATER);
}

static void hear(struct ml_session *session, struct ml_slice bytes)
{
    expire(session, ml_net_now(session->net));
    if (!session->is_closing && bytes.len)
        ml_seat_hear(seat_of(session), bytes);
}

static void broken(struct ml_seat *seat)
{
    ml_session_end_text(seat->session, ML_CLOSE_MALFORMED);
}

static void release(struct ml_seat *seat)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(&seat->echoes)) != NULL) {
        struct echo *echo = ML_CONTAINER(node, struct echo, node);

        ml_blob_unref(echo->frame);
        free(echo);
    }
    seat->echo_count = 0;
}

static const struct ml_session_dialect ywebsocket = {
    .id = ML_DIALECT_YWEBSOCKET,
    .hear = hear,
    .take = take,
    .joined = joined,
    .acknowledged = acknowledged,
    .refused = refused,
    .failed = failed,
    .lost = lost,
    .regranted = regranted,
    .told = told,
    .broken = broken,
    .wants_reading = wants_reading,
    .keep_alive = keep_alive,
    .expire = expire,
    .release = release,
};

enum ml_err ml_session_open(struct ml_net *net, const struct ml_session_open *open,
                            struct ml_session **session_out)
{
    struct ml_session *session = ml_session_new(net, &ywebsocket);
    struct ml_seat *seat = session ? ml_seat_new(session, ml_slice_make(NULL, 0)) : NULL;
    enum ml_err err = ML_ELIMIT;

    if (seat)
        err = ml_seat_join(seat, open->org, open->name, open->identity, open->grant);
    if (!err)
        err = ml_seat_keep_asker(seat, open->asker);
    if (err) {
        if (session)
            ml_session_free(session);
        return err;
    }
    session->address = open->address;
    ml_greet(session, open->org, ml_slice_str(open->ip), open->identity);
    ml_limit_begin(session, open->org, ml_slice_str(open->ip), open->identity);
    *session_out = session;
    return ML_OK;
}
