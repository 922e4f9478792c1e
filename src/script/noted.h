/* SPDX-License-Identifier: MIT */
/*
 * What is kept of a record until every observer has been told (after_update). Part of script.h:
 * made where the record is integrated, read when a batch is delivered.
 */
#ifndef ML_SCRIPT_NOTED_H
#define ML_SCRIPT_NOTED_H

#include "base/slice.h"
#include "engine/engine.h"

/** One thing that became visible, as an edit. The slices stand in the memory of the record. */
struct ml_noted_change {
    uint8_t word;          /* which kind: enum ml_effect_kind */
    bool before_is_json;   /* else text */
    uint32_t index, len;   /* of a list or text */
    struct ml_slice path;  /* of the shared type */
    struct ml_slice key;   /* .ptr NULL: none; the same of all that follow */
    struct ml_slice text;  /* inserted */
    struct ml_slice value; /* JSON */
    struct ml_slice before;
    struct ml_slice attrs; /* JSON object */
};

struct ml_noted {
    uint64_t from_seq, to_seq, bytes; /* several records if detail was dropped */
    uint32_t count;
    uint32_t depth;     /* of plugins that react to plugins; 0: somebody's own edit */
    const char *origin; /* "client", "sync", "plugin", "import" */
    struct ml_slice author;
    bool gap; /* `changes` is not all */
    const struct ml_noted_change *changes;
    size_t change_count;
    size_t memory_bytes;
};

/**
 * @param doc     after the record
 * @param events  what ml_doc_listen told of it; NULL: nothing visible
 * @return one block on the heap, the caller's to free; NULL: out of memory
 */
struct ml_noted *ml_noted_new(const struct ml_doc *doc, const struct ml_event *events,
                              struct ml_slice author);

#endif
