/* SPDX-License-Identifier: MIT */
/*
 * Is this still the database that we know? Asked whenever a connection is made, before anything is
 * read or written through it:
 *
 *   another system identifier      another cluster under the same address: refused
 *   a timeline below the known     the former primary, back after a fail-over: refused
 *   a timeline above it            a fail-over: a warning, and the next line decides
 *   our last record is not there   the tail of what was acknowledged is lost (an asynchronous
 *                                  standby was promoted, a backup was restored): refused
 *
 * Commits reach the disk in their order, so the last record that this node was answered for stands
 * for all before it. Refused means that nothing is served from there; a restart of the node accepts
 * the database as it is.
 */
#include "journal/postgres.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdlib.h>

static const char who_sql[] = "SELECT (SELECT system_identifier FROM pg_control_system())::text,"
                              " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))"
                              "::bit(32)::int";
/* A standby does not tell on which timeline it reads, only which one it has come past. */
static const char copy_sql[] = "SELECT (SELECT system_identifier FROM pg_control_system())::text,"
                               " greatest((SELECT timeline_id FROM pg_control_checkpoint()),"
                               "  (SELECT min_recovery_end_timeline FROM pg_control_recovery()))";
static const char last_sql[] =
    "SELECT d.head, d.compacted_seq, (SELECT r.checksum FROM records AS r WHERE r.org = d.org"
    "  AND r.document = d.document AND r.seq = $3::bigint)"
    " FROM documents AS d WHERE d.org = $1::text AND d.document = $2::bytea";
/* Moved away, or removed. */
static const char gone_sql[] = "SELECT 1 FROM orgs WHERE org = $1::text"
                               " AND (moved_to IS NOT NULL OR removed_ms IS NOT NULL)";

static void lock(struct ml_pg_identity *identity)
{
    ML_ASSERT(pthread_mutex_lock(&identity->mutex) == 0);
}

static void unlock(struct ml_pg_identity *identity)
{
    ML_ASSERT(pthread_mutex_unlock(&identity->mutex) == 0);
}

void ml_pg_identity_init(struct ml_pg_identity *identity)
{
    *identity = (struct ml_pg_identity){0};
    ML_ASSERT(pthread_mutex_init(&identity->mutex, NULL) == 0);
}

void ml_pg_identity_release(struct ml_pg_identity *identity)
{
    pthread_mutex_destroy(&identity->mutex);
}

void ml_pg_remember(struct ml_pg_identity *identity, struct ml_slice org, const uint8_t *document,
                    uint64_t seq, uint32_t checksum)
{
    lock(identity);
    if (org.len < sizeof identity->org) {
        memcpy(identity->org, org.ptr, org.len);
        identity->org[org.len] = '\0';
        memcpy(identity->document, document, sizeof identity->document);
        identity->seq = seq;
        identity->checksum = checksum;
    }
    unlock(identity);
}

/* Under the lock. */
static enum ml_err judge_server(struct ml_pg_identity *identity, const char *system, int timeline,
                                struct ml_diag *diag)
{
    if (!identity->system[0]) {
        (void)snprintf(identity->system, sizeof identity->system, "%s", system);
        identity->timeline = timeline;
        return ML_OK;
    }
    if (strcmp(identity->system, system) != 0)
        return ml_diag_set(diag, ML_EIO, 0,
                           "refused: this is another PostgreSQL cluster than before (system "
                           "identifier %s, not %s); restart the node if that is meant",
                           system, identity->system);
    if (timeline < identity->timeline)
        return ml_diag_set(diag, ML_EIO, 0,
                           "refused: this is the former primary (timeline %d, the cluster is at "
                           "%d); take it out of the address, or make it a standby",
                           timeline, identity->timeline);
    if (timeline > identity->timeline)
        ml_log(ML_LOG_WARN, "journal.failover", "timeline=%d before=%d", timeline,
               identity->timeline);
    identity->timeline = timeline;
    return ML_OK;
}

