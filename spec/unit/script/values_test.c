/* SPDX-License-Identifier: MIT */
/* Lua values as lib0's Any: known bytes, there and back, and what is refused. */
#include "world.h"

#include <string.h>

#include <lua.h>

#include <lauxlib.h>

#include "script/state.h"
#include "script/values.h"

/* Argument 1: Lua text that answers a value; its Any in hex. */
static void to_any(lua_State *L, const char *code, struct ml_writer *out)
{
    if (luaL_loadstring(L, code))
        lua_error(L);
    ml_sandbox_push_core(L);
    ml_bytes_push(L, ML_SLICE("a\0b"));
    lua_setfield(L, -2, "BYTES");
    ml_int64_push(L, INT64_MIN);
    lua_setfield(L, -2, "MIN");
    ml_json_null(L);
    lua_setfield(L, -2, "NULL");
    lua_newtable(L);
    ml_json_mark_list(L);
    lua_setfield(L, -2, "EMPTY");
    lua_setfenv(L, -2);
    lua_call(L, 0, 1);
    ml_writer_reset(out);
    ml_any_write(L, -1, out);
    lua_pop(L, 1);
}

static const struct {
    const char *code, *any;
    size_t len;
} pairs[] = {
#define ANY(code, any)                                                                             \
    {                                                                                              \
        code, any, sizeof(any) - 1                                                                 \
    }
    ANY("return NULL", "\x7e"),
    ANY("return true", "\x78"),
    ANY("return false", "\x79"),
    ANY("return 0", "\x7d\x00"),
    ANY("return -1", "\x7d\x41"),
    ANY("return 2147483647", "\x7d\xbf\xff\xff\xff\x0f"),
    ANY("return 0.5", "\x7c\x3f\x00\x00\x00"),
    ANY("return 2147483648", "\x7c\x4f\x00\x00\x00"),
    ANY("return 0.1", "\x7b\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
    ANY("return 1/0", "\x7c\x7f\x80\x00\x00"),
    ANY("return MIN", "\x7a\x80\x00\x00\x00\x00\x00\x00\x00"),
    ANY("return 'h\xc3\xa9'", "\x77\x03h\xc3\xa9"),
    ANY("return ''", "\x77\x00"),
    ANY("return BYTES", "\x74\x03"
                        "a\0b"),
    ANY("return { 1, NULL, 'x' }", "\x75\x03\x7d\x01\x7e\x77\x01x"),
    ANY("return EMPTY", "\x75\x00"),
    ANY("return {}", "\x76\x00"),
    ANY("return { k = { true } }", "\x76\x01\x01k\x75\x01\x78"),
};

static void known_bytes_both_ways(lua_State *L, void *arg)
{
    struct ml_writer out;

    (void)arg;
    ml_writer_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        struct ml_slice any = ml_slice_make(pairs[i].any, pairs[i].len);
        struct ml_reader in = ml_reader_make(any);

        to_any(L, pairs[i].code, &out);
        if (!ml_slice_equal(ml_writer_slice(&out), any))
            luaL_error(L, "%s: other bytes than expected", pairs[i].code);
        ml_any_push(L, &in);
        if (ml_reader_left(&in))
            luaL_error(L, "%s: bytes are left", pairs[i].code);
        ml_writer_reset(&out);
        ml_any_write(L, -1, &out);
        if (!ml_slice_equal(ml_writer_slice(&out), any))
            luaL_error(L, "%s: does not come back", pairs[i].code);
        lua_settop(L, 0);
    }
    ml_writer_release(&out);
}

static void undefined_is_nil_and_null_inside(lua_State *L, void *arg)
{
    struct ml_reader in = ml_reader_make(ML_SLICE("\x7f"));

    (void)arg;
    ml_any_push(L, &in);
    if (!lua_isnil(L, -1))
        luaL_error(L, "undefined is not nil");
    in = ml_reader_make(ML_SLICE("\x75\x01\x7f"));
    ml_any_push(L, &in);
    lua_rawgeti(L, -1, 1);
    if (!ml_lua_is_json_null(L, -1))
        luaL_error(L, "undefined in a list is not null");
}

static void run(void (*fn)(lua_State *L, void *arg), void *arg, const char *expected)
{
    struct world w;

    world_init(&w);
    world_start(&w);
    EXPECT(&w, w.err == ML_OK);
    if (ml_script_protect(w.script, 0, fn, arg, 10000000)) {
        if (!expected || !strstr(w.script->fault.text, expected)) {
            fprintf(stderr, "%s (expected: %s)\n", w.script->fault.text,
                    expected ? expected : "no error");
            fail();
        }
    } else if (expected) {
        fprintf(stderr, "no error; expected: %s\n", expected);
        fail();
    }
    world_release(&w);
}

static struct ml_writer refused_out; /* outlives the error */

static void write_it(lua_State *L, void *arg)
{
    to_any(L, arg, &refused_out);
}

static void read_it(lua_State *L, void *arg)
{
    struct ml_reader in = ml_reader_make(*(const struct ml_slice *)arg);

    ml_any_push(L, &in);
}

static void values_and_any_agree(void **state)
{
    (void)state;
    run(known_bytes_both_ways, NULL, NULL);
    run(undefined_is_nil_and_null_inside, NULL, NULL);
}

static void what_has_no_any_is_refused(void **state)
{
    static const struct {
        const char *code, *why;
    } cases[] = {
        {"return function() end", "a function cannot stand in a document"},
        {"return { 1, nil, 3, x = 1 }", "both a list and an object"},
        {"return { [1.5] = 1 }", "a key is a number"},
        {"return { [true] = 1 }", "a key is a boolean"},
        {"return '\xff'", "not UTF-8"},
        {"local t = {} t[1] = t return t", "nested too deeply"},
        {"local t = {} for i = 1, 200 do t = { t } end return t", "nested too deeply"},
    };

    (void)state;
    ml_writer_init(&refused_out, 1 << 20);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        run(write_it, (void *)(uintptr_t)cases[i].code, cases[i].why);
    ml_writer_release(&refused_out);
}

static void broken_any_is_refused(void **state)
{
    static const struct ml_slice broken[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\x00", 1},
        {(const uint8_t *)"\x80", 1},
        {(const uint8_t *)"\x7d", 1},
        {(const uint8_t *)"\x7b\x00\x00", 3},
        {(const uint8_t *)"\x77\x05"
                          "ab",
         4},
        {(const uint8_t *)"\x77\x01\xff", 3},
        {(const uint8_t *)"\x75\xff\xff\xff\xff\x0f", 6},
        {(const uint8_t *)"\x76\x02\x01k\x78", 5},
        {(const uint8_t *)"\x74\x09", 2},
    };
    uint8_t deep[200];
    struct ml_slice nested = {deep, sizeof(deep)};

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        run(read_it, (void *)(uintptr_t)&broken[i], "a value of a document is broken");
    for (size_t i = 0; i < sizeof(deep); i += 2) {
        deep[i] = 0x75;
        deep[i + 1] = 1;
    }
    run(read_it, &nested, "nested too deeply");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_any_agree),
        cmocka_unit_test(what_has_no_any_is_refused),
        cmocka_unit_test(broken_any_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
