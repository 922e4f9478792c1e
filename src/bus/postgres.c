/* SPDX-License-Identifier: MIT */
/*
 * The bus over NOTIFY of PostgreSQL: for who has no Redis.
 *
 *   RESTING --retry--> STARTING --> CONNECTING --> UP --lost, an error, silent for 10 s--> RESTING
 *                      (pool)       (PQconnectPoll)
 *
 * One connection speaks and listens. Commits that notify are serialised by the server, so what
 * gathers while one statement is under way goes out with the next one, in one transaction. A
 * payload is text below 8000 bytes: frames are base64, and news with more than 5000 bytes say only
 * that they exist. STARTING is on a thread of the pool since it looks up names.
 *
 * Values are arguments; LISTEN takes none, and what stands in it is hex digits of ours.
 */
#include "bus/broker.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"

#include <libpq-fe.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define BYTES_MAX      5000
#define PAYLOAD_MAX    8000
#define OUTBOX_MAX     (1u << 20)
#define ORDERS_MAX     (8u << 20)
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS  5000
#define SILENT_MS      10000

enum state { RESTING, STARTING, CONNECTING, UP };

struct postgres {
    struct ml_broker broker;
    char *url;
    enum state state;
    PGconn *conn;
    uv_poll_t *poll; /* freed when it is closed */
    int fd;          /* that `poll` watches */
    uv_timer_t timer;
    uv_work_t work;
    unsigned attempt;
    uint64_t reconnects;
    bool is_busy, is_closing;
    struct ml_writer orders;           /* LISTEN and UNLISTEN */
    struct ml_writer topics, payloads; /* array literals without their last brace */
};

static struct postgres *postgres_of(struct ml_broker *broker)
{
    return ML_CONTAINER(broker, struct postgres, broker);
}

/* ---- Losing ---------------------------------------------------------------------------------- */

static void start(struct postgres *p);

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void unwatch(struct postgres *p)
{
    if (p->poll)
        uv_close((uv_handle_t *)p->poll, on_poll_closed);
    p->poll = NULL;
}

static void on_retry(uv_timer_t *timer)
{
    start(timer->data);
}

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

static void drop(struct postgres *p)
{
    unwatch(p);
    PQfinish(p->conn);
    p->conn = NULL;
    p->is_busy = false;
    p->state = RESTING;
    ml_writer_reset(&p->orders);
    ml_writer_reset(&p->topics);
    ml_writer_reset(&p->payloads);
}

static void lose(struct postgres *p, const char *doing)
{
    const char *why = p->conn ? PQerrorMessage(p->conn) : "no connection";
    bool was_up = p->state == UP;

    ml_log(ML_LOG_WARN, "bus.lost", "kind=postgres doing=%s why=%s", doing,
           ML_LOG_TEXT(ml_slice_make(why, strcspn(why, "\n"))));
    drop(p);
    (void)uv_timer_start(&p->timer, on_retry, retry_ms(++p->attempt), 0);
    if (was_up) {
        p->reconnects++;
        ml_broker_down(&p->broker);
    }
}

static void on_silence(uv_timer_t *timer)
{
    lose(timer->data, "waiting");
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *poll, int status, int events);

static bool watch(struct postgres *p, int events)
{
    int fd = PQsocket(p->conn);

    if (p->poll && p->fd != fd)
        unwatch(p);
    if (!p->poll) {
        p->poll = malloc(sizeof *p->poll);
        if (!p->poll)
            return false;
        if (uv_poll_init(p->broker.options.loop, p->poll, fd)) {
            free(p->poll);
            p->poll = NULL;
            return false;
        }
        p->poll->data = p;
        p->fd = fd;
    }
    return uv_poll_start(p->poll, events, on_poll) == 0;
}

