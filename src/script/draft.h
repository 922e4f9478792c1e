/* SPDX-License-Identifier: MIT */
/*
 * A copy of a document that somebody's call may read and write. What it writes comes out as one
 * update, and whoever made the draft says whose edit that is. Part of script.h.
 */
#ifndef ML_SCRIPT_DRAFT_H
#define ML_SCRIPT_DRAFT_H

#include "engine/engine.h"
#include "script/document.h"

#define ML_DRAFT_CHANGES_MAX 64 /* transactions of one call */

struct ml_draft {
    struct ml_doc_port port; /* to lend with `doc` */
    struct ml_doc *doc;      /* borrowed; needs a client id */
    struct ml_doc_facts facts;
    struct ml_writer *changes; /* owned */
    size_t count;
};

void ml_draft_init(struct ml_draft *draft, struct ml_doc *doc, const struct ml_doc_facts *facts);
void ml_draft_release(struct ml_draft *draft);
/** All that was written, in `out`; nothing: it stays empty. Scratch for the call. ML_ELIMIT */
enum ml_err ml_draft_update(const struct ml_draft *draft, struct ml_arena *scratch,
                            struct ml_writer *out) ML_MUST_CHECK;

#endif
