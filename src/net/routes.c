/* SPDX-License-Identifier: MIT */
/*
 * What is answered: the web application, the API (api.c), and the upgrade that turns a connection
 * into a session.
 *
 *   GET /sync/ORG/NAME    WebSocket: y-websocket, one document (session_ywebsocket.c)
 *   GET /collab/ORG       WebSocket: Hocuspocus, many documents (session_hocuspocus.c)
 *   /api/…                the table in api_table.c
 *   GET /auth/session     who the server thinks is asking
 *   GET /healthz /readyz /metrics
 *   /x/INSTANCE/…         what plugins answer (plugin_routes.c), /api/v1/orgs/ORG/x/… in other orgs
 *   GET /d/ORG/DOC…       what is published (publish.c)
 *   GET / /edit/ORG/NAME /sign-in /setup /invite /password
 *                         the page, with a fresh nonce
 *   GET anything else     the table of assets, or 404
 *
 * Nothing is allocated for a document before its grant is known (SEC-WS-02).
 */
#include "net/api.h"
#include "net/cors.h"
#include "net/metrics.h"
#include "net/plugin_routes.h"
#include "net/publish.h"
#include "net/visitor.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define BODY_MAX_BYTES (1u << 20) /* SEC-LM-03; outside of the API no route takes one */
#define SYNC_PREFIX    ML_SLICE("/sync/")
#define COLLAB_PREFIX  ML_SLICE("/collab/")

/* SEC-WEB-01, around the nonce. */
#define PAGE_POLICY_BEFORE                                                                         \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"
#define PAGE_POLICY_AFTER                                                                          \
    "'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "    \
    "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src "  \
    "'none'\r\n"

/* ---- routes ---------------------------------------------------------------------------------- */

/* Where what a request needs stands while it is answered. */
struct request {
    struct ml_http *http;
    const struct ml_head *head;
};

static void route_health(const struct request *request)
{
    ml_http_answer(request->http, 200, ML_HTTP_PLAIN, ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY,
                   ML_SLICE("ok\n"));
}

/* Words that say what works, and nothing of where or why. */
static void route_ready(const struct request *request)
{
    struct ml_net *net = request->http->net;
    bool is_ready = net->shared->is_ready && !net->is_draining;
    struct ml_slice ready = ML_SLICE("ready\n");

    if (ml_metrics_bus_is_sick(net))
        ready = ML_SLICE("ready\nbus: degraded\n");

    ml_http_answer(request->http, is_ready ? 200 : 503, ML_HTTP_PLAIN,
                   ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY,
                   is_ready ? ready : ML_SLICE("not ready\n"));
}

static void route_metrics(const struct request *request)
{
    ml_metrics_answer(request->http, request->head);
}

/* What a token of ours says besides. */
static void print_own(struct ml_writer *body, const struct ml_own_token *own)
{
    struct ml_slice role;
    size_t cursor = 0;
    bool first = true;

    ml_http_print(body, ",\"org\":");
    ml_json_write_text(body, own->org);
    ml_http_print(body, ",\"roles\":[");
    while (ml_identity_next(own->roles, &cursor, &role)) {
        ml_http_print(body, first ? "" : ",");
        ml_json_write_text(body, role);
        first = false;
    }
    ml_http_print(body, "]},\"expires\":%" PRId64 "}", own->expires_s * 1000);
}

/* Where else somebody may sign in. */
static void print_providers(struct ml_writer *body, const struct ml_net_env *env)
{
    if (!env->has_accounts || !env->provider_count)
        return;
    ml_http_print(body, ",\"providers\":[");
    for (size_t i = 0; i < env->provider_count; i++) {
        if (i)
            ml_http_print(body, ",");
        ml_json_write_text(body, ml_slice_str(env->providers[i].name));
    }
    ml_http_print(body, "]");
}

static void answer_session(struct ml_visit *visit)
{
    const struct ml_identity *identity = &visit->asker.identity;
    struct ml_http *http = visit->http;
    struct ml_writer body;

    ml_writer_init(&body, 8192);
    ml_http_print(&body, "{\"mode\":\"%s\",\"user\":",
                  http->net->env.open_mode      ? "open"
                  : http->net->env.has_accounts ? "password"
                                                : "plugin");
    if (identity->user[0]) {
        ml_http_print(&body, "{\"id\":");
        ml_json_write_text(&body, ml_slice_str(identity->user));
        ml_http_print(&body, ",\"name\":");
        ml_json_write_text(&body, ml_slice_str(identity->name));
        if (visit->asker.is_own)
            print_own(&body, &visit->asker.own);
        else
            ml_http_print(&body, "}}");
    } else {
        ml_http_print(&body, "null");
        print_providers(&body, &http->net->env);
        ml_http_print(&body, "}");
    }
    ml_http_answer(http, 200, ML_HTTP_JSON, ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY,
                   ml_writer_slice(&body));
    ml_writer_release(&body);
}

