/* SPDX-License-Identifier: MIT */
/*
 * How the parts of one loop are joined, and in what order they stop.
 *
 *   start:  libuv loop → door to the journal → cells → rooms → inbox → net → clock
 *   stop:   net stops accepting → rooms drain (commit, acknowledge, close members, last snapshots)
 *           → net closes → rooms are empty: QUIET → when all loops are: rooms freed, inbox closed,
 *           door closed → libuv loop ends → cells freed
 *
 * A loop that is quiet keeps its inbox until all are, since the others' last letters go there.
 */
#include "server/loop.h"

#include "server/carrier.h"
#include "server/fetch.h"
#include "server/sweep.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#define TICK_MS          50
#define DRAIN_MAX_MS     20000
#define SNAPSHOT_OPS     1000
#define SNAPSHOT_BYTES   (1u << 20)
#define SNAPSHOT_IDLE_MS (5 * 60 * 1000)
#define SNAPSHOT_GAP_MS  (30 * 1000)

/* The web application, made at build time (net/CMakeLists.txt). */
extern const struct ml_asset ml_assets[];
extern const size_t ml_asset_count;

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

static void on_door_closed(void *arg)
{
    struct ml_loop *loop = arg;

    loop->phase = ML_LOOP_ENDED;
    uv_close((uv_handle_t *)&loop->tick, NULL);
    loop->process->ended++;
}

static void on_net_closed(void *arg)
{
    struct ml_loop *loop = arg;

    loop->net = NULL;
    loop->phase = ML_LOOP_CLOSING;
    /* What the last sessions staged is still being committed; rooms end by themselves (tick). */
}

static void begin_drain(struct ml_loop *loop)
{
    loop->phase = ML_LOOP_DRAINING;
    loop->drain_until_ms = ml_clock_mono_ms() + DRAIN_MAX_MS;
    if (loop->cells)
        ml_cells_tell_cluster(loop->cells, &(struct ml_cluster_event){.kind = ML_CLUSTER_DRAINING});
    ml_worker_stop(loop->worker);
    ml_sweep_stop(loop->sweep);
    ml_net_stop_accepting(loop->net);
    ml_rooms_drain(loop->rooms, ML_CLOSE_SHUTDOWN);
}

static void end(struct ml_loop *loop)
{
    ml_worker_close(loop->worker);
    ml_sweep_close(loop->sweep);
    ml_outside_close(loop->outside);
    ml_fetcher_close(loop->fetcher);
    loop->fetcher = NULL;
    ml_rooms_free(loop->rooms);
    loop->rooms = NULL;
    if (loop->bus)
        ml_bus_close(loop->bus, NULL, NULL);
    loop->bus = NULL;
    ml_hub_detach(loop->process->hub, loop->number);
    if (loop->number) {
        ml_journal_close(loop->journal, on_door_closed, loop);
        return;
    }
    on_door_closed(loop); /* the journal itself is closed when all doors are (wiring.c) */
}

/* What of the configuration may change while we run. */
static void take_config(struct ml_loop *loop)
{
    struct ml_process *process = loop->process;
    const struct ml_config *config;
    struct ml_limits limits;

    loop->generation = process->generation;
    ML_ASSERT(pthread_mutex_lock(&process->mutex) == 0);
    config = process->config; /* an old one lives as long as the process */
    ML_ASSERT(pthread_mutex_unlock(&process->mutex) == 0);
    limits = config->limits;
    loop->engine_limits = limits.engine;
    limits.room.engine = &loop->engine_limits;
    ml_rooms_set_limits(loop->rooms, &limits.room);
    ml_net_reconfigure(loop->net, &limits.net, config->origins, config->origin_count,
                       config->proxies, config->proxy_count);
}

/* Once a second: what others may read of this loop. */
static void publish(struct ml_loop *loop)
{
    struct ml_rooms_stats stats;
    struct ml_net_stats net;

    ml_rooms_stats(loop->rooms, &stats);
    ml_net_stats(loop->net, &net);
    ml_hub_publish(loop->process->hub, loop->number, &stats, &net);
    if (!stats.held_rooms)
        loop->held_since_ms = 0;
    else if (!loop->held_since_ms)
        loop->held_since_ms = ml_clock_mono_ms();
}

static bool is_late(const struct ml_loop *loop, uint64_t more_ms)
{
    return ml_clock_mono_ms() > loop->drain_until_ms + more_ms;
}

