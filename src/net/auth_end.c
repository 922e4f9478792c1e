/* SPDX-License-Identifier: MIT */
/*
 * A session ends (SEC-SS-03): its family is deleted, and from then on the access tokens that were
 * given out for it count nothing either, because standing.c looks for the family. What is open is
 * asked about again, on every loop and node (revoke.h).
 *
 *   logout             family --> deleted --> told
 *   logout-everywhere  family --> judged --> all families of the user --> "ended" --> told
 *   password           family --> judged --> user --> (worker) old right? hash --> user is changed
 *                          --> all families but this one --> "ended" --> told
 *
 * "ended" is for tokens without a family (`moonloom token`, keys of programs): none from before
 * that moment counts. It stays as long as there can be one.
 */
#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define PAGE     100
#define CORE     ML_SLICE("-")
#define ENDED_MS ((uint64_t)(ML_OWN_LIFE_MAX_S + 2 * ML_TOKEN_LEEWAY_S) * 1000)

void ml_signing_tell(struct ml_signing *s, const char *org)
{
    const struct ml_who who = {.org = ml_slice_str(org), .user = ml_slice_str(s->user)};

    if (ml_recheck(s->call->net, &who))
        ml_log(ML_LOG_ERROR, "sessions.untold", "err=%s", ml_err_name(ML_ELIMIT));
}

void ml_signing_audit(struct ml_signing *s, const char *kind, const char *result)
{
    const struct ml_audit_event event = {.kind = kind,
                                         .org = ml_slice_str(s->org),
                                         .actor = ml_slice_str(s->user),
                                         .ip = s->ip,
                                         .result = result};

    ml_audit(s->call->net->env.rooms, &event);
}

/* ---- All of a user --------------------------------------------------------------------------- */

static void look_page(struct ml_signing *s);

static void over(struct ml_signing *s, enum ml_err err)
{
    ml_signing_tell(s, "");
    s->then(s, err);
}

static void on_ended(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    over(s, err);
}

static void end_tokens(struct ml_signing *s)
{
    ml_writer_release(&s->value);
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    ml_http_print(&s->value, "{\"at\":%" PRId64 "}", ml_clock_wall_ms());
    s->items[0] = (struct ml_store_item){.act = ML_STORE_SET,
                                         .key = ml_slice_str(s->user),
                                         .value = ml_writer_slice(&s->value),
                                         .ttl_ms = ENDED_MS};
    s->write = (struct ml_store_write){.org = CORE,
                                       .instance = CORE,
                                       .space = ML_SLICE("ended"),
                                       .items = s->items,
                                       .count = 1,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = on_ended};
    ml_store_commit(s->call->net->env.journal, &s->write);
}

static void on_dropped(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    bool more = s->read.more;
    enum ml_err err = write->err;

    ml_store_write_release(write);
    ml_store_read_release(&s->read);
    if (err)
        over(s, err);
    else if (more)
        look_page(s);
    else
        end_tokens(s);
}

static void on_page(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    enum ml_err err = read->err;
    size_t count = 0;

    for (size_t i = 0; !err && i < read->count; i++) {
        struct ml_slice key = read->pairs[i].key;

        (void)snprintf(s->after, sizeof s->after, "%.*s", ML_PRINT(key));
        if (!ml_slice_equal(key, ml_slice_str(s->but)))
            s->drops[count++] = (struct ml_store_item){.act = ML_STORE_DELETE, .key = key};
    }
    if (count) { /* the keys are in the read */
        s->write = (struct ml_store_write){.org = CORE,
                                           .instance = CORE,
                                           .space = ML_SLICE("family"),
                                           .items = s->drops,
                                           .count = count,
                                           .now_ms = ml_clock_wall_ms(),
                                           .done = on_dropped};
        ml_store_commit(s->call->net->env.journal, &s->write);
        return;
    }
    ml_store_read_release(read);
    if (err)
        over(s, err);
    else
        end_tokens(s);
}

