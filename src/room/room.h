/* SPDX-License-Identifier: MIT */
/*
 * One live document: members, staging, presence. The one place where everything meets.
 *
 * A room does no I/O of its own. It is told the time, is handed bytes, and reaches the world
 * through ml_room_env (journal, script) and one ml_port per member (the connection behind it).
 * Nobody hears of an edit before it is in the journal: an update is integrated and *staged*;
 * acknowledgement, echo and fan-out follow the commit, once per commit and not once per keystroke.
 *
 * Everything here belongs to one loop thread. Ports and journal answers are called on it too.
 */
#ifndef ML_ROOM_ROOM_H
#define ML_ROOM_ROOM_H

#include "auth/auth.h"
#include "base/arena.h"
#include "base/blob.h"
#include "base/histogram.h"
#include "bus/bus.h"
#include "engine/engine.h"
#include "journal/journal.h"
#include "proto/proto.h"
#include "room/audit.h"
#include "script/script.h"

struct ml_rooms;  /* all rooms of one loop */
struct ml_room;   /* one live document */
struct ml_member; /* one client's seat in one room */

/* What a frame is for the one who queues it. */
enum ml_send {
    ML_SEND_UPDATE, /* counts against the outbox; at the hard ceiling the session ends with 1013 */
    ML_SEND_PRESENCE, /* may be dropped when the receiver is slow */
    ML_SEND_SYNC,     /* part of the answer to a Step1: as large as the document, one answer at a
                         time; counts against a pool of the whole node, not against the outbox */
    ML_SEND_LARGE,    /* the first part of a change that is larger than a frame may be: counts as an
                         answer does, unless so much of earlier ones waits that the ceiling is met */
    ML_SEND_MORE,     /* a further part of it */
};

/** What a policy refused of a message. Borrowed for the call. */
struct ml_notice {
    const struct ml_denial *denial;
    uint64_t message_no;
    bool is_fenced;               /* nothing of it was taken, and nothing will be; else: undone */
    const struct ml_slice *paths; /* where it was; none: all of it */
    size_t path_count;
    bool is_message; /* not of an update, but of ml_room_message */
};

/** How a room reaches the client behind a member. Implemented by net, and by spec/support. */
struct ml_port {
    enum ml_dialect dialect;
    /**
     * Queue a complete frame. Takes its own reference. ML_EBUSY: outbox at its ceiling, the port
     * closes itself. Never calls back.
     */
    enum ml_err (*send)(struct ml_port *port, struct ml_blob *frame, enum ml_send as);
    /** The client's message `message_no` and all before it are durable. Never calls back. */
    void (*ack)(struct ml_port *port, uint64_t message_no);
    /**
     * The seat is ready (`member`), or the join failed (`member` NULL, `why`) and the seat is gone.
     * Once; from inside ml_rooms_join if the room is loaded already. Frames may follow at once.
     */
    void (*joined)(struct ml_port *port, struct ml_member *member, enum ml_close why);
    /** The connection has to end. The port calls ml_member_leave later, never from inside this. */
    void (*close)(struct ml_port *port, enum ml_close why, struct ml_slice reason);
    /** Reading from this client pauses or goes on (back-pressure). Never calls back. */
    void (*pause)(struct ml_port *port, bool paused);
    /**
     * What its frames begin with: the document's name, perhaps with more behind it. Empty in
     * dialects without addresses. Lives as long as the port.
     */
    struct ml_slice address;
    /* The rest may be NULL, or false. */
    /** Just before `ack`: that message is record `seq`. Never calls back. */
    void (*recorded)(struct ml_port *port, uint64_t message_no, uint64_t seq);
    /** A policy has just refused a message, or some of its edits. Never calls back. */
    void (*refused)(struct ml_port *port, const struct ml_notice *notice);
    /**
     * A message that ml_room_submit took was refused after all, all before it are durable or
     * refused. Only by rooms of other loops, which answer late. Never calls back.
     */
    void (*failed)(struct ml_port *port, uint64_t message_no, enum ml_err err);
    /** A text for its client, which ml_room_message has brought. Never calls back. */
    void (*said)(struct ml_port *port, struct ml_slice text);
    bool is_hidden; /* nobody is there: not counted among the sessions */
    bool is_own;    /* what it sends the server has written, under a client id of its own */
};

