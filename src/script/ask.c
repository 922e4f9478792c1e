/*
 * How Lua is asked, and how several answers become one (plugin-api 6).
 *
 *   for each handler of the chain, in order
 *     filters (C)  ->  breaker  ->  ml_script_call: function, instance, view  ->  answer
 *                        | open           | raised, stopped, out of memory       | nil: no opinion
 *                        v                v                                      v
 *                       failure mode of the hook                          decode, combine
 *
 *  [H1] A hook that nobody registered costs one bit test (ml_script_hooks), a filtered one never
 * enters Lua, and asking one builds no table: the view is reused, the function is called by
 * reference. [H2] An answer of the wrong type is a failure like any other. [H3] The breaker reads a
 * clock only after a failure: five failures in 10 s open it for 1 s, doubling to 60 s; while it is
 * open the failure mode applies without Lua; then one call is let through. [H4] Users never see a
 * failure's text; it goes to the log.
 */
#include "script/ask.h"

#include <stdio.h>

#include "base/log.h"
#include "script/recorder.h"
#include "script/setup.h"

#define BREAKER_FAILURES  5
#define BREAKER_WINDOW_MS 10000
#define BREAKER_FIRST_MS  1000
#define BREAKER_MAX_MS    60000
#define DENIAL_CODE_MAX   (ML_PLUGIN_NAME_MAX + 1 + 64)
#define MS_MAX            (366.0 * 100 * 86400 * 1000)

/* ---- Failures
 * ------------------------------------------------------------------------------------------ */

static void open_breaker(struct ml_breaker *breaker, uint64_t now_ms, uint32_t for_ms)
{
    breaker->open_for_ms = for_ms > BREAKER_MAX_MS ? BREAKER_MAX_MS : for_ms;
    breaker->open_until_ms = now_ms + breaker->open_for_ms;
}

static void breaker_failed(struct ml_breaker *breaker, uint64_t now_ms)
{
    uint64_t oldest;

    if (breaker->open_until_ms) { /* the trial call */
        open_breaker(breaker, now_ms, breaker->open_for_ms * 2);
        return;
    }
    breaker->failures_ms[breaker->next] = now_ms;
    breaker->next = (breaker->next + 1) % BREAKER_FAILURES;
    if (breaker->count < BREAKER_FAILURES)
        breaker->count++;
    oldest = breaker->failures_ms[breaker->next];
    if (breaker->count == BREAKER_FAILURES && now_ms - oldest <= BREAKER_WINDOW_MS)
        open_breaker(breaker, now_ms, BREAKER_FIRST_MS);
}

bool ml_ask_is_open(struct ml_script *script, const struct ml_breaker *breaker)
{
    return breaker->open_until_ms && script->mono_ms() < breaker->open_until_ms;
}

static void count(struct ml_breaker *breaker, enum ml_hook_outcome outcome)
{
    if (breaker && breaker->row)
        breaker->row->outcomes[outcome]++;
}

void ml_ask_succeeded(struct ml_script *script, struct ml_breaker *breaker)
{
    count(breaker, script->is_denial ? ML_HOOK_DENIED : ML_HOOK_OK);
    script->is_denial = false;
    if (breaker->open_until_ms)
        *breaker = (struct ml_breaker){.row = breaker->row};
}

void ml_ask_took(struct ml_script *script, struct ml_handler *handler)
{
    struct ml_hook_row *row = handler->breaker.row;
    uint64_t took_us = script->share.took_us;

    ml_histogram_add(&script->stats.hook_took, took_us);
    ml_histogram_add(&handler->plugin->stats.took, took_us);
    if (!row)
        return;
    row->timed++;
    row->sum_us += took_us;
    if (took_us > row->max_us)
        row->max_us = took_us;
}

/* Make the state anew. If even that fails, every hook fails until the process is restarted. */
static void rebuild(struct ml_script *script, struct ml_plugin *plugin)
{
    struct ml_diag diag = {0};
    static const char made[] = "the Lua state was made anew";

    ml_state_close(script);
    script->memory_faults = 0;
    if (ml_state_load(script, &diag))
        ml_script_log(script, plugin, ML_LOG_ERROR, ml_slice_str(diag.text));
    else
        ml_script_log(script, plugin, ML_LOG_WARN, ml_slice_str(made));
}

