/* SPDX-License-Identifier: MIT */
/*
 * What plugins answer themselves: /x/INSTANCE/… by their `routes`, below /api/v1/orgs/ORG those of
 * another org than "default", and calls by name (`rpc`).
 *
 *   head --> instance, route? --> origin, size --> who asks, which roles --> (body) --> Lua -->
 * answer 404                403, 413            401, 403              |  ^ v  | waits client gone:
 * cancelled
 *
 * The plugin's function is looked for again when the body is there: the plugins may be others then.
 */
#include "net/plugin_routes.h"

#include "net/api.h"
#include "net/rpc_doc.h"
#include "net/url.h"

#include <stdio.h>
#include <stdlib.h>

#define PREFIX       ML_SLICE("/x/")
#define ORGS         ML_SLICE("/api/v1/orgs/")
#define FIELDS_BYTES (64u << 10)
#define RPC_NAME_MAX 128

struct plugin_call {
    struct ml_script *script;
    uint64_t id; /* 0: over */
    bool *over;  /* of whoever starts it; NULL: already away */
    struct ml_slice instance, path;
    struct ml_script_request request;
    bool is_cacheable;
    struct ml_rpc_doc *about; /* the document that it is about; NULL: none */
};

/* ---- Who may --------------------------------------------------------------------------------- */

static bool has_role(const struct ml_work *work, const struct ml_script_identity *who)
{
    for (size_t i = 0; i < work->role_count; i++)
        for (size_t j = 0; j < who->role_count; j++)
            if (ml_slice_equal(work->roles[i], who->roles[j]))
                return true;
    return work->role_count == 0;
}

/* 0: yes; otherwise the status. */
static unsigned judge(const struct ml_work *work, const struct ml_asker *asker)
{
    if (work->is_public)
        return 0;
    if (!asker->identity.user[0])
        return 401;
    return has_role(work, &asker->facts) ? 0 : 403;
}

static void answer_no(struct ml_http *http, unsigned status)
{
    if (status == 401)
        ml_http_answer_error(http, 401, "sign_in", "Sign in first.");
    else
        ml_http_answer_error(http, 403, "denied", "You may not do this.");
}

/* ---- Running --------------------------------------------------------------------------------- */

static struct plugin_call *plugin_call_of(struct ml_call *call)
{
    if (!call->job)
        call->job = ml_arena_alloc(&call->arena, sizeof(struct plugin_call));
    return call->job;
}

/* May end the call. */
static void on_gone(struct ml_call *call)
{
    struct plugin_call *plugin = call->job;

    if (plugin->id)
        ml_script_cancel(plugin->script, plugin->id);
}

/* `work` with `input`; the call ends in `done`. True: it waits; false: it is gone. */
static bool run(struct ml_call *call, struct ml_script *script, const struct ml_work *work,
                const struct ml_work_input *input, ml_work_done done)
{
    struct plugin_call *plugin = call->job;
    bool over = false;
    uint64_t id;

    plugin->over = &over;
    id = ml_script_do(script, work, input, done, call);
    if (over)
        return false; /* answered, or on its way, and not ours any more */
    plugin->over = NULL;
    plugin->script = script;
    plugin->id = id;
    call->on_gone = on_gone;
    ml_call_wait(call);
    call->http->minds_leaving = true;
    return true;
}

static void note_over(struct ml_call *call)
{
    struct plugin_call *plugin = call->job;

    if (plugin->over)
        *plugin->over = true;
    plugin->id = 0;
    call->on_gone = NULL;
}

static void answer_failed(struct ml_call *call, unsigned status)
{
    ml_call_error(call, status, "policy_unavailable",
                  "This part of the server does not work just now.");
}

/* ---- Routes ---------------------------------------------------------------------------------- */

static bool is_type(struct ml_slice name)
{
    return ml_head_equal(name, "content-type");
}

