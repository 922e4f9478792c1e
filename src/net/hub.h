/* SPDX-License-Identifier: MIT */
/*
 * What the loops of one process share: an inbox each, and the few counts that are of the node and
 * not of a loop. Private to net, but for the functions in net.h.
 */
#ifndef ML_NET_HUB_H
#define ML_NET_HUB_H

#include "base/hashmap.h"
#include "net/net.h"

#include <pthread.h>

struct ml_shared {
    pthread_mutex_t mutex;
    struct ml_hashmap addresses; /* under the mutex: ip → ml_address */
    _Atomic uint32_t sessions;
    _Atomic bool is_ready;
};

void ml_shared_init(struct ml_shared *shared);
void ml_shared_release(struct ml_shared *shared);

struct ml_shared *ml_hub_shared(struct ml_hub *hub);
/** The net of that loop, on its thread; NULL: it has ended. */
struct ml_net *ml_hub_net(struct ml_hub *hub, unsigned loop);
void ml_hub_set_net(struct ml_hub *hub, unsigned loop, struct ml_net *net);
unsigned ml_hub_loops(const struct ml_hub *hub);

#endif
