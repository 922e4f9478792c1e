/* SPDX-License-Identifier: MIT */
/*
 * lib0's Any: checked by a walk, written again by lib0's rules, shown as JSON.
 *
 *   tag  value      body                     tag  value    body
 *   7f   undefined  -                        79   false    -
 *   7e   null       -                        78   true     -
 *   7d   integer    varint                   77   string   varstring
 *   7c   float32    4 bytes, big-endian      76   object   varuint n, n * (varstring key, Any)
 *   7b   float64    8 bytes, big-endian      75   array    varuint n, n * Any
 *   7a   bigint     8 bytes, big-endian      74   bytes    varbytes
 *
 * Source: lib0 0.2.120, writeAny and readAny. Different on purpose: depth is counted, a declared
 * count is compared with the bytes left, and a key named __proto__ is kept.
 *
 *  [A1] no walk goes deeper than DEPTH_MAX containers, whatever the caller allows;
 *  [A2] after a failed walk the reader stands at or before the broken byte.
 */
#include "engine/any.h"

#include <float.h>
#include <math.h>

#include "engine/members.h"

#define DEPTH_MAX 256 /* a frame of the recursive walks takes about 200 bytes of stack */

enum tag {
    TAG_BYTES = 0x74,
    TAG_ARRAY,
    TAG_OBJECT,
    TAG_STRING,
    TAG_TRUE,
    TAG_FALSE,
    TAG_BIGINT,
    TAG_FLOAT64,
    TAG_FLOAT32,
    TAG_INTEGER,
    TAG_NULL,
    TAG_UNDEFINED,
};

static enum ml_err read_big_endian(struct ml_reader *r, size_t len, uint64_t *out)
{
    struct ml_slice bytes;
    enum ml_err err = ml_read_bytes(r, len, &bytes);

    if (err)
        return err;
    *out = 0;
    for (size_t i = 0; i < len; i++)
        *out = *out << 8 | bytes.ptr[i];
    return ML_OK;
}

/* The body of one of the three number tags. */
static enum ml_err read_number(struct ml_reader *r, uint8_t tag, double *out)
{
    uint64_t bits;
    enum ml_err err;

    if (tag == TAG_INTEGER) {
        bool negative;

        err = ml_read_varint(r, &bits, &negative);
        if (err)
            return err;
        *out = negative ? -(double)bits : (double)bits;
    } else if (tag == TAG_FLOAT32) {
        uint32_t word;
        float value;

        err = read_big_endian(r, 4, &bits);
        if (err)
            return err;
        word = (uint32_t)bits;
        memcpy(&value, &word, sizeof value);
        *out = (double)value;
    } else {
        err = read_big_endian(r, 8, &bits);
        if (err)
            return err;
        memcpy(out, &bits, sizeof *out);
    }
    return ML_OK;
}

/* Number of elements; every one of them takes at least `each_bytes`. */
static enum ml_err read_count(struct ml_reader *r, size_t each_bytes, uint64_t *out)
{
    const uint8_t *began = r->pos;
    enum ml_err err = ml_read_varuint(r, out);

    if (err)
        return err;
    if (*out > ml_reader_left(r) / each_bytes) {
        r->pos = began;
        return ML_EFORMAT;
    }
    return ML_OK;
}

/* Step over the body of anything that is not a container. */
static enum ml_err skip_scalar(struct ml_reader *r, uint8_t tag)
{
    struct ml_slice bytes;
    uint64_t number;
    bool negative;

    switch (tag) {
    case TAG_UNDEFINED:
    case TAG_NULL:
    case TAG_FALSE:
    case TAG_TRUE:
        return ML_OK;
    case TAG_INTEGER:
        return ml_read_varint(r, &number, &negative);
    case TAG_FLOAT32:
        return ml_read_bytes(r, 4, &bytes);
    case TAG_FLOAT64:
    case TAG_BIGINT:
        return ml_read_bytes(r, 8, &bytes);
    case TAG_STRING:
        return ml_read_varstring(r, &bytes, NULL);
    case TAG_BYTES:
        return ml_read_varbytes(r, &bytes);
    default:
        r->pos--;
        return ML_EFORMAT;
    }
}

enum ml_err ml_any_skip(struct ml_reader *r, uint32_t max_depth)
{
    /* Of each open container: elements still to come, doubled, plus one for an object. */
    uint64_t open[DEPTH_MAX];
    uint32_t depth = 0;

