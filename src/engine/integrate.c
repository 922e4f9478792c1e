/* SPDX-License-Identifier: MIT */
/*
 * Where an inserted item goes among concurrent ones.
 *
 *        left origin                     right origin
 *            |                                |
 *   ... [ A ] [ x1 ] [ x2 ] [ here? ] [ x3 ] [ B ] ...
 *              ^ items that came in between meanwhile, compared one by one
 *
 * Items of one left origin stand in ascending order of their authors, unless their right origins
 * say otherwise; what was typed behind x1 stays with x1. Every replica finds the same place
 * whatever the order of arrival.
 *
 * Source: YATA (Nicolaescu et al., GROUP 2016); the scan as in Yjs 13.6, Item.integrate. Same
 * result; where the code differs, and why:
 *  - the sets "before" and "conflicting" are the position at which the scan met an item: an item is
 *    conflicting if it was met since the last clearing. 32 positions lie on the stack and are
 * searched one by one; only a longer scan needs a stamp per item;
 *  - an item takes parent and key of its left neighbour even if the wire said something else, which
 *    only a hostile writer does. So a list never leads into another one [B3];
 *  - where many wrote at one place, the scan begins at the last of them that it would settle behind
 *    (pile.c). It stays linear in what came in between otherwise, which a hostile writer can pile
 *    up. So its steps are counted; when a transaction has used its share, what is left waits for
 * the next one (schedule.c);
 *  - types nested deeper than the ceiling are deleted as soon as they are there, on all replicas.
 */
#include "engine/position.h"

#define SCAN_NEAR  32
#define CHAIN_NEAR 2

bool ml_struct_is_ready(const struct ml_doc *doc, const struct ml_wire *s,
                        struct ml_id *missing_out)
{
    const struct ml_id *needs[3];
    int n = 0;

    if (s->info & ML_INFO_ORIGIN)
        needs[n++] = &s->origin;
    if (s->info & ML_INFO_RIGHT_ORIGIN)
        needs[n++] = &s->right_origin;
    if (s->parent == ML_PARENT_ID)
        needs[n++] = &s->parent_id;
    for (int i = 0; i < n; i++) {
        if (ml_state_of(doc, needs[i]->client) <= needs[i]->clock) {
            *missing_out = *needs[i];
            return false;
        }
    }
    return true;
}

/* ---- Neighbours
 * ------------------------------------------------------------------------------------ */

static void count_step(struct ml_doc *doc)
{
    doc->txn.scan_left -= doc->txn.scan_left > 0;
    doc->steps++;
}

/* The first writer of a key. All that write one key stand in one list, its value last. */
static uint32_t chain_first(struct ml_doc *doc, uint32_t parent, uint32_t key)
{
    struct ml_chain_head *head = &doc->chain_head;
    uint32_t i = NIL, walked = 0;

    if (head->parent == parent && head->key == key && head->is_known) {
        i = ml_run_find(doc, head->slot, head->clock);
        if (i != NIL &&
            (!ml_item_is_keyed(ml_item_at(doc, i)) || ml_item_is_gc(ml_item_at(doc, i)) ||
             ml_item_at(doc, i)->parent != parent || ml_item_at(doc, i)->aux != key))
            i = NIL;
    }
    if (i == NIL)
        i = ml_branch_entry(ml_branch_at(doc, parent), key);
    for (; i != NIL && ml_item_at(doc, i)->left != NIL; walked++) {
        i = ml_item_at(doc, i)->left;
        count_step(doc);
    }
    if (walked > CHAIN_NEAR)
        *head = (struct ml_chain_head){parent, key, ml_item_slot(ml_item_at(doc, i)),
                                       ml_item_at(doc, i)->clock, true};
    return i;
}

static uint32_t list_first(struct ml_doc *doc, uint32_t parent, uint32_t key)
{
    return key == NIL ? ml_branch_at(doc, parent)->start : chain_first(doc, parent, key);
}

static void take_parent_of(const struct ml_doc *doc, struct ml_spot *at, uint32_t neighbour)
{
    const struct ml_item *n = ml_item_at(doc, neighbour);

    at->parent = ml_item_is_gc(n) ? NIL : n->parent;
    at->key = !ml_item_is_gc(n) && ml_item_is_keyed(n) ? n->aux : NIL;
}

