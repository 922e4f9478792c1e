/* SPDX-License-Identifier: MIT */
#include "journal/journal.h"

#include "base/assert.h"
#include "journal/request.h"
#include "journal/shards.h"

#include <stdlib.h>

void ml_load_release(struct ml_load *load)
{
    ml_blob_unref(load->snapshot);
    load->snapshot = NULL;
    ml_blob_unref(load->claims);
    load->claims = NULL;
    for (size_t i = 0; i < load->count; i++) {
        ml_blob_unref(load->records[i].bytes);
        ml_blob_unref(load->records[i].author);
    }
    free(load->records);
    load->records = NULL;
    load->count = 0;
}

void ml_list_documents_release(struct ml_list_documents *list)
{
    free(list->items); /* the names stand behind the items */
    list->items = NULL;
    list->count = 0;
}

void ml_describe_release(struct ml_describe *request)
{
    free(request->authors); /* the names stand behind them */
    request->authors = NULL;
    request->author_count = 0;
}

void ml_history_release(struct ml_history *request)
{
    free(request->items); /* the texts stand behind them */
    request->items = NULL;
    request->count = 0;
}

/* Where the error and its text stand in each kind of request. */
static enum ml_err *err_of(struct ml_journal_node *node, struct ml_diag **diag_out)
{
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_APPEND:
        *diag_out = &ml_append_of(node)->diag;
        return &ml_append_of(node)->err;
    case ML_REQUEST_LOAD:
        *diag_out = &ml_load_of(node)->diag;
        return &ml_load_of(node)->err;
    case ML_REQUEST_SNAPSHOT:
        *diag_out = &ml_snapshot_of(node)->diag;
        return &ml_snapshot_of(node)->err;
    case ML_REQUEST_LIST:
        *diag_out = &ml_list_of(node)->diag;
        return &ml_list_of(node)->err;
    case ML_REQUEST_SET_DELETED:
        *diag_out = &ml_set_deleted_of(node)->diag;
        return &ml_set_deleted_of(node)->err;
    case ML_REQUEST_DESCRIBE:
        *diag_out = &ml_describe_of(node)->diag;
        return &ml_describe_of(node)->err;
    case ML_REQUEST_VERSIONS:
        *diag_out = &ml_versions_of(node)->diag;
        return &ml_versions_of(node)->err;
    case ML_REQUEST_CHANGE_VERSION:
        *diag_out = &ml_version_change_of(node)->diag;
        return &ml_version_change_of(node)->err;
    case ML_REQUEST_PURGES:
        *diag_out = &ml_purges_of(node)->diag;
        return &ml_purges_of(node)->err;
    case ML_REQUEST_NOTE_PURGE:
        *diag_out = &ml_purge_note_of(node)->diag;
        return &ml_purge_note_of(node)->err;
    case ML_REQUEST_COMPACT:
        *diag_out = &ml_compact_of(node)->diag;
        return &ml_compact_of(node)->err;
    case ML_REQUEST_STORE_READ:
        *diag_out = &ml_store_read_of(node)->diag;
        return &ml_store_read_of(node)->err;
    case ML_REQUEST_STORE_WRITE:
        *diag_out = &ml_store_write_of(node)->diag;
        return &ml_store_write_of(node)->err;
    case ML_REQUEST_HEADS:
        *diag_out = &ml_heads_of(node)->diag;
        return &ml_heads_of(node)->err;
    case ML_REQUEST_HISTORY:
        break;
    }
    *diag_out = &ml_history_of(node)->diag;
    return &ml_history_of(node)->err;
}

void ml_request_fail(struct ml_journal_node *node, enum ml_err err, const char *text)
{
    struct ml_diag *diag;
    enum ml_err *at = err_of(node, &diag);

    *at = ml_diag_set(diag, err, 0, "%s", text ? text : ml_err_text(err));
}

