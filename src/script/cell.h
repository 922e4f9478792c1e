/* SPDX-License-Identifier: MIT */
/* What cells.c and cells_swap.c share. Private to script/. */
#ifndef ML_SCRIPT_CELL_H
#define ML_SCRIPT_CELL_H

#include <pthread.h>

#include "base/hashmap.h"
#include "base/list.h"
#include "script/state.h"

struct ml_cell {
    struct ml_list node;      /* in cells->all, the longest unused first */
    struct ml_script *script; /* NULL: no plugin is on here */
    struct ml_deploy *deploy; /* counted: what the script runs */
    /* While another deployment comes (cells_swap.c). */
    struct ml_script *next; /* offered */
    struct ml_script *old;  /* ran before the swap */
    struct ml_deploy *old_deploy;
    bool has_next, is_swapped;
    uint64_t used_ms;
    uint64_t retry_at_ms; /* failing: when to try again */
    uint32_t retry_ms;
    struct ml_slice org; /* own copy; the key */
};

struct ml_cells {
    struct ml_cells_options options;
    struct ml_deploy *before; /* between swap and settle: what to go back to */
    struct ml_hashmap by_org;
    pthread_mutex_t lock; /* `all` changes under it: each_org looks from another thread */
    struct ml_list all;
    uint64_t now_ms; /* of the last tick */
    uint64_t epoch;  /* grows when a cell goes or changes: places are looked up again */
    uint64_t beat;   /* grows with the epoch, with every tick, when a failing state is there again:
                        what a place remembers of hooks is asked again */
    struct ml_list draining;     /* scripts of earlier deployments */
    struct ml_script *failing;   /* stands in where there is no memory even for a cell [C4] */
    struct ml_script_stats gone; /* of the states that are gone */
    struct ml_ledger *ledger;    /* what became of calls, of all states there ever were */
};

uint64_t ml_cells_now_ms(const struct ml_cells *cells);
void ml_cells_add_stats(struct ml_script_stats *to, const struct ml_script_stats *of);
/** *script_out NULL: nothing is on for this org. `is_first`: setup at once, and what fails stays as
 * failing. */
enum ml_err ml_cells_make(const struct ml_cells *cells, const struct ml_deploy *deploy,
                          struct ml_slice org, bool is_first, struct ml_diag *diag,
                          struct ml_script **script_out) ML_MUST_CHECK;
/** Its last words, then it goes. NULL is fine. */
void ml_cells_retire(struct ml_cells *cells, struct ml_script *script, struct ml_deploy *deploy,
                     const char *why);
/** What has ended its calls, or had its time, goes. */
void ml_cells_drain(struct ml_cells *cells, bool now);

#endif
