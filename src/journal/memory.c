/* SPDX-License-Identifier: MIT */
/*
 * The journal in memory: tests, `store = "memory:"`, and the simulations, where it is what survives
 * a "restart". It follows the same rules as the databases, so it is the model they are compared
 * with: seq from 1 without holes, keys that are stored once, snapshots by compare-and-set.
 *
 *   request -> inbox -> carry_out (all of it is one transaction) -> answer
 *
 * With a loop the inbox is carried out by an async of that loop; without one, by
 * ml_journal_memory_step.
 */
#include "journal/journal.h"

#include "base/assert.h"
#include "base/clock.h"
#include "journal/memory.h"
#include "journal/request.h"
#include "journal/store_item.h"

#include <stdlib.h>

static struct memory_journal *memory_of(struct ml_journal *journal)
{
    return ML_CONTAINER(journal, struct memory_journal, base);
}

/* --- documents --- */

static struct ml_slice join_key(uint8_t *at, struct ml_slice org, struct ml_slice name)
{
    memcpy(at, org.ptr, org.len);
    at[org.len] = 0;
    memcpy(at + org.len + 1, name.ptr, name.len);
    return ml_slice_make(at, org.len + 1 + name.len);
}

enum ml_err ml_memory_find(struct memory_journal *j, struct ml_slice org, struct ml_slice name,
                           struct memory_document **out)
{
    uint8_t *text = malloc(org.len + 1 + name.len);

    *out = NULL;
    if (!text)
        return ML_ELIMIT;
    *out = ml_hashmap_get(&j->documents, join_key(text, org, name));
    free(text);
    return ML_OK;
}

void ml_memory_release_record(struct memory_record *record)
{
    ml_blob_unref(record->bytes);
    ml_blob_unref(record->author);
    ml_blob_unref(record->labels);
    free(record->key);
}

static void free_document(struct memory_document *document)
{
    for (uint64_t i = 0; i < document->head; i++)
        ml_memory_release_record(&document->records[i]);
    for (size_t i = 0; i < document->snapshot_count; i++)
        ml_blob_unref(document->snapshots[i].state);
    for (size_t i = 0; i < document->version_count; i++)
        ml_memory_free_version(&document->versions[i]);
    ml_hashmap_release(&document->keys);
    ml_memory_free_claims(document);
    free(document->versions);
    free(document->records);
    free(document->snapshots);
    free(document);
}

static struct memory_document *make_document(struct memory_journal *j, struct ml_slice org,
                                             struct ml_slice name, int64_t at_ms)
{
    struct memory_document *document = calloc(1, sizeof *document + org.len + 1 + name.len);

    if (!document)
        return NULL;
    document->key = join_key(document->text, org, name);
    document->org = ml_slice_make(document->text, org.len);
    document->name = ml_slice_make(document->text + org.len + 1, name.len);
    document->epoch = 1;
    document->created_ms = document->updated_ms = at_ms;
    ml_hashmap_init(&document->keys);
    ml_hashmap_init(&document->claims);
    if (!ml_hashmap_put(&j->documents, document->key, document)) {
        free_document(document);
        return NULL;
    }
    return document;
}

/* --- appends --- */

static struct memory_key *make_key(const struct ml_record *record)
{
    size_t len = record->session.len + sizeof record->message_no;
    struct memory_key *key = malloc(sizeof *key + len);

    if (!key)
        return NULL;
    key->len = len;
    memcpy(key->bytes, record->session.ptr, record->session.len);
    memcpy(key->bytes + record->session.len, &record->message_no, sizeof record->message_no);
    return key;
}

/* Is the key of this record stored? Then seq and repeated say so. */
static enum ml_err find_repeat(const struct memory_document *document, struct ml_record *record)
{
    struct memory_key *wanted, *found;

    record->repeated = false;
    if (!record->session.len)
        return ML_OK;
    wanted = make_key(record);
    if (!wanted)
        return ML_ELIMIT;
    found = ml_hashmap_get(&document->keys, ml_slice_make(wanted->bytes, wanted->len));
    free(wanted);
    if (found) {
        record->repeated = true;
        record->seq = found->seq;
    }
    return ML_OK;
}

