/* SPDX-License-Identifier: MIT */
/*
 * The configuration as one table of keys: name, type, how it is applied. The file's keys, the
 * environment's names and the flags are rows of it, so that what is accepted is listed once.
 */
#include "server/config.h"

#include "base/ip_range.h"
#include "bus/bus.h"
#include "journal/journal.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_BYTES (64u << 20) /* with the files of all orgs */
#define LOOPS_MAX    64
#define SECRET_NAME  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"

struct loading {
    struct ml_config *config;
    const char *path; /* of the file, or where else the value stands */
    const cJSON *lines;
    ml_config_report report;
    void *arg;
    cJSON *kept; /* plugins, plans, order, grants */
    cJSON *jwt;  /* auth of mode "jwt", without its mode: the configuration of auth-jwt */
    unsigned complaints;
    cJSON *authorship_orgs; /* NULL: none */
    char authorship_mode;   /* 's', 'l'; 0: it does not say */
    bool has_file, auth_is_set;
};

static void complain(struct loading *l, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(struct loading *l, const char *key, const char *format, ...)
{
    const cJSON *line = key ? cJSON_GetObjectItemCaseSensitive(l->lines, key) : NULL;
    char message[320];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    l->complaints++;
    l->report(l->arg, l->path, cJSON_IsNumber(line) ? (unsigned)line->valuedouble : 0, message);
}

static char *copy_text(struct ml_config *config, const char *text)
{
    return (char *)(uintptr_t)ml_arena_copy(&config->arena, ml_slice_str(text)).ptr;
}

static unsigned edit_distance(const char *a, const char *b)
{
    unsigned row[64];
    size_t n = strlen(b);

    if (n >= 63 || strlen(a) >= 63)
        return 99;
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]), least = row[j] + 1;

            diagonal = row[j];
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[n];
}

/* ---- One function per key ---------------------------------------------------------------------
 */

static bool is_loopback(const char *host)
{
    struct in_addr v4;

    if (strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0)
        return true;
    return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

static void set_listen(struct loading *l, const char *key, const char *value)
{
    const char *colon = strrchr(value, ':');
    char host[256], *end;
    long port = colon ? strtol(colon + 1, &end, 10) : -1;
    size_t len = colon ? (size_t)(colon - value) : 0;

    if (!colon || !colon[1] || *end || port < 0 || port > 65535 || len == 0 || len >= sizeof host) {
        complain(l, key, "listen: \"%s\" is not HOST:PORT", value);
        return;
    }
    if (value[0] == '[' && value[len - 1] == ']')
        (void)snprintf(host, sizeof host, "%.*s", (int)len - 2, value + 1);
    else
        (void)snprintf(host, sizeof host, "%.*s", (int)len, value);
    l->config->host = copy_text(l->config, host);
    l->config->port = (uint16_t)port;
}

static void set_store(struct loading *l, const char *key, const char *value)
{
    if (!ml_journal_knows(value))
        complain(
            l, key,
            "store: \"%s\" is not \"sqlite:PATH\", \"postgres://HOST/DATABASE\" or \"memory:\"",
            value);
    else
        l->config->store = copy_text(l->config, value);
}

static void put_store(struct ml_writer *text, const char *name, const char *sign, const cJSON *url)
{
    const char *const words[] = {name, sign, cJSON_IsString(url) ? url->valuestring : "", " "};

    for (size_t i = 0; i < 4; i++)
        ml_write_bytes(text, ml_slice_str(words[i]));
}

/* { primaries = { a = "postgres://…", … }, replicas = { a = { "postgres://…" } } } as one address.
 */
static void set_stores(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *primaries = cJSON_GetObjectItemCaseSensitive(value, "primaries"), *item, *one;
    const cJSON *replicas = cJSON_GetObjectItemCaseSensitive(value, "replicas");
    struct ml_writer text;
    bool is_fine = cJSON_IsObject(value) && cJSON_IsObject(primaries);

    ml_writer_init(&text, 1u << 20);
    ml_write_bytes(&text, ML_SLICE("shards:"));
    cJSON_ArrayForEach(item, primaries)
    {
        is_fine &= cJSON_IsString(item) && !strchr(item->valuestring, ' ');
        put_store(&text, item->string, "=", item);
    }
    cJSON_ArrayForEach(item, replicas)
    {
        cJSON_ArrayForEach(one, item)
        {
            is_fine &= cJSON_IsString(one) && !strchr(one->valuestring, ' ');
            put_store(&text, item->string, "<", one);
        }
    }
    ml_write_u8(&text, 0);
    if (!is_fine || text.err || !ml_journal_knows((const char *)text.ptr))
        complain(
            l, key,
            "store: not an address, and not { primaries = { a = \"postgres://HOST/DATABASE\", b "
            "= … }, replicas = { a = { \"postgres://…\" } } } with names of a-z, 0-9, - and _");
    else
        l->config->store = copy_text(l->config, (const char *)text.ptr);
    ml_writer_release(&text);
}

static void set_bus(struct loading *l, const char *key, const char *value)
{
    if (strcmp(value, "postgres") != 0 && !ml_bus_knows(value))
        complain(
            l, key,
            "bus: \"%s\" is not \"local\", \"postgres\" or \"redis[s][+cluster]://HOST[:PORT]\"",
            value);
    else
        l->config->bus = copy_text(l->config, value);
}

static void set_data(struct loading *l, const char *key, const char *value)
{
    if (!*value)
        complain(l, key, "data: empty path");
    else
        l->config->data_dir = copy_text(l->config, value);
}

static void set_plugins_dir(struct loading *l, const char *key, const char *value)
{
    if (access(value, R_OK | X_OK))
        complain(l, key, "plugins folder: cannot read %s", value);
    else
        l->config->plugins_dir = copy_text(l->config, value);
}

static void set_public_url(struct loading *l, const char *key, const char *value)
{
    if (strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0)
        complain(l, key, "public_url: \"%s\" does not begin with http:// or https://", value);
    else
        l->config->public_url = copy_text(l->config, value);
}

static void set_log(struct loading *l, const char *key, const char *value)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(value, names[i]) == 0) {
            l->config->log_level = (enum ml_log_level)i;
            return;
        }
    complain(l, key, "log: \"%s\" is not one of error, warn, info, debug, trace", value);
}

