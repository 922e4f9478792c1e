/* SPDX-License-Identifier: MIT */
/*
 * The journal: updates survive a crash, in order. A record is in the document if and only if it is
 * in the journal; its place is its seq, gapless per document, given inside the committing
 * transaction (REL-20).
 *
 * Three implementations behind one struct: memory (tests, `store = "memory:"`), SQLite, PostgreSQL.
 * Every call is a request that the caller owns until its `done` runs. `done` runs later, on the
 * loop thread that made the request, never from inside the call. Cancelling is not possible:
 * whoever closes waits for `done`.
 *
 * Order: appends of one document finish in the order in which they were made (deleting and bringing
 * back stand in line with them), so do its snapshots, so do its loads. Between these three there is
 * no order, but what was answered is seen: a load asked after an append was answered has its
 * records, one asked earlier may or may not.
 */
#ifndef ML_JOURNAL_JOURNAL_H
#define ML_JOURNAL_JOURNAL_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/slice.h"

#include <stdatomic.h>
#include <uv.h>

#define ML_RECORD_LABELS_MAX 8192
#define ML_SEQ_ANY           UINT64_MAX /* an append that does not care for the head */

struct ml_journal;

/** Private to the journal: how a request waits. The caller leaves it alone. */
struct ml_journal_node {
    struct ml_list link;
    int kind;
    bool refused; /* answered without being tried: the error is set already */
    uint8_t codec;
    struct ml_blob *packed;                /* a snapshot on its way from packing to storing */
    struct ml_door *door;                  /* of the loop that asked; NULL: the journal's own */
    _Atomic(struct ml_journal *) waits_at; /* in whose line an append can still grow; NULL: none */
    void *route;    /* by which it went to one of several primaries; NULL: by none */
    bool is_astray; /* its org lives elsewhere, or is on its way there: not tried */
};

/** Who did it, for a record. Slices borrow from the caller until `done`. */
struct ml_record {
    struct ml_blob *bytes;   /* V1 update: the result, after undo and amendments */
    struct ml_slice author;  /* user id; empty: the server */
    struct ml_slice session; /* idempotency key, first half (REL-14); empty: none */
    uint64_t message_no;     /* second half: grows with every message of that session */
    struct ml_slice labels;  /* what plugins wrote on it, a JSON object; empty: nothing */
    int64_t at_ms;           /* server's wall clock */
    uint64_t seq;            /* result: its number (also for a repeat that was there already) */
    bool repeated;           /* result: the key was in the journal; nothing was inserted */
};

/**
 * That a Yjs client id is a user's, in one document: the first who claims it has it, for good. Who
 * wrote a record is in the record; this tells whose edits may come under that id at all.
 */
struct ml_claim {
    uint64_t client;
    struct ml_slice user; /* empty: the server; borrowed until done */
    bool only_look;       /* for nobody: is it somebody's? */
    bool is_taken;        /* result: it is another's, and was left so */
};

/**
 * Add records to one document, all or nothing, in one transaction with others (group commit).
 *
 * The first append creates the document (and its org); one with no records creates it empty. A
 * record whose key (session, message_no) is there is left out, answered with its old seq and
 * `repeated`, and the rest still goes in. Records of this very append that an earlier attempt
 * committed do not count as somebody else's for `expected_head`.
 *
 * With `creates` the document must not be there, alive or deleted: of many who ask, one succeeds.
 *
 * Claims go in with the records, or (ML_OK, is_taken) do not because somebody else has that id. A
 * claim of what is one's own already changes nothing.
 */
struct ml_append {
    /* request */
    struct ml_slice org, name; /* borrowed until done */
    struct ml_record *records; /* borrowed until done; seq and repeated are filled in */
    size_t count;
    struct ml_claim *claims; /* borrowed until done; is_taken is filled in; not grown */
    size_t claim_count;
    uint64_t expected_head; /* ML_EMOVED if the head is another; ML_SEQ_ANY: unconditional */
    uint64_t not_before_ms; /* monotonic; until then it may wait for more to come (it may grow),
                               unless something else than appends is asked, or the journal closes */
    bool creates;           /* ML_ECONFLICT if there is a document, or a tombstone, of that name */
    void (*done)(struct ml_append *append);
    /* result */
    enum ml_err err; /* ML_OK, ML_EMOVED (head tells), ML_EIO: outcome unknown, try again
                        with the same keys; ML_ENOTFOUND: deleted (tombstone); ML_ECONFLICT;
                        ML_EDENIED: its org is suspended;
                        ML_EBUSY: too much is waiting, nothing was tried; ML_ELIMIT: too
                        large for ever; ML_EFORMAT: the stored document is damaged;
                        ML_ECLOSED: asked after close */
    uint64_t head;   /* after the commit */
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};

