/* SPDX-License-Identifier: MIT */
/* What the instances of a loop are doing, in words for a person. */
#include "script/cell.h"

#include <stdarg.h>
#include <stdio.h>

#include "script/recorder.h"

__attribute__((format(printf, 2, 3))) static void print(struct ml_writer *out, const char *format,
                                                        ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ml_write_bytes(out, ml_slice_str(text));
}

static void write_text(struct ml_writer *out, struct ml_slice text)
{
    ml_write_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c < 0x20)
            print(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            print(out, "\\%c", c);
        else
            ml_write_u8(out, c);
    }
    ml_write_u8(out, '"');
}

/* The ceiling that 99 of 100 calls are under, microseconds. */
static uint64_t p99_us(const struct ml_histogram *took)
{
    uint64_t all = ml_histogram_count(took), seen = 0;

    for (int i = 0; i < ML_HISTOGRAM_CEILINGS; i++) {
        seen += took->counts[i];
        if (all && seen * 100 >= all * 99)
            return ml_histogram_ceilings_us[i];
    }
    return all ? ml_histogram_ceilings_us[ML_HISTOGRAM_CEILINGS - 1] : 0;
}

static void write_hooks(const struct ml_script *script, const struct ml_plugin *plugin,
                        struct ml_writer *out)
{
    const char *comma = "";

    for (int hook = 0; hook < HOOK_COUNT; hook++)
        for (size_t i = 0; i < script->chains[hook].count; i++) {
            const struct ml_handler *handler = &script->chains[hook].handlers[i];

            if (handler->plugin != plugin)
                continue;
            print(out, "%s{\"hook\":\"%s\",\"place\":%zu,\"why\":\"%s\"}", comma,
                  ml_hook_names[hook], i + 1, handler->reason);
            comma = ",";
        }
}

/* How long the breaker of one of its hooks stays open, milliseconds. */
static uint64_t open_ms(struct ml_script *script, const struct ml_plugin *plugin)
{
    uint64_t now = script->mono_ms(), longest = 0;

    for (int hook = 0; hook < HOOK_COUNT; hook++)
        for (size_t i = 0; i < script->chains[hook].count; i++) {
            const struct ml_handler *handler = &script->chains[hook].handlers[i];
            uint64_t until = handler->breaker.open_until_ms;

            if (handler->plugin == plugin && until > now && until - now > longest)
                longest = until - now;
        }
    return longest;
}

static const char *state_of(const struct ml_script *script, const struct ml_plugin *plugin,
                            uint64_t open_for_ms)
{
    if (!script->L)
        return "failing";
    if (open_for_ms)
        return "open";
    if (plugin->health.is == ML_HEALTH_BAD)
        return "bad";
    if (plugin->health.is == ML_HEALTH_WARN)
        return "warn";
    return plugin->is_shadow ? "shadow" : "ok";
}

static void describe(struct ml_cell *cell, const struct ml_plugin *plugin, struct ml_writer *out)
{
    struct ml_script *script = cell->script;
    uint64_t open = open_ms(script, plugin);

    if (out->len)
        ml_write_u8(out, ',');
    ml_write_bytes(out, ML_SLICE("{\"org\":"));
    write_text(out, cell->org);
    print(out,
          ",\"instance\":\"%s\",\"plugin\":\"%s\",\"version\":\"%s\",\"generation\":%u,"
          "\"state\":\"%s\"",
          plugin->name, plugin->folder, plugin->version, plugin->generation,
          state_of(script, plugin, open));
    print(out,
          ",\"open_ms\":%llu,\"calls\":%llu,\"denials\":%llu,\"failures\":%llu,\"p99_us\":%llu,"
          "\"memory_bytes\":%zu,\"error\":",
          (unsigned long long)open, (unsigned long long)plugin->stats.calls,
          (unsigned long long)plugin->stats.denials, (unsigned long long)plugin->stats.failures,
          (unsigned long long)p99_us(&plugin->stats.took), script->memory_bytes);
    write_text(out, ml_slice_str(plugin->health.is > ML_HEALTH_OK && *plugin->health.text
                                     ? plugin->health.text
                                     : plugin->stats.error));
    ml_write_bytes(out, ML_SLICE(",\"hooks\":["));
    write_hooks(script, plugin, out);
    ml_write_bytes(out, ML_SLICE("]}"));
}

