/* SPDX-License-Identifier: MIT */
/*
 * From folders to chains of handlers.
 *
 *   ml_script_new                                        a state that must be made anew
 *     options copied                                        |
 *     state -> manifests -> together -> chains -> code, config, instance -> setup
 *                 |            |                     |
 *          plugin.lua,   requires, conflicts,   both ways: declared hooks and functions
 *          init.lua      order, cycles
 *
 * Each arrow is a protected call of its own. What was read once is kept, so that a state can be
 * made anew without a disk; then the same plugins come out in the same order, and only the
 * references into the state change.
 */
#include "script/state.h"

#include "script/recorder.h"
#include "script/setup.h"
#include "script/wait.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

#define MEMORY_DEFAULT (16u << 20)
#define MEMORY_MIN     (2u << 20)
#define HOOK_MS        10
#define TEXT_MAX       (32u << 20) /* of a document printed for Lua */
#define PATH_BYTES     1024

static const char shipped_key; /* registry: modules of ours that are loaded */

/* ---- Files
 * ----------------------------------------------------------------------------------------- */

/* A name from its parts; too long is an empty one, which is no file. */
__attribute__((format(printf, 2, 3))) static const char *make_path(char *out, const char *format,
                                                                   ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(out, PATH_BYTES, format, args);
    va_end(args);
    if (len < 0 || len >= PATH_BYTES)
        out[0] = '\0';
    return out;
}

/* ---- Modules of ours
 * -------------------------------------------------------------------------------- */

void ml_shipped_chunk(lua_State *L, struct ml_script *script, const char *path)
{
    char full[PATH_BYTES], chunk_name[PATH_BYTES];
    struct ml_slice shipped;

    make_path(chunk_name, "@%s", path);
    if (script->lua_dir.len) {
        struct ml_slice text;
        int failed;

        make_path(full, "%.*s/%s", ML_PRINT(script->lua_dir), path);
        text = ml_source_read_file(full, ML_PLUGIN_SOURCE_MAX);
        if (text.ptr) {
            failed = luaL_loadbufferx(L, (const char *)text.ptr, text.len, chunk_name, "t");
            free((void *)(uintptr_t)text.ptr);
            if (failed)
                lua_error(L);
            return;
        }
    }
    shipped = ml_source_shipped(path);
    if (!shipped.ptr)
        luaL_error(L, "module '%s' does not ship with this binary", path);
    if (luaL_loadbufferx(L, (const char *)shipped.ptr, shipped.len, chunk_name, "t"))
        lua_error(L);
}

