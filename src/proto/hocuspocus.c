/* SPDX-License-Identifier: MIT */
/*
 * Hocuspocus, providers 2, 3 and 4: many documents on one socket, so every message begins with the
 * address of the document it is about.
 *
 *   varString address, then                   kind              from
 *   00 00 varBytes(state vector)              STEP1             both
 *   00 01 varBytes(update)                    STEP2             both
 *   00 02 varBytes(update)                    UPDATE            both
 *   01    varBytes(awareness)                 AWARENESS         both
 *   02 00 varString(token) [varString(version) …]  TOKEN        client; what follows is ignored
 *   02 00                                     TOKEN_REQUEST     server
 *   02 01 varString(reason)                   DENIED            server
 *   02 02 varString(scope)                    AUTHENTICATED     server
 *   03                                        QUERY_AWARENESS   both
 *   04 …                                      as 00 …           servers; as a client's it is a 00
 *   05    varString(text)                     STATELESS         both
 *   06    varString(text)                     BROADCAST         servers among themselves
 *   07    [varString(reason)]                 CLOSE             both
 *   08    00 or 01                            SYNC_STATUS       server
 *   other                                     UNKNOWN
 *
 * A whole frame of one byte, 09 or 0a, is PING or PONG: no address. One frame is one message; what
 * stands behind it belongs to no one.
 *
 *   address = document, or document 00 session (the id of one of several providers on a socket)
 *
 * Source: @hocuspocus/server 4.7.0, @hocuspocus/provider 2.15.3, 3.4.4, 4.8.0. Different from it:
 * lengths are checked, text has to be UTF-8, and a lone Pong can be read.
 */
#include "proto/dialect.h"

#include "base/assert.h"

#define NO_SUBTYPE (-1)
#define PING       9
#define PONG       10

enum body {
    BODY_NONE,
    BODY_BYTES,
    BODY_TEXT,
    BODY_BYTE, /* one byte, without a length */
    BODY_REST, /* text when the server says it; a client may leave it out */
};

static const struct row {
    int type, subtype;
    enum body body;
} rows[] = {
    [ML_FRAME_STEP1] = {0, 0, BODY_BYTES},
    [ML_FRAME_STEP2] = {0, 1, BODY_BYTES},
    [ML_FRAME_UPDATE] = {0, 2, BODY_BYTES},
    [ML_FRAME_AWARENESS] = {1, NO_SUBTYPE, BODY_BYTES},
    [ML_FRAME_QUERY_AWARENESS] = {3, NO_SUBTYPE, BODY_NONE},
    [ML_FRAME_DENIED] = {2, 1, BODY_TEXT},
    [ML_FRAME_SYNC_STATUS] = {8, NO_SUBTYPE, BODY_BYTE},
    [ML_FRAME_TOKEN] = {2, 0, BODY_TEXT},
    [ML_FRAME_TOKEN_REQUEST] = {2, 0, BODY_NONE},
    [ML_FRAME_AUTHENTICATED] = {2, 2, BODY_TEXT},
    [ML_FRAME_STATELESS] = {5, NO_SUBTYPE, BODY_TEXT},
    [ML_FRAME_BROADCAST] = {6, NO_SUBTYPE, BODY_TEXT},
    [ML_FRAME_CLOSE] = {7, NO_SUBTYPE, BODY_REST},
};
#define KINDS (sizeof rows / sizeof *rows)

static bool has_subtype(uint64_t type)
{
    return type == 0 || type == 2;
}

static enum ml_frame_kind kind_of(uint64_t type, uint64_t subtype)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        const struct row *row = &rows[kind];

        if (type == (uint64_t)row->type &&
            (row->subtype == NO_SUBTYPE || subtype == (uint64_t)row->subtype))
            return (enum ml_frame_kind)kind;
    }
    return type == 0 ? ML_FRAME_UNKNOWN_SYNC : ML_FRAME_UNKNOWN;
}

