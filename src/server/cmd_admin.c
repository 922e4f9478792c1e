/* SPDX-License-Identifier: MIT */
#include "server/cmd_admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USAGE 2

int ml_admin_complain(int status, const char *text, const char *more)
{
    (void)fprintf(stderr, "moonloom: %s%s%s\n", text, more ? ": " : "", more ? more : "");
    return status;
}

static void print_complaint(void *arg, const char *path, unsigned line, const char *message)
{
    (void)arg;
    if (line)
        (void)fprintf(stderr, "%s:%u: %s\n", path, line, message);
    else
        (void)fprintf(stderr, "%s: %s\n", path, message);
}

/* ---- Arguments ------------------------------------------------------------------------------- */

static const char **place_of(struct ml_admin_arguments *a, const char *flag)
{
    const struct {
        const char *flag;
        const char **place;
    } rows[] = {{"--org", &a->org},
                {"--user", &a->user},
                {"--name", &a->name},
                {"--doc", &a->doc},
                {"--ttl", &a->ttl}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].flag, flag) == 0)
            return rows[i].place;
    return NULL;
}

/* What belongs to the configuration has a value too. */
bool ml_admin_read(int argc, char **argv, struct ml_admin_arguments *a)
{
    a->rest = calloc((size_t)argc + 1, sizeof *a->rest);
    for (int i = 0; a->rest && i < argc; i++) {
        const char **place = place_of(a, argv[i]);
        bool has_value = i + 1 < argc;

        if (place && has_value) {
            *place = argv[++i];
        } else if (strcmp(argv[i], "--role") == 0 && has_value && a->role_count < ML_ADMIN_ROLES) {
            a->roles[a->role_count++] = argv[++i];
        } else if (strcmp(argv[i], "--json") == 0) {
            a->is_json = true;
        } else if (strcmp(argv[i], "--password-stdin") == 0) {
            a->password_stdin = true;
        } else if (strcmp(argv[i], "--force") == 0) {
            a->force = true;
        } else if (argv[i][0] == '-') {
            a->rest[a->rest_count++] = argv[i];
            if (has_value)
                a->rest[a->rest_count++] = argv[++i];
        } else if (!a->word) {
            a->word = argv[i];
        } else {
            return false;
        }
    }
    return a->rest != NULL;
}

/* ---- The store ------------------------------------------------------------------------------- */

static void on_closed(void *arg)
{
    (void)arg;
}

void ml_admin_close(struct ml_admin *o)
{
    if (o->journal) {
        ml_journal_close(o->journal, on_closed, NULL);
        (void)uv_run(&o->loop, UV_RUN_DEFAULT);
    }
    (void)uv_loop_close(&o->loop);
    explicit_bzero(o->seal_key, sizeof o->seal_key);
    ml_config_release(&o->config);
}

/* As `serve` finds it. Not 0: said why. */
int ml_admin_open(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    struct ml_diag diag = {0};
    bool is_sqlite;

    if (uv_loop_init(&o->loop))
        return ml_admin_complain(1, "no event loop", NULL);
    if (ml_config_load(&o->config, a->rest_count, a->rest, print_complaint, NULL)) {
        ml_admin_close(o);
        return USAGE;
    }
    is_sqlite = strncmp(o->config.store, "sqlite:", 7) == 0;
    if (strcmp(o->config.store, "memory:") == 0) {
        ml_admin_close(o);
        return ml_admin_complain(1, "a store in memory is the server's alone", NULL);
    }
    o->has_seal_key = is_sqlite || getenv("MOONLOOM_SEAL_KEY");
    if (ml_journal_open_beside(o->config.store, &o->loop, &diag, &o->journal) ||
        (o->has_seal_key && ml_seal_key_load(o->config.data_dir, false, o->seal_key, &diag))) {
        (void)ml_admin_complain(1, o->config.store, diag.text);
        ml_admin_close(o);
        return 1;
    }
    return 0;
}
