/* SPDX-License-Identifier: MIT */
/*
 * What undo has put back: which units were copied, and where the copies are.
 *
 *   units     ben 10-14            ->  ann 70-74        a range a copy, whatever runs it lies in
 * now copies    of copies are possible: ann 70-74 -> ann 90-94; `follow` ends at the newest
 *
 *   at        [ settled: sorted ......... | fresh: sorted ... ]
 *
 * One undo may copy a hundred thousand runs, most in ascending order, and looks things up between.
 * So new ranges go into a part of their own, which is short or appended to, and join the rest once.
 */
#include "engine/item.h"

#include <stdlib.h>

static int compare(const struct ml_redo_range *r, uint32_t slot, uint32_t clock)
{
    if (r->slot != slot)
        return r->slot < slot ? -1 : 1;
    return (r->clock > clock) - (r->clock < clock);
}

/* Where in [from, to) the first range behind the unit stands. */
static uint32_t upper(const struct ml_redo_table *t, uint32_t from, uint32_t to, uint32_t slot,
                      uint32_t clock)
{
    while (from < to) {
        uint32_t mid = from + (to - from) / 2;

        if (compare(&t->at[mid], slot, clock) <= 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

/* The range in [from, to) that holds the unit; NULL: none. */
static const struct ml_redo_range *range_of(const struct ml_redo_table *t, uint32_t from,
                                            uint32_t to, uint32_t slot, uint32_t clock)
{
    uint32_t at = upper(t, from, to, slot, clock);
    const struct ml_redo_range *r = at > from ? &t->at[at - 1] : NULL;

    return r && r->slot == slot && clock - r->clock < r->len ? r : NULL;
}

bool ml_redone_find(const struct ml_doc *doc, uint32_t slot, uint32_t clock, struct ml_run *to_out)
{
    const struct ml_redo_table *t = &doc->redone;
    const struct ml_redo_range *r = range_of(t, 0, t->settled, slot, clock);

    if (!r)
        r = range_of(t, t->settled, t->count, slot, clock);
    if (!r)
        return false;
    *to_out = (struct ml_run){r->to_slot, r->to_clock + (clock - r->clock), r->to_clock + r->len};
    return true;
}

struct ml_run ml_redone_follow(const struct ml_doc *doc, struct ml_run run)
{
    struct ml_run to;

    /* A copy is newer than what it is a copy of: this ends. */
    while (ml_redone_find(doc, run.slot, run.clock, &to)) {
        if (to.end - to.clock > run.end - run.clock)
            to.end = to.clock + (run.end - run.clock);
        run = to;
    }
    return run;
}

bool ml_redone_add(struct ml_doc *doc, uint32_t from, uint32_t to)
{
    struct ml_redo_table *t = &doc->redone;
    struct ml_item *source = ml_item_at(doc, from);
    const struct ml_item *copy = ml_item_at(doc, to);
    uint32_t slot = ml_item_slot(source), at;

    if (t->count == t->cap) {
        void *grown = ml_doc_grow(doc, t->at, &t->cap, sizeof *t->at);

        if (!grown)
            return false;
        t->at = grown;
    }
    at = upper(t, t->settled, t->count, slot, source->clock);
    memmove(t->at + at + 1, t->at + at, (t->count - at) * sizeof *t->at);
    t->at[at] =
        (struct ml_redo_range){slot, source->clock, source->len, ml_item_slot(copy), copy->clock};
    t->count++;
    source->cl |= ML_ITEM_REDONE;
    return true;
}

static int compare_ranges(const void *pa, const void *pb)
{
    const struct ml_redo_range *b = pb;

    return compare(pa, b->slot, b->clock);
}

void ml_redone_settle(struct ml_doc *doc)
{
    struct ml_redo_table *t = &doc->redone;

    if (t->settled && t->settled < t->count)
        qsort(t->at, t->count, sizeof *t->at, compare_ranges);
    t->settled = t->count;
}

void ml_redone_release(struct ml_doc *doc)
{
    ml_doc_drop(doc, doc->redone.at, doc->redone.cap * sizeof *doc->redone.at);
    doc->redone = (struct ml_redo_table){0};
}
