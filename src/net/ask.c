/* SPDX-License-Identifier: MIT */
/* Questions to the plugins about one client: identity, then grant. Where no plugin has an opinion,
 * open mode has one. */
#include "net/ask.h"

#include "net/url.h"

#define COOKIES_MAX 32
#define DEFAULT_ORG ML_SLICE("default")

static struct ml_slice lower(struct ml_arena *arena, struct ml_slice text)
{
    uint8_t *to = ml_arena_alloc(arena, text.len ? text.len : 1);

    if (!to)
        return ml_slice_make(NULL, 0);
    for (size_t i = 0; i < text.len; i++)
        to[i] = text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? text.ptr[i] | 0x20 : text.ptr[i];
    return ml_slice_make(to, text.len);
}

static size_t read_cookies(struct ml_slice text, struct ml_script_pair *out)
{
    size_t count = 0;

    while (text.len && count < COOKIES_MAX) {
        const uint8_t *end = memchr(text.ptr, ';', text.len);
        struct ml_slice pair = ml_slice_make(text.ptr, end ? (size_t)(end - text.ptr) : text.len);
        const uint8_t *equals;
        size_t skip = end ? pair.len + 1 : pair.len;

        text = ml_slice_make(text.ptr + skip, text.len - skip);
        while (pair.len && pair.ptr[0] == ' ')
            pair = ml_slice_make(pair.ptr + 1, pair.len - 1);
        equals = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;
        if (!equals || equals == pair.ptr)
            continue;
        out[count].name = ml_slice_make(pair.ptr, (size_t)(equals - pair.ptr));
        out[count].value = ml_slice_make(equals + 1, pair.len - out[count].name.len - 1);
        count++;
    }
    return count;
}

/* The credential: of the protocol, or of a header, or of the address. */
static struct ml_slice token_of(const struct ml_request_source *source, struct ml_slice parameter)
{
    struct ml_slice bearer = ml_head_field(source->head, "authorization");

    if (source->token.len)
        return source->token;
    if (bearer.len > 7 && ml_head_equal(ml_slice_make(bearer.ptr, 7), "bearer "))
        return ml_slice_make(bearer.ptr + 7, bearer.len - 7);
    return parameter;
}

bool ml_ask_request(const struct ml_request_source *source, struct ml_arena *arena,
                    struct ml_script_request *out)
{
    const struct ml_head *head = source->head;
    struct ml_parameter *parameters = ml_arena_array(arena, ML_QUERY_MAX, sizeof *parameters);
    struct ml_script_pair *headers = ml_arena_array(arena, ML_HEAD_FIELD_COUNT, sizeof *headers);
    struct ml_script_pair *query = ml_arena_array(arena, ML_QUERY_MAX, sizeof *query);
    struct ml_script_pair *cookies = ml_arena_array(arena, COOKIES_MAX, sizeof *cookies);
    size_t count = 0;

