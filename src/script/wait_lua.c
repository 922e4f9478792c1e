/* SPDX-License-Identifier: MIT */
/*
 * What lua/moonloom/wait.lua builds on: park, sleep, group, spawn, shield, timers. Each function is
 * named after its Lua name and begins with its stack effect. None calls Lua: a wait must not cross
 * a C function.
 *
 * A timer is the plugin's own function and a time. It runs as a call that may wait; the next run is
 * timed when the last is over, so runs never overlap.
 */
#include "script/wait_call.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "script/values.h"

#define GROUP_MAX    64
#define TIMER_MIN_MS 10
#define TIMER_HARD   30000 /* milliseconds, as observers */
#define SPAWN_HARD   60000 /* as jobs */
#define MS_LONGEST   (366.0 * 100 * 86400 * 1000)

static struct ml_plugin *plugin_of(lua_State *L)
{
    return &ml_script_of(L)->plugins[lua_tointeger(L, lua_upvalueindex(1))];
}

static uint64_t check_ms(lua_State *L, int arg)
{
    double ms = luaL_checknumber(L, arg);

    if (!(ms >= 0 && ms <= MS_LONGEST))
        luaL_error(L, "a time is out of range");
    return (uint64_t)ceil(ms);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/*
 * park(what, op) -> true, answer | false, text, which the caller raises   [yields; may raise]
 */
static int park(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_plugin *plugin = plugin_of(L);
    const char *what = luaL_checkstring(L, 1);
    struct ml_call *call = ml_call_may_wait(L, what);
    struct ml_script_op op;
    uint64_t ticket;
    enum ml_err err;

    if (!script->port.begin)
        luaL_error(L, "%s is not available here", what);
    ml_op_read(L, 2, &op);
    op.org = ml_plugin_org(script, plugin);
    op.instance = ml_slice_str(plugin->name);
    ticket = ml_call_next_number(script, call);
    err = script->port.begin(script->port.arg, script, ticket, &op);
    if (err) {
        struct ml_script_answer answer = {.err = err};

        lua_pushboolean(L, 1);
        ml_op_push(L, &answer);
        return 2;
    }
    call->ticket = ticket;
    ml_call_park(script, call);
    return lua_yield(L, 0);
}

/* sleep(what, ms) -> true | false, text   [yields; may raise] */
static int sleep_ms(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_call *call = ml_call_may_wait(L, luaL_checkstring(L, 1));

    call->wakes_at_ms = script->mono_ms() + check_ms(L, 2);
    ml_call_park(script, call);
    return lua_yield(L, 0);
}

static void nobody(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    (void)script;
    (void)arg;
    (void)outcome;
}

/*
 * group(what, fns, race, ms) -> true, results | false, text   [yields; may raise]
 * ms 0: as long as the parent. Results: [n] = { n =, … }, error =, overdue =, winner =.
 */
static int group(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_call *parent = ml_call_may_wait(L, luaL_checkstring(L, 1));
    uint64_t ms = check_ms(L, 4);
    struct ml_run run = parent->run;
    struct ml_call *members[GROUP_MAX];
    size_t count;

    luaL_checktype(L, 2, LUA_TTABLE);
    count = lua_objlen(L, 2);
    if (count == 0 || count > GROUP_MAX)
        luaL_error(L, "%s: 1 to %d functions", lua_tostring(L, 1), GROUP_MAX);
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, 2, (int)i);
        if (!lua_isfunction(L, -1))
            luaL_error(L, "%s: number %d is a %s, not a function", lua_tostring(L, 1), (int)i,
                       luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    if (parent->results_ref != LUA_NOREF)
        luaL_unref(L, LUA_REGISTRYINDEX, parent->results_ref);
    lua_newtable(L);
    parent->results_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    parent->race = lua_toboolean(L, 3);
    parent->settled = false;
    run.done = nobody;
    run.soft_ms = 0;
    if (ms && (!run.hard_ms || ms < run.hard_ms))
        run.hard_ms = ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
    for (size_t i = 0; i < count; i++) {
        members[i] = ml_call_add(L, &run); /* raises: the tick removes those that never began */
        lua_rawgeti(L, 2, (int)i + 1);
        lua_xmove(L, members[i]->co, 1);
    }
    for (size_t i = 0; i < count; i++) {
        members[i]->parent = parent;
        members[i]->member_no = (unsigned)i + 1;
        ml_call_make_ready(script, members[i], 0);
    }
    parent->pending = (unsigned)count;
    ml_call_park(script, parent);
    return lua_yield(L, 0);
}

/* shield(step): +1 before, -1 after   [may raise] */
static int shield(lua_State *L)
{
    struct ml_call *call = ml_script_of(L)->waiting->current;
    int step = (int)luaL_checkinteger(L, 1);

    if (call && (step > 0 || call->shields > 0))
        call->shields += (unsigned)step;
    return 0;
}

/* ---- spawn ----------------------------------------------------------------------------------- */

static void on_background_over(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    if (outcome == OUTCOME_FAILED && script->L && script->fault.kind != ML_FAULT_NONE)
        ml_ask_failed(script, arg, NULL, "ml.spawn");
}

static size_t spawned_by(const struct ml_script *script, const struct ml_plugin *plugin)
{
    size_t count = 0;

    ML_LIST_EACH(node, &script->waiting->calls)
    {
        const struct ml_call *call = ML_CONTAINER(node, struct ml_call, node);

        count += call->spawned && call->run.plugin == plugin;
    }
    return count;
}

/* spawn(fn, ...) -> true | nil, kind, text   [may raise] */
static int spawn(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_plugin *plugin = plugin_of(L);
    struct ml_run run = {
        .what = "ml.spawn",
        .plugin = plugin,
        .hard_ms = SPAWN_HARD,
        .done = on_background_over,
        .arg = plugin,
    };
    struct ml_call *call;
    int n = lua_gettop(L);

    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (n > 16)
        luaL_error(L, "ml.spawn: at most 15 arguments");
    if (spawned_by(script, plugin) >= ML_SPAWNED_MAX) {
        lua_pushnil(L);
        lua_pushliteral(L, "EBUSY");
        lua_pushliteral(L, "too many of this plugin's background calls are under way");
        return 3;
    }
    call = ml_call_add(L, &run);
    call->spawned = true;
    lua_xmove(L, call->co, n);
    ml_call_make_ready(script, call, n - 1);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- Timers ---------------------------------------------------------------------------------- */

void ml_timer_free(struct ml_script *script, struct ml_timer *timer)
{
    timer->stopped = true;
    if (timer->running)
        return; /* when its run is over */
    if (script->L)
        luaL_unref(script->L, LUA_REGISTRYINDEX, timer->fn_ref);
    ml_list_remove(&timer->node);
    ml_script_let_go(script);
    free(timer);
}

static struct ml_timer *timer_of(const struct ml_script *script, uint64_t id)
{
    ML_LIST_EACH(node, &script->waiting->timers)
    {
        struct ml_timer *timer = ML_CONTAINER(node, struct ml_timer, node);

        if (timer->id == id)
            return timer;
    }
    return NULL;
}

static size_t timers_of(const struct ml_script *script, const struct ml_plugin *plugin)
{
    size_t count = 0;

    ML_LIST_EACH(node, &script->waiting->timers)
    count += ML_CONTAINER(node, struct ml_timer, node)->plugin == plugin;
    return count;
}

/* timer(ms, repeats, fn) -> id   [may raise] */
static int timer(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_waiting *w = script->waiting;
    uint64_t ms = check_ms(L, 1);
    struct ml_timer *t;
    int ref;

    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 3);
    if (timers_of(script, plugin_of(L)) >= ML_TIMERS_MAX)
        luaL_error(L, "ml.timer: more than %d timers", ML_TIMERS_MAX);
    if (lua_toboolean(L, 2) && ms < TIMER_MIN_MS)
        ms = TIMER_MIN_MS;
    ref = luaL_ref(L, LUA_REGISTRYINDEX);
    t = calloc(1, sizeof(*t));
    if (!t) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return luaL_error(L, "out of memory");
    }
    t->plugin = plugin_of(L);
    t->id = w->next_number++;
    t->fn_ref = ref;
    t->every_ms = lua_toboolean(L, 2) ? ms : 0;
    t->due_ms = script->mono_ms() + ms;
    ml_script_hold(script);
    ml_list_append(&w->timers, &t->node);
    ml_wait_want(script, t->due_ms);
    lua_pushnumber(L, (double)t->id);
    return 1;
}

