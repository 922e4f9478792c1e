/* SPDX-License-Identifier: MIT */
/*
 * What plugin code can reach: the allow-list of plugin-api 10 and nothing else.
 *
 *   registry
 *     base     every allowed function, the bounded string and table functions      (never seen by
 * plugins) core     environment of the modules that ship with the binary: base, rawset, native
 * functions plugin env {}  -- __index -->  globals { assert …, string = face, math = face, print,
 * require }
 *             -- __newindex: raises
 *     face {} -- __index -->  base.string      __newindex: raises   __metatable: false
 *
 *  [S1] Environments and faces are empty tables: every write meets __newindex, and there is no
 * rawset. [S2] What is behind a face is never handed out, so functions of the library that write
 * raw (insert, remove, sort) meet at most the face, and refuse it (ml_sandbox_check_own). [S3] The
 * metatable of strings answers false and leads to the bounded functions only. [S4] Functions are
 * shared by plugins; they have no state, and without setfenv and debug none can be given to them.
 *  [S5] No address is printed: tostring and %s name the type, %p is refused.
 */
#include "script/state.h"

#include "script/wait.h"

#include "base/log.h"
#include "script/lib.h"

static const char base_key, core_key; /* addresses are registry keys */

static void set_registry(lua_State *L, const char *key)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

static void get_registry(lua_State *L, const char *key)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

/* ---- Allow-lists: library, then names; NULL ends a list
 * --------------------------------------------- */

static const char *const base_names[] = {
    "assert",   "error", "ipairs", "next",   "pairs",    "pcall",        "select",
    "tonumber", "type",  "unpack", "rawget", "rawequal", "getmetatable", NULL,
};
static const char *const string_names[] = {
    "byte", "char", "len", "lower", "reverse", "sub", "upper", NULL,
};
/* Not randomseed: the generator is shared by the plugins of a state. */
static const char *const math_names[] = {
    "abs",   "acos", "asin",  "atan",   "atan2", "ceil", "cos",   "cosh", "deg",  "exp",
    "floor", "fmod", "frexp", "huge",   "ldexp", "log",  "log10", "max",  "min",  "modf",
    "pi",    "pow",  "rad",   "random", "sin",   "sinh", "sqrt",  "tan",  "tanh", NULL,
};
static const char *const bit_names[] = {
    "arshift", "band", "bnot",   "bor",   "bswap", "bxor", "lshift",
    "rol",     "ror",  "rshift", "tobit", "tohex", NULL,
};
/* running and yield: below, so that a coroutine on which a hook waits stays ours. */
static const char *const coroutine_names[] = {
    "create", "resume", "status", "wrap", NULL,
};
static const char *const face_names[] = {"string", "table", "math", "bit", "coroutine", NULL};

/* Copy `names` from the table at `from` into the table at the top. */
static void copy_names(lua_State *L, int from, const char *const *names)
{
    for (; *names; names++) {
        lua_getfield(L, from, *names);
        lua_setfield(L, -2, *names);
    }
}

static void copy_library(lua_State *L, const char *name, const char *const *names)
{
    lua_newtable(L);
    lua_getfield(L, LUA_GLOBALSINDEX, name);
    lua_insert(L, -2);
    copy_names(L, lua_gettop(L) - 1, names);
    lua_remove(L, -2);
}

/* luaL_register would also make a global. */
static void add_functions(lua_State *L, const luaL_Reg *functions)
{
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

/* ---- tostring, setmetatable
 * ------------------------------------------------------------------------ */

void ml_sandbox_tostring(lua_State *L, int index)
{
    if (luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1))
            luaL_error(L, "'__tostring' must return a string");
        return;
    }
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
    case LUA_TNUMBER:
        lua_pushvalue(L, index);
        lua_tostring(L, -1);
        break;
    case LUA_TBOOLEAN:
        lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TLIGHTUSERDATA:
        lua_pushliteral(L, "null");
        break;
    default:
        lua_pushstring(L, luaL_typename(L, index));
    }
}

/* tostring(v) -> text   [may raise] */
static int lua_tostring_hidden(lua_State *L)
{
    luaL_checkany(L, 1);
    ml_sandbox_tostring(L, 1);
    return 1;
}

void ml_sandbox_check_own(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return;
    lua_pushliteral(L, "__guard");
    lua_rawget(L, -2);
    if (lua_toboolean(L, -1))
        luaL_error(L, "this table is read-only");
    lua_pop(L, 2);
}

