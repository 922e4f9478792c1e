/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of a connection for the moment at which it ends: only if somebody listens. Lua
 * is called from the loop, never from inside a room.
 */
#include "net/greet.h"

#include "net/ask.h"

#include <stdio.h>
#include <stdlib.h>

#define NAMES_MAX 64

struct ml_greeted {
    struct ml_identity identity;
    char org[64], ip[ML_ADDRESS_TEXT];
    uint64_t since_ms;
};

static size_t names_of(const char *list, struct ml_slice out[NAMES_MAX])
{
    size_t count = 0, cursor = 0;

    while (count < NAMES_MAX && ml_identity_next(list, &cursor, &out[count]))
        count++;
    return count;
}

static const char *dialect_of(const struct ml_session *session)
{
    return session->dialect->id == ML_DIALECT_HOCUSPOCUS ? "hocuspocus" : "y-websocket";
}

static void tell(struct ml_session *session, bool is_closed)
{
    const struct ml_greeted *greeted = session->greeted;
    struct ml_slice org = ml_slice_str(greeted->org);
    struct ml_script *script = ml_net_script(session->net, org, ml_slice_make(NULL, 0));
    struct ml_slice roles[NAMES_MAX], groups[NAMES_MAX];
    struct ml_script_session told = {
        .org = org,
        .ip = ml_slice_str(greeted->ip),
        .dialect = ml_slice_str(dialect_of(session)),
        .identity = {.user = ml_slice_str(greeted->identity.user),
                     .name = ml_slice_str(greeted->identity.name),
                     .session = ml_slice_str(greeted->identity.session),
                     .kind = ml_slice_str(greeted->identity.kind),
                     .roles = roles,
                     .role_count = names_of(greeted->identity.roles, roles),
                     .groups = groups,
                     .group_count = names_of(greeted->identity.groups, groups)},
        .is_closed = is_closed,
    };

    if (!script)
        return;
    if (is_closed) {
        told.closed.code = session->closed_code ? session->closed_code : 1006;
        told.closed.reason = session->closed_code ? ml_slice_str(session->closed_text)
                                                  : ML_SLICE("the client has gone");
        told.closed.after_ms = ml_net_now(session->net) - greeted->since_ms;
        told.closed.bytes_in = session->bytes_in;
        told.closed.bytes_out = session->bytes_out;
    }
    ml_script_tell_session(script, &told);
}

void ml_greet(struct ml_session *session, struct ml_slice org, struct ml_slice ip,
              const struct ml_identity *identity)
{
    struct ml_script *script;

    if (session->greeted)
        return;
    script = ml_net_script(session->net, org, ml_slice_make(NULL, 0));
    if (!script || !(ml_script_hooks(script) & (ML_HOOK_CONNECTED | ML_HOOK_DISCONNECTED)))
        return;
    session->greeted = calloc(1, sizeof *session->greeted);
    if (!session->greeted)
        return;
    session->greeted->identity = *identity;
    session->greeted->since_ms = ml_net_now(session->net);
    (void)snprintf(session->greeted->org, sizeof session->greeted->org, "%.*s", ML_PRINT(org));
    (void)snprintf(session->greeted->ip, sizeof session->greeted->ip, "%.*s", ML_PRINT(ip));
    tell(session, false);
}

void ml_greet_end(struct ml_session *session)
{
    if (!session->greeted)
        return;
    tell(session, true);
    free(session->greeted);
    session->greeted = NULL;
}
