/* SPDX-License-Identifier: MIT */
/*
 * The `moonloom` module as plugins see it (plugin-api 10): the members of this version, and for
 * each later one a stub that says so, or says which capability is missing
 * (lua/moonloom/absent.lua).
 *
 * Answers are tables with a metatable of their own, which is how C tells them from plain tables.
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/state.h"

#include "script/wait.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "script/lib.h"
#include "script/values.h"

#define CODE_MAX      64
#define REASON_MAX    500
#define LOG_LINE_MAX  2000
#define LINES_PER_SEC 100
#define GLOB_MAX      1024
#define GLOB_TEXT_MAX 8192

/* Addresses are registry keys of the metatables. */
static const char answer_keys[ML_ANSWER_KINDS];

static struct ml_plugin *plugin_of(lua_State *L)
{
    return &ml_script_of(L)->plugins[lua_tointeger(L, lua_upvalueindex(1))];
}

/* ---- Answers
 * ------------------------------------------------------------------------------------- */

void ml_api_mark_answer(lua_State *L, enum ml_answer_kind kind)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)&answer_keys[kind]);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

enum ml_answer_kind ml_api_answer_kind(lua_State *L, int index)
{
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return ML_ANSWER_OTHER;
    for (int kind = ML_ANSWER_DENY; kind < ML_ANSWER_KINDS; kind++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)&answer_keys[kind]);
        lua_rawget(L, LUA_REGISTRYINDEX);
        if (lua_rawequal(L, -1, -2)) {
            lua_pop(L, 2);
            return (enum ml_answer_kind)kind;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return ML_ANSWER_OTHER;
}

/* Raises on a key of the table at `index` that is not in `keys`. */
static void check_keys(lua_State *L, int index, const char *where, const char *const *keys)
{
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        const char *const *known = keys;

        while (key && *known && strcmp(*known, key) != 0)
            known++;
        if (!key || !*known)
            luaL_error(L, "%s: unknown key '%s'", where, key ? key : luaL_typename(L, -2));
    }
}

static void check_text(lua_State *L, int arg, size_t max, const char *what)
{
    size_t len;
    const char *text = luaL_checklstring(L, arg, &len);

    if (len == 0 || len > max || !ml_utf8_check(ml_slice_make(text, len), NULL))
        luaL_error(L, "%s must be UTF-8 text of 1 to %d bytes", what, (int)max);
}

static void copy_field(lua_State *L, int from, const char *name)
{
    lua_getfield(L, from, name);
    lua_setfield(L, -2, name);
}

/* deny(code, reason [, { mode, status, retry_after }]) -> answer   [may raise] */
static int deny(lua_State *L)
{
    static const char *const keys[] = {"mode", "status", "retry_after", NULL};
    static const char *const modes[] = {"undo", "fence", NULL};
    const char *code;

    lua_settop(L, 3);
    check_text(L, 1, CODE_MAX, "ml.deny: code");
    check_text(L, 2, REASON_MAX, "ml.deny: reason");
    code = lua_tostring(L, 1);
    if (strspn(code, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != lua_objlen(L, 1))
        luaL_error(L, "ml.deny: a code is made of a-z, 0-9, '_', '-' and '.'");
    lua_createtable(L, 0, 5);
    if (lua_istable(L, 3)) {
        check_keys(L, 3, "ml.deny", keys);
        lua_getfield(L, 3, "mode");
        if (!lua_isnil(L, -1))
            luaL_checkoption(L, -1, NULL, modes);
        lua_setfield(L, -2, "mode");
        lua_getfield(L, 3, "status");
        if (!lua_isnil(L, -1) && (luaL_checknumber(L, -1) < 400 || lua_tonumber(L, -1) > 599))
            luaL_error(L, "ml.deny: status must be 400 to 599");
        lua_setfield(L, -2, "status");
        copy_field(L, 3, "retry_after");
    } else if (!lua_isnil(L, 3)) {
        luaL_error(L, "ml.deny: the third argument is a table");
    }
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "code");
    lua_pushvalue(L, 2);
    lua_setfield(L, -2, "reason");
    ml_api_mark_answer(L, ML_ANSWER_DENY);
    return 1;
}

/* A copy of the table at 1, so that the plugin's own stays as it is. */
static int make_answer(lua_State *L, enum ml_answer_kind kind)
{
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
    }
    ml_api_mark_answer(L, kind);
    return 1;
}

/* What the server's own roles may (auth/role.c); where commenters and suggesters write is known
 * only there. */
static const struct role {
    const char *name;
    bool writes, writes_in_places, messages, history;
} roles[] = {
    {"viewer", false, false, false, false}, {"commenter", false, true, true, false},
    {"suggester", false, true, true, true}, {"editor", true, false, true, true},
    {"owner", true, false, true, true},     {"admin", true, false, true, true},
};

static const struct role *role_named(const char *name)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (strcmp(name, roles[i].name) == 0)
            return &roles[i];
    return NULL;
}

bool ml_api_role_writes_in_places(const char *name)
{
    const struct role *role = role_named(name);

    return role && role->writes_in_places;
}