void ml_ask_failed(struct ml_script *script, struct ml_plugin *plugin, struct ml_breaker *breaker,
                   const char *what)
{
    char line[ML_FAULT_TEXT_MAX * 2 + 128];
    int len = snprintf(line, sizeof(line), "%s failed: %s%s%s", what, script->fault.text,
                       script->fault.trace[0] ? "\n" : "", script->fault.trace);

    switch (script->fault.kind) {
    case ML_FAULT_TIMEOUT:
        script->stats.timeouts++;
        count(breaker, ML_HOOK_TIMEOUT);
        break;
    case ML_FAULT_MEMORY:
        script->stats.memory_faults++;
        count(breaker, ML_HOOK_NO_MEMORY);
        break;
    case ML_FAULT_NONE:
    case ML_FAULT_ERROR:
        script->stats.errors++;
        count(breaker, ML_HOOK_ERROR);
    }
    script->is_denial = false;
    plugin->stats.failures++;
    snprintf(plugin->stats.error, sizeof(plugin->stats.error), "%.30s: %.120s", what,
             script->fault.text);
    ml_script_log(script, plugin, ML_LOG_ERROR, ml_slice_make(line, (size_t)len));
    ml_flight_failed(script, plugin, what);
    if (breaker)
        breaker_failed(breaker, script->mono_ms());
    if (script->fault.kind == ML_FAULT_MEMORY && !ml_state_recover(script))
        rebuild(script, plugin);
}

static void failed(struct ml_script *script, struct ml_handler *handler, int hook)
{
    ml_ask_failed(script, handler->plugin, &handler->breaker, ml_hook_names[hook]);
}

/* ---- One question
 * ------------------------------------------------------------------------------------------ */

bool ml_ask_may(struct ml_script *script, struct ml_handler *handler, int hook)
{
    struct ml_breaker *breaker = &handler->breaker;
    bool may = script->L && ml_plugin_is_up(handler->plugin) && !ml_ask_is_open(script, breaker);

    if (!breaker->row && script->ledger)
        breaker->row = ml_ledger_row(script->ledger, handler->plugin->name, ml_hook_names[hook]);
    if (!may)
        count(breaker, ML_HOOK_OPEN);
    handler->plugin->stats.calls++;
    handler->plugin->stats.failures += !may;
    return may;
}

void ml_ask_shadow(struct ml_script *script, struct ml_plugin *plugin, int index)
{
    if (ml_api_answer_kind(script->L, index) != ML_ANSWER_DENY)
        return;
    plugin->stats.denials++;
    script->is_denial = true;
}

/* The call is over, and did not fail. */
static void note(struct ml_script *script, const struct ml_plugin *plugin, int hook,
                 const char *verdict)
{
    struct ml_question *question = &script->question;

    ml_flight_note(script, &(struct ml_flight_call){.plugin = plugin,
                                                    .hook = ml_hook_names[hook],
                                                    .verdict = verdict,
                                                    .code = question->code,
                                                    .text = question->reason,
                                                    .took_us = question->took_us});
    question->code = question->reason = (struct ml_slice){0};
}

static const char *verdict_of(const struct ml_script *script)
{
    return script->question.code.ptr                       ? "deny"
           : script->question.took_us >= ML_FLIGHT_SLOW_US ? "slow"
                                                           : "ok";
}

/* The answer, if there is one, is on top of the stack. */
enum ml_outcome ml_ask(struct ml_script *script, struct ml_handler *handler, int hook,
                       enum ml_view_kind kind, const void *subject, const void *scope,
                       uint32_t deadline_us)
{
    lua_State *L = script->L;
    uint64_t took_us;
    enum ml_err err;

    if (!ml_plan_has(script->plan, handler->plugin))
        return OUTCOME_NIL;
    if (!ml_ask_may(script, handler, hook))
        return handler->plugin->is_shadow ? OUTCOME_NIL : OUTCOME_FAILED;
    script->stats.calls++;
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->plugin->self_ref);
    ml_views_push(script, kind, subject, scope);
    (void)ml_share_is_empty(&script->share);
    script->asking = ml_hook_names[hook];
    script->question.subject = subject;
    script->question.scope = scope;
    script->question.kind = kind;
    script->question.code = script->question.reason = (struct ml_slice){0};
    err = ml_script_call(script, 2, 1, ml_share_deadline_us(&script->share, deadline_us));
    script->asking = NULL;
    script->question.took_us = took_us = script->share.took_us;
    ml_ask_took(script, handler);
    ml_views_expire(script);
    if (err) {
        failed(script, handler, hook);
        return handler->plugin->is_shadow ? OUTCOME_NIL : OUTCOME_FAILED;
    }
    if (handler->plugin->is_shadow)
        ml_ask_shadow(script, handler->plugin, -1);
    if (lua_isnil(L, -1) || handler->plugin->is_shadow) {
        lua_settop(L, SLOT_COUNT);
        ml_ask_succeeded(script, &handler->breaker);
        if (took_us >= script->flight_us)
            note(script, handler->plugin, hook, verdict_of(script));
        script->question.subject = NULL;
        return OUTCOME_NIL;
    }
    return OUTCOME_ANSWER;
}

