/* SPDX-License-Identifier: MIT */
/*
 * What the store last said about people, orgs and shares (standing.c), for all loops of a node. A
 * table of fixed size: what falls on an occupied place takes it over. Private to net.
 */
#ifndef ML_NET_FACTS_H
#define ML_NET_FACTS_H

#include "net/shares.h"

#include <stdbool.h>
#include <stdint.h>

#define ML_FACTS_MAX 16384u
#define ML_FACT_KEY  32 /* digits */

struct ml_fact {
    bool is_there, is_suspended;
    uint8_t role;               /* ml_role */
    char nonce[ML_SHARE_NONCE]; /* of a link */
    int64_t at_ms, expires_ms;
};

/** A fact, and when its read began. */
struct ml_known {
    uint64_t age;     /* ml_standing_age */
    uint64_t read_ms; /* ml_net_now: loops have one clock */
    struct ml_fact fact;
};

struct ml_facts;
/** NULL: no memory. */
struct ml_facts *ml_facts_new(void);
void ml_facts_free(struct ml_facts *facts);
/** From any thread; facts NULL: nothing is known. */
bool ml_facts_recall(struct ml_facts *facts, const char key[ML_FACT_KEY], struct ml_known *out);
/** From any thread; what is known from a later read stays. */
void ml_facts_keep(struct ml_facts *facts, const char key[ML_FACT_KEY],
                   const struct ml_known *known);

#endif
