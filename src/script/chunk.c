/* SPDX-License-Identifier: MIT */
/*
 * What a chunk of plugin code may look like, decided before the compiler sees it.
 *
 * Text only: the first byte of bytecode is refused here and again by mode "t". Number literals that
 * make cdata (1LL, 2ULL, 3i) are refused, because they would bring the FFI library to life.
 * Manifests are data: the word `function` is refused. This is a walk over tokens, not a parser:
 * strings and comments are skipped as Lua's lexer skips them, everything else is left to the
 * compiler.
 */
#include "script/state.h"

#include <ctype.h>

#include "base/utf8.h"

struct scan {
    lua_State *L;
    const char *name;
    const uint8_t *pos, *end;
    unsigned line;
};

static void refuse(const struct scan *s, const char *what)
{
    luaL_error(s->L, "%s:%d: %s", s->name + 1, (int)s->line, what);
}

/* Number of '=' if a long bracket opens at pos, else -1. */
static int long_bracket(const struct scan *s)
{
    const uint8_t *p = s->pos;
    int level = 0;

    if (*p != '[')
        return -1;
    for (p++; p < s->end && *p == '='; p++)
        level++;
    return p < s->end && *p == '[' ? level : -1;
}

static void skip_long(struct scan *s, int level)
{
    s->pos += level + 2;
    for (; s->pos < s->end; s->pos++) {
        if (*s->pos == '\n')
            s->line++;
        if (*s->pos == ']' && s->end - s->pos > level + 1 && s->pos[level + 1] == ']' &&
            strspn((const char *)s->pos + 1, "=") == (size_t)level) {
            s->pos += level + 2;
            return;
        }
    }
}

static void skip_comment(struct scan *s)
{
    int level;

    s->pos += 2;
    level = s->pos < s->end ? long_bracket(s) : -1;
    if (level >= 0) {
        skip_long(s, level);
        return;
    }
    while (s->pos < s->end && *s->pos != '\n')
        s->pos++;
}

static void skip_string(struct scan *s)
{
    uint8_t quote = *s->pos++;

    while (s->pos < s->end && *s->pos != quote && *s->pos != '\n') {
        if (*s->pos == '\\' && s->end - s->pos > 1) {
            s->pos++;
            if (*s->pos == '\n')
                s->line++;
        }
        s->pos++;
    }
    if (s->pos < s->end && *s->pos == quote)
        s->pos++;
}

static void scan_number(struct scan *s)
{
    const uint8_t *start = s->pos;
    bool hex = s->end - start > 1 && start[0] == '0' && (start[1] | 0x20) == 'x';

    while (s->pos < s->end && (isalnum(*s->pos) || *s->pos == '.' || *s->pos == '_' ||
                               ((*s->pos == '+' || *s->pos == '-') &&
                                (s->pos[-1] | 0x20) == (hex ? 'p' : 'e') && s->pos > start)))
        s->pos++;
    for (const uint8_t *p = start; p < s->pos; p++) {
        uint8_t c = *p | 0x20;

        if (c == 'l' || c == 'u' || c == 'i')
            refuse(s, "64-bit and imaginary number literals are not available");
    }
}

static void scan_word(struct scan *s, bool is_data)
{
    const uint8_t *start = s->pos;

    while (s->pos < s->end && (isalnum(*s->pos) || *s->pos == '_' || *s->pos >= 0x80))
        s->pos++;
    if (is_data &&
        ml_slice_equal(ml_slice_make(start, (size_t)(s->pos - start)), ML_SLICE("function")))
        refuse(s, "a manifest is data, it cannot define functions");
}

static void scan_tokens(struct scan *s, bool is_data)
{
    while (s->pos < s->end) {
        uint8_t c = *s->pos;
        uint8_t next = s->end - s->pos > 1 ? s->pos[1] : 0;
        int level = long_bracket(s);

        if (c == '-' && next == '-')
            skip_comment(s);
        else if (level >= 0)
            skip_long(s, level);
        else if (c == '"' || c == '\'')
            skip_string(s);
        else if (isdigit(c) || (c == '.' && isdigit(next)))
            scan_number(s);
        else if (isalpha(c) || c == '_' || c >= 0x80)
            scan_word(s, is_data);
        else {
            if (c == '\n')
                s->line++;
            s->pos++;
        }
    }
}

void ml_chunk_load(lua_State *L, struct ml_slice text, const char *chunk_name, bool is_data)
{
    struct scan s = {L, chunk_name, text.ptr, text.ptr + text.len, 1};

    if (text.len > 0 && text.ptr[0] == 0x1b)
        refuse(&s, "this is bytecode; only source text is loaded");
    if (!ml_utf8_check(text, NULL))
        refuse(&s, "not UTF-8 text");
    scan_tokens(&s, is_data);
    if (luaL_loadbufferx(L, (const char *)text.ptr, text.len, chunk_name, "t"))
        lua_error(L);
}
