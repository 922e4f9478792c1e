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
 * On this node both act before the loops turn twice. Other nodes hear of it through the store:
 * every node looks there every REVOKE_LOOK_MS for the orgs that have sessions on it (SEC-WS-06: at
 * the latest after a minute, with or without a bus).
 */
#ifndef ML_NET_REVOKE_H
#define ML_NET_REVOKE_H

#include "net/net.h"

/** Whose sessions: all that fit everything that is given. Empty: any. */
struct ml_who {
    struct ml_slice org;      /* has to be given */
    struct ml_slice user;     /* id of an identity */
    struct ml_slice document; /* its name */
    struct ml_slice session;  /* id of a session, as `GET …/sessions` shows it */
};

/** Copies; `who` may be borrowed. @retval ML_ELIMIT  no memory: nobody was told, try again */
enum ml_err ml_recheck(struct ml_net *net, const struct ml_who *who) ML_MUST_CHECK;
/** @param why  shown to people; at most 120 bytes of it. Empty: "removed". */
enum ml_err ml_kick(struct ml_net *net, const struct ml_who *who,
                    struct ml_slice why) ML_MUST_CHECK;

#endif