void ml_request_answer(struct ml_journal_node *node)
{
    ML_ASSERT(!node->packed);
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_APPEND:
        ml_append_of(node)->done(ml_append_of(node));
        return;
    case ML_REQUEST_LOAD:
        ml_load_of(node)->done(ml_load_of(node));
        return;
    case ML_REQUEST_SNAPSHOT:
        ml_snapshot_of(node)->done(ml_snapshot_of(node));
        return;
    case ML_REQUEST_LIST:
        ml_list_of(node)->done(ml_list_of(node));
        return;
    case ML_REQUEST_SET_DELETED:
        ml_set_deleted_of(node)->done(ml_set_deleted_of(node));
        return;
    case ML_REQUEST_DESCRIBE:
        ml_describe_of(node)->done(ml_describe_of(node));
        return;
    case ML_REQUEST_HISTORY:
        ml_history_of(node)->done(ml_history_of(node));
        return;
    case ML_REQUEST_HEADS:
        ml_heads_of(node)->done(ml_heads_of(node));
        return;
    case ML_REQUEST_STORE_READ:
        ml_store_read_of(node)->done(ml_store_read_of(node));
        return;
    case ML_REQUEST_STORE_WRITE:
        ml_store_write_of(node)->done(ml_store_write_of(node));
        return;
    case ML_REQUEST_VERSIONS:
        ml_versions_of(node)->done(ml_versions_of(node));
        return;
    case ML_REQUEST_CHANGE_VERSION:
        ml_version_change_of(node)->done(ml_version_change_of(node));
        return;
    case ML_REQUEST_PURGES:
        ml_purges_of(node)->done(ml_purges_of(node));
        return;
    case ML_REQUEST_NOTE_PURGE:
        ml_purge_note_of(node)->done(ml_purge_note_of(node));
        return;
    case ML_REQUEST_COMPACT:
        ml_compact_of(node)->done(ml_compact_of(node));
        return;
    }
}

static uint64_t cost_of_records(const struct ml_record *records, size_t count)
{
    uint64_t cost = 0;

    for (size_t i = 0; i < count; i++)
        cost += sizeof records[i] + records[i].bytes->len + records[i].author.len +
                records[i].session.len + records[i].labels.len;
    return cost;
}

uint64_t ml_append_cost(const struct ml_append *append)
{
    uint64_t cost = sizeof *append + cost_of_records(append->records, append->count);

    for (size_t i = 0; i < append->claim_count; i++)
        cost += sizeof append->claims[i] + append->claims[i].user.len;
    return cost;
}

bool ml_append_grow(struct ml_append *append, struct ml_record *records, size_t count,
                    uint64_t *waiting_bytes)
{
    uint64_t more = cost_of_records(records + append->count, count - append->count);

    if (more > ML_WAITING_MAX_BYTES - *waiting_bytes)
        return false;
    *waiting_bytes += more;
    append->records = records;
    append->count = count;
    return true;
}

bool ml_append_is_late(const struct ml_append *append, uint64_t head)
{
    uint64_t ours = append->expected_head;

    if (append->expected_head == ML_SEQ_ANY)
        return false;
    for (size_t i = 0; i < append->count; i++)
        if (append->records[i].repeated && append->records[i].seq == ours + 1)
            ours++;
    return ours != head;
}

bool ml_append_is_repeat(const struct ml_append *append)
{
    for (size_t i = 0; i < append->count; i++)
        if (append->records[i].repeated)
            return true;
    return false;
}

static void prepare(struct ml_journal_node *node, enum ml_request_kind kind)
{
    struct ml_diag *diag;

    *node = (struct ml_journal_node){.kind = kind};
    *err_of(node, &diag) = ML_OK;
    *diag = (struct ml_diag){0};
}

void ml_journal_append(struct ml_journal *journal, struct ml_append *append)
{
    ML_ASSERT(append->done && (append->records || !append->count));
    ML_ASSERT(append->org.len && append->name.len);
    prepare(&append->node, ML_REQUEST_APPEND);
    append->head = 0;
    for (size_t i = 0; i < append->count; i++) {
        ML_ASSERT(append->records[i].bytes);
        append->records[i].seq = 0;
        append->records[i].repeated = false;
    }
    ML_ASSERT(append->claims || !append->claim_count);
    for (size_t i = 0; i < append->claim_count; i++)
        append->claims[i].is_taken = false;
    journal->ops->append(journal, append);
}

