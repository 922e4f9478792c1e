/* SPDX-License-Identifier: MIT */
/*
 * What the files of the Lua module `moonloom.engine` share: the document as Lua holds it, arguments
 * and results. Private to bind/.
 */
#ifndef ML_BIND_ENGINE_H
#define ML_BIND_ENGINE_H

#include <lauxlib.h>
#include <lua.h>

#include "engine/engine.h"

#define ML_LUA_OUT_MAX ((size_t)1 << 30)
#define ML_LUA_SCRATCH ((size_t)1 << 30)

/** A document that Lua owns. */
struct ml_lua_doc {
    struct ml_doc *doc; /* NULL: closed */
    struct ml_engine_limits limits;
    struct ml_history *history; /* bind_history.c; NULL: none */
};

/** The document at stack index 1; raises if it is something else, or closed. */
struct ml_lua_doc *ml_lua_check_doc(lua_State *L);
struct ml_slice ml_lua_check_bytes(lua_State *L, int index);
/** An empty slice if there is nothing. */
struct ml_slice ml_lua_opt_bytes(lua_State *L, int index);
/** A table of limits, or nothing: missing fields are 0 and mean the default. */
struct ml_engine_limits ml_lua_opt_limits(lua_State *L, int index);
/** nil, kind, text, offset */
int ml_lua_push_error(lua_State *L, enum ml_err err, const struct ml_diag *diag);
/** Bytes of `out` or the error; `out` is released. */
int ml_lua_push_result(lua_State *L, enum ml_err err, struct ml_writer *out,
                       const struct ml_diag *diag);
/** emitted bytes, table */
void ml_lua_push_change(lua_State *L, const struct ml_change *change);
void ml_lua_set_number(lua_State *L, const char *name, uint64_t value);
void ml_lua_set_bytes(lua_State *L, const char *name, struct ml_slice bytes);
/** A number that is not negative; 0 if the field is missing. */
lua_Number ml_lua_number_field(lua_State *L, int index, const char *name);

/* bind_history.c: functions of the module and methods of documents, ended by {NULL, NULL}. */
extern const luaL_Reg ml_lua_history_functions[];
extern const luaL_Reg ml_lua_history_methods[];
void ml_lua_close_history(struct ml_lua_doc *handle);

/** Pushes the list of subdocuments that came and went. */
void ml_lua_push_subdocs(lua_State *L, const struct ml_change *change);

/* bind_write.c: functions of the module and methods of documents, ended by {NULL, NULL}. */
extern const luaL_Reg ml_lua_write_functions[];
extern const luaL_Reg ml_lua_write_methods[];

#endif