void ml_loop_tick(struct ml_loop *loop)
{
    struct ml_process *process = loop->process;

    if (loop->rooms)
        ml_rooms_tick(loop->rooms);
    if (loop->cells)
        ml_cells_tick(loop->cells);
    if (loop->phase < ML_LOOP_QUIET)
        ml_plugins_tick(process->plugins, loop->number, loop->number ? NULL : process->config);
    switch (loop->phase) {
    case ML_LOOP_SERVING:
        if (!loop->number)
            ml_carrier_tick(loop);
        if (process->must_drain)
            begin_drain(loop);
        else if (process->generation != loop->generation)
            take_config(loop);
        else if (++loop->ticks % (1000 / TICK_MS) == 0)
            publish(loop);
        break;
    case ML_LOOP_DRAINING:
        if ((ml_rooms_is_empty(loop->rooms) && ml_net_session_count(loop->net) == 0) ||
            is_late(loop, 0)) {
            loop->phase = ML_LOOP_CLOSING_NET;
            ml_net_close(loop->net, on_net_closed, loop);
        }
        break;
    case ML_LOOP_CLOSING_NET:
        break;
    case ML_LOOP_CLOSING:
        if (ml_rooms_is_empty(loop->rooms)) {
            loop->phase = ML_LOOP_QUIET;
            process->quiet++;
        } else if (is_late(loop, DRAIN_MAX_MS / 4)) {
            ml_log(ML_LOG_ERROR, "server.aborted", "reason=held_rooms");
            _exit(1); /* the journal cannot be written; nothing of what is left was acknowledged */
        }
        break;
    case ML_LOOP_QUIET:
        if (process->quiet == process->count)
            end(loop);
        break;
    case ML_LOOP_ENDED:
        break;
    }
}

/* ---- Starting ---------------------------------------------------------------------------------
 */

void ml_loop_release(struct ml_loop *loop)
{
    ml_plugins_detach(loop->process->plugins, loop->number);
    ml_cells_free(loop->cells);
    loop->cells = NULL;
    ml_sweep_free(loop->sweep);
    loop->sweep = NULL;
    ml_worker_free(loop->worker);
    loop->worker = NULL;
    ml_outside_free(loop->outside);
    loop->outside = NULL;
}

static void on_tick(uv_timer_t *timer)
{
    ml_loop_tick(timer->data);
}

static enum ml_err open_worker(struct ml_loop *loop)
{
    const struct ml_config *config = loop->process->config;
    struct ml_worker_options options = {
        .loop = &loop->uv,
        .journal = loop->journal,
        .cells = loop->cells,
        .runs_cron = loop->number == 0,
        .orgs = config->orgs,
        .org_count = config->org_count,
        .ends_leases = loop->number == 0 && strncmp(config->store, "postgres", 8) != 0,
    };

    loop->worker = ml_worker_new(&options);
    if (!loop->worker)
        return ML_ELIMIT;
    ml_outside_tell(loop->outside, loop->worker);
    return ML_OK;
}

static enum ml_err open_cells(struct ml_loop *loop, struct ml_diag *diag)
{
    struct ml_cells_options options = {.deploy = loop->process->deploy,
                                       .script = {.log = on_script_log}};
    enum ml_err err;

    loop->outside = ml_outside_new(&loop->uv, loop->journal, loop->process->config);
    loop->fetcher = ml_fetcher_new(&loop->uv, loop->process->config);
    if (!loop->outside || !loop->fetcher)
        return ML_ELIMIT;
    options.script.port = ml_outside_port(loop->outside);
    if (loop->process->has_seal_key)
        options.script.seal_key =
            ml_slice_make(loop->process->seal_key, sizeof(loop->process->seal_key));
    options.script.shared = loop->process->shared;
    err = ml_cells_new(&options, diag, &loop->cells);
    if (err)
        return err;
    ml_outside_serve(loop->outside, loop->cells);
    ml_plugins_attach(loop->process->plugins, loop->number, loop->cells);
    return open_worker(loop);
}

/* Without memory it is done by the next start. */
static void open_sweep(struct ml_loop *loop)
{
    const struct ml_config *config = loop->process->config;
    const struct ml_sweep_options options = {
        .loop = &loop->uv,
        .journal = loop->journal,
        .cells = loop->cells,
        .rooms = loop->rooms,
        .is_shared = loop->process->is_shared,
        .orgs = config->orgs,
        .org_count = config->org_count,
    };

    loop->sweep = ml_sweep_new(&options);
}

static void on_heard(void *arg, const struct ml_news *news)
{
    struct ml_loop *loop = arg;

    if (news->kind == ML_NEWS_MESSAGE)
        ml_carrier_heard(loop, news);
    else if (loop->rooms)
        ml_rooms_heard(loop->rooms, news);
}

static void on_bus_changed(void *arg, bool is_healthy)
{
    struct ml_loop *loop = arg;

    if (loop->rooms)
        ml_rooms_bus_changed(loop->rooms, is_healthy);
    if (loop->net)
        ml_net_bus_changed(loop->net, is_healthy);
    if (loop->cells)
        ml_cells_tell_cluster(
            loop->cells, &(struct ml_cluster_event){.kind = is_healthy ? ML_CLUSTER_BUS_OK
                                                                       : ML_CLUSTER_BUS_DEGRADED});
}

