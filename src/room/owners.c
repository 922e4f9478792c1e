/* SPDX-License-Identifier: MIT */
/*
 * Client id --> user, as a table of sixteen bytes a slot: at most 43 bytes for each id, and each
 * name once. Ids come from clients, so their hash is keyed.
 */
#include "room/claims.h"

#include <stdlib.h>

#define CAP_LEAST 8

struct ml_claimant {
    size_t len;
    uint8_t name[];
};

/* Of a slot whose user was forgotten: probing goes on behind it. */
static const struct ml_claimant forgotten;

static size_t place_of(const struct ml_owners *claims, uint64_t client)
{
    size_t at = (size_t)ml_hash_bytes(ml_slice_make(&client, sizeof client)) & (claims->cap - 1);

    while (claims->slots[at].who && claims->slots[at].client != client)
        at = (at + 1) & (claims->cap - 1);
    return at;
}

static struct ml_slice name_of(const struct ml_claimant *who)
{
    return ml_slice_make(who->name, who->len);
}

void ml_owners_release(struct ml_owners *claims)
{
    size_t cursor = 0;
    void *value;

    while (ml_hashmap_next(&claims->users, &cursor, &value))
        free(value);
    ml_hashmap_release(&claims->users);
    free(claims->slots);
    *claims = (struct ml_owners){0};
}

bool ml_owners_find(const struct ml_owners *claims, uint64_t client, struct ml_slice *user_out)
{
    const struct ml_claimant *who =
        claims->cap ? claims->slots[place_of(claims, client)].who : NULL;

    if (!who || who == &forgotten)
        return false;
    *user_out = name_of(who);
    return true;
}

static const struct ml_claimant *claimant(struct ml_owners *claims, struct ml_slice user)
{
    struct ml_claimant *who = ml_hashmap_get(&claims->users, user);

    if (who)
        return who;
    who = malloc(sizeof *who + user.len);
    if (!who)
        return NULL;
    who->len = user.len;
    if (user.len)
        memcpy(who->name, user.ptr, user.len);
    if (!ml_hashmap_put(&claims->users, name_of(who), who)) {
        free(who);
        return NULL;
    }
    claims->user_bytes += sizeof *who + user.len + 2 * sizeof(struct ml_hashmap_entry);
    return who;
}

static bool grow(struct ml_owners *claims)
{
    struct ml_owners bigger = *claims;

    bigger.cap = claims->cap ? 2 * claims->cap : CAP_LEAST;
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < claims->cap; i++)
        if (claims->slots[i].who)
            bigger.slots[place_of(&bigger, claims->slots[i].client)] = claims->slots[i];
    free(claims->slots);
    *claims = bigger;
    return true;
}

bool ml_owners_put(struct ml_owners *claims, uint64_t client, struct ml_slice user)
{
    const struct ml_claimant *who = claimant(claims, user);
    struct ml_claimed *slot;

    if (!who || (claims->count >= claims->cap - claims->cap / 4 && !grow(claims)))
        return false;
    slot = &claims->slots[place_of(claims, client)];
    claims->count += !slot->who;
    *slot = (struct ml_claimed){client, who};
    return true;
}

void ml_owners_forget(struct ml_owners *claims, uint64_t client)
{
    struct ml_claimed *slot = claims->cap ? &claims->slots[place_of(claims, client)] : NULL;

    if (slot && slot->who)
        slot->who = &forgotten;
}

size_t ml_owners_memory_bytes(const struct ml_owners *claims)
{
    return claims->cap * sizeof *claims->slots + claims->user_bytes;
}
