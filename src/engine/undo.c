/* SPDX-License-Identifier: MIT */
/*
 * An update that a policy refuses. A CRDT cannot leave it out: its author has it, and what the
 * author writes next refers to it. So it goes in, and is undone in the same change:
 *
 *   inserted   [ A ][ "bad" ]        ->  [ A ][ Deleted 3 ]               same ids, same place, no
 * content deleted    [ A ][ "old" ][ B ]   ->  [ A ][ Deleted 3 ]["old"][ B ]   a copy by the
 * document's client key set    k: [ 1 ][ 2 ]         ->  k: [ Deleted 1 ][ Deleted 1 ][ 1 ]
 *
 * The record holds all of it. A replica that has never seen the update sees nothing happen; the
 * author's replica sees its edit disappear. Both end in the same state.
 *
 *  - What stood in a deleted type is copied with it, in its order, so far as it was alive before.
 *  - A type that was refused becomes deleted content; what is in it, or comes later, becomes GC.
 *  - What of a refused update has to wait is parked as deleted content; its deletes of units that
 * are not there yet are forgotten.
 */
#include "engine/effects.h"

void ml_wire_refuse(struct ml_wire *s)
{
    if (s->kind == ML_WIRE_GC || s->kind == ML_WIRE_SKIP)
        return;
    s->kind = ML_WIRE_DELETED;
    s->half = false;
    s->content = s->body = s->name = (struct ml_slice){0};
}

/* Was the item there, and alive, when the transaction began? */
static bool was_alive(const struct ml_doc *doc, const struct ml_item *i)
{
    const struct ml_client *c = &doc->clients[ml_item_slot(i)];
    unsigned kind = ml_item_kind(i);

    if (!ml_item_is_deleted(i) || kind == ML_WIRE_GC || kind == ML_WIRE_DELETED ||
        (c->txn == doc->txn.number && i->clock >= c->before))
        return false;
    return ml_runs_hold(&doc->txn.deleted, ml_item_slot(i), i->clock);
}

static bool holds(const struct ml_doc *doc, const struct ml_wire_range *ranges, size_t count,
                  const struct ml_item *i)
{
    const struct ml_wire_range *r =
        count ? ml_ranges_find(ranges, count, doc->clients[ml_item_slot(i)].id, i->clock) : NULL;

    return r && r->clock <= i->clock;
}

/* Was this value of a key replaced by one that was refused, and by no other? */
static bool gave_way(const struct ml_doc *doc, const struct ml_judgement *j,
                     const struct ml_item *i)
{
    bool refused = false;

    for (uint32_t n = i->right; n != NIL; n = ml_item_at(doc, n)->right) {
        if (!ml_item_is_deleted(ml_item_at(doc, n)))
            return false;
        refused |= holds(doc, j->restoring, j->restoring_count, ml_item_at(doc, n));
    }
    return refused;
}

/* The judgement takes the deletion back. Runs end where ranges of the update end. */
static bool comes_back(const struct ml_doc *doc, const struct ml_judgement *j,
                       const struct ml_item *i)
{
    if (j->all)
        return true;
    if (ml_item_is_keyed(i) && j->restoring_count && gave_way(doc, j, i))
        return true;
    if (ml_item_is_keyed(i) && i->right != NIL &&
        !ml_item_is_deleted(ml_item_at(doc, ml_branch_entry(ml_branch_at(doc, i->parent), i->aux))))
        return false; /* another value has come meanwhile */
    return holds(doc, j->kept, j->kept_count, i);
}

/* A copy of item `from`, by the own client, behind `left` in the list or key chain. NIL: out of
 * memory. */
static uint32_t copy_item(struct ml_doc *doc, uint32_t from, uint32_t parent, uint32_t left)
{
    const struct ml_item *source = ml_item_at(doc, from);
    struct ml_payload what = ml_payload_of(doc, source);
    struct ml_spot at = {.left = left, .right = NIL, .parent = parent, .key = NIL};

    if (ml_item_is_keyed(source))
        at.key = source->aux;
    else if (left == NIL)
        at.right = ml_branch_at(doc, parent)->start;
    if (left != NIL)
        at.right = ml_item_at(doc, left)->right;
    return ml_own_insert(doc, &at, &what);
}

