/* SPDX-License-Identifier: MIT */
/*
 *            ask           built           all prepared      all swapped
 *   IDLE ---------> BUILD -------> PREPARE ------------> SWAP ------------> SETTLE --> IDLE
 *    ^ |              | wrong         | one cannot         | one cannot
 *    | +--> LIST      v               v                    v
 *    +----------------+---------- WITHDRAW <------------ BACK
 *
 * PREPARE ends when the setups of all new states are over, or one has failed; meanwhile the old
 * ones serve. BUILD runs on a thread of libuv's pool: files, checks and new states, beside
 * everything that serves. In each later phase every loop does its part in its own tick, between two
 * events, and loop 0 goes on when all have. An earlier deployment comes back by the same way,
 * without files.
 *
 *  [P1] Until SWAP nothing of what runs has changed; BACK puts it back.
 *  [P2] `phase` is written by loop 0 only, before `serial`; the others read it after `serial`.
 *  [P3] A build looks at the cells of all loops: they do not go while `building` is held.
 */
#include "server/plugins.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOPS_MAX      64
#define HISTORY        3
#define TEXT_MAX       (4u << 20)
#define WATCH_MS       (10u * 60 * 1000)
#define WATCH_EACH_MS  1000
#define WATCH_CALLS    100 /* fewer say nothing about denials */
#define WATCH_FAILURES 5   /* as many open a breaker */
#define FILES_EACH_MS  500
#define FOLDER_DEPTH   8
#define TRACE_MS       10000u /* so long every call is noted, once somebody wants it */
#define ROLES_MAX      16

enum phase { IDLE, BUILD, PREPARE, SWAP, SETTLE, BACK, WITHDRAW, LIST, WATCH };

/* A state that was built for an org of a loop. */
struct offer {
    struct offer *next;
    struct ml_script *script;
    size_t org_len;
    char org[64];
};

struct ml_plugins {
    unsigned loops;
    pthread_mutex_t building; /* [P3] */
    struct ml_cells *cells[LOOPS_MAX];

    enum phase phase;
    _Atomic unsigned serial, parts; /* of the phase; loops that did theirs */
    unsigned seen[LOOPS_MAX];       /* each its loop's own */

    pthread_mutex_t lock; /* what the loops report */
    struct ml_diag diag;
    bool failed;
    struct ml_cells_swap swaps[LOOPS_MAX];
    struct ml_writer rows; /* LIST */
    uint64_t until_us;     /* TRACE: what came later is for the next answer */
    struct ml_cells_watch now, before;

    /* Loop 0's own. */
    struct ml_deploy *current, *next, *history[HISTORY];
    struct offer *offers[LOOPS_MAX];
    uv_loop_t *uv;
    uv_work_t work;
    const struct ml_config *config;
    const struct ml_config *(*reread)(void *arg);
    void *reread_arg;
    struct ml_operator_ask ask;
    uint64_t ticket, answered; /* the last that was given; the last that is done */
    uint64_t asked_ms, watch_until_ms, watched_ms, files_ms, files;
    struct ml_cells_watch baseline;
    struct ml_writer report; /* of the build */
    struct ml_writer answer;
    bool answer_failed, is_built, build_failed, must_reload;
    bool is_rollback, is_automatic;
};

/* ---- The parts of every loop ---------------------------------------------------------------- */

static void fail_part(struct ml_plugins *p, const struct ml_diag *diag)
{
    ML_ASSERT(pthread_mutex_lock(&p->lock) == 0);
    if (!p->failed)
        p->diag = *diag;
    p->failed = true;
    ML_ASSERT(pthread_mutex_unlock(&p->lock) == 0);
}

static void take_offers(struct ml_plugins *p, unsigned loop)
{
    struct offer *offer;

    while ((offer = p->offers[loop])) {
        p->offers[loop] = offer->next;
        ml_cells_offer(p->cells[loop], ml_slice_make(offer->org, offer->org_len), offer->script);
        free(offer);
    }
}