void ml_shipped_require(lua_State *L, const char *name)
{
    char path[PATH_BYTES];

    lua_pushlightuserdata(L, (void *)(uintptr_t)&shipped_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushlightuserdata(L, (void *)(uintptr_t)&shipped_key);
        lua_pushvalue(L, -2);
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
    lua_getfield(L, -1, name);
    if (!lua_isnil(L, -1)) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    make_path(path, "%s.lua", name);
    for (char *p = path; p < path + strlen(name); p++)
        if (*p == '.')
            *p = '/';
    ml_shipped_chunk(L, ml_script_of(L), path);
    ml_sandbox_push_core(L);
    lua_setfenv(L, -2);
    lua_call(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, name);
    lua_remove(L, -2);
}

/* ---- The steps, each inside a protected call
 * ---------------------------------------------------------- */

struct step {
    struct ml_script *script;
    struct ml_plugin *plugin;
};

static void load_manifest(lua_State *L, void *arg)
{
    struct step *step = arg;

    ml_manifest_load(L, step->script, step->plugin);
}

static void push_manifests(lua_State *L, const struct ml_script *script)
{
    lua_newtable(L);
    for (size_t i = 0; i < script->plugin_count; i++) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, script->plugins[i].manifest_ref);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* A list of { name, manifest, config }. */
static void push_instances(lua_State *L, const struct ml_script *script)
{
    lua_newtable(L);
    for (size_t i = 0; i < script->plugin_count; i++) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, script->plugins[i].name);
        lua_setfield(L, -2, "name");
        lua_rawgeti(L, LUA_REGISTRYINDEX, script->plugins[i].manifest_ref);
        lua_setfield(L, -2, "manifest");
        if (script->plugins[i].config_len)
            ml_json_push(
                L, ml_slice_make(script->plugins[i].config_json, script->plugins[i].config_len));
        else
            lua_newtable(L);
        lua_setfield(L, -2, "config");
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* The operator's order for this hook, or nil. */
static void push_pins(lua_State *L, const struct ml_script *script, const char *hook)
{
    if (!script->order_json.len) {
        lua_pushnil(L);
        return;
    }
    ml_json_push(L, script->order_json);
    lua_getfield(L, -1, hook);
    lua_remove(L, -2);
}

/* The list of indices below the top becomes the chain of a hook, with the reasons at the top. */
static void fill_chain(lua_State *L, struct ml_script *script, const char *hook,
                       struct ml_chain *chain)
{
    int list = lua_gettop(L) - 1;
    size_t n = lua_objlen(L, list);

    if (n != chain->count) { /* of the stand-in */
        free(chain->handlers);
        *chain = (struct ml_chain){0};
    }
    if (n && !chain->handlers) {
        chain->handlers = calloc(n, sizeof(*chain->handlers));
        if (!chain->handlers)
            luaL_error(L, "out of memory");
    }
    chain->count = n;
    for (size_t i = 0; i < n; i++) {
        struct ml_handler *handler = &chain->handlers[i];

        lua_rawgeti(L, list, (int)i + 1);
        handler->plugin = &script->plugins[lua_tointeger(L, -1) - 1];
        lua_rawgeti(L, list + 1, (int)i + 1);
        snprintf(handler->reason, sizeof(handler->reason), "%s", lua_tostring(L, -1));
        lua_pop(L, 2);
        lua_rawgeti(L, LUA_REGISTRYINDEX, handler->plugin->manifest_ref);
        ml_manifest_filter(L, hook, &handler->filter, &handler->fails);
        ml_manifest_pace(L, hook, handler);
        lua_pop(L, 1);
    }
}

static void arrange(lua_State *L, void *arg)
{
    struct ml_script *script = ((struct step *)arg)->script;

    ml_shipped_require(L, "moonloom.manifest");
    lua_getfield(L, 1, "clash");
    push_manifests(L, script);
    lua_call(L, 1, 1);
    if (!lua_isnil(L, -1))
        lua_error(L);
    for (int hook = 0; hook < HOOK_COUNT; hook++) {
        lua_settop(L, 1);
        lua_getfield(L, 1, "chain");
        push_instances(L, script);
        lua_pushstring(L, ml_hook_names[hook]);
        push_pins(L, script, ml_hook_names[hook]);
        lua_call(L, 3, 2);
        if (lua_isnil(L, -2))
            luaL_error(L, "%s", lua_tostring(L, -1));
        fill_chain(L, script, ml_hook_names[hook], &script->chains[hook]);
    }
    ml_observers_arrange(script);
    ml_plan_renew(script);
}

void ml_plugin_run(lua_State *L, struct ml_plugin *plugin)
{
    const struct ml_plugin_file *file = ml_source_file(plugin->source, "init.lua");
    char chunk_name[64];

    if (!file)
        luaL_error(L, "there is no init.lua");
    snprintf(chunk_name, sizeof(chunk_name), "@%s/init.lua", plugin->folder);
    if (plugin->env_ref == LUA_NOREF)
        ml_sandbox_environment(L, plugin);
    ml_chunk_load(L, file->text, chunk_name, false);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->env_ref);
    lua_setfenv(L, -2);
    lua_call(L, 0, 1);
}

