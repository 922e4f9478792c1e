/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share about one loop: the listener makes connections, a connection
 * reads requests, a request may become a session.
 *
 *   listen.c --> ml_http --(upgrade)--> ml_session --> room
 *      |            |                       |
 *      +------------+---- struct ml_net ----+   lists, pools, the clock
 *
 * Private to net.
 */
#ifndef ML_NET_LIVE_H
#define ML_NET_LIVE_H

#include "base/arena.h"
#include "base/hashmap.h"
#include "base/list.h"
#include "net/assets.h"
#include "net/hub.h"
#include "net/net.h"
#include "net/outbox.h"
#include "net/wire.h"
#include "net/ws.h"

#define ML_TICK_MS      100
#define ML_JOIN_BUFFER  (64u * 1024)
#define ML_ADDRESS_TEXT 46 /* INET6_ADDRSTRLEN */

struct ml_http;
struct ml_limitings;
struct ml_session;
struct ml_asker;

/** One peer address that is counted (SEC-LM-14). */
struct ml_address {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d; the key in shared->addresses */
    uint32_t connections, sessions;
};

struct ml_net {
    struct ml_net_env env;
    struct ml_transport *wire;
    struct ml_assets assets;
    struct ml_arena scratch; /* this message */
    uint8_t *join_buffer;    /* frames that leave in one write */
    struct ml_blob *ping, *keepalive;
    struct ml_net_stats stats;

    struct ml_list https;     /* ml_http.node, oldest first */
    struct ml_list sessions;  /* ml_session.node, the one that waited longest for its visit first */
    struct ml_list dirty;     /* ml_session.dirty: something to do before the loop sleeps */
    struct ml_list timed;     /* ml_session.timed: wants every tick */
    struct ml_list strangers; /* ml_collab.node: nobody has authenticated there, oldest first */
    struct ml_list asked;     /* ml_ask.node: answered, and nobody has been told yet */
    size_t asks;              /* questions that wait for plugins */
    uint64_t checks_from_ns;  /* rights are asked for anew since then, this turn; 0: not yet */
    size_t http_count, handshakes, session_count;
    uint64_t published_ms;             /* metrics.c */
    size_t calls;                      /* API requests that are not answered yet */
    struct ml_tries *tries;            /* of passwords; NULL: nobody has tried yet */
    unsigned password_checks;          /* that run now */
    struct ml_oidc_facts *oidc_facts;  /* auth_oidc.c */
    unsigned oidc_fetches;             /* that run now */
    size_t body_bytes;                 /* of their bodies */
    size_t readings;                   /* documents that are being read for them */
    struct ml_list readings_waiting;   /* ml_reading.node */
    struct ml_list writings;           /* ml_writing.node */
    struct ml_hashmap ops_lanes;       /* org NUL name → lane.c */
    struct ml_hashmap rendered_by_key; /* publish.c: files that were made */
    struct ml_list rendered;
    size_t rendered_bytes;
    struct ml_purger *purger;       /* NULL: another loop has it */
    struct ml_revoked *revoked;     /* likewise, or there are no other nodes */
    struct ml_standings *standings; /* NULL: nobody has asked yet */
    struct ml_limitings *limitings; /* likewise */

    struct ml_shared *shared, *own_shared; /* of the hub, or (alone) our own */
    unsigned next_loop;                    /* for who does not say which document it wants */
    struct ml_list operator_calls;         /* api_plugins.c */
    struct ml_ws_pool message_pool;
    struct ml_frame_pool sync_pool;
    size_t held_bytes;

    int listen_fd, reserve_fd; /* -1: none */
    double accepts;            /* that may still be made now */
    uint64_t accepts_at_ms;
    bool is_listening, is_draining;
    bool is_bus_sick; /* bus_word.c */

    size_t handles; /* open, of libuv */
    uv_poll_t listener;
    uv_timer_t tick;
    uv_prepare_t flush;

    bool is_closing, is_wire_open;
    unsigned turns; /* of the loop since the wire was stopped */
    uint64_t closing_since_ms;
    void (*done)(void *arg);
    void *done_arg;
};

/** The loop's time, milliseconds, monotonic. */
static inline uint64_t ml_net_now(const struct ml_net *net)
{
    return uv_now(net->env.loop);
}
/** For close callbacks of handles: the last one ends the closing of the net. */
void ml_net_handle_closed(struct ml_net *net);

/* ---- listen.c -------------------------------------------------------------------------------- */

enum ml_err ml_listen_open(struct ml_net *net, const char *host, uint16_t port,
                           struct ml_diag *diag, uint16_t *port_out) ML_MUST_CHECK;
void ml_listen_close(struct ml_net *net);
/** Go on accepting, if that was put off. */
void ml_listen_tick(struct ml_net *net);
/** One more from there; *address_out NULL: it is not to be counted. False: too many from there, or
 * no memory. */
bool ml_address_count(struct ml_net *net, const uint8_t ip[16], struct ml_address **address_out);
/** One connection less from there; NULL: it was not counted. */
void ml_address_drop(struct ml_shared *shared, struct ml_address *address, bool is_session);
/** A connection becomes a session. False: too many from there, nothing was changed. */
bool ml_address_promote(struct ml_net *net, struct ml_address *address);
/** And back. */
void ml_address_demote(struct ml_net *net, struct ml_address *address);

/* ---- http.c ---------------------------------------------------------------------------------- */

/** Takes the descriptor. @param address  counted already, or NULL. False: closed. */
bool ml_http_open(struct ml_net *net, int fd, const char *ip, struct ml_address *address);
/** A connection that another loop has read a request from: `in`. Takes descriptor and count. */
void ml_http_open_moved(struct ml_net *net, int fd, const char *ip, struct ml_address *address,
                        struct ml_slice in);
void ml_http_tick(struct ml_net *net);
/** All of them, now. */
void ml_http_close_all(struct ml_net *net);
/** The connection whose first request has been awaited for the longest time goes, if that is so
 * long.
 */
bool ml_http_evict(struct ml_net *net, uint64_t age_ms);

/* ---- session.c, session_*.c ------------------------------------------------------------------ */

extern const struct ml_transport_events ml_session_events;

/** y-websocket: a seat is asked for. What a session keeps of the request. */
struct ml_session_open {
    struct ml_slice org, name;
    const struct ml_identity *identity;
    const struct ml_grant *grant;
    const struct ml_asker *asker; /* as was asked; NULL: without a question */
    struct ml_address *address;   /* promoted; NULL: not counted */
    const char *ip;
};

/** @retval ML_EBUSY, ML_ELIMIT  nothing was made */
enum ml_err ml_session_open(struct ml_net *net, const struct ml_session_open *open,
                            struct ml_session **session_out) ML_MUST_CHECK;
/** Hocuspocus: no seat yet; the messages ask for them. Borrowed for the call. */
struct ml_collab_open {
    struct ml_slice org;
    struct ml_slice head; /* of the request, as it came */
    const char *ip;
    struct ml_address *address; /* promoted; NULL: not counted */
};
/** @retval ML_ELIMIT  nothing was made */
enum ml_err ml_session_open_collab(struct ml_net *net, const struct ml_collab_open *open,
                                   struct ml_session **session_out) ML_MUST_CHECK;
/** The socket is there (or, NULL, it is not: the session is gone then). */
void ml_session_attach(struct ml_session *session, struct ml_link *link);
void ml_session_flush_all(struct ml_net *net);
void ml_session_tick(struct ml_net *net);
void ml_session_close_all(struct ml_net *net, enum ml_close why);

#endif
