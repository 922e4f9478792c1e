/* SPDX-License-Identifier: MIT */
/*
 * Keys that sign and check tokens. Part of auth.h.
 *
 * Every key has exactly one algorithm, given when it is read: by its own "alg", or, if that is
 * missing, by the one configured algorithm that its kind allows. A token never chooses.
 */
#ifndef ML_AUTH_KEY_H
#define ML_AUTH_KEY_H

#include "base/arena.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/slice.h"

#define ML_KEYS_MAX         32
#define ML_KEYSET_MAX_BYTES (64u * 1024)
#define ML_KID_MAX_BYTES    64
#define ML_SECRET_MIN_BYTES 32
#define ML_SECRET_MAX_BYTES 512

enum ml_alg { ML_ALG_EDDSA, ML_ALG_ES256, ML_ALG_RS256, ML_ALG_PS256, ML_ALG_HS256, ML_ALG_COUNT };
#define ML_ALG_BIT(alg) (1u << (alg))

const char *ml_alg_name(enum ml_alg alg);
/** False: no such algorithm (the spelling counts). */
bool ml_alg_named(struct ml_slice name, enum ml_alg *alg_out);

/** Up to ML_KEYS_MAX keys; read-only after it was made. */
struct ml_keyset;

/**
 * Read keys: a JWK set, a JWK, or PEM (one public or private key).
 *
 * In a set, keys of unknown kinds, of other algorithms than `algs`, for encryption, or too weak
 * (RSA under 2048 bits, secrets under 32 bytes, curves other than P-256 and Ed25519) are left out;
 * alone, they are an error.
 *
 * @param algs  ML_ALG_BIT of what is configured; not 0
 * @retval ML_EFORMAT  no usable key; diag says why
 */
enum ml_err ml_keyset_read(struct ml_slice text, unsigned algs, struct ml_keyset **keys_out,
                           struct ml_diag *diag) ML_MUST_CHECK;
/** One HS256 secret. Text that looks like a public key is refused. */
enum ml_err ml_keyset_secret(struct ml_slice secret, struct ml_slice kid,
                             struct ml_keyset **keys_out, struct ml_diag *diag) ML_MUST_CHECK;
/** A new key pair (or secret) for `alg`; its kid is its thumbprint. */
enum ml_err ml_keyset_generate(enum ml_alg alg, struct ml_keyset **keys_out) ML_MUST_CHECK;
/** Wipes secrets. free(NULL) is fine. */
void ml_keyset_free(struct ml_keyset *keys);

size_t ml_keyset_count(const struct ml_keyset *keys);
enum ml_alg ml_keyset_alg(const struct ml_keyset *keys, size_t index);
struct ml_slice ml_keyset_kid(const struct ml_keyset *keys, size_t index);

/** The first key as PEM, with its private half (PKCS 8) or only the public one (SPKI). */
enum ml_err ml_keyset_pem(const struct ml_keyset *keys, bool with_private,
                          struct ml_writer *out) ML_MUST_CHECK;
/** The public halves as a JWK set; secrets are never in it. */
enum ml_err ml_keyset_jwks(const struct ml_keyset *keys, struct ml_writer *out) ML_MUST_CHECK;

/** The first `a.len` bytes in the same time whatever they are. */
bool ml_same_secret(struct ml_slice a, struct ml_slice b);

#endif
