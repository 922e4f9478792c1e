/* SPDX-License-Identifier: MIT */
/* Addresses of documents as clients spell them, good and bad (SEC-TN-01). */
#include "net/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SYNC ML_SLICE("/sync/")

static struct ml_arena scratch;

static const struct {
    const char *path, *org, *name;
} good[] = {
    {"/sync/default/a", "default", "a"},
    {"/sync/default/notes", "default", "notes"},
    {"/sync/default/a/b", "default", "a/b"},
    {"/sync/default/a%2Fb", "default", "a/b"},
    {"/sync/default/a%2fb", "default", "a/b"},
    {"/sync/default/a//b", "default", "a//b"},
    {"/sync/default//a", "default", "/a"},
    {"/sync/default/a/", "default", "a/"},
    {"/sync/default/%61", "default", "a"},
    {"/sync/default/a%20b", "default", "a b"},
    {"/sync/default/a+b", "default", "a+b"},
    {"/sync/default/a%2Bb", "default", "a+b"},
    {"/sync/default/%25", "default", "%"},
    {"/sync/default/%2520", "default", "%20"},
    {"/sync/default/%252e%252e", "default", "%2e%2e"},
    {"/sync/default/100%25", "default", "100%"},
    {"/sync/default/%C3%BC", "default", "\xc3\xbc"},
    {"/sync/default/%c3%bc", "default", "\xc3\xbc"},
    {"/sync/default/%E2%82%AC", "default", "\xe2\x82\xac"},
    {"/sync/default/%F0%9F%8C%99", "default", "\xf0\x9f\x8c\x99"},
    {"/sync/default/caf%C3%A9", "default", "caf\xc3\xa9"},
    {"/sync/a/x", "a", "x"},
    {"/sync/0/x", "0", "x"},
    {"/sync/a-b-c/x", "a-b-c", "x"},
    {"/sync/default/a?b", "default", "a?b"},
    {"/sync/default/a:b@c", "default", "a:b@c"},
    {"/sync/default/a;b=c", "default", "a;b=c"},
    {"/sync/default/a&b", "default", "a&b"},
    {"/sync/default/..a", "default", "..a"},
    {"/sync/default/a..", "default", "a.."},
    {"/sync/default/...", "default", "..."},
    {"/sync/default/../x", "default", "../x"},
    {"/sync/default/a/../b", "default", "a/../b"},
    {"/sync/default/%2e%2e/x", "default", "../x"},
    {"/sync/default/a%5Cb", "default", "a\\b"},
    {"/sync/default/~x", "default", "~x"},
    {"/sync/default/'x'", "default", "'x'"},
    {"/sync/default/%22x%22", "default", "\"x\""},
    {"/sync/default/%3Cscript%3E", "default", "<script>"},
    {"/sync/default/*", "default", "*"},
    {"/sync/default/%D7%A9", "default", "\xd7\xa9"},
    {"/sync/default/sync/default/x", "default", "sync/default/x"},
};

static const char *const bad[] = {
    /* no name, no org, no prefix */
    "",
    "/",
    "/sync",
    "/sync/",
    "/sync//",
    "/sync//x",
    "/sync/default",
    "/sync/default/",
    "sync/default/x",
    "/Sync/default/x",
    "/syncx/default/x",
    "/collab/default/x",
    "//sync/default/x",
    "/sync/ default/x",
    /* orgs that cannot be */
    "/sync/Default/x",
    "/sync/-a/x",
    "/sync/a_b/x",
    "/sync/a.b/x",
    "/sync/%61/x",
    "/sync/a%2Fb/x",
    "/sync/../x",
    "/sync/./x",
    "/sync/a%00/x",
    "/sync/\xc3\xbc/x",
    "/sync/%C3%BC/x",
    "/sync/a b/x",
    "/sync/a:b/x",
    "/sync/a'/x",
    "/sync/a\"/x",
    "/sync/a;/x",
    "/sync/a*/x",
    "/sync/a\\/x",
    "/sync/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/x",
    /* escapes that are none */
    "/sync/default/%",
    "/sync/default/%2",
    "/sync/default/a%",
    "/sync/default/a%2",
    "/sync/default/%zz",
    "/sync/default/%2g",
    "/sync/default/%g2",
    "/sync/default/% 2",
    "/sync/default/%%20",
    "/sync/default/%+2",
    "/sync/default/%-1",
    "/sync/default/%u0041",
    "/sync/default/%0x41",
    "/sync/default/x%2/",
    /* NUL and control bytes */
    "/sync/default/%00",
    "/sync/default/a%00b",
    "/sync/default/%01",
    "/sync/default/%09",
    "/sync/default/%0A",
    "/sync/default/%0D",
    "/sync/default/%0d%0aSet-Cookie:x",
    "/sync/default/%1F",
    "/sync/default/%7F",
    "/sync/default/%C2%80",
    "/sync/default/%C2%85",
    "/sync/default/%C2%9F",
    "/sync/default/\x01",
    "/sync/default/\x7f",
    /* not UTF-8 */
    "/sync/default/%FF",
    "/sync/default/%FE%FF",
    "/sync/default/%C3",
    "/sync/default/%C3%28",
    "/sync/default/%C0%AE",
    "/sync/default/%C0%AE%C0%AE",
    "/sync/default/%E0%80%AE",
    "/sync/default/%F0%80%80%AE",
    "/sync/default/%ED%A0%80",
    "/sync/default/%ED%BF%BF",
    "/sync/default/%F4%90%80%80",
    "/sync/default/%F8%88%80%80%80",
    "/sync/default/%E2%82",
    "/sync/default/%80",
    "/sync/default/%BF",
    "/sync/default/\xff",
    "/sync/default/a\xc3",
    /* dots alone */
    "/sync/default/.",
    "/sync/default/..",
    "/sync/default/%2e",
    "/sync/default/%2e%2e",
    "/sync/default/.%2E",
    "/sync/default/%2E.",
    /* not NFC */
    "/sync/default/e%CC%81",
    "/sync/default/cafe%CC%81",
    "/sync/default/%E2%84%AB",
    "/sync/default/%E2%84%A6",
    "/sync/default/%E1%84%80%E1%85%A1",
    "/sync/default/%CD%BE",
    "/sync/default/%E2%80%80",
    "/sync/default/A%CC%8A",
    "/sync/default/%EF%A4%80",
};

