/* SPDX-License-Identifier: MIT */
/*
 * JWK (RFC 7517, 7518, 8037) and PEM to OpenSSL keys and back.
 *
 *   kty  crv      alg            members            OpenSSL
 *   OKP  Ed25519  EdDSA          x, d               ED25519
 *   EC   P-256    ES256          x, y, d            EC, group prime256v1
 *   RSA           RS256, PS256   n, e (public only) RSA, at least 2048 bits
 *   oct           HS256          k                  -, at least 32 bytes
 */
#include "auth/key_private.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "auth/strict_json.h"
#include "base/base64.h"

#define PARSE_MAX_BYTES (1u << 20)
#define NUMBER_MAX      1024 /* bytes of n, e, x, y … */
#define RSA_BITS_MIN    2048
#define RSA_BITS_MAX    8192
#define COORDINATE      32

static const char *const alg_names[ML_ALG_COUNT] = {
    [ML_ALG_EDDSA] = "EdDSA", [ML_ALG_ES256] = "ES256", [ML_ALG_RS256] = "RS256",
    [ML_ALG_PS256] = "PS256", [ML_ALG_HS256] = "HS256",
};

const char *ml_alg_name(enum ml_alg alg)
{
    return alg_names[alg];
}

bool ml_alg_named(struct ml_slice name, enum ml_alg *alg_out)
{
    for (int i = 0; i < ML_ALG_COUNT; i++) {
        if (ml_slice_equal(name, ml_slice_str(alg_names[i]))) {
            *alg_out = (enum ml_alg)i;
            return true;
        }
    }
    return false;
}

bool ml_kid_is_valid(struct ml_slice kid)
{
    if (kid.len == 0 || kid.len > ML_KID_MAX_BYTES)
        return false;
    for (size_t i = 0; i < kid.len; i++) {
        uint8_t c = kid.ptr[i], low = c | 0x20;

        if (!(low >= 'a' && low <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
            c != '-')
            return false;
    }
    return true;
}

bool ml_same_secret(struct ml_slice a, struct ml_slice b)
{
    return a.len == b.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0;
}

/* ---- Which algorithm --------------------------------------------------------------------------
 */

#define RSA_ALGS (ML_ALG_BIT(ML_ALG_RS256) | ML_ALG_BIT(ML_ALG_PS256))

/* What a key of this kind can do; 0: it is none of ours, or too weak. */
static unsigned algs_of(const EVP_PKEY *pkey, const char **why)
{
    char group[32] = "";
    size_t len;

    *why = "this kind of key is not used here (Ed25519, P-256, RSA)";
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_ED25519:
        return ML_ALG_BIT(ML_ALG_EDDSA);
    case EVP_PKEY_EC:
        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1 &&
            strcmp(group, "prime256v1") == 0)
            return ML_ALG_BIT(ML_ALG_ES256);
        return 0;
    case EVP_PKEY_RSA:
        if (EVP_PKEY_get_bits(pkey) >= RSA_BITS_MIN && EVP_PKEY_get_bits(pkey) <= RSA_BITS_MAX)
            return RSA_ALGS;
        *why = "an RSA key has 2048 to 8192 bits";
        return 0;
    default:
        return 0;
    }
}

/*
 * `can`: what the key's kind allows; `says`: its own alg, may be empty. Exactly one must remain.
 */
static bool choose_alg(unsigned can, unsigned configured, struct ml_slice says, enum ml_alg *out,
                       const char **why)
{
    unsigned left = can & configured;
    enum ml_alg named;

    *why = "the algorithm of this key is not one of those configured";
    if (says.ptr) {
        if (!ml_alg_named(says, &named))
            return false;
        left &= ML_ALG_BIT(named);
    }
    if (left == 0)
        return false;
    *why = "RS256 and PS256 are both configured and the key says neither";
    if (left & (left - 1))
        return false;
    for (int i = 0; i < ML_ALG_COUNT; i++)
        if (left == ML_ALG_BIT(i))
            *out = (enum ml_alg)i;
    return true;
}

/* ---- JWK --------------------------------------------------------------------------------------
 */

struct number {
    uint8_t bytes[NUMBER_MAX];
    size_t len;
};

/* A member in base64url; false: missing, broken or too long. */
static bool read_number(const struct ml_strict_node *jwk, const char *name, struct number *out)
{
    struct ml_slice text = ml_strict_text(jwk, name);

    out->len = 0;
    return text.ptr && ml_base64_max(text.len) <= sizeof(out->bytes) &&
           ml_base64_get(text, ML_BASE64URL, out->bytes, &out->len) && out->len > 0;
}

