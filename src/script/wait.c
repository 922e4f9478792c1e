/* SPDX-License-Identifier: MIT */
/*
 * How a hook waits: it runs on a coroutine, and parks there.
 *
 *   ml_call_start ----> RUNNING --- returns, raises ---------------------------> over: done()
 *                        |   ^                                                     ^
 *            native.park |   | lua_resume                                          |
 *                        v   |                                                     |
 *                      PARKED --- answer, time, members over, cancelled ---> READY-+
 *
 * A call parks on one of three: a ticket of the port (port.h), a time, the calls it has started
 * itself (ml.all, ml.race, ml.deadline).
 *
 *  [W1] Control is in at most one call. What becomes ready while another runs is taken by `pump`,
 *       when control is back in C.
 *  [W2] Views expire when a call parks or ends, whichever is first (ml_views_expire after every
 *       lua_resume).
 *  [W3] A wait that is over early (cancelled, over the deadline) raises in the plugin, and so does
 *       every later one of that call: pcall cannot swallow it. Between two waits the watchdog
 *       counts CPU time, so a call that is over its deadline ends.
 *  [W4] `done` runs exactly once, also when the state is lost.
 *  [W5] A plugin never holds a coroutine of ours: coroutine.running answers nil there and
 *       coroutine.yield raises (sandbox.c), so nobody but `run` resumes one.
 *  [W6] A coroutine that ended well goes back to the pool; one that raised or was left is
 * collected. [W7] Members of a group end before their parent goes on, and their deadline is not
 * later.
 */
#include "script/setup.h"
#include "script/wait_call.h"

#include <stdlib.h>

#include "base/log.h"

#define PUMP_MAX   256 /* calls in one turn */
#define QUEUED_MS  20
#define SLOTS_STEP 64
#define RESULTS    ML_CALL_RESULTS

static struct ml_waiting *waiting_of(const struct ml_script *script)
{
    return script->waiting;
}

/* ---- Making and ending ----------------------------------------------------------------------- */

void ml_wait_want(struct ml_script *script, uint64_t at_ms)
{
    struct ml_waiting *w = waiting_of(script);

    if (w->wish_ms && w->wish_ms <= at_ms)
        return;
    w->wish_ms = at_ms;
    if (script->port.wake_at)
        script->port.wake_at(script->port.arg, script, at_ms);
}

static size_t free_slot(struct ml_waiting *w)
{
    struct ml_call **slots;
    size_t count = w->slot_count;

    for (size_t i = 0; w->call_count < count && i < count; i++)
        if (!w->slots[i])
            return i;
    if (count >= ML_CALLS_MAX)
        return ML_CALLS_MAX;
    slots = realloc(w->slots, (count + SLOTS_STEP) * sizeof(struct ml_call *));
    if (!slots)
        return ML_CALLS_MAX;
    for (size_t i = count; i < count + SLOTS_STEP; i++)
        slots[i] = NULL;
    w->slots = slots;
    w->slot_count = count + SLOTS_STEP;
    return count;
}

uint64_t ml_call_next_number(struct ml_script *script, const struct ml_call *call)
{
    return waiting_of(script)->next_number++ << 16 | (call->id & 0xffff);
}

static struct ml_call *find(const struct ml_script *script, uint64_t id)
{
    const struct ml_waiting *w = waiting_of(script);
    size_t slot = id & 0xffff;

    return slot < w->slot_count ? w->slots[slot] : NULL;
}

/* A coroutine on the stack of its own; raises. */
static lua_State *take_coroutine(lua_State *L, struct ml_waiting *w, int *ref_out)
{
    lua_State *co;

    if (w->pooled) {
        *ref_out = w->pool[--w->pooled];
        lua_rawgeti(L, LUA_REGISTRYINDEX, *ref_out);
        co = lua_tothread(L, -1);
        lua_pop(L, 1);
        return co;
    }
    co = lua_newthread(L);
    *ref_out = luaL_ref(L, LUA_REGISTRYINDEX);
    return co;
}

