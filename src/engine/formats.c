/* SPDX-License-Identifier: MIT */
/* Sets of formats, and when two of their values are equal. See formats.h. */
#include "engine/formats.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hashmap.h"
#include "engine/any.h"
#include "engine/members.h"

#define ANY_DEPTH_MAX 256
#define VALUE_MAX     ((size_t)1 << 30)

/* ---- Sets ------------------------------------------------------------------------------------
 */

static uint32_t slot_of(const struct ml_formats *f, struct ml_slice key)
{
    uint32_t i = (uint32_t)ml_hash_bytes(key) & (f->table_cap - 1);

    while (f->table[i] && !ml_slice_equal(f->at[f->table[i] - 1].key, key))
        i = (i + 1) & (f->table_cap - 1);
    return i;
}

/* Position of the newest entry of the key, NIL: none. */
static uint32_t position_of(const struct ml_formats *f, struct ml_slice key)
{
    if (f->table) {
        uint32_t entry = f->table[slot_of(f, key)];

        return entry ? entry - 1 : NIL;
    }
    for (uint32_t i = f->count; i-- > 0;)
        if (ml_slice_equal(f->at[i].key, key))
            return i;
    return NIL;
}

const struct ml_format *ml_formats_get(const struct ml_formats *f, struct ml_slice key)
{
    uint32_t i = position_of(f, key);

    return i == NIL || !f->at[i].json.ptr ? NULL : &f->at[i];
}

/* Everything once more into `cap` places, without what was taken out. */
static bool rebuild(struct ml_formats *f, uint32_t cap)
{
    struct ml_format *at = ml_arena_array(f->arena, cap, sizeof *at);
    uint32_t n = 0;

    if (!at)
        return false;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].json.ptr)
            at[n++] = f->at[i];
    f->at = at;
    f->cap = cap;
    f->count = n;
    f->table = NULL;
    if (cap <= ML_FORMATS_LINEAR)
        return true;
    f->table_cap = cap * 2;
    f->table = ml_arena_array(f->arena, f->table_cap, sizeof *f->table);
    for (uint32_t i = 0; f->table && i < n; i++)
        f->table[slot_of(f, at[i].key)] = i + 1;
    return f->table != NULL;
}

/* One more place. What was taken out is thrown away before the set grows, in place. */
static bool make_room(struct ml_formats *f)
{
    uint32_t n = 0;

    if (f->count < f->cap)
        return true;
    if (f->live >= f->cap / 2)
        return f->cap < UINT32_MAX / 4 && rebuild(f, f->cap ? f->cap * 2 : ML_FORMATS_LINEAR);
    for (uint32_t i = 0; i < f->count; i++)
        if (f->at[i].json.ptr)
            f->at[n++] = f->at[i];
    f->count = n;
    if (f->table)
        memset(f->table, 0, f->table_cap * sizeof *f->table);
    for (uint32_t i = 0; f->table && i < n; i++)
        f->table[slot_of(f, f->at[i].key)] = i + 1;
    return true;
}

bool ml_formats_set(struct ml_formats *f, struct ml_format format)
{
    uint32_t i = position_of(f, format.key);

    if (i != NIL && f->at[i].json.ptr) {
        f->at[i] = format;
        return true;
    }
    if (!make_room(f))
        return false;
    if (f->table)
        f->table[slot_of(f, format.key)] = f->count + 1;
    f->at[f->count++] = format;
    f->live++;
    return true;
}

void ml_formats_remove(struct ml_formats *f, struct ml_slice key)
{
    uint32_t i = position_of(f, key);

    if (i == NIL || !f->at[i].json.ptr)
        return;
    f->at[i].json = (struct ml_slice){0};
    f->live--;
}

bool ml_formats_copy(struct ml_formats *to, const struct ml_formats *from)
{
    *to = ml_formats_make(from->arena);
    for (uint32_t i = 0; i < from->count; i++)
        if (from->at[i].json.ptr && !ml_formats_set(to, from->at[i]))
            return false;
    return true;
}

static int by_rank(const void *pa, const void *pb)
{
    const struct ml_format *a = pa, *b = pb;
    uint64_t x = ml_js_key_rank(a->key), y = ml_js_key_rank(b->key);

    if (x != y)
        return x < y ? -1 : 1;
    return (a->item > b->item) - (a->item < b->item); /* the place it had */
}

bool ml_formats_order(struct ml_formats *f)
{
    uint64_t last = 0;
    bool sorted = true;

    if (!rebuild(f, f->cap ? f->cap : ML_FORMATS_LINEAR))
        return false;
    for (uint32_t i = 0; i < f->count && sorted; i++) {
        uint64_t rank = ml_js_key_rank(f->at[i].key);

        sorted = rank >= last;
        last = rank;
    }
    if (sorted)
        return true;
    for (uint32_t i = 0; i < f->count; i++)
        f->at[i].item = i;
    qsort(f->at, f->count, sizeof *f->at, by_rank);
    for (uint32_t i = 0; i < f->count; i++)
        f->at[i].item = NIL;
    return rebuild(f, f->cap);
}

