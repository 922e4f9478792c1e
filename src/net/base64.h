/* SPDX-License-Identifier: MIT */
/* base64url (RFC 4648, 5), as addresses and JSON carry bytes. Pure. */
#ifndef ML_NET_BASE64_H
#define ML_NET_BASE64_H

#include "base/arena.h"

/** With or without padding. False: something else stands there, or no memory. */
bool ml_base64url_decode(struct ml_slice text, struct ml_arena *arena, struct ml_slice *out);

#endif
