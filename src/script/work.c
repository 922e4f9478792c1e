/* SPDX-License-Identifier: MIT */
/*
 *   manifest ── take ──> entries ── find ──> ml_script_do ──> a call (wait.c) ──> decode ──> done
 *
 * An entry is a function of the plugin, what the manifest says, and a breaker: five failures in ten
 * seconds, and it fails at once for a while (ask.c).
 *
 *  [K1] Entries stand in one block of memory per state; a call copies what it needs of its own.
 *  [K2] What Lua is given are plain tables made by lua/moonloom/work.lua, so they outlive waits.
 */
#include "script/setup.h"
#include "script/wait.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "script/view.h"

#define JOB_RETRIES      8
#define JOB_TIMEOUT_MS   60000
#define JOB_CONCURRENCY  4
#define BACKOFF_FIRST_MS 2000
#define BACKOFF_LAST_MS  600000
#define BODY_BYTES       (1u << 20)
#define ENTRIES_MAX      512
#define ROLES_MAX        32
#define HEADERS_MAX      64
#define DONE_ARENA       (20u << 20)

static const char *const families[] = {"rpc", "routes", "jobs", "cron", "tasks"};
static const struct {
    uint32_t soft_ms, hard_ms;
} deadlines[] = {{1000, 10000}, {0, 30000}, {0, JOB_TIMEOUT_MS}, {0, 300000}, {1000, 10000}};

struct entry {
    struct ml_work work; /* first: it is what others hold */
    struct ml_plugin *plugin;
    int function_ref, options_ref;
    struct ml_breaker breaker;
    char *what; /* "jobs.deliver" */
};

struct ml_works {
    struct entry *entries[ENTRIES_MAX];
    size_t count;
    struct ml_arena arena; /* the entries and their texts */
};

static struct entry *entry_of(const struct ml_work *work)
{
    return (struct entry *)(uintptr_t)work;
}

/* ---- From the manifests ---------------------------------------------------------------------- */

static struct ml_slice keep(lua_State *L, struct ml_works *works, int index)
{
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    struct ml_slice copy = ml_arena_copy(&works->arena, ml_slice_make(text, len));

    if (!copy.ptr)
        luaL_error(L, "out of memory");
    return copy;
}

static uint64_t number_or(lua_State *L, int index, const char *name, uint64_t otherwise)
{
    uint64_t number = otherwise;

    lua_getfield(L, index, name);
    if (lua_type(L, -1) == LUA_TNUMBER)
        number = (uint64_t)lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number;
}

static bool flag_or(lua_State *L, int index, const char *name, bool otherwise)
{
    bool flag;

    lua_getfield(L, index, name);
    flag = lua_isnil(L, -1) ? otherwise : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static bool word_is(lua_State *L, int index, const char *name, const char *word)
{
    bool is;

    lua_getfield(L, index, name);
    is = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), word) == 0;
    lua_pop(L, 1);
    return is;
}

static void take_roles(lua_State *L, struct ml_works *works, int index, struct ml_work *work)
{
    struct ml_slice *roles;
    size_t n;

    lua_getfield(L, index, "roles");
    n = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    if (n > ROLES_MAX)
        luaL_error(L, "more than %d roles", ROLES_MAX);
    roles = n ? ml_arena_array(&works->arena, n, sizeof(*roles)) : NULL;
    if (n && !roles)
        luaL_error(L, "out of memory");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        roles[i] = keep(L, works, -1);
        lua_pop(L, 1);
    }
    work->roles = roles;
    work->role_count = n;
    lua_pop(L, 1);
}

