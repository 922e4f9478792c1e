/* SPDX-License-Identifier: MIT */
/*
 * Values on their way into a document. A value tree is walked twice: measured, which checks all of
 * it, then put in, which only the heap can stop.
 *
 *   plain values in a row   -> one item Any with as many units
 *   bytes                   -> Binary
 *   a new type              -> Type, then what is in it, at its place in the clock:
 *                              elements | text | entries | children, then attributes
 *   a subdocument           -> Doc
 *
 * Source: Yjs 13.6, AbstractType.typeListInsertGenericsAfter, typeMapSet, and _integrate of the
 * types. The walks recurse; their depth is that of the types, which has a ceiling.
 */
#include "engine/write.h"

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/view.h"

#define TAG_BYTES 0x74

/* What a kind becomes. */
static const struct {
    uint8_t type_ref;
    bool has_name, has_entries, has_values, has_text;
} kinds[] = {
    [ML_VALUE_ARRAY] = {ML_TYPE_ARRAY, .has_values = true},
    [ML_VALUE_MAP] = {ML_TYPE_MAP, .has_entries = true},
    [ML_VALUE_TEXT] = {ML_TYPE_TEXT, .has_text = true},
    [ML_VALUE_XML_ELEMENT] = {ML_TYPE_XML_ELEMENT, .has_name = true, .has_entries = true,
                              .has_values = true},
    [ML_VALUE_XML_FRAGMENT] = {ML_TYPE_XML_FRAGMENT, .has_values = true},
    [ML_VALUE_XML_HOOK] = {ML_TYPE_XML_HOOK, .has_name = true, .has_entries = true},
    [ML_VALUE_XML_TEXT] = {ML_TYPE_XML_TEXT, .has_text = true},
};

static bool is_plain(const struct ml_value *v)
{
    return v->kind == ML_VALUE_ANY && v->any.ptr[0] != TAG_BYTES;
}

/* ---- Measured --------------------------------------------------------------------------------
 */

enum ml_err ml_check_any(struct ml_doc *doc, struct ml_slice any)
{
    struct ml_reader in = ml_reader_make(any);
    enum ml_err err = ml_any_skip(&in, doc->limits.any_depth);

    if (!err && ml_reader_left(&in))
        err = ML_EFORMAT;
    return err ? ml_write_fail(doc, err, "a value is no Any, or nested too deep") : ML_OK;
}

static enum ml_err measure_doc(struct ml_doc *doc, const struct ml_value *v, struct ml_need *need)
{
    enum ml_err err = ml_check_key(doc, v->text);

    if (!err && v->any.len)
        err = ml_check_any(doc, v->any);
    if (!err && v->any.len && v->any.ptr[0] != 0x76)
        err = ml_write_fail(doc, ML_EFORMAT, "options of a subdocument are no object");
    need->bytes += v->text.len + v->any.len + 12;
    return err;
}

static enum ml_err measure_text(struct ml_doc *doc, const struct ml_value *v, struct ml_need *need)
{
    size_t units;

    if (!v->text.len)
        return ML_OK;
    if (!ml_utf8_check(v->text, &units))
        return ml_write_fail(doc, ML_EFORMAT, "text is not UTF-8");
    need->units += units;
    need->bytes += v->text.len;
    need->items++;
    return ML_OK;
}

static enum ml_err measure_type(struct ml_doc *doc, const struct ml_value *v, uint32_t depth,
                                struct ml_need *need)
{
    enum ml_err err = ML_OK;

    if (depth + 1 >= doc->limits.type_depth || depth >= ML_VIEW_DEPTH_MAX)
        return ml_write_fail(doc, ML_ELIMIT, "types nested too deep");
    need->bytes += sizeof(struct ml_branch);
    if (kinds[v->kind].has_text)
        return measure_text(doc, v, need);
    if (kinds[v->kind].has_name) {
        err = ml_check_key(doc, v->text);
        need->bytes += v->text.len + sizeof(struct ml_name);
    }
    if (kinds[v->kind].has_values)
        for (size_t i = 0; i < v->value_count && !err; i++)
            err = ml_value_measure(doc, &v->values[i], depth + 1, need);
    if (kinds[v->kind].has_entries) {
        for (size_t i = 0; i < v->entry_count && !err; i++) {
            err = ml_check_key(doc, v->entries[i].key);
            need->bytes += v->entries[i].key.len + sizeof(struct ml_name);
            if (!err)
                err = ml_value_measure(doc, &v->entries[i].value, depth + 1, need);
        }
    }
    return err;
}

enum ml_err ml_value_measure(struct ml_doc *doc, const struct ml_value *v, uint32_t depth,
                             struct ml_need *need)
{
    need->units++;
    need->items++;
    if (v->kind == ML_VALUE_ANY) {
        need->bytes += v->any.len;
        return ml_check_any(doc, v->any);
    }
    return v->kind == ML_VALUE_DOC ? measure_doc(doc, v, need) : measure_type(doc, v, depth, need);
}

/* ---- Put in ----------------------------------------------------------------------------------
 */

