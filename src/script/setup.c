/* SPDX-License-Identifier: MIT */
/*
 *            begin             over                  failed beside nobody else (a reload):
 *   OWED ------------> RUNS ----------> DONE         ml_script_setup says so, and all of it goes
 *     ^                  |  raised, 10 s
 *     |  1, 2, 4 … 60 s  v
 *     +--------------- FAILED            in a state that serves: its hooks fail meanwhile, those of
 *                                        the other instances do not
 *
 *  [U1] Instances of a state come up side by side: one that waits for long holds no other.
 *  [U2] Until an instance is up its hooks answer by their failure mode, but for rounds that may
 *       wait: they are held as long as setup runs, so that whoever comes first is not sent away.
 *  [U3] A failed setup leaves nothing behind: its timers and calls end and self.state is empty
 *       before the next try.
 *  [U4] What fails before it has waited is known when ml_setup_begin returns, and the state is not
 *       used.
 */
#include "script/setup.h"

#include "script/round.h"
#include "script/wait.h"

#include "base/log.h"

#define SETUP_MS       10000
#define CPU_US         2000000 /* between two waits: lists and patterns are made here */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   60000

static enum ml_err explain(const struct ml_plugin *plugin, const char *text, struct ml_diag *diag)
{
    if (strstr(text, plugin->folder))
        return ml_diag_set(diag, ML_ESCRIPT, 0, "%s", text);
    return ml_diag_set(diag, ML_ESCRIPT, 0, "%s: %s", plugin->name, text);
}

/* ---- Who waits for it ------------------------------------------------------------------------ */

bool ml_setup_holds(struct ml_script *script, struct ml_round *round,
                    const struct ml_plugin *plugin)
{
    if (!script->L || plugin->setup != ML_SETUP_RUNS)
        return false;
    round->held_by = plugin;
    ml_list_append(&script->held_rounds, &round->held);
    return true;
}

void ml_setup_release(struct ml_round *round)
{
    ml_list_remove(&round->held);
    round->held_by = NULL;
}

/* Each may end others of the list: begin anew after each. */
static void let_rounds_go(struct ml_script *script, const struct ml_plugin *plugin)
{
    struct ml_list *node = script->held_rounds.next;

    while (node != &script->held_rounds) {
        struct ml_round *round = ML_CONTAINER(node, struct ml_round, held);

        node = node->next;
        if (round->held_by != plugin)
            continue;
        ml_setup_release(round);
        ml_round_go_on(round);
        node = script->held_rounds.next;
    }
}

/* ---- One instance ---------------------------------------------------------------------------- */

static void push_setup(lua_State *L, void *arg)
{
    const struct ml_plugin *plugin = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->table_ref);
    lua_getfield(L, -1, "setup");
    lua_remove(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->self_ref);
}

static void note_failure(struct ml_script *script, struct ml_plugin *plugin)
{
    plugin->setup = ML_SETUP_FAILED;
    plugin->setup_wait_ms = plugin->setup_wait_ms ? plugin->setup_wait_ms * 2 : RETRY_FIRST_MS;
    if (plugin->setup_wait_ms > RETRY_MAX_MS)
        plugin->setup_wait_ms = RETRY_MAX_MS;
    plugin->setup_at_ms = script->mono_ms() + plugin->setup_wait_ms;
    if (!script->setup_fault.text[0])
        (void)explain(plugin, script->fault.text, &script->setup_fault);
    if (!script->is_beginning && !script->is_late) {
        char text[ML_FAULT_TEXT_MAX];

        snprintf(text, sizeof(text), "%s", script->setup_fault.text);
        script->setup_fault.text[0] = '\0';
        ml_log(ML_LOG_ERROR, "plugins.failing", "org=%s why=%s", ML_LOG_TEXT(script->org),
               ML_LOG_TEXT(ml_slice_str(text)));
        ml_ask_failed(script, plugin, NULL, "setup"); /* the state may be another one afterwards */
    }
}

