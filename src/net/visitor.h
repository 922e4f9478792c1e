/* SPDX-License-Identifier: MIT */
/* Who asks, and what they may do, answered in HTTP. Private to net. */
#ifndef ML_NET_VISITOR_H
#define ML_NET_VISITOR_H

#include "net/ask.h"
#include "net/http.h"

/** Is this Host one of ours? Asked in open mode only, where the address is all that protects. */
/** localhost, 127.0.0.1 or [::1], with or without a port. */
bool ml_visitor_is_loopback_host(struct ml_slice host);
bool ml_visitor_is_own_host(const struct ml_net *net, struct ml_slice host);
/** Does it come from this machine, and not through a proxy? */
bool ml_visitor_is_this_machine(const struct ml_http *http, const struct ml_head *head);
/** SEC-WS-01. No Origin: not a browser. */
bool ml_visitor_is_allowed_origin(const struct ml_net *net, const struct ml_head *head);
/** Does the Origin stand in the list as it is? Patterns do not count. */
bool ml_visitor_is_listed_exactly(const struct ml_net *net, const struct ml_head *head);
/** The head for a question that may have to wait: in the arena, if plugins may wait at all. NULL:
 * no memory. */
const struct ml_head *ml_visitor_keep_head(const struct ml_http *http, const struct ml_head *head,
                                           struct ml_arena *arena);
/** What became of the question. False: it is a no, and answered. Not yours is the same 404 as not
 * there (SEC-AZ-03). */
bool ml_visitor_judge(struct ml_http *http, const struct ml_ask *ask);

/** A question of a request that has no call of its own (api.h). */
struct ml_visit {
    struct ml_http *http;
    const struct ml_head *head; /* lasts as long as the visit */
    struct ml_arena arena;
    struct ml_asker asker;
    struct ml_ask ask;
    struct ml_slice org, name;            /* of whoever asks; in the arena */
    struct ml_slice raw;                  /* the head as it came, for who needs it; likewise */
    void (*then)(struct ml_visit *visit); /* allowed: answers */
};
/** NULL: answered, there is no memory. */
struct ml_visit *ml_visit_new(struct ml_http *http, const struct ml_head *head,
                              void (*then)(struct ml_visit *visit));
/** For one that was not asked. */
void ml_visit_free(struct ml_visit *visit);
/** Ask visit->ask; then answer no, or run `then`. The visit ends in any case, and also with the
 * connection. */
void ml_visit_ask(struct ml_visit *visit);

#endif
