/* SPDX-License-Identifier: MIT */
/*
 *   store ── TAKE (conditional, a lease) ──> running ── ml_script_do ──> done
 *     ^                                                                 |
 *     └── DONE | RETRY, due later by backoff | DEAD after the last try ─┘
 *
 *  [B1] A job is answered for in the store only after its function has ended: a process that dies
 *       in between leaves the lease, and the job comes again (at least once). What a job writes
 * with ml.kv.txn and its own id as the key is not doubled by that. [B2] What is said of a try
 * counts only while its lease is ours (the try's number is the proof). [B3] A run by the clock is
 * taken by a conditional write before it runs: at most once per time, whoever else looks. Runs of
 * one entry never overlap here.
 */
#include "server/worker.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define LOOK_MS       250
#define NEWS_LOOK     256    /* turns */
#define LEASE_MS      360000 /* longer than any job may take */
#define RUNNING_MAX   64
#define TAKE_MAX      16
#define BUSY_AGAIN_MS 500
#define GONE_AGAIN_MS 60000
#define CRON_LOOK     4 /* turns of the clock */
#define CRON_MAX      4096

struct job {
    struct ml_list node;
    struct ml_worker *worker;
    struct ml_arena arena;
    struct ml_store_job job; /* texts in `arena` */
    const struct ml_work *work;
    struct ml_store_write write;
    struct ml_store_item item;
    bool is_running;
};

enum cron_state { CRON_NEW, CRON_ASKING, CRON_WAITING, CRON_RUNNING };

struct cron {
    struct ml_list node;
    struct ml_worker *worker;
    char *org, *instance, *name;
    enum cron_state state;
    uint64_t rev;
    int64_t next_ms; /* 0: never */
    bool seen;       /* in this turn */
    struct ml_store_read read;
    struct ml_store_write write;
    struct ml_store_item items[2];
    char text[32];
};

struct ml_worker {
    struct ml_worker_options options;
    uv_timer_t clock;
    struct ml_store_write take;
    struct ml_store_item take_item;
    struct ml_list jobs, crons;
    size_t running, cron_count, asked; /* of the store, not answered */
    unsigned turns;
    bool is_taking, is_stopped, is_closed, is_freed, clock_is_closed;
};

static void end(struct ml_worker *w);

static uint64_t random_below(uint64_t n)
{
    uint64_t value = 0;

    ML_ASSERT(getrandom(&value, sizeof value, 0) == (ssize_t)sizeof value);
    return n ? value % n : 0;
}

/* ---- What became of a job -------------------------------------------------------------------- */

static void free_job(struct job *job)
{
    ml_list_remove(&job->node);
    job->worker->running--;
    ml_arena_release(&job->arena);
    free(job);
}

static void on_told(struct ml_store_write *write)
{
    struct job *job = ML_CONTAINER(write, struct job, write);
    struct ml_worker *w = job->worker;

    if (write->err)
        ml_log(ML_LOG_WARN, "job.untold", "job=%s reason=%s", job->job.id, ml_err_name(write->err));
    ml_store_write_release(write);
    free_job(job);
    w->asked--;
    ml_worker_kick(w);
    end(w);
}

/* `why` is borrowed. */
static void tell(struct job *job, enum ml_store_act act, struct ml_slice why, int64_t due_ms,
                 bool uncounted)
{
    struct ml_worker *w = job->worker;

    job->item = (struct ml_store_item){
        .act = act,
        .key = ml_slice_str(job->job.id),
        .value = ml_arena_copy(&job->arena, why.len > 500 ? ml_slice_make(why.ptr, 500) : why),
        .rev = job->job.try,
        .count = uncounted,
        .due_ms = due_ms,
    };
    job->write = (struct ml_store_write){
        .org = job->job.org,
        .instance = job->job.instance,
        .space = ML_SLICE("kv"),
        .items = &job->item,
        .count = 1,
        .now_ms = ml_clock_wall_ms(),
        .done = on_told,
    };
    if (w->is_closed) { /* the lease ends by itself, or at the next start */
        free_job(job);
        return;
    }
    w->asked++;
    ml_store_commit(w->options.journal, &job->write);
}

