/* SPDX-License-Identifier: MIT */
/*
 * A ring of the last changes: number n stands at n % ML_DOUBTS_MAX. Two names with one hash make it
 * strict, never lax.
 */
#include "net/doubts.h"

#include "base/assert.h"
#include "base/hashmap.h"

static void lock(struct ml_doubts *doubts)
{
    ML_ASSERT(pthread_mutex_lock(&doubts->mutex) == 0);
}

static void unlock(struct ml_doubts *doubts)
{
    ML_ASSERT(pthread_mutex_unlock(&doubts->mutex) == 0);
}

void ml_doubts_init(struct ml_doubts *doubts)
{
    ML_ASSERT(pthread_mutex_init(&doubts->mutex, NULL) == 0);
    doubts->count = 0;
}

void ml_doubts_release(struct ml_doubts *doubts)
{
    ML_ASSERT(pthread_mutex_destroy(&doubts->mutex) == 0);
}

/* 0 is kept for "any". */
static uint64_t hash_of(struct ml_slice name)
{
    uint64_t hash = name.len ? ml_hash_bytes(name) : 0;

    return name.len && !hash ? 1 : hash;
}

static struct ml_doubt doubt_of(const struct ml_who *who)
{
    return (struct ml_doubt){hash_of(who->org), hash_of(who->user), hash_of(who->document)};
}

void ml_doubts_add(struct ml_doubts *doubts, const struct ml_who *who)
{
    struct ml_doubt doubt = doubt_of(who);

    lock(doubts);
    doubts->last[(doubts->count + 1) % ML_DOUBTS_MAX] = doubt;
    doubts->count++;
    unlock(doubts);
}

/* A change of one document touches nobody's rights elsewhere. */
static bool touches(const struct ml_doubt *doubt, const struct ml_doubt *who)
{
    return (!doubt->org || doubt->org == who->org) && (!doubt->user || doubt->user == who->user) &&
           (!doubt->document || doubt->document == who->document);
}

bool ml_doubts_since(struct ml_doubts *doubts, uint64_t age, const struct ml_who *who)
{
    const struct ml_doubt asked = doubt_of(who);
    bool found;

    lock(doubts);
    found = doubts->count - age > ML_DOUBTS_MAX;
    for (uint64_t n = age + 1; !found && n <= doubts->count; n++)
        found = touches(&doubts->last[n % ML_DOUBTS_MAX], &asked);
    unlock(doubts);
    return found;
}
