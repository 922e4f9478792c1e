/* SPDX-License-Identifier: MIT */
/*
 * Messages between the states of one plugin instance of one org (ml.cluster): those of this node
 * read them here, those of others through whoever carries them. Thread-safe; made once per process.
 * Part of script.h.
 *
 * A message has an owner: org and instance, the latter with a NUL before it, so that no document
 * has that name.
 */
#ifndef ML_SCRIPT_BOARD_H
#define ML_SCRIPT_BOARD_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ML_BOARD_BYTES_MAX (64u << 10) /* of a message, with its topic */
#define ML_BOARD_NODES_MAX 512

struct ml_board;

struct ml_board *ml_board_new(void);
/** After every state that has it is gone. */
void ml_board_free(struct ml_board *board);

/** Who this node is; before any state. Without it, "local". */
void ml_board_set_node(struct ml_board *board, uint64_t node);
/** Which others there are, from now on. */
void ml_board_set_others(struct ml_board *board, const uint64_t *nodes, size_t count);
/** How many bytes whoever carries messages can carry; larger ones are refused. */
void ml_board_set_reach(struct ml_board *board, size_t bytes_max);

struct ml_board_carrier {
    void (*follow)(void *arg, struct ml_slice org, struct ml_slice instance, bool follow);
    void (*tell)(void *arg, struct ml_slice org, struct ml_slice instance, struct ml_slice bytes);
    void *arg;
};
/**
 * Tell what was published here since the last time (so many messages and bytes a call, the rest
 * next time), and follow who listens. One thread. Slices are borrowed for the call.
 */
void ml_board_carry(struct ml_board *board, uint64_t now_ms,
                    const struct ml_board_carrier *carrier);
/** From another node. What nobody would have said is dropped. */
void ml_board_heard(struct ml_board *board, struct ml_slice org, struct ml_slice instance,
                    struct ml_slice bytes);

#endif
