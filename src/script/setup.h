/* SPDX-License-Identifier: MIT */
/* How instances come up: setup(), which may wait. Private to script/. */
#ifndef ML_SCRIPT_SETUP_H
#define ML_SCRIPT_SETUP_H

#include "script/state.h"

struct ml_round;

/**
 * Begin the setup of every instance, side by side. Those that wait go on later.
 * @retval ML_ESCRIPT  one failed before it waited
 */
enum ml_err ml_setup_begin(struct ml_script *script, struct ml_diag *diag) ML_MUST_CHECK;
/** What failed goes once more, when its time has come. */
void ml_setup_tick(struct ml_script *script);

/** May its hooks be asked? */
static inline bool ml_plugin_is_up(const struct ml_plugin *plugin)
{
    return plugin->setup == ML_SETUP_DONE;
}
/** True: this handler's setup is under way, and the round goes on when that is over
 * (ml_round_go_on). */
bool ml_setup_holds(struct ml_script *script, struct ml_round *round,
                    const struct ml_plugin *plugin);
/** Of a round that is held: no longer. */
void ml_setup_release(struct ml_round *round);

#endif