static void explain(struct ml_plugins *p, struct ml_writer *out)
{
    const struct ml_operator_ask *ask = &p->ask;
    struct ml_slice roles[ROLES_MAX], rest = ml_slice_str(ask->roles);
    struct ml_script_identity identity = {.user = ml_slice_str(ask->user),
                                          .name = ml_slice_str(ask->user),
                                          .roles = roles,
                                          .kind =
                                              *ask->user ? ML_SLICE("user") : ML_SLICE("guest")};

    while (rest.len && identity.role_count < ROLES_MAX) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma ? (size_t)(comma - rest.ptr) : rest.len;

        if (len)
            roles[identity.role_count++] = ml_slice_make(rest.ptr, len);
        len += comma != NULL;
        rest = ml_slice_make(rest.ptr + len, rest.len - len);
    }
    ml_cells_why(p->cells[0],
                 &(struct ml_script_ask){.action = *ask->action ? ml_slice_str(ask->action)
                                                                : ML_SLICE("doc.open"),
                                         .org = ml_slice_str(ask->org),
                                         .document = ml_slice_str(ask->document),
                                         .identity = &identity},
                 out);
}

/* What an operator wants to see of one loop. */
static void write_rows(struct ml_plugins *p, unsigned loop, struct ml_writer *out)
{
    const struct ml_operator_ask *ask = &p->ask;

    switch (ask->what) {
    case ML_OPERATOR_TRACE:
        ml_cells_trace(p->cells[loop], ml_slice_str(ask->org),
                       &(struct ml_flight_filter){.hook = ml_slice_str(ask->hook),
                                                  .verdict = ml_slice_str(ask->verdict),
                                                  .document = ml_slice_str(ask->document),
                                                  .plugin = ml_slice_str(ask->plugin),
                                                  .after_us = ask->after_us,
                                                  .until_us = p->until_us},
                       ask->watches ? TRACE_MS : 0, out);
        break;
    case ML_OPERATOR_WHY:
        if (loop == 0)
            explain(p, out);
        break;
    case ML_OPERATOR_LIST:
    case ML_OPERATOR_RELOAD:
        ml_cells_describe(p->cells[loop], ml_slice_str(ask->org), ml_slice_str(ask->document), out);
    }
}

static void list_part(struct ml_plugins *p, unsigned loop)
{
    struct ml_writer mine;

    ml_writer_init(&mine, TEXT_MAX);
    write_rows(p, loop, &mine);
    ML_ASSERT(pthread_mutex_lock(&p->lock) == 0);
    if (mine.len && p->rows.len)
        ml_write_u8(&p->rows, ',');
    ml_write_bytes(&p->rows, ml_writer_slice(&mine));
    ML_ASSERT(pthread_mutex_unlock(&p->lock) == 0);
    ml_writer_release(&mine);
}

static void watch_part(struct ml_plugins *p, unsigned loop)
{
    struct ml_cells_watch now = {0}, before = {0};

    ml_cells_watch(p->cells[loop], &now, &before);
    ML_ASSERT(pthread_mutex_lock(&p->lock) == 0);
    p->now.calls += now.calls;
    p->now.denials += now.denials;
    p->now.failures += now.failures;
    p->now.bad += now.bad;
    p->before.calls += before.calls;
    p->before.denials += before.denials;
    p->before.failures += before.failures;
    ML_ASSERT(pthread_mutex_unlock(&p->lock) == 0);
}

/* Has some loop failed, so that nobody needs to wait for the others? */
static bool has_failed(struct ml_plugins *p)
{
    bool failed;

    ML_ASSERT(pthread_mutex_lock(&p->lock) == 0);
    failed = p->failed;
    ML_ASSERT(pthread_mutex_unlock(&p->lock) == 0);
    return failed;
}

/* False: not yet, ask again in the next tick. */
static bool do_part(struct ml_plugins *p, unsigned loop)
{
    struct ml_cells *cells = p->cells[loop];
    struct ml_diag diag = {0};
    enum ml_err err = ML_OK;

    if (!cells)
        return true;
    switch (p->phase) {
    case PREPARE:
        take_offers(p, loop);
        err = ml_cells_prepare(cells, p->next, p->ask.is_forced || p->is_rollback, &diag);
        if (err == ML_EBUSY)
            return has_failed(p);
        break;
    case SWAP:
        err = ml_cells_swap(cells, p->next, p->ask.is_forced, &diag, &p->swaps[loop]);
        if (!err)
            watch_part(p, loop);
        break;
    case SETTLE:
        ml_cells_settle(cells);
        break;
    case BACK:
        ml_cells_swap_back(cells);
        break;
    case WITHDRAW:
        take_offers(p, loop);
        ml_cells_withdraw(cells);
        break;
    case LIST:
        list_part(p, loop);
        break;
    case WATCH:
        watch_part(p, loop);
        break;
    case IDLE:
    case BUILD:
        break;
    }
    if (err)
        fail_part(p, &diag);
    return true;
}

