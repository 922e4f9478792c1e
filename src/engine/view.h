/* SPDX-License-Identifier: MIT */
/*
 * Looking at shared types. Private to engine/: ytext.c, ymap.c and yxml.c call each other, since
 * any type may hold any other.
 *
 * The store never ties behaviour to a type ref: a branch is a list and a map, and each view takes
 * what it can show and passes over the rest.
 */
#ifndef ML_ENGINE_VIEW_H
#define ML_ENGINE_VIEW_H

#include "engine/item.h"

/* Types inside types that a view follows; documents hold fewer (limits.type_depth). */
#define ML_VIEW_DEPTH_MAX 512

struct ml_viewer {
    const struct ml_doc *doc;
    struct ml_writer *out;
    uint32_t depth;
};

/** Step over the list of a branch: the first live item from `item` on, NIL at the end. */
static inline uint32_t ml_view_live(const struct ml_doc *doc, uint32_t item)
{
    while (item != NIL && ml_item_is_deleted(ml_item_at(doc, item)))
        item = ml_item_at(doc, item)->right;
    return item;
}

#define ML_VIEW_EACH(doc, branch, index)                                                           \
    for (uint32_t index = ml_view_live(doc, ml_branch_at(doc, branch)->start); index != NIL;       \
         index = ml_view_live(doc, ml_item_at(doc, index)->right))

/** UTF-16 order, as JavaScript sorts strings: as bytes, but U+E000 … U+FFFF come last. */
int ml_view_compare(struct ml_slice a, struct ml_slice b);

/* ---- ymap.c: keys and lists as JSON -----------------------------------------------------------
 */

struct ml_view_entry {
    struct ml_slice key;
    uint32_t item;
};

/** The live entries of a branch, sorted by key. Free *out. */
enum ml_err ml_view_entries(const struct ml_doc *doc, uint32_t branch, struct ml_view_entry **out,
                            size_t *count_out) ML_MUST_CHECK;

/** The units of an item from `skip` on, with commas between. */
enum ml_err ml_view_units(struct ml_viewer *v, uint32_t item, uint32_t skip) ML_MUST_CHECK;

/** A branch as its type ref says, or as it looks if that says nothing. */
enum ml_err ml_view_json(struct ml_viewer *v, uint32_t branch) ML_MUST_CHECK;

/* What a branch holds, where nobody has said what it is. */
enum ml_look { ML_LOOK_MAP, ML_LOOK_LIST, ML_LOOK_TEXT, ML_LOOK_XML };
enum ml_look ml_view_look(const struct ml_doc *doc, uint32_t branch);
/** The same of a nested type, which may have said what it is. */
enum ml_look ml_view_look_of(const struct ml_doc *doc, uint32_t branch);

/* shown.c */
struct ml_shown ml_shown_make(const struct ml_doc *doc, uint32_t item, uint32_t unit);

/* ---- ytext.c ----------------------------------------------------------------------------------
 */

enum ml_err ml_view_text(struct ml_viewer *v, uint32_t branch) ML_MUST_CHECK;
enum ml_err ml_view_delta(struct ml_viewer *v, uint32_t branch) ML_MUST_CHECK;
struct ml_snapshot;
/** Everything that was to be seen at either moment, with attribute ychange where that is only one
 * of them. ML_ENOTFOUND: some of it was collected. */
enum ml_err ml_view_delta_between(struct ml_viewer *v, uint32_t branch,
                                  const struct ml_snapshot *from,
                                  const struct ml_snapshot *to) ML_MUST_CHECK;
/** A text with its formats as elements, as Yjs prints an XmlText. */
enum ml_err ml_view_xml_text(struct ml_viewer *v, uint32_t branch) ML_MUST_CHECK;

/* ---- yxml.c -----------------------------------------------------------------------------------
 */

/** A root, or a nested type, as JavaScript's String() shows it. */
enum ml_err ml_view_xml(struct ml_viewer *v, uint32_t branch) ML_MUST_CHECK;
/** ` name="value"` of every member of a format's value, which is JSON text. */
enum ml_err ml_view_xml_members(struct ml_writer *out, struct ml_slice json) ML_MUST_CHECK;
/** JSON text as JavaScript's String() shows its value. */
enum ml_err ml_view_json_as_text(struct ml_writer *out, struct ml_slice json) ML_MUST_CHECK;

#endif
