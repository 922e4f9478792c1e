/* SPDX-License-Identifier: MIT */
/*
 * Paths as text, from a root down to what stands there.
 *
 *   meta/title      a key of a map, an attribute
 *   tasks/7/status  digits: a key if there is one, else an index of the list
 *   body/#intro     an element below, the first in document order whose attribute id is "intro"
 *   a~1b/c~0d       the keys "a/b" and "c~d"
 *
 * Nothing is printed on the way: a step costs a look-up, an index or an #id a walk over the list.
 */
#include "engine/any_walk.h"
#include "engine/position.h"
#include "engine/view.h"
#include "engine/write.h"

#define PATH_MAX_STEPS 256
#define SEGMENT_MAX    4096

/* ---- Segments ----------------------------------------------------------------------------------
 */

/* The next segment, unescaped into `text` where it has escapes. False: too long. */
static bool next_segment(struct ml_slice *rest, uint8_t *text, struct ml_slice *out)
{
    const uint8_t *slash = rest->len ? memchr(rest->ptr, '/', rest->len) : NULL;
    size_t raw = slash ? (size_t)(slash - rest->ptr) : rest->len, n = 0;
    const uint8_t *from = rest->ptr;

    *rest = slash ? ml_slice_make(slash + 1, rest->len - raw - 1) : (struct ml_slice){0};
    if (!raw || !memchr(from, '~', raw)) {
        *out = raw ? ml_slice_make(from, raw) : ml_slice_make("", 0);
        return true;
    }
    if (raw > SEGMENT_MAX)
        return false;
    for (size_t i = 0; i < raw; i++) {
        bool escaped = from[i] == '~' && i + 1 < raw && (from[i + 1] == '0' || from[i + 1] == '1');

        text[n++] = escaped ? (from[i + 1] == '1' ? '/' : '~') : from[i];
        i += escaped;
    }
    *out = ml_slice_make(text, n);
    return true;
}

static bool all_digits(struct ml_slice text, uint32_t *out)
{
    uint64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i == 10)
            return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = (uint32_t)value;
    return text.len && value <= UINT32_MAX;
}

/* ---- Elements by id ---------------------------------------------------------------------------
 */

static bool has_id(const struct ml_doc *doc, uint32_t branch, uint32_t key, struct ml_slice id)
{
    uint32_t entry = ml_branch_entry(ml_branch_at(doc, branch), key);
    const struct ml_item *i = entry == NIL ? NULL : ml_item_at(doc, entry);
    struct ml_slice value;

    return i && !ml_item_is_deleted(i) && ml_item_kind(i) == ML_WIRE_ANY && i->len == 1 &&
           ml_any_string(ml_item_content(doc, i), &value) && ml_slice_equal(value, id);
}

/* The next living item of a walk over everything below `top`, in document order. */
static uint32_t next_below(const struct ml_doc *doc, uint32_t top, uint32_t item)
{
    const struct ml_item *i = ml_item_at(doc, item);
    uint32_t next = NIL;

    if (ml_item_kind(i) == ML_WIRE_TYPE)
        next = ml_view_live(doc, ml_branch_at(doc, i->off)->start);
    while (next == NIL) {
        next = ml_view_live(doc, i->right);
        if (next != NIL || i->parent == top)
            return next;
        i = ml_item_at(doc, ml_branch_at(doc, i->parent)->item);
    }
    return next;
}

static uint32_t find_by_id(const struct ml_doc *doc, uint32_t top, struct ml_slice id)
{
    uint32_t key = ml_name_find(doc, ML_SLICE("id")), item;

    if (key == NIL)
        return NIL;
    item = ml_view_live(doc, ml_branch_at(doc, top)->start);
    for (; item != NIL; item = next_below(doc, top, item))
        if (ml_item_kind(ml_item_at(doc, item)) == ML_WIRE_TYPE &&
            has_id(doc, ml_item_at(doc, item)->off, key, id))
            return item;
    return NIL;
}

/* ---- Steps ------------------------------------------------------------------------------------
 */

bool ml_shown_key(const struct ml_doc *doc, const struct ml_shown *in, struct ml_slice key,
                  struct ml_shown *out)
{
    uint32_t name, item = NIL;

    if (in->branch == NIL)
        return false;
    name = ml_name_find(doc, key);
    if (name != NIL)
        item = ml_branch_entry(ml_branch_at(doc, in->branch), name);
    if (item == NIL || ml_item_is_deleted(ml_item_at(doc, item)))
        return false;
    *out = ml_shown_make(doc, item, ml_item_at(doc, item)->len - 1);
    return true;
}

bool ml_shown_index(const struct ml_doc *doc, const struct ml_shown *in, uint32_t index,
                    struct ml_shown *out)
{
    uint32_t item;

