/* SPDX-License-Identifier: MIT */
/*
 * Documents for `moonloom plugin repl`: read and written as `moonloom doc` does it, in a running
 * server or a store that no server has open.
 *
 *   where: { doc =, org =, url = | store = }
 */
#include "server/cmd_plugin_documents.h"

#include <lauxlib.h>
#include <string.h>

#include "auth/auth.h"
#include "server/documents.h"

#define URL       "http://127.0.0.1:8080"
#define STATE_MAX (256u << 20)

/* The place that the table at 1 means; pushes nothing. NULL: said on standard error. */
static struct ml_documents *open_where(lua_State *L, const char **name_out)
{
    const char *org, *url, *store;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "doc");
    lua_getfield(L, 1, "org");
    lua_getfield(L, 1, "url");
    lua_getfield(L, 1, "store");
    *name_out = luaL_checkstring(L, -4);
    org = luaL_checkstring(L, -3);
    url = lua_tostring(L, -2);
    store = lua_tostring(L, -1);
    if (!ml_org_is_valid(ml_slice_str(org)) || !ml_document_name_is_valid(ml_slice_str(*name_out)))
        return NULL;
    return store ? ml_documents_open_store(store, org)
                 : ml_documents_open_http(url ? url : URL, org);
}

static int fail(lua_State *L, const char *what)
{
    lua_pushnil(L);
    lua_pushstring(L, what);
    return 2;
}

/* read(where) -> bytes | nil, text */
static int read_state(lua_State *L)
{
    const struct ml_document_view view = {.as = NULL};
    const char *name;
    struct ml_documents *documents = open_where(L, &name);
    struct ml_writer out;
    int code;

    if (!documents)
        return fail(L, "this document cannot be opened");
    ml_writer_init(&out, STATE_MAX);
    code = documents->ops->read(documents, name, &view, &out);
    documents->ops->close(documents);
    if (!code)
        lua_pushlstring(L, (const char *)out.ptr, out.len);
    ml_writer_release(&out);
    return code ? fail(L, "the document was not read") : 1;
}

/* write(where, update) -> seq | nil, text */
static int write_update(lua_State *L)
{
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len), *name;
    struct ml_documents *documents = open_where(L, &name);
    uint64_t seq = 0;
    int code;

    if (!documents)
        return fail(L, "this document cannot be opened");
    code = documents->ops->write(documents, name, ml_slice_make(bytes, len), false, &seq);
    documents->ops->close(documents);
    if (code)
        return fail(L, "it was not written");
    lua_pushnumber(L, (double)seq);
    return 1;
}

int ml_open_documents(lua_State *L)
{
    lua_newtable(L);
    lua_pushcfunction(L, read_state);
    lua_setfield(L, -2, "read");
    lua_pushcfunction(L, write_update);
    lua_setfield(L, -2, "write");
    return 1;
}
