/* SPDX-License-Identifier: MIT */
/*
 * A place in a text, and how it moves. Private to engine/.
 *
 *   list      [b=1] "ab" [b=null] "cd"            a format holds from its place on
 *   place           ab |                          left "ab", right [b=null], in force b=1
 *   insert "x", plain    ab [b=null] | x           moves over what fits, opens what lacks, closes
 *                                                 what it opened
 *
 * A place knows what is in force there, so it is found from the start: the live formats before it
 * are gathered (position.h passes over parts of the list that have none).
 *
 * Indexes in UTF-16 units may fall inside a character. `debt` is how far the place asked for lies
 * to the right of the one taken (-1: to the left, after a range that was made longer); the next
 * step pays it.
 *
 * False from any function: out of memory.
 */
#ifndef ML_ENGINE_CARET_H
#define ML_ENGINE_CARET_H

#include "engine/formats.h"
#include "engine/write.h"

struct ml_caret {
    struct ml_doc *doc;
    uint32_t branch, left, right;
    struct ml_formats attrs; /* in force */
    int64_t debt;
};

static inline const struct ml_item *ml_caret_right(const struct ml_caret *p)
{
    return ml_item_at(p->doc, p->right);
}

static inline bool ml_item_is_live_format(const struct ml_item *i)
{
    return !ml_item_is_deleted(i) && ml_item_kind(i) == ML_WIRE_FORMAT;
}

/** The place behind unit `index` - 1, in front of formats and deleted items that follow. */
bool ml_caret_find(struct ml_doc *doc, uint32_t branch, uint32_t index, struct ml_caret *p);
/** Over the item to the right. */
bool ml_caret_step(struct ml_caret *p);
/** The item to the right ends behind `units` units. */
bool ml_caret_cut(struct ml_caret *p, uint32_t units);
/** A new item here, and over it. */
bool ml_caret_insert(struct ml_caret *p, const struct ml_payload *what);

/** Over what is deleted, and formats that say what is wanted anyway. */
bool ml_caret_skip(struct ml_caret *p, const struct ml_formats *wanted);
/** What is wanted and not in force begins here; `closing` gets what was in force. */
bool ml_caret_open(struct ml_caret *p, const struct ml_formats *wanted, struct ml_formats *closing);
/** What was in force is so again, as far as the list does not say it anyway. */
bool ml_caret_close(struct ml_caret *p, struct ml_formats *closing);
/** Two values of formats. 1: equal, 0: not, -1: out of memory. */
int ml_caret_equal(const struct ml_caret *p, struct ml_slice a, struct ml_slice b);

#endif
