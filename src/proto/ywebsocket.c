/* SPDX-License-Identifier: MIT */
/*
 * y-websocket, with the one message that y-sweet adds. What this file knows: which numbers stand in
 * front of which payload.
 *
 *   bytes                            kind              from
 *   00 00 varBytes(state vector)     STEP1             both
 *   00 01 varBytes(update)           STEP2             both
 *   00 02 varBytes(update)           UPDATE            both
 *   01    varBytes(awareness)        AWARENESS         both
 *   02 00 varString(reason)          DENIED            server
 *   02 00 varString(token)           DENIED            client: a new credential (ours)
 *   02 02 varString(scope)           AUTHENTICATED     server (ours, with Hocuspocus's number)
 *   02 03                            TOKEN_REQUEST     server (ours); y-protocols ignores both
 *   03                               QUERY_AWARENESS   client
 *   66    varBytes(varUint version)  SYNC_STATUS       both: y-sweet's, echoed unchanged
 *   67    varString(text)            STATELESS         both: ours. From a client: "tell me
 * notices"; from the server only to who said so other                            UNKNOWN takes the
 * rest of the frame with it, because nobody can say where it ends
 *
 * Source: y-websocket 3.1.0, y-protocols 1.0.7 (sync.js, auth.js), @y-sweet/client 0.9.1.
 */
#include "proto/dialect.h"

#include "base/assert.h"

#define NO_SUBTYPE (-1)
#define ABSENT     (-1)
#define KINDS      (ML_FRAME_STATELESS + 1)

enum body { BODY_NONE, BODY_BYTES, BODY_TEXT };

static const struct row {
    int type, subtype;
    enum body body;
} rows[KINDS] = {
    [ML_FRAME_STEP1] = {0, 0, BODY_BYTES},
    [ML_FRAME_STEP2] = {0, 1, BODY_BYTES},
    [ML_FRAME_UPDATE] = {0, 2, BODY_BYTES},
    [ML_FRAME_AWARENESS] = {1, NO_SUBTYPE, BODY_BYTES},
    [ML_FRAME_QUERY_AWARENESS] = {3, NO_SUBTYPE, BODY_NONE},
    [ML_FRAME_DENIED] = {2, 0, BODY_TEXT},
    [ML_FRAME_SYNC_STATUS] = {102, NO_SUBTYPE, BODY_BYTES},
    [ML_FRAME_TOKEN] = {ABSENT, NO_SUBTYPE, BODY_NONE}, /* see DENIED */
    [ML_FRAME_TOKEN_REQUEST] = {2, 3, BODY_NONE},
    [ML_FRAME_AUTHENTICATED] = {2, 2, BODY_TEXT},
    [ML_FRAME_STATELESS] = {103, NO_SUBTYPE, BODY_TEXT},
};

static bool has_subtype(uint64_t type)
{
    return type == 0 || type == 2;
}

static enum ml_frame_kind kind_of(uint64_t type, uint64_t subtype)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        const struct row *row = &rows[kind];

        if (row->type == ABSENT || type != (uint64_t)row->type)
            continue;
        if (row->subtype == NO_SUBTYPE || subtype == (uint64_t)row->subtype)
            return (enum ml_frame_kind)kind;
    }
    return ML_FRAME_UNKNOWN;
}

enum ml_err ml_ywebsocket_decode(struct ml_reader *r, struct ml_frame *frame_out)
{
    uint64_t type, subtype = 0;
    enum ml_err err;

    *frame_out = (struct ml_frame){.kind = ML_FRAME_UNKNOWN};
    err = ml_read_varuint(r, &type);
    if (err)
        return err;
    if (has_subtype(type)) {
        err = ml_read_varuint(r, &subtype);
        if (err)
            return err;
    }
    frame_out->kind = kind_of(type, subtype);
    if (frame_out->kind == ML_FRAME_UNKNOWN) {
        r->pos = r->end;
        return ML_OK;
    }
    switch (rows[frame_out->kind].body) {
    case BODY_NONE:
        return ML_OK;
    case BODY_BYTES:
        return ml_read_varbytes(r, &frame_out->payload);
    case BODY_TEXT:
        return ml_read_varstring(r, &frame_out->payload, NULL);
    }
    return ML_EFORMAT;
}

void ml_ywebsocket_head(struct ml_slice address, enum ml_frame_kind kind, size_t payload_len,
                        struct ml_message_head *out)
{
    const struct row *row;
    uint8_t *p = out->bytes;

    ML_ASSERT(kind < KINDS && rows[kind].type != ABSENT && !address.len);
    row = &rows[kind];
    p = ml_put_varuint(p, (uint64_t)row->type);
    if (row->subtype != NO_SUBTYPE)
        p = ml_put_varuint(p, (uint64_t)row->subtype);
    if (row->body != BODY_NONE)
        p = ml_put_varuint(p, payload_len);
    out->len = (size_t)(p - out->bytes);
}

bool ml_ywebsocket_is_reply(struct ml_slice begin)
{
    return begin.len >= 2 && begin.ptr[0] == 0 && begin.ptr[1] == 1;
}
