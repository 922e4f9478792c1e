/* SPDX-License-Identifier: MIT */
/*
 * What a policy asks about one edit of an update: where, what, instead of what, and what its block
 * would say. Nothing of this is worked out before it is asked.
 */
#include "engine/effects.h"

#include "base/utf8.h"
#include "engine/any.h"
#include "engine/position.h"
#include "engine/view.h"

/* ---- Index -------------------------------------------------------------------------------------
 */

/* Live units before unit `id` of a list, and that one too if `behind`. */
static uint32_t index_of(const struct ml_effects *fx, const struct ml_id *id, bool behind)
{
    uint32_t item = ml_effects_item(fx, id);
    const struct ml_part *part;

    if (item != NIL) {
        const struct ml_item *i = ml_item_at(fx->doc, item);
        uint32_t units = ml_item_is_visible(i) ? (uint32_t)id->clock - i->clock + behind : 0;

        return ml_item_is_gc(i) ? 0 : ml_position_of(fx->doc, item) + units;
    }
    part = &fx->parts[ml_effects_part(fx, id)];
    if (part->dead || !ml_wire_is_countable(part->kind))
        return part->index;
    return part->index + (uint32_t)(id->clock - part->id.clock) + behind;
}

enum ml_err ml_effects_indexes(struct ml_effects *fx)
{
    for (uint32_t n = 0; n < fx->part_count && !fx->has_indexes; n++) {
        struct ml_part *part = &fx->parts[n];

        if (part->container == NIL || part->key.ptr)
            continue;
        if (part->has_origin)
            part->index = index_of(fx, &part->origin, true);
        else if (part->has_right)
            part->index = index_of(fx, &part->right, false);
    }
    fx->has_indexes = true;
    return ML_OK;
}

enum ml_err ml_effect_index(struct ml_effects *fx, const struct ml_effect *e, uint32_t *index_out)
{
    const struct ml_item *i;

    if (e->key.ptr)
        return ML_ENOTFOUND;
    if (!e->removes) {
        enum ml_err err = ml_effects_indexes(fx);

        *index_out = fx->parts[e->part].index;
        return err;
    }
    i = ml_item_at(fx->doc, e->item);
    *index_out = ml_position_of(fx->doc, e->item);
    if (ml_item_is_visible(i))
        *index_out += (uint32_t)e->id.clock - i->clock;
    return ML_OK;
}

/* ---- Values ------------------------------------------------------------------------------------
 */

/* Elements [from, from + count) of Any and JSON contents, with commas between. */
static enum ml_err write_elements(struct ml_writer *out, struct ml_slice content, unsigned kind,
                                  uint64_t from, uint64_t count)
{
    struct ml_reader in = ml_reader_make(content);
    enum ml_err err = ML_OK;

    for (uint64_t n = 0; n < from + count && !err; n++) {
        struct ml_slice text;

        if (n > from)
            ml_write_u8(out, ',');
        if (kind == ML_WIRE_ANY && n < from)
            err = ml_any_skip(&in, UINT32_MAX);
        else if (kind == ML_WIRE_ANY)
            err = ml_any_to_json(&in, ML_ANY_JSON_READABLE, out);
        else
            err = ml_read_varbytes(&in, &text);
        if (!err && kind == ML_WIRE_JSON && n >= from)
            ml_write_bytes(out,
                           ml_slice_equal(text, ML_SLICE("undefined")) ? ML_SLICE("null") : text);
    }
    return err ? err : out->err;
}

/* {"name":value} */
static enum ml_err write_format(struct ml_writer *out, struct ml_slice body)
{
    struct ml_reader in = ml_reader_make(body);
    struct ml_slice name, json;
    enum ml_err err = ml_read_varbytes(&in, &name);

    if (!err)
        err = ml_read_varbytes(&in, &json);
    if (err)
        return err;
    ml_write_u8(out, '{');
    ml_write_json_string(out, name);
    ml_write_u8(out, ':');
    ml_write_bytes(out, json);
    ml_write_u8(out, '}');
    return out->err;
}

static enum ml_err write_guid(struct ml_writer *out, struct ml_slice body)
{
    struct ml_reader in = ml_reader_make(body);
    struct ml_slice guid;
    enum ml_err err = ml_read_varbytes(&in, &guid);

    if (!err)
        ml_write_json_string(out, guid);
    return err ? err : out->err;
}

