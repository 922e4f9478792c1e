/* SPDX-License-Identifier: MIT */
/* Document names and paths against patterns. */
#ifndef ML_BASE_GLOB_H
#define ML_BASE_GLOB_H

#include "base/slice.h"

/** '*' within one segment, '**' across segments, '/' between them. Cost: pattern x text. */
bool ml_glob_match(struct ml_slice pattern, struct ml_slice text);

#endif