static uint64_t backoff_ms(const struct ml_work *work, uint32_t try)
{
    uint64_t ms = work->backoff_first_ms;

    while (--try && ms < work->backoff_last_ms)
        ms *= 2;
    if (ms > work->backoff_last_ms)
        ms = work->backoff_last_ms;
    return ms - ms / 10 + random_below(ms / 5 + 1);
}

static void on_done(void *arg, const struct ml_work_output *output)
{
    struct job *job = arg;
    uint64_t after_ms;

    if (output->end == ML_WORK_DONE) {
        tell(job, ML_STORE_DONE, ml_slice_make(NULL, 0), 0, false);
        return;
    }
    if (output->end == ML_WORK_GIVEN_UP || job->job.try > job->work->retries) {
        ml_log(ML_LOG_WARN, "job.dead", "org=%s instance=%s name=%s job=%s tries=%u",
               ML_LOG_TEXT(job->job.org), ML_LOG_TEXT(job->job.instance),
               ML_LOG_TEXT(job->job.name), job->job.id, job->job.try);
        tell(job, ML_STORE_DEAD, output->text, 0, false);
        return;
    }
    after_ms = output->after_ms ? output->after_ms : backoff_ms(job->work, job->job.try);
    tell(job, ML_STORE_RETRY, output->text, ml_clock_wall_ms() + (int64_t)after_ms, false);
}

/* ---- Taking jobs ----------------------------------------------------------------------------- */

static size_t running_of(const struct ml_worker *w, const struct ml_work *work, struct ml_slice org)
{
    size_t count = 0;

    ML_LIST_EACH(node, &w->jobs)
    {
        const struct job *job = ML_CONTAINER(node, struct job, node);

        count += job->is_running && job->work == work && ml_slice_equal(job->job.org, org);
    }
    return count;
}

/* ---- News of orgs ---------------------------------------------------------------------------- */

#define NEWS_MAX 32 /* instances that hear of one org */

/* What a command said of an org (cmd_org.c): a job of nobody, which becomes one for each instance
 * that has the hook. */
struct spread {
    struct job *job;
    struct ml_store_write write;
    struct ml_store_item items[NEWS_MAX];
};

static bool is_news(const struct job *job)
{
    return ml_slice_equal(job->job.org, ML_SLICE("-")) && job->job.name.len > 5 &&
           memcmp(job->job.name.ptr, "@org_", 5) == 0;
}

static void on_spread(struct ml_store_write *write)
{
    struct spread *spread = ML_CONTAINER(write, struct spread, write);
    struct job *job = spread->job;
    struct ml_worker *w = job->worker;
    enum ml_err err = write->err;

    ml_store_write_release(write);
    free(spread);
    w->asked--;
    if (err)
        tell(job, ML_STORE_RETRY, ml_slice_str(ml_err_name(err)),
             ml_clock_wall_ms() + BUSY_AGAIN_MS, true);
    else
        tell(job, ML_STORE_DONE, ml_slice_make(NULL, 0), 0, false);
    end(w);
}

/* A removed org keeps nothing, and so hears nothing: those of `default` do. */
static struct ml_slice who_hears(const struct job *job)
{
    return ml_slice_equal(job->job.name, ML_SLICE("@org_deleted")) ? ML_SLICE("default")
                                                                   : job->job.key;
}