static bool find_neighbours(struct ml_doc *doc, const struct ml_wire *s, struct ml_spot *at)
{
    if (s->info & ML_INFO_ORIGIN) {
        at->o_cl = ml_slot_find(doc, s->origin.client);
        at->o_clock = (uint32_t)s->origin.clock;
        at->left = ml_item_ending_at(doc, at->o_cl, at->o_clock);
        if (at->left == NIL)
            return false;
    }
    if (s->info & ML_INFO_RIGHT_ORIGIN) {
        at->ro_cl = ml_slot_find(doc, s->right_origin.client);
        at->ro_clock = (uint32_t)s->right_origin.clock;
        at->right = ml_item_starting_at(doc, at->ro_cl, at->ro_clock);
        if (at->right == NIL)
            return false;
    }
    return true;
}

static bool find_parent(struct ml_doc *doc, const struct ml_wire *s, struct ml_spot *at)
{
    if ((at->left != NIL && ml_item_is_gc(ml_item_at(doc, at->left))) ||
        (at->right != NIL && ml_item_is_gc(ml_item_at(doc, at->right))))
        return true;
    if (s->parent == ML_PARENT_NONE) {
        take_parent_of(doc, at, at->left != NIL ? at->left : at->right);
        return true;
    }
    if (s->parent == ML_PARENT_ROOT) {
        at->parent = ml_root_get(doc, s->root);
        if (at->parent == NIL)
            return false;
    } else {
        uint32_t slot = ml_slot_find(doc, s->parent_id.client);
        uint32_t holder = ml_run_find(doc, slot, (uint32_t)s->parent_id.clock);
        const struct ml_item *h = ml_item_at(doc, holder);

        if (ml_item_kind(h) == ML_WIRE_TYPE)
            at->parent = h->off;
    }
    if (at->parent != NIL && s->key.ptr) {
        at->key = ml_name_intern(doc, s->key);
        return at->key != NIL;
    }
    return true;
}

/* ---- The scan
 * ---------------------------------------------------------------------------------------- */

/* In which position the scan met an item. */
struct scan {
    uint32_t near[SCAN_NEAR];
    uint32_t count; /* positions 0 .. count-1 */
    bool stamped;   /* positions stand in doc->stamps, as stamp_next + 1 + position */
};

static bool begin_stamps(struct ml_doc *doc, struct scan *scan)
{
    uint32_t room = doc->items.room;

    if (doc->stamp_cap < room) {
        void *grown = ml_doc_resize(doc, doc->stamps, doc->stamp_cap * sizeof *doc->stamps,
                                    room * sizeof *doc->stamps);

        if (!grown)
            return false;
        doc->stamps = grown;
        memset(doc->stamps + doc->stamp_cap, 0, (room - doc->stamp_cap) * sizeof *doc->stamps);
        doc->stamp_cap = room;
    }
    if (doc->stamp_next > UINT32_MAX / 2) {
        memset(doc->stamps, 0, doc->stamp_cap * sizeof *doc->stamps);
        doc->stamp_next = 0;
    }
    scan->stamped = true;
    for (uint32_t i = 0; i < scan->count; i++)
        doc->stamps[scan->near[i]] = doc->stamp_next + 1 + i;
    return true;
}

static bool scan_meets(struct ml_doc *doc, struct scan *scan, uint32_t item)
{
    if (!scan->stamped && scan->count == SCAN_NEAR && !begin_stamps(doc, scan))
        return false;
    if (scan->stamped)
        doc->stamps[item] = doc->stamp_next + 1 + scan->count;
    else
        scan->near[scan->count] = item;
    scan->count++;
    return true;
}

/* The position of an item, NIL: not met. */
static uint32_t scan_position(const struct ml_doc *doc, const struct scan *scan, uint32_t item)
{
    if (scan->stamped)
        return doc->stamps[item] > doc->stamp_next ? doc->stamps[item] - doc->stamp_next - 1 : NIL;
    for (uint32_t i = 0; i < scan->count; i++)
        if (scan->near[i] == item)
            return i;
    return NIL;
}

/* How a scan ended. */
enum scanned { SCANNED, SCANNED_BLINDLY, SCAN_NO_MEMORY };

/*
 * Scan from `o`; `*left` moves to the item behind which the new one of `client` goes. Beginning at
 * a member of a pile, an origin that was not met may stand before it: SCANNED_BLINDLY.
 */
