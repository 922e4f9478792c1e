/* SPDX-License-Identifier: MIT */
/*
 * The updates that typing makes are read by a way of their own. Whatever that way accepts, the
 * general walk accepts too, and makes the same of it.
 */
#include "support/test.h"

#include "engine/update.h"

static const uint8_t typed[] = {1,    1,    0xe4, 0x8e, 0xd1, 0x9c, 0x0a, 0x85, 0x02, 0xc4,
                                0xe4, 0x8e, 0xd1, 0x9c, 0x0a, 0x84, 0x02, 0xe4, 0x8e, 0xd1,
                                0x9c, 0x0a, 0x07, 3,    'a',  0xc3, 0xa9, 0};
static const uint8_t typed_at_end[] = {1, 1, 7, 9, 0x84, 7, 8, 1, 'x', 0};
static const uint8_t erased[] = {0, 1, 0xe4, 0x8e, 0xd1, 0x9c, 0x0a, 1, 0x85, 0x02, 3};

static const struct ml_update *decode(struct ml_arena *arena, const uint8_t *bytes, size_t len)
{
    const struct ml_update *u;

    return ml_update_decode(arena, ml_slice_make(bytes, len), NULL, NULL, &u) ? NULL : u;
}

/* One byte behind the end is ignored by the general walk and is no shape. */
static void assert_same(struct ml_arena *arena, const uint8_t *bytes, size_t len, size_t *shapes)
{
    uint8_t longer[64];
    const struct ml_update *u = decode(arena, bytes, len), *v;
    struct ml_edit_cursor cu = {0}, cv = {0};
    struct ml_edit a, b;

    if (!u || u->shape == ML_SHAPE_OTHER)
        return;
    ++*shapes;
    memcpy(longer, bytes, len);
    longer[len] = 0;
    v = decode(arena, longer, len + 1);
    assert_non_null(v);
    assert_int_equal(v->shape, ML_SHAPE_OTHER);
    assert_int_equal(u->facts.structs, v->facts.structs);
    assert_int_equal(u->facts.inserted_units, v->facts.inserted_units);
    assert_int_equal(u->facts.inserted_bytes, v->facts.inserted_bytes);
    assert_int_equal(u->facts.deleted_units, v->facts.deleted_units);
    assert_int_equal(u->facts.keys, v->facts.keys);
    assert_int_equal(u->facts.clients, v->facts.clients);
    assert_int_equal(u->section_count, v->section_count);
    assert_int_equal(u->facts.delete_ranges, v->facts.delete_ranges);
    assert_int_equal(u->delete_set_offset, v->delete_set_offset);
    assert_int_equal(u->end_offset, v->end_offset);
    while (ml_update_next_edit(v, &cv, &b)) {
        assert_true(ml_update_next_edit(u, &cu, &a));
        assert_true(a.client == b.client && a.clock == b.clock && a.len == b.len);
        assert_int_equal(a.kind, b.kind);
        assert_true(ml_slice_equal(a.content, b.content));
    }
    assert_false(ml_update_next_edit(u, &cu, &a));
}

/* Every value of every byte, alone, and the update cut off everywhere. */
static void mutate(const uint8_t *bytes, size_t len)
{
    uint8_t copy[64];
    struct ml_arena arena;
    size_t shapes = 0;

    ml_arena_init(&arena, 1 << 20);
    for (size_t at = 0; at < len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            memcpy(copy, bytes, len);
            copy[at] = (uint8_t)value;
            assert_same(&arena, copy, len, &shapes);
            ml_arena_reset(&arena);
        }
        assert_same(&arena, bytes, at, &shapes);
    }
    assert_true(shapes > len);
    ml_arena_release(&arena);
}

static void shapes_mean_what_the_general_walk_says(void **state)
{
    (void)state;
    mutate(typed, sizeof typed);
    mutate(typed_at_end, sizeof typed_at_end);
    mutate(erased, sizeof erased);
}

static void long_forms_of_numbers_are_no_shape(void **state)
{
    static const uint8_t long_clock[] = {1, 1, 7, 0x89, 0, 0x84, 7, 8, 1, 'x', 0};
    struct ml_arena arena;

    (void)state;
    ml_arena_init(&arena, 1 << 20);
    assert_int_equal(decode(&arena, typed, sizeof typed)->shape, ML_SHAPE_TYPED);
    assert_int_equal(decode(&arena, typed_at_end, sizeof typed_at_end)->shape, ML_SHAPE_TYPED);
    assert_int_equal(decode(&arena, erased, sizeof erased)->shape, ML_SHAPE_ERASED);
    assert_int_equal(decode(&arena, long_clock, sizeof long_clock)->shape, ML_SHAPE_OTHER);
    ml_arena_release(&arena);
}

static void a_shape_over_the_ceiling_is_refused(void **state)
{
    struct ml_engine_limits limits = {.update_bytes = sizeof typed - 1};
    const struct ml_update *u;
    struct ml_arena arena;

    (void)state;
    ml_arena_init(&arena, 1 << 20);
    assert_int_equal(
        ml_update_decode(&arena, ml_slice_make(typed, sizeof typed), &limits, NULL, &u), ML_ELIMIT);
    ml_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_mean_what_the_general_walk_says),
        cmocka_unit_test(long_forms_of_numbers_are_no_shape),
        cmocka_unit_test(a_shape_over_the_ceiling_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
