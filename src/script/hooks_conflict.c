/* SPDX-License-Identifier: MIT */
/* conflict: the first opinion counts; a plugin that fails has none. */
#include "script/ask.h"
#include "script/values.h"

#define ANSWER_BYTES_MAX (4u << 20)
#define NAME_BYTES_MAX   200
/* Of a manifest without `kinds`. */
#define KINDS_UNSAID (1u << ML_COLLISION_MAP | 1u << ML_COLLISION_ATTR)

static const char *const kind_words[ML_COLLISION_KINDS] = {
    [ML_COLLISION_MAP] = "map",
    [ML_COLLISION_ATTR] = "attr",
    [ML_COLLISION_BLOCK] = "block",
    [ML_COLLISION_DELETE] = "delete",
};

uint32_t ml_conflict_kind_bits(struct ml_slice word)
{
    for (unsigned kind = 0; kind < ML_COLLISION_KINDS; kind++)
        if (ml_slice_equal(word, ml_slice_str(kind_words[kind])))
            return 1u << kind;
    return 0;
}

const char *ml_conflict_kind_word(enum ml_collision_kind kind)
{
    return kind_words[kind];
}

/* ---- Filters --------------------------------------------------------------------------------- */

unsigned ml_script_conflict_kinds(const struct ml_script *script)
{
    const struct ml_chain *chain = &script->chains[HOOK_CONFLICT];
    unsigned all = 0;

    for (size_t i = 0; i < chain->count; i++) {
        uint32_t kinds = chain->handlers[i].filter.kinds;

        if (ml_plan_has(script->plan, chain->handlers[i].plugin))
            all |= kinds ? kinds : KINDS_UNSAID;
    }
    return all;
}

static bool matches_one(char **patterns, size_t count, struct ml_slice text)
{
    for (size_t i = 0; i < count; i++)
        if (ml_glob_match(ml_slice_str(patterns[i]), text))
            return true;
    return !count;
}

static bool wants(const struct ml_edit_filter *f, enum ml_collision_kind kind, struct ml_slice path,
                  struct ml_slice key)
{
    if (!((f->kinds ? f->kinds : KINDS_UNSAID) & 1u << kind))
        return false;
    if (f->key_count && (!key.ptr || !matches_one(f->keys, f->key_count, key)))
        return false;
    return matches_one(f->paths, f->path_count, path);
}

bool ml_script_wants_conflict(const struct ml_script *script, enum ml_collision_kind kind,
                              struct ml_slice path, struct ml_slice key)
{
    const struct ml_chain *chain = &script->chains[HOOK_CONFLICT];

    for (size_t i = 0; i < chain->count; i++)
        if (ml_plan_has(script->plan, chain->handlers[i].plugin) &&
            wants(&chain->handlers[i].filter, kind, path, key))
            return true;
    return false;
}

/* ---- The answer ------------------------------------------------------------------------------ */

struct answer {
    enum ml_collision_kind kind;
    struct ml_arena *scratch;
    struct ml_writer any;
    struct ml_conflict_answer *out;
};

static void take_merge(lua_State *L, struct answer *to)
{
    lua_getfield(L, 1, "value");
    if (to->kind == ML_COLLISION_BLOCK && lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "ml.merge: a block becomes a text, not a %s", luaL_typename(L, -1));
    if (lua_isnil(L, -1))
        luaL_error(L, "ml.merge: a value is missing");
    ml_any_write(L, lua_gettop(L), &to->any);
    if (to->any.err)
        luaL_error(L, "ml.merge: the value is too large");
    to->out->any = ml_arena_copy(to->scratch, ml_writer_slice(&to->any));
    if (!to->out->any.ptr)
        luaL_error(L, "no room for the answer");
}

static void take_name(lua_State *L, struct answer *to)
{
    lua_getfield(L, 1, "name");
    if (lua_type(L, -1) != LUA_TSTRING || !lua_objlen(L, -1) || lua_objlen(L, -1) > NAME_BYTES_MAX)
        luaL_error(L, "ml.keep_both: the name must be text of 1 to %d bytes", NAME_BYTES_MAX);
    to->out->name = ml_answer_keep(L, to->scratch, -1);
}

static void decode(lua_State *L, void *arg)
{
    struct answer *to = arg;
    const char *word = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "";

    if (to->kind == ML_COLLISION_DELETE && lua_type(L, 1) != LUA_TSTRING)
        luaL_error(L, "of a deletion the answer is \"current\", \"incoming\" or nil");
    switch (ml_api_answer_kind(L, 1)) {
    case ML_ANSWER_MERGE:
        take_merge(L, to);
        to->out->word = ML_CONFLICT_MERGE;
        return;
    case ML_ANSWER_KEEP_BOTH:
        take_name(L, to);
        to->out->word = ML_CONFLICT_KEEP_BOTH;
        return;
    default:
        break;
    }
    if (strcmp(word, "current") == 0)
        to->out->word = ML_CONFLICT_CURRENT;
    else if (strcmp(word, "incoming") == 0)
        to->out->word = ML_CONFLICT_INCOMING;
    else
        luaL_error(L,
                   "must answer \"current\", \"incoming\", ml.merge, ml.keep_both or nil, not %s",
                   word[0] ? word : luaL_typename(L, 1));
}

/* ---- The question ---------------------------------------------------------------------------- */

static void seed_random(lua_State *L, void *arg)
{
    ml_sandbox_seed_random(L, *(const uint64_t *)arg);
}

static enum ml_outcome ask(struct ml_script *script, struct ml_handler *handler,
                           const struct ml_script_conflict *conflict)
{
    uint64_t seed = conflict->seed;
    enum ml_outcome outcome;

    if (!script->L || ml_script_protect(script, 0, seed_random, &seed, script->hook_us))
        return OUTCOME_FAILED;
    outcome =
        ml_ask(script, handler, HOOK_CONFLICT, VIEW_CONFLICT, conflict, NULL, script->hook_us);
    return outcome;
}

/* What was drawn in a pure call must not foretell what others draw. */
static void unseed_random(struct ml_script *script)
{
    uint64_t seed =
        script->mono_ms() * 0x9e3779b97f4a7c15u ^ script->stats.calls ^ (uint64_t)(uintptr_t)script;

    if (script->L)
        (void)!ml_script_protect(script, 0, seed_random, &seed, script->hook_us);
}

void ml_script_conflict(struct ml_script *script, const struct ml_script_conflict *conflict,
                        struct ml_arena *scratch, struct ml_conflict_answer *answer_out)
{
    const struct ml_chain *chain = &script->chains[HOOK_CONFLICT];
    struct answer answer = {.kind = conflict->kind, .scratch = scratch, .out = answer_out};

    ml_writer_init(&answer.any, ANSWER_BYTES_MAX);
    *answer_out = (struct ml_conflict_answer){.word = ML_CONFLICT_NATURAL};
    for (size_t i = 0; i < chain->count && answer_out->word == ML_CONFLICT_NATURAL; i++) {
        struct ml_handler *handler = &chain->handlers[i];

        if (!wants(&handler->filter, conflict->kind, conflict->path, conflict->key) ||
            ask(script, handler, conflict) != OUTCOME_ANSWER)
            continue;
        ml_writer_reset(&answer.any);
        if (!ml_ask_decode(script, handler, HOOK_CONFLICT, decode, &answer))
            *answer_out = (struct ml_conflict_answer){.word = ML_CONFLICT_NATURAL};
    }
    ml_writer_release(&answer.any);
    unseed_random(script);
}
