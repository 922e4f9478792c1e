/* SPDX-License-Identifier: MIT */
/* Views of a conflict: what both had seen, and the two sides of it. */
#include "script/values.h"
#include "script/view.h"

#define US 1e6

static void push_any(lua_State *L, struct ml_slice any)
{
    struct ml_reader in = ml_reader_make(any);

    if (any.ptr)
        ml_any_push(L, &in);
    else
        lua_pushnil(L);
}

/* Seconds of the hybrid clock; nil: unknown. */
static void push_time(lua_State *L, uint64_t at_us)
{
    if (at_us)
        lua_pushnumber(L, (double)at_us / US);
    else
        lua_pushnil(L);
}

static void push_seq(lua_State *L, uint64_t seq)
{
    if (seq)
        lua_pushnumber(L, (double)seq);
    else
        lua_pushnil(L);
}

/* ---- c.base ---------------------------------------------------------------------------------- */

enum { BASE_KNOWN, BASE_VALUE, BASE_SEQ };

static const struct ml_lent_field base_fields[] = {{"known", BASE_KNOWN, NULL},
                                                   {"value", BASE_VALUE, NULL},
                                                   {"seq", BASE_SEQ, NULL},
                                                   {NULL, 0, NULL}};

static void get_base(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_conflict *c = view->subject;

    switch (id) {
    case BASE_KNOWN:
        lua_pushboolean(L, c->is_base_known);
        break;
    case BASE_VALUE:
        push_any(L, c->base);
        break;
    default:
        push_seq(L, c->base_seq);
    }
}

const struct ml_lent_def ml_lent_base = {"base", base_fields, get_base, sizeof(struct ml_lent)};

/* ---- c.current, c.incoming ------------------------------------------------------------------- */

enum {
    SIDE_VALUE,
    SIDE_AUTHOR,
    SIDE_SESSION,
    SIDE_AT,
    SIDE_SEQ,
    SIDE_BASED_ON,
    SIDE_OFFLINE,
    SIDE_ORIGIN,
    SIDE_IS_SHARED
};

static const struct ml_lent_field side_fields[] = {
    {"value", SIDE_VALUE, NULL},
    {"author", SIDE_AUTHOR, NULL},
    {"session", SIDE_SESSION, NULL},
    {"at", SIDE_AT, NULL},
    {"seq", SIDE_SEQ, NULL},
    {"based_on", SIDE_BASED_ON, NULL},
    {"offline", SIDE_OFFLINE, NULL},
    {"origin", SIDE_ORIGIN, NULL},
    {"is_shared", SIDE_IS_SHARED, NULL},
    {NULL, 0, NULL},
};

/* `scope` of the view: which of the two it is. */
static void get_side(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_side *side = view->subject;
    const int *authors = ml_views_of(L)->side_authors;

    switch (id) {
    case SIDE_VALUE:
        push_any(L, side->any);
        break;
    case SIDE_AUTHOR:
        ml_view_push(L, authors[view->scope ? 1 : 0], side->who, NULL);
        break;
    case SIDE_SESSION:
        ml_push_slice_or_nil(L, side->who->session);
        break;
    case SIDE_AT:
        push_time(L, side->at_us);
        break;
    case SIDE_SEQ:
        push_seq(L, side->seq);
        break;
    case SIDE_BASED_ON:
        push_time(L, side->based_on_us);
        break;
    case SIDE_OFFLINE:
        lua_pushboolean(L, side->is_offline);
        break;
    case SIDE_ORIGIN:
        lua_pushstring(L, side->origin);
        break;
    default:
        lua_pushboolean(L, side->is_shared);
    }
}

const struct ml_lent_def ml_lent_side = {"side", side_fields, get_side, sizeof(struct ml_lent)};

/* ---- c --------------------------------------------------------------------------------------- */

enum {
    CONFLICT_KIND,
    CONFLICT_PATH,
    CONFLICT_KEY,
    CONFLICT_BLOCK,
    CONFLICT_BASE,
    CONFLICT_CURRENT,
    CONFLICT_INCOMING,
    CONFLICT_NATURAL,
    CONFLICT_DOC,
    CONFLICT_ORG,
    CONFLICT_NOW,
    CONFLICT_EXACT
};

static const struct ml_lent_field conflict_fields[] = {
    {"kind", CONFLICT_KIND, NULL},
    {"path", CONFLICT_PATH, NULL},
    {"key", CONFLICT_KEY, NULL},
    {"block", CONFLICT_BLOCK, NULL},
    {"base", CONFLICT_BASE, NULL},
    {"current", CONFLICT_CURRENT, NULL},
    {"incoming", CONFLICT_INCOMING, NULL},
    {"natural", CONFLICT_NATURAL, NULL},
    {"doc", CONFLICT_DOC, NULL},
    {"org", CONFLICT_ORG, NULL},
    {"now", CONFLICT_NOW, NULL},
    {"exact", CONFLICT_EXACT, NULL},
    {NULL, 0, NULL},
};

static void get_conflict(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_conflict *c = view->subject;
    const struct ml_views *views = ml_views_of(L);

    switch (id) {
    case CONFLICT_KIND:
        lua_pushstring(L, ml_conflict_kind_word(c->kind));
        break;
    case CONFLICT_PATH:
        ml_push_slice(L, c->path);
        break;
    case CONFLICT_KEY:
        ml_push_slice_or_nil(L, c->key);
        break;
    case CONFLICT_BLOCK:
        ml_push_slice_or_nil(L, c->block);
        break;
    case CONFLICT_BASE:
        ml_view_push(L, views->views[KIND_BASE], c, NULL);
        break;
    case CONFLICT_CURRENT:
        ml_view_push(L, views->sides[0], &c->current, NULL);
        break;
    case CONFLICT_INCOMING:
        ml_view_push(L, views->sides[1], &c->incoming, c);
        break;
    case CONFLICT_NATURAL:
        lua_pushstring(L, c->kind == ML_COLLISION_BLOCK ? "both"
                          : c->incoming_stands          ? "incoming"
                                                        : "current");
        break;
    case CONFLICT_DOC:
        ml_view_push_doc(L, c->org, c->document, c->doc);
        break;
    case CONFLICT_ORG:
        ml_push_slice_or_nil(L, c->org);
        break;
    case CONFLICT_NOW:
        push_time(L, c->now_us);
        break;
    default:
        lua_pushboolean(L, c->is_exact);
    }
}

const struct ml_lent_def ml_lent_conflict = {"conflict", conflict_fields, get_conflict,
                                             sizeof(struct ml_lent)};