static void route_session(const struct request *request)
{
    struct ml_visit *visit = ml_visit_new(request->http, request->head, answer_session);

    if (!visit)
        return;
    visit->ask.source.org = ML_SLICE("default");
    ml_visit_ask(visit);
}

static void answer_page(struct ml_http *http, struct ml_slice page)
{
    char fields[640], nonce[ML_NONCE_CHARS + 1];
    struct ml_writer body;

    ml_nonce_make(nonce);
    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_page_write(page, ml_slice_str(nonce), &body);
    if (body.err) {
        ml_http_answer_error(http, 500, "internal", "The page could not be made.");
    } else {
        (void)snprintf(fields, sizeof fields,
                       ML_HTTP_NO_STORE PAGE_POLICY_BEFORE "%s" PAGE_POLICY_AFTER, nonce);
        ml_http_answer(http, 200, ML_HTTP_HTML, fields, ml_writer_slice(&body));
    }
    ml_writer_release(&body);
}

static void answer_no_page(struct ml_http *http)
{
    ml_http_answer(
        http, 404, ML_HTTP_HTML, ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY,
        ML_SLICE("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Not found"
                 "</title><h1>Not found</h1><p>There is nothing at this address. "
                 "<a href=\"/\">All documents</a></p></html>\n"));
}

static void route_page(const struct request *request)
{
    const struct ml_asset *page = request->http->net->assets.page;

    if (page)
        answer_page(request->http, ml_slice_make(page->bytes, page->len));
    else
        answer_no_page(request->http);
}

/* An address of the editor that can be a document's. */
static void route_editor(const struct request *request)
{
    struct ml_slice org, name;

    if (ml_url_document(request->head->path, ML_SLICE("/edit/"), &request->http->net->scratch, &org,
                        &name))
        answer_no_page(request->http);
    else
        route_page(request);
}

static void route_asset(const struct request *request)
{
    struct ml_http *http = request->http;
    const struct ml_asset_entry *entry = ml_assets_find(&http->net->assets, request->head->path);
    const struct ml_asset *asset;
    struct ml_slice known, bytes;
    char fields[256], tag[32];
    bool is_gzip;

    if (!entry) {
        answer_no_page(http);
        return;
    }
    asset = entry->asset;
    if (asset == http->net->assets.page) {
        route_page(request);
        return;
    }
    is_gzip = asset->gzip && ml_head_has_token(request->head, "accept-encoding", "gzip");
    bytes = is_gzip ? ml_slice_make(asset->gzip, asset->gzip_len)
                    : ml_slice_make(asset->bytes, asset->len);
    (void)snprintf(tag, sizeof tag, "%.*s%s\"", (int)strlen(entry->etag) - 1, entry->etag,
                   is_gzip ? "-gz" : "");
    (void)snprintf(fields, sizeof fields, "ETag: %s\r\nCache-Control: %s\r\n%s%s", tag,
                   asset->immutable ? "public, max-age=31536000, immutable" : "no-cache",
                   asset->gzip ? "Vary: Accept-Encoding\r\n" : "",
                   is_gzip ? "Content-Encoding: gzip\r\n" : "");
    known = ml_head_field(request->head, "if-none-match");
    if (ml_head_has_token(request->head, "if-none-match", tag) || ml_head_equal(known, "*")) {
        ml_http_begin(http, 304, NULL, fields, 0);
        return;
    }
    ml_http_begin(http, 200, asset->type, fields, bytes.len);
    if (!http->is_head)
        http->body = bytes;
}

static void route_api(const struct request *request)
{
    if (ml_plugin_route_is(request->head->path))
        ml_plugin_route(request->http, request->head);
    else
        ml_api_route(request->http, request->head);
}

static void route_plugin(const struct request *request)
{
    ml_plugin_route(request->http, request->head);
}

static void route_published(const struct request *request)
{
    ml_publish_route(request->http, request->head);
}

/* ---- upgrade --------------------------------------------------------------------------------- */

