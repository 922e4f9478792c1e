/* SPDX-License-Identifier: MIT */
/*
 * A list of strings, embeds and formats as text, as Quill delta and as XML.
 *
 *   list     Format b=1 | "ab" | Format b=null | "c" | Embed
 *   in force        b=1                 -
 *   delta    {"insert":"ab","attributes":{"b":1}} {"insert":"c"} {"insert":…}
 *   XML      <b>ab</b>c[object Object]
 *
 * Source: Yjs 13.6, YText.toDelta and YXmlText.toString. The delta joins neighbouring strings with
 * equal attributes, which Yjs leaves apart; XML begins a new element at every format, as Yjs does.
 *
 *  [T1] `sum` is the sum of a hash of every attribute in force: equal sums are taken for equal sets
 *       (64 bits under the process's key), so a join costs nothing however many there are;
 *  [T2] attributes are written in UTF-16 order of their keys.
 */
#include <stdlib.h>

#include "base/hashmap.h"
#include "base/utf8.h"
#include "engine/any.h"
#include "engine/snapshot.h"
#include "engine/view.h"

struct attr {
    struct ml_slice key, value; /* of the document; value: JSON text, .ptr NULL: not in force */
};

struct attrs {
    struct attr *item;
    size_t count, cap, live;
    struct ml_hashmap index; /* key to position + 1 */
    uint64_t sum;
};

static void attrs_init(struct attrs *a)
{
    *a = (struct attrs){0};
    ml_hashmap_init(&a->index);
}

static void attrs_release(struct attrs *a)
{
    free(a->item);
    ml_hashmap_release(&a->index);
}

static uint64_t attr_hash(const struct attr *attr)
{
    uint64_t pair[2] = {ml_hash_bytes(attr->key), ml_hash_bytes(attr->value)};

    return ml_hash_bytes(ml_slice_make(pair, sizeof pair));
}

static bool index_attr(struct attrs *a, size_t position)
{
    return ml_hashmap_put(&a->index, a->item[position].key, (void *)(uintptr_t)(position + 1));
}

/* Room for one more, without those that are not in force any more. */
static enum ml_err attrs_reserve(struct attrs *a)
{
    size_t kept = 0;

    if (a->count < a->cap)
        return ML_OK;
    if (a->live < a->cap / 2) {
        for (size_t i = 0; i < a->count; i++) {
            if (!a->item[i].value.ptr)
                continue;
            a->item[kept] = a->item[i];
            if (!index_attr(a, kept++))
                return ML_ELIMIT;
        }
        a->count = kept;
    } else {
        size_t cap = a->cap ? a->cap * 2 : 8;
        struct attr *item = realloc(a->item, cap * sizeof *item);

        if (!item)
            return ML_ELIMIT;
        a->item = item;
        a->cap = cap;
    }
    return ML_OK;
}

static bool is_null(struct ml_slice json)
{
    static const char space[] = " \t\r\n";

    while (json.len && memchr(space, json.ptr[0], 4)) {
        json.ptr++;
        json.len--;
    }
    while (json.len && memchr(space, json.ptr[json.len - 1], 4))
        json.len--;
    return ml_slice_equal(json, ML_SLICE("null"));
}

/* A format of the list comes into force. */
static enum ml_err attrs_set(struct attrs *a, struct ml_slice content)
{
    struct ml_reader in = ml_reader_make(content);
    struct attr attr;
    size_t position;
    enum ml_err err;

    err = ml_read_varbytes(&in, &attr.key);
    if (!err)
        err = ml_read_varbytes(&in, &attr.value);
    if (err)
        return err;
    position = (size_t)(uintptr_t)ml_hashmap_get(&a->index, attr.key);
    if (position) {
        struct attr *old = &a->item[position - 1];

        a->sum -= attr_hash(old);
        if (is_null(attr.value)) {
            (void)ml_hashmap_remove(&a->index, old->key);
            old->value.ptr = NULL;
            a->live--;
        } else {
            old->value = attr.value;
            a->sum += attr_hash(old);
        }
        return ML_OK;
    }
    if (is_null(attr.value))
        return ML_OK;
    err = attrs_reserve(a);
    if (err)
        return err;
    a->item[a->count++] = attr;
    a->live++;
    a->sum += attr_hash(&attr);
    return index_attr(a, a->count - 1) ? ML_OK : ML_ELIMIT;
}

