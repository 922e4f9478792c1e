/* SPDX-License-Identifier: MIT */
/*
 * Versions, what of them is public, and what of the records may go. Part of journal.h.
 *
 *   version        number (from 1, never given twice), name (once in a document), the seq it stands
 *                  for. Its snapshot is kept as long as the version is.
 *   automatic      made by the cadence: goes when newer ones push it out, or retention says so
 *   named          made by somebody: stays until somebody removes it
 *   publication    a version whose representations anybody may read; the newest one published is
 *                  the one that the document's public address leads to
 */
#ifndef ML_JOURNAL_VERSIONS_H
#define ML_JOURNAL_VERSIONS_H

#define ML_VERSION_NAME_MAX   200
#define ML_VERSION_LABELS_MAX 4096
#define ML_HASH_CHARS         16

/** One version. Slices belong to the request that read it. */
struct ml_version {
    uint64_t number, seq, epoch, bytes; /* bytes: of its snapshot, as stored */
    int64_t at_ms;
    struct ml_slice name, author, labels; /* labels: a JSON object, or empty; author: empty, the
                                             server */
    bool is_named, is_pinned;
    struct ml_slice hash, root; /* published with these; empty: never was */
};

/** Versions of a document, the newest first; or one of them. */
struct ml_versions {
    /* request */
    struct ml_slice org, name;
    struct ml_slice only;   /* a number in decimal, or a name; empty: all */
    bool is_published_only; /* without `only`: the one that the public address leads to */
    uint64_t before_number; /* only those before it; ML_SEQ_ANY: from the newest on */
    size_t limit;           /* 1 … 1000 */
    void (*done)(struct ml_versions *request);
    /* result: belongs to the caller, freed by ml_versions_release */
    enum ml_err err; /* ML_OK, also for no document; ML_ENOTFOUND: tombstone; ML_EIO */
    bool exists;     /* the document */
    uint64_t head, epoch, compacted_seq;
    uint64_t published; /* number of the version that the public address leads to; 0: private */
    bool is_purging;    /* caches may still have what was hidden or deleted */
    struct ml_version *items;
    size_t count;
    bool more;
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};
void ml_versions_release(struct ml_versions *request);

enum ml_version_act {
    ML_VERSION_DELETE,  /* the version, and its snapshot if nothing else needs that */
    ML_VERSION_KEEP,    /* pin it, or (`flag` false) let it go again */
    ML_VERSION_PUBLISH, /* under `hash` and `root`; the public address leads to it from now on */
    ML_VERSION_HIDE,    /* the document: nothing of it is public any more; number is ignored */
};
/** One change of one version, in one transaction. */
struct ml_version_change {
    /* request */
    struct ml_slice org, name;
    enum ml_version_act act;
    uint64_t number;
    bool flag;
    struct ml_slice hash, root; /* borrowed until done */
    int64_t at_ms;
    void (*done)(struct ml_version_change *change);
    /* result */
    enum ml_err err; /* ML_OK; ML_ENOTFOUND: no such document or version; ML_ECONFLICT: it is the
                        published one, or pinned, or one of those that loading relies on; ML_EIO */
    bool changed;
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};

/**
 * Drop records 1 … upto. Never more than what the third newest good snapshot of this epoch covers,
 * so that two older ones stand behind the newest (REL-25), and never what a later one is a part of.
 */
struct ml_compact {
    /* request */
    struct ml_slice org, name;
    uint64_t upto, epoch;
    void (*done)(struct ml_compact *request);
    /* result */
    enum ml_err err; /* ML_OK, also if nothing could go; ML_ENOTFOUND; ML_ECONFLICT: another epoch;
                        ML_EIO: outcome unknown */
    uint64_t compacted_seq; /* records up to here are gone now */
    uint64_t rows, bytes;   /* that went */
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};

void ml_journal_versions(struct ml_journal *journal, struct ml_versions *request);
void ml_journal_change_version(struct ml_journal *journal, struct ml_version_change *change);
void ml_journal_compact(struct ml_journal *journal, struct ml_compact *request);

#endif