/* A token, and from provider 4 on its version: the only thing by which providers tell their age. */
static enum ml_err read_token(struct ml_reader *r, struct ml_frame *frame)
{
    enum ml_err err = ml_read_varstring(r, &frame->payload, NULL);

    if (err || !ml_reader_left(r))
        return err;
    return ml_read_varstring(r, &frame->version, NULL);
}

static enum ml_err read_body(struct ml_reader *r, struct ml_frame *frame)
{
    uint8_t byte;

    switch (rows[frame->kind].body) {
    case BODY_NONE:
        return ML_OK;
    case BODY_BYTES:
        return ml_read_varbytes(r, &frame->payload);
    case BODY_REST:
        if (!ml_reader_left(r))
            return ML_OK;
        return ml_read_varstring(r, &frame->payload, NULL);
    case BODY_TEXT:
        return ml_read_varstring(r, &frame->payload, NULL);
    case BODY_BYTE:
        frame->payload = ml_slice_make(r->pos, 1);
        return ml_read_u8(r, &byte);
    }
    return ML_EFORMAT;
}

static enum ml_err read_message(struct ml_reader *r, struct ml_frame *frame)
{
    uint64_t type, subtype = 0;
    enum ml_err err;

    err = ml_read_varstring(r, &frame->address, NULL);
    if (err)
        return err;
    err = ml_read_varuint(r, &type);
    if (err)
        return err;
    if (type == 4)
        type = 0;
    if (has_subtype(type)) {
        err = ml_read_varuint(r, &subtype);
        if (err)
            return err;
    }
    frame->kind = kind_of(type, subtype);
    if (frame->kind >= KINDS)
        return ML_OK;
    if (frame->kind != ML_FRAME_TOKEN)
        return read_body(r, frame);
    if (ml_reader_left(r))
        return read_token(r, frame);
    frame->kind = ML_FRAME_TOKEN_REQUEST;
    return ML_OK;
}

enum ml_err ml_hocuspocus_decode(struct ml_reader *r, struct ml_frame *frame_out)
{
    enum ml_err err = ML_OK;

    *frame_out = (struct ml_frame){.kind = ML_FRAME_UNKNOWN};
    if (ml_reader_left(r) == 1 && (*r->pos == PING || *r->pos == PONG))
        frame_out->kind = *r->pos == PING ? ML_FRAME_PING : ML_FRAME_PONG;
    else
        err = read_message(r, frame_out);
    r->pos = r->end;
    return err;
}

void ml_hocuspocus_head(struct ml_slice address, enum ml_frame_kind kind, size_t payload_len,
                        struct ml_message_head *out)
{
    const struct row *row;
    uint8_t *p = out->bytes;

    if (kind == ML_FRAME_PING || kind == ML_FRAME_PONG) {
        *p = kind == ML_FRAME_PING ? PING : PONG;
        out->len = 1;
        return;
    }
    ML_ASSERT(kind < KINDS);
    row = &rows[kind];
    p = ml_put_varuint(p, address.len);
    if (address.len)
        memcpy(p, address.ptr, address.len);
    p += address.len;
    p = ml_put_varuint(p, (uint64_t)row->type);
    if (row->subtype != NO_SUBTYPE)
        p = ml_put_varuint(p, (uint64_t)row->subtype);
    if (row->body != BODY_NONE && row->body != BODY_BYTE)
        p = ml_put_varuint(p, payload_len);
    out->len = (size_t)(p - out->bytes);
}

bool ml_hocuspocus_is_reply(struct ml_slice begin)
{
    struct ml_reader r = ml_reader_make(begin);
    struct ml_slice address;
    uint64_t type, subtype;

    return !ml_read_varbytes(&r, &address) && !ml_read_varuint(&r, &type) &&
           !ml_read_varuint(&r, &subtype) && (type == 0 || type == 4) && subtype == 1;
}

struct ml_slice ml_address_document(struct ml_slice address)
{
    const uint8_t *nul = address.len ? memchr(address.ptr, 0, address.len) : NULL;

    return nul ? ml_slice_make(address.ptr, (size_t)(nul - address.ptr)) : address;
}
