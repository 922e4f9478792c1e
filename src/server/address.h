/* SPDX-License-Identifier: MIT */
/* Which addresses are somebody's private ones. */
#ifndef ML_SERVER_ADDRESS_H
#define ML_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/** Anybody may be asked to connect to it: neither private nor local nor special. */
bool ml_address_is_public(const struct sockaddr *address);
/** Does it lie in one of these ranges ("10.0.0.0/8", "fd00::/8")? */
bool ml_address_is_in(const struct sockaddr *address, const char *const *ranges, size_t count);

#endif
