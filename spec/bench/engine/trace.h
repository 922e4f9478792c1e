/* SPDX-License-Identifier: MIT */
/* Recorded editing in memory, and documents made to measure. For benches: what fails ends the
 * process. */
#ifndef ML_BENCH_TRACE_H
#define ML_BENCH_TRACE_H

#include "engine/engine.h"

/** Enough for every trace; the engine's own ceilings are not what is measured. */
#define BENCH_MAX_BYTES ((size_t)2 << 30)

extern const struct ml_engine_limits bench_limits;

struct trace {
    uint8_t *bytes; /* the file */
    struct ml_slice *record;
    size_t count;
};

/** A plain (not packed) log: records of u32 little-endian length and one update each. */
struct trace trace_read(const char *path);
void trace_free(struct trace *t);

/** A new document that applied records [0, count). */
struct ml_doc *trace_doc(const struct trace *t, size_t count);
/** Apply records [from, to), decoded and answered as a room does. */
void trace_apply(const struct trace *t, size_t from, size_t to, struct ml_doc *doc,
                 struct ml_arena *scratch);

/**
 * A V1 state of `runs` runs of one unit, none of which can join another: one client (id 1) that
 * always typed in front of what was there. In root "text"; unit k stands before unit k-1.
 */
void runs_state(uint32_t runs, struct ml_writer *out);
/**
 * `count` single keys and deletes by client 2, as a log in memory, at places spread over such a
 * document: the same work whatever its size, two inserts to one delete.
 */
struct trace runs_edits(uint32_t runs, size_t count);
/** `count` keys by client 2, one behind the other, in the middle of such a document. */
struct trace runs_typing(uint32_t runs, size_t count);

/** Anything that must not go wrong. */
void bench_check(enum ml_err err, const char *what);

#endif
