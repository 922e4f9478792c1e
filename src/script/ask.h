/* SPDX-License-Identifier: MIT */
/* Asking the handlers of a hook. Private to script/. */
#ifndef ML_SCRIPT_ASK_H
#define ML_SCRIPT_ASK_H

#include "script/state.h"

enum ml_outcome { OUTCOME_NIL, OUTCOME_ANSWER, OUTCOME_FAILED };

/**
 * One handler, one question: breaker, call, views that expire. OUTCOME_ANSWER: the answer is on top
 * of the stack, and ml_ask_decode or ml_ask_ignore must follow.
 */
enum ml_outcome ml_ask(struct ml_script *script, struct ml_handler *handler, int hook,
                       enum ml_view_kind kind, const void *subject, const void *scope,
                       uint32_t deadline_us);
/** Take the answer apart with `fn`, which raises. False: it is not what the hook may answer. */
bool ml_ask_decode(struct ml_script *script, struct ml_handler *handler, int hook,
                   void (*fn)(lua_State *L, void *arg), void *arg);
/** The answer of an observer. */
void ml_ask_ignore(struct ml_script *script, struct ml_handler *handler);

/** False: its breaker is open, or there is no state: it has failed without being asked. */
bool ml_ask_may(struct ml_script *script, struct ml_handler *handler, int hook);
/** How long it held the loop (of a call that waits: the last piece), as script->share has it. */
void ml_ask_took(struct ml_script *script, struct ml_handler *handler);

/** A call of `plugin` failed and script->fault says how: counted, logged, the breaker (may be NULL)
 * hears of it, and a state that ran out of memory is collected or made anew. */
void ml_ask_failed(struct ml_script *script, struct ml_plugin *plugin, struct ml_breaker *breaker,
                   const char *what);

/** An answer of an instance that only shadows: counted. */
void ml_ask_shadow(struct ml_script *script, struct ml_plugin *plugin, int index);
/** Does this breaker keep its handler from being called? */
bool ml_ask_is_open(struct ml_script *script, const struct ml_breaker *breaker);
/** Its handler answered. */
void ml_ask_succeeded(struct ml_script *script, struct ml_breaker *breaker);

/* What decoders share; each raises. */

struct ml_denial_text {
    const struct ml_plugin *plugin;
    struct ml_arena *scratch;
    struct ml_denial *out;
};

/** The text at `index`, in memory of the caller. */
struct ml_slice ml_answer_keep(lua_State *L, struct ml_arena *scratch, int index);
/** The denial at `index`. */
void ml_answer_denial(lua_State *L, int index, const struct ml_denial_text *to);
/** A duration or size (number or text) at `index`; `name` for the message. */
double ml_answer_duration_ms(lua_State *L, int index, const char *name);
double ml_answer_size(lua_State *L, int index, const char *name);

#endif
