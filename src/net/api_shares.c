/* SPDX-License-Identifier: MIT */
/*
 * Who a document is shared with (shares.h says where that stands), for its owners. What a share
 * gives is looked up in standing.c; a change is told to who is connected (SEC-WS-06).
 *
 *   list    all shares
 *   put     all shares --> (an owner less? members) --> (a person? user) --> written --> told
 *   delete  all shares --> (an owner less? members) --> deleted --> told
 *
 * A link is a token that names document, id and nonce. The nonce is new whenever the link is made
 * anew, so that what was taken back stays so.
 */
#include "net/api.h"
#include "net/auth_own.h"
#include "net/fields.h"
#include "net/shares.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CORE       ML_SLICE("-")
#define SHARES_MAX 500 /* of one document */
#define VALUE_MAX  2048
#define BODY_MAX   (1u << 20)
#define DAY_MS     86400000ll

struct sharing {
    struct ml_call *call;
    struct ml_store_read read, other;
    struct ml_store_write write;
    struct ml_store_item items[2];
    struct ml_writer value;
    char key[ML_SHARE_KEY_MAX + 1], prefix[ML_SHARE_PREFIX + 2], after[ML_STORE_KEY_MAX + 1];
    enum ml_share_kind kind;
    struct ml_slice id;
    enum ml_role role;
    int64_t expires_ms; /* 0: never */
    bool deletes, is_new;
    uint64_t rev;
    char nonce[ML_SHARE_NONCE + 1];
    char name[128];
    int64_t at_ms;
    void (*then)(struct sharing *s);
};

static struct ml_slice owned(struct ml_slice any, const char *key)
{
    struct ml_slice value, text;

    return ml_fields_get(any, key, &value) && ml_fields_text(value, &text) ? text
                                                                           : ml_slice_make(NULL, 0);
}

static int64_t number_of(struct ml_slice any, const char *key)
{
    struct ml_slice value;
    uint64_t number;

    return ml_fields_get(any, key, &value) && ml_fields_number(value, &number) ? (int64_t)number
                                                                               : 0;
}

/* SEC-AZ-09: owners of the document or of the org. False: answered. */
static bool is_owner(struct ml_call *call)
{
    if (call->visitor.role >= ML_ROLE_OWNER)
        return true;
    ml_call_error(call, 403, "denied", "Who may share this document, its owners decide.");
    return false;
}

static struct sharing *sharing_new(struct ml_call *call)
{
    struct sharing *s = ml_arena_alloc(&call->arena, sizeof *s);

    if (!s) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->call = call;
    ml_writer_init(&s->value, VALUE_MAX);
    ml_share_prefix(call->name, s->prefix);
    return s;
}

static void end_error(struct sharing *s, unsigned status, const char *code, const char *message)
{
    struct ml_call *call = s->call;

    ml_store_read_release(&s->read);
    ml_writer_release(&s->value);
    ml_call_error(call, status, code, message);
}

static void end_silent(struct sharing *s)
{
    end_error(s, 503, "storage", "The store does not answer now.");
}

static void look_shares(struct sharing *s, void (*done)(struct ml_store_read *read))
{
    ml_call_wait(s->call);
    s->read = (struct ml_store_read){.look = ML_STORE_SCAN,
                                     .org = s->call->org,
                                     .instance = CORE,
                                     .space = ML_SLICE("share"),
                                     .key = ml_slice_str(s->prefix),
                                     .limit = ML_STORE_PAGE_MAX,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = done};
    ml_store_look(s->call->net->env.journal, &s->read);
}

/* ---- Written out ----------------------------------------------------------------------------- */

static void put_share(struct ml_writer *out, enum ml_share_kind kind, struct ml_slice id,
                      struct ml_slice any, const char *token)
{
    int64_t expires_ms = number_of(any, "expires");

    ml_http_print(out, "{\"id\":");
    ml_json_write_text(out, id);
    if (kind == ML_SHARE_USER) {
        ml_http_print(out, ",\"kind\":\"user\",\"user\":");
        ml_json_write_text(out, id);
    } else {
        ml_http_print(out, ",\"kind\":\"link\"");
    }
    if (owned(any, "name").len) {
        ml_http_print(out, ",\"name\":");
        ml_json_write_text(out, owned(any, "name"));
    }
    ml_http_print(out, ",\"role\":");
    ml_json_write_text(out, owned(any, "role"));
    if (expires_ms)
        ml_http_print(out, ",\"expires\":%" PRId64, expires_ms);
    ml_http_print(out, ",\"by\":");
    ml_json_write_text(out, owned(any, "by"));
    ml_http_print(out, ",\"at\":%" PRId64, number_of(any, "at"));
    if (token) {
        ml_write_bytes(out, ML_SLICE(",\"token\":"));
        ml_json_write_text(out, ml_slice_str(token));
    }
    ml_http_print(out, "}");
}

