/* SPDX-License-Identifier: MIT */
/*
 * A document as bytes: its whole state, or what somebody lacks.
 *
 * Clients in descending order, each run as one struct, then the deleted ranges of the whole
 * document, whatever was asked for. Since runs are joined to the maximum [B2], the bytes are the
 * same on every replica. Content is copied as it came; numbers are written without checks once
 * there is room.
 *
 * Source: Yjs 13.6, encoding.js (encodeStateAsUpdate), Item.write.
 */
#include "engine/item.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "engine/any.h"

/*
 * The most a run takes beside content, root name and key: info, two ids, parent, five lengths; and
 * what put_plain writes beyond.
 */
#define RUN_MAX_BYTES (96 + ML_PAGE_PAD)
/* Runs that are fetched ahead of the one that is written. */
#define AHEAD 6
/* A first guess of what a run takes beside content. */
#define RUN_TYPICAL_BYTES 20

/* ---- One run
 * --------------------------------------------------------------------------------------- */

static inline uint8_t *put_id(const struct ml_doc *doc, uint8_t *p, uint32_t slot, uint32_t clock)
{
    const struct ml_client *c = &doc->clients[slot];

    memcpy(p, c->id_bytes, sizeof c->id_bytes);
    return ml_put_varuint(p + c->id_len, clock);
}

/* Short contents are the rule: two overlapping words instead of a call. */
static uint8_t *put_bytes(uint8_t *p, const uint8_t *from, size_t len)
{
    if (len >= 8 && len <= 16) {
        uint64_t a, b;

        memcpy(&a, from, 8);
        memcpy(&b, from + len - 8, 8);
        memcpy(p, &a, 8);
        memcpy(p + len - 8, &b, 8);
    } else if (len < 8) {
        for (size_t i = 0; i < len; i++)
            p[i] = from[i];
    } else {
        memcpy(p, from, len);
    }
    return p + len;
}

static uint8_t *put_text(uint8_t *p, struct ml_slice text)
{
    return put_bytes(ml_put_varuint(p, text.len), text.ptr, text.len);
}

static uint8_t *put_parent(const struct ml_doc *doc, uint8_t *p, const struct ml_item *i)
{
    const struct ml_branch *b = ml_branch_at(doc, i->parent);

    if (b->is_root) {
        *p++ = 1;
        p = put_text(p, ml_name_text(doc, b->name));
    } else {
        const struct ml_item *holder = ml_item_at(doc, b->item);

        *p++ = 0;
        p = put_id(doc, p, ml_item_slot(holder), holder->clock);
    }
    return ml_item_is_keyed(i) ? put_text(p, ml_name_text(doc, i->aux)) : p;
}

/* Content from unit `skip` on; `skip_bytes`: where that is, NIL: not known. */
static uint8_t *put_content(const struct ml_doc *doc, uint8_t *p, const struct ml_item *i,
                            uint32_t skip, uint32_t skip_bytes)
{
    struct ml_wire s; /* for its cutting */
    struct ml_slice rest;

    if (skip && skip_bytes != NIL && ml_item_has_bytes(i)) {
        rest = ml_item_content(doc, i);
        rest = ml_slice_make(rest.ptr + skip_bytes, rest.len - skip_bytes);
        p = ml_put_varuint(p, ml_item_kind(i) == ML_WIRE_STRING ? rest.len : i->len - skip);
        return put_bytes(p, rest.ptr, rest.len);
    }

    switch (ml_item_kind(i)) {
    case ML_WIRE_TYPE: {
        const struct ml_branch *b = ml_branch_at(doc, i->off);

        p = ml_put_varuint(p, b->type_ref);
        return b->name != NIL ? put_text(p, ml_name_text(doc, b->name)) : p;
    }
    case ML_WIRE_DELETED:
        return ml_put_varuint(p, i->len - skip);
    case ML_WIRE_STRING:
        if (!skip)
            return put_text(p, ml_item_content(doc, i));
        s = (struct ml_wire){
            .kind = ML_WIRE_STRING, .len = i->len, .content = ml_item_content(doc, i)};
        ml_wire_cut(&s, skip);
        p = ml_put_varuint(p, s.content.len + (s.half ? 3 : 0));
        if (s.half) {
            memcpy(p, "\xef\xbf\xbd", 3);
            p += 3;
        }
        return put_bytes(p, s.content.ptr, s.content.len);
    case ML_WIRE_ANY:
    case ML_WIRE_JSON:
        s = (struct ml_wire){
            .kind = (uint8_t)ml_item_kind(i), .len = i->len, .content = ml_item_content(doc, i)};
        if (skip)
            ml_wire_cut(&s, skip);
        p = ml_put_varuint(p, i->len - skip);
        return put_bytes(p, s.content.ptr, s.content.len);
    case ML_WIRE_BINARY:
    case ML_WIRE_EMBED:
        return put_text(p, ml_item_content(doc, i));
    default: /* Format, Doc: the body as it came */
        return put_bytes(p, ml_item_content(doc, i).ptr, i->blen);
    }
}

