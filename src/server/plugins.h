/* SPDX-License-Identifier: MIT */
/*
 * The plugins of the process while it runs: which deployment is on, how the next one comes, and how
 * an earlier one returns. Loop 0 leads; every loop does its part in its tick.
 */
#ifndef ML_SERVER_PLUGINS_H
#define ML_SERVER_PLUGINS_H

#include "net/net.h"
#include "server/config.h"

struct ml_plugins;

/** Takes a reference of `deploy`. `reread` reads the configuration again before a build, on loop 0;
 * NULL: it has errors, which are in the log. NULL: out of memory. */
struct ml_plugins *ml_plugins_new(uv_loop_t *loop0, unsigned loops, struct ml_deploy *deploy,
                                  const struct ml_config *(*reread)(void *arg), void *arg);
void ml_plugins_free(struct ml_plugins *plugins);
/** Before the loop's thread runs. */
void ml_plugins_attach(struct ml_plugins *plugins, unsigned loop, struct ml_cells *cells);
/** Before the cells go. Waits for a build that looks at them. */
void ml_plugins_detach(struct ml_plugins *plugins, unsigned loop);
/** About every 50 ms, on its own thread. `config` (loop 0): the newest. */
void ml_plugins_tick(struct ml_plugins *plugins, unsigned loop, const struct ml_config *config);
/** SIGHUP: read everything again. On loop 0. */
void ml_plugins_reload(struct ml_plugins *plugins);
/** How net asks on behalf of an operator. */
struct ml_net_operator ml_plugins_operator(struct ml_plugins *plugins);

#endif