    if (in->branch == NIL || index >= ml_branch_at(doc, in->branch)->length)
        return false;
    item = ml_branch_at(doc, in->branch)->start;
    while (!ml_item_is_visible(ml_item_at(doc, item)) || index >= ml_item_at(doc, item)->len) {
        if (ml_item_is_visible(ml_item_at(doc, item)))
            index -= ml_item_at(doc, item)->len;
        item = ml_item_at(doc, item)->right;
    }
    *out = ml_shown_make(doc, item, index);
    return true;
}

static bool step(const struct ml_doc *doc, const struct ml_shown *in, struct ml_slice segment,
                 struct ml_shown *out)
{
    uint32_t index, item = NIL;

    if (ml_shown_key(doc, in, segment, out))
        return true;
    if (all_digits(segment, &index))
        return ml_shown_index(doc, in, index, out);
    if (in->branch != NIL && segment.len > 1 && segment.ptr[0] == '#')
        item = find_by_id(doc, in->branch, ml_slice_make(segment.ptr + 1, segment.len - 1));
    if (item != NIL)
        *out = ml_shown_make(doc, item, 0);
    return item != NIL;
}

bool ml_shown_root(const struct ml_doc *doc, struct ml_slice name, struct ml_shown *out)
{
    uint32_t number = ml_name_find(doc, name);

    if (number == NIL || doc->names[number].root == NIL)
        return false;
    *out = (struct ml_shown){doc->names[number].root, NIL, 0};
    return true;
}

bool ml_shown_at(const struct ml_doc *doc, struct ml_slice path, struct ml_shown *out)
{
    uint8_t text[SEGMENT_MAX];
    struct ml_slice segment;
    struct ml_shown at;

    if (!next_segment(&path, text, &segment) || !ml_shown_root(doc, segment, &at))
        return false;
    for (int steps = 0; path.ptr; steps++)
        if (steps == PATH_MAX_STEPS || !next_segment(&path, text, &segment) ||
            !step(doc, &at, segment, &at))
            return false;
    *out = at;
    return true;
}

/* ---- Types ------------------------------------------------------------------------------------
 */

static enum ml_err step_to_type(struct ml_doc *doc, struct ml_slice segment, struct ml_type *type)
{
    struct ml_type in = *type;
    enum ml_err err = ml_type_at_key(doc, in, segment, type);
    struct ml_shown shown = {NIL, NIL, 0}, found;
    uint32_t index;

    if (err != ML_ENOTFOUND)
        return err;
    if (all_digits(segment, &index))
        return ml_type_at_index(doc, in, index, type);
    if (segment.len > 1 && segment.ptr[0] == '#' && !ml_type_branch(doc, in, &shown.branch) &&
        shown.branch != NIL && step(doc, &shown, segment, &found) && found.branch != NIL)
        return ml_branch_type(doc, found.branch, type);
    return ml_write_fail(doc, ML_ENOTFOUND, "no type at '%.*s' of the path",
                         (int)(segment.len < 80 ? segment.len : 80), (const char *)segment.ptr);
}

enum ml_err ml_type_at_path(struct ml_doc *doc, struct ml_slice path, struct ml_type *out)
{
    uint8_t text[SEGMENT_MAX];
    struct ml_slice segment;
    enum ml_err err;

    if (!next_segment(&path, text, &segment))
        return ml_write_fail(doc, ML_ELIMIT, "a path with a very long name");
    err = ml_type_root(doc, segment, out);
    for (int steps = 0; !err && path.ptr; steps++) {
        if (steps == PATH_MAX_STEPS || !next_segment(&path, text, &segment))
            return ml_write_fail(doc, ML_ELIMIT, "a path of too many steps");
        err = step_to_type(doc, segment, out);
    }
    return err;
}

enum ml_err ml_map_at_path(struct ml_doc *doc, struct ml_slice path, struct ml_type *out)
{
    static const struct ml_value empty = {.kind = ML_VALUE_MAP};
    const uint8_t *slash = path.len ? memrchr(path.ptr, '/', path.len) : NULL;
    struct ml_slice parent = path, last;
    uint8_t text[SEGMENT_MAX];
    struct ml_type in;
    enum ml_err err = ml_type_at_path(doc, path, out);

    if (err != ML_ENOTFOUND || !slash)
        return err;
    parent.len = (size_t)(slash - path.ptr);
    last = ml_slice_make(slash + 1, path.len - parent.len - 1);
    err = ml_type_at_path(doc, parent, &in);
    if (!err && !next_segment(&last, text, &last))
        err = ml_write_fail(doc, ML_ELIMIT, "a path with a very long name");
    if (!err)
        err = ml_map_set(doc, in, last, &empty);
    return err ? err : ml_type_at_path(doc, path, out);
}
