/* SPDX-License-Identifier: MIT */
/*
 * What only the SQLite journal has: the file, its schema, and what happens when rows are not what
 * was written. Damage is done with plain SQL while the journal is closed.
 */
#include "support/journal_client.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

static int begin(void **state)
{
    struct journal_client *client = calloc(1, sizeof *client);

    if (!client)
        return -1;
    client_init(client);
    *state = client;
    return client_open_sqlite(client) ? -1 : 0;
}

static int end(void **state)
{
    client_release(*state);
    free(*state);
    return 0;
}

static sqlite3 *open_file(const struct journal_client *client)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(client->path, &db), SQLITE_OK);
    return db;
}

/* Run statements on the file; the journal need not be closed. */
static void sql(const struct journal_client *client, const char *statements)
{
    sqlite3 *db = open_file(client);
    char *error = NULL;

    if (sqlite3_exec(db, statements, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", statements, error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static long long number(const struct journal_client *client, const char *query)
{
    sqlite3 *db = open_file(client);
    sqlite3_stmt *stmt;
    long long result;

    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    result = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return result;
}

static void reopen(struct journal_client *client)
{
    assert_int_equal(client_open_sqlite(client), ML_OK);
}

/* Close, run, open. */
static void damage(struct journal_client *client, const char *statements)
{
    client_close(client);
    sql(client, statements);
    reopen(client);
}

/* The load must end before record `seq`, and say so. */
static void assert_good_prefix(struct journal_client *client, const char *name, uint64_t seq)
{
    struct ml_load load;
    char wanted[32];

    assert_int_equal(client_load(client, name, 0, 0, &load), ML_EFORMAT);
    assert_int_equal(load.count, seq - 1);
    for (size_t i = 0; i < load.count; i++) {
        char text[64];

        assert_int_equal(load.records[i].seq, i + 1);
        (void)snprintf(text, sizeof text, "%s %zu", name, i + 1);
        assert_int_equal(load.records[i].bytes->len, strlen(text));
        assert_memory_equal(load.records[i].bytes->bytes, text, strlen(text));
    }
    (void)snprintf(wanted, sizeof wanted, "record %llu ", (unsigned long long)seq);
    assert_non_null(strstr(load.diag.text, wanted));
    ml_load_release(&load);
}

static void assert_whole(struct journal_client *client, const char *name, uint64_t head)
{
    struct ml_load load;

    assert_int_equal(client_load(client, name, 0, 0, &load), ML_OK);
    assert_int_equal(load.count, head);
    ml_load_release(&load);
}

/* --- records --- */

static void every_kind_of_damage_to_a_record_is_found(void **state)
{
    static const struct {
        const char *statement;
        uint64_t bad; /* first record that is not served */
    } rows[] = {
        {"UPDATE records SET bytes = x'00' WHERE seq = 4", 4},
        {"UPDATE records SET bytes = CAST(bytes || x'00' AS BLOB) WHERE seq = 1", 1},
        {"UPDATE records SET author = 'ben' WHERE seq = 4", 4},
        {"UPDATE records SET author = NULL WHERE seq = 4", 4},
        {"UPDATE records SET at_ms = at_ms + 1 WHERE seq = 4", 4},
        {"UPDATE records SET epoch = 2 WHERE seq = 4", 4},
        {"UPDATE records SET format = 2 WHERE seq = 4", 4},
        {"UPDATE records SET session = 's', message_no = 1 WHERE seq = 4", 4},
        {"UPDATE records SET checksum = checksum + 1 WHERE seq = 4", 4},
        {"UPDATE records SET previous = previous + 1 WHERE seq = 4", 4},
        {"DELETE FROM records WHERE seq = 1", 1},
        {"DELETE FROM records WHERE seq = 4", 4},
        {"DELETE FROM records WHERE seq = 7", 7},
        {"DELETE FROM records", 1},
        {"UPDATE records SET seq = 8 WHERE seq = 7", 7},
        {"UPDATE records SET seq = 1000 WHERE seq = 3; UPDATE records SET seq = 3 WHERE seq = 4;"
         "UPDATE records SET seq = 4 WHERE seq = 1000",
         3},
    };
    struct journal_client *client = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        client_append_some(client, "notes", 7);
        assert_whole(client, "notes", 7);
        damage(client, rows[i].statement);
        assert_good_prefix(client, "notes", rows[i].bad);
        damage(client, "DELETE FROM records; DELETE FROM documents");
    }
}

static void a_record_of_another_document_or_of_a_rewritten_tail_is_found(void **state)
{
    struct journal_client *client = *state;

    client_append_some(client, "notes", 5);
    client_append_some(client, "other", 5);
    damage(client,
           "UPDATE records SET seq = 99 WHERE seq = 3 AND document ="
           " (SELECT document FROM documents WHERE name = 'notes');"
           "UPDATE records SET document = (SELECT document FROM documents WHERE name = 'notes')"
           " WHERE seq = 3 AND document = (SELECT document FROM documents WHERE name = 'other')");
    assert_good_prefix(client, "notes", 3);
    assert_good_prefix(client, "other", 3);
}

static void a_lost_tail_is_found_even_if_the_head_went_back_with_it(void **state)
{
    struct journal_client *client = *state;
    struct ml_load load;

    client_append_some(client, "notes", 5);
    damage(client, "DELETE FROM records WHERE seq = 5; UPDATE documents SET head = 4");
    assert_int_equal(client_load(client, "notes", 0, 0, &load), ML_EFORMAT);
    assert_int_equal(load.count, 4);
    ml_load_release(&load);
}

static void a_record_beyond_the_head_stops_its_document_and_no_other(void **state)
{
    struct journal_client *client = *state;
    struct append_case bad, good;
    struct ml_journal_stats stats;

    client_append_some(client, "bad", 5);
    client_append_some(client, "good", 5);
    damage(client, "UPDATE documents SET head = 3 WHERE name = 'bad'");
    append_init(&bad, "bad");
    append_add(&bad, "x", NULL, 0);
    append_init(&good, "good");
    append_add(&good, "good 6", NULL, 0);
    append_send(client, &bad);
    append_send(client, &good);
    client_wait(client, &good.answered);
    assert_int_equal(bad.append.err, ML_EFORMAT);
    assert_int_equal(good.append.err, ML_OK);
    assert_int_equal(good.append.head, 6);
    append_release(&bad);
    append_release(&good);
    assert_whole(client, "good", 6);
    ml_journal_stats(client->journal, &stats);
    assert_int_equal(stats.errors, 0); /* the connection was not to blame */
}

/* --- time between commits --- */

/* A lower bound only: how fast a machine is belongs to spec/bench. */
static void a_busy_journal_leaves_time_between_commits(void **state)
{
    struct journal_client *client = *state;
    uint64_t began = uv_hrtime();

    for (unsigned n = 0; n < 11; n++)
        client_append_some(client, "notes", 1);
    assert_true(uv_hrtime() - began >= 10 * 3000000ull);
}

/* --- snapshots --- */

static void expect_snapshot(struct journal_client *client, uint64_t seq, uint64_t head)
{
    struct ml_load load;

    assert_int_equal(client_load(client, "notes", ML_SEQ_ANY, 0, &load), ML_OK);
    assert_int_equal(load.snapshot_seq, seq);
    assert_int_equal(load.count, head - seq);
    if (seq) {
        char text[200];

        (void)snprintf(text, sizeof text, "state %llu %0100d", (unsigned long long)seq, 0);
        assert_int_equal(load.snapshot->len, strlen(text));
        assert_memory_equal(load.snapshot->bytes, text, strlen(text));
    }
    ml_load_release(&load);
}

static void put_snapshots(struct journal_client *client, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        char text[200];

        (void)snprintf(text, sizeof text, "state %llu %0100d", (unsigned long long)seq, 0);
        assert_int_equal(client_put_snapshot(client, "notes", seq, 1, ml_slice_str(text), 3),
                         ML_OK);
    }
}

static void a_damaged_snapshot_falls_back_to_the_one_before(void **state)
{
    struct journal_client *client = *state;

    client_append_some(client, "notes", 6);
    put_snapshots(client, 2, 4);
    expect_snapshot(client, 4, 6);
    damage(client, "UPDATE snapshots SET state = zeroblob(length(state)) WHERE seq = 4");
    expect_snapshot(client, 3, 6);
    damage(client, "UPDATE snapshots SET state = substr(state, 1, 10) WHERE seq = 3");
    expect_snapshot(client, 2, 6);
    damage(client, "UPDATE snapshots SET state = (SELECT state FROM snapshots WHERE seq = 3)"
                   " WHERE seq = 2");
    expect_snapshot(client, 0, 6);
}

static void a_snapshot_of_another_document_or_place_is_not_served(void **state)
{
    struct journal_client *client = *state;

    client_append_some(client, "notes", 6);
    client_append_some(client, "other", 6);
    put_snapshots(client, 2, 4);
    assert_int_equal(client_put_snapshot(client, "other", 6, 1, ML_SLICE("x"), 3), ML_OK);
    damage(client, "UPDATE snapshots SET document ="
                   " (SELECT document FROM documents WHERE name = 'notes') WHERE seq = 6");
    expect_snapshot(client, 4, 6);
    damage(client, "DELETE FROM snapshots WHERE seq = 6;"
                   "UPDATE snapshots SET seq = 5 WHERE seq = 2");
    expect_snapshot(client, 4, 6);
}

/* Flip one bit of one column, load, flip it back. */
static void flip(sqlite3 *db, const char *table, const char *column, uint64_t seq, unsigned random)
{
    sqlite3_stmt *stmt;
    char *query = sqlite3_mprintf("SELECT \"%w\" FROM \"%w\" WHERE seq = %llu", column, table, seq);
    uint8_t *bytes;
    int len;

    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    len = sqlite3_column_bytes(stmt, 0);
    assert_true(len > 0);
    bytes = malloc((size_t)len);
    memcpy(bytes, sqlite3_column_blob(stmt, 0), (size_t)len);
    sqlite3_finalize(stmt);
    sqlite3_free(query);
    bytes[random / 8 % (unsigned)len] ^= (uint8_t)(1u << random % 8);
    query = sqlite3_mprintf("UPDATE \"%w\" SET \"%w\" = ?1 WHERE seq = %llu", table, column, seq);
    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &stmt, NULL), SQLITE_OK);
    sqlite3_bind_blob(stmt, 1, bytes, len, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    sqlite3_finalize(stmt);
    sqlite3_free(query);
    free(bytes);
}

