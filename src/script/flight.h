/* SPDX-License-Identifier: MIT */
/*
 * What hooks were asked lately, and what came of it (plugin-api 16). Part of script.h.
 *
 * Kept of an org on one loop: the calls that were slow, failed or were denied, the last 32 of each
 * hook, and of what they were asked what is needed to ask it again. While somebody watches, all
 * calls.
 */
#ifndef ML_SCRIPT_FLIGHT_H
#define ML_SCRIPT_FLIGHT_H

#include "base/codec.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct ml_flight;

/** Which of them. Empty texts: all. */
struct ml_flight_filter {
    struct ml_slice hook, verdict, document, plugin;
    uint64_t after_us, until_us; /* of the wall clock: after_us < at <= until_us */
};

#endif
