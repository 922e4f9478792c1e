/* SPDX-License-Identifier: MIT */
/*
 * Lua values as lib0's Any, both ways: how plain values enter and leave a document.
 *
 *   tag  value      Lua                      tag  value    Lua
 *   7f   undefined  nil (read only)          79   false    false
 *   7e   null       ml.null                  78   true     true
 *   7d   integer    whole, below 2^31        77   string   string, UTF-8
 *   7c   float32    a number it holds        76   object   table with string keys
 *   7b   float64    any other number         75   array    table 1…n, or marked by ml.array
 *   7a   bigint     ml.int64                 74   bytes    ml.bytes
 *
 * Source: lib0 0.2.120, writeAny and readAny. Depth is counted; keys are written in the order that
 * Lua has them in, which is no order.
 */
#include "script/values.h"

#include "script/state.h"

#include <math.h>

#include "base/utf8.h"

#define CHECK_VALUES 1024
#define INTEGER_MAX  2147483647.0 /* lib0's BITS31 */

enum tag {
    TAG_BYTES = 0x74,
    TAG_ARRAY,
    TAG_OBJECT,
    TAG_STRING,
    TAG_TRUE,
    TAG_FALSE,
    TAG_BIGINT,
    TAG_FLOAT64,
    TAG_FLOAT32,
    TAG_INTEGER,
    TAG_NULL,
    TAG_UNDEFINED,
};

struct walk {
    lua_State *L;
    unsigned depth, values;
    struct ml_writer *out;
    struct ml_reader *in;
};

static void enter(struct walk *w)
{
    if (++w->depth > ML_JSON_DEPTH_MAX)
        luaL_error(w->L, "a value is nested too deeply");
    if (++w->values % CHECK_VALUES == 0)
        ml_budget_check(&ml_script_of(w->L)->budget, w->L);
    luaL_checkstack(w->L, 8, "value");
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

static void put_big_endian(struct ml_writer *out, uint64_t bits, unsigned bytes)
{
    while (bytes-- > 0)
        ml_write_u8(out, (uint8_t)(bits >> (8 * bytes)));
}

static void put_number(struct ml_writer *out, double value)
{
    float single = (float)value;
    uint64_t bits = 0;

    if (value == floor(value) && fabs(value) <= INTEGER_MAX) {
        ml_write_u8(out, TAG_INTEGER);
        ml_write_varint(out, (uint64_t)fabs(value), signbit(value) != 0);
    } else if ((double)single == value) {
        uint32_t half;

        memcpy(&half, &single, sizeof(half));
        ml_write_u8(out, TAG_FLOAT32);
        put_big_endian(out, half, 4);
    } else {
        memcpy(&bits, &value, sizeof(bits));
        ml_write_u8(out, TAG_FLOAT64);
        put_big_endian(out, bits, 8);
    }
}

static void put_string(struct walk *w, int index)
{
    size_t len;
    const char *text = lua_tolstring(w->L, index, &len);

    if (!ml_utf8_check(ml_slice_make(text, len), NULL))
        luaL_error(w->L, "a string is not UTF-8; binary content is ml.bytes(s)");
    ml_write_varbytes(w->out, ml_slice_make(text, len));
}

/* Mutual recursion, bounded by `depth`: the forward declarations this file needs. */
static void put_value(struct walk *w, int index);
static void push_value(struct walk *w);

static void put_list(struct walk *w, int index, size_t n)
{
    ml_write_u8(w->out, TAG_ARRAY);
    ml_write_varuint(w->out, n);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(w->L, index, (int)i);
        if (lua_isnil(w->L, -1))
            luaL_error(w->L, "a list has holes");
        put_value(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
    }
}

static void put_table(struct walk *w, int index)
{
    lua_State *L = w->L;
    size_t n = lua_objlen(L, index), keys = 0;

    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        keys++;
    if (n > 0 || ml_json_is_list(L, index)) {
        if (keys != n)
            luaL_error(L, "a table is both a list and an object");
        put_list(w, index, n);
        return;
    }
    ml_write_u8(w->out, TAG_OBJECT);
    ml_write_varuint(w->out, keys);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "a key is a %s", luaL_typename(L, -2));
        put_string(w, lua_gettop(L) - 1);
        put_value(w, lua_gettop(L));
    }
}

