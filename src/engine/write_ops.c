/* SPDX-License-Identifier: MIT */
/*
 * Operations as data, for whoever gets them from outside: the HTTP API, plugins, specs.
 *
 *   ops     a list of operations
 *   op      ["text.insert", path, 0, "Hi", {"bold": true}]                   arguments in order, or
 *           {"op": "text.insert", "path": path, "index": 0, "text": "Hi"}    by name
 *   path    "meta/tasks/7" or ["meta", "tasks", 7]: root, then keys and indexes. The text form is
 *           that of path.c
 *   value   any value; {"$new": "map" | "array" | "text" | "xmltext" | "xmlelement" |
 *           "xmlfragment" | "xmlhook", ...} makes a type, with entries, values, text, name, attrs,
 *           children; {"$new": "doc", "guid": ..., "opts": {...}} a subdocument
 *
 * What an operation needs is checked by the calls it makes; this file only reads. Everything
 * borrows from the bytes given.
 */
#include "engine/any.h"
#include "engine/any_walk.h"
#include "engine/view.h"
#include "engine/write.h"

/* ---- Values ----------------------------------------------------------------------------------
 */

/* ML_SLICE in a table of constants. */
#define NAME(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)("" text), sizeof(text) - 1                                               \
    }

static const struct {
    struct ml_slice name;
    enum ml_value_kind kind;
} new_kinds[] = {
    {NAME("map"), ML_VALUE_MAP},
    {NAME("array"), ML_VALUE_ARRAY},
    {NAME("text"), ML_VALUE_TEXT},
    {NAME("xmltext"), ML_VALUE_XML_TEXT},
    {NAME("xmlelement"), ML_VALUE_XML_ELEMENT},
    {NAME("xmlfragment"), ML_VALUE_XML_FRAGMENT},
    {NAME("xmlhook"), ML_VALUE_XML_HOOK},
    {NAME("doc"), ML_VALUE_DOC},
};

#define NEW_KINDS (sizeof new_kinds / sizeof *new_kinds)

/* Reads descriptions into the arena of one op. */
struct op_reader {
    struct ml_doc *doc;
    struct ml_arena *arena;
};

static enum ml_err read_value(const struct op_reader *r, struct ml_slice any, uint32_t depth,
                              struct ml_value *out);

static enum ml_err no_memory(const struct op_reader *r)
{
    return ml_write_fail(r->doc, ML_ELIMIT, "out of memory");
}

static enum ml_err read_values(const struct op_reader *r, struct ml_slice any, uint32_t depth,
                               const struct ml_value **out, size_t *count)
{
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_slice key, value;
    struct ml_value *values;
    enum ml_err err = ML_OK;

    *count = (size_t)w.left;
    if (w.is_object ||
        (any.len && ml_any_tag(any) != ML_TAG_ARRAY && ml_any_tag(any) != ML_TAG_UNDEFINED))
        return ml_write_fail(r->doc, ML_EFORMAT, "a list of values is wanted");
    values = ml_arena_array(r->arena, *count + 1, sizeof *values);
    if (!values)
        return no_memory(r);
    *out = values;
    while (!err && ml_any_next(&w, &key, &value))
        err = read_value(r, value, depth, values++);
    return err;
}

static enum ml_err read_entries(const struct op_reader *r, struct ml_slice any, uint32_t depth,
                                struct ml_value *out)
{
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_entry *entries;
    struct ml_slice value;
    enum ml_err err = ML_OK;

    out->entry_count = (size_t)w.left;
    if (any.len && ml_any_tag(any) != ML_TAG_OBJECT && ml_any_tag(any) != ML_TAG_UNDEFINED)
        return ml_write_fail(r->doc, ML_EFORMAT, "an object is wanted");
    entries = ml_arena_array(r->arena, out->entry_count + 1, sizeof *entries);
    if (!entries)
        return no_memory(r);
    out->entries = entries;
    for (; !err && ml_any_next(&w, &entries->key, &value); entries++)
        err = read_value(r, value, depth, &entries->value);
    return err;
}