/* setmetatable(t, meta) -> t   [may raise] */
static int lua_setmetatable_own(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argcheck(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table expected");
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 1, "__metatable"))
        luaL_error(L, "cannot change a protected metatable");
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        lua_rawget(L, 2);
        if (!lua_isnil(L, -1))
            luaL_error(L, "'__gc' is not available");
        lua_settop(L, 2);
    }
    lua_setmetatable(L, 1);
    return 1;
}

/* coroutine.running() -> thread | nil */
static int lua_running(lua_State *L)
{
    if (ml_wait_is_ours(L) || lua_pushthread(L))
        lua_pushnil(L);
    return 1;
}

/* coroutine.yield(...) -> ...   [yields; may raise] */
static int lua_yield_own(lua_State *L)
{
    if (ml_wait_is_ours(L))
        luaL_error(L, "attempt to yield outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

/* ---- Faces
 * --------------------------------------------------------------------------------------- */

/* __newindex of faces; upvalue: what it is called */
static int refuse_write(lua_State *L)
{
    return luaL_error(L, "%s is read-only", lua_tostring(L, lua_upvalueindex(1)));
}

void ml_sandbox_guard(lua_State *L, const char *what)
{
    lua_newtable(L); /* face */
    lua_newtable(L); /* its metatable */
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, what);
    lua_pushcclosure(L, refuse_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "__guard");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* ---- The tables of the state
 * ------------------------------------------------------------------------ */

static void open_library(lua_State *L, lua_CFunction open, const char *name)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

static void make_string_library(lua_State *L)
{
    copy_library(L, "string", string_names);
    add_functions(L, ml_match_functions);
    add_functions(L, ml_string_functions);
    lua_getfield(L, LUA_GLOBALSINDEX, "string");
    lua_getfield(L, -1, "format");
    lua_remove(L, -2);
    lua_pushcclosure(L, ml_string_functions[1].func, 1); /* format needs the original */
    lua_setfield(L, -2, "format");

    lua_pushliteral(L, "");
    lua_newtable(L);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

static void make_base(lua_State *L)
{
    lua_newtable(L);
    copy_names(L, LUA_GLOBALSINDEX, base_names);
    lua_pushcfunction(L, lua_tostring_hidden);
    lua_setfield(L, -2, "tostring");
    lua_pushcfunction(L, lua_setmetatable_own);
    lua_setfield(L, -2, "setmetatable");
    make_string_library(L);
    lua_setfield(L, -2, "string");
    lua_newtable(L);
    add_functions(L, ml_table_functions);
    lua_setfield(L, -2, "table");
    copy_library(L, "math", math_names);
    lua_setfield(L, -2, "math");
    copy_library(L, "bit", bit_names);
    lua_setfield(L, -2, "bit");
    copy_library(L, "coroutine", coroutine_names);
    lua_pushcfunction(L, lua_running);
    lua_setfield(L, -2, "running");
    lua_pushcfunction(L, lua_yield_own);
    lua_setfield(L, -2, "yield");
    lua_setfield(L, -2, "coroutine");
}

/* require of our own modules */
static int core_require(lua_State *L)
{
    ml_shipped_require(L, luaL_checkstring(L, 1));
    return 1;
}

void ml_sandbox_open(lua_State *L)
{
    static const luaL_Reg libraries[] = {
        {"", luaopen_base},     {"table", luaopen_table}, {"string", luaopen_string},
        {"math", luaopen_math}, {"bit", luaopen_bit},
    };

    for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++)
        open_library(L, libraries[i].func, libraries[i].name);
    make_base(L);

    lua_newtable(L); /* core */
    for (lua_pushnil(L); lua_next(L, -3); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_settable(L, -5);
    }
    lua_getfield(L, LUA_GLOBALSINDEX, "rawset");
    lua_setfield(L, -2, "rawset");
    lua_getfield(L, LUA_GLOBALSINDEX, "setmetatable");
    lua_setfield(L, -2, "setmetatable");
    lua_pushcfunction(L, core_require);
    lua_setfield(L, -2, "require");
    ml_lib_push_regex_check(L);
    lua_setfield(L, -2, "compile_regex");
    set_registry(L, &core_key);
    ml_shipped_require(L, "moonloom.xpcall");
    lua_setfield(L, -2, "xpcall");
    set_registry(L, &base_key);
}

void ml_sandbox_seed_random(lua_State *L, uint64_t seed)
{
    lua_getfield(L, LUA_GLOBALSINDEX, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushnumber(L, (double)(seed >> 11));
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}

void ml_sandbox_push_core(lua_State *L)
{
    get_registry(L, &core_key);
}

/* ---- The environment of one plugin
 * ------------------------------------------------------------------ */

static int refuse_global(lua_State *L)
{
    ml_sandbox_tostring(L, 2);
    return luaL_error(L, "global write: '%s' (use local, or self.state)", lua_tostring(L, -1));
}

/* print(...); upvalue: plugin index */
static int lua_print(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_plugin *plugin = &script->plugins[lua_tointeger(L, lua_upvalueindex(1))];
    int n = lua_gettop(L);
    luaL_Buffer out;
    size_t len;
    const char *text;

    luaL_buffinit(L, &out);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&out, '\t');
        ml_sandbox_tostring(L, i);
        luaL_addvalue(&out);
    }
    luaL_pushresult(&out);
    text = lua_tolstring(L, -1, &len);
    ml_script_log(script, plugin, ML_LOG_DEBUG, ml_slice_make(text, len));
    return 0;
}

/* Files of a plugin that `require` may load: name.lib.a.b -> lib/a/b.lua. Answers false for others.
 */
static bool own_module_path(const struct ml_plugin *plugin, const char *name, char *path,
                            size_t size)
{
    size_t prefix = strlen(plugin->folder), len = strlen(name);

    if (len <= prefix + 1 || strncmp(name, plugin->folder, prefix) != 0 || name[prefix] != '.')
        return false;
    name += prefix + 1;
    if ((strncmp(name, "lib.", 4) != 0 && strncmp(name, "vendor.", 7) != 0) || strstr(name, ".."))
        return false;
    if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") !=
        strlen(name))
        return false;
    if ((size_t)snprintf(path, size, "%s.lua", name) >= size)
        return false;
    for (char *p = path; p < path + strlen(name); p++)
        if (*p == '.')
            *p = '/';
    return true;
}

