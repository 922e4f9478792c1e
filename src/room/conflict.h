/* SPDX-License-Identifier: MIT */
/* What a room knows of who wrote what, for documents with a `conflict` hook. Private to room/. */
#ifndef ML_ROOM_CONFLICT_H
#define ML_ROOM_CONFLICT_H

#include "room/room.h"

struct ml_who;   /* an author, shared by what it wrote */
struct ml_notes; /* who wrote what lately, and what keys held before */

/** How an entry of the journal was decided: what it takes to decide it again. */
struct ml_decided {
    struct ml_blob *original; /* the update as it came; NULL: the record is it */
    bool undo_all;            /* a policy has refused it */
    bool is_ruled;            /* a policy has refused or rewritten single edits of it */
    struct ml_who *who;
    struct ml_blob *seen; /* state vector of the writer; NULL: unknown */
    bool is_reply;
    uint64_t tag, at_us, based_on_us; /* 0: nobody asked */
};

/** What only a room has that decides. */
struct ml_desk {
    struct ml_room *room;
    struct ml_notes *notes;     /* conflict.c */
    struct ml_decided deciding; /* of the update that was integrated last, not staged yet */
    bool must_move;             /* moved.c: what others have committed could not be read yet */
    struct ml_load catch_up;
};

void ml_desk_free(struct ml_desk *desk);
void ml_who_unref(struct ml_who *who);
void ml_decided_release(struct ml_decided *decided);

#endif
