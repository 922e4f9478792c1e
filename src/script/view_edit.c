/* SPDX-License-Identifier: MIT */
/*
 * Views of an edit, and loops over the edits of an update (plugin-api 9.3).
 *
 * A view stands for a number among the effects of the update; what it shows is worked out when it
 * is asked for. Edits that were refused or removed are passed over; one that was rewritten shows
 * what comes now.
 */
#include "script/view.h"

#include <stdio.h>

struct edit_view {
    struct ml_lent view; /* subject: struct ml_script_update; scope: struct ml_scope */
    /* Of a loop; in authorize_edit the update tells the number. */
    uint64_t looping; /* generation in which this view is one of a loop */
    size_t next, number;
    uint32_t wanted;         /* kinds */
    struct ml_slice pattern; /* .ptr NULL: none. Stands in the environment of the userdata */
    bool busy;
};

#define ALL_KINDS ((1u << ML_EFFECT_KINDS) - 1)

static size_t number_of(const struct edit_view *e)
{
    const struct ml_script_update *update = e->view.subject;

    return e->looping == e->view.generation ? e->number : update->current;
}

static const struct ml_effect *effect_of(const struct edit_view *e)
{
    const struct ml_script_update *update = e->view.subject;

    return ml_effects_at(update->effects, number_of(e));
}

size_t ml_edit_check(lua_State *L, int index, const struct ml_script_update *update)
{
    const struct edit_view *e = ml_view_check(L, index, KIND_EDIT);

    if (e->view.subject != update)
        luaL_error(L, "this edit is of another update");
    return number_of(e);
}

/* ---- e
 * ---------------------------------------------------------------------------------------------------
 */

enum {
    EDIT_KIND,
    EDIT_EXACT,
    EDIT_KEY,
    EDIT_ROOT,
    EDIT_PATH,
    EDIT_TEXT,
    EDIT_LEN,
    EDIT_CLIENT,
    EDIT_CLOCK,
    EDIT_INDEX,
    EDIT_VALUE,
    EDIT_BEFORE,
    EDIT_ATTRS,
    EDIT_BLOCK,
    EDIT_TAG,
    EDIT_AUTHOR,
};

/* What an answer of the engine means to Lua: there, not there (nil), or too large (raises). */
static bool is_there(lua_State *L, enum ml_err err)
{
    if (err && err != ML_ENOTFOUND)
        luaL_error(L, "this edit is too large to be looked at");
    return !err;
}

static void push_value(lua_State *L, const struct ml_script_update *update,
                       const struct ml_effect *effect)
{
    struct ml_writer *out = &ml_script_of(L)->text;

    if (effect->fate == ML_FATE_REPLACED && effect->key.ptr) {
        ml_push_slice(L, effect->text);
        return;
    }
    ml_writer_reset(out);
    if (is_there(L, ml_effect_value(update->effects, effect, out)))
        ml_json_push(L, ml_writer_slice(out));
    else
        lua_pushnil(L);
}

static void push_before(lua_State *L, const struct ml_script_update *update,
                        const struct ml_effect *effect)
{
    struct ml_writer *out = &ml_script_of(L)->text;
    bool is_text;

    ml_writer_reset(out);
    if (!is_there(L, ml_effect_before(update->effects, effect, out, &is_text)))
        lua_pushnil(L);
    else if (is_text)
        ml_push_slice(L, ml_writer_slice(out));
    else
        ml_json_push(L, ml_writer_slice(out));
}

static void push_index(lua_State *L, const struct ml_script_update *update,
                       const struct ml_effect *effect)
{
    uint32_t index;

    if (is_there(L, ml_effect_index(update->effects, effect, &index)))
        lua_pushnumber(L, index);
    else
        lua_pushnil(L);
}

static void push_id(lua_State *L, struct ml_id id)
{
    char text[48];
    int len = snprintf(text, sizeof(text), "%llu-%llu", (unsigned long long)id.client,
                       (unsigned long long)id.clock);

    lua_pushlstring(L, text, (size_t)len);
}