static void set_origins(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *item;
    size_t n = 0;

    if (!cJSON_IsArray(value)) {
        complain(l, key, "origins: not a list");
        return;
    }
    l->config->origins =
        ml_arena_array(&l->config->arena, (size_t)cJSON_GetArraySize(value), sizeof(char *));
    cJSON_ArrayForEach(item, value)
    {
        if (!cJSON_IsString(item) || !strstr(item->valuestring, "://"))
            complain(l, key, "origins: entry %zu is not scheme://host", n + 1);
        else if (l->config->origins)
            l->config->origins[n++] = copy_text(l->config, item->valuestring);
    }
    l->config->origin_count = n;
}

/* Ranges of addresses that plugins may reach although they are private. */
static void set_outgoing(struct loading *l, const char *key, const cJSON *value)
{
    struct ml_ip_range range;
    const cJSON *item;
    size_t n = 0;

    if (!cJSON_IsArray(value)) {
        complain(l, key, "outgoing: not a list of address ranges, as { \"10.0.0.0/8\" }");
        return;
    }
    l->config->outgoing =
        ml_arena_array(&l->config->arena, (size_t)cJSON_GetArraySize(value), sizeof(char *));
    cJSON_ArrayForEach(item, value)
    {
        if (!cJSON_IsString(item) || !ml_ip_range_parse(item->valuestring, &range))
            complain(l, key, "outgoing: entry %zu is not an address range, as \"10.0.0.0/8\"",
                     n + 1);
        else if (l->config->outgoing)
            l->config->outgoing[n++] = copy_text(l->config, item->valuestring);
    }
    l->config->outgoing_count = n;
}

/* Proxies whose X-Forwarded-For counts. */
static void set_proxies(struct loading *l, const char *key, const cJSON *value)
{
    struct ml_ip_range *list;
    const cJSON *item;
    size_t n = 0;

    if (!cJSON_IsArray(value)) {
        complain(l, key, "proxies: not a list of address ranges, as { \"10.0.0.5/32\" }");
        return;
    }
    list = ml_arena_array(&l->config->arena, (size_t)cJSON_GetArraySize(value), sizeof *list);
    cJSON_ArrayForEach(item, value)
    {
        if (!list || !cJSON_IsString(item) || !ml_ip_range_parse(item->valuestring, &list[n]))
            complain(l, key, "proxies: entry %zu is not an address range, as \"10.0.0.5/32\"",
                     n + 1);
        else
            n++;
    }
    l->config->proxies = list;
    l->config->proxy_count = n;
}

/* The plugin auth-jwt with this configuration; see add_jwt. */
static void set_jwt(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *issuers = cJSON_GetObjectItemCaseSensitive(value, "issuers");

    if (!cJSON_IsArray(issuers) || !cJSON_GetArraySize(issuers)) {
        complain(l, key,
                 "auth.issuers: not a list of issuers, as { issuer = \"https://id.example.com\", "
                 "audience = \"docs\", jwks_url = \"https://id.example.com/jwks\" }");
        return;
    }
    l->config->auth = ML_AUTH_PLUGINS;
    l->jwt = cJSON_Duplicate(value, true);
    if (l->jwt)
        cJSON_DeleteItemFromObjectCaseSensitive(l->jwt, "mode");
}

/* ---- Providers of identities ------------------------------------------------------------------
 */

#define PROVIDERS_MAX 16

/* A text of a provider; without it `otherwise`, and if that is "!" it has to be there. */
static const char *provider_text(struct loading *l, const cJSON *one, const char *field,
                                 const char *otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(one, field);
    size_t len;
    char *text;

    if (cJSON_IsString(item) && item->valuestring[0] && strlen(item->valuestring) < 1024) {
        text = copy_text(l->config, item->valuestring);
        len = text ? strlen(text) : 0;
        while (len && (text[len - 1] == '\n' || text[len - 1] == '\r')) /* of a file */
            text[--len] = '\0';
        return text;
    }
    if (item || (otherwise && strcmp(otherwise, "!") == 0))
        complain(l, "auth", "auth.oidc.%s.%s: not a text", one->string, field);
    return otherwise;
}

