/* SPDX-License-Identifier: MIT */
/*
 * The process: journal, loops, signals, and in what order they stop.
 *
 *   start:  loop 0's libuv loop → journal → hub → loops 0 … n-1 (loop.c) → threads → signals
 *   stop:   SIGTERM → every loop drains and becomes quiet → every loop ends, doors to the journal
 *           close → threads are joined → journal closes → loop 0 ends
 *
 *   SIGHUP  the configuration is read again: limits, origins, proxies, log level, plugins and orgs
 *           change
 *
 * A second SIGTERM ends the process at once; nothing acknowledged is lost by that (REL-16).
 */
#include "server/wiring.h"
#include "server/secret.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/carrier.h"
#include "server/loop.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define WATCH_MS     50
#define NOT_READY_MS 10000
#define LOOPS_MAX    64
#define REPORT_BYTES (1u << 20)

/* A configuration that was read later than the first; loops may still look at an older one. */
struct reload {
    struct reload *older;
    struct ml_config config;
};

struct server {
    struct ml_process process;
    struct ml_loop *loops;
    struct ml_journal *journal;
    uv_timer_t watch;
    uv_signal_t signals[3];
    const struct ml_config *config; /* the one we started with */
    struct reload *reloads;
    bool is_closing;
};

/* ---- Stopping ---------------------------------------------------------------------------------
 */

