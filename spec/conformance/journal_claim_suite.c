/* SPDX-License-Identifier: MIT */
/*
 * Whose a client id is, in every journal. `journal_claim_suite memory|sqlite|postgres`.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct ml_claim claim_of(uint64_t client, const char *user)
{
    return (struct ml_claim){.client = client, .user = ml_slice_str(user)};
}

/* With or without a record; answers whether the id is another's. */
static bool claims(struct journal_client *client, const char *name, uint64_t id, const char *user,
                   const char *record)
{
    struct ml_claim claim = claim_of(id, user);
    struct append_case c;

    append_init(&c, name);
    if (record)
        append_add(&c, record, NULL, 0);
    c.append.claims = &claim;
    c.append.claim_count = 1;
    assert_int_equal(append_run(client, &c), ML_OK);
    append_release(&c);
    return claim.is_taken;
}

struct asking {
    struct ml_load load;
    bool answered;
};

static void on_loaded(struct ml_load *load)
{
    ML_CONTAINER(load, struct asking, load)->answered = true;
}

static enum ml_err load_claims(struct journal_client *client, const char *name, struct ml_load *out)
{
    struct asking a = {.load = {.org = ML_SLICE("default"),
                                .name = ml_slice_str(name),
                                .max_snapshot_seq = ML_SEQ_ANY,
                                .wants_claims = true,
                                .done = on_loaded}};

    ml_journal_load(client->journal, &a.load);
    client_wait(client, &a.answered);
    *out = a.load;
    return out->err;
}

static size_t count_claims(struct journal_client *client, const char *name)
{
    struct ml_reader in;
    struct ml_claim claim;
    struct ml_load load;
    size_t count = 0;

    assert_int_equal(load_claims(client, name, &load), ML_OK);
    in = ml_reader_make(load.claims ? ml_blob_slice(load.claims) : ml_slice_make(NULL, 0));
    while (ml_claims_next(&in, &claim))
        count++;
    assert_int_equal(ml_reader_left(&in), 0);
    ml_load_release(&load);
    return count;
}

/* Whose it is; "?": nobody's. */
static const char *owner(struct journal_client *client, const char *name, uint64_t id)
{
    static char text[512];
    struct ml_reader in;
    struct ml_claim claim;
    struct ml_load load;

    (void)snprintf(text, sizeof text, "?");
    assert_int_equal(load_claims(client, name, &load), ML_OK);
    in = ml_reader_make(load.claims ? ml_blob_slice(load.claims) : ml_slice_make(NULL, 0));
    while (ml_claims_next(&in, &claim))
        if (claim.client == id)
            (void)snprintf(text, sizeof text, "%.*s", ML_PRINT(claim.user));
    ml_load_release(&load);
    return text;
}

/* --- claiming --- */

static void the_first_who_claims_an_id_has_it(void **state)
{
    assert_false(claims(*state, "notes", 7, "anna", "a"));
    assert_true(claims(*state, "notes", 7, "ben", "b"));
    assert_false(claims(*state, "notes", 7, "anna", "c"));
    assert_string_equal(owner(*state, "notes", 7), "anna");
    assert_string_equal(owner(*state, "notes", 8), "?");
    assert_int_equal(count_claims(*state, "notes"), 1);
}

static void a_claim_of_anothers_does_not_stop_the_records(void **state)
{
    struct ml_load load;

    assert_false(claims(*state, "notes", 7, "anna", "a"));
    assert_true(claims(*state, "notes", 7, "ben", "b"));
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.count, 2);
    assert_null(load.claims); /* nobody asked for them */
    ml_load_release(&load);
}

static void names_are_compared_byte_for_byte(void **state)
{
    assert_false(claims(*state, "notes", 7, "anna", "a"));
    assert_true(claims(*state, "notes", 7, "Anna", "a"));
    assert_true(claims(*state, "notes", 7, "anna ", "a"));
    assert_true(claims(*state, "notes", 7, "", "a"));
}

static void the_server_claims_without_a_name(void **state)
{
    assert_false(claims(*state, "notes", 7, "", "a"));
    assert_true(claims(*state, "notes", 7, "anna", "b"));
    assert_false(claims(*state, "notes", 7, "", "c"));
    assert_string_equal(owner(*state, "notes", 7), "");
}

static void who_only_looks_claims_nothing(void **state)
{
    struct ml_claim look[] = {{.client = 7, .only_look = true}, {.client = 8, .only_look = true}};
    struct append_case c;

    assert_false(claims(*state, "notes", 7, "anna", "a"));
    append_init(&c, "notes");
    c.append.claims = look;
    c.append.claim_count = 2;
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_true(look[0].is_taken);
    assert_false(look[1].is_taken);
    assert_string_equal(owner(*state, "notes", 8), "?");
}