/* ---- Building, on another thread ------------------------------------------------------------ */

struct org_names {
    struct ml_plugins *p;
    struct offer **at;
};

static void note_org(void *arg, struct ml_slice org)
{
    struct org_names *names = arg;
    struct offer *offer;

    if (org.len >= sizeof offer->org || !ml_deploy_differs(names->p->current, names->p->next, org))
        return;
    offer = calloc(1, sizeof *offer);
    if (!offer)
        return; /* it is made in PREPARE then */
    memcpy(offer->org, org.ptr, org.len);
    offer->org_len = org.len;
    *names->at = offer;
    names->at = &offer->next;
}

static enum ml_err build_states(struct ml_plugins *p, struct ml_diag *diag)
{
    enum ml_err err = ML_OK;

    for (unsigned loop = 0; loop < p->loops && !err; loop++) {
        struct org_names names = {p, &p->offers[loop]};

        if (!p->cells[loop])
            continue;
        ml_cells_each_org(p->cells[loop], note_org, &names);
        for (struct offer *offer = p->offers[loop]; offer && !err; offer = offer->next)
            err = ml_cells_build(p->cells[loop], p->next, ml_slice_make(offer->org, offer->org_len),
                                 diag, &offer->script);
    }
    return err;
}

static struct ml_deploy_part part_of(const struct ml_plugins *p)
{
    return (struct ml_deploy_part){ml_slice_str(p->ask.plugin), ml_slice_str(p->ask.org)};
}

static bool is_of_part(const struct ml_plugins *p)
{
    return *p->ask.plugin || *p->ask.org;
}

/* The newest deployment in which the part was something else. */
static enum ml_err find_earlier(struct ml_plugins *p)
{
    struct ml_deploy_part part = part_of(p);
    enum ml_err err = ML_ENOTFOUND;

    for (int i = 0; i < HISTORY && p->history[i] && err == ML_ENOTFOUND; i++)
        err = ml_deploy_mix(p->current, p->history[i], &part, &p->diag, &p->next);
    return err;
}

static void build(uv_work_t *work)
{
    struct ml_plugins *p = work->data;
    struct ml_deploy_options options = ml_config_deploy(p->config);
    enum ml_err err = ML_OK;

    ML_ASSERT(pthread_mutex_lock(&p->building) == 0);
    options.before = p->current;
    options.all_shadow = p->ask.is_shadow;
    options.part = part_of(p);
    if (p->is_rollback && !p->next)
        err = find_earlier(p);
    else if (!p->next)
        err = ml_deploy_new(&options, &p->report, &p->diag, &p->next);
    if (!err && !p->ask.is_dry)
        err = build_states(p, &p->diag);
    p->build_failed = err != ML_OK;
    ML_ASSERT(pthread_mutex_unlock(&p->building) == 0);
}

static void on_built(uv_work_t *work, int status)
{
    struct ml_plugins *p = work->data;

    p->build_failed |= status != 0;
    p->is_built = true;
}

static void free_offers(struct ml_plugins *p)
{
    for (unsigned loop = 0; loop < p->loops; loop++) {
        struct offer *offer;

        while ((offer = p->offers[loop])) {
            p->offers[loop] = offer->next;
            ml_script_free(offer->script);
            free(offer);
        }
    }
}

/* ---- Loop 0 leads --------------------------------------------------------------------------- */

static void enter(struct ml_plugins *p, enum phase phase)
{
    p->phase = phase;
    atomic_store(&p->parts, 0);
    atomic_fetch_add(&p->serial, 1);
}

static void print(struct ml_writer *out, const char *text)
{
    ml_write_bytes(out, ml_slice_str(text));
}

static void print_text(struct ml_writer *out, struct ml_slice text)
{
    char code[8];

    ml_write_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c < 0x20) {
            (void)snprintf(code, sizeof code, "\\u%04x", c);
            print(out, code);
            continue;
        }
        if (c == '"' || c == '\\')
            ml_write_u8(out, '\\');
        ml_write_u8(out, c);
    }
    ml_write_u8(out, '"');
}

