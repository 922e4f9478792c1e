/* SPDX-License-Identifier: MIT */
/*
 * A hook asked of all its handlers in order, with a table of plain data as its argument. Private to
 * script/.
 *
 * The table knows its kind: reading a field that the kind does not have raises, so a policy with a
 * typing error is failing, not silently without opinion. It is a copy, so it may be kept.
 */
#ifndef ML_SCRIPT_ROUND_H
#define ML_SCRIPT_ROUND_H

#include "script/ask.h"
#include "script/wait.h"

struct ml_round {
    int hook;
    /** Push the argument; may raise. */
    void (*push)(lua_State *L, struct ml_round *round);
    /** The answer is at index 1 and not nil; raises if it is none. */
    void (*decode)(lua_State *L, struct ml_round *round);
    /** A handler failed; may be NULL. */
    void (*failed)(struct ml_round *round);
    /** Of a round that may wait: it is over; the round may be freed. */
    void (*done)(struct ml_round *round);
    uint32_t soft_ms, hard_ms; /* of a round that may wait, for each handler */
    bool is_timed_as_one;      /* hard_ms is for all of them together */
    bool is_dropped;           /* nobody wants the answer any more: ml_round_drop */
    bool is_over;              /* set by decode or failed: nobody else is asked */
    /* private */
    struct ml_script *script;
    struct ml_plan *plan; /* of the document that it began with */
    struct ml_handler *handler;
    uint64_t call;     /* that it waits for; 0: none */
    uint64_t until_ms; /* with is_timed_as_one */
    size_t next;
    struct ml_list held; /* until the setup of that instance is over: setup.c */
    const struct ml_plugin *held_by;
};

/** Hooks that do not wait: when it returns the round is over. */
void ml_round_run(struct ml_script *script, struct ml_round *round);
/** Hooks that may: `done` runs once, maybe before it returns. Holds the script until then. */
void ml_round_start(struct ml_script *script, struct ml_round *round);
/** Of one that was held by a setup (setup.c). */
void ml_round_go_on(struct ml_round *round);
/** Of a round that waits: nothing is decoded any more, and `done` runs soon, maybe before this
 * returns. */
void ml_round_drop(struct ml_round *round);

/** The table at the top is an argument of this kind, with these fields (NULL-terminated). */
void ml_round_seal(lua_State *L, const char *kind, const char *const *fields);
void ml_round_text(lua_State *L, const char *name, struct ml_slice text); /* .ptr NULL: nil */
void ml_round_number(lua_State *L, const char *name, double value);
void ml_round_bool(lua_State *L, const char *name, bool value);
void ml_round_texts(lua_State *L, const char *name, const struct ml_slice *items, size_t count);

#endif
