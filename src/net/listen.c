/* SPDX-License-Identifier: MIT */
/*
 * The listener: accepts on its own socket, counts per address, and hands over. A port belongs to
 * one process: two servers that share one would deal clients out in turn.
 *
 *   - at most ACCEPTS_A_TURN connections before the sessions get their turn again;
 *   - accepts_per_second from elsewhere than loopback, then the kernel's queue has to do;
 *   - `handshakes` connections whose request has not come: the others wait in the kernel's queue,
 * and who has kept them waiting for a second goes for the newest;
 *   - no descriptor left: one is kept in reserve, so that a client can be accepted and turned away
 *     instead of spinning on a queue that never empties.
 */
#include "net/peer.h"

#include "base/assert.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define BACKLOG        1024
#define EVICT_AGE_MS   1000

/* ---- addresses ------------------------------------------------------------------------------- */

static void ip_of(const struct sockaddr_storage *from, uint8_t out[16], char text[ML_ADDRESS_TEXT])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    memset(out, 0, 16);
    text[0] = '\0';
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;

        memcpy(out, mapped, sizeof mapped);
        memcpy(out + 12, &in->sin_addr, 4);
        (void)inet_ntop(AF_INET, &in->sin_addr, text, ML_ADDRESS_TEXT);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)from;

        memcpy(out, &in->sin6_addr, 16);
        if (memcmp(out, mapped, sizeof mapped) == 0)
            (void)inet_ntop(AF_INET, out + 12, text, ML_ADDRESS_TEXT);
        else
            (void)inet_ntop(AF_INET6, out, text, ML_ADDRESS_TEXT);
    }
}

static bool is_loopback(const uint8_t ip[16])
{
    static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    static const uint8_t one[16] = {[15] = 1};

    return memcmp(ip, mapped, sizeof mapped) == 0 || memcmp(ip, one, sizeof one) == 0;
}

/* Who comes from this machine is a proxy, a probe or the operator. A listed proxy has many. */
static bool is_exempt(const struct ml_net *net, const uint8_t ip[16])
{
    return (is_loopback(ip) && !net->env.limits.count_loopback) || ml_peer_is_proxy(net, ip);
}

static void lock(struct ml_shared *shared)
{
    ML_ASSERT(pthread_mutex_lock(&shared->mutex) == 0);
}

static void unlock(struct ml_shared *shared)
{
    ML_ASSERT(pthread_mutex_unlock(&shared->mutex) == 0);
}

/* Under the mutex; a new one if there is none. NULL: no memory. */
static struct ml_address *address_at(struct ml_shared *shared, const uint8_t ip[16])
{
    struct ml_address *address = ml_hashmap_get(&shared->addresses, ml_slice_make(ip, 16));

    if (address)
        return address;
    address = calloc(1, sizeof *address);
    if (!address)
        return NULL;
    memcpy(address->ip, ip, 16);
    if (ml_hashmap_put(&shared->addresses, ml_slice_make(address->ip, 16), address))
        return address;
    free(address);
    return NULL;
}

bool ml_address_count(struct ml_net *net, const uint8_t ip[16], struct ml_address **address_out)
{
    struct ml_address *address;
    bool may_come;

    *address_out = NULL;
    if (is_exempt(net, ip) || (net->env.open_mode && !net->env.limits.count_loopback))
        return true;
    lock(net->shared);
    address = address_at(net->shared, ip);
    may_come = address && address->connections < net->env.limits.address_handshakes;
    if (may_come)
        address->connections++;
    unlock(net->shared);
    *address_out = may_come ? address : NULL;
    return may_come;
}

void ml_address_drop(struct ml_shared *shared, struct ml_address *address, bool is_session)
{
    uint32_t *count;

    if (!address)
        return;
    lock(shared);
    count = is_session ? &address->sessions : &address->connections;
    ML_ASSERT(*count > 0);
    --*count;
    if (!address->connections && !address->sessions) {
        (void)ml_hashmap_remove(&shared->addresses, ml_slice_make(address->ip, 16));
        free(address);
    }
    unlock(shared);
}

bool ml_address_promote(struct ml_net *net, struct ml_address *address)
{
    bool may_come;

    if (!address)
        return true;
    lock(net->shared);
    may_come = address->sessions < net->env.limits.address_sessions;
    if (may_come) {
        address->sessions++;
        address->connections--;
    }
    unlock(net->shared);
    return may_come;
}

