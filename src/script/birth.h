/* SPDX-License-Identifier: MIT */
/* load_document, create_document: a document that the journal has never seen. Part of script.h. */
#ifndef ML_SCRIPT_BIRTH_H
#define ML_SCRIPT_BIRTH_H

/** What is asked about. Copied. */
struct ml_script_birth {
    struct ml_slice org, document;
    const struct ml_script_identity *identity; /* who makes it; NULL: nobody that is known */
    struct ml_slice template; /* the document it is a copy of; .ptr NULL: of none */
    struct ml_doc *doc;       /* with what it begins with; plugins write into it until `done` */
};

/** What came of it. Borrowed for the call. */
struct ml_birth_answer {
    enum ml_err err;         /* ML_EDENIED: denial says why; ML_ESCRIPT: a plugin failed, try again
                                later, and nothing may be made of it */
    struct ml_denial denial; /* of create_document */
    struct ml_slice bytes;   /* of load_document: an update, not checked; .ptr NULL: no opinion */
    struct ml_slice plugin;  /* whose bytes they are */
};
typedef void (*ml_birth_done)(void *arg, const struct ml_birth_answer *answer);

/**
 * load_document(ref): what it was elsewhere; the first answer counts. create_document(d): may it be
 * made? Each may write what it begins with, all or nothing, and may go on doing so after it waited.
 * Both may wait, for ten seconds in all. `done` runs once, maybe before this returns.
 */
void ml_script_load_document(struct ml_script *script, struct ml_slice org,
                             struct ml_slice document, ml_birth_done done, void *arg);
void ml_script_create_document(struct ml_script *script, const struct ml_script_birth *birth,
                               ml_birth_done done, void *arg);

#endif
