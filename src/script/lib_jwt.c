/* SPDX-License-Identifier: MIT */
/*
 * ml.jwt: tokens and their keys, made and checked by whom struct ml_script_jwt names (script knows
 * no auth). Keys that were read once are a value that can be kept:
 *
 *   self.state.keys = ml.jwt.keys(self.config.jwks, { alg = "EdDSA" })        in setup
 *   local claims, kind = ml.jwt.verify(token, { keys = self.state.keys, issuer = …, audience = … })
 *
 * `keys` may also be the text itself (JWK set, JWK, PEM, or with alg = "HS256" the secret) or a
 * table of a JWK set; the last CACHED_MAX of them are remembered.
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/lib.h"

#include "script/ask.h"
#include "script/state.h"

#define CACHED_MAX  16
#define ALGS_MAX    8
#define SCRATCH_MAX (1u << 20)
#define LEEWAY_S    30

static const char keys_key, scratch_key, cache_key; /* registry keys */

struct keys {
    const struct ml_script_jwt *jwt;
    void *keys;
    unsigned algs; /* bits, as keys_read answered them */
};

static const struct ml_script_jwt *provided; /* before the first script; then never written */

void ml_script_use_jwt(const struct ml_script_jwt *jwt)
{
    provided = jwt;
}

static const struct ml_script_jwt *jwt_of(lua_State *L)
{
    if (!provided)
        luaL_error(L, "ml.jwt is not available here");
    return provided;
}

static void set_meta(lua_State *L, const char *key)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

static struct keys *keys_at(lua_State *L, int index)
{
    bool ours = false;

    if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)&keys_key);
        lua_rawget(L, LUA_REGISTRYINDEX);
        ours = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    return ours ? lua_touserdata(L, index) : NULL;
}

/* ---- Reading keys -----------------------------------------------------------------------------
 */

/* `alg` of the table at `index`: a text or a list of texts. Required. */
static unsigned check_algs(lua_State *L, int index, const char *what)
{
    unsigned algs = 0;
    int n;

    lua_getfield(L, index, "alg");
    if (lua_type(L, -1) == LUA_TSTRING) {
        lua_createtable(L, 1, 0);
        lua_insert(L, -2);
        lua_rawseti(L, -2, 1);
    }
    if (!lua_istable(L, -1))
        luaL_error(L,
                   "%s: alg is required: \"EdDSA\", \"ES256\", \"RS256\", \"PS256\" or \"HS256\"",
                   what);
    n = (int)lua_objlen(L, -1);
    for (int i = 1; i <= n; i++) {
        unsigned bit;

        lua_rawgeti(L, -1, i);
        bit = lua_type(L, -1) == LUA_TSTRING && i <= ALGS_MAX
                  ? jwt_of(L)->alg_bit(ml_lib_data(L, -1, what))
                  : 0;
        if (!bit)
            luaL_error(L, "%s: alg is one or several of EdDSA, ES256, RS256, PS256, HS256", what);
        algs |= bit;
        lua_pop(L, 1);
    }
    if (!algs)
        luaL_error(L, "%s: alg is empty", what);
    lua_pop(L, 1);
    return algs;
}

/* Push a value that holds the keys of `text`. */
static struct keys *push_keys(lua_State *L, struct ml_slice text, unsigned algs, const char *what)
{
    struct keys *keys = lua_newuserdata(L, sizeof(*keys));
    struct ml_diag diag = {0};

    *keys = (struct keys){.jwt = jwt_of(L), .algs = algs};
    set_meta(L, &keys_key);
    if (keys->jwt->keys_read(text, algs, &keys->keys, &diag))
        luaL_error(L, "%s: %s", what, diag.text);
    return keys;
}

/* The text of keys at `index`: text, a secret, or a table that is written as JSON (pushed). */
static struct ml_slice keys_text(lua_State *L, int index, const char *what)
{
    size_t len;
    const char *text;

    if (!lua_istable(L, index) || luaL_getmetafield(L, index, "__metatable"))
        return ml_lib_key(L, index, what); /* a secret's table is guarded */
    ml_json_text(L, index);
    text = lua_tolstring(L, -1, &len);
    return ml_slice_make(text, len);
}

