/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include "support/test.h"

static void well_formed_text_is_counted_in_utf16_units(void **state)
{
    size_t units;

    (void)state;
    assert_true(ml_utf8_check(ML_SLICE(""), &units));
    assert_int_equal(units, 0);
    assert_true(
        ml_utf8_check(ML_SLICE("0123456789 plain ascii that is longer than a word"), &units));
    assert_int_equal(units, 49);
    assert_true(ml_utf8_check(ML_SLICE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), &units));
    assert_int_equal(units, 4);
    assert_true(ml_utf8_check(ML_SLICE("\0\xef\xbb\xbf\xf4\x8f\xbf\xbf"), &units));
    assert_int_equal(units, 4);
}

static void broken_text_is_refused(void **state)
{
    static const struct ml_slice bad[] = {
        {(const uint8_t *)"\x80", 1},             /* a tail alone */
        {(const uint8_t *)"\xc0\x80", 2},         /* overlong NUL */
        {(const uint8_t *)"\xc1\xbf", 2},         /* overlong */
        {(const uint8_t *)"\xe0\x9f\xbf", 3},     /* overlong */
        {(const uint8_t *)"\xed\xa0\x80", 3},     /* a surrogate */
        {(const uint8_t *)"\xed\xbf\xbf", 3},     /* a surrogate */
        {(const uint8_t *)"\xf0\x8f\xbf\xbf", 4}, /* overlong */
        {(const uint8_t *)"\xf4\x90\x80\x80", 4}, /* above U+10FFFF */
        {(const uint8_t *)"\xf5\x80\x80\x80", 4},
        {(const uint8_t *)"\xff", 1},
        {(const uint8_t *)"abc\xe2\x82", 5}, /* cut off */
        {(const uint8_t *)"\xf0\x9f\x98", 3},
        {(const uint8_t *)"\xc3(", 2},
        {(const uint8_t *)"12345678\xc3", 9},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ml_utf8_check(bad[i], NULL));
}

static void every_code_point_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint8_t bytes[4];
        uint32_t back;
        size_t n, units;

        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        n = ml_utf8_put(c, bytes);
        assert_int_equal(ml_utf8_get(bytes, &back), n);
        assert_int_equal(back, c);
        assert_true(ml_utf8_check(ml_slice_make(bytes, n), &units));
        assert_int_equal(units, c >= 0x10000 ? 2 : 1);
    }
}

static void offsets_count_units_and_know_pairs(void **state)
{
    struct ml_slice text = ML_SLICE("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"); /* a é € 😀 z */
    static const struct {
        size_t units, offset;
        bool inside;
    } rows[] = {{0, 0, false}, {1, 1, false},  {2, 3, false},  {3, 6, false},
                {4, 6, true},  {5, 10, false}, {6, 11, false}, {99, 11, false}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool inside;

        assert_int_equal(ml_utf8_offset(text, rows[i].units, &inside), rows[i].offset);
        assert_int_equal(inside, rows[i].inside);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_text_is_counted_in_utf16_units),
        cmocka_unit_test(broken_text_is_refused),
        cmocka_unit_test(every_code_point_goes_there_and_back),
        cmocka_unit_test(offsets_count_units_and_know_pairs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
