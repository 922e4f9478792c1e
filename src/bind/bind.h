/* SPDX-License-Identifier: MIT */
/*
 * Lua for tools and specs, in a state that is not a plugin's: all of Lua, the engine, the test
 * kit's core and the Lua files that ship. `moonloom plugin …` runs in one; under a plain
 * interpreter the same modules come from shared libraries.
 */
#ifndef ML_BIND_BIND_H
#define ML_BIND_BIND_H

#include <stdint.h>

struct lua_State;

#define ML_MODULE __attribute__((visibility("default")))

ML_MODULE int luaopen_moonloom_engine(struct lua_State *L);
ML_MODULE int luaopen_moonloom_test_core(struct lua_State *L);

/** Make `require` in `L` find moonloom.* inside the binary, and nothing else of ours. */
void ml_tool_open(struct lua_State *L);

/** auth's tokens as ml.jwt wants them, for ml_script_use_jwt. */
extern const struct ml_script_jwt ml_bind_jwt;

/* The clock of all instances and worlds of this process (bind_test.c): specs set it. */
int64_t ml_test_wall_ms(void);
uint64_t ml_test_mono_ms(void);
void ml_test_advance_ms(int64_t ms);

#endif
