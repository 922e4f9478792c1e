/* SPDX-License-Identifier: MIT */
/* Our own keys and tokens: what was sealed comes back, two keys live at once, no kind of token is
 * another (SEC-JWT-06, -09), and nobody gives more than they hold (SEC-AZ-09). */
#include "auth/auth.h"

#include "support/test.h"

#include <stdio.h>

#define NOW 1700000000

static const uint8_t seal_key[ML_OWN_SEAL_BYTES] = {1, 2, 3};

static struct ml_arena scratch;
static struct ml_own_keys *keys;

static int set_up(void **state)
{
    (void)state;
    ml_arena_init(&scratch, 1u << 20);
    assert_int_equal(ml_own_keys_make(NOW - 1000, &keys), ML_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ml_own_keys_free(keys);
    ml_arena_release(&scratch);
    return 0;
}

static struct ml_own_token token_for(const char *user)
{
    struct ml_own_token token = {.org = ML_SLICE("acme"),
                                 .user = ml_slice_str(user),
                                 .name = ML_SLICE("Ana \"the\" first\n"),
                                 .doc = ML_SLICE("plans/*"),
                                 .expires_s = NOW + 60};

    ml_identity_add(token.roles, ML_SLICE("viewer"));
    ml_identity_add(token.roles, ML_SLICE("reviewer"));
    return token;
}

static struct ml_slice mint(const struct ml_own_keys *with, enum ml_own_kind kind, int64_t now_s)
{
    struct ml_own_token token = token_for("ana");
    struct ml_slice text;

    token.kind = kind;
    token.expires_s = now_s + 60;
    assert_int_equal(ml_own_mint(with, &token, now_s, &scratch, &text), ML_OK);
    return text;
}

static void test_says_what_it_was_given(void **state)
{
    struct ml_own_token got;

    (void)state;
    assert_int_equal(
        ml_own_verify(keys, ML_OWN_ACCESS, mint(keys, ML_OWN_ACCESS, NOW), NOW, &scratch, &got),
        ML_OK);
    assert_true(ml_slice_equal(got.user, ML_SLICE("ana")));
    assert_true(ml_slice_equal(got.org, ML_SLICE("acme")));
    assert_true(ml_slice_equal(got.name, ML_SLICE("Ana \"the\" first\n")));
    assert_string_equal(got.roles, "viewer\nreviewer\n");
    assert_int_equal(got.expires_s, NOW + 60);
    assert_int_equal(got.id.len, 32);
}

static void test_kinds_are_not_each_other(void **state)
{
    struct ml_own_token got;

    (void)state;
    for (int made = 0; made < ML_OWN_KINDS; made++)
        for (int asked = 0; asked < ML_OWN_KINDS; asked++)
            assert_int_equal(ml_own_verify(keys, (enum ml_own_kind)asked,
                                           mint(keys, (enum ml_own_kind)made, NOW), NOW, &scratch,
                                           &got),
                             made == asked ? ML_OK : ML_EDENIED);
}

static void test_lives_as_long_as_its_kind(void **state)
{
    static const int64_t most[ML_OWN_KINDS] = {900, 60, ML_OWN_INVITE_MAX_S, ML_OWN_LINK_MAX_S};
    struct ml_own_token token = token_for("ana"), got;
    struct ml_slice text;

    (void)state;
    for (int kind = 0; kind < ML_OWN_KINDS; kind++) {
        token.kind = (enum ml_own_kind)kind;
        token.expires_s = NOW + most[kind] + 1;
        assert_int_equal(ml_own_mint(keys, &token, NOW, &scratch, &text), ML_ELIMIT);
        token.expires_s = NOW + most[kind];
        assert_int_equal(ml_own_mint(keys, &token, NOW, &scratch, &text), ML_OK);
        assert_int_equal(ml_own_verify(keys, token.kind, text,
                                       NOW + most[kind] + ML_TOKEN_LEEWAY_S - 1, &scratch, &got),
                         ML_OK);
        assert_int_equal(ml_own_verify(keys, token.kind, text, NOW + most[kind] + ML_TOKEN_LEEWAY_S,
                                       &scratch, &got),
                         ML_ETIMEDOUT);
    }
}

static void test_needs_user_and_org(void **state)
{
    struct ml_own_token token = token_for("");
    struct ml_slice text;

    (void)state;
    assert_int_equal(ml_own_mint(keys, &token, NOW, &scratch, &text), ML_EFORMAT);
    token = token_for("ana");
    token.org = ML_SLICE("Not An Org");
    assert_int_equal(ml_own_mint(keys, &token, NOW, &scratch, &text), ML_EFORMAT);
    token = token_for("\xff\xfe");
    assert_int_equal(ml_own_mint(keys, &token, NOW, &scratch, &text), ML_EFORMAT);
}

static void test_covers_its_documents(void **state)
{
    struct ml_own_token token = token_for("ana");

    (void)state;
    assert_true(ml_own_covers(&token, ML_SLICE("acme"), ML_SLICE("plans/q3")));
    assert_false(ml_own_covers(&token, ML_SLICE("acme"), ML_SLICE("plans/q3/draft")));
    assert_false(ml_own_covers(&token, ML_SLICE("acme"), ML_SLICE("other")));
    assert_false(ml_own_covers(&token, ML_SLICE("acm"), ML_SLICE("plans/q3")));
    assert_false(ml_own_covers(&token, ML_SLICE("acme"), ML_SLICE("")));
    token.doc = (struct ml_slice){0};
    assert_true(ml_own_covers(&token, ML_SLICE("acme"), ML_SLICE("")));
    assert_true(ml_own_covers(&token, ML_SLICE("acme"), ML_SLICE("a/b/c")));
}

/* SEC-JWT-09: before, while and after the keys change, every token that is valid is taken. */
static void test_rotation_refuses_nobody(void **state)
{
    struct ml_own_keys *next;
    struct ml_own_token got;
    struct ml_slice before = mint(keys, ML_OWN_ACCESS, NOW), during, after;

    (void)state;
    assert_int_equal(ml_own_keys_rotate(keys, NOW, &next), ML_OK);
    assert_int_equal(ml_keyset_count(ml_own_keys_all(next)), 2);
    during = mint(next, ML_OWN_ACCESS, NOW + ML_OWN_SPREAD_S - 1);
    after = mint(next, ML_OWN_ACCESS, NOW + ML_OWN_SPREAD_S);
    assert_int_equal(ml_own_verify(next, ML_OWN_ACCESS, before, NOW, &scratch, &got), ML_OK);
    /* A node that has not read the new keys yet. */
    assert_int_equal(ml_own_verify(keys, ML_OWN_ACCESS, during, NOW + 29, &scratch, &got), ML_OK);
    assert_int_equal(ml_own_verify(next, ML_OWN_ACCESS, during, NOW + 29, &scratch, &got), ML_OK);
    assert_int_equal(ml_own_verify(next, ML_OWN_ACCESS, after, NOW + 30, &scratch, &got), ML_OK);
    assert_int_equal(ml_own_verify(keys, ML_OWN_ACCESS, after, NOW + 30, &scratch, &got),
                     ML_ENOTFOUND);
    ml_own_keys_free(next);
}

static void test_sealed_and_opened(void **state)
{
    uint8_t other[ML_OWN_SEAL_BYTES] = {9};
    struct ml_own_keys *next, *back;
    struct ml_own_token got;
    struct ml_writer text;

    (void)state;
    assert_int_equal(ml_own_keys_rotate(keys, NOW, &next), ML_OK);
    ml_writer_init(&text, ML_OWN_SEALED_MAX);
    assert_int_equal(ml_own_keys_seal(next, seal_key, &text), ML_OK);
    assert_int_equal(ml_own_keys_open(ml_writer_slice(&text), other, &back), ML_EDENIED);
    assert_int_equal(ml_own_keys_open(ml_writer_slice(&text), seal_key, &back), ML_OK);
    assert_int_equal(ml_own_keys_made_s(back, 0), NOW);
    assert_int_equal(ml_own_keys_made_s(back, 1), NOW - 1000);
    assert_int_equal(
        ml_own_verify(back, ML_OWN_ACCESS, mint(next, ML_OWN_ACCESS, NOW), NOW, &scratch, &got),
        ML_OK);
    ml_own_keys_free(back);
    /* Every character counts, and so does the length. */
    for (size_t i = 0; i < text.len; i++) {
        uint8_t kept = text.ptr[i];
        enum ml_err err;

        text.ptr[i] = kept == 'A' ? 'B' : 'A';
        err = ml_own_keys_open(ml_writer_slice(&text), seal_key, &back);
        assert_true(err == ML_EDENIED || err == ML_EFORMAT);
        err = ml_own_keys_open(ml_slice_make(text.ptr, i), seal_key, &back);
        assert_true(err == ML_EDENIED || err == ML_EFORMAT);
        text.ptr[i] = kept;
    }
    ml_writer_release(&text);
    ml_own_keys_free(next);
}

static void test_keys_of_programs(void **state)
{
    char text[ML_API_KEY_LEN + 1], hash[ML_API_KEY_HASH + 1], again[ML_API_KEY_HASH + 1];
    struct ml_slice id;

    (void)state;
    assert_true(ml_api_key_make(text, hash));
    assert_int_equal(strlen(text), ML_API_KEY_LEN);
    assert_true(ml_api_key_read(ml_slice_str(text), &id, again));
    assert_string_equal(hash, again);
    assert_memory_equal(id.ptr, text + 3, ML_API_KEY_ID_LEN);
    for (size_t i = 0; i < ML_API_KEY_LEN; i++) {
        char kept = text[i];

        text[i] = '/';
        assert_false(ml_api_key_read(ml_slice_str(text), &id, again));
        text[i] = kept;
        assert_false(ml_api_key_read(ml_slice_make(text, i), &id, again));
    }
}

static void test_nobody_gives_more_than_they_hold(void **state)
{
    static const char *const ours[] = {"viewer", "commenter", "suggester",
                                       "editor", "owner",     "admin"};
    char held[512];

    (void)state;
    for (size_t has = 0; has < 6; has++) {
        held[0] = '\0';
        ml_identity_add(held, ml_slice_str(ours[has]));
        for (size_t gives = 0; gives < 6; gives++)
            assert_int_equal(ml_role_may_give(held, ml_slice_str(ours[gives])), gives <= has);
        assert_false(ml_role_may_give(held, ML_SLICE("robot")));
        ml_identity_add(held, ML_SLICE("robot"));
        assert_true(ml_role_may_give(held, ML_SLICE("robot")));
    }
    assert_false(ml_role_may_give("", ML_SLICE("viewer")));
}

static void test_commenters_and_suggesters_write_in_places_only(void **state)
{
    static const struct ml_role_rights usual;
    static const struct ml_grant_edit own = {1, {(const uint8_t *)"comments/ana/1", 14}, {0}};
    static const struct ml_grant_edit text = {1, {(const uint8_t *)"content", 7}, {0}};
    struct ml_slice code, reason, added, removed;
    struct ml_arena arena;
    struct ml_grant grant;

    (void)state;
    ml_arena_init(&arena, 1 << 20);
    assert_true(ml_role_grant(ML_ROLE_NONE, &usual, ML_SLICE("ana"), &arena, &grant));
    assert_int_equal(grant.may, 0);
    assert_true(ml_role_grant(ML_ROLE_EDITOR, &usual, ML_SLICE("ana"), &arena, &grant));
    assert_true(ml_grant_allows(&grant, ML_MAY_WRITE | ML_MAY_EVERYWHERE));
    for (enum ml_role role = ML_ROLE_COMMENTER; role <= ML_ROLE_SUGGESTER; role++) {
        assert_true(ml_role_grant(role, &usual, ML_SLICE("ana"), &arena, &grant));
        assert_true(ml_grant_allows(&grant, ML_MAY_WRITE));
        assert_false(ml_grant_allows(&grant, ML_MAY_WRITE | ML_MAY_EVERYWHERE));
        assert_true(ml_grant_allows_edit(&grant, &own, &code, &reason));
        assert_false(ml_grant_allows_edit(&grant, &text, &code, &reason));
        assert_int_equal(ml_grant_allows_proposal(&grant, &text, &added, &removed),
                         role == ML_ROLE_SUGGESTER);
        assert_int_equal(ml_grant_proposes(&grant), role == ML_ROLE_SUGGESTER);
        assert_true(ml_role_grant(role, &usual, ML_SLICE("ben"), &arena, &grant));
        assert_false(ml_grant_allows_edit(&grant, &own, &code, &reason));
        /* Who cannot be named writes nowhere. */
        assert_true(ml_role_grant(role, &usual, ML_SLICE("*"), &arena, &grant));
        assert_false(ml_grant_allows_edit(&grant, &own, &code, &reason));
    }
    ml_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commenters_and_suggesters_write_in_places_only),
        cmocka_unit_test_setup_teardown(test_says_what_it_was_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kinds_are_not_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lives_as_long_as_its_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_needs_user_and_org, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_covers_its_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rotation_refuses_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sealed_and_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_of_programs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_gives_more_than_they_hold, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
