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
 *  [O1] `bytes` is the cost of all places but answers and parts of large changes, which count in
 *       the pool; of these, `large_bytes` is that of the parts, and stayed below hard_bytes before
 *       the first part of the last change;
 *  [O2] `bytes`, less the first large update, stayed below hard_bytes before the last push: one
 *       update that is larger than the ceiling still gets through, and what comes while it leaves;
 *  [O3] of presence about one client at most one frame waits (among the last LOOK_BACK places);
 *  [O4] updates and sync frames leave in the order in which they came, merged ones in the place of
 *       their first.
 */
#include "net/outbox.h"

#include "base/assert.h"

#include <stdlib.h>

#define CAP_FIRST  8
#define LOOK_BACK  64 /* places searched for older presence of the same client */
#define PLACE_COST (sizeof(struct ml_outbox_item) + 32)
/* Smaller frames that go past the ceilings (a ping, a close) are not worth an entry in the pool. */
#define POOLED_BYTES 4096
/* Updates become frames of at most so much, and at most so many of them in one go. */
#define MERGED_BYTES (512u << 10)
#define MERGED_COUNT 4096
#define SCRATCH_MAX  (64u << 20)

/* ---- The pool ---------------------------------------------------------------------------------
 */

struct pooled {
    struct ml_blob *frame; /* its address is the key */
    size_t count;
};

static struct ml_slice key_of(struct ml_blob *const *frame)
{
    return ml_slice_make((const uint8_t *)frame, sizeof *frame);
}

void ml_frame_pool_init(struct ml_frame_pool *pool, size_t max_bytes)
{
    *pool = (struct ml_frame_pool){.max_bytes = max_bytes};
    ml_hashmap_init(&pool->frames);
}

void ml_frame_pool_release(struct ml_frame_pool *pool)
{
    ML_ASSERT(pool->bytes == 0);
    ml_hashmap_release(&pool->frames);
}

static bool pool_take(struct ml_frame_pool *pool, struct ml_blob *frame)
{
    struct pooled *pooled;

    if (frame->len < POOLED_BYTES)
        return true;
    pooled = ml_hashmap_get(&pool->frames, key_of(&frame));
    if (pooled) {
        pooled->count++;
        return true;
    }
    if (frame->len > pool->max_bytes || pool->bytes > pool->max_bytes - frame->len)
        return false;
    pooled = malloc(sizeof *pooled);
    if (!pooled)
        return false;
    *pooled = (struct pooled){.frame = frame, .count = 1};
    if (!ml_hashmap_put(&pool->frames, key_of(&pooled->frame), pooled)) {
        free(pooled);
        return false;
    }
    pool->bytes += frame->len;
    return true;
}

static void pool_give(struct ml_frame_pool *pool, struct ml_blob *frame)
{
    struct pooled *pooled;

    if (frame->len < POOLED_BYTES)
        return;
    pooled = ml_hashmap_get(&pool->frames, key_of(&frame));
    ML_ASSERT(pooled);
    if (--pooled->count)
        return;
    (void)ml_hashmap_remove(&pool->frames, key_of(&frame));
    pool->bytes -= frame->len;
    free(pooled);
}

/* ---- The outbox -------------------------------------------------------------------------------
 */

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

/* What counts against the hard ceiling: all but the first large update, wherever it stands. Looked
 * for only by who would be over the ceiling with it. */
