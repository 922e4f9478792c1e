/* SPDX-License-Identifier: MIT */
/*
 * Documents as a whole: the list, one made, what is known about one, deleted and brought back, who
 * wrote it and who is here.
 */
#include "net/api.h"
#include "net/fields.h"
#include "net/purge.h"
#include "net/revoke.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define LIST_DEFAULT 100
#define LIST_MAX     1000

/* Cursors of lists go on behind the last item, or end. */
static void write_next(struct ml_writer *out, bool more, struct ml_slice cursor)
{
    ml_http_print(out, "],\"next\":");
    if (more)
        ml_json_write_text(out, cursor);
    else
        ml_http_print(out, "null");
    ml_http_print(out, "}");
}

static void *job_new(struct ml_call *call, size_t size)
{
    call->job = ml_arena_alloc(&call->arena, size);
    if (!call->job)
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
    return call->job;
}

/* ---- the list -------------------------------------------------------------------------------- */

struct list {
    struct ml_list_documents request;
    struct ml_call *call;
};

static void write_list(struct ml_writer *out, const struct ml_list_documents *request)
{
    ml_http_print(out, "{\"items\":[");
    for (size_t i = 0; i < request->count; i++) {
        const struct ml_listed *item = &request->items[i];

        ml_http_print(out, "%s{\"name\":", i ? "," : "");
        ml_json_write_text(out, item->name);
        ml_http_print(out,
                      ",\"seq\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"created_at_ms\":%" PRId64
                      ",\"updated_at_ms\":%" PRId64 "}",
                      item->head, item->bytes, item->created_ms, item->updated_ms);
    }
    write_next(out, request->more && request->count,
               request->count ? request->items[request->count - 1].name : ML_SLICE(""));
}

static void on_listed(struct ml_list_documents *request)
{
    struct list *list = ML_CONTAINER(request, struct list, request);
    struct ml_call *call = list->call;
    struct ml_writer body;

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    if (!request->err)
        write_list(&body, request);
    ml_list_documents_release(request);
    if (request->err)
        ml_call_failed(call, request->err);
    else
        ml_call_json(call, 200, "", &body);
}

void ml_api_list(struct ml_call *call)
{
    uint64_t limit;
    struct list *list;

    if (!ml_call_number(call, "limit", 1, LIST_MAX, LIST_DEFAULT, &limit))
        return;
    list = job_new(call, sizeof *list);
    if (!list)
        return;
    *list = (struct list){
        .request = {.org = call->org,
                    .prefix = ml_call_parameter(call, "prefix"),
                    .after = ml_call_parameter(call, "after"),
                    .limit = (size_t)limit,
                    .done = on_listed},
        .call = call,
    };
    ml_call_wait(call);
    ml_journal_list_documents(call->net->env.journal, &list->request);
}

/* ---- what is known --------------------------------------------------------------------------- */

struct describing {
    struct ml_describe request;
    struct ml_call *call;
};

static void write_metadata(struct ml_writer *out, const struct ml_describe *request)
{
    ml_http_print(out, "{\"name\":");
    ml_json_write_text(out, request->name);
    ml_http_print(out,
                  ",\"seq\":%" PRIu64 ",\"epoch\":%" PRIu64 ",\"snapshot_seq\":%" PRIu64
                  ",\"record_bytes\":%" PRIu64 ",\"snapshot_bytes\":%" PRIu64
                  ",\"created_at_ms\":%" PRId64 ",\"updated_at_ms\":%" PRId64 ",\"authors\":[",
                  request->head, request->epoch, request->snapshot_seq, request->record_bytes,
                  request->snapshot_bytes, request->created_ms, request->updated_ms);
    for (size_t i = 0; i < request->author_count; i++) {
        ml_http_print(out, "%s{\"user\":", i ? "," : "");
        if (request->authors[i].author.len)
            ml_json_write_text(out, request->authors[i].author);
        else
            ml_http_print(out, "null");
        ml_http_print(out, ",\"records\":%" PRIu64 ",\"last_at_ms\":%" PRId64 "}",
                      request->authors[i].records, request->authors[i].last_ms);
    }
    ml_http_print(out, "],\"authors_since_seq\":%" PRIu64 "}",
                  request->head > ML_AUTHOR_RECORDS ? request->head - ML_AUTHOR_RECORDS + 1 : 1);
}

static void on_described(struct ml_describe *request)
{
    struct describing *describing = ML_CONTAINER(request, struct describing, request);
    struct ml_call *call = describing->call;
    char fields[64];
    struct ml_writer body;

    if (request->err || !request->exists || request->deleted_ms) {
        ml_describe_release(request);
        if (!request->err && !request->deleted_ms)
            ml_call_error(call, 404, "not_found", "There is no such document.");
        else
            ml_call_failed(call, request->err ? request->err : ML_ENOTFOUND);
        return;
    }
    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    write_metadata(&body, request);
    (void)snprintf(fields, sizeof fields, "ETag: \"%" PRIu64 "\"\r\n", request->head);
    ml_describe_release(request);
    ml_call_json(call, 200, fields, &body);
}

