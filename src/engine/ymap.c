/* SPDX-License-Identifier: MIT */
/*
 * Keys and lists as JSON, as Yjs' toJSON: a map is an object, an array a list, a text its string,
 * XML its XML string. JSON lacks: bytes {"$bytes":"hex"}, bigint as decimal string, undefined left
 * out of objects and null in lists, a subdocument as its guid.
 *
 *  [J1] the value of a key is the last unit of its entry;
 *  [J2] keys are written in UTF-16 order, so the same document gives the same text.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/view.h"

#define ANY_UNDEFINED 0x7f

int ml_view_compare(struct ml_slice a, struct ml_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len, i = 0;
    uint8_t x, y;

    while (i < n && a.ptr[i] == b.ptr[i])
        i++;
    if (i == n)
        return (a.len > b.len) - (a.len < b.len);
    x = a.ptr[i];
    y = b.ptr[i];
    /* Four bytes are a surrogate pair, D800 … DFFF; EE and EF lead what is above it. */
    if (x >= 0xf0 && (y == 0xee || y == 0xef))
        return -1;
    if (y >= 0xf0 && (x == 0xee || x == 0xef))
        return 1;
    return x < y ? -1 : 1;
}

static int by_key(const void *a, const void *b)
{
    const struct ml_view_entry *x = a, *y = b;

    return ml_view_compare(x->key, y->key);
}

enum ml_err ml_view_entries(const struct ml_doc *doc, uint32_t branch, struct ml_view_entry **out,
                            size_t *count_out)
{
    const struct ml_branch *b = ml_branch_at(doc, branch);
    struct ml_view_entry *list;
    struct ml_key_entry entry;
    uint32_t cursor = 0;
    size_t n = 0;

    *out = NULL;
    *count_out = 0;
    if (!b->keys || !b->keys->count)
        return ML_OK;
    list = malloc(b->keys->count * sizeof *list);
    if (!list)
        return ML_ELIMIT;
    while (ml_branch_next_entry(b, &cursor, &entry)) {
        if (entry.item == NIL || ml_item_is_deleted(ml_item_at(doc, entry.item)))
            continue;
        list[n++] = (struct ml_view_entry){ml_name_text(doc, entry.key), entry.item};
    }
    qsort(list, n, sizeof *list, by_key);
    *out = list;
    *count_out = n;
    return ML_OK;
}

static bool has_live_key(const struct ml_doc *doc, const struct ml_branch *b)
{
    struct ml_key_entry entry;
    uint32_t cursor = 0;

    while (b->keys && ml_branch_next_entry(b, &cursor, &entry)) {
        if (entry.item != NIL && !ml_item_is_deleted(ml_item_at(doc, entry.item)))
            return true;
    }
    return false;
}

static bool is_xml(const struct ml_doc *doc, const struct ml_item *item)
{
    unsigned ref;

    if (ml_item_kind(item) != ML_WIRE_TYPE)
        return false;
    ref = ml_branch_at(doc, item->off)->type_ref;
    return ref == ML_TYPE_XML_ELEMENT || ref == ML_TYPE_XML_TEXT || ref == ML_TYPE_XML_HOOK;
}

enum ml_look ml_view_look(const struct ml_doc *doc, uint32_t branch)
{
    const struct ml_branch *b = ml_branch_at(doc, branch);
    bool xml = false, other = false;