static void answer_reload(struct ml_plugins *p, const char *state)
{
    char text[256];
    bool is_wrong = strcmp(state, "failed") == 0;
    struct ml_slice why = p->report.len ? ml_writer_slice(&p->report) : ml_slice_str(p->diag.text);

    ml_writer_reset(&p->answer);
    (void)snprintf(text, sizeof text, "{\"state\":\"%s\",\"took_ms\":%llu,\"error\":", state,
                   (unsigned long long)(ml_clock_mono_ms() - p->asked_ms));
    print(&p->answer, text);
    if (is_wrong)
        print_text(&p->answer, why);
    else
        print(&p->answer, "null");
    print(&p->answer, ",\"loops\":[");
    for (unsigned i = 0; i < p->loops; i++) {
        (void)snprintf(text, sizeof text, "%s{\"swap_us\":%llu,\"states\":%zu,\"bytes\":%zu}",
                       i ? "," : "", (unsigned long long)p->swaps[i].took_us, p->swaps[i].states,
                       p->swaps[i].bytes);
        print(&p->answer, text);
    }
    print(&p->answer, "],\"deployment\":");
    ml_deploy_describe(p->next && !is_wrong ? p->next : p->current, &p->answer);
    print(&p->answer, "}");
    p->answer_failed = is_wrong;
    p->answered = p->ticket;
    if (is_wrong)
        ml_log(ML_LOG_ERROR, "plugins.kept", "why=%s", ML_LOG_TEXT(why));
    else
        ml_log(ML_LOG_INFO, "plugins.reloaded",
               "deployment=%u how=%s plugins=%s org=%s swap_us=%llu", ml_deploy_number(p->current),
               p->is_automatic  ? "automatic_rollback"
               : p->is_rollback ? "rollback"
                                : state,
               *p->ask.plugin ? p->ask.plugin : "*", *p->ask.org ? p->ask.org : "*",
               (unsigned long long)p->swaps[0].took_us);
}

static void finish(struct ml_plugins *p, const char *state)
{
    answer_reload(p, state);
    free_offers(p);
    ml_deploy_unref(p->next);
    p->next = NULL;
    p->phase = IDLE;
}

/* Every loop runs `next`: it is the current one. */
static void take_next(struct ml_plugins *p)
{
    if (p->is_rollback && is_of_part(p)) {
        ml_deploy_unref(p->current); /* those before it stay what a whole rollback returns to */
        p->watch_until_ms = 0;
    } else if (p->is_rollback) {
        ml_deploy_unref(p->current);
        ml_deploy_unref(p->history[0]); /* `next` has its own reference */
        for (int i = 0; i + 1 < HISTORY; i++)
            p->history[i] = p->history[i + 1];
        p->history[HISTORY - 1] = NULL;
        p->watch_until_ms = 0;
    } else {
        ml_deploy_unref(p->history[HISTORY - 1]);
        for (int i = HISTORY - 1; i > 0; i--)
            p->history[i] = p->history[i - 1];
        p->history[0] = p->current;
        p->watch_until_ms = ml_clock_mono_ms() + WATCH_MS;
        p->baseline = p->before;
    }
    p->current = p->next;
    p->next = ml_deploy_ref(p->next);
}

static void begin_build(struct ml_plugins *p)
{
    p->failed = p->build_failed = p->is_built = false;
    p->diag = (struct ml_diag){0};
    memset(p->swaps, 0, sizeof p->swaps);
    ml_writer_reset(&p->report);
    p->before = p->now = (struct ml_cells_watch){0};
    p->asked_ms = ml_clock_mono_ms();
    p->is_rollback = p->ask.is_rollback;
    p->phase = BUILD;
    if (p->is_rollback) {
        if (!p->history[0]) {
            (void)ml_diag_set(&p->diag, ML_ENOTFOUND, 0, "there is no earlier deployment");
            finish(p, "failed");
            return;
        }
        p->next = is_of_part(p) ? NULL : ml_deploy_ref(p->history[0]);
    } else {
        const struct ml_config *config = p->reread(p->reread_arg);

        if (!config) {
            (void)ml_diag_set(
                &p->diag, ML_EFORMAT, 0,
                "the configuration has errors: see the log, or moonloom check-config");
            finish(p, "failed");
            return;
        }
        p->config = config;
    }
    p->work.data = p;
    if (uv_queue_work(p->uv, &p->work, build, on_built)) {
        (void)ml_diag_set(&p->diag, ML_ELIMIT, 0, "no thread to build on");
        finish(p, "failed");
    }
}

