/* SPDX-License-Identifier: MIT */
/*
 *   resting ── its time ──> (shared: take the pass) ──> orgs ──> instances ──> pages of cursors
 *      ^                                                                            |
 *      |                                              head beyond the cursor: a suspect
 *      └──── the last page was read and no suspect is left <── told, or given up ───┘
 *
 * The cursors are the list of what may be owed: a page of them is read, then the heads of these
 * documents in one question. One question at a time, STEP_MS apart.
 *
 *  [W1] Where nodes share the store, a document that is behind may be in somebody's hands: it is
 *       looked at again after DOUBT_MS and left alone if its cursor has moved.
 *  [W2] The document's own room tells (room/observe.c), so nobody is told at the same time by two
 *       of this process. At most AT_ONCE rooms are asked for; they close as rooms do.
 *  [W3] What could not be told now is found again by the next pass.
 */
#include "server/sweep.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS      50
#define REST_MS      600000 /* and ten times what a pass took, if that is more */
#define REST_PASSES  10
#define FRESH_MS     30000 /* at the start: another node has just begun a pass */
#define DOUBT_MS     20000
#define ERROR_MS     2000 /* the store did not answer */
#define PAGE         200u
#define SUSPECTS_MAX 1000u
#define AT_ONCE      4u
#define ORG_MAX      64u
#define NAME_MAX_LEN 512u
#define INSTANCE_MAX 96u

struct suspect {
    struct ml_list node; /* waiting, or asked */
    struct ml_sweep *sweep;
    uint64_t cursor, look_at_ms;
    struct ml_store_read read;
    char org[ORG_MAX + 1], name[NAME_MAX_LEN + 1], instance[INSTANCE_MAX];
};

enum phase { RESTING, ORGS, CURSORS, LAST };

struct ml_sweep {
    struct ml_sweep_options options;
    uv_timer_t clock;
    enum phase phase;
    uint64_t next_ms, began_ms, pause_ms;
    bool is_asking, is_stopped, is_closed, is_freed, clock_is_closed;
    size_t asked; /* of the store, not answered */
    /* where the pass is */
    size_t org_no; /* 0: "default"; then those of the configuration; then those of the store */
    char org[ORG_MAX + 1];
    size_t observer;
    char instance[INSTANCE_MAX];
    uint8_t after[NAME_MAX_LEN]; /* the last key of the page before */
    size_t after_len;
    struct ml_list waiting, out;
    size_t suspect_count, out_count, told, failed;
    /* questions, one at a time */
    struct ml_store_read read;
    struct ml_heads heads;
    struct ml_doc_head items[PAGE];
    struct ml_store_write write;
    struct ml_store_item write_items[2];
    char text[24];
};

static void end(struct ml_sweep *w)
{
    struct ml_list *node;

    if (!w->is_freed || !w->clock_is_closed || w->asked)
        return;
    while ((node = ml_list_take_first(&w->waiting)) != NULL)
        free(ML_CONTAINER(node, struct suspect, node));
    while ((node = ml_list_take_first(&w->out)) != NULL)
        free(ML_CONTAINER(node, struct suspect, node));
    free(w);
}

/* A question was answered. False: nothing is done with it any more. */
static bool answered(struct ml_sweep *w, enum ml_err err)
{
    if (err && err != ML_ECONFLICT)
        w->pause_ms = ml_clock_mono_ms() + ERROR_MS;
    w->asked--;
    w->is_asking = false;
    return !w->is_stopped;
}

static uint64_t number_of(struct ml_slice text)
{
    char buffer[24];

    (void)snprintf(buffer, sizeof buffer, "%.*s", ML_PRINT(text));
    return strtoull(buffer, NULL, 10);
}

static void look(struct ml_sweep *w, struct ml_store_read read)
{
    w->is_asking = true;
    w->asked++;
    w->read = read;
    w->read.now_ms = ml_clock_wall_ms();
    ml_store_look(w->options.journal, &w->read);
}

/* ---- Suspects -------------------------------------------------------------------------------- */

static void free_suspect(struct suspect *s)
{
    ml_list_remove(&s->node);
    s->sweep->suspect_count--;
    free(s);
}

