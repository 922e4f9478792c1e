/* SPDX-License-Identifier: MIT */
/*
 * From the server file and the files of the orgs to what each org runs.
 *
 *   which plugins are meant (layers.mentions) -> sources -> a state for checking only:
 *     manifests, code (both ways), then for each org: layers.org -> instances, or what is wrong
 *
 * The checking state is thrown away; what is kept is plain C that every loop may read. A plugin
 * runs here without setup: nothing but its chunk, migrate and validate.
 */
#include "script/deployed.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"

#define PLUGINS_MAX  256 /* different ones */
#define CHECK_MEMORY (64u << 20)
#define ARENA_MAX    (256u << 20)

static _Atomic unsigned last_number;

/* What the steps below work on; every one is a protected call in `check`. */
struct building {
    const struct ml_deploy_options *options;
    struct ml_deploy *deploy;
    struct ml_script *check;
    struct ml_writer *report;
    struct ml_diag *diag;
    struct ml_slice order_json, secrets_json;
    struct ml_slice org;              /* that is looked at; empty: every org without a file */
    const struct ml_deploy_org *file; /* of it; NULL: none */
    bool failed;
};

/* Registry fields of the checking state. */
#define SERVER "moonloom.deploy.server"
#define ORGS   "moonloom.deploy.orgs"
#define KNOWN  "moonloom.deploy.known"

static void complain(struct building *b, const char *text)
{
    if (!b->failed)
        (void)ml_diag_set(b->diag, ML_ESCRIPT, 0, "%s", text);
    b->failed = true;
    if (b->report) {
        ml_write_bytes(b->report, ml_slice_str(text));
        ml_write_u8(b->report, '\n');
    }
}

/* The list of sentences at the top of the stack. */
static void complain_all(lua_State *L, struct building *b)
{
    for (int i = 1, n = (int)lua_objlen(L, -1); i <= n; i++) {
        lua_rawgeti(L, -1, i);
        complain(b, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
}

static struct ml_slice keep(lua_State *L, struct building *b, int index)
{
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    char *copy = ml_arena_alloc(&b->deploy->arena, len + 1);

    if (!copy)
        luaL_error(L, "the configuration is too large");
    memcpy(copy, text, len);
    copy[len] = '\0';
    return ml_slice_make(copy, len);
}

/* ---- Which plugins are meant ---------------------------------------------------------------- */

static void push_json_or_table(lua_State *L, struct ml_slice json)
{
    if (json.len)
        ml_json_push(L, json);
    else
        lua_newtable(L);
}

static void read_files(lua_State *L, void *arg)
{
    struct building *b = arg;

    push_json_or_table(L, b->options->server_json);
    lua_setfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_newtable(L);
    for (size_t i = 0; i < b->options->org_count; i++) {
        push_json_or_table(L, b->options->orgs[i].json);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, LUA_REGISTRYINDEX, ORGS);
}

/* Of a part: what runs stays among the plugins, even if no file means it any more. */
static void add_running(struct building *b)
{
    const struct ml_deploy *before = b->options->before;
    struct ml_deploy *deploy = b->deploy;

    if (!before || ml_part_is_all(&b->options->part))
        return;
    for (size_t i = 0; i < before->meant_count; i++) {
        struct ml_meant *meant = &deploy->meant[deploy->meant_count];

        if (ml_deploy_meant(deploy, before->meant[i].name) ||
            deploy->meant_count == 2 * (size_t)PLUGINS_MAX)
            continue;
        *meant = (struct ml_meant){0};
        snprintf(meant->name, sizeof(meant->name), "%s", before->meant[i].name);
        deploy->meant_count++;
    }
}

static void check_names(struct building *b)
{
    struct ml_slice rest = b->options->part.plugins;

    while (rest.len) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;
        char name[ML_PLUGIN_NAME_MAX + 1], text[256];

        snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : 0),
                 (const char *)rest.ptr);
        if (!ml_deploy_meant(b->deploy, name)) {
            snprintf(text, sizeof(text),
                     "%.*s: no plugin of this name is switched on; see moonloom plugin list",
                     (int)(len < 100 ? len : 100), (const char *)rest.ptr);
            complain(b, text);
        }
        len += comma != NULL;
        rest = ml_slice_make(rest.ptr + len, rest.len - len);
    }
}

