/* SPDX-License-Identifier: MIT */
/* Keys made here, and keys written out: PEM, JWK set, thumbprint (RFC 7638). */
#include "auth/key_private.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "base/base64.h"

#define RSA_BITS   3072
#define NUMBER_MAX 1024
#define JSON_MAX   4096
#define HASH_BYTES 32

static void put(struct ml_writer *out, const char *text)
{
    ml_write_bytes(out, ml_slice_str(text));
}

static void put_base64(struct ml_writer *out, const uint8_t *bytes, size_t len)
{
    size_t chars = ml_base64_len(len, ML_BASE64URL);

    if (!ml_writer_reserve(out, chars))
        return;
    ml_base64_put(ml_slice_make(bytes, len), ML_BASE64URL, (char *)out->ptr + out->len);
    out->len += chars;
}

/* A big number of the key, big-endian, `fixed` bytes or as many as it has. */
static bool put_number(struct ml_writer *out, const EVP_PKEY *pkey, const char *name, size_t fixed)
{
    BIGNUM *number = NULL;
    uint8_t bytes[NUMBER_MAX];
    int len = -1;

    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && BN_num_bytes(number) <= NUMBER_MAX)
        len = fixed ? BN_bn2binpad(number, bytes, (int)fixed) : BN_bn2bin(number, bytes);
    BN_free(number);
    if (len > 0)
        put_base64(out, bytes, (size_t)len);
    return len > 0;
}

/* The members that make the key, in the order of RFC 7638; without braces. */
static bool put_members(struct ml_writer *out, const EVP_PKEY *pkey)
{
    uint8_t raw[32];
    size_t len = sizeof(raw);

    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_ED25519:
        if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) != 1)
            return false;
        put(out, "\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"");
        put_base64(out, raw, len);
        break;
    case EVP_PKEY_EC:
        put(out, "\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
        if (!put_number(out, pkey, OSSL_PKEY_PARAM_EC_PUB_X, 32))
            return false;
        put(out, "\",\"y\":\"");
        if (!put_number(out, pkey, OSSL_PKEY_PARAM_EC_PUB_Y, 32))
            return false;
        break;
    default:
        put(out, "\"e\":\"");
        if (!put_number(out, pkey, OSSL_PKEY_PARAM_RSA_E, 0))
            return false;
        put(out, "\",\"kty\":\"RSA\",\"n\":\"");
        if (!put_number(out, pkey, OSSL_PKEY_PARAM_RSA_N, 0))
            return false;
    }
    put(out, "\"");
    return out->err == ML_OK;
}

bool ml_key_set_kid(struct ml_key *key)
{
    struct ml_writer out;
    uint8_t hash[HASH_BYTES];
    bool ok;

    ml_writer_init(&out, JSON_MAX);
    put(&out, "{");
    ok = put_members(&out, key->pkey);
    put(&out, "}");
    ok =
        ok && out.err == ML_OK && EVP_Digest(out.ptr, out.len, hash, NULL, EVP_sha256(), NULL) == 1;
    if (ok) {
        ml_base64_put(ml_slice_make(hash, sizeof(hash)), ML_BASE64URL, key->kid);
        key->kid[ml_base64_len(sizeof(hash), ML_BASE64URL)] = '\0';
    }
    ml_writer_release(&out);
    return ok;
}

enum ml_err ml_keyset_generate(enum ml_alg alg, struct ml_keyset **keys_out)
{
    struct ml_keyset *keys = calloc(1, sizeof(*keys) + ML_KEYS_MAX * sizeof(*keys->keys));
    struct ml_key *key = keys ? &keys->keys[0] : NULL;
    bool ok;

    if (!keys)
        return ML_ELIMIT;
    keys->count = 1;
    key->alg = alg;
    key->has_private = true;
    if (alg == ML_ALG_HS256) {
        key->secret_len = ML_SECRET_MIN_BYTES;
        ok = RAND_bytes(key->secret, ML_SECRET_MIN_BYTES) == 1;
    } else {
        key->pkey = alg == ML_ALG_EDDSA   ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                    : alg == ML_ALG_ES256 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                                          : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);
        ok = key->pkey && ml_key_set_kid(key);
    }
    if (!ok) {
        ml_keyset_free(keys);
        return ML_ELIMIT;
    }
    *keys_out = keys;
    return ML_OK;
}

enum ml_err ml_keyset_pem(const struct ml_keyset *keys, bool with_private, struct ml_writer *out)
{
    const struct ml_key *key = &keys->keys[0];
    BIO *bio;
    char *text;
    long len = 0;

    if (!key->pkey || (with_private && !key->has_private))
        return ML_EDENIED;
    bio = BIO_new(BIO_s_mem());
    if (bio && (with_private ? PEM_write_bio_PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)
                             : PEM_write_bio_PUBKEY(bio, key->pkey)) == 1)
        len = BIO_get_mem_data(bio, &text);
    if (len > 0)
        ml_write_bytes(out, ml_slice_make(text, (size_t)len));
    BIO_free(bio);
    return len > 0 ? out->err : ML_ELIMIT;
}

enum ml_err ml_keyset_jwks(const struct ml_keyset *keys, struct ml_writer *out)
{
    bool first = true;

    put(out, "{\"keys\":[");
    for (size_t i = 0; i < keys->count; i++) {
        const struct ml_key *key = &keys->keys[i];

        if (!key->pkey)
            continue;
        put(out, first ? "{" : ",{");
        first = false;
        if (!put_members(out, key->pkey))
            return ML_ELIMIT;
        put(out, ",\"alg\":\"");
        put(out, ml_alg_name(key->alg));
        put(out, "\",\"use\":\"sig\"");
        if (key->kid[0]) {
            put(out, ",\"kid\":\"");
            put(out, key->kid);
            put(out, "\"");
        }
        put(out, "}");
    }
    put(out, "]}");
    return out->err;
}