/* ---- In a document ---------------------------------------------------------------------------
 */

struct ml_format ml_format_of(const struct ml_doc *doc, uint32_t item)
{
    struct ml_reader in = ml_reader_make(ml_item_content(doc, ml_item_at(doc, item)));
    struct ml_format format = {.item = item};
    enum ml_err err = ml_read_varbytes(&in, &format.key);

    if (!err)
        err = ml_read_varbytes(&in, &format.json);
    ML_ASSERT(!err); /* checked on its way in */
    return format;
}

bool ml_formats_apply(struct ml_formats *f, struct ml_format format)
{
    if (!ml_json_is_null(format.json))
        return ml_formats_set(f, format);
    ml_formats_remove(f, format.key);
    return true;
}

/* ---- Values ----------------------------------------------------------------------------------
 */

static struct ml_slice trimmed(struct ml_slice json)
{
    static const char space[] = " \t\r\n";

    if (json.len && json.ptr[0] > ' ' && json.ptr[json.len - 1] > ' ')
        return json; /* what every writer but a strange one sends */
    while (json.len && memchr(space, json.ptr[0], 4)) {
        json.ptr++;
        json.len--;
    }
    while (json.len && memchr(space, json.ptr[json.len - 1], 4))
        json.len--;
    return json;
}

bool ml_json_is_null(struct ml_slice json)
{
    return ml_slice_equal(trimmed(json), ML_SLICE("null"));
}

static bool is_container(struct ml_slice json)
{
    return json.len && (json.ptr[0] == '{' || json.ptr[0] == '[');
}

/* A member of a container; of a list the key is the index in decimal. */
struct member {
    struct ml_slice key, any;
};

static int by_key(const void *pa, const void *pb)
{
    const struct member *a = pa, *b = pb;

    return ml_slice_compare(a->key, b->key);
}

/* The members of a container in Any, sorted; *flat_out: none of them is a container. */
static struct member *members_of(struct ml_arena *arena, struct ml_slice any, size_t *count_out,
                                 bool *flat_out)
{
    struct ml_reader in = ml_reader_make(ml_slice_make(any.ptr + 1, any.len - 1));
    bool is_list = any.ptr[0] == 0x75;
    struct member *all;
    uint64_t count;
    enum ml_err err = ml_read_varuint(&in, &count);

    *flat_out = true;
    *count_out = (size_t)count;
    all = err ? NULL : ml_arena_array(arena, count + 1, sizeof *all);
    for (uint64_t i = 0; all && i < count; i++) {
        const uint8_t *began;

        if (is_list) {
            char text[24];
            int len = snprintf(text, sizeof text, "%llu", (unsigned long long)i);

            all[i].key = ml_arena_copy(arena, ml_slice_make(text, (size_t)len));
        } else {
            err = ml_read_varbytes(&in, &all[i].key);
        }
        began = in.pos;
        if (!err)
            err = ml_any_skip(&in, ANY_DEPTH_MAX);
        if (err || !all[i].key.ptr)
            return NULL;
        all[i].any = ml_slice_make(began, (size_t)(in.pos - began));
        *flat_out &= *began != 0x75 && *began != 0x76;
    }
    if (all)
        qsort(all, count, sizeof *all, by_key);
    return all;
}

static int is_equal_flat(struct ml_arena *arena, struct ml_slice a, struct ml_slice b)
{
    size_t n, m;
    bool flat_a, flat_b;
    struct member *x = members_of(arena, a, &n, &flat_a), *y = members_of(arena, b, &m, &flat_b);

    if (!x || !y)
        return -1;
    if (n != m || !flat_a || !flat_b)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (!ml_slice_equal(x[i].key, y[i].key) || !ml_slice_equal(x[i].any, y[i].any))
            return 0;
    return 1;
}

/* The value as lib0 writes it. .ptr NULL: out of memory. */
static struct ml_slice to_any(struct ml_arena *arena, struct ml_slice json)
{
    struct ml_slice any = {0};
    struct ml_writer w;

    ml_writer_init(&w, VALUE_MAX);
    if (!ml_json_to_any(json, ANY_DEPTH_MAX, &w))
        any = ml_arena_copy(arena, ml_writer_slice(&w));
    ml_writer_release(&w);
    return any;
}

int ml_json_is_equal(struct ml_arena *arena, struct ml_slice a, struct ml_slice b)
{
    struct ml_slice x, y;

    a = trimmed(a);
    b = trimmed(b);
    if (is_container(a) != is_container(b))
        return 0;
    if (!is_container(a) && ml_slice_equal(a, b))
        return 1;
    x = to_any(arena, a);
    y = to_any(arena, b);
    if (!x.ptr || !y.ptr)
        return -1;
    return is_container(a) ? is_equal_flat(arena, x, y) : ml_slice_equal(x, y);
}

int ml_format_is_same(struct ml_arena *arena, const struct ml_format *a, const struct ml_format *b)
{
    if (is_container(trimmed(a->json)) || is_container(trimmed(b->json)))
        return a->item != NIL && a->item == b->item;
    return ml_json_is_equal(arena, a->json, b->json);
}
