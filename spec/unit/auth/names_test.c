/* SPDX-License-Identifier: MIT */
/* Which addresses exist, and what an identity keeps (SEC-TN-01). */
#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void orgs(void **state)
{
    static const char *const good[] = {
        "default",
        "a",
        "0",
        "a-b",
        "a--",
        "9lives",
        "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz"};
    static const char *const bad[] = {
        "",
        "-a",
        "A",
        "Default",
        "a_b",
        "a b",
        "a.b",
        "a/b",
        "a%20",
        "ä",
        "a\n",
        "..",
        ".",
        "a:b",
        "a@b",
        "a\\b",
        "a'b",
        "a\"b",
        "a;b",
        "a*",
        "org\t",
        "a,b",
        "a+b",
        "a=b",
        "a?",
        "a#",
        "a|b",
        "a{",
        "a}",
        "~a",
        "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyzz"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(ml_org_is_valid(ml_slice_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ml_org_is_valid(ml_slice_str(bad[i])))
            fail_msg("taken: %s", bad[i]);
    assert_false(ml_org_is_valid(ml_slice_make("a\0b", 3)));
}

static void names(void **state)
{
    static const char *const good[] = {"a",
                                       "notes",
                                       "a/b/c",
                                       "/",
                                       "a b",
                                       "100%",
                                       "%2e%2e",
                                       "...",
                                       "../x",
                                       "a/../b",
                                       "a\\b",
                                       "a:b",
                                       "a'b",
                                       "a\"b",
                                       "a;b",
                                       "a--b",
                                       "<script>",
                                       "\xc3\xbc",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x8c\x99",
                                       "caf\xc3\xa9",
                                       "\xea\xb0\x81",
                                       "\xd7\xa9\xd7\x9c",
                                       "\xe6\x97\xa5\xe6\x9c\xac",
                                       "A",
                                       " ",
                                       "a.",
                                       ".a",
                                       "\xe2\x80\x8b",
                                       "\xef\xbb\xbf"};
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "a\nb",
        "a\tb",
        "\x01",
        "\x7f",
        "a\x1f",
        "\xc2\x80",
        "\xc2\x9f",
        "\xff",
        "\xc3\x28",
        "\xc0\xae",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xe2\x82",
        "\xc3",
        "e\xcc\x81", /* é as two characters */
        "caf"
        "e\xcc\x81",
        "\xe1\x84\x80\xe1\x85\xa1", /* Hangul in parts */
        "\xe2\x84\xab",             /* the Angstrom sign is a singleton */
        "\xe2\x84\xa6",             /* so is Ohm */
        "a\xcc\xa7\xcc\x81"
        "\xcc\xa7" /* marks out of order */
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!ml_document_name_is_valid(ml_slice_str(good[i])))
            fail_msg("refused: %s (%zu)", good[i], i);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ml_document_name_is_valid(ml_slice_str(bad[i])))
            fail_msg("taken: %s (%zu)", bad[i], i);
    assert_false(ml_document_name_is_valid(ml_slice_make("a\0b", 3)));
}

static void a_name_has_512_bytes(void **state)
{
    char text[516];

    (void)state;
    memset(text, 'x', sizeof text);
    assert_true(ml_document_name_is_valid(ml_slice_make(text, 512)));
    assert_false(ml_document_name_is_valid(ml_slice_make(text, 513)));
    /* As long and as decomposable as it gets. */
    for (size_t i = 0; i + 3 <= 512; i += 3)
        memcpy(text + i, "\xe1\xbe\x82", 3);
    assert_true(ml_document_name_is_valid(ml_slice_make(text, 510)));
    for (size_t i = 0; i + 2 <= 512; i += 2)
        memcpy(text + i, "\xcc\x81", 2);
    text[0] = 'e';
    text[1] = 'e';
    assert_false(ml_document_name_is_valid(ml_slice_make(text, 512)));
}

static void identities(void **state)
{
    struct ml_identity one, two;
    char text[400];

    (void)state;
    ml_identity_guest(&one);
    ml_identity_guest(&two);
    assert_int_equal(strlen(one.user), strlen("guest-01234567"));
    assert_memory_equal(one.user, "guest-", 6);
    assert_string_not_equal(one.user, two.user);
    assert_int_equal(strlen(one.session), 32);
    assert_string_not_equal(one.session, two.session);
    assert_int_equal(one.expires_at_ms, 0);
    text[0] = 'a';
    for (size_t i = 1; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xbc", 2);
    ml_identity_make(&one, ml_slice_make(text, 399), ml_slice_make(text, 399), 5);
    assert_int_equal(strlen(one.user), 255);
    assert_int_equal(strlen(one.name), 127);
    assert_int_equal((uint8_t)one.user[254], 0xbc);
    assert_int_equal(one.expires_at_ms, 5);
    ml_identity_make(&one, ml_slice_make(NULL, 0), ml_slice_make(NULL, 0), 0);
    assert_string_equal(one.user, "");
}

static void grants(void **state)
{
    struct ml_grant editor = ml_grant_editor(), nobody = {0};

    (void)state;
    assert_true(ml_grant_allows(&editor, ML_MAY_READ | ML_MAY_WRITE | ML_MAY_PRESENCE));
    assert_false(ml_grant_allows(&nobody, ML_MAY_READ));
    nobody.may = ML_MAY_READ;
    assert_false(ml_grant_allows(&nobody, ML_MAY_READ | ML_MAY_WRITE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orgs),
        cmocka_unit_test(names),
        cmocka_unit_test(a_name_has_512_bytes),
        cmocka_unit_test(identities),
        cmocka_unit_test(grants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
