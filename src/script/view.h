/* SPDX-License-Identifier: MIT */
/* What the files of views share: a view, its kinds, how its fields are found. Private to script/.
 */
#ifndef ML_SCRIPT_VIEW_H
#define ML_SCRIPT_VIEW_H

#include "script/state.h"

enum ml_lent_kind {
    KIND_REQUEST = VIEW_REQUEST,
    KIND_ASK = VIEW_ASK,
    KIND_UPDATE = VIEW_UPDATE,
    KIND_BATCH = VIEW_BATCH,
    KIND_REF = VIEW_REF,
    KIND_EDIT = VIEW_EDIT,
    KIND_CONFLICT = VIEW_CONFLICT,
    /* reached from the others */
    KIND_PAIRS,
    KIND_IDENTITY,
    KIND_AUTHOR,
    KIND_MEMBER,
    KIND_DOC,
    KIND_TEXT,
    KIND_MAP,
    KIND_ARRAY,
    KIND_XML,
    KIND_COUNTER,
    KIND_TX,
    KIND_TX_TEXT,
    KIND_TX_MAP,
    KIND_TX_ARRAY,
    KIND_TX_XML,
    KIND_TX_COUNTER,
    KIND_CHANGE,
    KIND_BASE,
    KIND_SIDE,
    KINDS,
};

/* A userdata of any kind. */
struct ml_lent {
    uint64_t generation;
    enum ml_lent_kind kind;
    const void *subject; /* what the kind is about */
    const void *scope;   /* of an update: struct ml_scope; of pairs: their number */
};

struct ml_lent_field {
    const char *name;
    int id; /* of a field */
    lua_CFunction method;
};

/* One kind: each is defined in the file that reads it. */
struct ml_lent_def {
    const char *name;                   /* in messages */
    const struct ml_lent_field *fields; /* NULL: any name is a field */
    void (*get)(lua_State *L, const struct ml_lent *view, int id);
    size_t bytes; /* of the userdata; 0: none is reused, each has its own */
};

struct doc_subject {
    struct ml_script_ref ref; /* first: a ref is read the same way */
    const struct ml_doc *doc;
    struct ml_doc_port *port; /* may be NULL */
    const char *plugin;       /* who writes; NULL: doc:transact is not for this hook */
};

/* A place in the document at hand, by its path. */
struct ml_shown_view {
    struct ml_lent view; /* subject: struct doc_subject */
    size_t len;
    char path[];
};

struct ml_views {
    uint64_t generation;               /* of the running call; odd while one runs */
    int views[KINDS];                  /* references to the reused userdata */
    const struct ml_lent *lent[KINDS]; /* where they lie: as long as the state is there */
    int pairs[3];                      /* headers, query, cookies */
    int sides[2];                      /* c.current, c.incoming */
    int side_authors[2];
    int metatables[KINDS];
    struct ml_tx *tx;   /* the one transaction that is at work; NULL: none */
    uint64_t tx_number; /* grows when one begins and ends */
    struct doc_subject doc;
};

/* view_request.c */
extern const struct ml_lent_def ml_lent_request, ml_lent_ask, ml_lent_pairs, ml_lent_identity;
/* view_update.c */
extern const struct ml_lent_def ml_lent_update;
/** The argument at 1, whose edits are there from now on. Raises. */
const struct ml_lent *ml_update_looked_at(lua_State *L);
/** u:amend(fn)   [may raise]. amend.c */
int ml_update_amend(lua_State *L);
/* view_edit.c */
extern const struct ml_lent_def ml_lent_edit;
/** Number of the edit at `index`, of this update. Raises. */
size_t ml_edit_check(lua_State *L, int index, const struct ml_script_update *update);
/** Push an edit as a plain table; `of` is a view of its update. */
void ml_edit_push_table(lua_State *L, const struct ml_lent *of, size_t number);
/** u:edits([kind [, pattern]]) -> iterator   [may raise] */
int ml_update_edits(lua_State *L);
/* view_batch.c */
extern const struct ml_lent_def ml_lent_batch, ml_lent_author, ml_lent_member, ml_lent_change;
/** Is anything of it at such a path? Errs on the side of yes. hooks_observe.c */
bool ml_noted_touches(const struct ml_noted *noted, struct ml_slice pattern);
/* view_conflict.c */
extern const struct ml_lent_def ml_lent_conflict, ml_lent_base, ml_lent_side;
/* view_doc.c */
extern const struct ml_lent_def ml_lent_doc, ml_lent_ref;
int ml_doc_transact(lua_State *L); /* view_transact.c */
/** The same of any port, by `plugin`: function at 2, options at 3   [may raise] */
int ml_port_transact(lua_State *L, struct ml_doc_port *port, const char *plugin);
/* view_shown.c */
extern const struct ml_lent_def ml_lent_text, ml_lent_map, ml_lent_array, ml_lent_xml,
    ml_lent_counter;
/* view_tx.c */
extern const struct ml_lent_def ml_lent_tx, ml_lent_tx_text, ml_lent_tx_map, ml_lent_tx_array,
    ml_lent_tx_xml, ml_lent_tx_counter;

static inline struct ml_views *ml_views_of(lua_State *L)
{
    return ml_script_of(L)->views;
}

/** The view at `index`, alive and of this kind, or an error. */
void *ml_view_check(lua_State *L, int index, enum ml_lent_kind kind);
const struct ml_lent_def *ml_lent_kind_def(enum ml_lent_kind kind);
/** Push the reused view `ref`, about `subject`. Allocates nothing. */
void ml_view_push(lua_State *L, int ref, const void *subject, const void *scope);
/**
 * Raise "KIND has no such field: 'KEY'; it has A, B, C". The key is at index 2, the table whose
 * keys are the fields at `fields`.
 */
int ml_view_no_field(lua_State *L, const char *kind, int fields);
/** What a method of the contract is that this version does not have. */
int ml_view_not_yet(lua_State *L);
/** Push the view of a document; `doc` NULL: it is not at hand. */
void ml_view_push_doc(lua_State *L, struct ml_slice org, struct ml_slice document,
                      const struct ml_doc *doc);
/** The same of one that can be asked more, and perhaps written. */
void ml_view_push_doc_at(lua_State *L, const struct doc_subject *subject);
/** Push the handle of a place; `kind` TEXT to COUNTER. view_shown.c */
void ml_shown_push(lua_State *L, enum ml_lent_kind kind, const struct doc_subject *subject,
                   struct ml_slice path);
/** Push the plain value of a place: Lua's own copy. */
void ml_shown_push_value(lua_State *L, const struct ml_doc *doc, const struct ml_shown *at);

void ml_push_slice(lua_State *L, struct ml_slice text);
void ml_push_slice_or_nil(lua_State *L, struct ml_slice text);
void ml_push_list(lua_State *L, const struct ml_slice *items, size_t count);

#endif
