/* SPDX-License-Identifier: MIT */
/* The wire speaks UTF-8, Yjs counts UTF-16 units: the two meet here and nowhere else. */
#ifndef ML_BASE_UTF8_H
#define ML_BASE_UTF8_H

#include "base/slice.h"

/**
 * Is this well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF)?
 *
 * @param units_utf16_out  number of UTF-16 code units; may be NULL
 * Cost: linear; runs of ASCII eight bytes at a time.
 */
bool ml_utf8_check(struct ml_slice text, size_t *units_utf16_out);

/**
 * Byte offset of the UTF-16 unit `index_utf16` in well-formed `text`.
 *
 * @param inside_pair_out  set if the unit is the low half of a surrogate pair: the offset is then
 *                         that of the pair's first byte
 */
size_t ml_utf8_offset(struct ml_slice text, size_t index_utf16, bool *inside_pair_out);

/** Write one code point (not a surrogate, at most U+10FFFF) to `out[4]`; answers the byte count. */
size_t ml_utf8_put(uint32_t code_point, uint8_t out[4]);

/** Read one code point at `p` in well-formed text; answers its byte count. */
size_t ml_utf8_get(const uint8_t *p, uint32_t *code_point_out);

#endif
