/* SPDX-License-Identifier: MIT */
/*
 * load_document, create_document. Both may wait, and there is no room yet: what create_document
 * writes goes into a document that nobody else has, so `d` stays good over waits, until its hook is
 * over. A kept `d` is found by its number, and not at all when that is over.
 */
#include "script/round.h"

#include <stdlib.h>

#include "script/values.h"
#include "script/view.h"

#define SOFT_MS    1000
#define HARD_MS    10000
#define FACT_BYTES (256u << 10)

struct ml_birth_round {
    struct ml_round base; /* first */
    struct ml_birth_round *next;
    struct ml_arena arena;
    struct ml_script_birth facts; /* own copies */
    struct ml_script_identity identity;
    uint64_t number; /* of the `d` that is lent; 0: none */
    struct ml_birth_answer answer;
    struct ml_doc_port port;
    ml_birth_done done;
    void *arg;
};

static struct ml_birth_round *birth_of(struct ml_round *round)
{
    return (struct ml_birth_round *)(void *)round;
}

/* ---- writing into it --------------------------------------------------------------------------
 */

static void facts(struct ml_doc_port *port, struct ml_doc_facts *out)
{
    (void)port;
    *out = (struct ml_doc_facts){.epoch = 1};
}

static enum ml_err begin(struct ml_doc_port *port, struct ml_diag *diag, struct ml_doc **doc_out)
{
    struct ml_birth_round *birth = ML_CONTAINER(port, struct ml_birth_round, port);

    *doc_out = birth->facts.doc;
    return ml_doc_begin(*doc_out, diag);
}

static void rollback(struct ml_doc_port *port)
{
    ml_doc_rollback(ML_CONTAINER(port, struct ml_birth_round, port)->facts.doc);
}

static enum ml_err commit(struct ml_doc_port *port, const struct ml_doc_note *note,
                          struct ml_diag *diag)
{
    struct ml_birth_round *birth = ML_CONTAINER(port, struct ml_birth_round, port);
    const struct ml_change *change;
    struct ml_arena scratch;
    enum ml_err err;

    (void)note;
    if (birth->base.handler->plugin->is_shadow) {
        ml_doc_rollback(birth->facts.doc);
        return ML_OK;
    }
    ml_arena_init(&scratch, 64u << 20);
    err = ml_doc_commit(birth->facts.doc, &scratch, &change);
    ml_arena_release(&scratch);
    return err ? ml_diag_set(diag, err, 0, "out of memory") : ML_OK;
}

/* d:transact(fn [, { reason, notify }])   [may raise]; upvalue: number of the `d` */
static int d_transact(lua_State *L)
{
    static const struct ml_doc_calls calls = {facts, NULL, begin, commit, rollback};
    uint64_t number = (uint64_t)lua_tonumber(L, lua_upvalueindex(1));
    struct ml_birth_round *birth = ml_script_of(L)->births;

    while (birth && birth->number != number)
        birth = birth->next;
    if (!birth)
        return luaL_error(L, "view expired: the document is made, or not");
    birth->port.calls = &calls;
    return ml_port_transact(L, &birth->port, birth->base.handler->plugin->name);
}

/* ---- arguments --------------------------------------------------------------------------------
 */

static void push_identity(lua_State *L, const struct ml_script_identity *identity)
{
    static const char *const fields[] = {"user",  "name",   "session", "kind",
                                         "roles", "groups", NULL};

    lua_createtable(L, 0, 6);
    ml_round_text(L, "user", identity->user);
    ml_round_text(L, "name", identity->name);
    ml_round_text(L, "session", identity->session);
    ml_round_text(L, "kind", identity->kind);
    ml_round_texts(L, "roles", identity->roles, identity->role_count);
    ml_round_texts(L, "groups", identity->groups, identity->group_count);
    ml_round_seal(L, "identity", fields);
}

static void push_new(lua_State *L, struct ml_round *round)
{
    static const char *const fields[] = {"id",     "org",      "identity", "template",
                                         "labels", "transact", NULL};
    struct ml_birth_round *birth = birth_of(round);

    birth->number = ++round->script->births_lent;
    lua_createtable(L, 0, 6);
    ml_round_text(L, "id", birth->facts.document);
    ml_round_text(L, "org", birth->facts.org);
    ml_round_text(L, "template", birth->facts.template);
    lua_newtable(L);
    lua_setfield(L, -2, "labels");
    if (birth->facts.identity) {
        push_identity(L, &birth->identity);
        lua_setfield(L, -2, "identity");
    }
    lua_pushnumber(L, (double)birth->number);
    lua_pushcclosure(L, d_transact, 1);
    lua_setfield(L, -2, "transact");
    ml_round_seal(L, "d", fields);
}

