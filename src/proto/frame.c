/* SPDX-License-Identifier: MIT */
/*
 * A message becomes a frame that goes to every socket as it is: the WebSocket header (RFC
 * 6455, 5.2) stands in the blob before it, unmasked, because a server's frames are the same for
 * everybody.
 *
 *   byte 0      82 = final, binary        88 = final, close
 *   byte 1      length 0 … 125, or 7e: 16-bit length follows, 7f: 64-bit length follows (big
 * endian) then        the message: what the dialect's file draws;  of a close: code (big endian),
 * reason
 *
 * What a message looks like is the dialect's secret: one row of `dialects` each.
 */
#include "proto/proto.h"

#include "base/assert.h"
#include "base/utf8.h"
#include "proto/dialect.h"

#define BINARY           0x82
#define CLOSE            0x88
#define LEN_16           0x7e
#define LEN_64           0x7f
#define HEADER_MAX       10
#define CLOSE_REASON_MAX 123 /* 125 bytes of a control frame, less the code */

static const struct dialect {
    enum ml_err (*decode)(struct ml_reader *r, struct ml_frame *frame_out);
    void (*head)(struct ml_slice address, enum ml_frame_kind kind, size_t payload_len,
                 struct ml_message_head *out);
    bool (*is_reply)(struct ml_slice begin);
    bool echoes, speaks_first;
} dialects[ML_DIALECT_COUNT] = {
    [ML_DIALECT_YWEBSOCKET] = {ml_ywebsocket_decode, ml_ywebsocket_head, ml_ywebsocket_is_reply,
                               .echoes = true, .speaks_first = true},
    [ML_DIALECT_HOCUSPOCUS] = {ml_hocuspocus_decode, ml_hocuspocus_head, ml_hocuspocus_is_reply},
};

static uint8_t *put_header(uint8_t *p, uint8_t first, size_t len)
{
    *p++ = first;
    if (len < LEN_16) {
        *p++ = (uint8_t)len;
        return p;
    }
    if (len <= UINT16_MAX) {
        *p++ = LEN_16;
        *p++ = (uint8_t)(len >> 8);
        *p++ = (uint8_t)len;
        return p;
    }
    *p++ = LEN_64;
    for (int shift = 56; shift >= 0; shift -= 8)
        *p++ = (uint8_t)((uint64_t)len >> shift);
    return p;
}

static size_t header_len(const struct ml_blob *frame)
{
    switch (frame->bytes[1]) {
    case LEN_16:
        return 4;
    case LEN_64:
        return HEADER_MAX;
    default:
        return 2;
    }
}

static struct ml_blob *make_frame(uint8_t first, struct ml_slice head, struct ml_slice payload)
{
    uint8_t header[HEADER_MAX];
    size_t header_bytes, message_bytes;
    struct ml_blob *blob;
    uint8_t *p;

    if (payload.len > SIZE_MAX / 2)
        return NULL;
    message_bytes = head.len + payload.len;
    header_bytes = (size_t)(put_header(header, first, message_bytes) - header);
    blob = ml_blob_alloc(header_bytes + message_bytes);
    if (!blob)
        return NULL;
    p = blob->bytes;
    memcpy(p, header, header_bytes);
    p += header_bytes;
    memcpy(p, head.ptr, head.len);
    p += head.len;
    if (payload.len)
        memcpy(p, payload.ptr, payload.len);
    return blob;
}

enum ml_err ml_frame_decode(enum ml_dialect dialect, struct ml_reader *r,
                            struct ml_frame *frame_out)
{
    ML_ASSERT(dialect < ML_DIALECT_COUNT);
    return dialects[dialect].decode(r, frame_out);
}

struct ml_blob *ml_frame_encode(enum ml_dialect dialect, struct ml_slice address,
                                enum ml_frame_kind kind, struct ml_slice payload)
{
    struct ml_message_head head;

    ML_ASSERT(dialect < ML_DIALECT_COUNT && address.len <= ML_ADDRESS_MAX);
    dialects[dialect].head(address, kind, payload.len, &head);
    return make_frame(BINARY, ml_slice_make(head.bytes, head.len), payload);
}

bool ml_dialect_echoes(enum ml_dialect dialect)
{
    ML_ASSERT(dialect < ML_DIALECT_COUNT);
    return dialects[dialect].echoes;
}

bool ml_dialect_speaks_first(enum ml_dialect dialect)
{
    ML_ASSERT(dialect < ML_DIALECT_COUNT);
    return dialects[dialect].speaks_first;
}

bool ml_frame_is_reply(enum ml_dialect dialect, struct ml_slice begin)
{
    ML_ASSERT(dialect < ML_DIALECT_COUNT);
    return dialects[dialect].is_reply(begin);
}

struct ml_slice ml_frame_message(const struct ml_blob *frame)
{
    size_t skip;

    ML_ASSERT(frame->len >= 2);
    skip = header_len(frame);
    ML_ASSERT(frame->len >= skip);
    return ml_slice_make(frame->bytes + skip, frame->len - skip);
}

bool ml_frame_take_update(enum ml_dialect dialect, const struct ml_blob *frame,
                          struct ml_slice *prefix_out, struct ml_slice *update_out)
{
    struct ml_slice message = ml_frame_message(frame);
    struct ml_reader r = ml_reader_make(message);
    struct ml_frame decoded;

    if ((frame->bytes[0] & 0x0f) != (BINARY & 0x0f) || ml_frame_decode(dialect, &r, &decoded) ||
        decoded.kind != ML_FRAME_UPDATE || ml_reader_left(&r))
        return false;
    *update_out = decoded.payload;
    *prefix_out = ml_slice_make(message.ptr, message.len - decoded.payload.len -
                                                 ml_varuint_len(decoded.payload.len));
    return true;
}

struct ml_blob *ml_frame_put_update(struct ml_slice prefix, struct ml_slice update)
{
    struct ml_blob *frame = NULL;
    struct ml_writer head;

    ml_writer_init(&head, prefix.len + 10);
    ml_write_bytes(&head, prefix);
    ml_write_varuint(&head, update.len);
    if (!head.err)
        frame = make_frame(BINARY, ml_writer_slice(&head), update);
    ml_writer_release(&head);
    return frame;
}

struct ml_blob *ml_frame_close(uint16_t code, struct ml_slice reason)
{
    const uint8_t head[2] = {(uint8_t)(code >> 8), (uint8_t)code};

    if (reason.len > CLOSE_REASON_MAX) {
        reason.len = CLOSE_REASON_MAX;
        /* Peers refuse a reason that ends inside a character. */
        while (reason.len && (reason.ptr[reason.len] & 0xc0) == 0x80)
            reason.len--;
    }
    if (!ml_utf8_check(reason, NULL))
        reason.len = 0;
    return make_frame(CLOSE, ml_slice_make(head, sizeof head), reason);
}