static void on_listed(struct ml_store_read *read)
{
    struct sharing *s = ML_CONTAINER(read, struct sharing, read);
    struct ml_call *call = s->call;
    struct ml_writer body;
    bool first = true;

    if (read->err) {
        end_silent(s);
        return;
    }
    ml_writer_init(&body, BODY_MAX);
    ml_http_print(&body, "{\"items\":[");
    for (size_t i = 0; i < read->count; i++) {
        struct ml_slice any = ml_auth_json(&call->arena, read->pairs[i].value), id;
        enum ml_share_kind kind;

        if (!any.ptr || !ml_share_read_key(read->pairs[i].key, &kind, &id))
            continue;
        ml_http_print(&body, "%s", first ? "" : ",");
        put_share(&body, kind, id, any, NULL);
        first = false;
    }
    ml_http_print(&body, "]}");
    ml_store_read_release(read);
    ml_writer_release(&s->value);
    ml_call_json(call, 200, "", &body);
}

void ml_api_shares(struct ml_call *call)
{
    struct sharing *s = is_owner(call) ? sharing_new(call) : NULL;

    if (s)
        look_shares(s, on_listed);
}

/* ---- The last owner -------------------------------------------------------------------------- */

static void look_members(struct sharing *s);

static void on_members(struct ml_store_read *read)
{
    struct sharing *s = ML_CONTAINER(read, struct sharing, other);
    bool more = read->more, found = false, failed = read->err != ML_OK;

    for (size_t i = 0; i < read->count; i++) {
        struct ml_slice any = ml_auth_json(&s->call->arena, read->pairs[i].value);

        found |= ml_role_named(owned(any, "role")) >= ML_ROLE_OWNER;
        (void)snprintf(s->after, sizeof s->after, "%.*s", ML_PRINT(read->pairs[i].key));
    }
    ml_store_read_release(read);
    if (failed)
        end_silent(s);
    else if (found)
        s->then(s);
    else if (more)
        look_members(s);
    else
        end_error(s, 409, "last_owner", "Somebody has to own the document.");
}

static void look_members(struct sharing *s)
{
    s->other = (struct ml_store_read){.look = ML_STORE_SCAN,
                                      .org = s->call->org,
                                      .instance = CORE,
                                      .space = ML_SLICE("member"),
                                      .after = ml_slice_str(s->after),
                                      .limit = ML_STORE_PAGE_MAX,
                                      .now_ms = ml_clock_wall_ms(),
                                      .done = on_members};
    ml_store_look(s->call->net->env.journal, &s->other);
}

/* Is somebody an owner, without this share? Then `then`; or answered. */
static void keep_owner(struct sharing *s, void (*then)(struct sharing *s))
{
    s->then = then;
    for (size_t i = 0; i < s->read.count; i++) {
        struct ml_slice any, id;
        enum ml_share_kind kind;

        if (!ml_share_read_key(s->read.pairs[i].key, &kind, &id) || kind != ML_SHARE_USER ||
            ml_slice_equal(id, s->id))
            continue;
        any = ml_auth_json(&s->call->arena, s->read.pairs[i].value);
        if (ml_role_named(owned(any, "role")) == ML_ROLE_OWNER && !number_of(any, "expires")) {
            then(s);
            return;
        }
    }
    look_members(s);
}

/* ---- Changed --------------------------------------------------------------------------------- */

static void tell(struct sharing *s)
{
    struct ml_who who = {.org = s->call->org, .document = s->call->name};

    if (s->kind == ML_SHARE_USER)
        who.user = s->id;
    if (ml_recheck(s->call->net, &who))
        ml_log(ML_LOG_ERROR, "sessions.untold", "err=%s", ml_err_name(ML_ELIMIT));
}

/* The link's token, in the arena. NULL: it cannot be made. */
static const char *make_token(struct sharing *s)
{
    const struct ml_net_env *env = &s->call->net->env;
    const struct ml_own_keys *keys = env->own_keys ? env->own_keys(env->own_keys_arg) : NULL;
    int64_t now_s = ml_clock_wall_ms() / 1000;
    struct ml_own_token token = {.kind = ML_OWN_GUEST,
                                 .org = s->call->org,
                                 .user = s->id,
                                 .doc = s->call->name,
                                 .session = ml_slice_str(s->nonce),
                                 .expires_s = now_s + ML_OWN_LINK_MAX_S};
    struct ml_slice text;
    char *copy;

    if (s->expires_ms)
        token.expires_s = (s->expires_ms + 999) / 1000;
    if (!keys || ml_own_mint(keys, &token, now_s, &s->call->arena, &text))
        return NULL;
    copy = ml_arena_alloc(&s->call->arena, text.len + 1);
    if (copy)
        (void)snprintf(copy, text.len + 1, "%.*s", ML_PRINT(text));
    return copy;
}