static void push_ref(lua_State *L, struct ml_round *round)
{
    static const char *const fields[] = {"id", "org", NULL};
    const struct ml_birth_round *birth = birth_of(round);

    lua_createtable(L, 0, 2);
    ml_round_text(L, "id", birth->facts.document);
    ml_round_text(L, "org", birth->facts.org);
    ml_round_seal(L, "ref", fields);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static void decode_new(lua_State *L, struct ml_round *round)
{
    struct ml_birth_round *birth = birth_of(round);
    const struct ml_denial_text to = {round->handler->plugin, &birth->arena, &birth->answer.denial};

    if (ml_api_answer_kind(L, 1) != ML_ANSWER_DENY)
        luaL_error(L, "must answer ml.deny or nil, not a %s", luaL_typename(L, 1));
    ml_answer_denial(L, 1, &to);
    birth->answer.err = ML_EDENIED;
    round->is_over = true;
}

static void decode_bytes(lua_State *L, struct ml_round *round)
{
    struct ml_birth_round *birth = birth_of(round);
    struct ml_slice bytes;

    if (ml_bytes_at(L, 1, &bytes))
        bytes = ml_arena_copy(&birth->arena, bytes);
    else if (lua_type(L, 1) == LUA_TSTRING)
        bytes = ml_answer_keep(L, &birth->arena, 1);
    else
        luaL_error(L, "must answer the bytes of an update or nil, not a %s", luaL_typename(L, 1));
    if (!bytes.ptr)
        luaL_error(L, "more than a document can hold");
    birth->answer.bytes = bytes;
    birth->answer.plugin = ml_slice_str(round->handler->plugin->name);
    round->is_over = true;
}

static void failed(struct ml_round *round)
{
    birth_of(round)->answer.err = ML_ESCRIPT;
    round->is_over = true;
}

static void over(struct ml_round *round)
{
    struct ml_birth_round *birth = birth_of(round);
    struct ml_birth_round **link = &round->script->births;

    while (*link != birth)
        link = &(*link)->next;
    *link = birth->next;
    birth->done(birth->arg, &birth->answer);
    ml_arena_release(&birth->arena);
    free(birth);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static bool copy_names(struct ml_arena *arena, const struct ml_slice *from, size_t count,
                       const struct ml_slice **to)
{
    struct ml_slice *names = ml_arena_array(arena, count + 1, sizeof *names);

    for (size_t i = 0; names && i < count; i++) {
        names[i] = ml_arena_copy(arena, from[i]);
        if (!names[i].ptr)
            return false;
    }
    *to = names;
    return names != NULL;
}

static bool copy_identity(struct ml_birth_round *birth, const struct ml_script_identity *from)
{
    struct ml_script_identity *to = &birth->identity;
    struct ml_arena *arena = &birth->arena;

    *to = *from;
    to->user = ml_arena_copy(arena, from->user);
    to->name = ml_arena_copy(arena, from->name);
    to->session = ml_arena_copy(arena, from->session);
    if (from->kind.ptr)
        to->kind = ml_arena_copy(arena, from->kind);
    birth->facts.identity = to;
    return to->user.ptr && to->name.ptr && to->session.ptr && (!from->kind.ptr || to->kind.ptr) &&
           copy_names(arena, from->roles, from->role_count, &to->roles) &&
           copy_names(arena, from->groups, from->group_count, &to->groups);
}

static bool copy_facts(struct ml_birth_round *birth, const struct ml_script_birth *from)
{
    birth->facts = *from;
    birth->facts.org = ml_arena_copy(&birth->arena, from->org);
    birth->facts.document = ml_arena_copy(&birth->arena, from->document);
    if (from->template.ptr)
        birth->facts.template = ml_arena_copy(&birth->arena, from->template);
    return birth->facts.org.ptr && birth->facts.document.ptr &&
           (!from->template.ptr || birth->facts.template.ptr) &&
           (!from->identity || copy_identity(birth, from->identity));
}

static void ask(struct ml_script *script, const struct ml_script_birth *about,
                const struct ml_round *round, size_t arena_bytes, ml_birth_done done, void *arg)
{
    static const struct ml_birth_answer nothing, no_memory = {.err = ML_ESCRIPT};
    struct ml_birth_round *birth;

    if (!(ml_script_hooks(script) >> round->hook & 1)) {
        done(arg, &nothing);
        return;
    }
    birth = calloc(1, sizeof *birth);
    if (!birth) {
        done(arg, &no_memory);
        return;
    }
    ml_arena_init(&birth->arena, arena_bytes);
    if (!copy_facts(birth, about)) {
        ml_arena_release(&birth->arena);
        free(birth);
        done(arg, &no_memory);
        return;
    }
    birth->done = done;
    birth->arg = arg;
    birth->next = script->births;
    script->births = birth;
    birth->base = *round;
    birth->base.failed = failed;
    birth->base.done = over;
    birth->base.soft_ms = SOFT_MS;
    birth->base.hard_ms = HARD_MS;
    birth->base.is_timed_as_one = true;
    ml_round_start(script, &birth->base);
}

void ml_script_load_document(struct ml_script *script, struct ml_slice org,
                             struct ml_slice document, ml_birth_done done, void *arg)
{
    const struct ml_script_birth about = {.org = org, .document = document};
    const struct ml_round round = {
        .hook = HOOK_LOAD_DOCUMENT, .push = push_ref, .decode = decode_bytes};

    ask(script, &about, &round, FACT_BYTES + (64u << 20), done, arg);
}

void ml_script_create_document(struct ml_script *script, const struct ml_script_birth *birth,
                               ml_birth_done done, void *arg)
{
    const struct ml_round round = {
        .hook = HOOK_CREATE_DOCUMENT, .push = push_new, .decode = decode_new};

    ask(script, birth, &round, FACT_BYTES, done, arg);
}
