/* SPDX-License-Identifier: MIT */
/*
 * Hocuspocus: one socket, many documents, each with a seat of its own: its own credential, its own
 * rights, its own end. The socket's address names the org, the messages name the documents.
 *
 *            Auth Token, allowed                      joined
 *  PENDING -------------------------> JOINING ----------------------> OPEN
 *     |  Authenticated(scope)            |                              |
 *     | refused: PermissionDenied        | joined(NULL): likewise       | what the client may not
 * say, v                                  v                              | and what the room ends:
 *   (none)                             (none)                           | CLOSE(reason)
 *                                                                       v
 *                                                                      LOST
 *
 * A seat's state is that of (socket, address); session.h draws the rest. An address may have the id
 * of a session behind the document's name: each is a seat.
 *
 * What a SyncStatus says: 1 when the update is in the journal, one for each; 0 for what was not
 * taken at all. Nothing is sent twice and nothing is left out: providers only count.
 *
 * Until somebody has authenticated on it a socket is a stranger: what it may have waiting, and for
 * how long, is bounded for it and for all strangers together (SEC-WS-03); the oldest goes first.
 *
 * Different from the server that providers know: a Pong can be read, a quiet client stays, a policy
 * that refuses an edit never closes anything, and QueryAwareness is answered.
 */
#include "net/ask.h"
#include "net/greet.h"
#include "net/http.h"
#include "net/seat_check.h"
#include "net/session.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define REFUSALS_MAX 100 /* credentials that one socket may try in vain */
#define ORG_MAX      63
#define ASKING_MAX   (1u << 20)

struct ml_collab {
    struct ml_session *session;
    struct ml_list node; /* net->strangers, oldest first; not linked: authenticated once */
    uint64_t opened_ms;
    bool is_authenticated;
    struct ml_blob *head; /* of the request; NULL: nobody will ask for it */
    char ip[ML_ADDRESS_TEXT];
    char org[ORG_MAX + 1];
    size_t pending, pending_bytes, pending_count; /* seats without a credential, what waits there */
    unsigned refusals;
};

/* A credential that plugins look at. */
struct ml_asking {
    struct ml_ask ask;
    struct ml_seat *seat;
    struct ml_arena arena;
    struct ml_asker asker;
    struct ml_head head;
    bool is_silent; /* there was no credential to answer to */
};

static const struct ml_slice nothing = {NULL, 0};

static void end_asking(struct ml_seat *seat)
{
    struct ml_asking *asking = seat->asking;

    if (!asking)
        return;
    seat->asking = NULL;
    ml_ask_drop(&asking->ask);
    ml_arena_release(&asking->arena);
    free(asking);
}

static struct ml_seat *seat_at(struct ml_list *node)
{
    return ML_CONTAINER(node, struct ml_seat, node);
}

/* ---- out ------------------------------------------------------------------------------------- */

static void say_times(struct ml_session *session, struct ml_slice address, enum ml_frame_kind kind,
                      struct ml_slice payload, uint64_t times)
{
    struct ml_blob *frame = ml_frame_encode(ML_DIALECT_HOCUSPOCUS, address, kind, payload);

    if (!frame) {
        ml_session_end_text(session, ML_CLOSE_TRY_LATER);
        return;
    }
    while (times-- && !ml_session_send(session, frame, ML_SEND_UPDATE))
        ;
    ml_blob_unref(frame);
}

static void say(struct ml_session *session, struct ml_slice address, enum ml_frame_kind kind,
                struct ml_slice payload)
{
    say_times(session, address, kind, payload, 1);
}

static void say_status(struct ml_seat *seat, bool is_taken, uint64_t times)
{
    say_times(seat->session, seat->port.address, ML_FRAME_SYNC_STATUS,
              is_taken ? ML_SLICE("\1") : ML_SLICE("\0"), times);
}

/* ---- seats ----------------------------------------------------------------------------------- */