/** One stored record, as read back. */
struct ml_stored {
    uint64_t seq;
    struct ml_blob *bytes;
    struct ml_blob *author; /* user id; NULL: the server */
    int64_t at_ms;
};

/**
 * Read a document: newest good snapshot at or below `max_snapshot_seq`, then every record after it
 * (REL-26). A snapshot whose checksum is wrong is skipped; so is the choice of the room, which asks
 * again with a smaller ceiling when a snapshot does not decode.
 */
struct ml_load {
    /* request */
    struct ml_slice org, name;
    uint64_t max_snapshot_seq; /* ML_SEQ_ANY: the newest; 0: none, from the first record */
    uint64_t after_seq;        /* not 0: no snapshot, only records after this seq */
    uint64_t until_seq;        /* not 0: the document as it was then, nothing newer */
    int64_t until_ms;          /* not 0: likewise, by the records' times; sets until_seq */
    bool is_closed;            /* nobody writes on top of it: a replica that has everything that was
                                  acknowledged until now may answer; so it may for lists, descriptions,
                                  histories and versions */
    bool wants_claims;         /* `claims`, too */
    void (*done)(struct ml_load *load);
    /* result: belongs to the caller, freed by ml_load_release */
    enum ml_err err; /* ML_OK (also for a document that does not exist: head 0),
                        ML_EFORMAT: a record is corrupt or missing; `records` holds the
                        good prefix and diag names the seq; ML_ENOTFOUND: tombstone, or
                        (is_compacted) that moment is not kept any more; ML_EDENIED: its org
                        is suspended (so answer all that ask for documents); ML_EIO */
    bool exists, is_compacted;
    uint64_t epoch, head, snapshot_seq;
    struct ml_blob *snapshot; /* V1 state; NULL: none */
    struct ml_stored *records;
    size_t count;
    struct ml_blob *claims; /* at most ML_CLAIMS_MAX, for ml_claims_next; NULL: none */
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};
void ml_load_release(struct ml_load *load);

#define ML_CLAIMS_MAX 100000u /* of one document */
/** Walk claims as a load brings them, in no order; `in` begins at their blob. False: the end. */
bool ml_claims_next(struct ml_reader *in, struct ml_claim *out);

#include "journal/versions.h"

#include "journal/purges.h"

/**
 * Store a verified snapshot of records 1…seq beside the older ones, then move the pointer (REL-25).
 * The newest may be put again if the stored one is damaged.
 */
struct ml_snapshot_put {
    /* request */
    struct ml_slice org, name;
    uint64_t seq, epoch;
    struct ml_blob *state; /* V1 state; stored compressed */
    struct ml_blob *state_vector;
    int64_t at_ms;
    uint32_t keep; /* automatic versions that stay, at least 3; UINT32_MAX: all */
    /* the version that it becomes (versions.h) */
    struct ml_slice version_name; /* empty: by number and time; a clash gets a suffix */
    struct ml_slice author, labels;
    bool is_named; /* may also stand for a seq that has a snapshot already, or an old one */
    bool is_pinned;
    void (*done)(struct ml_snapshot_put *put);
    /* result */
    enum ml_err err;  /* ML_ECONFLICT: a newer one, or another epoch, is there, or seq is
                         beyond the head; ML_ENOTFOUND; ML_EIO */
    uint64_t version; /* its number */
    char name_out[ML_VERSION_NAME_MAX + 1]; /* and its name */
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};

