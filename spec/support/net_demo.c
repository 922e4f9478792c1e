/* SPDX-License-Identifier: MIT */
/*
 * A server without documents: net over the stand-ins of fake_room.h. Driven by
 * spec/unit/net/demo_test.mjs.
 *
 *   net_demo [--closed] [--fast]      prints "listening PORT"; SIGTERM drains, prints "closed" and
 *                                     ends with 0 if nothing was left open
 *   --closed  not in open mode: plugins decide
 *   --fast    short deadlines
 *   --bench   commits in every turn of the loop
 */
#include "net/net.h"

#include "base/assert.h"
#include "base/clock.h"
#include "support/fake_room.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMIT_MS 5

struct demo {
    uv_loop_t loop;
    uv_timer_t tick;
    uv_check_t turn;
    uv_signal_t term, usr1;
    struct ml_rooms *rooms;
    struct ml_net *net;
};

static void on_tick(uv_timer_t *handle)
{
    struct demo *demo = handle->data;

    ml_rooms_tick(demo->rooms);
}

static void on_turn(uv_check_t *handle)
{
    struct demo *demo = handle->data;

    ml_rooms_tick(demo->rooms);
}

static void on_net_closed(void *arg)
{
    struct demo *demo = arg;

    uv_close((uv_handle_t *)&demo->tick, NULL);
    uv_close((uv_handle_t *)&demo->term, NULL);
    uv_close((uv_handle_t *)&demo->usr1, NULL);
    uv_close((uv_handle_t *)&demo->turn, NULL);
}

static void on_term(uv_signal_t *handle, int number)
{
    struct demo *demo = handle->data;

    (void)number;
    ml_net_stop_accepting(demo->net);
    ml_rooms_drain(demo->rooms, ML_CLOSE_SHUTDOWN);
    ml_net_close(demo->net, on_net_closed, demo);
}

static void on_usr1(uv_signal_t *handle, int number)
{
    struct demo *demo = handle->data;
    struct ml_net_stats stats;

    (void)number;
    ml_net_stats(demo->net, &stats);
    printf("{\"accepted\":%llu,\"refused\":%llu,\"requests\":%llu,\"sessions\":%llu,"
           "\"messages_in\":%llu,\"frames_out\":%llu,\"writes\":%llu,\"bytes_out\":%llu,"
           "\"presence_dropped\":%llu,\"closed_slow\":%llu,\"members\":%zu}\n",
           (unsigned long long)stats.accepted, (unsigned long long)stats.refused,
           (unsigned long long)stats.requests, (unsigned long long)stats.sessions,
           (unsigned long long)stats.messages_in, (unsigned long long)stats.frames_out,
           (unsigned long long)stats.writes, (unsigned long long)stats.bytes_out,
           (unsigned long long)stats.presence_dropped, (unsigned long long)stats.closed_slow,
           fake_room_members(demo->rooms));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const origins[] = {"https://docs.example.com", "https://*.example.org"};
    const struct ml_room_env room_env = {0};
    struct ml_net_env env = {
        .script = NULL,
        .journal = fake_journal(),
        .open_mode = true,
        .assets = ml_assets,
        .asset_count = ml_asset_count,
        .origins = origins,
        .origin_count = 2,
    };
    struct demo demo = {0};
    struct ml_diag diag = {0};
    bool is_bench = false;
    uint16_t port;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--closed") == 0) {
            env.open_mode = false;
            env.script = fake_script();
            env.limits.updates_per_second = 50;
            env.limits.updates_burst = 100;
        } else if (strcmp(argv[i], "--fast") == 0) {
            env.limits.head_ms = 600;
            env.limits.auth_ms = 600;
            env.limits.ping_ms = 800;
            env.limits.dead_ms = 2500;
            env.limits.keepalive_ms = 700;
            env.limits.outbox_ms = 1500;
        } else if (strcmp(argv[i], "--bench") == 0) {
            is_bench = true;
        }
    }
    (void)signal(SIGPIPE, SIG_IGN);
    ML_ASSERT(uv_loop_init(&demo.loop) == 0);
    demo.rooms = ml_rooms_new(&room_env);
    env.loop = &demo.loop;
    env.rooms = demo.rooms;
    if (ml_net_open(&env, "127.0.0.1", 0, &diag, &demo.net, &port)) {
        fprintf(stderr, "net_demo: %s\n", diag.text);
        return 1;
    }
    demo.tick.data = demo.turn.data = demo.term.data = demo.usr1.data = &demo;
    uv_timer_init(&demo.loop, &demo.tick);
    uv_check_init(&demo.loop, &demo.turn);
    uv_signal_init(&demo.loop, &demo.term);
    uv_signal_init(&demo.loop, &demo.usr1);
    if (is_bench)
        uv_check_start(&demo.turn, on_turn);
    else
        uv_timer_start(&demo.tick, on_tick, COMMIT_MS, COMMIT_MS);
    uv_signal_start(&demo.term, on_term, SIGTERM);
    uv_signal_start(&demo.usr1, on_usr1, SIGUSR1);
    printf("listening %u\n", port);
    fflush(stdout);
    uv_run(&demo.loop, UV_RUN_DEFAULT);
    ml_rooms_free(demo.rooms);
    if (uv_loop_close(&demo.loop)) {
        uv_print_all_handles(&demo.loop, stderr);
        return 1;
    }
    printf("closed\n");
    return 0;
}