/* The one that was spoken to last stands first. */
static struct ml_seat *find_seat(struct ml_session *session, struct ml_slice address)
{
    ML_LIST_EACH(node, &session->seats)
    {
        struct ml_seat *seat = seat_at(node);

        if (seat->state == ML_SEAT_LEFT || !ml_slice_equal(seat->port.address, address))
            continue;
        ml_list_remove(node);
        ml_list_append(session->seats.next, node);
        return seat;
    }
    return NULL;
}

static bool has_live_seats(const struct ml_session *session)
{
    ML_LIST_EACH(node, &session->seats)
    {
        enum ml_seat_state state = seat_at(node)->state;

        if (state == ML_SEAT_JOINING || state == ML_SEAT_OPEN)
            return true;
    }
    return false;
}

/* It is not one of those without a credential any more. */
static void end_pending(struct ml_seat *seat)
{
    struct ml_collab *collab = seat->session->collab;

    if (seat->state != ML_SEAT_PENDING)
        return;
    collab->pending--;
    collab->pending_bytes -= seat->held_bytes;
    collab->pending_count -= seat->held_count;
}

static void leave(struct ml_seat *seat)
{
    end_asking(seat);
    end_pending(seat);
    ml_seat_leave(seat);
}

static void release_seat(struct ml_seat *seat)
{
    end_asking(seat);
}

/* The seat is refused: its client may try again on the same socket. */
static void refuse(struct ml_seat *seat, struct ml_slice reason)
{
    struct ml_session *session = seat->session;

    if (!reason.len)
        reason = ML_SLICE("permission-denied");
    say(session, seat->port.address, ML_FRAME_DENIED, reason);
    leave(seat);
    if (++session->collab->refusals > REFUSALS_MAX)
        ml_session_end_slowly(session, ML_CLOSE_RESET);
}

/*
 * Not now, but later. A provider asks again only on a new socket, so the socket ends; unless other
 * documents are open on it, which have nothing to do with this one.
 */
static void put_off(struct ml_seat *seat, struct ml_slice reason)
{
    leave(seat);
    if (has_live_seats(seat->session))
        refuse(seat, reason);
    else
        ml_session_end(seat->session, ML_CLOSE_TRY_LATER, reason);
}

/* This document is over for this client. If it was the last one, so is the socket: then the client
 * comes back, and hears anew what it may do. */
static void take_away(struct ml_seat *seat, enum ml_close why, struct ml_slice reason)
{
    struct ml_session *session = seat->session;

    if (!reason.len)
        reason = ml_slice_str(ml_close_text(why));
    say(session, seat->port.address, ML_FRAME_CLOSE, reason);
    ml_seat_lose(seat);
    if (!has_live_seats(session))
        ml_session_end(session, why, reason);
}

/* The client broke the protocol on this document. */
static void reset(struct ml_seat *seat)
{
    say(seat->session, seat->port.address, ML_FRAME_CLOSE, ML_SLICE("Reset Connection"));
    ml_seat_lose(seat);
}

/* ---- who is it ------------------------------------------------------------------------------- */

static bool is_no(enum ml_err err)
{
    return err == ML_EDENIED || err == ML_ENOTFOUND;
}

static void welcome(struct ml_session *session)
{
    session->collab->is_authenticated = true;
    ml_list_remove(&session->collab->node);
}

/* What came out, for a seat that has no credential yet. The asking is over: `reason` is in it. */
static void take_answer(struct ml_seat *seat, struct ml_asking *asking)
{
    struct ml_session *session = seat->session;
    const struct ml_asker *asker = &asking->asker;
    enum ml_err err = asking->ask.err;

    if (is_no(err)) {
        refuse(seat, asking->ask.refusal.reason);
        return;
    }
    if (err) {
        put_off(seat, ML_SLICE("policy_unavailable"));
        return;
    }
    end_pending(seat);
    welcome(session);
    ml_greet(session, ml_slice_str(session->collab->org), ml_slice_str(session->collab->ip),
             &asker->identity);
    if (!session->use.limited)
        ml_limit_begin(session, ml_slice_str(session->collab->org),
                       ml_slice_str(session->collab->ip), &asker->identity);
    if (!asking->is_silent)
        say(session, seat->port.address, ML_FRAME_AUTHENTICATED,
            ml_grant_allows(&asker->grant, ML_MAY_WRITE) ? ML_SLICE("read-write")
                                                         : ML_SLICE("readonly"));
    ml_seat_hear_of_bus(seat);
    err = ml_seat_join(seat, ml_slice_str(session->collab->org),
                       ml_address_document(seat->port.address), &asker->identity, &asker->grant);
    if (!err)
        err = ml_seat_keep_asker(seat, asker);
    if (err)
        put_off(seat, ML_SLICE("try again later"));
}

