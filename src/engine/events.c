/* SPDX-License-Identifier: MIT */
/*
 * What a transaction did, type by type, for whoever wants to know.
 *
 *   list      [ A ][ B, deleted now ][ C, new ][ D ]      retain A, delete B, insert C; the rest of
 * a list is not told key       k: [ 1, deleted now ][ 2, new ]             updated, before 1, after
 * 2 formats   what was in force before and after is kept side by side along the walk: text that
 *             stays but looks different is retained with the formats that differ
 *
 * A listener is a watch: it looks when everything is in and nothing is collected yet, so that what
 * was deleted can still be told. It copies what it tells into the arena of its owner. Should that
 * be full, the listener has failed, and the document has not noticed.
 *
 * Source: Yjs 13.6, YEvent.js and YTextEvent. Same rules: types that are new or deleted are told by
 * what holds them, not by events of their own. What a deleted shared type held is not told.
 */
#include <stdlib.h>

#include "engine/any.h"
#include "engine/formats.h"
#include "engine/view.h"

/* Formats that are compared in one transaction: writers can pile them up. */
#define FORMAT_STEPS_MAX 10000000u

struct ml_listener {
    struct ml_watch watch; /* first */
    struct ml_arena *arena;
    const struct ml_event *first, **end;
    enum ml_err err;
};

/* A type that the transaction touched: at a key, or (NIL) in its list. */
struct touch {
    uint32_t branch, key;
};

/* One look. */
struct scan {
    struct ml_doc *doc;
    struct ml_listener *listener;
    struct ml_runs deleted; /* by the transaction, normalized */
    struct touch *touches;  /* owned */
    size_t count, cap;
    struct ml_writer out; /* one value at a time */
    uint32_t format_steps;
};

/* ---- What is new, what is gone --------------------------------------------------------------- */

static bool is_added(const struct scan *s, const struct ml_item *i)
{
    const struct ml_client *c = &s->doc->clients[ml_item_slot(i)];

    return c->txn == s->doc->txn.number && i->clock >= c->before;
}

static bool is_deleted_now(const struct scan *s, const struct ml_item *i)
{
    return ml_item_is_deleted(i) && ml_runs_hold(&s->deleted, ml_item_slot(i), i->clock);
}

static enum ml_err touch(struct scan *s, const struct ml_item *i)
{
    uint32_t holder;

    if (ml_item_is_gc(i))
        return ML_OK;
    holder = ml_branch_at(s->doc, i->parent)->item;
    if (holder != NIL &&
        (ml_item_is_deleted(ml_item_at(s->doc, holder)) || is_added(s, ml_item_at(s->doc, holder))))
        return ML_OK;
    if (s->count == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        void *grown = realloc(s->touches, cap * sizeof *s->touches);

        if (!grown)
            return ML_ELIMIT;
        s->touches = grown;
        s->cap = cap;
    }
    s->touches[s->count++] = (struct touch){i->parent, ml_item_is_keyed(i) ? i->aux : NIL};
    return ML_OK;
}

static enum ml_err touch_run(struct scan *s, uint32_t slot, uint32_t clock, uint32_t end)
{
    struct ml_run_walk walk;
    enum ml_err err = ML_OK;

    if (clock >= end)
        return ML_OK;
    for (uint32_t n = ml_run_walk_start(&walk, &s->doc->clients[slot], clock);
         n != NIL && ml_item_at(s->doc, n)->clock < end && !err; n = ml_run_walk_next(&walk))
        err = touch(s, ml_item_at(s->doc, n));
    return err;
}

