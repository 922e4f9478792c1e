/* SPDX-License-Identifier: MIT */
/* The writer of the security log, as rooms.c holds it. Private to room/. */
#ifndef ML_ROOM_AUDITOR_H
#define ML_ROOM_AUDITOR_H

#include <stdbool.h>

#include "room/audit.h"

struct ml_auditor;

/** False: it cannot be read. */
bool ml_audit_read_head(struct ml_slice head, uint64_t *number_out, char hash[ML_AUDIT_HASH + 1]);

/** NULL is idle. */
bool ml_auditor_is_idle(const struct ml_auditor *auditor);
/** What waits is dropped. Idle, or `by_force`: the process dies here. */
void ml_auditor_free(struct ml_auditor *auditor, bool by_force);

#endif
