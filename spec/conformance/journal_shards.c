/* SPDX-License-Identifier: MIT */
/*
 * Several primaries: databases of one server stand for them, and one that does not answer for one
 * that is down. What spec/server cannot show of placing, merging and losing one.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

enum { ORGS = 40 };

static struct journal_client client, other; /* two nodes */
static char urls[2][256], address[1024];
static bool answered;

/* The first column of the first row. */
static const char *ask(const char *url, const char *sql)
{
    static char text[128];
    PGconn *conn = PQconnectdb(url);
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    (void)snprintf(text, sizeof text, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    return text;
}

static const char *folder(void)
{
    static char host[128];

    assert_int_equal(sscanf(getenv("MOONLOOM_TEST_PG"), "host=%127s", host), 1);
    return host;
}

static void make_database(const char *name, char *url, size_t size)
{
    char admin[256], sql[128];

    (void)snprintf(admin, sizeof admin, "postgres:///postgres?host=%s&user=moonloom", folder());
    (void)snprintf(sql, sizeof sql, "CREATE DATABASE \"%s\" TEMPLATE template0", name);
    (void)ask(admin, sql);
    (void)snprintf(url, size, "postgres:///%s?host=%s&user=moonloom", name, folder());
}

/* Nobody gets in any more; then again. */
static void shut(const char *name, bool is_shut)
{
    char admin[256], sql[256];

    (void)snprintf(admin, sizeof admin, "postgres:///postgres?host=%s&user=moonloom", folder());
    (void)snprintf(sql, sizeof sql, "ALTER DATABASE \"%s\" ALLOW_CONNECTIONS %s", name,
                   is_shut ? "false" : "true");
    (void)ask(admin, sql);
    (void)snprintf(sql, sizeof sql,
                   "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'",
                   name);
    if (is_shut)
        (void)ask(admin, sql);
}

static enum ml_err open_node(struct journal_client *node)
{
    struct ml_diag diag = {0};
    enum ml_err err = ml_journal_open(address, &node->loop, &diag, &node->journal);

    if (err)
        print_message("%s\n", diag.text);
    return err;
}

static char names[2][32];

static int begin(void **state)
{
    static unsigned number;

    (void)state;
    client_init(&client);
    client_init(&other);
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(names[i], sizeof names[i], "shard_%c_%u", 'a' + (int)i, number);
        make_database(names[i], urls[i], sizeof urls[i]);
    }
    number++;
    (void)snprintf(address, sizeof address, "shards:b=%s a=%s", urls[1], urls[0]);
    return open_node(&client) || open_node(&other) ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    client_release(&client);
    client_release(&other);
    return 0;
}

static enum ml_err append_to(struct journal_client *node, const char *org, const char *name,
                             uint64_t *head_out)
{
    struct append_case c;
    enum ml_err err;

    append_init(&c, name);
    c.append.org = ml_slice_str(org);
    append_add(&c, "x", NULL, 0);
    err = append_run(node, &c);
    if (head_out)
        *head_out = c.append.head;
    append_release(&c);
    return err;
}

static void on_load(struct ml_load *load)
{
    (void)load;
    answered = true;
}

static enum ml_err load_head(struct journal_client *node, const char *org, const char *name,
                             uint64_t *head_out)
{
    struct ml_load load = {.org = ml_slice_str(org),
                           .name = ml_slice_str(name),
                           .max_snapshot_seq = ML_SEQ_ANY,
                           .done = on_load};
    enum ml_err err;

    answered = false;
    ml_journal_load(node->journal, &load);
    client_wait(node, &answered);
    err = load.err;
    *head_out = load.head;
    ml_load_release(&load);
    return err;
}

static void org_name(char *out, unsigned i)
{
    (void)sprintf(out, "org-%u", i);
}

/* 0: on a, 1: on b. */
static unsigned home_of(const char *org)
{
    char sql[128];

    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM documents WHERE org = '%s'", org);
    return strcmp(ask(urls[0], sql), "0") == 0;
}

static void orgs_are_spread_and_every_node_finds_them(void **state)
{
    unsigned on[2] = {0, 0};
    char org[32];
    uint64_t head;

    (void)state;
    for (unsigned i = 0; i < ORGS; i++) {
        org_name(org, i);
        assert_int_equal(append_to(&client, org, "notes", &head), ML_OK);
        assert_int_equal(append_to(&other, org, "notes", &head), ML_OK);
        assert_int_equal(head, 2);
        on[home_of(org)]++;
    }
    print_message("%u orgs on a, %u on b\n", on[0], on[1]);
    assert_true(on[0] >= ORGS / 5 && on[1] >= ORGS / 5);
    client_close(&client); /* and one that has seen nothing yet */
    assert_int_equal(open_node(&client), ML_OK);
    for (unsigned i = 0; i < ORGS; i++) {
        org_name(org, i);
        assert_int_equal(load_head(&client, org, "notes", &head), ML_OK);
        assert_int_equal(head, 2);
    }
}

