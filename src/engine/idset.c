/* SPDX-License-Identifier: MIT */
/*
 * Sets of units: collected in any order, then sorted and joined once. What a document knows of
 * deletions it knows from its runs; sets exist only for what is on its way.
 */
#include "engine/item.h"

#include <stdlib.h>

bool ml_idset_add(struct ml_idset *set, ml_client_id client, uint64_t clock, uint64_t len)
{
    struct ml_wire_range *last = set->count ? &set->ranges[set->count - 1] : NULL;

    if (last && last->client == client && last->clock + last->len == clock) {
        last->len += len;
        return true;
    }
    if (set->count == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 8;
        void *grown = realloc(set->ranges, cap * sizeof *set->ranges);

        if (!grown)
            return false;
        set->ranges = grown;
        set->cap = cap;
    }
    set->ranges[set->count++] = (struct ml_wire_range){client, clock, len};
    return true;
}

void ml_idset_normalize(struct ml_idset *set)
{
    set->count = ml_wire_normalize_ranges(set->ranges, set->count);
}

void ml_idset_release(struct ml_idset *set)
{
    free(set->ranges);
    *set = (struct ml_idset){0};
}
