/* SPDX-License-Identifier: MIT */
/*
 * Reading from standbys, never behind what was acknowledged.
 *
 *   the primary: how far is the WAL?  -->  a standby: replayed up to there?  -->  read
 *                                              |  not within 50 ms, or away
 *                                              +-> the next one; none: the primary reads
 *
 * The question is put after the request was made, so whatever anybody was told before is within the
 * answer, on whichever node. A standby that was behind or away is left alone for a second, so that
 * readers do not wait for it one after the other.
 */
#include "journal/postgres.h"
#include "journal/shards.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <time.h>

#define WAIT_MS  50
#define POLL_NS  2000000
#define AGAIN_MS 1000

enum { SQL_HOW_FAR };
static const char *const asking_sql[ML_PG_STATEMENTS] = {
    /* Without synchronous commits a commit is acknowledged before it is flushed. */
    [SQL_HOW_FAR] = "SELECT (CASE WHEN current_setting('synchronous_commit') = 'off'"
                    " THEN pg_current_wal_insert_lsn() ELSE pg_current_wal_flush_lsn() END"
                    " - '0/0')::bigint",
};
static const char has_replayed_sql[] =
    "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() - '0/0' >= $1::bigint";

struct copy {
    const char *url;
    struct ml_pg pg;
    uint64_t not_before_ms;
};

struct ml_pg_copies {
    const char *url; /* of the primary */
    struct ml_pg_identity *identity;
    struct ml_pg asking;
    struct copy copies[ML_REPLICAS_MAX];
    size_t count, at; /* the one that is used */
};

struct ml_pg_copies *ml_pg_copies_new(const char *url, char *const *copies, size_t count,
                                      struct ml_pg_identity *identity)
{
    struct ml_pg_copies *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->url = url;
    c->identity = identity;
    c->count = count;
    for (size_t i = 0; i < count; i++)
        c->copies[i].url = copies[i];
    return c;
}

void ml_pg_copies_close(struct ml_pg_copies *c)
{
    ml_pg_close(&c->asking);
    for (size_t i = 0; i < c->count; i++)
        ml_pg_close(&c->copies[i].pg);
}

void ml_pg_copies_free(struct ml_pg_copies *c)
{
    if (c)
        ml_pg_copies_close(c);
    free(c);
}

static void leave_alone(struct copy *copy)
{
    ml_pg_close(&copy->pg);
    copy->not_before_ms = ml_clock_mono_ms() + AGAIN_MS;
}

void ml_pg_copy_failed(struct ml_pg_copies *c, const struct ml_diag *diag)
{
    struct copy *copy = &c->copies[c->at];

    ml_log(ML_LOG_WARN, "replica.failed", "replica=%zu what=\"%s\"", c->at, diag ? diag->text : "");
    leave_alone(copy);
}

/* One number, and whether there was an answer. */
static bool ask(struct ml_pg *pg, const char *sql, int which, int64_t argument, int64_t *out)
{
    struct ml_pg_args args;
    struct ml_diag diag = {0};
    PGresult *result = NULL;
    char state[6];

    ml_pg_args_init(&args);
    if (sql) {
        ml_pg_int8(&args, argument);
        result = ml_pg_query(pg, sql, &args, &diag);
    } else if (!ml_pg_send(pg, which, NULL, &diag) && !ml_pg_sync(pg, &diag)) {
        result = ml_pg_result(pg, state, &diag);
        if (ml_pg_drain(pg, NULL)) {
            PQclear(result);
            result = NULL;
        }
    }
    ml_pg_args_release(&args);
    if (result)
        *out = ml_pg_number(result, 0, 0);
    PQclear(result);
    return result != NULL;
}

/* False: the primary does not say, so nobody knows what was acknowledged. */
static bool how_far(struct ml_pg_copies *c, int64_t *out)
{
    struct ml_diag diag = {0};

    if (!c->asking.conn &&
        ml_pg_open(&c->asking, c->url, ML_PG_READER, asking_sql, c->identity, &diag))
        return false;
    if (ask(&c->asking, NULL, SQL_HOW_FAR, 0, out))
        return true;
    ml_pg_close(&c->asking);
    return false;
}

static bool reach(struct ml_pg_copies *c, struct copy *copy)
{
    struct ml_diag diag = {0};

    if (copy->pg.conn)
        return true;
    if (!ml_pg_open(&copy->pg, copy->url, ML_PG_COPY, ml_pg_read_sql, c->identity, &diag))
        return true;
    ml_pg_copy_failed(c, &diag);
    return false;
}

static bool wait_for(struct copy *copy, int64_t lsn)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    uint64_t until = ml_clock_mono_ms() + WAIT_MS;
    int64_t has = 0;

    while (ask(&copy->pg, has_replayed_sql, 0, lsn, &has)) {
        if (has)
            return true;
        if (ml_clock_mono_ms() >= until)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

struct ml_pg *ml_pg_copy_up_to_date(struct ml_pg_copies *c)
{
    int64_t lsn;

    for (size_t i = 0; i < c->count; i++, c->at = (c->at + 1) % c->count) {
        struct copy *copy = &c->copies[c->at];

        if (ml_clock_mono_ms() < copy->not_before_ms || !reach(c, copy))
            continue;
        if (!how_far(c, &lsn))
            return NULL;
        if (wait_for(copy, lsn))
            return &copy->pg;
        leave_alone(copy);
    }
    return NULL;
}
