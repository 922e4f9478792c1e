/* SPDX-License-Identifier: MIT */
/* The tree of blocks: its nodes, what may stand in them, and the values they are made from. */
#include "engine/rich.h"

#include "engine/any.h"

#include <stdlib.h>
#include <strings.h>

#define ARENA_MAX (1u << 30)

struct ml_rich *ml_rich_add(struct ml_arena *arena, struct ml_rich *parent, enum ml_rich_kind kind)
{
    struct ml_rich *node = ml_arena_alloc(arena, sizeof *node);

    if (!node)
        return NULL;
    node->kind = kind;
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    return node;
}

bool ml_rich_add_text(struct ml_arena *arena, struct ml_rich *parent, struct ml_slice text,
                      unsigned marks, struct ml_slice url)
{
    struct ml_rich *last = parent->last, *node;

    if (!text.len)
        return true;
    if (last && last->kind == ML_RICH_TEXT && last->marks == marks &&
        ml_slice_equal(last->url, url) && last->text.ptr + last->text.len == text.ptr) {
        last->text.len += text.len;
        return true;
    }
    node = ml_rich_add(arena, parent, ML_RICH_TEXT);
    if (!node)
        return false;
    node->text = text;
    node->marks = marks;
    node->url = url;
    return true;
}

/* ---- what may be shown ----------------------------------------------------------------------- */

static bool has_prefix(struct ml_slice text, const char *prefix)
{
    size_t len = strlen(prefix);

    return text.len >= len && strncasecmp((const char *)text.ptr, prefix, len) == 0;
}

struct ml_slice ml_rich_url(struct ml_slice url, bool is_image)
{
    const struct ml_slice none = {(const uint8_t *)"", 0};

    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] == 0x7f || url.ptr[i] == '\\')
            return none;
    if (has_prefix(url, "https://") || has_prefix(url, "http://") ||
        (!is_image && has_prefix(url, "mailto:")))
        return url;
    if (has_prefix(url, "//"))
        return none;
    for (size_t i = 0; i < url.len; i++) {
        if (url.ptr[i] == '/' || url.ptr[i] == '?' || url.ptr[i] == '#')
            return url;
        /* A colon here ends a scheme; & could begin a character reference of one. */
        if (url.ptr[i] == ':' || url.ptr[i] == '&')
            return none;
    }
    return url;
}

struct ml_slice ml_rich_word(struct ml_slice text)
{
    if (text.len > 32)
        return ml_slice_make("", 0);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c && strchr("_+#.-", c))))
            return ml_slice_make("", 0);
    }
    return text;
}

/* ---- values ---------------------------------------------------------------------------------- */

bool ml_rich_open(struct ml_slice any, bool is_object, struct ml_reader *r, uint64_t *count_out)
{
    uint8_t tag;

    *r = ml_reader_make(any);
    return !ml_read_u8(r, &tag) && tag == (is_object ? 0x76 : 0x75) &&
           !ml_read_varuint(r, count_out);
}

bool ml_rich_next(struct ml_reader *r, struct ml_slice *key_out, struct ml_slice *value_out)
{
    const uint8_t *from;

    if (key_out && ml_read_varbytes(r, key_out))
        return false;
    from = r->pos;
    if (ml_any_skip(r, UINT32_MAX))
        return false;
    *value_out = ml_slice_make(from, (size_t)(r->pos - from));
    return true;
}

bool ml_rich_member(struct ml_slice any, const char *key, struct ml_slice *value_out)
{
    struct ml_slice wanted = ml_slice_str(key), name;
    struct ml_reader r;
    uint64_t count;

    if (!ml_rich_open(any, true, &r, &count))
        return false;
    while (count-- && ml_rich_next(&r, &name, value_out))
        if (ml_slice_equal(name, wanted))
            return true;
    return false;
}

bool ml_rich_string(struct ml_slice any, struct ml_slice *text_out)
{
    struct ml_reader r = ml_reader_make(any);
    uint8_t tag;

    return !ml_read_u8(&r, &tag) && tag == 0x77 && !ml_read_varbytes(&r, text_out);
}

static uint32_t decimal(struct ml_slice text, uint32_t otherwise)
{
    uint32_t value = 0;

    if (!text.len || text.len > 9)
        return otherwise;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return otherwise;
        value = value * 10 + (text.ptr[i] - '0');
    }
    return value;
}

uint32_t ml_rich_number(struct ml_slice any, uint32_t otherwise)
{
    struct ml_reader r = ml_reader_make(any);
    struct ml_slice text;
    uint64_t magnitude;
    bool negative;
    uint8_t tag;

    if (ml_rich_string(any, &text))
        return decimal(text, otherwise);
    if (ml_read_u8(&r, &tag) || tag != 0x7d || ml_read_varint(&r, &magnitude, &negative) ||
        negative || magnitude > 999999999)
        return otherwise;
    return (uint32_t)magnitude;
}

