/* SPDX-License-Identifier: MIT */
/*
 * Plugins of a t.app: questions that became events are answered by the spec (app:resume), and what
 * net asks plugins in a server is asked here by hand (app:authorize).
 */
#include <stdlib.h>
#include <string.h>

#include "bind/bind_app.h"

#define ROLES_MAX 32
#define ITEMS_MAX 4096
#define PROBE_MS  2000

/* ---- Answers of the spec ----------------------------------------------------------------------
 */

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

static enum ml_err err_named(struct ml_slice name)
{
    if (!name.ptr)
        return ML_OK;
    for (int err = 1; err <= ML_ESCRIPT; err++)
        if (ml_slice_equal(ml_slice_str(ml_err_name((enum ml_err)err)), name))
            return (enum ml_err)err;
    return ML_EIO;
}

/* app:resume(ticket, { err, text, value, number, items = { { key, value, number, rev }, … } }) */
static int app_resume(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct ml_script_answer answer = {0};
    struct ml_script_item *items = NULL;
    size_t n;

    luaL_checktype(L, 3, LUA_TTABLE);
    answer.err = err_named(field_of(L, 3, "err"));
    answer.text = field_of(L, 3, "text");
    answer.value = field_of(L, 3, "value");
    answer.number = (uint64_t)number_of(L, 3, "number");
    lua_getfield(L, 3, "items");
    n = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    if (n > ITEMS_MAX)
        return luaL_error(L, "too many items");
    if (n)
        items = lua_newuserdata(L, n * sizeof *items);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (int)i + 1);
        items[i] = (struct ml_script_item){.kind = ML_ITEM_FIELD,
                                           .key = field_of(L, lua_gettop(L), "key"),
                                           .value = field_of(L, lua_gettop(L), "value"),
                                           .rev = (uint64_t)number_of(L, lua_gettop(L), "rev"),
                                           .number = number_of(L, lua_gettop(L), "number")};
        lua_pop(L, 1);
    }
    answer.items = items;
    answer.item_count = n;
    ml_app_resume(app, (uint64_t)luaL_checknumber(L, 2), &answer);
    return 0;
}

/* ---- What net asks --------------------------------------------------------------------------- */

