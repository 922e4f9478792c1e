/* SPDX-License-Identifier: MIT */
/*
 * Texts with formats, as a client writes them: inserts, deletes, formats, deltas. caret.h has the
 * drawing.
 *
 * Source: Yjs 13.6, YText.js: insertText, formatText, deleteText, cleanupFormattingGap (which
 * belongs to deleting and is no clean-up of what others wrote).
 */
#include "base/utf8.h"
#include "engine/any.h"
#include "engine/caret.h"

static struct ml_arena *memory(const struct ml_caret *p)
{
    return &p->doc->writing->call;
}

/* ---- What is wanted --------------------------------------------------------------------------
 */

/* The attributes of a call as formats; checked. */
static enum ml_err read_attrs(struct ml_doc *doc, const struct ml_attrs *attrs,
                              struct ml_formats *out)
{
    struct ml_writer json;
    enum ml_err err = ML_OK;

    *out = ml_formats_make(&doc->writing->call);
    ml_writer_init(&json, INT32_MAX);
    for (size_t i = 0; attrs && i < attrs->count && !err; i++) {
        struct ml_format f = {.key = attrs->at[i].key, .item = NIL};
        struct ml_reader in = ml_reader_make(attrs->at[i].any);

        err = ml_check_key(doc, f.key);
        if (!err)
            err = ml_check_any(doc, attrs->at[i].any);
        if (err)
            break;
        ml_writer_reset(&json);
        err = ml_any_to_json(&in, ML_ANY_JSON_STRINGIFY, &json);
        if (err) {
            (void)ml_write_fail(doc, err, "a format has a value that JSON cannot hold");
            break;
        }
        f.json = ml_arena_copy(&doc->writing->call, ml_writer_slice(&json));
        if (!f.json.ptr || !ml_formats_set(out, f))
            err = ml_write_fail(doc, ML_ELIMIT, "out of memory");
    }
    ml_writer_release(&json);
    if (!err && !ml_formats_order(out))
        err = ml_write_fail(doc, ML_ELIMIT, "out of memory");
    return err;
}

/* An insert with attributes ends everything else that is in force. */
static bool end_the_others(const struct ml_caret *p, struct ml_formats *wanted)
{
    for (uint32_t i = 0; i < p->attrs.count; i++) {
        struct ml_format f = {p->attrs.at[i].key, ML_SLICE("null"), NIL};

        if (p->attrs.at[i].json.ptr && !ml_formats_get(wanted, f.key) && !ml_formats_set(wanted, f))
            return false;
    }
    return ml_formats_order(wanted);
}

static void need_formats(const struct ml_formats *f, struct ml_need *need)
{
    need->units += 2 * (uint64_t)f->live;
    need->items += 2 * (uint64_t)f->live;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].json.ptr)
            need->bytes += 2 * (f->at[i].key.len + f->at[i].json.len + 12);
}

/* ---- Insert ----------------------------------------------------------------------------------
 */

/* What goes into a text: a string, an embed, or a new type. */
struct content {
    struct ml_payload what;
    const struct ml_value *type; /* NULL: `what` */
    struct ml_need need;
};

static enum ml_err text_content(struct ml_doc *doc, struct ml_slice text, struct content *out)
{
    size_t units;

    *out = (struct content){.what = {.kind = ML_WIRE_STRING, .bytes = text, .name = NIL}};
    if (!ml_utf8_check(text, &units))
        return ml_write_fail(doc, ML_EFORMAT, "text is not UTF-8");
    if (text.len > INT32_MAX)
        return ml_write_fail(doc, ML_ELIMIT, "text of %zu bytes", text.len);
    out->what.len = (uint32_t)units;
    out->need = (struct ml_need){.units = units, .items = 1, .bytes = text.len};
    return ML_OK;
}

static enum ml_err embed_content(struct ml_doc *doc, uint32_t branch, const struct ml_value *embed,
                                 struct content *out)
{
    struct ml_writer json;
    struct ml_reader in;
    enum ml_err err;

