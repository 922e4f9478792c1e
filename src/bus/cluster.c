/* SPDX-License-Identifier: MIT */
/*
 * The bus over sharded Pub/Sub of a Redis Cluster: every topic lives on the server that owns its
 * slot, so that the servers share the work.
 *
 *   map (CLUSTER SLOTS, from any server, the address at first)
 *     slot of topic --> shard --> SPUBLISH on its speaking line
 *                             --> SSUBSCRIBE on its listening line, smessage comes back
 *
 *  [C1] The map is asked for when there is none, when a server says MOVED or takes a subscription
 * away, and every two seconds while a line is down.
 *  [C2] A map that differs, or an answer MOVED, has everything followed anew; following twice is
 * nothing.
 *  [C3] Each shard has a pulse: the first of the numbered pulses whose slot it owns, so that nodes
 * with the same map mean the same.
 */
#include "bus/broker.h"
#include "bus/line.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOTS        16384
#define NOBODY       0xff
#define TICK_MS      500
#define LOOK_TICKS   4 /* [C1] */
#define PULSES_TRIED 4096

struct shard {
    struct cluster *cluster;
    struct ml_line speaking, listening;
    unsigned lines; /* not closed yet */
    bool is_named;  /* in the map that is being read */
    bool is_closing;
};

struct cluster {
    struct ml_broker broker;
    struct ml_line_address address;
    struct ml_line seed;
    struct shard *shards[ML_PULSES_MAX];
    uint8_t owner[SLOTS]; /* place in `shards` */
    uv_timer_t timer;
    unsigned ticks, asked;
    uint64_t reconnects; /* of lines that are gone */
    bool has_map, wants_map, must_follow, is_closing;
};

static struct cluster *cluster_of(struct ml_broker *broker)
{
    return ML_CONTAINER(broker, struct cluster, broker);
}

static struct ml_slice text_of(const struct redisReply *reply)
{
    return ml_slice_make(reply->str, (size_t)reply->len);
}

/* CRC-16/XMODEM, as the servers count. Topics hold no braces. */
static unsigned slot_of(const char *topic)
{
    unsigned crc = 0;

    for (; *topic; topic++) {
        crc ^= (unsigned)(uint8_t)*topic << 8;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
        crc &= 0xffff;
    }
    return crc % SLOTS;
}

static struct shard *shard_of(struct cluster *c, const char *topic)
{
    uint8_t place = c->owner[slot_of(topic)];

    return place == NOBODY ? NULL : c->shards[place];
}

/* ---- Telling and following ------------------------------------------------------------------- */

static bool cluster_publish(struct ml_broker *broker, const char *topic, struct ml_slice frame)
{
    const char *words[] = {"SPUBLISH", topic, (const char *)frame.ptr};
    const size_t lengths[] = {8, strlen(topic), frame.len};
    struct shard *shard = shard_of(cluster_of(broker), topic);

    return shard && ml_line_send(&shard->speaking, 3, words, lengths);
}

/* One command each: the topics of one command must lie in one slot. */
static void cluster_follow(struct ml_broker *broker, const char *const *topics, size_t count,
                           bool follow)
{
    for (size_t i = 0; i < count; i++) {
        const char *words[] = {follow ? "SSUBSCRIBE" : "SUNSUBSCRIBE", topics[i]};
        struct shard *shard = shard_of(cluster_of(broker), topics[i]);

        if (shard) /* nobody yet, or down: all are followed when it is up */
            (void)ml_line_send(&shard->listening, 2, words, NULL);
    }
}

/* ---- Shards ---------------------------------------------------------------------------------- */

static void on_speaking_reply(struct ml_line *line, const struct redisReply *reply);
static void on_listening_reply(struct ml_line *line, const struct redisReply *reply);

static void on_speaking_up(struct ml_line *line)
{
    (void)line; /* the next pulse tells */
}

static void on_listening_up(struct ml_line *line)
{
    struct shard *shard = line->arg;

    ml_broker_follow_all(&shard->cluster->broker);
}

static void on_down(struct ml_line *line)
{
    struct shard *shard = line->arg;

    ml_broker_down(&shard->cluster->broker);
}

