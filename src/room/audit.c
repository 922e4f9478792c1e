/* SPDX-License-Identifier: MIT */
/*
 * Writing the security log.
 *
 *   ml_audit --> waiting --> read the head of that org --> one write: head as it was seen (else
 * read ^                                       again), events, new head, jobs
 *                   +------------------ next ------------------------+
 *
 * One org at a time, BATCH events at most. Loops and nodes that write into one trail meet at the
 * head: its rev is checked, so numbers have no gap and no twin. A write with unknown outcome is
 * settled by reading: if the head is what was meant to be, it went in. In the same write a job is
 * queued for each plugin with an `audit` hook, so what is in the trail is told, at least once.
 */
#include "room/audit.h"

#include "base/assert.h"
#include "room/live.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WAITING_MAX     1024
#define WAITING_ORG_MAX 256
#define BATCH           32
#define HOOKS_MAX       16
#define TRIES_MAX       8
#define TRIES_AT_END    2
#define SAMPLES         256
#define SAMPLE_MS       60000
#define TEXT_MAX        (64u << 10)
#define DAY_MS          86400000ull

/* One event that waits; its text without number and previous hash. */
struct note {
    struct ml_list node;
    size_t org_len, text_len;
    uint8_t bytes[]; /* org, text */
};

struct ml_auditor {
    struct ml_rooms *rooms;
    struct ml_list waiting;
    size_t count;
    uint64_t lost;
    uint64_t samples[SAMPLES], sampled_ms[SAMPLES];
    /* the write that is under way: */
    bool is_busy;
    unsigned tries;
    struct ml_list batch;
    size_t batch_count;
    struct ml_arena arena; /* its items */
    struct ml_store_read read;
    struct ml_store_write write;
    char hash[ML_AUDIT_HASH + 1]; /* of the last event that was put into a write; "": none */
};

static struct ml_slice org_of(const struct note *note)
{
    return ml_slice_make(note->bytes, note->org_len);
}

static struct ml_slice text_of(const struct note *note)
{
    return ml_slice_make(note->bytes + note->org_len, note->text_len);
}

static void begin(struct ml_auditor *a);

static uint64_t now_ms(const struct ml_auditor *a)
{
    return a->rooms->env.mono_ms(a->rooms->env.arg);
}

/* ---- One event as text ------------------------------------------------------------------------
 */

static void put(struct ml_writer *out, const char *text)
{
    ml_write_bytes(out, ml_slice_str(text));
}

static void put_json(struct ml_writer *out, struct ml_slice text)
{
    size_t len = text.len < ML_AUDIT_TEXT_MAX ? text.len : ML_AUDIT_TEXT_MAX;
    char escape[8];

    while (len && len < text.len && (text.ptr[len] & 0xc0) == 0x80)
        len--; /* no half character */
    ml_write_u8(out, '"');
    for (size_t i = 0; i < len; i++) {
        uint8_t c = text.ptr[i];

        if (c == '"' || c == '\\' || c < 0x20 || c == 0x7f) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", c);
            put(out, escape);
        } else {
            ml_write_u8(out, c);
        }
    }
    ml_write_u8(out, '"');
}

static void put_field(struct ml_writer *out, const char *name, struct ml_slice text)
{
    if (!text.len)
        return;
    put(out, ",\"");
    put(out, name);
    put(out, "\":");
    put_json(out, text);
}

static void write_text(struct ml_writer *out, const struct ml_audit_event *event,
                       struct ml_slice org, int64_t at_ms)
{
    char number[32];

    (void)snprintf(number, sizeof number, "\"at\":%" PRId64, at_ms);
    put(out, number);
    put_field(out, "kind", ml_slice_str(event->kind));
    put_field(out, "org", org);
    put_field(out, "actor", event->actor);
    put_field(out, "ip", event->ip);
    put_field(out, "subject", event->subject);
    put_field(out, "result", ml_slice_str(event->result ? event->result : "ok"));
    if (event->data.len && event->data.len <= ML_AUDIT_DATA_MAX) {
        put(out, ",\"data\":");
        ml_write_bytes(out, event->data);
    }
}