static void spread_news(struct job *job)
{
    struct ml_worker *w = job->worker;
    struct ml_slice org = who_hears(job), instance;
    struct ml_script *script = ml_cells_script(w->options.cells, org, ml_slice_make(NULL, 0));
    struct spread *spread = calloc(1, sizeof *spread);
    char hook[32];

    if (!spread) {
        free_job(job); /* the lease ends */
        return;
    }
    (void)snprintf(hook, sizeof hook, "%.*s", (int)job->job.name.len - 1,
                   (const char *)job->job.name.ptr + 1);
    spread->job = job;
    for (size_t i = 0; script && i < NEWS_MAX; i++) {
        if (!ml_script_later(script, hook, ml_slice_make(NULL, 0), i, &instance))
            break;
        spread->items[spread->write.count++] =
            (struct ml_store_item){.act = ML_STORE_PUSH,
                                   .instance = ml_arena_copy(&job->arena, instance),
                                   .key = job->job.name,
                                   .value = job->job.args};
    }
    if (!spread->write.count) {
        free(spread);
        tell(job, ML_STORE_DONE, ml_slice_make(NULL, 0), 0, false);
        return;
    }
    spread->write.org = org;
    spread->write.space = ML_SLICE("kv");
    spread->write.items = spread->items;
    spread->write.now_ms = ml_clock_wall_ms();
    spread->write.done = on_spread;
    w->asked++;
    ml_store_commit(w->options.journal, &spread->write);
}

/* ---- One job --------------------------------------------------------------------------------- */

static void begin_job(struct job *job)
{
    struct ml_worker *w = job->worker;
    struct ml_script *script =
        is_news(job) ? NULL
                     : ml_cells_script(w->options.cells, job->job.org, ml_slice_make(NULL, 0));
    struct ml_work_input input = {
        .args_json = job->job.args,
        .id = ml_slice_str(job->job.id),
        .try = job->job.try,
        .at_ms = job->job.queued_ms,
    };

    if (is_news(job)) {
        spread_news(job);
        return;
    }
    job->work =
        script ? ml_script_find_work(script, ML_WORK_JOB, job->job.instance, job->job.name) : NULL;
    if (!job->work) {
        tell(job, ML_STORE_RETRY, ML_SLICE("no plugin here does this job"),
             ml_clock_wall_ms() + GONE_AGAIN_MS, true);
        return;
    }
    if (!ml_work_is_up(job->work)) {
        tell(job, ML_STORE_RETRY, job->job.why, ml_clock_wall_ms() + BUSY_AGAIN_MS, true);
        return;
    }
    if (running_of(w, job->work, job->job.org) >= job->work->concurrency) {
        tell(job, ML_STORE_RETRY, job->job.why, ml_clock_wall_ms() + BUSY_AGAIN_MS, true);
        return;
    }
    job->is_running = true;
    (void)ml_script_do(script, job->work, &input, on_done, job);
}

static bool copy(struct ml_arena *arena, struct ml_slice *text)
{
    *text = ml_arena_copy(arena, *text);
    return text->ptr != NULL;
}

static void take_over(struct ml_worker *w, const struct ml_store_job *from)
{
    struct job *job = calloc(1, sizeof *job);

    if (!job)
        return; /* the lease ends */
    job->worker = w;
    ml_arena_init(&job->arena, 2u << 20);
    job->job = *from;
    ml_list_append(&w->jobs, &job->node);
    w->running++;
    if (!copy(&job->arena, &job->job.org) || !copy(&job->arena, &job->job.instance) ||
        !copy(&job->arena, &job->job.name) || !copy(&job->arena, &job->job.key) ||
        !copy(&job->arena, &job->job.args) || !copy(&job->arena, &job->job.why)) {
        free_job(job);
        return;
    }
    begin_job(job);
}

static void on_taken(struct ml_store_write *write)
{
    struct ml_worker *w = ML_CONTAINER(write, struct ml_worker, take);
    bool full = write->job_count == w->take_item.count;

    w->is_taking = false;
    w->asked--;
    for (size_t i = 0; i < write->job_count && !w->is_closed; i++)
        take_over(w, &write->jobs[i]);
    ml_store_write_release(write);
    if (full && write->items[0].act == ML_STORE_TAKE)
        ml_worker_kick(w);
    end(w);
}

