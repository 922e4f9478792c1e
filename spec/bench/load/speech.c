/* SPDX-License-Identifier: MIT */
#include "speech.h"

#include <string.h>

enum {
    MESSAGE_SYNC = 0,
    MESSAGE_AWARENESS = 1,
    MESSAGE_AUTH = 2,
    MESSAGE_SYNC_STATUS = 8,
    MESSAGE_PING = 9
};
enum { SYNC_STEP1 = 0, SYNC_STEP2 = 1, SYNC_UPDATE = 2 };
enum { AUTH_DENIED = 1, AUTH_AUTHENTICATED = 2 };

static const char VERSION[] = "4.8.0";

struct heard speech_hear(enum dialect dialect, struct ml_slice frame)
{
    static const enum heard_kind SYNC[] = {HEARD_STEP1, HEARD_STEP2, HEARD_UPDATE};
    struct ml_reader r = ml_reader_make(frame);
    struct heard heard = {0};
    struct ml_slice name;
    uint64_t type, sub;

    if (dialect == DIALECT_HOCUSPOCUS) {
        if (frame.len == 1 && *(const uint8_t *)frame.ptr == MESSAGE_PING)
            return (struct heard){.kind = HEARD_PING};
        if (ml_read_varbytes(&r, &name))
            return heard;
    }
    if (ml_read_varuint(&r, &type))
        return heard;
    switch (type) {
    case MESSAGE_SYNC:
        if (!ml_read_varuint(&r, &sub) && sub < 3 && !ml_read_varbytes(&r, &heard.bytes))
            heard.kind = SYNC[sub];
        break;
    case MESSAGE_AWARENESS:
        if (!ml_read_varbytes(&r, &heard.bytes))
            heard.kind = HEARD_AWARENESS;
        break;
    case MESSAGE_AUTH:
        if (dialect == DIALECT_YWEBSOCKET)
            heard.kind = HEARD_DENIED;
        else if (!ml_read_varuint(&r, &sub))
            heard.kind = sub == AUTH_AUTHENTICATED ? HEARD_AUTHENTICATED
                         : sub == AUTH_DENIED      ? HEARD_DENIED
                                                   : HEARD_NOTHING;
        break;
    case MESSAGE_SYNC_STATUS:
        if (dialect == DIALECT_HOCUSPOCUS && !ml_read_varuint(&r, &sub))
            heard.kind = sub == 1 ? HEARD_SAVED : HEARD_DENIED;
        break;
    default:
        break;
    }
    return heard;
}

static void begin(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                  uint64_t type)
{
    ml_writer_reset(w);
    if (dialect == DIALECT_HOCUSPOCUS)
        ml_write_varbytes(w, document);
    ml_write_varuint(w, type);
}

static void sync_message(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                         uint64_t sub, struct ml_slice bytes)
{
    begin(w, dialect, document, MESSAGE_SYNC);
    ml_write_varuint(w, sub);
    ml_write_varbytes(w, bytes);
}

void speech_auth(struct ml_writer *w, struct ml_slice document)
{
    begin(w, DIALECT_HOCUSPOCUS, document, MESSAGE_AUTH);
    ml_write_varuint(w, 0);
    ml_write_varbytes(w, ml_slice_make("", 0));
    ml_write_varbytes(w, ml_slice_make(VERSION, strlen(VERSION)));
}

void speech_step1(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                  struct ml_slice state_vector)
{
    sync_message(w, dialect, document, SYNC_STEP1, state_vector);
}

void speech_step2(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                  struct ml_slice update)
{
    sync_message(w, dialect, document, SYNC_STEP2, update);
}

void speech_update(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                   struct ml_slice update)
{
    sync_message(w, dialect, document, SYNC_UPDATE, update);
}

void speech_awareness(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                      struct ml_slice awareness)
{
    begin(w, dialect, document, MESSAGE_AWARENESS);
    ml_write_varbytes(w, awareness);
}
