/* SPDX-License-Identifier: MIT */
/*
 * Several primaries behind one journal. Private to journal/: shards.c routes requests,
 * shards_find.c says where an org lives, shards_address.c reads the address.
 */
#ifndef ML_JOURNAL_SHARDS_H
#define ML_JOURNAL_SHARDS_H

#include "journal/journal.h"
#include "journal/request.h"

#define ML_SHARDS_MAX     32u
#define ML_SHARD_NAME_MAX 32u
#define ML_REPLICAS_MAX   8u

struct ml_shard_address {
    char name[ML_SHARD_NAME_MAX + 1];
    char *url;
    char *replicas[ML_REPLICAS_MAX];
    size_t replica_count;
};
/** In the order of their names; the first one decides where new orgs begin. */
struct ml_shard_list {
    struct ml_shard_address items[ML_SHARDS_MAX];
    size_t count;
};

/* --- shards_address.c --- */

/** "shards:a=postgres://… b=postgres://… a<postgres://…" (a replica of a). ML_EFORMAT: diag says
 * why, and there is nothing to release. */
enum ml_err ml_shard_list_parse(const char *address, struct ml_shard_list *out,
                                struct ml_diag *diag) ML_MUST_CHECK;
void ml_shard_list_release(struct ml_shard_list *list);
/** Where an org begins if nobody says otherwise: highest hash of org and name. */
unsigned ml_shard_guess(const struct ml_shard_list *list, struct ml_slice org);
/** SIZE_MAX: there is none of that name. */
size_t ml_shard_index(const struct ml_shard_list *list, struct ml_slice name);

/* --- shards_find.c: blocks; one thread at a time --- */

struct ml_shard_finder;

/** Which shard a new org shall live on; SIZE_MAX: no opinion. May block. */
typedef size_t (*ml_shard_place)(void *arg, struct ml_slice org);

struct ml_shard_finder *ml_shard_finder_new(const struct ml_shard_list *list);
void ml_shard_finder_free(struct ml_shard_finder *finder);
/**
 * Where does the org live? With `place` it is given a place if it has none.
 *
 * @retval ML_ENOTFOUND nowhere yet
 * @retval ML_EBUSY     it moves at this moment: ask again soon
 * @retval ML_EIO       a primary that may have it cannot be reached
 */
enum ml_err ml_shard_find(struct ml_shard_finder *finder, struct ml_slice org, ml_shard_place place,
                          void *arg, unsigned *shard_out, struct ml_diag *diag) ML_MUST_CHECK;

/* --- shards.c --- */

enum ml_err ml_journal_open_shards(const char *address, uv_loop_t *loop, struct ml_diag *diag,
                                   struct ml_journal **journal_out) ML_MUST_CHECK;
enum ml_err ml_shards_migrate(const char *address, bool only_look, const char *role,
                              struct ml_migration *out, struct ml_diag *diag) ML_MUST_CHECK;

/* --- postgres_orgs.c: as orgs.h --- */

enum ml_err ml_pg_orgs_list(const struct ml_shard_list *list, ml_org_each each, void *arg,
                            struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_org_add(const struct ml_shard_list *list, struct ml_slice org,
                          const char *primary, struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_org_suspend(const struct ml_shard_list *list, struct ml_slice org,
                              bool is_suspended, struct ml_diag *diag) ML_MUST_CHECK;
enum ml_err ml_pg_org_remove(const struct ml_shard_list *list, struct ml_slice org,
                             ml_org_progress progress, void *arg,
                             struct ml_diag *diag) ML_MUST_CHECK;

/* --- postgres_move.c --- */

enum ml_err ml_pg_org_move(const struct ml_shard_list *list, const struct ml_org_move *order,
                           struct ml_diag *diag) ML_MUST_CHECK;

/* --- postgres.c --- */

/** As ml_journal_open_postgres; one that cannot be reached (ML_EIO) is tried again later. */
enum ml_err ml_journal_open_postgres_later(const struct ml_shard_address *address, uv_loop_t *loop,
                                           struct ml_diag *diag,
                                           struct ml_journal **journal_out) ML_MUST_CHECK;

#endif
