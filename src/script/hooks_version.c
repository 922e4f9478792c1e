/* SPDX-License-Identifier: MIT */
/*
 * snapshot_due, snapshot_name, before_snapshot, after_snapshot, retain, compact (plugin-api 6.7).
 *
 * Nothing is deleted because somebody failed: a retention with one failure keeps all, a compaction
 * with one failure is not wanted.
 */
#include "script/round.h"

#include <stdlib.h>

#include "base/utf8.h"

#define NAME_MAX_BYTES   200
#define LABELS_MAX_BYTES 4096
#define SOFT_MS          5000
#define HARD_MS          60000

static const char *const snapshot_fields[] = {
    "id",  "doc_id", "name", "version", "seq",     "bytes",  "labels", "at", "pinned",
    "ops", "age",    "idle", "authors", "trigger", "author", "read",   NULL};

static void push_authors(lua_State *L, struct ml_slice authors)
{
    int n = 0;

    lua_newtable(L);
    ml_json_mark_list(L);
    for (size_t at = 0; at < authors.len; n++) {
        struct ml_slice one = ml_slice_str((const char *)authors.ptr + at);

        lua_pushlstring(L, (const char *)one.ptr, one.len);
        lua_rawseti(L, -2, n + 1);
        at += one.len + 1;
    }
    lua_setfield(L, -2, "authors");
}

static void push_snapshot(lua_State *L, const struct ml_script_snapshot *s)
{
    lua_createtable(L, 0, 12);
    ml_round_text(L, "doc_id", s->document);
    ml_round_text(L, "id", s->name);
    ml_round_text(L, "name", s->name);
    ml_round_number(L, "version", (double)s->version);
    ml_round_number(L, "seq", (double)s->seq);
    ml_round_number(L, "bytes", (double)s->bytes);
    ml_round_number(L, "at", (double)s->at_ms / 1000);
    ml_round_bool(L, "pinned", s->pinned);
    if (s->author.len)
        ml_round_text(L, "author", s->author);
    if (s->labels.len)
        ml_json_push(L, s->labels);
    else
        lua_newtable(L);
    lua_setfield(L, -2, "labels");
    if (s->trigger.ptr) {
        ml_round_text(L, "trigger", s->trigger);
        ml_round_number(L, "ops", (double)s->ops);
        ml_round_number(L, "age", (double)s->age_ms / 1000);
        ml_round_number(L, "idle", (double)s->idle_ms / 1000);
        push_authors(L, s->authors);
    }
    ml_round_seal(L, "s", snapshot_fields);
}

/* ---- due, name, before ----------------------------------------------------------------------- */

struct asking {
    struct ml_round base; /* first */
    const struct ml_script_snapshot *snapshot;
    struct ml_arena *scratch;
    struct ml_slice text; /* name, or labels so far */
    bool is_due, is_denied;
};

static struct asking *asking_of(struct ml_round *round)
{
    return (struct asking *)(void *)round;
}

static void push_asked(lua_State *L, struct ml_round *round)
{
    push_snapshot(L, asking_of(round)->snapshot);
}

static void decode_due(lua_State *L, struct ml_round *round)
{
    if (!lua_isboolean(L, 1))
        luaL_error(L, "must answer true, false or nil, not a %s", luaL_typename(L, 1));
    asking_of(round)->is_due = round->is_over = lua_toboolean(L, 1);
}

bool ml_script_snapshot_due(struct ml_script *script, const struct ml_script_snapshot *snapshot)
{
    struct asking asking = {
        .base = {.hook = HOOK_SNAPSHOT_DUE, .push = push_asked, .decode = decode_due},
        .snapshot = snapshot};

    ml_round_run(script, &asking.base);
    return asking.is_due;
}

static void decode_name(lua_State *L, struct ml_round *round)
{
    struct asking *asking = asking_of(round);
    size_t len = 0;
    const char *name = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &len) : "";
    bool has_other = false;

    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)name[i] < 0x20 || name[i] == 0x7f)
            len = 0;
        has_other = has_other || name[i] < '0' || name[i] > '9';
    }
    if (!len || len > NAME_MAX_BYTES || !has_other ||
        !ml_utf8_check(ml_slice_make(name, len), NULL))
        luaL_error(L, "must answer a text of 1 to %d bytes that is no number", NAME_MAX_BYTES);
    asking->text = ml_answer_keep(L, asking->scratch, 1);
    round->is_over = true;
}

struct ml_slice ml_script_snapshot_name(struct ml_script *script,
                                        const struct ml_script_snapshot *snapshot,
                                        struct ml_arena *scratch)
{
    struct asking asking = {
        .base = {.hook = HOOK_SNAPSHOT_NAME, .push = push_asked, .decode = decode_name},
        .snapshot = snapshot,
        .scratch = scratch};

