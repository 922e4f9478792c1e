/* SPDX-License-Identifier: MIT */
/*
 * What an update would do, from inside. Private to engine/.
 *
 *   effects_read.c   which structs would go in now, in the order in which they would
 *   effects.c        what each of them is: its container, its kind; what the delete set takes away
 *   effects_list.c   a list as it would be, and of that:
 *   effects_block.c  the text; effects_marks.c  whether it is only a proposal
 *   effects_show.c   what a policy asks about one of them: index, value, what was there before
 *
 * The document is looked at and stays as it is.
 *
 *   parts        [ xml element ][ "text" ][ format ] ...      structs of the update that are news
 *                     |  holds      | stands in
 *                     v             v
 *   containers   [ prosemirror ] <- [ the new element ]       a branch of the document, a root, or
 * a type that comes with the update
 */
#ifndef ML_ENGINE_EFFECTS_H
#define ML_ENGINE_EFFECTS_H

#include "engine/update.h"

/** One struct of the update, or of what waited, that would go in. */
struct ml_part {
    struct ml_id id;
    uint32_t len;
    uint8_t kind, type_ref; /* enum ml_wire_kind, enum ml_type_ref */
    uint8_t parent;         /* enum ml_wire_parent */
    bool has_origin, has_right;
    bool half;           /* as in ml_wire */
    bool waited;         /* it was parked */
    bool dead;           /* it would not be seen: deleted at once, or in a deleted type */
    struct ml_id origin; /* or the parent's id */
    struct ml_id right;
    struct ml_slice root, key, content, name; /* borrowed from the update */
    uint32_t container;                       /* NIL: it would be collected */
    uint32_t holds;                           /* container in it, of a type; NIL: nothing yet */
    uint32_t index;                           /* effects_show.c: live units before it */
};

struct ml_container {
    uint32_t branch; /* NIL: not in the document */
    uint32_t part;   /* that holds it; NIL: a root, or in the document */
    uint32_t parent; /* container; NIL: a root, or not looked for yet */
    uint16_t depth;
    uint8_t type_ref; /* of a nested one */
    bool is_root;
    bool is_gone;                     /* deleted, now or by this update, or too deep */
    uint8_t proposed;                 /* effects_marks.c: 0: not asked for, 1: yes, 2: no */
    struct ml_slice root;             /* name of a root */
    struct ml_slice tag;              /* of an XML element */
    struct ml_slice id;               /* its id attribute, from the update; .ptr NULL: none */
    struct ml_slice path, path_by_id; /* .ptr NULL: not written yet */
};

/** From what to which number: container of a branch, live entry of (container, key). */
struct ml_effect_table {
    struct ml_effect_slot {
        uint64_t hash; /* 0: free */
        uint32_t a, b; /* what */
        struct ml_slice key;
        uint32_t value;
    } * slots;
    uint32_t count, cap;
};

struct ml_effects {
    struct ml_doc *doc; /* borrowed; not changed */
    const struct ml_update *update;
    struct ml_arena *arena;

    struct ml_part *parts; /* in the order in which they would go in */
    uint32_t part_count, part_cap;
    uint32_t *by_id; /* numbers of the parts, by client and clock */
    struct ml_container *containers;
    uint32_t container_count, container_cap;
    uint32_t first_cap; /* of parts and edits: as many as the update has structs and deletes */
    struct ml_slice last_root; /* structs of one root come one behind the other */
    uint32_t last_root_container;
    struct ml_effect_table branches, entries, erased;
    struct ml_wire_range *deleted; /* the delete set, sorted and joined */
    size_t deleted_count;

    struct ml_effect *at;
    uint32_t count, cap;
    uint32_t judged;  /* edits whose fate is not ML_FATE_ACCEPTED */
    bool has_indexes; /* ml_part.index is known */
    bool waits;       /* something of the update would have to wait */
};

/** What a verdict says about units, in a form that integration can use. In an arena. */
struct ml_judgement {
    bool all;                            /* everything of the update is refused */
    bool waiting;                        /* everything that has to wait is */
    const struct ml_wire_range *refused; /* structs: sorted by client and clock, disjoint */
    size_t refused_count;
    const struct ml_wire_range *kept; /* deletes that are taken back, likewise */
    size_t kept_count;
    const struct ml_wire_range *restoring; /* of `refused`, with a key: the value before returns */
    size_t restoring_count;
    const struct ml_rewrite {
        struct ml_id beside;
        bool before; /* in front of that unit, else behind it */
        bool keyed;
        struct ml_slice text;
        uint32_t units;
    } * rewrites;
    size_t rewrite_count;
    uint64_t rewrite_bytes, rewrite_units;
};

/** The first of sorted, disjoint ranges that ends behind the unit; NULL: none of this client. */
const struct ml_wire_range *ml_ranges_find(const struct ml_wire_range *ranges, size_t count,
                                           ml_client_id client, uint64_t clock);
/** ML_ELIMIT: the arena is full. */
enum ml_err ml_effects_judge(const struct ml_verdict *verdict, struct ml_arena *arena,
                             struct ml_judgement *out) ML_MUST_CHECK;
/** Write what was put in the place of what was refused. False: out of memory. */
bool ml_txn_rewrite(struct ml_doc *doc, const struct ml_judgement *judgement);

/** An array of the arena with room for one more, zeroed, at first for `first` (0: some); NULL: it
 * is full. */
void *ml_effects_grow(struct ml_arena *arena, void *at, uint32_t count, uint32_t *cap,
                      uint32_t first, size_t each_bytes);

/** Fill `parts` and `by_id`. ML_ELIMIT */
enum ml_err ml_effects_read(struct ml_effects *fx) ML_MUST_CHECK;
/** Number of the part that holds the unit; NIL: it is in the document, or nowhere. */
uint32_t ml_effects_part(const struct ml_effects *fx, const struct ml_id *id);
/** The first range of `deleted` that ends behind the unit, whoever's; deleted_count: none does. */
size_t ml_effects_deleted_at(const struct ml_effects *fx, const struct ml_id *id);
/** The run of the document that holds the unit; NIL: it is not there. */
uint32_t ml_effects_item(const struct ml_effects *fx, const struct ml_id *id);

/** The container of a branch of the document. NIL: out of memory. */
uint32_t ml_effects_branch(struct ml_effects *fx, uint32_t branch);
/** Fill ml_part.index of all parts. ML_ELIMIT */
enum ml_err ml_effects_indexes(struct ml_effects *fx) ML_MUST_CHECK;
/** Write a container's path, and with "#id" where elements have one. False: out of memory. */
bool ml_effects_path(struct ml_effects *fx, uint32_t container);

#endif
