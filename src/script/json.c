/* SPDX-License-Identifier: MIT */
/*
 * JSON text and Lua values, both ways (RFC 8259).
 *
 *   null    ml.null                  object   table with string keys
 *   list    table 1…n; an empty one carries a mark, so that it stays a list
 *   number  integers up to 2^53 exactly; beyond them ml.int64, as far as 64 bits go; NaN and
 *           infinities have no JSON
 *   string  also for ml.bytes, as base64 (writing only)
 *
 * Depth is counted and bounded both ways; long inputs look at the time limit every 1024 values.
 */
#include "script/state.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "script/values.h"

#define CHECK_VALUES 1024

static const char list_mark; /* registry key of the metatable of marked lists */

struct decoder {
    lua_State *L;
    const uint8_t *start, *pos, *end;
    unsigned depth, values;
};

static void fail(const struct decoder *d, const char *what)
{
    luaL_error(d->L, "JSON: %s at byte %d", what, (int)(d->pos - d->start));
}

static void skip_space(struct decoder *d)
{
    while (d->pos < d->end &&
           (*d->pos == ' ' || *d->pos == '\t' || *d->pos == '\n' || *d->pos == '\r'))
        d->pos++;
}

static bool take(struct decoder *d, char c)
{
    if (d->pos == d->end || *d->pos != (uint8_t)c)
        return false;
    d->pos++;
    return true;
}

static void take_word(struct decoder *d, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(d->end - d->pos) < len || memcmp(d->pos, word, len) != 0)
        fail(d, "unexpected character");
    d->pos += len;
}

static uint32_t take_hex4(struct decoder *d)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        uint8_t c = d->pos < d->end ? *d->pos : 0;
        uint8_t low = c | 0x20;

        if (c >= '0' && c <= '9')
            value = value * 16 + (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            value = value * 16 + (uint32_t)(low - 'a' + 10);
        else
            fail(d, "broken \\u escape");
        d->pos++;
    }
    return value;
}

