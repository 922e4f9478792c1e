/* SPDX-License-Identifier: MIT */
/*
 * Patterns of names: one half of the input against the other, and the answer against that of a
 * table filled in by the definition. The first NUL stands between them.
 */
#include "base/assert.h"
#include "base/glob.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LEN_MAX = 64 };

/* fits[p][t]: what is left of the pattern from p on stands for what is left of the text from t on.
 */
static bool by_definition(struct ml_slice pattern, struct ml_slice text)
{
    bool fits[LEN_MAX + 2][LEN_MAX + 1] = {{false}};

    fits[pattern.len][text.len] = true;
    for (size_t p = pattern.len; p-- > 0;) {
        bool is_star = pattern.ptr[p] == '*';
        bool is_wide = is_star && p + 1 < pattern.len && pattern.ptr[p + 1] == '*';

        for (size_t t = text.len + 1; t-- > 0;) {
            bool more = t < text.len;

            if (is_star)
                fits[p][t] = fits[p + 1 + is_wide][t] ||
                             (more && (is_wide || text.ptr[t] != '/') && fits[p][t + 1]);
            else
                fits[p][t] = more && text.ptr[t] == pattern.ptr[p] && fits[p + 1][t + 1];
        }
    }
    return fits[0][0];
}

static bool expected(struct ml_slice pattern, struct ml_slice text)
{
    if (by_definition(pattern, text))
        return true;
    return pattern.len >= 3 && memcmp(pattern.ptr + pattern.len - 3, "/**", 3) == 0 &&
           by_definition(ml_slice_make(pattern.ptr, pattern.len - 3), text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, 0, size);
    struct ml_slice pattern, text;

    if (!nul)
        return 0;
    pattern = ml_slice_make(data, (size_t)(nul - data));
    text = ml_slice_make(nul + 1, size - pattern.len - 1);
    if (pattern.len > LEN_MAX || text.len > LEN_MAX) {
        (void)ml_glob_match(pattern, text);
        return 0;
    }
    ML_ASSERT(ml_glob_match(pattern, text) == expected(pattern, text));
    return 0;
}