static void find_meant(lua_State *L, void *arg)
{
    struct building *b = arg;
    size_t n;

    ml_shipped_require(L, "moonloom.layers");
    lua_getfield(L, -1, "mentions");
    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_getfield(L, LUA_REGISTRYINDEX, ORGS);
    lua_call(L, 2, 1);
    n = lua_objlen(L, -1);
    if (n > PLUGINS_MAX)
        luaL_error(L, "more than %d different plugins", PLUGINS_MAX);
    b->deploy->meant =
        ml_arena_array(&b->deploy->arena, n + PLUGINS_MAX, sizeof(*b->deploy->meant));
    if (!b->deploy->meant)
        luaL_error(L, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct ml_meant *meant = &b->deploy->meant[b->deploy->meant_count];

        *meant = (struct ml_meant){0};
        lua_rawgeti(L, -1, (int)i + 1);
        if (snprintf(meant->name, sizeof(meant->name), "%s", lua_tostring(L, -1)) <
            (int)sizeof(meant->name))
            b->deploy->meant_count++;
        lua_pop(L, 1);
    }
    add_running(b);
    check_names(b);
    ml_shipped_require(L, "moonloom.layers");
    lua_getfield(L, -1, "server");
    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_call(L, 1, 1);
    complain_all(L, b);
}

/* From disk, or what runs if it is outside of the part. */
static enum ml_err read_source(struct building *b, struct ml_meant *meant, struct ml_diag *diag)
{
    const struct ml_deploy *before = b->options->before;
    const struct ml_meant *runs = before ? ml_deploy_meant(before, meant->name) : NULL;

    if (runs && runs->source && runs->source->file_count &&
        !ml_part_has_plugin(&b->options->part, ml_slice_str(meant->name))) {
        meant->source = ml_source_ref(runs->source);
        return ML_OK;
    }
    return ml_source_read(b->options->plugins_dir, meant->name, diag, &meant->source);
}

/* Plugins of the checking state: one per plugin that is there. */
static enum ml_err read_sources(struct building *b)
{
    struct ml_script *check = b->check;
    size_t n = b->deploy->meant_count;

    check->plugins = realloc(check->plugins, (n ? n : 1) * sizeof(*check->plugins));
    if (!check->plugins)
        return ml_diag_set(b->diag, ML_ELIMIT, 0, "out of memory");
    memset(check->plugins, 0, (n ? n : 1) * sizeof(*check->plugins));
    for (size_t i = 0; i < n; i++) {
        struct ml_meant *meant = &b->deploy->meant[i];
        struct ml_plugin *plugin = &check->plugins[check->plugin_count];
        struct ml_diag diag = {0};

        if (read_source(b, meant, &diag)) {
            complain(b, diag.text);
            continue;
        }
        if (!meant->source->file_count)
            continue; /* layers.org says that there is no such plugin */
        snprintf(plugin->name, sizeof(plugin->name), "%s", meant->name);
        snprintf(plugin->folder, sizeof(plugin->folder), "%s", meant->name);
        plugin->source = meant->source;
        plugin->env_ref = LUA_NOREF;
        plugin->generation = 1;
        plugin->index = check->plugin_count++;
    }
    return ML_OK;
}

/* ---- Manifests and code --------------------------------------------------------------------- */

struct one {
    struct building *b;
    struct ml_plugin *plugin;
    struct ml_meant *meant;
};