static void put_value(struct walk *w, int index)
{
    struct ml_slice bytes;
    int64_t integer;

    enter(w);
    if (w->out->err)
        luaL_error(w->L, "a value is too large");
    switch (lua_type(w->L, index)) {
    case LUA_TSTRING:
        ml_write_u8(w->out, TAG_STRING);
        put_string(w, index);
        break;
    case LUA_TNUMBER:
        put_number(w->out, lua_tonumber(w->L, index));
        break;
    case LUA_TBOOLEAN:
        ml_write_u8(w->out, lua_toboolean(w->L, index) ? TAG_TRUE : TAG_FALSE);
        break;
    case LUA_TTABLE:
        put_table(w, index);
        break;
    default:
        if (ml_lua_is_json_null(w->L, index)) {
            ml_write_u8(w->out, TAG_NULL);
        } else if (ml_bytes_at(w->L, index, &bytes)) {
            ml_write_u8(w->out, TAG_BYTES);
            ml_write_varbytes(w->out, bytes);
        } else if (ml_int64_at(w->L, index, &integer)) {
            ml_write_u8(w->out, TAG_BIGINT);
            put_big_endian(w->out, (uint64_t)integer, 8);
        } else {
            luaL_error(w->L, "a %s cannot stand in a document", luaL_typename(w->L, index));
        }
    }
    w->depth--;
}

void ml_any_write(lua_State *L, int index, struct ml_writer *out)
{
    struct walk w = {.L = L, .out = out};

    put_value(&w, index < 0 ? lua_gettop(L) + 1 + index : index);
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

static void must(struct walk *w, enum ml_err err)
{
    if (err)
        luaL_error(w->L, "a value of a document is broken");
}

static uint64_t read_big_endian(struct walk *w, size_t len)
{
    struct ml_slice bytes;
    uint64_t bits = 0;

    must(w, ml_read_bytes(w->in, len, &bytes));
    for (size_t i = 0; i < len; i++)
        bits = bits << 8 | bytes.ptr[i];
    return bits;
}

static void push_number(struct walk *w, uint8_t tag)
{
    uint64_t magnitude;
    bool negative;

    if (tag == TAG_INTEGER) {
        must(w, ml_read_varint(w->in, &magnitude, &negative));
        lua_pushnumber(w->L, negative ? -(double)magnitude : (double)magnitude);
    } else if (tag == TAG_FLOAT32) {
        uint32_t bits = (uint32_t)read_big_endian(w, 4);
        float value;

        memcpy(&value, &bits, sizeof(value));
        lua_pushnumber(w->L, (double)value);
    } else {
        uint64_t bits = read_big_endian(w, 8);
        double value;

        memcpy(&value, &bits, sizeof(value));
        lua_pushnumber(w->L, value);
    }
}

static struct ml_slice read_string(struct walk *w)
{
    struct ml_slice text;

    must(w, ml_read_varstring(w->in, &text, NULL));
    return text;
}

/* Nil has no place in a Lua list or table: undefined inside one is null. */
static void push_member(struct walk *w)
{
    push_value(w);
    if (lua_isnil(w->L, -1)) {
        lua_pop(w->L, 1);
        ml_json_null(w->L);
    }
}

/* The number of members is compared with the bytes left before anything is made. */
static size_t read_count(struct walk *w)
{
    uint64_t n;

    must(w, ml_read_varuint(w->in, &n));
    if (n > ml_reader_left(w->in))
        must(w, ML_EFORMAT);
    return (size_t)n;
}

static void push_list(struct walk *w)
{
    size_t n = read_count(w);

    lua_newtable(w->L);
    for (size_t i = 1; i <= n; i++) {
        push_member(w);
        lua_rawseti(w->L, -2, (int)i);
    }
    if (n == 0)
        ml_json_mark_list(w->L);
}

static void push_object(struct walk *w)
{
    size_t n = read_count(w);

    lua_newtable(w->L);
    for (size_t i = 0; i < n; i++) {
        struct ml_slice key = read_string(w);

        lua_pushlstring(w->L, (const char *)key.ptr, key.len);
        push_member(w);
        lua_rawset(w->L, -3);
    }
}

static void push_value(struct walk *w)
{
    struct ml_slice bytes;
    uint8_t tag;

    enter(w);
    must(w, ml_read_u8(w->in, &tag));
    switch (tag) {
    case TAG_UNDEFINED:
        lua_pushnil(w->L);
        break;
    case TAG_NULL:
        ml_json_null(w->L);
        break;
    case TAG_TRUE:
    case TAG_FALSE:
        lua_pushboolean(w->L, tag == TAG_TRUE);
        break;
    case TAG_INTEGER:
    case TAG_FLOAT32:
    case TAG_FLOAT64:
        push_number(w, tag);
        break;
    case TAG_BIGINT:
        ml_int64_push(w->L, (int64_t)read_big_endian(w, 8));
        break;
    case TAG_STRING:
        bytes = read_string(w);
        lua_pushlstring(w->L, (const char *)bytes.ptr, bytes.len);
        break;
    case TAG_BYTES:
        must(w, ml_read_varbytes(w->in, &bytes));
        ml_bytes_push(w->L, bytes);
        break;
    case TAG_ARRAY:
        push_list(w);
        break;
    case TAG_OBJECT:
        push_object(w);
        break;
    default:
        must(w, ML_EFORMAT);
    }
    w->depth--;
}

void ml_any_push(lua_State *L, struct ml_reader *in)
{
    struct walk w = {.L = L, .in = in};

    push_value(&w);
}
