/* SPDX-License-Identifier: MIT */
/*
 * The first account of a server, made by whoever has the link that it printed at its start. The
 * token of the link is a MAC under the server's own keys, so nothing is stored, and every node of a
 * cluster knows it; it is worth something for as long as nobody has an account.
 *
 *   anybody there? --> lock --> (worker) hash --> member of `default` --> user --> signed in
 *
 * The user comes last: what is cut off before that can be done again, once the lock has run out.
 */
#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

#define LOCK_MS 60000u
#define CORE    ML_SLICE("-")

static void refuse(struct ml_call *call)
{
    ml_call_error(call, 401, "setup", "This link is not good, or somebody was here before.");
}

/* Only if there is nothing yet. */
static void put(struct ml_signing *s, struct ml_slice org, const char *space, const char *key,
                uint64_t ttl_ms, void (*done)(struct ml_store_write *write))
{
    s->items[0] = (struct ml_store_item){.act = ML_STORE_CHECK, .key = ml_slice_str(key)};
    s->items[1] = (struct ml_store_item){.act = ML_STORE_SET,
                                         .key = ml_slice_str(key),
                                         .value = ml_writer_slice(&s->value),
                                         .ttl_ms = ttl_ms};
    s->write = (struct ml_store_write){.org = org,
                                       .instance = CORE,
                                       .space = ml_slice_str(space),
                                       .items = s->items,
                                       .count = 2,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = done};
    ml_store_commit(s->call->net->env.journal, &s->write);
}

/* False: answered. */
static bool is_written(struct ml_signing *s)
{
    enum ml_err err = s->write.err;

    ml_store_write_release(&s->write);
    ml_writer_release(&s->value);
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    if (err == ML_ECONFLICT)
        refuse(s->call);
    else if (err)
        ml_signing_no_store(s->call);
    return !err;
}

static void on_user(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);

    if (!is_written(s))
        return;
    ml_log(ML_LOG_INFO, "setup", "user=%s", ML_LOG_TEXT(ml_slice_str(s->user)));
    ml_signing_enter(s);
}

static void on_member(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    /* It may be there from a try that was cut off. */
    if (err == ML_ECONFLICT)
        write->err = ML_OK;
    if (!is_written(s))
        return;
    ml_http_print(&s->value, "{\"name\":");
    ml_json_write_text(&s->value, ml_slice_str(s->name));
    ml_http_print(&s->value, ",\"hash\":\"%s\"}", s->hash);
    put(s, CORE, "user", s->user, 0, on_user);
}

static void on_work(uv_work_t *work)
{
    struct ml_signing *s = work->data;

    s->is_right = !ml_password_hash(s->password, s->hash);
}

static void on_worked(uv_work_t *work, int status)
{
    struct ml_signing *s = work->data;

    s->call->net->password_checks--;
    explicit_bzero((void *)(uintptr_t)s->password.ptr, s->password.len);
    if (status || !s->is_right) {
        ml_call_error(s->call, 503, "overloaded", "The password could not be hashed now.");
        return;
    }
    (void)snprintf(s->role, sizeof s->role, "owner");
    ml_http_print(&s->value, "{\"role\":\"owner\"}");
    put(s, ml_slice_str(s->org), "member", s->user, 0, on_member);
}

static void on_lock(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);

    if (write->err == ML_ECONFLICT) {
        ml_store_write_release(write);
        ml_writer_release(&s->value);
        ml_call_error(s->call, 409, "busy",
                      "Somebody is at it, or a try was cut off: try again in a minute.");
        return;
    }
    if (!is_written(s))
        return;
    ml_signing_work(s, on_work, on_worked);
}

static void on_anybody(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    size_t count = read->count;
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err) {
        ml_signing_no_store(s->call);
    } else if (count) {
        refuse(s->call);
    } else {
        ml_http_print(&s->value, "true");
        put(s, CORE, "setup", "lock", LOCK_MS, on_lock);
    }
}

/* False: answered. */
static bool read_body(struct ml_signing *s)
{
    static const char *const known[] = {"token", "user", "name", "password", NULL};
    struct ml_call *call = s->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value;
    char wanted[65], token[65];

    if (!any.ptr || !ml_fields_is_object(any) || ml_fields_unknown(any, known).ptr ||
        !ml_fields_get(any, "password", &value) || !ml_fields_text(value, &s->password) ||
        !ml_signing_text(any, "user", s->user, sizeof s->user)) {
        ml_call_error(call, 400, "bad_json",
                      "The body is {\"token\", \"user\", \"name\"?, \"password\"}.");
        return false;
    }
    ml_own_setup_token(ml_signing_keys(call), wanted);
    if (!ml_signing_text(any, "token", token, sizeof token) ||
        !ml_same_secret(ml_slice_str(token), ml_slice_str(wanted))) {
        refuse(call);
        return false;
    }
    if (!ml_signing_text(any, "name", s->name, sizeof s->name) || !s->name[0])
        (void)snprintf(s->name, sizeof s->name, "%.*s", (int)sizeof s->name - 1, s->user);
    if (!ml_user_id_is_valid(ml_slice_str(s->user))) {
        ml_call_error(call, 422, "bad_user", "A name to sign in with has a-z, 0-9 and . _ @ + -.");
        return false;
    }
    if (s->password.len < ML_PASSWORD_MIN || s->password.len > ML_PASSWORD_MAX_BYTES) {
        ml_call_error(call, 422, "weak", "A password has 8 to 1024 bytes.");
        return false;
    }
    return true;
}

void ml_auth_setup(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);

    if (!s)
        return;
    (void)snprintf(s->org, sizeof s->org, "default");
    if (!read_body(s))
        return;
    ml_signing_wait(call);
    s->read = (struct ml_store_read){.look = ML_STORE_SCAN,
                                     .org = CORE,
                                     .instance = CORE,
                                     .space = ML_SLICE("user"),
                                     .limit = 1,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_anybody};
    ml_store_look(call->net->env.journal, &s->read);
}
