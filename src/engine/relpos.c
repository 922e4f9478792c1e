/* SPDX-License-Identifier: MIT */
/*
 * Positions that stay put: a cursor, a comment, the end of a selection.
 *
 *   bytes   00 varuint client, varuint clock      beside this unit
 *           01 varstring                          a root
 *           02 varuint client, varuint clock      the type that this unit holds
 *           then varint assoc; missing at the end of old positions: 0
 *
 *   text    [ a ][ b ][ deleted ][ c ]            index 2, assoc >= 0: beside c, in front of it
 *                 ^              ^                index 2, assoc < 0:  beside b, behind it
 *
 * Source: Yjs 13.6, RelativePosition.js. Different: numbers are checked, what follows is refused.
 */
#include <math.h>

#include "engine/any.h"
#include "engine/item.h"

#define ASSOC_MAX  ((uint64_t)1 << 53)
#define JSON_DEPTH 8

enum kind { BESIDE_UNIT, IN_ROOT, IN_TYPE };

/* ---- Bytes ----------------------------------------------------------------------------------- */

static enum ml_err read_id(struct ml_reader *in, struct ml_id *out)
{
    return ml_read_varuint(in, &out->client) || ml_read_varuint(in, &out->clock) ? ML_EFORMAT
                                                                                 : ML_OK;
}

static enum ml_err read_place(struct ml_reader *in, struct ml_relpos *out)
{
    uint64_t kind;

    if (ml_read_varuint(in, &kind))
        return ML_EFORMAT;
    switch (kind) {
    case BESIDE_UNIT:
        out->has_unit = true;
        return read_id(in, &out->unit);
    case IN_ROOT:
        out->has_type = true;
        return ml_read_varstring(in, &out->type.root, NULL);
    case IN_TYPE:
        out->has_type = true;
        return read_id(in, &out->type.holder);
    default:
        return ML_EFORMAT;
    }
}

enum ml_err ml_relpos_decode(struct ml_slice bytes, struct ml_relpos *out, struct ml_diag *diag)
{
    struct ml_reader in = ml_reader_make(bytes);
    uint64_t magnitude = 0;
    bool negative = false;
    enum ml_err err;

    *out = (struct ml_relpos){0};
    err = read_place(&in, out);
    if (!err && ml_reader_left(&in))
        err = ml_read_varint(&in, &magnitude, &negative);
    if (!err && ml_reader_left(&in))
        err = ML_EFORMAT;
    if (err)
        return ml_diag_set(diag, err, ml_reader_offset(&in), "broken relative position");
    out->assoc = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return ML_OK;
}

static void write_id(struct ml_writer *out, const struct ml_id *id)
{
    ml_write_varuint(out, id->client);
    ml_write_varuint(out, id->clock);
}

