/* SPDX-License-Identifier: MIT */
/*
 * The ring of the flight recorder: one list of records, oldest first, counted per hook.
 *
 *  [F1] A call that is quick and denies nothing costs the comparison of two numbers in ml_ask.
 *  [F2] A hook has at most RECORDS_PER_HOOK records and an org RING_BYTES; the oldest go.
 *  [F3] A record holds copies only: plugins, states and documents may go.
 */
#include "script/recorder.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORDS_PER_HOOK 32u
#define RING_BYTES       (256u * 1024)
#define INPUT_MAX        16384u
#define TEXT_MAX         512u
#define HOOK_NAME_MAX    64

struct record {
    struct ml_list node;
    uint64_t at_us, took_us;
    size_t bytes; /* of this record */
    uint32_t generation;
    const char *verdict;
    char hook[HOOK_NAME_MAX];
    char instance[ML_INSTANCE_NAME_MAX + 1], plugin[ML_PLUGIN_NAME_MAX + 1];
    struct ml_slice document, code, text, input; /* behind the record */
};

struct ml_flight {
    struct ml_list records;
    size_t bytes;
};

static uint64_t wall_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void drop(struct ml_flight *flight, struct record *record)
{
    flight->bytes -= record->bytes;
    ml_list_remove(&record->node);
    free(record);
}

static void make_room(struct ml_flight *flight, const char *hook, size_t bytes)
{
    struct record *oldest = NULL;
    unsigned count = 0;

    ML_LIST_EACH(node, &flight->records)
    {
        struct record *record = ML_CONTAINER(node, struct record, node);

        if (strcmp(record->hook, hook) != 0)
            continue;
        oldest = oldest ? oldest : record;
        count++;
    }
    if (count >= RECORDS_PER_HOOK)
        drop(flight, oldest);
    ML_LIST_EACH(node, &flight->records)
    {
        if (flight->bytes + bytes <= RING_BYTES)
            break;
        drop(flight, ML_CONTAINER(node, struct record, node));
    }
}

static struct ml_slice keep(uint8_t **at, struct ml_slice from)
{
    struct ml_slice copy = {*at, from.len};

    if (from.len)
        memcpy(*at, from.ptr, from.len);
    *at += from.len;
    return copy;
}

static struct ml_slice shortened(struct ml_slice text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max && (text.ptr[max] & 0xc0) == 0x80)
        max--;
    return ml_slice_make(text.ptr, max);
}

static struct ml_slice document_of(const struct ml_question *question)
{
    switch (question->subject ? question->kind : VIEW_COUNT) {
    case VIEW_ASK:
        return ((const struct ml_script_ask *)question->subject)->document;
    case VIEW_UPDATE:
    case VIEW_EDIT:
        return ((const struct ml_scope *)question->scope)->document;
    case VIEW_BATCH:
        return ((const struct ml_script_batch *)question->subject)->document;
    case VIEW_REF:
        return ((const struct ml_script_ref *)question->subject)->document;
    case VIEW_CONFLICT:
        return ((const struct ml_script_conflict *)question->subject)->document;
    case VIEW_REQUEST:
    case VIEW_COUNT:
        break;
    }
    return (struct ml_slice){0};
}

static void add(struct ml_flight *flight, const struct ml_flight_call *call,
                struct ml_slice document, struct ml_slice input)
{
    struct ml_slice code = shortened(call->code, TEXT_MAX), text = shortened(call->text, TEXT_MAX);
    size_t bytes = sizeof(struct record) + document.len + code.len + text.len + input.len;
    struct record *record = calloc(1, bytes);
    uint8_t *at = (uint8_t *)(record + 1);

    if (!record)
        return;
    *record = (struct record){.at_us = wall_us(),
                              .took_us = call->took_us,
                              .bytes = bytes,
                              .generation = call->plugin->generation,
                              .verdict = call->verdict};
    snprintf(record->hook, sizeof record->hook, "%s", call->hook);
    snprintf(record->instance, sizeof record->instance, "%s", call->plugin->name);
    snprintf(record->plugin, sizeof record->plugin, "%s", call->plugin->folder);
    record->document = keep(&at, document);
    record->code = keep(&at, code);
    record->text = keep(&at, text);
    record->input = keep(&at, input);
    make_room(flight, record->hook, bytes);
    ml_list_append(&flight->records, &record->node);
    flight->bytes += bytes;
}