/* The options are at the top. */
static void take_options(lua_State *L, struct ml_works *works, struct ml_work *work)
{
    int at = lua_gettop(L);

    take_roles(L, works, at, work);
    work->retries = (uint32_t)number_or(L, at, "retries", JOB_RETRIES);
    work->concurrency = (uint32_t)number_or(L, at, "concurrency", JOB_CONCURRENCY);
    if (!work->concurrency)
        work->concurrency = 1;
    work->timeout_ms = (uint32_t)number_or(L, at, "timeout", JOB_TIMEOUT_MS);
    work->backoff_first_ms = BACKOFF_FIRST_MS;
    work->backoff_last_ms = BACKOFF_LAST_MS;
    lua_getfield(L, at, "backoff");
    if (lua_istable(L, -1)) {
        work->backoff_first_ms = number_or(L, at + 1, "first", BACKOFF_FIRST_MS);
        work->backoff_last_ms = number_or(L, at + 1, "last", BACKOFF_LAST_MS);
    }
    lua_pop(L, 1);
    work->is_singleton = flag_or(L, at, "singleton", true);
    work->runs_missed = !word_is(L, at, "missed", "skip");
    work->jitter_ms = number_or(L, at, "jitter", 0);
    work->is_public = flag_or(L, at, "public", false);
    work->checks_csrf = flag_or(L, at, "csrf", true);
    work->is_cacheable = word_is(L, at, "cache", "public");
    work->max_body = number_or(L, at, "max_body", BODY_BYTES);
    work->wants_doc = flag_or(L, at, "doc", false);
}

/* Stack: the plugin's table of functions at -4, … the name at -2, the options at -1. */
static void take_entry(lua_State *L, struct ml_works *works, struct ml_plugin *plugin,
                       enum ml_work_kind kind, int functions)
{
    struct entry *entry;
    struct ml_slice what;

    if (works->count == ENTRIES_MAX)
        luaL_error(L, "more than %d named functions", ENTRIES_MAX);
    entry = ml_arena_alloc(&works->arena, sizeof(*entry));
    if (!entry)
        luaL_error(L, "out of memory");
    works->entries[works->count] = entry;
    entry->plugin = plugin;
    entry->work = (struct ml_work){.kind = kind, .instance = ml_slice_str(plugin->name)};
    entry->work.name = keep(L, works, -2);
    take_options(L, works, &entry->work);
    lua_pushfstring(L, "%s.%s", families[kind], (const char *)entry->work.name.ptr);
    what = keep(L, works, -1);
    lua_pop(L, 1);
    entry->what = (char *)(uintptr_t)what.ptr;
    lua_pushvalue(L, -2);
    lua_gettable(L, functions);
    entry->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -1);
    entry->options_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    works->count++;
}

static void take_family(lua_State *L, struct ml_works *works, struct ml_plugin *plugin,
                        enum ml_work_kind kind)
{
    lua_settop(L, 0);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->table_ref);
    lua_getfield(L, 1, families[kind]); /* 2: functions */
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_getfield(L, 3, "hooks");
    lua_getfield(L, 4, families[kind]);
    if (!lua_istable(L, 5) || !lua_istable(L, 2))
        return;
    lua_getfield(L, 5, "names");
    for (lua_pushnil(L); lua_next(L, 6); lua_settop(L, 7)) {
        lua_pushvalue(L, 7);
        lua_insert(L, 8); /* 7: key, 8: name, 9: options */
        take_entry(L, works, plugin, kind, 2);
    }
}

/* Told of later, as jobs. */
static const char *const later[] = {"document_deleted", "audit",       "org_created", "org_changed",
                                    "org_suspended",    "org_resumed", "org_deleted"};

static void take_later(lua_State *L, struct ml_works *works, struct ml_plugin *plugin)
{
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        lua_settop(L, 0);
        lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->table_ref);
        lua_newtable(L);
        lua_pushfstring(L, "@%s", later[i]);
        lua_pushvalue(L, -1);
        lua_getfield(L, 1, later[i]);
        if (!lua_isfunction(L, -1) || plugin->is_shadow)
            continue;
        lua_settable(L, 2); /* functions: @name -> the hook; the name is on top */
        lua_newtable(L);
        take_entry(L, works, plugin, ML_WORK_JOB, 2);
    }
    lua_settop(L, 0);
}

