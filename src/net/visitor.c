/* SPDX-License-Identifier: MIT */
/*
 * Who asks, and whether they may: Host and Origin, then what the plugins say about the identity and
 * the document. What refuses answers.
 *
 * In open mode everybody who can reach the port may edit, so pages of other sites must not reach it
 * through a browser: the Origin is checked (SEC-WS-01), and where an answer could be read the Host
 * has to be a loopback name (a name that was rebound to 127.0.0.1 is not).
 */
#include "net/visitor.h"

#include "net/url.h"

#include <arpa/inet.h>
#include <strings.h>

#define COOKIES_MAX 32
#define DEFAULT_ORG ML_SLICE("default")

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
bool ml_visitor_is_own_host(const struct ml_net *net, struct ml_slice host)
{
    if (!net->env.open_mode || !host.len || is_loopback_name(host))
        return true;
    return is_listed_origin(net, ML_SLICE("http"), host) ||
           is_listed_origin(net, ML_SLICE("https"), host);
}

/* SEC-WS-01. No Origin: not a browser. */
bool ml_visitor_is_allowed_origin(const struct ml_net *net, const struct ml_head *head)
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
    return same_text(host, head->host) && ml_visitor_is_own_host(net, host);
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
bool ml_visitor_authenticate(struct ml_http *http, const struct ml_head *head, bool is_websocket,
                             struct ml_arena *arena, struct ml_visitor *visitor)
{
    struct ml_net *net = http->net;
    struct ml_script_request request;
    struct ml_denial denial = {0};
    bool is_known = false;
    enum ml_err err;

    memset(visitor, 0, sizeof *visitor);
    if (net->env.script && (ml_script_hooks(net->env.script) & ML_HOOK_AUTHENTICATE)) {
        if (!fill_request(http, head, is_websocket, arena, &request)) {
            ml_http_answer_error(http, 400, "bad_query",
                                 "The query of the address cannot be read.");
            return false;
        }
        err = ml_script_authenticate(net->env.script, &request, arena, &is_known, &visitor->facts,
                                     &denial);
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
        if (net->env.open_mode && is_websocket)
            ml_identity_guest(&visitor->identity);
        else if (net->env.open_mode) /* has no cursor that another could take */
            ml_identity_make(&visitor->identity, ML_SLICE("guest"), ML_SLICE("Guest"), 0);
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
bool ml_visitor_authorize(struct ml_http *http, struct ml_slice action, struct ml_slice org,
                          struct ml_slice document, struct ml_visitor *visitor)
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
