/* SPDX-License-Identifier: MIT */
/* Orders for sessions, between the nodes over one store. Private to net. */
#ifndef ML_NET_REVOKED_H
#define ML_NET_REVOKED_H

#include "net/live.h"
#include "net/revoke.h"

struct ml_order {
    enum ml_order_kind kind;
    struct ml_who who;
    struct ml_slice text;
    int64_t at_ms; /* wall clock */
};

/** To all loops of this node. revoke.c */
enum ml_err ml_order_loops(struct ml_net *net, const struct ml_order *order) ML_MUST_CHECK;

/** For the other nodes, if there can be any. */
enum ml_err ml_revoked_write(struct ml_net *net, const struct ml_order *order) ML_MUST_CHECK;

/** Who looks what other nodes have written; NULL: nobody has to, or no memory (*err_out). */
struct ml_revoked *ml_revoked_open(struct ml_net *net, enum ml_err *err_out);
void ml_revoked_tick(struct ml_revoked *revoked);
/** NULL is fine. It frees itself when the journal has answered. */
void ml_revoked_close(struct ml_revoked *revoked);

#endif
