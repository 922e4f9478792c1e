/* SPDX-License-Identifier: MIT */
/*
 * The C half of `require "moonloom.test"` (lua/moonloom/test.lua), one hook: a plugin is loaded by
 * the real script library, in a state of its own, and asked from a spec that runs in the `moonloom`
 * binary or under a plain interpreter.
 *
 *   spec                                             inner state (sandbox, budget, compiler off)
 *   core.open(name, config_json, dir)      ------->  ml_script_new
 *   instance:ask(code, request)            ------->  ml_script_probe: code makes views of data and
 *   answer as plain data                   <-------  calls the plugin
 *
 * Lua symbols come from the interpreter that loads this module, or from the binary.
 */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/log.h"
#include "bind/bind.h"
#include "bind/bind_app.h"
#include "script/script.h"

#define INSTANCE     "moonloom.test.instance"
#define TEST_HOOK_MS 1000 /* a spec is not about the speed of the machine it runs on */

struct instance {
    struct ml_script *script;
    struct ml_shared_store *shared;
    char log[4096]; /* what the plugin and the host logged since the last call */
    size_t log_len;
};

/* The clock of all instances of this process: specs set it. */
static int64_t now_ms;

int64_t ml_test_wall_ms(void)
{
    return now_ms;
}

uint64_t ml_test_mono_ms(void)
{
    return (uint64_t)now_ms;
}

void ml_test_advance_ms(int64_t ms)
{
    now_ms += ms;
}

static void on_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    struct instance *instance = arg;
    size_t room = sizeof(instance->log) - instance->log_len;
    int n = snprintf(instance->log + instance->log_len, room, "%.*s\n", ML_PRINT(message));

    (void)level;
    (void)plugin;
    if (n > 0)
        instance->log_len += (size_t)n < room ? (size_t)n : room - 1;
}

static struct instance *check_instance(lua_State *L)
{
    struct instance *instance = luaL_checkudata(L, 1, INSTANCE);

    if (!instance->script)
        luaL_error(L, "this instance is closed");
    return instance;
}

/* instance:ask(code, request) -> result | nil, what went wrong   [may raise on misuse] */
static int instance_ask(lua_State *L)
{
    struct instance *instance = check_instance(L);
    size_t len;
    const char *code = luaL_checklstring(L, 2, &len);

    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    instance->log_len = 0;
    instance->log[0] = '\0';
    if (ml_script_probe(instance->script, ml_slice_make(code, len), L, TEST_HOOK_MS * 1000)) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    return 1;
}

/* instance:logs() -> what was logged during the last call, one line each */
static int instance_logs(lua_State *L)
{
    const struct instance *instance = luaL_checkudata(L, 1, INSTANCE);

    lua_pushlstring(L, instance->log, instance->log_len);
    return 1;
}

/* instance:surface() -> what plugins can reach, one name a line   [may raise] */
static int instance_surface(lua_State *L)
{
    struct instance *instance = check_instance(L);
    struct ml_writer out;
    enum ml_err err;

    ml_writer_init(&out, 1u << 20);
    err = ml_script_surface(instance->script, &out);
    lua_pushlstring(L, (const char *)out.ptr, out.len);
    ml_writer_release(&out);
    return err ? luaL_error(L, "%s", ml_err_text(err)) : 1;
}

static int instance_close(lua_State *L)
{
    struct instance *instance = luaL_checkudata(L, 1, INSTANCE);

    ml_script_free(instance->script);
    ml_shared_store_free(instance->shared);
    instance->script = NULL;
    instance->shared = NULL;
    return 0;
}

/* ---- The module
 * --------------------------------------------------------------------------------------------- */

