/* SPDX-License-Identifier: MIT */
/*
 * Accounts over HTTP. What stands in the store, under the core's instance "-":
 *
 *   org "-"  space "user"    key: id       {"name", "hash", "suspended"?}
 *   org ORG  space "member"  key: user id  {"role"}
 *   org "-"  space "family"  key: handle   {"user", "org", "head", "before", "started", "rotated"},
 *                                   all texts
 *
 *   login    user --> (worker) password --> member --> family is made ------+--> cookies
 *   refresh  family --> user --> member --> judged --> family is changed ---+
 *                ^                                        |
 *                +------- somebody else was faster -------+
 *
 * A family is changed on the condition that it is as it was read: of fifty refreshes at once one
 * makes the successor and the others find it. Whatever was wrong with a login is one answer, after
 * the same work.
 */
#include "net/auth_login.h"

#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define ACCESS_S     600
#define ATTEMPTS     8
#define CHECKS_MAX   16 /* passwords of one loop that are being checked: 19 MiB and a thread each */
#define FIELDS_MAX   4096
#define PURGE_PAGE   200
#define CORE         ML_SLICE("-")
#define PASSWORD_MAX ML_PASSWORD_MAX_BYTES

/* ---- Cookies --------------------------------------------------------------------------------- */

static bool is_secure(const struct ml_net *net)
{
    return net->env.public_url && strncmp(net->env.public_url, "https://", 8) == 0;
}

const char *ml_auth_access_cookie(const struct ml_net *net)
{
    return is_secure(net) ? "__Host-ml_at" : "ml_at";
}

static const char *refresh_cookie(const struct ml_net *net)
{
    return is_secure(net) ? "__Secure-ml_rt" : "ml_rt";
}

static const char *csrf_cookie(const struct ml_net *net)
{
    return is_secure(net) ? "__Host-ml_csrf" : "ml_csrf";
}

struct ml_slice ml_auth_cookie(struct ml_slice cookies, const char *name)
{
    size_t len = strlen(name);

    while (cookies.len) {
        const uint8_t *end = memchr(cookies.ptr, ';', cookies.len);
        size_t pair = end ? (size_t)(end - cookies.ptr) : cookies.len;

        if (pair > len && memcmp(cookies.ptr, name, len) == 0 && cookies.ptr[len] == '=')
            return ml_slice_make(cookies.ptr + len + 1, pair - len - 1);
        pair += end ? 1 : 0;
        cookies = ml_slice_make(cookies.ptr + pair, cookies.len - pair);
        while (cookies.len && cookies.ptr[0] == ' ')
            cookies = ml_slice_make(cookies.ptr + 1, cookies.len - 1);
    }
    return ml_slice_make(NULL, 0);
}

void ml_auth_csrf(const struct ml_own_keys *keys, struct ml_slice session, char out[65])
{
    ml_own_mac(keys, "csrf", session, out);
}

static void put_cookie(struct ml_writer *out, const struct ml_net *net, const char *name,
                       struct ml_slice value, const char *attributes, int64_t age_s)
{
    ml_http_print(out, "Set-Cookie: %s=", name);
    ml_write_bytes(out, value);
    ml_http_print(out, "; %s%s; Max-Age=%" PRId64 "\r\n", attributes,
                  is_secure(net) ? "; Secure" : "", age_s);
}

#define ACCESS_ATTRIBUTES  "Path=/; HttpOnly; SameSite=Lax"
#define REFRESH_ATTRIBUTES "Path=/auth; HttpOnly; SameSite=Strict"
#define CSRF_ATTRIBUTES    "Path=/; SameSite=Strict"

static void put_no_cookies(struct ml_writer *out, const struct ml_net *net)
{
    const struct ml_slice none = ML_SLICE("");

    put_cookie(out, net, ml_auth_access_cookie(net), none, ACCESS_ATTRIBUTES, 0);
    put_cookie(out, net, refresh_cookie(net), none, REFRESH_ATTRIBUTES, 0);
    put_cookie(out, net, csrf_cookie(net), none, CSRF_ATTRIBUTES, 0);
}

/* ---- Answers --------------------------------------------------------------------------------- */

const struct ml_own_keys *ml_signing_keys(const struct ml_call *call)
{
    const struct ml_net_env *env = &call->net->env;

    return env->has_accounts && env->own_keys ? env->own_keys(env->own_keys_arg) : NULL;
}

void ml_signing_no_store(struct ml_call *call)
{
    ml_call_error(call, 503, "storage", "The store does not answer now.");
}

