/* SPDX-License-Identifier: MIT */
/*
 * Somebody accepts an invitation into an org.
 *
 *   a new account   token --> user free? --> (worker) hash --+
 *   with a session  token --> family --> user ---------------+--> invitation taken out --> member
 *                                                                     --> place --> (user) --> in
 *
 * Who takes the invitation out of the store has it: it is good once, whoever else shows it. What is
 * cut off behind that needs a new invitation. A member who has more already keeps it.
 */
#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

#define CORE ML_SLICE("-")

struct joining {
    struct ml_signing *s;
    struct ml_own_token invite;
    bool has_account;
    char handle[ML_FAMILY_LEN + 1]; /* of the session that accepts */
    char key[ML_STORE_KEY_MAX + 1];
};

/* One is under way for each call; ml_signing has no place for it. */
static struct joining *joining_of(struct ml_signing *s)
{
    return s->call->job;
}

static void refuse(struct ml_call *call)
{
    ml_call_error(call, 401, "invite", "This invitation is over, was used, or was taken back.");
}

static void refuse_exists(struct ml_call *call)
{
    ml_call_error(call, 409, "exists", "There is an account of this name; choose another.");
}

/* False: answered. */
static bool is_written(struct ml_signing *s)
{
    enum ml_err err = s->write.err;

    ml_store_write_release(&s->write);
    ml_writer_release(&s->value);
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    if (err && err != ML_ECONFLICT)
        ml_signing_no_store(s->call);
    return !err || err == ML_ECONFLICT;
}

static void commit(struct ml_signing *s, struct ml_slice org, const char *space, size_t count,
                   void (*done)(struct ml_store_write *write))
{
    s->write = (struct ml_store_write){.org = org,
                                       .instance = CORE,
                                       .space = ml_slice_str(space),
                                       .items = s->items,
                                       .count = count,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = done};
    ml_store_commit(s->call->net->env.journal, &s->write);
}

/* ---- In -------------------------------------------------------------------------------------- */

static void enter(struct ml_signing *s)
{
    ml_log(ML_LOG_INFO, "invite.accepted", "user=%s org=%s", ML_LOG_TEXT(ml_slice_str(s->user)),
           s->org);
    ml_signing_audit(s, "role.changed", "ok");
    ml_signing_tell(s, "");
    ml_signing_enter(s);
}

static void on_user(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    bool is_taken = write->err == ML_ECONFLICT;

    if (!is_written(s))
        return;
    if (is_taken)
        refuse_exists(s->call);
    else
        enter(s);
}

/* SEC-SS-01: the session in the other org ends. */
static void on_left(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);

    if (is_written(s))
        enter(s);
}

static void on_place(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    struct joining *j = joining_of(s);

    if (!is_written(s))
        return;
    if (j->has_account) {
        s->items[0] =
            (struct ml_store_item){.act = ML_STORE_DELETE, .key = ml_slice_str(j->handle)};
        commit(s, CORE, "family", 1, on_left);
        return;
    }
    ml_http_print(&s->value, "{\"name\":");
    ml_json_write_text(&s->value, ml_slice_str(s->name));
    ml_http_print(&s->value, ",\"hash\":\"%s\"}", s->hash);
    s->items[0] = (struct ml_store_item){.act = ML_STORE_CHECK, .key = ml_slice_str(s->user)};
    s->items[1] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ml_slice_str(s->user), .value = ml_writer_slice(&s->value)};
    commit(s, CORE, "user", 2, on_user);
}

static void on_member(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    struct joining *j = joining_of(s);

    if (!is_written(s))
        return;
    (void)snprintf(j->key, sizeof j->key, "%s/%s", s->user, s->org);
    s->items[0] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ml_slice_str(j->key), .value = ML_SLICE("true")};
    commit(s, CORE, "place", 1, on_place);
}

static void on_old_member(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : ml_signing_value(s);
    char held[ML_ROLE_NAME_MAX + 1];
    enum ml_err err = read->err;

    if (any.ptr && joining_of(s)->has_account && ml_signing_text(any, "role", held, sizeof held) &&
        ml_role_named(ml_slice_str(held)) > ml_role_named(ml_slice_str(s->role)))
        (void)snprintf(s->role, sizeof s->role, "%s", held);
    ml_store_read_release(read);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    ml_http_print(&s->value, "{\"role\":\"%s\"}", s->role);
    s->items[0] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = ml_slice_str(s->user), .value = ml_writer_slice(&s->value)};
    commit(s, ml_slice_str(s->org), "member", 1, on_member);
}

static void on_claimed(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    bool is_gone = write->err == ML_ECONFLICT;

    if (!is_written(s))
        return;
    if (is_gone)
        refuse(s->call);
    else
        ml_signing_look(s, ml_slice_str(s->org), "member", s->user, on_old_member);
}