/* Raise with what Plugin.validate(config) found; the plugin table is at 1, the config at 2. */
static void run_validate(lua_State *L)
{
    lua_getfield(L, 1, "validate");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    if (lua_istable(L, -1) && lua_objlen(L, -1) > 0) {
        lua_rawgeti(L, -1, 1);
        if (lua_istable(L, -1)) {
            lua_rawgeti(L, -1, 1);
            lua_rawgeti(L, -2, 2);
            if (lua_isstring(L, -1) && lua_isstring(L, -2))
                luaL_error(L, "config: %s: %s", lua_tostring(L, -2), lua_tostring(L, -1));
        }
        luaL_error(L, "validate must return a list of { field, message }");
    }
    lua_pop(L, 1);
}

/* self.org; nil where no org is known. */
static void push_org(lua_State *L, const struct ml_script *script)
{
    if (!script->org.len) {
        lua_pushnil(L);
        return;
    }
    if (script->org_json.len)
        ml_json_push(L, script->org_json);
    else
        lua_createtable(L, 0, 1);
    lua_pushlstring(L, (const char *)script->org.ptr, script->org.len);
    lua_setfield(L, -2, "id");
    ml_sandbox_guard(L, "self.org");
}

/* Stack: plugin table at 1, config at 2. Leaves the instance: a face of its fields, then of the
 * plugin. */
static void push_instance(lua_State *L, const struct ml_plugin *plugin)
{
    lua_newtable(L); /* fields */
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "config");
    lua_newtable(L);
    lua_setfield(L, -2, "state");
    push_org(L, ml_script_of(L));
    lua_setfield(L, -2, "org");
    lua_pushstring(L, plugin->name);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, (lua_Integer)plugin->generation);
    lua_setfield(L, -2, "generation");
    ml_shipped_require(L, "moonloom.metrics");
    lua_pushstring(L, plugin->name);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_getfield(L, -1, "metrics");
    lua_remove(L, -2);
    lua_call(L, 2, 2);
    lua_pushfstring(L, ML_METRICS_KEY "%s", plugin->name);
    lua_insert(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_setfield(L, -2, "metrics");
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    ml_sandbox_guard(L, "self (use self.state)");
}

static void load_code(lua_State *L, void *arg)
{
    struct step *step = arg;
    struct ml_plugin *plugin = step->plugin;

    ml_api_library(L, plugin);
    lua_settop(L, 0);
    ml_plugin_run(L, plugin);
    ml_shipped_require(L, "moonloom.manifest");
    lua_getfield(L, -1, "disagreement");
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_pushvalue(L, 1);
    lua_call(L, 2, 1);
    if (!lua_isnil(L, -1))
        luaL_error(L, "%s", lua_tostring(L, -1));
    lua_settop(L, 1);
    lua_getfield(L, 1, "health");
    plugin->has_health = lua_isfunction(L, -1);
    lua_settop(L, 1);
    ml_config_push(L, step->script, plugin);
    run_validate(L);
    push_instance(L, plugin);
    plugin->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 1);
    plugin->table_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void take_functions(lua_State *L, void *arg)
{
    struct ml_script *script = ((struct step *)arg)->script;

    for (int hook = 0; hook < HOOK_COUNT; hook++) {
        for (size_t i = 0; i < script->chains[hook].count; i++) {
            struct ml_handler *handler = &script->chains[hook].handlers[i];

            lua_rawgeti(L, LUA_REGISTRYINDEX, handler->plugin->table_ref);
            lua_getfield(L, -1, ml_hook_names[hook]);
            handler->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
            lua_settop(L, 0);
        }
    }
    ml_work_take(L, script);
}

/* ---- From nothing to a state with plugins in it
 * -------------------------------------------------------- */

static enum ml_err explain(const struct ml_script *script, struct ml_diag *diag,
                           const struct ml_plugin *plugin)
{
    const char *text = script->fault.text;

    if (plugin && !strstr(text, plugin->folder))
        return ml_diag_set(diag, ML_ESCRIPT, 0, "%s: %s", plugin->name, text);
    return ml_diag_set(diag, ML_ESCRIPT, 0, "%s", text);
}

