/* SPDX-License-Identifier: MIT */
/*
 * Work of a t.app's plugins: jobs, cron, rpc, routes are listed and begun here; when, and what
 * becomes of them, is the spec's side (lua/moonloom/test/outside.lua), as it is the server's in a
 * process.
 */
#include <stdlib.h>
#include <string.h>

#include "bind/bind_app.h"

#define PAIRS_MAX 64
#define ROLES_MAX 32

static const char *const kind_names[ML_WORK_KINDS] = {[ML_WORK_RPC] = "rpc",
                                                      [ML_WORK_ROUTE] = "route",
                                                      [ML_WORK_JOB] = "job",
                                                      [ML_WORK_CRON] = "cron",
                                                      [ML_WORK_TASK] = "task"};

struct work {
    struct ml_app *app;
    double id;
};

static struct ml_slice slice_at(lua_State *L, int index)
{
    size_t len;
    const char *text = luaL_optlstring(L, index, "", &len);

    return ml_slice_make(text, len);
}

static struct ml_slice field_of(lua_State *L, int index, const char *name)
{
    struct ml_slice out = {0};
    size_t len;
    const char *text;

    lua_getfield(L, index, name);
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (text)
        out = ml_slice_make(text, len);
    lua_pop(L, 1);
    return out;
}

static double number_of(lua_State *L, int index, const char *name)
{
    double out;

    lua_getfield(L, index, name);
    out = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return out;
}

