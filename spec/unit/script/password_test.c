/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <string.h>

#include "script/password.h"

static void a_password_matches_its_hash_only(void **state)
{
    char hash[ML_PASSWORD_HASH_MAX], other[ML_PASSWORD_HASH_MAX];

    (void)state;
    assert_int_equal(ml_password_hash(ML_SLICE("correct horse"), hash), ML_OK);
    assert_memory_equal(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
    assert_true(ml_password_check(ML_SLICE("correct horse"), ml_slice_str(hash)));
    assert_false(ml_password_check(ML_SLICE("correct horsf"), ml_slice_str(hash)));
    assert_false(ml_password_check(ML_SLICE("correct hors"), ml_slice_str(hash)));
    assert_false(ml_password_check(ML_SLICE("correct horse\0"), ml_slice_str(hash)));
    assert_int_equal(ml_password_hash(ML_SLICE("correct horse"), other), ML_OK);
    assert_string_not_equal(hash, other);
}

static void nothing_matches_what_is_missing_or_broken(void **state)
{
    static const char *const hashes[] = {
        "",
        "undefined",
        "null",
        "$argon2id$",
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$argon2id$v=19$m=19456,t=2,p=1$$",
        "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=16$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=100000,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=1,p=64$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    };
    static char big[ML_PASSWORD_MAX_BYTES + 1], out[ML_PASSWORD_HASH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++) {
        assert_false(ml_password_check(ML_SLICE("x"), ml_slice_str(hashes[i])));
        assert_false(ml_password_check(ML_SLICE(""), ml_slice_str(hashes[i])));
        assert_false(ml_password_check(ml_slice_str(hashes[i]), ml_slice_str(hashes[i])));
    }
    assert_int_equal(ml_password_hash(ML_SLICE(""), out), ML_EFORMAT);
    assert_int_equal(ml_password_hash(ml_slice_make(big, sizeof(big)), out), ML_ELIMIT);
    assert_int_equal(ml_password_hash(ml_slice_make(big, sizeof(big) - 1), out), ML_OK);
    assert_false(ml_password_check(ml_slice_make(big, sizeof(big)), ml_slice_str(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_matches_its_hash_only),
        cmocka_unit_test(nothing_matches_what_is_missing_or_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
