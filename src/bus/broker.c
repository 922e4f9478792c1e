/* SPDX-License-Identifier: MIT */
#include "bus/broker.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define PULSE_MS      500
#define SILENT_MAX_MS 3250 /* REL-33: six are missing */
#define FOLLOW_BATCH  256

struct topic {
    char name[ML_BUS_TOPIC_BYTES];
};

static struct ml_broker *broker_of(struct ml_bus *bus)
{
    return ML_CONTAINER(bus, struct ml_broker, base);
}

/* ---- Health ---------------------------------------------------------------------------------- */

static void set_healthy(struct ml_broker *b, bool is_healthy)
{
    if (b->is_healthy == is_healthy)
        return;
    b->is_healthy = is_healthy;
    ml_log(is_healthy ? ML_LOG_INFO : ML_LOG_WARN, is_healthy ? "bus.healthy" : "bus.unhealthy",
           "kind=%s", b->ops->name);
    b->options.changed(b->options.arg, is_healthy);
}

void ml_broker_down(struct ml_broker *b)
{
    set_healthy(b, false);
}

/* Our own pulse was heard a while ago, or could not be yet. */
static uint64_t silent_ms(const struct ml_broker *b, const struct ml_pulse *pulse)
{
    uint64_t since = pulse->heard_ms > pulse->asked_ms ? pulse->heard_ms : pulse->asked_ms;

    return uv_now(b->options.loop) - since;
}

/* Ours came back. */
static void hear_pulse(struct ml_broker *b, struct ml_slice topic)
{
    bool all = true;

    for (unsigned i = 0; i < b->pulse_count; i++) {
        if (ml_slice_equal(topic, ml_slice_str(b->pulses[i].topic)))
            b->pulses[i].heard_ms = uv_now(b->options.loop);
        all = all && b->pulses[i].heard_ms && silent_ms(b, &b->pulses[i]) <= SILENT_MAX_MS;
    }
    if (all)
        set_healthy(b, true);
}

/* ---- Telling --------------------------------------------------------------------------------- */

static bool tell_on(struct ml_broker *b, const char *topic, const struct ml_news *news)
{
    struct ml_news own = *news;

    own.node = b->options.node;
    if (own.bytes.len > b->ops->bytes_max) {
        if (own.kind == ML_NEWS_PRESENCE || own.kind == ML_NEWS_MESSAGE)
            return false; /* without its bytes it would be a question, or nothing */
        own.bytes = (struct ml_slice){0};
    }
    ml_writer_reset(&b->frame);
    ml_news_encode(&own, b->secret, &b->frame);
    return !b->frame.err && b->ops->publish(b, topic, ml_writer_slice(&b->frame));
}

static void say_pulse(struct ml_broker *b)
{
    const struct ml_news pulse = {.kind = ML_NEWS_PULSE, .last = b->is_leaving};

    for (unsigned i = 0; i < b->pulse_count; i++)
        if (!tell_on(b, b->pulses[i].topic, &pulse) || silent_ms(b, &b->pulses[i]) > SILENT_MAX_MS)
            set_healthy(b, false);
}

static void broker_tell(struct ml_bus *bus, const struct ml_news *news)
{
    struct ml_broker *b = broker_of(bus);
    char topic[ML_BUS_TOPIC_BYTES];

    if (news->kind == ML_NEWS_PULSE) {
        b->is_leaving = news->last != 0;
        say_pulse(b);
        return;
    }
    ml_bus_topic(news->org, news->name, b->secret, topic);
    if (tell_on(b, topic, news))
        b->stats.told++;
    else
        b->stats.dropped++;
}

static void on_pulse(uv_timer_t *timer)
{
    say_pulse(timer->data);
}

/* ---- Following ------------------------------------------------------------------------------- */

static void broker_follow(struct ml_bus *bus, struct ml_slice org, struct ml_slice name,
                          bool follow)
{
    struct ml_broker *b = broker_of(bus);
    char topic[ML_BUS_TOPIC_BYTES];
    const char *one = topic;
    struct topic *entry;

    ml_bus_topic(org, name, b->secret, topic);
    entry = ml_hashmap_get(&b->topics, ml_slice_str(topic));
    if (follow == (entry != NULL))
        return;
    if (!follow) {
        (void)ml_hashmap_remove(&b->topics, ml_slice_str(topic));
        free(entry);
        b->ops->follow(b, &one, 1, false);
        return;
    }
    entry = malloc(sizeof *entry);
    if (!entry)
        return; /* heads are looked at now and then, bus or no bus */
    memcpy(entry->name, topic, sizeof topic);
    if (!ml_hashmap_put(&b->topics, ml_slice_str(entry->name), entry)) {
        free(entry);
        return;
    }
    b->ops->follow(b, &one, 1, true);
}

