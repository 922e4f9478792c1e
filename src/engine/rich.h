/* SPDX-License-Identifier: MIT */
/*
 * A root as blocks and marked text, for who writes HTML or Markdown from it. Private to engine/.
 *
 *   ProseMirror and Tiptap (an XML root)   rich_xml.c  --\                 /-- render_html.c
 *                                                         >-- the tree --<
 *   Quill (a text root)                    rich_text.c --/                 \-- render_markdown.c
 *
 * What the tree holds is already judged: addresses are those that may be shown (ml_rich_url),
 * levels are in range, names are short words. Text is text; escaping is the writer's.
 */
#ifndef ML_ENGINE_RICH_H
#define ML_ENGINE_RICH_H

#include "base/arena.h"
#include "engine/view.h"

/* Deeper blocks stand beside their parents: writers call themselves once per level. */
#define ML_RICH_DEPTH_MAX 64

enum ml_rich_kind {
    ML_RICH_GROUP, /* the root, and elements that nobody knows: only its children */
    ML_RICH_PARAGRAPH,
    ML_RICH_HEADING, /* level 1 … 6 */
    ML_RICH_QUOTE,
    ML_RICH_BULLETS,
    ML_RICH_NUMBERS, /* start */
    ML_RICH_ITEM,    /* of a list; may be checked */
    ML_RICH_CODE,    /* text: language, or empty */
    ML_RICH_RULE,
    ML_RICH_TABLE,
    ML_RICH_ROW,
    ML_RICH_CELL,
    ML_RICH_HEADER_CELL,
    /* inside of a line: */
    ML_RICH_TEXT,  /* text, marks, url */
    ML_RICH_BREAK, /* a line ends, the paragraph does not */
    ML_RICH_IMAGE, /* url, text: what it shows */
};

/* In the order in which they are nested, the outermost first. */
enum ml_rich_mark {
    ML_MARK_BOLD = 1 << 0,
    ML_MARK_ITALIC = 1 << 1,
    ML_MARK_UNDERLINE = 1 << 2,
    ML_MARK_STRIKE = 1 << 3,
    ML_MARK_SUB = 1 << 4,
    ML_MARK_SUPER = 1 << 5,
    ML_MARK_HIGHLIGHT = 1 << 6,
    ML_MARK_CODE = 1 << 7,
};

enum ml_rich_check { ML_CHECK_NONE, ML_CHECK_OPEN, ML_CHECK_DONE };

struct ml_rich {
    enum ml_rich_kind kind;
    enum ml_rich_check check;
    uint32_t level; /* of a heading; of a numbered list: its first number */
    unsigned marks; /* ml_rich_mark */
    struct ml_slice text, url;
    struct ml_rich *next, *first, *last;
};

/** A node at the end of `parent`. NULL: out of memory. */
struct ml_rich *ml_rich_add(struct ml_arena *arena, struct ml_rich *parent, enum ml_rich_kind kind);
/** Text with the same marks joins what stands before it. False: out of memory. */
bool ml_rich_add_text(struct ml_arena *arena, struct ml_rich *parent, struct ml_slice text,
                      unsigned marks, struct ml_slice url);
/** Does it stand inside of a line? */
static inline bool ml_rich_is_inline(const struct ml_rich *node)
{
    return node->kind >= ML_RICH_TEXT;
}

/**
 * The address if a page may carry it, else empty: http, https and (not for images) mailto, or a
 * path of the same site; no control characters, no blanks, nothing that a browser would read as
 * another scheme (SEC-WEB-03).
 */
struct ml_slice ml_rich_url(struct ml_slice url, bool is_image);
/** A language or similar, if it is a word of at most 32 letters, digits and `_+#.-`; else empty. */
struct ml_slice ml_rich_word(struct ml_slice text);

/* ---- One value, encoded as Any ----------------------------------------------------------------
 */

/** The member of an object; false: none of that name, or no object. */
bool ml_rich_member(struct ml_slice any, const char *key, struct ml_slice *value_out);
/** Next member; `r` begins as the reader of ml_rich_open. */
bool ml_rich_open(struct ml_slice any, bool is_object, struct ml_reader *r, uint64_t *count_out);
bool ml_rich_next(struct ml_reader *r, struct ml_slice *key_out, struct ml_slice *value_out);
/** Its text, if it is a string. */
bool ml_rich_string(struct ml_slice any, struct ml_slice *text_out);
/** A whole number, or a string of one; `otherwise` if it is something else. */
uint32_t ml_rich_number(struct ml_slice any, uint32_t otherwise);
/** Neither false, null, undefined, 0 nor "". */
bool ml_rich_is_true(struct ml_slice any);

/* ---- Builders and writers ---------------------------------------------------------------------
 */

/** A text branch as a delta, decoded: one Any, a list of operations, in the arena. */
enum ml_err ml_rich_delta(const struct ml_doc *doc, uint32_t branch, size_t max_bytes,
                          struct ml_arena *arena, struct ml_slice *any_out) ML_MUST_CHECK;
/** Marks and address of an operation's attributes; .ptr NULL: none. */
unsigned ml_rich_marks(struct ml_slice attributes, struct ml_slice *url_out);

enum ml_err ml_rich_from_text(const struct ml_doc *doc, uint32_t branch, size_t max_bytes,
                              struct ml_arena *arena, struct ml_rich *root) ML_MUST_CHECK;
enum ml_err ml_rich_from_xml(const struct ml_doc *doc, uint32_t branch, size_t max_bytes,
                             struct ml_arena *arena, struct ml_rich *root) ML_MUST_CHECK;

void ml_rich_write_html(struct ml_writer *out, const struct ml_rich *root);
void ml_rich_write_markdown(struct ml_writer *out, const struct ml_rich *root);

/** ML_VIEW_HTML, ML_VIEW_MARKDOWN. */
enum ml_err ml_view_rich(struct ml_viewer *v, uint32_t branch, enum ml_view view) ML_MUST_CHECK;

#endif