static int by_key(const void *a, const void *b)
{
    const struct attr *const *x = a, *const *y = b;

    return ml_view_compare((*x)->key, (*y)->key);
}

/* Those in force, sorted. Free *out. */
static enum ml_err attrs_sorted(const struct attrs *a, const struct attr ***out)
{
    size_t n = 0;

    *out = malloc((a->live ? a->live : 1) * sizeof **out);
    if (!*out)
        return ML_ELIMIT;
    for (size_t i = 0; i < a->count; i++) {
        if (a->item[i].value.ptr)
            (*out)[n++] = &a->item[i];
    }
    qsort(*out, n, sizeof **out, by_key);
    return ML_OK;
}

/* ---- Text ------------------------------------------------------------------------------------ */

enum ml_err ml_view_text(struct ml_viewer *v, uint32_t branch)
{
    ML_VIEW_EACH(v->doc, branch, index)
    {
        const struct ml_item *item = ml_item_at(v->doc, index);

        if (ml_item_kind(item) == ML_WIRE_STRING)
            ml_write_bytes(v->out, ml_item_content(v->doc, item));
    }
    return v->out->err;
}

/* ---- Delta ----------------------------------------------------------------------------------- */

struct delta {
    struct ml_viewer *v;
    struct attrs attrs;
    struct ml_writer tail; /* `,"attributes":{…}` of the string that is being written */
    uint64_t sum;          /* of its attributes */
    bool open, any;
};

static enum ml_err write_attributes(struct ml_writer *out, const struct attrs *a)
{
    const struct attr **sorted;
    enum ml_err err;

    if (!a->live)
        return ML_OK;
    err = attrs_sorted(a, &sorted);
    if (err)
        return err;
    ml_write_bytes(out, ML_SLICE(",\"attributes\":"));
    for (size_t i = 0; i < a->live; i++) {
        ml_write_u8(out, i ? ',' : '{');
        ml_write_json_string(out, sorted[i]->key);
        ml_write_u8(out, ':');
        ml_write_bytes(out, sorted[i]->value);
    }
    ml_write_u8(out, '}');
    free(sorted);
    return out->err;
}

static void close_string(struct delta *d)
{
    if (!d->open)
        return;
    ml_write_u8(d->v->out, '"');
    ml_write_bytes(d->v->out, ml_writer_slice(&d->tail));
    ml_write_u8(d->v->out, '}');
    d->open = false;
}

static void open_insert(struct delta *d)
{
    ml_write_bytes(d->v->out, d->any ? ML_SLICE(",{\"insert\":") : ML_SLICE("{\"insert\":"));
    d->any = true;
}

static enum ml_err add_string(struct delta *d, struct ml_slice text)
{
    struct ml_writer *out = d->v->out;
    size_t at;
    enum ml_err err;

    if (d->open && d->sum != d->attrs.sum)
        close_string(d);
    if (!d->open) {
        open_insert(d);
        ml_write_u8(out, '"');
        ml_writer_reset(&d->tail);
        err = write_attributes(&d->tail, &d->attrs);
        if (err)
            return err;
        d->sum = d->attrs.sum;
        d->open = true;
    }
    at = out->len;
    ml_write_json_string(out, text);
    if (out->err)
        return out->err;
    out->len -= 2; /* its quotes */
    memmove(out->ptr + at, out->ptr + at + 1, out->len - at);
    return ML_OK;
}

static enum ml_err add_value(struct delta *d, const struct ml_item *item)
{
    enum ml_err err = ML_OK;

    close_string(d);
    open_insert(d);
    if (ml_item_kind(item) == ML_WIRE_TYPE)
        err = ml_view_json(d->v, item->off);
    else
        ml_write_bytes(d->v->out, ml_item_content(d->v->doc, item));
    if (!err)
        err = write_attributes(d->v->out, &d->attrs);
    ml_write_u8(d->v->out, '}');
    return err;
}

