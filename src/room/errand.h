/* SPDX-License-Identifier: MIT */
/*
 * The server itself does something with a document, where it is live: on the loop of its room,
 * which is loaded if need be and kept until this is over. Part of room.h.
 */
#ifndef ML_ROOM_ERRAND_H
#define ML_ROOM_ERRAND_H

/* How far durable observers were told: space of the store, document -> seq. Which orgs have some:
 * the same space of "default" and this instance. */
#define ML_OBSERVER_SPACE "observer"
#define ML_OBSERVER_ORGS  "@orgs"

enum ml_errand_kind {
    ML_ERRAND_OPS,      /* `text` is a list of operations (an encoded Any), written by `instance` */
    ML_ERRAND_CATCH_UP, /* nothing is done: over when durable observers were told what they had
                           missed; ML_EBUSY: one failed, or the journal did */
    ML_ERRAND_TASK,     /* Plugin.tasks[task](doc, args) of `instance`; `text` is JSON */
};

struct ml_errand_result {
    enum ml_err err;      /* ML_OK: what was written is durable. ML_ENOTFOUND: no such document, or
                             (text) task; ML_EDENIED: the document cannot be written, or the task said
                             no; ML_EFORMAT, ML_ELIMIT: the operations; ML_ESCRIPT: the task failed;
                             ML_EBUSY: not now, nothing was done; ML_ECLOSED: it is not known */
    struct ml_slice text; /* why not, for people; of a task that answered: its answer, JSON */
    struct ml_slice kind; /* of a task that answered nil, kind, text */
    uint64_t seq;         /* all of it stands in this record or before */
};

struct ml_errand {
    enum ml_errand_kind kind;
    struct ml_slice org, name, instance, task, text;
    /** Once, on this loop, never from inside ml_rooms_errand; not at all if a loop ends before. */
    void (*done)(void *arg, const struct ml_errand_result *result);
    void *arg;
};

/** Copies. @retval ML_EBUSY  no memory, too many at once, or draining: `done` will not run */
enum ml_err ml_rooms_errand(struct ml_rooms *rooms, const struct ml_errand *errand) ML_MUST_CHECK;

#endif
