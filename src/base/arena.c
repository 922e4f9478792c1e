/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#define RED_ZONE       16 /* stays poisoned behind every object */
#else
#define POISON(p, n)   ((void)0)
#define UNPOISON(p, n) ((void)0)
#define RED_ZONE       0
#endif

#define ALIGN       16
#define CHUNK_FIRST 4096
#define CHUNK_MAX   (256 * 1024)

struct ml_arena_chunk {
    struct ml_arena_chunk *next;
    size_t bytes; /* behind this header */
    _Alignas(ALIGN) uint8_t data[];
};

void ml_arena_init(struct ml_arena *arena, size_t max_bytes)
{
    *arena = (struct ml_arena){.max_bytes = max_bytes};
}

static void free_chunks(struct ml_arena_chunk *chunk)
{
    while (chunk) {
        struct ml_arena_chunk *next = chunk->next;

        UNPOISON(chunk->data, chunk->bytes);
        free(chunk);
        chunk = next;
    }
}

void ml_arena_release(struct ml_arena *arena)
{
    free_chunks(arena->chunk);
    ml_arena_init(arena, arena->max_bytes);
}

void ml_arena_reset(struct ml_arena *arena)
{
    struct ml_arena_chunk *keep = arena->chunk;

    if (!keep)
        return;
    if (keep->bytes > CHUNK_MAX) {
        /* One large message must not pin its memory for ever. */
        ml_arena_release(arena);
        return;
    }
    free_chunks(keep->next);
    keep->next = NULL;
    arena->pos = keep->data;
    arena->end = keep->data + keep->bytes;
    arena->used_bytes = keep->bytes;
    POISON(keep->data, keep->bytes);
}

static bool add_chunk(struct ml_arena *arena, size_t need)
{
    size_t bytes = arena->chunk ? arena->chunk->bytes * 2 : CHUNK_FIRST;
    struct ml_arena_chunk *chunk;

    if (bytes > CHUNK_MAX)
        bytes = CHUNK_MAX;
    if (bytes < need)
        bytes = need;
    if (bytes > arena->max_bytes - arena->used_bytes)
        bytes = need;
    if (bytes > arena->max_bytes - arena->used_bytes)
        return false;
    chunk = malloc(sizeof *chunk + bytes);
    if (!chunk)
        return false;
    chunk->bytes = bytes;
    chunk->next = arena->chunk;
    arena->chunk = chunk;
    arena->pos = chunk->data;
    arena->end = chunk->data + bytes;
    arena->used_bytes += bytes;
    POISON(chunk->data, bytes);
    return true;
}

void *ml_arena_take(struct ml_arena *arena, size_t bytes)
{
    size_t take;
    void *ptr;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    take = (bytes + RED_ZONE + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (take == 0)
        take = ALIGN;
    if ((size_t)(arena->end - arena->pos) < take && !add_chunk(arena, take))
        return NULL;
    ptr = arena->pos;
    arena->pos += take;
    UNPOISON(ptr, bytes);
    return ptr;
}

void *ml_arena_alloc(struct ml_arena *arena, size_t bytes)
{
    void *ptr = ml_arena_take(arena, bytes);

    return ptr ? memset(ptr, 0, bytes) : NULL;
}

void *ml_arena_array(struct ml_arena *arena, size_t count, size_t each_bytes)
{
    if (each_bytes && count > SIZE_MAX / 2 / each_bytes)
        return NULL;
    return ml_arena_alloc(arena, count * each_bytes);
}

struct ml_slice ml_arena_copy(struct ml_arena *arena, struct ml_slice bytes)
{
    uint8_t *ptr = bytes.len < SIZE_MAX / 2 ? ml_arena_alloc(arena, bytes.len + 1) : NULL;

    if (!ptr)
        return ml_slice_make(NULL, 0);
    if (bytes.len)
        memcpy(ptr, bytes.ptr, bytes.len);
    return ml_slice_make(ptr, bytes.len);
}
