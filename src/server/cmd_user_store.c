/* SPDX-License-Identifier: MIT */
/*
 * Accounts in the store, for commands (net/auth_signing.c says where they stand). What changes
 * rights ends with a line for the nodes that run over this store (net/revoke.h).
 */
#include "server/cmd_user_store.h"

#include "base/clock.h"
#include "net/net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CORE_ORG ML_SLICE("-")
#define PAGE     100
#define ENDED_MS ((uint64_t)(ML_OWN_LIFE_MAX_S + 2 * ML_TOKEN_LEEWAY_S) * 1000)

/* NULL: there is none, or *status says why. */
cJSON *ml_user_load(struct ml_admin *o, struct ml_slice org, const char *space, const char *key,
                    uint64_t *rev_out, int *status)
{
    struct ml_diag diag = {0};
    struct ml_core_read ask = {.read = {.look = ML_STORE_GET,
                                        .org = org,
                                        .space = ml_slice_str(space),
                                        .key = ml_slice_str(key),
                                        .limit = 1}};
    cJSON *value = NULL;

    *rev_out = 0;
    *status = 0;
    if (ml_core_look(o->journal, &o->loop, &ask, &diag)) {
        *status = ml_admin_complain(1, diag.text, NULL);
    } else if (ask.read.count) {
        *rev_out = ask.read.pairs[0].rev;
        value = cJSON_ParseWithLength((const char *)ask.read.pairs[0].value.ptr,
                                      ask.read.pairs[0].value.len);
    }
    ml_store_read_release(&ask.read);
    return value;
}

/* Only if it is as it was read. */
int ml_user_store(struct ml_admin *o, struct ml_slice org, const char *space, const char *key,
                  const cJSON *value, uint64_t rev)
{
    char *text = cJSON_PrintUnformatted(value);
    struct ml_diag diag = {0};
    struct ml_store_item items[2] = {
        {.act = ML_STORE_CHECK, .key = ml_slice_str(key), .rev = rev},
        {.act = ML_STORE_SET, .key = ml_slice_str(key), .value = ml_slice_str(text ? text : "")}};
    struct ml_core_write ask = {
        .write = {.org = org, .space = ml_slice_str(space), .items = items, .count = 2}};
    enum ml_err err = text ? ml_core_commit(o->journal, &o->loop, &ask, &diag) : ML_ELIMIT;

    if (text)
        ml_store_write_release(&ask.write);
    cJSON_free(text);
    if (err == ML_ECONFLICT)
        return ml_admin_complain(1, "somebody else changes this at this moment", key);
    return err ? ml_admin_complain(1, diag.text, NULL) : 0;
}

int ml_user_drop(struct ml_admin *o, struct ml_slice org, const char *space, struct ml_slice key,
                 bool *was_there)
{
    struct ml_diag diag = {0};
    struct ml_store_item item = {.act = ML_STORE_DELETE, .key = key};
    struct ml_core_write ask = {
        .write = {.org = org, .space = ml_slice_str(space), .items = &item, .count = 1}};
    enum ml_err err = ml_core_commit(o->journal, &o->loop, &ask, &diag);

    *was_there = item.rev_out != 0;
    ml_store_write_release(&ask.write);
    return err ? ml_admin_complain(1, diag.text, NULL) : 0;
}

/* Every session of this account: none is refreshed any more. */
int ml_user_end_sessions(struct ml_admin *o, const char *user)
{
    struct ml_slice id = ml_slice_str(user);
    char prefix[ML_USER_KEY_LEN + 1];
    bool more = true, was_there;
    int status = 0;

    ml_digest_hex(&id, 1, prefix, ML_USER_KEY_LEN);
    while (more && !status) {
        struct ml_diag diag = {0};
        struct ml_core_read ask = {.read = {.look = ML_STORE_SCAN,
                                            .org = CORE_ORG,
                                            .space = ML_SLICE("family"),
                                            .key = ml_slice_str(prefix),
                                            .limit = PAGE}};

        if (ml_core_look(o->journal, &o->loop, &ask, &diag))
            status = ml_admin_complain(1, diag.text, NULL);
        for (size_t i = 0; !status && i < ask.read.count; i++)
            status = ml_user_drop(o, CORE_ORG, "family", ask.read.pairs[i].key, &was_there);
        more = !status && ask.read.count > 0;
        ml_store_read_release(&ask.read);
    }
    return status;
}

/* SEC-AZ-09: is somebody else an owner there? */
int ml_user_keeps_owner(struct ml_admin *o, struct ml_slice org, const char *user)
{
    char after[ML_STORE_KEY_MAX + 1] = "";
    bool more = true, found = false;

    while (more && !found) {
        struct ml_diag diag = {0};
        struct ml_core_read ask = {.read = {.look = ML_STORE_SCAN,
                                            .org = org,
                                            .space = ML_SLICE("member"),
                                            .after = ml_slice_str(after),
                                            .limit = PAGE}};

        if (ml_core_look(o->journal, &o->loop, &ask, &diag)) {
            ml_store_read_release(&ask.read);
            return ml_admin_complain(1, diag.text, NULL);
        }
        for (size_t i = 0; i < ask.read.count; i++) {
            struct ml_slice key = ask.read.pairs[i].key, value = ask.read.pairs[i].value;

            (void)snprintf(after, sizeof after, "%.*s", ML_PRINT(key));
            found |= !ml_slice_equal(key, ml_slice_str(user)) &&
                     memmem(value.ptr, value.len, "\"owner\"", 7) != NULL;
        }
        more = ask.read.more;
        ml_store_read_release(&ask.read);
    }
    return found ? 0 : ml_admin_complain(1, "the last owner of an org stays", user);
}

