/* SPDX-License-Identifier: MIT */
/*
 * The tree as Markdown: CommonMark with the tables, task lists and strike-through of GFM. What
 * looks like markup in text is escaped, so that a reader of Markdown sees the words that were
 * written, and no HTML of the text survives as HTML.
 *
 * Marks are opened and closed as they change from run to run, in one order; blanks at the edges
 * move outside, since `** bold**` is not bold.
 *
 *   every line begins with `prefix`: "> " of quotations, blanks under a list item
 */
#include "engine/rich.h"

#include <string.h>

/* Of one line: two or four columns per level, and no more than this. */
#define PREFIX_MAX (6 * ML_RICH_DEPTH_MAX)

struct markdown {
    struct ml_writer *out;
    char prefix[PREFIX_MAX];
    size_t prefix_len;
    bool at_start; /* of a line's content: some characters mean more there */
    bool in_table;
    unsigned open; /* marks in force */
    struct ml_slice url;
    struct ml_slice blanks; /* of the run before, not written yet */
};

static void text(struct markdown *m, const char *literal)
{
    ml_write_bytes(m->out, ml_slice_str(literal));
}

static void new_line(struct markdown *m)
{
    ml_write_u8(m->out, '\n');
    ml_write_bytes(m->out, ml_slice_make(m->prefix, m->prefix_len));
    m->at_start = true;
}

/* An empty line: without blanks at its end. */
static void blank_line(struct markdown *m)
{
    size_t len = m->prefix_len;

    ml_write_u8(m->out, '\n');
    while (len && m->prefix[len - 1] == ' ')
        len--;
    ml_write_bytes(m->out, ml_slice_make(m->prefix, len));
    new_line(m);
}

/* False: too deep, nothing was added. */
static bool push(struct markdown *m, const char *more)
{
    size_t len = strlen(more);

    if (m->prefix_len + len > PREFIX_MAX)
        return false;
    memcpy(m->prefix + m->prefix_len, more, len);
    m->prefix_len += len;
    return true;
}

/* ---- inside of a line ------------------------------------------------------------------------ */