static void refuse_login(struct ml_call *call)
{
    ml_call_error(call, 401, "login", "User and password do not fit.");
}

/* 204 or an error, and no cookies any more. */
static void answer_out(struct ml_call *call, unsigned status, const char *code, const char *message)
{
    struct ml_writer fields, body;

    ml_writer_init(&fields, FIELDS_MAX);
    ml_writer_init(&body, ML_SIGNING_VALUE_MAX);
    put_no_cookies(&fields, call->net);
    ml_write_u8(&fields, '\0');
    if (code)
        ml_http_print(&body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"incident\":\"\"}}",
                      code, message);
    ml_call_json(call, status, (const char *)fields.ptr, &body);
    ml_writer_release(&fields);
}

static void answer_in(struct ml_signing *s)
{
    struct ml_call *call = s->call;
    const struct ml_own_keys *keys = ml_signing_keys(call);
    int64_t now_s = ml_clock_wall_ms() / 1000;
    struct ml_own_token token = {.kind = ML_OWN_ACCESS,
                                 .org = ml_slice_str(s->org),
                                 .user = ml_slice_str(s->user),
                                 .name = ml_slice_str(s->name),
                                 .session = ml_slice_str(s->handle),
                                 .expires_s = now_s + ACCESS_S};
    char refresh[ML_REFRESH_LEN + 1], csrf[65];
    struct ml_writer fields, body;
    struct ml_slice text;

    ml_identity_add(token.roles, ml_slice_str(s->role));
    if (!keys || ml_own_mint(keys, &token, now_s, &call->arena, &text)) {
        ml_call_error(call, 500, "internal", "The session could not be made.");
        return;
    }
    (void)snprintf(refresh, sizeof refresh, "%s.%s", s->handle, s->secret);
    ml_auth_csrf(keys, ml_slice_str(s->handle), csrf);
    ml_writer_init(&fields, FIELDS_MAX);
    put_cookie(&fields, call->net, ml_auth_access_cookie(call->net), text, ACCESS_ATTRIBUTES,
               ACCESS_S);
    put_cookie(&fields, call->net, refresh_cookie(call->net), ml_slice_str(refresh),
               REFRESH_ATTRIBUTES, ML_REFRESH_IDLE_MS / 1000);
    put_cookie(&fields, call->net, csrf_cookie(call->net), ml_slice_str(csrf), CSRF_ATTRIBUTES,
               ML_REFRESH_IDLE_MS / 1000);
    ml_write_u8(&fields, '\0');
    ml_writer_init(&body, ML_SIGNING_VALUE_MAX);
    ml_http_print(&body, "{\"user\":{\"id\":");
    ml_json_write_text(&body, token.user);
    ml_http_print(&body, ",\"name\":");
    ml_json_write_text(&body, token.name);
    ml_http_print(&body, ",\"org\":");
    ml_json_write_text(&body, token.org);
    ml_http_print(&body, ",\"roles\":[");
    ml_json_write_text(&body, ml_slice_str(s->role));
    ml_http_print(&body, "]},\"expires\":%" PRId64 "}", token.expires_s * 1000);
    ml_call_json(call, 200, (const char *)fields.ptr, &body);
    explicit_bzero(refresh, sizeof refresh);
    ml_writer_release(&fields);
}

/* ---- The store ------------------------------------------------------------------------------- */

void ml_signing_look(struct ml_signing *s, struct ml_slice org, const char *space, const char *key,
                     void (*done)(struct ml_store_read *read))
{
    s->read = (struct ml_store_read){.look = ML_STORE_GET,
                                     .org = org,
                                     .instance = CORE,
                                     .space = ml_slice_str(space),
                                     .key = ml_slice_str(key),
                                     .limit = 1,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = done};
    ml_store_look(s->call->net->env.journal, &s->read);
}

static void commit_family(struct ml_signing *s, size_t count,
                          void (*done)(struct ml_store_write *write))
{
    s->write = (struct ml_store_write){.org = CORE,
                                       .instance = CORE,
                                       .space = ML_SLICE("family"),
                                       .items = s->items,
                                       .count = count,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = done};
    ml_store_commit(s->call->net->env.journal, &s->write);
}

