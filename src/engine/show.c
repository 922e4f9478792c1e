/* SPDX-License-Identifier: MIT */
/*
 * An update for people: one line per struct and delete range.
 *
 *   string client=1 clock=0 len=3 root="t" "abc"
 *   deleted client=1 clock=3 len=2 origin=1:2
 *   delete client=1 clock=3 len=2
 *   {"kind":"string","client":1,"clock":0,"len":3,"root":"t","content":"abc"}      (JSON lines)
 */
#include <inttypes.h>
#include <stdio.h>

#include "engine/any.h"
#include "engine/codec_v1.h"

static const char *const kinds[ML_WIRE_KINDS] = {
    [ML_WIRE_GC] = "gc",         [ML_WIRE_DELETED] = "deleted", [ML_WIRE_JSON] = "json",
    [ML_WIRE_BINARY] = "binary", [ML_WIRE_STRING] = "string",   [ML_WIRE_EMBED] = "embed",
    [ML_WIRE_FORMAT] = "format", [ML_WIRE_TYPE] = "type",       [ML_WIRE_ANY] = "any",
    [ML_WIRE_DOC] = "doc",       [ML_WIRE_SKIP] = "skip",
};

static const char *const types[ML_TYPE_REFS] = {
    "array", "map", "text", "xml-element", "xml-fragment", "xml-hook", "xml-text",
};

#define PIECE_BYTES ((size_t)64 * 1024)

/* How the two layouts differ, and where lines go when there are enough of them. */
struct show {
    struct ml_writer *out;
    bool json;
    enum ml_err (*emit)(void *to, struct ml_slice lines); /* NULL: they stay in `out` */
    void *to;
};

static void put(struct show *w, const char *text)
{
    ml_write_bytes(w->out, ml_slice_str(text));
}

/* The name of a field and what stands between it and its value. */
static void put_name(struct show *w, const char *name)
{
    if (w->json) {
        put(w, ",\"");
        put(w, name);
        put(w, "\":");
    } else {
        put(w, " ");
        put(w, name);
        put(w, "=");
    }
}

static void put_number(struct show *w, const char *name, uint64_t value)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%" PRIu64, value);
    put_name(w, name);
    put(w, digits);
}

static void put_id(struct show *w, const char *name, const struct ml_id *id)
{
    char text[56];

    (void)snprintf(text, sizeof text,
                   w->json ? "[%" PRIu64 ",%" PRIu64 "]" : "%" PRIu64 ":%" PRIu64, id->client,
                   id->clock);
    put_name(w, name);
    put(w, text);
}

static void put_text(struct show *w, const char *name, struct ml_slice text)
{
    put_name(w, name);
    ml_write_json_string(w->out, text);
}

static void put_kind(struct show *w, const char *kind)
{
    if (w->json) {
        put(w, "{\"kind\":\"");
        put(w, kind);
        put(w, "\"");
    } else {
        put(w, kind);
    }
}

static void put_place(struct show *w, const struct ml_wire *s)
{
    if (ml_wire_has_origin(s))
        put_id(w, "origin", &s->origin);
    if (ml_wire_has_right_origin(s))
        put_id(w, "right", &s->right_origin);
    if (s->parent == ML_PARENT_ROOT)
        put_text(w, "root", s->root);
    else if (s->parent == ML_PARENT_ID)
        put_id(w, "parent", &s->parent_id);
    if (s->key.ptr)
        put_text(w, "key", s->key);
}

/* The elements of Any and JSON contents as one list. */
static enum ml_err put_elements(struct show *w, const struct ml_wire *s)
{
    struct ml_reader in = ml_reader_make(s->content);
    enum ml_err err = ML_OK;

    put(w, "[");
    for (uint64_t i = 0; i < s->len && !err && !w->out->err; i++) {
        struct ml_slice text;

        if (i)
            put(w, ",");
        if (s->kind == ML_WIRE_ANY) {
            err = ml_any_to_json(&in, ML_ANY_JSON_READABLE, w->out);
            continue;
        }
        err = ml_read_varbytes(&in, &text);
        if (!err && ml_slice_equal(text, ML_SLICE("undefined")))
            text = ML_SLICE("null");
        if (!err)
            ml_write_bytes(w->out, text);
    }
    put(w, "]");
    return err;
}