struct ml_call *ml_call_add(lua_State *L, const struct ml_run *run)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_waiting *w = waiting_of(script);
    int co_ref;
    lua_State *co = take_coroutine(L, w, &co_ref);
    size_t slot = free_slot(w);
    struct ml_call *call = slot < ML_CALLS_MAX ? calloc(1, sizeof(*call)) : NULL;

    if (!call) {
        luaL_unref(L, LUA_REGISTRYINDEX, co_ref);
        luaL_error(L, "%s: too many calls are waiting", run->what);
        return NULL;
    }
    call->run = *run;
    call->co = co;
    call->co_ref = co_ref;
    call->results_ref = LUA_NOREF;
    call->id = slot;
    call->id = ml_call_next_number(script, call);
    w->slots[slot] = call;
    w->call_count++;
    ml_script_hold(script);
    ml_list_append(&w->calls, &call->node);
    return call;
}

void ml_call_make_ready(struct ml_script *script, struct ml_call *call, int nargs)
{
    struct ml_waiting *w = waiting_of(script);

    call->parked = false;
    call->ticket = call->wakes_at_ms = 0;
    call->nargs = nargs;
    ml_list_append(&w->ready, &call->ready);
    if (!w->pumping)
        ml_wait_want(script, 1); /* whoever made it ready may be inside Lua */
}

/* Out of all lists. The coroutine is kept if it ended well. */
static void take_out(struct ml_script *script, struct ml_call *call, bool well)
{
    struct ml_waiting *w = waiting_of(script);

    ml_list_remove(&call->node);
    ml_list_remove(&call->ready);
    w->slots[call->id & 0xffff] = NULL;
    w->call_count--;
    ml_script_let_go(script);
    if (!script->L)
        return;
    if (call->results_ref != LUA_NOREF)
        luaL_unref(script->L, LUA_REGISTRYINDEX, call->results_ref);
    if (well && w->pooled < sizeof(w->pool) / sizeof(*w->pool)) {
        lua_settop(call->co, 0);
        w->pool[w->pooled++] = call->co_ref;
    } else {
        luaL_unref(script->L, LUA_REGISTRYINDEX, call->co_ref);
    }
}

/* Is waiting over for this call [W3]? */
static bool is_over(const struct ml_call *call)
{
    return call->overdue || (call->cancelled && !call->shields);
}

static void push_end_text(lua_State *L, const struct ml_call *call)
{
    const struct ml_waiting *w = waiting_of(ml_script_of(L));

    lua_rawgeti(L, LUA_REGISTRYINDEX, call->overdue ? w->overdue_ref : w->cancelled_ref);
}

/* A parked call goes on, and its wait raises. */
static void push_end(struct ml_script *script, struct ml_call *call)
{
    lua_pushboolean(call->co, 0);
    push_end_text(call->co, call);
    ml_call_make_ready(script, call, 2);
}

/* ---- Members of a group ---------------------------------------------------------------------- */

struct member_end {
    struct ml_call *call;
    int results; /* -1: it failed */
    char text[ML_FAULT_TEXT_MAX];
};

/* Into the parent's table; may raise for want of memory. */
static void keep_results(lua_State *L, void *arg)
{
    struct member_end *end = arg;
    struct ml_call *call = end->call, *parent = call->parent;

    lua_rawgeti(L, LUA_REGISTRYINDEX, parent->results_ref);
    if (end->results < 0) {
        lua_pushstring(L, end->text);
        lua_setfield(L, 1, "error");
        lua_pushboolean(L, call->overdue);
        lua_setfield(L, 1, "overdue");
        return;
    }
    luaL_checkstack(L, end->results + 4, "too many results");
    lua_createtable(L, end->results, 1);
    lua_xmove(call->co, L, end->results);
    for (int i = end->results; i > 0; i--)
        lua_rawseti(L, 2, i);
    lua_pushinteger(L, end->results);
    lua_setfield(L, 2, "n");
    lua_rawseti(L, 1, (int)call->member_no);
    if (!parent->settled) {
        lua_pushinteger(L, (lua_Integer)call->member_no);
        lua_setfield(L, 1, "winner");
    }
}

static void cancel_members(struct ml_script *script, const struct ml_call *parent)
{
    ML_LIST_EACH(node, &waiting_of(script)->calls)
    {
        struct ml_call *call = ML_CONTAINER(node, struct ml_call, node);

        if (call->parent == parent)
            ml_call_cancel(script, call);
    }
}

