/* SPDX-License-Identifier: MIT */
/* Orgs that are shut or elsewhere: what that means for a request, and which kind of store is asked.
 */
#include "journal/journal.h"

#include "journal/request.h"
#include "journal/shards.h"

#include <stdio.h>

struct ml_slice ml_request_org(struct ml_journal_node *node)
{
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_APPEND:
        return ml_append_of(node)->org;
    case ML_REQUEST_LOAD:
        return ml_load_of(node)->org;
    case ML_REQUEST_SNAPSHOT:
        return ml_snapshot_of(node)->org;
    case ML_REQUEST_LIST:
        return ml_list_of(node)->org;
    case ML_REQUEST_SET_DELETED:
        return ml_set_deleted_of(node)->org;
    case ML_REQUEST_DESCRIBE:
        return ml_describe_of(node)->org;
    case ML_REQUEST_HISTORY:
        return ml_history_of(node)->org;
    case ML_REQUEST_VERSIONS:
        return ml_versions_of(node)->org;
    case ML_REQUEST_CHANGE_VERSION:
        return ml_version_change_of(node)->org;
    case ML_REQUEST_COMPACT:
        return ml_compact_of(node)->org;
    case ML_REQUEST_NOTE_PURGE:
        return ml_purge_note_of(node)->org;
    case ML_REQUEST_STORE_READ:
        return ml_store_read_of(node)->org;
    case ML_REQUEST_STORE_WRITE:
        return ml_store_write_of(node)->org;
    case ML_REQUEST_HEADS:
    case ML_REQUEST_PURGES:
        break; /* of many orgs */
    }
    return ml_slice_make(NULL, 0);
}

/* "-": what belongs to all nodes, and to no org. */
bool ml_org_has_gate(struct ml_slice org)
{
    return org.len && !ml_slice_equal(org, ML_SLICE("-"));
}

/* What an administrator and the server itself keep goes on while an org is suspended. */
static bool is_of_documents(const struct ml_journal_node *node)
{
    return node->kind != ML_REQUEST_STORE_READ && node->kind != ML_REQUEST_STORE_WRITE &&
           node->kind != ML_REQUEST_NOTE_PURGE;
}

bool ml_gate_turns_away(enum ml_gate gate, struct ml_journal_node *node)
{
    switch (gate) {
    case ML_GATE_SUSPENDED:
        if (is_of_documents(node))
            ml_request_fail(node, ML_EDENIED, "the org is suspended");
        return is_of_documents(node);
    case ML_GATE_REMOVED:
        if (is_of_documents(node) || node->kind == ML_REQUEST_STORE_WRITE)
            ml_request_fail(node, ML_ENOTFOUND, "the org was removed");
        return is_of_documents(node) || node->kind == ML_REQUEST_STORE_WRITE;
    case ML_GATE_HELD:
        if (!ml_request_writes(node))
            return false;
        /* fall through */
    case ML_GATE_ELSEWHERE:
        node->is_astray = true;
        ml_request_fail(node, ML_EIO, "the org lives on another primary");
        return true;
    case ML_GATE_OPEN:
        break;
    }
    return false;
}

/* ---- Which kind of store --------------------------------------------------------------------- */

static enum ml_err not_here(const char *store, struct ml_diag *diag)
{
    return ml_diag_set(diag, ML_EFORMAT, 0, "%s: a store in memory is the server's alone", store);
}

/* As one or several primaries, or ML_EFORMAT for what is none. */
static enum ml_err primaries_of(const char *store, struct ml_shard_list *out, struct ml_diag *diag)
{
    if (strncmp(store, "shards:", 7) == 0)
        return ml_shard_list_parse(store, out, diag);
    *out = (struct ml_shard_list){.count = 1};
    out->items[0].url = strdup(store);
    return out->items[0].url ? ML_OK : ML_ELIMIT;
}

#define ML_SQLITE_PATH(store) (strncmp(store, "sqlite:", 7) == 0 ? (store) + 7 : NULL)

enum ml_err ml_orgs_list(const char *store, ml_org_each each, void *arg, struct ml_diag *diag)
{
    const char *path = ML_SQLITE_PATH(store);
    struct ml_shard_list list;
    enum ml_err err;

    if (path)
        return ml_sqlite_orgs_list(path, each, arg, diag);
    if (!ml_journal_is_shared(store))
        return not_here(store, diag);
    err = primaries_of(store, &list, diag);
    if (err)
        return err;
    err = ml_pg_orgs_list(&list, each, arg, diag);
    ml_shard_list_release(&list);
    return err;
}

enum ml_err ml_org_add(const char *store, struct ml_slice org, const char *primary,
                       struct ml_diag *diag)
{
    const char *path = ML_SQLITE_PATH(store);
    struct ml_shard_list list;
    enum ml_err err;

    if (primary && strncmp(store, "shards:", 7) != 0)
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "the store has one place for all orgs");
    if (path)
        return ml_sqlite_org_add(path, org, diag);
    if (!ml_journal_is_shared(store))
        return not_here(store, diag);
    err = primaries_of(store, &list, diag);
    if (err)
        return err;
    err = ml_pg_org_add(&list, org, primary, diag);
    ml_shard_list_release(&list);
    return err;
}

enum ml_err ml_org_suspend(const char *store, struct ml_slice org, bool is_suspended,
                           struct ml_diag *diag)
{
    const char *path = ML_SQLITE_PATH(store);
    struct ml_shard_list list;
    enum ml_err err;

    if (path)
        return ml_sqlite_org_suspend(path, org, is_suspended, diag);
    if (!ml_journal_is_shared(store))
        return not_here(store, diag);
    err = primaries_of(store, &list, diag);
    if (err)
        return err;
    err = ml_pg_org_suspend(&list, org, is_suspended, diag);
    ml_shard_list_release(&list);
    return err;
}

enum ml_err ml_org_remove(const char *store, struct ml_slice org, ml_org_progress progress,
                          void *arg, struct ml_diag *diag)
{
    const char *path = ML_SQLITE_PATH(store);
    struct ml_shard_list list;
    enum ml_err err;

    if (path)
        return ml_sqlite_org_remove(path, org, progress, arg, diag);
    if (!ml_journal_is_shared(store))
        return not_here(store, diag);
    err = primaries_of(store, &list, diag);
    if (err)
        return err;
    err = ml_pg_org_remove(&list, org, progress, arg, diag);
    ml_shard_list_release(&list);
    return err;
}

enum ml_err ml_org_move(const char *store, const struct ml_org_move *order, struct ml_diag *diag)
{
    struct ml_shard_list list;
    enum ml_err err;

    if (strncmp(store, "shards:", 7) != 0)
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "the store has one place for all orgs");
    err = ml_shard_list_parse(store, &list, diag);
    if (err)
        return err;
    *order->result = (struct ml_org_moved){0};
    err = ml_pg_org_move(&list, order, diag);
    ml_shard_list_release(&list);
    return err;
}
