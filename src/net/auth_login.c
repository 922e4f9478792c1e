/* SPDX-License-Identifier: MIT */
/*
 * Signing in with a password:
 *
 *   user --> (worker) password --> member --> family is made --> cookies
 *
 * Whatever was wrong is one answer, after the same work.
 */
#include "net/auth_login.h"

#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define CORE         ML_SLICE("-")
#define PASSWORD_MAX ML_PASSWORD_MAX_BYTES

static void refuse_login(struct ml_call *call)
{
    ml_call_error(call, 401, "login", "User and password do not fit.");
}

/* An org is told of who belongs to it: any name could be tried in any org. */
static void refuse(struct ml_signing *s, bool is_member)
{
    if (is_member)
        ml_signing_audit(s, "session.refused", "denied");
    refuse_login(s->call);
}

static void on_member(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : ml_signing_value(s);
    bool is_member = any.ptr && ml_signing_text(any, "role", s->role, sizeof s->role);
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err)
        ml_signing_no_store(s->call);
    else if (!is_member || !s->is_right)
        refuse(s, is_member);
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

    if (ml_signing_read_account(s) == ML_EIO)
        ml_signing_no_store(s->call);
    else /* also for who may not: their hash is empty */
        ml_signing_work(s, on_work, on_worked);
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

static bool has_checks_left(const struct ml_net *net)
{
    return net->password_checks < net->env.limits.password_checks;
}

void ml_signing_work(struct ml_signing *s, uv_work_cb work, uv_after_work_cb worked)
{
    struct ml_net *net = s->call->net;

    s->work.data = s;
    /* Many may have passed ml_signing_may_try while the store was read. */
    if (has_checks_left(net) && uv_queue_work(net->env.loop, &s->work, work, worked) == 0)
        net->password_checks++;
    else
        ml_call_error(s->call, 503, "overloaded", "Try again later.");
}

/* Names and orgs are what somebody said: they are no part of it, or every try were an event. */
static void note_limit(struct ml_signing *s)
{
    const struct ml_audit_event event = {
        .kind = "limit.reached", .ip = s->ip, .subject = ML_SLICE("sign-in"), .result = "denied"};

    ml_audit_sampled(s->call->net->env.rooms, &event);
}

bool ml_signing_may_try(struct ml_signing *s)
{
    struct ml_net *net = s->call->net;
    uint64_t wait_ms;
    char fields[64];
    struct ml_writer body;

    if (!net->tries)
        net->tries = ml_tries_new();
    if (!net->tries || !has_checks_left(net)) {
        ml_call_error(s->call, 503, "overloaded", "Try again later.");
        return false;
    }
    wait_ms = ml_tries_take(net->tries, ml_slice_str(s->user), s->ip, ml_net_now(net));
    if (!wait_ms)
        return true;
    note_limit(s);
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

    if (!s || !read_login(s) || !ml_signing_may_try(s))
        return;
    ml_signing_wait(call);
    ml_signing_look(s, CORE, "user", s->user, on_user);
}