static void reading_of_an_org_that_is_nowhere_makes_none(void **state)
{
    uint64_t head;

    (void)state;
    assert_int_equal(load_head(&client, "nobody", "notes", &head), ML_OK);
    assert_int_equal(head, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_string_equal(ask(urls[i], "SELECT count(*) FROM orgs"), "0");
    assert_string_equal(ask(urls[0], "SELECT count(*) FROM placements"), "0");
}

static unsigned asked;

static size_t always_b(void *arg, struct ml_slice org, const struct ml_slice *shards, size_t count)
{
    (void)arg;
    (void)org;
    assert_int_equal(count, 2);
    assert_true(ml_slice_equal(shards[1], ML_SLICE("b")));
    asked++;
    return 1;
}

static size_t always_a(void *arg, struct ml_slice org, const struct ml_slice *shards, size_t count)
{
    (void)arg;
    (void)org;
    (void)shards;
    (void)count;
    return 0;
}

static void the_first_answer_of_a_placer_holds(void **state)
{
    struct append_case c[2];
    char org[32];

    (void)state;
    ml_journal_set_placer(client.journal, always_b, NULL);
    for (unsigned i = 0; i < 10; i++) {
        org_name(org, i);
        assert_int_equal(append_to(&client, org, "notes", NULL), ML_OK);
        assert_int_equal(home_of(org), 1);
    }
    assert_int_equal(asked, 10);
    /* Two nodes that do not agree, at the same time: one place. */
    ml_journal_set_placer(other.journal, always_a, NULL);
    for (unsigned i = 10; i < 30; i++) {
        org_name(org, i);
        for (unsigned n = 0; n < 2; n++) {
            append_init(&c[n], "notes");
            c[n].append.org = ml_slice_str(org);
            append_add(&c[n], "x", NULL, 0);
            append_send(n ? &other : &client, &c[n]);
        }
        while (!c[0].answered || !c[1].answered) {
            (void)uv_run(&client.loop, UV_RUN_NOWAIT);
            (void)uv_run(&other.loop, UV_RUN_NOWAIT);
            usleep(100);
        }
        for (unsigned n = 0; n < 2; n++) {
            assert_int_equal(c[n].append.err, ML_OK);
            append_release(&c[n]);
        }
        assert_int_equal(c[0].append.head + c[1].append.head, 3);
    }
}

static void on_heads(struct ml_heads *heads)
{
    (void)heads;
    answered = true;
}

static void heads_of_orgs_on_several_primaries_are_told_at_once(void **state)
{
    struct ml_doc_head items[ORGS];
    struct ml_heads heads = {.items = items, .count = ORGS, .done = on_heads};
    static char orgs[ORGS][32];
    uint64_t head;

    (void)state;
    for (unsigned i = 0; i < ORGS; i++) {
        org_name(orgs[i], i);
        for (unsigned k = 0; k <= i % 3; k++)
            assert_int_equal(append_to(&client, orgs[i], "notes", &head), ML_OK);
        items[i] = (struct ml_doc_head){.org = ml_slice_str(orgs[i]), .name = ML_SLICE("notes")};
    }
    answered = false;
    ml_journal_heads(client.journal, &heads);
    client_wait(&client, &answered);
    assert_int_equal(heads.err, ML_OK);
    for (unsigned i = 0; i < ORGS; i++) {
        assert_true(items[i].exists);
        assert_int_equal(items[i].head, i % 3 + 1);
    }
}

static void on_purges(struct ml_purges *purges)
{
    (void)purges;
    answered = true;
}

static void on_note(struct ml_purge_note *note)
{
    (void)note;
    answered = true;
}

static void note(enum ml_purge_act act, const char *org, uint64_t *ids, size_t count)
{
    struct ml_purge_note request = {.act = act,
                                    .org = ml_slice_str(org),
                                    .name = ML_SLICE("notes"),
                                    .reason = ML_PURGE_MANUAL,
                                    .ids = ids,
                                    .count = count,
                                    .at_ms = 1000,
                                    .due_ms = 2000,
                                    .done = on_note};

    answered = false;
    ml_journal_note_purge(client.journal, &request);
    client_wait(&client, &answered);
    assert_int_equal(request.err, ML_OK);
}

static void purges_of_all_primaries_are_seen_and_done(void **state)
{
    struct ml_purges purges = {.limit = 100, .done = on_purges};
    char org[32];

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        org_name(org, i);
        assert_int_equal(append_to(&client, org, "notes", NULL), ML_OK);
        note(ML_PURGE_PUSH, org, NULL, 0);
    }
    for (size_t left = 20;; left--) {
        uint64_t id;

        answered = false;
        ml_journal_purges(client.journal, &purges);
        client_wait(&client, &answered);
        assert_int_equal(purges.err, ML_OK);
        assert_int_equal(purges.count, left);
        id = left ? purges.items[0].id : 0;
        ml_purges_release(&purges);
        if (!left)
            break;
        note(ML_PURGE_TAKE, "", &id, 1);
        note(ML_PURGE_DONE, "", &id, 1);
    }
}

