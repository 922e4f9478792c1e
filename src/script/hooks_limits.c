/* SPDX-License-Identifier: MIT */
/* limits, over_limit (plugin-api 6.7). Of several answers the smallest counts, each rate with the
 * burst, scope and action that came with it. */
#include "script/round.h"

#include <math.h>
#include <stdlib.h>

#define SOFT_MS     500
#define HARD_MS     5000
#define SLOW_MAX_MS 5000
#define BURST_TIMES 8 /* the rate's number, if nobody says */
#define TIMES_MAX   1000.0
#define AFTER_MAX   1e6

const char *const ml_rate_names[ML_RATES] = {"updates", "bytes", "messages", "awareness",
                                             "rpc",     "http",  "connects"};
const char *const ml_ceiling_names[ML_CEILINGS] = {"connections", "connections_per_user",
                                                   "update_bytes", "doc_bytes"};
const char *const ml_limit_pers[] = {"session", "user", "address", "org", NULL};
static const char *const actions[] = {"slow", "refuse", "close", NULL};
static const char *const identity_fields[] = {"user",  "name",   "session", "kind",
                                              "roles", "groups", NULL};
static const char *const limit_fields[] = {"what", "used", "limit", "identity", "scope", NULL};

void ml_limits_none(struct ml_limits_answer *out)
{
    *out = (struct ml_limits_answer){0};
    for (size_t i = 0; i < ML_CEILINGS; i++)
        out->ceilings[i] = UINT64_MAX;
}

static void push_identity(lua_State *L, const struct ml_script_identity *who)
{
    lua_createtable(L, 0, 6);
    ml_round_text(L, "user", who->user);
    ml_round_text(L, "name", who->name);
    ml_round_text(L, "session", who->session);
    ml_round_text(L, "kind", who->kind);
    ml_round_texts(L, "roles", who->roles, who->role_count);
    ml_round_texts(L, "groups", who->groups, who->group_count);
    ml_round_seal(L, "identity", identity_fields);
}

/* ---- limits ------------------------------------------------------------------------------------
 */

struct limits {
    struct ml_round base; /* first */
    const struct ml_script_identity *who;
    struct ml_limits_answer answer;
    bool has_failed;
    ml_limits_done done;
    void *arg;
};

static struct limits *limits_of(struct ml_round *round)
{
    return (struct limits *)(void *)round;
}

/* Each handler is called at the latest when the one before has waited: `who` has to last. */
static void push_who(lua_State *L, struct ml_round *round)
{
    push_identity(L, limits_of(round)->who);
}

/* "30/s", or { n = 30, per = 1 } as a configuration has it: at index 2. */
static void read_rate(lua_State *L, const char *name, double *n, double *per_s)
{
    if (lua_type(L, 2) == LUA_TSTRING) {
        ml_shipped_require(L, "moonloom.units");
        lua_getfield(L, -1, "rate");
        lua_pushvalue(L, 2);
        lua_call(L, 1, 2);
        if (lua_isnil(L, -2))
            luaL_error(L, "limits.%s %s", name, lua_tostring(L, -1));
        lua_pop(L, 1);
        lua_replace(L, 2);
        lua_settop(L, 2);
    }
    if (!lua_istable(L, 2))
        luaL_error(L, "limits.%s must be a rate as \"30/s\", not a %s", name, luaL_typename(L, 2));
    lua_getfield(L, 2, "n");
    lua_getfield(L, 2, "per");
    *n = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : -1;
    *per_s = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (!(*n >= 0 && *n<HUGE_VAL && * per_s> 0 && *per_s < HUGE_VAL))
        luaL_error(L, "limits.%s must be a rate as \"30/s\"", name);
}

/* A number of the answer at 1; `fallback` if it says nothing. */
static double number_of(lua_State *L, const char *name, double fallback, double least, double most)
{
    double value = fallback;

    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        value = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
        if (!(value >= least && value <= most))
            luaL_error(L, "limits.%s must be a number from %d to %d", name, (int)least, (int)most);
    }
    lua_pop(L, 1);
    return value;
}

