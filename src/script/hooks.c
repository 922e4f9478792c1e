/* SPDX-License-Identifier: MIT */
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
#include "script/state.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "base/utf8.h"

#define BREAKER_FAILURES  5
#define BREAKER_WINDOW_MS 10000
#define BREAKER_FIRST_MS  1000
#define BREAKER_MAX_MS    60000
#define US_PER_64_KIB     1000
#define IDENTITY_TEXT_MAX 256
#define SESSION_TEXT_MAX  256
#define ROLES_MAX         64
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

static bool breaker_is_open(struct ml_script *script, const struct ml_breaker *breaker)
{
    return breaker->open_until_ms && script->mono_ms() < breaker->open_until_ms;
}

static void breaker_succeeded(struct ml_breaker *breaker)
{
    if (breaker->open_until_ms)
        *breaker = (struct ml_breaker){0};
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

/* The call of `handler` failed and script->fault says how. */
static void failed(struct ml_script *script, struct ml_handler *handler, int hook)
{
    char line[ML_FAULT_TEXT_MAX * 2 + 64];
    int len = snprintf(line, sizeof(line), "%s failed: %s%s%s", ml_hook_names[hook],
                       script->fault.text, script->fault.trace[0] ? "\n" : "", script->fault.trace);

    switch (script->fault.kind) {
    case ML_FAULT_TIMEOUT:
        script->stats.timeouts++;
        break;
    case ML_FAULT_MEMORY:
        script->stats.memory_faults++;
        break;
    case ML_FAULT_NONE:
    case ML_FAULT_ERROR:
        script->stats.errors++;
    }
    ml_script_log(script, handler->plugin, ML_LOG_ERROR, ml_slice_make(line, (size_t)len));
    breaker_failed(&handler->breaker, script->mono_ms());
    if (script->fault.kind == ML_FAULT_MEMORY && !ml_state_recover(script))
        rebuild(script, handler->plugin);
}

/* ---- One question
 * ------------------------------------------------------------------------------------------ */

enum outcome { OUTCOME_NIL, OUTCOME_ANSWER, OUTCOME_FAILED };

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The answer, if there is one, is on top of the stack. */
static enum outcome ask(struct ml_script *script, struct ml_handler *handler, int hook,
                        enum ml_view_kind kind, const void *subject, const void *scope,
                        uint32_t deadline_us)
{
    lua_State *L = script->L;
    uint64_t began_us;
    enum ml_err err;

    if (!L || breaker_is_open(script, &handler->breaker))
        return OUTCOME_FAILED;
    script->stats.calls++;
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, handler->plugin->self_ref);
    ml_views_push(script, kind, subject, scope);
    began_us = now_us();
    err = ml_script_call(script, 2, 1, deadline_us);
    ml_histogram_add(&script->stats.hook_took, now_us() - began_us);
    ml_views_expire(script);
    if (err) {
        failed(script, handler, hook);
        return OUTCOME_FAILED;
    }
    if (lua_isnil(L, -1)) {
        lua_settop(L, SLOT_COUNT);
        breaker_succeeded(&handler->breaker);
        return OUTCOME_NIL;
    }
    return OUTCOME_ANSWER;
}

/* Take the answer on the stack apart. False: it is not what the hook may answer. */
static bool decode(struct ml_script *script, struct ml_handler *handler, int hook,
                   void (*fn)(lua_State *L, void *arg), void *arg)
{
    enum ml_err err = ml_script_protect(script, 1, fn, arg, script->hook_us);

    if (err)
        failed(script, handler, hook);
    else
        breaker_succeeded(&handler->breaker);
    ml_state_tidy(script);
    return !err;
}

/* ---- Denials
 * --------------------------------------------------------------------------------------------- */

struct denial_text {
    const struct ml_plugin *plugin;
    struct ml_arena *scratch;
    struct ml_denial *out;
};

static struct ml_slice keep(lua_State *L, struct ml_arena *scratch, int index)
{
    size_t len;
    const char *text = lua_tolstring(L, index, &len);
    struct ml_slice copy = ml_arena_copy(scratch, ml_slice_make(text, len));

    if (!copy.ptr)
        luaL_error(L, "no room for the answer");
    return copy;
}

