/* SPDX-License-Identifier: MIT */
/*
 * ml.words: lists of words (words.h) as values of Lua. Positions are bytes, 1-based, first and
 * last. The words themselves stand in the environment of the userdata.
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/lib.h"

#include "script/state.h"
#include "script/words.h"

#include "base/utf8.h"

#define SCRATCH_MAX    (32u << 20)
#define CHAR_MAX_BYTES 4

static const char words_key, scratch_key; /* registry keys of the metatables */

static void set_meta(lua_State *L, const char *key)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

static const struct ml_words *check_words(lua_State *L)
{
    bool ours = false;

    if (lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1)) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)&words_key);
        lua_rawget(L, LUA_REGISTRYINDEX);
        ours = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (!ours)
        luaL_error(L, "ml.words.set expected; call its methods with ':'");
    return lua_touserdata(L, 1);
}

static struct ml_slice check_text(lua_State *L, int arg, const char *what)
{
    struct ml_slice text = ml_lib_data(L, arg, what);

    if (!ml_utf8_check(text, NULL))
        luaL_error(L, "%s: not UTF-8 text", what);
    return text;
}

static bool option(lua_State *L, const char *name)
{
    bool on;

    if (!lua_istable(L, 2))
        return false;
    lua_getfield(L, 2, name);
    if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
        luaL_error(L, "ml.words.set: %s is true or false", name);
    on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return on;
}

static void check_options(lua_State *L)
{
    if (lua_isnoneornil(L, 2))
        return;
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";

        if (strcmp(key, "fold") != 0 && strcmp(key, "whole") != 0)
            luaL_error(L, "ml.words.set: unknown option '%s'", key);
    }
}

static int free_scratch(lua_State *L)
{
    ml_arena_release(lua_touserdata(L, 1));
    return 0;
}

/* set(list [, { fold, whole }]) -> words   [may raise] */
static int set(lua_State *L)
{
    struct ml_arena *scratch;
    struct ml_slice *list;
    const struct ml_words *words;
    struct ml_diag diag = {0};
    size_t n;

    luaL_checktype(L, 1, LUA_TTABLE);
    check_options(L);
    n = lua_objlen(L, 1);
    if (n > ML_WORDS_MAX)
        luaL_error(L, "ml.words.set: at most %d words", ML_WORDS_MAX);
    scratch = lua_newuserdata(L, sizeof(*scratch));
    ml_arena_init(scratch, SCRATCH_MAX);
    set_meta(L, &scratch_key);
    list = ml_arena_array(scratch, n + 1, sizeof(*list));
    if (!list)
        luaL_error(L, "out of memory");
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        list[i] = ml_lib_data(L, -1, "ml.words.set");
        lua_rawseti(L, -2, (int)i + 1);
    }
    if (ml_words_make(list, n, option(L, "fold"), option(L, "whole"), scratch, &words, &diag))
        luaL_error(L, "ml.words.set: word %d: %s", (int)diag.offset + 1, diag.text);
    memcpy(lua_newuserdata(L, ml_words_bytes(words)), words, ml_words_bytes(words));
    ml_arena_release(scratch);
    lua_insert(L, -2);
    lua_setfenv(L, -2);
    set_meta(L, &words_key);
    return 1;
}

static void tick(void *arg)
{
    lua_State *L = arg;

    ml_budget_check(&ml_script_of(L)->budget, L);
}

/* words:find(s [, from]) -> word, first, last | nil   [may raise] */
static int words_find(lua_State *L)
{
    const struct ml_words *words = check_words(L);
    struct ml_slice text = check_text(L, 2, "find");
    double from = luaL_optnumber(L, 3, 1);
    struct ml_words_hit hit;

    if (from >= 1 && from <= (double)text.len && (text.ptr[(size_t)from - 1] & 0xc0) == 0x80)
        luaL_error(L, "find: a position inside a character");
    if (!(from >= 1) || from > (double)text.len ||
        !ml_words_find(words, text, (size_t)from - 1, tick, L, &hit)) {
        lua_pushnil(L);
        return 1;
    }
    lua_getfenv(L, 1);
    lua_rawgeti(L, -1, (int)hit.word + 1);
    lua_pushnumber(L, (double)hit.from + 1);
    lua_pushnumber(L, (double)hit.to);
    return 3;
}

/* words:mask(s [, char]) -> s with a `char` for each character of a word, how many words
 * [may raise] */
static int words_mask(lua_State *L)
{
    const struct ml_words *words = check_words(L);
    struct ml_slice text = check_text(L, 2, "mask"), with = ML_SLICE("*");
    struct ml_script *script = ml_script_of(L);
    struct ml_words_hit hit;
    size_t done = 0;
    int count = 0;

    if (!lua_isnoneornil(L, 3))
        with = check_text(L, 3, "mask");
    if (with.len > CHAR_MAX_BYTES)
        luaL_error(L, "mask: one character, or none");
    ml_writer_reset(&script->text);
    while (ml_words_find(words, text, done, tick, L, &hit)) {
        ml_write_bytes(&script->text, ml_slice_make(text.ptr + done, hit.from - done));
        for (size_t at = hit.from; at < hit.to; at++)
            if ((text.ptr[at] & 0xc0) != 0x80)
                ml_write_bytes(&script->text, with);
        done = hit.to;
        if (++count % 256 == 0)
            tick(L);
    }
    ml_write_bytes(&script->text, ml_slice_make(text.ptr + done, text.len - done));
    if (script->text.err)
        luaL_error(L, "mask: the text is too long");
    lua_pushlstring(L, script->text.len ? (const char *)script->text.ptr : "", script->text.len);
    lua_pushinteger(L, count);
    return 2;
}

static void open_meta(lua_State *L, const char *key, const char *name)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_newtable(L);
    lua_newtable(L);
    if (key == &words_key) {
        lua_pushcfunction(L, words_find);
        lua_setfield(L, -2, "find");
        lua_pushcfunction(L, words_mask);
        lua_setfield(L, -2, "mask");
    }
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    if (key == &scratch_key) {
        lua_pushcfunction(L, free_scratch);
        lua_setfield(L, -2, "__gc");
    }
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void ml_lib_open_words(lua_State *L)
{
    open_meta(L, &words_key, "words");
    open_meta(L, &scratch_key, "scratch");
}

const luaL_Reg ml_lib_words[] = {{"set", set}, {NULL, NULL}};
