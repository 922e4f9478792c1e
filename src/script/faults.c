/* SPDX-License-Identifier: MIT */
/*
 * Hooks broken on purpose, for specs: the function behind a handler's reference is exchanged, so
 * that everything around it (filters, breaker, failure mode) is as it is.
 */
#include "script/state.h"

struct fault {
    struct ml_script *script;
    struct ml_handler *handler;
    const char *hook;
    struct ml_slice text; /* .ptr NULL: whole again */
};

/* Stands in for a hook; upvalue: what it raises */
static int raise_text(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    return lua_error(L);
}

static void exchange(lua_State *L, void *arg)
{
    const struct fault *fault = arg;

    if (fault->text.ptr) {
        lua_pushlstring(L, (const char *)fault->text.ptr, fault->text.len);
        lua_pushcclosure(L, raise_text, 1);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, fault->handler->plugin->table_ref);
        lua_getfield(L, -1, fault->hook);
    }
    lua_rawseti(L, LUA_REGISTRYINDEX, fault->handler->function_ref);
}

enum ml_err ml_script_break(struct ml_script *script, struct ml_slice plugin, struct ml_slice hook,
                            struct ml_slice text)
{
    for (int i = 0; script->L && i < HOOK_COUNT; i++) {
        if (!ml_slice_equal(ml_slice_str(ml_hook_names[i]), hook))
            continue;
        for (size_t k = 0; k < script->chains[i].count; k++) {
            struct fault fault = {script, &script->chains[i].handlers[k], ml_hook_names[i], text};

            if (ml_slice_equal(ml_slice_str(fault.handler->plugin->name), plugin))
                return ml_script_protect(script, 0, exchange, &fault, ML_LOAD_US);
        }
    }
    return ML_ENOTFOUND;
}