bool ml_script_later(const struct ml_script *script, const char *hook, struct ml_slice document,
                     size_t i, struct ml_slice *instance_out)
{
    for (size_t k = 0; k < ml_script_work_count(script); k++) {
        const struct entry *entry = script->works->entries[k];
        struct ml_slice name = entry->work.name;

        if (entry->work.kind != ML_WORK_JOB || !name.len || name.ptr[0] != '@' ||
            !ml_slice_equal(ml_slice_make(name.ptr + 1, name.len - 1), ml_slice_str(hook)) ||
            !ml_plugin_applies(entry->plugin, document) || i--)
            continue;
        *instance_out = entry->work.instance;
        return true;
    }
    return false;
}

void ml_work_take(lua_State *L, struct ml_script *script)
{
    if (!script->works) {
        script->works = calloc(1, sizeof(*script->works));
        if (!script->works)
            luaL_error(L, "out of memory");
    }
    ml_arena_release(&script->works->arena);
    ml_arena_init(&script->works->arena, 4u << 20);
    script->works->count = 0;
    for (size_t i = 0; i < script->plugin_count; i++) {
        for (int kind = 0; kind < ML_WORK_KINDS; kind++)
            take_family(L, script->works, &script->plugins[i], (enum ml_work_kind)kind);
        take_later(L, script->works, &script->plugins[i]);
    }
}

void ml_work_free(struct ml_script *script)
{
    if (!script->works)
        return;
    ml_arena_release(&script->works->arena);
    free(script->works);
    script->works = NULL;
}

/* ---- Finding --------------------------------------------------------------------------------- */

size_t ml_script_work_count(const struct ml_script *script)
{
    return script->works ? script->works->count : 0;
}

const struct ml_work *ml_script_work(const struct ml_script *script, size_t i)
{
    return i < ml_script_work_count(script) ? &script->works->entries[i]->work : NULL;
}

const struct ml_work *ml_script_find_work(const struct ml_script *script, enum ml_work_kind kind,
                                          struct ml_slice instance, struct ml_slice name)
{
    for (size_t i = 0; i < ml_script_work_count(script); i++) {
        const struct ml_work *work = &script->works->entries[i]->work;

        if (work->kind == kind && ml_slice_equal(work->name, name) &&
            (!instance.len || ml_slice_equal(work->instance, instance)))
            return work;
    }
    return NULL;
}

/* The next part of a path, without its "/". */
static struct ml_slice next_part(struct ml_slice *path)
{
    struct ml_slice part;
    const uint8_t *end;

    if (path->len && path->ptr[0] == '/')
        *path = ml_slice_make(path->ptr + 1, path->len - 1);
    end = path->len ? memchr(path->ptr, '/', path->len) : NULL;
    part = ml_slice_make(path->ptr, end ? (size_t)(end - path->ptr) : path->len);
    *path = ml_slice_make(path->ptr + part.len, path->len - part.len);
    return part;
}

static bool fits(struct ml_slice pattern, struct ml_slice path, struct ml_script_pair *params,
                 size_t *count)
{
    *count = 0;
    while (pattern.len || path.len) {
        struct ml_slice want = next_part(&pattern), have = next_part(&path);

        if (want.len && want.ptr[0] == ':') {
            if (!have.len || *count == ML_WORK_PARAMS_MAX)
                return false;
            params[(*count)++] =
                (struct ml_script_pair){ml_slice_make(want.ptr + 1, want.len - 1), have};
        } else if (!ml_slice_equal(want, have)) {
            return false;
        }
    }
    return true;
}

const struct ml_work *ml_script_find_route(const struct ml_script *script, struct ml_slice instance,
                                           struct ml_slice method, struct ml_slice path,
                                           struct ml_script_pair *params, size_t *param_count_out)
{
    const struct ml_work *best = NULL;

