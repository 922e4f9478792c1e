/* SPDX-License-Identifier: MIT */
/*
 * `moonloom plugin list`, `reload`, `trace` and `why`: what a running server says about its
 * plugins, and the order to take what is on disk now. Rows of several loops are one row here.
 */
#include "server/cmd_plugin_live.h"
#include "server/cmd_plugin_trace.h"

#include "base/codec.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_MAX     (16u << 20)
#define ASK_S          120L
#define TRIES          40 /* while another call is under way */
#define TRY_EACH_US    250000
#define ROWS_MAX       4096
#define FOLLOW_EACH_US 500000
#define EXIT_USAGE     2
#define EXIT_NOWHERE   3

struct wish {
    const char *url, *org, *document;
    bool as_json, hooks, faults, needs;
    bool dry, shadow, rollback, force;
    const char *hook, *verdict, *plugin, *user, *role, *action;
    bool all, follow;
    char after[24];
    char names[513]; /* of the words: plugins, with commas between them */
};

enum command { LIST, RELOAD, TRACE, WHY, COMMANDS };
static const char *const commands[COMMANDS] = {"list", "reload", "trace", "why"};

static int complain(int code, const char *what, const char *why)
{
    (void)fprintf(stderr, "moonloom plugin: %s%s%s\n", what, *why ? ": " : "", why);
    return code;
}

/* ---- What is asked for ---------------------------------------------------------------------- */

static bool add_name(struct wish *wish, const char *name)
{
    size_t len = strlen(wish->names);

    return snprintf(wish->names + len, sizeof wish->names - len, "%s%s", len ? "," : "", name) <
           (int)(sizeof wish->names - len);
}

static int read_flags(int argc, char **argv, struct wish *wish)
{
    const struct {
        const char *name;
        bool *flag;
        const char **text;
    } flags[] = {
        {"--json", &wish->as_json, NULL},      {"--hooks", &wish->hooks, NULL},
        {"--needs", &wish->needs, NULL},       {"--faults", &wish->faults, NULL},
        {"--dry-run", &wish->dry, NULL},       {"--shadow", &wish->shadow, NULL},
        {"--rollback", &wish->rollback, NULL}, {"--force", &wish->force, NULL},
        {"--org", NULL, &wish->org},           {"--doc", NULL, &wish->document},
        {"--url", NULL, &wish->url},           {"--hook", NULL, &wish->hook},
        {"--verdict", NULL, &wish->verdict},   {"--plugin", NULL, &wish->plugin},
        {"--user", NULL, &wish->user},         {"--role", NULL, &wish->role},
        {"--action", NULL, &wish->action},     {"--all", &wish->all, NULL},
        {"--follow", &wish->follow, NULL},
    };

    for (int i = 1; i < argc; i++) {
        bool known = false;

        for (size_t k = 0; k < sizeof flags / sizeof *flags && !known; k++) {
            if (strcmp(argv[i], flags[k].name) != 0)
                continue;
            known = true;
            if (flags[k].flag)
                *flags[k].flag = true;
            else if (i + 1 < argc)
                *flags[k].text = argv[++i];
            else
                return complain(EXIT_USAGE, argv[i], "its value is missing");
        }
        if (!known && *argv[i] == '-')
            return complain(EXIT_USAGE, argv[i], "not known here");
        if (!known && !add_name(wish, argv[i]))
            return complain(EXIT_USAGE, argv[i], "too many names");
    }
    return 0;
}

/* ---- The conversation ----------------------------------------------------------------------- */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct ml_writer *out = arg;

    ml_write_bytes(out, ml_slice_make(bytes, size * count));
    return out->err ? 0 : size * count;
}

static void add_parameter(CURL *curl, char *url, size_t size, const char *name, const char *value)
{
    char *escaped = curl_easy_escape(curl, value, 0);
    size_t len = strlen(url);

    (void)snprintf(url + len, size - len, "%c%s=%s", strchr(url, '?') ? '&' : '?', name,
                   escaped ? escaped : "");
    curl_free(escaped);
}

/* 0 and the status, or an exit code. */
static int ask_once(CURL *curl, const char *url, bool is_post, struct ml_writer *out, long *status)
{
    CURLcode rc;

    ml_writer_reset(out);
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, ASK_S);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    if (is_post)
        (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "POST");
    rc = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    return rc == CURLE_OK ? 0 : complain(EXIT_NOWHERE, url, curl_easy_strerror(rc));
}