static enum ml_err add_delta_item(struct delta *d, const struct ml_item *item)
{
    switch (ml_item_kind(item)) {
    case ML_WIRE_STRING:
        return add_string(d, ml_item_content(d->v->doc, item));
    case ML_WIRE_EMBED:
    case ML_WIRE_TYPE:
        return add_value(d, item);
    case ML_WIRE_FORMAT:
        return attrs_set(&d->attrs, ml_item_content(d->v->doc, item));
    default:
        return ML_OK;
    }
}

static void begin_delta(struct delta *d, struct ml_viewer *v)
{
    *d = (struct delta){.v = v};
    attrs_init(&d->attrs);
    ml_writer_init(&d->tail, v->out->max);
    ml_write_u8(v->out, '[');
}

static void end_delta(struct delta *d)
{
    close_string(d);
    ml_write_u8(d->v->out, ']');
    attrs_release(&d->attrs);
    ml_writer_release(&d->tail);
}

enum ml_err ml_view_delta(struct ml_viewer *v, uint32_t branch)
{
    struct delta d;
    enum ml_err err = ML_OK;

    begin_delta(&d, v);
    ML_VIEW_EACH(v->doc, branch, index)
    {
        err = add_delta_item(&d, ml_item_at(v->doc, index));
        if (err || v->out->err)
            break;
    }
    end_delta(&d);
    return err ? err : v->out->err;
}

/* ---- Delta between two moments --------------------------------------------------------------- */

/* When something was to be seen, and what the attribute ychange says about it. */
enum seen { SEEN_NEVER, SEEN_BEFORE, SEEN_AFTER, SEEN_ALWAYS };

/* As the content of a format item. */
static struct ml_slice ychange_of(enum seen seen)
{
    switch (seen) {
    case SEEN_BEFORE:
        return ML_SLICE("\x07"
                        "ychange"
                        "\x12"
                        "{\"type\":\"removed\"}");
    case SEEN_AFTER:
        return ML_SLICE("\x07"
                        "ychange"
                        "\x10"
                        "{\"type\":\"added\"}");
    default:
        return ML_SLICE("\x07"
                        "ychange"
                        "\x04"
                        "null");
    }
}

/* The units [from, to) of a text; half of a pair shows as U+FFFD. */
static enum ml_err add_units(struct delta *d, struct ml_slice text, uint32_t from, uint32_t to)
{
    bool in_first, in_last;
    size_t begin = ml_utf8_offset(text, from, &in_first), end = ml_utf8_offset(text, to, &in_last);
    enum ml_err err = ML_OK;

    if (in_first) {
        err = add_string(d, ML_SLICE("\xef\xbf\xbd"));
        begin += 4;
    }
    if (!err && end > begin)
        err = add_string(d, ml_slice_make(text.ptr + begin, end - begin));
    if (!err && in_last)
        err = add_string(d, ML_SLICE("\xef\xbf\xbd"));
    return err;
}

/* Units of one item that were to be seen at the same moments. */
static enum ml_err add_seen(struct delta *d, const struct ml_item *item, uint32_t from, uint32_t to,
                            enum seen seen)
{
    unsigned kind = ml_item_kind(item);
    enum ml_err err;

    if (kind == ML_WIRE_DELETED)
        return ML_ENOTFOUND;
    if (kind == ML_WIRE_FORMAT)
        return seen == SEEN_BEFORE ? ML_OK : add_delta_item(d, item);
    if (kind != ML_WIRE_STRING && kind != ML_WIRE_EMBED && kind != ML_WIRE_TYPE)
        return ML_OK;
    err = attrs_set(&d->attrs, ychange_of(seen));
    if (err)
        return err;
    return kind == ML_WIRE_STRING ? add_units(d, ml_item_content(d->v->doc, item), from, to)
                                  : add_value(d, item);
}

