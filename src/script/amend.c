/* SPDX-License-Identifier: MIT */
/*
 * u:amend(function(tx) ... end): what plugins write on top of an update (plugin-api 9.2).
 *
 * The functions are kept until all plugins have answered, since a later denial drops them. Then
 * they run, one transaction each, on a copy of the document that the update went into; the owner of
 * the document takes what came of it as one update, or, if one of them fails or denies, nothing.
 */
#include "script/ask.h"
#include "script/tx.h"
#include "script/view.h"

int ml_update_amend(lua_State *L)
{
    const struct ml_lent *view = ml_view_check(L, 1, KIND_UPDATE);
    struct ml_script_update *update = (struct ml_script_update *)(uintptr_t)view->subject;

    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (update->amendment_count == ML_AMENDMENTS_MAX)
        luaL_error(L, "amend: at most %d times for one update", ML_AMENDMENTS_MAX);
    lua_settop(L, 2);
    update->amendments[update->amendment_count] = (struct ml_script_amendment){
        update->asked, ml_script_of(L)->L, luaL_ref(L, LUA_REGISTRYINDEX)};
    update->amendment_count++;
    return 0;
}

struct amending {
    struct ml_tx tx;
    struct ml_doc *doc;
    const struct ml_scope *scope;
    struct ml_script_update *update;
    struct ml_denial_text denial;
    const struct ml_change *change;
    int ref;
    bool is_denied;
};

/* What it answers, at the top: nothing, or a denial. */
static void read_answer(lua_State *L, struct amending *a)
{
    if (ml_api_answer_kind(L, lua_gettop(L)) != ML_ANSWER_DENY)
        return;
    ml_answer_denial(L, lua_gettop(L), &a->denial);
    a->is_denied = true;
}

/* Where errors are caught. */
static void run(lua_State *L, void *arg)
{
    struct amending *a = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, a->ref);
    luaL_checktype(L, -1, LUA_TFUNCTION);
    ml_tx_push(L, &a->tx);
    ml_view_push_doc_at(
        L, &(struct doc_subject){.ref = {a->scope->org, a->scope->document}, .doc = a->doc});
    /* From here to the end of the transaction nothing may raise. */
    a->tx.doc = a->doc;
    if (ml_doc_begin(a->doc, &a->tx.diag))
        luaL_error(L, "amend: %s", a->tx.diag.text);
    if (ml_tx_call_with(L, &a->tx, 2)) {
        ml_doc_rollback(a->doc);
        lua_error(L);
    }
    if (ml_doc_commit(a->doc, a->update->scratch, &a->change))
        luaL_error(L, "amend: the document would be too large");
    read_answer(L, a);
}

enum ml_err ml_script_amend(struct ml_script *script, const struct ml_scope *scope,
                            struct ml_script_update *update, struct ml_doc *doc,
                            struct ml_slice *changes_out, size_t *count_out,
                            struct ml_denial *denial_out)
{
    *count_out = 0;
    for (size_t i = 0; i < update->amendment_count; i++) {
        const struct ml_script_amendment *amendment = &update->amendments[i];
        struct ml_handler *handler = amendment->handler;
        struct amending a = {
            .doc = doc,
            .scope = scope,
            .update = update,
            .denial = {handler->plugin, update->scratch, denial_out},
            .ref = amendment->ref,
        };
        enum ml_err err;

        if (!script->L || script->L != amendment->state)
            return ML_ESCRIPT;
        ml_tx_init(&a.tx);
        err = ml_script_protect(script, 0, run, &a, script->hook_us);
        ml_views_expire(script);
        ml_tx_release(&a.tx);
        if (!err && a.is_denied) {
            script->stats.denials++;
            return ML_EDENIED;
        }
        if (!err) {
            if (a.change->bytes.len)
                changes_out[(*count_out)++] = a.change->bytes;
            continue;
        }
        ml_ask_failed(script, handler->plugin, &handler->breaker, "before_update");
        if (handler->fails != ML_FAILS_SKIP)
            return ML_ESCRIPT;
    }
    return ML_OK;
}

void ml_script_update_done(struct ml_script *script, struct ml_script_update *update)
{
    for (size_t i = 0; i < update->amendment_count; i++)
        if (script->L && script->L == update->amendments[i].state)
            luaL_unref(script->L, LUA_REGISTRYINDEX, update->amendments[i].ref);
    update->amendment_count = 0;
}
