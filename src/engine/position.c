/* SPDX-License-Identifier: MIT */
/*
 * A B-tree over the items of lists, see position.h. A leaf has numbers and units of its items side
 * by side: a search reads two cache lines of it and no item but the one it wants, which counts,
 * since items that stand side by side in a list lie anywhere. Leaves and nodes are cut when full
 * and go when empty; they are never refilled: lists grow more than they shrink, and what is left of
 * a shrunken one goes with the index.
 *
 * Out of memory while it is kept up to date: the whole index is dropped, and built again by the
 * next search. Nothing here can fail for its callers.
 */
#include "engine/position_tree.h"

#include <stdlib.h>

#define LEAF_BUILT 20   /* items of a leaf of a new index: room to grow */
#define UNUSED_MAX 1024 /* changes that an index outlives without being asked, and one an item */

/* ---- Memory ----------------------------------------------------------------------------------
 */

void ml_positions_release(struct ml_doc *doc)
{
    struct ml_positions *p = doc->positions;

    if (!p)
        return;
    ml_doc_drop(doc, p->leaf_of, p->leaf_of_cap * sizeof *p->leaf_of);
    ml_doc_drop(doc, p->leaves, p->leaf_cap * sizeof *p->leaves);
    ml_doc_drop(doc, p->nodes, p->node_cap * sizeof *p->nodes);
    ml_doc_drop(doc, p, sizeof *p);
    doc->positions = NULL;
}

static bool cover_items(struct ml_doc *doc, struct ml_positions *p)
{
    uint32_t room = doc->items.room;
    void *grown;

    if (p->leaf_of_cap >= room)
        return true;
    if (room < p->leaf_of_cap + p->leaf_of_cap / 4)
        room = p->leaf_of_cap + p->leaf_of_cap / 4;
    grown = ml_doc_resize(doc, p->leaf_of, p->leaf_of_cap * sizeof *p->leaf_of,
                          room * sizeof *p->leaf_of);
    if (!grown)
        return false;
    p->leaf_of = grown;
    memset(p->leaf_of + p->leaf_of_cap, 0xff, (room - p->leaf_of_cap) * sizeof *p->leaf_of);
    p->leaf_of_cap = room;
    return true;
}

/* NIL: out of memory. */
static uint32_t new_leaf(struct ml_doc *doc, struct ml_positions *p)
{
    uint32_t index = p->leaf_free;

    if (index != NIL) {
        p->leaf_free = p->leaves[index].node;
        return index;
    }
    if (p->leaf_count == p->leaf_cap) {
        void *grown = ml_doc_grow(doc, p->leaves, &p->leaf_cap, sizeof *p->leaves);

        if (!grown)
            return NIL;
        p->leaves = grown;
    }
    return p->leaf_count++;
}

static uint32_t new_node(struct ml_doc *doc, struct ml_positions *p)
{
    uint32_t index = p->node_free;

    if (index != NIL) {
        p->node_free = p->nodes[index].parent;
        return index;
    }
    if (p->node_count == p->node_cap) {
        void *grown = ml_doc_grow(doc, p->nodes, &p->node_cap, sizeof *p->nodes);

        if (!grown)
            return NIL;
        p->nodes = grown;
    }
    return p->node_count++;
}

/* ---- The tree --------------------------------------------------------------------------------
 */

/* More or fewer units and formats below `child` of node `index`, and above. */
static void add_sums(struct ml_positions *p, uint32_t index, uint32_t child, uint32_t units,
                     uint32_t formats)
{
    while (index != NIL) {
        struct ml_node *n = &p->nodes[index];
        uint32_t at = ml_child_at(n, child);

        n->units[at] += units; /* differences wrap around */
        n->formats[at] += formats;
        child = index;
        index = n->parent;
    }
}

static void set_parent(struct ml_positions *p, const struct ml_node *n, uint32_t child,
                       uint32_t index)
{
    if (n->is_low)
        p->leaves[child].node = index;
    else
        p->nodes[child].parent = index;
}

static void move_children(struct ml_positions *p, uint32_t from, uint32_t first, uint32_t to)
{
    struct ml_node *a = &p->nodes[from], *b = &p->nodes[to];
    uint32_t count = a->count - first;

    memcpy(b->child, a->child + first, count * sizeof *a->child);
    memcpy(b->units, a->units + first, count * sizeof *a->units);
    memcpy(b->formats, a->formats + first, count * sizeof *a->formats);
    b->count = (uint16_t)count;
    a->count = (uint16_t)first;
    for (uint32_t i = 0; i < count; i++)
        set_parent(p, b, b->child[i], to);
}

