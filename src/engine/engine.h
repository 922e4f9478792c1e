/* SPDX-License-Identifier: MIT */
/*
 * The CRDT engine: what a document is and how edits merge, byte-compatible with Yjs 13 and 14.
 *
 * Pure: no clock, no I/O, no logging, no global state. A document belongs to one thread at a time.
 * Memory: a document owns its structs and content in its own slabs; what a call hands out lives in
 * the caller's arena or writer. Positions are UTF-16 units (`_utf16`), clocks are Yjs clocks.
 *
 * The life of an edit: bytes -- ml_update_decode --> update (checked, immutable, document
 * untouched)
 * -- ml_doc_apply --> change (what became visible, and the bytes of the record).
 */
#ifndef ML_ENGINE_ENGINE_H
#define ML_ENGINE_ENGINE_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/slice.h"

/** Yjs client ids reach 2^53-1. */
typedef uint64_t ml_client_id;

/** One unit of content: who wrote it, and its place in all that this client wrote. */
struct ml_id {
    ml_client_id client;
    uint64_t clock;
};

/** Ceilings. A zero field means the default beside it. One struct is shared by many documents. */
struct ml_engine_limits {
    size_t update_bytes;      /* 64 MiB: one encoded update or state (sockets use less) */
    size_t doc_bytes;         /* 256 MiB: memory of one document; beyond: ML_ELIMIT, unchanged */
    size_t pending_bytes;     /* 1 MiB: parked structs and delete ranges of one document */
    uint32_t pending_structs; /* 10 000 */
    uint32_t update_structs;  /* 2 000 000: structs of one V2 update (V1 is bounded by its bytes) */
    uint32_t type_depth;      /* 128: shared types inside shared types */
    uint32_t any_depth;       /* 64: Any and JSON values */
    uint32_t key_bytes;       /* 4 096: map keys, attribute, format and element names */
    uint32_t clients;         /* 100 000 client ids in one document */
};

struct ml_doc;    /* one document; opaque */
struct ml_update; /* a decoded, checked, immutable set of edits; lives in an arena */

/* ---- Updates: bytes without a document ------------------------------------------------------ */

enum ml_update_format { ML_UPDATE_V1 = 1, ML_UPDATE_V2 = 2 };

/**
 * Check V1 bytes from outside and make them an update.
 *
 * Everything is validated before anything is promised: bounds, UTF-8, JSON and Any grammar and
 * depth, kinds, ids, clock overflow, own-client references to the future (spec: hostile input).
 * Zero-length structs and ranges of old writers are dropped. Work and memory are bounded by the
 * bytes present, never by a declared count.
 *
 * @param bytes    borrowed: they must outlive the update
 * @param diag     may be NULL; byte offset and what is wrong
 * @retval ML_EFORMAT, ML_ELIMIT
 * Cost: one walk, about 8 ns a struct.
 */
enum ml_err ml_update_decode(struct ml_arena *arena, struct ml_slice bytes,
                             const struct ml_engine_limits *limits, struct ml_diag *diag,
                             const struct ml_update **update_out) ML_MUST_CHECK;

/** Totals of an update, gathered while decoding. */
struct ml_update_facts {
    size_t bytes;
    uint32_t structs;        /* Skips not counted */
    uint64_t inserted_units; /* of countable content */
    uint64_t inserted_bytes; /* encoded content */
    uint64_t deleted_units;  /* of its delete set; may be known already */
    uint32_t delete_ranges;  /* of its delete set, as they stand there */
    uint32_t keys;           /* structs that carry a map key or attribute name on the wire */
    uint32_t clients;        /* distinct authors of structs */
};
const struct ml_update_facts *ml_update_facts(const struct ml_update *update);
/** No struct and no delete range. */
bool ml_update_is_empty(const struct ml_update *update);

/** What an update holds of one author: units [from, to). Between them may be holes. */
struct ml_author {
    ml_client_id client;
    uint64_t from, to;
};
/** The authors of its structs, in wire order: `*cursor` starts at 0; false at the end. */
bool ml_update_next_author(const struct ml_update *update, uint32_t *cursor, struct ml_author *out);

enum ml_edit_kind {
    ML_EDIT_GC,
    ML_EDIT_DELETED,
    ML_EDIT_JSON,
    ML_EDIT_BINARY,
    ML_EDIT_STRING,
    ML_EDIT_EMBED,
    ML_EDIT_FORMAT,
    ML_EDIT_TYPE,
    ML_EDIT_ANY,
    ML_EDIT_DOC,
};

/** One struct as it stands in an update. All slices borrow from the update's bytes. */
struct ml_edit {
    ml_client_id client;
    uint64_t clock;
    uint64_t len; /* units */
    enum ml_edit_kind kind;
    struct ml_slice root;    /* root name, if the struct names its parent so; else .ptr NULL */
    struct ml_slice key;     /* map key on the wire; else .ptr NULL */
    struct ml_slice content; /* String: the text; others: the encoded V1 body */
};

/** Walk the structs in wire order: `*cursor` starts zeroed ({0}); false at the end. */
struct ml_edit_cursor {
    uint64_t section, index, offset, clock;
};
bool ml_update_next_edit(const struct ml_update *update, struct ml_edit_cursor *cursor,
                         struct ml_edit *out);

/**
 * One update equal to all of `updates` (V1), without a document; byte-equal to Yjs' mergeUpdates.
 * Holes become Skip structs. One input is copied as it is; none gives the empty update.
 * Cost: linear in the bytes when the updates are in causal order; never quadratic.
 */