/* A text of a stored object, as a string. False: it is not there, or too long. */
bool ml_signing_text(struct ml_slice any, const char *key, char *out, size_t size)
{
    struct ml_slice value, text;

    if (!ml_fields_get(any, key, &value) || !ml_fields_text(value, &text) || text.len >= size ||
        memchr(text.ptr, 0, text.len))
        return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

/* A time in milliseconds, which stands as text: an encoded number has 31 bits. */
static bool keep_time(struct ml_slice any, const char *key, int64_t *out)
{
    char text[24], *end;

    if (!ml_signing_text(any, key, text, sizeof text))
        return false;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && *out > 0;
}

/* The one value that was read; .ptr NULL: there is none. */
static struct ml_slice value_of(struct ml_signing *s)
{
    return s->read.count ? ml_auth_json(&s->call->arena, s->read.pairs[0].value)
                         : ml_slice_make(NULL, 0);
}

static void hash_of(const char *secret, char out[65])
{
    struct ml_slice text = ml_slice_str(secret);

    ml_digest_hex(&text, 1, out, 64);
}

/* The family with `secret` as its newest; `before`: hash of the one that it replaces, or "". */
static void put_family(struct ml_signing *s, const char *secret, const char *before, uint64_t rev,
                       void (*done)(struct ml_store_write *write))
{
    int64_t now_ms = ml_clock_wall_ms();
    char head[65];

    hash_of(secret, head);
    ml_writer_release(&s->value);
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    ml_http_print(&s->value, "{\"user\":");
    ml_json_write_text(&s->value, ml_slice_str(s->user));
    ml_http_print(&s->value,
                  ",\"org\":\"%s\",\"head\":\"%s\",\"before\":\"%s\",\"started\":\"%" PRId64
                  "\",\"rotated\":\"%" PRId64 "\"}",
                  s->org, head, before, s->started_ms, now_ms);
    s->items[0] =
        (struct ml_store_item){.act = ML_STORE_CHECK, .key = ml_slice_str(s->handle), .rev = rev};
    s->items[1] = (struct ml_store_item){.act = ML_STORE_SET,
                                         .key = ml_slice_str(s->handle),
                                         .value = ml_writer_slice(&s->value),
                                         .ttl_ms = (uint64_t)ML_REFRESH_LIFE_MS};
    commit_family(s, 2, done);
}

struct ml_signing *ml_signing_new(struct ml_call *call)
{
    struct ml_signing *s = ml_arena_alloc(&call->arena, sizeof *s);

    if (!ml_signing_keys(call)) {
        ml_call_error(call, 404, "not_found", "There is nothing at this address.");
        return NULL;
    }
    if (!s) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->call = call;
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    s->ip = ml_arena_copy(&call->arena, ml_slice_str(call->http->ip));
    return s;
}

/* ---- Login ----------------------------------------------------------------------------------- */

static bool draw_hex(char *out, size_t digits)
{
    uint8_t bytes[32];

    if (getrandom(bytes, digits / 2, 0) != (ssize_t)(digits / 2))
        return false;
    for (size_t i = 0; i < digits / 2; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

static void on_made(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    ml_writer_release(&s->value);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    ml_log(ML_LOG_INFO, "login", "user=%s org=%s", ML_LOG_TEXT(ml_slice_str(s->user)), s->org);
    answer_in(s);
}

void ml_signing_enter(struct ml_signing *s)
{
    struct ml_slice user = ml_slice_str(s->user);

    ml_digest_hex(&user, 1, s->handle, ML_USER_KEY_LEN);
    if (!draw_hex(s->handle + ML_USER_KEY_LEN, ML_FAMILY_LEN - ML_USER_KEY_LEN) ||
        !draw_hex(s->secret, 64)) {
        ml_call_error(s->call, 500, "internal", "No random numbers.");
        return;
    }
    s->started_ms = ml_clock_wall_ms();
    put_family(s, s->secret, "", 0, on_made);
}

static void on_member(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : value_of(s);
    bool is_member = any.ptr && ml_signing_text(any, "role", s->role, sizeof s->role);
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err)
        ml_signing_no_store(s->call);
    else if (!is_member || !s->is_right)
        refuse_login(s->call);
    else
        ml_signing_enter(s);
}

/* On a worker thread. The same work whoever it is. */
static void on_work(uv_work_t *work)
{
    struct ml_signing *s = work->data;
    char unused[ML_PASSWORD_HASH_MAX];

    if (s->hash[0])
        s->is_right = ml_password_check(s->password, ml_slice_str(s->hash));
    else
        (void)!ml_password_hash(s->password, unused);
}

static void on_worked(uv_work_t *work, int status)
{
    struct ml_signing *s = work->data;
    struct ml_net *net = s->call->net;

    net->password_checks--;
    explicit_bzero((void *)(uintptr_t)s->password.ptr, s->password.len);
    if (s->is_right && !status && net->tries)
        ml_tries_right(net->tries, ml_slice_str(s->user), s->ip);
    else
        ml_log(ML_LOG_WARN, "login.refused", "user=%s", ML_LOG_TEXT(ml_slice_str(s->user)));
    /* Also for who was wrong: what is read then tells nobody anything. */
    ml_signing_look(s, ml_slice_str(s->org), "member", s->user, on_member);
}

static void on_user(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_net *net = s->call->net;
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : value_of(s), value;
    enum ml_err err = read->err;

    if (any.ptr && !ml_fields_get(any, "suspended", &value) &&
        ml_signing_text(any, "name", s->name, sizeof s->name))
        (void)!ml_signing_text(any, "hash", s->hash, sizeof s->hash);
    ml_store_read_release(read);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    s->work.data = s;
    net->password_checks++;
    if (uv_queue_work(net->env.loop, &s->work, on_work, on_worked)) {
        net->password_checks--;
        ml_call_error(s->call, 503, "overloaded", "Try again later.");
    }
}

/* False: answered. */
static bool read_login(struct ml_signing *s)
{
    static const char *const known[] = {"user", "password", "org", NULL};
    struct ml_call *call = s->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value;

    (void)snprintf(s->org, sizeof s->org, "default");
    if (!any.ptr || !ml_fields_is_object(any) || ml_fields_unknown(any, known).ptr ||
        !ml_fields_get(any, "user", &value) || !ml_fields_get(any, "password", &value) ||
        (ml_fields_get(any, "org", &value) &&
         !ml_signing_text(any, "org", s->org, sizeof s->org))) {
        ml_call_error(call, 400, "bad_json", "The body is {\"user\", \"password\", \"org\"?}.");
        return false;
    }
    /* Nothing that is no text, and no empty one, is anybody's password. */
    if (!ml_signing_text(any, "user", s->user, sizeof s->user) ||
        !ml_user_id_is_valid(ml_slice_str(s->user)) || !ml_org_is_valid(ml_slice_str(s->org)) ||
        !ml_fields_get(any, "password", &value) || !ml_fields_text(value, &s->password) ||
        !s->password.len || s->password.len > PASSWORD_MAX) {
        refuse_login(call);
        return false;
    }
    return true;
}

/* False: answered. */
static bool may_try(struct ml_signing *s)
{
    struct ml_net *net = s->call->net;
    uint64_t wait_ms;
    char fields[64];
    struct ml_writer body;

    if (!net->tries)
        net->tries = ml_tries_new();
    if (!net->tries || net->password_checks >= CHECKS_MAX) {
        ml_call_error(s->call, 503, "overloaded", "Try again later.");
        return false;
    }
    wait_ms = ml_tries_take(net->tries, ml_slice_str(s->user), s->ip, ml_net_now(net));
    if (!wait_ms)
        return true;
    (void)snprintf(fields, sizeof fields, "Retry-After: %" PRIu64 "\r\n", wait_ms / 1000 + 1);
    ml_writer_init(&body, 256);
    ml_http_print(&body, "{\"error\":{\"code\":\"too_many_tries\",\"message\":\"Too many tries; "
                         "come again later.\",\"incident\":\"\"}}");
    ml_call_json(s->call, 429, fields, &body);
    return false;
}

void ml_auth_login(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s || !read_login(s) || !may_try(s))
        return;
    ml_call_wait(call);
    ml_signing_look(s, CORE, "user", s->user, on_user);
}

/* ---- Refresh --------------------------------------------------------------------------------- */

static void look_family(struct ml_signing *s);

static void on_ended(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);

    ml_store_write_release(write);
    answer_out(s->call, 401, "reused", "This session was used by two; sign in again.");
}

