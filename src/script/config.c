/* SPDX-License-Identifier: MIT */
/*
 * The configuration of a plugin: JSON in, a checked and read-only table out. The schema language is
 * lua/moonloom/schema.lua.
 *
 * Read-only means: the table and the records inside it are faces. Lists and maps inside are the
 * plugin's own copies, because a face has no length and cannot be iterated.
 */
#include "script/state.h"

#include <stdlib.h>

#include "base/log.h"

#define SECRET_VARIABLE "MOONLOOM_SECRET_"
#define SECRET_NAME_MAX 128

/* Raise with the list of error records at `list`. */
static void raise_errors(lua_State *L, const char *plugin, int schema, int list)
{
    luaL_Buffer out;
    int n = (int)lua_objlen(L, list);

    luaL_buffinit(L, &out);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addstring(&out, "\n");
        luaL_addstring(&out, plugin);
        luaL_addstring(&out, ": config: ");
        lua_getfield(L, schema, "describe");
        lua_rawgeti(L, list, i);
        lua_call(L, 1, 1);
        luaL_addvalue(&out);
    }
    luaL_pushresult(&out);
    lua_error(L);
}

static void log_warnings(lua_State *L, struct ml_script *script, struct ml_plugin *plugin, int list)
{
    for (int i = 1, n = (int)lua_objlen(L, list); i <= n; i++) {
        size_t len;
        const char *text;

        lua_rawgeti(L, list, i);
        text = lua_tolstring(L, -1, &len);
        ml_script_log(script, plugin, ML_LOG_WARN, ml_slice_make(text, len));
        lua_pop(L, 1);
    }
}

/* May Lua ask a handle for its text? */
static void push_reveals(lua_State *L, const struct ml_plugin *plugin)
{
    bool reveals;

    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_getfield(L, -1, "needs");
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "secrets.reveal");
    else
        lua_pushnil(L);
    reveals = lua_toboolean(L, -1);
    lua_pop(L, 3);
    lua_pushboolean(L, reveals);
}

/* MOONLOOM_SECRET_ and the name in capitals, '_' for everything that is no letter or digit. */
static const char *from_environment(struct ml_slice name)
{
    char variable[sizeof(SECRET_VARIABLE) + SECRET_NAME_MAX] = SECRET_VARIABLE;
    size_t at = sizeof(SECRET_VARIABLE) - 1;

    if (name.len > SECRET_NAME_MAX || memchr(name.ptr, '/', name.len)) /* an org's */
        return NULL;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];

        variable[at++] = (char)(c >= 'a' && c <= 'z'                               ? c - 0x20
                                : (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c
                                                                                   : '_');
    }
    variable[at] = '\0';
    return getenv(variable);
}

/* resolve(name) -> text | nil   [may raise] */
static int resolve(lua_State *L)
{
    const struct ml_script *script = ml_script_of(L);
    size_t len = 0;
    const char *name = luaL_checklstring(L, 1, &len), *text;

    lua_settop(L, 1);
    if (script->secrets_json.len) {
        ml_json_push(L, script->secrets_json);
        lua_pushvalue(L, 1);
        lua_rawget(L, 2);
    } else {
        lua_pushnil(L);
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        text = from_environment(ml_slice_make(name, len));
        if (!text)
            return 0;
        lua_pushstring(L, text);
    }
    text = lua_tolstring(L, -1, &len);
    if (len && text[len - 1] == '\n') /* of a file: the line it is written on is not part of it */
        lua_pushlstring(L, text, len - (len > 1 && text[len - 2] == '\r' ? 2 : 1));
    return 1;
}

void ml_config_push_resolve(lua_State *L)
{
    lua_pushcfunction(L, resolve);
}

void ml_config_push(lua_State *L, struct ml_script *script, struct ml_plugin *plugin)
{
    int top = lua_gettop(L);

    ml_shipped_require(L, "moonloom.schema");
    lua_getfield(L, -1, "check");
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_getfield(L, -1, "config");
    lua_remove(L, -2);
    if (plugin->config_len)
        ml_json_push(L, ml_slice_make(plugin->config_json, plugin->config_len));
    else
        lua_newtable(L);
    lua_createtable(L, 0, 4); /* options */
    ml_config_push_resolve(L);
    lua_setfield(L, -2, "resolve");
    push_reveals(L, plugin);
    lua_setfield(L, -2, "reveals");
    ml_api_push_guard(L);
    lua_setfield(L, -2, "guard");
    ml_json_null(L);
    lua_setfield(L, -2, "null");
    lua_call(L, 3, 3);
    log_warnings(L, script, plugin, top + 4);
    if (lua_isnil(L, top + 2))
        raise_errors(L, plugin->name, top + 1, top + 3);
    lua_pushvalue(L, top + 2);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
}
