/* SPDX-License-Identifier: MIT */
/* snapshot_policy: when a document is worth a snapshot. */
#include "script/ask.h"

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
        value = ml_answer_size(L, top, policy_fields[i].name);
        break;
    case UNIT_MS:
        value = ml_answer_duration_ms(L, top, policy_fields[i].name);
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
        if (ml_ask(script, handler, HOOK_SNAPSHOT_POLICY, VIEW_REF, &ref, NULL, script->hook_us) ==
            OUTCOME_ANSWER)
            (void)ml_ask_decode(script, handler, HOOK_SNAPSHOT_POLICY, decode_policy, &answer);
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