/* Unless the table at the top says something about it. */
static void fill(lua_State *L, const char *field, bool value)
{
    lua_getfield(L, -1, field);
    if (lua_isnil(L, -1) && value) {
        lua_pushboolean(L, true);
        lua_setfield(L, -3, field);
    }
    lua_pop(L, 1);
}

/* The answer at the top gets what its role may. */
static void fill_role(lua_State *L)
{
    const struct role *role;

    lua_getfield(L, -1, "role");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return;
    }
    role = lua_type(L, -1) == LUA_TSTRING ? role_named(lua_tostring(L, -1)) : NULL;
    if (!role)
        luaL_error(L, "ml.grant: role is viewer, commenter, suggester, editor, owner or admin");
    lua_pop(L, 1);
    fill(L, "read", true);
    fill(L, "presence", true);
    fill(L, "messages", role->messages);
    fill(L, "history", role->history);
    fill(L, "write", role->writes);
}

/* grant{ role, read, write, presence, messages, history, ttl } -> answer   [may raise] */
static int grant(lua_State *L)
{
    static const char *const keys[] = {"role",     "read",    "write", "presence",
                                       "messages", "history", "ttl",   NULL};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_keys(L, 1, "ml.grant", keys);
    (void)make_answer(L, ML_ANSWER_GRANT);
    fill_role(L);
    return 1;
}

/* restrict{ read, write, presence, messages, history, code, reason } -> answer   [may raise] */
static int restrict_(lua_State *L)
{
    static const char *const keys[] = {"read",    "write", "presence", "messages",
                                       "history", "code",  "reason",   NULL};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_keys(L, 1, "ml.restrict", keys);
    return make_answer(L, ML_ANSWER_RESTRICT);
}

/* ---- log
 * ----------------------------------------------------------------------------------------- */

void ml_script_log(struct ml_script *script, struct ml_plugin *plugin, int level,
                   struct ml_slice text)
{
    uint64_t second = script->mono_ms() / 1000;

    if (second != plugin->log_second) {
        plugin->log_second = second;
        plugin->log_lines = 0;
    }
    if (plugin->log_lines++ >= LINES_PER_SEC) {
        plugin->log_dropped++;
        return;
    }
    if (text.len > LOG_LINE_MAX)
        text.len = LOG_LINE_MAX;
    if (script->log)
        script->log(script->log_arg, level, ml_slice_str(plugin->name), text);
    else if (level <= ML_LOG_TRACE && ml_log_enabled((enum ml_log_level)level))
        ml_log((enum ml_log_level)level, "plugin.logged", "plugin=%s text=%s", plugin->name,
               ML_LOG_TEXT(text));
}

/* debug|info|warn|error(message [, fields]); upvalues: plugin, level   [may raise] */
static int log_line(lua_State *L)
{
    luaL_Buffer out;
    size_t len;
    const char *text;

    luaL_checkstring(L, 1);
    lua_settop(L, 2);
    if (!lua_isnil(L, 2))
        luaL_checktype(L, 2, LUA_TTABLE);
    luaL_buffinit(L, &out);
    lua_pushvalue(L, 1);
    luaL_addvalue(&out);
    luaL_pushresult(&out);
    if (lua_istable(L, 2)) {
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING)
                luaL_error(L, "ml.log: a field name is a %s", luaL_typename(L, -2));
            lua_pushvalue(L, 3);
            lua_pushliteral(L, " ");
            lua_pushvalue(L, -4);
            lua_pushliteral(L, "=");
            ml_sandbox_tostring(L, lua_gettop(L) - 4);
            lua_concat(L, 5);
            lua_replace(L, 3);
        }
    }
    text = lua_tolstring(L, 3, &len);
    ml_script_log(ml_script_of(L), plugin_of(L), (int)lua_tointeger(L, lua_upvalueindex(2)),
                  ml_slice_make(text, len));
    return 0;
}

/* ---- json
 * ---------------------------------------------------------------------------------------- */

/* encode(v) -> text   [may raise] */
static int json_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    ml_json_text(L, 1);
    return 1;
}

static int json_decode_inner(lua_State *L)
{
    size_t len;
    const char *text = lua_tolstring(L, 1, &len);

    ml_json_push(L, ml_slice_make(text, len));
    return 1;
}

/* array(t) -> t, marked as a list   [may raise] */
static int json_array(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    ml_sandbox_check_own(L, 1);
    lua_settop(L, 1);
    if (luaL_getmetafield(L, 1, "__metatable"))
        luaL_error(L, "ml.array: this table has a protected metatable");
    ml_json_mark_list(L);
    return 1;
}

/* ---- patterns
 * ------------------------------------------------------------------------------------------ */

/* match(pattern, text) -> boolean: '*' one segment, '**' any number   [may raise] */
static int glob_match(lua_State *L)
{
    size_t pattern_len, text_len;
    const char *pattern = luaL_checklstring(L, 1, &pattern_len);
    const char *text = luaL_checklstring(L, 2, &text_len);

    if (pattern_len > GLOB_MAX || text_len > GLOB_TEXT_MAX)
        luaL_error(L, "match: a pattern has at most %d bytes, a text %d", GLOB_MAX, GLOB_TEXT_MAX);
    lua_pushboolean(
        L, ml_glob_match(ml_slice_make(pattern, pattern_len), ml_slice_make(text, text_len)));
    return 1;
}