static void suspect_it(struct ml_sweep *w, struct ml_slice name, uint64_t cursor)
{
    struct suspect *s = name.len <= NAME_MAX_LEN ? calloc(1, sizeof *s) : NULL;

    if (!s)
        return; /* the next pass */
    s->sweep = w;
    s->cursor = cursor;
    s->look_at_ms = ml_clock_mono_ms() + (w->options.is_shared ? DOUBT_MS : 0);
    memcpy(s->org, w->org, sizeof s->org);
    memcpy(s->instance, w->instance, sizeof s->instance);
    memcpy(s->name, name.ptr, name.len);
    ml_list_append(&w->waiting, &s->node);
    w->suspect_count++;
}

static void on_caught_up(void *arg, const struct ml_errand_result *result)
{
    struct suspect *s = arg;
    struct ml_sweep *w = s->sweep;

    w->out_count--;
    if (result->err)
        w->failed++;
    else
        w->told++;
    free_suspect(s);
}

static void catch_up(struct suspect *s)
{
    struct ml_sweep *w = s->sweep;
    const struct ml_errand errand = {
        .kind = ML_ERRAND_CATCH_UP,
        .org = ml_slice_str(s->org),
        .name = ml_slice_str(s->name),
        .done = on_caught_up,
        .arg = s,
    };

    if (ml_rooms_errand(w->options.rooms, &errand)) {
        w->failed++;
        free_suspect(s);
        return;
    }
    ml_list_remove(&s->node);
    ml_list_append(&w->out, &s->node);
    w->out_count++;
}

static void on_looked_again(struct ml_store_read *read)
{
    struct suspect *s = ML_CONTAINER(read, struct suspect, read);
    struct ml_sweep *w = s->sweep;
    bool is_still = !read->err && read->count > 0 && number_of(read->pairs[0].value) == s->cursor;

    ml_store_read_release(read);
    if (answered(w, ML_OK)) {
        if (is_still)
            catch_up(s);
        else
            free_suspect(s); /* [W1] */
    }
    end(w);
}

/* The first that waits, if its time has come. */
static bool look_at_suspects(struct ml_sweep *w)
{
    struct suspect *s;

    if (ml_list_is_empty(&w->waiting) || w->out_count >= AT_ONCE)
        return false;
    s = ML_CONTAINER(w->waiting.next, struct suspect, node);
    if (ml_clock_mono_ms() < s->look_at_ms)
        return false;
    w->is_asking = true;
    w->asked++;
    s->read = (struct ml_store_read){
        .look = ML_STORE_GET,
        .org = ml_slice_str(s->org),
        .instance = ml_slice_str(s->instance),
        .space = ML_SLICE(ML_OBSERVER_SPACE),
        .key = ml_slice_str(s->name),
        .limit = 1,
        .now_ms = ml_clock_wall_ms(),
        .done = on_looked_again,
    };
    ml_store_look(w->options.journal, &s->read);
    return true;
}

/* ---- Pages of cursors ------------------------------------------------------------------------ */

static struct ml_script *script_of(struct ml_sweep *w)
{
    return ml_cells_script(w->options.cells, ml_slice_str(w->org), ml_slice_make(NULL, 0));
}

static void next_instance(struct ml_sweep *w)
{
    w->observer++;
    w->after_len = 0;
}

static bool applies(struct ml_sweep *w, struct ml_slice name)
{
    struct ml_script *script = script_of(w);
    struct ml_observing how;

    return script && w->observer < ml_script_observers(script) &&
           ml_script_observer(script, w->observer, name, &how);
}

static void on_heads(struct ml_heads *heads)
{
    struct ml_sweep *w = ML_CONTAINER(heads, struct ml_sweep, heads);
    struct ml_store_pair *pairs = w->read.pairs;
    bool more = w->read.more;
    size_t last = heads->count - 1;

    if (answered(w, heads->err) && !heads->err) {
        for (size_t i = 0; i < heads->count; i++) {
            const struct ml_doc_head *item = &heads->items[i];

            if (item->exists && !item->is_deleted && !item->is_shut &&
                item->head > number_of(pairs[i].value) && applies(w, item->name))
                suspect_it(w, item->name, number_of(pairs[i].value));
        }
        w->after_len =
            pairs[last].key.len < sizeof w->after ? pairs[last].key.len : sizeof w->after;
        memcpy(w->after, pairs[last].key.ptr, w->after_len);
        if (!more)
            next_instance(w);
    }
    ml_store_read_release(&w->read);
    end(w);
}

