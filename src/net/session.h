/* SPDX-License-Identifier: MIT */
/*
 * Between the files that make up a session:
 *
 *   session.c              the connection: out, the transport's events, time, the end
 *   seat_check.c           its rights, asked for again
 *   admit.c                the hook that is asked before a message is looked at
 *   limit.c                limits that plugins set
 *   seat.c                 one seat: what the room asks of it, what has to wait, rates
 *   session_ywebsocket.c   one file per dialect: which message does what, to which seat
 *   session_hocuspocus.c
 *
 * The arrows go both ways by way of struct ml_session_dialect only: session.c and seat.c know no
 * dialect by name. Private to these files.
 */
#ifndef ML_NET_SESSION_H
#define ML_NET_SESSION_H

#include "net/limit.h"
#include "net/live.h"

#define ML_PRESENCE_SLOTS 4

/* A rate: tokens that come back with time. */
struct ml_bucket {
    double tokens;
    uint64_t at_ms;
};

/*
 *          ml_seat_join        joined           room, limits, client
 * PENDING -------------> JOINING -------> OPEN ----------------------> LEFT -----> (freed by flush)
 *    |                      |               |                           ^ ^
 *    | refused              | joined(NULL)  |  ml_seat_lose             | |
 *    +----------------------+---------------|---------------------------+ | client comes anew
 *                                           +-------> LOST ---------------+
 *
 * PENDING   nobody has said yet who it is; messages wait, within the limits of SEC-WS-03.
 * JOINING   the room loads; messages wait, nothing is sent.
 * OPEN      `member` may be used. Messages go straight to the room, unless one has to wait
 *           (ML_EBUSY, rate): then it and all after it are held.
 * LEFT      nothing that comes is looked at; the seat is given up before the loop sleeps.
 * LOST      the same, but the address is remembered: its client was told that it is over.
 */
enum ml_seat_state { ML_SEAT_PENDING, ML_SEAT_JOINING, ML_SEAT_OPEN, ML_SEAT_LEFT, ML_SEAT_LOST };

/* A seat of a session in one room. Invariants of a seat and of its session:
 *  [S1] `held` is not empty => no message is handed to the room before those in it;
 *  [S2] `member` is NULL in LEFT and LOST once the dirty list has been worked off. */
struct ml_seat {
    struct ml_port port; /* first: the room hands it back */
    struct ml_session *session;
    struct ml_list node;      /* session->seats */
    struct ml_member *member; /* NULL: no seat yet, or no more */
    enum ml_seat_state state;
    bool is_paused; /* by the room */
    bool may_write;
    bool is_admitted;       /* the message in front, which has to wait, was asked about (admit.c) */
    bool is_rated, is_paid; /* it has paid for the rates of the server, of plugins */
    char why_not[124];      /* what a plugin said when the seat was refused; empty: nothing */
    bool is_asked;          /* for a new credential, since the last one */
    uint64_t since_ms;      /* in this state */
    uint64_t expires_ms;    /* of the identity, monotonic; 0: never */
    uint64_t granted_ms; /* until then; the client comes back and is asked for anew; 0: for ever */
    uint64_t ask_ms;     /* when to ask for a new credential; 0: never */
    /* seat_check.c: */
    struct ml_slice org, name; /* of the document; in `place` */
    uint8_t *place;
    struct ml_cell_place hooks;  /* of the document, on this loop (admit.c) */
    struct ml_seat_check *check; /* NULL: nobody is asked about it */
    int64_t taken_at_ms;         /* wall clock */
    bool is_doubted;         /* its rights have to be asked for before anything else of it counts */
    uint64_t doubted_ms;     /* since then */
    uint64_t recheck_ms;     /* when to ask for its rights again; 0: never */
    struct ml_seat_own *own; /* what a token of ours says; NULL: it is none */
    uint64_t message_no;     /* of the last update that the room took */
    uint64_t status_no;      /* of the last one that a SyncStatus has answered (Hocuspocus) */
    uint64_t own_client;     /* awareness id of its first awareness message: its own */
    struct ml_list held;     /* struct held of seat.c, oldest first */
    size_t held_bytes, held_count;
    struct ml_asking *asking; /* of session_hocuspocus.c: a credential that plugins look at */
    struct ml_bucket presence;
    struct {
        uint64_t client;
        struct ml_blob *update; /* NULL: free */
    } late[ML_PRESENCE_SLOTS];  /* presence over the rate: the newest of each client waits */
    struct ml_list echoes;      /* y-sweet statuses that wait (session_ywebsocket.c) */
    size_t echo_count;
    uint8_t address[]; /* port.address */
};

