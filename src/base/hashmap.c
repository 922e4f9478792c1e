/* SPDX-License-Identifier: MIT */
#include "base/hashmap.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
    if (getrandom(hash_key, sizeof hash_key, 0) != sizeof hash_key) {
        /* No entropy source: a weaker key is better than no server. */
        hash_key[0] = (uint64_t)time(NULL);
        hash_key[1] = (uint64_t)(uintptr_t)&hash_key_once;
    }
}

static uint64_t rotl(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t ml_hash_bytes(struct ml_slice bytes)
{
    uint64_t v[4], last = (uint64_t)bytes.len << 56;
    size_t i = 0;

    pthread_once(&hash_key_once, make_hash_key);
    v[0] = hash_key[0] ^ 0x736f6d6570736575ull;
    v[1] = hash_key[1] ^ 0x646f72616e646f6dull;
    v[2] = hash_key[0] ^ 0x6c7967656e657261ull;
    v[3] = hash_key[1] ^ 0x7465646279746573ull;
    for (; i + 8 <= bytes.len; i += 8) {
        uint64_t word;

        memcpy(&word, bytes.ptr + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t k = 0; i + k < bytes.len; k++)
        last |= (uint64_t)bytes.ptr[i + k] << (8 * k);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void ml_hashmap_init(struct ml_hashmap *map)
{
    *map = (struct ml_hashmap){0};
}

void ml_hashmap_release(struct ml_hashmap *map)
{
    free(map->slots);
    ml_hashmap_init(map);
}

/* The slot of the key, or the free slot where it would go. The table is never full. */
static size_t find(const struct ml_hashmap *map, struct ml_slice key, uint64_t hash)
{
    size_t i = hash & (map->cap - 1);

    while (map->slots[i].value &&
           !(map->slots[i].hash == hash && ml_slice_equal(map->slots[i].key, key)))
        i = (i + 1) & (map->cap - 1);
    return i;
}

void *ml_hashmap_get(const struct ml_hashmap *map, struct ml_slice key)
{
    if (!map->count)
        return NULL;
    return map->slots[find(map, key, ml_hash_bytes(key))].value;
}

static bool resize(struct ml_hashmap *map, size_t cap)
{
    struct ml_hashmap bigger = {.cap = cap, .count = map->count};

    bigger.slots = calloc(cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < map->cap; i++)
        if (map->slots[i].value)
            bigger.slots[find(&bigger, map->slots[i].key, map->slots[i].hash)] = map->slots[i];
    free(map->slots);
    *map = bigger;
    return true;
}

bool ml_hashmap_put(struct ml_hashmap *map, struct ml_slice key, void *value)
{
    uint64_t hash = ml_hash_bytes(key);
    size_t i;

    if ((map->count + 1) * 4 > map->cap * 3 && !resize(map, map->cap ? map->cap * 2 : 8))
        return false;
    i = find(map, key, hash);
    if (!map->slots[i].value)
        map->count++;
    map->slots[i] = (struct ml_hashmap_entry){key, hash, value};
    return true;
}

void *ml_hashmap_remove(struct ml_hashmap *map, struct ml_slice key)
{
    size_t hole, i, mask = map->cap - 1;
    void *value;

    if (!map->count)
        return NULL;
    hole = find(map, key, ml_hash_bytes(key));
    value = map->slots[hole].value;
    if (!value)
        return NULL;
    /* Shift back whoever was pushed past the hole. */
    for (i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
        size_t home = map->slots[i].hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole].value = NULL;
    map->count--;
    return value;
}

bool ml_hashmap_next(const struct ml_hashmap *map, size_t *cursor, void **value_out)
{
    for (; *cursor < map->cap; ++*cursor)
        if (map->slots[*cursor].value) {
            *value_out = map->slots[(*cursor)++].value;
            return true;
        }
    return false;
}
