/* SPDX-License-Identifier: MIT */
/*
 * `moonloom plugin …`: what needs no server is written in Lua (lua/moonloom/tool) and runs in a
 * state of its own, with all of Lua. Plugins never see it.
 */
#include "server/cmd_plugin.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

#include "bind/bind.h"
#include "server/cmd_plugin_documents.h"
#include "server/cmd_plugin_live.h"

static int on_error(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING)
        luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

/* require "moonloom.tool.main"(arguments) -> exit code */
static int run(lua_State *L, int argc, char **argv)
{
    int status;

    lua_pushcfunction(L, on_error);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "moonloom.tool.main");
    status = lua_pcall(L, 1, 1, 1);
    if (!status) {
        lua_createtable(L, argc, 0);
        for (int i = 0; i < argc; i++) {
            lua_pushstring(L, argv[i]);
            lua_rawseti(L, -2, i + 1);
        }
        status = lua_pcall(L, 1, 1, 1);
    }
    if (status) {
        (void)fprintf(stderr, "moonloom plugin: %s\n", lua_tostring(L, -1));
        return 1;
    }
    return (int)lua_tointeger(L, -1);
}

int ml_cmd_plugin(int argc, char **argv)
{
    lua_State *L;
    int status;

    if (argc && ml_cmd_plugin_is_live(argv[0]))
        return ml_cmd_plugin_live(argc, argv);
    L = luaL_newstate();
    if (!L)
        return 1;
    luaL_openlibs(L);
    ml_tool_open(L);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, ml_open_documents);
    lua_setfield(L, -2, "moonloom.documents");
    lua_pop(L, 2);
    status = run(L, argc, argv);
    lua_close(L);
    return status;
}
