/* SPDX-License-Identifier: MIT */
/*
 * Duties that must be done once in a cluster: jobs, runs of the clock, seeding, snapshots,
 * retention, purges. Three processes over one database do all of them at once, and one after the
 * other is killed in the middle.
 *
 * The clock is the test's: a lease is over when everybody who is alive stands still and the time is
 * moved, so nothing here depends on how fast the machine is.
 */
#include "support/journal_client.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

enum { NODES = 3, KILLS = 24, JOBS = 60, TICKS = 60, SEEDS = 60, PURGES = 40, SNAPSHOTS = 30 };
#define LEASE_MS 1000

/* Shared by all processes. */
struct world {
    _Atomic int64_t now_ms;
    _Atomic bool must_stand, is_enough;
    _Atomic bool stands[NODES];
    _Atomic pid_t job_of[JOBS], purge_of[PURGES]; /* who is at it */
    _Atomic unsigned job_runs, purge_runs, doubles;
    _Atomic unsigned seeded[SEEDS], ticked[TICKS];
};
static struct world *world;
static char url[256];

/* ---- A node ------------------------------------------------------------------------------------
 */

static struct journal_client *node;
static unsigned which;
static bool answered;

static void fail_node(const char *what, enum ml_err err)
{
    (void)fprintf(stderr, "node %u: %s: %s\n", which, what, ml_err_name(err));
    _exit(1);
}

/* A point where a process may be killed, and where everybody can be made to stand. */
static void rest(void)
{
    world->stands[which] = world->must_stand;
    while (world->must_stand)
        usleep(200);
    world->stands[which] = false;
}

/* Nobody else who is alive does the same at this time. */
static void enter(_Atomic pid_t *who)
{
    pid_t before = *who;

    if (before && before != getpid() && kill(before, 0) == 0)
        world->doubles++;
    *who = getpid();
    usleep((useconds_t)(rand() % 800));
}

static void on_write(struct ml_store_write *write)
{
    (void)write;
    answered = true;
}

static enum ml_err commit(struct ml_store_write *write, struct ml_store_item *items, size_t count)
{
    *write = (struct ml_store_write){.org = ML_SLICE("acme"),
                                     .instance = ML_SLICE("p"),
                                     .space = ML_SLICE("kv"),
                                     .items = items,
                                     .count = count,
                                     .now_ms = world->now_ms,
                                     .done = on_write};
    answered = false;
    ml_store_commit(node->journal, write);
    client_wait(node, &answered);
    return write->err;
}

/* Takes one, does it, and says so together with what it did. */
static bool do_job(void)
{
    struct ml_store_item take = {.act = ML_STORE_TAKE, .count = 1, .ttl_ms = LEASE_MS};
    struct ml_store_item items[4];
    struct ml_store_write taken, done;
    bool found;
    unsigned number;

    if (commit(&taken, &take, 1))
        fail_node("taking a job", taken.err);
    found = taken.job_count > 0;
    if (found) {
        struct ml_slice id = ml_slice_str(taken.jobs[0].id);

        number = (unsigned)strtoul((const char *)taken.jobs[0].args.ptr, NULL, 10);
        enter(&world->job_of[number]);
        world->job_runs++;
        items[0] = (struct ml_store_item){.act = ML_STORE_CHECK, .key = id};
        items[1] = (struct ml_store_item){.act = ML_STORE_SET, .key = id, .value = ML_SLICE("1")};
        items[2] =
            (struct ml_store_item){.act = ML_STORE_INCR, .key = ML_SLICE("jobs"), .number = 1};
        items[3] =
            (struct ml_store_item){.act = ML_STORE_DONE, .key = id, .rev = taken.jobs[0].try};
        if (commit(&done, items, 4))
            fail_node("telling what became of a job", done.err);
        ml_store_write_release(&done);
        world->job_of[number] = 0;
    }
    ml_store_write_release(&taken);
    return found;
}

/* A run of the clock belongs to whoever notes it first. */
static bool do_tick(unsigned number)
{
    char key[32];
    struct ml_store_write write;
    struct ml_store_item items[3];
    enum ml_err err;

    (void)snprintf(key, sizeof key, "tick/%02u", number);
    items[0] = (struct ml_store_item){.act = ML_STORE_CHECK, .key = ml_slice_str(key)};
    items[1] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ml_slice_str(key), .value = ML_SLICE("1")};
    items[2] = (struct ml_store_item){.act = ML_STORE_INCR, .key = ML_SLICE("ticks"), .number = 1};
    err = commit(&write, items, 3);
    if (err && err != ML_ECONFLICT)
        fail_node("a tick", err);
    if (!err)
        world->ticked[number]++;
    ml_store_write_release(&write);
    return !err;
}

