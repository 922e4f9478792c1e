/* SPDX-License-Identifier: MIT */
/* /metrics. Private to net. */
#ifndef ML_NET_METRICS_H
#define ML_NET_METRICS_H

#include "net/http.h"

/** Leaves a copy of this loop's counts with the others, once a second. */
void ml_metrics_tick(struct ml_net *net);
/** The same for what plugins did on this loop. metrics_plugins.c */
void ml_metrics_publish_plugins(struct ml_net *net);
/** Print what they did, the sum over all loops. */
void ml_metrics_write_plugins(struct ml_net *net, struct ml_writer *out);
/** Does a loop's bus not hear itself? As of the last second. */
bool ml_metrics_bus_is_sick(struct ml_net *net);
/** The sum over all loops; 403 to other machines, and to what came through a proxy. */
void ml_metrics_answer(struct ml_http *http, const struct ml_head *head);

#endif
