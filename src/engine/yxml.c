/* SPDX-License-Identifier: MIT */
/*
 * XML as Yjs prints it. Nothing is escaped, so this is for comparison and logs, not for browsers.
 *
 *   fragment  its children one after the other
 *   element   <name key="value" …>children</name>, name lower-cased, keys sorted
 *   text      ytext.c
 *   others    [object Object]
 *
 * Source: Yjs 13.6, YXmlElement.toString and YXmlFragment.toString. Different: letters outside
 * Latin, Greek and Cyrillic keep their case (JavaScript knows all of Unicode); a null among the
 * children of a fragment, on which Yjs throws, shows as nothing.
 */
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/view.h"

#define OBJECT ML_SLICE("[object Object]")

/* ---- Values as JavaScript's String() shows them ---------------------------------------------- */

/* JSON text as Any. Release *any. */
static enum ml_err parse(struct ml_slice json, size_t max_bytes, struct ml_writer *any)
{
    ml_writer_init(any, max_bytes);
    return ml_json_to_any(json, UINT32_MAX, any);
}

enum ml_err ml_view_json_as_text(struct ml_writer *out, struct ml_slice json)
{
    struct ml_writer any;
    struct ml_reader in;
    enum ml_err err;

    if (ml_slice_equal(json, ML_SLICE("undefined"))) {
        ml_write_bytes(out, json);
        return out->err;
    }
    err = parse(json, out->max, &any);
    in = ml_reader_make(ml_writer_slice(&any));
    if (!err)
        err = ml_any_to_text(&in, out);
    ml_writer_release(&any);
    return err;
}

/* One UTF-16 unit of a code point; half a pair has no UTF-8 and shows as U+FFFD. */
static void write_unit(struct ml_writer *out, uint32_t code_point)
{
    uint8_t utf8[4];

    ml_write_bytes(
        out, ml_slice_make(utf8, ml_utf8_put(code_point < 0x10000 ? code_point : 0xfffd, utf8)));
}

/* The last unit of a map entry. */
static enum ml_err write_value(struct ml_viewer *v, const struct ml_item *item)
{
    struct ml_slice content =
        ml_item_has_bytes(item) ? ml_item_content(v->doc, item) : ml_slice_make("", 0);
    struct ml_reader in = ml_reader_make(content);
    struct ml_slice text = content;
    uint32_t code_point;
    enum ml_err err = ML_OK;

    switch (ml_item_kind(item)) {
    case ML_WIRE_ANY:
        for (uint32_t i = 1; i < item->len && !err; i++)
            err = ml_any_skip(&in, UINT32_MAX);
        return err ? err : ml_any_to_text(&in, v->out);
    case ML_WIRE_JSON:
        for (uint32_t i = 0; i < item->len && !err; i++)
            err = ml_read_varbytes(&in, &text);
        return err ? err : ml_view_json_as_text(v->out, text);
    case ML_WIRE_EMBED:
        return ml_view_json_as_text(v->out, text);
    case ML_WIRE_STRING:
        text.ptr += text.len - 1;
        while ((*text.ptr & 0xc0) == 0x80)
            text.ptr--;
        (void)ml_utf8_get(text.ptr, &code_point);
        write_unit(v->out, code_point);
        break;
    case ML_WIRE_BINARY:
        for (size_t i = 0; i < content.len && !v->out->err; i++) {
            if (i)
                ml_write_u8(v->out, ',');
            ml_write_js_number(v->out, content.ptr[i]);
        }
        break;
    case ML_WIRE_TYPE:
        return ml_view_xml(v, item->off);
    case ML_WIRE_DOC:
        ml_write_bytes(v->out, OBJECT);
        break;
    default:
        ml_write_bytes(v->out, ML_SLICE("undefined"));
    }
    return v->out->err;
}

/* ---- Members of a format's value ------------------------------------------------------------- */

struct member {
    struct ml_slice key;
    struct ml_reader value;
};

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    return ml_view_compare(x->key, y->key);
}

