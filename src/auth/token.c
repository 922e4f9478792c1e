/* SPDX-License-Identifier: MIT */
#include "auth/token.h"

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "auth/key_private.h"
#include "auth/strict_json.h"
#include "base/base64.h"

#define SIGNATURE_MAX 1024 /* RSA with 8192 bits */
#define HEADER_MAX    2048 /* bytes of JSON */
#define YEAR_10000_S  253402300800
#define ES256_HALF    32
#define DER_MAX       80

/* ---- Parts ------------------------------------------------------------------------------------
 */

struct parts {
    struct ml_slice header, claims, signature; /* decoded */
    struct ml_slice signed_text;               /* as it came, up to the second dot */
};

static bool decode(struct ml_slice text, size_t max, struct ml_arena *scratch, struct ml_slice *out)
{
    uint8_t *bytes;

    if (text.len == 0 || ml_base64_max(text.len) > max)
        return false;
    bytes = ml_arena_take(scratch, ml_base64_max(text.len));
    if (!bytes)
        return false;
    out->ptr = bytes;
    return ml_base64_get(text, ML_BASE64URL, bytes, &out->len);
}

/* Only the form: what the claims say is read after the signature was checked. */
static bool split(struct ml_slice token, struct ml_arena *scratch, struct parts *out)
{
    const uint8_t *end = token.ptr + token.len;
    const uint8_t *first = memchr(token.ptr, '.', token.len), *second;

    if (!first)
        return false;
    second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return false;
    out->signed_text = ml_slice_make(token.ptr, (size_t)(second - token.ptr));
    return decode(ml_slice_make(token.ptr, (size_t)(first - token.ptr)), HEADER_MAX, scratch,
                  &out->header) &&
           decode(ml_slice_make(first + 1, (size_t)(second - first - 1)), ML_TOKEN_MAX_BYTES,
                  scratch, &out->claims) &&
           decode(ml_slice_make(second + 1, (size_t)(end - second - 1)), SIGNATURE_MAX + 3, scratch,
                  &out->signature);
}

/* ---- Header -----------------------------------------------------------------------------------
 */

struct header {
    enum ml_alg alg;
    struct ml_slice kid; /* .ptr NULL: none */
    struct ml_slice typ; /* the same */
};

static enum ml_err refuse(const char **why_out, enum ml_err err, const char *why)
{
    if (why_out)
        *why_out = why;
    return err;
}

/* A header that could bring its own key, or that must be understood in a way we do not. */
static bool has_forbidden(const struct ml_strict_node *root)
{
    static const char *const names[] = {"crit", "jku", "jwk", "x5u", "x5c", "b64", "enc", "zip"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (ml_strict_get(root, names[i]))
            return true;
    return false;
}

static enum ml_err read_header(struct ml_slice json, struct ml_arena *scratch, struct header *out,
                               const char **why)
{
    const struct ml_strict_node *root, *kid, *typ;

    if (ml_strict_parse(json, scratch, &root) || root->kind != ML_STRICT_OBJECT)
        return refuse(why, ML_EFORMAT, "the header is not strict JSON");
    if (has_forbidden(root))
        return refuse(why, ML_EDENIED, "the header brings a key or an extension");
    if (!ml_alg_named(ml_strict_text(root, "alg"), &out->alg))
        return refuse(why, ML_EDENIED, "unknown algorithm");
    kid = ml_strict_get(root, "kid");
    typ = ml_strict_get(root, "typ");
    out->kid = ml_strict_text(root, "kid");
    out->typ = ml_strict_text(root, "typ");
    if ((kid && !ml_kid_is_valid(out->kid)) || (typ && !out->typ.ptr))
        return refuse(why, ML_EFORMAT, "kid or typ is not what it may be");
    return ML_OK;
}

static bool is_typ(struct ml_slice typ, struct ml_slice wanted)
{
    if (wanted.len)
        return ml_slice_equal(typ, wanted);
    return !typ.ptr || ml_slice_equal(typ, ML_SLICE("JWT")) ||
           ml_slice_equal(typ, ML_SLICE("jwt")) || ml_slice_equal(typ, ML_SLICE("at+jwt"));
}

/*
 * By kid; a set of one key without a kid takes every token; without a kid in the token there must
 * be exactly one key of the algorithm.
 */
static const struct ml_key *find_key(const struct ml_keyset *keys, const struct header *header)
{
    const struct ml_key *found = NULL;
    size_t fitting = 0;

    for (size_t i = 0; i < keys->count; i++) {
        const struct ml_key *key = &keys->keys[i];

        if (header->kid.ptr) {
            if (ml_slice_equal(ml_slice_str(key->kid), header->kid))
                return key;
            if (keys->count == 1 && !key->kid[0])
                return key;
        } else if (key->alg == header->alg) {
            found = key;
            fitting++;
        }
    }
    return fitting == 1 ? found : NULL;
}

/* ---- Signatures -------------------------------------------------------------------------------
 */

static bool hmac_of(const struct ml_key *key, struct ml_slice text, uint8_t out[32])
{
    unsigned len = 32;

    return key->secret_len >= ML_SECRET_MIN_BYTES &&
           HMAC(EVP_sha256(), key->secret, (int)key->secret_len, text.ptr, text.len, out, &len) &&
           len == 32;
}

/* JOSE writes R || S, OpenSSL wants DER. */
static size_t es256_to_der(struct ml_slice signature, uint8_t der[DER_MAX])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.ptr, ES256_HALF, NULL);
    BIGNUM *s = BN_bin2bn(signature.ptr + ES256_HALF, ES256_HALF, NULL);
    uint8_t *p = der;
    int len = 0;

    if (sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1) {
        len = i2d_ECDSA_SIG(sig, NULL) <= DER_MAX ? i2d_ECDSA_SIG(sig, &p) : 0;
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return len > 0 ? (size_t)len : 0;
}