static enum ml_err insert_record(struct memory_document *document, struct ml_record *record)
{
    struct memory_key *key = NULL;
    struct ml_blob *author = NULL, *labels = NULL;

    if (document->head == document->cap) {
        size_t cap = document->cap ? document->cap * 2 : 16;
        struct memory_record *bigger = realloc(document->records, cap * sizeof *bigger);

        if (!bigger)
            return ML_ELIMIT;
        document->records = bigger;
        document->cap = cap;
    }
    if (record->author.len) {
        author = ml_blob_new(record->author);
        if (!author)
            return ML_ELIMIT;
    }
    if (record->labels.len) {
        labels = ml_blob_new(record->labels);
        if (!labels) {
            ml_blob_unref(author);
            return ML_ELIMIT;
        }
    }
    if (record->session.len) {
        key = make_key(record);
        if (key)
            key->seq = document->head + 1;
        if (!key || !ml_hashmap_put(&document->keys, ml_slice_make(key->bytes, key->len), key)) {
            ml_blob_unref(author);
            ml_blob_unref(labels);
            free(key);
            return ML_ELIMIT;
        }
    }
    document->records[document->head++] =
        (struct memory_record){ml_blob_ref(record->bytes), key, author, labels, record->at_ms};
    document->record_bytes += record->bytes->len;
    document->updated_ms = record->at_ms;
    record->seq = document->head;
    return ML_OK;
}

/* Take back the records after `head`. */
static void undo_records(struct memory_document *document, uint64_t head)
{
    while (document->head > head) {
        struct memory_record *record = &document->records[--document->head];

        if (record->key)
            ml_hashmap_remove(&document->keys, ml_slice_make(record->key->bytes, record->key->len));
        document->record_bytes -= record->bytes->len;
        ml_memory_release_record(record);
    }
}

static enum ml_err append_records(struct memory_journal *j, struct ml_append *append)
{
    int64_t at_ms = append->count ? append->records[0].at_ms : ml_clock_wall_ms();
    struct memory_document *document;
    uint64_t head_before;
    enum ml_err err;

    err = ml_memory_find(j, append->org, append->name, &document);
    if (err)
        return err;
    for (size_t i = 0; document && i < append->count && !err; i++)
        err = find_repeat(document, &append->records[i]);
    if (err)
        return err;
    head_before = append->head = document ? document->head : 0;
    if (document && document->deleted_ms)
        return append->creates ? ML_ECONFLICT : ML_ENOTFOUND;
    if (document && append->creates && !ml_append_is_repeat(append))
        return ML_ECONFLICT;
    if (ml_append_is_late(append, append->head))
        return ML_EMOVED;
    if (!document)
        document = make_document(j, append->org, append->name, at_ms);
    if (!document)
        return ML_ELIMIT;
    for (size_t i = 0; i < append->count; i++) {
        struct ml_record *record = &append->records[i];

        /* Asked again: the same key may stand twice in one append. */
        err = find_repeat(document, record);
        if (!err && !record->repeated)
            err = insert_record(document, record);
        if (err) {
            undo_records(document, head_before);
            return err;
        }
    }
    for (size_t i = 0; i < append->claim_count && !err; i++)
        err = ml_memory_take_claim(document, &append->claims[i]);
    if (err) {
        undo_records(document, head_before);
        return err;
    }
    append->head = document->head;
    j->stats.rows += document->head - head_before;
    for (uint64_t i = head_before; i < document->head; i++) {
        struct ml_slice bytes = ml_blob_slice(document->records[i].bytes);

        j->stats.bytes += bytes.len;
        if (j->on_commit)
            j->on_commit(j->on_commit_arg, append->org, append->name, i + 1, bytes);
    }
    return ML_OK;
}

/* --- snapshots --- */

static uint64_t newest_snapshot(const struct memory_document *document)
{
    return document->snapshot_count ? document->snapshots[document->snapshot_count - 1].seq : 0;
}