static EVP_PKEY *from_params(const char *type, int selection, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *pkey = NULL;

    if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, selection, params);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

static EVP_PKEY *read_rsa(const struct ml_strict_node *jwk)
{
    struct number n, e;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = NULL, *bn_e = NULL;
    EVP_PKEY *pkey = NULL;

    if (build && read_number(jwk, "n", &n) && read_number(jwk, "e", &e) && e.len <= 8) {
        bn_n = BN_bin2bn(n.bytes, (int)n.len, NULL);
        bn_e = BN_bin2bn(e.bytes, (int)e.len, NULL);
        if (bn_n && bn_e && BN_is_odd(bn_e) && BN_is_odd(bn_n) && !BN_is_one(bn_e) &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e))
            pkey = from_params("RSA", EVP_PKEY_PUBLIC_KEY, build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(bn_n);
    BN_free(bn_e);
    return pkey;
}

static EVP_PKEY *read_ec(const struct ml_strict_node *jwk, bool *has_private)
{
    struct number x, y, d;
    uint8_t point[1 + 2 * COORDINATE] = {4};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *secret = NULL;
    EVP_PKEY *pkey = NULL;

    *has_private = ml_strict_get(jwk, "d") != NULL;
    if (build && ml_slice_equal(ml_strict_text(jwk, "crv"), ML_SLICE("P-256")) &&
        read_number(jwk, "x", &x) && read_number(jwk, "y", &y) && x.len == COORDINATE &&
        y.len == COORDINATE &&
        (!*has_private || (read_number(jwk, "d", &d) && d.len == COORDINATE))) {
        memcpy(point + 1, x.bytes, COORDINATE);
        memcpy(point + 1 + COORDINATE, y.bytes, COORDINATE);
        if (*has_private)
            secret = BN_bin2bn(d.bytes, COORDINATE, BN_secure_new());
        if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                             sizeof(point)) &&
            (!*has_private || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret)))
            pkey = from_params("EC", *has_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_clear_free(secret);
    return pkey;
}

static EVP_PKEY *read_okp(const struct ml_strict_node *jwk, bool *has_private)
{
    struct number x, d;

    *has_private = ml_strict_get(jwk, "d") != NULL;
    if (!ml_slice_equal(ml_strict_text(jwk, "crv"), ML_SLICE("Ed25519")) ||
        !read_number(jwk, "x", &x) || x.len != COORDINATE)
        return NULL;
    if (!*has_private)
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.bytes, x.len);
    if (!read_number(jwk, "d", &d) || d.len != COORDINATE)
        return NULL;
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d.bytes, d.len);
}

/* Half of the pair must fit the other. */
static bool is_sound(EVP_PKEY *pkey, bool has_private)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool sound = ctx && EVP_PKEY_public_check(ctx) == 1 &&
                 (!has_private || EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA ||
                  EVP_PKEY_pairwise_check(ctx) == 1);

    EVP_PKEY_CTX_free(ctx);
    return sound;
}

static bool take_kid(struct ml_key *key, struct ml_slice kid)
{
    if (!kid.ptr)
        return true;
    if (!ml_kid_is_valid(kid))
        return false;
    memcpy(key->kid, kid.ptr, kid.len);
    key->kid[kid.len] = '\0';
    return true;
}

static bool read_secret(const struct ml_strict_node *jwk, struct ml_key *key, const char **why)
{
    struct number k;

    *why = "a secret has 32 to 512 bytes in base64url";
    if (!read_number(jwk, "k", &k) || k.len < ML_SECRET_MIN_BYTES || k.len > ML_SECRET_MAX_BYTES)
        return false;
    memcpy(key->secret, k.bytes, k.len);
    key->secret_len = k.len;
    key->has_private = true;
    OPENSSL_cleanse(&k, sizeof(k));
    return true;
}

static bool is_for_signatures(const struct ml_strict_node *jwk)
{
    const struct ml_strict_node *use = ml_strict_get(jwk, "use");
    const struct ml_strict_node *ops = ml_strict_get(jwk, "key_ops");
    bool found = ops == NULL;

    if (use && !ml_slice_equal(ml_strict_text(jwk, "use"), ML_SLICE("sig")))
        return false;
    for (const struct ml_strict_node *op = ops ? ops->child : NULL; op; op = op->next)
        found |= op->kind == ML_STRICT_STRING && (ml_slice_equal(op->text, ML_SLICE("verify")) ||
                                                  ml_slice_equal(op->text, ML_SLICE("sign")));
    return found;
}