static void on_line_closed(struct ml_line *line)
{
    struct shard *shard = line->arg;
    struct cluster *c = shard->cluster;

    c->reconnects += line->reconnects;
    if (!--shard->lines) {
        for (unsigned i = 0; i < ML_PULSES_MAX; i++)
            if (c->shards[i] == shard)
                c->shards[i] = NULL;
        free(shard);
    }
    if (c->is_closing)
        ml_broker_one_closed(&c->broker);
}

static void close_shard(struct shard *shard)
{
    if (shard->is_closing)
        return;
    shard->is_closing = true;
    ml_line_close(&shard->speaking, on_line_closed);
    ml_line_close(&shard->listening, on_line_closed);
}

static void open_line(struct shard *shard, struct ml_line *line,
                      const struct ml_line_address *address, void (*up)(struct ml_line *line),
                      void (*reply)(struct ml_line *line, const struct redisReply *reply))
{
    line->address = *address;
    line->loop = shard->cluster->broker.options.loop;
    line->up = up;
    line->down = on_down;
    line->reply = reply;
    line->arg = shard;
    ml_line_open(line);
}

static bool is_at(const struct shard *shard, const struct ml_line_address *address)
{
    const struct ml_line_address *own = &shard->speaking.address;

    return !shard->is_closing && own->port == address->port &&
           strcmp(own->host, address->host) == 0;
}

/* The place of the server; NOBODY: no room, or no memory. */
static uint8_t place_of(struct cluster *c, const struct ml_line_address *address)
{
    unsigned empty = ML_PULSES_MAX;

    for (unsigned i = 0; i < ML_PULSES_MAX; i++) {
        if (c->shards[i] && is_at(c->shards[i], address))
            return (uint8_t)i;
        if (!c->shards[i] && empty == ML_PULSES_MAX)
            empty = i;
    }
    if (empty == ML_PULSES_MAX || !(c->shards[empty] = calloc(1, sizeof *c->shards[empty])))
        return NOBODY;
    c->shards[empty]->cluster = c;
    c->shards[empty]->lines = 2;
    open_line(c->shards[empty], &c->shards[empty]->speaking, address, on_speaking_up,
              on_speaking_reply);
    open_line(c->shards[empty], &c->shards[empty]->listening, address, on_listening_up,
              on_listening_reply);
    return (uint8_t)empty;
}

/* ---- The map --------------------------------------------------------------------------------- */

static void set_pulses(struct cluster *c)
{
    bool has[ML_PULSES_MAX] = {false};
    unsigned count = 0, wanted = 0;
    char topic[ML_BUS_TOPIC_BYTES];

    for (unsigned i = 0; i < ML_PULSES_MAX; i++)
        wanted += c->shards[i] && c->shards[i]->is_named;
    for (unsigned n = 0; n < PULSES_TRIED && count < wanted; n++) {
        uint8_t place;

        ml_broker_pulse_topic(&c->broker, n, topic);
        place = c->owner[slot_of(topic)];
        if (place == NOBODY || has[place])
            continue;
        has[place] = true;
        memcpy(c->broker.pulses[count].topic, topic, sizeof topic);
        c->broker.pulses[count++].heard_ms = 0;
    }
    c->broker.pulse_count = count ? count : 1;
}

/* [first, last, [host, port, …], replicas …]. An unknown host is the one that was asked. */
static bool read_range(struct cluster *c, const struct redisReply *range, const char *asked,
                       uint8_t *owner)
{
    struct ml_line_address address = c->address;
    const struct redisReply *master;
    uint8_t place;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
        range->element[0]->type != REDIS_REPLY_INTEGER ||
        range->element[1]->type != REDIS_REPLY_INTEGER || range->element[0]->integer < 0 ||
        range->element[1]->integer >= SLOTS)
        return false;
    master = range->element[2];
    if (master->type != REDIS_REPLY_ARRAY || master->elements < 2 ||
        master->element[1]->type != REDIS_REPLY_INTEGER || master->element[1]->integer < 1 ||
        master->element[1]->integer > 65535)
        return false;
    if (master->element[0]->type == REDIS_REPLY_STRING && master->element[0]->len)
        asked = master->element[0]->str;
    if (strlen(asked) >= sizeof address.host)
        return false;
    memmove(address.host, asked, strlen(asked) + 1);
    address.port = (uint16_t)master->element[1]->integer;
    place = place_of(c, &address);
    if (place == NOBODY)
        return false;
    c->shards[place]->is_named = true;
    for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer; slot++)
        owner[slot] = place;
    return true;
}

