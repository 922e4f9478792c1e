/* SPDX-License-Identifier: MIT */
/* Names of accounts, what becomes of a refresh token, and how often somebody may be wrong. */
#include "auth/auth.h"

#include "support/test.h"

#include <stdio.h>

#define NOW  1700000000000ll
#define DAY  86400000ll
#define H(c) ML_SLICE(c c c c c c c c c c c c c c c c)

static void test_names(void **state)
{
    static const char *const good[] = {"a", "ana", "ana.bell@example.com", "0x", "a+b-c_d"};
    static const char *const bad[] = {"", "Ana", "-a", ".a", "a b", "a/b", "\xc3\xa4", "a\n"};
    char longest[ML_USER_ID_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(ml_user_id_is_valid(ml_slice_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(ml_user_id_is_valid(ml_slice_str(bad[i])));
    memset(longest, 'a', sizeof longest);
    assert_true(ml_user_id_is_valid(ml_slice_make(longest, ML_USER_ID_MAX)));
    assert_false(ml_user_id_is_valid(ml_slice_make(longest, ML_USER_ID_MAX + 1)));
}

/* SEC-SS-02 */
static void test_refresh(void **state)
{
    struct ml_family f = {.head = H("aaaa"), .started_ms = NOW, .rotated_ms = NOW};

    (void)state;
    assert_int_equal(ml_family_judge(&f, H("aaaa"), NOW), ML_REFRESH_NEXT);
    assert_int_equal(ml_family_judge(&f, H("bbbb"), NOW), ML_REFRESH_REUSED);
    assert_int_equal(ml_family_judge(&f, ML_SLICE(""), NOW), ML_REFRESH_REUSED);
    f.before = H("bbbb");
    assert_int_equal(ml_family_judge(&f, H("bbbb"), NOW + 10000), ML_REFRESH_AGAIN);
    assert_int_equal(ml_family_judge(&f, H("bbbb"), NOW + 10001), ML_REFRESH_REUSED);
    assert_int_equal(ml_family_judge(&f, H("bbbb"), NOW - 10001), ML_REFRESH_REUSED);
    assert_int_equal(ml_family_judge(&f, H("cccc"), NOW), ML_REFRESH_REUSED);
    assert_int_equal(ml_family_judge(&f, H("aaaa"), NOW + 7 * DAY), ML_REFRESH_NEXT);
    assert_int_equal(ml_family_judge(&f, H("aaaa"), NOW + 7 * DAY + 1), ML_REFRESH_OVER);
    f.rotated_ms = NOW + 30 * DAY;
    assert_int_equal(ml_family_judge(&f, H("aaaa"), NOW + 30 * DAY), ML_REFRESH_NEXT);
    assert_int_equal(ml_family_judge(&f, H("aaaa"), NOW + 30 * DAY + 1), ML_REFRESH_OVER);
}

static void test_form(void **state)
{
    char text[ML_REFRESH_LEN + 2];
    struct ml_slice handle, secret;

    (void)state;
    memset(text, 'a', sizeof text);
    text[ML_FAMILY_LEN] = '.';
    assert_true(ml_refresh_read(ml_slice_make(text, ML_REFRESH_LEN), &handle, &secret));
    assert_int_equal(handle.len, ML_FAMILY_LEN);
    assert_int_equal(secret.len, 64);
    for (size_t i = 0; i < ML_REFRESH_LEN; i++) {
        char kept = text[i];

        text[i] = 'G';
        assert_false(ml_refresh_read(ml_slice_make(text, ML_REFRESH_LEN), &handle, &secret));
        assert_false(ml_refresh_read(ml_slice_make(text, i), &handle, &secret));
        text[i] = kept;
    }
    assert_false(ml_refresh_read(ml_slice_make(text, ML_REFRESH_LEN + 1), &handle, &secret));
}

/* SEC-SS-04 */
static void test_tries(void **state)
{
    struct ml_tries *tries = ml_tries_new();
    char name[16];

    (void)state;
    assert_non_null(tries);
    for (int i = 0; i < ML_TRIES_PER_ACCOUNT; i++)
        assert_int_equal(ml_tries_take(tries, ML_SLICE("ana"), ML_SLICE("1"), 1000000000), 0);
    assert_int_equal(ml_tries_take(tries, ML_SLICE("ana"), ML_SLICE("2"), 1000000000),
                     ML_TRIES_WINDOW_MS);
    assert_int_equal(
        ml_tries_take(tries, ML_SLICE("ana"), ML_SLICE("2"), 1000000000 + ML_TRIES_WINDOW_MS), 0);
    ml_tries_free(tries);

    tries = ml_tries_new();
    for (int i = 0; i < ML_TRIES_PER_ADDRESS; i++) {
        (void)snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(ml_tries_take(tries, ml_slice_str(name), ML_SLICE("1"), 1000000000), 0);
    }
    assert_true(ml_tries_take(tries, ML_SLICE("last"), ML_SLICE("1"), 1000000000) > 0);
    ml_tries_right(tries, ML_SLICE("user0"), ML_SLICE("1"));
    assert_int_equal(ml_tries_take(tries, ML_SLICE("last"), ML_SLICE("1"), 1000000000), 0);
    ml_tries_free(tries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_tries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