/* The same for an open seat. No answer is a yes. */
static void take_renewal(struct ml_seat *seat, struct ml_asking *asking)
{
    const struct ml_asker *asker = &asking->asker;

    ml_seat_take_answer(seat, asking->ask.err, asker, asker->is_known ? &asker->identity : NULL,
                        &asking->ask.refusal);
}

static void on_asked(struct ml_ask *ask)
{
    struct ml_asking *asking = ML_CONTAINER(ask, struct ml_asking, ask);
    struct ml_seat *seat = asking->seat;

    seat->asking = NULL; /* what follows may end the seat */
    if (seat->session->is_closing)
        ; /* nobody is there to hear it */
    else if (seat->state == ML_SEAT_PENDING)
        take_answer(seat, asking);
    else if (seat->state == ML_SEAT_OPEN)
        take_renewal(seat, asking);
    ml_ask_drop(&asking->ask);
    ml_arena_release(&asking->arena);
    free(asking);
}

/* NULL: no memory, or the head cannot be read. */
static struct ml_asking *make_asking(struct ml_seat *seat, struct ml_slice token)
{
    struct ml_collab *collab = seat->session->collab;
    struct ml_asking *asking = calloc(1, sizeof *asking);
    unsigned status;

    if (!asking)
        return NULL;
    asking->seat = seat;
    ml_arena_init(&asking->arena, ASKING_MAX);
    asking->ask = (struct ml_ask){
        .net = seat->session->net,
        .arena = &asking->arena,
        .asker = &asking->asker,
        .source = {.org = ml_slice_str(collab->org),
                   .ip = ml_slice_str(collab->ip),
                   .token = ml_arena_copy(&asking->arena, token),
                   .is_websocket = true},
        .is_resolved = true, /* with the socket */
        .action = ML_SLICE("doc.open"),
        .document = ml_address_document(seat->port.address),
        .done = on_asked,
    };
    if (!collab->head)
        return asking;
    asking->ask.source.head = &asking->head;
    if (ml_head_parse(ml_blob_slice(collab->head), &asking->head, &status) == ML_HEAD_COMPLETE)
        return asking;
    ml_arena_release(&asking->arena);
    free(asking);
    return NULL;
}

/* A credential; the newest counts. `is_silent`: there was none to answer to. */
static void authenticate(struct ml_seat *seat, struct ml_slice token, bool is_silent)
{
    end_asking(seat);
    seat->asking = make_asking(seat, token);
    if (!seat->asking) {
        ml_session_end_text(seat->session, ML_CLOSE_TRY_LATER);
        return;
    }
    seat->asking->is_silent = is_silent;
    if (ml_ask_start(&seat->asking->ask))
        on_asked(&seat->asking->ask);
}

static bool told(struct ml_seat *seat, struct ml_slice text)
{
    say(seat->session, seat->port.address, ML_FRAME_STATELESS, text);
    return !seat->session->is_closing;
}

static void regranted(struct ml_seat *seat)
{
    say(seat->session, seat->port.address, ML_FRAME_AUTHENTICATED,
        seat->may_write ? ML_SLICE("read-write") : ML_SLICE("readonly"));
}

/* ---- one message after the other, at an open seat ---------------------------------------------
 */

/* A message that was not taken as it should be. */
static enum ml_outcome fail(struct ml_seat *seat, enum ml_err err)
{
    switch (err) {
    case ML_OK:
    case ML_ECLOSED:
        return ML_TAKEN;
    case ML_EBUSY:
        return ML_WAITS;
    case ML_EFORMAT:
    case ML_EVERSION:
        reset(seat);
        return ML_TAKEN;
    default:
        ml_session_end_text(seat->session, ML_CLOSE_TRY_LATER);
        return ML_TAKEN;
    }
}