    if (has_live_key(doc, b))
        return ML_LOOK_MAP;
    ML_VIEW_EACH(doc, branch, index)
    {
        const struct ml_item *item = ml_item_at(doc, index);
        unsigned kind = ml_item_kind(item);

        if (kind == ML_WIRE_STRING || kind == ML_WIRE_FORMAT || kind == ML_WIRE_EMBED)
            return ML_LOOK_TEXT;
        if (is_xml(doc, item))
            xml = true;
        else
            other = true;
    }
    if (xml && !other)
        return ML_LOOK_XML;
    /* Nothing alive: what was there once. */
    if (!other && b->start == NIL && b->keys && b->keys->count)
        return ML_LOOK_MAP;
    return ML_LOOK_LIST;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* One UTF-16 unit as a JSON string; half of a pair has no other form than its escape. */
static void write_unit(struct ml_writer *out, uint32_t code_point, unsigned half)
{
    char escape[16];
    uint8_t utf8[4];

    if (code_point < 0x10000) {
        ml_write_json_string(out, ml_slice_make(utf8, ml_utf8_put(code_point, utf8)));
        return;
    }
    code_point -= 0x10000;
    (void)snprintf(escape, sizeof escape, "\"\\u%04x\"",
                   half ? 0xdc00 + (unsigned)(code_point & 0x3ff)
                        : 0xd800 + (unsigned)(code_point >> 10));
    ml_write_bytes(out, ml_slice_str(escape));
}

/* The units of a string from `skip` on, with commas between. */
static void write_units(struct ml_writer *out, struct ml_slice text, uint32_t skip)
{
    uint32_t unit = 0;

    for (size_t i = 0; i < text.len && !out->err;) {
        uint32_t code_point;

        i += ml_utf8_get(text.ptr + i, &code_point);
        for (unsigned half = 0; half < (code_point < 0x10000 ? 1u : 2u); half++, unit++) {
            if (unit < skip)
                continue;
            if (unit > skip)
                ml_write_u8(out, ',');
            write_unit(out, code_point, half);
        }
    }
}

/* The elements of Any and JSON contents from `skip` on. */
static enum ml_err write_elements(struct ml_writer *out, struct ml_slice content, unsigned kind,
                                  uint32_t len, uint32_t skip)
{
    struct ml_reader in = ml_reader_make(content);
    enum ml_err err = ML_OK;

    for (uint32_t i = 0; i < len && !err; i++) {
        struct ml_slice text;

        if (i > skip)
            ml_write_u8(out, ',');
        if (kind == ML_WIRE_ANY) {
            err = i < skip ? ml_any_skip(&in, UINT32_MAX)
                           : ml_any_to_json(&in, ML_ANY_JSON_READABLE, out);
            continue;
        }
        err = ml_read_varbytes(&in, &text);
        if (err || i < skip)
            continue;
        ml_write_bytes(out, ml_slice_equal(text, ML_SLICE("undefined")) ? ML_SLICE("null") : text);
    }
    return err ? err : out->err;
}

/* The units of an item from `skip` on, with commas between. */
static enum ml_err write_item(struct ml_viewer *v, const struct ml_item *item, uint32_t skip)
{
    struct ml_slice content =
        ml_item_has_bytes(item) ? ml_item_content(v->doc, item) : ml_slice_make("", 0);
    struct ml_reader in = ml_reader_make(content);
    struct ml_slice guid;
    enum ml_err err;

    switch (ml_item_kind(item)) {
    case ML_WIRE_ANY:
    case ML_WIRE_JSON:
        return write_elements(v->out, content, ml_item_kind(item), item->len, skip);
    case ML_WIRE_STRING:
        write_units(v->out, content, skip);
        break;
    case ML_WIRE_BINARY:
        ml_write_json_bytes(v->out, content);
        break;
    case ML_WIRE_EMBED:
        ml_write_bytes(v->out, content);
        break;
    case ML_WIRE_TYPE:
        return ml_view_json(v, item->off);
    case ML_WIRE_DOC:
        err = ml_read_varbytes(&in, &guid);
        if (err)
            return err;
        ml_write_json_string(v->out, guid);
        break;
    default:
        ml_write_bytes(v->out, ML_SLICE("null"));
    }
    return v->out->err;
}

enum ml_err ml_view_units(struct ml_viewer *v, uint32_t item, uint32_t skip)
{
    return write_item(v, ml_item_at(v->doc, item), skip);
}

/* Would JSON leave this entry out? */
static bool is_undefined(const struct ml_doc *doc, const struct ml_item *item)
{
    struct ml_slice content;

    switch (ml_item_kind(item)) {
    case ML_WIRE_FORMAT:
        return true;
    case ML_WIRE_ANY:
        content = ml_item_content(doc, item);
        /* The last byte alone could be part of another value: only a single one is looked at. */
        if (item->len == 1)
            return content.len == 1 && content.ptr[0] == ANY_UNDEFINED;
        break;
    case ML_WIRE_JSON:
        content = ml_item_content(doc, item);
        break;
    default:
        return false;
    }
    {
        struct ml_reader in = ml_reader_make(content);
        struct ml_slice text = {0};
        enum ml_err err = ML_OK;

        for (uint32_t i = 1; i < item->len && !err; i++)
            err = ml_item_kind(item) == ML_WIRE_ANY ? ml_any_skip(&in, UINT32_MAX)
                                                    : ml_read_varbytes(&in, &text);
        if (err)
            return false;
        if (ml_item_kind(item) == ML_WIRE_ANY)
            return ml_reader_left(&in) && *in.pos == ANY_UNDEFINED;
        return ml_read_varbytes(&in, &text) == ML_OK && ml_slice_equal(text, ML_SLICE("undefined"));
    }
}

/* ---- Types ----------------------------------------------------------------------------------- */

static enum ml_err write_object(struct ml_viewer *v, uint32_t branch)
{
    struct ml_view_entry *entry;
    bool first = true;
    size_t count;
    enum ml_err err = ml_view_entries(v->doc, branch, &entry, &count);