static struct memory_snapshot *find_snapshot(const struct memory_document *document, uint64_t seq)
{
    for (size_t i = 0; i < document->snapshot_count; i++)
        if (document->snapshots[i].seq == seq)
            return &document->snapshots[i];
    return NULL;
}

static enum ml_err insert_snapshot(struct memory_document *document,
                                   const struct ml_snapshot_put *put)
{
    size_t at = document->snapshot_count;
    struct memory_snapshot *bigger =
        realloc(document->snapshots, (document->snapshot_count + 1) * sizeof *bigger);

    if (!bigger)
        return ML_ELIMIT;
    document->snapshots = bigger;
    while (at && bigger[at - 1].seq > put->seq)
        at--;
    memmove(bigger + at + 1, bigger + at, (document->snapshot_count++ - at) * sizeof *bigger);
    bigger[at] = (struct memory_snapshot){put->seq, ml_blob_ref(put->state),
                                          put->state->len + put->state_vector->len};
    return ML_OK;
}

static void drop_old_snapshots(struct memory_document *document, uint32_t keep)
{
    uint32_t count = 0;

    if (keep == UINT32_MAX)
        return;
    for (size_t i = document->snapshot_count; i--;) {
        count += !ml_memory_is_held(document, document->snapshots[i].seq);
        if (count == (keep < ML_KEEP_MIN ? ML_KEEP_MIN : keep)) {
            ml_memory_drop_before(document, document->snapshots[i].seq);
            return;
        }
    }
}

static enum ml_err put_snapshot(struct memory_journal *j, struct ml_snapshot_put *put)
{
    struct memory_document *document;
    enum ml_err err;
    bool is_there;

    err = ml_memory_find(j, put->org, put->name, &document);
    if (err)
        return err;
    if (!document || document->deleted_ms)
        return ML_ENOTFOUND;
    is_there = find_snapshot(document, put->seq) != NULL;
    if (put->epoch != document->epoch || put->seq > document->head ||
        (!put->is_named && (is_there || put->seq < newest_snapshot(document))))
        return ML_ECONFLICT;
    if (!is_there)
        err = insert_snapshot(document, put);
    if (!err)
        err = ml_memory_add_version(document, put);
    if (!err && !put->is_named)
        drop_old_snapshots(document, put->keep);
    return err;
}

/* --- reading --- */

static struct ml_stored stored_of(uint64_t seq, const struct memory_record *record)
{
    return (struct ml_stored){seq, ml_blob_ref(record->bytes),
                              record->author ? ml_blob_ref(record->author) : NULL, record->at_ms};
}

static enum ml_err load_records(const struct memory_document *document, uint64_t after,
                                struct ml_load *load)
{
    uint64_t last =
        load->until_seq && load->until_seq < document->head ? load->until_seq : document->head;

    if (after >= last)
        return ML_OK;
    if (after < document->compacted_seq) {
        load->is_compacted = load->until_seq || load->after_seq;
        return load->is_compacted ? ML_ENOTFOUND : ML_EFORMAT;
    }
    load->records = calloc((size_t)(last - after), sizeof *load->records);
    if (!load->records)
        return ML_ELIMIT;
    for (uint64_t seq = after + 1; seq <= last; seq++)
        load->records[load->count++] = stored_of(seq, &document->records[seq - 1]);
    return ML_OK;
}

/* until_seq is the last record of that time or before. False: there was none yet. */
static bool find_moment(const struct memory_document *document, struct ml_load *load)
{
    load->until_seq = document->head;
    while (load->until_seq > document->compacted_seq &&
           document->records[load->until_seq - 1].at_ms > load->until_ms)
        load->until_seq--;
    return load->until_seq > document->compacted_seq;
}

static enum ml_err load_document(struct memory_journal *j, struct ml_load *load)
{
    struct memory_document *document;
    enum ml_err err;

