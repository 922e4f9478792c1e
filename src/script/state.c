/* SPDX-License-Identifier: MIT */
/*
 * One Lua state with a ceiling, and the one door into it.
 *
 *   bottom of the main stack            during a call
 *   +-----------+-----------+           +-----------+-----------+----------+------+
 *   | traceback | protected |           | traceback | protected | function | args |
 *   +-----------+-----------+           +-----------+-----------+----------+------+
 *
 *  [L1] Nothing outside lua_pcall may allocate in Lua: the door's own functions stand on the stack
 *       since the state was made, and arguments are pushed by reference (lua_rawgeti,
 * lua_pushvalue). [L2] The compiler is off: no hook fires inside compiled loops. [L3] The allocator
 * refuses at the ceiling, but never a block that shrinks.
 *
 * After a memory fault the ceiling is lifted by 4 MiB, everything is collected and the ceiling put
 * back (plugin-api 13.4). If less than a quarter is free then, or it is the third time in a minute,
 * the state must be made anew.
 */
#include "script/state.h"

#include "script/lib.h"
#include "script/values.h"
#include "script/wait.h"

#include <luajit.h>
#include <stdlib.h>

#include "base/assert.h"

#define COLLECT_EXTRA_BYTES (4u << 20)
#define FAULTS_PER_MINUTE   3
#define TIDY_STEP           200 /* of the collector, when 60 % is used */

static void *allocate(void *arg, void *block, size_t old_bytes, size_t new_bytes)
{
    struct ml_script *script = arg;
    void *moved;

    if (!block)
        old_bytes = 0;
    if (new_bytes == 0) {
        free(block);
        script->memory_bytes -= old_bytes;
        return NULL;
    }
    if (new_bytes > old_bytes &&
        (script->memory_bytes >= script->memory_max ||
         new_bytes - old_bytes > script->memory_max - script->memory_bytes))
        return NULL;
    moved = realloc(block, new_bytes);
    if (!moved)
        return new_bytes <= old_bytes ? block : NULL;
    script->memory_bytes = script->memory_bytes - old_bytes + new_bytes;
    return moved;
}

static int on_panic(lua_State *L)
{
    (void)L;
    ml_panic(__FILE__, __LINE__, "an error in Lua outside of every call");
}

/* Message handler: the text and where it happened go to script->fault, without asking metamethods.
 */
static int on_error(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;

    snprintf(script->fault.text, sizeof(script->fault.text), "%s%s",
             text ? text : "an error object of type ", text ? "" : luaL_typename(L, 1));
    luaL_traceback(L, L, NULL, 1);
    text = lua_tostring(L, -1);
    snprintf(script->fault.trace, sizeof(script->fault.trace), "%s", text ? text : "");
    lua_settop(L, 1);
    return 1;
}

static int protected_call(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);

    script->protected_fn(L, script->protected_arg);
    return 0;
}

enum ml_err ml_script_call(struct ml_script *script, int nargs, int nresults, uint32_t deadline_us)
{
    lua_State *L = script->L;
    int status;

    script->fault.text[0] = script->fault.trace[0] = '\0';
    ml_share_begin(&script->share);
    ml_budget_enter(&script->budget, deadline_us);
    status = lua_pcall(L, nargs, nresults, SLOT_TRACEBACK);
    ml_budget_leave(&script->budget);
    ml_share_end(&script->share);
    if (status == 0)
        return ML_OK;

    if (status == LUA_ERRMEM) {
        script->fault.kind = ML_FAULT_MEMORY;
        snprintf(script->fault.text, sizeof(script->fault.text),
                 "out of memory (%zu of %zu bytes used)", script->memory_bytes, script->memory_max);
    } else if (script->budget.fired) {
        script->fault.kind = ML_FAULT_TIMEOUT;
        if (status == LUA_ERRERR || !script->fault.text[0])
            snprintf(script->fault.text, sizeof(script->fault.text),
                     "stopped: over its time limit");
    } else {
        script->fault.kind = ML_FAULT_ERROR;
        if (status == LUA_ERRERR)
            snprintf(script->fault.text, sizeof(script->fault.text),
                     "an error while handling an error");
    }
    lua_settop(L, SLOT_COUNT);
    return ML_ESCRIPT;
}

enum ml_err ml_script_protect(struct ml_script *script, int nargs,
                              void (*fn)(lua_State *L, void *arg), void *arg, uint32_t deadline_us)
{
    enum ml_err err;

    script->protected_fn = fn;
    script->protected_arg = arg;
    lua_pushvalue(script->L, SLOT_PROTECTED);
    lua_insert(script->L, -1 - nargs);
    err = ml_script_call(script, nargs, 0, deadline_us);
    lua_settop(script->L, SLOT_COUNT);
    return err;
}

static void open_all(lua_State *L, void *arg)
{
    (void)arg;
    ml_sandbox_open(L);
    ml_json_open(L);
    ml_values_open(L);
    ml_lib_open(L);
    ml_lib_open_jwt(L);
    ml_lib_open_re(L);
    ml_lib_open_words(L);
    ml_api_open(L);
    ml_views_open(L);
    ml_wait_open(L);
}

static int make_slots(lua_State *L)
{
    lua_pushcfunction(L, on_error);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_TRACEBACK);
    lua_pushcfunction(L, protected_call);
    lua_rawseti(L, LUA_REGISTRYINDEX, SLOT_PROTECTED);
    return 0;
}

/* Through the registry, because lua_cpcall, which alone needs no allocation, answers no values. */
static enum ml_err fill_slots(lua_State *L)
{
    if (lua_cpcall(L, make_slots, NULL))
        return ML_ELIMIT;
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_TRACEBACK);
    lua_rawgeti(L, LUA_REGISTRYINDEX, SLOT_PROTECTED);
    return ML_OK;
}

enum ml_err ml_state_open(struct ml_script *script)
{
    enum ml_err err;

    script->memory_bytes = 0;
    script->L = lua_newstate(allocate, script);
    if (!script->L)
        return ML_ELIMIT;
    lua_atpanic(script->L, on_panic);
    luaJIT_setmode(script->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    err = ml_budget_init(&script->budget, script->L);
    if (err)
        goto fail;
    err = fill_slots(script->L);
    if (err)
        goto fail_budget;
    err = ml_script_protect(script, 0, open_all, NULL, ML_LOAD_US);
    if (err)
        goto fail_budget;
    return ML_OK;

fail_budget:
    ml_budget_release(&script->budget);
fail:
    lua_close(script->L);
    script->L = NULL;
    return err;
}

void ml_state_close(struct ml_script *script)
{
    if (!script->L)
        return;
    ml_wait_lose(script);
    ml_budget_release(&script->budget);
    lua_close(script->L);
    script->L = NULL;
}

bool ml_state_recover(struct ml_script *script)
{
    uint64_t now = script->mono_ms();

    script->memory_max += COLLECT_EXTRA_BYTES;
    lua_gc(script->L, LUA_GCCOLLECT, 0);
    script->memory_max -= COLLECT_EXTRA_BYTES;

    if (script->memory_faults == 0 || now - script->faults_since_ms >= 60000) {
        script->faults_since_ms = now;
        script->memory_faults = 0;
    }
    if (++script->memory_faults >= FAULTS_PER_MINUTE)
        return false;
    return script->memory_bytes <= script->memory_max / 4 * 3;
}

void ml_state_tidy(struct ml_script *script)
{
    if (script->memory_bytes > script->memory_max / 5 * 3)
        lua_gc(script->L, LUA_GCSTEP, TIDY_STEP);
}