static void end_family(struct ml_signing *s)
{
    ml_log(ML_LOG_WARN, "token.reuse", "user=%s", ML_LOG_TEXT(ml_slice_str(s->user)));
    s->items[0] = (struct ml_store_item){.act = ML_STORE_DELETE, .key = ml_slice_str(s->handle)};
    commit_family(s, 1, on_ended);
}

static void answer_over(struct ml_call *call)
{
    answer_out(call, 401, "expired", "The session is over; sign in again.");
}

static void on_rotated(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    ml_writer_release(&s->value);
    if (err == ML_ECONFLICT && ++s->attempts < ATTEMPTS)
        look_family(s);
    else if (err)
        ml_signing_no_store(s->call);
    else {
        char next[65];

        ml_own_mac(ml_signing_keys(s->call), "refresh", ml_slice_str(s->secret), next);
        memcpy(s->secret, next, sizeof next);
        answer_in(s);
    }
}

static void on_refresh_member(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : value_of(s);
    bool is_member = any.ptr && ml_signing_text(any, "role", s->role, sizeof s->role);
    enum ml_err err = read->err;
    char next[65], before[65];

    ml_store_read_release(read);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    if (!is_member) {
        answer_over(s->call);
        return;
    }
    ml_own_mac(ml_signing_keys(s->call), "refresh", ml_slice_str(s->secret), next);
    if (s->is_right) { /* ML_REFRESH_AGAIN: the successor is there */
        memcpy(s->secret, next, sizeof next);
        answer_in(s);
        return;
    }
    hash_of(s->secret, before);
    put_family(s, next, before, s->rev, on_rotated);
}

