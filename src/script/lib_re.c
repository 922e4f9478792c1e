/* SPDX-License-Identifier: MIT */
/*
 * ml.re: regular expressions (regex.h has the dialect) as values of Lua. Positions are bytes,
 * 1-based, first and last, as in string.find; a group that took no part is false.
 *
 * A run works in memory of Lua and looks at the time limit every 4096 steps, so one that is stopped
 * loses nothing.
 *
 * Each function below is named after its Lua name and begins with its stack effect.
 */
#include "script/lib.h"

#include "script/regex.h"
#include "script/state.h"

#include "base/utf8.h"

#define SCRATCH_MAX (16u << 20)
#define SLOTS_MAX   (2 * (ML_REGEX_GROUPS_MAX + 1))

static const char regex_key, set_key, scratch_key; /* registry keys of the metatables */

static void set_meta(lua_State *L, const char *key)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
}

static bool has_meta(lua_State *L, int index, const char *key)
{
    bool has;

    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return false;
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    has = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return has;
}

static const struct ml_regex *check_regex(lua_State *L, const char *key)
{
    if (!has_meta(L, 1, key))
        luaL_error(L, "%s expected; call its methods with ':'",
                   key == &set_key ? "ml.re.set" : "ml.re.compile");
    return lua_touserdata(L, 1);
}

/* ---- Making them ------------------------------------------------------------------------------
 */

static int free_scratch(lua_State *L)
{
    ml_arena_release(lua_touserdata(L, 1));
    return 0;
}

/* Memory outside Lua that an error does not lose. Pushes its keeper. */
static struct ml_arena *push_scratch(lua_State *L)
{
    struct ml_arena *arena = lua_newuserdata(L, sizeof(*arena));

    ml_arena_init(arena, SCRATCH_MAX);
    set_meta(L, &scratch_key);
    return arena;
}

static int compile_all(lua_State *L, const struct ml_slice *patterns, size_t count,
                       struct ml_arena *scratch, const char *what)
{
    const struct ml_regex *re;
    struct ml_diag diag = {0};

    if (ml_regex_compile(patterns, count, scratch, &re, &diag))
        luaL_error(L, "%s: %s at byte %d", what, diag.text, (int)diag.offset + 1);
    memcpy(lua_newuserdata(L, ml_regex_bytes(re)), re, ml_regex_bytes(re));
    ml_arena_release(scratch);
    return 1;
}

/* compile(pattern) -> regex   [may raise] */
static int compile(lua_State *L)
{
    struct ml_slice pattern = ml_lib_data(L, 1, "ml.re.compile");

    compile_all(L, &pattern, 1, push_scratch(L), "ml.re.compile");
    set_meta(L, &regex_key);
    return 1;
}

/* set(list) -> set   [may raise] */
static int set(lua_State *L)
{
    struct ml_arena *scratch = push_scratch(L);
    struct ml_slice *patterns;
    size_t n;

    luaL_checktype(L, 1, LUA_TTABLE);
    n = lua_objlen(L, 1);
    if (n > ML_REGEX_SET_MAX)
        luaL_error(L, "ml.re.set: at most %d patterns", ML_REGEX_SET_MAX);
    patterns = ml_arena_array(scratch, n + 1, sizeof(*patterns));
    if (!patterns)
        luaL_error(L, "out of memory");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (int)i + 1);
        patterns[i] = ml_lib_data(L, -1, "ml.re.set");
        lua_pop(L, 1); /* the list keeps it */
    }
    compile_all(L, patterns, n, scratch, "ml.re.set");
    set_meta(L, &set_key);
    return 1;
}

/* compile_regex(pattern) -> nil | what is wrong with it; for lua/moonloom/schema.lua */
static int check_pattern(lua_State *L)
{
    struct ml_slice pattern = ml_lib_data(L, 1, "regex");
    struct ml_arena *scratch = push_scratch(L);
    const struct ml_regex *re;
    struct ml_diag diag = {0};
    enum ml_err err = ml_regex_compile(&pattern, 1, scratch, &re, &diag);

    ml_arena_release(scratch);
    if (!err)
        return 0;
    lua_pushfstring(L, "%s at byte %d", diag.text, (int)diag.offset + 1);
    return 1;
}

void ml_lib_push_regex_check(lua_State *L)
{
    lua_pushcfunction(L, check_pattern);
}

/* ---- Running them -----------------------------------------------------------------------------
 */

static void tick(void *arg)
{
    lua_State *L = arg;

    ml_budget_check(&ml_script_of(L)->budget, L);
}

/* Memory for one run or for several after each other; stays on the stack. */
static struct ml_regex_run push_run(lua_State *L, const struct ml_regex *re, unsigned slots)
{
    return (struct ml_regex_run){
        .memory = lua_newuserdata(L, ml_regex_memory(re, slots)), .tick = tick, .tick_arg = L};
}

/* re:test(s) -> boolean   [may raise] */
static int regex_test(lua_State *L)
{
    const struct ml_regex *re = check_regex(L, &regex_key);
    struct ml_slice text = ml_lib_data(L, 2, "test");
    struct ml_regex_run run = push_run(L, re, 0);

    lua_pushboolean(L, ml_regex_find(re, text, 0, &run, 0, NULL));
    return 1;
}

