/* SPDX-License-Identifier: MIT */
/*
 * `moonloom org`: what is done with an org as a whole, in the store, beside running servers. They
 * see it with the next thing that they ask of the store, at the latest after ten seconds.
 */
#include "server/cmd_org.h"

#include "base/clock.h"
#include "server/cmd_admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USAGE      2
#define TELL_EVERY 100000 /* rows */
#define TEXT                                                                                       \
    "org add ORG [--primary P] | org ls [--json] | org suspend ORG | org resume ORG | "            \
    "org move ORG --to PRIMARY | org move ORG --abort | org rm ORG --yes"

struct org_arguments {
    const char *org, *primary, *to;
    bool is_json, is_sure, is_undo;
    char **rest; /* for the configuration */
    int rest_count;
};

static bool read_arguments(int argc, char **argv, struct org_arguments *a)
{
    const struct ml_flag flags[] = {
        {"--primary", .value = &a->primary}, {"--to", .value = &a->to},
        {"--abort", .is_set = &a->is_undo},  {"--json", .is_set = &a->is_json},
        {"--yes", .is_set = &a->is_sure},    {NULL}};
    struct ml_flags_rest rest;
    bool is_good = ml_flags_read(argc, argv, flags, &rest);

    a->org = rest.word;
    a->rest = rest.argv;
    a->rest_count = rest.argc;
    return is_good;
}

static int failed(const char *org, enum ml_err err, const struct ml_diag *diag)
{
    return err ? ml_admin_complain(1, org, diag->text[0] ? diag->text : ml_err_text(err)) : 0;
}

/* ---- Telling plugins --------------------------------------------------------------------------
 */

static void on_journal_closed(void *arg)
{
    (void)arg;
}

/* A job of nobody, which a server that runs over this store spreads (worker.c): as durable as the
 * rest of it. */
static enum ml_err push_news(struct ml_journal *journal, uv_loop_t *loop, const char *hook,
                             const char *org, struct ml_diag *diag)
{
    char name[32], args[96];
    struct ml_store_item item = {.act = ML_STORE_PUSH};
    struct ml_core_write ask = {
        .write = {.org = ML_SLICE("-"), .space = ML_SLICE("kv"), .items = &item, .count = 1}};
    enum ml_err err;

    (void)snprintf(name, sizeof name, "@%s", hook);
    (void)snprintf(args, sizeof args, "{\"id\":\"%s\"}", org); /* an id needs no escapes */
    item.key = ml_slice_str(name);
    item.value = ml_slice_str(args);
    item.upto = ml_slice_str(org);
    err = ml_core_commit(journal, loop, &ask, diag);
    ml_store_write_release(&ask.write);
    return err;
}

