/* SPDX-License-Identifier: MIT */
/*
 * ml.bytes and ml.int64: userdata that cannot be changed, compared by content.
 *
 *   ml.bytes(s)   tostring(b) is s again, #b its length, == by content
 *   ml.int64(v)   tostring, ==, <, <=, + and - with another or a whole number; a result out of
 *                 range raises, so nothing wraps unseen; n:number() is the nearest number
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/values.h"

#include "script/state.h"

#include <math.h>

#define EXACT_MAX 9007199254740992.0 /* 2^53 */

static const char bytes_key, int64_key; /* addresses are registry keys of the metatables */

struct bytes {
    size_t len;
    uint8_t bytes[];
};

static void set_meta(lua_State *L, const char *key)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

/* The userdata at `index` if its metatable is the one under `key`. */
static void *check_meta(lua_State *L, int index, const char *key)
{
    bool ours;

    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return NULL;
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    ours = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return ours ? lua_touserdata(L, index) : NULL;
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

void ml_bytes_push(lua_State *L, struct ml_slice bytes)
{
    struct bytes *value = lua_newuserdata(L, sizeof(*value) + bytes.len);

    value->len = bytes.len;
    if (bytes.len)
        memcpy(value->bytes, bytes.ptr, bytes.len);
    set_meta(L, &bytes_key);
}

bool ml_bytes_at(lua_State *L, int index, struct ml_slice *out)
{
    const struct bytes *value = check_meta(L, index, &bytes_key);

    if (!value)
        return false;
    *out = ml_slice_make(value->bytes, value->len);
    return true;
}

/* bytes(s) -> value   [may raise] */
int ml_bytes_make(lua_State *L)
{
    struct ml_slice bytes;
    size_t len;
    const char *text;

    if (ml_bytes_at(L, 1, &bytes)) {
        lua_settop(L, 1);
        return 1;
    }
    if (lua_type(L, 1) != LUA_TSTRING)
        luaL_error(L, "ml.bytes: text expected, got %s", luaL_typename(L, 1));
    text = lua_tolstring(L, 1, &len);
    ml_bytes_push(L, ml_slice_make(text, len));
    return 1;
}

static struct ml_slice check_bytes(lua_State *L, int index)
{
    struct ml_slice bytes;

    if (!ml_bytes_at(L, index, &bytes))
        luaL_error(L, "ml.bytes expected, got %s", luaL_typename(L, index));
    return bytes;
}

static int bytes_tostring(lua_State *L)
{
    struct ml_slice bytes = check_bytes(L, 1);

    lua_pushlstring(L, (const char *)bytes.ptr, bytes.len);
    return 1;
}

static int bytes_len(lua_State *L)
{
    lua_pushnumber(L, (double)check_bytes(L, 1).len);
    return 1;
}

static int bytes_eq(lua_State *L)
{
    struct ml_slice a, b;

    lua_pushboolean(L, ml_bytes_at(L, 1, &a) && ml_bytes_at(L, 2, &b) && ml_slice_equal(a, b));
    return 1;
}

/* ---- int64 ------------------------------------------------------------------------------------
 */

void ml_int64_push(lua_State *L, int64_t value)
{
    *(int64_t *)lua_newuserdata(L, sizeof(value)) = value;
    set_meta(L, &int64_key);
}

void ml_integer_push(lua_State *L, int64_t value)
{
    if (value >= -(int64_t)EXACT_MAX && value <= (int64_t)EXACT_MAX)
        lua_pushnumber(L, (double)value);
    else
        ml_int64_push(L, value);
}

bool ml_int64_at(lua_State *L, int index, int64_t *out)
{
    const int64_t *value = check_meta(L, index, &int64_key);

    if (value)
        *out = *value;
    return value != NULL;
}

/* Decimal digits with an optional '-', in range, in the one way to write it. */
static bool parse_int64(struct ml_slice text, int64_t *out)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t limit = (uint64_t)INT64_MAX + negative, value = 0;
    size_t at = negative;

    if (at == text.len || (text.ptr[at] == '0' && text.len > 1))
        return false;
    for (; at < text.len; at++) {
        uint64_t digit = (uint64_t)text.ptr[at] - '0';

        if (text.ptr[at] < '0' || text.ptr[at] > '9' || value > (limit - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* An operand: ml.int64 or a whole number that a number holds exactly. */
static int64_t check_integer(lua_State *L, int index)
{
    int64_t value = 0;
    double number;

    if (ml_int64_at(L, index, &value))
        return value;
    if (lua_type(L, index) != LUA_TNUMBER)
        luaL_error(L, "ml.int64: a whole number expected, got %s", luaL_typename(L, index));
    number = lua_tonumber(L, index);
    if (!(fabs(number) <= EXACT_MAX) || number != floor(number))
        luaL_error(L, "ml.int64: a whole number within 2^53 expected; write larger ones as text");
    return (int64_t)number;
}

/* int64(text | number | int64) -> value   [may raise] */
int ml_int64_make(lua_State *L)
{
    int64_t value;

    if (lua_type(L, 1) == LUA_TSTRING) {
        size_t len;
        const char *text = lua_tolstring(L, 1, &len);

        if (!parse_int64(ml_slice_make(text, len), &value))
            luaL_error(L, "ml.int64: decimal digits within 64 bits expected");
    } else {
        value = check_integer(L, 1);
    }
    ml_int64_push(L, value);
    return 1;
}

static int int64_tostring(lua_State *L)
{
    char text[24];

    lua_pushlstring(L, text,
                    (size_t)snprintf(text, sizeof(text), "%lld", (long long)check_integer(L, 1)));
    return 1;
}

static int int64_eq(lua_State *L)
{
    int64_t a, b;

    lua_pushboolean(L, ml_int64_at(L, 1, &a) && ml_int64_at(L, 2, &b) && a == b);
    return 1;
}

static int int64_lt(lua_State *L)
{
    lua_pushboolean(L, check_integer(L, 1) < check_integer(L, 2));
    return 1;
}

static int int64_le(lua_State *L)
{
    lua_pushboolean(L, check_integer(L, 1) <= check_integer(L, 2));
    return 1;
}

static int int64_add(lua_State *L)
{
    int64_t sum;

    if (__builtin_add_overflow(check_integer(L, 1), check_integer(L, 2), &sum))
        luaL_error(L, "ml.int64: the sum is out of range");
    ml_int64_push(L, sum);
    return 1;
}

static int int64_sub(lua_State *L)
{
    int64_t difference;

    if (__builtin_sub_overflow(check_integer(L, 1), check_integer(L, 2), &difference))
        luaL_error(L, "ml.int64: the difference is out of range");
    ml_int64_push(L, difference);
    return 1;
}

/* n:number() -> the nearest number */
static int int64_number(lua_State *L)
{
    lua_pushnumber(L, (double)check_integer(L, 1));
    return 1;
}

/* ---- Metatables
 * --------------------------------------------------------------------------------- */

static void open_meta(lua_State *L, const char *key, const luaL_Reg *functions, const char *name)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_newtable(L);
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
    lua_newtable(L);
    if (key == &int64_key) {
        lua_pushcfunction(L, int64_number);
        lua_setfield(L, -2, "number");
    }
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void ml_values_open(lua_State *L)
{
    static const luaL_Reg of_bytes[] = {
        {"__tostring", bytes_tostring}, {"__len", bytes_len}, {"__eq", bytes_eq}, {NULL, NULL}};
    static const luaL_Reg of_int64[] = {{"__tostring", int64_tostring},
                                        {"__eq", int64_eq},
                                        {"__lt", int64_lt},
                                        {"__le", int64_le},
                                        {"__add", int64_add},
                                        {"__sub", int64_sub},
                                        {NULL, NULL}};

    open_meta(L, &bytes_key, of_bytes, "bytes");
    open_meta(L, &int64_key, of_int64, "int64");
}
