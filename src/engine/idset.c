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

/* Does `a` stand before `b` in a normalized set? */
static bool is_before(const struct ml_wire_range *a, const struct ml_wire_range *b)
{
    return a->client != b->client ? a->client > b->client : a->clock <= b->clock;
}

bool ml_idset_merge(struct ml_idset *to, const struct ml_idset *from)
{
    size_t i = to->count, j = from->count, k = i + j, first;

    if (k > to->cap) {
        size_t cap = k > 2 * to->cap ? k : 2 * to->cap;
        void *grown = realloc(to->ranges, cap * sizeof *to->ranges);

        if (!grown)
            return false;
        to->ranges = grown;
        to->cap = cap;
    }
    to->count = k;
    while (j) /* from the end: what lies before the first new range does not move */
        to->ranges[--k] = i && !is_before(&to->ranges[i - 1], &from->ranges[j - 1])
                              ? to->ranges[--i]
                              : from->ranges[--j];
    first = k ? k - 1 : 0;
    to->count = first + ml_wire_normalize_ranges(to->ranges + first, to->count - first);
    return true;
}

size_t ml_idset_find(const struct ml_idset *set, ml_client_id client)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->ranges[middle].client > client)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void ml_idset_release(struct ml_idset *set)
{
    free(set->ranges);
    *set = (struct ml_idset){0};
}
