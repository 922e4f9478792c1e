/* SPDX-License-Identifier: MIT */
/*
 * The security log of an org, for those who run it: a page of it, and whether it is whole. Events
 * go out as they stand in the store, so that whoever reads them can check the hashes, too.
 */
#include "net/api.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define LIST_MAX     1000
#define LIST_DEFAULT 100

struct reading {
    struct ml_store_read read;
    struct ml_call *call;
    char after[ML_AUDIT_KEY + 1];
    struct ml_audit_check check; /* verify */
};

static struct ml_audit_event event_of(const struct ml_call *call, const char *kind,
                                      struct ml_slice subject, const char *result)
{
    return (struct ml_audit_event){
        .kind = kind,
        .org = call->org,
        .actor = ml_slice_str(call->visitor.identity.user),
        .ip = ml_slice_str(call->ip),
        .subject = subject,
        .result = result,
    };
}

void ml_call_audit(struct ml_call *call, const char *kind, struct ml_slice subject,
                   const char *result)
{
    const struct ml_audit_event event = event_of(call, kind, subject, result);

    ml_audit(call->net->env.rooms, &event);
}

void ml_call_audit_sampled(struct ml_call *call, const char *kind, struct ml_slice subject,
                           const char *result)
{
    const struct ml_audit_event event = event_of(call, kind, subject, result);

    ml_audit_sampled(call->net->env.rooms, &event);
}

/* The grant says who may read; what everybody did is for those who run the org. */
static bool may_read(struct ml_call *call)
{
    const struct ml_script_identity *facts = &call->visitor.facts;

    if (call->net->env.open_mode)
        return true;
    for (size_t i = 0; i < facts->role_count; i++)
        if (ml_slice_equal(facts->roles[i], ML_SLICE("admin")) ||
            ml_slice_equal(facts->roles[i], ML_SLICE("owner")))
            return true;
    ml_call_error(call, 403, "denied", "The security log is for owners and admins of the org.");
    return false;
}

static struct reading *reading_new(struct ml_call *call)
{
    struct reading *r = ml_arena_alloc(&call->arena, sizeof *r);

    if (r)
        *r = (struct reading){.call = call};
    else
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
    return r;
}

static void look(struct reading *r, enum ml_store_look how, struct ml_slice key, size_t limit,
                 void (*done)(struct ml_store_read *read))
{
    r->read = (struct ml_store_read){
        .look = how,
        .org = r->call->org,
        .space = ML_SLICE(ML_AUDIT_SPACE),
        .key = key,
        .after = how == ML_STORE_SCAN ? ml_slice_str(r->after) : ml_slice_make(NULL, 0),
        .limit = limit,
        .now_ms = ml_clock_wall_ms(),
        .done = done,
    };
    ml_store_look(r->call->net->env.journal, &r->read);
}

/* ---- a page ---------------------------------------------------------------------------------- */

static void on_page(struct ml_store_read *read)
{
    struct reading *r = ML_CONTAINER(read, struct reading, read);
    struct ml_call *call = r->call;
    enum ml_err err = read->err;
    struct ml_writer body;

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_http_print(&body, "{\"items\":[");
    for (size_t i = 0; i < read->count; i++) {
        ml_http_print(&body, "%s", i ? "," : "");
        ml_write_bytes(&body, read->pairs[i].value);
    }
    ml_http_print(&body, "],\"next\":");
    if (read->more && read->count) {
        const struct ml_slice *key = &read->pairs[read->count - 1].key;

        ml_json_write_text(&body, ml_slice_make(key->ptr + 2, key->len - 2));
    } else {
        ml_http_print(&body, "null");
    }
    ml_http_print(&body, "}");
    ml_store_read_release(read);
    if (!err) {
        ml_call_json(call, 200, "", &body);
        return;
    }
    ml_writer_release(&body);
    ml_call_failed(call, err);
}

static bool is_number(struct ml_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!memchr("0123456789abcdef", text.ptr[i], 16))
            return false;
    return text.len == ML_AUDIT_KEY - 2;
}

void ml_api_audit(struct ml_call *call)
{
    struct ml_slice after = ml_call_parameter(call, "after");
    struct reading *r;
    uint64_t limit;

    if (!may_read(call) || !ml_call_number(call, "limit", 1, LIST_MAX, LIST_DEFAULT, &limit))
        return;
    if (after.ptr && !is_number(after)) {
        ml_call_error(call, 400, "bad_query", "after is the cursor of another page.");
        return;
    }
    r = reading_new(call);
    if (!r)
        return;
    if (after.ptr)
        (void)snprintf(r->after, sizeof r->after, ML_AUDIT_PREFIX "%.*s", ML_PRINT(after));
    ml_call_wait(call);
    look(r, ML_STORE_SCAN, ML_SLICE(ML_AUDIT_PREFIX), (size_t)limit, on_page);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void answer_check(struct reading *r, bool is_whole)
{
    struct ml_writer body;

    ml_writer_init(&body, 1024);
    ml_http_print(&body, "{\"whole\":%s,\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"why\":",
                  is_whole ? "true" : "false", r->check.first, r->check.last);
    if (is_whole)
        ml_http_print(&body, "null");
    else
        ml_json_write_text(&body, ml_slice_str(r->check.why));
    ml_http_print(&body, "}");
    ml_call_json(r->call, 200, "", &body);
}

static void on_head(struct ml_store_read *read)
{
    struct reading *r = ML_CONTAINER(read, struct reading, read);
    enum ml_err err = read->err;
    bool is_whole = false;

    if (!err)
        is_whole = ml_audit_check_head(&r->check,
                                       read->count ? read->pairs[0].value : ml_slice_make(NULL, 0));
    ml_store_read_release(read);
    if (err)
        ml_call_failed(r->call, err);
    else
        answer_check(r, is_whole);
}

static void on_some(struct ml_store_read *read)
{
    struct reading *r = ML_CONTAINER(read, struct reading, read);
    enum ml_err err = read->err;
    bool more = read->more && read->count, is_whole = true;

    for (size_t i = 0; i < read->count && is_whole; i++) {
        struct ml_slice key = read->pairs[i].key;

        is_whole = ml_audit_check_event(&r->check, key, read->pairs[i].value);
        if (is_whole)
            (void)snprintf(r->after, sizeof r->after, "%.*s", ML_PRINT(key));
    }
    ml_store_read_release(read);
    if (err)
        ml_call_failed(r->call, err);
    else if (!is_whole)
        answer_check(r, false);
    else if (more && r->call->http)
        look(r, ML_STORE_SCAN, ML_SLICE(ML_AUDIT_PREFIX), LIST_MAX, on_some);
    else
        look(r, ML_STORE_GET, ML_SLICE(ML_AUDIT_HEAD), 1, on_head);
}

void ml_api_audit_verify(struct ml_call *call)
{
    struct reading *r = may_read(call) ? reading_new(call) : NULL;

    if (!r)
        return;
    ml_call_wait(call);
    look(r, ML_STORE_SCAN, ML_SLICE(ML_AUDIT_PREFIX), LIST_MAX, on_some);
}
