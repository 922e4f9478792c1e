/* SPDX-License-Identifier: MIT */
/* One function that knows all invariants of item.h; every failure carries the number. */
#include "engine/position.h"

#include <stdlib.h>

struct check {
    const struct ml_doc *doc;
    struct ml_diag *diag;
    uint64_t placed;  /* items met on a walk from a branch */
    uint64_t items;   /* runs that are no GC */
    uint64_t held;    /* content bytes of items */
    uint64_t deleted; /* units */
};

static enum ml_err broken(struct check *k, const char *what, const struct ml_item *i)
{
    return ml_diag_set(k->diag, ML_EFORMAT, 0, "%s (client slot %u clock %u len %u kind %u)", what,
                       i ? ml_item_slot(i) : 0, i ? i->clock : 0, i ? i->len : 0,
                       i ? ml_item_kind(i) : 0);
}

#define REQUIRE(fact, text, item)                                                                  \
    do {                                                                                           \
        if (!(fact))                                                                               \
            return broken(k, text, item);                                                          \
    } while (0)

/* Does an origin name a unit that is there, and is an own one earlier? */
static bool is_known(const struct ml_doc *doc, const struct ml_item *i, uint32_t slot,
                     uint32_t clock)
{
    if (slot == NIL)
        return true;
    if (slot >= doc->client_count || clock >= doc->clients[slot].next)
        return false;
    return slot != ml_item_slot(i) || clock < i->clock;
}

/* Is the type around a kept item kept, too? */
static bool is_held(const struct ml_doc *doc, const struct ml_item *i)
{
    uint32_t holder = ml_branch_at(doc, i->parent)->item;

    return holder == NIL || (ml_item_at(doc, holder)->cl & ML_ITEM_KEPT);
}

/* Marked exactly if there is a copy of it, as long as it is, of a client that has come so far. */
static bool is_marked_redone(const struct ml_doc *doc, const struct ml_item *i)
{
    struct ml_run to;
    bool copied = ml_redone_find(doc, ml_item_slot(i), i->clock, &to);

    if (!(i->cl & ML_ITEM_REDONE))
        return !copied;
    return copied && ml_item_is_deleted(i) && to.end - to.clock >= i->len &&
           to.slot < doc->client_count && to.end <= doc->clients[to.slot].next;
}

static enum ml_err check_run(struct check *k, const struct ml_item *i)
{
    const struct ml_doc *doc = k->doc;

    REQUIRE(i->len > 0, "[B1] empty run", i);
    REQUIRE(is_known(doc, i, i->o_cl, i->o_clock) && is_known(doc, i, i->ro_cl, i->ro_clock),
            "[B8] an origin is not there", i);
    k->held += ml_item_held(i);
    if (ml_item_is_gc(i)) {
        REQUIRE(ml_item_is_deleted(i) && i->left == NIL && i->right == NIL, "[B3] GC with a place",
                i);
        return ML_OK;
    }
    k->items++;
    REQUIRE(ml_item_held(i) >= i->blen || !ml_item_has_bytes(i), "[B10] content beyond its room",
            i);
    REQUIRE(ml_item_kind(i) != ML_WIRE_DELETED || ml_item_is_deleted(i), "[B9] Deleted but alive",
            i);
    REQUIRE(doc->keep_deleted || !ml_item_is_deleted(i) || ml_item_kind(i) == ML_WIRE_DELETED ||
                (i->cl & ML_ITEM_KEPT),
            "[B9] deleted content is still there", i);
    REQUIRE(i->parent < doc->branches.used, "[B3] no parent", i);
    REQUIRE(!(i->cl & ML_ITEM_KEPT) || (doc->histories && is_held(doc, i)),
            "[H1] kept, but not its type", i);
    REQUIRE(is_marked_redone(doc, i), "[H2] a copy is not where it should be", i);
    if (ml_item_kind(i) == ML_WIRE_TYPE)
        REQUIRE(ml_item_at(doc, ml_branch_at(doc, i->off)->item) == i,
                "[B6] a type that is not its own", i);
    return ML_OK;
}

static enum ml_err check_client(struct check *k, const struct ml_client *c)
{
    const struct ml_doc *doc = k->doc;
    struct ml_run_walk walk;
    const struct ml_item *before = NULL;
    uint32_t clock = 0, runs = 0, deleted = 0, last = NIL;

