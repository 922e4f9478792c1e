/* SPDX-License-Identifier: MIT */
/*
 * What waits for something that has not come yet: structs per client, and delete ranges.
 *
 *   ann:  [ 7-9 ][ 10-11 ]     (hole)     [ 20-24 ]     waits for ann 6
 *   ben:  [ 3 ]                                         waits for ann 21
 *
 * Each client's head waits for one unit; when it has come, the parked structs are sources like
 * those of an update (schedule.c). Overlaps are resolved as when updates are merged: the one that
 * starts first stays whole, the later one is cut. All of it belongs to the state of the document:
 * it is stored and sent, otherwise a restart would lose it.
 *
 * Bounded by limits.pending_bytes and .pending_structs: what would go beyond is dropped and
 * reported, so that the owner asks its peer for everything again.
 */
#include "engine/item.h"

#include <stdlib.h>
#include <string.h>

/* What one struct and one delete range cost beside their bytes. */
#define PARKED_COST (sizeof(struct ml_parked))
#define RANGE_COST  (sizeof(struct ml_wire_range))

void ml_parked_read(const struct ml_parked *p, ml_client_id client, struct ml_wire *out)
{
    struct ml_wire_reader r = {
        .in = ml_reader_make(ml_slice_make(p->bytes, p->size)),
        .structs_left = 1,
        .client = client,
        .clock = p->clock,
        .first_clock = p->clock,
        .any_depth = UINT32_MAX,
        .key_bytes = UINT32_MAX,
        .trusted = true,
    };
    bool more;
    enum ml_err err = ml_wire_next_struct(&r, out, &more);

    ML_ASSERT(!err && more);
}

static void drop_parked(struct ml_doc *doc, struct ml_parked *p)
{
    doc->pending.bytes -= p->size + PARKED_COST;
    doc->pending.structs--;
    ml_doc_drop(doc, p->bytes, p->size);
}

/* Write a struct into `p`. */
static bool fill_parked(struct ml_doc *doc, struct ml_parked *p, const struct ml_wire *s)
{
    struct ml_writer w;

    ml_writer_init(&w, SIZE_MAX);
    ml_wire_write(&w, s);
    if (w.err || w.len > UINT32_MAX) {
        ml_writer_release(&w);
        return false;
    }
    p->bytes = ml_doc_alloc(doc, w.len);
    if (p->bytes) {
        memcpy(p->bytes, w.ptr, w.len);
        p->size = (uint32_t)w.len;
        p->clock = s->clock;
        p->len = s->len;
        p->kind = s->kind;
        doc->pending.bytes += p->size + PARKED_COST;
        doc->pending.structs++;
    }
    ml_writer_release(&w);
    return p->bytes != NULL;
}

