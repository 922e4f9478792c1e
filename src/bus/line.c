/* SPDX-License-Identifier: MIT */
#include "bus/line.h"
#include "bus/tls.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS  5000
#define CONNECT_MS     5000

/* ---- Addresses ------------------------------------------------------------------------------- */

static bool copy_part(char *out, size_t size, const char *from, size_t len)
{
    if (len >= size)
        return false;
    memcpy(out, from, len);
    out[len] = '\0';
    return true;
}

static bool parse_user(const char *from, size_t len, struct ml_line_address *out)
{
    const char *colon = memchr(from, ':', len);

    if (!colon)
        return false;
    return copy_part(out->user, sizeof out->user, from, (size_t)(colon - from)) &&
           copy_part(out->password, sizeof out->password, colon + 1,
                     len - (size_t)(colon + 1 - from));
}

static bool parse_number(const char *text, size_t len, unsigned max, unsigned *out)
{
    unsigned long value = 0;

    if (!len || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned long)(text[i] - '0');
    }
    *out = (unsigned)value;
    return value <= max;
}

static bool parse(const char *rest, struct ml_line_address *out)
{
    const char *at = strrchr(rest, '@'), *slash, *colon;
    unsigned port = 6379;
    size_t len;

    if (at) {
        if (!parse_user(rest, (size_t)(at - rest), out))
            return false;
        rest = at + 1;
    }
    slash = strchr(rest, '/');
    len = slash ? (size_t)(slash - rest) : strlen(rest);
    if (slash && slash[1] && !parse_number(slash + 1, strlen(slash + 1), 65535, &out->database))
        return false;
    colon = memchr(rest, ':', len);
    if (colon) {
        if (!parse_number(colon + 1, len - (size_t)(colon + 1 - rest), 65535, &port) || !port)
            return false;
        len = (size_t)(colon - rest);
    }
    out->port = (uint16_t)port;
    return len && copy_part(out->host, sizeof out->host, rest, len);
}

enum ml_err ml_line_parse(const char *url, struct ml_line_address *out, struct ml_diag *diag)
{
    static const char plain[] = "redis://", secured[] = "rediss://", ca[] = "?ca=";
    bool is_tls = strncmp(url, secured, sizeof secured - 1) == 0;
    const char *query = is_tls ? strstr(url, ca) : NULL;
    char rest[1024];

    *out = (struct ml_line_address){.is_tls = is_tls};
    if (!is_tls && strncmp(url, plain, sizeof plain - 1) != 0)
        goto refused;
    url += is_tls ? sizeof secured - 1 : sizeof plain - 1;
    if (query && !copy_part(out->ca_path, sizeof out->ca_path, query + sizeof ca - 1,
                            strlen(query + sizeof ca - 1)))
        goto refused;
    if (!copy_part(rest, sizeof rest, url, query ? (size_t)(query - url) : strlen(url)) ||
        !parse(rest, out))
        goto refused;
    return ML_OK;

refused:
    return ml_diag_set(diag, ML_EFORMAT, 0,
                       "the bus must be redis[s]://[USER:PASSWORD@]HOST[:PORT][/DATABASE]; with "
                       "rediss, ?ca=FILE names who is trusted");
}

/* ---- Connecting ------------------------------------------------------------------------------ */

static void begin(struct ml_line *line);

static uint64_t retry_ms(unsigned attempt)
{
    uint64_t most = RETRY_FIRST_MS;
    uint32_t random = 0;

    for (; attempt > 1 && most < RETRY_LAST_MS; attempt--)
        most *= 2;
    if (most > RETRY_LAST_MS)
        most = RETRY_LAST_MS;
    (void)!getrandom(&random, sizeof random, 0);
    return most / 2 + random % (most / 2 + 1);
}

static void on_retry(uv_timer_t *timer)
{
    begin(timer->data);
}

static void handle_closed(struct ml_line *line)
{
    if (--line->handles || !line->is_closing || line->is_resolving)
        return;
    if (line->closed)
        line->closed(line);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct ml_line *line = handle->data;

    line->tcp_open = false;
    if (!line->is_closing)
        (void)uv_timer_start(&line->timer, on_retry, retry_ms(line->attempt), 0);
    handle_closed(line);
}

static void on_connect_timeout(uv_timer_t *timer)
{
    ml_line_reset(timer->data);
}