/* ---- Waiting ----------------------------------------------------------------------------------
 */

static size_t waiting_of(const struct ml_auditor *a, struct ml_slice org)
{
    size_t count = 0;

    ML_LIST_EACH(node, &a->waiting)
    count += ml_slice_equal(org_of(ML_CONTAINER(node, struct note, node)), org);
    return count;
}

static bool add(struct ml_auditor *a, const struct ml_audit_event *event)
{
    const struct ml_room_env *env = &a->rooms->env;
    struct ml_slice org = event->org.len ? event->org : ML_SLICE("default");
    struct ml_writer text;
    struct note *note;

    if (a->count >= WAITING_MAX || waiting_of(a, org) >= WAITING_ORG_MAX)
        return false;
    ml_writer_init(&text, TEXT_MAX);
    write_text(&text, event, org, env->wall_ms(env->arg));
    note = text.err ? NULL : malloc(sizeof *note + org.len + text.len);
    if (note) {
        note->org_len = org.len;
        note->text_len = text.len;
        memcpy(note->bytes, org.ptr, org.len);
        memcpy(note->bytes + org.len, text.ptr, text.len);
        ml_list_append(&a->waiting, &note->node);
        a->count++;
    }
    ml_writer_release(&text);
    return note != NULL;
}

static struct ml_auditor *auditor_of(struct ml_rooms *rooms)
{
    struct ml_auditor *a = rooms->auditor;

    if (a || !rooms->env.journal)
        return a;
    a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->rooms = rooms;
    ml_list_init(&a->waiting);
    ml_list_init(&a->batch);
    ml_arena_init(&a->arena, 4u << 20);
    rooms->auditor = a;
    return a;
}

void ml_audit(struct ml_rooms *rooms, const struct ml_audit_event *event)
{
    struct ml_auditor *a = auditor_of(rooms);

    if (!a)
        return;
    if (!add(a, event) && a->lost++ == 0)
        ml_log(ML_LOG_ERROR, "audit.lost", "org=%s kind=%s", ML_LOG_TEXT(event->org), event->kind);
    if (!a->is_busy)
        begin(a);
}

void ml_audit_sampled(struct ml_rooms *rooms, const struct ml_audit_event *event)
{
    struct ml_auditor *a = auditor_of(rooms);
    uint64_t key, now;
    size_t place;

    if (!a)
        return;
    key = ml_hash_bytes(ml_slice_str(event->kind)) * 31 + ml_hash_bytes(event->org);
    key = (key * 31 + ml_hash_bytes(event->actor)) * 31 + ml_hash_bytes(event->subject);
    place = key % SAMPLES;
    now = now_ms(a);
    if (a->samples[place] == key && a->sampled_ms[place] &&
        now + 1 - a->sampled_ms[place] < SAMPLE_MS)
        return;
    a->samples[place] = key;
    a->sampled_ms[place] = now + 1;
    ml_audit(rooms, event);
}

bool ml_auditor_is_idle(const struct ml_auditor *auditor)
{
    return !auditor || !auditor->is_busy;
}

static void drop_all(struct ml_list *notes)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(notes)) != NULL)
        free(ML_CONTAINER(node, struct note, node));
}

void ml_auditor_free(struct ml_auditor *auditor, bool by_force)
{
    if (!auditor)
        return;
    ML_ASSERT(by_force || !auditor->is_busy);
    drop_all(&auditor->waiting);
    drop_all(&auditor->batch);
    ml_arena_release(&auditor->arena);
    free(auditor);
}

/* ---- Writing ----------------------------------------------------------------------------------
 */

static void end(struct ml_auditor *a)
{
    drop_all(&a->batch);
    a->batch_count = 0;
    a->is_busy = false;
    ml_arena_reset(&a->arena);
    begin(a);
}

static void read_head(struct ml_auditor *a);