void ml_flight_note(struct ml_script *script, const struct ml_flight_call *call)
{
    struct ml_flight *flight = script->flight;
    struct ml_writer input;

    if (!flight) {
        flight = script->flight = calloc(1, sizeof *flight);
        if (!flight)
            return;
        ml_list_init(&flight->records);
    }
    if (script->flight_us < ML_FLIGHT_SLOW_US && script->mono_ms() >= script->watched_until_ms)
        script->flight_us = ML_FLIGHT_SLOW_US;
    ml_writer_init(&input, INPUT_MAX);
    if (script->question.subject)
        ml_flight_input(&script->question, script->keeps_text, &input);
    if (input.err)
        ml_writer_reset(&input);
    add(flight, call, document_of(&script->question), ml_writer_slice(&input));
    ml_writer_release(&input);
}

void ml_flight_failed(struct ml_script *script, const struct ml_plugin *plugin, const char *hook)
{
    static const char *const verdicts[] = {[ML_FAULT_NONE] = "error",
                                           [ML_FAULT_ERROR] = "error",
                                           [ML_FAULT_TIMEOUT] = "timeout",
                                           [ML_FAULT_MEMORY] = "memory"};

    ml_flight_note(script, &(struct ml_flight_call){.plugin = plugin,
                                                    .hook = hook,
                                                    .verdict = verdicts[script->fault.kind],
                                                    .text = ml_slice_str(script->fault.text),
                                                    .took_us = script->question.took_us});
    script->question.subject = NULL;
}

void ml_script_watch(struct ml_script *script, uint32_t for_ms)
{
    script->flight_us = for_ms ? 0 : ML_FLIGHT_SLOW_US;
    script->watched_until_ms = script->mono_ms() + for_ms;
}

void ml_flight_move(struct ml_script *from, struct ml_script *to)
{
    if (!from || !to || !from->flight)
        return;
    ml_flight_free(to->flight);
    to->flight = from->flight;
    to->flight_us = from->flight_us;
    to->watched_until_ms = from->watched_until_ms;
    from->flight = NULL;
}

void ml_flight_free(struct ml_flight *flight)
{
    if (!flight)
        return;
    ML_LIST_EACH(node, &flight->records)
    {
        drop(flight, ML_CONTAINER(node, struct record, node));
    }
    free(flight);
}

/* ---- For people and tools ------------------------------------------------------------------- */

static bool is_wanted(struct ml_slice wanted, struct ml_slice is)
{
    return !wanted.len || ml_slice_equal(wanted, is);
}

static bool takes(const struct ml_flight_filter *filter, const struct record *record)
{
    return record->at_us > filter->after_us && record->at_us <= filter->until_us &&
           is_wanted(filter->hook, ml_slice_str(record->hook)) &&
           is_wanted(filter->verdict, ml_slice_str(record->verdict)) &&
           is_wanted(filter->document, record->document) &&
           (is_wanted(filter->plugin, ml_slice_str(record->plugin)) ||
            is_wanted(filter->plugin, ml_slice_str(record->instance)));
}

static void print_member(struct ml_writer *out, const char *name, struct ml_slice text)
{
    ml_write_bytes(out, ML_SLICE(",\""));
    ml_write_bytes(out, ml_slice_str(name));
    ml_write_bytes(out, ML_SLICE("\":"));
    ml_flight_text(out, text);
}

static void print_record(const struct record *record, struct ml_slice org, struct ml_writer *out)
{
    char head[192];

    (void)snprintf(head, sizeof head,
                   "{\"at_us\":%llu,\"took_us\":%llu,\"generation\":%u,\"hook\":\"%s\"",
                   (unsigned long long)record->at_us, (unsigned long long)record->took_us,
                   record->generation, record->hook);
    ml_write_bytes(out, ml_slice_str(head));
    print_member(out, "verdict", ml_slice_str(record->verdict));
    print_member(out, "org", org);
    print_member(out, "instance", ml_slice_str(record->instance));
    print_member(out, "plugin", ml_slice_str(record->plugin));
    print_member(out, "document", record->document);
    print_member(out, "code", record->code);
    print_member(out, "text", record->text);
    ml_write_bytes(out, ML_SLICE(",\"input\":"));
    ml_write_bytes(out, record->input.len ? record->input : ML_SLICE("null"));
    ml_write_u8(out, '}');
}

void ml_flight_print(const struct ml_flight *flight, struct ml_slice org,
                     const struct ml_flight_filter *filter, struct ml_writer *out)
{
    if (!flight)
        return;
    ML_LIST_EACH(node, &flight->records)
    {
        const struct record *record = ML_CONTAINER(node, struct record, node);

        if (!takes(filter, record))
            continue;
        if (out->len)
            ml_write_u8(out, ',');
        print_record(record, org, out);
    }
}