static bool es256_from_der(const uint8_t *der, size_t len, uint8_t out[2 * ES256_HALF])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, ES256_HALF) == ES256_HALF &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + ES256_HALF, ES256_HALF) == ES256_HALF;

    ECDSA_SIG_free(sig);
    return ok;
}

/* PSS with a salt as long as the digest (RFC 7518, 3.5). */
static bool set_padding(EVP_PKEY_CTX *ctx, enum ml_alg alg)
{
    if (alg == ML_ALG_PS256)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, EVP_sha256()) == 1;
    return alg != ML_ALG_RS256 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
}

static const EVP_MD *digest_of(enum ml_alg alg)
{
    return alg == ML_ALG_EDDSA ? NULL : EVP_sha256();
}

static bool has_length(const struct ml_key *key, size_t len)
{
    switch (key->alg) {
    case ML_ALG_EDDSA:
    case ML_ALG_ES256:
        return len == 64;
    case ML_ALG_HS256:
        return len == 32;
    default:
        return len == (size_t)EVP_PKEY_get_size(key->pkey);
    }
}

static bool is_signed(const struct ml_key *key, struct ml_slice text, struct ml_slice signature)
{
    EVP_MD_CTX *ctx;
    EVP_PKEY_CTX *pkey_ctx = NULL;
    uint8_t bytes[DER_MAX];
    bool ok;

    if (!has_length(key, signature.len))
        return false;
    if (key->alg == ML_ALG_HS256)
        return hmac_of(key, text, bytes) && CRYPTO_memcmp(bytes, signature.ptr, 32) == 0;
    if (key->alg == ML_ALG_ES256) {
        signature = ml_slice_make(bytes, es256_to_der(signature, bytes));
        if (signature.len == 0)
            return false;
    }
    ctx = EVP_MD_CTX_new();
    ok = ctx && EVP_DigestVerifyInit(ctx, &pkey_ctx, digest_of(key->alg), NULL, key->pkey) == 1 &&
         set_padding(pkey_ctx, key->alg) &&
         EVP_DigestVerify(ctx, signature.ptr, signature.len, text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* The signature of `text` into `out[SIGNATURE_MAX]`; 0: it failed. */
static size_t sign(const struct ml_key *key, struct ml_slice text, uint8_t *out)
{
    EVP_MD_CTX *ctx;
    EVP_PKEY_CTX *pkey_ctx = NULL;
    size_t len = SIGNATURE_MAX;
    uint8_t pair[2 * ES256_HALF];
    bool ok;

    if (key->alg == ML_ALG_HS256)
        return hmac_of(key, text, out) ? 32 : 0;
    ctx = EVP_MD_CTX_new();
    ok = ctx && EVP_DigestSignInit(ctx, &pkey_ctx, digest_of(key->alg), NULL, key->pkey) == 1 &&
         set_padding(pkey_ctx, key->alg) && EVP_DigestSign(ctx, out, &len, text.ptr, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return 0;
    if (key->alg != ML_ALG_ES256)
        return len;
    if (!es256_from_der(out, len, pair))
        return 0;
    memcpy(out, pair, sizeof(pair));
    return sizeof(pair);
}

/* ---- Claims -----------------------------------------------------------------------------------
 */

/* A time that may be missing; false: it is there and is none. */
static bool read_time(const struct ml_strict_node *root, const char *name, bool *there,
                      int64_t *out)
{
    const struct ml_strict_node *node = ml_strict_get(root, name);

    *there = node != NULL;
    *out = 0;
    return !node || (ml_strict_integer(node, out) && *out >= 0 && *out < YEAR_10000_S);
}

/* `aud` is a text or a list of texts. */
static bool has_audience(const struct ml_strict_node *root, struct ml_slice wanted)
{
    const struct ml_strict_node *aud = ml_strict_get(root, "aud");
    bool found = false;

    if (wanted.len == 0)
        return true;
    if (!aud)
        return false;
    if (aud->kind == ML_STRICT_STRING)
        return ml_slice_equal(aud->text, wanted);
    if (aud->kind != ML_STRICT_ARRAY)
        return false;
    for (const struct ml_strict_node *n = aud->child; n; n = n->next) {
        if (n->kind != ML_STRICT_STRING)
            return false;
        found |= ml_slice_equal(n->text, wanted);
    }
    return found;
}

/* A text that may be missing; false: it is there and is none, empty or too long. */
static bool read_text(const struct ml_strict_node *root, const char *name, size_t max,
                      struct ml_slice *out)
{
    *out = ml_strict_text(root, name);
    return !ml_strict_get(root, name) || (out->ptr && out->len > 0 && out->len <= max);
}

static enum ml_err check_times(const struct ml_strict_node *root,
                               const struct ml_token_rules *rules, struct ml_token *out,
                               const char **why)
{
    bool has_exp, has_nbf, has_iat;
    int64_t not_before_s, begin_s;

    if (!read_time(root, "exp", &has_exp, &out->expires_s) ||
        !read_time(root, "nbf", &has_nbf, &not_before_s) ||
        !read_time(root, "iat", &has_iat, &out->issued_s))
        return refuse(why, ML_EFORMAT, "a time is not a whole number of seconds");
    if (!has_exp)
        return refuse(why, ML_EDENIED, "exp is missing");
    if (has_nbf && not_before_s > rules->now_s + rules->leeway_s)
        return refuse(why, ML_EDENIED, "not valid yet");
    if (has_iat && out->issued_s > rules->now_s + rules->leeway_s)
        return refuse(why, ML_EDENIED, "issued in the future");
    begin_s = has_iat ? out->issued_s : rules->now_s;
    if (rules->life_max_s && out->expires_s - begin_s > (int64_t)rules->life_max_s)
        return refuse(why, ML_EDENIED, "lives too long");
    if (out->expires_s <= rules->now_s - rules->leeway_s)
        return refuse(why, ML_ETIMEDOUT, "expired");
    return ML_OK;
}

static enum ml_err check_claims(const struct ml_strict_node *root,
                                const struct ml_token_rules *rules, struct ml_token *out,
                                const char **why)
{
    if (!read_text(root, "iss", 1024, &out->issuer) || !read_text(root, "jti", 256, &out->id) ||
        !read_text(root, "sub", ML_TOKEN_SUBJECT_MAX, &out->subject))
        return refuse(why, ML_EFORMAT, "iss, sub or jti is not a text of its length");
    if (rules->issuer.len && !ml_slice_equal(out->issuer, rules->issuer))
        return refuse(why, ML_EDENIED, "another issuer");
    if (!has_audience(root, rules->audience))
        return refuse(why, ML_EDENIED, "another audience");
    if (rules->needs_subject && !out->subject.ptr)
        return refuse(why, ML_EDENIED, "sub is missing");
    return check_times(root, rules, out, why);
}

enum ml_err ml_token_verify(struct ml_slice token, const struct ml_token_rules *rules,
                            struct ml_arena *scratch, struct ml_token *token_out,
                            const char **why_out)
{
    struct parts parts = {0};
    struct header header = {0};
    const struct ml_strict_node *root;
    const struct ml_key *key;
    enum ml_err err;

    *token_out = (struct ml_token){0};
    if (token.len == 0 || token.len > ML_TOKEN_MAX_BYTES || !split(token, scratch, &parts))
        return refuse(why_out, ML_EFORMAT, "not three parts in base64url");
    err = read_header(parts.header, scratch, &header, why_out);
    if (err)
        return err;
    if (!is_typ(header.typ, rules->typ))
        return refuse(why_out, ML_EDENIED, "another kind of token");
    key = find_key(rules->keys, &header);
    if (!key)
        return refuse(why_out, ML_ENOTFOUND, "no key of that id");
    if (key->alg != header.alg || !(rules->algs & ML_ALG_BIT(key->alg)))
        return refuse(why_out, ML_EDENIED, "the algorithm is not the key's");
    if (!is_signed(key, parts.signed_text, parts.signature))
        return refuse(why_out, ML_EDENIED, "the signature does not fit");
    if (ml_strict_parse(parts.claims, scratch, &root) || root->kind != ML_STRICT_OBJECT)
        return refuse(why_out, ML_EFORMAT, "the claims are not strict JSON");
    token_out->alg = key->alg;
    token_out->claims = parts.claims;
    return check_claims(root, rules, token_out, why_out);
}

/* ---- Signing ----------------------------------------------------------------------------------
 */

static void put_part(struct ml_writer *out, struct ml_slice bytes)
{
    size_t chars = ml_base64_len(bytes.len, ML_BASE64URL);

    if (!ml_writer_reserve(out, chars))
        return;
    ml_base64_put(bytes, ML_BASE64URL, (char *)out->ptr + out->len);
    out->len += chars;
}

static bool is_plain(struct ml_slice typ)
{
    for (size_t i = 0; i < typ.len; i++)
        if (typ.ptr[i] < '+' || typ.ptr[i] > 'z' || typ.ptr[i] == '\\')
            return false;
    return typ.len <= 64;
}

enum ml_err ml_token_sign(const struct ml_keyset *keys, struct ml_slice typ, struct ml_slice claims,
                          struct ml_arena *scratch, struct ml_slice *token_out)
{
    const struct ml_key *key = &keys->keys[0];
    const struct ml_strict_node *root;
    struct ml_writer out;
    uint8_t signature[SIGNATURE_MAX];
    char header[256];
    size_t len;
    int header_len;
    enum ml_err err = ML_OK;

    if (ml_strict_parse(claims, scratch, &root) || root->kind != ML_STRICT_OBJECT || !is_plain(typ))
        return ML_EFORMAT;
    if (!key->has_private)
        return ML_EDENIED;
    if (typ.len == 0)
        typ = ML_SLICE("JWT");
    header_len = snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"%.*s\"%s%s%s}",
                          ml_alg_name(key->alg), ML_PRINT(typ), key->kid[0] ? ",\"kid\":\"" : "",
                          key->kid, key->kid[0] ? "\"" : "");
    ml_writer_init(&out, ML_TOKEN_MAX_BYTES);
    put_part(&out, ml_slice_make(header, (size_t)header_len));
    ml_write_u8(&out, '.');
    put_part(&out, claims);
    len = out.err ? 0 : sign(key, ml_writer_slice(&out), signature);
    ml_write_u8(&out, '.');
    put_part(&out, ml_slice_make(signature, len));
    if (len == 0 || out.err)
        err = ML_ELIMIT;
    else
        *token_out = ml_arena_copy(scratch, ml_writer_slice(&out));
    ml_writer_release(&out);
    return !err && !token_out->ptr ? ML_ELIMIT : err;
}
