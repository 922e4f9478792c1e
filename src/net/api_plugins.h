/* SPDX-License-Identifier: MIT */
/* Calls that wait for the operator's answer. Private to net. */
#ifndef ML_NET_API_PLUGINS_H
#define ML_NET_API_PLUGINS_H

struct ml_call;
struct ml_net;

void ml_api_plugins_list(struct ml_call *call);
void ml_api_plugins_reload(struct ml_call *call);
void ml_api_plugins_trace(struct ml_call *call);
void ml_api_plugins_why(struct ml_call *call);
void ml_api_plugins_tick(struct ml_net *net);

#endif
