/* SPDX-License-Identifier: MIT */
/* What wait.c and wait_lua.c share. Private to them. */
#ifndef ML_SCRIPT_WAIT_CALL_H
#define ML_SCRIPT_WAIT_CALL_H

#include "script/wait.h"

struct ml_call {
    struct ml_list node;  /* of waiting->calls */
    struct ml_list ready; /* of waiting->ready */
    struct ml_run run;
    uint64_t id;          /* slot in the low 16 bits, as in tickets */
    uint64_t ticket;      /* parked on the port; 0: not */
    uint64_t wakes_at_ms; /* parked on the clock; 0: not */
    uint64_t soft_at_ms, hard_at_ms;
    lua_State *co;
    int co_ref, nargs;
    unsigned shields;
    bool parked, deadlined, cancelled, overdue, spawned;

    struct ml_call *parent; /* waits for us and others */
    unsigned member_no;     /* in the parent's list, from 1 */

    unsigned pending; /* parked on that many members */
    bool race, settled;
    int results_ref; /* table: [n] = { n =, … }, error =, winner = */
};

struct ml_timer {
    struct ml_list node;
    struct ml_plugin *plugin;
    uint64_t id, due_ms, every_ms;
    int fn_ref;
    bool running, stopped;
};

struct ml_waiting {
    struct ml_list calls, ready, timers;
    struct ml_call *current; /* Lua runs in it */
    struct ml_call **slots;
    size_t slot_count, call_count;
    uint64_t next_number;
    uint64_t wish_ms; /* what the port was told; 0: nothing */
    int pool[32];     /* references to coroutines that nobody uses */
    size_t pooled;
    int cancelled_ref, overdue_ref; /* texts */
    bool pumping;
};

/** From inside Lua: a new call without arguments; raises. */
struct ml_call *ml_call_add(lua_State *L, const struct ml_run *run);
/** The `nargs` values (and, the first time, a function below them) on its stack are for it. */
void ml_call_make_ready(struct ml_script *script, struct ml_call *call, int nargs);
void ml_call_cancel(struct ml_script *script, struct ml_call *call);
/** The call that may wait here, or an error. */
struct ml_call *ml_call_may_wait(lua_State *L, const char *what);
/** It parks now: its deadlines count. */
void ml_call_park(struct ml_script *script, struct ml_call *call);
/** The clock is wanted at that time. */
void ml_wait_want(struct ml_script *script, uint64_t at_ms);
uint64_t ml_call_next_number(struct ml_script *script, const struct ml_call *call);
/** A failure that nobody else hears of goes to the log. */
void ml_call_complain(struct ml_script *script, struct ml_plugin *plugin, const char *what);
/** Timers that are due. wait_lua.c */
void ml_timers_fire(struct ml_script *script, uint64_t now_ms);
void ml_timer_free(struct ml_script *script, struct ml_timer *timer);

#endif