void ml_address_demote(struct ml_net *net, struct ml_address *address)
{
    if (!address)
        return;
    lock(net->shared);
    address->sessions--;
    address->connections++;
    unlock(net->shared);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void stop(struct ml_net *net)
{
    if (net->is_listening)
        (void)uv_poll_stop(&net->listener);
    net->is_listening = false;
}

static void tune(const struct ml_net *net, int fd)
{
    const int on = 1;
    const unsigned dead_ms = net->env.limits.dead_ms;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* The client is told by the end of its connection; the rest of the queue waits for the next tick.
 */
static void turn_one_away(struct ml_net *net)
{
    int fd;

    if (net->reserve_fd >= 0)
        close(net->reserve_fd);
    fd = accept4(net->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        net->stats.refused++;
    }
    net->reserve_fd = open_reserve();
    ml_log(ML_LOG_WARN, "listener.starved", "reason=descriptors");
    stop(net);
}

static void take(struct ml_net *net, int fd, const struct sockaddr_storage *from)
{
    char text[ML_ADDRESS_TEXT];
    struct ml_address *address;
    uint8_t ip[16];

    ip_of(from, ip, text);
    if (!is_exempt(net, ip))
        net->accepts -= 1;
    if (!ml_address_count(net, ip, &address)) {
        close(fd);
        net->stats.refused++;
        return;
    }
    tune(net, fd);
    if (ml_http_open(net, fd, text, address))
        net->stats.accepted++;
}

/* For one more whose request is not read yet. */
static bool has_place(struct ml_net *net)
{
    if (net->handshakes < net->env.limits.handshakes)
        return true;
    if (!ml_http_evict(net, EVICT_AGE_MS))
        return false;
    net->stats.refused++;
    return true;
}

static void on_connection(uv_poll_t *handle, int status, int events)
{
    struct ml_net *net = handle->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd;

        /* Somebody is there for sure only the first time: nobody goes for nobody. */
        if (i > 0 && net->handshakes >= net->env.limits.handshakes)
            return;
        if (net->accepts < 1 || !has_place(net)) {
            stop(net); /* until the next tick */
            return;
        }
        fd = accept4(net->listen_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(net, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            turn_one_away(net);
            return;
        }
        if (errno == EAGAIN)
            return;
        /* ECONNABORTED, EINTR and the network's own errors concern one connection. */
    }
}

static void start(struct ml_net *net)
{
    if (!net->is_listening && uv_poll_start(&net->listener, UV_READABLE, on_connection) == 0)
        net->is_listening = true;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static int open_socket(const struct addrinfo *at)
{
    const int on = 1, off = 0;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;

    if (getsockname(fd, (struct sockaddr *)&at, &len))
        return 0;
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

enum ml_err ml_listen_open(struct ml_net *net, const char *host, uint16_t port,
                           struct ml_diag *diag, uint16_t *port_out)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[8];
    int why = 0, rc;

    (void)snprintf(service, sizeof service, "%u", port);
    rc = getaddrinfo(host, service, &hints, &list);
    if (rc)
        return ml_diag_set(diag, ML_EIO, 0, "%s: %s", host, gai_strerror(rc));
    net->listen_fd = -1;
    for (const struct addrinfo *at = list; at && net->listen_fd < 0; at = at->ai_next) {
        net->listen_fd = open_socket(at);
        why = errno;
    }
    freeaddrinfo(list);
    if (net->listen_fd < 0)
        return ml_diag_set(diag, ML_EIO, 0, "%s:%u: %s", host, port, strerror(why));
    if (uv_poll_init(net->env.loop, &net->listener, net->listen_fd)) {
        close(net->listen_fd);
        net->listen_fd = -1;
        return ml_diag_set(diag, ML_EIO, 0, "%s:%u: cannot be watched", host, port);
    }
    net->handles++;
    net->listener.data = net;
    net->reserve_fd = open_reserve();
    net->accepts = net->env.limits.accepts_per_second;
    net->accepts_at_ms = ml_net_now(net);
    *port_out = port_of(net->listen_fd);
    start(net);
    return ML_OK;
}

static void on_listener_closed(uv_handle_t *handle)
{
    ml_net_handle_closed(handle->data);
}

void ml_listen_close(struct ml_net *net)
{
    if (net->listen_fd < 0)
        return;
    stop(net);
    uv_close((uv_handle_t *)&net->listener, on_listener_closed);
    close(net->listen_fd);
    if (net->reserve_fd >= 0)
        close(net->reserve_fd);
    net->listen_fd = net->reserve_fd = -1;
}

void ml_listen_tick(struct ml_net *net)
{
    double rate = net->env.limits.accepts_per_second;
    uint64_t now = ml_net_now(net);

    net->accepts += (double)(now - net->accepts_at_ms) * rate / 1000;
    if (net->accepts > rate)
        net->accepts = rate;
    net->accepts_at_ms = now;
    if (net->listen_fd >= 0 && net->accepts >= 1)
        start(net);
}
