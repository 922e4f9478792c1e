/* SPDX-License-Identifier: MIT */
/* The tree of position.h from inside: position.c keeps it right, position_find.c asks it. */
#ifndef ML_ENGINE_POSITION_TREE_H
#define ML_ENGINE_POSITION_TREE_H

#include "engine/position.h"

#define ML_FAN             32 /* children of a node */
#define ML_LEAF_MAX        32 /* items of a leaf */
#define ML_TREE_HEIGHT_MAX 16

struct ml_leaf {
    uint32_t node; /* free leaves: the next free one */
    uint32_t count;
    uint32_t item[ML_LEAF_MAX], units[ML_LEAF_MAX];
};

struct ml_node {
    uint32_t parent; /* NIL: the root; free nodes: the next free one */
    uint16_t count;
    bool is_low; /* its children are leaves */
    uint32_t child[ML_FAN];
    uint32_t units[ML_FAN], formats[ML_FAN];
};

struct ml_positions {
    uint32_t *leaf_of; /* [leaf_of_cap] by item, NIL: none */
    uint32_t leaf_of_cap;
    struct ml_leaf *leaves;
    uint32_t leaf_count, leaf_cap, leaf_free;
    struct ml_node *nodes;
    uint32_t node_count, node_cap, node_free;
    uint64_t asked;  /* doc->version of the last search */
    uint64_t walked; /* items met by searches without an index of the list */
};

static inline uint32_t ml_leaf_of(const struct ml_positions *p, uint32_t item)
{
    return item < p->leaf_of_cap ? p->leaf_of[item] : NIL;
}

static inline uint32_t ml_child_at(const struct ml_node *n, uint32_t child)
{
    uint32_t at = 0;

    while (n->child[at] != child)
        at++;
    ML_ASSERT_DEBUG(at < n->count);
    return at;
}

static inline void ml_node_sums(const struct ml_node *n, uint32_t *units, uint32_t *formats)
{
    *units = *formats = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        *units += n->units[i];
        *formats += n->formats[i];
    }
}

static inline uint32_t ml_live_units(const struct ml_item *i)
{
    return ml_item_is_visible(i) ? i->len : 0;
}

static inline uint32_t ml_live_formats(const struct ml_item *i)
{
    return !ml_item_is_deleted(i) && ml_item_kind(i) == ML_WIRE_FORMAT;
}

/** The root node over the list of a branch; NIL: it has no index, or (`make`) cannot get one. */
uint32_t ml_positions_root(struct ml_doc *doc, uint32_t branch, bool make);

#endif
