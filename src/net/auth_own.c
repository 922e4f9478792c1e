/* SPDX-License-Identifier: MIT */
/*
 * A token that says that it is ours is ours or nobody's: if it does not check, it is not handed on
 * to anybody else.
 */
#include "net/auth_own.h"

#include "base/base64.h"
#include "base/clock.h"
#include "net/auth_login.h"
#include "net/shares.h"
#include "net/url.h"
#include "net/visitor.h"

#define HEADER_MAX 256

/* Does the header name one of our keys? */
static bool names_our_key(const struct ml_own_keys *keys, struct ml_slice text)
{
    const uint8_t *dot =
        text.len > 2 && text.ptr[0] == 'e' ? memchr(text.ptr, '.', text.len) : NULL;
    uint8_t header[HEADER_MAX];
    size_t len = 0;

    if (!dot || ml_base64_max((size_t)(dot - text.ptr)) > sizeof header ||
        !ml_base64_get(ml_slice_make(text.ptr, (size_t)(dot - text.ptr)), ML_BASE64URL, header,
                       &len))
        return false;
    for (size_t i = 0; i < ml_keyset_count(ml_own_keys_all(keys)); i++) {
        struct ml_slice kid = ml_keyset_kid(ml_own_keys_all(keys), i);

        if (memmem(header, len, kid.ptr, kid.len))
            return true;
    }
    return false;
}

/* Of the protocol, of the header Authorization, or, for sockets, of the address. */
static struct ml_slice credential(const struct ml_request_source *source, struct ml_arena *arena)
{
    struct ml_slice bearer;
    struct ml_parameter *parameters;
    size_t count = 0;

    if (source->token.len || !source->head)
        return source->token;
    bearer = ml_head_field(source->head, "authorization");
    if (bearer.len > 7 && ml_head_equal(ml_slice_make(bearer.ptr, 7), "bearer "))
        return ml_slice_make(bearer.ptr + 7, bearer.len - 7);
    if (!source->is_websocket || !source->head->query.len)
        return ml_slice_make(NULL, 0);
    parameters = ml_arena_array(arena, ML_QUERY_MAX, sizeof *parameters);
    if (!parameters || ml_url_query(source->head->query, arena, parameters, &count))
        return ml_slice_make(NULL, 0);
    return ml_url_parameter(parameters, count, "token");
}

static bool refuse(struct ml_refusal *out, unsigned status, const char *code, const char *reason)
{
    *out = (struct ml_refusal){.is_spoken = true,
                               .status = status,
                               .code = ml_slice_str(code),
                               .reason = ml_slice_str(reason)};
    return false;
}

/* A browser sends cookies whoever made the page: may this one (SEC-CS-01, SEC-WS-01)? */
static bool is_our_page(const struct ml_net *net, const struct ml_head *head, bool is_websocket)
{
    struct ml_slice origin = ml_head_field(head, "origin");

    if (origin.ptr)
        return ml_visitor_is_allowed_origin(net, head);
    return !is_websocket && ml_head_equal(ml_head_field(head, "sec-fetch-site"), "same-origin");
}

/* Does it change something? */
static bool is_unsafe(const struct ml_request_source *source)
{
    enum ml_method method = source->head->method;

    return !source->is_websocket && method != ML_METHOD_GET && method != ML_METHOD_HEAD;
}

/* The access cookie, if it counts here; empty: it does not. False: refused. */
static bool take_cookie(const struct ml_net *net, const struct ml_request_source *source,
                        struct ml_slice *out, struct ml_refusal *refusal)
{
    *out = ml_slice_make(NULL, 0);
    if (!net->env.has_accounts || !source->head)
        return true;
    *out = ml_auth_cookie(ml_head_field(source->head, "cookie"), ml_auth_access_cookie(net));
    if (!out->len || (!source->is_websocket && !is_unsafe(source)) ||
        is_our_page(net, source->head, source->is_websocket))
        return true;
    if (is_unsafe(source))
        return refuse(refusal, 403, "origin", "This page may not change anything here.");
    *out = ml_slice_make(NULL, 0);
    return true;
}