static void documents_and_orgs_are_apart(void **state)
{
    struct ml_claim claim = claim_of(7, "ben");
    struct append_case c;

    assert_false(claims(*state, "notes", 7, "anna", "a"));
    assert_false(claims(*state, "plans", 7, "ben", "b"));
    append_init(&c, "notes");
    c.append.org = ML_SLICE("acme");
    append_add(&c, "x", NULL, 0);
    c.append.claims = &claim;
    c.append.claim_count = 1;
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_false(claim.is_taken);
    assert_string_equal(owner(*state, "notes", 7), "anna");
    assert_string_equal(owner(*state, "plans", 7), "ben");
}

static void a_claim_needs_no_record(void **state)
{
    struct ml_load load;

    assert_int_equal(client_append_some(*state, "notes", 3), 3);
    assert_false(claims(*state, "notes", 7, "anna", NULL));
    assert_true(claims(*state, "notes", 7, "ben", NULL));
    assert_int_equal(client_load(*state, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.head, 3);
    ml_load_release(&load);
    assert_false(claims(*state, "fresh", 7, "ben", NULL));
    assert_string_equal(owner(*state, "fresh", 7), "ben");
}

static void many_ids_of_many_users_go_in_at_once(void **state)
{
    enum { COUNT = 500, USERS = 7 };
    static const char *const users[USERS] = {"a", "b", "", "日本", "e'\"", "f", "a"};
    static struct ml_claim all[COUNT];
    struct append_case c;

    for (size_t i = 0; i < COUNT; i++)
        all[i] = claim_of(ML_VARUINT_MAX - i, users[i % USERS]);
    append_init(&c, "notes");
    append_add(&c, "x", NULL, 0);
    c.append.claims = all;
    c.append.claim_count = COUNT;
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    for (size_t i = 0; i < COUNT; i++)
        assert_false(all[i].is_taken);
    assert_int_equal(count_claims(*state, "notes"), COUNT);
    for (size_t i = 0; i < USERS; i++)
        assert_string_equal(owner(*state, "notes", ML_VARUINT_MAX - i), users[i]);
}

static void of_two_claims_in_one_append_the_first_counts(void **state)
{
    struct ml_claim two[] = {claim_of(7, "anna"), claim_of(7, "ben")};
    struct append_case c;

    append_init(&c, "notes");
    append_add(&c, "x", NULL, 0);
    c.append.claims = two;
    c.append.claim_count = 2;
    assert_int_equal(append_run(*state, &c), ML_OK);
    append_release(&c);
    assert_true(two[0].is_taken != two[1].is_taken);
    assert_string_equal(owner(*state, "notes", 7), two[0].is_taken ? "ben" : "anna");
}

/* --- together with the records, or not at all --- */

static void an_append_that_fails_claims_nothing(void **state)
{
    struct ml_claim claim = claim_of(7, "ben");
    struct append_case c;

    assert_int_equal(client_append_some(*state, "notes", 1), 1);
    append_init(&c, "notes");
    append_add(&c, "late", NULL, 0);
    c.append.expected_head = 0;
    c.append.claims = &claim;
    c.append.claim_count = 1;
    assert_int_equal(append_run(*state, &c), ML_EMOVED);
    append_release(&c);
    append_init(&c, "notes");
    append_add(&c, "again", NULL, 0);
    c.append.creates = true;
    c.append.claims = &claim;
    c.append.claim_count = 1;
    assert_int_equal(append_run(*state, &c), ML_ECONFLICT);
    append_release(&c);
    assert_int_equal(count_claims(*state, "notes"), 0);
    assert_false(claims(*state, "notes", 7, "anna", "a"));
}

static void a_repeat_has_its_claims_already(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ml_claim claim = claim_of(7, "anna");
        struct append_case c;

        append_init(&c, "notes");
        append_add(&c, "x", "session", 1);
        c.append.claims = &claim;
        c.append.claim_count = 1;
        assert_int_equal(append_run(*state, &c), ML_OK);
        assert_false(claim.is_taken);
        assert_int_equal(c.append.head, 1);
        append_release(&c);
    }
    assert_int_equal(count_claims(*state, "notes"), 1);
}

