/* SPDX-License-Identifier: MIT */
/*
 * Document names and paths against patterns: '*' stands for any bytes of one segment, '**' for any
 * bytes at all, '/' stands between segments. A '/' and '**' at the end also match what stands
 * before them.
 *
 * Two points to fall back to, the newest '**' and the newest '*' behind it, are enough: what an
 * older star could still take, a newer one of the same kind can take as well. What falls back too
 * often is matched by all ways at once, so that the cost is never more than pattern x text.
 */
#include "base/glob.h"

#define PATTERN_MAX    4096 /* bytes; a longer one matches nothing */
#define STEPS_PER_BYTE 16

static bool is_star(struct ml_slice pattern, size_t p)
{
    return p < pattern.len && pattern.ptr[p] == '*';
}

static bool is_wide(struct ml_slice pattern, size_t p)
{
    return is_star(pattern, p) && is_star(pattern, p + 1);
}

/* A star may also stand for nothing. */
static void pass_stars(struct ml_slice pattern, bool *at)
{
    for (size_t p = 0; p < pattern.len; p++)
        if (at[p] && is_star(pattern, p))
            at[p + 1 + is_wide(pattern, p)] = true;
}

/* at[p]: the text so far fits the pattern up to p. */
static bool match_all_ways(struct ml_slice pattern, struct ml_slice text)
{
    bool at[PATTERN_MAX + 1] = {true}, next[PATTERN_MAX + 1];

    for (size_t t = 0; t < text.len; t++) {
        uint8_t c = text.ptr[t];

        pass_stars(pattern, at);
        memset(next, 0, pattern.len + 1);
        for (size_t p = 0; p < pattern.len; p++) {
            if (!at[p])
                continue;
            if (is_star(pattern, p))
                next[p] |= c != '/' || is_wide(pattern, p);
            else if (pattern.ptr[p] == c)
                next[p + 1] = true;
        }
        memcpy(at, next, pattern.len + 1);
    }
    pass_stars(pattern, at);
    return at[pattern.len] ||
           (pattern.len >= 3 && memcmp(pattern.ptr + pattern.len - 3, "/**", 3) == 0 &&
            at[pattern.len - 3]);
}

bool ml_glob_match(struct ml_slice pattern, struct ml_slice text)
{
    size_t steps_left = (pattern.len + text.len + 1) * STEPS_PER_BYTE;
    size_t p = 0, t = 0;
    size_t star_p = SIZE_MAX, star_t = 0; /* behind the newest '*', where it ends now */
    size_t wide_p = SIZE_MAX, wide_t = 0; /* the same for '**' */

    if (pattern.len > PATTERN_MAX)
        return false;
    for (;;) {
        if (steps_left-- == 0)
            return match_all_ways(pattern, text);
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
