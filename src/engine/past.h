/* SPDX-License-Identifier: MIT */
/* What keys held before. Private to engine/. */
#ifndef ML_ENGINE_PAST_H
#define ML_ENGINE_PAST_H

#include "engine/item.h"

/** A value that is gone. */
struct ml_past_value {
    struct ml_id id; /* the unit that held it */
    uint8_t *any;    /* owned; NULL: too large to be kept */
    size_t len;
    uint64_t tag;         /* of the transaction that ended it */
    bool was_overwritten; /* by a newer value of the key; else deleted */
};

/** Note that it has ended. Without memory it is not noted. */
void ml_past_add(struct ml_past *past, const struct ml_id *id, struct ml_slice any, uint64_t tag,
                 bool was_overwritten);
/** NULL: not known (any more). */
const struct ml_past_value *ml_past_find(const struct ml_past *past, const struct ml_id *id);

#endif
