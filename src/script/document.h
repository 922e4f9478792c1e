/* SPDX-License-Identifier: MIT */
/*
 * A document at hand, as those who have one lend it to a hook. Part of script.h. script/ knows no
 * rooms: it reads the document itself, and asks the port for what stands around it and for leave to
 * write.
 */
#ifndef ML_SCRIPT_DOCUMENT_H
#define ML_SCRIPT_DOCUMENT_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct ml_doc;

struct ml_doc_facts {
    uint64_t seq, epoch, bytes;
    int64_t created_ms; /* 0: not known */
};

/** Somebody who is here. Borrowed for the call. */
struct ml_doc_session {
    struct ml_slice id, user, name;
    bool can_write;
};

/** What is said about a transaction. Borrowed for the call. */
struct ml_doc_note {
    struct ml_slice author; /* "plugin:<instance>" */
    struct ml_slice reason; /* may be empty */
    bool notify;            /* tell the clients about it */
};

struct ml_doc_port;

/** Implemented by room, and by specs. Called on the loop of the hook, which it never calls back. */
struct ml_doc_calls {
    void (*facts)(struct ml_doc_port *port, struct ml_doc_facts *out);
    void (*sessions)(struct ml_doc_port *port,
                     void (*each)(void *arg, const struct ml_doc_session *session), void *arg);
    /**
     * ml_doc_begin, if a transaction is allowed now. NULL: never from this hook.
     * @param doc_out  between begin and its end until commit or rollback, one of which follows
     * @retval ML_EDENIED  not from here; ML_ELIMIT  a chain of reactions is too long, no memory
     */
    enum ml_err (*begin)(struct ml_doc_port *port, struct ml_diag *diag, struct ml_doc **doc_out);
    enum ml_err (*commit)(struct ml_doc_port *port, const struct ml_doc_note *note,
                          struct ml_diag *diag);
    void (*rollback)(struct ml_doc_port *port);
};

struct ml_doc_port {
    const struct ml_doc_calls *calls;
};

#endif
