/* SPDX-License-Identifier: MIT */
/*
 * From one deployment to the next without anybody noticing.
 *
 *   cell     script   next   old
 *            7        -      -       before
 *            7        8      -       offered, then prepared: setup ran beside the old one
 *            8        -      7       swapped; swap_back returns to the line above, without 8
 *            8        -      -       settled; 7 is among `draining` until its calls are over
 *
 *  [S1] Between two events, so a hook that does not wait runs in one of them from end to end; a
 * call that waits holds the script it began in. [S2] What is handed over is a copy: the old one can
 * go on with its own. [S3] An org that has the same in both keeps its state, and with it everything
 * in memory.
 */
#include "script/cell.h"

#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "script/health.h"
#include "script/recorder.h"

#define DRAIN_MS 30000

/* A script of an earlier deployment that still has calls. */
struct draining {
    struct ml_list node;
    struct ml_script *script;
    struct ml_deploy *deploy;
    uint64_t until_ms;
};

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void ml_cells_each_org(struct ml_cells *cells, void (*fn)(void *arg, struct ml_slice org),
                       void *arg)
{
    pthread_mutex_lock(&cells->lock);
    ML_LIST_EACH(node, &cells->all)
    {
        fn(arg, ML_CONTAINER(node, struct ml_cell, node)->org);
    }
    pthread_mutex_unlock(&cells->lock);
}

enum ml_err ml_cells_build(const struct ml_cells *cells, const struct ml_deploy *deploy,
                           struct ml_slice org, struct ml_diag *diag, struct ml_script **script_out)
{
    return ml_cells_make(cells, deploy, org, false, diag, script_out);
}

void ml_cells_offer(struct ml_cells *cells, struct ml_slice org, struct ml_script *script)
{
    struct ml_cell *cell = ml_hashmap_get(&cells->by_org, org);

    if (!cell || cell->has_next) { /* it has gone meanwhile */
        ml_script_free(script);
        return;
    }
    cell->next = script;
    cell->has_next = true;
}

void ml_cells_withdraw(struct ml_cells *cells)
{
    ML_LIST_EACH(node, &cells->all)
    {
        struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);

        if (cell->next)
            ml_script_teardown(cell->next, "reload");
        ml_script_free(cell->next);
        cell->next = NULL;
        cell->has_next = false;
    }
}

static enum ml_err prepare_cell(struct ml_cells *cells, struct ml_cell *cell,
                                struct ml_deploy *deploy, bool force, struct ml_diag *diag)
{
    struct ml_diag why = {0};
    enum ml_err err = ML_OK;

    if (!cell->has_next && !ml_deploy_differs(cell->deploy, deploy, cell->org))
        return ML_OK;
    if (!cell->has_next)
        err = ml_cells_make(cells, deploy, cell->org, false, &why, &cell->next);
    cell->has_next = !err;
    if (!err && cell->next)
        err = ml_script_setup(cell->next, &why);
    if (!err && cell->next && !force)
        err = ml_health_first(cell->next, &why);
    if (!err || err == ML_EBUSY)
        return err;
    return ml_diag_set(diag, err, 0, "org %.*s: %s", ML_PRINT(cell->org), why.text);
}

enum ml_err ml_cells_prepare(struct ml_cells *cells, struct ml_deploy *deploy, bool force,
                             struct ml_diag *diag)
{
    bool any_waits = false;

    ML_LIST_EACH(node, &cells->all)
    {
        enum ml_err err =
            prepare_cell(cells, ML_CONTAINER(node, struct ml_cell, node), deploy, force, diag);

        if (err && err != ML_EBUSY)
            return err;
        any_waits |= err == ML_EBUSY;
    }
    return any_waits ? ML_EBUSY : ML_OK;
}

/* ---- The swap ------------------------------------------------------------------------------- */

static void take_next(struct ml_cell *cell, struct ml_deploy *deploy)
{
    ml_flight_move(cell->script, cell->next);
    cell->old = cell->script;
    cell->old_deploy = cell->deploy;
    cell->script = cell->next;
    cell->deploy = ml_deploy_ref(deploy);
    cell->next = NULL;
    cell->has_next = false;
    cell->is_swapped = true;
    cell->retry_at_ms = 0;
}

