/* SPDX-License-Identifier: MIT */
/*
 * Plugin:health() -> "ok" | "warn" | "bad", text (plugin-api 5): every 15 s, every 5 s while it is
 * not "ok"; may wait, for 2 s. Raising, running too long and any other word are "bad".
 *
 *   before a swap   "bad" at once: the deployment is refused
 *   after it        "bad" twice running, of an instance that is new: server/plugins.c goes back
 *   always          moonloom plugin list
 */
#include "script/health.h"

#include "base/log.h"
#include "script/setup.h"
#include "script/wait.h"

#define EACH_MS       15000
#define EACH_ILL_MS   5000
#define ANSWER_MS     2000
#define SAID_TOO_LONG "gave no answer for 2 s"

static const char *const words[] = {"", "ok", "warn", "bad"};

static void push_health(lua_State *L, void *arg)
{
    const struct ml_plugin *plugin = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->table_ref);
    lua_getfield(L, -1, "health");
    lua_remove(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->self_ref);
}

static void read_answer(lua_State *L, void *arg)
{
    struct ml_plugin *plugin = arg;
    const char *word = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "";

    for (int i = ML_HEALTH_OK; i <= ML_HEALTH_BAD; i++)
        if (strcmp(word, words[i]) == 0)
            plugin->health.is = (enum ml_health_is)i;
    if (plugin->health.is == ML_HEALTH_UNKNOWN)
        luaL_error(L, "health must answer \"ok\", \"warn\" or \"bad\"");
    snprintf(plugin->health.text, sizeof(plugin->health.text), "%s",
             lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "");
}

static void on_answer(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    struct ml_plugin *plugin = arg;
    enum ml_health_is before = plugin->health.is;
    bool failed = outcome == OUTCOME_FAILED;

    plugin->health.is_asked = false;
    plugin->health.is = ML_HEALTH_UNKNOWN;
    plugin->health.text[0] = '\0';
    if (!script->L)
        return;
    if (!failed)
        failed =
            ml_script_protect(script, ML_CALL_RESULTS, read_answer, plugin, ML_LOAD_US) != ML_OK;
    if (failed) {
        plugin->health.is = ML_HEALTH_BAD;
        snprintf(plugin->health.text, sizeof(plugin->health.text), "%.*s",
                 (int)sizeof(plugin->health.text) - 1,
                 script->fault.kind == ML_FAULT_TIMEOUT ? SAID_TOO_LONG : script->fault.text);
    }
    plugin->health.bad_count =
        plugin->health.is == ML_HEALTH_BAD ? plugin->health.bad_count + 1 : 0;
    if (before != plugin->health.is && (before || plugin->health.is != ML_HEALTH_OK)) {
        char line[sizeof(plugin->health.text) + 32];
        int len = snprintf(line, sizeof(line), "health: %s%s%s", words[plugin->health.is],
                           *plugin->health.text ? ": " : "", plugin->health.text);

        ml_script_log(script, plugin, plugin->health.is == ML_HEALTH_OK ? ML_LOG_INFO : ML_LOG_WARN,
                      ml_slice_make(line, (size_t)len));
    }
}

static void ask(struct ml_script *script, struct ml_plugin *plugin)
{
    const struct ml_run run = {.what = "health",
                               .plugin = plugin,
                               .soft_ms = ANSWER_MS,
                               .hard_ms = ANSWER_MS,
                               .done = on_answer,
                               .arg = plugin};

    plugin->health.asked_ms = script->mono_ms();
    plugin->health.is_asked = true;
    (void)ml_call_start(script, &run, push_health, plugin);
}

void ml_health_tick(struct ml_script *script)
{
    uint64_t now = script->mono_ms();

    for (size_t i = 0; script->L && i < script->plugin_count; i++) {
        struct ml_plugin *plugin = &script->plugins[i];
        uint64_t each = plugin->health.is <= ML_HEALTH_OK ? EACH_MS : EACH_ILL_MS;

        if (plugin->has_health && !plugin->health.is_asked && ml_plugin_is_up(plugin) &&
            (!plugin->health.asked_ms || now - plugin->health.asked_ms >= each))
            ask(script, plugin);
    }
}

enum ml_err ml_health_first(struct ml_script *script, struct ml_diag *diag)
{
    bool any_waits = false;

    for (size_t i = 0; script->L && i < script->plugin_count; i++) {
        struct ml_plugin *plugin = &script->plugins[i];

        if (!plugin->has_health)
            continue;
        if (!plugin->health.asked_ms)
            ask(script, plugin);
        any_waits |= plugin->health.is_asked;
        if (plugin->health.is == ML_HEALTH_BAD)
            return ml_diag_set(diag, ML_ESCRIPT, 0, "%s: health: %s", plugin->name,
                               *plugin->health.text ? plugin->health.text : "bad");
    }
    return any_waits ? ML_EBUSY : ML_OK;
}
