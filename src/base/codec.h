/* SPDX-License-Identifier: MIT */
/*
 * lib0's primitive encodings: reading with bounds, writing with a ceiling.
 *
 *   varuint    7 bits per byte, least significant group first, bit 7: more follows; 0 … 2^53-1
 *   varint     first byte: bit 7 more, bit 6 sign, bits 0-5 magnitude; later bytes as varuint
 *   varbytes   varuint length, bytes
 *   varstring  varuint length in bytes, UTF-8
 *
 * Source: lib0 0.2.120, encoding.js and decoding.js. Different from it on purpose: at most ten
 * bytes and 2^53-1 for a number, and every read is checked against the end.
 */
#ifndef ML_BASE_CODEC_H
#define ML_BASE_CODEC_H

#include "base/err.h"
#include "base/slice.h"

/** Largest integer on the wire. */
#define ML_VARUINT_MAX ((1ull << 53) - 1)

/** A position in borrowed bytes. After a failed read `pos` stands where the broken value began. */
struct ml_reader {
    const uint8_t *start, *pos, *end;
};

static inline struct ml_reader ml_reader_make(struct ml_slice bytes)
{
    return (struct ml_reader){bytes.ptr, bytes.ptr, bytes.len ? bytes.ptr + bytes.len : bytes.ptr};
}

static inline size_t ml_reader_left(const struct ml_reader *r)
{
    return (size_t)(r->end - r->pos);
}

static inline size_t ml_reader_offset(const struct ml_reader *r)
{
    return (size_t)(r->pos - r->start);
}

/* The general case of ml_read_varuint. */
enum ml_err ml_read_varuint_long(struct ml_reader *r, uint64_t *out) ML_MUST_CHECK;

static inline enum ml_err ML_MUST_CHECK ml_read_u8(struct ml_reader *r, uint8_t *out)
{
    if (r->pos == r->end)
        return ML_EFORMAT;
    *out = *r->pos++;
    return ML_OK;
}

static inline enum ml_err ML_MUST_CHECK ml_read_varuint(struct ml_reader *r, uint64_t *out)
{
    if (r->pos < r->end && *r->pos < 0x80) {
        *out = *r->pos++;
        return ML_OK;
    }
    return ml_read_varuint_long(r, out);
}

/** Sign and magnitude apart, because the run-length columns of V2 give meaning to negative zero. */
enum ml_err ml_read_varint(struct ml_reader *r, uint64_t *magnitude_out,
                           bool *negative_out) ML_MUST_CHECK;

/** `len` raw bytes, borrowed from the input. */
enum ml_err ml_read_bytes(struct ml_reader *r, size_t len, struct ml_slice *out) ML_MUST_CHECK;
/** varbytes, borrowed from the input. */
enum ml_err ml_read_varbytes(struct ml_reader *r, struct ml_slice *out) ML_MUST_CHECK;
/** varstring; refuses broken UTF-8. @param units_utf16_out  its length in UTF-16 units, may be NULL
 */
enum ml_err ml_read_varstring(struct ml_reader *r, struct ml_slice *out,
                              size_t *units_utf16_out) ML_MUST_CHECK;

/**
 * Growing bytes with a ceiling. Errors stick: after the first one every write does nothing, and
 * `err` says what happened, so that an encoder checks once at its end.
 */
struct ml_writer {
    uint8_t *ptr;
    size_t len, cap, max;
    enum ml_err err;
};

void ml_writer_init(struct ml_writer *w, size_t max_bytes);
/** Frees the bytes; the writer is as after init. */
void ml_writer_release(struct ml_writer *w);
/** Forget the content, keep the memory. */
static inline void ml_writer_reset(struct ml_writer *w)
{
    w->len = 0;
    w->err = ML_OK;
}

/** Room for `more` bytes at the end; false (and err = ML_ELIMIT) if over the ceiling or out of
 * memory. */
bool ml_writer_grow(struct ml_writer *w, size_t more);

static inline bool ml_writer_reserve(struct ml_writer *w, size_t more)
{
    return w->err == ML_OK && (w->cap - w->len >= more || ml_writer_grow(w, more));
}

static inline struct ml_slice ml_writer_slice(const struct ml_writer *w)
{
    return (struct ml_slice){w->ptr, w->len};
}

/** Write a varuint at `p`, which has room for ten bytes; answers the end. */
static inline uint8_t *ml_put_varuint(uint8_t *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

/** Bytes that ml_put_varuint would write. */
static inline size_t ml_varuint_len(uint64_t value)
{
    size_t n = 1;

    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

static inline void ml_write_u8(struct ml_writer *w, uint8_t byte)
{
    if (ml_writer_reserve(w, 1))
        w->ptr[w->len++] = byte;
}

static inline void ml_write_varuint(struct ml_writer *w, uint64_t value)
{
    if (ml_writer_reserve(w, 10))
        w->len = (size_t)(ml_put_varuint(w->ptr + w->len, value) - w->ptr);
}

void ml_write_varint(struct ml_writer *w, uint64_t magnitude, bool negative);
void ml_write_bytes(struct ml_writer *w, struct ml_slice bytes);
/** varbytes or varstring: length, then the bytes. */
void ml_write_varbytes(struct ml_writer *w, struct ml_slice bytes);

#endif
