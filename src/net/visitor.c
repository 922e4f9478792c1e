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

#include <arpa/inet.h>
#include <stdlib.h>
#include <strings.h>

#define ARENA_MAX (1u << 20)

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

/* Of a name, an address or a port; what a browser would write otherwise is no origin of one. */
static bool is_host_byte(uint8_t c)
{
    const uint8_t low = c | 0x20;

    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || (c && strchr(".-_:[]", c));
}

/* Scheme and the rest of an origin, that may begin with `*` in a list; false: it is not one. */
static bool split_origin(struct ml_slice origin, bool is_pattern, struct ml_slice *scheme_out,
                         struct ml_slice *host_out)
{
    const uint8_t *at = origin.len ? memmem(origin.ptr, origin.len, "://", 3) : NULL;

    if (!at)
        return false;
    *scheme_out = ml_slice_make(origin.ptr, (size_t)(at - origin.ptr));
    *host_out = ml_slice_make(at + 3, origin.len - scheme_out->len - 3);
    for (size_t i = 0; i < host_out->len; i++)
        if (!is_host_byte(host_out->ptr[i]) && !(is_pattern && i == 0 && host_out->ptr[i] == '*'))
            return false;
    return host_out->len > 0;
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

        if (split_origin(ml_slice_str(net->env.origins[i]), true, &listed_scheme, &listed_host) &&
            same_text(scheme, listed_scheme) && host_matches(host, listed_host))
            return true;
    }
    return false;
}

bool ml_visitor_is_loopback_host(struct ml_slice host)
{
    return host.len && is_loopback_name(host);
}

/* Is this Host one of ours? Asked in open mode only, where the address is all that protects. */
bool ml_visitor_is_own_host(const struct ml_net *net, struct ml_slice host)
{
    if (!net->env.open_mode || !host.len || is_loopback_name(host))
        return true;
    return is_listed_origin(net, ML_SLICE("http"), host) ||
           is_listed_origin(net, ML_SLICE("https"), host);
}

/*
 * A page of this server: what `public_url` names, or what Host does. We cannot see whether a proxy
 * ended TLS: `public_url` tells, and where passwords are without one there is none (config.c).
 * Beside `public_url` a loopback name may be asked in plain HTTP: by who sits at the machine.
 */
static bool is_own_origin(const struct ml_net *net, const struct ml_head *head,
                          struct ml_slice scheme, struct ml_slice host)
{
    const char *url = net->env.public_url;
    struct ml_slice own, own_scheme, own_host;

    if (!ml_head_equal(scheme, "http") && !ml_head_equal(scheme, "https"))
        return false;
    if (url) {
        const char *rest = strstr(url, "://");

        own = ml_slice_make(url, rest ? (size_t)(rest - url) + 3 + strcspn(rest + 3, "/") : 0);
        if (split_origin(own, false, &own_scheme, &own_host)) {
            if (same_text(scheme, own_scheme) && same_text(host, own_host))
                return true;
            if (!same_text(scheme, own_scheme) && !is_loopback_name(head->host))
                return false;
        }
    } else if (net->env.has_accounts && !ml_head_equal(scheme, "http")) {
        return false;
    }
    return same_text(host, head->host) && ml_visitor_is_own_host(net, host);
}

/* SEC-WS-01. No Origin: not a browser. */
bool ml_visitor_is_allowed_origin(const struct ml_net *net, const struct ml_head *head)
{
    struct ml_slice origin = ml_head_field(head, "origin");
    struct ml_slice scheme, host;

    if (!origin.ptr)
        return true;
    if (!split_origin(origin, false, &scheme, &host))
        return false;
    return is_listed_origin(net, scheme, host) || is_own_origin(net, head, scheme, host);
}

bool ml_visitor_is_listed_exactly(const struct ml_net *net, const struct ml_head *head)
{
    struct ml_slice origin = ml_head_field(head, "origin");
    struct ml_slice scheme, host;

    if (!split_origin(origin, false, &scheme, &host))
        return false;
    for (size_t i = 0; i < net->env.origin_count; i++)
        if (same_text(origin, ml_slice_str(net->env.origins[i])))
            return true;
    return false;
}

