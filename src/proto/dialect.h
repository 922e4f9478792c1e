/* SPDX-License-Identifier: MIT */
/* Between frame.c and its dialects: how one message of a dialect is read and written. */
#ifndef ML_PROTO_DIALECT_H
#define ML_PROTO_DIALECT_H

#include "proto/proto.h"

/** A message's bytes before its payload: address, type, subtype, length of the payload. */
struct ml_message_head {
    uint8_t bytes[ML_ADDRESS_MAX + 24];
    size_t len;
};

enum ml_err ml_ywebsocket_decode(struct ml_reader *r, struct ml_frame *frame_out) ML_MUST_CHECK;
/** @param kind  one that y-websocket has */
void ml_ywebsocket_head(struct ml_slice address, enum ml_frame_kind kind, size_t payload_len,
                        struct ml_message_head *out);
bool ml_ywebsocket_is_reply(struct ml_slice begin);

enum ml_err ml_hocuspocus_decode(struct ml_reader *r, struct ml_frame *frame_out) ML_MUST_CHECK;
/** @param kind  one that Hocuspocus has */
void ml_hocuspocus_head(struct ml_slice address, enum ml_frame_kind kind, size_t payload_len,
                        struct ml_message_head *out);
bool ml_hocuspocus_is_reply(struct ml_slice begin);

#endif
