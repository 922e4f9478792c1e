/* SPDX-License-Identifier: MIT */
/*
 * Handles that read: texts, maps, lists, XML and counters by their path. A handle is a path; each
 * use finds its place again, so it shows what stands there at that moment, also inside a
 * transaction. What is not there reads as empty.
 */
#include "script/view.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "script/values.h"

#define WALK_DEPTH 512

void ml_shown_push(lua_State *L, enum ml_lent_kind kind, const struct doc_subject *subject,
                   struct ml_slice path)
{
    struct ml_shown_view *view = lua_newuserdata(L, sizeof(*view) + path.len);

    view->view = (struct ml_lent){ml_views_of(L)->generation, kind, subject, NULL};
    view->len = path.len;
    memcpy(view->path, path.len ? (const char *)path.ptr : "", path.len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ml_views_of(L)->metatables[kind]);
    lua_setmetatable(L, -2);
}

static void check_size(lua_State *L, enum ml_err err, const struct ml_writer *out)
{
    if (err || out->err)
        luaL_error(L, "the document is too large to be read here");
}

void ml_shown_push_value(lua_State *L, const struct ml_doc *doc, const struct ml_shown *at)
{
    struct ml_writer *out = &ml_script_of(L)->text;
    struct ml_reader in;

    ml_writer_reset(out);
    check_size(L, ml_shown_any(doc, at, out), out);
    in = ml_reader_make(ml_writer_slice(out));
    ml_any_push(L, &in);
}

/* The handle at 1 and its place; .branch of a place that is not there is none. */
struct place {
    const struct ml_shown_view *view;
    const struct ml_doc *doc;
    struct ml_shown at;
    bool there;
};

static struct place find(lua_State *L, enum ml_lent_kind kind)
{
    struct place p = {.view = ml_view_check(L, 1, kind)};
    const struct doc_subject *subject = p.view->view.subject;

    if (!subject->doc)
        luaL_error(L, "this document is not at hand");
    p.doc = subject->doc;
    p.there = ml_shown_at(p.doc, ml_slice_make(p.view->path, p.view->len), &p.at);
    return p;
}

/* Push one element or entry; nil if it is not there. */
static int push_found(lua_State *L, const struct place *p, bool found, const struct ml_shown *at)
{
    if (found)
        ml_shown_push_value(L, p->doc, at);
    else
        lua_pushnil(L);
    return 1;
}

/* ---- doc:text() -------------------------------------------------------------------------------
 */

/* What a place shows as text, in the writer of the script: good until something else is read. */
static struct ml_slice read_text(lua_State *L, const struct ml_doc *doc, const struct ml_shown *at,
                                 enum ml_view how)
{
    struct ml_writer *out = &ml_script_of(L)->text;
    enum ml_err err;

    ml_writer_reset(out);
    err = ml_shown_read(doc, at, how, out);
    if (err == ML_ENOTFOUND)
        luaL_error(L, "no shared type is there but a plain value: doc:get(path) reads it");
    check_size(L, err, out);
    return out->len ? ml_writer_slice(out) : ml_slice_make("", 0);
}

static struct ml_slice text_of(lua_State *L)
{
    struct place p = find(L, KIND_TEXT);

    return p.there ? read_text(L, p.doc, &p.at, ML_VIEW_TEXT) : ml_slice_make("", 0);
}

/* text:tostring() -> text   [may raise] */
static int text_tostring(lua_State *L)
{
    ml_push_slice(L, text_of(L));
    return 1;
}

/* text:len() -> UTF-16 units, embeds included   [may raise] */
static int text_len(lua_State *L)
{
    struct place p = find(L, KIND_TEXT);

    lua_pushnumber(L, p.there ? (double)ml_shown_length(p.doc, &p.at) : 0);
    return 1;
}

static double check_index(lua_State *L, int arg)
{
    double value = luaL_checknumber(L, arg);

    if (!(value >= 0 && value <= UINT32_MAX && value == (double)(uint32_t)value))
        luaL_argerror(L, arg, "a whole number from 0 is wanted");
    return value;
}

/* text:slice(i, n) -> text; both in UTF-16 units of the plain text   [may raise] */
static int text_slice(lua_State *L)
{
    double index = check_index(L, 2), n = check_index(L, 3);
    struct ml_slice text = text_of(L);
    size_t units = 0, from, to;
    bool inside;

    (void)ml_utf8_check(text, &units);
    if (index > (double)units)
        luaL_error(L, "slice: out of range");
    if (n > (double)units - index)
        n = (double)units - index;
    from = ml_utf8_offset(text, (size_t)index, &inside);
    to = ml_utf8_offset(text, (size_t)index + (size_t)n, &inside);
    ml_push_slice(L, ml_slice_make(text.ptr + from, to - from));
    return 1;
}

