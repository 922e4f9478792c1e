/* SPDX-License-Identifier: MIT */
/*
 * The life of a call, and what is the same for every route: finding the row, method, origin, who
 * asks and what they may, the body, errors.
 *
 *            no row, method, origin,         body whole
 *   head --> refused ------------> answered      |
 *        \-> call -- (body) ---------------------+--> run --> answered, call freed
 *                                                       \--> ml_call_wait --> later: answered
 *
 * What changes something is refused to pages of other sites, whatever credentials they carry
 * (SEC-CS-01): a foreign Origin, or a browser that says cross-site.
 */
#include "net/api.h"

#include "base/assert.h"
#include "base/log.h"
#include "net/cors.h"
#include "net/limit.h"
#include "net/shares.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_MAX (64u << 20)
#define PARTS_MAX 10
#define ALLOW_MAX 128

/* ---- finding the row ------------------------------------------------------------------------- */

/* What stands at the {parts} of a path, still escaped. */
struct parts {
    struct ml_slice org, doc, id, version;
};

static struct ml_slice take_segment(struct ml_slice *path)
{
    const uint8_t *at = path->len ? memchr(path->ptr, '/', path->len) : NULL;
    size_t len = at ? (size_t)(at - path->ptr) : path->len;
    struct ml_slice segment = ml_slice_make(path->ptr, len);
    size_t skip = at ? len + 1 : len;

    path->ptr += skip;
    path->len -= skip;
    return segment;
}

static bool fits(const char *pattern_text, struct ml_slice path, struct parts *out)
{
    struct ml_slice pattern = ml_slice_str(pattern_text);
    bool ends_in_slash = path.len && path.ptr[path.len - 1] == '/';

    *out = (struct parts){0};
    while (pattern.len && path.len) {
        struct ml_slice want = take_segment(&pattern), is = take_segment(&path);

        if (ml_slice_equal(want, ML_SLICE("{org}")))
            out->org = is;
        else if (ml_slice_equal(want, ML_SLICE("{doc}")))
            out->doc = is;
        else if (ml_slice_equal(want, ML_SLICE("{id}")))
            out->id = is;
        else if (ml_slice_equal(want, ML_SLICE("{version}")))
            out->version = is;
        else if (!ml_slice_equal(want, is))
            return false;
        if (!is.len && want.len)
            return false;
    }
    return !pattern.len && !path.len && !ends_in_slash;
}

static bool method_fits(enum ml_method route, enum ml_method asked)
{
    return route == asked || (route == ML_METHOD_GET && asked == ML_METHOD_HEAD);
}

static void add_method(char *allow, const char *method)
{
    size_t len = strlen(allow);

    (void)snprintf(allow + len, ALLOW_MAX - len, "%s%s", len > strlen("Allow: ") ? ", " : "",
                   method);
}

/* The row, or NULL: then `allow` lists what may be done at this path, empty if nothing is there. */
static const struct ml_api_route *find(const struct ml_head *head, struct parts *parts, char *allow)
{
    static const char *const names[] = {[ML_METHOD_GET] = "GET, HEAD",
                                        [ML_METHOD_POST] = "POST",
                                        [ML_METHOD_PUT] = "PUT",
                                        [ML_METHOD_DELETE] = "DELETE"};
    bool is_there = false;

    (void)snprintf(allow, ALLOW_MAX, "Allow: ");
    for (size_t i = 0; i < ml_api_route_count; i++) {
        const struct ml_api_route *route = &ml_api_routes[i];

        if (!fits(route->path, head->path, parts))
            continue;
        if (method_fits(route->method, head->method))
            return route;
        add_method(allow, names[route->method]);
        is_there = true;
    }
    if (is_there)
        add_method(allow, "OPTIONS\r\n");
    else
        allow[0] = '\0';
    return NULL;
}

/* ---- the call -------------------------------------------------------------------------------- */

static void call_free(struct ml_call *call)
{
    call->net->calls--;
    call->net->body_bytes -= call->body.len;
    ml_ask_drop(&call->ask);
    ml_writer_release(&call->body);
    ml_arena_release(&call->arena);
    free(call);
}

