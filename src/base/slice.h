/* SPDX-License-Identifier: MIT */
/*
 * Borrowed bytes or text, passed by value. Never NUL-terminated, never freed through; whoever keeps
 * the bytes copies them or holds a reference to the blob they stand in.
 */
#ifndef ML_BASE_SLICE_H
#define ML_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ml_slice {
    const uint8_t *ptr;
    size_t len;
};

/** A string literal as a slice. */
#define ML_SLICE(literal) ((struct ml_slice){(const uint8_t *)("" literal), sizeof(literal) - 1})

/* For printf("%.*s", ML_PRINT(slice)). */
#define ML_PRINT(slice) (int)(slice).len, (const char *)(slice).ptr

static inline struct ml_slice ml_slice_make(const void *ptr, size_t len)
{
    return (struct ml_slice){(const uint8_t *)ptr, len};
}

static inline struct ml_slice ml_slice_str(const char *text)
{
    return (struct ml_slice){(const uint8_t *)text, strlen(text)};
}

static inline bool ml_slice_equal(struct ml_slice a, struct ml_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/** Byte order, as memcmp; a prefix comes first. */
static inline int ml_slice_compare(struct ml_slice a, struct ml_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

#endif
