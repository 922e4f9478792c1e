/* SPDX-License-Identifier: MIT */
/*
 * A document that the journal has never seen comes to life: plugins bring it from elsewhere
 * (load_document) or say what it begins with (create_document), and one record creates it. Of many
 * who ask, on any node, one succeeds. Part of room.h.
 */
#ifndef ML_ROOM_BIRTH_H
#define ML_ROOM_BIRTH_H

struct ml_birth_result {
    enum ml_err err; /* ML_OK: it is there now. ML_ECONFLICT: it is there, somebody else was faster,
                        or deleted; ML_EDENIED: denial says why, its code empty: who asked may not
                        make one; ML_ESCRIPT: a plugin failed; others as of ml_journal_append:
                        nothing is there, or it is not known */
    const struct ml_denial *denial; /* borrowed for the call */
    bool is_imported;               /* load_document brought it */
    bool is_asked;                  /* false: no plugin has anything to say, and nothing was made
                                       unless that was wanted */
    uint64_t head;
};

/** Borrowed until `done`, all but `identity`, which is copied. */
struct ml_birth {
    struct ml_slice org, name;
    const struct ml_identity *identity; /* who wants it; NULL: the server */
    bool may_create;                    /* who wants it may write */
    bool is_wanted;           /* make it although no plugin has anything to say about it */
    struct ml_slice template; /* its name; .ptr NULL: none */
    struct ml_slice content;  /* what it begins with, an update; empty: nothing */
    void (*done)(struct ml_birth *birth, const struct ml_birth_result *result);
};

/** Is there a plugin that has to be asked about a new document of that name? */
bool ml_rooms_birth_is_asked(struct ml_rooms *rooms, struct ml_slice org, struct ml_slice name);
/** `done` runs once, maybe before this returns, maybe 20 s later. The rooms are not empty until
 * then. */
void ml_rooms_birth(struct ml_rooms *rooms, struct ml_birth *birth);

#endif
