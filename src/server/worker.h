/* SPDX-License-Identifier: MIT */
/*
 * Durable work of plugins on one loop: takes jobs from the store and runs them, and (loop 0) runs
 * what is due by the clock.
 */
#ifndef ML_SERVER_WORKER_H
#define ML_SERVER_WORKER_H

#include "journal/journal.h"
#include "script/script.h"

struct ml_worker;

struct ml_worker_options {
    uv_loop_t *loop;
    struct ml_journal *journal;
    struct ml_cells *cells;
    bool runs_cron;
    bool ends_leases;                 /* at the start: nobody else works on this store */
    const struct ml_deploy_org *orgs; /* whose cron entries run beside "default"'s; borrowed */
    size_t org_count;
};

struct ml_worker *ml_worker_new(const struct ml_worker_options *options);
/** A job was queued here: look soon. */
void ml_worker_kick(struct ml_worker *worker);
/** Takes nothing new. */
void ml_worker_stop(struct ml_worker *worker);
/** Before the journal (or the door) is closed. What runs is finished or comes again. */
void ml_worker_close(struct ml_worker *worker);
/** After the cells are gone and the loop has ended. */
void ml_worker_free(struct ml_worker *worker);

#endif