static void write_member(struct ml_writer *out, struct ml_slice key)
{
    ml_write_u8(out, ' ');
    ml_write_bytes(out, key);
    ml_write_bytes(out, ML_SLICE("=\""));
}

/* An object, whose bytes were written by ml_json_to_any; behind its tag. */
static enum ml_err write_object_members(struct ml_writer *out, struct ml_reader *in)
{
    struct member *list;
    uint64_t count;
    enum ml_err err = ml_read_varuint(in, &count);

    if (err)
        return err;
    list = calloc(count ? (size_t)count : 1, sizeof *list);
    if (!list)
        return ML_ELIMIT;
    for (uint64_t i = 0; i < count && !err; i++) {
        err = ml_read_varbytes(in, &list[i].key);
        list[i].value = *in;
        if (!err)
            err = ml_any_skip(in, UINT32_MAX);
    }
    if (!err)
        qsort(list, (size_t)count, sizeof *list, by_key);
    for (uint64_t i = 0; i < count && !err; i++) {
        write_member(out, list[i].key);
        err = ml_any_to_text(&list[i].value, out);
        ml_write_u8(out, '"');
    }
    free(list);
    return err ? err : out->err;
}

/* The decimal number after `n` in string order: 0 1 10 100 … 101 … 11 … 2, all below `count`. */
static uint64_t next_index(uint64_t n, uint64_t count)
{
    if (n && n * 10 < count)
        return n * 10;
    while (n % 10 == 9 || n + 1 >= count) {
        n /= 10;
        if (!n)
            return n;
    }
    return n + 1;
}

/* A list or string: its elements by index, in string order of the indexes, as Yjs sorts them. */
static enum ml_err write_indexed_members(struct ml_writer *out, struct ml_reader *in, bool string)
{
    struct ml_reader *element = NULL;
    uint64_t count = 0;
    struct ml_slice text;
    size_t units = 0;
    enum ml_err err;

    err = string ? ml_read_varstring(in, &text, &units) : ml_read_varuint(in, &count);
    if (err)
        return err;
    if (string)
        count = units;
    element = calloc(count ? (size_t)count : 1, sizeof *element);
    if (!element)
        return ML_ELIMIT;
    for (uint64_t i = 0, at = 0; i < count && !err; i++) {
        if (string) {
            bool inside_pair;
            size_t len =
                ml_utf8_offset(ml_slice_make(text.ptr + at, text.len - at), 1, &inside_pair);

            element[i] = ml_reader_make(ml_slice_make(text.ptr + at, text.len - at));
            if (inside_pair && i + 1 < count) {
                element[i + 1] = element[i];
                i++;
                len = 4;
            }
            at += len;
        } else {
            element[i] = *in;
            err = ml_any_skip(in, UINT32_MAX);
        }
    }
    for (uint64_t i = 0, left = count; left && !err; left--) {
        struct ml_writer name;

        ml_writer_init(&name, 32);
        ml_write_js_number(&name, (double)i);
        write_member(out, ml_writer_slice(&name));
        ml_writer_release(&name);
        if (string) {
            uint32_t code_point;

            (void)ml_utf8_get(element[i].pos, &code_point);
            write_unit(out, code_point);
        } else {
            err = ml_any_to_text(&element[i], out);
        }
        ml_write_u8(out, '"');
        i = i == 0 ? 1 : next_index(i, count);
        if (out->err)
            break;
    }
    free(element);
    return err ? err : out->err;
}

enum ml_err ml_view_xml_members(struct ml_writer *out, struct ml_slice json)
{
    struct ml_writer any;
    struct ml_reader in;
    uint8_t tag = 0;
    enum ml_err err = parse(json, out->max, &any);

    in = ml_reader_make(ml_writer_slice(&any));
    if (!err)
        err = ml_read_u8(&in, &tag);
    if (!err && tag == 0x76)
        err = write_object_members(out, &in);
    else if (!err && (tag == 0x75 || tag == 0x77))
        err = write_indexed_members(out, &in, tag == 0x77);
    ml_writer_release(&any);
    return err;
}

/* ---- Elements -------------------------------------------------------------------------------- */

