/* SPDX-License-Identifier: MIT */
/*
 * Writing through the Lua module `moonloom.engine`.
 *
 *   local ops = engine.any('[["text.insert","t",0,"Hi"]]')
 *   local emitted, change = doc:transact(ops)
 */
#include "bind/bind_engine.h"

#define OUT_MAX ((size_t)1 << 30)
#define SCRATCH ((size_t)1 << 30)

/* engine.any(json) -> Any | nil, kind, text, offset   [-1, +1|4] */
static int engine_any(lua_State *L)
{
    struct ml_slice json = ml_lua_check_bytes(L, 1);
    struct ml_diag diag = {0};
    struct ml_writer out;

    ml_writer_init(&out, OUT_MAX);
    return ml_lua_push_result(L, ml_any_from_json(json, NULL, &out), &out, &diag);
}

/* doc:transact(ops) -> emitted, change | nil, kind, text, offset   [-2, +2|4] */
static int doc_transact(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_slice ops = ml_lua_check_bytes(L, 2);
    const struct ml_change *change;
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    enum ml_err err;

    ml_arena_init(&scratch, SCRATCH);
    err = ml_doc_run_ops(handle->doc, ops, &scratch, &diag, &change);
    if (!err)
        ml_lua_push_change(L, change);
    ml_arena_release(&scratch);
    return err ? ml_lua_push_error(L, err, &diag) : 2;
}

/* doc:set_client(id)   [-2, +0] */
static int doc_set_client(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    lua_Number id = luaL_checknumber(L, 2);

    luaL_argcheck(L, id >= 1 && id < 9007199254740992.0, 2, "a client id");
    ml_doc_set_client(handle->doc, (ml_client_id)id);
    return 0;
}

/* Pushes {guid =, options = Any, client =, clock =, removed =}. */
static void push_subdoc(lua_State *L, const struct ml_subdoc *subdoc)
{
    lua_newtable(L);
    lua_pushlstring(L, (const char *)subdoc->guid.ptr, subdoc->guid.len);
    lua_setfield(L, -2, "guid");
    lua_pushlstring(L, (const char *)subdoc->options.ptr, subdoc->options.len);
    lua_setfield(L, -2, "options");
    lua_pushnumber(L, (lua_Number)subdoc->client);
    lua_setfield(L, -2, "client");
    lua_pushnumber(L, (lua_Number)subdoc->clock);
    lua_setfield(L, -2, "clock");
    lua_pushboolean(L, subdoc->removed);
    lua_setfield(L, -2, "removed");
}

void ml_lua_push_subdocs(lua_State *L, const struct ml_change *change)
{
    lua_newtable(L);
    for (size_t i = 0; i < change->subdoc_count; i++) {
        push_subdoc(L, &change->subdocs[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

/* doc:subdocs() -> {subdoc, ...}   [-1, +1] */
static int doc_subdocs(lua_State *L)
{
    struct ml_lua_doc *handle = ml_lua_check_doc(L);
    struct ml_subdoc_cursor cursor = {0};
    struct ml_subdoc subdoc;
    int n = 0;

    lua_newtable(L);
    while (ml_doc_next_subdoc(handle->doc, &cursor, &subdoc)) {
        push_subdoc(L, &subdoc);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

const luaL_Reg ml_lua_write_functions[] = {{"any", engine_any}, {NULL, NULL}};

const luaL_Reg ml_lua_write_methods[] = {
    {"transact", doc_transact},
    {"subdocs", doc_subdocs},
    {"set_client", doc_set_client},
    {NULL, NULL},
};
