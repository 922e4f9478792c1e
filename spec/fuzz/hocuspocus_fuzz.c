/* SPDX-License-Identifier: MIT */
/*
 * Hocuspocus frames: no slice reaches past the input, what a server may say encodes to bytes that
 * decode to the same, and what names a document has no NUL in it.
 */
#include "base/assert.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct ml_slice slice, const uint8_t *data, size_t size)
{
    if (slice.len)
        ML_ASSERT(slice.ptr >= data && slice.len <= size && slice.ptr + slice.len <= data + size);
}

static void check_round_trip(const struct ml_frame *frame)
{
    struct ml_blob *blob =
        ml_frame_encode(ML_DIALECT_HOCUSPOCUS, frame->address, frame->kind, frame->payload);
    struct ml_frame again;
    struct ml_reader r;

    ML_ASSERT(blob);
    r = ml_reader_make(ml_frame_message(blob));
    ML_ASSERT(ml_frame_decode(ML_DIALECT_HOCUSPOCUS, &r, &again) == ML_OK);
    ML_ASSERT(again.kind == frame->kind && ml_slice_equal(again.payload, frame->payload));
    ML_ASSERT(ml_slice_equal(again.address, frame->address));
    ml_blob_unref(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_slice bytes = ml_slice_make(data, size), document;
    struct ml_reader r = ml_reader_make(bytes);
    bool is_reply = ml_frame_is_reply(ML_DIALECT_HOCUSPOCUS, bytes);
    struct ml_frame frame;

    if (!size || ml_frame_decode(ML_DIALECT_HOCUSPOCUS, &r, &frame))
        return 0;
    ML_ASSERT(r.pos == data + size);
    check_inside(frame.address, data, size);
    check_inside(frame.payload, data, size);
    check_inside(frame.version, data, size);
    document = ml_address_document(frame.address);
    ML_ASSERT(!document.len || !memchr(document.ptr, 0, document.len));
    ML_ASSERT(frame.kind != ML_FRAME_STEP2 || is_reply);
    if (frame.kind < ML_FRAME_UNKNOWN_SYNC && frame.address.len <= ML_ADDRESS_MAX)
        check_round_trip(&frame);
    return 0;
}