static int by_branch(const void *pa, const void *pb)
{
    const struct touch *a = pa, *b = pb;

    if (a->branch != b->branch)
        return a->branch < b->branch ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

/* Every touched type and key once, in order. */
static enum ml_err find_touched(struct scan *s)
{
    const struct ml_txn *t = &s->doc->txn;
    enum ml_err err = ML_OK;
    size_t n = 0;

    for (uint32_t i = 0; i < t->clients.count && !err; i++) {
        uint32_t slot = t->clients.at[i].slot;

        err = touch_run(s, slot, s->doc->clients[slot].before, s->doc->clients[slot].next);
    }
    for (uint32_t i = 0; i < s->deleted.count && !err; i++)
        err = touch_run(s, s->deleted.at[i].slot, s->deleted.at[i].clock, s->deleted.at[i].end);
    if (err || !s->count)
        return err;
    qsort(s->touches, s->count, sizeof *s->touches, by_branch);
    for (size_t i = 0; i < s->count; i++)
        if (!i || by_branch(&s->touches[i], &s->touches[i - 1]))
            s->touches[n++] = s->touches[i];
    s->count = n;
    return ML_OK;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static struct ml_slice keep_bytes(struct scan *s, struct ml_slice bytes, enum ml_err *err)
{
    struct ml_slice copy = ml_arena_copy(s->listener->arena, bytes);

    if (!copy.ptr)
        *err = ML_ELIMIT;
    return copy;
}

static uint32_t index_of(const struct ml_doc *doc, const struct ml_item *i)
{
    uint32_t index = 0;

    for (uint32_t n = i->left; n != NIL; n = ml_item_at(doc, n)->left)
        index += ml_item_is_visible(ml_item_at(doc, n)) ? ml_item_at(doc, n)->len : 0;
    return index;
}

static enum ml_err tell_path(struct scan *s, uint32_t branch, struct ml_event *e)
{
    const struct ml_doc *doc = s->doc;
    const struct ml_branch *b;
    struct ml_path_step *steps;
    enum ml_err err = ML_OK;

    for (b = ml_branch_at(doc, branch); !b->is_root;
         b = ml_branch_at(doc, ml_item_at(doc, b->item)->parent))
        e->step_count++;
    e->root = keep_bytes(s, ml_name_text(doc, b->name), &err);
    steps = ml_arena_array(s->listener->arena, e->step_count + 1, sizeof *steps);
    if (err || !steps)
        return ML_ELIMIT;
    e->steps = steps;
    b = ml_branch_at(doc, branch);
    for (size_t n = e->step_count; n-- > 0 && !err;) {
        const struct ml_item *holder = ml_item_at(doc, b->item);

        if (ml_item_is_keyed(holder))
            steps[n].key = keep_bytes(s, ml_name_text(doc, holder->aux), &err);
        else
            steps[n].index = index_of(doc, holder);
        b = ml_branch_at(doc, holder->parent);
    }
    return err;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* The last unit of an item as JSON, kept. */
static enum ml_err tell_value(struct scan *s, uint32_t item, struct ml_slice *out)
{
    struct ml_viewer v = {.doc = s->doc, .out = &s->out};
    enum ml_err err;

    ml_writer_reset(&s->out);
    err = ml_view_units(&v, item, ml_item_at(s->doc, item)->len - 1);
    if (!err)
        *out = keep_bytes(s, ml_writer_slice(&s->out), &err);
    return err;
}

/* The value of the key before the transaction, NIL: there was none, or it is still the value. */
static uint32_t value_before(const struct scan *s, uint32_t entry)
{
    const struct ml_item *i = ml_item_at(s->doc, entry);

    while (is_added(s, i)) {
        entry = i->left;
        if (entry == NIL)
            return NIL;
        i = ml_item_at(s->doc, entry);
    }
    return is_deleted_now(s, i) ? entry : NIL;
}

/* @param told_out  false: nothing has changed */
static enum ml_err tell_key(struct scan *s, const struct touch *t, struct ml_key_change *out,
                            bool *told_out)
{
    uint32_t entry = ml_branch_entry(ml_branch_at(s->doc, t->branch), t->key);
    uint32_t before = value_before(s, entry);
    const struct ml_item *i = ml_item_at(s->doc, entry);
    bool lives = !ml_item_is_deleted(i);
    enum ml_err err = ML_OK;

    *told_out = before != NIL || (lives && is_added(s, i));
    if (!*told_out)
        return ML_OK;
    out->action = before == NIL ? ML_KEY_ADDED : lives ? ML_KEY_UPDATED : ML_KEY_DELETED;
    out->key = keep_bytes(s, ml_name_text(s->doc, t->key), &err);
    if (!err && before != NIL)
        err = tell_value(s, before, &out->before);
    if (!err && lives)
        err = tell_value(s, entry, &out->after);
    return err;
}

static enum ml_err tell_keys(struct scan *s, const struct touch *t, size_t count,
                             struct ml_event *e)
{
    struct ml_key_change *keys = ml_arena_array(s->listener->arena, count + 1, sizeof *keys);
    enum ml_err err = keys ? ML_OK : ML_ELIMIT;

    e->keys = keys;
    for (size_t n = 0; n < count && !err; n++) {
        bool told;

        if (t[n].key == NIL)
            continue;
        err = tell_key(s, &t[n], &keys[e->key_count], &told);
        e->key_count += !err && told;
    }
    return err;
}

/* ---- The list -------------------------------------------------------------------------------- */

/* A walk along the list of one type. */
struct list {
    struct scan *scan;
    struct ml_list_change *ops; /* owned */
    size_t count, cap;
    struct ml_list_change now; /* being put together; len 0: none */
    bool is_text;              /* what `content` holds */
    struct ml_writer content;
    struct ml_formats before, after;
    bool formats_moved;              /* the two below are stale */
    struct ml_slice all, difference; /* JSON objects, .ptr NULL: empty */
};

static enum ml_err flush(struct list *l)
{
    enum ml_err err = ML_OK;

    if (!l->now.len)
        return ML_OK;
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        void *grown = realloc(l->ops, cap * sizeof *l->ops);

        if (!grown)
            return ML_ELIMIT;
        l->ops = grown;
        l->cap = cap;
    }
    if (l->now.action != ML_LIST_RETAIN && !l->is_text)
        ml_write_u8(&l->content, ']');
    if (l->content.err)
        return l->content.err;
    if (l->now.action != ML_LIST_RETAIN)
        *(l->is_text ? &l->now.text : &l->now.values) =
            keep_bytes(l->scan, ml_writer_slice(&l->content), &err);
    l->ops[l->count++] = l->now;
    l->now = (struct ml_list_change){0};
    ml_writer_reset(&l->content);
    return err;
}

static void write_format(struct ml_writer *out, struct ml_slice key, struct ml_slice json)
{
    ml_write_u8(out, out->len ? ',' : '{');
    ml_write_json_string(out, key);
    ml_write_u8(out, ':');
    ml_write_bytes(out, json);
}

/* An object of what is in `after`: all of it, or what differs from `before`. */
static enum ml_err tell_formats(struct list *l, bool difference, struct ml_slice *out)
{
    struct scan *s = l->scan;
    enum ml_err err = ML_OK;

    ml_writer_reset(&s->out);
    for (uint32_t n = 0; n < l->after.count; n++) {
        const struct ml_format *f = &l->after.at[n], *old;

        if (!f->json.ptr)
            continue;
        old = difference ? ml_formats_get(&l->before, f->key) : NULL;
        if (!old || !ml_slice_equal(old->json, f->json))
            write_format(&s->out, f->key, f->json);
    }
    for (uint32_t n = 0; n < l->before.count && difference; n++)
        if (l->before.at[n].json.ptr && !ml_formats_get(&l->after, l->before.at[n].key))
            write_format(&s->out, l->before.at[n].key, ML_SLICE("null"));
    *out = (struct ml_slice){0};
    if (!s->out.len)
        return s->out.err;
    ml_write_u8(&s->out, '}');
    *out = keep_bytes(s, ml_writer_slice(&s->out), &err);
    return err;
}

static enum ml_err settle_formats(struct list *l)
{
    enum ml_err err;

    if (!l->formats_moved)
        return ML_OK;
    l->formats_moved = false;
    l->scan->format_steps += l->after.count + l->before.count;
    if (l->scan->format_steps > FORMAT_STEPS_MAX)
        return ML_ELIMIT;
    err = tell_formats(l, false, &l->all);
    return err ? err : tell_formats(l, true, &l->difference);
}

static enum ml_err add_content(struct list *l, uint32_t index)
{
    struct ml_viewer v = {.doc = l->scan->doc, .out = &l->content};

    if (l->is_text) {
        ml_write_bytes(&l->content, ml_item_content(v.doc, ml_item_at(v.doc, index)));
        return l->content.err;
    }
    ml_write_u8(&l->content, l->content.len ? ',' : '[');
    return ml_view_units(&v, index, 0);
}

/* Units of one item. */
static enum ml_err add(struct list *l, uint32_t index, enum ml_list_action action)
{
    const struct ml_item *i = ml_item_at(l->scan->doc, index);
    bool is_text = ml_item_kind(i) == ML_WIRE_STRING;
    enum ml_err err = settle_formats(l);
    struct ml_slice formats = action == ML_LIST_INSERT   ? l->all
                              : action == ML_LIST_RETAIN ? l->difference
                                                         : (struct ml_slice){0};

    if (!err && (l->now.action != action || !ml_slice_equal(l->now.formats, formats) ||
                 (action != ML_LIST_RETAIN && l->is_text != is_text)))
        err = flush(l);
    if (err)
        return err;
    l->now.action = action;
    l->now.formats = formats;
    l->now.len += i->len;
    l->is_text = is_text;
    return action == ML_LIST_RETAIN ? ML_OK : add_content(l, index);
}

static enum ml_err step(struct list *l, uint32_t index)
{
    const struct scan *s = l->scan;
    const struct ml_item *i = ml_item_at(s->doc, index);
    bool lives = !ml_item_is_deleted(i);
    bool lived = !is_added(s, i) && (lives || is_deleted_now(s, i));

    if (ml_item_kind(i) == ML_WIRE_FORMAT) {
        l->formats_moved |= lives || lived;
        if ((lived && !ml_formats_apply(&l->before, ml_format_of(s->doc, index))) ||
            (lives && !ml_formats_apply(&l->after, ml_format_of(s->doc, index))))
            return ML_ELIMIT;
        return ML_OK;
    }
    if (!ml_wire_is_countable(ml_item_kind(i)) || (!lives && !lived))
        return ML_OK;
    return add(l, index, !lives ? ML_LIST_DELETE : lived ? ML_LIST_RETAIN : ML_LIST_INSERT);
}

static enum ml_err tell_list(struct scan *s, uint32_t branch, struct ml_event *e)
{
    struct ml_arena formats;
    struct list l = {.scan = s, .now = {.len = 0}};
    struct ml_list_change *copy;
    enum ml_err err = ML_OK;

    ml_arena_init(&formats, s->doc->limits.doc_bytes);
    ml_writer_init(&l.content, s->doc->limits.doc_bytes);
    l.before = ml_formats_make(&formats);
    l.after = ml_formats_make(&formats);
    for (uint32_t n = ml_branch_at(s->doc, branch)->start; n != NIL && !err;
         n = ml_item_at(s->doc, n)->right)
        err = step(&l, n);
    if (!err)
        err = flush(&l);
    while (l.count && l.ops[l.count - 1].action == ML_LIST_RETAIN &&
           !l.ops[l.count - 1].formats.ptr)
        l.count--;
    copy = err || !l.count ? NULL : ml_arena_array(s->listener->arena, l.count, sizeof *copy);
    if (copy) {
        memcpy(copy, l.ops, l.count * sizeof *copy);
        e->list = copy;
        e->list_count = l.count;
    } else if (l.count) {
        err = ML_ELIMIT;
    }
    free(l.ops);
    ml_writer_release(&l.content);
    ml_arena_release(&formats);
    return err;
}

/* ---- Listening ------------------------------------------------------------------------------- */

/* One type: touches [0, count) are all of it. */
static enum ml_err tell_type(struct scan *s, const struct touch *t, size_t count)
{
    const struct ml_branch *b = ml_branch_at(s->doc, t->branch);
    struct ml_event *e = ml_arena_alloc(s->listener->arena, sizeof *e);
    enum ml_err err;

    if (!e)
        return ML_ELIMIT;
    e->is_root = b->is_root;
    e->type_ref = b->type_ref;
    err = tell_path(s, t->branch, e);
    if (!err && !b->is_root && b->name != NIL)
        e->name = keep_bytes(s, ml_name_text(s->doc, b->name), &err);
    if (!err)
        err = tell_keys(s, t, count, e);
    if (!err && t[count - 1].key == NIL)
        err = tell_list(s, t->branch, e);
    if (!err && (e->key_count || e->list_count)) {
        *s->listener->end = e;
        s->listener->end = &e->next;
    }
    return err;
}

static enum ml_err tell(struct scan *s)
{
    const struct ml_runs *deleted = &s->doc->txn.deleted;
    enum ml_err err;

    for (uint32_t n = 0; n < deleted->count; n++)
        if (!ml_runs_add(s->doc, &s->deleted, deleted->at[n].slot, deleted->at[n].clock,
                         deleted->at[n].end))
            return ML_ELIMIT;
    ml_runs_normalize(&s->deleted);
    err = find_touched(s);
    for (size_t from = 0, to; from < s->count && !err; from = to) {
        for (to = from + 1; to < s->count && s->touches[to].branch == s->touches[from].branch;)
            to++;
        err = tell_type(s, &s->touches[from], to - from);
    }
    return err;
}

static bool look(struct ml_watch *watch, struct ml_doc *doc)
{
    struct ml_listener *l = (struct ml_listener *)watch;
    struct scan s = {.doc = doc, .listener = l};

    if (l->err)
        return true;
    ml_writer_init(&s.out, doc->limits.doc_bytes);
    l->err = tell(&s);
    ml_writer_release(&s.out);
    ml_doc_drop(doc, s.deleted.at, s.deleted.cap * sizeof *s.deleted.at);
    free(s.touches);
    return true;
}

enum ml_err ml_doc_listen(struct ml_doc *doc, struct ml_arena *arena, struct ml_listener **out)
{
    struct ml_listener *l = ml_arena_alloc(arena, sizeof *l);

    if (!l)
        return ML_ELIMIT;
    l->watch.look = look;
    l->arena = arena;
    l->end = &l->first;
    ml_doc_watch(doc, &l->watch);
    *out = l;
    return ML_OK;
}

enum ml_err ml_doc_unlisten(struct ml_doc *doc, struct ml_listener *listener,
                            const struct ml_event **events_out)
{
    ml_doc_unwatch(doc, &listener->watch);
    *events_out = listener->first;
    return listener->err;
}
