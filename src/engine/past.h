/* SPDX-License-Identifier: MIT */
/* What keys held before. Private to engine/. */
#ifndef ML_ENGINE_PAST_H
#define ML_ENGINE_PAST_H

#include "engine/item.h"
#include "engine/update.h"

/** A value that is gone. */
struct ml_past_value {
    struct ml_id id; /* the unit that held it */
    uint8_t *any;    /* owned; NULL: too large to be kept */
    size_t len;
    uint64_t tag;         /* of the transaction that ended it */
    bool was_overwritten; /* by a newer value of the key; else deleted */
    uint32_t units;       /* of text: from `id` on; `any` is its UTF-8 */
};

/** A transaction that has deleted nodes. */
struct ml_grave {
    uint64_t tag;
    struct ml_id *nodes; /* owned; the units that held them */
    uint32_t node_count, node_cap;
    struct ml_wire_range *ranges; /* owned; all that it has deleted, sorted and disjoint */
    uint32_t range_count, range_cap;
};

#define ML_PAST_GRAVES 64

struct ml_past {
    struct ml_past_value *at; /* owned; a ring */
    size_t first, count;
    size_t bytes, bytes_max;
    struct ml_grave graves[ML_PAST_GRAVES]; /* a ring */
    uint32_t grave_first, grave_count;
    struct ml_grave open; /* of this transaction */
};

/** Note that it has ended. Without memory it is not noted. */
void ml_past_add(struct ml_past *past, const struct ml_id *id, struct ml_slice any, uint64_t tag,
                 bool was_overwritten);
/** NULL: not known (any more). */
const struct ml_past_value *ml_past_find(const struct ml_past *past, const struct ml_id *id);

/** The same for text: `units` UTF-16 units from `id` on. */
void ml_past_add_text(struct ml_past *past, const struct ml_id *id, struct ml_slice text,
                      uint32_t units, uint64_t tag);
/** The piece of text that held the unit, if it is known. */
const struct ml_past_value *ml_past_find_text(const struct ml_past *past, const struct ml_id *id);

/* ---- graves.c: nodes that were deleted --------------------------------------------------------
 */

/** Into the open grave; the first one opens it. False: out of memory, or it is too large. */
bool ml_past_bury_node(struct ml_past *past, const struct ml_id *node);
/** In the order of client and clock, or not: it is sorted in the end. */
bool ml_past_bury_range(struct ml_past *past, const struct ml_wire_range *range);
/** It is this transaction's, and can be found from now on. False: out of memory. */
bool ml_past_close_grave(struct ml_past *past, uint64_t tag);
/** NULL: not known (any more). */
const struct ml_grave *ml_past_grave(const struct ml_past *past, const struct ml_id *node);

/** Forget all, and an open one. */
void ml_past_release_graves(struct ml_past *past);

/** One number more in a list that grows. False: out of memory. */
bool ml_past_push(uint32_t **at, uint32_t *count, uint32_t *cap, uint32_t value);

#endif
