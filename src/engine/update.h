/* SPDX-License-Identifier: MIT */
/* A decoded update from inside, and the order in which its structs go in. Private to engine/. */
#ifndef ML_ENGINE_UPDATE_H
#define ML_ENGINE_UPDATE_H

#include "engine/item.h"

/** Structs of one client in a row. */
struct ml_section {
    ml_client_id client;
    uint64_t first_clock, end_clock; /* end: behind the last struct that is no Skip */
    uint64_t prefix_end;             /* behind the last struct before the first Skip */
    uint64_t structs;                /* as announced, with Skips and dropped ones */
    size_t offset;                   /* of the first struct in the bytes */
    uint64_t own_bytes, own_mask;    /* the client as its bytes on the wire (ml_wire_reader) */
    uint8_t own_len;
};

/**
 * What typing sends, one key at a time. Recognised while it is read: every number has its shortest
 * form and nothing follows, so that the bytes are those of the record.
 */
enum ml_update_shape { ML_SHAPE_OTHER, ML_SHAPE_TYPED, ML_SHAPE_ERASED };

/** TYPED: one text whose left origin is its author's unit before it, and nothing deleted. */
struct ml_typed {
    ml_client_id client;
    uint64_t clock, units;
    struct ml_slice text;
    struct ml_id right; /* right origin, if there is one */
    bool has_right;
};

struct ml_update {
    struct ml_slice bytes;
    enum ml_update_shape shape;
    struct ml_update_facts facts;
    const struct ml_section *sections; /* in wire order, no client twice */
    uint32_t section_count;
    bool descending; /* sections stand in descending order of clients */
    size_t delete_set_offset;
    size_t end_offset;          /* what follows is ignored */
    struct ml_section one;      /* where `sections` stand if there is a single one */
    struct ml_typed typed;      /* TYPED */
    struct ml_wire_range range; /* ERASED: the one delete range, nothing else */
};

/**
 * Is this what typing sends (TYPED)? Then it is valid as it stands, from byte 2 on its section,
 * from
 * `*struct_offset_out` to the last byte but one its struct.
 */
bool ml_update_read_typed(struct ml_slice bytes, const struct ml_engine_limits *limits,
                          struct ml_typed *typed_out, size_t *struct_offset_out);
/** Read the structs of a section once more. */
void ml_update_reread(const struct ml_update *u, const struct ml_section *s,
                      struct ml_wire_reader *r);
/** Read the delete set once more. */
void ml_update_reread_ranges(const struct ml_update *u, struct ml_wire_reader *r);

/* ---- schedule.c
 * ---------------------------------------------------------------------------------------------- */

enum ml_source_state { ML_SOURCE_FRESH, ML_SOURCE_STACKED, ML_SOURCE_BLOCKED, ML_SOURCE_DONE };

struct ml_judgement; /* effects.h */

/** Structs of one client that want to go in, from an update or from pending. */
struct ml_source {
    ml_client_id client;
    enum ml_source_state state;
    bool has_next;
    const struct ml_judgement *judgement; /* borrowed; NULL: everything is accepted */
    struct ml_wire next;                  /* the first that has not gone in */
    struct ml_wire rest;                  /* what `next` was cut off from */
    bool has_rest;
    struct ml_id missing;            /* what it waits for */
    struct ml_wire_reader reader;    /* of an update, or */
    struct ml_parked_client *parked; /* of pending: not NULL */
    uint32_t parked_at;              /* `next` is parked->at[parked_at] */
};

/** Step to the next struct that is no Skip. */
void ml_source_advance(struct ml_source *s);
/**
 * Integrate everything that can go in. `sources` are sorted by client ascending; `stack` has room
 * for `count` numbers. Afterwards every source is done or blocked. False: out of memory.
 */
bool ml_sources_run(struct ml_doc *doc, struct ml_source *sources, uint32_t count, uint32_t *stack);

/* ---- apply.c
 * --------------------------------------------------------------------------------------------------
 */

/**
 * change->bytes: what brings a replica from before the transaction to after it; the same slice as
 * `received` (may be empty) if those are the bytes. False: out of memory.
 */
bool ml_txn_write_record(struct ml_doc *doc, struct ml_slice received, struct ml_arena *scratch,
                         struct ml_change *change);

/* ---- undo.c
 * ----------------------------------------------------------------------------------------------------
 */

/** Content becomes deleted content of the same length. */
void ml_wire_refuse(struct ml_wire *s);
/**
 * Make `s` what the judgement lets through of its first units; the others are `rest` then.
 * True: there are others.
 */
bool ml_wire_judge(const struct ml_judgement *judgement, struct ml_wire *s, struct ml_wire *rest);
/**
 * Put back what this transaction has deleted and the judgement keeps, as copies by the document's
 * own client.
 */
bool ml_txn_restore(struct ml_doc *doc, const struct ml_judgement *judgement);

#endif