static void take_escape(struct decoder *d, luaL_Buffer *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint8_t c = d->pos < d->end ? *d->pos++ : 0;
    const char *hit = c ? strchr(from, c) : NULL;
    uint8_t bytes[4];
    uint32_t code;

    if (hit) {
        luaL_addchar(out, to[hit - from]);
        return;
    }
    if (c != 'u')
        fail(d, "unknown escape");
    code = take_hex4(d);
    if (code >= 0xd800 && code < 0xdc00 && d->end - d->pos >= 6 && d->pos[0] == '\\' &&
        d->pos[1] == 'u') {
        uint32_t low;

        d->pos += 2;
        low = take_hex4(d);
        if (low < 0xdc00 || low > 0xdfff)
            fail(d, "half a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xd800 && code <= 0xdfff) {
        fail(d, "half a surrogate pair");
    }
    luaL_addlstring(out, (const char *)bytes, ml_utf8_put(code, bytes));
}

static void push_string(struct decoder *d)
{
    luaL_Buffer out;
    const uint8_t *from;

    if (!take(d, '"'))
        fail(d, "a string is missing");
    for (from = d->pos; d->pos < d->end && *d->pos != '"' && *d->pos != '\\' && *d->pos >= 0x20;)
        d->pos++;
    if (d->pos < d->end && *d->pos == '"') { /* the usual case: nothing to undo */
        lua_pushlstring(d->L, (const char *)from, (size_t)(d->pos - from));
        d->pos++;
        return;
    }
    d->pos = from;
    luaL_buffinit(d->L, &out);
    while (!take(d, '"')) {
        if (d->pos == d->end || *d->pos < 0x20)
            fail(d, "unfinished string");
        if (take(d, '\\'))
            take_escape(d, &out);
        else
            luaL_addchar(&out, (char)*d->pos++);
    }
    luaL_pushresult(&out);
}

/* A whole number that a Lua number cannot hold exactly, but 64 bits can, is ml.int64. */
static bool push_large(lua_State *L, const char *text, double value)
{
    long long integer;
    char *end;

    if (!(fabs(value) >= 9007199254740992.0) || strpbrk(text, ".eE"))
        return false;
    errno = 0;
    integer = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    ml_integer_push(L, integer);
    return true;
}

static void push_number(struct decoder *d)
{
    char text[64];
    size_t len = 0;
    char *end;
    double value;

    while (d->pos < d->end && len < sizeof(text) - 1 && strchr("+-.0123456789eE", *d->pos) &&
           *d->pos)
        text[len++] = (char)*d->pos++;
    text[len] = '\0';
    if (len == 0 || text[0] == '+' || text[0] == '.' ||
        (text[0] == '0' && len > 1 && text[1] >= '0' && text[1] <= '9'))
        fail(d, "unexpected character");
    value = strtod(text, &end);
    if (push_large(d->L, text, value))
        return;
    if (*end || end == text || end[-1] == '.' || !isfinite(value))
        fail(d, "broken number");
    lua_pushnumber(d->L, value);
}

/* Mutual recursion, bounded by `depth`: the one forward declaration this file needs. */
static void push_value(struct decoder *d);

static void push_list(struct decoder *d)
{
    int n = 0;

    lua_newtable(d->L);
    skip_space(d);
    if (take(d, ']')) {
        ml_json_mark_list(d->L);
        return;
    }
    do {
        push_value(d);
        lua_rawseti(d->L, -2, ++n);
        skip_space(d);
    } while (take(d, ','));
    if (!take(d, ']'))
        fail(d, "',' or ']' expected");
}

static void push_object(struct decoder *d)
{
    lua_newtable(d->L);
    skip_space(d);
    if (take(d, '}'))
        return;
    do {
        skip_space(d);
        push_string(d);
        skip_space(d);
        if (!take(d, ':'))
            fail(d, "':' expected");
        push_value(d);
        lua_rawset(d->L, -3);
        skip_space(d);
    } while (take(d, ','));
    if (!take(d, '}'))
        fail(d, "',' or '}' expected");
}

static void push_value(struct decoder *d)
{
    if (++d->depth > ML_JSON_DEPTH_MAX)
        fail(d, "nested too deeply");
    if (++d->values % CHECK_VALUES == 0)
        ml_budget_check(&ml_script_of(d->L)->budget, d->L);
    luaL_checkstack(d->L, 8, "JSON");
    skip_space(d);
    switch (d->pos < d->end ? *d->pos : 0) {
    case '{':
        d->pos++;
        push_object(d);
        break;
    case '[':
        d->pos++;
        push_list(d);
        break;
    case '"':
        push_string(d);
        break;
    case 't':
        take_word(d, "true");
        lua_pushboolean(d->L, 1);
        break;
    case 'f':
        take_word(d, "false");
        lua_pushboolean(d->L, 0);
        break;
    case 'n':
        take_word(d, "null");
        ml_json_null(d->L);
        break;
    default:
        push_number(d);
    }
    d->depth--;
}

void ml_json_push(lua_State *L, struct ml_slice text)
{
    struct decoder d = {.L = L, .start = text.ptr, .pos = text.ptr, .end = text.ptr + text.len};

    if (text.len == 0 || !ml_utf8_check(text, NULL))
        fail(&d, text.len ? "not UTF-8" : "empty");
    push_value(&d);
    skip_space(&d);
    if (d.pos != d.end)
        fail(&d, "something follows the value");
}

/* ---- The other way
 * ------------------------------------------------------------------------------- */

struct encoder {
    lua_State *L;
    unsigned depth, values;
    struct ml_writer *text; /* the script's: an error loses nothing */
};

static void put(struct encoder *e, const char *text)
{
    ml_write_bytes(e->text, ml_slice_str(text));
}

static void put_string(struct encoder *e, int index)
{
    size_t len;
    const char *text = lua_tolstring(e->L, index, &len);

    if (!ml_utf8_check(ml_slice_make(text, len), NULL))
        luaL_error(e->L, "JSON: a string is not UTF-8");
    put(e, "\"");
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];
        char escape[8];

        if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = (char)c;
            ml_write_bytes(e->text, ml_slice_make(escape, 2));
        } else if (c < 0x20) {
            snprintf(escape, sizeof(escape), "\\u%04x", c);
            put(e, escape);
        } else {
            ml_write_u8(e->text, c);
        }
    }
    put(e, "\"");
}

static void put_number(struct encoder *e, double value)
{
    char text[32];

    if (!isfinite(value))
        luaL_error(e->L, "JSON: a number is not finite");
    if (value == floor(value) && fabs(value) <= 9007199254740992.0)
        snprintf(text, sizeof(text), "%.0f", value == 0 ? 0.0 : value);
    else
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof(text), "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
    put(e, text);
}

