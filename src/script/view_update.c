/* SPDX-License-Identifier: MIT */
/*
 * The view of an update on its way in (plugin-api 9.2): what it is, and what a plugin makes of its
 * edits. Decisions are noted in struct ml_script_update; nothing is changed here.
 */
#include "script/view.h"

#include <stdio.h>

#include "base/utf8.h"

#define DENIAL_CODE_MAX   64 /* as in ml.deny */
#define DENIAL_REASON_MAX 500

enum {
    UPDATE_AUTHOR,
    UPDATE_MEMBER,
    UPDATE_ORIGIN,
    UPDATE_BYTES,
    UPDATE_AT,
    UPDATE_DOC,
    UPDATE_ORG,
    UPDATE_INSERTED,
    UPDATE_INSERTED_BYTES,
    UPDATE_DELETED,
    UPDATE_KEYS,
    UPDATE_LABELS,
    UPDATE_PROPOSES,
};

/* The update of the view at 1, to decide about. The view is lent to be read; the update is ours. */
static struct ml_script_update *update_of(const struct ml_lent *view)
{
    return (struct ml_script_update *)(uintptr_t)view->subject;
}

const struct ml_lent *ml_update_looked_at(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_UPDATE);

    if (ml_script_update_look(update_of(view)))
        luaL_error(L, "this update is too large to be looked at");
    return view;
}

/* u:touches(pattern) -> boolean   [may raise] */
static int update_touches(lua_State *L)
{
    const struct ml_lent *view = ml_update_looked_at(L);
    const struct ml_script_update *update = update_of(view);
    const struct ml_edit_filter all = {.any = true};
    size_t len;
    const char *pattern = luaL_checklstring(L, 2, &len);
    bool touches = false;

    for (size_t n = 0; !touches && n < ml_effects_count(update->effects); n++) {
        const struct ml_effect *effect = ml_effects_at(update->effects, n);

        touches =
            ml_filter_takes(&all, effect) && ml_effect_is_at(effect, ml_slice_make(pattern, len));
    }
    lua_pushboolean(L, touches);
    return 1;
}

/* ---- Decisions
 * ------------------------------------------------------------------------------------------- */

static void check(lua_State *L, enum ml_err err, const char *denied)
{
    if (!err)
        return;
    luaL_error(L, "%s",
               err == ML_EDENIED   ? denied
               : err == ML_EFORMAT ? "text must be UTF-8"
                                   : "too much is decided about one update");
}

/* Argument `arg` as ml.deny takes it. */
static struct ml_slice check_text(lua_State *L, int arg, size_t max, const char *what)
{
    size_t len;
    struct ml_slice text = {0};
    const char *bytes = luaL_checklstring(L, arg, &len);

    text = ml_slice_make(bytes, len);
    if (!len || len > max || !ml_utf8_check(text, NULL))
        luaL_error(L, "undo: %s must be UTF-8 text of 1 to %d bytes", what, (int)max);
    return text;
}

#define CODE_BYTES (ML_PLUGIN_NAME_MAX + 1 + DENIAL_CODE_MAX + 1)

