/* SPDX-License-Identifier: MIT */
/*
 * What a keystroke costs in a room, from ml_room_submit to the acknowledgement (memory journal),
 * for a document that no plugin looks at:
 *
 *   no plan          rooms without plugins at all: the path as it was before there were hooks
 *   nothing is on    plugins are there, none is on for this org
 *   other hooks      a plugin is on, and none of its hooks is about edits
 *   other documents  a plugin looks at edits, of other documents only
 *
 * The rooms take turns in one run, key by key of the same text. CPU time of the thread; the low
 * decile of the rounds, and the median of what a round cost as a part of its neighbour's without a
 * plan.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "bench_commit.h"
#include "room/room.h"

#define ROUNDS 400
#define KEYS   400 /* a round */
#define BATCH  8   /* keys of one commit */
#define RIGS   4

struct rig {
    const char *what, *manifest, *server; /* NULL: no plan */
    struct ml_port port;                  /* its one member's connection */
    struct ml_member *member;
    struct ml_rooms *rooms;
    struct ml_cells *cells;
    struct ml_journal *journal;
    uint64_t now_ms, acked_no;
    double ns[ROUNDS], part[ROUNDS];
};

static struct rig rigs[RIGS] = {
    {.what = "no plan"},
    {.what = "nothing is on", .server = "{}"},
    {.what = "other hooks",
     .manifest = "hooks = { keep_document = {} }",
     .server = "{\"plugins\":{\"bench\":{}}}"},
    {.what = "other documents",
     .manifest = "hooks = { before_update = {} }",
     .server = "{\"plugins\":{\"bench\":{\"docs\":[\"other/*\"]}}}"},
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- One room ---------------------------------------------------------------------------------
 */

static struct rig *rig_of(struct ml_port *port)
{
    return (struct rig *)(void *)((char *)port - offsetof(struct rig, port));
}

static enum ml_err on_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    (void)port, (void)frame, (void)as;
    return ML_OK;
}

static void on_ack(struct ml_port *port, uint64_t message_no)
{
    rig_of(port)->acked_no = message_no;
}

static void on_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    (void)why;
    rig_of(port)->member = member;
}

static void on_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)port, (void)why, (void)reason;
    fail("room", "was closed");
}

static void on_pause(struct ml_port *port, bool paused)
{
    (void)port, (void)paused;
}

static uint64_t mono_ms(void *arg)
{
    return ((struct rig *)arg)->now_ms;
}

static int64_t wall_ms(void *arg)
{
    return (int64_t)((struct rig *)arg)->now_ms + 1700000000000;
}

static uint64_t number(void *arg)
{
    static uint64_t n;

    (void)arg;
    return n += 0x9e3779b97f4a7c15u;
}

static void ignore_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    (void)arg, (void)level, (void)plugin, (void)message;
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/bench/%s", dir, name);
    f = fopen(path, "wb");
    if (!f || fputs(text, f) < 0 || fclose(f))
        fail(path, "cannot be written");
}

static struct ml_cells *start_cells(const struct rig *rig, const char *dir)
{
    char manifest[256];
    struct ml_deploy_options deploy = {.plugins_dir = ml_slice_str(dir),
                                       .server_json = ml_slice_str(rig->server)};
    struct ml_cells_options options = {
        .script = {.plugins_dir = ml_slice_str(dir), .log = ignore_log}};
    struct ml_cells *cells;
    struct ml_diag diag;

    if (rig->manifest) {
        snprintf(manifest, sizeof(manifest),
                 "return { name = 'bench', version = '1.0.0', api = 1, %s }", rig->manifest);
        write_file(dir, "plugin.lua", manifest);
        write_file(dir, "init.lua",
                   strstr(rig->manifest, "keep") ? "return { keep_document = function() end }"
                                                 : "return { before_update = function() end }");
    }
    if (ml_deploy_new(&deploy, NULL, &diag, &options.deploy) ||
        ml_cells_new(&options, &diag, &cells))
        fail(rig->what, diag.text);
    ml_deploy_unref(options.deploy);
    return cells;
}

static void start(struct rig *rig, const char *dir)
{
    struct ml_identity identity = {.user = "anna", .session = "s1"};
    struct ml_grant grant = {.may = ML_MAY_READ | ML_MAY_WRITE};
    struct ml_room_env env = {
        .mono_ms = mono_ms, .wall_ms = wall_ms, .random = number, .arg = rig, .loops = 1};
    struct ml_member *member;

    rig->port = (struct ml_port){.dialect = ML_DIALECT_YWEBSOCKET,
                                 .send = on_send,
                                 .ack = on_ack,
                                 .joined = on_joined,
                                 .close = on_close,
                                 .pause = on_pause};
    rig->now_ms = 1000;
    if (rig->server)
        rig->cells = start_cells(rig, dir);
    if (ml_journal_open_memory(NULL, &rig->journal))
        fail(rig->what, "no journal");
    env.journal = rig->journal;
    env.cells = rig->cells;
    rig->rooms = ml_rooms_new(&env);
    if (!rig->rooms || ml_rooms_join(rig->rooms, ML_SLICE("acme"), ML_SLICE("notes/today"),
                                     &identity, &grant, &rig->port, &member))
        fail(rig->what, "no room");
    (void)ml_journal_memory_step(rig->journal);
    if (!rig->member)
        fail(rig->what, "no seat");
}

