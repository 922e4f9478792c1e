/* SPDX-License-Identifier: MIT */
/* What the index of positions is asked: see position.h. */
#include "engine/position_tree.h"

#define WALK_MAX 64 /* so many items are walked from the start of a list before it is indexed */

/* ---- Asked -----------------------------------------------------------------------------------
 */

/* The item that holds a unit, from `item` on; NIL: not within `steps` items. */
static uint32_t walk(const struct ml_doc *doc, uint32_t item, uint32_t unit, uint32_t steps,
                     uint32_t *offset_out)
{
    for (; item != NIL && steps; steps--) {
        const struct ml_item *i = ml_item_at(doc, item);
        uint32_t units = ml_live_units(i);

        if (unit < units) {
            *offset_out = unit;
            return item;
        }
        unit -= units;
        item = i->right;
    }
    return NIL;
}

static uint32_t find_in_leaf(const struct ml_leaf *l, uint32_t unit, uint32_t *offset_out)
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
    uint32_t start = ml_branch_at(doc, branch)->start, root = ml_positions_root(doc, branch, false),
             at;
    const struct ml_positions *p;

    ML_ASSERT(unit < ml_branch_at(doc, branch)->length);
    if (root == NIL) {
        uint32_t item = walk(doc, start, unit, WALK_MAX, offset_out);

        if (doc->positions)
            doc->positions->walked += WALK_MAX;
        if (item != NIL)
            return item;
        root = ml_positions_root(doc, branch, true);
        if (root == NIL)
            return walk(doc, start, unit, UINT32_MAX, offset_out);
    }
    p = doc->positions;
    for (;;) {
        const struct ml_node *n = &p->nodes[root];

        for (at = 0; unit >= n->units[at]; at++)
            unit -= n->units[at];
        ML_ASSERT_DEBUG(at < n->count);
        if (n->is_low)
            return find_in_leaf(&p->leaves[n->child[at]], unit, offset_out);
        root = n->child[at];
    }
}

/* Live units to the left of an item, within `steps` items. False: there are more. */
static bool walk_left(const struct ml_doc *doc, uint32_t item, uint32_t steps, uint32_t *units_out)
{
    *units_out = 0;
    for (uint32_t i = ml_item_at(doc, item)->left; i != NIL; i = ml_item_at(doc, i)->left) {
        if (!steps--)
            return false;
        *units_out += ml_live_units(ml_item_at(doc, i));
    }
    return true;
}

uint32_t ml_position_of(struct ml_doc *doc, uint32_t item)
{
    const struct ml_positions *p = doc->positions;
    uint32_t leaf = p ? ml_leaf_of(p, item) : NIL, units = 0, node, child;

    if (leaf == NIL) {
        if (walk_left(doc, item, WALK_MAX, &units))
            return units;
        if (ml_positions_root(doc, ml_item_at(doc, item)->parent, true) == NIL) {
            (void)walk_left(doc, item, UINT32_MAX, &units); /* no memory for an index */
            return units;
        }
        p = doc->positions;
        leaf = ml_leaf_of(p, item);
        units = 0;
    }
    doc->positions->asked = doc->version;
    for (uint32_t at = 0; p->leaves[leaf].item[at] != item; at++)
        units += p->leaves[leaf].units[at];
    for (node = p->leaves[leaf].node, child = leaf; node != NIL;
         child = node, node = p->nodes[node].parent)
        for (uint32_t at = 0; p->nodes[node].child[at] != child; at++)
            units += p->nodes[node].units[at];
    return units;
}

uint32_t ml_position_last(struct ml_doc *doc, uint32_t branch)
{
    uint32_t item = ml_branch_at(doc, branch)->start, root, steps = 0;
    const struct ml_positions *p;

    root = ml_positions_root(doc, branch, false);
    if (root == NIL) {
        while (item != NIL && ml_item_at(doc, item)->right != NIL && steps++ < WALK_MAX)
            item = ml_item_at(doc, item)->right;
        if (item != NIL && ml_item_at(doc, item)->right != NIL)
            root = ml_positions_root(doc, branch, true);
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
        if (ml_live_formats(ml_item_at(v->doc, item)) && !v->visit(v->arg, item))
            return false;
        if (item == last)
            return true;
    }
    return true;
}

