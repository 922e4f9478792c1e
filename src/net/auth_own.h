/* SPDX-License-Identifier: MIT */
/* Tokens of our own, where a client brings one. Private to net. */
#ifndef ML_NET_AUTH_OWN_H
#define ML_NET_AUTH_OWN_H

#include "net/ask.h"

/**
 * Is what the client brings one of our tokens? Then who it is stands in `asker`, and what it says
 * in asker->own.
 * @retval ML_ENOTFOUND  it brings none, or somebody else's: others are asked
 * @retval ML_EDENIED    it is ours and not good any more, see *refusal_out
 */
enum ml_err ml_own_identify(struct ml_net *net, const struct ml_request_source *source,
                            struct ml_arena *arena, struct ml_asker *asker,
                            struct ml_refusal *refusal_out) ML_MUST_CHECK;
/** JSON as one encoded Any (fields.h), in the arena; .ptr NULL: it is none. */
struct ml_slice ml_auth_json(struct ml_arena *arena, struct ml_slice json);
/** From now on this is its only role; ML_ROLE_NONE: it has none. */
void ml_own_set_role(struct ml_arena *arena, struct ml_asker *asker, enum ml_role role);

#endif