static bool is_special(struct markdown *m, uint8_t c)
{
    if (c && strchr("\\`*_[]<>~&", c))
        return true;
    if (c == '|' && m->in_table)
        return true;
    return m->at_start && c && strchr("#+-=>|:", c);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* `1.` at the beginning of a line is a list. Answers the digits before the stop; 0: none. */
static size_t list_number(struct ml_slice s)
{
    size_t n = 0;

    while (n < s.len && is_digit(s.ptr[n]))
        n++;
    return n && n < s.len && (s.ptr[n] == '.' || s.ptr[n] == ')') ? n : 0;
}

static void escaped(struct markdown *m, struct ml_slice from)
{
    for (size_t i = 0; i < from.len; i++) {
        uint8_t c = from.ptr[i];
        size_t digits = m->at_start ? list_number(ml_slice_make(from.ptr + i, from.len - i)) : 0;

        if (digits) {
            ml_write_bytes(m->out, ml_slice_make(from.ptr + i, digits));
            ml_write_u8(m->out, '\\');
            ml_write_u8(m->out, from.ptr[i + digits]);
            i += digits;
        } else if (c == '\n') {
            m->in_table ? text(m, "<br>") : new_line(m);
            continue;
        } else if (m->at_start && (c == ' ' || c == '\t')) {
            text(m, "&#32;"); /* neither code nor nothing */
        } else if (c < ' ') {
            text(m, c == '\t' ? " " : "\xef\xbf\xbd");
        } else {
            if (is_special(m, c))
                ml_write_u8(m->out, '\\');
            ml_write_u8(m->out, c);
        }
        m->at_start = false;
    }
}

/* An address between parentheses. */
static void address(struct markdown *m, struct ml_slice url)
{
    for (size_t i = 0; i < url.len; i++) {
        uint8_t c = url.ptr[i];

        switch (c) {
        case '(':
            text(m, "%28");
            break;
        case ')':
            text(m, "%29");
            break;
        case '<':
            text(m, "%3C");
            break;
        case '>':
            text(m, "%3E");
            break;
        case '|':
            text(m, "%7C");
            break;
        default:
            ml_write_u8(m->out, c);
        }
    }
}

/* Longest run of backticks in it. */
static size_t longest_ticks(struct ml_slice s)
{
    size_t longest = 0, run = 0;

    for (size_t i = 0; i < s.len; i++) {
        run = s.ptr[i] == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static void ticks(struct markdown *m, size_t count)
{
    while (count--)
        ml_write_u8(m->out, '`');
}

/* Code is not escaped but fenced; line feeds are blanks in it. */
static void write_code_span(struct markdown *m, struct ml_slice code)
{
    size_t fence = longest_ticks(code) + 1;
    bool needs_blanks = code.len && (code.ptr[0] == '`' || code.ptr[code.len - 1] == '`');

    ticks(m, fence);
    if (needs_blanks)
        ml_write_u8(m->out, ' ');
    for (size_t i = 0; i < code.len; i++) {
        if (code.ptr[i] == '|' && m->in_table)
            ml_write_u8(m->out, '\\');
        ml_write_u8(m->out, code.ptr[i] == '\n' ? ' ' : code.ptr[i]);
    }
    if (needs_blanks)
        ml_write_u8(m->out, ' ');
    ticks(m, fence);
    m->at_start = false;
}

static const struct {
    unsigned mark;
    const char *open, *close;
} marks[] = {
    {ML_MARK_BOLD, "**", "**"},
    {ML_MARK_ITALIC, "*", "*"},
    {ML_MARK_UNDERLINE, "<u>", "</u>"},
    {ML_MARK_STRIKE, "~~", "~~"},
    {ML_MARK_SUB, "<sub>", "</sub>"},
    {ML_MARK_SUPER, "<sup>", "</sup>"},
    {ML_MARK_HIGHLIGHT, "<mark>", "</mark>"},
};
#define MARK_COUNT (sizeof marks / sizeof *marks)
#define ALL_MARKS  (~0u)

/* Close the marks from `from` on, the innermost first; the link is the outermost. */
static void close_from(struct markdown *m, size_t from, bool link_too)
{
    for (size_t i = MARK_COUNT; i-- > from;)
        if (m->open & marks[i].mark) {
            text(m, marks[i].close);
            m->open &= ~marks[i].mark;
        }
    if (link_too && m->url.len) {
        text(m, "](");
        address(m, m->url);
        text(m, ")");
        m->url = ml_slice_make("", 0);
    }
}

static void flush_blanks(struct markdown *m)
{
    ml_write_bytes(m->out, m->blanks);
    m->blanks = ml_slice_make("", 0);
}

/* From the marks in force to these. */
static void change_marks(struct markdown *m, unsigned wanted, struct ml_slice url)
{
    bool link_changes = !ml_slice_equal(m->url, url);
    size_t from = 0;

    while (!link_changes && from < MARK_COUNT &&
           (m->open & marks[from].mark) == (wanted & marks[from].mark))
        from++;
    if (!link_changes && from == MARK_COUNT) {
        flush_blanks(m);
        return;
    }
    close_from(m, from, link_changes);
    flush_blanks(m);
    if (link_changes && url.len) {
        text(m, "[");
        m->url = url;
        m->at_start = false;
    }
    for (size_t i = 0; i < MARK_COUNT; i++)
        if ((wanted & marks[i].mark) && !(m->open & marks[i].mark)) {
            text(m, marks[i].open);
            m->open |= marks[i].mark;
            m->at_start = false;
        }
}

static void end_marks(struct markdown *m)
{
    close_from(m, 0, true);
    m->blanks = ml_slice_make("", 0); /* at the end of a line they are nothing */
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static void write_run(struct markdown *m, const struct ml_rich *run)
{
    struct ml_slice body = run->text;
    size_t before = 0, after = 0;

    if (run->marks & ML_MARK_CODE) {
        change_marks(m, run->marks & ~(unsigned)ML_MARK_CODE, run->url);
        write_code_span(m, body);
        return;
    }
    while (before < body.len && is_blank(body.ptr[before]))
        before++;
    while (after < body.len - before && is_blank(body.ptr[body.len - 1 - after]))
        after++;
    if (before && !m->at_start && !m->blanks.len) {
        m->blanks = ml_slice_make(body.ptr, before);
        body = ml_slice_make(body.ptr + before, body.len - before);
    }
    if (!body.len)
        return;
    change_marks(m, run->marks, run->url);
    body.len -= after < body.len ? after : 0;
    escaped(m, body);
    if (after && run->text.len > after)
        m->blanks = ml_slice_make(run->text.ptr + run->text.len - after, after);
}

static void write_image(struct markdown *m, const struct ml_rich *image)
{
    if (!image->url.len)
        return;
    text(m, "![");
    m->at_start = false;
    escaped(m, image->text);
    text(m, "](");
    address(m, image->url);
    text(m, ")");
}

/* Up to the first block among them. */
static const struct ml_rich *write_line(struct markdown *m, const struct ml_rich *node)
{
    for (; node && ml_rich_is_inline(node); node = node->next) {
        if (node->kind == ML_RICH_TEXT) {
            write_run(m, node);
            continue;
        }
        end_marks(m);
        if (node->kind == ML_RICH_IMAGE)
            write_image(m, node);
        else if (m->in_table)
            text(m, "<br>");
        else if (node->next) {
            text(m, "\\");
            new_line(m);
        }
    }
    end_marks(m);
    return node;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void write_blocks(struct markdown *m, const struct ml_rich *node, bool is_tight);

static void write_within(struct markdown *m, const struct ml_rich *parent, const char *prefix,
                         bool is_tight)
{
    size_t before = m->prefix_len;

    (void)push(m, prefix);
    write_blocks(m, parent->first, is_tight);
    m->prefix_len = before;
}

static void write_number(struct markdown *m, uint32_t value)
{
    char digits[10];
    size_t n = sizeof digits;

    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    ml_write_bytes(m->out, ml_slice_make(digits + n, sizeof digits - n));
}

/* Items of one paragraph each, with lists below at most, need no empty lines between them. */
static bool is_tight_list(const struct ml_rich *list)
{
    for (const struct ml_rich *item = list->first; item; item = item->next) {
        const struct ml_rich *child = item->first;

        if (child && (child->kind == ML_RICH_PARAGRAPH || ml_rich_is_inline(child)))
            child = child->next;
        for (; child; child = child->next)
            if (child->kind != ML_RICH_BULLETS && child->kind != ML_RICH_NUMBERS &&
                !ml_rich_is_inline(child))
                return false;
    }
    return true;
}

static void write_list(struct markdown *m, const struct ml_rich *list)
{
    bool is_tight = is_tight_list(list);
    uint32_t number = list->level;

    for (const struct ml_rich *item = list->first; item && !m->out->err; item = item->next) {
        if (item != list->first)
            is_tight ? new_line(m) : blank_line(m);
        if (list->kind == ML_RICH_NUMBERS) {
            write_number(m, number++);
            text(m, ". ");
        } else {
            text(m, "- ");
        }
        if (item->check)
            text(m, item->check == ML_CHECK_DONE ? "[x] " : "[ ] ");
        m->at_start = true;
        /* Under the text of the item: four columns serve up to "10. ". */
        write_within(m, item, list->kind == ML_RICH_NUMBERS ? "    " : "  ", is_tight);
    }
}

static size_t fence_of(const struct ml_rich *node)
{
    size_t longest = 2;

    for (const struct ml_rich *child = node->first; child; child = child->next)
        if (longest_ticks(child->text) > longest)
            longest = longest_ticks(child->text);
    return longest + 1;
}

static void write_code(struct markdown *m, const struct ml_rich *node)
{
    size_t fence = fence_of(node);

    ticks(m, fence);
    ml_write_bytes(m->out, node->text);
    new_line(m);
    for (const struct ml_rich *child = node->first; child; child = child->next) {
        for (size_t i = 0; child->kind == ML_RICH_TEXT && i < child->text.len; i++)
            if (child->text.ptr[i] == '\n')
                new_line(m);
            else
                ml_write_u8(m->out, child->text.ptr[i]);
        if (child->kind == ML_RICH_BREAK)
            new_line(m);
    }
    new_line(m);
    ticks(m, fence);
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* Everything in a cell on one line. */
static void write_cell(struct markdown *m, const struct ml_rich *node)
{
    for (const struct ml_rich *child = node->first; child;) {
        if (ml_rich_is_inline(child)) {
            child = write_line(m, child);
            continue;
        }
        if (child != node->first)
            text(m, "<br>");
        write_cell(m, child);
        child = child->next;
    }
}

static size_t write_row(struct markdown *m, const struct ml_rich *row)
{
    size_t columns = 0;

    for (const struct ml_rich *cell = row->first; cell; cell = cell->next, columns++) {
        text(m, columns ? " | " : "| ");
        m->at_start = false;
        write_cell(m, cell);
    }
    text(m, columns ? " |" : "");
    return columns;
}

static void write_table(struct markdown *m, const struct ml_rich *table)
{
    bool was_in_table = m->in_table;

    m->in_table = true;
    for (const struct ml_rich *row = table->first; row && !m->out->err; row = row->next) {
        size_t columns;

        if (row != table->first)
            new_line(m);
        columns = write_row(m, row);
        if (row != table->first)
            continue;
        new_line(m);
        text(m, "|");
        while (columns--)
            text(m, " --- |");
    }
    m->in_table = was_in_table;
}

/* ---- one after the other --------------------------------------------------------------------- */

static bool is_list(const struct ml_rich *node)
{
    return node->kind == ML_RICH_BULLETS || node->kind == ML_RICH_NUMBERS;
}

static void write_block(struct markdown *m, const struct ml_rich *node)
{
    switch (node->kind) {
    case ML_RICH_HEADING:
        for (uint32_t i = 0; i < node->level; i++)
            text(m, "#");
        text(m, " ");
        m->at_start = false;
        write_cell(m, node); /* on one line, whatever it holds */
        break;
    case ML_RICH_QUOTE:
        text(m, "> ");
        write_within(m, node, "> ", false);
        break;
    case ML_RICH_BULLETS:
    case ML_RICH_NUMBERS:
        write_list(m, node);
        break;
    case ML_RICH_CODE:
        write_code(m, node);
        break;
    case ML_RICH_RULE:
        text(m, "---");
        break;
    case ML_RICH_TABLE:
        write_table(m, node);
        break;
    default: /* paragraphs, groups, and what stands where it should not */
        write_blocks(m, node->first, false);
    }
}

/* Something to be seen? A paragraph without words is none. */
static bool is_empty(const struct ml_rich *node)
{
    if (node->kind == ML_RICH_PARAGRAPH || node->kind == ML_RICH_GROUP) {
        for (const struct ml_rich *child = node->first; child; child = child->next)
            if (!is_empty(child))
                return false;
        return true;
    }
    return node->kind == ML_RICH_TEXT ? !node->text.len : node->kind == ML_RICH_BREAK;
}

static void write_blocks(struct markdown *m, const struct ml_rich *node, bool is_tight)
{
    const struct ml_rich *before = NULL;

    while (node && !m->out->err) {
        if (!ml_rich_is_inline(node) && is_empty(node)) {
            node = node->next;
            continue;
        }
        if (before)
            is_tight ? new_line(m) : blank_line(m);
        if (before && is_list(before) && before->kind == node->kind) {
            text(m, "<!-- -->"); /* or the two would be one */
            blank_line(m);
        }
        m->at_start = true;
        before = node;
        if (ml_rich_is_inline(node)) {
            node = write_line(m, node);
        } else {
            write_block(m, node);
            node = node->next;
        }
    }
}

void ml_rich_write_markdown(struct ml_writer *out, const struct ml_rich *root)
{
    struct markdown m = {.out = out, .at_start = true};

    m.url = m.blanks = ml_slice_make("", 0);
    write_blocks(&m, root->first, false);
    if (out->len)
        ml_write_u8(out, '\n');
}