    *out = (struct content){.what = {.kind = ML_WIRE_EMBED, .len = 1, .name = NIL}};
    err = ml_value_measure(doc, embed, ml_branch_at(doc, branch)->depth, &out->need);
    if (err)
        return err;
    if (embed->kind != ML_VALUE_ANY) {
        out->type = embed;
        return ML_OK;
    }
    ml_writer_init(&json, INT32_MAX);
    in = ml_reader_make(embed->any);
    err = ml_any_to_json(&in, ML_ANY_JSON_STRINGIFY, &json);
    if (err) {
        (void)ml_write_fail(doc, err, "an embed that JSON cannot hold");
    } else {
        out->what.bytes = ml_arena_copy(&doc->writing->call, ml_writer_slice(&json));
        out->need.bytes += json.len;
        if (!out->what.bytes.ptr)
            err = ml_write_fail(doc, ML_ELIMIT, "out of memory");
    }
    ml_writer_release(&json);
    return err;
}

static bool insert_type_here(struct ml_caret *p, const struct ml_value *type)
{
    struct ml_spot at = {.left = p->left, .right = p->right, .parent = p->branch, .key = NIL};

    p->right = ml_value_insert(p->doc, &at, type);
    return p->right != NIL && ml_caret_step(p);
}

static bool insert_content(struct ml_caret *p, const struct content *content,
                           struct ml_formats *wanted)
{
    struct ml_formats closing;

    return ml_caret_skip(p, wanted) && ml_caret_open(p, wanted, &closing) &&
           (content->type ? insert_type_here(p, content->type)
                          : ml_caret_insert(p, &content->what)) &&
           ml_caret_close(p, &closing);
}

static enum ml_err insert_at_index(struct ml_doc *doc, uint32_t branch, uint32_t index,
                                   const struct ml_attrs *attrs, struct content *content)
{
    struct ml_formats wanted;
    struct ml_caret p;
    enum ml_err err = read_attrs(doc, attrs, &wanted);

    if (!err)
        err = ml_write_room(doc, branch, &content->need);
    if (err)
        return err;
    if (!ml_caret_find(doc, branch, index, &p))
        return ml_write_close(doc, false);
    if (!(attrs ? end_the_others(&p, &wanted)
                : ml_formats_copy(&wanted, &p.attrs) && ml_formats_order(&wanted)))
        return ml_write_fail(doc, ML_ELIMIT, "out of memory");
    if (attrs)
        need_formats(&wanted, &content->need);
    err = ml_write_room(doc, branch, &content->need);
    return err ? err : ml_write_close(doc, insert_content(&p, content, &wanted));
}

static enum ml_err open_text(struct ml_doc *doc, struct ml_type text, uint64_t index,
                             bool for_insert, uint32_t *branch)
{
    enum ml_err err = ml_write_open(doc);
    uint32_t length;

    if (!err)
        err =
            for_insert ? ml_type_for_writing(doc, text, branch) : ml_type_branch(doc, text, branch);
    if (err)
        return err;
    length = *branch == NIL ? 0 : ml_branch_at(doc, *branch)->length;
    if (index > length)
        return ml_write_fail(doc, ML_ENOTFOUND, "index %llu is behind the end, %lu",
                             (unsigned long long)index, (unsigned long)length);
    return ML_OK;
}

enum ml_err ml_text_insert(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                           struct ml_slice inserted, const struct ml_attrs *attrs)
{
    struct content content;
    uint32_t branch;
    enum ml_err err = open_text(doc, text, index_utf16, true, &branch);

    if (!err)
        err = text_content(doc, inserted, &content);
    return err || !inserted.len ? err : insert_at_index(doc, branch, index_utf16, attrs, &content);
}

enum ml_err ml_text_embed(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                          const struct ml_value *embed, const struct ml_attrs *attrs)
{
    static const struct ml_attrs plain = {NULL, 0};
    struct content content;
    uint32_t branch;
    enum ml_err err = open_text(doc, text, index_utf16, true, &branch);

    if (!err)
        err = embed_content(doc, branch, embed, &content);
    return err ? err : insert_at_index(doc, branch, index_utf16, attrs ? attrs : &plain, &content);
}

/* ---- Delete ----------------------------------------------------------------------------------
 */

static bool is_text_content(const struct ml_item *i)
{
    unsigned kind = ml_item_kind(i);

    return !ml_item_is_deleted(i) &&
           (kind == ML_WIRE_STRING || kind == ML_WIRE_EMBED || kind == ML_WIRE_TYPE);
}

/* The units of the item right of the place that a range of `*len` units takes; *len goes down. A
 * character at its end is taken whole. */
