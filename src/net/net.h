/* SPDX-License-Identifier: MIT */
/*
 * Connections become sessions: the listener, the HTTP head, WebSocket frames in, bounded outboxes
 * out. libwebsockets on the loop's libuv; no LWS name leaves this folder.
 */
#ifndef ML_NET_NET_H
#define ML_NET_NET_H

#include "base/ip_range.h"
#include "room/room.h"

#include <uv.h>

struct ml_net;
struct ml_hub; /* what the loops of a process share (hub.c) */

/** One file of the web application, made at build time. */
struct ml_asset {
    const char *path; /* "/assets/index-abc123.js"; "/index.html" is the page itself */
    const char *type; /* content type */
    const uint8_t *bytes;
    size_t len;
    const uint8_t *gzip; /* NULL: none */
    size_t gzip_len;
    bool immutable; /* hashed name: cache for a year */
};

/** The table that scripts/embed-www makes (library ml_assets). */
extern const struct ml_asset ml_assets[];
extern const size_t ml_asset_count;

struct ml_net_limits {
    size_t message_bytes; /* 4 MiB */
    size_t reply_bytes;   /* 64 MiB: a Step2 of somebody who may write */
    size_t
        message_pool_bytes;   /* 256 MiB: what all messages in the making have over message_bytes */
    size_t sync_pool_bytes;   /* 512 MiB: answers to Step1 that wait in all outboxes; one that many
                                 wait for counts once */
    size_t outbox_soft_bytes; /* 1 MiB: presence is dropped, updates are merged */
    size_t outbox_hard_bytes; /* 4 MiB: 1013 */
    uint32_t outbox_ms;       /* 30 000: a socket that takes nothing for so long: 1013 */
    uint32_t sessions;        /* from the descriptor limit */
    uint32_t head_ms;         /* 10 000: request head */
    uint32_t auth_ms;         /* 20 000: from the request to a seat */
    size_t held_bytes;        /* 1 MiB: what a socket may have waiting before that */
    uint32_t held_messages;   /* 1 000: likewise */
    uint32_t held_documents;  /* 100: likewise, where one socket has many */
    size_t held_pool_bytes;   /* 64 MiB: likewise, all sockets together */
    uint32_t documents;       /* 1 000 on one socket */
    uint32_t ping_ms, dead_ms;    /* 20 000, 45 000 */
    uint32_t keepalive_ms;        /* 20 000: an application frame on a silent connection */
    uint32_t fragments;           /* 1 024 per message */
    uint32_t presence_per_second; /* 20 */
    uint32_t controls_per_second; /* 20 pongs that nobody asked for */
    uint32_t updates_per_second, updates_burst; /* 120, 600; in open mode only if they are given */
    size_t update_bytes_per_second, update_bytes_burst; /* 512 KiB, 4 MiB; likewise */
    uint32_t handshakes;         /* 256: connections whose request is not read yet */
    uint32_t accepts_per_second; /* 500, not counting loopback */
    uint32_t address_handshakes,
        address_sessions;     /* 64, 4 096 per address; not loopback, not open */
    uint32_t count_loopback;  /* 1: the three above hold for everybody, whatever the mode */
    uint32_t questions;       /* 1 024 of a loop that wait for plugins */
    uint32_t password_checks; /* 16 of a loop at once: 19 MiB and a thread each */
};

/* What an operator asks of the running plugins. Empty texts: all. */
enum ml_operator_what { ML_OPERATOR_RELOAD, ML_OPERATOR_LIST, ML_OPERATOR_TRACE, ML_OPERATOR_WHY };
struct ml_operator_ask {
    enum ml_operator_what what;
    bool is_dry, is_shadow, is_rollback, is_forced;
    char org[64], document[513];
    char plugin[513]; /* RELOAD: names with commas between them; TRACE: one instance */
    /* TRACE */
    char hook[64], verdict[16];
    uint64_t after_us;
    bool watches; /* from now on every call is noted */
    /* WHY */
    char user[257], roles[513], action[64]; /* roles: with commas between them */
};

/** Answers for plugins; server/plugins.c. On loop 0 only. */
struct ml_net_operator {
    /** A ticket; 0: busy with another. */
    uint64_t (*ask)(void *arg, const struct ml_operator_ask *what);
    /** Is it done? *json_out is borrowed until the next question. */
    bool (*answered)(void *arg, uint64_t ticket, struct ml_slice *json_out, bool *failed_out);
    void *arg;
};

struct ml_own_keys;

/** One request to somewhere else; server/fetch.c. Slices are borrowed until it is released. */
struct ml_net_fetch {
    struct ml_slice url;  /* NUL-terminated */
    struct ml_slice form; /* sent with POST; empty: GET */
    uint64_t timeout_ms;
    size_t max_bytes; /* of the answer */
    void (*done)(struct ml_net_fetch *fetch);
    /* result, until it is released */
    enum ml_err err;
    unsigned status;
    struct ml_slice body;
    void *job; /* of the client */
};

/** The guarded way out: public addresses, and what the operator listed. On its own loop. */
struct ml_net_client {
    /** `done` comes later, unless this fails. */
    enum ml_err (*begin)(void *arg, struct ml_net_fetch *fetch);
    void (*release)(void *arg, struct ml_net_fetch *fetch); /* after `done` */
    void *arg;
};

