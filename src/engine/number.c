/* SPDX-License-Identifier: MIT */
/*
 * A double as the shortest decimal digits that read back as the same double, laid out as JavaScript
 * does it. Knows digits; JSON and Any know when a number may be written at all.
 *
 * Source: Burger and Dybvig, "Printing Floating-Point Numbers Quickly and Accurately" (PLDI 1996),
 * free-format algorithm with exact integers; layout: ECMA-262, Number::toString. Differences: a tie
 * between two last digits goes to the even one; whole numbers below 2^53 take a short cut, since
 * their own digits are the shortest.
 *
 *   value = r / s;  every number in (r - m_minus, r + m_plus) / s reads back as `value`
 *
 *  [N1] r < 10 s before a digit is taken, so a digit is at most 9;
 *  [N2] no big integer needs more than 1 140 bits: 2^53 * 10^324 * 2^3 and 2^1076 * 10 are the
 * largest.
 */
#include "engine/any.h"

#include <math.h>

#include "base/assert.h"

#define BIG_WORDS  40
#define DIGITS_MAX 20

struct big {
    size_t len; /* words in use, the top one is not zero */
    uint32_t word[BIG_WORDS];
};

static void big_set(struct big *a, uint64_t value)
{
    a->len = 0;
    while (value) {
        a->word[a->len++] = (uint32_t)value;
        value >>= 32;
    }
}

static void big_scale(struct big *a, uint32_t factor)
{
    uint64_t carry = 0;

    for (size_t i = 0; i < a->len; i++) {
        carry += (uint64_t)a->word[i] * factor;
        a->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) {
        ML_ASSERT(a->len < BIG_WORDS);
        a->word[a->len++] = (uint32_t)carry;
    }
}

static void big_scale_pow10(struct big *a, unsigned power)
{
    for (; power >= 9; power -= 9)
        big_scale(a, 1000000000);
    for (; power; power--)
        big_scale(a, 10);
}

static void big_shift(struct big *a, unsigned bits)
{
    size_t words = bits / 32;

    if (!a->len)
        return;
    big_scale(a, 1u << bits % 32);
    ML_ASSERT(a->len + words <= BIG_WORDS);
    for (size_t i = a->len; i-- > 0;)
        a->word[i + words] = a->word[i];
    for (size_t i = 0; i < words; i++)
        a->word[i] = 0;
    a->len += words;
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    for (size_t i = a->len; i-- > 0;) {
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i] ? -1 : 1;
    }
    return 0;
}

