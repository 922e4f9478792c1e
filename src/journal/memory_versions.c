/* SPDX-License-Identifier: MIT */
/* Versions in memory: the same rules as sqlite_versions.c. */
#include "journal/memory.h"

#include "journal/request.h"

#include <stdlib.h>

void ml_memory_free_version(struct memory_version *version)
{
    free(version->texts);
}

static struct ml_slice copy_text(uint8_t **at, struct ml_slice text)
{
    struct ml_slice copy = ml_slice_make(*at, text.len);

    if (text.len)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

/* `as` with its texts in memory of its own. False: out of memory. */
static bool own_texts(struct memory_version *out, const struct ml_version *as)
{
    uint8_t *texts =
        malloc(as->name.len + as->author.len + as->labels.len + as->hash.len + as->root.len + 1);
    uint8_t *at = texts;

    if (!texts)
        return false;
    *out = (struct memory_version){.as = *as, .texts = texts};
    out->as.name = copy_text(&at, as->name);
    out->as.author = copy_text(&at, as->author);
    out->as.labels = copy_text(&at, as->labels);
    out->as.hash = copy_text(&at, as->hash);
    out->as.root = copy_text(&at, as->root);
    return true;
}

static bool has_name(const struct memory_document *document, const char *name)
{
    for (size_t i = 0; i < document->version_count; i++)
        if (ml_slice_equal(document->versions[i].as.name, ml_slice_str(name)))
            return true;
    return false;
}

static struct memory_version *find_number(const struct memory_document *document, uint64_t number)
{
    for (size_t i = 0; i < document->version_count; i++)
        if (document->versions[i].as.number == number)
            return &document->versions[i];
    return NULL;
}

enum ml_err ml_memory_add_version(struct memory_document *document, struct ml_snapshot_put *put)
{
    struct memory_version *bigger =
        realloc(document->versions, (document->version_count + 1) * sizeof *bigger);
    unsigned attempt = 0;

    if (!bigger)
        return ML_ELIMIT;
    document->versions = bigger;
    put->version = document->last_version + 1;
    do
        ml_version_name_attempt(put->name_out, put->version_name, put->version, put->at_ms,
                                attempt++);
    while (has_name(document, put->name_out));
    const struct ml_version as = {
        .number = put->version,
        .seq = put->seq,
        .epoch = put->epoch,
        .at_ms = put->at_ms,
        .name = ml_slice_str(put->name_out),
        .author = put->author,
        .labels = put->labels,
        .is_named = put->is_named,
        .is_pinned = put->is_pinned,
    };
    if (!own_texts(&bigger[document->version_count], &as))
        return ML_ELIMIT;
    document->version_count++;
    document->last_version++;
    return ML_OK;
}

bool ml_memory_is_held(const struct memory_document *document, uint64_t seq)
{
    for (size_t i = 0; i < document->version_count; i++) {
        const struct ml_version *version = &document->versions[i].as;

        if (version->seq == seq && (version->is_named || version->is_pinned))
            return true;
    }
    return false;
}

static size_t count_of(const struct memory_document *document, uint64_t seq)
{
    size_t count = 0;

    for (size_t i = 0; i < document->version_count; i++)
        count += document->versions[i].as.seq == seq;
    return count;
}

static void remove_version(struct memory_document *document, size_t at)
{
    ml_memory_free_version(&document->versions[at]);
    memmove(document->versions + at, document->versions + at + 1,
            (--document->version_count - at) * sizeof *document->versions);
}

/* Snapshots before `seq` that nothing stands for. */
static void drop_loose(struct memory_document *document, uint64_t seq)
{
    size_t kept = 0;

    for (size_t i = 0; i < document->snapshot_count; i++) {
        struct memory_snapshot *snapshot = &document->snapshots[i];

        if (snapshot->seq < seq && !count_of(document, snapshot->seq))
            ml_blob_unref(snapshot->state);
        else
            document->snapshots[kept++] = *snapshot;
    }
    document->snapshot_count = kept;
}

void ml_memory_drop_before(struct memory_document *document, uint64_t seq)
{
    for (size_t i = document->version_count; i--;) {
        const struct ml_version *version = &document->versions[i].as;

        if (version->seq < seq && !version->is_named && !version->is_pinned && !version->hash.len)
            remove_version(document, i);
    }
    drop_loose(document, seq);
}

/* ---- changes --------------------------------------------------------------------------------- */

static enum ml_err delete_version(struct memory_document *document,
                                  const struct memory_version *version)
{
    uint64_t seq = version->as.seq;
    size_t newer = 0;

    for (size_t i = 0; i < document->snapshot_count; i++)
        newer += document->snapshots[i].seq > seq;
    if (version->as.is_pinned || document->published == version->as.number ||
        (newer < ML_KEEP_MIN && count_of(document, seq) == 1 && document->compacted_seq))
        return ML_ECONFLICT;
    remove_version(document, (size_t)(version - document->versions));
    drop_loose(document, document->snapshots[document->snapshot_count - 1].seq);
    return ML_OK;
}

static enum ml_err give_hash(struct memory_version *version, struct ml_slice hash,
                             struct ml_slice root)
{
    struct ml_version as = version->as;
    uint8_t *before = version->texts;

