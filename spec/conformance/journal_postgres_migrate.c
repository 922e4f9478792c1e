/* SPDX-License-Identifier: MIT */
/* Who changes the schema of a PostgreSQL store, and who only looks. */
#include "support/journal_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

static struct journal_client client;
static char store[512]; /* the same database as an address */

static void ask(const char *sql)
{
    PGconn *conn = PQconnectdb(client.url);
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

static void address(char *out, size_t size, const char *user)
{
    char host[128];
    const char *name = strstr(client.url, "dbname=") + 7;

    assert_int_equal(sscanf(client.url, "host=%127s", host), 1);
    (void)snprintf(out, size, "postgres:///%.32s?host=%.127s&user=%s", name, host, user);
}

/* A database of this build's schema. */
static int begin(void **state)
{
    (void)state;
    client_init(&client);
    if (client_open_postgres(&client))
        return -1;
    client_close(&client);
    address(store, sizeof store, "moonloom");
    return 0;
}

static int end(void **state)
{
    (void)state;
    client_release(&client);
    return 0;
}

static enum ml_err open_as(const char *url, struct ml_diag *diag)
{
    enum ml_err err;

    *diag = (struct ml_diag){0};
    err = ml_journal_open_postgres(url, &client.loop, diag, &client.journal);
    if (!err)
        client_close(&client);
    return err;
}

static void make_older(void)
{
    ask("DROP TABLE purges, placements, shard_name; DELETE FROM schema_version WHERE version >= 5");
}

static void an_older_schema_is_refused_with_the_command_that_helps(void **state)
{
    struct ml_migration found;
    struct ml_diag diag;

    (void)state;
    make_older();
    assert_int_equal(open_as(client.url, &diag), ML_EVERSION);
    assert_non_null(strstr(diag.text, "schema version 3"));
    assert_non_null(strstr(diag.text, "moonloom migrate"));
    assert_int_equal(ml_journal_migrate(store, true, NULL, &found, &diag), ML_OK);
    assert_int_equal(found.before, 3);
    assert_true(found.needed >= 5);
    assert_int_equal(open_as(client.url, &diag), ML_EVERSION); /* it only looked */
    assert_int_equal(ml_journal_migrate(store, false, NULL, &found, &diag), ML_OK);
    assert_int_equal(open_as(client.url, &diag), ML_OK);
    assert_int_equal(ml_journal_migrate(store, false, NULL, &found, &diag), ML_OK);
    assert_int_equal(found.before, found.needed);
}

static void a_newer_schema_is_refused_unless_it_says_that_this_build_may_go_on(void **state)
{
    struct ml_migration found;
    struct ml_diag diag;

    (void)state;
    assert_int_equal(ml_journal_migrate(store, true, NULL, &found, &diag), ML_OK);
    ask("INSERT INTO schema_version (version, name, applied_ms, oldest)"
        " SELECT 900, 'next', 0, max(version) FROM schema_version");
    assert_int_equal(open_as(client.url, &diag), ML_OK);
    ask("INSERT INTO schema_version (version, name, applied_ms, oldest)"
        " VALUES (901, 'after next', 0, 901)");
    assert_int_equal(open_as(client.url, &diag), ML_EVERSION);
    assert_non_null(strstr(diag.text, "newer build"));
    assert_int_equal(ml_journal_migrate(store, false, NULL, &found, &diag), ML_EVERSION);
}

static void of_many_who_migrate_at_once_each_finds_it_done(void **state)
{
    enum { MANY = 8 };
    pid_t pids[MANY];
    struct ml_diag diag;

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        if (round)
            ask("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        else
            make_older();
        for (unsigned i = 0; i < MANY; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                struct ml_migration found;

                _exit(ml_journal_migrate(store, false, NULL, &found, &diag) ? 1 : 0);
            }
        }
        for (unsigned i = 0; i < MANY; i++) {
            int status;

            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        assert_int_equal(open_as(client.url, &diag), ML_OK);
    }
}

static void a_role_without_rights_on_tables_serves_and_changes_none(void **state)
{
    struct ml_migration found;
    struct ml_diag diag = {0};
    char served[512];
    PGconn *conn;
    PGresult *result;

    (void)state;
    ask("DO $$ BEGIN CREATE ROLE server_role LOGIN; EXCEPTION WHEN duplicate_object THEN END $$");
    assert_int_equal(ml_journal_migrate(store, false, "server_role", &found, &diag), ML_OK);
    assert_int_equal(ml_journal_migrate(store, false, "server_role", &found, &diag), ML_OK);
    address(served, sizeof served, "server_role");
    (void)snprintf(client.url, sizeof client.url, "%.255s", served);
    assert_int_equal(client_open_postgres(&client), ML_OK);
    assert_int_equal(client_append_some(&client, "notes", 3), 3);
    conn = PQconnectdb(served);
    result = PQexec(conn, "CREATE TABLE mine (x int)");
    assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
    PQclear(result);
    result = PQexec(conn, "ALTER TABLE records DISABLE ROW LEVEL SECURITY");
    assert_int_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
    PQclear(result);
    PQfinish(conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(an_older_schema_is_refused_with_the_command_that_helps),
        TEST(a_newer_schema_is_refused_unless_it_says_that_this_build_may_go_on),
        TEST(of_many_who_migrate_at_once_each_finds_it_done),
        TEST(a_role_without_rights_on_tables_serves_and_changes_none),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