/** Documents of an org by name (byte order), tombstones left out. */
struct ml_listed {
    struct ml_slice name;
    uint64_t head, snapshot_seq, bytes; /* bytes of records and snapshots */
    int64_t created_ms, updated_ms;
};
struct ml_list_documents {
    /* request */
    struct ml_slice org, prefix, after; /* after: last name of the page before */
    size_t limit;                       /* 1 … 1000 */
    void (*done)(struct ml_list_documents *list);
    /* result: belongs to the caller, freed by ml_list_documents_release */
    enum ml_err err;
    struct ml_listed *items;
    size_t count;
    bool more;
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};
void ml_list_documents_release(struct ml_list_documents *list);

/**
 * Lay a tombstone, or lift it. A deleted document keeps its records; every append and load answers
 * ML_ENOTFOUND, so that a stale client cannot bring it back by writing.
 */
struct ml_set_deleted {
    /* request */
    struct ml_slice org, name;
    bool deleted;
    int64_t at_ms;
    void (*done)(struct ml_set_deleted *request);
    /* result */
    enum ml_err err; /* ML_OK, also if it was so already; ML_ENOTFOUND: never was; ML_EIO */
    bool changed;
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};

/** What is known about a document without reading it. */
struct ml_record_author {
    struct ml_slice author; /* empty: the server */
    uint64_t records;
    int64_t last_ms;
};
struct ml_describe {
    /* request */
    struct ml_slice org, name;
    void (*done)(struct ml_describe *request);
    /* result: belongs to the caller, freed by ml_describe_release */
    enum ml_err err; /* ML_OK, also for no document and for a tombstone; ML_EIO */
    bool exists;
    int64_t deleted_ms; /* 0: alive */
    uint64_t epoch, head, snapshot_seq, record_bytes, snapshot_bytes;
    int64_t created_ms, updated_ms;
    struct ml_record_author *authors; /* of the newest ML_AUTHOR_RECORDS records, in byte order */
    size_t author_count;
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};
void ml_describe_release(struct ml_describe *request);
#define ML_AUTHOR_RECORDS 10000

/** Who wrote when: the records of a document without their bytes, the newest first. */
struct ml_history_item {
    uint64_t seq, bytes;
    int64_t at_ms;
    struct ml_slice author, session; /* empty: the server; no key */
    struct ml_slice labels;          /* a JSON object; empty: none */
};
struct ml_history {
    /* request */
    struct ml_slice org, name;
    uint64_t before_seq; /* only records before it; ML_SEQ_ANY: from the newest on */
    size_t limit;        /* 1 … 1000 */
    void (*done)(struct ml_history *request);
    /* result: belongs to the caller, freed by ml_history_release */
    enum ml_err err; /* ML_OK, also for no document; ML_ENOTFOUND: tombstone; ML_EIO */
    bool exists;
    struct ml_history_item *items;
    size_t count;
    bool more;
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};
void ml_history_release(struct ml_history *request);

#include "journal/store.h"

/** Where many documents stand, in one question (REL-32). */
struct ml_doc_head {
    struct ml_slice org, name; /* borrowed until done */
    bool exists, is_deleted;   /* results; of an org that was removed: deleted */
    bool is_shut;              /* its org is suspended */
    uint64_t epoch, head;
};
struct ml_heads {
    /* request */
    struct ml_doc_head *items; /* borrowed until done; filled in */
    size_t count;              /* 1 … 1000 */
    void (*done)(struct ml_heads *request);
    /* result */
    enum ml_err err; /* ML_OK, also for what is not there; ML_EIO */
    struct ml_diag diag;
    /* private */
    struct ml_journal_node node;
};

struct ml_journal_stats {
    uint64_t commits, rows, bytes, errors;
    uint64_t from_replicas, not_from_replicas; /* reads; the second: a replica was behind or away */
    uint64_t waiting_bytes;                    /* appended, not yet answered */
    struct ml_histogram commit_took;           /* a transaction, sync included */
};

