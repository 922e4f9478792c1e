/* SPDX-License-Identifier: MIT */
/*
 * The members of a JSON body. The engine turns JSON text into one encoded Any (checked, no deeper
 * than allowed); here is what finds its way in one. Pure; answers borrow.
 */
#ifndef ML_NET_FIELDS_H
#define ML_NET_FIELDS_H

#include "base/slice.h"

/** The value at a key of an encoded object. False: no object, or no such key. */
bool ml_fields_get(struct ml_slice any, const char *key, struct ml_slice *value_out);
/** Is it a string? Then its text. */
bool ml_fields_text(struct ml_slice any, struct ml_slice *text_out);
/** A whole number from 0 (no larger than JavaScript can say exactly); true or false. */
bool ml_fields_number(struct ml_slice any, uint64_t *out);
bool ml_fields_bool(struct ml_slice any, bool *out);
/** The `index`th member of an object. False: there are not so many. Cost: its place. */
bool ml_fields_member(struct ml_slice any, uint64_t index, struct ml_slice *name_out,
                      struct ml_slice *value_out);
/** The `index`th value of a list. False: there are not so many. Cost: its place. */
bool ml_fields_item(struct ml_slice any, uint64_t index, struct ml_slice *value_out);
bool ml_fields_is_object(struct ml_slice any);
bool ml_fields_is_list(struct ml_slice any);
/** The name of a member that is not among `known` (NULL-terminated); .ptr NULL: all are known. */
struct ml_slice ml_fields_unknown(struct ml_slice any, const char *const *known);

#endif
