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
#include "engine/position.h"

#include <stdlib.h>

#define FAN        32 /* children of a node */
#define LEAF_MAX   32 /* items of a leaf */
#define LEAF_BUILT 20 /* items of a leaf of a new index: room to grow */
#define WALK_MAX   64 /* so many items are walked from the start of a list before it is indexed */
#define HEIGHT_MAX 16

struct leaf {
    uint32_t node; /* free leaves: the next free one */
    uint32_t count;
    uint32_t item[LEAF_MAX], units[LEAF_MAX];
};

struct node {
    uint32_t parent; /* NIL: the root; free nodes: the next free one */
    uint16_t count;
    bool is_low; /* its children are leaves */
    uint32_t child[FAN];
    uint32_t units[FAN], formats[FAN];
};

struct ml_positions {
    uint32_t *leaf_of; /* [leaf_of_cap] by item, NIL: none */
    uint32_t leaf_of_cap;
    struct leaf *leaves;
    uint32_t leaf_count, leaf_cap, leaf_free;
    struct node *nodes;
    uint32_t node_count, node_cap, node_free;
    uint64_t walked; /* items met by searches without an index of the list */
};

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

static uint32_t leaf_of(const struct ml_positions *p, uint32_t item)
{
    return item < p->leaf_of_cap ? p->leaf_of[item] : NIL;
}

/* ---- The tree --------------------------------------------------------------------------------
 */

static uint32_t child_at(const struct node *n, uint32_t child)
{
    uint32_t at = 0;

    while (n->child[at] != child)
        at++;
    ML_ASSERT_DEBUG(at < n->count);
    return at;
}

/* More or fewer units and formats below `child` of node `index`, and above. */
static void add_sums(struct ml_positions *p, uint32_t index, uint32_t child, uint32_t units,
                     uint32_t formats)
{
    while (index != NIL) {
        struct node *n = &p->nodes[index];
        uint32_t at = child_at(n, child);

        n->units[at] += units; /* differences wrap around */
        n->formats[at] += formats;
        child = index;
        index = n->parent;
    }
}

static void set_parent(struct ml_positions *p, const struct node *n, uint32_t child, uint32_t index)
{
    if (n->is_low)
        p->leaves[child].node = index;
    else
        p->nodes[child].parent = index;
}

static void move_children(struct ml_positions *p, uint32_t from, uint32_t first, uint32_t to)
{
    struct node *a = &p->nodes[from], *b = &p->nodes[to];
    uint32_t count = a->count - first;

    memcpy(b->child, a->child + first, count * sizeof *a->child);
    memcpy(b->units, a->units + first, count * sizeof *a->units);
    memcpy(b->formats, a->formats + first, count * sizeof *a->formats);
    b->count = (uint16_t)count;
    a->count = (uint16_t)first;
    for (uint32_t i = 0; i < count; i++)
        set_parent(p, b, b->child[i], to);
}

static void sum_of(const struct node *n, uint32_t *units, uint32_t *formats)
{
    *units = *formats = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        *units += n->units[i];
        *formats += n->formats[i];
    }
}

