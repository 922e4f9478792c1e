/* SPDX-License-Identifier: MIT */
/* States as bytes, between the files that make, keep and answer from them. Private to engine/. */
#ifndef ML_ENGINE_KEEP_H
#define ML_ENGINE_KEEP_H

#include "engine/engine.h"

/**
 * The whole state as V2; byte-equal to ml_state_to_v2 of the V1 state.
 * @param deleted_bytes_out  what the delete set at the end takes; 0: something is pending
 */
enum ml_err ml_doc_encode_v2(struct ml_doc *doc, struct ml_writer *out,
                             size_t *deleted_bytes_out) ML_MUST_CHECK;
/** V2 bytes of a state as V1; byte-equal to what ml_doc_encode_state wrote. */
enum ml_err ml_state_to_v1(struct ml_slice state, const struct ml_engine_limits *limits,
                           struct ml_writer *out) ML_MUST_CHECK;
/** What of a V1 state a holder of `state_vector` lacks; byte-equal to ml_doc_encode_state. */
enum ml_err ml_state_diff(struct ml_slice state, struct ml_slice state_vector,
                          const struct ml_engine_limits *limits,
                          struct ml_writer *out) ML_MUST_CHECK;

/** Let go of kept states and scratch, of everything but the document. */
void ml_doc_let_go(struct ml_doc *doc);
/** What that would give back. */
size_t ml_doc_kept_bytes(const struct ml_doc *doc);

/** ml_doc_state_blob as V2, with the size of the delete set at its end. Nothing is pending. */
enum ml_err ml_doc_state_v2(struct ml_doc *doc, struct ml_blob **blob_out,
                            size_t *deleted_bytes_out) ML_MUST_CHECK;
/** ml_doc_apply_bytes for the bytes of a document: not measured by what peers may send. */
enum ml_err ml_doc_load(struct ml_doc *doc, struct ml_slice state) ML_MUST_CHECK;

#endif
