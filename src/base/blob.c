/* SPDX-License-Identifier: MIT */
#include "base/blob.h"

#include "base/assert.h"

#include <stdlib.h>

struct ml_blob *ml_blob_alloc(size_t len)
{
    struct ml_blob *blob;

    if (len > SIZE_MAX - sizeof *blob)
        return NULL;
    blob = malloc(sizeof *blob + len);
    if (!blob)
        return NULL;
    atomic_init(&blob->refs, 1);
    blob->len = len;
    return blob;
}

struct ml_blob *ml_blob_new(struct ml_slice bytes)
{
    struct ml_blob *blob = ml_blob_alloc(bytes.len);

    if (blob && bytes.len)
        memcpy(blob->bytes, bytes.ptr, bytes.len);
    return blob;
}

struct ml_blob *ml_blob_ref(struct ml_blob *blob)
{
    unsigned before = atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);

    ML_ASSERT(before > 0 && before < UINT32_MAX / 2);
    return blob;
}

void ml_blob_unref(struct ml_blob *blob)
{
    unsigned before;

    if (!blob)
        return;
    before = atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel);
    ML_ASSERT(before > 0);
    if (before == 1)
        free(blob);
}
