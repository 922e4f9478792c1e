/* SPDX-License-Identifier: MIT */
/*
 * The bus over Redis Pub/Sub.
 *
 *   tell ------------> PUBLISH topic frame   --> speaking line
 *   heard <---------- message topic frame    <-- listening line, which follows one topic per
 * document
 *
 * A subscribed connection takes nothing but subscriptions, hence two lines. Every second the bus
 * says a pulse on a topic that all nodes follow, and hears it again if everything works: three that
 * are missing, or a line that is down, and it is unhealthy (REL-33). When it comes back everything
 * is followed anew, and whoever listens is told that it may have missed something.
 */
#include "bus/frame.h"
#include "bus/implementation.h"
#include "bus/line.h"

#include "base/assert.h"
#include "base/hashmap.h"
#include "base/list.h"
#include "base/log.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#define PULSE_MS      1000
#define PULSES_MISSED 3
#define FOLLOW_BATCH  256

struct topic {
    char name[ML_BUS_TOPIC_BYTES];
};

struct redis {
    struct ml_bus base;
    struct ml_bus_options options;
    uint8_t secret[ML_BUS_SECRET_BYTES];
    struct ml_line speaking, listening;
    struct ml_hashmap topics; /* name → struct topic */
    char pulse_topic[ML_BUS_TOPIC_BYTES];
    uv_timer_t timer;
    uint64_t pulse_heard_ms; /* our own, on the loop's clock */
    bool is_healthy, was_ever_up;
    struct ml_writer frame;
    struct ml_bus_stats stats;
    unsigned open; /* handles and lines */
    void (*done)(void *arg);
    void *done_arg;
};

static struct redis *redis_of(struct ml_bus *bus)
{
    return ML_CONTAINER(bus, struct redis, base);
}

/* ---- Health ---------------------------------------------------------------------------------- */

static void set_healthy(struct redis *r, bool is_healthy)
{
    if (r->is_healthy == is_healthy)
        return;
    r->is_healthy = is_healthy;
    ml_log(is_healthy ? ML_LOG_INFO : ML_LOG_WARN, is_healthy ? "bus.healthy" : "bus.unhealthy",
           "host=%s port=%u", r->speaking.address.host, r->speaking.address.port);
    r->options.changed(r->options.arg, is_healthy);
}

/* ---- Telling --------------------------------------------------------------------------------- */

static bool publish(struct redis *r, const char *topic, struct ml_slice frame)
{
    const char *words[] = {"PUBLISH", topic, (const char *)frame.ptr};
    const size_t lengths[] = {7, strlen(topic), frame.len};

    return ml_line_send(&r->speaking, 3, words, lengths);
}

static bool tell_on(struct redis *r, const char *topic, const struct ml_news *news)
{
    struct ml_news own = *news;

    own.node = r->options.node;
    ml_writer_reset(&r->frame);
    ml_news_encode(&own, r->secret, &r->frame);
    return !r->frame.err && publish(r, topic, ml_writer_slice(&r->frame));
}

static void redis_tell(struct ml_bus *bus, const struct ml_news *news)
{
    struct redis *r = redis_of(bus);
    char topic[ML_BUS_TOPIC_BYTES];

    ml_bus_topic(news->org, news->name, r->secret, topic);
    if (tell_on(r, topic, news))
        r->stats.told++;
    else
        r->stats.dropped++;
}

static void on_pulse(uv_timer_t *timer)
{
    static const struct ml_news pulse = {.kind = ML_NEWS_PULSE};
    struct redis *r = timer->data;

    if (!tell_on(r, r->pulse_topic, &pulse) ||
        uv_now(timer->loop) - r->pulse_heard_ms > PULSES_MISSED * PULSE_MS + PULSE_MS / 2)
        set_healthy(r, false);
}

/* ---- Following ------------------------------------------------------------------------------- */

static void say_follow(struct redis *r, const char *verb, const char *topic)
{
    const char *words[] = {verb, topic};

    (void)ml_line_send(&r->listening, 2, words, NULL); /* down: all are followed when it is up */
}

static void redis_follow(struct ml_bus *bus, struct ml_slice org, struct ml_slice name, bool follow)
{
    struct redis *r = redis_of(bus);
    char topic[ML_BUS_TOPIC_BYTES];
    struct topic *entry;

    ml_bus_topic(org, name, r->secret, topic);
    entry = ml_hashmap_get(&r->topics, ml_slice_str(topic));
    if (follow == (entry != NULL))
        return;
    if (!follow) {
        (void)ml_hashmap_remove(&r->topics, ml_slice_str(topic));
        free(entry);
        say_follow(r, "UNSUBSCRIBE", topic);
        return;
    }
    entry = malloc(sizeof *entry);
    if (!entry)
        return; /* heads are looked at now and then, bus or no bus */
    memcpy(entry->name, topic, sizeof topic);
    if (!ml_hashmap_put(&r->topics, ml_slice_str(entry->name), entry)) {
        free(entry);
        return;
    }
    say_follow(r, "SUBSCRIBE", topic);
}

static void follow_all(struct redis *r)
{
    const char *words[FOLLOW_BATCH + 1] = {"SUBSCRIBE", r->pulse_topic};
    size_t cursor = 0;
    void *entry;
    int count = 2;

    while (ml_hashmap_next(&r->topics, &cursor, &entry)) {
        words[count++] = ((struct topic *)entry)->name;
        if (count == FOLLOW_BATCH + 1) {
            (void)ml_line_send(&r->listening, count, words, NULL);
            count = 1;
        }
    }
    if (count > 1)
        (void)ml_line_send(&r->listening, count, words, NULL);
}

