/* SPDX-License-Identifier: MIT */
/*
 * cache_control, asset_url, purge (plugin-api 6.7): several answers become one.
 *
 * A rule says something about a thing or nothing: what is said about the same thing by two counts
 * as the stricter of both, what nobody speaks of stays as the core has it.
 */
#include "script/round.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

#define URL_MAX       4096
#define PURGE_SOFT_MS 5000
#define PURGE_HARD_MS 60000
#define AGE_MAX_S     (10.0 * 366 * 86400)

struct ml_cache_rule ml_cache_rule_default(void)
{
    return (struct ml_cache_rule){.store = ML_CACHE_NO_STORE,
                                  .max_age_s = -1,
                                  .shared_max_age_s = -1,
                                  .stale_while_revalidate_s = -1};
}

/* ---- cache_control --------------------------------------------------------------------------- */

static const char *const response_fields[] = {
    "route",         "method", "status",  "is_api",       "has_cookie",
    "authenticated", "doc_id", "version", "content_type", NULL};

struct rule_round {
    struct ml_round base; /* first */
    const struct ml_script_response *response;
    struct ml_cache_rule *rule;
    struct {
        bool store, immutable;
    } said;
    struct ml_cache_rule so_far;
};

static struct rule_round *rule_of(struct ml_round *round)
{
    return (struct rule_round *)(void *)round;
}

static void push_response(lua_State *L, struct ml_round *round)
{
    const struct ml_script_response *response = rule_of(round)->response;

    lua_createtable(L, 0, 9);
    ml_round_text(L, "route", response->route);
    ml_round_text(L, "method", response->method);
    ml_round_number(L, "status", response->status);
    ml_round_bool(L, "is_api", response->is_api);
    ml_round_bool(L, "has_cookie", response->has_cookie);
    ml_round_bool(L, "authenticated", response->authenticated);
    if (response->document.len)
        ml_round_text(L, "doc_id", response->document);
    if (response->version)
        ml_round_number(L, "version", (double)response->version);
    if (response->content_type.len)
        ml_round_text(L, "content_type", response->content_type);
    ml_round_seal(L, "res", response_fields);
}

static void merge_age(lua_State *L, const char *name, int64_t *so_far)
{
    double seconds = ml_answer_duration_ms(L, lua_gettop(L), name) / 1000;
    int64_t age;

    if (!(seconds >= 0))
        luaL_error(L, "%s must not be negative", name);
    age = seconds > AGE_MAX_S ? (int64_t)AGE_MAX_S : (int64_t)seconds;
    if (*so_far < 0 || age < *so_far)
        *so_far = age;
}

/* The list at the top: each of its words is added by `add`, which answers false for an unknown one.
 */
static void each_word(lua_State *L, const char *name, struct ml_cache_rule *rule,
                      bool (*add)(struct ml_cache_rule *rule, struct ml_slice word))
{
    size_t n;

    if (!lua_istable(L, -1))
        luaL_error(L, "%s must be a list of words", name);
    n = lua_objlen(L, -1);
    for (size_t i = 1; i <= n && i <= 16; i++) {
        size_t len = 0;
        const char *word;

        lua_rawgeti(L, -1, (int)i);
        word = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : "";
        if (!add(rule, ml_slice_make(word, len)))
            luaL_error(L, "%s: unknown word '%s'", name, word);
        lua_pop(L, 1);
    }
}

static bool add_key(struct ml_cache_rule *rule, struct ml_slice word)
{
    static const struct {
        const char *name;
        enum ml_cache_key bit;
    } keys[] = {
        {"org", ML_CACHE_KEY_ORG}, {"doc", ML_CACHE_KEY_DOC}, {"snapshot", ML_CACHE_KEY_SNAPSHOT}};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (ml_slice_equal(word, ml_slice_str(keys[i].name))) {
            rule->keys |= keys[i].bit;
            return true;
        }
    return false;
}

static bool add_vary(struct ml_cache_rule *rule, struct ml_slice word)
{
    static const char *const names[] = {"accept-encoding", "accept", "accept-language", "origin"};

    _Static_assert(sizeof names / sizeof *names == ML_CACHE_VARY_MAX, "room for every name");
    for (size_t i = 0; i < ML_CACHE_VARY_MAX; i++) {
        if (!ml_slice_equal(word, ml_slice_str(names[i])))
            continue;
        for (size_t k = 0; k < rule->vary_count; k++)
            if (ml_slice_equal(rule->vary[k], word))
                return true;
        rule->vary[rule->vary_count++] = ml_slice_str(names[i]);
        return true;
    }
    return false;
}