static void on_cursors(struct ml_store_read *read)
{
    struct ml_sweep *w = ML_CONTAINER(read, struct ml_sweep, read);

    if (!answered(w, read->err) || read->err || !read->count) {
        if (!read->err && !read->count)
            next_instance(w);
        ml_store_read_release(read);
        end(w);
        return;
    }
    for (size_t i = 0; i < read->count; i++)
        w->items[i] = (struct ml_doc_head){.org = ml_slice_str(w->org), .name = read->pairs[i].key};
    w->heads = (struct ml_heads){.items = w->items, .count = read->count, .done = on_heads};
    w->is_asking = true;
    w->asked++;
    ml_journal_heads(w->options.journal, &w->heads);
}

/* A page of the instance that is looked at; behind the last one, the next org. */
static void look_at_cursors(struct ml_sweep *w)
{
    struct ml_script *script = script_of(w);
    struct ml_observing how = {.durable = false};

    while (script && w->observer < ml_script_observers(script)) {
        (void)ml_script_observer(script, w->observer, ml_slice_make(NULL, 0), &how);
        if (how.durable)
            break;
        next_instance(w);
    }
    if (!script || w->observer >= ml_script_observers(script)) {
        w->phase = ORGS;
        return;
    }
    if (w->suspect_count + PAGE > SUSPECTS_MAX)
        return;
    (void)snprintf(w->instance, sizeof w->instance, "%.*s", ML_PRINT(how.instance));
    look(w, (struct ml_store_read){
                .look = ML_STORE_SCAN,
                .org = ml_slice_str(w->org),
                .instance = ml_slice_str(w->instance),
                .space = ML_SLICE(ML_OBSERVER_SPACE),
                .key = ml_slice_make("", 0),
                .after = ml_slice_make(w->after, w->after_len),
                .limit = PAGE,
                .done = on_cursors,
            });
}

/* ---- Orgs ------------------------------------------------------------------------------------ */

static void enter(struct ml_sweep *w, struct ml_slice org)
{
    (void)snprintf(w->org, sizeof w->org, "%.*s", ML_PRINT(org));
    w->observer = 0;
    w->after_len = 0;
    w->phase = CURSORS;
}

static bool is_seen(const struct ml_sweep *w, struct ml_slice org)
{
    for (size_t i = 0; i < w->options.org_count; i++)
        if (ml_slice_equal(w->options.orgs[i].name, org))
            return true;
    return ml_slice_equal(org, ML_SLICE("default"));
}

static void on_org(struct ml_store_read *read)
{
    struct ml_sweep *w = ML_CONTAINER(read, struct ml_sweep, read);

    if (answered(w, read->err) && !read->err) {
        if (!read->count) {
            w->phase = LAST;
        } else {
            enter(w, read->pairs[0].key);
            if (is_seen(w, read->pairs[0].key))
                w->phase = ORGS;
        }
    }
    ml_store_read_release(read);
    end(w);
}

static void look_at_orgs(struct ml_sweep *w)
{
    size_t known = w->options.org_count;
    bool is_first = w->org_no == known + 1;

    if (w->org_no <= known) {
        enter(w, w->org_no ? w->options.orgs[w->org_no - 1].name : ML_SLICE("default"));
        w->org_no++;
        return;
    }
    w->org_no = known + 2;
    if (is_first)
        w->org[0] = 0;
    look(w, (struct ml_store_read){
                .look = ML_STORE_SCAN,
                .org = ML_SLICE("default"),
                .instance = ML_SLICE(ML_OBSERVER_ORGS),
                .space = ML_SLICE(ML_OBSERVER_SPACE),
                .key = ml_slice_make("", 0),
                .after = ml_slice_str(w->org),
                .limit = 1,
                .done = on_org,
            });
}

/* ---- A pass ---------------------------------------------------------------------------------- */

static void begin(struct ml_sweep *w)
{
    w->phase = ORGS;
    w->began_ms = ml_clock_mono_ms();
    w->org_no = 0;
    w->told = w->failed = 0;
}

static void rest(struct ml_sweep *w)
{
    uint64_t now = ml_clock_mono_ms(), took = now - w->began_ms;

    if (w->told || w->failed)
        ml_log(ML_LOG_INFO, "observers.caught_up", "documents=%zu failed=%zu ms=%llu", w->told,
               w->failed, (unsigned long long)took);
    w->phase = RESTING;
    w->next_ms = now + (took * REST_PASSES > REST_MS ? took * REST_PASSES : REST_MS);
}

