/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>

const struct ml_engine_limits bench_limits = {.update_bytes = BENCH_MAX_BYTES,
                                              .doc_bytes = BENCH_MAX_BYTES,
                                              .pending_bytes = BENCH_MAX_BYTES,
                                              .pending_structs = UINT32_MAX};

void bench_check(enum ml_err err, const char *what)
{
    if (!err)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, ml_err_text(err));
    exit(1);
}

static void *must(void *memory)
{
    bench_check(memory ? ML_OK : ML_ELIMIT, "memory");
    return memory;
}

/* Point `record` at the records of `len` bytes. */
static void cut(struct trace *t, size_t len, const char *name)
{
    size_t cap = 0;

    for (size_t at = 0; at < len;) {
        const uint8_t *p = t->bytes + at;
        size_t bytes = len - at < 4
                           ? SIZE_MAX
                           : p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;

        bench_check(bytes > len - at - 4 ? ML_EFORMAT : ML_OK, name);
        if (t->count == cap)
            t->record = must(realloc(t->record, (cap = cap * 2 + 1024) * sizeof *t->record));
        t->record[t->count++] = ml_slice_make(p + 4, bytes);
        at += 4 + bytes;
    }
}

struct trace trace_read(const char *path)
{
    struct trace t = {0};
    FILE *file = fopen(path, "rb");
    long len = -1;

    if (file && fseek(file, 0, SEEK_END) == 0)
        len = ftell(file);
    bench_check(len < 0 || fseek(file, 0, SEEK_SET) ? ML_EIO : ML_OK, path);
    t.bytes = must(malloc((size_t)len + 1));
    bench_check(fread(t.bytes, 1, (size_t)len, file) == (size_t)len ? ML_OK : ML_EIO, path);
    (void)fclose(file);
    cut(&t, (size_t)len, path);
    return t;
}

void trace_free(struct trace *t)
{
    free(t->record);
    free(t->bytes);
    *t = (struct trace){0};
}

void trace_apply(const struct trace *t, size_t from, size_t to, struct ml_doc *doc,
                 struct ml_arena *scratch)
{
    for (size_t i = from; i < to; i++) {
        const struct ml_update *update;
        const struct ml_change *change;
        enum ml_err err;

        ml_arena_reset(scratch);
        err = ml_update_decode(scratch, t->record[i], &bench_limits, NULL, &update);
        if (!err)
            err = ml_doc_apply(doc, update, NULL, scratch, &change);
        bench_check(err, "apply");
    }
}

struct ml_doc *trace_doc(const struct trace *t, size_t count)
{
    const struct ml_doc_options options = {.limits = &bench_limits};
    struct ml_doc *doc = must(ml_doc_new(&options));
    struct ml_arena scratch;

    ml_arena_init(&scratch, BENCH_MAX_BYTES);
    trace_apply(t, 0, count, doc, &scratch);
    ml_arena_release(&scratch);
    return doc;
}

/* ---- Documents of a given number of runs ----------------------------------------------------- */

enum { STRING = 4, HAS_ORIGIN = 128, HAS_RIGHT_ORIGIN = 64 };

static void write_id(struct ml_writer *out, uint64_t client, uint64_t clock)
{
    ml_write_varuint(out, client);
    ml_write_varuint(out, clock);
}

void runs_state(uint32_t runs, struct ml_writer *out)
{
    ml_write_varuint(out, 1);
    ml_write_varuint(out, runs);
    write_id(out, 1, 0);
    for (uint32_t k = 0; k < runs; k++) {
        if (k == 0) {
            ml_write_u8(out, STRING);
            ml_write_u8(out, 1);
            ml_write_varbytes(out, ML_SLICE("text"));
        } else {
            ml_write_u8(out, STRING | HAS_RIGHT_ORIGIN);
            write_id(out, 1, k - 1);
        }
        ml_write_varbytes(out, ML_SLICE("x"));
    }
    ml_write_u8(out, 0);
    bench_check(out->err, "runs_state");
}

/* A key of client 2, behind `clock_left` of `left` and before unit `right` of client 1. */
static void write_insert(struct ml_writer *out, uint32_t clock, uint64_t left, uint32_t clock_left,
                         uint32_t right)
{
    ml_write_varuint(out, 1);
    ml_write_varuint(out, 1);
    write_id(out, 2, clock);
    ml_write_u8(out, STRING | HAS_ORIGIN | HAS_RIGHT_ORIGIN);
    write_id(out, left, clock_left);
    write_id(out, 1, right);
    ml_write_varbytes(out, ML_SLICE("y"));
    ml_write_u8(out, 0);
}

static void write_delete(struct ml_writer *out, uint32_t k)
{
    ml_write_u8(out, 0);
    ml_write_varuint(out, 1);
    ml_write_varuint(out, 1);
    ml_write_varuint(out, 1);
    write_id(out, k, 1); /* clock, length */
}

static void write_record(struct ml_writer *log, const struct ml_writer *one)
{
    for (int byte = 0; byte < 4; byte++)
        ml_write_u8(log, (uint8_t)(one->len >> (8 * byte)));
    ml_write_bytes(log, ml_writer_slice(one));
}

static struct trace finish(struct ml_writer *log)
{
    struct trace t = {.bytes = log->ptr};

    bench_check(log->err, "log");
    cut(&t, log->len, "log");
    return t;
}

struct trace runs_typing(uint32_t runs, size_t count)
{
    struct ml_writer log, one;

    ml_writer_init(&log, BENCH_MAX_BYTES);
    ml_writer_init(&one, 256);
    for (uint32_t i = 0; i < count; i++) {
        ml_writer_reset(&one);
        write_insert(&one, i, i ? 2 : 1, i ? i - 1 : runs / 2, runs / 2 - 1);
        write_record(&log, &one);
    }
    ml_writer_release(&one);
    return finish(&log);
}

struct trace runs_edits(uint32_t runs, size_t count)
{
    struct ml_writer log, one;
    uint32_t clock = 0;

    ml_writer_init(&log, BENCH_MAX_BYTES);
    ml_writer_init(&one, 256);
    for (size_t i = 0; i < count; i++) {
        /* A stride by the golden ratio: far from the last place, and never the same twice. */
        uint32_t k =
            1 + (uint32_t)((double)(runs - 1) *
                           (0.6180339887 * (double)i - (double)(size_t)(0.6180339887 * (double)i)));

        ml_writer_reset(&one);
        if (i % 3 == 2)
            write_delete(&one, k);
        else
            write_insert(&one, clock++, 1, k, k - 1);
        write_record(&log, &one);
    }
    ml_writer_release(&one);
    return finish(&log);
}
