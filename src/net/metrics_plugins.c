/* SPDX-License-Identifier: MIT */
/*
 * /metrics of plugins: what became of calls, by instance and hook (plugin-api 16). Labels are names
 * of the operator's own files and of hooks, ML_LEDGER_ROWS_MAX of them on a loop and PAGE_ROWS_MAX
 * on the page; what is above counts as "other". No org, document or person is named.
 *
 * A loop leaves a copy of its rows with what the loops share. Who is asked puts all of them into
 * one list, sorts it and adds up what is equal.
 */
#include "net/metrics.h"

#include "base/assert.h"
#include "net/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS_MAX 1024 /* of some 1,300 bytes */

static const char *const outcomes[ML_HOOK_OUTCOMES] = {"ok",      "deny",   "error",
                                                       "timeout", "memory", "open"};

/* ---- copies ---------------------------------------------------------------------------------- */

static void copy_rows(struct ml_plugin_figures *to, const struct ml_ledger *ledger)
{
    size_t count = ml_ledger_count(ledger);

    if (count > to->count) { /* it never falls */
        struct ml_hook_row *rows = realloc(to->rows, count * sizeof *rows);

        if (!rows)
            return;
        to->rows = rows;
        to->count = count;
    }
    for (size_t i = 0; i < count; i++)
        to->rows[i] = *ml_ledger_at(ledger, i);
}

void ml_metrics_publish_plugins(struct ml_net *net)
{
    const struct ml_ledger *ledger = net->env.cells ? ml_cells_ledger(net->env.cells) : NULL;

    if (!ledger || !ml_ledger_count(ledger))
        return;
    ML_ASSERT(pthread_mutex_lock(&net->shared->mutex) == 0);
    copy_rows(&net->shared->plugins[net->env.loop_number], ledger);
    ML_ASSERT(pthread_mutex_unlock(&net->shared->mutex) == 0);
}

/* ---- the sum --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct ml_hook_row *left = a, *right = b;
    int order = strcmp(left->plugin, right->plugin);

    return order ? order : strcmp(left->hook, right->hook);
}

static void add(struct ml_hook_row *into, const struct ml_hook_row *row)
{
    for (size_t i = 0; i < ML_HOOK_OUTCOMES; i++)
        into->outcomes[i] += row->outcomes[i];
    into->timed += row->timed;
    into->sum_us += row->sum_us;
    into->open += row->open;
    if (row->max_us > into->max_us)
        into->max_us = row->max_us;
}

/* Sorted, one row a name. Answers how many are left. */
static size_t merge(struct ml_hook_row *rows, size_t count)
{
    size_t kept = 0;

    qsort(rows, count, sizeof *rows, by_name);
    for (size_t i = 0; i < count; i++) {
        if (kept && by_name(&rows[kept - 1], &rows[i]) == 0)
            add(&rows[kept - 1], &rows[i]);
        else
            rows[kept++] = rows[i];
    }
    return kept;
}

/* Under the mutex. NULL: there are none, or no memory. */
static struct ml_hook_row *take_all(const struct ml_shared *shared, size_t *count_out)
{
    struct ml_hook_row *rows;
    size_t count = 0;

    for (size_t i = 0; i < ML_LOOPS_MAX; i++)
        count += shared->plugins[i].count;
    rows = count ? malloc(count * sizeof *rows) : NULL;
    *count_out = 0;
    for (size_t i = 0; rows && i < ML_LOOPS_MAX; i++)
        for (size_t k = 0; k < shared->plugins[i].count; k++)
            rows[(*count_out)++] = shared->plugins[i].rows[k];
    return rows;
}

/* Loops that know different instances may have more names together than there is room for. */
static size_t merge_all(struct ml_hook_row *rows, size_t count)
{
    count = merge(rows, count);
    if (count <= PAGE_ROWS_MAX)
        return count;
    for (size_t i = PAGE_ROWS_MAX; i < count; i++)
        snprintf(rows[i].plugin, sizeof rows[i].plugin, "other");
    return merge(rows, count);
}

/* ---- the page -------------------------------------------------------------------------------- */

static void head(struct ml_writer *out, const char *name, const char *type, const char *help)
{
    ml_http_print(out, "# HELP moonloom_plugin_%s %s.\n# TYPE moonloom_plugin_%s %s\n", name, help,
                  name, type);
}

#define LABELS        "{plugin=\"%s\",hook=\"%s\"} "
#define EACH_ROW(row) for (const struct ml_hook_row *row = rows; row < rows + count; row++)

static void write_rows(struct ml_writer *out, const struct ml_hook_row *rows, size_t count)
{
    head(out, "calls_total", "counter", "Calls of hooks, by what became of them");
    EACH_ROW(row)
    for (size_t i = 0; i < ML_HOOK_OUTCOMES; i++)
        ml_http_print(out,
                      "moonloom_plugin_calls_total{plugin=\"%s\",hook=\"%s\",outcome=\"%s\"} "
                      "%" PRIu64 "\n",
                      row->plugin, row->hook, outcomes[i], row->outcomes[i]);
    head(out, "seconds", "summary", "What a call held its loop for");
    EACH_ROW(row)
    {
        ml_http_print(out, "moonloom_plugin_seconds_sum" LABELS "%.6f\n", row->plugin, row->hook,
                      (double)row->sum_us / 1e6);
        ml_http_print(out, "moonloom_plugin_seconds_count" LABELS "%" PRIu64 "\n", row->plugin,
                      row->hook, row->timed);
    }
    head(out, "max_seconds", "gauge", "The longest call since the start");
    EACH_ROW(row)
    ml_http_print(out, "moonloom_plugin_max_seconds" LABELS "%.6f\n", row->plugin, row->hook,
                  (double)row->max_us / 1e6);
    head(out, "breaker", "gauge", "States in which the hook is not called now, after failures");
    EACH_ROW(row)
    ml_http_print(out, "moonloom_plugin_breaker" LABELS "%" PRIu64 "\n", row->plugin, row->hook,
                  row->open);
}

void ml_metrics_write_plugins(struct ml_net *net, struct ml_writer *out)
{
    struct ml_hook_row *rows;
    size_t count;

    ML_ASSERT(pthread_mutex_lock(&net->shared->mutex) == 0);
    rows = take_all(net->shared, &count);
    ML_ASSERT(pthread_mutex_unlock(&net->shared->mutex) == 0);
    if (rows)
        write_rows(out, rows, merge_all(rows, count));
    free(rows);
}
