/* SPDX-License-Identifier: MIT */
/*
 * An org moves from one primary to another while two nodes write: nothing acknowledged is lost or
 * doubled, also if the mover is cut off behind any of its steps.
 */
#include "support/journal_client.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

enum { DOCUMENTS = 20, WRITERS = 4, STEPS = 7 };

static struct journal_client nodes[2];
static char urls[2][256], address[1024];

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

static void open_node(struct journal_client *node)
{
    struct ml_diag diag = {0};

    if (ml_journal_open(address, &node->loop, &diag, &node->journal))
        fail_msg("%s", diag.text);
}

static int begin(void **state)
{
    static unsigned number;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        char name[32];

        client_init(&nodes[i]);
        (void)snprintf(name, sizeof name, "move_%c_%u", 'a' + (int)i, number);
        make_database(name, urls[i], sizeof urls[i]);
    }
    number++;
    (void)snprintf(address, sizeof address, "shards:a=%s b=%s", urls[0], urls[1]);
    open_node(&nodes[0]);
    open_node(&nodes[1]);
    return 0;
}

static int end(void **state)
{
    (void)state;
    client_release(&nodes[0]);
    client_release(&nodes[1]);
    return 0;
}

/* ---- Writers: each has one append under way all the time, to one document after the other ---- */

struct writer {
    struct append_case c;
    struct ml_claim claim; /* a client id for each record */
    struct journal_client *node;
    char session[16], name[16];
    uint64_t next_no, acknowledged, slowest_ms, sent_ms;
    bool is_on_the_way;
};
static struct writer writers[WRITERS];

static void send_next(struct writer *w)
{
    (void)snprintf(w->name, sizeof w->name, "doc-%u", (unsigned)(w->next_no % DOCUMENTS));
    append_init(&w->c, w->name);
    w->c.append.org = ML_SLICE("acme");
    append_add(&w->c, "some words", w->session, w->next_no);
    w->claim = (struct ml_claim){.client = (uint64_t)(w - writers) << 32 | w->next_no,
                                 .user = ml_slice_str(w->session)};
    w->c.append.claims = &w->claim;
    w->c.append.claim_count = 1;
    w->sent_ms = uv_hrtime() / 1000000;
    w->is_on_the_way = true;
    append_send(w->node, &w->c);
}

static void take_answer(struct writer *w)
{
    uint64_t took_ms = uv_hrtime() / 1000000 - w->sent_ms;

    w->is_on_the_way = false;
    w->slowest_ms = took_ms > w->slowest_ms ? took_ms : w->slowest_ms;
    if (w->c.append.err && w->c.append.err != ML_EIO)
        fail_msg("%s", w->c.append.diag.text);
    assert_false(w->claim.is_taken);
    if (!w->c.append.err) {
        w->acknowledged++;
        w->next_no++;
    } /* else: unknown, again with the same key */
    append_release(&w->c);
}

static void begin_writers(void)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.node = &nodes[i % 2], .next_no = 1};
        (void)snprintf(writers[i].session, sizeof writers[i].session, "w%u", i);
    }
}

/* Until `flag`, if there is one, and until everybody has `more` further acknowledgements. */
static void write_until(atomic_bool *flag, uint64_t more)
{
    uint64_t goal[WRITERS];
    bool is_over = false;

    for (unsigned i = 0; i < WRITERS; i++)
        goal[i] = writers[i].acknowledged + more;
    while (!is_over) {
        bool may_end = !flag || atomic_load(flag);

        is_over = true;
        for (unsigned i = 0; i < WRITERS; i++) {
            struct writer *w = &writers[i];

            if (w->is_on_the_way && w->c.answered)
                take_answer(w);
            if (!w->is_on_the_way && (!may_end || w->acknowledged < goal[i]))
                send_next(w);
            is_over &= may_end && !w->is_on_the_way;
        }
        (void)uv_run(&nodes[0].loop, UV_RUN_NOWAIT);
        (void)uv_run(&nodes[1].loop, UV_RUN_NOWAIT);
        usleep(200);
    }
}

/* Every acknowledged record once, and nothing else, on the primary that has the org; the other one
 * is empty. */
static void check_at(unsigned home, bool is_swept)
{
    uint64_t sum = 0;
    char text[32];

    for (unsigned i = 0; i < WRITERS; i++)
        sum += writers[i].acknowledged;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)sum);
    assert_string_equal(ask(urls[home], "SELECT count(*) FROM records WHERE org = 'acme'"), text);
    assert_string_equal(ask(urls[home], "SELECT sum(head) FROM documents WHERE org = 'acme'"),
                        text);
    assert_string_equal(ask(urls[home], "SELECT count(DISTINCT (session, message_no)) FROM records"
                                        " WHERE org = 'acme'"),
                        text);
    assert_string_equal(ask(urls[home], "SELECT count(*) FROM authors WHERE org = 'acme'"), text);
    if (is_swept) {
        assert_string_equal(ask(urls[1 - home], "SELECT count(*) FROM authors"), "0");
        assert_string_equal(ask(urls[1 - home], "SELECT count(*) FROM records"), "0");
        assert_string_equal(ask(urls[1 - home], "SELECT count(*) FROM documents"), "0");
    }
}

/* And the chain of checksums is whole: each load checks it. */
static bool is_loaded;

static void on_load(struct ml_load *load)
{
    (void)load;
    is_loaded = true;
}

