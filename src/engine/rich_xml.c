/* SPDX-License-Identifier: MIT */
/*
 * An XML root as ProseMirror and Tiptap fill it: elements are nodes of the schema, texts carry
 * marks as formats. Names are those of prosemirror-schema-basic and -list, of Tiptap's extensions,
 * and of HTML; elements with other names are only what is in them.
 */
#include "engine/any.h"
#include "engine/rich.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 32

struct builder {
    const struct ml_doc *doc;
    struct ml_arena *arena;
    size_t max_bytes;
    uint32_t depth;
};

static const struct {
    const char *name; /* lower case, without _ and - */
    enum ml_rich_kind kind;
    uint8_t level;
} elements[] = {
    {"paragraph", ML_RICH_PARAGRAPH, 0},
    {"p", ML_RICH_PARAGRAPH, 0},
    {"heading", ML_RICH_HEADING, 0},
    {"h1", ML_RICH_HEADING, 1},
    {"h2", ML_RICH_HEADING, 2},
    {"h3", ML_RICH_HEADING, 3},
    {"h4", ML_RICH_HEADING, 4},
    {"h5", ML_RICH_HEADING, 5},
    {"h6", ML_RICH_HEADING, 6},
    {"blockquote", ML_RICH_QUOTE, 0},
    {"bulletlist", ML_RICH_BULLETS, 0},
    {"ul", ML_RICH_BULLETS, 0},
    {"tasklist", ML_RICH_BULLETS, 0},
    {"orderedlist", ML_RICH_NUMBERS, 0},
    {"ol", ML_RICH_NUMBERS, 0},
    {"listitem", ML_RICH_ITEM, 0},
    {"li", ML_RICH_ITEM, 0},
    {"taskitem", ML_RICH_ITEM, 1},
    {"codeblock", ML_RICH_CODE, 0},
    {"pre", ML_RICH_CODE, 0},
    {"horizontalrule", ML_RICH_RULE, 0},
    {"hr", ML_RICH_RULE, 0},
    {"table", ML_RICH_TABLE, 0},
    {"tablerow", ML_RICH_ROW, 0},
    {"tr", ML_RICH_ROW, 0},
    {"tablecell", ML_RICH_CELL, 0},
    {"td", ML_RICH_CELL, 0},
    {"tableheader", ML_RICH_HEADER_CELL, 0},
    {"th", ML_RICH_HEADER_CELL, 0},
    {"hardbreak", ML_RICH_BREAK, 0},
    {"br", ML_RICH_BREAK, 0},
    {"image", ML_RICH_IMAGE, 0},
    {"img", ML_RICH_IMAGE, 0},
};

