/* SPDX-License-Identifier: MIT */
/* place_document (plugin-api 6.7). The key is the org: an org lives on one primary. */
#include "script/script.h"

#include "script/round.h"
#include "script/state.h"

struct placing {
    struct ml_round base; /* first */
    struct ml_script_placement *p;
};

static void push_placement(lua_State *L, struct ml_round *round)
{
    static const char *const fields[] = {"org", "doc_id", "region", "pools", NULL};
    const struct ml_script_placement *p = ((struct placing *)(void *)round)->p;

    lua_createtable(L, 0, 2);
    ml_round_text(L, "org", p->org);
    ml_round_texts(L, "pools", p->pools, p->pool_count);
    ml_round_seal(L, "p", fields);
}

static void check_key(lua_State *L, const struct ml_script_placement *p)
{
    size_t len;
    const char *key;

    if (lua_isnil(L, -1))
        return;
    key = lua_tolstring(L, -1, &len);
    if (!key || !ml_slice_equal(ml_slice_make(key, len), p->org))
        luaL_error(L, "key must be the org: an org lives in one pool");
}

static void decode_placement(lua_State *L, struct ml_round *round)
{
    struct ml_script_placement *p = ((struct placing *)(void *)round)->p;
    const char *pool;
    size_t len;

    if (!lua_istable(L, 1))
        luaL_error(L, "must answer { key, pool } or nil, not a %s", luaL_typename(L, 1));
    lua_getfield(L, 1, "key");
    check_key(L, p);
    lua_getfield(L, 1, "pool");
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "pool must be the name of one of p.pools");
    pool = lua_tolstring(L, -1, &len);
    for (size_t i = 0; i < p->pool_count; i++)
        if (ml_slice_equal(p->pools[i], ml_slice_make(pool, len)))
            p->answer = i;
    if (p->answer == SIZE_MAX)
        luaL_error(L, "there is no pool '%s'", pool);
    round->is_over = true;
}

void ml_script_place(struct ml_script *script, struct ml_script_placement *placement)
{
    struct placing placing = {
        .base = {.hook = HOOK_PLACE_DOCUMENT, .push = push_placement, .decode = decode_placement},
        .p = placement};

    placement->answer = SIZE_MAX;
    ml_round_run(script, &placing.base);
}
