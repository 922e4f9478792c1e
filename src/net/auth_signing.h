/* SPDX-License-Identifier: MIT */
/* One request that makes a session: what its steps share. Private to the auth_ files of net. */
#ifndef ML_NET_AUTH_SIGNING_H
#define ML_NET_AUTH_SIGNING_H

#include "net/api.h"

#include <uv.h>

#define ML_SIGNING_VALUE_MAX 2048u
#define ML_ACCESS_S          600 /* life of an access cookie */
#define ML_SIGNING_WAIT_MS   10000

struct ml_signing {
    struct ml_call *call;
    struct ml_store_read read;
    struct ml_store_write write;
    struct ml_store_item items[2];
    struct ml_writer value;
    uv_work_t work;
    bool is_refresh;
    unsigned attempts;
    char user[ML_USER_ID_MAX + 1], org[64], name[128], role[ML_ROLE_NAME_MAX + 1];
    struct ml_slice password;        /* login */
    char hash[ML_PASSWORD_HASH_MAX]; /* "": no such user, or not one that may come in */
    bool is_right;
    char handle[ML_FAMILY_LEN + 1], secret[65]; /* of the refresh token that is shown or given */
    int64_t started_ms;
    uint64_t rev; /* of the family, as read */
    struct ml_slice ip;
    const char *go_to,
        *also; /* 303 to this path instead of 200, with these header lines; or NULL */
    /* auth_end.c */
    struct ml_store_item *drops;
    struct ml_slice new_password;
    char but[ML_FAMILY_LEN + 1];
    char after[ML_STORE_KEY_MAX + 1];
    void (*then)(struct ml_signing *s, enum ml_err err);
};

/** NULL: answered. */
struct ml_signing *ml_signing_new(struct ml_call *call);
/** The answer comes later: within ML_SIGNING_WAIT_MS, or it is a 503 and no cookie changes. */
void ml_signing_wait(struct ml_call *call);
/** NULL: nobody signs in here. */
const struct ml_own_keys *ml_signing_keys(const struct ml_call *call);
/** One value of the core's. */
void ml_signing_look(struct ml_signing *s, struct ml_slice org, const char *space, const char *key,
                     void (*done)(struct ml_store_read *read));
/** The one value that was read, as an Any in the call's arena; .ptr NULL: there is none. */
struct ml_slice ml_signing_value(struct ml_signing *s);
/**
 * The account that was read (space "user"), if its user may come in: known, and not suspended. Sets
 * s->name, and s->hash, which is empty if no password is right. Releases the read.
 * @retval ML_ENOTFOUND  they may not · ML_EIO the store is silent
 */
enum ml_err ml_signing_read_account(struct ml_signing *s) ML_MUST_CHECK;
/** A text of an object, as a string. False: it is not there, or too long. */
bool ml_signing_text(struct ml_slice any, const char *key, char *out, size_t size);
/** Milliseconds, which stand as text. */
bool ml_signing_time(struct ml_slice any, const char *key, int64_t *out);
void ml_signing_hash(const char *secret, char out[65]);
/** The family with `secret` as its newest; `before`: hash of the one that it replaces, or "". */
void ml_signing_put_family(struct ml_signing *s, const char *secret, const char *before,
                           uint64_t rev, void (*done)(struct ml_store_write *write));
/** `count` of s->items, in the space of families. */
void ml_signing_commit_family(struct ml_signing *s, size_t count,
                              void (*done)(struct ml_store_write *write));
/** One try more of s->user (SEC-SS-04). False: answered. */
bool ml_signing_may_try(struct ml_signing *s);
/** Counted, `work` off the loop, then `worked` on it, which takes one from net->password_checks; or
 * a 503. */
void ml_signing_work(struct ml_signing *s, uv_work_cb work, uv_after_work_cb worked);

/* ---- auth_refresh.c: who is signed in, by the refresh cookie --------------------------------- */

/** The refresh token of the cookie, with the X-ML-CSRF that belongs to it. False: answered;
 * without a token with `status` and `code`. */
bool ml_signing_take_refresh(struct ml_signing *s, unsigned status, const char *code);
/**
 * What was read of the family s->handle: s->user, s->org, s->rev, s->started_ms, and what the
 * shown secret is worth. Releases the read.
 * @retval ML_ENOTFOUND  there is none · ML_EIO the store is silent
 */
enum ml_err ml_signing_read_family(struct ml_signing *s, enum ml_refresh *verdict_out);

/* ---- auth_end.c ------------------------------------------------------------------------------ */

/** The family s->handle was read and what was shown is good; s->user is in. False: answered. */
bool ml_signing_is_in(struct ml_signing *s);
/** Rights of s->user have changed, in `org` (empty: everywhere): what is open is asked about. */
void ml_signing_tell(struct ml_signing *s, const char *org);
void ml_signing_audit(struct ml_signing *s, const char *kind, const char *result);
/** All families of s->user end, but for `but` (empty: none is spared), and then tokens that have
 * no family; what is open is asked about again. `then` in any case. */
void ml_signing_end_all(struct ml_signing *s, const char *but,
                        void (*then)(struct ml_signing *s, enum ml_err err));

/* ---- auth_cookies.c -------------------------------------------------------------------------- */

/** 200, and the three cookies: s->user of s->org has the session s->handle, s->secret. */
void ml_signing_answer_in(struct ml_signing *s);
/** 200, and access and X-ML-CSRF: the guest of a link, with this role in its one document. */
void ml_signing_answer_guest(struct ml_call *call, struct ml_own_token *token, const char *role);
/** 204 or an error, and no cookies any more. */
void ml_signing_answer_out(struct ml_call *call, unsigned status, const char *code,
                           const char *message);
/** Answers: the store is silent. */
void ml_signing_no_store(struct ml_call *call);
/** Answers: s->user of s->org is in, with s->name and s->role, in a new family. */
void ml_signing_enter(struct ml_signing *s);

#endif