    for (size_t i = 0; i < ml_script_work_count(script); i++) {
        const struct ml_work *work = &script->works->entries[i]->work;
        struct ml_script_pair found[ML_WORK_PARAMS_MAX];
        const uint8_t *space;
        size_t count;

        if (work->kind != ML_WORK_ROUTE || !ml_slice_equal(work->instance, instance))
            continue;
        space = memchr(work->name.ptr, ' ', work->name.len);
        if (!space ||
            !ml_slice_equal(ml_slice_make(work->name.ptr, (size_t)(space - work->name.ptr)),
                            method) ||
            !fits(ml_slice_make(space + 1, work->name.len - (size_t)(space + 1 - work->name.ptr)),
                  path, found, &count))
            continue;
        if (best && *param_count_out <= count) /* a written part goes before a `:name` */
            continue;
        best = work;
        memcpy(params, found, sizeof(found));
        *param_count_out = count;
    }
    return best;
}

bool ml_work_is_up(const struct ml_work *work)
{
    return ml_plugin_is_up(entry_of(work)->plugin);
}

/* ---- Cron ------------------------------------------------------------------------------------ */

struct next_run {
    const struct entry *entry;
    double after_ms, next_ms;
};

static void find_next(lua_State *L, void *arg)
{
    struct next_run *next = arg;

    ml_shipped_require(L, "moonloom.work");
    lua_getfield(L, -1, "cron_next");
    lua_rawgeti(L, LUA_REGISTRYINDEX, next->entry->options_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, next->entry->plugin->self_ref);
    lua_getfield(L, -1, "config");
    lua_remove(L, -2);
    lua_pushnumber(L, next->after_ms);
    lua_call(L, 3, 1);
    next->next_ms = lua_tonumber(L, -1);
}

int64_t ml_script_cron_next(struct ml_script *script, const struct ml_work *work, int64_t after_ms)
{
    struct next_run next = {entry_of(work), (double)after_ms, 0};

    if (!script->L || ml_script_protect(script, 0, find_next, &next, ML_LOAD_US))
        return 0;
    return (int64_t)next.next_ms;
}

/* ---- Doing it -------------------------------------------------------------------------------- */

struct doing {
    struct entry *entry;
    const struct ml_work_input *input;
    ml_work_done done;
    void *arg;
    struct ml_script *script;
    struct ml_arena arena; /* of the output */
    struct ml_work_output output;
};

static void set_slice(lua_State *L, const char *name, struct ml_slice text)
{
    if (!text.ptr)
        return;
    lua_pushlstring(L, (const char *)text.ptr, text.len);
    lua_setfield(L, -2, name);
}

static void push_identity(lua_State *L, const struct ml_script_identity *identity)
{
    if (!identity) {
        lua_pushnil(L);
        return;
    }
    lua_createtable(L, 0, 5);
    set_slice(L, "user", identity->user);
    set_slice(L, "name", identity->name);
    set_slice(L, "kind", identity->kind);
    set_slice(L, "session", identity->session);
    lua_createtable(L, (int)identity->role_count, 0);
    for (size_t i = 0; i < identity->role_count; i++) {
        lua_pushlstring(L, (const char *)identity->roles[i].ptr, identity->roles[i].len);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "roles");
}

static void push_pairs(lua_State *L, const struct ml_script_pair *pairs, size_t count, bool lower)
{
    lua_createtable(L, 0, (int)count);
    for (size_t i = 0; i < count; i++) {
        char name[128];
        size_t len = pairs[i].name.len < sizeof(name) ? pairs[i].name.len : sizeof(name);

        for (size_t j = 0; j < len; j++)
            name[j] = (char)(lower && pairs[i].name.ptr[j] >= 'A' && pairs[i].name.ptr[j] <= 'Z'
                                 ? pairs[i].name.ptr[j] + 32
                                 : pairs[i].name.ptr[j]);
        lua_pushlstring(L, name, len);
        lua_pushlstring(L, (const char *)pairs[i].value.ptr, pairs[i].value.len);
        lua_rawset(L, -3);
    }
}

