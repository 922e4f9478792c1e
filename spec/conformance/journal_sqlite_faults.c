/* SPDX-License-Identifier: MIT */
/*
 * F-02 and F-13: the SQLite journal on a disk that fails (support/faulty_vfs.h). One run:
 *
 *   some commits -> fault at a random write or sync -> what was unknown is sent again ->
 *   power cut -> open -> compare
 *
 * and after each run: every acknowledged message is there, once, at its seq; nothing is twice; the
 * numbers have no gap; SQLite finds the file whole. A power cut after the retry shows whether the
 * acknowledgements that followed the fault were true.
 *
 * The argument is the first seed; MOONLOOM_LONG: 1 000 runs per fault instead of 30.
 */
#include "support/faulty_vfs.h"
#include "support/journal_client.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

enum { DOCUMENTS = 2, MESSAGES = 400, BURST = 6 };

static unsigned first_seed;

/* What the world was told: 0 nothing yet, otherwise the seq that was acknowledged. */
struct world {
    struct journal_client client;
    unsigned seed, random;
    uint64_t acked[DOCUMENTS][MESSAGES];
    unsigned sent[DOCUMENTS]; /* messages 0 … sent - 1 were tried */
};

static const char *const names[DOCUMENTS] = {"d0", "d1"};

static unsigned draw(struct world *world, unsigned below)
{
    return (unsigned)rand_r(&world->random) % below;
}

static void prepare(struct append_case *c, unsigned document, unsigned message)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "%u/%u ", document, message);
    size_t pad = message % 9 == 0 ? 2500 : message % 50;

    memset(text + n, 'x', pad);
    text[(size_t)n + pad] = 0;
    append_init(c, names[document]);
    append_add(c, text, "session", message);
}