static void look_page(struct ml_signing *s)
{
    struct ml_slice user = ml_slice_str(s->user);
    char prefix[ML_USER_KEY_LEN + 1];

    ml_digest_hex(&user, 1, prefix, ML_USER_KEY_LEN);
    s->read = (struct ml_store_read){.look = ML_STORE_SCAN,
                                     .org = CORE,
                                     .instance = CORE,
                                     .space = ML_SLICE("family"),
                                     .key = ml_arena_copy(&s->call->arena, ml_slice_str(prefix)),
                                     .after = ml_slice_str(s->after),
                                     .limit = PAGE,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_page};
    ml_store_look(s->call->net->env.journal, &s->read);
}

void ml_signing_end_all(struct ml_signing *s, const char *but,
                        void (*then)(struct ml_signing *s, enum ml_err err))
{
    (void)snprintf(s->but, sizeof s->but, "%s", but);
    s->after[0] = '\0';
    s->then = then;
    if (!s->drops)
        s->drops = ml_arena_array(&s->call->arena, PAGE, sizeof *s->drops);
    if (s->drops)
        look_page(s);
    else
        then(s, ML_ELIMIT);
}

/* ---- Who is it ------------------------------------------------------------------------------- */

static void refuse_nobody(struct ml_call *call)
{
    ml_signing_answer_out(call, 401, "login_required", "Nobody is signed in; sign in again.");
}

bool ml_signing_is_in(struct ml_signing *s)
{
    enum ml_refresh verdict = ML_REFRESH_OVER;
    enum ml_err err = ml_signing_read_family(s, &verdict);

    if (err == ML_EIO)
        ml_signing_no_store(s->call);
    else if (err || (verdict != ML_REFRESH_NEXT && verdict != ML_REFRESH_AGAIN))
        refuse_nobody(s->call);
    else
        return true;
    return false;
}

/* ---- Logout ---------------------------------------------------------------------------------- */

static void on_out(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    ml_signing_tell(s, s->org);
    ml_signing_audit(s, "session.sign_out", "ok");
    ml_signing_answer_out(s->call, 204, NULL, NULL);
}

/* However old the secret is: who has the handle and its X-ML-CSRF may end it. */
static void on_logout_family(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    enum ml_refresh verdict;
    enum ml_err err = ml_signing_read_family(s, &verdict);

    if (err == ML_EIO) {
        ml_signing_no_store(s->call);
        return;
    }
    if (err) {
        ml_signing_answer_out(s->call, 204, NULL, NULL);
        return;
    }
    s->items[0] = (struct ml_store_item){.act = ML_STORE_DELETE, .key = ml_slice_str(s->handle)};
    ml_signing_commit_family(s, 1, on_out);
}

void ml_auth_logout(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s || !ml_signing_take_refresh(s, 204, NULL))
        return;
    ml_signing_wait(call);
    ml_signing_look(s, CORE, "family", s->handle, on_logout_family);
}

static void on_all_out(struct ml_signing *s, enum ml_err err)
{
    ml_writer_release(&s->value);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    ml_log(ML_LOG_INFO, "logout.everywhere", "user=%s", ML_LOG_TEXT(ml_slice_str(s->user)));
    ml_signing_audit(s, "session.sign_out", "ok");
    ml_signing_answer_out(s->call, 204, NULL, NULL);
}

static void on_everywhere_family(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);

    if (ml_signing_is_in(s))
        ml_signing_end_all(s, "", on_all_out);
}

void ml_auth_logout_everywhere(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s || !ml_signing_take_refresh(s, 401, "login_required"))
        return;
    ml_signing_wait(call);
    ml_signing_look(s, CORE, "family", s->handle, on_everywhere_family);
}

/* ---- A new password -------------------------------------------------------------------------- */

static void on_others_out(struct ml_signing *s, enum ml_err err)
{
    struct ml_writer none;

    ml_writer_release(&s->value);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    ml_log(ML_LOG_INFO, "password.changed", "user=%s", ML_LOG_TEXT(ml_slice_str(s->user)));
    ml_signing_audit(s, "password.changed", "ok");
    ml_writer_init(&none, 1);
    ml_call_json(s->call, 204, "", &none);
}

static void on_changed(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    if (err == ML_ECONFLICT)
        ml_call_error(s->call, 409, "busy", "Somebody else changes this account at this moment.");
    else if (err)
        ml_signing_no_store(s->call);
    else
        ml_signing_end_all(s, s->handle, on_others_out);
}

