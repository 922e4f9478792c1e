/* SPDX-License-Identifier: MIT */
/* What the threads of a journal (threads.c) ask of what is beneath them. Private to journal/. */
#ifndef ML_JOURNAL_THREADS_H
#define ML_JOURNAL_THREADS_H

#include "journal/journal.h"
#include "journal/request.h"

/* Each side has a connection of its own and is used by one thread at a time. */
enum ml_side { ML_SIDE_WRITE, ML_SIDE_READ };

struct ml_backing;

/** All may block. ML_EIO from a commit: the outcome is unknown and the connection is done for. */
struct ml_backing_ops {
    /** Open a side, so that whatever an attempt with unknown outcome left behind is certain. */
    enum ml_err (*open)(struct ml_backing *backing, enum ml_side side, struct ml_diag *diag);
    void (*close)(struct ml_backing *backing, enum ml_side side); /* also one that is not open */
    bool (*is_open)(const struct ml_backing *backing, enum ml_side side);
    /** One transaction for all; each append carries its own result. Adds to `stats`. */
    enum ml_err (*commit_appends)(struct ml_backing *backing, struct ml_append **appends,
                                  size_t count, struct ml_journal_stats *stats,
                                  struct ml_diag *diag);
    /** One transaction for a request that writes and is no append. */
    enum ml_err (*commit_alone)(struct ml_backing *backing, struct ml_journal_node *node,
                                struct ml_diag *diag);
    /** Answer a request that only reads. ML_EIO: the connection should be opened anew. */
    enum ml_err (*read)(struct ml_backing *backing, struct ml_journal_node *node);

    /* Copies that may answer what only reads; NULL: there are none. By a thread of their own. */
    bool (*has_copies)(const struct ml_backing *backing);
    /** ML_EBUSY: none has everything that was acknowledged; nothing of the request is changed. */
    enum ml_err (*read_copy)(struct ml_backing *backing, struct ml_journal_node *node);
    void (*close_copies)(struct ml_backing *backing);

    /* Housekeeping on the writing side; NULL: there is none. */
    unsigned (*tidy_in_ms)(const struct ml_backing *backing); /* after so long idle; 0: tidy */
    bool (*is_overdue)(const struct ml_backing *backing);     /* do not wait for idleness */
    enum ml_err (*tidy)(struct ml_backing *backing, struct ml_diag *diag);
    void (*finish)(struct ml_backing *backing); /* before the last close */

    void (*free)(struct ml_backing *backing); /* closes what is open */
};
struct ml_backing {
    const struct ml_backing_ops *ops;
};

/**
 * Start the threads over an open backing, which now belongs to the journal (also on failure). If
 * the writing side is not open, `diag` says why, and the writer goes on trying.
 */
enum ml_err ml_journal_start_threads(struct ml_backing *backing, uv_loop_t *loop,
                                     struct ml_diag *diag,
                                     struct ml_journal **journal_out) ML_MUST_CHECK;

/**
 * Before a request is answered, from a thread of the journal and outside of its mutex. True: the
 * callee keeps the request, and nobody is answered. Set before anything is asked.
 */
typedef bool (*ml_threads_return)(void *arg, struct ml_journal_node *node);
void ml_threads_on_return(struct ml_journal *journal, ml_threads_return returns, void *arg);

#endif