static enum ml_err run_step(struct ml_script *script, struct ml_plugin *plugin,
                            void (*fn)(lua_State *L, void *arg), uint32_t deadline_us,
                            struct ml_diag *diag)
{
    struct step step = {script, plugin};
    enum ml_err err = ml_script_protect(script, 0, fn, &step, deadline_us);

    return err ? explain(script, diag, plugin) : ML_OK;
}

static enum ml_err for_each_plugin(struct ml_script *script, void (*fn)(lua_State *L, void *arg),
                                   uint32_t deadline_us, struct ml_diag *diag)
{
    enum ml_err err = ML_OK;

    for (size_t i = 0; i < script->plugin_count && !err; i++)
        err = run_step(script, &script->plugins[i], fn, deadline_us, diag);
    return err;
}

enum ml_err ml_state_load(struct ml_script *script, struct ml_diag *diag)
{
    enum ml_err err = ml_state_open(script);

    if (err)
        return ml_diag_set(diag, err, 0, "no Lua state: %s", script->fault.text);
    for (size_t i = 0; i < script->plugin_count; i++)
        script->plugins[i].env_ref = LUA_NOREF;
    script->loading = true;
    err = for_each_plugin(script, load_manifest, ML_LOAD_US, diag);
    if (!err)
        err = run_step(script, NULL, arrange, ML_LOAD_US, diag);
    if (!err)
        err = for_each_plugin(script, load_code, ML_LOAD_US, diag);
    script->loading = false;
    if (!err)
        err = run_step(script, NULL, take_functions, ML_LOAD_US, diag);
    if (!err && !script->has_late_setup)
        err = ml_setup_begin(script, diag);
    if (err)
        ml_state_close(script);
    return err;
}

/* ---- Public
 * ------------------------------------------------------------------------------------------- */

static struct ml_slice copy_slice(struct ml_slice from, bool *failed)
{
    char *copy = malloc(from.len + 1);

    if (!copy) {
        *failed = true;
        return (struct ml_slice){0};
    }
    if (from.len)
        memcpy(copy, from.ptr, from.len);
    copy[from.len] = '\0';
    return ml_slice_make(copy, from.len);
}

