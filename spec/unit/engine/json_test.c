/* SPDX-License-Identifier: MIT */
/* JSON text: lib0.json's json_to_any, what the grammar refuses, depth. */
#include "engine/any.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/vectors.h"

#define LIMIT (1u << 20)

static void text_becomes_the_any_that_lib0_writes(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *list = ml_vectors_get(file, "json_to_any"), *row;
    struct ml_writer got, want;

    (void)state;
    ml_writer_init(&got, LIMIT);
    ml_writer_init(&want, LIMIT);
    cJSON_ArrayForEach(row, list)
    {
        struct ml_slice text = ml_slice_str(ml_vectors_text(row, "json"));
        struct ml_slice bytes = ml_vectors_unhex(&want, ml_vectors_text(row, "any_hex"));

        ml_writer_reset(&got);
        assert_int_equal(ml_json_check(text, 64), ML_OK);
        assert_int_equal(ml_json_to_any(text, 64, &got), ML_OK);
        assert_true(ml_slice_equal(ml_writer_slice(&got), bytes));
    }
    ml_writer_release(&got);
    ml_writer_release(&want);
    cJSON_Delete(file);
}

static void broken_text_is_refused(void **state)
{
    static const char *const broken[] = {
        "",        " ",     "{",          "}",       "[1,]",      "[1 2]",       "{\"a\"}",
        "{\"a\":", "{a:1}", "{\"a\":1,}", "01",      "1.",        ".5",          "-",
        "+1",      "1e",    "1e+",        "tru",     "truex",     "nul",         "undefined",
        "NaN",     "'a'",   "\"a",        "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\t\"",
        "1 2",     "[]]",   "\"\\",       "\"\\u",   "[",         "{\"a\":1",    "--1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        if (ml_json_check(ml_slice_str(broken[i]), 64) != ML_EFORMAT)
            fail_msg("taken: %s", broken[i]);
    }
}

static void depth_is_counted(void **state)
{
    char text[2 * 300 + 1];

    (void)state;
    memset(text, '[', 300);
    memset(text + 300, ']', 300);
    assert_int_equal(ml_json_check(ml_slice_make(text + 300 - 64, 128), 64), ML_OK);
    assert_int_equal(ml_json_check(ml_slice_make(text + 300 - 65, 130), 64), ML_ELIMIT);
    assert_int_equal(ml_json_check(ml_slice_make(text, 600), UINT32_MAX), ML_ELIMIT);
    assert_int_equal(ml_json_check(ml_slice_str("1"), 0), ML_OK);
}

static void check_number(const char *text, double want)
{
    struct ml_writer got, expected;

    ml_writer_init(&got, LIMIT);
    ml_writer_init(&expected, LIMIT);
    assert_int_equal(ml_json_to_any(ml_slice_str(text), 64, &got), ML_OK);
    ml_write_any_number(&expected, want);
    if (!ml_slice_equal(ml_writer_slice(&got), ml_writer_slice(&expected)))
        fail_msg("%s is not %a", text, want);
    ml_writer_release(&got);
    ml_writer_release(&expected);
}

static void numbers_go_to_the_nearest_double(void **state)
{
    char middle[1200];

    (void)state;
    check_number("0.1", 0.1);
    check_number("-0.0", -0.0);
    check_number("0e999999999999999999999", 0);
    check_number("1e400", HUGE_VAL);
    check_number("-1E+400", -HUGE_VAL);
    check_number("1e-400", 0);
    check_number("100e-2", 1);
    check_number("0.000001e6", 1);
    check_number("1e999999999999999999999999", HUGE_VAL);
    check_number("2.2250738585072011e-308", 2.2250738585072011e-308);
    check_number("9007199254740993", 9007199254740992.0);
    /* In the middle of two doubles, and a hair above it a thousand digits later. */
    check_number("9007199254740993.0000000000000000000000000000001", 9007199254740994.0);
    (void)snprintf(middle, sizeof middle, "9007199254740993.%01000d1", 0);
    check_number(middle, 9007199254740994.0);
    (void)snprintf(middle, sizeof middle, "9007199254740993.%01000d", 0);
    check_number(middle, 9007199254740992.0);
    (void)snprintf(middle, sizeof middle, "0.%01000d1e1001", 0);
    check_number(middle, 1);
}

static void strings_are_written_with_the_escapes_of_stringify(void **state)
{
    static const uint8_t text[] = "\"\\/\b\f\n\r\t\x01\x1f\x7f\xe2\x80\xa8";
    struct ml_writer out;

    (void)state;
    ml_writer_init(&out, LIMIT);
    ml_write_json_string(&out, ml_slice_make(text, sizeof text)); /* the final NUL is text too */
    assert_true(ml_slice_equal(
        ml_writer_slice(&out),
        ML_SLICE("\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xe2\x80\xa8\\u0000\"")));
    ml_writer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_the_any_that_lib0_writes),
        cmocka_unit_test(broken_text_is_refused),
        cmocka_unit_test(depth_is_counted),
        cmocka_unit_test(numbers_go_to_the_nearest_double),
        cmocka_unit_test(strings_are_written_with_the_escapes_of_stringify),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
