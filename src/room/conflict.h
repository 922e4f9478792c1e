/* SPDX-License-Identifier: MIT */
/* What a room knows of who wrote what, for documents with a `conflict` hook. Private to room/. */
#ifndef ML_ROOM_CONFLICT_H
#define ML_ROOM_CONFLICT_H

#include "room/room.h"

struct ml_who;   /* an author, shared by what it wrote */
struct ml_notes; /* who wrote what lately, and what keys held before */

/* One transaction. */
struct ml_write {
    uint64_t tag, at_us, based_on_us, seq;
    struct ml_who *who; /* NULL: the server */
    bool is_offline;
    const char *origin;
};

/** How an entry of the journal was decided: what it takes to decide it again. */
struct ml_decided {
    struct ml_blob *original; /* the update as it came; NULL: the record is it */
    bool undo_all;            /* a policy has refused it */
    bool is_ruled;            /* a policy has refused or rewritten single edits of it */
    struct ml_who *who;
    struct ml_blob *seen;             /* state vector of the writer; NULL: unknown */
    bool is_reply, was_told;          /* of more than `seen` before it answered */
    uint64_t tag, at_us, based_on_us; /* 0: nobody asked */
};

/** What only a room has that decides. */
struct ml_desk {
    struct ml_room *room;
    struct ml_notes *notes;
    struct ml_keeping *keeping; /* keeping.c; NULL: nothing that is deleted is kept */
    struct ml_decided deciding; /* of the update that was integrated last, not staged yet */
    bool must_move;             /* moved.c: what others have committed could not be read yet */
    struct ml_load catch_up;
};

/* author.c */

/** One reference. NULL: out of memory; then it is nobody. */
struct ml_who *ml_who_new(const struct ml_identity *identity);
/** NULL is fine for both. */
struct ml_who *ml_who_ref(struct ml_who *who);
void ml_who_unref(struct ml_who *who);
/** Good as long as it. */
const struct ml_scope *ml_who_scope(const struct ml_who *who);

/* desk.c */

/** Made when first needed. NULL: out of memory. */
struct ml_desk *ml_desk_of(struct ml_room *room);
void ml_desk_free(struct ml_desk *desk);
/** A new transaction, whose tag it gets; of `as` a reference is taken. */
struct ml_write *ml_notes_begin(struct ml_notes *notes, const struct ml_write *as);
/** The units that a record has brought are this write's. */
void ml_desk_note_units(struct ml_room *room, uint64_t tag, struct ml_slice record,
                        struct ml_arena *scratch);
/** NULL: not known (any more). */
struct ml_write *ml_notes_find_tag(struct ml_notes *notes, uint64_t tag);
struct ml_write *ml_notes_find_unit(struct ml_notes *notes, const struct ml_id *id);
struct ml_past *ml_notes_past(struct ml_notes *notes);
/** Text that was deleted; made when first needed. NULL: out of memory. */
struct ml_past *ml_notes_texts(struct ml_notes *notes);

/* keeping.c */

/** Does it keep something of this document? */
bool ml_desk_keeps(const struct ml_desk *desk, const struct ml_doc *doc);
/** Before the document goes. NULL is fine. */
void ml_desk_keep_no_more(struct ml_desk *desk);
/**
 * How to apply a record to `doc` so that the desk learns from it; nothing is asked yet. Where
 * deletions are decided, what deletes a node of `doc` leaves its content for a while; whatever was
 * kept of another document goes.
 */
struct ml_collide ml_desk_question(struct ml_room *room, struct ml_doc *doc, uint64_t tag);

/* resolve.c */

/**
 * Ask about every collision and write what was decided; the change then holds it, too.
 *
 * @param tag       of the write that met them
 * @param received  the update as it came: the record of what has to wait for others
 */
enum ml_err ml_room_resolve(struct ml_room *room, uint64_t tag, const struct ml_collision *found,
                            size_t count, struct ml_slice received, struct ml_arena *scratch,
                            struct ml_change *change) ML_MUST_CHECK;

/* conflict.c */

void ml_decided_release(struct ml_decided *decided);

#endif
