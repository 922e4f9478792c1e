/* SPDX-License-Identifier: MIT */
/*
 *   loop A   cache.set ──┐                         ┌── cache.get   loop B
 *            limiter.take├──> one table, one lock ──┤
 *            publish ────┘   (key: org, NUL, instance, NUL, kind, key)
 *                             one ring of messages ──> each state reads on from where it was (tick)
 *
 *  [M1] An entry that has expired is absent. A sweep removes a few at each write.
 *  [M2] Over the ceiling of the node or of one owner the oldest writes go first: a cache forgets.
 */
#include "script/wait.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/hashmap.h"

#define MAX_BYTES   (64u << 20)
#define VALUE_MAX   (1u << 20)
#define KEY_MAX     512
#define OWNER_SHARE 8
#define SWEEP       4

struct entry {
    struct ml_list node;        /* oldest write first */
    struct ml_slice key, owner; /* in `text` */
    uint64_t expires_ms;        /* 0: never */
    double tokens;              /* of a rate */
    uint64_t tokens_at_ms;
    size_t len;
    uint8_t text[]; /* key, value */
};

struct ml_shared_store {
    pthread_mutex_t mutex;
    struct ml_hashmap entries;
    struct ml_list all;
    size_t bytes, max_bytes;
    struct ml_board *board;
};

struct ml_shared_store *ml_shared_store_new(size_t max_bytes)
{
    struct ml_shared_store *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->board = ml_board_new();
    if (!s->board || pthread_mutex_init(&s->mutex, NULL)) {
        ml_board_free(s->board);
        free(s);
        return NULL;
    }
    ml_hashmap_init(&s->entries);
    ml_list_init(&s->all);
    s->max_bytes = max_bytes ? max_bytes : MAX_BYTES;
    return s;
}

struct ml_board *ml_shared_board(struct ml_shared_store *shared)
{
    return shared->board;
}

static void remove_entry(struct ml_shared_store *s, struct entry *entry)
{
    (void)ml_hashmap_remove(&s->entries, entry->key);
    ml_list_remove(&entry->node);
    s->bytes -= sizeof(*entry) + entry->key.len + entry->len;
    free(entry);
}

