/* SPDX-License-Identifier: MIT */
/*
 * `moonloom token` mints with the server's own key; `moonloom key` keeps the signing keys and the
 * keys of programs. Both find the store as `serve` does, and work beside a running server.
 *
 * A key of a program is one value of its org, in the space "apikey" under its id:
 *   {"hash":SHA-256 of the key,"name":…,"roles":[…],"made":milliseconds}
 */
#include "server/cmd_identity.h"

#include "base/clock.h"
#include "server/cmd_admin.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPACE      ML_SLICE("apikey")
#define ROLES_MAX  16
#define PAGE       100
#define VALUE_MAX  4096
#define NAME_MAX_B 200
#define USAGE      2

/* Seconds; 0: not a duration. */
static int64_t read_ttl(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);
    long unit = strcmp(end, "h") == 0 ? 3600 : strcmp(end, "m") == 0 ? 60 : 1;

    if (end == text || number <= 0 || number > 100000 ||
        (*end && strcmp(end, "s") != 0 && strcmp(end, "m") != 0 && strcmp(end, "h") != 0))
        return 0;
    return (int64_t)number * unit;
}

/* The roles into `list`; none: editor. False: one is no name. */
static bool read_roles(const struct ml_admin_arguments *a, char list[512])
{
    list[0] = '\0';
    for (size_t i = 0; i < a->role_count; i++) {
        if (!ml_role_name_is_valid(ml_slice_str(a->roles[i])))
            return false;
        ml_identity_add(list, ml_slice_str(a->roles[i]));
    }
    if (!a->role_count)
        ml_identity_add(list, ML_SLICE("editor"));
    return true;
}

static int needs_seal(const struct ml_admin *o)
{
    return o->has_seal_key
               ? 0
               : ml_admin_complain(1,
                                   "nodes over a shared store need MOONLOOM_SEAL_KEY (64 hex "
                                   "digits) to keep signing keys",
                                   NULL);
}

/* ---- moonloom token -------------------------------------------------------------------------- */

static int mint(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    int64_t now_s = ml_clock_wall_ms() / 1000, ttl_s = a->ttl ? read_ttl(a->ttl) : 900;
    struct ml_own_token token = {.kind = ML_OWN_ACCESS,
                                 .org = ml_slice_str(a->org),
                                 .user = ml_slice_str(a->user),
                                 .name = ml_slice_str(a->name ? a->name : a->user),
                                 .doc = ml_slice_str(a->doc ? a->doc : ""),
                                 .expires_s = now_s + ttl_s};
    struct ml_own_keys *keys = NULL;
    struct ml_diag diag = {0};
    struct ml_arena scratch;
    struct ml_slice text;
    enum ml_err err;

    if (needs_seal(o))
        return 1;
    if (!read_roles(a, token.roles))
        return ml_admin_complain(USAGE, "a role is letters, digits, '_', '.' and '-'", NULL);
    if (!ttl_s || ttl_s > ML_OWN_LIFE_MAX_S)
        return ml_admin_complain(USAGE, "--ttl is up to 15m, as 900s or 15m", NULL);
    err = ml_keys_get(o->journal, &o->loop, o->seal_key, &keys, &diag);
    if (err)
        return ml_admin_complain(1, diag.text, NULL);
    ml_arena_init(&scratch, 1u << 16);
    err = ml_own_mint(keys, &token, now_s, &scratch, &text);
    if (err)
        (void)ml_admin_complain(1, "org, user, name or pattern cannot stand in a token",
                                ml_err_text(err));
    else if (a->is_json)
        (void)printf("{\"token\":\"%.*s\",\"expires\":%lld}\n", ML_PRINT(text),
                     (long long)token.expires_s * 1000);
    else
        (void)printf("%.*s\n", ML_PRINT(text));
    ml_arena_release(&scratch);
    ml_own_keys_free(keys);
    return err ? 1 : 0;
}

