/* SPDX-License-Identifier: MIT */
/*
 * Signing in at a provider of identities (OpenID Connect, code flow with PKCE):
 *
 *   GET /auth/oidc/NAME          what the provider says of itself --> cookie "oidc", 302 to it
 *   GET …/callback               cookie --> code for tokens --> its keys --> ID token --> account
 *                                --> cookies of a session, 303 to where it began
 *
 *  [I1] State, nonce, verifier and the way back stand in a cookie under our MAC, for ten minutes:
 * no node has to remember anything, and the answer counts only in the browser that asked. [I2] An
 * account is its issuer and subject. An address of mail, and only one that the provider has
 * verified, leads to the account of that name once, if the configuration says so: from then on its
 * issuer and subject do. Space "oidc" of org "-": the hash of both -> {"user"}. [I3] Nothing of the
 * provider is believed before its ID token is checked, and whatever was wrong is one answer.
 */
#include "net/auth_oidc.h"

#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"
#include "net/visitor.h"

#include "auth/auth.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define COOKIE_MS    (10ll * 60000)
#define COOKIE_MAX   2048
#define PATH_MAX_LEN 512
#define RANDOM_HEX   64
#define FETCH_MS     3000
#define FETCH_BYTES  65536
#define FETCHES_MAX  16 /* of one loop */
#define URL_MAX      2048
#define FRESH_MS     600000
#define LEEWAY_S     30
#define LIFE_MAX_S   86400
#define CORE         ML_SLICE("-")
#define CALLBACK     "callback"
#define PLACE_MAX    ((PATH_MAX_LEN + 2) / 3 * 4)
#define ATTRIBUTES   "Path=/auth/oidc; HttpOnly; SameSite=Lax"

/* What a provider says of itself; of one loop. */
struct ml_oidc_facts {
    struct ml_oidc_facts *next;
    const struct ml_oidc_provider *of;
    int64_t at_ms;
    bool has_iss; /* its answers name it */
    char authorize[URL_MAX], token[URL_MAX], keys[URL_MAX];
};

struct oidc {
    struct ml_signing *signing;
    struct ml_call *call;
    const struct ml_oidc_provider *provider;
    struct ml_oidc_facts *facts;
    struct ml_net_fetch fetch;
    void (*then)(struct oidc *o);  /* after a fetch */
    void (*ready)(struct oidc *o); /* when the provider is known */
    bool is_waiting;
    char redirect[URL_MAX];
    char path[PATH_MAX_LEN + 1];
    char state[RANDOM_HEX + 1], nonce[RANDOM_HEX + 1], verifier[RANDOM_HEX + 1];
    struct ml_slice code, id_token;
    char key[65];                  /* of issuer and subject */
    char mail[ML_USER_ID_MAX + 1]; /* verified, and could be the name of an account; or "" */
    char clears[256];              /* the line that ends our cookie */
    struct ml_writer text;
};

static bool is_secure(const struct ml_net *net)
{
    return net->env.public_url && strncmp(net->env.public_url, "https://", 8) == 0;
}

static const char *cookie_name(const struct ml_net *net)
{
    return is_secure(net) ? "__Secure-ml_oidc" : "ml_oidc";
}

static void drop(struct oidc *o)
{
    ml_writer_release(&o->text);
}

static void refuse(struct oidc *o, const char *why)
{
    ml_log(ML_LOG_WARN, "oidc.refused", "provider=%s why=%s", o->provider->name,
           ML_LOG_TEXT(ml_slice_str(why)));
    drop(o);
    ml_call_error(o->call, 401, "oidc", "Signing in there did not work. Begin again.");
}

static void fail(struct oidc *o, const char *what)
{
    ml_log(ML_LOG_WARN, "oidc.failed", "provider=%s what=%s", o->provider->name, what);
    drop(o);
    ml_call_error(o->call, 503, "oidc", "The provider does not answer now.");
}

/* ---- Words ------------------------------------------------------------------------------------
 */

static bool draw(char out[RANDOM_HEX + 1])
{
    uint8_t bytes[RANDOM_HEX / 2];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* The text as a parameter of an address or a form. */
static void put_escaped(struct ml_writer *out, const char *name, struct ml_slice value)
{
    static const char hex[] = "0123456789ABCDEF";

    ml_http_print(out, "%s=", name);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i], low = c | 0x20;

        if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
            c == '_' || c == '~') {
            ml_write_u8(out, c);
        } else {
            ml_write_u8(out, '%');
            ml_write_u8(out, (uint8_t)hex[c >> 4]);
            ml_write_u8(out, (uint8_t)hex[c & 15]);
        }
    }
}

