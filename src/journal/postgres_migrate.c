/* SPDX-License-Identifier: MIT */
/*
 * The schema in PostgreSQL, and who brings it up to date.
 *
 *   moonloom migrate   under an advisory lock, one file after the other, each in a transaction of
 *                      its own: cut off anywhere, it goes on where it was; of two at once one waits
 *   a node             only looks. It refuses an older schema, and needs no right to change tables.
 *                      A database with nothing of ours in it is set up by whoever comes first.
 *
 * A file may say "-- oldest: N": builds that need schema N go on with it. So the schema is changed
 * first and the nodes are replaced afterwards, one by one (REL-29).
 */
#include "journal/postgres.h"

#include "base/clock.h"
#include "base/log.h"
#include "postgres_schema.h"

#include <stdlib.h>

#define ADVISORY_LOCK "7598263478146"

struct versions {
    long stored, oldest; /* oldest: builds from here on may use it */
};

static long version_of(const struct ml_embedded *migration)
{
    return strtol(migration->name, NULL, 10);
}

static long needed_version(void)
{
    long newest = 0;

    for (const struct ml_embedded *m = ml_postgres_migrations; m->name; m++)
        newest = version_of(m);
    return newest;
}

static long oldest_of(const struct ml_embedded *migration)
{
    const char *mark = strstr((const char *)migration->bytes, "\n-- oldest: ");

    return mark ? strtol(mark + strlen("\n-- oldest: "), NULL, 10) : version_of(migration);
}

static enum ml_err look(struct ml_pg *pg, struct versions *out, struct ml_diag *diag)
{
    PGresult *result = ml_pg_plain(pg, "SELECT to_regclass('schema_version') IS NOT NULL", diag);
    bool exists = result && PQgetvalue(result, 0, 0)[0] == 't';

    *out = (struct versions){0};
    PQclear(result);
    if (!result)
        return ML_EIO;
    if (!exists)
        return ML_OK;
    /* The column came later than the table. */
    result = ml_pg_plain(pg,
                         "SELECT coalesce(max(version), 0), coalesce(max(coalesce("
                         "(to_jsonb(v) ->> 'oldest')::int, version)), 0) FROM schema_version AS v",
                         diag);
    if (!result)
        return ML_EIO;
    out->stored = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    out->oldest = strtol(PQgetvalue(result, 0, 1), NULL, 10);
    PQclear(result);
    return ML_OK;
}

static enum ml_err apply(struct ml_pg *pg, const struct ml_embedded *m, struct ml_diag *diag)
{
    char note[256];
    enum ml_err err = ml_pg_plain_run(pg, "BEGIN", diag);

    (void)snprintf(note, sizeof note,
                   "INSERT INTO schema_version (version, name, applied_ms, oldest)"
                   " VALUES (%ld, '%s', %lld, %ld)",
                   version_of(m), m->name, (long long)ml_clock_wall_ms(), oldest_of(m));
    if (!err)
        err = ml_pg_plain_run(pg, (const char *)m->bytes, diag);
    if (!err)
        err = ml_pg_plain_run(pg, note, diag);
    if (!err)
        return ml_pg_plain_run(pg, "COMMIT", diag);
    (void)!ml_pg_plain_run(pg, "ROLLBACK", NULL);
    return err;
}

/* Under the lock: somebody else may have done it meanwhile. */
static enum ml_err apply_missing(struct ml_pg *pg, struct ml_diag *diag)
{
    struct versions versions = {0};
    enum ml_err err =
        ml_pg_plain_run(pg,
                        "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY,"
                        " name text NOT NULL, applied_ms bigint NOT NULL);"
                        "ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS oldest integer",
                        diag);

    if (!err)
        err = look(pg, &versions, diag);
    for (const struct ml_embedded *m = ml_postgres_migrations; m->name && !err; m++) {
        if (version_of(m) <= versions.stored)
            continue;
        ml_log(ML_LOG_INFO, "journal.migrating", "to=%s", m->name);
        err = apply(pg, m, diag);
    }
    return err;
}