/* What Yjs keeps of the options of a subdocument: gc if it is off, autoLoad if on, meta. */
static enum ml_err read_doc_options(const struct op_reader *r, struct ml_slice given,
                                    struct ml_slice *out)
{
    static const struct ml_slice names[] = {NAME("gc"), NAME("autoLoad"), NAME("meta")};
    struct ml_slice kept[3];
    struct ml_writer w;
    uint64_t count = 0;

    for (int i = 0; i < 3; i++) {
        uint8_t tag;

        kept[i] = ml_any_member(given, names[i]);
        tag = ml_any_tag(kept[i]);
        if ((i == 0 && tag != ML_TAG_FALSE) || (i == 1 && tag != ML_TAG_TRUE) ||
            tag == ML_TAG_NULL || tag == ML_TAG_UNDEFINED)
            kept[i].len = 0;
        count += kept[i].len > 0;
    }
    ml_writer_init(&w, given.len + 64);
    ml_write_u8(&w, ML_TAG_OBJECT);
    ml_write_varuint(&w, count);
    for (int i = 0; i < 3; i++) {
        if (!kept[i].len)
            continue;
        ml_write_varbytes(&w, names[i]);
        ml_write_bytes(&w, kept[i]);
    }
    *out = ml_arena_copy(r->arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return out->ptr ? ML_OK : no_memory(r);
}

/* The members of a description that mean something, found in one walk. */
struct description {
    struct ml_slice kind, name, text, guid, opts, values, children, entries, attrs;
};

static struct description describe(struct ml_slice any)
{
    struct description d = {0};
    const struct {
        struct ml_slice name;
        struct ml_slice *at;
    } members[] = {
        {ML_SLICE("$new"), &d.kind},         {ML_SLICE("name"), &d.name},
        {ML_SLICE("text"), &d.text},         {ML_SLICE("guid"), &d.guid},
        {ML_SLICE("opts"), &d.opts},         {ML_SLICE("values"), &d.values},
        {ML_SLICE("children"), &d.children}, {ML_SLICE("entries"), &d.entries},
        {ML_SLICE("attrs"), &d.attrs},
    };
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_slice key = {0}, value;

    while (w.is_object && ml_any_next(&w, &key, &value))
        for (size_t i = 0; i < sizeof members / sizeof *members; i++)
            if (ml_slice_equal(members[i].name, key))
                *members[i].at = value;
    return d;
}

static enum ml_err read_new(const struct op_reader *r, const struct description *d,
                            struct ml_slice kind, uint32_t depth, struct ml_value *out)
{
    size_t k = 0;
    enum ml_err err = ML_OK;

    while (k < NEW_KINDS && !ml_slice_equal(new_kinds[k].name, kind))
        k++;
    if (k == NEW_KINDS)
        return ml_write_fail(r->doc, ML_EFORMAT, "no such kind of type");
    if (depth >= ML_VIEW_DEPTH_MAX)
        return ml_write_fail(r->doc, ML_ELIMIT, "types nested too deep");
    *out = (struct ml_value){.kind = new_kinds[k].kind, .text = ML_SLICE("")};
    switch (out->kind) {
    case ML_VALUE_DOC:
        if (!ml_any_string(d->guid, &out->text))
            return ml_write_fail(r->doc, ML_EFORMAT, "a subdocument without guid");
        return read_doc_options(r, d->opts, &out->any);
    case ML_VALUE_TEXT:
    case ML_VALUE_XML_TEXT:
        (void)ml_any_string(d->text, &out->text);
        return ML_OK;
    case ML_VALUE_ARRAY:
        return read_values(r, d->values, depth + 1, &out->values, &out->value_count);
    case ML_VALUE_XML_ELEMENT:
    case ML_VALUE_XML_HOOK:
        if (!ml_any_string(d->name, &out->text))
            return ml_write_fail(r->doc, ML_EFORMAT, "an element or hook without name");
        break;
    default:
        break;
    }
    if (out->kind == ML_VALUE_XML_ELEMENT || out->kind == ML_VALUE_XML_FRAGMENT)
        err = read_values(r, d->children, depth + 1, &out->values, &out->value_count);
    if (err || out->kind == ML_VALUE_XML_FRAGMENT)
        return err;
    return read_entries(r, out->kind == ML_VALUE_XML_ELEMENT ? d->attrs : d->entries, depth + 1,
                        out);
}

/* Recursion: at most ML_VIEW_DEPTH_MAX types deep. */
static enum ml_err read_value(const struct op_reader *r, struct ml_slice any, uint32_t depth,
                              struct ml_value *out)
{
    struct ml_slice kind;

