/* SPDX-License-Identifier: MIT */
/*
 * A session goes on:
 *
 *   refresh  family --> user --> member --> judged --> family is changed --> cookies
 *                ^                                        |
 *                +------- somebody else was faster -------+
 */
#include "net/auth_login.h"

#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

#define ATTEMPTS 8
#define CORE     ML_SLICE("-")

/* ---- Refresh --------------------------------------------------------------------------------- */

static void look_family(struct ml_signing *s);

static void on_ended(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);

    ml_store_write_release(write);
    ml_signing_tell(s, s->org);
    ml_signing_answer_out(s->call, 401, "reused", "This session was used by two; sign in again.");
}

static void end_family(struct ml_signing *s)
{
    ml_log(ML_LOG_WARN, "token.reuse", "user=%s", ML_LOG_TEXT(ml_slice_str(s->user)));
    ml_signing_audit(s, "token.reused", "denied");
    s->items[0] = (struct ml_store_item){.act = ML_STORE_DELETE, .key = ml_slice_str(s->handle)};
    ml_signing_commit_family(s, 1, on_ended);
}

static void answer_over(struct ml_call *call)
{
    ml_signing_answer_out(call, 401, "expired", "The session is over; sign in again.");
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
        ml_signing_answer_in(s);
    }
}

static void on_refresh_member(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : ml_signing_value(s);
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
        ml_signing_answer_in(s);
        return;
    }
    ml_signing_hash(s->secret, before);
    ml_signing_put_family(s, next, before, s->rev, on_rotated);
}

static void on_refresh_user(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    enum ml_err err = ml_signing_read_account(s);

    if (err == ML_EIO)
        ml_signing_no_store(s->call);
    else if (err)
        answer_over(s->call);
    else
        ml_signing_look(s, ml_slice_str(s->org), "member", s->user, on_refresh_member);
}

enum ml_err ml_signing_read_family(struct ml_signing *s, enum ml_refresh *verdict_out)
{
    struct ml_slice any = s->read.err ? ml_slice_make(NULL, 0) : ml_signing_value(s);
    char head[65], before[65], hash[65];
    int64_t rotated = 0;
    bool is_good = any.ptr && ml_signing_text(any, "head", head, sizeof head) &&
                   ml_signing_text(any, "before", before, sizeof before) &&
                   ml_signing_text(any, "user", s->user, sizeof s->user) &&
                   ml_signing_text(any, "org", s->org, sizeof s->org) &&
                   ml_signing_time(any, "started", &s->started_ms) &&
                   ml_signing_time(any, "rotated", &rotated);
    enum ml_err err = s->read.err;

    s->rev = s->read.count ? s->read.pairs[0].rev : 0;
    ml_store_read_release(&s->read);
    if (err || !is_good)
        return err ? ML_EIO : ML_ENOTFOUND;
    const struct ml_family family = {ml_slice_str(head), ml_slice_str(before), s->started_ms,
                                     rotated};
    ml_signing_hash(s->secret, hash);
    *verdict_out = ml_family_judge(&family, ml_slice_str(hash), ml_clock_wall_ms());
    return ML_OK;
}

static void on_family(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    enum ml_refresh verdict = ML_REFRESH_OVER;
    enum ml_err err = ml_signing_read_family(s, &verdict);

    if (err == ML_EIO) {
        ml_signing_no_store(s->call);
    } else if (!err && verdict == ML_REFRESH_REUSED) {
        end_family(s);
    } else if (err || verdict == ML_REFRESH_OVER) {
        answer_over(s->call);
    } else {
        s->is_right = verdict == ML_REFRESH_AGAIN;
        ml_signing_look(s, CORE, "user", s->user, on_refresh_user);
    }
}

static void look_family(struct ml_signing *s)
{
    ml_signing_look(s, CORE, "family", s->handle, on_family);
}

/* SEC-CS-01: the page says what only a page of ours can read. */
static bool has_csrf(const struct ml_signing *s)
{
    char csrf[65];

    ml_auth_csrf(ml_signing_keys(s->call), ml_slice_str(s->handle), csrf);
    return ml_same_secret(s->call->csrf, ml_slice_str(csrf));
}

bool ml_signing_take_refresh(struct ml_signing *s, unsigned status, const char *code)
{
    struct ml_call *call = s->call;
    struct ml_slice handle, secret;

    if (!ml_refresh_read(ml_auth_cookie(call->cookies, ml_auth_refresh_cookie(call->net)), &handle,
                         &secret)) {
        ml_signing_answer_out(call, status, code, "Nobody is signed in; sign in again.");
        return false;
    }
    memcpy(s->handle, handle.ptr, handle.len);
    memcpy(s->secret, secret.ptr, secret.len);
    if (has_csrf(s))
        return true;
    ml_call_error(call, 403, "csrf", "X-ML-CSRF does not say what the cookie does.");
    return false;
}

void ml_auth_refresh(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s || !ml_signing_take_refresh(s, 401, "expired"))
        return;
    ml_signing_wait(call);
    look_family(s);
}