static unsigned provider_algorithms(struct loading *l, const cJSON *one)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(one, "algorithms"), *item;
    enum ml_alg alg;
    unsigned bits = 0;

    if (!list)
        return ML_ALG_BIT(ML_ALG_EDDSA) | ML_ALG_BIT(ML_ALG_ES256) | ML_ALG_BIT(ML_ALG_RS256);
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item) || !ml_alg_named(ml_slice_str(item->valuestring), &alg) ||
            alg == ML_ALG_HS256)
            complain(l, "auth", "auth.oidc.%s.algorithms: EdDSA, ES256, RS256 or PS256",
                     one->string);
        else
            bits |= ML_ALG_BIT(alg);
    }
    if (!bits)
        complain(l, "auth", "auth.oidc.%s.algorithms: not a list of names", one->string);
    return bits;
}

static bool is_provider_role(const char *role)
{
    enum ml_role named = ml_role_named(ml_slice_str(role));

    return named == ML_ROLE_VIEWER || named == ML_ROLE_EDITOR;
}

/* link = "email": who comes with a verified address may use the account of that name. */
static bool provider_links_mail(struct loading *l, const cJSON *one)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(one, "link");

    if (!item)
        return false;
    if (cJSON_IsString(item) && strcmp(item->valuestring, "email") == 0)
        return true;
    complain(l, "auth", "auth.oidc.%s.link: \"email\", or nothing", one->string);
    return false;
}

static void set_provider(struct loading *l, const cJSON *one, struct ml_oidc_provider *out)
{
    static const char *const known[] = {"issuer", "client_id",  "client_secret", "scopes", "org",
                                        "role",   "algorithms", "link",          NULL};
    size_t len = strlen(one->string);
    const cJSON *item;

    if (!len || len > 32 || strspn(one->string, "abcdefghijklmnopqrstuvwxyz0123456789") != len)
        complain(l, "auth", "auth.oidc: a name has 1 to 32 of a-z and 0-9, not \"%s\"",
                 one->string);
    cJSON_ArrayForEach(item, one)
    {
        const char *const *name = known;

        while (*name && strcmp(*name, item->string) != 0)
            name++;
        if (!*name)
            complain(l, "auth", "auth.oidc.%s: unknown key \"%s\"", one->string, item->string);
    }
    *out = (struct ml_oidc_provider){
        .name = copy_text(l->config, one->string),
        .issuer = provider_text(l, one, "issuer", "!"),
        .client_id = provider_text(l, one, "client_id", "!"),
        .client_secret = provider_text(l, one, "client_secret", NULL),
        .scopes =
            provider_text(l, one, "scopes",
                          cJSON_GetObjectItemCaseSensitive(one, "link") ? "openid profile email"
                                                                        : "openid profile"),
        .org = provider_text(l, one, "org", "default"),
        .role = provider_text(l, one, "role", NULL),
        .algs = provider_algorithms(l, one),
        .links_mail = provider_links_mail(l, one),
    };
    if (out->issuer && strncmp(out->issuer, "https://", 8) != 0 &&
        strncmp(out->issuer, "http://", 7) != 0)
        complain(l, "auth", "auth.oidc.%s.issuer: not an address", one->string);
    if (!ml_org_is_valid(ml_slice_str(out->org)))
        complain(l, "auth", "auth.oidc.%s.org: not the id of an org", one->string);
    if (out->role && !is_provider_role(out->role))
        complain(l, "auth", "auth.oidc.%s.role: new accounts are \"viewer\" or \"editor\"",
                 one->string);
}

static void set_providers(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *item;

    if (!cJSON_IsObject(value) || cJSON_GetArraySize(value) > PROVIDERS_MAX) {
        complain(l, key,
                 "auth.oidc: not { NAME = { issuer = \"https://id.example.com\", client_id = "
                 "\"docs\", client_secret = env(\"…\") } }, at most %d",
                 PROVIDERS_MAX);
        return;
    }
    l->config->providers =
        ml_arena_array(&l->config->arena, PROVIDERS_MAX, sizeof *l->config->providers);
    cJSON_ArrayForEach(item, value)
    {
        if (l->config->providers)
            set_provider(l, item, &l->config->providers[l->config->provider_count++]);
    }
}

/* What stands beside the mode. */
static void check_auth_keys(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, value)
    {
        if (strcmp(item->string, "oidc") == 0 && l->config->auth == ML_AUTH_PASSWORD)
            set_providers(l, key, item);
        else if (strcmp(item->string, "mode") != 0)
            complain(l, key, "auth: unknown key \"%s\" in this mode", item->string);
    }
}

static void set_auth(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *mode = cJSON_GetObjectItemCaseSensitive(value, "mode");

    l->auth_is_set = true;
    cJSON_Delete(l->jwt); /* set twice: the last one counts */
    l->jwt = NULL;
    if (!cJSON_IsObject(value) || !cJSON_IsString(mode))
        complain(l, key, "auth: needs { mode = \"open\" }, \"password\", \"jwt\" or \"plugins\"");
    else if (strcmp(mode->valuestring, "open") == 0)
        l->config->auth = ML_AUTH_OPEN;
    else if (strcmp(mode->valuestring, "plugins") == 0)
        l->config->auth = ML_AUTH_PLUGINS;
    else if (strcmp(mode->valuestring, "password") == 0)
        l->config->auth = ML_AUTH_PASSWORD;
    else if (strcmp(mode->valuestring, "jwt") == 0)
        set_jwt(l, key, value);
    else
        complain(l, key, "auth.mode: \"%s\" is not one of open, plugins, password, jwt",
                 mode->valuestring);
    if (cJSON_IsObject(value) && cJSON_IsString(mode) && strcmp(mode->valuestring, "jwt") != 0)
        check_auth_keys(l, key, value);
}

