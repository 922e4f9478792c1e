/* SPDX-License-Identifier: MIT */
/*
 * libwebsockets 4.1 as a transport. What is done here and why:
 *
 *  - It never sees a request as a client wrote it. net/http.c reads and judges the head; what is
 *    adopted here begins with a head that we write ourselves (adopt, below). So neither its HTTP
 *    parser nor h2c can be reached from outside.
 *  - Frames leave with LWS_WRITE_HTTP: "raw bytes". They carry their header already, so nothing is
 *    copied or written into a buffer that other sessions share. Not valid over HTTP/2: never
 * offered.
 *  - What the socket takes at once goes there past it: there is no TLS here, and its own frames
 *    (pongs, closes) are in the socket already, or lws_partial_buffered says that they are not.
 *  - tx_packet_size is above the largest frame, or the rest of each write would be copied.
 *  - Returning -1 from WRITEABLE closes twice in this build, so nothing returns -1 there. A link is
 *    cut by shutting its socket down; the loop then finds it closed.
 *  - Its own pings are off: each would be a timer in a sorted list. Sessions ping themselves.
 */
#include "net/wire.h"

#include "base/assert.h"
#include "base/log.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_BYTES     2048
#define TX_BYTES     (80u * 1024 * 1024)
#define REQUEST_MAX  256
#define PROTOCOL_TAG "Sec-WebSocket-Protocol: "

struct ml_transport {
    struct ml_transport_events events;
    struct lws_context *context;
    struct lws_vhost *vhost;
    /* Filled only while ml_transport_adopt runs. */
    struct {
        void *session;
        struct ml_slice protocol;
        struct lws *wsi; /* set by ESTABLISHED */
        bool is_open;
    } adopting;
};

/* What libwebsockets keeps for a connection of ours. */
struct seat {
    void *session; /* NULL: not established, or closed */
};

static struct lws *wsi_of(struct ml_link *link)
{
    return (struct lws *)link;
}

static struct ml_transport *wire_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

static int established(struct ml_transport *wire, struct lws *wsi, struct seat *seat)
{
    if (!wire->adopting.is_open)
        return -1;
    seat->session = wire->adopting.session;
    wire->adopting.wsi = wsi;
    return 0;
}

/* A whole line after the fields that the 101 has already. */
static int add_fields(struct ml_transport *wire, struct lws_process_html_args *args)
{
    const struct ml_slice tag = ML_SLICE(PROTOCOL_TAG);
    struct ml_slice protocol = wire->adopting.protocol;

    if (!protocol.len)
        return 0;
    if (args->max_len < 0 || (size_t)args->max_len < tag.len + protocol.len + 8)
        return -1;
    memcpy(args->p, tag.ptr, tag.len);
    memcpy(args->p + tag.len, protocol.ptr, protocol.len);
    memcpy(args->p + tag.len + protocol.len, "\r\n", 2);
    args->p += tag.len + protocol.len + 2;
    return 0;
}

static void piece(struct ml_transport *wire, struct lws *wsi, struct seat *seat, const void *in,
                  size_t len)
{
    const struct ml_ws_piece piece = {
        .bytes = ml_slice_make(in, len),
        .left_in_frame = lws_remaining_packet_payload(wsi),
        .is_first = lws_is_first_fragment(wsi),
        .is_final = lws_is_final_fragment(wsi),
        .is_binary = lws_frame_is_binary(wsi),
    };

    wire->events.piece(seat->session, &piece);
}

static void closed(struct ml_transport *wire, struct lws *wsi, struct seat *seat)
{
    void *session = seat->session;

    if (wire->adopting.wsi == wsi)
        wire->adopting.wsi = NULL;
    seat->session = NULL;
    wire->events.closed(session);
}

static int confirm_upgrade(struct lws *wsi)
{
    char name[16];

    if (lws_hdr_copy(wsi, name, sizeof name, WSI_TOKEN_UPGRADE) <= 0)
        return -1;
    return strcasecmp(name, "websocket") == 0 ? 0 : -1;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct seat *seat = user;

    switch (reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(wsi);
    case LWS_CALLBACK_HTTP:
        return -1;
    case LWS_CALLBACK_ADD_HEADERS:
        return add_fields(wire_of(wsi), in);
    case LWS_CALLBACK_ESTABLISHED:
        return established(wire_of(wsi), wsi, seat);
    case LWS_CALLBACK_RECEIVE:
        if (seat && seat->session)
            piece(wire_of(wsi), wsi, seat, in, len);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (seat && seat->session)
            wire_of(wsi)->events.pong(seat->session);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        /* It does not know of the close frame that we wrote ourselves, and would answer the answer.
         */
        return seat && seat->session && wire_of(wsi)->events.is_answer(seat->session) ? -1 : 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (seat && seat->session)
            wire_of(wsi)->events.writable(seat->session);
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (seat && seat->session)
            closed(wire_of(wsi), wsi, seat);
        return 0;
    default:
        return 0;
    }
}