/* Stack: the denial at `index`. */
static void take_denial(lua_State *L, int index, const struct denial_text *to)
{
    char code[DENIAL_CODE_MAX + 1];
    const char *mode;

    lua_getfield(L, index, "code");
    lua_getfield(L, index, "reason");
    lua_getfield(L, index, "mode");
    lua_getfield(L, index, "status");
    if (!lua_isstring(L, -4) || !lua_isstring(L, -3))
        luaL_error(L, "a denial needs code and reason");
    snprintf(code, sizeof(code), "%s.%s", to->plugin->name, lua_tostring(L, -4));
    to->out->code = ml_arena_copy(to->scratch, ml_slice_str(code));
    if (!to->out->code.ptr)
        luaL_error(L, "no room for the answer");
    to->out->reason = keep(L, to->scratch, -3);
    mode = lua_tostring(L, -2);
    to->out->fence = mode && strcmp(mode, "fence") == 0;
    to->out->status = (uint32_t)lua_tonumber(L, -1);
    lua_pop(L, 4);
}

/* ---- authenticate
 * -------------------------------------------------------------------------------------------- */

struct identity_answer {
    struct denial_text denial;
    struct ml_script_identity *out;
    bool denied;
};

/* A field of the table at 1 as text; .ptr NULL if it is not there. */
static struct ml_slice text_field(lua_State *L, struct ml_arena *scratch, const char *name,
                                  size_t max)
{
    struct ml_slice text = {0};

    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        size_t len;
        const char *bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

        if (!bytes || len == 0 || len > max || !ml_utf8_check(ml_slice_make(bytes, len), NULL))
            luaL_error(L, "identity.%s must be UTF-8 text of 1 to %d bytes", name, (int)max);
        text = keep(L, scratch, -1);
    }
    lua_pop(L, 1);
    return text;
}

static void take_roles(lua_State *L, struct ml_arena *scratch, struct ml_script_identity *out)
{
    struct ml_slice *roles;
    size_t n;

    lua_getfield(L, 1, "roles");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    luaL_checktype(L, -1, LUA_TTABLE);
    n = lua_objlen(L, -1);
    if (n > ROLES_MAX)
        luaL_error(L, "identity.roles: %d at most", ROLES_MAX);
    roles = n ? ml_arena_array(scratch, n, sizeof(*roles)) : NULL;
    if (n && !roles)
        luaL_error(L, "no room for the answer");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING || lua_objlen(L, -1) > IDENTITY_TEXT_MAX)
            luaL_error(L, "identity.roles[%d] must be text of at most %d bytes", (int)i + 1,
                       IDENTITY_TEXT_MAX);
        roles[i] = keep(L, scratch, -1);
        lua_pop(L, 1);
    }
    out->roles = roles;
    out->role_count = n;
    lua_pop(L, 1);
}

static bool is_one_of(struct ml_slice word, const char *const *list)
{
    for (; *list; list++)
        if (ml_slice_equal(word, ml_slice_str(*list)))
            return true;
    return false;
}

static void decode_identity(lua_State *L, void *arg)
{
    static const char *const kinds[] = {"user", "guest", "service", NULL};
    static const char *const keys[] = {"user",    "name",       "roles", "groups", "claims",
                                       "session", "expires_at", "kind",  NULL};
    struct identity_answer *answer = arg;
    struct ml_script_identity *out = answer->out;
    struct ml_arena *scratch = answer->denial.scratch;

    if (ml_api_answer_kind(L, 1) == ML_ANSWER_DENY) {
        take_denial(L, 1, &answer->denial);
        answer->denied = true;
        return;
    }
    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer an identity, ml.deny or nil, not a %s", luaL_typename(L, 1));
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        size_t len = 0;
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : "";

        if (!is_one_of(ml_slice_make(key, len), keys))
            luaL_error(L, "identity: unknown field '%s'", key);
    }
    *out = (struct ml_script_identity){0};
    out->user = text_field(L, scratch, "user", IDENTITY_TEXT_MAX);
    if (!out->user.ptr)
        luaL_error(L, "identity.user must be given");
    out->name = text_field(L, scratch, "name", IDENTITY_TEXT_MAX);
    if (!out->name.ptr)
        out->name = out->user;
    out->session = text_field(L, scratch, "session", SESSION_TEXT_MAX);
    out->kind = text_field(L, scratch, "kind", IDENTITY_TEXT_MAX);
    if (!out->kind.ptr)
        out->kind = ML_SLICE("user");
    if (!is_one_of(out->kind, kinds))
        luaL_error(L, "identity.kind must be \"user\", \"guest\" or \"service\"");
    take_roles(L, scratch, out);
    lua_getfield(L, 1, "expires_at");
    if (!lua_isnil(L, -1)) {
        double seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;

        if (!(seconds > 0 && seconds < 1e12))
            luaL_error(L, "identity.expires_at must be seconds since 1970");
        out->expires_at_ms = (int64_t)(seconds * 1000);
    }
}

