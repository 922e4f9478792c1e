/* SPDX-License-Identifier: MIT */
/* A key, as key.c makes and token.c uses it. Private to auth/. */
#ifndef ML_AUTH_KEY_PRIVATE_H
#define ML_AUTH_KEY_PRIVATE_H

#include <openssl/evp.h>

#include "auth/key.h"

struct ml_key {
    enum ml_alg alg;
    EVP_PKEY *pkey; /* NULL: HS256 */
    bool has_private;
    uint8_t secret[ML_SECRET_MAX_BYTES];
    size_t secret_len;
    char kid[ML_KID_MAX_BYTES + 1]; /* "": none */
};

struct ml_keyset {
    size_t count;
    struct ml_key keys[]; /* room for ML_KEYS_MAX */
};

bool ml_kid_is_valid(struct ml_slice kid);
/** The thumbprint of a key pair as its kid; 43 characters. False: it failed. */
bool ml_key_set_kid(struct ml_key *key);

#endif