static bool do_seed(unsigned number)
{
    struct append_case c;
    char name[32];
    enum ml_err err;

    (void)snprintf(name, sizeof name, "seed/%u", number);
    append_init(&c, name);
    append_add(&c, "first", NULL, 0);
    c.append.creates = true;
    err = append_run(node, &c);
    append_release(&c);
    if (err && err != ML_ECONFLICT)
        fail_node("seeding", err);
    if (!err)
        world->seeded[number]++;
    return !err;
}

static bool do_snapshot(unsigned number)
{
    enum ml_err err =
        client_put_snapshot(node, "kept", number + 1, 1, ML_SLICE("state"), UINT32_MAX);

    if (err && err != ML_ECONFLICT)
        fail_node("a snapshot", err);
    return !err;
}

static void on_change(struct ml_version_change *change)
{
    (void)change;
    answered = true;
}

/* What retention does on every node that thinks it should. */
static bool do_retention(unsigned number)
{
    struct ml_version_change change = {.org = ML_SLICE("default"),
                                       .name = ML_SLICE("kept"),
                                       .act = ML_VERSION_DELETE,
                                       .number = number,
                                       .done = on_change};

    answered = false;
    ml_journal_change_version(node->journal, &change);
    client_wait(node, &answered);
    if (change.err && change.err != ML_ENOTFOUND)
        fail_node("retention", change.err);
    return !change.err;
}

static void on_purges(struct ml_purges *request)
{
    (void)request;
    answered = true;
}

static void on_note(struct ml_purge_note *note)
{
    (void)note;
    answered = true;
}

static enum ml_err note(enum ml_purge_act act, uint64_t id)
{
    struct ml_purge_note request = {.act = act,
                                    .ids = &id,
                                    .count = 1,
                                    .at_ms = world->now_ms,
                                    .due_ms = world->now_ms + LEASE_MS,
                                    .done = on_note};

    answered = false;
    ml_journal_note_purge(node->journal, &request);
    client_wait(node, &answered);
    return request.err;
}

static bool do_purge(void)
{
    struct ml_purges request = {.limit = 1000, .done = on_purges};
    bool found = false;

    answered = false;
    ml_journal_purges(node->journal, &request);
    client_wait(node, &answered);
    if (request.err)
        fail_node("looking for purges", request.err);
    for (size_t i = 0; i < request.count && !found; i++) {
        unsigned number;
        enum ml_err err;

        if (request.items[i].due_ms > world->now_ms)
            continue;
        err = note(ML_PURGE_TAKE, request.items[i].id);
        if (err && err != ML_ECONFLICT)
            fail_node("taking a purge", err);
        found = true; /* there was one, ours or not */
        if (err)
            continue;
        number = (unsigned)strtoul((const char *)request.items[i].name.ptr + 7, NULL, 10);
        enter(&world->purge_of[number]);
        world->purge_runs++;
        if (note(ML_PURGE_DONE, request.items[i].id))
            fail_node("ending a purge", ML_EIO);
        world->purge_of[number] = 0;
    }
    ml_purges_release(&request);
    return found;
}

/* Everybody does everything, in an order of its own. */
static bool do_round(void)
{
    bool any = do_job();

    rest();
    any |= do_purge();
    rest();
    any |= do_tick((unsigned)rand() % TICKS);
    any |= do_seed((unsigned)rand() % SEEDS);
    rest();
    any |= do_snapshot((unsigned)rand() % SNAPSHOTS);
    any |= do_retention((unsigned)rand() % SNAPSHOTS + 1);
    rest();
    return any;
}

static void do_the_rest(void)
{
    while (do_job() || do_purge())
        rest();
    for (unsigned i = 0; i < TICKS; i++)
        (void)do_tick(i);
    for (unsigned i = 0; i < SEEDS; i++)
        (void)do_seed(i);
    (void)do_snapshot(SNAPSHOTS - 1);
}

static void run_node(unsigned number, unsigned seed)
{
    struct journal_client client;

    which = number;
    node = &client;
    srand(seed);
    client_init(&client);
    (void)rmdir(client.folder); /* it may be killed at any time */
    memcpy(client.url, url, sizeof url);
    if (client_open_postgres(&client))
        fail_node("opening", ML_EIO);
    while (!world->is_enough)
        (void)do_round();
    do_the_rest();
    client_close(&client);
    _exit(0);
}

/* ---- The one who kills -------------------------------------------------------------------------
 */

static pid_t start_node(unsigned number)
{
    static unsigned seed = 1;
    pid_t pid;

    world->stands[number] = false;
    seed++;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_node(number, seed);
    return pid;
}

static void kill_node(pid_t *pids, unsigned number)
{
    int status;

    assert_int_equal(kill(pids[number], SIGKILL), 0);
    assert_int_equal(waitpid(pids[number], &status, 0), pids[number]);
    assert_true(WIFSIGNALED(status)); /* it had not failed before */
}

/* Whoever is alive stands; then what the dead one held is over. */
static void let_leases_end(unsigned dead)
{
    world->must_stand = true;
    for (unsigned i = 0; i < NODES; i++)
        while (i != dead && !world->stands[i])
            usleep(200);
    world->now_ms += LEASE_MS + 1;
    world->must_stand = false;
}

