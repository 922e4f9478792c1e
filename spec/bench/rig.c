/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

void bench_fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

uint64_t bench_clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* ---- Plugins ----------------------------------------------------------------------------------
 */

static void run(const char *command)
{
    if (system(command))
        bench_fail(command, "failed");
}

void bench_make_dir(char *dir)
{
    char command[128];

    if (!mkdtemp(dir))
        bench_fail(dir, "cannot be made");
    snprintf(command, sizeof(command), "mkdir %s/bench", dir);
    run(command);
}

void bench_remove_dir(const char *dir)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    run(command);
}

static void write_file(const char *dir, const char *name, const char *before, const char *text,
                       const char *after)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/bench/%s", dir, name);
    f = fopen(path, "wb");
    if (!f || fputs(before, f) < 0 || fputs(text, f) < 0 || fputs(after, f) < 0 || fclose(f))
        bench_fail(path, "cannot be written");
}

void bench_write_plugin(const char *dir, const char *manifest, const char *init)
{
    write_file(dir, "plugin.lua", "return { name = 'bench', version = '1.0.0', api = 1, ", manifest,
               " }\n");
    write_file(dir, "init.lua", "", init, "\n");
}

static void ignore_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    (void)arg, (void)level, (void)plugin, (void)message;
}

struct ml_cells *bench_cells(const char *dir, const char *server_json)
{
    struct ml_deploy_options deploy = {.plugins_dir = ml_slice_str(dir),
                                       .server_json = ml_slice_str(server_json)};
    struct ml_cells_options options = {
        .script = {.plugins_dir = ml_slice_str(dir), .log = ignore_log}};
    struct ml_cells *cells;
    struct ml_diag diag;

    if (ml_deploy_new(&deploy, NULL, &diag, &options.deploy) ||
        ml_cells_new(&options, &diag, &cells))
        bench_fail(server_json, diag.text);
    ml_deploy_unref(options.deploy);
    return cells;
}

/* ---- Seats ------------------------------------------------------------------------------------
 */

static struct bench_seat *seat_of(struct ml_port *port)
{
    return (struct bench_seat *)(void *)port;
}

static enum ml_err on_send(struct ml_port *port, struct ml_blob *frame, enum ml_send as)
{
    (void)port, (void)frame, (void)as;
    return ML_OK;
}

static void on_ack(struct ml_port *port, uint64_t message_no)
{
    seat_of(port)->acked_no = message_no;
}

static void on_joined(struct ml_port *port, struct ml_member *member, enum ml_close why)
{
    (void)why;
    seat_of(port)->member = member;
}

static void on_close(struct ml_port *port, enum ml_close why, struct ml_slice reason)
{
    (void)why, (void)reason;
    seat_of(port)->is_closed = true;
}

static void on_pause(struct ml_port *port, bool paused)
{
    seat_of(port)->is_paused = paused;
}

void bench_join(struct bench_seat *seat, struct ml_rooms *rooms, struct ml_journal *journal,
                struct ml_slice org, struct ml_slice document)
{
    const struct ml_identity identity = {.user = "anna", .session = "s1"};
    const struct ml_grant grant = {.may = ML_MAY_READ | ML_MAY_WRITE};
    struct ml_member *member;

    seat->port = (struct ml_port){.dialect = ML_DIALECT_YWEBSOCKET,
                                  .send = on_send,
                                  .ack = on_ack,
                                  .joined = on_joined,
                                  .close = on_close,
                                  .pause = on_pause};
    if (ml_rooms_join(rooms, org, document, &identity, &grant, &seat->port, &member))
        bench_fail("room", "full");
    (void)ml_journal_memory_step(journal);
    if (!seat->member)
        bench_fail("room", "no seat");
}

void bench_put_key(struct ml_writer *out, uint64_t clock)
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
