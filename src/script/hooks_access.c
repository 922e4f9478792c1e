/* SPDX-License-Identifier: MIT */
/*
 * upgrade, authenticate, authorize: who somebody is and what they may. Each may wait, so a question
 * is an ml_access that lives until it is answered.
 */
#include "script/round.h"

#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"

#define IDENTITY_TEXT_MAX 256
#define SESSION_TEXT_MAX  256
#define ROLES_MAX         64
#define PATTERN_MAX       512
#define CODE_MAX          64 /* as in ml.deny */
#define REASON_MAX        500
#define NOT_HERE          "You may not change this part of the document."
#define SOFT_MS           500
#define HARD_MS           5000

struct ml_access {
    struct ml_round base; /* first */
    const void *subject;
    enum ml_view_kind view;
    struct ml_arena *scratch;
    struct ml_access_answer answer;
    struct writes *writes; /* of grants and restrictions */
    bool has_failed;
    ml_access_done done;
    void *arg;
    bool is_starting, is_ended;
};

/* ---- one question ----------------------------------------------------------------------------
 */

static struct ml_access *access_of(struct ml_round *round)
{
    return (struct ml_access *)(void *)round;
}

static void push_subject(lua_State *L, struct ml_round *round)
{
    ml_views_push(ml_script_of(L), access_of(round)->view, access_of(round)->subject, NULL);
}

static void finish(struct ml_access *access)
{
    if (!access->base.is_dropped)
        access->done(access->arg, &access->answer);
    free(access);
}

static void on_round_done(struct ml_round *round)
{
    struct ml_access *access = access_of(round);

    access->is_ended = true;
    if (!access->is_starting)
        finish(access);
}

/* Nobody is asked after a failure. */
static void fail_at_once(struct ml_round *round)
{
    access_of(round)->answer.err = ML_ESCRIPT;
    round->is_over = true;
}

static struct ml_access *start(struct ml_script *script, const struct ml_access *how)
{
    struct ml_access *access = malloc(sizeof(*access));

    if (!access) {
        const struct ml_access_answer none = {.err = ML_ESCRIPT};

        how->done(how->arg, &none);
        return NULL;
    }
    *access = *how;
    access->base.push = push_subject;
    if (!access->base.done)
        access->base.done = on_round_done;
    access->base.soft_ms = SOFT_MS;
    access->base.hard_ms = HARD_MS;
    access->base.is_timed_as_one = true;
    access->is_starting = true;
    ml_round_start(script, &access->base);
    access->is_starting = false;
    if (!access->is_ended)
        return access;
    finish(access);
    return NULL;
}

void ml_access_drop(struct ml_access *access)
{
    if (access)
        ml_round_drop(&access->base);
}

static void deny(lua_State *L, struct ml_access *access)
{
    const struct ml_denial_text to = {access->base.handler->plugin, access->scratch,
                                      &access->answer.denial};

    ml_answer_denial(L, 1, &to);
    access->answer.err = ML_EDENIED;
    access->base.script->stats.denials++;
    access->base.is_over = true;
}

/* ---- upgrade, resolve_org ----------------------------------------------------------------------
 */

static void decode_upgrade(lua_State *L, struct ml_round *round)
{
    if (ml_api_answer_kind(L, 1) != ML_ANSWER_DENY)
        luaL_error(L, "must answer ml.deny or nil, not a %s", luaL_typename(L, 1));
    deny(L, access_of(round));
}

struct ml_access *ml_script_upgrade(struct ml_script *script,
                                    const struct ml_script_request *request,
                                    struct ml_arena *scratch, ml_access_done done, void *arg)
{
    const struct ml_access how = {
        .base = {.hook = HOOK_UPGRADE, .decode = decode_upgrade, .failed = fail_at_once},
        .subject = request,
        .view = VIEW_REQUEST,
        .scratch = scratch,
        .done = done,
        .arg = arg};

    return start(script, &how);
}

static void decode_org(lua_State *L, struct ml_round *round)
{
    struct ml_access *access = access_of(round);
    size_t len = 0;

    if (lua_type(L, 1) != LUA_TSTRING || !lua_tolstring(L, 1, &len) || !len ||
        len > IDENTITY_TEXT_MAX)
        luaL_error(L, "must answer the id of an org or nil, not a %s", luaL_typename(L, 1));
    access->answer.identity.user = ml_answer_keep(L, access->scratch, 1);
    round->is_over = true;
}

enum ml_err ml_script_resolve_org(struct ml_script *script, const struct ml_script_request *request,
                                  struct ml_arena *scratch, struct ml_slice *org_out)
{
    struct ml_access access = {.base = {.hook = HOOK_RESOLVE_ORG,
                                        .push = push_subject,
                                        .decode = decode_org,
                                        .failed = fail_at_once},
                               .subject = request,
                               .view = VIEW_REQUEST,
                               .scratch = scratch};

