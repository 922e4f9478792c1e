/* SPDX-License-Identifier: MIT */
/* An undo manager from inside. Private to engine/: history.c keeps the steps, redo.c puts back. */
#ifndef ML_ENGINE_HISTORY_H
#define ML_ENGINE_HISTORY_H

#include "engine/item.h"

/** What one step did. */
struct ml_step {
    struct ml_runs inserted, deleted; /* normalized */
    struct ml_runs order; /* authors of `deleted` (slot only) as they first came: the order of ids
                             that undo gives out */
};

struct ml_steps {
    struct ml_step *at; /* owned; the newest last */
    uint32_t count, cap;
};

enum ml_history_doing { ML_HISTORY_RECORDING, ML_HISTORY_UNDOING, ML_HISTORY_REDOING };

/**
 * The last item put back into a copied type, and the items beside it, left and right in its old
 * list, that have copies there, too (NIL: none). Siblings come back in rows: without this, each
 * would walk over all that are not back yet.
 */
struct ml_redo_row {
    uint32_t from, to; /* branches: the old one, the copy */
    uint32_t last;     /* NIL: no row */
    uint32_t left, right;
};

struct ml_history {
    struct ml_watch watch; /* first */
    struct ml_doc *doc;    /* borrowed */
    uint32_t *roots;       /* owned: numbers of the names in scope; root_count 0: everything */
    uint32_t root_count;
    uint64_t *origins; /* owned */
    uint32_t origin_count;
    uint32_t steps_max, ranges_max;
    uint64_t join_ms;

    struct ml_steps undo, redo;
    uint64_t ranges;  /* of all steps */
    uint64_t last_ms; /* of the last recorded transaction; 0: the next one begins a step */
    enum ml_history_doing doing;
    struct ml_redo_row row;
};

/** Does the item stand in a root of the scope? */
bool ml_history_covers(const struct ml_history *h, const struct ml_item *i);
/** Did any step that can still be undone or redone delete the unit? */
bool ml_history_deleted(const struct ml_history *h, uint32_t slot, uint32_t clock);

/** How putting back one item ended. */
enum ml_redo { ML_REDO_DONE, ML_REDO_GIVEN_UP, ML_REDO_FAILED };

/**
 * Put back one deleted item that step `s` deleted, by a copy of the own client; before it the types
 * that hold it, if they were deleted with it. Given up: its type is gone for good, or somebody else
 * has set its key meanwhile. Failed: out of memory.
 */
enum ml_redo ml_redo_item(struct ml_history *h, const struct ml_step *s, uint32_t item);

#endif
