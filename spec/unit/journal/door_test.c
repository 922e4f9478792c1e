/* SPDX-License-Identifier: MIT */
/* One file, several loops: each is answered on its own thread, and everything is there once. */
#include "journal/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define LOOPS   3
#define APPENDS 200
#define FLIGHT  8 /* appends of one loop under way */

/* One loop: its thread, its door, what it still has to write. */
struct worker {
    uv_thread_t thread;
    uv_loop_t loop;
    struct ml_journal *door;
    unsigned number, started, finished;
    uint64_t head; /* of the document that all write, as last seen here */
    bool is_sound; /* asserts would jump on the wrong thread */
    struct ml_load load;
};

struct one {
    struct ml_append append; /* first */
    struct ml_record record;
    struct worker *worker;
    char session[32], name[16];
};

static bool is_own_thread(const struct worker *worker)
{
    uv_thread_t self = uv_thread_self();

    return uv_thread_equal(&self, &worker->thread);
}

static void on_door_closed(void *arg)
{
    struct worker *worker = arg;

    worker->is_sound &= is_own_thread(worker);
}

static void on_loaded(struct ml_load *load)
{
    struct worker *worker = ML_CONTAINER(load, struct worker, load);

    worker->is_sound &= is_own_thread(worker) && !load->err && load->head >= APPENDS / 2;
    ml_load_release(load);
    ml_journal_close(worker->door, on_door_closed, worker);
}

static void append_next(struct worker *worker);

static void on_appended(struct ml_append *append)
{
    struct one *one = (struct one *)(void *)append;
    struct worker *worker = one->worker;
    bool is_shared = one->name[0] == 's';

    worker->is_sound &= is_own_thread(worker) && !append->err && one->record.seq > 0;
    if (is_shared) {
        worker->is_sound &= append->head > worker->head;
        worker->head = append->head;
    }
    ml_blob_unref(one->record.bytes);
    free(one);
    worker->finished++;
    if (worker->started < APPENDS) {
        append_next(worker);
    } else if (worker->finished == APPENDS) {
        worker->load = (struct ml_load){.org = ML_SLICE("default"),
                                        .name = ML_SLICE("shared"),
                                        .max_snapshot_seq = ML_SEQ_ANY,
                                        .done = on_loaded};
        ml_journal_load(worker->door, &worker->load);
    }
}

/* Every other one into a document that all loops write. */
static void append_next(struct worker *worker)
{
    struct one *one = calloc(1, sizeof *one);
    unsigned n = worker->started++;

    one->worker = worker;
    (void)snprintf(one->session, sizeof one->session, "s%u", worker->number);
    (void)snprintf(one->name, sizeof one->name, n % 2 ? "own%u" : "shared", worker->number);
    one->record = (struct ml_record){.bytes = ml_blob_new(ML_SLICE("\0\0")),
                                     .session = ml_slice_str(one->session),
                                     .message_no = n,
                                     .at_ms = 1};
    one->append = (struct ml_append){.org = ML_SLICE("default"),
                                     .name = ml_slice_str(one->name),
                                     .records = &one->record,
                                     .count = 1,
                                     .expected_head = ML_SEQ_ANY,
                                     .done = on_appended};
    ml_journal_append(worker->door, &one->append);
}

static void run(void *arg)
{
    struct worker *worker = arg;

    worker->thread = uv_thread_self();
    for (int i = 0; i < FLIGHT; i++)
        append_next(worker);
    (void)uv_run(&worker->loop, UV_RUN_DEFAULT);
    worker->is_sound &= uv_loop_close(&worker->loop) == 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static uint64_t head_of_shared;

static void on_head(struct ml_load *load)
{
    assert_int_equal(load->err, ML_OK);
    head_of_shared = load->head;
    ml_load_release(load);
}

static void every_loop_is_answered_on_its_own_thread(void **state)
{
    char folder[] = "/tmp/moonloom-door-XXXXXX", path[64], command[96];
    struct worker workers[LOOPS] = {0};
    struct ml_journal *journal;
    struct ml_diag diag = {0};
    struct ml_load load = {.org = ML_SLICE("default"),
                           .name = ML_SLICE("shared"),
                           .max_snapshot_seq = ML_SEQ_ANY,
                           .done = on_head};
    uv_thread_t threads[LOOPS];
    bool is_closed = false;
    uv_loop_t loop;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/store.db", folder);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(ml_journal_open_sqlite(path, &loop, &diag, &journal), ML_OK);
    for (unsigned i = 0; i < LOOPS; i++) {
        workers[i].number = i;
        workers[i].is_sound = true;
        assert_int_equal(uv_loop_init(&workers[i].loop), 0);
        assert_int_equal(ml_journal_attach(journal, &workers[i].loop, &workers[i].door), ML_OK);
    }
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(uv_thread_create(&threads[i], run, &workers[i]), 0);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(uv_thread_join(&threads[i]), 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_true(workers[i].is_sound);
        assert_int_equal(workers[i].finished, APPENDS);
    }
    ml_journal_load(journal, &load);
    while (!head_of_shared)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(head_of_shared, LOOPS * APPENDS / 2);
    ml_journal_close(journal, on_closed, &is_closed);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    assert_int_equal(uv_loop_close(&loop), 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_loop_is_answered_on_its_own_thread)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
