/* SPDX-License-Identifier: MIT */
/*
 * For tests of plugins: code of the tester runs inside the state, beside the plugin, with the same
 * limits. It is handed the plugin's table, its instance, its library and manifest; what it is asked
 * and what it answers are plain data, copied from and to the tester's own state.
 *
 *   tester's state                     inner state (sandbox, budget, compiler off)
 *   request (data)   -- copied -->     code(request, parts)
 *   result (data)    <-- copied --     plugin's function with views made of data
 *
 * Copying in allocates in the inner state, so it happens inside the protected call; copying out
 * reads the inner state without allocating there, after it.
 */
#include "script/view.h"

#include <time.h>

#define DEPTH_MAX 32

static const char *const kind_names[ML_ANSWER_KINDS] = {
    [ML_ANSWER_DENY] = "deny",           [ML_ANSWER_GRANT] = "grant",
    [ML_ANSWER_RESTRICT] = "restrict",   [ML_ANSWER_MERGE] = "merge",
    [ML_ANSWER_KEEP_BOTH] = "keep_both", [ML_ANSWER_SLOW] = "slow",
    [ML_ANSWER_ALLOW] = "allow",         [ML_ANSWER_DROP] = "drop",
    [ML_ANSWER_RETRY] = "retry",         [ML_ANSWER_DEAD] = "dead",
};

struct probe {
    struct ml_script *script;
    const struct ml_plugin *plugin;
    lua_State *outer;
    struct ml_slice code;
    int result_ref;
};

/* The value at `index` of `from`, pushed on `to`. What is no data becomes nil, or at a key is left
 * out. */
static void copy_value(lua_State *from, int index, lua_State *to, int depth)
{
    size_t len;
    const char *text;

    if (index < 0)
        index = lua_gettop(from) + 1 + index;
    switch (lua_type(from, index)) {
    case LUA_TBOOLEAN:
        lua_pushboolean(to, lua_toboolean(from, index));
        return;
    case LUA_TNUMBER:
        lua_pushnumber(to, lua_tonumber(from, index));
        return;
    case LUA_TSTRING:
        text = lua_tolstring(from, index, &len);
        lua_pushlstring(to, text, len);
        return;
    case LUA_TLIGHTUSERDATA:
        lua_pushlightuserdata(to, lua_touserdata(from, index));
        return;
    case LUA_TTABLE:
        break;
    default:
        lua_pushnil(to);
        return;
    }
    if (depth >= DEPTH_MAX || !lua_checkstack(from, 4) || !lua_checkstack(to, 4)) {
        lua_pushnil(to);
        return;
    }
    lua_newtable(to);
    for (lua_pushnil(from); lua_next(from, index); lua_pop(from, 1)) {
        if (lua_type(from, -2) != LUA_TSTRING && lua_type(from, -2) != LUA_TNUMBER)
            continue;
        copy_value(from, -2, to, DEPTH_MAX);
        copy_value(from, -1, to, depth + 1);
        lua_rawset(to, -3);
    }
}

/* kind_of(value) -> "deny" … | nil */
static int kind_of(lua_State *L)
{
    const char *name = kind_names[ml_api_answer_kind(L, 1)];

    if (name)
        lua_pushstring(L, name);
    else
        lua_pushnil(L);
    return 1;
}

/* reveal(value) -> what is behind a read-only face, or the value itself */
static int reveal(lua_State *L)
{
    lua_settop(L, 1);
    if (!luaL_getmetafield(L, 1, "__guard"))
        return 1;
    lua_settop(L, 1);
    if (!luaL_getmetafield(L, 1, "__index") || !lua_istable(L, -1))
        lua_settop(L, 1);
    return 1;
}

/* metrics_of(instance) -> what it counted, by metric and labels */
static int metrics_of(lua_State *L)
{
    lua_pushfstring(L, ML_METRICS_KEY "%s", luaL_checkstring(L, 1));
    lua_rawget(L, LUA_REGISTRYINDEX);
    return 1;
}

/* inside(f) -> f, in the environment of the plugin */
static int inside(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_setfenv(L, 1);
    return 1;
}

/* clock() -> seconds, finer than a microsecond; only differences mean something */
static int clock_now(lua_State *L)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    lua_pushnumber(L, (double)now.tv_sec + (double)now.tv_nsec / 1e9);
    return 1;
}

static void set_ref(lua_State *L, const char *name, int ref)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    lua_setfield(L, -2, name);
}

static void run(lua_State *L, void *arg)
{
    struct probe *probe = arg;

    if (luaL_loadbufferx(L, (const char *)probe->code.ptr, probe->code.len, "=moonloom.test", "t"))
        lua_error(L);
    ml_sandbox_push_core(L);
    lua_setfenv(L, -2);
    copy_value(probe->outer, -1, L, 0);
    lua_newtable(L);
    set_ref(L, "plugin", probe->plugin->table_ref);
    set_ref(L, "self", probe->plugin->self_ref);
    set_ref(L, "ml", probe->plugin->library_ref);
    set_ref(L, "manifest", probe->plugin->manifest_ref);
    lua_pushcfunction(L, kind_of);
    lua_setfield(L, -2, "kind_of");
    lua_pushcfunction(L, reveal);
    lua_setfield(L, -2, "reveal");
    lua_pushcfunction(L, metrics_of);
    lua_setfield(L, -2, "metrics_of");
    lua_rawgeti(L, LUA_REGISTRYINDEX, probe->plugin->env_ref);
    lua_pushcclosure(L, inside, 1);
    lua_setfield(L, -2, "inside");
    lua_pushcfunction(L, clock_now);
    lua_setfield(L, -2, "clock");
    ml_json_null(L);
    lua_setfield(L, -2, "null");
    lua_call(L, 2, 1);
    probe->result_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

bool ml_script_path_matches(struct ml_slice pattern, struct ml_slice path)
{
    return ml_glob_match(pattern, path);
}

enum ml_err ml_script_probe(struct ml_script *script, struct ml_slice code, struct lua_State *outer,
                            uint32_t deadline_us)
{
    struct probe probe = {script, script->plugins, outer, code, LUA_NOREF};
    enum ml_err err;

    if (!script->L)
        return ML_ESCRIPT;
    script->is_probed = true;
    err = ml_script_protect(script, 0, run, &probe, deadline_us);
    script->is_probed = false;
    if (err) {
        lua_pushstring(outer, script->fault.text);
        return err;
    }
    lua_rawgeti(script->L, LUA_REGISTRYINDEX, probe.result_ref);
    copy_value(script->L, -1, outer, 0);
    lua_settop(script->L, SLOT_COUNT);
    luaL_unref(script->L, LUA_REGISTRYINDEX, probe.result_ref);
    return ML_OK;
}
