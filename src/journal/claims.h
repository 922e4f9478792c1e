/* SPDX-License-Identifier: MIT */
/*
 * Claims on their way from a store to who loads the document.
 *
 *   each   client (varuint), 1, user (varbytes)   or   client, 0: the user of the one before
 *
 * A store gives them sorted by user, so that a user's name stands there once. Private to journal/.
 */
#ifndef ML_JOURNAL_CLAIMS_H
#define ML_JOURNAL_CLAIMS_H

#include "journal/journal.h"

#define ML_CLAIMS_MAX_BYTES (64u << 20)

struct ml_claims_writer {
    struct ml_writer out;
    size_t user_at, user_len; /* of the last one, in `out` */
    bool has_any;
};

void ml_claims_begin(struct ml_claims_writer *w);
void ml_claims_put(struct ml_claims_writer *w, uint64_t client, struct ml_slice user);
/** What was put is the load's; NULL if it was nothing. Releases the writer. */
enum ml_err ml_claims_end(struct ml_claims_writer *w, struct ml_load *load) ML_MUST_CHECK;

#endif
