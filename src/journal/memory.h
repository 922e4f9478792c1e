/* SPDX-License-Identifier: MIT */
/* What the files of the journal in memory share. Private to journal/. */
#ifndef ML_JOURNAL_MEMORY_H
#define ML_JOURNAL_MEMORY_H

#include "base/hashmap.h"
#include "journal/journal.h"

/* An idempotency key; `bytes` is session, then message number. */
struct memory_key {
    uint64_t seq;
    size_t len;
    uint8_t bytes[];
};

struct memory_record {
    struct ml_blob *bytes;
    struct memory_key *key; /* NULL: none */
    struct ml_blob *author; /* NULL: the server */
    struct ml_blob *labels; /* NULL: none */
    int64_t at_ms;
};

struct memory_snapshot {
    uint64_t seq;
    struct ml_blob *state;
    size_t bytes; /* state and state vector */
};

struct memory_version {
    struct ml_version as; /* texts in `texts` */
    uint8_t *texts;
};

struct memory_document {
    struct ml_slice key, org, name; /* in `text`: org, NUL, name */
    uint64_t epoch, head, record_bytes;
    int64_t created_ms, updated_ms, deleted_ms; /* deleted_ms: 0, alive */
    struct memory_record *records;              /* [seq - 1] */
    size_t cap;
    struct memory_snapshot *snapshots; /* by seq, oldest first */
    size_t snapshot_count;
    struct memory_version *versions; /* by number */
    size_t version_count;
    uint64_t last_version, published;
    uint64_t compacted_seq; /* records up to here have no bytes any more */
    struct ml_hashmap keys;
    struct ml_hashmap claims; /* memory_claims.c */
    uint8_t text[];
};

struct memory_journal {
    struct ml_journal base;
    uv_loop_t *loop; /* NULL: stepped by hand */
    uv_async_t async;
    struct ml_list inbox;
    struct ml_hashmap documents;
    struct memory_purge *purges; /* memory_purges.c */
    uint64_t last_purge;
    struct ml_memory_store *store; /* keys, values, jobs: memory_store.c */
    struct ml_journal_stats stats;
    enum ml_journal_fault fault;
    unsigned faults_left;
    ml_journal_commit_hook on_commit; /* NULL: nobody looks */
    void *on_commit_arg;
    bool closing, ended;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

/* memory.c */
enum ml_err ml_memory_find(struct memory_journal *j, struct ml_slice org, struct ml_slice name,
                           struct memory_document **out) ML_MUST_CHECK;
void ml_memory_release_record(struct memory_record *record);

/* memory_claims.c */
enum ml_err ml_memory_take_claim(struct memory_document *document,
                                 struct ml_claim *claim) ML_MUST_CHECK;
enum ml_err ml_memory_load_claims(const struct memory_document *document,
                                  struct ml_load *load) ML_MUST_CHECK;
void ml_memory_free_claims(struct memory_document *document);

/* memory_versions.c */
void ml_memory_free_version(struct memory_version *version);
/** The version that a snapshot becomes; its number and name are set. */
enum ml_err ml_memory_add_version(struct memory_document *document,
                                  struct ml_snapshot_put *put) ML_MUST_CHECK;
/** Automatic versions before `seq` go, and snapshots that nothing stands for. */
void ml_memory_drop_before(struct memory_document *document, uint64_t seq);
/** Does a version that somebody made, or pinned, stand for this seq? */
bool ml_memory_is_held(const struct memory_document *document, uint64_t seq);
enum ml_err ml_memory_versions(struct memory_journal *j, struct ml_versions *request) ML_MUST_CHECK;
enum ml_err ml_memory_change_version(struct memory_journal *j,
                                     struct ml_version_change *change) ML_MUST_CHECK;
/* memory_purges.c */
enum ml_err ml_memory_push_purge(struct memory_journal *j, struct ml_slice org,
                                 struct ml_slice name, enum ml_purge_reason reason,
                                 int64_t at_ms) ML_MUST_CHECK;
bool ml_memory_is_purging(const struct memory_journal *j, struct ml_slice org,
                          struct ml_slice name);
enum ml_err ml_memory_note_purge(struct memory_journal *j,
                                 struct ml_purge_note *note) ML_MUST_CHECK;
enum ml_err ml_memory_purges(struct memory_journal *j, struct ml_purges *request) ML_MUST_CHECK;
void ml_memory_free_purges(struct memory_journal *j);
enum ml_err ml_memory_compact(struct memory_journal *j, struct ml_compact *request) ML_MUST_CHECK;

#endif