/* timer_stop(id)   [may raise] */
static int timer_stop(lua_State *L)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_timer *t = timer_of(script, (uint64_t)luaL_checknumber(L, 1));

    if (t && t->plugin == plugin_of(L))
        ml_timer_free(script, t);
    return 0;
}

static void push_timer(lua_State *L, void *arg)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, ((struct ml_timer *)arg)->fn_ref);
}

static void on_timer_over(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    struct ml_timer *t = arg;
    struct ml_plugin *plugin;

    if (!script->L)
        return; /* it is gone with the state */
    plugin = t->plugin;
    t->running = false;
    if (t->stopped || !t->every_ms) {
        ml_timer_free(script, t);
    } else {
        t->due_ms = script->mono_ms() + t->every_ms;
        ml_wait_want(script, t->due_ms);
    }
    if (outcome == OUTCOME_FAILED && script->fault.kind != ML_FAULT_NONE)
        ml_ask_failed(script, plugin, NULL, "ml.timer");
}

void ml_timers_fire(struct ml_script *script, uint64_t now)
{
    struct ml_waiting *w = script->waiting;
    uint64_t last = w->next_number;
    struct ml_list *node = w->timers.next;

    /* A run may stop others and itself, or lose the state: begin anew after each. */
    while (script->L && node != &w->timers) {
        struct ml_timer *t = ML_CONTAINER(node, struct ml_timer, node);
        struct ml_run run = {
            .what = "ml.timer",
            .plugin = t->plugin,
            .hard_ms = TIMER_HARD,
            .done = on_timer_over,
            .arg = t,
        };

        node = node->next;
        if (t->running || t->due_ms > now || t->id >= last)
            continue;
        t->running = true;
        (void)ml_call_start(script, &run, push_timer, t);
        node = w->timers.next;
    }
}

