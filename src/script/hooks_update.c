/* SPDX-License-Identifier: MIT */
/* authorize_edit, before_update: what is about to be written. */
#include "script/ask.h"

#define US_PER_64_KIB 1000

/* ---- before_update
 * ------------------------------------------------------------------------------------------- */

static void decode_denial(lua_State *L, void *arg)
{
    if (ml_api_answer_kind(L, 1) != ML_ANSWER_DENY)
        luaL_error(L, "must answer ml.deny or nil, not a %s", luaL_typename(L, 1));
    ml_answer_denial(L, 1, arg);
}

/* Is the handler to be asked? */
static enum ml_err wants(const struct ml_handler *handler, struct ml_script_update *update,
                         const struct ml_scope *scope, bool *wants_out)
{
    *wants_out = true;
    return handler->filter.any
               ? ML_OK
               : ml_filter_matches(&handler->filter, update, scope->origin, wants_out);
}

static uint32_t deadline_of(const struct ml_script *script, const struct ml_script_update *update)
{
    return (uint32_t)(script->hook_us +
                      ml_update_facts(update->update)->bytes / 65536 * US_PER_64_KIB);
}

enum ml_err ml_script_before_update(struct ml_script *script, const struct ml_scope *scope,
                                    struct ml_script_update *update, struct ml_denial *denial_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_BEFORE_UPDATE];

    *denial_out = (struct ml_denial){0};
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct ml_denial_text answer = {handler->plugin, update->scratch, denial_out};
        enum ml_outcome outcome;
        bool wanted;
        enum ml_err err = wants(handler, update, scope, &wanted);

        if (err)
            return err;
        if (!wanted)
            continue;
        update->plugin = handler->plugin->name;
        update->asked = handler;
        outcome = ml_ask(script, handler, HOOK_BEFORE_UPDATE, VIEW_UPDATE, update, scope,
                         deadline_of(script, update));
        if (outcome == OUTCOME_NIL)
            continue;
        if (outcome == OUTCOME_FAILED ||
            !ml_ask_decode(script, handler, HOOK_BEFORE_UPDATE, decode_denial, &answer)) {
            if (handler->fails != ML_FAILS_SKIP)
                return ML_ESCRIPT;
            continue;
        }
        script->stats.denials++;
        return ML_EDENIED;
    }
    return ML_OK;
}

bool ml_script_proposes(const struct ml_script *script)
{
    const struct ml_chain *chain = &script->chains[HOOK_BEFORE_UPDATE];

    for (size_t i = 0; i < chain->count; i++)
        if (chain->handlers[i].filter.proposals && !chain->handlers[i].plugin->is_shadow)
            return true;
    return false;
}

/* ---- authorize_edit
 * ------------------------------------------------------------------------------------------ */

/* One edit, one plugin. */
static enum ml_err ask_edit(struct ml_script *script, struct ml_handler *handler,
                            const struct ml_scope *scope, struct ml_script_update *update,
                            size_t number, struct ml_denial *denial)
{
    struct ml_denial_text answer = {handler->plugin, update->scratch, denial};
    enum ml_outcome outcome;

    update->current = number;
    update->plugin = handler->plugin->name;
    outcome =
        ml_ask(script, handler, HOOK_AUTHORIZE_EDIT, VIEW_EDIT, update, scope, script->hook_us);
    if (outcome == OUTCOME_NIL)
        return ML_OK;
    if (outcome == OUTCOME_FAILED ||
        !ml_ask_decode(script, handler, HOOK_AUTHORIZE_EDIT, decode_denial, &answer))
        return handler->fails == ML_FAILS_SKIP ? ML_OK : ML_ESCRIPT;
    script->stats.denials++;
    return denial->fence ? ML_EDENIED : ml_script_update_refuse(update, number, denial);
}

enum ml_err ml_script_authorize_edit(struct ml_script *script, const struct ml_scope *scope,
                                     struct ml_script_update *update, struct ml_denial *denial_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_AUTHORIZE_EDIT];

    *denial_out = (struct ml_denial){0};
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        bool wanted;
        enum ml_err err = wants(handler, update, scope, &wanted);

        if (!err && wanted)
            err = ml_script_update_look(update);
        for (size_t n = 0; !err && wanted && n < ml_effects_count(update->effects); n++)
            if (ml_filter_takes(&handler->filter, ml_effects_at(update->effects, n)))
                err = ask_edit(script, handler, scope, update, n, denial_out);
        if (err)
            return err;
    }
    return ML_OK;
}
