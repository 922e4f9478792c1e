/* SPDX-License-Identifier: MIT */
/* authenticate, authorize: who somebody is and what they may. */
#include "script/ask.h"

#include <math.h>

#include "base/utf8.h"

#define IDENTITY_TEXT_MAX 256
#define SESSION_TEXT_MAX  256
#define ROLES_MAX         64

/* ---- authenticate
 * -------------------------------------------------------------------------------------------- */

struct identity_answer {
    struct ml_denial_text denial;
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
        text = ml_answer_keep(L, scratch, -1);
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
        roles[i] = ml_answer_keep(L, scratch, -1);
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
        ml_answer_denial(L, 1, &answer->denial);
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
        enum ml_outcome outcome = ml_ask(script, handler, HOOK_AUTHENTICATE, VIEW_REQUEST, request,
                                         NULL, script->hook_us);

        if (outcome == OUTCOME_NIL)
            continue;
        if (outcome == OUTCOME_FAILED ||
            !ml_ask_decode(script, handler, HOOK_AUTHENTICATE, decode_identity, &answer))
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
    struct ml_denial_text denial;
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

static void decode_grant(lua_State *L, void *arg)
{
    struct grant_answer *answer = arg;
    enum ml_answer_kind kind = ml_api_answer_kind(L, 1);
    struct ml_script_grant *to = kind == ML_ANSWER_RESTRICT ? answer->barred : answer->grant;
    struct ml_script_grant new = {0};
    double ttl_ms = 0;

    if (kind == ML_ANSWER_DENY) {
        ml_answer_denial(L, 1, &answer->denial);
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
        ttl_ms = ml_answer_duration_ms(L, -1, "ttl");
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
        enum ml_outcome outcome =
            ml_ask(script, handler, HOOK_AUTHORIZE, VIEW_ASK, question, NULL, script->hook_us);

        if (outcome == OUTCOME_NIL)
            continue;
        if (outcome == OUTCOME_FAILED ||
            !ml_ask_decode(script, handler, HOOK_AUTHORIZE, decode_grant, &answer)) {
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
