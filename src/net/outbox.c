/* SPDX-License-Identifier: MIT */
/*
 * Frames that wait for one socket. A fan-out of a thousand is one blob and a thousand references;
 * bytes are copied only when several small frames leave in one write.
 *
 *       first                         first + count
 *         |                                |
 *   [ . ][ update ][ - ][ presence 7 ][ sync ][ . ]      a ring; "-": presence dropped in its place
 *
 * Invariants:
 *  [O1] `bytes` is the cost of all places but those of ML_SEND_SYNC, `sync_bytes` theirs;
 *  [O2] `bytes`, less a large frame at the front, stayed below hard_bytes before the last push: one
 *       update that is larger than the ceiling still gets through, and what comes while it leaves;
 *  [O3] of presence about one client at most one frame waits (among the last LOOK_BACK places);
 *  [O4] updates and sync frames leave in the order in which they came.
 */
#include "net/outbox.h"

#include "base/assert.h"

#include <stdlib.h>

#define CAP_FIRST  8
#define LOOK_BACK  64 /* places searched for older presence of the same client */
#define PLACE_COST (sizeof(struct ml_outbox_item) + 32)

static size_t cost_of(const struct ml_blob *blob)
{
    return blob->len + PLACE_COST;
}

static struct ml_outbox_item *item_at(struct ml_outbox *outbox, size_t index)
{
    return &outbox->items[(outbox->first + index) & (outbox->cap - 1)];
}

/* The only client that an awareness frame speaks of, or 0. */
static uint64_t client_of(enum ml_dialect dialect, const struct ml_blob *frame)
{
    struct ml_reader r = ml_reader_make(ml_frame_message(frame));
    struct ml_presence_reader entries;
    struct ml_presence_entry entry;
    struct ml_frame message;
    bool more;

    if (ml_frame_decode(dialect, &r, &message) || message.kind != ML_FRAME_AWARENESS ||
        ml_presence_begin(message.payload, &entries) || entries.left != 1 ||
        ml_presence_next(&entries, &more, &entry))
        return 0;
    return entry.client;
}

/* The same client in another document is another one. */
static bool same_document(enum ml_dialect dialect, const struct ml_blob *a, const struct ml_blob *b)
{
    struct ml_reader ra = ml_reader_make(ml_frame_message(a));
    struct ml_reader rb = ml_reader_make(ml_frame_message(b));
    struct ml_frame one, other;

    return !ml_frame_decode(dialect, &ra, &one) && !ml_frame_decode(dialect, &rb, &other) &&
           ml_slice_equal(one.address, other.address);
}

static void drop(struct ml_outbox *outbox, struct ml_outbox_item *item)
{
    outbox->bytes -= cost_of(item->blob);
    outbox->presence--;
    outbox->dropped++;
    ml_blob_unref(item->blob);
    item->blob = NULL;
}

static void drop_presence(struct ml_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count && outbox->presence; i++) {
        struct ml_outbox_item *item = item_at(outbox, i);

        if (item->blob && item->as == ML_SEND_PRESENCE)
            drop(outbox, item);
    }
}

static void drop_older(struct ml_outbox *outbox, uint64_t client, const struct ml_blob *frame)
{
    size_t last = outbox->count > LOOK_BACK ? outbox->count - LOOK_BACK : 0;

    for (size_t i = outbox->count; i > last; i--) {
        struct ml_outbox_item *item = item_at(outbox, i - 1);

        if (item->blob && item->as == ML_SEND_PRESENCE && item->client == client &&
            same_document(outbox->dialect, item->blob, frame)) {
            drop(outbox, item);
            return;
        }
    }
}

/* What counts against the hard ceiling. */
static size_t backlog(struct ml_outbox *outbox)
{
    const struct ml_outbox_item *front = outbox->count ? item_at(outbox, 0) : NULL;
    bool is_large = front && front->blob && front->as == ML_SEND_UPDATE &&
                    cost_of(front->blob) > outbox->soft_bytes;

    return is_large ? outbox->bytes - cost_of(front->blob) : outbox->bytes;
}