bool ml_oidc_is_local_path(struct ml_slice path)
{
    if (path.len == 0 || path.len > PATH_MAX_LEN || path.ptr[0] != '/')
        return false;
    if (path.len > 1 && (path.ptr[1] == '/' || path.ptr[1] == '\\'))
        return false;
    for (size_t i = 0; i < path.len; i++)
        if (path.ptr[i] <= ' ' || path.ptr[i] > '~' || strchr("\\\"<>^`{|}", path.ptr[i]))
            return false;
    return true;
}

static const struct ml_oidc_provider *provider_named(const struct ml_net *net, struct ml_slice name)
{
    for (size_t i = 0; i < net->env.provider_count; i++)
        if (ml_slice_equal(name, ml_slice_str(net->env.providers[i].name)))
            return &net->env.providers[i];
    return NULL;
}

/* Where the provider sends people back to; it knows this address from before. */
static bool make_redirect(struct oidc *o)
{
    const struct ml_net *net = o->call->net;
    const struct ml_head *head = o->call->head;
    size_t len;
    int n;

    if (net->env.public_url) {
        len = strlen(net->env.public_url);
        while (len && net->env.public_url[len - 1] == '/')
            len--;
        n = snprintf(o->redirect, sizeof o->redirect, "%.*s/auth/oidc/%s/" CALLBACK, (int)len,
                     net->env.public_url, o->provider->name);
    } else {
        if (!head || !ml_visitor_is_loopback_host(head->host))
            return false;
        n = snprintf(o->redirect, sizeof o->redirect, "http://%.*s/auth/oidc/%s/" CALLBACK,
                     ML_PRINT(head->host), o->provider->name);
    }
    return n > 0 && (size_t)n < sizeof o->redirect;
}

/* NULL: answered. */
static struct oidc *begin(struct ml_call *call)
{
    const struct ml_oidc_provider *provider = provider_named(call->net, call->session);
    struct ml_signing *s = provider ? ml_signing_new(call) : NULL;
    struct oidc *o;

    if (!s) {
        if (!provider)
            ml_call_error(call, 404, "not_found", "There is nothing at this address.");
        return NULL;
    }
    o = ml_arena_alloc(&call->arena, sizeof *o);
    if (!o) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return NULL;
    }
    memset(o, 0, sizeof *o);
    o->signing = s;
    call->job = o;
    o->call = call;
    o->provider = provider;
    ml_writer_init(&o->text, FETCH_BYTES);
    if (!make_redirect(o)) {
        ml_call_error(call, 400, "bad_host", "This server needs public_url for signing in there.");
        return NULL;
    }
    return o;
}

/* ---- Asking the provider ----------------------------------------------------------------------
 */

static void on_fetched(struct ml_net_fetch *fetch)
{
    struct oidc *o = ML_CONTAINER(fetch, struct oidc, fetch);

    o->call->net->oidc_fetches--;
    ml_writer_reset(&o->text);
    o->then(o);
}

/* `body` (a form) is sent with POST; empty: GET. The answer is in o->fetch when `then` runs. */
static void fetch(struct oidc *o, const char *url, struct ml_slice body,
                  void (*then)(struct oidc *o))
{
    struct ml_net *net = o->call->net;
    enum ml_err err;

    o->then = then;
    if (!o->is_waiting)
        ml_call_wait(o->call);
    o->is_waiting = true;
    o->fetch = (struct ml_net_fetch){.url = ml_slice_str(url),
                                     .form = body,
                                     .timeout_ms = FETCH_MS,
                                     .max_bytes = FETCH_BYTES,
                                     .done = on_fetched};
    err = net->env.client.begin && net->oidc_fetches < FETCHES_MAX
              ? net->env.client.begin(net->env.client.arg, &o->fetch)
              : ML_EBUSY;
    if (err) {
        fail(o, "no connection");
        return;
    }
    net->oidc_fetches++;
}

/* The answer as an object, in the arena; .ptr NULL: it is none. */
static struct ml_slice take_answer(struct oidc *o)
{
    struct ml_slice any = {0};

