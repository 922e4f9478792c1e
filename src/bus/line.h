/* SPDX-License-Identifier: MIT */
/*
 * One connection to a Redis server: connects, connects again, sends commands, hands out replies.
 * Knows RESP2 (hiredis reads and formats it) and no meaning. Private to bus/.
 *
 *              open, retry                connected, AUTH and SELECT sent
 *   (none) ------------------> CONNECTING -------------------------------> UP
 *                                  ^                                        |
 *                                  +--- a random part of 100 ms … 5 s ------+  lost, or an error
 * reply to the greeting
 */
#ifndef ML_BUS_LINE_H
#define ML_BUS_LINE_H

#include "base/err.h"
#include "base/slice.h"

#include <hiredis/hiredis.h>
#include <uv.h>

/* Waiting to be sent; REL-35. */
#define ML_LINE_OUTBOX_MAX (8u << 20)

struct ml_line_address {
    char host[256], user[128], password[256];
    char ca_path[256]; /* "": the machine's authorities */
    uint16_t port;
    unsigned database;
    bool is_tls;
};

struct ml_line {
    struct ml_line_address address;
    uv_loop_t *loop;
    void (*up)(struct ml_line *line);   /* greeted: now it may send */
    void (*down)(struct ml_line *line); /* what was sent may be lost */
    void (*reply)(struct ml_line *line, const struct redisReply *reply);
    void *arg;
    /* private */
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connecting;
    uv_getaddrinfo_t resolving;
    struct redisReader *reader;
    struct ml_tls *tls; /* NULL: plain */
    unsigned greetings; /* replies that belong to the greeting */
    unsigned attempt, handles;
    bool is_up, is_closing, tcp_open, is_resolving, is_secured;
    uint64_t reconnects;
    char room[16u << 10]; /* what is being read */
    void (*closed)(struct ml_line *line);
};

/** redis[s]://[[user]:password@]host[:port][/database][?ca=FILE]. */
enum ml_err ml_line_parse(const char *url, struct ml_line_address *out,
                          struct ml_diag *diag) ML_MUST_CHECK;
/** The caller has set address, loop, up, down, reply, arg. */
void ml_line_open(struct ml_line *line);
void ml_line_close(struct ml_line *line, void (*closed)(struct ml_line *line));
/** False: not connected, or too much waits: the command is dropped. */
bool ml_line_send(struct ml_line *line, int count, const char **words, const size_t *lengths);
/** [word, topic, bytes]? */
bool ml_line_is_message(const struct redisReply *reply, const char *word);
/** The server says nothing any more: connect anew. */
void ml_line_reset(struct ml_line *line);

#endif
