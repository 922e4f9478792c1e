/* SPDX-License-Identifier: MIT */
/*
 * Questions to the plugins about one client: identity, then grant. Where no plugin has an opinion,
 * open mode has one.
 *
 *   start --> resolve_org --> upgrade --> authenticate --> standing --> authorize --> over
 *                              |   ^         |   ^          |   ^         |   ^
 *                              v   | flush   v   | flush    v   | flush   v   | flush
 *                             (a plugin waits)          (the store)
 *
 * An answer that was waited for comes in the middle of Lua's affairs, so it is only noted, and
 * taken up in ml_ask_flush, before the loop sleeps. A question that is dropped leaves nothing
 * behind: the plugin's wait is broken off.
 */
#include "net/ask.h"

#include "net/auth_own.h"
#include "net/standing.h"
#include "net/url.h"

#include "base/clock.h"

#define COOKIES_MAX 32

enum { STEP_RESOLVE, STEP_UPGRADE, STEP_AUTHENTICATE, STEP_STANDING, STEP_AUTHORIZE };

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

static uint64_t hooks_of(const struct ml_net *net)
{
    const struct ml_net_env *env = &net->env;

    return env->cells ? ml_cells_hooks(env->cells) : env->script ? ml_script_hooks(env->script) : 0;
}

bool ml_ask_needs_head(const struct ml_net *net)
{
    return net->env.has_accounts ||
           (hooks_of(net) & (ML_HOOK_AUTHENTICATE | ML_HOOK_UPGRADE | ML_HOOK_RESOLVE_ORG));
}

bool ml_ask_may_wait(const struct ml_net *net)
{
    return (net->env.own_keys && net->env.own_keys(net->env.own_keys_arg)) ||
           (hooks_of(net) &
            (ML_HOOK_AUTHENTICATE | ML_HOOK_UPGRADE | ML_HOOK_RESOLVE_ORG | ML_HOOK_AUTHORIZE));
}

/* What rooms know of who writes. */
static void keep_text(char *to, size_t size, struct ml_slice text)
{
    if (text.len && text.len < size)
        memcpy(to, text.ptr, text.len); /* the rest is zero */
}

static void keep_roles(struct ml_asker *asker)
{
    const struct ml_script_identity *facts = &asker->facts;

    for (size_t i = 0; i < facts->role_count; i++)
        ml_identity_add(asker->identity.roles, facts->roles[i]);
    for (size_t i = 0; i < facts->group_count; i++)
        ml_identity_add(asker->identity.groups, facts->groups[i]);
    keep_text(asker->identity.kind, sizeof asker->identity.kind, facts->kind);
    keep_text(asker->identity.color, sizeof asker->identity.color, facts->color);
    keep_text(asker->identity.avatar, sizeof asker->identity.avatar, facts->avatar);
}

/* Who it is, as far as plugins know. */
static void take_identity(struct ml_ask *ask)
{
    const struct ml_net *net = ask->net;
    struct ml_asker *asker = ask->asker;

    if (asker->is_known) {
        ml_identity_make(&asker->identity, asker->facts.user, asker->facts.name,
                         asker->facts.expires_at_ms);
        /* Who has no name but the id may say one. */
        asker->identity.names_itself =
            !asker->facts.name.len || ml_slice_equal(asker->facts.name, asker->facts.user);
        /* Plugins may call everybody something new; a guest of a link is known by a cookie. */
        asker->identity.is_passing =
            !asker->is_own && ml_slice_equal(asker->facts.kind, ML_SLICE("guest"));
    } else {
        if (net->env.open_mode && ask->source.is_websocket)
            ml_identity_guest(&asker->identity);
        else if (net->env.open_mode) /* has no cursor that another could take */
            ml_identity_make(&asker->identity, ML_SLICE("guest"), ML_SLICE("Guest"), 0);
        else
            ml_identity_make(&asker->identity, ML_SLICE(""), ML_SLICE(""), 0);
        asker->identity.is_passing = true;
        asker->facts = (struct ml_script_identity){.kind = ML_SLICE("guest")};
    }
    keep_roles(asker);
    asker->facts.user = ml_slice_str(asker->identity.user);
    asker->facts.name = ml_slice_str(asker->identity.name);
    asker->facts.session = ml_slice_str(asker->identity.session);
}