static uint8_t *put_run(const struct ml_doc *doc, uint8_t *p, const struct ml_item *i,
                        uint32_t skip, uint32_t skip_bytes)
{
    uint8_t info = (uint8_t)ml_item_kind(i);
    uint32_t o_cl = i->o_cl, o_clock = i->o_clock;

    if (ml_item_is_gc(i)) {
        *p++ = info;
        return ml_put_varuint(p, i->len - skip);
    }
    if (skip) {
        o_cl = ml_item_slot(i);
        o_clock = i->clock + skip - 1;
    }
    if (ml_item_is_keyed(i))
        info |= ML_INFO_KEY;
    if (o_cl != NIL)
        info |= ML_INFO_ORIGIN;
    if (i->ro_cl != NIL)
        info |= ML_INFO_RIGHT_ORIGIN;
    *p++ = info;
    if (o_cl != NIL)
        p = put_id(doc, p, o_cl, o_clock);
    if (i->ro_cl != NIL)
        p = put_id(doc, p, i->ro_cl, i->ro_clock);
    if (o_cl == NIL && i->ro_cl == NIL)
        p = put_parent(doc, p, i);
    return put_content(doc, p, i, skip, skip_bytes);
}

/* Text or deleted, beside a neighbour, whole: nearly all runs are. */
static inline bool is_plain(const struct ml_item *i)
{
    unsigned kind = ml_item_kind(i);

    return (kind == ML_WIRE_STRING || kind == ML_WIRE_DELETED) && (i->o_cl & i->ro_cl) != NIL;
}

/* A plain run, as put_run would write it. Writes up to ML_PAGE_PAD bytes beyond its end. */
static inline uint8_t *put_plain(const struct ml_doc *doc, uint8_t *p, const struct ml_item *i)
{
    uint8_t *info = p++;
    const uint8_t *text;

    *info = (uint8_t)(ml_item_kind(i) | (ml_item_is_keyed(i) ? ML_INFO_KEY : 0));
    if (i->o_cl != NIL) {
        *info |= ML_INFO_ORIGIN;
        p = put_id(doc, p, i->o_cl, i->o_clock);
    }
    if (i->ro_cl != NIL) {
        *info |= ML_INFO_RIGHT_ORIGIN;
        p = put_id(doc, p, i->ro_cl, i->ro_clock);
    }
    if (ml_item_kind(i) == ML_WIRE_DELETED)
        return ml_put_varuint(p, i->len);
    p = ml_put_varuint(p, i->blen);
    text = ml_content_at(doc, i->off);
    if (i->blen <= ML_PAGE_PAD) /* more than asked for, but without a branch on the length */
        memcpy(p, text, ML_PAGE_PAD);
    else
        memcpy(p, text, i->blen);
    return p + i->blen;
}

/* Bytes beyond RUN_MAX_BYTES that a run may take. */
static size_t run_extra(const struct ml_doc *doc, const struct ml_item *i)
{
    size_t bytes = i->blen;
    const struct ml_branch *b;

    if (i->o_cl == NIL && i->ro_cl == NIL && !ml_item_is_gc(i)) {
        b = ml_branch_at(doc, i->parent);
        if (b->is_root)
            bytes += doc->names[b->name].len;
        if (ml_item_is_keyed(i))
            bytes += doc->names[i->aux].len;
    }
    if (ml_item_kind(i) == ML_WIRE_TYPE) {
        b = ml_branch_at(doc, i->off);
        if (b->name != NIL)
            bytes += doc->names[b->name].len;
    }
    return bytes;
}

