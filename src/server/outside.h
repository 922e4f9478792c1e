/* SPDX-License-Identifier: MIT */
/*
 * The outside of the Lua states of one loop: what plugins wait for (script/port.h) is asked of the
 * journal's store and of the web here, and the answers are brought back.
 */
#ifndef ML_SERVER_OUTSIDE_H
#define ML_SERVER_OUTSIDE_H

#include "journal/journal.h"
#include "net/net.h"
#include "script/script.h"
#include "server/config.h"
#include "server/worker.h"

struct ml_outside;

struct ml_outside *ml_outside_new(uv_loop_t *loop, struct ml_journal *journal,
                                  const struct ml_config *config);
struct ml_script_port ml_outside_port(struct ml_outside *outside);
/** The cells whose tick its clock is. */
void ml_outside_serve(struct ml_outside *outside, struct ml_cells *cells);
/** Who is told when a job was queued. */
void ml_outside_tell(struct ml_outside *outside, struct ml_worker *worker);
/** Whose sessions plugins may ask about. Until it closes. */
void ml_outside_visit(struct ml_outside *outside, struct ml_net *net);
/** Nothing new from now on, what is under way is let go of; the loop can end. */
void ml_outside_close(struct ml_outside *outside);
/** After the cells are gone. */
void ml_outside_free(struct ml_outside *outside);

#endif
