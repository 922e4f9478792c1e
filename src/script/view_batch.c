/* SPDX-License-Identifier: MIT */
/* Views of what was committed, and of who wrote it. */
#include "script/view.h"

/* ---- u.author, u.member
 * ------------------------------------------------------------------------------------ */

enum { AUTHOR_USER, AUTHOR_NAME, AUTHOR_SESSION, AUTHOR_ROLES, AUTHOR_GROUPS, AUTHOR_KIND };

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
    {"groups", AUTHOR_GROUPS, NULL},   {"kind", AUTHOR_KIND, NULL},
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
    case AUTHOR_GROUPS:
        ml_push_list(L, scope->groups, scope->group_count);
        break;
    case AUTHOR_KIND:
        ml_push_slice_or_nil(L, scope->kind);
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

/* ---- batch:changes() --------------------------------------------------------------------------
 */

enum {
    CHANGE_KIND,
    CHANGE_PATH,
    CHANGE_KEY,
    CHANGE_INDEX,
    CHANGE_LEN,
    CHANGE_TEXT,
    CHANGE_VALUE,
    CHANGE_BEFORE,
    CHANGE_ATTRS,
    CHANGE_AUTHOR
};

static const struct ml_lent_field change_fields[] = {
    {"kind", CHANGE_KIND, NULL},
    {"path", CHANGE_PATH, NULL},
    {"key", CHANGE_KEY, NULL},
    {"index", CHANGE_INDEX, NULL},
    {"len", CHANGE_LEN, NULL},
    {"text", CHANGE_TEXT, NULL},
    {"value", CHANGE_VALUE, NULL},
    {"before", CHANGE_BEFORE, NULL},
    {"attrs", CHANGE_ATTRS, NULL},
    {"author", CHANGE_AUTHOR, NULL},
    {NULL, 0, NULL},
};

static void push_json(lua_State *L, struct ml_slice json)
{
    if (json.ptr)
        ml_json_push(L, json);
    else
        lua_pushnil(L);
}

/* Who wrote it: what an author of an edit has that is known of a record. */
static void push_author(lua_State *L, struct ml_slice author)
{
    lua_createtable(L, 0, 1);
    ml_push_slice(L, author);
    lua_setfield(L, -2, "user");
}

static void get_change(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_noted_change *change = view->subject;
    const struct ml_noted *noted = view->scope;
    bool keyed = change->key.ptr != NULL;

    switch (id) {
    case CHANGE_KIND:
        lua_pushstring(L, ml_edit_words[change->word]);
        break;
    case CHANGE_PATH:
        ml_push_slice(L, change->path);
        break;
    case CHANGE_KEY:
        ml_push_slice_or_nil(L, change->key);
        break;
    case CHANGE_INDEX:
    case CHANGE_LEN:
        if (keyed)
            lua_pushnil(L);
        else
            lua_pushnumber(L, id == CHANGE_INDEX ? change->index : change->len);
        break;
    case CHANGE_TEXT:
        ml_push_slice_or_nil(L, change->text);
        break;
    case CHANGE_VALUE:
        push_json(L, change->value);
        break;
    case CHANGE_BEFORE:
        if (change->before_is_json)
            push_json(L, change->before);
        else
            ml_push_slice_or_nil(L, change->before);
        break;
    case CHANGE_ATTRS:
        push_json(L, change->attrs);
        break;
    default:
        push_author(L, noted->author);
    }
}

const struct ml_lent_def ml_lent_change = {"change", change_fields, get_change,
                                           sizeof(struct ml_lent)};

/* The next change; upvalues: the batch, its record, the change in it. */
static int next_change(lua_State *L)
{
    size_t record = (size_t)lua_tointeger(L, lua_upvalueindex(2));
    size_t change = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    const struct ml_script_batch *batch;

    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    batch = ((const struct ml_lent *)ml_view_check(L, 1, KIND_BATCH))->subject;
    while (record < batch->noted_count && change >= batch->noted[record]->change_count) {
        record++;
        change = 0;
    }
    lua_pushinteger(L, (lua_Integer)record);
    lua_replace(L, lua_upvalueindex(2));
    lua_pushinteger(L, (lua_Integer)change + 1);
    lua_replace(L, lua_upvalueindex(3));
    if (record == batch->noted_count)
        lua_pushnil(L);
    else
        ml_view_push(L, ml_views_of(L)->views[KIND_CHANGE], &batch->noted[record]->changes[change],
                     batch->noted[record]);
    return 1;
}

/* batch:changes() -> iterator over what became visible; the same view is reused   [may raise] */
static int batch_changes(lua_State *L)
{
    (void)ml_view_check(L, 1, KIND_BATCH);
    lua_settop(L, 1);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_change, 3);
    return 1;
}

/* batch:touched(pattern) -> boolean; true where detail was dropped   [may raise] */
static int batch_touched(lua_State *L)
{
    const struct ml_script_batch *batch =
        ((const struct ml_lent *)ml_view_check(L, 1, KIND_BATCH))->subject;
    size_t len;
    const char *pattern = luaL_checklstring(L, 2, &len);
    bool touched = batch->gap;

    for (size_t i = 0; i < batch->noted_count && !touched; i++)
        touched = ml_noted_touches(batch->noted[i], ml_slice_make(pattern, len));
    lua_pushboolean(L, touched);
    return 1;
}

static void push_origins(lua_State *L, const struct ml_script_batch *batch)
{
    const char *seen[8];
    int count = 0;

    lua_newtable(L);
    ml_json_mark_list(L);
    for (size_t i = 0; i < batch->noted_count && count < 8; i++) {
        bool known = false;

        for (int k = 0; k < count && !known; k++)
            known = strcmp(seen[k], batch->noted[i]->origin) == 0;
        if (known)
            continue;
        seen[count++] = batch->noted[i]->origin;
        lua_pushstring(L, batch->noted[i]->origin);
        lua_rawseti(L, -2, count);
    }
}

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
    BATCH_ORIGINS,
    BATCH_GAP
};

static const struct ml_lent_field batch_fields[] = {
    {"doc", BATCH_DOC, NULL},         {"org", BATCH_ORG, NULL},
    {"count", BATCH_COUNT, NULL},     {"bytes", BATCH_BYTES, NULL},
    {"from_seq", BATCH_FROM, NULL},   {"to_seq", BATCH_TO, NULL},
    {"authors", BATCH_AUTHORS, NULL}, {"origins", BATCH_ORIGINS, NULL},
    {"gap", BATCH_GAP, NULL},         {"changes", 0, batch_changes},
    {"touched", 0, batch_touched},    {NULL, 0, NULL},
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
    case BATCH_ORIGINS:
        push_origins(L, batch);
        break;
    default:
        lua_pushboolean(L, batch->gap);
    }
}

const struct ml_lent_def ml_lent_batch = {"batch", batch_fields, get_batch, sizeof(struct ml_lent)};
