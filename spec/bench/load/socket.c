/* SPDX-License-Identifier: MIT */
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES  (64u << 10)
#define MESSAGE_MAX (512u << 20)
#define PER_ADDRESS                                                                                \
    20000 /* connections from one source address, below the range of local ports                   \
           */
#define OPCODE_BINARY 2
#define OPCODE_CLOSE  8
#define OPCODE_PING   9

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void reserve(uint8_t **at, size_t *cap, size_t need)
{
    size_t want = *cap ? *cap : 512;

    if (need <= *cap)
        return;
    if (need > MESSAGE_MAX) {
        fprintf(stderr, "load: a message of more than %u MiB\n", MESSAGE_MAX >> 20);
        exit(1);
    }
    while (want < need)
        want *= 2;
    *at = realloc(*at, want);
    if (!*at)
        die("memory");
    *cap = want;
}

static void watch(struct sockets *all, struct socket *s, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = s};

    if (events == s->events)
        return;
    if (epoll_ctl(all->epoll, s->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &e))
        die("epoll_ctl");
    s->events = events;
}

static void release(struct socket *s)
{
    if (s->fd > 0)
        close(s->fd);
    free(s->in);
    free(s->out);
    *s = (struct socket){.state = SOCKET_CLOSED, .close_code = s->close_code};
}

static void end(struct sockets *all, struct socket *s)
{
    release(s);
    all->on_close(s);
}

