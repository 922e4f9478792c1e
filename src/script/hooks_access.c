/* SPDX-License-Identifier: MIT */
/* authenticate, authorize: who somebody is and what they may. */
#include "script/ask.h"

#include <math.h>

#include "base/utf8.h"

#define IDENTITY_TEXT_MAX 256
#define SESSION_TEXT_MAX  256
#define ROLES_MAX         64
#define PATTERN_MAX       512
#define CODE_MAX          64 /* as in ml.deny */
#define REASON_MAX        500
#define NOT_HERE          "You may not change this part of the document."

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
    struct writes *writes;          /* of both */
    bool denied;
};

/* Lines of `write`, of all answers. */
struct writes {
    struct ml_script_write at[ML_SCRIPT_WRITES_MAX];
    size_t count;
};

static bool flag_field(lua_State *L, const char *name)
{
    bool flag;

    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
        luaL_error(L, "%s must be true or false", name);
    flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

#define BIT(kind) (1u << (kind))

/* "insert", "delete", "format"; a kind, or its first part; 0: no such word. */
static uint32_t kinds_of_word(struct ml_slice word)
{
    static const struct {
        const char *word;
        uint32_t kinds;
    } operations[] = {
        {"insert", BIT(ML_EFFECT_TEXT_INSERT) | BIT(ML_EFFECT_MAP_SET) |
                       BIT(ML_EFFECT_ARRAY_INSERT) | BIT(ML_EFFECT_XML_INSERT) |
                       BIT(ML_EFFECT_XML_ATTR) | BIT(ML_EFFECT_SUBDOC)},
        {"delete", BIT(ML_EFFECT_TEXT_DELETE) | BIT(ML_EFFECT_MAP_DELETE) |
                       BIT(ML_EFFECT_ARRAY_DELETE) | BIT(ML_EFFECT_XML_DELETE) |
                       ML_EDIT_ATTR_REMOVED},
        {"format", BIT(ML_EFFECT_TEXT_FORMAT)},
    };
    uint32_t kinds;

    for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
        if (ml_slice_equal(word, ml_slice_str(operations[i].word)))
            return operations[i].kinds;
    kinds = ml_edit_word_bits(word);
    return kinds & BIT(ML_EFFECT_XML_ATTR) ? kinds | ML_EDIT_ATTR_REMOVED : kinds;
}

static void add_write(lua_State *L, struct grant_answer *answer, uint32_t kinds, int pattern)
{
    struct writes *writes = answer->writes;
    struct ml_script_write *line;
    size_t len = 0;
    const char *text = NULL;

    if (writes->count == ML_SCRIPT_WRITES_MAX)
        luaL_error(L, "write: more than %d patterns", ML_SCRIPT_WRITES_MAX);
    if (pattern) {
        text = lua_type(L, pattern) == LUA_TSTRING ? lua_tolstring(L, pattern, &len) : NULL;
        if (!text || !len || len > PATTERN_MAX || !ml_utf8_check(ml_slice_make(text, len), NULL))
            luaL_error(L, "write: a pattern must be UTF-8 text of 1 to %d bytes", PATTERN_MAX);
    }
    line = &writes->at[writes->count++];
    *line = (struct ml_script_write){.kinds = kinds};
    if (text && !ml_slice_equal(ml_slice_make(text, len), ML_SLICE("**")))
        line->pattern = ml_answer_keep(L, answer->denial.scratch, pattern);
}

/* The value at the top for these kinds: true, false, or a list of patterns. It stays. */
static void add_patterns(lua_State *L, struct grant_answer *answer, uint32_t kinds)
{
    int value = lua_gettop(L), n;

    if (lua_isboolean(L, value)) {
        if (lua_toboolean(L, value))
            add_write(L, answer, kinds, 0);
        return;
    }
    if (!lua_istable(L, value))
        luaL_error(L, "write: true, or a list of path patterns, not a %s", luaL_typename(L, value));
    n = (int)lua_objlen(L, value);
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, value, i);
        add_write(L, answer, kinds, lua_gettop(L));
        lua_pop(L, 1);
    }
}

