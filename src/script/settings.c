/* SPDX-License-Identifier: MIT */
/*
 * moonloom.lua: a file of assignments, run once at start-up in an environment that has nothing but
 * env() and file(). What it assigned comes out as JSON, so that nobody else has to know Lua.
 */
#include "script/script.h"

#include "base/utf8.h"

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define INSTRUCTIONS   100000
#define DEPTH_MAX      16
#define FILE_MAX_BYTES (64 * 1024)

/* env("NAME", default) -> string or default   [-0, +1, may raise on misuse] */
static int settings_env(lua_State *L)
{
    const char *value = getenv(luaL_checkstring(L, 1));

    if (value)
        lua_pushstring(L, value);
    else
        lua_settop(L, 2);
    return 1;
}

/* file("PATH") -> its text   [-0, +1, raises if it cannot be read] */
static int settings_file(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    FILE *f = fopen(path, "rb");
    char *text;
    size_t n;

    if (!f)
        return luaL_error(L, "cannot read %s", path);
    text = lua_newuserdata(L, FILE_MAX_BYTES + 1);
    n = fread(text, 1, FILE_MAX_BYTES + 1, f);
    (void)fclose(f);
    if (n > FILE_MAX_BYTES)
        return luaL_error(L, "%s is larger than 64 KiB", path);
    lua_pushlstring(L, text, n);
    return 1;
}

/* __newindex of the environment: keep the value, and in upvalue 1 the line.   [-0, +0] */
static int settings_assign(lua_State *L)
{
    lua_Debug ar;

    luaL_checktype(L, 2, LUA_TSTRING);
    if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "l", &ar)) {
        lua_pushvalue(L, 2);
        lua_pushinteger(L, ar.currentline);
        lua_rawset(L, lua_upvalueindex(1));
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, lua_upvalueindex(2));
    return 0;
}

static void stop(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    luaL_error(L, "the configuration runs too long: it should only assign values");
}

static void write_text(struct ml_writer *out, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";

    ml_write_u8(out, '"');
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)text[i];

        if (c == '"' || c == '\\') {
            ml_write_u8(out, '\\');
            ml_write_u8(out, c);
        } else if (c < 0x20) {
            ml_write_bytes(out, ML_SLICE("\\u00"));
            ml_write_u8(out, (uint8_t)hex[c >> 4]);
            ml_write_u8(out, (uint8_t)hex[c & 15]);
        } else {
            ml_write_u8(out, c);
        }
    }
    ml_write_u8(out, '"');
}

/* A list if its keys are 1 … n and n > 0. */
static bool is_list(lua_State *L, int index)
{
    size_t n = lua_objlen(L, index), count = 0;

    lua_pushnil(L);
    while (lua_next(L, index)) {
        count++;
        lua_pop(L, 1);
    }
    return n > 0 && count == n;
}

static const char *write_value(lua_State *L, int index, int depth, struct ml_writer *out);

static const char *write_list(lua_State *L, int index, int depth, struct ml_writer *out)
{
    const char *wrong = NULL;

    ml_write_u8(out, '[');
    for (int i = 1, n = (int)lua_objlen(L, index); !wrong && i <= n; i++) {
        if (i > 1)
            ml_write_u8(out, ',');
        lua_rawgeti(L, index, i);
        wrong = write_value(L, lua_gettop(L), depth + 1, out);
        lua_pop(L, 1);
    }
    ml_write_u8(out, ']');
    return wrong;
}

static const char *write_table(lua_State *L, int index, int depth, struct ml_writer *out)
{
    const char *wrong = NULL;
    bool first = true;

    ml_write_u8(out, '{');
    lua_pushnil(L);
    while (!wrong && lua_next(L, index)) {
        size_t len;
        const char *key;

        if (lua_type(L, -2) != LUA_TSTRING)
            return "a table mixes a list and named fields";
        key = lua_tolstring(L, -2, &len);
        if (!first)
            ml_write_u8(out, ',');
        first = false;
        if (!ml_utf8_check(ml_slice_make(key, len), NULL))
            return "text that is not UTF-8";
        write_text(out, key, len);
        ml_write_u8(out, ':');
        wrong = write_value(L, lua_gettop(L), depth + 1, out);
        lua_pop(L, 1);
    }
    ml_write_u8(out, '}');
    return wrong;
}

