/* SPDX-License-Identifier: MIT */
/* What an item holds as a value of its own. Private to engine/. */
#ifndef ML_ENGINE_COPY_H
#define ML_ENGINE_COPY_H

#include "engine/item.h"

/** From where, to where, and what of it counts: what is deleted may have been there a moment ago.
 */
struct ml_copier {
    const struct ml_doc *doc;
    struct ml_arena *arena;
    bool (*is_there)(const void *arg, const struct ml_item *item);
    const void *arg;
};

/**
 * The last unit of an item, dead or alive, as one encoded Any; a shared type as it reads, and in
 * `*shared_out` (else NULL) as a value that can be put in again. Formats of texts are not copied.
 * ML_ELIMIT: too deep, or the arena is full. ML_ENOTFOUND: the content has been collected.
 */
enum ml_err ml_copy_value(const struct ml_copier *copier, const struct ml_item *item,
                          struct ml_slice *any_out,
                          const struct ml_value **shared_out) ML_MUST_CHECK;

#endif
