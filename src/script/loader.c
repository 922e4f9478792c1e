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

#include "script/wait.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "moonloom_lua.h"

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

/* The bytes of a file, malloc'ed; .ptr NULL and errno if there is none. EFBIG over `max`. */
static struct ml_slice read_file(const char *path, size_t max)
{
    FILE *f = fopen(path, "rbe");
    struct ml_slice none = {0};
    char *bytes;
    size_t len;

    if (!f)
        return none;
    bytes = malloc(max + 1);
    if (!bytes) {
        fclose(f);
        errno = ENOMEM;
        return none;
    }
    len = fread(bytes, 1, max + 1, f);
    if (ferror(f) || len > max) {
        errno = ferror(f) ? EIO : EFBIG;
        free(bytes);
        fclose(f);
        return none;
    }
    fclose(f);
    bytes[len] = '\0';
    {
        char *fitted = realloc(bytes, len + 1);

        return ml_slice_make(fitted ? fitted : bytes, len);
    }
}

static const struct ml_embedded *find_shipped(const char *path)
{
    for (const struct ml_embedded *e = ml_shipped_files; e->name; e++)
        if (strcmp(e->name, path) == 0)
            return e;
    return NULL;
}

static const struct ml_plugin_file *remember(struct ml_plugin *plugin, const char *path,
                                             struct ml_slice text)
{
    struct ml_plugin_file *files =
        realloc(plugin->files, (plugin->file_count + 1) * sizeof(*files));
    char *name = strdup(path);

    if (files)
        plugin->files = files;
    if (!files || !name) {
        free(name);
        return NULL;
    }
    plugin->files[plugin->file_count] = (struct ml_plugin_file){name, text};
    plugin->source_bytes += text.len;
    return &plugin->files[plugin->file_count++];
}

/* A copy of what ships with the binary, so that all files are freed alike. */
static struct ml_slice shipped_copy(const char *plugin, const char *path)
{
    char name[PATH_BYTES];
    const struct ml_embedded *e;
    char *copy;

    make_path(name, "plugins/%s/%s", plugin, path);
    e = find_shipped(name);
    copy = e ? malloc(e->len + 1) : NULL;
    if (!copy)
        return (struct ml_slice){0};
    memcpy(copy, e->bytes, e->len + 1);
    return ml_slice_make(copy, e->len);
}

const struct ml_plugin_file *ml_plugin_file(struct ml_script *script, struct ml_plugin *plugin,
                                            const char *path, struct ml_diag *diag)
{
    char full[PATH_BYTES];
    struct ml_slice text = {0};
    const struct ml_plugin_file *file;

    for (size_t i = 0; i < plugin->file_count; i++)
        if (strcmp(plugin->files[i].path, path) == 0)
            return plugin->files[i].text.ptr ? &plugin->files[i] : NULL;
    if (script->frozen)
        return NULL;
    if (script->plugins_dir.len) {
        snprintf(full, sizeof(full), "%.*s/%s/%s", ML_PRINT(script->plugins_dir), plugin->name,
                 path);
        errno = 0;
        text = read_file(full, ML_PLUGIN_SOURCE_MAX - plugin->source_bytes);
        if (!text.ptr && errno != ENOENT && errno != ENOTDIR) {
            (void)ml_diag_set(diag, ML_EIO, 0, "%s/%s: %s", plugin->name, path,
                              errno == EFBIG ? "the plugin has more than 512 KiB of source"
                                             : strerror(errno));
            return NULL;
        }
    }
    if (!text.ptr)
        text = shipped_copy(plugin->name, path);
    file = remember(plugin, path, text); /* also that it is not there */
    if (!file) {
        free((void *)(uintptr_t)text.ptr);
        return NULL;
    }
    return text.ptr ? file : NULL;
}

/* ---- Modules of ours
 * -------------------------------------------------------------------------------- */