    ml_round_run(script, &asking.base);
    return asking.text;
}

/* The labels so far and these, as one JSON object. */
static void decode_labels(lua_State *L, struct ml_round *round)
{
    struct asking *asking = asking_of(round);
    size_t len;

    if (ml_api_answer_kind(L, 1) == ML_ANSWER_DENY) {
        asking->is_denied = round->is_over = true;
        return;
    }
    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer labels, ml.deny or nil, not a %s", luaL_typename(L, 1));
    if (asking->text.len)
        ml_json_push(L, asking->text);
    else
        lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, 1);) {
        if (lua_type(L, -2) != LUA_TSTRING ||
            (!lua_isboolean(L, -1) && lua_type(L, -1) != LUA_TNUMBER &&
             lua_type(L, -1) != LUA_TSTRING))
            luaL_error(L, "labels are texts, numbers, true or false by name");
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* key key value */
        lua_settable(L, -4);
    }
    ml_json_text(L, -1);
    (void)lua_tolstring(L, -1, &len);
    if (len > LABELS_MAX_BYTES)
        luaL_error(L, "labels: %d bytes at most", LABELS_MAX_BYTES);
    if (len > 2)
        asking->text = ml_answer_keep(L, asking->scratch, lua_gettop(L));
}

bool ml_script_before_snapshot(struct ml_script *script, const struct ml_script_snapshot *snapshot,
                               struct ml_arena *scratch, struct ml_slice *labels_out)
{
    struct asking asking = {
        .base = {.hook = HOOK_BEFORE_SNAPSHOT, .push = push_asked, .decode = decode_labels},
        .snapshot = snapshot,
        .scratch = scratch};

    ml_round_run(script, &asking.base);
    *labels_out = asking.text;
    return !asking.is_denied;
}

/* ---- after ----------------------------------------------------------------------------------- */

struct telling {
    struct ml_round base; /* first */
    struct ml_arena arena;
    struct ml_script_snapshot snapshot;
};

static void push_told(lua_State *L, struct ml_round *round)
{
    push_snapshot(L, &((struct telling *)(void *)round)->snapshot);
}

static void ignore(lua_State *L, struct ml_round *round)
{
    (void)L;
    (void)round;
}

static void told(struct ml_round *round)
{
    struct telling *telling = (struct telling *)(void *)round;

    ml_arena_release(&telling->arena);
    free(telling);
}

void ml_script_after_snapshot(struct ml_script *script, const struct ml_script_snapshot *snapshot)
{
    struct telling *telling;

    if (!(ml_script_hooks(script) & ML_HOOK_AFTER_SNAPSHOT))
        return;
    telling = calloc(1, sizeof *telling);
    if (!telling)
        return;
    ml_arena_init(&telling->arena, 65536);
    telling->snapshot = *snapshot;
    telling->snapshot.document = ml_arena_copy(&telling->arena, snapshot->document);
    telling->snapshot.name = ml_arena_copy(&telling->arena, snapshot->name);
    telling->snapshot.labels = ml_arena_copy(&telling->arena, snapshot->labels);
    telling->snapshot.author = ml_arena_copy(&telling->arena, snapshot->author);
    telling->snapshot.trigger = ml_slice_make(NULL, 0);
    telling->base = (struct ml_round){.hook = HOOK_AFTER_SNAPSHOT,
                                      .push = push_told,
                                      .decode = ignore,
                                      .done = told,
                                      .soft_ms = SOFT_MS,
                                      .hard_ms = HARD_MS};
    ml_round_start(script, &telling->base);
}

/* ---- retain ---------------------------------------------------------------------------------- */

struct retaining {
    struct ml_round base; /* first */
    struct ml_script_retention *retention;
    bool any, failed;
};