    if (!o->fetch.err && o->fetch.status == 200)
        any = ml_auth_json(&o->call->arena, o->fetch.body);
    return any;
}

static void release_answer(struct oidc *o)
{
    o->call->net->env.client.release(o->call->net->env.client.arg, &o->fetch);
}

static struct ml_oidc_facts *facts_of(struct ml_net *net, const struct ml_oidc_provider *provider)
{
    for (struct ml_oidc_facts *facts = net->oidc_facts; facts; facts = facts->next)
        if (facts->of == provider)
            return facts;
    return NULL;
}

static bool is_address(const char *url)
{
    return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0;
}

static bool read_facts(struct oidc *o, struct ml_slice any, struct ml_oidc_facts *out)
{
    struct ml_slice value;
    char issuer[URL_MAX];

    out->has_iss = false;
    if (ml_fields_get(any, "authorization_response_iss_parameter_supported", &value))
        (void)!ml_fields_bool(value, &out->has_iss);
    return any.ptr && ml_signing_text(any, "issuer", issuer, sizeof issuer) &&
           strcmp(issuer, o->provider->issuer) == 0 &&
           ml_signing_text(any, "authorization_endpoint", out->authorize, sizeof out->authorize) &&
           ml_signing_text(any, "token_endpoint", out->token, sizeof out->token) &&
           ml_signing_text(any, "jwks_uri", out->keys, sizeof out->keys) &&
           is_address(out->authorize) && is_address(out->token) && is_address(out->keys);
}

static void on_facts(struct oidc *o)
{
    struct ml_net *net = o->call->net;
    struct ml_oidc_facts *facts = facts_of(net, o->provider), now = {0};
    struct ml_slice any = take_answer(o);
    bool is_fine = read_facts(o, any, &now);

    release_answer(o);
    if (!is_fine) {
        fail(o, "discovery");
        return;
    }
    if (!facts) {
        facts = malloc(sizeof *facts);
        if (!facts) {
            fail(o, "memory");
            return;
        }
        now.next = net->oidc_facts;
        net->oidc_facts = facts;
    } else {
        now.next = facts->next;
    }
    now.of = o->provider;
    now.at_ms = ml_clock_wall_ms();
    *facts = now;
    o->facts = facts;
    o->ready(o);
}

/* With what the provider says of itself, from a moment ago. */
static void with_facts(struct oidc *o, void (*then)(struct oidc *o))
{
    struct ml_oidc_facts *facts = facts_of(o->call->net, o->provider);
    size_t len = strlen(o->provider->issuer);
    char url[URL_MAX];

    if (facts && ml_clock_wall_ms() - facts->at_ms < FRESH_MS) {
        o->facts = facts;
        then(o);
        return;
    }
    o->ready = then;
    while (len && o->provider->issuer[len - 1] == '/')
        len--;
    (void)snprintf(url, sizeof url, "%.*s/.well-known/openid-configuration", (int)len,
                   o->provider->issuer);
    fetch(o, url, ml_slice_make(NULL, 0), on_facts);
}

/* ---- There ------------------------------------------------------------------------------------
 */

/* NAME.UNTIL.STATE.NONCE.VERIFIER.PATH.MAC */
static bool put_cookie(struct oidc *o, struct ml_writer *out)
{
    const struct ml_own_keys *keys = ml_signing_keys(o->call);
    struct ml_slice path = ml_slice_str(o->path), text;
    char place[PLACE_MAX + 1], mac[65];
    size_t start;

    ml_base64_put(path, ML_BASE64URL, place);
    place[ml_base64_len(path.len, ML_BASE64URL)] = '\0';
    ml_http_print(out, "Set-Cookie: %s=", cookie_name(o->call->net));
    start = out->len;
    ml_http_print(out, "%s.%" PRId64 ".%s.%s.%s.%s", o->provider->name,
                  (int64_t)(ml_clock_wall_ms() + COOKIE_MS), o->state, o->nonce, o->verifier,
                  place);
    if (out->err || !keys)
        return false;
    text = ml_slice_make(out->ptr + start, out->len - start);
    ml_own_mac(keys, "oidc", text, mac);
    ml_http_print(out, ".%s; " ATTRIBUTES "%s; Max-Age=%lld\r\n", mac,
                  is_secure(o->call->net) ? "; Secure" : "", COOKIE_MS / 1000);
    return !out->err;
}

