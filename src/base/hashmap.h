/* SPDX-License-Identifier: MIT */
/*
 * Bytes → pointer. Open addressing, linear probing, deletion by shifting back, so there are no
 * tombstones. The keys are borrowed: they stand in the value (a name inside its object) and live at
 * least as long as the entry. The hash is keyed with process-wide random bytes (SipHash-1-3), since
 * the names come from clients.
 */
#ifndef ML_BASE_HASHMAP_H
#define ML_BASE_HASHMAP_H

#include "base/slice.h"

struct ml_hashmap_entry {
    struct ml_slice key;
    uint64_t hash;
    void *value; /* NULL: free slot */
};

struct ml_hashmap {
    /* private */
    struct ml_hashmap_entry *slots;
    size_t cap; /* a power of two, or 0 */
    size_t count;
};

/** Allocates nothing yet. */
void ml_hashmap_init(struct ml_hashmap *map);
void ml_hashmap_release(struct ml_hashmap *map);

/** NULL if it is not there. */
void *ml_hashmap_get(const struct ml_hashmap *map, struct ml_slice key);
/** Insert or replace. `value` is not NULL. False: out of memory, nothing changed. */
bool ml_hashmap_put(struct ml_hashmap *map, struct ml_slice key, void *value);
/** Answers the value that was there, or NULL. */
void *ml_hashmap_remove(struct ml_hashmap *map, struct ml_slice key);

/**
 * Walk: start with *cursor = 0; false at the end. The map must not change meanwhile.
 * The order means nothing.
 */
bool ml_hashmap_next(const struct ml_hashmap *map, size_t *cursor, void **value_out);

/** SipHash-1-3 under the process's key. Thread-safe after the first call. */
uint64_t ml_hash_bytes(struct ml_slice bytes);

#endif
