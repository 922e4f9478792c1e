/* SPDX-License-Identifier: MIT */
/*
 * Calls of the heap, counted. A program that has heap.c in it is linked with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free, so that every call of its own objects
 * passes here; the C library's own are not seen.
 */
#ifndef ML_BENCH_HEAP_H
#define ML_BENCH_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap_counts {
    uint64_t calls;     /* malloc, calloc, realloc */
    uint64_t now_bytes; /* asked for and not freed */
};

struct heap_counts heap_counts(void);

#endif
