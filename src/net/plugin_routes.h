/* SPDX-License-Identifier: MIT */
/* What plugins answer themselves. Private to net. */
#ifndef ML_NET_PLUGIN_ROUTES_H
#define ML_NET_PLUGIN_ROUTES_H

#include "net/http.h"

struct ml_call;

/** Everything below /x/. */
void ml_plugin_route(struct ml_http *http, const struct ml_head *head);
/** POST …/rpc/{id} */
void ml_api_rpc(struct ml_call *call);

#endif