static unsigned bits_of(const struct ml_script_grant *grant)
{
    return (grant->read ? ML_MAY_READ : 0u) | (grant->write ? ML_MAY_WRITE : 0u) |
           (grant->presence ? ML_MAY_PRESENCE : 0u) | (grant->messages ? ML_MAY_MESSAGE : 0u) |
           (grant->history ? ML_MAY_HISTORY : 0u);
}

/* Where may be written. */
static bool take_rules(struct ml_arena *arena, const struct ml_script_grant *given,
                       const struct ml_role_rights *rights, struct ml_asker *asker)
{
    size_t room = given->write_count + 2 * ML_GRANT_RULES_MAX, count = 0;
    struct ml_grant_rule *rules = ml_arena_array(arena, room, sizeof *rules);

    if (!rules)
        return false;
    for (size_t i = 0; i < given->write_count; i++) {
        const struct ml_script_write *write = &given->writes[i];

        if (count == room)
            return false;
        if (write->role.len) {
            size_t more =
                ml_role_rules(ml_role_named(write->role), rights, rules + count, room - count);

            if (!more)
                return false;
            count += more;
            continue;
        }
        rules[count++] = (struct ml_grant_rule){.bars = write->bars,
                                                .kinds = write->kinds,
                                                .pattern = write->pattern,
                                                .code = write->code,
                                                .reason = write->reason};
    }
    return ml_grant_compile(arena, rules, count, asker->facts.user, &asker->grant.rules);
}

/* Monotonic, never 0. */
static int64_t until_of(const struct ml_net *net, int64_t wall_ms)
{
    int64_t left = wall_ms - ml_clock_wall_ms();

    return (int64_t)ml_net_now(net) + (left > 0 ? left : 1);
}

/* Plugins take from what a role or open mode gives. False: no memory. */
static bool take_away(struct ml_ask *ask, const struct ml_script_grant *barred)
{
    struct ml_asker *asker = ask->asker;
    bool is_partial = asker->grant.rules.len > 0;
    struct ml_script_write *writes;
    struct ml_script_grant all;

    if (!barred->given)
        return true;
    asker->grant.may &= ~bits_of(barred);
    if (barred->ttl_ms)
        asker->grant.until_ms = (int64_t)(ml_net_now(ask->net) + barred->ttl_ms);
    if (!barred->write_count || !(asker->grant.may & ML_MAY_WRITE))
        return true;
    writes = ml_arena_array(ask->arena, barred->write_count + 1, sizeof *writes);
    if (!writes)
        return false;
    writes[0] = (struct ml_script_write){.kinds = ML_EDIT_ALL};
    if (is_partial)
        writes[0] = (struct ml_script_write){.role = ml_role_name(asker->role)};
    memcpy(writes + 1, barred->writes, barred->write_count * sizeof *writes);
    all = (struct ml_script_grant){.writes = writes, .write_count = barred->write_count + 1};
    return take_rules(ask->arena, &all, &ask->net->env.role_rights, asker);
}

/* What plugins gave, or what a role or open mode gives, less what plugins take away. */
static enum ml_err take_grant(struct ml_ask *ask, const struct ml_access_answer *answer)
{
    const struct ml_script_grant *given = &answer->grant;
    struct ml_asker *asker = ask->asker;