static enum ml_err add_item_between(struct delta *d, const struct ml_item *item,
                                    const struct ml_snapshot *from, const struct ml_snapshot *to)
{
    ml_client_id client = d->v->doc->clients[ml_item_slot(item)].id;
    uint64_t clock = item->clock, end = ml_item_end(item), until, until_to;
    enum ml_err err = ML_OK;

    for (; clock < end && !err; clock = until) {
        unsigned seen = ml_snapshot_shows(from, client, clock, &until) ? SEEN_BEFORE : SEEN_NEVER;

        seen |= ml_snapshot_shows(to, client, clock, &until_to) ? SEEN_AFTER : SEEN_NEVER;
        until = until < until_to ? until : until_to;
        until = until < end ? until : end;
        if (seen != SEEN_NEVER)
            err = add_seen(d, item, (uint32_t)clock - item->clock, (uint32_t)until - item->clock,
                           (enum seen)seen);
    }
    return err;
}

enum ml_err ml_view_delta_between(struct ml_viewer *v, uint32_t branch,
                                  const struct ml_snapshot *from, const struct ml_snapshot *to)
{
    struct delta d;
    enum ml_err err = ML_OK;

    begin_delta(&d, v);
    for (uint32_t i = ml_branch_at(v->doc, branch)->start; i != NIL && !err;
         i = ml_item_at(v->doc, i)->right)
        err = v->out->err ? v->out->err : add_item_between(&d, ml_item_at(v->doc, i), from, to);
    end_delta(&d);
    return err ? err : v->out->err;
}

/* ---- XML ------------------------------------------------------------------------------------- */

/* Elements for what is in force: opening ones, or closing ones from the inside out. */
static enum ml_err write_tags(struct ml_writer *out, const struct attrs *a, bool closing)
{
    const struct attr **sorted;
    enum ml_err err;

    if (!a->live)
        return ML_OK;
    err = attrs_sorted(a, &sorted);
    for (size_t i = 0; !err && i < a->live; i++) {
        const struct attr *attr = closing ? sorted[a->live - 1 - i] : sorted[i];

        ml_write_bytes(out, closing ? ML_SLICE("</") : ML_SLICE("<"));
        ml_write_bytes(out, attr->key);
        if (!closing)
            err = ml_view_xml_members(out, attr->value);
        ml_write_u8(out, '>');
    }
    free(sorted);
    return err ? err : out->err;
}

/* One embed or type inside the elements that are in force. */
static enum ml_err write_xml_value(struct ml_viewer *v, const struct attrs *a,
                                   const struct ml_item *item)
{
    enum ml_err err = write_tags(v->out, a, false);

    if (err)
        return err;
    if (ml_item_kind(item) == ML_WIRE_TYPE)
        err = ml_view_xml(v, item->off);
    else
        err = ml_view_json_as_text(v->out, ml_item_content(v->doc, item));
    return err ? err : write_tags(v->out, a, true);
}

static enum ml_err write_xml_items(struct ml_viewer *v, struct attrs *a, uint32_t branch)
{
    bool open = false;
    enum ml_err err;

    ML_VIEW_EACH(v->doc, branch, index)
    {
        const struct ml_item *item = ml_item_at(v->doc, index);
        unsigned kind = ml_item_kind(item);

        if (kind == ML_WIRE_STRING) {
            err = open ? ML_OK : write_tags(v->out, a, false);
            ml_write_bytes(v->out, ml_item_content(v->doc, item));
            open = true;
        } else if (kind == ML_WIRE_EMBED || kind == ML_WIRE_TYPE || kind == ML_WIRE_FORMAT) {
            err = open ? write_tags(v->out, a, true) : ML_OK;
            open = false;
            if (!err)
                err = kind == ML_WIRE_FORMAT ? attrs_set(a, ml_item_content(v->doc, item))
                                             : write_xml_value(v, a, item);
        } else {
            continue;
        }
        if (err || v->out->err)
            return err ? err : v->out->err;
    }
    return open ? write_tags(v->out, a, true) : v->out->err;
}

enum ml_err ml_view_xml_text(struct ml_viewer *v, uint32_t branch)
{
    struct attrs attrs;
    enum ml_err err;

    attrs_init(&attrs);
    err = write_xml_items(v, &attrs, branch);
    attrs_release(&attrs);
    return err;
}