static void member_over(struct ml_script *script, struct ml_call *call, int results)
{
    struct ml_call *parent = call->parent;
    struct member_end end = {.call = call, .results = results};

    if (!parent->settled && !(results < 0 && call->cancelled && !call->overdue)) {
        memcpy(end.text, script->fault.text, sizeof(end.text));
        if (ml_script_protect(script, 0, keep_results, &end, ML_CPU_BETWEEN_WAITS) || results < 0 ||
            parent->race) {
            parent->settled = true;
            cancel_members(script, parent);
        }
    }
    if (--parent->pending)
        return;
    if (is_over(parent)) {
        push_end(script, parent);
        return;
    }
    lua_pushboolean(parent->co, 1);
    lua_rawgeti(parent->co, LUA_REGISTRYINDEX, parent->results_ref);
    ml_call_make_ready(script, parent, 2);
}

/* ---- The end of a call ----------------------------------------------------------------------- */

void ml_call_complain(struct ml_script *script, struct ml_plugin *plugin, const char *what)
{
    char line[ML_FAULT_TEXT_MAX * 2 + 128];
    int len = snprintf(line, sizeof(line), "%s failed: %s%s%s", what, script->fault.text,
                       script->fault.trace[0] ? "\n" : "", script->fault.trace);

    ml_script_log(script, plugin, ML_LOG_ERROR, ml_slice_make(line, (size_t)len));
}

static void trace_of(lua_State *L, void *arg)
{
    struct ml_script *script = ml_script_of(L);
    const char *text;

    luaL_traceback(L, arg, NULL, 0);
    text = lua_tostring(L, -1);
    snprintf(script->fault.trace, sizeof(script->fault.trace), "%s", text ? text : "");
}

static void set_fault(struct ml_script *script, enum ml_fault_kind kind, const char *text)
{
    script->fault.kind = kind;
    script->fault.trace[0] = '\0';
    snprintf(script->fault.text, sizeof(script->fault.text), "%s", text);
}

/* What the coroutine died of. */
static void take_fault(struct ml_script *script, struct ml_call *call, int status)
{
    char text[ML_FAULT_TEXT_MAX], trace[ML_FAULT_TEXT_MAX];

    if (status == LUA_ERRMEM) {
        set_fault(script, ML_FAULT_MEMORY, "out of memory");
        return;
    }
    if (lua_type(call->co, -1) == LUA_TSTRING)
        snprintf(text, sizeof(text), "%s", lua_tostring(call->co, -1));
    else
        snprintf(text, sizeof(text), "an error object of type %s", luaL_typename(call->co, -1));
    trace[0] = '\0';
    if (!ml_script_protect(script, 0, trace_of, call->co, ML_LOAD_US))
        memcpy(trace, script->fault.trace, sizeof(trace));
    set_fault(script, script->budget.fired ? ML_FAULT_TIMEOUT : ML_FAULT_ERROR, text);
    memcpy(script->fault.trace, trace, sizeof(trace));
}

static void over(struct ml_script *script, struct ml_call *call, enum ml_outcome outcome)
{
    int results = outcome == OUTCOME_FAILED ? -1 : lua_gettop(call->co);

    if (outcome == OUTCOME_FAILED && call->overdue) {
        script->fault.kind = ML_FAULT_TIMEOUT;
    } else if (outcome == OUTCOME_FAILED && call->cancelled) {
        script->fault.kind = ML_FAULT_NONE;
    }
    if (call->parent) {
        member_over(script, call, results);
        take_out(script, call, results >= 0);
        free(call);
        return;
    }
    if (results > 0) {
        lua_settop(call->co, RESULTS);
        outcome = lua_isnil(call->co, 1) && lua_isnil(call->co, 2) ? OUTCOME_NIL : OUTCOME_ANSWER;
        if (outcome == OUTCOME_ANSWER)
            lua_xmove(call->co, script->L, RESULTS);
    }
    take_out(script, call, results >= 0);
    call->run.done(script, call->run.arg, outcome);
    free(call);
    if (script->L)
        lua_settop(script->L, SLOT_COUNT);
}

/* ---- Running --------------------------------------------------------------------------------- */

