/* SPDX-License-Identifier: MIT */
/*
 * JSON as security wants it: UTF-8, one value, nothing behind it, no key twice in an object, depth
 * and size bounded. Private to auth/.
 */
#ifndef ML_AUTH_STRICT_JSON_H
#define ML_AUTH_STRICT_JSON_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define ML_STRICT_DEPTH_MAX   8
#define ML_STRICT_NODES_MAX   4096
#define ML_STRICT_MEMBERS_MAX 256 /* of one object */

enum ml_strict_kind {
    ML_STRICT_NULL,
    ML_STRICT_FALSE,
    ML_STRICT_TRUE,
    ML_STRICT_NUMBER, /* text: as written */
    ML_STRICT_STRING, /* text: without quotes and escapes */
    ML_STRICT_ARRAY,
    ML_STRICT_OBJECT,
};

struct ml_strict_node {
    enum ml_strict_kind kind;
    struct ml_slice key; /* of a member of an object, without escapes */
    struct ml_slice text;
    const struct ml_strict_node *child, *next;
};

/** The tree, in `scratch`. @retval ML_EFORMAT, ML_ELIMIT (nodes, members, depth, memory) */
enum ml_err ml_strict_parse(struct ml_slice text, struct ml_arena *scratch,
                            const struct ml_strict_node **root_out) ML_MUST_CHECK;

/** A member of an object; NULL: it is not there, or this is no object. */
const struct ml_strict_node *ml_strict_get(const struct ml_strict_node *object, const char *key);
/** The text of a member that is a string; .ptr NULL otherwise. */
struct ml_slice ml_strict_text(const struct ml_strict_node *object, const char *key);
/** A whole number between -2^53 and 2^53, written without fraction and exponent. */
bool ml_strict_integer(const struct ml_strict_node *node, int64_t *out);

#endif
