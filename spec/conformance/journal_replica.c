/* SPDX-License-Identifier: MIT */
/*
 * A real streaming standby answers what only reads, and is never behind what was acknowledged:
 * neither while it lags, nor when it is away, nor when it has become a primary.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#define POLL_US 20000
#define POLLS   3000

static struct journal_client writer,
    reader; /* two nodes: one knows nothing of the other's writes */
static char primary[256], standby[256];
static bool answered;

static const char *ask(const char *url, const char *sql)
{
    static char text[128];
    PGconn *conn = PQconnectdb(url);
    PGresult *result = PQexec(conn, sql);

    (void)snprintf(text, sizeof text, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    return text;
}

static void wait_until(const char *url, const char *sql, const char *expected)
{
    for (unsigned i = 0; i < POLLS; i++) {
        if (strcmp(ask(url, sql), expected) == 0)
            return;
        usleep(POLL_US);
    }
    fail_msg("%s does not become %s", sql, expected);
}

static void url_of(char *out, size_t size, const char *server, const char *name)
{
    char host[128];

    assert_int_equal(sscanf(server, "host=%127s", host), 1);
    (void)snprintf(out, size, "postgres:///%.32s?host=%.127s&user=moonloom", name, host);
}

static int begin(void **state)
{
    struct ml_diag diag = {0};
    char address[600], name[64];

    (void)state;
    client_init(&writer);
    client_init(&reader);
    if (client_open_postgres(&writer))
        return -1;
    (void)snprintf(name, sizeof name, "%.60s", strstr(writer.url, "dbname=") + 7);
    url_of(primary, sizeof primary, getenv("MOONLOOM_TEST_PG"), name);
    url_of(standby, sizeof standby, getenv("MOONLOOM_TEST_PG_STANDBY"), name);
    (void)snprintf(address, sizeof address, "shards:a=%s a<%s", primary, standby);
    wait_until(standby, "SELECT count(*) FROM schema_version WHERE version = 7", "1");
    if (ml_journal_open(address, &reader.loop, &diag, &reader.journal)) {
        print_error("%s\n", diag.text);
        return -1;
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    client_release(&writer);
    client_release(&reader);
    return 0;
}

static uint64_t write_one(void)
{
    struct append_case c;
    uint64_t head;

    append_init(&c, "notes");
    append_add(&c, "x", NULL, 0);
    assert_int_equal(append_run(&writer, &c), ML_OK);
    head = c.append.head;
    append_release(&c);
    return head;
}

static void on_list(struct ml_list_documents *list)
{
    (void)list;
    answered = true;
}

static void on_describe(struct ml_describe *describe)
{
    (void)describe;
    answered = true;
}

static void on_history(struct ml_history *history)
{
    (void)history;
    answered = true;
}

static void on_versions(struct ml_versions *versions)
{
    (void)versions;
    answered = true;
}

static void on_load(struct ml_load *load)
{
    (void)load;
    answered = true;
}

#define ASK(kind, ...)                                                                             \
    struct ml_##kind kind = {.org = ML_SLICE("default"), __VA_ARGS__};                             \
    answered = false;                                                                              \
    ml_journal_##kind(reader.journal, &kind);                                                      \
    client_wait(&reader, &answered);                                                               \
    assert_int_equal(kind.err, ML_OK)

/* In all five ways. */
static void assert_sees(uint64_t head)
{
    {
        ASK(list_documents, .limit = 10, .done = on_list);
        assert_int_equal(list_documents.count, 1);
        assert_int_equal(list_documents.items[0].head, head);
        ml_list_documents_release(&list_documents);
    }
    {
        ASK(describe, .name = ML_SLICE("notes"), .done = on_describe);
        assert_int_equal(describe.head, head);
        ml_describe_release(&describe);
    }
    {
        ASK(history, .name = ML_SLICE("notes"), .before_seq = ML_SEQ_ANY, .limit = 1,
            .done = on_history);
        assert_int_equal(history.items[0].seq, head);
        ml_history_release(&history);
    }
    {
        ASK(versions, .name = ML_SLICE("notes"), .before_number = ML_SEQ_ANY, .limit = 1,
            .done = on_versions);
        assert_int_equal(versions.head, head);
        ml_versions_release(&versions);
    }
    {
        ASK(load, .name = ML_SLICE("notes"), .max_snapshot_seq = ML_SEQ_ANY, .is_closed = true,
            .done = on_load);
        assert_int_equal(load.head, head);
        ml_load_release(&load);
    }
}

static uint64_t from_replicas(uint64_t *not_out)
{
    struct ml_journal_stats stats;

    ml_journal_stats(reader.journal, &stats);
    if (not_out)
        *not_out = stats.not_from_replicas;
    return stats.from_replicas;
}

static void wait_until_it_serves(uint64_t head)
{
    for (unsigned i = 0; i < POLLS; i++) {
        uint64_t before = from_replicas(NULL);

        assert_sees(head);
        if (from_replicas(NULL) > before)
            return;
        usleep(POLL_US);
    }
    fail_msg("the standby does not serve again");
}

static void a_standby_answers_and_is_never_behind(void **state)
{
    uint64_t head = 0, before, not_before, not_after;

    (void)state;
    /* 1: what the other node acknowledged a moment ago is seen, mostly from the standby. */
    for (unsigned i = 0; i < 60; i++) {
        head = write_one();
        assert_sees(head);
    }
    print_message("%llu of 300 answers from the standby\n",
                  (unsigned long long)from_replicas(NULL));
    wait_until_it_serves(head);

    /* 2: it has got the WAL and does not replay it. */
    assert_string_equal(ask(standby, "SELECT pg_wal_replay_pause() IS NOT NULL"), "t");
    wait_until(standby, "SELECT pg_get_wal_replay_pause_state()", "paused");
    head = write_one();
    (void)from_replicas(&not_before);
    assert_sees(head);
    (void)from_replicas(&not_after);
    assert_true(not_after > not_before);
    before = from_replicas(NULL);
    for (unsigned i = 0; i < 10; i++) {
        head = write_one();
        assert_sees(head);
    }
    assert_int_equal(from_replicas(NULL), before);
    (void)ask(standby, "SELECT pg_wal_replay_resume()");
    wait_until_it_serves(head);

    /* 3: its connections are cut, and new ones work. */
    (void)ask(standby, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE application_name = 'moonloom'");
    assert_sees(head);
    wait_until_it_serves(head);

    /* 4: it has become a primary of its own: what it says is of no interest any more. */
    assert_string_equal(ask(standby, "SELECT pg_promote()"), "t");
    before = from_replicas(NULL);
    for (unsigned i = 0; i < 10; i++) {
        head = write_one();
        assert_sees(head);
    }
    assert_int_equal(from_replicas(NULL), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_standby_answers_and_is_never_behind, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
