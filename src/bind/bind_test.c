/* SPDX-License-Identifier: MIT */
/*
 * The C half of `require "moonloom.test"` (lua/moonloom/test.lua): plugins are loaded and asked by
 * the real script library, in a state of its own, from a spec that runs under a plain interpreter.
 *
 *   spec (busted, luajit)                            inner state (sandbox, budget, compiler off)
 *   core.open(name, config_json, dir)      ------->  ml_script_new
 *   instance:before_update(fields, bytes)  ------->  ml_update_decode, ml_script_before_update
 *   answer as a plain table                <-------
 *
 * The updates of a spec are real bytes: a handful of structs is written here by hand, because a
 * spec says "a text insert at this root" and has no document to make one with.
 *
 * Lua symbols come from the interpreter that loads this module.
 */
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "base/codec.h"
#include "script/script.h"

#define INSTANCE     "moonloom.test.instance"
#define SCRATCH_MAX  (64u << 20)
#define UPDATE_MAX   (32u << 20)
#define LIST_MAX     64
#define TEST_HOOK_MS 1000 /* a spec is not about the speed of the machine it runs on */
#define INFO_STRING  4    /* content references and flags of the V1 format */
#define INFO_ANY     8
#define INFO_HAS_KEY 0x20
#define ANY_STRING   119
#define ANY_TRUE     120
#define ANY_FALSE    121
#define ANY_INTEGER  125

__attribute__((visibility("default"))) int luaopen_moonloom_test_core(lua_State *L);

struct instance {
    struct ml_script *script;
    struct ml_arena scratch;
    char log[4096]; /* what the plugin and the host logged since the last call */
    size_t log_len;
};

/* The clock of all instances of this process: specs set it. */
static int64_t now_ms;

static int64_t wall_ms(void)
{
    return now_ms;
}

static uint64_t mono_ms(void)
{
    return (uint64_t)now_ms;
}

static void on_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    struct instance *instance = arg;
    size_t room = sizeof(instance->log) - instance->log_len;
    int n = snprintf(instance->log + instance->log_len, room, "%.*s\n", ML_PRINT(message));

    (void)level;
    (void)plugin;
    if (n > 0)
        instance->log_len += (size_t)n < room ? (size_t)n : room - 1;
}

static struct instance *check_instance(lua_State *L)
{
    struct instance *instance = luaL_checkudata(L, 1, INSTANCE);

    if (!instance->script)
        luaL_error(L, "this instance is closed");
    ml_arena_reset(&instance->scratch);
    instance->log_len = 0;
    instance->log[0] = '\0';
    return instance;
}

/* ---- From Lua
 * ------------------------------------------------------------------------------------------ */

/* Field of the table at `index` as text that lives as long as the table; .ptr NULL if it is not
 * there. */
static struct ml_slice text_of(lua_State *L, int index, const char *name)
{
    struct ml_slice text = {0};
    size_t len;
    const char *bytes;

    lua_getfield(L, index, name);
    bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
    if (bytes)
        text = ml_slice_make(bytes, len);
    lua_pop(L, 1);
    return text;
}

static double number_of(lua_State *L, int index, const char *name, double otherwise)
{
    double value;

    lua_getfield(L, index, name);
    value = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : otherwise;
    lua_pop(L, 1);
    return value;
}

