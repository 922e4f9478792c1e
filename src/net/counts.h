/* SPDX-License-Identifier: MIT */
/*
 * What the connections of a node use together, by user, address or org: rates (token buckets) and
 * how many there are. Thread-safe; of the hub. The time is told. Private to net.
 */
#ifndef ML_NET_COUNTS_H
#define ML_NET_COUNTS_H

#include "base/hashmap.h"
#include "base/list.h"

#include <pthread.h>

#define ML_COUNTS_MAX     65536 /* names; above, the one that was not used for longest goes */
#define ML_COUNTS_KEY_MAX 640

/** Tokens that come back with time. Begins as zeroes, and full. */
struct ml_tokens {
    double tokens;
    uint64_t at_ms;
    bool is_begun;
};

/**
 * Take `price` of them; what costs more than there can be empties it. A price below zero gives
 * back.
 * @return 0: taken; else how many milliseconds until there is enough (at least 1)
 */
uint64_t ml_tokens_pay(struct ml_tokens *tokens, uint64_t now_ms, double per_second, double burst,
                       double price);

struct ml_count; /* one name */

struct ml_counts {
    pthread_mutex_t mutex;
    struct ml_hashmap by_key;
    struct ml_list idle; /* not held, the one that was used last at the end */
    size_t count;
};

void ml_counts_init(struct ml_counts *counts);
/** Nobody holds one. */
void ml_counts_release(struct ml_counts *counts);

/** The same with the bucket of a name. Without memory: 0. */
uint64_t ml_counts_pay(struct ml_counts *counts, struct ml_slice key, uint64_t now_ms,
                       double per_second, double burst, double price);
/** One more of them, if there are less than `max`. NULL: there are not (or no memory). */
struct ml_count *ml_counts_enter(struct ml_counts *counts, struct ml_slice key, uint64_t max,
                                 uint64_t *count_out);
/** NULL is fine. */
void ml_counts_leave(struct ml_counts *counts, struct ml_count *count);

#endif