/* Names and texts of a table; they live as long as it. */
static size_t pairs_of(lua_State *L, int index, const char *name, struct ml_script_pair *out)
{
    size_t n = 0;

    lua_getfield(L, index, name);
    for (lua_pushnil(L); lua_istable(L, -2) && lua_next(L, -2); lua_pop(L, 1)) {
        if (n == PAIRS_MAX || lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            continue;
        out[n++] = (struct ml_script_pair){slice_at(L, -2), slice_at(L, -1)};
    }
    lua_pop(L, 1);
    return n;
}

static size_t roles_of(lua_State *L, int index, struct ml_slice *out)
{
    size_t n = 0;

    lua_getfield(L, index, "roles");
    for (int i = 1; lua_istable(L, -1) && i <= (int)lua_objlen(L, -1) && n < ROLES_MAX; i++) {
        lua_rawgeti(L, -1, i);
        out[n++] = slice_at(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return n;
}

/* ---- What there is --------------------------------------------------------------------------- */

static void put_flag(struct ml_app *app, const char *name, bool flag)
{
    lua_pushboolean(app->L, flag);
    lua_setfield(app->L, -2, name);
}

static void put_work(struct ml_app *app, const struct ml_work *work)
{
    lua_State *L = app->L;

    lua_newtable(L);
    ml_app_put(app, "kind", ml_slice_str(kind_names[work->kind]));
    ml_app_put(app, "instance", work->instance);
    ml_app_put(app, "name", work->name);
    ml_app_put_number(app, "retries", work->retries);
    ml_app_put_number(app, "backoff_first_ms", (double)work->backoff_first_ms);
    ml_app_put_number(app, "backoff_last_ms", (double)work->backoff_last_ms);
    put_flag(app, "is_public", work->is_public);
    put_flag(app, "wants_doc", work->wants_doc);
    lua_createtable(L, (int)work->role_count, 0);
    for (size_t i = 0; i < work->role_count; i++) {
        lua_pushlstring(L, (const char *)work->roles[i].ptr, work->roles[i].len);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "roles");
}

/* app:work() -> { { kind, instance, name, roles, … }, … } */
static int app_work(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct ml_script *script = ml_app_script(app, ML_SLICE(""));

    lua_newtable(L);
    for (size_t i = 0, n = script ? ml_script_work_count(script) : 0; i < n; i++) {
        put_work(app, ml_script_work(script, i));
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static const struct ml_work *find(lua_State *L, struct ml_script *script, int at)
{
    static const char *const kinds[] = {"rpc", "route", "job", "cron", NULL};
    static const enum ml_work_kind values[] = {ML_WORK_RPC, ML_WORK_ROUTE, ML_WORK_JOB,
                                               ML_WORK_CRON};
    const struct ml_work *work = NULL;

    if (script)
        work = ml_script_find_work(script, values[luaL_checkoption(L, at, NULL, kinds)],
                                   slice_at(L, at + 1), slice_at(L, at + 2));
    return work;
}

/* app:cron_next(instance, name, after_ms) -> ms; 0: never */
static int app_cron_next(lua_State *L)
{
    const struct ml_app *app = ml_app_check(L);
    struct ml_script *script = ml_app_script(app, ML_SLICE(""));
    const struct ml_work *work =
        script ? ml_script_find_work(script, ML_WORK_CRON, slice_at(L, 2), slice_at(L, 3)) : NULL;
    int64_t after_ms = (int64_t)luaL_checknumber(L, 4);

    lua_pushnumber(L, work ? (double)ml_script_cron_next(script, work, after_ms) : 0);
    return 1;
}

/* app:find_route(instance, method, path) -> work, { name = text } | nil */
static int app_find_route(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct ml_script *script = ml_app_script(app, ML_SLICE(""));
    struct ml_script_pair params[ML_WORK_PARAMS_MAX];
    const struct ml_work *work = NULL;
    size_t n = 0;

    if (script)
        work = ml_script_find_route(script, slice_at(L, 2), slice_at(L, 3), slice_at(L, 4), params,
                                    &n);
    if (!work)
        return 0;
    put_work(app, work);
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        lua_pushlstring(L, (const char *)params[i].name.ptr, params[i].name.len);
        lua_pushlstring(L, (const char *)params[i].value.ptr, params[i].value.len);
        lua_rawset(L, -3);
    }
    return 2;
}

/* ---- Doing it -------------------------------------------------------------------------------- */

static void on_done(void *arg, const struct ml_work_output *output)
{
    static const char *const ends[] = {
        [ML_WORK_DONE] = "done",   [ML_WORK_DENIED] = "denied", [ML_WORK_REFUSED] = "refused",
        [ML_WORK_AGAIN] = "again", [ML_WORK_GIVEN_UP] = "dead", [ML_WORK_FAILED] = "failed"};
    struct work *w = arg;
    struct ml_app *app = w->app;

    if (app->rooms) {
        ml_app_event(app, "ended");
        ml_app_put_number(app, "id", w->id);
        ml_app_put(app, "how", ml_slice_str(ends[output->end]));
        ml_app_put(app, "code", output->denial.code);
        ml_app_put(app, "reason", output->denial.reason);
        ml_app_put(app, "err", output->kind);
        ml_app_put(app, "text", output->text);
        ml_app_put(app, "value", output->value);
        ml_app_put_number(app, "after_ms", (double)output->after_ms);
        ml_app_put_number(app, "status", output->status ? output->status : output->denial.status);
        lua_newtable(app->L);
        for (size_t i = 0; i < output->header_count; i++) {
            const struct ml_script_pair *pair = &output->headers[i];

            lua_pushlstring(app->L, (const char *)pair->name.ptr, pair->name.len);
            lua_pushlstring(app->L, (const char *)pair->value.ptr, pair->value.len);
            lua_rawset(app->L, -3);
        }
        lua_setfield(app->L, -2, "headers");
        ml_app_post(app);
    }
    free(w);
}

/* app:start(id, kind, instance, name, input) -> is there such work? "ended" tells how it went */
static int app_start(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct ml_script *script;
    const struct ml_work *work;
    struct ml_script_pair headers[PAIRS_MAX], query[PAIRS_MAX], cookies[PAIRS_MAX];
    struct ml_script_pair params[PAIRS_MAX];
    struct ml_slice roles[ROLES_MAX];
    struct ml_script_identity identity = {0};
    struct ml_script_request request = {0};
    struct ml_work_input input = {0};
    struct work *w;

    luaL_checktype(L, 6, LUA_TTABLE);
    script = ml_app_script(app, field_of(L, 6, "document"));
    work = find(L, script, 3);
    if (!work) {
        lua_pushboolean(L, 0);
        return 1;
    }
    input.args_json = field_of(L, 6, "args");
    input.id = field_of(L, 6, "id");
    input.try = (uint32_t)number_of(L, 6, "try");
    input.at_ms = (int64_t)number_of(L, 6, "at_ms");
    input.document = field_of(L, 6, "document");
    input.session = field_of(L, 6, "session");
    input.body = field_of(L, 6, "body");
    lua_getfield(L, 6, "identity");
    if (lua_istable(L, -1)) {
        int at = lua_gettop(L);

        identity.user = field_of(L, at, "user");
        identity.name = field_of(L, at, "name");
        identity.session = field_of(L, at, "session");
        identity.kind = field_of(L, at, "kind");
        identity.role_count = roles_of(L, at, roles);
        identity.roles = roles;
        input.identity = &identity;
    }
    if (work->kind == ML_WORK_ROUTE) {
        request.method = field_of(L, 6, "method");
        request.path = field_of(L, 6, "path");
        request.ip = ML_SLICE("127.0.0.1");
        request.host = ML_SLICE("localhost");
        request.headers = headers;
        request.header_count = pairs_of(L, 6, "headers", headers);
        request.query = query;
        request.query_count = pairs_of(L, 6, "query", query);
        request.cookies = cookies;
        request.cookie_count = pairs_of(L, 6, "cookies", cookies);
        input.request = &request;
        input.params = params;
        input.param_count = pairs_of(L, 6, "params", params);
    }
    w = calloc(1, sizeof *w);
    if (!w)
        return luaL_error(L, "out of memory");
    w->app = app;
    w->id = luaL_checknumber(L, 2);
    (void)ml_script_do(script, work, &input, on_done, w);
    lua_pushboolean(L, 1);
    return 1;
}

const luaL_Reg ml_app_work_methods[] = {{"work", app_work},
                                        {"cron_next", app_cron_next},
                                        {"find_route", app_find_route},
                                        {"start", app_start},
                                        {NULL, NULL}};
