/* SPDX-License-Identifier: MIT */
/*
 * POST …/tokens: a program with a key of its own (`ml_…`) gets a token for one of its users.
 *
 *   body is read --> key looked up in the org's space "apikey" --> hash compared --> roles --> mint
 *
 * What is stored is what `moonloom key add` wrote: {"hash", "name", "roles", "made"}. A key that is
 * not there and one that does not fit are the same answer.
 */
#include "net/api.h"
#include "net/auth_own.h"
#include "net/auth_signing.h"
#include "net/fields.h"

#include "base/clock.h"
#include "base/log.h"

#define DEPTH       4
#define VALUE_MAX   8192
#define SCRATCH_MAX (64u << 10)

struct minting {
    struct ml_call *call;
    struct ml_store_read read;
    struct ml_slice id;
    char hash[ML_API_KEY_HASH + 1];
    struct ml_own_token token;
    int64_t ttl_s;
    bool has_roles;
};

static void refuse_key(struct ml_call *call)
{
    ml_call_error(call, 401, "login_required",
                  "This needs a key: Authorization: Bearer ml_…, made by moonloom key add.");
}

static void refuse_body(struct ml_call *call)
{
    ml_call_error(
        call, 422, "bad_token",
        "The body is {\"user\", \"name\"?, \"roles\"?, \"doc\"?, \"ttl\"?}: texts, a list of "
        "names, and seconds up to 900.");
}

struct ml_slice ml_auth_json(struct ml_arena *arena, struct ml_slice json)
{
    const struct ml_engine_limits limits = {.any_depth = DEPTH};
    struct ml_slice copy = {0};
    struct ml_writer any;

    ml_writer_init(&any, 2 * ML_API_BODY_MAX);
    if (!ml_any_from_json(json, &limits, &any))
        copy = ml_arena_copy(arena, ml_writer_slice(&any));
    ml_writer_release(&any);
    return copy;
}

/* A text that may be missing. */
static bool read_text(struct ml_slice any, const char *key, size_t max, struct ml_slice *out)
{
    struct ml_slice value;

    return !ml_fields_get(any, key, &value) ||
           (ml_fields_text(value, out) && out->len && out->len <= max);
}

/* A list of names that may be missing. False: it is something else, or too long. */
static bool read_roles(struct ml_slice any, bool *there, char out[512])
{
    struct ml_slice list, each, name;
    size_t used = 0;

    out[0] = '\0';
    *there = ml_fields_get(any, "roles", &list);
    if (!*there)
        return true;
    if (!ml_fields_is_list(list))
        return false;
    for (uint64_t i = 0; ml_fields_item(list, i, &each); i++) {
        if (!ml_fields_text(each, &name) || !ml_role_name_is_valid(name))
            return false;
        used += name.len + 1;
        if (used >= 512)
            return false;
        ml_identity_add(out, name);
    }
    return true;
}

static bool read_body(struct ml_call *call, struct minting *m)
{
    static const char *const known[] = {"user", "name", "roles", "doc", "ttl", NULL};
    struct ml_slice any = ml_auth_json(&call->arena, ml_writer_slice(&call->body)), value;
    uint64_t ttl_s = ML_OWN_LIFE_MAX_S;

    if (!any.ptr || !ml_fields_is_object(any) || ml_fields_unknown(any, known).ptr ||
        !read_text(any, "user", ML_TOKEN_SUBJECT_MAX - 1, &m->token.user) || !m->token.user.len ||
        !read_text(any, "name", 127, &m->token.name) ||
        !read_text(any, "doc", ML_OWN_PATTERN_MAX, &m->token.doc) ||
        !read_roles(any, &m->has_roles, m->token.roles))
        return false;
    if (ml_fields_get(any, "ttl", &value) &&
        (!ml_fields_number(value, &ttl_s) || ttl_s < 1 || ttl_s > ML_OWN_LIFE_MAX_S))
        return false;
    if (!m->token.name.len)
        m->token.name = m->token.user;
    m->ttl_s = (int64_t)ttl_s;
    return true;
}