static void take_manifest(lua_State *L, struct one *one)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, one->plugin->manifest_ref);
    lua_getfield(L, -1, "version");
    snprintf(one->meant->version, sizeof(one->meant->version), "%s", lua_tostring(L, -1));
    lua_getfield(L, -2, "tier");
    one->meant->is_operator = strcmp(lua_tostring(L, -1), "operator") == 0;
    ml_shipped_require(L, "moonloom.grants");
    lua_getfield(L, -1, "describe");
    lua_getfield(L, -5, "needs");
    lua_call(L, 1, 1);
    one->meant->needs = keep(L, one->b, -1);
    lua_pop(L, 2);
    lua_getfield(L, -3, "hooks");
    for (int hook = 0; hook < HOOK_COUNT; hook++) {
        lua_getfield(L, -1, ml_hook_names[hook]);
        if (!lua_isnil(L, -1))
            one->meant->hooks |= UINT64_C(1) << hook;
        lua_pop(L, 1);
    }
}

/* Raises if it asks for more than the operator grants. */
static void check_grants(lua_State *L, const struct one *one)
{
    ml_shipped_require(L, "moonloom.grants");
    lua_getfield(L, -1, "missing");
    lua_rawgeti(L, LUA_REGISTRYINDEX, one->plugin->manifest_ref);
    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_getfield(L, -1, "grants");
    lua_remove(L, -2);
    lua_call(L, 2, 1);
    if (!lua_isnil(L, -1))
        luaL_error(L, "%s", lua_tostring(L, -1));
}

static void check_plugin(lua_State *L, void *arg)
{
    struct one *one = arg;
    struct ml_plugin *plugin = one->plugin;

    ml_manifest_load(L, one->b->check, plugin);
    take_manifest(L, one);
    if (!plugin->source->is_shipped &&
        ml_part_has_plugin(&one->b->options->part, ml_slice_str(plugin->name)))
        check_grants(L, one);
    lua_settop(L, 0);
    ml_api_library(L, plugin);
    lua_settop(L, 0);
    ml_plugin_run(L, plugin);
    ml_shipped_require(L, "moonloom.manifest");
    lua_getfield(L, -1, "disagreement");
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_pushvalue(L, 1);
    lua_call(L, 2, 1);
    if (!lua_isnil(L, -1))
        luaL_error(L, "%s: %s", plugin->name, lua_tostring(L, -1));
    lua_settop(L, 1);

    lua_getfield(L, LUA_REGISTRYINDEX, KNOWN);
    ml_shipped_require(L, "moonloom.layers");
    lua_getfield(L, -1, "known");
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_pushvalue(L, 1);
    lua_createtable(L, 0, 2);
    ml_json_null(L);
    lua_setfield(L, -2, "null");
    ml_config_push_resolve(L);
    lua_setfield(L, -2, "resolve");
    lua_call(L, 3, 1);
    lua_setfield(L, 2, plugin->name);
}

static void make_known(lua_State *L, void *arg)
{
    (void)arg;
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, KNOWN);
}

static void check_plugins(struct building *b)
{
    b->check->loading = true;
    for (size_t i = 0; i < b->check->plugin_count; i++) {
        struct ml_plugin *plugin = &b->check->plugins[i];
        struct one one = {b, plugin, ml_deploy_meant(b->deploy, plugin->name)};
        const char *text = b->check->fault.text;
        char line[ML_FAULT_TEXT_MAX + ML_INSTANCE_NAME_MAX + 4];

        if (!ml_script_protect(b->check, 0, check_plugin, &one, ML_LOAD_US))
            continue;
        snprintf(line, sizeof(line), "%s%s%s", strstr(text, plugin->name) ? "" : plugin->name,
                 strstr(text, plugin->name) ? "" : ": ", text);
        complain(b, line);
    }
    b->check->loading = false;
}

/* ---- What each org has ---------------------------------------------------------------------- */

static void take_docs(lua_State *L, struct building *b, struct ml_script_plugin *out)
{
    size_t n = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    struct ml_slice *docs = n ? ml_arena_array(&b->deploy->arena, n, sizeof(*docs)) : NULL;

    if (n && !docs)
        luaL_error(L, "the configuration is too large");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        docs[i] = keep(L, b, -1);
        lua_pop(L, 1);
    }
    out->docs = docs;
    out->doc_count = n;
}

