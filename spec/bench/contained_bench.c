/* SPDX-License-Identifier: MIT */
/*
 * How long a plugin that runs away can hold its loop, and what others on that loop notice.
 *
 *   stop     every form of spec/support/runaways.h, in turns: CPU time and wall time of a call
 *            beyond its deadline of 10 ms (SEC-LUA-03: 5 ms at p99, 20 ms at worst)
 *   beside   ten documents in which somebody types, on one loop, alone and beside five people of
 *            another org whose hook never ends: milliseconds from a key that is due to its
 *            acknowledgement (wanted: p99 at most 1.2 times as long). Real time, breaker and share
 *            as shipped; the state begins anew each time, so the breaker has to learn: five calls
 *            at once, then one after 1, 2, 4 ... s.
 *
 * Arguments: runs of stop (2500), seconds of a window (60), windows (3).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "bench_commit.h"
#include "rig.h"
#include "support/runaways.h"

#define DEADLINE_NS 10000000u
#define MS          1000000u
#define GOOD        10 /* documents, a key every 10 ms each */
#define BAD         5
#define BAD_EVERY   20 /* ms */
#define RUNS_MAX    100000
#define KEYS_MAX    200000
#define WINDOWS_MAX 32

static double ms_of(double ns)
{
    return ns / MS;
}

/* ---- Stop -------------------------------------------------------------------------------------
 */

static uint64_t jumping_ms(void)
{
    static uint64_t now;

    return now += 120000; /* no breaker is open any more */
}

static void ignore_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    (void)arg, (void)level, (void)plugin, (void)message;
}

static void put_text(struct ml_writer *out, struct ml_slice text)
{
    ml_writer_reset(out);
    for (int i = 0; i < 3; i++)
        ml_write_u8(out, 1);
    ml_write_u8(out, 0);
    ml_write_u8(out, 4);
    ml_write_u8(out, 1);
    ml_write_varbytes(out, ML_SLICE("content"));
    ml_write_varbytes(out, text);
    ml_write_u8(out, 0);
}

struct stops {
    double cpu_ns[RUNS_MAX], wall_ns[RUNS_MAX]; /* beyond the deadline */
    size_t count, others;                       /* others: out of memory, or at an end */
    double others_ns;                           /* their worst CPU time */
};

static void ask(struct stops *stops, struct ml_script *script, struct ml_doc *doc, size_t form,
                struct ml_writer *out, struct ml_arena *scratch)
{
    const struct ml_scope scope = {.document = ML_SLICE("d"), .origin = "client"};
    const struct ml_update *update;
    struct ml_script_update decision;
    struct ml_script_stats before, after;
    struct ml_denial denial;
    char text[32];
    uint64_t cpu, wall;
    enum ml_err err;

    snprintf(text, sizeof(text), "%zu.%zu", form / RUNAWAY_BAD, form % RUNAWAY_BAD);
    put_text(out, ml_slice_str(text));
    ml_arena_reset(scratch);
    if (ml_update_decode(scratch, ml_writer_slice(out), NULL, NULL, &update))
        bench_fail(text, "does not decode");
    ml_script_update_init(&decision, update, doc, scratch);
    ml_script_stats(script, &before);
    wall = bench_clock_ns(CLOCK_MONOTONIC);
    cpu = bench_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    err = ml_script_before_update(script, &scope, &decision, &denial);
    cpu = bench_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    wall = bench_clock_ns(CLOCK_MONOTONIC) - wall;
    ml_script_stats(script, &after);
    if (err != ML_ESCRIPT || after.timeouts == before.timeouts) {
        stops->others++;
        stops->others_ns = (double)cpu > stops->others_ns ? (double)cpu : stops->others_ns;
        return;
    }
    stops->cpu_ns[stops->count] = cpu > DEADLINE_NS ? (double)(cpu - DEADLINE_NS) : 0;
    stops->wall_ns[stops->count++] = wall > DEADLINE_NS ? (double)(wall - DEADLINE_NS) : 0;
}

static void say(const char *what, double *ns, size_t count)
{
    qsort(ns, count, sizeof(*ns), bench_compare);
    printf("%-28s median %6.2f   p99 %6.2f   worst %6.2f ms\n", what, ms_of(ns[count / 2]),
           ms_of(ns[count * 99 / 100]), ms_of(ns[count - 1]));
}

