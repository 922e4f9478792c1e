/* SPDX-License-Identifier: MIT */
#include "script/tell.h"

#include "script/ask.h"

#include <stdlib.h>

#define SOFT_MS 1000
#define HARD_MS 30000

struct pushing {
    const struct ml_handler *handler;
    const struct ml_telling *telling;
};

static void push(lua_State *L, void *arg)
{
    const struct pushing *p = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, p->handler->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->handler->plugin->self_ref);
    p->telling->push(L, p->handler, p->telling->subject);
}

/* What is left of a call that may end later. */
struct told {
    size_t handler;
    int hook;
};

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

static bool is_on(const struct ml_script *script, const struct ml_plugin *plugin,
                  struct ml_slice document)
{
    return document.ptr ? ml_plugin_applies(plugin, document) : ml_plan_has(script->plan, plugin);
}

void ml_tell(struct ml_script *script, const struct ml_telling *telling)
{
    const struct ml_chain *chain = &script->chains[telling->hook];

    for (size_t i = 0; i < chain->count; i++) {
        struct ml_handler *handler = &chain->handlers[i];
        struct pushing pushing = {handler, telling};
        struct ml_run run = {.what = ml_hook_names[telling->hook],
                             .plugin = handler->plugin,
                             .soft_ms = SOFT_MS,
                             .hard_ms = HARD_MS,
                             .done = on_told};
        struct told *told;

        if (!is_on(script, handler->plugin, telling->document) ||
            !ml_ask_may(script, handler, telling->hook))
            continue;
        told = run.arg = malloc(sizeof(*told));
        if (!told)
            continue;
        *told = (struct told){i, telling->hook};
        script->stats.calls++;
        ml_script_hold(script);
        (void)ml_call_start(script, &run, push, &pushing);
    }
}