/* Arguments 3 and 4 as a denial, whose code is written into `text`. */
static struct ml_denial check_denial(lua_State *L, const struct ml_script_update *update,
                                     char text[CODE_BYTES])
{
    struct ml_slice code = check_text(L, 3, DENIAL_CODE_MAX, "the code");
    struct ml_denial denial = {.reason = check_text(L, 4, DENIAL_REASON_MAX, "the reason")};

    if (strspn((const char *)code.ptr, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != code.len)
        luaL_error(L, "undo: a code is made of a-z, 0-9, '_', '-' and '.'");
    (void)snprintf(text, CODE_BYTES, "%s.%s", update->plugin, (const char *)code.ptr);
    denial.code = ml_slice_str(text);
    return denial;
}

/* u:undo(e, code, reason)   [may raise] */
static int update_undo(lua_State *L)
{
    struct ml_script_update *update = update_of(ml_update_looked_at(L));
    size_t number = ml_edit_check(L, 2, update);
    char text[CODE_BYTES];
    struct ml_denial denial = check_denial(L, update, text);

    check(L, ml_script_update_refuse(update, number, &denial), "");
    return 0;
}

/* u:only_propose(e, code, reason): undo, unless a later plugin makes a proposal of it [may raise]
 */
static int update_only_propose(lua_State *L)
{
    struct ml_script_update *update = update_of(ml_update_looked_at(L));
    size_t number = ml_edit_check(L, 2, update);
    char text[CODE_BYTES];
    struct ml_denial denial = check_denial(L, update, text);

    check(L, ml_script_update_owe(update, number, &denial), "");
    update->proposes = true;
    return 0;
}

/* u:replace(e, text)   [may raise] */
static int update_replace(lua_State *L)
{
    struct ml_script_update *update = update_of(ml_update_looked_at(L));
    size_t number = ml_edit_check(L, 2, update), len;
    const char *text = luaL_checklstring(L, 3, &len);

    check(L, ml_effect_replace(update->effects, number, ml_slice_make(text, len)),
          "replace: only inserted text and values of keys can be replaced");
    return 0;
}

/* u:remove(e)   [may raise] */
static int update_remove(lua_State *L)
{
    struct ml_script_update *update = update_of(ml_update_looked_at(L));

    check(L, ml_effect_remove(update->effects, ml_edit_check(L, 2, update)),
          "remove: this edit inserts nothing; use undo");
    return 0;
}

/* u:propose(e)   [may raise] */
static int update_propose(lua_State *L)
{
    struct ml_script_update *update = update_of(ml_update_looked_at(L));

    ml_script_update_propose(update, ml_edit_check(L, 2, update));
    return 0;
}

static struct ml_slice keep(lua_State *L, struct ml_arena *scratch, struct ml_slice bytes)
{
    struct ml_slice copy = ml_arena_copy(scratch, bytes);

    if (!copy.ptr)
        luaL_error(L, "no room for a label");
    return copy;
}

/* As JSON, with place `n` taken by these lengths. Every byte of a name may become six. */
static size_t size_with(const struct ml_script_update *update, size_t n, size_t name, size_t json)
{
    size_t bytes = name * 6 + json + 8;

    for (size_t i = 0; i < update->label_count; i++)
        if (i != n)
            bytes += update->labels[i].name.len * 6 + update->labels[i].json.len + 8;
    return bytes;
}

/* u:label(key, value)   [may raise] */
static int update_label(lua_State *L)
{
    struct ml_script_update *update = update_of(ml_view_check(L, 1, KIND_UPDATE));
    size_t len, json_len, n = 0;
    const char *name = luaL_checklstring(L, 2, &len), *json;
    struct ml_slice key = ml_slice_make(name, len);

    luaL_checkany(L, 3);
    if (!len || len > ML_LABEL_NAME_MAX)
        luaL_error(L, "label: a key has 1 to %d bytes", ML_LABEL_NAME_MAX);
    if (!ml_utf8_check(key, NULL))
        luaL_error(L, "label: a key is UTF-8 text");
    ml_json_text(L, 3);
    json = lua_tolstring(L, -1, &json_len);
    if (json_len > ML_LABEL_BYTES_MAX)
        luaL_error(L, "label: a value has at most %d bytes as JSON", ML_LABEL_BYTES_MAX);
    while (n < update->label_count && !ml_slice_equal(update->labels[n].name, key))
        n++;
    if (n == ML_LABELS_MAX)
        luaL_error(L, "label: an update has at most %d labels", ML_LABELS_MAX);
    if (size_with(update, n, len, json_len) > ML_LABELS_BYTES_MAX)
        luaL_error(L, "label: the labels of an update have at most %d bytes", ML_LABELS_BYTES_MAX);
    if (n == update->label_count)
        update->labels[n].name = keep(L, update->scratch, key);
    update->labels[n].json = keep(L, update->scratch, ml_slice_make(json, json_len));
    update->label_count += n == update->label_count;
    return 0;
}

static void push_labels(lua_State *L, const struct ml_script_update *update)
{
    lua_createtable(L, 0, (int)update->label_count);
    for (size_t n = 0; n < update->label_count; n++) {
        ml_push_slice(L, update->labels[n].name);
        ml_json_push(L, update->labels[n].json);
        lua_rawset(L, -3);
    }
}

/* ---- u
 * ---------------------------------------------------------------------------------------------------
 */

static void get_update(lua_State *L, const struct ml_lent *view, int id);

/* u:snapshot() -> plain table that outlives the hook   [may raise] */
static int update_snapshot(lua_State *L)
{
    static const struct {
        const char *name;
        int id;
    } totals[] = {
        {"origin", UPDATE_ORIGIN},
        {"bytes", UPDATE_BYTES},
        {"at", UPDATE_AT},
        {"inserted", UPDATE_INSERTED},
        {"inserted_bytes", UPDATE_INSERTED_BYTES},
        {"deleted", UPDATE_DELETED},
        {"keys", UPDATE_KEYS},
        {"labels", UPDATE_LABELS},
    };
    const struct ml_lent *view = ml_update_looked_at(L);
    const struct ml_script_update *update = update_of(view);
    const struct ml_edit_filter all = {.any = true};
    const struct ml_scope *scope = view->scope;
    int n = 0;

    lua_settop(L, 1);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof(totals) / sizeof(*totals); i++) {
        get_update(L, view, totals[i].id);
        lua_setfield(L, 2, totals[i].name);
    }
    ml_push_slice_or_nil(L, scope->document);
    lua_setfield(L, 2, "doc_id");
    lua_newtable(L);
    ml_push_slice_or_nil(L, scope->user);
    lua_setfield(L, -2, "user");
    ml_push_slice_or_nil(L, scope->user_name);
    lua_setfield(L, -2, "name");
    lua_setfield(L, 2, "author");
    lua_newtable(L);
    for (size_t i = 0; i < ml_effects_count(update->effects); i++) {
        if (!ml_filter_takes(&all, ml_effects_at(update->effects, i)))
            continue;
        ml_budget_check(&ml_script_of(L)->budget, L);
        ml_edit_push_table(L, view, i);
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, 2, "edits");
    return 1;
}

