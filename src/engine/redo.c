/* SPDX-License-Identifier: MIT */
/*
 * Putting one deleted item back, as a copy with an id of its own.
 *
 *   list   [ A ][ "old", deleted ][ B ]      ->  [ A ][ "old" by us ][ "old", deleted ][ B ]
 *   key    k: [ 1, deleted ][ 2 by us ]      ->  k: [ 1, deleted ][ 2, deleted ][ 1 by us ]
 *   type   its own copy is empty; what was in it is put back one by one, beside the copies of its
 *          old neighbours
 *
 * Source: Yjs 13.6, Item.js (redoItem): the same neighbours, so the same bytes. Different: the
 * types around an item are put back in a loop; what lost its content is not put back.
 */
#include "engine/history.h"

/* The item that begins with the first unit of the copy; NIL: not copied, or out of memory. */
static uint32_t copy_of(struct ml_doc *doc, uint32_t index)
{
    const struct ml_item *i = ml_item_at(doc, index);
    struct ml_run to;

    if (!ml_redone_find(doc, ml_item_slot(i), i->clock, &to) || !ml_items_reserve(doc, 1))
        return NIL;
    return ml_item_starting_at(doc, to.slot, to.clock);
}

static bool has_copy(const struct ml_doc *doc, uint32_t index)
{
    const struct ml_item *i = ml_item_at(doc, index);
    struct ml_run to;

    return ml_redone_find(doc, ml_item_slot(i), i->clock, &to);
}

/* The newest copy of an item, or the item. NIL: out of memory. */
static uint32_t newest(struct ml_doc *doc, uint32_t index)
{
    while (index != NIL && has_copy(doc, index))
        index = copy_of(doc, index);
    return index;
}

/* ---- Neighbours in the list ------------------------------------------------------------------ */

/* The first of an item and its copies that stands in `parent`; NIL: none. */
static uint32_t trace(struct ml_doc *doc, uint32_t index, uint32_t parent)
{
    while (index != NIL) {
        const struct ml_item *i = ml_item_at(doc, index);

        if (!ml_item_is_gc(i) && i->parent == parent)
            return index;
        index = copy_of(doc, index);
    }
    return NIL;
}

/* Two walks from an item to the nearest siblings that have a copy in `to`. */
struct siblings {
    uint32_t at[2]; /* where the walks are: to the left, to the right; NIL: at the end */
    bool found[2];  /* at[] is the sibling, or there is none */
};

enum { LEFT, RIGHT };

/* What is known of one side tells the other, if it was found beside the last one put back. */
static void use_row(struct siblings *s, const struct ml_redo_row *row, int side)
{
    uint32_t near = side == LEFT ? row->left : row->right;
    uint32_t far = side == LEFT ? row->right : row->left;

    if (s->at[side] != row->last && s->at[side] != near)
        return;
    s->found[!side] = true;
    s->at[!side] = s->at[side] == row->last ? far : row->last;
}

static void step(struct ml_doc *doc, struct siblings *s, const struct ml_redo_row *row, int side,
                 uint32_t to)
{
    uint32_t i = s->at[side];

    if (s->found[side])
        return;
    if (i == NIL || trace(doc, i, to) != NIL) {
        s->found[side] = true;
        if (row && !s->found[!side])
            use_row(s, row, side);
        return;
    }
    s->at[side] = side == LEFT ? ml_item_at(doc, i)->left : ml_item_at(doc, i)->right;
    doc->txn.scan_left -= doc->txn.scan_left > 0;
}

/*
 * The type was copied: beside the copies of the nearest siblings that have one. Both walks at once,
 * a step each, so that a row that comes back from either end costs nothing, one in any order
 * n log n. When all steps of the transaction are used up, what was not found is not there.
 */
static void find_siblings(struct ml_history *h, uint32_t index, struct ml_spot *at)
{
    struct ml_doc *doc = h->doc;
    const struct ml_item *i = ml_item_at(doc, index);
    uint32_t from = i->parent;
    bool known = h->row.last != NIL && h->row.from == from && h->row.to == at->parent;
    struct siblings s = {.at = {i->left, i->right}};

    while ((!s.found[LEFT] || !s.found[RIGHT]) && doc->txn.scan_left) {
        step(doc, &s, known ? &h->row : NULL, LEFT, at->parent);
        step(doc, &s, known ? &h->row : NULL, RIGHT, at->parent);
    }
    for (int side = LEFT; side <= RIGHT; side++)
        if (!s.found[side])
            s.at[side] = NIL;
    at->left = trace(doc, s.at[LEFT], at->parent);
    at->right = trace(doc, s.at[RIGHT], at->parent);
    h->row = (struct ml_redo_row){from, at->parent, index, s.at[LEFT], s.at[RIGHT]};
}