    as.hash = hash;
    as.root = root;
    if (!own_texts(version, &as))
        return ML_ELIMIT;
    free(before);
    return ML_OK;
}

static enum ml_err hide(struct memory_journal *j, struct memory_document *document,
                        struct ml_version_change *change)
{
    enum ml_err err = document->published
                          ? ml_memory_push_purge(j, change->org, change->name,
                                                 ML_PURGE_MADE_PRIVATE, change->at_ms)
                          : ML_OK;

    if (err)
        return err;
    change->changed = document->published != 0;
    document->published = 0;
    for (size_t i = 0; i < document->version_count; i++)
        document->versions[i].as.hash.len = document->versions[i].as.root.len = 0;
    return ML_OK;
}

enum ml_err ml_memory_change_version(struct memory_journal *j, struct ml_version_change *change)
{
    struct memory_document *document;
    struct memory_version *version;
    enum ml_err err = ml_memory_find(j, change->org, change->name, &document);

    if (err)
        return err;
    if (!document || (document->deleted_ms && change->act != ML_VERSION_HIDE))
        return ML_ENOTFOUND;
    if (change->act == ML_VERSION_HIDE)
        return hide(j, document, change);
    version = find_number(document, change->number);
    if (!version)
        return ML_ENOTFOUND;
    if (change->act == ML_VERSION_DELETE) {
        err = delete_version(document, version);
    } else if (change->act == ML_VERSION_KEEP) {
        version->as.is_pinned = change->flag;
    } else {
        err = give_hash(version, change->hash, change->root);
        if (!err)
            document->published = change->number;
        if (!err)
            err = ml_memory_push_purge(j, change->org, change->name, ML_PURGE_PUBLISHED,
                                       change->at_ms);
    }
    change->changed = !err;
    return err;
}

enum ml_err ml_memory_compact(struct memory_journal *j, struct ml_compact *request)
{
    struct memory_document *document;
    enum ml_err err = ml_memory_find(j, request->org, request->name, &document);
    uint64_t limit;

    if (err)
        return err;
    if (!document || document->deleted_ms)
        return ML_ENOTFOUND;
    request->compacted_seq = document->compacted_seq;
    if (request->epoch != document->epoch)
        return ML_ECONFLICT;
    if (document->snapshot_count < ML_KEEP_MIN)
        return ML_OK;
    limit = document->snapshots[document->snapshot_count - ML_KEEP_MIN].seq;
    limit = limit < request->upto ? limit : request->upto;
    for (uint64_t seq = document->compacted_seq + 1; seq <= limit; seq++) {
        struct memory_record *record = &document->records[seq - 1];

        request->rows++;
        request->bytes += record->bytes->len;
        if (record->key)
            ml_hashmap_remove(&document->keys, ml_slice_make(record->key->bytes, record->key->len));
        document->record_bytes -= record->bytes->len;
        ml_memory_release_record(record);
        *record = (struct memory_record){0};
    }
    if (limit > document->compacted_seq)
        document->compacted_seq = limit;
    request->compacted_seq = document->compacted_seq;
    return ML_OK;
}

/* ---- the list -------------------------------------------------------------------------------- */

static bool is_wanted(const struct ml_version *version, const struct ml_versions *request)
{
    if (request->is_published_only && !request->only.len)
        return version->number == request->published;
    return version->number < request->before_number &&
           (!request->only.len || ml_slice_equal(version->name, request->only) ||
            version->number == ml_version_number(request->only));
}

static uint64_t bytes_of(const struct memory_document *document, uint64_t seq)
{
    for (size_t i = 0; i < document->snapshot_count; i++)
        if (document->snapshots[i].seq == seq)
            return document->snapshots[i].bytes;
    return 0;
}

enum ml_err ml_memory_versions(struct memory_journal *j, struct ml_versions *request)
{
    struct memory_document *document;
    struct ml_version *rows;
    enum ml_err err = ml_memory_find(j, request->org, request->name, &document);
    size_t count = 0;

    if (err || !document)
        return err;
    if (document->deleted_ms)
        return ML_ENOTFOUND;
    request->exists = true;
    request->head = document->head;
    request->epoch = document->epoch;
    request->compacted_seq = document->compacted_seq;
    request->published = document->published;
    request->is_purging = ml_memory_is_purging(j, request->org, request->name);
    rows = calloc(request->limit, sizeof *rows);
    if (!rows)
        return ML_ELIMIT;
    for (size_t i = document->version_count; i-- && !request->more;) {
        const struct ml_version *version = &document->versions[i].as;

        if (!is_wanted(version, request))
            continue;
        request->more = count == request->limit;
        if (!request->more) {
            rows[count] = *version;
            rows[count++].bytes = bytes_of(document, version->seq);
        }
    }
    err = ml_versions_take(request, rows, count);
    free(rows);
    return err;
}
