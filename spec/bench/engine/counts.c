/* SPDX-License-Identifier: MIT */
/*
 * What the engine does with a trace, in numbers that are the same on every run: heap calls, bytes,
 * paths taken. One JSON line. Under callgrind each COUNTED piece leaves a profile of its own, from
 * which the script beside this file (`counts`) takes the instructions.
 */
#include "heap.h"
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <valgrind/callgrind.h>

#define EDITS 3000

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* Without valgrind a few instructions that do nothing. */
#define COUNTED(name, call)                                                                        \
    do {                                                                                           \
        CALLGRIND_ZERO_STATS;                                                                      \
        call;                                                                                      \
        CALLGRIND_DUMP_STATS_AT(name);                                                             \
    } while (0)

struct counted {
    struct trace trace;
    struct ml_arena scratch;
    struct ml_writer state, state_v2, old, diff, merged;
    bool some; /* something was printed */
};

static void put(struct counted *c, const char *name, uint64_t value)
{
    (void)printf("%s\"%s\":%" PRIu64, c->some ? "," : "{", name, value);
    c->some = true;
}

static struct ml_doc *new_doc(void)
{
    const struct ml_doc_options options = {.limits = &bench_limits};
    struct ml_doc *doc = ml_doc_new(&options);

    bench_check(doc ? ML_OK : ML_ELIMIT, "document");
    return doc;
}

static void load(struct ml_doc *doc, const struct ml_writer *state)
{
    bench_check(ml_doc_apply_bytes(doc, ml_writer_slice(state), NULL), "load");
}

static void encode(struct ml_doc *doc, const struct ml_writer *have, struct ml_writer *out)
{
    struct ml_slice sv = have ? ml_writer_slice(have) : ml_slice_make(NULL, 0);

    ml_writer_reset(out);
    bench_check(ml_doc_encode_state(doc, sv, out), "encode");
}

static void encode_v2(struct ml_doc *doc, struct ml_writer *out)
{
    ml_writer_reset(out);
    bench_check(ml_doc_encode_state_v2(doc, ml_slice_make(NULL, 0), out), "encode V2");
}

static void merge(struct counted *c, size_t count)
{
    ml_writer_reset(&c->merged);
    ml_arena_reset(&c->scratch);
    bench_check(ml_updates_merge(c->trace.record, count < c->trace.count ? count : c->trace.count,
                                 &bench_limits, &c->scratch, &c->merged, NULL),
                "merge");
}

/* Into a new document, from a heap without spare blocks. Leaves the state in c->state. */
static void count_typing(struct counted *c)
{
    struct heap_counts before = heap_counts();
    struct ml_doc *doc = new_doc();
    struct ml_doc_stats stats;

    COUNTED("apply", trace_apply(&c->trace, 0, c->trace.count, doc, &c->scratch));
    ml_doc_stats(doc, &stats);
    put(c, "updates", c->trace.count);
    put(c, "general_path", stats.general);
    put(c, "typing_heap_calls", heap_counts().calls - before.calls);
    encode(doc, NULL, &c->state);
    ml_doc_free(doc);

    doc = trace_doc(&c->trace, c->trace.count - c->trace.count / 10);
    ml_doc_state_vector(doc, &c->old);
    ml_doc_free(doc);
    ml_engine_thread_end();
}

static void count_loaded(struct counted *c)
{
    struct heap_counts before = heap_counts();
    struct ml_doc *doc = new_doc();
    struct ml_doc_stats stats;

    COUNTED("load", load(doc, &c->state));
    ml_doc_stats(doc, &stats);
    put(c, "runs", stats.runs);
    put(c, "load_heap_calls", heap_counts().calls - before.calls);
    put(c, "doc_bytes", stats.memory_bytes);
    put(c, "doc_heap_bytes", heap_counts().now_bytes - before.now_bytes);

    before = heap_counts();
    COUNTED("encode", encode(doc, NULL, &c->state));
    put(c, "encode_heap_calls", heap_counts().calls - before.calls);
    COUNTED("diff", encode(doc, &c->old, &c->diff));
    put(c, "diff_bytes", c->diff.len);
    COUNTED("encode_v2", encode_v2(doc, &c->state_v2));
    ml_doc_free(doc);
}

static void count_bytes(struct counted *c)
{
    uint64_t calls;

    put(c, "state_bytes_v1", c->state.len);
    put(c, "state_bytes_v2", c->state_v2.len);
    COUNTED("merge_1000", merge(c, 1000));
    calls = heap_counts().calls;
    COUNTED("merge_all", merge(c, c->trace.count));
    put(c, "merge_heap_calls", heap_counts().calls - calls);
    put(c, "merged_bytes", c->merged.len);
}

/* The same edits in a document of a thousand runs and in one of a hundred thousand. */
static void count_edits(struct counted *c, uint32_t runs, const char *step, const char *calls_name)
{
    struct ml_doc *doc = new_doc();
    struct trace edits = runs_edits(runs, EDITS);
    uint64_t calls;

    ml_writer_reset(&c->state);
    runs_state(runs, &c->state);
    load(doc, &c->state);
    calls = heap_counts().calls;
    COUNTED(step, trace_apply(&edits, 0, edits.count, doc, &c->scratch));
    put(c, calls_name, heap_counts().calls - calls);
    trace_free(&edits);
    ml_doc_free(doc);
}

int main(int argc, char **argv)
{
    struct counted c = {0};
    struct ml_writer *writers[] = {&c.state, &c.state_v2, &c.old, &c.diff, &c.merged};
    const size_t writer_count = sizeof writers / sizeof *writers;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: bench_counts TRACE.log|runs\n");
        return 2;
    }
    for (size_t i = 0; i < writer_count; i++)
        ml_writer_init(writers[i], BENCH_MAX_BYTES);
    ml_arena_init(&c.scratch, BENCH_MAX_BYTES);
    if (strcmp(argv[1], "runs") == 0) {
        count_edits(&c, 1000, "edits_1e3", "edits_1e3_heap_calls");
        count_edits(&c, 100000, "edits_1e5", "edits_1e5_heap_calls");
    } else {
        c.trace = trace_read(argv[1]);
        count_typing(&c);
        count_loaded(&c);
        count_bytes(&c);
    }
    (void)printf(",\"compiler\":\"" COMPILER "\"}\n");
    for (size_t i = 0; i < writer_count; i++)
        ml_writer_release(writers[i]);
    ml_arena_release(&c.scratch);
    trace_free(&c.trace);
    ml_engine_thread_end();
    return 0;
}