static void take_store(lua_State *L, struct rule_round *round)
{
    static const char *const stores[] = {"public", "private", "no-store", NULL};
    const char *store = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    int i = 0;

    while (stores[i] && strcmp(stores[i], store) != 0)
        i++;
    if (!stores[i])
        luaL_error(L, "store must be \"public\", \"private\" or \"no-store\"");
    if (!round->said.store || (int)round->so_far.store < i)
        round->so_far.store = (enum ml_cache_store)i;
    round->said.store = true;
}

static void take_rule_field(lua_State *L, const char *key, struct rule_round *round)
{
    struct ml_cache_rule *rule = &round->so_far;

    if (strcmp(key, "store") == 0) {
        take_store(L, round);
    } else if (strcmp(key, "max_age") == 0) {
        merge_age(L, key, &rule->max_age_s);
    } else if (strcmp(key, "shared_max_age") == 0) {
        merge_age(L, key, &rule->shared_max_age_s);
    } else if (strcmp(key, "stale_while_revalidate") == 0) {
        merge_age(L, key, &rule->stale_while_revalidate_s);
    } else if (strcmp(key, "immutable") == 0) {
        if (!lua_isboolean(L, -1))
            luaL_error(L, "immutable must be true or false");
        rule->immutable = (!round->said.immutable || rule->immutable) && lua_toboolean(L, -1);
        round->said.immutable = true;
    } else if (strcmp(key, "keys") == 0) {
        each_word(L, key, rule, add_key);
    } else if (strcmp(key, "vary") == 0) {
        each_word(L, key, rule, add_vary);
    } else if (strcmp(key, "key_header") == 0) {
        const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";

        if (strcmp(name, "cache-tag") != 0 && strcmp(name, "surrogate-key") != 0)
            luaL_error(L, "key_header must be \"surrogate-key\" or \"cache-tag\"");
        rule->has_cache_tag = rule->has_cache_tag || strcmp(name, "cache-tag") == 0;
    } else {
        luaL_error(L, "unknown field '%s'", key);
    }
}

static void decode_rule(lua_State *L, struct ml_round *base)
{
    struct rule_round *round = rule_of(base);
    struct rule_round before = *round;

    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer a cache rule or nil, not a %s", luaL_typename(L, 1));
    before = *round;
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1))
        take_rule_field(L, lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "", &before);
    *round = before; /* all of it, or (raised) nothing */
}

static void rule_failed(struct ml_round *base)
{
    rule_of(base)->so_far.store = ML_CACHE_NO_STORE;
    rule_of(base)->said.store = true;
}

void ml_script_cache_control(struct ml_script *script, const struct ml_script_response *response,
                             struct ml_cache_rule *rule)
{
    struct rule_round round = {
        .base = {.hook = HOOK_CACHE_CONTROL,
                 .push = push_response,
                 .decode = decode_rule,
                 .failed = rule_failed},
        .response = response,
        .so_far = ml_cache_rule_default(),
    };

    ml_round_run(script, &round.base);
    if (round.said.store)
        rule->store = round.so_far.store;
    if (round.said.immutable)
        rule->immutable = round.so_far.immutable;
    if (round.so_far.max_age_s >= 0)
        rule->max_age_s = round.so_far.max_age_s;
    if (round.so_far.shared_max_age_s >= 0)
        rule->shared_max_age_s = round.so_far.shared_max_age_s;
    if (round.so_far.stale_while_revalidate_s >= 0)
        rule->stale_while_revalidate_s = round.so_far.stale_while_revalidate_s;
    rule->keys |= round.so_far.keys;
    for (size_t i = 0; i < round.so_far.vary_count; i++)
        (void)add_vary(rule, round.so_far.vary[i]);
    rule->has_cache_tag = rule->has_cache_tag || round.so_far.has_cache_tag;
}

/* ---- asset_url ------------------------------------------------------------------------------- */

struct asset_round {
    struct ml_round base; /* first */
    const struct ml_script_asset *asset;
    struct ml_writer *out;
    bool is_given;
};

