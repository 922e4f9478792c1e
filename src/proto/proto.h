/* SPDX-License-Identifier: MIT */
/*
 * What is said on the wire: frames of the dialects, awareness updates, close codes. Pure: bytes to
 * meaning and back; no state but what the caller holds. One file per dialect: y-websocket (with
 * y-sweet's sync status) and Hocuspocus.
 */
#ifndef ML_PROTO_PROTO_H
#define ML_PROTO_PROTO_H

#include "base/blob.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/slice.h"

enum ml_dialect { ML_DIALECT_YWEBSOCKET, ML_DIALECT_HOCUSPOCUS, ML_DIALECT_COUNT };

/** Does the sender's own edit come back to it, and its cursor? (y-websocket: the echo is its
 * acknowledgement. Hocuspocus has one of its own.) */
bool ml_dialect_echoes(enum ml_dialect dialect);
/** Does the server ask first what the client has? (Hocuspocus: when the client asks.) */
bool ml_dialect_speaks_first(enum ml_dialect dialect);

/** Longest address: a document's name (512 bytes), NUL, and the id of a session. */
#define ML_ADDRESS_MAX 640

enum ml_frame_kind {
    ML_FRAME_STEP1,           /* payload: state vector */
    ML_FRAME_STEP2,           /* payload: V1 update */
    ML_FRAME_UPDATE,          /* payload: V1 update */
    ML_FRAME_AWARENESS,       /* payload: awareness update */
    ML_FRAME_QUERY_AWARENESS, /* no payload */
    ML_FRAME_DENIED,          /* payload: reason text (server to client) */
    ML_FRAME_SYNC_STATUS,     /* y-sweet: payload echoed unchanged; Hocuspocus: one byte, 0 or 1 */
    /* Hocuspocus only, from here on. */
    ML_FRAME_TOKEN,         /* payload: token text; `version` beside it */
    ML_FRAME_TOKEN_REQUEST, /* "send me your token again" (server to client); no payload */
    ML_FRAME_AUTHENTICATED, /* payload: scope (server to client) */
    ML_FRAME_STATELESS, /* payload: text of the application (y-websocket: only with our client) */
    ML_FRAME_BROADCAST, /* between servers only: a client's is refused */
    ML_FRAME_CLOSE,     /* one document ends; payload: reason, or nothing from a client */
    ML_FRAME_PING,      /* no address, no payload */
    ML_FRAME_PONG,      /* likewise */
    ML_FRAME_UNKNOWN_SYNC, /* a sync message of no known kind */
    ML_FRAME_UNKNOWN,      /* ignore */
};

/** One message. Slices borrow from the received bytes. */
struct ml_frame {
    enum ml_frame_kind kind;
    struct ml_slice payload;
    struct ml_slice address; /* Hocuspocus: document, or document NUL session; else empty */
    struct ml_slice version; /* of the provider (ML_FRAME_TOKEN); .ptr NULL: it sent none */
};

/**
 * Read the next message of a received WebSocket message (several may be joined).
 * @param r  advanced past the message; at the end the caller stops
 * @retval ML_EFORMAT  broken; the connection is told and closed
 */
enum ml_err ml_frame_decode(enum ml_dialect dialect, struct ml_reader *r,
                            struct ml_frame *frame_out) ML_MUST_CHECK;

/**
 * One message as a complete, unmasked WebSocket frame (RFC 6455 header included), so that the same
 * immutable bytes go to every socket without a copy. NULL: out of memory.
 * @param address  at most ML_ADDRESS_MAX bytes; y-websocket has none
 */
struct ml_blob *ml_frame_encode(enum ml_dialect dialect, struct ml_slice address,
                                enum ml_frame_kind kind, struct ml_slice payload);

/** Does a message that begins so answer a Step1? (It may be as large as a document.) */
bool ml_frame_is_reply(enum ml_dialect dialect, struct ml_slice begin);

/** The document of a Hocuspocus address: what stands before its first NUL. */
struct ml_slice ml_address_document(struct ml_slice address);

/** The payload of a frame made by ml_frame_encode, past the RFC 6455 header. */
struct ml_slice ml_frame_message(const struct ml_blob *frame);

/**
 * The two parts of a frame that carries an update: what stands before the update's length (whose it
 * is, and that it is one), and the update. False: it carries something else.
 */
bool ml_frame_take_update(enum ml_dialect dialect, const struct ml_blob *frame,
                          struct ml_slice *prefix_out, struct ml_slice *update_out);
/** And back: a frame of these parts. NULL: out of memory. */
struct ml_blob *ml_frame_put_update(struct ml_slice prefix, struct ml_slice update);
/** A WebSocket close frame. `reason` is cut to 123 bytes. */
struct ml_blob *ml_frame_close(uint16_t code, struct ml_slice reason);

/* ---- Awareness ------------------------------------------------------------------------------- */

struct ml_presence_entry {
    uint64_t client, clock;
    struct ml_slice json; /* text as received; "null": offline */
    bool offline;
};

/** Read entries one by one: first the count, then that many. Bounded by the bytes present. */
struct ml_presence_reader {
    struct ml_reader reader;
    uint64_t left;
};
enum ml_err ml_presence_begin(struct ml_slice update, struct ml_presence_reader *out) ML_MUST_CHECK;
/** False in *more_out: that was all. JSON is checked for UTF-8 only; the caller looks at the clock
 * first. */
enum ml_err ml_presence_next(struct ml_presence_reader *reader, bool *more_out,
                             struct ml_presence_entry *out) ML_MUST_CHECK;
void ml_presence_write(struct ml_writer *out, const struct ml_presence_entry *entry);

/* ---- Close codes (one table; the heart never heard of 4401) ---------------------------------- */

enum ml_close {
    ML_CLOSE_SHUTDOWN,
    ML_CLOSE_TOO_BIG,
    ML_CLOSE_INTERNAL,
    ML_CLOSE_TRY_LATER,
    ML_CLOSE_MALFORMED,
    ML_CLOSE_UNAUTHENTICATED,
    ML_CLOSE_FORBIDDEN,
    ML_CLOSE_DELETED,
    ML_CLOSE_AUTH_TIMEOUT,
    ML_CLOSE_DOCUMENT_TOO_LARGE,
    ML_CLOSE_RATE,
    ML_CLOSE_TOO_SLOW,
    ML_CLOSE_FRAGMENTS,
    ML_CLOSE_CONTROL_FRAMES,
    ML_CLOSE_RESET,      /* Hocuspocus: limits before authentication */
    ML_CLOSE_UNREADABLE, /* Hocuspocus: a frame that is none */
    ML_CLOSE_NO_TOKEN,   /* Hocuspocus: nobody authenticated in time */
};
uint16_t ml_close_code(enum ml_close why);
const char *ml_close_text(enum ml_close why);

#endif