enum ml_err ml_script_authenticate(struct ml_script *script,
                                   const struct ml_script_request *request,
                                   struct ml_arena *scratch, bool *known_out,
                                   struct ml_script_identity *identity_out,
                                   struct ml_denial *denial_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_AUTHENTICATE];

    *known_out = false;
    *denial_out = (struct ml_denial){0};
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct identity_answer answer = {
            {handler->plugin, scratch, denial_out}, identity_out, false};
        enum outcome outcome =
            ask(script, handler, HOOK_AUTHENTICATE, VIEW_REQUEST, request, NULL, script->hook_us);

        if (outcome == OUTCOME_NIL)
            continue;
        if (outcome == OUTCOME_FAILED ||
            !decode(script, handler, HOOK_AUTHENTICATE, decode_identity, &answer))
            return ML_ESCRIPT;
        if (answer.denied) {
            script->stats.denials++;
            return ML_EDENIED;
        }
        *known_out = true;
        return ML_OK;
    }
    return ML_OK;
}

/* ---- authorize
 * -----------------------------------------------------------------------------------------------
 */

struct grant_answer {
    struct denial_text denial;
    struct ml_script_grant *grant;  /* union so far */
    struct ml_script_grant *barred; /* restrictions so far */
    bool denied;
};

/* true, false, or for `write` a list that says everything. */
static bool flag_field(lua_State *L, const char *name, bool may_be_list)
{
    bool flag = false;

    lua_getfield(L, 1, name);
    if (lua_isnil(L, -1) || lua_isboolean(L, -1)) {
        flag = lua_toboolean(L, -1);
    } else if (may_be_list && lua_istable(L, -1)) {
        int n = (int)lua_objlen(L, -1);

        for (int i = 1; i <= n; i++) {
            lua_rawgeti(L, -1, i);
            flag |= lua_isstring(L, -1) && strcmp(lua_tostring(L, -1), "**") == 0;
            lua_pop(L, 1);
        }
        lua_pushnil(L);
        if (!flag && lua_next(L, -2))
            luaL_error(L, "%s by path comes with a later API level; use true, false or { \"**\" }",
                       name);
        lua_settop(L, 1);
        return flag;
    } else {
        luaL_error(L, "%s must be true or false", name);
    }
    lua_pop(L, 1);
    return flag;
}

/* A duration (number or text) in milliseconds. */
static double duration_ms(lua_State *L, int index, const char *name)
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

static void decode_grant(lua_State *L, void *arg)
{
    struct grant_answer *answer = arg;
    enum ml_answer_kind kind = ml_api_answer_kind(L, 1);
    struct ml_script_grant *to = kind == ML_ANSWER_RESTRICT ? answer->barred : answer->grant;
    struct ml_script_grant new = {0};
    double ttl_ms = 0;

    if (kind == ML_ANSWER_DENY) {
        take_denial(L, 1, &answer->denial);
        answer->denied = true;
        return;
    }
    if (kind == ML_ANSWER_OTHER)
        luaL_error(L, "must answer ml.grant, ml.restrict, ml.deny or nil, not a %s",
                   luaL_typename(L, 1));
    new.read = flag_field(L, "read", false);
    new.write = flag_field(L, "write", true);
    new.presence = flag_field(L, "presence", false);
    new.messages = flag_field(L, "messages", false);
    new.history = flag_field(L, "history", false);
    lua_getfield(L, 1, "ttl");
    if (!lua_isnil(L, -1))
        ttl_ms = duration_ms(L, -1, "ttl");
    /* All of it is in order: now it counts. */
    to->given = true;
    to->read |= new.read;
    to->write |= new.write;
    to->presence |= new.presence;
    to->messages |= new.messages;
    to->history |= new.history;
    if (ttl_ms > 0) {
        uint32_t ttl = ttl_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ceil(ttl_ms);

        if (!to->ttl_ms || ttl < to->ttl_ms)
            to->ttl_ms = ttl;
    }
}

