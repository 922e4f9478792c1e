/* SPDX-License-Identifier: MIT */
/*
 * People with a password, and how long they stay signed in. Part of auth.h; no clock, no store.
 *
 * A refresh token is `HANDLE.SECRET` in hex digits. A family is all that came of one login; stored
 * is only the SHA-256 of its newest secret and of the one before. Each secret gives the next one
 * (a MAC under a key of the server), so whoever asks twice at once is given the same successor.
 */
#ifndef ML_AUTH_ACCOUNT_H
#define ML_AUTH_ACCOUNT_H

#include "base/slice.h"

#define ML_USER_ID_MAX      128u
#define ML_PASSWORD_MIN     8u
#define ML_USER_KEY_LEN     32u                     /* of a user in HANDLE */
#define ML_FAMILY_LEN       (ML_USER_KEY_LEN + 32u) /* HANDLE: of the user, of the family */
#define ML_REFRESH_LEN      (ML_FAMILY_LEN + 1u + 64u)
#define ML_REFRESH_GRACE_MS 10000
#define ML_REFRESH_IDLE_MS  (7ll * 86400000)
#define ML_REFRESH_LIFE_MS  (30ll * 86400000)

/** `[a-z0-9][a-z0-9._@+-]*`, up to 128 bytes. */
bool ml_user_id_is_valid(struct ml_slice id);

struct ml_family {
    struct ml_slice head, before; /* hashes in hex, of the newest secret and the one it replaced */
    int64_t started_ms, rotated_ms;
};

enum ml_refresh {
    ML_REFRESH_NEXT,   /* the newest: give the next one and note it */
    ML_REFRESH_AGAIN,  /* the one before, a moment ago: give the newest once more */
    ML_REFRESH_REUSED, /* neither: somebody has a copy, the family ends */
    ML_REFRESH_OVER,   /* too old, or not used for too long */
};

/** @param hash  of the secret that is shown, in hex */
enum ml_refresh ml_family_judge(const struct ml_family *family, struct ml_slice hash,
                                int64_t now_ms);
/** Has it the form of a refresh token? */
bool ml_refresh_read(struct ml_slice text, struct ml_slice *handle_out,
                     struct ml_slice *secret_out);

/* Tries: how often somebody may be wrong (SEC-SS-04). */

#define ML_TRIES_PER_ACCOUNT 5
#define ML_TRIES_PER_ADDRESS 20
#define ML_TRIES_WINDOW_MS   (15ull * 60000)

struct ml_tries;

struct ml_tries *ml_tries_new(void);
void ml_tries_free(struct ml_tries *tries);
/**
 * One more try. Counted before it is known whether it is right, so that many at once are counted
 * too.
 * @return 0, or after how many milliseconds to come again
 */
uint64_t ml_tries_take(struct ml_tries *tries, struct ml_slice account, struct ml_slice address,
                       uint64_t now_ms);
/** It was right: neither the account nor the address is held to have tried. */
void ml_tries_right(struct ml_tries *tries, struct ml_slice account, struct ml_slice address);

#endif
