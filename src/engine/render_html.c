/* SPDX-License-Identifier: MIT */
/*
 * The tree as HTML: a fragment of plain elements, for mail, search engines and readers without
 * JavaScript. Text and attributes are escaped here, whatever they hold; addresses and words were
 * judged when the tree was made. No element of it runs anything.
 */
#include "engine/rich.h"

static void text(struct ml_writer *out, const char *literal)
{
    ml_write_bytes(out, ml_slice_str(literal));
}

/* Good between tags and between quotes. */
static void escaped(struct ml_writer *out, struct ml_slice from)
{
    static const char *const references[128] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
    size_t start = 0;

    for (size_t i = 0; i < from.len; i++) {
        uint8_t c = from.ptr[i];
        const char *reference = c < 128 ? references[c] : NULL;

        if (c < ' ' && c != '\n' && c != '\t')
            reference = "\xef\xbf\xbd"; /* no character of HTML */
        if (!reference)
            continue;
        ml_write_bytes(out, ml_slice_make(from.ptr + start, i - start));
        text(out, reference);
        start = i + 1;
    }
    ml_write_bytes(out, ml_slice_make(from.ptr + start, from.len - start));
}

static void attribute(struct ml_writer *out, const char *name, struct ml_slice value)
{
    text(out, " ");
    text(out, name);
    text(out, "=\"");
    escaped(out, value);
    text(out, "\"");
}

static void number(struct ml_writer *out, uint32_t value)
{
    char digits[10];
    size_t n = sizeof digits;

    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    ml_write_bytes(out, ml_slice_make(digits + n, sizeof digits - n));
}

/* ---- inside of a line ------------------------------------------------------------------------ */

static const char *const mark_tags[] = {"strong", "em", "u", "s", "sub", "sup", "mark", "code"};
#define MARK_COUNT (sizeof mark_tags / sizeof *mark_tags)

static void write_run(struct ml_writer *out, const struct ml_rich *run)
{
    if (run->url.len) {
        text(out, "<a");
        attribute(out, "href", run->url);
        text(out, " rel=\"noopener noreferrer nofollow\">");
    }
    for (size_t i = 0; i < MARK_COUNT; i++)
        if (run->marks & 1u << i) {
            text(out, "<");
            text(out, mark_tags[i]);
            text(out, ">");
        }
    escaped(out, run->text);
    for (size_t i = MARK_COUNT; i--;)
        if (run->marks & 1u << i) {
            text(out, "</");
            text(out, mark_tags[i]);
            text(out, ">");
        }
    if (run->url.len)
        text(out, "</a>");
}

static void write_image(struct ml_writer *out, const struct ml_rich *image)
{
    text(out, "<img");
    if (image->url.len)
        attribute(out, "src", image->url);
    attribute(out, "alt", image->text);
    text(out, ">");
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* What stands around the children; NULL: nothing, or something that depends on the node. */
static const struct {
    const char *open, *close;
} blocks[] = {
    [ML_RICH_GROUP] = {NULL, NULL},
    [ML_RICH_PARAGRAPH] = {"<p>", "</p>\n"},
    [ML_RICH_HEADING] = {NULL, NULL},
    [ML_RICH_QUOTE] = {"<blockquote>\n", "</blockquote>\n"},
    [ML_RICH_BULLETS] = {"<ul>\n", "</ul>\n"},
    [ML_RICH_NUMBERS] = {NULL, "</ol>\n"},
    [ML_RICH_ITEM] = {"<li>", "</li>\n"},
    [ML_RICH_CODE] = {NULL, "</code></pre>\n"},
    [ML_RICH_RULE] = {"<hr>\n", NULL},
    [ML_RICH_TABLE] = {"<table>\n", "</table>\n"},
    [ML_RICH_ROW] = {"<tr>", "</tr>\n"},
    [ML_RICH_CELL] = {"<td>", "</td>"},
    [ML_RICH_HEADER_CELL] = {"<th>", "</th>"},
};

static void open_block(struct ml_writer *out, const struct ml_rich *node)
{
    if (blocks[node->kind].open)
        text(out, blocks[node->kind].open);
    switch (node->kind) {
    case ML_RICH_HEADING:
        text(out, "<h");
        number(out, node->level);
        text(out, ">");
        break;
    case ML_RICH_NUMBERS:
        text(out, "<ol");
        if (node->level != 1) {
            text(out, " start=\"");
            number(out, node->level);
            text(out, "\"");
        }
        text(out, ">\n");
        break;
    case ML_RICH_ITEM:
        if (node->check)
            text(out, node->check == ML_CHECK_DONE ? "<input type=\"checkbox\" disabled checked> "
                                                   : "<input type=\"checkbox\" disabled> ");
        break;
    case ML_RICH_CODE:
        text(out, "<pre><code");
        if (node->text.len) {
            text(out, " class=\"language-");
            escaped(out, node->text);
            text(out, "\"");
        }
        text(out, ">");
        break;
    default:
        break;
    }
}

static void close_block(struct ml_writer *out, const struct ml_rich *node)
{
    if (blocks[node->kind].close)
        text(out, blocks[node->kind].close);
    if (node->kind == ML_RICH_HEADING) {
        text(out, "</h");
        number(out, node->level);
        text(out, ">\n");
    }
}

/* Marks mean nothing inside of code. */
static void write_code(struct ml_writer *out, const struct ml_rich *node)
{
    for (const struct ml_rich *child = node->first; child; child = child->next) {
        if (child->kind == ML_RICH_BREAK)
            text(out, "\n");
        else
            escaped(out, child->kind == ML_RICH_TEXT ? child->text : ML_SLICE(""));
    }
}

/* An item of one paragraph is a line. */
static bool is_tight(const struct ml_rich *node)
{
    return node->kind == ML_RICH_ITEM && node->first && node->first->kind == ML_RICH_PARAGRAPH;
}

/* A node and, up to ML_RICH_DEPTH_MAX levels, what is in it. */
static void write_node(struct ml_writer *out, const struct ml_rich *node);

static void write_children(struct ml_writer *out, const struct ml_rich *node)
{
    for (const struct ml_rich *child = node->first; child && !out->err; child = child->next)
        if (child == node->first && is_tight(node)) {
            write_children(out, child);
            if (child->next)
                text(out, "\n");
        } else {
            write_node(out, child);
        }
}

static void write_node(struct ml_writer *out, const struct ml_rich *node)
{
    switch (node->kind) {
    case ML_RICH_TEXT:
        write_run(out, node);
        return;
    case ML_RICH_BREAK:
        text(out, "<br>");
        return;
    case ML_RICH_IMAGE:
        write_image(out, node);
        return;
    default:
        break;
    }
    open_block(out, node);
    if (node->kind == ML_RICH_CODE)
        write_code(out, node);
    else
        write_children(out, node);
    close_block(out, node);
}

void ml_rich_write_html(struct ml_writer *out, const struct ml_rich *root)
{
    write_node(out, root);
}
