/* SPDX-License-Identifier: MIT */
/*
 * What every bus does whose news go through a server: a topic per document, frames, and the pulse.
 * A transport carries frames (redis.c, postgres.c, cluster.c). Private to bus/.
 *
 *   tell ---> frame ---> publish(topic) ---> server ---> ml_broker_hear(topic, frame) ---> heard
 *
 * Twice a second the bus says a pulse and hears it again if everything works: none for three
 * seconds, or ml_broker_down, and it is unhealthy (REL-33). A transport over several servers has a
 * pulse on each. When the server is there again everything is followed anew, and whoever listens is
 * told that it may have missed something.
 */
#ifndef ML_BUS_BROKER_H
#define ML_BUS_BROKER_H

#include "bus/frame.h"
#include "bus/implementation.h"

#include "base/hashmap.h"

#define ML_PULSES_MAX 32 /* servers of one bus */

struct ml_broker;

struct ml_broker_ops {
    /** False: not connected, or too much waits: the frame is dropped. */
    bool (*publish)(struct ml_broker *broker, const char *topic, struct ml_slice frame);
    /** Hear of them, or no more. What is not connected does nothing: ml_broker_follow_all comes. */
    void (*follow)(struct ml_broker *broker, const char *const *topics, size_t count, bool follow);
    /** Close what is open; answers how often ml_broker_one_closed will be called, later. */
    unsigned (*close)(struct ml_broker *broker);
    void (*free)(struct ml_broker *broker);
    uint64_t (*reconnects)(const struct ml_broker *broker);
    const char *name; /* for the log */
    size_t bytes_max; /* news with more are told without their bytes */
};

struct ml_pulse {
    char topic[ML_BUS_TOPIC_BYTES];
    uint64_t heard_ms; /* our own, on the loop's clock; 0: not since it was asked for */
    uint64_t asked_ms;
};

/* The first member of a transport. */
struct ml_broker {
    struct ml_bus base;
    const struct ml_broker_ops *ops;
    struct ml_bus_options options; /* .url and .secret are not kept */
    uint8_t secret[ML_BUS_SECRET_BYTES];
    struct ml_hashmap topics; /* name → struct topic */
    struct ml_pulse pulses[ML_PULSES_MAX];
    unsigned pulse_count;
    uv_timer_t timer;
    bool is_healthy, is_leaving;
    struct ml_writer frame;
    struct ml_bus_stats stats;
    unsigned open;
    void (*done)(void *arg);
    void *done_arg;
};

/** One pulse; a transport may set others later. */
void ml_broker_init(struct ml_broker *broker, const struct ml_broker_ops *ops,
                    const struct ml_bus_options *options);
/** The topic of the pulse `number`. */
void ml_broker_pulse_topic(const struct ml_broker *broker, unsigned number, char *out);
void ml_broker_hear(struct ml_broker *broker, struct ml_slice topic, struct ml_slice frame);
/** Connected anew. Pulses count from now. */
void ml_broker_follow_all(struct ml_broker *broker);
/** What was told may be lost. */
void ml_broker_down(struct ml_broker *broker);
void ml_broker_one_closed(struct ml_broker *broker);

#endif