static void place_child(struct node *n, uint32_t at, uint32_t child, uint32_t units,
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
        (struct node){.parent = p->nodes[index].parent, .is_low = p->nodes[index].is_low};
    parent = p->nodes[index].parent;
    if (parent == NIL) {
        parent = new_node(doc, p);
        if (parent == NIL)
            return NIL;
        sum_of(&p->nodes[index], &units, &formats);
        p->nodes[parent] = (struct node){
            .parent = NIL, .count = 1, .child = {index}, .units = {units}, .formats = {formats}};
        p->nodes[index].parent = p->nodes[right].parent = parent;
    }
    move_children(p, index, FAN / 2, right);
    sum_of(&p->nodes[right], &units, &formats);
    at = child_at(&p->nodes[parent], index);
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
    if (p->nodes[index].count == FAN) {
        bool was_root = p->nodes[index].parent == NIL;
        uint32_t left = index, right = cut_node(doc, p, index);

        if (right == NIL)
            return false;
        if (at > FAN / 2) {
            index = right;
            at -= FAN / 2;
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
        struct node *n = &p->nodes[index];
        uint32_t at = child_at(n, child), behind = n->count - at - 1;

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

static uint32_t live_units(const struct ml_item *i)
{
    return ml_item_is_visible(i) ? i->len : 0;
}

static uint32_t live_formats(const struct ml_item *i)
{
    return !ml_item_is_deleted(i) && ml_item_kind(i) == ML_WIRE_FORMAT;
}

static uint32_t item_at(const struct leaf *l, uint32_t item)
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
    struct leaf *l, *r;

    if (right == NIL)
        return NIL;
    l = &p->leaves[leaf];
    r = &p->leaves[right];
    node = l->node;
    r->node = node;
    l->count = LEAF_MAX / 2;
    r->count = LEAF_MAX - LEAF_MAX / 2;
    memcpy(r->item, l->item + l->count, r->count * sizeof *r->item);
    memcpy(r->units, l->units + l->count, r->count * sizeof *r->units);
    for (uint32_t i = 0; i < r->count; i++) {
        p->leaf_of[r->item[i]] = right;
        units += r->units[i];
    }
    at = child_at(&p->nodes[node], leaf);
    if (p->nodes[node].formats[at])
        for (uint32_t i = 0; i < r->count; i++)
            formats += live_formats(ml_item_at(doc, r->item[i]));
    p->nodes[node].units[at] -= units;
    p->nodes[node].formats[at] -= formats;
    return insert_child(doc, p, node, at + 1, right, units, formats) ? right : NIL;
}

/* An item whose units are in the sums already. The index is gone if there is no memory. */
static void place_item(struct ml_doc *doc, uint32_t item, uint32_t leaf, uint32_t at,
                       uint32_t units)
{
    struct ml_positions *p = doc->positions;
    struct leaf *l;

    if (!cover_items(doc, p)) {
        ml_positions_release(doc);
        return;
    }
    if (p->leaves[leaf].count == LEAF_MAX) {
        uint32_t right = cut_leaf(doc, p, leaf);

        if (right == NIL) {
            ml_positions_release(doc);
            return;
        }
        if (at > LEAF_MAX / 2) {
            add_sums(p, p->leaves[leaf].node, leaf, -units, 0);
            add_sums(p, p->leaves[right].node, right, units, 0);
            leaf = right;
            at -= LEAF_MAX / 2;
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

void ml_positions_linked(struct ml_doc *doc, uint32_t item)
{
    struct ml_positions *p = doc->positions;
    const struct ml_item *i = ml_item_at(doc, item);
    uint32_t leaf;

    if (ml_item_is_keyed(i))
        return;
    leaf = leaf_of(p, i->left != NIL ? i->left : i->right);
    if (leaf == NIL)
        return;
    add_sums(p, p->leaves[leaf].node, leaf, live_units(i), 0);
    place_item(doc, item, leaf, i->left != NIL ? item_at(&p->leaves[leaf], i->left) + 1 : 0,
               live_units(i));
    if (live_formats(i))
        ml_position_count(doc, item, 0, 1);
}

void ml_positions_cut(struct ml_doc *doc, uint32_t left, uint32_t right)
{
    struct ml_positions *p = doc->positions;
    uint32_t leaf = leaf_of(p, left), at;

    if (leaf == NIL)
        return;
    at = item_at(&p->leaves[leaf], left);
    p->leaves[leaf].units[at] = live_units(ml_item_at(doc, left));
    place_item(doc, right, leaf, at + 1, live_units(ml_item_at(doc, right)));
}

static void remove_item(struct ml_positions *p, uint32_t leaf, uint32_t at)
{
    struct leaf *l = &p->leaves[leaf];
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
    uint32_t leaf = leaf_of(p, item), at, units;

    if (leaf == NIL)
        return;
    at = item_at(&p->leaves[leaf], item);
    units = p->leaves[leaf].units[at];
    ml_positions_count(doc, item, -(int64_t)units, -(int32_t)live_formats(ml_item_at(doc, item)));
    if (heir != NIL)
        ml_positions_count(doc, heir, units, 0);
    remove_item(p, leaf, at);
}

void ml_positions_count(struct ml_doc *doc, uint32_t item, int64_t units, int32_t formats)
{
    struct ml_positions *p = doc->positions;
    uint32_t leaf = leaf_of(p, item);

    if (leaf == NIL || (!units && !formats))
        return;
    p->leaves[leaf].units[item_at(&p->leaves[leaf], item)] += (uint32_t)units;
    add_sums(p, p->leaves[leaf].node, leaf, (uint32_t)units, (uint32_t)formats);
}

/* ---- Built -----------------------------------------------------------------------------------
 */

static struct ml_positions *make_positions(struct ml_doc *doc)
{
    struct ml_positions *p = ml_doc_alloc(doc, sizeof *p);

    if (p)
        *p = (struct ml_positions){.leaf_free = NIL, .node_free = NIL};
    return p;
}

/* The items from `item` on, at most LEAF_BUILT, into the leaf; answers the next item. */
static uint32_t fill_leaf(struct ml_doc *doc, struct ml_positions *p, uint32_t leaf, uint32_t item,
                          uint32_t *units, uint32_t *formats)
{
    struct leaf *l = &p->leaves[leaf];

    l->count = 0;
    *units = *formats = 0;
    while (item != NIL && l->count < LEAF_BUILT) {
        const struct ml_item *i = ml_item_at(doc, item);

        p->leaf_of[item] = leaf;
        l->item[l->count] = item;
        l->units[l->count++] = live_units(i);
        *units += live_units(i);
        *formats += live_formats(i);
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
    p->nodes[node] = (struct node){.parent = NIL, .is_low = true};
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

/* The root node over the list of a branch; NIL: it has no index and cannot get one. */
static uint32_t index_of(struct ml_doc *doc, uint32_t branch, bool make)
{
    uint32_t start = ml_branch_at(doc, branch)->start, leaf, node;

    if (start == NIL)
        return NIL;
    if (!doc->positions && (!make || !(doc->positions = make_positions(doc))))
        return NIL;
    if (leaf_of(doc->positions, start) == NIL) {
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
    return index_of(doc, branch, true) != NIL;
}

/* ---- Asked -----------------------------------------------------------------------------------
 */

/* The item that holds a unit, from `item` on; NIL: not within `steps` items. */
static uint32_t walk(const struct ml_doc *doc, uint32_t item, uint32_t unit, uint32_t steps,
                     uint32_t *offset_out)
{
    for (; item != NIL && steps; steps--) {
        const struct ml_item *i = ml_item_at(doc, item);
        uint32_t units = live_units(i);

        if (unit < units) {
            *offset_out = unit;
            return item;
        }
        unit -= units;
        item = i->right;
    }
    return NIL;
}

static uint32_t find_in_leaf(const struct leaf *l, uint32_t unit, uint32_t *offset_out)
{
    uint32_t at;

    for (at = 0; unit >= l->units[at]; at++)
        unit -= l->units[at];
    ML_ASSERT_DEBUG(at < l->count);
    *offset_out = unit;
    return l->item[at];
}

uint64_t ml_positions_walked(const struct ml_doc *doc)
{
    return doc->positions ? doc->positions->walked : 0;
}

uint32_t ml_position_find(struct ml_doc *doc, uint32_t branch, uint32_t unit, uint32_t *offset_out)
{
    uint32_t start = ml_branch_at(doc, branch)->start, root = index_of(doc, branch, false), at;
    const struct ml_positions *p;

    ML_ASSERT(unit < ml_branch_at(doc, branch)->length);
    if (root == NIL) {
        uint32_t item = walk(doc, start, unit, WALK_MAX, offset_out);

        if (doc->positions)
            doc->positions->walked += WALK_MAX;
        if (item != NIL)
            return item;
        root = index_of(doc, branch, true);
        if (root == NIL)
            return walk(doc, start, unit, UINT32_MAX, offset_out);
    }
    p = doc->positions;
    for (;;) {
        const struct node *n = &p->nodes[root];

        for (at = 0; unit >= n->units[at]; at++)
            unit -= n->units[at];
        ML_ASSERT_DEBUG(at < n->count);
        if (n->is_low)
            return find_in_leaf(&p->leaves[n->child[at]], unit, offset_out);
        root = n->child[at];
    }
}

uint32_t ml_position_last(struct ml_doc *doc, uint32_t branch)
{
    uint32_t item = ml_branch_at(doc, branch)->start, root, steps = 0;
    const struct ml_positions *p;

    root = index_of(doc, branch, false);
    if (root == NIL) {
        while (item != NIL && ml_item_at(doc, item)->right != NIL && steps++ < WALK_MAX)
            item = ml_item_at(doc, item)->right;
        if (item != NIL && ml_item_at(doc, item)->right != NIL)
            root = index_of(doc, branch, true);
    }
    if (root != NIL) {
        p = doc->positions;
        while (!p->nodes[root].is_low)
            root = p->nodes[root].child[p->nodes[root].count - 1];
        root = p->nodes[root].child[p->nodes[root].count - 1];
        return p->leaves[root].item[p->leaves[root].count - 1];
    }
    while (item != NIL && ml_item_at(doc, item)->right != NIL) /* no memory for an index */
        item = ml_item_at(doc, item)->right;
    return item;
}

/* ---- Formats ---------------------------------------------------------------------------------
 */

struct visitor {
    struct ml_doc *doc;
    bool (*visit)(void *arg, uint32_t item);
    void *arg;
};

/* From `item` on, but nothing behind `last`. */
static bool visit_list(const struct visitor *v, uint32_t item, uint32_t last)
{
    for (; item != NIL; item = ml_item_at(v->doc, item)->right) {
        if (live_formats(ml_item_at(v->doc, item)) && !v->visit(v->arg, item))
            return false;
        if (item == last)
            return true;
    }
    return true;
}

/* Everything below a child. Recursion: the height of the tree. */
static bool visit_child(const struct visitor *v, const struct node *n, uint32_t at)
{
    const struct ml_positions *p = v->doc->positions;
    const struct node *below;

    if (!n->formats[at])
        return true;
    if (n->is_low) {
        const struct leaf *l = &p->leaves[n->child[at]];

        return visit_list(v, l->item[0], l->item[l->count - 1]);
    }
    below = &p->nodes[n->child[at]];
    for (uint32_t i = 0; i < below->count; i++)
        if (!visit_child(v, below, i))
            return false;
    return true;
}

/* The nodes above the leaf of `last`, from the root down: what stands before the way, then on. */
static bool visit_until(const struct visitor *v, uint32_t last)
{
    const struct ml_positions *p = v->doc->positions;
    uint32_t way[HEIGHT_MAX], height = 0, leaf = p->leaf_of[last];

    for (uint32_t n = p->leaves[leaf].node; n != NIL; n = p->nodes[n].parent) {
        ML_ASSERT(height < HEIGHT_MAX);
        way[height++] = n;
    }
    while (height-- > 0) {
        const struct node *n = &p->nodes[way[height]];
        uint32_t on = height ? way[height - 1] : leaf;

        for (uint32_t at = 0; n->child[at] != on; at++)
            if (!visit_child(v, n, at))
                return false;
    }
    if (!p->nodes[way[0]].formats[child_at(&p->nodes[way[0]], leaf)])
        return true;
    return visit_list(v, p->leaves[leaf].item[0], last);
}

bool ml_position_formats(struct ml_doc *doc, uint32_t branch, uint32_t last,
                         bool (*visit)(void *arg, uint32_t item), void *arg)
{
    struct visitor v = {doc, visit, arg};

    if (last == NIL)
        return true;
    if (index_of(doc, branch, false) == NIL)
        return visit_list(&v, ml_branch_at(doc, branch)->start, last);
    return visit_until(&v, last);
}

/* ---- Checked ---------------------------------------------------------------------------------
 */

static bool check_leaf(const struct ml_doc *doc, uint32_t leaf, uint32_t *item, uint32_t units,
                       uint32_t formats)
{
    const struct ml_positions *p = doc->positions;
    const struct leaf *l = &p->leaves[leaf];

    for (uint32_t n = 0; n < l->count; n++) {
        const struct ml_item *i;

        if (*item == NIL || l->item[n] != *item || leaf_of(p, *item) != leaf)
            return false;
        i = ml_item_at(doc, *item);
        if (l->units[n] != live_units(i))
            return false;
        units -= live_units(i);
        formats -= live_formats(i);
        *item = i->right;
    }
    return l->count && units == 0 && formats == 0;
}

static bool check_node(const struct ml_doc *doc, uint32_t index, uint32_t *item)
{
    const struct ml_positions *p = doc->positions;
    const struct node *n = &p->nodes[index];

    for (uint32_t at = 0; at < n->count; at++) {
        uint32_t units, formats;

        if (n->is_low) {
            if (p->leaves[n->child[at]].node != index ||
                !check_leaf(doc, n->child[at], item, n->units[at], n->formats[at]))
                return false;
            continue;
        }
        sum_of(&p->nodes[n->child[at]], &units, &formats);
        if (p->nodes[n->child[at]].parent != index || units != n->units[at] ||
            formats != n->formats[at] || !check_node(doc, n->child[at], item))
            return false;
    }
    return n->count > 0;
}

static bool has_no_leaf(const struct ml_doc *doc, uint32_t item)
{
    for (; item != NIL; item = ml_item_at(doc, item)->right)
        if (leaf_of(doc->positions, item) != NIL)
            return false;
    return true;
}

bool ml_positions_check(const struct ml_doc *doc)
{
    for (uint32_t b = 0; doc->positions && b < doc->branches.used; b++) {
        const struct ml_branch *branch = ml_branch_at(doc, b);
        uint32_t item = branch->start, node;

        if (!branch->is_root && branch->item == NIL)
            continue; /* free */
        if (item == NIL || leaf_of(doc->positions, item) == NIL) {
            if (!has_no_leaf(doc, item))
                return false;
            continue;
        }
        node = doc->positions->leaves[doc->positions->leaf_of[item]].node;
        while (doc->positions->nodes[node].parent != NIL)
            node = doc->positions->nodes[node].parent;
        if (!check_node(doc, node, &item) || item != NIL)
            return false;
    }
    return true;
}
