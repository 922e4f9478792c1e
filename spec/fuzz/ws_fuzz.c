/* SPDX-License-Identifier: MIT */
/*
 * Reassembly: any sequence of pieces stays within the limits, and the pool is whole in the end.
 * Each piece is four bytes of the input: flags, bytes of the piece, bytes left (two).
 */
#include "base/assert.h"
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ml_ws_limits limits = {
        .message_bytes = 300, .reply_bytes = 2000, .fragments = 16};
    static uint8_t content[256] = {0, 1};
    struct ml_ws_pool pool = {0, 3000};
    struct ml_ws_message message;

    ml_ws_message_init(&message);
    for (size_t at = 0; at + 4 <= size; at += 4) {
        const struct ml_ws_piece piece = {
            .bytes = ml_slice_make(content + (data[at] >> 4 & 1), data[at + 1] / 2),
            .left_in_frame = (size_t)(data[at + 2] << 8 | data[at + 3]),
            .is_first = data[at] & 1,
            .is_final = data[at] & 2,
            .is_binary = data[at] & 4,
        };
        struct ml_slice whole;
        enum ml_ws_result result = ml_ws_message_add(&message, &piece, &limits, &pool, &whole);

        ML_ASSERT(pool.used_bytes <= pool.max_bytes);
        ML_ASSERT(message.bytes.len <= limits.reply_bytes);
        if (result == ML_WS_MESSAGE) {
            ML_ASSERT(whole.len <= limits.reply_bytes);
            ml_ws_message_done(&message, &pool);
            ML_ASSERT(pool.used_bytes == 0);
        } else if (result != ML_WS_MORE) {
            break;
        }
    }
    ml_ws_message_release(&message, &pool);
    ML_ASSERT(pool.used_bytes == 0);
    return 0;
}