/* text:find(s [, from]) -> index in UTF-16 units | nil   [may raise] */
static int text_find(lua_State *L)
{
    size_t len, units = 0, from;
    const char *wanted = luaL_checklstring(L, 2, &len);
    double start = lua_isnoneornil(L, 3) ? 0 : check_index(L, 3);
    struct ml_slice text = text_of(L);
    const uint8_t *hit;
    bool inside;

    (void)ml_utf8_check(text, &units);
    if (start > (double)units)
        luaL_error(L, "find: out of range");
    from = ml_utf8_offset(text, (size_t)start, &inside);
    hit = memmem(text.ptr + from, text.len - from, wanted, len);
    if (!hit) {
        lua_pushnil(L);
        return 1;
    }
    (void)ml_utf8_check(ml_slice_make(text.ptr, (size_t)(hit - text.ptr)), &units);
    lua_pushnumber(L, (double)units);
    return 1;
}

/* text:delta() -> list of { insert, attributes }   [may raise] */
static int text_delta(lua_State *L)
{
    struct place p = find(L, KIND_TEXT);

    if (p.there) {
        /* JSON is read into Lua strings: from a copy that the state holds. */
        ml_push_slice(L, read_text(L, p.doc, &p.at, ML_VIEW_DELTA));
        ml_json_push(L, ml_slice_make(lua_tostring(L, -1), lua_objlen(L, -1)));
    } else {
        lua_newtable(L);
        ml_json_mark_list(L);
    }
    return 1;
}

/* text:block_at(i) -> its line, index of its first unit, units of it   [may raise] */
static int text_block_at(lua_State *L)
{
    double index = check_index(L, 2);
    struct ml_slice text = text_of(L);
    size_t units = 0, at, from, to, before = 0, length = 0;
    bool inside;

    (void)ml_utf8_check(text, &units);
    if (index > (double)units)
        luaL_error(L, "block_at: out of range");
    at = ml_utf8_offset(text, (size_t)index, &inside);
    for (from = at; from > 0 && text.ptr[from - 1] != '\n';)
        from--;
    for (to = at; to < text.len && text.ptr[to] != '\n';)
        to++;
    (void)ml_utf8_check(ml_slice_make(text.ptr, from), &before);
    (void)ml_utf8_check(ml_slice_make(text.ptr + from, to - from), &length);
    ml_push_slice(L, ml_slice_make(text.ptr + from, to - from));
    lua_pushnumber(L, (double)before);
    lua_pushnumber(L, (double)length);
    return 3;
}

static const struct ml_lent_field text_fields[] = {
    {"tostring", 0, text_tostring},
    {"len", 0, text_len},
    {"slice", 0, text_slice},
    {"find", 0, text_find},
    {"delta", 0, text_delta},
    {"block_at", 0, text_block_at},
    {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_text = {"text", text_fields, NULL, 0};

/* ---- doc:map() --------------------------------------------------------------------------------
 */

static bool find_key(lua_State *L, const struct place *p, struct ml_shown *out)
{
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);

    return p->there && ml_shown_key(p->doc, &p->at, ml_slice_make(key, len), out);
}

/* map:get(key) -> plain value | nil   [may raise] */
static int map_get(lua_State *L)
{
    struct place p = find(L, KIND_MAP);
    struct ml_shown at;

    return push_found(L, &p, find_key(L, &p, &at), &at);
}

/* map:has(key) -> boolean   [may raise] */
static int map_has(lua_State *L)
{
    struct place p = find(L, KIND_MAP);
    struct ml_shown at;

    lua_pushboolean(L, find_key(L, &p, &at));
    return 1;
}

/* Push the keys as a sorted list; answers their number. */
static int push_keys(lua_State *L, const struct place *p)
{
    uint32_t cursor = 0;
    struct ml_slice key;
    struct ml_shown at;
    int count = 0;

    lua_newtable(L);
    ml_json_mark_list(L);
    while (p->there && ml_shown_next_key(p->doc, &p->at, &cursor, &key, &at)) {
        ml_push_slice(L, key);
        lua_rawseti(L, -2, ++count);
    }
    lua_pushcfunction(L, ml_table_sort);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 0);
    return count;
}

/* map:keys() -> sorted list   [may raise] */
static int map_keys(lua_State *L)
{
    struct place p = find(L, KIND_MAP);

    (void)push_keys(L, &p);
    return 1;
}