static bool push(struct postgres *p)
{
    int left = PQflush(p->conn);

    return left >= 0 && watch(p, left ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static bool send_orders(struct postgres *p)
{
    bool sent;

    ml_write_u8(&p->orders, '\0');
    sent = !p->orders.err && PQsendQuery(p->conn, (const char *)p->orders.ptr);
    ml_writer_reset(&p->orders);
    return sent;
}

static bool send_news(struct postgres *p)
{
    static const char sql[] =
        "SELECT pg_notify(c, p) FROM unnest($1::text[], $2::text[]) AS n(c, p)";
    const char *values[2];
    bool sent;

    ml_write_bytes(&p->topics, ML_SLICE("}\0"));
    ml_write_bytes(&p->payloads, ML_SLICE("}\0"));
    values[0] = (const char *)p->topics.ptr;
    values[1] = (const char *)p->payloads.ptr;
    sent = !p->topics.err && !p->payloads.err &&
           PQsendQueryParams(p->conn, sql, 2, NULL, values, NULL, NULL, 0);
    ml_writer_reset(&p->topics);
    ml_writer_reset(&p->payloads);
    return sent;
}

static void flush(struct postgres *p)
{
    if (p->state != UP || p->is_busy || (!p->orders.len && !p->topics.len))
        return;
    if (!(p->orders.len ? send_orders(p) : send_news(p))) {
        lose(p, "sending");
        return;
    }
    p->is_busy = true;
    (void)uv_timer_start(&p->timer, on_silence, SILENT_MS, 0);
    if (!push(p))
        lose(p, "sending");
}

static bool postgres_publish(struct ml_broker *broker, const char *topic, struct ml_slice frame)
{
    struct postgres *p = postgres_of(broker);
    uint8_t text[PAYLOAD_MAX];
    int len;

    if (p->state != UP || p->payloads.len > OUTBOX_MAX || frame.len / 3 * 4 + 5 > sizeof text)
        return false;
    len = EVP_EncodeBlock(text, frame.ptr, (int)frame.len);
    ml_write_u8(&p->topics, p->topics.len ? ',' : '{');
    ml_write_bytes(&p->topics, ml_slice_str(topic));
    ml_write_u8(&p->payloads, p->payloads.len ? ',' : '{');
    ml_write_bytes(&p->payloads, ml_slice_make(text, (size_t)len));
    flush(p);
    return true;
}

static void postgres_follow(struct ml_broker *broker, const char *const *topics, size_t count,
                            bool follow)
{
    struct postgres *p = postgres_of(broker);

    if (p->state != UP)
        return;
    for (size_t i = 0; i < count; i++) {
        ml_write_bytes(&p->orders, follow ? ML_SLICE("LISTEN \"") : ML_SLICE("UNLISTEN \""));
        ml_write_bytes(&p->orders, ml_slice_str(topics[i]));
        ml_write_bytes(&p->orders, ML_SLICE("\";"));
    }
    if (p->orders.err)
        lose(p, "following");
    else
        flush(p);
}

/* ---- Hearing --------------------------------------------------------------------------------- */

static void hear(struct postgres *p, const PGnotify *notice)
{
    size_t len = strlen(notice->extra);
    uint8_t frame[PAYLOAD_MAX];
    int got;

    if (!len || len > sizeof frame || len % 4)
        return; /* whoever may connect may say something here */
    got = EVP_DecodeBlock(frame, (const uint8_t *)notice->extra, (int)len);
    for (size_t i = len; got > 0 && i > len - 2 && notice->extra[i - 1] == '='; i--)
        got--;
    if (got > 0)
        ml_broker_hear(&p->broker, ml_slice_str(notice->relname),
                       ml_slice_make(frame, (size_t)got));
}

/* What was heard may lead to what is told, and so to a connection that is lost. */
static void hear_all(struct postgres *p)
{
    PGconn *conn = p->conn;
    PGnotify *notice;

    while (p->conn == conn && (notice = PQnotifies(conn)) != NULL) {
        hear(p, notice);
        PQfreemem(notice);
    }
}

static bool take_results(struct postgres *p)
{
    while (p->is_busy && !PQisBusy(p->conn)) {
        PGresult *result = PQgetResult(p->conn);
        ExecStatusType status = PQresultStatus(result);

        PQclear(result);
        if (!result) {
            p->is_busy = false;
            p->attempt = 0;
            (void)uv_timer_stop(&p->timer);
        } else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            return false;
        }
    }
    return true;
}

static void on_ready(struct postgres *p, int events)
{
    if ((events & UV_READABLE) && (!PQconsumeInput(p->conn) || !take_results(p))) {
        lose(p, "reading");
        return;
    }
    if (!push(p)) {
        lose(p, "sending");
        return;
    }
    hear_all(p);
    flush(p);
}

/* ---- Connecting ------------------------------------------------------------------------------ */

static void on_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static void advance(struct postgres *p)
{
    PostgresPollingStatusType status;

    if (p->poll)
        (void)uv_poll_stop(p->poll); /* libpq may close the descriptor and take another */
    status = PQconnectPoll(p->conn);
    if (status == PGRES_POLLING_OK && PQsetnonblocking(p->conn, 1) == 0 && watch(p, UV_READABLE)) {
        (void)uv_timer_stop(&p->timer);
        p->state = UP;
        ml_broker_follow_all(&p->broker);
    } else if ((status != PGRES_POLLING_READING && status != PGRES_POLLING_WRITING) ||
               !watch(p, status == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE)) {
        lose(p, "connecting");
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct postgres *p = poll->data;

    if (status < 0)
        events = UV_READABLE; /* libpq says what is the matter */
    if (p->state == CONNECTING)
        advance(p);
    else
        on_ready(p, events);
}

static void begin_on_pool(uv_work_t *work)
{
    static const char *const words[] = {"keepalives_idle",
                                        "keepalives_interval",
                                        "keepalives_count",
                                        "tcp_user_timeout",
                                        "fallback_application_name",
                                        "dbname",
                                        NULL};
    struct postgres *p = ML_CONTAINER(work, struct postgres, work);
    const char *const values[] = {"20", "5", "3", "30000", "moonloom-bus", p->url, NULL};

    p->conn = PQconnectStartParams(words, values, 1);
}

static void on_begun(uv_work_t *work, int status)
{
    struct postgres *p = ML_CONTAINER(work, struct postgres, work);

    if (p->is_closing) {
        drop(p);
        ml_broker_one_closed(&p->broker);
        return;
    }
    if (status || !p->conn || PQstatus(p->conn) == CONNECTION_BAD) {
        lose(p, "connecting");
        return;
    }
    (void)PQsetNoticeReceiver(p->conn, on_notice, NULL);
    p->state = CONNECTING;
    (void)uv_timer_start(&p->timer, on_silence, SILENT_MS, 0);
    if (!watch(p, UV_WRITABLE)) /* as after PGRES_POLLING_WRITING, says libpq */
        lose(p, "connecting");
}

static void start(struct postgres *p)
{
    p->state = STARTING;
    if (uv_queue_work(p->broker.options.loop, &p->work, begin_on_pool, on_begun)) {
        p->state = RESTING;
        (void)uv_timer_start(&p->timer, on_retry, RETRY_LAST_MS, 0);
    }
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct postgres *p = handle->data;

    ml_broker_one_closed(&p->broker);
}

static unsigned postgres_close(struct ml_broker *broker)
{
    struct postgres *p = postgres_of(broker);
    bool is_starting = p->state == STARTING;

    p->is_closing = true;
    if (is_starting)
        (void)uv_cancel((uv_req_t *)&p->work);
    else
        drop(p);
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
    return 1 + is_starting;
}

static void postgres_free(struct ml_broker *broker)
{
    struct postgres *p = postgres_of(broker);

    ml_writer_release(&p->orders);
    ml_writer_release(&p->topics);
    ml_writer_release(&p->payloads);
    free(p->url);
    free(p);
}

static uint64_t postgres_reconnects(const struct ml_broker *broker)
{
    return ((const struct postgres *)(const void *)broker)->reconnects; /* its first member */
}

static const struct ml_broker_ops postgres_ops = {
    postgres_publish,    postgres_follow, postgres_close, postgres_free,
    postgres_reconnects, "postgres",      BYTES_MAX};

static enum ml_err check_address(const char *url, struct ml_diag *diag)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &why);
    enum ml_err err = ML_OK;

    if (!options)
        err = ml_diag_set(diag, ML_EFORMAT, 0, "the bus: %.*s", why ? (int)strcspn(why, "\n") : 0,
                          why ? why : "");
    PQfreemem(why);
    PQconninfoFree(options);
    return err;
}

enum ml_err ml_bus_open_postgres(const struct ml_bus_options *options, struct ml_diag *diag,
                                 struct ml_bus **bus_out)
{
    enum ml_err err = check_address(options->url, diag);
    struct postgres *p;

    if (err)
        return err;
    p = calloc(1, sizeof *p);
    if (!p)
        return ML_ELIMIT;
    p->url = strdup(options->url);
    if (!p->url) {
        free(p);
        return ML_ELIMIT;
    }
    ml_writer_init(&p->orders, ORDERS_MAX);
    ml_writer_init(&p->topics, 2 * OUTBOX_MAX);
    ml_writer_init(&p->payloads, 2 * OUTBOX_MAX);
    ml_broker_init(&p->broker, &postgres_ops, options);
    ML_ASSERT(uv_timer_init(options->loop, &p->timer) == 0);
    p->timer.data = p;
    start(p);
    *bus_out = &p->broker.base;
    return ML_OK;
}