static bool has_csrf(const struct ml_own_keys *keys, const struct ml_head *head,
                     const struct ml_own_token *own)
{
    char csrf[65];

    ml_auth_csrf(keys, own->session, csrf);
    return ml_same_secret(ml_head_field(head, "x-ml-csrf"), ml_slice_str(csrf));
}

static void take_roles(struct ml_arena *arena, struct ml_asker *asker)
{
    struct ml_slice *roles = ml_arena_array(arena, sizeof asker->own.roles / 2, sizeof *roles);
    size_t cursor = 0, count = 0;

    while (roles && ml_identity_next(asker->own.roles, &cursor, &roles[count]))
        count++;
    asker->facts.roles = roles;
    asker->facts.role_count = roles ? count : 0;
}

enum ml_err ml_own_identify(struct ml_net *net, const struct ml_request_source *source,
                            struct ml_arena *arena, struct ml_asker *asker,
                            struct ml_refusal *refusal_out)
{
    const struct ml_own_keys *keys =
        net->env.own_keys ? net->env.own_keys(net->env.own_keys_arg) : NULL;
    struct ml_slice text = keys ? credential(source, arena) : ml_slice_make(NULL, 0);
    bool is_cookie = false, is_guest;
    struct ml_slice nonce;
    enum ml_err err;

    if (!keys)
        return ML_ENOTFOUND;
    if (!text.len || !names_our_key(keys, text)) {
        if (!take_cookie(net, source, &text, refusal_out))
            return ML_EDENIED;
        is_cookie = true;
    }
    if (!text.len || !names_our_key(keys, text))
        return ML_ENOTFOUND;
    err = ml_own_verify(keys, ML_OWN_ACCESS, text, ml_clock_wall_ms() / 1000, arena, &asker->own);
    /* A ticket opens sockets, and nothing else. */
    if (err && source->is_websocket && !is_cookie &&
        !ml_own_verify(keys, ML_OWN_TICKET, text, ml_clock_wall_ms() / 1000, arena, &asker->own))
        err = ML_OK;
    if (err) {
        *refusal_out = (struct ml_refusal){
            .is_spoken = true,
            .status = 401,
            .code = err == ML_ETIMEDOUT ? ML_SLICE("expired") : ML_SLICE("bad_token"),
            .reason = err == ML_ETIMEDOUT ? ML_SLICE("The token is over.")
                                          : ML_SLICE("The token is not one for this.")};
        return ML_EDENIED;
    }
    if (is_cookie && is_unsafe(source) && !has_csrf(keys, source->head, &asker->own)) {
        (void)refuse(refusal_out, 403, "csrf", "X-ML-CSRF does not say what the cookie does.");
        return ML_EDENIED;
    }
    asker->is_known = asker->is_own = true;
    is_guest = ml_share_link_of(asker->own.session, &nonce).len > 0;
    asker->facts = (struct ml_script_identity){
        .user = asker->own.user,
        .name = asker->own.name,
        .kind = is_guest ? ML_SLICE("guest") : ML_SLICE("user"),
        .expires_at_ms = 1000 * (asker->own.until_s ? asker->own.until_s : asker->own.expires_s)};
    take_roles(arena, asker);
    return ML_OK;
}

void ml_own_set_role(struct ml_arena *arena, struct ml_asker *asker, enum ml_role role)
{
    memset(asker->own.roles, 0, sizeof asker->own.roles);
    memset(asker->identity.roles, 0, sizeof asker->identity.roles);
    if (role) {
        ml_identity_add(asker->own.roles, ml_role_name(role));
        ml_identity_add(asker->identity.roles, ml_role_name(role));
    }
    take_roles(arena, asker);
}