/* keys(text | table, { alg }) -> keys   [may raise] */
static int keys(lua_State *L)
{
    unsigned algs;

    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    algs = check_algs(L, 2, "ml.jwt.keys");
    push_keys(L, keys_text(L, 1, "ml.jwt.keys"), algs, "ml.jwt.keys");
    return 1;
}

/* A cache of nothing in place of the one at `cache`. */
static void begin_cache(lua_State *L, int cache)
{
    lua_newtable(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&cache_key);
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_replace(L, cache);
}

/*
 * The keys at `index`, whatever they are given as; what was read is remembered by its text. They
 * live as long as the caller's frame. The cache is { count, [algs and text] = keys }.
 */
static struct keys *take_keys(lua_State *L, int index, unsigned algs, const char *what)
{
    struct keys *found = keys_at(L, index);
    struct ml_slice text;
    int cache, name;
    lua_Integer count;

    if (found)
        return found;
    text = keys_text(L, index, what);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&cache_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    cache = lua_gettop(L);
    lua_pushfstring(L, "%d ", (int)algs);
    lua_pushlstring(L, (const char *)text.ptr, text.len);
    lua_concat(L, 2);
    name = lua_gettop(L);
    lua_pushvalue(L, name);
    lua_rawget(L, cache);
    found = keys_at(L, -1);
    if (found)
        return found;
    found = push_keys(L, text, algs, what);
    lua_rawgeti(L, cache, 1);
    count = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (count >= CACHED_MAX) {
        begin_cache(L, cache);
        count = 0;
    }
    lua_pushinteger(L, count + 1);
    lua_rawseti(L, cache, 1);
    lua_pushvalue(L, name);
    lua_pushvalue(L, -2);
    lua_rawset(L, cache);
    return found;
}

/* ---- verify, sign -----------------------------------------------------------------------------
 */

/* Memory outside Lua that an error does not lose. Pushes its keeper. */
static struct ml_arena *push_scratch(lua_State *L)
{
    struct ml_arena *arena = lua_newuserdata(L, sizeof(*arena));

    ml_arena_init(arena, SCRATCH_MAX);
    set_meta(L, &scratch_key);
    return arena;
}

static struct ml_slice text_option(lua_State *L, int index, const char *name, const char *what)
{
    struct ml_slice text = {0};

    lua_getfield(L, index, name);
    if (!lua_isnil(L, -1)) {
        if (lua_type(L, -1) != LUA_TSTRING || lua_objlen(L, -1) == 0)
            luaL_error(L, "%s: %s must be text", what, name);
        text = ml_lib_data(L, -1, what);
    }
    lua_pop(L, 1); /* the table keeps it */
    return text;
}

static double seconds_option(lua_State *L, int index, const char *name, double otherwise)
{
    double seconds = otherwise;

    lua_getfield(L, index, name);
    if (!lua_isnil(L, -1))
        seconds = ml_answer_duration_ms(L, -1, name) / 1000;
    lua_pop(L, 1);
    if (seconds > 1e9)
        luaL_error(L, "%s is too long", name);
    return seconds;
}

static void check_options(lua_State *L, int index, const char *const *known, const char *what)
{
    luaL_checktype(L, index, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        const char *const *k = known;

        while (*k && strcmp(*k, key) != 0)
            k++;
        if (!*k)
            luaL_error(L, "%s: unknown option '%s'", what, key);
    }
}

/*
 * verify(token, { keys, alg, issuer, audience, typ, leeway, max_life })
 *   -> claims | nil, kind, text   [may raise]
 */