/* The instance at the top of the stack. */
static void take_instance(lua_State *L, struct building *b, struct ml_script_plugin *out)
{
    struct ml_meant *meant;

    *out = (struct ml_script_plugin){0};
    lua_getfield(L, -1, "name");
    out->name = keep(L, b, -1);
    lua_getfield(L, -2, "plugin");
    out->folder = keep(L, b, -1);
    meant = ml_deploy_meant(b->deploy, lua_tostring(L, -1));
    out->source = meant->source;
    out->version = ml_slice_str(meant->version);
    lua_pop(L, 2);
    lua_getfield(L, -1, "config");
    lua_pushnil(L);
    if (lua_next(L, -2)) {
        lua_pop(L, 2);
        ml_json_text(L, lua_gettop(L));
        out->config_json = keep(L, b, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_getfield(L, -1, "docs");
    take_docs(L, b, out);
    lua_pop(L, 1);
    lua_getfield(L, -1, "mode");
    out->is_shadow = strcmp(lua_tostring(L, -1), "shadow") == 0;
    lua_getfield(L, -2, "watch");
    out->is_unwatched = !lua_toboolean(L, -1);
    lua_pop(L, 2);
}

static void take_facts(lua_State *L, struct building *b, struct ml_org_deploy *org)
{
    lua_getfield(L, -1, "cpu");
    org->cpu = lua_tonumber(L, -1);
    lua_getfield(L, -2, "memory");
    org->memory_bytes = (size_t)lua_tonumber(L, -1);
    lua_getfield(L, -3, "trace_text");
    org->keeps_text = lua_toboolean(L, -1);
    lua_pop(L, 3);
    lua_pushnil(L);
    lua_setfield(L, -2, "trace_text");
    lua_pushnil(L);
    lua_setfield(L, -2, "cpu");
    lua_pushnil(L);
    lua_setfield(L, -2, "memory");
    lua_pushnil(L);
    if (!lua_next(L, -2))
        return;
    lua_pop(L, 2);
    ml_json_text(L, lua_gettop(L));
    org->facts_json = keep(L, b, -1);
    lua_pop(L, 1);
}

/* `requires` and `conflicts` among what is switched on; order and its cycles for every hook. */
static void check_together(lua_State *L, struct building *b, int instances, struct ml_slice org)
{
    int n = (int)lua_objlen(L, instances), all;

    lua_newtable(L); /* { name, manifest } */
    all = lua_gettop(L);
    lua_newtable(L); /* manifests */
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, instances, i);
        lua_getfield(L, -1, "plugin");
        lua_getfield(L, LUA_REGISTRYINDEX, KNOWN);
        lua_getfield(L, -1, lua_tostring(L, -2));
        lua_getfield(L, -1, "manifest");
        lua_pushvalue(L, -1);
        lua_rawseti(L, all + 1, i);
        lua_createtable(L, 0, 2);
        lua_insert(L, -2);
        lua_setfield(L, -2, "manifest");
        lua_getfield(L, all + 2, "name");
        lua_setfield(L, -2, "name");
        lua_rawseti(L, all, i);
        lua_settop(L, all + 1);
    }
    ml_shipped_require(L, "moonloom.layers");
    lua_getfield(L, -1, "together");
    lua_pushvalue(L, all);
    lua_pushvalue(L, all + 1);
    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    if (org.len)
        lua_pushlstring(L, (const char *)org.ptr, org.len);
    else
        lua_pushnil(L);
    lua_call(L, 4, 1);
    complain_all(L, b);
    lua_settop(L, all - 1);
}

/* The plugins of the part as a set, or nil: all. */
static void push_only(lua_State *L, const struct ml_deploy_part *part)
{
    struct ml_slice rest = part->plugins;

    if (!rest.len) {
        lua_pushnil(L);
        return;
    }
    lua_newtable(L);
    while (rest.len) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;

        lua_pushlstring(L, (const char *)rest.ptr, len);
        lua_pushboolean(L, true);
        lua_rawset(L, -3);
        len += comma != NULL;
        rest = ml_slice_make(rest.ptr + len, rest.len - len);
    }
}