static uint32_t insert_doc(struct ml_doc *doc, const struct ml_spot *at, const struct ml_value *v)
{
    static const struct ml_slice empty_object = {(const uint8_t *)"\x76\x00", 2};
    struct ml_payload what = {.kind = ML_WIRE_DOC, .len = 1, .name = NIL};
    struct ml_writer body;
    uint32_t item;

    ml_writer_init(&body, v->text.len + v->any.len + 12);
    ml_write_varbytes(&body, v->text);
    ml_write_bytes(&body, v->any.len ? v->any : empty_object);
    what.bytes = ml_writer_slice(&body);
    item = body.err ? NIL : ml_own_insert(doc, at, &what);
    ml_writer_release(&body);
    return item;
}

static uint32_t insert_any(struct ml_doc *doc, const struct ml_spot *at, struct ml_slice any)
{
    struct ml_payload what = {.kind = ML_WIRE_ANY, .len = 1, .bytes = any, .name = NIL};
    struct ml_reader in;
    enum ml_err err;

    if (any.ptr[0] == TAG_BYTES) {
        in = ml_reader_make(ml_slice_make(any.ptr + 1, any.len - 1));
        err = ml_read_varbytes(&in, &what.bytes);
        ML_ASSERT(!err);
        what.kind = ML_WIRE_BINARY;
    }
    return ml_own_insert(doc, at, &what);
}

static bool insert_text(struct ml_doc *doc, uint32_t branch, struct ml_slice text)
{
    struct ml_spot at = {.left = NIL, .right = NIL, .parent = branch, .key = NIL};
    struct ml_payload what = {.kind = ML_WIRE_STRING, .bytes = text, .name = NIL};
    size_t units;

    if (!text.len)
        return true;
    (void)ml_utf8_check(text, &units);
    what.len = (uint32_t)units;
    return ml_own_insert(doc, &at, &what) != NIL;
}

static bool insert_entries(struct ml_doc *doc, uint32_t branch, const struct ml_value *v)
{
    for (size_t i = 0; i < v->entry_count; i++) {
        struct ml_spot at = {.right = NIL, .parent = branch};

        at.key = ml_name_intern(doc, v->entries[i].key);
        if (at.key == NIL)
            return false;
        at.left = ml_branch_entry(ml_branch_at(doc, branch), at.key);
        if (ml_value_insert(doc, &at, &v->entries[i].value) == NIL)
            return false;
    }
    return true;
}

static uint32_t insert_type(struct ml_doc *doc, const struct ml_spot *at, const struct ml_value *v)
{
    struct ml_payload what = {
        .kind = ML_WIRE_TYPE, .len = 1, .type_ref = kinds[v->kind].type_ref, .name = NIL};
    struct ml_spot inside = {.left = NIL, .right = NIL, .key = NIL};
    uint32_t item;

    if (kinds[v->kind].has_name) {
        what.name = ml_name_intern(doc, v->text);
        if (what.name == NIL)
            return NIL;
    }
    item = ml_own_insert(doc, at, &what);
    if (item == NIL)
        return NIL;
    inside.parent = ml_item_at(doc, item)->off;
    if (kinds[v->kind].has_text && !insert_text(doc, inside.parent, v->text))
        return NIL;
    if (kinds[v->kind].has_values && !ml_values_insert(doc, &inside, v->values, v->value_count))
        return NIL;
    if (kinds[v->kind].has_entries && !insert_entries(doc, inside.parent, v))
        return NIL;
    return item;
}

uint32_t ml_value_insert(struct ml_doc *doc, const struct ml_spot *at, const struct ml_value *v)
{
    if (v->kind == ML_VALUE_ANY)
        return insert_any(doc, at, v->any);
    return v->kind == ML_VALUE_DOC ? insert_doc(doc, at, v) : insert_type(doc, at, v);
}

/* Plain values in a row: one item. */
static uint32_t insert_row(struct ml_doc *doc, const struct ml_spot *at,
                           const struct ml_value *values, size_t count)
{
    struct ml_payload what = {.kind = ML_WIRE_ANY, .len = (uint32_t)count, .name = NIL};
    struct ml_writer row;
    uint32_t item;

    if (count == 1)
        return insert_any(doc, at, values->any);
    ml_writer_init(&row, INT32_MAX);
    for (size_t i = 0; i < count; i++)
        ml_write_bytes(&row, values[i].any);
    what.bytes = ml_writer_slice(&row);
    item = row.err ? NIL : ml_own_insert(doc, at, &what);
    ml_writer_release(&row);
    return item;
}

bool ml_values_insert(struct ml_doc *doc, const struct ml_spot *where,
                      const struct ml_value *values, size_t count)
{
    struct ml_spot at = *where;

    for (size_t i = 0; i < count;) {
        size_t row = 0;

        while (i + row < count && is_plain(&values[i + row]))
            row++;
        at.left =
            row ? insert_row(doc, &at, &values[i], row) : ml_value_insert(doc, &at, &values[i]);
        if (at.left == NIL)
            return false;
        i += row ? row : 1;
    }
    return true;
}