/** What an implementation provides; the functions of the same name below only pass on. */
struct ml_journal_ops {
    void (*append)(struct ml_journal *journal, struct ml_append *append);
    /** For appends whose node waits there; NULL: none ever does. */
    bool (*grow)(struct ml_journal *journal, struct ml_append *append, struct ml_record *records,
                 size_t count);
    void (*load)(struct ml_journal *journal, struct ml_load *load);
    void (*put_snapshot)(struct ml_journal *journal, struct ml_snapshot_put *put);
    void (*list_documents)(struct ml_journal *journal, struct ml_list_documents *list);
    void (*set_deleted)(struct ml_journal *journal, struct ml_set_deleted *request);
    void (*describe)(struct ml_journal *journal, struct ml_describe *request);
    void (*history)(struct ml_journal *journal, struct ml_history *request);
    void (*heads)(struct ml_journal *journal, struct ml_heads *request);
    void (*versions)(struct ml_journal *journal, struct ml_versions *request);
    void (*change_version)(struct ml_journal *journal, struct ml_version_change *change);
    void (*compact)(struct ml_journal *journal, struct ml_compact *request);
    void (*purges)(struct ml_journal *journal, struct ml_purges *request);
    void (*note_purge)(struct ml_journal *journal, struct ml_purge_note *note);
    void (*store_look)(struct ml_journal *journal, struct ml_store_read *read);
    void (*store_commit)(struct ml_journal *journal, struct ml_store_write *write);
    void (*stats)(struct ml_journal *journal, struct ml_journal_stats *out);
    void (*close)(struct ml_journal *journal, void (*done)(void *arg), void *arg);
};
struct ml_journal {
    const struct ml_journal_ops *ops;
};

void ml_journal_append(struct ml_journal *journal, struct ml_append *append);
/**
 * Records that came since an append was asked, as long as its transaction has not begun.
 * @param records  those that the append has, in their order, and the new ones behind them
 * @return true: the append has `records` from now on. False: it is as it was; what is new needs an
 *         append of its own.
 */
bool ml_journal_grow(struct ml_append *append, struct ml_record *records, size_t count);
void ml_journal_load(struct ml_journal *journal, struct ml_load *load);
void ml_journal_put_snapshot(struct ml_journal *journal, struct ml_snapshot_put *put);
void ml_journal_list_documents(struct ml_journal *journal, struct ml_list_documents *list);
void ml_journal_set_deleted(struct ml_journal *journal, struct ml_set_deleted *request);
void ml_journal_describe(struct ml_journal *journal, struct ml_describe *request);
void ml_journal_history(struct ml_journal *journal, struct ml_history *request);
void ml_journal_heads(struct ml_journal *journal, struct ml_heads *request);
void ml_journal_stats(struct ml_journal *journal, struct ml_journal_stats *out);
/**
 * Finishes what was asked, then calls `done` on the loop; the journal is gone after that. Requests
 * made meanwhile (from inside a `done`) are answered ML_ECLOSED.
 */
void ml_journal_close(struct ml_journal *journal, void (*done)(void *arg), void *arg);

/**
 * With several primaries: where shall an org live that has no place yet? Index of `names`, or
 * SIZE_MAX for no opinion (then a hash spreads them); of many answers the first holds. Asked on the
 * journal's loop. Elsewhere it is never asked. `placer` NULL ends it.
 */
typedef size_t (*ml_journal_placer)(void *arg, struct ml_slice org, const struct ml_slice *names,
                                    size_t count);
void ml_journal_set_placer(struct ml_journal *journal, ml_journal_placer placer, void *arg);

#include "journal/orgs.h"

/** Is this the address of a store: "memory:", "sqlite:PATH", "postgres://…", "shards:a=postgres://…
 * b=postgres://… a<postgres://…" (several primaries, and a replica of a)? */
bool ml_journal_knows(const char *store);
/** May other nodes stand over the same store? */
bool ml_journal_is_shared(const char *store);

/** What `ml_journal_migrate` found, and did. */
struct ml_migration {
    long before, needed; /* versions of the schema; before 0: there was nothing */
};
/**
 * Bring the schema of a store up to what this build needs, or only look. Any number may do it at
 * once, one does it. PostgreSQL: with `role`, that role may read and write the tables and nothing
 * more. Blocks.
 *
 * @param role  NULL: none
 * @retval ML_EVERSION the schema is newer than this build; ML_EIO; ML_EFORMAT
 */
enum ml_err ml_journal_migrate(const char *store, bool only_look, const char *role,
                               struct ml_migration *out, struct ml_diag *diag) ML_MUST_CHECK;
