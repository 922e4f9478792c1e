/* SPDX-License-Identifier: MIT */
/*
 * What is answered: the web application, the small API, and the upgrade that turns a connection
 * into a session.
 *
 *   GET /sync/ORG/NAME    WebSocket: y-websocket, one document (session_ywebsocket.c)
 *   GET /collab/ORG       WebSocket: Hocuspocus, many documents (session_hocuspocus.c)
 *   GET /api/v1/orgs/ORG/docs?prefix=&after=&limit=
 *   GET /auth/session     who the server thinks is asking
 *   GET /healthz /readyz
 *   GET / /edit/ORG/NAME  the page, with a fresh nonce
 *   GET anything else     the table of assets, or 404
 *
 * Nothing is allocated for a document before its grant is known (SEC-WS-02).
 *
 * In open mode everybody who can reach the port may edit, so pages of other sites must not reach it
 * through a browser: the Origin is checked (SEC-WS-01), and where an answer could be read the Host
 * has to be a loopback name (a name that was rebound to 127.0.0.1 is not).
 */
#include "net/http.h"
#include "net/url.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define BODY_MAX_BYTES (1u << 20) /* SEC-LM-03; no route of this version takes one */
#define LIST_DEFAULT   100
#define LIST_MAX       1000
#define COOKIES_MAX    32
#define DEFAULT_ORG    ML_SLICE("default")
#define SYNC_PREFIX    ML_SLICE("/sync/")
#define COLLAB_PREFIX  ML_SLICE("/collab/")
#define ORGS_PREFIX    ML_SLICE("/api/v1/orgs/")
#define DOCS_SUFFIX    ML_SLICE("/docs")

/* SEC-WEB-01, around the nonce. */
#define PAGE_POLICY_BEFORE                                                                         \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"
#define PAGE_POLICY_AFTER                                                                          \
    "'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "    \
    "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src "  \
    "'none'\r\n"

/* A list of documents on its way; outlives a connection that went. */
struct list {
    struct ml_list_documents request;
    struct ml_net *net;
    struct ml_http *http; /* NULL: nobody waits any more */
    uint8_t text[];       /* org, prefix, after */
};

/* ---- who may ask ----------------------------------------------------------------------------- */

static struct ml_slice without_port(struct ml_slice host)
{
    const uint8_t *colon;

    if (host.len && host.ptr[0] == '[') {
        const uint8_t *end = memchr(host.ptr, ']', host.len);

        return end ? ml_slice_make(host.ptr, (size_t)(end - host.ptr) + 1) : host;
    }
    colon = host.len ? memchr(host.ptr, ':', host.len) : NULL;
    return colon ? ml_slice_make(host.ptr, (size_t)(colon - host.ptr)) : host;
}

static bool ends_with(struct ml_slice text, const char *suffix)
{
    size_t len = strlen(suffix);

    return text.len > len && ml_head_equal(ml_slice_make(text.ptr + text.len - len, len), suffix);
}

