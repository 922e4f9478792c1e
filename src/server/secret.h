/* SPDX-License-Identifier: MIT */
/* Secrets that all nodes over one store share: whoever comes first makes them. */
#ifndef ML_SERVER_SECRET_H
#define ML_SERVER_SECRET_H

#include "journal/journal.h"

#define ML_SECRET_BYTES 32

/**
 * The secret of that name, made if there is none. Turns `loop` until the store has answered; for
 * start-up.
 */
enum ml_err ml_secret_get(struct ml_journal *journal, uv_loop_t *loop, const char *name,
                          uint8_t secret_out[ML_SECRET_BYTES], struct ml_diag *diag) ML_MUST_CHECK;

#endif