/* Units [from, from + count) of a content: a list of elements, or (keyed) the last of them. */
static enum ml_err write_content(struct ml_writer *out, unsigned kind, struct ml_slice content,
                                 uint64_t from, uint64_t count, bool keyed)
{
    bool is_list = !keyed && (kind == ML_WIRE_ANY || kind == ML_WIRE_JSON);
    enum ml_err err = ML_OK;

    if (keyed) {
        from += count - 1;
        count = 1;
    }
    if (is_list)
        ml_write_u8(out, '[');
    switch (kind) {
    case ML_WIRE_ANY:
    case ML_WIRE_JSON:
        err = write_elements(out, content, kind, from, count);
        break;
    case ML_WIRE_BINARY:
        ml_write_json_bytes(out, content);
        break;
    case ML_WIRE_EMBED:
        ml_write_bytes(out, content);
        break;
    case ML_WIRE_STRING:
        ml_write_json_string(out, content);
        break;
    case ML_WIRE_FORMAT:
        err = write_format(out, content);
        break;
    case ML_WIRE_DOC:
        err = write_guid(out, content);
        break;
    default:
        return ML_ENOTFOUND;
    }
    if (is_list)
        ml_write_u8(out, ']');
    return err ? err : out->err;
}

enum ml_err ml_effect_value(struct ml_effects *fx, const struct ml_effect *e, struct ml_writer *out)
{
    const struct ml_part *part;

    if (e->removes)
        return ML_ENOTFOUND;
    part = &fx->parts[e->part];
    if (part->kind == ML_WIRE_STRING && !part->key.ptr)
        return ML_ENOTFOUND;
    return write_content(out, part->kind, part->content, 0, part->len, part->key.ptr != NULL);
}

/* Units [from, to) of an item that are text. */
static struct ml_slice cut_text(struct ml_slice text, uint64_t from, uint64_t to)
{
    bool inside;
    size_t a = ml_utf8_offset(text, (size_t)from, &inside);
    size_t b = ml_utf8_offset(text, (size_t)to, &inside);

    return ml_slice_make(text.ptr + a, b - a);
}

static enum ml_err write_item(const struct ml_effects *fx, uint32_t item, uint64_t from,
                              uint64_t count, struct ml_writer *out)
{
    const struct ml_item *i = ml_item_at(fx->doc, item);

    if (ml_item_kind(i) == ML_WIRE_TYPE) {
        struct ml_viewer v = {.doc = fx->doc, .out = out};

        return ml_view_json(&v, i->off);
    }
    return write_content(out, ml_item_kind(i), ml_item_content(fx->doc, i), from, count,
                         ml_item_is_keyed(i));
}

/* The value that the key of an edit has now; NIL: none. */
static uint32_t entry_of(const struct ml_effects *fx, const struct ml_effect *e)
{
    uint32_t branch = fx->containers[e->container].branch, name, entry;

    if (branch == NIL)
        return NIL;
    name = ml_name_find(fx->doc, e->key);
    entry = name == NIL ? NIL : ml_branch_entry(ml_branch_at(fx->doc, branch), name);
    return entry == NIL || ml_item_is_deleted(ml_item_at(fx->doc, entry)) ? NIL : entry;
}

enum ml_err ml_effect_before(struct ml_effects *fx, const struct ml_effect *e,
                             struct ml_writer *out, bool *is_text_out)
{
    const struct ml_item *i;
    uint32_t entry;

    *is_text_out = false;
    if (e->key.ptr) {
        entry = e->removes ? e->item : entry_of(fx, e);
        if (entry == NIL)
            return ML_ENOTFOUND;
        return write_item(fx, entry, 0, ml_item_at(fx->doc, entry)->len, out);
    }
    if (!e->removes)
        return ML_ENOTFOUND;
    i = ml_item_at(fx->doc, e->item);
    if (ml_item_kind(i) == ML_WIRE_STRING) {
        uint64_t from = e->id.clock - i->clock;

        *is_text_out = true;
        ml_write_bytes(out, cut_text(ml_item_content(fx->doc, i), from, from + e->len));
        return out->err;
    }
    return write_item(fx, e->item, e->id.clock - i->clock, e->len, out);
}

/* ---- Blocks ------------------------------------------------------------------------------------
 */

static bool is_text(const struct ml_effect *e)
{
    return e->kind <= ML_EFFECT_TEXT_FORMAT;
}

static struct ml_id holder_of(const struct ml_effects *fx, const struct ml_container *c)
{
    if (c->branch == NIL)
        return fx->parts[c->part].id;
    return ml_branch_place(fx->doc, c->branch).holder;
}

bool ml_effect_block(const struct ml_effects *fx, const struct ml_effect *e, struct ml_id *id_out)
{
    const struct ml_container *c = &fx->containers[e->container], *outer;

    if (!is_text(e) || c->is_root)
        return false;
    outer = c->parent == NIL ? NULL : &fx->containers[c->parent];
    if (outer && !outer->is_root && outer->type_ref == ML_TYPE_XML_ELEMENT)
        c = outer;
    *id_out = holder_of(fx, c);
    return true;
}