static void push_shipped_chunk(lua_State *L, struct ml_script *script, const char *path)
{
    char full[PATH_BYTES], chunk_name[PATH_BYTES];
    const struct ml_embedded *e;

    make_path(chunk_name, "@%s", path);
    if (script->lua_dir.len) {
        struct ml_slice text;
        int failed;

        make_path(full, "%.*s/%s", ML_PRINT(script->lua_dir), path);
        text = read_file(full, ML_PLUGIN_SOURCE_MAX);
        if (text.ptr) {
            failed = luaL_loadbufferx(L, (const char *)text.ptr, text.len, chunk_name, "t");
            free((void *)(uintptr_t)text.ptr);
            if (failed)
                lua_error(L);
            return;
        }
    }
    e = find_shipped(path);
    if (!e)
        luaL_error(L, "module '%s' does not ship with this binary", path);
    if (luaL_loadbufferx(L, (const char *)e->bytes, e->len, chunk_name, "t"))
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
    push_shipped_chunk(L, ml_script_of(L), path);
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

static struct ml_plugin *plugin_named(struct ml_script *script, const char *name)
{
    for (size_t i = 0; i < script->plugin_count; i++)
        if (strcmp(script->plugins[i].name, name) == 0)
            return &script->plugins[i];
    return NULL;
}

/* The list of plugin names at the top becomes the chain of a hook. */
static void fill_chain(lua_State *L, struct ml_script *script, const char *hook,
                       struct ml_chain *chain)
{
    size_t n = lua_objlen(L, -1);

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

        lua_rawgeti(L, -1, (int)i + 1);
        handler->plugin = plugin_named(script, lua_tostring(L, -1));
        lua_pop(L, 1);
        lua_rawgeti(L, LUA_REGISTRYINDEX, handler->plugin->manifest_ref);
        ml_manifest_filter(L, hook, &handler->filter, &handler->fails);
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
    script->hooks = 0;
    for (int hook = 0; hook < HOOK_COUNT; hook++) {
        lua_settop(L, 1);
        lua_getfield(L, 1, "chain");
        push_manifests(L, script);
        lua_pushstring(L, ml_hook_names[hook]);
        lua_call(L, 2, 2);
        if (lua_isnil(L, -2))
            luaL_error(L, "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
        fill_chain(L, script, ml_hook_names[hook], &script->chains[hook]);
        if (script->chains[hook].count)
            script->hooks |= 1u << hook;
    }
}

void ml_plugin_run(lua_State *L, struct ml_script *script, struct ml_plugin *plugin)
{
    struct ml_diag diag = {0};
    const struct ml_plugin_file *file = ml_plugin_file(script, plugin, "init.lua", &diag);
    char chunk_name[64];

    if (!file)
        luaL_error(L, "%s", diag.text[0] ? diag.text : "there is no init.lua");
    snprintf(chunk_name, sizeof(chunk_name), "@%s/init.lua", plugin->name);
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
    lua_pushinteger(L, 1);
    lua_setfield(L, -2, "generation");
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
    ml_plugin_run(L, step->script, plugin);
    ml_shipped_require(L, "moonloom.manifest");
    lua_getfield(L, -1, "disagreement");
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_pushvalue(L, 1);
    lua_call(L, 2, 1);
    if (!lua_isnil(L, -1))
        luaL_error(L, "%s", lua_tostring(L, -1));
    lua_settop(L, 1);
    ml_config_push(L, step->script, plugin);
    run_validate(L);
    push_instance(L, plugin);
    plugin->self_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 1);
    plugin->table_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void run_setup(lua_State *L, void *arg)
{
    const struct ml_plugin *plugin = ((struct step *)arg)->plugin;

    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->table_ref);
    lua_getfield(L, 1, "setup");
    if (lua_isnil(L, -1))
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->self_ref);
    lua_call(L, 1, 0);
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
}

/* ---- From nothing to a state with plugins in it
 * -------------------------------------------------------- */

static enum ml_err explain(const struct ml_script *script, struct ml_diag *diag,
                           const struct ml_plugin *plugin)
{
    const char *text = script->fault.text;

    if (plugin && !strstr(text, plugin->name))
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
        err = for_each_plugin(script, run_setup, ML_SETUP_US, diag);
    if (!err)
        err = run_step(script, NULL, take_functions, ML_LOAD_US, diag);
    if (err)
        ml_state_close(script);
    else
        script->frozen = true;
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

static bool is_plugin_name(struct ml_slice name)
{
    if (name.len == 0 || name.len > ML_PLUGIN_NAME_MAX || name.ptr[0] < 'a' || name.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", name.ptr[i]) || !name.ptr[i])
            return false;
    return true;
}

static enum ml_err take_plugins(struct ml_script *script, const struct ml_script_options *options,
                                struct ml_diag *diag)
{
    bool failed = false;

    script->plugins =
        calloc(options->plugin_count ? options->plugin_count : 1, sizeof(*script->plugins));
    if (!script->plugins)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    for (size_t i = 0; i < options->plugin_count; i++) {
        struct ml_plugin *plugin = &script->plugins[i];
        struct ml_slice name = options->plugins[i].name;
        struct ml_slice config;

        if (!is_plugin_name(name))
            return ml_diag_set(
                diag, ML_ESCRIPT, 0,
                "plugins: '%.*s' is not a plugin name (a-z, 0-9 and '-', at most %d)",
                name.len > 60 ? 60 : (int)name.len, (const char *)name.ptr, ML_PLUGIN_NAME_MAX);
        memcpy(plugin->name, name.ptr, name.len);
        if (plugin_named(script, plugin->name))
            return ml_diag_set(diag, ML_ESCRIPT, 0, "plugins: %s is there twice", plugin->name);
        plugin->index = i;
        script->plugin_count = i + 1;
        config = copy_slice(options->plugins[i].config_json, &failed);
        plugin->config_json = (char *)(uintptr_t)config.ptr;
        plugin->config_len = config.len;
    }
    return failed ? ml_diag_set(diag, ML_ELIMIT, 0, "out of memory") : ML_OK;
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
        script->hooks |= 1u << guards[i].hook;
    }
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
    failed |= ml_wait_init(script) != ML_OK;
    err = failed ? ml_diag_set(diag, ML_ELIMIT, 0, "out of memory")
                 : take_plugins(script, options, diag);
    if (!err)
        err = ml_state_load(script, diag);
    if (err && options->keep_failing && script->plugin_count && (script->hooks || stand_in(script)))
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
    for (size_t i = 0; i < plugin->file_count; i++) {
        free(plugin->files[i].path);
        free((void *)(uintptr_t)plugin->files[i].text.ptr);
    }
    free(plugin->files);
    free(plugin->config_json);
}

void ml_script_free(struct ml_script *script)
{
    if (!script)
        return;
    ml_state_close(script);
    release_chains(script);
    for (size_t i = 0; i < script->plugin_count; i++)
        free_plugin(&script->plugins[i]);
    free(script->plugins);
    free(script->views);
    ml_wait_free(script);
    ml_writer_release(&script->text);
    free((void *)(uintptr_t)script->plugins_dir.ptr);
    free((void *)(uintptr_t)script->lua_dir.ptr);
    free((void *)(uintptr_t)script->org.ptr);
    free(script);
}
