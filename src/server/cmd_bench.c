/* SPDX-License-Identifier: MIT */
/*
 * `moonloom bench engine TRACE.log[.gz]`: what a trace costs, as one JSON line.
 *
 *   apply    every record of the log into a fresh document, decoded and answered as a room does
 *   load     the whole state into a fresh document
 *   encode   the whole state from a loaded document
 *   diff     what a state vector from 90 % of the log lacks
 *   merge    all records into one update, without a document
 *
 * CPU time of this thread; medians of at least RUNS_MIN runs, more while they are short. `--once`
 * does one of them once: load, encode and merge then start from TRACE.v1 beside the log if it is
 * there (merge: from the log), so that the process can be timed from outside.
 */
#include "server/cmd_bench.h"

#include "engine/engine.h"
#include "server/update_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define MAX_BYTES ((size_t)2 << 30)
#define RUNS_MIN  5
#define RUNS_MAX  101
#define ENOUGH_NS 300000000ull /* of all runs of one measurement */

struct bench {
    const char *path;
    struct ml_writer bytes; /* all records, one behind the other */
    struct ml_slice *record;
    size_t count, cap;
    struct ml_engine_limits limits;
    struct ml_writer state, state_vector; /* of the whole log; of 90 % of it */
    struct ml_arena scratch;
    struct ml_doc *doc; /* holds the whole log, for encode and diff */
    struct ml_writer out;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static enum ml_err read_log(struct bench *b)
{
    struct ml_update_file file;
    size_t *end = NULL, cap = 0;
    enum ml_err err = ml_update_file_open(&file, b->path, MAX_BYTES);

    while (!err) {
        struct ml_slice record;
        bool more;

        err = ml_update_file_next(&file, &record, &more);
        if (err || !more)
            break;
        if (b->count == cap) {
            size_t *bigger = realloc(end, (cap = cap * 2 + 1024) * sizeof *end);

            err = bigger ? ML_OK : ML_ELIMIT;
            end = bigger ? bigger : end;
        }
        if (err)
            break;
        ml_write_bytes(&b->bytes, record);
        end[b->count++] = b->bytes.len;
        err = b->bytes.err;
    }
    ml_update_file_close(&file);
    b->record = err ? NULL : calloc(b->count + 1, sizeof *b->record);
    for (size_t i = 0; b->record && i < b->count; i++) {
        size_t from = i ? end[i - 1] : 0;

        b->record[i] = ml_slice_make(b->bytes.ptr + from, end[i] - from);
    }
    free(end);
    return err ? err : b->record ? ML_OK : ML_ELIMIT;
}

/* The first `count` records. */
static enum ml_err apply(struct bench *b, struct ml_doc *doc, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct ml_update *update;
        const struct ml_change *change;
        enum ml_err err;

        ml_arena_reset(&b->scratch);
        err = ml_update_decode(&b->scratch, b->record[i], &b->limits, NULL, &update);
        if (!err)
            err = ml_doc_apply(doc, update, NULL, &b->scratch, &change);
        if (err)
            return err;
    }
    return ML_OK;
}

/* One run: answers its time in *ns. */
typedef enum ml_err (*run_fn)(struct bench *b, uint64_t *ns);

static enum ml_err run_apply(struct bench *b, uint64_t *ns)
{
    const struct ml_doc_options options = {.limits = &b->limits};
    struct ml_doc *doc = ml_doc_new(&options);
    uint64_t start = now_ns();
    enum ml_err err = doc ? apply(b, doc, b->count) : ML_ELIMIT;

    *ns = now_ns() - start;
    ml_doc_free(doc);
    return err;
}

static enum ml_err run_load(struct bench *b, uint64_t *ns)
{
    const struct ml_doc_options options = {.limits = &b->limits};
    struct ml_doc *doc = ml_doc_new(&options);
    uint64_t start = now_ns();
    enum ml_err err = doc ? ml_doc_apply_bytes(doc, ml_writer_slice(&b->state), NULL) : ML_ELIMIT;

    *ns = now_ns() - start;
    ml_doc_free(doc);
    return err;
}