static void on_written(struct ml_store_write *write)
{
    struct sharing *s = ML_CONTAINER(write, struct sharing, write);
    struct ml_call *call = s->call;
    enum ml_err err = write->err;
    const char *token = NULL;
    struct ml_writer body;

    ml_store_write_release(write);
    if (err == ML_ECONFLICT) {
        end_error(s, 409, "busy", "Somebody else changes this share at this moment.");
        return;
    }
    if (err) {
        end_silent(s);
        return;
    }
    tell(s);
    ml_call_audit(call, s->deletes ? "share.revoked" : "share.granted", call->name, "ok");
    ml_writer_init(&body, ML_TOKEN_MAX_BYTES + 2 * VALUE_MAX);
    if (!s->deletes) {
        if (s->kind == ML_SHARE_LINK && s->is_new)
            token = make_token(s);
        put_share(&body, s->kind, s->id, ml_auth_json(&call->arena, ml_writer_slice(&s->value)),
                  token);
    }
    ml_store_read_release(&s->read);
    ml_writer_release(&s->value);
    ml_call_json(call, s->deletes ? 204 : 200, "", &body);
}

static void commit(struct sharing *s)
{
    s->items[0] =
        (struct ml_store_item){.act = ML_STORE_CHECK, .key = ml_slice_str(s->key), .rev = s->rev};
    s->items[1] = (struct ml_store_item){.act = s->deletes ? ML_STORE_DELETE : ML_STORE_SET,
                                         .key = ml_slice_str(s->key),
                                         .value = ml_writer_slice(&s->value)};
    s->write = (struct ml_store_write){.org = s->call->org,
                                       .instance = CORE,
                                       .space = ML_SLICE("share"),
                                       .items = s->items,
                                       .count = 2,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = on_written};
    ml_store_commit(s->call->net->env.journal, &s->write);
}

static void write_value(struct sharing *s)
{
    ml_http_print(&s->value, "{\"role\":\"%.*s\",\"by\":", ML_PRINT(ml_role_name(s->role)));
    ml_json_write_text(&s->value, ml_slice_str(s->call->visitor.identity.user));
    ml_http_print(&s->value, ",\"at\":%" PRId64, ml_clock_wall_ms());
    if (s->expires_ms)
        ml_http_print(&s->value, ",\"expires\":%" PRId64, s->expires_ms);
    if (s->kind == ML_SHARE_LINK)
        ml_http_print(&s->value, ",\"nonce\":\"%s\"", s->nonce);
    if (s->name[0]) {
        ml_http_print(&s->value, ",\"name\":");
        ml_json_write_text(&s->value, ml_slice_str(s->name));
    }
    ml_http_print(&s->value, "}");
}

static void on_user(struct ml_store_read *read)
{
    struct sharing *s = ML_CONTAINER(read, struct sharing, other);
    struct ml_slice any =
        read->count ? ml_auth_json(&s->call->arena, read->pairs[0].value) : ml_slice_make(NULL, 0);
    bool failed = read->err != ML_OK, is_there = read->count > 0;

    (void)snprintf(s->name, sizeof s->name, "%.*s", ML_PRINT(owned(any, "name")));
    ml_store_read_release(read);
    if (failed) {
        end_silent(s);
    } else if (!is_there && s->call->net->env.has_accounts) {
        end_error(s, 422, "bad_share", "There is no such account.");
    } else {
        write_value(s);
        commit(s);
    }
}

static void write_share(struct sharing *s)
{
    if (s->kind == ML_SHARE_LINK) {
        write_value(s);
        commit(s);
        return;
    }
    s->other = (struct ml_store_read){.look = ML_STORE_GET,
                                      .org = CORE,
                                      .instance = CORE,
                                      .space = ML_SLICE("user"),
                                      .key = s->id,
                                      .limit = 1,
                                      .now_ms = ml_clock_wall_ms(),
                                      .done = on_user};
    ml_store_look(s->call->net->env.journal, &s->other);
}

/* Which share is it, among those that were read? Its value; .ptr NULL: there is none. */
static struct ml_slice find(struct sharing *s, enum ml_share_kind kind)
{
    char key[ML_SHARE_KEY_MAX + 1];

    if (!ml_share_key(s->call->name, kind, s->id, key))
        return ml_slice_make(NULL, 0);
    for (size_t i = 0; i < s->read.count; i++)
        if (ml_slice_equal(s->read.pairs[i].key, ml_slice_str(key))) {
            s->rev = s->read.pairs[i].rev;
            return ml_auth_json(&s->call->arena, s->read.pairs[i].value);
        }
    return ml_slice_make(NULL, 0);
}