/* What was done is done, whether anybody hears of it or not. */
static void tell_plugins(const char *store, const char *hook, const char *org)
{
    struct ml_journal *journal = NULL;
    struct ml_diag diag = {0};
    uv_loop_t loop;
    enum ml_err err;

    if (uv_loop_init(&loop))
        return;
    err = ml_journal_open_beside(store, &loop, &diag, &journal);
    if (!err)
        err = push_news(journal, &loop, hook, org, &diag);
    if (err)
        (void)fprintf(stderr, "moonloom: it is done, but plugins do not hear of it: %s\n",
                      diag.text[0] ? diag.text : ml_err_text(err));
    if (journal)
        ml_journal_close(journal, on_journal_closed, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static int org_add(const char *store, const struct org_arguments *a)
{
    struct ml_diag diag = {0};

    return failed(a->org, ml_org_add(store, ml_slice_str(a->org), a->primary, &diag), &diag);
}

static int org_suspend(const char *store, const struct org_arguments *a)
{
    struct ml_diag diag = {0};

    return failed(a->org, ml_org_suspend(store, ml_slice_str(a->org), true, &diag), &diag);
}

static int org_resume(const char *store, const struct org_arguments *a)
{
    struct ml_diag diag = {0};

    return failed(a->org, ml_org_suspend(store, ml_slice_str(a->org), false, &diag), &diag);
}

static const char *state_of(const struct ml_org_facts *facts)
{
    if (facts->removed_ms)
        return "removed";
    if (facts->moving_to.len)
        return "moving";
    return facts->suspended_ms ? "suspended" : "open";
}

static void print_org(void *arg, const struct ml_org_facts *facts)
{
    const struct org_arguments *a = arg;

    if (a->is_json)
        (void)printf("{\"org\":\"%.*s\",\"state\":\"%s\",\"documents\":%" PRIu64
                     ",\"bytes\":%" PRIu64 ",\"created_ms\":%lld",
                     ML_PRINT(facts->org), state_of(facts), facts->documents, facts->bytes,
                     (long long)facts->created_ms);
    else
        (void)printf("%-24.*s %-10s %8" PRIu64 " documents %12" PRIu64 " bytes",
                     ML_PRINT(facts->org), state_of(facts), facts->documents, facts->bytes);
    if (a->is_json && facts->primary.len)
        (void)printf(",\"primary\":\"%.*s\"", ML_PRINT(facts->primary));
    else if (facts->primary.len)
        (void)printf("  on %.*s", ML_PRINT(facts->primary));
    if (a->is_json && facts->moving_to.len)
        (void)printf(",\"moving_to\":\"%.*s\"", ML_PRINT(facts->moving_to));
    else if (facts->moving_to.len)
        (void)printf(", to %.*s", ML_PRINT(facts->moving_to));
    (void)printf(a->is_json ? "}\n" : "\n");
}

static int org_list(const char *store, const struct org_arguments *a)
{
    struct ml_diag diag = {0};

    return failed("org ls", ml_orgs_list(store, print_org, (void *)(uintptr_t)a, &diag), &diag);
}

static void tell_rows(void *arg, uint64_t rows)
{
    uint64_t *told = arg;

    if (rows / TELL_EVERY == *told / TELL_EVERY)
        return;
    *told = rows;
    (void)fprintf(stderr, "%" PRIu64 " rows removed\n", rows);
}

static int org_remove(const char *store, const struct org_arguments *a)
{
    struct ml_diag diag = {0};
    uint64_t told = 0;

    if (strcmp(a->org, "default") == 0)
        return ml_admin_complain(1, "the org default is always there", NULL);
    return failed(a->org, ml_org_remove(store, ml_slice_str(a->org), tell_rows, &told, &diag),
                  &diag);
}

static int org_move(const char *store, const struct org_arguments *a)
{
    struct ml_org_moved moved = {0};
    const struct ml_org_move order = {
        .org = ml_slice_str(a->org), .to = a->to, .abort = a->is_undo, .result = &moved};
    struct ml_diag diag = {0};
    enum ml_err err = ml_org_move(store, &order, &diag);

    if (!err && a->is_undo)
        (void)printf("%s stays where it is\n", a->org);
    else if (!err)
        (void)printf("%s is on %s; its writers waited %" PRIu64 " ms\n", a->org, a->to,
                     moved.held_ms);
    return failed(a->org, err, &diag);
}

static void print_complaint(void *arg, const char *path, unsigned line, const char *message)
{
    (void)arg;
    if (line)
        (void)fprintf(stderr, "%s:%u: %s\n", path, line, message);
    else
        (void)fprintf(stderr, "%s: %s\n", path, message);
}

static const struct row {
    const char *name;
    int (*run)(const char *store, const struct org_arguments *a);
    bool takes_org, takes_primary, takes_json, asks;
    const char *hook; /* that plugins are told when it is done; NULL: none */
} rows[] = {
    {"add", org_add, true, true, false, false, "org_created"},
    {"ls", org_list, false, false, true, false, NULL},
    {"suspend", org_suspend, true, false, false, false, "org_suspended"},
    {"resume", org_resume, true, false, false, false, "org_resumed"},
    {"move", org_move, true, false, false, false, "org_changed"},
    {"rm", org_remove, true, false, false, true, "org_deleted"},
};

/* NULL: said why. */
static const struct row *understand(int argc, char **argv, struct org_arguments *a)
{
    const struct row *row = NULL;

    for (size_t i = 0; argc > 0 && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, argv[0]) == 0)
            row = &rows[i];
    if (!row || !read_arguments(argc - 1, argv + 1, a) || row->takes_org != (a->org != NULL) ||
        (a->primary && !row->takes_primary) ||
        (row->run == org_move ? !a->to == !a->is_undo : a->to || a->is_undo) ||
        (a->is_json && !row->takes_json)) {
        (void)ml_admin_complain(USAGE, TEXT, NULL);
        return NULL;
    }
    if (a->org && !ml_org_is_valid(ml_slice_str(a->org))) {
        (void)ml_admin_complain(USAGE, "an org is a-z, 0-9 and -, up to 63 of them", a->org);
        return NULL;
    }
    if (row->asks && !a->is_sure) {
        (void)ml_admin_complain(USAGE, "this removes every document of the org for good; say --yes",
                                a->org);
        return NULL;
    }
    return row;
}

int ml_cmd_org(int argc, char **argv)
{
    struct org_arguments a = {0};
    struct ml_config config;
    const struct row *row = understand(argc, argv, &a);
    int status = USAGE;

    if (row) {
        if (!ml_config_load(&config, a.rest_count, a.rest, print_complaint, NULL))
            status = row->run(config.store, &a);
        if (!status && row->hook && !a.is_undo)
            tell_plugins(config.store, row->hook, a.org);
        ml_config_release(&config);
    }
    free(a.rest);
    return status;
}