static void ask(struct ml_worker *w, struct ml_store_item item)
{
    w->take_item = item;
    w->take = (struct ml_store_write){
        .items = &w->take_item, .count = 1, .now_ms = ml_clock_wall_ms(), .done = on_taken};
    w->is_taking = true;
    w->asked++;
    ml_store_commit(w->options.journal, &w->take);
}

/* Does anybody have jobs (or cron entries)? Orgs without a file of their own have what "default"
 * has; of the others it is not known here. */
static bool has_work(const struct ml_worker *w, enum ml_work_kind kind)
{
    struct ml_script *script =
        ml_cells_script(w->options.cells, ML_SLICE("default"), ml_slice_make(NULL, 0));

    if (w->options.org_count)
        return true;
    for (size_t i = 0; script && i < ml_script_work_count(script); i++)
        if (ml_script_work(script, i)->kind == kind)
            return true;
    return false;
}

/* Where nobody has jobs, news of orgs are taken away now and then. */
static void look_for_jobs(struct ml_worker *w)
{
    size_t room = w->running < RUNNING_MAX ? RUNNING_MAX - w->running : 0;
    bool is_idle_look = w->options.runs_cron && w->turns % NEWS_LOOK == NEWS_LOOK - 1;

    if (w->is_taking || w->is_stopped || !room || (!has_work(w, ML_WORK_JOB) && !is_idle_look))
        return;
    ask(w, (struct ml_store_item){.act = ML_STORE_TAKE,
                                  .count = room < TAKE_MAX ? room : TAKE_MAX,
                                  .ttl_ms = LEASE_MS});
}

/* ---- By the clock ---------------------------------------------------------------------------- */

static const struct ml_work *work_of(const struct cron *cron, struct ml_script **script_out)
{
    *script_out = ml_cells_script(cron->worker->options.cells, ml_slice_str(cron->org),
                                  ml_slice_make(NULL, 0));
    return *script_out ? ml_script_find_work(*script_out, ML_WORK_CRON,
                                             ml_slice_str(cron->instance), ml_slice_str(cron->name))
                       : NULL;
}

static void wait_from(struct cron *cron, int64_t after_ms)
{
    struct ml_script *script;
    const struct ml_work *work = work_of(cron, &script);

    cron->state = CRON_WAITING;
    cron->next_ms = work ? ml_script_cron_next(script, work, after_ms) : 0;
    if (cron->next_ms && work->jitter_ms)
        cron->next_ms += (int64_t)random_below(work->jitter_ms);
}

static void on_ran(void *arg, const struct ml_work_output *output)
{
    struct cron *cron = arg;

    if (output->end != ML_WORK_DONE)
        ml_log(ML_LOG_WARN, "cron.failed", "org=%s instance=%s name=%s", cron->org, cron->instance,
               cron->name);
    wait_from(cron, ml_clock_wall_ms());
}

static void run(struct cron *cron)
{
    struct ml_script *script;
    const struct ml_work *work = work_of(cron, &script);
    struct ml_work_input input = {.at_ms = cron->next_ms};

    cron->state = CRON_RUNNING;
    if (work)
        (void)ml_script_do(script, work, &input, on_ran, cron);
    else
        cron->state = CRON_NEW;
}

static void on_run_taken(struct ml_store_write *write)
{
    struct cron *cron = ML_CONTAINER(write, struct cron, write);
    struct ml_worker *w = cron->worker;

    w->asked--;
    cron->state = CRON_NEW; /* somebody else took it, or it is not known */
    if (!write->err && !w->is_closed) {
        cron->rev = write->rev;
        if (cron->next_ms)
            run(cron);
        else
            wait_from(cron, ml_clock_wall_ms());
    }
    ml_store_write_release(write);
    end(w);
}

