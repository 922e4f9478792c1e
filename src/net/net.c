/* SPDX-License-Identifier: MIT */
/*
 * One loop's net as a whole: the order in which it starts and ends.
 *
 *   open    listener, wire, tick, flush
 *   close   listener and HTTP connections at once; sessions hear 1001 and have CLOSE_MS;
 *           then the wire (which drops who is left); then, some turns later and when the journal
 * has answered the last request of the API, our handles; the last one's close callback frees
 * everything and calls `done`
 *
 * The flush handle runs before the loop sleeps: whatever a turn has queued leaves in that turn.
 */
#include "net/api.h"
#include "net/api_plugins.h"
#include "net/auth_oidc.h"
#include "net/lane.h"
#include "net/limit.h"
#include "net/live.h"
#include "net/metrics.h"
#include "net/publish.h"
#include "net/purge.h"
#include "net/revoked.h"
#include "net/standing.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/resource.h>

#define CLOSE_MS     1500
#define FLUSH_ROUNDS 4
#define SCRATCH_MAX  (512u << 20)
#define FDS_KEPT     64 /* not for sessions: journal, logs, plugins */
#define SESSIONS_MAX 1000000

static uint32_t sessions_from_descriptors(void)
{
    struct rlimit limit;
    rlim_t n;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= 2 * FDS_KEPT)
        return FDS_KEPT;
    n = limit.rlim_cur - FDS_KEPT;
    if (n > SESSIONS_MAX)
        n = SESSIONS_MAX;
    return (uint32_t)(n - n / 20); /* 5 % for administration (SEC-LM-14) */
}

/* A pool of the node is dealt out to the loops; the largest message has to fit in each. */
static size_t share_of(size_t pool_bytes, unsigned loops, size_t least)
{
    return pool_bytes / loops > least ? pool_bytes / loops : least;
}