static PGresult *ask(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);

    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    return result;
}

static void assert_answer(PGconn *conn, const char *sql, const char *expected)
{
    PGresult *result = ask(conn, sql);

    assert_int_equal(PQntuples(result), 1);
    assert_string_equal(PQgetvalue(result, 0, 0), expected);
    PQclear(result);
}

static void prepare(struct journal_client *client)
{
    char name[32];

    node = client;
    (void)client_append_some(client, "kept", SNAPSHOTS);
    for (unsigned i = 0; i < JOBS; i++) {
        struct ml_store_item item = {
            .act = ML_STORE_PUSH, .key = ML_SLICE("work"), .value = ml_slice_str(name)};
        struct ml_store_write write;

        (void)snprintf(name, sizeof name, "%u", i);
        item.value = ml_slice_str(name);
        assert_int_equal(commit(&write, &item, 1), ML_OK);
        ml_store_write_release(&write);
    }
    for (unsigned i = 0; i < PURGES; i++) {
        struct ml_purge_note push = {.act = ML_PURGE_PUSH,
                                     .org = ML_SLICE("default"),
                                     .name = ml_slice_str(name),
                                     .reason = ML_PURGE_MANUAL,
                                     .at_ms = world->now_ms - 2 * ML_PURGE_COLLECT_MS,
                                     .done = on_note};

        (void)snprintf(name, sizeof name, "purged-%u", i);
        push.name = ml_slice_str(name);
        (void)client_append_some(client, name, 1);
        answered = false;
        ml_journal_note_purge(client->journal, &push);
        client_wait(client, &answered);
        assert_int_equal(push.err, ML_OK);
    }
    node = NULL;
}

static void assert_once(void)
{
    PGconn *conn = PQconnectdb(url);
    unsigned expected = KILLS + JOBS;

    /* Each effect is there once, whatever was killed in between. */
    assert_answer(conn, "SELECT convert_from(value, 'UTF8')::float::int FROM kv WHERE key = 'jobs'",
                  "60");
    assert_answer(
        conn, "SELECT convert_from(value, 'UTF8')::float::int FROM kv WHERE key = 'ticks'", "60");
    assert_answer(conn, "SELECT count(*) FROM jobs", "0");
    assert_answer(conn, "SELECT count(*) FROM purges", "0");
    assert_answer(conn, "SELECT count(*) FROM documents WHERE name LIKE 'seed/%' AND head = 1",
                  "60");
    assert_answer(conn,
                  "SELECT count(*) FROM records JOIN documents USING (org, document)"
                  " WHERE name LIKE 'seed/%'",
                  "60");
    assert_answer(conn, "SELECT snapshot_seq FROM documents WHERE name = 'kept'", "30");
    assert_answer(conn,
                  "SELECT count(*) FROM (SELECT seq FROM versions GROUP BY seq"
                  " HAVING count(*) > 1) AS twice",
                  "0");
    assert_answer(conn,
                  "SELECT count(*) FROM versions v LEFT JOIN snapshots s USING (org, document, seq)"
                  " WHERE s.state IS NULL",
                  "0");
    /* A run that nobody killed is not done again; one that was killed once more, by one. */
    assert_int_equal(world->doubles, 0);
    assert_in_range(world->job_runs, JOBS, expected);
    assert_in_range(world->purge_runs, PURGES, KILLS + PURGES);
    for (unsigned i = 0; i < SEEDS; i++)
        assert_in_range(world->seeded[i], 0, 1); /* 0: the one who did it was killed */
    for (unsigned i = 0; i < TICKS; i++)
        assert_in_range(world->ticked[i], 0, 1);
    PQfinish(conn);
}

static void every_duty_is_done_once_though_nodes_are_killed(void **state)
{
    struct journal_client client;
    pid_t pids[NODES];
    int status;

    (void)state;
    world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(world != MAP_FAILED);
    world->now_ms = 1700000000000;
    client_init(&client);
    assert_int_equal(client_open_postgres(&client), ML_OK);
    memcpy(url, client.url, sizeof url);
    prepare(&client);
    client_release(&client);

    srand(11);
    for (unsigned i = 0; i < NODES; i++)
        pids[i] = start_node(i);
    for (unsigned i = 0; i < KILLS; i++) {
        unsigned victim = (unsigned)rand() % NODES;

        usleep((useconds_t)(20000 + rand() % 30000));
        kill_node(pids, victim);
        let_leases_end(victim);
        pids[victim] = start_node(victim);
    }
    world->is_enough = true;
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    print_message("%d kills: %u runs of %d jobs, %u of %d purges\n", KILLS, world->job_runs, JOBS,
                  world->purge_runs, PURGES);
    assert_once();
    munmap(world, sizeof *world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duty_is_done_once_though_nodes_are_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
