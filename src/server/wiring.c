/* SPDX-License-Identifier: MIT */
/*
 * How the parts are joined, and in what order they stop.
 *
 *   start:  loop → journal → script → rooms → net → signals and clock
 *   stop:   net stops accepting → rooms drain (commit, acknowledge, close members, last snapshots)
 *           → net closes → rooms freed → journal closes → script freed → loop
 *
 * A second SIGTERM ends the process at once; nothing acknowledged is lost by that (REL-16).
 */
#include "server/wiring.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "journal/journal.h"
#include "net/net.h"
#include "room/room.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_MS          50
#define DRAIN_MAX_MS     20000
#define NOT_READY_MS     10000
#define SNAPSHOT_OPS     1000
#define SNAPSHOT_BYTES   (1u << 20)
#define SNAPSHOT_IDLE_MS (5 * 60 * 1000)
#define SNAPSHOT_GAP_MS  (30 * 1000)

/* The web application, made at build time (net/CMakeLists.txt). */
extern const struct ml_asset ml_assets[];
extern const size_t ml_asset_count;

enum phase { SERVING, DRAINING, CLOSING_NET, CLOSING_JOURNAL, STOPPED };

struct server {
    uv_loop_t loop;
    struct ml_journal *journal;
    struct ml_script *script;
    struct ml_rooms *rooms;
    struct ml_engine_limits engine_limits; /* of all documents */
    struct ml_net *net;
    uv_timer_t tick;
    uv_signal_t signals[3];
    enum phase phase;
    uint64_t drain_until_ms;
    unsigned ticks;
    uint64_t held_since_ms; /* some room cannot commit; 0: all can */
};

static uint64_t mono_ms(void *arg)
{
    (void)arg;
    return ml_clock_mono_ms();
}

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return ml_clock_wall_ms();
}

static uint64_t random_u64(void *arg)
{
    uint64_t value = 0;

    (void)arg;
    if (getrandom(&value, sizeof value, 0) != sizeof value)
        ml_panic(__FILE__, __LINE__, "no random numbers");
    return value;
}

static void on_script_log(void *arg, int level, struct ml_slice plugin, struct ml_slice message)
{
    (void)arg;
    ml_log((enum ml_log_level)level, "plugin.said", "plugin=%s text=%s", ML_LOG_TEXT(plugin),
           ML_LOG_TEXT(message));
}

/* ---- Stopping, from the outside in ------------------------------------------------------------
 */

static void on_handle_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void on_journal_closed(void *arg)
{
    struct server *s = arg;

    s->phase = STOPPED;
    uv_close((uv_handle_t *)&s->tick, on_handle_closed);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&s->signals[i], on_handle_closed);
}

static void on_net_closed(void *arg)
{
    struct server *s = arg;

    s->net = NULL;
    s->phase = CLOSING_JOURNAL;
    /* What the last sessions staged is still being committed; rooms end by themselves (on_tick). */
}

/* A node whose journal cannot be written says so after a while (reliability F-13). */
static void watch_journal(struct server *s)
{
    uint64_t now = ml_clock_mono_ms();
    struct ml_rooms_stats stats;

    ml_rooms_stats(s->rooms, &stats);
    if (!stats.held_rooms)
        s->held_since_ms = 0;
    else if (!s->held_since_ms)
        s->held_since_ms = now;
    ml_net_set_ready(s->net, !s->held_since_ms || now - s->held_since_ms < NOT_READY_MS);
}

static void on_tick(uv_timer_t *timer)
{
    struct server *s = timer->data;

    if (s->rooms)
        ml_rooms_tick(s->rooms);
    switch (s->phase) {
    case SERVING:
        if (++s->ticks % (1000 / TICK_MS) == 0)
            watch_journal(s);
        break;
    case DRAINING: {
        bool is_late = ml_clock_mono_ms() > s->drain_until_ms;

        if ((ml_rooms_is_empty(s->rooms) && ml_net_session_count(s->net) == 0) || is_late) {
            s->phase = CLOSING_NET;
            ml_net_close(s->net, on_net_closed, s);
        }
        break;
    }
    case CLOSING_NET:
        break;
    case CLOSING_JOURNAL:
        if (s->rooms && ml_rooms_is_empty(s->rooms)) {
            ml_rooms_free(s->rooms);
            s->rooms = NULL;
            ml_journal_close(s->journal, on_journal_closed, s);
        } else if (s->rooms && ml_clock_mono_ms() > s->drain_until_ms + DRAIN_MAX_MS / 4) {
            ml_log(ML_LOG_ERROR, "server.aborted", "reason=held_rooms");
            _exit(1); /* the journal cannot be written; nothing of what is left was acknowledged */
        }
        break;
    case STOPPED:
        break;
    }
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct server *s = handle->data;

    if (signum == SIGHUP) {
        ml_log(ML_LOG_INFO, "config.kept", "reason=reload_is_not_in_this_version");
        return;
    }
    if (s->phase != SERVING) {
        ml_log(ML_LOG_WARN, "server.killed", "reason=second_signal");
        _exit(0);
    }
    ml_log(ML_LOG_INFO, "server.draining", "sessions=%zu", ml_net_session_count(s->net));
    s->phase = DRAINING;
    s->drain_until_ms = ml_clock_mono_ms() + DRAIN_MAX_MS;
    ml_net_set_ready(s->net, false);
    ml_net_stop_accepting(s->net);
    ml_rooms_drain(s->rooms, ML_CLOSE_SHUTDOWN);
}