static void take_map(struct cluster *c, const struct redisReply *reply, const char *asked)
{
    uint8_t owner[SLOTS];
    bool is_new;

    memset(owner, NOBODY, sizeof owner);
    for (unsigned i = 0; i < ML_PULSES_MAX; i++)
        if (c->shards[i])
            c->shards[i]->is_named = false;
    for (size_t i = 0; i < reply->elements; i++)
        if (!read_range(c, reply->element[i], asked, owner))
            ml_log(ML_LOG_ERROR, "bus.refused", "why=%s", "a range of the cluster's map");
    c->wants_map = false;
    is_new = !c->has_map || memcmp(owner, c->owner, sizeof owner) != 0;
    if (!is_new && !c->must_follow)
        return;
    memcpy(c->owner, owner, sizeof owner);
    c->has_map = reply->elements > 0;
    c->must_follow = false;
    for (unsigned i = 0; i < ML_PULSES_MAX; i++)
        if (c->shards[i] && !c->shards[i]->is_named)
            close_shard(c->shards[i]);
    set_pulses(c);
    ml_broker_down(&c->broker); /* what was told meanwhile went elsewhere */
    ml_broker_follow_all(&c->broker);
}

/* Servers are asked in turn: one that does not answer is not asked twice. */
static void ask_map(struct cluster *c)
{
    const char *words[] = {"CLUSTER", "SLOTS"};

    for (unsigned i = 0; i < ML_PULSES_MAX; i++) {
        struct shard *shard = c->shards[c->asked++ % ML_PULSES_MAX];

        if (shard && !shard->is_closing && ml_line_send(&shard->speaking, 2, words, NULL))
            return;
    }
    (void)ml_line_send(&c->seed, 2, words, NULL);
}

static bool all_up(const struct cluster *c)
{
    for (unsigned i = 0; i < ML_PULSES_MAX; i++)
        if (c->shards[i] && !(c->shards[i]->speaking.is_up && c->shards[i]->listening.is_up))
            return false;
    return c->has_map;
}

static void on_tick(uv_timer_t *timer)
{
    struct cluster *c = timer->data;

    c->ticks++;
    if (c->wants_map || (c->ticks % LOOK_TICKS == 0 && (!all_up(c) || !c->broker.is_healthy)))
        ask_map(c);
}

/* ---- Hearing --------------------------------------------------------------------------------- */

static bool begins(const struct redisReply *reply, const char *word)
{
    return (size_t)reply->len >= strlen(word) && memcmp(reply->str, word, strlen(word)) == 0;
}

/* What a cluster says while it changes is no fault of ours. */
static void hear_error(struct cluster *c, struct ml_line *line, const struct redisReply *reply)
{
    if (begins(reply, "MOVED") || begins(reply, "ASK") || begins(reply, "TRYAGAIN") ||
        begins(reply, "CLUSTERDOWN")) {
        c->wants_map = c->must_follow = true; /* [C2] */
        return;
    }
    ml_log(ML_LOG_ERROR, "bus.refused", "why=%s", ML_LOG_TEXT(text_of(reply)));
    ml_line_reset(line);
}

static void on_speaking_reply(struct ml_line *line, const struct redisReply *reply)
{
    struct shard *shard = line->arg;

    if (reply->type == REDIS_REPLY_ERROR)
        hear_error(shard->cluster, line, reply);
    else if (reply->type == REDIS_REPLY_ARRAY && !shard->is_closing)
        take_map(shard->cluster, reply, line->address.host);
}

static bool is_followed(const struct cluster *c, struct ml_slice topic)
{
    for (unsigned i = 0; i < c->broker.pulse_count; i++)
        if (ml_slice_equal(topic, ml_slice_str(c->broker.pulses[i].topic)))
            return true;
    return ml_hashmap_get(&c->broker.topics, topic) != NULL;
}

static void on_listening_reply(struct ml_line *line, const struct redisReply *reply)
{
    struct shard *shard = line->arg;
    struct cluster *c = shard->cluster;

    if (reply->type == REDIS_REPLY_ERROR) {
        hear_error(c, line, reply);
    } else if (ml_line_is_message(reply, "smessage")) {
        ml_broker_hear(&c->broker, text_of(reply->element[1]), text_of(reply->element[2]));
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
               reply->element[0]->type == REDIS_REPLY_STRING &&
               reply->element[1]->type == REDIS_REPLY_STRING &&
               begins(reply->element[0], "sunsubscribe") &&
               is_followed(c, text_of(reply->element[1]))) {
        c->wants_map = c->must_follow = true; /* the slot went elsewhere */
    }
}

