/* SPDX-License-Identifier: MIT */
/*
 * One apply from inside: what it touched, deletions, and the tidying at its end.
 *
 *   begin -> touch, integrate, delete ... -> tidy: collect, then join -> (emit) -> end
 *
 * Only what was touched is looked at in the end, never the document. Joining to the maximum and
 * collecting what was deleted makes the bytes of a state independent of the order of arrival.
 *
 * Source: Yjs 13.6, Transaction.js (cleanupTransactions), Item.delete, DeleteSet.js.
 */
#include "engine/position.h"

#include <stdlib.h>

/* An idle document keeps this many entries of each scratch array. */
#define KEEP_ENTRIES 16

bool ml_runs_add(struct ml_doc *doc, struct ml_runs *runs, uint32_t slot, uint32_t clock,
                 uint32_t end)
{
    struct ml_run *last = runs->count ? &runs->at[runs->count - 1] : NULL;

    if (last && last->slot == slot && last->end == clock) {
        last->end = end;
        return true;
    }
    if (runs->count == runs->cap) {
        void *grown = ml_doc_grow(doc, runs->at, &runs->cap, sizeof *runs->at);

        if (!grown)
            return false;
        runs->at = grown;
    }
    runs->at[runs->count++] = (struct ml_run){slot, clock, end};
    return true;
}

void ml_txn_begin(struct ml_doc *doc, uint64_t scan_steps)
{
    struct ml_txn *t = &doc->txn;

    t->number++;
    t->clients.count = t->deleted.count = t->merges.count = t->stack_count = 0;
    t->inserted_units = t->deleted_units = 0;
    t->scan_left = scan_steps;
    t->parked = t->dropped = false;
    t->border.slot = NIL;
    t->subdocs.max = SIZE_MAX / 2;
    ml_writer_reset(&t->subdocs);
}

static void shrink_runs(struct ml_doc *doc, struct ml_runs *runs)
{
    if (runs->cap > KEEP_ENTRIES) {
        ml_doc_drop(doc, runs->at, runs->cap * sizeof *runs->at);
        *runs = (struct ml_runs){0};
    }
}

void ml_txn_end(struct ml_doc *doc)
{
    struct ml_txn *t = &doc->txn;

    shrink_runs(doc, &t->clients);
    shrink_runs(doc, &t->deleted);
    shrink_runs(doc, &t->merges);
    ml_writer_release(&t->subdocs);
    if (t->stack_cap > KEEP_ENTRIES) {
        ml_doc_drop(doc, t->stack, t->stack_cap * sizeof *t->stack);
        t->stack = NULL;
        t->stack_cap = 0;
    }
}

void ml_txn_release(struct ml_doc *doc)
{
    struct ml_txn *t = &doc->txn;

    ml_doc_drop(doc, t->clients.at, t->clients.cap * sizeof *t->clients.at);
    ml_doc_drop(doc, t->deleted.at, t->deleted.cap * sizeof *t->deleted.at);
    ml_doc_drop(doc, t->merges.at, t->merges.cap * sizeof *t->merges.at);
    ml_doc_drop(doc, t->stack, t->stack_cap * sizeof *t->stack);
    t->clients = t->deleted = t->merges = (struct ml_runs){0};
    t->stack = NULL;
    t->stack_cap = 0;
}

bool ml_txn_touch(struct ml_doc *doc, uint32_t slot)
{
    struct ml_client *c = &doc->clients[slot];
    struct ml_runs *runs = &doc->txn.clients;

    if (c->txn == doc->txn.number)
        return true;
    if (runs->count == runs->cap) {
        void *grown = ml_doc_grow(doc, runs->at, &runs->cap, sizeof *runs->at);

        if (!grown)
            return false;
        runs->at = grown;
    }
    runs->at[runs->count++] = (struct ml_run){slot, c->next, c->next};
    c->txn = doc->txn.number;
    c->before = c->next;
    return true;
}

/* ---- Deletion
 * ------------------------------------------------------------------------------------- */

bool ml_txn_push(struct ml_doc *doc, uint32_t value)
{
    struct ml_txn *t = &doc->txn;

    if (t->stack_count == t->stack_cap) {
        void *grown = ml_doc_grow(doc, t->stack, &t->stack_cap, sizeof *t->stack);

        if (!grown)
            return false;
        t->stack = grown;
    }
    t->stack[t->stack_count++] = value;
    return true;
}

/* Mark one item; the branch of a type goes on the stack. */
static bool mark_deleted(struct ml_doc *doc, uint32_t index)
{
    struct ml_item *i = ml_item_at(doc, index);

    doc->steps++;
    if (ml_item_is_deleted(i))
        return true;
    if (ml_wire_is_countable(ml_item_kind(i))) {
        if (!ml_item_is_keyed(i))
            ml_branch_at(doc, i->parent)->length -= i->len;
        doc->txn.deleted_units += i->len;
    }
    ml_position_count(doc, index, ml_item_is_visible(i) ? -(int64_t)i->len : 0,
                      ml_item_kind(i) == ML_WIRE_FORMAT ? -1 : 0);
    if (ml_item_kind(i) == ML_WIRE_DOC && !ml_subdoc_note(doc, i, true))
        return false;
    i->cl |= ML_ITEM_DELETED;
    doc->deleted_known = false;
    doc->clients[ml_item_slot(i)].deleted_runs++;
    if (!ml_runs_add(doc, &doc->txn.deleted, ml_item_slot(i), i->clock, ml_item_end(i)))
        return false;
    return ml_item_kind(i) != ML_WIRE_TYPE || ml_txn_push(doc, i->off);
}