static void place_child(struct ml_node *n, uint32_t at, uint32_t child, uint32_t units,
                        uint32_t formats)
{
    uint32_t behind = n->count - at;

    memmove(n->child + at + 1, n->child + at, behind * sizeof *n->child);
    memmove(n->units + at + 1, n->units + at, behind * sizeof *n->units);
    memmove(n->formats + at + 1, n->formats + at, behind * sizeof *n->formats);
    n->child[at] = child;
    n->units[at] = units;
    n->formats[at] = formats;
    n->count++;
}

static bool insert_child(struct ml_doc *doc, struct ml_positions *p, uint32_t index, uint32_t at,
                         uint32_t child, uint32_t units, uint32_t formats);

/* The upper half of a full node moves to a new one, its right neighbour. NIL: out of memory. */
static uint32_t cut_node(struct ml_doc *doc, struct ml_positions *p, uint32_t index)
{
    uint32_t right = new_node(doc, p), parent, units, formats, at;

    if (right == NIL)
        return NIL;
    p->nodes[right] =
        (struct ml_node){.parent = p->nodes[index].parent, .is_low = p->nodes[index].is_low};
    parent = p->nodes[index].parent;
    if (parent == NIL) {
        parent = new_node(doc, p);
        if (parent == NIL)
            return NIL;
        ml_node_sums(&p->nodes[index], &units, &formats);
        p->nodes[parent] = (struct ml_node){
            .parent = NIL, .count = 1, .child = {index}, .units = {units}, .formats = {formats}};
        p->nodes[index].parent = p->nodes[right].parent = parent;
    }
    move_children(p, index, ML_FAN / 2, right);
    ml_node_sums(&p->nodes[right], &units, &formats);
    at = ml_child_at(&p->nodes[parent], index);
    p->nodes[parent].units[at] -= units;
    p->nodes[parent].formats[at] -= formats;
    return insert_child(doc, p, parent, at + 1, right, units, formats) ? right : NIL;
}

/*
 * The sums above `index` hold the child already, and must: when the node is cut and the child goes
 * to the other half, its share goes there, too. Recursion: one level of the tree at a time.
 */
static bool insert_child(struct ml_doc *doc, struct ml_positions *p, uint32_t index, uint32_t at,
                         uint32_t child, uint32_t units, uint32_t formats)
{
    if (p->nodes[index].count == ML_FAN) {
        bool was_root = p->nodes[index].parent == NIL;
        uint32_t left = index, right = cut_node(doc, p, index);

        if (right == NIL)
            return false;
        if (at > ML_FAN / 2) {
            index = right;
            at -= ML_FAN / 2;
        }
        if (was_root) { /* the sums of the new root are those of the halves, without the child */
            add_sums(p, p->nodes[index].parent, index, units, formats);
        } else if (index == right) {
            add_sums(p, p->nodes[left].parent, left, -units, -formats);
            add_sums(p, p->nodes[right].parent, right, units, formats);
        }
    }
    place_child(&p->nodes[index], at, child, units, formats);
    set_parent(p, &p->nodes[index], child, index);
    return true;
}

/* An empty child goes, and its parents as they become empty. */
static void remove_child(struct ml_positions *p, uint32_t index, uint32_t child)
{
    while (index != NIL) {
        struct ml_node *n = &p->nodes[index];
        uint32_t at = ml_child_at(n, child), behind = n->count - at - 1;

        ML_ASSERT_DEBUG(!n->units[at] && !n->formats[at]);
        memmove(n->child + at, n->child + at + 1, behind * sizeof *n->child);
        memmove(n->units + at, n->units + at + 1, behind * sizeof *n->units);
        memmove(n->formats + at, n->formats + at + 1, behind * sizeof *n->formats);
        if (--n->count)
            return;
        child = index;
        index = n->parent;
        n->parent = p->node_free;
        p->node_free = child;
    }
}

/* ---- Kept right ------------------------------------------------------------------------------
 */

static uint32_t item_at(const struct ml_leaf *l, uint32_t item)
{
    uint32_t at = 0;

    while (l->item[at] != item)
        at++;
    ML_ASSERT_DEBUG(at < l->count);
    return at;
}