/**
 * What one loop sends another. It is opened once, on the loop it was sent to, and frees itself.
 * `rooms` NULL: that loop has ended; on any thread.
 */
struct ml_parcel {
    struct ml_list node;
    void (*open)(struct ml_parcel *parcel, struct ml_rooms *rooms);
};

/** On which of `loops` loops does this document live? The same in one process. */
unsigned ml_document_loop(struct ml_slice org, struct ml_slice name, unsigned loops);

/* What the rooms of all loops count together. */
struct ml_rooms_shared {
    _Atomic uint32_t rooms;
    _Atomic size_t memory_bytes;
};

/** Whose edits a member may bring: its user's alone, or, flagged, others', too. claims.c */
struct ml_authorship {
    bool is_strict;
    const char *const *except; /* orgs in which it is the other way; borrowed */
    size_t except_count;
};

struct ml_room_limits {
    const struct ml_engine_limits *engine; /* NULL: defaults */
    size_t staged_bytes; /* 4 MiB: staged and held updates of one room, then back-pressure */
    size_t frame_bytes;  /* 512 KiB: a larger first sync is split */
    size_t presence_state_bytes; /* 4 KiB: JSON of one client */
    uint32_t presence_clients;   /* 2: awareness ids of one member */
    uint32_t members;            /* 1 000 in one room */
    uint32_t rooms;              /* 100 000 */
    uint32_t grace_ms;           /* 30 000: an empty room stays so long */
    uint32_t rest_ms;            /* 60 000: nobody wrote for so long: only bytes are kept */
    size_t rooms_bytes;          /* 1 GiB: memory of all rooms; then the idle ones give way */
    uint32_t presence_ms;        /* 30 000: a cursor that is not renewed goes */
    size_t document_bytes;       /* 64 MiB: encoded size, hard */
    struct ml_authorship authorship;
};

struct ml_room_env {
    struct ml_bus *bus; /* to other nodes over the same store; NULL: there can be none */
    bool looks_alone;   /* without a bus, too, orgs may be shut by an administrator's command */
    struct ml_journal *journal;
    struct ml_cells *cells;   /* the plugins of every org; NULL: see `script` */
    struct ml_script *script; /* one for all orgs, for specs; NULL: no plugins */
    uint64_t (*mono_ms)(void *arg);
    int64_t (*wall_ms)(void *arg);
    uint64_t (*random)(void *arg); /* for the server's own client ids */
    void *arg;
    struct ml_room_limits limits; /* zero fields: the defaults beside them */
    unsigned loop, loops;         /* which one of how many; 0, 0: alone */
    /** Takes all parcels of the list, in order. Never opens one before it returns, if that loop is
     * alive. */
    void (*post)(void *arg, unsigned loop, struct ml_list *parcels);
    void *post_arg;
    struct ml_rooms_shared *shared;     /* NULL: not shared; else it outlives all rooms */
    struct ml_snapshot_policy snapshot; /* core default; plugins may set it per document */
};

/** Copies env. NULL: out of memory. */
struct ml_rooms *ml_rooms_new(const struct ml_room_env *env);
/** From now on. Zero fields: the defaults. Documents that are there keep `engine`'s address. */
void ml_rooms_set_limits(struct ml_rooms *rooms, const struct ml_room_limits *limits);
/** No room may be left (ml_rooms_is_empty). */
void ml_rooms_free(struct ml_rooms *rooms);
/** Expiry, cadence, retries, unloading. Call every 50 ms or so with the time moving. */
void ml_rooms_tick(struct ml_rooms *rooms);
/**
 * Presence that became news since the last call leaves, and so do letters to other loops. Call
 * once per turn of the loop, before outboxes are written, and after. False: there was nothing to do
 * for this loop's own ports.
 */