bool ml_item_delete(struct ml_doc *doc, uint32_t index)
{
    uint32_t base = doc->txn.stack_count;

    if (!mark_deleted(doc, index))
        return false;
    while (doc->txn.stack_count > base) { /* nesting is in the hands of writers: no recursion */
        const struct ml_branch *b = ml_branch_at(doc, doc->txn.stack[--doc->txn.stack_count]);
        struct ml_key_entry e;
        uint32_t cursor = 0;

        for (uint32_t i = b->start; i != NIL; i = ml_item_at(doc, i)->right)
            if (!mark_deleted(doc, i))
                return false;
        while (ml_branch_next_entry(b, &cursor, &e)) /* below the entry: cut values, see [B5] */
            for (uint32_t i = e.item; i != NIL; i = ml_item_at(doc, i)->left)
                if (!mark_deleted(doc, i))
                    return false;
    }
    return true;
}

/* Delete what is alive of [clock, end); all of it is there. */
static bool delete_known(struct ml_doc *doc, uint32_t slot, uint32_t clock, uint32_t end)
{
    while (clock < end) {
        uint32_t index;
        const struct ml_item *i;

        if (!ml_items_reserve(doc, 2))
            return false;
        index = ml_run_find(doc, slot, clock);
        i = ml_item_at(doc, index);
        if (!ml_item_is_deleted(i)) {
            if (i->clock < clock) {
                index = ml_run_split(doc, index, clock - i->clock);
                if (index == NIL)
                    return false;
                i = ml_item_at(doc, index);
            }
            if (ml_item_end(i) > end && ml_run_split(doc, index, end - i->clock) == NIL)
                return false;
            if (!ml_item_delete(doc, index))
                return false;
        }
        clock = ml_item_end(i);
    }
    return true;
}

bool ml_delete_range(struct ml_doc *doc, const struct ml_wire_range *range,
                     struct ml_idset *unknown)
{
    uint32_t slot = ml_slot_find(doc, range->client);
    uint64_t next = slot == NIL ? 0 : doc->clients[slot].next, end = range->clock + range->len;

    if (end > next) {
        uint64_t from = range->clock > next ? range->clock : next;

        if (!ml_idset_add(unknown, range->client, from, end - from))
            return false;
        end = next;
    }
    return range->clock >= end || delete_known(doc, slot, (uint32_t)range->clock, (uint32_t)end);
}

/* ---- The end
 * ---------------------------------------------------------------------------------------- */

static int compare_runs(const void *pa, const void *pb)
{
    const struct ml_run *a = pa, *b = pb;

    if (a->slot != b->slot)
        return a->slot < b->slot ? -1 : 1;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

/* Sort, and join what overlaps or touches. */
void ml_runs_normalize(struct ml_runs *runs)
{
    uint32_t n = 0;
    bool sorted = true;

    for (uint32_t i = 1; i < runs->count && sorted; i++)
        sorted = compare_runs(&runs->at[i - 1], &runs->at[i]) <= 0;
    if (!sorted)
        qsort(runs->at, runs->count, sizeof *runs->at, compare_runs);
    for (uint32_t i = 0; i < runs->count; i++) {
        struct ml_run *last = n ? &runs->at[n - 1] : NULL, *r = &runs->at[i];

        if (last && last->slot == r->slot && r->clock <= last->end)
            last->end = r->end > last->end ? r->end : last->end;
        else
            runs->at[n++] = *r;
    }
    runs->count = n;
}

bool ml_runs_hold(const struct ml_runs *runs, uint32_t slot, uint32_t clock)
{
    uint32_t lo = 0, hi = runs->count;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        const struct ml_run *r = &runs->at[mid];

        if (r->slot < slot || (r->slot == slot && r->end <= clock))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < runs->count && runs->at[lo].slot == slot && runs->at[lo].clock <= clock;
}

void ml_doc_watch(struct ml_doc *doc, struct ml_watch *watch)
{
    watch->next = doc->watches;
    doc->watches = watch;
}

void ml_doc_unwatch(struct ml_doc *doc, struct ml_watch *watch)
{
    struct ml_watch **at = &doc->watches;

    while (*at && *at != watch)
        at = &(*at)->next;
    if (*at)
        *at = watch->next;
}

bool ml_txn_tidy(struct ml_doc *doc)
{
    struct ml_txn *t = &doc->txn;

    for (struct ml_watch *w = doc->watches; w; w = w->next)
        if (!w->look(w, doc))
            return false;
    ml_runs_normalize(&t->deleted);
    if (!doc->keep_deleted && !ml_txn_collect(doc))
        return false;
    for (uint32_t i = 0; i < t->deleted.count; i++) {
        const struct ml_run *r = &t->deleted.at[i];
        const struct ml_client *c = &doc->clients[r->slot];

        if (c->txn == t->number && r->clock >= c->before)
            continue; /* inside what comes next */
        if (!ml_runs_add(doc, &t->merges, r->slot, r->clock, r->end))
            return false;
    }
    for (uint32_t i = 0; i < t->clients.count; i++) {
        uint32_t slot = t->clients.at[i].slot;

        if (!ml_runs_add(doc, &t->merges, slot, doc->clients[slot].before, doc->clients[slot].next))
            return false;
    }
    ml_runs_normalize(&t->merges);
    for (uint32_t i = 0; i < t->merges.count; i++) {
        const struct ml_run *r = &t->merges.at[i];

        if (!ml_runs_join_around(doc, r->slot, r->clock, r->end))
            return false;
    }
    return true;
}
