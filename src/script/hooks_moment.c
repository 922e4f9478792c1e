/* SPDX-License-Identifier: MIT */
/*
 * What happens around a document: joined, left, document_loaded, document_unloaded (each is told by
 * itself), keep_document (the longest counts), awareness (a cursor passes through all).
 */
#include "script/round.h"
#include "script/tell.h"

#include <stdlib.h>

#include "script/view.h"

/* ---- Arguments --------------------------------------------------------------------------------
 */

static const char *const member_fields[] = {"session", "identity", "doc", "labels", NULL};
static const char *const identity_fields[] = {"user", "name", "session", "roles", NULL};
static const char *const presence_fields[] = {"identity", "state", "client", "doc_id", NULL};

static void push_identity(lua_State *L, const struct ml_script_moment *moment)
{
    lua_createtable(L, 0, 3);
    ml_round_text(L, "user", moment->user);
    ml_round_text(L, "name", moment->name);
    ml_round_text(L, "session", moment->session);
    ml_round_seal(L, "identity", identity_fields);
}

/* The view of the document, which `plugin` (NULL: nobody) may write. */
static void push_doc(lua_State *L, const struct ml_script_moment *moment, const char *plugin)
{
    const struct doc_subject subject = {
        {moment->org, moment->document}, moment->doc, moment->port, plugin};

    ml_view_push_doc_at(L, &subject);
}

static void push_member(lua_State *L, const struct ml_script_moment *moment)
{
    lua_createtable(L, 0, 3);
    ml_round_text(L, "session", moment->session);
    push_identity(L, moment);
    lua_setfield(L, -2, "identity");
    push_doc(L, moment, NULL);
    lua_setfield(L, -2, "doc");
    ml_round_seal(L, "member", member_fields);
}

/* ---- Told -------------------------------------------------------------------------------------
 */

struct happening {
    enum ml_moment what;
    const struct ml_script_moment *moment;
};

static void push_moment(lua_State *L, const struct ml_handler *handler, const void *subject)
{
    const struct happening *h = subject;
    const struct ml_plugin *plugin = handler->plugin;
    const struct ml_script_ref ref = {h->moment->org, h->moment->document};

    /* Views are alive from here on; this one is thrown away where another kind is wanted. */
    ml_views_push(ml_script_of(L), VIEW_REF, &ref, NULL);
    lua_pop(L, 1);
    if (h->what == ML_MOMENT_LOADED) {
        push_doc(L, h->moment, plugin->is_shadow ? NULL : plugin->name);
    } else if (h->what == ML_MOMENT_UNLOADED) {
        lua_createtable(L, 0, 2);
        ml_round_text(L, "id", ref.document);
        ml_round_text(L, "org", ref.org);
    } else {
        push_member(L, h->moment);
    }
}

void ml_script_tell(struct ml_script *script, enum ml_moment what,
                    const struct ml_script_moment *moment)
{
    static const int hooks[] = {
        [ML_MOMENT_JOINED] = HOOK_JOINED,
        [ML_MOMENT_LEFT] = HOOK_LEFT,
        [ML_MOMENT_LOADED] = HOOK_DOCUMENT_LOADED,
        [ML_MOMENT_UNLOADED] = HOOK_DOCUMENT_UNLOADED,
    };
    const struct happening happening = {what, moment};

    ml_tell(script, &(struct ml_telling){.hook = hooks[what],
                                         .document = moment->document,
                                         .push = push_moment,
                                         .subject = &happening});
}

/* ---- keep_document ----------------------------------------------------------------------------
 */

struct keep_round {
    struct ml_round base; /* first */
    const struct ml_script_moment *moment;
    uint64_t keep_ms;
};

static void push_kept(lua_State *L, struct ml_round *round)
{
    const struct ml_script_moment *moment = ((struct keep_round *)(void *)round)->moment;
    const struct ml_script_ref ref = {moment->org, moment->document};

    ml_views_push(ml_script_of(L), VIEW_REF, &ref, NULL);
    lua_pop(L, 1);
    push_doc(L, moment, NULL);
}

static void decode_kept(lua_State *L, struct ml_round *round)
{
    struct keep_round *keep = (struct keep_round *)(void *)round;
    double ms = ml_answer_duration_ms(L, 1, "keep_document");

    if (ms > (double)keep->keep_ms)
        keep->keep_ms = (uint64_t)ms;
}

uint64_t ml_script_keep_document(struct ml_script *script, const struct ml_script_moment *moment)
{
    struct keep_round round = {
        .base = {.hook = HOOK_KEEP_DOCUMENT, .push = push_kept, .decode = decode_kept},
        .moment = moment};

    ml_round_run(script, &round.base);
    ml_views_expire(script);
    return round.keep_ms;
}

/* ---- awareness --------------------------------------------------------------------------------
 */

struct presence_round {
    struct ml_round base; /* first */
    const struct ml_script_moment *moment;
    uint64_t client;
    struct ml_slice *json;
    struct ml_arena *scratch;
    bool dropped;
    uint32_t gap_ms;
};

static void push_presence(lua_State *L, struct ml_round *round)
{
    const struct presence_round *p = (struct presence_round *)(void *)round;

    lua_createtable(L, 0, 4);
    push_identity(L, p->moment);
    lua_setfield(L, -2, "identity");
    ml_json_push(L, *p->json);
    lua_setfield(L, -2, "state");
    ml_round_number(L, "client", (double)p->client);
    ml_round_text(L, "doc_id", p->moment->document);
    ml_round_seal(L, "a", presence_fields);
}

static void decode_presence(lua_State *L, struct ml_round *round)
{
    struct presence_round *p = (struct presence_round *)(void *)round;

    if (ml_api_answer_kind(L, 1) == ML_ANSWER_DROP) {
        p->dropped = round->is_over = true;
        return;
    }
    if (ml_api_answer_kind(L, 1) == ML_ANSWER_SLOW) {
        double ms;

        lua_getfield(L, 1, "seconds");
        ms = lua_tonumber(L, -1) * 1000;
        if (ms > p->gap_ms) /* at most a minute */
            p->gap_ms = (uint32_t)ms;
        lua_getfield(L, 1, "state");
        if (lua_isnil(L, -1))
            return;
        lua_replace(L, 1);
    }
    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer a state, ml.slow, ml.drop or nil, not a %s",
                   luaL_typename(L, 1));
    ml_json_text(L, 1);
    *p->json = ml_answer_keep(L, p->scratch, -1);
}

/* By the phase: a validator that cannot answer lets nothing through. */
static void presence_failed(struct ml_round *round)
{
    struct presence_round *p = (struct presence_round *)(void *)round;

    if (round->handler->fails == ML_FAILS_SKIP)
        return;
    p->dropped = round->is_over = true;
}

bool ml_script_awareness(struct ml_script *script, const struct ml_script_moment *moment,
                         uint64_t client, struct ml_slice *json, struct ml_arena *scratch,
                         uint32_t *gap_ms_out)
{
    struct presence_round round = {.base = {.hook = HOOK_AWARENESS,
                                            .push = push_presence,
                                            .decode = decode_presence,
                                            .failed = presence_failed},
                                   .moment = moment,
                                   .client = client,
                                   .json = json,
                                   .scratch = scratch};

    ml_round_run(script, &round.base);
    *gap_ms_out = round.gap_ms;
    return !round.dropped;
}