/* The roles that the key holds. False: it is not the one that was stored. */
static bool check_key(const struct minting *m, char held[512])
{
    const struct ml_store_read *read = &m->read;
    struct ml_slice any, value, hash;
    bool there;

    if (!read->count)
        return false;
    any = ml_auth_json(&m->call->arena, read->pairs[0].value);
    return any.ptr && ml_fields_get(any, "hash", &value) && ml_fields_text(value, &hash) &&
           ml_same_secret(ml_slice_str(m->hash), hash) && read_roles(any, &there, held);
}

/* SEC-AZ-09: no more than the key has; without a wish, what it has. */
static bool give_roles(struct minting *m, const char *held)
{
    struct ml_slice role;
    size_t cursor = 0;

    if (!m->has_roles) {
        memcpy(m->token.roles, held, sizeof m->token.roles);
        return true;
    }
    while (ml_identity_next(m->token.roles, &cursor, &role))
        if (!ml_role_may_give(held, role))
            return false;
    return true;
}

static void answer(struct minting *m)
{
    struct ml_call *call = m->call;
    const struct ml_own_keys *keys = call->net->env.own_keys(call->net->env.own_keys_arg);
    int64_t now_s = ml_clock_wall_ms() / 1000;
    struct ml_writer body;
    struct ml_slice text;

    m->token.expires_s = now_s + m->ttl_s;
    if (ml_own_mint(keys, &m->token, now_s, &call->arena, &text)) {
        refuse_body(call);
        return;
    }
    ml_log(ML_LOG_INFO, "token.minted", "org=%.*s key=%.*s user=%s", ML_PRINT(call->org),
           ML_PRINT(m->id), ML_LOG_TEXT(m->token.user));
    ml_writer_init(&body, ML_TOKEN_MAX_BYTES + 64);
    ml_write_bytes(&body, ML_SLICE("{\"token\":\""));
    ml_write_bytes(&body, text);
    ml_http_print(&body, "\",\"expires\":%lld}", (long long)m->token.expires_s * 1000);
    ml_call_json(call, 201, "", &body);
}

static void on_key(struct ml_store_read *read)
{
    struct minting *m = ML_CONTAINER(read, struct minting, read);
    struct ml_call *call = m->call;
    enum ml_err err = read->err;
    char held[512];
    bool fits = !err && check_key(m, held);

    ml_store_read_release(read);
    if (err)
        ml_call_failed(call, ML_EIO);
    else if (!fits)
        refuse_key(call);
    else if (!give_roles(m, held))
        ml_call_error(call, 403, "denied", "The key has not these roles, so it cannot give them.");
    else
        answer(m);
}

void ml_api_mint(struct ml_call *call)
{
    const struct ml_net_env *env = &call->net->env;
    struct minting *m = ml_arena_alloc(&call->arena, sizeof *m);

    if (!m) {
        ml_call_error(call, 503, "overloaded", "No memory for this now.");
        return;
    }
    memset(m, 0, sizeof *m);
    m->call = call;
    m->token.kind = ML_OWN_ACCESS;
    m->token.org = call->org;
    if (!ml_api_key_read(call->bearer, &m->id, m->hash)) {
        refuse_key(call);
        return;
    }
    if (!env->own_keys || !env->own_keys(env->own_keys_arg)) {
        ml_call_error(call, 503, "no_keys",
                      "This server has no signing keys: MOONLOOM_SEAL_KEY is not set.");
        return;
    }
    if (!read_body(call, m)) {
        refuse_body(call);
        return;
    }
    m->read = (struct ml_store_read){.look = ML_STORE_GET,
                                     .org = call->org,
                                     .instance = ML_SLICE("-"),
                                     .space = ML_SLICE("apikey"),
                                     .key = m->id,
                                     .limit = 1,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_key};
    ml_signing_wait(call);
    ml_store_look(env->journal, &m->read);
}
