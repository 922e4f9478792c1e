/* SPDX-License-Identifier: MIT */
#include "bind/bind.h"

#include "auth/auth.h"
#include "script/script.h"

static unsigned alg_bit(struct ml_slice name)
{
    enum ml_alg alg;

    return ml_alg_named(name, &alg) ? ML_ALG_BIT(alg) : 0;
}

static bool looks_like_keys(struct ml_slice text)
{
    size_t at = 0;

    while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\n' || text.ptr[at] == '\r'))
        at++;
    return (at < text.len && text.ptr[at] == '{') || memmem(text.ptr, text.len, "-----BEGIN", 10);
}

static enum ml_err keys_read(struct ml_slice text, unsigned algs, void **keys_out,
                             struct ml_diag *diag)
{
    struct ml_keyset *keys = NULL;
    enum ml_err err;

    /* A bare text is a secret only where nothing else could be meant. */
    if (algs == ML_ALG_BIT(ML_ALG_HS256) && !looks_like_keys(text))
        err = ml_keyset_secret(text, (struct ml_slice){0}, &keys, diag);
    else
        err = ml_keyset_read(text, algs, &keys, diag);
    *keys_out = keys;
    return err;
}

static void keys_free(void *keys)
{
    ml_keyset_free(keys);
}

static enum ml_err verify(const void *keys, struct ml_slice token,
                          const struct ml_script_jwt_rules *rules, struct ml_arena *scratch,
                          struct ml_slice *claims_out, const char **why_out)
{
    const struct ml_token_rules all = {
        .keys = keys,
        .algs = rules->algs,
        .typ = rules->typ,
        .issuer = rules->issuer,
        .audience = rules->audience,
        .now_s = rules->now_s,
        .leeway_s = rules->leeway_s,
        .life_max_s = rules->life_max_s,
    };
    struct ml_token verified;
    enum ml_err err = ml_token_verify(token, &all, scratch, &verified, why_out);

    *claims_out = verified.claims;
    return err;
}

static enum ml_err sign(const void *keys, unsigned algs, struct ml_slice typ,
                        struct ml_slice claims, struct ml_arena *scratch,
                        struct ml_slice *token_out)
{
    if (!(algs & ML_ALG_BIT(ml_keyset_alg(keys, 0))))
        return ML_EDENIED;
    return ml_token_sign(keys, typ, claims, scratch, token_out);
}

const struct ml_script_jwt ml_bind_jwt = {alg_bit, keys_read, keys_free, verify, sign};
