/* SPDX-License-Identifier: MIT */
/*
 * How fast is the engine? Run by `run` beside this file, from a release build.
 *
 *   bench_engine TRACE.log      one JSON line: every row of docs/benchmarks.md for that trace
 *   bench_engine sizes          one JSON line: the same edits in documents of 10^3, 10^5, 10^6 runs
 *
 * CPU time of this thread; each row is the best and the median of repetitions that together take
 * about ROW_NS. `best` is what the code costs, `median` what the machine made of it today.
 */
#include "bench_commit.h"
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROW_NS   400000000ull
#define RUNS_MIN 5
#define RUNS_MAX 1001
#define EDITS    3000

struct bench {
    struct trace trace;
    struct ml_arena scratch;
    struct ml_doc *doc; /* of the whole log */
    struct ml_writer state, state_v2, old, out;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct ml_doc *new_doc(void)
{
    const struct ml_doc_options options = {.limits = &bench_limits};
    struct ml_doc *doc = ml_doc_new(&options);

    bench_check(doc ? ML_OK : ML_ELIMIT, "document");
    return doc;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* One repetition; answers its nanoseconds, which leave out what is only preparation. */
typedef uint64_t (*row_fn)(struct bench *b);

static uint64_t row_apply(struct bench *b)
{
    struct ml_doc *doc = new_doc();
    uint64_t ns = now_ns();

    trace_apply(&b->trace, 0, b->trace.count, doc, &b->scratch);
    ns = now_ns() - ns;
    ml_doc_free(doc);
    return ns;
}

static uint64_t load_bytes(struct ml_slice state)
{
    struct ml_doc *doc = new_doc();
    uint64_t ns = now_ns();

    bench_check(ml_doc_apply_bytes(doc, state, NULL), "load");
    ns = now_ns() - ns;
    ml_doc_free(doc);
    return ns;
}

static uint64_t row_load(struct bench *b)
{
    return load_bytes(ml_writer_slice(&b->state));
}

/* As it comes from storage in V2. */
static uint64_t row_load_v2(struct bench *b)
{
    uint64_t ns = now_ns();

    ml_writer_reset(&b->out);
    ml_arena_reset(&b->scratch);
    bench_check(ml_update_convert(ml_writer_slice(&b->state_v2), ML_UPDATE_V2, &bench_limits,
                                  &b->scratch, &b->out, NULL),
                "load V2");
    ns = now_ns() - ns;
    return ns + load_bytes(ml_writer_slice(&b->out));
}

static uint64_t encode(struct bench *b, struct ml_slice state_vector)
{
    uint64_t ns = now_ns();

    ml_writer_reset(&b->out);
    bench_check(ml_doc_encode_state(b->doc, state_vector, &b->out), "encode");
    return now_ns() - ns;
}

static uint64_t row_encode(struct bench *b)
{
    return encode(b, ml_slice_make(NULL, 0));
}

static uint64_t row_diff(struct bench *b)
{
    return encode(b, ml_writer_slice(&b->old));
}

static uint64_t row_encode_v2(struct bench *b)
{
    uint64_t start = now_ns();

    ml_writer_reset(&b->state_v2);
    bench_check(ml_doc_encode_state_v2(b->doc, ml_slice_make(NULL, 0), &b->state_v2), "V2");
    return now_ns() - start;
}

static uint64_t merge(struct bench *b, size_t count)
{
    uint64_t ns = now_ns();

    ml_writer_reset(&b->out);
    ml_arena_reset(&b->scratch);
    bench_check(ml_updates_merge(b->trace.record, count < b->trace.count ? count : b->trace.count,
                                 &bench_limits, &b->scratch, &b->out, NULL),
                "merge");
    return now_ns() - ns;
}

static uint64_t row_merge_1000(struct bench *b)
{
    return merge(b, 1000);
}

static uint64_t row_merge_all(struct bench *b)
{
    return merge(b, b->trace.count);
}

static uint64_t row_text(struct bench *b)
{
    uint64_t ns = now_ns();

    ml_writer_reset(&b->out);
    bench_check(ml_doc_read(b->doc, ML_SLICE("text"), ML_VIEW_TEXT, &b->out), "text");
    return now_ns() - ns;
}

static const struct {
    const char *name;
    row_fn run;
} rows[] = {
    {"apply", row_apply},           {"load", row_load},           {"encode", row_encode},
    {"encode_v2", row_encode_v2},   {"load_v2", row_load_v2},     {"diff", row_diff},
    {"merge_1000", row_merge_1000}, {"merge_all", row_merge_all}, {"text", row_text},
};

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void measure(struct bench *b, const char *name, row_fn run)
{
    static uint64_t ns[RUNS_MAX];
    uint64_t total = 0;
    size_t n = 0;

    while (n < RUNS_MIN || (n < RUNS_MAX && total < ROW_NS)) {
        ns[n] = run(b);
        total += ns[n++];
    }
    qsort(ns, n, sizeof *ns, by_value);
    (void)printf(",\"%s_ns\":%" PRIu64 ",\"%s_median_ns\":%" PRIu64, name, ns[0], name, ns[n / 2]);
}

static void bench_trace(struct bench *b, const char *path)
{
    struct ml_doc_stats stats;
    struct ml_doc *part;

    b->trace = trace_read(path);
    b->doc = trace_doc(&b->trace, b->trace.count);
    part = trace_doc(&b->trace, b->trace.count - b->trace.count / 10);
    ml_doc_state_vector(part, &b->old);
    ml_doc_free(part);
    (void)row_encode(b);
    ml_write_bytes(&b->state, ml_writer_slice(&b->out));
    ml_doc_stats(b->doc, &stats);
    (void)printf("{\"engine\":\"moonloom\",\"commit\":\"" ML_BENCH_COMMIT "\",\"updates\":%zu",
                 b->trace.count);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        measure(b, rows[i].name, rows[i].run);
    (void)printf(",\"fast_append\":%" PRIu64 ",\"fast_delete\":%" PRIu64 ",\"general\":%" PRIu64
                 ",\"state_bytes_v1\":%zu,\"state_bytes_v2\":%zu}\n",
                 stats.fast_append, stats.fast_delete, stats.general, b->state.len,
                 b->state_v2.len);
    ml_doc_free(b->doc);
    trace_free(&b->trace);
}

/* ---- One edit, small and large documents ----------------------------------------------------- */

static uint64_t edits_ns(struct bench *b, uint32_t runs,
                         struct trace (*edits_of)(uint32_t runs, size_t count))
{
    struct ml_doc *doc = new_doc();
    struct trace edits = edits_of(runs, EDITS);
    uint64_t ns;