void ml_line_reset(struct ml_line *line)
{
    bool was_up = line->is_up;

    line->is_up = false;
    if (!line->tcp_open || uv_is_closing((uv_handle_t *)&line->tcp))
        return;
    (void)uv_timer_stop(&line->timer);
    redisReaderFree(line->reader);
    line->reader = NULL;
    ml_tls_free(line->tls);
    line->tls = NULL;
    line->is_secured = false;
    line->attempt++;
    uv_close((uv_handle_t *)&line->tcp, on_tcp_closed);
    if (was_up) {
        line->reconnects++;
        line->down(line);
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ml_line *line = handle->data;

    (void)suggested;
    *buf = uv_buf_init(line->room, sizeof line->room);
}

static void greeted(struct ml_line *line, const struct redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        ml_log(ML_LOG_ERROR, "bus.refused", "host=%s port=%u why=%s", line->address.host,
               line->address.port, ML_LOG_TEXT(ml_slice_make(reply->str, (size_t)reply->len)));
        ml_line_reset(line);
        return;
    }
    if (--line->greetings)
        return;
    (void)uv_timer_stop(&line->timer);
    line->attempt = 0;
    line->is_up = true;
    line->up(line);
}

/* False: the line was reset meanwhile. */
static bool take_replies(struct ml_line *line)
{
    struct redisReader *reader = line->reader;
    void *reply = NULL;

    while (line->reader == reader && redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
        if (line->greetings)
            greeted(line, reply);
        else
            line->reply(line, reply);
        freeReplyObject(reply);
        reply = NULL;
    }
    return line->reader == reader && !reader->err;
}

static bool take_bytes(struct ml_line *line, const void *bytes, size_t len)
{
    return line->reader && redisReaderFeed(line->reader, bytes, len) == REDIS_OK &&
           take_replies(line);
}

static bool push_tls(struct ml_line *line);
static void greet(struct ml_line *line);

/* False: it is over. What is taken may reset the line. */
static bool take_secured(struct ml_line *line, const void *bytes, size_t len)
{
    char plain[4096];
    bool is_done = false;
    long got = 0;

    if (!line->tls || !ml_tls_feed(line->tls, ml_slice_make(bytes, len)))
        return false;
    if (!line->is_secured) {
        bool goes_on = ml_tls_greet(line->tls, &is_done);

        if (!push_tls(line) || !goes_on) /* an alert tells the server why */
            return false;
        if (!is_done)
            return true;
        line->is_secured = true;
        greet(line);
    }
    while (line->tls && (got = ml_tls_read(line->tls, plain, sizeof plain)) > 0)
        if (!take_bytes(line, plain, (size_t)got))
            return false;
    return line->tls && got == 0 && push_tls(line);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct ml_line *line = stream->data;
    bool goes_on;

    if (len == 0)
        return;
    goes_on = len > 0 && (line->address.is_tls ? take_secured(line, buf->base, (size_t)len)
                                               : take_bytes(line, buf->base, (size_t)len));
    if (!goes_on)
        ml_line_reset(line);
}

static bool is_text(const struct redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING;
}

bool ml_line_is_message(const struct redisReply *reply, const char *word)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && is_text(reply->element[0]) &&
           (size_t)reply->element[0]->len == strlen(word) &&
           memcmp(reply->element[0]->str, word, strlen(word)) == 0 && is_text(reply->element[1]) &&
           is_text(reply->element[2]);
}

/* ---- Sending --------------------------------------------------------------------------------- */

struct letter {
    uv_write_t request;
    char *text;
};

static void on_written(uv_write_t *request, int status)
{
    struct letter *letter = ML_CONTAINER(request, struct letter, request);

    (void)status; /* reading notices */
    redisFreeCommand(letter->text);
    free(letter);
}

static bool send_text(struct ml_line *line, char *text, size_t len)
{
    struct letter *letter = malloc(sizeof *letter);
    uv_buf_t buf = uv_buf_init(text, (unsigned)len);

    if (letter)
        letter->text = text;
    if (!letter || uv_write(&letter->request, (uv_stream_t *)&line->tcp, &buf, 1, on_written)) {
        free(letter);
        redisFreeCommand(text);
        return false;
    }
    return true;
}

/* Onto the wire with what TLS made. */
static bool push_tls(struct ml_line *line)
{
    size_t len = ml_tls_waiting(line->tls);
    char *text;

    if (!len)
        return true;
    text = malloc(len); /* freed as hiredis frees: by free */
    if (!text)
        return false;
    return send_text(line, text, ml_tls_take(line->tls, text, len));
}

static bool send_words(struct ml_line *line, int count, const char **words, const size_t *lengths)
{
    char *text = NULL;
    int len = redisFormatCommandArgv(&text, count, words, lengths);
    bool sent;

    if (len <= 0 || !line->address.is_tls)
        return len > 0 && send_text(line, text, (size_t)len);
    sent = line->tls && ml_tls_write(line->tls, ml_slice_make(text, (size_t)len));
    redisFreeCommand(text);
    return sent && push_tls(line);
}

