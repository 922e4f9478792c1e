/* SPDX-License-Identifier: MIT */
/*
 * Facts that are looked up, each one value of the core's instance "-", and what of it counts:
 *
 *   org "-"  space "family"  key: handle           is the login still one?      of a login
 *   org ORG  space "member"  key: user             {"role"}                     likewise
 *   org "-"  space "ended"   key: user             {"at", "suspended"?}         a user of ours
 *   org ORG  space "share"   key: DOCUMENT-KIND-ID {"role", "expires"?}         all (auth_shares.c)
 *   org "-"  space "ticket"  key: id               is written: used once        of a ticket
 *
 *   ask --> wanted: 1 to 4 facts --> all fresh? --> judge --> over
 *                                        | no          ^
 *                                        +--> store ---+
 *
 * What was read is kept for all loops (facts.h). It is fresh for FRESH_MS and as long as nobody has
 * called ml_standing_doubt since its read began.
 *
 * A store that is silent (it answers with an error, or not in time) says nothing new, so what it
 * said last counts: for KNOWN_MS, and not if anything about this person or document has changed
 * since (doubts.h). What is not known that way is not decided: try again. While an answer is late
 * nobody waits whose facts are known; the late reads are what notices that the store is back.
 */
#include "net/standing.h"

#include "net/ask.h"
#include "net/auth_own.h"
#include "net/doubts.h"
#include "net/facts.h"
#include "net/fields.h"
#include "net/shares.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

#define FRESH_MS  2000
#define FACTS_MAX 4
#define CORE      ML_SLICE("-")

#define KNOWN_MS      ((uint64_t)ML_OWN_LIFE_MAX_S * 1000)
#define LATE_MS       2000 /* then what is known counts, if all is */
#define SILENT_MS     5000 /* then nothing is decided */
#define QUESTIONS_MAX 1024 /* that wait for the store */

struct ml_standings {
    struct ml_net *net;     /* NULL: closed */
    size_t reading;         /* that have not come back */
    size_t late;            /* of them: nobody waits for them any more */
    struct ml_list waiting; /* standing.node: somebody does */
};

enum fact_kind { SESSION, MEMBER, ENDED, SHARE };

struct wanted {
    struct standing *standing;
    enum fact_kind kind;
    struct ml_slice org, space;
    char key[32];
    struct ml_slice text; /* key in the store */
    bool is_known, is_reading;
    bool is_undecided; /* the store is silent, and what is known is not believed */
    struct ml_fact fact;
    struct ml_known known;
    uint64_t age, began_ms;
    struct ml_store_read read;
};

struct standing {
    struct ml_standings *all;
    struct ml_ask *ask; /* NULL: dropped */
    struct ml_list node;
    uint64_t began_ms;
    size_t count, pending;
    bool is_late;     /* nobody waits any more */
    bool uses_ticket; /* and the store has not said that it was the first time */
    struct wanted wanted[FACTS_MAX];
    struct ml_store_write write; /* of a ticket */
    struct ml_store_item items[2];
    struct ml_arena arena;
};

void ml_standing_doubt(struct ml_net *net, const struct ml_who *who)
{
    ml_doubts_add(&net->shared->doubts, who);
}

uint64_t ml_standing_age(const struct ml_net *net)
{
    return net->shared->doubts.count;
}

static struct ml_standings *standings_of(struct ml_net *net)
{
    if (!net->standings) {
        net->standings = calloc(1, sizeof *net->standings);
        if (net->standings) {
            net->standings->net = net;
            ml_list_init(&net->standings->waiting);
        }
    }
    return net->standings;
}

static void leave(struct ml_standings *all)
{
    if (!all->net && !all->reading)
        free(all);
}

void ml_standings_close(struct ml_standings *all)
{
    if (!all)
        return;
    all->net = NULL;
    leave(all);
}

/* ---- What is kept ---------------------------------------------------------------------------- */

/* Of another loop's read, which may be a moment ahead. */
static uint64_t age_ms(const struct wanted *w)
{
    uint64_t now = ml_net_now(w->standing->all->net);

    return now > w->known.read_ms ? now - w->known.read_ms : 0;
}

/* Fresh: known. Else what was known last, for a store that is silent. */
static bool recall(struct wanted *w)
{
    struct ml_net *net = w->standing->all->net;

    w->is_known = ml_facts_recall(net->shared->facts, w->key, &w->known);
    w->fact = w->known.fact;
    return w->is_known && w->known.age == ml_standing_age(net) && age_ms(w) < FRESH_MS;
}