    if (ml_any_tag(any) == ML_TAG_OBJECT) {
        struct description d = describe(any);

        if (ml_any_string(d.kind, &kind))
            return read_new(r, &d, kind, depth, out);
    }
    *out = (struct ml_value){.kind = ML_VALUE_ANY, .any = any};
    return any.len ? ML_OK : ml_write_fail(r->doc, ML_EFORMAT, "no value");
}

/* Formats; *out NULL: none were given. */
static enum ml_err read_attrs(const struct op_reader *r, struct ml_slice any,
                              const struct ml_attrs **out)
{
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_attrs *attrs;
    struct ml_attr *list;

    *out = NULL;
    if (ml_any_tag(any) == ML_TAG_UNDEFINED || ml_any_tag(any) == ML_TAG_NULL)
        return ML_OK;
    if (!w.is_object)
        return ml_write_fail(r->doc, ML_EFORMAT, "attributes are no object");
    attrs = ml_arena_alloc(r->arena, sizeof *attrs);
    list = ml_arena_array(r->arena, w.left + 1, sizeof *list);
    if (!attrs || !list)
        return no_memory(r);
    attrs->at = list;
    for (; ml_any_next(&w, &list->key, &list->any); list++)
        attrs->count++;
    *out = attrs;
    return ML_OK;
}

static enum ml_err read_delta_op(const struct op_reader *r, struct ml_slice any,
                                 struct ml_delta_op *out)
{
    struct ml_slice insert = ml_any_member(any, ML_SLICE("insert"));
    struct ml_slice retain = ml_any_member(any, ML_SLICE("retain"));
    struct ml_value *embed;
    enum ml_err err = read_attrs(r, ml_any_member(any, ML_SLICE("attributes")), &out->attrs);

    if (err)
        return err;
    if (insert.len) {
        if (ml_any_string(insert, &out->text)) {
            out->kind = ML_DELTA_INSERT;
            return ML_OK;
        }
        out->kind = ML_DELTA_EMBED;
        embed = ml_arena_alloc(r->arena, sizeof *embed);
        out->embed = embed;
        return embed ? read_value(r, insert, 0, embed) : no_memory(r);
    }
    out->kind = retain.len ? ML_DELTA_RETAIN : ML_DELTA_DELETE;
    if (ml_any_index(retain.len ? retain : ml_any_member(any, ML_SLICE("delete")), &out->len_utf16))
        return ML_OK;
    return ml_write_fail(r->doc, ML_EFORMAT, "a step of a delta that says nothing");
}

static enum ml_err read_delta(const struct op_reader *r, struct ml_slice any,
                              struct ml_delta_op **out, size_t *count)
{
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_slice key, step;
    struct ml_delta_op *ops;
    enum ml_err err = ML_OK;

    if (ml_any_tag(any) != ML_TAG_ARRAY)
        return ml_write_fail(r->doc, ML_EFORMAT, "a delta is a list");
    *count = (size_t)w.left;
    ops = *out = ml_arena_array(r->arena, w.left + 1, sizeof *ops);
    if (!ops)
        return no_memory(r);
    while (!err && ml_any_next(&w, &key, &step))
        err = read_delta_op(r, step, ops++);
    return err;
}

/* ---- Paths -----------------------------------------------------------------------------------
 */

static enum ml_err enter_list_path(const struct op_reader *r, struct ml_slice any,
                                   struct ml_type *out)
{
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_slice key, step, name;
    enum ml_err err;

