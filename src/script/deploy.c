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
#include "script/state.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"

#define PLUGINS_MAX  256 /* different ones */
#define CHECK_MEMORY (64u << 20)
#define ARENA_MAX    (256u << 20)
#define DOC_NAME_MAX 512

struct meant {
    char name[ML_PLUGIN_NAME_MAX + 1];
    struct ml_source *source;
    char version[24];
    bool is_operator;
    uint64_t hooks;
};

struct ml_deploy {
    _Atomic unsigned refs;
    unsigned number;
    struct ml_arena arena; /* everything below */
    struct meant *meant;
    size_t meant_count;
    struct ml_org_deploy *orgs; /* [0]: every org without a file */
    size_t org_count;
    struct ml_slice order_json, secrets_json;
    uint64_t hooks;
};

static _Atomic unsigned last_number;

/* What the steps below work on; every one is a protected call in `check`. */
struct building {
    const struct ml_deploy_options *options;
    struct ml_deploy *deploy;
    struct ml_script *check;
    struct ml_writer *report;
    struct ml_diag *diag;
    size_t at; /* the org that is looked at */
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
    b->deploy->meant = ml_arena_array(&b->deploy->arena, n ? n : 1, sizeof(*b->deploy->meant));
    if (!b->deploy->meant)
        luaL_error(L, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct meant *meant = &b->deploy->meant[b->deploy->meant_count];

        *meant = (struct meant){0};
        lua_rawgeti(L, -1, (int)i + 1);
        if (snprintf(meant->name, sizeof(meant->name), "%s", lua_tostring(L, -1)) <
            (int)sizeof(meant->name))
            b->deploy->meant_count++;
        lua_pop(L, 1);
    }
    ml_shipped_require(L, "moonloom.layers");
    lua_getfield(L, -1, "server");
    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_call(L, 1, 1);
    complain_all(L, b);
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
        struct meant *meant = &b->deploy->meant[i];
        struct ml_plugin *plugin = &check->plugins[check->plugin_count];
        struct ml_diag diag = {0};

        if (ml_source_read(b->options->plugins_dir, meant->name, &diag, &meant->source)) {
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
    struct meant *meant;
};

static void take_manifest(lua_State *L, struct one *one)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, one->plugin->manifest_ref);
    lua_getfield(L, -1, "version");
    snprintf(one->meant->version, sizeof(one->meant->version), "%s", lua_tostring(L, -1));
    lua_getfield(L, -2, "tier");
    one->meant->is_operator = strcmp(lua_tostring(L, -1), "operator") == 0;
    lua_getfield(L, -3, "hooks");
    for (int hook = 0; hook < HOOK_COUNT; hook++) {
        lua_getfield(L, -1, ml_hook_names[hook]);
        if (!lua_isnil(L, -1))
            one->meant->hooks |= UINT64_C(1) << hook;
        lua_pop(L, 1);
    }
}

