/* SPDX-License-Identifier: MIT */
/*
 * How shares stand in the store: org ORG, instance "-", space "share", one value for each person or
 * link that a document is shared with. Private to net.
 *
 *   key     32 digits of a hash of the document's name, "-", "u" or "l", "-", id of user or link
 *   value   {"role", "expires"?, "by", "at", "name"?, "nonce"?}, times in ms
 */
#ifndef ML_NET_SHARES_H
#define ML_NET_SHARES_H

#include "auth/auth.h"

enum ml_share_kind { ML_SHARE_USER, ML_SHARE_LINK };

#define ML_SHARE_PREFIX  32u /* of a key: the document */
#define ML_SHARE_KEY_MAX (ML_SHARE_PREFIX + 3u + ML_TOKEN_SUBJECT_MAX)
#define ML_LINK_ID_MAX   64u

/** False: no such id can have a share. */
bool ml_share_key(struct ml_slice document, enum ml_share_kind kind, struct ml_slice id,
                  char out[ML_SHARE_KEY_MAX + 1]);
/** What all keys of a document begin with. */
void ml_share_prefix(struct ml_slice document, char out[ML_SHARE_PREFIX + 2]);
/** Of a key: what it is about. False: it is none. */
bool ml_share_read_key(struct ml_slice key, enum ml_share_kind *kind_out, struct ml_slice *id_out);

#define ML_SHARE_NONCE   16u /* digits */
#define ML_SHARE_SESSION (5u + 2u * (ML_SHARE_NONCE + 1u) + ML_LINK_ID_MAX)
/** Hex digits. False: no random numbers. */
bool ml_share_draw_nonce(char out[ML_SHARE_NONCE + 1]);
/** What a guest's access token says as its session: `link.NONCE.RANDOM.ID`. */
void ml_share_session(struct ml_slice nonce, const char *random, struct ml_slice id,
                      char out[ML_SHARE_SESSION + 1]);
/** The id and nonce of the link; empty: it is no guest's session. */
struct ml_slice ml_share_link_of(struct ml_slice session, struct ml_slice *nonce_out);
/** `[A-Za-z0-9_-]{1,64}` */
bool ml_link_id_is_valid(struct ml_slice id);

#endif