/* Behind the name that a Format or Doc begins with. */
static enum ml_err put_named(struct show *w, const struct ml_wire *s)
{
    struct ml_reader in = ml_reader_make(s->content);
    struct ml_slice name, text;
    enum ml_err err = ml_read_varbytes(&in, &name);

    if (err)
        return err;
    put_text(w, s->kind == ML_WIRE_DOC ? "guid" : "name", name);
    put_name(w, s->kind == ML_WIRE_DOC ? "options" : "value");
    if (s->kind == ML_WIRE_DOC)
        return ml_any_to_json(&in, ML_ANY_JSON_READABLE, w->out);
    err = ml_read_varbytes(&in, &text);
    if (!err)
        ml_write_bytes(w->out, text);
    return err;
}

static enum ml_err put_content(struct show *w, const struct ml_wire *s)
{
    switch (s->kind) {
    case ML_WIRE_STRING:
        put_text(w, "content", s->content);
        return ML_OK;
    case ML_WIRE_EMBED:
        put_name(w, "content");
        ml_write_bytes(w->out, s->content);
        return ML_OK;
    case ML_WIRE_BINARY:
        put_name(w, "content");
        ml_write_json_bytes(w->out, s->content);
        return ML_OK;
    case ML_WIRE_ANY:
    case ML_WIRE_JSON:
        put_name(w, "content");
        return put_elements(w, s);
    case ML_WIRE_FORMAT:
    case ML_WIRE_DOC:
        return put_named(w, s);
    case ML_WIRE_TYPE:
        put_text(w, "type", ml_slice_str(types[s->type_ref]));
        if (s->name.ptr)
            put_text(w, "name", s->name);
        return ML_OK;
    default:
        return ML_OK;
    }
}

static void put_range(struct show *w, const char *kind, ml_client_id client, uint64_t clock,
                      uint64_t len)
{
    put_kind(w, kind);
    put_number(w, "client", client);
    put_number(w, "clock", clock);
    put_number(w, "len", len);
}

static enum ml_err emit_lines(struct show *w)
{
    enum ml_err err = w->out->err;

    if (!err && w->emit && w->out->len)
        err = w->emit(w->to, ml_writer_slice(w->out));
    if (w->emit)
        ml_writer_reset(w->out);
    return err;
}

static enum ml_err end_line(struct show *w)
{
    put(w, w->json ? "}\n" : "\n");
    return w->out->len < PIECE_BYTES ? w->out->err : emit_lines(w);
}

static enum ml_err show(struct show *w, struct ml_slice update,
                        const struct ml_engine_limits *limits, struct ml_diag *diag)
{
    struct ml_wire_reader r;
    struct ml_wire s;
    struct ml_wire_range range;
    bool more;
    enum ml_err err = ml_wire_open(&r, update, limits, diag);

    if (err)
        return err;
    for (;;) {
        err = ml_wire_next(&r, &s, &more);
        if (err)
            return err;
        if (!more)
            break;
        put_range(w, kinds[s.kind], s.client, s.clock, s.len);
        put_place(w, &s);
        err = put_content(w, &s);
        if (!err)
            err = end_line(w);
        if (err)
            return err;
    }
    for (;;) {
        err = ml_wire_next_range(&r, &range, &more);
        if (err || !more)
            return err;
        put_range(w, "delete", range.client, range.clock, range.len);
        err = end_line(w);
        if (err)
            return err;
    }
}

enum ml_err ml_update_show(struct ml_slice update, bool json, const struct ml_engine_limits *limits,
                           struct ml_writer *out, struct ml_diag *diag)
{
    struct show w = {.out = out, .json = json};
    enum ml_err err = show(&w, update, limits, diag);

    return err ? err : out->err;
}

enum ml_err ml_update_show_lines(struct ml_slice update, bool json,
                                 const struct ml_engine_limits *limits,
                                 enum ml_err (*emit)(void *to, struct ml_slice lines), void *to,
                                 struct ml_diag *diag)
{
    struct ml_writer out;
    struct show w = {.out = &out, .json = json, .emit = emit, .to = to};
    enum ml_err err, last;

    /* One line holds one struct: a string may take six times its bytes. */
    ml_writer_init(&out, PIECE_BYTES * 2 + update.len * 7);
    err = show(&w, update, limits, diag);
    last = emit_lines(&w);
    ml_writer_release(&out);
    return err ? err : last;
}
