/* SPDX-License-Identifier: MIT */
#include "base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void every_duration_counts_once_and_at_its_ceiling(void **state)
{
    struct ml_histogram h = {0};

    (void)state;
    for (int i = 0; i < ML_HISTOGRAM_CEILINGS; i++) {
        ml_histogram_add(&h, ml_histogram_ceilings_us[i]);
        ml_histogram_add(&h, ml_histogram_ceilings_us[i] + 1);
    }
    assert_int_equal(h.counts[0], 1);
    for (int i = 1; i < ML_HISTOGRAM_CEILINGS; i++)
        assert_int_equal(h.counts[i], 2);
    assert_int_equal(h.counts[ML_HISTOGRAM_CEILINGS], 1);
    assert_int_equal(ml_histogram_count(&h), 2 * ML_HISTOGRAM_CEILINGS);
    ml_histogram_add(&h, 0);
    assert_int_equal(h.counts[0], 2);
    ml_histogram_add(&h, UINT64_MAX / 2);
    assert_int_equal(h.counts[ML_HISTOGRAM_CEILINGS], 2);
}

static void merging_adds_up(void **state)
{
    struct ml_histogram a = {0}, b = {0};

    (void)state;
    ml_histogram_add(&a, 50);
    ml_histogram_add(&b, 50);
    ml_histogram_add(&b, 700);
    ml_histogram_merge(&a, &b);
    assert_int_equal(a.counts[0], 2);
    assert_int_equal(a.counts[2], 1);
    assert_int_equal(a.sum_us, 800);
    assert_int_equal(ml_histogram_count(&a), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duration_counts_once_and_at_its_ceiling),
        cmocka_unit_test(merging_adds_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
