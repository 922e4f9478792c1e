/* SPDX-License-Identifier: MIT */
/* What caches have to forget, brought to the plugins that tell them. Private to net. */
#ifndef ML_NET_PURGE_H
#define ML_NET_PURGE_H

#include "net/live.h"

/** On loop 0. False: out of memory. */
bool ml_purger_open(struct ml_net *net);
/** What is under way ends by itself, and is asked again after the next start. NULL is fine. */
void ml_purger_close(struct ml_purger *purger);
void ml_purger_tick(struct ml_purger *purger);
/** From any loop: there may be something new. */
void ml_purger_wake(struct ml_net *net);

#endif
