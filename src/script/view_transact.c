/* SPDX-License-Identifier: MIT */
/*
 * doc:transact(fn, opts): begin, the function, commit; if it raises, rollback. The document's owner
 * begins and ends (ml_doc_port): it knows whether this is the moment, and what becomes of the
 * change.
 */
#include "script/tx.h"
#include "script/view.h"

#define REASON_MAX 200

struct options {
    char author[ML_PLUGIN_NAME_MAX + 16];
    struct ml_doc_note note;
};

static void check_options(lua_State *L, int arg)
{
    if (lua_isnil(L, arg))
        return;
    luaL_checktype(L, arg, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";

        if (strcmp(key, "reason") == 0 && lua_type(L, -1) == LUA_TSTRING &&
            lua_objlen(L, -1) <= REASON_MAX)
            continue;
        if (strcmp(key, "notify") == 0 && lua_isboolean(L, -1))
            continue;
        luaL_error(L, "doc:transact: options are reason (text, %d bytes) and notify (boolean)",
                   REASON_MAX);
    }
}

/* The strings stay on the stack. */
static void read_options(lua_State *L, int arg, const char *plugin, struct options *out)
{
    size_t len;
    const char *reason;

    *out = (struct options){0};
    (void)snprintf(out->author, sizeof(out->author), "plugin:%s", plugin);
    out->note.author = ml_slice_str(out->author);
    check_options(L, arg);
    if (lua_isnil(L, arg))
        return;
    lua_getfield(L, arg, "notify");
    out->note.notify = lua_toboolean(L, -1);
    lua_getfield(L, arg, "reason");
    reason = lua_tolstring(L, -1, &len);
    if (reason)
        out->note.reason = ml_slice_make(reason, len);
}

static void fail(lua_State *L, struct ml_tx *tx, enum ml_err err)
{
    ml_tx_release(tx);
    luaL_error(L, "doc:transact: %s", tx->diag.text[0] ? tx->diag.text : ml_err_text(err));
}

/* Function at 2, options at 3: begin, call, commit. Raises. */
int ml_port_transact(lua_State *L, struct ml_doc_port *port, const char *plugin)
{
    struct options options;
    struct ml_tx tx;
    enum ml_err err;

    lua_settop(L, 3);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    read_options(L, 3, plugin, &options);
    luaL_checkstack(L, 8, "transact");
    lua_pushvalue(L, 2);
    ml_tx_push(L, &tx);
    /* From here to the end of the transaction nothing may raise. */
    ml_tx_init(&tx);
    err = port->calls->begin(port, &tx.diag, &tx.doc);
    if (err)
        fail(L, &tx, err);
    if (ml_tx_call(L, &tx)) {
        port->calls->rollback(port);
        ml_tx_release(&tx);
        return lua_error(L);
    }
    tx.diag.text[0] = '\0';
    err = port->calls->commit(port, &options.note, &tx.diag);
    if (err)
        fail(L, &tx, err);
    ml_tx_release(&tx);
    return 1;
}

/* doc:transact(fn [, { reason, notify }]) -> what fn answers   [may raise] */
int ml_doc_transact(lua_State *L)
{
    const struct doc_subject *subject = ((struct ml_lent *)ml_view_check(L, 1, KIND_DOC))->subject;
    struct ml_doc_port *port = subject->port;

    lua_settop(L, 3);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (!subject->plugin || !port || !port->calls->begin)
        luaL_error(L, "doc:transact is for after_update, document_loaded, create_document, rpc "
                      "and tasks: a decision amends or answers instead");
    return ml_port_transact(L, port, subject->plugin);
}
