/* SPDX-License-Identifier: MIT */
/*
 * The web application, from a table made at build time: no request path ever reaches the file
 * system (SEC-STATIC-01). Pure.
 */
#ifndef ML_NET_ASSETS_H
#define ML_NET_ASSETS_H

#include "base/codec.h"
#include "base/hashmap.h"
#include "net/net.h"

#define ML_NONCE_PLACE "__ML_NONCE__" /* in index.html */
#define ML_NONCE_CHARS 24             /* 128 bits, base64 */

struct ml_asset_entry {
    const struct ml_asset *asset;
    char etag[24]; /* quoted; of the plain bytes */
};

struct ml_assets {
    struct ml_hashmap map; /* path → entry */
    struct ml_asset_entry *entries;
    size_t count;
    const struct ml_asset *page; /* index.html; NULL: none */
};

/** `table` is borrowed. False: out of memory. */
bool ml_assets_init(struct ml_assets *assets, const struct ml_asset *table, size_t count);
void ml_assets_release(struct ml_assets *assets);

/** By the path as it came, byte for byte: nothing is decoded or normalised. NULL: none. */
const struct ml_asset_entry *ml_assets_find(const struct ml_assets *assets, struct ml_slice path);

/** A fresh nonce. */
void ml_nonce_make(char out[ML_NONCE_CHARS + 1]);
/** The page with the nonce in its places. */
void ml_page_write(struct ml_slice page, struct ml_slice nonce, struct ml_writer *out);

#endif
