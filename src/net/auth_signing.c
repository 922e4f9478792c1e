/* SPDX-License-Identifier: MIT */
/*
 * What makes and changes a session stands in the store, under the core's instance "-":
 *
 *   org "-"  space "user"    key: id        {"name", "hash", "suspended"?}
 *   org "-"  space "place"   key: USER/ORG  true; in which orgs somebody is a member
 *   org ORG  space "member"  key: user id   {"role"}
 *   org "-"  space "family"  key: handle    {"user", "org", "head", "before", "started",
 * "rotated"}, all texts org "-"  space "ended"   key: user id   {"at", "suspended"?}: no token from
 * before counts
 *
 * A family is changed on the condition that it is as it was read: of fifty refreshes at once one
 * makes the successor and the others find it.
 */
#include "net/auth_signing.h"
#include "net/auth_login.h"
#include "net/auth_own.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define CORE ML_SLICE("-")

/* ---- The store ------------------------------------------------------------------------------- */

void ml_signing_look(struct ml_signing *s, struct ml_slice org, const char *space, const char *key,
                     void (*done)(struct ml_store_read *read))
{
    s->read = (struct ml_store_read){.look = ML_STORE_GET,
                                     .org = org,
                                     .instance = CORE,
                                     .space = ml_slice_str(space),
                                     .key = ml_slice_str(key),
                                     .limit = 1,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = done};
    ml_store_look(s->call->net->env.journal, &s->read);
}

void ml_signing_commit_family(struct ml_signing *s, size_t count,
                              void (*done)(struct ml_store_write *write))
{
    s->write = (struct ml_store_write){.org = CORE,
                                       .instance = CORE,
                                       .space = ML_SLICE("family"),
                                       .items = s->items,
                                       .count = count,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = done};
    ml_store_commit(s->call->net->env.journal, &s->write);
}

/* A text of a stored object, as a string. False: it is not there, or too long. */
bool ml_signing_text(struct ml_slice any, const char *key, char *out, size_t size)
{
    struct ml_slice value, text;

    if (!ml_fields_get(any, key, &value) || !ml_fields_text(value, &text) || text.len >= size ||
        memchr(text.ptr, 0, text.len))
        return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

/* A time in milliseconds, which stands as text: an encoded number has 31 bits. */
bool ml_signing_time(struct ml_slice any, const char *key, int64_t *out)
{
    char text[24], *end;

    if (!ml_signing_text(any, key, text, sizeof text))
        return false;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && *out > 0;
}

/* The one value that was read; .ptr NULL: there is none. */
struct ml_slice ml_signing_value(struct ml_signing *s)
{
    return s->read.count ? ml_auth_json(&s->call->arena, s->read.pairs[0].value)
                         : ml_slice_make(NULL, 0);
}

enum ml_err ml_signing_read_account(struct ml_signing *s)
{
    struct ml_slice any = s->read.err ? ml_slice_make(NULL, 0) : ml_signing_value(s), value;
    bool may_come = any.ptr && !ml_fields_get(any, "suspended", &value) &&
                    ml_signing_text(any, "name", s->name, sizeof s->name);
    enum ml_err err = s->read.err;

    if (!may_come || !ml_signing_text(any, "hash", s->hash, sizeof s->hash))
        s->hash[0] = '\0';
    ml_store_read_release(&s->read);
    return err ? ML_EIO : may_come ? ML_OK : ML_ENOTFOUND;
}

void ml_signing_hash(const char *secret, char out[65])
{
    struct ml_slice text = ml_slice_str(secret);

    ml_digest_hex(&text, 1, out, 64);
}

/* The family with `secret` as its newest; `before`: hash of the one that it replaces, or "". */
void ml_signing_put_family(struct ml_signing *s, const char *secret, const char *before,
                           uint64_t rev, void (*done)(struct ml_store_write *write))
{
    int64_t now_ms = ml_clock_wall_ms();
    char head[65];

    ml_signing_hash(secret, head);
    ml_writer_release(&s->value);
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    ml_http_print(&s->value, "{\"user\":");
    ml_json_write_text(&s->value, ml_slice_str(s->user));
    ml_http_print(&s->value,
                  ",\"org\":\"%s\",\"head\":\"%s\",\"before\":\"%s\",\"started\":\"%" PRId64
                  "\",\"rotated\":\"%" PRId64 "\"}",
                  s->org, head, before, s->started_ms, now_ms);
    s->items[0] =
        (struct ml_store_item){.act = ML_STORE_CHECK, .key = ml_slice_str(s->handle), .rev = rev};
    s->items[1] = (struct ml_store_item){.act = ML_STORE_SET,
                                         .key = ml_slice_str(s->handle),
                                         .value = ml_writer_slice(&s->value),
                                         .ttl_ms = (uint64_t)ML_REFRESH_LIFE_MS};
    ml_signing_commit_family(s, 2, done);
}
struct ml_signing *ml_signing_new(struct ml_call *call)
{
    struct ml_signing *s = ml_arena_alloc(&call->arena, sizeof *s);

    if (!ml_signing_keys(call)) {
        ml_call_error(call, 404, "not_found", "There is nothing at this address.");
        return NULL;
    }
    if (!s) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->call = call;
    ml_writer_init(&s->value, ML_SIGNING_VALUE_MAX);
    s->ip = ml_arena_copy(&call->arena, ml_slice_str(call->http->ip));
    return s;
}

void ml_signing_wait(struct ml_call *call)
{
    ml_call_wait(call);
    ml_http_wait_at_most(call->http, ML_SIGNING_WAIT_MS);
}

/* ---- In ------------------------------------------------------------------------------------ */

static bool draw_hex(char *out, size_t digits)
{
    uint8_t bytes[32];

    if (getrandom(bytes, digits / 2, 0) != (ssize_t)(digits / 2))
        return false;
    for (size_t i = 0; i < digits / 2; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

static void on_made(struct ml_store_write *write)
{
    struct ml_signing *s = ML_CONTAINER(write, struct ml_signing, write);
    enum ml_err err = write->err;

    ml_store_write_release(write);
    ml_writer_release(&s->value);
    if (err) {
        ml_signing_no_store(s->call);
        return;
    }
    ml_log(ML_LOG_INFO, "login", "user=%s org=%s", ML_LOG_TEXT(ml_slice_str(s->user)), s->org);
    ml_signing_audit(s, "session.sign_in", "ok");
    ml_signing_answer_in(s);
}

void ml_signing_enter(struct ml_signing *s)
{
    struct ml_slice user = ml_slice_str(s->user);

    ml_digest_hex(&user, 1, s->handle, ML_USER_KEY_LEN);
    if (!draw_hex(s->handle + ML_USER_KEY_LEN, ML_FAMILY_LEN - ML_USER_KEY_LEN) ||
        !draw_hex(s->secret, 64)) {
        ml_call_error(s->call, 500, "internal", "No random numbers.");
        return;
    }
    s->started_ms = ml_clock_wall_ms();
    ml_signing_put_family(s, s->secret, "", 0, on_made);
}