static enum ml_outcome take_step1(struct ml_seat *seat, const struct ml_frame *frame)
{
    enum ml_err err = ml_seat_sync(seat, frame->payload);

    return err == ML_EDENIED ? ML_TAKEN : fail(seat, err);
}

static enum ml_outcome take_update(struct ml_seat *seat, const struct ml_frame *frame)
{
    enum ml_err err = ml_seat_submit(seat, frame->payload, frame->kind == ML_FRAME_STEP2);

    switch (err) {
    case ML_EDENIED:
    case ML_EFORMAT:
    case ML_EVERSION:
    case ML_ELIMIT:
        ml_log(ML_LOG_DEBUG, "update.refused", "err=%s", ml_err_name(err));
        say_status(seat, false, 1);
        return ML_TAKEN;
    default:
        return fail(seat, err);
    }
}

static enum ml_outcome take_presence(struct ml_seat *seat, const struct ml_frame *frame)
{
    return fail(seat, ml_seat_presence(seat, frame->payload));
}

static enum ml_outcome take_query(struct ml_seat *seat, const struct ml_frame *frame)
{
    (void)frame;
    return fail(seat, ml_seat_query_presence(seat));
}

static enum ml_outcome take_message(struct ml_seat *seat, const struct ml_frame *frame)
{
    return fail(seat, ml_seat_message(seat, frame->payload));
}

static enum ml_outcome take_token(struct ml_seat *seat, const struct ml_frame *frame)
{
    authenticate(seat, frame->payload, false);
    return ML_TAKEN;
}

static enum ml_outcome take_offence(struct ml_seat *seat, const struct ml_frame *frame)
{
    (void)frame;
    reset(seat);
    return ML_TAKEN;
}

static enum ml_outcome take_close(struct ml_seat *seat, const struct ml_frame *frame)
{
    (void)frame;
    say(seat->session, seat->port.address, ML_FRAME_CLOSE, ML_SLICE("provider_initiated"));
    leave(seat);
    return ML_TAKEN;
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
    [ML_FRAME_DENIED] = ignore, /* the server's word, from a client nobody's */
    [ML_FRAME_SYNC_STATUS] = ignore,
    [ML_FRAME_TOKEN] = take_token,
    [ML_FRAME_TOKEN_REQUEST] = ignore,
    [ML_FRAME_AUTHENTICATED] = ignore,
    [ML_FRAME_STATELESS] = take_message,
    [ML_FRAME_BROADCAST] = take_offence,
    [ML_FRAME_CLOSE] = take_close,
    [ML_FRAME_PING] = ignore,
    [ML_FRAME_PONG] = ignore,
    [ML_FRAME_UNKNOWN_SYNC] = take_offence,
    [ML_FRAME_UNKNOWN] = ignore,
};

static enum ml_outcome take(struct ml_seat *seat, struct ml_slice bytes, struct ml_slice *rest_out)
{
    struct ml_reader r = ml_reader_make(bytes);
    struct ml_frame frame;

    if (ml_frame_decode(ML_DIALECT_HOCUSPOCUS, &r, &frame))
        return ML_TAKEN; /* it was read when it came */
    *rest_out = bytes;
    return takers[frame.kind](seat, &frame);
}

/* ---- whatever comes ---------------------------------------------------------------------------
 */

static bool is_update(const struct ml_frame *frame)
{
    return frame->kind == ML_FRAME_STEP2 || frame->kind == ML_FRAME_UPDATE;
}

/* Is this a document at all? Its client is told no, as for any that it may not see. */
static bool is_document(struct ml_slice address)
{
    return ml_document_name_is_valid(ml_address_document(address));
}

static void refuse_address(struct ml_session *session, const struct ml_frame *frame)
{
    if (frame->kind == ML_FRAME_TOKEN)
        say(session, frame->address, ML_FRAME_DENIED, ML_SLICE("permission-denied"));
    else if (is_update(frame))
        say(session, frame->address, ML_FRAME_SYNC_STATUS, ML_SLICE("\0"));
}