/* Group `i` of a match in `text`; 0: all of it. */
static void push_group(lua_State *L, struct ml_slice text, const size_t *slots, unsigned i)
{
    size_t from = slots[2 * i], to = slots[2 * i + 1];

    if (from == ML_REGEX_NONE || to == ML_REGEX_NONE)
        lua_pushboolean(L, 0);
    else
        lua_pushlstring(L, (const char *)text.ptr + from, to - from);
}

/* The groups, or the whole match if there are none. Answers how many. */
static int push_match(lua_State *L, const struct ml_regex *re, struct ml_slice text,
                      const size_t *slots)
{
    unsigned groups = ml_regex_groups(re);

    luaL_checkstack(L, (int)groups + 2, "groups");
    if (groups == 0)
        push_group(L, text, slots, 0);
    for (unsigned i = 1; i <= groups; i++)
        push_group(L, text, slots, i);
    return groups ? (int)groups : 1;
}

/* First match from the position in argument 3 on; false: none. */
static bool find_from(lua_State *L, const struct ml_regex *re, struct ml_slice text, size_t *slots)
{
    double from = luaL_optnumber(L, 3, 1);
    unsigned n = 2 * (ml_regex_groups(re) + 1);
    struct ml_regex_run run;

    if (!(from >= 1) || from > (double)text.len + 1)
        return false;
    run = push_run(L, re, n);
    return ml_regex_find(re, text, (size_t)from - 1, &run, n, slots);
}