static uint32_t take_units(struct ml_caret *p, int64_t *len)
{
    const struct ml_item *i = ml_caret_right(p);
    uint32_t units = i->len;

    if (*len < units) {
        units = (uint32_t)*len;
        if (ml_item_is_inside_pair(p->doc, i, units)) {
            units++;
            p->debt = -1;
            *len += 1;
        }
    }
    *len -= units;
    return units;
}

/* The items from `start` on up to the first that is seen, and the last format of each key there. */
static bool last_formats(const struct ml_caret *p, uint32_t start, struct ml_formats *last,
                         uint32_t *end_out)
{
    uint32_t i = start;

    *last = ml_formats_make(memory(p));
    while (i != NIL && !ml_item_is_visible(ml_item_at(p->doc, i))) {
        if (ml_item_is_live_format(ml_item_at(p->doc, i)) &&
            !ml_formats_set(last, ml_format_of(p->doc, i)))
            return false;
        i = ml_item_at(p->doc, i)->right;
    }
    *end_out = i;
    return true;
}

/* One live format of a gap: does it go? -1: out of memory. */
static int is_needless(const struct ml_caret *p, const struct ml_format *f,
                       const struct ml_formats *before, const struct ml_formats *last)
{
    const struct ml_format *first = ml_formats_get(before, f->key);
    struct ml_format none = {f->key, ML_SLICE("null"), NIL};

    if (ml_formats_get(last, f->key)->item != f->item)
        return 1;
    return ml_format_is_same(&p->doc->writing->compare, first ? first : &none, f);
}

/* A needless format in front of the place is deleted: what it brought into force goes back. */
static bool take_back(struct ml_caret *p, const struct ml_format *f,
                      const struct ml_formats *before)
{
    struct ml_arena *scratch = &p->doc->writing->compare;
    struct ml_format none = {f->key, ML_SLICE("null"), NIL};
    const struct ml_format *now = ml_formats_get(&p->attrs, f->key);
    const struct ml_format *first = ml_formats_get(before, f->key);
    int held = ml_format_is_same(scratch, now ? now : &none, f);
    int was = ml_format_is_same(scratch, first ? first : &none, f);

    if (held < 0 || was < 0)
        return false;
    if (!held || was)
        return true;
    if (first)
        return ml_formats_set(&p->attrs, *first);
    ml_formats_remove(&p->attrs, f->key);
    return true;
}

/* Formats between `start` and the next thing seen say nothing any more if a later one overrides
 * them or the text before was so already. */
static bool tidy_gap(struct ml_caret *p, uint32_t start, const struct ml_formats *before)
{
    struct ml_formats last;
    uint32_t end;
    bool at_place = false;

    if (!last_formats(p, start, &last, &end))
        return false;
    for (uint32_t i = start; i != end; i = ml_item_at(p->doc, i)->right) {
        struct ml_format f;
        int needless;

        at_place |= i == p->right;
        if (!ml_item_is_live_format(ml_item_at(p->doc, i)))
            continue;
        f = ml_format_of(p->doc, i);
        needless = is_needless(p, &f, before, &last);
        if (needless < 0)
            return false;
        if (needless) {
            if (!ml_item_delete(p->doc, i) || (!at_place && !take_back(p, &f, before)))
                return false;
        } else if (!at_place && !ml_formats_apply(&p->attrs, f)) {
            return false;
        }
        ml_arena_reset(&p->doc->writing->compare);
    }
    return true;
}

static bool delete_here(struct ml_caret *p, int64_t len)
{
    struct ml_formats before;
    uint32_t start = p->right;

    len += p->debt;
    p->debt = 0;
    if (len <= 0) {
        p->debt = len;
        return true;
    }
    if (!ml_formats_copy(&before, &p->attrs))
        return false;
    while (len > 0 && p->right != NIL) {
        if (is_text_content(ml_caret_right(p)) &&
            (!ml_caret_cut(p, take_units(p, &len)) || !ml_item_delete(p->doc, p->right)))
            return false;
        if (!ml_caret_step(p))
            return false;
    }
    return start == NIL || tidy_gap(p, start, &before);
}

enum ml_err ml_text_delete(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                           uint32_t len_utf16)
{
    struct ml_caret p;
    uint32_t branch;
    enum ml_err err = open_text(doc, text, (uint64_t)index_utf16 + len_utf16, false, &branch);