/* The orgs of the other go on, known ones and ones that are asked for the first time. */
static void one_primary_that_is_down_disturbs_only_its_own(void **state)
{
    char org[32];
    unsigned served = 0, refused = 0;
    unsigned home[ORGS];
    uint64_t head;

    (void)state;
    for (unsigned i = 0; i < ORGS; i++) {
        org_name(org, i);
        assert_int_equal(append_to(&client, org, "notes", NULL), ML_OK);
        home[i] = home_of(org);
    }
    shut(names[0], true); /* the one that decides where new orgs begin */
    for (unsigned i = 0; i < ORGS; i++) {
        enum ml_err err;

        org_name(org, i);
        err = append_to(i % 2 ? &client : &other, org, "notes", &head);
        if (home[i] == 1) {
            assert_int_equal(err, ML_OK);
            assert_int_equal(head, 2);
            served++;
        } else {
            assert_int_equal(err, ML_EIO);
            refused++;
        }
    }
    assert_true(served > 0 && refused > 0);
    client_close(&client); /* a node may start */
    assert_int_equal(open_node(&client), ML_OK);
    for (unsigned i = 0; i < ORGS; i++) {
        org_name(org, i);
        assert_int_equal(load_head(&client, org, "notes", &head), home[i] == 1 ? ML_OK : ML_EIO);
    }
    shut(names[0], false);
    for (unsigned i = 0; i < ORGS; i++) {
        enum ml_err err = ML_EIO;

        org_name(org, i);
        for (unsigned tries = 0; err && tries < 3000; tries++) {
            err = append_to(&client, org, "notes", &head);
            if (err)
                usleep(10000);
        }
        assert_int_equal(err, ML_OK);
    }
}

static void an_org_from_the_time_of_one_primary_is_where_it_was(void **state)
{
    char only[1024];
    uint64_t head;

    (void)state;
    client_close(&client);
    client_close(&other);
    (void)snprintf(only, sizeof only, "%s", address);
    for (unsigned i = 0; i < ORGS; i++) { /* all of them on a, by a node that knows only it */
        char org[32];

        org_name(org, i);
        if (i == 0) {
            (void)snprintf(address, sizeof address, "%s", urls[0]);
            assert_int_equal(open_node(&client), ML_OK);
        }
        assert_int_equal(append_to(&client, org, "notes", NULL), ML_OK);
    }
    client_close(&client);
    memcpy(address, only, sizeof address);
    assert_int_equal(open_node(&client), ML_OK);
    assert_int_equal(open_node(&other), ML_OK);
    for (unsigned i = 0; i < ORGS; i++) {
        char org[32];

        org_name(org, i);
        assert_int_equal(append_to(&client, org, "notes", &head), ML_OK);
        assert_int_equal(head, 2);
        assert_int_equal(home_of(org), 0);
    }
}

static void primaries_whose_addresses_were_swapped_are_noticed(void **state)
{
    uint64_t head;

    (void)state;
    assert_int_equal(append_to(&client, "acme", "notes", NULL), ML_OK);
    client_close(&client);
    (void)snprintf(address, sizeof address, "shards:a=%s b=%s", urls[1], urls[0]);
    assert_int_equal(open_node(&client), ML_OK);
    assert_int_equal(load_head(&client, "acme", "notes", &head), ML_EIO);
}

static void addresses_are_understood_or_refused(void **state)
{
    (void)state;
    assert_true(ml_journal_knows("shards:a=postgres://x/y"));
    assert_true(ml_journal_knows("shards:a=postgres://x/y b=postgresql://z/y a<postgres://r/y"));
    assert_false(ml_journal_knows("shards:"));
    assert_false(ml_journal_knows("shards:a=sqlite:x"));
    assert_false(ml_journal_knows("shards:a=postgres://x/y a=postgres://z/y"));
    assert_false(ml_journal_knows("shards:a=postgres://x/y c<postgres://z/y"));
    assert_false(ml_journal_knows("shards:A=postgres://x/y"));
    assert_false(ml_journal_knows("shards:=postgres://x/y"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(orgs_are_spread_and_every_node_finds_them),
        TEST(reading_of_an_org_that_is_nowhere_makes_none),
        TEST(the_first_answer_of_a_placer_holds),
        TEST(heads_of_orgs_on_several_primaries_are_told_at_once),
        TEST(purges_of_all_primaries_are_seen_and_done),
        TEST(one_primary_that_is_down_disturbs_only_its_own),
        TEST(an_org_from_the_time_of_one_primary_is_where_it_was),
        TEST(primaries_whose_addresses_were_swapped_are_noticed),
        cmocka_unit_test(addresses_are_understood_or_refused),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