/* ---- Where commenters and suggesters write ----------------------------------------------------
 */

#define PATTERNS_MAX      64 /* of one list */
#define EXCEPTED_MAX      256
#define PATTERN_MAX_BYTES 512

static bool is_text(const cJSON *item, size_t max_bytes)
{
    return cJSON_IsString(item) && item->valuestring[0] && strlen(item->valuestring) <= max_bytes;
}

static void set_patterns(struct loading *l, const cJSON *list, const char *const **out,
                         size_t *count_out)
{
    size_t count = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0, n = 0;
    const char **patterns = ml_arena_array(&l->config->arena, PATTERNS_MAX, sizeof *patterns);
    const cJSON *item;

    if (!count || count > PATTERNS_MAX || !patterns) {
        complain(l, "rights", "rights.%s: not a list of 1 to %d patterns of paths", list->string,
                 PATTERNS_MAX);
        return;
    }
    cJSON_ArrayForEach(item, list)
    {
        if (!is_text(item, PATTERN_MAX_BYTES))
            complain(l, "rights",
                     "rights.%s: entry %zu is not a pattern, as \"comments/{user}/**\"",
                     list->string, n + 1);
        else
            patterns[n++] = copy_text(l->config, item->valuestring);
    }
    *out = patterns;
    *count_out = n;
}

static void set_marks(struct loading *l, const cJSON *marks)
{
    const cJSON *added = cJSON_GetObjectItemCaseSensitive(marks, "added");
    const cJSON *removed = cJSON_GetObjectItemCaseSensitive(marks, "removed");

    if (!is_text(added, 64) || !is_text(removed, 64) || cJSON_GetArraySize(marks) != 2 ||
        strcmp(added->valuestring, removed->valuestring) == 0) {
        complain(l, "rights",
                 "rights.marks: needs two different names, as { added = \"insertion\", removed = "
                 "\"deletion\" }");
        return;
    }
    l->config->role_rights.added = copy_text(l->config, added->valuestring);
    l->config->role_rights.removed = copy_text(l->config, removed->valuestring);
}

static bool is_mode(const cJSON *item)
{
    return cJSON_IsString(item) &&
           (strcmp(item->valuestring, "strict") == 0 || strcmp(item->valuestring, "lax") == 0);
}

/* Orgs that are not as the others; the mode of these is known by now. */
static void set_excepted(struct loading *l, const cJSON *orgs)
{
    struct ml_authorship *as = &l->config->limits.room.authorship;
    const char **names = ml_arena_array(&l->config->arena, EXCEPTED_MAX, sizeof *names);
    const cJSON *item;

    as->except = names;
    cJSON_ArrayForEach(item, orgs)
    {
        if (!is_mode(item) || !ml_org_is_valid(ml_slice_str(item->string)))
            complain(l, "authorship",
                     "authorship.orgs: \"%s\" is not an org with \"strict\" or \"lax\"",
                     item->string ? item->string : "");
        else if (!names || as->except_count == EXCEPTED_MAX)
            complain(l, "authorship", "authorship.orgs: more than %d", EXCEPTED_MAX);
        else if (as->is_strict != (item->valuestring[0] == 's'))
            names[as->except_count++] = copy_text(l->config, item->string);
    }
}

/* What stands there; without it who is known is held to it (finish_authorship). */
static void set_authorship(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *mode =
        cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, "mode") : value;
    const cJSON *orgs = cJSON_GetObjectItemCaseSensitive(value, "orgs");
    int known = (mode != NULL) + (orgs != NULL);

    if ((mode && !is_mode(mode)) || (orgs && !cJSON_IsObject(orgs)) ||
        (cJSON_IsObject(value) && cJSON_GetArraySize(value) != known)) {
        complain(l, key,
                 "authorship: needs \"strict\", \"lax\" or { mode = \"strict\", orgs = { acme = "
                 "\"lax\" } }");
        return;
    }
    l->authorship_mode = mode ? mode->valuestring[0] : 0;
    cJSON_Delete(l->authorship_orgs);
    l->authorship_orgs = orgs ? cJSON_Duplicate(orgs, true) : NULL;
}

/* Where nobody is known, nobody's client id can be told from another's. */
static void finish_authorship(struct loading *l)
{
    l->config->limits.room.authorship.is_strict =
        l->authorship_mode ? l->authorship_mode == 's' : l->config->auth != ML_AUTH_OPEN;
    if (l->authorship_orgs)
        set_excepted(l, l->authorship_orgs);
    cJSON_Delete(l->authorship_orgs);
    l->authorship_orgs = NULL;
}

static void set_rights(struct loading *l, const char *key, const cJSON *value)
{
    struct ml_role_rights *rights = &l->config->role_rights;
    const cJSON *item;

    if (!cJSON_IsObject(value)) {
        complain(l, key, "rights: needs { comments = { \"comments/{user}/**\" } }");
        return;
    }
    cJSON_ArrayForEach(item, value)
    {
        if (strcmp(item->string, "comments") == 0)
            set_patterns(l, item, &rights->comments, &rights->comment_count);
        else if (strcmp(item->string, "suggestions") == 0)
            set_patterns(l, item, &rights->suggestions, &rights->suggestion_count);
        else if (strcmp(item->string, "proposals") == 0)
            set_patterns(l, item, &rights->proposals, &rights->proposal_count);
        else if (strcmp(item->string, "marks") == 0)
            set_marks(l, item);
        else
            complain(l, key,
                     "rights: unknown key \"%s\"; there are comments, suggestions, proposals and "
                     "marks",
                     item->string);
    }
}

