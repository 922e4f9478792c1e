/* SPDX-License-Identifier: MIT */
/*
 * Library functions that could run long inside C, rewritten so that they cannot: sizes are compared
 * with the memory ceiling before anything is built, and loops look at the time limit.
 *
 * A table may claim any length (its border is found by bisection, so a few entries at powers of two
 * are enough for "2^30"): insert, remove and sort refuse more than TABLE_MAX before they begin.
 */
#include "script/state.h"

#include <ctype.h>

#define TABLE_MAX  (1 << 22)
#define CHECK_LOOP 1024
#define FORMAT_MAX 4096
#define ARGS_MAX   200

/* string.rep(s, n [, sep]) -> text   [may raise] */
static int lua_rep(lua_State *L)
{
    size_t len, sep_len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    double times = luaL_checknumber(L, 2);
    const char *sep = luaL_optlstring(L, 3, "", &sep_len);
    luaL_Buffer out;

    if (!(times >= 1) || len + sep_len == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (times * (double)(len + sep_len) > (double)ml_script_of(L)->memory_max)
        luaL_error(L, "resulting string too large");
    luaL_buffinit(L, &out);
    for (long i = 0, n = (long)times; i < n; i++) {
        luaL_addlstring(&out, text, len);
        if (sep_len && i + 1 < n)
            luaL_addlstring(&out, sep, sep_len);
        if (i % CHECK_LOOP == 0)
            ml_budget_check(&ml_script_of(L)->budget, L);
    }
    luaL_pushresult(&out);
    return 1;
}

/* The conversion letter for each argument, '%%' skipped; refuses %p, which prints addresses. */
static int check_format(lua_State *L, const char *format, size_t len)
{
    int args = 0;

    for (size_t i = 0; i < len; i++) {
        if (format[i] != '%')
            continue;
        i++;
        if (i < len && format[i] == '%')
            continue;
        while (i < len && (isdigit((unsigned char)format[i]) || strchr("-+ #.", format[i])))
            i++;
        if (i < len && format[i] == 'p')
            luaL_error(L, "invalid option '%%p' to 'format'");
        args++;
        if (i < len && format[i] == 's' && args < lua_gettop(L)) {
            ml_sandbox_tostring(L, args + 1);
            lua_replace(L, args + 1);
        }
    }
    return args;
}

/* string.format(format, ...) -> text; upvalue: the original   [may raise] */
static int lua_format(lua_State *L)
{
    size_t len;
    const char *format = luaL_checklstring(L, 1, &len);

    if (len > FORMAT_MAX)
        luaL_error(L, "format too long (more than %d bytes)", FORMAT_MAX);
    if (check_format(L, format, len) > ARGS_MAX)
        luaL_error(L, "too many arguments to 'format'");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* Length of the table at 1, which is not one of ours. */
static int own_length(lua_State *L)
{
    size_t n;

    luaL_checktype(L, 1, LUA_TTABLE);
    ml_sandbox_check_own(L, 1);
    n = lua_objlen(L, 1);
    if (n > TABLE_MAX)
        luaL_error(L, "table too long (%d elements at most)", TABLE_MAX);
    return (int)n;
}

/* table.insert(t, [position,] value)   [may raise] */
static int lua_insert_at(lua_State *L)
{
    int n = own_length(L) + 1, at = n;

    switch (lua_gettop(L)) {
    case 2:
        break;
    case 3: {
        double wanted = luaL_checknumber(L, 2);

        if (!(wanted >= 1 && wanted <= TABLE_MAX))
            luaL_error(L, "position out of bounds");
        at = (int)wanted;
        for (int i = n; i > at; i--) {
            lua_rawgeti(L, 1, i - 1);
            lua_rawseti(L, 1, i);
            if (i % CHECK_LOOP == 0)
                ml_budget_check(&ml_script_of(L)->budget, L);
        }
        break;
    }
    default:
        luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_rawseti(L, 1, at);
    return 0;
}

/* table.remove(t [, position]) -> value   [may raise] */
static int lua_remove_at(lua_State *L)
{
    int n = own_length(L);
    double wanted = luaL_optnumber(L, 2, n);

    if (n == 0 || !(wanted >= 1 && wanted <= n))
        return 0;
    lua_rawgeti(L, 1, (int)wanted);
    for (int i = (int)wanted; i < n; i++) {
        lua_rawgeti(L, 1, i + 1);
        lua_rawseti(L, 1, i);
        if (i % CHECK_LOOP == 0)
            ml_budget_check(&ml_script_of(L)->budget, L);
    }
    lua_pushnil(L);
    lua_rawseti(L, 1, n);
    return 1;
}

/* Is t[a] less than t[b], by the function at 2 if there is one? */
static bool is_less(lua_State *L, int a, int b)
{
    bool less;

    ml_budget_check(&ml_script_of(L)->budget, L);
    if (lua_isnil(L, 2)) {
        lua_rawgeti(L, 1, a);
        lua_rawgeti(L, 1, b);
        less = lua_lessthan(L, -2, -1);
        lua_pop(L, 2);
    } else {
        lua_pushvalue(L, 2);
        lua_rawgeti(L, 1, a);
        lua_rawgeti(L, 1, b);
        lua_call(L, 2, 1);
        less = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    return less;
}

static void swap(lua_State *L, int a, int b)
{
    lua_rawgeti(L, 1, a);
    lua_rawgeti(L, 1, b);
    lua_rawseti(L, 1, a);
    lua_rawseti(L, 1, b);
}

static void sift_down(lua_State *L, int root, int n)
{
    while (root * 2 <= n) {
        int child = root * 2;

        if (child < n && is_less(L, child, child + 1))
            child++;
        if (!is_less(L, root, child))
            return;
        swap(L, root, child);
        root = child;
    }
}

/*
 * table.sort(t [, less])   [may raise]
 * Heapsort: n log n whatever the comparison says, so one that lies or yields costs nothing more.
 */
int ml_table_sort(lua_State *L)
{
    int n = own_length(L);

    lua_settop(L, 2);
    if (!lua_isnil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    for (int i = n / 2; i >= 1; i--)
        sift_down(L, i, n);
    for (int i = n; i > 1; i--) {
        swap(L, 1, i);
        sift_down(L, 1, i - 1);
    }
    return 0;
}

/* table.concat(t [, separator [, from [, to]]]) -> text   [may raise] */
static int lua_concat_list(lua_State *L)
{
    size_t sep_len, total = 0;
    const char *sep = luaL_optlstring(L, 2, "", &sep_len);
    struct ml_script *script = ml_script_of(L);
    luaL_Buffer out;
    lua_Number from = luaL_optnumber(L, 3, 1), to;

    luaL_checktype(L, 1, LUA_TTABLE);
    to = luaL_optnumber(L, 4, (lua_Number)lua_objlen(L, 1));
    if (from < -TABLE_MAX || to > TABLE_MAX)
        luaL_error(L, "table too long (%d elements at most)", TABLE_MAX);
    luaL_buffinit(L, &out);
    for (int i = (int)from; i <= (int)to; i++) {
        size_t len;
        const char *text;

        lua_rawgeti(L, 1, i);
        if (!lua_isstring(L, -1))
            luaL_error(L, "invalid value (%s) at index %d in table for 'concat'",
                       luaL_typename(L, -1), i);
        text = lua_tolstring(L, -1, &len);
        (void)text;
        total += len + sep_len;
        if (total > script->memory_max)
            luaL_error(L, "resulting string too large");
        luaL_addvalue(&out);
        if (i < (int)to)
            luaL_addlstring(&out, sep, sep_len);
        if (i % CHECK_LOOP == 0)
            ml_budget_check(&script->budget, L);
    }
    luaL_pushresult(&out);
    return 1;
}

const luaL_Reg ml_string_functions[] = {{"rep", lua_rep}, {"format", lua_format}, {NULL, NULL}};

const luaL_Reg ml_table_functions[] = {
    {"insert", lua_insert_at},
    {"remove", lua_remove_at},
    {"sort", ml_table_sort},
    {"concat", lua_concat_list},
    {NULL, NULL},
};