static const struct ml_lent_field update_fields[] = {
    {"author", UPDATE_AUTHOR, NULL},
    {"member", UPDATE_MEMBER, NULL},
    {"origin", UPDATE_ORIGIN, NULL},
    {"bytes", UPDATE_BYTES, NULL},
    {"at", UPDATE_AT, NULL},
    {"doc", UPDATE_DOC, NULL},
    {"org", UPDATE_ORG, NULL},
    {"inserted", UPDATE_INSERTED, NULL},
    {"inserted_bytes", UPDATE_INSERTED_BYTES, NULL},
    {"deleted", UPDATE_DELETED, NULL},
    {"keys", UPDATE_KEYS, NULL},
    {"labels", UPDATE_LABELS, NULL},
    {"proposes", UPDATE_PROPOSES, NULL},
    {"edits", 0, ml_update_edits},
    {"touches", 0, update_touches},
    {"snapshot", 0, update_snapshot},
    {"undo", 0, update_undo},
    {"replace", 0, update_replace},
    {"remove", 0, update_remove},
    {"amend", 0, ml_update_amend},
    {"propose", 0, update_propose},
    {"only_propose", 0, update_only_propose},
    {"label", 0, update_label},
    {NULL, 0, NULL},
};

static void get_update(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_scope *scope = view->scope;
    const struct ml_script_update *update = update_of(view);
    const struct ml_update_facts *facts = ml_update_facts(update->update);
    struct ml_views *views = ml_views_of(L);

    switch (id) {
    case UPDATE_AUTHOR:
        ml_view_push(L, views->views[KIND_AUTHOR], scope, NULL);
        break;
    case UPDATE_MEMBER:
        ml_view_push(L, views->views[KIND_MEMBER], scope, NULL);
        break;
    case UPDATE_ORIGIN:
        lua_pushstring(L, scope->origin ? scope->origin : "client");
        break;
    case UPDATE_BYTES:
        lua_pushnumber(L, (double)facts->bytes);
        break;
    case UPDATE_AT:
        lua_pushnumber(L, (double)ml_script_of(L)->wall_ms() / 1000.0);
        break;
    case UPDATE_DOC:
        ml_view_push_doc_at(
            L, &(struct doc_subject){{scope->org, scope->document}, scope->doc, scope->port, NULL});
        break;
    case UPDATE_ORG:
        ml_push_slice_or_nil(L, scope->org);
        break;
    case UPDATE_INSERTED:
        lua_pushnumber(L, (double)facts->inserted_units);
        break;
    case UPDATE_INSERTED_BYTES:
        lua_pushnumber(L, (double)facts->inserted_bytes);
        break;
    case UPDATE_DELETED:
        lua_pushnumber(L, (double)facts->deleted_units);
        break;
    case UPDATE_LABELS:
        push_labels(L, update);
        break;
    case UPDATE_PROPOSES:
        lua_pushboolean(L, update->proposes);
        break;
    default:
        lua_pushnumber(L, (double)facts->keys);
    }
}

const struct ml_lent_def ml_lent_update = {"update", update_fields, get_update,
                                           sizeof(struct ml_lent)};