static enum ml_err bring_up(struct ml_pg *pg, struct ml_diag *diag)
{
    enum ml_err err = ml_pg_plain_run(pg, "SELECT pg_advisory_lock(" ADVISORY_LOCK ")", diag);

    if (err)
        return err;
    err = apply_missing(pg, diag);
    (void)!ml_pg_plain_run(pg, "SELECT pg_advisory_unlock(" ADVISORY_LOCK ")", NULL);
    return err;
}

static enum ml_err too_new(const struct versions *versions, struct ml_diag *diag)
{
    return ml_diag_set(diag, ML_EVERSION, 0,
                       "the journal has schema version %ld, this build knows up to %ld: "
                       "use a newer build",
                       versions->stored, needed_version());
}

enum ml_err ml_pg_check_schema(struct ml_pg *pg, struct ml_diag *diag)
{
    struct versions versions;
    enum ml_err err = look(pg, &versions, diag);

    if (err)
        return err;
    if (versions.stored > needed_version())
        return versions.oldest > needed_version() ? too_new(&versions, diag) : ML_OK;
    if (!versions.stored)
        return bring_up(pg, diag);
    if (versions.stored < needed_version())
        return ml_diag_set(
            diag, ML_EVERSION, 0,
            "the journal has schema version %ld, this build needs %ld; run: moonloom "
            "migrate (with the --config or --store of the server, as an account that "
            "may change tables)",
            versions.stored, needed_version());
    return ML_OK;
}

/* The tables are the migrator's; the role reads and writes rows of all orgs, and owns nothing. */
static enum ml_err let_in(struct ml_pg *pg, const char *role, struct ml_diag *diag)
{
    static const char format[] =
        "DO $do$ DECLARE t regclass; BEGIN"
        " EXECUTE format('GRANT USAGE ON SCHEMA %%I TO %%I', current_schema(), %s);"
        " FOR t IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = "
        "current_schema()::regnamespace"
        "   AND c.relkind = 'r' AND c.relowner = current_user::regrole AND (c.relname ="
        "   'schema_version' OR EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid"
        "   AND p.polname = 'one_org')) LOOP"
        "  IF t = to_regclass('schema_version') THEN"
        "   EXECUTE format('GRANT SELECT ON %%s TO %%I', t, %s);"
        "  ELSE"
        "   EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %%s TO %%I', t, %s);"
        "   EXECUTE format('DROP POLICY IF EXISTS %%I ON %%s', 'server ' || %s, t);"
        "   EXECUTE format('CREATE POLICY %%I ON %%s TO %%I USING (true) WITH CHECK (true)',"
        "    'server ' || %s, t, %s);"
        "  END IF;"
        " END LOOP; END $do$";
    char *quoted = PQescapeLiteral(pg->conn, role, strlen(role));
    size_t size = sizeof format + 6 * (quoted ? strlen(quoted) : 0);
    char *sql = quoted ? malloc(size) : NULL;
    enum ml_err err = sql ? ML_OK : ML_ELIMIT;

    /* Inside $do$ … $do$ the text would end at its own mark. */
    if (!err && strstr(quoted, "$do$"))
        err = ml_diag_set(diag, ML_EFORMAT, 0, "no role can have this name");
    if (!err) {
        (void)snprintf(sql, size, format, quoted, quoted, quoted, quoted, quoted, quoted);
        err = ml_pg_plain_run(pg, sql, diag);
    }
    free(sql);
    PQfreemem(quoted);
    return err;
}

enum ml_err ml_pg_migrate(const char *url, bool only_look, const char *role,
                          struct ml_migration *out, struct ml_diag *diag)
{
    struct ml_pg pg = {0};
    struct versions versions = {0};
    enum ml_err err = ml_pg_connect(&pg, url, true, diag);

    if (err)
        return err;
    err = look(&pg, &versions, diag);
    out->before = versions.stored;
    out->needed = needed_version();
    if (!err && versions.stored > out->needed && versions.oldest > out->needed)
        err = too_new(&versions, diag);
    if (!err && !only_look && versions.stored < out->needed)
        err = bring_up(&pg, diag);
    if (!err && !only_look && role)
        err = let_in(&pg, role, diag);
    ml_pg_close(&pg);
    return err;
}
