/* SPDX-License-Identifier: MIT */
/*
 * Frames: whatever is decoded encodes to a message that decodes to the same, and no payload reaches
 * past the input.
 */
#include "base/assert.h"
#include "proto/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct ml_frame *frame)
{
    struct ml_blob *blob =
        ml_frame_encode(ML_DIALECT_YWEBSOCKET, ml_slice_make(NULL, 0), frame->kind, frame->payload);
    struct ml_frame again;
    struct ml_reader r;

    ML_ASSERT(blob);
    r = ml_reader_make(ml_frame_message(blob));
    ML_ASSERT(ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &again) == ML_OK);
    ML_ASSERT(again.kind == frame->kind && ml_slice_equal(again.payload, frame->payload));
    ML_ASSERT(ml_reader_left(&r) == 0);
    ml_blob_unref(blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ml_reader r = ml_reader_make(ml_slice_make(data, size));
    struct ml_blob *close_frame;

    while (ml_reader_left(&r)) {
        const uint8_t *before = r.pos;
        struct ml_frame frame;

        if (ml_frame_decode(ML_DIALECT_YWEBSOCKET, &r, &frame))
            break;
        ML_ASSERT(r.pos > before && r.pos <= r.end);
        if (frame.payload.len)
            ML_ASSERT(frame.payload.ptr >= data && frame.payload.ptr + frame.payload.len <= r.end);
        if (frame.kind != ML_FRAME_UNKNOWN)
            check_round_trip(&frame);
    }
    close_frame = ml_frame_close(1000, ml_slice_make(data, size));
    ML_ASSERT(close_frame && close_frame->len <= 127);
    ml_blob_unref(close_frame);
    return 0;
}
