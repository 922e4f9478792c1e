/* SPDX-License-Identifier: MIT */
/* Reassembly at its limits: n passes, n + 1 does not (SEC-LM-04, SEC-LM-05). */
#include "net/ws.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct ml_ws_limits limits = {
    .message_bytes = 100, .reply_bytes = 1000, .fragments = 4};
static struct ml_ws_message message;
static struct ml_ws_pool pool;
static struct ml_slice whole;
static uint8_t bytes[2000];

static int setup(void **state)
{
    (void)state;
    ml_ws_message_init(&message);
    pool = (struct ml_ws_pool){0, 1500};
    memset(bytes, 0xaa, sizeof bytes);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ml_ws_message_release(&message, &pool);
    assert_int_equal(pool.used_bytes, 0);
    return 0;
}

static enum ml_ws_result add(size_t len, size_t left, bool first, bool final)
{
    const struct ml_ws_piece piece = {.bytes = ml_slice_make(bytes, len),
                                      .left_in_frame = left,
                                      .is_first = first,
                                      .is_final = final};

    return ml_ws_message_add(&message, &piece, &limits, &pool, &whole);
}

static void one_piece_is_not_copied(void **state)
{
    (void)state;
    assert_int_equal(add(100, 0, true, true), ML_WS_MESSAGE);
    assert_ptr_equal(whole.ptr, bytes);
    assert_int_equal(whole.len, 100);
    ml_ws_message_done(&message, &pool);
    assert_int_equal(add(0, 0, true, true), ML_WS_MESSAGE);
    assert_int_equal(whole.len, 0);
}

static void pieces_are_joined(void **state)
{
    (void)state;
    assert_int_equal(add(40, 60, true, true), ML_WS_MORE);
    bytes[0] = 1;
    assert_int_equal(add(40, 20, false, true), ML_WS_MORE);
    bytes[0] = 2;
    assert_int_equal(add(20, 0, false, true), ML_WS_MESSAGE);
    assert_int_equal(whole.len, 100);
    assert_int_equal(whole.ptr[0], 0xaa);
    assert_int_equal(whole.ptr[40], 1);
    assert_int_equal(whole.ptr[80], 2);
    ml_ws_message_done(&message, &pool);
    assert_int_equal(message.bytes.cap, 0);
}

static void what_is_announced_counts(void **state)
{
    (void)state;
    assert_int_equal(add(1, 99, true, true), ML_WS_MORE);
    assert_int_equal(message.bytes.len, 1);
    ml_ws_message_done(&message, &pool);
    assert_int_equal(add(1, 100, true, true), ML_WS_TOO_BIG);
    assert_int_equal(add(1, SIZE_MAX - 4, true, true), ML_WS_TOO_BIG);
    assert_int_equal(message.bytes.cap, 0);
}

static void the_sum_of_the_fragments_counts(void **state)
{
    (void)state;
    assert_int_equal(add(50, 0, true, false), ML_WS_MORE);
    assert_int_equal(add(50, 0, false, false), ML_WS_MORE);
    assert_int_equal(add(1, 0, false, true), ML_WS_TOO_BIG);
}

static void fragments_are_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(add(1, 0, i == 0, false), ML_WS_MORE);
    assert_int_equal(add(1, 0, false, true), ML_WS_MESSAGE);
    assert_int_equal(whole.len, 4);
    ml_ws_message_done(&message, &pool);
    for (int i = 0; i < 4; i++)
        assert_int_equal(add(0, 0, i == 0, false), ML_WS_MORE);
    assert_int_equal(add(0, 0, false, true), ML_WS_FRAGMENTED);
}

static void a_message_inside_a_message_is_refused(void **state)
{
    (void)state;
    assert_int_equal(add(1, 0, true, false), ML_WS_MORE);
    assert_int_equal(add(1, 0, true, true), ML_WS_FRAGMENTED);
}

static void a_step2_may_be_larger(void **state)
{
    (void)state;
    bytes[0] = 0;
    bytes[1] = 1;
    assert_int_equal(add(500, 500, true, true), ML_WS_MORE);
    assert_int_equal(pool.used_bytes, 900);
    assert_int_equal(add(500, 0, false, true), ML_WS_MESSAGE);
    assert_int_equal(whole.len, 1000);
    ml_ws_message_done(&message, &pool);
    assert_int_equal(pool.used_bytes, 0);
    assert_int_equal(add(500, 501, true, true), ML_WS_TOO_BIG);
    bytes[1] = 2;
    assert_int_equal(add(101, 0, true, true), ML_WS_TOO_BIG);
}

static void large_messages_share_a_pool(void **state)
{
    struct ml_ws_message other;
    struct ml_ws_piece piece = {.left_in_frame = 500, .is_first = true, .is_final = true};

    (void)state;
    bytes[0] = 0;
    bytes[1] = 1;
    piece.bytes = ml_slice_make(bytes, 500);
    ml_ws_message_init(&other);
    assert_int_equal(add(500, 500, true, true), ML_WS_MORE);
    assert_int_equal(ml_ws_message_add(&other, &piece, &limits, &pool, &whole), ML_WS_POOL_FULL);
    ml_ws_message_release(&message, &pool);
    assert_int_equal(ml_ws_message_add(&other, &piece, &limits, &pool, &whole), ML_WS_MORE);
    /* 900 of the pool are taken: 600 more fit, and not a byte beyond. */
    ml_ws_message_init(&message);
    assert_int_equal(add(500, 201, true, true), ML_WS_POOL_FULL);
    ml_ws_message_release(&message, &pool);
    assert_int_equal(add(500, 200, true, true), ML_WS_MORE);
    assert_int_equal(pool.used_bytes, pool.max_bytes);
    ml_ws_message_release(&other, &pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_piece_is_not_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_are_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_announced_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(the_sum_of_the_fragments_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(fragments_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_inside_a_message_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_step2_may_be_larger, setup, teardown),
        cmocka_unit_test_setup_teardown(large_messages_share_a_pool, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