/* 16 bytes in base64: 22 digits and "==". */
static bool is_websocket_key(struct ml_slice key)
{
    if (key.len != 24 || key.ptr[22] != '=' || key.ptr[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        uint8_t c = key.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

/* False: answered. */
static bool is_proper_upgrade(struct ml_http *http, const struct ml_head *head)
{
    if (!ml_head_has_token(head, "upgrade", "websocket") ||
        !ml_head_has_token(head, "connection", "upgrade") ||
        !ml_head_equal(ml_head_field(head, "sec-websocket-version"), "13")) {
        ml_http_answer_error(http, 426, "upgrade_required",
                             "This address speaks WebSocket, version 13.");
        return false;
    }
    if (head->method != ML_METHOD_GET ||
        !is_websocket_key(ml_head_field(head, "sec-websocket-key")) ||
        ml_head_field(head, "sec-websocket-protocol").len > ML_UPGRADE_PROTOCOL_MAX ||
        http->in.len > head->len_bytes) {
        ml_http_answer_error(http, 400, "bad_upgrade", "This is not a WebSocket handshake.");
        return false;
    }
    return true;
}

/* The connection ends here and goes on as a session. */
static void become_session(struct ml_http *http, const struct ml_head *head,
                           struct ml_session *session)
{
    struct ml_net *net = http->net;
    const struct ml_upgrade upgrade = {
        .key = ml_head_field(head, "sec-websocket-key"),
        .protocol = ml_head_first_token(ml_head_field(head, "sec-websocket-protocol")),
    };
    int fd = ml_http_give_away(http);

    ml_session_attach(session, ml_transport_adopt(net->wire, fd, &upgrade, session));
    ml_http_given_away(http);
}

/* They may: the request becomes a session. */
static void open_sync(struct ml_visit *visit)
{
    struct ml_http *http = visit->http;
    struct ml_net *net = http->net;
    struct ml_session *session;
    const struct ml_session_open open = {.org = visit->org,
                                         .name = visit->name,
                                         .identity = &visit->asker.identity,
                                         .grant = &visit->asker.grant,
                                         .asker = &visit->asker,
                                         .address = http->address,
                                         .ip = http->ip};

    if (net->is_draining || net->shared->sessions >= net->env.limits.sessions) {
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    if (!ml_address_promote(net, http->address)) {
        ml_http_answer_error(http, 503, "too_many_sessions",
                             "Too many sessions from this address.");
        return;
    }
    if (ml_session_open(net, &open, &session)) {
        ml_address_demote(net, http->address);
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    become_session(http, visit->head, session);
}

static void route_sync(const struct request *request)
{
    struct ml_http *http = request->http;
    struct ml_net *net = http->net;
    struct ml_visit *visit;
    struct ml_slice org, name;
    enum ml_err err;

    http->keeps_alive = false; /* a refused client has nothing else to ask here */
    if (!is_proper_upgrade(http, request->head))
        return;
    err = ml_url_document(request->head->path, SYNC_PREFIX, &net->scratch, &org, &name);
    if (err) {
        ml_http_answer_error(http, 404, "not_found", "There is no such document.");
        return;
    }
    if (!ml_visitor_is_allowed_origin(net, request->head)) {
        ml_http_answer_error(http, 403, "origin", "This page may not open documents here.");
        return;
    }
    if (net->is_draining || net->shared->sessions >= net->env.limits.sessions) {
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    visit = ml_visit_new(http, request->head, open_sync);
    if (!visit)
        return;
    visit->org = ml_arena_copy(&visit->arena, org);
    visit->name = ml_arena_copy(&visit->arena, name);
    if (!visit->org.ptr || !visit->name.ptr) {
        ml_visit_free(visit);
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    visit->ask.source.org = visit->org;
    visit->ask.source.is_websocket = visit->ask.is_upgrade = true;
    visit->ask.action = ML_SLICE("doc.open");
    visit->ask.document = visit->name;
    ml_visit_ask(visit);
}

/* `/collab/ORG`, perhaps with slashes behind it: some providers leave those in. */
static bool read_collab_path(struct ml_slice path, struct ml_slice *org_out)
{
    if (!ml_url_has_prefix(path, COLLAB_PREFIX))
        return false;
    *org_out = ml_slice_make(path.ptr + COLLAB_PREFIX.len, path.len - COLLAB_PREFIX.len);
    while (org_out->len && org_out->ptr[org_out->len - 1] == '/')
        org_out->len--;
    return ml_org_is_valid(*org_out);
}

static void open_collab(struct ml_visit *visit)
{
    struct ml_http *http = visit->http;
    struct ml_net *net = http->net;
    struct ml_session *session;
    const struct ml_collab_open open = {
        .org = visit->org,
        .head = visit->raw,
        .ip = http->ip,
        .address = http->address,
    };

    if (net->is_draining || net->shared->sessions >= net->env.limits.sessions) {
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    if (!ml_address_promote(net, http->address)) {
        ml_http_answer_error(http, 503, "too_many_sessions",
                             "Too many sessions from this address.");
        return;
    }
    if (ml_session_open_collab(net, &open, &session)) {
        ml_address_demote(http->net, http->address);
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    become_session(http, visit->head, session);
}

/* Who it is, and for which document, is said in the messages. */
static void route_collab(const struct request *request)
{
    struct ml_http *http = request->http;
    struct ml_visit *visit;
    struct ml_slice org;

    http->keeps_alive = false;
    if (!is_proper_upgrade(http, request->head))
        return;
    if (!read_collab_path(request->head->path, &org)) {
        ml_http_answer_error(http, 404, "not_found", "There is nothing at this address.");
        return;
    }
    if (!ml_visitor_is_allowed_origin(http->net, request->head)) {
        ml_http_answer_error(http, 403, "origin", "This page may not open documents here.");
        return;
    }
    visit = ml_visit_new(http, request->head, open_collab);
    if (!visit)
        return;
    visit->ask.source.org = ml_arena_copy(&visit->arena, org);
    visit->raw =
        ml_arena_copy(&visit->arena, ml_slice_make(http->in.ptr, request->head->len_bytes));
    if (!visit->raw.ptr || !visit->ask.source.org.ptr) {
        ml_visit_free(visit);
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    visit->ask.source.is_websocket = visit->ask.is_upgrade = visit->ask.is_anonymous = true;
    ml_visit_ask(visit);
}

/* Order matters: the first that fits. A path that ends in a slash stands for all below it. */
static const struct route {
    struct ml_slice path;
    void (*answer)(const struct request *request);
    bool is_guarded; /* in open mode only under a loopback name */
} routes[] = {
#define PATH(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
    {PATH("/sync/"), route_sync, false},     /* has its own rule */
    {PATH("/collab/"), route_collab, false}, /* likewise */
    {PATH("/api/"), route_api, true},        {PATH("/auth/session"), route_session, true},
    {PATH("/auth/"), route_api, true},       {PATH("/x/"), route_plugin, true}, /* of plugins */
    {PATH("/d/"), route_published, false}, /* public, or not there */
    {PATH("/healthz"), route_health, false}, {PATH("/readyz"), route_ready, false},
    {PATH("/metrics"), route_metrics, true}, {PATH("/edit/"), route_editor, false},
    {PATH("/sign-in"), route_page, false},   {PATH("/setup"), route_page, false},
    {PATH("/invite"), route_page, false},    {PATH("/password"), route_page, false},
    {PATH("/"), route_page, false}, /* only itself, see fits */
#undef PATH
};

static bool fits(const struct route *route, struct ml_slice path)
{
    bool is_tree = route->path.len > 1 && route->path.ptr[route->path.len - 1] == '/';

    return is_tree ? ml_url_has_prefix(path, route->path) : ml_slice_equal(path, route->path);
}

void ml_route(struct ml_http *http, const struct ml_head *head)
{
    const struct request request = {http, head};
    struct ml_slice upgrade = ml_head_field(head, "upgrade");
    bool is_api = ml_url_has_prefix(head->path, ML_SLICE("/api/")) ||
                  ml_url_has_prefix(head->path, ML_SLICE("/x/")) ||
                  (ml_url_has_prefix(head->path, ML_SLICE("/auth/")) &&
                   !ml_slice_equal(head->path, ML_SLICE("/auth/session")));

    http->net->stats.requests++;
    ml_cors_look(http, head);
    http->is_head = head->method == ML_METHOD_HEAD;
    http->keeps_alive = head->keeps_alive && !http->net->is_draining;
    if (!is_api && (head->content_length || head->is_chunked)) {
        http->keeps_alive = false; /* nobody reads the body */
        if (head->content_length > BODY_MAX_BYTES) {
            ml_http_answer_error(http, 413, "too_large", "The body is too large.");
            return;
        }
    }
    if (upgrade.ptr && !ml_head_equal(upgrade, "websocket")) {
        /* h2c and whatever else: this server speaks HTTP/1 and WebSocket. */
        http->keeps_alive = false;
        ml_http_answer_error(http, 400, "bad_upgrade",
                             "Only WebSocket is spoken here besides HTTP/1.");
        return;
    }
    if (!is_api && head->method != ML_METHOD_GET && head->method != ML_METHOD_HEAD) {
        ml_http_answer_error(http, 405, "method", "Only GET and HEAD are understood here.");
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!fits(&routes[i], head->path))
            continue;
        if (routes[i].is_guarded && !ml_visitor_is_own_host(http->net, head->host))
            ml_http_answer_error(http, 403, "host", "Open access is for loopback names only.");
        else
            routes[i].answer(&request);
        return;
    }
    route_asset(&request);
}
