/* SPDX-License-Identifier: MIT */
/* The key under which plugins seal what nobody else shall read (ml.crypto.seal). Private to
 * server/. */
#ifndef ML_SERVER_SEAL_H
#define ML_SERVER_SEAL_H

#include "base/err.h"
#include "base/slice.h"

#define ML_SEAL_KEY_BYTES 32

/**
 * MOONLOOM_SEAL_KEY (64 hex digits; the same on every node), otherwise the file seal.key in
 * `data_dir`, made at the first start, readable by its owner only. A server that keeps nothing
 * (`is_memory`) draws one for its life.
 * @retval ML_EFORMAT  the variable or the file is not 64 hex digits
 * @retval ML_EIO      the file cannot be read or made
 */
enum ml_err ml_seal_key_load(const char *data_dir, bool is_memory,
                             uint8_t key_out[ML_SEAL_KEY_BYTES],
                             struct ml_diag *diag) ML_MUST_CHECK;

#endif
