/* SPDX-License-Identifier: MIT */
/*
 * The bus: what was committed here, told to the other nodes; what was committed there, heard here.
 * It is a hint (REL-30): it may lose, repeat, reorder and delay anything for ever, so nobody relies
 * on it but to be fast. Who misses something reads the journal.
 *
 * One bus per loop, used on that loop only; no call waits. A node hears of the documents that it
 * asked for, and never of what it said itself.
 *
 *   "local"                no other node
 *   "redis://…"            Redis Pub/Sub: a channel per document, two connections per loop
 *   "rediss://…?ca=FILE"   the same over TLS
 *   "redis+cluster://…"    sharded Pub/Sub: two connections per loop to each server of the cluster
 *   "postgres://…"         NOTIFY: a channel per document, one connection per loop
 */
#ifndef ML_BUS_BUS_H
#define ML_BUS_BUS_H

#include "base/err.h"
#include "base/slice.h"

#include <uv.h>

#define ML_BUS_SECRET_BYTES 32
/* News are told with their bytes up to here; larger ones say only that they exist. */
#define ML_BUS_BYTES_MAX (64u << 10)

struct ml_bus;

enum ml_news_kind {
    ML_NEWS_RECORDS = 1,  /* records first … last were committed; bytes: all of them merged, V1 */
    ML_NEWS_PRESENCE = 2, /* an awareness update of members over there */
    ML_NEWS_DELETED = 3,  /* the document was deleted */
    /* A node is alive; no document. Said by the bus itself; who says one with `last` 1 leaves on
     * purpose, and all that follow say so, too. */
    ML_NEWS_PULSE = 4,
    /* A plugin tells itself elsewhere; name: NUL, its instance. Not told without its bytes. */
    ML_NEWS_MESSAGE = 5,
};

/** Slices are borrowed for the call. */
struct ml_news {
    enum ml_news_kind kind;
    uint64_t node; /* who says it; filled in by the bus that tells */
    struct ml_slice org, name;
    uint64_t epoch, first, last;
    struct ml_slice bytes; /* records: empty means "read them" */
};

struct ml_bus_options {
    const char *url;
    uv_loop_t *loop;
    uint64_t node;         /* random, of this loop of this process */
    const uint8_t *secret; /* ML_BUS_SECRET_BYTES: frames that others made are dropped */
    void (*heard)(void *arg, const struct ml_news *news);
    /** Healthy: what is published arrives, as far as anybody can tell. False also means that
     * anything may have been missed. */
    void (*changed)(void *arg, bool is_healthy);
    void *arg;
};

struct ml_bus_stats {
    uint64_t told, heard, dropped; /* dropped: the outbox was full */
    uint64_t forged;               /* heard with a wrong MAC or malformed */
    uint64_t reconnects;
    uint64_t silent_ms; /* since the bus was last seen to work */
    bool is_healthy;
};

/** Is this the address of a bus? */
bool ml_bus_knows(const char *url);
/**
 * Connecting happens later and again and again; a bus that cannot be reached is unhealthy, no
 * error.
 * @retval ML_EFORMAT  the address cannot be understood
 */
enum ml_err ml_bus_open(const struct ml_bus_options *options, struct ml_diag *diag,
                        struct ml_bus **bus_out) ML_MUST_CHECK;
/** Close what is open; the loop has to turn for it. `done` may be NULL. */
void ml_bus_close(struct ml_bus *bus, void (*done)(void *arg), void *arg);

/** Hear of a document, or no more. Counted by the caller: once each. */
void ml_bus_follow(struct ml_bus *bus, struct ml_slice org, struct ml_slice name);
void ml_bus_unfollow(struct ml_bus *bus, struct ml_slice org, struct ml_slice name);
/** Never waits and never fails: a full outbox drops. */
void ml_bus_tell(struct ml_bus *bus, const struct ml_news *news);
void ml_bus_stats(const struct ml_bus *bus, struct ml_bus_stats *out);
/** News with more are told without their bytes, or not at all. */
size_t ml_bus_bytes_max(const struct ml_bus *bus);
/** Is there somebody to tell at all? */
bool ml_bus_is_local(const struct ml_bus *bus);

#endif
