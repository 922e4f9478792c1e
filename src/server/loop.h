/* SPDX-License-Identifier: MIT */
/*
 * One loop of the process: thread, libuv loop, rooms, net, Lua states. Number 0 is the main
 * thread's and the one that listens.
 */
#ifndef ML_SERVER_LOOP_H
#define ML_SERVER_LOOP_H

#include "bus/bus.h"
#include "journal/journal.h"
#include "net/net.h"
#include "room/room.h"
#include "server/config.h"
#include "server/keys.h"
#include "server/outside.h"
#include "server/plugins.h"
#include "server/seal.h"

#include <pthread.h>

enum ml_loop_phase {
    ML_LOOP_SERVING,
    ML_LOOP_DRAINING,    /* members are closed, rooms commit */
    ML_LOOP_CLOSING_NET, /* what is left of the connections */
    ML_LOOP_CLOSING,     /* the last rooms */
    ML_LOOP_QUIET,       /* nothing left but the inbox: other loops may still write */
    ML_LOOP_ENDED,
};

/* What the loops of the process have in common. Written before the threads start, but for the
 * atomics and what the mutex guards. */
struct ml_process {
    struct ml_shared_store *shared; /* of the plugins */
    unsigned count;
    struct ml_hub *hub;
    struct ml_rooms_shared rooms;
    struct ml_deploy *deploy; /* the plugins we started with */
    struct ml_plugins *plugins;
    uint8_t seal_key[ML_SEAL_KEY_BYTES];
    bool has_seal_key;
    struct ml_keys *keys; /* NULL: none */
    bool is_shared;       /* other nodes may stand over the same store */
    uint64_t node;        /* this one, random, a multiple of ML_NODE_LOOPS (carrier.h) */
    uint8_t bus_secret[32];
    _Atomic bool must_drain;
    _Atomic unsigned quiet, ended; /* loops that came so far */
    _Atomic unsigned generation;   /* of `config`: the loops look at it */
    pthread_mutex_t mutex;
    const struct ml_config *config; /* the newest; under the mutex once the threads run */
};

struct ml_loop {
    struct ml_process *process;
    unsigned number;
    uv_loop_t uv;
    uv_thread_t thread;
    struct ml_journal *journal; /* the journal itself (number 0), or a door to it */
    struct ml_outside *outside;
    struct ml_fetcher *fetcher;
    struct ml_sweep *sweep; /* loop 0 */
    struct ml_worker *worker;
    struct ml_cells *cells;              /* NULL: no plugins */
    struct ml_bus *bus;                  /* NULL: no other node */
    uint64_t others[ML_BOARD_NODES_MAX]; /* nodes that were heard when last looked */
    size_t other_count;
    struct ml_rooms *rooms;
    struct ml_net *net;
    struct ml_engine_limits engine_limits; /* of this loop's documents */
    uv_timer_t tick;
    enum ml_loop_phase phase;
    uint64_t drain_until_ms;
    unsigned ticks, generation;
    bool is_attached;
    _Atomic uint64_t held_since_ms; /* some room cannot commit; 0: all can */
};

/**
 * Make the parts, nothing runs yet. On failure what loop 0 had is released (the others' failure
 * ends the process).
 * @param journal   loop 0: the journal; the others: where to attach a door
 * @param port_out  loop 0: the port that was taken
 */
enum ml_err ml_loop_open(struct ml_loop *loop, struct ml_process *process, unsigned number,
                         struct ml_journal *journal, struct ml_diag *diag,
                         uint16_t *port_out) ML_MUST_CHECK;
/** Once its loop has ended: what plugins had. */
void ml_loop_release(struct ml_loop *loop);
/** The other loops' threads. False: no thread. */
bool ml_loop_start(struct ml_loop *loop);
/** For loop 0, whose signals and journal keep it alive: what a tick of the others does. */
void ml_loop_tick(struct ml_loop *loop);

#endif
