/* SPDX-License-Identifier: MIT */
/* A pattern and a text, apart by a NUL byte: whatever they are, positions lie in the text, a set of
 * the one pattern agrees with it, and steps stay within program x text. */
#include <stdlib.h>

#include "base/assert.h"
#include "script/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 4096

static uint64_t ticks;

static void count(void *arg)
{
    (void)arg;
    ticks++;
}

static void check_find(const struct ml_regex *re, struct ml_slice text, bool expected)
{
    unsigned n = 2 * (ml_regex_groups(re) + 1);
    size_t slots[2 * (ML_REGEX_GROUPS_MAX + 1)];
    struct ml_regex_run run = {malloc(ml_regex_memory(re, n)), count, NULL};
    bool found;

    ticks = 0;
    found = ml_regex_find(re, text, 0, &run, n, slots);
    ML_ASSERT(found == expected);
    /* A step is a visit: at most one per instruction and position, and one more to leave it. */
    ML_ASSERT(ticks * 4096 <= (uint64_t)ml_regex_bytes(re) * (text.len + 2));
    for (unsigned i = 0; found && i < n; i += 2) {
        if (slots[i] == ML_REGEX_NONE || slots[i + 1] == ML_REGEX_NONE)
            continue;
        ML_ASSERT(slots[i] <= slots[i + 1] && slots[i + 1] <= text.len);
        ML_ASSERT(slots[0] <= slots[i] && slots[i + 1] <= slots[1]);
    }
    free(run.memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    struct ml_slice patterns[2] = {{data, end ? (size_t)(end - data) : size}, ML_SLICE("zq{3}")};
    struct ml_slice text =
        end ? ml_slice_make(end + 1, size - patterns[0].len - 1) : (struct ml_slice){0};
    struct ml_arena arena;
    struct ml_diag diag = {0};
    const struct ml_regex *re, *set;
    bool hits[2] = {false};

    if (text.len > TEXT_MAX)
        text.len = TEXT_MAX;
    ml_arena_init(&arena, 64u << 20);
    if (ml_regex_compile(patterns, 1, &arena, &re, &diag)) {
        ML_ASSERT(diag.text[0] && diag.offset <= patterns[0].len);
    } else if (ml_regex_compile(patterns, 2, &arena, &set, NULL) == ML_OK) {
        struct ml_regex_run run = {malloc(ml_regex_memory(set, 0)), NULL, NULL};

        (void)ml_regex_which(set, text, &run, false, hits);
        check_find(re, text, hits[0]);
        free(run.memory);
    }
    ml_arena_release(&arena);
    return 0;
}
