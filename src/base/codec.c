/* SPDX-License-Identifier: MIT */
#include "base/codec.h"

#include "base/utf8.h"

#include <stdlib.h>

enum ml_err ml_read_varuint_long(struct ml_reader *r, uint64_t *out)
{
    const uint8_t *p = r->pos;
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;

        if (p == r->end)
            return ML_EFORMAT;
        byte = *p++;
        if (shift < 63)
            value |= (uint64_t)(byte & 0x7f) << shift;
        else if (byte & 0x7f)
            return ML_EFORMAT;
        if (value > ML_VARUINT_MAX)
            return ML_EFORMAT;
        if (byte < 0x80) {
            r->pos = p;
            *out = value;
            return ML_OK;
        }
    }
    return ML_EFORMAT;
}

enum ml_err ml_read_varint(struct ml_reader *r, uint64_t *magnitude_out, bool *negative_out)
{
    const uint8_t *p = r->pos;
    uint64_t value;
    uint8_t byte;

    if (p == r->end)
        return ML_EFORMAT;
    byte = *p++;
    value = byte & 0x3f;
    *negative_out = byte & 0x40;
    for (unsigned shift = 6; byte & 0x80; shift += 7) {
        if (p == r->end || shift > 62)
            return ML_EFORMAT;
        byte = *p++;
        if (shift > 57 && (byte & 0x7f) >> (64 - shift))
            return ML_EFORMAT;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (value > ML_VARUINT_MAX)
            return ML_EFORMAT;
    }
    r->pos = p;
    *magnitude_out = value;
    return ML_OK;
}

enum ml_err ml_read_bytes(struct ml_reader *r, size_t len, struct ml_slice *out)
{
    if (len > ml_reader_left(r))
        return ML_EFORMAT;
    *out = ml_slice_make(r->pos, len);
    r->pos += len;
    return ML_OK;
}

enum ml_err ml_read_varbytes(struct ml_reader *r, struct ml_slice *out)
{
    const uint8_t *began = r->pos;
    uint64_t len;
    enum ml_err err;

    err = ml_read_varuint(r, &len);
    if (err)
        return err;
    if (len > ml_reader_left(r)) {
        r->pos = began;
        return ML_EFORMAT;
    }
    return ml_read_bytes(r, (size_t)len, out);
}

enum ml_err ml_read_varstring(struct ml_reader *r, struct ml_slice *out, size_t *units_utf16_out)
{
    const uint8_t *began = r->pos;
    enum ml_err err;

    err = ml_read_varbytes(r, out);
    if (err)
        return err;
    if (!ml_utf8_check(*out, units_utf16_out)) {
        r->pos = began;
        return ML_EFORMAT;
    }
    return ML_OK;
}

void ml_writer_init(struct ml_writer *w, size_t max_bytes)
{
    *w = (struct ml_writer){.max = max_bytes};
}

void ml_writer_release(struct ml_writer *w)
{
    free(w->ptr);
    *w = (struct ml_writer){.max = w->max};
}

bool ml_writer_grow(struct ml_writer *w, size_t more)
{
    size_t cap;
    uint8_t *ptr;

    if (w->err)
        return false;
    if (more > w->max || w->len > w->max - more) {
        w->err = ML_ELIMIT;
        return false;
    }
    cap = w->cap ? w->cap : 64;
    while (cap < w->len + more)
        cap += cap / 2;
    if (cap > w->max)
        cap = w->max;
    ptr = realloc(w->ptr, cap);
    if (!ptr) {
        w->err = ML_ELIMIT;
        return false;
    }
    w->ptr = ptr;
    w->cap = cap;
    return true;
}

void ml_write_varint(struct ml_writer *w, uint64_t magnitude, bool negative)
{
    uint8_t first = (uint8_t)((magnitude & 0x3f) | (negative ? 0x40 : 0));

    magnitude >>= 6;
    ml_write_u8(w, magnitude ? first | 0x80 : first);
    if (magnitude)
        ml_write_varuint(w, magnitude);
}

void ml_write_bytes(struct ml_writer *w, struct ml_slice bytes)
{
    if (bytes.len && ml_writer_reserve(w, bytes.len)) {
        memcpy(w->ptr + w->len, bytes.ptr, bytes.len);
        w->len += bytes.len;
    }
}

void ml_write_varbytes(struct ml_writer *w, struct ml_slice bytes)
{
    ml_write_varuint(w, bytes.len);
    ml_write_bytes(w, bytes);
}
