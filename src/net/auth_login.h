/* SPDX-License-Identifier: MIT */
/* Signing in with a password, staying signed in, signing out. Private to net. */
#ifndef ML_NET_AUTH_LOGIN_H
#define ML_NET_AUTH_LOGIN_H

#include "net/api.h"

/* Rows of api_table.c (docs/identity.md). */
void ml_auth_login(struct ml_call *call);
void ml_auth_refresh(struct ml_call *call);
void ml_auth_logout(struct ml_call *call);
void ml_auth_setup(struct ml_call *call);
void ml_auth_logout_everywhere(struct ml_call *call);
void ml_auth_password(struct ml_call *call);
void ml_auth_jwks(struct ml_call *call);
void ml_auth_ticket(struct ml_call *call);
void ml_auth_invite(struct ml_call *call);
void ml_auth_guest(struct ml_call *call);

/** The value of a cookie; empty: it is not there. */
struct ml_slice ml_auth_cookie(struct ml_slice cookies, const char *name);
/** Names depend on whether browsers reach us over TLS. */
const char *ml_auth_access_cookie(const struct ml_net *net);
const char *ml_auth_refresh_cookie(const struct ml_net *net);
/** What X-ML-CSRF has to say in this session. */
void ml_auth_csrf(const struct ml_own_keys *keys, struct ml_slice session, char out[65]);

#endif
