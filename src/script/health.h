/* SPDX-License-Identifier: MIT */
/* How instances say that they are. Private to script/. */
#ifndef ML_SCRIPT_HEALTH_H
#define ML_SCRIPT_HEALTH_H

#include "base/err.h"

struct ml_script;

/** Ask those whose time has come; about every 50 ms. */
void ml_health_tick(struct ml_script *script);
/**
 * Ask all of a script that is not in use yet, once. Who answers "bad", or raises, fails.
 * @retval ML_EBUSY  some wait: look again after ticks
 */
enum ml_err ml_health_first(struct ml_script *script, struct ml_diag *diag) ML_MUST_CHECK;

#endif