/* The time of this run (or of the first look) is noted if nobody has noted another meanwhile. */
static void take_run(struct cron *cron)
{
    struct ml_worker *w = cron->worker;
    int64_t now = ml_clock_wall_ms();
    int len = snprintf(cron->text, sizeof cron->text, "%lld", (long long)now);

    cron->state = CRON_ASKING;
    cron->items[0] = (struct ml_store_item){
        .act = ML_STORE_CHECK, .key = ml_slice_str(cron->name), .rev = cron->rev};
    cron->items[1] = (struct ml_store_item){.act = ML_STORE_SET,
                                            .key = ml_slice_str(cron->name),
                                            .value = ml_slice_make(cron->text, (size_t)len)};
    cron->write = (struct ml_store_write){
        .org = ml_slice_str(cron->org),
        .instance = ml_slice_str(cron->instance),
        .space = ML_SLICE("cron"),
        .items = cron->items,
        .count = 2,
        .now_ms = now,
        .done = on_run_taken,
    };
    w->asked++;
    ml_store_commit(w->options.journal, &cron->write);
}

static int64_t number_of(struct ml_slice text)
{
    char buffer[32];

    (void)snprintf(buffer, sizeof buffer, "%.*s", ML_PRINT(text));
    return (int64_t)strtoll(buffer, NULL, 10);
}

static void on_last_run(struct ml_store_read *read)
{
    struct cron *cron = ML_CONTAINER(read, struct cron, read);
    struct ml_worker *w = cron->worker;
    struct ml_script *script;
    const struct ml_work *work;
    int64_t now = ml_clock_wall_ms(), last = read->count ? number_of(read->pairs[0].value) : 0;

    w->asked--;
    cron->state = CRON_NEW;
    if (!read->err && !w->is_closed) {
        cron->rev = read->count ? read->pairs[0].rev : 0;
        cron->next_ms = 0;
        work = work_of(cron, &script);
        if (!read->count) {
            take_run(cron); /* never seen before: from now on */
        } else {
            wait_from(cron, last);
            if (work && !work->runs_missed && cron->next_ms && cron->next_ms < now - LOOK_MS * 8)
                wait_from(cron, now);
        }
    }
    ml_store_read_release(read);
    end(w);
}

static void look_up(struct cron *cron)
{
    struct ml_worker *w = cron->worker;

    cron->state = CRON_ASKING;
    cron->read = (struct ml_store_read){
        .look = ML_STORE_GET,
        .org = ml_slice_str(cron->org),
        .instance = ml_slice_str(cron->instance),
        .space = ML_SLICE("cron"),
        .key = ml_slice_str(cron->name),
        .limit = 1,
        .now_ms = ml_clock_wall_ms(),
        .done = on_last_run,
    };
    w->asked++;
    ml_store_look(w->options.journal, &cron->read);
}

static void free_cron(struct cron *cron)
{
    ml_list_remove(&cron->node);
    cron->worker->cron_count--;
    free(cron->org);
    free(cron->instance);
    free(cron->name);
    free(cron);
}

static char *text_of(struct ml_slice text)
{
    return strndup((const char *)text.ptr, text.len);
}

static void see(struct ml_worker *w, struct ml_slice org, const struct ml_work *work)
{
    struct cron *cron;

    ML_LIST_EACH(node, &w->crons)
    {
        cron = ML_CONTAINER(node, struct cron, node);
        if (ml_slice_equal(ml_slice_str(cron->org), org) &&
            ml_slice_equal(ml_slice_str(cron->instance), work->instance) &&
            ml_slice_equal(ml_slice_str(cron->name), work->name)) {
            cron->seen = true;
            return;
        }
    }
    cron = w->cron_count < CRON_MAX ? calloc(1, sizeof *cron) : NULL;
    if (!cron)
        return;
    cron->worker = w;
    cron->org = text_of(org);
    cron->instance = text_of(work->instance);
    cron->name = text_of(work->name);
    cron->seen = true;
    ml_list_append(&w->crons, &cron->node);
    w->cron_count++;
    if (!cron->org || !cron->instance || !cron->name)
        free_cron(cron);
}