static void on_refresh_user(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : value_of(s), value;
    bool is_good = any.ptr && !ml_fields_get(any, "suspended", &value) &&
                   ml_signing_text(any, "name", s->name, sizeof s->name);
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err)
        ml_signing_no_store(s->call);
    else if (!is_good)
        answer_over(s->call);
    else
        ml_signing_look(s, ml_slice_str(s->org), "member", s->user, on_refresh_member);
}

static void on_family(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : value_of(s);
    char head[65], before[65], hash[65];
    int64_t started = 0, rotated = 0;
    bool is_good = any.ptr && ml_signing_text(any, "head", head, sizeof head) &&
                   ml_signing_text(any, "before", before, sizeof before) &&
                   ml_signing_text(any, "user", s->user, sizeof s->user) &&
                   ml_signing_text(any, "org", s->org, sizeof s->org) &&
                   keep_time(any, "started", &started) && keep_time(any, "rotated", &rotated);
    enum ml_err err = read->err;

    s->rev = read->count ? read->pairs[0].rev : 0;
    ml_store_read_release(read);
    if (err || !is_good) {
        if (err)
            ml_signing_no_store(s->call);
        else
            answer_over(s->call);
        return;
    }
    const struct ml_family family = {ml_slice_str(head), ml_slice_str(before), started, rotated};
    s->started_ms = started;
    hash_of(s->secret, hash);
    switch (ml_family_judge(&family, ml_slice_str(hash), ml_clock_wall_ms())) {
    case ML_REFRESH_REUSED:
        end_family(s);
        return;
    case ML_REFRESH_OVER:
        answer_over(s->call);
        return;
    case ML_REFRESH_AGAIN:
        s->is_right = true;
        break;
    case ML_REFRESH_NEXT:
    default:
        s->is_right = false;
    }
    ml_signing_look(s, CORE, "user", s->user, on_refresh_user);
}

static void look_family(struct ml_signing *s)
{
    ml_signing_look(s, CORE, "family", s->handle, on_family);
}

/* The refresh token of the cookie. False: there is none. */
static bool take_refresh(struct ml_signing *s)
{
    struct ml_slice handle, secret;

    if (!ml_refresh_read(ml_auth_cookie(s->call->cookies, refresh_cookie(s->call->net)), &handle,
                         &secret))
        return false;
    memcpy(s->handle, handle.ptr, handle.len);
    memcpy(s->secret, secret.ptr, secret.len);
    return true;
}

/* SEC-CS-01: the page says what only a page of ours can read. */
static bool has_csrf(const struct ml_signing *s)
{
    char csrf[65];

    ml_auth_csrf(ml_signing_keys(s->call), ml_slice_str(s->handle), csrf);
    return ml_same_secret(s->call->csrf, ml_slice_str(csrf));
}

static void refuse_csrf(struct ml_call *call)
{
    ml_call_error(call, 403, "csrf", "X-ML-CSRF does not say what the cookie does.");
}

void ml_auth_refresh(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s)
        return;
    if (!take_refresh(s)) {
        answer_over(call);
        return;
    }
    if (!has_csrf(s)) {
        refuse_csrf(call);
        return;
    }
    ml_call_wait(call);
    look_family(s);
}

/* ---- Logout ---------------------------------------------------------------------------------- */

static void on_out(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    if (err)
        ml_signing_no_store(s->call);
    else
        answer_out(s->call, 204, NULL, NULL);
}

void ml_auth_logout(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s)
        return;
    if (!take_refresh(s)) {
        answer_out(call, 204, NULL, NULL);
        return;
    }
    if (!has_csrf(s)) {
        refuse_csrf(call);
        return;
    }
    s->items[0] = (struct ml_store_item){.act = ML_STORE_DELETE, .key = ml_slice_str(s->handle)};
    ml_call_wait(call);
    commit_family(s, 1, on_out);
}
