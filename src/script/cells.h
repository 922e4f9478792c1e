/* SPDX-License-Identifier: MIT */
/*
 * Which Lua states there are on one loop: one for the operator's hooks, where no org is known yet,
 * and one per org, made at first use and never shared by two (plugin-api 13.1). Part of script.h.
 *
 * Whoever runs a hook asks for the script of the org and document and uses it at once: it is good
 * until control is back in the loop, no longer. Who keeps something in it beyond that (a parked
 * call, a timer) holds it: ml_script_hold.
 */
#ifndef ML_SCRIPT_CELLS_H
#define ML_SCRIPT_CELLS_H

struct ml_cells;

struct ml_cells_options {
    struct ml_deploy *deploy;        /* what runs; takes a reference */
    struct ml_script_options script; /* log, clocks, port, limits of every state; borrowed */
    uint32_t idle_ms;                /* 0: 10 min; then a state that nobody holds goes */
    uint32_t states;                 /* 0: 1 024; above, those that were not used lately go */
};

enum ml_err ml_cells_new(const struct ml_cells_options *options, struct ml_diag *diag,
                         struct ml_cells **cells_out) ML_MUST_CHECK;
/** Nobody may hold a script of it any more. */
void ml_cells_free(struct ml_cells *cells);

/**
 * Where the hooks of this org run, with the handlers that apply to this document (empty name: all
 * of them). Makes the state if there is none yet. NULL: nobody has anything to say there.
 *
 * A state that cannot be made answers as failing: its hooks are there and fail (SEC-LUA-07).
 */
struct ml_script *ml_cells_script(struct ml_cells *cells, struct ml_slice org,
                                  struct ml_slice document);
/** Remembers where a document's hooks run, so that nothing is looked up. Begins as zeroes; may be
 * forgotten at any time. */
struct ml_cell_place {
    uint64_t epoch; /* private, as all of it */
    void *cell;
    void *plan;
    const uint64_t *beat; /* of the cells; NULL: not asked yet, or nothing to remember */
    uint64_t at_beat, hooks;
};
/** The same for one document, again and again. */
struct ml_script *ml_cells_at(struct ml_cells *cells, struct ml_cell_place *place,
                              struct ml_slice org, struct ml_slice document);
/** Which hooks are there for it, enum ml_hook bits: of what nobody registered, this is all that a
 * keystroke pays. */
static inline uint64_t ml_cells_hooks_at(struct ml_cells *cells, struct ml_cell_place *place,
                                         struct ml_slice org, struct ml_slice document)
{
    if (!place->beat || *place->beat != place->at_beat)
        (void)ml_cells_at(cells, place, org, document);
    return place->hooks;
}
/** Hooks that somebody registered for some org, enum ml_hook bits. */
uint64_t ml_cells_hooks(const struct ml_cells *cells);
/** About every 50 ms: idle states go, failing ones are tried again. */
void ml_cells_tick(struct ml_cells *cells);
/** cluster_event of every org that has a state here. */
void ml_cells_tell_cluster(struct ml_cells *cells, const struct ml_cluster_event *event);
/** Sums over all states, those that are gone included. */
void ml_cells_stats(const struct ml_cells *cells, struct ml_script_stats *out);
/** What became of calls, per instance and hook; breakers as of now. Looks at every handler of every
 * state. Good until the cells go. */
const struct ml_ledger *ml_cells_ledger(struct ml_cells *cells);

/* ---- Another deployment (plugin-api 14) -----------------------------------------------------
 *
 *   any thread:  each_org -> build ...
 *   on the loop: offer ... -> prepare (setup) -> swap (handoff, adopt, change) -> settle
 *                                  \ withdraw          \ swap_back
 */

/** Tell `fn` every org that has a state here, under a lock. From any thread. */
void ml_cells_each_org(struct ml_cells *cells, void (*fn)(void *arg, struct ml_slice org),
                       void *arg);
/** The state of `org` as `deploy` has it, ready but for setup. NULL with ML_OK: nothing is on for
 * it. From any thread. */
enum ml_err ml_cells_build(const struct ml_cells *cells, const struct ml_deploy *deploy,
                           struct ml_slice org, struct ml_diag *diag,
                           struct ml_script **script_out) ML_MUST_CHECK;
/** Takes the script; it may be NULL. */
void ml_cells_offer(struct ml_cells *cells, struct ml_slice org, struct ml_script *script);
/**
 * Begin the setup of all that was offered, side by side, and make what was not; with `force`,
 * whatever they say of their health.
 * @retval ML_EBUSY  some wait: ask again with the same deployment, after ticks; ten seconds at most
 * @retval others    withdraw
 */
enum ml_err ml_cells_prepare(struct ml_cells *cells, struct ml_deploy *deploy, bool force,
                             struct ml_diag *diag) ML_MUST_CHECK;
void ml_cells_withdraw(struct ml_cells *cells);

struct ml_cells_swap {
    uint64_t took_us;
    size_t states, bytes; /* that changed; that were handed over */
};
/** Between two events: from here on hooks run in `deploy`. On failure nothing has changed. */
enum ml_err ml_cells_swap(struct ml_cells *cells, struct ml_deploy *deploy, bool force,
                          struct ml_diag *diag, struct ml_cells_swap *swap_out) ML_MUST_CHECK;
/** Another loop could not. */
void ml_cells_swap_back(struct ml_cells *cells);
/** It holds: what ran before ends its calls within 30 s, is torn down and goes. */
void ml_cells_settle(struct ml_cells *cells);
/** What the instances did since the swap (`now`), and those that they took the place of (`before`):
 * asked between swap and settle for `before`, later for `now`. */
struct ml_cells_watch {
    uint64_t calls, denials, failures;
    uint64_t bad; /* changed instances that said twice running that they are not well */
};
void ml_cells_watch(const struct ml_cells *cells, struct ml_cells_watch *now,
                    struct ml_cells_watch *before);
/**
 * A JSON object per instance of every org that has a state here, separated by commas.
 * @param org  empty: all; else only that one, which is made if it is not there
 * @param document  empty: all; else only what is on for it
 */
void ml_cells_describe(struct ml_cells *cells, struct ml_slice org, struct ml_slice document,
                       struct ml_writer *out);
/**
 * What the flight recorder has of every org that has a state here, or of one: JSON objects with
 * commas between them.
 * @param watch_ms  from now on, for so long, it takes down every call; 0: as it is
 */
void ml_cells_trace(struct ml_cells *cells, struct ml_slice org,
                    const struct ml_flight_filter *filter, uint32_t watch_ms,
                    struct ml_writer *out);
/** Why may somebody do that, or not: ml_script_why in the state of the org. */
void ml_cells_why(struct ml_cells *cells, const struct ml_script_ask *ask, struct ml_writer *out);
/** Calls of earlier deployments that are not over. */
size_t ml_cells_draining(const struct ml_cells *cells);

/** Something of this script is not done yet: it may not go until as many ml_script_let_go. */
void ml_script_hold(struct ml_script *script);
void ml_script_let_go(struct ml_script *script);

#endif