/* One JWK into `key`; false: `why` not. */
static bool read_jwk(const struct ml_strict_node *jwk, unsigned algs, struct ml_key *key,
                     const char **why)
{
    struct ml_slice kty = ml_strict_text(jwk, "kty"), says = ml_strict_text(jwk, "alg");
    const struct ml_strict_node *alg = ml_strict_get(jwk, "alg"), *kid = ml_strict_get(jwk, "kid");
    unsigned can;

    *key = (struct ml_key){0};
    *why = "not a JWK for signatures";
    if (!is_for_signatures(jwk) || (alg && !says.ptr))
        return false;
    *why = "a kid is 1 to 64 of A-Z a-z 0-9 . _ -";
    if ((kid && kid->kind != ML_STRICT_STRING) || !take_kid(key, ml_strict_text(jwk, "kid")))
        return false;
    if (ml_slice_equal(kty, ML_SLICE("oct")))
        return read_secret(jwk, key, why) &&
               choose_alg(ML_ALG_BIT(ML_ALG_HS256), algs, says, &key->alg, why);
    if (ml_slice_equal(kty, ML_SLICE("RSA")))
        key->pkey = read_rsa(jwk);
    else if (ml_slice_equal(kty, ML_SLICE("EC")))
        key->pkey = read_ec(jwk, &key->has_private);
    else if (ml_slice_equal(kty, ML_SLICE("OKP")))
        key->pkey = read_okp(jwk, &key->has_private);
    *why = "a JWK whose members are missing or broken";
    if (!key->pkey)
        return false;
    can = algs_of(key->pkey, why);
    if (!can || !choose_alg(can, algs, says, &key->alg, why))
        return false;
    *why = "the numbers of this key do not fit together";
    return is_sound(key->pkey, key->has_private);
}

/* ---- Sets -------------------------------------------------------------------------------------
 */

static void wipe(struct ml_key *key)
{
    EVP_PKEY_free(key->pkey);
    OPENSSL_cleanse(key, sizeof(*key));
}

static struct ml_keyset *make_set(struct ml_diag *diag)
{
    struct ml_keyset *keys = calloc(1, sizeof(*keys) + ML_KEYS_MAX * sizeof(*keys->keys));

    if (!keys)
        (void)ml_diag_set(diag, ML_ELIMIT, 0, "out of memory");
    return keys;
}

void ml_keyset_free(struct ml_keyset *keys)
{
    if (!keys)
        return;
    for (size_t i = 0; i < keys->count; i++)
        wipe(&keys->keys[i]);
    free(keys);
}

static bool has_kid(const struct ml_keyset *keys, const char *kid)
{
    for (size_t i = 0; i < keys->count; i++)
        if (kid[0] && strcmp(keys->keys[i].kid, kid) == 0)
            return true;
    return false;
}

static enum ml_err read_jwks(const struct ml_strict_node *list, unsigned algs,
                             struct ml_keyset *keys, struct ml_diag *diag)
{
    const char *why = "the set is empty";
    size_t seen = 0;

    for (const struct ml_strict_node *jwk = list->child; jwk; jwk = jwk->next) {
        struct ml_key *key = &keys->keys[keys->count];

        if (++seen > ML_KEYS_MAX)
            return ml_diag_set(diag, ML_ELIMIT, 0, "a set has at most %d keys", ML_KEYS_MAX);
        if (!read_jwk(jwk, algs, key, &why)) {
            wipe(key);
        } else if (has_kid(keys, key->kid)) {
            why = "two keys have the same kid";
            wipe(key);
        } else {
            keys->count++;
        }
    }
    if (keys->count == 0)
        return ml_diag_set(diag, ML_EFORMAT, 0, "no usable key: %s", why);
    return ML_OK;
}

static enum ml_err read_json(struct ml_slice text, unsigned algs, struct ml_keyset *keys,
                             struct ml_diag *diag)
{
    const struct ml_strict_node *root, *list;
    const char *why;
    struct ml_arena scratch;
    enum ml_err err;

