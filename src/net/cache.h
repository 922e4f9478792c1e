/* SPDX-License-Identifier: MIT */
/* What caches may keep of an answer, as header fields. Private to net. */
#ifndef ML_NET_CACHE_H
#define ML_NET_CACHE_H

#include "net/http.h"

#define ML_CACHE_DOC_HASH 16 /* hex digits */

/** What an answer is about. */
struct ml_cache_subject {
    struct ml_script_response facts; /* route, status, … */
    struct ml_slice org, document;   /* for keys; empty: none */
    uint64_t version;                /* 0: none */
    bool is_purging;                 /* something of it has to be forgotten first: no-store */
};

/** "d-" and this is the key of everything that is published of a document. */
void ml_cache_doc_hash(struct ml_slice org, struct ml_slice document,
                       char out[ML_CACHE_DOC_HASH + 1]);
/** Does the request carry credentials? */
bool ml_cache_has_credentials(const struct ml_head *head);
/**
 * Cache-Control, Vary and the keys, as whole lines.
 *
 * @param rule  what holds if no plugin says anything
 */
void ml_cache_fields(struct ml_net *net, const struct ml_cache_subject *subject,
                     struct ml_cache_rule rule, struct ml_writer *out);

#endif