static void take_old(struct ml_cell *cell)
{
    if (cell->script)
        ml_script_teardown(cell->script, "reload");
    ml_flight_move(cell->script, cell->old);
    ml_script_free(cell->script);
    ml_deploy_unref(cell->deploy);
    cell->script = cell->old;
    cell->deploy = cell->old_deploy;
    cell->old = NULL;
    cell->old_deploy = NULL;
    cell->is_swapped = false;
}

void ml_cells_swap_back(struct ml_cells *cells)
{
    struct ml_deploy *deploy = NULL;

    ML_LIST_EACH(node, &cells->all)
    {
        struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);

        if (cell->is_swapped)
            take_old(cell);
    }
    deploy = cells->before;
    cells->before = NULL;
    if (deploy) {
        ml_deploy_unref(cells->options.deploy);
        cells->options.deploy = deploy;
    }
    cells->epoch++;
    cells->beat++;
}

/* Nobody waits for the setup of one whose org came first after `prepare`. */
static enum ml_err swap_cell(struct ml_cells *cells, struct ml_cell *cell, struct ml_deploy *deploy,
                             bool force, struct ml_diag *diag, struct ml_cells_swap *swap)
{
    struct ml_diag why = {0};
    enum ml_err err = ML_OK;

    if (!cell->has_next && !ml_deploy_differs(cell->deploy, deploy, cell->org))
        return ML_OK;
    if (!cell->has_next)
        err = ml_cells_make(cells, deploy, cell->org, true, &why, &cell->next);
    cell->has_next = !err;
    if (!err && cell->script && cell->next)
        err = ml_script_hand_over(cell->script, cell->next, force, &why, &swap->bytes);
    if (err)
        return ml_diag_set(diag, err, 0, "org %.*s: %s", ML_PRINT(cell->org), why.text);
    take_next(cell, deploy);
    swap->states++;
    return ML_OK;
}

enum ml_err ml_cells_swap(struct ml_cells *cells, struct ml_deploy *deploy, bool force,
                          struct ml_diag *diag, struct ml_cells_swap *swap_out)
{
    uint64_t began_us = now_us();
    enum ml_err err = ML_OK;

    *swap_out = (struct ml_cells_swap){0};
    ML_LIST_EACH(node, &cells->all)
    {
        if (!err)
            err = swap_cell(cells, ML_CONTAINER(node, struct ml_cell, node), deploy, force, diag,
                            swap_out);
    }
    cells->before = cells->options.deploy;
    cells->options.deploy = ml_deploy_ref(deploy);
    cells->epoch++;
    cells->beat++;
    swap_out->took_us = now_us() - began_us;
    if (err) {
        ml_cells_swap_back(cells);
        ml_cells_withdraw(cells);
    }
    return err;
}

/* ---- Afterwards ----------------------------------------------------------------------------- */

static void drain_later(struct ml_cells *cells, struct ml_cell *cell)
{
    struct draining *d = calloc(1, sizeof *d);

    if (!d) {
        ml_cells_retire(cells, cell->old, cell->old_deploy, "reload");
    } else {
        d->script = cell->old;
        d->deploy = cell->old_deploy;
        d->until_ms = cells->now_ms + DRAIN_MS;
        ml_list_append(&cells->draining, &d->node);
    }
    cell->old = NULL;
    cell->old_deploy = NULL;
}

void ml_cells_settle(struct ml_cells *cells)
{
    ML_LIST_EACH(node, &cells->all)
    {
        struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);

        if (cell->is_swapped) {
            cell->is_swapped = false;
            if (cell->old)
                drain_later(cells, cell);
            else
                ml_deploy_unref(cell->old_deploy);
            cell->old_deploy = NULL;
        }
    }
    ml_deploy_unref(cells->before);
    cells->before = NULL;
}

void ml_cells_drain(struct ml_cells *cells, bool now)
{
    ML_LIST_EACH(node, &cells->draining)
    {
        struct draining *d = ML_CONTAINER(node, struct draining, node);

        ml_script_tick(d->script);
        if (!now && ml_script_parked(d->script) && cells->now_ms < d->until_ms)
            continue;
        ml_list_remove(&d->node);
        ml_cells_retire(cells, d->script, d->deploy, "reload");
        free(d);
    }
}

size_t ml_cells_draining(const struct ml_cells *cells)
{
    size_t calls = 0;

    ML_LIST_EACH(node, &cells->draining)
    {
        calls += ml_script_parked(ML_CONTAINER(node, struct draining, node)->script);
    }
    return calls;
}
