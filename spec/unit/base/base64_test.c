/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

#include "support/test.h"

#include <stdlib.h>

static void check_pair(const char *bytes, size_t len, const char *text, enum ml_base64_kind kind)
{
    char out[64];
    uint8_t back[64];
    size_t back_len;

    assert_int_equal(ml_base64_len(len, kind), strlen(text));
    ml_base64_put(ml_slice_make(bytes, len), kind, out);
    assert_memory_equal(out, text, strlen(text));
    assert_true(ml_base64_get(ml_slice_str(text), kind, back, &back_len));
    assert_true(ml_slice_equal(ml_slice_make(back, back_len), ml_slice_make(bytes, len)));
}

/* RFC 4648, section 10. */
static void the_vectors_of_the_rfc(void **state)
{
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const padded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                         "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    static const char *const url[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        check_pair(plain[i], i, padded[i], ML_BASE64);
        check_pair(plain[i], i, url[i], ML_BASE64URL);
    }
    check_pair("\xfb\xff\xfe", 3, "+//+", ML_BASE64);
    check_pair("\xfb\xff\xfe", 3, "-__-", ML_BASE64URL);
}

static void every_sequence_has_one_text(void **state)
{
    (void)state;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        enum ml_base64_kind kind = (enum ml_base64_kind)(i & 1);
        char text[13], again[16];
        uint8_t bytes[64];
        size_t len, n = (size_t)(rand() % 13);

        for (size_t k = 0; k < n; k++)
            text[k] = "AQgw9z+/-_=Zx \n"[rand() % 15];
        if (!ml_base64_get(ml_slice_make(text, n), kind, bytes, &len))
            continue;
        assert_int_equal(ml_base64_len(len, kind), n);
        ml_base64_put(ml_slice_make(bytes, len), kind, again);
        assert_memory_equal(again, text, n);
    }
}

static void everything_else_is_refused(void **state)
{
    static const char *const url[] = {"A",    "Zg==", "Zh",   "Zm9", "Zm8=", "Zm 9v", "Zm9v\n",
                                      "+//+", "Zg=",  "====", "AAB", "AB",   "AAAB1", "Zm9v="};
    static const char *const padded[] = {"Zg",    "Zg=",      "Zh==", "Zm9=",     "Z===",
                                         "====",  "=Zg=",     "-__-", "Zg==Zg==", "Zm9v ",
                                         " Zm9v", "Zm9v====", "Zg=A", "Z"};
    uint8_t out[64];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(url) / sizeof(*url); i++)
        assert_false(ml_base64_get(ml_slice_str(url[i]), ML_BASE64URL, out, &len));
    for (size_t i = 0; i < sizeof(padded) / sizeof(*padded); i++)
        assert_false(ml_base64_get(ml_slice_str(padded[i]), ML_BASE64, out, &len));
    assert_false(ml_base64_get(ML_SLICE("Zm\0v"), ML_BASE64, out, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc),
        cmocka_unit_test(every_sequence_has_one_text),
        cmocka_unit_test(everything_else_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