void ml_broker_follow_all(struct ml_broker *b)
{
    const char *names[FOLLOW_BATCH];
    size_t cursor = 0, count = 0;
    void *entry;

    for (unsigned i = 0; i < b->pulse_count; i++) {
        b->pulses[i].heard_ms = 0;
        b->pulses[i].asked_ms = uv_now(b->options.loop);
        names[count++] = b->pulses[i].topic;
    }
    while (ml_hashmap_next(&b->topics, &cursor, &entry)) {
        names[count++] = ((struct topic *)entry)->name;
        if (count == FOLLOW_BATCH) {
            b->ops->follow(b, names, count, true);
            count = 0;
        }
    }
    if (count)
        b->ops->follow(b, names, count, true);
}

/* ---- Hearing --------------------------------------------------------------------------------- */

void ml_broker_hear(struct ml_broker *b, struct ml_slice topic, struct ml_slice frame)
{
    struct ml_news news;

    if (ml_news_decode(frame, b->secret, &news)) {
        b->stats.forged++;
        return;
    }
    if (news.node == b->options.node) {
        if (news.kind == ML_NEWS_PULSE)
            hear_pulse(b, topic);
        return;
    }
    b->stats.heard++;
    b->options.heard(b->options.arg, &news);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

void ml_broker_one_closed(struct ml_broker *b)
{
    void (*done)(void *arg) = b->done;
    void *arg = b->done_arg, *entry;
    size_t cursor = 0;

    if (--b->open)
        return;
    while (ml_hashmap_next(&b->topics, &cursor, &entry))
        free(entry);
    ml_hashmap_release(&b->topics);
    ml_writer_release(&b->frame);
    b->ops->free(b);
    if (done)
        done(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    ml_broker_one_closed(handle->data);
}

static void broker_close(struct ml_bus *bus, void (*done)(void *arg), void *arg)
{
    struct ml_broker *b = broker_of(bus);

    b->done = done;
    b->done_arg = arg;
    b->open = 1 + b->ops->close(b);
    uv_close((uv_handle_t *)&b->timer, on_timer_closed);
}

static const struct ml_broker *reader_of(const struct ml_bus *bus)
{
    return (const struct ml_broker *)(const void *)((const char *)bus -
                                                    offsetof(struct ml_broker, base));
}

static size_t broker_bytes_max(const struct ml_bus *bus)
{
    return reader_of(bus)->ops->bytes_max;
}

static void broker_stats(const struct ml_bus *bus, struct ml_bus_stats *out)
{
    const struct ml_broker *b = reader_of(bus);

    *out = b->stats;
    out->reconnects = b->ops->reconnects(b);
    out->is_healthy = b->is_healthy;
    for (unsigned i = 0; i < b->pulse_count; i++)
        if (silent_ms(b, &b->pulses[i]) > out->silent_ms)
            out->silent_ms = silent_ms(b, &b->pulses[i]);
}

static const struct ml_bus_ops broker_ops = {broker_close, broker_follow, broker_tell, broker_stats,
                                             broker_bytes_max};

void ml_broker_pulse_topic(const struct ml_broker *b, unsigned number, char *out)
{
    char name[24];

    snprintf(name, sizeof name, number ? "pulse%u" : "pulse", number);
    ml_bus_topic(ML_SLICE(""), ml_slice_str(name), b->secret, out);
}

void ml_broker_init(struct ml_broker *b, const struct ml_broker_ops *ops,
                    const struct ml_bus_options *options)
{
    b->base.ops = &broker_ops;
    b->ops = ops;
    b->options = *options;
    memcpy(b->secret, options->secret, sizeof b->secret);
    b->options.url = NULL;
    b->options.secret = NULL;
    ml_hashmap_init(&b->topics);
    ml_writer_init(&b->frame, 2 * ML_BUS_BYTES_MAX);
    b->pulse_count = 1;
    ml_broker_pulse_topic(b, 0, b->pulses[0].topic);
    ML_ASSERT(uv_timer_init(options->loop, &b->timer) == 0);
    b->timer.data = b;
    (void)uv_timer_start(&b->timer, on_pulse, PULSE_MS / 10, PULSE_MS);
}
