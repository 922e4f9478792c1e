/* SPDX-License-Identifier: MIT */
/*
 * How long something took, as counts per ceiling: what a person asks about latencies later ("how
 * many took longer than 50 ms?") without keeping each. Plain fields; it belongs to one thread.
 */
#ifndef ML_BASE_HISTOGRAM_H
#define ML_BASE_HISTOGRAM_H

#include <stdint.h>

#define ML_HISTOGRAM_CEILINGS 13

/** Ceilings in microseconds, ascending. */
extern const uint64_t ml_histogram_ceilings_us[ML_HISTOGRAM_CEILINGS];

struct ml_histogram {
    uint64_t counts[ML_HISTOGRAM_CEILINGS + 1]; /* [i]: up to ceiling i and over the one before */
    uint64_t sum_us;
};

void ml_histogram_add(struct ml_histogram *histogram, uint64_t took_us);
/** `from` counts in `into` as well. */
void ml_histogram_merge(struct ml_histogram *into, const struct ml_histogram *from);
uint64_t ml_histogram_count(const struct ml_histogram *histogram);

#endif
