/* SPDX-License-Identifier: MIT */
/*
 * What one loop knows of the limits of identities, and what becomes of who meets one.
 *
 *  [L1] An answer is kept for KEEP_MS, or until rights may have changed (ml_standing_age) or the
 *       plugins of the org are others. Until the next one comes, it holds: a plugin that fails
 *       changes nothing.
 *  [L2] An entry that a session uses or that is being asked about stays; of the others the one that
 *       was not used for longest goes.
 */
#include "net/limit.h"

#include "net/ask.h"
#include "net/session.h"
#include "net/standing.h"

#include <stdio.h>
#include <stdlib.h>

#define KNOWN_MAX 4096u
#define KEEP_MS   60000u
#define LOOK_MS   1000u /* at most so often it is looked whether an answer still holds */
#define WAIT_MS   5000u /* in one piece; longer, and the other end takes it for dead */
#define NAMES_MAX 64
#define SCRATCH   (1u << 16)

struct ml_limited {
    struct ml_limitings *all; /* NULL: the loop has closed */
    struct ml_list node;      /* all->known, used last at the end */
    struct ml_list users;     /* ml_use.node */
    uint64_t age, asked_ms, looked_ms;
    const struct ml_script *script; /* that answered; only compared */
    bool is_known, is_asking;
    struct ml_limits_answer answer;
    struct ml_identity identity;
    size_t org_len, len;
    uint8_t key[]; /* org NUL user NUL roles NUL groups */
};

struct ml_limitings {
    struct ml_net *net;
    struct ml_hashmap by_key;
    struct ml_list known;
    size_t count;
};

static struct ml_slice org_of(const struct ml_limited *limited)
{
    return ml_slice_make(limited->key, limited->org_len);
}

static struct ml_script *script_of(const struct ml_net *net, struct ml_slice org, uint64_t hook)
{
    struct ml_script *script = ml_net_script(net, org, ml_slice_make(NULL, 0));

    return script && (ml_script_hooks(script) & hook) ? script : NULL;
}

/* ---- Who it is --------------------------------------------------------------------------------
 */

struct facts {
    struct ml_script_identity who;
    struct ml_slice roles[NAMES_MAX], groups[NAMES_MAX];
};

static size_t names_of(const char *list, struct ml_slice out[NAMES_MAX])
{
    size_t count = 0, cursor = 0;

    while (count < NAMES_MAX && ml_identity_next(list, &cursor, &out[count]))
        count++;
    return count;
}

static void read_facts(const struct ml_identity *identity, struct facts *out)
{
    out->who = (struct ml_script_identity){.user = ml_slice_str(identity->user),
                                           .name = ml_slice_str(identity->name),
                                           .session = ml_slice_str(identity->session),
                                           .kind = ml_slice_str(identity->kind),
                                           .roles = out->roles,
                                           .role_count = names_of(identity->roles, out->roles),
                                           .groups = out->groups,
                                           .group_count = names_of(identity->groups, out->groups)};
}

/* ---- What is known ----------------------------------------------------------------------------
 */

static void limited_free(struct ml_limited *limited)
{
    if (limited->all) {
        (void)ml_hashmap_remove(&limited->all->by_key, ml_slice_make(limited->key, limited->len));
        ml_list_remove(&limited->node);
        limited->all->count--;
    }
    free(limited);
}

static bool is_used(const struct ml_limited *limited)
{
    return limited->is_asking || !ml_list_is_empty(&limited->users);
}

void ml_limitings_close(struct ml_limitings *all)
{
    if (!all)
        return;
    ML_LIST_EACH(node, &all->known)
    {
        struct ml_limited *limited = ML_CONTAINER(node, struct ml_limited, node);

        ml_list_remove(&limited->node);
        limited->all = NULL;
        if (!limited->is_asking) /* else its answer frees it */
            free(limited);
    }
    ml_hashmap_release(&all->by_key);
    free(all);
}

static struct ml_limitings *limitings_of(struct ml_net *net)
{
    if (!net->limitings) {
        net->limitings = calloc(1, sizeof *net->limitings);
        if (net->limitings) {
            net->limitings->net = net;
            ml_hashmap_init(&net->limitings->by_key);
            ml_list_init(&net->limitings->known);
        }
    }
    return net->limitings;
}

