/* SPDX-License-Identifier: MIT */
/*
 * Invitations into an org: made, listed and taken back by its owners. One stands in the store for
 * as long as it is good: org ORG, instance "-", space "invite", key id, {"role", "by", "at",
 * "expires"}. Who accepts it takes it out (auth_invite.c), so it is good once.
 */
#include "net/api.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

#define CORE        ML_SLICE("-")
#define ID_MAX      64u
#define VALUE_MAX   1024u
#define LIFE_MS     (7ll * 86400000) /* if nobody says another */
#define LIFE_MAX_MS (ML_OWN_INVITE_MAX_S * 1000ll)
#define LIST_MAX    1000
#define LIST_BYTES  (1u << 20)

struct inviting {
    struct ml_call *call;
    struct ml_store_read read;
    struct ml_store_write write;
    struct ml_store_item item;
    struct ml_writer value;
    struct ml_slice token, id;
    int64_t expires_ms;
};

/* SEC-AZ-09. False: answered. */
static bool is_owner(struct ml_call *call)
{
    if (call->visitor.role >= ML_ROLE_OWNER)
        return true;
    ml_call_error(call, 403, "denied", "Who joins this org, its owners decide.");
    return false;
}

static struct inviting *inviting_new(struct ml_call *call)
{
    struct inviting *i = ml_arena_alloc(&call->arena, sizeof *i);

    if (!i) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return NULL;
    }
    memset(i, 0, sizeof *i);
    i->call = call;
    ml_writer_init(&i->value, VALUE_MAX);
    return i;
}

static void end_silent(struct inviting *i)
{
    ml_writer_release(&i->value);
    ml_call_error(i->call, 503, "storage", "The store does not answer now.");
}

static void commit(struct inviting *i, void (*done)(struct ml_store_write *write))
{
    ml_call_wait(i->call);
    i->write = (struct ml_store_write){.org = i->call->org,
                                       .instance = CORE,
                                       .space = ML_SLICE("invite"),
                                       .items = &i->item,
                                       .count = 1,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = done};
    ml_store_commit(i->call->net->env.journal, &i->write);
}

/* ---- Made ------------------------------------------------------------------------------------ */

static void on_made(struct ml_store_write *write)
{
    struct inviting *i = ML_CONTAINER(write, struct inviting, write);
    struct ml_call *call = i->call;
    enum ml_err err = write->err;
    struct ml_writer body;

    ml_store_write_release(write);
    if (err) {
        end_silent(i);
        return;
    }
    ml_call_audit(call, "invite.made", i->id, "ok");
    ml_writer_init(&body, ML_TOKEN_MAX_BYTES + 256);
    ml_http_print(&body, "{\"id\":\"%.*s\",\"token\":\"", ML_PRINT(i->id));
    ml_write_bytes(&body, i->token);
    ml_http_print(&body, "\",\"expires\":%" PRId64 "}", i->expires_ms);
    ml_writer_release(&i->value);
    ml_call_json(call, 201, "", &body);
}

/* False: answered. */
static bool read_body(struct inviting *i, enum ml_role *role_out)
{
    static const char *const known[] = {"role", "expires", NULL};
    struct ml_call *call = i->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value, text;
    int64_t now_ms = ml_clock_wall_ms();
    uint64_t expires_ms = (uint64_t)(now_ms + LIFE_MS);
    bool ok = any.ptr && ml_fields_is_object(any) && !ml_fields_unknown(any, known).ptr &&
              ml_fields_get(any, "role", &value) && ml_fields_text(value, &text);

    *role_out = ok ? ml_role_named(text) : ML_ROLE_NONE;
    if (ok && ml_fields_get(any, "expires", &value))
        ok = ml_fields_number(value, &expires_ms) && expires_ms > (uint64_t)now_ms + 1000 &&
             expires_ms <= (uint64_t)(now_ms + LIFE_MAX_MS);
    i->expires_ms = (int64_t)expires_ms;
    if (!ok || !*role_out || *role_out == ML_ROLE_COMMENTER || *role_out == ML_ROLE_SUGGESTER) {
        ml_call_error(call, 422, "bad_invite",
                      "The body is {\"role\", \"expires\"?}: a role of an org, and milliseconds to "
                      "come, within 30 days.");
        return false;
    }
    if (*role_out <= call->visitor.role)
        return true;
    ml_call_error(call, 403, "denied", "Nobody gives more than they have.");
    return false;
}