static void push_retention(lua_State *L, struct ml_round *round)
{
    static const char *const fields[] = {"doc_id", "snapshots", "held", NULL};
    const struct ml_script_retention *r = ((struct retaining *)(void *)round)->retention;

    lua_createtable(L, 0, 3);
    ml_round_text(L, "doc_id", r->document);
    ml_round_bool(L, "held", false);
    lua_createtable(L, (int)r->count, 0);
    for (size_t i = 0; i < r->count; i++) {
        push_snapshot(L, &r->snapshots[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_setfield(L, -2, "snapshots");
    ml_round_seal(L, "r", fields);
}

static void keep_named(struct ml_script_retention *r, struct ml_slice name)
{
    for (size_t i = 0; i < r->count; i++)
        if (ml_slice_equal(r->snapshots[i].name, name))
            r->keep[i] = true;
}

static void decode_retention(lua_State *L, struct ml_round *round)
{
    struct retaining *retaining = (struct retaining *)(void *)round;
    size_t n;

    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer a list of names or nil, not a %s", luaL_typename(L, 1));
    n = lua_objlen(L, 1);
    for (size_t i = 1; i <= n; i++) {
        size_t len;
        const char *name;

        lua_rawgeti(L, 1, (int)i);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "must answer a list of names");
        name = lua_tolstring(L, -1, &len);
        keep_named(retaining->retention, ml_slice_make(name, len));
        lua_pop(L, 1);
    }
    retaining->any = true;
}

static void retention_failed(struct ml_round *round)
{
    ((struct retaining *)(void *)round)->failed = true;
}

static void retained(struct ml_round *round)
{
    struct retaining *retaining = (struct retaining *)(void *)round;
    struct ml_script_retention *retention = retaining->retention;

    retention->all = !retaining->any || retaining->failed;
    free(retaining);
    retention->done(retention);
}

void ml_script_retain_start(struct ml_script *script, struct ml_script_retention *retention)
{
    struct retaining *retaining = calloc(1, sizeof *retaining);

    if (!retaining) {
        retention->all = true;
        retention->done(retention);
        return;
    }
    *retaining = (struct retaining){.base = {.hook = HOOK_RETAIN,
                                             .push = push_retention,
                                             .decode = decode_retention,
                                             .failed = retention_failed,
                                             .done = retained,
                                             .soft_ms = SOFT_MS,
                                             .hard_ms = HARD_MS},
                                    .retention = retention};
    ml_round_start(script, &retaining->base);
}

/* ---- compact --------------------------------------------------------------------------------- */

struct compacting {
    struct ml_round base; /* first */
    struct ml_script_compaction *c;
    bool is_vetoed;
};

static void push_compaction(lua_State *L, struct ml_round *round)
{
    static const char *const fields[] = {"doc_id",   "journal_bytes",  "journal_rows",
                                         "safe_seq", "history_wanted", NULL};
    const struct ml_script_compaction *c = ((struct compacting *)(void *)round)->c;

    lua_createtable(L, 0, 5);
    ml_round_text(L, "doc_id", c->document);
    ml_round_number(L, "journal_bytes", (double)c->journal_bytes);
    ml_round_number(L, "journal_rows", (double)c->journal_rows);
    ml_round_number(L, "safe_seq", (double)c->safe_seq);
    ml_round_bool(L, "history_wanted", c->history_wanted);
    ml_round_seal(L, "c", fields);
}

static void decode_compaction(lua_State *L, struct ml_round *round)
{
    struct compacting *compacting = (struct compacting *)(void *)round;
    struct ml_script_compaction *c = compacting->c;
    uint64_t upto = c->safe_seq;
    int64_t keep_ms = 0;

    if (lua_isboolean(L, 1) && !lua_toboolean(L, 1)) {
        compacting->is_vetoed = true;
        return;
    }
    if (!lua_istable(L, 1) || ml_api_answer_kind(L, 1) != ML_ANSWER_OTHER)
        luaL_error(L, "must answer { upto, keep_history }, false or nil, not a %s",
                   luaL_typename(L, 1));
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";

        if (strcmp(key, "upto") == 0) {
            if (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) < 0)
                luaL_error(L, "upto must be a seq");
            if (lua_tonumber(L, -1) < (double)upto)
                upto = (uint64_t)lua_tonumber(L, -1);
        } else if (strcmp(key, "keep_history") == 0) {
            keep_ms = (int64_t)ml_answer_duration_ms(L, lua_gettop(L), key);
        } else if (strcmp(key, "gc") != 0) { /* the engine always collects */
            luaL_error(L, "unknown field '%s'", key);
        }
    }
    c->upto = c->wanted && c->upto < upto ? c->upto : upto;
    c->keep_history_ms = c->keep_history_ms > keep_ms ? c->keep_history_ms : keep_ms;
    c->wanted = true;
}

static void compaction_failed(struct ml_round *round)
{
    ((struct compacting *)(void *)round)->is_vetoed = true;
}

void ml_script_compact(struct ml_script *script, struct ml_script_compaction *c)
{
    struct compacting compacting = {.base = {.hook = HOOK_COMPACT,
                                             .push = push_compaction,
                                             .decode = decode_compaction,
                                             .failed = compaction_failed},
                                    .c = c};

    c->wanted = false;
    c->upto = 0;
    c->keep_history_ms = 0;
    ml_round_run(script, &compacting.base);
    c->wanted = c->wanted && !compacting.is_vetoed;
}
