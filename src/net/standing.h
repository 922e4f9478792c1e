/* SPDX-License-Identifier: MIT */
/*
 * What the store says about somebody who shows a token of ours, whenever it is asked what they may:
 * is their session still one, what is their role in the org, what has been shared with them. A
 * token says what was true when it was given out; this says what is true now. Part of ask.h.
 *
 * Answers are kept for a moment on each loop. Whoever changes something calls ml_recheck or ml_kick
 * afterwards, as for people who are connected, and what was kept before that is not believed any
 * more. While the store is silent, what was known last counts, for as long as a token may live, but
 * not about whom or what something has changed since. Private to net.
 */
#ifndef ML_NET_STANDING_H
#define ML_NET_STANDING_H

#include "auth/auth.h"
#include "net/live.h"
#include "net/revoke.h"

struct ml_ask;
struct ml_asker;

/** What a loop keeps; made by the first who asks. NULL is fine to close. */
struct ml_standings;
void ml_standings_close(struct ml_standings *standings);

/**
 * The step of a question between who it is and what it may: asker->role and asker->from, or
 * ask->err. True: it is over; false: the store is asked, and the question goes on by itself.
 */
bool ml_standing_ask(struct ml_ask *ask);
/** The question is dropped. */
void ml_standing_drop(struct ml_ask *ask);
/** Once per tick: who has waited for the store too long goes on without it. */
void ml_standing_tick(struct ml_net *net);
/** Rights of these have changed: what a loop of this node has kept is read anew, and about them
 * nothing is believed before. From any thread. */
void ml_standing_doubt(struct ml_net *net, const struct ml_who *who);
/** Counts the calls of ml_standing_doubt. */
uint64_t ml_standing_age(const struct ml_net *net);

#endif
