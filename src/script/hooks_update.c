/* SPDX-License-Identifier: MIT */
/* before_update, after_update: what is about to be written, and what was. */
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

enum ml_err ml_script_before_update(struct ml_script *script, const struct ml_scope *scope,
                                    const struct ml_update *update, struct ml_arena *scratch,
                                    struct ml_denial *denial_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_BEFORE_UPDATE];
    uint64_t deadline_us = script->hook_us;

    *denial_out = (struct ml_denial){0};
    if (chain->count)
        deadline_us += ml_update_facts(update)->bytes / 65536 * US_PER_64_KIB;
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct ml_denial_text answer = {handler->plugin, scratch, denial_out};
        enum ml_outcome outcome;

        if (!handler->filter.any && !ml_filter_matches(&handler->filter, update, scope->origin))
            continue;
        outcome = ml_ask(script, handler, HOOK_BEFORE_UPDATE, VIEW_UPDATE, update, scope,
                         (uint32_t)deadline_us);
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

/* ---- after_update
 * -------------------------------------------------------------------------------------------- */

void ml_script_after_update(struct ml_script *script, const struct ml_script_batch *batch,
                            struct ml_arena *scratch)
{
    const struct ml_chain *chain = &script->chains[HOOK_AFTER_UPDATE];

    (void)scratch;
    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];

        if (ml_ask(script, handler, HOOK_AFTER_UPDATE, VIEW_BATCH, batch, handler->plugin->name,
                   script->hook_us) == OUTCOME_ANSWER)
            ml_ask_ignore(script, handler);
    }
    if (script->L)
        ml_state_tidy(script);
}
