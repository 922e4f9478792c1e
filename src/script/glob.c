/* SPDX-License-Identifier: MIT */
/*
 * Document names and paths against patterns: '*' stands for any bytes of one segment, '**' for any
 * bytes at all, '/' stands between segments. A '/' and '**' at the end also match what stands
 * before them.
 *
 * Two points to fall back to, the newest '**' and the newest '*' behind it, are enough: what an
 * older star could still take, a newer one of the same kind can take as well.
 */
#include "script/state.h"

bool ml_glob_match(struct ml_slice pattern, struct ml_slice text)
{
    size_t p = 0, t = 0;
    size_t star_p = SIZE_MAX, star_t = 0; /* behind the newest '*', where it ends now */
    size_t wide_p = SIZE_MAX, wide_t = 0; /* the same for '**' */

    for (;;) {
        if (p + 1 < pattern.len && pattern.ptr[p] == '*' && pattern.ptr[p + 1] == '*') {
            p += 2;
            wide_p = p;
            wide_t = t;
            star_p = SIZE_MAX;
            continue;
        }
        if (p < pattern.len && pattern.ptr[p] == '*') {
            p++;
            star_p = p;
            star_t = t;
            continue;
        }
        if (t < text.len && p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
            continue;
        }
        if (t == text.len) {
            if (p == pattern.len)
                return true;
            if (pattern.len - p == 3 && memcmp(pattern.ptr + p, "/**", 3) == 0)
                return true;
        }
        if (star_p != SIZE_MAX && star_t < text.len && text.ptr[star_t] != '/') {
            t = ++star_t;
            p = star_p;
            continue;
        }
        if (wide_p != SIZE_MAX && wide_t < text.len) {
            t = ++wide_t;
            p = wide_p;
            star_p = SIZE_MAX;
            continue;
        }
        return false;
    }
}