/* Room in what waits at all sockets together: the oldest stranger gives way. False: none is left.
 */
static bool make_room(struct ml_net *net, size_t bytes)
{
    size_t most = net->env.limits.held_pool_bytes;

    while (net->held_bytes + bytes > most && !ml_list_is_empty(&net->strangers)) {
        struct ml_list *node = ml_list_take_first(&net->strangers);
        struct ml_session *session = ML_CONTAINER(node, struct ml_collab, node)->session;

        ML_LIST_EACH(at, &session->seats)
        ml_seat_release_input(seat_at(at));
        ml_session_end_slowly(session, ML_CLOSE_RESET);
    }
    return net->held_bytes + bytes <= most;
}

/* A message before the credential. */
static void hold_pending(struct ml_seat *seat, struct ml_slice bytes)
{
    struct ml_session *session = seat->session;
    const struct ml_net_limits *limits = &session->net->env.limits;
    struct ml_collab *collab = session->collab;

    if (collab->pending_count >= limits->held_messages ||
        bytes.len > limits->held_bytes - collab->pending_bytes) {
        ml_session_end_slowly(session, ML_CLOSE_RESET);
        return;
    }
    if (!make_room(session->net, bytes.len))
        ml_session_end_slowly(session, ML_CLOSE_RESET);
    if (session->is_closing)
        return;
    collab->pending_bytes += bytes.len;
    collab->pending_count++;
    ml_seat_hear(seat, bytes);
}

static void hear_pending(struct ml_seat *seat, const struct ml_frame *frame, struct ml_slice bytes)
{
    if (frame->kind == ML_FRAME_CLOSE) {
        (void)take_close(seat, frame);
    } else if (seat->asking) { /* also another credential: it is looked at when there is a seat */
        hold_pending(seat, bytes);
    } else if (frame->kind == ML_FRAME_TOKEN) {
        authenticate(seat, frame->payload, false);
    } else if (seat->session->net->env.open_mode) {
        /* Provider 2 sends no Auth if it has no token: here nobody needs one. */
        authenticate(seat, nothing, true);
        if (seat->asking)
            hold_pending(seat, bytes);
        else if (!seat->session->is_closing)
            ml_seat_hear(seat, bytes);
    } else {
        hold_pending(seat, bytes);
    }
}

/* It was told that this document is over, and has not understood if it goes on writing. */
static void hear_lost(struct ml_seat *seat, const struct ml_frame *frame)
{
    if (frame->kind == ML_FRAME_CLOSE)
        (void)take_close(seat, frame);
    else if (is_update(frame))
        ml_session_end_text(seat->session, ML_CLOSE_FORBIDDEN);
}

/* A seat without a credential yet. NULL: the session ends, or it has enough. */
static struct ml_seat *open_seat(struct ml_session *session, const struct ml_frame *frame)
{
    const struct ml_net_limits *limits = &session->net->env.limits;
    struct ml_collab *collab = session->collab;
    struct ml_seat *seat;

    if (collab->pending >= limits->held_documents) {
        ml_session_end_slowly(session, ML_CLOSE_RESET);
        return NULL;
    }
    if (session->seat_count >= limits->documents) {
        refuse_address(session, frame);
        return NULL;
    }
    seat = ml_seat_new(session, frame->address);
    if (!seat) {
        ml_session_end_text(session, ML_CLOSE_TRY_LATER);
        return NULL;
    }
    collab->pending++;
    return seat;
}

static void hear_addressed(struct ml_session *session, const struct ml_frame *frame,
                           struct ml_slice bytes)
{
    struct ml_seat *seat = find_seat(session, frame->address);

    if (seat && seat->state == ML_SEAT_LOST && frame->kind == ML_FRAME_TOKEN) {
        leave(seat);
        seat = NULL;
    }
    if (!seat)
        seat = open_seat(session, frame);
    if (!seat)
        return;
    if (seat->state == ML_SEAT_PENDING)
        hear_pending(seat, frame, bytes);
    else if (seat->state == ML_SEAT_LOST)
        hear_lost(seat, frame);
    else
        ml_seat_hear(seat, bytes);
}

