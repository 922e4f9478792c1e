/* SPDX-License-Identifier: MIT */
/* What the files of the Lua module `moonloom.engine` share. */
#ifndef ML_BIND_ENGINE_H
#define ML_BIND_ENGINE_H

#include <lauxlib.h>
#include <lua.h>

#include "engine/engine.h"

/** What a document is to Lua. */
struct ml_lua_doc {
    struct ml_doc *doc; /* NULL: closed */
    struct ml_engine_limits limits;
};

/** The document at stack index 1; raises if it is none, or closed. */
struct ml_lua_doc *ml_lua_check_doc(lua_State *L);
/** A string argument; good as long as it is on the stack. */
struct ml_slice ml_lua_check_bytes(lua_State *L, int index);
/** Pushes nil, kind, text, offset; answers 4. */
int ml_lua_push_error(lua_State *L, enum ml_err err, const struct ml_diag *diag);
/** Pushes the bytes of `out`, or the error; `out` is released. */
int ml_lua_push_result(lua_State *L, enum ml_err err, struct ml_writer *out,
                       const struct ml_diag *diag);
/** Pushes emitted bytes and a table. */
void ml_lua_push_change(lua_State *L, const struct ml_change *change);

/* bind_write.c: functions of the module and methods of documents, ended by {NULL, NULL}. */
extern const luaL_Reg ml_lua_write_functions[];
extern const luaL_Reg ml_lua_write_methods[];

#endif
