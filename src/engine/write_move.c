/* SPDX-License-Identifier: MIT */
/*
 * Moving an element of a list: a copy of all that lives in it, then the original goes.
 *
 *   move 0 to 2     [ a ] [ b ] [ c ]   ->   [ a gone ] [ b ] [ c ] [ a' ]
 *
 * A shared type cannot change its parent in Yjs, so the copy is a new one: what others write into
 * the original at the same time goes with it.
 */
#include "engine/position.h"
#include "engine/write.h"

/* ---- Measured ----------------------------------------------------------------------------------
 */

static bool measure_item(struct ml_doc *doc, const struct ml_item *i, struct ml_need *need)
{
    need->units += i->len;
    need->items++;
    need->bytes += ml_item_kind(i) == ML_WIRE_TYPE ? sizeof(struct ml_branch) : i->blen;
    return ml_item_kind(i) != ML_WIRE_TYPE || ml_txn_push(doc, i->off);
}

/* What a copy of an item and everything that lives in it takes. False: out of memory. */
static bool measure(struct ml_doc *doc, uint32_t item, struct ml_need *need)
{
    uint32_t base = doc->txn.stack_count;

    if (!measure_item(doc, ml_item_at(doc, item), need))
        return false;
    while (doc->txn.stack_count > base) {
        uint32_t branch = doc->txn.stack[--doc->txn.stack_count], cursor = 0;
        struct ml_key_entry e;

        for (uint32_t i = ml_branch_at(doc, branch)->start; i != NIL; i = ml_item_at(doc, i)->right)
            if (!ml_item_is_deleted(ml_item_at(doc, i)) &&
                !measure_item(doc, ml_item_at(doc, i), need))
                return false;
        while (ml_branch_next_entry(ml_branch_at(doc, branch), &cursor, &e))
            if (e.item != NIL && !ml_item_is_deleted(ml_item_at(doc, e.item)) &&
                !measure_item(doc, ml_item_at(doc, e.item), need))
                return false;
    }
    return true;
}

/* ---- Copied -----------------------------------------------------------------------------------
 */

static bool copy_item(struct ml_doc *doc, uint32_t from, const struct ml_spot *at,
                      uint32_t *copy_out)
{
    struct ml_payload what = ml_payload_of(doc, ml_item_at(doc, from));

    *copy_out = ml_own_insert(doc, at, &what);
    if (*copy_out == NIL)
        return false;
    return what.kind != ML_WIRE_TYPE || (ml_txn_push(doc, ml_item_at(doc, from)->off) &&
                                         ml_txn_push(doc, ml_item_at(doc, *copy_out)->off));
}

static bool copy_children(struct ml_doc *doc, uint32_t from, uint32_t to)
{
    struct ml_spot at = {.left = NIL, .right = NIL, .parent = to, .key = NIL};
    uint32_t cursor = 0, copy;
    struct ml_key_entry e;

    for (uint32_t i = ml_branch_at(doc, from)->start; i != NIL; i = ml_item_at(doc, i)->right) {
        if (ml_item_is_deleted(ml_item_at(doc, i)))
            continue;
        if (!copy_item(doc, i, &at, &copy))
            return false;
        at.left = copy;
    }
    while (ml_branch_next_entry(ml_branch_at(doc, from), &cursor, &e)) {
        at = (struct ml_spot){.left = NIL, .right = NIL, .parent = to, .key = e.key};
        if (e.item != NIL && !ml_item_is_deleted(ml_item_at(doc, e.item)) &&
            !copy_item(doc, e.item, &at, &copy))
            return false;
    }
    return true;
}

static bool copy_all(struct ml_doc *doc, uint32_t from, const struct ml_spot *at)
{
    uint32_t base = doc->txn.stack_count, copy;

    if (!copy_item(doc, from, at, &copy))
        return false;
    while (doc->txn.stack_count > base) {
        uint32_t to = doc->txn.stack[--doc->txn.stack_count];

        if (!copy_children(doc, doc->txn.stack[--doc->txn.stack_count], to))
            return false;
    }
    return true;
}

/* ---- Moved ------------------------------------------------------------------------------------
 */

/* The item that holds this one unit and nothing else; NIL: out of memory. */
static uint32_t single_unit(struct ml_doc *doc, uint32_t branch, uint32_t index)
{
    uint32_t offset, item = ml_position_find(doc, branch, index, &offset);

    if (!ml_items_reserve(doc, 2))
        return NIL;
    if (offset) {
        item = ml_run_split(doc, item, offset);
        if (item == NIL)
            return NIL;
    }
    if (ml_item_at(doc, item)->len > 1 && ml_run_split(doc, item, 1) == NIL)
        return NIL;
    return item;
}

static bool move(struct ml_doc *doc, uint32_t branch, uint32_t item, uint32_t to)
{
    struct ml_spot at = {.left = NIL, .parent = branch, .key = NIL};
    uint32_t offset;

    if (to) {
        at.left = ml_position_find(doc, branch, to - 1, &offset);
        if (offset + 1 < ml_item_at(doc, at.left)->len &&
            (!ml_items_reserve(doc, 1) || ml_run_split(doc, at.left, offset + 1) == NIL))
            return false;
    }
    at.right = at.left == NIL ? ml_branch_at(doc, branch)->start : ml_item_at(doc, at.left)->right;
    return copy_all(doc, item, &at) && ml_item_delete(doc, item);
}

enum ml_err ml_list_move(struct ml_doc *doc, struct ml_type list, uint32_t from, uint32_t to)
{
    struct ml_need need = {0};
    enum ml_err err = ml_write_open(doc);
    uint32_t branch, length, item, offset;

    if (!err)
        err = ml_type_branch(doc, list, &branch);
    if (err)
        return err;
    length = branch == NIL ? 0 : ml_branch_at(doc, branch)->length;
    if (from >= length || to >= length)
        return ml_write_fail(doc, ML_ENOTFOUND, "index %lu is behind the end, %lu",
                             (unsigned long)(from >= length ? from : to), (unsigned long)length);
    item = ml_position_find(doc, branch, from, &offset);
    if (ml_item_kind(ml_item_at(doc, item)) == ML_WIRE_STRING)
        return ml_write_fail(doc, ML_EFORMAT, "text is no element of a list");
    if (from == to)
        return ML_OK;
    if (!measure(doc, item, &need))
        return ml_write_fail(doc, ML_ELIMIT, "out of memory");
    err = ml_write_room(doc, branch, &need);
    if (err)
        return err;
    item = single_unit(doc, branch, from);
    return ml_write_close(doc, item != NIL && move(doc, branch, item, to < from ? to : to + 1));
}
