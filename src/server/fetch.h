/* SPDX-License-Identifier: MIT */
/* The way out (web.h) for what is not a plugin: struct ml_net_client of one loop. */
#ifndef ML_SERVER_FETCH_H
#define ML_SERVER_FETCH_H

#include "net/net.h"
#include "server/config.h"

struct ml_fetcher;

/** NULL: no memory. */
struct ml_fetcher *ml_fetcher_new(uv_loop_t *loop, const struct ml_config *config);
struct ml_net_client ml_fetcher_client(struct ml_fetcher *fetcher);
/** Nothing is under way any more: the net is closed. */
void ml_fetcher_close(struct ml_fetcher *fetcher);

#endif
