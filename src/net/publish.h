/* SPDX-License-Identifier: MIT */
/* Published representations: /d/ORG/DOC and what is below it. Private to net. */
#ifndef ML_NET_PUBLISH_H
#define ML_NET_PUBLISH_H

#include "net/http.h"

/** GET and HEAD below /d/. */
void ml_publish_route(struct ml_http *http, const struct ml_head *head);

/** Files that are kept ready. */
void ml_publish_forget_all(struct ml_net *net);

/** A representation. The order is that of the table. */
struct ml_publish_form {
    const char *file, *type, *fields;
    enum ml_view view; /* of the root; not used by the update */
    bool is_update, is_page;
};
extern const struct ml_publish_form ml_publish_forms[];
extern const size_t ml_publish_form_count;

/** What stands in the address of an immutable file for its content. */
void ml_publish_hash(struct ml_slice state, struct ml_slice root, char out[ML_HASH_CHARS + 1]);
/** Where a file of a version is: what asset_url says, else /d/ORG/DOC/s/VERSION-HASH/FILE. */
void ml_publish_url(struct ml_net *net, struct ml_slice org, struct ml_slice document,
                    const struct ml_version *version, const char *file, struct ml_writer *out);
/** /d/ORG/DOC, the name as one escaped segment. */
void ml_publish_path(struct ml_slice org, struct ml_slice document, struct ml_writer *out);

#endif