/* Copy an item to its place behind itself, or as the new value of its key. NIL: out of memory. */
static uint32_t copy_back(struct ml_doc *doc, uint32_t from)
{
    const struct ml_item *i = ml_item_at(doc, from);

    return copy_item(doc, from, i->parent,
                     ml_item_is_keyed(i) ? ml_branch_entry(ml_branch_at(doc, i->parent), i->aux)
                                         : from);
}

/* Note two branches on the work list, if `from` holds a type. */
static bool push_types(struct ml_doc *doc, uint32_t from, uint32_t copy)
{
    const struct ml_item *i = ml_item_at(doc, from);

    if (copy == NIL)
        return false;
    return ml_item_kind(i) != ML_WIRE_TYPE ||
           (ml_txn_push(doc, i->off) && ml_txn_push(doc, ml_item_at(doc, copy)->off));
}

/* What was alive in branch `from` goes into the empty branch `to`. */
static bool copy_children(struct ml_doc *doc, uint32_t from, uint32_t to)
{
    uint32_t last = NIL, cursor = 0;
    struct ml_key_entry e;

    for (uint32_t i = ml_branch_at(doc, from)->start; i != NIL; i = ml_item_at(doc, i)->right) {
        if (!was_alive(doc, ml_item_at(doc, i)))
            continue;
        last = copy_item(doc, i, to, last);
        if (!push_types(doc, i, last))
            return false;
    }
    while (ml_branch_next_entry(ml_branch_at(doc, from), &cursor, &e)) {
        if (e.item == NIL)
            continue;
        /* the value may have been overwritten by the refused update before its type was deleted */
        while (e.item != NIL && !was_alive(doc, ml_item_at(doc, e.item)))
            e.item = ml_item_at(doc, e.item)->left;
        if (e.item != NIL && !push_types(doc, e.item, copy_item(doc, e.item, to, NIL)))
            return false;
    }
    return true;
}

/* The deleted items that were alive and whose type lives, onto the work list. */
static bool find_topmost(struct ml_doc *doc, const struct ml_judgement *judgement)
{
    for (uint32_t n = 0; n < doc->txn.deleted.count; n++) {
        const struct ml_run *r = &doc->txn.deleted.at[n];
        struct ml_run_walk walk;
        uint32_t index = ml_run_walk_start(&walk, &doc->clients[r->slot], r->clock);

        for (; index != NIL && ml_item_at(doc, index)->clock < r->end;
             index = ml_run_walk_next(&walk)) {
            const struct ml_item *i = ml_item_at(doc, index);
            const struct ml_branch *b;

            if (!was_alive(doc, i) || !comes_back(doc, judgement, i))
                continue;
            b = ml_branch_at(doc, i->parent);
            if ((b->item == NIL || !ml_item_is_deleted(ml_item_at(doc, b->item))) &&
                !ml_txn_push(doc, index))
                return false;
        }
    }
    return true;
}

bool ml_txn_restore(struct ml_doc *doc, const struct ml_judgement *judgement)
{
    struct ml_txn *t = &doc->txn;
    uint32_t topmost;

    ml_runs_normalize(&t->deleted);
    if (!find_topmost(doc, judgement))
        return false;
    topmost = t->stack_count;
    for (uint32_t n = 0; n < topmost; n++) {
        uint32_t from = t->stack[n];

        if (!push_types(doc, from, copy_back(doc, from)))
            return false;
        while (t->stack_count > topmost) { /* nesting is in the hands of writers: no recursion */
            uint32_t new_branch = t->stack[t->stack_count - 1];
            uint32_t old_branch = t->stack[t->stack_count - 2];

            t->stack_count -= 2;
            if (!copy_children(doc, old_branch, new_branch))
                return false;
        }
    }
    t->stack_count = 0;
    return true;
}