    err = ml_memory_find(j, load->org, load->name, &document);
    if (err || !document)
        return err;
    load->exists = true;
    load->epoch = document->epoch;
    load->head = document->head;
    if (document->deleted_ms)
        return ML_ENOTFOUND;
    if (load->wants_claims)
        err = ml_memory_load_claims(document, load);
    if (err)
        return err;
    if (load->until_ms && !find_moment(document, load)) {
        load->is_compacted = document->compacted_seq > 0;
        return load->is_compacted ? ML_ENOTFOUND : ML_OK;
    }
    if (load->after_seq)
        return load_records(document, load->after_seq, load);
    for (size_t i = document->snapshot_count; i--;) {
        const struct memory_snapshot *snapshot = &document->snapshots[i];

        if (snapshot->seq <= load->max_snapshot_seq &&
            (!load->until_seq || snapshot->seq <= load->until_seq)) {
            load->snapshot_seq = snapshot->seq;
            load->snapshot = ml_blob_ref(snapshot->state);
            break;
        }
    }
    return load_records(document, load->snapshot_seq, load);
}

static int compare_names(const void *a, const void *b)
{
    return ml_slice_compare(((const struct ml_listed *)a)->name,
                            ((const struct ml_listed *)b)->name);
}

static bool is_wanted(const struct memory_document *document, const struct ml_list_documents *list)
{
    return !document->deleted_ms && ml_slice_equal(document->org, list->org) &&
           document->name.len >= list->prefix.len &&
           ml_slice_equal(ml_slice_make(document->name.ptr, list->prefix.len), list->prefix) &&
           (!list->after.len || ml_slice_compare(document->name, list->after) > 0);
}

/* ML_STORE_USAGE */
static enum ml_err read_usage(struct memory_journal *j, struct ml_store_read *r)
{
    uint64_t documents = 0, bytes = 0;
    size_t cursor = 0;
    char digits[32];
    void *value;

    while (ml_hashmap_next(&j->documents, &cursor, &value)) {
        const struct memory_document *document = value;

        if (!ml_slice_equal(document->org, r->org))
            continue;
        documents += !document->deleted_ms;
        bytes += document->record_bytes;
        for (size_t i = 0; i < document->snapshot_count; i++)
            bytes += document->snapshots[i].bytes;
    }
    r->pairs = ml_arena_array(&r->arena, 1, sizeof *r->pairs);
    if (!r->pairs)
        return ML_ELIMIT;
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)documents);
    r->pairs[0].key = ml_arena_copy(&r->arena, ml_slice_str(digits));
    (void)snprintf(digits, sizeof digits, "%llu", (unsigned long long)bytes);
    r->pairs[0].value = ml_arena_copy(&r->arena, ml_slice_str(digits));
    r->count = 1;
    return r->pairs[0].key.ptr && r->pairs[0].value.ptr ? ML_OK : ML_ELIMIT;
}

static enum ml_err list_documents(struct memory_journal *j, struct ml_list_documents *list)
{
    struct ml_listed *all = NULL;
    size_t count = 0, names = 0, cursor = 0, keep;
    uint8_t *text;
    void *value;

    if (!j->documents.count)
        return ML_OK;
    all = calloc(j->documents.count, sizeof *all);
    if (!all)
        return ML_ELIMIT;
    while (ml_hashmap_next(&j->documents, &cursor, &value)) {
        const struct memory_document *document = value;
        uint64_t bytes = document->record_bytes;

        if (!is_wanted(document, list))
            continue;
        for (size_t i = 0; i < document->snapshot_count; i++)
            bytes += document->snapshots[i].bytes;
        all[count++] =
            (struct ml_listed){document->name, document->head,       newest_snapshot(document),
                               bytes,          document->created_ms, document->updated_ms};
    }
    qsort(all, count, sizeof *all, compare_names);
    keep = count < list->limit ? count : list->limit;
    for (size_t i = 0; i < keep; i++)
        names += all[i].name.len;
    list->items = malloc(keep * sizeof *all + names + 1);
    if (!list->items) {
        free(all);
        return ML_ELIMIT;
    }
    memcpy(list->items, all, keep * sizeof *all);
    text = (uint8_t *)(list->items + keep);
    for (size_t i = 0; i < keep; i++) {
        memcpy(text, all[i].name.ptr, all[i].name.len);
        list->items[i].name.ptr = text;
        text += all[i].name.len;
    }
    list->count = keep;
    list->more = count > keep;
    free(all);
    return ML_OK;
}

