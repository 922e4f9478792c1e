/* SPDX-License-Identifier: MIT */
/*
 * A ticket: what a page, which cannot read its cookies, shows to open one socket of one document.
 *
 *   body --> who asks, may they open it --> ticket, 60 s
 *
 * It says what the access token says, with the name of one document. The socket lives on for as
 * long as the session behind it does (standing.c), and until the access token would have ended.
 */
#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"

#include <inttypes.h>

struct ticketing {
    struct ml_call *call;
    struct ml_ask ask;
    struct ml_asker asker;
};

static void refuse(struct ml_call *call)
{
    ml_call_error(call, 404, "not_found", "There is no such document.");
}

static void answer(struct ticketing *t)
{
    struct ml_call *call = t->call;
    const struct ml_net_env *env = &call->net->env;
    const struct ml_own_keys *keys = env->own_keys(env->own_keys_arg);
    int64_t now_s = ml_clock_wall_ms() / 1000;
    struct ml_own_token token = t->asker.own;
    struct ml_writer body;
    struct ml_slice text;

    token.kind = ML_OWN_TICKET;
    token.doc = t->ask.document;
    token.until_s = t->asker.own.expires_s;
    token.expires_s = now_s + ML_OWN_TICKET_MAX_S;
    if (token.expires_s > token.until_s)
        token.expires_s = token.until_s;
    if (!keys || ml_own_mint(keys, &token, now_s, &call->arena, &text)) {
        ml_call_error(call, 500, "internal", "The ticket could not be made.");
        return;
    }
    ml_writer_init(&body, ML_TOKEN_MAX_BYTES + 64);
    ml_write_bytes(&body, ML_SLICE("{\"ticket\":\""));
    ml_write_bytes(&body, text);
    ml_http_print(&body, "\",\"expires\":%" PRId64 "}", token.expires_s * 1000);
    ml_call_json(call, 200, "", &body);
}

static void on_answered(struct ml_ask *ask)
{
    struct ticketing *t = ML_CONTAINER(ask, struct ticketing, ask);
    const struct ml_refusal *refusal = &ask->refusal;

    if (ask->err == ML_ESCRIPT)
        ml_call_error(t->call, 503, "policy_unavailable", "A policy cannot answer now.");
    else if (ask->err == ML_EDENIED && refusal->is_spoken && refusal->status) {
        const struct ml_denial denial = {
            .code = refusal->code, .reason = refusal->reason, .status = refusal->status};

        ml_call_denial(t->call, &denial);
    } else if (ask->err || !t->asker.is_own)
        refuse(t->call);
    else
        answer(t);
}

/* False: answered. */
static bool read_body(struct ticketing *t)
{
    static const char *const known[] = {"org", "doc", NULL};
    struct ml_call *call = t->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value;

    if (!any.ptr || !ml_fields_is_object(any) || ml_fields_unknown(any, known).ptr ||
        !ml_fields_get(any, "org", &value) || !ml_fields_text(value, &t->ask.source.org) ||
        !ml_fields_get(any, "doc", &value) || !ml_fields_text(value, &t->ask.document)) {
        ml_call_error(call, 400, "bad_json", "The body is {\"org\", \"doc\"}.");
        return false;
    }
    if (ml_org_is_valid(t->ask.source.org) && ml_document_name_is_valid(t->ask.document))
        return true;
    refuse(call);
    return false;
}

void ml_auth_ticket(struct ml_call *call)
{
    struct ticketing *t = ml_arena_alloc(&call->arena, sizeof *t);

    if (!t || !call->net->env.own_keys || !ml_ask_may_wait(call->net)) {
        refuse(call); /* without keys there are no tickets */
        return;
    }
    memset(t, 0, sizeof *t);
    t->call = call;
    t->ask.net = call->net;
    t->ask.arena = &call->arena;
    t->ask.asker = &t->asker;
    t->ask.source.head = call->head; /* in the arena, because questions may wait */
    t->ask.source.ip = ml_slice_str(call->ip);
    t->ask.is_resolved = true;
    t->ask.action = ML_SLICE("doc.open");
    t->ask.done = on_answered;
    if (!read_body(t))
        return;
    if (ml_ask_start(&t->ask))
        on_answered(&t->ask);
    else
        ml_call_wait(call);
}
