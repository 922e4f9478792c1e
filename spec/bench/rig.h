/* SPDX-License-Identifier: MIT */
/* What the benches of rooms and hooks have in common: plugins in a folder, seats, keys. Every
 * failure ends the program. */
#ifndef ML_SPEC_BENCH_RIG_H
#define ML_SPEC_BENCH_RIG_H

#include <time.h>

#include "room/room.h"

/* One member and its connection. Begins as zeroes. */
struct bench_seat {
    struct ml_port port; /* first: the room hands it back */
    struct ml_member *member;
    uint64_t acked_no;
    bool is_paused, is_closed;
};

void bench_fail(const char *what, const char *why);
uint64_t bench_clock_ns(clockid_t clock);
/** For qsort: doubles, ascending. */
int bench_compare(const void *a, const void *b);

/** A new folder for plugins; `dir` ends in XXXXXX. */
void bench_make_dir(char *dir);
void bench_remove_dir(const char *dir);
/** The one plugin "bench" in it. `manifest`: fields behind name, version and api. */
void bench_write_plugin(const char *dir, const char *manifest, const char *init);
/** Its log goes nowhere. @param server_json  as in ml_deploy_options */
struct ml_cells *bench_cells(const char *dir, const char *server_json);

/** Joins at once: over a journal in memory, which is stepped. */
void bench_join(struct bench_seat *seat, struct ml_rooms *rooms, struct ml_journal *journal,
                struct ml_slice org, struct ml_slice document);
/** The update of key number `clock`, typed behind the one before. */
void bench_put_key(struct ml_writer *out, uint64_t clock);

#endif