static bool flush(struct sockets *all, struct socket *s)
{
    size_t done = 0;

    while (done < s->out_len) {
        ssize_t n = send(s->fd, s->out + done, s->out_len - done, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    memmove(s->out, s->out + done, s->out_len - done);
    s->out_len -= done;
    watch(all, s, s->out_len ? EPOLLIN | EPOLLOUT : EPOLLIN);
    return true;
}

static void put(struct socket *s, const void *bytes, size_t len)
{
    reserve(&s->out, &s->out_cap, s->out_len + len);
    memcpy(s->out + s->out_len, bytes, len);
    s->out_len += len;
}

/* Masked with zeros: the mask is the client's to choose, and these bytes are no secret. */
static void put_frame(struct socket *s, uint8_t opcode, struct ml_slice payload)
{
    uint8_t head[14] = {0x80 | opcode};
    size_t n = 2;

    if (payload.len < 126) {
        head[1] = 0x80 | (uint8_t)payload.len;
    } else if (payload.len < 65536) {
        head[1] = 0x80 | 126;
        head[n++] = (uint8_t)(payload.len >> 8);
        head[n++] = (uint8_t)payload.len;
    } else {
        head[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            head[n++] = (uint8_t)(payload.len >> shift);
    }
    n += 4;
    put(s, head, n);
    put(s, payload.ptr, payload.len);
}

void socket_send(struct sockets *all, struct socket *s, struct ml_slice message)
{
    if (s->state != SOCKET_OPEN)
        return;
    put_frame(s, OPCODE_BINARY, message);
    if (s->events == EPOLLIN && !flush(all, s))
        shutdown(s->fd, SHUT_RDWR); /* the reading side finds out */
}

void socket_drop(struct socket *s)
{
    struct linger now = {.l_onoff = 1};

    if (s->fd > 0)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    release(s);
    s->state = SOCKET_NONE;
}

static void ask_upgrade(struct sockets *all, struct socket *s)
{
    char head[1024];
    int n =
        snprintf(head, sizeof(head),
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: bW9vbmxvb20tbG9hZC0wMQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                 s->path, all->host_header);

    if (n < 0 || (size_t)n >= sizeof(head)) {
        fprintf(stderr, "load: the path is too long\n");
        exit(1);
    }
    put(s, head, (size_t)n);
    s->state = SOCKET_UPGRADING;
}

/* How many bytes of `in` are used; SIZE_MAX: the connection is over. */
static size_t take_upgrade(struct sockets *all, struct socket *s)
{
    const uint8_t *stop = memmem(s->in, s->in_len, "\r\n\r\n", 4);

    if (!stop)
        return 0;
    if (s->in_len < 12 || memcmp(s->in + 9, "101", 3) != 0) {
        fprintf(stderr, "load: the server refused: %.*s\n", (int)(s->in_len < 60 ? s->in_len : 60),
                (const char *)s->in);
        return SIZE_MAX;
    }
    s->state = SOCKET_OPEN;
    all->on_open(s);
    return (size_t)(stop - s->in) + 4;
}

static size_t take_frame(struct sockets *all, struct socket *s, const uint8_t *p, size_t left)
{
    size_t head = 2;
    uint64_t len;

    if (left < 2)
        return 0;
    len = p[1] & 0x7f;
    if (len == 126) {
        head = 4;
        if (left < head)
            return 0;
        len = (uint64_t)p[2] << 8 | p[3];
    } else if (len == 127) {
        head = 10;
        if (left < head)
            return 0;
        len = 0;
        for (int i = 2; i < 10; i++)
            len = len << 8 | p[i];
        if (len > MESSAGE_MAX)
            return SIZE_MAX;
    }
    if (left - head < len)
        return 0;
    if (!(p[0] & 0x80)) {
        fprintf(stderr, "load: the server sent a fragmented message\n");
        exit(1);
    }
    switch (p[0] & 0xf) {
    case OPCODE_BINARY:
        all->bytes_received += len;
        all->on_message(s, ml_slice_make(p + head, (size_t)len));
        break;
    case OPCODE_PING:
        put_frame(s, OPCODE_PING + 1, ml_slice_make(p + head, (size_t)len));
        break;
    case OPCODE_CLOSE:
        s->close_code = len >= 2 ? (uint16_t)(p[head] << 8 | p[head + 1]) : 0;
        return SIZE_MAX;
    default:
        break;
    }
    return head + (size_t)len;
}

static bool receive(struct sockets *all, struct socket *s)
{
    size_t used = 0, n;
    ssize_t got;

    reserve(&s->in, &s->in_cap, s->in_len + (s->in_len ? READ_BYTES : 2048));
    got = recv(s->fd, s->in + s->in_len, s->in_cap - s->in_len, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return false;
    s->in_len += (size_t)got;
    if (s->state == SOCKET_UPGRADING) {
        used = take_upgrade(all, s);
        if (used == SIZE_MAX)
            return false;
    }
    while (s->state == SOCKET_OPEN && used < s->in_len) {
        n = take_frame(all, s, s->in + used, s->in_len - used);
        if (n == SIZE_MAX)
            return false;
        if (!n)
            break;
        used += n;
    }
    if (s->state != SOCKET_OPEN && s->state != SOCKET_UPGRADING)
        return true; /* a callback has dropped it */
    memmove(s->in, s->in + used, s->in_len - used);
    s->in_len -= used;
    if (!s->in_len && s->in_cap > 4096) {
        free(s->in);
        s->in = NULL;
        s->in_cap = 0;
    }
    return flush(all, s);
}

void sockets_open(struct sockets *all, const char *host, uint16_t port)
{
    all->server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &all->server.sin_addr) != 1) {
        fprintf(stderr, "load: %s is no IPv4 address\n", host);
        exit(2);
    }
    all->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all->epoll < 0)
        die("epoll_create1");
}

void sockets_connect(struct sockets *all, struct socket *s, const char *path)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1;

    *s = (struct socket){.path = path, .state = SOCKET_CONNECTING};
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        die("socket");
    from.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + 1 + (uint32_t)(all->connections++ / PER_ADDRESS % 200));
    setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if ((ntohl(all->server.sin_addr.s_addr) >> 24) == 127 &&
        bind(s->fd, (struct sockaddr *)&from, sizeof(from)))
        die("bind");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(s->fd, (struct sockaddr *)&all->server, sizeof(all->server)) &&
        errno != EINPROGRESS)
        die("connect");
    watch(all, s, EPOLLIN | EPOLLOUT);
}

void sockets_turn(struct sockets *all, int timeout_ms)
{
    struct epoll_event ready[256];
    int n = epoll_wait(all->epoll, ready, 256, timeout_ms);

    for (int i = 0; i < n; i++) {
        struct socket *s = ready[i].data.ptr;
        bool alive = true;

        if (s->state == SOCKET_NONE || s->state == SOCKET_CLOSED)
            continue; /* dropped earlier in this turn */
        if (s->state == SOCKET_CONNECTING && ready[i].events & EPOLLOUT)
            ask_upgrade(all, s);
        if (ready[i].events & EPOLLOUT)
            alive = flush(all, s);
        if (alive && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            alive = receive(all, s);
        if (!alive)
            end(all, s);
    }
}
