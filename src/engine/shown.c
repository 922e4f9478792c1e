/* SPDX-License-Identifier: MIT */
/*
 * What a document shows at one place, without printing what stands around it: a shared type, or the
 * plain value of one unit. Values come out as Any, so that bytes stay bytes and integers integers:
 *
 *   map, hook       object          plain value   as it was written
 *   list            list            binary        bytes
 *   text, XML text  string          embed         what its JSON says
 *   other XML       string, as Yjs prints it      subdocument   its guid
 */
#include <stdlib.h>

#include "engine/any.h"
#include "engine/any_walk.h"
#include "engine/view.h"

struct ml_shown ml_shown_make(const struct ml_doc *doc, uint32_t item, uint32_t unit)
{
    const struct ml_item *i = ml_item_at(doc, item);

    return (struct ml_shown){ml_item_kind(i) == ML_WIRE_TYPE ? i->off : NIL, item, unit};
}

/* ---- What it is --------------------------------------------------------------------------------
 */

enum ml_value_kind ml_shown_kind(const struct ml_doc *doc, const struct ml_shown *at)
{
    static const enum ml_value_kind looks[] = {[ML_LOOK_MAP] = ML_VALUE_MAP,
                                               [ML_LOOK_LIST] = ML_VALUE_ARRAY,
                                               [ML_LOOK_TEXT] = ML_VALUE_TEXT,
                                               [ML_LOOK_XML] = ML_VALUE_XML_FRAGMENT};
    const struct ml_branch *b;

    if (at->branch == NIL)
        return ml_item_kind(ml_item_at(doc, at->item)) == ML_WIRE_DOC ? ML_VALUE_DOC : ML_VALUE_ANY;
    b = ml_branch_at(doc, at->branch);
    if (!b->is_root) {
        switch (b->type_ref) {
        case ML_TYPE_XML_ELEMENT:
            return ML_VALUE_XML_ELEMENT;
        case ML_TYPE_XML_TEXT:
            return ML_VALUE_XML_TEXT;
        case ML_TYPE_XML_HOOK:
            return ML_VALUE_XML_HOOK;
        default:
            break;
        }
    }
    return looks[ml_view_look_of(doc, at->branch)];
}

bool ml_shown_id(const struct ml_doc *doc, const struct ml_shown *at, struct ml_id *out)
{
    const struct ml_item *i;

    if (at->item == NIL)
        return false;
    i = ml_item_at(doc, at->item);
    *out = (struct ml_id){doc->clients[ml_item_slot(i)].id, (uint64_t)i->clock + at->unit};
    return true;
}

struct ml_slice ml_shown_name(const struct ml_doc *doc, const struct ml_shown *at)
{
    const struct ml_branch *b = at->branch == NIL ? NULL : ml_branch_at(doc, at->branch);

    return b && !b->is_root && b->name != NIL ? ml_name_text(doc, b->name) : (struct ml_slice){0};
}

uint32_t ml_shown_length(const struct ml_doc *doc, const struct ml_shown *at)
{
    return at->branch == NIL ? 0 : ml_branch_at(doc, at->branch)->length;
}

/* ---- What is in it ----------------------------------------------------------------------------
 */

bool ml_shown_next_key(const struct ml_doc *doc, const struct ml_shown *in, uint32_t *cursor,
                       struct ml_slice *key, struct ml_shown *out)
{
    struct ml_key_entry e;

    if (in->branch == NIL)
        return false;
    while (ml_branch_next_entry(ml_branch_at(doc, in->branch), cursor, &e)) {
        if (e.item == NIL || ml_item_is_deleted(ml_item_at(doc, e.item)))
            continue;
        *key = ml_name_text(doc, e.key);
        *out = ml_shown_make(doc, e.item, ml_item_at(doc, e.item)->len - 1);
        return true;
    }
    return false;
}

