/* SPDX-License-Identifier: MIT */
/* Accounts in the store, for commands. Each answers 0, or says what is wrong. Private to server/.
 */
#ifndef ML_SERVER_CMD_USER_STORE_H
#define ML_SERVER_CMD_USER_STORE_H

#include "server/cmd_admin.h"

#include <cjson/cJSON.h>

#define ML_USER_PLACES 200 /* orgs of one user */

/** The caller's to free. NULL: there is none, or *status says that it could not be read. */
cJSON *ml_user_load(struct ml_admin *o, struct ml_slice org, const char *space, const char *key,
                    uint64_t *rev_out, int *status);
/** Only if it is as it was read. */
int ml_user_store(struct ml_admin *o, struct ml_slice org, const char *space, const char *key,
                  const cJSON *value, uint64_t rev);
int ml_user_drop(struct ml_admin *o, struct ml_slice org, const char *space, struct ml_slice key,
                 bool *was_there);
/** Every session of this account. */
int ml_user_end_sessions(struct ml_admin *o, const char *user);
/** SEC-AZ-09: is somebody else an owner there? */
int ml_user_keeps_owner(struct ml_admin *o, struct ml_slice org, const char *user);
/** In which orgs somebody is a member, kept beside the members. */
int ml_user_note_place(struct ml_admin *o, struct ml_slice org, const char *user);
int ml_user_forget_place(struct ml_admin *o, struct ml_slice org, const char *user);
/** The names are the caller's to free, whatever the answer. */
int ml_user_places(struct ml_admin *o, const char *user, char *orgs_out[ML_USER_PLACES],
                   size_t *count_out);
/** No token from before this moment counts, and while suspended none at all; nodes are told. */
int ml_user_end_tokens(struct ml_admin *o, const char *user, bool is_suspended);
/** Nodes that run over this store ask again what this user may. */
int ml_user_tell(struct ml_admin *o, const char *user);

#endif
