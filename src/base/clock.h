/* SPDX-License-Identifier: MIT */
/* The only two questions about time. Rooms and the engine never ask: they are told. */
#ifndef ML_BASE_CLOCK_H
#define ML_BASE_CLOCK_H

#include <stdint.h>

/** Monotonic, for intervals. Its zero means nothing. */
uint64_t ml_clock_mono_ms(void);
/** Wall clock, milliseconds since 1970 UTC, for people and records. May jump. */
int64_t ml_clock_wall_ms(void);

#endif