    if (!c->runs) {
        REQUIRE(c->next == 0, "[B1] a client without runs has a state", NULL);
        return ML_OK;
    }
    for (uint32_t n = 0; n < c->chunk_count; n++) {
        const struct ml_chunk *chunk = c->chunk[n];

        REQUIRE(chunk->count && chunk->count <= chunk->cap && chunk->clock[0] == c->first[n],
                "[B1] broken chunk", NULL);
        for (uint32_t at = 0; at < chunk->cap; at++)
            REQUIRE((at < chunk->count) == (chunk->clock[at] != INT32_MAX), "[B1] broken chunk",
                    NULL);
    }
    for (uint32_t index = ml_run_walk_start(&walk, c, 0); index != NIL;
         index = ml_run_walk_next(&walk)) {
        const struct ml_item *i = ml_item_at(doc, index);
        enum ml_err err;

        REQUIRE(i->clock == clock && &doc->clients[ml_item_slot(i)] == c, "[B1] gap or overlap", i);
        if (c->chunk_count)
            REQUIRE((uint32_t)c->chunk[walk.chunk]->clock[walk.pos] == (i->clock ^ 0x80000000u),
                    "[B1] index and run differ", i);
        REQUIRE(!before || !ml_runs_match(before, i, index), "[B2] could be joined", i);
        err = check_run(k, i);
        if (err)
            return err;
        clock = ml_item_end(i);
        runs++;
        deleted += ml_item_is_deleted(i);
        k->deleted += ml_item_is_deleted(i) ? i->len : 0;
        before = i;
        last = index;
    }
    REQUIRE(clock == c->next && last == c->tail, "[B1] the last run is not the tail", before);
    REQUIRE(runs == c->runs && deleted == c->deleted_runs, "[B10] wrong run counts", before);
    return ML_OK;
}

/* Is the rest of its content, cut off later, in the same chain? */
static bool is_first_part(const struct ml_doc *doc, const struct ml_item *i)
{
    const struct ml_client *c = &doc->clients[ml_item_slot(i)];
    const struct ml_item *rest;
    struct ml_run_walk walk;

    if (ml_item_end(i) >= c->next)
        return false;
    rest = ml_item_at(doc, ml_run_walk_start(&walk, c, ml_item_end(i)));
    return !ml_item_is_gc(rest) && rest->parent == i->parent && ml_item_is_keyed(rest) &&
           rest->aux == i->aux && rest->o_cl == ml_item_slot(i) &&
           rest->o_clock == ml_item_end(i) - 1;
}

/* One list or chain from its first item on. */
static enum ml_err check_chain(struct check *k, uint32_t first, uint32_t branch, uint32_t key,
                               uint32_t last, uint64_t *length)
{
    const struct ml_doc *doc = k->doc;
    const struct ml_branch *b = ml_branch_at(doc, branch);
    bool dead = b->item != NIL && ml_item_is_deleted(ml_item_at(doc, b->item));
    uint32_t left = NIL;

    for (uint32_t index = first; index != NIL; index = ml_item_at(doc, index)->right) {
        const struct ml_item *i = ml_item_at(doc, index);

        REQUIRE(i->left == left, "[B3] left does not point back", i);
        REQUIRE(!ml_item_is_gc(i) && i->parent == branch, "[B3] another parent", i);
        REQUIRE((key == NIL) == !ml_item_is_keyed(i) && (key == NIL || i->aux == key),
                "[B3] another key", i);
        REQUIRE(key == NIL || i->right == NIL || ml_item_is_deleted(i) || is_first_part(doc, i),
                "[B5] an older value lives", i);
        REQUIRE(!dead || ml_item_is_deleted(i), "[B6] alive in a deleted type", i);
        REQUIRE(++k->placed <= k->items, "[B4] met twice", i);
        *length += ml_item_is_visible(i) ? i->len : 0;
        left = index;
    }
    REQUIRE(last == NIL || left == last, "[B4] the entry is not the last of its chain", NULL);
    return ML_OK;
}

static enum ml_err check_branch(struct check *k, uint32_t branch)
{
    const struct ml_doc *doc = k->doc;
    const struct ml_branch *b = ml_branch_at(doc, branch);
    uint64_t length = 0, none = 0;
    struct ml_key_entry e;
    uint32_t cursor = 0;
    enum ml_err err = check_chain(k, b->start, branch, NIL, NIL, &length);

    if (err)
        return err;
    REQUIRE(length == b->length, "[B7] wrong length of a type", NULL);
    while (ml_branch_next_entry(b, &cursor, &e)) {
        uint32_t first = e.item;

        while (ml_item_at(doc, first)->left != NIL)
            first = ml_item_at(doc, first)->left;
        err = check_chain(k, first, branch, e.key, e.item, &none);
        if (err)
            return err;
    }
    return ML_OK;
}