static enum ml_err run_encode(struct bench *b, uint64_t *ns)
{
    uint64_t start = now_ns();
    enum ml_err err;

    ml_writer_reset(&b->out);
    err = ml_doc_encode_state(b->doc, ml_slice_make(NULL, 0), &b->out);
    *ns = now_ns() - start;
    return err;
}

static enum ml_err run_diff(struct bench *b, uint64_t *ns)
{
    uint64_t start = now_ns();
    enum ml_err err;

    ml_writer_reset(&b->out);
    err = ml_doc_encode_state(b->doc, ml_writer_slice(&b->state_vector), &b->out);
    *ns = now_ns() - start;
    return err;
}

static enum ml_err run_merge(struct bench *b, uint64_t *ns)
{
    uint64_t start = now_ns();
    enum ml_err err;

    ml_writer_reset(&b->out);
    ml_arena_reset(&b->scratch);
    err = ml_updates_merge(b->record, b->count, &b->limits, &b->scratch, &b->out, NULL);
    *ns = now_ns() - start;
    return err;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static enum ml_err median(struct bench *b, run_fn run, uint64_t *out)
{
    uint64_t ns[RUNS_MAX], total = 0;
    size_t n = 0;

    while (n < RUNS_MIN || (n < RUNS_MAX && total < ENOUGH_NS)) {
        enum ml_err err = run(b, &ns[n]);

        if (err)
            return err;
        total += ns[n++];
    }
    qsort(ns, n, sizeof *ns, by_value);
    *out = ns[n / 2];
    return ML_OK;
}

/* The document of the whole log, its state, and the state vector at 90 %. */
static enum ml_err prepare(struct bench *b)
{
    const struct ml_doc_options options = {.limits = &b->limits};
    struct ml_doc *part = ml_doc_new(&options);
    enum ml_err err = part ? apply(b, part, b->count - b->count / 10) : ML_ELIMIT;

    if (!err)
        ml_doc_state_vector(part, &b->state_vector);
    ml_doc_free(part);
    if (!err)
        err = apply(b, b->doc, b->count);
    return err ? err : ml_doc_encode_state(b->doc, ml_slice_make(NULL, 0), &b->state);
}

static enum ml_err measure(struct bench *b)
{
    uint64_t apply_ns, load_ns, encode_ns, diff_ns, merge_ns;
    struct ml_doc_stats stats;
    struct rusage usage;
    size_t v2_bytes;
    enum ml_err err = prepare(b);

    if (!err)
        err = median(b, run_apply, &apply_ns);
    if (!err)
        err = median(b, run_load, &load_ns);
    if (!err)
        err = median(b, run_encode, &encode_ns);
    if (!err)
        err = median(b, run_diff, &diff_ns);
    if (!err)
        err = median(b, run_merge, &merge_ns);
    if (err)
        return err;
    ml_writer_reset(&b->out);
    err = ml_state_to_v2(ml_writer_slice(&b->state), &b->limits, &b->out, NULL);
    if (err)
        return err;
    v2_bytes = b->out.len;
    ml_doc_stats(b->doc, &stats);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("{\"trace\":\"%s\",\"updates\":%zu,\"apply_ns_per_update\":%.1f,"
                 "\"load_ns\":%" PRIu64 ",\"encode_ns\":%" PRIu64 ",\"diff_ns\":%" PRIu64
                 ",\"merge_ns\":%" PRIu64 ",\"state_bytes_v1\":%zu,\"state_bytes_v2\":%zu,"
                 "\"doc_bytes\":%" PRIu64 ",\"peak_rss_bytes\":%" PRIu64 "}\n",
                 b->path, b->count, b->count ? (double)apply_ns / (double)b->count : 0.0, load_ns,
                 encode_ns, diff_ns, merge_ns, b->state.len, v2_bytes, stats.memory_bytes,
                 (uint64_t)usage.ru_maxrss * 1024);
    return ML_OK;
}

/* ---- Once ------------------------------------------------------------------------------------ */

/* TRACE.log[.gz] -> TRACE.v1[.gz], if that is there. */
static bool state_beside(const char *path, char *out, size_t size)
{
    const char *dot = strstr(path, ".log");
    const char *next = dot;
    FILE *file;

    while (next) {
        dot = next;
        next = strstr(next + 1, ".log");
    }
    if (!dot || snprintf(out, size, "%.*s.v1%s", (int)(dot - path), path, dot + 4) >= (int)size)
        return false;
    file = fopen(out, "rb");
    if (file)
        (void)fclose(file);
    return file != NULL;
}

static enum ml_err read_state(struct bench *b)
{
    char path[4096];
    struct ml_update_file file;
    struct ml_slice bytes;
    enum ml_err err;

