/* SPDX-License-Identifier: MIT */
/* Calls into Lua that may wait. Private to script/. */
#ifndef ML_SCRIPT_WAIT_H
#define ML_SCRIPT_WAIT_H

#include "base/list.h"
#include "script/ask.h"

#define ML_CALL_RESULTS      3      /* that `done` gets: what is missing is nil */
#define ML_CALLS_MAX         4096   /* of one state, parked ones included */
#define ML_CPU_BETWEEN_WAITS 50000u /* microseconds */
#define ML_SPAWNED_MAX       64     /* of one plugin */
#define ML_TIMERS_MAX        256

struct ml_call;

/** What a call is. Copied. */
struct ml_run {
    const char *what; /* "jobs.deliver": for messages; lives as long as the call */
    struct ml_plugin *plugin;
    uint32_t soft_ms, hard_ms; /* from now, in all */
    uint32_t cpu_us;           /* between two waits; 0: ML_CPU_BETWEEN_WAITS */
    /**
     * Runs once, when the call is over, maybe before ml_call_start returns. OUTCOME_ANSWER: the
     * ML_CALL_RESULTS values are on top of the main stack, for ml_script_protect; the stack is
     * emptied afterwards. OUTCOME_FAILED: script->fault says how, unless the state was lost
     * (script->L NULL).
     */
    void (*done)(struct ml_script *script, void *arg, enum ml_outcome outcome);
    void *arg;
};

/**
 * Call what `push` leaves on the stack (function, then arguments) on a coroutine. `push` may raise
 * and may push views, which expire when the call first waits.
 * @return an id for ml_script_cancel; 0: it is over already
 */
uint64_t ml_call_start(struct ml_script *script, const struct ml_run *run,
                       void (*push)(lua_State *L, void *arg), void *arg);

enum ml_err ml_wait_init(struct ml_script *script) ML_MUST_CHECK;
void ml_wait_free(struct ml_script *script);
/** What a new state needs. */
void ml_wait_open(lua_State *L);
/** The state is about to be closed: every call ends, as failed. */
void ml_wait_lose(struct ml_script *script);
/** All calls and timers of this plugin end. */
void ml_wait_forget(struct ml_script *script, const struct ml_plugin *plugin);
/** Has it timers? */
bool ml_wait_has_timers(const struct ml_script *script, const struct ml_plugin *plugin);
/** Is `L` the coroutine of the call that runs? */
bool ml_wait_is_ours(lua_State *L);
/** Calls of this plugin that are not over. */
size_t ml_wait_count(const struct ml_script *script, const struct ml_plugin *plugin);

/** Note the named functions of all plugins; raises. work.c */
void ml_work_take(lua_State *L, struct ml_script *script);
void ml_work_free(struct ml_script *script);

/** Add those of cache, rates and messages to the table at the top. shared.c */
void ml_shared_natives(lua_State *L, struct ml_plugin *plugin);
void ml_board_natives(lua_State *L, struct ml_plugin *plugin);

/** Push the table of functions that lua/moonloom/wait.lua builds on. */
void ml_wait_natives(lua_State *L, struct ml_plugin *plugin);
/** The port's kinds by name; NULL-terminated. wait_ops.c */
extern const char *const ml_op_names[];
/** The operation that the table at `index` describes; slices point into its strings; raises. */
void ml_op_read(lua_State *L, int index, struct ml_script_op *op);
/** Push the table of an answer. */
void ml_op_push(lua_State *L, const struct ml_script_answer *answer);

#endif
