/* SPDX-License-Identifier: MIT */
/* Signing in at a provider of identities. Private to net. */
#ifndef ML_NET_AUTH_OIDC_H
#define ML_NET_AUTH_OIDC_H

#include "net/api.h"

/* Rows of api_table.c (docs/identity.md). */
void ml_auth_oidc(struct ml_call *call);
void ml_auth_oidc_callback(struct ml_call *call);

/** May a browser be sent there after signing in? A path of this server, and nothing that a browser
 * takes for another one. */
bool ml_oidc_is_local_path(struct ml_slice path);
/** What is remembered of providers. */
void ml_oidc_free(struct ml_net *net);

#endif
