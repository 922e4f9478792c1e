/* SPDX-License-Identifier: MIT */
#include "base/hashmap.h"

#include "support/test.h"

#include <stdio.h>

#define KEYS 2000

static char names[KEYS][16];

static struct ml_slice key(int i)
{
    (void)snprintf(names[i], sizeof names[i], "key-%d", i);
    return ml_slice_str(names[i]);
}

static void an_empty_map_knows_nothing(void **state)
{
    struct ml_hashmap map;
    size_t cursor = 0;
    void *value;

    (void)state;
    ml_hashmap_init(&map);
    assert_null(ml_hashmap_get(&map, ML_SLICE("x")));
    assert_null(ml_hashmap_remove(&map, ML_SLICE("x")));
    assert_false(ml_hashmap_next(&map, &cursor, &value));
    ml_hashmap_release(&map);
}

/* Against a plain array of "is it there": puts and removes in a mixed order. */
static void it_agrees_with_a_plain_array(void **state)
{
    static bool there[KEYS];
    struct ml_hashmap map;
    uint32_t dice = 12345;
    size_t count = 0;

    (void)state;
    ml_hashmap_init(&map);
    for (int step = 0; step < 60000; step++) {
        int i;

        dice = dice * 1664525 + 1013904223;
        i = (int)(dice >> 8) % KEYS;
        if (dice >> 31) {
            assert_true(ml_hashmap_put(&map, key(i), names[i]));
            count += !there[i];
            there[i] = true;
        } else {
            void *was = ml_hashmap_remove(&map, key(i));

            assert_int_equal(was != NULL, there[i]);
            count -= there[i];
            there[i] = false;
        }
        assert_int_equal(map.count, count);
    }
    for (int i = 0; i < KEYS; i++)
        assert_ptr_equal(ml_hashmap_get(&map, key(i)), there[i] ? names[i] : NULL);
    ml_hashmap_release(&map);
}

static void a_walk_meets_everything_once(void **state)
{
    struct ml_hashmap map;
    size_t cursor = 0, met = 0;
    void *value;

    (void)state;
    ml_hashmap_init(&map);
    for (int i = 0; i < 100; i++)
        assert_true(ml_hashmap_put(&map, key(i), names[i]));
    while (ml_hashmap_next(&map, &cursor, &value))
        met++;
    assert_int_equal(met, 100);
    ml_hashmap_release(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_knows_nothing),
        cmocka_unit_test(it_agrees_with_a_plain_array),
        cmocka_unit_test(a_walk_meets_everything_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