enum ml_err ml_script_authorize(struct ml_script *script, const struct ml_script_ask *question,
                                struct ml_arena *scratch, struct ml_script_grant *grant_out,
                                struct ml_denial *denial_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_AUTHORIZE];
    struct ml_script_grant barred = {0};
    enum ml_err worst = ML_OK;

    *grant_out = (struct ml_script_grant){0};
    *denial_out = (struct ml_denial){0};
    /* A denial wins over a failure, so everybody is asked until somebody denies. */
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct grant_answer answer = {
            {handler->plugin, scratch, denial_out}, grant_out, &barred, false};
        enum outcome outcome =
            ask(script, handler, HOOK_AUTHORIZE, VIEW_ASK, question, NULL, script->hook_us);

        if (outcome == OUTCOME_NIL)
            continue;
        if (outcome == OUTCOME_FAILED ||
            !decode(script, handler, HOOK_AUTHORIZE, decode_grant, &answer)) {
            worst = ML_ESCRIPT;
            continue;
        }
        if (answer.denied) {
            script->stats.denials++;
            return ML_EDENIED;
        }
    }
    if (worst)
        return worst;
    grant_out->read &= !barred.read;
    grant_out->write &= !barred.write;
    grant_out->presence &= !barred.presence;
    grant_out->messages &= !barred.messages;
    grant_out->history &= !barred.history;
    return ML_OK;
}

/* ---- before_update
 * ------------------------------------------------------------------------------------------- */

static void decode_denial(lua_State *L, void *arg)
{
    if (ml_api_answer_kind(L, 1) != ML_ANSWER_DENY)
        luaL_error(L, "must answer ml.deny or nil, not a %s", luaL_typename(L, 1));
    take_denial(L, 1, arg);
}

enum ml_err ml_script_before_update(struct ml_script *script, const struct ml_scope *scope,
                                    const struct ml_update *update, struct ml_arena *scratch,
                                    struct ml_denial *denial_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_BEFORE_UPDATE];
    uint64_t deadline_us = script->hook_us;

    *denial_out = (struct ml_denial){0};
    if (chain->count)
        deadline_us += ml_update_facts(update)->bytes / 65536 * US_PER_64_KIB;
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct denial_text answer = {handler->plugin, scratch, denial_out};
        enum outcome outcome;

        if (!handler->filter.any && !ml_filter_matches(&handler->filter, update, scope->origin))
            continue;
        outcome = ask(script, handler, HOOK_BEFORE_UPDATE, VIEW_UPDATE, update, scope,
                      (uint32_t)deadline_us);
        if (outcome == OUTCOME_NIL)
            continue;
        if (outcome == OUTCOME_FAILED ||
            !decode(script, handler, HOOK_BEFORE_UPDATE, decode_denial, &answer)) {
            if (handler->fails != ML_FAILS_SKIP)
                return ML_ESCRIPT;
            continue;
        }
        script->stats.denials++;
        return ML_EDENIED;
    }
    return ML_OK;
}

/* ---- after_update
 * -------------------------------------------------------------------------------------------- */

void ml_script_after_update(struct ml_script *script, const struct ml_script_batch *batch,
                            struct ml_arena *scratch)
{
    const struct ml_chain *chain = &script->chains[HOOK_AFTER_UPDATE];

    (void)scratch;
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];

        if (ask(script, handler, HOOK_AFTER_UPDATE, VIEW_BATCH, batch, NULL, script->hook_us) ==
            OUTCOME_ANSWER) { /* of an observer: ignored */
            lua_settop(script->L, SLOT_COUNT);
            breaker_succeeded(&handler->breaker);
        }
    }
    if (script->L)
        ml_state_tidy(script);
}

/* ---- snapshot_policy
 * --------------------------------------------------------------------------------------- */

enum unit { UNIT_COUNT, UNIT_BYTES, UNIT_MS, UNIT_FLAG };

static const struct {
    const char *name;
    enum unit unit;
    size_t offset;
} policy_fields[] = {
    {"every_ops", UNIT_COUNT, offsetof(struct ml_snapshot_policy, every_ops)},
    {"every_bytes", UNIT_BYTES, offsetof(struct ml_snapshot_policy, every_bytes)},
    {"every", UNIT_MS, offsetof(struct ml_snapshot_policy, every_ms)},
    {"idle", UNIT_MS, offsetof(struct ml_snapshot_policy, idle_ms)},
    {"min_gap", UNIT_MS, offsetof(struct ml_snapshot_policy, min_gap_ms)},
    {"on_unload", UNIT_FLAG, offsetof(struct ml_snapshot_policy, on_unload)},
    {"on_shutdown", UNIT_FLAG, offsetof(struct ml_snapshot_policy, on_shutdown)},
};
#define POLICY_FIELDS (sizeof(policy_fields) / sizeof(*policy_fields))

