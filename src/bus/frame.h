/* SPDX-License-Identifier: MIT */
/*
 * News as bytes. Private to bus/.
 *
 *   offset  bytes
 *        0  16      HMAC-SHA-256 of the rest under the secret that the nodes share, its first half
 *       16  1       1, the format
 *       17  1       kind
 *       18  8       node, little-endian
 *       26  varuint epoch, first, last
 *           varbytes org, name, bytes
 */
#ifndef ML_BUS_FRAME_H
#define ML_BUS_FRAME_H

#include "base/codec.h"
#include "bus/bus.h"

#define ML_BUS_MAC_BYTES   16
#define ML_BUS_TOPIC_BYTES 40 /* "ml:" and 32 hex digits, NUL */

/** Append a frame. */
void ml_news_encode(const struct ml_news *news, const uint8_t *secret, struct ml_writer *out);
/**
 * Borrowed from `frame`.
 * @retval ML_EDENIED  not made by one of us
 * @retval ML_EFORMAT  of another version, or malformed
 */
enum ml_err ml_news_decode(struct ml_slice frame, const uint8_t *secret,
                           struct ml_news *out) ML_MUST_CHECK;
/** The channel of a document: names stay out of it, and so does their length. */
void ml_bus_topic(struct ml_slice org, struct ml_slice name, const uint8_t *secret, char *out);

#endif
