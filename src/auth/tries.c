/* SPDX-License-Identifier: MIT */
/*
 * A fixed table: a try is put at the place that the hash of its account or address says, and takes
 * it over when what stood there is over. Two that share a place count together, which is strict and
 * never lax; the places are chosen by a keyed hash, so nobody can aim at another's.
 */
#include "auth/account.h"

#include "base/hashmap.h"

#include <stdlib.h>

#define PLACES 16384u

struct place {
    uint64_t since_ms;
    uint32_t count;
};

struct ml_tries {
    struct place accounts[PLACES], addresses[PLACES];
};

struct ml_tries *ml_tries_new(void)
{
    return calloc(1, sizeof(struct ml_tries));
}

void ml_tries_free(struct ml_tries *tries)
{
    free(tries);
}

static struct place *place_of(struct place *places, struct ml_slice key)
{
    return &places[ml_hash_bytes(key) % PLACES];
}

/* 0: there is one left. */
static uint64_t wait_of(struct place *place, uint32_t most, uint64_t now_ms)
{
    if (now_ms - place->since_ms >= ML_TRIES_WINDOW_MS)
        *place = (struct place){.since_ms = now_ms};
    return place->count < most ? 0 : place->since_ms + ML_TRIES_WINDOW_MS - now_ms;
}

uint64_t ml_tries_take(struct ml_tries *tries, struct ml_slice account, struct ml_slice address,
                       uint64_t now_ms)
{
    struct place *of_account = place_of(tries->accounts, account);
    struct place *of_address = place_of(tries->addresses, address);
    uint64_t one = wait_of(of_account, ML_TRIES_PER_ACCOUNT, now_ms);
    uint64_t other = wait_of(of_address, ML_TRIES_PER_ADDRESS, now_ms);

    if (one || other)
        return one > other ? one : other;
    of_account->count++;
    of_address->count++;
    return 0;
}

void ml_tries_right(struct ml_tries *tries, struct ml_slice account, struct ml_slice address)
{
    struct place *of_address = place_of(tries->addresses, address);

    place_of(tries->accounts, account)->count = 0;
    if (of_address->count)
        of_address->count--;
}
