/* SPDX-License-Identifier: MIT */
/*
 * doc:xml(path): an element, a fragment, a text of XML, read. Elements below come as handles of
 * their own, by path.
 *
 *   body                a fragment
 *     0  heading        a block: an element that itself holds text
 *     1  list
 *          0  item      a block
 */
#include "script/view.h"

#include <stdio.h>
#include <string.h>

#include "script/values.h"

#define DEPTH_MAX 256
#define TAGS_MAX  4096

struct place {
    const struct ml_shown_view *view;
    const struct ml_doc *doc;
    struct ml_shown at;
    bool there;
};

static struct place find(lua_State *L)
{
    struct place p = {.view = ml_view_check(L, 1, KIND_XML)};
    const struct doc_subject *subject = p.view->view.subject;

    if (!subject->doc)
        luaL_error(L, "this document is not at hand");
    p.doc = subject->doc;
    p.there = ml_shown_at(p.doc, ml_slice_make(p.view->path, p.view->len), &p.at);
    return p;
}

static bool is_text(const struct ml_doc *doc, const struct ml_shown *at)
{
    enum ml_value_kind kind = ml_shown_kind(doc, at);

    return kind == ML_VALUE_XML_TEXT || kind == ML_VALUE_TEXT;
}

/* ---- One element ------------------------------------------------------------------------------
 */

/* xml:tag() -> name | nil: no element   [may raise] */
static int xml_tag(lua_State *L)
{
    struct place p = find(L);

    ml_push_slice_or_nil(L, p.there ? ml_shown_name(p.doc, &p.at) : (struct ml_slice){0});
    return 1;
}

/* xml:attr(key) -> value | nil   [may raise] */
static int xml_attr(lua_State *L)
{
    struct place p = find(L);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);
    struct ml_shown at;

    if (p.there && ml_shown_key(p.doc, &p.at, ml_slice_make(key, len), &at))
        ml_shown_push_value(L, p.doc, &at);
    else
        lua_pushnil(L);
    return 1;
}

/* xml:id() -> name that stays while positions move, as e.block | nil: a root   [may raise] */
static int xml_id(lua_State *L)
{
    struct place p = find(L);
    struct ml_id id;
    char text[48];

    if (!p.there || !ml_shown_id(p.doc, &p.at, &id)) {
        lua_pushnil(L);
        return 1;
    }
    (void)snprintf(text, sizeof(text), "%llu-%llu", (unsigned long long)id.client,
                   (unsigned long long)id.clock);
    lua_pushstring(L, text);
    return 1;
}

/*
 * xml:above(i, pattern) -> index of the last child whose name fits, not behind place i | nil
 * [may raise]
 */
static int xml_above(lua_State *L)
{
    struct place p = find(L);
    double last = luaL_checknumber(L, 2);
    size_t len;
    const char *pattern = luaL_checklstring(L, 3, &len);
    struct ml_shown_cursor cursor = {0};
    struct ml_shown child;

    lua_settop(L, 3);
    lua_pushnil(L);
    for (double at = 0; p.there && at <= last && ml_shown_next(p.doc, &p.at, &cursor, &child);
         at++) {
        if ((uint32_t)at % 1024 == 1023)
            ml_budget_check(&ml_script_of(L)->budget, L);
        if (!ml_glob_match(ml_slice_make(pattern, len), ml_shown_name(p.doc, &child)))
            continue;
        lua_settop(L, 3);
        lua_pushnumber(L, at);
    }
    return 1;
}

/* xml:attrs() -> table   [may raise] */
static int xml_attrs(lua_State *L)
{
    struct place p = find(L);
    uint32_t cursor = 0;
    struct ml_slice key;
    struct ml_shown at;

    lua_newtable(L);
    while (p.there && ml_shown_next_key(p.doc, &p.at, &cursor, &key, &at)) {
        ml_push_slice(L, key);
        ml_shown_push_value(L, p.doc, &at);
        lua_rawset(L, -3);
    }
    return 1;
}

/* ---- A walk over what is below, elements before what is in them -------------------------------
 */