static void push_request(lua_State *L, const struct ml_script_request *request)
{
    lua_createtable(L, 0, 8);
    set_slice(L, "method", request->method);
    set_slice(L, "path", request->path);
    set_slice(L, "ip", request->ip);
    set_slice(L, "host", request->host);
    set_slice(L, "origin", request->origin);
    push_pairs(L, request->headers, request->header_count, true);
    lua_setfield(L, -2, "headers");
    push_pairs(L, request->query, request->query_count, false);
    lua_setfield(L, -2, "query");
    push_pairs(L, request->cookies, request->cookie_count, false);
    lua_setfield(L, -2, "cookies");
}

/* fn, self, args, job */
static void push_job(lua_State *L, const struct doing *doing)
{
    const struct ml_work_input *input = doing->input;

    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->plugin->self_ref);
    ml_json_push(L, input->args_json);
    if (ml_lua_is_json_null(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    lua_createtable(L, 0, 3);
    set_slice(L, "id", input->id);
    lua_pushinteger(L, (lua_Integer)input->try);
    lua_setfield(L, -2, "try");
    lua_pushnumber(L, (double)input->at_ms / 1000);
    lua_setfield(L, -2, "queued_at");
}

/* fn, self, run */
static void push_run(lua_State *L, const struct doing *doing)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->plugin->self_ref);
    lua_createtable(L, 0, 1);
    lua_pushnumber(L, (double)doing->input->at_ms / 1000);
    lua_setfield(L, -2, "at");
}

/* fn, self, doc, args */
static void push_task(lua_State *L, const struct doing *doing)
{
    const struct ml_work_input *input = doing->input;
    const struct ml_plugin *plugin = doing->entry->plugin;
    const struct ml_script_ref ref = {input->at->org, input->at->document};
    const struct doc_subject subject = {ref, input->at->doc, input->at->port,
                                        plugin->is_shadow ? NULL : plugin->name};

    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->self_ref);
    /* Views are alive from here on. */
    ml_views_push(ml_script_of(L), VIEW_REF, &ref, NULL);
    lua_pop(L, 1);
    ml_view_push_doc_at(L, &subject);
    ml_json_push(L, input->args_json);
    if (ml_lua_is_json_null(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
}

static void push_grant(lua_State *L, const struct ml_script_grant *grant)
{
    const struct {
        const char *name;
        bool is_given;
    } rights[] = {{"read", grant->read},         {"write", grant->write},
                  {"presence", grant->presence}, {"messages", grant->messages},
                  {"history", grant->history},   {"everywhere", grant->everywhere}};

    lua_createtable(L, 0, 6);
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        lua_pushboolean(L, rights[i].is_given);
        lua_setfield(L, -2, rights[i].name);
    }
}

/* The view of the document; alive from here until the call first waits. */
static void push_lent(lua_State *L, const struct doing *doing)
{
    const struct ml_work_input *input = doing->input;
    const struct ml_plugin *plugin = doing->entry->plugin;
    const struct ml_script_ref ref = {input->org, input->document};
    const struct doc_subject subject = {ref, input->doc, input->port,
                                        plugin->is_shadow ? NULL : plugin->name};

    ml_views_push(ml_script_of(L), VIEW_REF, &ref, NULL);
    lua_pop(L, 1);
    ml_view_push_doc_at(L, &subject);
}

static void push_glue(lua_State *L, const char *name, const struct doing *doing)
{
    ml_shipped_require(L, "moonloom.work");
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->plugin->self_ref);
}

/* work.rpc, fn, self, fields, facts, guard, null, json */
static void push_rpc(lua_State *L, const struct doing *doing)
{
    const struct ml_work_input *input = doing->input;

    push_glue(L, "rpc", doing);
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->options_ref);
    lua_getfield(L, -1, "args");
    lua_remove(L, -2);
    lua_createtable(L, 0, 4);
    if (input->args_json.len)
        set_slice(L, "args_json", input->args_json);
    push_identity(L, input->identity);
    lua_setfield(L, -2, "identity");
    set_slice(L, "session", input->session);
    set_slice(L, "document", input->document);
    if (input->grant) {
        push_grant(L, input->grant);
        lua_setfield(L, -2, "grant");
    }
    if (input->doc) {
        push_lent(L, doing);
        lua_setfield(L, -2, "doc");
    }
    ml_api_push_guard(L);
    ml_json_null(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->plugin->library_ref);
    lua_getfield(L, -1, "json");
    lua_remove(L, -2);
}