/* Take the answer on the stack apart. False: it is not what the hook may answer. */
bool ml_ask_decode(struct ml_script *script, struct ml_handler *handler, int hook,
                   void (*fn)(lua_State *L, void *arg), void *arg)
{
    enum ml_err err = ml_script_protect(script, 1, fn, arg, script->hook_us);

    if (err)
        failed(script, handler, hook);
    else
        ml_ask_succeeded(script, &handler->breaker);
    if (!script->question.subject)
        script->question.took_us = 0; /* one that waited */
    if (!err && (script->question.code.ptr || script->question.took_us >= script->flight_us))
        note(script, handler->plugin, hook, verdict_of(script));
    script->question = (struct ml_question){0};
    ml_state_tidy(script);
    return !err;
}

void ml_ask_ignore(struct ml_script *script, struct ml_handler *handler)
{
    lua_settop(script->L, SLOT_COUNT);
    ml_ask_succeeded(script, &handler->breaker);
    script->question.subject = NULL;
}

/* ---- What decoders share ------------------------------------------------------------------- */

struct ml_slice ml_answer_keep(lua_State *L, struct ml_arena *scratch, int index)
{
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    struct ml_slice copy = ml_arena_copy(scratch, ml_slice_make(text, len));

    if (!copy.ptr)
        luaL_error(L, "no room for the answer");
    return copy;
}

/* Stack: the denial at `index`. */
void ml_answer_denial(lua_State *L, int index, const struct ml_denial_text *to)
{
    char code[DENIAL_CODE_MAX + 1];
    const char *mode;

    ml_script_of(L)->plugins[to->plugin->index].stats.denials++;
    ml_script_of(L)->is_denial = true;
    lua_getfield(L, index, "code");
    lua_getfield(L, index, "reason");
    lua_getfield(L, index, "mode");
    lua_getfield(L, index, "status");
    if (!lua_isstring(L, -4) || !lua_isstring(L, -3))
        luaL_error(L, "a denial needs code and reason");
    snprintf(code, sizeof(code), "%s.%s", to->plugin->folder, lua_tostring(L, -4));
    to->out->code = ml_arena_copy(to->scratch, ml_slice_str(code));
    if (!to->out->code.ptr)
        luaL_error(L, "no room for the answer");
    to->out->reason = ml_answer_keep(L, to->scratch, -3);
    ml_script_of(L)->question.code = to->out->code;
    ml_script_of(L)->question.reason = to->out->reason;
    mode = lua_tostring(L, -2);
    to->out->fence = mode && strcmp(mode, "fence") == 0;
    to->out->status = (uint32_t)lua_tonumber(L, -1);
    lua_pop(L, 4);
}

/* A duration (number or text) in milliseconds. */
double ml_answer_duration_ms(lua_State *L, int index, const char *name)
{
    double ms;

    if (index < 0)
        index = lua_gettop(L) + 1 + index;
    ml_shipped_require(L, "moonloom.units");
    lua_getfield(L, -1, "duration");
    lua_pushvalue(L, index);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2))
        luaL_error(L, "%s %s", name, lua_tostring(L, -1));
    ms = lua_tonumber(L, -2) * 1000;
    lua_pop(L, 3);
    return ms > MS_MAX ? MS_MAX : ms;
}

double ml_answer_size(lua_State *L, int index, const char *name)
{
    double bytes;

    ml_shipped_require(L, "moonloom.units");
    lua_getfield(L, -1, "size");
    lua_pushvalue(L, index);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2))
        luaL_error(L, "%s %s", name, lua_tostring(L, -1));
    bytes = lua_tonumber(L, -2);
    lua_pop(L, 3);
    return bytes;
}

/* ---- Numbers
 * -------------------------------------------------------------------------------------------------
 */

uint64_t ml_script_hooks(const struct ml_script *script)
{
    return script->hooks;
}

void ml_script_stats(const struct ml_script *script, struct ml_script_stats *out)
{
    *out = script->stats;
    out->memory_bytes = script->memory_bytes;
}