static void on_taken(struct ml_store_write *write)
{
    struct ml_sweep *w = ML_CONTAINER(write, struct ml_sweep, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    if (answered(w, err)) {
        w->next_ms = ml_clock_mono_ms() + FRESH_MS;
        if (!err)
            begin(w);
    }
    end(w);
}

static void take(struct ml_sweep *w, uint64_t rev)
{
    (void)snprintf(w->text, sizeof w->text, "%lld", (long long)ml_clock_wall_ms());
    w->write_items[0] =
        (struct ml_store_item){.act = ML_STORE_CHECK, .key = ML_SLICE("pass"), .rev = rev};
    w->write_items[1] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ML_SLICE("pass"), .value = ml_slice_str(w->text)};
    w->write = (struct ml_store_write){
        .org = ML_SLICE("default"),
        .instance = ML_SLICE(ML_OBSERVER_ORGS),
        .space = ML_SLICE("cron"),
        .items = w->write_items,
        .count = 2,
        .now_ms = ml_clock_wall_ms(),
        .done = on_taken,
    };
    w->is_asking = true;
    w->asked++;
    ml_store_commit(w->options.journal, &w->write);
}

/* When did the last pass of any node begin? A node that starts does not wait for long. */
static void on_last_pass(struct ml_store_read *read)
{
    struct ml_sweep *w = ML_CONTAINER(read, struct ml_sweep, read);
    uint64_t rev = read->count ? read->pairs[0].rev : 0;
    int64_t ago =
        read->count ? ml_clock_wall_ms() - (int64_t)number_of(read->pairs[0].value) : INT64_MAX;
    int64_t least = w->began_ms ? REST_MS / 2 : FRESH_MS;
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (answered(w, err)) {
        w->next_ms = ml_clock_mono_ms() + FRESH_MS;
        if (!err && (ago < 0 || ago >= least))
            take(w, rev);
    }
    end(w);
}

static void ask_for_pass(struct ml_sweep *w)
{
    if (!w->options.is_shared) {
        begin(w);
        return;
    }
    look(w, (struct ml_store_read){
                .look = ML_STORE_GET,
                .org = ML_SLICE("default"),
                .instance = ML_SLICE(ML_OBSERVER_ORGS),
                .space = ML_SLICE("cron"),
                .key = ML_SLICE("pass"),
                .limit = 1,
                .done = on_last_pass,
            });
}

static void on_clock(uv_timer_t *timer)
{
    struct ml_sweep *w = timer->data;

    if (w->is_stopped || w->is_asking || ml_clock_mono_ms() < w->pause_ms || look_at_suspects(w))
        return;
    switch (w->phase) {
    case RESTING:
        if (ml_clock_mono_ms() >= w->next_ms)
            ask_for_pass(w);
        break;
    case ORGS:
        look_at_orgs(w);
        break;
    case CURSORS:
        look_at_cursors(w);
        break;
    case LAST:
        if (!w->suspect_count)
            rest(w);
        break;
    }
}

/* ---- Life and death -------------------------------------------------------------------------- */

struct ml_sweep *ml_sweep_new(const struct ml_sweep_options *options)
{
    struct ml_sweep *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->options = *options;
    ml_list_init(&w->waiting);
    ml_list_init(&w->out);
    (void)uv_timer_init(options->loop, &w->clock);
    w->clock.data = w;
    (void)uv_timer_start(&w->clock, on_clock, STEP_MS, STEP_MS);
    return w;
}

void ml_sweep_stop(struct ml_sweep *w)
{
    if (w)
        w->is_stopped = true;
}

static void on_clock_closed(uv_handle_t *handle)
{
    struct ml_sweep *w = handle->data;

    w->clock_is_closed = true;
    end(w);
}

void ml_sweep_close(struct ml_sweep *w)
{
    if (!w || w->is_closed)
        return;
    w->is_stopped = w->is_closed = true;
    (void)uv_timer_stop(&w->clock);
    uv_close((uv_handle_t *)&w->clock, on_clock_closed);
}

void ml_sweep_free(struct ml_sweep *w)
{
    if (!w)
        return;
    w->is_freed = true;
    end(w);
}
