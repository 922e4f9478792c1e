/* SPDX-License-Identifier: MIT */
/* One binary: a command is a row of a table. Exit: 0 fine, 1 findings or failure, 2 usage, 3
 * server unreachable. */
#include "base/log.h"
#include "bind/bind.h"
#include "script/script.h"
#include "server/cmd_audit.h"
#include "server/cmd_bench.h"
#include "server/cmd_doc.h"
#include "server/cmd_health.h"
#include "server/cmd_identity.h"
#include "server/cmd_migrate.h"
#include "server/cmd_org.h"
#include "server/cmd_plugin.h"
#include "server/cmd_update.h"
#include "server/cmd_user.h"
#include "server/config.h"
#include "server/wiring.h"

#include <stdio.h>

#ifndef MOONLOOM_VERSION
#define MOONLOOM_VERSION "0"
#endif

static void print_complaint(void *arg, const char *path, unsigned line, const char *message)
{
    (void)arg;
    if (line)
        (void)fprintf(stderr, "%s:%u: %s\n", path, line, message);
    else
        (void)fprintf(stderr, "%s: %s\n", path, message);
}

static int cmd_serve(int argc, char **argv)
{
    struct ml_config config;
    int status = 2;

    if (!ml_config_load(&config, argc, argv, print_complaint, NULL))
        status = ml_serve(&config);
    ml_config_release(&config);
    return status;
}

/* Every org has to be able to run. */
static enum ml_err check_plugins(const struct ml_config *config)
{
    const struct ml_deploy_options options = ml_config_deploy(config);
    struct ml_deploy *deploy = NULL;
    struct ml_diag diag = {0};
    struct ml_writer report;
    enum ml_err err;

    ml_writer_init(&report, 1u << 20);
    err = ml_deploy_new(&options, &report, &diag, &deploy);
    if (report.len)
        (void)fprintf(stderr, "%.*s", ML_PRINT(ml_writer_slice(&report)));
    else if (err)
        (void)fprintf(stderr, "%s\n", diag.text);
    ml_writer_release(&report);
    ml_deploy_unref(deploy);
    return err;
}

static int cmd_check_config(int argc, char **argv)
{
    struct ml_config config;
    char *flags[2] = {(char *)(uintptr_t) "--config", argc == 1 ? argv[0] : NULL};
    enum ml_err err;

    if (argc != 1) {
        (void)fprintf(stderr, "usage: moonloom check-config FILE\n");
        return 2;
    }
    err = ml_config_load(&config, 2, flags, print_complaint, NULL);
    if (!err)
        err = check_plugins(&config);
    ml_config_release(&config);
    if (!err)
        (void)printf("%s: fine\n", argv[0]);
    return err ? 1 : 0;
}

static int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("moonloom %s\n", MOONLOOM_VERSION);
    return 0;
}

static const struct command {
    const char *name, *arguments, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve",
     "[--config FILE] [--listen HOST:PORT] [--data DIR] [--store URL] [--plugins DIR] [--log "
     "LEVEL] [--dev]",
     "run the server", cmd_serve},
    {"check-config", "FILE", "check a configuration, print every error with its line",
     cmd_check_config},
    {"health", "[--ready] [--url http://127.0.0.1:8080]",
     "ask a server whether it is alive, or takes traffic", ml_cmd_health},
    {"update", "apply|merge|diff|sv|convert|show …",
     "work on files of Yjs updates, without a server", ml_cmd_update},
    {"doc", "ls|cat|state|import|export|history|rm|undelete … [--url URL | --store sqlite:PATH]",
     "documents of a running server, or of a store", ml_cmd_doc},
    {"migrate", "[--check] [--role ROLE] [--config FILE | --store URL | --data DIR]",
     "bring the schema of the store up to what this build needs", ml_cmd_migrate},
    {"org", "add ORG | ls | move ORG --to PRIMARY | suspend ORG | resume ORG | rm ORG --yes",
     "orgs as a whole, in the store, while servers run", ml_cmd_org},
    {"plugin", "new|test|lint|check|replay|list|reload|trace|why … (moonloom plugin help)",
     "write, test and check plugins", ml_cmd_plugin},
    {"audit", "ls|verify [--org ORG] [--url URL]",
     "the security log of an org, of a running server", ml_cmd_audit},
    {"token", "--org ORG --user ID [--name N] [--role R]… [--doc PATTERN] [--ttl 15m]",
     "mint a token with the server's own key", ml_cmd_token},
    {"key", "add --org ORG --name N [--role R]… | ls | rotate | rm --org ORG ID",
     "keys that sign, and keys of programs", ml_cmd_key},
    {"user", "add NAME --org ORG --role ROLE --password-stdin | ls | passwd NAME | rm NAME",
     "accounts that sign in with a password", ml_cmd_user},
    {"bench", "engine TRACE", "measure", ml_cmd_bench},
    {"version", "", "print the version", cmd_version},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static int help(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (name && strcmp(name, commands[i].name) != 0)
            continue;
        (void)printf("  moonloom %s %s\n      %s\n", commands[i].name, commands[i].arguments,
                     commands[i].summary);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";

    ml_script_use_jwt(&ml_bind_jwt);
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    (void)fprintf(stderr, "moonloom: unknown command \"%s\"; see moonloom help\n", name);
    return 2;
}
