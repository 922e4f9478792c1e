/* SPDX-License-Identifier: MIT */
/* Digits of doubles: lib0.json's number_to_json, and the one property that defines them. */
#include "engine/any.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/vectors.h"

static void text_of(double value, char *text, size_t size)
{
    struct ml_writer out;

    ml_writer_init(&out, size - 1);
    ml_write_js_number(&out, value);
    assert_int_equal(out.err, ML_OK);
    memcpy(text, out.ptr, out.len);
    text[out.len] = 0;
    ml_writer_release(&out);
}

static void numbers_print_as_javascript_prints_them(void **state)
{
    cJSON *file = ml_vectors_load("lib0");
    const cJSON *list = ml_vectors_get(file, "number_to_json"), *row;
    int checked = 0;

    (void)state;
    cJSON_ArrayForEach(row, list)
    {
        uint64_t bits = strtoull(ml_vectors_text(row, "f64be"), NULL, 16);
        const char *want = ml_vectors_text(row, "json");
        char text[64];
        double value;

        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue; /* JSON's null is not a number's text: any_test */
        text_of(value, text, sizeof text);
        assert_string_equal(text, want);
        checked++;
    }
    assert_true(checked > 200);
    cJSON_Delete(file);
}

static void what_is_no_number_has_a_name(void **state)
{
    char text[64];

    (void)state;
    text_of(NAN, text, sizeof text);
    assert_string_equal(text, "NaN");
    text_of(INFINITY, text, sizeof text);
    assert_string_equal(text, "Infinity");
    text_of(-INFINITY, text, sizeof text);
    assert_string_equal(text, "-Infinity");
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Digits that read back, and no text with one digit less that does. */
static void check_shortest(double value)
{
    char text[64], shorter[64];
    int digits = 0;

    text_of(value, text, sizeof text);
    if (strtod(text, NULL) != value)
        fail_msg("%a printed as %s", value, text);
    for (const char *p = text; *p && *p != 'e'; p++)
        digits += *p >= '0' && *p <= '9';
    if (!strchr(text, 'e') || digits < 2)
        return; /* the plain layout pads with zeros: its digits cannot be counted */
    (void)snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value);
    if (strtod(shorter, NULL) == value)
        fail_msg("%s: %s is shorter", text, shorter);
}

static void digits_read_back_and_are_shortest(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15ull;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next_random(&seed);
        double value;

        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            check_shortest(value);
    }
    /* Powers of two and their neighbours: where printf's digits are not the shortest. */
    for (int exponent = -1074; exponent < 1024; exponent++) {
        double value = ldexp(1, exponent);

        check_shortest(value);
        check_shortest(nextafter(value, 0));
        check_shortest(nextafter(value, INFINITY));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_print_as_javascript_prints_them),
        cmocka_unit_test(what_is_no_number_has_a_name),
        cmocka_unit_test(digits_read_back_and_are_shortest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
