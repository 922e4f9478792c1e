/* SPDX-License-Identifier: MIT */
/* Whose the client ids of a document are. Private to room/; claims.c says what it is about. */
#ifndef ML_ROOM_CLAIMS_H
#define ML_ROOM_CLAIMS_H

#include "base/hashmap.h"
#include "room/room.h"

struct ml_claimant; /* a user; its name stands once in a document */

struct ml_claimed {
    uint64_t client;
    const struct ml_claimant *who; /* NULL: a free slot */
};

/* Client id --> user. A quarter of the slots stay free, half of them do after growing. */
struct ml_owners {
    struct ml_claimed *slots;
    size_t cap, count; /* cap: a power of two, or 0 */
    struct ml_hashmap users;
    size_t user_bytes;
};

/* Nothing but zero bytes is an empty one. */
void ml_owners_release(struct ml_owners *claims);
/** Whose it is. False: nobody's, as far as is known. Borrowed until it is put again. */
bool ml_owners_find(const struct ml_owners *claims, uint64_t client, struct ml_slice *user_out);
/** From now on it is this user's, whoever had it. False: out of memory, nothing changed. */
bool ml_owners_put(struct ml_owners *claims, uint64_t client, struct ml_slice user);
/** It is not known any more whose it is. */
void ml_owners_forget(struct ml_owners *claims, uint64_t client);
size_t ml_owners_memory_bytes(const struct ml_owners *claims);

/** What the update that is being taken claims, until it is staged. */
struct ml_claiming {
    uint64_t *ids; /* own; NULL: none */
    size_t count;
    uint64_t own;    /* the document's own id before it went in */
    bool is_relayed; /* it has something of other people */
};

/** A question to the journal. */
struct ml_claim_question;

#endif
