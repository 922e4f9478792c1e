/* SPDX-License-Identifier: MIT */
/* Assets by exact path and nothing else (SEC-STATIC-01); a nonce that is never the same. */
#include "net/assets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct ml_asset table[] = {
    {"/assets/app-A1.js", "text/javascript", (const uint8_t *)"alert", 5, NULL, 0, true},
    {"/index.html", "text/html", (const uint8_t *)"page", 4, NULL, 0, false},
    {"/favicon.svg", "image/svg+xml", (const uint8_t *)"<svg>", 5, NULL, 0, false},
};

static void what_is_there_is_found(void **state)
{
    struct ml_assets assets;
    const struct ml_asset_entry *one, *two;

    (void)state;
    assert_true(ml_assets_init(&assets, table, 3));
    one = ml_assets_find(&assets, ML_SLICE("/assets/app-A1.js"));
    two = ml_assets_find(&assets, ML_SLICE("/favicon.svg"));
    assert_ptr_equal(one->asset, &table[0]);
    assert_ptr_equal(two->asset, &table[2]);
    assert_ptr_equal(assets.page, &table[1]);
    assert_int_equal(strlen(one->etag), 18);
    assert_string_not_equal(one->etag, two->etag);
    ml_assets_release(&assets);
    assert_true(ml_assets_init(&assets, NULL, 0));
    assert_null(ml_assets_find(&assets, ML_SLICE("/index.html")));
    assert_null(assets.page);
    ml_assets_release(&assets);
}

static void no_detour_leads_anywhere(void **state)
{
    static const char *const ups[] = {
        "..",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "..%00",
        "..;",
        "%252e%252e",
        "..%5c",
        "..%c0%af",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "....",
        "..\\",
        ". .",
        "%u002e%u002e",
        "..%0a",
        "..%20",
        "\xc0\xae\xc0\xae",
        "%uff0e%uff0e",
    };
    static const char *const joins[] = {"/", "//", "\\", "%2f", "%5C", "%252f", "/./"};
    static const char *const targets[] = {"index.html", "etc/passwd", "assets/app-A1.js"};
    struct ml_assets assets;
    size_t tried = 0;

    (void)state;
    assert_true(ml_assets_init(&assets, table, 3));
    for (size_t u = 0; u < sizeof ups / sizeof *ups; u++)
        for (size_t j = 0; j < sizeof joins / sizeof *joins; j++)
            for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
                char path[256];

                (void)snprintf(path, sizeof path, "/assets%s%s%s%s", joins[j], ups[u], joins[j],
                               targets[t]);
                if (ml_assets_find(&assets, ml_slice_str(path)))
                    fail_msg("found: %s", path);
                tried++;
            }
    assert_true(tried >= 300);
    ml_assets_release(&assets);
}

static void a_name_is_not_nearly_another(void **state)
{
    static const char *const paths[] = {
        "",
        "/",
        "assets/app-A1.js",
        "//assets/app-A1.js",
        "/assets//app-A1.js",
        "/assets/app-a1.js",
        "/assets/app-A1.js/",
        "/assets/app-A1.js ",
        "/assets/app-A1.js?",
        "/assets/app-A1.js.gz",
        "/ASSETS/app-A1.js",
        "/assets/",
        "/assets",
        "/index.htm",
        "/index.html/",
        "/./index.html",
        "/assets/app-A1%2Ejs",
        "/%69ndex.html",
        "/favicon.svg#x",
        "file:///etc/passwd",
    };
    struct ml_assets assets;
    char longest[70000];

    (void)state;
    assert_true(ml_assets_init(&assets, table, 3));
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (ml_assets_find(&assets, ml_slice_str(paths[i])))
            fail_msg("found: %s", paths[i]);
    assert_null(ml_assets_find(&assets, ml_slice_make("/index.html\0", 12)));
    assert_null(ml_assets_find(&assets, ml_slice_make("/index.html\0.js", 15)));
    memset(longest, 'a', sizeof longest);
    assert_null(ml_assets_find(&assets, ml_slice_make(longest, sizeof longest)));
    ml_assets_release(&assets);
}

static void page_of(const char *page, const char *want)
{
    struct ml_writer out;

    ml_writer_init(&out, 1000);
    ml_page_write(ml_slice_str(page), ML_SLICE("N"), &out);
    assert_int_equal(out.err, ML_OK);
    assert_true(ml_slice_equal(ml_writer_slice(&out), ml_slice_str(want)));
    ml_writer_release(&out);
}

static void the_nonce_stands_in_all_its_places(void **state)
{
    (void)state;
    page_of("", "");
    page_of("no place", "no place");
    page_of("__ML_NONCE__", "N");
    page_of("a __ML_NONCE__ b __ML_NONCE__", "a N b N");
    page_of("__ML_NONCE____ML_NONCE__", "NN");
    page_of("__ML_NONCE_", "__ML_NONCE_");
    page_of("____ML_NONCE__", "__N");
}

static void a_page_has_its_ceiling(void **state)
{
    struct ml_writer out;

    (void)state;
    ml_writer_init(&out, 4);
    ml_page_write(ML_SLICE("longer than four"), ML_SLICE("N"), &out);
    assert_int_equal(out.err, ML_ELIMIT);
    ml_writer_release(&out);
}

static void nonces_differ(void **state)
{
    char seen[64][ML_NONCE_CHARS + 1];

    (void)state;
    for (size_t i = 0; i < 64; i++) {
        ml_nonce_make(seen[i]);
        assert_int_equal(strlen(seen[i]), ML_NONCE_CHARS);
        assert_int_equal(strspn(seen[i], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                         "0123456789+/"),
                         22);
        assert_string_equal(seen[i] + 22, "==");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(seen[i], seen[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_found),
        cmocka_unit_test(no_detour_leads_anywhere),
        cmocka_unit_test(a_name_is_not_nearly_another),
        cmocka_unit_test(the_nonce_stands_in_all_its_places),
        cmocka_unit_test(a_page_has_its_ceiling),
        cmocka_unit_test(nonces_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
