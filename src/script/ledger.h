/* SPDX-License-Identifier: MIT */
/*
 * What became of the calls of hooks on one loop, per instance and hook: for /metrics. Part of
 * script.h.
 *
 * Rows are made at the first call and stay: they outlive the states that count in them, so no
 * number ever goes down. There is a ceiling of rows; above it instances count as "other".
 */
#ifndef ML_SCRIPT_LEDGER_H
#define ML_SCRIPT_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#define ML_LEDGER_ROWS_MAX 256 /* beside one row "other" per hook */
#define ML_LEDGER_NAME_MAX 81  /* of an instance */

enum ml_hook_outcome {
    ML_HOOK_OK,
    ML_HOOK_DENIED,
    ML_HOOK_ERROR,
    ML_HOOK_TIMEOUT,
    ML_HOOK_NO_MEMORY,
    ML_HOOK_OPEN, /* not called: too many failures before, or no state */
    ML_HOOK_OUTCOMES
};

struct ml_hook_row {
    char plugin[ML_LEDGER_NAME_MAX + 1]; /* the instance, or "other" */
    const char *hook;                    /* static */
    uint64_t outcomes[ML_HOOK_OUTCOMES];
    uint64_t timed, sum_us, max_us; /* how many were timed, and what they took */
    uint64_t open;                  /* breakers open now, of all orgs */
};

struct ml_ledger;

/** NULL: no memory. Belongs to one loop. */
struct ml_ledger *ml_ledger_new(void);
void ml_ledger_free(struct ml_ledger *ledger);
/**
 * The row of this instance and hook, made if it is not there; good as long as the ledger. Linear in
 * the number of rows: remember it.
 * @param hook  a static text
 * @return NULL: no memory
 */
struct ml_hook_row *ml_ledger_row(struct ml_ledger *ledger, const char *plugin, const char *hook);
size_t ml_ledger_count(const struct ml_ledger *ledger);
/** Row `i` of ml_ledger_count. */
struct ml_hook_row *ml_ledger_at(const struct ml_ledger *ledger, size_t i);

#endif