/* What stays is checked together with what is new: at the end of the list at the top. */
static void append_kept(lua_State *L, const struct ml_org_deploy *before,
                        const struct ml_deploy_part *part)
{
    for (size_t i = 0; before && i < before->plugin_count; i++) {
        const struct ml_script_plugin *plugin = &before->plugins[i];

        if (ml_part_has_plugin(part, plugin->folder))
            continue;
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, (const char *)plugin->name.ptr, plugin->name.len);
        lua_setfield(L, -2, "name");
        lua_pushlstring(L, (const char *)plugin->folder.ptr, plugin->folder.len);
        lua_setfield(L, -2, "plugin");
        lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
    }
}

/* Leaves instances and facts at 2 and 4. */
static void ask_layers(lua_State *L, struct building *b)
{
    ml_shipped_require(L, "moonloom.layers");
    lua_getfield(L, -1, "org");
    if (b->org.len)
        lua_pushlstring(L, (const char *)b->org.ptr, b->org.len);
    else
        lua_pushnil(L);
    if (b->file) {
        lua_getfield(L, LUA_REGISTRYINDEX, ORGS);
        lua_rawgeti(L, -1, (int)(b->file - b->options->orgs) + 1);
        lua_remove(L, -2);
    } else {
        lua_pushnil(L);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_getfield(L, LUA_REGISTRYINDEX, KNOWN);
    push_only(L, &b->options->part);
    lua_call(L, 5, 3); /* at 2, 3, 4 */
    lua_pushvalue(L, 3);
    complain_all(L, b);
    lua_settop(L, 4);
}

/* The org b->org. */
static void resolve_org(lua_State *L, void *arg)
{
    struct building *b = arg;
    const struct ml_deploy_part *part = &b->options->part;
    struct ml_org_deploy *org = &b->deploy->orgs[b->deploy->org_count++];
    const struct ml_org_deploy *before =
        part->plugins.len ? ml_deploy_org(b->options->before, b->org) : NULL;
    struct ml_script_plugin *plugins;
    size_t n;

    *org = (struct ml_org_deploy){.order_json = b->order_json, .secrets_json = b->secrets_json};
    org->name = ml_arena_copy(&b->deploy->arena, b->org);
    ask_layers(L, b);
    n = lua_objlen(L, 2);
    lua_pushvalue(L, 2);
    append_kept(L, before, part);
    lua_settop(L, 4);
    check_together(L, b, 2, org->name);
    if (lua_objlen(L, 2) > ML_INSTANCES_MAX)
        luaL_error(L, "more than %d instances", ML_INSTANCES_MAX);
    plugins = ml_arena_array(&b->deploy->arena, n ? n : 1, sizeof(*plugins));
    if (!plugins)
        luaL_error(L, "the configuration is too large");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        take_instance(L, b, &plugins[i]);
        org->hooks |= ml_deploy_meant(b->deploy, (const char *)plugins[i].folder.ptr)->hooks;
        lua_settop(L, 4);
    }
    org->plugins = plugins;
    org->plugin_count = n;
    take_facts(L, b, org);
    b->deploy->hooks |= org->hooks;
    if (before && !n) { /* nothing of the part is on here: it stays entirely */
        org->order_json = ml_arena_copy(&b->deploy->arena, before->order_json);
        org->secrets_json = ml_arena_copy(&b->deploy->arena, before->secrets_json);
    }
    if (before && !ml_deploy_keep(b->deploy, org, before, part))
        luaL_error(L, "the configuration is too large");
}

static const struct ml_deploy_org *file_of(const struct ml_deploy_options *options,
                                           struct ml_slice org)
{
    for (size_t i = 0; i < options->org_count; i++)
        if (ml_slice_equal(options->orgs[i].name, org))
            return &options->orgs[i];
    return NULL;
}

