/* SPDX-License-Identifier: MIT */
/*
 * Awareness updates, entry by entry, so that whoever merges them can look at the clock before it
 * looks at the JSON (most of what y-websocket clients send is an echo and ends there).
 *
 *   varUint count, then count times:  varUint client, varUint clock, varString state
 *
 * State is JSON text; the value null says that the client is offline.
 *
 * Source: y-protocols 1.0.7, awareness.js. Different from it: the count is believed only as far as
 * bytes are there, and the text has to be UTF-8.
 */
#include "proto/proto.h"

#define ENTRY_MIN_BYTES 3 /* one byte each: client, clock, length of an empty text */

static bool is_json_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_null(struct ml_slice json)
{
    while (json.len && is_json_space(json.ptr[0])) {
        json.ptr++;
        json.len--;
    }
    while (json.len && is_json_space(json.ptr[json.len - 1]))
        json.len--;
    return ml_slice_equal(json, ML_SLICE("null"));
}

enum ml_err ml_presence_begin(struct ml_slice update, struct ml_presence_reader *out)
{
    enum ml_err err;

    out->reader = ml_reader_make(update);
    err = ml_read_varuint(&out->reader, &out->left);
    if (err)
        return err;
    if (out->left > ml_reader_left(&out->reader) / ENTRY_MIN_BYTES)
        return ML_EFORMAT;
    return ML_OK;
}

enum ml_err ml_presence_next(struct ml_presence_reader *reader, bool *more_out,
                             struct ml_presence_entry *out)
{
    enum ml_err err;

    *more_out = reader->left > 0;
    if (!*more_out)
        return ML_OK;
    err = ml_read_varuint(&reader->reader, &out->client);
    if (err)
        return err;
    err = ml_read_varuint(&reader->reader, &out->clock);
    if (err)
        return err;
    err = ml_read_varstring(&reader->reader, &out->json, NULL);
    if (err)
        return err;
    out->offline = is_null(out->json);
    reader->left--;
    return ML_OK;
}

void ml_presence_write(struct ml_writer *out, const struct ml_presence_entry *entry)
{
    ml_write_varuint(out, entry->client);
    ml_write_varuint(out, entry->clock);
    ml_write_varbytes(out, entry->offline ? ML_SLICE("null") : entry->json);
}