/* re:find(s [, from]) -> first, last, groups… | nil   [may raise] */
static int regex_find(lua_State *L)
{
    const struct ml_regex *re = check_regex(L, &regex_key);
    struct ml_slice text = ml_lib_data(L, 2, "find");
    size_t slots[SLOTS_MAX];

    if (!find_from(L, re, text, slots)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushnumber(L, (double)slots[0] + 1);
    lua_pushnumber(L, (double)slots[1]);
    return ml_regex_groups(re) ? 2 + push_match(L, re, text, slots) : 2;
}

/* re:match(s [, from]) -> groups… | the match | nil   [may raise] */
static int regex_match(lua_State *L)
{
    const struct ml_regex *re = check_regex(L, &regex_key);
    struct ml_slice text = ml_lib_data(L, 2, "match");
    size_t slots[SLOTS_MAX];

    if (!find_from(L, re, text, slots)) {
        lua_pushnil(L);
        return 1;
    }
    return push_match(L, re, text, slots);
}

/* Where to look on after a match: behind it, and one character further if it was empty. */
static size_t after(struct ml_slice text, const size_t *slots)
{
    size_t at = slots[1];

    if (slots[0] != slots[1])
        return at;
    at++;
    while (at < text.len && (text.ptr[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* Step of re:each; upvalues: regex, text, bytes that are done */
static int next_match(lua_State *L)
{
    const struct ml_regex *re = lua_touserdata(L, lua_upvalueindex(1));
    struct ml_slice text = ml_lib_data(L, lua_upvalueindex(2), "each");
    size_t from = (size_t)lua_tonumber(L, lua_upvalueindex(3)), slots[SLOTS_MAX];
    unsigned n = 2 * (ml_regex_groups(re) + 1);
    struct ml_regex_run run;

    if (from > text.len)
        return 0;
    run = push_run(L, re, n);
    if (!ml_regex_find(re, text, from, &run, n, slots)) {
        lua_pushnumber(L, (double)text.len + 1);
        lua_replace(L, lua_upvalueindex(3));
        return 0;
    }
    lua_pushnumber(L, (double)after(text, slots));
    lua_replace(L, lua_upvalueindex(3));
    return push_match(L, re, text, slots);
}

/* re:each(s) -> iterator over what match answers   [may raise] */
static int regex_each(lua_State *L)
{
    (void)check_regex(L, &regex_key);
    (void)ml_lib_data(L, 2, "each");
    lua_settop(L, 2);
    lua_pushnumber(L, 0);
    lua_pushcclosure(L, next_match, 3);
    return 1;
}

/* ---- replace ----------------------------------------------------------------------------------
 */

struct replace {
    lua_State *L;
    const struct ml_regex *re;
    struct ml_slice text, by; /* by.ptr NULL: a function at 3 */
    size_t len, max;          /* of the result */
    luaL_Buffer out;
};

static void put(struct replace *r, const uint8_t *bytes, size_t len)
{
    r->len += len;
    if (r->len > r->max)
        luaL_error(r->L, "resulting string too large");
    luaL_addlstring(&r->out, (const char *)bytes, len);
}

/* $0 to $9 are the match and its groups, $$ is a dollar. */
static void put_template(struct replace *r, const size_t *slots)
{
    for (size_t i = 0; i < r->by.len; i++) {
        uint8_t c = r->by.ptr[i], next = i + 1 < r->by.len ? r->by.ptr[i + 1] : 0;
        unsigned group = (unsigned)next - '0';

        if (c != '$') {
            put(r, &r->by.ptr[i], 1);
            continue;
        }
        i++;
        if (next == '$') {
            put(r, &r->by.ptr[i], 1);
            continue;
        }
        if (next < '0' || next > '9' || group > ml_regex_groups(r->re))
            luaL_error(r->L, "replace: $0 to $%d are the match and its groups, $$ is a dollar",
                       (int)ml_regex_groups(r->re));
        if (slots[2 * group] != ML_REGEX_NONE && slots[2 * group + 1] != ML_REGEX_NONE)
            put(r, r->text.ptr + slots[2 * group], slots[2 * group + 1] - slots[2 * group]);
    }
}

/* What the function answers for this match; nil and false leave it as it was. */
static void put_called(struct replace *r, const size_t *slots)
{
    lua_State *L = r->L;
    size_t len;
    const char *text;
    int n;

    lua_pushvalue(L, 3);
    n = push_match(L, r->re, r->text, slots);
    lua_call(L, n, 1);
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        put(r, r->text.ptr + slots[0], slots[1] - slots[0]);
        return;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "replace: the function must answer text, not a %s", luaL_typename(L, -1));
    text = lua_tolstring(L, -1, &len);
    (void)text;
    r->len += len;
    if (r->len > r->max)
        luaL_error(L, "resulting string too large");
    luaL_addvalue(&r->out);
}

/* re:replace(s, by) -> text, how often; by: text with $0…$9, or a function   [may raise] */
static int regex_replace(lua_State *L)
{
    struct replace r = {.L = L, .re = check_regex(L, &regex_key)};
    unsigned n = 2 * (ml_regex_groups(r.re) + 1);
    size_t done = 0, from = 0, slots[SLOTS_MAX];
    struct ml_regex_run run;
    int count = 0;

    r.text = ml_lib_data(L, 2, "replace");
    r.max = ml_script_of(L)->memory_max;
    if (lua_type(L, 3) != LUA_TFUNCTION)
        r.by = ml_lib_data(L, 3, "replace");
    lua_settop(L, 3);
    run = push_run(L, r.re, n);
    luaL_buffinit(L, &r.out);
    while (from <= r.text.len && ml_regex_find(r.re, r.text, from, &run, n, slots)) {
        put(&r, r.text.ptr + done, slots[0] - done);
        if (r.by.ptr)
            put_template(&r, slots);
        else
            put_called(&r, slots);
        done = slots[1];
        from = after(r.text, slots);
        if (++count % 256 == 0)
            tick(L);
    }
    put(&r, r.text.ptr + done, r.text.len - done);
    luaL_pushresult(&r.out);
    lua_pushinteger(L, count);
    return 2;
}

/* ---- Sets -------------------------------------------------------------------------------------
 */

/* set:test(s) -> boolean   [may raise] */
static int set_test(lua_State *L)
{
    const struct ml_regex *re = check_regex(L, &set_key);
    struct ml_slice text = ml_lib_data(L, 2, "test");
    struct ml_regex_run run = push_run(L, re, 0);

    lua_pushboolean(L, ml_regex_which(re, text, &run, true, NULL));
    return 1;
}

/* set:which(s) -> list of the numbers of the patterns that match   [may raise] */
static int set_which(lua_State *L)
{
    const struct ml_regex *re = check_regex(L, &set_key);
    struct ml_slice text = ml_lib_data(L, 2, "which");
    struct ml_regex_run run = push_run(L, re, 0);
    bool hits[ML_REGEX_SET_MAX] = {false};
    int n = 0;

    (void)ml_regex_which(re, text, &run, false, hits);
    lua_newtable(L);
    for (unsigned i = 0; i < ml_regex_count(re); i++) {
        if (!hits[i])
            continue;
        lua_pushinteger(L, (lua_Integer)i + 1);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* ---- A new state ------------------------------------------------------------------------------
 */

static void open_meta(lua_State *L, const char *key, const luaL_Reg *methods, const char *name)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)key);
    lua_newtable(L);
    lua_newtable(L);
    for (; methods->name; methods++) {
        lua_pushcfunction(L, methods->func);
        lua_setfield(L, -2, methods->name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    if (key == &scratch_key) {
        lua_pushcfunction(L, free_scratch);
        lua_setfield(L, -2, "__gc");
    }
    lua_rawset(L, LUA_REGISTRYINDEX);
}

void ml_lib_open_re(lua_State *L)
{
    static const luaL_Reg of_regex[] = {{"test", regex_test},   {"find", regex_find},
                                        {"match", regex_match}, {"replace", regex_replace},
                                        {"each", regex_each},   {NULL, NULL}};
    static const luaL_Reg of_set[] = {{"test", set_test}, {"which", set_which}, {NULL, NULL}};
    static const luaL_Reg none[] = {{NULL, NULL}};

    open_meta(L, &regex_key, of_regex, "regex");
    open_meta(L, &set_key, of_set, "regex set");
    open_meta(L, &scratch_key, none, "scratch");
}

const luaL_Reg ml_lib_re[] = {{"compile", compile}, {"set", set}, {NULL, NULL}};
