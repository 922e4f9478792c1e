/* SPDX-License-Identifier: MIT */
/*
 * Collection: what a transaction deleted loses its content, what stood inside a deleted type loses
 * its place, too.
 *
 *   live type:     [ A ][ "text", deleted ][ B ]    ->  [ A ][ Deleted 4 ][ B ]    others may still
 *                                                                                   refer to its
 * place deleted type:  [ Type, deleted ]                ->  [ Deleted 1 ]
 *                    +- [ "x" ][ Type ]             ->    GC 1, GC 1 ...            nobody can
 *
 * Source: Yjs 13.6, Item.gc and ContentType.gc.
 */
#include "engine/position.h"

static bool become_gc(struct ml_doc *doc, uint32_t index)
{
    struct ml_item *i = ml_item_at(doc, index);
    uint32_t slot = ml_item_slot(i);

    if (ml_item_kind(i) == ML_WIRE_TYPE && !ml_txn_push(doc, i->off))
        return false;
    ml_position_gone(doc, index, NIL);
    ml_content_drop(doc, i->off, ml_item_held(i));
    *i = (struct ml_item){
        .clock = i->clock,
        .len = i->len,
        .left = NIL,
        .right = NIL,
        .o_cl = NIL,
        .ro_cl = NIL,
        .cl = slot | ML_ITEM_DELETED | (uint32_t)ML_WIRE_GC << ML_ITEM_KIND_SHIFT,
        .parent = NIL,
    };
    return ml_runs_add(doc, &doc->txn.merges, slot, i->clock, ml_item_end(i));
}

/* Everything in the branch, and in the branches in it, becomes GC; the branches go. */
static bool collect_branch(struct ml_doc *doc, uint32_t branch)
{
    uint32_t base = doc->txn.stack_count;

    if (!ml_txn_push(doc, branch))
        return false;
    while (doc->txn.stack_count > base) {
        uint32_t index = doc->txn.stack[--doc->txn.stack_count], cursor = 0;
        const struct ml_branch *b = ml_branch_at(doc, index);
        struct ml_key_entry e;

        for (uint32_t i = b->start, next; i != NIL; i = next) {
            next = ml_item_at(doc, i)->right;
            if (!become_gc(doc, i))
                return false;
        }
        while (ml_branch_next_entry(b, &cursor, &e)) {
            for (uint32_t i = e.item, next; i != NIL; i = next) {
                next = ml_item_at(doc, i)->left;
                if (!become_gc(doc, i))
                    return false;
            }
        }
        ml_branch_free(doc, index);
    }
    return true;
}

bool ml_item_collect(struct ml_doc *doc, uint32_t index)
{
    struct ml_item *i = ml_item_at(doc, index);
    unsigned kind = ml_item_kind(i);

    doc->steps++;
    if (!ml_item_is_deleted(i) || kind == ML_WIRE_GC || kind == ML_WIRE_DELETED ||
        (i->cl & ML_ITEM_KEPT))
        return true;
    if (kind == ML_WIRE_TYPE && !collect_branch(doc, i->off))
        return false;
    ml_content_drop(doc, i->off, ml_item_held(i));
    ml_item_set_kind(i, ML_WIRE_DELETED);
    i->off = i->blen = 0;
    if (!ml_item_is_keyed(i))
        i->aux = 0;
    return true;
}

bool ml_txn_collect(struct ml_doc *doc)
{
    for (uint32_t n = 0; n < doc->txn.deleted.count; n++) {
        const struct ml_run *r = &doc->txn.deleted.at[n];
        struct ml_run_walk walk;
        uint32_t index = ml_run_walk_start(&walk, &doc->clients[r->slot], r->clock);

        for (; index != NIL && ml_item_at(doc, index)->clock < r->end;
             index = ml_run_walk_next(&walk))
            if (!ml_item_collect(doc, index))
                return false;
    }
    return true;
}
