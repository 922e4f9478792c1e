/* SPDX-License-Identifier: MIT */
/*
 * One loop's WebSocket transport, small enough to be replaced: adopt a socket whose request was
 * read and judged already, hand over pieces of messages, write finished frames. Implemented in
 * lws.c, the only file that knows libwebsockets.
 *
 * Everything runs on the loop's thread. No function calls an event before it returns, except
 * ml_transport_stop.
 */
#ifndef ML_NET_WIRE_H
#define ML_NET_WIRE_H

#include "base/err.h"
#include "base/slice.h"
#include "net/ws.h"

#include <uv.h>

struct ml_transport;
struct ml_link; /* one WebSocket connection */

/** `session` is what was given to ml_transport_adopt. No event comes after `closed`. */
struct ml_transport_events {
    void (*piece)(void *session, const struct ml_ws_piece *piece);
    void (*writable)(void *session); /* once after ml_link_want_writable */
    void (*pong)(void *session);
    /** A close frame came. True: it answers ours, and nothing follows it (RFC 6455, 5.5.1: browsers
     * take a second one for a broken line, and forget the code of the first). */
    bool (*is_answer)(void *session);
    void (*closed)(void *session); /* the link is gone */
};

/** Set RLIMIT_NOFILE before: tables are sized from it. `events` is copied. */
enum ml_err ml_transport_open(uv_loop_t *loop, const struct ml_transport_events *events,
                              struct ml_diag *diag, struct ml_transport **wire_out) ML_MUST_CHECK;
/** Drops every link without a word: `closed` is called for each before this returns. */
void ml_transport_stop(struct ml_transport *wire);
/** After a stop and ML_WIRE_TURNS turns of the loop, in which its handles have closed. */
void ml_transport_free(struct ml_transport *wire);
#define ML_WIRE_TURNS 5

/** What the answer 101 needs from the request. */
struct ml_upgrade {
    struct ml_slice key;      /* Sec-WebSocket-Key, 24 characters */
    struct ml_slice protocol; /* to be echoed; empty: none */
};

/** Longest sub-protocol that can be echoed. */
#define ML_UPGRADE_PROTOCOL_MAX 512

/** Takes the descriptor in every case. NULL: it was closed. */
struct ml_link *ml_transport_adopt(struct ml_transport *wire, int fd,
                                   const struct ml_upgrade *upgrade, void *session);

/** Does the kernel still owe us a part of the last write? Then wait for `writable`. */
bool ml_link_is_blocked(struct ml_link *link);
/** Complete frames. Not from inside `piece`. False: the connection is dead, `closed` will come. */
bool ml_link_write(struct ml_link *link, struct ml_slice frames);
void ml_link_want_writable(struct ml_link *link);
/** Stop or go on reading. Not from inside `piece`. */
void ml_link_read(struct ml_link *link, bool on);
/** End it without a word; `closed` comes later, from the loop. */
void ml_link_cut(struct ml_link *link);

#endif
