/* SPDX-License-Identifier: MIT */
/* Whose client ids are, in memory. */
#include "journal/memory.h"

#include "journal/claims.h"

#include <stdlib.h>

struct memory_claim {
    uint64_t client;
    size_t user_len;
    uint8_t user[];
};

static struct ml_slice key_of(const uint64_t *client)
{
    return ml_slice_make((const uint8_t *)client, sizeof *client);
}

enum ml_err ml_memory_take_claim(struct memory_document *document, struct ml_claim *claim)
{
    struct memory_claim *kept = ml_hashmap_get(&document->claims, key_of(&claim->client));

    claim->is_taken =
        kept && (claim->only_look ||
                 !ml_slice_equal(ml_slice_make(kept->user, kept->user_len), claim->user));
    if (kept || claim->only_look)
        return ML_OK;
    kept = malloc(sizeof *kept + claim->user.len);
    if (!kept)
        return ML_ELIMIT;
    kept->client = claim->client;
    kept->user_len = claim->user.len;
    if (claim->user.len)
        memcpy(kept->user, claim->user.ptr, claim->user.len);
    if (ml_hashmap_put(&document->claims, key_of(&kept->client), kept))
        return ML_OK;
    free(kept);
    return ML_ELIMIT;
}

enum ml_err ml_memory_load_claims(const struct memory_document *document, struct ml_load *load)
{
    struct ml_claims_writer out;
    size_t cursor = 0, count = 0;
    void *value;

    ml_claims_begin(&out);
    while (count++ < ML_CLAIMS_MAX && ml_hashmap_next(&document->claims, &cursor, &value)) {
        const struct memory_claim *claim = value;

        ml_claims_put(&out, claim->client, ml_slice_make(claim->user, claim->user_len));
    }
    return ml_claims_end(&out, load);
}

void ml_memory_free_claims(struct memory_document *document)
{
    size_t cursor = 0;
    void *value;

    while (ml_hashmap_next(&document->claims, &cursor, &value))
        free(value);
    ml_hashmap_release(&document->claims);
}