static void addresses_of_documents(void **state)
{
    size_t cases = sizeof good / sizeof *good + sizeof bad / sizeof *bad;

    (void)state;
    assert_true(cases >= 100);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct ml_slice org, name;

        if (ml_url_document(ml_slice_str(good[i].path), SYNC, &scratch, &org, &name))
            fail_msg("refused: %s", good[i].path);
        assert_true(ml_slice_equal(org, ml_slice_str(good[i].org)));
        assert_true(ml_slice_equal(name, ml_slice_str(good[i].name)));
        ml_arena_reset(&scratch);
    }
}

static void addresses_of_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ml_slice org, name;

        if (ml_url_document(ml_slice_str(bad[i]), SYNC, &scratch, &org, &name) != ML_ENOTFOUND)
            fail_msg("taken: %s", bad[i]);
        ml_arena_reset(&scratch);
    }
}

static void a_name_is_as_long_as_it_is_decoded(void **state)
{
    char path[4096] = "/sync/default/";
    struct ml_slice org, name;
    size_t n = strlen(path);

    (void)state;
    for (int i = 0; i < 512; i++)
        n += (size_t)snprintf(path + n, sizeof path - n, "%%61");
    assert_int_equal(ml_url_document(ml_slice_str(path), SYNC, &scratch, &org, &name), ML_OK);
    assert_int_equal(name.len, 512);
    (void)snprintf(path + n, sizeof path - n, "a");
    assert_int_equal(ml_url_document(ml_slice_str(path), SYNC, &scratch, &org, &name),
                     ML_ENOTFOUND);
    ml_arena_reset(&scratch);
}

static void an_escape_at_the_very_end_reads_nothing_behind_it(void **state)
{
    /* Exact memory, so that a byte too far is a report. */
    static const char *const ends[] = {"%", "%4", "a%", "a%4", "%41%", "%41%4"};

    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t len = strlen(ends[i]);
        char copy[8];
        struct ml_slice out;

        memcpy(copy + sizeof copy - len, ends[i], len);
        assert_int_equal(
            ml_url_decode(ml_slice_make(copy + sizeof copy - len, len), &scratch, &out),
            ML_EFORMAT);
    }
    ml_arena_reset(&scratch);
}

static void queries(void **state)
{
    struct ml_parameter list[ML_QUERY_MAX];
    char many[1024] = "";
    size_t count, n = 0;

    (void)state;
    assert_int_equal(
        ml_url_query(ML_SLICE("token=s3%20cret&x=%C3%BC&y=a+b&empty=&bare&&=no&token=2"), &scratch,
                     list, &count),
        ML_OK);
    assert_int_equal(count, 6);
    assert_true(ml_slice_equal(ml_url_parameter(list, count, "token"), ML_SLICE("s3 cret")));
    assert_true(ml_slice_equal(ml_url_parameter(list, count, "x"), ML_SLICE("\xc3\xbc")));
    assert_true(ml_slice_equal(ml_url_parameter(list, count, "y"), ML_SLICE("a b")));
    assert_int_equal(ml_url_parameter(list, count, "empty").len, 0);
    assert_non_null(ml_url_parameter(list, count, "bare").ptr);
    assert_null(ml_url_parameter(list, count, "absent").ptr);
    assert_int_equal(ml_url_query(ML_SLICE(""), &scratch, list, &count), ML_OK);
    assert_int_equal(count, 0);
    assert_int_equal(ml_url_query(ML_SLICE("a=%"), &scratch, list, &count), ML_EFORMAT);
    assert_int_equal(ml_url_query(ML_SLICE("%00=1"), &scratch, list, &count), ML_EFORMAT);
    for (int i = 0; i < ML_QUERY_MAX; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "k%d=v&", i);
    assert_int_equal(ml_url_query(ml_slice_str(many), &scratch, list, &count), ML_OK);
    assert_int_equal(count, ML_QUERY_MAX);
    (void)snprintf(many + n, sizeof many - n, "more");
    assert_int_equal(ml_url_query(ml_slice_str(many), &scratch, list, &count), ML_ELIMIT);
    ml_arena_reset(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_documents),
        cmocka_unit_test(addresses_of_nothing),
        cmocka_unit_test(a_name_is_as_long_as_it_is_decoded),
        cmocka_unit_test(an_escape_at_the_very_end_reads_nothing_behind_it),
        cmocka_unit_test(queries),
    };
    int failed;

    ml_arena_init(&scratch, 1 << 20);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    ml_arena_release(&scratch);
    return failed;
}