static uint32_t lower_case(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) ||
        (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) || (c >= 0x14a && c <= 0x177))
        return c | 1;
    return c;
}

static void write_lower_case(struct ml_writer *out, struct ml_slice text)
{
    for (size_t i = 0; i < text.len && !out->err;) {
        uint8_t utf8[4];
        uint32_t c;

        i += ml_utf8_get(text.ptr + i, &c);
        ml_write_bytes(out, ml_slice_make(utf8, ml_utf8_put(lower_case(c), utf8)));
    }
}

static enum ml_err write_children(struct ml_viewer *v, uint32_t branch)
{
    ML_VIEW_EACH(v->doc, branch, index)
    {
        const struct ml_item *item = ml_item_at(v->doc, index);
        struct ml_reader in;
        enum ml_err err = ML_OK;

        switch (ml_item_kind(item)) {
        case ML_WIRE_STRING:
            ml_write_bytes(v->out, ml_item_content(v->doc, item));
            break;
        case ML_WIRE_ANY:
            in = ml_reader_make(ml_item_content(v->doc, item));
            for (uint32_t i = 0; i < item->len && !err; i++) {
                if (ml_reader_left(&in) && (*in.pos == 0x7e || *in.pos == 0x7f))
                    in.pos++; /* null and undefined have no toString */
                else
                    err = ml_any_to_text(&in, v->out);
            }
            break;
        case ML_WIRE_FORMAT:
        case ML_WIRE_JSON:
            break;
        default:
            err = write_value(v, item);
        }
        if (err || v->out->err)
            return err ? err : v->out->err;
    }
    return v->out->err;
}

static enum ml_err write_element(struct ml_viewer *v, uint32_t branch)
{
    const struct ml_branch *b = ml_branch_at(v->doc, branch);
    struct ml_slice name =
        b->is_root || b->name == NIL ? ML_SLICE("undefined") : ml_name_text(v->doc, b->name);
    struct ml_view_entry *entry;
    size_t count;
    enum ml_err err = ml_view_entries(v->doc, branch, &entry, &count);

    if (err)
        return err;
    ml_write_u8(v->out, '<');
    write_lower_case(v->out, name);
    for (size_t i = 0; i < count && !err; i++) {
        write_member(v->out, entry[i].key);
        err = write_value(v, ml_item_at(v->doc, entry[i].item));
        ml_write_u8(v->out, '"');
    }
    free(entry);
    ml_write_u8(v->out, '>');
    if (!err)
        err = write_children(v, branch);
    ml_write_bytes(v->out, ML_SLICE("</"));
    write_lower_case(v->out, name);
    ml_write_u8(v->out, '>');
    return err ? err : v->out->err;
}

/* A root is an element if it has attributes, a text if it holds text, else a fragment. */
static enum ml_err write_root(struct ml_viewer *v, uint32_t branch)
{
    switch (ml_view_look(v->doc, branch)) {
    case ML_LOOK_MAP:
        return write_element(v, branch);
    case ML_LOOK_TEXT:
        return ml_view_xml_text(v, branch);
    default:
        return write_children(v, branch);
    }
}

static enum ml_err write_nested(struct ml_viewer *v, uint32_t branch)
{
    switch (ml_branch_at(v->doc, branch)->type_ref) {
    case ML_TYPE_XML_ELEMENT:
        return write_element(v, branch);
    case ML_TYPE_XML_FRAGMENT:
        return write_children(v, branch);
    case ML_TYPE_XML_TEXT:
        return ml_view_xml_text(v, branch);
    case ML_TYPE_TEXT:
        return ml_view_text(v, branch);
    default:
        ml_write_bytes(v->out, OBJECT);
        return v->out->err;
    }
}

enum ml_err ml_view_xml(struct ml_viewer *v, uint32_t branch)
{
    enum ml_err err;

    if (v->depth == ML_VIEW_DEPTH_MAX)
        return ML_ELIMIT;
    v->depth++;
    err = ml_branch_at(v->doc, branch)->is_root ? write_root(v, branch) : write_nested(v, branch);
    v->depth--;
    return err;
}