    if (!ml_any_next(&w, &key, &step) || !ml_any_string(step, &name))
        return ml_write_fail(r->doc, ML_EFORMAT, "a path begins with the name of a root");
    err = ml_type_root(r->doc, name, out);
    while (!err && ml_any_next(&w, &key, &step)) {
        uint32_t index;

        if (ml_any_string(step, &name))
            err = ml_type_at_key(r->doc, *out, name, out);
        else if (ml_any_index(step, &index))
            err = ml_type_at_index(r->doc, *out, index, out);
        else
            err = ml_write_fail(r->doc, ML_EFORMAT, "a step of a path is a key or an index");
    }
    return err;
}

static enum ml_err enter_path(const struct op_reader *r, struct ml_slice any, struct ml_type *out)
{
    struct ml_slice text;

    if (ml_any_string(any, &text))
        return ml_type_at_path(r->doc, text, out);
    if (ml_any_tag(any) == ML_TAG_ARRAY)
        return enter_list_path(r, any, out);
    return ml_write_fail(r->doc, ML_EFORMAT, "an operation without path");
}

/* ---- Operations ------------------------------------------------------------------------------
 */

enum op_code {
    OP_TEXT_INSERT,
    OP_TEXT_EMBED,
    OP_TEXT_DELETE,
    OP_TEXT_FORMAT,
    OP_TEXT_REPLACE,
    OP_TEXT_DELTA,
    OP_TEXT_SET,
    OP_LIST_INSERT,
    OP_LIST_PUSH,
    OP_LIST_MOVE,
    OP_LIST_DELETE,
    OP_COUNTER_ADD,
    OP_MAP_SET,
    OP_MAP_DELETE,
    OP_MAP_CLEAR
};

#define ARGS_MAX 3

static const struct op_kind {
    struct ml_slice name;
    enum op_code code;
    struct ml_slice args[ARGS_MAX];
} op_kinds[] = {
    {NAME("text.insert"), OP_TEXT_INSERT, {NAME("index"), NAME("text"), NAME("attrs")}},
    {NAME("text.embed"), OP_TEXT_EMBED, {NAME("index"), NAME("embed"), NAME("attrs")}},
    {NAME("text.delete"), OP_TEXT_DELETE, {NAME("index"), NAME("length")}},
    {NAME("text.format"), OP_TEXT_FORMAT, {NAME("index"), NAME("length"), NAME("attrs")}},
    {NAME("text.replace"), OP_TEXT_REPLACE, {NAME("index"), NAME("length"), NAME("text")}},
    {NAME("text.delta"), OP_TEXT_DELTA, {NAME("delta")}},
    {NAME("text.set"), OP_TEXT_SET, {NAME("text")}},
    {NAME("array.insert"), OP_LIST_INSERT, {NAME("index"), NAME("values")}},
    {NAME("array.push"), OP_LIST_PUSH, {NAME("values")}},
    {NAME("array.move"), OP_LIST_MOVE, {NAME("index"), NAME("to")}},
    {NAME("array.delete"), OP_LIST_DELETE, {NAME("index"), NAME("length")}},
    {NAME("xml.insert"), OP_LIST_INSERT, {NAME("index"), NAME("nodes")}},
    {NAME("xml.delete"), OP_LIST_DELETE, {NAME("index"), NAME("length")}},
    {NAME("counter.add"), OP_COUNTER_ADD, {NAME("number")}},
    {NAME("map.set"), OP_MAP_SET, {NAME("key"), NAME("value")}},
    {NAME("map.delete"), OP_MAP_DELETE, {NAME("key")}},
    {NAME("map.clear"), OP_MAP_CLEAR, {{0}}},
    {NAME("attr.set"), OP_MAP_SET, {NAME("key"), NAME("value")}},
    {NAME("attr.remove"), OP_MAP_DELETE, {NAME("key")}},
};

#define OP_KINDS (sizeof op_kinds / sizeof *op_kinds)

struct op {
    const struct op_kind *kind;
    struct ml_type type;
    struct ml_slice args[ARGS_MAX];
};

static enum ml_err find_kind(const struct op_reader *r, struct ml_slice any, struct op *op)
{
    struct ml_slice name;