static void on_route_done(void *arg, const struct ml_work_output *output)
{
    struct ml_call *call = arg;
    struct plugin_call *plugin = call->job;
    struct ml_writer fields, body;
    struct ml_slice type = ml_slice_make(NULL, 0);
    bool has_cookie = false;

    note_over(call);
    if (output->end != ML_WORK_DONE) {
        answer_failed(call, 500);
        return;
    }
    ml_writer_init(&fields, FIELDS_BYTES);
    for (size_t i = 0; i < output->header_count; i++) {
        const struct ml_script_pair *header = &output->headers[i];

        if (is_type(header->name)) {
            type = header->value;
            continue;
        }
        has_cookie = has_cookie || ml_head_equal(header->name, "set-cookie");
        if (ml_head_equal(header->name, "cache-control"))
            continue;
        ml_http_print(&fields, "%.*s: %.*s\r\n", ML_PRINT(header->name), ML_PRINT(header->value));
    }
    /* What is said about caches counts only where the manifest lets it (plugin-api 6.7). */
    if (!plugin->is_cacheable || has_cookie)
        ml_http_print(&fields, "%s", ML_HTTP_NO_STORE);
    for (size_t i = 0; plugin->is_cacheable && !has_cookie && i < output->header_count; i++)
        if (ml_head_equal(output->headers[i].name, "cache-control"))
            ml_http_print(&fields, "Cache-Control: %.*s\r\n", ML_PRINT(output->headers[i].value));
    ml_http_print(&fields, "%s", ML_HTTP_DATA_POLICY);
    ml_write_u8(&fields, 0);
    ml_writer_init(&body, 32u << 20);
    ml_write_bytes(&body, output->value);
    if (fields.err) {
        ml_writer_release(&body);
        answer_failed(call, 500);
    } else {
        struct ml_slice kept = type.ptr ? ml_arena_copy(&call->arena, type) : type;

        ml_call_answer(call, output->status ? output->status : 200,
                       kept.ptr ? (const char *)kept.ptr : "text/plain; charset=utf-8",
                       (const char *)ml_writer_slice(&fields).ptr, &body);
    }
    ml_writer_release(&fields);
}

static void run_route(struct ml_call *call)
{
    struct plugin_call *plugin = call->job;
    struct ml_script *script = ml_net_script(call->net, call->org, ml_slice_make(NULL, 0));
    struct ml_script_pair params[ML_WORK_PARAMS_MAX];
    struct ml_work_input input = {
        .identity = call->visitor.identity.user[0] ? &call->visitor.facts : NULL,
        .request = &plugin->request,
        .params = params,
        .body = ml_writer_slice(&call->body),
    };
    const struct ml_work *work =
        script ? ml_script_find_route(script, plugin->instance, plugin->request.method,
                                      plugin->path, params, &input.param_count)
               : NULL;

    if (!work || judge(work, &call->visitor)) {
        ml_call_error(call, 404, "not_found", "There is nothing at this address.");
        return;
    }
    plugin->is_cacheable = work->is_cacheable;
    (void)run(call, script, work, &input, on_route_done);
}

static const struct ml_api_route plugin_route = {
    .path = "/x/", .id = "pluginRoute", .run = run_route};

/* Everything that is read later, in the call's own memory. False: no room. */
static bool keep(struct ml_arena *arena, struct ml_slice *text)
{
    if (!text->ptr)
        return true;
    *text = ml_arena_copy(arena, *text);
    return text->ptr != NULL;
}

static bool keep_pairs(struct ml_arena *arena, const struct ml_script_pair *from, size_t count)
{
    struct ml_script_pair *pairs = (struct ml_script_pair *)(uintptr_t)from;

    for (size_t i = 0; i < count; i++)
        if (!keep(arena, &pairs[i].name) || !keep(arena, &pairs[i].value))
            return false;
    return true;
}

static bool keep_request(struct ml_arena *arena, struct ml_script_request *request)
{
    struct ml_slice *texts[] = {&request->method, &request->path,   &request->ip,
                                &request->host,   &request->origin, &request->token};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!keep(arena, texts[i]))
            return false;
    return keep_pairs(arena, request->headers, request->header_count) &&
           keep_pairs(arena, request->query, request->query_count) &&
           keep_pairs(arena, request->cookies, request->cookie_count);
}

/* "crm/hook" -> instance "crm", path "/hook"; an instance may have a label: "webhook/crm/hook". */
static const struct ml_work *find(const struct ml_script *script, struct ml_slice method,
                                  struct ml_slice rest, struct ml_slice *instance_out,
                                  struct ml_slice *path_out)
{
    struct ml_script_pair params[ML_WORK_PARAMS_MAX];
    size_t count, at = 0;

    for (int parts = 0; parts < 2; parts++) {
        const uint8_t *slash = at < rest.len ? memchr(rest.ptr + at, '/', rest.len - at) : NULL;
        const struct ml_work *work;

        if (!slash)
            return NULL;
        *instance_out = ml_slice_make(rest.ptr, (size_t)(slash - rest.ptr));
        *path_out = ml_slice_make(slash, rest.len - instance_out->len);
        work = ml_script_find_route(script, *instance_out, method, *path_out, params, &count);
        if (work)
            return work;
        at = instance_out->len + 1;
    }
    return NULL;
}

/* False: answered. */
static bool is_welcome(struct ml_http *http, const struct ml_head *head, const struct ml_work *work)
{
    if (work->checks_csrf && !ml_api_is_from_here(http, head))
        return false;
    if (head->content_length <= work->max_body)
        return true;
    http->keeps_alive = false;
    ml_http_answer_error(http, 413, "too_large", "The body is too large.");
    return false;
}