void ml_relpos_encode(const struct ml_relpos *p, struct ml_writer *out)
{
    if (p->has_unit) {
        ml_write_varuint(out, BESIDE_UNIT);
        write_id(out, &p->unit);
    } else if (p->type.root.ptr) {
        ml_write_varuint(out, IN_ROOT);
        ml_write_varbytes(out, p->type.root);
    } else {
        ml_write_varuint(out, IN_TYPE);
        write_id(out, &p->type.holder);
    }
    ml_write_varint(out, p->assoc < 0 ? (uint64_t)-p->assoc : (uint64_t)p->assoc, p->assoc < 0);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void write_json_id(struct ml_writer *out, struct ml_slice name, const struct ml_id *id)
{
    ml_write_bytes(out, name);
    ml_write_bytes(out, ML_SLICE("{\"client\":"));
    ml_write_js_number(out, (double)id->client);
    ml_write_bytes(out, ML_SLICE(",\"clock\":"));
    ml_write_js_number(out, (double)id->clock);
    ml_write_bytes(out, ML_SLICE("},"));
}

void ml_relpos_to_json(const struct ml_relpos *p, struct ml_writer *out)
{
    ml_write_u8(out, '{');
    if (p->has_type && p->type.root.ptr) {
        ml_write_bytes(out, ML_SLICE("\"tname\":"));
        ml_write_json_string(out, p->type.root);
        ml_write_u8(out, ',');
    } else if (p->has_type) {
        write_json_id(out, ML_SLICE("\"type\":"), &p->type.holder);
    }
    if (p->has_unit)
        write_json_id(out, ML_SLICE("\"item\":"), &p->unit);
    ml_write_bytes(out, ML_SLICE("\"assoc\":"));
    ml_write_js_number(out, (double)p->assoc);
    ml_write_u8(out, '}');
}

/* A whole number in Any. */
static enum ml_err read_integer(struct ml_reader *in, int64_t *out)
{
    struct ml_slice raw;
    uint64_t word = 0;
    bool negative;
    double value;
    uint8_t tag;

    if (ml_read_u8(in, &tag))
        return ML_EFORMAT;
    if (tag == 0x7d) {
        if (ml_read_varint(in, &word, &negative))
            return ML_EFORMAT;
        *out = negative ? -(int64_t)word : (int64_t)word;
        return ML_OK;
    }
    if ((tag != 0x7b && tag != 0x7c) || ml_read_bytes(in, tag == 0x7b ? 8 : 4, &raw))
        return ML_EFORMAT;
    for (size_t i = 0; i < raw.len; i++)
        word = word << 8 | raw.ptr[i];
    if (tag == 0x7b) {
        memcpy(&value, &word, sizeof value);
    } else {
        uint32_t half = (uint32_t)word;
        float single;

        memcpy(&single, &half, sizeof single);
        value = (double)single;
    }
    if (!(fabs(value) < (double)ASSOC_MAX) || value != floor(value))
        return ML_EFORMAT;
    *out = (int64_t)value;
    return ML_OK;
}

/* The members of an object, or nothing where null stands. `*left_out` 0: there are none. */
static enum ml_err open_object(struct ml_reader *in, bool *is_null_out, uint64_t *left_out)
{
    uint8_t tag;

    *left_out = 0;
    if (ml_read_u8(in, &tag))
        return ML_EFORMAT;
    *is_null_out = tag == 0x7e || tag == 0x7f;
    if (*is_null_out)
        return ML_OK;
    return tag == 0x76 ? ml_read_varuint(in, left_out) : ML_EFORMAT;
}

/* @param has_out  set if it is there */
static enum ml_err read_json_id(struct ml_reader *in, struct ml_id *id, bool *has_out)
{
    int64_t client = -1, clock = -1;
    uint64_t left;
    bool is_null;
    enum ml_err err = open_object(in, &is_null, &left);

    *has_out |= !is_null;
    while (!err && left--) {
        struct ml_slice key;

        err = ml_read_varbytes(in, &key);
        if (err)
            break;
        if (ml_slice_equal(key, ML_SLICE("client")))
            err = read_integer(in, &client);
        else if (ml_slice_equal(key, ML_SLICE("clock")))
            err = read_integer(in, &clock);
        else
            err = ml_any_skip(in, JSON_DEPTH);
    }
    if (err || is_null)
        return err;
    if (client < 0 || clock < 0)
        return ML_EFORMAT;
    *id = (struct ml_id){(uint64_t)client, (uint64_t)clock};
    return ML_OK;
}

static enum ml_err read_json_root(struct ml_arena *arena, struct ml_reader *in,
                                  struct ml_relpos *out)
{
    struct ml_slice text;
    uint8_t tag;

    if (ml_read_u8(in, &tag))
        return ML_EFORMAT;
    if (tag == 0x7e || tag == 0x7f)
        return ML_OK;
    if (tag != 0x77 || ml_read_varbytes(in, &text))
        return ML_EFORMAT;
    out->has_type = true;
    out->type.root = ml_arena_copy(arena, text);
    return out->type.root.ptr ? ML_OK : ML_ELIMIT;
}

static enum ml_err read_member(struct ml_arena *arena, struct ml_reader *in, struct ml_relpos *out)
{
    struct ml_slice key;
    enum ml_err err = ml_read_varbytes(in, &key);

    if (err)
        return err;
    if (ml_slice_equal(key, ML_SLICE("type")))
        return read_json_id(in, &out->type.holder, &out->has_type);
    if (ml_slice_equal(key, ML_SLICE("item")))
        return read_json_id(in, &out->unit, &out->has_unit);
    if (ml_slice_equal(key, ML_SLICE("tname")))
        return read_json_root(arena, in, out);
    if (ml_slice_equal(key, ML_SLICE("assoc")) && ml_reader_left(in) && *in->pos != 0x7e)
        return read_integer(in, &out->assoc);
    return ml_any_skip(in, JSON_DEPTH);
}

enum ml_err ml_relpos_from_json(struct ml_arena *arena, struct ml_slice json, struct ml_relpos *out,
                                struct ml_diag *diag)
{
    struct ml_writer any;
    struct ml_reader in;
    uint64_t left = 0;
    bool is_null = false;
    enum ml_err err;

    *out = (struct ml_relpos){0};
    ml_writer_init(&any, json.len * 2 + 64);
    err = ml_json_to_any(json, JSON_DEPTH, &any);
    in = ml_reader_make(ml_writer_slice(&any));
    if (!err)
        err = open_object(&in, &is_null, &left);
    while (!err && left--)
        err = read_member(arena, &in, out);
    if (!err && (is_null || !(out->has_unit || out->has_type)))
        err = ML_EFORMAT;
    ml_writer_release(&any);
    return err ? ml_diag_set(diag, err, 0, "JSON that is no relative position") : ML_OK;
}

/* ---- In a document --------------------------------------------------------------------------- */

static struct ml_id id_at(const struct ml_doc *doc, const struct ml_item *i, uint32_t unit)
{
    return (struct ml_id){doc->clients[ml_item_slot(i)].id, (uint64_t)i->clock + unit};
}

enum ml_err ml_relpos_make(const struct ml_doc *doc, const struct ml_place *type, uint32_t index,
                           int64_t assoc, struct ml_relpos *out)
{
    uint32_t branch = ml_place_branch(doc, type), found, last;

    *out = (struct ml_relpos){.has_type = true, .type = *type, .assoc = assoc};
    if (branch == NIL)
        return type->root.ptr ? ML_OK : ML_ENOTFOUND; /* a root that is empty still */
    if (ml_branch_is_deleted(doc, branch))
        return ML_ENOTFOUND;
    out->type = ml_branch_place(doc, branch);
    if (assoc < 0 && index-- == 0)
        return ML_OK;
    found = ml_list_unit(doc, branch, &index, &last);
    if (found != NIL) {
        out->has_unit = true;
        out->unit = id_at(doc, ml_item_at(doc, found), index);
    } else if (assoc < 0 && last != NIL) {
        out->has_unit = true;
        out->unit = id_at(doc, ml_item_at(doc, last), ml_item_at(doc, last)->len - 1);
    }
    return ML_OK;
}

static enum ml_err resolve_unit(const struct ml_doc *doc, const struct ml_relpos *p,
                                uint32_t *index_out, struct ml_place *type_out)
{
    uint32_t unit, found = ml_unit_find(doc, &p->unit, &unit);
    const struct ml_item *i;

    /* Yjs counts along the values of a key; nothing that it makes points at one. */
    if (found == NIL || ml_item_is_gc(ml_item_at(doc, found)) ||
        ml_item_is_keyed(ml_item_at(doc, found)))
        return ML_ENOTFOUND;
    i = ml_item_at(doc, found);
    *type_out = ml_branch_place(doc, i->parent);
    *index_out = 0;
    if (ml_branch_is_deleted(doc, i->parent))
        return ML_OK;
    if (ml_item_is_visible(i))
        *index_out = unit + (p->assoc < 0);
    for (uint32_t n = i->left; n != NIL; n = ml_item_at(doc, n)->left)
        if (ml_item_is_visible(ml_item_at(doc, n)))
            *index_out += ml_item_at(doc, n)->len;
    return ML_OK;
}

static enum ml_err resolve_end(const struct ml_doc *doc, const struct ml_relpos *p,
                               uint32_t *index_out, struct ml_place *type_out)
{
    uint32_t branch = ml_place_branch(doc, &p->type);

    *type_out = p->type;
    *index_out = 0;
    if (branch == NIL)
        return p->type.root.ptr ? ML_OK : ML_ENOTFOUND;
    *type_out = ml_branch_place(doc, branch);
    if (p->assoc >= 0)
        *index_out = ml_branch_at(doc, branch)->length;
    return ML_OK;
}

enum ml_err ml_relpos_resolve(const struct ml_doc *doc, const struct ml_relpos *p,
                              uint32_t *index_out, struct ml_place *type_out)
{
    struct ml_place type;

    return (p->has_unit ? resolve_unit : resolve_end)(doc, p, index_out,
                                                      type_out ? type_out : &type);
}
