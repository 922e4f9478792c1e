/* SPDX-License-Identifier: MIT */
/*
 * Where in a list is the n-th live unit? Private to engine/.
 *
 *   node     [ 812 | 40 | 97 ]            units below each child, up to 32
 *              |     |    |
 *   leaf     [ 5 | 0 | 17 | ... ]         units of up to 32 items in a row, and their numbers
 *              v   v   v
 *   list     item -> item -> item ...
 *
 * A cache: built when a walk from the start gets long, kept right by every change of the list from
 * then on (local, remote, joined, cut, collected), thrown away when memory is short, after a
 * rollback, when the document cools, when as many changes have passed as it has items and nobody
 * asked. It costs 4 bytes an item of the document and about 12 an item
 * of an indexed list; a document that nobody edits by index has none, and pays one comparison with
 * NULL for each change.
 *
 *  [X1] of a list all items have a leaf, or none has; keyed items and GC never have one;
 *  [X2] units and formats of a leaf are those of its live items, of a node the sums of its
 * children; [X3] no leaf is empty.
 */
#ifndef ML_ENGINE_POSITION_H
#define ML_ENGINE_POSITION_H

#include "engine/item.h"

/** The item that holds live unit `unit` < length of the branch, and which of its units it is. */
uint32_t ml_position_find(struct ml_doc *doc, uint32_t branch, uint32_t unit, uint32_t *offset_out);
/** Live units of its list before an item that stands in one. */
uint32_t ml_position_of(struct ml_doc *doc, uint32_t item);
/** The last item of the list, deleted ones included; NIL: it is empty. */
uint32_t ml_position_last(struct ml_doc *doc, uint32_t branch);
/**
 * Call `visit` for the live formats from the start of the list to `last` (in it, or NIL: none), in
 * order. False: `visit` said so.
 */
bool ml_position_formats(struct ml_doc *doc, uint32_t branch, uint32_t last,
                         bool (*visit)(void *arg, uint32_t item), void *arg);
/** Index a list now, however short. False: out of memory, or the list is empty. */
bool ml_position_index(struct ml_doc *doc, uint32_t branch);
/** Items walked over while searching, since the index was made: what no index spared. */
uint64_t ml_positions_walked(const struct ml_doc *doc);
/** Is the index as the lists are? For tests: a walk over everything. */
bool ml_positions_check(const struct ml_doc *doc);
void ml_positions_release(struct ml_doc *doc);

/* What the inline functions below call if there is an index. */
void ml_positions_linked(struct ml_doc *doc, uint32_t item);
void ml_positions_cut(struct ml_doc *doc, uint32_t left, uint32_t right);
void ml_positions_gone(struct ml_doc *doc, uint32_t item, uint32_t heir);
void ml_positions_count(struct ml_doc *doc, uint32_t item, int64_t units, int32_t formats);

/** An item has got its place in a list. */
static inline void ml_position_linked(struct ml_doc *doc, uint32_t item)
{
    if (doc->positions)
        ml_positions_linked(doc, item);
}

/** `right` was cut off `left`. */
static inline void ml_position_cut(struct ml_doc *doc, uint32_t left, uint32_t right)
{
    if (doc->positions)
        ml_positions_cut(doc, left, right);
}

/** An item is about to lose its place; its units go to `heir` (NIL: nowhere). */
static inline void ml_position_gone(struct ml_doc *doc, uint32_t item, uint32_t heir)
{
    if (doc->positions)
        ml_positions_gone(doc, item, heir);
}

/** Live units (formats) of an item became more or fewer. */
static inline void ml_position_count(struct ml_doc *doc, uint32_t item, int64_t units,
                                     int32_t formats)
{
    if (doc->positions)
        ml_positions_count(doc, item, units, formats);
}

#endif