static void see_org(struct ml_worker *w, struct ml_slice org)
{
    struct ml_script *script = ml_cells_script(w->options.cells, org, ml_slice_make(NULL, 0));

    for (size_t i = 0; script && i < ml_script_work_count(script); i++)
        if (ml_script_work(script, i)->kind == ML_WORK_CRON)
            see(w, org, ml_script_work(script, i));
}

static void turn(struct cron *cron, int64_t now)
{
    struct ml_script *script;
    const struct ml_work *work;

    if (cron->state == CRON_NEW) {
        work = work_of(cron, &script);
        if (work && !work->is_singleton)
            wait_from(cron, now); /* each node for itself */
        else
            look_up(cron);
    } else if (cron->state == CRON_WAITING && cron->next_ms && cron->next_ms <= now) {
        work = work_of(cron, &script);
        if (work && !ml_work_is_up(work))
            return; /* the run is due until somebody can do it */
        if (work && !work->is_singleton)
            run(cron);
        else
            take_run(cron);
    }
}

static void look_at_crons(struct ml_worker *w)
{
    int64_t now = ml_clock_wall_ms();

    ML_LIST_EACH(node, &w->crons)
    ML_CONTAINER(node, struct cron, node)->seen = false;
    see_org(w, ML_SLICE("default"));
    for (size_t i = 0; i < w->options.org_count; i++)
        see_org(w, w->options.orgs[i].name);
    ML_LIST_EACH(node, &w->crons)
    {
        struct cron *cron = ML_CONTAINER(node, struct cron, node);

        if (cron->seen)
            turn(cron, now);
        else if (cron->state == CRON_NEW || cron->state == CRON_WAITING)
            free_cron(cron);
    }
}

/* ---- Life and death -------------------------------------------------------------------------- */

static void on_clock(uv_timer_t *timer)
{
    struct ml_worker *w = timer->data;

    if (w->is_stopped)
        return;
    look_for_jobs(w);
    if (w->options.runs_cron && w->turns++ % CRON_LOOK == 0 && has_work(w, ML_WORK_CRON))
        look_at_crons(w);
}

struct ml_worker *ml_worker_new(const struct ml_worker_options *options)
{
    struct ml_worker *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->options = *options;
    ml_list_init(&w->jobs);
    ml_list_init(&w->crons);
    (void)uv_timer_init(options->loop, &w->clock);
    w->clock.data = w;
    (void)uv_timer_start(&w->clock, on_clock, LOOK_MS, LOOK_MS);
    if (options->ends_leases)
        ask(w, (struct ml_store_item){.act = ML_STORE_FREE});
    return w;
}

void ml_worker_kick(struct ml_worker *w)
{
    if (w && !w->is_stopped && !w->is_closed)
        (void)uv_timer_start(&w->clock, on_clock, 1, LOOK_MS);
}

void ml_worker_stop(struct ml_worker *w)
{
    if (w)
        w->is_stopped = true;
}

static void end(struct ml_worker *w)
{
    if (!w->is_freed || !w->clock_is_closed || w->asked)
        return;
    ML_LIST_EACH(node, &w->crons)
    free_cron(ML_CONTAINER(node, struct cron, node));
    free(w);
}

static void on_clock_closed(uv_handle_t *handle)
{
    struct ml_worker *w = handle->data;

    w->clock_is_closed = true;
    end(w);
}

void ml_worker_close(struct ml_worker *w)
{
    if (!w || w->is_closed)
        return;
    w->is_stopped = w->is_closed = true;
    (void)uv_timer_stop(&w->clock);
    uv_close((uv_handle_t *)&w->clock, on_clock_closed);
}

void ml_worker_free(struct ml_worker *w)
{
    if (!w)
        return;
    w->is_freed = true;
    end(w);
}
