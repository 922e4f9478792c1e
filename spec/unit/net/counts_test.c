/* SPDX-License-Identifier: MIT */
/* Rates and numbers by name: n pass, the next does not, and the time is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/counts.h"

static struct ml_counts counts;

static int setup(void **state)
{
    (void)state;
    ml_counts_init(&counts);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ml_counts_release(&counts);
    return 0;
}

#define PAY(name, now, price) ml_counts_pay(&counts, ML_SLICE(name), now, 2, 4, price)

static void n_pass_and_the_next_waits_until_it_is_paid_for(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(PAY("a", 1000, 1), 0);
    assert_int_equal(PAY("a", 1000, 1), 500);
    assert_int_equal(PAY("b", 1000, 1), 0); /* another name, another bucket */
    assert_int_equal(PAY("a", 1250, 1), 250);
    assert_int_equal(PAY("a", 1500, 1), 0);
    assert_int_equal(PAY("a", 1500, 1), 500);
    for (int i = 0; i < 4; i++) /* never more than the burst */
        assert_int_equal(PAY("a", 1000000, 1), 0);
    assert_int_not_equal(PAY("a", 1000000, 1), 0);
}

static void what_is_larger_than_all_of_it_takes_all_of_it(void **state)
{
    (void)state;
    assert_int_equal(PAY("a", 0, 1000), 0);
    assert_int_equal(PAY("a", 0, 1), 500);
    assert_int_equal(PAY("a", 1000, 1000), 1000);
    assert_int_equal(PAY("a", 2000, 1000), 0);
}

static void a_clock_that_is_behind_gives_and_takes_nothing(void **state)
{
    (void)state;
    assert_int_equal(PAY("a", 1000, 4), 0);
    assert_int_equal(PAY("a", 500, 1), 500);
    assert_int_equal(PAY("a", 1500, 1), 0);
}

static void a_rate_of_nothing_lets_nothing_pass(void **state)
{
    (void)state;
    assert_int_equal(ml_counts_pay(&counts, ML_SLICE("a"), 0, 0, 0, 1), 1000000000);
    assert_int_equal(ml_counts_pay(&counts, ML_SLICE("a"), 1u << 30, 0, 0, 1), 1000000000);
}

static void so_many_may_be_there_at_once(void **state)
{
    struct ml_count *in[3];
    uint64_t count;

    (void)state;
    for (int i = 0; i < 3; i++) {
        in[i] = ml_counts_enter(&counts, ML_SLICE("o"), 3, &count);
        assert_non_null(in[i]);
        assert_int_equal(count, i);
    }
    assert_null(ml_counts_enter(&counts, ML_SLICE("o"), 3, &count));
    assert_int_equal(count, 3);
    ml_counts_leave(&counts, in[1]);
    in[1] = ml_counts_enter(&counts, ML_SLICE("o"), 3, &count);
    assert_non_null(in[1]);
    assert_null(ml_counts_enter(&counts, ML_SLICE("none"), 0, &count));
    for (int i = 0; i < 3; i++)
        ml_counts_leave(&counts, in[i]);
    ml_counts_leave(&counts, NULL);
}

static void the_table_has_a_ceiling_and_keeps_what_is_held(void **state)
{
    struct ml_count *held;
    uint64_t count;
    char name[32];

    (void)state;
    held = ml_counts_enter(&counts, ML_SLICE("held"), 1, &count);
    assert_non_null(held);
    for (int i = 0; i < ML_COUNTS_MAX + 100; i++) {
        int len = snprintf(name, sizeof name, "%d", i);

        assert_int_equal(ml_counts_pay(&counts, ml_slice_make(name, (size_t)len), 0, 1, 1, 1), 0);
    }
    assert_int_equal(counts.count, ML_COUNTS_MAX);
    assert_null(ml_counts_enter(&counts, ML_SLICE("held"), 1, &count)); /* it is still known */
    assert_int_equal(ml_counts_pay(&counts, ML_SLICE("65635"), 0, 1, 1, 1), 1000);
    assert_int_equal(ml_counts_pay(&counts, ML_SLICE("0"), 0, 1, 1, 1), 0); /* forgotten: full */
    ml_counts_leave(&counts, held);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(n_pass_and_the_next_waits_until_it_is_paid_for),
        TEST(what_is_larger_than_all_of_it_takes_all_of_it),
        TEST(a_clock_that_is_behind_gives_and_takes_nothing),
        TEST(a_rate_of_nothing_lets_nothing_pass),
        TEST(so_many_may_be_there_at_once),
        TEST(the_table_has_a_ceiling_and_keeps_what_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