void ml_shared_store_free(struct ml_shared_store *s)
{
    if (!s)
        return;
    while (!ml_list_is_empty(&s->all))
        remove_entry(s, ML_CONTAINER(s->all.next, struct entry, node));
    ml_board_free(s->board);
    ml_hashmap_release(&s->entries);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* ---- Entries; all under the lock --------------------------------------------------------------
 */

static struct entry *find(struct ml_shared_store *s, struct ml_slice key, uint64_t now_ms)
{
    struct entry *entry = ml_hashmap_get(&s->entries, key);

    if (entry && entry->expires_ms && entry->expires_ms <= now_ms) {
        remove_entry(s, entry);
        return NULL;
    }
    return entry;
}

static size_t bytes_of(const struct ml_shared_store *s, struct ml_slice owner)
{
    size_t bytes = 0;

    ML_LIST_EACH(node, &s->all)
    {
        const struct entry *entry = ML_CONTAINER(node, struct entry, node);

        if (ml_slice_equal(entry->owner, owner))
            bytes += sizeof(*entry) + entry->key.len + entry->len;
    }
    return bytes;
}

/* The oldest go until `bytes` more fit. The owner's own first, if it is the one with too much. */
static void make_room(struct ml_shared_store *s, struct ml_slice owner, size_t bytes,
                      uint64_t now_ms)
{
    unsigned left = SWEEP;
    bool own = s->bytes > s->max_bytes / OWNER_SHARE &&
               bytes_of(s, owner) + bytes > s->max_bytes / OWNER_SHARE;

    ML_LIST_EACH(node, &s->all)
    {
        struct entry *entry = ML_CONTAINER(node, struct entry, node);
        bool is_over = s->bytes + bytes > s->max_bytes;

        if (!left && !is_over && !own)
            return;
        left -= left > 0;
        if ((entry->expires_ms && entry->expires_ms <= now_ms) || is_over ||
            (own && ml_slice_equal(entry->owner, owner)))
            remove_entry(s, entry);
        if (own && !left)
            own = bytes_of(s, owner) + bytes > s->max_bytes / OWNER_SHARE;
    }
}

static bool put(struct ml_shared_store *s, struct ml_slice key, size_t owner_len,
                struct ml_slice value, uint64_t expires_ms, uint64_t now_ms)
{
    struct entry *entry = malloc(sizeof(*entry) + key.len + value.len + 1);
    struct entry *old = ml_hashmap_get(&s->entries, key);

    if (!entry)
        return false;
    if (old)
        remove_entry(s, old);
    *entry = (struct entry){.expires_ms = expires_ms, .len = value.len};
    memcpy(entry->text, key.ptr, key.len);
    if (value.len)
        memcpy(entry->text + key.len, value.ptr, value.len);
    entry->key = ml_slice_make(entry->text, key.len);
    entry->owner = ml_slice_make(entry->text, owner_len);
    make_room(s, entry->owner, sizeof(*entry) + key.len + value.len, now_ms);
    if (!ml_hashmap_put(&s->entries, entry->key, entry)) {
        free(entry);
        return false;
    }
    ml_list_append(&s->all, &entry->node);
    s->bytes += sizeof(*entry) + key.len + value.len;
    return true;
}

/* ---- From Lua: cache, rates -------------------------------------------------------------------
 */

struct place {
    struct ml_shared_store *shared;
    struct ml_slice key;
    size_t owner_len;
    uint64_t now_ms;
    uint8_t text[256 + ML_INSTANCE_NAME_MAX + KEY_MAX + 8];
};

static struct ml_plugin *plugin_of(lua_State *L)
{
    return &ml_script_of(L)->plugins[lua_tointeger(L, lua_upvalueindex(1))];
}

/* The key at `arg`, of this plugin; kind 'c': cache, 'r': rate. */
static void find_place(lua_State *L, int arg, char kind, struct place *place)
{
    struct ml_script *script = ml_script_of(L);
    const struct ml_plugin *plugin = plugin_of(L);
    size_t len, at = 0, name = strlen(plugin->name);
    const char *key = luaL_checklstring(L, arg, &len);

    if (len == 0 || len > KEY_MAX)
        luaL_error(L, "a key is text of 1 to %d bytes", KEY_MAX);
    if (!script->shared)
        luaL_error(L, "there is no memory that is shared here");
    if (script->org.len && script->org.len <= 255) {
        memcpy(place->text, script->org.ptr, script->org.len);
        at = script->org.len;
    }
    place->text[at++] = 0;
    memcpy(place->text + at, plugin->name, name);
    at += name;
    place->owner_len = at;
    place->text[at++] = 0;
    place->text[at++] = (uint8_t)kind;
    memcpy(place->text + at, key, len);
    place->key = ml_slice_make(place->text, at + len);
    place->shared = script->shared;
    place->now_ms = script->mono_ms();
    pthread_mutex_lock(&place->shared->mutex);
}

static void leave(const struct place *place)
{
    pthread_mutex_unlock(&place->shared->mutex);
}

static uint64_t expiry(lua_State *L, int arg, uint64_t now_ms)
{
    double ms = luaL_optnumber(L, arg, 0);

    return ms > 0 ? now_ms + (uint64_t)ceil(ms) : 0;
}

/* cache_get(key) -> text | nil   [may raise] */
static int cache_get(lua_State *L)
{
    struct place place;
    struct entry *entry;
    uint8_t *copy = NULL;
    size_t len = 0;

    find_place(L, 1, 'c', &place);
    entry = find(place.shared, place.key, place.now_ms);
    if (entry) { /* Lua may raise while it takes the text: not with the lock */
        len = entry->len;
        copy = malloc(len + 1);
        if (copy)
            memcpy(copy, entry->text + entry->key.len, len);
    }
    leave(&place);
    if (!copy)
        return 0;
    if (!lua_checkstack(L, 2) || len > ml_script_of(L)->memory_max) {
        free(copy);
        return 0;
    }
    {
        uint8_t *own = lua_newuserdata(L, len + 1); /* freed by Lua if the next line raises */

        memcpy(own, copy, len);
        free(copy);
        lua_pushlstring(L, (const char *)own, len);
    }
    return 1;
}

/* cache_put(key, text, ttl_ms, only_absent) -> was it put?   [may raise] */
static int cache_put(lua_State *L)
{
    struct place place;
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    uint64_t ttl;
    bool fine;

    if (len > VALUE_MAX)
        luaL_error(L, "the value has more than %d bytes", (int)VALUE_MAX);
    ttl = expiry(L, 3, ml_script_of(L)->mono_ms());
    find_place(L, 1, 'c', &place);
    fine = !lua_toboolean(L, 4) || !find(place.shared, place.key, place.now_ms);
    fine = fine && put(place.shared, place.key, place.owner_len, ml_slice_make(text, len), ttl,
                       place.now_ms);
    leave(&place);
    lua_pushboolean(L, fine);
    return 1;
}

/* cache_incr(key, n, ttl_ms) -> sum | nil: what is there is no number   [may raise] */
static int cache_incr(lua_State *L)
{
    struct place place;
    double n = luaL_checknumber(L, 2);
    uint64_t ttl = expiry(L, 3, ml_script_of(L)->mono_ms());
    struct entry *entry;
    char text[64], *end = text;
    double sum = 0;

    find_place(L, 1, 'c', &place);
    entry = find(place.shared, place.key, place.now_ms);
    if (entry && entry->len < sizeof(text)) {
        memcpy(text, entry->text + entry->key.len, entry->len);
        text[entry->len] = '\0';
        sum = strtod(text, &end);
        ttl = ttl ? ttl : entry->expires_ms;
    }
    if (entry && (end == text || *end)) {
        leave(&place);
        return 0;
    }
    sum += n;
    snprintf(text, sizeof(text), "%.17g", sum);
    (void)put(place.shared, place.key, place.owner_len, ml_slice_str(text), ttl, place.now_ms);
    leave(&place);
    lua_pushnumber(L, sum);
    return 1;
}

/* cache_delete(key)   [may raise] */
static int cache_delete(lua_State *L)
{
    struct place place;
    struct entry *entry;

    find_place(L, 1, 'c', &place);
    entry = ml_hashmap_get(&place.shared->entries, place.key);
    if (entry)
        remove_entry(place.shared, entry);
    leave(&place);
    return 0;
}

/* take(key, per_ms, burst, n) -> true | false, milliseconds to wait   [may raise] */
static int take(lua_State *L)
{
    struct place place;
    double per_ms = luaL_checknumber(L, 2), burst = luaL_checknumber(L, 3);
    double n = luaL_checknumber(L, 4), tokens = burst, wait_ms = 0;
    struct entry *entry;

    if (!(per_ms > 0) || !(burst >= 1) || !(n >= 0))
        luaL_error(L, "a rate and a number of tokens are needed");
    find_place(L, 1, 'r', &place);
    entry = find(place.shared, place.key, place.now_ms);
    if (!entry && put(place.shared, place.key, place.owner_len, ml_slice_make(NULL, 0),
                      place.now_ms + (uint64_t)ceil(burst / per_ms) + 1000, place.now_ms)) {
        entry = ml_hashmap_get(&place.shared->entries, place.key);
        entry->tokens = burst;
        entry->tokens_at_ms = place.now_ms;
    }
    if (entry) {
        tokens = entry->tokens + (double)(place.now_ms - entry->tokens_at_ms) * per_ms;
        tokens = tokens > burst ? burst : tokens;
        if (tokens >= n)
            tokens -= n;
        else
            wait_ms = (n - tokens) / per_ms;
        entry->tokens = tokens;
        entry->tokens_at_ms = place.now_ms;
        entry->expires_ms = place.now_ms + (uint64_t)ceil(burst / per_ms) + 1000;
    }
    leave(&place);
    lua_pushboolean(L, wait_ms <= 0);
    lua_pushnumber(L, wait_ms);
    return 2;
}

/* ---- Setting up -------------------------------------------------------------------------------
 */

void ml_shared_natives(lua_State *L, struct ml_plugin *plugin)
{
    static const luaL_Reg functions[] = {
        {"cache_get", cache_get},       {"cache_put", cache_put}, {"cache_incr", cache_incr},
        {"cache_delete", cache_delete}, {"take", take},           {NULL, NULL},
    };

    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushinteger(L, (lua_Integer)plugin->index);
        lua_pushcclosure(L, f->func, 1);
        lua_setfield(L, -2, f->name);
    }
}
