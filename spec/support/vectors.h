/* SPDX-License-Identifier: MIT */
/* Reads spec/data/vectors/NAME.json.gz for C tests. What cannot be read ends the program. */
#ifndef ML_SPEC_VECTORS_H
#define ML_SPEC_VECTORS_H

#include "base/codec.h"

#include <cjson/cJSON.h>

/** The file as a tree; free with cJSON_Delete. */
cJSON *ml_vectors_load(const char *name);
/** A member that must be there. */
const cJSON *ml_vectors_get(const cJSON *object, const char *member);
/** The text of a string member. */
const char *ml_vectors_text(const cJSON *object, const char *member);
/** Bytes of hex digits, appended to `out`, which is reset first. */
struct ml_slice ml_vectors_unhex(struct ml_writer *out, const char *hex);

#endif