static void big_add(struct big *sum, const struct big *a, const struct big *b)
{
    size_t len = a->len > b->len ? a->len : b->len;
    uint64_t carry = 0;

    for (size_t i = 0; i < len; i++) {
        carry += (uint64_t)(i < a->len ? a->word[i] : 0) + (i < b->len ? b->word[i] : 0);
        sum->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum->len = len;
    if (carry) {
        ML_ASSERT(len < BIG_WORDS);
        sum->word[sum->len++] = (uint32_t)carry;
    }
}

/* a -= b; a is not smaller. */
static void big_subtract(struct big *a, const struct big *b)
{
    uint64_t borrow = 0;

    for (size_t i = 0; i < a->len; i++) {
        uint64_t take = borrow + (i < b->len ? b->word[i] : 0);

        borrow = a->word[i] < take;
        a->word[i] = (uint32_t)(a->word[i] - take);
    }
    while (a->len && !a->word[a->len - 1])
        a->len--;
}

/* r + m compared with s. */
static int big_compare_sum(const struct big *r, const struct big *m, const struct big *s)
{
    struct big sum;

    big_add(&sum, r, m);
    return big_compare(&sum, s);
}

/* Digits of a positive finite value = 0.d1d2… * 10^point. */
static size_t shortest_digits(double value, char digits[DIGITS_MAX], int *point_out)
{
    struct big r, s, m_plus, m_minus;
    uint64_t bits, fraction;
    int exponent, point;
    bool even, uneven_gap;
    size_t n = 0;

    memcpy(&bits, &value, sizeof bits);
    fraction = bits & ((1ull << 52) - 1);
    exponent = (int)(bits >> 52 & 0x7ff);
    /* Just above a power of two the neighbour below is only half as far away. */
    uneven_gap = fraction == 0 && exponent > 1;
    if (exponent)
        fraction |= 1ull << 52;
    else
        exponent = 1;
    exponent -= 1075;
    even = (fraction & 1) == 0;

    big_set(&r, fraction);
    big_set(&s, 1);
    big_set(&m_plus, 1);
    big_set(&m_minus, 1);
    big_shift(&r, uneven_gap ? 2 : 1);
    big_shift(&s, uneven_gap ? 2 : 1);
    if (uneven_gap)
        big_shift(&m_plus, 1);
    if (exponent >= 0) {
        big_shift(&r, (unsigned)exponent);
        big_shift(&m_plus, (unsigned)exponent);
        big_shift(&m_minus, (unsigned)exponent);
    } else {
        big_shift(&s, (unsigned)-exponent);
    }

    /* The estimate is right or one too small. */
    point = (int)ceil(log10(value) - 1e-10);
    if (point >= 0) {
        big_scale_pow10(&s, (unsigned)point);
    } else {
        big_scale_pow10(&r, (unsigned)-point);
        big_scale_pow10(&m_plus, (unsigned)-point);
        big_scale_pow10(&m_minus, (unsigned)-point);
    }
    if (big_compare_sum(&r, &m_plus, &s) >= (even ? 0 : 1)) {
        point++;
    } else {
        big_scale(&r, 10);
        big_scale(&m_plus, 10);
        big_scale(&m_minus, 10);
    }

    for (;;) {
        unsigned digit = 0;
        bool low, high;

        while (big_compare(&r, &s) >= 0) {
            big_subtract(&r, &s);
            digit++;
        }
        ML_ASSERT(digit <= 9 && n < DIGITS_MAX);
        low = big_compare(&r, &m_minus) <= (even ? 0 : -1);
        high = big_compare_sum(&r, &m_plus, &s) >= (even ? 0 : 1);
        if (!low && !high) {
            digits[n++] = (char)('0' + digit);
            big_scale(&r, 10);
            big_scale(&m_plus, 10);
            big_scale(&m_minus, 10);
            continue;
        }
        if (low && high) {
            int half = big_compare_sum(&r, &r, &s);

            high = half > 0 || (half == 0 && digit % 2);
        }
        /* Rounding up cannot reach ten: the digit before would have ended the loop. */
        digits[n++] = (char)('0' + digit + high);
        *point_out = point;
        return n;
    }
}

/* The same for a whole number from 1 to 2^53. */
static size_t whole_digits(uint64_t value, char digits[DIGITS_MAX], int *point_out)
{
    char reversed[DIGITS_MAX];
    size_t n = 0, zeros = 0;

    do {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (reversed[zeros] == '0')
        zeros++;
    for (size_t i = n; i-- > zeros;)
        digits[n - 1 - i] = reversed[i];
    *point_out = (int)n;
    return n - zeros;
}

static void write_zeros(struct ml_writer *out, int count)
{
    for (int i = 0; i < count; i++)
        ml_write_u8(out, '0');
}

static void write_exponent(struct ml_writer *out, int exponent)
{
    char digits[DIGITS_MAX];
    int point;
    size_t n;

    ml_write_u8(out, 'e');
    ml_write_u8(out, exponent < 0 ? '-' : '+');
    n = whole_digits((uint64_t)(exponent < 0 ? -exponent : exponent), digits, &point);
    ml_write_bytes(out, ml_slice_make(digits, n));
    write_zeros(out, point - (int)n);
}

void ml_write_js_number(struct ml_writer *out, double value)
{
    char digits[DIGITS_MAX];
    struct ml_slice all;
    int point;
    size_t n;

    if (isnan(value)) {
        ml_write_bytes(out, ML_SLICE("NaN"));
        return;
    }
    if (value == 0) {
        ml_write_u8(out, '0');
        return;
    }
    if (value < 0) {
        ml_write_u8(out, '-');
        value = -value;
    }
    if (isinf(value)) {
        ml_write_bytes(out, ML_SLICE("Infinity"));
        return;
    }
    if (value <= (double)ML_VARUINT_MAX && value == floor(value))
        n = whole_digits((uint64_t)value, digits, &point);
    else
        n = shortest_digits(value, digits, &point);
    all = ml_slice_make(digits, n);

    if (point > 21 || point <= -6) {
        ml_write_u8(out, all.ptr[0]);
        if (n > 1) {
            ml_write_u8(out, '.');
            ml_write_bytes(out, ml_slice_make(all.ptr + 1, n - 1));
        }
        write_exponent(out, point - 1);
    } else if (point <= 0) {
        ml_write_bytes(out, ML_SLICE("0."));
        write_zeros(out, -point);
        ml_write_bytes(out, all);
    } else if ((size_t)point >= n) {
        ml_write_bytes(out, all);
        write_zeros(out, point - (int)n);
    } else {
        ml_write_bytes(out, ml_slice_make(all.ptr, (size_t)point));
        ml_write_u8(out, '.');
        ml_write_bytes(out, ml_slice_make(all.ptr + point, n - (size_t)point));
    }
}
