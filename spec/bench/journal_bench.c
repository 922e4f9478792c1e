/* SPDX-License-Identifier: MIT */
/*
 * How fast is the journal? Rows per second, CPU per row and time to the answer, with 1, 64
 * and 256 appends waiting at any time (each of one record of 60 bytes, over 20 documents), and the
 * load of a document of 50 000 records (G-14). One JSON line per measurement; the first line says
 * where.
 *
 *   journal_bench FOLDER [SECONDS]      FOLDER: a place on the disk that matters; an SQLite file is
 *                                       made there
 *   journal_bench postgres://… [SECONDS]  an empty database; spec/bench/postgres has a server for
 * it
 */
#include "journal/journal.h"

#include "bench_commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { DOCUMENTS = 20, WAITING_MAX = 256, LOAD_RECORDS = 50000, LOAD_RUNS = 5 };

struct bench_append {
    struct ml_append append;
    struct ml_record record;
    char name[16];
    uint64_t began_us;
};

static struct ml_journal *journal;
static uint64_t stop_at_us, rows, message_no;
static unsigned in_flight;
static uint32_t *answer_us;
static size_t answer_count, answer_cap;

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static uint64_t cpu_us(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static void must(bool fact, const char *what)
{
    if (fact)
        return;
    (void)fprintf(stderr, "journal_bench: %s\n", what);
    exit(1);
}

static void next(struct bench_append *b)
{
    b->record.message_no = ++message_no;
    b->began_us = now_us();
    in_flight++;
    ml_journal_append(journal, &b->append);
}

static void on_appended(struct ml_append *append)
{
    struct bench_append *b = ML_CONTAINER(append, struct bench_append, append);
    uint64_t now = now_us();

    must(append->err == ML_OK, append->diag.text);
    in_flight--;
    rows++;
    if (answer_count < answer_cap)
        answer_us[answer_count++] = (uint32_t)(now - b->began_us);
    if (now < stop_at_us)
        next(b);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void measure(uv_loop_t *loop, unsigned waiting, double seconds)
{
    static struct bench_append appends[WAITING_MAX];
    struct ml_blob *blob = ml_blob_alloc(60);
    struct ml_journal_stats before, after;
    uint64_t began_us = now_us(), cpu_before = cpu_us(), took_us;

    must(blob != NULL, "no memory");
    memset(blob->bytes, 'u', blob->len);
    rows = answer_count = 0;
    stop_at_us = began_us + (uint64_t)(seconds * 1e6);
    ml_journal_stats(journal, &before);
    for (unsigned i = 0; i < waiting; i++) {
        struct bench_append *b = &appends[i];

        *b = (struct bench_append){.record = {.bytes = blob,
                                              .author = ML_SLICE("user-0123456789"),
                                              .session = ML_SLICE("0123456789abcdef"),
                                              .at_ms = 1700000000000}};
        (void)snprintf(b->name, sizeof b->name, "bench-%u", i % DOCUMENTS);
        b->append = (struct ml_append){.org = ML_SLICE("default"),
                                       .name = ml_slice_str(b->name),
                                       .records = &b->record,
                                       .count = 1,
                                       .expected_head = ML_SEQ_ANY,
                                       .done = on_appended};
        next(b);
    }
    while (in_flight)
        (void)uv_run(loop, UV_RUN_ONCE);
    took_us = now_us() - began_us;
    ml_journal_stats(journal, &after);
    qsort(answer_us, answer_count, sizeof *answer_us, compare);
    (void)printf("{\"bench\":\"journal.append\",\"waiting\":%u,\"rows\":%llu,\"rows_per_s\":%.0f,"
                 "\"rows_per_commit\":%.1f,\"cpu_us_per_row\":%.1f,\"answer_ms_p50\":%.2f,"
                 "\"answer_ms_p99\":%.2f,\"answer_ms_max\":%.2f}\n",
                 waiting, (unsigned long long)rows, (double)rows * 1e6 / (double)took_us,
                 (double)rows / (double)(after.commits - before.commits),
                 (double)(cpu_us() - cpu_before) / (double)rows, answer_us[answer_count / 2] / 1e3,
                 answer_us[answer_count * 99 / 100] / 1e3, answer_us[answer_count - 1] / 1e3);
    ml_blob_unref(blob);
}

struct bench_load {
    struct ml_load load;
    bool answered;
};

static void on_loaded(struct ml_load *load)
{
    ML_CONTAINER(load, struct bench_load, load)->answered = true;
}

static void on_filled(struct ml_append *append)
{
    must(append->err == ML_OK, append->diag.text);
    in_flight--;
}

static void measure_load(uv_loop_t *loop)
{
    struct ml_record *records = calloc(LOAD_RECORDS, sizeof *records);
    struct ml_blob *blob = ml_blob_alloc(60);
    struct ml_append fill = {.org = ML_SLICE("default"),
                             .name = ML_SLICE("long"),
                             .records = records,
                             .count = LOAD_RECORDS,
                             .expected_head = ML_SEQ_ANY,
                             .done = on_filled};
    uint32_t took_us[LOAD_RUNS];

    must(records && blob, "no memory");
    memset(blob->bytes, 'u', blob->len);
    for (size_t i = 0; i < LOAD_RECORDS; i++)
        records[i] = (struct ml_record){.bytes = blob, .author = ML_SLICE("user-0123456789")};
    in_flight = 1;
    ml_journal_append(journal, &fill);
    while (in_flight)
        (void)uv_run(loop, UV_RUN_ONCE);
    for (unsigned run = 0; run < LOAD_RUNS; run++) {
        struct bench_load l = {.load = {.org = ML_SLICE("default"),
                                        .name = ML_SLICE("long"),
                                        .max_snapshot_seq = ML_SEQ_ANY,
                                        .done = on_loaded}};
        uint64_t began_us = now_us();

        ml_journal_load(journal, &l.load);
        while (!l.answered)
            (void)uv_run(loop, UV_RUN_ONCE);
        took_us[run] = (uint32_t)(now_us() - began_us);
        must(l.load.err == ML_OK && l.load.count == LOAD_RECORDS, "load");
        ml_load_release(&l.load);
    }
    qsort(took_us, LOAD_RUNS, sizeof *took_us, compare);
    (void)printf("{\"bench\":\"journal.load\",\"records\":%d,\"ms_p50\":%.1f,\"ms_max\":%.1f}\n",
                 LOAD_RECORDS, took_us[LOAD_RUNS / 2] / 1e3, took_us[LOAD_RUNS - 1] / 1e3);
    ml_blob_unref(blob);
    free(records);
}

static void print_machine(void)
{
    char model[128] = "unknown", line[256];
    FILE *cpus = fopen("/proc/cpuinfo", "r");
    struct utsname system;

    while (cpus && fgets(line, sizeof line, cpus))
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (cpus)
        (void)fclose(cpus);
    (void)uname(&system);
    (void)printf("{\"bench\":\"machine\",\"cpu\":\"%s\",\"cpus\":%ld,\"system\":\"%s %s\","
                 "\"commit\":\"%s\"}\n",
                 model, sysconf(_SC_NPROCESSORS_ONLN), system.sysname, system.release,
                 ML_BENCH_COMMIT);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

int main(int argc, char **argv)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    static const unsigned waiting[] = {1, 64, 256};
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    struct ml_diag diag = {0};
    char path[512], file[544];
    uv_loop_t loop;
    bool closed = false, is_postgres;

    if (argc < 2 || seconds <= 0) {
        (void)fprintf(stderr, "usage: journal_bench FOLDER|postgres://… [SECONDS]\n");
        return 2;
    }
    answer_cap = 4000000;
    answer_us = malloc(answer_cap * sizeof *answer_us);
    (void)snprintf(path, sizeof path, "%s/journal-bench-%d.db", argv[1], (int)getpid());
    must(answer_us && uv_loop_init(&loop) == 0, "no memory");
    is_postgres = strncmp(argv[1], "postgres://", 11) == 0;
    must((is_postgres ? ml_journal_open_postgres(argv[1], &loop, &diag, &journal)
                      : ml_journal_open_sqlite(path, &loop, &diag, &journal)) == ML_OK,
         diag.text);
    print_machine();
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++)
        measure(&loop, waiting[i], seconds);
    measure_load(&loop);
    ml_journal_close(journal, on_closed, &closed);
    while (!closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    (void)uv_loop_close(&loop);
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !is_postgres; i++) {
        (void)snprintf(file, sizeof file, "%s%s", path, ends[i]);
        (void)unlink(file);
    }
    free(answer_us);
    return 0;
}