bool ml_journal_grow(struct ml_append *append, struct ml_record *records, size_t count)
{
    struct ml_journal *journal = append->node.waits_at;

    ML_ASSERT(count > append->count);
    if (!journal)
        return false;
    for (size_t i = append->count; i < count; i++) {
        ML_ASSERT(records[i].bytes);
        records[i].seq = 0;
        records[i].repeated = false;
    }
    return journal->ops->grow(journal, append, records, count);
}

void ml_journal_load(struct ml_journal *journal, struct ml_load *load)
{
    ML_ASSERT(load->done && load->org.len && load->name.len);
    prepare(&load->node, ML_REQUEST_LOAD);
    load->exists = load->is_compacted = false;
    load->epoch = load->head = load->snapshot_seq = 0;
    load->snapshot = load->claims = NULL;
    load->records = NULL;
    load->count = 0;
    journal->ops->load(journal, load);
}

void ml_journal_put_snapshot(struct ml_journal *journal, struct ml_snapshot_put *put)
{
    ML_ASSERT(put->done && put->state && put->state_vector && put->seq > 0);
    ML_ASSERT(put->org.len && put->name.len);
    ML_ASSERT(put->version_name.len <= ML_VERSION_NAME_MAX);
    ML_ASSERT(put->labels.len <= ML_VERSION_LABELS_MAX);
    prepare(&put->node, ML_REQUEST_SNAPSHOT);
    put->version = 0;
    put->name_out[0] = '\0';
    journal->ops->put_snapshot(journal, put);
}

void ml_journal_list_documents(struct ml_journal *journal, struct ml_list_documents *list)
{
    ML_ASSERT(list->done && list->org.len && list->limit >= 1 && list->limit <= 1000);
    prepare(&list->node, ML_REQUEST_LIST);
    list->items = NULL;
    list->count = 0;
    list->more = false;
    journal->ops->list_documents(journal, list);
}

void ml_journal_set_deleted(struct ml_journal *journal, struct ml_set_deleted *request)
{
    ML_ASSERT(request->done && request->org.len && request->name.len);
    prepare(&request->node, ML_REQUEST_SET_DELETED);
    request->changed = false;
    journal->ops->set_deleted(journal, request);
}

void ml_journal_describe(struct ml_journal *journal, struct ml_describe *request)
{
    ML_ASSERT(request->done && request->org.len && request->name.len);
    prepare(&request->node, ML_REQUEST_DESCRIBE);
    request->exists = false;
    request->deleted_ms = request->created_ms = request->updated_ms = 0;
    request->epoch = request->head = request->snapshot_seq = 0;
    request->record_bytes = request->snapshot_bytes = 0;
    request->authors = NULL;
    request->author_count = 0;
    journal->ops->describe(journal, request);
}

void ml_journal_heads(struct ml_journal *journal, struct ml_heads *request)
{
    ML_ASSERT(request->done && request->count >= 1 && request->count <= 1000);
    prepare(&request->node, ML_REQUEST_HEADS);
    for (size_t i = 0; i < request->count; i++)
        request->items[i] =
            (struct ml_doc_head){.org = request->items[i].org, .name = request->items[i].name};
    journal->ops->heads(journal, request);
}

void ml_journal_history(struct ml_journal *journal, struct ml_history *request)
{
    ML_ASSERT(request->done && request->org.len && request->name.len);
    ML_ASSERT(request->limit >= 1 && request->limit <= 1000);
    prepare(&request->node, ML_REQUEST_HISTORY);
    request->exists = request->more = false;
    request->items = NULL;
    request->count = 0;
    journal->ops->history(journal, request);
}