/* ---- Sections
 * ---------------------------------------------------------------------------------------- */

static uint32_t runs_left(const struct ml_run_walk *walk)
{
    const struct ml_client *c = walk->client;
    uint32_t n;

    if (!c->chunk_count)
        return 1;
    if (walk->chunk == 0 && walk->pos == 0)
        return c->runs;
    n = c->chunk[walk->chunk]->count - walk->pos;
    for (uint32_t k = walk->chunk + 1; k < c->chunk_count; k++)
        n += c->chunk[k]->count;
    return n;
}

/* Runs from `at` on in one chunk. */
static bool write_span(struct ml_writer *w, const struct ml_doc *doc, const uint32_t *items,
                       uint32_t at, uint32_t count)
{
    for (; at < count; at++) {
        const struct ml_item *i = ml_item_at(doc, items[at]);
        bool plain = is_plain(i);

        __builtin_prefetch(ml_item_at(doc, items[at + AHEAD < count ? at + AHEAD : at]));
        if (!ml_writer_reserve(w, RUN_MAX_BYTES + (plain ? i->blen : run_extra(doc, i))))
            return false;
        w->len = (size_t)((plain ? put_plain(doc, w->ptr + w->len, i)
                                 : put_run(doc, w->ptr + w->len, i, 0, NIL)) -
                          w->ptr);
    }
    return true;
}

static void write_runs(struct ml_writer *w, const struct ml_doc *doc, uint32_t slot, uint32_t from,
                       uint32_t skip_bytes)
{
    const struct ml_client *c = &doc->clients[slot];
    struct ml_run_walk walk;
    uint32_t first = ml_run_walk_start(&walk, c, from), count = runs_left(&walk), at = walk.pos;
    const struct ml_item *i = ml_item_at(doc, first);

    ml_wire_write_section(w, count, c->id, from);
    if (from > i->clock) {
        size_t known = skip_bytes == NIL ? 0 : skip_bytes;

        if (!ml_writer_reserve(w, RUN_MAX_BYTES + run_extra(doc, i) - known))
            return;
        w->len = (size_t)(put_run(doc, w->ptr + w->len, i, from - i->clock, skip_bytes) - w->ptr);
        at++;
    }
    if (!c->chunk_count) {
        (void)write_span(w, doc, &c->tail, at, 1);
        return;
    }
    for (uint32_t n = walk.chunk; n < c->chunk_count; n++, at = 0)
        if (!write_span(w, doc, ml_chunk_items(c->chunk[n]), at, c->chunk[n]->count))
            return;
}

void ml_write_runs(struct ml_writer *w, const struct ml_doc *doc, uint32_t slot, uint32_t from)
{
    write_runs(w, doc, slot, from, NIL);
}

void ml_write_new_runs(struct ml_writer *w, const struct ml_doc *doc, uint32_t slot, uint32_t from)
{
    const struct ml_border *b = &doc->txn.border;
    struct ml_run_walk walk;
    uint32_t index = ml_run_walk_start(&walk, &doc->clients[slot], from);
    bool known = b->slot == slot && b->clock == from &&
                 b->run_clock == ml_item_at(doc, index)->clock && b->run_clock < from;

    write_runs(w, doc, slot, from, known ? b->bytes : NIL);
}

static int compare_order(const void *pa, const void *pb)
{
    const struct ml_client_order *a = pa, *b = pb;

    return (a->id < b->id) - (a->id > b->id);
}

bool ml_doc_order_clients(struct ml_doc *doc)
{
    if (doc->order_count == doc->client_count)
        return true;
    while (doc->order_cap < doc->client_count) {
        void *grown = ml_doc_grow(doc, doc->order, &doc->order_cap, sizeof *doc->order);

        if (!grown)
            return false;
        doc->order = grown;
    }
    for (uint32_t s = 0; s < doc->client_count; s++)
        doc->order[s] = (struct ml_client_order){doc->clients[s].id, s};
    qsort(doc->order, doc->client_count, sizeof *doc->order, compare_order);
    doc->order_count = doc->client_count;
    return true;
}

