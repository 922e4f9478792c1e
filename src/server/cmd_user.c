/* SPDX-License-Identifier: MIT */
/*
 * `moonloom user`. Where accounts stand: net/auth_login.c. A password is read from standard input
 * only: what stands in a command line, everybody on the machine can read.
 */
#include "server/cmd_user.h"

#include "script/script.h"
#include "server/cmd_user_store.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CORE_ORG ML_SLICE("-")
#define PAGE     100
#define USAGE    2
#define TEXT                                                                                       \
    "user add NAME --org ORG --role ROLE [--name N] --password-stdin | user ls [--org ORG] "       \
    "[--json] | "                                                                                  \
    "user passwd NAME --password-stdin | user rm NAME [--org ORG] | user suspend NAME | user "     \
    "resume NAME"

/* One line of standard input. 0: fine. */
static int read_password(char *out, size_t size)
{
    size_t len = 0;
    ssize_t got;

    while (len + 1 < size && (got = read(STDIN_FILENO, out + len, size - 1 - len)) > 0)
        len += (size_t)got;
    out[len] = '\0';
    len = strcspn(out, "\r\n");
    out[len] = '\0';
    return len >= ML_PASSWORD_MIN && len <= ML_PASSWORD_MAX_BYTES
               ? 0
               : ml_admin_complain(
                     1, "a password has 8 to 1024 bytes, in one line of standard input", NULL);
}

static int hash_password(char out[ML_PASSWORD_HASH_MAX])
{
    char password[ML_PASSWORD_MAX_BYTES + 4];
    int status = read_password(password, sizeof password);

    if (!status && ml_password_hash(ml_slice_str(password), out))
        status = ml_admin_complain(1, "the password cannot be hashed", NULL);
    explicit_bzero(password, sizeof password);
    return status;
}

/* ---- Commands -------------------------------------------------------------------------------- */

static int set_member(struct ml_admin *o, struct ml_slice org, const char *user, const char *role)
{
    uint64_t rev;
    int status;
    cJSON *member = ml_user_load(o, org, "member", user, &rev, &status);
    const cJSON *held = cJSON_GetObjectItemCaseSensitive(member, "role");

    if (!status && cJSON_IsString(held) && strcmp(held->valuestring, "owner") == 0 &&
        strcmp(role, "owner") != 0)
        status = ml_user_keeps_owner(o, org, user);
    cJSON_Delete(member);
    if (status)
        return status;
    member = cJSON_CreateObject();
    cJSON_AddStringToObject(member, "role", role);
    status = ml_user_store(o, org, "member", user, member, rev);
    cJSON_Delete(member);
    if (!status)
        status = ml_user_note_place(o, org, user);
    return status ? status : ml_user_tell(o, user);
}

/* With a password it is a new account; without one, one more org of an account that is there. */
static int user_add(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    char hash[ML_PASSWORD_HASH_MAX];
    uint64_t rev;
    int status;
    cJSON *user = ml_user_load(o, CORE_ORG, "user", a->word, &rev, &status);

    if (!status && user && a->password_stdin)
        status = ml_admin_complain(1, "there is such an account", a->word);
    if (!status && !user && !a->password_stdin)
        status =
            ml_admin_complain(1, "there is no such account; --password-stdin makes one", a->word);
    if (!status && !user)
        status = hash_password(hash);
    if (!status && !user) {
        cJSON *made = cJSON_CreateObject();

        cJSON_AddStringToObject(made, "name", a->name ? a->name : a->word);
        cJSON_AddStringToObject(made, "hash", hash);
        status = ml_user_store(o, CORE_ORG, "user", a->word, made, 0);
        cJSON_Delete(made);
    }
    cJSON_Delete(user);
    return status ? status : set_member(o, ml_slice_str(a->org), a->word, a->roles[0]);
}

static int user_passwd(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    char hash[ML_PASSWORD_HASH_MAX];
    uint64_t rev;
    int status;
    cJSON *user = ml_user_load(o, CORE_ORG, "user", a->word, &rev, &status);

    if (!status && !user)
        status = ml_admin_complain(1, "there is no such account", a->word);
    if (!status)
        status = hash_password(hash);
    if (!status) {
        cJSON_DeleteItemFromObjectCaseSensitive(user, "hash");
        cJSON_AddStringToObject(user, "hash", hash);
        status = ml_user_store(o, CORE_ORG, "user", a->word, user, rev);
    }
    cJSON_Delete(user);
    if (!status)
        status = ml_user_end_sessions(o, a->word);
    return status ? status : ml_user_end_tokens(o, a->word, false);
}

static int set_suspended(struct ml_admin *o, const char *id, bool is_suspended)
{
    uint64_t rev;
    int status;
    cJSON *user = ml_user_load(o, CORE_ORG, "user", id, &rev, &status);

    if (!status && !user)
        status = ml_admin_complain(1, "there is no such account", id);
    if (!status) {
        cJSON_DeleteItemFromObjectCaseSensitive(user, "suspended");
        if (is_suspended)
            cJSON_AddTrueToObject(user, "suspended");
        status = ml_user_store(o, CORE_ORG, "user", id, user, rev);
    }
    cJSON_Delete(user);
    if (!status && is_suspended)
        status = ml_user_end_sessions(o, id);
    return status ? status : ml_user_end_tokens(o, id, is_suspended);
}