static void on_over(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    struct ml_plugin *plugin = arg;
    bool again = plugin->setup_wait_ms > 0;

    if (!script->L) {
        plugin->setup = ML_SETUP_OWED;
    } else if (outcome == OUTCOME_FAILED) {
        note_failure(script, plugin);
    } else {
        plugin->setup = ML_SETUP_DONE;
        plugin->setup_wait_ms = 0;
        if (again)
            ml_log(ML_LOG_INFO, "plugins.recovered", "org=%s instance=%s", ML_LOG_TEXT(script->org),
                   plugin->name);
    }
    let_rounds_go(script, plugin);
}

struct looking {
    const struct ml_plugin *plugin;
    bool has_setup;
};

static void look(lua_State *L, void *arg)
{
    struct looking *looking = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, looking->plugin->table_ref);
    lua_getfield(L, -1, "setup");
    looking->has_setup = lua_isfunction(L, -1);
}

static void begin_one(struct ml_script *script, struct ml_plugin *plugin)
{
    const struct ml_run run = {.what = "setup",
                               .plugin = plugin,
                               .hard_ms = SETUP_MS,
                               .cpu_us = CPU_US,
                               .done = on_over,
                               .arg = plugin};
    struct looking looking = {plugin, false};

    if (ml_script_protect(script, 0, look, &looking, ML_LOAD_US)) {
        note_failure(script, plugin);
    } else if (!looking.has_setup) {
        plugin->setup = ML_SETUP_DONE;
    } else {
        plugin->setup = ML_SETUP_RUNS;
        (void)ml_call_start(script, &run, push_setup, plugin);
    }
}

enum ml_err ml_setup_begin(struct ml_script *script, struct ml_diag *diag)
{
    script->setup_fault.text[0] = '\0';
    script->is_beginning = true;
    for (size_t i = 0; i < script->plugin_count; i++) {
        script->plugins[i].setup = ML_SETUP_OWED;
        script->plugins[i].setup_wait_ms = 0;
    }
    for (size_t i = 0; i < script->plugin_count && script->L; i++) {
        begin_one(script, &script->plugins[i]);
        if (script->plugins[i].setup == ML_SETUP_FAILED)
            break;
    }
    script->is_beginning = false;
    if (!script->L)
        return ml_diag_set(diag, ML_ESCRIPT, 0, "the Lua state was lost");
    if (!script->setup_fault.text[0])
        return ML_OK;
    *diag = script->setup_fault;
    script->setup_fault.text[0] = '\0';
    return ML_ESCRIPT;
}

/* ---- In a state that serves ------------------------------------------------------------------ */

static void empty_state(lua_State *L, void *arg)
{
    const struct ml_plugin *plugin = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->self_ref);
    lua_getfield(L, 1, "state");
    for (lua_pushnil(L); lua_next(L, 2);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, 2);
    }
}

void ml_setup_tick(struct ml_script *script)
{
    for (size_t i = 0; i < script->plugin_count && script->L; i++) {
        struct ml_plugin *plugin = &script->plugins[i];

        if (plugin->setup != ML_SETUP_FAILED || script->is_late)
            continue;
        if (ml_wait_count(script, plugin) || ml_wait_has_timers(script, plugin))
            ml_wait_forget(script, plugin);
        if (script->mono_ms() < plugin->setup_at_ms || !script->L ||
            ml_script_protect(script, 0, empty_state, plugin, ML_LOAD_US))
            continue;
        begin_one(script, plugin);
    }
}

/* ---- Of a state that is built beside another ------------------------------------------------- */

enum ml_err ml_script_setup(struct ml_script *script, struct ml_diag *diag)
{
    bool any_runs = false;

    if (script->has_late_setup && script->L) {
        enum ml_err err;

        script->has_late_setup = false;
        script->is_late = true;
        err = ml_setup_begin(script, diag);
        if (err)
            return err;
    }
    if (!script->is_late)
        return ML_OK;
    if (!script->L)
        return ml_diag_set(diag, ML_ESCRIPT, 0, "the Lua state was lost");
    for (size_t i = 0; i < script->plugin_count; i++)
        any_runs |= script->plugins[i].setup == ML_SETUP_RUNS;
    if (script->setup_fault.text[0]) {
        *diag = script->setup_fault;
        return ML_ESCRIPT;
    }
    if (any_runs)
        return ML_EBUSY;
    script->is_late = false;
    return ML_OK;
}