/* The deleted ranges of one client into `ranges`. */
static bool collect_deleted(struct ml_doc *doc, uint32_t slot, struct ml_runs *ranges)
{
    const struct ml_client *c = &doc->clients[slot];
    uint32_t chunks = c->chunk_count ? c->chunk_count : 1;

    ranges->count = 0;
    for (uint32_t n = 0; n < chunks; n++) {
        const uint32_t *items = c->chunk_count ? ml_chunk_items(c->chunk[n]) : &c->tail;
        uint32_t count = c->chunk_count ? c->chunk[n]->count : 1;

        for (uint32_t at = 0; at < count; at++) {
            const struct ml_item *i = ml_item_at(doc, items[at]);

            __builtin_prefetch(ml_item_at(doc, items[at + AHEAD < count ? at + AHEAD : at]));
            if (ml_item_is_deleted(i) && !ml_runs_add(doc, ranges, slot, i->clock, ml_item_end(i)))
                return false;
        }
    }
    return true;
}

/* The deleted ranges of the whole document, encoded anew. */
static bool encode_deleted(struct ml_writer *w, struct ml_doc *doc)
{
    struct ml_runs *ranges = &doc->txn.deleted; /* scratch: no transaction is open */
    uint32_t clients = 0;

    for (uint32_t n = 0; n < doc->client_count; n++)
        clients += doc->clients[n].deleted_runs > 0;
    ml_write_varuint(w, clients);
    for (uint32_t n = 0; n < doc->client_count; n++) {
        const struct ml_client *c = &doc->clients[doc->order[n].slot];

        if (!c->deleted_runs)
            continue;
        if (!collect_deleted(doc, doc->order[n].slot, ranges))
            return false;
        ml_write_varuint(w, c->id);
        ml_write_varuint(w, ranges->count);
        if (!ml_writer_reserve(w, ranges->count * (size_t)10))
            return false;
        for (uint32_t i = 0; i < ranges->count; i++) {
            const struct ml_run *r = &ranges->at[i];
            uint8_t *p = ml_put_varuint(w->ptr + w->len, r->clock);

            w->len = (size_t)(ml_put_varuint(p, r->end - r->clock) - w->ptr);
        }
    }
    return !w->err;
}

bool ml_doc_know_deleted(struct ml_doc *doc)
{
    bool ok;

    if (doc->deleted_known)
        return true;
    if (!ml_doc_order_clients(doc))
        return false;
    ml_writer_reset(&doc->deleted);
    ok = encode_deleted(&doc->deleted, doc);
    ml_txn_end(doc); /* the scratch */
    doc->deleted_known = ok;
    return ok;
}

/* ---- State vectors
 * ------------------------------------------------------------------------------------- */

/* What a holder of a state vector knows: by slot, and for parked clients by the bytes. */
struct known {
    const uint32_t *from; /* [client_count], NULL: nothing known */
    struct ml_slice bytes;
};

static enum ml_err read_known(struct ml_doc *doc, struct ml_slice bytes, uint32_t *from)
{
    struct ml_reader in = ml_reader_make(bytes);
    uint64_t left;
    enum ml_err err = ml_state_vector_open(&in, &left);

    while (!err) {
        struct ml_id entry;
        bool more;
        uint32_t slot;

        err = ml_state_vector_next(&in, &left, &entry, &more);
        if (err || !more)
            break;
        slot = ml_slot_find(doc, entry.client);
        if (from && slot != NIL)
            from[slot] = entry.clock > UINT32_MAX ? UINT32_MAX : (uint32_t)entry.clock;
    }
    return err;
}

static uint64_t state_in_bytes(const void *sv, ml_client_id client)
{
    struct ml_reader in = ml_reader_make(((const struct known *)sv)->bytes);
    uint64_t left, state = 0;
    struct ml_id entry;
    bool more = true;

    if (!((const struct known *)sv)->bytes.len || ml_state_vector_open(&in, &left))
        return 0;
    while (!ml_state_vector_next(&in, &left, &entry, &more) && more)
        if (entry.client == client)
            state = entry.clock;
    return state;
}

