/* SPDX-License-Identifier: MIT */
/*
 * A path is a key of a hash map, so `..`, escapes, doubled slashes and NUL are just names that
 * nobody has. The page is not served from the map's bytes as it is: a nonce goes into it, fresh for
 * every response.
 */
#include "net/assets.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* FNV-1a, because the tag has to be the same on every node and for ever. */
static uint64_t fnv1a(const uint8_t *bytes, size_t len)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3;
    return hash;
}

bool ml_assets_init(struct ml_assets *assets, const struct ml_asset *table, size_t count)
{
    *assets = (struct ml_assets){.count = count};
    ml_hashmap_init(&assets->map);
    assets->entries = calloc(count ? count : 1, sizeof *assets->entries);
    if (!assets->entries)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct ml_asset_entry *entry = &assets->entries[i];

        entry->asset = &table[i];
        (void)snprintf(entry->etag, sizeof entry->etag, "\"%016" PRIx64 "\"",
                       fnv1a(table[i].bytes, table[i].len));
        if (!ml_hashmap_put(&assets->map, ml_slice_str(table[i].path), entry)) {
            ml_assets_release(assets);
            return false;
        }
        if (strcmp(table[i].path, "/index.html") == 0)
            assets->page = &table[i];
    }
    return true;
}

void ml_assets_release(struct ml_assets *assets)
{
    ml_hashmap_release(&assets->map);
    free(assets->entries);
    *assets = (struct ml_assets){0};
}

const struct ml_asset_entry *ml_assets_find(const struct ml_assets *assets, struct ml_slice path)
{
    return assets->count ? ml_hashmap_get(&assets->map, path) : NULL;
}

void ml_nonce_make(char out[ML_NONCE_CHARS + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[18] = {0};

    ML_ASSERT(getrandom(bytes, 16, 0) == 16);
    for (size_t i = 0; i < sizeof bytes; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = digits[three >> 6 & 63];
        *out++ = digits[three & 63];
    }
    out[-1] = out[-2] = '='; /* 16 bytes: the last group has one */
    *out = '\0';
}

void ml_page_write(struct ml_slice page, struct ml_slice nonce, struct ml_writer *out)
{
    const struct ml_slice place = ML_SLICE(ML_NONCE_PLACE);

    while (page.len) {
        const uint8_t *at = memmem(page.ptr, page.len, place.ptr, place.len);
        size_t before = at ? (size_t)(at - page.ptr) : page.len;

        ml_write_bytes(out, ml_slice_make(page.ptr, before));
        page.ptr += before;
        page.len -= before;
        if (at) {
            ml_write_bytes(out, nonce);
            page.ptr += place.len;
            page.len -= place.len;
        }
    }
}
