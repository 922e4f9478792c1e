/* SPDX-License-Identifier: MIT */
/* Which lines of plugins ran, for `moonloom plugin test --coverage`. Part of script.h. */
#ifndef ML_SCRIPT_COVERAGE_H
#define ML_SCRIPT_COVERAGE_H

#include <stdint.h>

/** From now on every line of a plugin that runs is counted, in all states of this process: calls
 * are slower by far and have ten times the time. For one thread; never in a server. */
void ml_coverage_start(void);
/** Every line that ran: file as "NAME/init.lua". */
void ml_coverage_each(void (*fn)(void *arg, const char *file, unsigned line, uint32_t count),
                      void *arg);

#endif
