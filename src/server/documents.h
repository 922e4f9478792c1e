/* SPDX-License-Identifier: MIT */
/*
 * Documents as `moonloom doc` works on them: those of a running server (documents_http.c) or of a
 * store that no server has open (documents_store.c). Calls block. Each answers an exit code of the
 * program, and has told people why if it is not 0.
 */
#ifndef ML_SERVER_DOCUMENTS_H
#define ML_SERVER_DOCUMENTS_H

#include "base/codec.h"
#include "engine/engine.h"
#include "journal/journal.h"

#define ML_EXIT_FAILED      1
#define ML_EXIT_UNREACHABLE 3

struct ml_documents;

/** A reading of one document. */
struct ml_document_view {
    const char *as;   /* text, delta, json, xml, markdown, html; NULL: the state as a Yjs update */
    const char *root; /* of `as` */
    bool is_v2;       /* of the state */
    uint64_t seq;     /* as it was after this record; 0: now */
};

struct ml_documents_ops {
    int (*list)(struct ml_documents *documents, const char *prefix,
                void (*each)(void *arg, const struct ml_listed *item), void *arg);
    int (*read)(struct ml_documents *documents, const char *name,
                const struct ml_document_view *view, struct ml_writer *out);
    int (*write)(struct ml_documents *documents, const char *name, struct ml_slice update,
                 bool is_v2, uint64_t *seq_out);
    int (*history)(struct ml_documents *documents, const char *name,
                   void (*each)(void *arg, const struct ml_history_item *item), void *arg);
    int (*set_deleted)(struct ml_documents *documents, const char *name, bool deleted);
    void (*close)(struct ml_documents *documents);
};
struct ml_documents {
    const struct ml_documents_ops *ops;
    const char *org;
};

/** NULL: told why. @param url  "http://HOST:PORT" */
struct ml_documents *ml_documents_open_http(const char *url, const char *org);
/** @param store  "sqlite:PATH" */
struct ml_documents *ml_documents_open_store(const char *store, const char *org);

/** One line on standard error. Answers `code`. */
int ml_documents_complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