static void no_flipped_bit_is_served(void **state)
{
    static const struct {
        const char *table, *column;
    } rows[] = {{"snapshots", "state"}, {"snapshots", "state_vector"}, {"records", "bytes"}};
    struct journal_client *client = *state;
    unsigned flips = getenv("MOONLOOM_LONG") && *getenv("MOONLOOM_LONG") ? 12000 : 600;
    sqlite3 *db;

    ml_log_set_level(ML_LOG_ERROR);
    client_append_some(client, "notes", 6);
    put_snapshots(client, 2, 4);
    db = open_file(client);
    assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous=OFF", NULL, NULL, NULL), SQLITE_OK);
    srand(3);
    for (unsigned i = 0; i < flips; i++) {
        size_t which = i % 3;
        unsigned bit = (unsigned)rand();
        uint64_t seq = which == 2 ? 5 : 4;

        flip(db, rows[which].table, rows[which].column, seq, bit);
        if (which == 2) {
            struct ml_load load;

            assert_int_equal(client_load(client, "notes", ML_SEQ_ANY, 0, &load), ML_EFORMAT);
            assert_int_equal(load.count, 0);
            assert_int_equal(load.snapshot_seq, 4);
            ml_load_release(&load);
        } else {
            expect_snapshot(client, 3, 6);
        }
        flip(db, rows[which].table, rows[which].column, seq, bit);
        if (i % 50 == 0)
            expect_snapshot(client, 4, 6);
    }
    expect_snapshot(client, 4, 6);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_damaged_newest_snapshot_may_be_put_again(void **state)
{
    struct journal_client *client = *state;
    char text[200];

    client_append_some(client, "notes", 4);
    put_snapshots(client, 2, 4);
    (void)snprintf(text, sizeof text, "state 4 %0100d", 0);
    assert_int_equal(client_put_snapshot(client, "notes", 4, 1, ml_slice_str(text), 3),
                     ML_ECONFLICT);
    damage(client, "UPDATE snapshots SET checksum = 1 WHERE seq = 4");
    expect_snapshot(client, 3, 4);
    assert_int_equal(client_put_snapshot(client, "notes", 4, 1, ml_slice_str(text), 3), ML_OK);
    expect_snapshot(client, 4, 4);
}

static void damaged_pinned_and_named_snapshots_do_not_count_among_those_that_stay(void **state)
{
    struct journal_client *client = *state;

    client_append_some(client, "notes", 10);
    put_snapshots(client, 1, 4); /* 1 is gone */
    assert_int_equal(number(client, "SELECT group_concat(seq, '') FROM snapshots"), 234);
    damage(client, "UPDATE versions SET pinned = 1 WHERE seq = 2;"
                   "UPDATE versions SET named = 1 WHERE seq = 3;"
                   "UPDATE snapshots SET checksum = 0 WHERE seq = 4");
    put_snapshots(client, 5, 6);
    assert_int_equal(number(client, "SELECT group_concat(seq, '') FROM snapshots"), 23456);
    put_snapshots(client, 7, 7); /* 5, 6, 7 are good: the damaged one may go */
    assert_int_equal(number(client, "SELECT group_concat(seq, '') FROM snapshots"), 23567);
    put_snapshots(client, 8, 8);
    assert_int_equal(number(client, "SELECT group_concat(seq, '') FROM snapshots"), 23678);
    assert_int_equal(number(client, "SELECT snapshot_bytes = (SELECT sum(length(state) +"
                                    " length(state_vector)) FROM snapshots) FROM documents"),
                     1);
}

/* --- tombstones and epochs --- */

static void a_deleted_document_takes_and_gives_nothing(void **state)
{
    struct journal_client *client = *state;
    struct append_case c;
    struct ml_load load;

    client_append_some(client, "notes", 3);
    sql(client, "UPDATE documents SET deleted_ms = 1");
    append_init(&c, "notes");
    append_add(&c, "x", NULL, 0);
    assert_int_equal(append_run(client, &c), ML_ENOTFOUND);
    append_release(&c);
    assert_int_equal(client_load(client, "notes", ML_SEQ_ANY, 0, &load), ML_ENOTFOUND);
    assert_int_equal(load.count, 0);
    ml_load_release(&load);
    assert_int_equal(client_put_snapshot(client, "notes", 2, 1, ML_SLICE("s"), 3), ML_ENOTFOUND);
}

static void snapshots_of_an_old_epoch_are_not_served(void **state)
{
    struct journal_client *client = *state;

    client_append_some(client, "notes", 4);
    put_snapshots(client, 2, 3);
    sql(client, "UPDATE documents SET epoch = 2");
    expect_snapshot(client, 0, 4);
    assert_int_equal(client_put_snapshot(client, "notes", 4, 1, ML_SLICE("s"), 3), ML_ECONFLICT);
}

/* --- the file --- */

static void everything_is_there_after_opening_again(void **state)
{
    struct journal_client *client = *state;
    struct append_case c;

    for (unsigned i = 0; i < 3; i++) {
        client_append_some(client, "notes", 5);
        client_close(client);
        reopen(client);
    }
    assert_whole(client, "notes", 15);
    append_init(&c, "notes");
    append_add(&c, "x", "s", 1);
    assert_int_equal(append_run(client, &c), ML_OK);
    client_close(client);
    reopen(client);
    assert_int_equal(append_run(client, &c), ML_OK);
    assert_true(c.records[0].repeated);
    append_release(&c);
    assert_int_equal(number(client, "SELECT count(*) = count(DISTINCT name) FROM schema_version"),
                     1);
    assert_int_equal(number(client, "SELECT min(version) FROM schema_version"), 1);
}

static void files_are_for_their_owner_alone(void **state)
{
    struct journal_client *client = *state;
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    struct stat info;
    char path[160];

    client_append_some(client, "notes", 1);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        (void)snprintf(path, sizeof path, "%s%s", client->path, ends[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
    (void)snprintf(path, sizeof path, "%s/data", client->folder);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void a_second_writer_is_refused_and_a_look_is_not(void **state)
{
    struct journal_client *client = *state;
    struct ml_journal *second;
    struct ml_diag diag = {0};

    client_append_some(client, "notes", 2);
    assert_int_equal(ml_journal_open_sqlite(client->path, &client->loop, &diag, &second), ML_EBUSY);
    assert_non_null(strstr(diag.text, "another process"));
    assert_int_equal(number(client, "SELECT count(*) FROM records"), 2);
    client_append_some(client, "notes", 1);
    client_close(client);
    reopen(client);
}

static void closing_leaves_one_file_without_a_log(void **state)
{
    struct journal_client *client = *state;
    char path[160];

    client_append_some(client, "notes", 2);
    client_close(client);
    (void)snprintf(path, sizeof path, "%s-wal", client->path);
    assert_int_not_equal(access(path, F_OK), 0);
    reopen(client);
}

static void a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct journal_client *client = *state;
    struct ml_diag diag = {0};

    client_append_some(client, "notes", 2);
    client_close(client);
    sql(client, "INSERT INTO schema_version VALUES (9999, '9999_future.sql', 0)");
    assert_int_equal(ml_journal_open_sqlite(client->path, &client->loop, &diag, &client->journal),
                     ML_EVERSION);
    assert_non_null(strstr(diag.text, "9999"));
    assert_non_null(strstr(diag.text, "newer build"));
    assert_int_equal(number(client, "SELECT count(*) FROM records"), 2);
    client->journal = NULL;
    sql(client, "DELETE FROM schema_version WHERE version = 9999");
    reopen(client);
    assert_whole(client, "notes", 2);
}

static void a_file_of_something_else_is_refused_and_left_alone(void **state)
{
    struct journal_client *client = *state;
    static const char letter[] = "Dear diary, this is no database but it is long enough to be one.";
    char back[sizeof letter];
    int fd;

    client_close(client);
    assert_int_equal(unlink(client->path), 0);
    sql(client, "CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')");
    assert_int_equal(client_open_sqlite(client), ML_EFORMAT);
    assert_int_equal(number(client, "SELECT count(*) FROM sqlite_schema"), 1);
    assert_int_equal(unlink(client->path), 0);
    fd = open(client->path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, letter, sizeof letter), sizeof letter);
    assert_int_equal(client_open_sqlite(client), ML_EFORMAT);
    assert_int_equal(pread(fd, back, sizeof back, 0), sizeof back);
    assert_memory_equal(back, letter, sizeof letter);
    close(fd);
    client->journal = NULL;
}

static void sqlite_finds_nothing_wrong_with_the_file(void **state)
{
    struct journal_client *client = *state;
    sqlite3 *db;
    sqlite3_stmt *stmt;

    client_append_some(client, "notes", 20);
    put_snapshots(client, 3, 8);
    db = open_file(client);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA foreign_key_check", -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* An outside writer holds the lock longer than the busy time-out: held, told, and over afterwards.
 */
static void somebody_elses_lock_is_waited_for_and_then_told(void **state)
{
    struct journal_client *client = *state;
    sqlite3 *db = open_file(client);
    struct append_case c;

    client_append_some(client, "notes", 1);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    append_init(&c, "notes");
    append_add(&c, "x", "s", 1);
    assert_int_equal(append_run(client, &c), ML_EIO);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(append_run(client, &c), ML_OK);
    assert_int_equal(c.append.head, 2);
    append_release(&c);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- Appends that wait for more ---------------------------------------------------------------
 */

static void ask_to_wait(struct journal_client *client, struct append_case *c, const char *name)
{
    append_init(c, name);
    append_add(c, "one", NULL, 0);
    append_add(c, "two", NULL, 0);
    c->append.count = 1;
    c->append.not_before_ms = ml_clock_mono_ms() + 1000000;
    append_send(client, c);
}

static void has_grown(struct append_case *c)
{
    assert_int_equal(c->append.err, ML_OK);
    assert_int_equal(c->append.head, 2);
    assert_int_equal(c->records[1].seq, 2);
    append_release(c);
}

static void on_answered(struct ml_set_deleted *request)
{
    assert_int_equal(request->err, ML_ENOTFOUND);
}

static void an_append_that_may_wait_grows_and_lets_others_pass(void **state)
{
    struct journal_client *client = *state;
    struct ml_set_deleted other = {
        .org = ML_SLICE("default"), .name = ML_SLICE("none"), .deleted = true, .done = on_answered};
    struct append_case waits, passes;

    ask_to_wait(client, &waits, "waits");
    append_init(&passes, "passes");
    append_add(&passes, "one", NULL, 0);
    assert_int_equal(append_run(client, &passes), ML_OK);
    append_release(&passes);
    assert_false(waits.answered);
    assert_true(ml_journal_grow(&waits.append, waits.records, 2));
    /* What is no append may pass nothing. */
    ml_journal_set_deleted(client->journal, &other);
    client_wait(client, &waits.answered);
    has_grown(&waits);
}

static void closing_ends_the_waiting(void **state)
{
    struct append_case waits;

    ask_to_wait(*state, &waits, "waits");
    assert_true(ml_journal_grow(&waits.append, waits.records, 2));
    client_close(*state);
    assert_true(waits.answered);
    has_grown(&waits);
}

static void an_append_that_may_wait_goes_when_its_time_has_come(void **state)
{
    struct append_case waits;
    uint64_t due = ml_clock_mono_ms() + 50;

    append_init(&waits, "waits");
    append_add(&waits, "one", NULL, 0);
    waits.append.not_before_ms = due;
    assert_int_equal(append_run(*state, &waits), ML_OK);
    assert_true(ml_clock_mono_ms() >= due);
    append_release(&waits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(an_append_that_may_wait_grows_and_lets_others_pass),
        TEST(closing_ends_the_waiting),
        TEST(an_append_that_may_wait_goes_when_its_time_has_come),
        TEST(every_kind_of_damage_to_a_record_is_found),
        TEST(a_record_of_another_document_or_of_a_rewritten_tail_is_found),
        TEST(a_lost_tail_is_found_even_if_the_head_went_back_with_it),
        TEST(a_record_beyond_the_head_stops_its_document_and_no_other),
        TEST(a_damaged_snapshot_falls_back_to_the_one_before),
        TEST(a_snapshot_of_another_document_or_place_is_not_served),
        TEST(no_flipped_bit_is_served),
        TEST(a_damaged_newest_snapshot_may_be_put_again),
        TEST(damaged_pinned_and_named_snapshots_do_not_count_among_those_that_stay),
        TEST(a_deleted_document_takes_and_gives_nothing),
        TEST(snapshots_of_an_old_epoch_are_not_served),
        TEST(everything_is_there_after_opening_again),
        TEST(a_busy_journal_leaves_time_between_commits),
        TEST(files_are_for_their_owner_alone),
        TEST(a_second_writer_is_refused_and_a_look_is_not),
        TEST(closing_leaves_one_file_without_a_log),
        TEST(a_newer_schema_is_refused_and_left_alone),
        TEST(a_file_of_something_else_is_refused_and_left_alone),
        TEST(sqlite_finds_nothing_wrong_with_the_file),
        TEST(somebody_elses_lock_is_waited_for_and_then_told),
#undef TEST
    };

    return cmocka_run_group_tests_name("unit/journal/sqlite", tests, NULL, NULL);
}
