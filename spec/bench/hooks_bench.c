/* SPDX-License-Identifier: MIT */
/*
 * What hooks cost. Run by hand from a release build:
 *
 *   unregistered hook                the bit test, and the call that finds an empty chain
 *   dispatch                         before_update that does nothing
 *   filtered                         before_update kept off by kinds and paths
 *   one filter plugin, ten edits     a loop over u:edits("text.insert") that looks at each text
 *   runaway                          CPU time beyond the deadline of an endless hook
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench_commit.h"
#include "script/script.h"

#define ROUNDS  5
#define CALLS   1000000
#define RUNAWAY 500
#define EDITS   10

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    if (!f || fputs(text, f) < 0 || fclose(f))
        fail(path, "cannot be written");
}

static void ignore_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    (void)arg, (void)level, (void)plugin, (void)message;
}

/* A clock that jumps, so that the breaker never opens. */
static uint64_t mono_ms(void)
{
    static uint64_t now;

    return now += 60000;
}

/* One plugin named "bench"; NULL: none. */
static struct ml_script *start(const char *dir, const char *hooks, const char *body)
{
    char path[128], text[1024];
    struct ml_script_plugin plugin = {.name = ML_SLICE("bench")};
    struct ml_script_options options = {.plugins_dir = ml_slice_str(dir),
                                        .plugins = &plugin,
                                        .plugin_count = body != NULL,
                                        .log = ignore_log,
                                        .mono_ms = mono_ms};
    struct ml_diag diag;
    struct ml_script *script;

    if (body) {
        snprintf(path, sizeof(path), "%s/bench/plugin.lua", dir);
        snprintf(text, sizeof(text),
                 "return { name = 'bench', version = '1.0.0', api = 1, phase = 'validate', hooks = "
                 "{ %s } }",
                 hooks);
        write_file(path, text);
        snprintf(path, sizeof(path), "%s/bench/init.lua", dir);
        snprintf(text, sizeof(text),
                 "local find = string.find\nreturn { before_update = function(self, u) %s end }",
                 body);
        write_file(path, text);
    }
    if (ml_script_new(&options, &diag, &script))
        fail("ml_script_new", diag.text);
    return script;
}

static void put_update(struct ml_writer *out)
{
    ml_write_varuint(out, 1);
    ml_write_varuint(out, EDITS);
    ml_write_varuint(out, 1);
    ml_write_varuint(out, 0);
    for (int i = 0; i < EDITS; i++) {
        ml_write_u8(out, 4);
        ml_write_varuint(out, 1);
        ml_write_varbytes(out, ML_SLICE("body"));
        ml_write_varbytes(out, ML_SLICE("some words that people type"));
    }
    ml_write_varuint(out, 0);
}

static enum ml_err ask(struct ml_script *script, const struct ml_scope *scope,
                       const struct ml_update *update, struct ml_arena *scratch)
{
    static struct ml_doc *doc;
    struct ml_script_update decision;
    struct ml_denial denial;

    if (!doc)
        doc = ml_doc_new(&(struct ml_doc_options){0});
    ml_arena_reset(scratch);
    ml_script_update_init(&decision, update, doc, scratch);
    return ml_script_before_update(script, scope, &decision, &denial);
}

static double best_ns(struct ml_script *script, const struct ml_update *update,
                      const struct ml_scope *scope, struct ml_arena *scratch, uint64_t calls)
{
    double best = 1e18;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
        double ns;

        for (uint64_t i = 0; i < calls; i++)
            if (ask(script, scope, update, scratch))
                fail("before_update", "failed");
        ns = (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / (double)calls;
        best = ns < best ? ns : best;
    }
    return best;
}

static double bit_test_ns(const struct ml_script *script)
{
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
    volatile unsigned seen = 0;

    for (uint64_t i = 0; i < 100 * (uint64_t)CALLS; i++)
        if (ml_script_hooks(script) & ML_HOOK_BEFORE_UPDATE)
            seen++;
    return (double)(clock_ns(CLOCK_MONOTONIC) - start_ns) / (100.0 * CALLS);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void measure_runaway(struct ml_script *script, const struct ml_update *update,
                            const struct ml_scope *scope, struct ml_arena *scratch)
{
    static uint64_t over_ns[RUNAWAY], wall_ns[RUNAWAY];

    for (int i = 0; i < RUNAWAY; i++) {
        uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);

        if (ask(script, scope, update, scratch) != ML_ESCRIPT)
            fail("runaway", "was not stopped");
        cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
        over_ns[i] = cpu > 10000000 ? cpu - 10000000 : 0;
        wall_ns[i] = clock_ns(CLOCK_MONOTONIC) - wall;
    }
    qsort(over_ns, RUNAWAY, sizeof(*over_ns), compare);
    qsort(wall_ns, RUNAWAY, sizeof(*wall_ns), compare);
    printf("runaway: beyond 10 ms of CPU: median %.2f ms, p99 %.2f ms, worst %.2f ms (%d runs); "
           "wall median %.2f ms, worst %.2f ms\n",
           (double)over_ns[RUNAWAY / 2] / 1e6, (double)over_ns[RUNAWAY * 99 / 100] / 1e6,
           (double)over_ns[RUNAWAY - 1] / 1e6, RUNAWAY, (double)wall_ns[RUNAWAY / 2] / 1e6,
           (double)wall_ns[RUNAWAY - 1] / 1e6);
}

int main(void)
{
    static const struct {
        const char *what, *hooks, *body;
    } cases[] = {
        {"unregistered, empty chain", "", NULL},
        {"filtered in C (ten edits)", "before_update = { kinds = { 'map' }, paths = { 'meta' } }",
         ""},
        {"dispatch", "before_update = {}", ""},
        {"one field", "before_update = {}", "local n = u.inserted_bytes"},
        {"one filter plugin, ten edits", "before_update = { kinds = { 'text.insert' } }",
         "for e in u:edits('text.insert') do if find(e.text, 'PRIVATE KEY', 1, true) then return 1 "
         "end end"},
    };
    char dir[] = "/tmp/moonloom-bench-XXXXXX", command[128];
    struct ml_scope scope = {.document = ML_SLICE("d"), .user = ML_SLICE("u"), .origin = "client"};
    struct ml_arena arena, scratch;
    struct ml_writer out;
    const struct ml_update *update;
    struct ml_script *script;

    if (!mkdtemp(dir))
        fail(dir, "cannot be made");
    snprintf(command, sizeof(command), "mkdir %s/bench", dir);
    if (system(command))
        fail(command, "failed");
    ml_arena_init(&arena, 1 << 20);
    ml_arena_init(&scratch, 1 << 20);
    ml_writer_init(&out, 1 << 20);
    put_update(&out);
    if (ml_update_decode(&arena, ml_writer_slice(&out), NULL, NULL, &update))
        fail("update", "does not decode");

    printf("commit %s, best of %d rounds\n", ML_BENCH_COMMIT, ROUNDS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        script = start(dir, cases[i].hooks, cases[i].body);
        if (i == 0)
            printf("%-32s %8.2f ns\n", "unregistered, bit test", bit_test_ns(script));
        printf("%-32s %8.1f ns\n", cases[i].what, best_ns(script, update, &scope, &scratch, CALLS));
        ml_script_free(script);
    }
    script = start(dir, "before_update = {}", "while true do end");
    measure_runaway(script, update, &scope, &scratch);
    ml_script_free(script);

    ml_writer_release(&out);
    ml_arena_release(&scratch);
    ml_arena_release(&arena);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) != 0;
}