static void make_room(struct ml_limitings *all)
{
    ML_LIST_EACH(node, &all->known)
    {
        struct ml_limited *limited = ML_CONTAINER(node, struct ml_limited, node);

        if (all->count < KNOWN_MAX)
            return;
        if (!is_used(limited))
            limited_free(limited);
    }
}

static size_t write_key(struct ml_slice org, const struct ml_identity *identity, uint8_t *to)
{
    const struct ml_slice parts[] = {org, ml_slice_str(identity->user),
                                     ml_slice_str(identity->roles), ml_slice_str(identity->groups)};
    size_t len = 0;

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].len)
            memcpy(to + len, parts[i].ptr, parts[i].len);
        len += parts[i].len;
        to[len++] = 0;
    }
    return len;
}

static struct ml_limited *find(struct ml_net *net, struct ml_slice org,
                               const struct ml_identity *identity)
{
    uint8_t key[64 + sizeof identity->user + sizeof identity->roles + sizeof identity->groups];
    struct ml_limitings *all = limitings_of(net);
    struct ml_limited *limited;
    size_t len;

    if (!all || org.len >= 64)
        return NULL;
    len = write_key(org, identity, key);
    limited = ml_hashmap_get(&all->by_key, ml_slice_make(key, len));
    if (limited) {
        ml_list_remove(&limited->node);
        ml_list_append(&all->known, &limited->node);
        return limited;
    }
    make_room(all);
    limited = calloc(1, sizeof *limited + len);
    if (!limited)
        return NULL;
    limited->all = all;
    limited->identity = *identity;
    limited->org_len = org.len;
    limited->len = len;
    memcpy(limited->key, key, len);
    ml_list_init(&limited->users);
    ml_limits_none(&limited->answer);
    if (!ml_hashmap_put(&all->by_key, ml_slice_make(limited->key, len), limited)) {
        free(limited);
        return NULL;
    }
    ml_list_append(&all->known, &limited->node);
    all->count++;
    return limited;
}

/* ---- Asking -----------------------------------------------------------------------------------
 */

static void begin_use(struct ml_use *use);

static void on_limits(void *arg, const struct ml_limits_answer *answer)
{
    struct ml_limited *limited = arg;

    limited->is_asking = false;
    if (!limited->all) {
        free(limited);
        return;
    }
    limited->is_known = true; /* as good as it gets */
    if (answer)
        limited->answer = *answer;
    ML_LIST_EACH(node, &limited->users)
    begin_use(ML_CONTAINER(node, struct ml_use, node));
}

/* Does what is known still hold? Else it is asked, and maybe answered by now. */
static void renew(struct ml_limited *limited)
{
    struct ml_net *net = limited->all->net;
    uint64_t now = ml_net_now(net);
    struct ml_script *script;
    struct facts facts;

    if (limited->is_asking || (limited->is_known && now - limited->looked_ms < LOOK_MS &&
                               limited->age == ml_standing_age(net)))
        return;
    limited->looked_ms = now;
    script = script_of(net, org_of(limited), ML_HOOK_LIMITS);
    if (limited->is_known && script == limited->script && now - limited->asked_ms < KEEP_MS &&
        limited->age == ml_standing_age(net))
        return;
    limited->age = ml_standing_age(net);
    limited->asked_ms = now;
    limited->script = script;
    if (!script) {
        ml_limits_none(&limited->answer);
        on_limits(limited, NULL);
        return;
    }
    limited->is_asking = true;
    read_facts(&limited->identity, &facts);
    ml_script_limits(script, &facts.who, on_limits, limited);
}

/* ---- Connections ------------------------------------------------------------------------------
 */

static size_t count_key(char *to, size_t size, const char *what, struct ml_slice org,
                        const char *whose)
{
    int len = snprintf(to, size, "%s\n%.*s\n%s", what, ML_PRINT(org), whose);

    return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size - 1;
}

/* A limit was met. What becomes of it: as a plugin says, or else as the limit does. */
struct meeting {
    struct ml_net *net;
    struct ml_slice org;
    const struct ml_identity *identity;
    const char *what, *scope;
    double used, limit;
    enum ml_limit_action action;
    uint32_t slow_ms; /* of an answer; 0: none */
    bool is_allowed;
    struct ml_denial *denial;
};