enum ml_err ml_updates_merge(const struct ml_slice *updates, size_t count,
                             const struct ml_engine_limits *limits, struct ml_arena *scratch,
                             struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;

/** What of `update` a holder of `state_vector` lacks; the delete set whole. As Yjs' diffUpdate. */
enum ml_err ml_update_diff(struct ml_slice update, struct ml_slice state_vector,
                           const struct ml_engine_limits *limits, struct ml_arena *scratch,
                           struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;

/** State vector of an update, as Yjs' encodeStateVectorFromUpdate. */
enum ml_err ml_update_state_vector(struct ml_slice update, const struct ml_engine_limits *limits,
                                   struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;

/** Same content, other format. `from` tells the input; the output is the other one. */
enum ml_err ml_update_convert(struct ml_slice update, enum ml_update_format from,
                              const struct ml_engine_limits *limits, struct ml_arena *scratch,
                              struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;

/**
 * A V1 state that ml_doc_encode_state wrote, as V2; byte-equal to Yjs' encodeStateAsUpdateV2. Not
 * the same as convert, which clears a struct's key bit where the key is not on the wire, as Yjs
 * does.
 */
enum ml_err ml_state_to_v2(struct ml_slice state, const struct ml_engine_limits *limits,
                           struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;

/** One line per struct and delete range, for people; as JSON lines if `json`. */
enum ml_err ml_update_show(struct ml_slice update, bool json, const struct ml_engine_limits *limits,
                           struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;
/** The same in pieces of whole lines, so that a large update needs no large text. */
enum ml_err ml_update_show_lines(struct ml_slice update, bool json,
                                 const struct ml_engine_limits *limits,
                                 enum ml_err (*emit)(void *to, struct ml_slice lines), void *to,
                                 struct ml_diag *diag) ML_MUST_CHECK;

/**
 * Cut a V1 update into self-contained updates of about `part_bytes` each, so that no single frame
 * of a first sync takes too long. Calls `emit` in order. A long text is cut between characters;
 * other structs are never cut.
 */
enum ml_err ml_update_split(struct ml_slice update, size_t part_bytes,
                            const struct ml_engine_limits *limits, struct ml_arena *scratch,
                            enum ml_err (*emit)(void *to, struct ml_slice part, bool last),
                            void *to, struct ml_diag *diag) ML_MUST_CHECK;

/** Is this a well-formed state vector? */
enum ml_err ml_state_vector_check(struct ml_slice state_vector, struct ml_diag *diag) ML_MUST_CHECK;

/* ---- Edits: what an update would do ---------------------------------------------------------- */

enum ml_effect_kind {
    ML_EFFECT_TEXT_INSERT,
    ML_EFFECT_TEXT_DELETE,
    ML_EFFECT_TEXT_FORMAT,
    ML_EFFECT_MAP_SET,
    ML_EFFECT_MAP_DELETE,
    ML_EFFECT_ARRAY_INSERT,
    ML_EFFECT_ARRAY_DELETE,
    ML_EFFECT_XML_INSERT,
    ML_EFFECT_XML_DELETE,
    ML_EFFECT_XML_ATTR, /* set, or (removes) taken away */
    ML_EFFECT_SUBDOC,
    ML_EFFECT_KINDS,
};

/* What a policy made of an edit. */
enum ml_fate {
    ML_FATE_ACCEPTED,
    ML_FATE_UNDONE,   /* as if it had not been made */
    ML_FATE_REMOVED,  /* what came is gone, what went for it is gone as well */
    ML_FATE_REPLACED, /* something else comes */
};

/** One edit of an update, seen against the document that it has not gone into yet. */
struct ml_effect {
    enum ml_fate fate;
    enum ml_effect_kind kind;
    bool removes; /* units that are there go; else units come */
    bool waited;  /* it is of an earlier update, which lacked something that comes now */
    struct ml_id id;
    uint64_t len;         /* units from `id` on */
    struct ml_slice path; /* of the container: root, keys and places of the list, "~" and "/" in
                             keys as ~0 and ~1 */
    struct ml_slice path_by_id; /* with "#id" for elements that have that attribute; .ptr NULL: none
                                   has */
    struct ml_slice key;        /* of a map or attribute write; else .ptr NULL */
    struct ml_slice text;       /* a string that comes into a text; else .ptr NULL */
    struct ml_slice tag;        /* of an XML element that comes or goes; else .ptr NULL */
    /* private */
    uint32_t part, item, container;
    uint32_t cut_from, cut_len; /* REPLACED: these units of the struct go */
    struct ml_slice with;       /* and this comes; .ptr NULL: nothing */
};

/** The edits of an update; in memory of an arena. */
struct ml_effects;

/**
 * What would `update` do to `doc`? Structs in the order in which they would go in, then what is
 * deleted. Only what would be seen to change: effects.c tells what is left out and what counts as
 * one. The document is as before; it must not change while the answer is used.
 *
 * @retval ML_ELIMIT  the arena is full, or the document is broken
 * Cost: O(k log n), k structs and deleted runs, and the lists around the types they stand in.
 */
enum ml_err ml_update_effects(struct ml_doc *doc, const struct ml_update *update,
                              struct ml_arena *arena, struct ml_effects **out) ML_MUST_CHECK;
size_t ml_effects_count(const struct ml_effects *effects);
const struct ml_effect *ml_effects_at(const struct ml_effects *effects, size_t number);
/** Does anything that came earlier wait for what has not come yet? */
bool ml_doc_is_waiting(const struct ml_doc *doc);
/** The path with the key in it, as the path of a type there would be. */
void ml_effect_write_path(const struct ml_effect *effect, bool by_id, struct ml_writer *out);
/** Is there something in the update that would have to wait? It is no edit yet. */
bool ml_effects_wait(const struct ml_effects *effects);

/**
 * Where in the list: live units before it, as if the edits before it in the update that it stands
 * behind were in. ML_ENOTFOUND: it has a key. ML_ELIMIT
 */
enum ml_err ml_effect_index(struct ml_effects *effects, const struct ml_effect *effect,
                            uint32_t *index_out) ML_MUST_CHECK;
/**
 * What comes, as JSON: the value of a key; a list of the elements of an array; a format as an
 * object of one member; an embed; the guid of a subdocument. ML_ENOTFOUND: no plain value comes.
 */
enum ml_err ml_effect_value(struct ml_effects *effects, const struct ml_effect *effect,
                            struct ml_writer *out) ML_MUST_CHECK;
/**
 * What was there: deleted text as it is (*is_text_out), else JSON: the value that a key has now,
 * the deleted elements as a list. ML_ENOTFOUND: nothing was there.
 */
enum ml_err ml_effect_before(struct ml_effects *effects, const struct ml_effect *effect,
                             struct ml_writer *out, bool *is_text_out) ML_MUST_CHECK;
/**
 * The text of the whole block after the update: all of a text in an XML element, else the line.
 * ML_ENOTFOUND: it is no edit of a text. Cost: linear in the text.
 */
enum ml_err ml_effect_block_text(struct ml_effects *effects, const struct ml_effect *effect,
                                 struct ml_writer *out) ML_MUST_CHECK;
/** What holds the text of an edit: the unit of the XML element, or of the text. False: a root, or
 * no text. */
bool ml_effect_block(const struct ml_effects *effects, const struct ml_effect *effect,
                     struct ml_id *id_out);

/** Who only proposes: by formats on what would come and on what would go. */
struct ml_proposer {
    struct ml_slice added, removed; /* names of two different formats */
    struct ml_slice author;         /* what the member "author" of their values has to be */
};
/**
 * Is all that the update does to the text in which this edit stands a proposal? What comes is
 * marked as added by the author, what goes has been that, what is somebody else's stays and looks
 * as before, the author's own mark that it should go aside. No edit of a text: it is none.
 * For one update the same `who` every time. ML_ELIMIT
 * Cost: linear in the text, once for each text that the update touches.
 */
enum ml_err ml_effect_is_proposal(struct ml_effects *effects, const struct ml_effect *effect,
                                  const struct ml_proposer *who, bool *is_out) ML_MUST_CHECK;

/*
 * Deciding: a verdict takes the edits with what was made of them (ml_verdict.effects). Who looks at
 * them after a decision sees them as decided.
 */

/** Refuse one edit: see ml_verdict.undo_all. */
void ml_effect_undo(struct ml_effects *effects, size_t number);
/** What it brought does not come. @retval ML_EDENIED  it brings nothing */
enum ml_err ml_effect_remove(struct ml_effects *effects, size_t number) ML_MUST_CHECK;
/**
 * Other text comes: in a text, or as the value of a key. Of a text what is the same in front and at
 * the end is the author's own, the rest is written by the document's client.
 * @retval ML_EDENIED  it is no text and no value of a key
 * @retval ML_EFORMAT  not UTF-8
 */
enum ml_err ml_effect_replace(struct ml_effects *effects, size_t number,
                              struct ml_slice text) ML_MUST_CHECK;
/** Is any of them not simply accepted? */
bool ml_effects_are_judged(const struct ml_effects *effects);

/* ---- Documents ------------------------------------------------------------------------------ */

struct ml_doc_options {
    ml_client_id client;                   /* for what the server itself writes; 0: never writes */
    bool keep_deleted;                     /* gc off: deleted content stays readable */
    const struct ml_engine_limits *limits; /* borrowed, NULL: defaults */
};

/** NULL: out of memory. Costs a few hundred bytes until something is in it. */
struct ml_doc *ml_doc_new(const struct ml_doc_options *options) ML_MUST_CHECK;
void ml_doc_free(struct ml_doc *doc);

/** The client it writes as; 0: none. */
ml_client_id ml_doc_client(const struct ml_doc *doc);
/** Write as another client from now on: after client_taken, with a fresh random id. */
void ml_doc_set_client(struct ml_doc *doc, ml_client_id client);

/** Give back the spare memory blocks that this thread's documents share. Call before a thread ends.
 */
void ml_engine_thread_end(void);

/** What a policy decided about an update before it is integrated. */
struct ml_verdict {
    /**
     * Refuse all of it, by undo: inserted content is integrated as deleted content of the same
     * length (the writer's clock stays gapless), what it deleted is put back as copies by the
     * document's own client, map and attribute writes get their previous value again. All in one
     * change. Needs options.client != 0.
     */
    bool undo_all;
    /** Of this update and this document as it is: each by its own fate. NULL: all accepted. */
    const struct ml_effects *effects;
    /** Structs and deletes that would have to wait: the structs wait as deleted content, the
     * deletes are forgotten. */
    bool undo_waiting;
};

/** What became visible when an update was integrated. Lives in the scratch arena of the call. */
struct ml_change {
    /** V1 update that brings a replica from before to after: the record. Empty slice: nothing new.
     */
    struct ml_slice bytes;
    bool is_received; /* `bytes` are the received ones (same pointer) */
    bool was_pending; /* some structs or deletes of this update wait for others */
    /**
     * Something that would have to wait was dropped: pending is full, or a refused update deletes
     * units that are not here yet. The peer's replica may differ from now on: sync with it from the
     * start.
     */
    bool pending_dropped;
    bool undone;        /* a verdict refused it, or part of it */
    bool holds_waiting; /* `bytes` have also what waits: what was refused is nowhere as it came */
    bool
        client_taken; /* it has structs under the document's own id: go on with ml_doc_set_client */
    uint64_t inserted_units, deleted_units;
    const struct ml_subdoc *subdocs; /* that came or went; their bytes are in the arena */
    size_t subdoc_count;
};

/** A subdocument: an item that names another document, which is synced by itself. */
struct ml_subdoc {
    struct ml_slice guid;    /* two items may name the same document */
    struct ml_slice options; /* an encoded Any */
    ml_client_id client;     /* the id of the item */
    uint64_t clock;
    bool removed; /* of a change: it went */
};

/**
 * Integrate a decoded update.
 *
 * Order-free and idempotent: known structs are skipped, structs whose origins are missing wait in
 * the pending set and are retried by later calls.
 *
 * @param verdict  NULL: everything is accepted
 * @param scratch  holds *change_out; reset by the caller after the message
 *
 * @retval ML_ELIMIT  over a ceiling of the document or out of memory; the document is unchanged
 *
 * Cost: a key typed at the end of the last run: constant, no heap call. Else O(k log n), k structs
 * in the update, n runs of their authors. Never calls back.
 */
enum ml_err ml_doc_apply(struct ml_doc *doc, const struct ml_update *update,
                         const struct ml_verdict *verdict, struct ml_arena *scratch,
                         const struct ml_change **change_out) ML_MUST_CHECK;

/**
 * Did the heap refuse in the middle of a change? The document is of no use then: every call that
 * can answers ML_ELIMIT, and the owner throws it away and loads it again.
 */
bool ml_doc_is_broken(const struct ml_doc *doc);

/** ml_update_decode and ml_doc_apply in one, for loading and for tests. */
enum ml_err ml_doc_apply_bytes(struct ml_doc *doc, struct ml_slice bytes,
                               struct ml_diag *diag) ML_MUST_CHECK;

/** Units that it has of a client: [0, n). What waits for others is not among them. */
uint64_t ml_doc_units_of(const struct ml_doc *doc, ml_client_id client);

/** Would applying it change nothing (structs and deletions all known)? */
bool ml_doc_contains(const struct ml_doc *doc, const struct ml_update *update);

/**
 * V1 state, or what a holder of `state_vector` lacks (an empty slice means everything), pending
 * structs and deletes included. Byte-equal to Yjs' encodeStateAsUpdate.
 * @retval ML_EFORMAT  broken state vector
 */
enum ml_err ml_doc_encode_state(struct ml_doc *doc, struct ml_slice state_vector,
                                struct ml_writer *out) ML_MUST_CHECK;
/**
 * The same as V2. Everything: written from the runs, about twice the time of V1; what a holder
 * lacks goes by way of V1.
 */
enum ml_err ml_doc_encode_state_v2(struct ml_doc *doc, struct ml_slice state_vector,
                                   struct ml_writer *out) ML_MUST_CHECK;
void ml_doc_state_vector(const struct ml_doc *doc, struct ml_writer *out);

/** Counts changes: as long as it stays, every answer of the document stays. */
uint64_t ml_doc_version(const struct ml_doc *doc);

/**
 * The whole state as a blob that all who ask share: encoded once for a version of the document and
 * a format, whoever comes next gets a reference. The bytes are those of ml_doc_encode_state, and of
 * ml_state_to_v2 of them. A state of more than a quarter of limits->doc_bytes is not kept; what is
 * kept goes with the first question after a change, with ml_doc_cool and ml_doc_free.
 *
 * @param blob_out  one reference for the caller
 * Cost: nothing; after a change one encode, about 10 ns a run (V2: twice that).
 */
enum ml_err ml_doc_state_blob(struct ml_doc *doc, enum ml_update_format format,
                              struct ml_blob **blob_out) ML_MUST_CHECK;

/**
 * Nobody is there: give back kept answers, scratch memory and the room that texts have to grow. The
 * document is as before. Cost: one walk; contents move if at least an eighth of them is air.
 */
void ml_doc_cool(struct ml_doc *doc);

struct ml_doc_stats {
    uint64_t runs, deleted_runs, clients;
    uint64_t pending_structs, pending_bytes, pending_deletes;
    uint64_t memory_bytes;
    uint64_t fast_append, fast_delete, general; /* updates by the path they took */
    /**
     * Runs and places looked at so far: what an edit costs, without a clock. It does not depend on
     * the size of the document.
     */
    uint64_t steps;
};
void ml_doc_stats(const struct ml_doc *doc, struct ml_doc_stats *out);

/** Walk everything and check the numbered invariants of the block store; ML_EFORMAT names one. */
enum ml_err ml_doc_check(const struct ml_doc *doc, struct ml_diag *diag) ML_MUST_CHECK;

/* ---- Documents at rest ---------------------------------------------------------------------- */

/**
 * A document as its V2 bytes and a few words, about 100 bytes beside the bytes. It answers what
 * readers ask, byte-equal to the document; the first edit wakes it.
 */
struct ml_parked_doc;

/**
 * The document at rest; the document itself stays and is the caller's to free.
 * @retval ML_EBUSY  something is pending or being written, or somebody watches: not now
 */
enum ml_err ml_doc_park(struct ml_doc *doc, struct ml_parked_doc **parked_out) ML_MUST_CHECK;
void ml_parked_free(struct ml_parked_doc *parked);
/** The document again; `parked` stays. Cost: a load, about 150 ns a run. */
enum ml_err ml_parked_wake(const struct ml_parked_doc *parked, const struct ml_doc_options *options,
                           struct ml_doc **doc_out) ML_MUST_CHECK;
/** Its bytes, a reference for the caller. V2; V1 where V2 would not bring back the same bytes. */
struct ml_blob *ml_parked_blob(const struct ml_parked_doc *parked,
                               enum ml_update_format *format_out);
/** Memory it holds, bytes included. */
size_t ml_parked_memory_bytes(const struct ml_parked_doc *parked);

enum ml_err ml_parked_state_vector(const struct ml_parked_doc *parked,
                                   struct ml_writer *out) ML_MUST_CHECK;
/** As ml_doc_encode_state. Cost: about 65 ns a run. */
enum ml_err ml_parked_encode_state(const struct ml_parked_doc *parked, struct ml_slice state_vector,
                                   struct ml_writer *out) ML_MUST_CHECK;
/** As ml_doc_contains. Without deletions in the update it costs nothing. */
enum ml_err ml_parked_contains(const struct ml_parked_doc *parked, const struct ml_update *update,
                               bool *contains_out) ML_MUST_CHECK;
/** State and updates (V1) as one V1 update: ml_updates_merge with the state in front. */
enum ml_err ml_parked_merge(const struct ml_parked_doc *parked, const struct ml_slice *updates,
                            size_t count, const struct ml_engine_limits *limits,
                            struct ml_arena *scratch, struct ml_writer *out,
                            struct ml_diag *diag) ML_MUST_CHECK;

/* ---- Reading -------------------------------------------------------------------------------- */

/* Roots are untyped: each call says how to look at one. An unknown root reads as empty. */
enum ml_view {
    ML_VIEW_TEXT,
    ML_VIEW_DELTA,
    ML_VIEW_JSON,
    ML_VIEW_XML,
    ML_VIEW_MARKDOWN,
    ML_VIEW_HTML,
};

/**
 * A root as UTF-8: plain text; Quill delta as JSON; JSON (a map or list as it looks, `ML_VIEW_JSON`
 * of a root with both keys and children is an object if it has keys); XML as Yjs prints it
 * (nothing escaped). Bytes print as {"$bytes":"hex"}, bigints as decimal strings. Markdown and HTML
 * of a text as Quill means it, or of XML as ProseMirror and Tiptap fill it: escaped, addresses of
 * http, https and mailto only, so that neither holds anything that runs.
 */
enum ml_err ml_doc_read(const struct ml_doc *doc, struct ml_slice root, enum ml_view view,
                        struct ml_writer *out) ML_MUST_CHECK;

/**
 * The living subdocuments, by author and clock: `*cursor` starts zeroed; false at the end. Borrows
 * from the document, which must not change meanwhile. Cost of all of it: a walk over the runs.
 */
struct ml_subdoc_cursor {
    uint32_t slot, clock;
};
bool ml_doc_next_subdoc(const struct ml_doc *doc, struct ml_subdoc_cursor *cursor,
                        struct ml_subdoc *out);

/** Names of the roots, in order of appearance. `*cursor` starts at 0; false at the end. */
bool ml_doc_next_root(const struct ml_doc *doc, uint32_t *cursor, struct ml_slice *name_out);

enum ml_value_kind {
    ML_VALUE_ANY, /* plain; bytes become content Binary, as in Yjs */
    ML_VALUE_ARRAY,
    ML_VALUE_MAP,
    ML_VALUE_TEXT,
    ML_VALUE_XML_ELEMENT,
    ML_VALUE_XML_FRAGMENT,
    ML_VALUE_XML_HOOK,
    ML_VALUE_XML_TEXT,
    ML_VALUE_DOC, /* a subdocument */
};

/**
 * What stands at one place of a document: a shared type, or a plain value. Good until the document
 * changes.
 */
struct ml_shown {
    uint32_t branch, item, unit; /* private */
};

/**
 * By a path as text, from a root down: "meta/tasks/7". `/` in a key is ~1, `~` is ~0; digits mean a
 * key if there is one, else an index; #x the first element below whose attribute id is x.
 * False: nothing there. Cost: a step by index or #id walks over the list.
 */
bool ml_shown_at(const struct ml_doc *doc, struct ml_slice path, struct ml_shown *out);
bool ml_shown_root(const struct ml_doc *doc, struct ml_slice name, struct ml_shown *out);
/** The unit that holds it, which stays what it is while positions move. False: a root. */
bool ml_shown_id(const struct ml_doc *doc, const struct ml_shown *at, struct ml_id *out);
bool ml_shown_key(const struct ml_doc *doc, const struct ml_shown *in, struct ml_slice key,
                  struct ml_shown *out);
bool ml_shown_index(const struct ml_doc *doc, const struct ml_shown *in, uint32_t index,
                    struct ml_shown *out);
/** ANY, DOC, or what kind of type; a root is what it looks like. */
enum ml_value_kind ml_shown_kind(const struct ml_doc *doc, const struct ml_shown *at);
/** Of an XML element; else .ptr NULL. Borrows from the document. */
struct ml_slice ml_shown_name(const struct ml_doc *doc, const struct ml_shown *at);
/** Live units of its list; 0 of a value. */
uint32_t ml_shown_length(const struct ml_doc *doc, const struct ml_shown *at);
/** Keys or attributes, in no order: `*cursor` starts at 0; false at the end. */
bool ml_shown_next_key(const struct ml_doc *doc, const struct ml_shown *in, uint32_t *cursor,
                       struct ml_slice *key, struct ml_shown *out);
/** Units of its list, in order: the cursor starts zeroed; false at the end. */
struct ml_shown_cursor {
    uint32_t item, unit; /* private */
    bool has_begun, is_over;
};
bool ml_shown_next(const struct ml_doc *doc, const struct ml_shown *in,
                   struct ml_shown_cursor *cursor, struct ml_shown *out);
/** Its plain value, types as what they show, as one Any: shown.c. */
enum ml_err ml_shown_any(const struct ml_doc *doc, const struct ml_shown *at,
                         struct ml_writer *out) ML_MUST_CHECK;
/** A type as ml_doc_read shows a root. ML_ENOTFOUND: a plain value */
enum ml_err ml_shown_read(const struct ml_doc *doc, const struct ml_shown *at, enum ml_view view,
                          struct ml_writer *out) ML_MUST_CHECK;
/** Of a counter (ml_counter_add): the sum of the numbers under its keys. */
double ml_shown_sum(const struct ml_doc *doc, const struct ml_shown *at);

/* ---- Writing -------------------------------------------------------------------------------- */

/*
 * A document with a client id of its own writes as any Yjs client does:
 *
 *   ml_doc_begin --> ml_type_root, ml_text_insert, ml_map_set, ... --> ml_doc_commit: one change
 *                                                                  \-> ml_doc_rollback: as before
 *
 * Between begin and commit the document belongs to the writer: reads show what was written so far,
 * other changes and encodings wait (an assertion says so). A call that fails has changed nothing
 * and the transaction goes on; why it failed stands in the diag given to begin:
 *
 *   ML_ENOTFOUND  the type is deleted, no type is there, an index is out of range
 *   ML_EFORMAT    text, a key or a value that no document can hold
 *   ML_ELIMIT     over a ceiling (doc_bytes, type_depth, any_depth, key_bytes, 2^32 clocks); or out
 *                 of memory in the middle: the document is broken then, and commit says so, too
 *
 * Indexes count UTF-16 units in texts, elements in lists. A character of two units is never cut: an
 * index inside it means the place before it, and a range that touches one half takes it whole.
 *
 * Cost: O(log n) in the runs of the type; the first edit far from the start of a long one is linear
 * and leaves an index of positions behind. Attributes in force are gathered from the formats before
 * the place.
 */

/** A shared type: a value, good as long as the document; a deleted one answers ML_ENOTFOUND. */
struct ml_type {
    uint32_t root, slot, clock; /* private */
};

/** Something to put into a list, a map or a text: a plain value, or a new type with its content. */
struct ml_value {
    enum ml_value_kind kind;
    struct ml_slice any;  /* ANY: one encoded Any; DOC: its options, an Any object, or empty */
    struct ml_slice text; /* TEXT, XML_TEXT: what it begins with; XML_ELEMENT, XML_HOOK: its name;
                             DOC: its guid */
    const struct ml_entry *entries; /* MAP, XML_HOOK: entries; XML_ELEMENT: attributes */
    size_t entry_count;
    const struct ml_value *values; /* ARRAY: elements; XML_ELEMENT, XML_FRAGMENT: children */
    size_t value_count;
};

struct ml_entry {
    struct ml_slice key;
    struct ml_value value;
};

/** A format of text: name and value, an encoded Any; null ends it. */
struct ml_attr {
    struct ml_slice key, any;
};

struct ml_attrs {
    const struct ml_attr *at;
    size_t count;
};

enum ml_delta_kind { ML_DELTA_INSERT, ML_DELTA_EMBED, ML_DELTA_RETAIN, ML_DELTA_DELETE };

/** One step of a Quill delta. No attrs: an insert is plain, a retain changes no format. */
struct ml_delta_op {
    enum ml_delta_kind kind;
    uint32_t len_utf16;           /* RETAIN, DELETE */
    struct ml_slice text;         /* INSERT */
    const struct ml_value *embed; /* EMBED */
    const struct ml_attrs *attrs;
};

/**
 * @param diag  borrowed until commit or rollback, may be NULL
 * @retval ML_EDENIED  the document has no client id of its own
 */
enum ml_err ml_doc_begin(struct ml_doc *doc, struct ml_diag *diag) ML_MUST_CHECK;
/**
 * End the transaction: collect, join, and hand out what changed, as ml_doc_apply does. Nothing
 * written: an empty slice. @retval ML_ELIMIT  the document is broken
 */
enum ml_err ml_doc_commit(struct ml_doc *doc, struct ml_arena *scratch,
                          const struct ml_change **change_out) ML_MUST_CHECK;
/** End the transaction and take back all of it: same state, same clocks. Cost: what was written. */
void ml_doc_rollback(struct ml_doc *doc);

/** A root by name; it comes into being when something is written into it. */
enum ml_err ml_type_root(struct ml_doc *doc, struct ml_slice name,
                         struct ml_type *out) ML_MUST_CHECK;
/** The type at a key (or attribute), or at an index of the list. */
enum ml_err ml_type_at_key(struct ml_doc *doc, struct ml_type in, struct ml_slice key,
                           struct ml_type *out) ML_MUST_CHECK;
enum ml_err ml_type_at_index(struct ml_doc *doc, struct ml_type in, uint32_t index,
                             struct ml_type *out) ML_MUST_CHECK;
/** The type that the item with this id holds. */
enum ml_err ml_type_by_id(struct ml_doc *doc, ml_client_id client, uint64_t clock,
                          struct ml_type *out) ML_MUST_CHECK;
/** By a path as text, as ml_shown_at; a root comes into being when something is written into it. */
enum ml_err ml_type_at_path(struct ml_doc *doc, struct ml_slice path,
                            struct ml_type *out) ML_MUST_CHECK;
/** The same; if only the last key is missing it becomes an empty map. In a transaction only. */
enum ml_err ml_map_at_path(struct ml_doc *doc, struct ml_slice path,
                           struct ml_type *out) ML_MUST_CHECK;
/** Live units of its list: the length of a text, a list, the children of an element. */
enum ml_err ml_type_length(struct ml_doc *doc, struct ml_type type,
                           uint32_t *length_out) ML_MUST_CHECK;

/** @param attrs  NULL: as the text around it */
enum ml_err ml_text_insert(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                           struct ml_slice inserted, const struct ml_attrs *attrs) ML_MUST_CHECK;
/** An embed (a plain value) or a new type in a text. @param attrs  NULL: none, as in Yjs */
enum ml_err ml_text_embed(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                          const struct ml_value *embed, const struct ml_attrs *attrs) ML_MUST_CHECK;
enum ml_err ml_text_delete(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                           uint32_t len_utf16) ML_MUST_CHECK;
/** A range that ends behind the text is filled with line feeds, as in Yjs. */
enum ml_err ml_text_format(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                           uint32_t len_utf16, const struct ml_attrs *attrs) ML_MUST_CHECK;
/** Delete and insert: what comes has the formats of what goes. */
enum ml_err ml_text_replace(struct ml_doc *doc, struct ml_type text, uint32_t index_utf16,
                            uint32_t len_utf16, struct ml_slice inserted) ML_MUST_CHECK;
/** Make it this text by replacing what differs between the equal start and the equal end. */
enum ml_err ml_text_set(struct ml_doc *doc, struct ml_type text,
                        struct ml_slice wanted) ML_MUST_CHECK;
enum ml_err ml_text_apply_delta(struct ml_doc *doc, struct ml_type text,
                                const struct ml_delta_op *ops, size_t count) ML_MUST_CHECK;

/* Lists, and the children of XML types. */
enum ml_err ml_list_insert(struct ml_doc *doc, struct ml_type list, uint32_t index,
                           const struct ml_value *values, size_t count) ML_MUST_CHECK;
/** Behind everything that ever stood in the list, deleted elements included. */
enum ml_err ml_list_push(struct ml_doc *doc, struct ml_type list, const struct ml_value *values,
                         size_t count) ML_MUST_CHECK;
enum ml_err ml_list_delete(struct ml_doc *doc, struct ml_type list, uint32_t index,
                           uint32_t len) ML_MUST_CHECK;

/**
 * The element at `from` goes, a copy of it, formats and all, comes to stand at index `to`. What
 * others write into the original meanwhile is lost. ML_EFORMAT: text is no element
 */
enum ml_err ml_list_move(struct ml_doc *doc, struct ml_type list, uint32_t from,
                         uint32_t to) ML_MUST_CHECK;

/* Keys of maps, attributes of XML elements and texts. */
enum ml_err ml_map_set(struct ml_doc *doc, struct ml_type map, struct ml_slice key,
                       const struct ml_value *value) ML_MUST_CHECK;
/** A key that is not there: nothing happens. */
enum ml_err ml_map_delete(struct ml_doc *doc, struct ml_type map,
                          struct ml_slice key) ML_MUST_CHECK;
enum ml_err ml_map_clear(struct ml_doc *doc, struct ml_type map) ML_MUST_CHECK;
/**
 * A counter is a map of writer to sum: each writes under its own client id, so additions at the
 * same time all count. ML_EFORMAT: no finite number
 */
enum ml_err ml_counter_add(struct ml_doc *doc, struct ml_type counter, double more) ML_MUST_CHECK;

/**
 * Operations as data, all or none: begin, every one of them, commit; after an error rollback.
 * `ops` is one encoded Any, a list; write_ops.c tells what may stand in it.
 * @param diag  its text tells the number of the operation that failed
 */
enum ml_err ml_doc_run_ops(struct ml_doc *doc, struct ml_slice ops, struct ml_arena *scratch,
                           struct ml_diag *diag, const struct ml_change **change_out) ML_MUST_CHECK;
/** One of them, an encoded Any, in the transaction that is under way. Its diag says what failed. */
enum ml_err ml_doc_run_op(struct ml_doc *doc, struct ml_slice op,
                          struct ml_arena *scratch) ML_MUST_CHECK;
/** JSON text as one encoded Any, for values and operations. ML_EFORMAT, ML_ELIMIT (depth) */
enum ml_err ml_any_from_json(struct ml_slice json, const struct ml_engine_limits *limits,
                             struct ml_writer *out) ML_MUST_CHECK;

/* ---- Versions ------------------------------------------------------------------------------- */

/**
 * A snapshot is a moment of a document in a few bytes: what was there by then (a state vector) and
 * what of it was deleted. It holds no content: reading it takes a document that still has what was
 * deleted since, so one that keeps deleted content (options.keep_deleted). Without that, going back
 * needs the bytes of the old state: ml_doc_revert.
 */
struct ml_snapshot;

/** The moment that is now. Byte-equal to Yjs' encodeSnapshot and encodeSnapshotV2. */
enum ml_err ml_doc_snapshot(struct ml_doc *doc, enum ml_update_format format,
                            struct ml_writer *out) ML_MUST_CHECK;

/**
 * Check bytes from outside and make them a snapshot. The two formats do not tell themselves apart.
 * Nothing is allocated by a declared count; what follows the end is refused.
 * @retval ML_EFORMAT, ML_ELIMIT
 */
enum ml_err ml_snapshot_decode(struct ml_arena *arena, struct ml_slice bytes,
                               enum ml_update_format format, const struct ml_engine_limits *limits,
                               struct ml_diag *diag,
                               const struct ml_snapshot **snapshot_out) ML_MUST_CHECK;
void ml_snapshot_encode(const struct ml_snapshot *snapshot, enum ml_update_format format,
                        struct ml_writer *out);
/** Was everything in the update there by then, and everything it deletes deleted? */
bool ml_snapshot_contains(const struct ml_snapshot *snapshot, const struct ml_update *update);

/**
 * V1 update that makes an empty document what this one was at the snapshot.
 * @retval ML_ENOTFOUND  it has never been there, or its content has been collected
 * Cost: linear in the runs of the document.
 */
enum ml_err ml_doc_restore(const struct ml_doc *doc, const struct ml_snapshot *snapshot,
                           struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;
/** A root at the snapshot, as ml_doc_read. Errors and cost as ml_doc_restore, and its memory. */
enum ml_err ml_doc_read_at(const struct ml_doc *doc, const struct ml_snapshot *snapshot,
                           struct ml_slice root, enum ml_view view, struct ml_writer *out,
                           struct ml_diag *diag) ML_MUST_CHECK;
/**
 * What became of a text between two snapshots: a delta, as JSON, of everything that was to be seen
 * at either, where what is gone has the attribute ychange {"type":"removed"} and what is new
 * {"type":"added"}; formats as in `to`.
 * @retval ML_ENOTFOUND  content of one of them has been collected
 */
enum ml_err ml_doc_read_changes(const struct ml_doc *doc, const struct ml_snapshot *from,
                                const struct ml_snapshot *to, struct ml_slice root,
                                struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;

/**
 * V1 update that brings back the view of an old state, however long ago and whatever was collected
 * since: apply it and send it on like any client's.
 *
 * @param old_state  V1 state of that time, from outside
 * @param client     writes the update: an id that nobody has used
 * @retval ML_ECONFLICT  the client has written in this document already
 * Cost: loading the old state, and what has changed since; its memory.
 */
enum ml_err ml_doc_revert(struct ml_doc *doc, struct ml_slice old_state, ml_client_id client,
                          struct ml_writer *out, struct ml_diag *diag) ML_MUST_CHECK;

/* ---- Positions ------------------------------------------------------------------------------ */

/** A shared type by what it is for good: a root by its name, or what the unit `holder` holds. */
struct ml_place {
    struct ml_slice root; /* .ptr NULL: not a root */
    struct ml_id holder;
};

/** One step from a type to a type in it. */
struct ml_path_step {
    struct ml_slice key; /* .ptr NULL: it stands in the list, at `index` */
    uint32_t index;
};

/** From a root down. `root` of the place borrows from here. @retval ML_ENOTFOUND  no type there */
enum ml_err ml_doc_find(const struct ml_doc *doc, struct ml_slice root,
                        const struct ml_path_step *steps, size_t count,
                        struct ml_place *out) ML_MUST_CHECK;

/** A position that stays put while others edit: beside a unit, or at the start or end of a type. */
struct ml_relpos {
    bool has_unit, has_type; /* one at least */
    struct ml_id unit;       /* beside this one */
    struct ml_place type; /* the root borrows from the bytes, arena or document that it came from */
    int64_t assoc; /* >= 0: before the unit, or at the end; < 0: behind it, or at the start */
};

/**
 * A position in a type's list, as Yjs' createRelativePositionFromTypeIndex; an index beyond the end
 * is the end. @retval ML_ENOTFOUND  there is no such type, or it is deleted
 * Cost: linear in the runs before it.
 */
enum ml_err ml_relpos_make(const struct ml_doc *doc, const struct ml_place *type, uint32_t index,
                           int64_t assoc, struct ml_relpos *out) ML_MUST_CHECK;
/**
 * Where it is now. A unit that undo has put back is looked for where it stands now.
 *
 * @param type_out  the type in whose list the index counts; may be NULL
 * @retval ML_ENOTFOUND  not there yet, collected, or in no list
 */
enum ml_err ml_relpos_resolve(const struct ml_doc *doc, const struct ml_relpos *position,
                              uint32_t *index_out, struct ml_place *type_out) ML_MUST_CHECK;

/** Bytes as Yjs writes them; anything else, or more, is refused. `root` borrows from `bytes`. */
enum ml_err ml_relpos_decode(struct ml_slice bytes, struct ml_relpos *out,
                             struct ml_diag *diag) ML_MUST_CHECK;
void ml_relpos_encode(const struct ml_relpos *position, struct ml_writer *out);
/** {"type":{"client":,"clock":},"tname":,"item":{…},"assoc":}; members that are null may be
 * missing. Unknown members are passed over. */
enum ml_err ml_relpos_from_json(struct ml_arena *arena, struct ml_slice json, struct ml_relpos *out,
                                struct ml_diag *diag) ML_MUST_CHECK;
void ml_relpos_to_json(const struct ml_relpos *position, struct ml_writer *out);

/* ---- What has changed ------------------------------------------------------------------------ */

enum ml_key_action { ML_KEY_ADDED, ML_KEY_UPDATED, ML_KEY_DELETED };

/** A key of a map, an attribute. */
struct ml_key_change {
    struct ml_slice key;
    enum ml_key_action action;
    struct ml_slice before, after; /* JSON as ml_doc_read shows it; .ptr NULL: none */
};

enum ml_list_action { ML_LIST_RETAIN, ML_LIST_INSERT, ML_LIST_DELETE };

/** One step along a list, as in a Quill delta. A retain at the end is left out. */
struct ml_list_change {
    enum ml_list_action action;
    uint32_t len; /* units: UTF-16 for text */
    /* What was inserted or deleted: text, or a JSON list. The other one is .ptr NULL. What a
     * deleted shared type held is not told: it shows as empty. */
    struct ml_slice text, values;
    /* JSON object: insert: formats in force; retain: those that changed, null: ended. .ptr NULL:
     * none
     */
    struct ml_slice formats;
};

/** What one transaction did to one shared type. New and deleted types are told by what holds them.
 */
struct ml_event {
    const struct ml_event *next;
    struct ml_slice root; /* the path of the type, after the transaction */
    const struct ml_path_step *steps;
    size_t step_count;
    bool is_root;
    uint8_t type_ref;     /* of a nested type: 0 array, 1 map, 2 text, 3 XML element, ... */
    struct ml_slice name; /* of a nested XML element or hook; else .ptr NULL */
    const struct ml_key_change *keys;
    size_t key_count;
    const struct ml_list_change *list;
    size_t list_count;
};

struct ml_listener;

/**
 * Tell what every transaction (apply, commit, undo) does, from now to ml_doc_unlisten; the document
 * takes no short cuts meanwhile. Without a listener this costs nothing.
 *
 * @param arena  holds the listener and everything that is told; until after unlisten
 * Cost: the lists that were touched, from their start: linear in their runs.
 */
enum ml_err ml_doc_listen(struct ml_doc *doc, struct ml_arena *arena,
                          struct ml_listener **listener_out) ML_MUST_CHECK;
/**
 * @param events_out  the first event, in the order of the transactions; NULL: nothing was changed
 * @retval ML_ELIMIT  the arena was full: some is missing. The document is all right.
 */
enum ml_err ml_doc_unlisten(struct ml_doc *doc, struct ml_listener *listener,
                            const struct ml_event **events_out) ML_MUST_CHECK;

/* ---- Undo ----------------------------------------------------------------------------------- */

/**
 * The steps of some authors in some roots of one document, and going back and forth through them.
 * Others' edits are left alone. Needs a client id: what comes back is written by it.
 *
 * A document with a history takes no short cuts for typing and deleting, and keeps the content of
 * what can come back. Several histories of one document are fine; each is freed before it.
 */
struct ml_history;

struct ml_history_options {
    const struct ml_slice *roots; /* borrowed for the call; none: everything, later roots too */
    size_t root_count;
    const uint64_t *origins; /* borrowed for the call: whose transactions are steps; 0 is nobody */
    size_t origin_count;
    uint64_t join_ms;    /* a transaction that soon after the last one is the same step; Yjs: 500 */
    uint32_t steps_max;  /* 100; beyond, the oldest go */
    uint32_t ranges_max; /* 100 000 ranges of ids in all steps; beyond, the oldest go */
};

/** NULL: out of memory. */
struct ml_history *ml_history_new(struct ml_doc *doc,
                                  const struct ml_history_options *options) ML_MUST_CHECK;
void ml_history_free(struct ml_history *history);

/** Whose the transactions (applies, commits) are from now on, and the time. 0: nobody's. */
void ml_doc_set_origin(struct ml_doc *doc, uint64_t origin, uint64_t now_ms);

/**
 * Undo the newest step that still has something to undo; the change is recorded and sent like any
 * other. Same ids, same bytes as Yjs' UndoManager.
 *
 * @retval ML_ENOTFOUND  nothing to undo; *change_out is not set, or has no bytes
 * @retval ML_ELIMIT     over a ceiling: the document is unchanged; out of memory: it is broken
 */
enum ml_err ml_history_undo(struct ml_history *history, struct ml_arena *scratch,
                            const struct ml_change **change_out) ML_MUST_CHECK;
/** Undo the last undo. Steps to redo are forgotten when a tracked author goes on. */
enum ml_err ml_history_redo(struct ml_history *history, struct ml_arena *scratch,
                            const struct ml_change **change_out) ML_MUST_CHECK;
/** The next transaction begins a step, however soon. */
void ml_history_stop_joining(struct ml_history *history);
/** Forget all steps. */
void ml_history_clear(struct ml_history *history);
void ml_history_counts(const struct ml_history *history, uint32_t *undo_out, uint32_t *redo_out);

#include "engine/collide.h"

#endif
