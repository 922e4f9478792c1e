/* SPDX-License-Identifier: MIT */
/*
 * A guest: whoever has the link of a document, without an account.
 *
 *   token --> checked --> share of the link --> same nonce, not over --> access cookie
 *
 * There is no refresh: the page shows the token of the link again. Somebody who is signed in stays
 * who they are, and is told so.
 */
#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"
#include "net/shares.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

struct guest {
    struct ml_call *call;
    struct ml_own_token link;
    struct ml_store_read read;
    char key[ML_SHARE_KEY_MAX + 1], user[ML_USER_ID_MAX + 1], name[128];
};

static void refuse(struct ml_call *call)
{
    ml_call_error(call, 401, "link", "This link is over, or was taken back.");
}

/* Who comes again within the life of the cookie is the same guest. */
static bool was_here(struct guest *g)
{
    struct ml_call *call = g->call;
    const struct ml_own_keys *keys = ml_signing_keys(call);
    struct ml_slice text = ml_auth_cookie(call->cookies, ml_auth_access_cookie(call->net)), nonce;
    struct ml_own_token before;

    if (!text.len ||
        ml_own_verify(keys, ML_OWN_ACCESS, text, ml_clock_wall_ms() / 1000, &call->arena, &before))
        return false;
    if (!ml_slice_equal(ml_share_link_of(before.session, &nonce), g->link.user) ||
        !ml_slice_equal(nonce, g->link.session) || before.user.len >= sizeof g->user)
        return false;
    (void)snprintf(g->user, sizeof g->user, "%.*s", ML_PRINT(before.user));
    if (!g->name[0])
        (void)snprintf(g->name, sizeof g->name, "%.*s", ML_PRINT(before.name));
    return true;
}

static void note_entry(struct ml_call *call, const struct ml_own_token *token, struct ml_slice doc)
{
    const struct ml_audit_event event = {.kind = "session.sign_in",
                                         .org = token->org,
                                         .actor = token->user,
                                         .ip = ml_slice_str(call->ip),
                                         .subject = doc};

    ml_audit(call->net->env.rooms, &event);
}

static void on_share(struct ml_store_read *read)
{
    struct guest *g = ML_CONTAINER(read, struct guest, read);
    struct ml_call *call = g->call;
    struct ml_slice any =
        read->count ? ml_auth_json(&call->arena, read->pairs[0].value) : ml_slice_make(NULL, 0);
    char nonce[ML_SHARE_NONCE + 1], role[ML_ROLE_NAME_MAX + 1], random[ML_SHARE_NONCE + 1];
    char session[ML_SHARE_SESSION + 1];
    struct ml_own_token token = {.kind = ML_OWN_ACCESS, .org = g->link.org, .doc = g->link.doc};
    int64_t now_ms = ml_clock_wall_ms();
    struct ml_slice value;
    uint64_t expires_ms = 0;
    enum ml_err err = read->err;
    bool ok = any.ptr && ml_signing_text(any, "nonce", nonce, sizeof nonce) &&
              ml_signing_text(any, "role", role, sizeof role) &&
              ml_same_secret(ml_slice_str(nonce), g->link.session);

    ml_store_read_release(read);
    if (err) {
        ml_signing_no_store(call);
        return;
    }
    if (ok && ml_fields_get(any, "expires", &value) && ml_fields_number(value, &expires_ms))
        ok = expires_ms > (uint64_t)now_ms;
    if (!ok) {
        refuse(call);
        return;
    }
    if (!ml_share_draw_nonce(random)) {
        ml_call_error(call, 500, "internal", "No random numbers.");
        return;
    }
    if (!was_here(g))
        (void)snprintf(g->user, sizeof g->user, "guest-%.8s", random);
    ml_share_session(g->link.session, random, g->link.user, session);
    token.user = ml_slice_str(g->user);
    token.name = g->name[0] ? ml_slice_str(g->name) : token.user;
    token.session = ml_slice_str(session);
    token.expires_s = now_ms / 1000 + ML_ACCESS_S;
    if (expires_ms && (int64_t)(expires_ms / 1000) < token.expires_s)
        token.expires_s = (int64_t)(expires_ms / 1000);
    if (token.expires_s <= now_ms / 1000)
        token.expires_s = now_ms / 1000 + 1;
    ml_log(ML_LOG_INFO, "guest", "org=%.*s user=%s", ML_PRINT(token.org), ML_LOG_TEXT(token.user));
    note_entry(call, &token, g->link.doc);
    ml_signing_answer_guest(call, &token, role);
}

/* False: answered. */
static bool read_body(struct guest *g)
{
    static const char *const known[] = {"token", "name", NULL};
    struct ml_call *call = g->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value, text;

    if (!any.ptr || !ml_fields_is_object(any) || ml_fields_unknown(any, known).ptr ||
        !ml_fields_get(any, "token", &value) || !ml_fields_text(value, &text) ||
        (ml_fields_get(any, "name", &value) &&
         !ml_signing_text(any, "name", g->name, sizeof g->name))) {
        ml_call_error(call, 400, "bad_json", "The body is {\"token\", \"name\"?}.");
        return false;
    }
    if (!ml_own_verify(ml_signing_keys(call), ML_OWN_GUEST, text, ml_clock_wall_ms() / 1000,
                       &call->arena, &g->link) &&
        g->link.doc.len && ml_link_id_is_valid(g->link.user) &&
        ml_share_key(g->link.doc, ML_SHARE_LINK, g->link.user, g->key))
        return true;
    refuse(call);
    return false;
}

void ml_auth_guest(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);
    struct guest *g = s ? ml_arena_alloc(&call->arena, sizeof *g) : NULL;

    if (!s)
        return;
    if (!g) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    memset(g, 0, sizeof *g);
    g->call = call;
    if (ml_auth_cookie(call->cookies, ml_auth_refresh_cookie(call->net)).len) {
        ml_call_error(call, 409, "signed_in", "You are signed in, and stay who you are.");
        return;
    }
    if (!read_body(g))
        return;
    ml_signing_wait(call);
    g->read = (struct ml_store_read){.look = ML_STORE_GET,
                                     .org = g->link.org,
                                     .instance = ML_SLICE("-"),
                                     .space = ML_SLICE("share"),
                                     .key = ml_slice_str(g->key),
                                     .limit = 1,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_share};
    ml_store_look(call->net->env.journal, &g->read);
}
