/* SPDX-License-Identifier: MIT */
/*
 * Orgs as a whole: what an administrator does with them while servers run. Part of journal.h. Calls
 * block, open what they need and close it; `store` is the address of the store, as for
 * ml_journal_open. Not for memory.
 *
 * A suspended org keeps everything; nobody reads or writes its documents (ML_EDENIED). A removed
 * one has no rows any more but the one that says so (ML_ENOTFOUND): stale clients do not bring it
 * back.
 */
#ifndef ML_JOURNAL_ORGS_H
#define ML_JOURNAL_ORGS_H

struct ml_org_facts {
    struct ml_slice org, primary; /* primary: empty where there is only one */
    struct ml_slice moving_to;    /* a move was begun, and is not through; empty: none */
    uint64_t documents, bytes;    /* deleted ones included; bytes of records and snapshots */
    int64_t created_ms, suspended_ms, removed_ms; /* 0: not */
};
typedef void (*ml_org_each)(void *arg, const struct ml_org_facts *facts);

/** In the order of their names, primary by primary. What `each` is given lives as long as the call.
 * @retval ML_EIO also if one of several primaries is away; the others were told */
enum ml_err ml_orgs_list(const char *store, ml_org_each each, void *arg,
                         struct ml_diag *diag) ML_MUST_CHECK;
/**
 * Also a removed one may be made anew, empty.
 * @param primary  where it shall live; NULL: as a hash of its name says
 * @retval ML_ECONFLICT there is one
 * @retval ML_ENOTFOUND there is no such primary
 */
enum ml_err ml_org_add(const char *store, struct ml_slice org, const char *primary,
                       struct ml_diag *diag) ML_MUST_CHECK;
/** @retval ML_ENOTFOUND there is none, or it was removed */
enum ml_err ml_org_suspend(const char *store, struct ml_slice org, bool is_suspended,
                           struct ml_diag *diag) ML_MUST_CHECK;
/** Told how many rows have gone so far. */
typedef void (*ml_org_progress)(void *arg, uint64_t rows);
/**
 * Shut it for good and drop its rows, ML_ORG_BATCH at a time. Cut off anywhere, the next call goes
 * on. What was published is noted for the caches before it goes.
 * @retval ML_ENOTFOUND there is none, or it is gone to the last row
 * @retval ML_EBUSY     it is being moved
 */
enum ml_err ml_org_remove(const char *store, struct ml_slice org, ml_org_progress progress,
                          void *arg, struct ml_diag *diag) ML_MUST_CHECK;
#define ML_ORG_BATCH 2000

struct ml_org_moved {
    uint64_t held_ms; /* how long its writers waited */
    unsigned rounds;  /* of copying before that */
};
struct ml_org_move {
    struct ml_slice org;
    const char *to;      /* name of a primary; NULL with abort: whatever it is on the way to */
    bool abort;          /* undo a move that was cut off before it had moved */
    unsigned stop_after; /* for tests: cut off behind this step (postgres_move.c); 0: not */
    struct ml_org_moved *result;
};
/**
 * To another primary, while people write. Cut off anywhere, the org is in one place, and the same
 * call goes on, or `abort` undoes it.
 * @retval ML_EBUSY     it is being moved, or a move elsewhere was begun
 * @retval ML_ECONFLICT it is there already
 * @retval ML_ETIMEDOUT nothing has moved: too much changed too fast
 */
enum ml_err ml_org_move(const char *store, const struct ml_org_move *order,
                        struct ml_diag *diag) ML_MUST_CHECK;

#endif
