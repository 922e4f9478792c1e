/* SPDX-License-Identifier: MIT */
/*
 * Handles of shared types: what they stand for, and how one is got. A handle names a root by its
 * name's number, a nested type by the id of the item that holds it: both outlive everything that
 * can happen to the type. Handles are good outside of transactions, too.
 */
#include "engine/position.h"
#include "engine/write.h"

/* The branch of a nested type: its holder is there, holds a type, and lives. */
static uint32_t nested_branch(struct ml_doc *doc, uint32_t slot, uint32_t clock)
{
    const struct ml_item *holder;

    if (slot >= doc->client_count || clock >= doc->clients[slot].next)
        return NIL;
    holder = ml_item_at(doc, ml_run_find(doc, slot, clock));
    return ml_item_kind(holder) == ML_WIRE_TYPE && !ml_item_is_deleted(holder) ? holder->off : NIL;
}

enum ml_err ml_type_branch(struct ml_doc *doc, struct ml_type type, uint32_t *out)
{
    if (type.root != NIL) {
        ML_ASSERT(type.root < doc->name_count);
        *out = doc->names[type.root].root;
        return ML_OK;
    }
    *out = nested_branch(doc, type.slot, type.clock);
    return *out == NIL ? ml_write_fail(doc, ML_ENOTFOUND, "the type is deleted") : ML_OK;
}

enum ml_err ml_branch_type(const struct ml_doc *doc, uint32_t branch, struct ml_type *out)
{
    const struct ml_branch *b = ml_branch_at(doc, branch);
    const struct ml_item *holder;

    if (b->is_root) {
        *out = (struct ml_type){b->name, NIL, 0};
        return ML_OK;
    }
    holder = ml_item_at(doc, b->item);
    *out = (struct ml_type){NIL, ml_item_slot(holder), holder->clock};
    return ML_OK;
}

enum ml_err ml_type_root(struct ml_doc *doc, struct ml_slice name, struct ml_type *out)
{
    enum ml_err err = doc->broken ? ML_ELIMIT : ML_OK;

    if (!err)
        err = ml_check_key(doc, name);
    if (err)
        return err;
    *out = (struct ml_type){ml_name_intern(doc, name), NIL, 0};
    return out->root == NIL ? ml_write_fail(doc, ML_ELIMIT, "out of memory") : ML_OK;
}

/* The handle of the type that an item holds. */
static enum ml_err type_of_item(struct ml_doc *doc, uint32_t item, struct ml_type *out)
{
    const struct ml_item *i = item == NIL ? NULL : ml_item_at(doc, item);

    if (!i || ml_item_kind(i) != ML_WIRE_TYPE || ml_item_is_deleted(i))
        return ml_write_fail(doc, ML_ENOTFOUND, "no type there");
    *out = (struct ml_type){NIL, ml_item_slot(i), i->clock};
    return ML_OK;
}

enum ml_err ml_type_at_key(struct ml_doc *doc, struct ml_type in, struct ml_slice key,
                           struct ml_type *out)
{
    enum ml_err err = doc->broken ? ML_ELIMIT : ML_OK;
    uint32_t branch, name;

    if (!err)
        err = ml_type_branch(doc, in, &branch);
    if (err)
        return err;
    name = ml_name_find(doc, key);
    return type_of_item(
        doc, branch == NIL || name == NIL ? NIL : ml_branch_entry(ml_branch_at(doc, branch), name),
        out);
}

enum ml_err ml_type_at_index(struct ml_doc *doc, struct ml_type in, uint32_t index,
                             struct ml_type *out)
{
    enum ml_err err = doc->broken ? ML_ELIMIT : ML_OK;
    uint32_t branch, item = NIL, offset;

    if (!err)
        err = ml_type_branch(doc, in, &branch);
    if (err)
        return err;
    if (branch != NIL && index < ml_branch_at(doc, branch)->length)
        item = ml_position_find(doc, branch, index, &offset);
    return type_of_item(doc, item, out);
}

enum ml_err ml_type_by_id(struct ml_doc *doc, ml_client_id client, uint64_t clock,
                          struct ml_type *out)
{
    enum ml_err err = doc->broken ? ML_ELIMIT : ML_OK;
    uint32_t slot;

    if (err)
        return err;
    slot = ml_slot_find(doc, client);
    if (slot == NIL || clock >= doc->clients[slot].next)
        return type_of_item(doc, NIL, out);
    return type_of_item(doc, ml_run_find(doc, slot, (uint32_t)clock), out);
}

enum ml_err ml_type_length(struct ml_doc *doc, struct ml_type type, uint32_t *length_out)
{
    enum ml_err err = doc->broken ? ML_ELIMIT : ML_OK;
    uint32_t branch;

    if (!err)
        err = ml_type_branch(doc, type, &branch);
    if (!err)
        *length_out = branch == NIL ? 0 : ml_branch_at(doc, branch)->length;
    return err;
}
