/* SPDX-License-Identifier: MIT */
/* What administrators' commands over PostgreSQL share. Private to journal/. Calls block. */
#ifndef ML_JOURNAL_POSTGRES_ORGS_H
#define ML_JOURNAL_POSTGRES_ORGS_H

#include "journal/postgres.h"
#include "journal/shards.h"

#define ML_PG_ORG_TEXT 256

/** Connected, with the right schema and the right name; not in pipeline mode. */
enum ml_err ml_pg_open_primary(struct ml_pg *pg, const struct ml_shard_address *address,
                               struct ml_diag *diag) ML_MUST_CHECK;
/** Text in, text out. NULL: it failed, and diag says why. */
PGresult *ml_pg_ask(struct ml_pg *pg, const char *sql, int count, const char *const *values,
                    struct ml_diag *diag);
/** The same where only the number of rows counts; rows_out may be NULL. */
enum ml_err ml_pg_change(struct ml_pg *pg, const char *sql, int count, const char *const *values,
                         uint64_t *rows_out, struct ml_diag *diag) ML_MUST_CHECK;
/** Wait until nobody writes for the org who has not seen its row as it is now. */
enum ml_err ml_pg_drain_writers(struct ml_pg *pg, const char *org,
                                struct ml_diag *diag) ML_MUST_CHECK;
/** Every row of the org but the one in `orgs`, in batches. `progress` may be NULL. */
enum ml_err ml_pg_drop_rows(struct ml_pg *pg, const char *org, bool with_purges,
                            ml_org_progress progress, void *arg, uint64_t *gone,
                            struct ml_diag *diag) ML_MUST_CHECK;
/** False: too long for an org. */
bool ml_pg_org_text(struct ml_slice org, char out[ML_PG_ORG_TEXT]);

#endif