static void measure_stops(const char *dir, size_t runs)
{
    static struct stops stops;
    const struct ml_script_plugin plugin = {.name = ML_SLICE("bench")};
    const struct ml_script_options options = {.plugins_dir = ml_slice_str(dir),
                                              .plugins = &plugin,
                                              .plugin_count = 1,
                                              .log = ignore_log,
                                              .mono_ms = jumping_ms};
    struct ml_doc *doc = ml_doc_new(&(struct ml_doc_options){0});
    struct ml_script *script;
    struct ml_arena scratch;
    struct ml_writer out;
    struct ml_diag diag;
    char *init = runaway_init();

    bench_write_plugin(dir, "phase = 'validate', hooks = { before_update = {} }", init);
    free(init);
    if (!doc || ml_script_new(&options, &diag, &script))
        bench_fail("ml_script_new", diag.text);
    ml_arena_init(&scratch, 1 << 20);
    ml_writer_init(&out, 1 << 10);
    for (size_t i = 0; i < runs; i++)
        ask(&stops, script, doc, i % (RUNAWAY_WRAPS * RUNAWAY_BAD), &out, &scratch);
    printf("stop: %zu calls of %zu forms, %zu stopped at their deadline; beyond it\n", runs,
           RUNAWAY_WRAPS * RUNAWAY_BAD, stops.count);
    if (stops.count) {
        say("  CPU time", stops.cpu_ns, stops.count);
        say("  wall time", stops.wall_ns, stops.count);
    }
    printf("  the other %zu ran out of memory or came to an end, after %.2f ms at worst\n",
           stops.others, ms_of(stops.others_ns));
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    ml_script_free(script);
    ml_doc_free(doc);
}

/* ---- Beside -----------------------------------------------------------------------------------
 */

static uint64_t mono_ms(void *arg)
{
    (void)arg;
    return ml_clock_mono_ms();
}

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return ml_clock_wall_ms();
}

static uint64_t number(void *arg)
{
    static uint64_t n;

    (void)arg;
    return n += 0x9e3779b97f4a7c15u;
}

static void on_journal_closed(void *arg)
{
    (void)arg;
}

struct typist {
    struct bench_seat seat;
    uint64_t typed, seen; /* keys sent; acknowledged, as far as counted */
    uint64_t next_ns, every_ns;
    uint64_t due_ns[256]; /* of the keys that wait, by number */
};

struct street {
    struct typist good[GOOD], bad[BAD];
    double took_ns[KEYS_MAX];
    size_t count;
};

/* What is due is typed; what was acknowledged is counted, if `took` is asked for. */
static void serve(struct street *street, struct typist *t, uint64_t now_ns, bool counts,
                  struct ml_writer *out, struct ml_arena *scratch)
{
    while (t->next_ns <= now_ns && !t->seat.is_paused && !t->seat.is_closed &&
           t->typed - t->seen < 256) {
        enum ml_err err;

        bench_put_key(out, t->typed);
        ml_arena_reset(scratch);
        err = ml_room_submit(t->seat.member, ml_writer_slice(out), t->typed + 1, false, scratch);
        if (err)
            return;
        t->due_ns[t->typed++ % 256] = t->next_ns;
        t->next_ns += t->every_ns;
    }
    for (; counts && t->seen < t->seat.acked_no; t->seen++)
        if (street->count < KEYS_MAX)
            street->took_ns[street->count++] =
                (double)(bench_clock_ns(CLOCK_MONOTONIC) - t->due_ns[t->seen % 256]);
}

/* One turn of the loop. */
static void turn(struct street *street, struct ml_rooms *rooms, struct ml_cells *cells,
                 struct ml_journal *journal, bool has_bad, struct ml_writer *out,
                 struct ml_arena *scratch)
{
    uint64_t now_ns = bench_clock_ns(CLOCK_MONOTONIC);

    for (size_t i = 0; has_bad && i < BAD; i++)
        serve(street, &street->bad[i], now_ns, false, out, scratch);
    for (size_t i = 0; i < GOOD; i++)
        serve(street, &street->good[i], now_ns, true, out, scratch);
    ml_rooms_tick(rooms);
    ml_cells_tick(cells);
    (void)ml_rooms_flush(rooms);
    (void)ml_journal_memory_step(journal);
}