static void hear(struct ml_session *session, struct ml_slice bytes)
{
    struct ml_reader r = ml_reader_make(bytes);
    struct ml_frame frame;

    if (ml_frame_decode(ML_DIALECT_HOCUSPOCUS, &r, &frame) || frame.address.len > ML_ADDRESS_MAX)
        ml_session_end_text(session, ML_CLOSE_UNREADABLE);
    else if (frame.kind == ML_FRAME_PING)
        say(session, nothing, ML_FRAME_PONG, nothing);
    else if (frame.kind == ML_FRAME_PONG)
        return;
    else if (!is_document(frame.address))
        refuse_address(session, &frame);
    else
        hear_addressed(session, &frame, bytes);
}

static void hear_text(struct ml_session *session)
{
    ml_session_end_text(session, ML_CLOSE_UNREADABLE);
}

/* A stranger may not send what a member may. */
static void limit(const struct ml_session *session, struct ml_ws_limits *limits)
{
    size_t most = session->net->env.limits.held_bytes;

    if (session->collab->is_authenticated)
        return;
    if (limits->message_bytes > most)
        limits->message_bytes = most;
    limits->reply_bytes = limits->message_bytes;
}

/* ---- what the room says -----------------------------------------------------------------------
 */

static void joined(struct ml_seat *seat, enum ml_close why)
{
    if (seat->state != ML_SEAT_LEFT)
        return;
    if (why == ML_CLOSE_TRY_LATER || why == ML_CLOSE_SHUTDOWN)
        put_off(seat, ML_SLICE("try again later"));
    else
        refuse(seat, ml_slice_str(seat->why_not[0] ? seat->why_not : ml_close_text(why)));
}

static void acknowledged(struct ml_seat *seat, uint64_t message_no)
{
    uint64_t times = message_no - seat->status_no;

    if (message_no <= seat->status_no)
        return;
    seat->status_no = message_no;
    say_status(seat, true, times);
}

/* The room of another loop answers in its own time, and in order. */
static void failed(struct ml_seat *seat, uint64_t message_no, enum ml_err err)
{
    ml_log(ML_LOG_DEBUG, "update.refused", "err=%s", ml_err_name(err));
    if (message_no <= seat->status_no)
        return;
    acknowledged(seat, message_no - 1);
    seat->status_no = message_no;
    say_status(seat, false, 1);
}

/* Does this end a document, or what the client can do nothing about but come again? */
static bool is_of_the_document(enum ml_close why)
{
    return why == ML_CLOSE_DELETED || why == ML_CLOSE_FORBIDDEN ||
           why == ML_CLOSE_UNAUTHENTICATED || why == ML_CLOSE_DOCUMENT_TOO_LARGE;
}

static void refused(struct ml_seat *seat, const struct ml_notice *notice)
{
    struct ml_writer text;

    if (!ml_notice_write(notice, &text))
        say(seat->session, seat->port.address, ML_FRAME_STATELESS, ml_writer_slice(&text));
    ml_writer_release(&text);
}

static void lost(struct ml_seat *seat, enum ml_close why, struct ml_slice reason)
{
    if (is_of_the_document(why))
        take_away(seat, why, reason);
    else
        ml_session_end(seat->session, why, reason);
}

/* ---- time -------------------------------------------------------------------------------------
 */

static bool wants_reading(const struct ml_session *session)
{
    const struct ml_net_limits *limits = &session->net->env.limits;
    const struct ml_collab *collab = session->collab;
    size_t bytes = session->held_bytes - collab->pending_bytes;
    size_t count = session->held_count - collab->pending_count;

    return !count || (bytes <= limits->held_bytes && count <= limits->held_messages &&
                      session->net->held_bytes <= limits->held_pool_bytes);
}