    asker->grant = (struct ml_grant){0};
    /* A token is for its documents, whatever plugins give to whom it names. */
    if (asker->is_own && !ml_own_covers(&asker->own, ask->source.org, ask->document))
        return ML_ENOTFOUND;
    if (given->given) {
        asker->from = ML_FROM_POLICY;
        asker->grant.may = bits_of(given);
        if (given->write_count && !take_rules(ask->arena, given, &ask->net->env.role_rights, asker))
            return ML_ESCRIPT;
        if (given->ttl_ms)
            asker->grant.until_ms = (int64_t)(ml_net_now(ask->net) + given->ttl_ms);
    } else if (asker->is_own) {
        if (!ml_role_grant(asker->role, &ask->net->env.role_rights, asker->facts.user, ask->arena,
                           &asker->grant))
            return ML_ESCRIPT;
    } else if (ask->net->env.open_mode && ml_slice_equal(ask->source.org, DEFAULT_ORG)) {
        asker->grant = ml_grant_editor();
        asker->from = ML_FROM_OPEN;
    }
    if (!given->given && !take_away(ask, &answer->barred))
        return ML_ESCRIPT;
    /* Plugins may have given because of a share: when that ends, they are asked again. */
    if (asker->is_own && asker->until_ms) {
        int64_t until = until_of(ask->net, asker->until_ms);

        if (!asker->grant.until_ms || until < asker->grant.until_ms)
            asker->grant.until_ms = until;
    }
    if (ml_grant_allows(&asker->grant, ML_MAY_READ))
        return ML_OK;
    return given->given ? ML_EDENIED : ML_ENOTFOUND;
}

/* ---- one question ----------------------------------------------------------------------------
 */

static void uncount(struct ml_ask *ask)
{
    if (ask->is_counted)
        ask->net->asks--;
    ask->is_counted = false;
}

/* An answer, at once or later. */
static void on_answer(void *arg, const struct ml_access_answer *answer)
{
    struct ml_ask *ask = arg;

    ask->err = answer->err;
    if (answer->err == ML_EDENIED)
        ask->refusal = refusal_of(&answer->denial);
    if (!answer->err && ask->step == STEP_AUTHORIZE) {
        if (!ask->is_veto)
            ask->err = take_grant(ask, answer);
    } else if (!answer->err && ask->step == STEP_AUTHENTICATE) {
        ask->asker->is_known = answer->is_known;
        if (answer->is_known)
            ask->asker->facts = answer->identity;
        take_identity(ask);
    }
    if (!ask->access)
        return; /* at once */
    ask->access = NULL;
    uncount(ask);
    ml_list_append(&ask->net->asked, &ask->node);
}

/* A plugin waits: as long as not too many do. False: it does not any more. */
static bool may_wait(struct ml_ask *ask)
{
    if (ask->net->asks < ask->net->env.limits.questions) {
        ask->is_counted = true;
        ask->net->asks++;
        return true;
    }
    ml_access_drop(ask->access);
    ask->access = NULL;
    ask->err = ML_ESCRIPT;
    return false;
}

/* The request, for Lua. False: it cannot be read. */
static bool read_request(struct ml_ask *ask)
{
    if (!ask->has_request)
        ask->has_request =
            ask->source.head && ml_ask_request(&ask->source, ask->arena, &ask->request);
    if (!ask->has_request)
        ask->err = ML_EFORMAT;
    return ask->has_request;
}

/* Who answers questions with this bit, before it is known what document it is about. */
static struct ml_script *who(const struct ml_ask *ask, enum ml_hook hook)
{
    struct ml_script *script = ml_net_script(ask->net, ask->source.org, ml_slice_make(NULL, 0));

    return script && (ml_script_hooks(script) & hook) ? script : NULL;
}

/* Each: false: it waits. */

static bool resolve(struct ml_ask *ask)
{
    struct ml_script *script =
        ask->is_identified || ask->is_resolved ? NULL : who(ask, ML_HOOK_RESOLVE_ORG);
    struct ml_slice org = {0};

    if (!script || !read_request(ask))
        return true;
    ask->err = ml_script_resolve_org(script, &ask->request, ask->arena, &org);
    if (ask->err || !org.ptr)
        return true;
    if (ml_org_is_valid(org))
        ask->source.org = org;
    else
        ask->err = ML_ESCRIPT;
    return true;
}

