/* SPDX-License-Identifier: MIT */
/*
 * Whose request it is. The address at the other end of a connection is the client's, unless it is
 * one of the proxies that are listed: then it is the one that they say (SEC-CK-02). Private to net.
 */
#ifndef ML_NET_PEER_H
#define ML_NET_PEER_H

#include "net/http.h"

/** Is it one of the listed proxies? @param ip  IPv4 as ::ffff:a.b.c.d */
bool ml_peer_is_proxy(const struct ml_net *net, const uint8_t ip[16]);
/** For every request, before it is looked at: http->ip, and who is counted for the connection.
 * False: too many from there; answered. */
bool ml_peer_take(struct ml_http *http, const struct ml_head *head);

#endif