static void check_loads(void)
{
    for (unsigned i = 0; i < DOCUMENTS; i++)
        for (unsigned n = 0; n < 2; n++) {
            char name[16];
            struct ml_load load;

            (void)snprintf(name, sizeof name, "doc-%u", i);
            load = (struct ml_load){.org = ML_SLICE("acme"),
                                    .name = ml_slice_str(name),
                                    .max_snapshot_seq = ML_SEQ_ANY,
                                    .done = on_load};
            is_loaded = false;
            ml_journal_load(nodes[n].journal, &load);
            client_wait(&nodes[n], &is_loaded);
            assert_int_equal(load.err, ML_OK);
            assert_true(load.exists && load.head > 0);
            ml_load_release(&load);
        }
}

/* ---- The mover, on a thread of its own ------------------------------------------------------- */

struct mover {
    struct ml_org_move order;
    struct ml_org_moved result;
    struct ml_diag diag;
    enum ml_err err;
    atomic_bool ended;
    pthread_t thread;
};

static void *run_mover(void *arg)
{
    struct mover *m = arg;

    m->order.result = &m->result;
    m->err = ml_org_move(address, &m->order, &m->diag);
    atomic_store(&m->ended, true);
    return NULL;
}

static enum ml_err move_while_writing(const char *to, unsigned stop_after, bool undo,
                                      struct mover *m)
{
    *m = (struct mover){
        .order = {.org = ML_SLICE("acme"), .to = to, .abort = undo, .stop_after = stop_after}};
    assert_int_equal(pthread_create(&m->thread, NULL, run_mover, m), 0);
    write_until(&m->ended, 5);
    assert_int_equal(pthread_join(m->thread, NULL), 0);
    return m->err;
}

static unsigned home_of_acme(void)
{
    return strcmp(ask(urls[0], "SELECT count(*) FROM orgs WHERE org = 'acme' AND moved_to IS NULL"
                               " AND arriving_from IS NULL"),
                  "1") == 0
               ? 0
               : 1;
}

static const char *const shard_names[2] = {"a", "b"};

static void an_org_moves_there_and_back_while_people_write(void **state)
{
    struct mover m;
    unsigned home;

    (void)state;
    begin_writers();
    write_until(NULL, 50);
    home = home_of_acme();
    check_at(home, true);
    for (unsigned i = 0; i < 4; i++) {
        home = 1 - home;
        if (move_while_writing(shard_names[home], 0, false, &m))
            fail_msg("%s", m.diag.text);
        print_message("held %llu ms after %u rounds\n", (unsigned long long)m.result.held_ms,
                      m.result.rounds);
        write_until(NULL, 20);
        check_at(home, true);
        check_loads();
    }
    assert_int_equal(move_while_writing(shard_names[home], 0, false, &m), ML_ECONFLICT);
    assert_int_equal(move_while_writing("c", 0, false, &m), ML_ENOTFOUND);
    for (unsigned i = 0; i < WRITERS; i++)
        print_message("writer %u: %llu acknowledged, the slowest after %llu ms\n", i,
                      (unsigned long long)writers[i].acknowledged,
                      (unsigned long long)writers[i].slowest_ms);
}

static void a_move_that_was_cut_off_goes_on(void **state)
{
    struct mover m;
    unsigned home;

    (void)state;
    begin_writers();
    write_until(NULL, 50);
    home = home_of_acme();
    for (unsigned step = 1; step <= STEPS; step++) {
        const char *to = shard_names[1 - home];

        assert_int_equal(move_while_writing(to, step, false, &m), ML_ECLOSED);
        write_until(NULL, 20); /* people go on meanwhile */
        check_at(step < 6 ? home : 1 - home, false);
        if (move_while_writing(to, 0, false, &m))
            fail_msg("after step %u: %s", step, m.diag.text);
        home = 1 - home;
        write_until(NULL, 20);
        check_at(home, true);
        check_loads();
    }
}

static void a_move_that_was_cut_off_is_undone(void **state)
{
    struct mover m;
    unsigned home;

    (void)state;
    begin_writers();
    write_until(NULL, 50);
    home = home_of_acme();
    for (unsigned step = 1; step <= STEPS; step++) {
        assert_int_equal(move_while_writing(shard_names[1 - home], step, false, &m), ML_ECLOSED);
        write_until(NULL, 20);
        if (step < 6) {
            if (move_while_writing(NULL, 0, true, &m))
                fail_msg("after step %u: %s", step, m.diag.text);
        } else { /* it has moved: there is nothing to undo */
            assert_int_equal(move_while_writing(NULL, 0, true, &m), ML_ENOTFOUND);
            if (move_while_writing(shard_names[1 - home], 0, false, &m))
                fail_msg("after step %u: %s", step, m.diag.text);
            home = 1 - home;
        }
        write_until(NULL, 20);
        check_at(home, true);
        assert_string_equal(ask(urls[home], "SELECT count(*) FROM orgs WHERE leaving_to IS NOT NULL"
                                            " OR held_until_ms IS NOT NULL"),
                            "0");
    }
    check_loads();
}

static void two_movers_at_once_are_refused(void **state)
{
    struct mover m;
    unsigned home;
    PGconn *conn;

    (void)state;
    begin_writers();
    write_until(NULL, 10);
    home = home_of_acme();
    conn = PQconnectdb(urls[home]);
    PQclear(PQexec(conn, "SELECT pg_advisory_lock(7598264, hashtext('acme'))"));
    assert_int_equal(move_while_writing(shard_names[1 - home], 0, false, &m), ML_EBUSY);
    PQfinish(conn);
    check_at(home, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(an_org_moves_there_and_back_while_people_write),
        TEST(a_move_that_was_cut_off_goes_on),
        TEST(a_move_that_was_cut_off_is_undone),
        TEST(two_movers_at_once_are_refused),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