/* Send these; answers whether all were acknowledged. */
static bool send_all(struct world *world, unsigned count, const unsigned *documents,
                     const unsigned *messages)
{
    struct append_case cases[DOCUMENTS * MESSAGES > 64 ? 64 : DOCUMENTS * MESSAGES];
    bool all = true;

    assert_true(count <= 64);
    for (unsigned i = 0; i < count; i++) {
        prepare(&cases[i], documents[i], messages[i]);
        append_send(&world->client, &cases[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t *acked = &world->acked[documents[i]][messages[i]];

        client_wait(&world->client, &cases[i].answered);
        if (cases[i].append.err) {
            assert_int_equal(cases[i].append.err, ML_EIO);
            all = false;
        } else {
            assert_true(*acked == 0 || *acked == cases[i].records[0].seq);
            *acked = cases[i].records[0].seq;
        }
        append_release(&cases[i]);
    }
    return all;
}

/* New messages, a snapshot now and then. */
static bool burst(struct world *world)
{
    unsigned documents[BURST], messages[BURST], count = 1 + draw(world, BURST);

    for (unsigned i = 0; i < count; i++) {
        documents[i] = draw(world, DOCUMENTS);
        messages[i] = world->sent[documents[i]]++;
        assert_true(messages[i] < MESSAGES);
    }
    if (!send_all(world, count, documents, messages))
        return false;
    if (draw(world, 8) == 0 && world->sent[0] > 2) {
        enum ml_err err = client_put_snapshot(
            &world->client, "d0", world->acked[0][0] + draw(world, 4), 1, ML_SLICE("a state"), 3);

        assert_true(err == ML_OK || err == ML_ECONFLICT || err == ML_EIO);
        return err != ML_EIO;
    }
    return true;
}

/* Everything that was tried and not acknowledged, with the same keys. */
static bool retry(struct world *world)
{
    unsigned documents[64], messages[64], count = 0;

    for (unsigned d = 0; d < DOCUMENTS; d++)
        for (unsigned m = 0; m < world->sent[d] && count < 64; m++)
            if (!world->acked[d][m]) {
                documents[count] = d;
                messages[count++] = m;
            }
    return send_all(world, count, documents, messages);
}

static void check(struct world *world)
{
    for (unsigned d = 0; d < DOCUMENTS; d++) {
        bool seen[MESSAGES] = {false};
        struct ml_load load;

        if (client_load(&world->client, names[d], 0, 0, &load))
            fail_msg("seed %u: %s", world->seed, load.diag.text);
        assert_int_equal(load.count, load.head);
        for (size_t i = 0; i < load.count; i++) {
            char text[32];
            unsigned document, message;

            (void)snprintf(text, sizeof text, "%.*s", 31,
                           (const char *)load.records[i].bytes->bytes);
            assert_int_equal(sscanf(text, "%u/%u ", &document, &message), 2);
            assert_int_equal(document, d);
            assert_true(message < world->sent[d]);
            if (seen[message])
                fail_msg("seed %u: message %u is there twice", world->seed, message);
            seen[message] = true;
            if (world->acked[d][message] && world->acked[d][message] != load.records[i].seq)
                fail_msg("seed %u: message %u moved", world->seed, message);
        }
        for (unsigned m = 0; m < world->sent[d]; m++)
            if (world->acked[d][m] && !seen[m])
                fail_msg("seed %u: message %u of %s was acknowledged as %llu and is lost",
                         world->seed, m, names[d], (unsigned long long)world->acked[d][m]);
        ml_load_release(&load);
    }
}

static void check_integrity(const struct world *world)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;

    assert_int_equal(sqlite3_open(world->client.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void cut_power_and_open_again(struct world *world)
{
    vfs_plan(VFS_FAULT_POWER_CUT, 1, world->seed);
    (void)burst(world); /* whatever it answers, its first write ends it */
    assert_true(vfs_fired());
    client_close(&world->client);
    vfs_heal();
    assert_int_equal(client_open_sqlite(&world->client), ML_OK);
    check(world);
}

static void begin(struct world *world, unsigned seed)
{
    *world = (struct world){.seed = seed, .random = seed};
    vfs_heal();
    client_init(&world->client);
    assert_int_equal(client_open_sqlite(&world->client), ML_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_true(burst(world));
}

static void finish(struct world *world)
{
    while (!retry(world))
        ;
    check(world);
    cut_power_and_open_again(world);
    while (!retry(world))
        ;
    check(world);
    client_close(&world->client);
    check_integrity(world);
    /* The power cut empties the shim, so that the next run starts with no file of this one. */
    client_release(&world->client);
}

static unsigned run_count(void)
{
    return getenv("MOONLOOM_LONG") && *getenv("MOONLOOM_LONG") ? 1000 : 30;
}

static void run_with_fault(enum vfs_fault fault, unsigned operations)
{
    unsigned hit = 0;

    for (unsigned run = 0; run < run_count(); run++) {
        static struct world world;
        unsigned bursts = 0;

        begin(&world, first_seed + run);
        vfs_plan(fault, 1 + draw(&world, operations), world.seed);
        while (burst(&world) && ++bursts < 50)
            ;
        hit += vfs_fired();
        if (fault == VFS_FAULT_POWER_CUT && vfs_fired()) {
            client_close(&world.client);
            vfs_heal();
            assert_int_equal(client_open_sqlite(&world.client), ML_OK);
            check(&world);
        }
        if (fault == VFS_FAULT_SYNC_KILLS && vfs_fired()) {
            client_close(&world.client);
            vfs_revive();
            assert_int_equal(client_open_sqlite(&world.client), ML_OK);
        }
        vfs_plan(VFS_FAULT_NONE, 0, 0);
        finish(&world);
    }
    print_message("runs=%u faults=%u operations=%lu seed=%u\n", run_count(), hit, vfs_operations(),
                  first_seed);
    assert_true(hit * 10 >= run_count() * 9);
}

static void a_power_cut_loses_nothing_acknowledged(void **state)
{
    (void)state;
    run_with_fault(VFS_FAULT_POWER_CUT, 60);
}

static void a_failed_write_loses_nothing_acknowledged(void **state)
{
    (void)state;
    run_with_fault(VFS_FAULT_WRITE_EIO, 60);
}

static void a_failed_sync_that_dropped_its_pages_loses_nothing_acknowledged(void **state)
{
    (void)state;
    run_with_fault(VFS_FAULT_SYNC_LOSES, 60);
}

/* The one where trying the sync again would lie: later reads see what never reached the disk. */
static void a_failed_sync_whose_pages_look_clean_loses_nothing_acknowledged(void **state)
{
    (void)state;
    run_with_fault(VFS_FAULT_SYNC_KEEPS, 60);
}

/* The next process reads from memory what never reached the disk; it must not build on it. */
static void a_process_that_dies_after_a_failed_sync_misleads_nobody(void **state)
{
    (void)state;
    run_with_fault(VFS_FAULT_SYNC_KILLS, 60);
}

static void a_full_disk_stops_writing_and_nothing_else(void **state)
{
    unsigned hit = 0;

    (void)state;
    for (unsigned run = 0; run < run_count() / 2; run++) {
        static struct world world;
        unsigned bursts = 0;
        uint64_t since;

        begin(&world, first_seed + run);
        vfs_plan(VFS_FAULT_FULL, 1 + draw(&world, 60), 0);
        while (burst(&world) && ++bursts < 50)
            ;
        hit += vfs_fired();
        check(&world);       /* reading goes on */
        (void)retry(&world); /* may find room that the log already has */
        check(&world);
        vfs_heal();
        since = ml_clock_mono_ms();
        while (!retry(&world))
            ;
        assert_true(ml_clock_mono_ms() - since <= 5000);
        finish(&world);
    }
    assert_true(hit * 10 >= run_count() / 2 * 9);
}

static void a_full_disk_does_not_keep_the_journal_from_opening(void **state)
{
    static struct world world;

    (void)state;
    begin(&world, first_seed);
    vfs_plan(VFS_FAULT_POWER_CUT, 1, first_seed);
    (void)burst(&world);
    client_close(&world.client);
    vfs_heal();
    vfs_plan(VFS_FAULT_FULL, 1, 0);
    assert_int_equal(client_open_sqlite(&world.client), ML_OK);
    check(&world);
    vfs_heal();
    finish(&world);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_loses_nothing_acknowledged),
        cmocka_unit_test(a_failed_write_loses_nothing_acknowledged),
        cmocka_unit_test(a_failed_sync_that_dropped_its_pages_loses_nothing_acknowledged),
        cmocka_unit_test(a_failed_sync_whose_pages_look_clean_loses_nothing_acknowledged),
        cmocka_unit_test(a_process_that_dies_after_a_failed_sync_misleads_nobody),
        cmocka_unit_test(a_full_disk_stops_writing_and_nothing_else),
        cmocka_unit_test(a_full_disk_does_not_keep_the_journal_from_opening),
    };

    first_seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)ml_clock_wall_ms();
    /* The faults are logged as what they are; here they are expected by the thousand. */
    ml_log_set_sink(NULL);
    vfs_install();
    return cmocka_run_group_tests_name("conformance/journal/sqlite_faults", tests, NULL, NULL);
}