struct walk {
    const struct ml_doc *doc;
    struct level {
        struct ml_shown in;
        struct ml_shown_cursor cursor;
        uint32_t index; /* of the child that was handed out last */
    } level[DEPTH_MAX];
    unsigned depth;
    struct ml_slice base; /* path of the top */
};

static void walk_into(struct walk *w, const struct ml_shown *in)
{
    if (w->depth < DEPTH_MAX)
        w->level[w->depth++] = (struct level){.in = *in, .index = UINT32_MAX};
}

/* The next child of the innermost level, or of those around it. Deeper ones: walk_into. */
static bool walk_next(struct walk *w, struct ml_shown *out)
{
    for (; w->depth; w->depth--) {
        struct level *l = &w->level[w->depth - 1];

        if (ml_shown_next(w->doc, &l->in, &l->cursor, out)) {
            l->index++;
            return true;
        }
    }
    return false;
}

/* Push the path of the child that was handed out last. */
static void push_path(lua_State *L, const struct walk *w)
{
    luaL_Buffer out;

    luaL_buffinit(L, &out);
    luaL_addlstring(&out, (const char *)w->base.ptr, w->base.len);
    for (unsigned i = 0; i < w->depth; i++) {
        char part[16];

        (void)snprintf(part, sizeof(part), "/%lu", (unsigned long)w->level[i].index);
        luaL_addstring(&out, part);
    }
    luaL_pushresult(&out);
}

static void push_child(lua_State *L, const struct place *p, const struct walk *w)
{
    size_t len;
    const char *path;

    push_path(L, w);
    path = lua_tolstring(L, -1, &len);
    ml_shown_push(L, KIND_XML, p->view->view.subject, ml_slice_make(path, len));
    lua_remove(L, -2);
}

static void begin(struct walk *w, const struct place *p)
{
    w->doc = p->doc;
    w->depth = 0;
    w->base = ml_slice_make(p->view->path, p->view->len);
    if (p->there)
        walk_into(w, &p->at);
}

/* ---- Texts and blocks -------------------------------------------------------------------------
 */

static bool holds_text(const struct ml_doc *doc, const struct ml_shown *at)
{
    struct ml_shown_cursor cursor = {0};
    struct ml_shown child;

    while (ml_shown_next(doc, at, &cursor, &child))
        if (is_text(doc, &child))
            return true;
    return false;
}

static void add_plain(lua_State *L, const struct ml_doc *doc, const struct ml_shown *at)
{
    struct ml_writer *out = &ml_script_of(L)->text;

    if (ml_shown_read(doc, at, ML_VIEW_TEXT, out) || out->err)
        luaL_error(L, "the document is too large to be read here");
}

/* All text of a place into the writer of the script, a line feed between blocks. */
static void gather(lua_State *L, const struct ml_doc *doc, const struct ml_shown *top)
{
    struct ml_writer *out = &ml_script_of(L)->text;
    struct walk w = {.doc = doc, .depth = 0};
    struct ml_shown at;

    ml_writer_reset(out);
    if (is_text(doc, top)) {
        add_plain(L, doc, top);
        return;
    }
    walk_into(&w, top);
    while (walk_next(&w, &at)) {
        if (is_text(doc, &at)) {
            add_plain(L, doc, &at);
            continue;
        }
        if (out->len && holds_text(doc, &at) && !holds_text(doc, &w.level[w.depth - 1].in))
            ml_write_u8(out, '\n');
        walk_into(&w, &at);
    }
}

static void push_gathered(lua_State *L, const struct ml_doc *doc, const struct ml_shown *top)
{
    gather(L, doc, top);
    ml_push_slice(L, ml_writer_slice(&ml_script_of(L)->text));
}

/* xml:text() -> all text inside, a line feed between blocks   [may raise] */
static int xml_text(lua_State *L)
{
    struct place p = find(L);

    if (p.there)
        push_gathered(L, p.doc, &p.at);
    else
        lua_pushliteral(L, "");
    return 1;
}