/* The index of a word of the answer at 1; 0 if it says nothing. */
static int word_of(lua_State *L, const char *name, const char *const *words)
{
    int word = 0;

    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";

        while (words[word] && strcmp(words[word], text) != 0)
            word++;
        if (!words[word])
            luaL_error(L, "limits.%s cannot be '%s'", name, text);
    }
    lua_pop(L, 1);
    return word;
}

static int index_of(const char *key, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(key, names[i]) == 0)
            return i;
    return -1;
}

/* Facts of the store are not counted here: the plugin `quotas` looks after them. */
static const char *const others[] = {"burst",     "per",     "action",    "close_after",
                                     "documents", "storage", "snapshots", "egress"};

static void check_key(lua_State *L, const char *key)
{
    if (!key)
        luaL_error(L, "limits: a name is text");
    if (index_of(key, ml_rate_names, ML_RATES) < 0 &&
        index_of(key, ml_ceiling_names, ML_CEILINGS) < 0 &&
        index_of(key, others, sizeof others / sizeof *others) < 0)
        luaL_error(L, "limits: unknown limit '%s'", key);
}

static void take_rate(lua_State *L, int rate, const struct ml_rate_limit *how, double times,
                      struct ml_limits_answer *out)
{
    struct ml_rate_limit one = *how, *kept = &out->rates[rate];
    double n, per_s;

    read_rate(L, ml_rate_names[rate], &n, &per_s);
    one.is_set = true;
    one.per_second = n / per_s;
    one.burst = n > 0 && n * times < 1 ? 1 : n * times;
    if (rate == ML_RATE_CONNECTS)
        one.per = ML_PER_ADDRESS;
    if (!kept->is_set || one.per_second < kept->per_second)
        *kept = one;
}

static void take_ceiling(lua_State *L, int ceiling, struct ml_limits_answer *out)
{
    double value;

    if (lua_type(L, 2) != LUA_TNUMBER && lua_type(L, 2) != LUA_TSTRING)
        luaL_error(L, "limits.%s must be a number or a size", ml_ceiling_names[ceiling]);
    value = ml_answer_size(L, 2, ml_ceiling_names[ceiling]);
    if (value < (double)out->ceilings[ceiling])
        out->ceilings[ceiling] = (uint64_t)value;
}

static void decode_limits(lua_State *L, struct ml_round *round)
{
    struct ml_limits_answer out = limits_of(round)->answer;
    struct ml_rate_limit how = {0};
    double times;

    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer a table of limits or nil, not a %s", luaL_typename(L, 1));
    times = number_of(L, "burst", BURST_TIMES, 1, TIMES_MAX);
    how.close_after = (uint32_t)number_of(L, "close_after", 0, 0, AFTER_MAX);
    how.per = (enum ml_limit_per)word_of(L, "per", ml_limit_pers);
    how.action = (enum ml_limit_action)word_of(L, "action", actions);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
        check_key(L, lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL);
    for (int i = 0; i < ML_RATES + ML_CEILINGS; i++) {
        lua_settop(L, 1);
        lua_getfield(L, 1, i < ML_RATES ? ml_rate_names[i] : ml_ceiling_names[i - ML_RATES]);
        if (lua_isnil(L, 2))
            continue;
        if (i < ML_RATES)
            take_rate(L, i, &how, times, &out);
        else
            take_ceiling(L, i - ML_RATES, &out);
    }
    limits_of(round)->answer = out;
}

static void failed_limits(struct ml_round *round)
{
    limits_of(round)->has_failed = true;
}

static void on_limits(struct ml_round *round)
{
    struct limits *limits = limits_of(round);

    limits->done(limits->arg, limits->has_failed ? NULL : &limits->answer);
    free(limits);
}

/* A copy that lasts as long as the round, in one piece with it. */
static struct limits *limits_new(const struct ml_script_identity *who)
{
    size_t texts = who->user.len + who->name.len + who->session.len + who->kind.len;
    size_t names = who->role_count + who->group_count, at = 0;
    struct limits *limits;
    struct ml_script_identity *copy;
    struct ml_slice *lists;
    uint8_t *to;

