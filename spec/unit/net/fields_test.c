/* SPDX-License-Identifier: MIT */
#include "net/base64.h"
#include "net/fields.h"

#include "engine/engine.h"
#include "support/test.h"

#include <stdio.h>

static struct ml_writer any;

static struct ml_slice encode(const char *json)
{
    const struct ml_engine_limits limits = {.any_depth = 64};

    ml_writer_release(&any);
    ml_writer_init(&any, 1u << 20);
    assert_int_equal(ml_any_from_json(ml_slice_str(json), &limits, &any), ML_OK);
    return ml_writer_slice(&any);
}

static void a_member_is_found_whatever_stands_before_it(void **state)
{
    static const char *const before[] = {
        "1",
        "-70000",
        "1.5",
        "0.1",
        "true",
        "null",
        "\"text\"",
        "[]",
        "{}",
        "[1,[2,{\"name\":\"wrong\"}],\"x\"]",
        "{\"a\":{\"b\":[{}]},\"name\":1}",
    };
    struct ml_slice value, text;
    char json[256];

    (void)state;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        (void)snprintf(json, sizeof json, "{\"first\":%s,\"name\":\"right\"}", before[i]);
        assert_true(ml_fields_get(encode(json), "name", &value));
        assert_true(ml_fields_text(value, &text));
        assert_true(ml_slice_equal(text, ML_SLICE("right")));
    }
}

static void what_is_not_there_is_not_found(void **state)
{
    struct ml_slice value;

    (void)state;
    assert_false(ml_fields_get(encode("{}"), "name", &value));
    assert_false(ml_fields_get(encode("[\"name\",1]"), "name", &value));
    assert_false(ml_fields_get(encode("\"name\""), "name", &value));
    assert_false(ml_fields_get(encode("{\"names\":1,\"nam\":2}"), "name", &value));
    assert_false(ml_fields_get(ml_slice_make(NULL, 0), "name", &value));
    assert_false(ml_fields_get(ML_SLICE("\x76\xff"), "name", &value));
    assert_false(ml_fields_get(ML_SLICE("\x76\x05\x01"
                                        "a"),
                               "name", &value));
}

static void kinds_are_told_apart(void **state)
{
    struct ml_slice text;

    (void)state;
    assert_true(ml_fields_is_object(encode("{}")));
    assert_false(ml_fields_is_object(encode("[]")));
    assert_true(ml_fields_is_list(encode("[]")));
    assert_false(ml_fields_text(encode("1"), &text));
    assert_true(ml_fields_text(encode("\"a\\u0000b\""), &text));
    assert_int_equal(text.len, 3);
}

static void a_member_that_nobody_knows_is_named(void **state)
{
    static const char *const known[] = {"name", "content", NULL};

    (void)state;
    assert_null(ml_fields_unknown(encode("{\"name\":1,\"content\":{\"x\":1}}"), known).ptr);
    assert_true(ml_slice_equal(ml_fields_unknown(encode("{\"name\":1,\"nane\":2}"), known),
                               ML_SLICE("nane")));
    assert_null(ml_fields_unknown(encode("{}"), known).ptr);
}

static void base64url_is_read_with_and_without_padding(void **state)
{
    static const struct {
        const char *text, *bytes;
        size_t len;
    } good[] = {{"", "", 0},
                {"AA", "\0", 1},
                {"AA==", "\0", 1},
                {"AAE", "\0\1", 2},
                {"AAE=", "\0\1", 2},
                {"AAEC", "\0\1\2", 3},
                {"_-8", "\xff\xef", 2},
                {"-_-_", "\xfb\xff\xbf", 3}};
    static const char *const bad[] = {"A", "AAAAA", "A+A", "A/A", "AA A", "AA\n", "\xff\xff"};
    struct ml_arena arena;
    struct ml_slice out;

    (void)state;
    ml_arena_init(&arena, 1u << 16);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(ml_base64url_decode(ml_slice_str(good[i].text), &arena, &out));
        assert_int_equal(out.len, good[i].len);
        assert_memory_equal(out.ptr, good[i].bytes, out.len);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ml_base64url_decode(ml_slice_str(bad[i]), &arena, &out));
    ml_arena_release(&arena);
}

static int release(void **state)
{
    (void)state;
    ml_writer_release(&any);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_found_whatever_stands_before_it),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(a_member_that_nobody_knows_is_named),
        cmocka_unit_test(base64url_is_read_with_and_without_padding),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
