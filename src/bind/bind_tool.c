/* SPDX-License-Identifier: MIT */
/*
 * What tools in Lua need of the machine, as the module `moonloom.host`, and the loader that finds
 * the Lua files inside the binary. No decisions.
 */
#include "bind/bind.h"

#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tool_lua.h"

static int push_errno(lua_State *L, const char *path)
{
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(errno));
    return 2;
}

/* host.list(path) -> { name, ... } | nil, text */
static int host_list(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int n = 0;

    if (!dir)
        return push_errno(L, path);
    lua_newtable(L);
    while ((entry = readdir(dir)) != NULL) { /* an error here is the end */
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        lua_pushstring(L, entry->d_name);
        lua_rawseti(L, -2, ++n);
    }
    closedir(dir);
    return 1;
}

/* host.stat(path) -> "file" | "directory" | "other", changed at, bytes | nil, text */
static int host_stat(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;

    if (stat(path, &st))
        return push_errno(L, path);
    lua_pushstring(L, S_ISDIR(st.st_mode) ? "directory" : S_ISREG(st.st_mode) ? "file" : "other");
    lua_pushnumber(L, (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9);
    lua_pushnumber(L, (double)st.st_size);
    return 3;
}

/* host.mkdir(path) -> true | nil, text; fine if it is there */
static int host_mkdir(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    if (mkdir(path, 0777) && errno != EEXIST)
        return push_errno(L, path);
    lua_pushboolean(L, 1);
    return 1;
}

/* host.absolute(path) -> path | nil, text */
static int host_absolute(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    char *full = realpath(path, NULL);

    if (!full)
        return push_errno(L, path);
    lua_pushstring(L, full);
    free(full); /* the string is copied; a Lua error above would end the process of a tool */
    return 1;
}

/* host.sleep(seconds): for --watch */
static int host_sleep(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    struct timespec wait = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    (void)nanosleep(&wait, NULL);
    return 0;
}

/* host.now() -> seconds; only differences mean something */
static int host_now(lua_State *L)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    lua_pushnumber(L, (double)now.tv_sec + (double)now.tv_nsec / 1e9);
    return 1;
}

/* host.is_terminal() -> is somebody reading along? */
static int host_is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty(STDOUT_FILENO));
    return 1;
}

/* The file of a module inside the binary; NULL: there is none. */
static const struct ml_embedded *find_module(const char *name)
{
    size_t len = strlen(name);

    for (const struct ml_embedded *e = ml_tool_files; e->name; e++) {
        size_t i = 0;

        if (strlen(e->name) != len + 4)
            continue;
        while (i < len && e->name[i] == (name[i] == '.' ? '/' : name[i]))
            i++;
        if (i == len)
            return e;
    }
    return NULL;
}

/* host.source("moonloom.test.inner") -> the text of a module   [may raise] */
static int host_source(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const struct ml_embedded *e = find_module(name);

    if (!e)
        return luaL_error(L, "no module '%s' in this binary", name);
    lua_pushlstring(L, (const char *)e->bytes, e->len);
    return 1;
}

static int open_host(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"list", host_list},
        {"stat", host_stat},
        {"mkdir", host_mkdir},
        {"absolute", host_absolute},
        {"sleep", host_sleep},
        {"now", host_now},
        {"is_terminal", host_is_terminal},
        {"source", host_source},
        {NULL, NULL},
    };

    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    return 1;
}

/* A loader of package.loaders: moonloom.a.b is the file moonloom/a/b.lua inside the binary. */
static int load_shipped(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const struct ml_embedded *e = find_module(name);

    if (!e) {
        lua_pushfstring(L, "\n\tno module '%s' in this binary", name);
        return 1;
    }
    lua_pushfstring(L, "@%s", e->name);
    if (luaL_loadbuffer(L, (const char *)e->bytes, e->len, lua_tostring(L, -1)))
        return lua_error(L);
    return 1;
}

static void preload(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_setfield(L, -2, name);
}

void ml_tool_open(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    preload(L, "moonloom.engine", luaopen_moonloom_engine);
    preload(L, "moonloom.test_core", luaopen_moonloom_test_core);
    preload(L, "moonloom.host", open_host);
    lua_pop(L, 1);
    lua_getfield(L, -1, "loaders"); /* preload, ours, then files */
    for (int i = (int)lua_objlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, load_shipped);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 2);
}
