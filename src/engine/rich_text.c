/* SPDX-License-Identifier: MIT */
/*
 * A text as Quill means it: a line's block stands in the attributes of its line feed.
 *
 *   {"insert":"To do"} {"insert":"\n","attributes":{"header":2}}
 *   {"insert":"milk"}  {"insert":"\n","attributes":{"list":"bullet","indent":1}}
 *
 * Lines of one kind that follow each other become one list, one quotation, one piece of code. A
 * text without any formats is paragraphs.
 */
#include "engine/rich.h"

#define INDENT_MAX 8

struct lines {
    struct ml_arena *arena;
    struct ml_rich *root;
    struct ml_rich line; /* what stands in the line so far */
};

/* The list at the end of `parent`, of this kind, or a new one. */
static struct ml_rich *list_at_end(struct lines *l, struct ml_rich *parent, enum ml_rich_kind kind,
                                   bool any_kind)
{
    struct ml_rich *last = parent->last;

    if (last && (last->kind == kind ||
                 (any_kind && (last->kind == ML_RICH_BULLETS || last->kind == ML_RICH_NUMBERS))))
        return last;
    last = ml_rich_add(l->arena, parent, kind);
    if (last)
        last->level = 1;
    return last;
}

/* An indented line stands in the item above it, however many levels are missing between. */
static struct ml_rich *add_item(struct lines *l, enum ml_rich_kind kind, uint32_t indent,
                                enum ml_rich_check check)
{
    struct ml_rich *parent = l->root, *list, *item;

    for (uint32_t depth = 0; depth < indent; depth++) {
        list = list_at_end(l, parent, kind, true);
        parent = list ? list->last : NULL;
        if (list && !parent)
            parent = ml_rich_add(l->arena, list, ML_RICH_ITEM);
        if (!parent)
            return NULL;
    }
    list = list_at_end(l, parent, kind, false);
    item = list ? ml_rich_add(l->arena, list, ML_RICH_ITEM) : NULL;
    if (!item)
        return NULL;
    item->check = check;
    return ml_rich_add(l->arena, item, ML_RICH_PARAGRAPH);
}

static struct ml_rich *add_list_line(struct lines *l, struct ml_slice kind, uint32_t indent)
{
    if (indent > INDENT_MAX)
        indent = INDENT_MAX;
    if (ml_slice_equal(kind, ML_SLICE("ordered")))
        return add_item(l, ML_RICH_NUMBERS, indent, ML_CHECK_NONE);
    return add_item(l, ML_RICH_BULLETS, indent,
                    ml_slice_equal(kind, ML_SLICE("checked"))     ? ML_CHECK_DONE
                    : ml_slice_equal(kind, ML_SLICE("unchecked")) ? ML_CHECK_OPEN
                                                                  : ML_CHECK_NONE);
}

/* The block that this line goes into. NULL: out of memory. */
static struct ml_rich *block_of_line(struct lines *l, struct ml_slice attributes)
{
    struct ml_slice value, text = {0};
    struct ml_rich *last = l->root->last;

    if (ml_rich_member(attributes, "list", &value) && ml_rich_string(value, &text)) {
        uint32_t indent =
            ml_rich_member(attributes, "indent", &value) ? ml_rich_number(value, 0) : 0;

        return add_list_line(l, text, indent);
    }
    if (ml_rich_member(attributes, "header", &value) && ml_rich_number(value, 0)) {
        uint32_t level = ml_rich_number(value, 1);

        last = ml_rich_add(l->arena, l->root, ML_RICH_HEADING);
        if (last)
            last->level = level > 6 ? 6 : level;
        return last;
    }
    if (ml_rich_member(attributes, "code-block", &value) && ml_rich_is_true(value)) {
        if (last && last->kind == ML_RICH_CODE)
            return ml_rich_add_text(l->arena, last, ML_SLICE("\n"), 0, ML_SLICE("")) ? last : NULL;
        last = ml_rich_add(l->arena, l->root, ML_RICH_CODE);
        if (last && ml_rich_string(value, &text))
            last->text = ml_rich_word(text);
        return last;
    }
    if (ml_rich_member(attributes, "blockquote", &value) && ml_rich_is_true(value)) {
        if (!last || last->kind != ML_RICH_QUOTE)
            last = ml_rich_add(l->arena, l->root, ML_RICH_QUOTE);
        return last ? ml_rich_add(l->arena, last, ML_RICH_PARAGRAPH) : NULL;
    }
    return ml_rich_add(l->arena, l->root, ML_RICH_PARAGRAPH);
}

static enum ml_err end_line(struct lines *l, struct ml_slice attributes)
{
    struct ml_rich *block = block_of_line(l, attributes);

    if (!block)
        return ML_ELIMIT;
    if (l->line.first) {
        if (block->last)
            block->last->next = l->line.first;
        else
            block->first = l->line.first;
        block->last = l->line.last;
    }
    l->line.first = l->line.last = NULL;
    return ML_OK;
}

static enum ml_err add_string(struct lines *l, struct ml_slice text, struct ml_slice attributes)
{
    struct ml_slice url;
    unsigned marks = ml_rich_marks(attributes, &url);

    while (text.len) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        enum ml_err err = ML_OK;

        if (!ml_rich_add_text(l->arena, &l->line, ml_slice_make(text.ptr, len), marks, url))
            return ML_ELIMIT;
        if (end)
            err = end_line(l, attributes);
        if (err)
            return err;
        text = ml_slice_make(text.ptr + len + (end ? 1 : 0), text.len - len - (end ? 1 : 0));
    }
    return ML_OK;
}

static enum ml_err add_embed(struct lines *l, struct ml_slice embed)
{
    struct ml_slice value, text;
    struct ml_rich *node;

    if (ml_rich_member(embed, "image", &value) && ml_rich_string(value, &text) &&
        ml_rich_url(text, true).len) {
        node = ml_rich_add(l->arena, &l->line, ML_RICH_IMAGE);
        if (!node)
            return ML_ELIMIT;
        node->url = text;
        return ML_OK;
    }
    if (!ml_rich_member(embed, "divider", &value))
        return ML_OK; /* nobody here knows how it looks */
    if (l->line.first && end_line(l, ML_SLICE("")))
        return ML_ELIMIT;
    return ml_rich_add(l->arena, l->root, ML_RICH_RULE) ? ML_OK : ML_ELIMIT;
}

enum ml_err ml_rich_from_text(const struct ml_doc *doc, uint32_t branch, size_t max_bytes,
                              struct ml_arena *arena, struct ml_rich *root)
{
    struct lines l = {.arena = arena, .root = root};
    struct ml_slice delta, op;
    struct ml_reader r;
    uint64_t count;
    enum ml_err err = ml_rich_delta(doc, branch, max_bytes, arena, &delta);

    if (err || !ml_rich_open(delta, false, &r, &count))
        return err;
    while (!err && count-- && ml_rich_next(&r, NULL, &op)) {
        struct ml_slice insert, attributes = {0}, text;

        (void)ml_rich_member(op, "attributes", &attributes);
        if (!ml_rich_member(op, "insert", &insert))
            continue;
        err = ml_rich_string(insert, &text) ? add_string(&l, text, attributes)
                                            : add_embed(&l, insert);
    }
    if (!err && l.line.first)
        err = end_line(&l, ML_SLICE(""));
    return err;
}
