/* SPDX-License-Identifier: MIT */
/*
 * Tokens and keys. First byte: 0 the rest is a token as it came; 1 the rest is claims, signed with
 * a key that the verifier has, so that what is behind the signature is reached; 2 the rest is keys.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/auth.h"
#include "base/assert.h"
#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "0123456789abcdef0123456789abcdef"
#define HEADER "eyJhbGciOiJIUzI1NiJ9."

static void check_token(struct ml_slice text, struct ml_arena *scratch)
{
    static struct ml_keyset *keys;
    struct ml_token_rules rules = {.algs = ~0u, .now_s = 1700000000, .leeway_s = 30};
    struct ml_token token;
    const char *why = NULL;
    enum ml_err err;

    if (!keys)
        ML_ASSERT(ml_keyset_secret(ML_SLICE(SECRET), (struct ml_slice){0}, &keys, NULL) == ML_OK);
    rules.keys = keys;
    err = ml_token_verify(text, &rules, scratch, &token, &why);
    if (err) {
        ML_ASSERT(why && why[0]);
        return;
    }
    ML_ASSERT(text.len <= ML_TOKEN_MAX_BYTES);
    ML_ASSERT(token.expires_s > rules.now_s - rules.leeway_s);
    ML_ASSERT(!token.subject.ptr || (token.subject.len > 0 && token.subject.len <= 256));
}

static void check_claims(struct ml_slice claims, struct ml_arena *scratch)
{
    char text[ML_TOKEN_MAX_BYTES * 2] = HEADER;
    size_t len = sizeof(HEADER) - 1;
    uint8_t mac[32];
    unsigned mac_len = 0;

    if (claims.len > 6000)
        return;
    ml_base64_put(claims, ML_BASE64URL, text + len);
    len += ml_base64_len(claims.len, ML_BASE64URL);
    HMAC(EVP_sha256(), SECRET, 32, (const uint8_t *)text, len, mac, &mac_len);
    text[len++] = '.';
    ml_base64_put(ml_slice_make(mac, mac_len), ML_BASE64URL, text + len);
    len += ml_base64_len(mac_len, ML_BASE64URL);
    check_token(ml_slice_make(text, len), scratch);
}

static void check_keys(struct ml_slice text)
{
    struct ml_keyset *keys;
    struct ml_diag diag = {0};

    if (ml_keyset_read(text, ~0u, &keys, &diag)) {
        ML_ASSERT(diag.text[0]);
        return;
    }
    ML_ASSERT(ml_keyset_count(keys) >= 1 && ml_keyset_count(keys) <= ML_KEYS_MAX);
    ml_keyset_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_slice rest = ml_slice_make(data + 1, size - 1);
    struct ml_arena scratch;

    if (size == 0)
        return 0;
    ml_arena_init(&scratch, 1u << 22);
    if (data[0] == 0)
        check_token(rest, &scratch);
    else if (data[0] == 1)
        check_claims(rest, &scratch);
    else
        check_keys(rest);
    ml_arena_release(&scratch);
    return 0;
}