static void on_http_gone(struct ml_http *http)
{
    struct ml_call *call = http->waiter;

    call->http = NULL;
    if (call->on_gone)
        call->on_gone(call);
}

/* The body was on its way: nothing else has begun. */
static void on_upload_gone(struct ml_http *http)
{
    call_free(http->waiter);
}

struct ml_call *ml_call_new(struct ml_http *http, const struct ml_api_route *route)
{
    struct ml_call *call = calloc(1, sizeof *call);

    if (!call)
        return NULL;
    call->net = http->net;
    call->http = http;
    call->route = route;
    (void)snprintf(call->ip, sizeof call->ip, "%s", http->ip);
    ml_arena_init(&call->arena, ARENA_MAX);
    http->net->calls++;
    return call;
}

void ml_call_wait(struct ml_call *call)
{
    ml_http_wait(call->http, call, on_http_gone);
}

/* Whoever waits may go on; the call is gone. */
static void end(struct ml_call *call)
{
    struct ml_http *http = call->http;

    call_free(call);
    if (!http)
        return;
    http->on_gone = NULL;
    if (!http->is_routing)
        ml_http_resume(http);
}

void ml_call_answer(struct ml_call *call, unsigned status, const char *type, const char *fields,
                    struct ml_writer *body)
{
    if (call->http && body->err)
        ml_http_answer_error(call->http, 500, "internal", "The answer could not be made.");
    else if (call->http)
        ml_http_answer_own(call->http, status, type, fields, body);
    ml_writer_release(body);
    end(call);
}

void ml_call_json(struct ml_call *call, unsigned status, const char *fields, struct ml_writer *body)
{
    char all[4608]; /* three cookies, one of them a token */

    (void)snprintf(all, sizeof all, ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY "%s", fields);
    ml_call_answer(call, status, status == 204 ? NULL : ML_HTTP_JSON, all, body);
}

void ml_call_error(struct ml_call *call, unsigned status, const char *code, const char *message)
{
    if (call->http)
        ml_http_answer_error(call->http, status, code, message);
    end(call);
}

void ml_call_denial(struct ml_call *call, const struct ml_denial *denial)
{
    unsigned status = denial->status >= 400 && denial->status < 600 ? denial->status : 403;

    if (call->http)
        ml_http_answer_denial(call->http, status,
                              denial->code.len ? denial->code : ML_SLICE("denied"),
                              denial->reason.len ? denial->reason : ML_SLICE("Not allowed."), "");
    end(call);
}

void ml_call_failed(struct ml_call *call, enum ml_err err)
{
    static const struct {
        enum ml_err err;
        unsigned status;
        const char *code, *message;
    } rows[] = {
        {ML_ENOTFOUND, 404, "deleted", "The document was deleted."},
        {ML_EDENIED, 403, "suspended", "The org is suspended."},
        {ML_ECONFLICT, 409, "exists", "There is a document of that name, or it was deleted."},
        {ML_EMOVED, 412, "changed", "The document has changed since."},
        {ML_ELIMIT, 413, "too_large", "That is more than one document can hold."},
        {ML_EFORMAT, 500, "damaged", "The stored document is damaged."},
        {ML_EBUSY, 503, "overloaded", "Too much is waiting; try again later."},
        {ML_ECLOSED, 503, "unknown",
         "It may have been stored or not: read the document before trying again."},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].err == err) {
            ml_call_error(call, rows[i].status, rows[i].code, rows[i].message);
            return;
        }
    ml_call_error(call, 503, "storage", "The store does not answer now.");
}

/* ---- what the request says ------------------------------------------------------------------- */

struct ml_slice ml_call_parameter(const struct ml_call *call, const char *name)
{
    return ml_url_parameter(call->parameters, call->parameter_count, name);
}

static bool read_decimal(struct ml_slice text, uint64_t *out)
{
    *out = 0;
    if (!text.len || text.len > 16)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return true;
}