static void run(struct ml_script *script, struct ml_call *call, int nargs)
{
    struct ml_waiting *w = waiting_of(script);
    int status;

    ml_list_remove(&call->ready);
    w->current = call;
    ml_share_begin(&script->share);
    ml_budget_enter(&script->budget, call->run.cpu_us ? call->run.cpu_us : ML_CPU_BETWEEN_WAITS);
    status = lua_resume(call->co, nargs);
    ml_budget_leave(&script->budget);
    ml_share_end(&script->share);
    w->current = NULL;
    ml_views_expire(script);
    if (status == LUA_YIELD && call->parked)
        return;
    if (status == 0) {
        over(script, call, OUTCOME_NIL);
        if (script->L)
            ml_state_tidy(script);
        return;
    }
    if (status == LUA_YIELD)
        set_fault(script, ML_FAULT_ERROR, "a hook must not yield");
    else
        take_fault(script, call, status);
    over(script, call, OUTCOME_FAILED);
}

static void pump(struct ml_script *script)
{
    struct ml_waiting *w = waiting_of(script);

    if (w->pumping)
        return;
    w->pumping = true;
    for (int i = 0; i < PUMP_MAX && script->L && !ml_list_is_empty(&w->ready) &&
                    !ml_share_is_empty(&script->share);
         i++) {
        struct ml_call *call = ML_CONTAINER(w->ready.next, struct ml_call, ready);

        run(script, call, call->nargs);
    }
    w->pumping = false;
    if (ml_list_is_empty(&w->ready))
        return;
    /* The org has used up its share: what is ready waits until something has flowed in. */
    ml_wait_want(script, script->share.is_empty ? script->mono_ms() + QUEUED_MS : 1);
}

struct start {
    const struct ml_run *run;
    void (*push)(lua_State *L, void *arg);
    void *arg;
    struct ml_call *call;
};

static void prepare(lua_State *L, void *arg)
{
    struct start *start = arg;
    struct ml_call *call;

    start->push(L, start->arg);
    call = ml_call_add(L, start->run);
    lua_xmove(L, call->co, lua_gettop(L));
    start->call = call;
}

uint64_t ml_call_start(struct ml_script *script, const struct ml_run *what,
                       void (*push)(lua_State *L, void *arg), void *arg)
{
    struct start start = {what, push, arg, NULL};
    struct ml_call *call;
    uint64_t id;

    if (!script->L || ml_script_protect(script, 0, prepare, &start, ML_CPU_BETWEEN_WAITS)) {
        if (!script->L)
            set_fault(script, ML_FAULT_ERROR, "there is no Lua state");
        if (start.call)
            take_out(script, start.call, false);
        free(start.call);
        what->done(script, what->arg, OUTCOME_FAILED);
        return 0;
    }
    call = start.call;
    id = call->id;
    run(script, call, lua_gettop(call->co) - 1);
    pump(script);
    call = find(script, id);
    return call && call->id == id ? id : 0;
}

/* ---- Parking --------------------------------------------------------------------------------- */

bool ml_wait_is_ours(lua_State *L)
{
    const struct ml_call *call = waiting_of(ml_script_of(L))->current;

    return call && call->co == L;
}

/* The place to blame is the plugin's, above the modules of ours that asked. */
static void refuse(lua_State *L, const char *format, const char *who, const char *what)
{
    luaL_where(L, 3);
    lua_pushfstring(L, format, who, what);
    lua_concat(L, 2);
    lua_error(L);
}

struct ml_call *ml_call_may_wait(lua_State *L, const char *what)
{
    struct ml_script *script = ml_script_of(L);
    struct ml_call *call = waiting_of(script)->current;

    if (!call && script->asking)
        refuse(L, "%s cannot wait: %s. Use ml.cache, load it in setup, or do it in after_update",
               script->asking, what);
    if (!call && script->is_probed)
        refuse(L, "%s cannot wait in a spec of one hook: %s. Ask it through t.app", "a call", what);
    if (!call)
        refuse(L, "%s cannot wait while it is loaded: %s", "a plugin", what);
    if (L != call->co)
        refuse(L, "%s cannot wait inside a coroutine of its own: %s", call->run.what, what);
    if (!lua_isyieldable(L))
        refuse(L,
               "%s cannot wait here: %s. Not inside a comparison of table.sort or a replacement "
               "of string.gsub",
               call->run.what, what);
    if (is_over(call)) {
        push_end_text(L, call);
        lua_error(L);
    }
    return call;
}

