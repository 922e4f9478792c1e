/* SPDX-License-Identifier: MIT */
/* Times in ns, 16 steps a power of two (6 % wide at most), without keeping them. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 32
#define HISTOGRAM_SIZE  (HISTOGRAM_STEPS * 60)

struct histogram {
    uint64_t count, max_ns;
    uint64_t at[HISTOGRAM_SIZE];
};

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    unsigned power = ns < HISTOGRAM_STEPS ? 0 : 63u - (unsigned)__builtin_clzll(ns) - 4;
    unsigned at = power * HISTOGRAM_STEPS / 2 + (unsigned)(ns >> power);

    h->count++;
    h->at[at < HISTOGRAM_SIZE ? at : HISTOGRAM_SIZE - 1]++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

/** Upper edge of the step in which the quantile lies, 0 if there is nothing. */
static inline double histogram_ms(const struct histogram *h, double quantile)
{
    uint64_t want = (uint64_t)(quantile * (double)h->count), seen = 0;

    for (unsigned at = 0; at < HISTOGRAM_SIZE && h->count; at++) {
        unsigned power = at < HISTOGRAM_STEPS ? 0 : at * 2 / HISTOGRAM_STEPS - 1;

        seen += h->at[at];
        if (seen > want || seen == h->count)
            return (double)((uint64_t)(at - power * HISTOGRAM_STEPS / 2 + 1) << power) / 1e6;
    }
    return 0;
}

#endif
