/* SPDX-License-Identifier: MIT */
/* Values that Lua has no type of its own for: binary content and integers beyond 2^53. Private to
 * script/. */
#ifndef ML_SCRIPT_VALUES_H
#define ML_SCRIPT_VALUES_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/codec.h"
#include "base/slice.h"

/** The metatables of a new state. */
void ml_values_open(lua_State *L);

/** Push ml.bytes(…). */
void ml_bytes_push(lua_State *L, struct ml_slice bytes);
/** What ml.bytes made? `*out` lives as long as the value. */
bool ml_bytes_at(lua_State *L, int index, struct ml_slice *out);

/** Push ml.int64(…). */
void ml_int64_push(lua_State *L, int64_t value);
/** Push an integer: a number if a number holds it exactly (|value| <= 2^53), else ml.int64. */
void ml_integer_push(lua_State *L, int64_t value);
bool ml_int64_at(lua_State *L, int index, int64_t *out);

/** ml.bytes(s), ml.int64(v) */
int ml_bytes_make(lua_State *L);
int ml_int64_make(lua_State *L);

/**
 * The plain value at `index` as one encoded Any (lib0, tags 116 to 127), as a Yjs document holds
 * it. Raises on what has no such form (functions, views, tables that are both list and object) and
 * beyond ML_JSON_DEPTH_MAX; `out->err` says if it grew too long.
 */
void ml_any_write(lua_State *L, int index, struct ml_writer *out);
/** Read one encoded Any and push it: undefined is nil, null ml.null. Raises if it is broken. */
void ml_any_push(lua_State *L, struct ml_reader *in);

#endif