int ml_cmd_token(int argc, char **argv)
{
    struct ml_admin_arguments a = {0};
    struct ml_admin o = {0};
    int status = USAGE;

    if (!ml_admin_read(argc, argv, &a) || !a.org || !a.user || a.word || a.force)
        (void)ml_admin_complain(
            USAGE,
            "token --org ORG --user ID [--name N] [--role R]… [--doc PATTERN] [--ttl "
            "15m] [--json]",
            NULL);
    else
        status = ml_admin_open(&o, &a);
    if (o.journal) {
        status = mint(&o, &a);
        ml_admin_close(&o);
    }
    free(a.rest);
    return status;
}

/* ---- moonloom key ---------------------------------------------------------------------------- */

static int key_rotate(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    struct ml_own_keys *keys = NULL;
    struct ml_diag diag = {0};
    enum ml_err err;

    if (needs_seal(o))
        return 1;
    err =
        ml_keys_get(o->journal, &o->loop, o->seal_key, &keys, &diag); /* made, if there are none */
    ml_own_keys_free(keys);
    if (!err)
        err = ml_keys_rotate(o->journal, &o->loop, o->seal_key, a->force, &diag);
    if (err)
        return ml_admin_complain(1, diag.text, NULL);
    (void)printf("a new key signs in %d s; the one before is taken until the next rotation\n",
                 ML_OWN_SPREAD_S);
    return 0;
}

static char *value_of(const struct ml_admin_arguments *a, const char *hash)
{
    cJSON *value = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(value, "roles");
    struct ml_slice role;
    char roles[512], *text;
    size_t cursor = 0;

    (void)read_roles(a, roles);
    while (ml_identity_next(roles, &cursor, &role)) {
        char name[ML_ROLE_NAME_MAX + 1];

        memcpy(name, role.ptr, role.len);
        name[role.len] = '\0';
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
    }
    cJSON_AddStringToObject(value, "hash", hash);
    cJSON_AddStringToObject(value, "name", a->name);
    cJSON_AddNumberToObject(value, "made", (double)ml_clock_wall_ms());
    text = cJSON_PrintUnformatted(value);
    cJSON_Delete(value);
    return text;
}

static int key_add(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    char text[ML_API_KEY_LEN + 1], hash[ML_API_KEY_HASH + 1], roles[512];
    struct ml_diag diag = {0};
    struct ml_store_item item = {.act = ML_STORE_SET};
    struct ml_core_write ask = {
        .write = {.space = SPACE, .items = &item, .count = 1, .org = ml_slice_str(a->org)}};
    char *value;
    enum ml_err err;

    if (!a->name || !a->name[0] || strlen(a->name) > NAME_MAX_B || !read_roles(a, roles))
        return ml_admin_complain(USAGE, "key add --org ORG --name NAME [--role R]…", NULL);
    if (!ml_api_key_make(text, hash))
        return ml_admin_complain(1, "no random numbers", NULL);
    value = value_of(a, hash);
    item.key = ml_slice_make(text + 3, ML_API_KEY_ID_LEN);
    item.value = ml_slice_str(value ? value : "");
    err = value ? ml_core_commit(o->journal, &o->loop, &ask, &diag) : ML_ELIMIT;
    if (value)
        ml_store_write_release(&ask.write);
    cJSON_free(value);
    if (err)
        return ml_admin_complain(1, diag.text, NULL);
    if (a->is_json)
        (void)printf("{\"id\":\"%.*s\",\"key\":\"%s\"}\n", ML_API_KEY_ID_LEN, text + 3, text);
    else
        (void)printf("%s\n", text);
    explicit_bzero(text, sizeof text);
    return 0;
}

static int key_remove(struct ml_admin *o, const struct ml_admin_arguments *a, const char *id)
{
    struct ml_diag diag = {0};
    struct ml_store_item item = {.act = ML_STORE_DELETE, .key = ml_slice_str(id)};
    struct ml_core_write ask = {
        .write = {.space = SPACE, .items = &item, .count = 1, .org = ml_slice_str(a->org)}};
    enum ml_err err = ml_core_commit(o->journal, &o->loop, &ask, &diag);
    bool was_there = item.rev_out != 0;

    ml_store_write_release(&ask.write);
    if (err)
        return ml_admin_complain(1, diag.text, NULL);
    return was_there ? 0 : ml_admin_complain(1, "there is no such key", id);
}

