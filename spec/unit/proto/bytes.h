/* SPDX-License-Identifier: MIT */
/* What every program of this folder needs before cmocka. */
#ifndef ML_SPEC_PROTO_BYTES_H
#define ML_SPEC_PROTO_BYTES_H

#include "proto/proto.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "support/vectors.h"

#define LIMIT (1u << 24)

/** A byte vector as a slice in `out`. */
static inline struct ml_slice unhex(struct ml_writer *out, const char *hex)
{
    return ml_vectors_unhex(out, hex);
}

#endif