/** Somebody whose word is taken for who people are: OpenID Connect. */
struct ml_oidc_provider {
    const char *name, *issuer, *client_id;
    const char *client_secret; /* NULL: none */
    const char *scopes;        /* "openid profile" */
    const char *org;           /* of the accounts */
    const char *role;          /* of new accounts; NULL: only who is there may come in */
    unsigned algs;             /* ML_ALG_BIT */
    bool links_mail;           /* a verified address of mail is the name of an account */
};

struct ml_net_env {
    uv_loop_t *loop;
    struct ml_rooms *rooms;
    struct ml_cells *cells;     /* the plugins of every org; NULL: see `script` */
    struct ml_script *script;   /* one for all orgs, for specs; NULL: no plugins */
    struct ml_journal *journal; /* lists of documents */
    bool open_mode;             /* everybody is an editor of org "default" */
    const struct ml_asset *assets;
    size_t asset_count;
    const char *const *origins; /* allowed Origin values beside our own; may be NULL */
    size_t origin_count;
    const struct ml_ip_range *proxies; /* whose X-Forwarded-For counts (peer.h); may be NULL */
    size_t proxy_count;
    struct ml_net_limits limits;     /* zero fields: defaults */
    struct ml_hub *hub;              /* NULL: one loop, alone */
    struct ml_net_operator operator; /* .ask NULL: nobody answers */
    unsigned loop_number;            /* which of the hub's; 0 is the one that listens */
    bool is_shared;                  /* other nodes may stand over the same store */
    const char *public_url;          /* as clients see this server; NULL: not said */
    /* The server's own keys as they are now, good until control is back in the loop; NULL: none. */
    const struct ml_own_keys *(*own_keys)(void *arg);
    void *own_keys_arg;
    bool has_accounts;                        /* people sign in with a password; cookies count */
    const struct ml_oidc_provider *providers; /* with accounts: where they may sign in, too */
    size_t provider_count;
    struct ml_net_client client; /* .begin NULL: no way out */
    struct ml_role_rights role_rights;
};

/* ---- Several loops: one hub, made before the first thread runs ------------------------------- */

/** NULL: out of memory. */
struct ml_hub *ml_hub_new(unsigned loops);
/** Every loop has been detached. */
void ml_hub_free(struct ml_hub *hub);
/** Parcels for loop `loop` are opened on `uv`, with these rooms. Before its thread runs. */
enum ml_err ml_hub_attach(struct ml_hub *hub, unsigned loop, uv_loop_t *uv,
                          struct ml_rooms *rooms) ML_MUST_CHECK;
/** On that loop, when its rooms and net are gone. What still comes is told that nobody is there. */
void ml_hub_detach(struct ml_hub *hub, unsigned loop);
/** As ml_room_env.post: `arg` is the hub. From any thread. */
void ml_hub_post(void *arg, unsigned loop, struct ml_list *parcels);

/**
 * Listen on `host`:`port` (port 0: any). The descriptor limit has to stand at its final value.
 * Loops other than 0 do not listen: they are handed connections.
 * @param port_out  the port that was taken
 */
enum ml_err ml_net_open(const struct ml_net_env *env, const char *host, uint16_t port,
                        struct ml_diag *diag, struct ml_net **net_out,
                        uint16_t *port_out) ML_MUST_CHECK;
/** Stop accepting, /readyz says no; sessions stay. Then ml_rooms_drain closes them through their
 * ports. */
void ml_net_stop_accepting(struct ml_net *net);
/** Sessions still connected. */
size_t ml_net_session_count(const struct ml_net *net);
/**
 * Close what is left and free everything; `done` on the loop. Rooms and journal have to live until
 * then. Takes up to 2 s, if sessions do not answer.
 */
void ml_net_close(struct ml_net *net, void (*done)(void *arg), void *arg);
/** Call when /readyz should say no (journal held, draining), on every loop. */
void ml_net_set_ready(struct ml_net *net, bool ready);

/** The bus of this loop works, or does not; clients are told. Before the first call it does. */
void ml_net_bus_changed(struct ml_net *net, bool is_healthy);

/**
 * From now on, for what is yet to come: sessions keep the sizes of their outboxes. Zero fields:
 * defaults. Origins and proxies are borrowed.
 */
void ml_net_reconfigure(struct ml_net *net, const struct ml_net_limits *limits,
                        const char *const *origins, size_t origin_count,
                        const struct ml_ip_range *proxies, size_t proxy_count);

struct ml_net_stats {
    uint64_t accepted, refused, requests; /* connections taken, turned away; HTTP requests */
    uint64_t sessions, messages_in, frames_out, writes, bytes_out;
    uint64_t presence_dropped, updates_merged, closed_slow;
    uint64_t answers[6]; /* HTTP, by the first digit of their status */
    uint64_t closed[32]; /* sessions that the server ended, by ml_close */
};
void ml_net_stats(const struct ml_net *net, struct ml_net_stats *out);

/** What a loop counts, for the others to read: about once a second, from its own thread. */
void ml_hub_publish(struct ml_hub *hub, unsigned loop, const struct ml_rooms_stats *rooms,
                    const struct ml_net_stats *net);
/** The sums of all loops, as they were published last. From any thread. */
void ml_hub_sum(struct ml_hub *hub, struct ml_rooms_stats *rooms_out, struct ml_net_stats *net_out);

#include "net/plugin_docs.h"
#include "net/revoke.h"

#endif