static void put_challenge(struct oidc *o)
{
    uint8_t hash[32];
    char text[64];

    ml_sha256(ml_slice_str(o->verifier), hash);
    ml_base64_put(ml_slice_make(hash, sizeof hash), ML_BASE64URL, text);
    put_escaped(&o->text, "&code_challenge",
                ml_slice_make(text, ml_base64_len(sizeof hash, ML_BASE64URL)));
    ml_http_print(&o->text, "&code_challenge_method=S256\r\n");
}

static void send_there(struct oidc *o)
{
    struct ml_writer body, text;

    ml_writer_reset(&o->text);
    ml_http_print(&o->text, ML_HTTP_NO_STORE "Location: %s%c", o->facts->authorize,
                  strchr(o->facts->authorize, '?') ? '&' : '?');
    put_escaped(&o->text, "response_type", ML_SLICE("code"));
    put_escaped(&o->text, "&client_id", ml_slice_str(o->provider->client_id));
    put_escaped(&o->text, "&redirect_uri", ml_slice_str(o->redirect));
    put_escaped(&o->text, "&scope", ml_slice_str(o->provider->scopes));
    put_escaped(&o->text, "&state", ml_slice_str(o->state));
    put_escaped(&o->text, "&nonce", ml_slice_str(o->nonce));
    put_challenge(o);
    if (!put_cookie(o, &o->text)) {
        fail(o, "words");
        return;
    }
    ml_write_u8(&o->text, '\0');
    text = o->text; /* the call takes *o with it */
    ml_writer_init(&body, 64);
    ml_call_answer(o->call, 302, NULL, (const char *)text.ptr, &body);
    ml_writer_release(&text);
}

void ml_auth_oidc(struct ml_call *call)
{
    struct ml_slice path = ml_call_parameter(call, "return");
    struct oidc *o;

    if (path.ptr && !ml_oidc_is_local_path(path)) {
        ml_call_error(call, 400, "bad_return",
                      "return is a path of this server: it begins with /.");
        return;
    }
    o = begin(call);
    if (!o)
        return;
    (void)snprintf(o->path, sizeof o->path, "%.*s", ML_PRINT(path.len ? path : ML_SLICE("/")));
    if (!draw(o->state) || !draw(o->nonce) || !draw(o->verifier)) {
        fail(o, "random");
        return;
    }
    with_facts(o, send_there);
}

/* ---- And back ---------------------------------------------------------------------------------
 */

/* The next part of a text with dots; the last one has none behind it. */
static struct ml_slice next_part(struct ml_slice *rest)
{
    const uint8_t *dot = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;
    struct ml_slice part = ml_slice_make(rest->ptr, dot ? (size_t)(dot - rest->ptr) : rest->len);
    size_t used = part.len + (dot ? 1 : 0);

    *rest = ml_slice_make(rest->ptr + used, rest->len - used);
    return part;
}

static bool keep(struct ml_slice part, char *out, size_t size)
{
    if (!part.len || part.len >= size)
        return false;
    memcpy(out, part.ptr, part.len);
    out[part.len] = '\0';
    return true;
}

/* Is it our cookie, of this provider, and not over? Then what stands in it is in *o. */
static bool take_cookie(struct oidc *o)
{
    struct ml_slice text = ml_auth_cookie(o->call->cookies, cookie_name(o->call->net)), signed_part;
    const struct ml_own_keys *keys = ml_signing_keys(o->call);
    char mac[65], until[24], name[64], place[PLACE_MAX + 1];
    size_t len = 0;

    if (text.len < 65 || text.len > COOKIE_MAX || text.ptr[text.len - 65] != '.' || !keys)
        return false;
    signed_part = ml_slice_make(text.ptr, text.len - 65);
    ml_own_mac(keys, "oidc", signed_part, mac);
    if (!ml_same_secret(ml_slice_make(text.ptr + text.len - 64, 64), ml_slice_str(mac)))
        return false;
    if (!keep(next_part(&signed_part), name, sizeof name) || strcmp(name, o->provider->name) != 0 ||
        !keep(next_part(&signed_part), until, sizeof until) ||
        strtoll(until, NULL, 10) <= ml_clock_wall_ms() ||
        !keep(next_part(&signed_part), o->state, sizeof o->state) ||
        !keep(next_part(&signed_part), o->nonce, sizeof o->nonce) ||
        !keep(next_part(&signed_part), o->verifier, sizeof o->verifier) ||
        !keep(next_part(&signed_part), place, sizeof place) ||
        !ml_base64_get(ml_slice_str(place), ML_BASE64URL, (uint8_t *)o->path, &len))
        return false;
    o->path[len] = '\0';
    return ml_oidc_is_local_path(ml_slice_str(o->path));
}