void ml_api_metadata(struct ml_call *call)
{
    struct describing *describing = job_new(call, sizeof *describing);

    if (!describing)
        return;
    *describing = (struct describing){
        .request = {.org = call->org, .name = call->name, .done = on_described}, .call = call};
    ml_call_wait(call);
    ml_journal_describe(call->net->env.journal, &describing->request);
}

/* ---- delete, undelete ------------------------------------------------------------------------ */

struct deleting {
    struct ml_set_deleted request;
    struct ml_call *call;
};

static void answer_deleted(struct ml_call *call)
{
    struct ml_writer body;

    ml_writer_init(&body, 16);
    ml_call_json(call, 204, "", &body);
}

static void on_told(void *arg, enum ml_err err)
{
    struct ml_call *call = arg;

    if (err)
        ml_log(ML_LOG_ERROR, "hook.untold", "org=%s doc=%s hook=document_deleted reason=%s",
               ML_LOG_TEXT(call->org), ML_LOG_TEXT(call->name), ml_err_name(err));
    answer_deleted(call);
}

/* document_deleted is durable before whoever asked hears that it is done. */
static void tell_and_answer(struct ml_call *call)
{
    struct ml_writer args;
    struct ml_later later = {.hook = "document_deleted",
                             .org = call->org,
                             .document = call->name,
                             .done = on_told,
                             .arg = call};
    bool is_told;

    ml_writer_init(&args, 8192);
    ml_http_print(&args, "{\"id\":");
    ml_json_write_text(&args, call->name);
    ml_http_print(&args, ",\"org\":");
    ml_json_write_text(&args, call->org);
    ml_http_print(&args, "}");
    later.args = ml_writer_slice(&args);
    is_told = !args.err && ml_rooms_tell_later(call->net->env.rooms, &later);
    ml_writer_release(&args);
    if (!is_told)
        answer_deleted(call);
}

static void on_set_deleted(struct ml_set_deleted *request)
{
    struct deleting *deleting = ML_CONTAINER(request, struct deleting, request);
    struct ml_call *call = deleting->call;

    if (request->err == ML_ENOTFOUND || (!request->err && request->deleted && !request->changed)) {
        ml_call_error(call, 404, "not_found", "There is no such document.");
        return;
    }
    if (request->err) {
        ml_call_failed(call, request->err);
        return;
    }
    if (request->changed) {
        ml_purger_wake(call->net);
        ml_call_audit(call, request->deleted ? "document.deleted" : "document.undeleted",
                      call->name, "ok");
        ml_log(ML_LOG_INFO, request->deleted ? "document.deleted" : "document.undeleted",
               "org=%s doc=%s user=%s", ML_LOG_TEXT(call->org), ML_LOG_TEXT(call->name),
               ML_LOG_TEXT(ml_slice_str(call->visitor.identity.user)));
        (void)ml_rooms_dismiss(call->net->env.rooms, call->org, call->name,
                               request->deleted ? ML_CLOSE_DELETED : ML_CLOSE_TRY_LATER,
                               request->deleted ? "the document was deleted"
                                                : "the document is loaded again");
    }
    if (request->deleted)
        tell_and_answer(call);
    else
        answer_deleted(call);
}

static void set_deleted(struct ml_call *call, bool deleted)
{
    struct deleting *deleting = job_new(call, sizeof *deleting);

    if (!deleting)
        return;
    *deleting = (struct deleting){
        .request = {.org = call->org,
                    .name = call->name,
                    .deleted = deleted,
                    .at_ms = ml_clock_wall_ms(),
                    .done = on_set_deleted},
        .call = call,
    };
    ml_journal_set_deleted(call->net->env.journal, &deleting->request);
}

static void on_may_delete(void *arg, enum ml_err err, const struct ml_denial *denial)
{
    struct ml_call *call = arg;

    if (err == ML_EDENIED) {
        ml_call_audit(call, "document.deleted", call->name, "denied");
        ml_call_denial(call, denial);
    } else if (err) {
        ml_call_error(call, 503, "policy_unavailable", "A policy cannot answer now.");
    } else {
        set_deleted(call, true);
    }
}

void ml_api_delete(struct ml_call *call)
{
    struct ml_script *script = ml_net_script(call->net, call->org, call->name);

    ml_call_wait(call);
    if (script)
        ml_script_may_delete(script, call->org, call->name, on_may_delete, call);
    else
        set_deleted(call, true);
}

void ml_api_undelete(struct ml_call *call)
{
    ml_call_wait(call);
    set_deleted(call, false);
}

/* ---- history --------------------------------------------------------------------------------- */

struct history {
    struct ml_history request;
    struct ml_call *call;
};