/* It is known who asks; the plugin may be another one by now. */
static void on_known(struct ml_call *call)
{
    const struct plugin_call *plugin = plugin_call_of(call);
    struct ml_script *script = ml_net_script(call->net, call->org, ml_slice_make(NULL, 0));
    struct ml_script_pair params[ML_WORK_PARAMS_MAX];
    size_t count;
    const struct ml_work *work =
        script ? ml_script_find_route(script, plugin->instance, plugin->request.method,
                                      plugin->path, params, &count)
               : NULL;
    unsigned no = work ? judge(work, &call->visitor) : 404;

    if (no) {
        if (work)
            answer_no(call->http, no);
        else
            ml_http_answer_error(call->http, 404, "not_found", "There is nothing at this address.");
        ml_call_drop(call);
        return;
    }
    ml_call_take_body(call, call->head, (size_t)work->max_body);
}

static void begin(struct ml_http *http, const struct ml_head *head, struct ml_slice org,
                  struct ml_slice instance, struct ml_slice path)
{
    struct ml_request_source source = {.org = org, .head = head, .ip = ml_slice_str(http->ip)};
    struct ml_call *call = ml_call_new(http, &plugin_route);
    struct plugin_call *plugin = call ? plugin_call_of(call) : NULL;

    if (plugin)
        call->head = ml_visitor_keep_head(http, head, &call->arena);
    if (!plugin || !call->head) {
        ml_http_answer_error(http, 503, "overloaded", "No memory for this now.");
        if (call)
            ml_call_drop(call);
        return;
    }
    call->org = ml_arena_copy(&call->arena, org);
    plugin->instance = ml_arena_copy(&call->arena, instance);
    plugin->path = ml_arena_copy(&call->arena, path);
    if (!ml_ask_request(&source, &call->arena, &plugin->request) ||
        !keep_request(&call->arena, &plugin->request)) {
        ml_http_answer_error(http, 400, "bad_query", "The query of the address cannot be read.");
        ml_call_drop(call);
        return;
    }
    if (head->method == ML_METHOD_HEAD)
        plugin->request.method = ML_SLICE("GET");
    ml_call_ask(call, NULL, ml_slice_make(NULL, 0), 0, on_known);
}

/* "/x/REST" is of "default", "/api/v1/orgs/ORG/x/REST" of ORG. False: another address. */
static bool read_address(struct ml_slice path, struct ml_slice *org_out, struct ml_slice *rest_out)
{
    *org_out = ML_SLICE("default");
    if (ml_url_has_prefix(path, ORGS)) {
        const uint8_t *slash;

        path = ml_slice_make(path.ptr + ORGS.len, path.len - ORGS.len);
        slash = path.len ? memchr(path.ptr, '/', path.len) : NULL;
        if (!slash)
            return false;
        *org_out = ml_slice_make(path.ptr, (size_t)(slash - path.ptr));
        path = ml_slice_make(slash, path.len - org_out->len);
    }
    if (!ml_url_has_prefix(path, PREFIX) || !ml_org_is_valid(*org_out))
        return false;
    *rest_out = ml_slice_make(path.ptr + PREFIX.len, path.len - PREFIX.len);
    return true;
}

bool ml_plugin_route_is(struct ml_slice path)
{
    struct ml_slice org, rest;

    return read_address(path, &org, &rest);
}

void ml_plugin_route(struct ml_http *http, const struct ml_head *head)
{
    struct ml_slice method = head->method == ML_METHOD_HEAD ? ML_SLICE("GET") : head->method_text;
    struct ml_slice org, rest, instance, path;
    struct ml_script *script = read_address(head->path, &org, &rest)
                                   ? ml_net_script(http->net, org, ml_slice_make(NULL, 0))
                                   : NULL;
    const struct ml_work *work = script ? find(script, method, rest, &instance, &path) : NULL;

    if (!work) {
        http->keeps_alive = http->keeps_alive && !head->content_length && !head->is_chunked;
        ml_http_answer_error(http, 404, "not_found", "There is nothing at this address.");
        return;
    }
    if (is_welcome(http, head, work))
        begin(http, head, org, instance, path);
}

/* ---- Calls by name --------------------------------------------------------------------------- */