    if (err || !len_utf16)
        return err;
    return ml_write_close(doc, ml_caret_find(doc, branch, index_utf16, &p) &&
                                   delete_here(&p, len_utf16));
}

/* ---- Format ----------------------------------------------------------------------------------
 */

/* A format inside the range. *stop: behind the range, and it says something else. */
static bool take_format(struct ml_caret *p, const struct ml_formats *wanted,
                        struct ml_formats *closing, bool range_ended, bool *stop)
{
    struct ml_format f = ml_format_of(p->doc, p->right);
    const struct ml_format *want = ml_formats_get(wanted, f.key);
    int equal;

    if (!want)
        return true; /* the step over it brings it into force */
    equal = ml_caret_equal(p, want->json, f.json);
    if (equal < 0)
        return false;
    if (equal) {
        ml_formats_remove(closing, f.key);
    } else {
        *stop = range_ended;
        if (*stop)
            return true;
        if (!ml_formats_set(closing, f))
            return false;
    }
    return ml_item_delete(p->doc, p->right);
}

static bool insert_line_feeds(struct ml_caret *p, int64_t count)
{
    struct ml_payload what = {.kind = ML_WIRE_STRING, .len = (uint32_t)count, .name = NIL};
    struct ml_slice text = {0};
    uint8_t *feeds = ml_arena_alloc(memory(p), (size_t)count);

    if (!feeds)
        return false;
    memset(feeds, '\n', (size_t)count);
    text = ml_slice_make(feeds, (size_t)count);
    what.bytes = text;
    return ml_caret_insert(p, &what);
}

static bool format_here(struct ml_caret *p, const struct ml_formats *wanted, int64_t len)
{
    struct ml_formats closing;
    bool stop = false;

    if (!ml_caret_skip(p, wanted) || !ml_caret_open(p, wanted, &closing))
        return false;
    while (p->right != NIL &&
           (len > 0 || (closing.live && (ml_item_is_deleted(ml_caret_right(p)) ||
                                         ml_item_is_live_format(ml_caret_right(p)))))) {
        if (ml_item_is_live_format(ml_caret_right(p))) {
            if (!take_format(p, wanted, &closing, len == 0, &stop))
                return false;
            if (stop)
                break;
        } else if (!ml_item_is_deleted(ml_caret_right(p)) &&
                   !ml_caret_cut(p, take_units(p, &len))) {
            return false;
        }
        if (!ml_caret_step(p))
            return false;
    }
    if (len > 0 && !insert_line_feeds(p, len))
        return false;
    return ml_caret_close(p, &closing);
}

enum ml_err ml_text_format(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                           uint32_t len_utf16, const struct ml_attrs *attrs)
{
    struct ml_formats wanted;
    struct ml_need need = {0};
    struct ml_caret p;
    uint32_t branch;
    enum ml_err err = open_text(doc, text, index_utf16, false, &branch);

    if (!err)
        err = read_attrs(doc, attrs, &wanted);
    if (err || !len_utf16 || !wanted.live || branch == NIL)
        return err;
    need_formats(&wanted, &need);
    if ((uint64_t)index_utf16 + len_utf16 > ml_branch_at(doc, branch)->length) {
        uint64_t feeds = (uint64_t)index_utf16 + len_utf16 - ml_branch_at(doc, branch)->length;

        need.units += feeds;
        need.bytes += feeds;
        need.items++;
    }
    err = ml_write_room(doc, branch, &need);
    if (err)
        return err;
    if (!ml_caret_find(doc, branch, index_utf16, &p))
        return ml_write_close(doc, false);
    return p.right == NIL ? ML_OK
                          : ml_write_close(doc, format_here(&p, &wanted, len_utf16 + p.debt));
}

/* ---- Deltas ----------------------------------------------------------------------------------
 */

struct delta_step {
    enum ml_delta_kind kind;
    int64_t len;
    struct ml_formats wanted;
    bool has_attrs;
    struct content content;
};

/* One op, checked. `*at` is the place behind it, `*length` the length of the text then. */
static enum ml_err read_step(struct ml_doc *doc, uint32_t branch, const struct ml_delta_op *op,
                             struct delta_step *out, uint64_t *at, uint64_t *length)
{
    enum ml_err err = read_attrs(doc, op->attrs, &out->wanted);