    if (max_depth > DEPTH_MAX)
        max_depth = DEPTH_MAX;
    for (;;) {
        struct ml_slice key;
        uint64_t count;
        uint8_t tag;
        enum ml_err err;

        if (depth && open[depth - 1] & 1) {
            err = ml_read_varstring(r, &key, NULL);
            if (err)
                return err;
        }
        err = ml_read_u8(r, &tag);
        if (err)
            return err;
        if (tag == TAG_OBJECT || tag == TAG_ARRAY) {
            bool object = tag == TAG_OBJECT;

            if (depth == max_depth) {
                r->pos--;
                return ML_ELIMIT;
            }
            err = read_count(r, object ? 2 : 1, &count);
            if (err)
                return err;
            open[depth++] = count << 1 | object;
        } else {
            err = skip_scalar(r, tag);
            if (err)
                return err;
            if (depth)
                open[depth - 1] -= 2;
        }
        while (depth && open[depth - 1] < 2) {
            depth--;
            if (depth)
                open[depth - 1] -= 2;
        }
        if (!depth)
            return ML_OK;
    }
}

static void write_big_endian(struct ml_writer *out, size_t len, uint64_t bits)
{
    for (size_t i = len; i-- > 0;)
        ml_write_u8(out, (uint8_t)(bits >> 8 * i));
}

void ml_write_any_number(struct ml_writer *out, double value)
{
    if (value == floor(value) && fabs(value) <= 2147483647.0) {
        ml_write_u8(out, TAG_INTEGER);
        ml_write_varint(out, (uint64_t)fabs(value), signbit(value) != 0);
    } else if (isinf(value) || (fabs(value) <= (double)FLT_MAX && (double)(float)value == value)) {
        float narrow = (float)value;
        uint32_t word;

        memcpy(&word, &narrow, sizeof word);
        ml_write_u8(out, TAG_FLOAT32);
        write_big_endian(out, 4, word);
    } else {
        uint64_t bits = 0x7ff8000000000000ull;

        if (!isnan(value))
            memcpy(&bits, &value, sizeof bits);
        ml_write_u8(out, TAG_FLOAT64);
        write_big_endian(out, 8, bits);
    }
}

/* What the two recursive walks carry along. */
struct walk {
    struct ml_reader *r;
    struct ml_writer *out;
    struct ml_members members;
    enum ml_any_json how;
    uint32_t max_depth;
};

static enum ml_err normalise(struct walk *w, uint32_t depth)
{
    const uint8_t *began = w->r->pos;
    size_t first = w->members.count, at;
    uint64_t count;
    uint8_t tag;
    enum ml_err err;

    err = ml_read_u8(w->r, &tag);
    if (err)
        return err;
    if (tag == TAG_INTEGER || tag == TAG_FLOAT32 || tag == TAG_FLOAT64) {
        double value;

        err = read_number(w->r, tag, &value);
        if (err)
            return err;
        ml_write_any_number(w->out, value);
        return w->out->err;
    }
    if (tag == TAG_STRING || tag == TAG_BYTES) {
        struct ml_slice bytes;

        err = tag == TAG_STRING ? ml_read_varstring(w->r, &bytes, NULL)
                                : ml_read_varbytes(w->r, &bytes);
        if (err)
            return err;
        ml_write_u8(w->out, tag);
        ml_write_varbytes(w->out, bytes);
        return w->out->err;
    }
    if (tag != TAG_OBJECT && tag != TAG_ARRAY) {
        err = skip_scalar(w->r, tag);
        if (err)
            return err;
        ml_write_bytes(w->out, ml_slice_make(began, (size_t)(w->r->pos - began)));
        return w->out->err;
    }

    if (depth == w->max_depth)
        return ML_ELIMIT;
    err = read_count(w->r, tag == TAG_OBJECT ? 2 : 1, &count);
    if (err)
        return err;
    ml_write_u8(w->out, tag);
    at = w->out->len;
    ml_write_u8(w->out, 0);
    for (uint64_t i = 0; i < count; i++) {
        if (tag == TAG_OBJECT) {
            struct ml_slice key;

            err = ml_members_add(&w->members, w->out->len, w->out->len);
            if (err)
                return err;
            err = ml_read_varstring(w->r, &key, NULL);
            if (err)
                return err;
            ml_write_varbytes(w->out, key);
        }
        err = normalise(w, depth + 1);
        if (err)
            return err;
    }
    if (tag == TAG_OBJECT) {
        size_t kept;

        err = ml_members_settle(&w->members, first, NULL, w->out, &kept);
        if (err)
            return err;
        count = kept;
    }
    ml_write_count_at(w->out, at, count);
    return w->out->err;
}

