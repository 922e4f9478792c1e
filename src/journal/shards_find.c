/* SPDX-License-Identifier: MIT */
/*
 * Where an org lives. The primary that has it says so itself, so that the loss of another one does
 * not hide it:
 *
 *   ask the one that the hash names, then the others  -> one says "here": that one
 *   one says "moved to X", and X "arriving from it"   -> a move was cut off after its last step but
 *                                                        one: X says "here" from now on
 *   nobody, and all were asked                        -> it begins somewhere: what the plugin or
 * the hash says is written on the first primary, where the first answer holds nobody, and one could
 * not be asked                -> not known
 */
#include "journal/shards.h"

#include "base/clock.h"
#include "base/log.h"
#include "journal/postgres.h"

#include <stdlib.h>

#define AGAIN_MS 1000 /* one that could not be reached is left alone so long */

struct primary {
    struct ml_pg pg;
    uint64_t not_before_ms;
    bool is_checked; /* it has the name that we call it by */
};

struct ml_shard_finder {
    const struct ml_shard_list *list;
    struct primary primaries[ML_SHARDS_MAX];
};

enum answer { ANSWER_NO, ANSWER_HERE, ANSWER_HELD, ANSWER_MOVED, ANSWER_ARRIVING, ANSWER_NONE };

/* What one primary says of an org. */
struct said {
    enum answer answer;
    char other[ML_SHARD_NAME_MAX + 1]; /* moved to, arriving from */
};

struct ml_shard_finder *ml_shard_finder_new(const struct ml_shard_list *list)
{
    struct ml_shard_finder *finder = calloc(1, sizeof *finder);

    if (finder)
        finder->list = list;
    return finder;
}

void ml_shard_finder_free(struct ml_shard_finder *finder)
{
    for (size_t i = 0; finder && i < finder->list->count; i++)
        ml_pg_close(&finder->primaries[i].pg);
    free(finder);
}