/* Answers what is wrong, or NULL. Recursion is bounded by DEPTH_MAX. */
static const char *write_value(lua_State *L, int index, int depth, struct ml_writer *out)
{
    char number[32];
    size_t len;
    const char *text;

    if (depth > DEPTH_MAX || !lua_checkstack(L, 8))
        return "tables are nested too deeply";
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        ml_write_bytes(out, lua_toboolean(L, index) ? ML_SLICE("true") : ML_SLICE("false"));
        return NULL;
    case LUA_TNUMBER:
        if (!isfinite(lua_tonumber(L, index)))
            return "a number that is not finite";
        len = (size_t)snprintf(number, sizeof number, "%.17g", lua_tonumber(L, index));
        ml_write_bytes(out, ml_slice_make(number, len));
        return NULL;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        if (!ml_utf8_check(ml_slice_make(text, len), NULL))
            return "text that is not UTF-8";
        write_text(out, text, len);
        return NULL;
    case LUA_TTABLE:
        return is_list(L, index) ? write_list(L, index, depth, out)
                                 : write_table(L, index, depth, out);
    default:
        return "a value that is not data (function, nil)";
    }
}

/* "path:12: message" → line 12 and the message alone. */
static enum ml_err report(struct ml_diag *diag, const char *message)
{
    const char *colon = message ? strchr(message, ':') : NULL;
    long line = 0;

    while (colon && line <= 0) {
        char *end;

        line = strtol(colon + 1, &end, 10);
        if (line > 0 && *end == ':')
            message = end[1] == ' ' ? end + 2 : end + 1;
        else
            line = 0;
        colon = strchr(colon + 1, ':');
    }
    return ml_diag_set(diag, ML_EFORMAT, (size_t)(line > 0 ? line : 0), "%s",
                       message ? message : "unknown error");
}

/* Stack: 1 lines, 2 values, 3 environment with __newindex = settings_assign. */
static void push_environment(lua_State *L)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, settings_assign, 2);
    lua_setfield(L, -2, "__newindex");
    lua_newtable(L);
    lua_pushcfunction(L, settings_env);
    lua_setfield(L, -2, "env");
    lua_pushcfunction(L, settings_file);
    lua_setfield(L, -2, "file");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, 3);
}

enum ml_err ml_settings_read(const char *path, struct ml_writer *json_out,
                             struct ml_writer *lines_out, struct ml_diag *diag)
{
    lua_State *L = luaL_newstate();
    const char *wrong;
    enum ml_err err = ML_OK;
    FILE *f;

    if (!L)
        return ML_ELIMIT;
    f = fopen(path, "rb");
    if (!f) {
        lua_close(L);
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "cannot read %s", path);
    }
    (void)fclose(f);
    (void)luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    push_environment(L);
    if (luaL_loadfilex(L, path, "t")) {
        err = report(diag, lua_tostring(L, -1));
        goto out;
    }
    lua_pushvalue(L, 3);
    lua_setfenv(L, -2);
    lua_sethook(L, stop, LUA_MASKCOUNT, INSTRUCTIONS);
    if (lua_pcall(L, 0, 0, 0)) {
        err = report(diag, lua_tostring(L, -1));
        goto out;
    }
    lua_sethook(L, NULL, 0, 0);
    wrong = write_table(L, 2, 0, json_out);
    if (!wrong)
        wrong = write_table(L, 1, 0, lines_out);
    if (wrong)
        err = ml_diag_set(diag, ML_EFORMAT, 0, "%s", wrong);
    else
        err = json_out->err ? json_out->err : lines_out->err;
out:
    lua_close(L);
    return err;
}