void ml_call_park(struct ml_script *script, struct ml_call *call)
{
    call->parked = true;
    if (!call->deadlined && call->run.hard_ms) {
        uint64_t now = script->mono_ms();

        call->deadlined = true;
        call->soft_at_ms = call->run.soft_ms ? now + call->run.soft_ms : 0;
        call->hard_at_ms = now + call->run.hard_ms;
        if (call->parent && call->parent->hard_at_ms && call->parent->hard_at_ms < call->hard_at_ms)
            call->hard_at_ms = call->parent->hard_at_ms;
        ml_wait_want(script, call->soft_at_ms && call->soft_at_ms < call->hard_at_ms
                                 ? call->soft_at_ms
                                 : call->hard_at_ms);
    }
    if (call->wakes_at_ms)
        ml_wait_want(script, call->wakes_at_ms);
}

/* What it waits for will not come: the wait raises. */
static void break_wait(struct ml_script *script, struct ml_call *call)
{
    if (!call->parked)
        return;
    if (call->pending) { /* it goes on when its members are over */
        cancel_members(script, call);
        return;
    }
    if (call->ticket && script->port.cancel)
        script->port.cancel(script->port.arg, script, call->ticket);
    push_end(script, call);
}

void ml_call_cancel(struct ml_script *script, struct ml_call *call)
{
    if (call->cancelled)
        return;
    call->cancelled = true;
    if (!call->shields)
        break_wait(script, call);
}

/* ---- From the outside ------------------------------------------------------------------------ */

struct answering {
    struct ml_call *call;
    const struct ml_script_answer *answer;
};

static void push_answer(lua_State *L, void *arg)
{
    struct answering *a = arg;

    lua_pushboolean(L, 1);
    ml_op_push(L, a->answer);
    lua_xmove(L, a->call->co, 2);
}

void ml_script_resume(struct ml_script *script, uint64_t ticket,
                      const struct ml_script_answer *answer)
{
    struct ml_call *call = find(script, ticket);
    struct answering a = {call, answer};

    if (!call || call->ticket != ticket || !script->L)
        return;
    call->ticket = 0;
    if (ml_script_protect(script, 0, push_answer, &a, ML_LOAD_US)) {
        if (script->fault.kind == ML_FAULT_MEMORY)
            (void)ml_state_recover(script); /* if that did not help, the next call tells */
        call->cancelled = true;
        call->shields = 0;
        push_end(script, call);
    } else {
        ml_call_make_ready(script, call, 2);
    }
    pump(script);
}

static void look_at_clock(struct ml_script *script, struct ml_call *call, uint64_t now)
{
    if (!call->parked)
        return;
    if (call->soft_at_ms && call->soft_at_ms <= now) {
        call->soft_at_ms = 0;
        script->stats.slow++;
    }
    if (call->hard_at_ms && call->hard_at_ms <= now && !call->overdue) {
        call->overdue = true;
        break_wait(script, call);
    } else if (call->wakes_at_ms && call->wakes_at_ms <= now) {
        lua_pushboolean(call->co, 1);
        ml_call_make_ready(script, call, 1);
    }
}

static void want_next(struct ml_script *script)
{
    struct ml_waiting *w = waiting_of(script);
    uint64_t next = 0;

    ML_LIST_EACH(node, &w->calls)
    {
        const struct ml_call *call = ML_CONTAINER(node, struct ml_call, node);
        const uint64_t times[] = {call->wakes_at_ms, call->soft_at_ms,
                                  call->overdue ? 0 : call->hard_at_ms};

        for (int i = 0; i < 3 && call->parked; i++)
            if (times[i] && (!next || times[i] < next))
                next = times[i];
    }
    ML_LIST_EACH(node, &w->timers)
    {
        const struct ml_timer *timer = ML_CONTAINER(node, struct ml_timer, node);

        if (!timer->running && (!next || timer->due_ms < next))
            next = timer->due_ms;
    }
    if (next)
        ml_wait_want(script, next);
}

