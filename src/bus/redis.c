/* SPDX-License-Identifier: MIT */
/*
 * The bus over Redis Pub/Sub.
 *
 *   publish ---> PUBLISH topic frame ---> speaking line
 *   hear   <---- message topic frame <--- listening line, which follows one topic per document
 *
 * A subscribed connection takes nothing but subscriptions, hence two lines.
 */
#include "bus/broker.h"
#include "bus/line.h"

#include "base/list.h"
#include "base/log.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#define FOLLOW_BATCH 256

struct redis {
    struct ml_broker broker;
    struct ml_line speaking, listening;
};

static struct redis *redis_of(struct ml_broker *broker)
{
    return ML_CONTAINER(broker, struct redis, broker);
}

/* ---- Telling and following ------------------------------------------------------------------- */

static bool redis_publish(struct ml_broker *broker, const char *topic, struct ml_slice frame)
{
    const char *words[] = {"PUBLISH", topic, (const char *)frame.ptr};
    const size_t lengths[] = {7, strlen(topic), frame.len};

    return ml_line_send(&redis_of(broker)->speaking, 3, words, lengths);
}

static void redis_follow(struct ml_broker *broker, const char *const *topics, size_t count,
                         bool follow)
{
    const char *words[FOLLOW_BATCH + 1] = {follow ? "SUBSCRIBE" : "UNSUBSCRIBE"};

    while (count) {
        size_t some = count < FOLLOW_BATCH ? count : FOLLOW_BATCH;

        memcpy(words + 1, topics, some * sizeof *words);
        /* Down: all are followed when it is up. */
        (void)ml_line_send(&redis_of(broker)->listening, (int)some + 1, words, NULL);
        topics += some;
        count -= some;
    }
}

/* ---- Hearing --------------------------------------------------------------------------------- */

static struct ml_slice text_of(const struct redisReply *reply)
{
    return ml_slice_make(reply->str, (size_t)reply->len);
}

static void on_listening_reply(struct ml_line *line, const struct redisReply *reply)
{
    struct redis *r = line->arg;

    if (reply->type == REDIS_REPLY_ERROR) {
        ml_log(ML_LOG_ERROR, "bus.refused", "why=%s", ML_LOG_TEXT(text_of(reply)));
        ml_line_reset(line);
    } else if (ml_line_is_message(reply, "message")) {
        ml_broker_hear(&r->broker, text_of(reply->element[1]), text_of(reply->element[2]));
    }
}

/* How many heard it, or that somebody may not say it. */
static void on_speaking_reply(struct ml_line *line, const struct redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return;
    ml_log(ML_LOG_ERROR, "bus.refused", "why=%s", ML_LOG_TEXT(text_of(reply)));
    ml_line_reset(line);
}

static void on_listening_up(struct ml_line *line)
{
    struct redis *r = line->arg;

    ml_broker_follow_all(&r->broker);
}

static void on_speaking_up(struct ml_line *line)
{
    (void)line; /* the next pulse tells */
}

static void on_down(struct ml_line *line)
{
    struct redis *r = line->arg;

    ml_broker_down(&r->broker);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void on_line_closed(struct ml_line *line)
{
    struct redis *r = line->arg;

    ml_broker_one_closed(&r->broker);
}

static unsigned redis_close(struct ml_broker *broker)
{
    ml_line_close(&redis_of(broker)->speaking, on_line_closed);
    ml_line_close(&redis_of(broker)->listening, on_line_closed);
    return 2;
}

static void redis_free(struct ml_broker *broker)
{
    free(redis_of(broker));
}

static uint64_t redis_reconnects(const struct ml_broker *broker)
{
    const struct redis *r = (const struct redis *)(const void *)broker; /* its first member */

    return r->speaking.reconnects + r->listening.reconnects;
}

static const struct ml_broker_ops redis_ops = {redis_publish,   redis_follow,     redis_close,
                                               redis_free,      redis_reconnects, "redis",
                                               ML_BUS_BYTES_MAX};

static void open_line(struct redis *r, struct ml_line *line, const struct ml_line_address *address,
                      void (*up)(struct ml_line *line),
                      void (*reply)(struct ml_line *line, const struct redisReply *reply))
{
    line->address = *address;
    line->loop = r->broker.options.loop;
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
    ml_broker_init(&r->broker, &redis_ops, options);
    open_line(r, &r->speaking, &address, on_speaking_up, on_speaking_reply);
    open_line(r, &r->listening, &address, on_listening_up, on_listening_reply);
    *bus_out = &r->broker.base;
    return ML_OK;
}
