/* SPDX-License-Identifier: MIT */
/*
 * A new item of the document's own client: its id, what it stands between, its content, its links.
 *
 *   ... [ left ] -> [ new: own, next clock ] -> [ right ] ...
 *          ^ origin: its last unit                ^ right origin: its first unit
 *
 * Everything the document itself writes goes through here: local edits, what undo puts back, what a
 * refused update had deleted. When the item is made its neighbours touch, deleted ones included;
 * else replicas could place it differently for good. Undo alone knows its neighbours from earlier
 * and has the place looked for as for any struct from outside.
 */
#include "engine/item.h"

struct ml_payload ml_payload_of(const struct ml_doc *doc, const struct ml_item *i)
{
    struct ml_payload what = {
        .kind = (enum ml_wire_kind)ml_item_kind(i), .len = i->len, .name = NIL};

    if (what.kind == ML_WIRE_TYPE) {
        const struct ml_branch *b = ml_branch_at(doc, i->off);

        what.type_ref = b->type_ref;
        what.name = b->name;
    } else if (ml_item_has_bytes(i)) {
        what.bytes = ml_item_content(doc, i);
    }
    return what;
}

bool ml_own_has_room(const struct ml_doc *doc, uint64_t units)
{
    return units <= UINT32_MAX - ml_state_of(doc, doc->own_client);
}

static bool put_branch(struct ml_doc *doc, struct ml_item *i, uint32_t index,
                       const struct ml_payload *what)
{
    uint32_t branch = ml_branch_new(doc);
    uint16_t depth;
    struct ml_branch *b;

    if (branch == NIL)
        return false;
    depth = ml_branch_at(doc, i->parent)->depth;
    b = ml_branch_at(doc, branch);
    b->item = index;
    b->type_ref = what->type_ref;
    b->name = what->name;
    b->depth = depth < UINT16_MAX ? depth + 1 : UINT16_MAX;
    i->off = branch;
    return true;
}

static bool put_payload(struct ml_doc *doc, struct ml_item *i, uint32_t index,
                        const struct ml_payload *what)
{
    if (what->kind == ML_WIRE_TYPE)
        return put_branch(doc, i, index, what);
    i->off = ml_content_put(doc, what->bytes, (uint32_t)what->bytes.len);
    i->blen = (uint32_t)what->bytes.len;
    if (!ml_item_is_keyed(i))
        i->aux = i->blen;
    return i->off != NIL;
}

/* The ids of the neighbours. */
static void name_neighbours(const struct ml_doc *doc, struct ml_spot *at)
{
    at->o_cl = at->ro_cl = NIL;
    at->o_clock = at->ro_clock = 0;
    if (at->left != NIL) {
        const struct ml_item *left = ml_item_at(doc, at->left);

        at->o_cl = ml_item_slot(left);
        at->o_clock = ml_item_end(left) - 1;
    }
    if (at->right != NIL) {
        const struct ml_item *right = ml_item_at(doc, at->right);

        at->ro_cl = ml_item_slot(right);
        at->ro_clock = right->clock;
    }
}

uint32_t ml_own_insert(struct ml_doc *doc, const struct ml_spot *where,
                       const struct ml_payload *what)
{
    struct ml_spot at = *where;
    uint32_t own = ml_slot_get(doc, doc->own_client), index;
    struct ml_item *i;

    if (own == NIL || !ml_txn_touch(doc, own) || !ml_items_reserve(doc, 1))
        return NIL;
    ML_ASSERT(what->len <= UINT32_MAX - doc->clients[own].next);
    name_neighbours(doc, &at);
    if (!ml_spot_settle(doc, doc->own_client, &at))
        return NIL;
    index = ml_item_new(doc);
    i = ml_item_at(doc, index);
    *i = (struct ml_item){
        .clock = doc->clients[own].next,
        .len = what->len,
        .o_cl = at.o_cl,
        .o_clock = at.o_clock,
        .ro_cl = at.ro_cl,
        .ro_clock = at.ro_clock,
        .cl = own | (uint32_t)what->kind << ML_ITEM_KIND_SHIFT,
        .parent = at.parent,
    };
    if (at.key != NIL) {
        i->cl |= ML_ITEM_KEYED;
        i->aux = at.key;
    }
    return put_payload(doc, i, index, what) && ml_item_link(doc, index, at.left) ? index : NIL;
}
