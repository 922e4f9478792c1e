/* SPDX-License-Identifier: MIT */
/*
 * Memory that dies together. An arena is born with its ceiling; what is not handed out is poisoned
 * under ASan, so that one byte past an object is a report and not luck.
 */
#ifndef ML_BASE_ARENA_H
#define ML_BASE_ARENA_H

#include "base/slice.h"

struct ml_arena_chunk;

struct ml_arena {
    /* private */
    struct ml_arena_chunk *chunk; /* newest first */
    uint8_t *pos, *end;           /* free part of `chunk` */
    size_t used_bytes, max_bytes; /* of all chunks */
};

/** Allocates nothing yet. */
void ml_arena_init(struct ml_arena *arena, size_t max_bytes);
/** Frees everything; the arena is as after init. */
void ml_arena_release(struct ml_arena *arena);
/** Forgets everything, keeps one chunk (at most 256 KiB) for the next message. */
void ml_arena_reset(struct ml_arena *arena);

/** Zeroed, 16-byte aligned; NULL at the ceiling or out of memory (callers answer ML_ELIMIT). */
void *ml_arena_alloc(struct ml_arena *arena, size_t bytes);
/** The same, not zeroed: for what is written in full anyway. */
void *ml_arena_take(struct ml_arena *arena, size_t bytes);
/** `count` objects; NULL also if the product overflows. */
void *ml_arena_array(struct ml_arena *arena, size_t count, size_t each_bytes);
/** A copy of `bytes`, with a NUL behind it that is not counted; .ptr NULL if it does not fit. */
struct ml_slice ml_arena_copy(struct ml_arena *arena, struct ml_slice bytes);

#endif
