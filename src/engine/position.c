/* SPDX-License-Identifier: MIT */
/*
 * A B-tree over the items of lists, see position.h. Leaves hold no items, they point into the list,
 * so an insert writes a leaf number and a few sums; a leaf that gets too long is cut in two. Nodes
 * are cut when full and go when empty, they are never refilled: lists grow more than they shrink,
 * and what is left of a shrunken one goes with the index.
 *
 * Out of memory while it is kept up to date: the whole index is dropped, and built again by the
 * next search. Nothing here can fail for its callers.
 */
#include "engine/position.h"

#include <stdlib.h>

#define FAN        32 /* children of a node */
#define LEAF_MAX   16 /* items of a leaf; 16 was faster than 8, 32 and 64 at 10^5 and 10^6 runs */
#define LEAF_BUILT 10 /* items of a leaf of a new index: room to grow */
#define WALK_MAX                                                                                   \
    64 /* a walk from the start of a list may take this many items before an index is made */
#define HEIGHT_MAX 16

struct leaf {
    uint32_t first; /* item; free leaves: the next free one */
    uint32_t items;
    uint32_t node;
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
        p->leaf_free = p->leaves[index].first;
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
        uint32_t right = cut_node(doc, p, index);

        if (right == NIL)
            return false;
        if (at > FAN / 2) {
            add_sums(p, p->nodes[index].parent, index, -units, -formats);
            add_sums(p, p->nodes[right].parent, right, units, formats);
            index = right;
            at -= FAN / 2;
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

/* The second half of a leaf's items moves to a new leaf. */
static bool cut_leaf(struct ml_doc *doc, struct ml_positions *p, uint32_t leaf)
{
    uint32_t right = new_leaf(doc, p), item, keep, units = 0, formats = 0, node, at;

    if (right == NIL)
        return false;
    item = p->leaves[leaf].first;
    keep = p->leaves[leaf].items / 2;
    node = p->leaves[leaf].node;
    for (uint32_t i = 0; i < keep; i++)
        item = ml_item_at(doc, item)->right;
    p->leaves[right] =
        (struct leaf){.first = item, .items = p->leaves[leaf].items - keep, .node = node};
    p->leaves[leaf].items = keep;
    for (uint32_t i = 0; i < p->leaves[right].items; i++) {
        const struct ml_item *it = ml_item_at(doc, item);

        p->leaf_of[item] = right;
        units += live_units(it);
        formats += live_formats(it);
        item = it->right;
    }
    at = child_at(&p->nodes[node], leaf);
    p->nodes[node].units[at] -= units;
    p->nodes[node].formats[at] -= formats;
    return insert_child(doc, p, node, at + 1, right, units, formats);
}

/* One more item in a leaf, already linked and counted. */
static void join_leaf(struct ml_doc *doc, struct ml_positions *p, uint32_t item, uint32_t leaf)
{
    if (!cover_items(doc, p)) {
        ml_positions_release(doc);
        return;
    }
    p->leaf_of[item] = leaf;
    if (++p->leaves[leaf].items > LEAF_MAX && !cut_leaf(doc, p, leaf))
        ml_positions_release(doc);
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
    if (i->left == NIL)
        p->leaves[leaf].first = item;
    add_sums(p, p->leaves[leaf].node, leaf, live_units(i), live_formats(i));
    join_leaf(doc, p, item, leaf);
}

void ml_positions_cut(struct ml_doc *doc, uint32_t left, uint32_t right)
{
    uint32_t leaf = leaf_of(doc->positions, left);

    if (leaf != NIL)
        join_leaf(doc, doc->positions, right, leaf);
}

void ml_positions_gone(struct ml_doc *doc, uint32_t item, uint32_t heir)
{
    struct ml_positions *p = doc->positions;
    const struct ml_item *i = ml_item_at(doc, item);
    uint32_t leaf = leaf_of(p, item), to = heir == NIL ? NIL : leaf_of(p, heir), node;

    if (leaf == NIL)
        return;
    node = p->leaves[leaf].node;
    if (to != leaf) {
        add_sums(p, node, leaf, -live_units(i), -live_formats(i));
        if (to != NIL)
            add_sums(p, p->leaves[to].node, to, live_units(i), live_formats(i));
    }
    p->leaf_of[item] = NIL;
    if (p->leaves[leaf].first == item)
        p->leaves[leaf].first = i->right;
    if (--p->leaves[leaf].items)
        return;
    remove_child(p, node, leaf);
    p->leaves[leaf].first = p->leaf_free;
    p->leaf_free = leaf;
}

void ml_positions_count(struct ml_doc *doc, uint32_t item, int64_t units, int32_t formats)
{
    struct ml_positions *p = doc->positions;
    uint32_t leaf = leaf_of(p, item);

    if (leaf != NIL)
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

    *l = (struct leaf){.first = item};
    *units = *formats = 0;
    while (item != NIL && l->items < LEAF_BUILT) {
        const struct ml_item *i = ml_item_at(doc, item);

        p->leaf_of[item] = leaf;
        *units += live_units(i);
        *formats += live_formats(i);
        l->items++;
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

uint32_t ml_position_find(struct ml_doc *doc, uint32_t branch, uint32_t unit, uint32_t *offset_out)
{
    uint32_t start = ml_branch_at(doc, branch)->start, root = index_of(doc, branch, false), at;
    const struct ml_positions *p;

    ML_ASSERT(unit < ml_branch_at(doc, branch)->length);
    if (root == NIL) {
        uint32_t item = walk(doc, start, unit, WALK_MAX, offset_out);

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
            return walk(doc, p->leaves[n->child[at]].first, unit, UINT32_MAX, offset_out);
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
        item = p->leaves[p->nodes[root].child[p->nodes[root].count - 1]].first;
    }
    while (item != NIL && ml_item_at(doc, item)->right != NIL)
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

/* `items` items from `item` on, but nothing behind `last`. */
static bool visit_items(const struct visitor *v, uint32_t item, uint32_t items, uint32_t last)
{
    for (; item != NIL && items; items--) {
        const struct ml_item *i = ml_item_at(v->doc, item);

        if (live_formats(i) && !v->visit(v->arg, item))
            return false;
        if (item == last)
            return true;
        item = i->right;
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

        return visit_items(v, l->first, l->items, NIL);
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
    return visit_items(v, p->leaves[leaf].first, p->leaves[leaf].items, last);
}

bool ml_position_formats(struct ml_doc *doc, uint32_t branch, uint32_t last,
                         bool (*visit)(void *arg, uint32_t item), void *arg)
{
    struct visitor v = {doc, visit, arg};

    if (last == NIL)
        return true;
    if (index_of(doc, branch, false) == NIL)
        return visit_items(&v, ml_branch_at(doc, branch)->start, UINT32_MAX, last);
    return visit_until(&v, last);
}

/* ---- Checked ---------------------------------------------------------------------------------
 */

static bool check_leaf(const struct ml_doc *doc, uint32_t leaf, uint32_t *item, uint32_t units,
                       uint32_t formats)
{
    const struct ml_positions *p = doc->positions;
    const struct leaf *l = &p->leaves[leaf];

    if (!l->items || l->first != *item)
        return false;
    for (uint32_t n = 0; n < l->items; n++) {
        const struct ml_item *i;

        if (*item == NIL || leaf_of(p, *item) != leaf)
            return false;
        i = ml_item_at(doc, *item);
        units -= live_units(i);
        formats -= live_formats(i);
        *item = i->right;
    }
    return units == 0 && formats == 0;
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