/* The names in the list at field `name`. */
static void add_names(lua_State *L, int index, const char *name, char list[512])
{
    lua_getfield(L, index, name);
    for (int i = 1, n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0; i <= n; i++) {
        size_t len;
        const char *text;

        lua_rawgeti(L, -1, i);
        text = lua_tolstring(L, -1, &len);
        if (text)
            ml_identity_add(list, ml_slice_make(text, len));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void ml_app_identity(lua_State *L, int index, struct ml_identity *out)
{
    struct ml_slice kind = field_of(L, index, "kind");

    ml_identity_make(out, field_of(L, index, "user"), field_of(L, index, "name"), 0);
    add_names(L, index, "roles", out->roles);
    add_names(L, index, "groups", out->groups);
    if (kind.len && kind.len < sizeof out->kind)
        memcpy(out->kind, kind.ptr, kind.len);
}

/* One question at a time; it may wait for something that the spec answers. */
struct ml_app_asking {
    struct ml_arena arena;
    struct ml_script_identity identity;
    struct ml_script_ask ask;
    struct ml_access *access;
    struct ml_access_answer answer;
    bool is_over;
};

void ml_app_forget(struct ml_app *app)
{
    struct ml_app_asking *asking = app->authorizing;

    app->authorizing = NULL;
    if (!asking)
        return;
    ml_access_drop(asking->access);
    ml_arena_release(&asking->arena);
    free(asking);
}

static void on_authorized(void *arg, const struct ml_access_answer *answer)
{
    struct ml_app_asking *asking = arg;

    asking->answer = *answer;
    asking->access = NULL;
    asking->is_over = true;
}

static struct ml_slice keep(struct ml_app_asking *asking, struct ml_slice text)
{
    return text.ptr ? ml_arena_copy(&asking->arena, text) : text;
}

static size_t keep_names(lua_State *L, int index, const char *field, struct ml_app_asking *asking,
                         const struct ml_slice **out)
{
    struct ml_slice *names = ml_arena_array(&asking->arena, ROLES_MAX, sizeof *names);
    size_t count = 0;

    lua_getfield(L, index, field);
    for (int i = 1; names && lua_istable(L, -1) && i <= (int)lua_objlen(L, -1) && i <= ROLES_MAX;
         i++) {
        size_t len;
        const char *text;

        lua_rawgeti(L, -1, i);
        text = lua_tolstring(L, -1, &len);
        if (text)
            names[count++] = keep(asking, ml_slice_make(text, len));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    *out = names;
    return count;
}

/* app:authorize({ action, org, doc_id }, { user, roles, … } | nil) -> does anybody have the hook?
 * What came out says app:authorized. */
static int app_authorize(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct ml_script *script = ml_app_script(app, field_of(L, 2, "doc_id"));
    struct ml_app_asking *asking;

    ml_app_forget(app);
    if (!script || !(ml_script_hooks(script) & ML_HOOK_AUTHORIZE))
        return 0;
    asking = calloc(1, sizeof *asking);
    if (!asking)
        return luaL_error(L, "out of memory");
    app->authorizing = asking;
    ml_arena_init(&asking->arena, 1u << 20);
    asking->ask = (struct ml_script_ask){.action = keep(asking, field_of(L, 2, "action")),
                                         .org = keep(asking, field_of(L, 2, "org")),
                                         .document = keep(asking, field_of(L, 2, "doc_id"))};
    if (lua_istable(L, 3)) {
        struct ml_script_identity *identity = &asking->identity;

        identity->user = keep(asking, field_of(L, 3, "user"));
        identity->name = keep(asking, field_of(L, 3, "name"));
        identity->session = keep(asking, field_of(L, 3, "session"));
        identity->kind = keep(asking, field_of(L, 3, "kind"));
        identity->role_count = keep_names(L, 3, "roles", asking, &identity->roles);
        identity->group_count = keep_names(L, 3, "groups", asking, &identity->groups);
        asking->ask.identity = identity;
    }
    asking->access =
        ml_script_authorize(script, &asking->ask, &asking->arena, on_authorized, asking);
    lua_pushboolean(L, 1);
    return 1;
}

/* app:authorized() -> nil: it waits | { given = …, read = … } | { denied = "denied"|"failed", code
 * = … } */
static int app_authorized(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    const struct ml_app_asking *asking = app->authorizing;
    const struct ml_script_grant *grant;

    if (!asking || !asking->is_over)
        return 0;
    grant = &asking->answer.grant;
    lua_newtable(L);
    if (asking->answer.err) {
        lua_pushstring(L, asking->answer.err == ML_EDENIED ? "denied" : "failed");
        lua_setfield(L, -2, "denied");
        if (asking->answer.err == ML_EDENIED) {
            const struct ml_slice code = asking->answer.denial.code;

            lua_pushlstring(L, (const char *)code.ptr, code.len);
            lua_setfield(L, -2, "code");
        }
    } else {
        const struct {
            const char *name;
            bool is_given;
        } rights[] = {{"read", grant->read},
                      {"write", grant->write},
                      {"presence", grant->presence},
                      {"messages", grant->messages},
                      {"history", grant->history}};

        lua_pushboolean(L, grant->given);
        lua_setfield(L, -2, "given");
        for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
            lua_pushboolean(L, grant->given && rights[i].is_given);
            lua_setfield(L, -2, rights[i].name);
        }
    }
    ml_app_forget(app);
    return 1;
}

/* app:probe(code, request) -> result | nil, what went wrong: beside the first plugin */
static int app_probe(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    size_t len;
    const char *code = luaL_checklstring(L, 2, &len);

    luaL_checktype(L, 3, LUA_TTABLE);
    if (!app->cells)
        return luaL_error(L, "this app has no plugins");
    lua_settop(L, 3);
    if (ml_script_probe(ml_app_script(app, ML_SLICE("")), ml_slice_make(code, len), L,
                        PROBE_MS * 1000)) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    return 1;
}

/* app:fault(plugin, hook, text | nil)   [may raise] */
static int app_fault(lua_State *L)
{
    const struct ml_app *app = ml_app_check(L);
    struct ml_slice parts[3] = {0};
    enum ml_err err = ML_ENOTFOUND;

    for (int i = 0; i < 3; i++) {
        size_t len;
        const char *text = i < 2 ? luaL_checklstring(L, i + 2, &len) : NULL;

        if (i == 2 && !lua_isnoneornil(L, 4))
            text = luaL_checklstring(L, 4, &len);
        if (text)
            parts[i] = ml_slice_make(text, len);
    }
    if (app->cells)
        err = ml_script_break(ml_app_script(app, ML_SLICE("")), parts[0], parts[1], parts[2]);
    if (err)
        return luaL_error(L, "app:fault: %s has no hook %s here", lua_tostring(L, 2),
                          lua_tostring(L, 3));
    return 0;
}

const luaL_Reg ml_app_script_methods[] = {
    {"resume", app_resume}, {"authorize", app_authorize}, {"authorized", app_authorized},
    {"probe", app_probe},   {"fault", app_fault},         {NULL, NULL}};