bool ml_call_number(struct ml_call *call, const char *name, uint64_t min, uint64_t max,
                    uint64_t missing, uint64_t *out)
{
    struct ml_slice text = ml_call_parameter(call, name);
    char message[128];

    *out = missing;
    if (!text.ptr)
        return true;
    if (read_decimal(text, out) && *out >= min && *out <= max)
        return true;
    (void)snprintf(message, sizeof message, "%s is a number from %" PRIu64 " to %" PRIu64 ".", name,
                   min, max);
    ml_call_error(call, 400, "bad_query", message);
    return false;
}

bool ml_call_if_match(struct ml_call *call, bool *given_out, uint64_t *out)
{
    struct ml_slice text = call->if_match;

    *given_out = text.ptr != NULL;
    *out = ML_SEQ_ANY;
    if (!*given_out)
        return true;
    if (text.len > 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"' &&
        read_decimal(ml_slice_make(text.ptr + 1, text.len - 2), out))
        return true;
    ml_call_error(call, 400, "bad_if_match", "If-Match is one seq in quotes.");
    return false;
}

/* False: answered on the connection. */
static bool may(struct ml_http *http, const struct ml_asker *visitor, unsigned bits)
{
    if (ml_grant_allows(&visitor->grant, bits))
        return true;
    ml_http_answer_error(http, 403, "denied", "You may not do this with this document.");
    return false;
}

/* SEC-AZ-09: a guest of a link never administers. False: answered. */
static bool may_be_guest(const struct ml_call *call)
{
    struct ml_slice nonce;

    if (!call->route->is_for_members || !call->visitor.is_own ||
        !ml_share_link_of(call->visitor.own.session, &nonce).len)
        return true;
    ml_http_answer_error(call->http, 403, "denied", "A guest may not do this.");
    return false;
}

static void on_asking_gone(struct ml_http *http)
{
    call_free(http->waiter);
}

/* False: answered on the connection. */
static bool is_within(struct ml_call *call, enum ml_rate rate)
{
    struct ml_denial denial;
    char fields[64];
    uint64_t wait_ms;

    wait_ms = call->org.len ? ml_limit_request(call->net, rate, call->org, call->http->ip,
                                               &call->visitor.identity, &denial)
                            : 0;
    if (!wait_ms)
        return true;
    (void)snprintf(fields, sizeof fields, "Retry-After: %llu\r\n",
                   (unsigned long long)(wait_ms / 1000 + 1));
    ml_http_answer_denial(call->http, 429, denial.code, denial.reason, fields);
    return false;
}

/* Once for each request, when it is known who it is. */
static bool is_within_rate(struct ml_call *call)
{
    if (call->is_counted)
        return true;
    call->is_counted = true;
    return is_within(call, ML_RATE_HTTP);
}

bool ml_call_may(struct ml_call *call, enum ml_rate rate)
{
    if (!call->http || is_within(call, rate))
        return true;
    end(call);
    return false;
}

static void go_on(struct ml_call *call)
{
    if (call->org.len)
        call->org = call->ask.source.org;
    if (ml_visitor_judge(call->http, &call->ask) && is_within_rate(call) &&
        may(call->http, &call->visitor, call->wanted) && may_be_guest(call))
        call->then(call);
    else
        end(call);
}

static void on_asked(struct ml_ask *ask)
{
    struct ml_call *call = ML_CONTAINER(ask, struct ml_call, ask);
    struct ml_http *http = call->http;

    ml_http_route_again(http);
    go_on(call);
    ml_http_routed(http);
}

static void ask(struct ml_call *call, const char *action, struct ml_slice name, unsigned bits)
{
    ML_ASSERT(call->http && call->http->is_routing);
    call->wanted = bits;
    call->ask.net = call->net;
    call->ask.arena = &call->arena;
    call->ask.asker = &call->visitor;
    call->ask.action = action ? ml_slice_str(action) : ml_slice_make(NULL, 0);
    call->ask.document = name;
    call->ask.done = on_asked;
    if (ml_ask_start(&call->ask)) {
        go_on(call);
        return;
    }
    ml_http_wait(call->http, call, on_asking_gone);
    call->http->minds_leaving = true;
}