    if (!state_beside(b->path, path, sizeof path)) {
        err = read_log(b);
        return err ? err : prepare(b);
    }
    err = ml_update_file_open(&file, path, MAX_BYTES);
    if (err)
        return err;
    err = ml_update_file_all(&file, &bytes);
    if (!err)
        ml_write_bytes(&b->state, bytes);
    ml_update_file_close(&file);
    return err ? err : b->state.err;
}

static enum ml_err once(struct bench *b, const char *what)
{
    static const struct {
        const char *name;
        run_fn run;
        bool from_log, needs_doc;
    } rows[] = {
        {"apply", run_apply, true, false},
        {"load", run_load, false, false},
        {"encode", run_encode, false, true},
        {"merge", run_merge, true, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t ns;
        enum ml_err err;

        if (strcmp(what, rows[i].name) != 0)
            continue;
        err = rows[i].from_log ? read_log(b) : read_state(b);
        if (!err && rows[i].needs_doc)
            err = ml_doc_apply_bytes(b->doc, ml_writer_slice(&b->state), NULL);
        if (!err)
            err = rows[i].run(b, &ns);
        if (!err)
            (void)printf("{\"trace\":\"%s\",\"once\":\"%s\",\"ns\":%" PRIu64 "}\n", b->path, what,
                         ns);
        return err;
    }
    return ML_ENOTFOUND;
}

static int bench_engine(const char *path, const char *what)
{
    struct bench b = {.path = path};
    struct ml_doc_options options = {.limits = &b.limits};
    enum ml_err err;

    b.limits = (struct ml_engine_limits){.update_bytes = MAX_BYTES, .doc_bytes = MAX_BYTES};
    ml_writer_init(&b.bytes, MAX_BYTES);
    ml_writer_init(&b.state, MAX_BYTES);
    ml_writer_init(&b.state_vector, MAX_BYTES);
    ml_writer_init(&b.out, MAX_BYTES);
    ml_arena_init(&b.scratch, MAX_BYTES);
    b.doc = ml_doc_new(&options);
    if (!b.doc)
        err = ML_ELIMIT;
    else if (what)
        err = once(&b, what);
    else
        err = read_log(&b);
    if (!err && !what)
        err = measure(&b);
    if (err)
        (void)fprintf(stderr, "moonloom bench: %s: %s\n", path, ml_err_text(err));
    ml_doc_free(b.doc);
    ml_arena_release(&b.scratch);
    ml_writer_release(&b.out);
    ml_writer_release(&b.state_vector);
    ml_writer_release(&b.state);
    ml_writer_release(&b.bytes);
    free(b.record);
    return err ? 1 : 0;
}

int ml_cmd_bench(int argc, char **argv)
{
    static const char *const whats[] = {"apply", "load", "encode", "merge"};
    const char *what = NULL, *path = NULL;
    bool known = argc > 0 && strcmp(argv[0], "engine") == 0;

    for (int i = 1; known && i < argc; i++) {
        if (strcmp(argv[i], "--once") == 0 && i + 1 < argc)
            what = argv[++i];
        else if (path || argv[i][0] == '-')
            known = false;
        else
            path = argv[i];
    }
    if (what) {
        bool found = false;

        for (size_t i = 0; i < sizeof whats / sizeof *whats; i++)
            found = found || strcmp(what, whats[i]) == 0;
        known = known && found;
    }
    if (!known || !path) {
        (void)fprintf(stderr, "usage: moonloom bench engine [--once apply|load|encode|merge] "
                              "TRACE.log[.gz]\n");
        return 2;
    }
    return bench_engine(path, what);
}