static enum ml_err check_pages(struct check *k)
{
    const struct ml_doc *doc = k->doc;
    uint64_t live = 0, names = 0;

    for (uint32_t p = 0; p < doc->page_count; p++) {
        const struct ml_page *page = &doc->pages[p];

        REQUIRE(!page->base || page->head != p || page->live <= page->bytes, "[B10] page too full",
                NULL);
        live += page->base && page->head == p ? page->live : 0;
    }
    for (uint32_t n = 0; n < doc->name_count; n++)
        names += doc->names[n].len;
    REQUIRE(live == k->held + names, "[B10] wrong live bytes", NULL);
    return ML_OK;
}

static enum ml_err check_pending(struct check *k)
{
    const struct ml_pending *p = &k->doc->pending;
    uint64_t structs = 0;

    for (uint32_t n = 0; n < p->count; n++) {
        uint64_t end = 0;

        REQUIRE(p->clients[n].count && (n == 0 || p->clients[n - 1].client < p->clients[n].client),
                "[P1] pending clients out of order", NULL);
        REQUIRE(p->deferred || ml_state_of(k->doc, p->clients[n].waits_for.client) <=
                                   p->clients[n].waits_for.clock,
                "[P2] waits for what is there", NULL);
        for (uint32_t i = 0; i < p->clients[n].count; i++) {
            REQUIRE(p->clients[n].at[i].clock >= end, "[P1] pending structs overlap", NULL);
            end = p->clients[n].at[i].clock + p->clients[n].at[i].len;
        }
        structs += p->clients[n].count;
    }
    REQUIRE(structs == p->structs, "[B10] wrong pending count", NULL);
    for (size_t n = 0; n < p->deletes.count; n++)
        REQUIRE(ml_state_of(k->doc, p->deletes.ranges[n].client) <= p->deletes.ranges[n].clock,
                "[P3] a pending delete is known", NULL);
    return ML_OK;
}

/* Units of a range that are deleted. */
static uint64_t deleted_in(const struct ml_doc *doc, const struct ml_wire_range *range)
{
    uint32_t slot = ml_slot_find(doc, range->client);
    uint64_t end = range->clock + range->len, units = 0;
    struct ml_run_walk walk;

    if (slot == NIL || end > doc->clients[slot].next)
        return 0;
    for (uint32_t i = ml_run_walk_start(&walk, &doc->clients[slot], (uint32_t)range->clock);
         i != NIL && ml_item_at(doc, i)->clock < end; i = ml_run_walk_next(&walk))
        if (ml_item_is_deleted(ml_item_at(doc, i)))
            units += ml_item_at(doc, i)->len;
    return units;
}

static enum ml_err check_deleted(struct check *k)
{
    const struct ml_doc *doc = k->doc;
    struct ml_wire_reader r = {.in = ml_reader_make(ml_writer_slice(&doc->deleted))};
    struct ml_wire_range range;
    uint64_t units = 0;
    bool more = doc->deleted_known;

    while (more) {
        REQUIRE(!ml_wire_next_range(&r, &range, &more), "[B11] broken delete set", NULL);
        if (!more)
            break;
        REQUIRE(deleted_in(doc, &range) == range.len, "[B11] not deleted, or not by whole runs",
                NULL);
        units += range.len;
    }
    REQUIRE(!doc->deleted_known || units == k->deleted, "[B11] the known delete set is old", NULL);
    return ML_OK;
}

enum ml_err ml_doc_check(const struct ml_doc *doc, struct ml_diag *diag)
{
    struct check check = {.doc = doc, .diag = diag}, *k = &check;
    enum ml_err err = ML_OK;

    REQUIRE(!doc->broken, "[B0] ran out of memory in the middle of a change", NULL);
    for (uint32_t s = 0; s < doc->client_count && !err; s++)
        err = check_client(k, &doc->clients[s]);
    for (uint32_t b = 0; b < doc->branches.used && !err; b++)
        if (ml_branch_at(doc, b)->is_root || ml_branch_at(doc, b)->item != NIL)
            err = check_branch(k, b);
    if (!err && k->placed != k->items)
        err = broken(k, "[B4] an item is in no list", NULL);
    if (!err)
        err = check_pages(k);
    if (!err)
        err = check_deleted(k);
    if (!err && !ml_positions_check(doc))
        err = broken(k, "[B12] the index of positions is wrong", NULL);
    return err ? err : check_pending(k);
}