static void on_log(int level, const char *line)
{
    struct ml_slice text = ml_slice_str(line);

    while (text.len && text.ptr[text.len - 1] == '\n')
        text.len--;
    ml_log(ML_LOG_DEBUG, "wire.said", "level=%d text=%s", level, ML_LOG_TEXT(text));
}

/* libwebsockets keeps these by address. */
static const struct lws_protocols protocols[] = {
    {.name = "moonloom",
     .callback = on_event,
     .per_session_data_size = sizeof(struct seat),
     .rx_buffer_size = RX_BYTES,
     .tx_packet_size = TX_BYTES},
    {0},
};
static const lws_retry_bo_t no_pings = {0};

enum ml_err ml_transport_open(uv_loop_t *loop, const struct ml_transport_events *events,
                              struct ml_diag *diag, struct ml_transport **wire_out)
{
    void *loops[1] = {loop};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8,
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .foreign_loops = loops,
        .retry_and_idle_policy = &no_pings,
        .vhost_name = "moonloom",
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };
    struct ml_transport *wire = calloc(1, sizeof *wire);

    if (!wire)
        return ML_ELIMIT;
    wire->events = *events;
    info.user = wire;
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    wire->context = lws_create_context(&info);
    if (!wire->context) {
        free(wire);
        return ml_diag_set(diag, ML_EIO, 0,
                           "libwebsockets did not start: is libwebsockets-evlib-uv installed?");
    }
    wire->vhost = lws_create_vhost(wire->context, &info);
    if (!wire->vhost) {
        ml_transport_stop(wire); /* start-up fails: nobody runs the loop for the rest */
        return ml_diag_set(diag, ML_EIO, 0, "libwebsockets made no virtual host");
    }
    *wire_out = wire;
    return ML_OK;
}

void ml_transport_stop(struct ml_transport *wire)
{
    lws_context_destroy(wire->context);
}

void ml_transport_free(struct ml_transport *wire)
{
    /* On somebody else's loop the first call only closes; nobody but us can know when the loop has
     * closed the handles, and make the second one, which frees. */
    lws_context_destroy(wire->context);
    free(wire);
}

struct ml_link *ml_transport_adopt(struct ml_transport *wire, int fd,
                                   const struct ml_upgrade *upgrade, void *session)
{
    char request[REQUEST_MAX];
    struct lws *wsi;
    int len;

    ML_ASSERT(!wire->adopting.is_open);
    len = snprintf(request, sizeof request,
                   "GET /sync HTTP/1.1\r\nHost: moonloom\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: %.*s\r\n\r\n",
                   ML_PRINT(upgrade->key));
    ML_ASSERT(len > 0 && (size_t)len < sizeof request);
    wire->adopting.is_open = true;
    wire->adopting.session = session;
    wire->adopting.protocol = upgrade->protocol;
    wire->adopting.wsi = NULL;
    (void)lws_adopt_socket_vhost_readbuf(wire->vhost, fd, request, (size_t)len);
    wire->adopting.is_open = false;
    wsi = wire->adopting.wsi;
    wire->adopting.wsi = NULL;
    return (struct ml_link *)wsi;
}

bool ml_link_is_blocked(struct ml_link *link)
{
    return lws_partial_buffered(wsi_of(link));
}

bool ml_link_write(struct ml_link *link, struct ml_slice frames)
{
    ssize_t sent = lws_partial_buffered(wsi_of(link))
                       ? 0
                       : send(lws_get_socket_fd(wsi_of(link)), frames.ptr, frames.len,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    union {
        const uint8_t *in;
        uint8_t *out;
    } bytes; /* the API forgot a const; LWS_WRITE_HTTP only reads */

    if (sent == (ssize_t)frames.len)
        return true;
    /* The rest, or the error, is its affair: it keeps, polls and closes. */
    if (sent > 0) {
        frames.ptr += sent;
        frames.len -= (size_t)sent;
    }
    bytes.in = frames.ptr;
    return lws_write(wsi_of(link), bytes.out, frames.len, LWS_WRITE_HTTP) >= 0;
}

void ml_link_want_writable(struct ml_link *link)
{
    (void)lws_callback_on_writable(wsi_of(link));
}

void ml_link_read(struct ml_link *link, bool on)
{
    (void)lws_rx_flow_control(wsi_of(link), on);
}

void ml_link_cut(struct ml_link *link)
{
    /* A link that does not read would not notice. */
    (void)lws_rx_flow_control(wsi_of(link), 1);
    (void)shutdown(lws_get_socket_fd(wsi_of(link)), SHUT_RDWR);
}
