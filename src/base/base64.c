/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

static const char alphabets[2][65] = {
    [ML_BASE64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [ML_BASE64URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t ml_base64_len(size_t len, enum ml_base64_kind kind)
{
    if (kind == ML_BASE64)
        return (len + 2) / 3 * 4;
    return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

void ml_base64_put(struct ml_slice bytes, enum ml_base64_kind kind, char *out)
{
    const char *alphabet = alphabets[kind];

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t word = (uint32_t)bytes.ptr[i] << 16;

        if (n > 1)
            word |= (uint32_t)bytes.ptr[i + 1] << 8;
        if (n > 2)
            word |= bytes.ptr[i + 2];
        for (size_t k = 0; k <= n; k++)
            *out++ = alphabet[word >> (18 - 6 * k) & 63];
        for (size_t k = n; kind == ML_BASE64 && k < 3; k++)
            *out++ = '=';
    }
}

/* 0 to 63, or 64 for a character that is not in the alphabet. */
static uint8_t value_of(uint8_t c, enum ml_base64_kind kind)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint8_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0' + 52);
    if (c == (uint8_t)alphabets[kind][62])
        return 62;
    return c == (uint8_t)alphabets[kind][63] ? 63 : 64;
}

bool ml_base64_get(struct ml_slice text, enum ml_base64_kind kind, uint8_t *out, size_t *len_out)
{
    uint32_t word = 0;
    size_t len = 0;
    bool bad = false;

    *len_out = 0;
    if (kind == ML_BASE64) {
        if (text.len % 4)
            return false;
        for (int i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++)
            text.len--;
    }
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t value = value_of(text.ptr[i], kind);

        bad |= value == 64;
        word = word << 6 | (value & 63);
        if (i % 4 != 0) /* 6, then 12, 18, 24 bits: a whole byte is there from the second on */
            out[len++] = (uint8_t)(word >> (6 - 2 * (i % 4)));
    }
    bad |= text.len % 4 == 2 && (word & 15) != 0;
    bad |= text.len % 4 == 3 && (word & 3) != 0;
    *len_out = len;
    return !bad;
}