void ml_doc_state_vector(const struct ml_doc *doc, struct ml_writer *out)
{
    struct ml_client_order *order;
    uint32_t n = 0;

    order = malloc(((size_t)doc->client_count + 1) * sizeof *order);
    if (!order) {
        out->err = out->err ? out->err : ML_ELIMIT;
        return;
    }
    for (uint32_t s = 0; s < doc->client_count; s++)
        if (doc->clients[s].next)
            order[n++] = (struct ml_client_order){doc->clients[s].id, s};
    qsort(order, n, sizeof *order, compare_order);
    ml_write_varuint(out, n);
    for (uint32_t i = 0; i < n; i++) {
        ml_write_varuint(out, order[i].id);
        ml_write_varuint(out, doc->clients[order[i].slot].next);
    }
    free(order);
}

/* ---- The state
 * ------------------------------------------------------------------------------------------- */

static uint32_t known_of(const struct known *known, uint32_t slot)
{
    return known->from ? known->from[slot] : 0;
}

/* Without what is pending. */
static enum ml_err write_integrated(struct ml_doc *doc, const struct known *known,
                                    struct ml_writer *w)
{
    uint32_t sections = 0;
    size_t guess = 0;

    if (!ml_doc_order_clients(doc) || !ml_doc_know_deleted(doc))
        return ML_ELIMIT;
    for (uint32_t s = 0; s < doc->client_count; s++) {
        if (doc->clients[s].next <= known_of(known, s))
            continue;
        sections++;
        guess += known->from ? 0 : (size_t)doc->clients[s].runs * RUN_TYPICAL_BYTES;
    }
    if (guess && guess < w->max)
        (void)ml_writer_reserve(w, guess);
    ml_write_varuint(w, sections);
    for (uint32_t n = 0; n < doc->client_count; n++) {
        uint32_t slot = doc->order[n].slot;

        if (doc->clients[slot].next > known_of(known, slot))
            ml_write_runs(w, doc, slot, known_of(known, slot));
    }
    ml_write_bytes(w, ml_writer_slice(&doc->deleted));
    return w->err;
}

/* The state, the pending deletes and the pending structs as one update. */
static enum ml_err write_with_pending(struct ml_doc *doc, const struct known *known,
                                      struct ml_writer *out)
{
    struct ml_writer parts[3];
    struct ml_slice slices[3];
    struct ml_arena scratch;
    size_t count = 0;
    enum ml_err err;

    ml_arena_init(&scratch, doc->limits.doc_bytes);
    for (int i = 0; i < 3; i++)
        ml_writer_init(&parts[i], doc->limits.doc_bytes);
    err = write_integrated(doc, known, &parts[count++]);
    if (doc->pending.deletes.count) {
        ml_write_varuint(&parts[count], 0);
        ml_wire_write_ranges(&parts[count++], doc->pending.deletes.ranges,
                             doc->pending.deletes.count);
    }
    if (doc->pending.count)
        ml_pending_write_structs(&parts[count++], doc, state_in_bytes, known);
    for (size_t i = 0; i < count; i++) {
        slices[i] = ml_writer_slice(&parts[i]);
        err = err ? err : parts[i].err;
    }
    if (!err)
        err = ml_updates_merge(slices, count, &doc->limits, &scratch, out, NULL);
    for (int i = 0; i < 3; i++)
        ml_writer_release(&parts[i]);
    ml_arena_release(&scratch);
    return err;
}

enum ml_err ml_doc_encode_state(struct ml_doc *doc, struct ml_slice state_vector,
                                struct ml_writer *out)
{
    struct known known = {.bytes = state_vector};
    uint32_t *from = NULL;
    enum ml_err err = ML_OK;

    ML_ASSERT(!doc->is_writing);
    if (doc->broken)
        return ML_ELIMIT;
    if (state_vector.len) {
        from = calloc((size_t)doc->client_count + 1, sizeof *from);
        if (!from)
            return ML_ELIMIT;
        err = read_known(doc, state_vector, from);
        known.from = from;
    }
    if (!err)
        err = doc->pending.count || doc->pending.deletes.count
                  ? write_with_pending(doc, &known, out)
                  : write_integrated(doc, &known, out);
    free(from);
    return err;
}