/* --- what is known about one --- */

static enum ml_err set_deleted(struct memory_journal *j, struct ml_set_deleted *request)
{
    struct memory_document *document;
    enum ml_err err = ml_memory_find(j, request->org, request->name, &document);

    if (err || !document)
        return err ? err : ML_ENOTFOUND;
    request->changed = request->deleted != (document->deleted_ms != 0);
    if (request->changed)
        document->deleted_ms = request->deleted ? request->at_ms : 0;
    if (request->changed && request->deleted && document->published)
        return ml_memory_push_purge(j, request->org, request->name, ML_PURGE_DELETED,
                                    request->at_ms);
    return ML_OK;
}

static struct ml_slice text_of(const struct ml_blob *blob)
{
    return blob ? ml_blob_slice(blob) : ml_slice_make(NULL, 0);
}

/* A copy behind the table that it belongs to. */
static struct ml_slice keep_text(uint8_t **at, struct ml_slice text)
{
    struct ml_slice kept = ml_slice_make(*at, text.len);

    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return kept;
}

static int compare_authors(const void *a, const void *b)
{
    return ml_slice_compare(((const struct ml_record_author *)a)->author,
                            ((const struct ml_record_author *)b)->author);
}

static enum ml_err gather_authors(const struct memory_document *document,
                                  struct ml_describe *request)
{
    uint64_t kept = document->head - document->compacted_seq;
    uint64_t count = kept < ML_AUTHOR_RECORDS ? kept : ML_AUTHOR_RECORDS;
    struct ml_record_author *all;
    size_t bytes = 0;
    uint8_t *text;

    for (uint64_t i = document->head - count; i < document->head; i++)
        bytes += text_of(document->records[i].author).len;
    all = malloc((size_t)count * sizeof *all + bytes + 1);
    if (!all)
        return ML_ELIMIT;
    text = (uint8_t *)(all + count);
    for (uint64_t i = 0; i < count; i++) {
        const struct memory_record *record = &document->records[document->head - count + i];

        all[i] =
            (struct ml_record_author){keep_text(&text, text_of(record->author)), 1, record->at_ms};
    }
    qsort(all, (size_t)count, sizeof *all, compare_authors);
    request->authors = all;
    for (uint64_t i = 0; i < count; i++) {
        struct ml_record_author *last = &all[request->author_count ? request->author_count - 1 : 0];

        if (i && ml_slice_equal(last->author, all[i].author)) {
            last->records++;
            last->last_ms = all[i].last_ms > last->last_ms ? all[i].last_ms : last->last_ms;
        } else {
            all[request->author_count++] = all[i];
        }
    }
    return ML_OK;
}

static enum ml_err describe_document(struct memory_journal *j, struct ml_describe *request)
{
    struct memory_document *document;
    enum ml_err err = ml_memory_find(j, request->org, request->name, &document);

    if (err || !document)
        return err;
    request->exists = true;
    request->deleted_ms = document->deleted_ms;
    request->epoch = document->epoch;
    request->head = document->head;
    request->snapshot_seq = newest_snapshot(document);
    request->record_bytes = document->record_bytes;
    for (size_t i = 0; i < document->snapshot_count; i++)
        request->snapshot_bytes += document->snapshots[i].bytes;
    request->created_ms = document->created_ms;
    request->updated_ms = document->updated_ms;
    return gather_authors(document, request);
}

static enum ml_err read_heads(struct memory_journal *j, struct ml_heads *request)
{
    for (size_t i = 0; i < request->count; i++) {
        struct ml_doc_head *item = &request->items[i];
        struct memory_document *document;
        enum ml_err err = ml_memory_find(j, item->org, item->name, &document);

        if (err)
            return err;
        if (!document)
            continue;
        item->exists = true;
        item->is_deleted = document->deleted_ms != 0;
        item->epoch = document->epoch;
        item->head = document->head;
    }
    return ML_OK;
}

static struct ml_slice session_of(const struct memory_record *record)
{
    return record->key ? ml_slice_make(record->key->bytes, record->key->len - sizeof(uint64_t))
                       : ml_slice_make(NULL, 0);
}