/* What the provider says with the code: is it an answer to our question (RFC 9207)? */
static const char *judge_answer(struct oidc *o)
{
    struct ml_slice state = ml_call_parameter(o->call, "state");
    struct ml_slice iss = ml_call_parameter(o->call, "iss");

    if (!take_cookie(o))
        return "no cookie of ours";
    if (state.len != strlen(o->state) || !ml_same_secret(state, ml_slice_str(o->state)))
        return "another state";
    if (iss.ptr && !ml_slice_equal(iss, ml_slice_str(o->provider->issuer)))
        return "another issuer";
    if (ml_call_parameter(o->call, "error").ptr)
        return "the provider says no";
    o->code = ml_call_parameter(o->call, "code");
    return o->code.len && o->code.len <= URL_MAX ? NULL : "no code";
}

/* ---- The account ------------------------------------------------------------------------------
 */

static struct oidc *of_read(struct ml_store_read *read)
{
    return ML_CONTAINER(read, struct ml_signing, read)->call->job;
}

static void enter(struct oidc *o)
{
    struct ml_signing *s = o->signing;

    (void)snprintf(o->clears, sizeof o->clears, "Set-Cookie: %s=; " ATTRIBUTES "%s; Max-Age=0\r\n",
                   cookie_name(o->call->net), is_secure(o->call->net) ? "; Secure" : "");
    s->go_to = o->path;
    s->also = o->clears;
    drop(o);
    ml_signing_enter(s);
}

static void on_member(struct ml_store_read *read)
{
    struct oidc *o = of_read(read);
    struct ml_signing *s = o->signing;
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : ml_signing_value(s);
    bool is_member = any.ptr && ml_signing_text(any, "role", s->role, sizeof s->role);
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err)
        fail(o, "store");
    else if (!is_member)
        refuse(o, "no member of the org");
    else
        enter(o);
}

static void on_user(struct ml_store_read *read)
{
    struct oidc *o = of_read(read);
    struct ml_signing *s = o->signing;
    enum ml_err err = ml_signing_read_account(s);

    if (err == ML_EIO)
        fail(o, "store");
    else if (err)
        refuse(o, "no such account, or it is suspended");
    else
        ml_signing_look(s, ml_slice_str(s->org), "member", s->user, on_member);
}

/* Parts of a new account, one after the other: each is there or not, so a try that was cut off is
 * finished by the next one. */
struct part {
    const char *space;
    bool is_of_org;
};
static const struct part parts[] = {
    {"user", false}, {"member", true}, {"place", false}, {"oidc", false}};
#define PARTS (sizeof parts / sizeof *parts)

static void make_part(struct ml_signing *s);

static void go_on(struct ml_signing *s)
{
    if (++s->attempts < PARTS)
        make_part(s);
    else
        ml_signing_look(s, CORE, "user", s->user, on_user);
}

/* There is an account of that name: ours, from a try that was cut off, or somebody took the name.
 */
static void on_taken(struct ml_store_read *read)
{
    struct oidc *o = of_read(read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : ml_signing_value(o->signing);
    char of[65];
    bool is_ours = any.ptr && ml_signing_text(any, "oidc", of, sizeof of) && !strcmp(of, o->key);
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err)
        fail(o, "store");
    else if (!is_ours)
        refuse(o, "somebody else has the name");
    else
        go_on(o->signing);
}

static void on_part(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    ml_writer_release(&s->value);
    if (err && err != ML_ECONFLICT) /* a conflict: it is there */
        fail(s->call->job, "store");
    else if (err && s->attempts == 0)
        ml_signing_look(s, CORE, "user", s->user, on_taken);
    else
        go_on(s);
}

