/* SPDX-License-Identifier: MIT */
/*
 * `moonloom migrate [--check] [--role ROLE]` and the flags of `serve` that say which store: brings
 * the schema up to what this build needs. With --check it changes nothing, and exits 1 if there is
 * something to do.
 */
#include "server/cmd_migrate.h"

#include "journal/journal.h"
#include "server/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
    bool only_look;
    const char *role;
    char **rest; /* for the configuration */
    int rest_count;
};

static void print_complaint(void *arg, const char *path, unsigned line, const char *message)
{
    (void)arg;
    if (line)
        (void)fprintf(stderr, "%s:%u: %s\n", path, line, message);
    else
        (void)fprintf(stderr, "%s: %s\n", path, message);
}

static bool read_arguments(int argc, char **argv, struct arguments *out)
{
    out->rest = calloc((size_t)argc + 1, sizeof *out->rest);
    for (int i = 0; out->rest && i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0)
            out->only_look = true;
        else if (strcmp(argv[i], "--role") == 0 && i + 1 < argc)
            out->role = argv[++i];
        else
            out->rest[out->rest_count++] = argv[i];
    }
    return out->rest != NULL;
}

static int migrate(const char *store, const struct arguments *a)
{
    struct ml_migration found;
    struct ml_diag diag = {0};
    enum ml_err err = ml_journal_migrate(store, a->only_look, a->role, &found, &diag);

    if (err) {
        (void)fprintf(stderr, "moonloom migrate: %s\n",
                      diag.text[0] ? diag.text : ml_err_text(err));
        return 1;
    }
    if (found.before >= found.needed) {
        (void)printf("schema %ld: nothing to do\n", found.before);
        return 0;
    }
    if (a->only_look) {
        (void)printf("schema %ld, this build needs %ld: run moonloom migrate\n", found.before,
                     found.needed);
        return 1;
    }
    (void)printf("schema %ld -> %ld\n", found.before, found.needed);
    return 0;
}

int ml_cmd_migrate(int argc, char **argv)
{
    struct arguments a = {0};
    struct ml_config config;
    int status = 2;

    if (!read_arguments(argc, argv, &a))
        return 1;
    if (!ml_config_load(&config, a.rest_count, a.rest, print_complaint, NULL))
        status = migrate(config.store, &a);
    ml_config_release(&config);
    free(a.rest);
    return status;
}
