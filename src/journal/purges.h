/* SPDX-License-Identifier: MIT */
/*
 * What caches have to forget: written in the transaction that publishes, hides or deletes, and kept
 * until somebody says that it is done. Part of journal.h.
 */
#ifndef ML_JOURNAL_PURGES_H
#define ML_JOURNAL_PURGES_H

#define ML_PURGE_COLLECT_MS 1000 /* what is not urgent waits so long for more of the same */
#define ML_PURGE_FILES_MAX  100  /* published versions that one purge names */
#define ML_PURGE_ID_BITS    55   /* an id has no more of them */

enum ml_purge_reason {
    ML_PURGE_PUBLISHED,
    ML_PURGE_DELETED,
    ML_PURGE_MADE_PRIVATE,
    ML_PURGE_MANUAL,
    ML_PURGE_REASONS
};
/** "made_private", … */
extern const char *const ml_purge_reasons[ML_PURGE_REASONS];

static inline bool ml_purge_is_urgent(enum ml_purge_reason reason)
{
    return reason == ML_PURGE_DELETED || reason == ML_PURGE_MADE_PRIVATE;
}

struct ml_purge {
    uint64_t id;
    struct ml_slice org, name, files;
    enum ml_purge_reason reason;
    int64_t at_ms, due_ms;
    uint32_t try;
};

/** The purges that wait, the one that is due first first. */
struct ml_purges {
    /* request */
    size_t limit; /* 1 … 1000 */
    void (*done)(struct ml_purges *request);
    /* result: freed by ml_purges_release */
    enum ml_err err;
    struct ml_purge *items;
    size_t count;
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};
void ml_purges_release(struct ml_purges *request);

enum ml_purge_act {
    ML_PURGE_PUSH,  /* of a document that there is; `reason` */
    ML_PURGE_DONE,  /* `ids` */
    ML_PURGE_RETRY, /* `ids`: not before due_ms, one try more */
    ML_PURGE_TAKE,  /* `ids`, until due_ms, all or none: where several nodes share the store, so
                       that one of them does it; elsewhere always granted */
};
struct ml_purge_note {
    /* request: borrowed until done */
    enum ml_purge_act act;
    struct ml_slice org, name; /* push */
    enum ml_purge_reason reason;
    const uint64_t *ids;
    size_t count;
    int64_t at_ms, due_ms;
    void (*done)(struct ml_purge_note *note);
    /* result */
    enum ml_err err; /* ML_OK; ML_ENOTFOUND: no such document; ML_ECONFLICT: (take) another node is
                        at it; ML_EIO */
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};

void ml_journal_purges(struct ml_journal *journal, struct ml_purges *request);
void ml_journal_note_purge(struct ml_journal *journal, struct ml_purge_note *note);

#endif