static enum ml_err read_history(struct memory_journal *j, struct ml_history *request)
{
    struct memory_document *document;
    enum ml_err err = ml_memory_find(j, request->org, request->name, &document);
    uint64_t last, kept;
    size_t count, bytes = 0;
    uint8_t *text;

    if (err || !document)
        return err;
    request->exists = true;
    if (document->deleted_ms)
        return ML_ENOTFOUND;
    last = request->before_seq > document->head ? document->head
           : request->before_seq                ? request->before_seq - 1
                                                : 0;
    kept = last > document->compacted_seq ? last - document->compacted_seq : 0;
    count = kept < request->limit ? (size_t)kept : request->limit;
    for (size_t i = 0; i < count; i++)
        bytes += text_of(document->records[last - 1 - i].author).len +
                 session_of(&document->records[last - 1 - i]).len +
                 text_of(document->records[last - 1 - i].labels).len;
    request->items = malloc(count * sizeof *request->items + bytes + 1);
    if (!request->items)
        return ML_ELIMIT;
    text = (uint8_t *)(request->items + count);
    for (size_t i = 0; i < count; i++) {
        const struct memory_record *record = &document->records[last - 1 - i];

        request->items[i] = (struct ml_history_item){
            .seq = last - i, .bytes = record->bytes->len, .at_ms = record->at_ms};
        request->items[i].author = keep_text(&text, text_of(record->author));
        request->items[i].session = keep_text(&text, session_of(record));
        request->items[i].labels = keep_text(&text, text_of(record->labels));
    }
    request->count = count;
    request->more = kept > count;
    return ML_OK;
}

/* --- the inbox --- */

static void carry_out_one(struct memory_journal *j, struct ml_journal_node *node,
                          enum ml_journal_fault fault)
{
    enum ml_err err = ML_OK;

    if (ml_request_writes(node) && fault == ML_FAULT_FAIL) {
        ml_request_fail(node, ML_EIO, "the transaction failed (fault on demand)");
        return;
    }
    switch ((enum ml_request_kind)node->kind) {
    case ML_REQUEST_APPEND:
        err = append_records(j, ml_append_of(node));
        break;
    case ML_REQUEST_LOAD:
        err = load_document(j, ml_load_of(node));
        break;
    case ML_REQUEST_SNAPSHOT:
        err = put_snapshot(j, ml_snapshot_of(node));
        break;
    case ML_REQUEST_LIST:
        err = list_documents(j, ml_list_of(node));
        break;
    case ML_REQUEST_SET_DELETED:
        err = set_deleted(j, ml_set_deleted_of(node));
        break;
    case ML_REQUEST_DESCRIBE:
        err = describe_document(j, ml_describe_of(node));
        break;
    case ML_REQUEST_HISTORY:
        err = read_history(j, ml_history_of(node));
        break;
    case ML_REQUEST_HEADS:
        err = read_heads(j, ml_heads_of(node));
        break;
    case ML_REQUEST_STORE_READ:
        err = ml_store_read_of(node)->look == ML_STORE_USAGE
                  ? read_usage(j, ml_store_read_of(node))
                  : ml_memory_store_look(j->store, ml_store_read_of(node));
        break;
    case ML_REQUEST_STORE_WRITE:
        err = ml_memory_store_commit(j->store, ml_store_write_of(node));
        break;
    case ML_REQUEST_VERSIONS:
        err = ml_memory_versions(j, ml_versions_of(node));
        break;
    case ML_REQUEST_CHANGE_VERSION:
        err = ml_memory_change_version(j, ml_version_change_of(node));
        break;
    case ML_REQUEST_PURGES:
        err = ml_memory_purges(j, ml_purges_of(node));
        break;
    case ML_REQUEST_NOTE_PURGE:
        err = ml_memory_note_purge(j, ml_purge_note_of(node));
        break;
    case ML_REQUEST_COMPACT:
        err = ml_memory_compact(j, ml_compact_of(node));
        break;
    }
    if (ml_request_writes(node) && fault == ML_FAULT_UNKNOWN)
        err = ML_EIO;
    if (err)
        ml_request_fail(node, err, NULL);
}

