/* SPDX-License-Identifier: MIT */
/* Purges in memory: the same rules as sqlite_purges.c. */
#include "journal/memory.h"

#include "journal/request.h"

#include <stdio.h>
#include <stdlib.h>

struct memory_purge {
    struct memory_purge *next; /* by id */
    struct ml_purge as;
    uint8_t texts[];
};

/* "12-0123456789abcdef 13-…", the newest first. */
static void write_files(const struct memory_document *document, struct ml_writer *out)
{
    size_t left = ML_PURGE_FILES_MAX;

    for (size_t i = document ? document->version_count : 0; i-- && left;) {
        const struct ml_version *version = &document->versions[i].as;
        char text[64];

        if (!version->hash.len)
            continue;
        left--;
        (void)snprintf(text, sizeof text, "%s%llu-", out->len ? " " : "",
                       (unsigned long long)version->number);
        ml_write_bytes(out, ml_slice_str(text));
        ml_write_bytes(out, version->hash);
    }
}

enum ml_err ml_memory_push_purge(struct memory_journal *j, struct ml_slice org,
                                 struct ml_slice name, enum ml_purge_reason reason, int64_t at_ms)
{
    struct memory_document *document;
    struct memory_purge *purge, **last = &j->purges;
    struct ml_writer files;
    enum ml_err err = ml_memory_find(j, org, name, &document);

    ml_writer_init(&files, 1u << 20);
    write_files(document, &files);
    purge = calloc(1, sizeof *purge + org.len + name.len + files.len);
    if (err || !purge || files.err) {
        ml_writer_release(&files);
        free(purge);
        return err ? err : ML_ELIMIT;
    }
    memcpy(purge->texts, org.ptr, org.len);
    memcpy(purge->texts + org.len, name.ptr, name.len);
    if (files.len)
        memcpy(purge->texts + org.len + name.len, files.ptr, files.len);
    purge->as = (struct ml_purge){
        .id = ++j->last_purge,
        .org = ml_slice_make(purge->texts, org.len),
        .name = ml_slice_make(purge->texts + org.len, name.len),
        .files = ml_slice_make(purge->texts + org.len + name.len, files.len),
        .reason = reason,
        .at_ms = at_ms,
        .due_ms = ml_purge_is_urgent(reason) ? at_ms : at_ms + ML_PURGE_COLLECT_MS,
    };
    ml_writer_release(&files);
    while (*last)
        last = &(*last)->next;
    *last = purge;
    return ML_OK;
}

bool ml_memory_is_purging(const struct memory_journal *j, struct ml_slice org, struct ml_slice name)
{
    for (const struct memory_purge *p = j->purges; p; p = p->next)
        if (ml_purge_is_urgent(p->as.reason) && ml_slice_equal(p->as.org, org) &&
            ml_slice_equal(p->as.name, name))
            return true;
    return false;
}

enum ml_err ml_memory_note_purge(struct memory_journal *j, struct ml_purge_note *note)
{
    if (note->act == ML_PURGE_PUSH)
        return ml_memory_push_purge(j, note->org, note->name, note->reason, note->at_ms);
    for (size_t i = 0; i < note->count && note->act != ML_PURGE_TAKE; i++) {
        struct memory_purge **at = &j->purges, *purge;

        while (*at && (*at)->as.id != note->ids[i])
            at = &(*at)->next;
        purge = *at;
        if (!purge)
            continue;
        purge->as.due_ms = note->due_ms;
        purge->as.try++;
        if (note->act == ML_PURGE_DONE) {
            *at = purge->next;
            free(purge);
        }
    }
    return ML_OK;
}

static int compare(const void *a, const void *b)
{
    const struct ml_purge *x = a, *y = b;

    if (x->due_ms != y->due_ms)
        return x->due_ms < y->due_ms ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

enum ml_err ml_memory_purges(struct memory_journal *j, struct ml_purges *request)
{
    struct ml_purge *all;
    size_t count = 0;
    enum ml_err err;

    for (const struct memory_purge *p = j->purges; p; p = p->next)
        count++;
    all = calloc(count + 1, sizeof *all);
    if (!all)
        return ML_ELIMIT;
    count = 0;
    for (const struct memory_purge *p = j->purges; p; p = p->next)
        all[count++] = p->as;
    qsort(all, count, sizeof *all, compare);
    err = ml_purges_take(request, all, count < request->limit ? count : request->limit);
    free(all);
    return err;
}

void ml_memory_free_purges(struct memory_journal *j)
{
    while (j->purges) {
        struct memory_purge *next = j->purges->next;

        free(j->purges);
        j->purges = next;
    }
}