/* Values that a number may have are whole, so a double holds them exactly. */
static bool is_whole(const cJSON *value, double least, double most)
{
    double v = value->valuedouble;

    return cJSON_IsNumber(value) && v >= least && v <= most && v == (double)(uint64_t)v;
}

static void set_loops(struct loading *l, const char *key, const cJSON *value)
{
    if (is_whole(value, 1, LOOPS_MAX))
        l->config->loops = (unsigned)value->valuedouble;
    else
        complain(l, key, "loops: not a whole number from 1 to %d", LOOPS_MAX);
}

/* Security 6. A row: where the number goes, and what it may be. */
#define LIMIT(part, field, least, most)                                                            \
    {                                                                                              \
#field, offsetof(struct ml_limits, part.field),                                            \
            sizeof(((struct ml_limits *)0)->part.field), least, most                               \
    }
#define GIB ((double)(1u << 30))
static const struct limit {
    const char *name;
    size_t offset, size;
    double least, most;
} limits[] = {
    LIMIT(net, head_ms, 100, 600000),
    LIMIT(net, auth_ms, 100, 600000),
    LIMIT(net, held_bytes, 64, GIB),
    LIMIT(net, held_messages, 1, 1000000),
    LIMIT(net, held_documents, 1, 1000000),
    LIMIT(net, held_pool_bytes, 64, 64 * GIB),
    LIMIT(net, documents, 1, 1000000),
    LIMIT(net, message_bytes, 64, GIB),
    LIMIT(net, reply_bytes, 64, GIB),
    LIMIT(net, message_pool_bytes, 0x10000, 64 * GIB),
    LIMIT(net, sync_pool_bytes, 0x10000, 64 * GIB),
    LIMIT(net, fragments, 1, 1000000),
    LIMIT(net, controls_per_second, 1, 1000000),
    LIMIT(net, updates_per_second, 1, 1000000),
    LIMIT(net, updates_burst, 1, 10000000),
    LIMIT(net, update_bytes_per_second, 1024, GIB),
    LIMIT(net, update_bytes_burst, 1024, GIB),
    LIMIT(net, presence_per_second, 1, 1000000),
    LIMIT(net, outbox_soft_bytes, 0x1000, GIB),
    LIMIT(net, outbox_hard_bytes, 0x1000, GIB),
    LIMIT(net, outbox_ms, 100, 3600000),
    LIMIT(net, ping_ms, 100, 3600000),
    LIMIT(net, dead_ms, 200, 3600000),
    LIMIT(net, keepalive_ms, 100, 3600000),
    LIMIT(net, sessions, 1, 1000000),
    LIMIT(net, handshakes, 1, 1000000),
    LIMIT(net, accepts_per_second, 1, 1000000),
    LIMIT(net, address_handshakes, 1, 1000000),
    LIMIT(net, address_sessions, 1, 1000000),
    LIMIT(net, count_loopback, 0, 1),
    LIMIT(net, questions, 1, 1000000),
    LIMIT(net, password_checks, 1, 1000),
    LIMIT(room, members, 1, 1000000),
    LIMIT(room, rooms, 1, 10000000),
    LIMIT(room, rooms_bytes, 0x10000, 1024 * GIB),
    LIMIT(room, staged_bytes, 0x1000, GIB),
    LIMIT(room, frame_bytes, 0x400, GIB),
    LIMIT(room, document_bytes, 0x400, GIB),
    LIMIT(room, presence_state_bytes, 16, 1 << 20),
    LIMIT(room, presence_clients, 1, 10000),
    LIMIT(room, presence_ms, 1000, 3600000),
    LIMIT(room, grace_ms, 1, 86400000),
    LIMIT(room, rest_ms, 1, 86400000),
    LIMIT(engine, update_bytes, 64, GIB),
    LIMIT(engine, doc_bytes, 0x1000, 64 * GIB),
    LIMIT(engine, pending_bytes, 64, GIB),
    LIMIT(engine, pending_structs, 1, 10000000),
    LIMIT(engine, type_depth, 1, 1000),
    LIMIT(engine, any_depth, 1, 1000),
    LIMIT(engine, key_bytes, 1, 1 << 20),
    LIMIT(engine, clients, 1, 10000000),
};
#undef LIMIT
#define LIMIT_COUNT (sizeof limits / sizeof *limits)

static void complain_unknown_limit(struct loading *l, const char *key, const char *name)
{
    const char *nearest = NULL;
    unsigned best = 5;

    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        unsigned d = edit_distance(name, limits[i].name);

        if (d < best) {
            best = d;
            nearest = limits[i].name;
        }
    }
    complain(l, key, "limits: unknown limit \"%s\"%s%s%s", name, nearest ? "; did you mean \"" : "",
             nearest ? nearest : "", nearest ? "\"?" : "");
}