static enum ml_err open_bus(const struct ml_config *config, struct ml_loop *loop,
                            struct ml_diag *diag)
{
    const struct ml_bus_options options = {
        .url = strcmp(config->bus, "postgres") == 0 ? config->store : config->bus,
        .loop = &loop->uv,
        /* Loops speak on lines of their own: that one is heard says nothing of another. */
        .node = loop->process->node + loop->number,
        .secret = loop->process->bus_secret,
        .heard = on_heard,
        .changed = on_bus_changed,
        .arg = loop,
    };

    return loop->process->is_shared ? ml_bus_open(&options, diag, &loop->bus) : ML_OK;
}

static enum ml_err open_rooms(const struct ml_config *config, struct ml_loop *loop)
{
    struct ml_process *process = loop->process;
    struct ml_room_env env = {
        .journal = loop->journal,
        .bus = loop->bus,
        .looks_alone = true,
        .cells = loop->cells,
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
        .loop = loop->number,
        .loops = process->count,
        .post = ml_hub_post,
        .post_arg = process->hub,
        .shared = &process->rooms,
    };

    loop->engine_limits = config->limits.engine;
    env.limits.engine = &loop->engine_limits;
    loop->rooms = ml_rooms_new(&env);
    return loop->rooms ? ML_OK : ML_ELIMIT;
}

static enum ml_err open_net(const struct ml_config *config, struct ml_loop *loop, uint16_t *port,
                            struct ml_diag *diag)
{
    struct ml_net_env env = {
        .loop = &loop->uv,
        .rooms = loop->rooms,
        .cells = loop->cells,
        .journal = loop->journal,
        .open_mode = config->auth == ML_AUTH_OPEN,
        .assets = ml_assets,
        .asset_count = ml_asset_count,
        .origins = config->origins,
        .public_url = config->public_url,
        .origin_count = config->origin_count,
        .proxies = config->proxies,
        .proxy_count = config->proxy_count,
        .limits = config->limits.net,
        .hub = loop->process->hub,
        .loop_number = loop->number,
        .own_keys = ml_keys_now,
        .own_keys_arg = loop->process->keys,
        .is_shared = loop->process->is_shared,
        .has_accounts = config->auth == ML_AUTH_PASSWORD,
        .role_rights = config->role_rights,
        .providers = config->providers,
        .provider_count = config->provider_count,
        .client = ml_fetcher_client(loop->fetcher),
        .operator= ml_plugins_operator(loop->process->plugins),
    };
    enum ml_err err;

    err = ml_net_open(&env, config->host, config->port, diag, &loop->net, port);
    if (!err && loop->bus && !ml_bus_is_local(loop->bus))
        ml_net_bus_changed(loop->net, false); /* until it is heard */
    return err;
}

/* Of a loop 0 that did not come to be; the journal is the caller's. */
static void abandon(struct ml_loop *loop)
{
    ml_rooms_free(loop->rooms);
    loop->rooms = NULL;
    if (loop->bus)
        ml_bus_close(loop->bus, NULL, NULL);
    loop->bus = NULL;
    if (loop->is_attached)
        ml_hub_detach(loop->process->hub, loop->number);
    ml_worker_close(loop->worker);
    ml_outside_close(loop->outside);
    ml_fetcher_close(loop->fetcher);
    loop->fetcher = NULL;
    ml_loop_release(loop);
}

enum ml_err ml_loop_open(struct ml_loop *loop, struct ml_process *process, unsigned number,
                         struct ml_journal *journal, struct ml_diag *diag, uint16_t *port_out)
{
    const struct ml_config *config = process->config;
    enum ml_err err = ML_OK;

    loop->process = process;
    loop->number = number;
    loop->journal = number ? NULL : journal;
    if (number)
        err = ml_journal_attach(journal, &loop->uv, &loop->journal);
    if (!err)
        err = open_cells(loop, diag);
    if (!err)
        err = open_bus(config, loop, diag);
    if (!err)
        err = open_rooms(config, loop);
    if (!err && !number)
        ml_carrier_begin(loop);
    if (!err)
        err = ml_hub_attach(process->hub, number, &loop->uv, loop->rooms);
    loop->is_attached = !err;
    if (!err)
        err = open_net(config, loop, port_out, diag);
    if (!err)
        ml_outside_visit(loop->outside, loop->net);
    if (err) {
        if (!number)
            abandon(loop);
        return err;
    }
    if (!number)
        open_sweep(loop);
    (void)uv_timer_init(&loop->uv, &loop->tick);
    loop->tick.data = loop;
    (void)uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
    return ML_OK;
}

static void run(void *arg)
{
    struct ml_loop *loop = arg;

    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    ml_loop_release(loop);
    (void)uv_loop_close(&loop->uv);
    ml_engine_thread_end();
}

bool ml_loop_start(struct ml_loop *loop)
{
    sigset_t all, before;
    bool is_started;

    /* Signals are loop 0's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    is_started = uv_thread_create(&loop->thread, run, loop) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}
