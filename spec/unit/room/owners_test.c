/* SPDX-License-Identifier: MIT */
/* The table of client ids and their users against a naive one, and what it weighs. */
#include "support/test.h"

#include <stdio.h>

#include "room/claims.h"

static struct ml_slice user(unsigned i)
{
    static char text[8][16];
    static unsigned turn;
    char *out = text[turn++ % 8];

    if (!i)
        return ml_slice_make("", 0); /* the server */
    (void)snprintf(out, sizeof text[0], "user%u", i);
    return ml_slice_str(out);
}

static void an_empty_one_knows_nobody(void **state)
{
    struct ml_owners owners = {0};
    struct ml_slice owner;

    (void)state;
    assert_false(ml_owners_find(&owners, 7, &owner));
    ml_owners_forget(&owners, 7);
    assert_int_equal(ml_owners_memory_bytes(&owners), 0);
    ml_owners_release(&owners);
}

static void it_agrees_with_a_naive_one(void **state)
{
    enum { IDS = 500, USERS = 9, STEPS = 20000 };
    static int naive[IDS]; /* user + 1; 0: nobody's */
    struct ml_owners owners = {0};
    uint64_t rng = 1;

    (void)state;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned id, who;
        struct ml_slice owner;

        rng = rng * 6364136223846793005u + 1442695040888963407u;
        id = (unsigned)(rng >> 33) % IDS;
        who = (unsigned)(rng >> 50) % USERS;
        if (rng >> 62) {
            assert_true(ml_owners_put(&owners, id, user(who)));
            naive[id] = (int)who + 1;
        } else {
            ml_owners_forget(&owners, id);
            naive[id] = 0;
        }
        id = (unsigned)(rng >> 40) % IDS;
        assert_int_equal(ml_owners_find(&owners, id, &owner), naive[id] != 0);
        if (naive[id])
            assert_true(ml_slice_equal(owner, user((unsigned)naive[id] - 1)));
    }
    ml_owners_release(&owners);
}

/* docs/limits.md says so. */
static void an_id_weighs_at_most_43_bytes(void **state)
{
    struct ml_owners owners = {0};
    size_t names;

    (void)state;
    assert_true(ml_owners_put(&owners, 0, ML_SLICE("anna")));
    names = owners.user_bytes;
    for (uint64_t id = 1; id < ML_CLAIMS_MAX; id++) {
        assert_true(ml_owners_put(&owners, id * 7919, ML_SLICE("anna")));
        if (id >= 8)
            assert_true(ml_owners_memory_bytes(&owners) - names <= 43 * (id + 1));
    }
    assert_int_equal(owners.user_bytes, names);
    assert_int_equal(owners.count, ML_CLAIMS_MAX);
    ml_owners_release(&owners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_knows_nobody),
        cmocka_unit_test(it_agrees_with_a_naive_one),
        cmocka_unit_test(an_id_weighs_at_most_43_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