static void begin(struct memory_journal *j)
{
    ML_LIST_EACH(at, &j->inbox)
    ml_node_of(at)->waits_at = NULL;
}

static size_t carry_out(struct memory_journal *j)
{
    enum ml_journal_fault fault = ML_FAULT_NONE;
    struct ml_list batch, *link;
    size_t answered = 0;
    bool any_writes = false;

    ml_list_init(&batch);
    begin(j);
    ml_list_splice(&batch, &j->inbox);
    ML_LIST_EACH(at, &batch)
    any_writes = any_writes || (ml_request_writes(ml_node_of(at)) && !ml_node_of(at)->refused);
    if (any_writes && j->faults_left) {
        j->faults_left--;
        fault = j->fault;
    }
    ML_LIST_EACH(at, &batch)
    if (!ml_node_of(at)->refused)
        carry_out_one(j, ml_node_of(at), fault);
    if (any_writes) {
        j->stats.commits += fault != ML_FAULT_FAIL;
        j->stats.errors += fault != ML_FAULT_NONE;
    }
    for (link = ml_list_take_first(&batch); link; link = ml_list_take_first(&batch)) {
        struct ml_journal_node *node = ml_node_of(link);

        if (node->kind == ML_REQUEST_APPEND && !node->refused)
            j->stats.waiting_bytes -= ml_append_cost(ml_append_of(node));
        ml_request_answer(node);
        answered++;
    }
    return answered;
}

