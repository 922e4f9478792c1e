/* SPDX-License-Identifier: MIT */
/* /metrics. Private to net. */
#ifndef ML_NET_METRICS_H
#define ML_NET_METRICS_H

#include "net/http.h"

/** Leaves a copy of this loop's counts with the others, once a second. */
void ml_metrics_tick(struct ml_net *net);
/** Does a loop's bus not hear itself? As of the last second. */
bool ml_metrics_bus_is_sick(struct ml_net *net);
/** The sum over all loops; 403 to other machines, and to what came through a proxy. */
void ml_metrics_answer(struct ml_http *http, const struct ml_head *head);

#endif
