/* SPDX-License-Identifier: MIT */
/*
 * The hours of an instance beside its hooks (plugin-api 5): handed over, healthy, taken down.
 *
 *   old state                       C                         new state
 *   handoff() -> table ----> plain data, 1 MiB ----> adopt(table)
 *   (an instance that did not change and hands nothing over keeps its self.state, as far as that is
 *    plain data; so does one whose config alone changed, if it has configure(old_config), which is
 *    told then: docs/adr/0024)
 *
 * Plain data is nil, booleans, numbers, text and tables of these, without loops: nothing that could
 * point from one state into another.
 */
#include "script/setup.h"
#include "script/wait.h"

#include "base/log.h"

#define CARRY_MAX   (1u << 20)
#define CARRY_DEPTH 32

enum { CARRY_NIL, CARRY_FALSE, CARRY_TRUE, CARRY_NUMBER, CARRY_TEXT, CARRY_TABLE };

/* ---- Plain data ----------------------------------------------------------------------------- */

/* The value at the top; raises if it is no plain data. At most CARRY_DEPTH deep. */
static void carry_out(lua_State *L, struct ml_writer *out, unsigned depth)
{
    struct ml_slice text;
    double number;

    luaL_checkstack(L, 4, "nested too deeply");
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        ml_write_u8(out, CARRY_NIL);
        return;
    case LUA_TBOOLEAN:
        ml_write_u8(out, lua_toboolean(L, -1) ? CARRY_TRUE : CARRY_FALSE);
        return;
    case LUA_TNUMBER:
        number = lua_tonumber(L, -1);
        ml_write_u8(out, CARRY_NUMBER);
        ml_write_bytes(out, ml_slice_make(&number, sizeof(number)));
        return;
    case LUA_TSTRING:
        text.ptr = (const uint8_t *)lua_tolstring(L, -1, &text.len);
        ml_write_u8(out, CARRY_TEXT);
        ml_write_varbytes(out, text);
        break;
    case LUA_TTABLE:
        if (depth >= CARRY_DEPTH)
            luaL_error(L, "what is handed over is nested more than %d deep", CARRY_DEPTH);
        if (lua_getmetatable(L, -1))
            luaL_error(L, "what is handed over has a metatable");
        ml_write_u8(out, CARRY_TABLE);
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            carry_out(L, out, depth + 1);
            lua_pop(L, 1);
            carry_out(L, out, depth + 1);
        }
        ml_write_u8(out, CARRY_NIL); /* no key is nil */
        break;
    default:
        luaL_error(L, "what is handed over has a %s in it; only plain data can be",
                   luaL_typename(L, -1));
    }
    if (out->err)
        luaL_error(L, "what is handed over is larger than 1 MiB");
}

/* Pushes the value. The bytes are our own, so that nothing of them can be wrong. */
static void carry_in(lua_State *L, struct ml_reader *in)
{
    struct ml_slice text = {0};
    uint8_t kind = CARRY_NIL;
    double number = 0;

    luaL_checkstack(L, 4, "nested too deeply");
    if (ml_read_u8(in, &kind) ||
        (kind == CARRY_NUMBER && ml_read_bytes(in, sizeof(number), &text)) ||
        (kind == CARRY_TEXT && ml_read_varbytes(in, &text)))
        luaL_error(L, "what was handed over is cut off");
    switch (kind) {
    case CARRY_TRUE:
    case CARRY_FALSE:
        lua_pushboolean(L, kind == CARRY_TRUE);
        return;
    case CARRY_NUMBER:
        memcpy(&number, text.ptr, sizeof(number));
        lua_pushnumber(L, number);
        return;
    case CARRY_TEXT:
        lua_pushlstring(L, (const char *)text.ptr, text.len);
        return;
    case CARRY_TABLE:
        lua_newtable(L);
        for (carry_in(L, in); !lua_isnil(L, -1); carry_in(L, in)) {
            carry_in(L, in);
            lua_rawset(L, -3);
        }
        lua_pop(L, 1);
        return;
    default:
        lua_pushnil(L);
    }
}

/* ---- Handing over --------------------------------------------------------------------------- */

struct parcel {
    struct ml_plugin *plugin;
    struct ml_writer bytes;
    bool is_state; /* the whole of self.state, not what handoff answered */
    bool has_any;
    bool is_unchanged;
    const struct ml_plugin
        *before; /* the same code with another config, and configure(); or NULL */
};

/* Push the method, or answer false with nothing pushed. */
static bool push_method(lua_State *L, const struct ml_plugin *plugin, const char *name)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->table_ref);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

static void push_self(lua_State *L, const struct ml_plugin *plugin)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, plugin->self_ref);
}

static void pack(lua_State *L, void *arg)
{
    struct parcel *parcel = arg;

    if (push_method(L, parcel->plugin, "handoff")) {
        push_self(L, parcel->plugin);
        lua_call(L, 1, 1);
        if (lua_isnil(L, -1))
            return;
        luaL_checktype(L, -1, LUA_TTABLE);
    } else if (parcel->is_unchanged || parcel->before) {
        push_self(L, parcel->plugin);
        lua_getfield(L, -1, "state");
        parcel->is_state = true;
    } else {
        return;
    }
    carry_out(L, &parcel->bytes, 0);
    parcel->has_any = true;
}

