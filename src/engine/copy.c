/* SPDX-License-Identifier: MIT */
/*
 * The content of an item as a value: plain content as one Any, a shared type as a tree of values.
 * Used where an item is about to be collected and somebody may want it again.
 *
 * The walks recurse; their depth is that of the types, which has a ceiling (limits.type_depth).
 */
#include "engine/copy.h"

#include "engine/any.h"
#include "engine/view.h"

#define ANY_BYTES_MAX ((size_t)64 << 20)

enum { TAG_BYTES = 0x74, TAG_LIST, TAG_OBJECT, TAG_STRING, TAG_NULL = 0x7e };

static enum ml_err copy_type(const struct ml_copier *c, uint32_t branch, unsigned depth,
                             struct ml_value *out);

static enum ml_err keep(const struct ml_copier *c, struct ml_writer *w, struct ml_slice *out)
{
    enum ml_err err = w->err;

    if (!err) {
        *out = ml_arena_copy(c->arena, ml_writer_slice(w));
        err = out->ptr ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(w);
    return err;
}

/* ---- Plain content --------------------------------------------------------------------------- */

/* Unit `unit` of an item that holds plain content. */
static enum ml_err write_unit(const struct ml_item *item, struct ml_slice content, uint32_t unit,
                              struct ml_writer *w)
{
    struct ml_reader in = ml_reader_make(content);
    struct ml_slice text = {0};
    const uint8_t *from;
    enum ml_err err = ML_OK;

    switch (ml_item_kind(item)) {
    case ML_WIRE_ANY:
        for (uint32_t i = 0; i < unit && !err; i++)
            err = ml_any_skip(&in, UINT32_MAX);
        from = in.pos;
        if (!err)
            err = ml_any_skip(&in, UINT32_MAX);
        ml_write_bytes(w, ml_slice_make(from, (size_t)(in.pos - from)));
        return err;
    case ML_WIRE_JSON:
        for (uint32_t i = 0; i <= unit && !err; i++)
            err = ml_read_varbytes(&in, &text);
        if (!err && !ml_slice_equal(text, ML_SLICE("undefined")))
            return ml_json_to_any(text, UINT32_MAX, w);
        break;
    case ML_WIRE_EMBED:
        return ml_json_to_any(content, UINT32_MAX, w);
    case ML_WIRE_BINARY:
        ml_write_u8(w, TAG_BYTES);
        ml_write_varbytes(w, content);
        return ML_OK;
    case ML_WIRE_STRING:
        ml_write_u8(w, TAG_STRING);
        ml_write_varbytes(w, content);
        return ML_OK;
    case ML_WIRE_DOC:
        err = ml_read_varbytes(&in, &text);
        ml_write_u8(w, TAG_STRING);
        ml_write_varbytes(w, text);
        return err;
    case ML_WIRE_DELETED:
    case ML_WIRE_GC:
        return ML_ENOTFOUND;
    default:
        break;
    }
    ml_write_u8(w, TAG_NULL);
    return err;
}

static enum ml_err copy_unit(const struct ml_copier *c, const struct ml_item *item, uint32_t unit,
                             struct ml_slice *out)
{
    struct ml_slice content = ml_slice_make("", 0);
    struct ml_writer w;
    enum ml_err err;

    if (ml_item_has_bytes(item))
        content = ml_item_content(c->doc, item);
    ml_writer_init(&w, ANY_BYTES_MAX);
    err = write_unit(item, content, unit, &w);
    if (!err)
        return keep(c, &w, out);
    ml_writer_release(&w);
    return err;
}

/* ---- Types ----------------------------------------------------------------------------------- */

static enum ml_err copy_one(const struct ml_copier *c, const struct ml_item *item, uint32_t unit,
                            unsigned depth, struct ml_value *out)
{
    if (ml_item_kind(item) == ML_WIRE_TYPE)
        return copy_type(c, item->off, depth + 1, out);
    *out = (struct ml_value){.kind = ML_VALUE_ANY};
    return copy_unit(c, item, unit, &out->any);
}

static enum ml_err copy_list(const struct ml_copier *c, uint32_t branch, unsigned depth,
                             struct ml_value *out)
{
    const struct ml_branch *b = ml_branch_at(c->doc, branch);
    struct ml_value *values;
    size_t count = 0;
    enum ml_err err = ML_OK;

    for (uint32_t n = b->start; n != NIL; n = ml_item_at(c->doc, n)->right)
        count += ml_item_at(c->doc, n)->len;
    values = ml_arena_array(c->arena, count + 1, sizeof *values);
    if (!values)
        return ML_ELIMIT;
    out->values = values;
    for (uint32_t n = b->start; n != NIL && !err; n = ml_item_at(c->doc, n)->right) {
        const struct ml_item *i = ml_item_at(c->doc, n);

        if (ml_item_is_gc(i) || !ml_wire_is_countable(ml_item_kind(i)) || !c->is_there(c->arg, i))
            continue;
        for (uint32_t unit = 0; unit < i->len && !err; unit++)
            err = copy_one(c, i, unit, depth, &values[out->value_count++]);
    }
    return err;
}

static enum ml_err copy_entries(const struct ml_copier *c, uint32_t branch, unsigned depth,
                                struct ml_value *out)
{
    const struct ml_branch *b = ml_branch_at(c->doc, branch);
    struct ml_entry *entries =
        ml_arena_array(c->arena, b->keys ? b->keys->count + 1 : 1, sizeof *entries);
    struct ml_key_entry e;
    uint32_t cursor = 0;
    enum ml_err err = entries ? ML_OK : ML_ELIMIT;