/* Never the hash. */
static void print_api_key(const struct ml_store_pair *pair, const char *org, bool is_json)
{
    cJSON *value = cJSON_ParseWithLength((const char *)pair->value.ptr, pair->value.len);
    char id[ML_STORE_KEY_MAX + 1], *text;

    if (!value)
        return;
    (void)snprintf(id, sizeof id, "%.*s", ML_PRINT(pair->key));
    cJSON_DeleteItemFromObjectCaseSensitive(value, "hash");
    if (is_json) {
        cJSON_AddStringToObject(value, "kind", "api");
        cJSON_AddStringToObject(value, "id", id);
        cJSON_AddStringToObject(value, "org", org);
        text = cJSON_PrintUnformatted(value);
    } else {
        text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(value, "name"));
        (void)printf("api      %s  %s  ", id, org);
    }
    (void)printf("%s\n", text ? text : "?");
    cJSON_free(text);
    cJSON_Delete(value);
}

static int list_api(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    const char *org = a->org ? a->org : "default";
    char after[ML_STORE_KEY_MAX + 1] = "";
    bool more = true;

    while (more) {
        struct ml_diag diag = {0};
        struct ml_core_read ask = {.read = {.look = ML_STORE_SCAN,
                                            .org = ml_slice_str(org),
                                            .space = SPACE,
                                            .after = ml_slice_str(after),
                                            .limit = PAGE}};
        enum ml_err err = ml_core_look(o->journal, &o->loop, &ask, &diag);

        for (size_t i = 0; !err && i < ask.read.count; i++) {
            print_api_key(&ask.read.pairs[i], org, a->is_json);
            (void)snprintf(after, sizeof after, "%.*s", ML_PRINT(ask.read.pairs[i].key));
        }
        more = !err && ask.read.more;
        ml_store_read_release(&ask.read);
        if (err)
            return ml_admin_complain(1, diag.text, NULL);
    }
    return 0;
}

static int key_list(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    struct ml_own_keys *keys = NULL;
    struct ml_diag diag = {0};

    if (o->has_seal_key && ml_keys_get(o->journal, &o->loop, o->seal_key, &keys, &diag))
        return ml_admin_complain(1, diag.text, NULL);
    for (size_t i = 0; keys && i < ml_keyset_count(ml_own_keys_all(keys)); i++) {
        struct ml_slice kid = ml_keyset_kid(ml_own_keys_all(keys), i);
        long long made_ms = (long long)ml_own_keys_made_s(keys, i) * 1000;

        if (a->is_json)
            (void)printf("{\"kind\":\"signing\",\"id\":\"%.*s\",\"made\":%lld}\n", ML_PRINT(kid),
                         made_ms);
        else
            (void)printf("signing  %.*s\n", ML_PRINT(kid));
    }
    ml_own_keys_free(keys);
    return list_api(o, a);
}

static int run_key(struct ml_admin *o, const struct ml_admin_arguments *a, const char *what)
{
    if (strcmp(what, "rotate") == 0)
        return key_rotate(o, a);
    if (strcmp(what, "ls") == 0)
        return key_list(o, a);
    if (strcmp(what, "add") == 0)
        return key_add(o, a);
    return key_remove(o, a, a->word);
}

int ml_cmd_key(int argc, char **argv)
{
    const char *what = argc > 0 ? argv[0] : "";
    bool is_add = strcmp(what, "add") == 0, is_rm = strcmp(what, "rm") == 0;
    bool is_known = is_add || is_rm || strcmp(what, "ls") == 0 || strcmp(what, "rotate") == 0;
    struct ml_admin_arguments a = {0};
    struct ml_admin o = {0};
    int status = USAGE;

    if (!is_known || !ml_admin_read(argc - 1, argv + 1, &a) || (is_rm != (a.word != NULL)) ||
        ((is_add || is_rm) && !a.org) || (a.org && !ml_org_is_valid(ml_slice_str(a.org))))
        (void)ml_admin_complain(
            USAGE,
            "key add --org ORG --name NAME [--role R]… | key ls [--org ORG] [--json] | "
            "key rotate [--force] | key rm --org ORG ID",
            NULL);
    else
        status = ml_admin_open(&o, &a);
    if (o.journal) {
        status = run_key(&o, &a, what);
        ml_admin_close(&o);
    }
    free(a.rest);
    return status;
}
