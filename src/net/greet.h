/* SPDX-License-Identifier: MIT */
/* Plugins hear of connections: connected once it is known who it is, disconnected when it ends.
 * Private to net. */
#ifndef ML_NET_GREET_H
#define ML_NET_GREET_H

#include "net/session.h"

/** Of a session that nobody has been told of yet; a second time does nothing. Costs one test if
 * nobody listens. */
void ml_greet(struct ml_session *session, struct ml_slice org, struct ml_slice ip,
              const struct ml_identity *identity);
/** It ends; whoever heard of it hears of that. */
void ml_greet_end(struct ml_session *session);

#endif