    ml_writer_reset(&b->state);
    runs_state(runs, &b->state);
    bench_check(ml_doc_apply_bytes(doc, ml_writer_slice(&b->state), NULL), "runs");
    ns = now_ns();
    trace_apply(&edits, 0, edits.count, doc, &b->scratch);
    ns = now_ns() - ns;
    trace_free(&edits);
    ml_doc_free(doc);
    return ns;
}

static void bench_sizes(struct bench *b)
{
    static const uint32_t sizes[] = {1000, 100000, 1000000};
    static const struct {
        const char *name;
        struct trace (*edits_of)(uint32_t runs, size_t count);
    } kinds[] = {{"typing", runs_typing}, {"edit", runs_edits}};

    (void)printf("{\"engine\":\"moonloom\"");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes * 2; i++) {
        uint32_t runs = sizes[i / 2];
        uint64_t best = UINT64_MAX;

        for (int round = 0; round < RUNS_MIN; round++) {
            uint64_t ns = edits_ns(b, runs, kinds[i % 2].edits_of);

            best = ns < best ? ns : best;
        }
        (void)printf(",\"%s_at_%u_runs_ns\":%.1f", kinds[i % 2].name, (unsigned)runs,
                     (double)best / EDITS);
    }
    (void)printf("}\n");
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    struct ml_writer *writers[] = {&b.state, &b.state_v2, &b.old, &b.out};
    const size_t writer_count = sizeof writers / sizeof *writers;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: bench_engine TRACE.log|sizes\n");
        return 2;
    }
    for (size_t i = 0; i < writer_count; i++)
        ml_writer_init(writers[i], BENCH_MAX_BYTES);
    ml_arena_init(&b.scratch, BENCH_MAX_BYTES);
    if (strcmp(argv[1], "sizes") == 0)
        bench_sizes(&b);
    else
        bench_trace(&b, argv[1]);
    for (size_t i = 0; i < writer_count; i++)
        ml_writer_release(writers[i]);
    ml_arena_release(&b.scratch);
    ml_engine_thread_end();
    return 0;
}