/* One org: from the files, or as it was. */
static enum ml_err take_org(struct building *b, struct ml_slice name,
                            const struct ml_deploy_org *file)
{
    struct ml_deploy *deploy = b->deploy;
    const struct ml_org_deploy *was;

    if (name.len && ml_deploy_entry(deploy, name))
        return ML_OK;
    b->org = name;
    b->file = file;
    if (ml_part_has_org(&b->options->part, name)) {
        if (ml_script_protect(b->check, 0, resolve_org, b, ML_LOAD_US))
            complain(b, b->check->fault.text);
        return ML_OK;
    }
    was = name.len ? ml_deploy_entry(b->options->before, name) : &b->options->before->orgs[0];
    if (!was) /* a file that is new, of an org that is not meant: later */
        return ML_OK;
    deploy->orgs[deploy->org_count] =
        (struct ml_org_deploy){.name = ml_arena_copy(&deploy->arena, name)};
    if (!ml_deploy_keep(deploy, &deploy->orgs[deploy->org_count++], was, NULL))
        return ml_diag_set(b->diag, ML_ELIMIT, 0, "out of memory");
    return ML_OK;
}

static enum ml_err resolve_orgs(struct building *b)
{
    const struct ml_deploy_options *options = b->options;
    const struct ml_deploy *before = ml_part_is_all(&options->part) ? NULL : options->before;
    size_t max = options->org_count + 2 + (before ? before->org_count : 0);
    enum ml_err err;

    b->deploy->orgs = ml_arena_array(&b->deploy->arena, max, sizeof(*b->deploy->orgs));
    if (!b->deploy->orgs)
        return ml_diag_set(b->diag, ML_ELIMIT, 0, "out of memory");
    memset(b->deploy->orgs, 0, max * sizeof(*b->deploy->orgs));
    err = take_org(b, (struct ml_slice){0}, NULL);
    for (size_t i = 0; i < options->org_count && !err; i++)
        err = take_org(b, options->orgs[i].name, &options->orgs[i]);
    for (size_t i = 1; before && i < before->org_count && !err; i++)
        err = take_org(b, before->orgs[i].name, file_of(options, before->orgs[i].name));
    if (!err && options->part.org.len)
        err = take_org(b, options->part.org, file_of(options, options->part.org));
    return err;
}

/* ---- Public --------------------------------------------------------------------------------- */

static void take_order(lua_State *L, void *arg)
{
    struct building *b = arg;

    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_getfield(L, -1, "order");
    if (lua_isnil(L, -1))
        return;
    ml_json_text(L, lua_gettop(L));
    b->order_json = keep(L, b, -1);
}

/* The configurations are checked with them: the checking state has its own copy. */
static void take_secrets(lua_State *L, void *arg)
{
    struct building *b = arg;
    struct ml_slice json;
    uint8_t *copy;

    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_getfield(L, -1, "secrets");
    if (!lua_istable(L, -1))
        return;
    ml_json_text(L, lua_gettop(L));
    json = keep(L, b, -1);
    copy = malloc(json.len + 1);
    if (!copy)
        luaL_error(L, "out of memory");
    memcpy(copy, json.ptr, json.len);
    b->check->secrets_json = ml_slice_make(copy, json.len);
    b->secrets_json = json;
}

static enum ml_err step(struct building *b, void (*fn)(lua_State *L, void *arg))
{
    if (!ml_script_protect(b->check, 0, fn, b, ML_LOAD_US))
        return ML_OK;
    complain(b, b->check->fault.text);
    return ML_ESCRIPT;
}

static enum ml_err build(struct building *b)
{
    enum ml_err err = step(b, read_files);

    if (!err)
        err = step(b, find_meant);
    if (!err)
        err = step(b, take_order);
    if (!err)
        err = step(b, take_secrets);
    if (!err)
        err = step(b, make_known);
    if (!err)
        err = read_sources(b);
    if (!err) {
        check_plugins(b);
        err = b->failed ? ML_ESCRIPT : resolve_orgs(b);
    }
    if (err || b->failed)
        return err ? err : ML_ESCRIPT;
    ml_deploy_number_all(b->deploy, b->options->before, b->options->all_shadow);
    return ML_OK;
}

struct ml_deploy *ml_deploy_alloc(void)
{
    struct ml_deploy *deploy = calloc(1, sizeof(*deploy));

