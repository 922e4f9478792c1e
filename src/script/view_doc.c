/* SPDX-License-Identifier: MIT */
/* Views of a document: reading what it shows. */
#include "script/view.h"

#include <stdlib.h>

#include "base/utf8.h"

struct text_view {
    struct ml_lent view;
    size_t len; /* of the root's name */
    char root[];
};

/* ---- doc
 * -----------------------------------------------------------------------------------------------
 */

/* Print a root into the script's writer and push it as text. */
static void push_root(lua_State *L, const struct doc_subject *subject, struct ml_slice root,
                      enum ml_view how)
{
    struct ml_writer *out = &ml_script_of(L)->text;

    ml_writer_reset(out);
    if (!subject->doc)
        luaL_error(L, "this document is not at hand");
    if (ml_doc_read(subject->doc, root, how, out) || out->err)
        luaL_error(L, "the document is too large to be read here");
    lua_pushlstring(L, out->len ? (const char *)out->ptr : "", out->len);
}

/* Argument `arg` as the name of a root. */
static struct ml_slice check_root(lua_State *L, int arg)
{
    size_t len;
    const char *path = luaL_checklstring(L, arg, &len);

    if (memchr(path, '/', len))
        luaL_error(
            L, "'%s': reading inside a root is not available in this version, except by doc:get",
            path);
    return ml_slice_make(path, len);
}

/* doc:json(root) -> JSON text   [may raise] */
static int doc_json(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_DOC);

    push_root(L, view->subject, check_root(L, 2), ML_VIEW_JSON);
    return 1;
}

/* One step of a path into the value at the top: a key or a 0-based index. Replaces it. */
static void step_into(lua_State *L, const char *part, size_t len)
{
    char *end;
    unsigned long index = strtoul(part, &end, 10);

    if (!lua_istable(L, -1)) {
        lua_pop(L, 1);
        lua_pushnil(L);
        return;
    }
    if (lua_objlen(L, -1) > 0 && len > 0 && end == part + len && index < INT32_MAX) {
        lua_rawgeti(L, -1, (int)index + 1);
    } else {
        luaL_Buffer key;

        luaL_buffinit(L, &key);
        for (size_t i = 0; i < len; i++) {
            bool escaped =
                part[i] == '~' && i + 1 < len && (part[i + 1] == '0' || part[i + 1] == '1');

            luaL_addchar(&key, escaped ? (part[i + 1] == '1' ? '/' : '~') : part[i]);
            i += escaped;
        }
        luaL_pushresult(&key);
        lua_rawget(L, -2);
    }
    lua_remove(L, -2);
}

/* doc:get(path) -> plain value, a deep copy; nil: absent   [may raise] */
static int doc_get(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_DOC);
    size_t len;
    const char *path = luaL_checklstring(L, 2, &len), *end = path + len;
    const char *slash = memchr(path, '/', len);
    struct ml_slice root = ml_slice_make(path, slash ? (size_t)(slash - path) : len);
    size_t text_len;
    const char *text;

    lua_settop(L, 2);
    push_root(L, view->subject, root, ML_VIEW_JSON);
    text = lua_tolstring(L, 3, &text_len);
    ml_json_push(L, ml_slice_make(text, text_len));
    while (slash) {
        const char *part = slash + 1;

        slash = memchr(part, '/', (size_t)(end - part));
        step_into(L, part, (size_t)((slash ? slash : end) - part));
    }
    return 1;
}

/* doc:text(path) -> handle   [may raise] */
static int doc_text(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_DOC);
    struct ml_slice root = check_root(L, 2);
    struct text_view *text = lua_newuserdata(L, sizeof(*text) + root.len);

    text->view = (struct ml_lent){view->generation, KIND_TEXT, view->subject, NULL};
    text->len = root.len;
    memcpy(text->root, root.ptr, root.len);
    lua_rawgeti(L, LUA_REGISTRYINDEX, ml_views_of(L)->metatables[KIND_TEXT]);
    lua_setmetatable(L, -2);
    return 1;
}

enum { DOC_ID, DOC_ORG };

static const struct ml_lent_field doc_fields[] = {
    {"id", DOC_ID, NULL},
    {"org", DOC_ORG, NULL},
    {"text", 0, doc_text},
    {"json", 0, doc_json},
    {"get", 0, doc_get},
    {"map", 0, ml_view_not_yet},
    {"array", 0, ml_view_not_yet},
    {"xml", 0, ml_view_not_yet},
    {"counter", 0, ml_view_not_yet},
    {"sessions", 0, ml_view_not_yet},
    {"digest", 0, ml_view_not_yet},
    {"transact", 0, ml_view_not_yet},
    {NULL, 0, NULL},
};

static void get_doc(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_ref *ref = view->subject;

    ml_push_slice_or_nil(L, id == DOC_ID ? ref->document : ref->org);
}

void ml_view_push_doc(lua_State *L, struct ml_slice org, struct ml_slice document,
                      const struct ml_doc *doc)
{
    struct ml_views *views = ml_views_of(L);

    views->doc = (struct doc_subject){{org, document}, doc};
    ml_view_push(L, views->views[KIND_DOC], &views->doc, NULL);
}

const struct ml_lent_def ml_lent_doc = {"doc", doc_fields, get_doc, sizeof(struct ml_lent)};

static const struct ml_lent_field ref_fields[] = {
    {"id", DOC_ID, NULL}, {"org", DOC_ORG, NULL}, {NULL, 0, NULL}};

const struct ml_lent_def ml_lent_ref = {"ref", ref_fields, get_doc, sizeof(struct ml_lent)};

/* ---- doc:text()
 * ------------------------------------------------------------------------------------------ */

static struct ml_slice push_text(lua_State *L)
{
    const struct text_view *text = ml_view_check(L, 1, KIND_TEXT);
    size_t len;
    const char *bytes;

    lua_settop(L, 3); /* optional arguments are there now */
    push_root(L, text->view.subject, ml_slice_make(text->root, text->len), ML_VIEW_TEXT);
    bytes = lua_tolstring(L, -1, &len);
    return ml_slice_make(bytes, len);
}

/* text:tostring() -> text */
static int text_tostring(lua_State *L)
{
    (void)push_text(L);
    return 1;
}

/* text:len() -> UTF-16 units */
static int text_len(lua_State *L)
{
    size_t units = 0;

    (void)ml_utf8_check(push_text(L), &units);
    lua_pushnumber(L, (double)units);
    return 1;
}

/* text:slice(index, n) -> text; both in UTF-16 units   [may raise] */
static int text_slice(lua_State *L)
{
    struct ml_slice text = push_text(L);
    double index = luaL_checknumber(L, 2), n = luaL_checknumber(L, 3);
    size_t units = 0, from, to;
    bool inside;

    (void)ml_utf8_check(text, &units);
    if (!(index >= 0 && index <= (double)units && n >= 0))
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
    struct ml_slice text = push_text(L);
    size_t len, units = 0, from;
    const char *wanted = luaL_checklstring(L, 2, &len);
    double start = luaL_optnumber(L, 3, 0);
    const uint8_t *hit;
    bool inside;

    (void)ml_utf8_check(text, &units);
    if (!(start >= 0 && start <= (double)units))
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

static const struct ml_lent_field text_fields[] = {
    {"tostring", 0, text_tostring},
    {"len", 0, text_len},
    {"slice", 0, text_slice},
    {"find", 0, text_find},
    {"delta", 0, ml_view_not_yet},
    {"block_at", 0, ml_view_not_yet},
    {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_text = {"text", text_fields, NULL, 0};
