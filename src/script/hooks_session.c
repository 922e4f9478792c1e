/* SPDX-License-Identifier: MIT */
/* connected, disconnected: a connection has an identity, a connection has ended. Each handler is
 * told by itself and may wait; what it is told is a copy. */
#include "script/round.h"

#include <stdlib.h>

#define SOFT_MS 1000
#define HARD_MS 30000

static const char *const session_fields[] = {"id",     "identity", "ip", "client",
                                             "labels", "closed",   NULL};
static const char *const identity_fields[] = {"user",  "name",   "session", "kind",
                                              "roles", "groups", NULL};
static const char *const client_fields[] = {"name", "version", "dialect", NULL};
static const char *const closed_fields[] = {"code",     "reason",    "seconds",
                                            "bytes_in", "bytes_out", NULL};

struct telling {
    const struct ml_handler *handler;
    const struct ml_script_session *session;
};

/* What is left of a call that may end later. */
struct told {
    size_t handler;
    int hook;
};

static void push_identity(lua_State *L, const struct ml_script_session *session)
{
    const struct ml_script_identity *identity = &session->identity;

    lua_createtable(L, 0, 6);
    ml_round_text(L, "user", identity->user);
    ml_round_text(L, "name", identity->name);
    ml_round_text(L, "session", identity->session);
    ml_round_text(L, "kind", identity->kind);
    ml_round_texts(L, "roles", identity->roles, identity->role_count);
    ml_round_texts(L, "groups", identity->groups, identity->group_count);
    ml_round_seal(L, "identity", identity_fields);
}

static void push_closed(lua_State *L, const struct ml_script_session *session)
{
    lua_createtable(L, 0, 5);
    ml_round_number(L, "code", session->closed.code);
    ml_round_text(L, "reason", session->closed.reason);
    ml_round_number(L, "seconds", (double)session->closed.after_ms / 1000);
    ml_round_number(L, "bytes_in", (double)session->closed.bytes_in);
    ml_round_number(L, "bytes_out", (double)session->closed.bytes_out);
    ml_round_seal(L, "closed", closed_fields);
}

static void push(lua_State *L, void *arg)
{
    const struct telling *telling = arg;
    const struct ml_script_session *session = telling->session;

    lua_rawgeti(L, LUA_REGISTRYINDEX, telling->handler->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, telling->handler->plugin->self_ref);
    lua_createtable(L, 0, 6);
    ml_round_text(L, "id", session->identity.session);
    ml_round_text(L, "ip", session->ip);
    push_identity(L, session);
    lua_setfield(L, -2, "identity");
    lua_createtable(L, 0, 1);
    ml_round_text(L, "dialect", session->dialect);
    ml_round_seal(L, "client", client_fields);
    lua_setfield(L, -2, "client");
    if (session->is_closed) {
        push_closed(L, session);
        lua_setfield(L, -2, "closed");
    }
    ml_round_seal(L, "session", session_fields);
}

static void on_told(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    struct told told = *(struct told *)arg;
    const struct ml_chain *chain = &script->chains[told.hook];

    free(arg);
    if (told.handler < chain->count) {
        struct ml_handler *handler = &chain->handlers[told.handler];

        if (script->L)
            ml_ask_took(script, handler);
        if (outcome == OUTCOME_FAILED)
            ml_ask_failed(script, handler->plugin, &handler->breaker, ml_hook_names[told.hook]);
        else
            ml_ask_succeeded(script, &handler->breaker);
    }
    ml_script_let_go(script);
}

void ml_script_tell_session(struct ml_script *script, const struct ml_script_session *session)
{
    const int hook = session->is_closed ? HOOK_DISCONNECTED : HOOK_CONNECTED;
    const struct ml_chain *chain = &script->chains[hook];

    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct telling telling = {handler, session};
        struct ml_run run = {.what = ml_hook_names[hook],
                             .plugin = handler->plugin,
                             .soft_ms = SOFT_MS,
                             .hard_ms = HARD_MS,
                             .done = on_told};
        struct told *told;

        if (!ml_plan_has(script->plan, handler->plugin) || !ml_ask_may(script, handler, hook))
            continue;
        told = run.arg = malloc(sizeof(*told));
        if (!told)
            continue;
        *told = (struct told){i, hook};
        script->stats.calls++;
        ml_script_hold(script);
        (void)ml_call_start(script, &run, push, &telling);
    }
}