static bool upgrade(struct ml_ask *ask)
{
    struct ml_script *script = ask->is_upgrade ? who(ask, ML_HOOK_UPGRADE) : NULL;

    if (!script || !read_request(ask))
        return true;
    ask->access = ml_script_upgrade(script, &ask->request, ask->arena, on_answer, ask);
    return !ask->access || !may_wait(ask);
}

static bool authenticate(struct ml_ask *ask)
{
    struct ml_script *script;

    if (ask->is_identified || ask->is_anonymous)
        return true;
    ask->err = ml_own_identify(ask->net, &ask->source, ask->arena, ask->asker, &ask->refusal);
    if (ask->err != ML_ENOTFOUND) {
        if (!ask->err)
            take_identity(ask);
        return true;
    }
    ask->err = ML_OK;
    script = who(ask, ML_HOOK_AUTHENTICATE);
    if (!script) {
        take_identity(ask);
        return true;
    }
    if (!read_request(ask))
        return true;
    ask->access = ml_script_authenticate(script, &ask->request, ask->arena, on_answer, ask);
    return !ask->access || !may_wait(ask);
}

static struct ml_slice word_of(enum ml_from from)
{
    switch (from) {
    case ML_FROM_ORG:
        return ML_SLICE("org");
    case ML_FROM_SHARE:
        return ML_SLICE("share");
    case ML_FROM_LINK:
        return ML_SLICE("link");
    default:
        return ml_slice_make(NULL, 0);
    }
}

static bool authorize(struct ml_ask *ask)
{
    static const struct ml_access_answer none;
    struct ml_script *script;

    if (!ask->action.len)
        return true;
    script = ml_net_script(ask->net, ask->source.org, ask->document);
    if (!script || !(ml_script_hooks(script) & ML_HOOK_AUTHORIZE)) {
        if (!ask->is_veto)
            ask->err = take_grant(ask, &none);
        return true;
    }
    ask->question = (struct ml_script_ask){.action = ask->action,
                                           .org = ask->source.org,
                                           .document = ask->document,
                                           .identity = &ask->asker->facts};
    if (ask->asker->is_own && ask->asker->role) {
        ask->question.role = ml_role_name(ask->asker->role);
        ask->question.from = word_of(ask->asker->from);
    }
    ask->access = ml_script_authorize(script, &ask->question, ask->arena, on_answer, ask);
    return !ask->access || !may_wait(ask);
}

/* False: a plugin waits. */
static bool go_on(struct ml_ask *ask)
{
    static bool (*const steps[])(struct ml_ask * ask) = {
        [STEP_RESOLVE] = resolve,           [STEP_UPGRADE] = upgrade,
        [STEP_AUTHENTICATE] = authenticate, [STEP_STANDING] = ml_standing_ask,
        [STEP_AUTHORIZE] = authorize,
    };

    for (; !ask->err && ask->step < sizeof steps / sizeof *steps; ask->step++)
        if (!steps[ask->step](ask))
            return false;
    return true;
}

bool ml_ask_start(struct ml_ask *ask)
{
    ask->err = ML_OK;
    ask->refusal = (struct ml_refusal){0};
    ask->access = NULL;
    ask->standing = NULL;
    ask->node = (struct ml_list){0};
    ask->step = STEP_RESOLVE;
    ask->is_counted = ask->has_request = false;
    if (!ask->is_identified)
        memset(ask->asker, 0, sizeof *ask->asker);
    return go_on(ask);
}

void ml_ask_drop(struct ml_ask *ask)
{
    struct ml_access *access = ask->access;

    ask->access = NULL;
    if (access)
        ml_access_drop(access);
    uncount(ask);
    ml_standing_drop(ask);
    ml_list_remove(&ask->node);
}

void ml_ask_flush(struct ml_net *net)
{
    struct ml_list *node;

    while ((node = ml_list_take_first(&net->asked)) != NULL) {
        struct ml_ask *ask = ML_CONTAINER(node, struct ml_ask, node);

        ask->step++;
        if (go_on(ask))
            ask->done(ask);
    }
}
