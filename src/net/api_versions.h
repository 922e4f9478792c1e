/* SPDX-License-Identifier: MIT */
/* Versions, as several routes need them. Private to net. */
#ifndef ML_NET_API_VERSIONS_H
#define ML_NET_API_VERSIONS_H

#include "net/api.h"

/** Looking one version up. The call waits; `found` runs once, unless it was answered 404 or 5xx. */
struct ml_version_search {
    struct ml_versions request;
    struct ml_call *call;
    void (*found)(struct ml_version_search *search, const struct ml_version *version);
};
/** `only`: a number or a name. @param search  in the call's arena */
void ml_version_search_start(struct ml_version_search *search, struct ml_call *call,
                             struct ml_slice only,
                             void (*found)(struct ml_version_search *, const struct ml_version *));

/**
 * A snapshot of a document as it is committed, or was: read, encoded, decoded again, compared and
 * stored as a version.
 */
struct ml_versioning {
    /* request */
    struct ml_slice org, name;
    uint64_t seq; /* 0: as it is now */
    struct ml_slice version_name, author, labels;
    bool is_pinned;
    void (*done)(struct ml_versioning *versioning);
    /* result */
    enum ml_err err; /* as of a reading or a put; ML_EDENIED: nothing was ever written */
    bool exists;
    struct ml_snapshot_put put; /* its number, name, seq */
    /* private */
    struct ml_reading reading;
};
void ml_versioning_start(struct ml_net *net, struct ml_versioning *versioning);
/** Answers what went wrong. */
void ml_call_not_versioned(struct ml_call *call, const struct ml_versioning *versioning);

/** The labels of a body as a JSON object, in the arena. False: they are not texts by name. */
bool ml_labels_write(struct ml_slice any, struct ml_arena *arena, struct ml_slice *out);
/** One version as JSON. */
void ml_version_write(struct ml_writer *out, const struct ml_version *version, uint64_t published);
/** The body of a call as one encoded object with no other members. Empty body: an empty object.
 * False: answered. */
bool ml_call_body(struct ml_call *call, const char *const *known, struct ml_slice *any_out);

#endif
