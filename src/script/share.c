/* SPDX-License-Identifier: MIT */
/*
 * Time in Lua is taken out of the org's bucket after every call, so a single one is bounded by its
 * deadline, and many by the share. An org whose bucket is dry gets a tenth of the deadline for
 * hooks that do not wait; calls that may wait stay in their queue until something has flowed in.
 *
 * The bucket may be overdrawn by one call. It is used again when a hundredth of it is there, so
 * that a call that was queued finds more than a moment.
 */
#include "script/share.h"

#include <time.h>

#define SPAN_US 10000000

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void ml_share_init(struct ml_share *share, double rate)
{
    *share = (struct ml_share){.rate = rate, .left_us = (int64_t)(rate * SPAN_US)};
    share->filled_us = now_us();
}

static void fill(struct ml_share *share, uint64_t now)
{
    int64_t most = (int64_t)(share->rate * SPAN_US);

    share->left_us += (int64_t)((double)(now - share->filled_us) * share->rate);
    if (share->left_us > most)
        share->left_us = most;
    share->filled_us = now;
    if (share->is_empty && share->left_us >= most / 100)
        share->is_empty = false;
}

void ml_share_begin(struct ml_share *share)
{
    share->began_us = now_us();
}

void ml_share_end(struct ml_share *share)
{
    uint64_t now = now_us();

    share->took_us = now - share->began_us;
    if (share->rate <= 0)
        return;
    fill(share, now);
    share->left_us -= (int64_t)share->took_us;
    if (share->left_us <= 0 && !share->is_empty) {
        share->is_empty = true;
        share->emptied++;
    }
}

bool ml_share_is_empty(struct ml_share *share)
{
    if (share->is_empty)
        fill(share, now_us());
    return share->is_empty;
}