void ml_journal_versions(struct ml_journal *journal, struct ml_versions *request)
{
    ML_ASSERT(request->done && request->org.len && request->name.len);
    ML_ASSERT(request->limit >= 1 && request->limit <= 1000);
    prepare(&request->node, ML_REQUEST_VERSIONS);
    request->exists = request->more = request->is_purging = false;
    request->head = request->epoch = request->compacted_seq = request->published = 0;
    request->items = NULL;
    request->count = 0;
    journal->ops->versions(journal, request);
}

void ml_journal_change_version(struct ml_journal *journal, struct ml_version_change *change)
{
    ML_ASSERT(change->done && change->org.len && change->name.len);
    prepare(&change->node, ML_REQUEST_CHANGE_VERSION);
    change->changed = false;
    journal->ops->change_version(journal, change);
}

void ml_journal_compact(struct ml_journal *journal, struct ml_compact *request)
{
    ML_ASSERT(request->done && request->org.len && request->name.len);
    prepare(&request->node, ML_REQUEST_COMPACT);
    request->compacted_seq = request->rows = request->bytes = 0;
    journal->ops->compact(journal, request);
}

void ml_journal_stats(struct ml_journal *journal, struct ml_journal_stats *out)
{
    journal->ops->stats(journal, out);
}

void ml_journal_close(struct ml_journal *journal, void (*done)(void *arg), void *arg)
{
    ML_ASSERT(done);
    journal->ops->close(journal, done, arg);
}

/* ---- Addresses ------------------------------------------------------------------------------ */

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool is_postgres(const char *store)
{
    return begins(store, "postgres://") || begins(store, "postgresql://");
}

static bool is_shards(const char *store)
{
    struct ml_shard_list list;
    bool is_fine = begins(store, "shards:") && !ml_shard_list_parse(store, &list, NULL);

    if (is_fine)
        ml_shard_list_release(&list);
    return is_fine;
}

bool ml_journal_knows(const char *store)
{
    return is_shards(store) || strcmp(store, "memory:") == 0 || is_postgres(store) ||
           (begins(store, "sqlite:") && store[strlen("sqlite:")]);
}

bool ml_journal_is_shared(const char *store)
{
    return is_postgres(store) || begins(store, "shards:");
}

enum ml_err ml_journal_migrate(const char *store, bool only_look, const char *role,
                               struct ml_migration *out, struct ml_diag *diag)
{
    ML_ASSERT(ml_journal_knows(store));
    *out = (struct ml_migration){0};
    if (begins(store, "shards:"))
        return ml_shards_migrate(store, only_look, role, out, diag);
    if (is_postgres(store))
        return ml_pg_migrate(store, only_look, role, out, diag);
    if (role)
        return ml_diag_set(diag, ML_EFORMAT, 0, "roles are PostgreSQL's");
    if (strcmp(store, "memory:") == 0)
        return ML_OK;
    return ml_sqlite_migrate(store + strlen("sqlite:"), only_look, out, diag);
}

enum ml_err ml_journal_open(const char *store, uv_loop_t *loop, struct ml_diag *diag,
                            struct ml_journal **journal_out)
{
    ML_ASSERT(ml_journal_knows(store));
    if (strcmp(store, "memory:") == 0)
        return ml_journal_open_memory(loop, journal_out);
    if (begins(store, "shards:"))
        return ml_journal_open_shards(store, loop, diag, journal_out);
    if (is_postgres(store))
        return ml_journal_open_postgres(store, loop, diag, journal_out);
    return ml_journal_open_sqlite(store + strlen("sqlite:"), loop, diag, journal_out);
}

enum ml_err ml_journal_open_beside(const char *store, uv_loop_t *loop, struct ml_diag *diag,
                                   struct ml_journal **journal_out)
{
    if (strncmp(store, "sqlite:", 7) == 0)
        return ml_journal_open_beside_sqlite(store + 7, loop, diag, journal_out);
    return ml_journal_open(store, loop, diag, journal_out);
}