static void on_journal_closed(void *arg)
{
    struct server *s = arg;

    uv_close((uv_handle_t *)&s->watch, NULL);
    for (size_t i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
}

/* Every loop has come to its end: their threads go, then what they shared. */
static void end(struct server *s)
{
    s->is_closing = true;
    for (unsigned i = 1; i < s->process.count; i++)
        ML_ASSERT(uv_thread_join(&s->loops[i].thread) == 0);
    ml_keys_stop(s->process.keys);
    ml_journal_close(s->journal, on_journal_closed, s);
}

/* A node whose journal cannot be written says so after a while (reliability F-13). */
static void watch_journal(struct server *s)
{
    uint64_t now = ml_clock_mono_ms(), since = 0;

    for (unsigned i = 0; i < s->process.count; i++) {
        uint64_t held = s->loops[i].held_since_ms;

        if (held && (!since || held < since))
            since = held;
    }
    ml_net_set_ready(s->loops[0].net, !since || now - since < NOT_READY_MS);
}

static void on_watch(uv_timer_t *timer)
{
    struct server *s = timer->data;

    if (s->process.ended == s->process.count) {
        if (!s->is_closing)
            end(s);
    } else if (!s->process.must_drain) {
        watch_journal(s);
    }
}

/* ---- Signals ----------------------------------------------------------------------------------
 */

static void on_complaint(void *arg, const char *path, unsigned line, const char *message)
{
    (void)arg;
    ml_log(ML_LOG_ERROR, "config.refused", "file=%s line=%u why=%s", path, line,
           ML_LOG_TEXT(ml_slice_str(message)));
}

/* What was changed in the file and has to wait for the next start. */
static bool needs_restart(const struct ml_config *old, const struct ml_config *new)
{
    return strcmp(old->host, new->host) != 0 || old->port != new->port ||
           strcmp(old->store, new->store) != 0 || old->auth != new->auth ||
           old->loops != new->loops;
}

/* What a loop may change while it runs changes; NULL: errors, and everything stays. */
static const struct ml_config *reread(void *arg)
{
    struct server *s = arg;
    struct reload *next = calloc(1, sizeof *next);

    if (!next)
        return NULL;
    if (ml_config_load(&next->config, s->config->argc, s->config->argv, on_complaint, NULL)) {
        ml_log(ML_LOG_WARN, "config.kept", "reason=errors");
        ml_config_release(&next->config);
        free(next);
        return NULL;
    }
    next->older = s->reloads;
    s->reloads = next;
    ml_log_set_level(next->config.log_level);
    ML_ASSERT(pthread_mutex_lock(&s->process.mutex) == 0);
    s->process.config = &next->config;
    ML_ASSERT(pthread_mutex_unlock(&s->process.mutex) == 0);
    s->process.generation++;
    ml_log(ML_LOG_INFO, "config.reloaded", "restart_needed=%d",
           needs_restart(s->config, &next->config));
    return &next->config;
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct server *s = handle->data;

    if (signum == SIGHUP) {
        if (!s->process.must_drain)
            ml_plugins_reload(s->process.plugins);
        return;
    }
    if (s->process.must_drain) {
        ml_log(ML_LOG_WARN, "server.killed", "reason=second_signal");
        _exit(0);
    }
    ml_log(ML_LOG_INFO, "server.draining", "loops=%u", s->process.count);
    ml_net_set_ready(s->loops[0].net, false);
    s->process.must_drain = true;
    ml_loop_tick(&s->loops[0]); /* nobody new from this moment on */
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

/* One per core that we may use; a journal in memory belongs to a single loop. */
static unsigned count_loops(const struct ml_config *config)
{
    cpu_set_t cores;
    int count = 1;

    if (strcmp(config->store, "memory:") == 0)
        return 1;
    if (config->loops)
        return config->loops;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0)
        count = CPU_COUNT(&cores);
    return count < 1 ? 1 : count > LOOPS_MAX ? LOOPS_MAX : (unsigned)count;
}

static enum ml_err open_journal(const struct ml_config *config, struct server *s,
                                struct ml_diag *diag)
{
    uv_loop_t *uv = &s->loops[0].uv;

    if (strncmp(config->store, "sqlite:", 7) == 0 && mkdir(config->data_dir, 0700) &&
        access(config->data_dir, W_OK))
        return ml_diag_set(diag, ML_EIO, 0, "cannot make or write the data folder %s",
                           config->data_dir);
    return ml_journal_open(config->store, uv, diag, &s->journal);
}

/* Nodes that share a store have a secret there, under which they tell each other. */
static enum ml_err meet_others(struct server *s, struct ml_diag *diag)
{
    struct ml_process *process = &s->process;

    if (getrandom(&process->node, sizeof process->node, 0) != (ssize_t)sizeof process->node)
        return ml_diag_set(diag, ML_EIO, 0, "no random bytes");
    process->node -= process->node % ML_NODE_LOOPS;
    ml_board_set_node(ml_shared_board(process->shared), process->node);
    process->is_shared = ml_journal_is_shared(s->config->store);
    if (!process->is_shared) {
        if (strcmp(s->config->bus, "local") == 0)
            return ML_OK;
        return ml_diag_set(
            diag, ML_EFORMAT, 0,
            "a bus connects nodes over one PostgreSQL store; this store has one node");
    }
    return ml_secret_get(s->journal, &s->loops[0].uv, "bus", process->bus_secret, diag);
}

static enum ml_err open_deploy(struct server *s, struct ml_diag *diag)
{
    const struct ml_deploy_options options = ml_config_deploy(s->config);
    struct ml_writer report;
    enum ml_err err;

    ml_writer_init(&report, REPORT_BYTES);
    err = ml_deploy_new(&options, &report, diag, &s->process.deploy);
    if (err && report.len > 0) /* all of it, and the first line once more below */
        (void)fprintf(stderr, "%.*s", ML_PRINT(ml_writer_slice(&report)));
    ml_writer_release(&report);
    if (!err) {
        s->process.plugins =
            ml_plugins_new(&s->loops[0].uv, s->process.count, s->process.deploy, reread, s);
        err = s->process.plugins ? ML_OK : ML_ELIMIT;
    }
    return err;
}

/* Nodes over one database must be given the same key: they have none of their own. */
static enum ml_err load_seal_key(struct server *s, struct ml_diag *diag)
{
    const char *store = s->config->store;
    bool is_memory = strcmp(store, "memory:") == 0;

    if (!is_memory && strncmp(store, "sqlite:", 7) != 0 && !getenv("MOONLOOM_SEAL_KEY"))
        return ML_OK;
    s->process.has_seal_key = true;
    return ml_seal_key_load(s->config->data_dir, is_memory, s->process.seal_key, diag);
}

/* The server's own keys. Without a key to seal them with there are none. */
static enum ml_err load_keys(struct server *s, struct ml_diag *diag)
{
    struct ml_own_keys *keys = NULL;
    enum ml_err err;

    if (!s->process.has_seal_key)
        return ML_OK;
    err = ml_keys_get(s->journal, &s->loops[0].uv, s->process.seal_key, &keys, diag);
    if (err)
        return err;
    s->process.keys = ml_keys_new(s->journal, &s->loops[0].uv, s->process.seal_key, keys);
    return s->process.keys ? ML_OK : ML_ELIMIT;
}

static void start_watch_and_signals(struct server *s)
{
    static const int signums[3] = {SIGTERM, SIGINT, SIGHUP};
    uv_loop_t *uv = &s->loops[0].uv;

    (void)uv_timer_init(uv, &s->watch);
    s->watch.data = s;
    (void)uv_timer_start(&s->watch, on_watch, WATCH_MS, WATCH_MS);
    for (size_t i = 0; i < 3; i++) {
        (void)uv_signal_init(uv, &s->signals[i]);
        s->signals[i].data = s;
        (void)uv_signal_start(&s->signals[i], on_signal, signums[i]);
    }
}

/* Where does an org begin that lives nowhere yet? On loop 0, which has a state of every org. */
static size_t place_org(void *arg, struct ml_slice org, const struct ml_slice *names, size_t count)
{
    struct server *s = arg;
    struct ml_cells *cells = s->loops[0].cells;
    struct ml_script *script = cells ? ml_cells_script(cells, org, ml_slice_make(NULL, 0)) : NULL;
    struct ml_script_placement placement = {.org = org, .pools = names, .pool_count = count};

    if (!script || !(ml_script_hooks(script) & ML_HOOK_PLACE_DOCUMENT))
        return SIZE_MAX;
    ml_script_place(script, &placement);
    if (placement.answer < count)
        ml_log(ML_LOG_INFO, "org.placed", "org=%s shard=%s", ML_LOG_TEXT(org),
               ML_LOG_TEXT(names[placement.answer]));
    return placement.answer;
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

/* The others after loop 0, which is the one that can fail for a reason of the operator's. */
static void start_others(struct server *s)
{
    struct ml_diag diag = {0};

    for (unsigned i = 1; i < s->process.count; i++) {
        enum ml_err err = ml_loop_open(&s->loops[i], &s->process, i, s->journal, &diag, NULL);

        if (err)
            _exit(fail("loop", err, &diag));
    }
    for (unsigned i = 1; i < s->process.count; i++)
        if (!ml_loop_start(&s->loops[i]))
            _exit(fail("thread", ML_EIO, &diag));
}

static void release(struct server *s)
{
    struct reload *older;

    for (struct reload *reload = s->reloads; reload; reload = older) {
        older = reload->older;
        ml_config_release(&reload->config);
        free(reload);
    }
    ml_keys_free(s->process.keys);
    ml_plugins_free(s->process.plugins);
    ml_deploy_unref(s->process.deploy);
    ml_shared_store_free(s->process.shared);
    ml_hub_free(s->process.hub);
    (void)pthread_mutex_destroy(&s->process.mutex);
    free(s->loops);
}

static bool prepare(struct server *s, const struct ml_config *config)
{
    s->config = s->process.config = config;
    s->process.count = count_loops(config);
    s->loops = calloc(s->process.count, sizeof *s->loops);
    s->process.hub = ml_hub_new(s->process.count);
    s->process.shared = ml_shared_store_new(0);
    ML_ASSERT(pthread_mutex_init(&s->process.mutex, NULL) == 0);
    for (unsigned i = 0; s->loops && i < s->process.count; i++)
        if (uv_loop_init(&s->loops[i].uv))
            return false;
    return s->loops && s->process.hub && s->process.shared;
}

/* Is there nobody yet who could sign in? */
static enum ml_err look_for_people(struct server *s, bool *nobody_out, struct ml_diag *diag)
{
    struct ml_core_read ask = {
        .read = {
            .look = ML_STORE_SCAN, .org = ML_SLICE("-"), .space = ML_SLICE("user"), .limit = 1}};
    enum ml_err err = ML_OK;

    *nobody_out = false;
    if (s->config->auth != ML_AUTH_PASSWORD || !s->process.keys)
        return ML_OK;
    err = ml_core_look(s->journal, &s->loops[0].uv, &ask, diag);
    *nobody_out = !err && !ask.read.count;
    ml_store_read_release(&ask.read);
    return err;
}

/* The only place where this token is written: standard output, not the log. */
static void print_setup(const struct server *s, uint16_t port)
{
    const char *host = s->config->host;
    bool is_any = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    char token[65];

    ml_own_setup_token(ml_keys_now(s->process.keys), token);
    (void)printf("Make the first account, on this machine: http://%s%s%s:%u/setup#%s\n",
                 !is_any && strchr(host, ':') ? "[" : "", is_any ? "127.0.0.1" : host,
                 !is_any && strchr(host, ':') ? "]" : "", port, token);
    explicit_bzero(token, sizeof token);
}

int ml_serve(const struct ml_config *config)
{
    bool nobody = false;
    struct server s = {0};
    struct ml_diag diag = {0};
    uint16_t port = 0;
    int status = 1;
    enum ml_err err;

    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    ml_log_set_level(config->log_level);
    if (!prepare(&s, config))
        return fail("event loop", ML_EIO, &diag);
    err = open_journal(config, &s, &diag);
    if (err) {
        /* An address of PostgreSQL may hold a password. */
        (void)fail(ml_journal_is_shared(config->store) ? "store" : config->store, err, &diag);
        goto out;
    }
    err = load_seal_key(&s, &diag);
    if (!err)
        err = load_keys(&s, &diag);
    if (!err)
        err = look_for_people(&s, &nobody, &diag);
    if (!err)
        err = meet_others(&s, &diag);
    if (!err)
        err = open_deploy(&s, &diag);
    if (!err)
        err = ml_loop_open(&s.loops[0], &s.process, 0, s.journal, &diag, &port);
    if (err) {
        (void)fail("start", err, &diag);
        ml_keys_stop(s.process.keys);
        ml_journal_close(s.journal, on_early_journal_closed, NULL);
        (void)uv_run(&s.loops[0].uv, UV_RUN_DEFAULT);
        goto out;
    }
    ml_journal_set_placer(s.journal, place_org, &s);
    start_others(&s);
    start_watch_and_signals(&s);
    (void)printf("Moonloom is at http://%s%s%s:%u\n", strchr(config->host, ':') ? "[" : "",
                 config->host, strchr(config->host, ':') ? "]" : "", port);
    if (nobody)
        print_setup(&s, port);
    (void)fflush(stdout);
    (void)uv_run(&s.loops[0].uv, UV_RUN_DEFAULT);
    ml_loop_release(&s.loops[0]);
    ml_log(ML_LOG_INFO, "server.stopped", "%s", "");
    status = 0;

out:
    for (unsigned i = 0; i < s.process.count; i++)
        if (i == 0 || status)
            (void)uv_loop_close(&s.loops[i].uv);
    release(&s);
    return status;
}
