/* SPDX-License-Identifier: MIT */
/*
 * Frames that wait for one socket: references, bounded by bytes. Pure.
 *
 * A receiver that is slow costs less and less: over the soft ceiling presence is dropped, then the
 * updates that wait become one; over the hard ceiling it is sent away and comes back with a sync.
 */
#ifndef ML_NET_OUTBOX_H
#define ML_NET_OUTBOX_H

#include "base/blob.h"
#include "base/err.h"
#include "base/hashmap.h"
#include "room/room.h"

/**
 * What all answers to a Step1 that wait in the outboxes of a loop cost together: a frame that many
 * wait for counts once.
 */
struct ml_frame_pool {
    /* private */
    struct ml_hashmap frames; /* address of the blob → how many outboxes have it */
    size_t bytes, max_bytes;
};

void ml_frame_pool_init(struct ml_frame_pool *pool, size_t max_bytes);
/** No outbox may use it any more. */
void ml_frame_pool_release(struct ml_frame_pool *pool);

struct ml_outbox_item {
    struct ml_blob *blob; /* NULL: dropped while it waited */
    uint64_t client;      /* presence: the one client it speaks of, or 0 */
    enum ml_send as;
};

struct ml_outbox {
    /* private */
    struct ml_outbox_item *items; /* a ring */
    size_t cap, first, count;     /* cap: 0 or a power of two */
    size_t bytes;                 /* updates and presence, with what the place itself costs */
    size_t merge_bytes;           /* the next merging is worth it when `bytes` passes this */
    size_t large_bytes;           /* parts of large changes, which count in the pool */
    size_t presence;              /* items that may be dropped */
    size_t soft_bytes, hard_bytes;
    struct ml_frame_pool *pool; /* of the loop */
    enum ml_dialect dialect;
    uint64_t dropped, merged; /* presence frames; updates that became part of another */
};

void ml_outbox_init(struct ml_outbox *outbox, enum ml_dialect dialect, struct ml_frame_pool *pool,
                    size_t soft_bytes, size_t hard_bytes);
/** Gives every reference back; the outbox is as after init. */
void ml_outbox_release(struct ml_outbox *outbox);

/**
 * Queue a frame; takes its own reference. Over the soft ceiling presence is dropped, what waits
 * first, and updates are merged; newer presence of a client replaces older.
 * @retval ML_EBUSY   over the hard ceiling: nothing was queued
 * @retval ML_ELIMIT  out of memory, or of the pool for answers
 */
enum ml_err ml_outbox_push(struct ml_outbox *outbox, struct ml_blob *frame,
                           enum ml_send as) ML_MUST_CHECK;

/**
 * What to write next: one frame as it stands in its blob, or several small ones joined in `buffer`.
 * @param count_out  how many places that is: to be popped once it is written
 */
struct ml_slice ml_outbox_gather(struct ml_outbox *outbox, uint8_t *buffer, size_t cap,
                                 size_t *count_out);
void ml_outbox_pop(struct ml_outbox *outbox, size_t count);

static inline bool ml_outbox_is_empty(const struct ml_outbox *outbox)
{
    return outbox->count == 0;
}

#endif
