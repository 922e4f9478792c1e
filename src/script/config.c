/* SPDX-License-Identifier: MIT */
/*
 * The configuration of a plugin: JSON in, a checked and read-only table out. The schema language is
 * lua/moonloom/schema.lua.
 *
 * Read-only means: the table and the records inside it are faces. Lists and maps inside are the
 * plugin's own copies, because a face has no length and cannot be iterated.
 */
#include "script/state.h"

#include "base/log.h"

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
    lua_createtable(L, 0, 2); /* options */
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