static void of_many_appends_at_once_one_has_the_id(void **state)
{
    enum { COUNT = 40 };
    static struct append_case cases[COUNT];
    static struct ml_claim all[COUNT];
    static char users[COUNT][16];
    unsigned had = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(users[i], sizeof users[i], "user%u", i);
        all[i] = claim_of(7, users[i]);
        append_init(&cases[i], "notes");
        append_add(&cases[i], "x", NULL, 0);
        cases[i].append.claims = &all[i];
        cases[i].append.claim_count = 1;
        append_send(*state, &cases[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        client_wait(*state, &cases[i].answered);
        assert_int_equal(cases[i].append.err, ML_OK);
        if (!all[i].is_taken)
            assert_string_equal(owner(*state, "notes", 7), users[i]);
        had += !all[i].is_taken;
        append_release(&cases[i]);
    }
    assert_int_equal(had, 1);
}

/* --- they last --- */

struct compacting {
    struct ml_compact request;
    bool answered;
};

static void on_compacted(struct ml_compact *request)
{
    ML_CONTAINER(request, struct compacting, request)->answered = true;
}

static void snapshots_and_compaction_leave_them(void **state)
{
    struct compacting c = {.request = {.org = ML_SLICE("default"),
                                       .name = ML_SLICE("notes"),
                                       .upto = 10,
                                       .epoch = 1,
                                       .done = on_compacted}};
    struct ml_load load;

    assert_false(claims(*state, "notes", 7, "anna", "a"));
    for (uint64_t seq = 2; seq <= 40; seq++) {
        assert_int_equal(client_append_some(*state, "notes", 1), seq);
        if (seq % 10 == 0)
            assert_int_equal(
                client_put_snapshot(*state, "notes", seq, 1, ML_SLICE("state"), UINT32_MAX), ML_OK);
    }
    ml_journal_compact(((struct journal_client *)*state)->journal, &c.request);
    client_wait(*state, &c.answered);
    assert_int_equal(c.request.err, ML_OK);
    assert_int_equal(c.request.compacted_seq, 10);
    assert_int_equal(load_claims(*state, "notes", &load), ML_OK);
    assert_int_equal(load.snapshot_seq, 40);
    assert_non_null(load.claims);
    ml_load_release(&load);
    assert_true(claims(*state, "notes", 7, "ben", "b"));
}

struct deleting {
    struct ml_set_deleted request;
    bool answered;
};

static void on_set(struct ml_set_deleted *request)
{
    ML_CONTAINER(request, struct deleting, request)->answered = true;
}

static void set_deleted(struct journal_client *client, bool deleted)
{
    struct deleting d = {.request = {.org = ML_SLICE("default"),
                                     .name = ML_SLICE("notes"),
                                     .deleted = deleted,
                                     .at_ms = 5000,
                                     .done = on_set}};

    ml_journal_set_deleted(client->journal, &d.request);
    client_wait(client, &d.answered);
    assert_int_equal(d.request.err, ML_OK);
}

static void they_go_and_come_back_with_the_document(void **state)
{
    struct ml_load load;

    assert_false(claims(*state, "notes", 7, "anna", "a"));
    set_deleted(*state, true);
    assert_int_equal(load_claims(*state, "notes", &load), ML_ENOTFOUND);
    assert_null(load.claims);
    set_deleted(*state, false);
    assert_string_equal(owner(*state, "notes", 7), "anna");
}

static void what_is_on_disk_is_there_afterwards(void **state)
{
    struct journal_client *client = *state;

    if (client_open == client_open_memory)
        return; /* nothing is on disk */
    assert_false(claims(client, "notes", 7, "anna", "a"));
    client_close(client);
    assert_int_equal(client_open(client), ML_OK);
    assert_true(claims(client, "notes", 7, "ben", "b"));
    assert_string_equal(owner(client, "notes", 7), "anna");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, client_begin, client_end)
        TEST(the_first_who_claims_an_id_has_it),
        TEST(a_claim_of_anothers_does_not_stop_the_records),
        TEST(names_are_compared_byte_for_byte),
        TEST(the_server_claims_without_a_name),
        TEST(who_only_looks_claims_nothing),
        TEST(documents_and_orgs_are_apart),
        TEST(a_claim_needs_no_record),
        TEST(many_ids_of_many_users_go_in_at_once),
        TEST(of_two_claims_in_one_append_the_first_counts),
        TEST(an_append_that_fails_claims_nothing),
        TEST(a_repeat_has_its_claims_already),
        TEST(of_many_appends_at_once_one_has_the_id),
        TEST(snapshots_and_compaction_leave_them),
        TEST(they_go_and_come_back_with_the_document),
        TEST(what_is_on_disk_is_there_afterwards),
#undef TEST
    };

    if (argc != 2 || !client_choose(argv[1]))
        return 2;
    return cmocka_run_group_tests_name(argv[1], tests, NULL, NULL);
}
