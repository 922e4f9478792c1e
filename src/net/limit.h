/* SPDX-License-Identifier: MIT */
/*
 * The limits that plugins set (hooks `limits` and `over_limit`), enforced. Below the server's own
 * (docs/limits.md), which hold in any case: whoever is within one may still be over the other.
 * Private to net.
 *
 *   identity known --> limits(who), once per identity and loop --> kept, asked again after news
 *   message        --> tokens of its session, user, address or org --> passes, waits, is refused,
 *                                                                      ends the connection
 */
#ifndef ML_NET_LIMIT_H
#define ML_NET_LIMIT_H

#include "net/counts.h"
#include "net/live.h"

struct ml_limited; /* what plugins said about one identity */
struct ml_asker;

/* What one session uses. Begins as zeroes. */
struct ml_use {
    struct ml_list node; /* limited->users */
    struct ml_limited *limited;
    struct ml_session *session;
    struct ml_count *in_org, *in_user;
    struct ml_tokens tokens[ML_RATES]; /* per session */
    bool is_begun;                     /* its answer has come */
    bool has_waited;                   /* the message in front has met a limit */
    uint32_t met;                      /* messages in a row that have */
    char ip[ML_ADDRESS_TEXT];
};

/** What a loop keeps; NULL is fine. Nobody uses it any more. */
struct ml_limitings;
void ml_limitings_close(struct ml_limitings *all);

/** It is known who that is; again with what it is by now. May end the session. Costs a test if
 * nobody has the hook. */
void ml_limit_begin(struct ml_session *session, struct ml_slice org, struct ml_slice ip,
                    const struct ml_identity *identity);
void ml_limit_end(struct ml_session *session);

enum ml_passing {
    ML_PASSES,
    ML_HAS_TO_WAIT, /* reading stops until then (session->slow_until_ms) */
    ML_IS_REFUSED,  /* *denial_out says why */
    ML_IS_TOO_BIG,
    ML_IS_OVER, /* the session ends */
};
/** One message of `bytes` bytes. Asked again about one that had to wait. */
enum ml_passing ml_limit_update(struct ml_session *session, size_t bytes,
                                struct ml_denial *denial_out);
enum ml_passing ml_limit_message(struct ml_session *session, struct ml_denial *denial_out);
/** A second of rest for who cannot be answered now. */
void ml_limit_wait(struct ml_session *session);
/** Never waits: what is too much of presence is kept back, the newest of it. */
bool ml_limit_presence(struct ml_session *session);

/**
 * A request (or with ML_RATE_RPC what it calls) of somebody who is known. HTTP does not wait: it is
 * told when to come back.
 * @return 0, or after how many milliseconds; *denial_out says why
 */
uint64_t ml_limit_request(struct ml_net *net, enum ml_rate rate, struct ml_slice org,
                          const char *ip, const struct ml_identity *identity,
                          struct ml_denial *denial_out);

#endif