bool ml_shown_next(const struct ml_doc *doc, const struct ml_shown *in, struct ml_shown_cursor *c,
                   struct ml_shown *out)
{
    if (in->branch == NIL || c->is_over)
        return false;
    if (!c->has_begun) {
        *c = (struct ml_shown_cursor){.has_begun = true,
                                      .item = ml_branch_at(doc, in->branch)->start};
    } else if (++c->unit >= ml_item_at(doc, c->item)->len) {
        c->unit = 0;
        c->item = ml_item_at(doc, c->item)->right;
    }
    while (c->item != NIL && !ml_item_is_visible(ml_item_at(doc, c->item)))
        c->item = ml_item_at(doc, c->item)->right;
    c->is_over = c->item == NIL;
    if (!c->is_over)
        *out = ml_shown_make(doc, c->item, c->unit);
    return !c->is_over;
}

/* ---- Values -----------------------------------------------------------------------------------
 */

struct any_out {
    const struct ml_doc *doc;
    struct ml_writer *out;
    uint32_t depth;
};

static enum ml_err write_branch(struct any_out *v, uint32_t branch);

static void write_string(struct ml_writer *out, struct ml_slice text)
{
    ml_write_u8(out, ML_TAG_STRING);
    ml_write_varbytes(out, text);
}

static enum ml_err write_json(struct ml_writer *out, struct ml_slice json)
{
    if (ml_slice_equal(json, ML_SLICE("undefined"))) {
        ml_write_u8(out, ML_TAG_UNDEFINED);
        return out->err;
    }
    return ml_json_to_any(json, UINT32_MAX, out);
}

/* Unit `unit` of an item whose content is a row of Any or JSON values. */
static enum ml_err write_element(struct ml_writer *out, const struct ml_item *i,
                                 struct ml_slice content, uint32_t unit)
{
    struct ml_reader in = ml_reader_make(content);
    bool is_any = ml_item_kind(i) == ML_WIRE_ANY;
    struct ml_slice text = {0};
    const uint8_t *began = in.pos;
    enum ml_err err = ML_OK;

    for (uint32_t n = 0; n <= unit && !err; n++) {
        began = in.pos;
        err = is_any ? ml_any_skip(&in, UINT32_MAX) : ml_read_varbytes(&in, &text);
    }
    if (err || !is_any)
        return err ? err : write_json(out, text);
    ml_write_bytes(out, ml_slice_make(began, (size_t)(in.pos - began)));
    return out->err;
}

static enum ml_err write_unit(struct any_out *v, const struct ml_item *i, uint32_t unit)
{
    struct ml_slice content =
        ml_item_has_bytes(i) ? ml_item_content(v->doc, i) : ml_slice_make("", 0);
    struct ml_reader in = ml_reader_make(content);
    struct ml_slice guid;

    switch (ml_item_kind(i)) {
    case ML_WIRE_ANY:
    case ML_WIRE_JSON:
        return write_element(v->out, i, content, unit);
    case ML_WIRE_STRING: /* text where a list is wanted: its first unit stands for all of it */
        write_string(v->out, unit ? ml_slice_make("", 0) : content);
        break;
    case ML_WIRE_BINARY:
        ml_write_u8(v->out, ML_TAG_BYTES);
        ml_write_varbytes(v->out, content);
        break;
    case ML_WIRE_EMBED:
        return write_json(v->out, content);
    case ML_WIRE_TYPE:
        return write_branch(v, i->off);
    case ML_WIRE_DOC:
        if (ml_read_varbytes(&in, &guid))
            return ML_EFORMAT;
        write_string(v->out, guid);
        break;
    default:
        ml_write_u8(v->out, ML_TAG_UNDEFINED);
    }
    return v->out->err;
}

static enum ml_err write_object(struct any_out *v, uint32_t branch)
{
    struct ml_view_entry *entry;
    size_t count;
    enum ml_err err = ml_view_entries(v->doc, branch, &entry, &count);

