/* SPDX-License-Identifier: MIT */
/*
 * Whose rights have changed lately, for all loops of a node: what was looked up before that is not
 * true any more (standing.c). The last ML_DOUBTS_MAX changes are kept, as hashes; who asks about a
 * time before them is told that anything may have changed. Private to net.
 */
#ifndef ML_NET_DOUBTS_H
#define ML_NET_DOUBTS_H

#include "net/revoke.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define ML_DOUBTS_MAX 1024u

struct ml_doubts {
    pthread_mutex_t mutex;
    _Atomic uint64_t count; /* of all so far: the age of what is looked up now */
    struct ml_doubt {
        uint64_t org, user, document; /* 0: any */
    } last[ML_DOUBTS_MAX];            /* a ring, under the mutex */
};

void ml_doubts_init(struct ml_doubts *doubts);
void ml_doubts_release(struct ml_doubts *doubts);
/** From any thread. */
void ml_doubts_add(struct ml_doubts *doubts, const struct ml_who *who);
/**
 * Has anything changed since `age` that may touch `who`: this user of this org, and what they have
 * to do with this document (empty: none)? From any thread. Cost: the changes since then.
 */
bool ml_doubts_since(struct ml_doubts *doubts, uint64_t age, const struct ml_who *who);

#endif
