/* SPDX-License-Identifier: MIT */
/* connected, disconnected: a connection has an identity, a connection has ended. Each handler is
 * told by itself and may wait; what it is told is a copy. */
#include "script/round.h"
#include "script/tell.h"

static const char *const session_fields[] = {"id",     "identity", "ip", "client",
                                             "labels", "closed",   NULL};
static const char *const identity_fields[] = {"user",  "name",   "session", "kind",
                                              "roles", "groups", NULL};
static const char *const client_fields[] = {"name", "version", "dialect", NULL};
static const char *const closed_fields[] = {"code",     "reason",    "seconds",
                                            "bytes_in", "bytes_out", NULL};

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

static void push_session(lua_State *L, const struct ml_handler *handler, const void *subject)
{
    const struct ml_script_session *session = subject;

    (void)handler;
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

void ml_script_tell_session(struct ml_script *script, const struct ml_script_session *session)
{
    ml_tell(script,
            &(struct ml_telling){.hook = session->is_closed ? HOOK_DISCONNECTED : HOOK_CONNECTED,
                                 .push = push_session,
                                 .subject = session});
}