static void set_limit(struct loading *l, const char *key, const cJSON *item)
{
    uint8_t *at;

    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        if (strcmp(limits[i].name, item->string) != 0)
            continue;
        if (!is_whole(item, limits[i].least, limits[i].most)) {
            complain(l, key, "limits: %s is not a whole number from %.0f to %.0f", item->string,
                     limits[i].least, limits[i].most);
            return;
        }
        at = (uint8_t *)&l->config->limits + limits[i].offset;
        if (limits[i].size == sizeof(uint32_t))
            *(uint32_t *)(void *)at = (uint32_t)item->valuedouble;
        else
            *(size_t *)(void *)at = (size_t)item->valuedouble;
        return;
    }
    complain_unknown_limit(l, key, item->string);
}

static void set_limits(struct loading *l, const char *key, const cJSON *value)
{
    const struct ml_net_limits *net = &l->config->limits.net;
    const cJSON *item;

    if (!cJSON_IsObject(value)) {
        complain(l, key, "limits: not a table of name = number");
        return;
    }
    cJSON_ArrayForEach(item, value)
    {
        set_limit(l, key, item);
    }
    if (net->outbox_soft_bytes && net->outbox_hard_bytes &&
        net->outbox_soft_bytes > net->outbox_hard_bytes)
        complain(l, key, "limits: outbox_soft_bytes is above outbox_hard_bytes");
    if (net->ping_ms && net->dead_ms && net->ping_ms >= net->dead_ms)
        complain(l, key, "limits: ping_ms is not below dead_ms");
}

/* Kept as they are: which plugins and orgs they fit is looked at with the plugins (ml_deploy_new).
 */
static void keep_json(struct loading *l, const char *key, const cJSON *value)
{
    if (!cJSON_IsObject(value) && cJSON_GetArraySize(value)) {
        complain(l, key, "%s: not a table of names", key);
        return;
    }
    if (!l->kept)
        l->kept = cJSON_CreateObject();
    if (!cJSON_AddItemToObject(l->kept, key, cJSON_Duplicate(value, true)))
        complain(l, key, "%s: out of memory", key);
    if (strcmp(key, "plugins") == 0)
        l->config->plugin_count = (size_t)cJSON_GetArraySize(value);
}

/* Names and texts, as { crm = env("CRM_TOKEN"), ["acme/crm"] = file("acme.secret") }. */
static void set_secrets(struct loading *l, const char *key, const cJSON *value)
{
    const cJSON *item;

    if (!cJSON_IsObject(value) && cJSON_GetArraySize(value)) {
        complain(l, key, "secrets: not a table of names");
        return;
    }
    cJSON_ArrayForEach(item, value)
    {
        size_t len = strlen(item->string);

        if (len == 0 || len > 128 || strspn(item->string, SECRET_NAME) != len)
            complain(l, key, "secrets: a name has 1 to 128 of a-z, A-Z, 0-9, '.', '_', '-', '/'");
        else if (!cJSON_IsString(item) || !item->valuestring[0])
            complain(l, key, "secrets: %s is not a text, or empty", item->string);
    }
    keep_json(l, key, value);
}

/* ---- The table --------------------------------------------------------------------------------
 */

static const struct key {
    const char *name, *flag, *environment;
    void (*set_text)(struct loading *l, const char *key, const char *value);
    void (*set_json)(struct loading *l, const char *key, const cJSON *value);
} keys[] = {
    {"listen", "--listen", "MOONLOOM_LISTEN", set_listen, NULL},
    {"data", "--data", "MOONLOOM_DATA", set_data, NULL},
    {"store", "--store", "MOONLOOM_STORE", set_store, set_stores},
    {"bus", "--bus", "MOONLOOM_BUS", set_bus, NULL},
    {"plugins_dir", "--plugins", "MOONLOOM_PLUGINS", set_plugins_dir, NULL},
    {"public_url", NULL, "MOONLOOM_PUBLIC_URL", set_public_url, NULL},
    {"log", "--log", "MOONLOOM_LOG", set_log, NULL},
    {"origins", NULL, NULL, NULL, set_origins},
    {"proxies", NULL, NULL, NULL, set_proxies},
    {"outgoing", NULL, NULL, NULL, set_outgoing},
    {"auth", NULL, NULL, NULL, set_auth},
    {"rights", NULL, NULL, NULL, set_rights},
    {"authorship", NULL, NULL, NULL, set_authorship},
    {"plugins", NULL, NULL, NULL, keep_json},
    {"plans", NULL, NULL, NULL, keep_json},
    {"order", NULL, NULL, NULL, keep_json},
    {"grants", NULL, NULL, NULL, keep_json},
    {"secrets", NULL, NULL, NULL, set_secrets},
    {"loops", NULL, NULL, NULL, set_loops},
    {"limits", NULL, NULL, NULL, set_limits},
};
#define KEY_COUNT (sizeof keys / sizeof *keys)

static void complain_unknown(struct loading *l, const char *name)
{
    const char *nearest = NULL;
    unsigned best = 4;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        unsigned d = edit_distance(name, keys[i].name);

        if (d < best) {
            best = d;
            nearest = keys[i].name;
        }
    }
    if (nearest)
        complain(l, name, "unknown key \"%s\"; did you mean \"%s\"?", name, nearest);
    else
        complain(l, name, "unknown key \"%s\"", name);
}