static void on_invite(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    struct ml_slice any = read->err ? ml_slice_make(NULL, 0) : ml_signing_value(s);
    bool is_good = any.ptr && ml_signing_text(any, "role", s->role, sizeof s->role) &&
                   ml_role_named(ml_slice_str(s->role));
    uint64_t rev = read->count ? read->pairs[0].rev : 0;
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    if (!is_good) {
        refuse(s->call);
        return;
    }
    s->items[0] =
        (struct ml_store_item){.act = ML_STORE_CHECK, .key = joining_of(s)->invite.id, .rev = rev};
    s->items[1] = (struct ml_store_item){.act = ML_STORE_DELETE, .key = joining_of(s)->invite.id};
    commit(s, ml_slice_str(s->org), "invite", 2, on_claimed);
}

static void look_invite(struct ml_signing *s)
{
    struct joining *j = joining_of(s);

    (void)snprintf(s->org, sizeof s->org, "%.*s", ML_PRINT(j->invite.org));
    (void)snprintf(j->key, sizeof j->key, "%.*s", ML_PRINT(j->invite.id));
    ml_signing_look(s, j->invite.org, "invite", j->key, on_invite);
}

/* ---- With a session -------------------------------------------------------------------------- */

static void on_known_user(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    enum ml_err err = ml_signing_read_account(s);

    if (err == ML_EIO)
        ml_signing_no_store(s->call);
    else if (err)
        refuse(s->call);
    else
        look_invite(s);
}

static void on_family(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);

    if (ml_signing_is_in(s))
        ml_signing_look(s, CORE, "user", s->user, on_known_user);
}

/* ---- A new account --------------------------------------------------------------------------- */

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
    if (status || !s->is_right)
        ml_call_error(s->call, 503, "overloaded", "The password could not be hashed now.");
    else
        look_invite(s);
}

static void on_free(struct ml_store_read *read)
{
    struct ml_signing *s = ML_CONTAINER(read, struct ml_signing, read);
    bool is_taken = read->count > 0;
    enum ml_err err = read->err;

    ml_store_read_release(read);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    if (is_taken) {
        refuse_exists(s->call);
        return;
    }
    ml_signing_work(s, on_work, on_worked);
}

/* ---- Asked ----------------------------------------------------------------------------------- */

/* False: answered. */
static bool read_account(struct ml_signing *s, struct ml_slice any)
{
    struct ml_call *call = s->call;
    struct ml_slice value;

    if (!ml_signing_text(any, "user", s->user, sizeof s->user) ||
        !ml_fields_get(any, "password", &value) || !ml_fields_text(value, &s->password)) {
        ml_call_error(call, 400, "bad_json",
                      "The body is {\"token\", \"user\", \"name\"?, \"password\"}, or {\"token\"} "
                      "of somebody who is signed in.");
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

/* False: answered. */
static bool read_body(struct ml_signing *s, struct joining *j)
{
    static const char *const known[] = {"token", "user", "name", "password", NULL};
    struct ml_call *call = s->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value, text;

    if (!any.ptr || !ml_fields_is_object(any) || ml_fields_unknown(any, known).ptr ||
        !ml_fields_get(any, "token", &value) || !ml_fields_text(value, &text)) {
        ml_call_error(call, 400, "bad_json",
                      "The body is {\"token\", \"user\", \"name\"?, \"password\"}.");
        return false;
    }
    if (ml_own_verify(ml_signing_keys(call), ML_OWN_INVITE, text, ml_clock_wall_ms() / 1000,
                      &call->arena, &j->invite) ||
        !j->invite.id.len || j->invite.id.len > 64) {
        refuse(call);
        return false;
    }
    j->has_account = !ml_fields_get(any, "user", &value);
    return j->has_account || read_account(s, any);
}

void ml_auth_invite(struct ml_call *call)
{
    struct ml_signing *s = ml_signing_new(call);
    struct joining *j = s ? ml_arena_alloc(&call->arena, sizeof *j) : NULL;

    if (!s)
        return;
    if (!j) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    memset(j, 0, sizeof *j);
    j->s = s;
    call->job = j;
    if (!read_body(s, j))
        return;
    if (j->has_account) {
        if (!ml_signing_take_refresh(s, 401, "login_required"))
            return;
        memcpy(j->handle, s->handle, sizeof j->handle);
        ml_signing_wait(call);
        ml_signing_look(s, CORE, "family", s->handle, on_family);
        return;
    }
    ml_signing_wait(call);
    ml_signing_look(s, CORE, "user", s->user, on_free);
}
