/* SPDX-License-Identifier: MIT */
#ifndef ML_SERVER_WIRING_H
#define ML_SERVER_WIRING_H

#include "server/config.h"

/** Start everything, print where it is, run until a signal has drained it. Answers the exit code.
 */
int ml_serve(const struct ml_config *config);

#endif