/* Not well, failures over 1 %, or three times as many denials as before (plugin-api 14). */
static bool is_worse(const struct ml_cells_watch *now, const struct ml_cells_watch *before)
{
    if (now->bad)
        return true;
    if (now->failures >= WATCH_FAILURES && now->failures * 100 > now->calls &&
        now->failures * before->calls >= before->failures * now->calls)
        return true;
    return now->calls >= WATCH_CALLS && before->calls >= WATCH_CALLS && before->denials &&
           now->denials * before->calls > 3 * before->denials * now->calls;
}

static void judge(struct ml_plugins *p)
{
    p->phase = IDLE;
    if (!is_worse(&p->now, &p->baseline) || !p->history[0])
        return;
    ml_log(ML_LOG_WARN, "plugins.worse", "calls=%llu failures=%llu denials=%llu bad=%llu",
           (unsigned long long)p->now.calls, (unsigned long long)p->now.failures,
           (unsigned long long)p->now.denials, (unsigned long long)p->now.bad);
    p->ask = (struct ml_operator_ask){.is_rollback = true, .is_forced = true};
    p->ticket++;
    p->is_automatic = true;
    begin_build(p);
}

static void answer_list(struct ml_plugins *p)
{
    char text[64];

    ml_writer_reset(&p->answer);
    if (p->ask.what == ML_OPERATOR_WHY) {
        ml_write_bytes(&p->answer, ml_writer_slice(&p->rows));
        return;
    }
    if (p->ask.what == ML_OPERATOR_TRACE) {
        (void)snprintf(text, sizeof text, "{\"until_us\":%llu,\"items\":[",
                       (unsigned long long)p->until_us);
        print(&p->answer, text);
    } else {
        print(&p->answer, "{\"deployment\":");
        ml_deploy_describe(p->current, &p->answer);
        print(&p->answer, ",\"instances\":[");
    }
    ml_write_bytes(&p->answer, ml_writer_slice(&p->rows));
    print(&p->answer, "]}");
}

/* All have done their part of the phase. */
static void go_on(struct ml_plugins *p)
{
    switch (p->phase) {
    case PREPARE:
        enter(p, p->failed ? WITHDRAW : SWAP);
        break;
    case SWAP:
        if (!p->failed)
            take_next(p);
        enter(p, p->failed ? BACK : SETTLE);
        break;
    case BACK:
        enter(p, WITHDRAW);
        break;
    case SETTLE:
        finish(p, "done");
        break;
    case WITHDRAW:
        finish(p, "failed");
        break;
    case LIST:
        answer_list(p);
        p->answer_failed = false;
        p->answered = p->ticket;
        p->phase = IDLE;
        break;
    case WATCH:
        judge(p);
        break;
    case IDLE:
    case BUILD:
        break;
    }
}

/* ---- serve --dev: what changes on disk ------------------------------------------------------ */

static uint64_t files_sum; /* of one walk; loop 0 only */

static int add_file(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)path;
    if (kind == FTW_F && at->level <= FOLDER_DEPTH)
        files_sum = files_sum * 31 + (uint64_t)st->st_mtim.tv_nsec +
                    (uint64_t)st->st_mtim.tv_sec * 1000000007u + (uint64_t)st->st_size + st->st_ino;
    return 0;
}

static bool files_have_changed(struct ml_plugins *p)
{
    uint64_t now = ml_clock_mono_ms(), before = p->files;

    if (!p->config->is_dev || !p->config->plugins_dir || now - p->files_ms < FILES_EACH_MS)
        return false;
    p->files_ms = now;
    files_sum = 1;
    (void)nftw(p->config->plugins_dir, add_file, 16, FTW_PHYS);
    p->files = files_sum;
    return before && before != files_sum;
}

