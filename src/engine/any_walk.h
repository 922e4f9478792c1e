/* SPDX-License-Identifier: MIT */
/*
 * Looking into an Any that was checked (ml_any_skip): walks, members, scalars. Private to engine/.
 * Everything borrows from the bytes. Each look is a walk over what it passes: whoever wants several
 * members of an object takes them in one walk.
 */
#ifndef ML_ENGINE_ANY_WALK_H
#define ML_ENGINE_ANY_WALK_H

#include "base/codec.h"

enum ml_any_tag {
    ML_TAG_BYTES = 0x74,
    ML_TAG_ARRAY = 0x75,
    ML_TAG_OBJECT = 0x76,
    ML_TAG_STRING = 0x77,
    ML_TAG_TRUE = 0x78,
    ML_TAG_FALSE,
    ML_TAG_FLOAT64 = 0x7b,
    ML_TAG_FLOAT32 = 0x7c,
    ML_TAG_INTEGER = 0x7d,
    ML_TAG_NULL = 0x7e,
    ML_TAG_UNDEFINED = 0x7f
};

/** The tag; of an empty slice UNDEFINED. */
uint8_t ml_any_tag(struct ml_slice any);

/** Walks the elements of a list or the members of an object, which were checked. */
struct ml_any_walk {
    struct ml_reader in;
    uint64_t left;
    bool is_object;
};

/** Of anything else: a walk over nothing. */
struct ml_any_walk ml_any_walk(struct ml_slice any);
/** False: that was the last. `*key` is left alone in a list. */
bool ml_any_next(struct ml_any_walk *w, struct ml_slice *key, struct ml_slice *value);
/** A member of an object; empty: not there. The last of equal ones counts. */
struct ml_slice ml_any_member(struct ml_slice any, struct ml_slice name);
/** False: it is no string. */
bool ml_any_string(struct ml_slice any, struct ml_slice *out);
/** A number, in any of the three forms. False: it is none. */
bool ml_any_number(struct ml_slice any, double *out);
/** A whole number from 0 to 2^32-1, in any of the three forms. False: it is none. */
bool ml_any_index(struct ml_slice any, uint32_t *out);

#endif