/* The second half of a full leaf moves to a new one. NIL: out of memory. */
static uint32_t cut_leaf(struct ml_doc *doc, struct ml_positions *p, uint32_t leaf)
{
    uint32_t right = new_leaf(doc, p), units = 0, formats = 0, node, at;
    struct ml_leaf *l, *r;

    if (right == NIL)
        return NIL;
    l = &p->leaves[leaf];
    r = &p->leaves[right];
    node = l->node;
    r->node = node;
    l->count = ML_LEAF_MAX / 2;
    r->count = ML_LEAF_MAX - ML_LEAF_MAX / 2;
    memcpy(r->item, l->item + l->count, r->count * sizeof *r->item);
    memcpy(r->units, l->units + l->count, r->count * sizeof *r->units);
    for (uint32_t i = 0; i < r->count; i++) {
        p->leaf_of[r->item[i]] = right;
        units += r->units[i];
    }
    at = ml_child_at(&p->nodes[node], leaf);
    if (p->nodes[node].formats[at])
        for (uint32_t i = 0; i < r->count; i++)
            formats += ml_live_formats(ml_item_at(doc, r->item[i]));
    p->nodes[node].units[at] -= units;
    p->nodes[node].formats[at] -= formats;
    return insert_child(doc, p, node, at + 1, right, units, formats) ? right : NIL;
}

/* An item whose units are in the sums already. The index is gone if there is no memory. */
static void place_item(struct ml_doc *doc, uint32_t item, uint32_t leaf, uint32_t at,
                       uint32_t units)
{
    struct ml_positions *p = doc->positions;
    struct ml_leaf *l;

    if (!cover_items(doc, p)) {
        ml_positions_release(doc);
        return;
    }
    if (p->leaves[leaf].count == ML_LEAF_MAX) {
        uint32_t right = cut_leaf(doc, p, leaf);

        if (right == NIL) {
            ml_positions_release(doc);
            return;
        }
        if (at > ML_LEAF_MAX / 2) {
            add_sums(p, p->leaves[leaf].node, leaf, -units, 0);
            add_sums(p, p->leaves[right].node, right, units, 0);
            leaf = right;
            at -= ML_LEAF_MAX / 2;
        }
    }
    l = &p->leaves[leaf];
    memmove(l->item + at + 1, l->item + at, (l->count - at) * sizeof *l->item);
    memmove(l->units + at + 1, l->units + at, (l->count - at) * sizeof *l->units);
    l->item[at] = item;
    l->units[at] = units;
    l->count++;
    p->leaf_of[item] = leaf;
}

/*
 * Nobody has asked for as many changes as it takes to make the index again: it goes, and changes
 * cost what they cost without one.
 */
static bool is_forgotten(struct ml_doc *doc)
{
    const struct ml_positions *p = doc->positions;

    if (doc->version - p->asked <= UNUSED_MAX + (uint64_t)p->leaf_count * LEAF_BUILT)
        return false;
    ml_positions_release(doc);
    return true;
}

static void count_units(struct ml_positions *p, uint32_t item, uint32_t units, uint32_t formats)
{
    uint32_t leaf = ml_leaf_of(p, item);

    if (leaf == NIL || (!units && !formats))
        return;
    p->leaves[leaf].units[item_at(&p->leaves[leaf], item)] += units;
    add_sums(p, p->leaves[leaf].node, leaf, units, formats);
}

void ml_positions_linked(struct ml_doc *doc, uint32_t item)
{
    struct ml_positions *p = doc->positions;
    const struct ml_item *i = ml_item_at(doc, item);
    uint32_t leaf;

    if (ml_item_is_keyed(i) || is_forgotten(doc))
        return;
    leaf = ml_leaf_of(p, i->left != NIL ? i->left : i->right);
    if (leaf == NIL)
        return;
    add_sums(p, p->leaves[leaf].node, leaf, ml_live_units(i), 0);
    place_item(doc, item, leaf, i->left != NIL ? item_at(&p->leaves[leaf], i->left) + 1 : 0,
               ml_live_units(i));
    if (doc->positions && ml_live_formats(i))
        count_units(p, item, 0, 1);
}

void ml_positions_cut(struct ml_doc *doc, uint32_t left, uint32_t right)
{
    struct ml_positions *p = doc->positions;
    uint32_t leaf = ml_leaf_of(p, left), at;

    if (leaf == NIL)
        return;
    at = item_at(&p->leaves[leaf], left);
    p->leaves[leaf].units[at] = ml_live_units(ml_item_at(doc, left));
    place_item(doc, right, leaf, at + 1, ml_live_units(ml_item_at(doc, right)));
}

