/* SPDX-License-Identifier: MIT */
/*
 * Which nodes were deleted lately, by which transaction, and what went with them: so that a write
 * that arrives too late finds where it belonged. The content itself is kept by a ml_history.
 *
 * A transaction that deletes more than a grave holds has none: its writers have lost.
 */
#include "engine/past.h"

#include <stdlib.h>

#define NODES_MAX  256
#define RANGES_MAX 4096

static void release(struct ml_grave *grave)
{
    free(grave->nodes);
    free(grave->ranges);
    *grave = (struct ml_grave){0};
}

static void drop_oldest(struct ml_past *past)
{
    release(&past->graves[past->grave_first]);
    past->grave_first = (past->grave_first + 1) % ML_PAST_GRAVES;
    past->grave_count--;
}

void ml_past_release_graves(struct ml_past *past)
{
    while (past->grave_count)
        drop_oldest(past);
    release(&past->open);
}

static bool reserve(void **at, uint32_t count, uint32_t *cap, size_t each_bytes)
{
    uint32_t more = *cap ? *cap * 2 : 8;
    void *grown;

    if (count < *cap)
        return true;
    grown = realloc(*at, more * each_bytes);
    if (!grown)
        return false;
    *at = grown;
    *cap = more;
    return true;
}

bool ml_past_push(uint32_t **at, uint32_t *count, uint32_t *cap, uint32_t value)
{
    void *grown = *at;
    bool ok = reserve(&grown, *count, cap, sizeof **at);

    *at = grown;
    if (ok)
        (*at)[(*count)++] = value;
    return ok;
}

bool ml_past_bury_node(struct ml_past *past, const struct ml_id *node)
{
    struct ml_grave *open = &past->open;
    void *nodes = open->nodes;
    bool ok = reserve(&nodes, open->node_count, &open->node_cap, sizeof *node);

    open->nodes = nodes;
    if (ok && open->node_count < NODES_MAX)
        open->nodes[open->node_count++] = *node;
    return ok;
}

bool ml_past_bury_range(struct ml_past *past, const struct ml_wire_range *range)
{
    struct ml_grave *open = &past->open;
    void *ranges = open->ranges;
    bool ok;

    if (open->range_count > RANGES_MAX)
        return true;
    ok = reserve(&ranges, open->range_count, &open->range_cap, sizeof *range);
    open->ranges = ranges;
    if (ok)
        open->ranges[open->range_count++] = *range;
    return ok;
}

static int by_unit(const void *pa, const void *pb)
{
    const struct ml_wire_range *a = pa, *b = pb;

    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

bool ml_past_close_grave(struct ml_past *past, uint64_t tag)
{
    struct ml_grave grave = past->open;

    past->open = (struct ml_grave){0};
    if (grave.range_count > RANGES_MAX) {
        release(&grave);
        return true;
    }
    qsort(grave.ranges, grave.range_count, sizeof *grave.ranges, by_unit);
    grave.tag = tag;
    if (past->grave_count == ML_PAST_GRAVES)
        drop_oldest(past);
    past->graves[(past->grave_first + past->grave_count++) % ML_PAST_GRAVES] = grave;
    return true;
}

static struct ml_id *find(const struct ml_past *past, const struct ml_id *node,
                          const struct ml_grave **grave_out)
{
    for (uint32_t n = past->grave_count; n-- > 0;) {
        const struct ml_grave *grave = &past->graves[(past->grave_first + n) % ML_PAST_GRAVES];

        for (uint32_t i = 0; i < grave->node_count; i++) {
            if (grave->nodes[i].client == node->client && grave->nodes[i].clock == node->clock) {
                *grave_out = grave;
                return &grave->nodes[i];
            }
        }
    }
    return NULL;
}

const struct ml_grave *ml_past_grave(const struct ml_past *past, const struct ml_id *node)
{
    const struct ml_grave *grave = NULL;

    (void)find(past, node, &grave);
    return grave;
}

void ml_past_unbury(struct ml_past *past, const struct ml_id *node)
{
    const struct ml_grave *grave;
    struct ml_id *at = find(past, node, &grave);

    if (at)
        *at = (struct ml_id){UINT64_MAX, UINT64_MAX}; /* no unit has this id */
}

void ml_past_forget_nodes(struct ml_past *past, uint64_t tag)
{
    while (past->grave_count && past->graves[past->grave_first].tag <= tag)
        drop_oldest(past);
}