static void push_block(lua_State *L, const struct ml_script_update *update,
                       const struct ml_effect *effect)
{
    struct ml_id id;

    if (ml_effect_block(update->effects, effect, &id))
        push_id(L, id);
    else
        lua_pushnil(L);
}

static struct ml_slice root_of(struct ml_slice path)
{
    const uint8_t *slash = memchr(path.ptr, '/', path.len);

    return slash ? ml_slice_make(path.ptr, (size_t)(slash - path.ptr)) : path;
}

static void get_edit(lua_State *L, const struct ml_lent *view, int id)
{
    const struct edit_view *e = (const struct edit_view *)(const void *)view;
    const struct ml_script_update *update = view->subject;
    const struct ml_effect *effect = effect_of(e);
    bool formats = effect->kind == ML_EFFECT_TEXT_FORMAT;

    switch (id) {
    case EDIT_KIND:
        lua_pushstring(L, ml_edit_words[effect->kind]);
        break;
    case EDIT_EXACT: /* always, since edits are seen against the document */
        lua_pushboolean(L, true);
        break;
    case EDIT_KEY:
        ml_push_slice_or_nil(L, effect->key);
        break;
    case EDIT_ROOT:
        ml_push_slice(L, root_of(effect->path));
        break;
    case EDIT_PATH:
        ml_push_slice(L, effect->path);
        break;
    case EDIT_TEXT:
        ml_push_slice_or_nil(L, effect->key.ptr ? (struct ml_slice){0} : effect->text);
        break;
    case EDIT_LEN:
        lua_pushnumber(L, (double)effect->len);
        break;
    case EDIT_CLIENT:
        lua_pushnumber(L, (double)effect->id.client);
        break;
    case EDIT_CLOCK:
        lua_pushnumber(L, (double)effect->id.clock);
        break;
    case EDIT_INDEX:
        push_index(L, update, effect);
        break;
    case EDIT_VALUE:
    case EDIT_ATTRS:
        if (formats == (id == EDIT_ATTRS))
            push_value(L, update, effect);
        else
            lua_pushnil(L);
        break;
    case EDIT_BEFORE:
        push_before(L, update, effect);
        break;
    case EDIT_BLOCK:
        push_block(L, update, effect);
        break;
    case EDIT_TAG:
        ml_push_slice_or_nil(L, effect->tag);
        break;
    default:
        ml_view_push(L, ml_views_of(L)->views[KIND_AUTHOR], view->scope, NULL);
    }
}

/* e:block_text() -> text of the whole block after the update | nil   [may raise] */
static int edit_block_text(lua_State *L)
{
    const struct edit_view *e = ml_view_check(L, 1, KIND_EDIT);
    const struct ml_script_update *update = e->view.subject;
    struct ml_writer *out = &ml_script_of(L)->text;

    ml_budget_check(&ml_script_of(L)->budget, L);
    ml_writer_reset(out);
    if (is_there(L, ml_effect_block_text(update->effects, effect_of(e), out)))
        ml_push_slice(L, ml_writer_slice(out));
    else
        lua_pushnil(L);
    return 1;
}

/* e:anchor(["end"]) -> bytes of a Yjs relative position, before its first unit or behind its last
 * one | nil: it has a key   [may raise] */
static int edit_anchor(lua_State *L)
{
    const struct edit_view *e = ml_view_check(L, 1, KIND_EDIT);
    const struct ml_effect *effect = effect_of(e);
    static const char *const sides[] = {"start", "end", NULL};
    bool behind = luaL_checkoption(L, 2, sides[0], sides) == 1;
    const struct ml_relpos position = {
        .has_unit = true,
        .unit = {effect->id.client,
                 effect->id.clock + (behind && effect->len ? effect->len - 1 : 0)},
        .assoc = behind ? -1 : 0,
    };
    struct ml_writer *out = &ml_script_of(L)->text;

    if (effect->key.ptr) {
        lua_pushnil(L);
        return 1;
    }
    ml_writer_reset(out);
    ml_relpos_encode(&position, out);
    ml_push_slice(L, ml_writer_slice(out));
    return 1;
}

