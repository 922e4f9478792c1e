/* SPDX-License-Identifier: MIT */
/* One request that makes a session: what its steps share. Private to the auth_ files of net. */
#ifndef ML_NET_AUTH_SIGNING_H
#define ML_NET_AUTH_SIGNING_H

#include "net/api.h"

#include <uv.h>

#define ML_SIGNING_VALUE_MAX 2048u

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
};

/** NULL: answered. */
struct ml_signing *ml_signing_new(struct ml_call *call);
/** NULL: nobody signs in here. */
const struct ml_own_keys *ml_signing_keys(const struct ml_call *call);
/** One value of the core's. */
void ml_signing_look(struct ml_signing *s, struct ml_slice org, const char *space, const char *key,
                     void (*done)(struct ml_store_read *read));
/** A text of an object, as a string. False: it is not there, or too long. */
bool ml_signing_text(struct ml_slice any, const char *key, char *out, size_t size);
/** Answers: the store is silent. */
void ml_signing_no_store(struct ml_call *call);
/** Answers: s->user of s->org is in, with s->name and s->role, in a new family. */
void ml_signing_enter(struct ml_signing *s);

#endif
