/* SPDX-License-Identifier: MIT */
/* Snapshots as they are stored. */
#include "journal/pack.h"

#include <zstd.h>

#define ZSTD_LEVEL 3 /* 3.85:1 on text; higher levels cost more than they save */

enum ml_err ml_snapshot_pack(struct ml_snapshot_put *put)
{
    size_t bound = ZSTD_compressBound(put->state->len);
    struct ml_blob *scratch;
    size_t packed;

    if (put->state->len > ML_LOAD_MAX_BYTES || ZSTD_isError(bound))
        return ml_diag_set(&put->diag, ML_ELIMIT, 0, "a snapshot of %zu bytes", put->state->len);
    scratch = ml_blob_alloc(bound);
    if (!scratch)
        return ML_ELIMIT;
    packed = ZSTD_compress(scratch->bytes, bound, put->state->bytes, put->state->len, ZSTD_LEVEL);
    if (ZSTD_isError(packed) || packed >= put->state->len) {
        put->node.codec = ML_CODEC_RAW;
        put->node.packed = ml_blob_ref(put->state);
    } else {
        put->node.codec = ML_CODEC_ZSTD;
        put->node.packed = ml_blob_new(ml_slice_make(scratch->bytes, packed));
    }
    ml_blob_unref(scratch);
    return put->node.packed ? ML_OK : ML_ELIMIT;
}

struct ml_blob *ml_snapshot_unpack(const struct ml_snapshot_sum *sum)
{
    struct ml_blob *state;

    if (sum->codec == ML_CODEC_RAW)
        return sum->state.len == sum->state_bytes ? ml_blob_new(sum->state) : NULL;
    if (sum->codec != ML_CODEC_ZSTD)
        return NULL;
    state = ml_blob_alloc((size_t)sum->state_bytes);
    if (state && ZSTD_decompress(state->bytes, state->len, sum->state.ptr, sum->state.len) !=
                     sum->state_bytes) {
        ml_blob_unref(state);
        return NULL;
    }
    return state;
}