/* xml:children() -> list of handles and texts   [may raise] */
static int xml_children(lua_State *L)
{
    struct place p = find(L);
    struct walk w;
    struct ml_shown at;

    begin(&w, &p);
    lua_newtable(L);
    ml_json_mark_list(L);
    for (int n = 1; walk_next(&w, &at); n++) {
        if (is_text(p.doc, &at))
            push_gathered(L, p.doc, &at);
        else
            push_child(L, &p, &w);
        lua_rawseti(L, -2, n);
    }
    return 1;
}

/* Blocks as a list of path, text, path, text … */
static void push_blocks(lua_State *L, const struct place *p)
{
    struct walk w;
    struct ml_shown at;
    int n = 0;

    begin(&w, p);
    lua_newtable(L);
    while (walk_next(&w, &at)) {
        if (is_text(p->doc, &at))
            continue;
        if (!holds_text(p->doc, &at)) {
            walk_into(&w, &at);
            continue;
        }
        push_path(L, &w);
        lua_rawseti(L, -2, ++n);
        push_gathered(L, p->doc, &at);
        lua_rawseti(L, -2, ++n);
    }
}

/* upvalues: the list, how many of it were given out */
static int next_block(lua_State *L)
{
    int n = (int)lua_tointeger(L, lua_upvalueindex(2));

    lua_pushinteger(L, n + 2);
    lua_replace(L, lua_upvalueindex(2));
    lua_rawgeti(L, lua_upvalueindex(1), n + 1);
    lua_rawgeti(L, lua_upvalueindex(1), n + 2);
    return 2;
}

/* xml:each_block() -> iterator over path, text of the blocks below   [may raise] */
static int xml_each_block(lua_State *L)
{
    struct place p = find(L);

    push_blocks(L, &p);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_block, 2);
    return 1;
}

/* ---- Search ------------------------------------------------------------------------------------
 */

/* The tags from the top down to the element handed out last, joined by '/'. False: too long. */
static bool tags_of(const struct walk *w, const struct ml_shown *at, char *out, size_t max,
                    size_t *len_out)
{
    size_t len = 0;

    for (unsigned i = 1; i <= w->depth; i++) {
        struct ml_slice tag = ml_shown_name(w->doc, i < w->depth ? &w->level[i].in : at);

        if (len + tag.len + 1 > max)
            return false;
        if (i > 1)
            out[len++] = '/';
        memcpy(out + len, tag.len ? (const char *)tag.ptr : "", tag.len);
        len += tag.len;
    }
    *len_out = len;
    return true;
}

/*
 * xml:find(pattern) -> handle | nil: the first element below, in document order. A name alone means
 * an element of that name at any depth; with '/' the tags from here on, '*' one, '**' any number.
 */
static int xml_find(lua_State *L)
{
    struct place p = find(L);
    size_t pattern_len, len = 0;
    const char *text = luaL_checklstring(L, 2, &pattern_len);
    struct ml_slice pattern = ml_slice_make(text, pattern_len);
    bool is_path = memchr(text, '/', pattern_len) != NULL;
    char tags[TAGS_MAX];
    struct walk w;
    struct ml_shown at;

    begin(&w, &p);
    while (walk_next(&w, &at)) {
        if (is_text(p.doc, &at))
            continue;
        if (is_path ? tags_of(&w, &at, tags, sizeof(tags), &len) &&
                          ml_glob_match(pattern, ml_slice_make(tags, len))
                    : ml_glob_match(pattern, ml_shown_name(p.doc, &at))) {
            push_child(L, &p, &w);
            return 1;
        }
        walk_into(&w, &at);
        ml_budget_check(&ml_script_of(L)->budget, L);
    }
    lua_pushnil(L);
    return 1;
}

static const struct ml_lent_field xml_fields[] = {
    {"tag", 0, xml_tag},
    {"id", 0, xml_id},
    {"above", 0, xml_above},
    {"attr", 0, xml_attr},
    {"attrs", 0, xml_attrs},
    {"text", 0, xml_text},
    {"find", 0, xml_find},
    {"children", 0, xml_children},
    {"each_block", 0, xml_each_block},
    {NULL, 0, NULL},
};

const struct ml_lent_def ml_lent_xml = {"xml", xml_fields, NULL, 0};
