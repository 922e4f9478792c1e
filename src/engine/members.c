/* SPDX-License-Identifier: MIT */
/*
 * Knows JavaScript's key order (ECMA-262, OrdinaryOwnPropertyKeys) and nothing of what a value is.
 *
 *  [M1] members of the innermost object are the last ones of the stack;
 *  [M2] their key offsets ascend, so a key offset also tells who came first.
 */
#include "engine/members.h"

#include <stdlib.h>

#include "base/assert.h"

#define SMALL 8 /* objects up to this size are compared pair by pair instead of sorted */

void ml_members_release(struct ml_members *members)
{
    free(members->item);
    *members = (struct ml_members){0};
}

enum ml_err ml_members_add(struct ml_members *members, size_t key, size_t start)
{
    if (key > UINT32_MAX || start > UINT32_MAX)
        return ML_ELIMIT;
    if (members->count == members->cap) {
        size_t cap = members->cap ? members->cap + members->cap / 2 : 16;
        struct ml_member *item = realloc(members->item, cap * sizeof *item);

        if (!item)
            return ML_ELIMIT;
        members->item = item;
        members->cap = cap;
    }
    members->item[members->count++] = (struct ml_member){(uint32_t)key, (uint32_t)start, 0};
    return ML_OK;
}

static struct ml_slice key_of(const uint8_t *keys, const struct ml_member *member)
{
    const uint8_t *p = keys + member->key;
    uint64_t len = 0;

    /* Checked when it was read. */
    for (unsigned shift = 0;; shift += 7) {
        len |= (uint64_t)(*p & 0x7f) << shift;
        if (*p++ < 0x80)
            break;
    }
    return ml_slice_make(p, (size_t)len);
}

uint64_t ml_js_key_rank(struct ml_slice key)
{
    uint64_t value = 0;

    if (key.len == 0 || key.len > 10 || (key.len > 1 && key.ptr[0] == '0'))
        return 1ull << 32;
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] < '0' || key.ptr[i] > '9')
            return 1ull << 32;
        value = value * 10 + (key.ptr[i] - '0');
    }
    return value < UINT32_MAX ? value : 1ull << 32;
}

static int by_key(const void *a, const void *b, void *keys)
{
    const struct ml_member *x = a, *y = b;
    int order = ml_slice_compare(key_of(keys, x), key_of(keys, y));

    return order ? order : (x->key > y->key) - (x->key < y->key);
}

static int by_place(const void *a, const void *b, void *keys)
{
    const struct ml_member *x = a, *y = b;
    uint64_t p = ml_js_key_rank(key_of(keys, x)), q = ml_js_key_rank(key_of(keys, y));

    if (p != q)
        return p < q ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

static bool in_order(const struct ml_member *item, size_t n, const uint8_t *keys)
{
    uint64_t last = 0;

    if (n > SMALL)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct ml_slice key = key_of(keys, &item[i]);
        uint64_t rank = ml_js_key_rank(key);

        if (rank < last)
            return false;
        last = rank;
        for (size_t j = 0; j < i; j++) {
            if (ml_slice_equal(key, key_of(keys, &item[j])))
                return false;
        }
    }
    return true;
}

/* Sorted by key: the first of equal keys keeps its place and takes the segment of the last. */
static size_t join_equal(struct ml_member *item, size_t n, const uint8_t *keys)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (kept && ml_slice_equal(key_of(keys, &item[i]), key_of(keys, &item[kept - 1]))) {
            item[kept - 1].start = item[i].start;
            item[kept - 1].len = item[i].len;
        } else {
            item[kept++] = item[i];
        }
    }
    return kept;
}

static bool lies_in_order(const struct ml_member *item, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (item[i].start < item[i - 1].start)
            return false;
    }
    return true;
}

static enum ml_err move_segments(struct ml_writer *out, size_t body, const struct ml_member *item,
                                 size_t n)
{
    size_t len = out->len - body;
    uint8_t *copy = malloc(len ? len : 1);

    if (!copy)
        return ML_ELIMIT;
    if (len)
        memcpy(copy, out->ptr + body, len);
    out->len = body;
    for (size_t i = 0; i < n; i++)
        ml_write_bytes(out, ml_slice_make(copy + (item[i].start - body), item[i].len));
    free(copy);
    return ML_OK;
}

enum ml_err ml_members_settle(struct ml_members *members, size_t first, const uint8_t *keys,
                              struct ml_writer *out, size_t *count_out)
{
    size_t n = members->count - first, kept, body;
    struct ml_member *item;
    enum ml_err err = ML_OK;

    ML_ASSERT(first <= members->count);
    members->count = first;
    *count_out = n;
    if (out->err || n == 0)
        return out->err;
    item = members->item + first;
    if (!keys)
        keys = out->ptr;
    if (in_order(item, n, keys))
        return ML_OK;

    body = item[0].start;
    for (size_t i = 0; i < n; i++)
        item[i].len = (uint32_t)((i + 1 < n ? item[i + 1].start : out->len) - item[i].start);
    qsort_r(item, n, sizeof *item, by_key, (void *)(uintptr_t)keys);
    kept = join_equal(item, n, keys);
    qsort_r(item, kept, sizeof *item, by_place, (void *)(uintptr_t)keys);
    if (kept < n || !lies_in_order(item, kept))
        err = move_segments(out, body, item, kept);
    *count_out = kept;
    return err;
}

void ml_write_count_at(struct ml_writer *out, size_t at, uint64_t count)
{
    size_t extra = ml_varuint_len(count) - 1;

    if (!ml_writer_reserve(out, 10))
        return;
    ML_ASSERT(at < out->len);
    if (extra) {
        memmove(out->ptr + at + 1 + extra, out->ptr + at + 1, out->len - at - 1);
        out->len += extra;
    }
    (void)ml_put_varuint(out->ptr + at, count);
}