/* Room for one more: places of dropped frames are closed up before the ring grows. */
static bool make_place(struct ml_outbox *outbox)
{
    struct ml_outbox_item *items;
    size_t cap, kept = 0;

    if (outbox->count < outbox->cap)
        return true;
    for (size_t i = 0; i < outbox->count; i++) {
        struct ml_outbox_item item = *item_at(outbox, i);

        if (item.blob)
            *item_at(outbox, kept++) = item;
    }
    outbox->count = kept;
    if (kept < outbox->cap)
        return true;
    cap = outbox->cap ? outbox->cap * 2 : CAP_FIRST;
    items = malloc(cap * sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < outbox->count; i++)
        items[i] = *item_at(outbox, i);
    free(outbox->items);
    outbox->items = items;
    outbox->cap = cap;
    outbox->first = 0;
    return true;
}

void ml_outbox_init(struct ml_outbox *outbox, enum ml_dialect dialect, size_t soft_bytes,
                    size_t hard_bytes)
{
    *outbox =
        (struct ml_outbox){.dialect = dialect, .soft_bytes = soft_bytes, .hard_bytes = hard_bytes};
}

void ml_outbox_release(struct ml_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++)
        ml_blob_unref(item_at(outbox, i)->blob);
    free(outbox->items);
    ml_outbox_init(outbox, outbox->dialect, outbox->soft_bytes, outbox->hard_bytes);
}

enum ml_err ml_outbox_push(struct ml_outbox *outbox, struct ml_blob *frame, enum ml_send as)
{
    size_t cost = cost_of(frame);
    uint64_t client = 0;

    if (as != ML_SEND_SYNC && outbox->bytes + cost > outbox->soft_bytes)
        drop_presence(outbox);
    if (as == ML_SEND_PRESENCE) {
        if (outbox->bytes + cost > outbox->soft_bytes) {
            outbox->dropped++;
            return ML_OK;
        }
        client = client_of(outbox->dialect, frame);
        if (client && outbox->presence)
            drop_older(outbox, client, frame);
    }
    if (as == ML_SEND_UPDATE && backlog(outbox) >= outbox->hard_bytes)
        return ML_EBUSY;
    if (!make_place(outbox))
        return ML_ELIMIT;
    *item_at(outbox, outbox->count++) =
        (struct ml_outbox_item){.blob = ml_blob_ref(frame), .client = client, .as = as};
    if (as == ML_SEND_SYNC)
        outbox->sync_bytes += cost;
    else
        outbox->bytes += cost;
    outbox->presence += as == ML_SEND_PRESENCE;
    return ML_OK;
}

struct ml_slice ml_outbox_gather(struct ml_outbox *outbox, uint8_t *buffer, size_t cap,
                                 size_t *count_out)
{
    struct ml_slice only = {NULL, 0};
    size_t used = 0, i;

    for (i = 0; i < outbox->count; i++) {
        const struct ml_blob *blob = item_at(outbox, i)->blob;

        if (!blob)
            continue;
        if (!only.len) {
            only = ml_blob_slice(blob);
            if (only.len > cap)
                break;
            continue;
        }
        if (blob->len > cap || (used ? used : only.len) + blob->len > cap)
            break;
        if (!used) {
            memcpy(buffer, only.ptr, only.len);
            used = only.len;
        }
        memcpy(buffer + used, blob->bytes, blob->len);
        used += blob->len;
    }
    /* A blob too large to be joined was alone at the front: its place counts too. */
    *count_out = only.len > cap ? i + 1 : i;
    return used ? ml_slice_make(buffer, used) : only;
}

void ml_outbox_pop(struct ml_outbox *outbox, size_t count)
{
    ML_ASSERT(count <= outbox->count);
    for (size_t i = 0; i < count; i++) {
        struct ml_outbox_item *item = item_at(outbox, i);

        if (!item->blob)
            continue;
        if (item->as == ML_SEND_SYNC)
            outbox->sync_bytes -= cost_of(item->blob);
        else
            outbox->bytes -= cost_of(item->blob);
        outbox->presence -= item->as == ML_SEND_PRESENCE;
        ml_blob_unref(item->blob);
    }
    outbox->count -= count;
    outbox->first = outbox->count ? (outbox->first + count) & (outbox->cap - 1) : 0;
}