static void apply_file_key(struct loading *l, const cJSON *item)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, item->string) != 0)
            continue;
        if (keys[i].set_json && !(keys[i].set_text && cJSON_IsString(item)))
            keys[i].set_json(l, item->string, item);
        else if (cJSON_IsString(item))
            keys[i].set_text(l, item->string, item->valuestring);
        else
            complain(l, item->string, "%s: not a text", item->string);
        return;
    }
    complain_unknown(l, item->string);
}

static void apply_file(struct loading *l, const char *path)
{
    struct ml_writer json, lines;
    struct ml_diag diag = {0};
    cJSON *values = NULL, *line_table = NULL;
    const cJSON *item;
    enum ml_err err;

    l->path = path;
    l->has_file = true;
    ml_writer_init(&json, CONFIG_BYTES);
    ml_writer_init(&lines, CONFIG_BYTES);
    err = ml_settings_read(path, &json, &lines, &diag);
    if (err) {
        l->complaints++;
        l->report(l->arg, path, err == ML_EFORMAT ? (unsigned)diag.offset : 0, diag.text);
    } else {
        values = cJSON_ParseWithLength((const char *)json.ptr, json.len);
        line_table = cJSON_ParseWithLength((const char *)lines.ptr, lines.len);
        l->lines = line_table;
        cJSON_ArrayForEach(item, values)
        {
            apply_file_key(l, item);
        }
        l->lines = NULL;
    }
    cJSON_Delete(values);
    cJSON_Delete(line_table);
    ml_writer_release(&json);
    ml_writer_release(&lines);
}

/* ---- Files of orgs: orgs/NAME.lua beside the file ---------------------------------------------
 */

static int is_lua_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".lua") == 0;
}

static bool is_org_name(const char *name, size_t len)
{
    return len >= 1 && len <= 63 && name[0] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") >= len;
}

static void read_org(struct loading *l, const char *folder, const char *name)
{
    struct ml_config *config = l->config;
    struct ml_deploy_org *org = &config->orgs[config->org_count];
    struct ml_writer json, lines;
    struct ml_diag diag = {0};
    char path[4096 + 260];
    enum ml_err err;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    l->path = copy_text(config, path);
    if (!is_org_name(name, strlen(name) - 4)) {
        complain(l, NULL, "the name of the file is not that of an org (a-z, 0-9 and '-')");
        return;
    }
    ml_writer_init(&json, CONFIG_BYTES);
    ml_writer_init(&lines, CONFIG_BYTES);
    err = ml_settings_read(path, &json, &lines, &diag);
    if (err) {
        l->complaints++;
        l->report(l->arg, l->path, err == ML_EFORMAT ? (unsigned)diag.offset : 0, diag.text);
    } else {
        org->name = ml_arena_copy(&config->arena, ml_slice_make(name, strlen(name) - 4));
        org->json = ml_arena_copy(&config->arena, ml_writer_slice(&json));
        config->org_count += org->name.ptr && org->json.ptr;
    }
    ml_writer_release(&json);
    ml_writer_release(&lines);
}

