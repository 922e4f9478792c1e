/* SPDX-License-Identifier: MIT */
/*
 * Access of people who are connected changes: their sessions, on every loop and every node, are
 * asked about again, or ended. Whoever takes a right away (accounts, the API, a plugin) first makes
 * that true where rights are looked up, and then calls one of these. Any loop may.
 *
 *   ml_recheck   `authorize` is asked again for what they have open. They stay with the rights that
 *                come out: fewer, more, or none, and then they go. Nothing that their clients sent
 *                and the room has not taken yet is looked at before that.
 *   ml_kick      they go now. Their clients may come back, if they are still let in.
 *
 * Part of net.h. On this node both act before the loops turn twice. Other nodes over the same store
 * hear of it there: every node looks every ML_REVOKE_LOOK_MS, with or without a bus (SEC-WS-06).
 */
#ifndef ML_NET_REVOKE_H
#define ML_NET_REVOKE_H

#include "base/codec.h"
#include "base/err.h"
#include "base/slice.h"

struct ml_net;

#define ML_REVOKE_LOOK_MS 3000 /* where nothing but commands can write there: half of it */

/** Whose sessions: all that fit everything that is given. Empty: any. */
struct ml_who {
    struct ml_slice org;      /* empty only with a user */
    struct ml_slice user;     /* id of an identity */
    struct ml_slice document; /* its name */
    struct ml_slice session;  /* id of a session, as `GET …/sessions` shows it */
};

/** Copies; `who` may be borrowed. @retval ML_ELIMIT  no memory: not everybody was told, try again
 */
enum ml_err ml_recheck(struct ml_net *net, const struct ml_who *who) ML_MUST_CHECK;
/** @param why  shown to people; at most 120 bytes of it. Empty: "removed". */
enum ml_err ml_kick(struct ml_net *net, const struct ml_who *who,
                    struct ml_slice why) ML_MUST_CHECK;

/* For a command beside a running server: the line in which nodes are told (ml_recheck). */
#define ML_REVOKE_ORG      ML_SLICE("default")
#define ML_REVOKE_INSTANCE ML_SLICE("~node")
#define ML_REVOKE_SPACE    ML_SLICE("sessions")
#define ML_REVOKE_KEEP_MS  120000
#define ML_REVOKE_KEY      32
/** False: no random numbers, or no memory. */
bool ml_recheck_line(const struct ml_who *who, struct ml_writer *value_out,
                     char key_out[ML_REVOKE_KEY]);

/* The same with an answer, for ml.sessions: what the loops of this node have done. */
enum ml_order_kind { ML_ORDER_LIST, ML_ORDER_RECHECK, ML_ORDER_KICK, ML_ORDER_TELL };
/**
 * @param text  kick: why; tell: the notice, JSON
 * @param done  on this loop, later; not at all if the loop ends before. `lines`: list: a JSON
 *              object for each, each ended by a line feed; borrowed
 * @retval ML_ELIMIT  no memory: `done` is not called
 */
enum ml_err ml_sessions_order(struct ml_net *net, enum ml_order_kind kind, const struct ml_who *who,
                              struct ml_slice text,
                              void (*done)(void *arg, uint64_t count, struct ml_slice lines),
                              void *arg) ML_MUST_CHECK;

#endif