    if (err)
        return err;
    ml_write_u8(v->out, '{');
    for (size_t i = 0; i < count && !err; i++) {
        const struct ml_item *item = ml_item_at(v->doc, entry[i].item);

        if (is_undefined(v->doc, item))
            continue;
        if (!first)
            ml_write_u8(v->out, ',');
        first = false;
        ml_write_json_string(v->out, entry[i].key);
        ml_write_u8(v->out, ':');
        err = write_item(v, item, item->len - 1);
    }
    ml_write_u8(v->out, '}');
    free(entry);
    return err ? err : v->out->err;
}

static enum ml_err write_list(struct ml_viewer *v, uint32_t branch)
{
    bool first = true;
    enum ml_err err;

    ml_write_u8(v->out, '[');
    ML_VIEW_EACH(v->doc, branch, index)
    {
        const struct ml_item *item = ml_item_at(v->doc, index);

        if (!ml_item_is_visible(item))
            continue;
        if (!first)
            ml_write_u8(v->out, ',');
        first = false;
        err = write_item(v, item, 0);
        if (err)
            return err;
    }
    ml_write_u8(v->out, ']');
    return v->out->err;
}

/* What another view prints, as one JSON string. */
static enum ml_err write_printed(struct ml_viewer *v, uint32_t branch,
                                 enum ml_err (*print)(struct ml_viewer *v, uint32_t branch))
{
    struct ml_writer text, *out = v->out;
    enum ml_err err;

    ml_writer_init(&text, out->max);
    v->out = &text;
    err = print(v, branch);
    v->out = out;
    if (!err)
        ml_write_json_string(out, ml_writer_slice(&text));
    ml_writer_release(&text);
    return err ? err : out->err;
}

enum ml_look ml_view_look_of(const struct ml_doc *doc, uint32_t branch)
{
    const struct ml_branch *b = ml_branch_at(doc, branch);
    enum ml_look look;

    if (b->is_root)
        return ml_view_look(doc, branch);
    switch (b->type_ref) {
    case ML_TYPE_ARRAY:
        return ML_LOOK_LIST;
    case ML_TYPE_MAP:
    case ML_TYPE_XML_HOOK:
        return ML_LOOK_MAP;
    case ML_TYPE_TEXT:
        return ML_LOOK_TEXT;
    case ML_TYPE_XML_FRAGMENT:
        /* COMPAT(yjs 14): every nested type without a name is written with this ref. */
        look = ml_view_look(doc, branch);
        return look == ML_LOOK_LIST && b->length == 0 ? ML_LOOK_XML : look;
    default:
        return ML_LOOK_XML;
    }
}

enum ml_err ml_view_json(struct ml_viewer *v, uint32_t branch)
{
    enum ml_err err = ML_OK;

    if (v->depth == ML_VIEW_DEPTH_MAX)
        return ML_ELIMIT;
    v->depth++;
    switch (ml_view_look_of(v->doc, branch)) {
    case ML_LOOK_MAP:
        err = write_object(v, branch);
        break;
    case ML_LOOK_LIST:
        err = write_list(v, branch);
        break;
    case ML_LOOK_TEXT:
        err = write_printed(v, branch, ml_view_text);
        break;
    case ML_LOOK_XML:
        err = write_printed(v, branch, ml_view_xml);
        break;
    }
    v->depth--;
    return err;
}
