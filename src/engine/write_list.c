/* SPDX-License-Identifier: MIT */
/*
 * Lists and keys, as a client writes them.
 *
 *   insert at 2    [ a b ] | x | [ deleted ] [ c ]     behind the unit before, in front of what was
 *                                                      deleted there
 *   push           [ a b ] [ c ] [ deleted ] | x       behind everything
 *   set a key      k: [ old ] -> [ new ]               behind the entry, which is deleted
 *
 * Source: Yjs 13.6, AbstractType.js (typeListInsertGenerics, typeListDelete, typeMapSet).
 */
#include "engine/position.h"
#include "engine/write.h"

/* ---- Lists -----------------------------------------------------------------------------------
 */

static enum ml_err out_of_range(struct ml_doc *doc, uint64_t index, uint32_t length)
{
    return ml_write_fail(doc, ML_ENOTFOUND, "index %llu is behind the end, %lu",
                         (unsigned long long)index, (unsigned long)length);
}

/* Cut the item behind its first `units` units unless it ends there. False: out of memory. */
static bool cut_behind(struct ml_doc *doc, uint32_t item, uint32_t units)
{
    return units == ml_item_at(doc, item)->len ||
           (ml_items_reserve(doc, 1) && ml_run_split(doc, item, units) != NIL);
}

/* Is the place behind `units` units of an item inside a character? */
static bool is_in_character(const struct ml_doc *doc, uint32_t item, uint32_t units)
{
    return ml_item_is_inside_pair(doc, ml_item_at(doc, item), units);
}

static enum ml_err measure_values(struct ml_doc *doc, uint32_t branch,
                                  const struct ml_value *values, size_t count)
{
    struct ml_need need = {0};
    enum ml_err err = ML_OK;

    for (size_t i = 0; i < count && !err; i++)
        err = ml_value_measure(doc, &values[i], ml_branch_at(doc, branch)->depth, &need);
    return err ? err : ml_write_room(doc, branch, &need);
}

static bool insert_at(struct ml_doc *doc, uint32_t branch, uint32_t index,
                      const struct ml_value *values, size_t count)
{
    struct ml_spot at = {.left = NIL, .parent = branch, .key = NIL};
    uint32_t offset;

    if (index) {
        at.left = ml_position_find(doc, branch, index - 1, &offset);
        if (is_in_character(doc, at.left, offset + 1))
            return insert_at(doc, branch, index - 1, values, count);
        if (!cut_behind(doc, at.left, offset + 1))
            return false;
    }
    at.right = at.left == NIL ? ml_branch_at(doc, branch)->start : ml_item_at(doc, at.left)->right;
    return ml_values_insert(doc, &at, values, count);
}

enum ml_err ml_list_insert(struct ml_doc *doc, struct ml_type list, uint32_t index,
                           const struct ml_value *values, size_t count)
{
    enum ml_err err = ml_write_open(doc);
    uint32_t branch;

    if (!err)
        err = ml_type_for_writing(doc, list, &branch);
    if (err)
        return err;
    if (index > ml_branch_at(doc, branch)->length)
        return out_of_range(doc, index, ml_branch_at(doc, branch)->length);
    if (!count)
        return ML_OK;
    err = measure_values(doc, branch, values, count);
    return err ? err : ml_write_close(doc, insert_at(doc, branch, index, values, count));
}

enum ml_err ml_list_push(struct ml_doc *doc, struct ml_type list, const struct ml_value *values,
                         size_t count)
{
    struct ml_spot at = {.right = NIL, .key = NIL};
    enum ml_err err = ml_write_open(doc);

    if (!err)
        err = ml_type_for_writing(doc, list, &at.parent);
    if (!err && count)
        err = measure_values(doc, at.parent, values, count);
    if (err || !count)
        return err;
    at.left = ml_position_last(doc, at.parent);
    return ml_write_close(doc, ml_values_insert(doc, &at, values, count));
}

