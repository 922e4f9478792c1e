/* SPDX-License-Identifier: MIT */
/*
 * Signed tokens: JWS in compact form with claims (RFC 7515, 7519). Part of auth.h.
 *
 *   base64url(header) "." base64url(claims) "." base64url(signature)
 *
 *  [T1] The algorithm is the key's; the header only has to agree. Signatures are checked before
 *       claims are read.
 *  [T2] One token has one form: three parts, strict base64url, strict JSON (no key twice), whole
 *       numbers for times.
 *  [T3] Whoever checks says which kind of token it takes (`typ`): one kind is never another.
 */
#ifndef ML_AUTH_TOKEN_H
#define ML_AUTH_TOKEN_H

#include "auth/key.h"

#define ML_TOKEN_MAX_BYTES   (8u * 1024)
#define ML_TOKEN_LEEWAY_S    30
#define ML_TOKEN_AUDIENCES   8
#define ML_TOKEN_SUBJECT_MAX 256

/** What a token must be. */
struct ml_token_rules {
    const struct ml_keyset *keys;
    unsigned algs;            /* bits; the key's must be among them */
    struct ml_slice typ;      /* exactly this; empty: none, "JWT" or "at+jwt" */
    struct ml_slice issuer;   /* exactly this; empty: any */
    struct ml_slice audience; /* must be among the token's; empty: any */
    int64_t now_s;            /* since 1970 */
    uint32_t leeway_s;
    uint32_t life_max_s; /* exp - iat (without iat: exp - now); 0: any */
    bool needs_subject;  /* sub, 1 to 256 bytes */
};

struct ml_token {
    enum ml_alg alg;
    struct ml_slice claims;              /* as JSON, an object */
    struct ml_slice issuer, subject, id; /* iss, sub, jti; .ptr NULL: not there */
    int64_t expires_s, issued_s;         /* issued_s 0: not said */
};

/**
 * @param token_out  in `scratch`
 * @param why_out    for a log: what was wrong, never a part of the token; may be NULL
 * @retval ML_EFORMAT    not a token as [T2] says
 * @retval ML_ENOTFOUND  no key of that id
 * @retval ML_ETIMEDOUT  expired, everything else is in order
 * @retval ML_EDENIED    signature, kind, issuer, audience, times
 */
enum ml_err ml_token_verify(struct ml_slice token, const struct ml_token_rules *rules,
                            struct ml_arena *scratch, struct ml_token *token_out,
                            const char **why_out) ML_MUST_CHECK;

/**
 * Sign `claims` (a JSON object) with the first key of `keys`, which must have its private half.
 * @param typ  of the header; empty: "JWT"
 * @retval ML_EFORMAT  claims are no strict JSON object · ML_EDENIED no private key · ML_ELIMIT too
 * large
 */
enum ml_err ml_token_sign(const struct ml_keyset *keys, struct ml_slice typ, struct ml_slice claims,
                          struct ml_arena *scratch, struct ml_slice *token_out) ML_MUST_CHECK;

#endif