enum ml_err ml_any_normalise(struct ml_reader *r, uint32_t max_depth, struct ml_writer *out)
{
    struct walk w = {
        .r = r, .out = out, .max_depth = max_depth < DEPTH_MAX ? max_depth : DEPTH_MAX};
    enum ml_err err = normalise(&w, 0);

    ml_members_release(&w.members);
    return err;
}

static void write_whole(struct ml_writer *out, uint64_t value)
{
    uint8_t digits[20];
    size_t n = sizeof digits;

    do {
        digits[--n] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value);
    ml_write_bytes(out, ml_slice_make(digits + n, sizeof digits - n));
}

void ml_write_json_bytes(struct ml_writer *out, struct ml_slice bytes)
{
    static const char hex_digits[] = "0123456789abcdef";

    ml_write_bytes(out, ML_SLICE("{\"$bytes\":\""));
    for (size_t i = 0; i < bytes.len && ml_writer_reserve(out, 2); i++) {
        out->ptr[out->len++] = (uint8_t)hex_digits[bytes.ptr[i] >> 4];
        out->ptr[out->len++] = (uint8_t)hex_digits[bytes.ptr[i] & 15];
    }
    ml_write_bytes(out, ML_SLICE("\"}"));
}

/* As JSON.stringify shows a Uint8Array. */
static void stringify_bytes(struct ml_writer *out, struct ml_slice bytes)
{
    ml_write_u8(out, '{');
    for (size_t i = 0; i < bytes.len && !out->err; i++) {
        if (i)
            ml_write_u8(out, ',');
        ml_write_u8(out, '"');
        write_whole(out, i);
        ml_write_bytes(out, ML_SLICE("\":"));
        write_whole(out, bytes.ptr[i]);
    }
    ml_write_u8(out, '}');
}

static enum ml_err write_bigint(struct ml_reader *r, struct ml_writer *out)
{
    uint64_t bits;
    enum ml_err err = read_big_endian(r, 8, &bits);

    if (err)
        return err;
    if (bits >> 63)
        ml_write_u8(out, '-');
    write_whole(out, bits >> 63 ? -bits : bits);
    return ML_OK;
}

static enum ml_err scalar_json(struct walk *w, uint8_t tag)
{
    struct ml_slice bytes;
    double value;
    enum ml_err err;

    switch (tag) {
    case TAG_UNDEFINED:
    case TAG_NULL:
        ml_write_bytes(w->out, ML_SLICE("null"));
        return ML_OK;
    case TAG_FALSE:
        ml_write_bytes(w->out, ML_SLICE("false"));
        return ML_OK;
    case TAG_TRUE:
        ml_write_bytes(w->out, ML_SLICE("true"));
        return ML_OK;
    case TAG_INTEGER:
    case TAG_FLOAT32:
    case TAG_FLOAT64:
        err = read_number(w->r, tag, &value);
        if (err)
            return err;
        if (isfinite(value))
            ml_write_js_number(w->out, value);
        else
            ml_write_bytes(w->out, ML_SLICE("null"));
        return ML_OK;
    case TAG_BIGINT:
        /* JSON.stringify refuses a bigint. */
        if (w->how == ML_ANY_JSON_STRINGIFY)
            return ML_EFORMAT;
        ml_write_u8(w->out, '"');
        err = write_bigint(w->r, w->out);
        ml_write_u8(w->out, '"');
        return err;
    case TAG_STRING:
        err = ml_read_varstring(w->r, &bytes, NULL);
        if (err)
            return err;
        ml_write_json_string(w->out, bytes);
        return ML_OK;
    case TAG_BYTES:
        err = ml_read_varbytes(w->r, &bytes);
        if (err)
            return err;
        if (w->how == ML_ANY_JSON_READABLE)
            ml_write_json_bytes(w->out, bytes);
        else
            stringify_bytes(w->out, bytes);
        return ML_OK;
    default:
        w->r->pos--;
        return ML_EFORMAT;
    }
}

/* A member's key and colon; the value too if it is undefined, which JSON leaves out. */
static enum ml_err key_json(struct walk *w, bool *left_out)
{
    struct ml_slice key;
    enum ml_err err;

    err = ml_members_add(&w->members, ml_reader_offset(w->r), w->out->len);
    if (err)
        return err;
    err = ml_read_varstring(w->r, &key, NULL);
    if (err)
        return err;
    *left_out = w->r->pos < w->r->end && *w->r->pos == TAG_UNDEFINED;
    if (*left_out) {
        w->r->pos++;
        return ML_OK;
    }
    ml_write_json_string(w->out, key);
    ml_write_u8(w->out, ':');
    return ML_OK;
}