    ml_arena_init(&scratch, PARSE_MAX_BYTES);
    err = ml_strict_parse(text, &scratch, &root);
    if (err) {
        err = ml_diag_set(diag, err, 0, "not JSON, or with a key twice");
    } else {
        list = ml_strict_get(root, "keys");
        if (list && list->kind == ML_STRICT_ARRAY) {
            err = read_jwks(list, algs, keys, diag);
        } else if (read_jwk(root, algs, &keys->keys[0], &why)) {
            keys->count = 1;
        } else {
            wipe(&keys->keys[0]);
            err = ml_diag_set(diag, ML_EFORMAT, 0, "%s", why);
        }
    }
    ml_arena_release(&scratch);
    return err;
}

static enum ml_err read_pem(struct ml_slice text, unsigned algs, struct ml_keyset *keys,
                            struct ml_diag *diag)
{
    struct ml_key *key = &keys->keys[0];
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    const char *why = "not PEM of one public or private key";
    char no_password[] = ""; /* an encrypted key is refused instead of asked about */
    unsigned can;

    key->has_private = memmem(text.ptr, text.len, "PRIVATE KEY", 11) != NULL;
    if (bio)
        key->pkey = key->has_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, no_password)
                                     : PEM_read_bio_PUBKEY(bio, NULL, NULL, no_password);
    BIO_free(bio);
    can = key->pkey ? algs_of(key->pkey, &why) : 0;
    if (!can || !choose_alg(can, algs, (struct ml_slice){0}, &key->alg, &why)) {
        wipe(key);
        return ml_diag_set(diag, ML_EFORMAT, 0, "%s", why);
    }
    keys->count = 1;
    return ML_OK;
}

enum ml_err ml_keyset_read(struct ml_slice text, unsigned algs, struct ml_keyset **keys_out,
                           struct ml_diag *diag)
{
    struct ml_keyset *keys;
    enum ml_err err;
    size_t at = 0;

    if (text.len > ML_KEYSET_MAX_BYTES)
        return ml_diag_set(diag, ML_ELIMIT, 0, "keys have at most %d bytes", ML_KEYSET_MAX_BYTES);
    if (!algs)
        return ml_diag_set(diag, ML_EFORMAT, 0, "no algorithm is configured");
    keys = make_set(diag);
    if (!keys)
        return ML_ELIMIT;
    while (at < text.len && strchr(" \t\r\n", text.ptr[at]) && text.ptr[at])
        at++;
    if (at < text.len && text.ptr[at] == '{')
        err = read_json(text, algs, keys, diag);
    else
        err = read_pem(text, algs, keys, diag);
    if (err)
        ml_keyset_free(keys);
    else
        *keys_out = keys;
    return err;
}

enum ml_err ml_keyset_secret(struct ml_slice secret, struct ml_slice kid,
                             struct ml_keyset **keys_out, struct ml_diag *diag)
{
    struct ml_keyset *keys;

    if (secret.len < ML_SECRET_MIN_BYTES || secret.len > ML_SECRET_MAX_BYTES)
        return ml_diag_set(diag, ML_EFORMAT, 0, "a secret for HS256 has %d to %d bytes",
                           ML_SECRET_MIN_BYTES, ML_SECRET_MAX_BYTES);
    if (memmem(secret.ptr, secret.len, "-----BEGIN", 10) || secret.ptr[0] == '{')
        return ml_diag_set(diag, ML_EFORMAT, 0, "this is a key, not a secret for HS256");
    keys = make_set(diag);
    if (!keys)
        return ML_ELIMIT;
    keys->count = 1;
    keys->keys[0] =
        (struct ml_key){.alg = ML_ALG_HS256, .has_private = true, .secret_len = secret.len};
    memcpy(keys->keys[0].secret, secret.ptr, secret.len);
    if (!take_kid(&keys->keys[0], kid)) {
        ml_keyset_free(keys);
        return ml_diag_set(diag, ML_EFORMAT, 0, "a kid is 1 to 64 of A-Z a-z 0-9 . _ -");
    }
    *keys_out = keys;
    return ML_OK;
}

size_t ml_keyset_count(const struct ml_keyset *keys)
{
    return keys->count;
}

enum ml_alg ml_keyset_alg(const struct ml_keyset *keys, size_t index)
{
    return keys->keys[index].alg;
}

struct ml_slice ml_keyset_kid(const struct ml_keyset *keys, size_t index)
{
    return ml_slice_str(keys->keys[index].kid);
}