static int user_suspend(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    return set_suspended(o, a->word, true);
}

static int user_resume(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    return set_suspended(o, a->word, false);
}

static int leave_org(struct ml_admin *o, struct ml_slice org, const char *id, bool only_look,
                     bool *was_member)
{
    uint64_t rev;
    bool was_there = false;
    int status;
    cJSON *member = ml_user_load(o, org, "member", id, &rev, &status);
    const cJSON *role = cJSON_GetObjectItemCaseSensitive(member, "role");

    *was_member |= member != NULL;
    if (!status && cJSON_IsString(role) && strcmp(role->valuestring, "owner") == 0)
        status = ml_user_keeps_owner(o, org, id);
    cJSON_Delete(member);
    if (!status && !only_look)
        status = ml_user_drop(o, org, "member", ml_slice_str(id), &was_there);
    if (!status && !only_look)
        status = ml_user_forget_place(o, org, id);
    return status;
}

/* Out of every org, if none is named; first it is seen that all of them can do without. */
static int user_remove(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    char *orgs[ML_USER_PLACES];
    size_t count = 0;
    bool was_there = false, was_member = false;
    int status = 0;

    if (a->org)
        orgs[count++] = strdup(a->org);
    else
        status = ml_user_places(o, a->word, orgs, &count);
    for (int step = 0; step < 2; step++)
        for (size_t i = 0; i < count && !status; i++)
            status = leave_org(o, ml_slice_str(orgs[i]), a->word, step == 0, &was_member);
    while (count)
        free(orgs[--count]);
    if (!status && !a->org)
        status = ml_user_drop(o, CORE_ORG, "user", ml_slice_str(a->word), &was_there);
    if (!status)
        status = ml_user_end_sessions(o, a->word);
    if (!status)
        status = ml_user_end_tokens(o, a->word, false);
    if (status)
        return status;
    return was_there || was_member ? 0 : ml_admin_complain(1, "there is no such account", a->word);
}

static int user_list(struct ml_admin *o, const struct ml_admin_arguments *a)
{
    char after[ML_STORE_KEY_MAX + 1] = "";
    bool more = true;

    while (more) {
        struct ml_diag diag = {0};
        struct ml_core_read ask = {.read = {.look = ML_STORE_SCAN,
                                            .org = ml_slice_str(a->org ? a->org : "default"),
                                            .space = ML_SLICE("member"),
                                            .after = ml_slice_str(after),
                                            .limit = PAGE}};

        if (ml_core_look(o->journal, &o->loop, &ask, &diag)) {
            ml_store_read_release(&ask.read);
            return ml_admin_complain(1, diag.text, NULL);
        }
        for (size_t i = 0; i < ask.read.count; i++) {
            const struct ml_store_pair *pair = &ask.read.pairs[i];
            cJSON *value = cJSON_ParseWithLength((const char *)pair->value.ptr, pair->value.len);
            const cJSON *role = cJSON_GetObjectItemCaseSensitive(value, "role");
            const char *text = cJSON_IsString(role) ? role->valuestring : "?";

            (void)snprintf(after, sizeof after, "%.*s", ML_PRINT(pair->key));
            (void)printf(a->is_json ? "{\"id\":\"%s\",\"role\":\"%s\"}\n" : "%s  %s\n", after,
                         text);
            cJSON_Delete(value);
        }
        more = ask.read.more;
        ml_store_read_release(&ask.read);
    }
    return 0;
}

static bool is_proper(const char *what, const struct ml_admin_arguments *a)
{
    bool is_ls = strcmp(what, "ls") == 0;

    if (is_ls != !a->word || a->user || a->doc || a->ttl || a->force ||
        (a->word && !ml_user_id_is_valid(ml_slice_str(a->word))) ||
        (a->org && !ml_org_is_valid(ml_slice_str(a->org))))
        return false;
    if (strcmp(what, "add") == 0)
        return a->org && a->role_count == 1 && ml_role_named(ml_slice_str(a->roles[0])) &&
               (!a->name || strlen(a->name) < 128);
    if (strcmp(what, "passwd") == 0)
        return a->password_stdin && !a->org;
    if (strcmp(what, "suspend") == 0 || strcmp(what, "resume") == 0)
        return !a->password_stdin && !a->role_count && !a->org;
    return !a->password_stdin && !a->role_count;
}

int ml_cmd_user(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct ml_admin *o, const struct ml_admin_arguments *a);
    } rows[] = {{"add", user_add},   {"ls", user_list},         {"passwd", user_passwd},
                {"rm", user_remove}, {"suspend", user_suspend}, {"resume", user_resume}};
    const char *what = argc > 0 ? argv[0] : "";
    struct ml_admin_arguments a = {0};
    struct ml_admin o = {0};
    size_t row = 0;
    int status = USAGE;

    while (row < sizeof rows / sizeof *rows && strcmp(rows[row].name, what) != 0)
        row++;
    if (row == sizeof rows / sizeof *rows || !ml_admin_read(argc - 1, argv + 1, &a) ||
        !is_proper(what, &a))
        (void)ml_admin_complain(USAGE, TEXT, NULL);
    else
        status = ml_admin_open(&o, &a);
    if (o.journal) {
        status = rows[row].run(&o, &a);
        ml_admin_close(&o);
    }
    free(a.rest);
    return status;
}