/* ---- Starting ---------------------------------------------------------------------------------
 */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < 1048576 ? limit.rlim_max : 1048576;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum ml_err open_journal(const struct ml_config *config, struct server *s,
                                struct ml_diag *diag)
{
    if (strcmp(config->store, "memory:") == 0)
        return ml_journal_open_memory(&s->loop, &s->journal);
    if (mkdir(config->data_dir, 0700) && access(config->data_dir, W_OK))
        return ml_diag_set(diag, ML_EIO, 0, "cannot make or write the data folder %s",
                           config->data_dir);
    return ml_journal_open_sqlite(config->store + strlen("sqlite:"), &s->loop, diag, &s->journal);
}

static enum ml_err open_script(const struct ml_config *config, struct server *s,
                               struct ml_diag *diag)
{
    struct ml_script_options options = {
        .plugins_dir =
            config->plugins_dir ? ml_slice_str(config->plugins_dir) : ml_slice_make(NULL, 0),
        .plugins = config->plugins,
        .plugin_count = config->plugin_count,
        .log = on_script_log,
    };

    return config->plugin_count ? ml_script_new(&options, diag, &s->script) : ML_OK;
}

static enum ml_err open_rooms(const struct ml_config *config, struct server *s)
{
    struct ml_room_env env = {
        .journal = s->journal,
        .script = s->script,
        .mono_ms = mono_ms,
        .wall_ms = wall_ms,
        .random = random_u64,
        .snapshot = {.every_ops = SNAPSHOT_OPS,
                     .every_bytes = SNAPSHOT_BYTES,
                     .idle_ms = SNAPSHOT_IDLE_MS,
                     .min_gap_ms = SNAPSHOT_GAP_MS,
                     .on_unload = true,
                     .on_shutdown = true},
        .limits = config->limits.room,
    };

    s->engine_limits = config->limits.engine;
    env.limits.engine = &s->engine_limits;
    s->rooms = ml_rooms_new(&env);
    return s->rooms ? ML_OK : ML_ELIMIT;
}

static enum ml_err open_net(const struct ml_config *config, struct server *s, uint16_t *port,
                            struct ml_diag *diag)
{
    struct ml_net_env env = {
        .loop = &s->loop,
        .rooms = s->rooms,
        .script = s->script,
        .journal = s->journal,
        .open_mode = config->auth == ML_AUTH_OPEN,
        .assets = ml_assets,
        .asset_count = ml_asset_count,
        .origins = config->origins,
        .origin_count = config->origin_count,
        .limits = config->limits.net,
    };

    return ml_net_open(&env, config->host, config->port, diag, &s->net, port);
}

static void start_clock_and_signals(struct server *s)
{
    static const int signums[3] = {SIGTERM, SIGINT, SIGHUP};

    (void)uv_timer_init(&s->loop, &s->tick);
    s->tick.data = s;
    (void)uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
    for (size_t i = 0; i < 3; i++) {
        (void)uv_signal_init(&s->loop, &s->signals[i]);
        s->signals[i].data = s;
        (void)uv_signal_start(&s->signals[i], on_signal, signums[i]);
    }
}

static int fail(const char *what, enum ml_err err, const struct ml_diag *diag)
{
    (void)fprintf(stderr, "moonloom: %s: %s\n", what,
                  diag->text[0] ? diag->text : ml_err_text(err));
    return 1;
}

static void on_early_journal_closed(void *arg)
{
    (void)arg;
}

int ml_serve(const struct ml_config *config)
{
    struct server s = {.phase = SERVING};
    struct ml_diag diag = {0};
    uint16_t port = 0;
    int status = 1;
    enum ml_err err;

    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    ml_log_set_level(config->log_level);
    if (uv_loop_init(&s.loop))
        return fail("event loop", ML_EIO, &diag);
    err = open_journal(config, &s, &diag);
    if (err) {
        (void)fail(config->store, err, &diag);
        goto fail_loop;
    }
    err = open_script(config, &s, &diag);
    if (err) {
        (void)fail("plugins", err, &diag);
        goto fail_journal;
    }
    err = open_rooms(config, &s);
    if (err) {
        (void)fail("rooms", err, &diag);
        goto fail_script;
    }
    err = open_net(config, &s, &port, &diag);
    if (err) {
        (void)fail("listen", err, &diag);
        goto fail_rooms;
    }
    start_clock_and_signals(&s);
    (void)printf("Moonloom is at http://%s%s%s:%u\n", strchr(config->host, ':') ? "[" : "",
                 config->host, strchr(config->host, ':') ? "]" : "", port);
    (void)fflush(stdout);
    (void)uv_run(&s.loop, UV_RUN_DEFAULT);
    ml_script_free(s.script);
    (void)uv_loop_close(&s.loop);
    ml_log(ML_LOG_INFO, "server.stopped", "%s", "");
    return 0;

fail_rooms:
    ml_rooms_free(s.rooms);
fail_script:
    ml_script_free(s.script);
fail_journal:
    ml_journal_close(s.journal, on_early_journal_closed, NULL);
    (void)uv_run(&s.loop, UV_RUN_DEFAULT);
fail_loop:
    (void)uv_loop_close(&s.loop);
    return status;
}