enum ml_outcome { ML_TAKEN, ML_WAITS };

struct ml_session {
    struct ml_net *net;
    const struct ml_session_dialect *dialect;
    struct ml_link *link; /* NULL: not adopted yet */
    struct ml_address *address;
    struct ml_list node, dirty, timed;
    struct ml_list seats; /* ml_seat.node */
    size_t seat_count;
    bool is_closing;
    bool is_reading;         /* what the transport was told last */
    bool is_pinged;          /* since it was last heard */
    bool may_write;          /* in some seat */
    bool hears_notices;      /* y-websocket: the client said that it knows them */
    uint64_t closing_ms;     /* since then; with `parting` until then */
    struct ml_blob *parting; /* the close frame, if it may not go at once */
    uint64_t heard_ms;       /* anything came */
    uint64_t said_ms;        /* an application frame was queued */
    uint64_t progress_ms;    /* the outbox was empty or the socket took something */
    uint64_t slow_until_ms;  /* a plugin wants nothing to be read before */
    uint64_t throttled_ms;   /* since when the rate has been exceeded; 0: it is not */
    uint64_t controls_ms;
    uint32_t controls; /* control frames since controls_ms */
    struct ml_ws_message message;
    size_t held_bytes, held_count; /* of all seats */
    struct ml_bucket updates, update_bytes;
    struct ml_use use; /* limit.c */
    struct ml_outbox outbox;
    struct ml_collab *collab;   /* of session_hocuspocus.c; NULL: another dialect */
    struct ml_greeted *greeted; /* of greet.c; NULL: no plugin has heard of it */
    uint64_t bytes_in, bytes_out;
    unsigned closed_code; /* 0: the server has not ended it */
    char closed_text[64];
};

/* How the sessions of one dialect behave. Called on the loop; may end the session. */
struct ml_session_dialect {
    enum ml_dialect id;
    /** A whole message. Text: if it means anything, or is an offence. */
    void (*hear)(struct ml_session *session, struct ml_slice bytes);
    void (*hear_text)(struct ml_session *session); /* NULL: it is not looked at */
    /** How large may a message be now? NULL: as the limits of the net say. */
    void (*limit)(const struct ml_session *session, struct ml_ws_limits *limits);
    /** A message for an open seat, perhaps one that was held. WAITS: the rest has to wait. */
    enum ml_outcome (*take)(struct ml_seat *seat, struct ml_slice bytes, struct ml_slice *rest_out);
    /** The room has its seat ready, or (state LEFT) refuses it. Do not call the room. */
    void (*joined)(struct ml_seat *seat, enum ml_close why);
    /** As port->ack. Do not call the room. */
    void (*acknowledged)(struct ml_seat *seat, uint64_t message_no);
    /** As port->refused; NULL: nobody can be told. */
    void (*refused)(struct ml_seat *seat, const struct ml_notice *notice);
    /** As port->failed: that update was not taken after all. Do not call the room. */
    void (*failed)(struct ml_seat *seat, uint64_t message_no, enum ml_err err);
    /** The room wants the seat to end. Do not call the room. */
    void (*lost)(struct ml_seat *seat, enum ml_close why, struct ml_slice reason);
    /** It may write now, or not any more (seat->may_write). Do not call the room. */
    void (*regranted)(struct ml_seat *seat);
    /** A notice, JSON, for people and programs there. False: this client understands none. */
    bool (*told)(struct ml_seat *seat, struct ml_slice text);
    /** Presence that waited for its rate turned out to follow no format. */
    void (*broken)(struct ml_seat *seat);
    /** Should more be read from the socket? Not asked while it closes. */
    bool (*wants_reading)(const struct ml_session *session);
    /** Nothing was said for keepalive_ms. */
    void (*keep_alive)(struct ml_session *session);
    /** About once a second: what is over ends. */
    void (*expire)(struct ml_session *session, uint64_t now);
    /** Input of the dialect at a seat; what the session has of its own (NULL: nothing). */
    void (*release)(struct ml_seat *seat);
    void (*release_session)(struct ml_session *session);
};

/**
 * A notice as JSON. The caller releases the writer also after an error.
 * @retval ML_ELIMIT  it is too long to be told
 */
enum ml_err ml_notice_write(const struct ml_notice *notice, struct ml_writer *text) ML_MUST_CHECK;