static void try_again(struct ml_auditor *a, enum ml_err err)
{
    unsigned max = a->rooms->is_draining ? TRIES_AT_END : TRIES_MAX;

    if (++a->tries < max) {
        read_head(a);
        return;
    }
    ml_log(ML_LOG_ERROR, "audit.failed", "events=%zu reason=%s", a->batch_count, ml_err_name(err));
    a->lost += a->batch_count;
    end(a);
}

static void on_written(struct ml_store_write *write)
{
    struct ml_auditor *a = ML_CONTAINER(write, struct ml_auditor, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    if (err)
        try_again(a, err);
    else
        end(a);
}

/* The whole text of event `number`, in the arena; a->hash becomes its hash. .ptr NULL: no memory.
 */
static struct ml_slice finish(struct ml_auditor *a, const struct note *note, uint64_t number)
{
    struct ml_writer out;
    struct ml_slice text;
    char start[32];

    ml_writer_init(&out, 2 * TEXT_MAX);
    (void)snprintf(start, sizeof start, "{\"n\":%" PRIu64 ",", number);
    put(&out, start);
    ml_write_bytes(&out, text_of(note));
    put_field(&out, "prev", ml_slice_str(a->hash));
    put(&out, "}");
    text = out.err ? ml_slice_make(NULL, 0) : ml_arena_copy(&a->arena, ml_writer_slice(&out));
    ml_writer_release(&out);
    if (text.ptr)
        ml_audit_hash(text, a->hash);
    return text;
}

static struct ml_slice text_copy(struct ml_auditor *a, const char *text)
{
    return ml_arena_copy(&a->arena, ml_slice_str(text));
}

/* The events as one list, for those who are told. */
static struct ml_slice list_of(struct ml_auditor *a, const struct ml_store_item *events, size_t n)
{
    struct ml_writer out;
    struct ml_slice text;

    ml_writer_init(&out, ML_STORE_VALUE_MAX);
    put(&out, "[");
    for (size_t i = 0; i < n; i++) {
        put(&out, i ? "," : "");
        ml_write_bytes(&out, events[i].value);
    }
    put(&out, "]");
    text = out.err ? ml_slice_make(NULL, 0) : ml_arena_copy(&a->arena, ml_writer_slice(&out));
    ml_writer_release(&out);
    return text;
}

static size_t add_jobs(struct ml_auditor *a, struct ml_slice org, struct ml_store_item *items,
                       size_t count, size_t events)
{
    const struct ml_room_env *env = &a->rooms->env;
    struct ml_script *script =
        env->cells ? ml_cells_script(env->cells, org, ml_slice_make("", 0)) : env->script;
    struct ml_slice list = {0};
    struct ml_slice instance;

    for (size_t i = 0; script && i < HOOKS_MAX; i++) {
        if (!ml_script_later(script, "audit", ml_slice_make("", 0), i, &instance))
            break;
        if (!list.ptr)
            list = list_of(a, items + 1, events);
        if (list.ptr)
            items[count++] = (struct ml_store_item){.act = ML_STORE_PUSH,
                                                    .instance = ml_arena_copy(&a->arena, instance),
                                                    .key = ML_SLICE("@audit"),
                                                    .value = list};
    }
    return count;
}

/* Check of the head, the events, the new head, the jobs. */
static bool make_items(struct ml_auditor *a, uint64_t number, uint64_t rev)
{
    struct ml_store_item *items =
        ml_arena_array(&a->arena, a->batch_count + 2 + HOOKS_MAX, sizeof *items);
    struct ml_slice org = {0};
    char key[ML_AUDIT_KEY + 1], head[ML_AUDIT_HASH + 64];
    size_t count = 0;

    if (!items)
        return false;
    items[count++] =
        (struct ml_store_item){.act = ML_STORE_CHECK, .key = ML_SLICE(ML_AUDIT_HEAD), .rev = rev};
    ML_LIST_EACH(node, &a->batch)
    {
        const struct note *note = ML_CONTAINER(node, struct note, node);

        org = org_of(note);
        ml_audit_key(++number, key);
        items[count] = (struct ml_store_item){.act = ML_STORE_SET,
                                              .key = text_copy(a, key),
                                              .value = finish(a, note, number),
                                              .ttl_ms = ML_AUDIT_KEEP_DAYS * DAY_MS};
        if (!items[count].key.ptr || !items[count].value.ptr)
            return false;
        count++;
    }
    (void)snprintf(head, sizeof head, "{\"n\":%" PRIu64 ",\"hash\":\"%s\"}", number, a->hash);
    items[count++] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ML_SLICE(ML_AUDIT_HEAD), .value = text_copy(a, head)};
    count = add_jobs(a, org, items, count, a->batch_count);
    a->write = (struct ml_store_write){.org = org,
                                       .space = ML_SLICE(ML_AUDIT_SPACE),
                                       .items = items,
                                       .count = count,
                                       .now_ms = a->rooms->env.wall_ms(a->rooms->env.arg),
                                       .done = on_written};
    return items[a->batch_count + 1].value.ptr != NULL;
}