    if (!deploy)
        return NULL;
    atomic_init(&deploy->refs, 1);
    deploy->number = atomic_fetch_add(&last_number, 1) + 1;
    ml_arena_init(&deploy->arena, ARENA_MAX);
    return deploy;
}

struct ml_meant *ml_deploy_meant(const struct ml_deploy *deploy, const char *name)
{
    for (size_t i = 0; i < deploy->meant_count; i++)
        if (strcmp(deploy->meant[i].name, name) == 0)
            return &deploy->meant[i];
    return NULL;
}

enum ml_err ml_deploy_new(const struct ml_deploy_options *options, struct ml_writer *report_out,
                          struct ml_diag *diag, struct ml_deploy **deploy_out)
{
    struct ml_script_options check = {.lua_dir = options->lua_dir,
                                      .limits = {.memory_bytes = CHECK_MEMORY}};
    struct ml_deploy *deploy = ml_deploy_alloc();
    struct building b = {.options = options, .deploy = deploy, .report = report_out, .diag = diag};
    enum ml_err err;

    if (!deploy)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    err = ml_script_new(&check, diag, &b.check);
    if (!err)
        err = build(&b);
    ml_script_free(b.check);
    if (err) {
        ml_deploy_unref(deploy);
        return err;
    }
    *deploy_out = deploy;
    return ML_OK;
}

struct ml_deploy *ml_deploy_ref(struct ml_deploy *deploy)
{
    if (deploy)
        atomic_fetch_add(&deploy->refs, 1);
    return deploy;
}

void ml_deploy_unref(struct ml_deploy *deploy)
{
    if (!deploy || atomic_fetch_sub(&deploy->refs, 1) != 1)
        return;
    for (size_t i = 0; i < deploy->meant_count; i++)
        ml_source_free(deploy->meant[i].source);
    for (size_t i = 0; i < deploy->kept_count; i++)
        ml_source_free(deploy->kept[i]);
    free(deploy->kept);
    ml_arena_release(&deploy->arena);
    free(deploy);
}

unsigned ml_deploy_number(const struct ml_deploy *deploy)
{
    return deploy->number;
}

uint64_t ml_deploy_hooks(const struct ml_deploy *deploy)
{
    return deploy->hooks;
}

/* Few orgs have files, and this is asked when a state is made, not when a hook runs. */
const struct ml_org_deploy *ml_deploy_org(const struct ml_deploy *deploy, struct ml_slice org)
{
    const struct ml_org_deploy *entry = ml_deploy_entry(deploy, org);

    return entry ? entry : &deploy->orgs[0];
}

void ml_deploy_describe(const struct ml_deploy *deploy, struct ml_writer *out)
{
    char line[256];

    snprintf(line, sizeof(line), "{\"generation\":%u,\"orgs\":%zu,\"plugins\":[", deploy->number,
             deploy->org_count - 1);
    ml_write_bytes(out, ml_slice_str(line));
    for (size_t i = 0, n = 0; i < deploy->meant_count; i++) {
        const struct ml_meant *meant = &deploy->meant[i];

        if (!meant->source || !meant->source->file_count)
            continue;
        snprintf(line, sizeof(line),
                 "%s{\"name\":\"%s\",\"version\":\"%s\",\"cell\":\"%s\",\"content\":\"%016llx\","
                 "\"files\":%zu,\"needs\":\"",
                 n++ ? "," : "", meant->name, meant->version,
                 meant->is_operator ? "operator" : "org", (unsigned long long)meant->source->hash,
                 meant->source->file_count);
        ml_write_bytes(out, ml_slice_str(line));
        for (size_t k = 0; k < meant->needs.len; k++) /* a name of a host is no text to escape */
            if (meant->needs.ptr[k] >= 0x20 && !strchr("\"\\", meant->needs.ptr[k]))
                ml_write_u8(out, meant->needs.ptr[k]);
        ml_write_bytes(out, ML_SLICE("\"}"));
    }
    ml_write_bytes(out, ml_slice_str("]}"));
}
