/* SPDX-License-Identifier: MIT */
/*
 * JSON text (RFC 8259): checked, turned into Any, and strings written with JSON.stringify's
 * escapes.
 *
 * One parser does both: without a writer it only checks. It differs from a strict reader as
 * JSON.parse does: a lone surrogate escape is allowed and becomes U+FFFD, since UTF-8 has no other
 * form for it.
 *
 *  [J1] no deeper than DEPTH_MAX containers, whatever the caller allows;
 *  [J2] numbers go to the nearest double: strtod gets digits and an exponent without a point, so
 *       the process's locale cannot matter.
 */
#include "engine/any.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/members.h"

#define DEPTH_MAX 256
/* 767 digits tell any double from the middle to its neighbour; what follows only says "and more".
 */
#define DIGITS_MAX 800

struct parser {
    struct ml_reader r;
    struct ml_writer *out; /* NULL: check only */
    struct ml_members members;
    uint32_t max_depth;
};

static int peek(const struct parser *p)
{
    return p->r.pos < p->r.end ? *p->r.pos : -1;
}

static void skip_space(struct parser *p)
{
    int c = peek(p);

    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        p->r.pos++;
        c = peek(p);
    }
}

static bool take(struct parser *p, int c)
{
    if (peek(p) != c)
        return false;
    p->r.pos++;
    return true;
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits of \uXXXX at `p`, which has them; -1 if they are no digits. */
static int32_t hex4(const uint8_t *p)
{
    int32_t value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* One escape; the backslash is taken. Answers its code point, -1 if it is broken. */
static int32_t read_escape(struct ml_reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    int32_t high, low;
    uint8_t c;

    if (ml_read_u8(r, &c))
        return -1;
    if (c != 'u') {
        found = c ? strchr(from, c) : NULL;
        return found ? to[found - from] : -1;
    }
    if (ml_reader_left(r) < 4)
        return -1;
    high = hex4(r->pos);
    if (high < 0)
        return -1;
    r->pos += 4;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high <= 0xdbff && ml_reader_left(r) >= 6 && r->pos[0] == '\\' && r->pos[1] == 'u') {
        low = hex4(r->pos + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            r->pos += 6;
            return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

/* From behind the opening quote to behind the closing one; to `out` if it is there. */
static enum ml_err walk_string(struct ml_reader *r, struct ml_writer *out, size_t *len_out)
{
    size_t len = 0;

    for (;;) {
        const uint8_t *began = r->pos;
        uint8_t utf8[4];
        int32_t code_point;
        size_t n;

        while (r->pos < r->end && *r->pos >= 0x20 && *r->pos != '"' && *r->pos != '\\')
            r->pos++;
        len += (size_t)(r->pos - began);
        if (out)
            ml_write_bytes(out, ml_slice_make(began, (size_t)(r->pos - began)));
        if (r->pos == r->end || *r->pos < 0x20)
            return ML_EFORMAT;
        if (*r->pos++ == '"') {
            *len_out = len;
            return ML_OK;
        }
        code_point = read_escape(r);
        if (code_point < 0)
            return ML_EFORMAT;
        n = ml_utf8_put((uint32_t)code_point, utf8);
        len += n;
        if (out)
            ml_write_bytes(out, ml_slice_make(utf8, n));
    }
}

/* A string as varstring; the opening quote is taken. */
static enum ml_err parse_string(struct parser *p)
{
    struct ml_reader again = p->r;
    size_t len;
    enum ml_err err = walk_string(&p->r, NULL, &len);

    if (err || !p->out)
        return err;
    ml_write_varuint(p->out, len);
    return walk_string(&again, p->out, &len);
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* What a number is made of: 0.digits * 10^point, digits without zeros in front. */
struct decimal {
    char digits[DIGITS_MAX + 1];
    size_t len;
    int64_t point;
    bool more; /* digits beyond DIGITS_MAX that are not all zero */
};

static void add_digit(struct decimal *d, int c, bool behind_point)
{
    if (d->len == 0 && c == '0') {
        d->point -= behind_point;
        return;
    }
    d->point += !behind_point;
    if (d->len < DIGITS_MAX)
        d->digits[d->len++] = (char)c;
    else if (c != '0')
        d->more = true;
}

static double decimal_value(struct decimal *d, bool negative)
{
    char text[DIGITS_MAX + 40];
    int64_t exponent;
    double value;

    if (d->more)
        d->digits[d->len++] = '1';
    exponent = d->point - (int64_t)d->len;
    /* Far outside of what a double holds, the sign of the exponent is all that matters. */
    if (exponent > 100000)
        exponent = 100000;
    if (exponent < -100000)
        exponent = -100000;
    (void)snprintf(text, sizeof text, "%.*se%lld", (int)(d->len ? d->len : 1),
                   d->len ? d->digits : "0", (long long)exponent);
    value = strtod(text, NULL);
    return negative ? -value : value;
}

static enum ml_err parse_number(struct parser *p)
{
    struct decimal d = {.len = 0};
    bool negative = take(p, '-');

    if (!is_digit(peek(p)))
        return ML_EFORMAT;
    if (!take(p, '0')) {
        for (; is_digit(peek(p)); p->r.pos++)
            add_digit(&d, *p->r.pos, false);
    }
    if (take(p, '.')) {
        if (!is_digit(peek(p)))
            return ML_EFORMAT;
        for (; is_digit(peek(p)); p->r.pos++)
            add_digit(&d, *p->r.pos, true);
    }
    if (take(p, 'e') || take(p, 'E')) {
        bool down = take(p, '-');
        int64_t exponent = 0;

        if (!down)
            (void)take(p, '+');
        if (!is_digit(peek(p)))
            return ML_EFORMAT;
        for (; is_digit(peek(p)); p->r.pos++) {
            if (exponent < INT64_MAX / 100)
                exponent = exponent * 10 + (*p->r.pos - '0');
        }
        d.point += down ? -exponent : exponent;
    }
    if (p->out)
        ml_write_any_number(p->out, decimal_value(&d, negative));
    return ML_OK;
}

static enum ml_err parse_word(struct parser *p, struct ml_slice word, uint8_t tag)
{
    if (ml_reader_left(&p->r) < word.len || memcmp(p->r.pos, word.ptr, word.len) != 0)
        return ML_EFORMAT;
    p->r.pos += word.len;
    if (p->out)
        ml_write_u8(p->out, tag);
    return ML_OK;
}

static enum ml_err parse_key(struct parser *p)
{
    enum ml_err err;

    skip_space(p);
    if (!take(p, '"'))
        return ML_EFORMAT;
    if (p->out) {
        err = ml_members_add(&p->members, p->out->len, p->out->len);
        if (err)
            return err;
    }
    err = parse_string(p);
    if (err)
        return err;
    skip_space(p);
    return take(p, ':') ? ML_OK : ML_EFORMAT;
}

/* Anything that is not a container. */
static enum ml_err parse_scalar(struct parser *p)
{
    switch (peek(p)) {
    case '"':
        p->r.pos++;
        if (p->out)
            ml_write_u8(p->out, 0x77);
        return parse_string(p);
    case 't':
        return parse_word(p, ML_SLICE("true"), 0x78);
    case 'f':
        return parse_word(p, ML_SLICE("false"), 0x79);
    case 'n':
        return parse_word(p, ML_SLICE("null"), 0x7e);
    default:
        return parse_number(p);
    }
}

/* All elements of a container are written: their order and number. */
static enum ml_err close_container(struct parser *p, bool object, size_t first, size_t at,
                                   size_t count)
{
    enum ml_err err;

    if (!p->out)
        return ML_OK;
    if (object) {
        err = ml_members_settle(&p->members, first, NULL, p->out, &count);
        if (err)
            return err;
    }
    ml_write_count_at(p->out, at, count);
    return p->out->err;
}

static enum ml_err parse_value(struct parser *p, uint32_t depth)
{
    size_t first = p->members.count, at = 0, count = 0;
    int opening, closing;
    enum ml_err err;

    skip_space(p);
    opening = peek(p);
    if (opening != '{' && opening != '[')
        return parse_scalar(p);
    if (depth == p->max_depth)
        return ML_ELIMIT;
    closing = opening == '{' ? '}' : ']';
    p->r.pos++;
    if (p->out) {
        ml_write_u8(p->out, opening == '{' ? 0x76 : 0x75);
        at = p->out->len;
        ml_write_u8(p->out, 0);
    }
    skip_space(p);
    if (take(p, closing))
        return p->out ? p->out->err : ML_OK;
    for (;;) {
        if (opening == '{') {
            err = parse_key(p);
            if (err)
                return err;
        }
        err = parse_value(p, depth + 1);
        if (err)
            return err;
        count++;
        skip_space(p);
        if (take(p, closing))
            return close_container(p, opening == '{', first, at, count);
        if (!take(p, ','))
            return ML_EFORMAT;
    }
}

static enum ml_err parse(struct ml_slice text, uint32_t max_depth, struct ml_writer *out)
{
    struct parser p = {.r = ml_reader_make(text),
                       .out = out,
                       .max_depth = max_depth < DEPTH_MAX ? max_depth : DEPTH_MAX};
    enum ml_err err;

    if (!ml_utf8_check(text, NULL))
        return ML_EFORMAT;
    err = parse_value(&p, 0);
    ml_members_release(&p.members);
    if (err)
        return err;
    skip_space(&p);
    if (p.r.pos != p.r.end)
        return ML_EFORMAT;
    return out ? out->err : ML_OK;
}

enum ml_err ml_json_check(struct ml_slice text, uint32_t max_depth)
{
    return parse(text, max_depth, NULL);
}

enum ml_err ml_json_to_any(struct ml_slice text, uint32_t max_depth, struct ml_writer *out)
{
    return parse(text, max_depth, out);
}

void ml_write_json_string(struct ml_writer *out, struct ml_slice text)
{
    static const char hex_digits[] = "0123456789abcdef";
    static const char short_form[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    size_t from = 0;

    ml_write_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        ml_write_bytes(out, ml_slice_make(text.ptr + from, i - from));
        from = i + 1;
        ml_write_u8(out, '\\');
        if (c >= 0x20) {
            ml_write_u8(out, c);
        } else if (short_form[c]) {
            ml_write_u8(out, (uint8_t)short_form[c]);
        } else {
            ml_write_bytes(out, ML_SLICE("u00"));
            ml_write_u8(out, (uint8_t)hex_digits[c >> 4]);
            ml_write_u8(out, (uint8_t)hex_digits[c & 15]);
        }
    }
    ml_write_bytes(out, ml_slice_make(text.ptr ? text.ptr + from : NULL, text.len - from));
    ml_write_u8(out, '"');
}
