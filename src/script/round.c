/* SPDX-License-Identifier: MIT */
#include "script/round.h"

#include "base/assert.h"
#include "script/setup.h"
#include "script/view.h"

/* ---- the argument ---------------------------------------------------------------------------- */

/* Upvalues: fields that there are, name of the kind. Reached for what is nil only. */
static int no_field(lua_State *L)
{
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    if (lua_isnil(L, -1))
        return ml_view_no_field(L, lua_tostring(L, lua_upvalueindex(2)), lua_upvalueindex(1));
    lua_pushnil(L);
    return 1;
}

static int no_change(lua_State *L)
{
    return luaL_error(L, "%s cannot be changed", lua_tostring(L, lua_upvalueindex(1)));
}

void ml_round_seal(lua_State *L, const char *kind, const char *const *fields)
{
    lua_createtable(L, 0, 3);
    lua_newtable(L);
    for (; *fields; fields++) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, *fields);
    }
    lua_pushstring(L, kind);
    lua_pushcclosure(L, no_field, 2);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, kind);
    lua_pushcclosure(L, no_change, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

void ml_round_text(lua_State *L, const char *name, struct ml_slice text)
{
    if (!text.ptr)
        return;
    ml_push_slice(L, text);
    lua_setfield(L, -2, name);
}

void ml_round_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

void ml_round_bool(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

void ml_round_texts(lua_State *L, const char *name, const struct ml_slice *items, size_t count)
{
    ml_push_list(L, items, count);
    lua_setfield(L, -2, name);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void push_call(lua_State *L, void *arg)
{
    struct ml_round *round = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, round->handler->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, round->handler->plugin->self_ref);
    round->push(L, round);
}

static void decode(lua_State *L, void *arg)
{
    struct ml_round *round = arg;

    if (round->handler->plugin->is_shadow)
        ml_ask_shadow(round->script, round->handler->plugin, 1);
    else if (!lua_isnil(L, 1))
        round->decode(L, round);
}

static void ask_now(lua_State *L, void *arg)
{
    struct ml_round *round = arg;

    push_call(L, round);
    lua_call(L, 2, 1);
    decode(L, round);
}

static void fail(struct ml_round *round)
{
    if (round->failed && !round->handler->plugin->is_shadow)
        round->failed(round);
}

void ml_round_run(struct ml_script *script, struct ml_round *round)
{
    const struct ml_chain *chain = &script->chains[round->hook];

    round->script = script;
    round->plan = script->plan;
    for (size_t i = 0; !round->is_over && i < chain->count; i++) {
        enum ml_err err;

        round->handler = &chain->handlers[i];
        if (!ml_plan_has(round->plan, round->handler->plugin))
            continue;
        if (!ml_ask_may(script, round->handler, round->hook)) {
            fail(round);
            continue;
        }
        script->stats.calls++;
        (void)ml_share_is_empty(&script->share);
        err = ml_script_protect(script, 0, ask_now, round,
                                ml_share_deadline_us(&script->share, script->hook_us));
        ml_ask_took(script, round->handler);
        if (err) {
            ml_ask_failed(script, round->handler->plugin, &round->handler->breaker,
                          ml_hook_names[round->hook]);
            fail(round);
        } else {
            ml_ask_succeeded(script, &round->handler->breaker);
        }
        script->question = (struct ml_question){0}; /* a denial stands in memory of the caller's */
        ml_state_tidy(script);
    }
}

static void ask_next(struct ml_round *round);

static void on_answer(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    struct ml_round *round = arg;

    round->call = 0;
    if (round->is_dropped) {
        round->is_over = true;
        ask_next(round);
        return;
    }
    if (script->L)
        ml_ask_took(script, round->handler);
    if (outcome == OUTCOME_ANSWER)
        lua_pop(script->L, ML_CALL_RESULTS - 1); /* a hook has one answer */
    if (outcome == OUTCOME_NIL)
        ml_ask_succeeded(script, &round->handler->breaker);
    if (outcome == OUTCOME_ANSWER &&
        !ml_ask_decode(script, round->handler, round->hook, decode, round))
        fail(round);
    if (outcome == OUTCOME_FAILED) {
        ml_ask_failed(script, round->handler->plugin, &round->handler->breaker,
                      ml_hook_names[round->hook]);
        fail(round);
    }
    ask_next(round);
}

static void ask_next(struct ml_round *round)
{
    struct ml_script *script = round->script;
    const struct ml_chain *chain = &script->chains[round->hook];
    const struct ml_run run = {
        .what = ml_hook_names[round->hook],
        .soft_ms = round->soft_ms,
        .hard_ms = round->hard_ms,
        .done = on_answer,
        .arg = round,
    };

    while (!round->is_over && round->next < chain->count) {
        struct ml_run one = run;
        uint64_t call, now;

        round->handler = &chain->handlers[round->next];
        if (ml_plan_has(round->plan, round->handler->plugin) &&
            ml_setup_holds(script, round, round->handler->plugin))
            return;
        round->next++;
        if (!ml_plan_has(round->plan, round->handler->plugin))
            continue;
        if (!ml_ask_may(script, round->handler, round->hook)) {
            fail(round);
            continue;
        }
        script->stats.calls++;
        one.plugin = round->handler->plugin;
        now = round->is_timed_as_one && round->until_ms ? script->mono_ms() : 0;
        if (now)
            one.hard_ms = round->until_ms > now ? (uint32_t)(round->until_ms - now) : 1;
        call = ml_call_start(script, &one, push_call, round);
        /* 0: on_answer has gone on, and the round may be gone. */
        if (call) {
            round->call = call;
            if (round->is_timed_as_one && !round->until_ms)
                round->until_ms = script->mono_ms() + round->hard_ms;
        }
        return;
    }
    round->done(round);
    ml_script_let_go(script);
}

void ml_round_start(struct ml_script *script, struct ml_round *round)
{
    ML_ASSERT(round->done && round->hard_ms);
    round->script = script;
    round->plan = script->plan;
    round->next = 0;
    ml_script_hold(script);
    ask_next(round);
}

void ml_round_go_on(struct ml_round *round)
{
    ask_next(round);
}

void ml_round_drop(struct ml_round *round)
{
    round->is_dropped = true;
    if (round->held_by) {
        ml_setup_release(round);
        round->is_over = true;
        ask_next(round);
        return;
    }
    if (round->call)
        ml_script_cancel(round->script, round->call);
}