bool ml_json_is_list(lua_State *L, int index)
{
    bool marked;

    if (!lua_getmetatable(L, index))
        return false;
    lua_pushlightuserdata(L, (void *)(uintptr_t)&list_mark);
    lua_rawget(L, LUA_REGISTRYINDEX);
    marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}

/* null, ml.bytes as base64, ml.int64 as digits. */
static void put_special(struct encoder *e, int index)
{
    struct ml_slice bytes;
    int64_t integer;
    char digits[24];

    if (ml_lua_is_json_null(e->L, index)) {
        put(e, "null");
    } else if (ml_int64_at(e->L, index, &integer)) {
        snprintf(digits, sizeof(digits), "%lld", (long long)integer);
        put(e, digits);
    } else if (ml_bytes_at(e->L, index, &bytes)) {
        size_t len = ml_base64_len(bytes.len, ML_BASE64);

        put(e, "\"");
        if (ml_writer_reserve(e->text, len)) {
            ml_base64_put(bytes, ML_BASE64, (char *)e->text->ptr + e->text->len);
            e->text->len += len;
        }
        put(e, "\"");
    } else {
        luaL_error(e->L, "JSON: a %s has no JSON", luaL_typename(e->L, index));
    }
}

static void put_value(struct encoder *e, int index);

static void put_table(struct encoder *e, int index)
{
    lua_State *L = e->L;
    size_t n = lua_objlen(L, index), seen = 0;
    bool list = n > 0 || ml_json_is_list(L, index), first = true;

    put(e, list ? "[" : "{");
    if (list) {
        for (size_t i = 1; i <= n; i++) {
            if (i > 1)
                put(e, ",");
            lua_rawgeti(L, index, (int)i);
            if (lua_isnil(L, -1))
                luaL_error(L, "JSON: a list has holes");
            put_value(e, lua_gettop(L));
            lua_pop(L, 1);
        }
    }
    lua_pushnil(L);
    while (lua_next(L, index)) {
        seen++;
        if (list) {
            if (lua_type(L, -2) != LUA_TNUMBER || seen > n)
                luaL_error(L, "JSON: a table is both a list and an object");
            lua_pop(L, 1);
            continue;
        }
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "JSON: a key is a %s", luaL_typename(L, -2));
        if (!first)
            put(e, ",");
        first = false;
        put_string(e, lua_gettop(L) - 1);
        put(e, ":");
        put_value(e, lua_gettop(L));
        lua_pop(L, 1);
    }
    put(e, list ? "]" : "}");
}

static void put_value(struct encoder *e, int index)
{
    if (++e->depth > ML_JSON_DEPTH_MAX)
        luaL_error(e->L, "JSON: nested too deeply");
    if (++e->values % CHECK_VALUES == 0)
        ml_budget_check(&ml_script_of(e->L)->budget, e->L);
    if (e->text->err)
        luaL_error(e->L, "JSON: text too long");
    luaL_checkstack(e->L, 8, "JSON");
    switch (lua_type(e->L, index)) {
    case LUA_TSTRING:
        put_string(e, index);
        break;
    case LUA_TNUMBER:
        put_number(e, lua_tonumber(e->L, index));
        break;
    case LUA_TBOOLEAN:
        put(e, lua_toboolean(e->L, index) ? "true" : "false");
        break;
    case LUA_TTABLE:
        put_table(e, index);
        break;
    default:
        put_special(e, index);
    }
    e->depth--;
}

void ml_json_text(lua_State *L, int index)
{
    struct ml_script *script = ml_script_of(L);
    struct encoder e = {.L = L, .text = &script->text};

    ml_writer_reset(e.text);
    put_value(&e, index < 0 ? lua_gettop(L) + 1 + index : index);
    if (e.text->err)
        luaL_error(L, "JSON: text too long");
    lua_pushlstring(L, (const char *)e.text->ptr, e.text->len);
}

void ml_json_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

bool ml_lua_is_json_null(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && lua_touserdata(L, index) == NULL;
}

void ml_json_mark_list(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)&list_mark);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

void ml_json_open(lua_State *L)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)&list_mark);
    lua_newtable(L);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);
}