static bool is_word(struct ml_slice name)
{
    if (name.len == 0 || name.len > ML_PLUGIN_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", name.ptr[i]) || !name.ptr[i])
            return false;
    return true;
}

static bool is_plugin_name(struct ml_slice name)
{
    return is_word(name) && name.ptr[0] >= 'a';
}

/* "plugin" or "plugin/label". */
static bool is_instance_name(struct ml_slice name, struct ml_slice *plugin_out)
{
    const uint8_t *slash = name.len ? memchr(name.ptr, '/', name.len) : NULL;

    *plugin_out = slash ? ml_slice_make(name.ptr, (size_t)(slash - name.ptr)) : name;
    if (!is_plugin_name(*plugin_out))
        return false;
    return !slash ||
           (is_word(ml_slice_make(slash + 1, name.len - plugin_out->len - 1)) && slash[1] != '-');
}

static bool copy_docs(struct ml_plugin *plugin, const struct ml_script_plugin *given)
{
    bool failed = false;

    if (!given->doc_count)
        return true;
    plugin->docs = calloc(given->doc_count, sizeof(*plugin->docs));
    if (!plugin->docs)
        return false;
    plugin->doc_count = given->doc_count;
    for (size_t i = 0; i < given->doc_count; i++)
        plugin->docs[i] = copy_slice(given->docs[i], &failed);
    return !failed;
}

static enum ml_err take_plugin(struct ml_script *script, struct ml_plugin *plugin,
                               const struct ml_script_plugin *given, struct ml_diag *diag)
{
    struct ml_slice folder, config;
    bool failed = false;

    if (!is_instance_name(given->name, &folder) ||
        (given->folder.len && !is_plugin_name(given->folder)))
        return ml_diag_set(diag, ML_ESCRIPT, 0,
                           "plugins: '%.*s' is not a plugin name (a-z, 0-9 and '-', at most %d)",
                           given->name.len > 60 ? 60 : (int)given->name.len,
                           (const char *)given->name.ptr, ML_PLUGIN_NAME_MAX);
    if (given->folder.len)
        folder = given->folder;
    memcpy(plugin->name, given->name.ptr, given->name.len);
    memcpy(plugin->folder, folder.ptr, folder.len);
    plugin->generation = given->generation ? given->generation : 1;
    if (given->version.len < sizeof(plugin->version))
        snprintf(plugin->version, sizeof(plugin->version), "%.*s", ML_PRINT(given->version));
    plugin->is_shadow = given->is_shadow;
    plugin->is_watched = !given->is_unwatched;
    config = copy_slice(given->config_json, &failed);
    plugin->config_json = (char *)(uintptr_t)config.ptr;
    plugin->config_len = config.len;
    if (failed || !copy_docs(plugin, given))
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    plugin->source = given->source;
    if (plugin->source)
        return ML_OK;
    return ml_source_read(script->plugins_dir, plugin->folder, diag, &plugin->own_source);
}

static enum ml_err take_plugins(struct ml_script *script, const struct ml_script_options *options,
                                struct ml_diag *diag)
{
    enum ml_err err = ML_OK;

    script->plugins =
        calloc(options->plugin_count ? options->plugin_count : 1, sizeof(*script->plugins));
    if (!script->plugins)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    if (options->plugin_count > ML_INSTANCES_MAX)
        return ml_diag_set(diag, ML_ELIMIT, 0, "more than %d instances", ML_INSTANCES_MAX);
    for (size_t i = 0; i < options->plugin_count && !err; i++) {
        struct ml_plugin *plugin = &script->plugins[i];

        plugin->index = i;
        script->plugin_count = i + 1;
        err = take_plugin(script, plugin, &options->plugins[i], diag);
        if (!plugin->source)
            plugin->source = plugin->own_source;
        for (size_t k = 0; k < i && !err; k++)
            if (strcmp(script->plugins[k].name, plugin->name) == 0)
                err = ml_diag_set(diag, ML_ESCRIPT, 0, "plugins: %s is there twice", plugin->name);
    }
    return err;
}

static void release_chains(struct ml_script *script)
{
    for (int hook = 0; hook < HOOK_COUNT; hook++) {
        for (size_t i = 0; script->chains[hook].handlers && i < script->chains[hook].count; i++)
            ml_filter_release(&script->chains[hook].handlers[i].filter);
        free(script->chains[hook].handlers);
        script->chains[hook] = (struct ml_chain){0};
    }
}

static bool has_chains(const struct ml_script *script)
{
    for (int hook = 0; hook < HOOK_COUNT; hook++)
        if (script->chains[hook].count)
            return true;
    return false;
}

/* Nobody knows what the plugins would have said: what guards something fails. */
static bool stand_in(struct ml_script *script)
{
    static const struct {
        int hook;
        enum ml_fails fails;
    } guards[] = {{HOOK_AUTHENTICATE, ML_FAILS_REFUSE},
                  {HOOK_AUTHORIZE, ML_FAILS_REFUSE},
                  {HOOK_BEFORE_UPDATE, ML_FAILS_HOLD}};

    for (size_t i = 0; i < sizeof(guards) / sizeof(*guards); i++) {
        struct ml_chain *chain = &script->chains[guards[i].hook];

        chain->handlers = calloc(1, sizeof(*chain->handlers));
        if (!chain->handlers)
            return false;
        chain->count = 1;
        chain->handlers->plugin = script->plugins;
        chain->handlers->fails = guards[i].fails;
        chain->handlers->filter.any = true;
    }
    ml_plan_renew(script);
    return true;
}

enum ml_err ml_script_new(const struct ml_script_options *options, struct ml_diag *diag,
                          struct ml_script **script_out)
{
    struct ml_script *script = calloc(1, sizeof(*script));
    const struct ml_script_limits *limits = &options->limits;
    bool failed = false;
    enum ml_err err;

    if (!script)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    ml_writer_init(&script->text, TEXT_MAX);
    script->memory_max = limits->memory_bytes ? limits->memory_bytes : MEMORY_DEFAULT;
    if (script->memory_max < MEMORY_MIN)
        script->memory_max = MEMORY_MIN;
    ml_list_init(&script->held_rounds);
    script->has_late_setup = options->has_late_setup;
    ml_plan_renew(script);
    ml_share_init(&script->share, limits->cpu);
    script->keeps_text = options->keeps_text;
    script->flight_us = ML_FLIGHT_SLOW_US;
    script->hook_us = (limits->hook_ms ? limits->hook_ms : HOOK_MS) * 1000;
    script->log = options->log;
    script->log_arg = options->log_arg;
    script->wall_ms = options->wall_ms ? options->wall_ms : ml_clock_wall_ms;
    script->mono_ms = options->mono_ms ? options->mono_ms : ml_clock_mono_ms;
    script->has_seal_key = options->seal_key.len == sizeof(script->seal_key);
    if (script->has_seal_key)
        memcpy(script->seal_key, options->seal_key.ptr, sizeof(script->seal_key));
    script->plugins_dir = copy_slice(options->plugins_dir, &failed);
    script->lua_dir = copy_slice(options->lua_dir, &failed);
    script->org = copy_slice(options->org, &failed);
    script->port = options->port;
    script->shared = options->shared;
    script->ledger = options->ledger;
    failed |= ml_wait_init(script) != ML_OK;
    script->org_json = copy_slice(options->org_json, &failed);
    script->order_json = copy_slice(options->order_json, &failed);
    script->secrets_json = copy_slice(options->secrets_json, &failed);
    err = failed ? ml_diag_set(diag, ML_ELIMIT, 0, "out of memory")
                 : take_plugins(script, options, diag);
    if (!err)
        err = ml_state_load(script, diag);
    if (err && options->keep_failing && script->plugin_count &&
        (has_chains(script) || stand_in(script)))
        err = ML_OK;
    if (err) {
        ml_script_free(script);
        return err;
    }
    *script_out = script;
    return ML_OK;
}

static void free_plugin(struct ml_plugin *plugin)
{
    ml_source_free(plugin->own_source);
    for (size_t i = 0; i < plugin->doc_count; i++)
        free((void *)(uintptr_t)plugin->docs[i].ptr);
    free(plugin->docs);
    free(plugin->config_json);
}

void ml_script_free(struct ml_script *script)
{
    if (!script)
        return;
    ml_state_close(script);
    ml_flight_free(script->flight);
    release_chains(script);
    ml_plan_free_all(script);
    for (size_t i = 0; i < script->plugin_count; i++)
        free_plugin(&script->plugins[i]);
    free(script->plugins);
    free(script->views);
    ml_wait_free(script);
    ml_work_free(script);
    ml_writer_release(&script->text);
    free((void *)(uintptr_t)script->plugins_dir.ptr);
    free((void *)(uintptr_t)script->lua_dir.ptr);
    free((void *)(uintptr_t)script->org.ptr);
    free((void *)(uintptr_t)script->org_json.ptr);
    free((void *)(uintptr_t)script->order_json.ptr);
    if (script->secrets_json.len)
        explicit_bzero((void *)(uintptr_t)script->secrets_json.ptr, script->secrets_json.len);
    free((void *)(uintptr_t)script->secrets_json.ptr);
    free(script);
}
