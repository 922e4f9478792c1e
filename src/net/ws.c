/* SPDX-License-Identifier: MIT */
/*
 * Step 1 of a keystroke: a message is whole or it is too big. A message that comes in one piece is
 * not copied at all; others are collected in memory that exists only as long as they are in the
 * making.
 *
 *   piece   first ---- more ---- more ---- final, nothing left
 *   memory  none      collected             handed out, then freed by ml_ws_message_done
 *
 * A Step2 may be as large as a document, since it brings what somebody wrote
 * offline; what goes over the ordinary limit is taken from a pool of the whole node.
 */
#include "net/ws.h"

#include "base/assert.h"

/* A beginning that came in crumbs is not put together for this: then the message is just large. */
static bool is_step2(const struct ml_ws_message *message, struct ml_slice piece,
                     enum ml_dialect dialect)
{
    return ml_frame_is_reply(dialect,
                             message->bytes.len ? ml_writer_slice(&message->bytes) : piece);
}

void ml_ws_message_init(struct ml_ws_message *message)
{
    *message = (struct ml_ws_message){0};
    ml_writer_init(&message->bytes, SIZE_MAX / 2);
}

void ml_ws_message_release(struct ml_ws_message *message, struct ml_ws_pool *pool)
{
    ML_ASSERT(pool->used_bytes >= message->pooled_bytes);
    pool->used_bytes -= message->pooled_bytes;
    ml_writer_release(&message->bytes);
    ml_ws_message_init(message);
}

void ml_ws_message_done(struct ml_ws_message *message, struct ml_ws_pool *pool)
{
    ml_ws_message_release(message, pool);
}

/* `total`: what the message will have when the frame in hand has come to its end. */
static enum ml_ws_result admit(struct ml_ws_message *message, size_t total, struct ml_slice piece,
                               const struct ml_ws_limits *limits, struct ml_ws_pool *pool)
{
    size_t over;

    if (total <= limits->message_bytes)
        return ML_WS_MORE;
    if (total > limits->reply_bytes || !is_step2(message, piece, limits->dialect))
        return ML_WS_TOO_BIG;
    over = total - limits->message_bytes;
    if (over <= message->pooled_bytes)
        return ML_WS_MORE;
    if (over - message->pooled_bytes > pool->max_bytes - pool->used_bytes)
        return ML_WS_POOL_FULL;
    pool->used_bytes += over - message->pooled_bytes;
    message->pooled_bytes = over;
    return ML_WS_MORE;
}

enum ml_ws_result ml_ws_message_add(struct ml_ws_message *message, const struct ml_ws_piece *piece,
                                    const struct ml_ws_limits *limits, struct ml_ws_pool *pool,
                                    struct ml_slice *out)
{
    bool is_whole = piece->is_final && piece->left_in_frame == 0;
    size_t have = message->bytes.len;
    enum ml_ws_result result;

    if (piece->is_first && have) {
        /* A new message although the last one has no end: the transport lets no such thing through,
         * but it is the peer's doing all the same. */
        return ML_WS_FRAGMENTED;
    }
    if (piece->left_in_frame > limits->reply_bytes || piece->bytes.len > limits->reply_bytes)
        return ML_WS_TOO_BIG;
    result =
        admit(message, have + piece->bytes.len + piece->left_in_frame, piece->bytes, limits, pool);
    if (result != ML_WS_MORE)
        return result;
    if (piece->left_in_frame == 0 && ++message->fragments > limits->fragments)
        return ML_WS_FRAGMENTED;
    if (is_whole && !have) {
        *out = piece->bytes;
        return ML_WS_MESSAGE;
    }
    ml_write_bytes(&message->bytes, piece->bytes);
    if (message->bytes.err)
        return ML_WS_TOO_BIG;
    if (!is_whole)
        return ML_WS_MORE;
    *out = ml_writer_slice(&message->bytes);
    return ML_WS_MESSAGE;
}
