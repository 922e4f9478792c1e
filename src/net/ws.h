/* SPDX-License-Identifier: MIT */
/* Pieces of WebSocket frames become messages, within limits. Pure. */
#ifndef ML_NET_WS_H
#define ML_NET_WS_H

#include "base/codec.h"
#include "base/err.h"
#include "base/slice.h"
#include "proto/proto.h"

/** What the transport hands over: a part of one frame of one message. */
struct ml_ws_piece {
    struct ml_slice bytes;
    size_t left_in_frame; /* bytes of this frame that are still to come */
    bool is_first;        /* begins a message */
    bool is_final;        /* ends it, if left_in_frame is 0 */
    bool is_binary;
};

struct ml_ws_limits {
    enum ml_dialect dialect;
    size_t message_bytes;
    size_t reply_bytes; /* of a Step2 from somebody who may write; >= message_bytes */
    uint32_t fragments;
};

/** The bytes over message_bytes of all messages in the making: one pool for the node (SEC-LM-04).
 */
struct ml_ws_pool {
    size_t used_bytes, max_bytes;
};

struct ml_ws_message {
    /* private */
    struct ml_writer bytes;
    size_t pooled_bytes;
    uint32_t fragments;
    bool is_open;
};

enum ml_ws_result {
    ML_WS_MORE,       /* not whole yet */
    ML_WS_MESSAGE,    /* *out is whole; it borrows until the next call */
    ML_WS_TOO_BIG,    /* over a byte limit, or no memory */
    ML_WS_POOL_FULL,  /* large, and too many others are large at this moment */
    ML_WS_FRAGMENTED, /* in too many parts */
};

void ml_ws_message_init(struct ml_ws_message *message);
void ml_ws_message_release(struct ml_ws_message *message, struct ml_ws_pool *pool);
/** Forget a message that was answered with ML_WS_MESSAGE; its memory goes. */
void ml_ws_message_done(struct ml_ws_message *message, struct ml_ws_pool *pool);
/** Limits are checked before anything is stored, also against what the frame still announces. */
enum ml_ws_result ml_ws_message_add(struct ml_ws_message *message, const struct ml_ws_piece *piece,
                                    const struct ml_ws_limits *limits, struct ml_ws_pool *pool,
                                    struct ml_slice *out);

#endif
