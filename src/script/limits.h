/* SPDX-License-Identifier: MIT */
/* limits(who), over_limit(l): what somebody may use, and what happens when it is used up. Part of
 * script.h. */
#ifndef ML_SCRIPT_LIMITS_H
#define ML_SCRIPT_LIMITS_H

/** What is counted as so many in a time. */
enum ml_rate {
    ML_RATE_UPDATES,
    ML_RATE_BYTES, /* of updates */
    ML_RATE_MESSAGES,
    ML_RATE_AWARENESS,
    ML_RATE_RPC,
    ML_RATE_HTTP,
    ML_RATE_CONNECTS, /* from one address */
    ML_RATES
};
/** As plugins write them: "updates". */
extern const char *const ml_rate_names[ML_RATES];

/** What is counted as so many at once. UINT64_MAX: no opinion. */
enum ml_ceiling {
    ML_CEILING_CONNECTIONS,          /* of the org, on this node */
    ML_CEILING_CONNECTIONS_PER_USER, /* likewise */
    ML_CEILING_UPDATE_BYTES,         /* of one message with changes */
    ML_CEILING_DOC_BYTES,            /* of a document, encoded */
    ML_CEILINGS
};
extern const char *const ml_ceiling_names[ML_CEILINGS];

/** Whose uses are counted together. */
enum ml_limit_per { ML_PER_SESSION, ML_PER_USER, ML_PER_ADDRESS, ML_PER_ORG };
extern const char *const ml_limit_pers[];
/** What becomes of what is too much: it waits, it is refused, the connection ends. */
enum ml_limit_action { ML_LIMIT_SLOW, ML_LIMIT_REFUSE, ML_LIMIT_CLOSE };

struct ml_rate_limit {
    bool is_set;
    double per_second; /* 0: nothing passes */
    double burst;
    enum ml_limit_per per;
    enum ml_limit_action action;
    uint32_t close_after; /* so many in a row that were too much end the connection; 0: none do */
};

struct ml_limits_answer {
    struct ml_rate_limit rates[ML_RATES];
    uint64_t ceilings[ML_CEILINGS];
};

/** Runs once. `answer` is borrowed; NULL: a plugin failed, what was known last counts. */
typedef void (*ml_limits_done)(void *arg, const struct ml_limits_answer *answer);
/**
 * limits(who), of the smallest that anybody answers. May wait, for five seconds in all; `done` may
 * run before this returns. `who` is copied where it has to last.
 */
void ml_script_limits(struct ml_script *script, const struct ml_script_identity *who,
                      ml_limits_done done, void *arg);
/** The answer of nobody. */
void ml_limits_none(struct ml_limits_answer *out);

struct ml_script_over {
    const char *what;
    double used, limit; /* of a rate: a second, and what is at hand at once */
    const char *scope;  /* of ml_limit_pers */
    const struct ml_script_identity *identity;
};
enum ml_over_verdict { ML_OVER_NIL, ML_OVER_SLOW, ML_OVER_ALLOW, ML_OVER_REFUSE, ML_OVER_CLOSE };
struct ml_over_answer {
    enum ml_over_verdict verdict; /* NIL: nobody has an opinion; CLOSE: denied with mode "fence" */
    uint32_t slow_ms;             /* at most 5 s */
    struct ml_denial denial;      /* REFUSE, CLOSE: in scratch */
};
/** over_limit(l): the first answer counts. Who cannot answer is passed over. */
void ml_script_over_limit(struct ml_script *script, const struct ml_script_over *over,
                          struct ml_arena *scratch, struct ml_over_answer *out);

#endif