static void set_defaults(struct ml_net_limits *limits, bool open_mode, unsigned loops)
{
#define DEFAULT(field, value)                                                                      \
    if (!limits->field)                                                                            \
    limits->field = (value)
    DEFAULT(message_bytes, 4u << 20);
    DEFAULT(reply_bytes, 64u << 20);
    DEFAULT(message_pool_bytes, 256u << 20);
    DEFAULT(sync_pool_bytes, 512u << 20);
    DEFAULT(outbox_soft_bytes, 1u << 20);
    DEFAULT(outbox_hard_bytes, 4u << 20);
    DEFAULT(outbox_ms, 30000);
    DEFAULT(sessions, sessions_from_descriptors());
    DEFAULT(head_ms, 10000);
    DEFAULT(auth_ms, 20000);
    DEFAULT(held_bytes, 1u << 20);
    DEFAULT(held_messages, 1000);
    DEFAULT(held_documents, 100);
    DEFAULT(held_pool_bytes, 64u << 20);
    DEFAULT(documents, 1000);
    DEFAULT(ping_ms, 20000);
    DEFAULT(dead_ms, 45000);
    DEFAULT(keepalive_ms, 20000);
    DEFAULT(fragments, 1024);
    DEFAULT(presence_per_second, 20);
    DEFAULT(controls_per_second, 20);
    if (limits->updates_per_second || !open_mode) {
        DEFAULT(updates_per_second, 120);
        DEFAULT(updates_burst, 5 * limits->updates_per_second);
    }
    if (limits->update_bytes_per_second || !open_mode) {
        DEFAULT(update_bytes_per_second, 512u << 10);
        DEFAULT(update_bytes_burst, 8 * limits->update_bytes_per_second);
    }
    DEFAULT(handshakes, 256);
    DEFAULT(accepts_per_second, 500);
    DEFAULT(address_handshakes, 64);
    DEFAULT(address_sessions, 4096);
    DEFAULT(questions, 1024);
    DEFAULT(password_checks, 16);
#undef DEFAULT
    if (limits->reply_bytes < limits->message_bytes)
        limits->reply_bytes = limits->message_bytes;
    if (loops < 2)
        return;
    limits->message_pool_bytes = share_of(limits->message_pool_bytes, loops, limits->reply_bytes);
    limits->sync_pool_bytes = share_of(limits->sync_pool_bytes, loops, 2 * limits->reply_bytes);
    limits->held_pool_bytes = share_of(limits->held_pool_bytes, loops, limits->held_bytes);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void net_free(struct ml_net *net)
{
    ml_assets_release(&net->assets);
    if (net->own_shared)
        ml_shared_release(net->own_shared);
    free(net->own_shared);
    if (net->env.hub)
        ml_hub_set_net(net->env.hub, net->env.loop_number, NULL);
    ml_lanes_drop(net, true);
    ml_hashmap_release(&net->ops_lanes);
    ml_purger_close(net->purger);
    ml_revoked_close(net->revoked);
    ml_tries_free(net->tries);
    ml_oidc_free(net);
    ml_standings_close(net->standings);
    ml_limitings_close(net->limitings);
    net->tries = NULL;
    ml_publish_forget_all(net);
    ml_hashmap_release(&net->rendered_by_key);
    ml_arena_release(&net->scratch);
    ml_blob_unref(net->ping);
    ml_blob_unref(net->keepalive);
    ml_frame_pool_release(&net->sync_pool);
    free(net->join_buffer);
    free(net);
}

void ml_net_handle_closed(struct ml_net *net)
{
    void (*done)(void *arg) = net->done;
    void *arg = net->done_arg;

    ML_ASSERT(net->handles > 0);
    if (--net->handles)
        return;
    net_free(net);
    if (done)
        done(arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    ml_net_handle_closed(handle->data);
}

/* Not inside a callback of the wire. */
static void go_on_closing(struct ml_net *net)
{
    bool is_late = ml_net_now(net) - net->closing_since_ms > CLOSE_MS;

    if (net->is_wire_open && (net->session_count == 0 || is_late)) {
        net->is_wire_open = false;
        ml_transport_stop(net->wire);
        ML_ASSERT(net->session_count == 0);
    }
    if (net->is_wire_open || net->turns < ML_WIRE_TURNS || net->calls ||
        uv_is_closing((uv_handle_t *)&net->tick))
        return;
    ml_transport_free(net->wire);
    uv_close((uv_handle_t *)&net->tick, on_handle_closed);
    uv_close((uv_handle_t *)&net->flush, on_handle_closed);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *handle)
{
    struct ml_net *net = handle->data;

    ml_http_tick(net);
    ml_standing_tick(net);
    ml_session_tick(net);
    ml_metrics_tick(net);
    ml_api_tick(net);
    ml_api_plugins_tick(net);
    if (net->purger)
        ml_purger_tick(net->purger);
    if (net->revoked && !net->is_closing)
        ml_revoked_tick(net->revoked);
    if (net->is_closing) {
        go_on_closing(net);
        return;
    }
    if (!net->is_draining)
        ml_listen_tick(net);
}

static void on_flush(uv_prepare_t *handle)
{
    struct ml_net *net = handle->data;

    /* A session may bring what it had to keep, and a room has something to say about that. */
    (void)ml_rooms_flush(net->env.rooms);
    for (int rounds = 0; rounds < FLUSH_ROUNDS; rounds++) {
        ml_ask_flush(net);
        ml_api_flush(net);
        ml_session_flush_all(net);
        if (!ml_rooms_flush(net->env.rooms))
            break;
    }
    if (net->is_closing && !net->is_wire_open)
        net->turns++;
}

/* ---- the beginning --------------------------------------------------------------------------- */

static enum ml_err make_parts(struct ml_net *net)
{
    /* With a payload: libwebsockets does not report an empty pong. */
    static const uint8_t ping[4] = {0x89, 0x02, 'm', 'l'};
    const uint8_t no_entries[1] = {0x00};

    net->join_buffer = malloc(ML_JOIN_BUFFER);
    net->ping = ml_blob_new(ml_slice_make(ping, sizeof ping));
    net->keepalive =
        ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0), ML_FRAME_AWARENESS,
                        ml_slice_make(no_entries, sizeof no_entries));
    if (!net->join_buffer || !net->ping || !net->keepalive)
        return ML_ELIMIT;
    if (!ml_assets_init(&net->assets, net->env.assets, net->env.asset_count))
        return ML_ELIMIT;
    return ML_OK;
}

static void start_handles(struct ml_net *net)
{
    uv_loop_t *loop = net->env.loop;

    net->tick.data = net->flush.data = net;
    (void)uv_timer_init(loop, &net->tick);
    (void)uv_prepare_init(loop, &net->flush);
    net->handles += 2;
    (void)uv_timer_start(&net->tick, on_tick, ML_TICK_MS, ML_TICK_MS);
    (void)uv_prepare_start(&net->flush, on_flush);
}