/* core.open(name, config_json, plugins_dir, lua_dir, secrets_json) -> instance   [may raise] */
static int core_open(lua_State *L)
{
    size_t name_len, config_len, dir_len, lua_dir_len, secrets_len;
    const char *name = luaL_checklstring(L, 1, &name_len);
    const char *config = luaL_optlstring(L, 2, "", &config_len);
    const char *dir = luaL_checklstring(L, 3, &dir_len);
    const char *lua_dir = luaL_optlstring(L, 4, "", &lua_dir_len);
    const char *secrets = luaL_optlstring(L, 5, "", &secrets_len);
    struct instance *instance = lua_newuserdata(L, sizeof(*instance));
    struct ml_script_plugin plugin = {.name = ml_slice_make(name, name_len),
                                      .config_json = ml_slice_make(config, config_len)};
    struct ml_script_options options = {
        .plugins_dir = ml_slice_make(dir, dir_len),
        .plugins = &plugin,
        .plugin_count = 1,
        .limits = {.hook_ms = TEST_HOOK_MS},
        .log = on_log,
        .log_arg = instance,
        .wall_ms = ml_test_wall_ms,
        .mono_ms = ml_test_mono_ms,
        .lua_dir = ml_slice_make(lua_dir, lua_dir_len),
        .secrets_json = ml_slice_make(secrets, secrets_len),
    };
    struct ml_diag diag = {0};

    *instance = (struct instance){0};
    luaL_getmetatable(L, INSTANCE);
    lua_setmetatable(L, -2);
    options.shared = instance->shared = ml_shared_store_new(0);
    if (!instance->shared)
        return luaL_error(L, "out of memory");
    if (ml_script_new(&options, &diag, &instance->script))
        return luaL_error(L, "%s", diag.text);
    return 1;
}

/* core.clock([seconds]) -> seconds since 1970 that plugins are told */
static int core_clock(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        now_ms = (int64_t)(luaL_checknumber(L, 1) * 1000);
    lua_pushnumber(L, (double)now_ms / 1000);
    return 1;
}

/* core.matches(pattern, path) -> boolean: the matcher of filters and grants */
static int core_matches(lua_State *L)
{
    size_t pattern_len, path_len;
    const char *pattern = luaL_checklstring(L, 1, &pattern_len);
    const char *path = luaL_checklstring(L, 2, &path_len);

    lua_pushboolean(L, ml_script_path_matches(ml_slice_make(pattern, pattern_len),
                                              ml_slice_make(path, path_len)));
    return 1;
}

/* core.cover(): from now on lines are counted */
static int core_cover(lua_State *L)
{
    (void)L;
    ml_coverage_start();
    return 0;
}

static void put_line(void *arg, const char *file, unsigned line, uint32_t count)
{
    lua_State *L = arg;

    lua_getfield(L, -1, file);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, file);
    }
    lua_pushnumber(L, count);
    lua_rawseti(L, -2, (int)line);
    lua_pop(L, 1);
}

/* core.covered() -> { ["NAME/init.lua"] = { [line] = count } } */
static int core_covered(lua_State *L)
{
    lua_newtable(L);
    ml_coverage_each(put_line, L);
    return 1;
}

int luaopen_moonloom_test_core(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"ask", instance_ask},
        {"logs", instance_logs},
        {"surface", instance_surface},
        {"close", instance_close},
        {NULL, NULL},
    };

    ml_script_use_jwt(&ml_bind_jwt);
    luaL_newmetatable(L, INSTANCE);
    lua_newtable(L);
    for (const luaL_Reg *m = methods; m->name; m++) {
        lua_pushcfunction(L, m->func);
        lua_setfield(L, -2, m->name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, instance_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);

    lua_newtable(L);
    lua_pushcfunction(L, core_open);
    lua_setfield(L, -2, "open");
    lua_pushcfunction(L, core_clock);
    lua_setfield(L, -2, "clock");
    lua_pushcfunction(L, core_matches);
    lua_setfield(L, -2, "matches");
    lua_pushcfunction(L, core_cover);
    lua_setfield(L, -2, "cover");
    lua_pushcfunction(L, core_covered);
    lua_setfield(L, -2, "covered");
    ml_log_set_level(ML_LOG_WARN);
    ml_app_open(L);
    lua_pushcfunction(L, ml_app_new);
    lua_setfield(L, -2, "app");
    return 1;
}