/* The unit that index `index` < length means, cut so that an item begins there. NIL: no memory. */
static uint32_t first_to_delete(struct ml_doc *doc, uint32_t branch, uint32_t index, uint32_t *len)
{
    uint32_t offset, item = ml_position_find(doc, branch, index, &offset);

    if (is_in_character(doc, item, offset)) {
        offset--;
        *len += 1;
    }
    if (!offset)
        return item;
    return cut_behind(doc, item, offset) ? ml_item_at(doc, item)->right : NIL;
}

static bool delete_from(struct ml_doc *doc, uint32_t item, uint32_t len)
{
    while (len) {
        const struct ml_item *i = ml_item_at(doc, item);

        if (ml_item_is_visible(i)) {
            if (len < i->len && is_in_character(doc, item, len))
                len++;
            if (len < i->len && !cut_behind(doc, item, len))
                return false;
            i = ml_item_at(doc, item); /* the first slab may have moved */
            len -= i->len;
            if (!ml_item_delete(doc, item))
                return false;
        }
        item = ml_item_at(doc, item)->right;
    }
    return true;
}

enum ml_err ml_list_delete(struct ml_doc *doc, struct ml_type list, uint32_t index, uint32_t len)
{
    enum ml_err err = ml_write_open(doc);
    uint32_t branch, length, item;

    if (!err)
        err = ml_type_branch(doc, list, &branch);
    if (err)
        return err;
    length = branch == NIL ? 0 : ml_branch_at(doc, branch)->length;
    if ((uint64_t)index + len > length)
        return out_of_range(doc, (uint64_t)index + len, length);
    if (!len)
        return ML_OK;
    item = first_to_delete(doc, branch, index, &len);
    return ml_write_close(doc, item != NIL && delete_from(doc, item, len));
}

/* ---- Keys ------------------------------------------------------------------------------------
 */

enum ml_err ml_map_set(struct ml_doc *doc, struct ml_type map, struct ml_slice key,
                       const struct ml_value *value)
{
    struct ml_spot at = {.right = NIL};
    struct ml_need need = {.bytes = key.len + sizeof(struct ml_name)};
    enum ml_err err = ml_write_open(doc);

    if (!err)
        err = ml_check_key(doc, key);
    if (!err)
        err = ml_type_for_writing(doc, map, &at.parent);
    if (!err)
        err = ml_value_measure(doc, value, ml_branch_at(doc, at.parent)->depth, &need);
    if (!err)
        err = ml_write_room(doc, at.parent, &need);
    if (err)
        return err;
    at.key = ml_name_intern(doc, key);
    if (at.key == NIL)
        return ml_write_fail(doc, ML_ELIMIT, "out of memory");
    at.left = ml_branch_entry(ml_branch_at(doc, at.parent), at.key);
    return ml_write_close(doc, ml_value_insert(doc, &at, value) != NIL);
}

enum ml_err ml_map_delete(struct ml_doc *doc, struct ml_type map, struct ml_slice key)
{
    enum ml_err err = ml_write_open(doc);
    uint32_t branch, name, item = NIL;

    if (!err)
        err = ml_type_branch(doc, map, &branch);
    if (err)
        return err;
    name = ml_name_find(doc, key);
    if (branch != NIL && name != NIL)
        item = ml_branch_entry(ml_branch_at(doc, branch), name);
    return item == NIL ? ML_OK : ml_write_close(doc, ml_item_delete(doc, item));
}

enum ml_err ml_map_clear(struct ml_doc *doc, struct ml_type map)
{
    enum ml_err err = ml_write_open(doc);
    uint32_t branch, cursor = 0;
    struct ml_key_entry e;
    bool ok = true;

    if (!err)
        err = ml_type_branch(doc, map, &branch);
    if (err || branch == NIL)
        return err;
    while (ok && ml_branch_next_entry(ml_branch_at(doc, branch), &cursor, &e))
        ok = ml_item_delete(doc, e.item);
    return ml_write_close(doc, ok);
}
