/* SPDX-License-Identifier: MIT */
/*
 * What an operator asks of the running plugins, from this machine only: which there are, what they
 * were asked lately, why somebody may do something, and to take what is on disk now. The answer
 * comes from outside of net (ml_net_operator), some ticks later.
 */
#include "net/api_plugins.h"
#include "net/api.h"

#include <stdio.h>
#include <stdlib.h>

struct waiting {
    struct ml_list node; /* net->operator_calls */
    struct ml_call *call;
    uint64_t ticket;
    bool reloads;
    char what[600]; /* which plugins, of which org; empty: all */
};

static bool copy(const struct ml_call *call, const char *name, char *out, size_t size)
{
    struct ml_slice value = ml_call_parameter(call, name);

    if (value.len >= size)
        return false;
    (void)snprintf(out, size, "%.*s", ML_PRINT(value));
    return true;
}

static bool is_set(const struct ml_call *call, const char *name)
{
    struct ml_slice value = ml_call_parameter(call, name);

    return value.ptr && !ml_slice_equal(value, ML_SLICE("0"));
}

static bool copy_all(const struct ml_call *call, struct ml_operator_ask *what)
{
    return copy(call, "org", what->org, sizeof what->org) &&
           copy(call, "doc", what->document, sizeof what->document) &&
           copy(call, "hook", what->hook, sizeof what->hook) &&
           copy(call, "verdict", what->verdict, sizeof what->verdict) &&
           copy(call, "plugin", what->plugin, sizeof what->plugin) &&
           copy(call, "user", what->user, sizeof what->user) &&
           copy(call, "role", what->roles, sizeof what->roles) &&
           copy(call, "action", what->action, sizeof what->action);
}

static void ask(struct ml_call *call, enum ml_operator_what which)
{
    const struct ml_net_operator *operator= & call->net->env.operator;
    struct ml_operator_ask what = {.what = which,
                                   .is_dry = is_set(call, "dry_run"),
                                   .is_shadow = is_set(call, "shadow"),
                                   .is_rollback = is_set(call, "rollback"),
                                   .is_forced = is_set(call, "force"),
                                   .watches = is_set(call, "all")};
    char after[24] = "";
    struct waiting *w;

    if (!copy_all(call, &what) || !copy(call, "after", after, sizeof after)) {
        ml_call_error(call, 400, "bad_parameter", "A parameter is too long.");
        return;
    }
    what.after_us = strtoull(after, NULL, 10);
    if (which == ML_OPERATOR_WHY && (!*what.org || !*what.document)) {
        ml_call_error(call, 400, "bad_parameter", "org and doc say whose document it is about.");
        return;
    }
    w = operator->ask ? calloc(1, sizeof *w) : NULL;
    if (w)
        w->ticket = operator->ask(operator->arg, &what);
    if (!w || !w->ticket) {
        free(w);
        ml_call_error(call, 409, "busy", "The plugins are being looked at or reloaded; try again.");
        return;
    }
    w->call = call;
    w->reloads = which == ML_OPERATOR_RELOAD && !what.is_dry;
    (void)snprintf(w->what, sizeof w->what, "%s%s%s", what.plugin, *what.org ? "@" : "", what.org);
    ml_list_append(&call->net->operator_calls, &w->node);
    ml_call_wait(call);
}

void ml_api_plugins_list(struct ml_call *call)
{
    ask(call, ML_OPERATOR_LIST);
}

void ml_api_plugins_reload(struct ml_call *call)
{
    ask(call, ML_OPERATOR_RELOAD);
}

void ml_api_plugins_trace(struct ml_call *call)
{
    ask(call, ML_OPERATOR_TRACE);
}

void ml_api_plugins_why(struct ml_call *call)
{
    ask(call, ML_OPERATOR_WHY);
}

static void answer(struct ml_call *call, struct ml_slice json, bool failed)
{
    struct ml_writer body;

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_write_bytes(&body, json);
    ml_call_json(call, failed ? 422 : 200, "", &body);
}

void ml_api_plugins_tick(struct ml_net *net)
{
    const struct ml_net_operator *operator= & net->env.operator;

    ML_LIST_EACH(node, &net->operator_calls)
    {
        struct waiting *w = ML_CONTAINER(node, struct waiting, node);
        struct ml_slice json = {0};
        bool failed = false;

        if (!net->is_closing && !operator->answered(operator->arg, w->ticket, &json, &failed))
            continue;
        ml_list_remove(&w->node);
        if (json.len && w->reloads)
            ml_call_audit(w->call, "plugins.reloaded", ml_slice_str(w->what),
                          failed ? "failed" : "ok");
        if (json.len)
            answer(w->call, json, failed);
        else
            ml_call_error(w->call, 503, "closing", "The server stops.");
        free(w);
    }
}