static void on_head(struct ml_store_read *read)
{
    struct ml_auditor *a = ML_CONTAINER(read, struct ml_auditor, read);
    enum ml_err err = read->err;
    uint64_t number = 0, rev = 0;
    char hash[ML_AUDIT_HASH + 1] = "";

    if (!err && read->count) {
        rev = read->pairs[0].rev;
        if (!ml_audit_read_head(read->pairs[0].value, &number, hash))
            err = ML_EFORMAT;
    }
    ml_store_read_release(read);
    if (!err && a->tries && a->hash[0] && strcmp(hash, a->hash) == 0) {
        end(a); /* the last attempt went in after all */
        return;
    }
    memcpy(a->hash, hash, sizeof hash);
    ml_arena_reset(&a->arena);
    if (!err && !make_items(a, number, rev))
        err = ML_ELIMIT;
    if (err)
        try_again(a, err);
    else
        ml_store_commit(a->rooms->env.journal, &a->write);
}

static void read_head(struct ml_auditor *a)
{
    a->read = (struct ml_store_read){
        .look = ML_STORE_GET,
        .org = org_of(ML_CONTAINER(a->batch.next, struct note, node)),
        .space = ML_SLICE(ML_AUDIT_SPACE),
        .key = ML_SLICE(ML_AUDIT_HEAD),
        .limit = 1,
        .now_ms = a->rooms->env.wall_ms(a->rooms->env.arg),
        .done = on_head,
    };
    ml_store_look(a->rooms->env.journal, &a->read);
}

/* What was lost is said where it can be heard: in the trail of the org that comes next. */
static void tell_lost(struct ml_auditor *a)
{
    const struct note *first = ML_CONTAINER(a->waiting.next, struct note, node);
    char data[48];
    struct ml_audit_event event = {.kind = "audit.lost", .org = org_of(first), .result = "failed"};

    (void)snprintf(data, sizeof data, "{\"events\":%" PRIu64 "}", a->lost);
    event.data = ml_slice_str(data);
    if (add(a, &event))
        a->lost = 0;
}

static void begin(struct ml_auditor *a)
{
    struct ml_slice org;

    if (a->is_busy || ml_list_is_empty(&a->waiting))
        return;
    if (a->lost)
        tell_lost(a);
    org = org_of(ML_CONTAINER(a->waiting.next, struct note, node));
    ML_LIST_EACH(node, &a->waiting)
    {
        struct note *note = ML_CONTAINER(node, struct note, node);

        if (a->batch_count == BATCH || !ml_slice_equal(org_of(note), org))
            continue;
        ml_list_remove(&note->node);
        ml_list_append(&a->batch, &note->node);
        a->batch_count++;
        a->count--;
    }
    a->is_busy = true;
    a->tries = 0;
    a->hash[0] = '\0';
    read_head(a);
}
