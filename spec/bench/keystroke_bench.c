/* SPDX-License-Identifier: MIT */
/*
 * What a keystroke costs in a room, from ml_room_submit to the acknowledgement (memory journal),
 * for a document that no plugin looks at:
 *
 *   no plan          rooms without plugins at all: the path as it was before there were hooks
 *   nothing is on    plugins are there, none is on for this org
 *   other hooks      a plugin is on, and none of its hooks is about edits
 *   other documents  a plugin looks at edits, of other documents only
 *
 * The rooms take turns in one run, key by key of the same text. CPU time of the thread; the low
 * decile of the rounds, and the median of what a round cost as a part of its neighbour's without a
 * plan.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "bench_commit.h"
#include "rig.h"

#define ROUNDS 400
#define KEYS   400 /* a round */
#define BATCH  8   /* keys of one commit */
#define RIGS   4

struct rig {
    const char *what, *manifest, *init, *server; /* server NULL: no plan */
    struct bench_seat seat;
    struct ml_rooms *rooms;
    struct ml_cells *cells;
    struct ml_journal *journal;
    uint64_t now_ms;
    double ns[ROUNDS], part[ROUNDS];
};

static struct rig rigs[RIGS] = {
    {.what = "no plan"},
    {.what = "nothing is on", .server = "{}"},
    {.what = "other hooks",
     .manifest = "hooks = { keep_document = {} }",
     .init = "return { keep_document = function() end }",
     .server = "{\"plugins\":{\"bench\":{}}}"},
    {.what = "other documents",
     .manifest = "hooks = { before_update = {} }",
     .init = "return { before_update = function() end }",
     .server = "{\"plugins\":{\"bench\":{\"docs\":[\"other/*\"]}}}"},
};

static uint64_t mono_ms(void *arg)
{
    return ((struct rig *)arg)->now_ms;
}

static int64_t wall_ms(void *arg)
{
    return (int64_t)((struct rig *)arg)->now_ms + 1700000000000;
}

static uint64_t number(void *arg)
{
    static uint64_t n;

    (void)arg;
    return n += 0x9e3779b97f4a7c15u;
}

static void start(struct rig *rig, const char *dir)
{
    struct ml_room_env env = {
        .mono_ms = mono_ms, .wall_ms = wall_ms, .random = number, .arg = rig, .loops = 1};

    rig->now_ms = 1000;
    if (rig->manifest)
        bench_write_plugin(dir, rig->manifest, rig->init);
    if (rig->server)
        rig->cells = bench_cells(dir, rig->server);
    if (ml_journal_open_memory(NULL, &rig->journal))
        bench_fail(rig->what, "no journal");
    env.journal = rig->journal;
    env.cells = rig->cells;
    rig->rooms = ml_rooms_new(&env);
    if (!rig->rooms)
        bench_fail(rig->what, "no rooms");
    bench_join(&rig->seat, rig->rooms, rig->journal, ML_SLICE("acme"), ML_SLICE("notes/today"));
}

static void on_journal_closed(void *arg)
{
    (void)arg;
}

static void stop(struct rig *rig)
{
    ml_rooms_crash(rig->rooms);
    ml_journal_close(rig->journal, on_journal_closed, NULL);
    (void)ml_journal_memory_step(rig->journal);
    ml_cells_free(rig->cells);
}

/* ---- Typing -----------------------------------------------------------------------------------
 */

/* KEYS keys from `clock` on; answers nanoseconds a key. */
static double type(struct rig *rig, uint64_t clock, struct ml_writer *out, struct ml_arena *scratch)
{
    uint64_t began_ns = bench_clock_ns(CLOCK_THREAD_CPUTIME_ID);

    for (uint64_t i = 0; i < KEYS; i++) {
        bench_put_key(out, clock + i);
        ml_arena_reset(scratch);
        if (ml_room_submit(rig->seat.member, ml_writer_slice(out), clock + i + 1, false, scratch))
            bench_fail(rig->what, "a key was not taken");
        if ((i + 1) % BATCH)
            continue;
        rig->now_ms += 50;
        ml_rooms_tick(rig->rooms);
        (void)ml_rooms_flush(rig->rooms);
        (void)ml_journal_memory_step(rig->journal);
    }
    if (rig->cells)
        ml_cells_tick(rig->cells);
    if (rig->seat.acked_no != clock + KEYS)
        bench_fail(rig->what, "a key was not acknowledged");
    return (double)(bench_clock_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns) / KEYS;
}

int main(void)
{
    char dir[] = "/tmp/moonloom-bench-XXXXXX";
    struct ml_arena scratch;
    struct ml_writer out;

    ml_log_set_level(ML_LOG_ERROR);
    bench_make_dir(dir);
    ml_arena_init(&scratch, 1 << 20);
    ml_writer_init(&out, 1 << 10);
    for (size_t i = 0; i < RIGS; i++)
        start(&rigs[i], dir);
    for (uint64_t round = 0; round <= ROUNDS; round++) { /* the first warms up */
        size_t at = round ? (size_t)round - 1 : 0;

        for (size_t turn = 0; turn < RIGS; turn++) { /* each begins as often as the others */
            struct rig *rig = &rigs[(turn + at) % RIGS];

            rig->ns[at] = type(rig, round * KEYS, &out, &scratch);
        }
        for (size_t i = 0; i < RIGS; i++)
            rigs[i].part[at] = rigs[i].ns[at] / rigs[0].ns[at];
    }
    printf("commit %s, %d rounds in turns, ns of CPU time a key\n%-20s %9s %9s %9s %9s\n",
           ML_BENCH_COMMIT, ROUNDS, "", "decile", "of none", "median", "of none");
    for (size_t i = 0; i < RIGS; i++) {
        struct rig *rig = &rigs[i];

        qsort(rig->ns, ROUNDS, sizeof(*rig->ns), bench_compare);
        qsort(rig->part, ROUNDS, sizeof(*rig->part), bench_compare);
        printf("%-20s %9.1f %9.3f %9.1f %9.3f\n", rig->what, rig->ns[ROUNDS / 10],
               rig->ns[ROUNDS / 10] / rigs[0].ns[ROUNDS / 10], rig->ns[ROUNDS / 2],
               rig->part[ROUNDS / 2]);
        stop(rig);
    }
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    bench_remove_dir(dir);
    return 0;
}
