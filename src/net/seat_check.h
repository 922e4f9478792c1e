/* SPDX-License-Identifier: MIT */
/* Rights of a seat that is taken: asked for again, and what becomes of it. Private to net. */
#ifndef ML_NET_SEAT_CHECK_H
#define ML_NET_SEAT_CHECK_H

#include "net/ask.h"
#include "net/session.h"

/**
 * Keep what a token of ours said, for the next time that is asked. Once the seat has joined (or
 * begun to). If rights have changed since they were asked for, they are in doubt.
 * @param asker  as was asked; NULL: nobody was
 */
enum ml_err ml_seat_keep_asker(struct ml_seat *seat, const struct ml_asker *asker) ML_MUST_CHECK;
/** Its rights are in doubt: before anything more of it is looked at they are asked for again. Safe
 * inside a port's function. */
void ml_seat_doubt(struct ml_seat *seat);
/** Rights in doubt, or a new credential that is looked at: what comes behind it waits. */
bool ml_seat_is_uncertain(const struct ml_seat *seat);
/** Before the loop sleeps: the rights of a seat in doubt. */
void ml_seat_settle(struct ml_seat *seat);
/** About once a second: rights that end soon are asked for again. */
void ml_seat_visit(struct ml_seat *seat, uint64_t now);
/** A new credential, to be asked about by itself. The answer: ml_seat_take_answer. */
void ml_seat_renew(struct ml_seat *seat, struct ml_slice path, struct ml_slice token);
/**
 * What came of asking again: the seat stays with these rights, its client is told if it may write
 * now or not any more; or it is lost.
 * @param identity  of a new credential; NULL: the one that it has
 */
void ml_seat_take_answer(struct ml_seat *seat, enum ml_err err, const struct ml_asker *asker,
                         const struct ml_identity *identity, const struct ml_refusal *refusal);
/** Nobody waits for an answer any more. */
void ml_seat_end_check(struct ml_seat *seat);

#endif
