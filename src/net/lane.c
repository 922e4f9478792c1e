/* SPDX-License-Identifier: MIT */
/* One lane per document that is written so: a client id, and who waits. */
#include "net/lane.h"

#include "base/assert.h"
#include "base/list.h"
#include "net/live.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LANE_IDLE_MS (5 * 60 * 1000)
#define LANE_MAX     64 /* turns that are waited for in one */

struct ml_lane {
    struct ml_slice key; /* org NUL name, in `text` */
    ml_client_id client;
    struct ml_list waiting; /* ml_turn.node */
    size_t count;           /* of them, the running one included */
    bool is_running;
    uint64_t used_ms;
    uint8_t text[];
};

static ml_client_id random_client(void)
{
    ml_client_id client = 0;

    ML_ASSERT(getrandom(&client, sizeof client, 0) == (ssize_t)sizeof client);
    return (client & UINT32_MAX) | 1; /* as wide as the ids of Yjs 13 */
}

static struct ml_lane *find_lane(struct ml_net *net, struct ml_slice org, struct ml_slice name)
{
    struct ml_lane *lane = calloc(1, sizeof *lane + org.len + 1 + name.len);
    struct ml_lane *found;

    if (!lane)
        return NULL;
    memcpy(lane->text, org.ptr, org.len);
    memcpy(lane->text + org.len + 1, name.ptr, name.len);
    lane->key = ml_slice_make(lane->text, org.len + 1 + name.len);
    found = ml_hashmap_get(&net->ops_lanes, lane->key);
    if (!found && ml_hashmap_put(&net->ops_lanes, lane->key, lane)) {
        ml_list_init(&lane->waiting);
        lane->client = random_client();
        return lane;
    }
    free(lane);
    return found;
}

void ml_lanes_drop(struct ml_net *net, bool all)
{
    bool again = true;

    while (again) {
        size_t cursor = 0;
        void *value;

        again = false;
        while (!again && ml_hashmap_next(&net->ops_lanes, &cursor, &value)) {
            struct ml_lane *lane = value;

            if (lane->count || (!all && ml_net_now(net) - lane->used_ms < LANE_IDLE_MS))
                continue;
            (void)ml_hashmap_remove(&net->ops_lanes, lane->key);
            free(lane);
            again = true; /* the walk does not survive a change */
        }
    }
}

static void run_next(struct ml_lane *lane)
{
    struct ml_list *node = lane->is_running ? NULL : ml_list_take_first(&lane->waiting);
    struct ml_turn *turn;

    if (!node)
        return;
    turn = ML_CONTAINER(node, struct ml_turn, node);
    lane->is_running = true;
    turn->run(turn, lane->client);
}

bool ml_turn_take(struct ml_net *net, struct ml_slice org, struct ml_slice name,
                  struct ml_turn *turn)
{
    struct ml_lane *lane = find_lane(net, org, name);

    turn->lane = NULL;
    if (!lane || lane->count >= LANE_MAX)
        return false;
    turn->net = net;
    turn->lane = lane;
    lane->used_ms = ml_net_now(net);
    lane->count++;
    ml_list_append(&lane->waiting, &turn->node);
    run_next(lane);
    return true;
}

void ml_turn_end(struct ml_turn *turn, bool is_known)
{
    struct ml_lane *lane = turn->lane;

    if (!lane)
        return;
    turn->lane = NULL;
    if (!is_known)
        lane->client = random_client();
    lane->count--;
    lane->is_running = false;
    lane->used_ms = ml_net_now(turn->net);
    run_next(lane);
}