    if (err)
        return err;
    ml_write_u8(v->out, ML_TAG_OBJECT);
    ml_write_varuint(v->out, count);
    for (size_t i = 0; i < count && !err; i++) {
        const struct ml_item *item = ml_item_at(v->doc, entry[i].item);

        ml_write_varbytes(v->out, entry[i].key);
        err = write_unit(v, item, item->len - 1);
    }
    free(entry);
    return err ? err : v->out->err;
}

/* All units of an item. */
static enum ml_err write_units(struct any_out *v, const struct ml_item *i)
{
    struct ml_reader in;
    struct ml_slice text;
    enum ml_err err = ML_OK;

    switch (ml_item_kind(i)) {
    case ML_WIRE_ANY:
        ml_write_bytes(v->out, ml_item_content(v->doc, i));
        return v->out->err;
    case ML_WIRE_JSON:
        in = ml_reader_make(ml_item_content(v->doc, i));
        for (uint32_t n = 0; n < i->len && !err; n++) {
            err = ml_read_varbytes(&in, &text);
            if (!err)
                err = write_json(v->out, text);
        }
        return err;
    default:
        for (uint32_t n = 0; n < i->len && !err; n++)
            err = write_unit(v, i, n);
        return err;
    }
}

static enum ml_err write_list(struct any_out *v, uint32_t branch)
{
    enum ml_err err = ML_OK;

    ml_write_u8(v->out, ML_TAG_ARRAY);
    ml_write_varuint(v->out, ml_branch_at(v->doc, branch)->length);
    ML_VIEW_EACH(v->doc, branch, index)
    {
        if (ml_item_is_visible(ml_item_at(v->doc, index)))
            err = write_units(v, ml_item_at(v->doc, index));
        if (err)
            return err;
    }
    return v->out->err;
}

/* What another view prints, as one string. */
static enum ml_err write_printed(struct any_out *v, uint32_t branch, bool is_xml)
{
    struct ml_writer text;
    struct ml_viewer viewer = {.doc = v->doc, .out = &text, .depth = v->depth};
    enum ml_err err;

    ml_writer_init(&text, v->out->max);
    err = is_xml ? ml_view_xml(&viewer, branch) : ml_view_text(&viewer, branch);
    if (!err)
        write_string(v->out, ml_writer_slice(&text));
    ml_writer_release(&text);
    return err ? err : v->out->err;
}

/* Recursion: at most ML_VIEW_DEPTH_MAX types deep. */
static enum ml_err write_branch(struct any_out *v, uint32_t branch)
{
    enum ml_err err = ML_ELIMIT;

    if (v->depth == ML_VIEW_DEPTH_MAX)
        return err;
    v->depth++;
    switch (ml_view_look_of(v->doc, branch)) {
    case ML_LOOK_MAP:
        err = write_object(v, branch);
        break;
    case ML_LOOK_LIST:
        err = write_list(v, branch);
        break;
    case ML_LOOK_TEXT:
        err = write_printed(v, branch, false);
        break;
    case ML_LOOK_XML:
        err = write_printed(v, branch, true);
        break;
    }
    v->depth--;
    return err;
}

enum ml_err ml_shown_any(const struct ml_doc *doc, const struct ml_shown *at, struct ml_writer *out)
{
    struct any_out v = {doc, out, 0};

    if (at->branch != NIL)
        return write_branch(&v, at->branch);
    return write_unit(&v, ml_item_at(doc, at->item), at->unit);
}

double ml_shown_sum(const struct ml_doc *doc, const struct ml_shown *at)
{
    uint32_t cursor = 0;
    struct ml_slice key;
    struct ml_shown part;
    struct ml_writer any;
    double sum = 0, value;

    ml_writer_init(&any, 4096);
    while (ml_shown_next_key(doc, at, &cursor, &key, &part)) {
        ml_writer_reset(&any);
        if (part.branch == NIL && !ml_shown_any(doc, &part, &any) &&
            ml_any_number(ml_writer_slice(&any), &value) && value - value == 0)
            sum += value;
    }
    ml_writer_release(&any);
    return sum;
}
