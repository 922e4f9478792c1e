/* SPDX-License-Identifier: MIT */
/* Request targets: percent escapes, query parameters, the two addresses of a document. Pure. */
#ifndef ML_NET_URL_H
#define ML_NET_URL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define ML_QUERY_MAX 64 /* parameters that are looked at */

struct ml_parameter {
    struct ml_slice name, value; /* decoded, in the arena */
};

/**
 * Undo percent escapes, once. `+` stays a plus.
 * @retval ML_EFORMAT  an escape is not two hex digits, or stands for NUL
 */
enum ml_err ml_url_decode(struct ml_slice text, struct ml_arena *scratch,
                          struct ml_slice *out) ML_MUST_CHECK;

/** `a=1&b=x%20y`; here `+` is a space. @param out  ML_QUERY_MAX places. ML_ELIMIT: more than that.
 */
enum ml_err ml_url_query(struct ml_slice query, struct ml_arena *scratch, struct ml_parameter *out,
                         size_t *count_out) ML_MUST_CHECK;
/** The first of that name, or an empty slice with .ptr NULL. */
struct ml_slice ml_url_parameter(const struct ml_parameter *list, size_t count, const char *name);

/**
 * `PREFIX` `ORG` `/` `NAME`, NAME to the end: decoded and checked (ml_org_is_valid,
 * ml_document_name_is_valid). A slash in a name may stand as it is or as %2F.
 * @retval ML_ENOTFOUND  not that prefix, or no such document can exist
 */
enum ml_err ml_url_document(struct ml_slice path, struct ml_slice prefix, struct ml_arena *scratch,
                            struct ml_slice *org_out, struct ml_slice *name_out) ML_MUST_CHECK;

/** Does `text` begin with `prefix`? */
static inline bool ml_url_has_prefix(struct ml_slice text, struct ml_slice prefix)
{
    return text.len >= prefix.len && ml_slice_equal(ml_slice_make(text.ptr, prefix.len), prefix);
}

#endif