/* The store is silent: does what is known of this count? */
static bool is_believed(const struct wanted *w)
{
    const struct standing *s = w->standing;
    const struct ml_own_token *own = &s->ask->asker->own;
    struct ml_who who = {.org = own->org, .user = own->user};

    if (w->kind == SHARE)
        who.document = s->ask->document;
    return w->is_known && age_ms(w) < KNOWN_MS &&
           !ml_doubts_since(&s->all->net->shared->doubts, w->known.age, &who);
}

static bool are_believed(const struct standing *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].is_reading && !is_believed(&s->wanted[i]))
            return false;
    return true;
}

static void keep(const struct wanted *w)
{
    const struct ml_known known = {w->age, w->began_ms, w->fact};

    ml_facts_keep(w->standing->all->net->shared->facts, w->key, &known);
}

/* ---- What is read ---------------------------------------------------------------------------- */

static struct ml_fact read_fact(struct ml_slice any)
{
    struct ml_fact fact = {.is_there = true};
    struct ml_slice value, text;
    uint64_t number;

    if (ml_fields_get(any, "role", &value) && ml_fields_text(value, &text))
        fact.role = ml_role_named(text);
    if (ml_fields_get(any, "nonce", &value) && ml_fields_text(value, &text) &&
        text.len == sizeof fact.nonce)
        memcpy(fact.nonce, text.ptr, text.len);
    if (ml_fields_get(any, "expires", &value) && ml_fields_number(value, &number))
        fact.expires_ms = (int64_t)number;
    if (ml_fields_get(any, "at", &value) && ml_fields_number(value, &number))
        fact.at_ms = (int64_t)number;
    fact.is_suspended = ml_fields_get(any, "suspended", &value);
    return fact;
}

static void standing_free(struct standing *s)
{
    struct ml_standings *all = s->all;

    ml_list_remove(&s->node);
    ml_arena_release(&s->arena);
    all->reading--;
    all->late -= s->is_late;
    free(s);
    leave(all);
}

static void judge(struct standing *s);

/* Whoever asked goes on with what is known now. */
static void settle(struct standing *s)
{
    struct ml_ask *ask = s->ask;

    if (!ask)
        return;
    judge(s);
    s->ask = NULL;
    ask->standing = NULL;
    ml_list_append(&ask->net->asked, &ask->node);
}

/* One more has come back. */
static void count_down(struct standing *s)
{
    if (--s->pending)
        return;
    settle(s);
    standing_free(s);
}

void ml_standing_tick(struct ml_net *net)
{
    struct ml_standings *all = net->standings;
    uint64_t now = ml_net_now(net);

    if (!all)
        return;
    ML_LIST_EACH(node, &all->waiting)
    {
        struct standing *s = ML_CONTAINER(node, struct standing, node);
        uint64_t waited_ms = now - s->began_ms;

        if (waited_ms < LATE_MS)
            return; /* the others are younger */
        if (s->ask && waited_ms < SILENT_MS && (s->uses_ticket || !are_believed(s)))
            continue;
        ml_list_remove(&s->node);
        s->is_late = true;
        all->late++;
        for (size_t i = 0; s->ask && i < s->count; i++)
            s->wanted[i].is_undecided = s->wanted[i].is_reading && !is_believed(&s->wanted[i]);
        settle(s);
    }
}

static void on_read(struct ml_store_read *read)
{
    struct wanted *w = ML_CONTAINER(read, struct wanted, read);
    struct standing *s = w->standing;

    w->is_reading = false;
    if (!read->err) {
        w->is_known = true;
        w->fact = read->count ? read_fact(ml_auth_json(&s->arena, read->pairs[0].value))
                              : (struct ml_fact){0};
        if (s->all->net)
            keep(w);
    } else if (s->ask && !is_believed(w)) {
        w->is_undecided = true;
    }
    ml_store_read_release(read);
    count_down(s);
}

static void look(struct wanted *w, struct ml_journal *journal)
{
    w->read = (struct ml_store_read){.look = ML_STORE_GET,
                                     .org = w->org,
                                     .instance = CORE,
                                     .space = w->space,
                                     .key = w->text,
                                     .limit = 1,
                                     .now_ms = ml_clock_wall_ms(),
                                     .done = on_read};
    ml_store_look(journal, &w->read);
}

/* ---- What is wanted -------------------------------------------------------------------------- */

