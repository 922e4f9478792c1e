/* SPDX-License-Identifier: MIT */
/*
 * The three cookies of a session (SEC-CK-01), and the answers that set or clear them.
 */
#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define FIELDS_MAX 4096

/* ---- Cookies --------------------------------------------------------------------------------- */

static bool is_secure(const struct ml_net *net)
{
    return net->env.public_url && strncmp(net->env.public_url, "https://", 8) == 0;
}

const char *ml_auth_access_cookie(const struct ml_net *net)
{
    return is_secure(net) ? "__Host-ml_at" : "ml_at";
}

const char *ml_auth_refresh_cookie(const struct ml_net *net)
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
    put_cookie(out, net, ml_auth_refresh_cookie(net), none, REFRESH_ATTRIBUTES, 0);
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

void ml_signing_answer_out(struct ml_call *call, unsigned status, const char *code,
                           const char *message)
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

void ml_signing_answer_in(struct ml_signing *s)
{
    struct ml_call *call = s->call;
    const struct ml_own_keys *keys = ml_signing_keys(call);
    int64_t now_s = ml_clock_wall_ms() / 1000;
    struct ml_own_token token = {.kind = ML_OWN_ACCESS,
                                 .org = ml_slice_str(s->org),
                                 .user = ml_slice_str(s->user),
                                 .name = ml_slice_str(s->name),
                                 .session = ml_slice_str(s->handle),
                                 .expires_s = now_s + ML_ACCESS_S};
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
               ML_ACCESS_S);
    put_cookie(&fields, call->net, ml_auth_refresh_cookie(call->net), ml_slice_str(refresh),
               REFRESH_ATTRIBUTES, ML_REFRESH_IDLE_MS / 1000);
    put_cookie(&fields, call->net, csrf_cookie(call->net), ml_slice_str(csrf), CSRF_ATTRIBUTES,
               ML_REFRESH_IDLE_MS / 1000);
    ml_writer_init(&body, ML_SIGNING_VALUE_MAX);
    if (s->go_to) {
        ml_http_print(&fields, "%s" ML_HTTP_NO_STORE "Location: %s\r\n", s->also, s->go_to);
        ml_write_u8(&fields, '\0');
        explicit_bzero(refresh, sizeof refresh);
        ml_call_answer(call, 303, NULL, (const char *)fields.ptr, &body);
        ml_writer_release(&fields);
        return;
    }
    ml_write_u8(&fields, '\0');
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

void ml_signing_answer_guest(struct ml_call *call, struct ml_own_token *token, const char *role)
{
    const struct ml_own_keys *keys = ml_signing_keys(call);
    int64_t now_s = ml_clock_wall_ms() / 1000, life_s = token->expires_s - now_s;
    struct ml_writer fields, body;
    struct ml_slice text;
    char csrf[65];

    if (!keys || ml_own_mint(keys, token, now_s, &call->arena, &text)) {
        ml_call_error(call, 500, "internal", "The session could not be made.");
        return;
    }
    ml_auth_csrf(keys, token->session, csrf);
    ml_writer_init(&fields, FIELDS_MAX);
    put_cookie(&fields, call->net, ml_auth_access_cookie(call->net), text, ACCESS_ATTRIBUTES,
               life_s);
    put_cookie(&fields, call->net, csrf_cookie(call->net), ml_slice_str(csrf), CSRF_ATTRIBUTES,
               life_s);
    ml_write_u8(&fields, '\0');
    ml_writer_init(&body, 2 * ML_SIGNING_VALUE_MAX);
    ml_http_print(&body, "{\"user\":{\"id\":");
    ml_json_write_text(&body, token->user);
    ml_http_print(&body, ",\"name\":");
    ml_json_write_text(&body, token->name);
    ml_http_print(&body,
                  ",\"org\":\"%.*s\",\"roles\":[\"%s\"]},\"expires\":%" PRId64
                  ",\"org\":\"%.*s\",\"doc\":",
                  ML_PRINT(token->org), role, token->expires_s * 1000, ML_PRINT(token->org));
    ml_json_write_text(&body, token->doc);
    ml_http_print(&body, "}");
    ml_call_json(call, 200, (const char *)fields.ptr, &body);
    ml_writer_release(&fields);
}
