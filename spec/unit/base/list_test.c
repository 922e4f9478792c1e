/* SPDX-License-Identifier: MIT */
#include "base/list.h"

#include "support/test.h"

struct thing {
    int value;
    struct ml_list node;
};

static void append_take_and_remove_keep_the_order(void **state)
{
    struct ml_list head;
    struct thing things[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    int expected = 0;

    (void)state;
    ml_list_init(&head);
    assert_true(ml_list_is_empty(&head));
    assert_null(ml_list_take_first(&head));
    for (int i = 0; i < 4; i++)
        ml_list_append(&head, &things[i].node);
    ml_list_remove(&things[1].node);
    assert_false(ml_list_is_linked(&things[1].node));
    ml_list_remove(&things[1].node);
    ML_LIST_EACH(node, &head)
    {
        struct thing *thing = ML_CONTAINER(node, struct thing, node);

        if (expected == 1)
            expected = 2;
        assert_int_equal(thing->value, expected++);
        ml_list_remove(node); /* allowed inside the loop */
    }
    assert_int_equal(expected, 4);
    assert_true(ml_list_is_empty(&head));
}

static void a_splice_moves_everything(void **state)
{
    struct ml_list a, b;
    struct thing one = {.value = 1}, two = {.value = 2};

    (void)state;
    ml_list_init(&a);
    ml_list_init(&b);
    ml_list_splice(&a, &b);
    assert_true(ml_list_is_empty(&a));
    ml_list_append(&a, &one.node);
    ml_list_append(&b, &two.node);
    ml_list_splice(&a, &b);
    assert_true(ml_list_is_empty(&b));
    assert_ptr_equal(ml_list_take_first(&a), &one.node);
    assert_ptr_equal(ml_list_take_first(&a), &two.node);
    assert_null(ml_list_take_first(&a));
}

static void a_zeroed_node_is_in_no_list(void **state)
{
    struct thing thing = {0};

    (void)state;
    assert_false(ml_list_is_linked(&thing.node));
    ml_list_remove(&thing.node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append_take_and_remove_keep_the_order),
        cmocka_unit_test(a_splice_moves_everything),
        cmocka_unit_test(a_zeroed_node_is_in_no_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