static size_t backlog(struct ml_outbox *outbox)
{
    if (outbox->bytes < outbox->hard_bytes)
        return outbox->bytes;
    for (size_t i = 0; i < outbox->count; i++) {
        const struct ml_outbox_item *item = item_at(outbox, i);

        if (item->blob && item->as == ML_SEND_UPDATE && cost_of(item->blob) > outbox->soft_bytes)
            return outbox->bytes - cost_of(item->blob);
    }
    return outbox->bytes;
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

/* ---- Merging ----------------------------------------------------------------------------------
 */

/* Updates of one document that wait one after the other (presence between them does not matter). */
struct merging {
    struct ml_slice prefix; /* the same in all of them; borrows from the first frame */
    struct ml_slice *updates;
    size_t *places;
    size_t count, bytes;
};

static void merge_run(struct ml_outbox *outbox, struct merging *m, struct ml_arena *scratch)
{
    struct ml_blob *frame = NULL;
    struct ml_writer merged;

    ml_writer_init(&merged, m->bytes * 2);
    if (m->count > 1 && !ml_updates_merge(m->updates, m->count, NULL, scratch, &merged, NULL) &&
        !merged.err)
        frame = ml_frame_put_update(m->prefix, ml_writer_slice(&merged));
    ml_writer_release(&merged);
    ml_arena_reset(scratch);
    for (size_t i = 0; frame && i < m->count; i++) {
        struct ml_outbox_item *item = item_at(outbox, m->places[i]);

        outbox->bytes -= cost_of(item->blob);
        ml_blob_unref(item->blob);
        item->blob = i ? NULL : frame;
    }
    if (frame) {
        outbox->bytes += cost_of(frame);
        outbox->merged += m->count - 1;
    }
    m->count = m->bytes = 0;
}

static void merge_updates(struct ml_outbox *outbox)
{
    struct merging m = {.updates = malloc(MERGED_COUNT * sizeof *m.updates),
                        .places = malloc(MERGED_COUNT * sizeof *m.places)};
    struct ml_arena scratch;

    ml_arena_init(&scratch, SCRATCH_MAX);
    for (size_t i = 0; m.updates && m.places && i < outbox->count; i++) {
        struct ml_outbox_item *item = item_at(outbox, i);
        struct ml_slice prefix, update;

        if (!item->blob || item->as == ML_SEND_PRESENCE)
            continue;
        if (item->as != ML_SEND_UPDATE ||
            !ml_frame_take_update(outbox->dialect, item->blob, &prefix, &update)) {
            merge_run(outbox, &m, &scratch);
            continue;
        }
        if (m.count && (m.count == MERGED_COUNT || m.bytes + update.len > MERGED_BYTES ||
                        !ml_slice_equal(m.prefix, prefix)))
            merge_run(outbox, &m, &scratch);
        if (!m.count)
            m.prefix = prefix;
        m.places[m.count] = i;
        m.updates[m.count++] = update;
        m.bytes += update.len;
    }
    if (m.updates && m.places)
        merge_run(outbox, &m, &scratch);
    ml_arena_release(&scratch);
    free(m.updates);
    free(m.places);
    /* What cannot be made smaller is not tried at every frame. */
    outbox->merge_bytes = outbox->bytes + outbox->soft_bytes / 2;
}

/* ---- What the session calls -------------------------------------------------------------------
 */

void ml_outbox_init(struct ml_outbox *outbox, enum ml_dialect dialect, struct ml_frame_pool *pool,
                    size_t soft_bytes, size_t hard_bytes)
{
    *outbox = (struct ml_outbox){.dialect = dialect,
                                 .pool = pool,
                                 .soft_bytes = soft_bytes,
                                 .hard_bytes = hard_bytes,
                                 .merge_bytes = soft_bytes};
}

static bool is_part(enum ml_send as)
{
    return as == ML_SEND_LARGE || as == ML_SEND_MORE;
}

static bool is_pooled(enum ml_send as)
{
    return as == ML_SEND_SYNC || is_part(as);
}

static void let_go(struct ml_outbox *outbox, struct ml_outbox_item *item)
{
    if (!item->blob)
        return;
    if (is_pooled(item->as))
        pool_give(outbox->pool, item->blob);
    else
        outbox->bytes -= cost_of(item->blob);
    if (is_part(item->as))
        outbox->large_bytes -= cost_of(item->blob);
    outbox->presence -= item->as == ML_SEND_PRESENCE;
    ml_blob_unref(item->blob);
}

void ml_outbox_release(struct ml_outbox *outbox)
{
    for (size_t i = 0; i < outbox->count; i++)
        let_go(outbox, item_at(outbox, i));
    free(outbox->items);
    ml_outbox_init(outbox, outbox->dialect, outbox->pool, outbox->soft_bytes, outbox->hard_bytes);
}

enum ml_err ml_outbox_push(struct ml_outbox *outbox, struct ml_blob *frame, enum ml_send as)
{
    size_t cost = cost_of(frame);
    uint64_t client = 0;

    if (!is_pooled(as) && outbox->bytes + cost > outbox->soft_bytes) {
        drop_presence(outbox);
        if (outbox->bytes + cost > outbox->merge_bytes)
            merge_updates(outbox);
    }
    if (as == ML_SEND_PRESENCE) {
        if (outbox->bytes + cost > outbox->soft_bytes) {
            outbox->dropped++;
            return ML_OK;
        }
        client = client_of(outbox->dialect, frame);
        if (client && outbox->presence)
            drop_older(outbox, client, frame);
    }
    if ((as == ML_SEND_UPDATE && backlog(outbox) >= outbox->hard_bytes) ||
        (as == ML_SEND_LARGE && outbox->large_bytes >= outbox->hard_bytes))
        return ML_EBUSY;
    if (!make_place(outbox) || (is_pooled(as) && !pool_take(outbox->pool, frame)))
        return ML_ELIMIT;
    *item_at(outbox, outbox->count++) =
        (struct ml_outbox_item){.blob = ml_blob_ref(frame), .client = client, .as = as};
    if (!is_pooled(as))
        outbox->bytes += cost;
    if (is_part(as))
        outbox->large_bytes += cost;
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
    for (size_t i = 0; i < count; i++)
        let_go(outbox, item_at(outbox, i));
    outbox->count -= count;
    outbox->first = outbox->count ? (outbox->first + count) & (outbox->cap - 1) : 0;
    if (outbox->bytes <= outbox->soft_bytes / 2)
        outbox->merge_bytes = outbox->soft_bytes;
}
