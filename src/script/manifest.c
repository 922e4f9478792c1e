/* SPDX-License-Identifier: MIT */
/*
 * plugin.lua as data: text in an empty environment, 10 000 instructions, no functions. What it may
 * say is a table in lua/moonloom/manifest.lua; here is the edge, and what of it C keeps for itself.
 */
#include "script/state.h"

#include <stdlib.h>

#define PATHS_MAX     64
#define PACE_EVERY_MS 50
#define PACE_MAX      256

/* Push what plugin.lua returns. */
static void push_data(lua_State *L, struct ml_script *script, const struct ml_plugin *plugin,
                      struct ml_slice text)
{
    char chunk_name[64];

    snprintf(chunk_name, sizeof(chunk_name), "@%s/plugin.lua", plugin->folder);
    if (text.len > ML_MANIFEST_MAX)
        luaL_error(L, "%s: larger than %d bytes", chunk_name + 1, (int)ML_MANIFEST_MAX);
    ml_chunk_load(L, text, chunk_name, true);
    lua_newtable(L);
    lua_setfenv(L, -2);
    ml_budget_count(&script->budget, ML_MANIFEST_STEPS);
    lua_call(L, 0, 1);
    ml_budget_count(&script->budget, 0);
}

/* The short form: the table stands in Plugin.manifest. */
static void push_short_form(lua_State *L, struct ml_plugin *plugin)
{
    /* The chunk wants the library before its needs are known: none, for this run. */
    lua_newtable(L);
    plugin->manifest_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    ml_api_library(L, plugin);
    ml_plugin_run(L, plugin);
    if (lua_istable(L, -1))
        lua_getfield(L, -1, "manifest");
    if (!lua_istable(L, -1))
        luaL_error(L, "%s: there is neither plugin.lua nor a manifest in init.lua", plugin->folder);
    lua_remove(L, -2);
}

/* Raise with the list of messages at the top. */
static void raise_all(lua_State *L, const char *plugin)
{
    luaL_Buffer out;
    int n = (int)lua_objlen(L, -1), list = lua_gettop(L);

    luaL_buffinit(L, &out);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addstring(&out, "\n");
        luaL_addstring(&out, plugin);
        luaL_addstring(&out, "/plugin.lua: ");
        lua_rawgeti(L, list, i);
        luaL_addvalue(&out);
    }
    luaL_pushresult(&out);
    lua_error(L);
}

void ml_manifest_load(lua_State *L, struct ml_script *script, struct ml_plugin *plugin)
{
    const struct ml_plugin_file *file = ml_source_file(plugin->source, "plugin.lua");
    int top = lua_gettop(L);

    ml_shipped_require(L, "moonloom.manifest");
    lua_getfield(L, -1, "check");
    if (file)
        push_data(L, script, plugin, file->text);
    else
        push_short_form(L, plugin);
    lua_pushstring(L, plugin->folder);
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2))
        raise_all(L, plugin->folder);
    lua_pop(L, 1);
    plugin->manifest_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, top);
}

/* ---- What C keeps
 * ---------------------------------------------------------------------------------- */

/* Bits of the words in the list at the top; 0 if there is none. Pops it. */
static uint32_t take_bits(lua_State *L, uint32_t (*bits)(struct ml_slice word))
{
    uint32_t all = 0;

    for (int i = 1, n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0; i <= n; i++) {
        size_t len;
        const char *word;

        lua_rawgeti(L, -1, i);
        word = lua_tolstring(L, -1, &len);
        all |= bits(ml_slice_make(word, len));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return all;
}

/* The list of patterns at the top, which is popped. */
static void take_patterns(lua_State *L, char ***patterns, size_t *count)
{
    int n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;

    if (n > PATHS_MAX)
        luaL_error(L, "more than %d patterns", PATHS_MAX);
    if (n) {
        *patterns = calloc((size_t)n, sizeof(**patterns));
        if (!*patterns)
            luaL_error(L, "out of memory");
    }
    for (int i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        (*patterns)[i - 1] = strdup(lua_tostring(L, -1));
        if (!(*patterns)[i - 1])
            luaL_error(L, "out of memory");
        ++*count;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

void ml_manifest_filter(lua_State *L, const char *hook, struct ml_edit_filter *filter,
                        enum ml_fails *fails_out)
{
    static const char *const modes[] = {"refuse", "hold", "default", "skip", "retry"};

    ml_filter_release(filter);
    lua_getfield(L, -1, "hooks");
    lua_getfield(L, -1, hook);
    lua_getfield(L, -1, "fails");
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        if (strcmp(lua_tostring(L, -1), modes[i]) == 0)
            *fails_out = (enum ml_fails)i;
    lua_pop(L, 1);
    lua_getfield(L, -1, "kinds");
    filter->kinds =
        take_bits(L, strcmp(hook, "conflict") == 0 ? ml_conflict_kind_bits : ml_edit_word_bits);
    lua_getfield(L, -1, "origins");
    filter->origins = take_bits(L, ml_origin_bits);
    lua_getfield(L, -1, "min_bytes");
    filter->min_bytes = (uint64_t)lua_tonumber(L, -1);
    lua_getfield(L, -2, "proposals");
    filter->proposals = lua_toboolean(L, -1);
    lua_pop(L, 2);
    lua_getfield(L, -1, "paths");
    take_patterns(L, &filter->paths, &filter->path_count);
    lua_getfield(L, -1, "keys");
    take_patterns(L, &filter->keys, &filter->key_count);
    filter->any = !filter->kinds && !filter->origins && !filter->min_bytes && !filter->path_count &&
                  !filter->key_count;
    lua_pop(L, 2);
}

void ml_manifest_pace(lua_State *L, const char *hook, struct ml_handler *handler)
{
    lua_getfield(L, -1, "hooks");
    lua_getfield(L, -1, hook);
    lua_getfield(L, -1, "every");
    handler->every_ms = lua_isnil(L, -1) ? PACE_EVERY_MS : (uint32_t)(lua_tonumber(L, -1) * 1000);
    lua_getfield(L, -2, "max");
    handler->max = lua_isnil(L, -1) ? PACE_MAX : (uint32_t)lua_tonumber(L, -1);
    lua_getfield(L, -3, "durable");
    handler->durable = lua_toboolean(L, -1);
    lua_pop(L, 5);
}

void ml_filter_release(struct ml_edit_filter *filter)
{
    for (size_t i = 0; i < filter->path_count; i++)
        free(filter->paths[i]);
    free(filter->paths);
    for (size_t i = 0; i < filter->key_count; i++)
        free(filter->keys[i]);
    free(filter->keys);
    *filter = (struct ml_edit_filter){0};
}
