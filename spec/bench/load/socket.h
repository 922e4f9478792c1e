/* SPDX-License-Identifier: MIT */
/*
 * Thousands of WebSocket clients on one epoll, on loopback, with nothing of the server's own code
 * in between.
 *
 *          sockets_connect         first bytes         101 seen
 * (none) -----------------> CONNECTING ----> UPGRADING -------> OPEN ---> CLOSED (on_close was
 * called)
 *
 * One thread. Callbacks may send and close, never connect the same socket again.
 */
#ifndef LOAD_SOCKET_H
#define LOAD_SOCKET_H

#include <netinet/in.h>

#include "base/slice.h"

enum socket_state { SOCKET_NONE, SOCKET_CONNECTING, SOCKET_UPGRADING, SOCKET_OPEN, SOCKET_CLOSED };

/** Embedded by its owner; zeroed before the first connect. */
struct socket {
    int fd;
    enum socket_state state;
    uint32_t events;     /* what epoll was told */
    uint16_t close_code; /* of the server's close frame, 0: none came */
    uint8_t *in, *out;   /* owned */
    size_t in_len, in_cap, out_len, out_cap;
    const char *path; /* borrowed */
};

struct sockets {
    int epoll;
    struct sockaddr_in server;
    const char *host_header;
    void (*on_open)(struct socket *s);
    /** One whole binary message; the bytes are gone after the call. */
    void (*on_message)(struct socket *s, struct ml_slice message);
    void (*on_close)(struct socket *s);
    uint64_t connections;    /* made so far */
    uint64_t bytes_received; /* payload */
};

/** Ends the process with a message when it cannot. */
void sockets_open(struct sockets *all, const char *host, uint16_t port);
void sockets_connect(struct sockets *all, struct socket *s, const char *path);
/** Queue one binary message and write what the kernel takes. Ignored unless open. */
void socket_send(struct sockets *all, struct socket *s, struct ml_slice message);
/** As a killed process would: no close frame, no callback. */
void socket_drop(struct socket *s);
/** Wait at most `timeout_ms` and serve what is ready. */
void sockets_turn(struct sockets *all, int timeout_ms);

#endif
