/* SPDX-License-Identifier: MIT */
#include "bus/frame.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

#define FORMAT    1
#define FRAME_MAX (ML_BUS_BYTES_MAX + 8192u)

static void mac(struct ml_slice bytes, const uint8_t *secret, uint8_t out[EVP_MAX_MD_SIZE])
{
    unsigned len = 0;

    ML_ASSERT(HMAC(EVP_sha256(), secret, ML_BUS_SECRET_BYTES, bytes.ptr, bytes.len, out, &len) &&
              len >= ML_BUS_MAC_BYTES);
}

void ml_news_encode(const struct ml_news *news, const uint8_t *secret, struct ml_writer *out)
{
    static const uint8_t no_mac[ML_BUS_MAC_BYTES];
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t begin = out->len;

    ml_write_bytes(out, ml_slice_make(no_mac, sizeof no_mac));
    ml_write_u8(out, FORMAT);
    ml_write_u8(out, (uint8_t)news->kind);
    for (unsigned shift = 0; shift < 64; shift += 8)
        ml_write_u8(out, (uint8_t)(news->node >> shift));
    ml_write_varuint(out, news->epoch);
    ml_write_varuint(out, news->first);
    ml_write_varuint(out, news->last);
    ml_write_varbytes(out, news->org);
    ml_write_varbytes(out, news->name);
    ml_write_varbytes(out,
                      news->bytes.len <= ML_BUS_BYTES_MAX ? news->bytes : (struct ml_slice){0});
    if (out->err)
        return;
    mac(ml_slice_make(out->ptr + begin + ML_BUS_MAC_BYTES, out->len - begin - ML_BUS_MAC_BYTES),
        secret, digest);
    memcpy(out->ptr + begin, digest, ML_BUS_MAC_BYTES);
}

static enum ml_err read_fields(struct ml_reader *r, struct ml_news *out)
{
    uint8_t format, kind, byte;
    enum ml_err err = ml_read_u8(r, &format);

    if (!err && format != FORMAT)
        return ML_EFORMAT;
    if (!err)
        err = ml_read_u8(r, &kind);
    if (!err && (kind < ML_NEWS_RECORDS || kind > ML_NEWS_MESSAGE))
        return ML_EFORMAT;
    for (unsigned shift = 0; shift < 64 && !err; shift += 8) {
        err = ml_read_u8(r, &byte);
        out->node |= (uint64_t)byte << shift;
    }
    if (err)
        return err;
    out->kind = (enum ml_news_kind)kind;
    err = ml_read_varuint(r, &out->epoch);
    if (!err)
        err = ml_read_varuint(r, &out->first);
    if (!err)
        err = ml_read_varuint(r, &out->last);
    if (!err)
        err = ml_read_varbytes(r, &out->org);
    if (!err)
        err = ml_read_varbytes(r, &out->name);
    if (!err)
        err = ml_read_varbytes(r, &out->bytes);
    if (!err && (ml_reader_left(r) || out->first > out->last))
        err = ML_EFORMAT;
    return err;
}

enum ml_err ml_news_decode(struct ml_slice frame, const uint8_t *secret, struct ml_news *out)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct ml_slice signed_part;
    struct ml_reader r;

    *out = (struct ml_news){0};
    if (frame.len < ML_BUS_MAC_BYTES || frame.len > FRAME_MAX)
        return ML_EFORMAT;
    signed_part = ml_slice_make(frame.ptr + ML_BUS_MAC_BYTES, frame.len - ML_BUS_MAC_BYTES);
    mac(signed_part, secret, digest);
    if (CRYPTO_memcmp(digest, frame.ptr, ML_BUS_MAC_BYTES) != 0)
        return ML_EDENIED;
    r = ml_reader_make(signed_part);
    return read_fields(&r, out);
}

void ml_bus_topic(struct ml_slice org, struct ml_slice name, const uint8_t *secret, char *out)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct ml_writer w;

    ml_writer_init(&w, 1u << 20);
    ml_write_varbytes(&w, org);
    ml_write_bytes(&w, name);
    ML_ASSERT(!w.err);
    mac(ml_writer_slice(&w), secret, digest);
    ml_writer_release(&w);
    memcpy(out, "ml:", 3);
    for (unsigned i = 0; i < 16; i++) {
        out[3 + 2 * i] = hex[digest[i] >> 4];
        out[4 + 2 * i] = hex[digest[i] & 15];
    }
    out[35] = '\0';
}