/* ---- Opening and closing --------------------------------------------------------------------- */

static void on_seed_reply(struct ml_line *line, const struct redisReply *reply)
{
    struct cluster *c = line->arg;

    if (reply->type == REDIS_REPLY_ARRAY)
        take_map(c, reply, line->address.host);
    else if (reply->type == REDIS_REPLY_ERROR)
        hear_error(c, line, reply);
}

static void on_seed_up(struct ml_line *line)
{
    struct cluster *c = line->arg;

    if (!c->has_map)
        ask_map(c);
}

static void on_seed_down(struct ml_line *line)
{
    (void)line; /* the shards tell */
}

static void on_seed_closed(struct ml_line *line)
{
    struct cluster *c = line->arg;

    ml_broker_one_closed(&c->broker);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct cluster *c = handle->data;

    ml_broker_one_closed(&c->broker);
}

static unsigned cluster_close(struct ml_broker *broker)
{
    struct cluster *c = cluster_of(broker);
    unsigned open = 2;

    c->is_closing = true;
    for (unsigned i = 0; i < ML_PULSES_MAX; i++) {
        if (!c->shards[i])
            continue;
        open += c->shards[i]->lines;
        close_shard(c->shards[i]);
    }
    ml_line_close(&c->seed, on_seed_closed);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    return open;
}

static void cluster_free(struct ml_broker *broker)
{
    free(cluster_of(broker));
}

static uint64_t cluster_reconnects(const struct ml_broker *broker)
{
    const struct cluster *c = (const struct cluster *)(const void *)broker; /* its first member */
    uint64_t count = c->reconnects;

    for (unsigned i = 0; i < ML_PULSES_MAX; i++)
        if (c->shards[i])
            count += c->shards[i]->speaking.reconnects + c->shards[i]->listening.reconnects;
    return count;
}

static const struct ml_broker_ops cluster_ops = {
    cluster_publish,    cluster_follow,  cluster_close,   cluster_free,
    cluster_reconnects, "redis-cluster", ML_BUS_BYTES_MAX};

/* redis+cluster://… is redis://… of any of its servers. */
static enum ml_err parse(const char *url, struct ml_line_address *out, struct ml_diag *diag)
{
    const char *plus = strchr(url, '+'), *rest = strstr(url, "://");
    char plain[1024];
    int len;

    if (!plus || !rest || plus > rest)
        return ml_diag_set(diag, ML_EFORMAT, 0, "the bus must be redis+cluster://HOST[:PORT]");
    len = snprintf(plain, sizeof plain, "%.*s%s", (int)(plus - url), url, rest);
    if (len < 0 || (size_t)len >= sizeof plain)
        return ml_diag_set(diag, ML_EFORMAT, 0, "the address of the bus is too long");
    return ml_line_parse(plain, out, diag);
}

enum ml_err ml_bus_open_cluster(const struct ml_bus_options *options, struct ml_diag *diag,
                                struct ml_bus **bus_out)
{
    struct ml_line_address address;
    enum ml_err err = parse(options->url, &address, diag);
    struct cluster *c;

    if (!err && address.database)
        err = ml_diag_set(diag, ML_EFORMAT, 0, "a Redis Cluster has no databases to choose from");
    if (err)
        return err;
    c = calloc(1, sizeof *c);
    if (!c)
        return ML_ELIMIT;
    c->address = address;
    memset(c->owner, NOBODY, sizeof c->owner);
    ml_broker_init(&c->broker, &cluster_ops, options);
    ML_ASSERT(uv_timer_init(options->loop, &c->timer) == 0);
    c->timer.data = c;
    (void)uv_timer_start(&c->timer, on_tick, TICK_MS, TICK_MS);
    c->seed.address = address;
    c->seed.loop = options->loop;
    c->seed.up = on_seed_up;
    c->seed.down = on_seed_down;
    c->seed.reply = on_seed_reply;
    c->seed.arg = c;
    ml_line_open(&c->seed);
    *bus_out = &c->broker.base;
    return ML_OK;
}