static bool is_loopback_name(struct ml_slice host)
{
    struct ml_slice name = without_port(host);
    struct in_addr address;
    char text[INET_ADDRSTRLEN];

    if (ml_head_equal(name, "localhost") || ends_with(name, ".localhost") ||
        ml_head_equal(name, "[::1]"))
        return true;
    if (!name.len || name.len >= sizeof text)
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* Scheme and the rest of an origin; false: it is not one. */
static bool split_origin(struct ml_slice origin, struct ml_slice *scheme_out,
                         struct ml_slice *host_out)
{
    const uint8_t *at = origin.len ? memmem(origin.ptr, origin.len, "://", 3) : NULL;

    if (!at)
        return false;
    *scheme_out = ml_slice_make(origin.ptr, (size_t)(at - origin.ptr));
    *host_out = ml_slice_make(at + 3, origin.len - scheme_out->len - 3);
    return host_out->len > 0 && !memchr(host_out->ptr, '/', host_out->len) &&
           !memchr(host_out->ptr, '@', host_out->len) && !memchr(host_out->ptr, '#', host_out->len);
}

static bool same_text(struct ml_slice a, struct ml_slice b)
{
    return a.len == b.len && strncasecmp((const char *)a.ptr, (const char *)b.ptr, a.len) == 0;
}

/* Exact, or `*.` for one leading label. */
static bool host_matches(struct ml_slice host, struct ml_slice pattern)
{
    size_t rest;

    if (pattern.len < 2 || pattern.ptr[0] != '*' || pattern.ptr[1] != '.')
        return same_text(host, pattern);
    rest = pattern.len - 1;
    if (host.len <= rest || !same_text(ml_slice_make(host.ptr + host.len - rest, rest),
                                       ml_slice_make(pattern.ptr + 1, rest)))
        return false;
    return !memchr(host.ptr, '.', host.len - rest) && !memchr(host.ptr, ':', host.len - rest);
}

static bool is_listed_origin(const struct ml_net *net, struct ml_slice scheme, struct ml_slice host)
{
    for (size_t i = 0; i < net->env.origin_count; i++) {
        struct ml_slice listed_scheme, listed_host;

        if (split_origin(ml_slice_str(net->env.origins[i]), &listed_scheme, &listed_host) &&
            same_text(scheme, listed_scheme) && host_matches(host, listed_host))
            return true;
    }
    return false;
}

/* Is this Host one of ours? Asked in open mode only, where the address is all that protects. */
static bool is_own_host(const struct ml_net *net, struct ml_slice host)
{
    if (!net->env.open_mode || !host.len || is_loopback_name(host))
        return true;
    return is_listed_origin(net, ML_SLICE("http"), host) ||
           is_listed_origin(net, ML_SLICE("https"), host);
}

/* SEC-WS-01. No Origin: not a browser. */
static bool is_allowed_origin(const struct ml_net *net, const struct ml_head *head)
{
    struct ml_slice origin = ml_head_field(head, "origin");
    struct ml_slice scheme, host;

    if (!origin.ptr)
        return true;
    if (!split_origin(origin, &scheme, &host))
        return false;
    if (is_listed_origin(net, scheme, host))
        return true;
    if (!ml_head_equal(scheme, "http") && !ml_head_equal(scheme, "https"))
        return false;
    return same_text(host, head->host) && is_own_host(net, host);
}

static struct ml_slice lower(struct ml_arena *scratch, struct ml_slice text)
{
    uint8_t *to = ml_arena_alloc(scratch, text.len ? text.len : 1);

    if (!to)
        return ml_slice_make(NULL, 0);
    for (size_t i = 0; i < text.len; i++)
        to[i] = text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? text.ptr[i] | 0x20 : text.ptr[i];
    return ml_slice_make(to, text.len);
}

static size_t read_cookies(struct ml_slice text, struct ml_script_pair *out)
{
    size_t count = 0;

    while (text.len && count < COOKIES_MAX) {
        const uint8_t *end = memchr(text.ptr, ';', text.len);
        struct ml_slice pair = ml_slice_make(text.ptr, end ? (size_t)(end - text.ptr) : text.len);
        const uint8_t *equals;
        size_t skip = end ? pair.len + 1 : pair.len;

        text = ml_slice_make(text.ptr + skip, text.len - skip);
        while (pair.len && pair.ptr[0] == ' ')
            pair = ml_slice_make(pair.ptr + 1, pair.len - 1);
        equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;
        if (!equals || equals == pair.ptr)
            continue;
        out[count].name = ml_slice_make(pair.ptr, (size_t)(equals - pair.ptr));
        out[count].value = ml_slice_make(equals + 1, pair.len - out[count].name.len - 1);
        count++;
    }
    return count;
}

/* What the plugins said, and what the request was; borrows from head and scratch. */
struct visitor {
    struct ml_identity identity;
    struct ml_script_identity facts;
    struct ml_grant grant;
};

/* A refusal that a plugin put into words. */
static void answer_denial(struct ml_http *http, const struct ml_denial *denial)
{
    unsigned status = denial->status >= 400 && denial->status < 600 ? denial->status : 403;

    ml_http_answer_denial(http, status, denial->code.len ? denial->code : ML_SLICE("denied"),
                          denial->reason.len ? denial->reason : ML_SLICE("Not allowed."), "");
}

static bool fill_request(const struct ml_http *http, const struct ml_head *head, bool is_websocket,
                         struct ml_arena *scratch, struct ml_script_request *out)
{
    struct ml_parameter *parameters = ml_arena_array(scratch, ML_QUERY_MAX, sizeof *parameters);
    struct ml_script_pair *headers = ml_arena_array(scratch, ML_HEAD_FIELD_COUNT, sizeof *headers);
    struct ml_script_pair *query = ml_arena_array(scratch, ML_QUERY_MAX, sizeof *query);
    struct ml_script_pair *cookies = ml_arena_array(scratch, COOKIES_MAX, sizeof *cookies);
    struct ml_slice bearer = ml_head_field(head, "authorization");
    size_t count = 0;

    if (!parameters || !headers || !query || !cookies ||
        ml_url_query(head->query, scratch, parameters, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        query[i] = (struct ml_script_pair){parameters[i].name, parameters[i].value};
    for (size_t i = 0; i < head->field_count; i++) {
        headers[i].name = lower(scratch, head->fields[i].name);
        headers[i].value = head->fields[i].value;
        if (!headers[i].name.ptr)
            return false;
    }
    *out = (struct ml_script_request){
        .method = head->method_text,
        .path = head->path,
        .ip = ml_slice_str(http->ip),
        .host = head->host,
        .origin = ml_head_field(head, "origin"),
        .token = ml_url_parameter(parameters, count, "token"),
        .headers = headers,
        .header_count = head->field_count,
        .query = query,
        .query_count = count,
        .cookies = cookies,
        .cookie_count = read_cookies(ml_head_field(head, "cookie"), cookies),
        .is_websocket = is_websocket,
    };
    if (bearer.len > 7 && ml_head_equal(ml_slice_make(bearer.ptr, 7), "bearer "))
        out->token = ml_slice_make(bearer.ptr + 7, bearer.len - 7);
    return true;
}

/* False: answered. */
static bool authenticate(struct ml_http *http, const struct ml_head *head, bool is_websocket,
                         struct visitor *visitor)
{
    struct ml_net *net = http->net;
    struct ml_script_request request;
    struct ml_denial denial = {0};
    bool is_known = false;
    enum ml_err err;

    memset(visitor, 0, sizeof *visitor);
    if (net->env.script && (ml_script_hooks(net->env.script) & ML_HOOK_AUTHENTICATE)) {
        if (!fill_request(http, head, is_websocket, &net->scratch, &request)) {
            ml_http_answer_error(http, 400, "bad_query",
                                 "The query of the address cannot be read.");
            return false;
        }
        err = ml_script_authenticate(net->env.script, &request, &net->scratch, &is_known,
                                     &visitor->facts, &denial);
        if (err == ML_EDENIED) {
            answer_denial(http, &denial);
            return false;
        }
        if (err) {
            ml_http_answer_error(http, 503, "policy_unavailable", "A policy cannot answer now.");
            return false;
        }
    }
    if (is_known) {
        ml_identity_make(&visitor->identity, visitor->facts.user, visitor->facts.name,
                         visitor->facts.expires_at_ms);
    } else {
        if (net->env.open_mode)
            ml_identity_guest(&visitor->identity);
        else
            ml_identity_make(&visitor->identity, ML_SLICE(""), ML_SLICE(""), 0);
        visitor->facts = (struct ml_script_identity){.kind = ML_SLICE("guest")};
    }
    visitor->facts.user = ml_slice_str(visitor->identity.user);
    visitor->facts.name = ml_slice_str(visitor->identity.name);
    visitor->facts.session = ml_slice_str(visitor->identity.session);
    return true;
}

static unsigned bits_of(const struct ml_script_grant *grant)
{
    return (grant->read ? ML_MAY_READ : 0u) | (grant->write ? ML_MAY_WRITE : 0u) |
           (grant->presence ? ML_MAY_PRESENCE : 0u) | (grant->messages ? ML_MAY_MESSAGE : 0u) |
           (grant->history ? ML_MAY_HISTORY : 0u);
}

/*
 * Plugins decide; where none has an opinion, open mode makes everybody an editor of org "default".
 * False: answered. Not yours is the same 404 as not there (SEC-AZ-03).
 */
static bool authorize(struct ml_http *http, struct ml_slice action, struct ml_slice org,
                      struct ml_slice document, struct visitor *visitor)
{
    struct ml_net *net = http->net;
    bool is_open = net->env.open_mode && ml_slice_equal(org, DEFAULT_ORG);
    struct ml_script_grant given = {0};
    struct ml_denial denial = {0};

    if (net->env.script && (ml_script_hooks(net->env.script) & ML_HOOK_AUTHORIZE)) {
        const struct ml_script_ask ask = {action, org, document, &visitor->facts};
        enum ml_err err =
            ml_script_authorize(net->env.script, &ask, &net->scratch, &given, &denial);

        if (err == ML_EDENIED) {
            answer_denial(http, &denial);
            return false;
        }
        if (err) {
            ml_http_answer_error(http, 503, "policy_unavailable", "A policy cannot answer now.");
            return false;
        }
    }
    if (given.given) {
        visitor->grant.may = bits_of(&given);
        if (given.ttl_ms)
            visitor->grant.until_ms = (int64_t)(ml_net_now(net) + given.ttl_ms);
    } else if (is_open) {
        visitor->grant = ml_grant_editor();
    }
    if (ml_grant_allows(&visitor->grant, ML_MAY_READ))
        return true;
    if (given.given)
        ml_http_answer_error(http, 403, "denied", "You may not read this document.");
    else
        ml_http_answer_error(http, 404, "not_found", "There is no such document.");
    return false;
}

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

static void route_ready(const struct request *request)
{
    const struct ml_net *net = request->http->net;
    bool is_ready = net->is_ready && !net->is_draining;

    ml_http_answer(request->http, is_ready ? 200 : 503, ML_HTTP_PLAIN,
                   ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY,
                   is_ready ? ML_SLICE("ready\n") : ML_SLICE("not ready\n"));
}

static void route_session(const struct request *request)
{
    struct ml_http *http = request->http;
    struct ml_writer body;
    struct visitor visitor;

    if (!authenticate(http, request->head, false, &visitor))
        return;
    ml_writer_init(&body, 8192);
    ml_http_print(&body,
                  "{\"mode\":\"%s\",\"user\":", http->net->env.open_mode ? "open" : "plugin");
    if (visitor.identity.user[0]) {
        ml_http_print(&body, "{\"id\":");
        ml_json_write_text(&body, ml_slice_str(visitor.identity.user));
        ml_http_print(&body, ",\"name\":");
        ml_json_write_text(&body, ml_slice_str(visitor.identity.name));
        ml_http_print(&body, "}}");
    } else {
        ml_http_print(&body, "null}");
    }
    ml_http_answer(http, 200, ML_HTTP_JSON, ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY,
                   ml_writer_slice(&body));
    ml_writer_release(&body);
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

/* ---- a list of documents --------------------------------------------------------------------- */

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
    ml_http_print(out, "],\"next\":");
    if (request->more && request->count)
        ml_json_write_text(out, request->items[request->count - 1].name);
    else
        ml_http_print(out, "null");
    ml_http_print(out, "}");
}

static void on_listed(struct ml_list_documents *request)
{
    struct list *list = ML_CONTAINER(request, struct list, request);
    struct ml_http *http = list->http;
    struct ml_writer body;

    list->net->lists_waiting--;
    if (http) {
        http->on_gone = NULL;
        ml_writer_init(&body, ML_HTTP_BODY_MAX);
        if (!request->err)
            write_list(&body, request);
        if (request->err || body.err)
            ml_http_answer_error(http, 503, "storage", "The documents cannot be listed now.");
        else
            ml_http_answer(http, 200, ML_HTTP_JSON, ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY,
                           ml_writer_slice(&body));
        ml_writer_release(&body);
    }
    ml_list_documents_release(request);
    free(list);
    if (http)
        ml_http_resume(http);
}

/* 1 … LIST_MAX; absent: the default. False: not a number in that range. */
static bool read_limit(struct ml_slice text, size_t *out)
{
    *out = 0;
    if (!text.ptr) {
        *out = LIST_DEFAULT;
        return true;
    }
    if (!text.len || text.len > 4)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return *out >= 1 && *out <= LIST_MAX;
}

static void on_gone(struct ml_http *http)
{
    struct list *list = http->waiter;

    list->http = NULL;
}

static struct list *list_new(struct ml_slice org, struct ml_slice prefix, struct ml_slice after)
{
    struct list *list = calloc(1, sizeof *list + org.len + prefix.len + after.len);
    struct ml_slice from[3] = {org, prefix, after}, to[3];
    uint8_t *p;

    if (!list)
        return NULL;
    p = list->text;
    for (size_t i = 0; i < 3; i++) {
        if (from[i].len)
            memcpy(p, from[i].ptr, from[i].len);
        to[i] = ml_slice_make(p, from[i].len);
        p += from[i].len;
    }
    list->request.org = to[0];
    list->request.prefix = to[1];
    list->request.after = to[2];
    list->request.done = on_listed;
    return list;
}

static void list_documents(const struct request *request, struct ml_slice org)
{
    struct ml_http *http = request->http;
    struct ml_net *net = http->net;
    struct ml_parameter parameters[ML_QUERY_MAX];
    struct visitor visitor;
    struct list *list;
    size_t count, limit;

    if (ml_url_query(request->head->query, &net->scratch, parameters, &count) ||
        !read_limit(ml_url_parameter(parameters, count, "limit"), &limit)) {
        ml_http_answer_error(http, 400, "bad_query",
                             "limit is 1 to 1000; prefix and after are text.");
        return;
    }
    if (!authenticate(http, request->head, false, &visitor) ||
        !authorize(http, ML_SLICE("org.documents"), org, ML_SLICE(""), &visitor))
        return;
    list = list_new(org, ml_url_parameter(parameters, count, "prefix"),
                    ml_url_parameter(parameters, count, "after"));
    if (!list) {
        ml_http_answer_error(http, 503, "overloaded", "No memory for this now.");
        return;
    }
    list->request.limit = limit;
    list->net = net;
    list->http = http;
    ml_http_wait(http, list, on_gone);
    net->lists_waiting++;
    ml_journal_list_documents(net->env.journal, &list->request);
}

static void route_api(const struct request *request)
{
    struct ml_slice path = request->head->path, org;

    if (ml_url_has_prefix(path, ORGS_PREFIX) && ends_with(path, "/docs")) {
        org = ml_slice_make(path.ptr + ORGS_PREFIX.len,
                            path.len > ORGS_PREFIX.len + DOCS_SUFFIX.len
                                ? path.len - ORGS_PREFIX.len - DOCS_SUFFIX.len
                                : 0);
        if (ml_org_is_valid(org)) {
            list_documents(request, org);
            return;
        }
    }
    ml_http_answer_error(request->http, 404, "not_found", "There is nothing at this address.");
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

static void route_sync(const struct request *request)
{
    struct ml_http *http = request->http;
    struct ml_net *net = http->net;
    struct ml_session *session;
    struct ml_slice org, name;
    struct visitor visitor;
    enum ml_err err;

    http->keeps_alive = false; /* a refused client has nothing else to ask here */
    if (!is_proper_upgrade(http, request->head))
        return;
    err = ml_url_document(request->head->path, SYNC_PREFIX, &net->scratch, &org, &name);
    if (err) {
        ml_http_answer_error(http, 404, "not_found", "There is no such document.");
        return;
    }
    if (!is_allowed_origin(net, request->head)) {
        ml_http_answer_error(http, 403, "origin", "This page may not open documents here.");
        return;
    }
    if (net->is_draining || net->session_count >= net->env.limits.sessions) {
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    if (!authenticate(http, request->head, true, &visitor) ||
        !authorize(http, ML_SLICE("doc.open"), org, name, &visitor))
        return;
    if (!ml_address_promote(net, http->address)) {
        ml_http_answer_error(http, 503, "too_many_sessions",
                             "Too many sessions from this address.");
        return;
    }
    const struct ml_session_open open = {org, name, &visitor.identity, &visitor.grant,
                                         http->address};
    err = ml_session_open(net, &open, &session);
    if (err) {
        ml_address_demote(http->address);
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    become_session(http, request->head, session);
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

/* Who it is, and for which document, is said in the messages. */
static void route_collab(const struct request *request)
{
    struct ml_http *http = request->http;
    struct ml_net *net = http->net;
    struct ml_collab_open open = {
        .head = ml_slice_make(http->in.ptr, request->head->len_bytes),
        .ip = http->ip,
        .address = http->address,
    };
    struct ml_session *session;

    http->keeps_alive = false;
    if (!is_proper_upgrade(http, request->head))
        return;
    if (!read_collab_path(request->head->path, &open.org)) {
        ml_http_answer_error(http, 404, "not_found", "There is nothing at this address.");
        return;
    }
    if (!is_allowed_origin(net, request->head)) {
        ml_http_answer_error(http, 403, "origin", "This page may not open documents here.");
        return;
    }
    if (net->is_draining || net->session_count >= net->env.limits.sessions) {
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    if (!ml_address_promote(net, http->address)) {
        ml_http_answer_error(http, 503, "too_many_sessions",
                             "Too many sessions from this address.");
        return;
    }
    if (ml_session_open_collab(net, &open, &session)) {
        ml_address_demote(http->address);
        ml_http_answer_error(http, 503, "overloaded", "Try again later.");
        return;
    }
    become_session(http, request->head, session);
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
    {PATH("/api/"), route_api, true},
    {PATH("/auth/session"), route_session, true},
    {PATH("/healthz"), route_health, false},
    {PATH("/readyz"), route_ready, false},
    {PATH("/edit/"), route_editor, false},
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

    http->net->stats.requests++;
    http->is_head = head->method == ML_METHOD_HEAD;
    http->keeps_alive = head->keeps_alive && !http->net->is_draining;
    if (head->content_length || head->is_chunked) {
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
    if (head->method == ML_METHOD_OTHER) {
        ml_http_answer_error(http, 405, "method", "Only GET and HEAD are understood here.");
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!fits(&routes[i], head->path))
            continue;
        if (routes[i].is_guarded && !is_own_host(http->net, head->host))
            ml_http_answer_error(http, 403, "host", "Open access is for loopback names only.");
        else
            routes[i].answer(&request);
        return;
    }
    route_asset(&request);
}
