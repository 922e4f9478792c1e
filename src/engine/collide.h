/* SPDX-License-Identifier: MIT */
/*
 * Where two writers, neither of whom had seen the other's change, changed the same thing. Part of
 * engine.h.
 *
 *   key, before     [ base ] <- [ current ]                     what stands
 *   and after       [ base ] <- [ current ] , [ incoming ]      both lean on base: a collision
 *                   [ base ] <- [ current ] <- [ incoming ]     incoming leans on current: none
 *
 * Nothing is looked for unless somebody asks, with one update. What a key held before stays known
 * for a while in a ml_past, which belongs to whoever asks.
 */
#ifndef ML_ENGINE_COLLIDE_H
#define ML_ENGINE_COLLIDE_H

enum ml_collision_kind {
    ML_COLLISION_MAP,    /* the same key of a map */
    ML_COLLISION_ATTR,   /* the same attribute of an XML element or text */
    ML_COLLISION_BLOCK,  /* the same block of text */
    ML_COLLISION_DELETE, /* one deleted what the other wrote in */
    ML_COLLISION_KINDS
};

#define ML_COLLISIONS_MAX 1000 /* of one update; what is beyond is left to the natural rule */

struct ml_collision_side {
    struct ml_slice any;           /* one encoded Any; .ptr NULL: nothing is there */
    const struct ml_value *shared; /* a shared type: its copy, `any` shows how it reads; or NULL */
    struct ml_id id;               /* the unit that holds it; of a deletion: that was deleted */
    uint64_t tag; /* the transaction that did it; 0: who wrote the unit, or nobody */
};

/* What keys held that were overwritten or deleted, and by which transaction. Bounded; oldest go. */
struct ml_past;
/** NULL: out of memory. */
struct ml_past *ml_past_new(size_t bytes_max) ML_MUST_CHECK;
void ml_past_free(struct ml_past *past);
/** Transaction `tag` has ended this value: put another in its place, or deleted it. */
void ml_past_note(struct ml_past *past, const struct ml_collision_side *side, uint64_t tag,
                  bool was_overwritten);

/** The node (by the unit that holds it) was put back: who still writes in what is gone has lost. */
void ml_past_unbury(struct ml_past *past, const struct ml_id *node);
/** Forget the nodes that transactions up to `tag` have deleted. */
void ml_past_forget_nodes(struct ml_past *past, uint64_t tag);

/** One question about one update. Everything is borrowed for the call. */
struct ml_collide {
    unsigned kinds;         /* bits 1 << enum ml_collision_kind: what is asked for */
    unsigned minds;         /* and what is only noted, for later questions */
    struct ml_past *past;   /* not NULL: read, and added to */
    struct ml_past *texts;  /* for ML_COLLISION_BLOCK: deleted text; NULL: it is not noted */
    uint64_t keep_as;       /* for ML_COLLISION_DELETE: what deletes a node is a transaction of this
                               origin, whose history keeps it; 0: nobody keeps anything */
    uint64_t tag;           /* of this transaction, not 0: sides that were deleted name it */
    struct ml_slice seen;   /* state vector: all that the writer had seen; .ptr NULL: unknown */
    bool was_told;          /* of more than `seen`, before it answered: then keys are judged as if
                               that were unknown */
    bool has_whole_deletes; /* the delete set is all that the writer knows deleted: an answer to a
                               Step1 */
};

/** Lives in the scratch arena of the call. */
struct ml_collision {
    enum ml_collision_kind kind;
    struct ml_slice path;  /* of the container: "tasks/7"; '/' in a name is ~1, '~' is ~0;
                              DELETE: of what was deleted */
    struct ml_slice key;   /* MAP, ATTR; DELETE: of an entry of a map */
    struct ml_place place; /* the container; BLOCK: the text */
    struct ml_slice block; /* BLOCK, DELETE: a name that stays while positions move */
    struct ml_id node;     /* DELETE: the unit that held it */
    uint32_t index_utf16;  /* BLOCK: where it begins in the text */
    struct ml_slice now;   /* BLOCK: how it reads with both changes in */
    bool is_base_known;
    struct ml_slice base; /* an Any; .ptr NULL: there was nothing */
    struct ml_collision_side current, incoming;
    bool incoming_stands; /* what the CRDT has picked; BLOCK: both are in */
    bool is_exact;
};

/**
 * ml_doc_apply that looks for collisions. They are found or not: what cannot be told (no memory,
 * too many) is left out, and the document is as after ml_doc_apply.
 *
 * @param ask  NULL: nobody asks
 * @param collisions_out  by place; `*count_out` of them
 * Cost: beyond ml_doc_apply the keys that the update touches and the members of their chains.
 */
enum ml_err ml_doc_apply_asking(struct ml_doc *doc, const struct ml_update *update,
                                const struct ml_verdict *verdict, const struct ml_collide *ask,
                                struct ml_arena *scratch, const struct ml_change **change_out,
                                const struct ml_collision **collisions_out,
                                size_t *count_out) ML_MUST_CHECK;

/** ml_doc_commit that notes the text which the transaction deletes, in ask->texts by ask->tag. */
enum ml_err ml_doc_commit_noting(struct ml_doc *doc, const struct ml_collide *ask,
                                 struct ml_arena *scratch,
                                 const struct ml_change **change_out) ML_MUST_CHECK;

/** Set the key of a place, or with NULL delete it; between ml_doc_begin and its end. */
enum ml_err ml_place_set(struct ml_doc *doc, const struct ml_place *place, struct ml_slice key,
                         const struct ml_value *value) ML_MUST_CHECK;
/** Put a node back where it was, as a copy. ML_ENOTFOUND: its place is gone. In a transaction. */
enum ml_err ml_place_put_back(struct ml_doc *doc, const struct ml_collision *collision,
                              const struct ml_value *value) ML_MUST_CHECK;
/** Make a block read like this by the smallest edit. In a transaction, from the last to the first.
 */
enum ml_err ml_block_set(struct ml_doc *doc, const struct ml_collision *collision,
                         struct ml_slice wanted) ML_MUST_CHECK;

#endif
