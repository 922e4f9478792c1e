/* SPDX-License-Identifier: MIT */
/*
 * The two dialects from the client's side, as little of them as a load needs.
 *
 *   y-websocket   type, payload                    one document a socket
 *   Hocuspocus    varString document, type, ...    Auth first; SyncStatus answers each Step2 and
 * Update
 */
#ifndef LOAD_SPEECH_H
#define LOAD_SPEECH_H

#include "base/codec.h"
#include "base/slice.h"

enum dialect { DIALECT_YWEBSOCKET, DIALECT_HOCUSPOCUS };

enum heard_kind {
    HEARD_NOTHING,
    HEARD_STEP1,
    HEARD_STEP2,
    HEARD_UPDATE,
    HEARD_AWARENESS,
    HEARD_AUTHENTICATED,
    HEARD_SAVED,  /* SyncStatus 1 */
    HEARD_DENIED, /* Auth or SyncStatus 0 */
    HEARD_PING,
};

struct heard {
    enum heard_kind kind;
    struct ml_slice bytes; /* update or awareness; borrowed */
};

/** What a frame says; anything unknown or broken is HEARD_NOTHING. */
struct heard speech_hear(enum dialect dialect, struct ml_slice frame);

/* Each writes one whole message into an emptied writer. */
void speech_auth(struct ml_writer *w, struct ml_slice document);
void speech_step1(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                  struct ml_slice state_vector);
void speech_step2(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                  struct ml_slice update);
void speech_update(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                   struct ml_slice update);
void speech_awareness(struct ml_writer *w, enum dialect dialect, struct ml_slice document,
                      struct ml_slice awareness);

#endif
