/* SPDX-License-Identifier: MIT */
/* Groups of the `moonloom` module that are files of their own: pure, bounded, never waiting.
 * Private to script/. */
#ifndef ML_SCRIPT_LIB_H
#define ML_SCRIPT_LIB_H

#include <lauxlib.h>
#include <lua.h>

#include "base/slice.h"

extern const luaL_Reg ml_lib_crypto[]; /* lib_crypto.c */
extern const luaL_Reg ml_lib_enc[];    /* lib_enc.c */
extern const luaL_Reg ml_lib_jwt[];    /* lib_jwt.c */
extern const luaL_Reg ml_lib_re[];     /* lib_re.c */
extern const luaL_Reg ml_lib_text[];   /* lib_text.c */
extern const luaL_Reg ml_lib_time[];   /* lib_time.c */
extern const luaL_Reg ml_lib_words[];  /* lib_words.c */

/** Make what the groups keep in a new state. */
void ml_lib_open(lua_State *L);
void ml_lib_open_jwt(lua_State *L);
void ml_lib_open_re(lua_State *L);
void ml_lib_open_words(lua_State *L);

/** The function `compile_regex(pattern)` for modules of ours: nil, or what is wrong. Pushes. */
void ml_lib_push_regex_check(lua_State *L);

/** Argument `arg` as bytes: a string or ml.bytes; `what` for the message. Raises. */
struct ml_slice ml_lib_data(lua_State *L, int arg, const char *what);
/** The same for a key, which may be a secret handle. */
struct ml_slice ml_lib_key(lua_State *L, int arg, const char *what);
/** Push nil, kind, text: an expected failure. Answers 3. */
int ml_lib_fails(lua_State *L, const char *kind, const char *text);

/** The key of one org, made of the server's (32 bytes each). */
void ml_lib_org_key(struct ml_slice server_key, struct ml_slice org, uint8_t out[32]);

#endif