void ml_call_ask(struct ml_call *call, const char *action, struct ml_slice name, unsigned bits,
                 void (*then)(struct ml_call *call))
{
    call->then = then;
    call->ask.is_identified = call->ask.is_veto = false;
    call->ask.source = (struct ml_request_source){
        .org = call->org, .head = call->head, .ip = ml_slice_str(call->http->ip)};
    ask(call, action, name, bits);
}

void ml_call_authorize(struct ml_call *call, const char *action, struct ml_slice name,
                       unsigned bits, void (*then)(struct ml_call *call))
{
    call->then = then;
    call->ask.is_identified = true;
    call->ask.is_veto = false;
    ask(call, action, name, bits);
}

void ml_call_veto(struct ml_call *call, const char *action, struct ml_slice name,
                  void (*then)(struct ml_call *call))
{
    call->then = then;
    call->ask.is_identified = call->ask.is_veto = true;
    ask(call, action, name, 0);
}

/* ---- from head to run ------------------------------------------------------------------------ */

/* Copies what the handler will need: the head goes. False: answered. */
static bool read_address(struct ml_call *call, const struct ml_head *head,
                         const struct parts *parts)
{
    struct ml_arena *arena = &call->arena;
    struct ml_slice query = ml_arena_copy(arena, head->query);
    struct ml_slice if_match = ml_head_field(head, "if-match");
    enum ml_err err = ML_OK;

    call->parameters = ml_arena_array(arena, ML_QUERY_MAX, sizeof *call->parameters);
    if (!call->parameters || ml_url_query(query, arena, call->parameters, &call->parameter_count)) {
        ml_http_answer_error(call->http, 400, "bad_query",
                             "The query of the address cannot be read.");
        return false;
    }
    if (if_match.ptr)
        call->if_match = ml_arena_copy(arena, if_match);
    if (parts->org.ptr)
        call->org = ml_arena_copy(arena, parts->org);
    if (parts->doc.ptr)
        err = ml_url_decode(parts->doc, arena, &call->name);
    if (!err && parts->id.ptr)
        err = ml_url_decode(parts->id, arena, &call->session);
    if (!err && parts->version.ptr)
        err = ml_url_decode(parts->version, arena, &call->version);
    if (err || (parts->org.ptr && !ml_org_is_valid(call->org)) ||
        (parts->doc.ptr && !ml_document_name_is_valid(call->name))) {
        ml_http_answer_error(call->http, 404, "not_found", "There is no such document.");
        return false;
    }
    return true;
}

static bool has_type(const struct ml_head *head, const char *wanted)
{
    struct ml_slice type = ml_head_field(head, "content-type");
    const uint8_t *end = type.len ? memchr(type.ptr, ';', type.len) : NULL;

    if (end)
        type.len = (size_t)(end - type.ptr);
    while (type.len && type.ptr[type.len - 1] == ' ')
        type.len--;
    return ml_head_equal(type, wanted);
}

/* False: answered. */
static bool judge_body(struct ml_http *http, const struct ml_head *head,
                       const struct ml_api_route *route)
{
    bool has_body = head->is_chunked || head->content_length;

    if (!has_body && (!route->body_max || route->is_body_optional))
        return true;
    if (!route->body_max) {
        http->keeps_alive = false;
        ml_http_answer_error(http, 400, "no_body", "This route takes no body.");
        return false;
    }
    if (head->content_length > route->body_max) {
        http->keeps_alive = false;
        ml_http_answer_error(http, 413, "too_large", "The body is too large.");
        return false;
    }
    if (route->body_type && !has_type(head, route->body_type)) {
        char message[128];

        (void)snprintf(message, sizeof message, "The Content-Type has to be %s.", route->body_type);
        http->keeps_alive = http->keeps_alive && !has_body;
        ml_http_answer_error(http, 415, "media_type", message);
        return false;
    }
    return true;
}

