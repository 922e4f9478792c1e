/* SPDX-License-Identifier: MIT */
#include "engine/any_walk.h"

#include "base/assert.h"
#include "engine/any.h"

uint8_t ml_any_tag(struct ml_slice any)
{
    return any.len ? any.ptr[0] : ML_TAG_UNDEFINED;
}

struct ml_any_walk ml_any_walk(struct ml_slice any)
{
    struct ml_any_walk w = {.is_object = ml_any_tag(any) == ML_TAG_OBJECT};

    if (!w.is_object && ml_any_tag(any) != ML_TAG_ARRAY)
        return w;
    w.in = ml_reader_make(ml_slice_make(any.ptr + 1, any.len - 1));
    if (ml_read_varuint(&w.in, &w.left))
        w.left = 0;
    return w;
}

bool ml_any_next(struct ml_any_walk *w, struct ml_slice *key, struct ml_slice *value)
{
    const uint8_t *began;
    enum ml_err err = ML_OK;

    if (!w->left)
        return false;
    w->left--;
    if (w->is_object)
        err = ml_read_varbytes(&w->in, key);
    began = w->in.pos;
    if (!err)
        err = ml_any_skip(&w->in, UINT32_MAX);
    ML_ASSERT(!err);
    *value = ml_slice_make(began, (size_t)(w->in.pos - began));
    return true;
}

struct ml_slice ml_any_member(struct ml_slice any, struct ml_slice name)
{
    struct ml_any_walk w = ml_any_walk(any);
    struct ml_slice key = {0}, value, found = {0};

    while (w.is_object && ml_any_next(&w, &key, &value))
        if (ml_slice_equal(key, name))
            found = value;
    return found;
}

bool ml_any_string(struct ml_slice any, struct ml_slice *out)
{
    struct ml_reader in;

    if (ml_any_tag(any) != ML_TAG_STRING)
        return false;
    in = ml_reader_make(ml_slice_make(any.ptr + 1, any.len - 1));
    return ml_read_varbytes(&in, out) == ML_OK;
}

static uint64_t big_endian(const uint8_t *p, size_t len)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < len; i++)
        bits = bits << 8 | p[i];
    return bits;
}

bool ml_any_number(struct ml_slice any, double *out)
{
    struct ml_reader in = ml_reader_make(any);
    uint64_t bits;
    uint32_t word;
    float narrow;
    bool negative;

    switch (ml_any_tag(any)) {
    case ML_TAG_INTEGER:
        in.pos++;
        if (ml_read_varint(&in, &bits, &negative))
            return false;
        *out = negative ? -(double)bits : (double)bits;
        return true;
    case ML_TAG_FLOAT32:
        word = (uint32_t)big_endian(any.ptr + 1, 4);
        memcpy(&narrow, &word, sizeof narrow);
        *out = (double)narrow;
        return true;
    case ML_TAG_FLOAT64:
        bits = big_endian(any.ptr + 1, 8);
        memcpy(out, &bits, sizeof *out);
        return true;
    default:
        return false;
    }
}

bool ml_any_index(struct ml_slice any, uint32_t *out)
{
    double value;

    if (!ml_any_number(any, &value) || !(value >= 0 && value <= (double)UINT32_MAX))
        return false;
    *out = (uint32_t)value;
    return (double)*out == value;
}