static enum ml_err to_json(struct walk *w, uint32_t depth)
{
    size_t first = w->members.count, body, kept;
    bool object;
    uint64_t count;
    uint8_t tag;
    enum ml_err err;

    err = ml_read_u8(w->r, &tag);
    if (err)
        return err;
    if (tag != TAG_OBJECT && tag != TAG_ARRAY) {
        err = scalar_json(w, tag);
        return err ? err : w->out->err;
    }
    object = tag == TAG_OBJECT;
    if (depth == w->max_depth)
        return ML_ELIMIT;
    err = read_count(w->r, object ? 2 : 1, &count);
    if (err)
        return err;
    ml_write_u8(w->out, object ? '{' : '[');
    body = w->out->len;
    for (uint64_t i = 0; i < count; i++) {
        bool left_out = false;

        if (object) {
            err = key_json(w, &left_out);
            if (err)
                return err;
        }
        if (left_out)
            continue;
        err = to_json(w, depth + 1);
        if (err)
            return err;
        ml_write_u8(w->out, ',');
    }
    if (w->out->err)
        return w->out->err;
    if (object) {
        err = ml_members_settle(&w->members, first, w->r->start, w->out, &kept);
        if (err)
            return err;
    }
    if (w->out->len > body)
        w->out->len--; /* the last comma */
    ml_write_u8(w->out, object ? '}' : ']');
    return w->out->err;
}

enum ml_err ml_any_to_json(struct ml_reader *r, enum ml_any_json how, struct ml_writer *out)
{
    struct walk w = {.r = r, .out = out, .how = how, .max_depth = DEPTH_MAX};
    enum ml_err err;

    /* JSON.stringify(undefined) has no text. */
    if (how == ML_ANY_JSON_STRINGIFY && r->pos < r->end && *r->pos == TAG_UNDEFINED)
        return ML_EFORMAT;
    err = to_json(&w, 0);
    ml_members_release(&w.members);
    return err;
}

/* In a list: null and undefined show as nothing. */
static enum ml_err to_text(struct ml_reader *r, struct ml_writer *out, bool in_list, uint32_t depth)
{
    const uint8_t *began = r->pos;
    struct ml_slice bytes;
    uint64_t count;
    double value;
    uint8_t tag;
    enum ml_err err;

    err = ml_read_u8(r, &tag);
    if (err)
        return err;
    switch (tag) {
    case TAG_UNDEFINED:
    case TAG_NULL:
        if (!in_list)
            ml_write_bytes(out, tag == TAG_NULL ? ML_SLICE("null") : ML_SLICE("undefined"));
        return out->err;
    case TAG_FALSE:
    case TAG_TRUE:
        ml_write_bytes(out, tag == TAG_TRUE ? ML_SLICE("true") : ML_SLICE("false"));
        return out->err;
    case TAG_INTEGER:
    case TAG_FLOAT32:
    case TAG_FLOAT64:
        err = read_number(r, tag, &value);
        if (err)
            return err;
        ml_write_js_number(out, value);
        return out->err;
    case TAG_BIGINT:
        return write_bigint(r, out);
    case TAG_STRING:
        err = ml_read_varstring(r, &bytes, NULL);
        if (err)
            return err;
        ml_write_bytes(out, bytes);
        return out->err;
    case TAG_BYTES:
        err = ml_read_varbytes(r, &bytes);
        for (size_t i = 0; !err && i < bytes.len && !out->err; i++) {
            if (i)
                ml_write_u8(out, ',');
            write_whole(out, bytes.ptr[i]);
        }
        return err ? err : out->err;
    case TAG_OBJECT:
        r->pos = began;
        ml_write_bytes(out, ML_SLICE("[object Object]"));
        return ml_any_skip(r, DEPTH_MAX - depth);
    case TAG_ARRAY:
        if (depth == DEPTH_MAX)
            return ML_ELIMIT;
        err = read_count(r, 1, &count);
        for (uint64_t i = 0; !err && i < count; i++) {
            if (i)
                ml_write_u8(out, ',');
            err = to_text(r, out, true, depth + 1);
        }
        return err ? err : out->err;
    default:
        return ML_EFORMAT;
    }
}

enum ml_err ml_any_to_text(struct ml_reader *r, struct ml_writer *out)
{
    return to_text(r, out, false, 0);
}