/* SEC-CS-01. False: answered. */
bool ml_api_is_from_here(struct ml_http *http, const struct ml_head *head)
{
    struct ml_slice site = ml_head_field(head, "sec-fetch-site");

    if (head->method == ML_METHOD_GET || head->method == ML_METHOD_HEAD)
        return true;
    if (ml_visitor_is_allowed_origin(http->net, head) &&
        (!site.ptr || !ml_head_equal(site, "cross-site") ||
         ml_head_field(head, "origin").ptr)) /* a listed origin may be another site */
        return true;
    http->keeps_alive = http->keeps_alive && !head->content_length && !head->is_chunked;
    ml_http_answer_error(http, 403, "origin", "This page may not change anything here.");
    return false;
}

static void on_body(struct ml_http *http)
{
    struct ml_call *call = http->waiter;

    call->body = http->taken; /* counted in net->body_bytes until the call ends */
    ml_writer_init(&http->taken, 0);
    call->route->run(call);
}

void ml_call_take_body(struct ml_call *call, const struct ml_head *head, size_t max_bytes)
{
    if (head->is_chunked || head->content_length)
        ml_http_take_body(call->http, head, max_bytes, call, on_body, on_upload_gone);
    else
        call->route->run(call);
}

void ml_call_drop(struct ml_call *call)
{
    call_free(call);
}

static void on_admitted(struct ml_call *call)
{
    call->http->keeps_alive = call->keeps_alive;
    ml_call_take_body(call, call->head, call->route->body_max);
}

static struct ml_slice read_bearer(struct ml_call *call, const struct ml_head *head)
{
    struct ml_slice field = ml_head_field(head, "authorization");

    if (field.len <= 7 || !ml_head_equal(ml_slice_make(field.ptr, 7), "bearer "))
        return ml_slice_make(NULL, 0);
    return ml_arena_copy(&call->arena, ml_slice_make(field.ptr + 7, field.len - 7));
}

static void begin(struct ml_http *http, const struct ml_head *head,
                  const struct ml_api_route *route, const struct parts *parts)
{
    bool has_body = head->is_chunked || head->content_length;
    struct ml_call *call = ml_call_new(http, route);

    if (call)
        call->head = ml_visitor_keep_head(http, head, &call->arena);
    if (call && !call->head) {
        call_free(call);
        call = NULL;
    }
    if (!call) {
        ml_http_answer_error(http, 503, "overloaded", "No memory for this now.");
        return;
    }
    call->keeps_alive = http->keeps_alive;
    http->keeps_alive = http->keeps_alive && !has_body; /* for refusals: nobody reads the body */
    if (route->is_local && !ml_visitor_is_this_machine(http, head)) {
        ml_http_answer_error(http, 403, "denied", "This is for the server's own machine only.");
        call_free(call);
        return;
    }
    if (!read_address(call, head, parts)) {
        call_free(call);
    } else if (route->is_keyed) {
        call->bearer = read_bearer(call, head);
        call->cookies = ml_arena_copy(&call->arena, ml_head_field(head, "cookie"));
        call->csrf = ml_arena_copy(&call->arena, ml_head_field(head, "x-ml-csrf"));
        on_admitted(call);
    } else {
        ml_call_ask(call, route->action, call->name, route->action ? route->may : 0, on_admitted);
    }
}

void ml_api_route(struct ml_http *http, const struct ml_head *head)
{
    char allow[ALLOW_MAX];
    struct parts parts;
    const struct ml_api_route *route = find(head, &parts, allow);

    if (route) {
        if (ml_api_is_from_here(http, head) && judge_body(http, head, route))
            begin(http, head, route, &parts);
        return;
    }
    http->keeps_alive = http->keeps_alive && !head->content_length && !head->is_chunked;
    if (!allow[0]) {
        ml_http_answer_error(http, 404, "not_found", "There is nothing at this address.");
    } else if (head->method == ML_METHOD_OPTIONS) {
        char fields[2 * ALLOW_MAX + 512], cors[ALLOW_MAX + 256];

        ml_cors_preflight(http, head, allow, cors, sizeof cors);
        (void)snprintf(fields, sizeof fields, ML_HTTP_NO_STORE "%s%s", allow, cors);
        ml_http_begin(http, 204, NULL, fields, 0);
    } else {
        ml_http_answer_denial(http, 405, ML_SLICE("method"),
                              ML_SLICE("This method is not understood here."), allow);
    }
}