/* On a worker thread. */
static void on_work(uv_work_t *work)
{
    struct ml_signing *s = work->data;

    s->is_right = ml_password_check(s->password, ml_slice_str(s->hash)) &&
                  !ml_password_hash(s->new_password, s->hash);
}

static void on_worked(uv_work_t *work, int status)
{
    struct ml_signing *s = work->data;
    struct ml_net *net = s->call->net;

    net->password_checks--;
    explicit_bzero((void *)(uintptr_t)s->password.ptr, s->password.len);
    explicit_bzero((void *)(uintptr_t)s->new_password.ptr, s->new_password.len);
    if (status || !s->is_right) {
        ml_log(ML_LOG_WARN, "password.refused", "user=%s", ML_LOG_TEXT(ml_slice_str(s->user)));
        ml_signing_audit(s, "password.changed", "denied");
        ml_call_error(s->call, 401, "login", "The old password is not right.");
        return;
    }
    if (net->tries)
        ml_tries_right(net->tries, ml_slice_str(s->user), s->ip);
    ml_writer_release(&s->value);
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    ml_http_print(&s->value, "{\"name\":");
    ml_json_write_text(&s->value, ml_slice_str(s->name));
    ml_http_print(&s->value, ",\"hash\":\"%s\"}", s->hash);
    s->items[0] =
        (struct ml_store_item){.act = ML_STORE_CHECK, .key = ml_slice_str(s->user), .rev = s->rev};
    s->items[1] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ml_slice_str(s->user), .value = ml_writer_slice(&s->value)};
    s->write = (struct ml_store_write){.org = CORE,
                                       .instance = CORE,
                                       .space = ML_SLICE("user"),
                                       .items = s->items,
                                       .count = 2,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = on_changed};
    ml_store_commit(net->env.journal, &s->write);
}

static void on_password_user(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    enum ml_err err;

    s->rev = read->count ? read->pairs[0].rev : 0;
    err = ml_signing_read_account(s);
    if (err == ML_EIO)
        ml_signing_no_store(s->call);
    else if (err)
        refuse_nobody(s->call);
    else if (ml_signing_may_try(s))
        ml_signing_work(s, on_work, on_worked);
}

static void on_password_family(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);

    if (ml_signing_is_in(s))
        ml_signing_look(s, CORE, "user", s->user, on_password_user);
}

/* False: answered. */
static bool read_passwords(struct ml_signing *s)
{
    static const char *const known[] = {"old", "new", NULL};
    struct ml_call *call = s->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value;

    if (!any.ptr || !ml_fields_is_object(any) || ml_fields_unknown(any, known).ptr ||
        !ml_fields_get(any, "old", &value) || !ml_fields_text(value, &s->password) ||
        !ml_fields_get(any, "new", &value) || !ml_fields_text(value, &s->new_password)) {
        ml_call_error(call, 400, "bad_json", "The body is {\"old\", \"new\"}.");
        return false;
    }
    if (s->new_password.len < ML_PASSWORD_MIN || s->new_password.len > ML_PASSWORD_MAX_BYTES) {
        ml_call_error(call, 422, "weak", "A password has 8 to 1024 bytes.");
        return false;
    }
    if (!s->password.len || s->password.len > ML_PASSWORD_MAX_BYTES) {
        ml_call_error(call, 401, "login", "The old password is not right.");
        return false;
    }
    return true;
}

void ml_auth_password(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s || !ml_signing_take_refresh(s, 401, "login_required") || !read_passwords(s))
        return;
    ml_signing_wait(call);
    ml_signing_look(s, CORE, "family", s->handle, on_password_family);
}

/* ---- Public keys ----------------------------------------------------------------------------- */

void ml_auth_jwks(struct ml_call *call)
{
    const struct ml_net_env *env = &call->net->env;
    const struct ml_own_keys *keys = env->own_keys ? env->own_keys(env->own_keys_arg) : NULL;
    struct ml_writer body;

    if (!keys) {
        ml_call_error(call, 404, "not_found", "There is nothing at this address.");
        return;
    }
    ml_writer_init(&body, ML_KEYSET_MAX_BYTES);
    if (ml_keyset_jwks(ml_own_keys_all(keys), &body))
        body.err = ML_ELIMIT;
    ml_call_json(call, 200, "", &body);
}