static void unpack(lua_State *L, void *arg)
{
    struct parcel *parcel = arg;
    struct ml_reader in = ml_reader_make(ml_writer_slice(&parcel->bytes));
    int top = lua_gettop(L);

    if (!parcel->is_state && !push_method(L, parcel->plugin, "adopt"))
        return;
    push_self(L, parcel->plugin);
    carry_in(L, &in);
    if (!parcel->is_state) {
        lua_call(L, 2, 0);
        return;
    }
    lua_getfield(L, top + 1, "state");
    for (lua_pushnil(L); lua_next(L, top + 2); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, top + 3);
    }
}

/* configure(old_config), when everything else is as it was. */
static void configure(lua_State *L, void *arg)
{
    struct parcel *parcel = arg;
    struct ml_plugin old = *parcel->plugin; /* for its name and schema */

    if (!push_method(L, parcel->plugin, "configure"))
        return;
    push_self(L, parcel->plugin);
    old.config_json = parcel->before->config_json;
    old.config_len = parcel->before->config_len;
    ml_config_push(L, ml_script_of(L), &old);
    lua_call(L, 2, 0);
}

/* Is there a function configure? */
static void find_configure(lua_State *L, void *arg)
{
    struct parcel *parcel = arg;

    if (!push_method(L, parcel->plugin, "configure"))
        parcel->before = NULL;
}

/* Same code, other config: is it a case for configure()? */
static bool is_configured(const struct ml_plugin *before, const struct ml_plugin *heir)
{
    return before->generation != heir->generation && before->source->hash == heir->source->hash &&
           (before->config_len != heir->config_len ||
            memcmp(before->config_json, heir->config_json, heir->config_len) != 0);
}

static struct ml_plugin *plugin_named(struct ml_script *script, const char *name)
{
    for (size_t i = 0; i < script->plugin_count; i++)
        if (strcmp(script->plugins[i].name, name) == 0)
            return &script->plugins[i];
    return NULL;
}

static enum ml_err hand_over_one(struct ml_script *from, struct ml_script *to,
                                 struct ml_plugin *heir, bool force, struct ml_diag *diag,
                                 size_t *bytes_out)
{
    struct parcel parcel = {.plugin = plugin_named(from, heir->name)};
    enum ml_err err;

    heir->is_changed = true;
    if (!parcel.plugin || strcmp(parcel.plugin->folder, heir->folder) != 0 ||
        !ml_plugin_is_up(parcel.plugin) || !ml_plugin_is_up(heir))
        return ML_OK;
    parcel.is_unchanged = parcel.plugin->generation == heir->generation;
    heir->is_changed = !parcel.is_unchanged;
    if (is_configured(parcel.plugin, heir)) {
        struct parcel asked = {.plugin = heir, .before = parcel.plugin};

        if (!ml_script_protect(to, 0, find_configure, &asked, ML_LOAD_US))
            parcel.before = asked.before;
    }
    ml_writer_init(&parcel.bytes, CARRY_MAX);
    err = ml_script_protect(from, 0, pack, &parcel, ML_LOAD_US);
    if (err && (force || parcel.is_state)) /* a cache that cannot be carried begins empty */
        err = ML_OK;
    else if (err)
        err = ml_diag_set(diag, ML_ESCRIPT, 0, "%s: handoff: %s", heir->name, from->fault.text);
    else if (parcel.has_any) {
        parcel.plugin = heir;
        *bytes_out += parcel.bytes.len;
        err = ml_script_protect(to, 0, unpack, &parcel, ML_LOAD_US);
        if (err)
            err = ml_diag_set(diag, ML_ESCRIPT, 0, "%s: adopt: %s", heir->name, to->fault.text);
    }
    ml_writer_release(&parcel.bytes);
    parcel.plugin = heir;
    if (!err && parcel.before && ml_script_protect(to, 0, configure, &parcel, ML_LOAD_US))
        err = ml_diag_set(diag, ML_ESCRIPT, 0, "%s: configure: %s", heir->name, to->fault.text);
    return err;
}

enum ml_err ml_script_hand_over(struct ml_script *from, struct ml_script *to, bool force,
                                struct ml_diag *diag, size_t *bytes_out)
{
    enum ml_err err = ML_OK;

    if (!from->L || !to->L)
        return ML_OK;
    for (size_t i = 0; i < to->plugin_count && !err; i++)
        err = hand_over_one(from, to, &to->plugins[i], force, diag, bytes_out);
    return err;
}

/* ---- Good-bye ------------------------------------------------------------------------------- */

struct farewell {
    const struct ml_plugin *plugin;
    const char *why;
};

static void say_farewell(lua_State *L, void *arg)
{
    const struct farewell *f = arg;

    if (!push_method(L, f->plugin, "teardown"))
        return;
    push_self(L, f->plugin);
    lua_pushstring(L, f->why);
    lua_call(L, 2, 0);
}

void ml_script_teardown(struct ml_script *script, const char *why)
{
    for (size_t i = 0; script->L && i < script->plugin_count; i++) {
        struct farewell f = {&script->plugins[i], why};

        if (ml_plugin_is_up(&script->plugins[i]) &&
            ml_script_protect(script, 0, say_farewell, &f, ML_LOAD_US))
            ml_script_log(script, &script->plugins[i], ML_LOG_WARN,
                          ml_slice_str(script->fault.text));
    }
}

size_t ml_script_parked(const struct ml_script *script)
{
    size_t calls = 0;

    for (size_t i = 0; script->L && i < script->plugin_count; i++)
        calls += ml_wait_count(script, &script->plugins[i]);
    return calls;
}