/* config(field) -> value of self.config   [may raise] */
static int config(lua_State *L)
{
    luaL_checkstring(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin_of(L)->self_ref);
    lua_getfield(L, -1, "config");
    lua_pushvalue(L, 1);
    lua_gettable(L, -2);
    return 1;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* to_any(value) -> bytes of the value as documents hold it   [may raise] */
static int to_any(lua_State *L)
{
    struct ml_writer *out = &ml_script_of(L)->text;

    ml_writer_reset(out);
    ml_any_write(L, 1, out);
    if (out->err)
        luaL_error(L, "the value is too large");
    lua_pushlstring(L, (const char *)out->ptr, out->len);
    return 1;
}

/* from_any(bytes) -> value   [may raise] */
static int from_any(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 1, &len);
    struct ml_reader in = ml_reader_make(ml_slice_make(bytes, len));

    ml_any_push(L, &in);
    return 1;
}

void ml_wait_natives(lua_State *L, struct ml_plugin *plugin)
{
    static const luaL_Reg functions[] = {
        {"park", park},
        {"sleep", sleep_ms},
        {"group", group},
        {"shield", shield},
        {"spawn", spawn},
        {"timer", timer},
        {"timer_stop", timer_stop},
        {"config", config},
        {"to_any", to_any},
        {"from_any", from_any},
        {NULL, NULL},
    };

    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushinteger(L, (lua_Integer)plugin->index);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, -2, f->name);
    }
    ml_shared_natives(L, plugin);
    ml_board_natives(L, plugin);
    lua_pushlstring(L, (const char *)ml_script_of(L)->org.ptr, ml_script_of(L)->org.len);
    lua_setfield(L, -2, "org");
}