static void push_asset(lua_State *L, struct ml_round *base)
{
    static const char *const fields[] = {"doc_id", "org", "snapshot", "file", "hash", NULL};
    const struct ml_script_asset *asset = ((struct asset_round *)(void *)base)->asset;

    lua_createtable(L, 0, 5);
    ml_round_text(L, "doc_id", asset->document);
    ml_round_text(L, "org", asset->org);
    ml_round_number(L, "snapshot", (double)asset->snapshot);
    ml_round_text(L, "file", asset->file);
    ml_round_text(L, "hash", asset->hash);
    ml_round_seal(L, "a", fields);
}

/* It becomes a header field and a link: an address, and nothing that ends a line. */
static void decode_url(lua_State *L, struct ml_round *base)
{
    struct asset_round *round = (struct asset_round *)(void *)base;
    size_t len = 0;
    const char *url = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &len) : "";

    for (size_t i = 0; i < len; i++)
        if ((uint8_t)url[i] <= 0x20 || (uint8_t)url[i] >= 0x7f || url[i] == '"' || url[i] == '<')
            len = 0;
    if (!len || len > URL_MAX ||
        (url[0] != '/' && strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
        luaL_error(L, "must answer an http address, a path or nil");
    ml_write_bytes(round->out, ml_slice_make(url, len));
    round->is_given = base->is_over = true;
}

bool ml_script_asset_url(struct ml_script *script, const struct ml_script_asset *asset,
                         struct ml_writer *out)
{
    struct asset_round round = {
        .base = {.hook = HOOK_ASSET_URL, .push = push_asset, .decode = decode_url},
        .asset = asset,
        .out = out,
    };

    ml_round_run(script, &round.base);
    return round.is_given;
}

/* ---- purge ----------------------------------------------------------------------------------- */

struct purge_round {
    struct ml_round base; /* first */
    struct ml_script_purging *purging;
};

static void push_purge(lua_State *L, struct ml_round *base)
{
    static const char *const fields[] = {"keys", "urls", "prefixes", "reason", "urgent", NULL};
    const struct ml_script_purge *purge = &((struct purge_round *)(void *)base)->purging->purge;

    lua_createtable(L, 0, 5);
    ml_round_texts(L, "keys", purge->keys, purge->key_count);
    ml_round_texts(L, "urls", purge->urls, purge->url_count);
    ml_round_texts(L, "prefixes", purge->prefixes, purge->prefix_count);
    ml_round_text(L, "reason", purge->reason);
    ml_round_bool(L, "urgent", purge->urgent);
    ml_round_seal(L, "p", fields);
}

static void decode_purge(lua_State *L, struct ml_round *base)
{
    struct ml_script_purging *purging = ((struct purge_round *)(void *)base)->purging;
    double after_ms = 0;

    if (ml_api_answer_kind(L, 1) != ML_ANSWER_RETRY)
        luaL_error(L, "must answer nil or ml.retry, not a %s", luaL_typename(L, 1));
    lua_getfield(L, 1, "why");
    if (lua_type(L, -1) == LUA_TSTRING)
        (void)snprintf(purging->why, sizeof purging->why, "%s", lua_tostring(L, -1));
    lua_getfield(L, 1, "after");
    if (lua_type(L, -1) == LUA_TNUMBER)
        after_ms = lua_tonumber(L, -1) * 1000;
    purging->is_done = false;
    if (after_ms > 0 && after_ms < 86400000.0 && (uint64_t)after_ms > purging->retry_ms)
        purging->retry_ms = (uint64_t)after_ms;
}

static void purge_failed(struct ml_round *base)
{
    struct ml_script_purging *purging = ((struct purge_round *)(void *)base)->purging;

    purging->is_done = false;
    (void)snprintf(purging->why, sizeof purging->why, "a plugin failed");
}

static void purge_done(struct ml_round *base)
{
    struct purge_round *round = (struct purge_round *)(void *)base;
    struct ml_script_purging *purging = round->purging;

    free(round);
    purging->done(purging);
}

void ml_script_purge_start(struct ml_script *script, struct ml_script_purging *purging)
{
    struct purge_round *round = calloc(1, sizeof *round);

    purging->is_done = round != NULL;
    purging->retry_ms = 0;
    purging->why[0] = '\0';
    if (!round) {
        purging->done(purging);
        return;
    }
    *round = (struct purge_round){
        .base = {.hook = HOOK_PURGE,
                 .push = push_purge,
                 .decode = decode_purge,
                 .failed = purge_failed,
                 .done = purge_done,
                 .soft_ms = PURGE_SOFT_MS,
                 .hard_ms = PURGE_HARD_MS},
        .purging = purging,
    };
    ml_round_start(script, &round->base);
}
