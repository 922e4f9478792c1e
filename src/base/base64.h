/* SPDX-License-Identifier: MIT */
/*
 * Base64 (RFC 4648), strict in reading: one text for each sequence of bytes and no other.
 *
 *   ML_BASE64      + /   padded with '=' to a multiple of four
 *   ML_BASE64URL   - _   never padded (as JOSE wants it, RFC 7515)
 */
#ifndef ML_BASE_BASE64_H
#define ML_BASE_BASE64_H

#include "base/slice.h"

enum ml_base64_kind { ML_BASE64, ML_BASE64URL };

/** Characters that `len` bytes become. */
size_t ml_base64_len(size_t len, enum ml_base64_kind kind);
/** Write them to `out` (ml_base64_len characters, no NUL). */
void ml_base64_put(struct ml_slice bytes, enum ml_base64_kind kind, char *out);

/** Bytes that `chars` characters hold at most. */
static inline size_t ml_base64_max(size_t chars)
{
    return chars / 4 * 3 + 3;
}
/**
 * Read `text` into `out` (room for ml_base64_max bytes).
 *
 * False for anything but the one text of some bytes: foreign characters, spaces, missing or (URL)
 * any padding, unused bits that are not zero. Cost: linear, no branch on the value of a byte before
 * the end.
 */
bool ml_base64_get(struct ml_slice text, enum ml_base64_kind kind, uint8_t *out, size_t *len_out);

#endif