/* ---- Hearing --------------------------------------------------------------------------------- */

static void hear(struct redis *r, struct ml_slice frame)
{
    struct ml_news news;

    if (ml_news_decode(frame, r->secret, &news)) {
        r->stats.forged++;
        return;
    }
    if (news.node == r->options.node) {
        if (news.kind == ML_NEWS_PULSE) {
            r->pulse_heard_ms = uv_now(r->options.loop);
            set_healthy(r, true);
        }
        return;
    }
    r->stats.heard++;
    r->options.heard(r->options.arg, &news);
}

static bool is_word(const struct redisReply *reply, const char *word)
{
    return reply->type == REDIS_REPLY_STRING && (size_t)reply->len == strlen(word) &&
           memcmp(reply->str, word, (size_t)reply->len) == 0;
}

static void on_listening_reply(struct ml_line *line, const struct redisReply *reply)
{
    struct redis *r = line->arg;

    if (reply->type == REDIS_REPLY_ERROR) {
        ml_log(ML_LOG_ERROR, "bus.refused", "why=%s",
               ML_LOG_TEXT(ml_slice_make(reply->str, (size_t)reply->len)));
        ml_line_reset(line);
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
               is_word(reply->element[0], "message") &&
               reply->element[2]->type == REDIS_REPLY_STRING) {
        hear(r, ml_slice_make(reply->element[2]->str, (size_t)reply->element[2]->len));
    }
}

/* How many heard it, or that somebody may not say it. */
static void on_speaking_reply(struct ml_line *line, const struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return;
    ml_log(ML_LOG_ERROR, "bus.refused", "why=%s",
           ML_LOG_TEXT(ml_slice_make(reply->str, (size_t)reply->len)));
    ml_line_reset(line);
}

static void on_listening_up(struct ml_line *line)
{
    struct redis *r = line->arg;

    r->pulse_heard_ms = uv_now(r->options.loop);
    follow_all(r);
}

static void on_speaking_up(struct ml_line *line)
{
    (void)line; /* the next pulse tells */
}

static void on_down(struct ml_line *line)
{
    set_healthy(line->arg, false);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void redis_free(struct redis *r)
{
    void (*done)(void *arg) = r->done;
    void *arg = r->done_arg, *entry;
    size_t cursor = 0;

    while (ml_hashmap_next(&r->topics, &cursor, &entry))
        free(entry);
    ml_hashmap_release(&r->topics);
    ml_writer_release(&r->frame);
    free(r);
    if (done)
        done(arg);
}

static void one_closed(struct redis *r)
{
    if (!--r->open)
        redis_free(r);
}

static void on_line_closed(struct ml_line *line)
{
    one_closed(line->arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    one_closed(handle->data);
}

static void redis_close(struct ml_bus *bus, void (*done)(void *arg), void *arg)
{
    struct redis *r = redis_of(bus);

    r->done = done;
    r->done_arg = arg;
    r->open = 3;
    ml_line_close(&r->speaking, on_line_closed);
    ml_line_close(&r->listening, on_line_closed);
    uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

static void redis_stats(const struct ml_bus *bus, struct ml_bus_stats *out)
{
    const struct redis *r =
        (const struct redis *)(const void *)((const char *)bus - offsetof(struct redis, base));

    *out = r->stats;
    out->reconnects = r->speaking.reconnects + r->listening.reconnects;
    out->is_healthy = r->is_healthy;
}

static const struct ml_bus_ops redis_ops = {redis_close, redis_follow, redis_tell, redis_stats};

static void open_line(struct redis *r, struct ml_line *line, const struct ml_line_address *address,
                      void (*up)(struct ml_line *line),
                      void (*reply)(struct ml_line *line, const struct redisReply *reply))
{
    line->address = *address;
    line->loop = r->options.loop;
    line->up = up;
    line->down = on_down;
    line->reply = reply;
    line->arg = r;
    ml_line_open(line);
}

enum ml_err ml_bus_open_redis(const struct ml_bus_options *options, struct ml_diag *diag,
                              struct ml_bus **bus_out)
{
    struct ml_line_address address;
    enum ml_err err = ml_line_parse(options->url, &address, diag);
    struct redis *r;

    if (err)
        return err;
    r = calloc(1, sizeof *r);
    if (!r)
        return ML_ELIMIT;
    r->base.ops = &redis_ops;
    r->options = *options;
    memcpy(r->secret, options->secret, sizeof r->secret);
    ml_hashmap_init(&r->topics);
    ml_writer_init(&r->frame, 2 * ML_BUS_BYTES_MAX);
    ml_bus_topic(ML_SLICE(""), ML_SLICE("pulse"), r->secret, r->pulse_topic);
    ML_ASSERT(uv_timer_init(options->loop, &r->timer) == 0);
    r->timer.data = r;
    (void)uv_timer_start(&r->timer, on_pulse, PULSE_MS / 10, PULSE_MS);
    open_line(r, &r->speaking, &address, on_speaking_up, on_speaking_reply);
    open_line(r, &r->listening, &address, on_listening_up, on_listening_reply);
    *bus_out = &r->base;
    return ML_OK;
}