/* Modules of ours that plugins share: each runs in the environment of the plugin that asks, with no
 * other rights. NULL: not one of them. */
static const char *lent_module_path(const char *name)
{
    return strcmp(name, "moonloom.cdn") == 0 ? "moonloom/cdn.lua" : NULL;
}

static void load_own_module(lua_State *L, struct ml_plugin *plugin, const char *name,
                            const char *path)
{
    const char *lent = lent_module_path(name);
    const struct ml_plugin_file *file = lent ? NULL : ml_source_file(plugin->source, path);
    char chunk_name[ML_PLUGIN_NAME_MAX + 128];

    if (lent) {
        ml_shipped_chunk(L, ml_script_of(L), lent);
    } else {
        if (!file)
            luaL_error(L, "module '%s' not found", name);
        snprintf(chunk_name, sizeof(chunk_name), "@%s/%s", plugin->folder, path);
        ml_chunk_load(L, file->text, chunk_name, false);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->env_ref);
    lua_setfenv(L, -2);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
}

/* require(name); upvalues: plugin index, loaded modules */
static int lua_require(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_plugin *plugin = &script->plugins[lua_tointeger(L, lua_upvalueindex(1))];
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    char path[96];

    if (strcmp(name, "moonloom") == 0) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->library_ref);
        return 1;
    }
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(2));
    if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1))
        luaL_error(L, "module '%s' requires itself", name);
    if (!lua_isnil(L, -1))
        return 1;
    if (strlen(name) != len ||
        (!lent_module_path(name) && !own_module_path(plugin, name, path, sizeof(path))))
        luaL_error(L, "module '%s' is not available: 'moonloom' and '%s.lib.*' are", name,
                   plugin->folder);
    if (!script->loading)
        luaL_error(L, "module '%s' must be required while the plugin is loaded", name);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 0);
    lua_rawset(L, lua_upvalueindex(2));
    load_own_module(L, plugin, name, path);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(2));
    return 1;
}

void ml_sandbox_environment(lua_State *L, struct ml_plugin *plugin)
{
    lua_newtable(L); /* globals */
    get_registry(L, &base_key);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_settable(L, -6);
    }
    for (const char *const *name = face_names; *name; name++) {
        lua_getfield(L, -1, *name);
        ml_sandbox_guard(L, *name);
        lua_setfield(L, -3, *name);
    }
    lua_pop(L, 1);
    lua_pushinteger(L, (lua_Integer)plugin->index);
    lua_pushcclosure(L, lua_print, 1);
    lua_setfield(L, -2, "print");
    lua_pushinteger(L, (lua_Integer)plugin->index);
    lua_newtable(L);
    lua_pushcclosure(L, lua_require, 2);
    lua_setfield(L, -2, "require");

    lua_newtable(L); /* environment */
    lua_newtable(L); /* its metatable */
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_global);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "__guard");
    lua_setmetatable(L, -2);
    plugin->env_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
}
