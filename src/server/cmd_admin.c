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

static const struct ml_flag *find(const struct ml_flag *flags, const char *text)
{
    for (; flags->name; flags++)
        if (strcmp(flags->name, text) == 0)
            return flags;
    return NULL;
}

/* False: too many of them. */
static bool put(const struct ml_flag *flag, const char *value)
{
    if (flag->count && *flag->count == flag->max)
        return false;
    flag->value[flag->count ? (*flag->count)++ : 0] = value;
    return true;
}

bool ml_flags_read(int argc, char **argv, const struct ml_flag *flags, struct ml_flags_rest *out)
{
    *out = (struct ml_flags_rest){.argv = calloc((size_t)argc + 1, sizeof *out->argv)};
    for (int i = 0; out->argv && i < argc; i++) {
        const struct ml_flag *flag = find(flags, argv[i]);
        bool has_value = i + 1 < argc;

        if (flag && flag->is_set) {
            *flag->is_set = true;
        } else if (flag && has_value) {
            if (!put(flag, argv[++i]))
                return false;
        } else if (argv[i][0] == '-') {
            out->argv[out->argc++] = argv[i];
            if (has_value)
                out->argv[out->argc++] = argv[++i];
        } else if (!out->word) {
            out->word = argv[i];
        } else {
            return false;
        }
    }
    return out->argv != NULL;
}

bool ml_admin_read(int argc, char **argv, struct ml_admin_arguments *a)
{
    const struct ml_flag flags[] = {
        {"--org", .value = &a->org},
        {"--user", .value = &a->user},
        {"--name", .value = &a->name},
        {"--doc", .value = &a->doc},
        {"--ttl", .value = &a->ttl},
        {"--role", .value = a->roles, .count = &a->role_count, .max = ML_ADMIN_ROLES},
        {"--json", .is_set = &a->is_json},
        {"--password-stdin", .is_set = &a->password_stdin},
        {"--force", .is_set = &a->force},
        {NULL}};
    struct ml_flags_rest rest;
    bool is_good = ml_flags_read(argc, argv, flags, &rest);

    a->word = rest.word;
    a->rest = rest.argv;
    a->rest_count = rest.argc;
    return is_good;
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
