/* SPDX-License-Identifier: MIT */
/* delete_document: is asked before a document goes, and may wait. The first denial ends it. */
#include "script/round.h"

#include <stdlib.h>

#include "script/view.h"

#define SOFT_MS    1000
#define HARD_MS    10000
#define TEXT_BYTES 8192

struct ml_deletion {
    struct ml_round base; /* first */
    struct ml_arena arena;
    struct ml_slice org, document;
    struct ml_denial denial;
    enum ml_err err;
    ml_deletion_done done;
    void *arg;
};

static struct ml_deletion *deletion_of(struct ml_round *round)
{
    return (struct ml_deletion *)(void *)round;
}

static void push_ref(lua_State *L, struct ml_round *round)
{
    static const char *const fields[] = {"id", "org", NULL};
    const struct ml_deletion *deletion = deletion_of(round);

    lua_createtable(L, 0, 2);
    ml_round_text(L, "id", deletion->document);
    ml_round_text(L, "org", deletion->org);
    ml_round_seal(L, "ref", fields);
}

static void decode(lua_State *L, struct ml_round *round)
{
    struct ml_deletion *deletion = deletion_of(round);
    const struct ml_denial_text to = {round->handler->plugin, &deletion->arena, &deletion->denial};

    if (ml_api_answer_kind(L, 1) != ML_ANSWER_DENY)
        luaL_error(L, "must answer ml.deny or nil, not a %s", luaL_typename(L, 1));
    ml_answer_denial(L, 1, &to);
    deletion->err = ML_EDENIED;
    round->is_over = true;
}

static void failed(struct ml_round *round)
{
    deletion_of(round)->err = ML_ESCRIPT;
    round->is_over = true;
}

static void over(struct ml_round *round)
{
    struct ml_deletion *deletion = deletion_of(round);

    deletion->done(deletion->arg, deletion->err, &deletion->denial);
    ml_arena_release(&deletion->arena);
    free(deletion);
}

void ml_script_may_delete(struct ml_script *script, struct ml_slice org, struct ml_slice document,
                          ml_deletion_done done, void *arg)
{
    static const struct ml_denial none;
    struct ml_deletion *deletion;

    if (!(ml_script_hooks(script) & ML_HOOK_DELETE_DOCUMENT)) {
        done(arg, ML_OK, &none);
        return;
    }
    deletion = calloc(1, sizeof *deletion);
    if (!deletion) {
        done(arg, ML_ESCRIPT, &none);
        return;
    }
    ml_arena_init(&deletion->arena, TEXT_BYTES + 65536);
    deletion->org = ml_arena_copy(&deletion->arena, org);
    deletion->document = ml_arena_copy(&deletion->arena, document);
    deletion->done = done;
    deletion->arg = arg;
    deletion->base = (struct ml_round){.hook = HOOK_DELETE_DOCUMENT,
                                       .push = push_ref,
                                       .decode = decode,
                                       .failed = failed,
                                       .done = over,
                                       .soft_ms = SOFT_MS,
                                       .hard_ms = HARD_MS,
                                       .is_timed_as_one = true};
    ml_round_start(script, &deletion->base);
}