static const struct ml_lent_field edit_fields[] = {
    {"kind", EDIT_KIND, NULL},
    {"exact", EDIT_EXACT, NULL},
    {"key", EDIT_KEY, NULL},
    {"root", EDIT_ROOT, NULL},
    {"path", EDIT_PATH, NULL},
    {"text", EDIT_TEXT, NULL},
    {"len", EDIT_LEN, NULL},
    {"client", EDIT_CLIENT, NULL},
    {"clock", EDIT_CLOCK, NULL},
    {"index", EDIT_INDEX, NULL},
    {"value", EDIT_VALUE, NULL},
    {"before", EDIT_BEFORE, NULL},
    {"attrs", EDIT_ATTRS, NULL},
    {"block", EDIT_BLOCK, NULL},
    {"tag", EDIT_TAG, NULL},
    {"author", EDIT_AUTHOR, NULL},
    {"block_text", 0, edit_block_text},
    {"anchor", 0, edit_anchor},
    {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_edit = {"edit", edit_fields, get_edit, sizeof(struct edit_view)};

void ml_edit_push_table(lua_State *L, const struct ml_lent *of, size_t number)
{
    const struct edit_view e = {
        .view = *of, .looping = of->generation, .number = number, .wanted = ALL_KINDS};

    lua_createtable(L, 0, 8);
    for (const struct ml_lent_field *field = edit_fields; field->name; field++) {
        if (field->method || field->id == EDIT_AUTHOR)
            continue;
        get_edit(L, &e.view, field->id);
        lua_setfield(L, -2, field->name);
    }
}

/* ---- u:edits()
 * ------------------------------------------------------------------------------------------- */

/* Step of u:edits(): the edit again, or nothing. */
static int next_edit(lua_State *L)
{
    struct edit_view *e = ml_view_check(L, 1, KIND_EDIT);
    const struct ml_script_update *update = e->view.subject;

    while (e->next < ml_effects_count(update->effects)) {
        const struct ml_effect *effect = ml_effects_at(update->effects, e->next++);

        if (e->next % 1024 == 0)
            ml_budget_check(&ml_script_of(L)->budget, L);
        if (!ml_effect_is_open(effect) || !(e->wanted & 1u << effect->kind) ||
            (e->pattern.ptr && !ml_effect_is_at(effect, e->pattern)))
            continue;
        e->number = e->next - 1;
        lua_settop(L, 1);
        return 1;
    }
    e->busy = false;
    return 0;
}

static struct edit_view *push_edit_view(lua_State *L)
{
    struct ml_views *views = ml_views_of(L);
    struct edit_view *e;

    lua_rawgeti(L, LUA_REGISTRYINDEX, views->views[KIND_EDIT]);
    e = lua_touserdata(L, -1);
    if (e->busy && e->view.generation == views->generation) { /* a loop inside a loop */
        lua_pop(L, 1);
        e = lua_newuserdata(L, sizeof(*e));
        lua_rawgeti(L, LUA_REGISTRYINDEX, views->metatables[KIND_EDIT]);
        lua_setmetatable(L, -2);
    }
    return e;
}

int ml_update_edits(lua_State *L)
{
    const struct ml_lent *view = ml_update_looked_at(L);
    size_t len = 0, pattern_len = 0;
    const char *kind = luaL_optlstring(L, 2, NULL, &len);
    const char *pattern = luaL_optlstring(L, 3, NULL, &pattern_len);
    uint32_t wanted = ALL_KINDS;
    struct edit_view *e;

    if (kind) {
        wanted = ml_edit_word_bits(ml_slice_make(kind, len));
        if (!wanted)
            luaL_error(L, "unknown edit kind '%s'", kind);
    }
    lua_pushcfunction(L, next_edit);
    e = push_edit_view(L);
    *e = (struct edit_view){
        .view = {view->generation, KIND_EDIT, view->subject, view->scope},
        .looping = view->generation,
        .wanted = wanted,
        .busy = true,
    };
    if (pattern) {
        /* The pattern lives as long as the loop. */
        e->pattern = ml_slice_make(pattern, pattern_len);
        lua_createtable(L, 1, 0);
        lua_pushvalue(L, 3);
        lua_rawseti(L, -2, 1);
        lua_setfenv(L, -2);
    }
    return 2;
}