static void take_seats(struct typist *typists, size_t count, const char *org, uint64_t every_ms,
                       struct ml_rooms *rooms, struct ml_journal *journal)
{
    for (size_t i = 0; i < count; i++) {
        char name[32];

        snprintf(name, sizeof(name), "doc%zu", i);
        bench_join(&typists[i].seat, rooms, journal, ml_slice_str(org), ml_slice_str(name));
        typists[i].every_ns = every_ms * MS;
        typists[i].next_ns = bench_clock_ns(CLOCK_MONOTONIC) + i * MS;
    }
}

/* The p99 of the good ones, in nanoseconds. */
static double window(const char *dir, unsigned seconds, bool has_bad)
{
    static struct street street;
    struct ml_cells *cells = bench_cells(dir, "{\"plugins\":{\"bench\":{}}}");
    struct ml_room_env env = {
        .mono_ms = mono_ms, .wall_ms = wall_ms, .random = number, .loops = 1, .cells = cells};
    struct ml_rooms *rooms;
    struct ml_arena scratch;
    struct ml_writer out;
    uint64_t end_ns;

    street = (struct street){0};
    if (ml_journal_open_memory(NULL, &env.journal))
        bench_fail("journal", "cannot be opened");
    rooms = ml_rooms_new(&env);
    if (!rooms)
        bench_fail("rooms", "no memory");
    ml_arena_init(&scratch, 1 << 20);
    ml_writer_init(&out, 1 << 10);
    take_seats(street.bad, BAD, "bad", BAD_EVERY, rooms, env.journal);
    take_seats(street.good, GOOD, "good", GOOD, rooms, env.journal);
    end_ns = bench_clock_ns(CLOCK_MONOTONIC) + (uint64_t)seconds * 1000 * MS;
    while (bench_clock_ns(CLOCK_MONOTONIC) < end_ns) {
        const struct timespec pause = {.tv_nsec = MS / 2};

        turn(&street, rooms, cells, env.journal, has_bad, &out, &scratch);
        nanosleep(&pause, NULL);
    }
    ml_rooms_crash(rooms);
    ml_journal_close(env.journal, on_journal_closed, NULL);
    (void)ml_journal_memory_step(env.journal);
    ml_cells_free(cells);
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    if (!street.count)
        bench_fail("beside", "nothing was acknowledged");
    say(has_bad ? "  beside a runaway" : "  alone", street.took_ns, street.count);
    return street.took_ns[street.count * 99 / 100];
}

static void measure_beside(const char *dir, unsigned seconds, unsigned windows)
{
    double ratios[WINDOWS_MAX];

    bench_write_plugin(dir, "phase = 'validate', hooks = { before_update = {} }",
                       "return { before_update = function(self, u)\n"
                       "  if self.org.id == 'bad' then while true do end end\n"
                       "  for e in u:edits() do if e.text == 'never' then return end end\n"
                       "end }");
    printf("beside: %u windows of %u s, %d documents, key to acknowledgement\n", windows, seconds,
           GOOD);
    for (unsigned i = 0; i < windows; i++) {
        double alone = window(dir, seconds, false);

        ratios[i] = window(dir, seconds, true) / alone;
    }
    qsort(ratios, windows, sizeof(*ratios), bench_compare);
    printf("  p99 beside, as a part of alone: median %.2f, worst %.2f (wanted: 1.2)\n",
           ratios[windows / 2], ratios[windows - 1]);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/moonloom-bench-XXXXXX";
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 2500;
    unsigned long seconds = argc > 2 ? strtoul(argv[2], NULL, 10) : 60;
    unsigned long windows = argc > 3 ? strtoul(argv[3], NULL, 10) : 3;

    if (runs > RUNS_MAX || !seconds || seconds > 120 || windows > WINDOWS_MAX)
        bench_fail("usage", "bench_contained [RUNS [SECONDS [WINDOWS]]]");
    ml_log_set_level(ML_LOG_ERROR);
    printf("commit %s\n", ML_BENCH_COMMIT);
    bench_make_dir(dir);
    if (runs)
        measure_stops(dir, runs);
    if (windows)
        measure_beside(dir, (unsigned)seconds, (unsigned)windows);
    bench_remove_dir(dir);
    return 0;
}
