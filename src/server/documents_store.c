/* SPDX-License-Identifier: MIT */
/*
 * Documents of a store that no server has open: the journal, with a loop that turns until it has
 * answered.
 */
#include "server/documents.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct store_documents {
    struct ml_documents base;
    uv_loop_t loop;
    struct ml_journal *journal;
};

static struct store_documents *store_of(struct ml_documents *documents)
{
    return (struct store_documents *)documents;
}

/* A request and whether it was answered: the flag stands behind it. */
#define ASKED(kind)                                                                                \
    struct asked_##kind {                                                                          \
        struct ml_##kind request;                                                                  \
        bool answered;                                                                             \
    };                                                                                             \
    static void on_##kind(struct ml_##kind *request)                                               \
    {                                                                                              \
        ML_CONTAINER(request, struct asked_##kind, request)->answered = true;                      \
    }                                                                                              \
    static void wait_for_##kind(struct store_documents *d, struct asked_##kind *asked)             \
    {                                                                                              \
        asked->request.done = on_##kind;                                                           \
        ml_journal_##kind(d->journal, &asked->request);                                            \
        while (!asked->answered)                                                                   \
            (void)uv_run(&d->loop, UV_RUN_ONCE);                                                   \
    }
ASKED(append)
ASKED(load)
ASKED(list_documents)
ASKED(history)
ASKED(set_deleted)
#undef ASKED

static int failed(const char *name, enum ml_err err, const struct ml_diag *diag)
{
    return ml_documents_complain(ML_EXIT_FAILED, "%s: %s", name,
                                 diag->text[0] ? diag->text : ml_err_text(err));
}

static int store_list(struct ml_documents *documents, const char *prefix,
                      void (*each)(void *arg, const struct ml_listed *item), void *arg)
{
    struct ml_slice after = {0};
    bool more = true;
    int code = 0;

    while (more && !code) {
        struct asked_list_documents asked = {.request = {.org = ml_slice_str(documents->org),
                                                         .prefix = ml_slice_str(prefix),
                                                         .after = after,
                                                         .limit = 1000}};
        char *last = NULL;

        wait_for_list_documents(store_of(documents), &asked);
        free((void *)(uintptr_t)after.ptr);
        after = ml_slice_make(NULL, 0);
        if (asked.request.err)
            return failed("the store", asked.request.err, &asked.request.diag);
        for (size_t i = 0; i < asked.request.count; i++)
            each(arg, &asked.request.items[i]);
        more = asked.request.more && asked.request.count;
        if (more) {
            struct ml_slice name = asked.request.items[asked.request.count - 1].name;

            last = strndup((const char *)name.ptr, name.len);
            more = last != NULL;
            after = ml_slice_make(last, name.len);
        }
        ml_list_documents_release(&asked.request);
    }
    return code;
}

static int store_history(struct ml_documents *documents, const char *name,
                         void (*each)(void *arg, const struct ml_history_item *item), void *arg)
{
    uint64_t before = ML_SEQ_ANY;

    for (;;) {
        struct asked_history asked = {.request = {.org = ml_slice_str(documents->org),
                                                  .name = ml_slice_str(name),
                                                  .before_seq = before,
                                                  .limit = 1000}};

        wait_for_history(store_of(documents), &asked);
        if (asked.request.err)
            return failed(name, asked.request.err, &asked.request.diag);
        if (!asked.request.exists)
            return ml_documents_complain(ML_EXIT_FAILED, "%s: no such document", name);
        for (size_t i = 0; i < asked.request.count; i++)
            each(arg, &asked.request.items[i]);
        before = asked.request.count ? asked.request.items[asked.request.count - 1].seq : 0;
        ml_history_release(&asked.request);
        if (!asked.request.more)
            return 0;
    }
}

static enum ml_err print(struct ml_doc *doc, const struct ml_document_view *view,
                         struct ml_writer *out, struct ml_diag *diag)
{
    static const char *const names[] = {
        [ML_VIEW_TEXT] = "text", [ML_VIEW_DELTA] = "delta",       [ML_VIEW_JSON] = "json",
        [ML_VIEW_XML] = "xml",   [ML_VIEW_MARKDOWN] = "markdown", [ML_VIEW_HTML] = "html",
    };

    for (size_t i = 0; view->as && i < sizeof names / sizeof *names; i++)
        if (strcmp(view->as, names[i]) == 0)
            return ml_doc_read(doc, ml_slice_str(view->root), (enum ml_view)i, out);
    if (view->as)
        return ml_diag_set(diag, ML_ENOTFOUND, 0, "there is no form \"%s\"", view->as);
    return view->is_v2 ? ml_doc_encode_state_v2(doc, ml_slice_make(NULL, 0), out)
                       : ml_doc_encode_state(doc, ml_slice_make(NULL, 0), out);
}

static int store_read(struct ml_documents *documents, const char *name,
                      const struct ml_document_view *view, struct ml_writer *out)
{
    struct asked_load asked = {.request = {.org = ml_slice_str(documents->org),
                                           .name = ml_slice_str(name),
                                           .max_snapshot_seq = ML_SEQ_ANY,
                                           .until_seq = view->seq}};
    const struct ml_doc_options options = {0};
    struct ml_load *load = &asked.request;
    struct ml_doc *doc = ml_doc_new(&options);
    enum ml_err err;

    wait_for_load(store_of(documents), &asked);
    err = doc ? load->err : ML_ELIMIT;
    if (!err && load->snapshot)
        err = ml_doc_apply_bytes(doc, ml_blob_slice(load->snapshot), &load->diag);
    for (size_t i = 0; !err && i < load->count; i++)
        err = ml_doc_apply_bytes(doc, ml_blob_slice(load->records[i].bytes), &load->diag);
    if (!err && load->exists)
        err = print(doc, view, out, &load->diag);
    ml_doc_free(doc);
    ml_load_release(load);
    if (err)
        return failed(name, err, &load->diag);
    return load->exists ? 0 : ml_documents_complain(ML_EXIT_FAILED, "%s: no such document", name);
}

static int store_write(struct ml_documents *documents, const char *name, struct ml_slice update,
                       bool is_v2, uint64_t *seq_out)
{
    struct ml_record record = {.author = ML_SLICE("moonloom doc"), .at_ms = ml_clock_wall_ms()};
    struct asked_append asked = {.request = {.org = ml_slice_str(documents->org),
                                             .name = ml_slice_str(name),
                                             .records = &record,
                                             .count = 1,
                                             .expected_head = ML_SEQ_ANY}};
    const struct ml_update *decoded;
    struct ml_diag diag = {0};
    struct ml_arena arena;
    struct ml_writer v1;
    enum ml_err err = ML_OK;

    ml_arena_init(&arena, SIZE_MAX / 4);
    ml_writer_init(&v1, SIZE_MAX / 4);
    if (is_v2) {
        err = ml_update_convert(update, ML_UPDATE_V2, NULL, &arena, &v1, &diag);
        update = ml_writer_slice(&v1);
    }
    if (!err)
        err = ml_update_decode(&arena, update, NULL, &diag, &decoded);
    if (!err)
        record.bytes = ml_blob_new(update);
    ml_arena_release(&arena);
    ml_writer_release(&v1);
    if (err || !record.bytes)
        return failed("the update", err ? err : ML_ELIMIT, &diag);
    wait_for_append(store_of(documents), &asked);
    ml_blob_unref(record.bytes);
    *seq_out = asked.request.head;
    return asked.request.err ? failed(name, asked.request.err, &asked.request.diag) : 0;
}

static int store_set_deleted(struct ml_documents *documents, const char *name, bool deleted)
{
    struct asked_set_deleted asked = {.request = {.org = ml_slice_str(documents->org),
                                                  .name = ml_slice_str(name),
                                                  .deleted = deleted,
                                                  .at_ms = ml_clock_wall_ms()}};

    wait_for_set_deleted(store_of(documents), &asked);
    if (asked.request.err == ML_ENOTFOUND ||
        (!asked.request.err && deleted && !asked.request.changed))
        return ml_documents_complain(ML_EXIT_FAILED, "%s: no such document", name);
    return asked.request.err ? failed(name, asked.request.err, &asked.request.diag) : 0;
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void store_close(struct ml_documents *documents)
{
    struct store_documents *d = store_of(documents);

    if (d->journal)
        ml_journal_close(d->journal, on_closed, NULL);
    (void)uv_run(&d->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&d->loop);
    free(d);
}

struct ml_documents *ml_documents_open_store(const char *store, const char *org)
{
    static const struct ml_documents_ops ops = {
        .list = store_list,
        .read = store_read,
        .write = store_write,
        .history = store_history,
        .set_deleted = store_set_deleted,
        .close = store_close,
    };
    struct store_documents *d = calloc(1, sizeof *d);
    struct ml_diag diag = {0};
    enum ml_err err;

    if (!ml_journal_knows(store) || !d || uv_loop_init(&d->loop)) {
        free(d);
        (void)ml_documents_complain(
            ML_EXIT_FAILED, "%s: the store is sqlite:PATH or postgres://HOST/DATABASE", store);
        return NULL;
    }
    d->base = (struct ml_documents){&ops, org};
    if (strncmp(store, "sqlite:", 7) == 0 && access(store + 7, F_OK)) { /* opening would make one */
        (void)ml_documents_complain(ML_EXIT_FAILED, "%s: %s", store, strerror(errno));
        store_close(&d->base);
        return NULL;
    }
    err = ml_journal_open(store, &d->loop, &diag, &d->journal);
    if (!err)
        return &d->base;
    (void)failed(store, err, &diag);
    d->journal = NULL;
    store_close(&d->base);
    return NULL;
}
