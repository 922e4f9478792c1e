/* SPDX-License-Identifier: MIT */
/* Frames that wait for one socket: references, bounded by bytes. Pure. */
#ifndef ML_NET_OUTBOX_H
#define ML_NET_OUTBOX_H

#include "base/blob.h"
#include "base/err.h"
#include "room/room.h"

struct ml_outbox_item {
    struct ml_blob *blob; /* NULL: dropped while it waited */
    uint64_t client;      /* presence: the one client it speaks of, or 0 */
    enum ml_send as;
};

struct ml_outbox {
    /* private */
    enum ml_dialect dialect;
    struct ml_outbox_item *items; /* a ring */
    size_t cap, first, count;     /* cap: 0 or a power of two */
    size_t bytes;                 /* updates and presence, with what the place itself costs */
    size_t sync_bytes;            /* answers to a Step1 */
    size_t presence;              /* items that may be dropped */
    size_t soft_bytes, hard_bytes;
    uint64_t dropped; /* presence frames, for statistics */
};

void ml_outbox_init(struct ml_outbox *outbox, enum ml_dialect dialect, size_t soft_bytes,
                    size_t hard_bytes);
/** Gives every reference back; the outbox is as after init. */
void ml_outbox_release(struct ml_outbox *outbox);

/**
 * Queue a frame; takes its own reference. Over the soft ceiling presence is dropped, what waits
 * first; newer presence of a client replaces older.
 * @retval ML_EBUSY   over the hard ceiling: nothing was queued
 * @retval ML_ELIMIT  out of memory
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
