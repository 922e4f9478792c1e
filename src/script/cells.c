/* SPDX-License-Identifier: MIT */
/*
 * One Lua state per org, made when the org is first asked about.
 *
 *          ml_cells_script          load fails (setup, memory)      after 1, 2, 4 … 60 s
 *  (none) ----------------> LIVE    ----------------------> FAILING ------------> LIVE
 *     ^                       |                                |
 *     +---- idle, not held ---+---- idle ----------------------+
 *
 *  [C1] A state belongs to one org, and nothing of it is seen by another.
 *  [C2] States go in the tick only, so a script is good until control is back in the loop.
 *  [C3] An org that no plugin is on for has an entry without a state.
 *  [C4] A failing script has its chains (or a stand-in that fails for every decision that guards
 *       something) and no Lua: its hooks answer by their failure mode.
 */
#include "script/cell.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "script/health.h"
#include "script/lib.h"

#define IDLE_MS        (10u * 60 * 1000)
#define STATES_MAX     1024
#define CPU_SHARE      0.25 /* of a core, per org and loop */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   60000

uint64_t ml_cells_now_ms(const struct ml_cells *cells)
{
    return cells->options.script.mono_ms ? cells->options.script.mono_ms() : ml_clock_mono_ms();
}

void ml_cells_add_stats(struct ml_script_stats *to, const struct ml_script_stats *of)
{
    to->calls += of->calls;
    to->denials += of->denials;
    to->errors += of->errors;
    to->timeouts += of->timeouts;
    to->memory_faults += of->memory_faults;
    to->memory_bytes += of->memory_bytes;
    ml_histogram_merge(&to->hook_took, &of->hook_took);
}

/* ---- Life of one state ---------------------------------------------------------------------- */

static void report(struct ml_cell *cell, const struct ml_diag *diag)
{
    ml_log(ML_LOG_ERROR, "plugins.failing", "org=%s why=%s", ML_LOG_TEXT(cell->org),
           ML_LOG_TEXT(ml_slice_str(diag->text)));
}

/* *script_out NULL: nothing is on for this org. */
enum ml_err ml_cells_make(const struct ml_cells *cells, const struct ml_deploy *deploy,
                          struct ml_slice org, bool is_first, struct ml_diag *diag,
                          struct ml_script **script_out)
{
    struct ml_script_options options = cells->options.script;
    const struct ml_org_deploy *has = ml_deploy_org(deploy, org);
    uint8_t seal_key[32];

    *script_out = NULL;
    if (!has->plugin_count)
        return ML_OK;
    options.org = org;
    options.org_json = has->facts_json;
    options.keeps_text = has->keeps_text;
    options.order_json = has->order_json;
    options.secrets_json = has->secrets_json;
    options.plugins = has->plugins;
    options.plugin_count = has->plugin_count;
    if (has->memory_bytes)
        options.limits.memory_bytes = has->memory_bytes;
    options.limits.cpu = has->cpu > 0 ? has->cpu : CPU_SHARE;
    options.keep_failing = is_first;
    options.has_late_setup = !is_first;
    if (options.seal_key.len) {
        ml_lib_org_key(options.seal_key, org, seal_key);
        options.seal_key = ml_slice_make(seal_key, sizeof(seal_key));
    }
    return ml_script_new(&options, diag, script_out);
}

static struct ml_cell *make_cell(struct ml_cells *cells, struct ml_slice org, struct ml_diag *diag)
{
    struct ml_cell *cell = calloc(1, sizeof *cell + org.len + 1);
    char *copy = cell ? (char *)(cell + 1) : NULL;

    if (!cell)
        return NULL;
    if (org.len)
        memcpy(copy, org.ptr, org.len);
    cell->org = ml_slice_make(copy, org.len);
    if (ml_cells_make(cells, cells->options.deploy, cell->org, true, diag, &cell->script) ||
        !ml_hashmap_put(&cells->by_org, cell->org, cell)) {
        ml_script_free(cell->script);
        free(cell);
        return NULL;
    }
    cell->deploy = ml_deploy_ref(cells->options.deploy);
    if (cell->script && !cell->script->L) {
        report(cell, diag);
        cell->retry_ms = RETRY_FIRST_MS;
        cell->retry_at_ms = ml_cells_now_ms(cells) + RETRY_FIRST_MS;
    }
    pthread_mutex_lock(&cells->lock);
    ml_list_append(&cells->all, &cell->node);
    pthread_mutex_unlock(&cells->lock);
    return cell;
}

