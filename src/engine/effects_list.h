/* SPDX-License-Identifier: MIT */
/*
 * A list as it would be after an update, deleted units included. Private to engine/.
 *
 *   list      [ "he" ][ "llo" ]          pieces of the list as it is
 *   update        ^ "XY" behind unit 3       -> [ "he" ][ "l" ][ "XY" ][ "lo" ]
 */
#ifndef ML_ENGINE_EFFECTS_LIST_H
#define ML_ENGINE_EFFECTS_LIST_H

#include "engine/effects.h"

/** Some units of an item or a part, in the list as it would be. */
struct ml_piece {
    uint32_t next;       /* in the list; NIL: the last */
    uint32_t next_cut;   /* the next one of the same item or part */
    uint32_t item, part; /* one of them is NIL */
    uint32_t from, to;   /* units of it */
    uint32_t met;        /* number of the last step that met it; 0: none did */
};

struct ml_pieces {
    struct ml_effects *fx;
    struct ml_piece *at;
    uint32_t count, cap;
    uint32_t first; /* NIL: none */
    struct ml_piece_of {
        uint32_t item, piece;
    } * items; /* sorted: the first piece of each item */
    uint32_t item_count;
    uint32_t *of_part; /* the first piece of each part; NIL: not here */
    uint32_t steps;
    bool is_exact; /* false: so many wrote at one place that not all was compared */
};

/**
 * The list of a container. ML_ELIMIT: the arena is full.
 * Cost: linear in its items, deleted ones included, and the parts of the update.
 */
enum ml_err ml_pieces_make(struct ml_effects *fx, uint32_t container,
                           struct ml_pieces *out) ML_MUST_CHECK;
/** The id of the piece's first unit. */
struct ml_id ml_piece_id(const struct ml_pieces *list, const struct ml_piece *piece);

#endif