bool ml_rooms_flush(struct ml_rooms *rooms);
/**
 * No new joins; what members sent is committed and acknowledged, then they are closed with `why`,
 * spread over up to 8 s if they are many; rooms take their last snapshot and go. Goes on in
 * ml_rooms_tick. Finished when ml_rooms_is_empty.
 */
void ml_rooms_drain(struct ml_rooms *rooms, enum ml_close why);
bool ml_rooms_is_empty(const struct ml_rooms *rooms);
/** For simulations: the process dies here. Frees everything, tells nobody, writes nothing. */
void ml_rooms_crash(struct ml_rooms *rooms);

/**
 * Take a seat. The document is loaded once, whoever waits for it shares the load; nobody is sent a
 * half-loaded document. Answers through port->joined. On success the port is then sent the
 * awareness of everybody who is online, and before it Step1 where the dialect speaks first.
 *
 * @param org, name  valid (ml_org_is_valid, ml_document_name_is_valid)
 * @param grant      allows at least reading
 * @param member_out the seat; usable after port->joined, but it may be left before that
 * @retval ML_EBUSY  draining, too many rooms or members, or no memory for another room:
 *                   port->joined will not be called
 */
enum ml_err ml_rooms_join(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                          const struct ml_identity *identity, const struct ml_grant *grant,
                          struct ml_port *port, struct ml_member **member_out) ML_MUST_CHECK;
/**
 * Its rights are `grant`'s from now on, more or fewer; what the room has taken stays taken, what
 * waits for room is looked at under the new ones.
 * @param grant     allows at least reading
 * @param identity  of a new credential; NULL: as it was
 * @retval false  it is somebody else, or there is no memory: nothing has changed, the seat has to
 *                be given up
 */
bool ml_member_renew(struct ml_member *member, const struct ml_identity *identity,
                     const struct ml_grant *grant);
/** Who sits there and what it may do; of a seat in another loop without the rules. */
const struct ml_identity *ml_member_identity(const struct ml_member *member);
const struct ml_grant *ml_member_grant(const struct ml_member *member);
/**
 * Give the seat up (not after a failed join). What was staged is committed all the same; cursors
 * leave. The port is not called again; the member is gone. Not from inside a port's function.
 */
void ml_member_leave(struct ml_member *member);

/**
 * One keystroke: steps 5 to 9. An OK says that it is staged (or known already): port->ack follows
 * when it is durable.
 *
 * @param message_no  grows with every message of this member
 * @param is_reply    a Step2: what a reader already has is no write
 * @retval ML_EFORMAT, ML_ELIMIT  broken or too big: nothing was taken
 * @retval ML_EDENIED             no right to write, and it would have changed something
 * @retval ML_EBUSY               the room is full of staged work; the port has been paused, ask
 * again
 */
enum ml_err ml_room_submit(struct ml_member *from, struct ml_slice bytes, uint64_t message_no,
                           bool is_reply, struct ml_arena *scratch) ML_MUST_CHECK;
/** Answer a Step1 with a Step2 (split if large), once nothing of the answer is staged. */
enum ml_err ml_room_sync(struct ml_member *member, struct ml_slice state_vector,
                         struct ml_arena *scratch) ML_MUST_CHECK;
/** Everything up to `message_no` that this member sent: port->ack when durable, at once if it is.
 */
void ml_room_confirm(struct ml_member *member, uint64_t message_no);
/** Merge an awareness update and forward what is news. */
enum ml_err ml_room_presence(struct ml_member *from, struct ml_slice update,
                             struct ml_arena *scratch) ML_MUST_CHECK;
/**
 * A text for the plugins (hook `message`); without one nothing happens. Refusals: port->refused.
 * @retval ML_EBUSY  the room is full of work; the port has been paused, ask again
 */
enum ml_err ml_room_message(struct ml_member *from, struct ml_slice text,
                            struct ml_arena *scratch) ML_MUST_CHECK;
/** Answer QueryAwareness. */
enum ml_err ml_room_query_presence(struct ml_member *member) ML_MUST_CHECK;

