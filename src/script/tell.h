/* SPDX-License-Identifier: MIT */
/* Observers that are told of something that has happened: each by itself, on a coroutine. Private
 * to script/. */
#ifndef ML_SCRIPT_TELL_H
#define ML_SCRIPT_TELL_H

#include "script/wait.h"

struct ml_telling {
    int hook;
    struct ml_slice document; /* only plugins that are on for it; .ptr NULL: about no document */
    /** Push the argument; may raise. */
    void (*push)(lua_State *L, const struct ml_handler *handler, const void *subject);
    const void *subject; /* borrowed for the call: what handlers keep has to be a copy */
};

/** Starts them all; none is waited for. A failure counts for the handler's breaker. */
void ml_tell(struct ml_script *script, const struct ml_telling *telling);

#endif