/* ---- Putting it together
 * --------------------------------------------------------------------------- */

static const luaL_Reg own_functions[] = {
    {"deny", deny},        {"grant", grant},         {"restrict", restrict_},
    {"array", json_array}, {"bytes", ml_bytes_make}, {"int64", ml_int64_make},
    {NULL, NULL},
};
static const luaL_Reg glob_functions[] = {{"match", glob_match}, {NULL, NULL}};
static const luaL_Reg json_functions[] = {
    {"encode", json_encode}, {"decode_or_raise", json_decode_inner}, {NULL, NULL}};

/* Several rows may fill one group. */
static const struct group {
    const char *name; /* NULL: members of `moonloom` itself */
    const luaL_Reg *functions;
} groups[] = {
    {NULL, own_functions},    {NULL, ml_lib_answers},   {"time", ml_lib_time},
    {"text", ml_lib_text},    {"glob", glob_functions}, {"path", glob_functions},
    {"json", json_functions}, {"enc", ml_lib_enc},      {"crypto", ml_lib_crypto},
    {"re", ml_lib_re},        {"words", ml_lib_words},  {"jwt", ml_lib_jwt},
};

struct ml_slice ml_plugin_org(const struct ml_script *script, const struct ml_plugin *plugin)
{
    (void)plugin;
    return script->org;
}

/* Fill the table at the top with the functions of a group. */
static void add_group(lua_State *L, const luaL_Reg *functions)
{
    for (; functions->name; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

static void add_log(lua_State *L, const struct ml_plugin *plugin)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"debug", ML_LOG_DEBUG},
                  {"info", ML_LOG_INFO},
                  {"warn", ML_LOG_WARN},
                  {"error", ML_LOG_ERROR}};

    lua_newtable(L);
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        lua_pushinteger(L, (lua_Integer)plugin->index);
        lua_pushinteger(L, levels[i].level);
        lua_pushcclosure(L, log_line, 2);
        lua_setfield(L, -2, levels[i].name);
    }
    lua_setfield(L, -2, "log");
}

static int refuse_answer_write(lua_State *L)
{
    return luaL_error(L, "ml.drop is read-only");
}

void ml_api_open(lua_State *L)
{
    static const char *const names[ML_ANSWER_KINDS] = {
        "",     "denial", "grant", "restriction", "merge", "keep_both",
        "slow", "allow",  "drop",  "retry",       "dead",
    };

    for (int kind = ML_ANSWER_DENY; kind < ML_ANSWER_KINDS; kind++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)&answer_keys[kind]);
        lua_newtable(L);
        lua_pushstring(L, names[kind]);
        lua_setfield(L, -2, "__name");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        if (kind == ML_ANSWER_DROP) { /* one value for all */
            lua_pushcfunction(L, refuse_answer_write);
            lua_setfield(L, -2, "__newindex");
            lua_pushboolean(L, 1);
            lua_setfield(L, -2, "__guard");
        }
        lua_rawset(L, LUA_REGISTRYINDEX);
    }
}

/* guard(t, what) -> face of t; for lua/moonloom/library.lua only */
static int guard(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushvalue(L, 1);
    ml_sandbox_guard(L, luaL_checkstring(L, 2));
    return 1;
}

void ml_api_push_guard(lua_State *L)
{
    lua_pushcfunction(L, guard);
}

/* is_pure() -> boolean: does a hook run that may only compute? For lua/moonloom/library.lua only */
static int is_pure(lua_State *L)
{
    const struct ml_script *script = ml_script_of(L);

    lua_pushboolean(L, script->asking == ml_hook_names[HOOK_CONFLICT] ||
                           script->asking == ml_hook_names[HOOK_PLACE_DOCUMENT]);
    return 1;
}

/*
 * The native groups go through lua/moonloom/library.lua, which adds what is written in Lua and the
 * stubs, and gives every group and the whole a face.
 */
void ml_api_library(lua_State *L, struct ml_plugin *plugin)
{
    ml_shipped_require(L, "moonloom.library");
    lua_pushstring(L, plugin->folder);
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->manifest_ref);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
        if (!groups[i].name) {
            add_group(L, groups[i].functions);
            continue;
        }
        lua_getfield(L, -1, groups[i].name);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_newtable(L);
        }
        add_group(L, groups[i].functions);
        lua_setfield(L, -2, groups[i].name);
    }
    add_log(L, plugin);
    ml_json_null(L);
    lua_setfield(L, -2, "null");
    ml_answers_push_drop(L);
    lua_setfield(L, -2, "drop");
    ml_api_push_guard(L);
    ml_wait_natives(L, plugin);
    lua_pushcfunction(L, is_pure);
    lua_call(L, 6, 1);
    plugin->library_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
