/* SPDX-License-Identifier: MIT */
/*
 * What nodes tell each other. First byte: 0 the rest is a frame as it came, which nobody of us
 * made; else the rest is what stands behind a right MAC, so that the reader behind it is reached.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"
#include "bus/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t secret[ML_BUS_SECRET_BYTES] = "what all of the nodes here share";

static bool inside(struct ml_slice part, struct ml_slice whole)
{
    return !part.len || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

/* What is taken is said again in other words of the same meaning. */
static void check_news(const struct ml_news *news, struct ml_slice frame)
{
    struct ml_news again;
    struct ml_writer out;
    char topic[ML_BUS_TOPIC_BYTES];

    ML_ASSERT(inside(news->org, frame) && inside(news->name, frame) && inside(news->bytes, frame));
    ml_bus_topic(news->org, news->name, secret, topic);
    ML_ASSERT(strlen(topic) < sizeof topic);
    ml_writer_init(&out, 1u << 20);
    ml_news_encode(news, secret, &out);
    ML_ASSERT(ml_news_decode(ml_writer_slice(&out), secret, &again) == ML_OK);
    ML_ASSERT(again.kind == news->kind && again.node == news->node && again.epoch == news->epoch);
    ML_ASSERT(again.first == news->first && again.last == news->last);
    ML_ASSERT(ml_slice_equal(again.org, news->org) && ml_slice_equal(again.name, news->name));
    ML_ASSERT(ml_slice_equal(again.bytes, news->bytes));
    ml_writer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t frame[4096], mac[32];
    struct ml_news news;
    unsigned len = 0;
    enum ml_err err;

    if (size < 1 || size > sizeof(frame) - ML_BUS_MAC_BYTES)
        return 0;
    if (data[0] == 0) {
        err = ml_news_decode(ml_slice_make(data + 1, size - 1), secret, &news);
        ML_ASSERT(err == ML_EDENIED || err == ML_EFORMAT);
        return 0;
    }
    memcpy(frame + ML_BUS_MAC_BYTES, data + 1, size - 1);
    HMAC(EVP_sha256(), secret, sizeof secret, data + 1, size - 1, mac, &len);
    memcpy(frame, mac, ML_BUS_MAC_BYTES);
    err = ml_news_decode(ml_slice_make(frame, ML_BUS_MAC_BYTES + size - 1), secret, &news);
    ML_ASSERT(!err || err == ML_EFORMAT);
    if (!err)
        check_news(&news, ml_slice_make(frame, ML_BUS_MAC_BYTES + size - 1));
    return 0;
}