/* Everything below a child. Recursion: the height of the tree. */
static bool visit_child(const struct visitor *v, const struct ml_node *n, uint32_t at)
{
    const struct ml_positions *p = v->doc->positions;
    const struct ml_node *below;

    if (!n->formats[at])
        return true;
    if (n->is_low) {
        const struct ml_leaf *l = &p->leaves[n->child[at]];

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
    uint32_t way[ML_TREE_HEIGHT_MAX], height = 0, leaf = p->leaf_of[last];

    for (uint32_t n = p->leaves[leaf].node; n != NIL; n = p->nodes[n].parent) {
        ML_ASSERT(height < ML_TREE_HEIGHT_MAX);
        way[height++] = n;
    }
    while (height-- > 0) {
        const struct ml_node *n = &p->nodes[way[height]];
        uint32_t on = height ? way[height - 1] : leaf;

        for (uint32_t at = 0; n->child[at] != on; at++)
            if (!visit_child(v, n, at))
                return false;
    }
    if (!p->nodes[way[0]].formats[ml_child_at(&p->nodes[way[0]], leaf)])
        return true;
    return visit_list(v, p->leaves[leaf].item[0], last);
}

bool ml_position_formats(struct ml_doc *doc, uint32_t branch, uint32_t last,
                         bool (*visit)(void *arg, uint32_t item), void *arg)
{
    struct visitor v = {doc, visit, arg};

    if (last == NIL)
        return true;
    if (ml_positions_root(doc, branch, false) == NIL)
        return visit_list(&v, ml_branch_at(doc, branch)->start, last);
    return visit_until(&v, last);
}

/* ---- Checked ---------------------------------------------------------------------------------
 */

/* A walk over the items below a node, beside the walk over the list. */
struct count {
    const struct ml_doc *doc;
    uint32_t item; /* of the list: the next one */
    uint32_t met;
};

static bool check_leaf(struct count *c, uint32_t leaf, uint32_t units, uint32_t formats)
{
    const struct ml_positions *p = c->doc->positions;
    const struct ml_leaf *l = &p->leaves[leaf];

    for (uint32_t n = 0; n < l->count; n++) {
        const struct ml_item *i;

        if (c->item == NIL || l->item[n] != c->item || ml_leaf_of(p, c->item) != leaf)
            return false;
        i = ml_item_at(c->doc, c->item);
        if (l->units[n] != ml_live_units(i))
            return false;
        units -= ml_live_units(i);
        formats -= ml_live_formats(i);
        c->item = i->right;
        c->met++;
    }
    return l->count && units == 0 && formats == 0;
}

/* Recursion: the height of the tree. */
static bool check_node(struct count *c, uint32_t index)
{
    const struct ml_positions *p = c->doc->positions;
    const struct ml_node *n = &p->nodes[index];

    for (uint32_t at = 0; at < n->count; at++) {
        uint32_t units, formats;

        if (n->is_low) {
            if (p->leaves[n->child[at]].node != index ||
                !check_leaf(c, n->child[at], n->units[at], n->formats[at]))
                return false;
            continue;
        }
        ml_node_sums(&p->nodes[n->child[at]], &units, &formats);
        if (p->nodes[n->child[at]].parent != index || units != n->units[at] ||
            formats != n->formats[at] || !check_node(c, n->child[at]))
            return false;
    }
    return n->count > 0;
}

static bool check_list(struct count *c, uint32_t branch)
{
    const struct ml_branch *b = ml_branch_at(c->doc, branch);
    const struct ml_positions *p = c->doc->positions;
    uint32_t node;

    if (b->start == NIL || ml_leaf_of(p, b->start) == NIL)
        return true; /* an item with a leaf would be missed in the count */
    node = p->leaves[p->leaf_of[b->start]].node;
    while (p->nodes[node].parent != NIL)
        node = p->nodes[node].parent;
    c->item = b->start;
    return check_node(c, node) && c->item == NIL;
}

bool ml_positions_check(const struct ml_doc *doc)
{
    const struct ml_positions *p = doc->positions;
    struct count c = {.doc = doc};
    uint32_t with_leaf = 0;

    if (!p)
        return true;
    for (uint32_t b = 0; b < doc->branches.used; b++)
        if ((ml_branch_at(doc, b)->is_root || ml_branch_at(doc, b)->item != NIL) &&
            !check_list(&c, b))
            return false;
    for (uint32_t i = 0; i < p->leaf_of_cap; i++)
        with_leaf += p->leaf_of[i] != NIL;
    return with_leaf == c.met;
}