static int ask(const struct wish *wish, enum command command, struct ml_writer *out, long *status)
{
    static const char *const paths[COMMANDS] = {"", "/reload", "/trace", "/why"};
    const struct {
        const char *name, *value;
    } parameters[] = {
        {"org", wish->org},
        {"doc", wish->document},
        {"hook", wish->hook},
        {"verdict", wish->verdict},
        {"plugin", *wish->names ? wish->names : wish->plugin},
        {"user", wish->user},
        {"role", wish->role},
        {"action", wish->action},
        {"after", *wish->after ? wish->after : NULL},
        {"all", wish->all ? "1" : NULL},
        {"dry_run", wish->dry ? "1" : NULL},
        {"shadow", wish->shadow ? "1" : NULL},
        {"rollback", wish->rollback ? "1" : NULL},
        {"force", wish->force ? "1" : NULL},
    };
    CURL *curl = curl_easy_init();
    char url[8192];
    int code = 1;

    if (!curl)
        return complain(1, "out of memory", "");
    (void)snprintf(url, sizeof url, "%s/api/v1/plugins%s", wish->url, paths[command]);
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        if (parameters[i].value)
            add_parameter(curl, url, sizeof url, parameters[i].name, parameters[i].value);
    for (int i = 0; i < TRIES; i++) {
        code = ask_once(curl, url, command == RELOAD, out, status);
        if (code || *status != 409)
            break;
        (void)usleep(TRY_EACH_US);
    }
    curl_easy_cleanup(curl);
    return code;
}

static const char *text(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(value) ? value->valuestring : "";
}

static double number(const cJSON *object, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static int refused(const cJSON *json, long status)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");

    if (cJSON_IsString(error))
        return complain(1, "refused", error->valuestring);
    (void)fprintf(stderr, "moonloom plugin: the server answers %ld: %s\n", status,
                  text(error, "message"));
    return 1;
}

/* ---- list ----------------------------------------------------------------------------------- */

struct row {
    const cJSON *first; /* of one loop */
    double calls, denials, failures, memory, p99_us;
    const char *state, *error;
};

static const char *cell_of(const cJSON *answer, const char *plugin)
{
    const cJSON *deployment = cJSON_GetObjectItemCaseSensitive(answer, "deployment"), *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(deployment, "plugins"))
    {
        if (strcmp(text(item, "name"), plugin) == 0)
            return text(item, "cell");
    }
    return "org";
}

static size_t fold_rows(const cJSON *answer, struct row *rows)
{
    const cJSON *item;
    size_t n = 0;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "instances"))
    {
        size_t i = 0;

        while (i < n && (strcmp(text(rows[i].first, "org"), text(item, "org")) != 0 ||
                         strcmp(text(rows[i].first, "instance"), text(item, "instance")) != 0))
            i++;
        if (i == ROWS_MAX)
            continue;
        if (i == n)
            rows[n++] = (struct row){.first = item, .state = "ok", .error = ""};
        rows[i].calls += number(item, "calls");
        rows[i].denials += number(item, "denials");
        rows[i].failures += number(item, "failures");
        rows[i].memory += number(item, "memory_bytes");
        if (number(item, "p99_us") > rows[i].p99_us)
            rows[i].p99_us = number(item, "p99_us");
        if (strcmp(text(item, "state"), "ok") != 0)
            rows[i].state = text(item, "state");
        if (*text(item, "error"))
            rows[i].error = text(item, "error");
    }
    return n;
}

static void print_chain(const struct row *rows, size_t n, const char *hook)
{
    const cJSON *item;
    bool is_first = true;

    for (int place = 1; place <= 64; place++)
        for (size_t i = 0; i < n; i++) {
            cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(rows[i].first, "hooks"))
            {
                if (strcmp(text(item, "hook"), hook) != 0 || number(item, "place") != place)
                    continue;
                (void)printf("%-18s %2d %s (%s)  %s\n", is_first ? hook : "", place,
                             text(rows[i].first, "instance"), text(item, "why"),
                             text(rows[i].first, "org"));
                is_first = false;
            }
        }
}

static void print_hooks(const struct row *rows, size_t n)
{
    const char *seen[64];
    size_t seen_count = 0;
    const cJSON *item;

    (void)printf("\n");
    for (size_t i = 0; i < n; i++) {
        cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(rows[i].first, "hooks"))
        {
            size_t k = 0;

            while (k < seen_count && strcmp(seen[k], text(item, "hook")) != 0)
                k++;
            if (k < seen_count || seen_count == sizeof seen / sizeof *seen)
                continue;
            seen[seen_count++] = text(item, "hook");
            print_chain(rows, n, text(item, "hook"));
        }
    }
}

/* What plugins asked for, and were granted: else they were not there. */
static void print_needs(const cJSON *answer)
{
    const cJSON *deployment = cJSON_GetObjectItemCaseSensitive(answer, "deployment"), *item;

    (void)printf("\n");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(deployment, "plugins"))
    {
        (void)printf("%-20s %s\n", text(item, "name"),
                     *text(item, "needs") ? text(item, "needs") : "(nothing)");
    }
}

