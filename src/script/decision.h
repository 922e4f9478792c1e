/* SPDX-License-Identifier: MIT */
/*
 * An update on its way in, and what is decided about it. Part of script.h.
 *
 *   init -> grants, authorize_edit, before_update: each sees the edits as decided so far
 *        -> ml_script_verdict: for ml_doc_apply; refusals: for the writer
 *
 * Edits are looked at when somebody asks for the first time, once (engine: ml_update_effects).
 */
#ifndef ML_SCRIPT_DECISION_H
#define ML_SCRIPT_DECISION_H

#include "base/arena.h"
#include "base/err.h"
#include "engine/engine.h"

/** A denial, as ml.deny(code, reason, extra) made it. Text for people. */
struct ml_denial {
    struct ml_slice code; /* "<plugin>.<code>" */
    struct ml_slice reason;
    bool fence;      /* mode = "fence" */
    uint32_t status; /* HTTP status wished for, 0: default */
};

/** Why one edit was refused. */
struct ml_script_refusal {
    struct ml_denial denial;
    size_t edit; /* number among the effects */
};

/** What a plugin wrote on an update: for later plugins and observers. */
struct ml_script_label {
    struct ml_slice name, json;
};

#define ML_LABELS_MAX       32
#define ML_LABEL_NAME_MAX   64
#define ML_LABEL_BYTES_MAX  1024
#define ML_LABELS_BYTES_MAX 8000 /* all of an update, as JSON; a record takes no more */

/** What a plugin writes on top of an update: a function of Lua, kept until all have answered. */
struct ml_script_amendment {
    void *handler, *state; /* private */
    int ref;
};
#define ML_AMENDMENTS_MAX 8

/** Everything in it lives in `scratch`, or is borrowed. */
struct ml_script_update {
    const struct ml_update *update;
    struct ml_doc *doc; /* as it is before; not changed while this is used */
    struct ml_arena *scratch;
    struct ml_effects *effects; /* NULL: nobody has asked yet */
    struct ml_script_refusal *refusals;
    size_t refusal_count, refusal_cap;
    struct ml_script_label labels[ML_LABELS_MAX];
    size_t label_count;
    struct ml_script_amendment amendments[ML_AMENDMENTS_MAX];
    size_t amendment_count;
    bool proposes; /* its author may only propose, somewhere */
    /** Edits that are refused, for these reasons, unless a plugin makes proposals of them. */
    struct ml_script_refusal *owed;
    size_t owed_count, owed_cap;
    /* Of the question that is being asked. */
    size_t current;     /* authorize_edit: number of the edit */
    const char *plugin; /* who is asked */
    void *asked;        /* private: its handler */
};

void ml_script_update_init(struct ml_script_update *u, const struct ml_update *update,
                           struct ml_doc *doc, struct ml_arena *scratch);
/** u->effects is there from now on. @retval ML_ELIMIT  too large to be looked at */
enum ml_err ml_script_update_look(struct ml_script_update *u) ML_MUST_CHECK;
/** Refuse one edit; the denial is copied. A second refusal of the same edit is not noted. */
enum ml_err ml_script_update_refuse(struct ml_script_update *u, size_t edit,
                                    const struct ml_denial *denial) ML_MUST_CHECK;
/** Such an edit may only be proposed, and is no proposal yet. The denial is copied. */
enum ml_err ml_script_update_owe(struct ml_script_update *u, size_t edit,
                                 const struct ml_denial *denial) ML_MUST_CHECK;
/** A plugin makes a proposal of it, or it may be written as it is. */
void ml_script_update_propose(struct ml_script_update *u, size_t edit);
/** Refuse what is still owed. */
enum ml_err ml_script_update_refuse_owed(struct ml_script_update *u) ML_MUST_CHECK;
/** What plugins wrote on it, as one JSON object. */
void ml_script_update_print_labels(const struct ml_script_update *u, struct ml_writer *out);
/** Was anything decided that is more than yes? */
bool ml_script_update_is_judged(const struct ml_script_update *u);

#endif
