/* SPDX-License-Identifier: MIT */
/*
 * Plugins of a t.app: questions that became events are answered by the spec (app:resume), and what
 * net asks plugins in a server is asked here by hand (app:authorize).
 */
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

/* app:authorize({ action, org, doc_id }, { user, roles, … } | nil)
 *   -> nil: nobody has the hook | { given = …, read = … } | { denied = "denied"|"failed", code = …
 * } */
static int app_authorize(lua_State *L)
{
    struct ml_app *app = ml_app_check(L);
    struct ml_slice roles[ROLES_MAX];
    struct ml_script_identity identity = {0};
    struct ml_script_ask ask = {.action = field_of(L, 2, "action"),
                                .org = field_of(L, 2, "org"),
                                .document = field_of(L, 2, "doc_id")};
    struct ml_script_grant grant;
    struct ml_script *script;
    struct ml_denial denial;
    enum ml_err err;

    script = ml_app_script(app, ask.document);
    if (!script || !(ml_script_hooks(script) & ML_HOOK_AUTHORIZE))
        return 0;
    if (lua_istable(L, 3)) {
        identity.user = field_of(L, 3, "user");
        identity.name = field_of(L, 3, "name");
        identity.session = field_of(L, 3, "session");
        identity.kind = field_of(L, 3, "kind");
        lua_getfield(L, 3, "roles");
        for (int i = 1; lua_istable(L, -1) && i <= (int)lua_objlen(L, -1) && i <= ROLES_MAX; i++) {
            size_t len;
            const char *text;

            lua_rawgeti(L, -1, i);
            text = luaL_checklstring(L, -1, &len);
            roles[identity.role_count++] = ml_slice_make(text, len);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        identity.roles = roles;
        ask.identity = &identity;
    }
    err = ml_script_authorize(script, &ask, &app->scratch, &grant, &denial);
    lua_newtable(L);
    if (err) {
        lua_pushstring(L, err == ML_EDENIED ? "denied" : "failed");
        lua_setfield(L, -2, "denied");
        if (err == ML_EDENIED) {
            lua_pushlstring(L, (const char *)denial.code.ptr, denial.code.len);
            lua_setfield(L, -2, "code");
        }
    } else {
        lua_pushboolean(L, grant.given);
        lua_setfield(L, -2, "given");
        lua_pushboolean(L, grant.given && grant.read);
        lua_setfield(L, -2, "read");
        lua_pushboolean(L, grant.given && grant.write);
        lua_setfield(L, -2, "write");
        lua_pushboolean(L, grant.given && grant.presence);
        lua_setfield(L, -2, "presence");
        lua_pushboolean(L, grant.given && grant.messages);
        lua_setfield(L, -2, "messages");
        lua_pushboolean(L, grant.given && grant.history);
        lua_setfield(L, -2, "history");
    }
    ml_arena_reset(&app->scratch);
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

const luaL_Reg ml_app_script_methods[] = {{"resume", app_resume},
                                          {"authorize", app_authorize},
                                          {"probe", app_probe},
                                          {"fault", app_fault},
                                          {NULL, NULL}};
