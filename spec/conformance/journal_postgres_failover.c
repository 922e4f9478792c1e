/* SPDX-License-Identifier: MIT */
/*
 * A primary dies and its standby is promoted. `journal_postgres_failover kept|lost`: with
 * everything that was acknowledged, or without its tail.
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

static struct journal_client client;
static char primary[256], standby[256];

/* The first column of the first row. */
static const char *ask(const char *url, const char *sql)
{
    static char text[128];
    PGconn *conn = PQconnectdb(url);
    PGresult *result = PQexec(conn, sql);
    bool fine =
        PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK;

    (void)snprintf(text, sizeof text, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    if (!fine)
        (void)snprintf(text, sizeof text, "error");
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

static void control(const char *data, const char *words)
{
    char command[512];

    (void)snprintf(command, sizeof command, "cd / && %s %s %s >/dev/null 2>&1",
                   getenv("MOONLOOM_TEST_PG_CTL"), data, words);
    assert_int_equal(system(command), 0);
}

static void start_former_primary(void)
{
    char words[512], folder[256];
    const char *data = getenv("MOONLOOM_TEST_PG_DATA");

    (void)snprintf(folder, sizeof folder, "%.*s", (int)(strlen(data) - strlen("/data")), data);
    (void)snprintf(words, sizeof words,
                   "-w -l %s/server.log -o '-c listen_addresses= -c unix_socket_directories=%s"
                   " -c fsync=off' start",
                   data, folder);
    control(data, words);
}

/* Both in one address: whichever can be written to. */
static int begin(void **state)
{
    struct ml_diag diag = {0};
    char first[128], second[128];
    const char *name;
    enum ml_err err;

    (void)state;
    client_init(&client);
    if (client_open_postgres(&client))
        return -1;
    client_close(&client);
    (void)snprintf(primary, sizeof primary, "%s", client.url);
    name = strstr(primary, "dbname=") + 7;
    (void)snprintf(standby, sizeof standby, "%.160s dbname=%.32s",
                   getenv("MOONLOOM_TEST_PG_STANDBY"), name);
    assert_int_equal(sscanf(primary, "host=%127s", first), 1);
    assert_int_equal(sscanf(standby, "host=%127s", second), 1);
    (void)snprintf(client.url, sizeof client.url,
                   "host=%.64s,%.64s user=moonloom dbname=%.32s target_session_attrs=read-write",
                   first, second, name);
    err = ml_journal_open_postgres(client.url, &client.loop, &diag, &client.journal);
    if (err)
        print_error("%s: %s\n", client.url, diag.text);
    return err ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    client_release(&client);
    return 0;
}

static void promote(void)
{
    control(getenv("MOONLOOM_TEST_PG_DATA"), "-m immediate stop");
    assert_string_equal(ask(standby, "SELECT pg_promote()"), "t");
}

static enum ml_err write_one(const char *text, uint64_t number, struct ml_diag *diag,
                             uint64_t *head_out)
{
    struct append_case c;
    enum ml_err err;

    append_init(&c, "notes");
    append_add(&c, text, "anna", number);
    err = append_run(&client, &c);
    *diag = c.append.diag;
    *head_out = c.append.head;
    append_release(&c);
    return err;
}

/* Until it is answered: while a server is away the outcome is unknown, and the key tells. */
static uint64_t write_until_it_is_there(const char *text, uint64_t number)
{
    struct ml_diag diag;
    uint64_t head;

    for (unsigned i = 0; i < POLLS; i++) {
        enum ml_err err = write_one(text, number, &diag, &head);

        if (!err)
            return head;
        assert_int_equal(err, ML_EIO);
        usleep(POLL_US);
    }
    fail_msg("not written: %s", diag.text);
    return 0;
}

static void fail_until_refused_because(const char *why)
{
    struct ml_diag diag = {0};
    uint64_t head;

    for (unsigned i = 0; i < POLLS; i++) {
        assert_int_equal(write_one("more", 100, &diag, &head), ML_EIO);
        if (strstr(diag.text, why))
            return;
        usleep(POLL_US);
    }
    fail_msg("not refused because of \"%s\" but: %s", why, diag.text);
}

static void assert_load(enum ml_err expected, uint64_t head)
{
    struct ml_load load;
    enum ml_err err = ML_EIO;

    /* A connection that went with its server is found out by asking. */
    for (unsigned i = 0; i < 3 && err != expected; i++) {
        err = client_load(&client, "notes", ML_SEQ_ANY, 0, &load);
        if (!err)
            assert_int_equal(load.head, head);
        ml_load_release(&load);
    }
    assert_int_equal(err, expected);
}

static void the_promoted_standby_goes_on_and_the_former_primary_is_refused(void **state)
{
    (void)state;
    assert_int_equal(write_until_it_is_there("one", 1), 1);
    assert_int_equal(write_until_it_is_there("two", 2), 2);
    wait_until(standby, "SELECT count(*) FROM records", "2");
    promote();
    assert_int_equal(write_until_it_is_there("three", 3), 3);
    assert_int_equal(write_until_it_is_there("two", 2), 3); /* a repeat is known there too */
    assert_load(ML_OK, 3);

    /* The former one stands first in the address, and takes writes: it must get none. */
    start_former_primary();
    (void)ask(standby, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE application_name = 'moonloom'");
    fail_until_refused_because("former primary");
    assert_load(ML_EIO, 0);
    assert_string_equal(ask(primary, "SELECT count(*) FROM records"), "2");
    control(getenv("MOONLOOM_TEST_PG_DATA"), "-m immediate stop");
    assert_int_equal(write_until_it_is_there("four", 4), 4);
    assert_load(ML_OK, 4);
}

static void a_database_that_lost_its_tail_is_refused_until_the_node_is_restarted(void **state)
{
    (void)state;
    assert_int_equal(write_until_it_is_there("one", 1), 1);
    wait_until(standby, "SELECT count(*) FROM records", "1");
    (void)ask(standby, "ALTER SYSTEM SET primary_conninfo = ''");
    (void)ask(standby, "SELECT pg_reload_conf()");
    wait_until(standby, "SELECT count(*) FROM pg_stat_wal_receiver", "0");
    assert_int_equal(write_until_it_is_there("two", 2), 2); /* acknowledged, and only here */
    promote();
    fail_until_refused_because("went back");
    assert_load(ML_EIO, 0);
    /* Somebody else writes there meanwhile: another record stands where ours stood. */
    assert_string_equal(ask(standby, "SELECT head FROM documents WHERE name = 'notes'"), "1");
    client_close(&client);
    assert_int_equal(client_open_postgres(&client), ML_OK);
    assert_int_equal(write_until_it_is_there("two", 2), 2);
    assert_load(ML_OK, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest kept[] = {cmocka_unit_test_setup_teardown(
        the_promoted_standby_goes_on_and_the_former_primary_is_refused, begin, end)};
    const struct CMUnitTest lost[] = {cmocka_unit_test_setup_teardown(
        a_database_that_lost_its_tail_is_refused_until_the_node_is_restarted, begin, end)};

    if (argc == 2 && strcmp(argv[1], "lost") == 0)
        return cmocka_run_group_tests(lost, NULL, NULL);
    return cmocka_run_group_tests(kept, NULL, NULL);
}