/* Neither parked nor ready while control is in C: whoever added it raised before it could begin. */
static void remove_unborn(struct ml_script *script)
{
    ML_LIST_EACH(node, &waiting_of(script)->calls)
    {
        struct ml_call *call = ML_CONTAINER(node, struct ml_call, node);

        if (call->parked || ml_list_is_linked(&call->ready))
            continue;
        take_out(script, call, false);
        free(call);
    }
}

void ml_script_tick(struct ml_script *script)
{
    struct ml_waiting *w = waiting_of(script);
    uint64_t now = script->mono_ms();

    if (!script->L || w->pumping)
        return;
    w->wish_ms = 0;
    ML_LIST_EACH(node, &w->calls)
    look_at_clock(script, ML_CONTAINER(node, struct ml_call, node), now);
    remove_unborn(script);
    pump(script);
    ml_timers_fire(script, now);
    pump(script);
    ml_setup_tick(script);
    if (script->L)
        want_next(script);
}

void ml_script_cancel(struct ml_script *script, uint64_t id)
{
    struct ml_call *call = find(script, id);

    if (!call || call->id != id || !script->L)
        return;
    ml_call_cancel(script, call);
    pump(script);
}

size_t ml_wait_count(const struct ml_script *script, const struct ml_plugin *plugin)
{
    size_t count = 0;

    ML_LIST_EACH(node, &waiting_of(script)->calls)
    count += ML_CONTAINER(node, struct ml_call, node)->run.plugin == plugin;
    return count;
}

bool ml_wait_has_timers(const struct ml_script *script, const struct ml_plugin *plugin)
{
    ML_LIST_EACH(node, &waiting_of(script)->timers)
    {
        const struct ml_timer *timer = ML_CONTAINER(node, struct ml_timer, node);

        if (timer->plugin == plugin && !timer->stopped)
            return true;
    }
    return false;
}

/* ---- Life and death -------------------------------------------------------------------------- */

enum ml_err ml_wait_init(struct ml_script *script)
{
    struct ml_waiting *w = calloc(1, sizeof(*w));

    if (!w)
        return ML_ELIMIT;
    ml_list_init(&w->calls);
    ml_list_init(&w->ready);
    ml_list_init(&w->timers);
    w->next_number = 1;
    script->waiting = w;
    return ML_OK;
}

void ml_wait_free(struct ml_script *script)
{
    struct ml_waiting *w = waiting_of(script);

    if (!w)
        return;
    free(w->slots);
    free(w);
    script->waiting = NULL;
}

void ml_wait_open(lua_State *L)
{
    struct ml_waiting *w = waiting_of(ml_script_of(L));

    lua_pushliteral(L, "cancelled: nobody waits for this any more");
    w->cancelled_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushliteral(L, "stopped: over its deadline");
    w->overdue_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    w->pooled = 0;
}

void ml_wait_lose(struct ml_script *script)
{
    struct ml_waiting *w = waiting_of(script);
    lua_State *L = script->L;
    struct ml_list *node;

    if (!w)
        return;
    script->L = NULL;
    while ((node = ml_list_take_first(&w->timers)) != NULL) {
        free(ML_CONTAINER(node, struct ml_timer, node));
        ml_script_let_go(script);
    }
    while (!ml_list_is_empty(&w->calls)) {
        struct ml_call *call = ML_CONTAINER(w->calls.next, struct ml_call, node);

        if (call->ticket && script->port.cancel)
            script->port.cancel(script->port.arg, script, call->ticket);
        take_out(script, call, false);
        set_fault(script, ML_FAULT_ERROR, "the Lua state was closed");
        if (!call->parent)
            call->run.done(script, call->run.arg, OUTCOME_FAILED);
        free(call);
    }
    w->pooled = 0;
    script->L = L;
}

void ml_wait_forget(struct ml_script *script, const struct ml_plugin *plugin)
{
    struct ml_waiting *w = waiting_of(script);

    ML_LIST_EACH(node, &w->timers)
    {
        struct ml_timer *timer = ML_CONTAINER(node, struct ml_timer, node);

        if (timer->plugin == plugin)
            ml_timer_free(script, timer);
    }
    ML_LIST_EACH(node, &w->calls)
    {
        struct ml_call *call = ML_CONTAINER(node, struct ml_call, node);

        if (call->run.plugin == plugin)
            ml_call_cancel(script, call);
    }
    pump(script);
}