static const char *reason_of(const char *what)
{
    if (strcmp(what, "updates") == 0 || strcmp(what, "bytes") == 0)
        return "These were too many changes at once. Please wait a moment.";
    if (strcmp(what, "messages") == 0)
        return "These were too many messages at once. Please wait a moment.";
    if (strcmp(what, "update_bytes") == 0)
        return "This change is too large.";
    if (strncmp(what, "connect", 7) == 0)
        return "There are too many connections. Please try again later.";
    return "These were too many requests at once. Please wait a moment.";
}

static void meet(struct meeting *m)
{
    struct ml_script *script = script_of(m->net, m->org, ML_HOOK_OVER_LIMIT);
    struct ml_over_answer answer = {0};
    struct ml_script_over over;
    struct facts facts;

    *m->denial = (struct ml_denial){.code = ML_SLICE("too_fast"),
                                    .reason = ml_slice_str(reason_of(m->what))};
    if (!script)
        return;
    read_facts(m->identity, &facts);
    over = (struct ml_script_over){.what = m->what,
                                   .used = m->used,
                                   .limit = m->limit,
                                   .scope = m->scope,
                                   .identity = &facts.who};
    ml_script_over_limit(script, &over, &m->net->scratch, &answer);
    m->is_allowed = answer.verdict == ML_OVER_ALLOW;
    m->slow_ms = answer.verdict == ML_OVER_SLOW ? answer.slow_ms : 0;
    if (answer.verdict == ML_OVER_SLOW)
        m->action = ML_LIMIT_SLOW;
    if (answer.verdict == ML_OVER_REFUSE || answer.verdict == ML_OVER_CLOSE) {
        m->action = answer.verdict == ML_OVER_CLOSE ? ML_LIMIT_CLOSE : ML_LIMIT_REFUSE;
        *m->denial = answer.denial;
    }
}

/* One more of them; false: there are too many, and nobody allows it. */
static bool enter(struct ml_use *use, enum ml_ceiling which, const char *whose,
                  struct ml_count **in)
{
    struct ml_limited *limited = use->limited;
    struct ml_counts *counts = &limited->all->net->shared->counts;
    struct ml_denial denial;
    struct meeting m = {.net = limited->all->net,
                        .org = org_of(limited),
                        .identity = &limited->identity,
                        .what = ml_ceiling_names[which],
                        .scope = which == ML_CEILING_CONNECTIONS ? "org" : "user",
                        .limit = (double)limited->answer.ceilings[which],
                        .denial = &denial};
    char key[ML_COUNTS_KEY_MAX];
    size_t len = count_key(key, sizeof key, m.what, m.org, whose);
    uint64_t count;

    *in = ml_counts_enter(counts, ml_slice_make(key, len), limited->answer.ceilings[which], &count);
    if (*in || count < limited->answer.ceilings[which])
        return true; /* without memory nobody is sent away */
    m.used = (double)count + 1;
    meet(&m);
    if (m.is_allowed)
        *in = ml_counts_enter(counts, ml_slice_make(key, len), UINT64_MAX, &count);
    return m.is_allowed;
}

static bool may_connect(struct ml_use *use)
{
    struct ml_limited *limited = use->limited;
    const struct ml_rate_limit *limit = &limited->answer.rates[ML_RATE_CONNECTS];
    struct ml_net *net = limited->all->net;
    struct ml_denial denial;
    struct meeting m = {.net = net,
                        .org = org_of(limited),
                        .identity = &limited->identity,
                        .what = "connects",
                        .scope = "address",
                        .used = 1,
                        .limit = limit->per_second,
                        .denial = &denial};
    char key[ML_COUNTS_KEY_MAX];

    if (!limit->is_set ||
        !ml_counts_pay(&net->shared->counts,
                       ml_slice_make(key, count_key(key, sizeof key, "connects", m.org, use->ip)),
                       ml_net_now(net), limit->per_second, limit->burst, 1))
        return true;
    meet(&m);
    return m.is_allowed;
}

/* Its limits are known: may it be here at all? Who comes back at once is told late. */
static void begin_use(struct ml_use *use)
{
    if (use->is_begun || use->session->is_closing)
        return;
    use->is_begun = true;
    if (!may_connect(use))
        ml_session_end_slowly(use->session, ML_CLOSE_RATE);
    else if (!enter(use, ML_CEILING_CONNECTIONS, "", &use->in_org) ||
             !enter(use, ML_CEILING_CONNECTIONS_PER_USER, use->limited->identity.user,
                    &use->in_user))
        ml_session_end_slowly(use->session, ML_CLOSE_TRY_LATER);
}