/* NULL: it failed, and the connection is closed. Text in, text out. */
static PGresult *ask(struct ml_shard_finder *f, unsigned which, const char *sql, int count,
                     const char *const *values, struct ml_diag *diag)
{
    struct primary *p = &f->primaries[which];
    PGresult *result = PQexecParams(p->pg.conn, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return result;
    (void)ml_diag_set(diag, ML_EIO, 0, "primary %s: %s", f->list->items[which].name,
                      PQerrorMessage(p->pg.conn));
    PQclear(result);
    ml_pg_close(&p->pg);
    return NULL;
}

static enum ml_err check_name(struct ml_shard_finder *f, unsigned which, struct ml_diag *diag)
{
    const char *name = f->list->items[which].name;
    PGresult *result;
    enum ml_err err = ML_OK;

    result = ask(f, which, "INSERT INTO shard_name VALUES (1, $1) ON CONFLICT DO NOTHING", 1, &name,
                 diag);
    PQclear(result);
    if (!result)
        return ML_EIO;
    result = ask(f, which, "SELECT name FROM shard_name", 0, NULL, diag);
    if (!result)
        return ML_EIO;
    if (!PQntuples(result) || strcmp(PQgetvalue(result, 0, 0), name) != 0)
        err = ml_diag_set(diag, ML_EFORMAT, 0,
                          "the primary called %s in the configuration calls itself %s", name,
                          PQntuples(result) ? PQgetvalue(result, 0, 0) : "nothing");
    PQclear(result);
    if (err)
        ml_pg_close(&f->primaries[which].pg);
    return err;
}

static enum ml_err reach(struct ml_shard_finder *f, unsigned which, struct ml_diag *diag)
{
    struct primary *p = &f->primaries[which];
    uint64_t now = ml_clock_mono_ms();
    enum ml_err err;

    if (p->pg.conn && PQstatus(p->pg.conn) == CONNECTION_OK)
        return ML_OK;
    ml_pg_close(&p->pg);
    if (now < p->not_before_ms)
        return ml_diag_set(diag, ML_EIO, 0, "primary %s cannot be reached",
                           f->list->items[which].name);
    err = ml_pg_connect(&p->pg, f->list->items[which].url, false, diag);
    if (!err)
        err = ml_pg_check_schema(&p->pg, diag);
    if (!err)
        err = ml_pg_plain_run(&p->pg, "SET statement_timeout = '5s'", diag);
    if (!err)
        err = check_name(f, which, diag);
    if (err) {
        ml_log(ML_LOG_WARN, "shard.not_reached", "shard=%s what=\"%s\"", f->list->items[which].name,
               diag->text);
        ml_pg_close(&p->pg);
        p->not_before_ms = now + AGAIN_MS;
        return ML_EIO;
    }
    return ML_OK;
}

/* Whoever held the org is late. It notices before it goes on: its hold is not there any more. */
static enum ml_err end_hold(struct ml_shard_finder *f, unsigned which, const char *org,
                            struct ml_diag *diag)
{
    PGresult *result = ask(f, which,
                           "UPDATE orgs SET held_until_ms = NULL WHERE org = $1"
                           " AND held_until_ms <= " ML_PG_NOW_MS,
                           1, &org, diag);

    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

static struct said ask_about(struct ml_shard_finder *f, unsigned which, const char *org,
                             struct ml_diag *diag)
{
    /* Before there were several primaries, an org may have had keys and no row of its own. */
    static const char sql[] =
        "SELECT coalesce(moved_to, ''), coalesce(arriving_from, ''), CASE WHEN held_until_ms IS"
        " NULL THEN '' WHEN held_until_ms > " ML_PG_NOW_MS " THEN 'held' ELSE 'over' END"
        " FROM orgs WHERE org = $1"
        " UNION ALL SELECT '', '', '' FROM kv_revs WHERE org = $1"
        " AND NOT EXISTS (SELECT 1 FROM orgs WHERE org = $1)";
    struct said said = {ANSWER_NONE, ""};
    PGresult *result = NULL;

    if (!reach(f, which, diag))
        result = ask(f, which, sql, 1, &org, diag);
    if (!result)
        return said;
    said.answer = ANSWER_NO;
    if (PQntuples(result)) {
        const char *moved = PQgetvalue(result, 0, 0), *arriving = PQgetvalue(result, 0, 1);

        const char *held = PQgetvalue(result, 0, 2);

        said.answer = *arriving      ? ANSWER_ARRIVING
                      : *moved       ? ANSWER_MOVED
                      : *held == 'h' ? ANSWER_HELD
                                     : ANSWER_HERE;
        if (*held == 'o' && end_hold(f, which, org, diag))
            said.answer = ANSWER_NONE;
        (void)snprintf(said.other, sizeof said.other, "%s", *arriving ? arriving : moved);
    }
    PQclear(result);
    return said;
}

/* The last step of a move, which whoever made it did not come to. */
static enum ml_err settle(struct ml_shard_finder *f, unsigned which, const char *org,
                          const char *from, struct ml_diag *diag)
{
    const char *values[2] = {org, from};
    PGresult *result = ask(f, which,
                           "UPDATE orgs SET arriving_from = NULL, moved_to = NULL WHERE org = $1"
                           " AND arriving_from = $2",
                           2, values, diag);

    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

/* The first answer that was written is the one that holds. */
static enum ml_err choose(struct ml_shard_finder *f, const char *org, unsigned wanted,
                          unsigned *shard_out, struct ml_diag *diag)
{
    char now[24];
    const char *values[3] = {org, f->list->items[wanted].name, now};
    PGresult *result;
    size_t found = SIZE_MAX;

    (void)snprintf(now, sizeof now, "%lld", (long long)ml_clock_wall_ms());
    result = ask(f, 0, "INSERT INTO placements VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", 3,
                 values, diag);
    PQclear(result);
    if (!result)
        return ML_EIO;
    result = ask(f, 0, "SELECT shard FROM placements WHERE org = $1", 1, values, diag);
    if (!result)
        return ML_EIO;
    if (PQntuples(result))
        found = ml_shard_index(f->list, ml_slice_str(PQgetvalue(result, 0, 0)));
    if (found == SIZE_MAX)
        (void)ml_diag_set(diag, ML_EIO, 0, "org %s was placed on a primary that is not here", org);
    PQclear(result);
    if (found == SIZE_MAX)
        return ML_EIO;
    *shard_out = (unsigned)found;
    values[1] = now;
    result = ask(f, *shard_out,
                 "INSERT INTO orgs (org, created_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING", 2,
                 values, diag);
    PQclear(result);
    return result ? ML_OK : ML_EIO;
}

static enum ml_err search(struct ml_shard_finder *f, const char *org, unsigned guess,
                          unsigned *shard_out, struct ml_diag *diag)
{
    struct said said[ML_SHARDS_MAX];
    size_t count = f->list->count, other;
    bool is_known = true;

    for (unsigned i = 0; i < count; i++) {
        unsigned which = (guess + i) % (unsigned)count;

        said[which] = ask_about(f, which, org, diag);
        *shard_out = which;
        if (said[which].answer == ANSWER_HERE)
            return ML_OK;
        if (said[which].answer == ANSWER_HELD)
            return ML_EBUSY;
        is_known &= said[which].answer != ANSWER_NONE;
    }
    for (unsigned i = 0; i < count; i++) {
        other = ml_shard_index(f->list, ml_slice_str(said[i].other));
        if (said[i].answer != ANSWER_MOVED || other == SIZE_MAX ||
            said[other].answer != ANSWER_ARRIVING ||
            strcmp(said[other].other, f->list->items[i].name) != 0)
            continue;
        *shard_out = (unsigned)other;
        return settle(f, *shard_out, org, said[other].other, diag);
    }
    if (!is_known)
        return ML_EIO; /* diag says which */
    for (unsigned i = 0; i < count; i++)
        if (said[i].answer != ANSWER_NO)
            return ml_diag_set(diag, ML_EIO, 0, "org %s lives on no primary of this list", org);
    return ML_ENOTFOUND;
}

enum ml_err ml_shard_find(struct ml_shard_finder *f, struct ml_slice org, ml_shard_place place,
                          void *arg, unsigned *shard_out, struct ml_diag *diag)
{
    unsigned guess = ml_shard_guess(f->list, org);
    char text[256];
    enum ml_err err;
    size_t wanted;

    if (org.len >= sizeof text)
        return ML_ENOTFOUND;
    memcpy(text, org.ptr, org.len);
    text[org.len] = '\0';
    err = search(f, text, guess, shard_out, diag);
    if (err != ML_ENOTFOUND || !place)
        return err;
    wanted = place(arg, org);
    err = choose(f, text, wanted < f->list->count ? (unsigned)wanted : guess, shard_out, diag);
    /* It may have moved on since it was placed: whoever has it says so. */
    return err ? err : search(f, text, *shard_out, shard_out, diag);
}