static void write_history(struct ml_writer *out, const struct ml_history *request)
{
    char cursor[24] = "";

    ml_http_print(out, "{\"items\":[");
    for (size_t i = 0; i < request->count; i++) {
        const struct ml_history_item *item = &request->items[i];

        ml_http_print(out, "%s{\"seq\":%" PRIu64 ",\"at_ms\":%" PRId64 ",\"user\":", i ? "," : "",
                      item->seq, item->at_ms);
        if (item->author.len)
            ml_json_write_text(out, item->author);
        else
            ml_http_print(out, "null");
        ml_http_print(out, ",\"session\":");
        if (item->session.len)
            ml_json_write_text(out, item->session);
        else
            ml_http_print(out, "null");
        ml_http_print(out, ",\"bytes\":%" PRIu64, item->bytes);
        if (item->labels.len) {
            ml_http_print(out, ",\"labels\":");
            ml_write_bytes(out, item->labels);
        }
        ml_http_print(out, "}");
        (void)snprintf(cursor, sizeof cursor, "%" PRIu64, item->seq);
    }
    write_next(out, request->more, ml_slice_str(cursor));
}

static void on_history(struct ml_history *request)
{
    struct history *history = ML_CONTAINER(request, struct history, request);
    struct ml_call *call = history->call;
    struct ml_writer body;

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    if (!request->err)
        write_history(&body, request);
    ml_history_release(request);
    if (!request->err && request->exists) {
        ml_call_json(call, 200, "", &body);
        return;
    }
    ml_writer_release(&body);
    if (request->err)
        ml_call_failed(call, request->err);
    else
        ml_call_error(call, 404, "not_found", "There is no such document.");
}

void ml_api_history(struct ml_call *call)
{
    uint64_t limit, before;
    struct history *history;

    if (!ml_call_number(call, "limit", 1, LIST_MAX, LIST_DEFAULT, &limit) ||
        !ml_call_number(call, "before", 1, ML_VARUINT_MAX, ML_SEQ_ANY, &before))
        return;
    history = job_new(call, sizeof *history);
    if (!history)
        return;
    *history = (struct history){
        .request = {.org = call->org,
                    .name = call->name,
                    .before_seq = before,
                    .limit = (size_t)limit,
                    .done = on_history},
        .call = call,
    };
    ml_call_wait(call);
    ml_journal_history(call->net->env.journal, &history->request);
}

/* ---- sessions -------------------------------------------------------------------------------- */

struct session_list {
    struct ml_writer *out;
    bool any;
};

static void write_session(void *arg, const struct ml_room_session *session)
{
    struct session_list *list = arg;

    ml_http_print(list->out, "%s{\"id\":", list->any ? "," : "");
    list->any = true;
    ml_json_write_text(list->out, ml_slice_str(session->identity->session));
    ml_http_print(list->out, ",\"user\":");
    ml_json_write_text(list->out, ml_slice_str(session->identity->user));
    ml_http_print(list->out, ",\"name\":");
    ml_json_write_text(list->out, ml_slice_str(session->identity->name));
    ml_http_print(list->out, ",\"write\":%s}",
                  ml_grant_allows(session->grant, ML_MAY_WRITE) ? "true" : "false");
}

void ml_api_sessions(struct ml_call *call)
{
    struct ml_writer body;
    struct session_list list = {&body, false};

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_http_print(&body, "{\"items\":[");
    ml_rooms_each_session(call->net->env.rooms, call->org, call->name, write_session, &list);
    write_next(&body, false, ML_SLICE(""));
    ml_call_json(call, 200, "", &body);
}

void ml_api_remove_session(struct ml_call *call)
{
    struct ml_writer body;

    const struct ml_who who = {.org = call->org, .document = call->name, .session = call->session};
    bool is_here =
        ml_rooms_remove_session(call->net->env.rooms, call->org, call->name, call->session);

    if (!is_here && !call->net->env.is_shared) {
        ml_call_error(call, 404, "not_found", "There is no such session.");
        return;
    }
    /* Nobody here can say whether it is on another node: they are told. */
    if (!is_here && ml_kick(call->net, &who, ml_slice_make(NULL, 0))) {
        ml_call_error(call, 503, "overloaded", "Try again later.");
        return;
    }
    ml_call_audit(call, "session.removed", call->session, "ok");
    ml_log(ML_LOG_INFO, "session.removed", "org=%s doc=%s session=%s user=%s",
           ML_LOG_TEXT(call->org), ML_LOG_TEXT(call->name), ML_LOG_TEXT(call->session),
           ML_LOG_TEXT(ml_slice_str(call->visitor.identity.user)));
    ml_writer_init(&body, 16);
    ml_call_json(call, is_here ? 204 : 202, "", &body);
}

void ml_api_openapi(struct ml_call *call)
{
    struct ml_writer body;

    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_api_describe(&body);
    ml_call_json(call, 200, "", &body);
}
