/* SPDX-License-Identifier: MIT */
/*
 * The columns of update format V2, while they are written (codec_v2.c has the drawing). Private to
 * engine/.
 *
 * A column holds back its last run: what comes next may go on with it. `ml_columns_close` writes
 * the runs that are held back, then all columns behind each other.
 *
 *  [V1] a key is never remembered when it is written, as Yjs does.
 */
#ifndef ML_ENGINE_COLUMNS_H
#define ML_ENGINE_COLUMNS_H

#include "engine/codec_v1.h"

/** A run-length column of bytes. */
struct ml_bytes_column {
    struct ml_writer out;
    uint64_t count;
    uint8_t value;
};

/** A run-length column of numbers. */
struct ml_numbers_column {
    struct ml_writer out;
    uint64_t count, value;
};

/** A run-length column of differences. */
struct ml_differences_column {
    struct ml_writer out;
    uint64_t count;
    int64_t value, difference;
};

struct ml_strings_column {
    struct ml_writer text;
    struct ml_numbers_column lengths; /* UTF-16 units */
};

struct ml_columns {
    struct ml_differences_column key_clock, left_clock, right_clock;
    struct ml_numbers_column client, type_ref, len;
    struct ml_bytes_column info, parent_info;
    struct ml_strings_column string;
    struct ml_writer rest;
    uint64_t keys;
    bool keep_key_bit; /* of structs whose key is not on the wire */
    const struct ml_engine_limits *limits;
};

/* A varint: sign and six bits, then as a varuint. */
static inline uint8_t *ml_put_varint(uint8_t *p, uint64_t magnitude, bool negative)
{
    *p = (uint8_t)((magnitude & 0x3f) | (negative ? 0x40 : 0));
    magnitude >>= 6;
    if (!magnitude)
        return p + 1;
    *p |= 0x80;
    return ml_put_varuint(p + 1, magnitude);
}

static inline void ml_column_byte(struct ml_bytes_column *c, uint8_t value)
{
    uint8_t *p;

    if (c->count && value == c->value) {
        c->count++;
        return;
    }
    if (ml_writer_reserve(&c->out, 11)) {
        p = c->out.ptr + c->out.len;
        if (c->count)
            p = ml_put_varuint(p, c->count - 1);
        *p++ = value;
        c->out.len = (size_t)(p - c->out.ptr);
    }
    c->value = value;
    c->count = 1;
}

static inline void ml_column_flush_numbers(struct ml_numbers_column *c)
{
    uint8_t *p;

    if (!c->count || !ml_writer_reserve(&c->out, 20))
        return;
    p = ml_put_varint(c->out.ptr + c->out.len, c->value, c->count > 1);
    if (c->count > 1)
        p = ml_put_varuint(p, c->count - 2);
    c->out.len = (size_t)(p - c->out.ptr);
}

static inline void ml_column_number(struct ml_numbers_column *c, uint64_t value)
{
    if (value == c->value) {
        c->count++;
        return;
    }
    ml_column_flush_numbers(c);
    c->value = value;
    c->count = 1;
}

static inline void ml_column_flush_differences(struct ml_differences_column *c)
{
    int64_t twice = c->difference * 2 + (c->count > 1);
    uint8_t *p;

    if (!c->count || !ml_writer_reserve(&c->out, 20))
        return;
    p = ml_put_varint(c->out.ptr + c->out.len, (uint64_t)(twice < 0 ? -twice : twice), twice < 0);
    if (c->count > 1)
        p = ml_put_varuint(p, c->count - 2);
    c->out.len = (size_t)(p - c->out.ptr);
}

static inline void ml_column_difference(struct ml_differences_column *c, uint64_t number)
{
    int64_t value = (int64_t)number;

    if (value - c->value == c->difference) {
        c->count++;
    } else {
        ml_column_flush_differences(c);
        c->difference = value - c->value;
        c->count = 1;
    }
    c->value = value;
}

/** Text and its units, which are counted here. */
void ml_column_string(struct ml_strings_column *c, struct ml_slice text);

void ml_columns_init(struct ml_columns *c, size_t max_bytes);
void ml_columns_release(struct ml_columns *c);
/** One struct, its section's header not included. ML_EFORMAT: a value that V2 cannot hold. */
enum ml_err ml_columns_struct(struct ml_columns *c, const struct ml_wire *s) ML_MUST_CHECK;
/** Ranges of one client in a row are ascending. */
void ml_columns_delete_set(struct ml_writer *out, const struct ml_wire_range *range, size_t count);
/** All of it to `out`. */
void ml_columns_close(struct ml_columns *c, struct ml_writer *out);

#endif
