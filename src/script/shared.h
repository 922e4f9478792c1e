/* SPDX-License-Identifier: MIT */
/*
 * What the Lua states of one node share: a cache, rates, a board of messages (board.h).
 * Thread-safe; made once per process. Part of script.h.
 */
#ifndef ML_SCRIPT_SHARED_H
#define ML_SCRIPT_SHARED_H

#include "script/board.h"

struct ml_shared_store;

/** @param max_bytes  of all entries; each org and instance may have an eighth of it; 0: 64 MiB */
struct ml_shared_store *ml_shared_store_new(size_t max_bytes);
/** After every state that has it is gone. */
void ml_shared_store_free(struct ml_shared_store *shared);
/** As good as the store. */
struct ml_board *ml_shared_board(struct ml_shared_store *shared);

#endif