void ml_cells_retire(struct ml_cells *cells, struct ml_script *script, struct ml_deploy *deploy,
                     const char *why)
{
    struct ml_script_stats stats;

    if (script) {
        ml_script_teardown(script, why);
        ml_script_stats(script, &stats);
        stats.memory_bytes = 0;
        ml_cells_add_stats(&cells->gone, &stats);
        ml_script_free(script);
    }
    ml_deploy_unref(deploy);
}

static void drop_cell(struct ml_cells *cells, struct ml_cell *cell)
{
    cells->epoch++;
    cells->beat++;
    pthread_mutex_lock(&cells->lock);
    (void)ml_hashmap_remove(&cells->by_org, cell->org);
    ml_list_remove(&cell->node);
    pthread_mutex_unlock(&cells->lock);
    ml_script_free(cell->next);
    ml_cells_retire(cells, cell->old, cell->old_deploy, "shutdown");
    ml_cells_retire(cells, cell->script, cell->deploy, "shutdown");
    free(cell);
}

/* A state that could not be made, or that was lost with its memory. */
static void try_again(struct ml_cells *cells, struct ml_cell *cell)
{
    struct ml_diag diag = {0};

    if (!cell->retry_at_ms) {
        cell->retry_ms = RETRY_FIRST_MS;
        cell->retry_at_ms = cells->now_ms + RETRY_FIRST_MS;
        return;
    }
    if (cells->now_ms < cell->retry_at_ms)
        return;
    if (ml_state_load(cell->script, &diag)) {
        report(cell, &diag);
        cell->retry_ms = cell->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : cell->retry_ms * 2;
        cell->retry_at_ms = cells->now_ms + cell->retry_ms;
        return;
    }
    cell->retry_at_ms = 0;
    cells->beat++;
    ml_log(ML_LOG_INFO, "plugins.recovered", "org=%s", ML_LOG_TEXT(cell->org));
}

/* ---- Public --------------------------------------------------------------------------------- */

/* Fails for every decision that guards something. */
static enum ml_err make_stand_in(const struct ml_cells *cells, struct ml_diag *diag,
                                 struct ml_script **script_out)
{
    const struct ml_script_plugin nobody = {.name = ML_SLICE("moonloom")};
    struct ml_script_options options = cells->options.script;

    options.ledger = NULL;
    options.plugins = &nobody;
    options.plugin_count = 1;
    options.keep_failing = true; /* there is no such plugin */
    return ml_script_new(&options, diag, script_out);
}

/* A port that never answers. */
static enum ml_err begin_nothing(void *arg, struct ml_script *script, uint64_t ticket,
                                 const struct ml_script_op *op)
{
    (void)arg;
    (void)script;
    (void)ticket;
    (void)op;
    return ML_OK;
}

static void cancel_nothing(void *arg, struct ml_script *script, uint64_t ticket)
{
    (void)arg;
    (void)script;
    (void)ticket;
}

enum ml_err ml_cells_new(const struct ml_cells_options *options, struct ml_diag *diag,
                         struct ml_cells **cells_out)
{
    struct ml_cells *cells = calloc(1, sizeof *cells);
    static const struct ml_script_port nobody = {.begin = begin_nothing, .cancel = cancel_nothing};
    struct ml_script *probe = NULL;
    struct ml_diag ignored = {0};
    enum ml_err err;

    if (!cells)
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    cells->ledger = ml_ledger_new();
    if (!cells->ledger) {
        free(cells);
        return ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    }
    cells->options = *options;
    cells->options.script.ledger = cells->ledger;
    ml_deploy_ref(cells->options.deploy);
    if (!cells->options.idle_ms)
        cells->options.idle_ms = IDLE_MS;
    if (!cells->options.states)
        cells->options.states = STATES_MAX;
    ml_hashmap_init(&cells->by_org);
    ml_list_init(&cells->all);
    ml_list_init(&cells->draining);
    (void)pthread_mutex_init(&cells->lock, NULL);
    cells->now_ms = ml_cells_now_ms(cells);
    cells->epoch = 1;
    /* What cannot run for anybody is said now, and not when the first person comes; of what waits
     * in its setup, as far as it gets without an answer. */
    cells->options.script.port = nobody;
    err = ml_cells_make(cells, cells->options.deploy, ML_SLICE("default"), false, diag, &probe);
    cells->options.script.port = options->script.port;
    if (!err && probe)
        err = ml_script_setup(probe, diag);
    if (err == ML_EBUSY)
        err = ML_OK;
    ml_script_free(probe);
    if (!err)
        err = make_stand_in(cells, &ignored, &cells->failing);
    if (err) {
        ml_cells_free(cells);
        return err;
    }
    *cells_out = cells;
    return ML_OK;
}