static void lead_idle(struct ml_plugins *p)
{
    uint64_t now = ml_clock_mono_ms();

    if (p->must_reload || files_have_changed(p)) {
        p->must_reload = false;
        p->ask = (struct ml_operator_ask){0};
        p->ticket++;
        p->is_automatic = false;
        begin_build(p);
    } else if (now < p->watch_until_ms && now - p->watched_ms >= WATCH_EACH_MS) {
        p->watched_ms = now;
        p->now = p->before = (struct ml_cells_watch){0};
        enter(p, WATCH);
    }
}

static void lead(struct ml_plugins *p)
{
    if (p->phase == IDLE) {
        lead_idle(p);
    } else if (p->phase == BUILD) {
        if (!p->is_built)
            return;
        if (p->build_failed)
            finish(p, "failed");
        else if (p->ask.is_dry)
            finish(p, "fine");
        else
            enter(p, PREPARE);
    } else if (atomic_load(&p->parts) == p->loops) {
        go_on(p);
    }
}

static uint64_t wall_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- Public --------------------------------------------------------------------------------- */

struct ml_plugins *ml_plugins_new(uv_loop_t *loop0, unsigned loops, struct ml_deploy *deploy,
                                  const struct ml_config *(*reread)(void *arg), void *arg)
{
    struct ml_plugins *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    ML_ASSERT(loops <= LOOPS_MAX);
    p->loops = loops;
    p->uv = loop0;
    p->reread = reread;
    p->reread_arg = arg;
    p->current = ml_deploy_ref(deploy);
    ML_ASSERT(pthread_mutex_init(&p->building, NULL) == 0);
    ML_ASSERT(pthread_mutex_init(&p->lock, NULL) == 0);
    ml_writer_init(&p->rows, TEXT_MAX);
    ml_writer_init(&p->report, TEXT_MAX);
    ml_writer_init(&p->answer, TEXT_MAX * 2);
    return p;
}

void ml_plugins_free(struct ml_plugins *p)
{
    if (!p)
        return;
    free_offers(p);
    for (int i = 0; i < HISTORY; i++)
        ml_deploy_unref(p->history[i]);
    ml_deploy_unref(p->next);
    ml_deploy_unref(p->current);
    ml_writer_release(&p->rows);
    ml_writer_release(&p->report);
    ml_writer_release(&p->answer);
    (void)pthread_mutex_destroy(&p->building);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

void ml_plugins_attach(struct ml_plugins *p, unsigned loop, struct ml_cells *cells)
{
    p->cells[loop] = cells;
}

void ml_plugins_detach(struct ml_plugins *p, unsigned loop)
{
    ML_ASSERT(pthread_mutex_lock(&p->building) == 0);
    p->cells[loop] = NULL;
    ML_ASSERT(pthread_mutex_unlock(&p->building) == 0);
}

void ml_plugins_tick(struct ml_plugins *p, unsigned loop, const struct ml_config *config)
{
    unsigned serial = atomic_load(&p->serial);

    if (p->seen[loop] != serial && do_part(p, loop)) {
        p->seen[loop] = serial;
        atomic_fetch_add(&p->parts, 1);
    }
    if (loop)
        return;
    if (p->phase == IDLE)
        p->config = config;
    lead(p);
}

void ml_plugins_reload(struct ml_plugins *p)
{
    p->must_reload = true;
}

static uint64_t ask(void *arg, const struct ml_operator_ask *what)
{
    struct ml_plugins *p = arg;

    if (p->phase != IDLE || !p->config)
        return 0;
    p->ask = *what;
    p->ticket++;
    p->is_automatic = false;
    if (what->what != ML_OPERATOR_RELOAD) {
        ml_writer_reset(&p->rows);
        p->until_us = wall_us();
        enter(p, LIST);
    } else {
        begin_build(p);
    }
    return p->ticket;
}

static bool answered(void *arg, uint64_t ticket, struct ml_slice *json_out, bool *failed_out)
{
    struct ml_plugins *p = arg;

    if (p->answered < ticket)
        return false;
    *failed_out = p->answered != ticket || p->answer_failed;
    *json_out = ml_writer_slice(&p->answer);
    return true;
}

struct ml_net_operator ml_plugins_operator(struct ml_plugins *plugins)
{
    return (struct ml_net_operator){.ask = ask, .answered = answered, .arg = plugins};
}
