/* SPDX-License-Identifier: MIT */
/* Between http.c, which moves bytes, and routes.c, which decides what is answered. */
#ifndef ML_NET_HTTP_H
#define ML_NET_HTTP_H

#include "net/body.h"
#include "net/head.h"
#include "net/live.h"

/* Scheme, the longest name, a port. */
#define ML_ORIGIN_MAX 280

enum ml_http_state { ML_HTTP_HEAD, ML_HTTP_BODY, ML_HTTP_WAITING, ML_HTTP_SENDING, ML_HTTP_LINGER };

struct ml_http {
    struct ml_net *net;
    struct ml_list node;
    uv_poll_t poll;
    uv_poll_cb on_poll;
    int fd;     /* -1: given away or closed */
    int events; /* that are watched */
    enum ml_http_state state;
    struct ml_address *address; /* NULL: not counted */
    char peer[ML_ADDRESS_TEXT]; /* the other end of the connection */
    char ip[ML_ADDRESS_TEXT];   /* whose request it is (peer.h) */
    struct ml_writer in, out;
    struct ml_slice body; /* of the answer: borrowed from an asset, or of `own` */
    struct ml_writer own; /* a body that was made for this answer */
    size_t out_sent, body_sent, drained;
    uint64_t deadline_ms;
    bool is_placed;                        /* another loop sent the request here */
    bool is_first;                         /* no request was read yet: counted as a handshake */
    bool keeps_alive;                      /* after this answer */
    bool is_head;                          /* method HEAD: no body */
    void (*on_gone)(struct ml_http *http); /* for who waits for an answer; NULL: nobody */
    void *waiter;
    bool minds_leaving;         /* who waits wants to hear at once that the client has gone */
    bool is_cors;               /* the answer depends on who asks (cors.h) */
    char origin[ML_ORIGIN_MAX]; /* that may read the answer; "": no other */
    bool is_routing;            /* inside ml_route, or on_body: who answers there need not resume */
    /* state BODY */
    struct ml_body reader;
    struct ml_writer taken; /* so far, of the request's body */
    uint64_t body_since_ms;
    void (*on_body)(struct ml_http *http);
};

/* Fields, as whole lines. */
#define ML_HTTP_NO_STORE "Cache-Control: no-store\r\n"
#define ML_HTTP_DATA_POLICY                                                                        \
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
#define ML_HTTP_JSON  "application/json"
#define ML_HTTP_PLAIN "text/plain; charset=utf-8"
#define ML_HTTP_HTML  "text/html; charset=utf-8"
/* Largest body that is made for one answer; larger ones are given with their memory. */
#define ML_HTTP_BODY_MAX (2u << 20)
/* Of the bodies of all requests that are being read or worked on. */
#define ML_HTTP_BODY_POOL (256u << 20)

/**
 * An answer up to its blank line. What follows in `out`, or http->body, has to have `len` bytes.
 * @param type    NULL: none
 * @param fields  whole lines, or ""
 */
void ml_http_begin(struct ml_http *http, unsigned status, const char *type, const char *fields,
                   size_t len);
/** A whole answer; `body` is copied. */
void ml_http_answer(struct ml_http *http, unsigned status, const char *type, const char *fields,
                    struct ml_slice body);
/** A whole answer; the memory of `body` is taken over, and it is as after init. */
void ml_http_answer_own(struct ml_http *http, unsigned status, const char *type, const char *fields,
                        struct ml_writer *body);
/** Contract 5: { "error": { "code", "message", "incident" } }, and what belongs to the status. */
void ml_http_answer_error(struct ml_http *http, unsigned status, const char *code,
                          const char *message);
/** The same in somebody else's words. */
void ml_http_answer_denial(struct ml_http *http, unsigned status, struct ml_slice code,
                           struct ml_slice message, const char *fields);
/** At most 511 bytes. */
void ml_http_print(struct ml_writer *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Text (UTF-8) as a JSON string. */
void ml_json_write_text(struct ml_writer *out, struct ml_slice text);

/** The answer will come later, or the connection goes and `on_gone` is called; so it is after 30 s
 * without an answer, and the client gets a 503. */
void ml_http_wait(struct ml_http *http, void *waiter, void (*on_gone)(struct ml_http *http));
/** Once it waits: for so long from now, and no longer. */
void ml_http_wait_at_most(struct ml_http *http, uint64_t wait_ms);
/** After an answer that was waited for. */
void ml_http_resume(struct ml_http *http);
/** What was waited for is only what a request needs to be looked at: between these two it is as if
 * the request had just come. */
void ml_http_route_again(struct ml_http *http);
void ml_http_routed(struct ml_http *http);

/**
 * Read the body that this head announces, then call `on_body` (http->taken has it; it answers or
 * waits). On the way the connection may go (`on_gone`), or be answered 400, 408, 413 or 503 (then
 * `on_gone` is called too: nobody waits any more). The head is not needed after this.
 */
void ml_http_take_body(struct ml_http *http, const struct ml_head *head, size_t max_bytes,
                       void *waiter, void (*on_body)(struct ml_http *http),
                       void (*on_gone)(struct ml_http *http));

/** The descriptor leaves, not watched by anybody; the address count is the taker's too. */
int ml_http_give_away(struct ml_http *http);
/** And now the rest may go: the head is not needed any more. */
void ml_http_given_away(struct ml_http *http);

/* ---- move.c ---------------------------------------------------------------------------------- */

/** True: the connection has gone to the loop of the document that is asked for. */
bool ml_http_move(struct ml_http *http, const struct ml_head *head);

/* ---- routes.c -------------------------------------------------------------------------------- */

/** Answers, waits, or gives the connection away. */
void ml_route(struct ml_http *http, const struct ml_head *head);

#endif