void ml_cells_free(struct ml_cells *cells)
{
    if (!cells)
        return;
    ML_LIST_EACH(node, &cells->all)
    {
        drop_cell(cells, ML_CONTAINER(node, struct ml_cell, node));
    }
    ml_cells_drain(cells, true);
    ml_hashmap_release(&cells->by_org);
    (void)pthread_mutex_destroy(&cells->lock);
    ml_script_free(cells->failing);
    ml_ledger_free(cells->ledger);
    ml_deploy_unref(cells->options.deploy);
    free(cells);
}

static void touch(struct ml_cells *cells, struct ml_cell *cell)
{
    if (cell->used_ms == cells->now_ms)
        return;
    cell->used_ms = cells->now_ms;
    pthread_mutex_lock(&cells->lock);
    ml_list_remove(&cell->node);
    ml_list_append(&cells->all, &cell->node);
    pthread_mutex_unlock(&cells->lock);
}

struct ml_script *ml_cells_at(struct ml_cells *cells, struct ml_cell_place *place,
                              struct ml_slice org, struct ml_slice document)
{
    struct ml_cell *cell = place->cell;
    struct ml_diag diag = {0};

    if (place->epoch != cells->epoch) {
        cell = ml_hashmap_get(&cells->by_org, org);
        if (!cell)
            cell = make_cell(cells, org, &diag);
        if (!cell) {
            *place = (struct ml_cell_place){.hooks = cells->failing->hooks};
            return cells->failing;
        }
        *place = (struct ml_cell_place){.epoch = cells->epoch, .cell = cell};
        if (cell->script)
            place->plan = ml_plan_for(cell->script, document);
    }
    touch(cells, cell);
    if (cell->script) {
        if (place->plan == &cell->script->spare_plan) /* shared by many documents */
            place->plan = ml_plan_for(cell->script, document);
        ml_plan_use(cell->script, place->plan);
    }
    place->hooks = cell->script ? cell->script->hooks : 0;
    place->beat = &cells->beat;
    place->at_beat = cells->beat;
    return cell->script;
}

struct ml_script *ml_cells_script(struct ml_cells *cells, struct ml_slice org,
                                  struct ml_slice document)
{
    struct ml_cell_place place = {0};

    return ml_cells_at(cells, &place, org, document);
}

uint64_t ml_cells_hooks(const struct ml_cells *cells)
{
    return ml_deploy_hooks(cells->options.deploy);
}

void ml_cells_tick(struct ml_cells *cells)
{
    size_t above;

    cells->now_ms = ml_cells_now_ms(cells);
    cells->beat++;
    above = cells->by_org.count > cells->options.states
                ? cells->by_org.count - cells->options.states
                : 0;
    ML_LIST_EACH(node, &cells->all)
    {
        struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);
        bool is_idle = cells->now_ms - cell->used_ms >= cells->options.idle_ms;

        if ((is_idle || above) && !cell->has_next && !cell->is_swapped &&
            !(cell->script && cell->script->held)) {
            above -= above > 0;
            drop_cell(cells, cell);
            continue;
        }
        if (cell->script && !cell->script->L) {
            try_again(cells, cell);
        } else if (cell->script) {
            ml_script_tick(cell->script);
            ml_health_tick(cell->script);
        }
        if (cell->next) /* its setup may wait */
            ml_script_tick(cell->next);
        if (cell->old)
            ml_script_tick(cell->old);
    }
    ml_cells_drain(cells, false);
}

void ml_cells_tell_cluster(struct ml_cells *cells, const struct ml_cluster_event *event)
{
    ML_LIST_EACH(node, &cells->all)
    {
        struct ml_script *script = ML_CONTAINER(node, struct ml_cell, node)->script;

        if (script && ml_script_hooks(script) & ML_HOOK_CLUSTER_EVENT)
            ml_script_tell_cluster(script, event);
    }
}

void ml_cells_stats(const struct ml_cells *cells, struct ml_script_stats *out)
{
    *out = cells->gone;
    ML_LIST_EACH(node, &cells->all)
    {
        const struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);
        struct ml_script_stats one;

        if (!cell->script)
            continue;
        ml_script_stats(cell->script, &one);
        ml_cells_add_stats(out, &one);
    }
}

void ml_script_hold(struct ml_script *script)
{
    script->held++;
}

void ml_script_let_go(struct ml_script *script)
{
    script->held--;
}