static void want(struct standing *s, enum fact_kind kind, struct ml_slice org, const char *space,
                 struct ml_slice key)
{
    struct wanted *w = &s->wanted[s->count++];
    struct ml_slice parts[3];
    char digits[33];

    w->standing = s;
    w->kind = kind;
    w->org = ml_arena_copy(&s->arena, org);
    w->space = ml_slice_str(space);
    w->text = ml_arena_copy(&s->arena, key);
    parts[0] = w->org;
    parts[1] = w->space;
    parts[2] = w->text;
    ml_digest_hex(parts, 3, digits, 32);
    memcpy(w->key, digits, sizeof w->key);
}

static void want_all(struct standing *s)
{
    const struct ml_ask *ask = s->ask;
    const struct ml_own_token *own = &ask->asker->own;
    struct ml_slice nonce, link = ml_share_link_of(own->session, &nonce);
    char key[ML_SHARE_KEY_MAX + 1];

    if (!link.len && own->session.len)
        want(s, SESSION, CORE, "family", own->session);
    if (!link.len && (own->session.len || ask->asker->is_imagined))
        want(s, MEMBER, own->org, "member", own->user);
    if (!link.len)
        want(s, ENDED, CORE, "ended", own->user);
    if (!ask->document.len || !ml_own_covers(own, ask->source.org, ask->document))
        return;
    if (ml_share_key(ask->document, link.len ? ML_SHARE_LINK : ML_SHARE_USER,
                     link.len ? link : own->user, key))
        want(s, SHARE, own->org, "share", ml_slice_str(key));
}

/* ---- What comes of it ------------------------------------------------------------------------ */

static void refuse(struct ml_ask *ask, const char *code, const char *reason)
{
    ask->err = ML_EDENIED;
    ask->refusal = (struct ml_refusal){.is_spoken = true,
                                       .status = 401,
                                       .code = ml_slice_str(code),
                                       .reason = ml_slice_str(reason)};
}

/* NULL: nobody wants to know. */
static const struct wanted *wanted_of(const struct standing *s, enum fact_kind kind)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].kind == kind)
            return &s->wanted[i];
    return NULL;
}

static const struct ml_fact *fact_of(const struct standing *s, enum fact_kind kind)
{
    static const struct ml_fact none;
    const struct wanted *w = wanted_of(s, kind);

    return w ? &w->fact : &none;
}

static bool is_undecided(const struct standing *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].is_undecided)
            return true;
    return false;
}

/* Known for certain; what else is undecided does not matter then. */
static bool is_over(const struct standing *s, const struct ml_own_token *own)
{
    const struct wanted *ended = wanted_of(s, ENDED), *session = wanted_of(s, SESSION);
    bool knows = ended && !ended->is_undecided;

    if (knows && ended->fact.is_suspended)
        return true;
    if (session)
        return !session->is_undecided && !session->fact.is_there;
    return knows && ended->fact.is_there && own->issued_s &&
           own->issued_s <= ended->fact.at_ms / 1000;
}

static enum ml_role shared_role(const struct standing *s, struct ml_slice nonce)
{
    const struct ml_fact *share = fact_of(s, SHARE);

    if (!share->is_there || (share->expires_ms && share->expires_ms <= ml_clock_wall_ms()))
        return ML_ROLE_NONE;
    /* A link that was taken back and made anew is another one. */
    if (nonce.len && memcmp(share->nonce, nonce.ptr, sizeof share->nonce) != 0)
        return ML_ROLE_NONE;
    return (enum ml_role)share->role;
}

/* ml_ask.asker: what holds now, here. */
static void judge(struct standing *s)
{
    struct ml_ask *ask = s->ask;
    struct ml_asker *asker = ask->asker;
    struct ml_own_token *own = &asker->own;
    struct ml_slice nonce;
    bool is_link = ml_share_link_of(own->session, &nonce).len > 0;
    enum ml_role in_org, shared = shared_role(s, nonce);

    if (is_over(s, own)) {
        refuse(ask, "expired", "The session is over.");
        return;
    }
    if (is_undecided(s) || s->uses_ticket) {
        ask->err = ML_ESCRIPT;
        return;
    }
    if (wanted_of(s, MEMBER))
        ml_own_set_role(ask->arena, asker, (enum ml_role)fact_of(s, MEMBER)->role);
    in_org = ml_own_covers(own, ask->source.org, ask->document) ? ml_role_highest(own->roles)
                                                                : ML_ROLE_NONE;
    if (is_link) /* SEC-AZ-09 */
        shared = shared > ML_ROLE_EDITOR ? ML_ROLE_EDITOR : shared;
    asker->role = shared > in_org ? shared : in_org;
    asker->from = !asker->role       ? ML_FROM_NOTHING
                  : shared <= in_org ? ML_FROM_ORG
                  : is_link          ? ML_FROM_LINK
                                     : ML_FROM_SHARE;
    /* A share that ends is asked about again in time. */
    if (shared > in_org && fact_of(s, SHARE)->expires_ms)
        asker->until_ms = fact_of(s, SHARE)->expires_ms;
    else
        asker->until_ms = 0;
}

