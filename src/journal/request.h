/* SPDX-License-Identifier: MIT */
/* What the implementations share: kinds of requests, their cost, their answers. */
#ifndef ML_JOURNAL_REQUEST_H
#define ML_JOURNAL_REQUEST_H

#include "journal/journal.h"

/* REL-11, REL-12 */
#define ML_COMMIT_MAX_RECORDS 256
#define ML_COMMIT_MAX_BYTES   (1u << 20)
#define ML_WAITING_MAX_BYTES  (64u << 20)
/* REL-25: the newest and two older ones. */
#define ML_KEEP_MIN 3u

enum ml_request_kind {
    ML_REQUEST_APPEND,
    ML_REQUEST_LOAD,
    ML_REQUEST_SNAPSHOT,
    ML_REQUEST_LIST,
    ML_REQUEST_SET_DELETED,
    ML_REQUEST_DESCRIBE,
    ML_REQUEST_HISTORY,
    ML_REQUEST_HEADS,
    ML_REQUEST_VERSIONS,
    ML_REQUEST_CHANGE_VERSION,
    ML_REQUEST_COMPACT,
    ML_REQUEST_PURGES,
    ML_REQUEST_NOTE_PURGE,
    ML_REQUEST_STORE_READ,
    ML_REQUEST_STORE_WRITE,
};

/** Whose documents it is about; empty: of many orgs, or of none. */
struct ml_slice ml_request_org(struct ml_journal_node *node);

/* ---- orgs.c */

/** What a database says of an org; the numbers stand in SQL. */
enum ml_gate {
    ML_GATE_OPEN,
    ML_GATE_SUSPENDED,
    ML_GATE_REMOVED,
    ML_GATE_HELD,     /* nobody writes: it moves at this moment */
    ML_GATE_ELSEWHERE /* or not yet here */
};
/** May it be shut? */
bool ml_org_has_gate(struct ml_slice org);
/** True: the request is not to be tried, and has its error. */
bool ml_gate_turns_away(enum ml_gate gate, struct ml_journal_node *node);

enum ml_err ml_sqlite_orgs_list(const char *path, ml_org_each each, void *arg,
                                struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_sqlite_org_add(const char *path, struct ml_slice org,
                              struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_sqlite_org_suspend(const char *path, struct ml_slice org, bool is_suspended,
                                  struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_sqlite_org_remove(const char *path, struct ml_slice org, ml_org_progress progress,
                                 void *arg, struct ml_diag *diag) ML_MUST_CHECK;

/** Set the error; `text` may be NULL. */
void ml_request_fail(struct ml_journal_node *node, enum ml_err err, const char *text);
/** Run `done`. The request may be gone or in use again afterwards. */
void ml_request_answer(struct ml_journal_node *node);

/** Hand an answered request to the loop that asked (node->door). From any thread. */
void ml_door_answer(struct ml_journal_node *node);

/** Memory that an append keeps alive while it waits. */
uint64_t ml_append_cost(const struct ml_append *append);
/** False: too much would wait, and nothing is changed. The caller holds the line of `append`. */
bool ml_append_grow(struct ml_append *append, struct ml_record *records, size_t count,
                    uint64_t *waiting_bytes);

/** Does it change what is stored? */
static inline bool ml_request_writes(const struct ml_journal_node *node)
{
    return node->kind == ML_REQUEST_APPEND || node->kind == ML_REQUEST_SNAPSHOT ||
           node->kind == ML_REQUEST_SET_DELETED || node->kind == ML_REQUEST_CHANGE_VERSION ||
           node->kind == ML_REQUEST_COMPACT || node->kind == ML_REQUEST_NOTE_PURGE ||
           node->kind == ML_REQUEST_STORE_WRITE;
}

/** Does any record of the append stand in the journal already? Then it was not made by others. */
bool ml_append_is_repeat(const struct ml_append *append);

/**
 * What `expected_head` means once repeats are known: an append whose own records (written by an
 * attempt with unknown outcome) are all that happened since is not late.
 *
 * @param records  with seq and repeated filled in
 */
bool ml_append_is_late(const struct ml_append *append, uint64_t head);

static inline struct ml_append *ml_append_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_append, node);
}

static inline struct ml_load *ml_load_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_load, node);
}

static inline struct ml_snapshot_put *ml_snapshot_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_snapshot_put, node);
}

static inline struct ml_list_documents *ml_list_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_list_documents, node);
}

static inline struct ml_set_deleted *ml_set_deleted_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_set_deleted, node);
}

static inline struct ml_describe *ml_describe_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_describe, node);
}

static inline struct ml_history *ml_history_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_history, node);
}

static inline struct ml_heads *ml_heads_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_heads, node);
}

static inline struct ml_versions *ml_versions_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_versions, node);
}

static inline struct ml_version_change *ml_version_change_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_version_change, node);
}

static inline struct ml_compact *ml_compact_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_compact, node);
}

static inline struct ml_store_read *ml_store_read_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_store_read, node);
}

static inline struct ml_store_write *ml_store_write_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_store_write, node);
}

static inline struct ml_purges *ml_purges_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_purges, node);
}

static inline struct ml_purge_note *ml_purge_note_of(struct ml_journal_node *node)
{
    return ML_CONTAINER(node, struct ml_purge_note, node);
}

static inline struct ml_journal_node *ml_node_of(struct ml_list *link)
{
    return ML_CONTAINER(link, struct ml_journal_node, link);
}

/* ---- postgres_migrate.c, sqlite_conn.c: ml_journal_migrate for one kind of store */
enum ml_err ml_pg_migrate(const char *url, bool only_look, const char *role,
                          struct ml_migration *out, struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_sqlite_migrate(const char *path, bool only_look, struct ml_migration *out,
                              struct ml_diag *diag) ML_MUST_CHECK;

/* ---- purges.c */

/** As ml_versions_take. */
enum ml_err ml_purges_take(struct ml_purges *request, const struct ml_purge *items,
                           size_t count) ML_MUST_CHECK;

/* ---- versions.c: what every implementation does in the same way ------------------------------ */

/** "000042-20260131T101500Z"; `size` from 32. */
void ml_version_default_name(char *out, size_t size, uint64_t number, int64_t at_ms);
/** The name that is tried at the `attempt`th time (from 0): a clash gets "-2", "-3", … */
void ml_version_name_attempt(char out[ML_VERSION_NAME_MAX + 1], struct ml_slice wanted,
                             uint64_t number, int64_t at_ms, unsigned attempt);
/** Is it a number? 0: no. */
uint64_t ml_version_number(struct ml_slice only);
/** Give every text of `items` a place behind them, and make it the request's. */
enum ml_err ml_versions_take(struct ml_versions *request, const struct ml_version *items,
                             size_t count) ML_MUST_CHECK;

#endif
