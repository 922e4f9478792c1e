/* SPDX-License-Identifier: MIT */
/* What plugins say about snapshots and how long they are kept. Part of script.h. */
#ifndef ML_SCRIPT_VERSIONS_H
#define ML_SCRIPT_VERSIONS_H

/** A version, or one that is due. */
struct ml_script_snapshot {
    struct ml_slice document, name, labels, author; /* labels: a JSON object, or empty */
    struct ml_slice trigger; /* ops, bytes, every, idle, due, unload, shutdown; empty: taken */
    struct ml_slice authors; /* of one that is due: user ids since the last one, each with a NUL
                                behind it, the newest last */
    uint64_t version, seq, bytes, ops;
    int64_t at_ms;
    uint64_t age_ms, idle_ms; /* of the oldest, and the newest change since the last one */
    bool pinned;
};

/** snapshot_due(s): does anybody want one now? */
bool ml_script_snapshot_due(struct ml_script *script, const struct ml_script_snapshot *snapshot);
/** snapshot_name(s): the first who has an opinion, in `scratch`. Empty: nobody. */
struct ml_slice ml_script_snapshot_name(struct ml_script *script,
                                        const struct ml_script_snapshot *snapshot,
                                        struct ml_arena *scratch);
/**
 * before_snapshot(s): labels of all together, a JSON object in `scratch`. False: somebody said not
 * now. In this version a handler that waits fails, and is skipped.
 */
bool ml_script_before_snapshot(struct ml_script *script, const struct ml_script_snapshot *snapshot,
                               struct ml_arena *scratch, struct ml_slice *labels_out);
/** after_snapshot(s): told, nobody waits for the answer. Copies. */
void ml_script_after_snapshot(struct ml_script *script, const struct ml_script_snapshot *snapshot);

/** retain(r): which versions are worth keeping? */
struct ml_script_retention {
    struct ml_slice document;
    const struct ml_script_snapshot *snapshots; /* the newest first */
    size_t count;
    bool *keep; /* [count]: in and out; every `true` is kept */
    void (*done)(struct ml_script_retention *retention);
    /* result */
    bool all; /* nobody had an opinion, or somebody failed */
};
/** Everything is borrowed until `done`, which runs once, maybe before the call returns. */
void ml_script_retain_start(struct ml_script *script, struct ml_script_retention *retention);

/** compact(c): the most careful of all answers. */
struct ml_script_compaction {
    struct ml_slice document;
    uint64_t journal_bytes, journal_rows, safe_seq;
    bool history_wanted;
    /* result */
    bool wanted; /* somebody wants it, and nobody does not */
    uint64_t upto;
    int64_t keep_history_ms; /* records younger than that stay */
};
void ml_script_compact(struct ml_script *script, struct ml_script_compaction *compaction);

#endif
