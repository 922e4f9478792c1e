/* SPDX-License-Identifier: MIT */
/*
 * Why may somebody do what they may with a document? Oneself, or, for owners, anybody: then the
 * question is asked as if that user had come with nothing but their account.
 */
#include "net/api.h"

#include <stdio.h>

struct why {
    struct ml_call *call;
    struct ml_ask ask;
    struct ml_asker asker;
};

static const char *role_of(const struct ml_asker *asker)
{
    if (asker->from != ML_FROM_POLICY && asker->from != ML_FROM_OPEN)
        return (const char *)ml_role_name(asker->role).ptr;
    return ml_grant_allows(&asker->grant, ML_MAY_WRITE)  ? "editor"
           : ml_grant_allows(&asker->grant, ML_MAY_READ) ? "viewer"
                                                         : "";
}

static void answer(struct ml_call *call, const struct ml_asker *asker)
{
    static const struct {
        const char *name, *detail;
    } rows[] = {
        [ML_FROM_NOTHING] = {"none", "Nothing lets this user in."},
        [ML_FROM_ORG] = {"org", "By the role in the org."},
        [ML_FROM_SHARE] = {"share", "The document is shared with this user."},
        [ML_FROM_LINK] = {"link", "By a link to the document."},
        [ML_FROM_POLICY] = {"policy", "A plugin decides."},
        [ML_FROM_OPEN] = {"open", "Everybody who reaches this server may."},
    };
    const struct ml_script *script = ml_net_script(call->net, call->org, call->name);
    struct ml_writer body;

    ml_writer_init(&body, 1024);
    ml_http_print(&body, "{\"role\":\"%s\",\"from\":\"%s\",\"detail\":\"%s\",\"proposals\":%s}",
                  role_of(asker), rows[asker->from].name, rows[asker->from].detail,
                  script && ml_script_proposes(script) ? "true" : "false");
    ml_call_json(call, 200, "", &body);
}

static void on_answered(struct ml_ask *ask)
{
    struct why *w = ML_CONTAINER(ask, struct why, ask);

    if (ask->err == ML_ESCRIPT)
        ml_call_error(w->call, 503, "policy_unavailable", "A policy cannot answer now.");
    else
        answer(w->call, &w->asker);
}

/* As one who shows an access token of the org and has signed in. */
static bool imagine(struct why *w, struct ml_slice user)
{
    struct ml_call *call = w->call;
    struct ml_asker *asker = &w->asker;

    asker->is_known = asker->is_own = asker->is_imagined = true;
    asker->own = (struct ml_own_token){.kind = ML_OWN_ACCESS,
                                       .org = call->org,
                                       .user = ml_arena_copy(&call->arena, user),
                                       .name = ml_arena_copy(&call->arena, user)};
    ml_identity_make(&asker->identity, user, user, 0);
    asker->facts = (struct ml_script_identity){.user = ml_slice_str(asker->identity.user),
                                               .name = ml_slice_str(asker->identity.name),
                                               .session = ml_slice_str(asker->identity.session),
                                               .kind = ML_SLICE("user")};
    w->ask = (struct ml_ask){.net = call->net,
                             .arena = &call->arena,
                             .asker = asker,
                             .source = {.org = call->org},
                             .is_identified = true,
                             .is_resolved = true,
                             .action = ML_SLICE("doc.open"),
                             .document = call->name,
                             .done = on_answered};
    return asker->own.user.ptr != NULL;
}

void ml_api_why(struct ml_call *call)
{
    struct ml_slice user = ml_call_parameter(call, "user");
    struct why *w;

    if (!user.ptr || ml_slice_equal(user, ml_slice_str(call->visitor.identity.user))) {
        answer(call, &call->visitor);
        return;
    }
    if (call->visitor.role < ML_ROLE_OWNER) {
        ml_call_error(call, 403, "denied", "Only owners may ask about others.");
        return;
    }
    if (!user.len || user.len > ML_TOKEN_SUBJECT_MAX - 1) {
        ml_call_error(call, 400, "bad_query", "user is the id of somebody.");
        return;
    }
    w = ml_arena_alloc(&call->arena, sizeof *w);
    if (w)
        memset(w, 0, sizeof *w);
    if (w)
        w->call = call;
    if (!w || !imagine(w, user)) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    if (ml_ask_start(&w->ask))
        on_answered(&w->ask);
    else
        ml_call_wait(call);
}