    ml_round_run(script, &access.base);
    ml_views_expire(script);
    *org_out = access.answer.identity.user;
    return access.answer.err;
}

/* ---- authenticate
 * -------------------------------------------------------------------------------------------- */

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

/* A list of names; none if it is not there. */
static size_t take_names(lua_State *L, struct ml_arena *scratch, const char *field,
                         const struct ml_slice **out)
{
    struct ml_slice *names;
    size_t n;

    lua_getfield(L, 1, field);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return 0;
    }
    if (!lua_istable(L, -1))
        luaL_error(L, "identity.%s must be a list, not a %s", field, luaL_typename(L, -1));
    n = lua_objlen(L, -1);
    if (n > ROLES_MAX)
        luaL_error(L, "identity.%s: %d at most", field, ROLES_MAX);
    names = n ? ml_arena_array(scratch, n, sizeof(*names)) : NULL;
    if (n && !names)
        luaL_error(L, "no room for the answer");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        if (lua_type(L, -1) != LUA_TSTRING || lua_objlen(L, -1) > IDENTITY_TEXT_MAX)
            luaL_error(L, "identity.%s[%d] must be text of at most %d bytes", field, (int)i + 1,
                       IDENTITY_TEXT_MAX);
        names[i] = ml_answer_keep(L, scratch, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    *out = names;
    return n;
}

static bool is_one_of(struct ml_slice word, const char *const *list)
{
    for (; *list; list++)
        if (ml_slice_equal(word, ml_slice_str(*list)))
            return true;
    return false;
}

static bool is_color(struct ml_slice text)
{
    bool is = text.len == 7 && text.ptr[0] == '#';

    for (size_t i = 1; i < 7 && is; i++) {
        uint8_t c = text.ptr[i], low = c | 0x20;

        is = (c >= '0' && c <= '9') || (low >= 'a' && low <= 'f');
    }
    return is;
}

static bool starts_with(struct ml_slice text, const char *with)
{
    size_t len = strlen(with);

    return text.len >= len && memcmp(text.ptr, with, len) == 0;
}

/* An address that a page may show as an image. */
static bool is_address(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || memchr("\"'<>\\^`{|}\x7f", text.ptr[i], 12))
            return false;
    return starts_with(text, "https://") || starts_with(text, "http://") ||
           (starts_with(text, "/") && !starts_with(text, "//"));
}

/* How others see it. */
static void take_looks(lua_State *L, struct ml_arena *scratch, struct ml_script_identity *out)
{
    out->color = text_field(L, scratch, "color", 7);
    if (out->color.ptr && !is_color(out->color))
        luaL_error(L, "identity.color must be #rrggbb");
    out->avatar = text_field(L, scratch, "avatar", 255);
    if (out->avatar.ptr && !is_address(out->avatar))
        luaL_error(L, "identity.avatar must begin with https://, http:// or /");
}

static void decode_identity(lua_State *L, struct ml_round *round)
{
    static const char *const kinds[] = {"user", "guest", "service", NULL};
    static const char *const keys[] = {"user",       "name", "roles", "groups", "claims", "session",
                                       "expires_at", "kind", "color", "avatar", NULL};
    struct ml_access *access = access_of(round);
    struct ml_script_identity *out = &access->answer.identity;
    struct ml_arena *scratch = access->scratch;

    if (ml_api_answer_kind(L, 1) == ML_ANSWER_DENY) {
        deny(L, access);
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
    take_looks(L, scratch, out);
    out->role_count = take_names(L, scratch, "roles", &out->roles);
    out->group_count = take_names(L, scratch, "groups", &out->groups);
    lua_getfield(L, 1, "expires_at");
    if (!lua_isnil(L, -1)) {
        double seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;

        if (!(seconds > 0 && seconds < 1e12))
            luaL_error(L, "identity.expires_at must be seconds since 1970");
        out->expires_at_ms = (int64_t)(seconds * 1000);
    }
    access->answer.is_known = true;
    round->is_over = true;
}

struct ml_access *ml_script_authenticate(struct ml_script *script,
                                         const struct ml_script_request *request,
                                         struct ml_arena *scratch, ml_access_done done, void *arg)
{
    const struct ml_access how = {
        .base = {.hook = HOOK_AUTHENTICATE, .decode = decode_identity, .failed = fail_at_once},
        .subject = request,
        .view = VIEW_REQUEST,
        .scratch = scratch,
        .done = done,
        .arg = arg};

    return start(script, &how);
}

/* ---- authorize
 * -----------------------------------------------------------------------------------------------
 */

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

static void add_write(lua_State *L, struct ml_access *answer, uint32_t kinds, int pattern)
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
        line->pattern = ml_answer_keep(L, answer->scratch, pattern);
}

/* The value at the top for these kinds: true, false, or a list of patterns. It stays. */
static void add_patterns(lua_State *L, struct ml_access *answer, uint32_t kinds)
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