    if (!ml_any_string(any, &name))
        return ml_write_fail(r->doc, ML_EFORMAT, "an operation without name");
    for (size_t k = 0; k < OP_KINDS; k++) {
        if (ml_slice_equal(op_kinds[k].name, name)) {
            op->kind = &op_kinds[k];
            return ML_OK;
        }
    }
    return ml_write_fail(r->doc, ML_EFORMAT, "no such operation");
}

static enum ml_err read_op(const struct op_reader *r, struct ml_slice any, struct op *op)
{
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_slice key, value = {0}, path = {0};
    enum ml_err err;

    *op = (struct op){0};
    if (w.is_object) {
        err = find_kind(r, ml_any_member(any, ML_SLICE("op")), op);
        if (err)
            return err;
        path = ml_any_member(any, ML_SLICE("path"));
        for (int i = 0; i < ARGS_MAX; i++)
            if (op->kind->args[i].len)
                op->args[i] = ml_any_member(any, op->kind->args[i]);
    } else {
        (void)ml_any_next(&w, &key, &value);
        err = find_kind(r, value, op);
        if (err)
            return err;
        (void)ml_any_next(&w, &key, &path);
        for (int i = 0; i < ARGS_MAX && ml_any_next(&w, &key, &value); i++)
            op->args[i] = value;
    }
    /* A counter may begin with the first addition. */
    if (op->kind->code == OP_COUNTER_ADD && ml_any_string(path, &key))
        return ml_map_at_path(r->doc, key, &op->type);
    return enter_path(r, path, &op->type);
}

static enum ml_err run_text_op(const struct op_reader *r, const struct op *op)
{
    struct ml_delta_op *delta;
    const struct ml_attrs *attrs = NULL;
    struct ml_slice text;
    struct ml_value embed;
    uint32_t index, len;
    size_t count;
    enum ml_err err;

    if (op->kind->code == OP_TEXT_DELTA) {
        err = read_delta(r, op->args[0], &delta, &count);
        return err ? err : ml_text_apply_delta(r->doc, op->type, delta, count);
    }
    if (op->kind->code == OP_TEXT_SET)
        return ml_any_string(op->args[0], &text) ? ml_text_set(r->doc, op->type, text)
                                                 : ml_write_fail(r->doc, ML_EFORMAT, "no text");
    if (!ml_any_index(op->args[0], &index))
        return ml_write_fail(r->doc, ML_EFORMAT, "no index");
    if (op->kind->code == OP_TEXT_REPLACE) {
        if (!ml_any_index(op->args[1], &len))
            return ml_write_fail(r->doc, ML_EFORMAT, "no length");
        return ml_any_string(op->args[2], &text)
                   ? ml_text_replace(r->doc, op->type, index, len, text)
                   : ml_write_fail(r->doc, ML_EFORMAT, "no text");
    }
    err = read_attrs(r, op->args[2], &attrs);
    if (err)
        return err;
    if (op->kind->code == OP_TEXT_INSERT)
        return ml_any_string(op->args[1], &text)
                   ? ml_text_insert(r->doc, op->type, index, text, attrs)
                   : ml_write_fail(r->doc, ML_EFORMAT, "no text");
    if (op->kind->code == OP_TEXT_EMBED) {
        err = read_value(r, op->args[1], 0, &embed);
        return err ? err : ml_text_embed(r->doc, op->type, index, &embed, attrs);
    }
    if (!ml_any_index(op->args[1], &len))
        return ml_write_fail(r->doc, ML_EFORMAT, "no length");
    return op->kind->code == OP_TEXT_DELETE ? ml_text_delete(r->doc, op->type, index, len)
                                            : ml_text_format(r->doc, op->type, index, len, attrs);
}

static enum ml_err run_list_op(const struct op_reader *r, const struct op *op)
{
    bool is_push = op->kind->code == OP_LIST_PUSH;
    const struct ml_value *values = NULL;
    uint32_t index = 0, len;
    size_t count;
    enum ml_err err;