static bool flag_of(lua_State *L, int index, const char *name)
{
    bool flag;

    lua_getfield(L, index, name);
    flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

/* A list of text; answers how many. */
static size_t list_of(lua_State *L, int index, const char *name, struct ml_slice *out)
{
    size_t n = 0;

    lua_getfield(L, index, name);
    for (int i = 1; lua_istable(L, -1) && i <= (int)lua_objlen(L, -1) && n < LIST_MAX; i++) {
        size_t len;
        const char *text;

        lua_rawgeti(L, -1, i);
        text = luaL_checklstring(L, -1, &len);
        out[n++] = ml_slice_make(text, len);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return n;
}

/* A table of names and texts; answers how many. */
static size_t pairs_of(lua_State *L, int index, const char *name, struct ml_script_pair *out)
{
    size_t n = 0;

    lua_getfield(L, index, name);
    if (lua_istable(L, -1)) {
        for (lua_pushnil(L); lua_next(L, -2) && n < LIST_MAX; lua_pop(L, 1)) {
            size_t name_len, value_len;
            const char *key, *value;

            luaL_checktype(L, -2, LUA_TSTRING);
            luaL_checktype(L, -1, LUA_TSTRING);
            key = lua_tolstring(L, -2, &name_len);
            value = lua_tolstring(L, -1, &value_len);
            out[n++] = (struct ml_script_pair){ml_slice_make(key, name_len),
                                               ml_slice_make(value, value_len)};
        }
    }
    lua_pop(L, 1);
    return n;
}

static struct ml_script_identity identity_of(lua_State *L, int index, struct ml_slice *roles)
{
    struct ml_script_identity identity = {
        .user = text_of(L, index, "user"),
        .name = text_of(L, index, "name"),
        .session = text_of(L, index, "session"),
        .kind = text_of(L, index, "kind"),
        .expires_at_ms = (int64_t)(number_of(L, index, "expires_at", 0) * 1000),
    };

    identity.role_count = list_of(L, index, "roles", roles);
    identity.roles = roles;
    return identity;
}

/* ---- To Lua
 * -------------------------------------------------------------------------------------------- */

static void set_text(lua_State *L, const char *name, struct ml_slice text)
{
    if (!text.ptr)
        return;
    lua_pushlstring(L, (const char *)text.ptr, text.len);
    lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool flag)
{
    lua_pushboolean(L, flag);
    lua_setfield(L, -2, name);
}

static int push_denial(lua_State *L, const struct ml_denial *denial)
{
    lua_newtable(L);
    set_flag(L, "denied", true);
    set_text(L, "code", denial->code);
    set_text(L, "reason", denial->reason);
    lua_pushstring(L, denial->fence ? "fence" : "undo");
    lua_setfield(L, -2, "mode");
    if (denial->status)
        set_number(L, "status", denial->status);
    return 1;
}

/* The plugin failed: say how. */
static int raise_fault(lua_State *L, const struct instance *instance)
{
    return luaL_error(L, "%s", instance->log_len ? instance->log : "the plugin failed");
}

/* ---- Updates
 * --------------------------------------------------------------------------------------------- */

static void put_any(lua_State *L, struct ml_writer *out, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        ml_write_u8(out, lua_toboolean(L, index) ? ANY_TRUE : ANY_FALSE);
        break;
    case LUA_TNUMBER: {
        double value = lua_tonumber(L, index);

        if (value != (double)(int32_t)value)
            luaL_error(L, "test update: whole numbers within 32 bits only");
        ml_write_u8(out, ANY_INTEGER);
        ml_write_varint(out, (uint64_t)(value < 0 ? -value : value), value < 0);
        break;
    }
    default: {
        size_t len;
        const char *text = luaL_checklstring(L, index, &len);

        ml_write_u8(out, ANY_STRING);
        ml_write_varbytes(out, ml_slice_make(text, len));
    }
    }
}

/*
 * core.encode{ { kind, path, text | key, value }, ... , deleted = n } -> V1 bytes
 * A writer that a Lua error would lose is kept in the registry as part of a userdata.
 */
static int encode_structs(lua_State *L)
{
    struct ml_writer *out = luaL_checkudata(L, lua_upvalueindex(1), "moonloom.test.writer");
    uint64_t clock = 0, deleted = (uint64_t)number_of(L, 1, "deleted", 0);
    int n = (int)lua_objlen(L, 1);

    ml_writer_reset(out);
    ml_write_varuint(out, n > 0);
    if (n > 0) {
        ml_write_varuint(out, (uint64_t)n);
        ml_write_varuint(out, 1); /* client */
        ml_write_varuint(out, clock);
    }
    for (int i = 1; i <= n; i++) {
        struct ml_slice root, text, key;

        lua_rawgeti(L, 1, i);
        root = text_of(L, -1, "path");
        text = text_of(L, -1, "text");
        key = text_of(L, -1, "key");
        if (!root.ptr || (!text.ptr && !key.ptr))
            luaL_error(L, "test update: an edit needs a path, and text or key and value");
        ml_write_u8(out, text.ptr ? INFO_STRING : INFO_ANY | INFO_HAS_KEY);
        ml_write_varuint(out, 1); /* the parent is a root */
        ml_write_varbytes(out, root);
        if (text.ptr) {
            ml_write_varbytes(out, text);
        } else {
            ml_write_varbytes(out, key);
            ml_write_varuint(out, 1);
            lua_getfield(L, -1, "value");
            put_any(L, out, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    ml_write_varuint(out, deleted > 0);
    if (deleted) {
        ml_write_varuint(out, 2); /* somebody else's */
        ml_write_varuint(out, 1);
        ml_write_varuint(out, 0);
        ml_write_varuint(out, deleted);
    }
    if (out->err)
        luaL_error(L, "test update: too large");
    lua_pushlstring(L, (const char *)out->ptr, out->len);
    return 1;
}

static int writer_gc(lua_State *L)
{
    ml_writer_release(luaL_checkudata(L, 1, "moonloom.test.writer"));
    return 0;
}

/* ---- The hooks
 * -------------------------------------------------------------------------------------------- */

/* instance:before_update(fields, bytes) -> nil | denial   [may raise] */
static int instance_before_update(lua_State *L)
{
    struct instance *instance = check_instance(L);
    struct ml_slice roles[LIST_MAX];
    struct ml_scope scope = {
        .org = text_of(L, 2, "org"),
        .document = text_of(L, 2, "doc_id"),
        .user = text_of(L, 2, "user"),
        .user_name = text_of(L, 2, "name"),
        .session = text_of(L, 2, "session"),
        .roles = roles,
    };
    struct ml_slice origin = text_of(L, 2, "origin");
    const struct ml_update *update;
    struct ml_denial denial;
    struct ml_diag diag = {0};
    size_t len;
    const char *bytes = luaL_checklstring(L, 3, &len);
    enum ml_err err;

    scope.role_count = list_of(L, 2, "roles", roles);
    scope.origin =
        origin.ptr ? (const char *)origin.ptr : "client"; /* a Lua string: it ends in NUL */
    if (ml_update_decode(&instance->scratch, ml_slice_make(bytes, len), NULL, &diag, &update))
        return luaL_error(L, "test update: %s", diag.text);
    err = ml_script_before_update(instance->script, &scope, update, &instance->scratch, &denial);
    if (err == ML_EDENIED)
        return push_denial(L, &denial);
    if (err || strstr(instance->log, " failed: "))
        return raise_fault(L, instance);
    return 0;
}

/* instance:authenticate(request) -> nil | identity | denial   [may raise] */
static int instance_authenticate(lua_State *L)
{
    struct instance *instance = check_instance(L);
    struct ml_script_pair headers[LIST_MAX], query[LIST_MAX], cookies[LIST_MAX];
    struct ml_script_request request = {
        .method = text_of(L, 2, "method"),
        .path = text_of(L, 2, "path"),
        .ip = text_of(L, 2, "ip"),
        .host = text_of(L, 2, "host"),
        .origin = text_of(L, 2, "origin"),
        .token = text_of(L, 2, "token"),
        .headers = headers,
        .query = query,
        .cookies = cookies,
        .is_websocket = flag_of(L, 2, "is_websocket"),
        .tls = flag_of(L, 2, "tls"),
    };
    struct ml_script_identity identity;
    struct ml_denial denial;
    bool known;
    enum ml_err err;

    request.header_count = pairs_of(L, 2, "headers", headers);
    request.query_count = pairs_of(L, 2, "query", query);
    request.cookie_count = pairs_of(L, 2, "cookies", cookies);
    err = ml_script_authenticate(instance->script, &request, &instance->scratch, &known, &identity,
                                 &denial);
    if (err == ML_EDENIED)
        return push_denial(L, &denial);
    if (err)
        return raise_fault(L, instance);
    if (!known)
        return 0;
    lua_newtable(L);
    set_text(L, "user", identity.user);
    set_text(L, "name", identity.name);
    set_text(L, "session", identity.session);
    set_text(L, "kind", identity.kind);
    if (identity.expires_at_ms)
        set_number(L, "expires_at", (double)identity.expires_at_ms / 1000);
    lua_newtable(L);
    for (size_t i = 0; i < identity.role_count; i++) {
        lua_pushlstring(L, (const char *)identity.roles[i].ptr, identity.roles[i].len);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "roles");
    return 1;
}

/* instance:authorize(ask, identity | nil) -> nil | grant | denial   [may raise] */
static int instance_authorize(lua_State *L)
{
    struct instance *instance = check_instance(L);
    struct ml_slice roles[LIST_MAX];
    struct ml_script_identity identity = {0};
    struct ml_script_ask ask = {
        .action = text_of(L, 2, "action"),
        .org = text_of(L, 2, "org"),
        .document = text_of(L, 2, "doc_id"),
    };
    struct ml_script_grant grant;
    struct ml_denial denial;
    enum ml_err err;

    if (lua_istable(L, 3)) {
        identity = identity_of(L, 3, roles);
        ask.identity = &identity;
    }
    err = ml_script_authorize(instance->script, &ask, &instance->scratch, &grant, &denial);
    if (err == ML_EDENIED)
        return push_denial(L, &denial);
    if (err)
        return raise_fault(L, instance);
    if (!grant.given)
        return 0;
    lua_newtable(L);
    set_flag(L, "read", grant.read);
    set_flag(L, "write", grant.write);
    set_flag(L, "presence", grant.presence);
    set_flag(L, "messages", grant.messages);
    set_flag(L, "history", grant.history);
    if (grant.ttl_ms)
        set_number(L, "ttl", grant.ttl_ms / 1000.0);
    return 1;
}

/* instance:after_update(batch)   [may raise] */
static int instance_after_update(lua_State *L)
{
    struct instance *instance = check_instance(L);
    struct ml_slice authors[LIST_MAX];
    struct ml_script_batch batch = {
        .org = text_of(L, 2, "org"),
        .document = text_of(L, 2, "doc_id"),
        .authors = authors,
        .count = (uint32_t)number_of(L, 2, "count", 1),
        .bytes = (uint64_t)number_of(L, 2, "bytes", 0),
        .from_seq = (uint64_t)number_of(L, 2, "from_seq", 1),
        .to_seq = (uint64_t)number_of(L, 2, "to_seq", 1),
    };

    batch.author_count = list_of(L, 2, "authors", authors);
    ml_script_after_update(instance->script, &batch, &instance->scratch);
    if (strstr(instance->log, " failed: "))
        return raise_fault(L, instance);
    return 0;
}

/* instance:snapshot_policy(ref) -> what is in force, on top of "never"   [may raise] */
static int instance_snapshot_policy(lua_State *L)
{
    struct instance *instance = check_instance(L);
    struct ml_snapshot_policy policy = {0};

    ml_script_snapshot_policy(instance->script, text_of(L, 2, "org"), text_of(L, 2, "id"),
                              &instance->scratch, &policy);
    if (strstr(instance->log, " failed: "))
        return raise_fault(L, instance);
    lua_newtable(L);
    set_number(L, "every_ops", (double)policy.every_ops);
    set_number(L, "every_bytes", (double)policy.every_bytes);
    set_number(L, "every", (double)policy.every_ms / 1000);
    set_number(L, "idle", (double)policy.idle_ms / 1000);
    set_number(L, "min_gap", (double)policy.min_gap_ms / 1000);
    set_flag(L, "on_unload", policy.on_unload);
    set_flag(L, "on_shutdown", policy.on_shutdown);
    return 1;
}

/* instance:logs() -> what was logged during the last call, one line each */
static int instance_logs(lua_State *L)
{
    const struct instance *instance = luaL_checkudata(L, 1, INSTANCE);

    lua_pushlstring(L, instance->log, instance->log_len);
    return 1;
}

/* instance:surface() -> what plugins can reach, one name a line   [may raise] */
static int instance_surface(lua_State *L)
{
    struct instance *instance = check_instance(L);
    struct ml_writer out;
    enum ml_err err;

    ml_writer_init(&out, 1u << 20);
    err = ml_script_surface(instance->script, &out);
    lua_pushlstring(L, (const char *)out.ptr, out.len);
    ml_writer_release(&out);
    return err ? luaL_error(L, "%s", ml_err_text(err)) : 1;
}

static int instance_close(lua_State *L)
{
    struct instance *instance = luaL_checkudata(L, 1, INSTANCE);

    ml_script_free(instance->script);
    instance->script = NULL;
    ml_arena_release(&instance->scratch);
    return 0;
}

/* ---- The module
 * --------------------------------------------------------------------------------------------- */

/* core.open(name, config_json, plugins_dir, lua_dir) -> instance   [may raise] */
static int core_open(lua_State *L)
{
    size_t name_len, config_len, dir_len, lua_dir_len;
    const char *name = luaL_checklstring(L, 1, &name_len);
    const char *config = luaL_optlstring(L, 2, "", &config_len);
    const char *dir = luaL_checklstring(L, 3, &dir_len);
    const char *lua_dir = luaL_optlstring(L, 4, "", &lua_dir_len);
    struct instance *instance = lua_newuserdata(L, sizeof(*instance));
    struct ml_script_plugin plugin = {.name = ml_slice_make(name, name_len),
                                      .config_json = ml_slice_make(config, config_len)};
    struct ml_script_options options = {
        .plugins_dir = ml_slice_make(dir, dir_len),
        .plugins = &plugin,
        .plugin_count = 1,
        .limits = {.hook_ms = TEST_HOOK_MS},
        .log = on_log,
        .log_arg = instance,
        .wall_ms = wall_ms,
        .mono_ms = mono_ms,
        .lua_dir = ml_slice_make(lua_dir, lua_dir_len),
    };
    struct ml_diag diag = {0};

    *instance = (struct instance){0};
    ml_arena_init(&instance->scratch, SCRATCH_MAX);
    luaL_getmetatable(L, INSTANCE);
    lua_setmetatable(L, -2);
    if (ml_script_new(&options, &diag, &instance->script))
        return luaL_error(L, "%s", diag.text);
    return 1;
}

/* core.clock([seconds]) -> seconds since 1970 that plugins are told */
static int core_clock(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        now_ms = (int64_t)(luaL_checknumber(L, 1) * 1000);
    lua_pushnumber(L, (double)now_ms / 1000);
    return 1;
}

int luaopen_moonloom_test_core(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"authenticate", instance_authenticate},
        {"authorize", instance_authorize},
        {"before_update", instance_before_update},
        {"after_update", instance_after_update},
        {"snapshot_policy", instance_snapshot_policy},
        {"logs", instance_logs},
        {"surface", instance_surface},
        {"close", instance_close},
        {NULL, NULL},
    };
    struct ml_writer *out;

    luaL_newmetatable(L, INSTANCE);
    lua_newtable(L);
    for (const luaL_Reg *m = methods; m->name; m++) {
        lua_pushcfunction(L, m->func);
        lua_setfield(L, -2, m->name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, instance_close);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);

    lua_newtable(L);
    lua_pushcfunction(L, core_open);
    lua_setfield(L, -2, "open");
    lua_pushcfunction(L, core_clock);
    lua_setfield(L, -2, "clock");
    out = lua_newuserdata(L, sizeof(*out));
    ml_writer_init(out, UPDATE_MAX);
    luaL_newmetatable(L, "moonloom.test.writer");
    lua_pushcfunction(L, writer_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushcclosure(L, encode_structs, 1);
    lua_setfield(L, -2, "encode");
    return 1;
}
