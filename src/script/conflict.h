/* SPDX-License-Identifier: MIT */
/*
 * conflict(c): two writers, neither had seen the other's change; which stands? Part of script.h.
 *
 * The first answer that is not nil counts; a plugin that fails has none. The call is pure: the
 * library raises but for what computes, and math.random is seeded from the question, so that the
 * same question gets the same answer wherever it is asked.
 */
#ifndef ML_SCRIPT_CONFLICT_H
#define ML_SCRIPT_CONFLICT_H

struct ml_script_side {
    struct ml_slice any;         /* one encoded Any; .ptr NULL: deleted */
    bool is_shared;              /* a shared type, `any` shows how it reads */
    const struct ml_scope *who;  /* user, user_name, session, roles, groups, kind; not NULL */
    uint64_t at_us, based_on_us; /* the server's hybrid clock; 0: unknown */
    uint64_t seq;                /* record, 0: not recorded yet, or unknown */
    bool is_offline;
    const char *origin; /* "client", "sync", "plugin" …; NULL: unknown */
};

struct ml_script_conflict {
    struct ml_slice org, document;
    const struct ml_doc *doc;
    enum ml_collision_kind kind;
    struct ml_slice path, key, block; /* key, block: .ptr NULL: none */
    bool is_base_known;
    struct ml_slice base; /* an Any; .ptr NULL: there was nothing */
    uint64_t base_seq;    /* 0: unknown */
    struct ml_script_side current, incoming;
    bool incoming_stands; /* by the CRDT's rule */
    bool is_exact;
    uint64_t now_us;
    uint64_t seed; /* of math.random: from document and seq */
};

enum ml_conflict_word {
    ML_CONFLICT_NATURAL, /* nobody has an opinion */
    ML_CONFLICT_CURRENT,
    ML_CONFLICT_INCOMING,
    ML_CONFLICT_MERGE,
    ML_CONFLICT_KEEP_BOTH,
};

struct ml_conflict_answer {
    enum ml_conflict_word word;
    struct ml_slice any;  /* MERGE: one encoded Any */
    struct ml_slice name; /* KEEP_BOTH: of the list */
};

/** Kinds that somebody wants to hear of, bits 1 << enum ml_collision_kind; 0: nobody asks. */
unsigned ml_script_conflict_kinds(const struct ml_script *script);
/** Does anybody want to hear of this place? Costs no Lua. */
bool ml_script_wants_conflict(const struct ml_script *script, enum ml_collision_kind kind,
                              struct ml_slice path, struct ml_slice key);
/** What the answer borrows is in `scratch`. */
void ml_script_conflict(struct ml_script *script, const struct ml_script_conflict *conflict,
                        struct ml_arena *scratch, struct ml_conflict_answer *answer_out);

#endif
