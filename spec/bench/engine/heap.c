/* SPDX-License-Identifier: MIT */
/*
 * Each block has its size in front, so that what is counted is what was asked for and not what this
 * C library makes of it.
 */
#include "heap.h"

#include <string.h>

#define HEAD 16 /* keeps the alignment of malloc */

void *__real_malloc(size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t each_bytes);
void *__wrap_realloc(void *block, size_t bytes);
void __wrap_free(void *block);

static struct heap_counts counts;

struct heap_counts heap_counts(void)
{
    return counts;
}

static void *finish(void *head, size_t bytes)
{
    if (!head)
        return NULL;
    memcpy(head, &bytes, sizeof bytes);
    counts.now_bytes += bytes;
    return (char *)head + HEAD;
}

static size_t forget(void *head)
{
    size_t bytes;

    memcpy(&bytes, head, sizeof bytes);
    counts.now_bytes -= bytes;
    return bytes;
}

void *__wrap_malloc(size_t bytes)
{
    counts.calls++;
    return bytes > SIZE_MAX - HEAD ? NULL : finish(__real_malloc(bytes + HEAD), bytes);
}

void *__wrap_calloc(size_t count, size_t each_bytes)
{
    size_t bytes;
    void *block = NULL;

    if (!__builtin_mul_overflow(count, each_bytes, &bytes))
        block = __wrap_malloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void *__wrap_realloc(void *block, size_t bytes)
{
    void *head = block ? (char *)block - HEAD : NULL;
    size_t before;
    void *moved;

    if (!head)
        return __wrap_malloc(bytes);
    counts.calls++;
    before = forget(head);
    moved = bytes > SIZE_MAX - HEAD ? NULL : __real_realloc(head, bytes + HEAD);
    if (!moved) {
        counts.now_bytes += before; /* it is still there */
        return NULL;
    }
    return finish(moved, bytes);
}

void __wrap_free(void *block)
{
    void *head = block ? (char *)block - HEAD : NULL;

    if (!head)
        return;
    (void)forget(head);
    __real_free(head);
}