static enum scanned scan_from(struct ml_doc *doc, ml_client_id client, const struct ml_spot *at,
                              uint32_t o, bool in_pile, uint32_t *left)
{
    struct scan scan = {.count = 0};
    uint32_t conflicts_from = 0; /* positions before are settled */
    bool piles_up = ml_pile_is_at(doc, at);
    enum scanned ended = SCANNED;

    while (o != NIL && o != at->right) {
        const struct ml_item *i = ml_item_at(doc, o);

        count_step(doc);
        if (scan.count == SCAN_NEAR && !piles_up) {
            piles_up = true;
            ml_pile_begin(doc, at);
            for (uint32_t n = 0; n < SCAN_NEAR; n++)
                ml_pile_add(doc, scan.near[n]);
        }
        if (piles_up)
            ml_pile_add(doc, o);
        else
            ml_pile_passed(doc, i);
        if (!scan_meets(doc, &scan, o))
            return SCAN_NO_MEMORY;
        if (i->o_cl == at->o_cl && i->o_clock == at->o_clock) {
            if (doc->clients[ml_item_slot(i)].id < client) {
                *left = o;
                conflicts_from = scan.count;
            } else if (i->ro_cl == at->ro_cl && i->ro_clock == at->ro_clock) {
                break;
            }
        } else {
            uint32_t position = NIL;

            if (i->o_cl != NIL)
                position = scan_position(doc, &scan, ml_run_find(doc, i->o_cl, i->o_clock));
            if (position == NIL) {
                ended = in_pile ? SCANNED_BLINDLY : SCANNED;
                break;
            }
            if (position < conflicts_from) {
                *left = o;
                conflicts_from = scan.count;
            }
        }
        o = i->right;
    }
    if (scan.stamped)
        doc->stamp_next += scan.count;
    return ended;
}

/* Move at->left to the item behind which the new one of `client` goes. */
static bool place_among_concurrent(struct ml_doc *doc, ml_client_id client, struct ml_spot *at)
{
    uint32_t left = at->left, o;
    enum scanned ended = SCANNED_BLINDLY;

    o = ml_pile_is_at(doc, at) ? ml_pile_before(doc, client) : NIL;
    if (o != NIL)
        ended = scan_from(doc, client, at, o, true, &left);
    if (ended == SCANNED_BLINDLY) {
        left = at->left;
        o = left != NIL ? ml_item_at(doc, left)->right : list_first(doc, at->parent, at->key);
        ended = scan_from(doc, client, at, o, false, &left);
    }
    at->left = left;
    return ended != SCAN_NO_MEMORY;
}

/* Do the neighbours still touch, so that there is nothing to compare with? */
static bool neighbours_touch(const struct ml_doc *doc, const struct ml_spot *at)
{
    if (at->left != NIL)
        return ml_item_at(doc, at->left)->right == at->right;
    return at->right != NIL && ml_item_at(doc, at->right)->left == NIL;
}

bool ml_spot_settle(struct ml_doc *doc, ml_client_id client, struct ml_spot *at)
{
    return neighbours_touch(doc, at) || place_among_concurrent(doc, client, at);
}

/* ---- Making the item
 * ---------------------------------------------------------------------------------- */

static bool append_gc(struct ml_doc *doc, uint32_t slot, uint32_t clock, uint32_t len)
{
    uint32_t index = ml_item_new(doc);

    *ml_item_at(doc, index) = (struct ml_item){
        .clock = clock,
        .len = len,
        .left = NIL,
        .right = NIL,
        .o_cl = NIL,
        .ro_cl = NIL,
        .cl = slot | ML_ITEM_DELETED | (uint32_t)ML_WIRE_GC << ML_ITEM_KIND_SHIFT,
        .parent = NIL,
    };
    return ml_run_append(doc, index);
}

static bool put_text_with_half(struct ml_doc *doc, const struct ml_wire *s, struct ml_item *i)
{
    static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};
    uint32_t bytes = (uint32_t)s->content.len + 3;

    i->off = ml_content_put(doc, ml_slice_make(replacement, 3), bytes);
    if (i->off == NIL)
        return false;
    memcpy(ml_content_at(doc, i->off) + 3, s->content.ptr, s->content.len);
    i->blen = bytes;
    return true;
}

static bool put_type(struct ml_doc *doc, const struct ml_wire *s, struct ml_item *i, uint32_t index)
{
    uint32_t name = s->name.ptr ? ml_name_intern(doc, s->name) : NIL;
    uint32_t branch = ml_branch_new(doc);
    struct ml_branch *b;
    uint16_t parent_depth;

    if (branch == NIL || (s->name.ptr && name == NIL))
        return false;
    parent_depth = ml_branch_at(doc, i->parent)->depth;
    b = ml_branch_at(doc, branch);
    b->item = index;
    b->type_ref = s->type_ref;
    b->name = name;
    b->depth = parent_depth < UINT16_MAX ? parent_depth + 1 : UINT16_MAX;
    i->off = branch;
    return true;
}