/* work.route, fn, self, facts, json */
static void push_route(lua_State *L, const struct doing *doing)
{
    const struct ml_work_input *input = doing->input;

    push_glue(L, "route", doing);
    lua_createtable(L, 0, 4);
    push_request(L, input->request);
    lua_setfield(L, -2, "request");
    push_pairs(L, input->params, input->param_count, false);
    lua_setfield(L, -2, "params");
    lua_pushlstring(L, input->body.len ? (const char *)input->body.ptr : "", input->body.len);
    lua_setfield(L, -2, "body");
    push_identity(L, input->identity);
    lua_setfield(L, -2, "identity");
    lua_rawgeti(L, LUA_REGISTRYINDEX, doing->entry->plugin->library_ref);
    lua_getfield(L, -1, "json");
    lua_remove(L, -2);
}

static void push(lua_State *L, void *arg)
{
    const struct doing *doing = arg;

    switch (doing->entry->work.kind) {
    case ML_WORK_RPC:
        push_rpc(L, doing);
        return;
    case ML_WORK_ROUTE:
        push_route(L, doing);
        return;
    case ML_WORK_JOB:
        push_job(L, doing);
        return;
    case ML_WORK_TASK:
        push_task(L, doing);
        return;
    case ML_WORK_CRON:
    case ML_WORK_KINDS:
        push_run(L, doing);
    }
}

/* ---- What came of it ------------------------------------------------------------------------- */

static struct ml_slice text_or_none(lua_State *L, struct ml_arena *arena, int index)
{
    return lua_type(L, index) == LUA_TSTRING ? ml_answer_keep(L, arena, index)
                                             : ml_slice_make(NULL, 0);
}

static void decode_job(lua_State *L, struct doing *doing)
{
    enum ml_answer_kind kind = ml_api_answer_kind(L, 1);
    bool is_hook = doing->entry->work.name.ptr[0] == '@';

    if (is_hook && kind != ML_ANSWER_RETRY)
        return; /* it was told: what it answers does not matter */
    if (kind != ML_ANSWER_RETRY && kind != ML_ANSWER_DEAD)
        luaL_error(L, "a job answers nil, ml.retry or ml.dead, not a %s", luaL_typename(L, 1));
    doing->output.end = kind == ML_ANSWER_RETRY ? ML_WORK_AGAIN : ML_WORK_GIVEN_UP;
    lua_getfield(L, 1, "why");
    doing->output.text = text_or_none(L, &doing->arena, -1);
    lua_getfield(L, 1, "after");
    if (lua_type(L, -1) == LUA_TNUMBER)
        doing->output.after_ms = (uint64_t)ceil(lua_tonumber(L, -1) * 1000);
}

static void decode_rpc(lua_State *L, struct doing *doing)
{
    struct ml_denial_text to = {doing->entry->plugin, &doing->arena, &doing->output.denial};

    if (ml_api_answer_kind(L, 1) == ML_ANSWER_DENY) {
        ml_answer_denial(L, 1, &to);
        doing->output.end = ML_WORK_DENIED;
    } else if (lua_isnil(L, 1)) {
        doing->output.end = ML_WORK_REFUSED;
        doing->output.kind = text_or_none(L, &doing->arena, 2);
        doing->output.text = text_or_none(L, &doing->arena, 3);
    } else {
        ml_json_text(L, 1);
        doing->output.value = ml_answer_keep(L, &doing->arena, -1);
    }
}

