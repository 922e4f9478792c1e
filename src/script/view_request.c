/* SPDX-License-Identifier: MIT */
/* Views of a connection: the request, what is asked about it, who asks. */
#include "script/view.h"

/* ---- Pairs: headers, query, cookies
 * ------------------------------------------------------------------ */

static bool same_name(struct ml_slice a, const char *b, size_t len)
{
    return a.len == len && strncasecmp((const char *)a.ptr, b, len) == 0;
}

static void get_pair(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_pair *pairs = view->subject;
    size_t len, count = *(const size_t *)view->scope;
    const char *name = luaL_checklstring(L, 2, &len);

    (void)id;
    for (size_t i = 0; i < count; i++) {
        if (same_name(pairs[i].name, name, len)) {
            ml_push_slice(L, pairs[i].value);
            return;
        }
    }
    lua_pushnil(L);
}

const struct ml_lent_def ml_lent_pairs = {"headers", NULL, get_pair, sizeof(struct ml_lent)};

/* ---- req
 * -----------------------------------------------------------------------------------------------
 */

enum {
    REQ_METHOD,
    REQ_PATH,
    REQ_IP,
    REQ_HOST,
    REQ_ORIGIN,
    REQ_TOKEN,
    REQ_HEADERS,
    REQ_QUERY,
    REQ_COOKIES,
    REQ_WEBSOCKET,
    REQ_TLS,
};

static const struct ml_lent_field request_fields[] = {
    {"method", REQ_METHOD, NULL},   {"path", REQ_PATH, NULL},
    {"ip", REQ_IP, NULL},           {"host", REQ_HOST, NULL},
    {"origin", REQ_ORIGIN, NULL},   {"token", REQ_TOKEN, NULL},
    {"headers", REQ_HEADERS, NULL}, {"query", REQ_QUERY, NULL},
    {"cookies", REQ_COOKIES, NULL}, {"is_websocket", REQ_WEBSOCKET, NULL},
    {"tls", REQ_TLS, NULL},         {NULL, 0, NULL},
};

static void get_request(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_request *request = view->subject;
    struct ml_views *views = ml_views_of(L);

    switch (id) {
    case REQ_METHOD:
        ml_push_slice(L, request->method);
        break;
    case REQ_PATH:
        ml_push_slice(L, request->path);
        break;
    case REQ_IP:
        ml_push_slice_or_nil(L, request->ip);
        break;
    case REQ_HOST:
        ml_push_slice_or_nil(L, request->host);
        break;
    case REQ_ORIGIN:
        ml_push_slice_or_nil(L, request->origin);
        break;
    case REQ_TOKEN:
        ml_push_slice_or_nil(L, request->token);
        break;
    case REQ_HEADERS:
        ml_view_push(L, views->pairs[0], request->headers, &request->header_count);
        break;
    case REQ_QUERY:
        ml_view_push(L, views->pairs[1], request->query, &request->query_count);
        break;
    case REQ_COOKIES:
        ml_view_push(L, views->pairs[2], request->cookies, &request->cookie_count);
        break;
    case REQ_WEBSOCKET:
        lua_pushboolean(L, request->is_websocket);
        break;
    default:
        lua_pushboolean(L, request->tls);
    }
}

const struct ml_lent_def ml_lent_request = {"req", request_fields, get_request,
                                            sizeof(struct ml_lent)};

/* ---- ask, identity
 * ------------------------------------------------------------------------------------- */

enum { ID_USER, ID_NAME, ID_SESSION, ID_KIND, ID_ROLES, ID_GROUPS, ID_EXPIRES_AT };

/* identity:has_role(name) -> boolean */
static int identity_has_role(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_IDENTITY);
    const struct ml_script_identity *identity = view->subject;
    size_t len;
    const char *role = luaL_checklstring(L, 2, &len);
    bool has = false;

    for (size_t i = 0; identity && i < identity->role_count; i++)
        has |= ml_slice_equal(identity->roles[i], ml_slice_make(role, len));
    lua_pushboolean(L, has);
    return 1;
}

static const struct ml_lent_field identity_fields[] = {
    {"user", ID_USER, NULL},
    {"name", ID_NAME, NULL},
    {"session", ID_SESSION, NULL},
    {"kind", ID_KIND, NULL},
    {"roles", ID_ROLES, NULL},
    {"groups", ID_GROUPS, NULL},
    {"expires_at", ID_EXPIRES_AT, NULL},
    {"has_role", 0, identity_has_role},
    {NULL, 0, NULL},
};

static void get_identity(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_identity *identity = view->subject;

    switch (id) {
    case ID_USER:
        ml_push_slice_or_nil(L, identity->user);
        break;
    case ID_NAME:
        ml_push_slice_or_nil(L, identity->name);
        break;
    case ID_SESSION:
        ml_push_slice_or_nil(L, identity->session);
        break;
    case ID_KIND:
        ml_push_slice_or_nil(L, identity->kind);
        break;
    case ID_ROLES:
        ml_push_list(L, identity->roles, identity->role_count);
        break;
    case ID_GROUPS:
        ml_push_list(L, identity->groups, identity->group_count);
        break;
    default:
        if (identity->expires_at_ms)
            lua_pushnumber(L, (double)identity->expires_at_ms / 1000.0);
        else
            lua_pushnil(L);
    }
}

enum { ASK_ACTION, ASK_ORG, ASK_DOC_ID, ASK_IDENTITY, ASK_SESSION, ASK_ROLE, ASK_FROM };

static const struct ml_lent_field ask_fields[] = {
    {"action", ASK_ACTION, NULL},   {"org", ASK_ORG, NULL},
    {"doc_id", ASK_DOC_ID, NULL},   {"identity", ASK_IDENTITY, NULL},
    {"session", ASK_SESSION, NULL}, {"role", ASK_ROLE, NULL},
    {"from", ASK_FROM, NULL},       {NULL, 0, NULL},
};

static void get_ask(lua_State *L, const struct ml_lent *view, int id)
{
    const struct ml_script_ask *ask = view->subject;

    switch (id) {
    case ASK_ACTION:
        ml_push_slice(L, ask->action);
        break;
    case ASK_ORG:
        ml_push_slice_or_nil(L, ask->org);
        break;
    case ASK_DOC_ID:
        ml_push_slice(L, ask->document);
        break;
    case ASK_ROLE:
        ml_push_slice_or_nil(L, ask->role);
        break;
    case ASK_FROM:
        ml_push_slice_or_nil(L, ask->from);
        break;
    case ASK_SESSION:
        ml_push_slice_or_nil(L, ask->identity ? ask->identity->session : (struct ml_slice){0});
        break;
    default:
        /* nil: anonymous */
        if (ask->identity)
            ml_view_push(L, ml_views_of(L)->views[KIND_IDENTITY], ask->identity, NULL);
        else
            lua_pushnil(L);
    }
}

const struct ml_lent_def ml_lent_identity = {"identity", identity_fields, get_identity,
                                             sizeof(struct ml_lent)};
const struct ml_lent_def ml_lent_ask = {"ask", ask_fields, get_ask, sizeof(struct ml_lent)};
