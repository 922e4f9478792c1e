/* SPDX-License-Identifier: MIT */
/*
 * What the loops of one process share: an inbox each, and the few counts that are of the node and
 * not of a loop. Private to net, but for the functions in net.h.
 */
#ifndef ML_NET_HUB_H
#define ML_NET_HUB_H

#include "base/hashmap.h"
#include "net/counts.h"
#include "net/doubts.h"
#include "net/facts.h"
#include "net/net.h"

#include <pthread.h>

#define ML_LOOPS_MAX 64

/** What one loop has counted: nothing but 64-bit counts, see metrics.c. */
struct ml_figures {
    struct ml_net_stats net;
    struct ml_rooms_stats rooms;
    struct ml_script_stats script;
    uint64_t calls, outbox_bytes;
};

/** What became of the calls of plugins on one loop, as it left it. */
struct ml_plugin_figures {
    struct ml_hook_row *rows; /* owned */
    size_t count;
};

struct ml_shared {
    pthread_mutex_t mutex;
    struct ml_hashmap addresses;                    /* under the mutex: ip → ml_address */
    struct ml_figures figures[ML_LOOPS_MAX];        /* under the mutex: as each loop left them */
    struct ml_plugin_figures plugins[ML_LOOPS_MAX]; /* under the mutex: metrics_plugins.c */
    struct ml_counts counts;                        /* limit.c */
    _Atomic uint32_t sessions;
    _Atomic bool is_ready;
    _Atomic bool has_purges; /* maybe: purge.c looks */
    struct ml_doubts doubts;
    struct ml_facts *facts; /* NULL: no memory for it */
    uint32_t tag;           /* random: of the lines that this node writes (revoked.c) */
};

void ml_shared_init(struct ml_shared *shared);
void ml_shared_release(struct ml_shared *shared);

struct ml_shared *ml_hub_shared(struct ml_hub *hub);
/** The net of that loop, on its thread; NULL: it has ended. */
struct ml_net *ml_hub_net(struct ml_hub *hub, unsigned loop);
void ml_hub_set_net(struct ml_hub *hub, unsigned loop, struct ml_net *net);
unsigned ml_hub_loops(const struct ml_hub *hub);

#endif