    if (!is_push && !ml_any_index(op->args[0], &index))
        return ml_write_fail(r->doc, ML_EFORMAT, "no index");
    if (op->kind->code == OP_LIST_MOVE)
        return ml_any_index(op->args[1], &len) ? ml_list_move(r->doc, op->type, index, len)
                                               : ml_write_fail(r->doc, ML_EFORMAT, "no index");
    if (op->kind->code == OP_LIST_DELETE)
        return ml_any_index(op->args[1], &len) ? ml_list_delete(r->doc, op->type, index, len)
                                               : ml_write_fail(r->doc, ML_EFORMAT, "no length");
    err = read_values(r, op->args[is_push ? 0 : 1], 0, &values, &count);
    if (err)
        return err;
    return is_push ? ml_list_push(r->doc, op->type, values, count)
                   : ml_list_insert(r->doc, op->type, index, values, count);
}

static enum ml_err run_map_op(const struct op_reader *r, const struct op *op)
{
    struct ml_value value;
    struct ml_slice key;
    enum ml_err err;

    if (op->kind->code == OP_MAP_CLEAR)
        return ml_map_clear(r->doc, op->type);
    if (!ml_any_string(op->args[0], &key))
        return ml_write_fail(r->doc, ML_EFORMAT, "no key");
    if (op->kind->code == OP_MAP_DELETE)
        return ml_map_delete(r->doc, op->type, key);
    err = read_value(r, op->args[1], 0, &value);
    return err ? err : ml_map_set(r->doc, op->type, key, &value);
}

static enum ml_err run_counter_op(const struct op_reader *r, const struct op *op)
{
    double more;

    return ml_any_number(op->args[0], &more) ? ml_counter_add(r->doc, op->type, more)
                                             : ml_write_fail(r->doc, ML_EFORMAT, "no number");
}

static enum ml_err run_op(const struct op_reader *r, struct ml_slice any)
{
    struct op op;
    enum ml_err err = read_op(r, any, &op);

    if (err)
        return err;
    if (op.kind->code <= OP_TEXT_SET)
        return run_text_op(r, &op);
    if (op.kind->code == OP_COUNTER_ADD)
        return run_counter_op(r, &op);
    return op.kind->code <= OP_LIST_DELETE ? run_list_op(r, &op) : run_map_op(r, &op);
}

static enum ml_err check_ops(const struct ml_doc *doc, struct ml_slice ops, struct ml_diag *diag)
{
    struct ml_reader in = ml_reader_make(ops);
    enum ml_err err = ml_any_skip(&in, doc->limits.any_depth + doc->limits.type_depth);

    if (err || ml_reader_left(&in) || ml_any_tag(ops) != ML_TAG_ARRAY)
        return ml_diag_set(diag, err ? err : ML_EFORMAT, ml_reader_offset(&in),
                           "operations are a list, one Any");
    return ML_OK;
}

enum ml_err ml_doc_run_ops(struct ml_doc *doc, struct ml_slice ops, struct ml_arena *scratch,
                           struct ml_diag *diag, const struct ml_change **change_out)
{
    struct ml_diag why = {0};
    struct op_reader reader = {doc, scratch};
    struct ml_any_walk w;
    struct ml_slice key, op;
    size_t number = 0;
    enum ml_err err = check_ops(doc, ops, diag);

    if (!err)
        err = ml_doc_begin(doc, &why);
    if (err)
        return err;
    w = ml_any_walk(ops);
    while (!err && ml_any_next(&w, &key, &op)) {
        number++;
        err = run_op(&reader, op);
    }
    if (!err)
        return ml_doc_commit(doc, scratch, change_out);
    ml_doc_rollback(doc);
    return ml_diag_set(diag, err, 0, "operation %zu: %.180s", number, why.text);
}

enum ml_err ml_doc_run_op(struct ml_doc *doc, struct ml_slice op, struct ml_arena *scratch)
{
    struct op_reader reader = {doc, scratch};
    struct ml_reader in = ml_reader_make(op);
    enum ml_err err = ml_any_skip(&in, doc->limits.any_depth + doc->limits.type_depth);

    if (err || ml_reader_left(&in))
        return ml_write_fail(doc, err ? err : ML_EFORMAT, "an operation is one Any");
    return run_op(&reader, op);
}

enum ml_err ml_any_from_json(struct ml_slice json, const struct ml_engine_limits *limits,
                             struct ml_writer *out)
{
    struct ml_engine_limits all = ml_limits_resolve(limits);
    enum ml_err err = ml_json_to_any(json, all.any_depth, out);

    return err ? err : out->err;
}
