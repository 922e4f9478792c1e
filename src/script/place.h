/* SPDX-License-Identifier: MIT */
/* place_document(p): on which of several primaries a new org lives. Part of script.h. */
#ifndef ML_SCRIPT_PLACE_H
#define ML_SCRIPT_PLACE_H

struct ml_script_placement {
    struct ml_slice org;
    const struct ml_slice *pools; /* names of the primaries */
    size_t pool_count;
    size_t answer; /* an index of pools; SIZE_MAX: nobody had an opinion, or it was none of them */
};
/** The first answer counts. A handler that fails has no opinion. */
void ml_script_place(struct ml_script *script, struct ml_script_placement *placement);

#endif
