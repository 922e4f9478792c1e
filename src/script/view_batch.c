/* SPDX-License-Identifier: MIT */
/* Views of what was committed, and of who wrote it. */
#include "script/view.h"

/* ---- u.author, u.member
 * ------------------------------------------------------------------------------------ */

enum { AUTHOR_USER, AUTHOR_NAME, AUTHOR_SESSION, AUTHOR_ROLES };

/* author:has_role(name) -> boolean */
static int author_has_role(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_AUTHOR);
    const struct ml_scope *scope = view->subject;
    size_t len;
    const char *role = luaL_checklstring(L, 2, &len);
    bool has = false;

    for (size_t i = 0; i < scope->role_count; i++)
        has |= ml_slice_equal(scope->roles[i], ml_slice_make(role, len));
    lua_pushboolean(L, has);
    return 1;
}

static const struct ml_lent_field author_fields[] = {
    {"user", AUTHOR_USER, NULL},       {"name", AUTHOR_NAME, NULL},
    {"session", AUTHOR_SESSION, NULL}, {"roles", AUTHOR_ROLES, NULL},
    {"has_role", 0, author_has_role},  {NULL, 0, NULL},
};

static void get_author(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_scope *scope = view->subject;

    switch (id) {
    case AUTHOR_USER:
        ml_push_slice_or_nil(L, scope->user);
        break;
    case AUTHOR_NAME:
        ml_push_slice_or_nil(L, scope->user_name);
        break;
    case AUTHOR_SESSION:
        ml_push_slice_or_nil(L, scope->session);
        break;
    default:
        ml_push_list(L, scope->roles, scope->role_count);
    }
}

enum { MEMBER_SESSION, MEMBER_IDENTITY };

static const struct ml_lent_field member_fields[] = {
    {"session", MEMBER_SESSION, NULL}, {"identity", MEMBER_IDENTITY, NULL},
    {"label", 0, ml_view_not_yet},     {"notify", 0, ml_view_not_yet},
    {"close", 0, ml_view_not_yet},     {NULL, 0, NULL},
};

static void get_member(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_scope *scope = view->subject;

    if (id == MEMBER_SESSION)
        ml_push_slice_or_nil(L, scope->session);
    else
        ml_view_push(L, ml_views_of(L)->views[KIND_AUTHOR], scope, NULL);
}

const struct ml_lent_def ml_lent_author = {"author", author_fields, get_author,
                                           sizeof(struct ml_lent)};
const struct ml_lent_def ml_lent_member = {"member", member_fields, get_member,
                                           sizeof(struct ml_lent)};

/* ---- batch, ref
 * -------------------------------------------------------------------------------------------- */

enum {
    BATCH_DOC,
    BATCH_ORG,
    BATCH_COUNT,
    BATCH_BYTES,
    BATCH_FROM,
    BATCH_TO,
    BATCH_AUTHORS,
    BATCH_GAP
};

static const struct ml_lent_field batch_fields[] = {
    {"doc", BATCH_DOC, NULL},
    {"org", BATCH_ORG, NULL},
    {"count", BATCH_COUNT, NULL},
    {"bytes", BATCH_BYTES, NULL},
    {"from_seq", BATCH_FROM, NULL},
    {"to_seq", BATCH_TO, NULL},
    {"authors", BATCH_AUTHORS, NULL},
    {"gap", BATCH_GAP, NULL},
    {"changes", 0, ml_view_not_yet},
    {"touched", 0, ml_view_not_yet},
    {NULL, 0, NULL},
};

/* It may be written by the plugin that is told. */
static void push_doc(lua_State *L, const struct ml_script_batch *batch, const char *plugin)
{
    const struct doc_subject subject = {
        {batch->org, batch->document}, batch->doc, batch->port, plugin};

    ml_view_push_doc_at(L, &subject);
}

static void get_batch(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_batch *batch = view->subject;

    switch (id) {
    case BATCH_DOC:
        push_doc(L, batch, view->scope);
        break;
    case BATCH_ORG:
        ml_push_slice_or_nil(L, batch->org);
        break;
    case BATCH_COUNT:
        lua_pushnumber(L, (double)batch->count);
        break;
    case BATCH_BYTES:
        lua_pushnumber(L, (double)batch->bytes);
        break;
    case BATCH_FROM:
        lua_pushnumber(L, (double)batch->from_seq);
        break;
    case BATCH_TO:
        lua_pushnumber(L, (double)batch->to_seq);
        break;
    case BATCH_AUTHORS:
        ml_push_list(L, batch->authors, batch->author_count);
        break;
    default:
        lua_pushboolean(L, 0);
    }
}

const struct ml_lent_def ml_lent_batch = {"batch", batch_fields, get_batch, sizeof(struct ml_lent)};