/* The field `role` into a line, if it is one that writes in places; ml.grant has looked at it. */
static bool role_field(lua_State *L, struct ml_access *answer)
{
    struct writes *writes = answer->writes;
    struct ml_slice role = {0};
    size_t len;
    const char *text;

    lua_getfield(L, 1, "role");
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (text && ml_api_role_writes_in_places(text))
        role = ml_answer_keep(L, answer->scratch, -1);
    lua_pop(L, 1);
    for (size_t i = 0; i < writes->count && role.len; i++)
        if (ml_slice_equal(writes->at[i].role, role))
            return true; /* somebody else has given it */
    if (role.len && writes->count == ML_SCRIPT_WRITES_MAX)
        luaL_error(L, "write: more than %d patterns", ML_SCRIPT_WRITES_MAX);
    if (role.len)
        writes->at[writes->count++] = (struct ml_script_write){.role = role};
    return role.len > 0;
}

/* The field `write` into lines. True: there are some, or it is true: then one for everything. */
static bool write_field(lua_State *L, struct ml_access *answer)
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
static struct ml_slice word_field(lua_State *L, struct ml_access *answer, const char *name,
                                  const char *otherwise, size_t max)
{
    struct ml_slice text = ml_slice_str(otherwise);

    lua_getfield(L, 1, name);
    if (!lua_isnil(L, -1)) {
        size_t len = 0;
        const char *bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;

        if (!len || len > max || !ml_utf8_check(ml_slice_make(bytes, len), NULL))
            luaL_error(L, "%s must be UTF-8 text of 1 to %d bytes", name, (int)max);
        text = ml_answer_keep(L, answer->scratch, -1);
    }
    lua_pop(L, 1);
    return text;
}

/* The lines from `from` on are a restriction's. */
static void bar(lua_State *L, struct ml_access *answer, size_t from)
{
    struct ml_slice reason = word_field(L, answer, "reason", NOT_HERE, REASON_MAX), code;

    code = word_field(L, answer, "code", "restricted", CODE_MAX);
    lua_pushfstring(L, "%s.%s", answer->base.handler->plugin->name, (const char *)code.ptr);
    code = ml_answer_keep(L, answer->scratch, -1);
    lua_pop(L, 1);
    for (size_t i = from; i < answer->writes->count; i++) {
        answer->writes->at[i].bars = true;
        answer->writes->at[i].code = code;
        answer->writes->at[i].reason = reason;
    }
}

static void decode_grant(lua_State *L, struct ml_round *round)
{
    struct ml_access *answer = access_of(round);
    enum ml_answer_kind kind = ml_api_answer_kind(L, 1);
    struct ml_script_grant *to =
        kind == ML_ANSWER_RESTRICT ? &answer->answer.barred : &answer->answer.grant;
    struct ml_script_grant new = {0};
    size_t before = answer->writes->count;
    double ttl_ms = 0;

    if (kind == ML_ANSWER_DENY) {
        deny(L, answer);
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
    else
        new.write |= role_field(L, answer);
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

/* Nobody gave, so all lines are of restrictions: all of writing, or places. */
static void settle_bars(const struct writes *writes, struct ml_script_grant *barred)
{
    barred->write = false;
    for (size_t i = 0; i < writes->count; i++)
        barred->write |= is_everything(&writes->at[i]);
    barred->writes = writes->at;
    barred->write_count = writes->count;
}

/* A denial wins over a failure, so everybody is asked until somebody denies. */
static void grant_failed(struct ml_round *round)
{
    access_of(round)->has_failed = true;
}

static void on_grant_done(struct ml_round *round)
{
    struct ml_access *access = access_of(round);
    struct ml_script_grant *grant = &access->answer.grant, *barred = &access->answer.barred;

    if (access->has_failed && !access->answer.err)
        access->answer.err = ML_ESCRIPT;
    if (!access->answer.err && !round->is_dropped) {
        grant->read &= !barred->read;
        settle_writes(access->writes, grant);
        if (!grant->given)
            settle_bars(access->writes, barred);
        grant->presence &= !barred->presence;
        grant->messages &= !barred->messages;
        grant->history &= !barred->history;
    }
    on_round_done(round);
}

struct ml_access *ml_script_authorize(struct ml_script *script, const struct ml_script_ask *ask,
                                      struct ml_arena *scratch, ml_access_done done, void *arg)
{
    struct ml_access how = {.base = {.hook = HOOK_AUTHORIZE,
                                     .decode = decode_grant,
                                     .failed = grant_failed,
                                     .done = on_grant_done},
                            .subject = ask,
                            .view = VIEW_ASK,
                            .scratch = scratch,
                            .writes = ml_arena_alloc(scratch, sizeof(struct writes)),
                            .done = done,
                            .arg = arg};

    if (!how.writes) {
        const struct ml_access_answer none = {.err = ML_ESCRIPT};

        done(arg, &none);
        return NULL;
    }
    how.writes->count = 0;
    return start(script, &how);
}
