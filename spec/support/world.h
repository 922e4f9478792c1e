/* SPDX-License-Identifier: MIT */
/*
 * A whole Moonloom in one thread: real rooms and engine, the memory journal, a clock that moves
 * when told, and clients that follow the y-websocket provider. One seed decides everything.
 *
 * Wires between client and server are queues; nothing travels until world_step or world_settle says
 * so, and a wire may be cut at any moment. The world folds the journal into `truth` after every
 * transaction and checks, always:
 *   [W1] seqs are gapless;
 *   [W2] what any client is sent was in the journal before;
 *   [W3] what is acknowledged is in the journal;
 *   [W4] the engine's own invariants hold (ml_doc_check) for every replica it looks at.
 */
#ifndef ML_SPEC_WORLD_H
#define ML_SPEC_WORLD_H

#include "base/list.h"
#include "room/room.h"

#define WORLD_CLIENTS 12

struct world;

struct wire_item {
    struct ml_list node;
    struct ml_blob *bytes; /* to the client: a frame; to the server: a frame's message */
    uint64_t message_no;
};

struct client {
    struct ml_port port; /* first: the server side of its connection */
    struct world *world;
    uint64_t id;    /* Yjs client id */
    uint64_t clock; /* of what it wrote */
    struct ml_doc *replica;
    bool is_connected, is_joined, is_paused, was_closed;
    enum ml_close closed_why;
    struct ml_member *member;
    struct ml_list to_client, to_server, unacked;
    uint64_t message_no, acked_no;
    bool has_answered; /* the server's Step1: from then on every edit is sent */
    bool is_synced;
    unsigned frames, updates, presences; /* received since it connected */
    struct ml_slice last_presence;       /* in last_frame */
    struct ml_blob *last_frame;
    char name[16];
    bool reader;
};

struct world {
    uint64_t seed, rng;
    uint64_t now_ms;
    struct ml_room_env env;
    struct ml_rooms *rooms; /* the document's */
    struct ml_rooms *front; /* the loop of the clients; the same unless the world is split */
    struct ml_list mail[2]; /* ml_parcel.node: on the way to loop 0, 1 */
    struct ml_journal *journal;
    struct ml_arena scratch;
    struct client clients[WORLD_CLIENTS];
    unsigned client_count;
    struct ml_doc *truth;
    uint64_t truth_head;
    uint64_t next_id;
};

void world_open(struct world *world, uint64_t seed, unsigned clients);
/* Clients are on another loop than the document; letters travel when the world says so. */
void world_split(struct world *world);
/* New rooms, from world->env. Nobody may be connected. */
void world_restart_rooms(struct world *world);
void world_close(struct world *world);
/* False: there was none. */
bool world_deliver_mail(struct world *world);
uint64_t world_random(struct world *world, uint64_t below);

/* The process dies: nothing in memory survives, no wire is told. The journal stays. */
void world_crash(struct world *world);

void client_connect(struct client *client);
void client_disconnect(struct client *client);
/* Type one character, or (if it has any) delete one of its own. Sent if connected. */
void client_type(struct client *client);
void client_delete(struct client *client);
void client_presence(struct client *client, uint64_t clock, const char *json);
/* What its replica says about the text of client `id`. */
void client_reads(struct client *client, uint64_t id, char *out, size_t size);

/* Move one thing: deliver a message, run the journal, let time pass; chosen at random. */
void world_step(struct world *world);
/* Deliver and commit until nothing moves. */
void world_settle(struct world *world);
void world_deliver_to_server(struct client *client);
void world_lose_to_server(struct client *client);
void world_deliver_to_client(struct client *client);
void world_commit(struct world *world);
void world_advance(struct world *world, uint64_t ms);
/* Everybody has exactly what the journal has. */
void world_assert_converged(struct world *world);

#endif
