/* SPDX-License-Identifier: MIT */
/*
 * after_update: each instance is told by itself, on a coroutine, of the records that its filter
 * lets through. Who collects them, and when they are due, is the room's business (room/observe.c).
 */
#include "script/wait.h"

#include <stdlib.h>
#include <string.h>

#include "script/view.h"

#define OBSERVER_SOFT_MS 1000
#define OBSERVER_HARD_MS 30000

/* ---- How they want to be told -----------------------------------------------------------------
 */

static struct ml_handler *handler_at(const struct ml_script *script, size_t i)
{
    return &script->chains[HOOK_AFTER_UPDATE].handlers[i];
}

size_t ml_script_observers(const struct ml_script *script)
{
    return script->chains[HOOK_AFTER_UPDATE].count;
}

/*
 * Noting what became visible costs a walk over every list that is touched. It is done for who
 * filters by it, or whose source names it; anybody else who asks all the same is told that there is
 * a gap.
 */
static bool wants_changes(const struct ml_handler *handler)
{
    const struct ml_source *source = handler->plugin->source;

    if (handler->filter.kinds || handler->filter.path_count || handler->filter.key_count)
        return true;
    for (size_t i = 0; source && i < source->file_count; i++) {
        struct ml_slice text = source->files[i].text;

        if (text.len &&
            (memmem(text.ptr, text.len, "changes", 7) || memmem(text.ptr, text.len, "touched", 7)))
            return true;
    }
    return false;
}

bool ml_script_observer(const struct ml_script *script, size_t i, struct ml_slice document,
                        struct ml_observing *out)
{
    const struct ml_handler *handler = handler_at(script, i);

    *out = (struct ml_observing){
        .instance = ml_slice_str(handler->plugin->name),
        .every_ms = handler->every_ms,
        .max = handler->max,
        .durable = handler->durable,
        .changes = handler->wants_changes,
    };
    return ml_plugin_applies(handler->plugin, document);
}

/* Does a change stand at a path that is asked for: the type's own, or with the key? */
static bool is_at(struct ml_slice pattern, const struct ml_noted_change *change)
{
    char whole[1024];
    size_t len = change->path.len;

    if (ml_glob_match(pattern, change->path))
        return true;
    if (!change->key.ptr || len + 1 + change->key.len > sizeof(whole))
        return false;
    memcpy(whole, change->path.ptr, len);
    whole[len++] = '/';
    memcpy(whole + len, change->key.ptr, change->key.len);
    return ml_glob_match(pattern, ml_slice_make(whole, len + change->key.len));
}

bool ml_noted_touches(const struct ml_noted *noted, struct ml_slice pattern)
{
    bool touched = noted->gap;

    for (size_t i = 0; i < noted->change_count && !touched; i++)
        touched = is_at(pattern, &noted->changes[i]);
    return touched;
}

static bool is_wanted(const struct ml_edit_filter *filter, const struct ml_noted_change *change)
{
    bool any = !filter->path_count;

    if (filter->kinds && !(filter->kinds & 1u << change->word))
        return false;
    for (size_t i = 0; i < filter->path_count && !any; i++)
        any = is_at(ml_slice_str(filter->paths[i]), change);
    return any;
}

bool ml_script_observer_wants(const struct ml_script *script, size_t i,
                              const struct ml_noted *noted)
{
    const struct ml_edit_filter *filter = &handler_at(script, i)->filter;

    if (filter->any)
        return true;
    if (filter->origins && !(filter->origins & ml_origin_bits(ml_slice_str(noted->origin))))
        return false;
    if (noted->gap || (!filter->kinds && !filter->path_count))
        return true;
    for (size_t n = 0; n < noted->change_count; n++)
        if (is_wanted(filter, &noted->changes[n]))
            return true;
    return false;
}

/* ---- Told -------------------------------------------------------------------------------------
 */

/* The chain was made anew. */
void ml_observers_arrange(struct ml_script *script)
{
    for (size_t i = 0; i < ml_script_observers(script); i++)
        handler_at(script, i)->wants_changes = wants_changes(handler_at(script, i));
}

struct telling {
    struct ml_handler *handler;
    const struct ml_script_batch *batch;
};

static void push(lua_State *L, void *arg)
{
    const struct telling *t = arg;

    lua_rawgeti(L, LUA_REGISTRYINDEX, t->handler->function_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->handler->plugin->self_ref);
    /* A shadow sees everything and writes nothing. */
    ml_views_push(ml_script_of(L), VIEW_BATCH, t->batch,
                  t->handler->plugin->is_shadow ? NULL : t->handler->plugin->name);
}

/* What is left of a call that may end later. */
struct told {
    size_t handler;
    void (*done)(void *arg, bool ok);
    void *arg;
};

static void on_done(struct ml_script *script, void *arg, enum ml_outcome outcome)
{
    struct told told = *(struct told *)arg;
    const struct ml_chain *chain = &script->chains[HOOK_AFTER_UPDATE];

    free(arg);
    if (told.handler < chain->count) {
        struct ml_handler *handler = &chain->handlers[told.handler];

        if (script->L)
            ml_ask_took(script, handler);
        if (outcome == OUTCOME_FAILED)
            ml_ask_failed(script, handler->plugin, &handler->breaker, "after_update");
        else
            ml_ask_succeeded(script, &handler->breaker);
    }
    told.done(told.arg, outcome != OUTCOME_FAILED);
    ml_script_let_go(script);
}

bool ml_script_observe(struct ml_script *script, size_t i, const struct ml_script_batch *batch,
                       void (*done)(void *arg, bool ok), void *arg)
{
    struct ml_handler *handler = handler_at(script, i);
    struct telling telling = {handler, batch};
    struct told *told;
    struct ml_run run = {.what = "after_update",
                         .plugin = handler->plugin,
                         .soft_ms = OBSERVER_SOFT_MS,
                         .hard_ms = OBSERVER_HARD_MS,
                         .done = on_done};

    if (!ml_ask_may(script, handler, HOOK_AFTER_UPDATE))
        return false;
    told = malloc(sizeof(*told));
    if (!told)
        return false;
    *told = (struct told){i, done, arg};
    run.arg = told;
    script->stats.calls++;
    ml_script_hold(script);
    (void)ml_call_start(script, &run, push, &telling);
    return true;
}

/* ---- Told at once: for specs, and who has no room ---------------------------------------------
 */

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
