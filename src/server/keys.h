/* SPDX-License-Identifier: MIT */
/* The server's own signing keys: in the store, sealed, the same for all nodes. Private to server/.
 */
#ifndef ML_SERVER_KEYS_H
#define ML_SERVER_KEYS_H

#include "auth/auth.h"
#include "journal/journal.h"
#include "server/seal.h"

/** What stands in a space of the core's, and whether it was answered. */
struct ml_core_read {
    struct ml_store_read read;
    bool is_answered;
};
struct ml_core_write {
    struct ml_store_write write;
    bool is_answered;
};
/** Turn `loop` until the store has answered. Org, space, key or items and so on are set; time and
 * done are not; a write without an instance is the core's. Release read or write afterwards. */
enum ml_err ml_core_look(struct ml_journal *journal, uv_loop_t *loop, struct ml_core_read *ask,
                         struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_core_commit(struct ml_journal *journal, uv_loop_t *loop, struct ml_core_write *ask,
                           struct ml_diag *diag) ML_MUST_CHECK;

/** The keys, made if there are none. Turns `loop`; for start-up and commands. */
enum ml_err ml_keys_get(struct ml_journal *journal, uv_loop_t *loop,
                        const uint8_t seal_key[ML_SEAL_KEY_BYTES], struct ml_own_keys **keys_out,
                        struct ml_diag *diag) ML_MUST_CHECK;
/**
 * A new one beside the newest.
 * @param force  also if tokens of the key that goes may still be about
 * @retval ML_EBUSY  they may
 */
enum ml_err ml_keys_rotate(struct ml_journal *journal, uv_loop_t *loop,
                           const uint8_t seal_key[ML_SEAL_KEY_BYTES], bool force,
                           struct ml_diag *diag) ML_MUST_CHECK;

/** The keys of a running server: read again every ten seconds, for all loops. */
struct ml_keys;

/** Takes `keys` over. `journal` belongs to `loop`. NULL: no memory. */
struct ml_keys *ml_keys_new(struct ml_journal *journal, uv_loop_t *loop,
                            const uint8_t seal_key[ML_SEAL_KEY_BYTES], struct ml_own_keys *keys);
/** From any thread; good for as long as the ml_keys. As ml_net_env.own_keys. */
const struct ml_own_keys *ml_keys_now(void *keys);
/** Look no more; before the journal closes. */
void ml_keys_stop(struct ml_keys *keys);
/** When the loop has run out. NULL is fine. */
void ml_keys_free(struct ml_keys *keys);

#endif
