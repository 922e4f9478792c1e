/* SPDX-License-Identifier: MIT */
/*
 * Who asks, and what may they do: the questions to the plugins, without the words in which a "no"
 * is answered (an HTTP status, a frame). Private to net.
 */
#ifndef ML_NET_ASK_H
#define ML_NET_ASK_H

#include "auth/auth.h"
#include "net/head.h"
#include "net/live.h"

/** Where a right comes from. */
enum ml_from {
    ML_FROM_NOTHING,
    ML_FROM_ORG,
    ML_FROM_SHARE,
    ML_FROM_LINK,
    ML_FROM_POLICY,
    ML_FROM_OPEN
};

/** Somebody who asks. Slices borrow from head and arena. */
struct ml_asker {
    struct ml_identity identity;
    struct ml_script_identity facts;
    struct ml_grant grant;
    bool is_known;    /* somebody knows the credential; false: a guest, or nobody */
    bool is_own;      /* it is a token of ours: then what it says */
    bool is_imagined; /* is_own, but there is no token: what may this user? */
    struct ml_own_token own;
    /* standing.c, with is_own: */
    enum ml_role role; /* the higher of org and share, for the document that was asked about */
    enum ml_from from;
    int64_t until_ms; /* wall clock: a share ends then; 0: never */
    uint64_t age;     /* ml_standing_age when it was asked */
};

/** A "no" that a plugin put into words; empty slices: it has none. */
struct ml_refusal {
    bool is_spoken;
    unsigned status; /* 400 … 599; 0: none given */
    struct ml_slice code, reason;
};

/** What the client brings. */
struct ml_request_source {
    struct ml_slice org;        /* whose plugins are asked; empty: none is known */
    const struct ml_head *head; /* not looked at unless ml_ask_needs_head */
    struct ml_slice ip;
    struct ml_slice token; /* of the protocol; empty: what the request has (bearer, query) */
    bool is_websocket;     /* a guest of open mode then is a person of its own, with a cursor */
};

/**
 * One question: who is it, and (with an action) what may they? Plugins may have to wait for the
 * answer (a key from a database, a provider far away). Part of whoever asks.
 */
struct ml_ask {
    /* question; what it borrows has to live until it is over */
    struct ml_net *net;
    struct ml_arena *arena;           /* what the answer borrows from */
    struct ml_asker *asker;           /* the answer goes there */
    struct ml_request_source source;  /* with is_identified only the org */
    struct ml_slice action, document; /* action empty: only who it is; document empty: the org */
    bool is_identified;               /* *asker is known from before */
    bool is_resolved;                 /* the org is, and the hook `upgrade` has been asked */
    bool is_anonymous;                /* who it is comes later: nobody is asked */
    bool is_upgrade;                  /* a connection is wanted: `upgrade` is asked */
    bool is_veto;                     /* only a denial counts; the grant stays as it was */
    void (*done)(struct ml_ask *ask); /* on the loop, with no Lua below; may free the ask */
    /* answer */
    enum ml_err err; /* see ml_ask_start */
    struct ml_refusal refusal;
    /* private */
    struct ml_access *access;  /* NULL: no plugin is waited for */
    struct standing *standing; /* NULL: the store is not waited for */
    struct ml_list node;       /* net->asked: answered, and `done` has not run yet */
    struct ml_script_request request;
    struct ml_script_ask question;
    unsigned step;
    bool is_counted, has_request;
};

/**
 * Plugins decide; where none has an opinion, open mode makes everybody an editor of org "default".
 * A question that nobody has to wait for is over when this returns.
 *
 * What err says then, or when `done` runs:
 *   ML_OK         *asker says who, and what they may
 *   ML_EDENIED    no: `refusal` says why, if a plugin did
 *   ML_ENOTFOUND  nobody has an opinion: it is as if it were not there (SEC-AZ-03)
 *   ML_EFORMAT    the query of the address cannot be read
 *   ML_ESCRIPT    a plugin failed, or too many wait already: try again
 *
 * @retval false  it waits, and `done` will run, unless it is dropped
 */
bool ml_ask_start(struct ml_ask *ask) ML_MUST_CHECK;
/** Whatever its state: `done` will not run. */
void ml_ask_drop(struct ml_ask *ask);
/** Once per turn of the loop, before it sleeps: those that were answered meanwhile. */
void ml_ask_flush(struct ml_net *net);

/** The facts of a request, for Lua. Slices borrow from source and arena. False: the query of the
 * address cannot be read. */
bool ml_ask_request(const struct ml_request_source *source, struct ml_arena *arena,
                    struct ml_script_request *out);
/** Where the hooks of this org and document (empty: any) run; NULL: nobody has anything to say. Ask
 * each time: it is good until control is back in the loop. */
struct ml_script *ml_net_script(const struct ml_net *net, struct ml_slice org,
                                struct ml_slice document);
/** Is the head of the request of any use to plugins? */
bool ml_ask_needs_head(const struct ml_net *net);
/** May plugins have to wait? Then what a question borrows has to last. */
bool ml_ask_may_wait(const struct ml_net *net);

#endif