static void free_journal(struct memory_journal *j)
{
    void (*on_closed)(void *arg) = j->on_closed;
    void *arg = j->on_closed_arg;
    size_t cursor = 0;
    void *document;

    while (ml_hashmap_next(&j->documents, &cursor, &document))
        free_document(document);
    ml_hashmap_release(&j->documents);
    ml_memory_store_free(j->store);
    ml_memory_free_purges(j);
    free(j);
    on_closed(arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    free_journal(handle->data);
}

static void on_async(uv_async_t *async)
{
    struct memory_journal *j = async->data;

    carry_out(j);
    if (!j->closing)
        return;
    while (!ml_list_is_empty(&j->inbox))
        carry_out(j);
    j->ended = true;
    uv_close((uv_handle_t *)async, on_handle_closed);
}

static void wake(struct memory_journal *j)
{
    if (j->loop)
        (void)uv_async_send(&j->async); /* fails only on a broken handle */
}

static void enqueue(struct memory_journal *j, struct ml_journal_node *node)
{
    ML_ASSERT(!j->ended);
    if (j->closing) {
        ml_request_fail(node, ML_ECLOSED, NULL);
        node->refused = true;
    }
    ml_list_append(&j->inbox, &node->link);
    wake(j);
}

static void memory_append(struct ml_journal *journal, struct ml_append *append)
{
    struct memory_journal *j = memory_of(journal);
    uint64_t cost = ml_append_cost(append);

    if (!j->closing && cost > ML_WAITING_MAX_BYTES - j->stats.waiting_bytes) {
        ml_request_fail(&append->node, cost > ML_WAITING_MAX_BYTES ? ML_ELIMIT : ML_EBUSY, NULL);
        append->node.refused = true;
    } else if (!j->closing) {
        j->stats.waiting_bytes += cost;
        append->node.waits_at = journal;
    }
    enqueue(j, &append->node);
}

static bool memory_grow(struct ml_journal *journal, struct ml_append *append,
                        struct ml_record *records, size_t count)
{
    return ml_append_grow(append, records, count, &memory_of(journal)->stats.waiting_bytes);
}

static void memory_load(struct ml_journal *journal, struct ml_load *load)
{
    enqueue(memory_of(journal), &load->node);
}

static void memory_put_snapshot(struct ml_journal *journal, struct ml_snapshot_put *put)
{
    enqueue(memory_of(journal), &put->node);
}

static void memory_list_documents(struct ml_journal *journal, struct ml_list_documents *list)
{
    enqueue(memory_of(journal), &list->node);
}

static void memory_set_deleted(struct ml_journal *journal, struct ml_set_deleted *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_describe(struct ml_journal *journal, struct ml_describe *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_history(struct ml_journal *journal, struct ml_history *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_heads(struct ml_journal *journal, struct ml_heads *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_versions(struct ml_journal *journal, struct ml_versions *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_change_version(struct ml_journal *journal, struct ml_version_change *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_compact(struct ml_journal *journal, struct ml_compact *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_store_look(struct ml_journal *journal, struct ml_store_read *read)
{
    enqueue(memory_of(journal), &read->node);
}

static void memory_store_commit(struct ml_journal *journal, struct ml_store_write *write)
{
    enqueue(memory_of(journal), &write->node);
}

static void memory_purges(struct ml_journal *journal, struct ml_purges *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_note_purge(struct ml_journal *journal, struct ml_purge_note *request)
{
    enqueue(memory_of(journal), &request->node);
}

static void memory_stats(struct ml_journal *journal, struct ml_journal_stats *out)
{
    *out = memory_of(journal)->stats;
}

static void memory_close(struct ml_journal *journal, void (*done)(void *arg), void *arg)
{
    struct memory_journal *j = memory_of(journal);

    ML_ASSERT(!j->closing);
    j->closing = true;
    j->on_closed = done;
    j->on_closed_arg = arg;
    wake(j);
}

static const struct ml_journal_ops memory_ops = {
    .append = memory_append,
    .grow = memory_grow,
    .load = memory_load,
    .put_snapshot = memory_put_snapshot,
    .list_documents = memory_list_documents,
    .set_deleted = memory_set_deleted,
    .describe = memory_describe,
    .history = memory_history,
    .heads = memory_heads,
    .store_look = memory_store_look,
    .store_commit = memory_store_commit,
    .versions = memory_versions,
    .change_version = memory_change_version,
    .compact = memory_compact,
    .purges = memory_purges,
    .note_purge = memory_note_purge,
    .stats = memory_stats,
    .close = memory_close,
};

enum ml_err ml_journal_open_memory(uv_loop_t *loop, struct ml_journal **journal_out)
{
    struct memory_journal *j = calloc(1, sizeof *j);

    if (j)
        j->store = ml_memory_store_new();
    if (!j || !j->store) {
        free(j);
        return ML_ELIMIT;
    }
    j->base.ops = &memory_ops;
    j->loop = loop;
    ml_list_init(&j->inbox);
    ml_hashmap_init(&j->documents);
    if (loop) {
        if (uv_async_init(loop, &j->async, on_async)) {
            ml_memory_store_free(j->store);
            free(j);
            return ML_EIO;
        }
        j->async.data = j;
    }
    *journal_out = &j->base;
    return ML_OK;
}

size_t ml_journal_memory_step(struct ml_journal *journal)
{
    struct memory_journal *j = memory_of(journal);
    size_t answered;

    ML_ASSERT(j->base.ops == &memory_ops && !j->loop);
    answered = carry_out(j);
    if (!j->closing)
        return answered;
    while (!ml_list_is_empty(&j->inbox))
        answered += carry_out(j);
    free_journal(j);
    return answered;
}

void ml_journal_memory_begin(struct ml_journal *journal)
{
    begin(memory_of(journal));
}

void ml_journal_memory_fault(struct ml_journal *journal, enum ml_journal_fault fault,
                             unsigned transactions)
{
    struct memory_journal *j = memory_of(journal);

    ML_ASSERT(j->base.ops == &memory_ops);
    j->fault = fault;
    j->faults_left = fault == ML_FAULT_NONE ? 0 : transactions;
}

void ml_journal_memory_on_commit(struct ml_journal *journal, ml_journal_commit_hook hook, void *arg)
{
    struct memory_journal *j = memory_of(journal);

    ML_ASSERT(j->base.ops == &memory_ops);
    j->on_commit = hook;
    j->on_commit_arg = arg;
}

void ml_journal_memory_forget(struct ml_journal *journal)
{
    struct memory_journal *j = memory_of(journal);

    ML_ASSERT(j->base.ops == &memory_ops && !j->loop);
    ml_list_init(&j->inbox);
    j->stats.waiting_bytes = 0;
}
