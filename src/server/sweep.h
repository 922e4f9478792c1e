/* SPDX-License-Identifier: MIT */
/*
 * Looks for documents whose durable observers (after_update) were not told of everything, because
 * a process died or they failed, and has them told: at the start, then every ten minutes. One for
 * the process, on loop 0.
 */
#ifndef ML_SERVER_SWEEP_H
#define ML_SERVER_SWEEP_H

#include "journal/journal.h"
#include "room/room.h"
#include "script/script.h"

struct ml_sweep;

struct ml_sweep_options {
    uv_loop_t *loop;
    struct ml_journal *journal;
    struct ml_cells *cells;
    struct ml_rooms *rooms;
    bool is_shared; /* other nodes may have the documents open: one of all looks at a time */
    const struct ml_deploy_org *orgs; /* beside those that the store knows of; borrowed */
    size_t org_count;
};

/** NULL: no memory. All of these may be called with NULL. */
struct ml_sweep *ml_sweep_new(const struct ml_sweep_options *options);
/** Asks for nothing new. */
void ml_sweep_stop(struct ml_sweep *sweep);
/** Before the rooms and the journal go. */
void ml_sweep_close(struct ml_sweep *sweep);
/** After the loop has ended. */
void ml_sweep_free(struct ml_sweep *sweep);

#endif
