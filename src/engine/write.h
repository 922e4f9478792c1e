/* SPDX-License-Identifier: MIT */
/*
 * Writing as a client, from inside. Private to engine/.
 *
 *   write_txn.c    begin, commit, rollback; which branch a handle means
 *   write_value.c  values and new types: checked and measured first, then put in
 *   write_list.c   lists, keys
 *   write_move.c   an element of a list to another place
 *   write_set.c    a text that is to become another one, counters
 *   write_text.c   texts with formats; caret.c: a place in one, formats.c: what is in force there
 *   write_ops.c    operations as data
 *
 * Every public call has the same shape: resolve the type, check the arguments, ask for room (after
 * this nothing can be refused any more), do it. What fails from then on is the heap: broken.
 */
#ifndef ML_ENGINE_WRITE_H
#define ML_ENGINE_WRITE_H

#include "engine/item.h"

/** What a document needs while it is written to; kept from one transaction to the next. */
struct ml_writing {
    struct ml_diag *diag;    /* borrowed from begin to the end, may be NULL */
    struct ml_arena call;    /* dies with the call */
    struct ml_arena compare; /* dies with one comparison of two values */
    uint32_t names_before;   /* names from here on are of this transaction */
    uint32_t *roots;         /* owned: branches of roots that came into being */
    uint32_t root_count, root_cap;
};

/* ---- write_set.c ------------------------------------------------------------------------------
 */

/** The part of a text that begins at `index` and reads `is` becomes `wanted`, where they differ. */
enum ml_err ml_text_set_part(struct ml_doc *doc, struct ml_type text, uint32_t index,
                             struct ml_slice is, struct ml_slice wanted) ML_MUST_CHECK;

/* ---- write_txn.c ------------------------------------------------------------------------------
 */

/** A call begins: forgets the memory of the one before. ML_ELIMIT: the document is broken. */
enum ml_err ml_write_open(struct ml_doc *doc) ML_MUST_CHECK;
/** Say why, hand `err` through. */
enum ml_err ml_write_fail(struct ml_doc *doc, enum ml_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** The call ends: false breaks the document. */
enum ml_err ml_write_close(struct ml_doc *doc, bool ok) ML_MUST_CHECK;

/** The branch to write into; makes the root if need be. */
enum ml_err ml_type_for_writing(struct ml_doc *doc, struct ml_type type,
                                uint32_t *out) ML_MUST_CHECK;

/** What a call is going to need, at most. */
struct ml_need {
    uint64_t units; /* clocks of the own client */
    uint64_t items, bytes;
};
/** Is there room? Reserves the items. ML_ELIMIT */
enum ml_err ml_write_room(struct ml_doc *doc, uint32_t branch,
                          const struct ml_need *need) ML_MUST_CHECK;

/** A key, a name: UTF-8 within key_bytes? */
enum ml_err ml_check_key(struct ml_doc *doc, struct ml_slice key) ML_MUST_CHECK;

/* ---- write_value.c ----------------------------------------------------------------------------
 */

/** Check a value that is going to stand in a type `depth` deep, and add what it needs. */
enum ml_err ml_value_measure(struct ml_doc *doc, const struct ml_value *v, uint32_t depth,
                             struct ml_need *need) ML_MUST_CHECK;
/** Exactly one well-formed Any? */
enum ml_err ml_check_any(struct ml_doc *doc, struct ml_slice any) ML_MUST_CHECK;
/** Put in one measured value. Answers its item; NIL: out of memory. */
uint32_t ml_value_insert(struct ml_doc *doc, const struct ml_spot *at, const struct ml_value *v);
/** Put a list of measured values between at->left and at->right. False: out of memory. */
bool ml_values_insert(struct ml_doc *doc, const struct ml_spot *at, const struct ml_value *values,
                      size_t count);

#endif