    out->kind = op->kind;
    out->len = op->len_utf16;
    if (err)
        return err;
    out->has_attrs = out->wanted.live > 0;
    switch (op->kind) {
    case ML_DELTA_INSERT:
        err = text_content(doc, op->text, &out->content);
        break;
    case ML_DELTA_EMBED:
        err = embed_content(doc, branch, op->embed, &out->content);
        break;
    case ML_DELTA_RETAIN:
        *at += op->len_utf16;
        if (*at > *length) {
            out->content.need = (struct ml_need){.units = *at - *length, .bytes = *at - *length};
            *length = *at;
        }
        break;
    case ML_DELTA_DELETE:
        if (*at + op->len_utf16 > *length)
            return ml_write_fail(doc, ML_ENOTFOUND, "a delta deletes behind the end");
        *length -= op->len_utf16;
        break;
    }
    if (op->kind == ML_DELTA_INSERT || op->kind == ML_DELTA_EMBED) {
        *at += out->content.what.len;
        *length += out->content.what.len;
    }
    return err;
}

/* Move over units; inside a character the place before it is taken. */
static bool retain_here(struct ml_caret *p, int64_t len)
{
    struct ml_formats none = ml_formats_make(memory(p)), closing;

    if (!ml_caret_skip(p, &none) || !ml_caret_open(p, &none, &closing))
        return false;
    while (p->right != NIL && len > 0) {
        const struct ml_item *i = ml_caret_right(p);

        if (ml_item_is_visible(i)) {
            uint32_t units = len < i->len ? (uint32_t)len : i->len;

            if (ml_item_is_inside_pair(p->doc, i, units)) {
                units--;
                p->debt = 1;
            }
            if (units && !ml_caret_cut(p, units))
                return false;
            len -= units + (p->debt > 0);
            if (!units)
                return true;
        }
        if (!ml_caret_step(p))
            return false;
    }
    return (len <= 0 || insert_line_feeds(p, len)) && ml_caret_close(p, &closing);
}

static bool run_retain(struct ml_caret *p, const struct delta_step *s)
{
    int64_t len = s->len + p->debt;

    p->debt = 0;
    if (len <= 0) {
        p->debt = len;
        return true;
    }
    return s->has_attrs ? format_here(p, &s->wanted, len) : retain_here(p, len);
}

static enum ml_err run_step(struct ml_caret *p, struct delta_step *s)
{
    struct ml_need need = {0};
    enum ml_err err;

    if (s->kind == ML_DELTA_DELETE)
        return ml_write_close(p->doc, !s->len || delete_here(p, s->len));
    if (s->kind == ML_DELTA_RETAIN)
        return ml_write_close(p->doc, !s->len || run_retain(p, s));
    if (s->kind == ML_DELTA_INSERT && !s->content.what.len)
        return ML_OK;
    if (!end_the_others(p, &s->wanted))
        return ml_write_close(p->doc, false);
    need_formats(&s->wanted, &need);
    err = ml_write_room(p->doc, p->branch, &need);
    if (err) /* what came before is done, so this cannot be taken back */
        return ml_write_close(p->doc, false);
    return ml_write_close(p->doc, insert_content(p, &s->content, &s->wanted));
}

enum ml_err ml_text_apply_delta(struct ml_doc *doc, struct ml_type text,
                                const struct ml_delta_op *ops, size_t count)
{
    struct ml_need need = {0};
    struct delta_step *steps;
    struct ml_caret p;
    uint32_t branch;
    uint64_t at = 0, length;
    enum ml_err err = open_text(doc, text, 0, true, &branch);

    if (err || !count)
        return err;
    length = ml_branch_at(doc, branch)->length;
    steps = ml_arena_array(&doc->writing->call, count, sizeof *steps);
    if (!steps)
        return ml_write_fail(doc, ML_ELIMIT, "a delta of %zu operations", count);
    for (size_t i = 0; i < count && !err; i++) {
        err = read_step(doc, branch, &ops[i], &steps[i], &at, &length);
        need.units += steps[i].content.need.units;
        need.items += steps[i].content.need.items + 1;
        need.bytes += steps[i].content.need.bytes;
        need_formats(&steps[i].wanted, &need);
    }
    if (!err)
        err = ml_write_room(doc, branch, &need);
    if (err)
        return err;
    if (!ml_caret_find(doc, branch, 0, &p))
        return ml_write_close(doc, false);
    for (size_t i = 0; i < count && !err; i++)
        err = run_step(&p, &steps[i]);
    return err;
}