void ml_api_invite(struct ml_call *call)
{
    struct inviting *i = is_owner(call) ? inviting_new(call) : NULL;
    int64_t now_s = ml_clock_wall_ms() / 1000;
    struct ml_own_token token = {.kind = ML_OWN_INVITE};
    const struct ml_own_keys *keys;
    enum ml_role role;

    if (!i || !read_body(i, &role))
        return;
    keys = ml_signing_keys(call);
    token.org = call->org;
    token.user = ml_slice_str(call->visitor.identity.user);
    token.expires_s = i->expires_ms / 1000;
    if (!keys || ml_own_mint(keys, &token, now_s, &call->arena, &i->token)) {
        ml_call_error(call, 503, "no_accounts", "There are no accounts on this server.");
        return;
    }
    i->id = token.id;
    ml_http_print(&i->value, "{\"role\":\"%.*s\",\"by\":", ML_PRINT(ml_role_name(role)));
    ml_json_write_text(&i->value, token.user);
    ml_http_print(&i->value, ",\"at\":%" PRId64 ",\"expires\":%" PRId64 "}", now_s * 1000,
                  i->expires_ms);
    i->item = (struct ml_store_item){.act = ML_STORE_SET,
                                     .key = i->id,
                                     .value = ml_writer_slice(&i->value),
                                     .ttl_ms = (uint64_t)(i->expires_ms - now_s * 1000)};
    commit(i, on_made);
}

/* ---- Listed ---------------------------------------------------------------------------------- */

static void on_listed(struct ml_store_read *read)
{
    struct inviting *i = ML_CONTAINER(read, struct inviting, read);
    struct ml_call *call = i->call;
    struct ml_writer body;

    if (read->err) {
        ml_store_read_release(read);
        end_silent(i);
        return;
    }
    ml_writer_init(&body, LIST_BYTES);
    ml_http_print(&body, "{\"items\":[");
    for (size_t n = 0; n < read->count; n++) {
        struct ml_slice value = read->pairs[n].value;

        /* As it was written, an object, with the id in front. */
        if (value.len < 2 || value.ptr[0] != '{')
            continue;
        ml_http_print(&body, "%s{\"id\":", n ? "," : "");
        ml_json_write_text(&body, read->pairs[n].key);
        ml_http_print(&body, ",");
        ml_write_bytes(&body, ml_slice_make(value.ptr + 1, value.len - 1));
    }
    ml_http_print(&body, "]}");
    ml_store_read_release(read);
    ml_writer_release(&i->value);
    ml_call_json(call, 200, "", &body);
}

void ml_api_invites(struct ml_call *call)
{
    struct inviting *i = is_owner(call) ? inviting_new(call) : NULL;

    if (!i)
        return;
    ml_call_wait(call);
    i->read = (struct ml_store_read){.look = ML_STORE_SCAN,
                                     .org = call->org,
                                     .instance = CORE,
                                     .space = ML_SLICE("invite"),
                                     .limit = LIST_MAX,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_listed};
    ml_store_look(call->net->env.journal, &i->read);
}

/* ---- Taken back ------------------------------------------------------------------------------ */

static void on_deleted(struct ml_store_write *write)
{
    struct inviting *i = ML_CONTAINER(write, struct inviting, write);
    struct ml_call *call = i->call;
    bool was_there = i->item.rev_out != 0;
    enum ml_err err = write->err;

    ml_store_write_release(write);
    if (err) {
        end_silent(i);
        return;
    }
    if (!was_there) {
        ml_writer_release(&i->value);
        ml_call_error(call, 404, "not_found", "There is no such invitation.");
        return;
    }
    ml_call_json(call, 204, "", &i->value);
}

void ml_api_delete_invite(struct ml_call *call)
{
    struct inviting *i = is_owner(call) ? inviting_new(call) : NULL;

    if (!i)
        return;
    if (!call->session.len || call->session.len > ID_MAX) {
        ml_call_error(call, 404, "not_found", "There is no such invitation.");
        return;
    }
    i->item = (struct ml_store_item){.act = ML_STORE_DELETE, .key = call->session};
    commit(i, on_deleted);
}