struct policy_answer {
    struct ml_snapshot_policy policy;
    bool set[POLICY_FIELDS]; /* somebody said something about it */
};

static uint64_t *number_at(struct ml_snapshot_policy *policy, size_t field)
{
    return (uint64_t *)(void *)((char *)policy + policy_fields[field].offset);
}

static bool *flag_at(struct ml_snapshot_policy *policy, size_t field)
{
    return (bool *)(void *)((char *)policy + policy_fields[field].offset);
}

/* The earliest counts; 0 is never. */
static void merge_number(uint64_t *so_far, bool *set, uint64_t value)
{
    if (!*set || *so_far == 0 || (value && value < *so_far))
        *so_far = value;
    *set = true;
}

static double size_bytes(lua_State *L, int index, const char *name)
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

/* One field of the answer; its value is at the top. */
static void take_policy_field(lua_State *L, size_t i, struct policy_answer *to)
{
    int top = lua_gettop(L);
    double value = 0;

    switch (policy_fields[i].unit) {
    case UNIT_FLAG:
        if (!lua_isboolean(L, top))
            luaL_error(L, "%s must be true or false", policy_fields[i].name);
        *flag_at(&to->policy, i) =
            (to->set[i] && *flag_at(&to->policy, i)) || lua_toboolean(L, top);
        to->set[i] = true;
        return;
    case UNIT_COUNT:
        value = lua_type(L, top) == LUA_TNUMBER ? lua_tonumber(L, top) : -1;
        break;
    case UNIT_BYTES:
        value = size_bytes(L, top, policy_fields[i].name);
        break;
    case UNIT_MS:
        value = duration_ms(L, top, policy_fields[i].name);
        break;
    }
    if (!(value >= 0 && value < 9e15))
        luaL_error(L, "%s must be a number from 0", policy_fields[i].name);
    merge_number(number_at(&to->policy, i), &to->set[i], (uint64_t)value);
}

static void decode_policy(lua_State *L, void *arg)
{
    struct policy_answer *to = arg;
    struct policy_answer merged = *to;

    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer a table or nil, not a %s", luaL_typename(L, 1));
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        size_t i = 0;

        while (i < POLICY_FIELDS && strcmp(policy_fields[i].name, key) != 0)
            i++;
        if (strcmp(key, "on_paths") == 0)
            luaL_error(L, "on_paths is not available in this version");
        if (i == POLICY_FIELDS)
            luaL_error(L, "unknown field '%s'", key);
        take_policy_field(L, i, &merged);
    }
    *to = merged;
}

void ml_script_snapshot_policy(struct ml_script *script, struct ml_slice org,
                               struct ml_slice document, struct ml_arena *scratch,
                               struct ml_snapshot_policy *policy)
{
    const struct ml_chain *chain = &script->chains[HOOK_SNAPSHOT_POLICY];
    const struct ml_script_ref ref = {org, document};
    struct policy_answer answer = {0};

    (void)scratch;
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];

        /* A failure means the core's own answer: what the others set still counts. */
        if (ask(script, handler, HOOK_SNAPSHOT_POLICY, VIEW_REF, &ref, NULL, script->hook_us) ==
            OUTCOME_ANSWER)
            (void)decode(script, handler, HOOK_SNAPSHOT_POLICY, decode_policy, &answer);
    }
    for (size_t i = 0; i < POLICY_FIELDS; i++) {
        if (!answer.set[i])
            continue;
        if (policy_fields[i].unit == UNIT_FLAG)
            *flag_at(policy, i) = *flag_at(&answer.policy, i);
        else
            *number_at(policy, i) = *number_at(&answer.policy, i);
    }
}

/* ---- Numbers
 * -------------------------------------------------------------------------------------------------
 */

unsigned ml_script_hooks(const struct ml_script *script)
{
    return script->hooks;
}

void ml_script_stats(const struct ml_script *script, struct ml_script_stats *out)
{
    *out = script->stats;
    out->memory_bytes = script->memory_bytes;
}