/* map:size() -> number of keys   [may raise] */
static int map_size(lua_State *L)
{
    struct place p = find(L, KIND_MAP);
    uint32_t cursor = 0;
    struct ml_slice key;
    struct ml_shown at;
    int count = 0;

    while (p.there && ml_shown_next_key(p.doc, &p.at, &cursor, &key, &at))
        count++;
    lua_pushinteger(L, count);
    return 1;
}

/* The next entry; upvalues: the handle, its sorted keys, how many were given out. */
static int next_entry(lua_State *L)
{
    int n = (int)lua_tointeger(L, lua_upvalueindex(3)) + 1;

    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_rawgeti(L, lua_upvalueindex(2), n);
    if (lua_isnil(L, 2))
        return 1;
    lua_pushinteger(L, n);
    lua_replace(L, lua_upvalueindex(3));
    (void)map_get(L);
    return 2;
}

/* map:each() -> iterator over key, value, in the order of the keys   [may raise] */
static int map_each(lua_State *L)
{
    struct place p = find(L, KIND_MAP);

    lua_settop(L, 1);
    (void)push_keys(L, &p);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_entry, 3);
    return 1;
}

static const struct ml_lent_field map_fields[] = {
    {"get", 0, map_get},   {"has", 0, map_has},   {"keys", 0, map_keys},
    {"each", 0, map_each}, {"size", 0, map_size}, {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_map = {"map", map_fields, NULL, 0};

/* ---- doc:array() ------------------------------------------------------------------------------
 */

/* array:get(i) -> plain value | nil   [may raise] */
static int array_get(lua_State *L)
{
    struct place p = find(L, KIND_ARRAY);
    double index = check_index(L, 2);
    struct ml_shown at;
    bool found = p.there && ml_shown_index(p.doc, &p.at, (uint32_t)index, &at);

    return push_found(L, &p, found, &at);
}

/* array:len() -> elements   [may raise] */
static int array_len(lua_State *L)
{
    struct place p = find(L, KIND_ARRAY);

    lua_pushnumber(L, p.there ? (double)ml_shown_length(p.doc, &p.at) : 0);
    return 1;
}

/* Push all of it as a table; answers the number of elements. */
static uint32_t push_all(lua_State *L, const struct place *p)
{
    if (!p->there) {
        lua_newtable(L);
        return 0;
    }
    ml_shown_push_value(L, p->doc, &p->at);
    if (!lua_istable(L, -1))
        luaL_error(L, "no list is there");
    return ml_shown_length(p->doc, &p->at);
}

/* array:slice(i, n) -> list   [may raise] */
static int array_slice(lua_State *L)
{
    struct place p = find(L, KIND_ARRAY);
    double from = check_index(L, 2), n = check_index(L, 3);
    uint32_t length = push_all(L, &p);

    if (from > length)
        luaL_error(L, "slice: out of range");
    if (n > length - from)
        n = length - from;
    lua_createtable(L, (int)n, 0);
    ml_json_mark_list(L);
    for (int i = 1; i <= (int)n; i++) {
        lua_rawgeti(L, -2, (int)from + i);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

/* The next element; upvalues: all of them, their number, how many were given out. */
static int next_element(lua_State *L)
{
    int n = (int)lua_tointeger(L, lua_upvalueindex(3));

    if (n >= (int)lua_tointeger(L, lua_upvalueindex(2))) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, n + 1);
    lua_replace(L, lua_upvalueindex(3));
    lua_pushinteger(L, n);
    lua_rawgeti(L, lua_upvalueindex(1), n + 1);
    return 2;
}

/* array:each() -> iterator over index from 0, value   [may raise] */
static int array_each(lua_State *L)
{
    struct place p = find(L, KIND_ARRAY);

    lua_pushinteger(L, (lua_Integer)push_all(L, &p));
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_element, 3);
    return 1;
}

static const struct ml_lent_field array_fields[] = {
    {"get", 0, array_get},   {"len", 0, array_len}, {"slice", 0, array_slice},
    {"each", 0, array_each}, {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_array = {"array", array_fields, NULL, 0};

/* ---- doc:counter() ----------------------------------------------------------------------------
 */

/* counter:value() -> number   [may raise] */
static int counter_value(lua_State *L)
{
    struct place p = find(L, KIND_COUNTER);

    lua_pushnumber(L, p.there ? ml_shown_sum(p.doc, &p.at) : 0);
    return 1;
}

static const struct ml_lent_field counter_fields[] = {{"value", 0, counter_value}, {NULL, 0, NULL}};

const struct ml_lent_def ml_lent_counter = {"counter", counter_fields, NULL, 0};
