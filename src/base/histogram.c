/* SPDX-License-Identifier: MIT */
#include "base/histogram.h"

const uint64_t ml_histogram_ceilings_us[ML_HISTOGRAM_CEILINGS] = {
    100, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000};

void ml_histogram_add(struct ml_histogram *histogram, uint64_t took_us)
{
    int i = 0;

    while (i < ML_HISTOGRAM_CEILINGS && took_us > ml_histogram_ceilings_us[i])
        i++;
    histogram->counts[i]++;
    histogram->sum_us += took_us;
}

void ml_histogram_merge(struct ml_histogram *into, const struct ml_histogram *from)
{
    for (int i = 0; i <= ML_HISTOGRAM_CEILINGS; i++)
        into->counts[i] += from->counts[i];
    into->sum_us += from->sum_us;
}

uint64_t ml_histogram_count(const struct ml_histogram *histogram)
{
    uint64_t count = 0;

    for (int i = 0; i <= ML_HISTOGRAM_CEILINGS; i++)
        count += histogram->counts[i];
    return count;
}
