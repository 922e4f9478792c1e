/* SPDX-License-Identifier: MIT */
/*
 * Turns to write to a document for somebody who has no replica: the server writes as a Yjs client
 * of its own. A document keeps every client id it ever saw. So all turns at one document share an
 * id for as long as somebody takes them, and come one after the other: the next one reads what the
 * one before has committed, so the clocks of the id never meet. When it is not known whether one
 * was committed, those after it get a new id. Private to net.
 */
#ifndef ML_NET_LANE_H
#define ML_NET_LANE_H

#include "net/net.h"

struct ml_lane;

struct ml_turn {
    /* request: in the run, read, and write as `client` */
    void (*run)(struct ml_turn *turn, ml_client_id client);
    /* private */
    struct ml_list node;
    struct ml_net *net;
    struct ml_lane *lane; /* NULL: it is over, or was never taken */
};

/** Wait for it; it may come inside this call, and has to be ended. False: too many wait, or there
 * is no memory. */
bool ml_turn_take(struct ml_net *net, struct ml_slice org, struct ml_slice name,
                  struct ml_turn *turn) ML_MUST_CHECK;
/** What was written is committed, or nothing was; or, with `is_known` false, nobody knows. The next
 * one may run inside this call. Fine if it is over. */
void ml_turn_end(struct ml_turn *turn, bool is_known);

/** Client ids that were not used for a while, or all that nobody uses now. */
void ml_lanes_drop(struct ml_net *net, bool all);

#endif
