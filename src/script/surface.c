/* SPDX-License-Identifier: MIT */
/*
 * What plugins can reach, as names: one line for every member of `moonloom` and for every field and
 * method of every view. A spec compares it with lua/moonloom/defs, so that nothing exists without a
 * definition and nothing is promised without existing. What only says "not available in this
 * version" does not count.
 */
#include "script/view.h"

#define DEPTH_MAX 4

struct surface {
    struct ml_script *script;
    struct ml_writer *out;
};

static void put_line(struct ml_writer *out, const char *prefix, const char *name)
{
    ml_write_bytes(out, ml_slice_str(prefix));
    ml_write_u8(out, '.');
    ml_write_bytes(out, ml_slice_str(name));
    ml_write_u8(out, '\n');
}

enum member { MEMBER_VALUE, MEMBER_TABLE, MEMBER_STUB };

/* The value at the top; a face is replaced by what is behind it. */
static enum member look_behind(lua_State *L)
{
    if (!lua_istable(L, -1) || !lua_getmetatable(L, -1))
        return lua_istable(L, -1) ? MEMBER_TABLE : MEMBER_VALUE;
    lua_pushliteral(L, "__guard");
    lua_rawget(L, -2);
    lua_pushliteral(L, "__index");
    lua_rawget(L, -3);
    if (!lua_toboolean(L, -2)) {
        lua_pop(L, 3);
        return MEMBER_VALUE;
    }
    if (!lua_istable(L, -1)) {
        bool stub = lua_isfunction(L, -1);

        lua_pop(L, 3);
        return stub ? MEMBER_STUB : MEMBER_VALUE;
    }
    lua_replace(L, -4);
    lua_pop(L, 2);
    return MEMBER_TABLE;
}

static bool is_empty(lua_State *L)
{
    lua_pushnil(L);
    if (!lua_next(L, -2))
        return true;
    lua_pop(L, 2);
    return false;
}

/* The table at the top; depth is bounded by ours. */
static void put_table(lua_State *L, struct ml_writer *out, const char *prefix, int depth)
{
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        char path[128];

        if (!name)
            continue;
        switch (look_behind(L)) {
        case MEMBER_STUB:
            break;
        case MEMBER_VALUE:
            put_line(out, prefix, name);
            break;
        case MEMBER_TABLE:
            if (is_empty(L))
                put_line(out, prefix, name);
            snprintf(path, sizeof(path), "%s.%s", prefix, name);
            if (depth < DEPTH_MAX)
                put_table(L, out, path, depth + 1);
        }
    }
}

static void put_all(lua_State *L, void *arg)
{
    const struct surface *surface = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, surface->script->plugins[0].library_ref);
    (void)look_behind(L);
    put_table(L, surface->out, "ml", 0);
    for (int kind = 0; kind < KINDS; kind++) {
        const struct ml_lent_def *def = ml_lent_kind_def((enum ml_lent_kind)kind);

        for (const struct ml_lent_field *field = def->fields; field && field->name; field++)
            if (field->method != ml_view_not_yet)
                put_line(surface->out, def->name, field->name);
    }
}

enum ml_err ml_script_surface(struct ml_script *script, struct ml_writer *out)
{
    struct surface surface = {script, out};

    if (!script->L || !script->plugin_count)
        return ML_ENOTFOUND;
    return ml_script_protect(script, 0, put_all, &surface, ML_LOAD_US);
}