/* The field `write` into lines. True: there are some, or it is true: then one for everything. */
static bool write_field(lua_State *L, struct grant_answer *answer)
{
    size_t before = answer->writes->count;

    lua_getfield(L, 1, "write");
    if (!lua_isnil(L, -1))
        add_patterns(L, answer, ML_EDIT_ALL);
    if (lua_istable(L, -1)) {
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            size_t len = 0;
            const char *word;
            uint32_t kinds;

            if (lua_type(L, -2) == LUA_TNUMBER)
                continue;
            word = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : "";
            kinds = kinds_of_word(ml_slice_make(word, len));
            if (!kinds)
                luaL_error(L, "write: '%s' is neither insert, delete or format nor a kind of edits",
                           word);
            add_patterns(L, answer, kinds);
        }
    }
    lua_pop(L, 1);
    return answer->writes->count > before;
}

/* A text of a restriction, or what stands for it. */
static struct ml_slice word_field(lua_State *L, struct grant_answer *answer, const char *name,
                                  const char *otherwise, size_t max)
{
    struct ml_slice text = ml_slice_str(otherwise);

    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        size_t len = 0;
        const char *bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

        if (!len || len > max || !ml_utf8_check(ml_slice_make(bytes, len), NULL))
            luaL_error(L, "%s must be UTF-8 text of 1 to %d bytes", name, (int)max);
        text = ml_answer_keep(L, answer->denial.scratch, -1);
    }
    lua_pop(L, 1);
    return text;
}

/* The lines from `from` on are a restriction's. */
static void bar(lua_State *L, struct grant_answer *answer, size_t from)
{
    struct ml_slice reason = word_field(L, answer, "reason", NOT_HERE, REASON_MAX), code;

    code = word_field(L, answer, "code", "restricted", CODE_MAX);
    lua_pushfstring(L, "%s.%s", answer->denial.plugin->name, (const char *)code.ptr);
    code = ml_answer_keep(L, answer->denial.scratch, -1);
    lua_pop(L, 1);
    for (size_t i = from; i < answer->writes->count; i++) {
        answer->writes->at[i].bars = true;
        answer->writes->at[i].code = code;
        answer->writes->at[i].reason = reason;
    }
}

static void decode_grant(lua_State *L, void *arg)
{
    struct grant_answer *answer = arg;
    enum ml_answer_kind kind = ml_api_answer_kind(L, 1);
    struct ml_script_grant *to = kind == ML_ANSWER_RESTRICT ? answer->barred : answer->grant;
    struct ml_script_grant new = {0};
    size_t before = answer->writes->count;
    double ttl_ms = 0;

    if (kind == ML_ANSWER_DENY) {
        ml_answer_denial(L, 1, &answer->denial);
        answer->denied = true;
        return;
    }
    if (kind == ML_ANSWER_OTHER)
        luaL_error(L, "must answer ml.grant, ml.restrict, ml.deny or nil, not a %s",
                   luaL_typename(L, 1));
    new.read = flag_field(L, "read");
    new.presence = flag_field(L, "presence");
    new.messages = flag_field(L, "messages");
    new.history = flag_field(L, "history");
    new.write = write_field(L, answer);
    if (kind == ML_ANSWER_RESTRICT)
        bar(L, answer, before);
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

static bool is_everything(const struct ml_script_write *write)
{
    return !write->pattern.len && write->kinds == ML_EDIT_ALL;
}

/* What was given and taken away, together: nothing, everything, or lines to be looked at. */
static void settle_writes(const struct writes *writes, struct ml_script_grant *grant)
{
    bool all = false, some_barred = false;

    for (size_t i = 0; i < writes->count; i++) {
        const struct ml_script_write *write = &writes->at[i];

        some_barred |= write->bars;
        all |= !write->bars && is_everything(write);
        if (write->bars && is_everything(write))
            grant->write = false;
    }
    if (!grant->write || (all && !some_barred))
        return;
    grant->writes = writes->at;
    grant->write_count = writes->count;
}

enum ml_err ml_script_authorize(struct ml_script *script, const struct ml_script_ask *question,
                                struct ml_arena *scratch, struct ml_script_grant *grant_out,
                                struct ml_denial *denial_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_AUTHORIZE];
    struct ml_script_grant barred = {0};
    struct writes *writes = ml_arena_alloc(scratch, sizeof(*writes));
    enum ml_err worst = ML_OK;

    if (!writes)
        return ML_ESCRIPT;
    *grant_out = (struct ml_script_grant){0};
    *denial_out = (struct ml_denial){0};
    /* A denial wins over a failure, so everybody is asked until somebody denies. */
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct grant_answer answer = {
            {handler->plugin, scratch, denial_out}, grant_out, &barred, writes, false};
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
    settle_writes(writes, grant_out);
    grant_out->presence &= !barred.presence;
    grant_out->messages &= !barred.messages;
    grant_out->history &= !barred.history;
    return ML_OK;
}
