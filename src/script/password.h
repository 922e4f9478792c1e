/* SPDX-License-Identifier: MIT */
/*
 * Passwords as Argon2id (RFC 9106): 19 MiB, two passes, one lane; about a tenth of a second of one
 * core, so never on a loop: these two are for a worker thread. They know no Lua.
 */
#ifndef ML_SCRIPT_PASSWORD_H
#define ML_SCRIPT_PASSWORD_H

#include "base/err.h"
#include "base/slice.h"

#define ML_PASSWORD_MAX_BYTES 1024
#define ML_PASSWORD_HASH_MAX  128 /* with its NUL */

/**
 * `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, NUL-terminated, into `out[ML_PASSWORD_HASH_MAX]`.
 * @retval ML_EFORMAT  empty
 * @retval ML_ELIMIT   over ML_PASSWORD_MAX_BYTES, or no memory
 */
enum ml_err ml_password_hash(struct ml_slice password, char *out) ML_MUST_CHECK;

/**
 * Does `password` belong to `hash`? False also for an empty password, an empty or broken hash, one
 * of another kind, and one that asks for more than 256 MiB, ten passes or four lanes. Constant time
 * in the password, not in the hash's own cost: for an unknown user check against a hash made
 * before.
 */
bool ml_password_check(struct ml_slice password, struct ml_slice hash);

#endif