static void read_orgs(struct loading *l, const char *config_path)
{
    const char *slash = config_path ? strrchr(config_path, '/') : NULL;
    struct dirent **entries;
    char folder[4096];
    int n;

    (void)snprintf(folder, sizeof folder, "%.*sorgs", slash ? (int)(slash - config_path) + 1 : 0,
                   config_path ? config_path : "");
    n = scandir(folder, &entries, is_lua_file, alphasort);
    if (n < 0)
        return;
    l->config->orgs = ml_arena_array(&l->config->arena, n ? (size_t)n : 1, sizeof *l->config->orgs);
    for (int i = 0; i < n; i++) {
        if (l->config->orgs)
            read_org(l, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

static void apply_environment(struct loading *l)
{
    l->path = "environment";
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *value = keys[i].environment ? getenv(keys[i].environment) : NULL;

        if (value && *value)
            keys[i].set_text(l, NULL, value);
    }
}

/* The flag of row i at argv[*at] (both "--flag value" and "--flag=value"), or NULL. */
static const char *flag_value(const struct key *key, int argc, char **argv, int *at)
{
    size_t len = key->flag ? strlen(key->flag) : 0;

    if (!len || strncmp(argv[*at], key->flag, len) != 0)
        return NULL;
    if (argv[*at][len] == '=')
        return argv[*at] + len + 1;
    if (argv[*at][len] || *at + 1 >= argc)
        return NULL;
    return argv[++*at];
}

static void apply_flags(struct loading *l, int argc, char **argv)
{
    l->path = "command line";
    for (int at = 0; at < argc; at++) {
        const char *value = NULL;

        if (strcmp(argv[at], "--dev") == 0) {
            l->config->is_dev = true;
            continue;
        }
        if (strncmp(argv[at], "--config", 8) == 0) {
            at += argv[at][8] != '=';
            continue;
        }
        for (size_t i = 0; i < KEY_COUNT && !value; i++) {
            const char *flag = argv[at];

            value = flag_value(&keys[i], argc, argv, &at);
            if (value)
                keys[i].set_text(l, NULL, value);
            else if (keys[i].flag && strcmp(flag, keys[i].flag) == 0)
                break;
        }
        if (!value)
            complain(l, NULL, "%s: unknown flag, or its value is missing", argv[at]);
    }
}

static const char *find_config_flag(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

static bool has_plugin(const cJSON *plugins, const char *name)
{
    size_t len = strlen(name);
    const cJSON *item;

    cJSON_ArrayForEach(item, plugins)
    {
        if (strncmp(item->string, name, len) == 0 &&
            (item->string[len] == '\0' || item->string[len] == '/') && !cJSON_IsFalse(item))
            return true;
    }
    return false;
}

/* auth.mode "jwt" is the plugin auth-jwt, for everybody. Roles give rights unless auth-acl does. */
static void add_jwt(struct loading *l)
{
    cJSON *plugins = cJSON_GetObjectItemCaseSensitive(l->kept, "plugins"), *entry;

    if (has_plugin(plugins, "auth-jwt")) {
        complain(l, "plugins",
                 "plugins: auth-jwt is there with auth.mode = \"jwt\"; write auth = { mode = "
                 "\"plugins\" } to configure it here");
        return;
    }
    if (!l->kept)
        l->kept = cJSON_CreateObject();
    if (!plugins)
        plugins = cJSON_AddObjectToObject(l->kept, "plugins");
    if (!cJSON_HasObjectItem(l->jwt, "grants"))
        (void)cJSON_AddStringToObject(l->jwt, "grants",
                                      has_plugin(plugins, "auth-acl") ? "none" : "roles");
    entry = cJSON_AddObjectToObject(plugins, "auth-jwt");
    if (!entry || !cJSON_AddTrueToObject(entry, "enforce") ||
        !cJSON_AddItemToObject(entry, "config", l->jwt)) {
        complain(l, "auth", "auth: out of memory");
        return;
    }
    l->jwt = NULL; /* it belongs to the entry */
    l->config->plugin_count = (size_t)cJSON_GetArraySize(plugins);
}

/* Nothing is granted that the file does not grant; under --dev, whatever they ask for. */
static void add_grants(struct loading *l)
{
    if (!l->kept)
        l->kept = cJSON_CreateObject();
    if (l->config->is_dev) {
        cJSON_DeleteItemFromObjectCaseSensitive(l->kept, "grants");
        (void)cJSON_AddStringToObject(l->kept, "grants", "*");
    } else if (!cJSON_HasObjectItem(l->kept, "grants")) {
        (void)cJSON_AddObjectToObject(l->kept, "grants");
    }
}

static void finish(struct loading *l)
{
    struct ml_config *config = l->config;
    char store[4096], *json;

    if (l->jwt)
        add_jwt(l);
    cJSON_Delete(l->jwt);
    add_grants(l);
    json = l->kept ? cJSON_PrintUnformatted(l->kept) : NULL;
    config->plugins_json = copy_text(config, json ? json : "");
    cJSON_free(json);
    cJSON_Delete(l->kept);
    if (!config->bus)
        config->bus = copy_text(config, "local");
    if (!config->store) {
        (void)snprintf(store, sizeof store, "sqlite:%s/moonloom.db", config->data_dir);
        config->store = copy_text(config, store);
    }
    config->is_loopback = config->host && is_loopback(config->host);
    if (!l->auth_is_set)
        config->auth = ML_AUTH_OPEN;
    finish_authorship(l);
    if (config->auth == ML_AUTH_OPEN && !config->is_loopback) {
        l->path = l->has_file ? l->path : "configuration";
        complain(
            l, NULL,
            "open access (auth.mode = \"open\") is allowed on a loopback address only, not on %s: "
            "set auth, or listen on 127.0.0.1",
            config->host ? config->host : "this address");
    }
    if (config->auth == ML_AUTH_PASSWORD && !config->is_loopback &&
        (!config->public_url || strncmp(config->public_url, "https://", 8) != 0))
        complain(l, NULL,
                 "passwords need TLS: set public_url = \"https://…\" and put a proxy that ends TLS "
                 "before this server, or listen on 127.0.0.1");
    if (config->auth == ML_AUTH_PLUGINS && !config->plugin_count)
        complain(l, NULL, "auth.mode = \"plugins\" needs a plugin that authenticates");
}

enum ml_err ml_config_load(struct ml_config *config, int argc, char **argv, ml_config_report report,
                           void *arg)
{
    struct loading l = {.config = config, .path = "defaults", .report = report, .arg = arg};
    const char *path = find_config_flag(argc, argv);

    *config = (struct ml_config){.argc = argc, .argv = argv, .log_level = ML_LOG_INFO};
    ml_arena_init(&config->arena, CONFIG_BYTES);
    set_listen(&l, NULL, "127.0.0.1:8080");
    set_data(&l, NULL, "data");
    if (!access("plugins", R_OK | X_OK))
        set_plugins_dir(&l, NULL, "plugins");
    if (!path && !access("moonloom.lua", R_OK))
        path = "moonloom.lua";
    if (path) {
        apply_file(&l, path);
        read_orgs(&l, path);
    }
    apply_environment(&l);
    apply_flags(&l, argc, argv);
    finish(&l);
    return l.complaints ? ML_EFORMAT : ML_OK;
}

struct ml_deploy_options ml_config_deploy(const struct ml_config *config)
{
    return (struct ml_deploy_options){
        .plugins_dir =
            config->plugins_dir ? ml_slice_str(config->plugins_dir) : ml_slice_make(NULL, 0),
        .server_json = ml_slice_str(config->plugins_json),
        .orgs = config->orgs,
        .org_count = config->org_count,
    };
}

void ml_config_release(struct ml_config *config)
{
    ml_arena_release(&config->arena);
}