/* ---- Tickets --------------------------------------------------------------------------------- */

#define TICKET_KEEP_MS ((uint64_t)(ML_OWN_TICKET_MAX_S + 2 * ML_TOKEN_LEEWAY_S) * 1000)

static void on_used(struct ml_store_write *write)
{
    struct standing *s = ML_CONTAINER(write, struct standing, write);

    s->uses_ticket = false;
    if (s->ask && write->err == ML_ECONFLICT)
        refuse(s->ask, "used", "The ticket was used before.");
    else if (s->ask && write->err)
        s->ask->err = ML_ESCRIPT;
    ml_store_write_release(write);
    if (s->ask && s->ask->err) { /* nothing is judged any more */
        s->ask->standing = NULL;
        ml_list_append(&s->ask->net->asked, &s->ask->node);
        s->ask = NULL;
    }
    count_down(s);
}

/* Whoever writes it down first has used it, on whatever node. */
static void use_ticket(struct standing *s)
{
    struct ml_slice id = ml_arena_copy(&s->arena, s->ask->asker->own.id);

    s->items[0] = (struct ml_store_item){.act = ML_STORE_CHECK, .key = id};
    s->items[1] = (struct ml_store_item){
        .act = ML_STORE_SET, .key = id, .value = ML_SLICE("true"), .ttl_ms = TICKET_KEEP_MS};
    s->write = (struct ml_store_write){.org = CORE,
                                       .instance = CORE,
                                       .space = ML_SLICE("ticket"),
                                       .items = s->items,
                                       .count = 2,
                                       .now_ms = ml_clock_wall_ms(),
                                       .done = on_used};
    ml_store_commit(s->ask->net->env.journal, &s->write);
}

/* What is known, and what has to be read. */
static void recall_all(struct standing *s)
{
    const struct ml_ask *ask = s->ask;

    s->pending = 1 + s->uses_ticket; /* ours, so that nothing is judged before all are asked */
    for (size_t i = 0; i < s->count; i++) {
        struct wanted *w = &s->wanted[i];

        w->is_reading = !recall(w);
        w->age = ask->asker->age;
        w->began_ms = s->began_ms;
        s->pending += w->is_reading;
    }
}

/* ---- The step -------------------------------------------------------------------------------- */

bool ml_standing_ask(struct ml_ask *ask)
{
    struct ml_asker *asker = ask->asker;
    struct ml_standings *all;
    struct standing *s;
    bool is_ticket = asker->is_own && asker->own.kind == ML_OWN_TICKET && !ask->is_identified;

    asker->role = ML_ROLE_NONE;
    asker->from = ML_FROM_NOTHING;
    asker->until_ms = 0;
    asker->age = ml_standing_age(ask->net);
    if (!asker->is_own || !ask->net->env.journal)
        return true;
    all = standings_of(ask->net);
    s = all && all->reading < QUESTIONS_MAX ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        ask->err = ML_ESCRIPT;
        return true;
    }
    all->reading++;
    s->all = all;
    s->ask = ask;
    s->uses_ticket = is_ticket;
    s->began_ms = ml_net_now(ask->net);
    ml_arena_init(&s->arena, 1u << 16);
    want_all(s);
    recall_all(s);
    if (s->pending == 1 || (all->late && !is_ticket && are_believed(s))) {
        judge(s);
        standing_free(s);
        return true;
    }
    ask->standing = s;
    ml_list_append(&all->waiting, &s->node);
    if (is_ticket)
        use_ticket(s);
    for (size_t i = 0; i < s->count; i++)
        if (s->wanted[i].is_reading)
            look(&s->wanted[i], ask->net->env.journal);
    count_down(s);
    return false;
}

void ml_standing_drop(struct ml_ask *ask)
{
    if (ask->standing)
        ask->standing->ask = NULL;
    ask->standing = NULL;
}
