/*
 * Views: what a hook is lent for one call (plugin-api 9).
 *
 *   u ---- author, member, doc ---- text handle            one userdata per kind and state, reused;
 *   |                                                      handles and loops over edits get their
 * own
 *   +-- edits() ---- e
 *
 *  [V1] A view holds pointers into the caller's memory, valid for the call that pushed it. Every
 *       access compares the view's generation with that of the running call; afterwards it raises
 *       "view expired". The number only grows, so a kept view is never mistaken for a new one,
 * except the argument of the same hook in a later call, which is that call's argument then. [V2]
 * Views cannot be changed, and their metatables answer false. [V3] Reading allocates only what Lua
 * is given (strings, lists). Pushing a view allocates nothing. [V4] An unknown field raises: a
 * policy with a typing error is failing, not silently without opinion.
 */
#include "script/view.h"

#include <stdlib.h>
#include <string.h>

void ml_push_slice(lua_State *L, struct ml_slice text)
{
    lua_pushlstring(L, text.len ? (const char *)text.ptr : "", text.len);
}

void ml_push_slice_or_nil(lua_State *L, struct ml_slice text)
{
    if (text.ptr)
        lua_pushlstring(L, (const char *)text.ptr, text.len);
    else
        lua_pushnil(L);
}

void ml_push_list(lua_State *L, const struct ml_slice *items, size_t count)
{
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        ml_push_slice(L, items[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* The view at `index`, alive and of this kind, or an error. */
void *ml_view_check(lua_State *L, int index, enum ml_lent_kind kind)
{
    struct ml_views *views = ml_views_of(L);
    struct ml_lent *view = lua_touserdata(L, index);
    bool ours = view && view == views->lent[kind]; /* the usual one, without asking for its table */

    if (!ours && view && lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, views->metatables[kind]);
        ours = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (!ours)
        luaL_error(L, "this method belongs to another view; call it with ':'");
    if (view->generation != views->generation)
        luaL_error(L, "view expired: copy what you keep");
    return view;
}

/* Push the reused view of `kind`, about `subject`. */
void ml_view_push(lua_State *L, int ref, const void *subject, const void *scope)
{
    struct ml_lent *view;

    lua_rawgeti(L, LUA_REGISTRYINDEX, ref);
    view = lua_touserdata(L, -1);
    view->generation = ml_views_of(L)->generation;
    view->subject = subject;
    view->scope = scope;
}

int ml_view_not_yet(lua_State *L)
{
    return luaL_error(L, "%s is not available in this version",
                      lua_tostring(L, lua_upvalueindex(1)));
}

/* ---- The kinds
 * ------------------------------------------------------------------------------------------------
 */

static const struct ml_lent_def *const kinds[KINDS] = {
    [KIND_REQUEST] = &ml_lent_request,
    [KIND_ASK] = &ml_lent_ask,
    [KIND_UPDATE] = &ml_lent_update,
    [KIND_BATCH] = &ml_lent_batch,
    [KIND_REF] = &ml_lent_ref,
    [KIND_PAIRS] = &ml_lent_pairs,
    [KIND_IDENTITY] = &ml_lent_identity,
    [KIND_AUTHOR] = &ml_lent_author,
    [KIND_MEMBER] = &ml_lent_member,
    [KIND_DOC] = &ml_lent_doc,
    [KIND_TEXT] = &ml_lent_text,
    [KIND_EDIT] = &ml_lent_edit,
    [KIND_MAP] = &ml_lent_map,
    [KIND_ARRAY] = &ml_lent_array,
    [KIND_XML] = &ml_lent_xml,
    [KIND_COUNTER] = &ml_lent_counter,
    [KIND_TX] = &ml_lent_tx,
    [KIND_TX_TEXT] = &ml_lent_tx_text,
    [KIND_TX_MAP] = &ml_lent_tx_map,
    [KIND_TX_ARRAY] = &ml_lent_tx_array,
    [KIND_TX_XML] = &ml_lent_tx_xml,
    [KIND_TX_COUNTER] = &ml_lent_tx_counter,
    [KIND_CHANGE] = &ml_lent_change,
    [KIND_CONFLICT] = &ml_lent_conflict,
    [KIND_BASE] = &ml_lent_base,
    [KIND_SIDE] = &ml_lent_side,
};

enum { FIELDS_SAID = 64 };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int ml_view_no_field(lua_State *L, const char *kind, int fields)
{
    const char *names[FIELDS_SAID];
    size_t count = 0;
    luaL_Buffer text;

    for (lua_pushnil(L); lua_next(L, fields); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING && count < FIELDS_SAID)
            names[count++] = lua_tostring(L, -2); /* the table holds it */
    qsort(names, count, sizeof(*names), by_name);
    luaL_buffinit(L, &text);
    luaL_addstring(&text, kind);
    luaL_addstring(&text, " has no such field");
    if (lua_type(L, 2) == LUA_TSTRING) {
        luaL_addstring(&text, ": '");
        luaL_addstring(&text, lua_tostring(L, 2));
        luaL_addchar(&text, '\'');
    }
    for (size_t i = 0; i < count; i++) {
        luaL_addstring(&text, i ? ", " : "; it has ");
        luaL_addstring(&text, names[i]);
    }
    luaL_pushresult(&text);
    return luaL_error(L, "%s", lua_tostring(L, -1));
}

/*
 * __index of all kinds; upvalues: table of name -> number | method, kind. Only ever called with a
 * view of its own kind: the metatable is out of reach.
 */
static int view_index(lua_State *L)
{
    const struct ml_lent *view = lua_touserdata(L, 1);
    int kind;

    if (view->generation != ml_views_of(L)->generation)
        luaL_error(L, "view expired: copy what you keep");
    kind = (int)view->kind;
    if (!kinds[kind]->fields) {
        kinds[kind]->get(L, view, 0);
        return 1;
    }
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    switch (lua_type(L, -1)) {
    case LUA_TNUMBER:
        kinds[kind]->get(L, view, (int)lua_tointeger(L, -1));
        return 1;
    case LUA_TFUNCTION:
        return 1;
    default:
        return ml_view_no_field(L, kinds[kind]->name, lua_upvalueindex(1));
    }
}

static int view_newindex(lua_State *L)
{
    return luaL_error(L, "a view is read-only");
}

const struct ml_lent_def *ml_lent_kind_def(enum ml_lent_kind kind)
{
    return kinds[kind];
}

static int view_tostring(lua_State *L)
{
    lua_pushfstring(L, "view: %s", lua_tostring(L, lua_upvalueindex(1)));
    return 1;
}

static void push_fields(lua_State *L, enum ml_lent_kind kind)
{
    lua_newtable(L);
    for (const struct ml_lent_field *field = kinds[kind]->fields; field && field->name; field++) {
        if (field->method == ml_view_not_yet) {
            lua_pushfstring(L, "%s:%s", kinds[kind]->name, field->name);
            lua_pushcclosure(L, ml_view_not_yet, 1);
        } else if (field->method) {
            lua_pushcfunction(L, field->method);
        } else {
            lua_pushinteger(L, field->id);
        }
        lua_setfield(L, -2, field->name);
    }
}

static void make_metatable(lua_State *L, enum ml_lent_kind kind)
{
    lua_newtable(L);
    push_fields(L, kind);
    lua_pushcclosure(L, view_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, view_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushstring(L, kinds[kind]->name);
    lua_pushcclosure(L, view_tostring, 1);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

static int make_view(lua_State *L, struct ml_views *views, enum ml_lent_kind kind)
{
    struct ml_lent *view = lua_newuserdata(L, kinds[kind]->bytes);

    memset(view, 0, kinds[kind]->bytes);
    view->kind = kind;
    lua_rawgeti(L, LUA_REGISTRYINDEX, views->metatables[kind]);
    lua_setmetatable(L, -2);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

void ml_views_open(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_views *views = script->views;

    if (!views) {
        views = script->views = calloc(1, sizeof(*views));
        if (!views)
            luaL_error(L, "out of memory");
    }
    for (int kind = 0; kind < KINDS; kind++) {
        make_metatable(L, (enum ml_lent_kind)kind);
        views->metatables[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
        if (!kinds[kind]->bytes)
            continue;
        views->views[kind] = make_view(L, views, (enum ml_lent_kind)kind);
        lua_rawgeti(L, LUA_REGISTRYINDEX, views->views[kind]);
        views->lent[kind] = lua_touserdata(L, -1);
        lua_pop(L, 1);
    }
    for (int i = 0; i < 3; i++)
        views->pairs[i] = make_view(L, views, KIND_PAIRS);
    for (int i = 0; i < 2; i++) {
        views->sides[i] = make_view(L, views, KIND_SIDE);
        views->side_authors[i] = make_view(L, views, KIND_AUTHOR);
    }
    views->generation = 2;
}

void ml_views_push(struct ml_script *script, enum ml_view_kind kind, const void *subject,
                   const void *scope)
{
    script->views->generation |= 1;
    ml_view_push(script->L, script->views->views[kind], subject, scope);
}

void ml_views_expire(struct ml_script *script)
{
    script->views->generation += 2;
    script->views->generation &= ~(uint64_t)1;
}
