/* SPDX-License-Identifier: MIT */
/*
 * Where a type is, in words that outlast an edit: a root by its name, a nested type by the unit
 * that holds it. And from a path to such a place.
 */
#include "engine/item.h"

uint32_t ml_unit_find(const struct ml_doc *doc, const struct ml_id *id, uint32_t *unit_out)
{
    uint32_t slot = ml_slot_find(doc, id->client), index;
    struct ml_run_walk walk;
    struct ml_run run;

    if (slot == NIL || id->clock >= doc->clients[slot].next)
        return NIL;
    run = (struct ml_run){slot, (uint32_t)id->clock, (uint32_t)id->clock + 1};
    run = ml_redone_follow(doc, run);
    index = ml_run_walk_start(&walk, &doc->clients[run.slot], run.clock);
    *unit_out = run.clock - ml_item_at(doc, index)->clock;
    return index;
}

uint32_t ml_place_branch(const struct ml_doc *doc, const struct ml_place *place)
{
    uint32_t found, unit;

    if (place->root.ptr) {
        found = ml_name_find(doc, place->root);
        return found == NIL ? NIL : doc->names[found].root;
    }
    found = ml_unit_find(doc, &place->holder, &unit);
    if (found == NIL || ml_item_kind(ml_item_at(doc, found)) != ML_WIRE_TYPE)
        return NIL;
    return ml_item_at(doc, found)->off;
}

struct ml_place ml_branch_place(const struct ml_doc *doc, uint32_t branch)
{
    const struct ml_branch *b = ml_branch_at(doc, branch);
    const struct ml_item *holder;

    if (b->is_root)
        return (struct ml_place){.root = ml_name_text(doc, b->name)};
    holder = ml_item_at(doc, b->item);
    return (struct ml_place){.holder = {doc->clients[ml_item_slot(holder)].id, holder->clock}};
}

bool ml_branch_is_deleted(const struct ml_doc *doc, uint32_t branch)
{
    uint32_t holder = ml_branch_at(doc, branch)->item;

    return holder != NIL && ml_item_is_deleted(ml_item_at(doc, holder));
}

uint32_t ml_list_unit(const struct ml_doc *doc, uint32_t branch, uint32_t *index,
                      uint32_t *last_out)
{
    *last_out = NIL;
    for (uint32_t n = ml_branch_at(doc, branch)->start; n != NIL; n = ml_item_at(doc, n)->right) {
        const struct ml_item *i = ml_item_at(doc, n);

        *last_out = n;
        if (!ml_item_is_visible(i))
            continue;
        if (i->len > *index)
            return n;
        *index -= i->len;
    }
    return NIL;
}

/* The item that a step leads to, NIL: none. */
static uint32_t step_to(const struct ml_doc *doc, uint32_t branch, const struct ml_path_step *step)
{
    uint32_t index = step->index, last, name;

    if (!step->key.ptr)
        return ml_list_unit(doc, branch, &index, &last);
    name = ml_name_find(doc, step->key);
    return name == NIL ? NIL : ml_branch_entry(ml_branch_at(doc, branch), name);
}

enum ml_err ml_doc_find(const struct ml_doc *doc, struct ml_slice root,
                        const struct ml_path_step *steps, size_t count, struct ml_place *out)
{
    uint32_t branch;

    *out = (struct ml_place){.root = root};
    branch = ml_place_branch(doc, out);
    for (size_t n = 0; n < count; n++) {
        uint32_t item = branch == NIL ? NIL : step_to(doc, branch, &steps[n]);
        const struct ml_item *i = item == NIL ? NULL : ml_item_at(doc, item);

        if (!i || ml_item_is_deleted(i) || ml_item_kind(i) != ML_WIRE_TYPE)
            return ML_ENOTFOUND;
        branch = i->off;
    }
    if (branch != NIL)
        *out = ml_branch_place(doc, branch);
    return ML_OK;
}
