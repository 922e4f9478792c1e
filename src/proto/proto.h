/* SPDX-License-Identifier: MIT */
/*
 * What is said on the wire: frames of the dialects, awareness updates, close codes. Pure: bytes to
 * meaning and back; no state but what the caller holds. One file per dialect; this version has
 * y-websocket (with y-sweet's sync status).
 */
#ifndef ML_PROTO_PROTO_H
#define ML_PROTO_PROTO_H

#include "base/blob.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/slice.h"

enum ml_dialect { ML_DIALECT_YWEBSOCKET, ML_DIALECT_COUNT };

enum ml_frame_kind {
    ML_FRAME_STEP1,           /* payload: state vector */
    ML_FRAME_STEP2,           /* payload: V1 update */
    ML_FRAME_UPDATE,          /* payload: V1 update */
    ML_FRAME_AWARENESS,       /* payload: awareness update */
    ML_FRAME_QUERY_AWARENESS, /* no payload */
    ML_FRAME_DENIED,          /* payload: reason text (server to client) */
    ML_FRAME_SYNC_STATUS,     /* y-sweet type 102: payload echoed unchanged */
    ML_FRAME_UNKNOWN,         /* ignore */
};

/** One message. Slices borrow from the received bytes. */
struct ml_frame {
    enum ml_frame_kind kind;
    struct ml_slice payload;
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
 */
struct ml_blob *ml_frame_encode(enum ml_dialect dialect, enum ml_frame_kind kind,
                                struct ml_slice payload);

/** The payload of a frame made by ml_frame_encode, past the RFC 6455 header. */
struct ml_slice ml_frame_message(const struct ml_blob *frame);

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
};
uint16_t ml_close_code(enum ml_close why);
const char *ml_close_text(enum ml_close why);

#endif
