/* SPDX-License-Identifier: MIT */
/*
 * Who asks, and what may they do: the questions to the plugins, without the words in which a "no"
 * is answered (an HTTP status, a frame). Private to net.
 */
#ifndef ML_NET_ASK_H
#define ML_NET_ASK_H

#include "net/head.h"
#include "net/live.h"

/** Somebody who asks. Slices borrow from head and arena. */
struct ml_asker {
    struct ml_identity identity;
    struct ml_script_identity facts;
    struct ml_grant grant;
    bool is_known; /* a plugin knows the credential; false: a guest, or nobody */
};

/** A "no" that a plugin put into words; empty slices: it has none. */
struct ml_refusal {
    bool is_spoken;
    unsigned status; /* 400 … 599; 0: none given */
    struct ml_slice code, reason;
};

/** What the client brings. */
struct ml_request_source {
    struct ml_slice org;        /* whose plugins are asked; empty: none is known */
    const struct ml_head *head; /* not looked at unless ml_ask_needs_head */
    struct ml_slice ip;
    struct ml_slice token; /* of the protocol; empty: what the request has (bearer, query) */
    bool is_websocket;     /* a guest of open mode then is a person of its own, with a cursor */
};

/** The facts of a request, for Lua. Slices borrow from source and arena. False: the query of the
 * address cannot be read. */
bool ml_ask_request(const struct ml_request_source *source, struct ml_arena *arena,
                    struct ml_script_request *out);
/** Where the hooks of this org and document (empty: any) run; NULL: nobody has anything to say. Ask
 * each time: it is good until control is back in the loop. */
struct ml_script *ml_net_script(const struct ml_net *net, struct ml_slice org,
                                struct ml_slice document);
/** Is the head of the request of any use to ml_ask_identity? */
bool ml_ask_needs_head(const struct ml_net *net);
/**
 * @retval ML_EDENIED  *refusal_out says why
 * @retval ML_EFORMAT  the query of the address cannot be read
 * @retval ML_ESCRIPT  a plugin failed: try again
 */
enum ml_err ml_ask_identity(struct ml_net *net, const struct ml_request_source *source,
                            struct ml_arena *arena, struct ml_asker *asker_out,
                            struct ml_refusal *refusal_out) ML_MUST_CHECK;
/**
 * Plugins decide; where none has an opinion, open mode makes everybody an editor of org "default".
 * @retval ML_EDENIED    not this document, or not to read
 * @retval ML_ENOTFOUND  nobody has an opinion: it is as if it were not there (SEC-AZ-03)
 * @retval ML_ESCRIPT    a plugin failed: try again
 */
enum ml_err ml_ask_grant(struct ml_net *net, struct ml_slice action, struct ml_slice org,
                         struct ml_slice document, struct ml_arena *arena, struct ml_asker *asker,
                         struct ml_refusal *refusal_out) ML_MUST_CHECK;

#endif
