/* SPDX-License-Identifier: MIT */
/*
 * What only a database over the network can suffer: several nodes over one primary, connections cut
 * at any moment, a server that restarts. Every record that was acknowledged is there once, in an
 * order without gaps; nothing is there twice.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#define NODES     3
#define DOCUMENTS 4
#define IN_FLIGHT 8
#define EACH      400 /* records of a node */

struct writer {
    struct append_case c;
    bool busy;
    unsigned number;
};

struct node {
    struct journal_client client;
    struct writer writers[IN_FLIGHT];
    unsigned next, confirmed, tries;
    uint64_t last_head[DOCUMENTS];
};

static const char *const names[DOCUMENTS] = {"a", "b", "c", "d"};
static struct node nodes[NODES];

static int begin(void **state)
{
    (void)state;
    memset(nodes, 0, sizeof nodes);
    for (unsigned i = 0; i < NODES; i++) {
        client_init(&nodes[i].client);
        if (i)
            memcpy(nodes[i].client.url, nodes[0].client.url, sizeof nodes[0].client.url);
        if (client_open_postgres(&nodes[i].client))
            return -1;
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NODES; i++)
        client_release(&nodes[i].client);
    return 0;
}

static void write_next(struct node *node, struct writer *w)
{
    char session[32], text[32];
    unsigned which = (unsigned)(node - nodes);

    w->number = node->next++;
    w->busy = true;
    (void)snprintf(session, sizeof session, "node%u", which);
    (void)snprintf(text, sizeof text, "%u/%u", which, w->number);
    append_init(&w->c, names[w->number % DOCUMENTS]);
    append_add(&w->c, text, strdup(session), w->number + 1);
    append_send(&node->client, &w->c);
}

/* What has come back: confirmed, or asked again with the same key. */
static void collect(struct node *node, struct writer *w)
{
    if (!w->busy || !w->c.answered)
        return;
    if (w->c.append.err == ML_EIO) {
        node->tries++;
        w->c.answered = false;
        append_send(&node->client, &w->c);
        return;
    }
    assert_int_equal(w->c.append.err, ML_OK);
    node->confirmed++;
    w->busy = false;
    free((void *)(uintptr_t)w->c.records[0].session.ptr);
    append_release(&w->c);
}

static bool turn(void)
{
    bool more = false;

    for (unsigned n = 0; n < NODES; n++) {
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
            collect(&nodes[n], &nodes[n].writers[i]);
            if (!nodes[n].writers[i].busy && nodes[n].next < EACH)
                write_next(&nodes[n], &nodes[n].writers[i]);
            more |= nodes[n].writers[i].busy;
        }
        (void)uv_run(&nodes[n].client.loop, UV_RUN_NOWAIT);
    }
    return more;
}

/* Every record once, each node's own in any order, seqs without a gap (the load checks the chain).
 */
static void assert_complete(void)
{
    static bool seen[NODES][EACH];
    unsigned all = 0;

    memset(seen, 0, sizeof seen);
    for (unsigned d = 0; d < DOCUMENTS; d++) {
        struct ml_load load;
        enum ml_err err = client_load(&nodes[1].client, names[d], ML_SEQ_ANY, 0, &load);

        if (err == ML_EIO) /* its connection was cut: the next one has a new one */
            err = client_load(&nodes[1].client, names[d], ML_SEQ_ANY, 0, &load);
        assert_int_equal(err, ML_OK);
        assert_int_equal(load.count, load.head);
        for (size_t i = 0; i < load.count; i++) {
            unsigned node, number;
            char text[32] = {0};

            memcpy(text, load.records[i].bytes->bytes, load.records[i].bytes->len);
            assert_int_equal(sscanf(text, "%u/%u", &node, &number), 2);
            assert_true(node < NODES && number < EACH);
            assert_false(seen[node][number]);
            seen[node][number] = true;
            all++;
        }
        ml_load_release(&load);
    }
    assert_int_equal(all, NODES * EACH);
}

static void nodes_number_the_records_of_one_document_together(void **state)
{
    (void)state;
    while (turn())
        continue;
    for (unsigned n = 0; n < NODES; n++)
        assert_int_equal(nodes[n].tries, 0);
    assert_complete();
}

static void admin(const char *sql)
{
    PGconn *conn = PQconnectdb(nodes[0].client.url);
    PGresult *result = PQexec(conn, sql);

    PQclear(result);
    PQfinish(conn);
}

/* Both outcomes of a COMMIT that nobody hears of: the retry finds out which it was. */
static void a_connection_that_is_cut_at_any_moment_loses_and_doubles_nothing(void **state)
{
    unsigned cuts = 0, turns = 0, tries = 0;

    (void)state;
    srand(7);
    while (turn()) {
        if (++turns % 64 == 0 && cuts < 40) {
            admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                  " WHERE application_name = 'moonloom' AND pid <> pg_backend_pid()"
                  " AND query !~ 'pg_terminate' ORDER BY random() LIMIT 2");
            cuts++;
        }
        usleep(300);
    }
    for (unsigned n = 0; n < NODES; n++)
        tries += nodes[n].tries;
    print_message("%u cuts, %u appends asked again\n", cuts, tries);
    assert_true(cuts >= 5);
    assert_complete();
}