/* Any message feeds a provider's watchdog, also one for a document that it does not have. */
static void keep_alive(struct ml_session *session)
{
    struct ml_slice address = nothing;
    struct ml_blob *frame;

    if (!session->collab->is_authenticated)
        return;
    ML_LIST_EACH(node, &session->seats)
    {
        if (seat_at(node)->state == ML_SEAT_OPEN) {
            address = seat_at(node)->port.address;
            break;
        }
    }
    frame =
        ml_frame_encode(ML_DIALECT_HOCUSPOCUS, address, ML_FRAME_AWARENESS, ml_slice_make("\0", 1));
    if (frame)
        (void)!ml_session_send(session, frame, ML_SEND_PRESENCE);
    ml_blob_unref(frame);
}

static void expire_seat(struct ml_seat *seat, uint64_t now)
{
    struct ml_session *session = seat->session;
    uint64_t waited = now - seat->since_ms, patience = session->net->env.limits.auth_ms;

    if (seat->state == ML_SEAT_PENDING && waited > patience)
        refuse(seat, ML_SLICE("authentication took too long"));
    else if (seat->state == ML_SEAT_JOINING && waited > patience)
        put_off(seat, ML_SLICE("try again later"));
    if (seat->state != ML_SEAT_OPEN)
        return;
    if (seat->expires_ms && now >= seat->expires_ms) {
        ml_session_end_text(session, ML_CLOSE_UNAUTHENTICATED);
    } else if (seat->granted_ms && now >= seat->granted_ms) {
        ml_session_end_text(session, ML_CLOSE_TRY_LATER);
    } else if (seat->ask_ms && now >= seat->ask_ms && !seat->is_asked) {
        seat->is_asked = true;
        say(session, seat->port.address, ML_FRAME_TOKEN_REQUEST, nothing);
    }
}

static void expire(struct ml_session *session, uint64_t now)
{
    struct ml_collab *collab = session->collab;

    if (!collab->is_authenticated && now - collab->opened_ms > session->net->env.limits.auth_ms) {
        ml_session_end_text(session, ML_CLOSE_NO_TOKEN);
        return;
    }
    /* Where no room is that could say so. */
    if (session->net->is_draining && !has_live_seats(session)) {
        ml_session_end_text(session, ML_CLOSE_SHUTDOWN);
        return;
    }
    ML_LIST_EACH(node, &session->seats)
    {
        if (session->is_closing)
            return;
        expire_seat(seat_at(node), now);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void release_session(struct ml_session *session)
{
    struct ml_collab *collab = session->collab;

    if (!collab)
        return;
    ml_list_remove(&collab->node);
    ml_blob_unref(collab->head);
    free(collab);
}

static const struct ml_session_dialect hocuspocus = {
    .id = ML_DIALECT_HOCUSPOCUS,
    .hear = hear,
    .hear_text = hear_text,
    .limit = limit,
    .take = take,
    .joined = joined,
    .acknowledged = acknowledged,
    .refused = refused,
    .failed = failed,
    .lost = lost,
    .regranted = regranted,
    .told = told,
    .broken = reset,
    .wants_reading = wants_reading,
    .keep_alive = keep_alive,
    .expire = expire,
    .release = release_seat,
    .release_session = release_session,
};

enum ml_err ml_session_open_collab(struct ml_net *net, const struct ml_collab_open *open,
                                   struct ml_session **session_out)
{
    struct ml_session *session = ml_session_new(net, &hocuspocus);
    struct ml_collab *collab = session ? calloc(1, sizeof *collab) : NULL;

    if (!collab)
        goto fail;
    session->collab = collab;
    collab->session = session;
    collab->opened_ms = ml_net_now(net);
    (void)snprintf(collab->org, sizeof collab->org, "%.*s", ML_PRINT(open->org));
    (void)snprintf(collab->ip, sizeof collab->ip, "%s", open->ip);
    if (ml_ask_needs_head(net)) {
        collab->head = ml_blob_new(open->head);
        if (!collab->head)
            goto fail;
    }
    ml_list_append(&net->strangers, &collab->node);
    session->address = open->address;
    *session_out = session;
    return ML_OK;

fail:
    if (session)
        ml_session_free(session);
    return ML_ELIMIT;
}