/* ---- From outside: without a seat (outside.c) ------------------------------------------------ */

/**
 * The journal has changed behind the room's back (deleted, made): everybody is sent away with
 * `why`, what is staged and not on its way is dropped, and the next to come loads it anew.
 * False: the document is not live here.
 */
bool ml_rooms_dismiss(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                      enum ml_close why, const char *reason);

struct ml_room_session {
    const struct ml_identity *identity;
    const struct ml_grant *grant;
    enum ml_dialect dialect;
};
/** Who is here. Nothing that `each` calls may change the room. */
void ml_rooms_each_session(const struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                           void (*each)(void *arg, const struct ml_room_session *session),
                           void *arg);
/** Send one away (4403). False: nobody of that session id is here. */
bool ml_rooms_remove_session(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name,
                             struct ml_slice session);
/**
 * Is the document at this seq, with nothing staged after it? UINT64_MAX: at any. What is submitted
 * at once becomes the very next record then.
 */
bool ml_member_is_at(const struct ml_member *member, uint64_t seq);
/**
 * What it submits until the next call of this is refused for that reason, as if a plugin had; NULL:
 * no more. The denial is borrowed.
 * @retval false  its room is on another loop: nothing was noted
 */
bool ml_member_refuse(struct ml_member *member, const struct ml_denial *denial);
/** Seq of the last committed record. */
uint64_t ml_member_seq(const struct ml_member *member);

/** A hook that is told through the queue of jobs (document_deleted, org_…). */
struct ml_later {
    const char *hook;
    struct ml_slice org, document;            /* document: empty, whatever instances are for */
    struct ml_slice args;                     /* JSON: what the hook gets */
    void (*done)(void *arg, enum ml_err err); /* ML_OK: it is durable, and will be told */
    void *arg;
};
/** Copies everything. False: nobody has this hook (or no memory, logged): done will not run. */
bool ml_rooms_tell_later(struct ml_rooms *rooms, const struct ml_later *what);

#include "room/birth.h"
#include "room/errand.h"

/* Times by powers of two: place i counts what took less than 2^i ms, the last one the rest. */
#define ML_TIME_PLACES 16

/* ---- Other nodes ------------------------------------------------------------------------------
 */

/** From the bus of this loop. */
void ml_rooms_heard(struct ml_rooms *rooms, const struct ml_news *news);
void ml_rooms_bus_changed(struct ml_rooms *rooms, bool is_healthy);
/** Who was heard lately: ids as buses have them, of loops, other ones of this process among them.
 */
size_t ml_rooms_nodes(const struct ml_rooms *rooms, uint64_t *ids_out, size_t max);

struct ml_rooms_stats {
    uint64_t rooms, members, held_rooms, staged_bytes;
    uint64_t memory_bytes, resting_rooms;
    uint64_t foreign, relayed; /* updates with edits of others: refused; taken */
    uint64_t updates, refused, commits, frames_sent, presence_dropped, snapshots, snapshot_errors;
    uint64_t loads, closed, evicted; /* rooms: loaded, gone, gone before their time */
    uint64_t wakes, rests;           /* documents built from bytes, and back */
    uint64_t answers_shared;         /* first syncs that cost no encode */
    uint64_t joins_refused;          /* full, draining, no memory */
    uint64_t conflicts, resolutions; /* asked about; records that hold an answer */
    uint64_t moved;                  /* another node was faster */
    uint64_t from_others, holes;     /* records of other nodes; times they had to be read */
    uint64_t looks;                  /* questions for the heads of open rooms */
    uint64_t buses, buses_sick;      /* of this loop: one or none; 1 while it is not healthy */
    uint64_t bus_told, bus_heard, bus_dropped, bus_forged, bus_reconnects;
    uint64_t ack_ms[ML_TIME_PLACES]; /* from taking a message to its acknowledgement */
    uint64_t ack_ms_sum;
    struct ml_histogram commit_took; /* from staged to acknowledged */
};
void ml_rooms_stats(const struct ml_rooms *rooms, struct ml_rooms_stats *out);

#endif