static void decode_route(lua_State *L, struct doing *doing)
{
    size_t n = lua_istable(L, 2) ? lua_objlen(L, 2) / 2 : 0;
    struct ml_script_pair *headers =
        ml_arena_array(&doing->arena, n ? n : 1, sizeof(struct ml_script_pair));

    if (!headers || n > HEADERS_MAX + 1)
        luaL_error(L, "no room for the answer");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (int)i * 2 + 1);
        lua_rawgeti(L, 2, (int)i * 2 + 2);
        headers[i].name = ml_answer_keep(L, &doing->arena, -2);
        headers[i].value = ml_answer_keep(L, &doing->arena, -1);
        lua_pop(L, 2);
    }
    doing->output.status = (uint32_t)lua_tonumber(L, 1);
    doing->output.headers = headers;
    doing->output.header_count = n;
    doing->output.value = ml_answer_keep(L, &doing->arena, 3);
}

static void decode(lua_State *L, void *arg)
{
    struct doing *doing = arg;

    switch (doing->entry->work.kind) {
    case ML_WORK_RPC:
    case ML_WORK_TASK:
        decode_rpc(L, doing);
        return;
    case ML_WORK_ROUTE:
        decode_route(L, doing);
        return;
    case ML_WORK_JOB:
        decode_job(L, doing);
        return;
    case ML_WORK_CRON:
    case ML_WORK_KINDS:
        return;
    }
}

static void finish(struct doing *doing)
{
    doing->done(doing->arg, &doing->output);
    ml_arena_release(&doing->arena);
    free(doing);
}

static void fail(struct doing *doing)
{
    doing->output = (struct ml_work_output){.end = ML_WORK_FAILED};
    doing->output.text = ml_arena_copy(&doing->arena, ml_slice_str(doing->script->fault.text));
}

static bool is_asked(const struct doing *doing)
{
    return doing->entry->work.kind == ML_WORK_RPC || doing->entry->work.kind == ML_WORK_TASK;
}

static void on_over(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    struct doing *doing = arg;

    doing->output.end = ML_WORK_DONE;
    if (is_asked(doing) && outcome == OUTCOME_NIL)
        doing->output.value = ML_SLICE("null");
    if (outcome == OUTCOME_ANSWER &&
        ml_script_protect(script, 3, decode, doing, ML_CPU_BETWEEN_WAITS))
        outcome = OUTCOME_FAILED;
    script->question = (struct ml_question){0}; /* a denial stands in our arena, which goes */
    if (outcome == OUTCOME_FAILED) {
        fail(doing);
        if (script->L && script->fault.kind != ML_FAULT_NONE)
            ml_ask_failed(script, doing->entry->plugin, &doing->entry->breaker, doing->entry->what);
    } else {
        ml_ask_succeeded(script, &doing->entry->breaker);
    }
    finish(doing);
}

uint64_t ml_script_do(struct ml_script *script, const struct ml_work *work,
                      const struct ml_work_input *input, ml_work_done done, void *arg)
{
    struct entry *entry = entry_of(work);
    struct doing *doing = calloc(1, sizeof(*doing));
    struct ml_run run;

    if (!doing) {
        done(arg, &(struct ml_work_output){.end = ML_WORK_FAILED});
        return 0;
    }
    *doing =
        (struct doing){.entry = entry, .input = input, .done = done, .arg = arg, .script = script};
    ml_arena_init(&doing->arena, DONE_ARENA);
    if (!ml_plugin_is_up(entry->plugin) || ml_ask_is_open(script, &entry->breaker)) {
        doing->output = (struct ml_work_output){
            .end = ML_WORK_FAILED,
            .text = ml_plugin_is_up(entry->plugin)
                        ? ML_SLICE("it failed too often; waiting before the next try")
                        : ML_SLICE("the plugin is not up: its setup waits or has failed")};
        finish(doing);
        return 0;
    }
    script->stats.calls++;
    run = (struct ml_run){
        .what = entry->what,
        .plugin = entry->plugin,
        .soft_ms = deadlines[work->kind].soft_ms,
        .hard_ms = work->kind == ML_WORK_JOB ? work->timeout_ms : deadlines[work->kind].hard_ms,
        .done = on_over,
        .arg = doing,
    };
    return ml_call_start(script, &run, push, doing);
}