static bool takes_owner(const struct sharing *s, struct ml_slice before)
{
    return s->kind == ML_SHARE_USER && ml_role_named(owned(before, "role")) == ML_ROLE_OWNER &&
           (s->deletes || s->role != ML_ROLE_OWNER || s->expires_ms);
}

static void on_shares_for_put(struct ml_store_read *read)
{
    struct sharing *s = ML_CONTAINER(read, struct sharing, read);
    struct ml_slice before;

    if (read->err) {
        end_silent(s);
        return;
    }
    if (find(s, s->kind == ML_SHARE_USER ? ML_SHARE_LINK : ML_SHARE_USER).ptr) {
        end_error(s, 409, "exists", "There is a share of another kind with this id.");
        return;
    }
    s->rev = 0;
    before = find(s, s->kind);
    s->is_new = !before.ptr;
    if (s->is_new && read->count >= SHARES_MAX) {
        end_error(s, 422, "bad_share", "The document is shared with as many as it can be.");
        return;
    }
    if (owned(before, "nonce").len == ML_SHARE_NONCE)
        (void)snprintf(s->nonce, sizeof s->nonce, "%.*s", ML_PRINT(owned(before, "nonce")));
    if (takes_owner(s, before))
        keep_owner(s, write_share);
    else
        write_share(s);
}

static void on_shares_for_delete(struct ml_store_read *read)
{
    struct sharing *s = ML_CONTAINER(read, struct sharing, read);
    struct ml_slice before = {0};

    if (read->err) {
        end_silent(s);
        return;
    }
    s->kind = ML_SHARE_USER;
    before = find(s, ML_SHARE_USER);
    if (!before.ptr) {
        s->kind = ML_SHARE_LINK;
        before = find(s, ML_SHARE_LINK);
    }
    if (!before.ptr || !ml_share_key(s->call->name, s->kind, s->id, s->key))
        end_error(s, 404, "not_found", "There is no such share.");
    else if (takes_owner(s, before))
        keep_owner(s, commit);
    else
        commit(s);
}

/* ---- Asked ----------------------------------------------------------------------------------- */

static void refuse_body(struct ml_call *call)
{
    ml_call_error(
        call, 422, "bad_share",
        "The body is {\"kind\": \"user\" or \"link\", \"user\"?, \"role\", \"expires\"?}: "
        "a role of a document (a link's up to editor), and milliseconds to come.");
}

/* False: answered. */
static bool read_share(struct sharing *s)
{
    static const char *const known[] = {"kind", "user", "role", "expires", NULL};
    struct ml_call *call = s->call;
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value;
    struct ml_slice kind = any.ptr ? owned(any, "kind") : ml_slice_make(NULL, 0);
    int64_t now_ms = ml_clock_wall_ms();
    bool is_link = ml_slice_equal(kind, ML_SLICE("link")), ok;

    ok = any.ptr && ml_fields_is_object(any) && !ml_fields_unknown(any, known).ptr &&
         (is_link || ml_slice_equal(kind, ML_SLICE("user")));
    s->kind = is_link ? ML_SHARE_LINK : ML_SHARE_USER;
    s->role = ok ? ml_role_named(owned(any, "role")) : ML_ROLE_NONE;
    s->expires_ms = ok ? number_of(any, "expires") : 0;
    if (ok && ml_fields_get(any, "user", &value))
        ok = !is_link && ml_slice_equal(owned(any, "user"), s->id);
    if (ok && ml_fields_get(any, "expires", &value))
        ok = s->expires_ms > now_ms && s->expires_ms < now_ms + ML_OWN_LINK_MAX_S * 1000ll;
    ok = ok && s->role && s->role <= (is_link ? ML_ROLE_EDITOR : ML_ROLE_OWNER) &&
         ml_share_key(call->name, s->kind, s->id, s->key) &&
         (is_link ? ml_link_id_is_valid(s->id)
                  : s->id.len <= ML_USER_ID_MAX && ml_user_id_is_valid(s->id));
    if (!ok) {
        refuse_body(call);
        return false;
    }
    if (s->role <= call->visitor.role)
        return true;
    ml_call_error(call, 403, "denied", "Nobody gives more than they have.");
    return false;
}

void ml_api_put_share(struct ml_call *call)
{
    struct sharing *s = is_owner(call) ? sharing_new(call) : NULL;

    if (!s)
        return;
    s->id = call->session;
    if (!ml_share_draw_nonce(s->nonce))
        end_error(s, 500, "internal", "No random numbers.");
    else if (read_share(s))
        look_shares(s, on_shares_for_put);
}

void ml_api_delete_share(struct ml_call *call)
{
    struct sharing *s = is_owner(call) ? sharing_new(call) : NULL;

    if (!s)
        return;
    s->id = call->session;
    s->deletes = true;
    look_shares(s, on_shares_for_delete);
}