static void on_journal_closed(void *arg)
{
    (void)arg;
}

static void stop(struct rig *rig)
{
    ml_rooms_crash(rig->rooms);
    ml_journal_close(rig->journal, on_journal_closed, NULL);
    (void)ml_journal_memory_step(rig->journal);
    ml_cells_free(rig->cells);
}

/* ---- Typing -----------------------------------------------------------------------------------
 */

static void put_key(struct ml_writer *out, uint64_t clock)
{
    uint8_t letter = (uint8_t)('a' + clock % 26);

    ml_writer_reset(out);
    ml_write_u8(out, 1);
    ml_write_u8(out, 1);
    ml_write_varuint(out, 77);
    ml_write_varuint(out, clock);
    if (clock) {
        ml_write_u8(out, 0x84);
        ml_write_varuint(out, 77);
        ml_write_varuint(out, clock - 1);
    } else {
        ml_write_u8(out, 0x04);
        ml_write_u8(out, 1);
        ml_write_varbytes(out, ML_SLICE("content"));
    }
    ml_write_varbytes(out, ml_slice_make(&letter, 1));
    ml_write_u8(out, 0);
}

/* KEYS keys from `clock` on; answers nanoseconds a key. */
static double type(struct rig *rig, uint64_t clock, struct ml_writer *out, struct ml_arena *scratch)
{
    uint64_t began_ns = cpu_ns();

    for (uint64_t i = 0; i < KEYS; i++) {
        put_key(out, clock + i);
        ml_arena_reset(scratch);
        if (ml_room_submit(rig->member, ml_writer_slice(out), clock + i + 1, false, scratch))
            fail(rig->what, "a key was not taken");
        if ((i + 1) % BATCH)
            continue;
        rig->now_ms += 50;
        ml_rooms_tick(rig->rooms);
        (void)ml_rooms_flush(rig->rooms);
        (void)ml_journal_memory_step(rig->journal);
    }
    if (rig->cells)
        ml_cells_tick(rig->cells);
    if (rig->acked_no != clock + KEYS)
        fail(rig->what, "a key was not acknowledged");
    return (double)(cpu_ns() - began_ns) / KEYS;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(void)
{
    char dir[] = "/tmp/moonloom-bench-XXXXXX", command[128];
    struct ml_arena scratch;
    struct ml_writer out;

    ml_log_set_level(ML_LOG_ERROR);
    if (!mkdtemp(dir))
        fail(dir, "cannot be made");
    snprintf(command, sizeof(command), "mkdir %s/bench", dir);
    if (system(command))
        fail(command, "failed");
    ml_arena_init(&scratch, 1 << 20);
    ml_writer_init(&out, 1 << 10);
    for (size_t i = 0; i < RIGS; i++)
        start(&rigs[i], dir);
    for (uint64_t round = 0; round <= ROUNDS; round++) { /* the first warms up */
        size_t at = round ? (size_t)round - 1 : 0;

        for (size_t turn = 0; turn < RIGS; turn++) { /* each begins as often as the others */
            struct rig *rig = &rigs[(turn + at) % RIGS];

            rig->ns[at] = type(rig, round * KEYS, &out, &scratch);
        }
        for (size_t i = 0; i < RIGS; i++)
            rigs[i].part[at] = rigs[i].ns[at] / rigs[0].ns[at];
    }
    printf("commit %s, %d rounds in turns, ns of CPU time a key\n%-20s %9s %9s %9s %9s\n",
           ML_BENCH_COMMIT, ROUNDS, "", "decile", "of none", "median", "of none");
    for (size_t i = 0; i < RIGS; i++) {
        struct rig *rig = &rigs[i];

        qsort(rig->ns, ROUNDS, sizeof(*rig->ns), compare);
        qsort(rig->part, ROUNDS, sizeof(*rig->part), compare);
        printf("%-20s %9.1f %9.3f %9.1f %9.3f\n", rig->what, rig->ns[ROUNDS / 10],
               rig->ns[ROUNDS / 10] / rigs[0].ns[ROUNDS / 10], rig->ns[ROUNDS / 2],
               rig->part[ROUNDS / 2]);
        stop(rig);
    }
    ml_writer_release(&out);
    ml_arena_release(&scratch);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) != 0;
}