static void detach(struct ml_use *use)
{
    if (!use->limited)
        return;
    ml_list_remove(&use->node);
    use->limited = NULL;
}

void ml_limit_begin(struct ml_session *session, struct ml_slice org, struct ml_slice ip,
                    const struct ml_identity *identity)
{
    struct ml_use *use = &session->use;
    struct ml_limited *limited;

    if (!use->limited && !script_of(session->net, org, ML_HOOK_LIMITS))
        return;
    limited = find(session->net, org, identity);
    if (!limited)
        return;
    detach(use);
    use->session = session;
    use->limited = limited;
    if (ip.len)
        (void)snprintf(use->ip, sizeof use->ip, "%.*s", ML_PRINT(ip));
    ml_list_append(&limited->users, &use->node);
    renew(limited);
    if (limited->is_known)
        begin_use(use);
}

void ml_limit_end(struct ml_session *session)
{
    struct ml_counts *counts = &session->net->shared->counts;

    ml_counts_leave(counts, session->use.in_org);
    ml_counts_leave(counts, session->use.in_user);
    detach(&session->use);
    session->use = (struct ml_use){0};
}

/* ---- Rates ------------------------------------------------------------------------------------
 */

struct payer {
    struct ml_net *net;
    const struct ml_limited *limited;
    const char *ip, *session; /* session: empty, where requests have none */
    struct ml_tokens *tokens; /* of the session, by rate; NULL: it has none of its own */
};

static uint64_t pay(const struct payer *p, enum ml_rate rate, double price)
{
    const struct ml_rate_limit *limit = &p->limited->answer.rates[rate];
    const struct ml_identity *who = &p->limited->identity;
    const char *user = who->user[0] ? who->user : p->ip; /* strangers are not one person */
    const char *whose[] = {[ML_PER_SESSION] = p->session[0] ? p->session : user,
                           [ML_PER_USER] = user,
                           [ML_PER_ADDRESS] = p->ip,
                           [ML_PER_ORG] = ""};
    char key[ML_COUNTS_KEY_MAX], what[32];

    if (!limit->is_set)
        return 0;
    if (limit->per == ML_PER_SESSION && p->tokens)
        return ml_tokens_pay(&p->tokens[rate], ml_net_now(p->net), limit->per_second, limit->burst,
                             price);
    (void)snprintf(what, sizeof what, "%d%s", (int)limit->per, ml_rate_names[rate]);
    return ml_counts_pay(
        &p->net->shared->counts,
        ml_slice_make(key, count_key(key, sizeof key, what, org_of(p->limited), whose[limit->per])),
        ml_net_now(p->net), limit->per_second, limit->burst, price);
}

static void wait(struct ml_session *session, uint64_t wait_ms)
{
    session->slow_until_ms = ml_net_now(session->net) + (wait_ms < WAIT_MS ? wait_ms : WAIT_MS);
    ml_session_mark_timed(session);
    ml_session_mark_dirty(session);
}

void ml_limit_wait(struct ml_session *session)
{
    wait(session, LOOK_MS);
}

static enum ml_passing over(struct ml_session *session, enum ml_rate rate, double price,
                            uint64_t wait_ms, struct ml_denial *denial)
{
    struct ml_use *use = &session->use;
    const struct ml_rate_limit *limit = &use->limited->answer.rates[rate];
    struct meeting m = {.net = session->net,
                        .org = org_of(use->limited),
                        .identity = &use->limited->identity,
                        .what = ml_rate_names[rate],
                        .scope = ml_limit_pers[limit->per],
                        .used = price,
                        .limit = limit->per_second,
                        .action = limit->action,
                        .denial = denial};

    if (use->has_waited) { /* asked about before */
        wait(session, wait_ms);
        return ML_HAS_TO_WAIT;
    }
    meet(&m);
    if (m.is_allowed)
        return ML_PASSES;
    use->met++;
    if (m.action == ML_LIMIT_CLOSE || (limit->close_after && use->met > limit->close_after)) {
        ml_session_end_text(session, ML_CLOSE_RATE);
        return ML_IS_OVER;
    }
    /* What never passes is not waited for. */
    if (m.action == ML_LIMIT_REFUSE || (limit->per_second <= 0 && !m.slow_ms))
        return ML_IS_REFUSED;
    use->has_waited = true;
    wait(session, m.slow_ms ? m.slow_ms : wait_ms);
    return ML_HAS_TO_WAIT;
}