/** Somebody new hears that the bus is gone, if it is. bus_word.c */
void ml_seat_hear_of_bus(struct ml_seat *seat);

/* ---- session.c ------------------------------------------------------------------------------- */

/** A session without a seat, link or address. NULL: out of memory. */
struct ml_session *ml_session_new(struct ml_net *net, const struct ml_session_dialect *dialect);
/** Only if it was never attached. */
void ml_session_free(struct ml_session *session);
/**
 * From now on only the outbox counts. Safe inside a port's function: the room may still be reading
 * the message in hand, so the input is released later, in flush. `reason` may be empty.
 */
void ml_session_end(struct ml_session *session, enum ml_close why, struct ml_slice reason);
static inline void ml_session_end_text(struct ml_session *session, enum ml_close why)
{
    ml_session_end(session, why, ml_slice_make(NULL, 0));
}
/** The same, but the client hears of it only later, and is not read until then: for those who come
 * back at once. */
void ml_session_end_slowly(struct ml_session *session, enum ml_close why);
/** Queue a frame; the session ends if that is not possible. */
enum ml_err ml_session_send(struct ml_session *session, struct ml_blob *frame, enum ml_send as);
/** Something is to be done before the loop sleeps. */
void ml_session_mark_dirty(struct ml_session *session);
/** Something waits for its rate. */
void ml_session_mark_timed(struct ml_session *session);
bool ml_bucket_take(struct ml_bucket *bucket, uint64_t now, double per_second, double burst);
/** The same for something that costs more than one. */
bool ml_bucket_pay(struct ml_bucket *bucket, uint64_t now, double per_second, double burst,
                   double price);

/* ---- seat.c ---------------------------------------------------------------------------------- */

/** In state PENDING, in the session's list. NULL: out of memory. */
struct ml_seat *ml_seat_new(struct ml_session *session, struct ml_slice address);
/** Gives the seat up, if there is one, and frees. Not from inside a port's function. */
void ml_seat_free(struct ml_seat *seat);
/** From PENDING. @retval ML_EBUSY, ML_ELIMIT  no seat, and `joined` is not called */
enum ml_err ml_seat_join(struct ml_seat *seat, struct ml_slice org, struct ml_slice name,
                         const struct ml_identity *identity,
                         const struct ml_grant *grant) ML_MUST_CHECK;
/** Nothing that comes is looked at any more; the seat goes before the loop sleeps. */
void ml_seat_leave(struct ml_seat *seat);
/** The same, but the address is remembered. */
void ml_seat_lose(struct ml_seat *seat);
/** What ml_seat_leave and ml_seat_lose have left for later: before the loop sleeps. */
void ml_seat_give_up(struct ml_seat *seat);
/** Does the identity, or the grant, of a seat that is taken end before that? */
bool ml_seat_ends_before(const struct ml_seat *seat, uint64_t then);
/** Until when the seat is good. */
void ml_seat_set_expiry(struct ml_seat *seat, const struct ml_identity *identity,
                        const struct ml_grant *grant);
/** A message for this seat: taken, or held if it has to wait. */
void ml_seat_hear(struct ml_seat *seat, struct ml_slice bytes);
/** What was held, as far as the room takes it. */
void ml_seat_take_held(struct ml_seat *seat);
/** Everything that is only of use while the client is listened to. */
void ml_seat_release_input(struct ml_seat *seat);
/** Presence that waited. False: some still waits. */
bool ml_seat_take_late(struct ml_seat *seat, uint64_t now);

/* What a message does. ML_EBUSY: it has to wait. ML_ECLOSED: the session ended meanwhile. */
enum ml_err ml_seat_submit(struct ml_seat *seat, struct ml_slice update,
                           bool is_reply) ML_MUST_CHECK;
enum ml_err ml_seat_sync(struct ml_seat *seat, struct ml_slice state_vector) ML_MUST_CHECK;
/** @retval ML_EFORMAT  only if it was looked at now */
enum ml_err ml_seat_presence(struct ml_seat *seat, struct ml_slice update) ML_MUST_CHECK;
enum ml_err ml_seat_query_presence(struct ml_seat *seat) ML_MUST_CHECK;
/** A text for plugins. */
enum ml_err ml_seat_message(struct ml_seat *seat, struct ml_slice text) ML_MUST_CHECK;

/** admit.c. ML_EBUSY: it has to wait; ML_EDENIED. */
enum ml_err ml_seat_admit(struct ml_seat *seat, const char *kind, size_t bytes) ML_MUST_CHECK;

#endif