    if (!parameters || !headers || !query || !cookies ||
        ml_url_query(head->query, arena, parameters, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        query[i] = (struct ml_script_pair){parameters[i].name, parameters[i].value};
    for (size_t i = 0; i < head->field_count; i++) {
        headers[i].name = lower(arena, head->fields[i].name);
        headers[i].value = head->fields[i].value;
        if (!headers[i].name.ptr)
            return false;
    }
    *out = (struct ml_script_request){
        .method = head->method_text,
        .path = head->path,
        .ip = source->ip,
        .host = head->host,
        .origin = ml_head_field(head, "origin"),
        .token = token_of(source, ml_url_parameter(parameters, count, "token")),
        .headers = headers,
        .header_count = head->field_count,
        .query = query,
        .query_count = count,
        .cookies = cookies,
        .cookie_count = read_cookies(ml_head_field(head, "cookie"), cookies),
        .is_websocket = source->is_websocket,
    };
    return true;
}

static struct ml_refusal refusal_of(const struct ml_denial *denial)
{
    return (struct ml_refusal){
        .is_spoken = true,
        .status = denial->status >= 400 && denial->status < 600 ? (unsigned)denial->status : 0,
        .code = denial->code,
        .reason = denial->reason};
}

struct ml_script *ml_net_script(const struct ml_net *net, struct ml_slice org,
                                struct ml_slice document)
{
    return net->env.cells ? ml_cells_script(net->env.cells, org, document) : net->env.script;
}

static enum ml_err ask_plugins(struct ml_net *net, const struct ml_request_source *source,
                               struct ml_arena *arena, struct ml_asker *asker,
                               struct ml_refusal *refusal)
{
    struct ml_script *script = ml_net_script(net, source->org, ml_slice_make(NULL, 0));
    struct ml_script_request request;
    struct ml_denial denial = {0};
    enum ml_err err;

    if (!script || !(ml_script_hooks(script) & ML_HOOK_AUTHENTICATE))
        return ML_OK;
    if (!ml_ask_request(source, arena, &request))
        return ML_EFORMAT;
    err = ml_script_authenticate(script, &request, arena, &asker->is_known, &asker->facts, &denial);
    if (err == ML_EDENIED)
        *refusal = refusal_of(&denial);
    return err && err != ML_EDENIED ? ML_ESCRIPT : err;
}

bool ml_ask_needs_head(const struct ml_net *net)
{
    const struct ml_net_env *env = &net->env;
    unsigned hooks = env->cells    ? ml_cells_hooks(env->cells)
                     : env->script ? ml_script_hooks(env->script)
                                   : 0;

    return hooks & ML_HOOK_AUTHENTICATE;
}

/* What rooms know of who writes. */
static void keep_roles(struct ml_asker *asker)
{
    const struct ml_script_identity *facts = &asker->facts;

    for (size_t i = 0; i < facts->role_count; i++)
        ml_identity_add(asker->identity.roles, facts->roles[i]);
    if (facts->kind.len < sizeof asker->identity.kind && facts->kind.len)
        memcpy(asker->identity.kind, facts->kind.ptr, facts->kind.len);
}

enum ml_err ml_ask_identity(struct ml_net *net, const struct ml_request_source *source,
                            struct ml_arena *arena, struct ml_asker *asker_out,
                            struct ml_refusal *refusal_out)
{
    enum ml_err err;

    memset(asker_out, 0, sizeof *asker_out);
    *refusal_out = (struct ml_refusal){0};
    err = ask_plugins(net, source, arena, asker_out, refusal_out);
    if (err)
        return err;
    if (asker_out->is_known) {
        ml_identity_make(&asker_out->identity, asker_out->facts.user, asker_out->facts.name,
                         asker_out->facts.expires_at_ms);
    } else {
        if (net->env.open_mode && source->is_websocket)
            ml_identity_guest(&asker_out->identity);
        else if (net->env.open_mode) /* has no cursor that another could take */
            ml_identity_make(&asker_out->identity, ML_SLICE("guest"), ML_SLICE("Guest"), 0);
        else
            ml_identity_make(&asker_out->identity, ML_SLICE(""), ML_SLICE(""), 0);
        asker_out->facts = (struct ml_script_identity){.kind = ML_SLICE("guest")};
    }
    keep_roles(asker_out);
    asker_out->facts.user = ml_slice_str(asker_out->identity.user);
    asker_out->facts.name = ml_slice_str(asker_out->identity.name);
    asker_out->facts.session = ml_slice_str(asker_out->identity.session);
    return ML_OK;
}

static unsigned bits_of(const struct ml_script_grant *grant)
{
    return (grant->read ? ML_MAY_READ : 0u) | (grant->write ? ML_MAY_WRITE : 0u) |
           (grant->presence ? ML_MAY_PRESENCE : 0u) | (grant->messages ? ML_MAY_MESSAGE : 0u) |
           (grant->history ? ML_MAY_HISTORY : 0u);
}

/* Where may be written. */
static bool take_rules(struct ml_arena *arena, const struct ml_script_grant *given,
                       struct ml_asker *asker)
{
    struct ml_grant_rule *rules = ml_arena_array(arena, given->write_count, sizeof *rules);

    if (!rules)
        return false;
    for (size_t i = 0; i < given->write_count; i++) {
        const struct ml_script_write *write = &given->writes[i];

        rules[i] = (struct ml_grant_rule){write->bars, write->kinds, write->pattern, write->code,
                                          write->reason};
    }
    return ml_grant_compile(arena, rules, given->write_count, asker->facts.user,
                            &asker->grant.rules);
}

enum ml_err ml_ask_grant(struct ml_net *net, struct ml_slice action, struct ml_slice org,
                         struct ml_slice document, struct ml_arena *arena, struct ml_asker *asker,
                         struct ml_refusal *refusal_out)
{
    struct ml_script *script = ml_net_script(net, org, document);
    struct ml_script_grant given = {0};
    struct ml_denial denial = {0};

    *refusal_out = (struct ml_refusal){0};
    if (script && (ml_script_hooks(script) & ML_HOOK_AUTHORIZE)) {
        const struct ml_script_ask ask = {action, org, document, &asker->facts};
        enum ml_err err = ml_script_authorize(script, &ask, arena, &given, &denial);

        if (err == ML_EDENIED)
            *refusal_out = refusal_of(&denial);
        if (err)
            return err == ML_EDENIED ? err : ML_ESCRIPT;
    }
    if (given.given) {
        asker->grant.may = bits_of(&given);
        if (given.write_count && !take_rules(arena, &given, asker))
            return ML_ESCRIPT;
        if (given.ttl_ms)
            asker->grant.until_ms = (int64_t)(ml_net_now(net) + given.ttl_ms);
    } else if (net->env.open_mode && ml_slice_equal(org, DEFAULT_ORG)) {
        asker->grant = ml_grant_editor();
    }
    if (ml_grant_allows(&asker->grant, ML_MAY_READ))
        return ML_OK;
    return given.given ? ML_EDENIED : ML_ENOTFOUND;
}