bool ml_line_send(struct ml_line *line, int count, const char **words, const size_t *lengths)
{
    if (!line->is_up ||
        uv_stream_get_write_queue_size((uv_stream_t *)&line->tcp) > ML_LINE_OUTBOX_MAX)
        return false;
    return send_words(line, count, words, lengths);
}

/* PING answers also when there is nothing to log in to. */
static void greet(struct ml_line *line)
{
    const struct ml_line_address *a = &line->address;
    const char *auth[3] = {"AUTH"};
    const char *select[2] = {"SELECT"}, *ping[1] = {"PING"};
    char number[16];
    int words = 1;
    bool sent = true;

    line->greetings = 1;
    if (a->password[0]) {
        if (a->user[0])
            auth[words++] = a->user;
        auth[words++] = a->password;
        sent = send_words(line, words, auth, NULL);
        line->greetings++;
    }
    if (a->database) {
        snprintf(number, sizeof number, "%u", a->database);
        select[1] = number;
        sent = sent && send_words(line, 2, select, NULL);
        line->greetings++;
    }
    if (!sent || !send_words(line, 1, ping, NULL))
        ml_line_reset(line);
}

/* Greet with TLS first; take_secured goes on. */
static void secure(struct ml_line *line)
{
    bool is_done;

    line->tls = ml_tls_new(line->address.ca_path, line->address.host);
    if (!line->tls || !ml_tls_greet(line->tls, &is_done) || !push_tls(line))
        ml_line_reset(line);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct ml_line *line = request->data;

    if (status || !line->reader || uv_read_start((uv_stream_t *)&line->tcp, on_alloc, on_read)) {
        ml_line_reset(line);
        return;
    }
    (void)uv_tcp_nodelay(&line->tcp, 1);
    (void)uv_tcp_keepalive(&line->tcp, 1, 20);
    if (line->address.is_tls)
        secure(line);
    else
        greet(line);
}

static void connect_to(struct ml_line *line, const struct sockaddr *address)
{
    line->reader = redisReaderCreate();
    if (!line->reader || uv_tcp_init(line->loop, &line->tcp)) {
        redisReaderFree(line->reader);
        line->reader = NULL;
        line->attempt++;
        (void)uv_timer_start(&line->timer, on_retry, retry_ms(line->attempt), 0);
        return;
    }
    line->handles++;
    line->tcp_open = true;
    line->tcp.data = line;
    line->connecting.data = line;
    (void)uv_timer_start(&line->timer, on_connect_timeout, CONNECT_MS, 0);
    if (uv_tcp_connect(&line->connecting, &line->tcp, address, on_connected))
        ml_line_reset(line);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct ml_line *line = request->data;

    line->is_resolving = false;
    if (line->is_closing) {
        line->handles++;
        handle_closed(line); /* it was waited for */
    } else if (status || !found) {
        line->attempt++;
        (void)uv_timer_start(&line->timer, on_retry, retry_ms(line->attempt), 0);
    } else {
        connect_to(line, found->ai_addr);
    }
    uv_freeaddrinfo(found);
}

static void begin(struct ml_line *line)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char port[8];

    snprintf(port, sizeof port, "%u", line->address.port);
    line->resolving.data = line;
    line->is_resolving = uv_getaddrinfo(line->loop, &line->resolving, on_resolved,
                                        line->address.host, port, &hints) == 0;
    if (!line->is_resolving)
        (void)uv_timer_start(&line->timer, on_retry, retry_ms(++line->attempt), 0);
}

void ml_line_open(struct ml_line *line)
{
    ML_ASSERT(uv_timer_init(line->loop, &line->timer) == 0);
    line->timer.data = line;
    line->handles = 1;
    begin(line);
}

void ml_line_close(struct ml_line *line, void (*closed)(struct ml_line *line))
{
    ML_ASSERT(!line->is_closing);
    line->is_closing = true;
    line->is_up = false;
    line->closed = closed;
    if (line->is_resolving)
        (void)uv_cancel((uv_req_t *)&line->resolving);
    redisReaderFree(line->reader);
    line->reader = NULL;
    ml_tls_free(line->tls);
    line->tls = NULL;
    if (line->tcp_open && !uv_is_closing((uv_handle_t *)&line->tcp))
        uv_close((uv_handle_t *)&line->tcp, on_tcp_closed);
    uv_close((uv_handle_t *)&line->timer, on_timer_closed);
}