static void print_list(const cJSON *answer, const struct wish *wish)
{
    struct row *rows = calloc(ROWS_MAX, sizeof *rows);
    size_t n = rows ? fold_rows(answer, rows) : 0;

    (void)printf("%-16s %-20s %-8s %4s  %-8s %-8s %9s %8s %8s %7s %10s\n", "ORG", "INSTANCE",
                 "VERSION", "GEN", "CELL", "STATE", "CALLS", "p99", "DENIED", "ERR", "MEMORY");
    for (size_t i = 0; i < n; i++) {
        const char *cell = cell_of(answer, text(rows[i].first, "plugin"));

        if (wish->faults && !rows[i].failures && strcmp(rows[i].state, "ok") == 0)
            continue;
        (void)printf("%-16s %-20s %-8s %4.0f  %-8s %-8s %9.0f %6.1fms %8.0f %7.0f %6.1f MiB  %s\n",
                     *text(rows[i].first, "org") ? text(rows[i].first, "org") : "-",
                     text(rows[i].first, "instance"), text(rows[i].first, "version"),
                     number(rows[i].first, "generation"), cell, rows[i].state, rows[i].calls,
                     rows[i].p99_us / 1000, rows[i].denials, rows[i].failures,
                     rows[i].memory / 1048576, rows[i].error);
    }
    if (wish->hooks && rows)
        print_hooks(rows, n);
    if (wish->needs)
        print_needs(answer);
    free(rows);
}

/* ---- reload --------------------------------------------------------------------------------- */

static bool is_named(const char *names, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = names; (at = strstr(at, name)); at += len)
        if ((at == names || at[-1] == ',') && (!at[len] || at[len] == ','))
            return true;
    return !*names;
}

static void print_reload(const cJSON *answer, const struct wish *wish)
{
    const cJSON *deployment = cJSON_GetObjectItemCaseSensitive(answer, "deployment"), *item;
    int loop = 0;

    (void)printf("deployment %.0f\n", number(deployment, "generation"));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(deployment, "plugins"))
    {
        if (!is_named(wish->names, text(item, "name")))
            continue;
        (void)printf("  plugin  %s %s  content %s  %.0f files\n", text(item, "name"),
                     text(item, "version"), text(item, "content"), number(item, "files"));
    }
    (void)printf("  check   manifests ok, config ok; %.0f orgs have an entry of their own\n",
                 number(deployment, "orgs"));
    if (strcmp(text(answer, "state"), "fine") == 0) {
        (void)printf("dry run: nothing was changed\n");
        return;
    }
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "loops"))
    {
        (void)printf("  swap    loop %d  %.1f ms  %.0f states  handed over %.0f bytes\n", loop++,
                     number(item, "swap_us") / 1000, number(item, "states"), number(item, "bytes"));
    }
    (void)printf("done in %.0f ms\n", number(answer, "took_ms"));
}

/* ---- The commands --------------------------------------------------------------------------- */

static int print(const struct wish *wish, enum command command, const cJSON *json,
                 struct ml_slice bytes)
{
    if (wish->as_json && !wish->follow) {
        (void)printf("%.*s\n", ML_PRINT(bytes));
        return 0;
    }
    switch (command) {
    case RELOAD:
        print_reload(json, wish);
        return 0;
    case TRACE:
        ml_trace_print(json, wish->as_json);
        return 0;
    case WHY:
        return ml_why_print(json);
    case LIST:
    case COMMANDS:
        print_list(json, wish);
    }
    return 0;
}

static int run_once(struct wish *wish, enum command command, struct ml_writer *out)
{
    cJSON *json = NULL;
    long status = 0;
    int code = ask(wish, command, out, &status);

    if (code)
        return code;
    json = cJSON_ParseWithLength((const char *)out->ptr, out->len);
    if (status / 100 != 2 || !json)
        code = refused(json, status);
    else
        code = print(wish, command, json, ml_writer_slice(out));
    (void)snprintf(wish->after, sizeof wish->after, "%.0f", number(json, "until_us"));
    cJSON_Delete(json);
    return code;
}

bool ml_cmd_plugin_is_live(const char *word)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(word, commands[i]) == 0)
            return true;
    return false;
}

int ml_cmd_plugin_live(int argc, char **argv)
{
    struct wish wish = {.url = getenv("MOONLOOM_URL")};
    enum command command = LIST;
    struct ml_writer out;
    int code = read_flags(argc, argv, &wish);

    while (strcmp(argv[0], commands[command]) != 0)
        command++;
    if (!wish.url)
        wish.url = "http://127.0.0.1:8080";
    if (code)
        return code;
    if (wish.follow && command != TRACE)
        return complain(EXIT_USAGE, "--follow", "only trace follows");
    if (*wish.names && command != RELOAD)
        return complain(EXIT_USAGE, wish.names, "only reload takes names of plugins");
    if (command == WHY && (!wish.org || !wish.document))
        return complain(EXIT_USAGE, "why", "needs --org and --doc; --user, --role, --action");
    ml_writer_init(&out, ANSWER_MAX);
    code = run_once(&wish, command, &out);
    while (wish.follow && !code) {
        (void)fflush(stdout);
        (void)usleep(FOLLOW_EACH_US);
        code = run_once(&wish, command, &out);
    }
    ml_writer_release(&out);
    return code;
}
