/* SPDX-License-Identifier: MIT */
/* The time limit of a call into Lua. Private to script/. */
#ifndef ML_SCRIPT_BUDGET_H
#define ML_SCRIPT_BUDGET_H

#include <lua.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

/** One per Lua state. All fields are private to budget.c, but for `fired`, which may be read. */
struct ml_budget {
    lua_State *L;
    _Atomic uint64_t generation;  /* odd while control is in Lua */
    _Atomic uint64_t overdue;     /* generation that the watchdog gave up on */
    _Atomic uint32_t deadline_us; /* CPU time of this call */
    _Atomic pthread_t thread;     /* where the call runs */
    volatile sig_atomic_t fired;  /* this call was told to stop */
    struct ml_list node;          /* in the watchdog's list */
    uint64_t seen_generation;     /* the watchdog's own from here on */
    uint64_t cpu_base_ns;
};

/**
 * Register with the watchdog, which starts with the first budget of the process and ends with the
 * last. @retval ML_ELIMIT  no thread could be made
 */
enum ml_err ml_budget_init(struct ml_budget *budget, lua_State *L) ML_MUST_CHECK;
/** Not while a call is running. */
void ml_budget_release(struct ml_budget *budget);

/** The next thing is lua_pcall. Cost: two stores. */
void ml_budget_enter(struct ml_budget *budget, uint32_t deadline_us);
/** Control is back in C: disarms. */
void ml_budget_leave(struct ml_budget *budget);

/** From inside a call: raise after that many instructions; 0: no more such limit. */
void ml_budget_count(struct ml_budget *budget, int instructions);

/** In every call from now on, of all budgets, `hook` sees each line, and a call has ten times its
 * time. For tests of plugins. */
void ml_budget_trace(lua_Hook hook);

/** For C functions that loop: raises if this call is over its limit. */
void ml_budget_check(const struct ml_budget *budget, lua_State *L);

#endif
