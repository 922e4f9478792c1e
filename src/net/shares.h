/* SPDX-License-Identifier: MIT */
/*
 * How shares stand in the store: org ORG, instance "-", space "share", one value for each person or
 * link that a document is shared with. Private to net.
 *
 *   key     32 digits of a hash of the document's name, "-", "u" or "l", "-", user or id of the
 * link value   {"doc", "role", "expires"?, "by", "at", "name"?}
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

/**
 * A guest's session is `link.RANDOM.ID`, 16 random digits: the id of the link; empty: it is no
 * guest's.
 */
struct ml_slice ml_share_link_of(struct ml_slice session);
/** `[A-Za-z0-9_-]{1,64}` */
bool ml_link_id_is_valid(struct ml_slice id);

#endif
