/* SPDX-License-Identifier: MIT */
/*
 * What hooks cost. Run by hand from a build of the preset bench; an argument picks the cases whose
 * name it is a part of:
 *
 *   unregistered hook                the bit test, and the call that finds an empty chain
 *   dispatch                         before_update that does nothing
 *   filtered                         before_update kept off by kinds and paths
 *   one filter plugin, ten edits     a loop over u:edits("text.insert") that looks at each text
 *
 * CPU time of the thread, in many short rounds; the cases take turns, so that what else the machine
 * does meets all of them. The low decile is what a quiet machine would say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_commit.h"
#include "script/script.h"

#define ROUNDS 200
#define CALLS  2000 /* a round; of the bit test a hundred times as many */
#define EDITS  10
#define CASES  6

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

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct timed {
    const char *what, *hooks, *body;
    double gate_ns; /* 0: none */
    bool is_left_out;
    struct ml_script *script;
    double ns[ROUNDS];
};

struct bench {
    struct timed cases[CASES];
    const struct ml_update *update;
    struct ml_scope scope;
    struct ml_arena arena, scratch;
};

static double round_ns(struct bench *bench, const struct timed *c)
{
    uint64_t start_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID), calls = CALLS;

    if (c->hooks) {
        for (uint64_t i = 0; i < calls; i++)
            if (ask(c->script, &bench->scope, bench->update, &bench->scratch))
                fail(c->what, "failed");
    } else {
        calls *= 100;
        for (uint64_t i = 0; i < calls; i++) {
            struct ml_script *script = c->script;

            __asm__ volatile("" : "+r"(script) : : "memory"); /* read anew every time */
            if (ml_script_hooks(script) & ML_HOOK_BEFORE_UPDATE)
                fail(c->what, "is registered");
        }
    }
    return (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - start_ns) / (double)calls;
}

static void measure(struct bench *bench)
{
    for (int round = -1; round < ROUNDS; round++) /* the first warms up */
        for (size_t i = 0; i < CASES; i++)
            if (!bench->cases[i].is_left_out)
                bench->cases[i].ns[round < 0 ? 0 : round] = round_ns(bench, &bench->cases[i]);
}

static void report(struct timed *c)
{
    char gate[32] = "";

    if (c->is_left_out)
        return;
    qsort(c->ns, ROUNDS, sizeof(*c->ns), compare);
    if (c->gate_ns > 0)
        snprintf(gate, sizeof(gate), "%.0f", c->gate_ns);
    printf("%-32s %9.2f %9.2f %9s\n", c->what, c->ns[ROUNDS / 10], c->ns[ROUNDS / 2], gate);
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .cases =
            {
                {.what = "unregistered, bit test", .gate_ns = 2},
                {.what = "unregistered, empty chain", .hooks = ""},
                {.what = "filtered in C (ten edits)",
                 .hooks = "before_update = { kinds = { 'map' }, paths = { 'meta' } }",
                 .body = ""},
                {.what = "dispatch", .hooks = "before_update = {}", .body = "", .gate_ns = 100},
                {.what = "one field",
                 .hooks = "before_update = {}",
                 .body = "local n = u.inserted_bytes"},
                {.what = "one filter plugin, ten edits",
                 .hooks = "before_update = { kinds = { 'text.insert' } }",
                 .body = "for e in u:edits('text.insert') do if find(e.text, 'PRIVATE KEY', 1, "
                         "true) then return 1 end end",
                 .gate_ns = 6000},
            },
        .scope = {.origin = "client"},
    };
    char dir[] = "/tmp/moonloom-bench-XXXXXX", command[128];
    struct ml_writer out;

    bench.scope.document = ML_SLICE("d");
    bench.scope.user = ML_SLICE("u");
    if (!mkdtemp(dir))
        fail(dir, "cannot be made");
    snprintf(command, sizeof(command), "mkdir %s/bench", dir);
    if (system(command))
        fail(command, "failed");
    ml_arena_init(&bench.arena, 1 << 20);
    ml_arena_init(&bench.scratch, 1 << 20);
    ml_writer_init(&out, 1 << 20);
    put_update(&out);
    if (ml_update_decode(&bench.arena, ml_writer_slice(&out), NULL, NULL, &bench.update))
        fail("update", "does not decode");
    for (size_t i = 0; i < CASES; i++) {
        struct timed *c = &bench.cases[i];

        c->is_left_out = argc > 1 && !strstr(c->what, argv[1]);
        if (!c->is_left_out)
            c->script = start(dir, c->hooks, c->body);
    }
    printf("commit %s, %d rounds in turns, ns of CPU time\n%-32s %9s %9s %9s\n", ML_BENCH_COMMIT,
           ROUNDS, "", "decile", "median", "gate");
    measure(&bench);
    for (size_t i = 0; i < CASES; i++) {
        report(&bench.cases[i]);
        ml_script_free(bench.cases[i].script);
    }

    ml_writer_release(&out);
    ml_arena_release(&bench.scratch);
    ml_arena_release(&bench.arena);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) != 0;
}