bool ml_rich_is_true(struct ml_slice any)
{
    struct ml_slice text;

    if (!any.len || any.ptr[0] == 0x79 || any.ptr[0] == 0x7e || any.ptr[0] == 0x7f)
        return false;
    if (ml_rich_string(any, &text))
        return text.len > 0;
    return any.ptr[0] != 0x7d || ml_rich_number(any, 1) != 0;
}

/* ---- marked text ----------------------------------------------------------------------------- */

enum ml_err ml_rich_delta(const struct ml_doc *doc, uint32_t branch, size_t max_bytes,
                          struct ml_arena *arena, struct ml_slice *any_out)
{
    struct ml_writer json, any;
    struct ml_viewer v = {.doc = doc, .out = &json};
    enum ml_err err;

    ml_writer_init(&json, max_bytes);
    ml_writer_init(&any, max_bytes);
    err = ml_view_delta(&v, branch);
    if (!err)
        err = ml_json_to_any(ml_writer_slice(&json), UINT32_MAX, &any);
    if (!err) {
        *any_out = ml_arena_copy(arena, ml_writer_slice(&any));
        err = any_out->ptr ? ML_OK : ML_ELIMIT;
    }
    ml_writer_release(&json);
    ml_writer_release(&any);
    return err;
}

/* y-prosemirror tells marks of one name apart by a hash behind two dashes. */
static struct ml_slice without_hash(struct ml_slice name)
{
    for (size_t i = 0; i + 1 < name.len; i++)
        if (name.ptr[i] == '-' && name.ptr[i + 1] == '-')
            return ml_slice_make(name.ptr, i);
    return name;
}

static unsigned mark_of(struct ml_slice name, struct ml_slice value)
{
    static const struct {
        const char *name;
        unsigned mark;
    } marks[] = {
        {"bold", ML_MARK_BOLD},
        {"strong", ML_MARK_BOLD},
        {"italic", ML_MARK_ITALIC},
        {"em", ML_MARK_ITALIC},
        {"underline", ML_MARK_UNDERLINE},
        {"strike", ML_MARK_STRIKE},
        {"strikethrough", ML_MARK_STRIKE},
        {"subscript", ML_MARK_SUB},
        {"superscript", ML_MARK_SUPER},
        {"highlight", ML_MARK_HIGHLIGHT},
        {"code", ML_MARK_CODE},
    };
    struct ml_slice text;

    if (!ml_rich_is_true(value))
        return 0;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (ml_slice_equal(name, ml_slice_str(marks[i].name)))
            return marks[i].mark;
    if (ml_slice_equal(name, ML_SLICE("script")) && ml_rich_string(value, &text))
        return ml_slice_equal(text, ML_SLICE("sub"))     ? ML_MARK_SUB
               : ml_slice_equal(text, ML_SLICE("super")) ? ML_MARK_SUPER
                                                         : 0;
    return 0;
}

unsigned ml_rich_marks(struct ml_slice attributes, struct ml_slice *url_out)
{
    struct ml_slice name, value, text;
    unsigned marks = 0;
    struct ml_reader r;
    uint64_t count;

    *url_out = ml_slice_make("", 0);
    if (!ml_rich_open(attributes, true, &r, &count))
        return 0;
    while (count-- && ml_rich_next(&r, &name, &value)) {
        name = without_hash(name);
        if (!ml_slice_equal(name, ML_SLICE("link")))
            marks |= mark_of(name, value);
        else if (ml_rich_string(value, &text) ||
                 (ml_rich_member(value, "href", &value) && ml_rich_string(value, &text)))
            *url_out = ml_rich_url(text, false);
    }
    return marks;
}

/* ---- the view -------------------------------------------------------------------------------- */

enum ml_err ml_view_rich(struct ml_viewer *v, uint32_t branch, enum ml_view view)
{
    struct ml_rich root = {.kind = ML_RICH_GROUP};
    enum ml_look look = ml_view_look(v->doc, branch);
    struct ml_arena arena;
    enum ml_err err;

    ml_arena_init(&arena, v->out->max < ARENA_MAX / 8 ? v->out->max * 8 : ARENA_MAX);
    if (look == ML_LOOK_TEXT)
        err = ml_rich_from_text(v->doc, branch, v->out->max, &arena, &root);
    else
        err = ml_rich_from_xml(v->doc, branch, v->out->max, &arena, &root);
    if (!err && view == ML_VIEW_HTML)
        ml_rich_write_html(v->out, &root);
    else if (!err)
        ml_rich_write_markdown(v->out, &root);
    ml_arena_release(&arena);
    return err ? err : v->out->err;
}
