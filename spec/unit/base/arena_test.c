/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include "support/test.h"

static void objects_are_zeroed_aligned_and_apart(void **state)
{
    struct ml_arena arena;
    uint8_t *last = NULL;

    (void)state;
    ml_arena_init(&arena, 1u << 20);
    for (size_t n = 0; n < 200; n++) {
        uint8_t *p = ml_arena_alloc(&arena, n);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_ptr_not_equal(p, last);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n);
        last = p;
    }
    ml_arena_release(&arena);
}

static void the_ceiling_holds_and_is_an_answer(void **state)
{
    struct ml_arena arena;
    size_t got = 0;

    (void)state;
    ml_arena_init(&arena, 10000);
    while (ml_arena_alloc(&arena, 100))
        got += 100;
    assert_true(got >= 5000 && got <= 10000);
    assert_null(ml_arena_alloc(&arena, 10001));
    ml_arena_release(&arena);
    assert_non_null(ml_arena_alloc(&arena, 9000));
    ml_arena_release(&arena);
}

static void sizes_do_not_overflow(void **state)
{
    struct ml_arena arena;

    (void)state;
    ml_arena_init(&arena, SIZE_MAX);
    assert_null(ml_arena_array(&arena, SIZE_MAX / 2, 3));
    assert_null(ml_arena_alloc(&arena, SIZE_MAX - 3));
    assert_null(ml_arena_copy(&arena, ml_slice_make("x", SIZE_MAX)).ptr);
    ml_arena_release(&arena);
}

static void reset_keeps_memory_for_the_next_message(void **state)
{
    struct ml_arena arena;
    void *first;

    (void)state;
    ml_arena_init(&arena, 1u << 20);
    first = ml_arena_alloc(&arena, 4000);
    ml_arena_reset(&arena);
    assert_ptr_equal(ml_arena_alloc(&arena, 4000), first);
    for (int i = 0; i < 20; i++)
        assert_non_null(ml_arena_alloc(&arena, 4000));
    ml_arena_reset(&arena);
    assert_true(arena.used_bytes <= 256 * 1024);
    assert_non_null(ml_arena_alloc(&arena, 500000));
    ml_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    ml_arena_release(&arena);
}

static void a_copy_ends_with_a_nul_that_does_not_count(void **state)
{
    struct ml_arena arena;
    struct ml_slice copy;

    (void)state;
    ml_arena_init(&arena, 4096);
    copy = ml_arena_copy(&arena, ML_SLICE("hello"));
    assert_int_equal(copy.len, 5);
    assert_string_equal((const char *)copy.ptr, "hello");
    ml_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_zeroed_aligned_and_apart),
        cmocka_unit_test(the_ceiling_holds_and_is_an_answer),
        cmocka_unit_test(sizes_do_not_overflow),
        cmocka_unit_test(reset_keeps_memory_for_the_next_message),
        cmocka_unit_test(a_copy_ends_with_a_nul_that_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
