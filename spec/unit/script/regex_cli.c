/* SPDX-License-Identifier: MIT */
/*
 * Regular expressions for another engine to compare with: each line of standard input is a pattern
 * and a text in hex; each line of standard output "begin,end begin,end …" of the match and its
 * groups ("-" for one that took no part), "none", or "error: why".
 */
#include <stdio.h>
#include <stdlib.h>

#include "script/regex.h"

#define LINE_MAX_BYTES (1 << 20)

static size_t from_hex(const char *hex, size_t len, uint8_t *out)
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        char pair[3] = {hex[i], hex[i + 1], 0};

        out[i / 2] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return len / 2;
}

static void answer(struct ml_slice pattern, struct ml_slice text)
{
    struct ml_arena arena;
    struct ml_diag diag = {0};
    const struct ml_regex *re;

    ml_arena_init(&arena, 64 << 20);
    if (ml_regex_compile(&pattern, 1, &arena, &re, &diag)) {
        printf("error: %s\n", diag.text);
    } else {
        unsigned n = 2 * (ml_regex_groups(re) + 1);
        size_t slots[2 * (ML_REGEX_GROUPS_MAX + 1)];
        struct ml_regex_run run = {.memory = malloc(ml_regex_memory(re, n))};

        if (!ml_regex_find(re, text, 0, &run, n, slots))
            printf("none");
        else
            for (unsigned i = 0; i < n; i += 2)
                if (slots[i] == ML_REGEX_NONE || slots[i + 1] == ML_REGEX_NONE)
                    printf("- ");
                else
                    printf("%zu,%zu ", slots[i], slots[i + 1]);
        printf("\n");
        free(run.memory);
    }
    ml_arena_release(&arena);
}

int main(void)
{
    static char line[LINE_MAX_BYTES];
    static uint8_t pattern[LINE_MAX_BYTES / 2], text[LINE_MAX_BYTES / 2];

    while (fgets(line, sizeof(line), stdin)) {
        const char *space = strchr(line, ' ');
        size_t pattern_len, text_len;

        if (!space)
            return 2;
        pattern_len = from_hex(line, (size_t)(space - line), pattern);
        text_len = from_hex(space + 1, strcspn(space + 1, "\n"), text);
        answer(ml_slice_make(pattern, pattern_len), ml_slice_make(text, text_len));
    }
    return 0;
}