    for (size_t i = 0; i < who->role_count; i++)
        texts += who->roles[i].len;
    for (size_t i = 0; i < who->group_count; i++)
        texts += who->groups[i].len;
    limits = calloc(1, sizeof *limits + sizeof *copy + names * sizeof *lists + texts);
    if (!limits)
        return NULL;
    copy = (void *)(limits + 1);
    lists = (void *)(copy + 1);
    to = (void *)(lists + names);
    *copy = *who;
#define KEEP(slice)                                                                                \
    do {                                                                                           \
        if ((slice).len)                                                                           \
            memcpy(to, (slice).ptr, (slice).len);                                                  \
        (slice).ptr = (slice).ptr ? to : NULL;                                                     \
        to += (slice).len;                                                                         \
    } while (0)
    KEEP(copy->user);
    KEEP(copy->name);
    KEEP(copy->session);
    KEEP(copy->kind);
    copy->roles = lists;
    for (size_t i = 0; i < who->role_count; i++, at++) {
        lists[at] = who->roles[i];
        KEEP(lists[at]);
    }
    copy->groups = lists + at;
    for (size_t i = 0; i < who->group_count; i++, at++) {
        lists[at] = who->groups[i];
        KEEP(lists[at]);
    }
#undef KEEP
    limits->who = copy;
    return limits;
}

void ml_script_limits(struct ml_script *script, const struct ml_script_identity *who,
                      ml_limits_done done, void *arg)
{
    struct limits *limits = limits_new(who);

    if (!limits) {
        done(arg, NULL);
        return;
    }
    limits->base = (struct ml_round){.hook = HOOK_LIMITS,
                                     .push = push_who,
                                     .decode = decode_limits,
                                     .failed = failed_limits,
                                     .done = on_limits,
                                     .soft_ms = SOFT_MS,
                                     .hard_ms = HARD_MS,
                                     .is_timed_as_one = true};
    ml_limits_none(&limits->answer);
    limits->done = done;
    limits->arg = arg;
    ml_round_start(script, &limits->base);
}

/* ---- over_limit --------------------------------------------------------------------------------
 */

struct over {
    struct ml_round base; /* first */
    const struct ml_script_over *over;
    struct ml_arena *scratch;
    struct ml_over_answer *out;
};

static void push_over(lua_State *L, struct ml_round *round)
{
    const struct ml_script_over *over = ((struct over *)(void *)round)->over;

    lua_createtable(L, 0, 5);
    ml_round_text(L, "what", ml_slice_str(over->what));
    ml_round_number(L, "used", over->used);
    ml_round_number(L, "limit", over->limit);
    ml_round_text(L, "scope", ml_slice_str(over->scope));
    push_identity(L, over->identity);
    lua_setfield(L, -2, "identity");
    ml_round_seal(L, "l", limit_fields);
}

static void decode_over(lua_State *L, struct ml_round *round)
{
    struct over *over = (struct over *)(void *)round;
    struct ml_over_answer *out = over->out;
    const struct ml_denial_text to = {round->handler->plugin, over->scratch, &out->denial};
    double ms;

    switch (ml_api_answer_kind(L, 1)) {
    case ML_ANSWER_SLOW:
        lua_getfield(L, 1, "seconds");
        ms = lua_tonumber(L, -1) * 1000;
        out->slow_ms = (uint32_t)ceil(ms < SLOW_MAX_MS ? ms : SLOW_MAX_MS);
        out->verdict = ML_OVER_SLOW;
        break;
    case ML_ANSWER_ALLOW:
        out->verdict = ML_OVER_ALLOW;
        break;
    case ML_ANSWER_DENY:
        ml_answer_denial(L, 1, &to);
        out->verdict = out->denial.fence ? ML_OVER_CLOSE : ML_OVER_REFUSE;
        break;
    default:
        luaL_error(L, "must answer ml.slow, ml.allow, ml.deny or nil, not a %s",
                   luaL_typename(L, 1));
    }
    round->is_over = true;
}

void ml_script_over_limit(struct ml_script *script, const struct ml_script_over *over,
                          struct ml_arena *scratch, struct ml_over_answer *out)
{
    struct over round = {
        .base = {.hook = HOOK_OVER_LIMIT, .push = push_over, .decode = decode_over},
        .over = over,
        .scratch = scratch,
        .out = out};

    *out = (struct ml_over_answer){0};
    ml_round_run(script, &round.base);
}