/* ---- In which orgs --------------------------------------------------------------------------- */

static void place_key(struct ml_slice org, const char *user, char out[ML_STORE_KEY_MAX])
{
    (void)snprintf(out, ML_STORE_KEY_MAX, "%s/%.*s", user, ML_PRINT(org));
}

int ml_user_note_place(struct ml_admin *o, struct ml_slice org, const char *user)
{
    char key[ML_STORE_KEY_MAX];
    struct ml_diag diag = {0};
    struct ml_store_item item = {.act = ML_STORE_SET, .value = ML_SLICE("true")};
    struct ml_core_write ask = {
        .write = {.org = CORE_ORG, .space = ML_SLICE("place"), .items = &item, .count = 1}};
    enum ml_err err;

    place_key(org, user, key);
    item.key = ml_slice_str(key);
    err = ml_core_commit(o->journal, &o->loop, &ask, &diag);
    ml_store_write_release(&ask.write);
    return err ? ml_admin_complain(1, diag.text, NULL) : 0;
}

int ml_user_forget_place(struct ml_admin *o, struct ml_slice org, const char *user)
{
    char key[ML_STORE_KEY_MAX];
    bool was_there;

    place_key(org, user, key);
    return ml_user_drop(o, CORE_ORG, "place", ml_slice_str(key), &was_there);
}

/* "default" is among them: accounts that are older than this list are there. */
int ml_user_places(struct ml_admin *o, const char *user, char *orgs_out[ML_USER_PLACES],
                   size_t *count_out)
{
    char prefix[ML_USER_ID_MAX + 2];
    struct ml_diag diag = {0};
    struct ml_core_read ask = {.read = {.look = ML_STORE_SCAN,
                                        .org = CORE_ORG,
                                        .space = ML_SLICE("place"),
                                        .limit = ML_USER_PLACES - 1}};
    int status = 0;

    (void)snprintf(prefix, sizeof prefix, "%s/", user);
    ask.read.key = ml_slice_str(prefix);
    *count_out = 0;
    orgs_out[(*count_out)++] = strdup("default");
    if (ml_core_look(o->journal, &o->loop, &ask, &diag))
        status = ml_admin_complain(1, diag.text, NULL);
    for (size_t i = 0; !status && i < ask.read.count; i++) {
        struct ml_slice key = ask.read.pairs[i].key;
        size_t before = strlen(prefix);

        if (!ml_slice_equal(ml_slice_make(key.ptr + before, key.len - before), ML_SLICE("default")))
            orgs_out[(*count_out)++] = strndup((const char *)key.ptr + before, key.len - before);
    }
    if (!status && ask.read.more)
        status = ml_admin_complain(1, "too many orgs: take them out with --org first", user);
    ml_store_read_release(&ask.read);
    return status;
}

/* ---- What nodes are told --------------------------------------------------------------------- */

int ml_user_tell(struct ml_admin *o, const char *user)
{
    const struct ml_who who = {.user = ml_slice_str(user)};
    char key[ML_REVOKE_KEY];
    struct ml_diag diag = {0};
    struct ml_store_item item = {.act = ML_STORE_SET, .ttl_ms = ML_REVOKE_KEEP_MS};
    struct ml_core_write ask = {.write = {.org = ML_REVOKE_ORG,
                                          .instance = ML_REVOKE_INSTANCE,
                                          .space = ML_REVOKE_SPACE,
                                          .items = &item,
                                          .count = 1}};
    struct ml_writer value;
    enum ml_err err = ML_ELIMIT;

    ml_writer_init(&value, 4096);
    if (ml_recheck_line(&who, &value, key)) {
        item.key = ml_slice_str(key);
        item.value = ml_writer_slice(&value);
        err = ml_core_commit(o->journal, &o->loop, &ask, &diag);
        ml_store_write_release(&ask.write);
    }
    ml_writer_release(&value);
    return err ? ml_admin_complain(1, "a running server was not told", diag.text) : 0;
}

int ml_user_end_tokens(struct ml_admin *o, const char *user, bool is_suspended)
{
    char text[96];
    struct ml_diag diag = {0};
    struct ml_store_item item = {
        .act = ML_STORE_SET, .key = ml_slice_str(user), .ttl_ms = is_suspended ? 0 : ENDED_MS};
    struct ml_core_write ask = {
        .write = {.org = CORE_ORG, .space = ML_SLICE("ended"), .items = &item, .count = 1}};
    enum ml_err err;

    (void)snprintf(text, sizeof text, "{\"at\":%" PRId64 "%s}", ml_clock_wall_ms(),
                   is_suspended ? ",\"suspended\":true" : "");
    item.value = ml_slice_str(text);
    err = ml_core_commit(o->journal, &o->loop, &ask, &diag);
    ml_store_write_release(&ask.write);
    if (err)
        return ml_admin_complain(1, diag.text, NULL);
    return ml_user_tell(o, user);
}