/* One that has not come past a fail-over may have followed the primary that was lost. */
static enum ml_err judge_copy(const struct ml_pg_identity *identity, const char *system,
                              int timeline, struct ml_diag *diag)
{
    if (identity->system[0] && strcmp(identity->system, system) != 0)
        return ml_diag_set(diag, ML_EIO, 0, "a standby of another cluster");
    if (timeline < identity->timeline)
        return ml_diag_set(diag, ML_EIO, 0, "the standby is not past the fail-over yet");
    return ML_OK;
}

static enum ml_err check_server(struct ml_pg *pg, struct ml_pg_identity *identity,
                                struct ml_diag *diag)
{
    PGresult *result = PQexec(pg->conn, pg->is_copy ? copy_sql : who_sql);
    enum ml_err err;

    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        PQclear(result);
        return ml_diag_set(diag, ML_EIO, 0, "PostgreSQL, asking who it is: %s",
                           PQerrorMessage(pg->conn));
    }
    lock(identity);
    if (pg->is_copy)
        err = judge_copy(identity, PQgetvalue(result, 0, 0),
                         (int)strtol(PQgetvalue(result, 0, 1), NULL, 10), diag);
    else
        err = judge_server(identity, PQgetvalue(result, 0, 0),
                           (int)strtol(PQgetvalue(result, 0, 1), NULL, 10), diag);
    unlock(identity);
    PQclear(result);
    return err;
}

static bool has_last(const PGresult *result, const struct ml_pg_identity *last)
{
    if (!PQntuples(result) || (uint64_t)ml_pg_number(result, 0, 0) < last->seq)
        return false;
    if (ml_pg_is_null(result, 0, 2)) /* compacted, or not there although it should be */
        return (uint64_t)ml_pg_number(result, 0, 1) >= last->seq;
    return (uint32_t)ml_pg_number(result, 0, 2) == last->checksum;
}

static bool is_org_gone(struct ml_pg *pg, const char *org)
{
    struct ml_pg_args args;
    PGresult *result;
    bool is_gone;

    ml_pg_args_init(&args);
    ml_pg_text(&args, ml_slice_str(org));
    result = ml_pg_query(pg, gone_sql, &args, NULL);
    ml_pg_args_release(&args);
    is_gone = PQntuples(result) > 0;
    PQclear(result);
    return is_gone;
}

static enum ml_err check_last(struct ml_pg *pg, struct ml_pg_identity *identity,
                              struct ml_diag *diag)
{
    struct ml_pg_identity last;
    struct ml_pg_args args;
    PGresult *result;
    enum ml_err err = ML_OK;

    lock(identity);
    last = *identity;
    unlock(identity);
    if (!last.seq)
        return ML_OK;
    ml_pg_args_init(&args);
    ml_pg_text(&args, ml_slice_str(last.org));
    ml_pg_bytea(&args, ml_slice_make(last.document, sizeof last.document));
    ml_pg_int8(&args, (int64_t)last.seq);
    result = ml_pg_query(pg, last_sql, &args, diag);
    ml_pg_args_release(&args);
    if (!result)
        return ML_EIO;
    if (!has_last(result, &last) && !is_org_gone(pg, last.org))
        err = ml_diag_set(
            diag, ML_EIO, 0,
            "refused: the database went back: record %llu of org %s was acknowledged and is "
            "not there any more (a standby that was behind was promoted, or a backup was "
            "restored); restart the node to accept that",
            (unsigned long long)last.seq, last.org);
    PQclear(result);
    return err;
}

enum ml_err ml_pg_check_identity(struct ml_pg *pg, struct ml_diag *diag)
{
    return pg->identity ? check_server(pg, pg->identity, diag) : ML_OK;
}

enum ml_err ml_pg_check_tail(struct ml_pg *pg, struct ml_diag *diag)
{
    return pg->identity ? check_last(pg, pg->identity, diag) : ML_OK;
}
