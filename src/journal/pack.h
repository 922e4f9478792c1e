/* SPDX-License-Identifier: MIT */
/* Snapshots as they are stored: compressed where that is smaller. Private to journal/. */
#ifndef ML_JOURNAL_PACK_H
#define ML_JOURNAL_PACK_H

#include "journal/checksum.h"
#include "journal/journal.h"

/* Of one snapshot state, and of all that one load brings. */
#define ML_LOAD_MAX_BYTES (512u << 20)

enum ml_snapshot_codec { ML_CODEC_RAW, ML_CODEC_ZSTD };

/** Compress the state into node.packed, or take the state itself if that is not smaller. */
enum ml_err ml_snapshot_pack(struct ml_snapshot_put *put) ML_MUST_CHECK;
/** NULL: not what it claims to be, or out of memory. The checksum was right. */
struct ml_blob *ml_snapshot_unpack(const struct ml_snapshot_sum *sum);

#endif