static void make_part(struct ml_signing *s)
{
    struct oidc *o = s->call->job;
    const struct part *part = &parts[s->attempts];
    char place[ML_USER_ID_MAX + 66];
    struct ml_slice key = ml_slice_str(s->user);

    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    switch (s->attempts) {
    case 0:
        ml_http_print(&s->value, "{\"name\":");
        ml_json_write_text(&s->value, ml_slice_str(s->name));
        ml_http_print(&s->value, ",\"hash\":\"\",\"oidc\":\"%s\"}",
                      o->key); /* no password is right */
        break;
    case 1:
        ml_http_print(&s->value, "{\"role\":\"%s\"}", o->provider->role);
        break;
    case 2:
        ml_http_print(&s->value, "true");
        (void)snprintf(place, sizeof place, "%s/%s", s->user, s->org);
        key = ml_arena_copy(&s->call->arena, ml_slice_str(place));
        break;
    default:
        ml_http_print(&s->value, "{\"user\":\"%s\"}", s->user);
        key = ml_slice_str(o->key);
    }
    s->items[0] = (struct ml_store_item){.act = ML_STORE_CHECK, .key = key, .rev = 0};
    s->items[1] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = key, .value = ml_writer_slice(&s->value)};
    s->write = (struct ml_store_write){.org = part->is_of_org ? ml_slice_str(s->org) : CORE,
                                       .instance = CORE,
                                       .space = ml_slice_str(part->space),
                                       .items = s->items,
                                       .count = 2,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = on_part};
    ml_store_commit(s->call->net->env.journal, &s->write);
}

static void make_account(struct oidc *o)
{
    struct ml_signing *s = o->signing;

    if (!o->provider->role) {
        refuse(o, "nobody has that account here");
        return;
    }
    (void)snprintf(s->user, sizeof s->user, "%s-%.16s", o->provider->name, o->key);
    s->attempts = 0;
    make_part(s);
}

/* The account whose name is the verified address. */
static void on_namesake(struct ml_store_read *read)
{
    struct oidc *o = of_read(read);
    struct ml_signing *s = o->signing;
    bool is_there = read->count > 0;
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err) {
        fail(o, "store");
    } else if (!is_there) {
        make_account(o);
    } else if (!o->provider->links_mail) {
        ml_log(ML_LOG_WARN, "oidc.refused", "provider=%s why=namesake", o->provider->name);
        drop(o);
        ml_call_error(o->call, 409, "exists",
                      "There is an account with this address of mail: sign in with its password.");
    } else {
        ml_log(ML_LOG_INFO, "oidc.linked", "provider=%s user=%s", o->provider->name,
               ML_LOG_TEXT(ml_slice_str(o->mail)));
        (void)snprintf(s->user, sizeof s->user, "%s", o->mail);
        s->attempts = PARTS - 1; /* only the last of them */
        make_part(s);
    }
}

static void on_link(struct ml_store_read *read)
{
    struct oidc *o = of_read(read);
    struct ml_signing *s = o->signing;
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : ml_signing_value(s);
    bool is_known = any.ptr && ml_signing_text(any, "user", s->user, sizeof s->user);
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err) {
        fail(o, "store");
    } else if (is_known) {
        ml_signing_look(s, CORE, "user", s->user, on_user);
    } else if (o->mail[0]) {
        ml_signing_look(s, CORE, "user", o->mail, on_namesake);
    } else {
        make_account(o);
    }
}

/* ---- The ID token -----------------------------------------------------------------------------
 */

/* More than one audience: who it was given to has to be us. */
static bool is_for_us(const struct oidc *o, struct ml_slice claims)
{
    struct ml_slice value, text;

    if (ml_fields_get(claims, "azp", &value))
        return ml_fields_text(value, &text) &&
               ml_slice_equal(text, ml_slice_str(o->provider->client_id));
    return !ml_fields_get(claims, "aud", &value) || !ml_fields_is_list(value) ||
           !ml_fields_item(value, 1, &text);
}

/* SEC-JWT-07: the provider has verified it only if it says true, and nothing else. */
static void take_mail(struct oidc *o, struct ml_slice claims)
{
    struct ml_slice value;
    bool is_verified = false;

    if (!ml_fields_get(claims, "email_verified", &value) || !ml_fields_bool(value, &is_verified) ||
        !is_verified || !ml_signing_text(claims, "email", o->mail, sizeof o->mail))
        o->mail[0] = '\0';
    for (char *at = o->mail; *at; at++)
        *at = *at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at;
    if (!strchr(o->mail, '@') || !ml_user_id_is_valid(ml_slice_str(o->mail)))
        o->mail[0] = '\0';
}

