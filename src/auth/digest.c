/* SPDX-License-Identifier: MIT */
#include "auth/auth.h"

#include "base/assert.h"

#include <openssl/evp.h>

void ml_digest_hex(const struct ml_slice *parts, size_t count, char *out, size_t digits)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t sum[32];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

    ML_ASSERT(digits <= 2 * sizeof sum);
    for (size_t i = 0; is_good && i < count; i++) {
        uint64_t len = parts[i].len;

        is_good = EVP_DigestUpdate(ctx, &len, sizeof len) &&
                  EVP_DigestUpdate(ctx, parts[i].ptr, parts[i].len);
    }
    is_good = is_good && EVP_DigestFinal_ex(ctx, sum, NULL);
    EVP_MD_CTX_free(ctx);
    ML_ASSERT(is_good); /* a few hundred bytes of memory are all that it can lack */
    for (size_t i = 0; i < digits; i++)
        out[i] = hex[(sum[i / 2] >> (i % 2 ? 0 : 4)) & 15];
    out[digits] = '\0';
}

void ml_sha256(struct ml_slice text, uint8_t out[32])
{
    ML_ASSERT(EVP_Digest(text.len ? (const void *)text.ptr : "", text.len, out, NULL, EVP_sha256(),
                         NULL) == 1);
}