static struct payer payer_of(struct ml_session *session)
{
    return (struct payer){.net = session->net,
                          .limited = session->use.limited,
                          .ip = session->use.ip,
                          .session = "",
                          .tokens = session->use.tokens};
}

/* It may be looked at. */
static enum ml_passing pass(struct ml_use *use)
{
    if (!use->has_waited)
        use->met = 0;
    use->has_waited = false;
    return ML_PASSES;
}

/* False: nobody has limits for it. */
static bool is_limited(struct ml_session *session)
{
    if (!session->use.limited)
        return false;
    renew(session->use.limited);
    return session->use.limited->is_known && !session->is_closing;
}

/* One message larger than anybody of these may send. */
static bool is_too_big(struct ml_session *session, size_t bytes, struct ml_denial *denial)
{
    const struct ml_limited *limited = session->use.limited;
    struct meeting m = {.net = session->net,
                        .org = org_of(limited),
                        .identity = &limited->identity,
                        .what = "update_bytes",
                        .scope = "session",
                        .used = (double)bytes,
                        .limit = (double)limited->answer.ceilings[ML_CEILING_UPDATE_BYTES],
                        .denial = denial};

    if (bytes <= limited->answer.ceilings[ML_CEILING_UPDATE_BYTES])
        return false;
    meet(&m);
    return !m.is_allowed;
}

enum ml_passing ml_limit_update(struct ml_session *session, size_t bytes,
                                struct ml_denial *denial_out)
{
    struct ml_use *use = &session->use;
    enum ml_rate rate = ML_RATE_BYTES;
    struct payer payer;
    uint64_t wait_ms;

    if (!is_limited(session))
        return ML_PASSES;
    if (is_too_big(session, bytes, denial_out))
        return ML_IS_TOO_BIG;
    payer = payer_of(session);
    wait_ms = pay(&payer, ML_RATE_BYTES, (double)bytes);
    if (!wait_ms) {
        rate = ML_RATE_UPDATES;
        wait_ms = pay(&payer, ML_RATE_UPDATES, 1);
        if (wait_ms) /* what does not pass costs nothing */
            (void)pay(&payer, ML_RATE_BYTES, -(double)bytes);
    }
    if (!wait_ms)
        return pass(use);
    return over(session, rate, rate == ML_RATE_BYTES ? (double)bytes : 1, wait_ms, denial_out);
}

enum ml_passing ml_limit_message(struct ml_session *session, struct ml_denial *denial_out)
{
    struct payer payer;
    uint64_t wait_ms;

    if (!is_limited(session))
        return ML_PASSES;
    payer = payer_of(session);
    wait_ms = pay(&payer, ML_RATE_MESSAGES, 1);
    return wait_ms ? over(session, ML_RATE_MESSAGES, 1, wait_ms, denial_out) : pass(&session->use);
}

bool ml_limit_presence(struct ml_session *session)
{
    struct payer payer;

    if (!is_limited(session))
        return true;
    payer = payer_of(session);
    return !pay(&payer, ML_RATE_AWARENESS, 1);
}

uint64_t ml_limit_request(struct ml_net *net, enum ml_rate rate, struct ml_slice org,
                          const char *ip, const struct ml_identity *identity,
                          struct ml_denial *denial_out)
{
    struct ml_limited *limited;
    struct payer payer;
    struct meeting m;
    uint64_t wait_ms;

    if (!script_of(net, org, ML_HOOK_LIMITS))
        return 0;
    limited = find(net, org, identity);
    if (!limited)
        return 0;
    renew(limited);
    payer = (struct payer){.net = net, .limited = limited, .ip = ip, .session = ""};
    wait_ms = limited->is_known ? pay(&payer, rate, 1) : 0;
    if (!wait_ms)
        return 0;
    m = (struct meeting){.net = net,
                         .org = org,
                         .identity = identity,
                         .what = ml_rate_names[rate],
                         .scope = ml_limit_pers[limited->answer.rates[rate].per],
                         .used = 1,
                         .limit = limited->answer.rates[rate].per_second,
                         .denial = denial_out};
    meet(&m);
    return m.is_allowed ? 0 : m.slow_ms ? m.slow_ms : wait_ms;
}
