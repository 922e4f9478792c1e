/* SPDX-License-Identifier: MIT */
/*
 * A connection that speaks HTTP/1: requests one after the other, answers, the end. What is answered
 * is decided in routes.c; heads are read and judged in head.c, not by the transport library.
 *
 *                 head complete            journal answers          all sent, keep-alive
 *  accept -> HEAD -------------> (route) -> WAITING -----> SENDING ----------------------> HEAD
 *              |                  |   \        ^  ^           |
 *              | broken, late     |    v       |  +- at once  | all sent, no keep-alive
 *              v          upgrade |   BODY ----+              v
 *           SENDING               v   (whole)              LINGER --peer's end, or late--> (none)
 *                              session
 *
 * HEAD     `in` holds what came; a head has to be whole `head_ms` after its first byte.
 * BODY     what comes goes through `reader` into `taken`, at SEC-LM-02's pace.
 * WAITING  nothing is read; somebody will answer and call ml_http_resume, or it is a 503.
 * SENDING  `out`, then `body`, leave as the socket takes them.
 * LINGER   our side is shut; what still comes is thrown away, so that the answer is not lost in a
 *          reset.
 */
#include "net/http.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/cors.h"
#include "net/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES    (16u * 1024)
#define IDLE_MS       60000 /* between two requests */
#define SEND_MS       30000
#define LINGER_MS     2000
#define LINGER_BYTES  (1u << 20)
#define BODY_MS       30000 /* SEC-LM-02 */
#define BODY_SLOW_MS  5000
#define BODY_RATE     1024 /* bytes per second, once BODY_SLOW_MS are over */
#define OUT_MAX_BYTES (4u << 20)

/* SEC-WEB-02, on everything. */
#define SECURITY_FIELDS                                                                            \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: same-origin\r\n"                                                             \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                  \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Permissions-Policy: accelerometer=(), camera=(), geolocation=(), gyroscope=(), "              \
    "magnetometer=(), microphone=(), payment=(), usb=()\r\n"

