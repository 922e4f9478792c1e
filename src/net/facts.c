/* SPDX-License-Identifier: MIT */
#include "net/facts.h"

#include "base/assert.h"
#include "base/hashmap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char key[ML_FACT_KEY]; /* all zero: free */
    struct ml_known known;
};

struct ml_facts {
    pthread_mutex_t mutex;
    struct entry places[ML_FACTS_MAX]; /* under the mutex */
};

struct ml_facts *ml_facts_new(void)
{
    struct ml_facts *facts = calloc(1, sizeof *facts);

    if (facts)
        ML_ASSERT(pthread_mutex_init(&facts->mutex, NULL) == 0);
    return facts;
}

void ml_facts_free(struct ml_facts *facts)
{
    if (!facts)
        return;
    ML_ASSERT(pthread_mutex_destroy(&facts->mutex) == 0);
    free(facts);
}

static struct entry *place_of(struct ml_facts *facts, const char key[ML_FACT_KEY])
{
    return &facts->places[ml_hash_bytes(ml_slice_make(key, ML_FACT_KEY)) % ML_FACTS_MAX];
}

static bool is_of(const struct entry *entry, const char key[ML_FACT_KEY])
{
    return memcmp(entry->key, key, ML_FACT_KEY) == 0;
}

bool ml_facts_recall(struct ml_facts *facts, const char key[ML_FACT_KEY], struct ml_known *out)
{
    const struct entry *entry;
    bool is_known;

    *out = (struct ml_known){0};
    if (!facts)
        return false;
    entry = place_of(facts, key);
    ML_ASSERT(pthread_mutex_lock(&facts->mutex) == 0);
    is_known = is_of(entry, key);
    if (is_known)
        *out = entry->known;
    ML_ASSERT(pthread_mutex_unlock(&facts->mutex) == 0);
    return is_known;
}

void ml_facts_keep(struct ml_facts *facts, const char key[ML_FACT_KEY],
                   const struct ml_known *known)
{
    struct entry *entry;

    if (!facts)
        return;
    entry = place_of(facts, key);
    ML_ASSERT(pthread_mutex_lock(&facts->mutex) == 0);
    if (!is_of(entry, key) || entry->known.age <= known->age) {
        memcpy(entry->key, key, ML_FACT_KEY);
        entry->known = *known;
    }
    ML_ASSERT(pthread_mutex_unlock(&facts->mutex) == 0);
}