/* Number of the first parked client >= `client`. */
static uint32_t find_client(const struct ml_pending *p, ml_client_id client)
{
    uint32_t lo = 0, hi = p->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (p->clients[mid].client < client)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct ml_parked_client *get_client(struct ml_doc *doc, ml_client_id client)
{
    struct ml_pending *p = &doc->pending;
    uint32_t at = find_client(p, client);

    if (at < p->count && p->clients[at].client == client)
        return &p->clients[at];
    if (p->count == p->cap) {
        void *grown = ml_doc_grow(doc, p->clients, &p->cap, sizeof *p->clients);

        if (!grown)
            return NULL;
        p->clients = grown;
    }
    memmove(p->clients + at + 1, p->clients + at, (p->count - at) * sizeof *p->clients);
    p->count++;
    p->clients[at] = (struct ml_parked_client){.client = client};
    return &p->clients[at];
}

/* Number of the first struct of `c` that starts behind `clock`. */
static uint32_t find_behind(const struct ml_parked_client *c, uint64_t clock)
{
    uint32_t lo = 0, hi = c->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (c->at[mid].clock <= clock)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Drop or cut the structs from number `at` on that reach into [.., end). */
static bool make_way(struct ml_doc *doc, struct ml_parked_client *c, uint32_t at, uint64_t end)
{
    uint32_t gone = 0;

    while (at + gone < c->count && c->at[at + gone].clock + c->at[at + gone].len <= end)
        drop_parked(doc, &c->at[at + gone++]);
    if (gone)
        memmove(c->at + at, c->at + at + gone, (c->count - at - gone) * sizeof *c->at);
    c->count -= gone;
    if (at < c->count && c->at[at].clock < end) {
        struct ml_parked old = c->at[at];
        struct ml_wire s;
        bool filled;

        ml_parked_read(&old, c->client, &s);
        ml_wire_cut(&s, end - s.clock);
        filled = fill_parked(doc, &c->at[at], &s);
        if (!filled)
            return false;
        drop_parked(doc, &old);
    }
    return true;
}

static bool insert_parked(struct ml_doc *doc, struct ml_parked_client *c, uint32_t at,
                          const struct ml_wire *s)
{
    struct ml_parked p = {0};

    if (c->count == c->cap) {
        void *grown = ml_doc_grow(doc, c->at, &c->cap, sizeof *c->at);

        if (!grown)
            return false;
        c->at = grown;
    }
    if (!fill_parked(doc, &p, s))
        return false;
    memmove(c->at + at + 1, c->at + at, (c->count - at) * sizeof *c->at);
    c->at[at] = p;
    c->count++;
    return true;
}

bool ml_pending_park(struct ml_doc *doc, const struct ml_wire *s, const struct ml_id *waits_for)
{
    struct ml_pending *p = &doc->pending;
    struct ml_parked_client *c;
    struct ml_wire rest = *s;
    uint64_t covered;
    uint32_t at;

    doc->txn.parked = true;
    if (p->structs >= doc->limits.pending_structs ||
        p->bytes + s->body.len + PARKED_COST + 64 > doc->limits.pending_bytes) {
        doc->txn.dropped = true;
        return true;
    }
    c = get_client(doc, s->client);
    if (!c)
        return false;
    at = find_behind(c, s->clock);
    covered = at ? c->at[at - 1].clock + c->at[at - 1].len : 0;
    if (covered < s->clock + s->len) {
        if (covered > s->clock)
            ml_wire_cut(&rest, covered - s->clock);
        if (!make_way(doc, c, at, s->clock + s->len) || !insert_parked(doc, c, at, &rest))
            return false;
    }
    if (at == 0)
        c->waits_for = *waits_for;
    return true;
}

bool ml_pending_can_move(const struct ml_doc *doc)
{
    const struct ml_pending *p = &doc->pending;

    if (p->deferred)
        return true;
    for (uint32_t i = 0; i < p->count; i++)
        if (ml_state_of(doc, p->clients[i].waits_for.client) > p->clients[i].waits_for.clock)
            return true;
    return false;
}

void ml_pending_advance(struct ml_doc *doc, struct ml_parked_client *c, uint32_t count,
                        const struct ml_id *waits_for)
{
    for (uint32_t i = 0; i < count; i++)
        drop_parked(doc, &c->at[i]);
    memmove(c->at, c->at + count, (c->count - count) * sizeof *c->at);
    c->count -= count;
    c->waits_for = *waits_for;
}

void ml_pending_compact(struct ml_doc *doc)
{
    struct ml_pending *p = &doc->pending;
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        if (p->clients[i].count)
            p->clients[n++] = p->clients[i];
        else
            ml_doc_drop(doc, p->clients[i].at, p->clients[i].cap * sizeof *p->clients[i].at);
    }
    p->count = n;
}

bool ml_pending_add_deletes(struct ml_doc *doc, struct ml_idset *set)
{
    struct ml_idset *to = &doc->pending.deletes;
    bool fits =
        (to->count + set->count) * RANGE_COST + doc->pending.bytes <= doc->limits.pending_bytes;
    bool ok = true;

    if (!set->count)
        return true;
    doc->txn.parked = true;
    doc->txn.dropped |= !fits;
    ml_idset_normalize(set);
    if (fits && !to->count) { /* the usual case, and a copy of very many is felt */
        struct ml_idset spare = *to;

        *to = *set;
        *set = spare;
    } else if (fits) {
        ok = ml_idset_merge(to, set);
    }
    ml_idset_release(set);
    return ok;
}

/* Of one client, what is there by now. What waits for others is not looked at. */
static bool retry_deletes_of(struct ml_doc *doc, uint32_t slot)
{
    struct ml_idset *waiting = &doc->pending.deletes, none = {0};
    ml_client_id id = doc->clients[slot].id;
    uint64_t state = doc->clients[slot].next;
    size_t first = ml_idset_find(waiting, id), n = first;
    bool ok = true;

    for (; ok && n < waiting->count; n++) {
        struct ml_wire_range *r = &waiting->ranges[n];
        struct ml_wire_range known = *r;

        if (r->client != id || r->clock >= state)
            break;
        if (known.len > state - known.clock)
            known.len = state - known.clock;
        ok = ml_delete_range(doc, &known, &none);
        if (known.len < r->len) {
            r->clock += known.len;
            r->len -= known.len;
            break;
        }
    }
    waiting->count -= n - first;
    memmove(waiting->ranges + first, waiting->ranges + n,
            (waiting->count - first) * sizeof *waiting->ranges);
    ML_ASSERT_DEBUG(!none.count);
    if (!waiting->count)
        ml_idset_release(waiting);
    return ok;
}

bool ml_pending_retry_deletes(struct ml_doc *doc)
{
    bool ok = true;

    for (uint32_t n = 0; ok && n < doc->txn.clients.count && doc->pending.deletes.count; n++)
        ok = retry_deletes_of(doc, doc->txn.clients.at[n].slot);
    return ok;
}

/* The structs of one client that end behind `from`, as a section. */
static void write_client(struct ml_writer *w, const struct ml_parked_client *c, uint64_t from)
{
    uint32_t first = 0;
    uint64_t structs = 0, clock = 0;

    while (first < c->count && c->at[first].clock + c->at[first].len <= from)
        first++;
    for (uint32_t i = first; i < c->count; i++) {
        structs += 1 + (i > first && c->at[i].clock > clock);
        clock = c->at[i].clock + c->at[i].len;
    }
    clock = c->at[first].clock > from ? c->at[first].clock : from;
    ml_wire_write_section(w, structs, c->client, clock);
    for (uint32_t i = first; i < c->count; i++) {
        struct ml_wire s;

        ml_parked_read(&c->at[i], c->client, &s);
        if (s.clock > clock) {
            ml_write_u8(w, ML_WIRE_SKIP);
            ml_write_varuint(w, s.clock - clock);
        } else if (s.clock < clock) {
            ml_wire_cut(&s, clock - s.clock);
        }
        ml_wire_write(w, &s);
        clock = s.clock + s.len;
    }
}

static uint64_t end_of(const struct ml_parked_client *c)
{
    return c->at[c->count - 1].clock + c->at[c->count - 1].len;
}

/*
 * Units that need not be written: the receiver has them, or the document has, in another form (they
 * came again as a collected range, which waits for nobody) that the merge must not lose.
 */
static uint64_t known_of(const struct ml_doc *doc, const struct ml_parked_client *c,
                         uint64_t (*state_of)(const void *sv, ml_client_id client), const void *sv)
{
    uint64_t there = state_of(sv, c->client), here = ml_state_of(doc, c->client);

    return there > here ? there : here;
}

void ml_pending_write_structs(struct ml_writer *w, const struct ml_doc *doc,
                              uint64_t (*state_of)(const void *sv, ml_client_id client),
                              const void *sv)
{
    const struct ml_pending *p = &doc->pending;
    uint32_t sections = 0;

    for (uint32_t i = 0; i < p->count; i++)
        sections += end_of(&p->clients[i]) > known_of(doc, &p->clients[i], state_of, sv);
    ml_write_varuint(w, sections);
    for (uint32_t i = p->count; i > 0; i--) {
        const struct ml_parked_client *c = &p->clients[i - 1];
        uint64_t known = known_of(doc, c, state_of, sv);

        if (end_of(c) > known)
            write_client(w, c, known);
    }
    ml_write_varuint(w, 0);
}

void ml_pending_release(struct ml_doc *doc)
{
    struct ml_pending *p = &doc->pending;

    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t k = 0; k < p->clients[i].count; k++)
            drop_parked(doc, &p->clients[i].at[k]);
        p->clients[i].count = 0;
    }
    ml_pending_compact(doc);
    ml_doc_drop(doc, p->clients, p->cap * sizeof *p->clients);
    ml_idset_release(&p->deletes);
}