static const struct {
    unsigned status;
    const char *text;
} reasons[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {302, "Found"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static const char *reason_of(unsigned status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Error";
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct ml_http *http = handle->data;
    struct ml_net *net = http->net;

    free(http);
    ml_net_handle_closed(net);
}

/* No longer one whose first request is awaited. */
static void end_handshake(struct ml_http *http)
{
    if (http->is_first)
        http->net->handshakes--;
    http->is_first = false;
}

static void release_taken(struct ml_http *http)
{
    http->net->body_bytes -= http->taken.len;
    ml_writer_release(&http->taken);
}

/* Everything but the descriptor. The memory goes when the handle has closed. */
static void http_release(struct ml_http *http)
{
    struct ml_net *net = http->net;

    end_handshake(http);
    if (http->on_gone)
        http->on_gone(http);
    http->on_gone = NULL;
    ml_list_remove(&http->node);
    net->http_count--;
    ml_address_drop(net->shared, http->address, false);
    http->address = NULL;
    ml_writer_release(&http->in);
    ml_writer_release(&http->out);
    ml_writer_release(&http->own);
    release_taken(http);
}

static void http_close(struct ml_http *http)
{
    int fd = http->fd;

    if (fd < 0)
        return;
    http->fd = -1;
    http_release(http);
    uv_close((uv_handle_t *)&http->poll, on_poll_closed);
    close(fd);
}

/* ---- answers --------------------------------------------------------------------------------- */

void ml_http_print(struct ml_writer *out, const char *format, ...)
{
    char text[512];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ML_ASSERT(n >= 0 && (size_t)n < sizeof text);
    ml_write_bytes(out, ml_slice_make(text, (size_t)n));
}

static void print_date(struct ml_writer *out)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = (time_t)(ml_clock_wall_ms() / 1000);
    struct tm tm;

    if (!gmtime_r(&now, &tm))
        return;
    ml_http_print(out, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
                  days + 3 * (size_t)tm.tm_wday, tm.tm_mday, months + 3 * (size_t)tm.tm_mon,
                  tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/*
 * Begins an answer: everything up to the blank line. `fields` are whole lines. What follows in
 * `out`, or `http->body`, has to have `len` bytes.
 */
void ml_http_begin(struct ml_http *http, unsigned status, const char *type, const char *fields,
                   size_t len)
{
    struct ml_writer *out = &http->out;

    if (status / 100 < sizeof http->net->stats.answers / sizeof *http->net->stats.answers)
        http->net->stats.answers[status / 100]++;
    ml_writer_reset(out);
    http->out_sent = http->body_sent = 0;
    http->body = ml_slice_make(NULL, 0);
    http->state = ML_HTTP_SENDING;
    http->deadline_ms = ml_net_now(http->net) + SEND_MS;
    ml_http_print(out, "HTTP/1.1 %u %s\r\n", status, reason_of(status));
    print_date(out);
    ml_write_bytes(out, ML_SLICE(SECURITY_FIELDS));
    ml_cors_write(http, out);
    ml_write_bytes(out, ml_slice_str(fields));
    if (type)
        ml_http_print(out, "Content-Type: %s\r\n", type);
    if (status != 304 && status != 204)
        ml_http_print(out, "Content-Length: %zu\r\n", len);
    ml_http_print(out, "Connection: %s\r\n\r\n", http->keeps_alive ? "keep-alive" : "close");
}

void ml_http_answer(struct ml_http *http, unsigned status, const char *type, const char *fields,
                    struct ml_slice body)
{
    ml_http_begin(http, status, type, fields, body.len);
    if (!http->is_head)
        ml_write_bytes(&http->out, body);
}

void ml_http_answer_own(struct ml_http *http, unsigned status, const char *type, const char *fields,
                        struct ml_writer *body)
{
    ml_http_begin(http, status, type, fields, body->len);
    ml_writer_release(&http->own);
    http->own = *body;
    ml_writer_init(body, 0);
    if (!http->is_head)
        http->body = ml_writer_slice(&http->own);
}

void ml_json_write_text(struct ml_writer *out, struct ml_slice text)
{
    ml_write_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];

        if (c == '"' || c == '\\') {
            ml_write_u8(out, '\\');
            ml_write_u8(out, c);
        } else if (c < 0x20 || c == 0x7f) {
            ml_http_print(out, "\\u%04x", c);
        } else {
            ml_write_u8(out, c);
        }
    }
    ml_write_u8(out, '"');
}

/* Contract 5. `incident` is what a person quotes and an operator finds in the log. */
void ml_http_answer_denial(struct ml_http *http, unsigned status, struct ml_slice code,
                           struct ml_slice message, const char *fields)
{
    char all_fields[512];
    struct ml_writer body;
    uint64_t incident = 0;

    /* Not found and the like are the caller's affair, what failed here is the operator's. */
    (void)!getrandom(&incident, sizeof incident, 0);
    ml_log(status == 500 || status == 503 ? ML_LOG_WARN : ML_LOG_DEBUG, "http.refused",
           "status=%u code=%s incident=%016" PRIx64, status, ML_LOG_TEXT(code), incident);
    ml_writer_init(&body, ML_HTTP_BODY_MAX);
    ml_http_print(&body, "{\"error\":{\"code\":");
    ml_json_write_text(&body, code);
    ml_http_print(&body, ",\"message\":");
    ml_json_write_text(&body, message);
    ml_http_print(&body, ",\"incident\":\"%016" PRIx64 "\"}}", incident);
    (void)snprintf(all_fields, sizeof all_fields, ML_HTTP_NO_STORE ML_HTTP_DATA_POLICY "%s",
                   fields);
    ml_http_answer(http, status, ML_HTTP_JSON, all_fields, ml_writer_slice(&body));
    ml_writer_release(&body);
}

void ml_http_answer_error(struct ml_http *http, unsigned status, const char *code,
                          const char *message)
{
    ml_http_answer_denial(http, status, ml_slice_str(code), ml_slice_str(message),
                          status == 405   ? "Allow: GET, HEAD\r\n"
                          : status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          : status == 503 ? "Retry-After: 2\r\n"
                                          : "");
}

void ml_http_wait(struct ml_http *http, void *waiter, void (*on_gone)(struct ml_http *http))
{
    http->waiter = waiter;
    http->on_gone = on_gone;
    http->minds_leaving = false;
    http->state = ML_HTTP_WAITING;
    http->deadline_ms = ml_net_now(http->net) + SEND_MS;
}

void ml_http_wait_at_most(struct ml_http *http, uint64_t wait_ms)
{
    http->deadline_ms = ml_net_now(http->net) + wait_ms;
}

void ml_http_take_body(struct ml_http *http, const struct ml_head *head, size_t max_bytes,
                       void *waiter, void (*on_body)(struct ml_http *http),
                       void (*on_gone)(struct ml_http *http))
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    http->waiter = waiter;
    http->on_body = on_body;
    http->on_gone = on_gone;
    http->state = ML_HTTP_BODY;
    http->body_since_ms = ml_net_now(http->net);
    http->deadline_ms = http->body_since_ms + BODY_MS;
    ml_writer_init(&http->taken, max_bytes);
    ml_body_init(&http->reader, head->is_chunked, head->content_length);
    /* Nothing else is on the way to this client, so that the few bytes fit; if not, it goes on by
     * itself after a moment. */
    if (ml_head_has_token(head, "expect", "100-continue"))
        (void)!send(http->fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int ml_http_give_away(struct ml_http *http)
{
    int fd = http->fd;

    http->fd = -1;
    http->address = NULL;
    /* One watcher per descriptor: ours is gone before somebody else makes theirs. */
    uv_close((uv_handle_t *)&http->poll, on_poll_closed);
    return fd;
}

void ml_http_given_away(struct ml_http *http)
{
    http_release(http);
}

/* ---- moving on ------------------------------------------------------------------------------- */

static void watch(struct ml_http *http, int events)
{
    if (http->events == events)
        return;
    http->events = events;
    if (!events)
        (void)uv_poll_stop(&http->poll);
    else if (uv_poll_start(&http->poll, events, http->on_poll))
        http_close(http);
}

/* False: nothing to read now, or the connection is gone. */
static bool read_some(struct ml_http *http)
{
    uint8_t buffer[READ_BYTES];
    size_t room = ML_HEAD_MAX_BYTES + 1 > http->in.len ? ML_HEAD_MAX_BYTES + 1 - http->in.len : 0;
    ssize_t n = recv(http->fd, buffer, room < sizeof buffer ? room : sizeof buffer, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        http_close(http);
        return false;
    }
    if (http->in.len == 0 && !http->is_first && http->state == ML_HTTP_HEAD)
        http->deadline_ms = ml_net_now(http->net) + http->net->env.limits.head_ms;
    ml_write_bytes(&http->in, ml_slice_make(buffer, (size_t)n));
    if (http->in.err) {
        http_close(http);
        return false;
    }
    return true;
}

/* What was read of a request goes; what came after it stays. */
static void forget(struct ml_http *http, size_t len)
{
    http->in.len -= len;
    if (http->in.len)
        memmove(http->in.ptr, http->in.ptr + len, http->in.len);
    else
        ml_writer_release(&http->in);
}

/* False: more bytes are needed. */
static bool take_request(struct ml_http *http)
{
    struct ml_head head;
    unsigned status;

    if (!http->in.len)
        return false;
    switch (ml_head_parse(ml_writer_slice(&http->in), &head, &status)) {
    case ML_HEAD_PARTIAL:
        return false;
    case ML_HEAD_BROKEN:
        http->keeps_alive = http->is_head = http->is_cors = false;
        ml_http_answer_error(http, status, "bad_request", reason_of(status));
        return true;
    case ML_HEAD_COMPLETE:
        break;
    }
    end_handshake(http);
    if (ml_http_move(http, &head))
        return true;
    http->is_routing = true;
    if (ml_peer_take(http, &head))
        ml_route(http, &head);
    http->is_routing = false;
    ml_arena_reset(&http->net->scratch);
    if (http->fd < 0)
        return true;
    forget(http, head.len_bytes);
    return true;
}

void ml_http_route_again(struct ml_http *http)
{
    http->on_gone = NULL;
    http->is_routing = true;
}

void ml_http_routed(struct ml_http *http)
{
    http->is_routing = false;
    ml_arena_reset(&http->net->scratch);
    ml_http_resume(http);
}

/* The request ends here; who waited for its body hears that nobody waits for the answer. */
static void refuse_body(struct ml_http *http, unsigned status, const char *code,
                        const char *message)
{
    if (http->on_gone)
        http->on_gone(http);
    http->on_gone = NULL;
    release_taken(http);
    http->keeps_alive = false;
    ml_http_answer_error(http, status, code, message);
}

/* Who waits for the store may be told so; what was asked goes on, and nobody hears of it. */
static void refuse_late(struct ml_http *http)
{
    if (http->on_gone)
        http->on_gone(http);
    http->on_gone = NULL;
    ml_http_answer_error(http, 503, "storage",
                         "The store does not answer in time; this may have been done or not.");
}

static bool is_slow(const struct ml_http *http)
{
    uint64_t took_ms = ml_net_now(http->net) - http->body_since_ms;

    return took_ms > BODY_SLOW_MS && (uint64_t)http->taken.len * 1000 < took_ms * BODY_RATE;
}

/* False: more bytes are needed. */
static bool take_body(struct ml_http *http)
{
    struct ml_slice in = ml_writer_slice(&http->in);
    size_t before = http->taken.len;
    enum ml_body_state state = ml_body_feed(&http->reader, &in, &http->taken);

    forget(http, http->in.len - in.len);
    http->net->body_bytes += http->taken.len - before;
    if (state == ML_BODY_BROKEN)
        refuse_body(http, 400, "bad_request", "The body is not what its head announces.");
    else if (state == ML_BODY_TOO_LARGE)
        refuse_body(http, 413, "too_large", "The body is too large.");
    else if (http->net->body_bytes > ML_HTTP_BODY_POOL)
        refuse_body(http, 503, "overloaded", "Too much is being uploaded; try again later.");
    else if (state == ML_BODY_PARTIAL)
        return false;
    else {
        http->on_gone = NULL;
        http->is_routing = true;
        http->on_body(http);
        http->is_routing = false;
        ml_arena_reset(&http->net->scratch);
    }
    return true;
}

/* True: all of it left. */
static bool write_some(struct ml_http *http)
{
    for (;;) {
        struct ml_slice out = ml_writer_slice(&http->out);
        struct iovec parts[2] = {
            {http->out.ptr + http->out_sent, out.len - http->out_sent},
            {NULL, http->body.len - http->body_sent},
        };
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        size_t of_out;
        ssize_t n;

        if (!parts[0].iov_len && !parts[1].iov_len)
            return true;
        if (parts[1].iov_len) {
            union {
                const uint8_t *in;
                void *out;
            } body = {.in = http->body.ptr + http->body_sent}; /* iovec knows no const */

            parts[1].iov_base = body.out;
        }
        n = sendmsg(http->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0) {
            http_close(http);
            return false;
        }
        http->deadline_ms = ml_net_now(http->net) + SEND_MS;
        of_out = (size_t)n < parts[0].iov_len ? (size_t)n : parts[0].iov_len;
        http->out_sent += of_out;
        http->body_sent += (size_t)n - of_out;
    }
}

static void end_answer(struct ml_http *http)
{
    ml_writer_release(&http->out);
    ml_writer_release(&http->own);
    release_taken(http);
    http->out_sent = http->body_sent = 0;
    http->body = ml_slice_make(NULL, 0);
    if (http->keeps_alive) {
        http->state = ML_HTTP_HEAD;
        http->deadline_ms =
            ml_net_now(http->net) + (http->in.len ? http->net->env.limits.head_ms : IDLE_MS);
        return;
    }
    http->state = ML_HTTP_LINGER;
    http->deadline_ms = ml_net_now(http->net) + LINGER_MS;
    http->drained = 0;
    (void)shutdown(http->fd, SHUT_WR);
}

/* True: the peer has ended, or has gone on for too long. */
static bool drain(struct ml_http *http)
{
    uint8_t buffer[READ_BYTES];

    for (;;) {
        ssize_t n = recv(http->fd, buffer, sizeof buffer, 0);

        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0)
            return true;
        http->drained += (size_t)n;
        if (http->drained > LINGER_BYTES)
            return true;
    }
}

/* Until something has to be waited for. */
void ml_http_resume(struct ml_http *http)
{
    while (http->fd >= 0) {
        switch (http->state) {
        case ML_HTTP_HEAD:
            if (!take_request(http)) {
                watch(http, UV_READABLE);
                return;
            }
            break;
        case ML_HTTP_BODY:
            if (!take_body(http)) {
                watch(http, UV_READABLE);
                return;
            }
            break;
        case ML_HTTP_WAITING:
            watch(http, http->minds_leaving ? UV_DISCONNECT : 0);
            return;
        case ML_HTTP_SENDING:
            if (!write_some(http)) {
                if (http->fd >= 0)
                    watch(http, UV_WRITABLE);
                return;
            }
            end_answer(http);
            break;
        case ML_HTTP_LINGER:
            if (!drain(http)) {
                watch(http, UV_READABLE);
                return;
            }
            http_close(http);
            return;
        }
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct ml_http *http = handle->data;

    if (http->fd < 0)
        return;
    if (status < 0 || (http->state == ML_HTTP_WAITING && (events & UV_DISCONNECT))) {
        http_close(http);
        return;
    }
    if ((http->state == ML_HTTP_HEAD || http->state == ML_HTTP_BODY) && !read_some(http))
        return;
    ml_http_resume(http);
}

/* NULL: closed. */
static struct ml_http *http_new(struct ml_net *net, int fd, const char *ip,
                                struct ml_address *address)
{
    struct ml_http *http = calloc(1, sizeof *http);

    if (!http || uv_poll_init(net->env.loop, &http->poll, fd)) {
        free(http);
        ml_address_drop(net->shared, address, false);
        close(fd);
        return NULL;
    }
    http->net = net;
    http->poll.data = http;
    http->on_poll = on_poll;
    http->fd = fd;
    http->address = address;
    (void)snprintf(http->ip, sizeof http->ip, "%s", ip);
    (void)snprintf(http->peer, sizeof http->peer, "%s", ip);
    ml_writer_init(&http->in, ML_HEAD_MAX_BYTES + READ_BYTES);
    ml_writer_init(&http->out, OUT_MAX_BYTES);
    http->deadline_ms = ml_net_now(net) + net->env.limits.head_ms;
    ml_list_append(&net->https, &http->node);
    net->handles++;
    net->http_count++;
    return http;
}

bool ml_http_open(struct ml_net *net, int fd, const char *ip, struct ml_address *address)
{
    struct ml_http *http = http_new(net, fd, ip, address);

    if (!http)
        return false;
    http->is_first = true;
    net->handshakes++;
    watch(http, UV_READABLE);
    return true;
}

void ml_http_open_moved(struct ml_net *net, int fd, const char *ip, struct ml_address *address,
                        struct ml_slice in)
{
    struct ml_http *http = http_new(net, fd, ip, address);

    if (!http)
        return;
    http->is_placed = true;
    ml_write_bytes(&http->in, in);
    if (http->in.err)
        http_close(http);
    else
        ml_http_resume(http);
}

void ml_http_tick(struct ml_net *net)
{
    uint64_t now = ml_net_now(net);

    ML_LIST_EACH(node, &net->https)
    {
        struct ml_http *http = ML_CONTAINER(node, struct ml_http, node);

        if (http->state == ML_HTTP_BODY && (now >= http->deadline_ms || is_slow(http))) {
            refuse_body(http, 408, "too_slow", "The body took too long.");
            ml_http_resume(http);
        } else if (http->state == ML_HTTP_WAITING && now >= http->deadline_ms) {
            refuse_late(http);
            ml_http_resume(http);
        } else if (now >= http->deadline_ms) {
            http_close(http);
        }
    }
}

void ml_http_close_all(struct ml_net *net)
{
    ML_LIST_EACH(node, &net->https)
    {
        http_close(ML_CONTAINER(node, struct ml_http, node));
    }
}

bool ml_http_evict(struct ml_net *net, uint64_t age_ms)
{
    uint64_t life_ms = net->env.limits.head_ms, now = ml_net_now(net);

    ML_LIST_EACH(node, &net->https)
    {
        struct ml_http *http = ML_CONTAINER(node, struct ml_http, node);

        if (!http->is_first)
            continue;
        if (http->deadline_ms > now && life_ms - (http->deadline_ms - now) < age_ms)
            return false; /* the others are younger */
        http_close(http);
        return true;
    }
    return false;
}
