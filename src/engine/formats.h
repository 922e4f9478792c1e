/* SPDX-License-Identifier: MIT */
/*
 * Formats by name, in the order in which JavaScript's Map (or object) would keep them: what is in
 * force at a place of a text, what a call asks for, what has to be closed again. Private to
 * engine/.
 *
 * Values are JSON text, as the document keeps them. Everything lives in the arena of the call.
 */
#ifndef ML_ENGINE_FORMATS_H
#define ML_ENGINE_FORMATS_H

#include "engine/item.h"

struct ml_format {
    struct ml_slice key, json; /* json.ptr NULL: taken out */
    uint32_t item;             /* the Format it was read from; NIL: from the caller */
};

struct ml_formats {
    struct ml_arena *arena;
    struct ml_format *at; /* in order; walk [0, count) and pass over what was taken out */
    uint32_t count, cap, live;
    uint32_t *table; /* open addressing from key, beyond ML_FORMATS_LINEAR; position + 1 */
    uint32_t table_cap;
};

#define ML_FORMATS_LINEAR 8

static inline struct ml_formats ml_formats_make(struct ml_arena *arena)
{
    return (struct ml_formats){.arena = arena};
}

/** NULL: not there. Good until the next set. */
const struct ml_format *ml_formats_get(const struct ml_formats *f, struct ml_slice key);
/** Replaced in place, or put at the end. False: out of memory. */
bool ml_formats_set(struct ml_formats *f, struct ml_format format);
void ml_formats_remove(struct ml_formats *f, struct ml_slice key);
bool ml_formats_copy(struct ml_formats *to, const struct ml_formats *from);
/** As a JavaScript object orders its members: array indexes first. False: out of memory. */
bool ml_formats_order(struct ml_formats *f);

/** What a living Format item says. */
struct ml_format ml_format_of(const struct ml_doc *doc, uint32_t item);
/** It comes into force: null takes its key out. False: out of memory. */
bool ml_formats_apply(struct ml_formats *f, struct ml_format format);

bool ml_json_is_null(struct ml_slice json);
/**
 * Equal as Yjs compares attributes: the same primitive, or containers of the same primitives; a
 * container with containers in it equals nothing. 1: equal, 0: not, -1: out of memory.
 */
int ml_json_is_equal(struct ml_arena *arena, struct ml_slice a, struct ml_slice b);
/** The very same, as JavaScript's ===: containers only if they come from the same item. Like equal.
 */
int ml_format_is_same(struct ml_arena *arena, const struct ml_format *a, const struct ml_format *b);

#endif