static bool share(struct ml_net *net)
{
    if (net->env.hub) {
        net->shared = ml_hub_shared(net->env.hub);
        return true;
    }
    net->shared = net->own_shared = calloc(1, sizeof *net->own_shared);
    if (net->own_shared)
        ml_shared_init(net->own_shared);
    return net->own_shared != NULL;
}

enum ml_err ml_net_open(const struct ml_net_env *env, const char *host, uint16_t port,
                        struct ml_diag *diag, struct ml_net **net_out, uint16_t *port_out)
{
    struct ml_net *net = calloc(1, sizeof *net);
    enum ml_err err;

    if (!net)
        return ML_ELIMIT;
    net->env = *env;
    if (!share(net)) {
        free(net);
        return ML_ELIMIT;
    }
    set_defaults(&net->env.limits, env->open_mode, env->hub ? ml_hub_loops(env->hub) : 1);
    net->listen_fd = net->reserve_fd = -1;
    net->message_pool.max_bytes = net->env.limits.message_pool_bytes;
    ml_frame_pool_init(&net->sync_pool, net->env.limits.sync_pool_bytes);
    ml_list_init(&net->https);
    ml_list_init(&net->sessions);
    ml_list_init(&net->dirty);
    ml_list_init(&net->timed);
    ml_list_init(&net->strangers);
    ml_list_init(&net->asked);
    ml_list_init(&net->readings_waiting);
    ml_list_init(&net->writings);
    ml_list_init(&net->operator_calls);
    ml_hashmap_init(&net->ops_lanes);
    ml_hashmap_init(&net->rendered_by_key);
    ml_list_init(&net->rendered);
    ml_arena_init(&net->scratch, SCRATCH_MAX);
    err = make_parts(net);
    if (!err && env->journal)
        net->revoked = ml_revoked_open(net, &err);
    if (!err && env->loop_number == 0 && env->journal && !ml_purger_open(net))
        err = ML_ELIMIT;
    if (err)
        goto fail;
    if (env->loop_number == 0)
        err = ml_listen_open(net, host, port, diag, port_out);
    if (err)
        goto fail;
    err = ml_transport_open(env->loop, &ml_session_events, diag, &net->wire);
    if (err) {
        ml_listen_close(net); /* the net goes with its handle */
        return err;
    }
    net->is_wire_open = true;
    if (env->hub)
        ml_hub_set_net(env->hub, env->loop_number, net);
    start_handles(net);
    *net_out = net;
    return ML_OK;

fail:
    net_free(net);
    return err;
}

void ml_net_stop_accepting(struct ml_net *net)
{
    net->is_draining = true;
    ml_listen_close(net);
}

size_t ml_net_session_count(const struct ml_net *net)
{
    return net->session_count;
}

void ml_net_close(struct ml_net *net, void (*done)(void *arg), void *arg)
{
    ML_ASSERT(!net->is_closing);
    net->done = done;
    net->done_arg = arg;
    net->is_closing = true;
    net->closing_since_ms = ml_net_now(net);
    ml_net_stop_accepting(net);
    ml_http_close_all(net);
    ml_session_close_all(net, ML_CLOSE_SHUTDOWN);
}

void ml_net_set_ready(struct ml_net *net, bool ready)
{
    net->shared->is_ready = ready;
}

void ml_net_reconfigure(struct ml_net *net, const struct ml_net_limits *limits,
                        const char *const *origins, size_t origin_count,
                        const struct ml_ip_range *proxies, size_t proxy_count)
{
    net->env.limits = *limits;
    set_defaults(&net->env.limits, net->env.open_mode,
                 net->env.hub ? ml_hub_loops(net->env.hub) : 1);
    net->message_pool.max_bytes = net->env.limits.message_pool_bytes;
    net->sync_pool.max_bytes = net->env.limits.sync_pool_bytes;
    net->env.origins = origins;
    net->env.origin_count = origin_count;
    net->env.proxies = proxies;
    net->env.proxy_count = proxy_count;
}

void ml_net_stats(const struct ml_net *net, struct ml_net_stats *out)
{
    *out = net->stats;
    out->sessions = net->session_count;
}