static const char *judge_token(struct oidc *o, const struct ml_keyset *keys)
{
    struct ml_signing *s = o->signing;
    const struct ml_token_rules rules = {.keys = keys,
                                         .algs = o->provider->algs,
                                         .issuer = ml_slice_str(o->provider->issuer),
                                         .audience = ml_slice_str(o->provider->client_id),
                                         .now_s = ml_clock_wall_ms() / 1000,
                                         .leeway_s = LEEWAY_S,
                                         .life_max_s = LIFE_MAX_S,
                                         .needs_subject = true};
    struct ml_slice claims, parts_of_key[2];
    struct ml_token token;
    char nonce[RANDOM_HEX + 1];
    const char *why = "?";

    if (ml_token_verify(o->id_token, &rules, &o->call->arena, &token, &why))
        return why;
    claims = ml_auth_json(&o->call->arena, token.claims);
    if (!claims.ptr || !ml_signing_text(claims, "nonce", nonce, sizeof nonce) ||
        strlen(nonce) != strlen(o->nonce) ||
        !ml_same_secret(ml_slice_str(nonce), ml_slice_str(o->nonce)))
        return "another nonce";
    if (!is_for_us(o, claims))
        return "given to another client";
    if ((!ml_signing_text(claims, "name", s->name, sizeof s->name) || !s->name[0]) &&
        (!ml_signing_text(claims, "preferred_username", s->name, sizeof s->name) || !s->name[0]))
        (void)snprintf(s->name, sizeof s->name, "%s", o->provider->name);
    take_mail(o, claims);
    parts_of_key[0] = token.issuer;
    parts_of_key[1] = token.subject;
    ml_digest_hex(parts_of_key, 2, o->key, 64);
    return NULL;
}

static void on_keys(struct oidc *o)
{
    struct ml_keyset *keys = NULL;
    struct ml_diag diag = {0};
    const char *why = NULL;
    bool is_down = o->fetch.err || o->fetch.status != 200;

    if (!is_down && ml_keyset_read(o->fetch.body, o->provider->algs, &keys, &diag))
        is_down = true;
    if (!is_down)
        why = judge_token(o, keys);
    ml_keyset_free(keys);
    release_answer(o);
    if (is_down) {
        fail(o, "keys");
    } else if (why) {
        refuse(o, why);
    } else {
        (void)snprintf(o->signing->org, sizeof o->signing->org, "%s", o->provider->org);
        ml_signing_look(o->signing, CORE, "oidc", o->key, on_link);
    }
}

static void on_tokens(struct oidc *o)
{
    struct ml_slice any = take_answer(o), value;
    bool is_down = o->fetch.err || o->fetch.status >= 500;
    bool has =
        any.ptr && ml_fields_get(any, "id_token", &value) && ml_fields_text(value, &o->id_token);

    release_answer(o);
    if (is_down)
        fail(o, "tokens");
    else if (!has)
        refuse(o, "no ID token for this code");
    else
        fetch(o, o->facts->keys, ml_slice_make(NULL, 0), on_keys);
}

static void ask_tokens(struct oidc *o)
{
    if (o->facts->has_iss && !ml_call_parameter(o->call, "iss").ptr) {
        refuse(o, "no issuer in the answer");
        return;
    }
    ml_writer_reset(&o->text);
    put_escaped(&o->text, "grant_type", ML_SLICE("authorization_code"));
    put_escaped(&o->text, "&code", o->code);
    put_escaped(&o->text, "&redirect_uri", ml_slice_str(o->redirect));
    put_escaped(&o->text, "&client_id", ml_slice_str(o->provider->client_id));
    if (o->provider->client_secret)
        put_escaped(&o->text, "&client_secret", ml_slice_str(o->provider->client_secret));
    put_escaped(&o->text, "&code_verifier", ml_slice_str(o->verifier));
    fetch(o, o->facts->token, ml_writer_slice(&o->text), on_tokens);
}

void ml_auth_oidc_callback(struct ml_call *call)
{
    struct oidc *o = begin(call);
    const char *why;

    if (!o)
        return;
    why = judge_answer(o);
    if (why)
        refuse(o, why);
    else
        with_facts(o, ask_tokens);
}

void ml_oidc_free(struct ml_net *net)
{
    struct ml_oidc_facts *facts;

    while ((facts = net->oidc_facts)) {
        net->oidc_facts = facts->next;
        free(facts);
    }
}