/* ---- The place under a key ------------------------------------------------------------------- */

/* May a value to the right of the one that comes back be replaced by it? */
static bool gives_way(const struct ml_history *h, const struct ml_step *s, uint32_t index)
{
    const struct ml_item *i = ml_item_at(h->doc, index);
    uint32_t slot = ml_item_slot(i);

    return has_copy(h->doc, index) || ml_runs_hold(&s->inserted, slot, i->clock) ||
           ml_history_deleted(h, slot, i->clock);
}

/* False: somebody else has set the key. */
static bool find_left_value(struct ml_history *h, const struct ml_step *s, uint32_t index,
                            struct ml_spot *at)
{
    struct ml_doc *doc = h->doc;
    uint32_t entry = ml_branch_entry(ml_branch_at(doc, at->parent), at->key);
    uint32_t left = entry;

    if (ml_item_at(doc, index)->right != NIL) {
        left = index;
        while (left != NIL && ml_item_at(doc, left)->right != NIL &&
               gives_way(h, s, ml_item_at(doc, left)->right))
            left = newest(doc, ml_item_at(doc, left)->right);
        if (left != NIL && ml_item_at(doc, left)->right != NIL)
            return false;
        if (left != NIL && ml_item_at(doc, left)->parent != at->parent)
            left = entry;
    }
    at->left = left;
    return true;
}

/* ---- One item -------------------------------------------------------------------------------- */

/* Its type is alive, or was copied. */
static enum ml_redo put_back(struct ml_history *h, const struct ml_step *s, uint32_t index)
{
    struct ml_doc *doc = h->doc;
    const struct ml_item *i = ml_item_at(doc, index);
    uint32_t holder = ml_branch_at(doc, i->parent)->item, copy;
    struct ml_spot at = {.left = NIL, .right = NIL, .parent = i->parent, .key = NIL};
    struct ml_payload what;

    if (holder != NIL && ml_item_is_deleted(ml_item_at(doc, holder))) {
        holder = newest(doc, holder);
        if (holder == NIL || ml_item_kind(ml_item_at(doc, holder)) != ML_WIRE_TYPE)
            return holder == NIL ? ML_REDO_FAILED : ML_REDO_GIVEN_UP;
        at.parent = ml_item_at(doc, holder)->off;
    }
    i = ml_item_at(doc, index);
    if (ml_item_kind(i) == ML_WIRE_DELETED || ml_item_is_gc(i))
        return ML_REDO_GIVEN_UP;
    if (ml_item_is_keyed(i)) {
        at.key = i->aux;
        if (!find_left_value(h, s, index, &at))
            return ML_REDO_GIVEN_UP;
    } else if (at.parent == i->parent) {
        at.left = i->left;
        at.right = index;
    } else {
        find_siblings(h, index, &at);
    }
    what = ml_payload_of(doc, ml_item_at(doc, index));
    copy = ml_own_insert(doc, &at, &what);
    return copy != NIL && ml_redone_add(doc, index, copy) ? ML_REDO_DONE : ML_REDO_FAILED;
}

/* Was it deleted by this step, so that it comes back with the step? */
static bool is_of_step(const struct ml_history *h, const struct ml_step *s, uint32_t index)
{
    const struct ml_item *i = ml_item_at(h->doc, index);
    uint32_t slot = ml_item_slot(i);

    return ml_runs_hold(&s->deleted, slot, i->clock) &&
           !ml_runs_hold(&s->inserted, slot, i->clock) && ml_history_covers(h, i);
}

enum ml_redo ml_redo_item(struct ml_history *h, const struct ml_step *s, uint32_t index)
{
    struct ml_doc *doc = h->doc;
    struct ml_txn *t = &doc->txn;
    uint32_t base = t->stack_count; /* the work list: the item, the type around it, ... */
    enum ml_redo result = ML_REDO_DONE;

    if (has_copy(doc, index))
        return ML_REDO_DONE;
    if (!ml_txn_push(doc, index))
        return ML_REDO_FAILED;
    while (t->stack_count > base && result == ML_REDO_DONE) {
        uint32_t top = t->stack[t->stack_count - 1];
        uint32_t holder = ml_branch_at(doc, ml_item_at(doc, top)->parent)->item;

        if (holder != NIL && ml_item_is_deleted(ml_item_at(doc, holder)) &&
            !has_copy(doc, holder)) {
            if (!is_of_step(h, s, holder))
                result = ML_REDO_GIVEN_UP;
            else if (!ml_txn_push(doc, holder))
                result = ML_REDO_FAILED;
        } else {
            result = put_back(h, s, top);
            t->stack_count--;
        }
    }
    t->stack_count = base;
    return result;
}
