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

const luaL_Reg ml_lua_write_functions[] = {{"any", engine_any}, {NULL, NULL}};

const luaL_Reg ml_lua_write_methods[] = {
    {"transact", doc_transact},
    {"set_client", doc_set_client},
    {NULL, NULL},
};