/** Open whatever the address names; see below. */
enum ml_err ml_journal_open(const char *store, uv_loop_t *loop, struct ml_diag *diag,
                            struct ml_journal **journal_out) ML_MUST_CHECK;
/** The same for an administrator, while a server may have the file open: only the store (store.h)
 * may be used, whose writes are transactions of their own. */
enum ml_err ml_journal_open_beside(const char *store, uv_loop_t *loop, struct ml_diag *diag,
                                   struct ml_journal **journal_out) ML_MUST_CHECK;

/**
 * SQLite: one file, one writer thread, WAL, synchronous=FULL, group commit of whatever is waiting.
 * Creates the file (0600, folder 0700) and brings the schema up to date. Answers arrive on `loop`,
 * which the journal keeps alive until it is closed. Blocks; for start-up.
 *
 * @retval ML_EBUSY    another process (or journal) has it open for writing
 * @retval ML_EVERSION the schema is newer than this build
 * @retval ML_EFORMAT  not a database, or not one of ours
 */
enum ml_err ml_journal_open_sqlite(const char *path, uv_loop_t *loop, struct ml_diag *diag,
                                   struct ml_journal **journal_out) ML_MUST_CHECK;
enum ml_err ml_journal_open_beside_sqlite(const char *path, uv_loop_t *loop, struct ml_diag *diag,
                                          struct ml_journal **journal_out) ML_MUST_CHECK;

/**
 * PostgreSQL: any number of nodes over one primary; group commit of whatever is waiting. An empty
 * database is set up, everything else is left to ml_journal_migrate. Blocks; for start-up. `url`:
 * what libpq takes ("postgresql://…" or "host=… dbname=…").
 *
 * @retval ML_EIO      not reachable, or a standby; later also for a database that is not the one
 * that was opened, or has lost what was acknowledged (postgres_identity.c)
 * @retval ML_EVERSION the schema is older than this build, or newer and not for it
 * @retval ML_EFORMAT  a database of another encoding
 */
enum ml_err ml_journal_open_postgres(const char *url, uv_loop_t *loop, struct ml_diag *diag,
                                     struct ml_journal **journal_out) ML_MUST_CHECK;

/**
 * The same journal for another loop: what that loop asks through the door is answered on it. Not
 * for memory. The loop (its thread) is the only one that uses the door, and closes it with
 * ml_journal_close before the journal itself is closed; `done` is called on that loop.
 */
enum ml_err ml_journal_attach(struct ml_journal *journal, uv_loop_t *loop,
                              struct ml_journal **door_out) ML_MUST_CHECK;

/** Memory. With a loop, answers arrive on it; with NULL the test delivers them by hand (below). */
enum ml_err ml_journal_open_memory(uv_loop_t *loop, struct ml_journal **journal_out) ML_MUST_CHECK;

/* For simulations (memory with loop NULL): */

/**
 * Carry out and answer what is waiting, one transaction for all; answers how many requests. After
 * ml_journal_close the next step finishes everything, runs close's `done` and frees the journal.
 */
size_t ml_journal_memory_step(struct ml_journal *journal);
/** The transaction of the next step begins: no append that waits can grow any more. */
void ml_journal_memory_begin(struct ml_journal *journal);
/** What the next transactions that write do; loads and lists are not touched. */
enum ml_journal_fault {
    ML_FAULT_NONE,
    ML_FAULT_FAIL,    /* not committed, ML_EIO */
    ML_FAULT_UNKNOWN, /* committed, but answers ML_EIO */
};
void ml_journal_memory_fault(struct ml_journal *journal, enum ml_journal_fault fault,
                             unsigned transactions);

/** Called for every record of a transaction, before anybody is answered. */
typedef void (*ml_journal_commit_hook)(void *arg, struct ml_slice org, struct ml_slice name,
                                       uint64_t seq, struct ml_slice bytes);
void ml_journal_memory_on_commit(struct ml_journal *journal, ml_journal_commit_hook hook,
                                 void *arg);
/** The process that asked has died: requests that wait are dropped, neither carried out nor
 * answered. */
void ml_journal_memory_forget(struct ml_journal *journal);

#endif