    out->entries = entries;
    while (!err && ml_branch_next_entry(b, &cursor, &e)) {
        const struct ml_item *i = e.item == NIL ? NULL : ml_item_at(c->doc, e.item);
        struct ml_entry *to = &entries[out->entry_count];

        if (!i || ml_item_is_gc(i) || !c->is_there(c->arg, i))
            continue;
        to->key = ml_arena_copy(c->arena, ml_name_text(c->doc, e.key));
        err = to->key.ptr ? copy_one(c, i, i->len - 1, depth, &to->value) : ML_ELIMIT;
        out->entry_count += !err;
    }
    return err;
}

static enum ml_err copy_text(const struct ml_copier *c, uint32_t branch, struct ml_value *out)
{
    const struct ml_branch *b = ml_branch_at(c->doc, branch);
    struct ml_writer w;

    ml_writer_init(&w, ANY_BYTES_MAX);
    for (uint32_t n = b->start; n != NIL; n = ml_item_at(c->doc, n)->right) {
        const struct ml_item *i = ml_item_at(c->doc, n);

        if (ml_item_kind(i) == ML_WIRE_STRING && c->is_there(c->arg, i))
            ml_write_bytes(&w, ml_item_content(c->doc, i));
    }
    return keep(c, &w, &out->text);
}

static enum ml_err copy_type(const struct ml_copier *c, uint32_t branch, unsigned depth,
                             struct ml_value *out)
{
    static const enum ml_value_kind kinds[ML_TYPE_REFS] = {
        [ML_TYPE_ARRAY] = ML_VALUE_ARRAY,
        [ML_TYPE_MAP] = ML_VALUE_MAP,
        [ML_TYPE_TEXT] = ML_VALUE_TEXT,
        [ML_TYPE_XML_ELEMENT] = ML_VALUE_XML_ELEMENT,
        [ML_TYPE_XML_FRAGMENT] = ML_VALUE_XML_FRAGMENT,
        [ML_TYPE_XML_HOOK] = ML_VALUE_XML_HOOK,
        [ML_TYPE_XML_TEXT] = ML_VALUE_XML_TEXT,
    };
    const struct ml_branch *b;
    enum ml_err err = ML_OK;

    if (branch == NIL || depth >= ML_VIEW_DEPTH_MAX)
        return ML_ELIMIT;
    b = ml_branch_at(c->doc, branch);
    *out = (struct ml_value){.kind = kinds[b->type_ref]};
    if (out->kind == ML_VALUE_TEXT || out->kind == ML_VALUE_XML_TEXT)
        return copy_text(c, branch, out);
    if (b->name != NIL) {
        out->text = ml_arena_copy(c->arena, ml_name_text(c->doc, b->name));
        err = out->text.ptr ? ML_OK : ML_ELIMIT;
    }
    if (!err && out->kind != ML_VALUE_ARRAY)
        err = copy_entries(c, branch, depth, out);
    if (!err && out->kind != ML_VALUE_MAP && out->kind != ML_VALUE_XML_HOOK)
        err = copy_list(c, branch, depth, out);
    return err;
}

/* ---- How a type reads ------------------------------------------------------------------------ */

static void write_list(struct ml_writer *w, const struct ml_value *v);

/* Maps are objects, lists are lists, texts are strings; an XML element {tag, attrs, children}. */
static void write_value(struct ml_writer *w, const struct ml_value *v)
{
    bool is_element = v->kind == ML_VALUE_XML_ELEMENT;

    switch (v->kind) {
    case ML_VALUE_ANY:
        ml_write_bytes(w, v->any);
        return;
    case ML_VALUE_TEXT:
    case ML_VALUE_XML_TEXT:
    case ML_VALUE_DOC:
        ml_write_u8(w, TAG_STRING);
        ml_write_varbytes(w, v->text);
        return;
    case ML_VALUE_ARRAY:
    case ML_VALUE_XML_FRAGMENT:
        write_list(w, v);
        return;
    default:
        break;
    }
    if (is_element) {
        ml_write_u8(w, TAG_OBJECT);
        ml_write_varuint(w, 3);
        ml_write_varbytes(w, ML_SLICE("tag"));
        ml_write_u8(w, TAG_STRING);
        ml_write_varbytes(w, v->text);
        ml_write_varbytes(w, ML_SLICE("attrs"));
    }
    ml_write_u8(w, TAG_OBJECT);
    ml_write_varuint(w, v->entry_count);
    for (size_t i = 0; i < v->entry_count; i++) {
        ml_write_varbytes(w, v->entries[i].key);
        write_value(w, &v->entries[i].value);
    }
    if (is_element) {
        ml_write_varbytes(w, ML_SLICE("children"));
        write_list(w, v);
    }
}

static void write_list(struct ml_writer *w, const struct ml_value *v)
{
    ml_write_u8(w, TAG_LIST);
    ml_write_varuint(w, v->value_count);
    for (size_t i = 0; i < v->value_count; i++)
        write_value(w, &v->values[i]);
}

enum ml_err ml_copy_value(const struct ml_copier *c, const struct ml_item *item,
                          struct ml_slice *any_out, const struct ml_value **shared_out)
{
    struct ml_value *shared;
    struct ml_writer w;
    enum ml_err err;

    *shared_out = NULL;
    if (ml_item_kind(item) != ML_WIRE_TYPE)
        return copy_unit(c, item, item->len - 1, any_out);
    shared = ml_arena_alloc(c->arena, sizeof *shared);
    err = shared ? copy_type(c, item->off, 0, shared) : ML_ELIMIT;
    if (err)
        return err;
    *shared_out = shared;
    ml_writer_init(&w, ANY_BYTES_MAX);
    write_value(&w, shared);
    return keep(c, &w, any_out);
}
