/* SPDX-License-Identifier: MIT */
/* What a reader sees of a document, as bytes to compare: structure, not layout. For tests. */
#ifndef ML_SPEC_ENGINE_VISIBLE_H
#define ML_SPEC_ENGINE_VISIBLE_H

#include "engine/item.h"

/**
 * Every root that shows something, by name: live content of its list in order, live entries of its
 * map by key, nested types inside. Runs of text and values are joined, whoever wrote them.
 */
void visible_dump(const struct ml_doc *doc, struct ml_writer *out);

#endif
