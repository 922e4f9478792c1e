/* SPDX-License-Identifier: MIT */
#include "base/slice.h"

#include "support/test.h"

#include "base/err.h"

static void equality_looks_at_bytes(void **state)
{
    (void)state;
    assert_true(ml_slice_equal(ML_SLICE("a\0b"), ml_slice_make("a\0b", 3)));
    assert_false(ml_slice_equal(ML_SLICE("a"), ML_SLICE("ab")));
    assert_true(ml_slice_equal(ml_slice_make(NULL, 0), ML_SLICE("")));
}

static void order_is_that_of_bytes_with_prefixes_first(void **state)
{
    (void)state;
    assert_true(ml_slice_compare(ML_SLICE("a"), ML_SLICE("ab")) < 0);
    assert_true(ml_slice_compare(ML_SLICE("b"), ML_SLICE("ab")) > 0);
    assert_true(ml_slice_compare(ML_SLICE("\xff"), ML_SLICE("a")) > 0);
    assert_int_equal(ml_slice_compare(ML_SLICE("ab"), ML_SLICE("ab")), 0);
    assert_int_equal(ml_slice_compare(ml_slice_make(NULL, 0), ML_SLICE("")), 0);
}

static void errors_have_names_and_sentences(void **state)
{
    struct ml_diag diag;

    (void)state;
    assert_string_equal(ml_err_name(ML_EMOVED), "EMOVED");
    assert_string_equal(ml_err_name((enum ml_err)999), "EUNKNOWN");
    assert_string_equal(ml_err_text(ML_ELIMIT), "over a configured ceiling");
    assert_int_equal(ml_diag_set(&diag, ML_EIO, 7, "disk %d", 3), ML_EIO);
    assert_int_equal(diag.offset, 7);
    assert_string_equal(diag.text, "disk 3");
    assert_int_equal(ml_diag_set(NULL, ML_EIO, 0, "x"), ML_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_looks_at_bytes),
        cmocka_unit_test(order_is_that_of_bytes_with_prefixes_first),
        cmocka_unit_test(errors_have_names_and_sentences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