static void remove_item(struct ml_positions *p, uint32_t leaf, uint32_t at)
{
    struct ml_leaf *l = &p->leaves[leaf];
    uint32_t behind = l->count - at - 1;

    p->leaf_of[l->item[at]] = NIL;
    memmove(l->item + at, l->item + at + 1, behind * sizeof *l->item);
    memmove(l->units + at, l->units + at + 1, behind * sizeof *l->units);
    if (--l->count)
        return;
    remove_child(p, l->node, leaf);
    l->node = p->leaf_free;
    p->leaf_free = leaf;
}

void ml_positions_gone(struct ml_doc *doc, uint32_t item, uint32_t heir)
{
    struct ml_positions *p = doc->positions;
    uint32_t leaf = ml_leaf_of(p, item), at, units;

    if (leaf == NIL)
        return;
    at = item_at(&p->leaves[leaf], item);
    units = p->leaves[leaf].units[at];
    count_units(p, item, -units, -ml_live_formats(ml_item_at(doc, item)));
    if (heir != NIL)
        count_units(p, heir, units, 0);
    remove_item(p, leaf, at);
}

void ml_positions_count(struct ml_doc *doc, uint32_t item, int64_t units, int32_t formats)
{
    if (!is_forgotten(doc))
        count_units(doc->positions, item, (uint32_t)units, (uint32_t)formats);
}

/* ---- Built -----------------------------------------------------------------------------------
 */

static struct ml_positions *make_positions(struct ml_doc *doc)
{
    struct ml_positions *p = ml_doc_alloc(doc, sizeof *p);

    if (p)
        *p = (struct ml_positions){.leaf_free = NIL, .node_free = NIL, .asked = doc->version};
    return p;
}

/* The items from `item` on, at most LEAF_BUILT, into the leaf; answers the next item. */
static uint32_t fill_leaf(struct ml_doc *doc, struct ml_positions *p, uint32_t leaf, uint32_t item,
                          uint32_t *units, uint32_t *formats)
{
    struct ml_leaf *l = &p->leaves[leaf];

    l->count = 0;
    *units = *formats = 0;
    while (item != NIL && l->count < LEAF_BUILT) {
        const struct ml_item *i = ml_item_at(doc, item);

        p->leaf_of[item] = leaf;
        l->item[l->count] = item;
        l->units[l->count++] = ml_live_units(i);
        *units += ml_live_units(i);
        *formats += ml_live_formats(i);
        item = i->right;
    }
    return item;
}

/* Leaves are put in at the right end; nodes that fill up are cut there. */
static bool build(struct ml_doc *doc, struct ml_positions *p, uint32_t item)
{
    uint32_t node = new_node(doc, p);

    if (node == NIL || !cover_items(doc, p))
        return false;
    p->nodes[node] = (struct ml_node){.parent = NIL, .is_low = true};
    while (item != NIL) {
        uint32_t leaf = new_leaf(doc, p), units, formats;

        if (leaf == NIL)
            return false;
        item = fill_leaf(doc, p, leaf, item, &units, &formats);
        if (!insert_child(doc, p, node, p->nodes[node].count, leaf, 0, 0))
            return false;
        node = p->leaves[leaf].node;
        add_sums(p, node, leaf, units, formats);
    }
    return true;
}

uint32_t ml_positions_root(struct ml_doc *doc, uint32_t branch, bool make)
{
    uint32_t start = ml_branch_at(doc, branch)->start, leaf, node;

    if (doc->positions)
        doc->positions->asked = doc->version;
    if (start == NIL)
        return NIL;
    if (!doc->positions && (!make || !(doc->positions = make_positions(doc))))
        return NIL;
    if (ml_leaf_of(doc->positions, start) == NIL) {
        if (!make)
            return NIL;
        if (!build(doc, doc->positions, start)) {
            ml_positions_release(doc);
            return NIL;
        }
    }
    leaf = doc->positions->leaf_of[start];
    node = doc->positions->leaves[leaf].node;
    while (doc->positions->nodes[node].parent != NIL)
        node = doc->positions->nodes[node].parent;
    return node;
}

bool ml_position_index(struct ml_doc *doc, uint32_t branch)
{
    return ml_positions_root(doc, branch, true) != NIL;
}
