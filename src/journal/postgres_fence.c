/* SPDX-License-Identifier: MIT */
/*
 * Orgs that are shut, held or elsewhere, and the fence that makes it certain:
 *
 *   writer   shared lock of the org;  read its row;      write;  COMMIT;  let go
 *   mover    write its row; COMMIT;   the lock alone, once:  whoever writes now has seen the row
 *
 * The lock is advisory: nothing is written for it. Row and lock are two statements, so that the row
 * is read after the lock was given.
 */
#include "journal/postgres.h"

const char ml_pg_fence_batch_sql[] =
    "SELECT pg_advisory_xact_lock_shared(" ML_PG_FENCE ", hashtext(k.org))"
    " FROM unnest($1::text[]) AS k (org)";
const char ml_pg_fence_sql[] =
    "SELECT pg_advisory_lock_shared(" ML_PG_FENCE ", hashtext($1::text))";
const char ml_pg_unfence_sql[] =
    "SELECT pg_advisory_unlock_shared(" ML_PG_FENCE ", hashtext($1::text))";
const char ml_pg_gate_sql[] =
    "SELECT k.at, " ML_PG_GATE_CASE " FROM unnest($1::text[]) WITH ORDINALITY AS k (org, at)"
    " JOIN orgs o ON o.org = k.org COLLATE \"C\"";

/* Of one org, asked alone or behind another statement. */
static enum ml_err take_gate(struct ml_pg *pg, enum ml_gate *out, struct ml_diag *diag)
{
    char state[6];
    PGresult *result = ml_pg_result(pg, state, diag);

    *out = ML_GATE_OPEN;
    if (result && PQntuples(result))
        *out = (enum ml_gate)ml_pg_number(result, 0, 1);
    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

static enum ml_err send_gate(struct ml_pg *pg, struct ml_pg_args *args, struct ml_slice org,
                             struct ml_diag *diag)
{
    ml_pg_args_reset(args);
    ml_pg_array(args, ML_PG_TEXT_ARRAY, 1);
    ml_pg_item(args, org);
    return ml_pg_send(pg, ML_PG_SQL_GATE, args, diag);
}

enum ml_err ml_pg_look_at_gate(struct ml_pg *pg, struct ml_slice org, enum ml_gate *out,
                               struct ml_diag *diag)
{
    struct ml_pg_args args;
    enum ml_err err, ended;

    *out = ML_GATE_OPEN;
    ml_pg_args_init(&args);
    err = send_gate(pg, &args, org, diag);
    ml_pg_args_release(&args);
    if (!err)
        err = ml_pg_sync(pg, diag);
    if (err)
        return err;
    err = take_gate(pg, out, diag);
    ended = ml_pg_drain(pg, err ? NULL : diag);
    return err ? err : ended;
}

enum ml_err ml_pg_enter(struct ml_pg *pg, struct ml_slice org, enum ml_gate *out,
                        struct ml_diag *diag)
{
    struct ml_pg_args args;
    char state[6];
    PGresult *result;
    enum ml_err err, ended;

    *out = ML_GATE_OPEN;
    ml_pg_args_init(&args);
    ml_pg_text(&args, org);
    err = ml_pg_send(pg, ML_PG_SQL_FENCE, &args, diag);
    if (!err)
        err = send_gate(pg, &args, org, diag);
    ml_pg_args_release(&args);
    if (!err)
        err = ml_pg_sync(pg, diag);
    if (err)
        return err;
    result = ml_pg_result(pg, state, diag);
    err = result ? take_gate(pg, out, diag) : ML_EIO;
    PQclear(result);
    ended = ml_pg_drain(pg, err ? NULL : diag);
    return err ? err : ended;
}

enum ml_err ml_pg_leave(struct ml_pg *pg, struct ml_slice org, struct ml_diag *diag)
{
    struct ml_pg_args args;
    PGresult *result;

    ml_pg_args_init(&args);
    ml_pg_text(&args, org);
    result = ml_pg_query(pg, ml_pg_unfence_sql, &args, diag);
    ml_pg_args_release(&args);
    PQclear(result);
    return result ? ML_OK : ML_EIO;
}
