/* SPDX-License-Identifier: MIT */
/* Who asks, and what they may do, answered in HTTP. Private to net. */
#ifndef ML_NET_VISITOR_H
#define ML_NET_VISITOR_H

#include "net/ask.h"
#include "net/http.h"

/** Is this Host one of ours? Asked in open mode only, where the address is all that protects. */
bool ml_visitor_is_own_host(const struct ml_net *net, struct ml_slice host);
/** Does it come from this machine, and not through a proxy? */
bool ml_visitor_is_this_machine(const struct ml_http *http, const struct ml_head *head);
/** SEC-WS-01. No Origin: not a browser. */
bool ml_visitor_is_allowed_origin(const struct ml_net *net, const struct ml_head *head);
/** `org`: whose plugins are asked; empty: none is known. False: answered. */
bool ml_visitor_authenticate(struct ml_http *http, const struct ml_head *head, struct ml_slice org,
                             bool is_websocket, struct ml_arena *arena, struct ml_asker *visitor);
/**
 * As ml_ask_grant. False: answered. Not yours is the same 404 as not there (SEC-AZ-03).
 *
 * @param document  empty: the org as a whole
 */
bool ml_visitor_authorize(struct ml_http *http, struct ml_slice action, struct ml_slice org,
                          struct ml_slice document, struct ml_asker *visitor);

#endif
