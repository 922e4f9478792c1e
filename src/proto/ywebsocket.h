/* SPDX-License-Identifier: MIT */
/* Between frame.c and its dialects: how one message of a dialect is read and written. */
#ifndef ML_PROTO_YWEBSOCKET_H
#define ML_PROTO_YWEBSOCKET_H

#include "proto/proto.h"

/** A message's bytes before its payload: type, subtype, length of the payload. */
struct ml_message_head {
    uint8_t bytes[16];
    size_t len;
};

enum ml_err ml_ywebsocket_decode(struct ml_reader *r, struct ml_frame *frame_out) ML_MUST_CHECK;
/** @param kind  not ML_FRAME_UNKNOWN */
void ml_ywebsocket_head(enum ml_frame_kind kind, size_t payload_len, struct ml_message_head *out);

#endif
