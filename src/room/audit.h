/* SPDX-License-Identifier: MIT */
/*
 * The security log: who did what to what, from where, when, and what came of it (SEC-AU-01). Never
 * content, never a token. Included by room.h.
 *
 * Each org has a trail of its own in the journal's store: events numbered from 1 without a gap,
 * each with the hash of the one before it. Nothing here changes or removes an event; it expires.
 */
#ifndef ML_ROOM_AUDIT_H
#define ML_ROOM_AUDIT_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define ML_AUDIT_KEEP_DAYS 400
#define ML_AUDIT_TEXT_MAX  1024 /* bytes of one field; what is longer is cut */
#define ML_AUDIT_DATA_MAX  4096 /* of `data`; what is longer is left out */

/*
 * Kinds, a dotted noun and what happened to it: docs/audit.md lists them.
 */
struct ml_audit_event {
    const char *kind;        /* lower case letters, '_' and '.'; a literal */
    struct ml_slice org;     /* empty: "default" */
    struct ml_slice actor;   /* user id; empty: the server */
    struct ml_slice ip;      /* empty: not over the network, or not to be kept */
    struct ml_slice subject; /* a document, a user, a plugin: what was acted on; may be empty */
    const char *result;      /* "ok", "denied", "failed"; NULL: "ok" */
    struct ml_slice data;    /* a JSON object with the rest; or empty */
};

struct ml_rooms;

/**
 * Write it down, soon. Copies everything; never waits, never fails: what there is no room for
 * (1024 events wait, 256 of one org) is counted, and the count is an event ("audit.lost"). Events
 * of one loop stay in their order. On the loop of `rooms`.
 */
void ml_audit(struct ml_rooms *rooms, const struct ml_audit_event *event);
/**
 * The same for what happens often ("limit.reached"): at most one a minute for each kind, org,
 * actor and subject.
 */
void ml_audit_sampled(struct ml_rooms *rooms, const struct ml_audit_event *event);

/* ---- Reading: where the trail stands in the store ---------------------------------------------
 */

/** Space of the store; instance "". The key of event n is ML_AUDIT_PREFIX and 16 hex digits. */
#define ML_AUDIT_SPACE  "audit"
#define ML_AUDIT_PREFIX "e/"
#define ML_AUDIT_HEAD   "head" /* {"n":12,"hash":"<64 hex digits>"} of the newest event */
#define ML_AUDIT_KEY    18     /* bytes of an event's key */
#define ML_AUDIT_HASH   64

void ml_audit_key(uint64_t number, char out[ML_AUDIT_KEY + 1]);
/** Hash of one event's text. */
void ml_audit_hash(struct ml_slice text, char out[ML_AUDIT_HASH + 1]);

/** Walks along a trail from its oldest event on. Zeroed to begin with. */
struct ml_audit_check {
    uint64_t first, last; /* numbers; 0: none yet */
    char hash[ML_AUDIT_HASH + 1];
    char why[96]; /* of a failure */
};
/** The next event: its key and its text. False: `why`. */
bool ml_audit_check_event(struct ml_audit_check *check, struct ml_slice key, struct ml_slice text);
/** After the last: does the head agree? An empty `head`: there is none. */
bool ml_audit_check_head(struct ml_audit_check *check, struct ml_slice head);

#endif
