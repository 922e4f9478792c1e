/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

/* Eight ASCII bytes at once: any set top bit ends the run. */
#define TOP_BITS 0x8080808080808080ull

static size_t ascii_run(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;

    while (end - p >= 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        if (word & TOP_BITS)
            break;
        p += 8;
    }
    while (p < end && *p < 0x80)
        p++;
    return (size_t)(p - start);
}

static bool is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length of the well-formed multi-byte sequence at p, 0 if it is broken (Unicode 15, table 3-7). */
static size_t sequence_len(const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);
    uint8_t lead = p[0];

    if (lead >= 0xc2 && lead <= 0xdf)
        return left >= 2 && is_tail(p[1]) ? 2 : 0;
    if (lead >= 0xe0 && lead <= 0xef) {
        uint8_t low = lead == 0xe0 ? 0xa0 : 0x80, high = lead == 0xed ? 0x9f : 0xbf;

        return left >= 3 && p[1] >= low && p[1] <= high && is_tail(p[2]) ? 3 : 0;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        uint8_t low = lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xf4 ? 0x8f : 0xbf;

        return left >= 4 && p[1] >= low && p[1] <= high && is_tail(p[2]) && is_tail(p[3]) ? 4 : 0;
    }
    return 0;
}

bool ml_utf8_check(struct ml_slice text, size_t *units_utf16_out)
{
    const uint8_t *p = text.ptr, *end = text.len ? text.ptr + text.len : text.ptr;
    size_t units = 0;

    while (p < end) {
        size_t n = ascii_run(p, end);

        p += n;
        units += n;
        if (p == end)
            break;
        n = sequence_len(p, end);
        if (!n)
            return false;
        units += n == 4 ? 2 : 1;
        p += n;
    }
    if (units_utf16_out)
        *units_utf16_out = units;
    return true;
}

size_t ml_utf8_offset(struct ml_slice text, size_t index_utf16, bool *inside_pair_out)
{
    const uint8_t *p = text.ptr, *end = text.len ? text.ptr + text.len : text.ptr;

    *inside_pair_out = false;
    while (index_utf16 && p < end) {
        size_t want = (size_t)(end - p) < index_utf16 ? (size_t)(end - p) : index_utf16;
        size_t n = ascii_run(p, p + want);

        p += n;
        index_utf16 -= n;
        if (!index_utf16 || p >= end)
            break;
        if (*p < 0x80)
            continue;
        if (*p >= 0xf0) {
            if (index_utf16 == 1) {
                *inside_pair_out = true;
                break;
            }
            index_utf16 -= 2;
            p += 4;
        } else {
            index_utf16--;
            p += *p >= 0xe0 ? 3 : 2;
        }
    }
    return (size_t)(p - text.ptr);
}

size_t ml_utf8_put(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

size_t ml_utf8_get(const uint8_t *p, uint32_t *c)
{
    if (p[0] < 0x80) {
        *c = p[0];
        return 1;
    }
    if (p[0] < 0xe0) {
        *c = (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
        return 2;
    }
    if (p[0] < 0xf0) {
        *c = (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
        return 3;
    }
    *c = (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
         (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
    return 4;
}