/* A "no" of a plugin, in its words where it has some. */
static void answer_refusal(struct ml_http *http, const struct ml_refusal *refusal)
{
    ml_http_answer_denial(http, refusal->status ? refusal->status : 403,
                          refusal->code.len ? refusal->code : ML_SLICE("denied"),
                          refusal->reason.len ? refusal->reason : ML_SLICE("Not allowed."), "");
}

const struct ml_head *ml_visitor_keep_head(const struct ml_http *http, const struct ml_head *head,
                                           struct ml_arena *arena)
{
    struct ml_head *kept;
    struct ml_slice bytes;
    unsigned status;

    if (!ml_ask_may_wait(http->net))
        return head;
    kept = ml_arena_alloc(arena, sizeof *kept);
    bytes = ml_arena_copy(arena, ml_slice_make(http->in.ptr, head->len_bytes));
    if (!kept || !bytes.ptr || ml_head_parse(bytes, kept, &status) != ML_HEAD_COMPLETE)
        return NULL;
    return kept;
}

bool ml_visitor_judge(struct ml_http *http, const struct ml_ask *ask)
{
    switch (ask->err) {
    case ML_OK:
        return true;
    case ML_EDENIED:
        if (ask->refusal.is_spoken)
            answer_refusal(http, &ask->refusal);
        else
            ml_http_answer_error(http, 403, "denied", "You may not read this document.");
        return false;
    case ML_ENOTFOUND:
        ml_http_answer_error(http, 404, "not_found", "There is no such document.");
        return false;
    case ML_EFORMAT:
        ml_http_answer_error(http, 400, "bad_query", "The query of the address cannot be read.");
        return false;
    default:
        ml_http_answer_error(http, 503, "policy_unavailable", "A policy cannot answer now.");
        return false;
    }
}

/* ---- a visit ---------------------------------------------------------------------------------
 */

struct ml_visit *ml_visit_new(struct ml_http *http, const struct ml_head *head,
                              void (*then)(struct ml_visit *visit))
{
    struct ml_visit *visit = calloc(1, sizeof *visit);

    if (visit) {
        visit->http = http;
        visit->then = then;
        ml_arena_init(&visit->arena, ARENA_MAX);
        visit->head = ml_visitor_keep_head(http, head, &visit->arena);
        visit->ask = (struct ml_ask){
            .net = http->net,
            .arena = &visit->arena,
            .asker = &visit->asker,
            .source = {.head = visit->head, .ip = ml_slice_str(http->ip)},
        };
    }
    if (visit && visit->head)
        return visit;
    if (visit)
        ml_visit_free(visit);
    ml_http_answer_error(http, 503, "overloaded", "Try again later.");
    return NULL;
}

void ml_visit_free(struct ml_visit *visit)
{
    ml_ask_drop(&visit->ask);
    ml_arena_release(&visit->arena);
    free(visit);
}

static void end_visit(struct ml_visit *visit)
{
    visit->org = visit->ask.source.org;
    if (ml_visitor_judge(visit->http, &visit->ask))
        visit->then(visit);
    ml_visit_free(visit);
}

static void on_visitor_gone(struct ml_http *http)
{
    ml_visit_free(http->waiter);
}

static void on_visit_answered(struct ml_ask *ask)
{
    struct ml_visit *visit = ML_CONTAINER(ask, struct ml_visit, ask);
    struct ml_http *http = visit->http;

    ml_http_route_again(http);
    end_visit(visit);
    ml_http_routed(http);
}

void ml_visit_ask(struct ml_visit *visit)
{
    visit->ask.done = on_visit_answered;
    if (ml_ask_start(&visit->ask)) {
        end_visit(visit);
        return;
    }
    ml_http_wait(visit->http, visit, on_visitor_gone);
    visit->http->minds_leaving = true;
}

bool ml_visitor_is_this_machine(const struct ml_http *http, const struct ml_head *head)
{
    struct in_addr address;

    if (ml_head_field(head, "x-forwarded-for").ptr || ml_head_field(head, "forwarded").ptr ||
        ml_head_field(head, "x-real-ip").ptr || ml_head_field(head, "via").ptr)
        return false;
    return strcmp(http->peer, "::1") == 0 ||
           (inet_pton(AF_INET, strncmp(http->peer, "::ffff:", 7) == 0 ? http->peer + 7 : http->peer,
                      &address) == 1 &&
            ntohl(address.s_addr) >> 24 == 127);
}