/* Index in `elements`; their number: an unknown name. */
static size_t element_of(struct ml_slice name)
{
    const size_t count = sizeof elements / sizeof *elements;
    char plain[NAME_MAX_BYTES];
    size_t len = 0, i = 0;

    for (size_t k = 0; k < name.len; k++) {
        uint8_t c = name.ptr[k];

        if (c == '_' || c == '-')
            continue;
        if (len == sizeof plain)
            return count;
        plain[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    while (i < count && !ml_slice_equal(ml_slice_make(plain, len), ml_slice_str(elements[i].name)))
        i++;
    return i;
}

/* The attribute as an Any; .ptr NULL: it is not there, or not a plain value. */
static struct ml_slice attribute(struct builder *b, uint32_t branch, const char *name)
{
    struct ml_slice wanted = ml_slice_str(name), found = {0};
    struct ml_view_entry *entry;
    size_t count;

    if (ml_view_entries(b->doc, branch, &entry, &count))
        return found;
    for (size_t i = 0; i < count; i++) {
        const struct ml_item *item = ml_item_at(b->doc, entry[i].item);
        struct ml_reader r;

        if (!ml_slice_equal(entry[i].key, wanted) || ml_item_kind(item) != ML_WIRE_ANY ||
            !ml_item_has_bytes(item))
            continue;
        r = ml_reader_make(ml_item_content(b->doc, item));
        for (uint32_t k = 0; k < item->len; k++)
            if (!ml_rich_next(&r, NULL, &found))
                found = ml_slice_make(NULL, 0);
    }
    free(entry);
    return found;
}

static struct ml_slice text_attribute(struct builder *b, uint32_t branch, const char *name)
{
    struct ml_slice text;

    return ml_rich_string(attribute(b, branch, name), &text) ? text : ml_slice_make("", 0);
}

/* ---- text ------------------------------------------------------------------------------------ */

static enum ml_err add_text(struct builder *b, uint32_t branch, struct ml_rich *parent)
{
    struct ml_slice delta, op;
    struct ml_reader r;
    uint64_t count;
    enum ml_err err = ml_rich_delta(b->doc, branch, b->max_bytes, b->arena, &delta);

    if (err || !ml_rich_open(delta, false, &r, &count))
        return err;
    while (count-- && ml_rich_next(&r, NULL, &op)) {
        struct ml_slice insert, attributes = {0}, text, url;
        unsigned marks;

        (void)ml_rich_member(op, "attributes", &attributes);
        marks = ml_rich_marks(attributes, &url);
        if (ml_rich_member(op, "insert", &insert) && ml_rich_string(insert, &text) &&
            !ml_rich_add_text(b->arena, parent, text, marks, url))
            return ML_ELIMIT;
    }
    return ML_OK;
}

/* ---- elements -------------------------------------------------------------------------------- */

static void fill(struct builder *b, uint32_t branch, size_t element, struct ml_rich *node)
{
    struct ml_slice value;
    uint32_t level;

    switch (node->kind) {
    case ML_RICH_HEADING:
        level = elements[element].level ? elements[element].level
                                        : ml_rich_number(attribute(b, branch, "level"), 1);
        node->level = level < 1 ? 1 : level > 6 ? 6 : level;
        break;
    case ML_RICH_NUMBERS:
        value = attribute(b, branch, "start");
        node->level = ml_rich_number(value.ptr ? value : attribute(b, branch, "order"), 1);
        break;
    case ML_RICH_ITEM:
        value = attribute(b, branch, "checked");
        if (elements[element].level)
            node->check = ml_rich_is_true(value) ? ML_CHECK_DONE : ML_CHECK_OPEN;
        break;
    case ML_RICH_CODE:
        node->text = ml_rich_word(text_attribute(b, branch, "language"));
        if (!node->text.len)
            node->text = ml_rich_word(text_attribute(b, branch, "params"));
        break;
    case ML_RICH_IMAGE:
        node->url = ml_rich_url(text_attribute(b, branch, "src"), true);
        node->text = text_attribute(b, branch, "alt");
        break;
    default:
        break;
    }
}

static bool is_leaf(enum ml_rich_kind kind)
{
    return kind == ML_RICH_RULE || kind == ML_RICH_BREAK || kind == ML_RICH_IMAGE;
}

/* A mention has no text in it: its label says what is to be seen. */
static enum ml_err add_label(struct builder *b, uint32_t branch, struct ml_rich *parent)
{
    struct ml_slice label = text_attribute(b, branch, "label");

    if (!label.len)
        label = text_attribute(b, branch, "id");
    if (label.len && (!ml_rich_add_text(b->arena, parent, ML_SLICE("@"), 0, ML_SLICE("")) ||
                      !ml_rich_add_text(b->arena, parent, label, 0, ML_SLICE(""))))
        return ML_ELIMIT;
    return ML_OK;
}

static enum ml_err add_children(struct builder *b, uint32_t branch, struct ml_rich *parent);

static enum ml_err add_element(struct builder *b, uint32_t branch, struct ml_rich *parent)
{
    const struct ml_branch *at = ml_branch_at(b->doc, branch);
    struct ml_slice name =
        at->is_root || at->name == NIL ? ML_SLICE("") : ml_name_text(b->doc, at->name);
    size_t element = element_of(name);
    struct ml_rich *node = parent;

    if (ml_slice_equal(name, ML_SLICE("mention")))
        return add_label(b, branch, parent);
    if (element < sizeof elements / sizeof *elements && b->depth < ML_RICH_DEPTH_MAX) {
        node = ml_rich_add(b->arena, parent, elements[element].kind);
        if (!node)
            return ML_ELIMIT;
        fill(b, branch, element, node);
        if (is_leaf(node->kind))
            return ML_OK;
    }
    return add_children(b, branch, node);
}

static enum ml_err add_type(struct builder *b, uint32_t branch, struct ml_rich *parent)
{
    switch (ml_branch_at(b->doc, branch)->type_ref) {
    case ML_TYPE_XML_ELEMENT:
        return add_element(b, branch, parent);
    case ML_TYPE_XML_TEXT:
    case ML_TYPE_TEXT:
        return add_text(b, branch, parent);
    case ML_TYPE_XML_FRAGMENT:
        return add_children(b, branch, parent);
    default:
        return ML_OK;
    }
}

static enum ml_err add_children(struct builder *b, uint32_t branch, struct ml_rich *parent)
{
    enum ml_err err = ML_OK;

    if (b->depth == ML_VIEW_DEPTH_MAX)
        return ML_ELIMIT;
    b->depth++;
    ML_VIEW_EACH(b->doc, branch, index)
    {
        const struct ml_item *item = ml_item_at(b->doc, index);

        if (ml_item_kind(item) == ML_WIRE_TYPE)
            err = add_type(b, item->off, parent);
        if (err)
            break;
    }
    b->depth--;
    return err;
}

enum ml_err ml_rich_from_xml(const struct ml_doc *doc, uint32_t branch, size_t max_bytes,
                             struct ml_arena *arena, struct ml_rich *root)
{
    struct builder b = {.doc = doc, .arena = arena, .max_bytes = max_bytes};

    return add_children(&b, branch, root);
}
