/* SPDX-License-Identifier: MIT */
/*
 * What plugins tell themselves on other nodes (ml.cluster), carried over the bus of loop 0, and
 * which nodes there are.
 */
#ifndef ML_SERVER_CARRIER_H
#define ML_SERVER_CARRIER_H

#include "bus/bus.h"

struct ml_loop;

/* Loops of a node count on from its id. */
#define ML_NODE_LOOPS 64

/** Of loop 0, once its bus is open. */
void ml_carrier_begin(struct ml_loop *loop);
/** Of loop 0, at every tick while it serves. */
void ml_carrier_tick(struct ml_loop *loop);
/** ML_NEWS_MESSAGE. */
void ml_carrier_heard(struct ml_loop *loop, const struct ml_news *news);

#endif
