/* SPDX-License-Identifier: MIT */
/* One table, one lock. A bucket that was forgotten begins full: what has to be forgotten is what
 * was not used for longest. */
#include "net/counts.h"

#include "base/assert.h"

#include <math.h>
#include <stdlib.h>

#define WAIT_MAX_MS 1e9

struct ml_count {
    struct ml_list node;
    struct ml_tokens tokens;
    uint64_t held;
    size_t len;
    uint8_t key[];
};

static void lock(struct ml_counts *counts)
{
    ML_ASSERT(pthread_mutex_lock(&counts->mutex) == 0);
}

static void unlock(struct ml_counts *counts)
{
    ML_ASSERT(pthread_mutex_unlock(&counts->mutex) == 0);
}

void ml_counts_init(struct ml_counts *counts)
{
    ML_ASSERT(pthread_mutex_init(&counts->mutex, NULL) == 0);
    ml_hashmap_init(&counts->by_key);
    ml_list_init(&counts->idle);
    counts->count = 0;
}

static void forget(struct ml_counts *counts, struct ml_count *count)
{
    (void)ml_hashmap_remove(&counts->by_key, ml_slice_make(count->key, count->len));
    ml_list_remove(&count->node);
    counts->count--;
    free(count);
}

void ml_counts_release(struct ml_counts *counts)
{
    while (!ml_list_is_empty(&counts->idle))
        forget(counts, ML_CONTAINER(counts->idle.next, struct ml_count, node));
    ml_hashmap_release(&counts->by_key);
    ML_ASSERT(pthread_mutex_destroy(&counts->mutex) == 0);
}

/* Of this name, at the end of the idle ones. NULL: no memory, or all are held. */
static struct ml_count *find(struct ml_counts *counts, struct ml_slice key)
{
    struct ml_count *count = ml_hashmap_get(&counts->by_key, key);

    if (count) {
        if (!count->held) {
            ml_list_remove(&count->node);
            ml_list_append(&counts->idle, &count->node);
        }
        return count;
    }
    if (counts->count >= ML_COUNTS_MAX) {
        if (ml_list_is_empty(&counts->idle))
            return NULL;
        forget(counts, ML_CONTAINER(counts->idle.next, struct ml_count, node));
    }
    count = calloc(1, sizeof *count + key.len);
    if (!count)
        return NULL;
    count->len = key.len;
    memcpy(count->key, key.ptr, key.len);
    if (!ml_hashmap_put(&counts->by_key, ml_slice_make(count->key, count->len), count)) {
        free(count);
        return NULL;
    }
    counts->count++;
    ml_list_append(&counts->idle, &count->node);
    return count;
}

uint64_t ml_tokens_pay(struct ml_tokens *t, uint64_t now_ms, double per_second, double burst,
                       double price)
{
    double wait_ms;

    if (price > burst && burst > 0)
        price = burst;
    if (!t->is_begun)
        *t = (struct ml_tokens){burst, now_ms, true};
    if (now_ms > t->at_ms) { /* clocks of loops differ by a turn */
        t->tokens += (double)(now_ms - t->at_ms) * per_second / 1000;
        t->at_ms = now_ms;
    }
    if (t->tokens > burst)
        t->tokens = burst;
    if (t->tokens >= price) {
        t->tokens -= price;
        return 0;
    }
    wait_ms = per_second > 0 ? ceil((price - t->tokens) * 1000 / per_second) : WAIT_MAX_MS;
    return wait_ms < WAIT_MAX_MS ? (uint64_t)wait_ms : (uint64_t)WAIT_MAX_MS;
}

uint64_t ml_counts_pay(struct ml_counts *counts, struct ml_slice key, uint64_t now_ms,
                       double per_second, double burst, double price)
{
    struct ml_count *count;
    uint64_t wait_ms = 0;

    lock(counts);
    count = find(counts, key);
    if (count)
        wait_ms = ml_tokens_pay(&count->tokens, now_ms, per_second, burst, price);
    unlock(counts);
    return wait_ms;
}

struct ml_count *ml_counts_enter(struct ml_counts *counts, struct ml_slice key, uint64_t max,
                                 uint64_t *count_out)
{
    struct ml_count *count;

    lock(counts);
    count = find(counts, key);
    *count_out = count ? count->held : 0;
    if (count && count->held >= max) {
        count = NULL;
    } else if (count) {
        if (!count->held++)
            ml_list_remove(&count->node);
    }
    unlock(counts);
    return count;
}

void ml_counts_leave(struct ml_counts *counts, struct ml_count *count)
{
    if (!count)
        return;
    lock(counts);
    if (!--count->held)
        ml_list_append(&counts->idle, &count->node);
    unlock(counts);
}
