/* SPDX-License-Identifier: MIT */
#include "net/base64.h"

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool ml_base64url_decode(struct ml_slice text, struct ml_arena *arena, struct ml_slice *out)
{
    uint8_t *to = ml_arena_alloc(arena, text.len / 4 * 3 + 4);
    uint32_t bits = 0;
    size_t n = 0, digits = 0;

    while (text.len && text.ptr[text.len - 1] == '=')
        text.len--;
    if (!to || text.len % 4 == 1)
        return false;
    for (; digits < text.len; digits++) {
        int value = value_of(text.ptr[digits]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (digits % 4)
            to[n++] = (uint8_t)(bits >> (6 - 2 * (digits % 4)));
    }
    *out = ml_slice_make(to, n);
    return true;
}
