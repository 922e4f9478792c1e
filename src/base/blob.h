/* SPDX-License-Identifier: MIT */
/*
 * Immutable counted bytes: what journal, bus and a thousand outboxes share. The count is atomic, so
 * a blob may cross threads; the bytes never change after it was made.
 */
#ifndef ML_BASE_BLOB_H
#define ML_BASE_BLOB_H

#include "base/codec.h"
#include "base/slice.h"

#include <stdatomic.h>

struct ml_blob {
    /* private */ atomic_uint refs;
    size_t len;
    uint8_t bytes[];
};

/** A copy of `bytes`, one reference for the caller. NULL: out of memory. */
struct ml_blob *ml_blob_new(struct ml_slice bytes);
/** Uninitialised bytes for the caller to fill before anybody else sees the blob. */
struct ml_blob *ml_blob_alloc(size_t len);
struct ml_blob *ml_blob_ref(struct ml_blob *blob);
/** NULL is fine. */
void ml_blob_unref(struct ml_blob *blob);

static inline struct ml_slice ml_blob_slice(const struct ml_blob *blob)
{
    return (struct ml_slice){blob->bytes, blob->len};
}

#endif
