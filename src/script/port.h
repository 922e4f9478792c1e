/* SPDX-License-Identifier: MIT */
/*
 * What plugins ask of the outside. script/ has no I/O: it hands an operation to the port and parks
 * the coroutine; whoever implements the port answers through ml_script_resume. Part of script.h.
 *
 * One envelope carries every kind of question, one every answer; the table in wait_ops.c says which
 * fields a kind uses. All slices are borrowed for the call that hands them over.
 */
#ifndef ML_SCRIPT_PORT_H
#define ML_SCRIPT_PORT_H

#include "base/err.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct ml_script;

enum ml_script_op_kind {
    ML_OP_STORE_READ,   /* key: that one; prefix: those after `after`, at most `limit` */
    ML_OP_STORE_COMMIT, /* items: checks, writes, jobs; all or nothing */
    ML_OP_HTTP,         /* key: URL, name: method, items: headers, value: body */
    ML_OP_SESSIONS,     /* name: list, revoke, recheck, notify; items: fields */
    ML_OP_DOCS,         /* net/plugin_docs.h */
    ML_OP_COUNT
};

enum ml_script_item_kind {
    ML_ITEM_CHECK,  /* key has `rev` (0: is absent) */
    ML_ITEM_RANGE,  /* prefix `key` up to `upto` has `count` keys, none newer than `rev` */
    ML_ITEM_SET,    /* key, value, ttl_ms (0: for ever) */
    ML_ITEM_DELETE, /* key */
    ML_ITEM_INCR,   /* key, number, ttl_ms */
    ML_ITEM_JOB,    /* key: name, value: arguments, upto: key of its own, ttl_ms: not before */
    ML_ITEM_FIELD,  /* key, value: a header, a field */
    ML_ITEM_COUNT
};

struct ml_script_item {
    enum ml_script_item_kind kind;
    struct ml_slice key, value, upto;
    uint64_t rev, count, ttl_ms;
    double number;
};

struct ml_script_op {
    enum ml_script_op_kind kind;
    struct ml_slice org, instance;
    struct ml_slice space; /* of the store: "kv", "once", …; never given by a plugin */
    struct ml_slice name, key, prefix, after, value;
    uint64_t limit;      /* items, or bytes of an answer */
    uint64_t timeout_ms; /* 0: the implementation's own */
    const struct ml_script_item *items;
    size_t item_count;
};

struct ml_script_answer {
    enum ml_err err;
    struct ml_slice text; /* of an error, for people */
    struct ml_slice value;
    uint64_t number; /* a rev, a status */
    const struct ml_script_item *items;
    size_t item_count;
};

struct ml_script_port {
    void *arg;
    /**
     * Begin; the answer comes later through ml_script_resume, never from inside this call. An error
     * (ML_EBUSY: too many at once) is the answer: ml_script_resume must not follow then.
     */
    enum ml_err (*begin)(void *arg, struct ml_script *script, uint64_t ticket,
                         const struct ml_script_op *op);
    /** Nobody waits for that answer any more; it must not come. */
    void (*cancel)(void *arg, struct ml_script *script, uint64_t ticket);
    /** Call ml_script_tick at that time of the script's mono_ms, or soon after; replaces the last
     * wish. */
    void (*wake_at)(void *arg, struct ml_script *script, uint64_t at_ms);
};

/** The answer to `ticket`. An unknown ticket (its call was cancelled) is ignored. */
void ml_script_resume(struct ml_script *script, uint64_t ticket,
                      const struct ml_script_answer *answer);
/** Timers, deadlines, calls that are ready. */
void ml_script_tick(struct ml_script *script);
/** The client that wanted this call is gone: its next wait raises. Unknown ids are ignored. */
void ml_script_cancel(struct ml_script *script, uint64_t call);

#endif