static int verify(lua_State *L)
{
    static const char what[] = "ml.jwt.verify";
    static const char *const known[] = {"keys", "alg",    "issuer",   "audience",
                                        "typ",  "leeway", "max_life", NULL};
    const struct ml_script_jwt *jwt = jwt_of(L);
    struct ml_slice token, claims;
    struct ml_script_jwt_rules rules;
    struct ml_arena *scratch;
    const struct keys *with;
    const char *why = "";
    enum ml_err err;

    lua_settop(L, 2);
    check_options(L, 2, known, what);
    token = ml_lib_key(L, 1, what);
    rules.algs = check_algs(L, 2, what);
    rules.issuer = text_option(L, 2, "issuer", what);
    rules.audience = text_option(L, 2, "audience", what);
    rules.typ = text_option(L, 2, "typ", what);
    rules.leeway_s = (uint32_t)seconds_option(L, 2, "leeway", LEEWAY_S);
    rules.life_max_s = (uint32_t)seconds_option(L, 2, "max_life", 0);
    rules.now_s = ml_script_of(L)->wall_ms() / 1000;
    lua_getfield(L, 2, "keys");
    if (lua_isnil(L, -1))
        luaL_error(L, "%s: keys are required", what);
    with = take_keys(L, 3, rules.algs, "ml.jwt.verify: keys");
    scratch = push_scratch(L);
    err = jwt->verify(with->keys, token, &rules, scratch, &claims, &why);
    if (err) {
        ml_arena_release(scratch);
        return ml_lib_fails(L, ml_err_name(err), why);
    }
    ml_json_push(L, claims);
    ml_arena_release(scratch);
    return 1;
}

/* sign(claims, key, { alg, ttl, typ }) -> token   [may raise] */
static int sign(lua_State *L)
{
    static const char what[] = "ml.jwt.sign";
    static const char *const known[] = {"alg", "ttl", "typ", NULL};
    const struct ml_script_jwt *jwt = jwt_of(L);
    struct ml_slice typ, claims, token;
    struct ml_arena *scratch;
    const struct keys *with;
    unsigned algs;
    double ttl;
    size_t len;
    const char *text;
    enum ml_err err;

    lua_settop(L, 3);
    luaL_checktype(L, 1, LUA_TTABLE);
    check_options(L, 3, known, what);
    algs = check_algs(L, 3, what);
    typ = text_option(L, 3, "typ", what);
    ttl = seconds_option(L, 3, "ttl", 0);
    lua_newtable(L); /* 4: the claims, without touching those given */
    for (lua_pushnil(L); lua_next(L, 1);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, 4);
    }
    if (ttl > 0) {
        double now = (double)(ml_script_of(L)->wall_ms() / 1000);

        lua_pushnumber(L, now);
        lua_setfield(L, 4, "iat");
        lua_pushnumber(L, now + (double)(int64_t)ttl);
        lua_setfield(L, 4, "exp");
    }
    lua_getfield(L, 4, "exp");
    if (lua_type(L, -1) != LUA_TNUMBER)
        luaL_error(L, "%s: a token ends: give ttl, or exp in the claims", what);
    lua_settop(L, 4);
    with = take_keys(L, 2, algs, "ml.jwt.sign: key");
    ml_json_text(L, 4);
    text = lua_tolstring(L, -1, &len);
    claims = ml_slice_make(text, len);
    scratch = push_scratch(L);
    err = jwt->sign(with->keys, algs, typ, claims, scratch, &token);
    if (err) {
        ml_arena_release(scratch);
        luaL_error(L, "%s: %s", what,
                   err == ML_EDENIED  ? "this key cannot sign with that algorithm"
                   : err == ML_ELIMIT ? "too large"
                                      : "claims or typ are not what they may be");
    }
    lua_pushlstring(L, (const char *)token.ptr, token.len);
    ml_arena_release(scratch);
    return 1;
}

/* ---- A new state ------------------------------------------------------------------------------
 */

static int free_keys(lua_State *L)
{
    struct keys *keys = lua_touserdata(L, 1);

    if (keys->keys)
        keys->jwt->keys_free(keys->keys);
    keys->keys = NULL;
    return 0;
}

static int free_scratch(lua_State *L)
{
    ml_arena_release(lua_touserdata(L, 1));
    return 0;
}

static int keys_tostring(lua_State *L)
{
    lua_pushliteral(L, "keys:***");
    return 1;
}

static void open_meta(lua_State *L, const char *key, lua_CFunction gc)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_newtable(L);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, keys_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void ml_lib_open_jwt(lua_State *L)
{
    open_meta(L, &keys_key, free_keys);
    open_meta(L, &scratch_key, free_scratch);
    lua_pushlightuserdata(L, (void *)(uintptr_t)&cache_key);
    lua_newtable(L);
    lua_rawset(L, LUA_REGISTRYINDEX);
}

const luaL_Reg ml_lib_jwt[] = {{"keys", keys}, {"verify", verify}, {"sign", sign}, {NULL, NULL}};
