/* SPDX-License-Identifier: MIT */
/* What plugins answer themselves. Private to net. */
#ifndef ML_NET_PLUGIN_ROUTES_H
#define ML_NET_PLUGIN_ROUTES_H

#include "net/http.h"

struct ml_call;

/** Is it an address of plugins: below /x/, or below /api/v1/orgs/ORG/x/? */
bool ml_plugin_route_is(struct ml_slice path);
/** Everything there. */
void ml_plugin_route(struct ml_http *http, const struct ml_head *head);
/** POST …/rpc/{id} */
void ml_api_rpc(struct ml_call *call);

#endif
