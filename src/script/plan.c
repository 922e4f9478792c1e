/* SPDX-License-Identifier: MIT */
/*
 * Who is asked about a document: a bit per instance and a bit per hook, from the instances'
 * document filters (plugin-api 12). Documents that the same instances are for share one plan; a
 * plan lives as long as its script, and only its hooks change, when the state is made anew.
 */
#include "script/state.h"

#include <stdlib.h>

#define PLANS_MAX 1024 /* of one script; above, a document is planned each time */

bool ml_plugin_applies(const struct ml_plugin *plugin, struct ml_slice document)
{
    if (!plugin->doc_count || !document.len)
        return true;
    for (size_t i = 0; i < plugin->doc_count; i++)
        if (ml_glob_match(plugin->docs[i], document))
            return true;
    return false;
}

static void set_bits(const struct ml_script *script, struct ml_slice document, struct ml_plan *plan)
{
    memset(plan->on, 0, sizeof(plan->on));
    for (size_t i = 0; i < script->plugin_count; i++)
        if (ml_plugin_applies(&script->plugins[i], document))
            plan->on[i / 64] |= UINT64_C(1) << (i % 64);
}

static void set_hooks(const struct ml_script *script, struct ml_plan *plan)
{
    plan->hooks = 0;
    for (int hook = 0; hook < HOOK_COUNT; hook++)
        for (size_t i = 0; i < script->chains[hook].count; i++)
            if (ml_plan_has(plan, script->chains[hook].handlers[i].plugin))
                plan->hooks |= UINT64_C(1) << hook;
}

struct ml_plan *ml_plan_for(struct ml_script *script, struct ml_slice document)
{
    struct ml_plan wanted, *plan;

    set_bits(script, script->has_docs ? document : (struct ml_slice){0}, &wanted);
    for (plan = script->plans; plan; plan = plan->next)
        if (memcmp(plan->on, wanted.on, sizeof(wanted.on)) == 0)
            return plan;
    plan = script->plan_count < PLANS_MAX ? malloc(sizeof(*plan)) : NULL;
    if (!plan)
        plan = &script->spare_plan;
    memcpy(plan->on, wanted.on, sizeof(wanted.on));
    set_hooks(script, plan);
    if (plan == &script->spare_plan)
        return plan;
    plan->next = script->plans;
    script->plans = plan;
    script->plan_count++;
    return plan;
}

void ml_plan_use(struct ml_script *script, struct ml_plan *plan)
{
    script->plan = plan;
    script->hooks = plan->hooks;
}

void ml_plan_renew(struct ml_script *script)
{
    script->has_docs = false;
    for (size_t i = 0; i < script->plugin_count; i++)
        script->has_docs |= script->plugins[i].doc_count > 0;
    for (struct ml_plan *plan = script->plans; plan; plan = plan->next)
        set_hooks(script, plan);
    ml_plan_use(script, ml_plan_for(script, (struct ml_slice){0}));
}

void ml_plan_free_all(struct ml_script *script)
{
    struct ml_plan *next;

    for (struct ml_plan *plan = script->plans; plan; plan = next) {
        next = plan->next;
        free(plan);
    }
    script->plans = NULL;
}