static void check_plugin(lua_State *L, void *arg)
{
    struct one *one = arg;
    struct ml_plugin *plugin = one->plugin;

    ml_manifest_load(L, one->b->check, plugin);
    take_manifest(L, one);
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

static struct meant *meant_named(struct ml_deploy *deploy, const char *name)
{
    for (size_t i = 0; i < deploy->meant_count; i++)
        if (strcmp(deploy->meant[i].name, name) == 0)
            return &deploy->meant[i];
    return NULL;
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
        struct one one = {b, plugin, meant_named(b->deploy, plugin->name)};
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
    struct meant *meant;

    *out = (struct ml_script_plugin){0};
    lua_getfield(L, -1, "name");
    out->name = keep(L, b, -1);
    lua_getfield(L, -2, "plugin");
    out->folder = keep(L, b, -1);
    meant = meant_named(b->deploy, lua_tostring(L, -1));
    out->source = meant->source;
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

/* The org b->at: 0 is every org without a file. */
static void resolve_org(lua_State *L, void *arg)
{
    struct building *b = arg;
    struct ml_org_deploy *org = &b->deploy->orgs[b->at];
    struct ml_script_plugin *plugins;
    size_t n;

    *org = (struct ml_org_deploy){0};
    if (b->at)
        org->name = ml_arena_copy(&b->deploy->arena, b->options->orgs[b->at - 1].name);
    ml_shipped_require(L, "moonloom.layers");
    lua_getfield(L, -1, "org");
    lua_pushlstring(L, (const char *)org->name.ptr, org->name.len);
    lua_getfield(L, LUA_REGISTRYINDEX, ORGS);
    lua_rawgeti(L, -1, (int)b->at);
    lua_remove(L, -2);
    if (!b->at) {
        lua_pushnil(L);
        lua_replace(L, -3);
    }
    lua_getfield(L, LUA_REGISTRYINDEX, SERVER);
    lua_getfield(L, LUA_REGISTRYINDEX, KNOWN);
    lua_call(L, 4, 3); /* at 2, 3, 4 */
    lua_pushvalue(L, 3);
    complain_all(L, b);
    lua_settop(L, 4);
    check_together(L, b, 2, org->name);
    n = lua_objlen(L, 2);
    if (n > ML_INSTANCES_MAX)
        luaL_error(L, "more than %d instances", ML_INSTANCES_MAX);
    plugins = ml_arena_array(&b->deploy->arena, n ? n : 1, sizeof(*plugins));
    if (!plugins)
        luaL_error(L, "the configuration is too large");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        take_instance(L, b, &plugins[i]);
        org->hooks |= meant_named(b->deploy, (const char *)plugins[i].folder.ptr)->hooks;
        lua_settop(L, 4);
    }
    org->plugins = plugins;
    org->plugin_count = n;
    take_facts(L, b, org);
    b->deploy->hooks |= org->hooks;
}

static enum ml_err resolve_orgs(struct building *b)
{
    struct ml_deploy *deploy = b->deploy;

    deploy->org_count = b->options->org_count + 1;
    deploy->orgs = ml_arena_array(&deploy->arena, deploy->org_count, sizeof(*deploy->orgs));
    if (!deploy->orgs)
        return ml_diag_set(b->diag, ML_ELIMIT, 0, "out of memory");
    memset(deploy->orgs, 0, deploy->org_count * sizeof(*deploy->orgs));
    for (b->at = 0; b->at < deploy->org_count; b->at++)
        if (ml_script_protect(b->check, 0, resolve_org, b, ML_LOAD_US))
            complain(b, b->check->fault.text);
    return ML_OK;
}

/* ---- Generations ---------------------------------------------------------------------------- */

static bool same_docs(const struct ml_script_plugin *a, const struct ml_script_plugin *b)
{
    if (a->doc_count != b->doc_count)
        return false;
    for (size_t i = 0; i < a->doc_count; i++)
        if (!ml_slice_equal(a->docs[i], b->docs[i]))
            return false;
    return true;
}

static bool same_instance(const struct ml_script_plugin *a, const struct ml_script_plugin *b)
{
    return ml_slice_equal(a->name, b->name) && ml_slice_equal(a->folder, b->folder) &&
           ml_slice_equal(a->config_json, b->config_json) && same_docs(a, b) &&
           a->is_shadow == b->is_shadow && a->source->hash == b->source->hash;
}

static const struct ml_script_plugin *instance_named(const struct ml_org_deploy *org,
                                                     struct ml_slice name)
{
    for (size_t i = 0; i < org->plugin_count; i++)
        if (ml_slice_equal(org->plugins[i].name, name))
            return &org->plugins[i];
    return NULL;
}

/* What did not change keeps its number; what did has the next one. */
static void number_instances(struct building *b)
{
    for (size_t i = 0; i < b->deploy->org_count; i++) {
        const struct ml_org_deploy *org = &b->deploy->orgs[i];
        const struct ml_org_deploy *before =
            b->options->before ? ml_deploy_org(b->options->before, org->name) : NULL;

        for (size_t k = 0; k < org->plugin_count; k++) {
            struct ml_script_plugin *plugin =
                (struct ml_script_plugin *)(uintptr_t)&org->plugins[k];
            const struct ml_script_plugin *old =
                before ? instance_named(before, plugin->name) : NULL;
            bool is_same = old && same_instance(old, plugin);

            if (b->options->all_shadow && !is_same)
                plugin->is_shadow = true;
            plugin->generation = !old ? 1 : is_same ? old->generation : old->generation + 1;
        }
    }
}

bool ml_deploy_differs(const struct ml_deploy *before, const struct ml_deploy *after,
                       struct ml_slice org)
{
    const struct ml_org_deploy *a = ml_deploy_org(before, org), *b = ml_deploy_org(after, org);

    if (a->plugin_count != b->plugin_count || a->memory_bytes != b->memory_bytes ||
        a->cpu != b->cpu || a->keeps_text != b->keeps_text ||
        !ml_slice_equal(a->facts_json, b->facts_json) ||
        !ml_slice_equal(before->order_json, after->order_json) ||
        !ml_slice_equal(before->secrets_json, after->secrets_json))
        return true;
    for (size_t i = 0; i < a->plugin_count; i++)
        if (!same_instance(&a->plugins[i], &b->plugins[i]) ||
            a->plugins[i].generation != b->plugins[i].generation)
            return true;
    return false;
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
    b->deploy->order_json = keep(L, b, -1);
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
    b->deploy->secrets_json = json;
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
    number_instances(b);
    return ML_OK;
}

enum ml_err ml_deploy_new(const struct ml_deploy_options *options, struct ml_writer *report_out,
                          struct ml_diag *diag, struct ml_deploy **deploy_out)
{
    struct ml_script_options check = {.lua_dir = options->lua_dir,
                                      .limits = {.memory_bytes = CHECK_MEMORY}};
    struct ml_deploy *deploy = calloc(1, sizeof(*deploy));
    struct building b = {.options = options, .deploy = deploy, .report = report_out, .diag = diag};
    enum ml_err err;

    if (!deploy)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    atomic_init(&deploy->refs, 1);
    deploy->number = atomic_fetch_add(&last_number, 1) + 1;
    ml_arena_init(&deploy->arena, ARENA_MAX);
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

struct ml_slice ml_deploy_order(const struct ml_deploy *deploy)
{
    return deploy->order_json;
}

struct ml_slice ml_deploy_secrets(const struct ml_deploy *deploy)
{
    return deploy->secrets_json;
}

/* Few orgs have files, and this is asked when a state is made, not when a hook runs. */
const struct ml_org_deploy *ml_deploy_org(const struct ml_deploy *deploy, struct ml_slice org)
{
    for (size_t i = 1; i < deploy->org_count; i++)
        if (ml_slice_equal(deploy->orgs[i].name, org))
            return &deploy->orgs[i];
    return &deploy->orgs[0];
}

void ml_deploy_describe(const struct ml_deploy *deploy, struct ml_writer *out)
{
    char line[256];

    snprintf(line, sizeof(line), "{\"generation\":%u,\"orgs\":%zu,\"plugins\":[", deploy->number,
             deploy->org_count - 1);
    ml_write_bytes(out, ml_slice_str(line));
    for (size_t i = 0, n = 0; i < deploy->meant_count; i++) {
        const struct meant *meant = &deploy->meant[i];

        if (!meant->source || !meant->source->file_count)
            continue;
        snprintf(line, sizeof(line),
                 "%s{\"name\":\"%s\",\"version\":\"%s\",\"cell\":\"%s\",\"content\":\"%016llx\","
                 "\"files\":%zu}",
                 n++ ? "," : "", meant->name, meant->version,
                 meant->is_operator ? "operator" : "org", (unsigned long long)meant->source->hash,
                 meant->source->file_count);
        ml_write_bytes(out, ml_slice_str(line));
    }
    ml_write_bytes(out, ml_slice_str("]}"));
}
