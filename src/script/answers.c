/* SPDX-License-Identifier: MIT */
/*
 * Answers that are more than yes and no (plugin-api 10): each a table with the metatable of its
 * kind, by which C tells it from a plain table (ml_api_answer_kind).
 *
 *   merge(v)        { value }           slow(s, state)    { seconds, state }
 *   keep_both(name) { name }            retry(why, after) { why, after }
 *   allow()         { }                 dead(why)         { why }
 *   drop            { }: the one value, shared and read-only
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/ask.h"

#include "base/utf8.h"

#define NAME_MAX_BYTES 128
#define WHY_MAX_BYTES  500
#define SLOW_MAX_MS    60000.0

static void check_text(lua_State *L, int arg, size_t max, const char *what)
{
    size_t len;
    const char *text = lua_type(L, arg) == LUA_TSTRING ? lua_tolstring(L, arg, &len) : NULL;

    if (!text || len == 0 || len > max || !ml_utf8_check(ml_slice_make(text, len), NULL))
        luaL_error(L, "%s must be UTF-8 text of 1 to %d bytes", what, (int)max);
}

/* An answer of one field, whose value is argument 1. */
static int answer_of(lua_State *L, enum ml_answer_kind kind, const char *field)
{
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, field);
    ml_api_mark_answer(L, kind);
    return 1;
}

/* merge(value) -> answer   [may raise] */
static int merge(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_isnil(L, 1))
        luaL_error(L, "ml.merge: a value is missing; ml.null is null");
    return answer_of(L, ML_ANSWER_MERGE, "value");
}

/* keep_both(name) -> answer   [may raise] */
static int keep_both(lua_State *L)
{
    check_text(L, 1, NAME_MAX_BYTES, "ml.keep_both: the name of the list");
    return answer_of(L, ML_ANSWER_KEEP_BOTH, "name");
}

/* slow(duration [, state]) -> answer: stop reading for so long; of `awareness`: how often others
 * are told   [may raise] */
static int slow(lua_State *L)
{
    double ms;

    luaL_checkany(L, 1);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2))
        luaL_checktype(L, 2, LUA_TTABLE);
    ms = ml_answer_duration_ms(L, 1, "ml.slow:");
    if (!(ms > 0 && ms <= SLOW_MAX_MS))
        luaL_error(L, "ml.slow: more than nothing and at most one minute");
    lua_pushnumber(L, ms / 1000);
    lua_replace(L, 1);
    (void)answer_of(L, ML_ANSWER_SLOW, "seconds");
    lua_pushliteral(L, "state");
    lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    return 1;
}

/* allow() -> answer */
static int allow(lua_State *L)
{
    lua_newtable(L);
    ml_api_mark_answer(L, ML_ANSWER_ALLOW);
    return 1;
}

/* retry([why [, after]]) -> answer   [may raise] */
static int retry(lua_State *L)
{
    lua_settop(L, 2);
    if (!lua_isnil(L, 1))
        check_text(L, 1, WHY_MAX_BYTES, "ml.retry: why");
    if (!lua_isnil(L, 2)) {
        lua_pushnumber(L, ml_answer_duration_ms(L, 2, "ml.retry: after") / 1000);
        lua_replace(L, 2);
    }
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "why");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "after");
    ml_api_mark_answer(L, ML_ANSWER_RETRY);
    return 1;
}

/* dead(why) -> answer   [may raise] */
static int dead(lua_State *L)
{
    check_text(L, 1, WHY_MAX_BYTES, "ml.dead: why");
    return answer_of(L, ML_ANSWER_DEAD, "why");
}

void ml_answers_push_drop(lua_State *L)
{
    lua_newtable(L);
    ml_api_mark_answer(L, ML_ANSWER_DROP);
}

const luaL_Reg ml_lib_answers[] = {
    {"merge", merge}, {"keep_both", keep_both}, {"slow", slow}, {"allow", allow},
    {"retry", retry}, {"dead", dead},           {NULL, NULL},
};
