/* SPDX-License-Identifier: MIT */
#include "script/password.h"

#include <argon2.h>
#include <openssl/rand.h>
#include <stdio.h>

#define MEMORY_KIB     (19u * 1024)
#define PASSES         2
#define LANES          1
#define SALT_BYTES     16
#define HASH_BYTES     32
#define MEMORY_MAX_KIB (256u * 1024)
#define PASSES_MAX     10
#define LANES_MAX      4

enum ml_err ml_password_hash(struct ml_slice password, char *out)
{
    uint8_t salt[SALT_BYTES];

    if (password.len == 0)
        return ML_EFORMAT;
    if (password.len > ML_PASSWORD_MAX_BYTES || RAND_bytes(salt, sizeof(salt)) != 1)
        return ML_ELIMIT;
    if (argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password.ptr, password.len, salt,
                              sizeof(salt), HASH_BYTES, out, ML_PASSWORD_HASH_MAX) != ARGON2_OK)
        return ML_ELIMIT;
    return ML_OK;
}

bool ml_password_check(struct ml_slice password, struct ml_slice hash)
{
    char text[ML_PASSWORD_HASH_MAX];
    unsigned memory, passes, lanes;
    int end = 0;

    if (password.len == 0 || password.len > ML_PASSWORD_MAX_BYTES || hash.len == 0 ||
        hash.len >= sizeof(text) || memchr(hash.ptr, 0, hash.len))
        return false;
    memcpy(text, hash.ptr, hash.len);
    text[hash.len] = '\0';
    if (sscanf(text, "$argon2id$v=19$m=%9u,t=%9u,p=%9u$%n", &memory, &passes, &lanes, &end) != 3 ||
        end == 0 || memory > MEMORY_MAX_KIB || passes > PASSES_MAX || lanes > LANES_MAX)
        return false;
    return argon2id_verify(text, password.ptr, password.len) == ARGON2_OK;
}