static void on_rpc_done(void *arg, const struct ml_work_output *output)
{
    struct ml_call *call = arg;
    struct ml_rpc_doc *about = plugin_call_of(call)->about;
    struct ml_writer body;
    char code[64], text[256];

    note_over(call);
    if (about && output->end == ML_WORK_DONE && ml_rpc_doc_deliver(about, output->value))
        return;
    ml_rpc_doc_drop(about);
    switch (output->end) {
    case ML_WORK_DONE:
        ml_writer_init(&body, 16u << 20);
        ml_write_bytes(&body, output->value);
        ml_call_json(call, 200, "", &body);
        return;
    case ML_WORK_DENIED:
        ml_call_denial(call, &output->denial);
        return;
    case ML_WORK_REFUSED:
        (void)snprintf(code, sizeof code, "%.*s", ML_PRINT(output->kind));
        (void)snprintf(text, sizeof text, "%.*s", ML_PRINT(output->text));
        ml_call_error(call, strcmp(code, "EFORMAT") == 0 ? 400 : 422, code[0] ? code : "refused",
                      text[0] ? text : "The plugin says no.");
        return;
    case ML_WORK_AGAIN:
    case ML_WORK_GIVEN_UP:
    case ML_WORK_FAILED:
        break;
    }
    answer_failed(call, 503);
}

static const struct ml_work *find_rpc(struct ml_call *call, struct ml_script **script_out)
{
    struct ml_script *script = ml_net_script(call->net, call->org, ml_slice_make(NULL, 0));

    *script_out = script;
    return script ? ml_script_find_work(script, ML_WORK_RPC, ml_slice_make(NULL, 0), call->session)
                  : NULL;
}

static void answer_no_rpc(struct ml_call *call)
{
    ml_call_error(call, 404, "not_found", "No plugin has a function of that name.");
}

static void run_rpc(struct ml_call *call, const struct ml_doc *doc, struct ml_doc_port *port)
{
    struct plugin_call *plugin = plugin_call_of(call);
    const struct ml_grant *grant = &call->visitor.grant;
    const struct ml_script_grant rights = {
        .given = true,
        .read = ml_grant_allows(grant, ML_MAY_READ),
        .write = ml_grant_allows(grant, ML_MAY_WRITE),
        .presence = ml_grant_allows(grant, ML_MAY_PRESENCE),
        .messages = ml_grant_allows(grant, ML_MAY_MESSAGE),
        .history = ml_grant_allows(grant, ML_MAY_HISTORY),
        .everywhere = ml_grant_allows(grant, ML_MAY_WRITE | ML_MAY_EVERYWHERE),
    };
    const struct ml_work_input input = {
        .args_json = ml_writer_slice(&call->body),
        .document = ml_call_parameter(call, "doc"),
        .session = call->visitor.facts.session,
        .identity = &call->visitor.facts,
        .org = call->org,
        .grant = doc ? &rights : NULL,
        .doc = doc,
        .port = port,
    };
    struct ml_script *script;
    const struct ml_work *work = find_rpc(call, &script);

    if (!work || work->wants_doc != (doc != NULL)) { /* the plugins are others by now */
        ml_rpc_doc_drop(plugin->about);
        answer_no_rpc(call);
        return;
    }
    if (run(call, script, work, &input, on_rpc_done) && plugin->about)
        ml_rpc_doc_waits(plugin->about);
}

static void open_rpc_document(struct ml_call *call)
{
    ml_rpc_doc_start(call, &plugin_call_of(call)->about, run_rpc);
}

/* False: answered. */
static bool may_call(struct ml_call *call, const struct ml_work *work)
{
    unsigned no = judge(work, &call->visitor);

    if (no)
        ml_call_error(call, no, no == 401 ? "sign_in" : "denied",
                      no == 401 ? "Sign in first." : "You may not do this.");
    return !no;
}

/* Nobody says no to this function; what it is about is another question. */
static void on_not_denied(struct ml_call *call)
{
    struct ml_script *script;
    const struct ml_work *work = find_rpc(call, &script);

    if (!work) { /* the plugins are others by now */
        answer_no_rpc(call);
    } else if (!work->wants_doc) {
        run_rpc(call, NULL, NULL);
    } else {
        call->name = ml_call_parameter(call, "doc");
        ml_call_authorize(call, "doc.open", call->name, ML_MAY_READ, open_rpc_document);
    }
}

void ml_api_rpc(struct ml_call *call)
{
    struct ml_slice document = ml_call_parameter(call, "doc");
    struct ml_script *script;
    char *action;
    const struct ml_work *work = find_rpc(call, &script);

    if (!work) {
        answer_no_rpc(call);
        return;
    }
    if (!may_call(call, work) || !ml_call_may(call, ML_RATE_RPC))
        return;
    if (work->wants_doc && !document.len) {
        ml_call_error(call, 400, "bad_query",
                      "This function is about a document: say which with ?doc=");
        return;
    }
    if (document.len && !ml_document_name_is_valid(document)) {
        ml_call_error(call, 404, "not_found", "There is no such document.");
        return;
    }
    action = ml_arena_alloc(&call->arena, RPC_NAME_MAX + 8);
    if (!plugin_call_of(call) || !action) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    (void)snprintf(action, RPC_NAME_MAX + 8, "rpc.%.*s", ML_PRINT(call->session));
    ml_call_veto(call, action, document, on_not_denied);
}