/* The content of `s` into the new item. */
static bool put_content(struct ml_doc *doc, const struct ml_wire *s, struct ml_item *i,
                        uint32_t index)
{
    if (s->kind == ML_WIRE_DELETED) {
        i->cl |= ML_ITEM_DELETED;
        return true;
    }
    if (s->kind == ML_WIRE_TYPE)
        return put_type(doc, s, i, index);
    if (s->half) {
        if (!put_text_with_half(doc, s, i))
            return false;
    } else {
        i->off = ml_content_put(doc, s->content, (uint32_t)s->content.len);
        if (i->off == NIL)
            return false;
        i->blen = (uint32_t)s->content.len;
    }
    if (!ml_item_is_keyed(i))
        i->aux = i->blen;
    return true;
}

bool ml_item_link(struct ml_doc *doc, uint32_t index, uint32_t left)
{
    struct ml_item *i = ml_item_at(doc, index);
    struct ml_branch *b = ml_branch_at(doc, i->parent);
    bool keyed = ml_item_is_keyed(i), replaced = false;

    i->left = left;
    if (left != NIL) {
        i->right = ml_item_at(doc, left)->right;
        ml_item_at(doc, left)->right = index;
    } else {
        i->right = list_first(doc, i->parent, keyed ? i->aux : NIL);
        if (!keyed)
            b->start = index;
    }
    if (i->right != NIL)
        ml_item_at(doc, i->right)->left = index;
    else if (keyed) {
        if (!ml_branch_set_entry(doc, i->parent, i->aux, index))
            return false;
        replaced = left != NIL;
    }
    if (ml_wire_is_countable(ml_item_kind(i))) {
        doc->txn.inserted_units += i->len;
        if (!keyed)
            b->length += i->len;
    }
    ml_position_linked(doc, index);
    if (!ml_run_append(doc, index))
        return false;
    if (ml_item_kind(i) == ML_WIRE_DOC && !ml_subdoc_note(doc, i, false))
        return false;
    if (replaced && !ml_item_delete(doc, left))
        return false;
    if (ml_item_is_deleted(i))
        return ml_runs_add(doc, &doc->txn.deleted, ml_item_slot(i), i->clock, ml_item_end(i));
    if ((keyed && i->right != NIL) ||
        (b->item != NIL && ml_item_is_deleted(ml_item_at(doc, b->item))) ||
        (ml_item_kind(i) == ML_WIRE_TYPE && b->depth >= doc->limits.type_depth))
        return ml_item_delete(doc, index);
    return true;
}

/* `s` stands at the state of its client: all of it is new. */
static bool place_item(struct ml_doc *doc, const struct ml_wire *s, uint32_t slot,
                       struct ml_spot *at)
{
    uint32_t index;
    struct ml_item *i;

    if (!ml_spot_settle(doc, s->client, at))
        return false;
    index = ml_item_new(doc);
    i = ml_item_at(doc, index);
    *i = (struct ml_item){
        .clock = (uint32_t)s->clock,
        .len = (uint32_t)s->len,
        .o_cl = at->o_cl,
        .o_clock = at->o_clock,
        .ro_cl = at->ro_cl,
        .ro_clock = at->ro_clock,
        .cl = slot | (uint32_t)s->kind << ML_ITEM_KIND_SHIFT,
        .parent = at->parent,
    };
    if (at->key != NIL) {
        i->cl |= ML_ITEM_KEYED;
        i->aux = at->key;
    }
    if (!put_content(doc, s, i, index) || !ml_item_link(doc, index, at->left))
        return false;
    if (ml_pile_is_at(doc, at))
        ml_pile_add(doc, index);
    return true;
}

bool ml_struct_integrate(struct ml_doc *doc, const struct ml_wire *s)
{
    struct ml_spot at = {NIL, NIL, NIL, NIL, NIL, 0, NIL, 0};
    uint32_t slot = ml_slot_get(doc, s->client), next;
    struct ml_wire tail;

    if (slot == NIL || !ml_txn_touch(doc, slot) || !ml_items_reserve(doc, 4))
        return false;
    doc->last_slot = slot;
    next = doc->clients[slot].next;
    ML_ASSERT(next >= s->clock && next < s->clock + s->len);
    if (s->kind == ML_WIRE_GC)
        return append_gc(doc, slot, next, (uint32_t)(s->clock + s->len - next));
    if (!find_neighbours(doc, s, &at) || !find_parent(doc, s, &at))
        return false;
    if (next > s->clock) {
        tail = *s;
        ml_wire_cut(&tail, next - s->clock);
        s = &tail;
        at.o_cl = slot;
        at.o_clock = next - 1;
        at.left = ml_item_ending_at(doc, slot, next - 1);
    }
    if (at.left != NIL && at.parent != NIL)
        take_parent_of(doc, &at, at.left);
    if (at.parent == NIL)
        return append_gc(doc, slot, (uint32_t)s->clock, (uint32_t)s->len);
    return place_item(doc, s, slot, &at);
}
