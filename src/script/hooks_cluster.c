/* SPDX-License-Identifier: MIT */
/* cluster_event: other nodes come and go, the bus fails and is back, this node stops. */
#include "script/round.h"
#include "script/tell.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const kinds[] = {
    [ML_CLUSTER_NODE_UP] = "node_up",           [ML_CLUSTER_NODE_DOWN] = "node_down",
    [ML_CLUSTER_BUS_DEGRADED] = "bus_degraded", [ML_CLUSTER_BUS_OK] = "bus_ok",
    [ML_CLUSTER_DRAINING] = "draining",
};

static void push_event(lua_State *L, const struct ml_handler *handler, const void *subject)
{
    static const char *const fields[] = {"kind", "node", NULL};
    const struct ml_cluster_event *event = subject;
    char node[20];

    (void)handler;
    (void)snprintf(node, sizeof node, "%016" PRIx64, event->node);
    lua_createtable(L, 0, 2);
    ml_round_text(L, "kind", ml_slice_str(kinds[event->kind]));
    if (event->node)
        ml_round_text(L, "node", ml_slice_str(node));
    ml_round_seal(L, "e", fields);
}

void ml_script_tell_cluster(struct ml_script *script, const struct ml_cluster_event *event)
{
    ml_tell(script,
            &(struct ml_telling){.hook = HOOK_CLUSTER_EVENT, .push = push_event, .subject = event});
}