static void describe_cell(struct ml_cell *cell, struct ml_slice document, struct ml_writer *out)
{
    for (size_t i = 0; cell->script && i < cell->script->plugin_count; i++)
        if (ml_plugin_applies(&cell->script->plugins[i], document))
            describe(cell, &cell->script->plugins[i], out);
}

void ml_cells_describe(struct ml_cells *cells, struct ml_slice org, struct ml_slice document,
                       struct ml_writer *out)
{
    if (org.len)
        (void)ml_cells_script(cells, org, document);
    ML_LIST_EACH(node, &cells->all)
    {
        struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);

        if (!org.len || ml_slice_equal(org, cell->org))
            describe_cell(cell, document, out);
    }
}

/* ---- What became of calls ------------------------------------------------------------------- */

static void note_open(const struct ml_script *script, uint64_t now_ms)
{
    for (int hook = 0; hook < HOOK_COUNT; hook++)
        for (size_t i = 0; i < script->chains[hook].count; i++) {
            const struct ml_breaker *breaker = &script->chains[hook].handlers[i].breaker;

            if (breaker->row && breaker->open_until_ms > now_ms)
                breaker->row->open++;
        }
}

const struct ml_ledger *ml_cells_ledger(struct ml_cells *cells)
{
    size_t rows = ml_ledger_count(cells->ledger);

    for (size_t i = 0; i < rows; i++)
        ml_ledger_at(cells->ledger, i)->open = 0;
    if (rows)
        ML_LIST_EACH(node, &cells->all)
        {
            const struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);

            if (cell->script)
                note_open(cell->script, cell->script->mono_ms());
        }
    return cells->ledger;
}

/* ---- What they were asked lately ------------------------------------------------------------ */

void ml_cells_trace(struct ml_cells *cells, struct ml_slice org,
                    const struct ml_flight_filter *filter, uint32_t watch_ms, struct ml_writer *out)
{
    if (org.len && watch_ms)
        (void)ml_cells_script(cells, org, (struct ml_slice){0});
    ML_LIST_EACH(node, &cells->all)
    {
        struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);

        if (!cell->script || (org.len && !ml_slice_equal(org, cell->org)))
            continue;
        if (watch_ms)
            ml_script_watch(cell->script, watch_ms);
        ml_flight_print(cell->script->flight, cell->org, filter, out);
    }
}

void ml_cells_why(struct ml_cells *cells, const struct ml_script_ask *ask, struct ml_writer *out)
{
    struct ml_script *script = ml_cells_script(cells, ask->org, ask->document);

    if (script)
        ml_script_why(script, ask, out);
    else
        ml_write_bytes(out, ML_SLICE("{\"outcome\":\"nobody_asked\",\"answers\":[]}"));
}

/* ---- Is the new one worse? ------------------------------------------------------------------ */

static void add(const struct ml_script *script, struct ml_cells_watch *to)
{
    for (size_t i = 0; script && i < script->plugin_count; i++) {
        const struct ml_plugin *plugin = &script->plugins[i];

        if (!plugin->is_watched)
            continue;
        to->calls += plugin->stats.calls;
        to->denials += plugin->stats.denials;
        to->failures += plugin->stats.failures;
        to->bad += plugin->is_changed && plugin->health.bad_count >= 2;
    }
}

void ml_cells_watch(const struct ml_cells *cells, struct ml_cells_watch *now,
                    struct ml_cells_watch *before)
{
    ML_LIST_EACH(node, &cells->all)
    {
        const struct ml_cell *cell = ML_CONTAINER(node, struct ml_cell, node);

        if (cell->deploy == cells->options.deploy)
            add(cell->script, now);
        if (cell->is_swapped)
            add(cell->old, before);
    }
}