static unsigned creating[2]; /* succeeded, refused */

static void of_nodes_that_create_one_document_one_succeeds(void **state)
{
    enum { ROUNDS = 60 };
    struct append_case cases[NODES];
    char name[32];

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        (void)snprintf(name, sizeof name, "new%u", round);
        for (unsigned n = 0; n < NODES; n++) {
            append_init(&cases[n], name);
            append_add(&cases[n], "hello", NULL, 0);
            cases[n].append.creates = true;
            append_send(&nodes[n].client, &cases[n]);
        }
        for (unsigned n = 0; n < NODES; n++) {
            client_wait(&nodes[n].client, &cases[n].answered);
            creating[cases[n].append.err != ML_OK]++;
            if (cases[n].append.err)
                assert_int_equal(cases[n].append.err, ML_ECONFLICT);
            append_release(&cases[n]);
        }
        assert_int_equal(creating[0], round + 1);
    }
    assert_int_equal(creating[1], ROUNDS * (NODES - 1));
}

/* A decision that was made on a head that is not the head any more is told so. */
static void of_nodes_that_expect_one_head_one_is_in_time(void **state)
{
    enum { ROUNDS = 100 };
    struct append_case cases[NODES];
    unsigned in_time = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < NODES; n++) {
            append_init(&cases[n], "decided");
            append_add(&cases[n], "x", NULL, 0);
            cases[n].append.expected_head = round;
            append_send(&nodes[n].client, &cases[n]);
        }
        for (unsigned n = 0; n < NODES; n++) {
            client_wait(&nodes[n].client, &cases[n].answered);
            if (cases[n].append.err)
                assert_int_equal(cases[n].append.err, ML_EMOVED);
            in_time += !cases[n].append.err;
            assert_int_equal(cases[n].append.head, round + 1);
            append_release(&cases[n]);
        }
        assert_int_equal(in_time, round + 1);
    }
}

static void of_nodes_that_claim_one_client_id_one_has_it(void **state)
{
    enum { ROUNDS = 100 };
    static const char *const users[NODES] = {"anna", "ben", "cleo"};
    struct append_case cases[NODES];
    struct ml_claim claims[NODES];
    unsigned had = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < NODES; n++) {
            claims[n] = (struct ml_claim){.client = round, .user = ml_slice_str(users[n])};
            append_init(&cases[n], "claimed");
            if (round % 2)
                append_add(&cases[n], "x", NULL, 0);
            cases[n].append.claims = &claims[n];
            cases[n].append.claim_count = 1;
            append_send(&nodes[n].client, &cases[n]);
        }
        for (unsigned n = 0; n < NODES; n++) {
            client_wait(&nodes[n].client, &cases[n].answered);
            assert_int_equal(cases[n].append.err, ML_OK);
            had += !claims[n].is_taken;
            append_release(&cases[n]);
        }
        assert_int_equal(had, round + 1);
    }
}

static void a_tenant_with_a_role_of_its_own_sees_its_org(void **state)
{
    struct append_case c;
    PGconn *conn;
    PGresult *result;

    (void)state;
    (void)client_append_some(&nodes[0].client, "theirs", 2);
    append_init(&c, "ours");
    c.append.org = ML_SLICE("acme");
    append_add(&c, "x", NULL, 0);
    assert_int_equal(append_run(&nodes[0].client, &c), ML_OK);
    append_release(&c);
    admin("CREATE ROLE tenant LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO tenant");
    conn = PQconnectdb(nodes[0].client.url);
    PQclear(PQexec(conn, "SET ROLE tenant"));
    result = PQexec(conn, "SELECT count(*) FROM records");
    assert_string_equal(PQgetvalue(result, 0, 0), "0");
    PQclear(result);
    PQclear(PQexec(conn, "SET moonloom.org = 'acme'"));
    result = PQexec(conn, "SELECT count(*), min(org) FROM records");
    assert_string_equal(PQgetvalue(result, 0, 0), "1");
    assert_string_equal(PQgetvalue(result, 0, 1), "acme");
    PQclear(result);
    PQfinish(conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(nodes_number_the_records_of_one_document_together),
        TEST(a_connection_that_is_cut_at_any_moment_loses_and_doubles_nothing),
        TEST(of_nodes_that_create_one_document_one_succeeds),
        TEST(of_nodes_that_expect_one_head_one_is_in_time),
        TEST(of_nodes_that_claim_one_client_id_one_has_it),
        TEST(a_tenant_with_a_role_of_its_own_sees_its_org),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
